//! What happens when the daemon or the keeper is killed.

use crate::common::{log, main_log, must_end, process, unit, until_printed, world};
use serde_json::Value;
use std::collections::BTreeSet;
use supers_testkit::{Process, World};

fn daemon_view(w: &World) -> Option<Value> {
    let end = w.supers(&["version", "--json"]);
    let v: Value = serde_json::from_str(&end.stdout).ok()?;
    Some(v["daemon"].clone()).filter(Value::is_object)
}

/// Kills the daemon below the keeper and waits until the keeper has brought it back.
fn crash(w: &mut World) {
    let before = daemon_view(w).unwrap();
    let daemon = Process::open(w.daemon().daemon_pid()).unwrap();
    assert_eq!(before["daemon_pid"], daemon.pid);
    assert!(daemon.kill());
    let wanted = before["starts"].as_i64().unwrap() + 1;
    let w = &*w;
    let after = w.until_fact("the daemon is back", || daemon_view(w).filter(|d| d["starts"] == wanted));
    assert_eq!(after["pid"], before["pid"], "the keeper goes on");
    assert_ne!(after["daemon_pid"], before["daemon_pid"]);
}

/// Processes of this world that were started as the unit with this pid file and live.
fn living(w: &World, file: &str) -> BTreeSet<i32> {
    let pids = w.read(file).lines().map(|l| l.parse().unwrap()).collect::<Vec<i32>>();
    pids.into_iter().filter(|p| Process::open(*p).is_some_and(|p| p.lives())).collect()
}

#[test]
fn the_keeper_starts_a_killed_daemon_again_and_each_unit_runs_once() {
    let mut w = world();
    for name in ["a", "b", "c"] {
        let file = w.path(format!("pids-{name}")).display().to_string();
        unit(&w, name, &format!("note-pid {file} print up wait"), "");
    }
    w.superd();
    w.until("all run", |s| ["a", "b", "c"].iter().all(|n| s.state(n) == "RUNNING"));
    let olds = ["a", "b", "c"].map(|n| process(&w, n));
    crash(&mut w);
    let now = w.until("all run again", |s| ["a", "b", "c"].iter().all(|n| s.state(n) == "RUNNING"));
    for (name, old) in ["a", "b", "c"].into_iter().zip(&olds) {
        assert!(!old.lives(), "{name} of before was to be ended first");
        let file = format!("pids-{name}");
        w.until_fact("the new one has noted its pid", || {
            Some(()).filter(|()| w.read(&file).lines().count() >= 2)
        });
        assert_eq!(living(&w, &file), BTreeSet::from([now.pid(name)]), "{name} runs exactly once");
        until_printed(&w, name, "up");
        assert_eq!(log(&w, name), "up\nup\n");
    }
    let version = w.supers_ok(&["version"]);
    assert!(version.contains("brought back 1 times"), "{version}");
    assert!(
        main_log(&w).contains("superd was restarted by its keeper: ending 3 processes of before"),
        "{}",
        main_log(&w)
    );
    // And it goes on as a daemon does.
    w.supers_ok(&["restart", "a"]);
    let deadline = w.deadline();
    assert_eq!(w.daemon().stop(deadline), 0);
}

#[test]
fn children_of_a_crashed_daemons_units_do_not_pile_up() {
    let mut w = world();
    unit(&w, "family", "fork-and-stay print up wait", "");
    w.superd();
    until_printed(&w, "family", "up");
    let child = crate::common::child_of(&w, "family");
    crash(&mut w);
    must_end(&w, &child);
    w.until("it runs again", |s| s.state("family") == "RUNNING");
}

#[test]
fn a_daemon_that_is_killed_again_and_again_comes_back() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    w.superd();
    w.until("it runs", |s| s.state("web") == "RUNNING");
    for _ in 0..2 {
        crash(&mut w);
        w.until("it runs again", |s| s.state("web") == "RUNNING");
    }
    assert_eq!(daemon_view(&w).unwrap()["starts"], 3);
}

#[test]
fn a_one_time_end_is_settled_while_the_daemon_is_down() {
    let mut w = world();
    let file = w.path("pids").display().to_string();
    unit(&w, "short", &format!("note-pid {file} print up wait"), "");
    w.superd();
    until_printed(&w, "short", "up");
    let (short, daemon) = (process(&w, "short"), Process::open(w.daemon().daemon_pid()).unwrap());
    // Both at once: the keeper keeps the status for a daemon that is not there.
    assert!(daemon.kill() && short.kill());
    let now = w.until_fact("it runs again", || {
        daemon_view(&w).filter(|d| d["starts"] == 2)?;
        Some(w.status()).filter(|s| s.state("short") == "RUNNING")
    });
    w.until_fact("it noted its pid", || Some(()).filter(|()| w.read("pids").lines().count() == 2));
    assert_eq!(living(&w, "pids"), BTreeSet::from([now.pid("short")]));
}

#[test]
fn without_a_keeper_nobody_starts_it_again() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    let deadline = w.deadline();
    w.superd_with(&["--no-keeper"]);
    let web = process(&w, "web");
    w.daemon().signal(9);
    assert_eq!(w.daemon().wait(deadline), -9);
    let end = w.supers(&["status"]);
    assert_eq!(end.code, 7, "{end:?}");
    assert!(
        end.stderr.contains("superd is not running") && end.stderr.contains("names no live process"),
        "{end:?}"
    );
    // The lock died with it; the next one may start.
    w.superd_with(&["--no-keeper"]);
    w.until("a new one runs", |s| s.state("web") == "RUNNING");
    web.kill();
}

#[test]
fn a_killed_keeper_takes_nothing_with_it_unnoticed() {
    let mut w = world();
    unit(&w, "web", "print up wait", "");
    let deadline = w.deadline();
    w.superd();
    until_printed(&w, "web", "up");
    let (web, daemon) = (process(&w, "web"), Process::open(w.daemon().daemon_pid()).unwrap());
    w.daemon().signal(9);
    assert_eq!(w.daemon().wait(deadline), -9);
    must_end(&w, &web);
    must_end(&w, &daemon);
    assert!(main_log(&w).contains("the keeper is gone: stopping everything in order"), "{}", main_log(&w));
    assert_eq!(w.supers(&["status"]).code, 7);
}
