//! `supers`: every subcommand against a real daemon, with texts, `--json` and exit codes.

use crate::common::{bare, log, main_log, must_end, process, unit, until_printed, until_state, world};
use serde_json::Value;
use std::path::Path;
use supers_testkit::{Process, World};

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|e| panic!("{e}: {text}"))
}

/// A world with `web` up, `job` ended, and both seen so.
fn two() -> World {
    let mut w = world();
    unit(&w, "web", "print hello wait", "[Unit]\nDescription=a web server");
    unit(&w, "job", "print bye exit 3", "");
    w.superd();
    w.until("both got there", |s| s.state("web") == "RUNNING" && s.state("job") == "EXITED");
    w
}

#[test]
fn status_and_its_exit_codes() {
    let w = two();
    assert_eq!(w.supers(&[]).code, 0);
    assert_eq!(w.supers(&["status"]).code, 0, "plain status is always done");
    assert_eq!(w.supers(&["status", "web"]).code, 0);
    let down = w.supers(&["status", "job"]);
    assert_eq!(down.code, 3);
    assert!(down.stdout.contains("exit status 3 after"), "{down:?}");
    assert!(down.stdout.contains("→ supers -c "), "{down:?}");
    assert!(down.stdout.trim_end().ends_with(" logs job"), "{down:?}");
    let unknown = w.supers(&["status", "wbe"]);
    assert_eq!(unknown.code, 4);
    assert!(unknown.stderr.contains("no program is called \"wbe\"; did you mean web?"), "{unknown:?}");
    assert_eq!(w.supers(&["status", "wbe", "job"]).code, 4, "the worse of both");
    assert!(!w.supers(&["status"]).stdout.contains('\x1b'), "no colour without a terminal");
    assert!(w.supers(&["--color", "always", "status"]).stdout.contains('\x1b'));
}

#[test]
fn status_json_has_the_promised_fields() {
    let w = two();
    let all = json(&w.supers_ok(&["status", "--json"]));
    let rows = all.as_array().unwrap();
    let names: Vec<&str> = rows.iter().map(|r| r["name"].as_str().unwrap()).collect();
    assert_eq!(names, ["job", "web"]);
    let (job, web) = (&rows[0], &rows[1]);
    assert_eq!(
        (&web["state"], &web["group"], &web["exit"], &web["reason"]),
        (&"RUNNING".into(), &"web".into(), &Value::Null, &"".into())
    );
    assert_eq!(
        (&web["restarts"], &web["want"], &web["description"]),
        (&0.into(), &true.into(), &"a web server".into())
    );
    assert!(web["pid"].as_i64().unwrap() > 1 && web["uptime_s"].is_u64(), "{web}");
    assert_eq!((&job["pid"], &job["exit"], &job["uptime_s"]), (&0.into(), &3.into(), &0.into()));
    assert_eq!(job["source"], format!("{}:1", w.path("units/job.service").display()));
    let one = json(&w.supers_ok(&["--json", "status", "web"]));
    assert_eq!(one.as_array().unwrap().len(), 1);
    let error = w.supers(&["start", "nope", "--json"]);
    assert_eq!((error.code, &json(&error.stdout)["error"]["kind"]), (4, &"unknown-name".into()));
}

#[test]
fn start_stop_and_restart_say_what_they_did() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    w.superd();
    let first = process(&w, "web");
    assert_eq!(w.supers_ok(&["start", "web"]), format!("web: already running, pid {}\n", first.pid));
    assert_eq!(w.supers_ok(&["stop", "web.service"]), "web: stopped\n");
    assert!(!first.lives());
    let again = w.supers(&["stop", "web"]);
    assert_eq!((again.code, again.stdout.as_str()), (0, "web: not running\n"), "{again:?}");
    let started = w.supers_ok(&["start", "web"]);
    let second = process(&w, "web");
    assert_eq!(started, format!("web: started, pid {}\n", second.pid));
    let restarted = w.supers_ok(&["restart", "web"]);
    assert!(!second.lives());
    assert_eq!(restarted, format!("web: restarted, pid {}\n", w.status().pid("web")));
    let rows = json(&w.supers_ok(&["restart", "web", "--json"]));
    assert_eq!(
        (&rows[0]["name"], &rows[0]["outcome"], &rows[0]["changed"]),
        (&"web".into(), &"restarted".into(), &false.into())
    );
    assert!(main_log(&w).contains("restart web (asked by root through unix)"), "{}", main_log(&w));
}

#[test]
fn names_patterns_and_all() {
    let mut w = world();
    for name in ["web-1", "web-2", "db"] {
        unit(&w, name, "wait", "");
    }
    w.superd();
    w.until("all run", |s| s.0.iter().all(|p| p["state"] == "RUNNING"));
    w.supers_ok(&["stop", "web-*"]);
    let now = w.status();
    assert_eq!([now.state("web-1"), now.state("web-2"), now.state("db")], ["STOPPED", "STOPPED", "RUNNING"]);
    w.supers_ok(&["start", "all"]);
    assert!(w.status().0.iter().all(|p| p["state"] == "RUNNING"));
    for verb in ["start", "stop", "restart", "logs", "pid"] {
        assert_eq!(w.supers(&[verb, "nothing"]).code, 4, "{verb}");
    }
    assert_eq!(w.supers(&["signal", "HUP", "nothing"]).code, 4);
    assert_eq!(w.supers(&["stop", "db", "nothing"]).code, 4);
    assert_eq!(w.status().state("db"), "RUNNING", "an order with an unknown name does nothing");
}

#[test]
fn the_present_text_is_used_and_said() {
    let mut w = world();
    unit(&w, "web", "print old wait", "");
    w.superd();
    until_printed(&w, "web", "old");
    unit(&w, "web", "print new wait", "");
    let running = w.supers_ok(&["start", "web"]);
    let said = w.supers_ok(&["restart", "web"]);
    assert!(said.trim_end().ends_with("(with the present text of its file)"), "{said}");
    until_printed(&w, "web", "new");
    assert!(!running.contains("started"), "start of one that runs leaves it alone: {running}");

    w.supers_ok(&["stop", "web"]);
    unit(&w, "web", "print newer wait", "");
    let said = w.supers_ok(&["start", "web"]);
    assert!(said.trim_end().ends_with("(with the present text of its file)"), "{said}");
    until_printed(&w, "web", "newer");
    assert!(!w.supers_ok(&["restart", "web"]).contains("present text"), "it did not change again");
}

#[test]
fn a_restart_with_a_broken_file_is_refused_and_leaves_the_program_alone() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    w.write("units/superd.conf", "[supervisord]\nloglevel=info\n[program:main]\ncommand=/bin/sleep 1000\n");
    w.superd();
    let (web, main) = (process(&w, "web"), process(&w, "main"));
    w.unit("web", "[Service]\nExecStart=/bin/sleep \"1000\n");
    for args in [vec!["restart", "web"], vec!["restart", "web", "--no-wait"]] {
        let end = w.supers(&args);
        assert_eq!((end.code, end.stdout.as_str()), (1, ""), "{end:?}");
        let said = w.normal(&end.stderr);
        assert!(said.contains("web: cannot restart, pid "), "{said}");
        assert!(said.contains("refused: ROOT/units/web.service:2:"), "{said}");
        assert!(said.trim_end().ends_with(" check"), "{said}");
    }
    assert_eq!((w.status().pid("web"), web.lives()), (web.pid, true));

    // A broken main file refuses what it describes, and nothing else.
    unit(&w, "web", "print new wait", "");
    w.write("units/superd.conf", "[supervisord]\nloglevel=loud\n[program:main]\ncommand=/bin/sleep 1000\n");
    let end = w.supers(&["restart", "main"]);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("superd.conf:2:10: "), "{end:?}");
    assert!(main.lives());
    w.supers_ok(&["restart", "web"]);
    assert!(!web.lives());
}

#[test]
fn a_restart_without_a_file_says_so() {
    let mut w = world();
    let path = unit(&w, "web", "wait", "");
    w.write(
        "units/more.conf",
        "[program:one]\ncommand=/bin/sleep 1000\n[program:two]\ncommand=/bin/sleep 1000\n",
    );
    w.superd();
    let web = process(&w, "web");
    process(&w, "one");
    std::fs::remove_file(&path).unwrap();
    let said = w.supers_ok(&["restart", "web"]);
    let said = w.normal(&said);
    assert!(said.contains("its file ROOT/units/web.service is gone, the last text was used"), "{said}");
    assert!(!web.lives());
    w.supers_ok(&["stop", "web"]);
    assert!(w.supers_ok(&["start", "web"]).contains(" is gone, the last text was used"));
    w.write("units/more.conf", "[program:two]\ncommand=/bin/sleep 1000\n");
    let said = w.supers_ok(&["restart", "one"]);
    assert!(said.contains("more.conf no longer describes it, the last text was used"), "{said}");
}

#[test]
fn a_failed_start_shows_the_status_and_the_last_ten_lines() {
    let mut w = world();
    unit(&w, "fails", "spew-lines 15 exit 7", "");
    w.unit("absent", "[Service]\nExecStart=/no/such/thing\n");
    w.superd();
    w.until("both ended", |s| s.state("fails") == "EXITED" && s.state("absent") == "FATAL");
    let end = w.supers(&["start", "fails"]);
    assert_eq!(end.code, 1);
    let lines: Vec<&str> = end.stderr.lines().collect();
    assert!(lines[0].starts_with("fails: cannot start: exit status 7 after "), "{end:?}");
    let tail: Vec<String> = (6..=15).map(|n| format!("  | line {n}")).collect();
    assert_eq!(lines[1..11], tail, "{end:?}");
    assert!(lines[11].starts_with("  → supers ") && lines[11].ends_with(" logs fails"), "{end:?}");

    let end = w.supers(&["start", "absent"]);
    assert_eq!(end.code, 1);
    assert!(end.stderr.starts_with("absent: cannot start: can't find command '/no/such/thing'"), "{end:?}");
    let rows = json(&w.supers(&["start", "fails", "--json"]).stdout);
    assert_eq!((&rows[0]["outcome"], rows[0]["tail"].as_array().map(Vec::len)), (&"failed".into(), Some(10)));
}

#[test]
fn add_writes_a_unit_and_starts_it() {
    let mut w = world();
    w.superd();
    let a = w.actor().display().to_string();
    let dir = w.path("home").display().to_string();
    let args = [
        "add",
        "fresh",
        "--description",
        "made by hand",
        "--directory",
        &dir,
        "--",
        &a,
        "cwd",
        "args",
        "a b",
        "$HOME",
        "%n",
        "quo\"te",
    ];
    let end = w.supers(&args);
    until_state(&w, "fresh", "EXITED");
    assert_eq!(
        log(&w, "fresh"),
        format!("cwd {dir}\n[\"a b\", \"$HOME\", \"%n\", \"quo\\\"te\"]\n"),
        "{end:?}"
    );
    assert_eq!(w.status().get("fresh")["description"], "made by hand");

    let before = w.read("units/fresh.service");
    let taken = w.supers(&["add", "fresh", "--", &a, "wait"]);
    assert_eq!(taken.code, 1, "{taken:?}");
    assert!(taken.stderr.contains("exists already"), "{taken:?}");
    assert_eq!(w.read("units/fresh.service"), before);
    let said = w.supers_ok(&["add", "fresh.service", "--replace", "--", &a, "wait"]);
    assert!(said.starts_with("fresh: started, pid "), "{said}");
    process(&w, "fresh");
    let bad = w.supers(&["add", "no/name", "--", &a, "wait"]);
    assert_eq!(bad.code, 1, "{bad:?}");
    assert_eq!(w.supers(&["add", "nothing"]).code, 2, "no command");
    assert_eq!(w.status().0.len(), 1);
}

#[test]
fn reload_leaves_what_did_not_change_and_what_was_stopped() {
    let mut w = world();
    for name in ["same", "other", "stopped", "stopped-changed"] {
        unit(&w, name, "wait", "");
    }
    w.superd();
    w.until("all run", |s| s.0.iter().all(|p| p["state"] == "RUNNING"));
    w.supers_ok(&["stop", "stopped", "stopped-changed"]);
    let before = w.status();
    // Another order of lines and a comment are no change.
    let text = w.read("units/other.service");
    w.unit("other", &format!("# comment\n\n{text}"));
    unit(&w, "stopped-changed", "print changed wait", "");
    let plan = json(&w.supers_ok(&["reload", "--json"]));
    assert_eq!((&plan["unchanged"], &plan["applied"]), (&3.into(), &true.into()));
    assert_eq!(plan["changed"][0]["deed"], "stays stopped");
    assert_eq!(w.supers_ok(&["reload"]).lines().last(), Some("4 unchanged; nothing to do"));
    let now = w.status();
    for name in ["same", "other"] {
        assert_eq!((now.state(name), now.pid(name)), ("RUNNING", before.pid(name)));
    }
    assert_eq!((now.state("stopped"), now.state("stopped-changed")), ("STOPPED", "STOPPED"));
    assert_eq!(now.get("stopped")["want"], false);
    w.supers_ok(&["start", "stopped-changed"]);
    until_printed(&w, "stopped-changed", "changed");
}

#[test]
fn reload_of_a_broken_file_keeps_the_running_program() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    w.superd();
    let web = process(&w, "web");
    unit(&w, "web", "wait", "Restart=sometimes");
    let dry = w.supers(&["reload", "--dry-run"]);
    assert!(dry.stderr.contains("web.service:3:9: error:"), "{dry:?}");
    assert!(dry.stdout.contains("keeps running, its new description is broken"), "{dry:?}");
    w.supers(&["reload"]);
    assert_eq!((w.status().pid("web"), web.lives()), (web.pid, true));
    unit(&w, "web", "wait", "");
    assert!(w.supers_ok(&["reload"]).contains("1 unchanged; nothing to do"));
    assert_eq!(w.status().pid("web"), web.pid);
}

#[test]
fn logs_of_several_and_of_one() {
    let mut w = world();
    unit(&w, "a", "spew-lines 20 wait", "");
    unit(&w, "bee", "print only wait", "");
    w.superd();
    until_printed(&w, "a", "line 20");
    until_printed(&w, "bee", "only");
    let ten: String = (11..=20).map(|n| format!("line {n}\n")).collect();
    assert_eq!(w.supers_ok(&["logs", "a"]), ten, "ten lines unless said otherwise");
    assert_eq!(w.supers_ok(&["logs", "-n", "2", "a", "bee"]), "a   | line 19\na   | line 20\nbee | only\n");
    let piece = json(&w.supers_ok(&["logs", "-n", "1", "bee", "--json"]));
    assert_eq!(
        (&piece["name"], &piece["text"], &piece["offset"]),
        (&"bee".into(), &"only\n".into(), &0.into())
    );
}

#[test]
fn logs_f_goes_on() {
    let mut w = world();
    let gate = w.path("gate").display().to_string();
    unit(&w, "talk", &format!("print before wait-file {gate} print after wait"), "");
    w.superd();
    until_printed(&w, "talk", "before");
    let mut follow = w.supers_started(&["logs", "-f", "talk"]);
    follow.wait_line("before", w.deadline());
    w.write("gate", "");
    follow.wait_line("after", w.deadline());
    follow.signal(2);
    // Nothing was asked for that could go on, so Ctrl-C is the plain end.
    assert_eq!(follow.wait(w.deadline()), -2);
}

#[test]
fn signal_reaches_the_main_process_only() {
    let mut w = world();
    unit(&w, "web", "on HUP print hup on USR1 print usr1 fork-and-stay print up wait", "");
    unit(&w, "down", "exit 0", "");
    w.superd();
    until_printed(&w, "web", "up");
    until_state(&w, "down", "EXITED");
    assert_eq!(w.supers_ok(&["signal", "HUP", "web"]).split(',').next(), Some("web: SIGHUP sent"));
    until_printed(&w, "web", "hup");
    w.supers_ok(&["signal", "sigusr1", "web"]);
    until_printed(&w, "web", "usr1");
    let child = crate::common::child_of(&w, "web");
    assert!(child.lives(), "HUP would have ended the child");
    let end = w.supers(&["signal", "HUP", "down"]);
    assert_eq!(end.code, 3, "{end:?}");
    assert_eq!(w.supers(&["signal", "NOPE", "web"]).code, 2);
}

#[test]
fn pid_of_the_daemon_and_of_programs() {
    let mut w = two();
    let keeper = w.daemon().pid();
    assert_eq!(w.supers_ok(&["pid"]), format!("{keeper}\n"));
    assert_eq!(w.supers_ok(&["pid", "web"]), format!("{}\n", w.status().pid("web")));
    let down = w.supers(&["pid", "job"]);
    assert_eq!((down.code, down.stdout.as_str()), (3, ""), "{down:?}");
    assert_eq!(json(&w.supers_ok(&["pid", "--json"]))["pid"], keeper);
}

#[test]
fn check_needs_no_daemon_and_says_everything() {
    let w = world();
    unit(&w, "good", "wait", "");
    let good = w.supers(&["check"]);
    assert_eq!(good.code, 0, "{good:?}");
    assert!(good.stdout.contains("1 program, 0 errors, 0 warnings"), "{good:?}");
    let bad = unit(&w, "bad", "wait", "Restart=sometimes\nRestartSecs=5");
    let folder = w.supers(&["check"]);
    assert_eq!(folder.code, 1);
    assert!(folder.stdout.contains("bad.service:3:9: error: "), "{folder:?}");
    assert!(folder.stdout.contains("warning: unknown key `RestartSecs`"), "{folder:?}");
    assert!(folder.stdout.contains("hint: did you mean `RestartSec`?"), "{folder:?}");
    let file = w.supers(&["check", &bad.display().to_string(), "--json"]);
    let report = json(&file.stdout);
    assert_eq!(
        (file.code, &report["ok"], report["findings"].as_array().map(Vec::len)),
        (1, &false.into(), Some(2))
    );
    let place = (
        &report["findings"][0]["line"],
        &report["findings"][0]["column"],
        &report["findings"][0]["severity"],
    );
    assert_eq!(place, (&3.into(), &9.into(), &"error".into()));
    assert_eq!(w.supers(&["check", "/no/such/path"]).code, 2);
}

#[test]
fn shutdown_stops_everything_in_order() {
    let mut w = two();
    let web = process(&w, "web");
    assert_eq!(w.supers_ok(&["shutdown"]), "superd stops its programs and then itself\n");
    let deadline = w.deadline();
    assert_eq!(w.daemon().wait(deadline), 0);
    assert!(!web.lives());
    assert!(main_log(&w).trim_end().ends_with("all processes have ended"), "{}", main_log(&w));
}

#[test]
fn without_a_daemon_the_client_says_where_it_looked() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    for args in [&["status"][..], &["start", "web"], &["shutdown"], &["logs", "web"], &["pid"], &["version"]]
    {
        let end = w.supers(args);
        assert_eq!(end.code, 7, "{args:?}: {end:?}");
        assert!(end.stderr.contains("super.sock"), "{end:?}");
        assert!(
            end.stderr.contains("superd is not running") && end.stderr.contains("to start it: superd -d -c "),
            "{end:?}"
        );
    }
    w.superd();
    let deadline = w.deadline();
    w.daemon().stop(deadline);
    let end = w.supers(&["status"]);
    assert_eq!(end.code, 7, "{end:?}");
    let elsewhere = w.supers(&["-s", "unix:///no/such.sock", "status"]);
    assert_eq!(elsewhere.code, 7);
    assert!(elsewhere.stderr.contains("tried /no/such.sock: "), "{elsewhere:?}");
}

#[test]
fn usage_mistakes_are_2() {
    let w = world();
    for args in [
        &["strat"][..],
        &["start"],
        &["signal", "HUP"],
        &["logs", "x", "-n", "many"],
        &["--nope"],
        &["-s", "ftp://x", "status"],
    ] {
        let end = w.supers(args);
        assert_eq!(end.code, 2, "{args:?}: {end:?}");
        assert!(!end.stderr.is_empty() && end.stdout.is_empty(), "{end:?}");
    }
    assert_eq!(w.supers(&["--help"]).code, 0);
    assert!(w.supers_ok(&["--version"]).starts_with("supers "));
}

#[test]
fn version_names_the_daemon_and_its_configuration() {
    let mut w = two();
    let text = w.supers_ok(&["version"]);
    let version = env!("CARGO_PKG_VERSION");
    let (keeper, daemon) = (w.daemon().pid(), w.daemon().daemon_pid());
    assert!(text.starts_with(&format!("supers {version}\nsuperd {version}, pid {keeper}")), "{text}");
    assert!(text.contains(&format!("(the daemon itself: {daemon})")), "{text}");
    let why = format!("configuration: using the folder {}, named with -c\n", w.units().display());
    assert!(text.ends_with(&why), "{text}");
    let v = json(&w.supers_ok(&["version", "--json"]));
    assert_eq!(
        (&v["version"], &v["daemon"]["pid"], &v["daemon"]["starts"]),
        (&version.into(), &keeper.into(), &1.into())
    );
}

#[test]
fn completion_in_three_shells_with_live_names() {
    let w = two();
    for shell in ["bash", "zsh", "fish"] {
        assert!(w.supers_ok(&["completion", shell]).contains("supers __complete"), "{shell}");
    }
    let (units, root) = (w.units().display().to_string(), w.root().display().to_string());
    let words = ["__complete", "--", "-c", &units, "--root", &root, "start", "w"];
    let answer = w.run(bare(&w, Path::new(env!("CARGO_BIN_EXE_supers")), &words));
    assert_eq!((answer.code, answer.stdout.as_str()), (0, "web\n"), "{answer:?}");
    // bash itself: the script defines a function that fills COMPREPLY.
    let script = w.supers_ok(&["completion", "bash"]);
    let line = format!("supers -c {units} --root {root} stop j");
    let text = format!(
        "{script}\nPATH={}:$PATH COMP_LINE='{line}' COMP_POINT={}\n_supers; printf '%s\\n' \"${{COMPREPLY[@]}}\"",
        Path::new(env!("CARGO_BIN_EXE_supers")).parent().unwrap().display(),
        line.len()
    );
    let bash = w.run(bare(&w, &supers_testkit::need_tool("bash", "bash"), &["-c", &text]));
    assert_eq!((bash.code, bash.stdout.as_str()), (0, "job\n"), "{bash:?}");
}

#[test]
fn superd_ctl_is_supers() {
    let w = two();
    let mut command = w.command_superd(&[]);
    let args: Vec<_> = command.get_args().map(std::ffi::OsStr::to_os_string).collect();
    command = bare(&w, Path::new(env!("CARGO_BIN_EXE_superd")), &["ctl"]);
    command.args(args).arg("stop").arg("web");
    let pid = w.status().pid("web");
    let held = Process::open(pid).unwrap();
    let end = w.run(command);
    assert_eq!((end.code, end.stdout.as_str()), (0, "web: stopped\n"), "{end:?}");
    must_end(&w, &held);
}
