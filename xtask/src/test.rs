//! `cargo xtask test`: everything that is tested, on a machine that has nothing but Rust.

use crate::{Outcome, sh, twin, unknown};
use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// A program that tests run, and the Debian packages that bring it; the first that exists is taken.
const NEEDED: [(&str, &[&str]); 8] = [
    ("cc", &["gcc"]),
    ("curl", &["curl"]),
    ("ip", &["iproute2"]),
    ("nginx", &["nginx-light", "nginx"]),
    ("python3", &["python3"]),
    ("redis-server", &["redis-server"]),
    ("setpriv", &["util-linux"]),
    ("unshare", &["util-linux"]),
];

/// What property tests make their cases from.
const SEED: &str = "PROPTEST_RNG_SEED";

/// Asked by Debian's packages before they start a service at installation; 101 means no.
const POLICY: &str = "/usr/sbin/policy-rc.d";

/// Arguments after `--` go to `cargo test`; without any, the comparison with Supervisor follows.
pub(crate) fn run(args: &[&str]) -> Outcome {
    let more = match args {
        [] => &[],
        ["--", more @ ..] => more,
        [word, ..] => return Err(unknown(word)),
    };
    install()?;
    twin::install()?;
    // The daemon and the actor are separate programs; `cargo test` alone may not build those of other packages.
    sh::run(&mut sh::cargo(&["build", "--workspace", "--bins"]))?;
    let (passed, failed, ok) = cargo_test(more)?;
    println!("\ntotal: {passed} passed, {failed} failed");
    match ok {
        // With arguments somebody wants a part of the tests, and the comparison is no such part.
        true if passed > 0 && !more.is_empty() => Ok(()),
        true if passed > 0 => twin::run(&[]),
        true => Err("no test was run".into()),
        false => Err("some tests failed, see above".into()),
    }
}

/// Runs the tests; what they print goes through, and the closing lines are added up.
fn cargo_test(more: &[&str]) -> Result<(u64, u64, bool), String> {
    let mut command = sh::cargo(&["test", "--workspace", "--no-fail-fast"]);
    if std::env::var_os(SEED).is_none() {
        // The same cases each time, so that who did not cause a failure does not meet it. `cargo test` tries others.
        command.env(SEED, "1");
    }
    let mut child = command
        .args(more)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .map_err(|e| format!("cargo test cannot be run: {e}"))?;
    let (mut passed, mut failed) = (0, 0);
    if let Some(out) = child.stdout.take() {
        for line in BufReader::new(out).split(b'\n') {
            let line = line.map_err(|e| format!("cargo test: {e}"))?;
            let text = String::from_utf8_lossy(&line);
            // A closed output is no reason to lose the result.
            let _ = writeln!(std::io::stdout(), "{text}");
            passed += count(&text, "passed");
            failed += count(&text, "failed");
        }
    }
    let status = child.wait().map_err(|e| format!("cargo test: {e}"))?;
    Ok((passed, failed, status.success()))
}

/// The number before the word in a closing line: `test result: ok. 3 passed; 0 failed; ...`.
fn count(line: &str, word: &str) -> u64 {
    let Some(rest) = line.strip_prefix("test result: ") else { return 0 };
    let before = rest.split(word).next().filter(|b| b.len() < rest.len());
    before.and_then(|b| b.split_whitespace().next_back()).and_then(|n| n.parse().ok()).unwrap_or(0)
}

fn install() -> Outcome {
    let missing: Vec<_> = NEEDED.iter().filter(|(program, _)| !sh::has(program)).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let names: Vec<&str> = missing.iter().map(|(program, _)| *program).collect();
    let names = names.join(", ");
    if !sh::is_root() {
        return Err(format!("the tests need {names}: install them, or run this once as root"));
    }
    if !sh::has("apt-get") {
        return Err(format!("the tests need {names}, and there is no apt-get here to install them"));
    }
    eprintln!("the tests need {names}: installing");
    let quiet = Policy::forbid_services()?;
    // An old list is better than none: the installation itself decides.
    if let Err(e) = sh::run(Command::new("apt-get").args(["-q", "update"])) {
        eprintln!("{e}; going on with the package lists that are here");
    }
    for (program, packages) in missing {
        install_one(program, packages)?;
    }
    drop(quiet);
    Ok(())
}

fn install_one(program: &str, packages: &[&str]) -> Outcome {
    for package in packages {
        let outcome = sh::run(
            Command::new("apt-get")
                .args(["-q", "install", "-y", "--no-install-recommends", package])
                .env("DEBIAN_FRONTEND", "noninteractive"),
        );
        if let Err(e) = outcome {
            eprintln!("{e}");
        }
        // A package whose service did not start is good enough: the program is what counts.
        if sh::has(program) {
            return Ok(());
        }
    }
    Err(format!("{program} could not be installed (tried the packages {})", packages.join(", ")))
}

/// While it lives, packages do not start their services: the tests start their own.
struct Policy {
    ours: bool,
}

impl Policy {
    fn forbid_services() -> Result<Policy, String> {
        if Path::new(POLICY).exists() {
            return Ok(Policy { ours: false });
        }
        let problem = |e: std::io::Error| format!("{POLICY}: {e}");
        fs::write(POLICY, "#!/bin/sh\nexit 101\n").map_err(problem)?;
        fs::set_permissions(POLICY, fs::Permissions::from_mode(0o755)).map_err(problem)?;
        Ok(Policy { ours: true })
    }
}

impl Drop for Policy {
    fn drop(&mut self) {
        if self.ours
            && let Err(e) = fs::remove_file(POLICY)
        {
            eprintln!("{POLICY} could not be removed: {e}");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::count;

    #[test]
    fn closing_lines() {
        let line = "test result: FAILED. 12 passed; 3 failed; 0 ignored; 0 measured; 0 filtered out";
        assert_eq!((count(line, "passed"), count(line, "failed")), (12, 3));
        assert_eq!(count("test foo_passed ... ok", "passed"), 0);
        assert_eq!(count("test result: nothing", "passed"), 0);
    }
}
