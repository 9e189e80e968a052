//! `supers why` and `supers history`: what is remembered over a crash of the daemon.

use crate::common::{process, unit, until_state, world};
use serde_json::Value;
use supers_testkit::{Process, World};

/// The time line of a program, or of everything.
fn entries(w: &World, name: &str) -> Vec<Value> {
    let out = w.supers_ok(&["history", "-n", "1000", "--json", name]);
    serde_json::from_str(&out).unwrap()
}

/// Waits until the time line has an entry of this kind (a write follows its cause within the turn); it.
fn until_entry(w: &World, name: &str, what: &str) -> Value {
    w.until_fact(&format!("{name}: {what}"), || {
        entries(w, name).into_iter().rev().find(|e| e["what"] == what)
    })
}

/// Kills the daemon below the keeper and waits for the next.
fn crash(w: &mut World) {
    let starts = |w: &World| {
        let v: Value = serde_json::from_str(&w.supers(&["version", "--json"]).stdout).ok()?;
        v["daemon"]["starts"].as_i64()
    };
    let before = starts(w).unwrap();
    assert!(Process::open(w.daemon().daemon_pid()).unwrap().kill());
    let w = &*w;
    w.until_fact("the daemon is back", || starts(w).filter(|n| *n == before + 1));
}

#[test]
fn a_death_is_kept_with_its_last_words() {
    let mut w = world();
    unit(&w, "bad", "print one print cannot-bind exit 3", "");
    w.superd();
    let death = until_entry(&w, "bad", "exited");
    assert_eq!((&death["exit"], &death["expected"]), (&Value::from(3), &Value::from(false)), "{death}");
    assert_eq!(death["tail"], serde_json::json!(["one", "cannot-bind"]));
    let run = until_entry(&w, "bad", "started")["run"].clone();
    assert_eq!(death["run"], run);
    let why = w.supers_ok(&["why", "bad"]);
    assert!(why.contains("exit status 3 after") && why.contains("  | cannot-bind"), "{why}");
    // The next run's words only.
    w.unit("bad", &format!("[Service]\nExecStart={} print two exit 4\n", w.actor().display()));
    w.supers(&["start", "bad"]);
    let death = w.until_fact("it died again", || {
        entries(&w, "bad").into_iter().find(|e| e["what"] == "exited" && e["exit"] == 4)
    });
    assert_eq!(death["tail"], serde_json::json!(["two"]));
    let changed = until_entry(&w, "bad", "file-changed");
    assert!(changed["file"].as_str().unwrap().ends_with("bad.service"), "{changed}");
}

#[test]
fn who_asked_for_a_stop_is_known_after_a_crash() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    w.superd();
    process(&w, "web");
    w.supers_ok(&["stop", "web"]);
    until_entry(&w, "web", "stopped");
    crash(&mut w);
    // Questions are answered before the crash is noted.
    let all = w.until_fact("all of it is noted", || Some(entries(&w, "web")).filter(|all| all.len() >= 6));
    let kinds: Vec<&str> = all.iter().map(|e| e["what"].as_str().unwrap()).collect();
    assert_eq!(kinds, ["daemon", "started", "asked", "signalled", "stopped", "daemon"]);
    let asked = until_entry(&w, "web", "asked");
    assert_eq!(
        (&asked["verb"], &asked["door"], &asked["unit"]),
        (&"stop".into(), &"unix".into(), &"web".into())
    );
    assert!(!asked["who"].as_str().unwrap().is_empty());
    let crashed = until_entry(&w, "web", "daemon");
    assert_eq!(crashed["deed"], "crashed");
    let why = w.supers_ok(&["why", "web"]);
    assert!(why.contains("asked through the unix socket: stop web"), "{why}");
}

#[test]
fn a_broken_command_tells_its_step_and_number() {
    let mut w = world();
    w.unit("broken", "[Service]\nExecStart=/no/such/program\n");
    w.superd();
    until_state(&w, "broken", "FATAL");
    let failed = until_entry(&w, "broken", "start-failed");
    assert_eq!((&failed["stage"], &failed["errno"]), (&"command".into(), &2.into()), "{failed}");
    let why = w.supers_ok(&["why", "broken"]);
    assert!(why.contains("FATAL") && why.contains("/no/such/program"), "{why}");
}

#[test]
fn a_kill_by_somebody_else_is_told_from_our_own() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    w.superd();
    assert!(process(&w, "web").kill());
    let death = until_entry(&w, "web", "exited");
    assert_eq!((&death["exit"], &death["foreign"]), (&(-9).into(), &true.into()), "{death}");
    w.supers_ok(&["start", "web"]);
    process(&w, "web");
    w.supers_ok(&["signal", "KILL", "web"]);
    let death = w.until_fact("it died again", || {
        let all = entries(&w, "web");
        let mut deaths = all.into_iter().filter(|e| e["what"] == "exited");
        deaths.next().and(deaths.next())
    });
    assert_eq!(death["foreign"], Value::Null, "{death}");
}

#[test]
fn what_the_last_daemon_wrote_is_shown_without_one() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    w.superd();
    process(&w, "web");
    let deadline = w.deadline();
    w.supers_ok(&["reload"]);
    assert_eq!(w.daemon().stop(deadline), 0);
    let end = w.supers(&["history"]);
    assert_eq!(end.code, 0, "{end:?}");
    assert!(end.stderr.contains("no superd answers"), "{end:?}");
    let sentences =
        ["superd started", "started, pid", "asked through the unix socket: reload", "superd shut down"];
    let mut rest = end.stdout.as_str();
    for sentence in sentences {
        let at = rest.find(sentence).unwrap_or_else(|| panic!("{sentence:?} in {}", end.stdout));
        rest = &rest[at..];
    }
    assert_eq!(w.supers(&["history", "nope"]).code, 4);
    assert_eq!(w.supers(&["why", "web"]).code, 7);
}

#[test]
fn a_crash_does_not_change_the_number_of_a_run() {
    let mut w = world();
    unit(&w, "web", "on TERM exit 0 wait", "");
    w.superd();
    process(&w, "web");
    let run = until_entry(&w, "web", "started")["run"].as_u64().unwrap();
    crash(&mut w);
    w.supers_ok(&["restart", "web"]);
    assert_eq!(until_entry(&w, "web", "stopped")["run"].as_u64(), Some(run), "it is the same one that ended");
    let starts = || entries(&w, "web").into_iter().filter(|e| e["what"] == "started");
    let second = w.until_fact("the second start", || starts().nth(1));
    assert!(second["run"].as_u64().unwrap() > run, "{second}");
}
