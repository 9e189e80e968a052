use super::*;
use std::io::{PipeReader, Read, pipe};
use std::time::Duration;
use supers_core::control::Stream;
use supers_core::ids::Pid;
use supers_core::spec::Listener;
use supers_core::time::Wall;

struct Stage {
    bus: Bus,
    readers: HashMap<u32, PipeReader>,
}

fn at(ms: u32) -> Now {
    Now { mono: Mono(0) + Duration::from_millis(ms.into()), wall: Wall(ms.into()) }
}

fn listener(group: &str, unit: u32, events: &[Kind]) -> Spec {
    let mut spec = Spec::new(&format!("{group}_{unit}"));
    spec.group = group.into();
    let result_handler = String::new();
    spec.listener = Some(Box::new(Listener { events: events.to_vec(), buffer_size: 10, result_handler }));
    spec
}

fn changed(from: Word, to: Word, pid: i32) -> Note {
    Note::Changed { from, to, tries: 0, pid: Some(Pid(pid)), expected: true }
}

impl Stage {
    fn new() -> Stage {
        supers_os::signals::ignore(supers_core::signal::Signal::PIPE).unwrap();
        Stage { bus: Bus::new("idx").unwrap(), readers: HashMap::new() }
    }

    /// A listener that is RUNNING and READY; its run has the number of its unit.
    fn listener(&mut self, group: &str, unit: u32, events: &[Kind]) {
        let spec = listener(group, unit, events);
        let (id, run) = (UnitId(unit), RunId(unit.into()));
        self.bus.put(at(0), id, &spec);
        let (read, write) = pipe().unwrap();
        let write = OwnedFd::from(write);
        supers_os::pipe::set_nonblocking(&write).unwrap();
        self.readers.insert(unit, read);
        self.bus.started(id, run, Exe::Main(0), Some(write));
        self.bus.heard(id, run, b"READY\n");
        self.bus.pooled(|pools, out| pools.running(id, true, out));
    }

    /// What this listener can read now.
    fn reads(&mut self, unit: u32) -> String {
        let reader = self.readers.get_mut(&unit).unwrap();
        supers_os::pipe::set_nonblocking(reader).unwrap();
        let mut buffer = vec![0; 1 << 16];
        let n = reader.read(&mut buffer).unwrap_or(0);
        String::from_utf8(buffer[..n].to_vec()).unwrap()
    }

    async fn room(&self) {
        tokio::time::timeout(Duration::from_secs(20), self.bus.writable()).await.unwrap();
    }

    fn log(&mut self, data: Vec<u8>) {
        let who = Who { process: "talk".into(), group: "talk".into() };
        self.bus.happen(&Happening::Log { who, pid: 7, channel: Stream::Stdout, data });
    }
}

#[tokio::test]
async fn a_change_of_state_is_an_event_for_who_wants_it() {
    let mut s = Stage::new();
    s.listener("p", 1, &[Kind::ProcessState]);
    let web = Spec::new("web");
    s.bus.note(UnitId(9), &web, &changed(Word::Starting, Word::Running, 4711));
    s.bus.note(UnitId(9), &web, &Note::Spawned(Pid(4711)));
    let text = "ver:3.0 server:idx serial:0 pool:p poolserial:0 eventname:PROCESS_STATE_RUNNING len:58\n\
                processname:web groupname:web from_state:STARTING pid:4711";
    assert_eq!(s.reads(1), text);
    assert!(!s.bus.wants(Kind::Tick5) && s.bus.deadline().is_none());
}

#[tokio::test]
async fn a_listener_gets_events_in_the_running_state_only() {
    let mut s = Stage::new();
    s.listener("p", 1, &[Kind::ProcessGroup]);
    let spec = listener("p", 1, &[]);
    s.bus.note(UnitId(1), &spec, &changed(Word::Running, Word::Stopping, 1));
    s.bus.happen(&Happening::GroupAdded("x".into()));
    assert_eq!(s.reads(1), "");
    s.bus.note(UnitId(1), &spec, &changed(Word::Starting, Word::Running, 1));
    assert!(s.reads(1).ends_with("len:12\ngroupname:x\n"));
}

#[tokio::test]
async fn a_listener_that_hangs_stops_nobody_and_goes_on_when_it_reads() {
    let mut s = Stage::new();
    s.listener("hang", 1, &[Kind::ProcessLog]);
    s.listener("good", 2, &[Kind::ProcessGroup]);
    s.log(vec![b'a'; 1 << 20]);
    s.log(b"next".to_vec());
    s.bus.happen(&Happening::GroupRemoved("x".into()));
    assert!(s.reads(2).ends_with("groupname:x\n"));
    let mut text = String::new();
    while text.len() < (1 << 20) {
        let piece = s.reads(1);
        text.push_str(&piece);
        if piece.is_empty() {
            s.room().await;
        }
        s.bus.flush();
    }
    assert!(text.ends_with("aaa"));
    s.bus.heard(UnitId(1), RunId(1), b"RESULT 2\nOKREADY\n");
    assert!(s.reads(1).ends_with("channel:stdout\nnext"));
}

#[tokio::test]
async fn an_event_that_cannot_be_written_goes_to_the_next() {
    let mut s = Stage::new();
    for unit in 1..=4 {
        s.listener("p", unit, &[Kind::Event]);
    }
    s.readers.remove(&1);
    s.readers.remove(&2);
    s.log(b"small".to_vec());
    let text = s.reads(3);
    assert!(text.ends_with("channel:stdout\nsmall"));
    // Breaks when a part of it is written already.
    s.bus.heard(UnitId(3), RunId(3), b"RESULT 2\nOKREADY\n");
    s.log(vec![b'a'; 1 << 20]);
    assert!(s.reads(4).is_empty());
    s.readers.remove(&3);
    while s.bus.pools.counts().any(|c| c.waiting > 0) || s.bus.stdins.waiting(RunId(3)) > 0 {
        s.room().await;
        s.bus.flush();
    }
    assert!(
        s.reads(4)
            .starts_with("ver:3.0 server:idx serial:1 pool:p poolserial:1 eventname:PROCESS_LOG_STDOUT")
    );
    let lines = s.bus.take_lines();
    let broken = lines.iter().filter(|(level, line)| *level == Level::Debug && line.starts_with("epipe"));
    assert_eq!(broken.count(), 3);
}

#[tokio::test]
async fn an_end_gives_the_event_back_and_closes_the_pipe() {
    let mut s = Stage::new();
    s.listener("p", 1, &[Kind::ProcessGroup]);
    s.bus.happen(&Happening::GroupAdded("x".into()));
    let first = s.reads(1);
    s.bus.ended(RunId(1));
    assert_eq!(s.bus.send_stdin(RunId(1), b"x"), StdinDone::Closed);
    s.listener("p", 2, &[Kind::ProcessGroup]);
    assert_eq!(s.reads(2), first);
}

#[tokio::test]
async fn ticks_come_only_to_who_wants_them() {
    let mut s = Stage::new();
    s.listener("p", 1, &[Kind::Tick5]);
    assert_eq!(s.bus.deadline(), Some(at(5000).mono));
    s.bus.pass(at(5000));
    assert!(s.reads(1).ends_with("eventname:TICK_5 len:6\nwhen:5"));
    s.bus.remove(at(5000), UnitId(1));
    assert_eq!(s.bus.deadline(), None);
}

#[tokio::test]
async fn a_command_of_a_unit_is_no_listener() {
    let mut s = Stage::new();
    s.listener("p", 1, &[Kind::ProcessGroup]);
    s.bus.started(UnitId(1), RunId(50), Exe::Stop(0), None);
    s.bus.ended(RunId(50));
    s.bus.happen(&Happening::GroupAdded("x".into()));
    assert!(s.reads(1).ends_with("groupname:x\n"));
}

#[test]
fn whose_output_is_told() {
    let mut spec = Spec::new("web");
    assert!(!tells(&spec));
    spec.output.stdout.capture_max = 1;
    assert!(tells(&spec));
    spec = Spec::new("web");
    spec.output.stderr.as_mut().unwrap().events = true;
    assert!(tells(&spec));
    assert!(tells(&listener("p", 1, &[Kind::Event])));
}
