//! Reading the file again (supervisor-contract 7).

use super::{fresh, said, until_text, world};
use supers_testkit::{Programs, World};

fn three(world: &mut World, b: &str) {
    world.ini(&format!(
        "; a comment\n[program:a]\ncommand={{actor}} wait\nstartsecs=0\n\
         [program:b]\ncommand={{actor}} print {b} wait\nstartsecs=0\nstdout_logfile={{root}}/b.log\n\
         [program:c]\ncommand={{actor}} wait\nstartsecs=0\n"
    ));
}

fn all_run(s: &Programs) -> bool {
    s.0.len() == 3 && s.0.iter().all(|p| p["state"] == "RUNNING")
}

#[test]
fn only_what_changed_is_touched() {
    let mut world = fresh();
    three(&mut world, "one");
    world.superd();
    let before = world.until("three run", all_run);
    // Order, comments and what stands for the same value are no change.
    world.ini(
        "[program:d]\ncommand={actor} wait\nstartsecs=0\n\
         [program:b]\ncommand={actor} print two wait\nstartsecs=0\nstdout_logfile={root}/b.log\n\
         [program:a]\nstartsecs = 0 ; now\ncommand: {actor} wait\n",
    );
    let plan = world.supers_ok(&["reload", "--dry-run"]);
    assert_eq!(world.status().pids(), before.pids(), "a dry run");
    let row = |word: &str, name: &str, pid: i32| {
        let found = plan.lines().find(|l| {
            let words: Vec<&str> = l.split_whitespace().collect();
            words.first() == Some(&word) && words.get(1) == Some(&name)
        });
        let line = found.unwrap_or_else(|| panic!("no {word} {name} in {plan}"));
        assert_eq!(line.contains(&format!("pid {pid} ")), pid > 0, "{line}");
    };
    row("added", "d", 0);
    row("changed", "b", before.pid("b"));
    row("removed", "c", before.pid("c"));
    assert!(plan.contains("1 unchanged"), "{plan}");

    world.supers_ok(&["reload"]);
    let s = world.until("it is done", |s| {
        all_run(s) && s.pid("d") > 0 && s.pid("c") == 0 && s.pid("b") != before.pid("b")
    });
    assert_eq!(s.pid("a"), before.pid("a"));
    until_text(&world, "b.log", "two\n");
    said(&world, "WARN stopped: c (terminated by SIGTERM)");
    let again = world.supers_ok(&["reload"]);
    assert!(again.contains("3 unchanged; nothing to do"), "{again}");
    assert_eq!(world.status().pids(), s.pids());
}

#[test]
fn more_and_fewer_processes_of_one_program() {
    let mut world = fresh();
    let text = |n: u32| {
        format!(
            "[program:w]\ncommand={{actor}} wait\nstartsecs=0\nnumprocs={n}\nprocess_name=w%(process_num)d\n\
             [group:g]\nprograms=w\n"
        )
    };
    world.ini(&text(2));
    world.superd();
    let before = world.until("two run", |s| s.pids().len() == 2);
    world.ini(&text(3));
    world.supers_ok(&["reload"]);
    let s = world.until("three run", |s| s.pids().len() == 3);
    assert_eq!((s.pid("g:w0"), s.pid("g:w1")), (before.pid("g:w0"), before.pid("g:w1")));
    world.ini(&text(1));
    world.supers_ok(&["reload"]);
    let s = world.until("one is left", |s| s.0.len() == 1);
    assert_eq!(s.pid("g:w0"), before.pid("g:w0"));
}

#[test]
fn hup_does_the_same() {
    let mut world = fresh();
    three(&mut world, "one");
    world.superd();
    let before = world.until("three run", all_run);
    three(&mut world, "two");
    world.daemon().signal(1);
    until_text(&world, "b.log", "two\n");
    let s = world.until("three run again", all_run);
    assert_eq!((s.pid("a"), s.pid("c")), (before.pid("a"), before.pid("c")));
    assert_ne!(s.pid("b"), before.pid("b"));
    let log = world.read("supervisord.log");
    assert!(log.contains("WARN received SIGHUP indicating re"), "{log}");
    said(&world, "WARN stopped: b (terminated by SIGTERM)");
}

#[test]
fn the_environment_of_the_main_section_changes_every_program() {
    let mut world = fresh();
    three(&mut world, "one");
    world.superd();
    let before = world.until("three run", all_run);
    let text = world.read("supervisord.conf");
    world.ini(&format!("[supervisord]\nenvironment=NEW=1\n{text}"));
    world.supers_ok(&["reload"]);
    world.until("all are new", |s| {
        all_run(s) && ["a", "b", "c"].iter().all(|name| s.pid(name) != before.pid(name))
    });
}

#[test]
fn a_broken_file_changes_nothing() {
    let mut world = fresh();
    three(&mut world, "one");
    world.superd();
    let before = world.until("three run", all_run);
    world.ini("[supervisord]\nlogfile_maxbytes=lots\n[program:a]\ncommand={actor} wait\n");
    let end = world.supers(&["reload"]);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("supervisord.conf:2"), "{end:?}");
    world.daemon().signal(1);
    world.until_fact("both were refused", || {
        let log = world.read("supervisord.log");
        (log.matches("reload refused, nothing was changed").count() == 2).then_some(())
    });
    assert_eq!(world.status().pids(), before.pids());
    // One program alone is broken: it keeps running as it is.
    three(&mut world, "one");
    let text = world.read("supervisord.conf").replacen("startsecs=0", "startsecs=x", 1);
    world.ini(&text);
    let end = world.supers(&["reload"]);
    assert!(end.stdout.contains("keeps running, its new description is broken"), "{end:?}");
    assert_eq!(world.status().pids(), before.pids());
}

#[test]
fn start_and_restart_take_the_present_text() {
    let mut world = world("[program:a]\ncommand={actor} wait\nstartsecs=0\n");
    let before = world.until("a runs", |s| s.state("a") == "RUNNING");
    world.ini(
        "[program:a]\ncommand={actor} print new wait\nstartsecs=0\nstdout_logfile={root}/a.log\n\
         [program:b]\ncommand={actor} wait\nstartsecs=0\n",
    );
    world.supers_ok(&["start", "b"]);
    let s = world.status();
    assert_eq!((s.state("b"), s.pid("a")), ("RUNNING", before.pid("a")));
    let text = world.supers_ok(&["restart", "a"]);
    assert!(text.contains("with the present text of its file"), "{text}");
    until_text(&world, "a.log", "new\n");
}
