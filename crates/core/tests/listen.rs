//! Pools of listeners: the table of supervisor-contract 12, and answers as the genuine daemon took them.

#![allow(clippy::unwrap_used, clippy::panic, missing_docs)]

use supers_core::event::{Happening, Kind};
use supers_core::ids::{RunId, UnitId};
use supers_core::listen::{Action, LINE_MAX, Mood, Pools, Said, Weight};
use supers_core::spec::{Listener, Spec};

struct Stage {
    pools: Pools,
    out: Vec<Action>,
}

fn listener(group: &str, name: &str, events: &[Kind], buffer_size: u32) -> Spec {
    let mut spec = Spec::new(name);
    spec.group = group.into();
    let result_handler = "supervisor.dispatchers:default_handler".into();
    spec.listener = Some(Box::new(Listener { events: events.to_vec(), buffer_size, result_handler }));
    spec
}

impl Stage {
    fn new() -> Stage {
        Stage { pools: Pools::new("idx"), out: Vec::new() }
    }

    /// A pool `p` for everything, with this many processes that are RUNNING and said nothing yet.
    fn pool(buffer_size: u32, processes: u32) -> Stage {
        let mut s = Stage::new();
        for n in 0..processes {
            let spec = listener("p", &format!("p_{n}"), &[Kind::Event], buffer_size);
            s.pools.put(UnitId(n), &spec, &mut s.out);
            s.up(n, u64::from(n) + 1);
        }
        s
    }

    fn up(&mut self, unit: u32, run: u64) {
        self.pools.started(UnitId(unit), RunId(run), &mut self.out);
        self.pools.running(UnitId(unit), true, &mut self.out);
    }

    fn says(&mut self, unit: u32, run: u64, text: &[u8]) {
        self.pools.heard(UnitId(unit), RunId(run), text, &mut self.out);
        self.pools.consumed(UnitId(unit), RunId(run), &mut self.out);
    }

    fn happen(&mut self, happening: &Happening) {
        self.pools.happen(happening.kind(), || happening.payload(), &mut self.out);
    }

    fn remote(&mut self, data: &str) {
        self.happen(&Happening::Remote { kind: "t".into(), data: data.into() });
    }

    /// What was sent, as `unit run text`; and what was said, but for debugging.
    fn took(&mut self) -> Vec<String> {
        let line = |action| match action {
            Action::Send { unit, run, bytes } => {
                Some(format!("{} {} {}", unit.0, run.0, String::from_utf8(bytes).unwrap()))
            }
            Action::Say(said) if said.weight() == Weight::Debug => None,
            Action::Say(said) => Some(said.to_string()),
            Action::Restart { .. } => panic!("nothing crashed"),
        };
        std::mem::take(&mut self.out).into_iter().filter_map(line).collect()
    }
}

fn remote(unit: u32, run: u64, serial: u64, data: &str) -> String {
    let len = data.chars().count() + 7;
    format!(
        "{unit} {run} ver:3.0 server:idx serial:{serial} pool:p poolserial:{serial} \
         eventname:REMOTE_COMMUNICATION len:{len}\ntype:t\n{data}"
    )
}

const CONFUSED: &str = "p_0: has entered the UNKNOWN state and will no longer receive events, this usually indicates \
                        the process violated the eventlistener protocol";

#[test]
fn an_event_waits_for_a_listener_that_is_running_and_ready() {
    let mut s = Stage::new();
    s.pools.put(UnitId(0), &listener("p", "p_0", &[Kind::Event], 10), &mut s.out);
    s.remote("ä\u{1f600}");
    s.pools.started(UnitId(0), RunId(7), &mut s.out);
    s.says(0, 7, b"READY\n");
    assert!(s.took().is_empty(), "it is STARTING");
    s.pools.running(UnitId(0), true, &mut s.out);
    assert_eq!(s.took(), [remote(0, 7, 0, "ä\u{1f600}")], "len counts characters");
    s.remote("b");
    assert!(s.took().is_empty(), "it is busy");
    s.says(0, 7, b"RESULT 2\nOKREADY\n");
    assert_eq!(s.took(), [remote(0, 7, 1, "b")]);
}

#[test]
fn an_empty_payload_has_length_0_and_ends_with_the_header() {
    let mut s = Stage::pool(10, 1);
    s.says(0, 1, b"READY\n");
    s.happen(&Happening::Stopping);
    let head = "0 1 ver:3.0 server:idx serial:0 pool:p poolserial:0 \
                eventname:SUPERVISOR_STATE_CHANGE_STOPPING len:0\n";
    assert_eq!(s.took(), [head]);
}

#[test]
fn what_was_said_before_the_start_is_told_counts() {
    let mut s = Stage::new();
    s.pools.put(UnitId(0), &listener("p", "p_0", &[Kind::Event], 10), &mut s.out);
    s.says(0, 7, b"REA");
    s.pools.started(UnitId(0), RunId(7), &mut s.out);
    s.says(0, 7, b"DY\n");
    s.pools.running(UnitId(0), true, &mut s.out);
    s.remote("a");
    assert_eq!(s.took(), [remote(0, 7, 0, "a")]);
    s.pools.ended(UnitId(0), RunId(7), &mut s.out);
    s.pools.running(UnitId(0), false, &mut s.out);
    s.says(0, 7, b"RESULT 2\nOKREADY\n");
    s.up(0, 8);
    assert!(s.took().is_empty(), "an older life is not heard any more");
    s.says(0, 8, b"READY\n");
    assert_eq!(s.took(), [remote(0, 8, 0, "a")], "the same numbers again");
}

/// Answers to one event. (said, what the log says, what it is then); as the genuine daemon (4.3.0) took
/// them, but for the last four: it falls over a negative count, and has no bounds.
#[test]
fn answers() {
    let long = |n: usize| [vec![b'x'; n], b"2\nOK".to_vec()].concat();
    let bad = |line: &str| vec![format!("p_0: bad result line: '{line}'"), CONFUSED.to_owned()];
    let rejected = || vec!["p_0: event was rejected".to_owned()];
    let table: Vec<(Vec<u8>, Vec<String>, Mood)> = vec![
        (b"RESULT 2\nOK".into(), vec![], Mood::Acknowledged),
        (b"RESULT 2\nOKREADY\n".into(), vec![], Mood::Ready),
        (b"RESULT  2 \nOKREADY\n".into(), vec![], Mood::Ready),
        (b"RESULT +2\nOKREADY\n".into(), vec![], Mood::Ready),
        (b"RESULT 0_2\nOKREADY\n".into(), vec![], Mood::Ready),
        (b"RESULT 2\r\nOKREADY\n".into(), vec![], Mood::Ready),
        (b"xxxxxxx2\nOKREADY\n".into(), vec![], Mood::Ready),
        (b"RESULT 4\nFAILREADY\n".into(), rejected(), Mood::Ready),
        (b"RESULT 0\nREADY\n".into(), rejected(), Mood::Ready),
        (b"RESULT 3\nOK\nREADY\n".into(), rejected(), Mood::Ready),
        (b"RESULT 2\nO\xffREADY\n".into(), rejected(), Mood::Ready),
        (b"RESULT 2\nOKgarbag".into(), vec![CONFUSED.into()], Mood::Unknown),
        (b"RESULT 2\nOKREADY\nREADY\n".into(), vec![CONFUSED.into()], Mood::Unknown),
        (b"RESULT x\n".into(), bad("RESULT x"), Mood::Unknown),
        (b"R\nESULT 2\nOK".into(), bad("R"), Mood::Unknown),
        (b"RESULT\n".into(), bad("RESULT"), Mood::Unknown),
        (b"\n".into(), bad(""), Mood::Unknown),
        (b"WHATEVER\nX".into(), bad("WHATEVER"), Mood::Unknown),
        ("RESULT ٢\nOK".into(), bad("RESULT ٢"), Mood::Unknown),
        (b"R\xff\n".into(), bad("Undecodable: b'R\\xff'"), Mood::Unknown),
        (b"RESULT 9999999999999999999999\nOKOKOK".into(), vec![], Mood::Busy),
        (b"RESULT 2".into(), vec![], Mood::Busy),
        (b"RESULT -1\nOKOK".into(), bad("RESULT -1"), Mood::Unknown),
        (b"RESULT 2_\nOK".into(), bad("RESULT 2_"), Mood::Unknown),
        (
            [b"xxxxxxx".to_vec(), vec![b' '; LINE_MAX - 8], b"2\nOK".to_vec()].concat(),
            vec![],
            Mood::Acknowledged,
        ),
        (long(LINE_MAX), bad(&("x".repeat(LINE_MAX))), Mood::Unknown),
    ];
    for (answer, said, mood) in table {
        let mut s = Stage::pool(10, 1);
        s.says(0, 1, b"READY\n");
        s.remote("a");
        s.out.clear();
        s.says(0, 1, &answer);
        let label = String::from_utf8_lossy(&answer).into_owned();
        let lines: Vec<String> = s.took().into_iter().filter(|l| !l.starts_with("0 1 ")).collect();
        assert_eq!(lines, said, "{label}");
        // A rejected event comes back at once.
        let again = said.first().is_some_and(|l| l.ends_with("rejected"));
        let mood = if again { Mood::Busy } else { mood };
        assert_eq!(s.pools.mood(UnitId(0)), Some(mood), "{label}");
        // Nothing is done unless it says OK; whoever is ready next gets it.
        s.pools.ended(UnitId(0), RunId(1), &mut s.out);
        s.out.clear();
        s.up(0, 2);
        s.says(0, 2, b"READY\n");
        let done = label.contains("\nOK") && said.iter().all(|l| l == CONFUSED) && mood != Mood::Busy;
        assert_eq!(s.took().is_empty(), done, "{label}");
    }
}

#[test]
fn who_speaks_out_of_turn_gets_nothing_until_it_is_started_again() {
    for noise in [&b"HELLO!"[..], b"READY\nx", b"READYREADY\n"] {
        let mut s = Stage::pool(10, 1);
        s.says(0, 1, noise);
        assert_eq!(s.took(), [CONFUSED]);
        s.says(0, 1, b"READY\n");
        s.remote("a");
        assert!(s.took().is_empty(), "{noise:?}");
        s.pools.ended(UnitId(0), RunId(1), &mut s.out);
        s.up(0, 2);
        s.says(0, 2, b"READY\n");
        assert_eq!(s.took(), [remote(0, 2, 0, "a")]);
    }
}

#[test]
fn the_first_that_is_ready_gets_the_event_and_a_broken_pipe_passes_it_on() {
    let mut s = Stage::pool(10, 3);
    s.says(2, 3, b"READY\n");
    s.says(1, 2, b"READY\n");
    s.remote("a");
    assert_eq!(s.took(), [remote(1, 2, 0, "a")]);
    s.pools.broken(UnitId(1), RunId(2), &mut s.out);
    assert_eq!(s.took(), [remote(2, 3, 0, "a")]);
    s.remote("b");
    s.says(1, 2, b"RESULT 2\nOKREADY\n");
    assert!(s.took().is_empty(), "a process that cannot read gets nothing in this life");
}

#[test]
fn a_full_buffer_drops_the_oldest_and_says_so() {
    let mut s = Stage::pool(2, 1);
    for data in ["a", "b", "c"] {
        s.remote(data);
    }
    assert_eq!(s.took(), ["pool p event buffer overflowed, discarding event 0"]);
    s.says(0, 1, b"READY\n");
    assert_eq!(s.took(), [remote(0, 1, 1, "b")]);
    s.remote("d");
    s.says(0, 1, b"RESULT 4\nFAIL");
    let lines = ["p_0: event was rejected", "pool p event buffer overflowed, discarding event 2"];
    assert_eq!(s.took(), lines, "what comes back needs room, too");
    s.says(0, 1, b"READY\n");
    assert_eq!(s.took(), [remote(0, 1, 1, "b")]);
    let count = s.pools.counts().next().unwrap();
    assert_eq!((count.waiting, count.accepted, count.dropped), (1, 4, 2));
}

#[test]
fn a_rejected_event_returns_to_its_own_pool_only() {
    let mut s = Stage::pool(10, 1);
    s.pools.put(UnitId(9), &listener("q", "q", &[Kind::Tick], 10), &mut s.out);
    s.up(9, 9);
    s.says(9, 9, b"READY\n");
    s.says(0, 1, b"READY\n");
    s.remote("a");
    s.says(0, 1, b"RESULT 4\nFAIL");
    s.took();
    s.happen(&Happening::Tick { period: supers_core::event::Period::Seconds5, when: 5 });
    let head = "9 9 ver:3.0 server:idx serial:1 pool:q poolserial:0 eventname:TICK_5 len:6\nwhen:5";
    assert_eq!(s.took(), [head], "one serial for all, one of its own for each pool");
}

#[test]
fn what_nobody_wants_costs_nothing_and_has_no_number() {
    let mut s = Stage::new();
    let never = || -> String { panic!("made for nobody") };
    s.pools.happen(Kind::RemoteCommunication, never, &mut s.out);
    s.pools.put(UnitId(0), &listener("p", "p_0", &[Kind::Tick], 10), &mut s.out);
    s.pools.happen(Kind::RemoteCommunication, never, &mut s.out);
    assert!(s.pools.wants(Kind::Tick3600) && !s.pools.wants(Kind::RemoteCommunication));
    s.pools.put(UnitId(0), &listener("p", "p_0", &[Kind::Event], 10), &mut s.out);
    s.up(0, 1);
    s.says(0, 1, b"READY\n");
    s.remote("a");
    assert_eq!(s.took(), [remote(0, 1, 0, "a")]);
    s.pools.remove(UnitId(0), &mut s.out);
    s.pools.happen(Kind::RemoteCommunication, never, &mut s.out);
    assert!(s.took().is_empty() && !s.pools.listens(UnitId(0)));
}

#[test]
fn a_unit_that_is_removed_leaves_its_event_to_the_others() {
    let mut s = Stage::pool(10, 2);
    s.says(0, 1, b"READY\n");
    s.remote("a");
    s.says(1, 2, b"READY\n");
    s.took();
    s.pools.remove(UnitId(0), &mut s.out);
    assert_eq!(s.took(), [remote(1, 2, 0, "a")]);
}

#[test]
fn who_debugs_a_listener_sees_each_step() {
    let mut s = Stage::pool(10, 1);
    s.says(0, 1, b"READY\n");
    s.remote("a");
    s.says(0, 1, b"RESULT 2\nOK");
    let said = |a: &Action| match a {
        Action::Send { .. } | Action::Restart { .. } => None,
        Action::Say(said) => Some(said.to_string()),
    };
    let lines: Vec<String> = s.out.iter().filter_map(said).collect();
    let expected = [
        "p_0: ACKNOWLEDGED -> READY",
        "event 0 sent to listener p_0",
        "p_0: event was processed",
        "p_0: BUSY -> ACKNOWLEDGED",
    ];
    assert_eq!(lines, expected);
    assert_eq!(Said::Processed { name: "p_0".into() }.weight(), Weight::Debug);
}
