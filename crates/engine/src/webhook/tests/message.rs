//! What is told, and what it looks like.

use super::super::message::{Abnormal, Fact, Id, abnormal, delivery, is_wanted, signature};
use super::{AT, end_of, exited, sender, settings};
use insta::assert_snapshot;
use std::time::Duration;
use supers_config::Secret;
use supers_config::webhook::{Events, Url};
use supers_core::exit::{Exit, Stage, StartError};
use supers_core::ids::{Pid, RunId};
use supers_core::proc::{Cause, Cx, Event, Note, State, Unit, Want, Word, step};
use supers_core::signal::Signal;
use supers_core::spec::{Spec, When};
use supers_core::time::{Mono, Now, Wall};

/// Plays events, and says which of them are told, with the run that is named.
fn told(spec: &Spec, events: &[fn(RunId) -> Event]) -> String {
    let (mut unit, mut next_run, mut mono) = (Unit::new(AT), 0, 0);
    let mut out = Vec::new();
    for event in events {
        mono += 100;
        let (before, mut actions) = (unit.run, Vec::new());
        let now = Now { mono: Mono(mono * 1_000_000), wall: AT };
        let mut cx = Cx { spec, now, next_run: &mut next_run, out: &mut actions };
        step(&mut unit, &event(before), &mut cx);
        for action in actions {
            if let supers_core::proc::Action::Note(note) = action
                && let Some(what) = abnormal(&note, &unit.state, false)
            {
                out.push(format!("{}:{}", before.0, what.word()));
            }
        }
    }
    out.join(" ")
}

fn start(_: RunId) -> Event {
    Event::Start { hold: false, by_hand: true }
}

fn spawned(run: RunId) -> Event {
    Event::Spawned { run, pid: Pid(7) }
}

fn failed(run: RunId) -> Event {
    Event::SpawnFailed {
        run,
        error: StartError { stage: Stage::Exec, errno: 2, text: "no such file".into() },
    }
}

fn bad(run: RunId) -> Event {
    Event::Exited { run, pid: Pid(7), exit: Exit::Code(1) }
}

fn good(run: RunId) -> Event {
    Event::Exited { run, pid: Pid(7), exit: Exit::Code(0) }
}

fn killed(run: RunId) -> Event {
    Event::Exited { run, pid: Pid(7), exit: Exit::Signal { signal: Signal::KILL, core: false } }
}

fn stop(_: RunId) -> Event {
    Event::Stop { shutdown: false }
}

fn tick(_: RunId) -> Event {
    Event::Tick
}

fn spec(change: impl FnOnce(&mut Spec)) -> Spec {
    let mut spec = Spec::new("web");
    spec.restart.startsecs = Duration::ZERO;
    change(&mut spec);
    spec
}

#[test]
fn each_abnormal_end_is_told_once() {
    let quick = spec(|_| {});
    assert_eq!(told(&quick, &[start, spawned, bad]), "1:exit");
    assert_eq!(told(&quick, &[start, spawned, bad, spawned, killed, spawned, bad]), "1:exit 2:exit 3:exit");
    assert_eq!(told(&quick, &[start, spawned, good]), "");
    // What was asked for is not abnormal, however it ends.
    assert_eq!(told(&quick, &[start, spawned, stop, killed]), "");
    assert_eq!(told(&quick, &[start, stop, failed]), "");

    // Two tries: two ends, and that it was given up is one more fact.
    let patient = spec(|s| {
        s.restart.startsecs = Duration::from_secs(1);
        s.restart.retry.as_mut().unwrap().limit = Some(1);
    });
    let wait: [fn(RunId) -> Event; 10] = [tick; 10];
    let tries = [&[start, spawned, bad][..], &wait, &[spawned, bad]].concat();
    assert_eq!(told(&patient, &tries), "1:exit 2:exit 2:fatal");
    let tries = [&[start, failed][..], &wait, &[failed]].concat();
    assert_eq!(told(&patient, &tries), "1:start 2:start 2:fatal");

    // Without a second try, FATAL is no news.
    let once = spec(|s| {
        s.restart.retry = None;
        s.restart.when = When::Never;
    });
    assert_eq!(told(&once, &[start, failed]), "1:start");

    let refused = spec(|s| s.refused = Some("broken".into()));
    assert_eq!(told(&refused, &[start]), "0:fatal");
}

#[test]
fn a_shutdown_gives_up_nobody() {
    let fatal = Note::Changed { from: Word::Backoff, to: Word::Fatal, tries: 3, pid: None, expected: false };
    let cause = Cause::GaveUp { tries: 3, last: Box::new(Cause::Asked) };
    let state = State::Fatal { cause };
    assert_eq!(abnormal(&fatal, &state, false), Some(Abnormal::Fatal));
    assert_eq!(abnormal(&fatal, &state, true), None);
}

#[test]
fn a_start_that_takes_too_long_is_told() {
    let backoff = Note::Changed {
        from: Word::Stopping,
        to: Word::Backoff,
        tries: 1,
        pid: Some(Pid(7)),
        expected: false,
    };
    let cause = Cause::TimedOut(Duration::from_secs(9));
    let state = State::Backoff { until: Mono(0), attempt: 1, cause };
    assert_eq!(abnormal(&backoff, &state, false), Some(Abnormal::Start));
}

#[test]
fn a_message_says_all_that_is_known() {
    let mut spec = Spec::new("web_0");
    spec.group = "web".into();
    let exit = Exit::Signal { signal: Signal::KILL, core: true };
    let note = Note::Exited { exit, expected: false, pid: Pid(4711) };
    let last = Box::new(Cause::TooQuick { exit, lived: Duration::from_millis(20) });
    let state = State::Fatal { cause: Cause::GaveUp { tries: 4, last } };
    let fact = Fact {
        what: Abnormal::Exit,
        spec: &spec,
        note: &note,
        state: &state,
        run: RunId(17),
        attempt: 4,
        oom: true,
        at: AT,
        tail: (0..25).map(|n| format!("line {n}")).chain(["ü".repeat(2000)]).collect(),
    };
    let mut hooks = settings("http://me:p%3aw@hooks:8080/x?token=t");
    hooks.secret = Some(Secret::new("key"));
    let d = delivery(&sender(), &hooks, &fact).unwrap();
    let (before, rest) = d.body.split_once(r#""tail":["#).unwrap();
    let (tail, after) = rest.split_once(']').unwrap();
    assert_snapshot!(format!(r#"{before}"tail":[]{after}"#).replace(",\"", ",\n\""), @r#"
    {"id":"43ad11b4b0c062b2807e98c884121d29",
    "event":"exit",
    "host":"box",
    "config":"/etc/super",
    "unit":"web:web_0",
    "group":"web",
    "run":17,
    "pid":4711,
    "exit":{"code":null,
    "signal":"SIGKILL",
    "core":true,
    "oom":true},
    "expected":false,
    "state":"FATAL",
    "attempt":4,
    "reason":"web:web_0: exited too quickly: terminated by SIGKILL (core dumped) after 20 ms, because memory was short",
    "at":"2026-11-21T15:20:42.123Z",
    "tail":[],
    "supers":"0.1.0"}
    "#);
    let tail: Vec<&str> = tail.split(',').collect();
    assert_eq!((tail.len(), tail[0], tail[19].len()), (20, "\"line 6\"", 1002));
    let names: Vec<&str> = d.headers.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(
        names,
        ["content-type", "user-agent", "x-supers-event", "authorization", "x-supers-signature"]
    );
    // me:p:w
    assert!(d.headers.iter().any(|h| h.1 == "Basic bWU6cDp3"));
}

#[test]
fn the_sentence_of_each_kind() {
    let spec = spec(|_| {});
    let say = |what, note: &Note, state: &State| {
        let (run, tail) = (RunId(1), Vec::new());
        let fact = Fact { what, spec: &spec, note, state, run, attempt: 0, oom: false, at: AT, tail };
        let d = delivery(&sender(), &settings("http://h"), &fact).unwrap();
        let value: serde_json::Value = serde_json::from_str(&d.body).unwrap();
        format!("{} {}", value["event"].as_str().unwrap(), value["reason"].as_str().unwrap())
    };
    let (note, state) = exited(3);
    assert_eq!(say(Abnormal::Exit, &note, &state), "exit web: exit status 3 after 5 s");
    // It is on its way up again.
    let again = State::Starting { run: RunId(2), pid: None, index: 0, begun: Mono(0), until: None };
    assert_eq!(say(Abnormal::Exit, &note, &again), "exit web: exit status 3");
    let error = StartError { stage: Stage::Chdir, errno: 2, text: "change directory to \"/x\": gone".into() };
    let note = Note::SpawnFailed(error.clone());
    let said = say(Abnormal::Start, &note, &again);
    assert_eq!(said, "start web: cannot start: change directory to \"/x\": gone");
    let fatal = Note::Changed { from: Word::Backoff, to: Word::Fatal, tries: 3, pid: None, expected: false };
    let state = State::Fatal { cause: Cause::GaveUp { tries: 4, last: Box::new(Cause::Start(error)) } };
    let said = say(Abnormal::Fatal, &fatal, &state);
    assert_eq!(said, "fatal web: gave up after 4 tries: cannot start: change directory to \"/x\": gone");
}

#[test]
fn an_id_is_of_the_event_and_not_of_the_moment() {
    let (spec, other) = (Spec::new("web"), Spec::new("db"));
    let (note, state) = exited(1);
    let id = |spec: &Spec, what, run, at, lineage: &str, state: &State| {
        let (run, at) = (RunId(run), Wall(at));
        let fact = Fact { what, spec, note: &note, state, run, attempt: 0, oom: false, at, tail: Vec::new() };
        let sender = super::Sender { lineage: lineage.into(), ..sender() };
        delivery(&sender, &settings("http://h"), &fact).unwrap().id
    };
    let first = id(&spec, Abnormal::Exit, 1, 5, "a", &state);
    assert_eq!(id(&spec, Abnormal::Exit, 1, 6, "a", &state), first);
    // What the unit is by now does not matter either.
    let backoff = State::Backoff { until: Mono(0), attempt: 1, cause: Cause::Dependency("db".into()) };
    assert_eq!(id(&spec, Abnormal::Exit, 1, 6, "a", &backoff), first);
    let others = [
        id(&spec, Abnormal::Exit, 2, 5, "a", &state),
        id(&spec, Abnormal::Fatal, 1, 5, "a", &state),
        id(&other, Abnormal::Exit, 1, 5, "a", &state),
        id(&spec, Abnormal::Exit, 1, 5, "b", &state),
    ];
    assert!(others.iter().all(|id| *id != first));
    // A start that never became a run fails twice at two times.
    let abandoned = State::Fatal { cause: Cause::Dependency("db".into()) };
    let at = |at| id(&spec, Abnormal::Fatal, 1, at, "a", &abandoned);
    assert_ne!(at(1), at(2));
    assert_eq!(Id::parse(&first.to_string()), Some(first));
    assert_eq!(Id::parse("+0000000000000000000000000000000"), None);
}

#[test]
fn who_wants_nothing_gets_nothing() {
    let spec = Spec::new("web");
    let mut hooks = settings("http://h");
    assert!(is_wanted(&hooks, &spec, Abnormal::Exit));
    hooks.own.insert("web".into(), None);
    assert!(!is_wanted(&hooks, &spec, Abnormal::Exit));
    hooks.own.insert("web".into(), Some(Url::parse("http://own").unwrap()));
    hooks.events = Events { exit: false, start: true, fatal: true };
    assert!(!is_wanted(&hooks, &spec, Abnormal::Exit) && is_wanted(&hooks, &spec, Abnormal::Fatal));
    assert_eq!(end_of(1, "http://h/x").url.to_string(), "http://h/x");
    let state = State::Stopped { cause: Cause::Never };
    let note = Note::StopDone { exit: Exit::Unknown, expected: false };
    assert_eq!(abnormal(&note, &state, false), None);
    assert_eq!(Unit::new(AT).want, Want::Down);
}

/// RFC 4231, test case 2.
#[test]
fn the_signature_is_hmac_sha256() {
    let sum = signature(b"Jefe", "what do ya want for nothing?").unwrap();
    assert_eq!(sum, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
}
