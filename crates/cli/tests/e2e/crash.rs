//! The daemon is killed: the next one takes over all units as they are.

use crate::common::{
    child_of, log, main_log, process, unit, until_counted, until_printed, until_state, world, wrapped,
};
use serde_json::{Value, json};
use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;
use supers_testkit::{Process, Programs, World};

/// Signals by number.
pub const TERM: i32 = 15;
pub const USR1: i32 = 10;
pub const STOP: i32 = 19;
pub const CONT: i32 = 18;

/// A death of superd that this test waits for may cost this long on a busy machine.
const SLACK_MS: i64 = 1500;

/// What `supers version` says of the daemon; `None` while there is none.
pub fn daemon_view(w: &World) -> Option<Value> {
    let end = w.supers(&["version", "--json"]);
    let v: Value = serde_json::from_str(&end.stdout).ok()?;
    Some(v["daemon"].clone()).filter(Value::is_object)
}

/// The daemon's own process, held.
pub fn daemon_process(w: &World) -> Process {
    let view = daemon_view(w).unwrap_or_else(|| panic!("no daemon answers\n{}", w.logs()));
    let pid = view["daemon_pid"].as_i64().and_then(|p| i32::try_from(p).ok()).unwrap();
    Process::open(pid).unwrap_or_else(|| panic!("the daemon {pid} is gone already"))
}

/// Waits until another daemon than this one answers; how that sees itself.
pub fn until_another(w: &World, old: i32) -> Value {
    w.until_fact("another daemon answers", || daemon_view(w).filter(|d| d["daemon_pid"] != old))
}

/// Kills the daemon below the keeper and waits until the keeper has brought it back.
pub fn crash(w: &World) {
    let before = daemon_view(w).unwrap();
    let daemon = daemon_process(w);
    assert!(daemon.kill());
    let after = until_another(w, daemon.pid);
    assert_eq!(after["pid"], before["pid"], "the keeper goes on");
    assert_eq!(after["starts"].as_i64(), before["starts"].as_i64().map(|n| n + 1));
}

/// Kills the daemon and does something while there is none: the keeper is held still meanwhile.
pub fn while_it_is_away(w: &mut World, deed: impl FnOnce(&World)) {
    let daemon = daemon_process(w);
    w.daemon().signal(STOP);
    assert!(daemon.kill() && daemon.wait(w.deadline().left()));
    deed(w);
    w.daemon().signal(CONT);
    until_another(w, daemon.pid);
}

/// Kills keeper and daemon at once and waits until both have ended.
pub fn kill_both(w: &World) {
    let (daemon, pid) = (daemon_process(w), daemon_view(w).unwrap()["pid"].as_i64().unwrap());
    let keeper = Process::open(i32::try_from(pid).unwrap()).unwrap();
    // Stopped first, so that neither can do anything about the death of the other.
    assert!(keeper.signal(STOP) && daemon.signal(STOP) && daemon.kill() && keeper.kill());
    assert!(daemon.wait(w.deadline().left()) && keeper.wait(w.deadline().left()));
}

/// What a death of the daemon must not change.
pub fn essence(programs: &Programs, name: &str) -> Value {
    let row = programs.get(name);
    assert!(row.is_object(), "no {name} in {programs:?}");
    let keys = ["state", "pid", "restarts", "exit", "want", "since", "started", "ended", "description"];
    keys.iter().map(|key| (key.to_string(), row[key].clone())).collect::<serde_json::Map<_, _>>().into()
}

/// The same of all units.
pub fn essences(programs: &Programs) -> Value {
    programs.0.iter().map(|row| json!([row["name"], essence(programs, &full_name(row))])).collect()
}

fn full_name(row: &Value) -> String {
    format!("{}:{}", row["group"].as_str().unwrap(), row["name"].as_str().unwrap())
}

/// Processes of this world that noted their pid in this file and live.
pub fn living(w: &World, file: &str) -> BTreeSet<i32> {
    // The last line may be half written.
    let pids = w.read(file).lines().filter_map(|l| l.parse().ok()).collect::<Vec<i32>>();
    pids.into_iter().filter(|p| Process::open(*p).is_some_and(|p| p.lives())).collect()
}

/// The same command below a process that reaps what is left to it, at once, and says how it ended: what a
/// killed keeper leaves behind goes there.
pub fn under_reaper(w: &World, command: &Command) -> Command {
    supers_testkit::need_tool("python3", "python3");
    let reaper = w.write(
        "reaper.py",
        "import ctypes, os, subprocess, sys\n\
         ctypes.CDLL(None).prctl(36, 1, 0, 0, 0)\n\
         child = subprocess.Popen(sys.argv[1:])\n\
         while True:\n\
         \x20   try:\n\
         \x20       pid, status = os.wait()\n\
         \x20   except ChildProcessError:\n\
         \x20       break\n\
         \x20   print('ended', pid, os.waitstatus_to_exitcode(status), flush=True)\n",
    );
    wrapped(&["/usr/bin/python3", &reaper.display().to_string()], command)
}

/// Words that note the pid of each start of this unit.
pub fn noted(w: &World, name: &str, words: &str) -> String {
    format!("note-pid {} {words}", w.path(format!("pids-{name}")).display())
}

/// Milliseconds between the last line with the first text and the last one with the second.
fn between(log: &str, first: &str, second: &str) -> i64 {
    let moment = |text: &str| {
        let line = log.lines().rfind(|l| l.contains(text)).unwrap_or_else(|| panic!("no {text:?} in\n{log}"));
        let number = |from: usize, to: usize| -> i64 { line[from..to].parse().unwrap() };
        ((number(11, 13) * 60 + number(14, 16)) * 60 + number(17, 19)) * 1000 + number(20, 23)
    };
    (moment(second) - moment(first)).rem_euclid(86_400_000)
}

#[test]
fn programs_go_on_and_nobody_sees_a_difference() {
    let mut w = world();
    for name in ["a", "b", "c"] {
        unit(&w, name, &noted(&w, name, "print up on USR1 print bye wait"), "[Unit]\nDescription=some words");
    }
    w.superd();
    w.until("all run", |s| ["a", "b", "c"].iter().all(|n| s.state(n) == "RUNNING"));
    ["a", "b", "c"].iter().for_each(|n| drop(until_printed(&w, n, "up")));
    w.supers_ok(&["restart", "b"]);
    let before = w.status();
    crash(&w);
    let after = w.status();
    assert_eq!(essences(&after), essences(&before));
    for (name, starts) in [("a", 1), ("b", 2), ("c", 1)] {
        let file = format!("pids-{name}");
        assert_eq!(w.read(&file).lines().count(), starts, "{name} was not started again");
        assert_eq!(living(&w, &file), BTreeSet::from([after.pid(name)]), "{name} runs exactly once");
    }
    let version = w.supers_ok(&["version"]);
    assert!(version.contains("brought back 1 times"), "{version}");
    let told = || main_log(&w).contains("took over 3 units with 3 processes").then_some(());
    w.until_fact("it says what it took over", told);
    // They are its units in every respect: output, ends and orders.
    let a = process(&w, "a");
    assert!(a.signal(USR1));
    until_printed(&w, "a", "bye");
    assert!(process(&w, "c").kill());
    until_state(&w, "c", "EXITED");
    w.supers_ok(&["restart", "b"]);
    let deadline = w.deadline();
    assert_eq!(w.daemon().stop(deadline), 0);
    assert!(!a.lives());
}

#[test]
fn every_state_is_kept() {
    let mut w = world();
    let folder = w.path("sub").display().to_string();
    std::fs::create_dir(&folder).unwrap();
    w.ini(
        "[supervisord]\n[program:running]\ncommand={actor} wait\nstartsecs=0\n\
         [program:starting]\ncommand={actor} wait\nstartsecs=3600\n\
         [program:backoff]\ncommand={actor} count-to-file {root}/backoff exit 1\nstartretries=1000\n\
         [program:deaf]\ncommand={actor} ignore TERM touch {root}/deaf wait\nstartsecs=0\nstopwaitsecs=3600\n\
         [program:exited]\ncommand={actor} exit 3\nstartsecs=0\nautorestart=false\n\
         [program:fatal]\ncommand=/no/such/program\nstartretries=0\n\
         [program:never]\ncommand={actor} wait\nautostart=false\n\
         [program:stopped]\ncommand={actor} wait\nstartsecs=0\n",
    );
    w.superd();
    w.until("all is settled", |s| {
        s.state("exited") == "EXITED" && s.state("fatal") == "FATAL" && s.state("stopped") == "RUNNING"
    });
    w.until_fact("it is deaf", || w.path("deaf").exists().then_some(()));
    w.supers_ok(&["stop", "stopped"]);
    w.supers_ok(&["stop", "deaf", "--no-wait"]);
    // The third pause is three seconds: long enough for what follows.
    until_counted(&w, "backoff", 3);
    let before = w.until("it pauses", |s| s.state("backoff") == "BACKOFF" && s.state("deaf") == "STOPPING");
    assert_eq!(before.state("starting"), "STARTING");
    crash(&w);
    let after = w.status();
    assert_eq!(essences(&after), essences(&before));
    for name in ["exited", "fatal", "never", "stopped"] {
        assert_eq!(after.reason(name), before.reason(name), "{name}");
    }
    until_counted(&w, "backoff", 4);
}

#[test]
fn a_start_counts_as_one_at_its_time() {
    let mut w = world();
    w.ini("[supervisord]\n[program:slow]\ncommand={actor} wait\nstartsecs=3\n");
    w.superd();
    let before = w.until("it starts", |s| s.state("slow") == "STARTING" && s.pid("slow") != 0);
    crash(&w);
    assert_eq!(essences(&w.status()), essences(&before));
    let after = w.until("it runs", |s| s.state("slow") == "RUNNING");
    assert_eq!(after.pid("slow"), before.pid("slow"));
    let log = w.read("supervisord.log");
    let took = between(&log, "spawned: 'slow'", "entered RUNNING state");
    assert!((2990..3000 + SLACK_MS).contains(&took), "{took} ms\n{log}");
}

#[test]
fn the_next_try_comes_at_its_time() {
    let mut w = world();
    let count = w.path("starts").display().to_string();
    unit(&w, "loop", &format!("count-to-file {count} exit 1"), "Restart=always\nRestartSec=2s");
    w.superd();
    let before = w.until("it pauses", |s| s.state("loop") == "BACKOFF");
    crash(&w);
    assert_eq!(essences(&w.status()), essences(&before));
    until_counted(&w, "starts", 2);
    let log = w.until_fact("it is told", || {
        Some(main_log(&w)).filter(|log| log.matches("spawned: 'loop'").count() >= 2)
    });
    // The second death may be in it already.
    let upto = log.rfind("spawned: 'loop'").unwrap() + "spawned: 'loop'".len();
    let took = between(&log[..upto], "exited: loop", "spawned: 'loop'");
    assert!((1990..2000 + SLACK_MS).contains(&took), "{took} ms\n{log}");
}

#[test]
fn who_does_not_listen_is_killed_in_time() {
    let mut w = world();
    unit(&w, "deaf", "ignore TERM print up wait", "TimeoutStopSec=2s");
    w.superd();
    until_printed(&w, "deaf", "up");
    let deaf = process(&w, "deaf");
    w.supers_ok(&["stop", "deaf", "--no-wait"]);
    until_state(&w, "deaf", "STOPPING");
    crash(&w);
    let now = w.status();
    assert_eq!((now.state("deaf"), now.pid("deaf"), deaf.lives()), ("STOPPING", deaf.pid, true));
    let end = w.until("it is down", |s| s.state("deaf") == "STOPPED");
    assert_eq!(end.get("deaf")["exit"], -9);
    let log = main_log(&w);
    let took = between(&log, "stop deaf (asked", "killing 'deaf'");
    assert!((1990..2000 + SLACK_MS).contains(&took), "{took} ms\n{log}");
}

#[test]
fn ends_of_the_meantime_are_told_truly_and_once() {
    let mut w = world();
    let never = "Restart=no";
    let once = "Restart=on-failure\nRestartSec=50ms";
    unit(&w, "seven", "on TERM exit 7 print up wait", never);
    unit(&w, "clean", "on TERM exit 0 print up wait", "Restart=on-failure");
    unit(&w, "killed", &noted(&w, "killed", "print up wait"), once);
    unit(&w, "failed", &noted(&w, "failed", "on TERM exit 5 print up wait"), once);
    unit(&w, "lives", "print up wait", "");
    w.superd();
    let names = ["seven", "clean", "killed", "failed", "lives"];
    let held: Vec<Process> = names
        .iter()
        .map(|name| {
            until_printed(&w, name, "up");
            process(&w, name)
        })
        .collect();
    let [seven, clean, killed, failed, lives] = &held[..] else { unreachable!() };
    while_it_is_away(&mut w, |w| {
        assert!(seven.signal(15) && clean.signal(15) && failed.signal(15) && killed.kill());
        [seven, clean, killed, failed].iter().for_each(|p| assert!(p.wait(w.deadline().left())));
    });
    let now = w.until("policies are applied", |s| {
        let again = |name, old: &Process| s.state(name) == "RUNNING" && s.pid(name) != old.pid;
        again("killed", killed) && again("failed", failed)
    });
    assert_eq!((now.state("seven"), now.get("seven")["exit"].as_i64()), ("EXITED", Some(7)));
    assert_eq!((now.state("clean"), now.get("clean")["exit"].as_i64()), ("EXITED", Some(0)));
    assert_eq!((now.state("lives"), now.pid("lives")), ("RUNNING", lives.pid));
    assert_eq!((now.restarts("killed"), now.restarts("failed")), (1, 1));
    let log = main_log(&w);
    for line in ["exited: failed (exit status 5", "exited: killed (terminated by SIGKILL"] {
        assert_eq!(log.matches(line).count(), 1, "{line}\n{log}");
    }
    for name in ["killed", "failed"] {
        let file = format!("pids-{name}");
        w.until_fact("it noted its pid", || (w.read(&file).lines().count() >= 2).then_some(()));
        assert_eq!(living(&w, &file), BTreeSet::from([now.pid(name)]), "{name}");
    }
}

#[test]
fn a_program_that_dies_at_the_same_moment_is_started_once() {
    let mut w = world();
    unit(
        &w,
        "short",
        &noted(&w, "short", "print up wait"),
        "Restart=always\nRestartSec=20ms\n[Unit]\nStartLimitIntervalSec=0",
    );
    w.superd();
    for n in 1..=5 {
        let (short, daemon) = (process(&w, "short"), daemon_process(&w));
        // Either may be first.
        match n % 2 {
            0 => assert!(daemon.kill() && short.kill()),
            _ => assert!(short.kill() && daemon.kill()),
        }
        until_another(&w, daemon.pid);
        w.until("it runs again", |s| s.state("short") == "RUNNING" && s.pid("short") != short.pid);
        let count = || w.read("pids-short").lines().count();
        w.until_fact("it noted its pid", || (count() > n).then_some(()));
        assert_eq!((count(), w.status().restarts("short")), (n + 1, n as u64));
        assert_eq!(living(&w, "pids-short"), BTreeSet::from([w.status().pid("short")]));
    }
}

#[test]
fn children_of_units_are_left_alone() {
    let mut w = world();
    unit(&w, "family", "fork-and-stay print up wait", "");
    w.superd();
    until_printed(&w, "family", "up");
    let child = child_of(&w, "family");
    crash(&w);
    assert!(child.lives() && process(&w, "family").lives());
    w.supers_ok(&["stop", "family"]);
    assert!(child.wait(w.deadline().left()), "the stop reaches the child as ever");
    assert_eq!(log(&w, "family").matches("up\n").count(), 1);
}

#[test]
fn a_stop_that_somebody_waits_for_is_carried_out() {
    let mut w = world();
    unit(&w, "deaf", "ignore TERM print up wait", "TimeoutStopSec=3s");
    w.superd();
    until_printed(&w, "deaf", "up");
    let deadline = w.deadline();
    let asked = w.supers_started(&["stop", "deaf"]);
    until_state(&w, "deaf", "STOPPING");
    crash(&w);
    let answer = asked.finish(deadline);
    // The answer went with the daemon; that is said, or (better) the client goes on waiting.
    let told = !answer.stderr.is_empty() && answer.code != 0;
    assert!(told || (answer.code == 0 && w.status().state("deaf") == "STOPPED"), "{answer:?}");
    until_state(&w, "deaf", "STOPPED");
    assert_eq!(w.status().get("deaf")["want"], false);
}

#[test]
fn clients_wait_and_are_served() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    w.superd();
    let web = process(&w, "web");
    let daemon = daemon_process(&w);
    let deadline = w.deadline();
    w.daemon().signal(STOP);
    assert!(daemon.kill() && daemon.wait(deadline.left()));
    // Nobody is there to answer; the socket is.
    let asked = w.supers_started(&["status", "--json"]);
    let asks = Process::open(asked.pid()).unwrap();
    assert!(!asks.wait(Duration::from_millis(300)), "it waits: {}", asked.log());
    w.daemon().signal(CONT);
    let answer = asked.finish(deadline);
    assert_eq!(answer.code, 0, "{answer:?}");
    assert_eq!(Programs::parse(&answer.stdout).unwrap().pid("web"), web.pid);
}

#[test]
fn fifty_deaths_and_each_unit_runs_exactly_once() {
    let mut w = world();
    w.allow(Duration::from_secs(240));
    let steady: Vec<String> = (0..14).map(|n| format!("steady{n}")).collect();
    let looping: Vec<String> = (0..6).map(|n| format!("loop{n}")).collect();
    for name in &steady {
        unit(&w, name, &noted(&w, name, "wait"), "");
    }
    for (n, name) in looping.iter().enumerate() {
        let words = noted(&w, name, &format!("sleep {}ms exit 1", 20 + 30 * n));
        unit(&w, name, &words, "Restart=always\nRestartSec=10ms\n[Unit]\nStartLimitIntervalSec=0");
    }
    w.superd();
    w.until("all run", |s| steady.iter().all(|n| s.state(n) == "RUNNING"));
    let before = w.status();
    for round in 0..50 {
        // A daemon that lived for a second is restarted without a pause.
        if round % 8 == 7 {
            w.until_fact("it lives for a while", || {
                daemon_view(&w).filter(|d| d["uptime_s"].as_u64() >= Some(2))
            });
        }
        crash(&w);
        for name in &looping {
            let at_once = living(&w, &format!("pids-{name}"));
            assert!(at_once.len() <= 1, "{name} runs twice after {round} deaths: {at_once:?}\n{}", w.logs());
        }
    }
    let after = w.status();
    for name in &steady {
        assert_eq!(essence(&after, name), essence(&before, name));
        assert_eq!(w.read(format!("pids-{name}")).lines().count(), 1, "{name}");
    }
    for name in &looping {
        let file = format!("pids-{name}");
        let seen = w.read(&file).lines().count();
        w.until_fact("it goes on in its circle", || (w.read(&file).lines().count() > seen + 1).then_some(()));
    }
    // Restarts were counted as they happened: no start unheard of, none counted twice.
    w.supers_ok(&["stop", "all"]);
    let end = w.status();
    for name in &looping {
        let starts = w.read(format!("pids-{name}")).lines().count() as u64;
        let counted = end.restarts(name) + 1;
        // A start may have been stopped before it could note its pid.
        assert!(counted >= starts && counted <= starts + 3, "{name}: {starts} starts, {counted} counted");
        assert_eq!(living(&w, &format!("pids-{name}")), BTreeSet::new());
    }
}

#[test]
fn without_a_keeper_the_next_start_takes_over() {
    let mut w = world();
    unit(&w, "web", &noted(&w, "web", "wait"), "Restart=always\nRestartSec=50ms");
    unit(&w, "short", "on TERM exit 7 print up wait", "Restart=no");
    let deadline = w.deadline();
    w.superd_with(&["--no-keeper"]);
    let web = process(&w, "web");
    until_printed(&w, "short", "up");
    let short = process(&w, "short");
    let before = w.status();
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
    let after = w.status();
    assert_eq!(essences(&after), essences(&before));
    assert!(web.lives() && short.lives());
    assert!(short.signal(TERM));
    let end = w.until("its end is seen", |s| s.state("short") == "EXITED");
    assert_eq!(end.get("short")["exit"], 7, "the kernel tells how somebody else's child ended");
    assert!(web.kill());
    w.until("it is started again", |s| s.state("web") == "RUNNING" && s.pid("web") != web.pid);
    assert_eq!(w.daemon().stop(deadline), 0);
    assert_eq!(living(&w, "pids-web"), BTreeSet::new());
}
