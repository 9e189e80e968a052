//! `Restart=` and its relatives, and the start limits. With a pause of an hour a restart that was
//! decided is seen as BACKOFF, so that a whole table is one look.

use crate::common::{log, unit, until_counted, until_printed, until_state, world};
use std::fmt::Write as _;
use supers_testkit::World;

const HOUR: &str = "RestartSec=1h";

/// Waits until no unit is on its way; for each the word that says whether it will come back.
fn verdicts(w: &mut World, names: &[String]) -> Vec<&'static str> {
    w.superd();
    let end = w.until("all have ended", |s| {
        names.iter().all(|n| ["BACKOFF", "EXITED", "FATAL"].contains(&s.state(n)))
    });
    names.iter().map(|n| if end.state(n) == "BACKOFF" { "again" } else { "-" }).collect()
}

#[test]
fn every_restart_value_meets_every_end() {
    let ends = [
        ("exit0", "exit 0"),
        ("exit1", "exit 1"),
        ("term", "kill-self TERM"),
        ("kill", "kill-self KILL"),
        ("abort", "abort"),
    ];
    let values = ["no", "always", "on-success", "on-failure", "on-abnormal", "on-abort"];
    let mut w = world();
    let mut names = Vec::new();
    for value in values {
        for (end, words) in ends {
            let name = format!("{value}.{end}");
            unit(&w, &name, words, &format!("Restart={value}\n{HOUR}\nLimitCORE=0"));
            names.push(name);
        }
    }
    let verdicts = verdicts(&mut w, &names);
    let mut table = format!("{:12}{}\n", "", ends.map(|(end, _)| format!("{end:6}")).concat());
    for (value, row) in values.iter().zip(verdicts.chunks(ends.len())) {
        let cells: String = row.iter().map(|v| format!("{v:6}")).collect();
        let _ = writeln!(table, "{value:12}{cells}");
    }
    let table: Vec<&str> = table.lines().map(str::trim_end).collect();
    insta::assert_snapshot!(table.join("\n"), @r"
                exit0 exit1 term  kill  abort
    no          -     -     -     -     -
    always      again again again again again
    on-success  again -     again -     -
    on-failure  -     again -     again again
    on-abnormal -     -     -     again again
    on-abort    -     -     -     again again
    ");
}

#[test]
fn more_statuses_that_count_as_clean_prevent_or_force() {
    let mut w = world();
    let cases = [
        ("clean-code", "exit 7", "Restart=on-failure\nSuccessExitStatus=7 8", "-"),
        ("other-code", "exit 9", "Restart=on-failure\nSuccessExitStatus=7 8", "again"),
        ("clean-signal", "kill-self USR1", "Restart=on-failure\nSuccessExitStatus=SIGUSR1", "-"),
        ("success-restarts", "exit 7", "Restart=on-success\nSuccessExitStatus=7", "again"),
        ("prevented", "exit 23", "Restart=always\nRestartPreventExitStatus=23", "-"),
        ("not-prevented", "exit 24", "Restart=always\nRestartPreventExitStatus=23", "again"),
        ("prevented-signal", "kill-self KILL", "Restart=always\nRestartPreventExitStatus=SIGKILL", "-"),
        ("forced", "exit 5", "Restart=no\nRestartForceExitStatus=5", "again"),
    ];
    let names: Vec<String> = cases.iter().map(|(name, ..)| name.to_string()).collect();
    for (name, words, more, _) in cases {
        unit(&w, name, words, &format!("{more}\n{HOUR}"));
    }
    let verdicts = verdicts(&mut w, &names);
    let wanted: Vec<&str> = cases.iter().map(|(.., v)| *v).collect();
    assert_eq!(verdicts, wanted, "{names:?}");
}

#[test]
fn too_many_starts_are_fatal_and_a_start_by_hand_is_not_refused() {
    let mut w = world();
    let file = w.path("starts").display().to_string();
    let limits = "Restart=always\nRestartSec=20ms\n[Unit]\nStartLimitBurst=3\nStartLimitIntervalSec=1h";
    unit(&w, "loop", &format!("print going count-to-file {file} exit 4"), limits);
    w.superd();
    let end = w.until("it was given up", |s| s.state("loop") == "FATAL");
    assert_eq!(w.read("starts"), "...");
    let reason = w.normal(end.reason("loop"));
    assert!(reason.starts_with("start limit reached (3 starts in 1 h): exit status 4 after"), "{reason}");
    assert_eq!(end.get("loop")["hint"], "supers logs loop");
    assert_eq!(end.restarts("loop"), 2, "three starts, and the fourth did not happen");
    let shown = w.supers(&["status", "loop"]);
    assert_eq!(shown.code, 3, "{shown:?}");
    assert!(shown.stdout.contains("start limit reached"), "{shown:?}");

    let start = w.supers(&["start", "loop"]);
    assert_eq!(start.code, 1, "{start:?}");
    until_state(&w, "loop", "FATAL");
    until_counted(&w, "starts", 4);
}

#[test]
fn five_starts_in_ten_seconds_unless_said_otherwise() {
    let mut w = world();
    let counted = |name: &str| format!("count-to-file {} exit 1", w.path(name).display());
    unit(&w, "usual", &counted("usual"), "Restart=on-failure\nRestartSec=10ms");
    unit(&w, "free", &counted("free"), "Restart=on-failure\nRestartSec=10ms\nStartLimitIntervalSec=0");
    w.superd();
    until_state(&w, "usual", "FATAL");
    assert_eq!(w.read("usual"), ".....");
    until_counted(&w, "free", 9);
    assert!(w.supers(&["stop", "free"]).code == 0);
    assert_eq!(w.status().state("free"), "STOPPED");
}

#[test]
fn a_stop_that_was_asked_for_is_never_answered_with_a_restart() {
    let mut w = world();
    unit(&w, "always", "print up wait", "Restart=always\nRestartSec=10ms");
    unit(&w, "waiting", "exit 1", &format!("Restart=always\n{HOUR}"));
    w.superd();
    until_state(&w, "waiting", "BACKOFF");
    until_printed(&w, "always", "up");
    assert_eq!(w.supers_ok(&["stop", "always", "waiting"]).lines().count(), 2);
    let now = w.status();
    assert_eq!((now.state("always"), now.state("waiting")), ("STOPPED", "STOPPED"));
    assert_eq!((now.reason("always"), now.restarts("always")), ("stopped on request", 0));
    assert_eq!(log(&w, "always"), "up\n");
}

#[test]
fn an_unstartable_program_follows_the_policy_too() {
    let mut w = world();
    w.unit("never", "[Service]\nExecStart=/no/such/program\nRestart=no\n");
    w.unit("hourly", &format!("[Service]\nExecStart=/no/such/program\nRestart=on-failure\n{HOUR}\n"));
    w.superd();
    let now = w.until("both were tried", |s| s.state("never") == "FATAL" && s.state("hourly") == "BACKOFF");
    let why = "cannot start: can't find command '/no/such/program'";
    assert_eq!(now.reason("never"), why);
    assert!(now.reason("hourly").starts_with(&format!("{why}; next try in ")), "{:?}", now.0);
}
