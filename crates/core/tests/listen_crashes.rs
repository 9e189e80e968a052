//! The daemon is killed between any two steps of its work with listeners: no committed event is lost, no
//! listener sees more or less than the protocol allows, and only one that cannot be judged is restarted.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use supers_core::event::Kind;
use supers_core::ids::{RunId, UnitId};
use supers_core::listen::saved::{Change, Saved, SavedEvent, SavedMember, SavedPool};
use supers_core::listen::{Action, Mood, Pools, Said};
use supers_core::spec::{Listener, Spec};

const UNITS: usize = 3;
/// As many bytes are written at one go.
const ATOMIC: usize = 150;

#[derive(Clone, Debug)]
enum Step {
    /// With a long text.
    Happen(bool),
    Commit,
    /// Writes so many of what is to be sent.
    Send(usize),
    /// Writes the rest of what was written in part.
    Flush,
    /// A listener says this much of what it has to say.
    Act(usize, usize),
    Hear(usize),
    /// The logs thread takes so much off what the engine understood and wrote down.
    Consume(usize, usize),
    /// The engine hears of it.
    Confirm(usize),
    Die(usize),
    Crash,
}

fn step() -> impl Strategy<Value = Step> {
    let unit = 0..UNITS;
    prop_oneof![
        3 => any::<bool>().prop_map(Step::Happen),
        8 => Just(Step::Commit),
        6 => (0_usize..4).prop_map(Step::Send),
        2 => Just(Step::Flush),
        8 => (unit.clone(), 1_usize..24).prop_map(|(u, n)| Step::Act(u, n)),
        8 => unit.clone().prop_map(Step::Hear),
        6 => (unit.clone(), 1_usize..40).prop_map(|(u, n)| Step::Consume(u, n)),
        6 => unit.clone().prop_map(Step::Confirm),
        1 => unit.prop_map(Step::Die),
        2 => Just(Step::Crash),
    ]
}

/// A listener that keeps to the protocol, and complains when the daemon does not.
#[derive(Default)]
struct Process {
    stdin: VecDeque<u8>,
    stdout: VecDeque<u8>,
    /// What it has not said yet.
    to_say: VecDeque<u8>,
    asked: bool,
    /// The last it got, and whether it refused it.
    had: Option<(u64, bool)>,
}

impl Process {
    fn new() -> Process {
        Process { to_say: b"READY\n".iter().copied().collect(), ..Process::default() }
    }

    /// The number of the event that is done by that.
    fn say(&mut self, n: usize) -> Option<u64> {
        let (before, ready) = (self.to_say.len(), b"READY\n".len());
        self.stdout.extend(self.to_say.drain(..n.min(before)));
        self.asked = self.to_say.is_empty();
        let through = before > ready && self.to_say.len() <= ready;
        self.had.filter(|(_, refused)| through && !refused).map(|had| had.0)
    }

    /// Reads an event when it has asked for one and one is there.
    fn read(&mut self) -> Option<u64> {
        let text = String::from_utf8(self.stdin.iter().copied().collect()).unwrap();
        if !self.asked {
            assert!(text.is_empty(), "got what it did not ask for");
            return None;
        }
        let (head, rest) = text.split_once('\n')?;
        let field = |name: &str| -> u64 {
            head.split(' ').find_map(|w| w.strip_prefix(name)).unwrap().parse().unwrap()
        };
        let (serial, len) = (field("serial:"), field("len:") as usize);
        if rest.len() < len {
            return None;
        }
        assert_eq!(rest.len(), len, "more than one event");
        assert_eq!(rest, text_of(serial, len), "a torn event");
        self.stdin.clear();
        if let Some((had, refused)) = self.had {
            assert!(had != serial || refused, "the same event twice in one life");
        }
        let refuses = serial % 4 == 3 && self.had != Some((serial, true));
        self.had = Some((serial, refuses));
        let answer: &[u8] = if refuses { b"RESULT 4\nFAILREADY\n" } else { b"RESULT 2\nOKREADY\n" };
        self.to_say = answer.iter().copied().collect();
        self.asked = false;
        Some(serial)
    }
}

fn text_of(serial: u64, len: usize) -> String {
    format!("{serial}:{}", "x".repeat(200)).chars().take(len).collect()
}

/// What the daemon wrote down.
#[derive(Clone, Default)]
struct Disk {
    pools: BTreeMap<String, SavedPool>,
    events: BTreeMap<(String, u64), SavedEvent>,
}

impl Disk {
    fn write(&mut self, change: Change) {
        match change {
            Change::Event(e) => assert!(self.events.insert((e.pool.clone(), e.serial), e).is_none()),
            Change::Pool(p) => drop(self.pools.insert(p.pool.clone(), p)),
            Change::Done { pool, serial } => assert!(self.events.remove(&(pool, serial)).is_some()),
            Change::Gone(pool) => drop(self.pools.remove(&pool)),
        }
    }

    fn read(&self) -> Saved {
        let (pools, events) = (self.pools.values().cloned(), self.events.values().rev().cloned());
        Saved { serial: 0, pools: pools.collect(), events: events.collect() }
    }
}

/// What is to be written to a listener.
struct Letter {
    unit: usize,
    run: RunId,
    bytes: Vec<u8>,
    recorded: bool,
}

/// What was heard and is still in the pipe.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Chunk {
    Heard(usize),
    Recorded(usize),
}

struct World {
    disk: Disk,
    processes: Vec<Process>,
    runs: Vec<u64>,
    // What is in the daemon's memory only.
    pools: Pools,
    letters: Vec<Letter>,
    parts: BTreeMap<usize, Vec<u8>>,
    chunks: BTreeMap<usize, Chunk>,
    restarts: Vec<(usize, RunId)>,
    // What the judge knows.
    /// Events of turns that were not written down yet.
    fresh: u64,
    committed: u64,
    /// Whom the listeners said OK to, by pool.
    answered: BTreeSet<(&'static str, u64)>,
    /// Units that the steps under way at the last crash were about.
    unclear: BTreeSet<usize>,
    /// What listeners had that were restarted.
    doubted: BTreeSet<u64>,
    last_alone: u64,
}

fn pool_of(unit: usize) -> &'static str {
    if unit < UNITS - 1 { "many" } else { "one" }
}

/// Units 0 and 1 share a pool; the last is alone in its own.
fn pools() -> Pools {
    let mut pools = Pools::new("x");
    pools.keep_changes();
    for unit in 0..UNITS {
        let mut spec = Spec::new(&format!("u{unit}"));
        spec.group = pool_of(unit).into();
        let wants = Listener { events: vec![Kind::Tick], buffer_size: 1000, result_handler: String::new() };
        spec.listener = Some(Box::new(wants));
        pools.put(UnitId(unit as u32), &spec, &mut Vec::new());
    }
    pools
}

impl World {
    fn new() -> World {
        let mut world = World {
            disk: Disk::default(),
            processes: (0..UNITS).map(|_| Process::new()).collect(),
            runs: vec![0; UNITS],
            pools: pools(),
            letters: Vec::new(),
            parts: BTreeMap::new(),
            chunks: BTreeMap::new(),
            restarts: Vec::new(),
            fresh: 0,
            committed: 0,
            answered: BTreeSet::new(),
            unclear: BTreeSet::new(),
            doubted: BTreeSet::new(),
            last_alone: 0,
        };
        world.commit();
        (0..UNITS).for_each(|unit| world.start(unit));
        world
    }

    fn tell(&mut self, tell: impl FnOnce(&mut Pools, &mut Vec<Action>)) {
        let mut out = Vec::new();
        tell(&mut self.pools, &mut out);
        for action in out {
            match action {
                Action::Send { unit, run, bytes } => {
                    let said = &self.processes[unit.0 as usize].stdout;
                    assert!(said.is_empty(), "what it said is still in its pipe");
                    self.letters.push(Letter { unit: unit.0 as usize, run, bytes, recorded: false });
                }
                Action::Restart { unit, run } => self.restarts.push((unit.0 as usize, run)),
                Action::Say(Said::Overflow { .. } | Said::Confused { .. } | Said::BadLine { .. }) => {
                    panic!("{action:?}")
                }
                Action::Say(_) => {}
            }
        }
        for (unit, run) in std::mem::take(&mut self.restarts) {
            assert!(self.unclear.contains(&unit), "{unit} is restarted without need");
            assert_eq!(run.0, self.runs[unit]);
            self.doubted.extend(self.processes[unit].had.map(|had| had.0));
            self.end(unit, false);
            self.start(unit);
        }
    }

    fn id(&self, unit: usize) -> (UnitId, RunId) {
        (UnitId(unit as u32), RunId(self.runs[unit]))
    }

    fn start(&mut self, unit: usize) {
        self.runs[unit] += 1;
        self.processes[unit] = Process::new();
        let (id, run) = self.id(unit);
        self.tell(|pools, out| {
            pools.started(id, run, out);
            pools.running(id, true, out);
        });
    }

    /// Its output is heard to the end, if it is listened to still.
    fn end(&mut self, unit: usize, hear: bool) {
        let rest: Vec<u8> = self.processes[unit].stdout.drain(..).collect();
        let known = match self.chunks.remove(&unit) {
            Some(Chunk::Heard(n) | Chunk::Recorded(n)) => n,
            None => 0,
        };
        let (id, run) = self.id(unit);
        self.parts.remove(&unit);
        self.tell(|pools, out| {
            if hear && known < rest.len() {
                pools.heard(id, run, &rest[known..], out);
            }
            pools.ended(id, run, out);
        });
    }

    fn commit(&mut self) {
        for letter in &mut self.letters {
            let before =
                (letter.bytes.len() <= ATOMIC).then_some(self.processes[letter.unit].stdin.len() as u64);
            self.pools.sending(UnitId(letter.unit as u32), letter.run, before);
            letter.recorded = true;
        }
        for change in self.pools.take_changes() {
            if let Change::Done { pool, serial } = &change {
                assert!(
                    self.answered.contains(&(pool.as_str(), *serial)),
                    "event {serial} of {pool} is lost"
                );
            }
            self.disk.write(change);
        }
        assert!(!self.pools.dirty());
        for chunk in self.chunks.values_mut() {
            if let Chunk::Heard(n) = *chunk {
                *chunk = Chunk::Recorded(n);
            }
        }
        self.committed += std::mem::take(&mut self.fresh);
    }

    fn send(&mut self, n: usize) {
        for _ in 0..n {
            let Some(at) = self.letters.iter().position(|l| l.recorded) else { return };
            let Letter { unit, run, bytes, .. } = self.letters.remove(at);
            if !self.pools.awaits(UnitId(unit as u32), run) {
                continue;
            }
            if bytes.len() <= ATOMIC {
                self.processes[unit].stdin.extend(bytes);
                self.pools.sent(UnitId(unit as u32), run);
            } else {
                let (now, later) = bytes.split_at(ATOMIC);
                self.processes[unit].stdin.extend(now);
                self.parts.insert(unit, later.to_vec());
            }
        }
    }

    fn flush(&mut self) {
        for (unit, rest) in std::mem::take(&mut self.parts) {
            self.processes[unit].stdin.extend(rest);
            let (id, run) = self.id(unit);
            self.pools.sent(id, run);
        }
    }

    fn act(&mut self, unit: usize, n: usize) {
        if !self.processes[unit].to_say.is_empty() {
            if let Some(serial) = self.processes[unit].say(n) {
                let again = !self.answered.insert((pool_of(unit), serial));
                assert!(!again || self.doubted.contains(&serial), "event {serial} was done before");
            }
            return;
        }
        let Some(serial) = self.processes[unit].read() else { return };
        assert!(serial < self.committed, "an event that a crash may take back");
        if unit == UNITS - 1 {
            assert!(serial >= self.last_alone, "the order of a pool with one listener");
            self.last_alone = serial;
        }
    }

    fn hear(&mut self, unit: usize) {
        let text: Vec<u8> = self.processes[unit].stdout.iter().copied().collect();
        if text.is_empty() || self.chunks.contains_key(&unit) {
            return;
        }
        self.chunks.insert(unit, Chunk::Heard(text.len()));
        let (id, run) = self.id(unit);
        self.tell(|pools, out| pools.heard(id, run, &text, out));
    }

    fn consume(&mut self, unit: usize, most: usize) {
        if let Some(Chunk::Recorded(left)) = self.chunks.get_mut(&unit) {
            let now = most.min(*left);
            self.processes[unit].stdout.drain(..now);
            *left -= now;
        }
    }

    fn confirm(&mut self, unit: usize) {
        if self.chunks.get(&unit) == Some(&Chunk::Recorded(0)) {
            self.chunks.remove(&unit);
            let (id, run) = self.id(unit);
            self.tell(|pools, out| pools.consumed(id, run, out));
        }
    }

    fn crash(&mut self) {
        let on_way = |m: &&SavedMember| {
            let process = &self.processes[m.name[1..].parse::<usize>().unwrap()];
            let written = |before| process.stdin.len() as u64 > before;
            m.sending.is_some_and(|s| !s.before.is_some_and(written))
                || m.echo.is_some() && !process.stdout.is_empty() && m.ear.mood() != Mood::Ready
        };
        let members = self.disk.pools.values().flat_map(|p| &p.members).filter(on_way);
        self.unclear = members.map(|m| m.name[1..].parse().unwrap()).collect();
        self.letters.clear();
        self.parts.clear();
        self.chunks.clear();
        self.fresh = 0;
        self.pools = pools();
        assert_eq!(self.pools.restore(self.disk.read()), Vec::<String>::new());
        assert_eq!(self.pools.serial(), self.committed, "serials go on");
        self.tell(|_, _| {});
        for unit in 0..UNITS {
            let (id, run) = self.id(unit);
            let process = &self.processes[unit];
            let (unread, unheard) = (process.stdin.len() as u64, process.stdout.len() as u64);
            self.tell(|pools, out| {
                pools.adopted(id, run, Some(unread), Some(unheard), out);
                pools.running(id, true, out);
            });
        }
        self.tell(|pools, out| pools.settled(out));
    }

    fn play(&mut self, step: &Step) {
        match step {
            Step::Happen(long) => {
                let serial = self.pools.serial();
                assert_eq!(serial, self.committed + self.fresh);
                self.fresh += 1;
                let text = text_of(serial, if *long { 200 } else { 20 });
                self.tell(|pools, out| pools.happen(Kind::Tick5, || text, out));
            }
            Step::Commit => self.commit(),
            Step::Send(n) => self.send(*n),
            Step::Flush => self.flush(),
            Step::Act(unit, n) => self.act(*unit, *n),
            Step::Hear(unit) => self.hear(*unit),
            Step::Consume(unit, n) => self.consume(*unit, *n),
            Step::Confirm(unit) => self.confirm(*unit),
            // An end is told and written down like all else; here in one turn.
            Step::Die(unit) => {
                self.end(*unit, true);
                self.commit();
                self.start(*unit);
            }
            Step::Crash => self.crash(),
        }
    }

    /// All that is left is done by listeners that are awake.
    fn settle(&mut self) {
        for _ in 0..10_000 {
            self.commit();
            self.send(UNITS);
            self.flush();
            for unit in 0..UNITS {
                self.act(unit, 1000);
                self.hear(unit);
                self.commit();
                self.consume(unit, 1000);
                self.confirm(unit);
            }
            let idle = self.processes.iter().all(|p| p.asked && p.stdout.is_empty());
            if idle && self.letters.is_empty() && self.disk.events.is_empty() {
                return;
            }
        }
        panic!("events are left: {:?}", self.disk.events.keys());
    }
}

proptest! {
    #[test]
    fn whenever_it_is_killed_nothing_is_lost(steps in vec(step(), 0..150)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.play(step));
        world.commit();
        world.settle();
        for unit in 0..UNITS {
            prop_assert_eq!(world.pools.mood(UnitId(unit as u32)), Some(Mood::Ready));
        }
        for count in world.pools.counts() {
            prop_assert_eq!((count.waiting, count.dropped, count.accepted), (0, 0, world.committed));
        }
    }
}
