//! The rules of `.service` files, as values of the same policy type (unit-directives 7, 34).

// Clippy does not see that helpers of tests are tests, too.
#![allow(clippy::panic)]

mod common;

use common::unit::{Stage, play};
use common::{commands, exit, secs, service, sig};
use std::time::Duration;
use supers_core::exit::Exit;
use supers_core::proc::{Cause, Note, State, Want};
use supers_core::spec::{ExitSet, Kind, Spec, StartLimit, When};

fn oneshot(n: usize) -> Spec {
    let mut spec = service("job", When::Never);
    spec.kind = Kind::Oneshot;
    spec.exec = commands(n).into();
    spec.restart.clean.signals.clear();
    spec
}

/// Whether a running unit with this policy is started again after this end.
fn restarts(spec: &Spec, end: &str) -> bool {
    let mut stage = Stage::new(spec.clone()).after(&["start", "spawned"]);
    stage.say(&format!("exits {end}"));
    match stage.unit.state {
        State::Backoff { .. } => true,
        State::Exited { .. } => false,
        other => panic!("{other:?} after {end}"),
    }
}

#[test]
fn restart_by_policy_and_end() {
    // Ends: clean code, unclean code, clean signal, unclean signal, core dump, unknown.
    const ENDS: [&str; 6] = ["0", "1", "TERM", "KILL", "SEGV+core", "?"];
    let table = [
        (When::Never, [false; 6]),
        (When::Always, [true; 6]),
        (When::OnSuccess, [true, false, true, false, false, false]),
        (When::OnFailure, [false, true, false, true, true, true]),
        (When::OnAbnormal, [false, false, false, true, true, false]),
        (When::OnAbort, [false, false, false, true, true, false]),
    ];
    for (when, wanted) in table {
        for (end, want) in ENDS.into_iter().zip(wanted) {
            assert_eq!(restarts(&service("web", when), end), want, "{when:?} {end}");
        }
    }
}

#[test]
fn restart_after_a_start_that_failed_or_timed_out() {
    // The start failed; the start took too long.
    let table = [
        (When::Never, false, false),
        (When::Always, true, true),
        (When::OnSuccess, false, false),
        (When::OnFailure, true, true),
        (When::OnAbnormal, false, true),
        (When::OnAbort, false, false),
    ];
    for (when, failed, timed_out) in table {
        let mut spec = oneshot(1);
        spec.restart.when = when;
        spec.start_timeout = Some(secs(3));
        let again = |s: &Stage| matches!(s.unit.state, State::Backoff { .. });
        let stage = Stage::new(spec.clone()).after(&["start", "fails"]);
        assert_eq!(again(&stage), failed, "{when:?}: {:?}", stage.unit.state);
        let stage = Stage::new(spec).after(&["start", "spawned", "+3s", "exits TERM"]);
        assert_eq!(again(&stage), timed_out, "{when:?}: {:?}", stage.unit.state);
    }
}

#[test]
fn restart_sec_is_the_pause() {
    let mut spec = service("web", When::OnFailure);
    spec.restart.delay = secs(5);
    let end = play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101, RUNNING
        +9s exits KILL => exited: terminated by SIGKILL, EXITED, BACKOFF
        +4999ms => -
        +1ms => STARTING, spawn
        spawned => pid 102, RUNNING
        exits 0 => exited: exit status 0 (expected), EXITED (expected)
        +99s => -
        ",
    );
    assert_eq!(end.unit.restarts, 1);
    let State::Exited { cause, .. } = &end.unit.state else { panic!() };
    assert_eq!(cause.to_string(), "exit status 0 after 0 ms");
}

#[test]
fn no_pause_at_all_is_allowed_after_a_run_but_not_after_a_failed_start() {
    let mut spec = service("web", When::Always);
    spec.restart.delay = Duration::ZERO;
    play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101, RUNNING
        exits 0 => exited: exit status 0 (expected), EXITED (expected), STARTING, spawn
        fails => failed: no such file, BACKOFF #1
        +99ms => -
        +1ms => STARTING #1, spawn
        fails => failed: no such file, BACKOFF #2
        ",
    );
}

#[test]
fn a_failed_start_says_why() {
    let stage = Stage::new(service("web", When::OnAbort)).after(&["start", "fails"]);
    let State::Fatal { cause } = &stage.unit.state else { panic!("{:?}", stage.unit.state) };
    assert_eq!(cause.to_string(), "cannot start: no such file");
    assert_eq!(stage.unit.want, Want::Up);
}

#[test]
fn success_exit_status() {
    let mut spec = service("web", When::OnFailure);
    spec.restart.clean.codes.push(75);
    spec.restart.clean.signals.push(sig(10));
    for (end, want) in [("75", false), ("USR1", false), ("74", true), ("USR2", true)] {
        assert_eq!(restarts(&spec, end), want, "{end}");
    }
    let mut stage = Stage::new(spec).after(&["start", "spawned"]);
    assert_eq!(stage.say("exits 75"), "exited: exit status 75 (expected), EXITED (expected)");
}

#[test]
fn prevent_is_stronger_than_force_and_force_than_restart() {
    let set = |codes: &[u8], signals: &[i64]| ExitSet {
        codes: codes.to_vec(),
        signals: signals.iter().map(|n| sig(*n)).collect(),
    };
    let mut spec = service("web", When::Always);
    spec.restart.prevent = set(&[3], &[9]);
    spec.restart.force = set(&[3, 4], &[]);
    for (end, want) in [("3", false), ("KILL", false), ("4", true), ("5", true)] {
        assert_eq!(restarts(&spec, end), want, "always, {end}");
    }
    spec.restart.when = When::Never;
    for (end, want) in [("3", false), ("4", true), ("5", false)] {
        assert_eq!(restarts(&spec, end), want, "never, {end}");
    }
}

#[test]
fn exec_start_with_a_dash_never_fails() {
    let mut spec = service("web", When::OnFailure);
    spec.exec[0].ignore_failure = true;
    assert!(!restarts(&spec, "1"));
    // Only the command that has it.
    let mut job = oneshot(2);
    job.exec[0].ignore_failure = true;
    play(
        &job,
        "
        start => STARTING, spawn
        spawned => pid 101
        exits 1 => spawn 1
        spawned => pid 102
        exits 1 => exited: exit status 1, EXITED
        ",
    );
}

#[test]
fn the_start_limit() {
    let mut spec = service("web", When::Always);
    spec.restart.limit = Some(StartLimit { burst: 2, interval: secs(10) });
    let end = play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101, RUNNING
        exits 1 => exited: exit status 1, EXITED, BACKOFF
        +100ms => STARTING, spawn
        spawned => pid 102, RUNNING
        exits 1 => exited: exit status 1, EXITED, BACKOFF
        +100ms => FATAL
        +99s => -
        ",
    );
    let State::Fatal { cause } = &end.unit.state else { panic!() };
    assert_eq!(cause.to_string(), "start limit reached (2 starts in 10 s): exit status 1 after 0 ms");
    assert_eq!(end.unit.restarts, 1, "the one that was refused did not happen");
    // By hand it always starts; that start counts too.
    let mut stage = end;
    stage.clock = secs(5);
    assert_eq!(stage.say("start"), "STARTING, spawn");
    stage = stage.after(&["spawned", "exits 1"]);
    assert_eq!(stage.say("+100ms"), "FATAL");
    assert_eq!(stage.unit.recent.len(), 2);
}

#[test]
fn starts_that_are_old_enough_do_not_count() {
    let mut spec = service("web", When::Always);
    spec.restart.limit = Some(StartLimit { burst: 2, interval: secs(10) });
    spec.restart.delay = secs(1);
    // Starts at 0 and 1 s; the third at exactly 10 s after the first is the first of a new count.
    play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101, RUNNING
        exits 1 => exited: exit status 1, EXITED, BACKOFF
        +1s => STARTING, spawn
        spawned => pid 102, RUNNING
        +8s exits 1 => exited: exit status 1, EXITED, BACKOFF
        +1s => STARTING, spawn
        spawned => pid 103, RUNNING
        exits 1 => exited: exit status 1, EXITED, BACKOFF
        +999ms => -
        +1ms => STARTING, spawn
        spawned => pid 104, RUNNING
        exits 1 => exited: exit status 1, EXITED, BACKOFF
        +1s => FATAL
        ",
    );
}

#[test]
fn the_limit_also_ends_failed_starts_and_starts_without_a_pause() {
    let mut spec = service("web", When::Always);
    spec.restart.limit = Some(StartLimit { burst: 2, interval: secs(10) });
    spec.restart.delay = Duration::ZERO;
    play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101, RUNNING
        exits 1 => exited: exit status 1, EXITED, STARTING, spawn
        spawned => pid 102, RUNNING
        exits 1 => exited: exit status 1, EXITED, FATAL
        ",
    );
    let end = play(
        &spec,
        "
        start => STARTING, spawn
        fails => failed: no such file, BACKOFF #1
        +100ms => STARTING #1, spawn
        fails => failed: no such file, BACKOFF #2
        +100ms => FATAL #2
        ",
    );
    let State::Fatal { cause: Cause::Limit { last, .. } } = end.unit.state else { panic!() };
    assert_eq!(last.to_string(), "cannot start: no such file");
}

#[test]
fn a_limit_of_nothing_is_no_limit() {
    for limit in
        [StartLimit { burst: 0, interval: secs(9) }, StartLimit { burst: 9, interval: Duration::ZERO }]
    {
        let mut spec = service("web", When::Always);
        spec.restart.limit = Some(limit);
        let mut stage = Stage::new(spec).after(&["start"]);
        for _ in 0..20 {
            stage = stage.after(&["spawned", "exits 1"]);
            assert_eq!(stage.say("+100ms"), "STARTING, spawn", "{limit:?}");
        }
        assert!(stage.unit.recent.is_empty());
    }
}

#[test]
fn oneshot_commands_run_one_after_another() {
    let end = play(
        &oneshot(3),
        "
        start => STARTING, spawn
        spawned => pid 101
        +50s exits 0 => spawn 1
        spawned => pid 102
        exits 0 => spawn 2
        spawned => pid 103
        +10s exits 0 => exited: exit status 0 (expected), EXITED (expected)
        ",
    );
    let State::Exited { cause, .. } = &end.unit.state else { panic!() };
    assert_eq!(cause.to_string(), "exit status 0 after 1 min", "the whole start is one life");
    assert_eq!(end.unit.run.0, 3);
}

#[test]
fn a_oneshot_command_that_fails_is_the_end() {
    play(
        &oneshot(3),
        "
        start => STARTING, spawn
        spawned => pid 101
        exits TERM => exited: terminated by SIGTERM, EXITED
        ",
    );
    play(
        &oneshot(3),
        "
        start => STARTING, spawn
        spawned => pid 101
        exits 0 => spawn 1
        fails => failed: no such file, FATAL
        ",
    );
}

#[test]
fn a_oneshot_has_no_startsecs() {
    let mut spec = oneshot(1);
    spec.restart.startsecs = secs(1);
    play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101
        +99s => -
        exits 0 => exited: exit status 0 (expected), EXITED (expected)
        ",
    );
}

#[test]
fn a_oneshot_that_takes_too_long() {
    let mut spec = oneshot(2);
    spec.start_timeout = Some(secs(3));
    spec.stop_exec = commands(1);
    let end = play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101
        +2s exits 0 => spawn 1
        spawned => pid 102
        +999ms => -
        // The time limit is for all commands; stop commands are for what was up.
        +1ms => TERM, STOPPING
        +90s => killing 102, KILL
        exits KILL => ended: terminated by SIGKILL, FATAL
        ",
    );
    let State::Fatal { cause } = &end.unit.state else { panic!() };
    assert_eq!(cause.to_string(), "the start took longer than 3 s");
    assert_eq!(end.unit.want, Want::Up);
}

#[test]
fn a_oneshot_whose_spawn_takes_too_long() {
    let mut spec = oneshot(1);
    spec.start_timeout = Some(secs(3));
    play(
        &spec,
        "
        start => STARTING, spawn
        +3s => STOPPING
        spawned => pid 101, TERM
        exits 0 => ended: exit status 0 (expected), FATAL
        ",
    );
}

#[test]
fn a_time_limit_of_zero_is_none() {
    let mut spec = oneshot(1);
    spec.start_timeout = Some(Duration::ZERO);
    let stage = Stage::new(spec).after(&["start", "spawned"]);
    assert_eq!(stage.unit.state.deadline(), None);
}

#[test]
fn a_stop_during_a_timed_out_start_is_a_stop() {
    let mut spec = oneshot(1);
    spec.start_timeout = Some(secs(3));
    let late = ["start", "spawned", "+3s"];
    let mut stage = Stage::new(spec.clone()).after(&late).after(&["stop"]);
    assert_eq!(stage.say("exits 0"), "ended: exit status 0 (expected), STOPPED");
    // And a start after that begins anew.
    let mut stage = Stage::new(spec).after(&late).after(&["stop", "start"]);
    assert_eq!(stage.say("exits 0"), "ended: exit status 0 (expected), STOPPED, STARTING, spawn");
}

#[test]
fn stop_commands_come_before_the_signal() {
    let mut spec = service("web", When::Always);
    spec.stop_exec = commands(2);
    let life = "
        start => STARTING, spawn
        spawned => pid 101, RUNNING
        ";
    let all = format!(
        "{life}
        stop => STOPPING, stop-command 0
        command spawned => -
        +1s command exits 0 => stop-command 1
        command spawned => -
        command exits 0 => TERM
        +89s => -
        +1s => killing 101, KILL
        exits KILL => ended: terminated by SIGKILL, STOPPED
        "
    );
    play(&spec, &all);
    // The main process goes meanwhile: the command has nothing left to stop.
    let gone = format!(
        "{life}
        stop => STOPPING, stop-command 0
        command spawned => -
        exits 0 => KILL to group, ended: exit status 0 (expected), STOPPED
        command exits 0 => -
        "
    );
    play(&spec, &gone);
    // It takes too long: the time for all of them is one wait.
    let slow = format!(
        "{life}
        stop => STOPPING, stop-command 0
        command spawned => -
        +45s command exits 0 => stop-command 1
        command spawned => -
        +45s => KILL to group, TERM
        command exits KILL => -
        "
    );
    play(&spec, &slow);
}

#[test]
fn a_stop_command_that_fails_is_told_and_the_signal_follows() {
    let mut spec = service("web", When::Always);
    spec.stop_exec = commands(2);
    let stopping = ["start", "spawned", "stop", "command spawned"];
    let mut stage = Stage::new(spec.clone()).after(&stopping);
    assert_eq!(stage.say("command exits 1"), "Stop(0) failed: exit status 1 after 0 ms, TERM");
    let mut stage = Stage::new(spec.clone()).after(&["start", "spawned", "stop"]);
    assert_eq!(stage.say("command fails"), "Stop(0) failed: cannot start: no such file, TERM");
    spec.stop_exec[0].ignore_failure = true;
    let mut stage = Stage::new(spec).after(&stopping);
    assert_eq!(stage.say("command exits 1"), "stop-command 1");
}

#[test]
fn a_signal_that_cannot_be_sent_to_a_command_does_not_matter() {
    let mut spec = service("web", When::Always);
    spec.stop_exec = commands(1);
    let mut stage = Stage::new(spec).after(&["start", "spawned", "stop", "command spawned"]);
    assert_eq!(stage.say("command kill-fails"), "-");
    assert_eq!(stage.unit.state.word(), "STOPPING");
}

#[test]
fn kill_mode_control_group_and_mixed_sweep_what_is_left() {
    let mut spec = service("web", When::Always);
    (spec.stop.group, spec.stop.kill_group, spec.stop.sweep) = (true, true, true);
    play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101, RUNNING
        exits 1 => sweep 101, exited: exit status 1, EXITED, BACKOFF
        +100ms => STARTING, spawn
        spawned => pid 102, RUNNING
        stop => TERM to group, STOPPING
        +90s => killing 102, KILL to group
        exits KILL => sweep 102, ended: terminated by SIGKILL, STOPPED
        ",
    );
}

#[test]
fn kill_mode_none_runs_the_commands_and_lets_go() {
    let mut spec = service("web", When::Always);
    spec.stop.signals.clear();
    spec.stop.kill = false;
    spec.stop_exec = commands(1);
    let end = play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101, RUNNING
        stop => STOPPING, stop-command 0
        command spawned => -
        command exits 0 => -
        +90s => FATAL
        exits 0 => -
        ",
    );
    assert_eq!(end.unit.state, State::Fatal { cause: Cause::LeftRunning(Some(Stage::pid(end.unit.run))) });
    assert_eq!(end.unit.last_exit, None, "its end is of the past");
    // A restart does not start a second one beside it.
    let stage = Stage::new(spec).after(&["start", "spawned", "restart", "command fails", "+90s"]);
    assert!(matches!(stage.unit.state, State::Fatal { cause: Cause::LeftRunning(_) }));
}

#[test]
fn send_sigkill_no() {
    let mut spec = service("web", When::Never);
    spec.stop.kill = false;
    play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101, RUNNING
        stop => TERM, STOPPING
        +90s => FATAL
        ",
    );
}

#[test]
fn reload_commands() {
    let mut spec = service("web", When::Always);
    spec.reload_exec = commands(3);
    spec.reload_exec[1].ignore_failure = true;
    let mut stage = play(
        &spec,
        "
        reload => ignored reload
        start => STARTING, spawn
        reload => ignored reload
        spawned => pid 101, RUNNING
        reload => reload-command 0
        reload => ignored reload
        command spawned => -
        command exits 0 => reload-command 1
        command exits 1 => reload-command 2
        command exits 0 => reloaded
        reload => reload-command 0
        command exits 2 => Reload(0) failed: exit status 2 after 0 ms
        reload => reload-command 0
        command fails => Reload(0) failed: cannot start: no such file
        ",
    );
    assert_eq!(stage.unit.reloading, None);
    // Whoever stops does not wait for it; nor does the end of the main process.
    stage = stage.after(&["reload"]);
    assert_eq!(stage.say("stop"), "KILL to group, TERM, STOPPING");
    assert_eq!(stage.unit.reloading, None);
    let mut stage = Stage::new(spec.clone()).after(&["start", "spawned", "reload"]);
    assert_eq!(stage.say("exits 1"), "KILL to group, exited: exit status 1, EXITED, BACKOFF");
    // A unit that is only waiting for its turn to be stopped begins nothing new.
    let mut stage = Stage::new(spec).after(&["start", "spawned", "reload"]);
    stage.unit.want = Want::Down;
    assert_eq!(stage.say("command exits 0"), "-");
    assert_eq!(stage.say("reload"), "ignored reload");
}

#[test]
fn no_reload_command_no_reload() {
    let mut stage = Stage::new(service("web", When::Always)).after(&["start", "spawned"]);
    assert_eq!(stage.say("reload"), "ignored reload");
}

#[test]
fn signals_go_to_the_main_process() {
    play(
        &service("web", When::Never),
        "
        signal HUP => ignored signal 1
        start => STARTING, spawn
        signal HUP => ignored signal 1
        spawned => pid 101, RUNNING
        signal HUP => HUP
        stop => TERM, STOPPING
        signal USR1 => USR1
        ",
    );
}

#[test]
fn what_an_end_is_called() {
    let mut stage = Stage::new(service("web", When::Never)).after(&["start", "spawned"]);
    stage.say("+61s exits SEGV+core");
    let State::Exited { exit: how, expected, cause } = &stage.unit.state else { panic!() };
    assert_eq!((*how, *expected), (exit("SEGV+core"), false));
    assert_eq!(cause.to_string(), "terminated by SIGSEGV (core dumped) after 1 min 1 s");
    assert!(stage.actions.iter().any(|a| matches!(
        a,
        supers_core::proc::Action::Note(Note::Exited { exit: Exit::Signal { .. }, expected: false, .. })
    )));
}
