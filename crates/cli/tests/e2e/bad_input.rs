//! Bad input, one test an item: a clear message, and nothing else disturbed. In each world `good` runs
//! beside what is broken and must not notice.

use crate::common::{
    Unprivileged, bare, bins, log, must_end, process, start_superd, unit, until_counted, until_printed, world,
};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use supers_testkit::{Process, World};

/// A world with `good` in it.
fn with_good() -> World {
    let w = world();
    unit(&w, "good", "print fine wait", "");
    w
}

/// Starts the daemon; waits until `good` runs and `bad` is shown as FATAL; its reason.
fn refused(w: &mut World) -> String {
    w.superd();
    let now = w.until("the good one runs and the bad one is shown", |s| {
        s.state("good") == "RUNNING" && s.state("bad") == "FATAL"
    });
    w.normal(now.reason("bad"))
}

/// `good` is the same process as before whatever was done meanwhile.
fn undisturbed(w: &World, deed: impl FnOnce()) {
    let good = process(w, "good");
    deed();
    assert_eq!((w.status().pid("good"), good.lives()), (good.pid, true));
    assert_eq!(log(w, "good"), "fine\n");
}

#[test]
fn an_unknown_key_is_a_warning_with_a_suggestion() {
    let mut w = with_good();
    unit(&w, "bad", "wait", "Restrat=always");
    w.superd();
    w.until("both run", |s| s.state("good") == "RUNNING" && s.state("bad") == "RUNNING");
    let said = w.daemon().log();
    let said = w.normal(&said);
    let want = "ROOT/units/bad.service:3:1: warning: unknown key `Restrat` in [Service], ignored\n  hint: did you mean `Restart`?";
    assert!(said.contains(want), "{said}");
    let check = w.supers(&["check"]);
    assert_eq!(check.code, 0, "a warning is no error: {check:?}");
    assert!(check.stdout.contains("2 programs, 0 errors, 1 warning"), "{check:?}");
}

#[test]
fn a_bad_value_refuses_the_unit() {
    let mut w = with_good();
    unit(&w, "bad", "wait", "RestartSec=soon");
    let reason = refused(&mut w);
    assert!(reason.starts_with("refused: ROOT/units/bad.service:3:12: "), "{reason}");
    let hint = w.status().get("bad")["hint"].as_str().unwrap().to_string();
    assert_eq!(w.normal(&hint), "supers check ROOT/units/bad.service");
    undisturbed(&w, || {
        let start = w.supers(&["start", "bad"]);
        assert_eq!(start.code, 1, "{start:?}");
        assert!(start.stderr.contains("bad.service:3:12"), "{start:?}");
    });
}

#[test]
fn a_directive_that_is_not_built_yet_refuses_the_unit() {
    for (line, place) in [("Type=notify", "3:6"), ("Type=forking", "3:6"), ("ExecStartPre=/bin/true", "3:1")]
    {
        let mut w = with_good();
        unit(&w, "bad", "wait", line);
        let reason = refused(&mut w);
        assert!(
            reason.starts_with(&format!("refused: ROOT/units/bad.service:{}", &place[..1])),
            "{line}: {reason}"
        );
        assert_eq!(log(&w, "bad"), "", "{line}: it never ran");
    }
}

#[test]
fn a_missing_command() {
    let mut w = with_good();
    w.unit("bad", "[Service]\nExecStart=/no/such/command --flag\n");
    assert_eq!(refused(&mut w), "cannot start: can't find command '/no/such/command'");
    w.unit("none", "[Service]\nRestart=no\n");
    undisturbed(&w, || {
        let start = w.supers(&["start", "none"]);
        assert_eq!(start.code, 1, "{start:?}");
        assert!(start.stderr.contains("none.service") && start.stderr.contains("ExecStart"), "{start:?}");
    });
}

#[test]
fn an_unknown_user() {
    let mut w = with_good();
    unit(&w, "bad", "wait", "User=nobody-is-called-so");
    assert_eq!(refused(&mut w), "cannot start: user nobody-is-called-so does not exist");
    let said = w.daemon().log();
    let said = w.normal(&said);
    assert!(
        said.contains("ROOT/units/bad.service:3:6: warning: there is no user nobody-is-called-so"),
        "{said}"
    );
}

#[test]
fn a_missing_directory() {
    let mut w = with_good();
    let dir = w.path("later").display().to_string();
    unit(&w, "bad", "cwd wait", &format!("WorkingDirectory={dir}"));
    let reason = refused(&mut w);
    assert_eq!(reason, "cannot start: change directory to \"ROOT/later\": No such file or directory");
    undisturbed(&w, || {
        fs::create_dir(&dir).unwrap();
        assert!(w.supers_ok(&["start", "bad"]).starts_with("bad: started"));
        until_printed(&w, "bad", &format!("cwd {dir}"));
    });
}

#[test]
fn a_command_that_is_not_executable() {
    let mut w = with_good();
    let path = w.write("program", "#!/bin/true\n");
    w.unit("bad", &format!("[Service]\nExecStart={}\n", path.display()));
    assert_eq!(refused(&mut w), "cannot start: command at 'ROOT/program' is not executable");
    undisturbed(&w, || {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        w.supers(&["start", "bad"]);
        w.until("it ran", |s| s.get("bad")["exit"] == 0);
    });
}

#[test]
fn a_name_that_is_used_twice() {
    let mut w = with_good();
    let a = w.actor().display().to_string();
    w.write("units/more.conf", &format!("[program:good]\ncommand={a} print wrong wait\n"));
    let end = w.supers(&["check"]);
    assert_eq!(end.code, 1, "{end:?}");
    let said = w.normal(&end.stdout);
    assert!(said.contains("error: the name good is used twice: here and at ROOT/units/"), "{said}");
    w.superd();
    let now = w.until("one runs", |s| s.state("good") == "RUNNING");
    assert_eq!(now.0.len(), 1, "one of them, and only one");
}

#[test]
fn a_name_that_comes_a_second_time_leaves_what_runs_alone() {
    let mut w = with_good();
    let a = w.actor().display().to_string();
    let strays = w.path("strays").display().to_string();
    w.write("units/own.conf", &format!("[program:own]\ncommand={a} wait\n"));
    w.superd();
    let own = process(&w, "own");
    until_printed(&w, "good", "fine");
    undisturbed(&w, || {
        w.write("units/more.conf", &format!("[program:good]\ncommand={a} print wrong wait\n"));
        // Of one section in two files of a folder the keys would be merged.
        w.write("units/stray.conf", &format!("[program:own]\ncommand={a} count-to-file {strays} wait\n"));
        unit(&w, "new", "wait", "");
        let end = w.supers(&["reload"]);
        let (said, text) = (w.normal(&end.stderr), w.normal(&end.stdout));
        let want = "ROOT/units/more.conf:1: error: the name good is used twice: here and at ROOT/units/good.service:1;";
        assert!(said.contains(want), "{said}");
        assert!(said.contains("stray.conf:1:1: warning: [program:own] is described twice"), "{said}");
        assert!(text.contains("keeps running, several files describe it now"), "{text}");
        assert!(!text.contains("good"), "{text}");
        assert_eq!(w.until("the new one runs", |s| s.state("new") == "RUNNING").pid("own"), own.pid);
    });
    assert_eq!(w.read("strays"), "");
    // The own text of the one that counts is still followed.
    unit(&w, "good", "print better wait", "");
    w.supers_ok(&["reload"]);
    until_printed(&w, "good", "better");
    // By hand the merged text is taken.
    w.supers_ok(&["restart", "own"]);
    until_counted(&w, "strays", 1);
}

#[test]
fn a_dependency_cycle_is_printed_as_a_path() {
    let mut w = with_good();
    unit(&w, "bad", "wait", "[Unit]\nAfter=b.service");
    unit(&w, "b", "wait", "[Unit]\nAfter=c.service");
    unit(&w, "c", "wait", "[Unit]\nAfter=bad.service");
    unit(&w, "follower", "wait", "[Unit]\nAfter=bad.service");
    let reason = refused(&mut w);
    assert!(reason.contains("dependency cycle: b -> c -> bad -> b"), "{reason}");
    let now = w.until("all is decided", |s| s.state("follower") == "RUNNING");
    assert_eq!((now.state("b"), now.state("c")), ("FATAL", "FATAL"));
    let check = w.supers(&["check"]);
    assert_eq!(check.stdout.matches("dependency cycle").count(), 1, "said once: {check:?}");
}

#[test]
fn a_file_that_cannot_be_read() {
    let mut u = Unprivileged::new();
    u.unit("good", "print fine wait");
    let path = u.unit("bad", "wait");
    fs::set_permissions(&path, fs::Permissions::from_mode(0o000)).unwrap();
    u.superd();
    let w = &u.w;
    let now = w.until("the good one runs", |s| s.state("good") == "RUNNING" && s.state("bad") == "FATAL");
    let reason = w.normal(now.reason("bad"));
    assert_eq!(reason, "refused: ROOT/units/bad.service: the file cannot be read: Permission denied");
    undisturbed(w, || {
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        assert!(w.supers_ok(&["start", "bad"]).starts_with("bad: started"));
    });
}

#[test]
fn a_broken_file_beside_good_ones() {
    let mut w = with_good();
    w.write("units/bad.service", "\u{0}\u{1}not a unit at all");
    w.write("units/half.conf", "[program:half]\ncommand=/bin/true\nthis is no line\n");
    w.write("units/headless.conf", "command=/bin/true\n");
    let reason = refused(&mut w);
    assert!(reason.starts_with("refused: ROOT/units/bad.service:"), "{reason}");
    let now = w.status();
    for name in ["half", "headless"] {
        assert_eq!(now.state(name), "FATAL", "{name} is shown");
        assert!(now.reason(name).contains(&format!("{name}.conf:")), "{}", now.reason(name));
    }
    undisturbed(&w, || {
        unit(&w, "bad", "wait", "");
        for name in ["half", "headless"] {
            fs::remove_file(w.path(format!("units/{name}.conf"))).unwrap();
        }
        w.supers_ok(&["reload"]);
        let now = w.until("mended", |s| s.state("bad") == "RUNNING");
        assert_eq!(now.0.len(), 2);
    });
}

#[test]
fn a_broken_main_file_is_refused_and_a_reload_of_it_changes_nothing() {
    let mut w = with_good();
    w.write("units/superd.conf", "[supervisord]\nloglevel=info\n");
    w.superd();
    undisturbed(&w, || {
        w.write("units/superd.conf", "[supervisord]\nloglevel=loud\n");
        unit(&w, "new", "wait", "");
        let end = w.supers(&["reload"]);
        assert_eq!(end.code, 1, "{end:?}");
        assert!(end.stderr.contains("superd.conf:2:10: error:"), "{end:?}");
        assert_eq!(w.status().0.len(), 1, "nothing was applied");
    });
}

#[test]
fn an_empty_folder() {
    let mut w = world();
    w.superd();
    let said = w.daemon().log();
    let said = w.normal(&said);
    assert!(said.contains("ROOT/units: warning: the folder holds no .service and no .conf file"), "{said}");
    let status = w.supers(&["status"]);
    assert_eq!(status.code, 0);
    assert!(status.stdout.starts_with("no programs yet; to add one: supers -c "), "{status:?}");
    assert_eq!(w.supers_ok(&["status", "--json"]).trim(), "[]");
    let a = w.actor().display().to_string();
    w.supers_ok(&["add", "first", "--", &a, "wait"]);
    assert_eq!(w.status().state("first"), "RUNNING");
}

#[test]
fn a_socket_path_that_is_too_long() {
    let mut w = world();
    let long = "x".repeat(120);
    w.ini(&format!("[unix_http_server]\nfile=/tmp/{long}\n[program:x]\ncommand={{actor}} wait\n"));
    let end = w.superd_ends(&[]);
    assert_eq!(end.code, 2, "{end:?}");
    assert!(end.stderr.contains("supervisord.conf:2:6: error:"), "{end:?}");
    assert!(end.stderr.contains("is 125 bytes long; the system allows 107"), "{end:?}");

    // The default socket in a folder that lies too deep.
    let deep = w.path(&long).display().to_string();
    fs::create_dir(&deep).unwrap();
    let mut w2 = with_good();
    let end = w2.superd_ends(&["--root", &deep]);
    assert_ne!(end.code, 0, "{end:?}");
    assert!(end.stderr.contains("super.sock") && end.stderr.contains("107"), "{end:?}");
}

#[test]
fn a_second_daemon_on_the_same_folder() {
    let mut w = with_good();
    w.superd();
    let pid = w.daemon().pid();
    until_printed(&w, "good", "fine");
    let good = process(&w, "good");
    let end = w.superd_ends(&[]);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains(&format!("another superd (pid {pid})")), "{end:?}");
    // The commands as they must be typed: they work.
    let said = w.normal(&end.stderr);
    assert!(said.contains("hint: `supers -c ROOT/units --root ROOT"), "{said}");
    let hint = end.stderr.split('`').nth(1).unwrap();
    let words: Vec<&str> = hint.split(' ').skip(1).collect();
    let shown = w.run(bare(&w, &bins().supers, &words));
    assert!(shown.stdout.contains(&good.pid.to_string()), "{shown:?}");
    assert_eq!((w.status().pid("good"), good.lives()), (good.pid, true));
    assert_eq!(log(&w, "good"), "fine\n", "it was not started a second time");
}

#[test]
fn a_daemon_of_another_user_on_the_same_folder() {
    let mut u = Unprivileged::new();
    u.unit("good", "print fine wait");
    let command = u.command_at_home();
    let pid = start_superd(&mut u.w, command).pid();
    until_printed(&u.w, "good", "fine");
    let w = &mut u.w;
    // The client does not say that there is none, and what it says to type works.
    let end = w.supers(&["status"]);
    assert_eq!(end.code, 7, "{end:?}");
    assert!(!end.stderr.contains("to start it"), "{end:?}");
    let line = end
        .stderr
        .lines()
        .find(|l| l.contains(&format!("user nobody runs it as pid {pid}: supers -s ")))
        .unwrap();
    let words: Vec<&str> = line.split_once(": supers ").unwrap().1.split(' ').collect();
    let shown = w.supers(&words);
    assert!(shown.code == 0 && shown.stdout.contains("RUNNING"), "{shown:?}");
    // A second daemon says what it is going to do.
    let command = w.command_superd(&[]);
    let said = start_superd(w, command).log();
    assert!(said.contains(&format!("user nobody runs this configuration too (superd, pid {pid})")), "{said}");
    w.supers_ok(&["shutdown"]);
    // It makes a folder that is missing again, as long as it lives.
    let keeper = Process::open(pid).unwrap();
    w.supers_ok(&["-s", words[1], "shutdown"]);
    must_end(w, &keeper);
    let runtime = Path::new(words[1].strip_prefix("unix://").unwrap()).parent().unwrap();
    fs::remove_dir_all(runtime).unwrap();
}

#[test]
fn a_runtime_folder_that_is_deleted_while_running() {
    let mut w = with_good();
    unit(&w, "talk", "on USR1 print more print first wait", "");
    w.superd();
    until_printed(&w, "talk", "first");
    let (good, talk) = (process(&w, "good"), process(&w, "talk"));
    fs::remove_dir_all(w.runtime_base()).unwrap();
    // Nobody can be asked now, so the program's own output shows that it goes on.
    assert!(talk.signal(10));
    until_printed(&w, "talk", "more");
    assert!(good.lives() && talk.lives());
    let back =
        w.until_fact("the socket is there again", || Some(w.supers(&["status"])).filter(|e| e.code == 0));
    assert!(back.stderr.contains("note: ") && back.stderr.contains("runtime folder"), "{back:?}");
    assert_eq!((w.status().pid("good"), w.status().pid("talk")), (good.pid, talk.pid));
    // New runs get their pipes too.
    w.supers_ok(&["restart", "good"]);
    w.until_fact("it printed again", || Some(()).filter(|()| log(&w, "good") == "fine\nfine\n"));
    // And the next daemon is still refused; also when another one has taken over, twice.
    assert_eq!(w.superd_ends(&[]).code, 1);
    for _ in 0..2 {
        w.supers_ok(&["upgrade"]);
        let end = w.superd_ends(&[]);
        assert!(end.code == 1 && end.stderr.contains("another superd"), "{end:?}");
    }
}

#[test]
fn a_full_disk_under_a_log() {
    supers_testkit::need_root();
    let mut w = with_good();
    let gate = w.path("gate").display().to_string();
    unit(&w, "bad", &format!("print begun wait-file {gate} spew 256KiB print done wait"), "");
    // A file system of its own that is nearly full, seen by this daemon only.
    let small = w.path("small");
    fs::create_dir(&small).unwrap();
    let script = format!(
        "mount -t tmpfs -o size=64k tmpfs {0} && head -c 40000 /dev/zero > {0}/filler && exec \"$@\"",
        small.display()
    );
    let text = w.read("units/bad.service") + &format!("StandardOutput=append:{}/bad.log\n", small.display());
    w.unit("bad", &text);
    let inner = w.command_superd(&[]);
    let command = crate::common::wrapped(&["unshare", "--mount", "sh", "-c", &script, "sh"], &inner);
    let pid = crate::common::start_superd(&mut w, command).pid();
    let bad: Process = process(&w, "bad");
    undisturbed(&w, || {
        w.write("gate", "");
        w.until_fact("the full disk is said", || {
            Some(()).filter(|()| w.supers(&["status"]).stderr.contains("small/bad.log: "))
        });
        assert!(bad.lives());
        // Nothing was thrown away: with room again, all of it arrives.
        let inside = format!("/proc/{pid}/root{}", small.display());
        let remount = ["mount", "-o", "remount,size=1m", &small.display().to_string()].map(String::from);
        let mut command = std::process::Command::new("nsenter");
        command.arg(format!("--mount=/proc/{pid}/ns/mnt")).args(remount);
        assert_eq!(w.run(command).code, 0);
        let whole = w.until_fact("all is written", || {
            let text = fs::read_to_string(format!("{inside}/bad.log")).ok()?;
            Some(text).filter(|t| t.ends_with("done\n"))
        });
        let lines: Vec<&str> = whole.lines().collect();
        assert_eq!((lines[0], lines.len()), ("begun", 2 + 256 * 1024 / 128));
        let in_order =
            lines[1..lines.len() - 1].iter().enumerate().all(|(n, l)| l.starts_with(&format!("{n:012}")));
        assert!(in_order, "every line, in order");
        w.until_fact("the note is gone", || {
            Some(()).filter(|()| w.supers(&["status"]).stderr.find("small/bad.log").is_none())
        });
    });
}
