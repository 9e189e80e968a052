//! A folder with one configuration file, and loading it with users that exist only here.

use bstr::BString;
use std::cell::OnceCell;
use std::fs;
use std::path::PathBuf;
use supers_config::{Choice, Loaded, Personality, Request, Severity, Users, load};

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
            let dir = tempfile::tempdir().unwrap_or_else(|e| panic!("no temporary folder: {e}"));
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
        let length = line.checked_sub(1).and_then(|at| lines.get(at)).map_or(0, |l| l.len());
        assert!(finding.column as usize <= length + 1, "{finding}: the line has {length} bytes");
    }
    for program in &config.programs {
        let spec = &program.spec;
        let ready = spec.exec.iter().all(|c| c.fault.is_some() || !c.words.is_empty());
        let refused = spec.refused.is_some();
        assert!(refused || (ready && !spec.exec.is_empty()), "{} has nothing to run", spec.full_name());
        assert!(!refused || config.has_errors(), "{} is refused without an error", spec.full_name());
        assert!(program.about.line as usize <= lines.len().max(4));
    }
}

/// Everything that was read, with the lines of findings about the file `name` moved back by `by`, so that
/// texts which mean the same can be compared.
pub(crate) fn meaning(loaded: &Loaded, name: &str, by: u32) -> String {
    let config = &loaded.config;
    let findings: Vec<_> = config
        .findings
        .iter()
        .map(|f| {
            let line = f.line.saturating_sub(if f.file.ends_with(name.as_bytes()) { by } else { 0 });
            (f.severity, &f.file, line, f.column, &f.hint, &f.program)
        })
        .collect();
    let programs: Vec<_> = config
        .programs
        .iter()
        .map(|p| {
            let mut spec = (*p.spec).clone();
            // Its text names a line.
            spec.refused = spec.refused.map(|_| String::new());
            (spec, &p.about.description, &p.about.documentation, &p.about.wanted_by, &p.about.aliases)
        })
        .collect();
    format!("{:?}\n{:#?}\n{findings:#?}\n{programs:#?}", (loaded.fatal, &config.groups), config.settings)
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
