//! Long files, and names that belong to somebody's machine.

use crate::{Outcome, sh};
use std::fs;
use std::path::Path;
use std::process::Command;

/// Lines after which a source file must give a reason.
const LONGEST: usize = 600;

/// Where that reason stands: in the first lines.
const HEADER: usize = 15;

pub(super) fn check() -> Outcome {
    let root = sh::root();
    // Also files that are not committed yet: a finding is cheaper before.
    let list = sh::output(
        Command::new("git")
            .args(["ls-files", "--cached", "--others", "--exclude-standard"])
            .current_dir(&root),
    )?;
    let private = private_names(&root);
    let mut findings = Vec::new();
    for name in list.lines() {
        // Deleted and not committed yet, or no text.
        let Ok(text) = fs::read_to_string(root.join(name)) else { continue };
        if name.ends_with(".rs") {
            findings.extend(too_long(name, &text));
        }
        // Cargo writes the registry's address into every entry of this one.
        if name != "Cargo.lock" {
            findings.extend(names_of(name, &text, &private));
        }
    }
    match findings.is_empty() {
        true => Ok(()),
        false => Err(findings.join("\n")),
    }
}

fn too_long(name: &str, text: &str) -> Option<String> {
    let lines = text.lines().count();
    if lines <= LONGEST {
        return None;
    }
    match text.lines().take(HEADER).find(|l| l.contains("Long because:")) {
        Some(reason) => {
            eprintln!("{name}: {lines} lines ({})", reason.trim_start_matches(['/', '!', ' ']));
            None
        }
        None => Some(format!(
            "{name}: {lines} lines, more than {LONGEST}; split it, or say `Long because:` in its header"
        )),
    }
}

/// Texts that no file may hold: where this tree lies, whose machine it is, where packages come from.
fn private_names(root: &Path) -> Vec<String> {
    let mut names = vec![format!("{}/", root.display())];
    if let Some(home) = std::env::var_os("HOME") {
        let home = Path::new(&home).display().to_string();
        // Home folders of the system's own users appear in honest examples.
        if home.starts_with("/home/") || home.starts_with("/Users/") {
            names.push(format!("{home}/"));
        }
        names.push(format!("{home}/.cargo"));
    }
    // Put together here, so that this file is not a finding itself.
    let hosts =
        [("index.crates", "io"), ("static.crates", "io"), ("registry.npmjs", "org"), ("deb.debian", "org")];
    let more =
        [("pypi", "org"), ("files.pythonhosted", "org"), ("proxy.golang", "org"), ("repo1.maven", "org")];
    names.extend(hosts.iter().chain(&more).map(|(host, end)| format!("{host}.{end}")));
    names
}

fn names_of(name: &str, text: &str, private: &[String]) -> Vec<String> {
    let lines = text.lines().enumerate();
    let found =
        lines.flat_map(|(at, line)| private.iter().filter(|p| line.contains(*p)).map(move |p| (at + 1, p)));
    found.map(|(line, what)| format!("{name}:{line}: names {what}, which belongs to one machine")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_files_give_a_reason() {
        let long = "x\n".repeat(LONGEST + 1);
        assert!(too_long("a.rs", &long).is_some_and(|t| t.starts_with("a.rs: 601 lines")));
        assert_eq!(too_long("a.rs", &format!("//! Long because: a table.\n{long}")), None);
        assert_eq!(too_long("a.rs", &"x\n".repeat(LONGEST)), None);
    }

    #[test]
    fn private_names_are_found_with_their_line() {
        let private = ["/somewhere/tree/".to_string()];
        let found = names_of("a.md", "fine\nsee /somewhere/tree/x\n", &private);
        assert_eq!(found, ["a.md:2: names /somewhere/tree/, which belongs to one machine"]);
    }
}
