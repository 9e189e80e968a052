//! What is under way when the daemon is killed, or daemon and keeper both: commands of a unit, orders, a
//! shutdown, changes of the configuration.

use crate::common::{log, main_log, process, start_superd, unit, until_printed, until_state, world};
use crate::crash::{
    STOP, TERM, USR1, crash, daemon_process, essence, essences, kill_both, living, noted, under_reaper,
    until_another, while_it_is_away,
};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::time::Duration;
use supers_testkit::{Process, World};

fn actor(w: &World) -> String {
    w.actor().display().to_string()
}

fn place(w: &World, below: &str) -> String {
    w.path(below).display().to_string()
}

#[test]
fn a_oneshot_goes_on_with_its_second_command() {
    let mut w = world();
    let (a, gate) = (actor(&w), place(&w, "gate"));
    w.unit(
        "steps",
        &format!(
            "[Service]\nType=oneshot\nExecStart={a} print one\nExecStart={a} print two wait-file {gate}\n\
             ExecStart={a} print three\n"
        ),
    );
    w.superd();
    until_printed(&w, "steps", "two");
    let before = w.status();
    crash(&w);
    assert_eq!(essences(&w.status()), essences(&before));
    w.write("gate", "");
    let end = w.until("all is done", |s| s.state("steps") == "EXITED");
    assert_eq!(log(&w, "steps"), "one\ntwo\nthree\n");
    assert_eq!(end.get("steps")["exit"], 0);
}

#[test]
fn a_oneshot_whose_command_ended_meanwhile_goes_on_with_the_next() {
    let mut w = world();
    let (a, gate) = (actor(&w), place(&w, "gate"));
    let text = format!(
        "[Service]\nType=oneshot\nExecStart={a} print one wait-file {gate}\nExecStart={a} print two\n\
         ExecStart={a} print three exit 3\n"
    );
    w.unit("steps", &text);
    w.superd();
    until_printed(&w, "steps", "one");
    let pid = w.status().pid("steps");
    let first = Process::open(pid).unwrap();
    while_it_is_away(&mut w, |w| {
        w.write("gate", "");
        assert!(first.wait(w.deadline().left()));
    });
    let end = w.until("all is done", |s| ["EXITED", "FATAL"].contains(&s.state("steps")));
    assert_eq!(log(&w, "steps"), "one\ntwo\nthree\n");
    assert_eq!(end.get("steps")["exit"], 3);
}

#[test]
fn a_oneshot_that_ended_in_time_is_not_timed_out_though_nobody_heard_of_it() {
    let mut w = world();
    let gate = place(&w, "gate");
    let words = format!("print up wait-file {gate} print done");
    unit(&w, "job", &words, "Type=oneshot\nTimeoutStartSec=2s");
    unit(&w, "late", "print up wait", "Type=oneshot\nTimeoutStartSec=2s");
    unit(&w, "other", "print up wait", "");
    w.superd();
    ["job", "late", "other"].iter().for_each(|name| drop(until_printed(&w, name, "up")));
    let job = Process::open(w.status().pid("job")).unwrap();
    let other = process(&w, "other");
    while_it_is_away(&mut w, |w| {
        w.write("gate", "");
        assert!(job.wait(w.deadline().left()));
        assert!(!other.wait(Duration::from_millis(2100)), "the other one waits for ever");
    });
    let now = w.until("both have ended", |s| s.pid("job") == 0 && s.pid("late") == 0);
    assert_eq!((now.state("job"), now.get("job")["exit"].as_i64()), ("EXITED", Some(0)), "{}", w.logs());
    assert_eq!(now.state("late"), "FATAL");
    assert_eq!(log(&w, "job"), "up\ndone\n");
}

#[test]
fn a_stop_command_is_waited_for() {
    let mut w = world();
    let (a, gate) = (actor(&w), place(&w, "gate"));
    let more = format!("ExecStop={a} print waiting wait-file {gate}\nExecStop={a} print last");
    unit(&w, "slow", "on TERM exit 9 print up wait", &more);
    w.superd();
    until_printed(&w, "slow", "up");
    let slow = process(&w, "slow");
    w.supers_ok(&["stop", "slow", "--no-wait"]);
    until_printed(&w, "slow", "waiting");
    crash(&w);
    assert_eq!((w.status().state("slow"), slow.lives()), ("STOPPING", true));
    w.write("gate", "");
    let end = w.until("it is down", |s| s.state("slow") == "STOPPED");
    assert_eq!(end.get("slow")["exit"], 9);
    assert_eq!(log(&w, "slow"), "up\nwaiting\nlast\n");
}

#[test]
fn a_reload_command_is_waited_for() {
    let mut w = world();
    let (a, gate) = (actor(&w), place(&w, "gate"));
    let more = format!("ExecReload={a} print reading wait-file {gate}\nExecReload={a} print read");
    unit(&w, "server", "print up wait", &more);
    w.superd();
    until_printed(&w, "server", "up");
    let server = process(&w, "server");
    let asked = w.supers_started(&["reload", "server"]);
    until_printed(&w, "server", "reading");
    crash(&w);
    drop(asked);
    w.write("gate", "");
    until_printed(&w, "server", "read");
    assert_eq!(w.status().pid("server"), server.pid);
    assert_eq!(log(&w, "server"), "up\nreading\nread\n");
    // Nothing of it is left over: the next one is carried out.
    assert_eq!(w.supers_ok(&["reload", "server"]), "server: reloaded\n");
    assert_eq!(log(&w, "server"), "up\nreading\nread\nreading\nread\n");
}

#[test]
fn who_waits_for_another_goes_on_waiting() {
    let mut w = world();
    let (gate, order) = (place(&w, "gate"), place(&w, "order"));
    unit(&w, "a", &format!("print up wait-file {gate} append {order} a"), "Type=oneshot");
    unit(&w, "b", &format!("append {order} b wait"), "[Unit]\nAfter=a.service\nRequires=a.service");
    unit(&w, "c", &format!("append {order} c wait"), "[Unit]\nAfter=b.service");
    unit(&w, "bad", &format!("wait-file {gate} exit 1"), "Type=oneshot");
    unit(&w, "needs", "wait", "[Unit]\nAfter=bad.service\nRequires=bad.service");
    w.superd();
    until_printed(&w, "a", "up");
    let before = w.until("both begin", |s| s.pid("a") != 0 && s.pid("bad") != 0);
    assert_eq!((before.reason("b"), before.reason("c")), ("waiting for a", "waiting for b"));
    for _ in 0..2 {
        crash(&w);
        let after = w.status();
        assert_eq!(essences(&after), essences(&before));
        assert_eq!((after.reason("b"), after.reason("c")), ("waiting for a", "waiting for b"));
    }
    w.write("gate", "");
    until_state(&w, "c", "RUNNING");
    w.until_fact("c notes its name", || Some(w.read("order")).filter(|o| o.contains('c')));
    assert_eq!(w.read("order"), "a\nb\nc\n");
    let end = w.until("who needs bad is given up", |s| s.state("needs") == "FATAL");
    assert_eq!(end.reason("needs"), "bad, which it requires, did not start");
}

#[test]
fn a_change_of_the_files_stays_unapplied_until_a_reload() {
    let mut w = world();
    for name in ["same", "edited", "removed"] {
        unit(&w, name, &noted(&w, name, "print one wait"), "Restart=always\nRestartSec=50ms");
    }
    w.superd();
    let names = ["same", "edited", "removed"];
    w.until("all run", |s| names.iter().all(|n| s.state(n) == "RUNNING"));
    let before = w.status();
    unit(&w, "edited", &noted(&w, "edited", "print two wait"), "Restart=always\nRestartSec=50ms");
    fs::remove_file(w.path("units/removed.service")).unwrap();
    unit(&w, "added", "wait", "");
    crash(&w);
    assert_eq!(essences(&w.status()), essences(&before));
    // It restarts with the text that it was started with.
    assert!(process(&w, "edited").kill());
    let pid = before.pid("edited");
    w.until("it restarts", |s| s.state("edited") == "RUNNING" && s.pid("edited") != pid);
    w.until_fact("by the old text", || (log(&w, "edited") == "one\none\n").then_some(()));
    crash(&w);
    let plan = w.supers_ok(&["reload"]);
    for name in ["edited", "removed", "added"] {
        assert!(plan.contains(name), "{plan}");
    }
    assert!(!plan.contains("same"), "{plan}");
    let after = w.until("all is applied", |s| {
        s.state("added") == "RUNNING" && s.get("removed").is_null() && s.state("edited") == "RUNNING"
    });
    until_printed(&w, "edited", "two");
    assert_eq!(essence(&after, "same"), essence(&before, "same"));
    assert_eq!(living(&w, "pids-removed"), BTreeSet::new());
}

#[test]
fn a_broken_file_does_not_matter_until_it_is_read() {
    let mut w = world();
    let text = "[supervisord]\n[program:web]\ncommand={actor} wait\nstartsecs=0\n[program:b]\ncommand={actor} wait\n";
    w.ini(text);
    w.superd();
    until_state(&w, "b", "RUNNING");
    let before = w.status();
    w.ini("[program:web\ncommand==\n\u{0}what is this");
    crash(&w);
    assert_eq!(essences(&w.status()), essences(&before));
    let end = w.supers(&["reload"]);
    assert_ne!(end.code, 0, "{end:?}");
    assert_eq!(essences(&w.status()), essences(&before));
    // The file is gone altogether.
    let daemon = daemon_process(&w);
    fs::remove_file(w.path("supervisord.conf")).unwrap();
    assert!(daemon.kill());
    w.ini(&text.replace("program:b", "program:c"));
    until_another(&w, daemon.pid);
    assert_eq!(essences(&w.status()), essences(&before));
    w.supers_ok(&["reload"]);
    let after = w.until("it is applied", |s| !s.state("c").is_empty() && s.get("b").is_null());
    assert_eq!(essence(&after, "web"), essence(&before, "web"));
}

#[test]
fn a_daemon_that_cannot_start_leaves_everything_running_and_is_tried_again() {
    let mut w = world();
    w.ini("[supervisord]\n[program:web]\ncommand={actor} wait\nstartsecs=0\n");
    w.superd();
    let before = w.until("it runs", |s| s.state("web") == "RUNNING");
    let (daemon, web) = (daemon_process(&w), process(&w, "web"));
    let text = w.read("supervisord.conf");
    let deadline = w.deadline();
    // Without the file nobody can tell which configuration it was.
    fs::remove_file(w.path("supervisord.conf")).unwrap();
    assert!(daemon.kill());
    w.daemon().wait_line("cannot run: it ended 5 times in a row", deadline);
    assert!(web.lives());
    w.write("supervisord.conf", &text);
    until_another(&w, daemon.pid);
    assert_eq!(essences(&w.status()), essences(&before));
    // The same for trouble that comes later.
    let daemon = daemon_process(&w);
    let log = w.path("supervisord.log");
    fs::remove_file(&log).unwrap();
    fs::create_dir(&log).unwrap();
    assert!(daemon.kill());
    w.until_fact("it says why", || w.logs().contains("cannot open the log").then_some(()));
    assert!(web.lives());
    fs::remove_dir(&log).unwrap();
    until_another(&w, daemon.pid);
    assert_eq!(essences(&w.status()), essences(&before));
    assert_eq!(w.daemon().stop(deadline), 0);
    assert!(!web.lives());
}

#[test]
fn a_shutdown_under_way_goes_on_in_its_order() {
    let mut w = world();
    let order = place(&w, "order");
    let (a, gate) = (actor(&w), place(&w, "gate"));
    let stop = |name: &str| format!("ExecStop={a} append {order} {name}\nTimeoutStopSec=2s");
    unit(&w, "db", "print up wait", &stop("db"));
    let slow = format!("ExecStop={a} append {order} web wait-file {gate}\n[Unit]\nAfter=db.service");
    unit(&w, "web", "print up wait", &slow);
    unit(&w, "deaf", "ignore TERM print up wait", "TimeoutStopSec=2s\n[Unit]\nBefore=db.service");
    w.superd();
    ["db", "web", "deaf"].iter().for_each(|n| drop(until_printed(&w, n, "up")));
    let (db, deaf) = (process(&w, "db"), process(&w, "deaf"));
    w.daemon().signal(TERM);
    w.until("web is being stopped", |s| s.state("web") == "STOPPING" && w.read("order") == "web\n");
    crash(&w);
    let now = w.status();
    assert_eq!((now.state("web"), now.state("db")), ("STOPPING", "RUNNING"), "db comes after web");
    let refused = w.supers(&["start", "db"]);
    assert_ne!(refused.code, 0, "it is shutting down: {refused:?}");
    w.write("gate", "");
    let deadline = w.deadline();
    assert_eq!(w.daemon().wait(deadline), 0);
    assert!(!db.lives() && !deaf.lives());
    assert_eq!(w.read("order"), "web\ndb\n");
    assert!(main_log(&w).contains("killing 'deaf'"), "{}", main_log(&w));
}

#[test]
fn both_killed_and_started_again() {
    let mut w = world();
    for name in ["steady", "gone"] {
        unit(
            &w,
            name,
            &noted(&w, name, "print up on USR1 print bye wait"),
            "Restart=always\nRestartSec=50ms",
        );
    }
    unit(&w, "seven", "on TERM exit 7 print up wait", "Restart=no");
    unit(&w, "lost", "on TERM exit 0 print up wait", "Restart=no");
    unit(&w, "loop", &noted(&w, "loop", "exit 1"), "Restart=always\nRestartSec=1h");
    unit(&w, "held", "wait", "[Unit]\nAfter=never.service");
    unit(&w, "never", "wait-file /no/such/file", "Type=oneshot");
    let command = under_reaper(&w, &w.command_superd(&[]));
    start_superd(&mut w, command);
    for name in ["steady", "gone", "seven", "lost"] {
        until_printed(&w, name, "up");
    }
    until_state(&w, "loop", "BACKOFF");
    w.supers_ok(&["stop", "seven"]);
    w.supers_ok(&["start", "seven"]);
    let before = w.status();
    let (gone, lost) = (process(&w, "gone"), process(&w, "lost"));
    kill_both(&w);
    assert!(gone.kill() && lost.signal(TERM));
    assert!(gone.wait(w.deadline().left()) && lost.wait(w.deadline().left()));
    w.superd();
    let after = w.until("gone restarts", |s| s.state("gone") == "RUNNING" && s.pid("gone") != gone.pid);
    for name in ["steady", "seven", "loop", "held", "never"] {
        assert_eq!(essence(&after, name), essence(&before, name));
    }
    assert_eq!(after.state("lost"), "EXITED");
    let reason = after.reason("lost");
    assert!(reason.contains("unknown") && after.get("lost")["exit"].is_null(), "{}", after.get("lost"));
    w.until_fact("it noted its pid", || (w.read("pids-gone").lines().count() == 2).then_some(()));
    assert_eq!(living(&w, "pids-gone"), BTreeSet::from([after.pid("gone")]));
    assert_eq!(living(&w, "pids-steady"), BTreeSet::from([before.pid("steady")]));
    assert_eq!(w.read("pids-loop").lines().count(), 1);
    // What lives is looked after: its output, its end, and orders.
    let (steady, seven) = (process(&w, "steady"), process(&w, "seven"));
    assert!(seven.signal(TERM));
    let end = w.until("its end is seen", |s| s.state("seven") == "EXITED");
    assert_eq!(end.get("seven")["exit"], 7, "the kernel tells");
    assert!(steady.signal(USR1));
    until_printed(&w, "steady", "bye");
    w.supers_ok(&["stop", "steady"]);
    assert!(!steady.lives());
    let deadline = w.deadline();
    assert_eq!(w.daemon().stop(deadline), 0);
    assert_eq!(living(&w, "pids-gone"), BTreeSet::new());
}

#[test]
fn both_killed_and_started_again_in_the_background() {
    let mut w = world();
    unit(&w, "web", &noted(&w, "web", "print up wait"), "");
    w.superd();
    until_printed(&w, "web", "up");
    let before = w.status();
    kill_both(&w);
    for _ in 0..2 {
        let end = w.superd_ends(&["-d"]);
        assert_eq!(end.code, 0, "{end:?}");
        assert_eq!(essences(&w.status()), essences(&before));
        kill_both(&w);
    }
    assert_eq!(w.superd_ends(&["-d"]).code, 0);
    assert_eq!(living(&w, "pids-web"), BTreeSet::from([before.pid("web")]));
    w.supers_ok(&["shutdown"]);
    w.until_fact("it is down", || living(&w, "pids-web").is_empty().then_some(()));
}

#[test]
fn both_killed_and_started_at_once() {
    let mut w = world();
    unit(&w, "web", &noted(&w, "web", "print up wait"), "");
    w.superd();
    until_printed(&w, "web", "up");
    let before = w.status();
    let (daemon, keeper) = (daemon_process(&w), Process::open(w.daemon().pid()).unwrap());
    assert!(keeper.signal(STOP) && daemon.kill() && keeper.kill());
    // Nobody looks first whether they are through with dying.
    w.superd();
    assert_eq!(essences(&w.status()), essences(&before));
    assert_eq!(living(&w, "pids-web"), BTreeSet::from([before.pid("web")]));
}

#[test]
fn after_a_boot_everything_begins_anew_and_wishes_hold() {
    let mut w = world();
    unit(&w, "web", "print up wait", "Restart=no");
    unit(&w, "tired", "print up wait", "");
    unit(&w, "pausing", "print up exit 1", "Restart=always\nRestartSec=1h");
    w.env("SUPERS_BOOT_ID", "one");
    w.superd();
    until_printed(&w, "web", "up");
    until_state(&w, "pausing", "BACKOFF");
    w.supers_ok(&["stop", "tired"]);
    let web = process(&w, "web");
    kill_both(&w);
    assert!(web.kill() && web.wait(w.deadline().left()));
    // Its number may be anybody's now.
    w.env("SUPERS_BOOT_ID", "two");
    w.superd();
    // In the same boot it would have ended unseen, and stay down.
    let after = w.until("it is started", |s| s.state("web") == "RUNNING");
    assert_eq!((after.state("tired"), after.restarts("web")), ("STOPPED", 0));
    w.until_fact("the one that paused is tried at once", || (log(&w, "pausing") == "up\nup\n").then_some(()));
    assert!(!main_log(&w).contains("took over"), "{}", main_log(&w));
}

/// Places in the code, and how often each daemon passes them before it dies there.
const DEATHS: [(&str, u32); 11] = [
    ("spawn.attached", 4),
    ("spawn.held", 4),
    ("spawn.ready", 4),
    ("spawn.cloned", 2),
    ("spawn.done", 4),
    ("spawn.reported", 2),
    ("exit.finished", 4),
    ("commit.begin", 12),
    ("commit.written", 12),
    ("commit.settled", 12),
    ("commit.done", 12),
];

#[test]
fn deaths_at_every_step_start_nothing_twice() {
    for (place, passes) in DEATHS {
        let mut w = world();
        unit(&w, "steady", &noted(&w, "steady", "print up wait"), "");
        let words = noted(&w, "loop", "sleep 20ms exit 1");
        unit(&w, "loop", &words, "Restart=always\nRestartSec=10ms\n[Unit]\nStartLimitIntervalSec=0");
        w.env("SUPERS_FAILPOINT", &format!("{place}:{passes}"));
        let deadline = w.deadline();
        w.superd_started(&[]);
        let what = format!("loop goes round, and the daemon dies of it ({place}:{passes})");
        w.until_fact(&what, || {
            assert!(living(&w, "pids-loop").len() <= 1, "{place}:{passes}\n{}", w.logs());
            let starts = w.read("pids-loop").lines().count();
            (starts >= 4 && w.logs().matches("ended unexpectedly").count() >= 2).then_some(())
        });
        assert_eq!(w.read("pids-steady").lines().count(), 1, "{place}:{passes}\n{}", w.logs());
        assert_eq!(living(&w, "pids-steady").len(), 1, "{place}:{passes}\n{}", w.logs());
        // An order to stop gets through all the same.
        assert_eq!(w.daemon().stop(deadline), 0, "{place}:{passes}");
        assert!(
            living(&w, "pids-steady").is_empty() && living(&w, "pids-loop").is_empty(),
            "{place}:{passes}"
        );
    }
}

/// Both are killed when the unit that `write` adds has just executed its program and nobody has written that down.
/// Comes back when `until` is true, and before superd is started again.
fn killed_between_start_and_record(w: &mut World, write: impl Fn(&World), until: impl Fn(&World) -> bool) {
    unit(w, "first", "print up wait", "");
    w.env("SUPERS_FAILPOINT", "spawn.cloned:2");
    w.superd();
    until_printed(w, "first", "up");
    w.until("first runs", |s| s.state("first") == "RUNNING");
    write(w);
    let (daemon, keeper) = (daemon_process(w), Process::open(w.daemon().pid()).unwrap());
    assert!(keeper.signal(STOP));
    drop(w.supers(&["start", "late", "--no-wait"]));
    assert!(daemon.wait(w.deadline().left()), "the daemon dies at its failpoint");
    w.until_fact("it came so far", || until(w).then_some(()));
    assert!(keeper.kill() && keeper.wait(w.deadline().left()));
    w.env("SUPERS_FAILPOINT", "none");
}

/// It goes on, and is not started a second time.
fn see_that_it_goes_on(mut w: World, write: impl Fn(&World)) {
    killed_between_start_and_record(&mut w, write, |w| living(w, "pids-late").len() == 1);
    w.superd();
    let now = w.until("late runs", |s| s.state("late") == "RUNNING");
    assert_eq!(now.state("first"), "RUNNING");
    assert_eq!(living(&w, "pids-late"), BTreeSet::from([now.pid("late")]), "{}", w.logs());
    assert_eq!(w.read("pids-late").lines().count(), 1, "{}", w.logs());
}

#[test]
fn both_killed_between_a_start_and_its_record() {
    see_that_it_goes_on(world(), |w| drop(unit(w, "late", &noted(w, "late", "print up wait"), "")));
}

#[test]
fn both_killed_and_the_one_just_started_writes_to_nobody() {
    let w = world();
    let script = "#!/bin/sh\nexec >>$NOTES 2>/dev/null </dev/null\necho $$\nexec sleep 600\n";
    let start = w.write("start", script);
    fs::set_permissions(&start, fs::Permissions::from_mode(0o755)).unwrap();
    let (start, notes) = (start.display(), place(&w, "pids-late"));
    let text = format!("[Service]\nEnvironment=NOTES={notes}\nExecStart={start}\n");
    see_that_it_goes_on(w, |w| drop(w.unit("late", &text)));
}

#[test]
fn both_killed_between_a_start_and_its_record_and_it_ended_meanwhile() {
    let mut w = world();
    let write = |w: &World| drop(unit(w, "late", &noted(w, "late", "print up exit 3"), "Type=oneshot"));
    let over = |w: &World| w.read("pids-late").lines().count() == 1 && living(w, "pids-late").is_empty();
    killed_between_start_and_record(&mut w, write, over);
    let pid: i64 = w.read("pids-late").trim().parse().unwrap();
    w.superd();
    let now = w.until("its end is told", |s| !["STARTING", "STOPPED"].contains(&s.state("late")));
    let late = now.get("late");
    // As long as nobody has reaped it the kernel tells.
    let unknown = late["exit"].is_null() && late["reason"].as_str().unwrap().contains("unknown");
    assert!(unknown || late["exit"] == 3, "{late}");
    assert_eq!(w.read("pids-late").lines().count(), 1, "it ran once\n{}", w.logs());
    let history = w.supers_ok(&["history", "late"]);
    assert!(history.contains(&pid.to_string()), "{history}");
}
