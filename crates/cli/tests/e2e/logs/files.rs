//! The life of a log file: made again, reopened, written by many, complete at the end.

use super::{fresh, pieces, process, same_text, spewed, until_ended, until_text, world};
use std::fs;

/// A program that says `again` on every USR1.
const TALKER: &str = "command={actor} on USR1 print again print up wait\nstartsecs=0\n";

#[test]
fn a_deleted_file_is_made_again() {
    let mut world = fresh();
    world.write("logs/keep", "");
    world.ini(&format!("[program:a]\n{TALKER}stdout_logfile={{root}}/logs/a.log\n"));
    world.superd();
    until_text(&world, "logs/a.log", "up\n");
    let a = process(&world, "a");
    fs::remove_file(world.path("logs/a.log")).unwrap();
    assert!(a.signal(10));
    assert_eq!(until_text(&world, "logs/a.log", "again\n"), "again\n");
    // With its folder, too.
    fs::remove_dir_all(world.path("logs")).unwrap();
    assert!(a.signal(10));
    assert_eq!(until_text(&world, "logs/a.log", "again\n"), "again\n");
    assert!(a.lives());
}

/// What `copytruncate` of logrotate does, and what people do.
#[test]
fn a_file_that_was_emptied_begins_anew() {
    let world = world(&format!("[program:a]\n{TALKER}stdout_logfile={{root}}/a.log\n"));
    until_text(&world, "a.log", "up\n");
    let a = process(&world, "a");
    let follower = world.supers_started(&["logs", "-f", "a"]);
    follower.wait_line("up", world.deadline());
    fs::write(world.path("a.log"), "").unwrap();
    assert!(a.signal(10));
    assert_eq!(until_text(&world, "a.log", "again\n"), "again\n");
    follower.wait_line("again", world.deadline());
    fs::remove_file(world.path("a.log")).unwrap();
    assert!(a.signal(10));
    world.until_fact("the follower goes on", || (follower.log() == "up\nagain\nagain").then_some(()));
}

#[test]
fn a_moved_file_is_left_on_usr2() {
    let mut world = world(&format!("[program:a]\n{TALKER}stdout_logfile={{root}}/a.log\n"));
    until_text(&world, "a.log", "up\n");
    let a = process(&world, "a");
    fs::rename(world.path("a.log"), world.path("moved")).unwrap();
    assert!(a.signal(10));
    assert_eq!(until_text(&world, "moved", "again\n"), "up\nagain\n");
    world.daemon().signal(12);
    world.until_fact("the new file", || world.path("a.log").exists().then_some(()));
    assert!(a.signal(10));
    assert_eq!(until_text(&world, "a.log", "again\n"), "again\n");
    assert_eq!(world.read("moved"), "up\nagain\n");
}

#[test]
fn a_file_of_before_is_continued() {
    let mut world = fresh();
    world.write("a.log", "of before\n");
    world.ini("[program:a]\ncommand={actor} print now\nstartsecs=0\nstdout_logfile={root}/a.log\n");
    world.superd();
    until_ended(&world, "a");
    assert_eq!(world.read("a.log"), "of before\nnow\n");
}

#[test]
fn last_words_are_stored_before_the_end_is_told() {
    let world = world(
        "[program:exits]\ncommand={actor} spew 1MiB raw last exit 3\nautorestart=false\nstartsecs=0\n\
         stdout_logfile={root}/exits.log\n\
         [program:dies]\ncommand={actor} spew 1MiB raw last kill-self KILL\nautorestart=false\nstartsecs=0\n\
         stdout_logfile={root}/dies.log\n",
    );
    for name in ["exits", "dies"] {
        until_ended(&world, name);
        same_text(&world.read(format!("{name}.log")), &(spewed(1 << 20) + "last"));
    }
}

/// The daemon itself reads them in the moment in which it publishes the end.
#[test]
fn a_failed_start_shows_the_very_last_lines() {
    let world = world(
        "[program:a]\ncommand={actor} spew 300KiB spew-lines 12 exit 4\nautostart=false\nstartretries=0\n\
         stdout_logfile={root}/a.log\n",
    );
    let expected: Vec<String> = (3..=12).map(|n| format!("  | line {n}")).collect();
    for _ in 0..30 {
        let end = world.supers(&["start", "a"]);
        let tail: Vec<&str> = end.stderr.lines().filter(|l| l.starts_with("  | ")).collect();
        assert_eq!(tail, expected, "{end:?}");
    }
}

#[test]
fn every_run_of_a_crashing_program_leaves_its_line() {
    let world = world(
        "[program:a]\ncommand={actor} count-to-file {root}/runs pid exit 1\nautorestart=true\nstartsecs=0\n\
         stdout_logfile={root}/a.log\n",
    );
    world.until_fact("a hundred runs", || (world.read("runs").len() > 100).then_some(()));
    world.supers_ok(&["stop", "a"]);
    let log = world.read("a.log");
    let mut pids: Vec<&str> = log.lines().collect();
    let (runs, lines) = (world.read("runs").len(), pids.len());
    // The one that was stopped may have counted itself and said nothing yet.
    assert!(lines == runs || lines + 1 == runs, "{lines} lines of {runs} runs");
    pids.sort_unstable();
    pids.dedup();
    assert_eq!(pids.len(), lines, "each with a pid of its own");
}

#[test]
fn many_programs_write_at_once() {
    let world = world(
        "[program:w]\ncommand={actor} wait-file {root}/go spew 512KiB\nnumprocs=16\n\
         process_name=w%(process_num)d\nstartsecs=0\nautorestart=false\n\
         stdout_logfile={root}/w%(process_num)d.log\nstdout_logfile_maxbytes=100KB\nstdout_logfile_backups=20\n",
    );
    world.until("all run", |s| s.0.len() == 16 && s.0.iter().all(|p| p["state"] == "RUNNING"));
    world.write("go", "");
    world.until("all ended", |s| s.0.iter().all(|p| p["state"] == "EXITED"));
    let expected = spewed(512 << 10);
    for n in 0..16 {
        let pieces = pieces(&world, &format!("w{n}.log"));
        assert!(pieces.len() > 4, "{} files", pieces.len());
        same_text(&pieces.concat(), &expected);
    }
}

#[test]
fn many_programs_share_a_file_line_by_line() {
    let world = world(
        "[program:w]\ncommand={actor} wait-file {root}/go spew 256KiB\nnumprocs=8\n\
         process_name=w%(process_num)d\nstartsecs=0\nautorestart=false\nstdout_logfile={root}/all.log\n\
         stdout_logfile_maxbytes=0\n",
    );
    world.until("all run", |s| s.0.len() == 8 && s.0.iter().all(|p| p["state"] == "RUNNING"));
    world.write("go", "");
    world.until("all ended", |s| s.0.iter().all(|p| p["state"] == "EXITED"));
    let all = world.read("all.log");
    let mut lines: Vec<&str> = all.lines().collect();
    lines.sort_unstable();
    let one = spewed(256 << 10);
    let mut expected: Vec<&str> = std::iter::repeat_n(one.lines(), 8).flatten().collect();
    expected.sort_unstable();
    assert!(lines == expected, "{} lines of {}, or some are torn", lines.len(), expected.len());
}
