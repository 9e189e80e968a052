//! Output of programs: where it goes, that nothing of it is lost, and how it is read back
//! (supervisor-contract 8).

mod files;
mod full_disk;
mod reading;
mod rotation;
mod streams;

use crate::common::world as fresh;
use supers_testkit::{Process, World};

/// A world whose superd runs this configuration.
fn world(text: &str) -> World {
    let mut world = fresh();
    world.ini(text);
    world.superd();
    world
}

/// Waits until a file below the root holds this text; all of it.
fn until_text(world: &World, file: &str, text: &str) -> String {
    world.until_fact(&format!("{text:?} in {file}"), || {
        Some(world.read(file)).filter(|found| found.contains(text))
    })
}

/// Waits until a program has ended, its output stored.
fn until_ended(world: &World, name: &str) {
    world.until(&format!("{name} ended"), |s| s.state(name) == "EXITED");
}

/// A running program's process, held.
fn process(world: &World, name: &str) -> Process {
    let pid = world.until(&format!("{name} runs"), |s| s.state(name) == "RUNNING").pid(name);
    Process::open(pid).unwrap()
}

/// The backups of a log from the oldest to the newest, then the log itself.
fn pieces(world: &World, file: &str) -> Vec<String> {
    let backups = (1..).map(|n| format!("{file}.{n}")).take_while(|name| world.path(name).exists());
    let mut all: Vec<String> = backups.map(|name| world.read(name)).collect();
    all.reverse();
    all.push(world.read(file));
    all
}

/// What the actor's `spew` writes.
fn spewed(bytes: usize) -> String {
    let filler = ".".repeat(128 - 13);
    (0..bytes / 128).map(|number| format!("{number:012}{filler}\n")).collect()
}

/// Compares long texts without printing them.
#[track_caller]
fn same_text(found: &str, expected: &str) {
    if found == expected {
        return;
    }
    let differs = found.lines().zip(expected.lines()).position(|(a, b)| a != b);
    let line = differs.unwrap_or(found.lines().count().min(expected.lines().count()));
    let show = |text: &str| text.lines().nth(line).map(str::to_string);
    panic!(
        "{} bytes instead of {}; line {line} is {:?} instead of {:?}",
        found.len(),
        expected.len(),
        show(found),
        show(expected)
    );
}
