//! What people and clients read: causes, ends, names, and the flat views of a unit.

// Clippy does not see that helpers of tests are tests, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::fleet::Stage;
use common::{ini, ms, secs, service, sig, time};
use std::sync::Arc;
use std::time::Duration;
use supers_core::control::{Order, Refusal, Rules, Verb};
use supers_core::exit::{Exit, StartError};
use supers_core::ids::{Pid, UnitId};
use supers_core::proc::Cause;
use supers_core::signal::Signal;
use supers_core::snapshot::{Origin, ProgramView, Snapshot, UnitView};
use supers_core::spec::{Command, ExitSet, Spec, When};
use supers_core::time::{Mono, Wall};

#[test]
fn causes() {
    let exit = Exit::Code(1);
    let lived = |d| Cause::Exit { exit, lived: d };
    let failed = || Box::new(Cause::Start(common::start_error()));
    let table = [
        (Cause::Never, "not started"),
        (Cause::Asked, "stopped on request"),
        (Cause::Shutdown, "superd is shutting down"),
        (lived(ms(0)), "exit status 1 after 0 ms"),
        (lived(ms(999)), "exit status 1 after 999 ms"),
        (lived(ms(1000)), "exit status 1 after 1 s"),
        (lived(secs(59)), "exit status 1 after 59 s"),
        (lived(secs(60)), "exit status 1 after 1 min"),
        (lived(secs(125)), "exit status 1 after 2 min 5 s"),
        (lived(secs(3599)), "exit status 1 after 59 min 59 s"),
        (lived(secs(3600)), "exit status 1 after 1 h"),
        (lived(secs(3 * 3600 + 150)), "exit status 1 after 3 h 2 min"),
        (lived(secs(86399)), "exit status 1 after 23 h 59 min"),
        (lived(secs(86400)), "exit status 1 after 1 d"),
        (lived(secs(4 * 86400 + 2 * 3600)), "exit status 1 after 4 d 2 h"),
        (Cause::TooQuick { exit, lived: ms(5) }, "exited too quickly: exit status 1 after 5 ms"),
        (Cause::GaveUp { tries: 1, last: failed() }, "gave up after 1 try: cannot start: no such file"),
        (Cause::GaveUp { tries: 4, last: failed() }, "gave up after 4 tries: cannot start: no such file"),
        (
            Cause::Limit { burst: 5, interval: secs(10), last: Box::new(Cause::Asked) },
            "start limit reached (5 starts in 10 s): stopped on request",
        ),
        (Cause::Dependency("db".into()), "db, which it requires, did not start"),
        (Cause::Refused("a.conf:1: no".into()), "refused: a.conf:1: no"),
        (Cause::TimedOut(secs(90)), "the start took longer than 1 min 30 s"),
        (Cause::LeftRunning(Some(Pid(7))), "did not stop and may not be killed: pid 7 was let go"),
        (Cause::LeftRunning(None), "did not stop and may not be killed"),
    ];
    for (cause, want) in table {
        assert_eq!(cause.to_string(), want);
    }
}

#[test]
fn ends() {
    let by = |core| Exit::Signal { signal: sig(11), core };
    for (exit, text, number) in [
        (Exit::Code(3), "exit status 3", Some(3)),
        (by(false), "terminated by SIGSEGV", Some(-11)),
        (by(true), "terminated by SIGSEGV (core dumped)", Some(-11)),
        (Exit::Unknown, "exit status unknown", None),
    ] {
        assert_eq!((exit.to_string().as_str(), exit.number()), (text, number));
    }
    let set = ExitSet { codes: vec![0, 3], signals: vec![sig(11)] };
    for (exit, want) in [
        (Exit::Code(3), true),
        (Exit::Code(11), false),
        (by(true), true),
        (Exit::Signal { signal: sig(3), core: false }, false),
        (Exit::Unknown, false),
    ] {
        assert_eq!(exit.is_in(&set), want, "{exit}");
    }
    let error = StartError { text: "the sentence".into(), ..common::start_error() };
    assert_eq!(error.to_string(), "the sentence");
}

#[test]
fn signals() {
    for (n, want) in [(0, None), (1, Some("SIGHUP")), (64, Some("SIG64")), (65, None), (-1, None)] {
        let got = Signal::from_number(n).map(|s| s.to_string());
        assert_eq!(got.as_deref(), want);
    }
    assert_eq!(format!("{:?}", Signal::KILL), "SIGKILL");
    assert_eq!(Signal::parse("CLD"), Signal::parse("CHLD"));
    assert_eq!(Signal::parse("poll"), Signal::parse("IO"));
    let all = [
        (Signal::HUP, 1),
        (Signal::INT, 2),
        (Signal::QUIT, 3),
        (Signal::ABRT, 6),
        (Signal::KILL, 9),
        (Signal::USR1, 10),
        (Signal::USR2, 12),
        (Signal::PIPE, 13),
        (Signal::TERM, 15),
        (Signal::CONT, 18),
    ];
    for (signal, number) in all {
        assert_eq!(signal.number(), number);
    }
}

#[test]
fn times() {
    let (a, b) = (Mono(1_000), Mono(3_000_000_000));
    assert_eq!(b.since(a), Duration::from_nanos(2_999_999_000));
    assert_eq!(a.since(b), Duration::ZERO);
    assert_eq!(a + secs(1), Mono(1_000_001_000));
    assert_eq!(b - secs(2), Mono(1_000_000_000));
    assert_eq!(a - secs(2), Mono(0));
    assert_eq!(a + Duration::MAX, Mono(u64::MAX));
    assert_eq!((Wall(1999).secs(), Wall(-1).secs()), (1, -1));
}

#[test]
fn specs() {
    let mut spec = Spec::new("web");
    assert_eq!(spec.full_name(), "web");
    spec.group = "g".into();
    assert_eq!(spec.full_name(), "g:web");
    let command = Command::from_words(["/bin/sh", "-c", "true"]);
    assert_eq!(command.line, "/bin/sh -c true");
    assert_eq!(command.words, ["/bin/sh", "-c", "true"]);
    // Supervisor's defaults (supervisor-contract 4).
    assert_eq!((spec.priority, spec.group_priority, spec.autostart), (999, 999, true));
    assert_eq!(spec.stop.wait, Some(secs(10)));
    assert_eq!(spec.stop.signals, [Signal::TERM]);
    assert!(spec.stop.kill && !spec.stop.group && !spec.stop.kill_group && !spec.stop.sweep);
    assert_eq!(spec.restart.startsecs, secs(1));
    assert_eq!(spec.restart.when, When::OnFailure);
    assert_eq!(spec.restart.clean.codes, [0]);
    assert_eq!(spec.restart.retry.as_ref().and_then(|r| r.limit), Some(3));
    assert_eq!((spec.output.stdout.max_bytes, spec.output.stdout.backups), (52_428_800, 10));
    assert!(spec.output.stderr.is_some() && spec.context.env.inherit && spec.context.stdin_pipe);
}

#[test]
fn orders_and_refusals() {
    assert_eq!(Verb::Signal(15).signal(), Some(Signal::TERM));
    for verb in [Verb::Signal(99), Verb::Start, Verb::Stop, Verb::Restart, Verb::Reload] {
        assert_eq!(verb.signal(), None);
    }
    let order =
        |timeout_ms| Order { verb: Verb::Start, names: vec![], wait: true, timeout_ms, rules: Rules::Supers };
    assert_eq!(order(Some(1500)).timeout(), Some(ms(1500)));
    assert_eq!(order(None).timeout(), None);
    let text = || "the reason".to_string();
    let name = || "wbe".to_string();
    for (refusal, want) in [
        (Refusal::UnknownName { name: name(), hint: None }, "no program is called \"wbe\""),
        (
            Refusal::UnknownName { name: name(), hint: Some("try web".into()) },
            "no program is called \"wbe\"; try web",
        ),
        (Refusal::BadRequest { text: text() }, "the reason"),
        (Refusal::Config { text: text() }, "the reason"),
        (Refusal::Denied { text: text() }, "the reason"),
        (Refusal::Failed { text: text() }, "the reason"),
        (Refusal::ShuttingDown, "superd is shutting down"),
    ] {
        assert_eq!(refusal.to_string(), want);
    }
}

/// The unit `web` of this stage as the engine would publish it.
fn published(stage: &Stage) -> UnitView {
    let id = stage.id("web");
    let slot = stage.fleet.get(id).unwrap();
    let unit = &slot.unit;
    UnitView {
        id,
        spec: slot.spec.clone(),
        origin: Arc::new(Origin { description: "Web".into(), file: "/etc/web.conf".into(), line: 4 }),
        state: unit.state.clone(),
        want_up: unit.want == supers_core::proc::Want::Up,
        since: unit.since,
        started: unit.started,
        ended: unit.ended,
        last_exit: unit.last_exit,
        run: unit.run,
        restarts: unit.restarts,
        waits_for: stage.fleet.waits_for(id),
        trouble: unit.trouble.clone(),
        logs: Arc::default(),
    }
}

#[test]
fn a_view_of_each_state() {
    let held = || {
        let mut spec = service("web", When::Never);
        spec.order.after = vec!["db".into(), "cache".into()];
        spec
    };
    let refused = || {
        let mut spec = ini("web");
        spec.refused = Some("why".into());
        spec
    };
    let table: [(Spec, &[&str], [&str; 3]); 15] = [
        (ini("web"), &[], ["STOPPED", "not started", "supers start web"]),
        (ini("web"), &["start web"], ["STARTING", "", ""]),
        (held(), &["boot"], ["STARTING", "waiting for db, cache", ""]),
        (ini("web"), &["start web", "spawned web", "+1s"], ["RUNNING", "", ""]),
        (
            ini("web"),
            &["start web", "fails web"],
            ["BACKOFF", "cannot start: no such file; next try in 1 s", "supers logs web"],
        ),
        (
            ini("web"),
            &["start web", "fails web", "+1s", "fails web", "+1ms"],
            ["BACKOFF", "cannot start: no such file; next try in 2 s", "supers logs web"],
        ),
        (
            ini("web"),
            &["start web", "fails web", "+950ms"],
            ["BACKOFF", "cannot start: no such file; next try in 50 ms", "supers logs web"],
        ),
        (ini("web"), &["start web", "stop web"], ["STOPPING", "stopping", ""]),
        (
            ini("web"),
            &["start web", "spawned web", "+1s", "exits 0 web"],
            ["EXITED", "exit status 0 after 1 s", "supers start web"],
        ),
        (
            service("web", When::Never),
            &["start web", "spawned web", "exits 1 web"],
            ["EXITED", "exit status 1 after 0 ms", "supers logs web"],
        ),
        (
            service("web", When::Never),
            &["start web", "fails web"],
            ["FATAL", "cannot start: no such file", "supers start web"],
        ),
        (refused(), &["boot"], ["FATAL", "refused: why", "supers check /etc/web.conf"]),
        (
            held(),
            &["start web", "spawned web", "kill-fails web"],
            ["UNKNOWN", "a signal could not be sent to it", "supers stop web"],
        ),
        (
            {
                let mut spec = service("web", When::Never);
                spec.stop.kill = false;
                spec
            },
            &["start web", "spawned web", "stop web", "+90s"],
            ["FATAL", "did not stop and may not be killed: pid 1 was let go", "supers logs web"],
        ),
        (
            ini("web"),
            &["start web", "stop web", "fails web"],
            ["STOPPED", "stopped on request", "supers start web"],
        ),
    ];
    for (spec, lines, want) in table {
        let mut stage = Stage::new([spec, service("db", When::Never), service("cache", When::Never)]);
        for line in lines {
            stage.say(line);
        }
        let unit = published(&stage);
        let view = ProgramView::new(&unit, time(stage.clock));
        assert_eq!([&*view.state, &*view.reason, &*view.hint], want, "{lines:?}");
    }
    // Held, and the others just got there.
    let mut view = published(&Stage::new([ini("web")]));
    view.state = supers_core::proc::State::Held;
    assert_eq!(ProgramView::new(&view, time(ms(0))).reason, "waiting for its turn");
}

#[test]
fn a_view_in_full() {
    let mut spec = ini("web");
    spec.restart.when = When::Always;
    let mut stage = Stage::new([spec]);
    for line in ["+5s boot", "spawned web", "+3s", "exits 7 web", "spawned web", "+1s"] {
        stage.say(line);
    }
    stage.clock += ms(1700);
    let unit = published(&stage);
    let view = ProgramView::new(&unit, time(stage.clock));
    let want = ProgramView {
        name: "web".into(),
        group: "web".into(),
        state: "RUNNING".into(),
        pid: 2,
        uptime_s: 2,
        restarts: 1,
        exit: Some(7),
        description: "Web".into(),
        want: true,
        since: 1009,
        started: 1008,
        ended: 1008,
        source: "/etc/web.conf:4".into(),
        ..ProgramView::default()
    };
    assert_eq!(view, want);
    assert_eq!(view.full_name(), "web");
    assert_eq!(ProgramView { group: "g".into(), ..want }.full_name(), "g:web");

    stage.say("stop web");
    stage.say("exits TERM web");
    let mut unit = published(&stage);
    unit.origin = Arc::default();
    let view = ProgramView::new(&unit, time(stage.clock));
    assert_eq!((view.pid, view.uptime_s, view.exit, view.want), (0, 0, Some(-15), false));
    assert_eq!(view.source, "");
    // A wall clock that was set back shows no time below zero.
    let mut stage = Stage::new([ini("web")]);
    for line in ["+5s boot", "spawned web", "+1s"] {
        stage.say(line);
    }
    assert_eq!(ProgramView::new(&published(&stage), time(secs(1))).uptime_s, 0);
}

#[test]
fn a_snapshot_is_found_by_slot() {
    let stage = Stage::new([ini("web")]);
    let unit = Arc::new(published(&stage));
    let chunk = |n: usize| (0..64).map(|i| (i == n).then(|| unit.clone())).collect::<Vec<_>>().into();
    let snapshot =
        Snapshot { turn: 1, chunks: vec![chunk(3), chunk(0)], groups: Arc::default(), stopping: false };
    assert_eq!(snapshot.units().count(), 2);
    for (slot, there) in
        [(0, false), (3, true), (4, false), (63, false), (64, true), (65, false), (128, false)]
    {
        assert_eq!(snapshot.get(UnitId(slot)).is_some(), there, "{slot}");
    }
}
