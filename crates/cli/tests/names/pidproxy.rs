//! `pidproxy`.

use crate::beside::Stage;
use std::io::{BufRead, BufReader, Read};
use std::path::Path;
use std::process::{Child, ChildStdout, Stdio};

struct Proxy {
    child: Child,
    lines: BufReader<ChildStdout>,
}

impl Proxy {
    fn start(stage: &Stage, words: &[&str]) -> Proxy {
        let mut command = stage.command(&stage.program("pidproxy"), stage.dir.path());
        let mut child = command.args(words).stdout(Stdio::piped()).spawn().unwrap();
        let lines = BufReader::new(child.stdout.take().unwrap());
        Proxy { child, lines }
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        self.lines.read_line(&mut line).unwrap();
        line
    }

    fn signal(&self, signal: i32) {
        kill(self.child.id(), signal);
    }

    fn end(mut self) -> (Option<i32>, String) {
        let code = self.child.wait().unwrap().code();
        let mut rest = String::new();
        self.lines.read_to_string(&mut rest).unwrap();
        (code, rest)
    }
}

fn kill(pid: u32, signal: i32) {
    let signal = supers_os::Signal::from_number(signal.into()).unwrap();
    supers_os::reap::kill(supers_os::Pid(pid.cast_signed()), signal).unwrap();
}

/// Says what it got; its number is in `pid`.
const TALKER: &str = "for s in HUP USR1 USR2; do trap \"echo got $s\" $s; done; \
     trap 'echo got TERM; exit 9' TERM; echo $$ >pid; echo up; while :; do read x <fifo; done 2>/dev/null";

fn talker(stage: &Stage) -> Proxy {
    let fifo = stage.dir.path().join("fifo");
    assert!(std::process::Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    let mut proxy = Proxy::start(stage, &["pid", "/bin/sh", "-c", TALKER]);
    assert_eq!(proxy.line(), "up\n");
    proxy
}

#[test]
fn signals_are_handed_on_and_term_ends_both() {
    let stage = Stage::new();
    let mut proxy = talker(&stage);
    for (signal, want) in [(1, "got HUP\n"), (10, "got USR1\n"), (12, "got USR2\n")] {
        proxy.signal(signal);
        assert_eq!(proxy.line(), want);
    }
    proxy.signal(15);
    assert_eq!(proxy.end(), (Some(0), "got TERM\n".into()));
}

#[test]
fn a_file_without_a_number_is_said_and_the_command_goes_on() {
    let stage = Stage::new();
    let mut proxy = talker(&stage);
    let path = stage.dir.path().join("pid");
    let pid: u32 = std::fs::read_to_string(&path).unwrap().trim().parse().unwrap();
    std::fs::remove_file(path).unwrap();
    proxy.signal(15);
    assert_eq!(proxy.line(), "Can't read child pidfile pid!\n");
    kill(pid, 9);
    assert_eq!(proxy.end(), (Some(0), String::new()));
}

#[test]
fn the_end_of_the_command_is_the_end_whatever_its_code() {
    let stage = Stage::new();
    for words in [&["pid", "sh", "-c", "exit 7"][..], &["pid", "sh", "-c", "kill -9 $$"]] {
        assert_eq!(Proxy::start(&stage, words).end(), (Some(0), String::new()));
    }
}

#[test]
fn wrong_use() {
    let stage = Stage::new();
    for words in [&[][..], &["pid"]] {
        let (code, out) = Proxy::start(&stage, words).end();
        assert_eq!(code, Some(1));
        let usage = format!("Usage: {} <pidfile name> <command>", stage.program("pidproxy").display());
        assert!(out.contains(&usage), "{out}");
    }
    let (code, out) = Proxy::start(&stage, &["pid", "/no/such/program"]).end();
    assert_eq!((code, out.contains("No such file")), (Some(1), true), "{out}");
    assert!(!Path::new("pid").exists());
}
