//! What a keeper leaves to the program that it becomes: a list of records in a memory file, and the
//! descriptors that they name, left open. Two become a keeper so: a keeper of another build (an
//! upgrade), and a daemon whose keeper was killed (`become_keeper`).
//!
//! Each record is `SIZE` bytes: a tag and four numbers. The first says that this is such a list, the last
//! holds a checksum. Builds of different age meet here, so tags are pinned, only ever added, and an unknown
//! one is skipped; a list that such a reader would misunderstand gets another `MAGIC`.

use crate::daemon::{Before, Daemon, OWN_PROGRAM, without};
use crate::runs::{self, Run};
use crate::store::{self, Held};
use crate::waiting::Waiting;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use supers_os::exec::{Image, memory_file};
use supers_os::signals::SignalFd;
use supers_os::spawn::Child;
use supers_os::{Pid, Signal, process};

/// Bytes of a record.
const SIZE: usize = 24;
/// First number of the first record: "KEEPER" and how such a list is to be read.
const MAGIC: u64 = u64::from_be_bytes(*b"KEEPER\x00\x01");
/// The build's version of the list; only for people.
const VERSION: i32 = 1;
/// No list is longer.
const LONGEST: u64 = ((runs::CAPACITY + store::CAPACITY + 1024) * SIZE) as u64;

/// Pinned.
mod tag {
    pub(super) const HEAD: u32 = 1;
    pub(super) const END: u32 = 2;
    pub(super) const RUN: u32 = 3;
    pub(super) const HELD: u32 = 4;
    pub(super) const SIGNAL: u32 = 5;
    pub(super) const STARTS: u32 = 6;
    pub(super) const LOCK: u32 = 7;
    pub(super) const READY: u32 = 8;
    pub(super) const WORDS: u32 = 9;
    pub(super) const DAEMON: u32 = 10;
    pub(super) const FILES: u32 = 11;
    pub(super) const OOM: u32 = 12;
    pub(super) const LISTING: u32 = 13;
    pub(super) const FETCHING: u32 = 14;
    pub(super) const LAST: u32 = 15;
    pub(super) const AGAIN: u32 = 16;
    pub(super) const UPGRADE: u32 = 17;
}

/// Variable in the environment of a keeper that takes over: the number of the memory file.
pub fn handover_env() -> &'static str {
    "SUPERS_HANDOVER"
}

/// A record.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Record {
    tag: u32,
    a: i32,
    b: u64,
    c: i32,
    d: i32,
}

impl Record {
    fn pack(self) -> [u8; SIZE] {
        let mut bytes = [0; SIZE];
        let parts = [
            &self.tag.to_ne_bytes()[..],
            &self.a.to_ne_bytes(),
            &self.b.to_ne_bytes(),
            &self.c.to_ne_bytes(),
            &self.d.to_ne_bytes(),
        ];
        bytes.iter_mut().zip(parts.into_iter().flatten()).for_each(|(place, byte)| *place = *byte);
        bytes
    }

    fn unpack(m: &[u8; SIZE]) -> Record {
        Record {
            tag: u32::from_ne_bytes([m[0], m[1], m[2], m[3]]),
            a: i32::from_ne_bytes([m[4], m[5], m[6], m[7]]),
            b: u64::from_ne_bytes([m[8], m[9], m[10], m[11], m[12], m[13], m[14], m[15]]),
            c: i32::from_ne_bytes([m[16], m[17], m[18], m[19]]),
            d: i32::from_ne_bytes([m[20], m[21], m[22], m[23]]),
        }
    }
}

/// FNV-1a over what came before (0 at first) and these bytes.
fn mix(sum: u64, bytes: &[u8]) -> u64 {
    bytes.iter().fold(sum ^ 0xcbf2_9ce4_8422_2325, |sum, byte| {
        (sum ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// All that is to be handed over, where it lies.
#[derive(Debug)]
pub(crate) struct Estate<'a> {
    pub runs: &'a [Run],
    pub held: &'a [Held],
    pub waiting: &'a Waiting,
    pub starts: u32,
    pub ever_ready: bool,
    pub daemon: Option<&'a Daemon>,
    pub lock: Option<BorrowedFd<'a>>,
    pub ready: Option<BorrowedFd<'a>>,
    pub words: Option<BorrowedFd<'a>>,
    pub before: Before,
    pub listing: bool,
    pub fetching: Option<u64>,
    pub last: Option<i32>,
    pub again: bool,
    pub upgrade: Option<BorrowedFd<'a>>,
}

impl Estate<'_> {
    /// The descriptors that stand alone.
    fn named(&self) -> [(u32, Option<BorrowedFd<'_>>); 4] {
        [
            (tag::LOCK, self.lock),
            (tag::READY, self.ready),
            (tag::WORDS, self.words),
            (tag::UPGRADE, self.upgrade),
        ]
    }

    /// Calls for each descriptor that goes along.
    fn each_fd(&self, mut visit: impl FnMut(BorrowedFd<'_>)) {
        let daemon = self.daemon.map(|daemon| [daemon.socket.as_fd(), daemon.child.pidfd.as_fd()]);
        self.named().into_iter().filter_map(|(_, fd)| fd).for_each(&mut visit);
        daemon.into_iter().flatten().for_each(&mut visit);
        self.held.iter().for_each(|held| visit(held.fd.as_fd()));
    }

    fn list(&self, list: &mut List<'_>) -> io::Result<()> {
        let none = Record::default();
        list.push(Record { tag: tag::HEAD, a: VERSION, b: MAGIC, ..none })?;
        list.push(Record { tag: tag::STARTS, a: self.ever_ready.into(), b: self.starts.into(), ..none })?;
        for (tag, fd) in self.named() {
            if let Some(fd) = fd {
                list.push(Record { tag, a: fd.as_raw_fd(), ..none })?;
            }
        }
        if let Some(Daemon { child, socket, pulses: _, full: _ }) = self.daemon {
            let (c, d) = (child.pidfd.as_raw_fd(), socket.as_raw_fd());
            list.push(Record { tag: tag::DAEMON, a: child.pid.0, b: 0, c, d })?;
        }
        let numbers = [(tag::FILES, self.before.files), (tag::FETCHING, self.fetching)];
        for (tag, b) in numbers.into_iter().filter_map(|(tag, b)| Some((tag, b?))) {
            list.push(Record { tag, b, ..none })?;
        }
        let numbers = [(tag::OOM, self.before.oom), (tag::LAST, self.last)];
        for (tag, a) in numbers.into_iter().filter_map(|(tag, a)| Some((tag, a?))) {
            list.push(Record { tag, a, ..none })?;
        }
        let facts = [(tag::LISTING, self.listing), (tag::AGAIN, self.again)];
        for (tag, _) in facts.into_iter().filter(|(_, is)| *is) {
            list.push(Record { tag, ..none })?;
        }
        for (signal, sender, said) in self.waiting.all() {
            list.push(Record { tag: tag::SIGNAL, a: signal.number(), b: 0, c: sender, d: said.into() })?;
        }
        for run in self.runs {
            list.push(Record { tag: tag::RUN, a: run.pid.0, b: run.run, c: run.flags(), d: 0 })?;
        }
        for held in self.held {
            list.push(Record { tag: tag::HELD, a: held.fd.as_raw_fd(), b: held.key, ..none })?;
        }
        let (b, c) = (list.sum, list.count);
        list.push(Record { tag: tag::END, a: 0, b, c, d: 0 })
    }

    /// Writes the list in place of what is in the file. Allocates nothing.
    fn write(&self, mut file: &File) -> io::Result<()> {
        file.set_len(0)?;
        file.rewind()?;
        let mut list = List { file, part: [0; PART], used: 0, sum: 0, count: 0 };
        self.list(&mut list)?;
        list.flush()
    }
}

/// Bytes that are written at once.
const PART: usize = 128 * SIZE;

/// The list as it is written.
struct List<'a> {
    file: &'a File,
    part: [u8; PART],
    used: usize,
    /// Checksum and number of what was pushed.
    sum: u64,
    count: i32,
}

impl List<'_> {
    fn push(&mut self, record: Record) -> io::Result<()> {
        let bytes = record.pack();
        self.sum = mix(self.sum, &bytes);
        self.count = self.count.saturating_add(1);
        let room = self.part.iter_mut().skip(self.used);
        room.zip(bytes).for_each(|(place, byte)| *place = byte);
        self.used += SIZE;
        if self.used == PART { self.flush() } else { Ok(()) }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.write_all(self.part.get(..self.used).unwrap_or_default())?;
        self.used = 0;
        Ok(())
    }
}

/// What a keeper needs to become another program. Made at the start: later there may be no room for it.
#[derive(Debug)]
pub(crate) struct Heir {
    /// Not every kernel and filter has such files.
    memory: Option<File>,
    image: Image,
}

impl Heir {
    /// With these words and this environment.
    pub(crate) fn new(argv: Vec<CString>, mut env: Vec<CString>) -> Heir {
        let memory = memory_file(c"super-keeper").ok();
        without(&mut env, handover_env());
        let number = memory.as_ref().map(AsRawFd::as_raw_fd);
        env.extend(number.and_then(|n| CString::new(format!("{}={n}", handover_env())).ok()));
        Heir { memory, image: Image::new(argv, env) }
    }

    /// Becomes the program, and leaves it the estate. Comes back with an error, and nothing is changed
    /// then. Allocates nothing.
    pub(crate) fn become_program(&self, program: &CStr, estate: &Estate<'_>) -> io::Error {
        let Some(memory) = &self.memory else { return io::ErrorKind::Unsupported.into() };
        if let Err(e) = estate.write(memory) {
            return e;
        }
        let mut failed = None;
        let mut leave =
            |fd: BorrowedFd<'_>| failed = failed.take().or(process::set_inheritable(fd, true).err());
        leave(memory.as_fd());
        estate.each_fd(&mut leave);
        let error = failed.unwrap_or_else(|| self.image.execute(program));
        // An error here is of no consequence: the daemon is started with what is meant for it only.
        let keep = |fd: BorrowedFd<'_>| drop(process::set_inheritable(fd, false));
        keep(memory.as_fd());
        estate.each_fd(keep);
        let _ = memory.set_len(0);
        error
    }
}

/// What a daemon leaves to the keeper that it becomes.
#[derive(Debug)]
pub struct Legacy {
    /// What the new keeper is to hold for the next daemon, by [`supers_os::keeper_proto::Key`].
    pub held: Vec<(u64, OwnedFd)>,
    /// The configuration's lock.
    pub lock: OwnedFd,
    /// As in [`crate::Setup`].
    pub last_words: Option<OwnedFd>,
    /// How often a daemon was started so far.
    pub starts: u32,
    /// The soft limit of open files that daemons get; `None` is the one of this process.
    pub soft_files: Option<u64>,
    /// The words of the keeper: what a launcher gives it, the keeper's name first.
    pub argv: Vec<CString>,
    /// The keeper's environment, as a launcher gives it.
    pub env: Vec<CString>,
}

/// Makes this process, a daemon whose keeper is gone, a keeper: executes its own program again, which
/// starts a new daemon. Signals wait meanwhile. The processes of before are not this keeper's children, so
/// it knows none of them. Comes back with an error only; signals are then blocked in this thread.
pub fn become_keeper(legacy: Legacy) -> io::Error {
    let Legacy { held, lock, last_words, starts, soft_files, argv, env } = legacy;
    let run = || -> io::Result<io::Error> {
        let _signals = SignalFd::all()?;
        let heir = Heir::new(argv, env);
        let held: Vec<Held> = held.into_iter().map(|(key, fd)| Held { key, fd }).collect();
        let estate = Estate {
            runs: &[],
            held: &held,
            waiting: &Waiting::new(),
            starts,
            // There are processes that this keeper does not know of: its daemon must not be given up.
            ever_ready: true,
            daemon: None,
            lock: Some(lock.as_fd()),
            ready: None,
            words: last_words.as_ref().map(AsFd::as_fd),
            before: Before { files: soft_files, oom: None },
            listing: false,
            fetching: None,
            last: None,
            again: false,
            upgrade: None,
        };
        Ok(heir.become_program(OWN_PROGRAM, &estate))
    };
    run().unwrap_or_else(|e| e)
}

/// What this process, a keeper, takes over.
#[derive(Debug, Default)]
pub struct Inherited {
    pub(crate) runs: Vec<Run>,
    pub(crate) held: Vec<Held>,
    pub(crate) waiting: Waiting,
    pub(crate) starts: u32,
    pub(crate) ever_ready: bool,
    pub(crate) daemon: Option<Daemon>,
    pub(crate) lock: Option<OwnedFd>,
    pub(crate) ready: Option<OwnedFd>,
    pub(crate) words: Option<OwnedFd>,
    pub(crate) before: Before,
    pub(crate) listing: bool,
    pub(crate) fetching: Option<u64>,
    pub(crate) last: Option<i32>,
    pub(crate) again: bool,
    pub(crate) upgrade: Option<OwnedFd>,
}

/// What was left to this process; `None` when it was started and not handed over to.
///
/// # Errors
/// The list is damaged, or names descriptors that are not open.
pub fn inherit() -> Option<io::Result<Inherited>> {
    let number = std::env::var(handover_env()).ok()?;
    let bad = || io::Error::other(format!("{} names no descriptor", handover_env()));
    let file = number.parse().map_err(|_| bad()).and_then(process::adopt_fd);
    Some(file.and_then(|fd| Inherited::read(&mut fd.into())))
}

impl Inherited {
    fn read(file: &mut File) -> io::Result<Inherited> {
        let mut inherited = Inherited::default();
        for record in records(file)? {
            inherited.take(record)?;
        }
        Ok(inherited)
    }

    fn take(&mut self, record: Record) -> io::Result<()> {
        let Record { tag, a, b, c, d } = record;
        match tag {
            tag::STARTS => (self.starts, self.ever_ready) = (u32::try_from(b).unwrap_or(u32::MAX), a != 0),
            tag::LOCK => self.lock = Some(process::adopt_fd(a)?),
            tag::READY => self.ready = Some(process::adopt_fd(a)?),
            tag::WORDS => self.words = Some(process::adopt_fd(a)?),
            tag::UPGRADE => self.upgrade = Some(process::adopt_fd(a)?),
            tag::DAEMON => {
                let child = Child { pid: Pid(a), pidfd: process::adopt_fd(c)? };
                self.daemon =
                    Some(Daemon { child, socket: process::adopt_fd(d)?, pulses: [None, None], full: false });
            }
            tag::FILES => self.before.files = Some(b),
            tag::OOM => self.before.oom = Some(a),
            tag::LISTING => self.listing = true,
            tag::FETCHING => self.fetching = Some(b),
            tag::LAST => self.last = Some(a),
            tag::AGAIN => self.again = true,
            tag::SIGNAL => {
                if let Some(signal) = Signal::from_number(a.into()) {
                    self.waiting.restore(signal, c, d != 0);
                }
            }
            tag::RUN => self.runs.push(Run::of(Pid(a), b, c)),
            // One that is lost is no reason to lose the others.
            tag::HELD => self.held.extend(process::adopt_fd(a).ok().map(|fd| Held { key: b, fd })),
            // HEAD and END, and what a later build thought of.
            _ => {}
        }
        Ok(())
    }
}

/// The records of a list, checked.
fn records(file: &mut File) -> io::Result<Vec<Record>> {
    let garbage = || io::Error::other("what the keeper left is damaged");
    if file.metadata()?.len() > LONGEST {
        return Err(garbage());
    }
    file.rewind()?;
    let mut bytes = Vec::new();
    file.read_to_end(&mut bytes)?;
    let (packed, []) = bytes.as_chunks::<SIZE>() else { return Err(garbage()) };
    let (Some((last, before)), Some(first)) = (packed.split_last(), packed.first()) else {
        return Err(garbage());
    };
    let sum = before.iter().fold(0, |sum, bytes| mix(sum, bytes));
    let (head, end) = (Record::unpack(first), Record::unpack(last));
    let whole = end.tag == tag::END && end.b == sum && usize::try_from(end.c).ok() == Some(before.len());
    if head.tag != tag::HEAD || head.b != MAGIC || !whole {
        return Err(garbage());
    }
    Ok(packed.iter().map(Record::unpack).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pipe_end() -> OwnedFd {
        io::pipe().unwrap().0.into()
    }

    /// What a keeper in the middle of everything has. The descriptors go over to who reads the list.
    fn write(file: &File) -> Vec<i32> {
        let held: Vec<Held> = (0..300).map(|key| Held { key, fd: pipe_end() }).collect();
        let runs: Vec<Run> = (1..=1000).map(|n| Run::of(Pid(n), u64::MAX, n & 15)).collect();
        let child = Child { pid: Pid(77), pidfd: pipe_end() };
        let daemon = Daemon { child, socket: pipe_end(), pulses: [None, None], full: true };
        let [lock, ready, words, upgrade] = [(); 4].map(|()| pipe_end());
        let mut waiting = Waiting::new();
        waiting.add(Signal::TERM, 5);
        let estate = Estate {
            runs: &runs,
            held: &held,
            waiting: &waiting,
            starts: 9,
            ever_ready: true,
            daemon: Some(&daemon),
            lock: Some(lock.as_fd()),
            ready: Some(ready.as_fd()),
            words: Some(words.as_fd()),
            before: Before { files: Some(u64::MAX), oom: Some(-17) },
            listing: true,
            fetching: Some(40),
            last: Some(3),
            again: true,
            upgrade: Some(upgrade.as_fd()),
        };
        estate.write(file).unwrap();
        let mut numbers = Vec::new();
        estate.each_fd(|fd| {
            process::set_inheritable(fd, true).unwrap();
            numbers.push(fd.as_raw_fd());
        });
        std::mem::forget((held, daemon, lock, ready, words, upgrade));
        numbers
    }

    #[test]
    fn an_estate_arrives_whole() {
        let mut file = memory_file(c"x").unwrap();
        let numbers = write(&file);
        let got = Inherited::read(&mut file).unwrap();
        let held: Vec<i32> = got.held.iter().map(|held| held.fd.as_raw_fd()).collect();
        assert_eq!((numbers.len(), &numbers[6..]), (306, &held[..]));
        assert!(got.held.iter().map(|held| held.key).eq(0..300));
        let named = [got.lock, got.ready, got.words, got.upgrade].map(|fd| fd.unwrap().as_raw_fd());
        assert_eq!(named, numbers[..4]);
        let daemon = got.daemon.unwrap();
        assert_eq!((daemon.child.pid, daemon.socket.as_raw_fd()), (Pid(77), numbers[4]));
        assert_eq!(daemon.child.pidfd.as_raw_fd(), numbers[5]);
        assert!((1..=1000).eq(got.runs.iter().map(|run| run.pid.0)));
        assert!(got.runs.iter().all(|run| run.run == u64::MAX && run.flags() == run.pid.0 & 15));
        let waiting: Vec<_> = got.waiting.all().collect();
        assert_eq!(waiting, [(Signal::TERM, 5, false)]);
        assert_eq!((got.starts, got.ever_ready, got.listing, got.again), (9, true, true, true));
        assert_eq!((got.fetching, got.last), (Some(40), Some(3)));
        assert_eq!(got.before, Before { files: Some(u64::MAX), oom: Some(-17) });
    }

    /// A list of these records, as another build may write it.
    fn list(records: &[Record]) -> File {
        let file = memory_file(c"x").unwrap();
        let mut list = List { file: &file, part: [0; PART], used: 0, sum: 0, count: 0 };
        records.iter().for_each(|record| list.push(*record).unwrap());
        let (b, c) = (list.sum, list.count);
        list.push(Record { tag: tag::END, b, c, ..Record::default() }).unwrap();
        list.flush().unwrap();
        file
    }

    #[test]
    fn another_build_s_records_are_skipped() {
        let of = |tag, a, b| Record { tag, a, b, c: -1, d: -1 };
        let head = of(tag::HEAD, 99, MAGIC);
        let mut file = list(&[head, of(4711, 1, 1), of(tag::LAST, 4, 0)]);
        assert_eq!(Inherited::read(&mut file).unwrap().last, Some(4));
        // One that is not open: what is held may be lost, the lock may not.
        let mut file = list(&[head, of(tag::HELD, 99_999, 1), of(tag::STARTS, 0, 5)]);
        let got = Inherited::read(&mut file).unwrap();
        assert_eq!((got.held.len(), got.starts), (0, 5));
        assert!(Inherited::read(&mut list(&[head, of(tag::LOCK, 99_999, 1)])).is_err());
        assert!(Inherited::read(&mut list(&[of(tag::HEAD, 1, MAGIC + 1)])).is_err(), "to be read otherwise");
        assert!(Inherited::read(&mut list(&[of(tag::STARTS, 1, 1)])).is_err(), "no head");
    }

    #[test]
    fn garbage_is_refused_and_nothing_of_it_taken() {
        let run = |n| Record { tag: tag::RUN, a: n, ..Record::default() };
        let head = Record { tag: tag::HEAD, b: MAGIC, ..Record::default() };
        let mut good = Vec::new();
        let mut file = list(&[head, run(1), run(2)]);
        file.rewind().unwrap();
        file.read_to_end(&mut good).unwrap();
        let reads = |bytes: &[u8]| {
            let mut file = memory_file(c"x").unwrap();
            file.write_all(bytes).unwrap();
            Inherited::read(&mut file).is_ok()
        };
        assert!(reads(&good));
        for end in 0..good.len() {
            assert!(!reads(&good[..end]), "cut at {end}");
        }
        // Two numbers of the last record mean nothing.
        let idle = [good.len() - SIZE + 4..good.len() - SIZE + 8, good.len() - 4..good.len()];
        for (place, bit) in (0..good.len()).flat_map(|place| (0..8).map(move |bit| (place, 1 << bit))) {
            let mut bad = good.clone();
            bad[place] ^= bit;
            let idle = idle.iter().any(|idle| idle.contains(&place));
            assert!(idle || !reads(&bad), "byte {place}, bit {bit}");
        }
        assert!(!reads(&[good.clone(), good].concat()));
        assert!(!reads(b""));
    }
}
