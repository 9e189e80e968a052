//! What is on disk, as a daemon that was killed anywhere leaves it.

use super::super::outbox::{Bounds, Outbox, Put, Settled, Source};
use super::{Lab, end_of};
use std::fs;
use std::os::unix::fs::PermissionsExt;

const URL: &str = "http://hooks/x";

fn open(lab: &Lab) -> Outbox {
    Outbox::open(lab.outbox(), Bounds::default()).0
}

#[test]
fn what_was_taken_is_there_after_a_crash_and_only_once() {
    let lab = Lab::new();
    let first = end_of(1, URL);
    let mut outbox = open(&lab);
    assert!(lab.files().is_empty(), "nothing is made before it is needed");
    assert_eq!(outbox.put(first.clone()), Put::Taken);
    assert_eq!(outbox.put(first.clone()), Put::Known);
    assert_eq!(outbox.put(end_of(2, URL)), Put::Taken);
    drop(outbox);

    let mut outbox = open(&lab);
    assert_eq!(outbox.len(), 2);
    assert_eq!(outbox.put(first.clone()), Put::Known);
    let ids: Vec<_> = outbox.take_fresh().into_iter().map(|t| t.id).collect();
    assert_eq!(ids, [first.id, end_of(2, URL).id], "the oldest is tried first");
    let Some(Source::File(path)) = outbox.source(first.id) else { panic!("it is in a file") };
    assert_eq!(super::super::outbox::read(&path, first.id).unwrap().0, first);
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(fs::metadata(lab.outbox()).unwrap().permissions().mode() & 0o777, 0o700);
}

#[test]
fn what_is_done_with_is_not_taken_again() {
    let lab = Lab::new();
    let first = end_of(1, URL);
    let mut outbox = open(&lab);
    outbox.put(first.clone());
    assert!(outbox.settle(first.id));
    Settled::open(&lab.outbox()).add(first.id).unwrap();
    assert_eq!(lab.files(), ["settled"]);
    assert_eq!(outbox.put(first.clone()), Put::Known);
    assert_eq!(open(&lab).put(first), Put::Known);
}

/// Killed after the list was written and before the file was removed.
#[test]
fn a_file_that_the_list_names_is_removed_and_not_sent() {
    let lab = Lab::new();
    let (first, second) = (end_of(1, URL), end_of(2, URL));
    let mut outbox = open(&lab);
    outbox.put(first.clone());
    let path = lab.outbox().join(format!("{}.json", first.id));
    let kept = fs::read(&path).unwrap();
    let mut settled = Settled::open(&lab.outbox());
    settled.add(first.id).unwrap();
    fs::write(&path, kept).unwrap();
    // A line was torn, too.
    fs::write(lab.outbox().join("settled"), format!("{}\n{}", first.id, &second.id.to_string()[..9]))
        .unwrap();

    let mut outbox = open(&lab);
    assert_eq!((outbox.len(), lab.waiting_files()), (0, 0));
    assert_eq!(outbox.put(second.clone()), Put::Taken);
    Settled::open(&lab.outbox()).add(second.id).unwrap();
    let list = fs::read_to_string(lab.outbox().join("settled")).unwrap();
    assert_eq!(list, format!("{}\n{}\n", first.id, second.id));
}

#[test]
fn what_cannot_be_read_is_said_and_the_rest_goes_on() {
    let lab = Lab::new();
    open(&lab).put(end_of(1, URL));
    let name = |n: u8| lab.outbox().join(format!("{n:032x}.json"));
    fs::write(name(1), b"{\"version\":1,\"del").unwrap();
    fs::write(name(2), b"").unwrap();
    fs::write(name(3), b"{\"version\":9,\"delivery\":null}").unwrap();
    fs::write(name(4).with_extension("new"), b"half").unwrap();
    fs::write(lab.outbox().join("notes.txt"), b"not ours").unwrap();
    let (outbox, complaints) = Outbox::open(lab.outbox(), Bounds::default());
    assert_eq!((outbox.len(), complaints.len()), (1, 3), "{complaints:?}");
    assert_eq!(lab.waiting_files(), 1);
    assert!(lab.files().iter().any(|f| f == "notes.txt") && !lab.files().iter().any(|f| f.ends_with("new")));
}

#[test]
fn the_oldest_is_dropped_when_there_are_too_many() {
    let lab = Lab::new();
    let bounds = Bounds { files: 3, ..Bounds::default() };
    let mut outbox = Outbox::open(lab.outbox(), bounds).0;
    (1..=5).for_each(|run| drop(outbox.put(end_of(run, URL))));
    assert_eq!((outbox.len(), outbox.dropped, lab.waiting_files()), (3, 2, 3));
    assert!(outbox.source(end_of(2, URL).id).is_none() && outbox.source(end_of(3, URL).id).is_some());
    // A smaller bound holds for what was left, too.
    let size = fs::metadata(lab.outbox().join(format!("{}.json", end_of(5, URL).id))).unwrap().len();
    let outbox = Outbox::open(lab.outbox(), Bounds { bytes: size * 3 / 2, ..bounds }).0;
    assert_eq!((outbox.len(), lab.waiting_files()), (1, 1));
    assert!(outbox.source(end_of(5, URL).id).is_some());
}

#[test]
fn a_disk_that_takes_nothing_costs_no_notification() {
    let lab = Lab::new();
    fs::write(lab.dir.path().join("state"), b"a file where the folder should be").unwrap();
    let mut outbox = Outbox::open(lab.outbox(), Bounds { unsaved: 2, ..Bounds::default() }).0;
    let first = end_of(1, URL);
    assert!(matches!(outbox.put(first.clone()), Put::Unsaved(why) if why.contains("outbox: ")));
    assert!(matches!(outbox.source(first.id), Some(Source::Memory(d)) if *d == first));
    assert!(matches!(outbox.put(end_of(2, URL)), Put::Unsaved(_)));
    // Bounded: then the newest goes.
    assert!(matches!(outbox.put(end_of(3, URL)), Put::Lost(_)));
    assert_eq!((outbox.len(), outbox.unsaved(), outbox.dropped), (2, 2, 1));
    assert!(!outbox.settle(first.id), "there is nothing on disk to be told");
    assert_eq!(outbox.unsaved(), 1);
}

#[test]
fn the_list_is_bounded() {
    let lab = Lab::new();
    let mut outbox = open(&lab);
    outbox.put(end_of(1, URL));
    let mut settled = Settled::open(&lab.outbox());
    for run in 1..=2500 {
        let id = end_of(run, URL).id;
        settled.add(id).unwrap();
        outbox.settle(id);
    }
    let lines = fs::read_to_string(lab.outbox().join("settled")).unwrap().lines().count();
    assert!((1000..=2000).contains(&lines), "{lines}");
    assert_eq!(outbox.put(end_of(2500, URL)), Put::Known);
    assert_eq!(outbox.put(end_of(1000, URL)), Put::Taken);
    assert_eq!(open(&lab).put(end_of(2400, URL)), Put::Known);
}
