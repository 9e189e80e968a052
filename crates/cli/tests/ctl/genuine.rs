//! The genuine daemon with its programs, and both clients in front of it.

use std::io::{BufRead, BufReader, Write};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

/// The folder with the genuine programs.
pub fn tools() -> PathBuf {
    let given = std::env::var_os("SUPERVISOR_BIN").map(PathBuf::from);
    let own = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../../target/tools/supervisor/bin");
    let dir = given.unwrap_or_else(own);
    assert!(
        dir.join("supervisorctl").is_file(),
        "Python Supervisor is not in {}; `cargo xtask test` installs it, or SUPERVISOR_BIN names its folder",
        dir.display()
    );
    dir
}

/// What a client did.
#[derive(Debug, PartialEq, Eq)]
pub struct Ran {
    pub out: String,
    pub code: Option<i32>,
}

/// The daemon, ended with this value.
pub struct Genuine {
    pub dir: tempfile::TempDir,
    child: Child,
}

const SERVERS: &str = "[unix_http_server]\nfile=%(here)s/s.sock\n[supervisord]\nlogfile=%(here)s/main.log\n\
pidfile=%(here)s/d.pid\nchildlogdir=%(here)s\nnodaemon=true\n[rpcinterface:supervisor]\n\
supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n\
[supervisorctl]\nserverurl=unix://%(here)s/s.sock\nprompt=box\n";

impl Genuine {
    /// Starts it with these further sections and waits until so many programs run.
    pub fn start(sections: &str, running: usize) -> Genuine {
        let dir = tempfile::tempdir().unwrap();
        write_config(dir.path(), sections);
        let mut child = Command::new(tools().join("supervisord"))
            .arg("-c")
            .arg(dir.path().join("s.conf"))
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap()).lines().map_while(Result::ok);
        let mut seen = Vec::new();
        let started = |line: &String| line.contains("supervisord started");
        let ran = |line: &&String| line.contains("entered RUNNING");
        while !seen.iter().any(started) || seen.iter().filter(ran).count() < running {
            seen.push(lines.next().unwrap_or_else(|| panic!("supervisord ended: {seen:#?}")));
        }
        std::thread::spawn(move || lines.for_each(drop));
        Genuine { dir, child }
    }

    /// Writes the configuration anew.
    pub fn configure(&self, sections: &str) {
        write_config(self.dir.path(), sections);
    }

    /// A client, ready to be given further arguments.
    pub fn client(&self, ours: bool) -> Command {
        let mut command = if ours { our_client() } else { Command::new(tools().join("supervisorctl")) };
        command.current_dir(self.dir.path()).env("TZ", "UTC").env("TERM", "xterm");
        command
    }

    /// Runs a client with these words, as a shell would part them, and this input.
    pub fn run(&self, ours: bool, words: &str, input: &str) -> Ran {
        let mut command = self.client(ours);
        if !words.contains("-s ") {
            command.args(["-c", "s.conf"]);
        }
        command.args(parted(words)).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        let mut child = command.spawn().unwrap();
        // A client that does not read what it is given has ended already.
        drop(child.stdin.take().unwrap().write_all(input.as_bytes()));
        let output = child.wait_with_output().unwrap();
        let text = String::from_utf8(output.stdout).unwrap();
        Ran {
            out: masked(&text.replace(&*self.dir.path().to_string_lossy(), "DIR")),
            code: output.status.code(),
        }
    }

    /// Runs each line with the genuine client and with ours, each after the same preparation, and
    /// demands the same text and code.
    pub fn same(&self, lines: &[(&[&str], &str)]) {
        let mut different = Vec::new();
        for (before, line) in lines {
            let [genuine, ours] = [false, true].map(|ours| {
                before.iter().for_each(|line| drop(self.run(true, line, "")));
                self.run(ours, line, "")
            });
            if genuine != ours {
                different.push(format!("`{line}`\n--- genuine {genuine:#?}\n--- ours {ours:#?}"));
            }
        }
        assert!(
            different.is_empty(),
            "{} of {} differ:\n{}",
            different.len(),
            lines.len(),
            different.join("\n")
        );
    }
}

impl Drop for Genuine {
    fn drop(&mut self) {
        // Asked, so that it ends its programs; killed, should it not answer.
        let asked = self.client(false).args(["-c", "s.conf", "shutdown"]).stdout(Stdio::null()).status();
        if !asked.is_ok_and(|s| s.success()) {
            drop(self.child.kill());
        }
        drop(self.child.wait());
    }
}

/// Our client by its name.
pub fn our_client() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_supers"));
    command.arg0("supervisorctl");
    command
}

fn write_config(dir: &Path, sections: &str) {
    std::fs::write(dir.join("s.conf"), format!("{SERVERS}{sections}")).unwrap();
}

/// Words between blanks; between double quotes blanks belong to the word.
fn parted(text: &str) -> Vec<String> {
    let mut words = Vec::new();
    for (i, part) in text.split('"').enumerate() {
        if i % 2 == 1 {
            words.push(part.to_string());
        } else {
            words.extend(part.split_whitespace().map(str::to_string));
        }
    }
    words
}

/// Hides what differs between two runs: pids, times, and where an exception came from.
fn masked(text: &str) -> String {
    let digits = |t: &str| t.bytes().all(|b| b.is_ascii_digit() || b":,".contains(&b)) && !t.is_empty();
    let mut lines = Vec::new();
    for line in text.split('\n') {
        let line = match line.find(": file: ") {
            Some(at) if line.contains("error: <class") => &line[..at],
            _ => line,
        };
        let words = line.split(' ').map(|w| if digits(w) { "N" } else { w });
        lines.push(words.collect::<Vec<_>>().join(" "));
    }
    lines.join("\n")
}
