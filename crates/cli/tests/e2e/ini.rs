//! supervisord INI files with real daemons and real programs (supervisor-contract 1 to 8).

mod context;
mod daemon;
mod ends;
mod findings;
mod groups;
mod life;
mod reload;
mod spawn_errors;
mod stop;

use crate::common::world as fresh;
use supers_testkit::{Process, World};

/// A world whose superd runs this configuration.
fn world(text: &str) -> World {
    world_as(text, &[])
}

/// The same with arguments of superd.
fn world_as(text: &str, args: &[&str]) -> World {
    let mut world = fresh();
    world.ini(text);
    world.superd_with(args);
    world
}

/// Waits until a file below the root holds this text; all of it.
fn until_text(world: &World, file: &str, text: &str) -> String {
    world.until_fact(&format!("{text:?} in {file}"), || {
        Some(world.read(file)).filter(|found| found.contains(text))
    })
}

/// Takes hold of the process that an actor's `fork-and-stay` announced in this file.
fn grandchild(world: &World, file: &str) -> Process {
    let text = until_text(world, file, "\nup\n");
    let pid = text.lines().find_map(|line| line.strip_prefix("child ")).unwrap().parse().unwrap();
    Process::open(pid).unwrap()
}

/// Milliseconds of the day at which each line of the main log with this text was written.
fn moments(world: &World, text: &str) -> Vec<i64> {
    let log = world.read("supervisord.log");
    log.lines().filter(|line| line.contains(text)).map(moment).collect()
}

/// Of `2026-11-21 09:08:07,123 INFO text`.
fn moment(line: &str) -> i64 {
    let number = |from: usize, to: usize| -> i64 { line[from..to].parse().unwrap() };
    ((number(11, 13) * 60 + number(14, 16)) * 60 + number(17, 19)) * 1000 + number(20, 23)
}

/// Milliseconds between neighbours, also over midnight.
fn gaps(moments: &[i64]) -> Vec<i64> {
    moments.windows(2).map(|pair| (pair[1] - pair[0]).rem_euclid(86_400_000)).collect()
}

/// What stands behind this text in the lines of the main log, in order: `a` of `stopped: a (...)`.
fn names_after(world: &World, text: &str) -> Vec<String> {
    let log = world.read("supervisord.log");
    let rest = log.lines().filter_map(|line| line.split_once(text));
    rest.map(|(_, rest)| rest.trim_start_matches('\'').split([' ', '\'']).next().unwrap().to_string())
        .collect()
}

/// Asserts that the main log has a line with this text.
#[track_caller]
fn said(world: &World, text: &str) {
    let log = world.read("supervisord.log");
    assert!(log.lines().any(|line| line.ends_with(text)), "nowhere {text:?} in:\n{log}");
}
