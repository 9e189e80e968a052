//! The runner's side, and the keeper's role.

use crate::alloc;
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::process::CommandExt;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use supers_keeper::{Keeper, Setup};
use supers_os::poll::wait_readable;
use supers_os::{Pid, Signal, process, reap};

/// The longest wait.
pub(crate) const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));
/// The keeper's exit code when it allocated.
const ALLOCATED: i32 = 99;
/// Tells the daemon its runner's oom_score_adj.
pub(crate) const OOM_ENV: &str = "TEST_OOM";
/// And its soft limit of open files.
pub(crate) const FILES_ENV: &str = "TEST_FILES";
/// The keeper's: numbers of the descriptors for it.
const FDS_ENV: &str = "TEST_FDS";

/// Soft and hard limit of open files of a process.
pub(crate) fn files_of(pid: &str) -> (String, String) {
    let limits = std::fs::read_to_string(format!("/proc/{pid}/limits")).unwrap();
    let line = limits.lines().find(|line| line.starts_with("Max open files")).unwrap();
    let mut words = line.split_ascii_whitespace().skip(3).map(str::to_owned);
    (words.next().unwrap(), words.next().unwrap())
}

/// The runner's soft limit.
pub(crate) fn soft_files() -> u64 {
    std::env::var(FILES_ENV).unwrap().parse().unwrap_or(u64::MAX)
}

/// A keeper and what it writes.
pub(crate) struct World {
    keeper: Child,
    output: File,
    unread: Vec<u8>,
    /// The other end of everybody's standard input.
    input: Option<File>,
    ready: File,
    words: File,
}

impl World {
    pub(crate) fn new(scenario: &str) -> World {
        let (output, theirs) = io::pipe().unwrap();
        let (ready, their_ready) = io::pipe().unwrap();
        process::set_inheritable(their_ready.as_fd(), true).unwrap();
        let words = supers_os::exec::memory_file(c"words").unwrap();
        process::set_inheritable(words.as_fd(), true).unwrap();
        let mut command = Command::new("/proc/self/exe");
        command.arg0("super-keeper").arg(scenario);
        command.env(FDS_ENV, format!("{},{}", their_ready.as_raw_fd(), words.as_raw_fd()));
        command.env(FILES_ENV, files_of("self").0);
        command.env(OOM_ENV, process::oom_score_adj().unwrap().to_string());
        command.stdin(Stdio::piped()).stdout(theirs.try_clone().unwrap()).stderr(theirs);
        let mut keeper = command.spawn().unwrap();
        let input = keeper.stdin.take().map(|stdin| File::from(OwnedFd::from(stdin)));
        let (output, ready) = (OwnedFd::from(output).into(), OwnedFd::from(ready).into());
        process::set_inheritable(words.as_fd(), false).unwrap();
        World { keeper, output, unread: Vec::new(), input, ready, words }
    }

    /// The next line that the daemon writes.
    pub(crate) fn line(&mut self) -> String {
        loop {
            if let Some(end) = self.unread.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.unread.drain(..=end).collect();
                return String::from_utf8(line).unwrap().trim_end().to_owned();
            }
            let mut part = [0u8; 512];
            assert!(wait_readable(self.output.as_fd(), PATIENCE).unwrap(), "the daemon says something");
            let n = self.output.read(&mut part).unwrap();
            assert_ne!(n, 0, "the daemon's output ended after {:?}", self.unread);
            self.unread.extend_from_slice(&part[..n]);
        }
    }

    pub(crate) fn expect(&mut self, line: &str) {
        assert_eq!(self.line(), line);
    }

    fn pid(&self) -> Pid {
        Pid(self.keeper.id().cast_signed())
    }

    fn signal(&self, signal: Signal) {
        reap::kill(self.pid(), signal).unwrap();
    }

    /// The keeper says how a daemon ended. One that died suddenly is replaced before it is reaped: the next one may
    /// have said something before.
    pub(crate) fn died(&mut self, how: &str) {
        let mut before = Vec::new();
        loop {
            let line = self.line();
            if line.starts_with("super-keeper: superd (pid ") && line.ends_with(how) {
                break;
            }
            assert!(before.len() < 64 && !line.starts_with("super-keeper"), "{line}");
            before.extend_from_slice(format!("{line}\n").as_bytes());
        }
        before.append(&mut self.unread);
        self.unread = before;
    }

    /// A line for whoever reads the input.
    pub(crate) fn send(&mut self, line: &str) {
        writeln!(self.input.as_mut().unwrap(), "{line}").unwrap();
    }

    /// What the keeper left in its file.
    pub(crate) fn last_words(&self) -> String {
        std::fs::read_to_string(format!("/proc/self/fd/{}", self.words.as_raw_fd())).unwrap()
    }

    /// The keeper was killed.
    pub(crate) fn is_killed(&mut self) {
        assert_eq!(std::os::unix::process::ExitStatusExt::signal(&self.keeper.wait().unwrap()), Some(9));
    }

    /// What everybody writes until all have ended.
    pub(crate) fn rest(&mut self) -> String {
        let mut part = [0u8; 512];
        loop {
            assert!(wait_readable(self.output.as_fd(), PATIENCE).unwrap(), "all end");
            match self.output.read(&mut part).unwrap() {
                0 => return String::from_utf8_lossy(&self.unread).into_owned(),
                n => self.unread.extend_from_slice(&part[..n]),
            }
        }
    }

    /// The keeper's exit code.
    pub(crate) fn end(&mut self) -> i32 {
        let pidfd = reap::pidfd_open(self.pid()).unwrap();
        assert!(wait_readable(pidfd.as_fd(), PATIENCE).unwrap(), "the keeper ends");
        let code = self.keeper.wait().unwrap().code().expect("a code");
        assert_ne!(code, ALLOCATED, "the keeper allocated");
        code
    }
}

impl Drop for World {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let _ = self.keeper.kill();
            let _ = self.keeper.wait();
            eprintln!("unread: {}", String::from_utf8_lossy(&self.unread));
            while let Ok(true) = wait_readable(self.output.as_fd(), Some(Duration::ZERO)) {
                let mut part = [0u8; 4096];
                match self.output.read(&mut part) {
                    Ok(n @ 1..) => eprint!("{}", String::from_utf8_lossy(&part[..n])),
                    Ok(0) | Err(_) => break,
                }
            }
        }
    }
}

/// Words and environment of a keeper.
pub(crate) fn keeper_words(scenario: &str) -> (Vec<CString>, Vec<CString>) {
    let argv = ["super-keeper", scenario].map(|w| CString::new(w).unwrap()).into();
    let entry = |(k, v): (std::ffi::OsString, std::ffi::OsString)| {
        CString::new([k.into_vec(), b"=".to_vec(), v.into_vec()].concat()).unwrap()
    };
    (argv, std::env::vars_os().map(entry).collect())
}

/// What runs as the keeper.
pub(crate) fn keeper_role(words: &[String]) -> i32 {
    let inherited = supers_keeper::handover::inherit().map(|inherited| inherited.unwrap());
    let fds = std::env::var(FDS_ENV).unwrap();
    let fds = fds.split(',').map(|n| process::adopt_fd(n.parse().unwrap()).ok());
    let (mut ready, mut last_words) = (None, None);
    if inherited.is_some() {
        println!("took over");
    } else {
        [ready, last_words] = fds.collect::<Vec<_>>().try_into().unwrap();
    }
    if !["a_launcher_is_released", "a_deaf_daemon", "thousands_reach"].iter().any(|s| words[1].starts_with(s))
    {
        ready = None;
    }
    let argv = ["superd", &words[1]].map(|w| CString::new(w).unwrap()).into();
    let mut own = keeper_words(&words[1]);
    if words[1] == "a_keeper_that_cannot_follow_goes_on" {
        // More than the kernel takes.
        own.0.push(CString::new("x".repeat(200_000)).unwrap());
    }
    let env = keeper_words("").1;
    let upgrade_wait = Some(Duration::from_secs(1));
    let setup = Setup { argv, env, own, ready, last_words, inherited, upgrade_wait, ..Setup::default() };
    let keeper = Keeper::start(setup).unwrap();
    let before = alloc::count();
    let code = keeper.keep();
    if alloc::count() == before { code } else { ALLOCATED }
}

/// The daemon does everything.
pub(crate) fn ends_with<const CODE: i32>(world: &mut World) {
    assert_eq!(world.end(), CODE);
}

pub(crate) fn deaf(world: &mut World) {
    assert!(wait_readable(world.ready.as_fd(), PATIENCE).unwrap());
    world.send("go on");
    assert_eq!(world.end(), 0);
}

pub(crate) fn crash(world: &mut World) {
    world.expect("life 1");
    world.died("ended unexpectedly: terminated by SIGKILL");
    world.expect("life 2");
    world.expect("alive");
    // Lets the unit of the first life end.
    drop(world.input.take());
    assert_eq!(world.end(), 12);
}

/// No crash is reported, and no pause made, however often it asks.
pub(crate) fn again(world: &mut World) {
    for life in 1..=9 {
        world.expect(&format!("life {life}"));
    }
    assert_eq!(world.end(), 12);
}

pub(crate) fn given_up(world: &mut World) {
    for life in 1..=5 {
        world.expect(&format!("life {life}"));
        world.died("ended unexpectedly: exit status 6");
    }
    world.expect("super-keeper: superd cannot run: giving up");
    assert_eq!(world.end(), 6);
}

pub(crate) fn signals(world: &mut World) {
    world.expect("up");
    for (signal, name) in [(Signal::TERM, "SIGTERM"), (Signal::HUP, "SIGHUP"), (Signal::USR1, "SIGUSR1")] {
        world.signal(signal);
        let pid = process::pid();
        world.expect(&format!("{name} from {pid}"));
    }
    world.send("end");
    assert_eq!(world.end(), 3);
}

pub(crate) fn remembered(world: &mut World) {
    for life in 1..=3 {
        world.expect(&format!("life {life}"));
        world.died("ended unexpectedly: terminated by SIGKILL");
    }
    // The fourth start is 200 ms away.
    world.signal(Signal::HUP);
    world.signal(Signal::TERM);
    world.expect("life 4");
    world.expect("SIGTERM");
    world.died("ended unexpectedly: terminated by SIGKILL");
    world.expect("life 5");
    world.expect("SIGTERM");
    assert_eq!(world.end(), 9);
}

pub(crate) fn released(world: &mut World) {
    assert!(wait_readable(world.ready.as_fd(), PATIENCE).unwrap());
    let mut word = [0u8; 2];
    assert_eq!(world.ready.read(&mut word).unwrap(), 1);
    assert_eq!(world.end(), 0);
    // Nobody else held the pipe.
    assert_eq!(world.ready.read(&mut word).unwrap(), 0);
}
