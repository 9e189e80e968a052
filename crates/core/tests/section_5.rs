//! Supervisor's state machine, row by row (supervisor-contract 5).

mod common;

use common::unit::{Stage, play};
use common::{exit, ini, ms, secs, sig};
use std::time::Duration;
use supers_core::exit::Exit;
use supers_core::proc::{Cause, State, Want, Word};
use supers_core::spec::When;

#[test]
fn states_have_their_names_and_codes() {
    let all = [
        (Word::Stopped, "STOPPED", 0),
        (Word::Starting, "STARTING", 10),
        (Word::Running, "RUNNING", 20),
        (Word::Backoff, "BACKOFF", 30),
        (Word::Stopping, "STOPPING", 40),
        (Word::Exited, "EXITED", 100),
        (Word::Fatal, "FATAL", 200),
        (Word::Unknown, "UNKNOWN", 1000),
    ];
    for (word, name, code) in all {
        assert_eq!((word.name(), word as i32), (name, code));
    }
}

#[test]
fn a_program_lives_and_is_stopped() {
    let end = play(
        &ini("web"),
        "
        start => STARTING, spawn
        +3ms spawned => pid 101
        +999ms => -
        +1ms => RUNNING
        +997ms stop => TERM, STOPPING
        +1s exits TERM => ended: terminated by SIGTERM, STOPPED
        +99s => -
        ",
    );
    assert_eq!(end.unit.want, Want::Down);
    assert_eq!(end.unit.state, State::Stopped { cause: Cause::Asked });
    assert_eq!(end.unit.last_exit, Some(exit("TERM")));
    assert_eq!(end.unit.started.map(|w| w.0), Some(1_000_000));
    assert_eq!(end.unit.ended.map(|w| w.0), Some(1_003_000));
    assert_eq!(end.unit.since.0, 1_003_000);
}

#[test]
fn startsecs_is_the_border_between_too_quick_and_running() {
    // One nanosecond early is too quick; exactly startsecs is long enough, even unseen by a tick.
    for (lived, want) in [
        (secs(1) - Duration::from_nanos(1), "exited: exit status 0, BACKOFF #1"),
        (secs(1), "RUNNING, exited: exit status 0 (expected), EXITED (expected)"),
    ] {
        let mut stage = Stage::new(ini("web")).after(&["start", "spawned"]);
        stage.clock = lived;
        assert_eq!(stage.say("exits 0"), want);
    }
}

#[test]
fn startsecs_counts_from_the_spawn() {
    play(
        &ini("web"),
        "
        start => STARTING, spawn
        +900ms spawned => pid 101
        +999ms => -
        +1ms => RUNNING
        ",
    );
}

#[test]
fn startsecs_zero_is_running_with_the_spawn() {
    let mut spec = ini("web");
    spec.restart.startsecs = Duration::ZERO;
    play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101, RUNNING
        exits 1 => exited: exit status 1, EXITED, STARTING, spawn
        spawned => pid 102, RUNNING
        exits 0 => exited: exit status 0 (expected), EXITED (expected)
        ",
    );
}

#[test]
fn too_quick_is_backoff_whatever_the_status_and_grows_until_fatal() {
    for status in ["0", "1", "TERM"] {
        let text = exit(status).to_string();
        let end = play(
            &ini("web"),
            &format!(
                "
                start => STARTING, spawn
                spawned => pid 101
                exits {status} => exited: {text}, BACKOFF #1
                +999ms => -
                +1ms => STARTING #1, spawn
                spawned => pid 102
                exits {status} => exited: {text}, BACKOFF #2
                +1999ms => -
                +1ms => STARTING #2, spawn
                spawned => pid 103
                exits {status} => exited: {text}, BACKOFF #3
                +2999ms => -
                +1ms => STARTING #3, spawn
                spawned => pid 104
                exits {status} => exited: {text}, BACKOFF #4, FATAL
                +99s => -
                "
            ),
        );
        let last = Box::new(Cause::TooQuick { exit: exit(status), lived: Duration::ZERO });
        assert_eq!(end.unit.state, State::Fatal { cause: Cause::GaveUp { tries: 4, last } });
        assert_eq!((end.unit.failures, end.unit.restarts), (0, 3));
        assert_eq!(end.unit.want, Want::Up, "nobody asked for this end");
    }
}

#[test]
fn a_failed_spawn_is_backoff_too() {
    let mut spec = ini("web");
    if let Some(retry) = &mut spec.restart.retry {
        retry.limit = Some(1);
    }
    let end = play(
        &spec,
        "
        start => STARTING, spawn
        fails => failed: no such file, BACKOFF #1
        +1s => STARTING #1, spawn
        fails => failed: no such file, BACKOFF #2, FATAL
        ",
    );
    let State::Fatal { cause } = end.unit.state else { panic!("{:?}", end.unit.state) };
    assert_eq!(cause.to_string(), "gave up after 2 tries: cannot start: no such file");
}

#[test]
fn startretries_zero_is_one_attempt() {
    let mut spec = ini("web");
    if let Some(retry) = &mut spec.restart.retry {
        retry.limit = Some(0);
    }
    let end = play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101
        exits 3 => exited: exit status 3, BACKOFF #1, FATAL
        ",
    );
    let State::Fatal { cause } = end.unit.state else { panic!("{:?}", end.unit.state) };
    assert_eq!(cause.to_string(), "gave up after 1 try: exited too quickly: exit status 3 after 0 ms");
}

#[test]
fn the_failure_counter() {
    // RUNNING forgets failures.
    play(
        &ini("web"),
        "
        start => STARTING, spawn
        spawned => pid 101
        exits 1 => exited: exit status 1, BACKOFF #1
        +1s => STARTING #1, spawn
        spawned => pid 102
        +1s => RUNNING
        exits 1 => exited: exit status 1, EXITED, STARTING, spawn
        spawned => pid 103
        exits 1 => exited: exit status 1, BACKOFF #1
        ",
    );
    // An automatic start (boot) does not forget; an operator's does.
    let failed = ["boot", "spawned", "exits 1", "stop"];
    assert_eq!(Stage::new(ini("web")).after(&failed).say("boot"), "STARTING #1, spawn");
    assert_eq!(Stage::new(ini("web")).after(&failed).say("start"), "STARTING, spawn");
}

#[test]
fn restarts_are_counted_until_a_start_by_hand() {
    let mut spec = ini("web");
    spec.restart.when = When::Always;
    let mut stage =
        Stage::new(spec).after(&["start", "spawned", "+2s", "exits 0", "spawned", "+2s", "exits 0"]);
    assert_eq!(stage.unit.restarts, 2);
    stage = stage.after(&["spawned", "exits 0"]);
    assert_eq!((stage.unit.state.word(), stage.unit.restarts), ("BACKOFF", 2), "it is still to come");
    stage = stage.after(&["+1s"]);
    assert_eq!(stage.unit.restarts, 3, "a retry is a restart");
    stage = stage.after(&["spawned", "exits 0", "stop", "boot"]);
    assert_eq!(stage.unit.restarts, 3);
    stage = stage.after(&["spawned", "+1s", "restart"]);
    assert_eq!(stage.unit.restarts, 0);
}

#[test]
fn autorestart_by_exit() {
    let again = "STARTING";
    let stays = "";
    let table = [
        (When::Never, "0", stays),
        (When::Never, "1", stays),
        (When::Never, "KILL", stays),
        (When::Always, "0", again),
        (When::Always, "1", again),
        (When::Always, "TERM", again),
        (When::Always, "?", again),
        // autorestart=unexpected with exitcodes=0,2
        (When::OnFailure, "0", stays),
        (When::OnFailure, "2", stays),
        (When::OnFailure, "1", again),
        (When::OnFailure, "TERM", again),
        (When::OnFailure, "?", again),
    ];
    for (when, status, want) in table {
        let mut spec = ini("web");
        spec.restart.when = when;
        spec.restart.clean.codes = vec![0, 2];
        let expected = matches!(status, "0" | "2");
        let mut stage = Stage::new(spec).after(&["start", "spawned", "+1s"]);
        let mark = if expected { " (expected)" } else { "" };
        let mut all = format!("exited: {}{mark}, EXITED{mark}", exit(status));
        if want == again {
            all.push_str(", STARTING, spawn");
        }
        assert_eq!(stage.say(&format!("exits {status}")), all, "{when:?} {status}");
        assert_eq!(stage.unit.last_exit, Some(exit(status)));
    }
}

#[test]
fn kill_comes_after_stopwaitsecs_and_again() {
    play(
        &ini("web"),
        "
        start => STARTING, spawn
        spawned => pid 101
        +1s stop => TERM, STOPPING
        +9999ms => -
        +1ms => killing 101, KILL
        +9999ms => -
        +1ms => killing 101, KILL
        +10s => killing 101, KILL
        exits KILL => ended: terminated by SIGKILL, STOPPED
        ",
    );
}

#[test]
fn stopwaitsecs_zero_kills_at_once_but_does_not_spin() {
    let mut spec = ini("web");
    spec.stop.wait = Some(Duration::ZERO);
    play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101
        stop => TERM, STOPPING
        => killing 101, KILL
        +999ms => -
        +1ms => killing 101, KILL
        ",
    );
}

#[test]
fn stopasgroup_and_killasgroup() {
    for (group, kill_group, term, kill) in
        [(true, true, "TERM to group", "KILL to group"), (false, true, "TERM", "KILL to group")]
    {
        let mut spec = ini("web");
        (spec.stop.group, spec.stop.kill_group) = (group, kill_group);
        play(
            &spec,
            &format!(
                "
                start => STARTING, spawn
                spawned => pid 101
                stop => {term}, STOPPING
                +10s => killing 101, {kill}
                "
            ),
        );
    }
}

#[test]
fn a_ladder_of_stop_signals() {
    let mut spec = ini("web");
    spec.stop.signals = vec![sig(3), sig(15)];
    spec.stop.wait = Some(secs(5));
    play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101
        stop => QUIT, STOPPING
        +5s => TERM
        stop => -
        +5s => killing 101, KILL
        exits 0 => ended: exit status 0 (expected), STOPPED
        ",
    );
}

#[test]
fn a_stop_without_limit_waits_for_ever() {
    let mut spec = ini("web");
    spec.stop.wait = None;
    let end = play(
        &spec,
        "
        start => STARTING, spawn
        spawned => pid 101
        stop => TERM, STOPPING
        +9999s => -
        ",
    );
    assert_eq!(end.unit.state.deadline(), None);
}

#[test]
fn a_stop_while_starting() {
    play(
        &ini("web"),
        "
        start => STARTING, spawn
        spawned => pid 101
        stop => TERM, STOPPING
        exits TERM => ended: terminated by SIGTERM, STOPPED
        ",
    );
    // Before the spawn is known: the signal waits for the pid, and its time runs from there.
    play(
        &ini("web"),
        "
        start => STARTING, spawn
        stop => STOPPING
        +99s => -
        spawned => pid 101, TERM
        +9999ms => -
        +1ms => killing 101, KILL
        ",
    );
    // And a spawn that fails after all is the end of it.
    play(
        &ini("web"),
        "
        start => STARTING, spawn
        stop => STOPPING
        fails => STOPPED
        ",
    );
}

#[test]
fn backoff_ends_at_once_by_stop_and_is_fatal_by_shutdown() {
    let quick = ["start", "spawned", "exits 1"];
    let mut stage = Stage::new(ini("web")).after(&quick);
    assert_eq!(stage.say("stop"), "STOPPED #1");
    assert_eq!(stage.unit.failures, 1, "a stop out of BACKOFF does not reset the counter");
    assert_eq!(stage.unit.state, State::Stopped { cause: Cause::Asked });

    let mut stage = Stage::new(ini("web")).after(&quick);
    assert_eq!(stage.say("shutdown"), "FATAL #1");
    let State::Fatal { cause } = stage.unit.state else { panic!() };
    assert_eq!(cause.to_string(), "exited too quickly: exit status 1 after 0 ms");
}

#[test]
fn a_start_out_of_backoff_does_not_wait() {
    play(
        &ini("web"),
        "
        start => STARTING, spawn
        fails => failed: no such file, BACKOFF #1
        start => STARTING, spawn
        fails => failed: no such file, BACKOFF #1
        ",
    );
}

#[test]
fn exited_and_fatal_start_again_on_request() {
    play(
        &ini("web"),
        "
        start => STARTING, spawn
        spawned => pid 101
        +1s => RUNNING
        exits 0 => exited: exit status 0 (expected), EXITED (expected)
        stop => ignored stop
        start => STARTING, spawn
        ",
    );
    let mut spec = ini("web");
    spec.restart.retry.as_mut().unwrap().limit = Some(0);
    play(
        &spec,
        "
        start => STARTING, spawn
        fails => failed: no such file, BACKOFF #1, FATAL
        stop => ignored stop
        start => STARTING, spawn
        ",
    );
}

#[test]
fn a_shutdown_says_so() {
    let stage = Stage::new(ini("web")).after(&["hold", "shutdown"]);
    assert_eq!(stage.unit.state, State::Stopped { cause: Cause::Shutdown });
}

#[test]
fn a_signal_that_cannot_be_sent_is_unknown() {
    let begin = ["start", "spawned"];
    for (more, what) in [(&[][..], "STARTING"), (&["+1s"][..], "RUNNING"), (&["stop"][..], "STOPPING")] {
        let mut stage = Stage::new(ini("web")).after(&begin).after(more);
        assert_eq!(stage.unit.state.word(), what);
        assert_eq!(stage.say("kill-fails"), "UNKNOWN");
        assert_eq!(stage.unit.state.pid().map(|p| p.0), Some(101));
        // It can be tried again, and the end of the process is the end of it.
        assert_eq!(stage.say("stop"), "TERM, STOPPING");
        assert_eq!(stage.say("kill-fails"), "UNKNOWN");
        assert_eq!(stage.say("exits 0"), "STOPPED");
        assert_eq!(stage.unit.last_exit, Some(Exit::Code(0)));
    }
}

#[test]
fn restart_and_start_turn_a_stop_round() {
    play(
        &ini("web"),
        "
        start => STARTING, spawn
        spawned => pid 101
        +1s => RUNNING
        restart => TERM, STOPPING
        exits 0 => ended: exit status 0 (expected), STOPPED, STARTING, spawn
        spawned => pid 102
        +1s => RUNNING
        stop => TERM, STOPPING
        start => ignored start
        exits 0 => ended: exit status 0 (expected), STOPPED, STARTING, spawn
        ",
    );
    // And a stop after that start wins again.
    play(
        &ini("web"),
        "
        start => STARTING, spawn
        restart => STOPPING
        stop => -
        spawned => pid 101, TERM
        exits 0 => ended: exit status 0 (expected), STOPPED
        restart => STARTING, spawn
        ",
    );
}

#[test]
fn a_restart_forgets_failures() {
    let mut stage = Stage::new(ini("web")).after(&["start", "fails", "+1s", "spawned"]);
    assert_eq!(stage.unit.failures, 1);
    assert_eq!(stage.say("restart"), "TERM, STOPPING");
    assert_eq!(stage.say("exits 0"), "ended: exit status 0 (expected), STOPPED, STARTING, spawn");
    let stage = Stage::new(ini("web")).after(&["start", "fails", "restart"]);
    assert_eq!((stage.unit.failures, stage.unit.restarts), (0, 0));
}

#[test]
fn a_clock_that_stands_still_is_no_problem() {
    // Both time stamps are equal: the life was zero long.
    let mut stage = Stage::new(ini("web")).after(&["start", "spawned"]);
    assert_eq!(stage.say("exits 0"), "exited: exit status 0, BACKOFF #1");
    assert_eq!(stage.unit.state.deadline().map(|m| m.0), Some(u64::try_from(ms(1000).as_nanos()).unwrap()));
}
