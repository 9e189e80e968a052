//! Both programs on the same command line in the same folder.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// Nothing starts with this many descriptors, so a file that is read well ends here, in both programs.
pub(crate) const STOP: &str = "minfds=2000000000\n";

/// The folder of the genuine programs.
pub(crate) fn genuine() -> PathBuf {
    let dir = match std::env::var_os("SUPERVISOR_BIN") {
        Some(dir) => PathBuf::from(dir),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/supervisor/bin"),
    };
    assert!(
        dir.join("supervisord").is_file(),
        "no genuine supervisord in {}: `cargo xtask test` installs it, or set SUPERVISOR_BIN to its folder",
        dir.display()
    );
    dir
}

/// One command line in a folder of its own.
pub(crate) struct Case {
    pub(crate) args: Vec<String>,
    pub(crate) files: Vec<(String, String)>,
}

/// What a program said.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Said {
    pub(crate) code: i32,
    pub(crate) out: String,
    pub(crate) err: String,
}

/// A folder of cases, and our program in it by its ancestor's name.
pub(crate) struct Stage {
    pub(crate) dir: tempfile::TempDir,
}

impl Stage {
    pub(crate) fn new() -> Stage {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("bin")).unwrap();
        let stage = Stage { dir };
        for name in ["supervisord", "echo_supervisord_conf", "pidproxy", "go-supervisord"] {
            symlink(env!("CARGO_BIN_EXE_superd"), stage.program(name)).unwrap();
        }
        stage
    }

    pub(crate) fn program(&self, name: &str) -> PathBuf {
        self.dir.path().join("bin").join(name)
    }

    /// A command with a bare environment, the same for both.
    pub(crate) fn command(&self, program: &Path, cwd: &Path) -> Command {
        let mut command = Command::new(program);
        let path = std::env::var_os("PATH").unwrap_or_default();
        command.env_clear().env("PATH", path).env("HOME", self.dir.path()).env("LC_ALL", "C.UTF-8");
        command.current_dir(cwd).stdin(Stdio::null());
        command
    }

    /// Makes the folder of each case.
    fn folders(&self, cases: &[Case]) -> Vec<PathBuf> {
        let one = |(number, case): (usize, &Case)| {
            let folder = self.dir.path().join(format!("{number:03}"));
            for (name, text) in &case.files {
                let path = folder.join(name);
                fs::create_dir_all(path.parent().unwrap()).unwrap();
                fs::write(path, text).unwrap();
            }
            let words: String = case.args.iter().map(|a| format!("{a}\n")).collect();
            fs::write(folder.join("args"), words).unwrap();
            folder
        };
        cases.iter().enumerate().map(one).collect()
    }

    fn ours(&self, case: &Case, folder: &Path) -> Said {
        let end = self.command(&self.program("supervisord"), folder).args(&case.args).output().unwrap();
        let text = |bytes: Vec<u8>| tidy(&String::from_utf8(bytes).unwrap());
        Said { code: end.status.code().unwrap_or(-1), out: text(end.stdout), err: text(end.stderr) }
    }

    /// Runs all under both; the cases in which they differ, as text.
    pub(crate) fn differences(&self, cases: &[Case]) -> Vec<String> {
        let folders = self.folders(cases);
        let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/names/genuine.py");
        let mut python = self.command(&genuine().join("python3"), self.dir.path());
        let end = python.arg(script).arg(self.program("supervisord")).args(&folders).output().unwrap();
        assert!(end.status.success(), "{end:?}");
        let read = |folder: &Path, name: &str| fs::read_to_string(folder.join(name)).unwrap();
        let mut differences = Vec::new();
        for (case, folder) in cases.iter().zip(&folders) {
            let genuine = Said {
                code: read(folder, "code").parse().unwrap(),
                out: tidy(&read(folder, "out")),
                err: tidy(&read(folder, "err")),
            };
            let ours = self.ours(case, folder);
            if ours != genuine {
                let (args, files) = (&case.args, &case.files);
                differences.push(format!("{args:?} {files:?}\n  genuine {genuine:?}\n  ours    {ours:?}"));
            }
        }
        differences
    }
}

/// Blanks at the ends of lines tell nobody anything; a warning's place in Python's source neither.
fn tidy(text: &str) -> String {
    let kept = text.lines().filter(|l| *l != "  self.warnings.warn(").map(|line| {
        let line = line.trim_end();
        line.find("UserWarning: ").map_or(line, |at| &line[at..])
    });
    kept.map(|line| format!("{line}\n")).collect()
}
