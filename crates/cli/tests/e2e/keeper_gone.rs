//! The keeper is killed: the daemon takes its place and a new daemon takes over.

use crate::common::{log, must_end, process, unit, until_printed, until_state, world};
use crate::crash::{TERM, crash, daemon_process, daemon_view, essence, essences, living, noted, under_reaper};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use supers_testkit::{Process, World};

/// The pid files in the runtime folder, as numbers.
fn pid_files(w: &World) -> Vec<i32> {
    let folders = fs::read_dir(w.runtime_base()).unwrap().flatten();
    let files = folders.flat_map(|f| [f.path().join("pid"), f.path().join("superd.pid")]);
    files.filter_map(|f| fs::read_to_string(f).ok()?.trim().parse().ok()).collect()
}

/// Kills the keeper and waits until the daemon of before is the keeper and another one answers. That keeper.
fn kill_keeper(w: &World) -> Process {
    let before = daemon_view(w).unwrap();
    let daemon = daemon_process(w);
    let number = |v: &Value, key: &str| i32::try_from(v[key].as_i64().unwrap()).unwrap();
    let keeper = Process::open(number(&before, "pid")).unwrap();
    assert!(keeper.kill() && keeper.wait(w.deadline().left()));
    let after = w.until_fact("another keeper answers for", || {
        daemon_view(w).filter(|d| number(d, "pid") != keeper.pid)
    });
    assert_eq!(number(&after, "pid"), daemon.pid, "the daemon became the keeper");
    assert_ne!(number(&after, "daemon_pid"), daemon.pid);
    assert_eq!(daemon.comm(), "super-keeper");
    assert!(daemon.lives());
    daemon
}

/// The notices of `status` that tell of something weaker than promised.
fn weakened(w: &World) -> Vec<String> {
    let view = daemon_view(w).unwrap();
    let all = view["notices"].as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned());
    all.filter(|n| n.starts_with("weakened: ")).collect()
}

/// TERM to the new keeper, which nobody here is the parent of.
fn end(w: &World, keeper: &Process) {
    assert!(keeper.signal(TERM));
    must_end(w, keeper);
}

#[test]
fn the_daemon_takes_its_place_and_programs_go_on() {
    let mut w = world();
    for name in ["a", "b"] {
        unit(&w, name, &noted(&w, name, "print up wait"), "");
    }
    unit(&w, "stopped", "wait", "");
    unit(&w, "pausing", "exit 1", "Restart=always\nRestartSec=1h");
    w.superd();
    until_printed(&w, "a", "up");
    until_printed(&w, "b", "up");
    until_state(&w, "pausing", "BACKOFF");
    w.supers_ok(&["stop", "stopped"]);
    let before = w.status();
    let keeper = kill_keeper(&w);
    assert_eq!(essences(&w.status()), essences(&before));
    assert!(!pid_files(&w).is_empty());
    assert!(pid_files(&w).iter().all(|pid| *pid == keeper.pid), "{:?}", pid_files(&w));
    assert_eq!(w.supers_ok(&["pid"]).trim(), keeper.pid.to_string());
    // All orders.
    let a = process(&w, "a");
    w.supers_ok(&["restart", "a"]);
    assert!(!a.lives());
    w.until_fact("it printed again", || (log(&w, "a") == "up\nup\n").then_some(()));
    w.supers_ok(&["stop", "b"]);
    w.supers_ok(&["start", "b", "stopped"]);
    w.supers_ok(&["reload"]);
    for name in ["a", "b"] {
        let file = format!("pids-{name}");
        w.until_fact("it noted its pid", || (w.read(&file).lines().count() == 2).then_some(()));
        assert_eq!(living(&w, &file), BTreeSet::from([w.status().pid(name)]), "{name}");
    }
    end(&w, &keeper);
    for name in ["a", "b"] {
        assert_eq!(living(&w, &format!("pids-{name}")), BTreeSet::new());
    }
    assert_eq!(w.supers(&["status"]).code, 7);
}

#[test]
fn the_new_keeper_ends_with_the_right_code() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    let command = under_reaper(&w, &w.command_superd(&[]));
    crate::common::start_superd(&mut w, command);
    process(&w, "web");
    let keeper = kill_keeper(&w);
    assert!(keeper.signal(TERM));
    let deadline = w.deadline();
    w.daemon().wait_line(&format!("ended {} 0", keeper.pid), deadline);
    assert_eq!(w.supers(&["status"]).code, 7);
}

#[test]
fn later_ends_are_told_truly_and_the_weakening_is_shown_until_then() {
    let mut w = world();
    unit(&w, "seven", "on TERM exit 7 print up wait", "Restart=no");
    unit(&w, "zero", "on TERM exit 0 print up wait", "Restart=no");
    unit(&w, "killed", "print up wait", "Restart=no");
    w.superd();
    let names = ["seven", "zero", "killed"];
    names.iter().for_each(|n| drop(until_printed(&w, n, "up")));
    assert_eq!(weakened(&w), Vec::<String>::new());
    let [seven, zero, killed] = names.map(|n| process(&w, n));
    let keeper = kill_keeper(&w);
    assert_eq!(weakened(&w).len(), 1, "{:?}", daemon_view(&w));
    let shown = w.supers(&["status"]);
    assert!(shown.stderr.contains("note: weakened: 3 processes"), "{shown:?}");
    assert!(seven.signal(15) && zero.signal(15) && killed.kill());
    let end = w.until("all ended", |s| names.iter().all(|n| s.state(n) == "EXITED"));
    for (name, exit) in [("seven", 7), ("zero", 0), ("killed", -9)] {
        assert_eq!(end.get(name)["exit"], exit, "{name}");
    }
    w.until_fact("nothing is weakened any more", || weakened(&w).is_empty().then_some(()));
    // Runs that it starts itself are its children.
    w.supers_ok(&["start", "seven"]);
    assert_eq!(weakened(&w), Vec::<String>::new());
    crate::keeper_gone::end(&w, &keeper);
}

#[test]
fn keepers_and_daemons_in_turn() {
    let mut w = world();
    for name in ["a", "b"] {
        unit(&w, name, &noted(&w, name, "print up wait"), "Restart=always\nRestartSec=20ms");
    }
    w.superd();
    until_printed(&w, "a", "up");
    until_printed(&w, "b", "up");
    let before = w.status();
    kill_keeper(&w);
    crash(&w);
    kill_keeper(&w);
    kill_keeper(&w);
    crash(&w);
    assert_eq!(essence(&w.status(), "a"), essence(&before, "a"));
    let b = process(&w, "b");
    assert!(b.kill());
    w.until("b restarts", |s| s.state("b") == "RUNNING" && s.pid("b") != b.pid);
    // Of both parents.
    let before = w.status();
    let keeper = kill_keeper(&w);
    assert_eq!(essences(&w.status()), essences(&before));
    for (name, starts) in [("a", 1), ("b", 2)] {
        let file = format!("pids-{name}");
        w.until_fact("it noted its pid", || (w.read(&file).lines().count() == starts).then_some(()));
        assert_eq!(living(&w, &file), BTreeSet::from([before.pid(name)]), "{name}");
    }
    w.supers_ok(&["stop", "all"]);
    end(&w, &keeper);
}

#[test]
fn what_is_under_way_goes_on() {
    let mut w = world();
    let a = w.actor().display().to_string();
    let gate = w.path("gate").display().to_string();
    w.unit(
        "steps",
        &format!(
            "[Service]\nType=oneshot\nExecStart={a} print one wait-file {gate}\nExecStart={a} print two exit 3\n"
        ),
    );
    unit(&w, "deaf", "ignore TERM print up wait", "TimeoutStopSec=3s");
    unit(&w, "after", "wait", "[Unit]\nAfter=steps.service");
    w.superd();
    until_printed(&w, "steps", "one");
    until_printed(&w, "deaf", "up");
    w.supers_ok(&["stop", "deaf", "--no-wait"]);
    until_state(&w, "deaf", "STOPPING");
    let before = w.status();
    let keeper = kill_keeper(&w);
    assert_eq!(essences(&w.status()), essences(&before));
    w.write("gate", "");
    let after = w.until("it goes on", |s| s.state("after") == "RUNNING" && s.state("deaf") == "STOPPED");
    assert_eq!(after.get("steps")["exit"], 3);
    assert_eq!(after.get("deaf")["exit"], -9);
    assert_eq!(log(&w, "steps"), "one\ntwo\n");
    end(&w, &keeper);
}

#[test]
fn starts_during_the_death_happen_once() {
    let mut w = world();
    let names: Vec<String> = (0..8).map(|n| format!("loop{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let words = noted(&w, name, &format!("sleep {}ms exit 1", 10 + 7 * n));
        unit(&w, name, &words, "Restart=always\nRestartSec=5ms\n[Unit]\nStartLimitIntervalSec=0");
    }
    w.superd();
    for _ in 0..8 {
        let keeper = kill_keeper(&w);
        for name in &names {
            let at_once = living(&w, &format!("pids-{name}"));
            assert!(at_once.len() <= 1, "{name} runs twice: {at_once:?}\n{}", w.logs());
            let file = format!("pids-{name}");
            let seen = w.read(&file).lines().count();
            w.until_fact("it goes on in its circle", || {
                (w.read(&file).lines().count() > seen).then_some(())
            });
        }
        drop(keeper);
    }
    w.supers_ok(&["stop", "all"]);
    for name in &names {
        assert_eq!(living(&w, &format!("pids-{name}")), BTreeSet::new());
    }
    w.supers_ok(&["shutdown"]);
}
