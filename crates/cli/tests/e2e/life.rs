//! What a unit does besides its main program: several commands of a oneshot, stop and reload
//! commands, and the same words as in systemd's command lines.

use crate::common::{log, main_log, must_end, process, unit, until_printed, until_state, world};
use supers_testkit::World;

fn actor(w: &World) -> String {
    w.actor().display().to_string()
}

#[test]
fn a_oneshot_runs_its_commands_one_after_another() {
    let mut w = world();
    let a = actor(&w);
    let gate = w.path("gate").display().to_string();
    w.unit(
        "steps",
        &format!(
            "[Service]\nType=oneshot\nExecStart={a} print one wait-file {gate}\nExecStart={a} print two\n\
             ExecStart={a} print three\n"
        ),
    );
    w.superd();
    until_printed(&w, "steps", "one");
    assert_eq!(w.status().state("steps"), "STARTING");
    assert_eq!(log(&w, "steps"), "one\n", "the second waits for the first");
    w.write("gate", "");
    let end = w.until("all is done", |s| s.state("steps") == "EXITED");
    assert_eq!(log(&w, "steps"), "one\ntwo\nthree\n");
    assert_eq!((end.get("steps")["exit"].as_i64(), end.pid("steps")), (Some(0), 0));

    // Once more, by hand: the answer comes when all is done.
    assert_eq!(w.supers_ok(&["start", "steps"]).split_whitespace().next(), Some("steps:"));
    assert_eq!(log(&w, "steps"), "one\ntwo\nthree\n".repeat(2));
}

#[test]
fn a_oneshot_stops_at_the_first_failure_that_counts() {
    let mut w = world();
    let a = actor(&w);
    let commands = |second: &str| {
        format!(
            "[Service]\nType=oneshot\nExecStart={a} print one\nExecStart={second} print two exit 3\n\
             ExecStart={a} print three\n"
        )
    };
    w.unit("strict", &commands(&a));
    w.unit("lenient", &commands(&format!("-{a}")));
    w.superd();
    until_state(&w, "lenient", "EXITED");
    let end = w.until("it failed", |s| ["EXITED", "FATAL"].contains(&s.state("strict")));
    assert_eq!(log(&w, "strict"), "one\ntwo\n");
    assert_eq!(log(&w, "lenient"), "one\ntwo\nthree\n");
    assert_eq!(end.get("strict")["exit"], 3);
    let start = w.supers(&["start", "strict", "lenient"]);
    assert_eq!(start.code, 1, "{start:?}");
    assert!(start.stderr.contains("strict: cannot start: exit status 3"), "{start:?}");
    assert!(start.stdout.contains("lenient: "), "{start:?}");
}

#[test]
fn exec_stop_comes_before_the_signal() {
    let mut w = world();
    let a = actor(&w);
    let gate = w.path("gate").display().to_string();
    let main = "on USR1 print asked on TERM exit 9 print up wait";
    let more = format!("ExecStop=/bin/kill -USR1 $MAINPID\nExecStop={a} print waiting wait-file {gate}");
    unit(&w, "slow", main, &more);
    w.superd();
    until_printed(&w, "slow", "up");
    let slow = process(&w, "slow");
    w.supers_ok(&["stop", "slow", "--no-wait"]);
    until_printed(&w, "slow", "waiting");
    // Asked before the second command began; when it says so is its own affair.
    let log = until_printed(&w, "slow", "asked");
    assert!(["up\nasked\nwaiting\n", "up\nwaiting\nasked\n"].contains(&log.as_str()), "{log}");
    assert_eq!((w.status().state("slow"), slow.lives()), ("STOPPING", true), "no signal yet");
    w.write("gate", "");
    let end = w.until("it is down", |s| s.state("slow") == "STOPPED");
    assert_eq!(end.get("slow")["exit"], 9);
}

#[test]
fn who_ends_by_exec_stop_meets_no_signal() {
    let mut w = world();
    let a = actor(&w);
    let main = "on USR1 exit 0 on TERM exit 9 print up wait";
    // The second command waits for ever, as a stop command waits for the end it has asked for.
    unit(&w, "polite", main, &format!("ExecStop=/bin/kill -USR1 $MAINPID\nExecStop={a} wait"));
    w.superd();
    until_printed(&w, "polite", "up");
    assert_eq!(w.supers_ok(&["stop", "polite"]), "polite: stopped\n");
    assert_eq!(w.status().get("polite")["exit"], 0, "USR1 ended it, not TERM");
}

#[test]
fn the_signal_follows_an_exec_stop_that_ends_nothing_or_fails() {
    let mut w = world();
    let a = actor(&w);
    let main = "on TERM exit 9 print up wait";
    unit(&w, "idle", main, &format!("ExecStop={a} print bye"));
    unit(&w, "broken", main, &format!("ExecStop={a} exit 1"));
    w.superd();
    for name in ["idle", "broken"] {
        until_printed(&w, name, "up");
        w.supers_ok(&["stop", name]);
        assert_eq!(w.status().get(name)["exit"], 9, "{name}");
    }
    assert_eq!(log(&w, "idle"), "up\nbye\n", "the stop command writes into the unit's log");
    assert!(main_log(&w).contains("broken: stop command failed: exit status 1"), "{}", main_log(&w));
}

#[test]
fn reload_with_a_name_runs_exec_reload() {
    let mut w = world();
    let a = actor(&w);
    unit(&w, "server", "on HUP print again print up wait", "ExecReload=/bin/kill -HUP $MAINPID");
    unit(&w, "deaf", "wait", "");
    unit(&w, "sorry", "wait", &format!("ExecReload={a} exit 5"));
    w.superd();
    until_printed(&w, "server", "up");
    let before = process(&w, "server");
    assert_eq!(w.supers_ok(&["reload", "server"]), "server: reloaded\n");
    until_printed(&w, "server", "again");
    assert_eq!(w.status().pid("server"), before.pid);

    let deaf = w.supers(&["reload", "deaf"]);
    assert_eq!(deaf.code, 1, "{deaf:?}");
    assert!(deaf.stderr.contains("names no reload command (ExecReload=)"), "{deaf:?}");
    process(&w, "sorry");
    let sorry = w.supers(&["reload", "sorry"]);
    assert_eq!(sorry.code, 1, "{sorry:?}");
    assert!(sorry.stderr.contains("exit status 5"), "{sorry:?}");
    assert_eq!(w.status().state("sorry"), "RUNNING");
    w.supers_ok(&["stop", "deaf"]);
    assert_eq!(w.supers(&["reload", "deaf"]).code, 3);
}

#[test]
fn words_quotes_and_variables_of_a_command_line() {
    let mut w = world();
    let a = actor(&w);
    w.unit(
        "words",
        &format!(
            "[Service]\nEnvironment=\"MANY=x y\" ONE=z EMPTY=\nType=oneshot\n\
             ExecStart={a} args plain \"two words\" 'single $ONE' a\\x20b $$HOME\n\
             ExecStart={a} args $MANY \"$MANY\" ${{MANY}} pre${{ONE}}post $EMPTY $UNSET end\n\
             ExecStart=:{a} args $ONE ${{ONE}}\n\
             ExecStart=@{a} other-name argv0\n\
             ExecStart={a} print %n print %N print %p\n\
             ExecStart={a} print continued \\\n  print line\n"
        ),
    );
    w.superd();
    until_state(&w, "words", "EXITED");
    insta::assert_snapshot!(log(&w, "words"), @r#"
    ["plain", "two words", "single $ONE", "a b", "$HOME"]
    ["x", "y", "x", "y", "x y", "prezpost", "end"]
    ["$ONE", "${ONE}"]
    other-name
    words.service
    words
    words
    continued
    line
    "#);
}

#[test]
fn an_environment_file_is_read_at_each_start() {
    let mut w = world();
    let file = w.write("vars", "# a comment\nCOLOUR=red\nQUOTED=\"a  b\"\nBOTH=file\n");
    let more =
        format!("Environment=BOTH=unit\nEnvironmentFile={}\nEnvironmentFile=-/no/such/file", file.display());
    unit(&w, "env", "env COLOUR env QUOTED env BOTH", &more);
    unit(&w, "needs", "env COLOUR", "EnvironmentFile=/no/such/file");
    w.superd();
    until_state(&w, "env", "EXITED");
    assert_eq!(log(&w, "env"), "COLOUR=red\nQUOTED=a  b\nBOTH=file\n");
    w.write("vars", "COLOUR=blue\n");
    w.supers(&["start", "env"]);
    until_state(&w, "env", "EXITED");
    assert_eq!(
        log(&w, "env").lines().skip(3).collect::<Vec<_>>(),
        ["COLOUR=blue", "QUOTED=(unset)", "BOTH=unit"]
    );
    let now = w.until("the other failed", |s| s.state("needs") == "FATAL");
    let why = "cannot start: read environment file \"/no/such/file\": No such file or directory";
    assert_eq!(now.reason("needs"), why);
}

#[test]
fn type_exec_runs_and_idle_too() {
    let mut w = world();
    unit(&w, "exec", "wait", "Type=exec");
    unit(&w, "idle", "wait", "Type=idle");
    w.superd();
    let (exec, idle) = (process(&w, "exec"), process(&w, "idle"));
    w.supers_ok(&["stop", "all"]);
    must_end(&w, &exec);
    must_end(&w, &idle);
}
