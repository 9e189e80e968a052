//! Order and need: `After=`, `Before=`, `Requires=`, `Wants=`, and the order of a stop.

use crate::common::{main_log, unit, until_state, world};
use supers_testkit::World;

/// A oneshot that waits for a file and then notes its name; its words.
fn gated(w: &World, name: &str) -> String {
    let path = |below: &str| w.path(below).display().to_string();
    format!("wait-file {} append {} {name}", path(&format!("gate-{name}")), path("order"))
}

fn noted(w: &World, name: &str) -> String {
    format!("append {} {name} wait", w.path("order").display())
}

#[test]
fn after_and_before_give_the_order() {
    let mut w = world();
    unit(&w, "a", &gated(&w, "a"), "Type=oneshot\n[Unit]\nAfter=network.target nothing.service");
    unit(&w, "b", &gated(&w, "b"), "Type=oneshot\n[Unit]\nAfter=a.service");
    unit(&w, "c", &noted(&w, "c"), "[Unit]\nAfter=b.service");
    unit(&w, "z", &noted(&w, "z"), "[Unit]\nBefore=a.service");
    w.superd();
    let now = w.until("a is on its way", |s| s.state("a") == "STARTING" && s.state("z") == "RUNNING");
    assert_eq!((now.reason("b"), now.reason("c")), ("waiting for a", "waiting for b"));
    assert_eq!((now.pid("b"), now.pid("c")), (0, 0));
    // The second gate is open already: only the order holds b back.
    w.write("gate-b", "");
    w.write("gate-a", "");
    until_state(&w, "c", "RUNNING");
    w.until_fact("c notes its name", || Some(w.read("order")).filter(|o| o.contains('c')));
    let order = w.read("order");
    assert_eq!(order.replace("z\n", ""), "a\nb\nc\n");
}

#[test]
fn requires_starts_the_other_and_fails_with_it() {
    let mut w = world();
    w.unit("db", "[Service]\nExecStart=/no/such/db\n");
    unit(&w, "needs", "wait", "[Unit]\nRequires=db.service\nAfter=db.service");
    unit(&w, "likes", "wait", "[Unit]\nWants=db.service absent.service\nAfter=db.service");
    w.superd();
    let now = w.until("all is decided", |s| s.state("needs") == "FATAL" && s.state("likes") == "RUNNING");
    assert_eq!(now.reason("needs"), "db, which it requires, did not start");
    assert_eq!(now.get("needs")["hint"], "supers start db", "it has no output to look at");

    // The cause is mended: one order brings up both.
    unit(&w, "db", "wait", "");
    let start = w.supers(&["start", "db", "needs"]);
    assert_eq!(start.code, 0, "{start:?}");
    let now = w.status();
    assert_eq!((now.state("db"), now.state("needs")), ("RUNNING", "RUNNING"));
}

#[test]
fn a_start_by_name_brings_up_what_is_needed_and_a_stop_takes_down_what_needs_it() {
    let mut w = world();
    unit(&w, "db", "wait", "");
    unit(&w, "cache", "wait", "");
    unit(
        &w,
        "web",
        "wait",
        "[Unit]\nRequires=db.service\nWants=cache.service\nAfter=db.service cache.service",
    );
    unit(&w, "alone", "wait", "[Unit]\nAfter=db.service");
    w.superd();
    w.until("all run", |s| ["db", "cache", "web", "alone"].iter().all(|n| s.state(n) == "RUNNING"));
    w.supers_ok(&["stop", "db"]);
    let now = w.until("web went with it", |s| s.state("web") == "STOPPED");
    assert_eq!((now.state("db"), now.state("cache"), now.state("alone")), ("STOPPED", "RUNNING", "RUNNING"));
    let log = main_log(&w);
    let at = |text: &str| log.find(text).unwrap_or_else(|| panic!("no {text:?} in {log}"));
    assert!(at("stopped: web") < at("stopped: db"), "{log}");

    w.supers_ok(&["stop", "cache"]);
    w.supers_ok(&["start", "web"]);
    let now = w.status();
    assert_eq!((now.state("db"), now.state("cache"), now.state("web")), ("RUNNING", "RUNNING", "RUNNING"));
}

#[test]
fn after_alone_starts_nothing() {
    let mut w = world();
    unit(&w, "first", "wait", "");
    unit(&w, "second", "wait", "[Unit]\nAfter=first.service");
    w.superd();
    w.until("both run", |s| s.state("second") == "RUNNING" && s.state("first") == "RUNNING");
    w.supers_ok(&["stop", "all"]);
    w.supers_ok(&["start", "second"]);
    let now = w.status();
    assert_eq!((now.state("first"), now.state("second")), ("STOPPED", "RUNNING"));
}

#[test]
fn a_shutdown_goes_in_the_reverse_order() {
    let mut w = world();
    unit(&w, "one", "wait", "");
    unit(&w, "two", "wait", "[Unit]\nAfter=one.service");
    unit(&w, "three", "wait", "[Unit]\nAfter=two.service");
    let deadline = w.deadline();
    w.superd();
    until_state(&w, "three", "RUNNING");
    assert_eq!(w.daemon().stop(deadline), 0);
    let log = main_log(&w);
    let stopped: Vec<&str> =
        log.lines().filter_map(|l| l.split_once("stopped: ")?.1.split(' ').next()).collect();
    assert_eq!(stopped, ["three", "two", "one"], "{log}");
}
