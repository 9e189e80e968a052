//! What `supers` does while it waits: not at all, for a limited time, until Ctrl-C.

use crate::common::{process, unit, until_printed, until_state, world};
use supers_testkit::World;

/// A oneshot whose start lasts until the file `gate` is there.
fn slow() -> World {
    let mut w = world();
    let gate = w.path("gate").display().to_string();
    unit(&w, "slow", &format!("print begun wait-file {gate} print ended"), "Type=oneshot");
    w.write("gate", "");
    w.superd();
    until_state(&w, "slow", "EXITED");
    std::fs::remove_file(w.path("gate")).unwrap();
    w
}

fn open_and_end(w: &World) {
    assert_eq!(w.status().state("slow"), "STARTING", "the job goes on");
    w.write("gate", "");
    let end = w.until("it got there", |s| s.state("slow") == "EXITED");
    assert_eq!(end.get("slow")["exit"], 0);
}

#[test]
fn no_wait_returns_when_the_order_is_taken() {
    let w = slow();
    assert_eq!(w.supers_ok(&["start", "slow", "--no-wait"]), "slow: order taken\n");
    w.until("it is on its way", |s| s.state("slow") == "STARTING");
    open_and_end(&w);
}

#[test]
fn timeout_gives_up_waiting_and_nothing_else() {
    let w = slow();
    let end = w.supers(&["start", "slow", "--timeout", "0.2"]);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("slow: not done within the time limit, the job goes on"), "{end:?}");
    open_and_end(&w);
    assert_eq!(w.supers(&["start", "slow", "--timeout", "x"]).code, 2);
}

#[test]
fn ctrl_c_leaves_the_job_running_and_says_so() {
    let w = slow();
    let mut client = w.supers_started(&["start", "slow"]);
    w.until("it is on its way", |s| s.state("slow") == "STARTING");
    client.signal(2);
    assert_eq!(client.wait(w.deadline()), 130);
    let said = client.finish(w.deadline());
    assert!(said.stderr.contains("interrupted; the job goes on: supers -c "), "{said:?}");
    open_and_end(&w);
}

#[test]
fn a_start_waits_until_the_oneshot_is_done() {
    let w = slow();
    let mut client = w.supers_started(&["start", "slow"]);
    w.until("it is on its way", |s| s.state("slow") == "STARTING");
    w.write("gate", "");
    assert_eq!(client.wait(w.deadline()), 0);
    assert_eq!(w.status().state("slow"), "EXITED", "answered, so it is there");
}

#[test]
fn a_stop_waits_for_the_end_and_another_order_comes_between() {
    let mut w = world();
    unit(&w, "deaf", "ignore TERM print up wait", "TimeoutStopSec=1h");
    w.superd();
    until_printed(&w, "deaf", "up");
    let deaf = process(&w, "deaf");
    let mut stop = w.supers_started(&["stop", "deaf"]);
    until_state(&w, "deaf", "STOPPING");
    // Who has asked for a start meanwhile gets one when the old process is gone.
    let mut start = w.supers_started(&["start", "deaf"]);
    w.until("it is wanted again", |s| s.get("deaf")["want"] == true);
    assert!(deaf.kill());
    assert_eq!(start.wait(w.deadline()), 0);
    // The first waited for something that is no longer wanted; it must not wait for ever.
    let code = stop.wait(w.deadline());
    assert!(code == 0 || code == 1, "{code}");
    let now = w.until("it runs anew", |s| s.state("deaf") == "RUNNING");
    assert_ne!(now.pid("deaf"), deaf.pid);
    until_printed(&w, "deaf", "up");
    let held = process(&w, "deaf");
    assert!(held.kill());
}
