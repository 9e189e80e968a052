//! Laws of listening: nothing is lost or done twice, in whatever order things happen; pieces do not matter;
//! no output of a listener does harm.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use supers_core::event::Kind;
use supers_core::ids::{RunId, UnitId};
use supers_core::listen::{Action, Ear, Heard, LINE_MAX, Mood, Pools, Said};
use supers_core::spec::{Listener, Spec};

const UNITS: u32 = 4;
const KINDS: [Kind; 3] = [Kind::Tick5, Kind::RemoteCommunication, Kind::ProcessGroupAdded];

#[derive(Clone, Debug)]
enum Step {
    Happen(usize),
    Start(u32),
    Running(u32, bool),
    Say(u32, &'static [u8]),
    Broken(u32),
    End(u32),
}

fn step() -> impl Strategy<Value = Step> {
    let words: Vec<&'static [u8]> = vec![
        b"READY\n",
        b"READY\n",
        b"REA",
        b"DY\n",
        b"RESULT 2\nOK",
        b"RESULT 2\nOKREADY\n",
        b"RESULT 2\nOKREADY\n",
        b"RESULT 4\nFAILREADY\n",
        b"RESULT 4\nFA",
        b"ILREADY\n",
        b"RESULT x\n",
        b"\n",
    ];
    let unit = 0..UNITS;
    prop_oneof![
        4 => (0..KINDS.len()).prop_map(Step::Happen),
        2 => unit.clone().prop_map(Step::Start),
        2 => (unit.clone(), any::<bool>()).prop_map(|(u, r)| Step::Running(u, r)),
        6 => (unit.clone(), prop::sample::select(words)).prop_map(|(u, w)| Step::Say(u, w)),
        1 => unit.clone().prop_map(Step::Broken),
        1 => unit.prop_map(Step::End),
    ]
}

fn pool_of(unit: u32) -> &'static str {
    if unit < UNITS - 1 { "many" } else { "one" }
}

fn spec(unit: u32, buffer_size: u32) -> Spec {
    let mut spec = Spec::new(&format!("u{unit}"));
    spec.group = pool_of(unit).into();
    let events = if unit < UNITS - 1 { vec![Kind::Event] } else { vec![Kind::Tick, Kind::ProcessGroup] };
    spec.listener = Some(Box::new(Listener { events, buffer_size, result_handler: String::new() }));
    spec
}

/// What one pool did, seen from outside.
#[derive(Default)]
struct Ledger {
    waiting: BTreeSet<u64>,
    held: BTreeMap<u32, u64>,
    done: BTreeSet<u64>,
    dropped: BTreeSet<u64>,
    texts: BTreeMap<u64, Vec<u8>>,
}

struct World {
    pools: Pools,
    runs: [u64; UNITS as usize],
    running: [bool; UNITS as usize],
    serial: u64,
    ledgers: BTreeMap<&'static str, Ledger>,
}

impl World {
    fn new(buffer_size: u32) -> World {
        let mut pools = Pools::new("x");
        let mut out = Vec::new();
        for unit in 0..UNITS {
            pools.put(UnitId(unit), &spec(unit, buffer_size), &mut out);
        }
        assert!(out.is_empty());
        let ledgers = ["many", "one"].map(|name| (name, Ledger::default())).into();
        World { pools, runs: [0; 4], running: [false; 4], serial: 0, ledgers }
    }

    fn play(&mut self, step: &Step) {
        let mut out = Vec::new();
        match step {
            Step::Happen(n) => {
                let kind = KINDS[*n];
                for (name, ledger) in &mut self.ledgers {
                    if *name == "many" || kind != Kind::RemoteCommunication {
                        ledger.waiting.insert(self.serial);
                    }
                }
                self.pools.happen(kind, || format!("payload {}", self.serial), &mut out);
                self.serial += 1;
            }
            Step::Start(unit) => {
                let run = &mut self.runs[*unit as usize];
                *run += 1;
                self.returns(*unit);
                let run = RunId(self.runs[*unit as usize]);
                self.pools.started(UnitId(*unit), run, &mut out);
            }
            Step::Running(unit, running) => {
                self.running[*unit as usize] = *running;
                self.pools.running(UnitId(*unit), *running, &mut out);
            }
            Step::Say(unit, words) => {
                let (unit, run) = (UnitId(*unit), RunId(self.runs[*unit as usize]));
                self.pools.heard(unit, run, words, &mut out);
                assert!(!out.iter().any(|a| matches!(a, Action::Send { unit: to, .. } if *to == unit)));
                self.pools.consumed(unit, run, &mut out);
            }
            Step::Broken(unit) => {
                self.returns(*unit);
                self.pools.broken(UnitId(*unit), RunId(self.runs[*unit as usize]), &mut out);
            }
            Step::End(unit) => {
                self.returns(*unit);
                self.pools.ended(UnitId(*unit), RunId(self.runs[*unit as usize]), &mut out);
            }
        }
        for action in out {
            self.take(action);
        }
    }

    fn ledger(&mut self, unit: u32) -> &mut Ledger {
        self.ledgers.get_mut(pool_of(unit)).unwrap()
    }

    /// What this unit holds waits again.
    fn returns(&mut self, unit: u32) {
        let ledger = self.ledger(unit);
        let held = ledger.held.remove(&unit);
        ledger.waiting.extend(held);
    }

    fn take(&mut self, action: Action) {
        let unit = |name: &str| name[1..].parse::<u32>().unwrap();
        match action {
            Action::Send { unit: UnitId(unit), run, bytes } => {
                assert_eq!(run.0, self.runs[unit as usize]);
                assert!(self.running[unit as usize], "sent to a unit that is not RUNNING");
                let text = String::from_utf8(bytes.clone()).unwrap();
                let serial =
                    text.split_once("serial:").unwrap().1.split(' ').next().unwrap().parse().unwrap();
                let ledger = self.ledger(unit);
                assert_eq!(ledger.waiting.first(), Some(&serial), "the oldest that waits goes first");
                ledger.waiting.remove(&serial);
                assert_eq!(ledger.held.insert(unit, serial), None, "one at a time");
                assert_eq!(ledger.texts.entry(serial).or_insert_with(|| bytes.clone()), &bytes);
            }
            Action::Say(Said::Overflow { pool, serial }) => {
                let ledger = self.ledgers.get_mut(pool.as_str()).unwrap();
                assert!(ledger.waiting.remove(&serial) && ledger.dropped.insert(serial));
            }
            Action::Say(Said::Processed { name }) => {
                let unit = unit(&name);
                let ledger = self.ledger(unit);
                // A result of a process whose event was passed on already is nobody's.
                if let Some(serial) = ledger.held.remove(&unit) {
                    assert!(ledger.done.insert(serial), "done twice");
                }
            }
            Action::Say(Said::Rejected { name } | Said::Confused { name }) => self.returns(unit(&name)),
            Action::Restart { .. } | Action::Say(Said::Lost { .. }) => panic!("nothing crashed"),
            Action::Say(
                Said::Sent { .. } | Said::Broken { .. } | Said::BadLine { .. } | Said::Moved { .. },
            ) => {}
        }
    }
}

proptest! {
    #[test]
    fn nothing_is_lost_or_done_twice(size in 1_u32..5, steps in vec(step(), 0..120)) {
        let mut w = World::new(size);
        for step in &steps {
            w.play(step);
            for (count, (_, ledger)) in w.pools.counts().zip(&w.ledgers) {
                prop_assert_eq!(count.waiting, ledger.waiting.len());
                prop_assert!(count.waiting <= size as usize);
                prop_assert_eq!(count.dropped, ledger.dropped.len() as u64);
            }
        }
        // In the end a well-behaved process of each pool comes and takes all there is.
        for unit in 0..UNITS {
            w.play(&Step::End(unit));
        }
        for unit in [0, UNITS - 1] {
            for step in [Step::Start(unit), Step::Running(unit, true), Step::Say(unit, b"READY\n")] {
                w.play(&step);
            }
            for _ in 0..=size {
                if w.pools.mood(UnitId(unit)) == Some(Mood::Busy) {
                    w.play(&Step::Say(unit, b"RESULT 2\nOKREADY\n"));
                }
            }
        }
        for (count, (_, ledger)) in w.pools.counts().zip(&w.ledgers) {
            prop_assert!(ledger.waiting.is_empty() && ledger.held.is_empty());
            prop_assert_eq!(count.accepted, (ledger.done.len() + ledger.dropped.len()) as u64);
        }
    }

    #[test]
    fn pieces_do_not_matter(
        bytes in "(READY\n|RESULT [0-9]{1,2}\n|OK|FAIL|x{1,9}|\n){0,9}",
        cuts in vec(0_usize..20, 1..9),
        sent in vec(any::<bool>(), 0..9),
    ) {
        let whole = hear(&mut std::iter::once(bytes.as_bytes()), &sent);
        let mut rest = bytes.as_bytes();
        let mut cuts = cuts.iter().cycle();
        let mut pieces = std::iter::from_fn(|| {
            let n = cuts.next().map_or(1, |n| (*n).min(rest.len()));
            let (piece, more) = rest.split_at(if n == 0 && !rest.is_empty() { 1 } else { n });
            rest = more;
            (!piece.is_empty()).then_some(piece)
        });
        prop_assert_eq!(whole, hear(&mut pieces, &sent));
    }

    #[test]
    fn no_noise_does_harm(noise in vec(any::<u8>(), 0..4000), busy in any::<bool>()) {
        let mut ear = Ear::default();
        if busy {
            ear.sent();
        }
        let mut bytes = noise.as_slice();
        while let Some(heard) = ear.hear(&mut bytes) {
            if let Heard::BadLine(line) = heard {
                // Each byte that is no text is shown as four characters.
                prop_assert!(line.len() <= 4 * LINE_MAX + 20);
            }
        }
        prop_assert!(bytes.is_empty());
    }
}

/// All that is heard. Whoever is ready gets an event at once, where `sent` says so.
fn hear(pieces: &mut dyn Iterator<Item = &[u8]>, sent: &[bool]) -> (Vec<Heard>, Mood) {
    let (mut ear, mut all, mut sent) = (Ear::default(), Vec::new(), sent.iter());
    for mut piece in pieces {
        while let Some(heard) = ear.hear(&mut piece) {
            if heard == Heard::Ready && sent.next() == Some(&true) {
                ear.sent();
            }
            all.push(heard);
        }
    }
    (all, ear.mood())
}
