//! The actor, word by word: a test that stands on it must be able to trust it.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    reason = "a test of time reads the clock; helpers of tests are not seen as tests by the lint"
)]

use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, ChildStdout, Command, Stdio};
use std::time::{Duration, Instant};
use supers_testkit::{Deadline, Process, World};

const ACTOR: &str = env!("CARGO_BIN_EXE_actor");

fn actor(args: &[&str]) -> Command {
    let mut command = Command::new(ACTOR);
    command.args(args).stdin(Stdio::null());
    command
}

fn run(args: &[&str]) -> (i32, String, String) {
    let end = World::new().run(actor(args));
    (end.code, end.stdout, end.stderr)
}

fn out(args: &[&str]) -> String {
    run(args).1
}

/// An actor that stays, with its output to read line by line. Killed on drop.
struct Stays(Child, BufReader<ChildStdout>);

impl Stays {
    fn start(args: &[&str]) -> Stays {
        let mut child = actor(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let out = BufReader::new(child.stdout.take().unwrap());
        Stays(child, out)
    }
    fn line(&mut self) -> String {
        let mut line = String::new();
        self.1.read_line(&mut line).unwrap();
        line.trim_end().to_string()
    }
    fn process(&self) -> Process {
        Process::open(i32::try_from(self.0.id()).unwrap()).unwrap()
    }
    fn end(mut self) -> (i32, String) {
        let mut rest = String::new();
        self.1.read_to_string(&mut rest).unwrap();
        (self.0.wait().unwrap().code().unwrap_or(-1), rest)
    }
}

impl Drop for Stays {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[test]
fn words_are_obeyed_in_order() {
    let end = run(&["print", "a", "err", "b", "raw", "c", "exit", "7", "print", "never"]);
    assert_eq!(end, (7, "a\nc".into(), "b\n".into()));
    assert_eq!(run(&["print", "a"]).0, 0);
}

#[test]
fn what_it_does_not_understand() {
    for args in [&[][..], &["dance"], &["print"], &["exit", "x"], &["ignore", "FOO"], &["sleep", "1h"]] {
        let (code, _, stderr) = run(args);
        assert_eq!(code, 64, "{args:?}");
        assert!(!stderr.is_empty(), "{args:?}");
    }
}

#[test]
fn ends() {
    assert_eq!(run(&["exit-with", "3", "after", "20ms"]).0, 3);
    assert_eq!(run(&["exit-with", "4"]).0, 4);
    assert_eq!(run(&["abort"]).0, -6);
    assert_eq!(run(&["kill-self", "KILL"]).0, -9);
    assert_eq!(run(&["kill-self", "SIGUSR1"]).0, -10);
    let began = Instant::now();
    assert_eq!(out(&["ready-after", "50ms"]), "ready\n");
    assert!(began.elapsed() >= Duration::from_millis(50));
}

#[test]
fn signals() {
    assert_eq!(run(&["on", "TERM", "exit", "3", "kill-self", "TERM", "wait"]).0, 3);
    assert_eq!(run(&["ignore", "TERM", "kill-self", "TERM", "exit", "5"]).0, 5);
    let twice = ["on", "HUP", "print", "again", "kill-self", "1", "kill-self", "HUP"];
    assert_eq!(out(&twice), "again\nagain\n");
    assert_eq!(out(&["on", "USR2", "nothing", "kill-self", "USR2", "print", "here"]), "here\n");

    let mut stays = Stays::start(&["ignore", "TERM", "on", "INT", "exit", "9", "print", "up", "wait"]);
    assert_eq!(stays.line(), "up");
    let process = stays.process();
    assert!(process.signal(15) && process.lives());
    assert!(process.signal(2));
    assert_eq!(stays.end().0, 9);
}

#[test]
fn children() {
    let mut stays = Stays::start(&["fork-and-stay", "print", "up", "wait"]);
    let child = stays.line().strip_prefix("child ").unwrap().parse().unwrap();
    assert_eq!(stays.line(), "up");
    let own = i32::try_from(stays.0.id()).unwrap();
    assert_eq!(supers_testkit::descendants(own), [child]);
    let child = Process::open(child).unwrap();
    assert_eq!(child.comm(), "actor");
    stays.process().kill();
    assert!(child.lives(), "the grandchild outlives its parent");
    assert!(child.kill() && child.wait(Duration::from_secs(5)));

    let mut dies = Stays::start(&["fork-and-die"]);
    let child: i32 = dies.line().strip_prefix("child ").unwrap().parse().unwrap();
    assert!(dies.0.wait().unwrap().success());
    assert!(Process::open(child).unwrap().kill());

    let (code, text) = Stays::start(&["fork", "print", "from below", "exit", "2"]).end();
    assert_eq!((code, text.contains("from below\n")), (0, true));
}

#[test]
fn output() {
    let text = out(&["spew", "10KiB"]);
    assert_eq!(text.len(), 10 * 1024);
    for (number, line) in text.lines().enumerate() {
        assert_eq!((line.len(), line[..12].parse()), (127, Ok(number)));
    }
    assert_eq!(out(&["spew-lines", "3", "print", "end"]), "line 1\nline 2\nline 3\nend\n");
    assert_eq!(out(&["spew-lines", "2", "1ms"]), "line 1\nline 2\n");
    let (code, text, _) = run(&["print", "a", "close-stdout", "print", "b", "exit", "1"]);
    assert_eq!((code, text.as_str()), (1, "a\n"));

    let mut stays = Stays::start(&["nonblock-stdout", "print", "up", "wait"]);
    assert_eq!(stays.line(), "up");
    let info = std::fs::read_to_string(format!("/proc/{}/fdinfo/1", stays.0.id())).unwrap();
    let flags = info.lines().find_map(|l| l.strip_prefix("flags:")).unwrap().trim();
    assert_ne!(u32::from_str_radix(flags, 8).unwrap() & 0o4000, 0, "O_NONBLOCK is set: {flags}");
}

#[test]
fn facts() {
    let text = World::new().run({
        let mut c = actor(&["env", "GREETING", "env", "NOTHING", "cwd", "args", "a b", "c"]);
        c.env("GREETING", "hello").current_dir("/");
        c
    });
    assert_eq!(text.stdout, "GREETING=hello\nNOTHING=(unset)\ncwd /\n[\"a b\", \"c\"]\n");
    assert!(out(&["ids"]).starts_with("uid "));
    assert!(out(&["umask"]).trim_end().len() == "umask 0022".len());
    assert!(out(&["limits"]).contains("Max open files"));
    assert!(out(&["pgid"]).contains(" pgid "));
    assert_eq!(out(&["stdin"]), "stdin /dev/null\n");
    assert!(out(&["oom"]).starts_with("oom "));
    assert_eq!(out(&["comm"]), "comm actor\n");
    assert!(out(&["argv0"]).trim_end().ends_with("/actor"));
    let fds = out(&["fds"]);
    let numbers: Vec<&str> = fds.lines().filter_map(|l| l.split(' ').nth(1)).collect();
    assert_eq!(numbers[..3], ["0", "1", "2"], "{fds}");
    // The standard library starts children with SIGPIPE at its default, and blocks nothing.
    assert_eq!(out(&["sigmask"]), "SigBlk 0000000000000000\nSigIgn 0000000000000000\n");
    assert!(out(&["nice"]).starts_with("nice "));
}

#[test]
fn files() {
    let world = World::new();
    let path = world.path("starts");
    let path = path.to_str().unwrap();
    for _ in 0..3 {
        assert_eq!(world.run(actor(&["count-to-file", path])).code, 0);
    }
    assert_eq!(world.read("starts"), "...");
    assert_eq!(world.run(actor(&["append", path, "x", "note-pid", path])).code, 0);
    let text = world.read("starts");
    assert!(text.starts_with("...x\n") && text[5..].trim_end().parse::<u32>().is_ok(), "{text}");
    assert_eq!(world.run(actor(&["exit-unless", path, "3", "exit", "4"])).code, 4);
    assert_eq!(world.run(actor(&["exit-unless", "/nowhere", "3", "exit", "4"])).code, 3);

    let gate = world.path("gate");
    let mut stays = Stays::start(&["print", "up", "wait-file", gate.to_str().unwrap(), "print", "through"]);
    assert_eq!(stays.line(), "up");
    assert_eq!(world.run(actor(&["touch", gate.to_str().unwrap()])).code, 0);
    assert!(Path::new(&gate).exists());
    assert_eq!(stays.end(), (0, "through\n".into()));
}

#[test]
fn a_server_and_an_echo() {
    let mut stays = Stays::start(&["serve", "0"]);
    let port: u16 = stays.line().strip_prefix("serving ").unwrap().parse().unwrap();
    let mut stream = std::net::TcpStream::connect(("127.0.0.1", port)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.ends_with(&format!("\r\n\r\n{}", stays.0.id())), "{answer}");

    let mut echo = Stays::start(&["stdin-echo"]);
    echo.0.stdin.as_mut().unwrap().write_all(b"one\n").unwrap();
    assert_eq!(echo.line(), "heard one");
    drop(echo.0.stdin.take());
    assert_eq!(echo.end(), (0, "stdin closed\n".into()));
}

#[test]
fn a_world_kills_what_it_started() {
    let mut world = World::new();
    let words = ["fork-and-stay", "on", "TERM", "exit", "0", "print", "up", "wait"];
    let daemon = world.adopt(actor(&words));
    daemon.wait_line("up", Deadline::after(Duration::from_secs(10)));
    let mut pids = supers_testkit::descendants(daemon.pid());
    pids.push(daemon.pid());
    assert_eq!(pids.len(), 2);

    // This one's parent is gone: only its working folder tells where it belongs.
    let mut parent = actor(&["fork-and-die"]);
    parent.current_dir(world.root()).stdout(std::fs::File::create(world.path("orphan")).unwrap());
    assert!(parent.status().unwrap().success());
    let orphan = world.read("orphan").trim_end().strip_prefix("child ").map(str::parse);
    pids.push(orphan.unwrap().unwrap());

    let held: Vec<Process> = pids.into_iter().map(|pid| Process::open(pid).unwrap()).collect();
    let root = world.root().to_path_buf();
    drop(world);
    for process in held {
        assert!(process.wait(Duration::from_secs(5)), "pid {} survived its world", process.pid);
    }
    assert!(!root.exists());
}
