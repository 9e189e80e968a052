//! The end of the daemon is the end: whoever dies in the middle of it is not replaced by one that begins anew.

use crate::common::{unit, until_state, world};
use crate::crash::{crash, daemon_view, noted, until_another};
use std::process::Command;
use supers_testkit::World;

const TERM: i32 = 15;
const HUP: i32 = 1;

fn starts(w: &World) -> usize {
    w.read("pids-web").lines().count()
}

#[test]
fn a_death_when_all_is_over_starts_nothing_anew() {
    for place in ["over.begin", "over.said", "over.discarded"] {
        let mut w = world();
        unit(&w, "web", &noted(&w, "web", "wait"), "");
        let failpoint = w.path("failpoint");
        w.env("SUPERS_FAILPOINT_FILE", &failpoint.display().to_string());
        let deadline = w.deadline();
        w.superd();
        w.until_fact("it noted its pid", || (starts(&w) == 1).then_some(()));
        w.write("failpoint", place);
        assert_eq!(w.daemon().stop(deadline), 0, "{place}");
        assert!(!failpoint.exists(), "the daemon died at {place}");
        assert_eq!(starts(&w), 1, "{place}\n{}", w.logs());
        // Somebody who starts it again means it.
        w.superd();
        until_state(&w, "web", "RUNNING");
        w.until_fact("it runs again", || (starts(&w) == 2).then_some(()));
    }
}

/// Nobody is left who could go on with an end: what was written down of it is no reason to end again.
#[test]
fn an_end_that_nobody_finished_is_not_taken_over() {
    let mut w = world();
    unit(&w, "web", &noted(&w, "web", "wait"), "");
    w.env("SUPERS_FAILPOINT", "over.begin");
    let deadline = w.deadline();
    w.superd_with(&["--no-keeper"]);
    w.until_fact("it noted its pid", || (starts(&w) == 1).then_some(()));
    assert_ne!(w.daemon().stop(deadline), 0, "it dies at its failpoint");
    w.env("SUPERS_FAILPOINT", "none");
    w.superd();
    until_state(&w, "web", "RUNNING");
    w.until_fact("it runs again", || (starts(&w) == 2).then_some(()));
}

#[test]
fn a_stop_during_a_restart_is_the_end() {
    let mut w = world();
    let words = noted(&w, "web", "ignore TERM print up wait");
    let text = format!(
        "[supervisord]\nlogfile={{root}}/main.log\n[unix_http_server]\nfile={{root}}/s.sock\n\
         [program:web]\ncommand={} {words}\nstopwaitsecs=2\nstdout_logfile={{root}}/web.log\n",
        w.actor().display()
    );
    w.ini(&text);
    let deadline = w.deadline();
    w.superd_with(&["--as", "supervisord", "-n"]);
    w.until_fact("it is up", || w.read("web.log").contains("up").then_some(()));
    w.daemon().signal(HUP);
    w.until_fact("it restarts", || w.read("main.log").contains("SIGHUP").then_some(()));
    w.daemon().signal(TERM);
    assert_eq!(w.daemon().wait(deadline), 0);
    assert_eq!(starts(&w), 1, "{}", w.read("main.log"));
}

/// What is held needs more descriptors than a process mostly may have.
#[test]
fn a_crash_below_a_low_limit_of_files_is_survived() {
    let mut w = world();
    w.ini(
        "[supervisord]\nchildlogdir={root}\n[unix_http_server]\nfile={root}/s.sock\n[program:many]\ncommand=/bin/sleep 1000\nnumprocs=300\n\
         process_name=p%(process_num)d\nstartsecs=0\n",
    );
    let inner = w.command_superd(&[]);
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", "ulimit -Sn 512 && exec \"$0\" \"$@\""])
        .arg(inner.get_program())
        .args(inner.get_args());
    shell.env_clear().envs(inner.get_envs().filter_map(|(k, v)| Some((k, v?)))).current_dir(w.root());
    let deadline = w.deadline();
    w.adopt(shell).wait_line("superd ready", deadline);
    let all_run =
        |p: &supers_testkit::Programs| p.0.len() == 300 && p.0.iter().all(|r| r["state"] == "RUNNING");
    let before = w.until("all run", all_run);
    crash(&w);
    let view = daemon_view(&w).unwrap();
    let after = w.until("all run", all_run);
    let pids = |p: &supers_testkit::Programs| p.0.iter().map(|r| r["pid"].clone()).collect::<Vec<_>>();
    assert_eq!(pids(&after), pids(&before));
    w.supers_ok(&["upgrade"]);
    until_another(&w, view["daemon_pid"].as_i64().and_then(|p| i32::try_from(p).ok()).unwrap());
    assert_eq!(pids(&w.until("all run", all_run)), pids(&before));
}
