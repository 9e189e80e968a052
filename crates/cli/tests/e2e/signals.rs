//! Signals to *the* pid: what they do, with and without the keeper.

use crate::common::{log, main_log, must_end, process, unit, until_printed, until_state, world};
use std::fs;
use supers_testkit::Process;

const BOTH: [&[&str]; 2] = [&[], &["--no-keeper"]];

#[test]
fn term_int_and_quit_stop_everything() {
    for (number, name) in [(15, "SIGTERM"), (2, "SIGINT"), (3, "SIGQUIT")] {
        for args in BOTH {
            let mut w = world();
            unit(&w, "web", "on TERM exit 0 print up wait", "");
            let deadline = w.deadline();
            w.superd_with(args);
            until_printed(&w, "web", "up");
            let web = process(&w, "web");
            let daemon = Process::open(w.daemon().daemon_pid()).unwrap();
            w.daemon().signal(number);
            assert_eq!(w.daemon().wait(deadline), 0, "{name}");
            assert!(!web.lives() && !daemon.lives(), "{name}");
            let said = main_log(&w);
            assert!(said.contains(&format!("received {name} indicating exit request")), "{said}");
            assert!(said.contains("stopped: web (exit status 0)"), "{said}");
        }
    }
}

#[test]
fn hup_reloads() {
    for args in BOTH {
        let mut w = world();
        unit(&w, "stays", "wait", "");
        unit(&w, "goes", "wait", "");
        w.superd_with(args);
        let (stays, goes) = (process(&w, "stays"), process(&w, "goes"));
        unit(&w, "comes", "wait", "");
        fs::remove_file(w.path("units/goes.service")).unwrap();
        w.daemon().signal(1);
        let now = w.until("it is applied", |s| s.state("comes") == "RUNNING" && s.state("goes").is_empty());
        assert_eq!(now.pid("stays"), stays.pid, "{args:?}");
        must_end(&w, &goes);
    }
}

#[test]
fn usr2_opens_the_logs_again() {
    let mut w = world();
    unit(&w, "talk", "on USR1 print more print first wait", "");
    w.superd();
    until_printed(&w, "talk", "first");
    let dir = w.path("units/logs");
    fs::rename(dir.join("talk/talk.log"), dir.join("talk/moved.log")).unwrap();
    fs::rename(dir.join("superd.log"), dir.join("superd.moved")).unwrap();
    w.daemon().signal(12);
    w.until_fact("the daemon has a new log", || Some(()).filter(|()| dir.join("superd.log").exists()));
    w.supers_ok(&["signal", "USR1", "talk"]);
    until_printed(&w, "talk", "more");
    assert_eq!(w.read("units/logs/talk/moved.log"), "first\n");
    assert_eq!(log(&w, "talk"), "more\n");
    assert!(w.read("units/logs/superd.moved").contains("received SIGUSR2 indicating log reopen request"));
}

#[test]
fn a_second_term_and_a_hup_do_not_disturb_the_stop() {
    let mut w = world();
    let gate = w.path("gate").display().to_string();
    unit(&w, "slow", &format!("on TERM print asked print up wait-file {gate}"), "");
    unit(&w, "late", "wait", "Restart=always");
    let deadline = w.deadline();
    w.superd();
    until_printed(&w, "slow", "up");
    w.daemon().signal(15);
    until_printed(&w, "slow", "asked");
    unit(&w, "new", "wait", "");
    w.daemon().signal(15);
    w.daemon().signal(1);
    w.until_fact("the HUP was heard", || Some(()).filter(|()| main_log(&w).contains("ignored SIGHUP")));
    let refused = w.supers(&["start", "new"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("superd is shutting down"), "{refused:?}");
    let status = w.supers(&["status"]);
    assert!(status.stderr.contains("note: superd is shutting down"), "{status:?}");
    w.write("gate", "");
    assert_eq!(w.daemon().wait(deadline), 0);
    assert!(main_log(&w).contains("stopped: slow (exit status 0)"), "{}", main_log(&w));
}

#[test]
fn a_signal_without_a_meaning_changes_nothing() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    w.superd();
    let web = process(&w, "web");
    for number in [10, 28, 18] {
        w.daemon().signal(number);
    }
    // Answered after the signals were taken: they went the same way, and the pid is the same.
    w.supers_ok(&["restart", "web"]);
    assert!(!web.lives());
    until_state(&w, "web", "RUNNING");
}
