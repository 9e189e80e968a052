//! Scenarios of a daemon on standby. The daemon's side of each is followed by the runner's.

use crate::daemon::{Daemon, die, shell};
use crate::runner::World;
use crate::upgrade::{is_new, own_program, program};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use supers_os::keeper_proto::{self, Key, Standby, ToDaemon, ToKeeper};
use supers_os::{Pid, Signal, process, reap};

/// The processes that are on standby, as they name themselves.
const STANDBY: &str = "on standby";

/// What one on standby does in every scenario.
pub(crate) fn prepare(socket: &OwnedFd, records: Option<OwnedFd>) {
    let mut text = String::new();
    File::from(records.expect("records")).read_to_string(&mut text).unwrap();
    assert_eq!(text, "records");
    println!("{STANDBY}");
    keeper_proto::send(socket.as_fd(), &ToKeeper::Prepared).unwrap();
}

impl Daemon {
    /// They can be read once.
    fn store_records(&self) {
        let (read, mut write) = io::pipe().unwrap();
        write.write_all(b"records").unwrap();
        drop(write);
        self.store(Key::RECORDS, read.as_fd());
    }

    /// Has a program on standby, with records to look at.
    fn stand_by(&self, program: &File, became: Standby) {
        self.store_records();
        self.give(ToKeeper::Prepare { number: 9 }, program.as_fd());
        assert_eq!(self.word(), ToDaemon::Prepared { standby: became, number: 9 });
    }
}

/// The process that was on standby is the daemon, and the one before lives until then.
pub(crate) fn good(daemon: &mut Daemon) {
    println!("life {}", daemon.starts);
    if daemon.starts == 1 {
        let program = own_program();
        daemon.stand_by(&program, Standby::Prepared);
        daemon.say(ToKeeper::Forget { key: Key::RECORDS.0 });
        let (read, write) = io::pipe().unwrap();
        daemon.store(Key::run(1), write.as_fd());
        drop(write);
        daemon.start(1, shell("read x; exit 3", read.as_raw_fd()));
        daemon.say(ToKeeper::Ready { detach: false });
        daemon.give(ToKeeper::Upgrade, program.as_fd());
        keeper_proto::wait_for_the_end(daemon.socket.as_fd()).unwrap();
        println!("let go");
        std::process::exit(0);
    }
    assert!(is_new(process::pid()) && !daemon.rolled_back);
    assert_eq!(daemon.starts, 2);
    daemon.check_process();
    println!("looked around");
    daemon.say(ToKeeper::Ready { detach: false });
    daemon.code = 12;
    let mut word = String::new();
    io::stdin().read_line(&mut word).unwrap();
}

pub(crate) fn see_good(world: &mut World) {
    for line in ["life 1", STANDBY, "life 2", "looked around", "let go", "took over"] {
        world.expect(line);
    }
    world.send("end");
    assert_eq!(world.end(), 12);
}

/// That it will not be there is told as well, and the daemon is none the worse.
pub(crate) fn dying(daemon: &mut Daemon) {
    daemon.stand_by(&program(b"#!/bin/sh\nexit 4\n"), Standby::Ended);
    // There is room for another when it is reaped.
    while children(daemon.keeper) > 1 {
        daemon.list();
    }
    daemon.list();
    daemon.stand_by(&program(b"no program"), Standby::None);
    daemon.code = 12;
}

pub(crate) fn see_dying(world: &mut World) {
    let line = world.line();
    let good = line.starts_with("super-keeper: superd on standby (pid ");
    assert!(good && line.ends_with("ended unexpectedly: exit status 4"), "{line}");
    world.expect("super-keeper: cannot start superd (superd): Exec, error 8");
    assert_eq!(world.end(), 12);
}

/// It ends unheard, and another can be had. A second one beside it cannot.
pub(crate) fn dismissed(daemon: &mut Daemon) {
    let program = own_program();
    daemon.stand_by(&program, Standby::Prepared);
    daemon.stand_by(&program, Standby::None);
    daemon.say(ToKeeper::Prepare { number: 10 });
    assert_eq!(daemon.word(), ToDaemon::Prepared { standby: Standby::None, number: 10 });
    // No sooner than it is reaped.
    while children(daemon.keeper) > 1 {
        daemon.say(ToKeeper::List);
        while daemon.word() != ToDaemon::LivingEnd {}
    }
    daemon.say(ToKeeper::List);
    while daemon.word() != ToDaemon::LivingEnd {}
    daemon.stand_by(&program, Standby::Prepared);
    daemon.code = 12;
}

fn children_of(pid: i32) -> Vec<i32> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(|word| word.parse().unwrap()).collect()
}

fn children(pid: i32) -> usize {
    children_of(pid).len()
}

pub(crate) fn see_dismissed(world: &mut World) {
    world.expect(STANDBY);
    world.expect(STANDBY);
    assert_eq!(world.rest(), "");
    assert_eq!(world.end(), 12);
}

/// After a crash the program of before is started, whatever is on standby.
pub(crate) fn crash(daemon: &mut Daemon) {
    println!("life {}", daemon.starts);
    if daemon.starts == 1 {
        daemon.stand_by(&own_program(), Standby::Prepared);
        die();
    }
    assert!(!is_new(process::pid()));
    assert!(!daemon.rolled_back);
    while children(daemon.keeper) > 1 {
        daemon.list();
    }
    daemon.code = 12;
}

pub(crate) fn see_crash(world: &mut World) {
    world.expect("life 1");
    world.expect(STANDBY);
    world.died("ended unexpectedly: terminated by SIGKILL");
    world.expect("life 2");
    assert_eq!(world.end(), 12);
}

/// Sends a signal and waits until the process is in this state.
fn signal_until(pid: i32, signal: Signal, state: &str) {
    reap::kill(Pid(pid), signal).unwrap();
    let line = format!("State:\t{state}");
    while !std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap().contains(&line) {}
}

/// While the keeper is held still, the daemon asks for one on standby, and the process that kept the keeper from
/// becoming the new program ends: the keeper hears of both at once, and answers before it becomes that.
pub(crate) fn late(daemon: &mut Daemon) {
    println!("life {}", daemon.starts);
    if daemon.starts == 1 {
        daemon.say(ToKeeper::Ready { detach: false });
        daemon.give(ToKeeper::Upgrade, own_program().as_fd());
        keeper_proto::wait_for_the_end(daemon.socket.as_fd()).unwrap();
        loop {
            std::thread::park();
        }
    }
    daemon.say(ToKeeper::Ready { detach: false });
    // The answer says that this was heard.
    daemon.list();
    let keeper = daemon.keeper;
    assert!(!is_new(keeper));
    let own = process::pid();
    let others: Vec<i32> = children_of(keeper).into_iter().filter(|pid| *pid != own).collect();
    let [before] = others[..] else { panic!("the daemon before, not {others:?}") };
    signal_until(keeper, Signal::parse("STOP").unwrap(), "T");
    daemon.give(ToKeeper::Prepare { number: 7 }, own_program().as_fd());
    signal_until(before, Signal::KILL, "Z");
    reap::kill(Pid(keeper), Signal::CONT).unwrap();
    assert_eq!(daemon.word(), ToDaemon::Signal { signal: Signal::CONT, sender: own });
    assert_eq!(daemon.word(), ToDaemon::Prepared { standby: Standby::None, number: 7 });
    let mut word = String::new();
    io::stdin().read_line(&mut word).unwrap();
    assert!(is_new(keeper));
    daemon.code = 12;
}

pub(crate) fn see_late(world: &mut World) {
    world.expect("life 1");
    world.expect("life 2");
    world.died("ended unexpectedly: terminated by SIGKILL");
    world.expect("took over");
    world.send("it did");
    assert_eq!(world.end(), 12);
}

/// A daemon is killed, and one of its threads is gone before its descriptors are closed.
pub(crate) fn ahead(daemon: &mut Daemon) {
    println!("life {}", daemon.starts);
    if daemon.starts == 1 {
        daemon.store_records();
        process::raise_nofile_to_hard().unwrap();
        let null = File::open("/dev/null").unwrap();
        let many: Vec<File> = (0..2000).map(|_| null.try_clone().unwrap()).collect();
        daemon.say(ToKeeper::Ready { detach: false });
        for _ in 0..2 {
            let (tell, told) = std::sync::mpsc::channel();
            std::thread::spawn(move || {
                tell.send(process::thread_id()).unwrap();
                loop {
                    std::thread::park();
                }
            });
            daemon.say(ToKeeper::Pulse { thread: told.recv().unwrap() });
        }
        // The answer says that the keeper has heard it.
        daemon.list();
        die();
        drop(many);
    }
    assert_eq!(daemon.starts, 2);
    // Until the runner has read that the keeper reaped the first.
    let mut word = String::new();
    io::stdin().read_line(&mut word).unwrap();
    daemon.code = 12;
}

pub(crate) fn see_ahead(world: &mut World) {
    world.expect("life 1");
    world.died("ended unexpectedly: terminated by SIGKILL");
    if reap::pidfd_of_thread(process::thread_id()).is_ok() {
        world.expect(STANDBY);
    }
    world.expect("life 2");
    world.send("go on");
    assert_eq!(world.end(), 12);
}

/// The thread ends alone: that means nothing.
pub(crate) fn alone(daemon: &mut Daemon) {
    println!("life {}", daemon.starts);
    let thread = std::thread::spawn(process::thread_id);
    daemon.say(ToKeeper::Ready { detach: false });
    daemon.say(ToKeeper::Pulse { thread: thread.join().unwrap() });
    let (tell, told) = std::sync::mpsc::channel();
    let (end, ended) = std::sync::mpsc::channel::<()>();
    let thread = std::thread::spawn(move || {
        tell.send(process::thread_id()).unwrap();
        let _ = ended.recv();
    });
    daemon.say(ToKeeper::Pulse { thread: told.recv().unwrap() });
    daemon.list();
    drop(end);
    thread.join().unwrap();
    daemon.list();
    assert_eq!(children_of(daemon.keeper), [process::pid()]);
    daemon.code = 12;
}
