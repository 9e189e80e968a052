//! Scenarios of what the keeper holds. The daemon's side of each is followed by the runner's, where it has
//! one.

use crate::daemon::{Daemon, die, shell, until_ended};
use crate::runner::{PATIENCE, World};
use std::fs::File;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use supers_os::keeper_proto::{self, Heard, Key, ToDaemon, ToKeeper};
use supers_os::poll::{wait_readable, wait_writable};
use supers_os::{Exit, Pid, Signal, process, reap};

/// A key and its descriptor.
type Held = (u64, OwnedFd);

impl Daemon {
    pub(crate) fn give(&self, message: ToKeeper, passenger: BorrowedFd<'_>) {
        while let Err(e) = keeper_proto::send_fd(self.socket.as_fd(), &message, passenger) {
            assert!(e.kind() == io::ErrorKind::WouldBlock || keeper_proto::is_crowded(&e), "{e}");
            assert!(wait_writable(self.socket.as_fd(), PATIENCE).unwrap());
        }
    }

    pub(crate) fn store(&self, key: Key, passenger: BorrowedFd<'_>) {
        self.give(ToKeeper::Store { key: key.0 }, passenger);
    }

    /// The rest of what is held.
    pub(crate) fn held(&self) -> Vec<Held> {
        let mut all = Vec::new();
        loop {
            match keeper_proto::recv_fd(self.socket.as_fd()) {
                Ok(Some((ToDaemon::Held { key }, fd))) => all.push((key, fd.expect("a passenger"))),
                Ok(Some((ToDaemon::HeldEnd, None))) => return all,
                Ok(Some((ToDaemon::Nudge, None))) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    assert!(wait_readable(self.socket.as_fd(), PATIENCE).unwrap());
                }
                other => panic!("{other:?} instead of what is held"),
            }
        }
    }

    /// Processes and descriptors, as a daemon asks for them that takes over.
    pub(crate) fn inherit(&self) -> (Vec<(i32, u64)>, Vec<Held>) {
        self.say(ToKeeper::Inherit);
        let (mut living, mut held) = (Vec::new(), Vec::new());
        loop {
            match keeper_proto::recv_any(self.socket.as_fd()) {
                Ok(Some(Heard::Living(some))) => {
                    living.extend(some.into_iter().map(|(pid, run, _)| (pid, run)))
                }
                Ok(Some(Heard::Held(some))) => held.extend(some),
                Ok(Some(Heard::Word(ToDaemon::LivingEnd | ToDaemon::Nudge, None))) => {}
                Ok(Some(Heard::Word(ToDaemon::HeldEnd, None))) => return (living, held),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    assert!(wait_readable(self.socket.as_fd(), PATIENCE).unwrap());
                }
                other => panic!("{other:?} instead of an inheritance"),
            }
        }
    }

    pub(crate) fn fetch(&self) -> Vec<Held> {
        self.say(ToKeeper::Fetch);
        self.held()
    }
}

fn ends(pipe: &impl AsFd) -> bool {
    wait_readable(pipe.as_fd(), PATIENCE).unwrap()
}

fn is_open(pipe: &impl AsFd) -> bool {
    !wait_readable(pipe.as_fd(), Some(std::time::Duration::ZERO)).unwrap()
}

const DEATHS: u32 = 50;

/// Every life adds a byte to a pipe of which nobody else has an end, and a descriptor to what is held.
pub(crate) fn deaths(daemon: &mut Daemon) {
    let (reading, writing) = (Key::fifo(b"read"), Key::fifo(b"write"));
    if daemon.starts == 1 {
        let (read, write) = io::pipe().unwrap();
        daemon.store(reading, read.as_fd());
        daemon.store(writing, write.as_fd());
    }
    let held = daemon.fetch();
    let mut keys: Vec<u64> = (1..daemon.starts).map(|n| Key::run(n.into()).0).collect();
    keys.extend([reading.0, writing.0]);
    keys.sort_unstable();
    assert_eq!(held.iter().map(|held| held.0).collect::<Vec<_>>(), keys);
    let end = |key: Key| File::from(held.iter().find(|h| h.0 == key.0).unwrap().1.try_clone().unwrap());
    if daemon.starts <= DEATHS {
        end(writing).write_all(&[daemon.starts as u8]).unwrap();
        daemon.store(Key::run(daemon.starts.into()), daemon.socket.as_fd());
        // So that it does not count as a failure to start.
        daemon.say(ToKeeper::Again);
        die();
    }
    let mut bytes = [0u8; DEATHS as usize];
    end(reading).read_exact(&mut bytes).unwrap();
    assert!((1..=DEATHS).eq(bytes.map(u32::from)));
}

const MANY: u64 = 3000;

/// A reader that does not read until the keeper can say no more.
pub(crate) fn many(daemon: &mut Daemon) {
    process::raise_nofile_to_hard().unwrap();
    let null = File::open("/dev/null").unwrap();
    for n in (0..MANY).rev() {
        daemon.store(Key::run(n), null.as_fd());
    }
    daemon.say(ToKeeper::Fetch);
    assert!(wait_readable(daemon.socket.as_fd(), PATIENCE).unwrap());
    // As in `deaf`: it has begun to speak.
    daemon.say(ToKeeper::Ready { detach: false });
    let mut word = String::new();
    io::stdin().read_line(&mut word).unwrap();
    // What changes on the way does not confuse it.
    daemon.say(ToKeeper::Forget { key: Key::run(MANY - 1).0 });
    daemon.store(Key::run(MANY + 1), null.as_fd());
    daemon.say(ToKeeper::Forget { key: Key::run(0).0 });
    let keys: Vec<u64> = daemon.held().into_iter().map(|(key, _)| key).collect();
    let wanted = (0..MANY - 1).chain([MANY + 1]).map(|n| Key::run(n).0);
    assert!(wanted.eq(keys.iter().copied()), "{} came", keys.len());
    // What is left, by piles.
    let (living, held) = daemon.inherit();
    let left = keys.iter().copied().skip(1);
    assert!(living.is_empty() && held.iter().map(|(key, _)| *key).eq(left), "{} came", held.len());
    let count = fs_count(daemon.keeper);
    assert!((MANY - 1..MANY + 40).contains(&count), "the keeper has {count} descriptors");
}

fn fs_count(pid: i32) -> u64 {
    std::fs::read_dir(format!("/proc/{pid}/fd")).unwrap().count() as u64
}

/// What is replaced, forgotten, or belongs to a run that is settled, is closed.
pub(crate) fn closed(daemon: &mut Daemon) {
    let pipe = |key: Key| {
        let (read, write) = io::pipe().unwrap();
        daemon.store(key, write.as_fd());
        read
    };
    let (first, second) = (pipe(Key::RECORDS), pipe(Key::RECORDS));
    assert!(ends(&first) && is_open(&second));
    daemon.say(ToKeeper::Forget { key: Key::RECORDS.0 });
    assert!(ends(&second));
    // A message without its passenger closes too.
    let third = pipe(Key::RECORDS);
    daemon.say(ToKeeper::Store { key: Key::RECORDS.0 });
    assert!(ends(&third));

    let (input, other) = (pipe(Key::run(5)), pipe(Key::run(6)));
    let child = daemon.start(5, shell("exit 7", 0));
    let pid = child.pid.0;
    assert_eq!(daemon.word(), ToDaemon::Exit { pid, run: 5, exit: Exit::Code(7) });
    assert!(is_open(&input));
    daemon.say(ToKeeper::Ack { pid, run: 5 });
    assert!(ends(&input) && is_open(&other));

    // Settled early: the process has its input until it ends.
    let (read, write) = io::pipe().unwrap();
    let child = daemon.start(6, shell("read x", read.as_raw_fd()));
    daemon.say(ToKeeper::Ack { pid: child.pid.0, run: 6 });
    daemon.list();
    assert!(is_open(&other));
    drop(write);
    until_ended(&child);
    daemon.say(ToKeeper::Ask { pid: child.pid.0 });
    assert!(ends(&other));
    assert_eq!(daemon.fetch().len(), 0);
}

/// No daemon can start, and there is a process to be kept.
pub(crate) fn hopeless(daemon: &mut Daemon) {
    println!("life {}", daemon.starts);
    if daemon.starts == 1 {
        let (read, write) = io::pipe().unwrap();
        daemon.store(Key::run(1), write.as_fd());
        daemon.start(1, shell("read x; exit 3", read.as_raw_fd()));
    }
    if daemon.starts < 7 {
        std::process::exit(6);
    }
    let all = daemon.list();
    assert_eq!(all.len(), 1, "it lives");
    let (pid, run) = all[0];
    daemon.say(ToKeeper::Ready { detach: false });
    daemon.say(ToKeeper::Forget { key: Key::run(1).0 });
    assert_eq!(daemon.word(), ToDaemon::Exit { pid, run, exit: Exit::Code(3) });
    daemon.code = 12;
}

pub(crate) fn see_hopeless(world: &mut World) {
    for life in 1..=6 {
        world.expect(&format!("life {life}"));
        world.died("ended unexpectedly: exit status 6");
        if life >= 5 {
            let line = world.line();
            let wanted =
                format!("super-keeper: superd cannot run: it ended {life} times in a row, now with ");
            assert!(line.starts_with(&wanted) && line.contains("exit status 6"), "{line}");
            assert_eq!(world.last_words(), line.replace("super-keeper: ", "") + "\n");
        }
    }
    world.expect("life 7");
    assert_eq!(world.end(), 12);
    assert_eq!(world.last_words(), "");
}

/// A daemon that was ready is replaced while it still dies; nothing is mistaken.
pub(crate) fn early(daemon: &mut Daemon) {
    if daemon.starts == 1 {
        let (read, write) = io::pipe().unwrap();
        daemon.start(1, shell("read x", read.as_raw_fd()));
        daemon.store(Key::run(1), write.as_fd());
        let own = reap::pidfd_open(Pid(process::pid())).unwrap();
        daemon.store(Key::RECORDS, own.as_fd());
        process::raise_nofile_to_hard().unwrap();
        let null = File::open("/dev/null").unwrap();
        let many: Vec<File> = (0..2000).map(|_| null.try_clone().unwrap()).collect();
        let high = process::copy_high(daemon.socket.as_fd()).unwrap();
        daemon.say(ToKeeper::Ready { detach: false });
        // The answer says that the keeper has heard it.
        daemon.list();
        die();
        drop((many, high));
    }
    let (living, held) = daemon.inherit();
    assert_eq!((living.len(), held.len()), (1, 2));
    assert!(wait_readable(held[0].1.as_fd(), PATIENCE).unwrap(), "it ended");
    // Until the runner has read that the keeper reaped it.
    let mut word = String::new();
    println!("second life");
    io::stdin().read_line(&mut word).unwrap();
    assert!(reap::pidfd_signal(&held[0].1, Signal::TERM).is_err(), "it is reaped");
    daemon.code = 4;
}

pub(crate) fn see_early(world: &mut World) {
    // In whatever order.
    let lines = [world.line(), world.line()];
    assert!(lines.iter().any(|line| line == "second life"), "{lines:?}");
    assert!(
        lines.iter().any(|line| line.ends_with("ended unexpectedly: terminated by SIGKILL")),
        "{lines:?}"
    );
    world.send("go on");
    assert_eq!(world.end(), 4);
}

/// State of a process, as `ps` shows it.
fn state(pid: i32) -> char {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    text.split(' ').nth(2).unwrap().chars().next().unwrap()
}

fn until_state(pid: i32, wanted: char) {
    while state(pid) != wanted {
        std::thread::yield_now();
    }
}

/// The keeper finds the socket closed with words of its own unread, so that the kernel tells of a reset before it
/// hands out the last word; and the daemon is ending, but has not ended.
pub(crate) fn last_word(daemon: &mut Daemon) {
    assert_eq!(daemon.starts, 1, "there is no life after the last word");
    daemon.say(ToKeeper::Ready { detach: false });
    daemon.list();
    daemon.say(ToKeeper::List);
    assert!(wait_readable(daemon.socket.as_fd(), PATIENCE).unwrap());
    let keeper = daemon.keeper;
    reap::kill(Pid(keeper), Signal::parse("STOP").unwrap()).unwrap();
    until_state(keeper, 'T');
    daemon.say(ToKeeper::Final { code: 12 });
    let null = File::open("/dev/null").unwrap().into();
    let socket = std::mem::replace(&mut daemon.socket, null);
    std::thread::spawn(move || {
        while !process::is_exiting(process::pid()) {
            std::thread::yield_now();
        }
        drop(socket);
        reap::kill(Pid(keeper), Signal::parse("CONT").unwrap()).unwrap();
        // It sleeps when it has done what there was to do.
        until_state(keeper, 'S');
        process::end_now(0);
    });
    // SAFETY: ends this thread, which has nothing that another one uses.
    unsafe { libc::syscall(libc::SYS_exit, 0) };
}

/// The keeper is killed; the daemon becomes the keeper, and what was held is there.
pub(crate) fn heir(daemon: &mut Daemon) {
    if daemon.starts == 1 {
        let pidfd = reap::pidfd_open(Pid(daemon.keeper)).unwrap();
        reap::pidfd_signal(&pidfd, Signal::KILL).unwrap();
        assert!(wait_readable(pidfd.as_fd(), PATIENCE).unwrap());
        let mut file = supers_os::exec::memory_file(c"kept").unwrap();
        write!(file, "{}", process::pid()).unwrap();
        let lock = File::open("/dev/null").unwrap();
        let (argv, env) = crate::runner::keeper_words("a_daemon_becomes_the_keeper");
        let error = supers_keeper::handover::become_keeper(supers_keeper::handover::Legacy {
            held: vec![(Key::RECORDS.0, file.into())],
            lock: lock.into(),
            last_words: None,
            starts: 1,
            soft_files: Some(crate::runner::soft_files()),
            argv,
            env,
        });
        panic!("{error}");
    }
    assert_eq!(daemon.starts, 2);
    let mut held = daemon.fetch();
    assert_eq!((held.len(), held[0].0), (1, Key::RECORDS.0));
    let mut file = File::from(held.remove(0).1);
    let mut text = String::new();
    io::Seek::rewind(&mut file).unwrap();
    file.read_to_string(&mut text).unwrap();
    assert_eq!(text, daemon.keeper.to_string(), "the daemon of before is the keeper now");
    assert_eq!(daemon.list(), []);
    println!("all there");
}

pub(crate) fn see_heir(world: &mut World) {
    world.expect("took over");
    world.expect("all there");
    world.is_killed();
    assert_eq!(world.rest(), "");
}
