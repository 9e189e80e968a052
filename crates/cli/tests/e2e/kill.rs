//! How a unit is brought down: which signal, to whom, and what follows when it does not listen.

use crate::common::{child_of, log, main_log, must_end, process, unit, until_printed, until_state, world};
use supers_testkit::World;

fn exit_of(w: &World, name: &str) -> i64 {
    w.status().get(name)["exit"].as_i64().unwrap_or_else(|| panic!("{name} has no exit: {:?}", w.status()))
}

#[test]
fn kill_signal_is_sent_instead_of_term() {
    let mut w = world();
    let words = "on USR1 exit 11 on TERM exit 12 print up wait";
    unit(&w, "own", words, "KillSignal=SIGUSR1");
    unit(&w, "usual", words, "");
    w.superd();
    for (name, exit) in [("own", 11), ("usual", 12)] {
        until_printed(&w, name, "up");
        w.supers_ok(&["stop", name]);
        assert_eq!((w.status().state(name), exit_of(&w, name)), ("STOPPED", exit), "{name}");
    }
}

#[test]
fn who_does_not_listen_is_killed_after_timeout_stop_sec() {
    let mut w = world();
    unit(&w, "deaf", "ignore TERM print up wait", "TimeoutStopSec=150ms");
    w.superd();
    until_printed(&w, "deaf", "up");
    let deaf = process(&w, "deaf");
    w.supers_ok(&["stop", "deaf"]);
    assert!(!deaf.lives(), "the answer came before the end");
    assert_eq!((w.status().state("deaf"), exit_of(&w, "deaf")), ("STOPPED", -9));
    let line = format!("killing 'deaf' ({}) with SIGKILL", deaf.pid);
    assert!(main_log(&w).contains(&line), "{}", main_log(&w));
}

#[test]
fn the_whole_group_is_stopped_with_the_unit() {
    let mut w = world();
    unit(&w, "family", "fork-and-stay print up wait", "");
    w.superd();
    until_printed(&w, "family", "up");
    let child = child_of(&w, "family");
    w.supers_ok(&["stop", "family"]);
    must_end(&w, &child);
}

#[test]
fn what_an_ended_unit_leaves_is_swept_away() {
    let mut w = world();
    unit(&w, "left", "fork-and-stay print up exit 0", "");
    w.superd();
    until_printed(&w, "left", "up");
    until_state(&w, "left", "EXITED");
    // By now the child may be gone; if it is not, it goes.
    let pid = log(&w, "left").lines().find_map(|l| l.strip_prefix("child ")?.parse().ok()).unwrap();
    if let Some(child) = supers_testkit::Process::open(pid) {
        must_end(&w, &child);
    }
}

#[test]
fn kill_mode_process_leaves_the_children() {
    let mut w = world();
    unit(&w, "parent", "fork-and-stay print up wait", "KillMode=process");
    w.superd();
    until_printed(&w, "parent", "up");
    let (parent, child) = (process(&w, "parent"), child_of(&w, "parent"));
    w.supers_ok(&["stop", "parent"]);
    assert!(!parent.lives());
    assert!(child.lives(), "only the main process was to be stopped");
    assert!(child.kill());
}

#[test]
fn kill_mode_mixed_asks_the_main_process_and_kills_the_rest() {
    let mut w = world();
    let a = w.actor().display().to_string();
    // The shell's job stays in the process group and would tell of a TERM. The main process ends only
    // when the test has seen what the signal did.
    let child = format!("{a} on TERM print child-met-TERM on USR1 print synced print child-up note-pid");
    let main = format!("exec {a} on TERM print main-met-TERM print up wait-file");
    for (name, mode) in [("mixed", "KillMode=mixed"), ("group", "")] {
        let (pid_file, gate) = (w.path(name), w.path(format!("gate-{name}")));
        let script = format!("{child} {} wait & {main} {}", pid_file.display(), gate.display());
        w.unit(name, &format!("[Service]\nExecStart=/bin/sh -c \"{script}\"\n{mode}\n"));
    }
    w.superd();
    for name in ["mixed", "group"] {
        until_printed(&w, name, "child-up");
        until_printed(&w, name, "up");
        let pid = w.until_fact("the child's pid", || w.read(name).trim().parse().ok());
        let child = supers_testkit::Process::open(pid).expect("the child lives");
        w.supers_ok(&["stop", name, "--no-wait"]);
        until_printed(&w, name, "main-met-TERM");
        // Of two signals that wait the greater number is handled first here: TERM before USR1.
        assert!(child.signal(10));
        let log = until_printed(&w, name, "synced");
        assert_eq!(log.contains("child-met-TERM"), name == "group", "{log}");
        w.write(format!("gate-{name}"), "");
        until_state(&w, name, "STOPPED");
        must_end(&w, &child);
    }
}

#[test]
fn kill_mode_none_signals_nobody() {
    let mut w = world();
    unit(&w, "free", "on TERM exit 3 print up wait", "KillMode=none\nTimeoutStopSec=150ms");
    w.superd();
    until_printed(&w, "free", "up");
    let free = process(&w, "free");
    w.supers(&["stop", "free"]);
    let now = w.until("it is let go", |s| s.state("free") != "STOPPING" && s.state("free") != "RUNNING");
    assert!(free.lives(), "nobody may signal it: {:?}", now.get("free"));
    assert!(now.reason("free").contains(&format!("pid {} was let go", free.pid)), "{}", now.reason("free"));
    assert!(free.kill());
}

#[test]
fn a_shutdown_kills_who_does_not_listen() {
    let mut w = world();
    unit(&w, "deaf", "ignore TERM fork-and-stay print up wait", "TimeoutStopSec=100ms");
    let deadline = w.deadline();
    w.superd();
    until_printed(&w, "deaf", "up");
    let (main, child) = (process(&w, "deaf"), child_of(&w, "deaf"));
    assert_eq!(w.daemon().stop(deadline), 0);
    assert!(!main.lives());
    must_end(&w, &child);
}
