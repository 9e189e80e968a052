//! Every text of the corpora, and a short run by a fixed seed.
#![allow(clippy::unwrap_used, clippy::panic)]

use std::time::Duration;
use supers_fuzz::TARGETS;
use supers_fuzz::run::{Plan, corpus_of, run};

/// On a fast machine the count ends it, on a slow one the time.
const PLAN: Plan = Plan { seed: 20_250_601, inputs: 20_000, time: Duration::from_secs(2) };

fn short(name: &str) {
    let target = TARGETS.iter().find(|t| t.name == name).unwrap();
    let done = run(target, &PLAN).unwrap_or_else(|why| panic!("{why}"));
    assert!(done.files >= 20, "{name} has {} texts to begin with", done.files);
    // Whoever calls every input the same has stopped to look.
    assert!(done.inputs > 0 && done.kinds > 10, "{done:?}");
    println!("{name}: {done:?}");
}

#[test]
fn capture() {
    short("capture");
}

#[test]
fn http() {
    short("http");
}

#[test]
fn ini() {
    short("ini");
}

#[test]
fn listener() {
    short("listener");
}

#[test]
fn unit() {
    short("unit");
}

#[test]
fn xmlrpc() {
    short("xmlrpc");
}

/// A folder without a target is never run.
#[test]
fn every_folder_has_a_target() {
    let corpora = corpus_of(&TARGETS[0]);
    let folders = std::fs::read_dir(corpora.parent().unwrap()).unwrap();
    let mut names: Vec<_> = folders.map(|f| f.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    assert_eq!(names, TARGETS.map(|t| t.name));
}
