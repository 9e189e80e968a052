//! exitcodes and autorestart (supervisor-contract 5).

use super::{said, until_text, world};

/// A program that ends with `code` on USR1, with these lines more.
fn program(name: &str, code: u8, more: &str) -> String {
    format!(
        "[program:{name}]\ncommand={{actor}} on USR1 exit {code} print up wait\nstartsecs=0\n\
         stdout_logfile={{root}}/{name}.log\n{more}\n"
    )
}

#[test]
fn exitcodes_and_autorestart_decide_together() {
    let text = [
        program("listed", 2, "exitcodes=0,2"),
        program("unlisted", 2, ""),
        program("always", 0, "autorestart=true"),
        program("never", 7, "autorestart=false"),
        program("none", 0, "exitcodes="),
    ];
    let world = world(&text.concat());
    for name in ["listed", "unlisted", "always", "never", "none"] {
        until_text(&world, &format!("{name}.log"), "up\n");
    }
    let before = world.until("all run", |s| s.0.iter().all(|p| p["state"] == "RUNNING"));
    world.supers_ok(&["signal", "USR1", "all"]);

    let again = ["unlisted", "always", "none"];
    let s = world.until("all ended, three came back", |s| {
        let back = |name: &&str| s.state(name) == "RUNNING" && s.pid(name) != before.pid(name);
        again.iter().all(back) && ["listed", "never"].iter().all(|name| s.state(name) == "EXITED")
    });
    for name in again {
        assert_eq!(s.restarts(name), 1, "{name}");
    }
    assert_eq!((&s.get("listed")["exit"], &s.get("never")["exit"]), (&2.into(), &7.into()));
    assert!(s.reason("never").starts_with("exit status 7 after "), "{}", s.reason("never"));
    said(&world, "INFO exited: listed (exit status 2; expected)");
    said(&world, "WARN exited: unlisted (exit status 2; not expected)");
    said(&world, "INFO exited: always (exit status 0; expected)");
    said(&world, "WARN exited: never (exit status 7; not expected)");
    said(&world, "WARN exited: none (exit status 0; not expected)");
}

#[test]
fn a_death_by_signal_is_never_expected() {
    let world = world(
        "[program:a]\ncommand={actor} wait\nstartsecs=0\n\
         [program:b]\ncommand={actor} wait\nstartsecs=0\nautorestart=false\n",
    );
    let before = world.until("both run", |s| s.0.iter().all(|p| p["state"] == "RUNNING"));
    world.supers_ok(&["signal", "KILL", "a"]);
    world.supers_ok(&["signal", "HUP", "b"]);
    let s = world.until("a is back, b is not", |s| {
        s.state("a") == "RUNNING" && s.pid("a") != before.pid("a") && s.state("b") == "EXITED"
    });
    assert_eq!((s.restarts("a"), &s.get("b")["exit"]), (1, &(-1).into()));
    said(&world, "WARN exited: a (terminated by SIGKILL; not expected)");
    said(&world, "WARN exited: b (terminated by SIGHUP; not expected)");
}

/// Their SIGCHLDs come together and are merged, but no end may be noticed late: an end after a second would
/// count as a start.
#[test]
fn those_that_end_at_once_are_noticed_at_once() {
    let world = world(
        "[program:w]\ncommand=/bin/true\nnumprocs=3\nprocess_name=w%(process_num)d\nstartretries=0\n\
         autostart=false\nstdout_logfile=NONE\nstderr_logfile=NONE\n",
    );
    for round in 0..120 {
        let end = world.supers(&["start", "w:*"]);
        let lives: Vec<u32> = end.stderr.lines().filter_map(lived).collect();
        assert!(lives.len() == 3 && lives.iter().all(|ms| *ms < 400), "round {round}: {end:?}");
    }
}

/// Of `... exited too quickly: exit status 0 after 3 ms`.
fn lived(line: &str) -> Option<u32> {
    line.split_once("exit status 0 after ")?.1.split_once(" ms")?.0.parse().ok()
}
