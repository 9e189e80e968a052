//! Scenarios of upgrades. The daemon's side of each is followed by the runner's.

use crate::daemon::{Daemon, die, shell};
use crate::runner::{PATIENCE, World};
use std::fs::{self, File};
use std::io::{self, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::process::Command;
use supers_os::keeper_proto::{self, Key, ToDaemon, ToKeeper};
use supers_os::poll::wait_readable;
use supers_os::{Exit, process};

/// A program in memory.
pub(crate) fn program(bytes: &[u8]) -> File {
    let mut file = supers_os::exec::memory_file(c"new").unwrap();
    file.write_all(bytes).unwrap();
    file
}

pub(crate) fn own_program() -> File {
    program(&fs::read("/proc/self/exe").unwrap())
}

/// Whether a process runs such a program.
pub(crate) fn is_new(pid: i32) -> bool {
    fs::read_link(format!("/proc/{pid}/exe")).unwrap().to_string_lossy().starts_with("/memfd:new")
}

fn go_on() {
    let mut word = String::new();
    io::stdin().read_line(&mut word).unwrap();
    assert_eq!(word, "go on\n");
}

impl Daemon {
    /// Starts a process that ends with 3 when `Key::run(1)` is forgotten, and asks for the program.
    fn upgrade(&self, program: &File) -> ! {
        let (read, write) = io::pipe().unwrap();
        self.store(Key::run(1), write.as_fd());
        drop(write);
        self.start(1, shell("read x; exit 3", read.as_raw_fd()));
        self.say(ToKeeper::Ready { detach: false });
        self.give(ToKeeper::Upgrade, program.as_fd());
        std::process::exit(0);
    }

    /// The process of the first life is there and lives, and its end will be told.
    pub(crate) fn check_process(&self) {
        let [(pid, 1)] = self.list()[..] else { panic!("another list") };
        let held: Vec<u64> = self.fetch().into_iter().map(|held| held.0).collect();
        assert_eq!(held, [Key::run(1).0]);
        self.say(ToKeeper::Forget { key: Key::run(1).0 });
        assert_eq!(self.word(), ToDaemon::Exit { pid, run: 1, exit: Exit::Code(3) });
        self.say(ToKeeper::Ack { pid, run: 1 });
        assert_eq!(self.list(), []);
    }
}

/// The new program is good: daemon first, then the keeper under the living daemon.
pub(crate) fn good(daemon: &mut Daemon) {
    println!("life {}", daemon.starts);
    assert!(!daemon.rolled_back);
    if daemon.starts == 1 {
        daemon.upgrade(&own_program());
    }
    let keeper = daemon.keeper;
    assert!(is_new(process::pid()));
    assert!(!fs::exists("/proc/self/fd/5").unwrap_or(true) || daemon.starts == 3, "no use for the program");
    if daemon.starts == 2 {
        assert!(!is_new(keeper));
        // Asked of the old keeper, answered by the new one.
        daemon.say(ToKeeper::Ready { detach: false });
        daemon.say(ToKeeper::List);
        daemon.say(ToKeeper::Fetch);
        go_on();
        assert!(is_new(keeper));
        assert!(matches!(daemon.word(), ToDaemon::Living { run: 1, .. }));
        assert_eq!(daemon.word(), ToDaemon::LivingEnd);
        assert_eq!(daemon.held().len(), 1);
        die();
    }
    // The new keeper starts daemons as the old one did.
    assert_eq!((daemon.starts, keeper), (3, process::ppid()));
    daemon.look_around();
    daemon.check_process();
    daemon.code = 12;
}

pub(crate) fn see_good(world: &mut World) {
    world.expect("life 1");
    world.expect("life 2");
    world.expect("took over");
    world.send("go on");
    world.died("ended unexpectedly: terminated by SIGKILL");
    world.expect("life 3");
    assert_eq!(world.end(), 12);
}

/// While the keeper is held still the daemon asks for an upgrade, is stopped and goes on: the keeper hears of both at
/// once, and does not take the one for the end that it would be without the other.
pub(crate) fn stopped(daemon: &mut Daemon) {
    println!("life {}", daemon.starts);
    assert!(!daemon.rolled_back);
    if daemon.starts == 1 {
        daemon.say(ToKeeper::Ready { detach: false });
        // The answer says that the keeper has heard it.
        daemon.list();
        // A stop takes effect when its process gets a core.
        let stop = "stop() { kill -STOP $1; until grep -q '^State:.T' /proc/$1/status; do :; done; }";
        let shell = |script: String| {
            let script = format!("{stop}; {script}");
            assert!(Command::new("/bin/sh").args(["-c", &script]).status().unwrap().success());
        };
        shell(format!("stop {}", daemon.keeper));
        daemon.give(ToKeeper::Upgrade, own_program().as_fd());
        let own = process::pid();
        shell(format!("stop {own}; kill -CONT {own} {}", daemon.keeper));
        // It ends when the next one is ready, and not before.
        while wait_readable(daemon.socket.as_fd(), PATIENCE).unwrap() {
            if matches!(keeper_proto::recv(daemon.socket.as_fd()), Ok(None)) {
                std::process::exit(0);
            }
        }
        panic!("the keeper does not let go of it");
    }
    assert!(is_new(process::pid()));
    daemon.say(ToKeeper::Ready { detach: false });
    daemon.code = 12;
}

pub(crate) fn see_stopped(world: &mut World) {
    world.expect("life 1");
    world.expect("life 2");
    assert_eq!(world.end(), 12);
}

/// The keeper cannot become the new program. It goes on, and the daemons are new all the same.
pub(crate) fn half(daemon: &mut Daemon) {
    println!("life {}", daemon.starts);
    if daemon.starts == 1 {
        daemon.upgrade(&own_program());
    }
    assert!(is_new(process::pid()) && !is_new(daemon.keeper) && !daemon.rolled_back);
    daemon.say(ToKeeper::Ready { detach: false });
    if daemon.starts == 2 {
        // Until the keeper has tried.
        go_on();
        die();
    }
    daemon.check_process();
    daemon.code = 12;
}

pub(crate) fn see_half(world: &mut World) {
    world.expect("life 1");
    world.expect("life 2");
    let line = world.line();
    assert!(line.starts_with("super-keeper: cannot become the new program (error "), "{line}");
    world.send("go on");
    world.died("ended unexpectedly: terminated by SIGKILL");
    world.expect("life 3");
    assert_eq!(world.end(), 12);
}

/// What is no good is tried once, and the old program hears of it.
fn tried(daemon: &mut Daemon, bytes: &[u8]) {
    println!("life {}", daemon.starts);
    if daemon.starts == 1 {
        daemon.upgrade(&program(bytes));
    }
    assert_eq!((daemon.starts, daemon.rolled_back), (3, true));
    assert!(!is_new(process::pid()));
    daemon.say(ToKeeper::Ready { detach: false });
    daemon.check_process();
    daemon.code = 12;
}

const BACK: &str = "super-keeper: the new superd does not work: going back to the old one";

fn see_tried(world: &mut World, between: impl FnOnce(&mut World)) {
    world.expect("life 1");
    between(world);
    world.expect(BACK);
    world.expect("life 3");
    assert_eq!(world.end(), 12);
}

pub(crate) fn bad(daemon: &mut Daemon) {
    tried(daemon, b"#!/bin/sh\nexit 4\n");
}

pub(crate) fn see_bad(world: &mut World) {
    see_tried(world, |world| world.died("ended unexpectedly: exit status 4"));
}

pub(crate) fn garbage(daemon: &mut Daemon) {
    tried(daemon, b"no program");
}

pub(crate) fn see_garbage(world: &mut World) {
    see_tried(world, |world| world.expect("super-keeper: cannot start superd (superd): Exec, error 8"));
}

pub(crate) fn hanging(daemon: &mut Daemon) {
    tried(daemon, b"#!/bin/sh\nkill -STOP $$\n");
}

pub(crate) fn see_hanging(world: &mut World) {
    see_tried(world, |world| {
        world.expect("super-keeper: the new superd is not ready in time: it is killed");
        world.died("ended unexpectedly: terminated by SIGKILL");
    });
}
