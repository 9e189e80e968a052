//! The keeper is killed: the daemon takes its place and a new daemon takes over.

use crate::common::{log, much_under_way, must_end, process, unit, until_printed, until_state, world};
use crate::crash::{
    TERM, USR1, crash, daemon_process, daemon_view, essence, essences, living, noted, under_reaper,
};
use serde_json::Value;
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixStream;
use supers_testkit::{Process, World};

/// The pid files in the runtime folder, as numbers.
fn pid_files(w: &World) -> Vec<i32> {
    let folders = fs::read_dir(w.runtime_base()).unwrap().flatten();
    let files = folders.flat_map(|f| [f.path().join("pid"), f.path().join("superd.pid")]);
    files.filter_map(|f| fs::read_to_string(f).ok()?.trim().parse().ok()).collect()
}

/// Kills the keeper and waits until the daemon of before is the keeper and another one answers. That keeper.
fn kill_keeper(w: &World) -> Process {
    let before = daemon_view(w).unwrap();
    let daemon = daemon_process(w);
    let number = |v: &Value, key: &str| i32::try_from(v[key].as_i64().unwrap()).unwrap();
    let keeper = Process::open(number(&before, "pid")).unwrap();
    assert!(keeper.kill() && keeper.wait(w.deadline().left()));
    let after = w.until_fact("another keeper answers for", || {
        daemon_view(w).filter(|d| number(d, "pid") != keeper.pid)
    });
    assert_eq!(number(&after, "pid"), daemon.pid, "the daemon became the keeper");
    assert_ne!(number(&after, "daemon_pid"), daemon.pid);
    assert_eq!(daemon.comm(), "super-keeper");
    assert!(daemon.lives());
    daemon
}

/// The notices of `status` that tell of something weaker than promised.
fn weakened(w: &World) -> Vec<String> {
    let view = daemon_view(w).unwrap();
    let all = view["notices"].as_array().unwrap().iter().map(|n| n.as_str().unwrap().to_owned());
    all.filter(|n| n.starts_with("weakened: ")).collect()
}

/// TERM to the new keeper, which nobody here is the parent of.
fn end(w: &World, keeper: &Process) {
    assert!(keeper.signal(TERM));
    must_end(w, keeper);
}

#[test]
fn the_daemon_takes_its_place_and_programs_go_on() {
    let mut w = world();
    for name in ["a", "b"] {
        unit(&w, name, &noted(&w, name, "print up wait"), "");
    }
    unit(&w, "stopped", "wait", "");
    unit(&w, "pausing", "exit 1", "Restart=always\nRestartSec=1h");
    w.superd();
    until_printed(&w, "a", "up");
    until_printed(&w, "b", "up");
    until_state(&w, "pausing", "BACKOFF");
    w.supers_ok(&["stop", "stopped"]);
    let before = w.status();
    let keeper = kill_keeper(&w);
    assert_eq!(essences(&w.status()), essences(&before));
    assert!(!pid_files(&w).is_empty());
    assert!(pid_files(&w).iter().all(|pid| *pid == keeper.pid), "{:?}", pid_files(&w));
    assert_eq!(w.supers_ok(&["pid"]).trim(), keeper.pid.to_string());
    // All orders.
    let a = process(&w, "a");
    w.supers_ok(&["restart", "a"]);
    assert!(!a.lives());
    w.until_fact("it printed again", || (log(&w, "a") == "up\nup\n").then_some(()));
    w.supers_ok(&["stop", "b"]);
    w.supers_ok(&["start", "b", "stopped"]);
    w.supers_ok(&["reload"]);
    for name in ["a", "b"] {
        let file = format!("pids-{name}");
        w.until_fact("it noted its pid", || (w.read(&file).lines().count() == 2).then_some(()));
        assert_eq!(living(&w, &file), BTreeSet::from([w.status().pid(name)]), "{name}");
    }
    end(&w, &keeper);
    for name in ["a", "b"] {
        assert_eq!(living(&w, &format!("pids-{name}")), BTreeSet::new());
    }
    assert_eq!(w.supers(&["status"]).code, 7);
}

/// The keeper dies when the daemon comes by this place, which `deed` has it do. The next keeper.
fn keeper_gone_at(w: &World, place: &str, deed: impl FnOnce(&World)) -> Process {
    let number = |v: &Value, key: &str| i32::try_from(v[key].as_i64().unwrap()).unwrap();
    let keeper = Process::open(number(&daemon_view(w).unwrap(), "pid")).unwrap();
    w.write("failpoint", &format!("keeper@{place}"));
    deed(w);
    assert!(keeper.wait(w.deadline().left()), "the keeper dies at {place}");
    let after = w.until_fact(&format!("another keeper answers for, after {place}"), || {
        daemon_view(w).filter(|d| number(d, "pid") != keeper.pid)
    });
    let next = Process::open(number(&after, "pid")).unwrap();
    assert_eq!(next.comm(), "super-keeper", "{place}");
    next
}

/// That costs no program anything.
fn kill_keeper_at(place: &str, deed: impl FnOnce(&World)) {
    let mut w = world();
    w.env("SUPERS_FAILPOINT_FILE", &w.path("failpoint").display().to_string());
    for name in ["a", "b"] {
        unit(&w, name, &noted(&w, name, "on USR1 print again print up wait"), "");
    }
    unit(&w, "stopped", "wait", "");
    w.superd();
    ["a", "b"].iter().for_each(|name| drop(until_printed(&w, name, "up")));
    w.supers_ok(&["stop", "stopped"]);
    let before = w.status();
    let next = keeper_gone_at(&w, place, deed);
    assert_eq!(essences(&w.status()), essences(&before), "{place}");
    assert_eq!(weakened(&w).len(), 1, "{place}: {:?}", daemon_view(&w));
    let a = process(&w, "a");
    assert!(a.signal(USR1));
    until_printed(&w, "a", "again");
    assert_eq!(log(&w, "a"), "up\nagain\n", "{place}");
    for name in ["a", "b"] {
        assert_eq!(
            living(&w, &format!("pids-{name}")),
            BTreeSet::from([before.pid(name)]),
            "{name}, {place}"
        );
    }
    end(&w, &next);
    must_end(&w, &a);
}

#[test]
fn a_daemon_that_has_only_begun_takes_its_place() {
    // Before it was asked for anything; before its descriptors were all fetched; before that was of any use.
    for place in ["takeover.hello", "takeover.begin", "takeover.found", "takeover.resumed"] {
        kill_keeper_at(place, |w| assert!(daemon_process(w).kill()));
    }
}

#[test]
fn a_daemon_that_makes_way_for_another_takes_its_place() {
    for place in ["standby.asked", "leave.asked", "leave.committed", "leave.done"] {
        // Whether it is told that it failed depends on the moment.
        kill_keeper_at(place, |w| drop(w.supers(&["upgrade"])));
    }
}

#[test]
fn the_name_of_a_shared_socket_outlives_the_keeper() {
    for place in ["", "takeover.found", "leave.done"] {
        let mut w = world();
        w.env("SUPERS_FAILPOINT_FILE", &w.path("failpoint").display().to_string());
        let (actor, socket) = (w.actor().display().to_string(), w.path("fcgi.sock"));
        w.ini(&format!(
            "[supervisord]\n[fcgi-program:web]\ncommand={actor} wait\nsocket=unix://{}\nstartsecs=0\n",
            socket.display()
        ));
        w.superd();
        until_state(&w, "web", "RUNNING");
        let reaches = || UnixStream::connect(&socket).map(drop);
        assert!(reaches().is_ok());
        let next = if place.is_empty() {
            kill_keeper(&w)
        } else {
            keeper_gone_at(&w, place, |w| match place {
                "leave.done" => drop(w.supers(&["upgrade"])),
                _ => assert!(daemon_process(w).kill()),
            })
        };
        assert!(reaches().is_ok(), "{place}: {:?}", reaches());
        end(&w, &next);
        assert!(!socket.exists(), "{place}");
    }
}

#[test]
fn the_first_daemon_of_all_takes_its_place() {
    let mut w = world();
    w.env("SUPERS_FAILPOINT_FILE", &w.path("failpoint").display().to_string());
    w.write("failpoint", "keeper@takeover.hello");
    unit(&w, "a", &noted(&w, "a", "print up wait"), "");
    w.superd_started(&[]);
    let view = w.until_fact("a daemon answers", || daemon_view(&w));
    let keeper = Process::open(i32::try_from(view["pid"].as_i64().unwrap()).unwrap()).unwrap();
    until_printed(&w, "a", "up");
    assert_eq!(living(&w, "pids-a"), BTreeSet::from([process(&w, "a").pid]));
    end(&w, &keeper);
}

/// It cannot open its door, and would have left that to the keeper to try again.
#[test]
fn a_daemon_that_cannot_start_takes_its_place() {
    let mut w = world();
    w.env("SUPERS_FAILPOINT_FILE", &w.path("failpoint").display().to_string());
    let (door, a) = (w.path("door"), noted(&w, "a", "print up wait"));
    let actor = w.actor().display().to_string();
    w.ini(&format!("[unix_http_server]\nfile={}\n[program:a]\ncommand={actor} {a}\n", door.display()));
    w.superd();
    w.until_fact("it noted its pid", || (living(&w, "pids-a").len() == 1).then_some(()));
    let before = w.until("a runs", |s| s.state("a") == "RUNNING");
    let (daemon, keeper) = (daemon_process(&w), Process::open(w.daemon().pid()).unwrap());
    w.write("failpoint", "keeper@takeover.hello");
    std::fs::remove_file(&door).unwrap();
    w.write("door/in-the-way", "");
    assert!(daemon.kill() && keeper.wait(w.deadline().left()));
    w.until_fact("one that cannot start has a keeper", || {
        (w.logs().matches("cannot listen").count() > 1).then_some(())
    });
    std::fs::remove_dir_all(&door).unwrap();
    let view = w.until_fact("a daemon answers", || daemon_view(&w));
    assert_eq!(essences(&w.status()), essences(&before));
    let next = Process::open(i32::try_from(view["pid"].as_i64().unwrap()).unwrap()).unwrap();
    end(&w, &next);
    assert!(living(&w, "pids-a").is_empty());
}

#[test]
fn the_new_keeper_ends_with_the_right_code() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    let command = under_reaper(&w, &w.command_superd(&[]));
    crate::common::start_superd(&mut w, command);
    process(&w, "web");
    let keeper = kill_keeper(&w);
    assert!(keeper.signal(TERM));
    let deadline = w.deadline();
    w.daemon().wait_line(&format!("ended {} 0", keeper.pid), deadline);
    assert_eq!(w.supers(&["status"]).code, 7);
}

#[test]
fn later_ends_are_told_truly_and_the_weakening_is_shown_until_then() {
    let mut w = world();
    unit(&w, "seven", "on TERM exit 7 print up wait", "Restart=no");
    unit(&w, "zero", "on TERM exit 0 print up wait", "Restart=no");
    unit(&w, "killed", "print up wait", "Restart=no");
    w.superd();
    let names = ["seven", "zero", "killed"];
    names.iter().for_each(|n| drop(until_printed(&w, n, "up")));
    assert_eq!(weakened(&w), Vec::<String>::new());
    let [seven, zero, killed] = names.map(|n| process(&w, n));
    let keeper = kill_keeper(&w);
    assert_eq!(weakened(&w).len(), 1, "{:?}", daemon_view(&w));
    let shown = w.supers(&["status"]);
    assert!(shown.stderr.contains("note: weakened: 3 processes"), "{shown:?}");
    assert!(seven.signal(15) && zero.signal(15) && killed.kill());
    let end = w.until("all ended", |s| names.iter().all(|n| s.state(n) == "EXITED"));
    for (name, exit) in [("seven", 7), ("zero", 0), ("killed", -9)] {
        assert_eq!(end.get(name)["exit"], exit, "{name}");
    }
    w.until_fact("nothing is weakened any more", || weakened(&w).is_empty().then_some(()));
    // Runs that it starts itself are its children.
    w.supers_ok(&["start", "seven"]);
    assert_eq!(weakened(&w), Vec::<String>::new());
    crate::keeper_gone::end(&w, &keeper);
}

#[test]
fn keepers_and_daemons_in_turn() {
    let mut w = world();
    for name in ["a", "b"] {
        unit(&w, name, &noted(&w, name, "print up wait"), "Restart=always\nRestartSec=20ms");
    }
    w.superd();
    until_printed(&w, "a", "up");
    until_printed(&w, "b", "up");
    let before = w.status();
    kill_keeper(&w);
    crash(&w);
    kill_keeper(&w);
    kill_keeper(&w);
    crash(&w);
    assert_eq!(essence(&w.status(), "a"), essence(&before, "a"));
    let b = process(&w, "b");
    assert!(b.kill());
    w.until("b restarts", |s| s.state("b") == "RUNNING" && s.pid("b") != b.pid);
    // Of both parents.
    let before = w.status();
    let keeper = kill_keeper(&w);
    assert_eq!(essences(&w.status()), essences(&before));
    for (name, starts) in [("a", 1), ("b", 2)] {
        let file = format!("pids-{name}");
        w.until_fact("it noted its pid", || (w.read(&file).lines().count() == starts).then_some(()));
        assert_eq!(living(&w, &file), BTreeSet::from([before.pid(name)]), "{name}");
    }
    w.supers_ok(&["stop", "all"]);
    end(&w, &keeper);
}

#[test]
fn what_is_under_way_goes_on() {
    let mut w = world();
    let before = much_under_way(&mut w);
    let keeper = kill_keeper(&w);
    assert_eq!(essences(&w.status()), essences(&before));
    w.write("gate", "");
    let after = w.until("it goes on", |s| s.state("after") == "RUNNING" && s.state("deaf") == "STOPPED");
    assert_eq!(after.get("steps")["exit"], 3);
    assert_eq!(after.get("deaf")["exit"], -9);
    assert_eq!(log(&w, "steps"), "one\ntwo\n");
    end(&w, &keeper);
}

#[test]
fn starts_during_the_death_happen_once() {
    let mut w = world();
    let names: Vec<String> = (0..8).map(|n| format!("loop{n}")).collect();
    for (n, name) in names.iter().enumerate() {
        let words = noted(&w, name, &format!("sleep {}ms exit 1", 10 + 7 * n));
        unit(&w, name, &words, "Restart=always\nRestartSec=5ms\n[Unit]\nStartLimitIntervalSec=0");
    }
    w.superd();
    for _ in 0..8 {
        let keeper = kill_keeper(&w);
        for name in &names {
            let at_once = living(&w, &format!("pids-{name}"));
            assert!(at_once.len() <= 1, "{name} runs twice: {at_once:?}\n{}", w.logs());
            let file = format!("pids-{name}");
            let seen = w.read(&file).lines().count();
            w.until_fact("it goes on in its circle", || (w.read(&file).lines().count() > seen).then_some(()));
        }
        drop(keeper);
    }
    w.supers_ok(&["stop", "all"]);
    for name in &names {
        assert_eq!(living(&w, &format!("pids-{name}")), BTreeSet::new());
    }
    w.supers_ok(&["shutdown"]);
}

/// superd as the first process of a pid namespace, as in a container. What `status` says there are numbers of
/// that namespace: nothing here may be held by them, so the status is not asked.
fn as_pid_1(w: &mut World) -> (Process, Process) {
    supers_testkit::need_root();
    let a = w.actor().display().to_string();
    let order = w.path("order").display().to_string();
    unit(w, "db", "print up wait", &format!("ExecStop={a} append {order} db"));
    unit(w, "web", "print up wait", &format!("ExecStop={a} append {order} web\n[Unit]\nAfter=db.service"));
    unit(w, "deaf", "ignore TERM print up wait", "TimeoutStopSec=500ms");
    let words = ["unshare", "--pid", "--fork", "--mount-proc", "--kill-child"];
    let command = crate::common::wrapped(&words, &w.command_superd(&[]));
    crate::common::start_superd(w, command);
    for name in ["db", "web", "deaf"] {
        until_printed(w, name, "up");
    }
    let keeper = below(w, "super-keeper");
    (keeper, below(w, "superd"))
}

/// The process of this name below the one that was started.
fn below(w: &mut World, comm: &str) -> Process {
    let top = w.daemon().pid();
    w.until_fact(comm, || {
        let all = supers_testkit::descendants(top).into_iter().filter_map(Process::open);
        all.into_iter().find(|p| p.lives() && p.comm() == comm)
    })
}

#[test]
fn term_to_pid_1_ends_everything_in_order() {
    let mut w = world();
    let (keeper, _) = as_pid_1(&mut w);
    assert!(keeper.signal(TERM));
    let deadline = w.deadline();
    assert_eq!(w.daemon().wait(deadline), 0);
    assert_eq!(w.read("order"), "web\ndb\n");
    assert!(w.logs().contains("killing 'deaf'"), "{}", w.logs());
}

#[test]
fn term_to_pid_1_after_a_crash_of_the_daemon() {
    let mut w = world();
    let (keeper, daemon) = as_pid_1(&mut w);
    assert!(daemon.kill());
    w.until_fact("the next takes over", || {
        w.logs().contains("took over 3 units with 3 processes").then_some(())
    });
    // And while there is none: the keeper tells the next one.
    let daemon = below(&mut w, "superd");
    assert!(keeper.signal(crate::crash::STOP) && daemon.kill() && keeper.signal(TERM));
    assert!(keeper.signal(crate::crash::CONT));
    let deadline = w.deadline();
    assert_eq!(w.daemon().wait(deadline), 0);
    assert_eq!(w.read("order"), "web\ndb\n");
    assert_eq!(log(&w, "web"), "up\n", "nothing was started again");
}

/// `superd` where the system call clone3 is refused with this error, as some containers do.
fn without_clone3(w: &World, errno: i32) -> std::process::Command {
    supers_testkit::need_tool("python3", "python3");
    let launcher = w.write(
        "seccomp.py",
        "import ctypes, os, struct, sys\n\
         libc = ctypes.CDLL(None, use_errno=True)\n\
         error = int(sys.argv[1])\n\
         code = [(0x20, 0, 0, 0), (0x15, 0, 1, 435), (0x06, 0, 0, 0x00050000 | error), (0x06, 0, 0, 0x7fff0000)]\n\
         text = ctypes.create_string_buffer(b''.join(struct.pack('HBBI', *line) for line in code))\n\
         program = ctypes.create_string_buffer(struct.pack('HxxxxxxP', len(code), ctypes.addressof(text)))\n\
         assert libc.prctl(38, 1, 0, 0, 0) == 0\n\
         assert libc.prctl(22, 2, ctypes.byref(program), 0, 0) == 0, ctypes.get_errno()\n\
         assert libc.syscall(435, None, 0) == -1 and ctypes.get_errno() == error\n\
         os.execv(sys.argv[2], sys.argv[2:])\n",
    );
    let (launcher, errno) = (launcher.display().to_string(), errno.to_string());
    crate::common::wrapped(&["/usr/bin/python3", &launcher, &errno], &w.command_superd(&[]))
}

#[test]
fn all_of_it_holds_where_clone3_is_refused() {
    // ENOSYS. (With EPERM the C library itself makes no thread.)
    let errno = 38;
    let mut w = world();
    unit(&w, "steady", &noted(&w, "steady", "print up wait"), "");
    unit(&w, "seven", "on TERM exit 7 print up wait", "Restart=no");
    let words = noted(&w, "loop", "sleep 40ms exit 1");
    unit(&w, "loop", &words, "Restart=always\nRestartSec=10ms\n[Unit]\nStartLimitIntervalSec=0");
    let command = without_clone3(&w, errno);
    crate::common::start_superd(&mut w, command);
    until_printed(&w, "steady", "up");
    until_printed(&w, "seven", "up");
    let before = w.status();
    let goes_on = |w: &World| {
        let now = w.status();
        for name in ["steady", "seven"] {
            assert_eq!(essence(&now, name), essence(&before, name));
        }
        let seen = w.read("pids-loop").lines().count();
        w.until_fact("loop goes on", || (w.read("pids-loop").lines().count() > seen + 1).then_some(()));
        assert!(living(w, "pids-loop").len() <= 1, "{}", w.logs());
    };
    crash(&w);
    goes_on(&w);
    w.supers_ok(&["upgrade"]);
    goes_on(&w);
    kill_keeper(&w);
    goes_on(&w);
    crash(&w);
    goes_on(&w);
    let seven = process(&w, "seven");
    assert!(seven.signal(TERM));
    let now = w.until("its end is seen", |s| s.state("seven") == "EXITED");
    assert_eq!(now.get("seven")["exit"], 7);
    w.supers_ok(&["restart", "steady"]);
    w.supers_ok(&["shutdown"]);
    w.until_fact("all is down", || living(&w, "pids-steady").is_empty().then_some(()));
}
