//! Every pair of state and event has an answer (habit 2): the whole table, pinned.

mod common;

use common::unit::Stage;
use common::{commands, service};
use supers_core::proc::{Action, Note, State};
use supers_core::spec::{Spec, When};

const EVENTS: [&str; 18] = [
    "start",
    "hold",
    "release",
    "abandon",
    "stop",
    "shutdown",
    "restart",
    "reload",
    "signal HUP",
    "spawned",
    "fails",
    "exits 1",
    "kill-fails",
    "command spawned",
    "command fails",
    "command exits 0",
    "+1ms",
    "+900s",
];

/// A row a state, a column an event, in the order of [`EVENTS`]; see [`answer`].
const TABLE: &str = "\
never started   s  h  .  .  -  -  s  -  -  .  .  .  .  .  .  .  .  .
stopped         s  h  .  .  -  -  s  -  -  .  .  .  .  .  .  .  .  .
held            s  -  s  F  S  S  s  -  -  .  .  .  .  .  .  .  .  .
spawning        -  -  .  .  T  T  T  -  -  s  B  B  .  .  .  .  .  .
starting        -  -  .  .  T  T  T  -  s  .  B  B  U  .  .  .  .  R
running         -  -  .  .  T  T  T  R  R  .  .  B  U  .  .  .  .  .
reloading       -  -  .  .  T  T  T  -  R  .  .  B  U  .  R  R  .  .
backoff         s  h  .  .  S  F  s  -  -  .  .  .  .  .  .  .  .  s
stop, spawning  -  -  .  .  .  .  -  -  -  T  S  S  .  .  .  .  .  .
stop command    -  -  .  .  .  .  -  -  T  .  S  S  U  .  T  T  .  T
stop signal     -  -  .  .  .  .  -  -  T  .  S  S  U  .  .  .  .  T
stop kill       -  -  .  .  .  .  -  -  T  .  S  S  U  .  .  .  .  T
stop to restart -  -  .  .  -  -  -  -  T  .  s  s  U  .  .  .  .  T
exited          s  h  .  .  -  -  s  -  -  .  .  .  .  .  .  .  .  .
fatal           s  h  .  .  -  -  s  -  -  .  .  .  .  .  .  .  .  .
unknown         -  -  .  .  T  T  T  -  U  .  .  S  .  .  .  .  .  .
";

/// A unit that passes through all states: RUNNING after a second, retried twice.
fn spec() -> Spec {
    let mut spec = service("web", When::OnFailure);
    spec.restart.startsecs = common::secs(1);
    spec.restart.retry = common::ini("web").restart.retry.clone();
    spec.stop_exec = commands(1);
    spec.reload_exec = commands(1);
    spec
}

/// The way into each state.
fn states() -> Vec<(&'static str, Vec<&'static str>)> {
    let running = vec!["start", "spawned", "+1s"];
    let and = |more: &[&'static str]| [&running[..], more].concat();
    vec![
        ("never started", vec![]),
        ("stopped", and(&["stop", "exits 0"])),
        ("held", vec!["hold"]),
        ("spawning", vec!["start"]),
        ("starting", vec!["start", "spawned"]),
        ("running", running.clone()),
        ("reloading", and(&["reload", "command spawned"])),
        ("backoff", vec!["start", "fails"]),
        ("stop, spawning", vec!["start", "stop"]),
        ("stop command", and(&["stop", "command spawned"])),
        ("stop signal", and(&["stop", "command fails"])),
        ("stop kill", and(&["stop", "command fails", "+90s"])),
        ("stop to restart", and(&["restart", "command fails"])),
        ("exited", and(&["exits 0"])),
        ("fatal", vec!["hold", "abandon"]),
        ("unknown", and(&["kill-fails"])),
    ]
}

fn letter(state: &State) -> char {
    match state {
        State::Stopped { .. } => 'S',
        State::Held => 'h',
        State::Starting { .. } => 's',
        State::Running { .. } => 'R',
        State::Backoff { .. } => 'B',
        State::Stopping { .. } => 'T',
        State::Exited { .. } => 'E',
        State::Fatal { .. } => 'F',
        State::Unknown { .. } => 'U',
    }
}

/// `.` nothing at all; `-` nothing is done and the state stays, but a note or the wish may say so; else
/// the state that follows.
fn answer(way: &[&str], event: &str) -> char {
    let mut stage = Stage::new(spec()).after(way);
    let before = stage.unit.clone();
    stage.say(event);
    let in_vain = stage.actions.iter().all(|a| matches!(a, Action::Note(Note::Ignored(_))));
    match (stage.unit.state == before.state && stage.unit.reloading == before.reloading, in_vain) {
        (true, true) if stage.actions.is_empty() && stage.unit == before => '.',
        (true, true) => '-',
        (_, _) => letter(&stage.unit.state),
    }
}

#[test]
fn every_pair() {
    let mut table = String::new();
    for (name, way) in states() {
        let row: Vec<String> = EVENTS.iter().map(|e| answer(&way, e).to_string()).collect();
        table.push_str(&format!("{name:16}{}\n", row.join("  ")));
    }
    assert!(table == TABLE, "it is now:\n{table}");
}

/// A fact about a run that is not (or no longer) the unit's own is dropped in every state.
#[test]
fn facts_of_older_runs() {
    use supers_core::exit::Exit;
    use supers_core::ids::{Pid, RunId};
    use supers_core::proc::Event;
    for (name, way) in states() {
        let run = RunId(77);
        for event in [
            Event::Spawned { run, pid: Pid(9) },
            Event::SpawnFailed { run, error: common::start_error() },
            Event::Exited { run, pid: Pid(9), exit: Exit::Code(1) },
            Event::KillFailed { run },
        ] {
            assert_eq!(event.run(), Some(run));
            let mut stage = Stage::new(spec()).after(&way);
            let before = stage.unit.clone();
            assert_eq!(stage.send(&event), "-", "{name} {event:?}");
            assert_eq!(stage.unit, before, "{name} {event:?}");
            assert!(!stage.unit.knows(run));
        }
    }
}

/// Wishes and time are about the unit, not about a run.
#[test]
fn wishes_name_no_run() {
    use supers_core::proc::{Cause, Event};
    for event in [
        Event::Start { hold: true, by_hand: true },
        Event::Release,
        Event::Abandon(Cause::Asked),
        Event::Stop { shutdown: true },
        Event::Restart,
        Event::Reload,
        Event::Signal(common::sig(1)),
        Event::Tick,
    ] {
        assert_eq!(event.run(), None);
    }
}

/// What can be read off a state.
#[test]
fn views_of_a_state() {
    // pid, run, deadline, down, starting, reached
    let flags = |way: &[&str]| {
        let stage = Stage::new(spec()).after(way);
        let s = &stage.unit.state;
        [
            s.pid().is_some(),
            s.run().is_some(),
            s.deadline().is_some(),
            s.is_down(),
            s.is_starting(),
            s.is_reached(),
        ]
        .map(u8::from)
    };
    let want = [
        ("never started", [0, 0, 0, 1, 0, 0]),
        ("stopped", [0, 0, 0, 1, 0, 0]),
        ("held", [0, 0, 0, 0, 1, 0]),
        ("spawning", [0, 1, 0, 0, 1, 0]),
        ("starting", [1, 1, 1, 0, 1, 0]),
        ("running", [1, 1, 0, 0, 0, 1]),
        ("reloading", [1, 1, 0, 0, 0, 1]),
        ("backoff", [0, 0, 1, 0, 0, 0]),
        ("stop, spawning", [0, 1, 0, 0, 0, 0]),
        ("stop command", [1, 1, 1, 0, 0, 0]),
        ("stop signal", [1, 1, 1, 0, 0, 0]),
        ("stop kill", [1, 1, 1, 0, 0, 0]),
        ("stop to restart", [1, 1, 1, 0, 0, 0]),
        ("exited", [0, 0, 0, 1, 0, 1]),
        ("fatal", [0, 0, 0, 1, 0, 0]),
        ("unknown", [1, 1, 0, 0, 0, 0]),
    ];
    for ((name, way), (same_name, want)) in states().into_iter().zip(want) {
        assert_eq!((name, flags(&way)), (same_name, want));
    }
    let mut bad = Stage::new(spec()).after(&["start", "spawned", "+1s"]);
    bad.spec.restart.when = When::Never;
    bad.say("exits 1");
    assert!(!bad.unit.state.is_reached(), "{:?}", bad.unit.state);
}
