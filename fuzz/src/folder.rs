//! A folder with one configuration file, and loading it with users that exist only here.

use bstr::BString;
use std::cell::OnceCell;
use std::fs;
use std::path::PathBuf;
use supers_config::{
    About, Choice, Finding, Loaded, Personality, Program, Request, Settings, Severity, Users, load,
};
use supers_core::spec::Spec;

struct People;

impl Users for People {
    fn user_exists(&self, user: &str) -> bool {
        ["root", "0", "www-data", "33"].contains(&user)
    }
    fn group_exists(&self, group: &str) -> bool {
        ["root", "adm"].contains(&group)
    }
    fn home_of(&self, user: &str) -> Option<PathBuf> {
        (user == "www-data").then(|| "/var/www".into())
    }
}

thread_local! {
    /// One a thread, so that nothing is shared and little is made.
    static FOLDER: OnceCell<tempfile::TempDir> = const { OnceCell::new() };
}

/// Writes the file, beside an `other.ini` that it may include, and loads it.
pub(crate) fn loaded(name: &str, text: &[u8], personality: Personality) -> Loaded {
    FOLDER.with(|cell| {
        let dir = cell.get_or_init(|| {
            // In memory where that is to be had: a disk is a hundred times slower.
            let dir = tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir());
            let dir = dir.unwrap_or_else(|e| panic!("no temporary folder: {e}"));
            let other = "[program:other]\ncommand=/bin/other\nnonsense=1\n";
            fs::write(dir.path().join("other.ini"), other).unwrap_or_else(|e| panic!("{e}"));
            dir
        });
        let path = dir.path().join(name);
        fs::write(&path, text).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        let env = [("HOME", "/root"), ("PASS", "through"), ("EMPTY", "")];
        load(&Request {
            choice: Choice::File(path),
            personality,
            env: env.iter().map(|(k, v)| (BString::from(*k), BString::from(*v))).collect(),
            hostname: "box.example".into(),
            cwd: dir.path().into(),
            log_dir: "/logs".into(),
            home: Some("/root".into()),
            users: &People,
        })
    })
}

/// Every finding lies inside the file that it names, is a sentence, and a unit that would be started can
/// be; what is fatal is said.
pub(crate) fn check(loaded: &Loaded, name: &str, text: &[u8]) {
    let config = &loaded.config;
    assert!(!loaded.fatal || config.has_errors(), "nothing may start, and no error says why");
    let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').collect();
    for finding in &config.findings {
        assert!(config.files.contains(&finding.file), "it is about a file that was not read: {finding}");
        assert!(!finding.message.trim().is_empty());
        if !finding.file.ends_with(name.as_bytes()) {
            continue;
        }
        let line = finding.line as usize;
        assert!(line <= lines.len(), "{finding}: the file has {} lines", lines.len());
        let text = line.checked_sub(1).and_then(|at| lines.get(at)).copied().unwrap_or_default();
        let length = text.len();
        assert!(finding.column as usize <= length + 1, "{finding}: the line has {length} bytes");
    }
    for program in &config.programs {
        let spec = &program.spec;
        let ready = spec.exec.iter().all(|c| c.fault.is_some() || !c.words.is_empty());
        let refused = spec.refused.is_some();
        assert!(refused || (ready && !spec.exec.is_empty()), "{} has nothing to run", spec.full_name());
        // A masked unit is refused because somebody wants it so.
        let masked = || config.findings.iter().any(|f| f.message.starts_with("masked"));
        assert!(!refused || config.has_errors() || masked(), "{} is refused, not said why", spec.full_name());
        assert!(program.about.line as usize <= lines.len().max(4));
    }
}

/// Everything that was read and means something.
#[derive(Debug, PartialEq)]
pub(crate) struct Meaning {
    fatal: bool,
    settings: Settings,
    groups: Vec<(String, i32)>,
    programs: Vec<(Spec, About)>,
    findings: Vec<Finding>,
}

/// The lines of the file `name` are moved back by `by`, and texts that may name one are left out, so that
/// files which mean the same can be compared.
pub(crate) fn meaning(loaded: Loaded, name: &str, by: u32) -> Meaning {
    let config = loaded.config;
    let moved =
        |file: &[u8], line: u32| if file.ends_with(name.as_bytes()) { line.saturating_sub(by) } else { line };
    let finding = |f: Finding| Finding { line: moved(&f.file, f.line), message: String::new(), ..f };
    let program = |p: Program| {
        let mut spec = (*p.spec).clone();
        spec.refused = spec.refused.map(|_| String::new());
        (spec, About { line: moved(&p.about.file, p.about.line), ..p.about })
    };
    Meaning {
        fatal: loaded.fatal,
        settings: config.settings,
        groups: config.groups,
        programs: config.programs.into_iter().map(program).collect(),
        findings: config.findings.into_iter().map(finding).collect(),
    }
}

/// Demands that two files mean the same.
pub(crate) fn same(what: &str, got: &Meaning, wanted: &Meaning) {
    if got != wanted {
        let (got, wanted) = (format!("{got:#?}"), format!("{wanted:#?}"));
        let pair =
            wanted.lines().zip(got.lines()).find(|(a, b)| a != b).unwrap_or(("", "one line more or less"));
        panic!("{what} changes the meaning:\n  from {}\n  to   {}", pair.0.trim(), pair.1.trim());
    }
}

/// What was found, without names and numbers: the kind of the file.
pub(crate) fn outline(loaded: &Loaded) -> Vec<(Severity, String)> {
    let config = &loaded.config;
    let first_words = |text: &str| {
        let words = text.split([' ', '\n']).filter(|w| w.bytes().all(|b| b.is_ascii_alphabetic()));
        words.take(5).collect::<Vec<_>>().join(" ")
    };
    let mut out: Vec<_> =
        config.findings.iter().map(|f| (f.severity, first_words(&f.message))).take(6).collect();
    out.push((Severity::Warning, format!("{}", config.programs.len().min(6))));
    out
}
