use super::*;
use std::collections::BTreeMap;
use std::io::{PipeReader, Read, pipe};
use std::time::Duration;
use supers_core::spec::Listener;
use supers_core::time::Wall;

const LISTENER: (UnitId, RunId) = (UnitId(1), RunId(11));
const PROGRAM: (UnitId, RunId) = (UnitId(2), RunId(22));

/// What outlives the daemon: its records, and the pipes in the keeper.
struct Stage {
    bus: Bus,
    disk: BTreeMap<String, Vec<u8>>,
    stdin: Option<OwnedFd>,
    reader: PipeReader,
    program: Option<OwnedFd>,
}

fn now() -> Now {
    Now { mono: Mono(0) + Duration::from_secs(1), wall: Wall(1000) }
}

fn bus() -> Bus {
    let mut bus = Bus::new("idx").unwrap();
    bus.keep_records();
    let mut spec = Spec::new("p");
    let (events, result_handler) = (vec![Kind::ProcessGroup], String::new());
    spec.listener = Some(Box::new(Listener { events, buffer_size: 10, result_handler }));
    bus.put(now(), LISTENER.0, &spec);
    bus.put(now(), PROGRAM.0, &Spec::new("web"));
    bus
}

impl Stage {
    /// A listener that said READY.
    fn new() -> Stage {
        let (reader, stdin) = nonblocking_pipe();
        let mut s = Stage { bus: bus(), disk: BTreeMap::new(), stdin: Some(stdin), reader, program: None };
        s.start(LISTENER.1);
        s
    }

    fn start(&mut self, run: RunId) {
        let stdin = self.stdin.as_ref().unwrap().try_clone().unwrap();
        self.bus.started(LISTENER.0, run, Exe::Main(0), Some(stdin));
        self.bus.pooled(|pools, out| pools.running(LISTENER.0, true, out));
        self.says(run, b"READY\n");
        self.commit();
    }

    fn says(&mut self, run: RunId, words: &[u8]) {
        self.bus.heard(LISTENER.0, run, words);
        self.commit();
        assert_eq!(self.bus.take_heard(), [(LISTENER.0, run, words.len())]);
        self.bus.consumed(LISTENER.0, run);
    }

    fn happens(&mut self, n: usize) {
        (0..n).for_each(|n| self.bus.happen(&Happening::GroupAdded(format!("g{n}"))));
    }

    fn record(&mut self) {
        for change in self.bus.take_changes() {
            match change {
                Change::Put { key, value } => drop(self.disk.insert(key, value)),
                Change::Remove { key } => drop(self.disk.remove(&key)),
            }
        }
    }

    fn commit(&mut self) {
        while self.bus.dirty() {
            self.record();
            self.bus.send_now();
        }
    }

    /// Kills the daemon; the next one takes over. Whom it restarts.
    fn crash(&mut self, unheard: usize) -> Vec<(UnitId, RunId)> {
        self.bus = bus();
        let records = self.disk.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        assert_eq!(self.bus.restore(records), Vec::<String>::new());
        let stdin = self.stdin.as_ref().map(|fd| fd.try_clone().unwrap());
        self.bus.adopt(LISTENER.0, LISTENER.1, Exe::Main(0), stdin, Some(unheard));
        let stdin = self.program.as_ref().map(|fd| fd.try_clone().unwrap());
        self.bus.adopt(PROGRAM.0, PROGRAM.1, Exe::Main(0), stdin, None);
        self.bus.settled(now());
        self.bus.take_restarts()
    }

    /// Serials of what this listener can read now.
    fn reads(&mut self) -> Vec<String> {
        supers_os::pipe::set_nonblocking(&self.reader).unwrap();
        let mut buffer = vec![0; 1 << 16];
        let n = self.reader.read(&mut buffer).unwrap_or(0);
        let text = String::from_utf8(buffer[..n].to_vec()).unwrap();
        text.split(" serial:").skip(1).map(|t| t.split(' ').next().unwrap().to_owned()).collect()
    }
}

fn nonblocking_pipe() -> (PipeReader, OwnedFd) {
    let (read, write) = pipe().unwrap();
    let write = OwnedFd::from(write);
    supers_os::pipe::set_nonblocking(&write).unwrap();
    (read, write)
}

#[tokio::test]
async fn queue_and_serials_are_as_before_and_nothing_is_sent_twice() {
    let mut s = Stage::new();
    s.happens(3);
    assert!(s.reads().is_empty(), "nothing is sent before it is written down");
    s.commit();
    assert_eq!(s.reads(), ["0"]);
    assert_eq!(s.disk.keys().filter(|k| k.starts_with("bus/event/")).count(), 3);
    assert_eq!(s.crash(0), []);
    s.commit();
    assert!(s.reads().is_empty());
    s.happens(1);
    s.says(LISTENER.1, b"RESULT 2\nOKREADY\n");
    s.commit();
    assert_eq!(s.reads(), ["1"]);
    assert_eq!(s.crash(0), []);
    for serial in ["2", "3"] {
        s.says(LISTENER.1, b"RESULT 2\nOKREADY\n");
        s.commit();
        assert_eq!(s.reads(), [serial]);
    }
    s.says(LISTENER.1, b"RESULT 2\nOK");
    s.commit();
    assert_eq!(s.disk.keys().collect::<Vec<_>>(), ["bus/pool/p"]);
    let count = s.bus.counts().next().unwrap();
    assert_eq!((count.accepted, count.waiting, count.dropped), (4, 0, 0));
    assert!(!s.bus.dirty(), "a turn without events writes nothing");
}

#[tokio::test]
async fn between_writing_down_and_writing_the_pipe_decides() {
    // Written and unread: it has it.
    let mut s = Stage::new();
    s.happens(1);
    s.record();
    s.bus.send_now();
    assert_eq!(s.crash(0), []);
    s.commit();
    assert_eq!(s.reads(), ["0"]);
    // Written and read: nobody knows.
    let mut s = Stage::new();
    s.happens(2);
    s.record();
    s.bus.send_now();
    assert_eq!(s.reads(), ["0"]);
    assert_eq!(s.crash(0), [LISTENER]);
    let lines = s.bus.take_lines();
    let line = "p: is restarted, since it is not known whether it got event 0 before superd was killed";
    assert!(lines.contains(&(Level::Warn, line.to_owned())), "{lines:?}");
    s.commit();
    assert_eq!(s.crash(0), [LISTENER], "killed before that was done");
    s.commit();
    s.bus.ended(LISTENER.1);
    s.start(RunId(12));
    assert_eq!(s.reads(), ["0"]);
}

#[tokio::test]
async fn what_was_understood_already_is_not_heard_again() {
    let mut s = Stage::new();
    s.happens(2);
    s.commit();
    assert_eq!(s.reads(), ["0"]);
    // Understood and written down, and in the FIFO still.
    let words = b"RESULT 2\nOKREADY\n";
    s.bus.heard(LISTENER.0, LISTENER.1, words);
    s.commit();
    assert!(s.reads().is_empty(), "it gets nothing before that is out of the FIFO");
    assert_eq!(s.crash(words.len()), []);
    s.says(LISTENER.1, words);
    s.commit();
    assert_eq!(s.reads(), ["1"]);
    s.says(LISTENER.1, words);
    s.commit();
    assert_eq!(s.bus.pools.mood(LISTENER.0), Some(supers_core::listen::Mood::Ready));
    assert_eq!(s.bus.counts().next().unwrap().waiting, 0);
}

#[tokio::test]
async fn a_listener_without_record_or_pipe_is_restarted() {
    let mut s = Stage::new();
    s.disk.insert("bus/pool/p".into(), b"\xc1".to_vec());
    s.bus = bus();
    let records = s.disk.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
    assert_eq!(s.bus.restore(records).len(), 1);
    let stdin = s.stdin.as_ref().map(|fd| fd.try_clone().unwrap());
    s.bus.adopt(LISTENER.0, LISTENER.1, Exe::Main(0), stdin, Some(0));
    assert_eq!(s.bus.take_restarts(), [LISTENER]);
    let mut s = Stage::new();
    s.stdin = None;
    assert_eq!(s.crash(0), [LISTENER]);
}

#[tokio::test]
async fn text_that_waits_for_a_program_goes_on() {
    let mut s = Stage::new();
    let (mut reader, stdin) = nonblocking_pipe();
    s.bus.started(PROGRAM.0, PROGRAM.1, Exe::Main(0), Some(stdin.try_clone().unwrap()));
    let text: Vec<u8> = (0..200_000_u32).map(|n| (n % 251) as u8).collect();
    assert_eq!(s.bus.send_stdin(PROGRAM.1, &text), StdinDone::Taken);
    s.commit();
    let mut all = Vec::new();
    let mut read = |n: usize| {
        let mut piece = vec![0; n];
        reader.read_exact(&mut piece).unwrap();
        all.extend(piece);
        all.clone()
    };
    // A part of the rest is written, and what that is.
    read(60_000);
    s.bus.writable().await;
    s.bus.flush();
    s.record();
    assert!(s.disk.contains_key("bus/text-at/22"), "{:?}", s.disk.keys());
    s.program = Some(stdin.try_clone().unwrap());
    for _ in 0..2 {
        s.crash(0);
        s.record();
    }
    let mut got = 60_000;
    while got < text.len() {
        let there = supers_os::pipe::fionread(&stdin).unwrap();
        got += there;
        read(there);
        if s.bus.stdins.waiting(PROGRAM.1) > 0 {
            s.bus.writable().await;
        }
        s.bus.flush();
        s.record();
    }
    assert!(read(0) == text);
    s.commit();
    assert!(!s.disk.keys().any(|key| key.starts_with("bus/text")));
}
