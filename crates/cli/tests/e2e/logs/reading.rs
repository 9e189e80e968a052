//! `supers logs`: the last lines, and what comes.

use super::{fresh, process, same_text, spewed, until_ended, until_text, world};
use supers_testkit::{Daemon, World};

/// Starts `supers logs -f`, and waits until it shows the line.
fn follow(world: &World, args: &[&str], line: &str) -> Daemon {
    let follower = world.supers_started(&[&["logs", "-f"], args].concat());
    follower.wait_line(line, world.deadline());
    follower
}

#[test]
fn the_last_lines_over_a_rotation() {
    let world = world(
        "[program:a]\ncommand={actor} spew 64KiB print end\nstartsecs=0\nstdout_logfile={root}/a.log\n\
         stdout_logfile_maxbytes=10KB\nstdout_logfile_backups=10\n",
    );
    until_ended(&world, "a");
    assert!(world.read("a.log").lines().count() < 100, "the lines asked for lie in several files");
    let expected = spewed(64 << 10) + "end\n";
    let last = |n: usize| -> String {
        let lines: Vec<&str> = expected.lines().collect();
        lines[lines.len() - n..].iter().map(|l| format!("{l}\n")).collect()
    };
    for n in [1, 10, 100, 300] {
        same_text(&world.supers_ok(&["logs", "-n", &n.to_string(), "a"]), &last(n));
    }
    same_text(&world.supers_ok(&["logs", "a"]), &last(10));
    assert_eq!(world.supers_ok(&["logs", "-n", "0", "a"]), "");
}

#[test]
fn a_follower_misses_nothing_over_rotations() {
    let world = world(
        "[program:a]\ncommand={actor} print ready wait-file {root}/go spew 2MiB print end wait\nstartsecs=0\n\
         stdout_logfile={root}/a.log\nstdout_logfile_maxbytes=200KB\nstdout_logfile_backups=30\n",
    );
    until_text(&world, "a.log", "ready\n");
    let follower = follow(&world, &["a"], "ready");
    world.write("go", "");
    follower.wait_line("end", world.deadline());
    let text = follower.log() + "\n";
    same_text(&text, &format!("ready\n{}end\n", spewed(2 << 20)));
}

#[test]
fn a_line_appears_while_the_program_runs() {
    let mut world = fresh();
    let actor = world.actor().display().to_string();
    world.unit(
        "a",
        &format!("[Service]\nExecStart={actor} on USR1 print more raw 'no end of line yet' wait\n"),
    );
    world.superd();
    let a = process(&world, "a");
    // A line without its end counts, too.
    let deadline = world.deadline();
    let follower = world.supers_started(&["logs", "-f", "a"]);
    world.until_fact("the text", || world.read("units/logs/a/a.log").contains("yet").then_some(()));
    for n in 1..=20 {
        assert!(a.signal(10));
        // Each line is there before the next is caused: nothing waits for a buffer to fill.
        world.until_fact("one line more", || (follower.log().matches("more").count() == n).then_some(()));
    }
    follower.wait_line("no end of line yetmore", deadline);
    assert!(a.lives() && a.pid == world.status().pid("a"));
}

#[test]
fn a_follower_stays_over_restarts() {
    let world = world("[program:a]\ncommand={actor} pid wait\nstartsecs=0\nstdout_logfile={root}/a.log\n");
    let first = process(&world, "a");
    let follower = follow(&world, &["a"], &first.pid.to_string());
    first.kill();
    let second = world.until("it is back", |s| s.pid("a") != first.pid && s.state("a") == "RUNNING").pid("a");
    follower.wait_line(&second.to_string(), world.deadline());
    assert_eq!(follower.log(), format!("{}\n{second}", first.pid));
}

#[test]
fn several_programs_with_their_names() {
    let world = world(
        "[program:a]\ncommand={actor} print 'from a' wait\nstartsecs=0\n\
         [program:b]\ncommand={actor} print 'from b' wait\nstartsecs=0\n",
    );
    process(&world, "a");
    process(&world, "b");
    let follower = follow(&world, &["a", "b"], "from a");
    follower.wait_line("from b", world.deadline());
    let mut lines: Vec<String> = follower.log().lines().map(String::from).collect();
    lines.sort();
    assert!(lines.len() == 2 && lines[0].starts_with('a') && lines[0].ends_with("from a"), "{lines:?}");
    assert!(lines[1].starts_with('b') && lines[1].ends_with("from b"), "{lines:?}");
}
