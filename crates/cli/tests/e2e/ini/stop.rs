//! stopsignal, stopwaitsecs, stopasgroup, killasgroup (supervisor-contract 5).

use super::{grandchild, said, until_text, world};
use std::time::Duration;

#[test]
fn stopsignal_ends_it_for_good() {
    let world = world(
        "[program:a]\ncommand={actor} ignore TERM on INT exit 3 print up wait\nstopsignal=INT\n\
         startsecs=0\nautorestart=true\nstdout_logfile={root}/a.log\n",
    );
    until_text(&world, "a.log", "up\n");
    world.supers_ok(&["stop", "a"]);
    let s = world.status();
    assert_eq!((s.state("a"), s.reason("a"), s.restarts("a")), ("STOPPED", "stopped on request", 0));
    said(&world, "WARN stopped: a (exit status 3)");
}

#[test]
fn stopwaitsecs_ends_with_kill() {
    let world = world(
        "[program:a]\ncommand={actor} ignore TERM print up wait\nstopwaitsecs=1\nstartsecs=0\n\
         autorestart=true\nstdout_logfile={root}/a.log\n",
    );
    until_text(&world, "a.log", "up\n");
    let pid = world.status().pid("a");
    world.supers_ok(&["stop", "--no-wait", "a"]);
    world.until("it is asked to stop", |s| s.state("a") == "STOPPING" && s.pid("a") == pid);
    world.until("it is stopped", |s| s.state("a") == "STOPPED");
    said(&world, &format!("WARN killing 'a' ({pid}) with SIGKILL"));
    said(&world, "WARN stopped: a (terminated by SIGKILL)");
}

/// Four programs with a child each, for the four ways.
#[test]
fn a_stop_leaves_no_grandchild_whatever_is_asked_for() {
    let stubborn = "command={actor} ignore TERM fork-and-stay print up wait\nstopwaitsecs=1\n";
    let meek = "command={actor} fork-and-stay print up wait\n";
    let program = |name: &str, command: &str, more: &str| {
        format!("[program:{name}]\n{command}{more}startsecs=0\nstdout_logfile={{root}}/{name}.log\n")
    };
    let text = [
        program("alone", meek, ""),
        program("together", meek, "stopasgroup=true\n"),
        program("killed_alone", stubborn, ""),
        program("killed_together", stubborn, "killasgroup=true\n"),
    ];
    let world = world(&text.concat());
    let names = ["alone", "together", "killed_alone", "killed_together"];
    let below = names.map(|name| grandchild(&world, &format!("{name}.log")));
    world.supers_ok(&["stop", "all"]);
    let [alone, together, killed_alone, killed_together] = below;
    let time = Duration::from_secs(10);
    assert!(together.wait(time), "TERM reached the group");
    assert!(killed_together.wait(time), "KILL reached the group");
    // By the ancestor's name it would live on: the twins show that.
    assert!(alone.wait(time), "TERM was for the main process, and what it left was swept");
    assert!(killed_alone.wait(time), "KILL was for the main process, and what it left was swept");
    for name in names {
        assert_eq!(world.status().state(name), "STOPPED");
    }
}
