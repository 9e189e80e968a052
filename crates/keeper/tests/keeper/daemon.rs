//! The scripted daemon.

use crate::runner::{FILES_ENV, OOM_ENV, PATIENCE, files_of};
use std::collections::HashMap;
use std::ffi::CString;
use std::fs;
use std::io::{self, PipeReader, PipeWriter, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;
use supers_os::keeper_proto::{self, First, ToDaemon, ToKeeper};
use supers_os::poll::{Epoll, Event, Interest, wait_readable, wait_writable};
use supers_os::spawn::{Child, Method, Plan, Report, spawn};
use supers_os::{Exit, Pid, Signal, process, reap};

pub(crate) struct Daemon {
    pub socket: OwnedFd,
    pub starts: u32,
    pub keeper: i32,
    pub rolled_back: bool,
    /// What the keeper shall end with.
    pub code: i32,
}

/// Runs one life of a scenario.
pub(crate) fn role(scenario: fn(&mut Daemon)) -> i32 {
    let socket = keeper_proto::inherited_socket().unwrap();
    let mut first = keeper_proto::wait_first(socket.as_fd()).unwrap();
    if let First::Prepare(records) = first {
        crate::standby::prepare(&socket, records);
        let Ok(next) = keeper_proto::wait_first(socket.as_fd()) else { return 0 };
        first = next;
    }
    let First::Hello(keeper_proto::Hello { starts, keeper_pid: keeper, rolled_back, .. }) = first else {
        panic!("no hello");
    };
    let mut daemon = Daemon { socket, starts, keeper, rolled_back, code: 0 };
    // A failure must not look like a crash to be restarted.
    let good = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        daemon.look_around();
        scenario(&mut daemon);
    }));
    let code = if good.is_ok() { daemon.code } else { 101 };
    daemon.say(ToKeeper::Final { code });
    // Not the code that counts.
    77
}

pub(crate) fn shell(script: &str, stdin: i32) -> Plan {
    let words = ["sh", "-c", script].map(|w| CString::new(w).unwrap());
    let mut plan = Plan::new(c"/bin/sh".into(), words.into());
    plan.env = vec![c"PATH=/bin:/usr/bin".into()];
    plan.stdin = stdin;
    plan
}

impl Daemon {
    /// What each daemon finds.
    pub(crate) fn look_around(&self) {
        let comm = fs::read_to_string(format!("/proc/{}/comm", self.keeper)).unwrap();
        assert_eq!(comm.trim(), "super-keeper");
        assert_eq!(
            (process::ppid(), stat(process::pid(), 5)),
            (self.keeper, process::pid()),
            "parent and group"
        );
        let oom = process::oom_score_adj().unwrap().to_string();
        assert_eq!(Some(oom), std::env::var(OOM_ENV).ok(), "the keeper's own is not inherited");
        let (soft, hard) = files_of("self");
        assert_eq!(Some(soft), std::env::var(FILES_ENV).ok(), "nor what it raised");
        assert_eq!(files_of(&self.keeper.to_string()), (hard.clone(), hard));
        let status = fs::read_to_string("/proc/self/status").unwrap();
        assert!(status.contains("SigBlk:\t0000000000000000"), "{status}");
    }

    pub(crate) fn say(&self, message: ToKeeper) {
        while let Err(e) = keeper_proto::send(self.socket.as_fd(), &message) {
            assert_eq!(e.kind(), io::ErrorKind::WouldBlock);
            assert!(wait_writable(self.socket.as_fd(), PATIENCE).unwrap());
        }
    }

    /// The next message.
    pub(crate) fn hear(&self) -> ToDaemon {
        loop {
            match keeper_proto::recv(self.socket.as_fd()) {
                Ok(message) => return message.expect("the keeper lives"),
                Err(e) => assert_eq!(e.kind(), io::ErrorKind::WouldBlock),
            }
            assert!(wait_readable(self.socket.as_fd(), PATIENCE).unwrap(), "the keeper says something");
        }
    }

    /// The next message that is no nudge.
    pub(crate) fn word(&self) -> ToDaemon {
        loop {
            let message = self.hear();
            if message != ToDaemon::Nudge {
                return message;
            }
        }
    }

    pub(crate) fn start(&self, run: u64, mut plan: Plan) -> Child {
        plan.report = Some(Report { fd: self.socket.as_raw_fd(), run, gifts: [None; 3] });
        spawn(&plan, Method::Keeper).unwrap()
    }

    /// All that the keeper lists.
    pub(crate) fn list(&self) -> Vec<(i32, u64)> {
        self.say(ToKeeper::List);
        let mut all = Vec::new();
        loop {
            match self.word() {
                ToDaemon::Living { pid, run } => all.push((pid, run)),
                ToDaemon::LivingEnd => return all,
                other => panic!("{other:?} in a list"),
            }
        }
    }
}

/// A field of a process's stat line (no process here has a blank in its name).
fn stat(pid: i32, field: usize) -> i32 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    text.split(' ').nth(field - 1).unwrap().parse().unwrap()
}

fn gate() -> (PipeReader, PipeWriter) {
    io::pipe().unwrap()
}

pub(crate) fn until_ended(child: &Child) {
    assert!(wait_readable(child.pidfd.as_fd(), PATIENCE).unwrap());
}

fn exists(pid: i32) -> bool {
    fs::exists(format!("/proc/{pid}")).unwrap()
}

pub(crate) fn die() {
    reap::kill(Pid(process::pid()), Signal::KILL).unwrap();
}

pub(crate) fn exit_is_told_and_kept(daemon: &mut Daemon) {
    let (read, write) = gate();
    let child = daemon.start(5, shell("read x; exit 7", read.as_raw_fd()));
    let pid = child.pid.0;
    assert_eq!(stat(pid, 4), daemon.keeper, "the keeper's child");
    assert_eq!(daemon.list(), [(pid, 5)]);
    // A signal of a child that tells of no end may hide one that does.
    for signal in ["STOP", "CONT"] {
        reap::pidfd_signal(&child.pidfd, Signal::parse(signal).unwrap()).unwrap();
        assert_eq!(daemon.hear(), ToDaemon::Nudge);
    }
    drop(write);
    let told = ToDaemon::Exit { pid, run: 5, exit: Exit::Code(7) };
    assert_eq!(daemon.word(), told);
    daemon.say(ToKeeper::Ask { pid });
    assert_eq!(daemon.word(), told, "as often as one asks");
    daemon.say(ToKeeper::Ack { pid, run: 4 });
    daemon.say(ToKeeper::Ask { pid });
    assert_eq!(daemon.word(), told, "another run's acknowledgement is none");
    assert_eq!(process::zombie_exit(pid).unwrap(), Some(Exit::Code(7)));
    daemon.say(ToKeeper::Ack { pid, run: 5 });
    assert_eq!(daemon.list(), []);
    assert!(!exists(pid));
    let killed = daemon.start(6, shell("kill -KILL $$", 0));
    let exit = Exit::Signal { signal: Signal::KILL, core: false };
    assert_eq!(daemon.word(), ToDaemon::Exit { pid: killed.pid.0, run: 6, exit });
    // A start that fails is a birth and an end, too.
    let plan = Plan {
        report: Some(Report { fd: daemon.socket.as_raw_fd(), run: 7, gifts: [None; 3] }),
        ..Plan::new(c"/no/such".into(), vec![])
    };
    spawn(&plan, Method::Keeper).unwrap_err();
    assert!(matches!(daemon.word(), ToDaemon::Exit { run: 7, exit: Exit::Code(127), .. }));
}

pub(crate) fn settled_early(daemon: &mut Daemon) {
    let (read, write) = gate();
    let child = daemon.start(1, shell("read x", read.as_raw_fd()));
    let pid = child.pid.0;
    daemon.say(ToKeeper::Ack { pid, run: 1 });
    assert_eq!(daemon.list(), [(pid, 1)]);
    drop(write);
    until_ended(&child);
    // By the signal or by this: whichever comes first.
    daemon.say(ToKeeper::Ask { pid });
    assert_eq!(daemon.list(), []);
    assert!(!exists(pid));
}

/// Many processes that end together when the writer is dropped, with codes 0 to 99.
fn many(daemon: &Daemon, count: u64) -> (HashMap<u64, Child>, PipeWriter) {
    let (read, write) = gate();
    let start =
        |run: u64| (run, daemon.start(run, shell(&format!("read x; exit {}", run % 100), read.as_raw_fd())));
    ((1..=count).map(start).collect(), write)
}

fn check(run: u64, exit: Exit) {
    assert_eq!(exit, Exit::Code((run % 100) as u8));
}

/// As the engine does it: after each end or nudge the pidfds are looked at.
pub(crate) fn storm(daemon: &mut Daemon) {
    let (mut left, write) = many(daemon, 200);
    let pidfds = Epoll::new().unwrap();
    left.iter().for_each(|(run, child)| pidfds.add(child.pidfd.as_fd(), *run, Interest::Read).unwrap());
    drop(write);
    while !left.is_empty() {
        if let ToDaemon::Exit { pid, run, exit } = daemon.hear() {
            check(run, exit);
            if left.remove(&run).is_some() {
                daemon.say(ToKeeper::Ack { pid, run });
            }
        }
        let mut events = [Event::default(); 64];
        let n = pidfds.wait(&mut events, Some(Duration::ZERO)).unwrap();
        for child in events[..n].iter().filter_map(|e| left.get(&e.token())) {
            daemon.say(ToKeeper::Ask { pid: child.pid.0 });
        }
    }
    // Answers to questions that crossed may still come; nothing is left.
    daemon.say(ToKeeper::List);
    while !matches!(daemon.hear(), ToDaemon::LivingEnd) {}
}

/// Lets the keeper talk without listening, until the socket is full.
pub(crate) fn deaf(daemon: &mut Daemon) {
    let (mut left, write) = many(daemon, 600);
    let mut all: Vec<(i32, u64)> = left.iter().map(|(run, child)| (child.pid.0, *run)).collect();
    all.sort_unstable();
    drop(write);
    left.values().for_each(until_ended);
    left.values().for_each(|child| daemon.say(ToKeeper::Ask { pid: child.pid.0 }));
    while !left.is_empty() {
        if let ToDaemon::Exit { run, exit, .. } = daemon.hear() {
            check(run, exit);
            left.remove(&run);
        }
    }
    // Whatever was told twice lies before the list.
    daemon.say(ToKeeper::List);
    while !matches!(daemon.hear(), ToDaemon::Living { .. }) {}
    while !matches!(daemon.hear(), ToDaemon::LivingEnd) {}
    daemon.say(ToKeeper::List);
    assert!(wait_readable(daemon.socket.as_fd(), PATIENCE).unwrap());
    // It has begun to speak, so it reads this only when it is done or the socket is full; the runner
    // sees that it did, and says so.
    daemon.say(ToKeeper::Ready { detach: false });
    let mut word = String::new();
    io::stdin().read_line(&mut word).unwrap();
    let mut listed = Vec::new();
    loop {
        match daemon.hear() {
            ToDaemon::Living { pid, run } => listed.push((pid, run)),
            ToDaemon::LivingEnd => break,
            _ => {}
        }
    }
    assert_eq!(listed, all);
}

/// Never asks: the keeper's own look at all children must find what no signal told.
pub(crate) fn merged(daemon: &mut Daemon) {
    let (mut left, write) = many(daemon, 100);
    drop(write);
    while !left.is_empty() {
        if let ToDaemon::Exit { run, exit, .. } = daemon.hear() {
            check(run, exit);
            left.remove(&run);
        }
    }
}

pub(crate) fn strangers(daemon: &mut Daemon) {
    let (read, write) = gate();
    let mut plan = shell("for n in 1 2 3; do sh -c 'read x <&3; exit 5' & done; exit 0", 0);
    plan.extra = vec![read.as_raw_fd()];
    let child = daemon.start(1, plan);
    let pid = child.pid.0;
    assert_eq!(daemon.word(), ToDaemon::Exit { pid, run: 1, exit: Exit::Code(0) });
    daemon.say(ToKeeper::Ack { pid, run: 1 });
    drop(write);
    for _ in 0..3 {
        match daemon.word() {
            ToDaemon::Stranger { pid, exit } => assert_eq!((exit, exists(pid)), (Exit::Code(5), false)),
            other => panic!("{other:?} of a stranger"),
        }
    }
    assert_eq!(daemon.list(), []);
}

pub(crate) fn again(daemon: &mut Daemon) {
    println!("life {}", daemon.starts);
    if daemon.starts < 9 {
        daemon.say(ToKeeper::Again);
        std::process::exit(0);
    }
    daemon.code = 12;
}

pub(crate) fn crash(daemon: &mut Daemon) {
    println!("life {}", daemon.starts);
    if daemon.starts == 1 {
        daemon.say(ToKeeper::Ready { detach: false });
        // Its input is the runner's.
        let living = daemon.start(1, shell("read x; exit 3", 0));
        let ended = daemon.start(2, shell("exit 4", 0));
        until_ended(&ended);
        assert!(exists(living.pid.0));
        die();
    }
    assert_eq!(daemon.starts, 2);
    let own = daemon.start(3, shell("exit 8", 0));
    assert_eq!(
        daemon.word(),
        ToDaemon::Exit { pid: own.pid.0, run: 3, exit: Exit::Code(8) },
        "nothing of the first life before it asks"
    );
    let all = daemon.list();
    let pid = |run| all.iter().find(|l| l.1 == run).unwrap().0;
    assert_eq!(all.len(), 3);
    assert_eq!(process::zombie_exit(pid(1)).unwrap(), None, "the unit lives on");
    assert_eq!(daemon.word(), ToDaemon::Exit { pid: pid(2), run: 2, exit: Exit::Code(4) });
    for run in [2, 3] {
        daemon.say(ToKeeper::Ack { pid: pid(run), run });
    }
    println!("alive");
    let last = ToDaemon::Exit { pid: pid(1), run: 1, exit: Exit::Code(3) };
    // The end of the third may be told again, since the list was asked for.
    while daemon.word() != last {}
    daemon.code = 12;
}

pub(crate) fn given_up(daemon: &mut Daemon) {
    println!("life {}", daemon.starts);
    std::process::exit(6);
}

pub(crate) fn signals(daemon: &mut Daemon) {
    println!("up");
    for _ in 0..3 {
        match daemon.word() {
            ToDaemon::Signal { signal, sender } => println!("{signal} from {sender}"),
            other => panic!("{other:?} is no signal"),
        }
    }
    let mut word = String::new();
    io::stdin().read_line(&mut word).unwrap();
    daemon.code = 3;
}

pub(crate) fn remembered(daemon: &mut Daemon) {
    println!("life {}", daemon.starts);
    io::stdout().flush().unwrap();
    if daemon.starts < 4 {
        die();
    }
    match daemon.word() {
        ToDaemon::Signal { signal, .. } => println!("{signal}"),
        other => panic!("{other:?} is no signal"),
    }
    if daemon.starts == 4 {
        // It has heard it, but does not come to obey.
        die();
    }
    daemon.code = 9;
}

pub(crate) fn released(daemon: &mut Daemon) {
    assert_eq!(stat(daemon.keeper, 6), daemon.keeper, "a session of its own");
    daemon.say(ToKeeper::Ready { detach: true });
    assert_eq!(daemon.list(), []);
    for fd in 0..3 {
        let link = fs::read_link(format!("/proc/{}/fd/{fd}", daemon.keeper)).unwrap();
        assert_eq!(link.to_str(), Some("/dev/null"));
    }
}
