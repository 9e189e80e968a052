//! The end of all units (supervisor-contract 5 and 7).

mod common;

use common::fleet::Stage;
use common::{after, in_group, unit, with};
use supers_core::spec::When;

#[test]
fn shutdown_stops_groups_of_equal_priority_together() {
    let specs = || {
        [
            in_group("a1", "a", 5, 1),
            in_group("a2", "a", 5, 2),
            in_group("b1", "b", 5, 3),
            in_group("c1", "c", 9, 1),
            in_group("d1", "d", -1, 1),
        ]
    };
    let begin = "
        boot => d:d1 spawn, a:a1 spawn, a:a2 spawn, b:b1 spawn, c:c1 spawn
        spawned a:a1 a:a2 b:b1 c:c1 d:d1 => -
        ";
    let mut stage = Stage::new(specs());
    stage.play(&format!(
        "{begin}
        shutdown => c:c1 TERM
        exits 0 c:c1 => b:b1 TERM, a:a2 TERM, a:a1 TERM
        exits 0 b:b1 a:a1 => -
        exits 0 a:a2 => d:d1 TERM
        exits 0 d:d1 => all down
        "
    ));
    assert!(stage.fleet.is_stopping());
    // Supervisor's rule: one group after another, later names first.
    let mut stage = Stage::new(specs());
    assert!(!stage.fleet.is_stopping());
    stage.play(&format!(
        "{begin}
        shutdown one-by-one => c:c1 TERM
        exits 0 c:c1 => b:b1 TERM
        exits 0 b:b1 => a:a2 TERM, a:a1 TERM
        exits 0 a:a1 a:a2 => d:d1 TERM
        exits 0 d:d1 => all down
        "
    ));
}

#[test]
fn shutdown_respects_after_inside_a_rank() {
    let mut stage = Stage::new([unit("db"), after("web", &["db"])]);
    stage.play(
        "
        boot => db spawn
        spawned db => web spawn
        spawned web => -
        shutdown => web TERM
        exits 0 web => db TERM
        exits 0 db => all down
        ",
    );
}

#[test]
fn shutdown_of_nothing_is_done_at_once() {
    Stage::new([]).play("shutdown => all down");
    let mut stage = Stage::new([unit("a"), after("b", &["a"])]);
    stage.play(
        "
        shutdown => all down
        shutdown => -
        ",
    );
}

#[test]
fn after_a_shutdown_nothing_starts() {
    let mut stage =
        Stage::new([with("db", |s| s.restart.when = When::Always), after("web", &["db"]), unit("off")]);
    stage.play(
        "
        start db web => db spawn
        spawned db => web spawn
        spawned web => -
        restart db => db TERM
        shutdown => web TERM
        start off => -
        boot => -
        boot off => -
        restart off => -
        restart web => -
        reload web => -
        exits 0 db => -
        exits 0 web => all down
        start off => -
        +99s => -
        ? => db=STOPPED web=STOPPED off=STOPPED
        ",
    );
}

#[test]
fn shutdown_does_not_wait_for_what_is_beyond_reach() {
    let mut stage = Stage::new([unit("a"), in_group("b", "b", 1, 1)]);
    stage.play(
        "
        boot => b spawn, a spawn
        spawned a b => -
        shutdown => a TERM
        kill-fails a => b TERM
        ? => a=UNKNOWN b=STOPPING
        exits 0 b => all down
        ",
    );
}

#[test]
fn a_shutdown_takes_over_what_was_under_way() {
    let mut stage = Stage::new([unit("db"), after("web", &["db"]), unit("old"), unit("new")]);
    stage.play(
        "
        boot => db spawn, new spawn, old spawn
        spawned db new old => web spawn
        spawned web => -
        stop db web => web TERM
        remove old => old TERM
        ",
    );
    assert_eq!(stage.replace("new", |s| s.priority = 1), "new TERM");
    stage.play(
        "
        shutdown => -
        exits 0 old new => -
        exits 0 web => db TERM
        exits 0 db => all down
        ",
    );
}
