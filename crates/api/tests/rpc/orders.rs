//! Starting, stopping, signalling: names, faults in their order, rows.

use crate::fake::*;
use supers_api::xmlrpc::Value;
use supers_core::control::Outcome;
use supers_core::exit::Exit;
use supers_core::ids::{Pid, RunId};
use supers_core::inside::Unrunnable;
use supers_core::proc::{Cause, State};
use supers_core::time::Mono;

fn world() -> Fake {
    let backoff = State::Backoff { until: Mono(0), attempt: 1, cause: Cause::Asked };
    let unknown = State::Unknown { run: RunId(1), pid: Pid(9) };
    let exited = State::Exited { exit: Exit::Code(0), expected: true, cause: Cause::Asked };
    let mut fake = Fake::new(vec![
        view("up", "up", running(10)),
        view("down", "down", stopped()),
        view("back", "back", backoff),
        view("held", "held", State::Held),
        view("ending", "ending", stopping(11)),
        view("lost", "lost", unknown),
        view("g", "a", stopped()),
        view("g", "b", exited),
        view("g", "c", running(12)),
        view("nofile", "nofile", stopped()),
        view("noexec", "noexec", running(13)),
    ]);
    let missing = Unrunnable::Missing("can't find command 'x'".into());
    fake.unrunnable.insert("nofile".into(), missing);
    fake.unrunnable.insert("noexec".into(), Unrunnable::NotExecutable("command is empty".into()));
    fake
}

fn row(group: &str, name: &str, status: i32, text: &str) -> String {
    format!("{{name={name:?} group={group:?} status={status} description={text:?}}}")
}

#[test]
fn names() {
    let c = Client::new(world());
    for bad in ["nope", "", ":", "*", "g", "a", "g:nope", "nope:*", "nope:", "up:down", "g:a:b", ":up"] {
        for method in ["startProcess", "stopProcess", "getProcessInfo", "clearProcessLogs"] {
            assert_eq!(c.fault(method, &[s(bad)]), (10, format!("BAD_NAME: {bad}")), "{method}");
        }
        assert_eq!(c.fault("signalProcess", &[s(bad), s("nonsense")]), (10, format!("BAD_NAME: {bad}")));
    }
    for method in ["startProcessGroup", "stopProcessGroup"] {
        assert_eq!(c.fault(method, &[s("g:*")]), (10, "BAD_NAME: g:*".into()));
    }
    assert_eq!(c.fault("signalProcessGroup", &[s("x"), s("HUP")]), (10, "BAD_NAME: x".into()));
    assert_eq!(c.fault("getProcessInfo", &[s("g:*")]), (10, "BAD_NAME: g:*".into()));
    assert_eq!(c.ok("startProcess", &[s("empty:*")]), "[]");
    assert!(c.asked().is_empty());
    assert_eq!(c.ok("startProcess", &[s("g:a")]), "true");
    assert_eq!(c.ok("startProcess", &[s("down:down")]), "true");
    assert_eq!(c.asked(), ["Start g:a wait=true", "Start down wait=true"]);
}

#[test]
fn start_one() {
    let mut fake = world();
    for (name, outcome) in [
        ("down", Outcome::Failed),
        ("g:a", Outcome::Superseded),
        ("g:b", Outcome::AlreadyRunning),
        ("ending", Outcome::TimedOut),
    ] {
        fake.outcomes.insert(name.into(), outcome);
    }
    let c = Client::new(fake);
    // Whether there is a command comes before the state.
    for (name, code, text) in [
        ("nofile", 20, "NO_FILE: can't find command 'x'"),
        ("noexec", 21, "NOT_EXECUTABLE: command is empty"),
        ("up", 60, "ALREADY_STARTED: up"),
        ("up:up", 60, "ALREADY_STARTED: up:up"),
        ("back", 60, "ALREADY_STARTED: back"),
        ("held", 60, "ALREADY_STARTED: held"),
        ("lost", 30, "FAILED: lost is in an unknown state"),
        ("g:b", 60, "ALREADY_STARTED: g:b"),
        ("down", 50, "SPAWN_ERROR: down"),
        ("g:a", 40, "ABNORMAL_TERMINATION: g:a"),
        ("ending", 40, "ABNORMAL_TERMINATION: ending"),
    ] {
        assert_eq!(c.fault("startProcess", &[s(name)]), (code, text.into()));
    }
    c.asked();
    for no in [Value::Bool(false), n(0), s("")] {
        assert_eq!(c.ok("startProcess", &[s("down"), no]), "true");
        assert_eq!(c.asked(), ["Start down wait=false"]);
    }
    assert_eq!(
        c.ok("startProcess", &[s("down:"), s("false")]),
        format!("[{}]", row("down", "down", 50, "SPAWN_ERROR: down"))
    );
}

#[test]
fn start_many() {
    let mut fake = world();
    fake.outcomes.insert("g:b".into(), Outcome::Failed);
    let c = Client::new(fake);
    let rows = [row("g", "b", 50, "SPAWN_ERROR: g:b"), row("g", "a", 80, "OK")].join(", ");
    for (method, name) in [("startProcess", "g:*"), ("startProcess", "g:"), ("startProcessGroup", "g")] {
        assert_eq!(c.ok(method, &[s(name)]), format!("[{rows}]"));
        assert_eq!(c.asked(), ["Start g:a g:b wait=true"]);
    }
    // One order for all; those that cannot be executed are told first, the rest as they come.
    let all = c.ok("startAllProcesses", &[]);
    assert_eq!(c.asked(), ["Start down ending g:a g:b wait=true"]);
    let want = [
        row("lost", "lost", 30, "FAILED: lost is in an unknown state"),
        row("nofile", "nofile", 20, "NO_FILE: can't find command 'x'"),
        row("g", "b", 50, "SPAWN_ERROR: g:b"),
        row("g", "a", 80, "OK"),
        row("ending", "ending", 80, "OK"),
        row("down", "down", 80, "OK"),
    ];
    assert_eq!(all, format!("[{}]", want.join(", ")));
    c.ok("startAllProcesses", &[Value::Bool(false)]);
    assert_eq!(c.asked(), ["Start down ending g:a g:b wait=false"]);
}

#[test]
fn stop() {
    let mut fake = world();
    for (name, outcome) in
        [("noexec", Outcome::NotRunning), ("held", Outcome::Failed), ("back", Outcome::Superseded)]
    {
        fake.outcomes.insert(name.into(), outcome);
    }
    let c = Client::new(fake);
    for name in ["down", "ending", "lost", "g:b"] {
        assert_eq!(c.fault("stopProcess", &[s(name)]), (70, format!("NOT_RUNNING: {name}")));
    }
    assert!(c.asked().is_empty());
    assert_eq!(c.fault("stopProcess", &[s("noexec")]), (70, "NOT_RUNNING: noexec".into()));
    assert_eq!(c.fault("stopProcess", &[s("held")]), (30, "FAILED: its detail".into()));
    assert_eq!(c.ok("stopProcess", &[s("back")]), "true");
    assert_eq!(c.ok("stopProcess", &[s("up"), Value::Bool(false)]), "true");
    assert_eq!(c.asked().last().unwrap(), "Stop up wait=false");
    let row_c = row("g", "c", 80, "OK");
    assert_eq!(c.ok("stopProcess", &[s("g:*")]), format!("[{row_c}]"));
    assert_eq!(c.ok("stopProcessGroup", &[s("g")]), format!("[{row_c}]"));
    assert_eq!(c.ok("stopProcessGroup", &[s("down")]), "[]");
    c.asked();
    assert!(c.ok("stopAllProcesses", &[]).contains("FAILED: its detail"));
    assert_eq!(c.asked(), ["Stop back g:c held noexec up wait=true"]);
}

#[test]
fn signal() {
    let c = Client::new(world());
    // The signal is looked at before the state.
    for bad in [s("HUPX"), s(""), n(99), n(-1)] {
        assert_eq!(c.fault("signalProcess", &[s("down"), bad]).0, 11);
    }
    assert_eq!(c.fault("signalProcess", &[s("up"), s("HUPX")]), (11, "BAD_SIGNAL: HUPX".into()));
    for name in ["down", "back", "lost", "g:b"] {
        assert_eq!(c.fault("signalProcess", &[s(name), s("HUP")]), (70, format!("NOT_RUNNING: {name}")));
    }
    assert!(c.asked().is_empty());
    for same in [s("HUP"), s("sighup"), s("1"), n(1)] {
        assert_eq!(c.ok("signalProcess", &[s("ending"), same]), "true");
        assert_eq!(c.asked(), ["Signal(1) ending wait=true"]);
    }
    // 0 only asks.
    assert_eq!(c.ok("signalProcess", &[s("up"), n(0)]), "true");
    assert_eq!(c.ok("signalProcessGroup", &[s("g"), n(0)]), format!("[{}]", row("g", "c", 80, "OK")));
    assert!(c.asked().is_empty());
    let bad = row("g", "c", 11, "BAD_SIGNAL: X");
    assert_eq!(c.ok("signalProcessGroup", &[s("g"), s("X")]), format!("[{bad}]"));
    assert_eq!(c.ok("signalProcess", &[s("g:*"), s("X")]), format!("[{bad}]"));
    assert_eq!(c.ok("signalProcessGroup", &[s("down"), s("X")]), "[]");
    assert_eq!(c.ok("signalProcessGroup", &[s("g"), s("USR1")]), format!("[{}]", row("g", "c", 80, "OK")));
    c.asked();
    c.ok("signalAllProcesses", &[s("CONT")]);
    assert_eq!(c.asked(), ["Signal(18) ending g:c held noexec up wait=true"]);
}
