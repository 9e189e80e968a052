//! Many units: boot, dependencies, stops, shutdown, reloads (supervisor-contract 7).

mod common;

use common::fleet::Stage;
use common::{commands, ini, secs, service, time};
use std::sync::Arc;
use std::time::Duration;
use supers_core::control::{Outcome, Verb};
use supers_core::fleet::{Fleet, Plan, Ticket, judge, plan, select};
use supers_core::ids::RunId;
use supers_core::proc::{Cause, Event, State, Want};
use supers_core::signal::Signal;
use supers_core::snapshot::Origin;
use supers_core::spec::{Kind, Spec, When};

/// RUNNING as soon as it is spawned; stays down when it ends.
fn unit(name: &str) -> Spec {
    service(name, When::Never)
}

fn with(name: &str, change: impl FnOnce(&mut Spec)) -> Spec {
    let mut spec = unit(name);
    change(&mut spec);
    spec
}

fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

fn after(name: &str, others: &[&str]) -> Spec {
    with(name, |s| s.order.after = names(others))
}

fn requires(name: &str, others: &[&str]) -> Spec {
    with(name, |s| (s.order.after, s.order.requires) = (names(others), names(others)))
}

fn in_group(name: &str, group: &str, group_priority: i32, priority: i32) -> Spec {
    with(name, |s| {
        s.group = group.into();
        (s.group_priority, s.priority) = (group_priority, priority);
    })
}

#[test]
fn boot_goes_by_group_priority_then_group_name_then_as_added() {
    let mut stage = Stage::new([
        in_group("late", "late", 999, 1),
        in_group("b2", "b", 5, 9),
        in_group("a1", "a", 5, 2),
        in_group("b1", "b", 5, 1),
        in_group("first", "z", -1, 999),
        with("off", |s| s.autostart = false),
    ]);
    stage.play(
        "
        boot => z:first spawn, a:a1 spawn, b:b2 spawn, b:b1 spawn, late spawn
        ? => late=STARTING b:b2=STARTING a:a1=STARTING b:b1=STARTING z:first=STARTING off=STOPPED
        boot => -
        ",
    );
}

#[test]
fn a_broken_description_is_fatal_with_its_reason() {
    let mut stage = Stage::new([
        with("bad", |s| {
            s.autostart = false;
            s.refused = Some("bad.service:3: no command".into());
        }),
        requires("needy", &["bad"]),
    ]);
    stage.play(
        "
        boot => -
        ? => bad=FATAL needy=FATAL
        start bad => -
        ? => bad=FATAL needy=FATAL
        ",
    );
    let cause = |name: &str| match &stage.fleet.get(stage.id(name)).unwrap().unit.state {
        State::Fatal { cause } => cause.to_string(),
        other => panic!("{other:?}"),
    };
    assert_eq!(cause("bad"), "refused: bad.service:3: no command");
    assert_eq!(cause("needy"), "bad, which it requires, did not start");
}

#[test]
fn after_waits_until_the_other_is_up() {
    let mut stage = Stage::new([after("web", &["db", "nobody"]), after("top", &["web"]), ini("db")]);
    stage.play(
        "
        boot => db spawn
        ? => web=held top=held db=STARTING
        +10s => -
        spawned db => -
        ? => web=held top=held db=STARTING
        => web spawn
        ? => web=STARTING top=held db=RUNNING
        spawned web => top spawn
        ",
    );
}

#[test]
fn who_waits_for_whom_is_told() {
    let mut stage = Stage::new([after("web", &["db", "cache"]), unit("db"), unit("cache")]);
    stage.say("boot");
    assert_eq!(stage.fleet.waits_for(stage.id("web")), ["db", "cache"]);
    stage.say("spawned db");
    assert_eq!(stage.fleet.waits_for(stage.id("web")), ["cache"]);
    stage.say("spawned cache");
    assert!(stage.fleet.waits_for(stage.id("web")).is_empty());
    assert!(stage.fleet.waits_for(stage.id("db")).is_empty());
}

#[test]
fn before_is_after_the_other_way_round() {
    let mut stage = Stage::new([unit("web"), with("db", |s| s.order.before = names(&["web"]))]);
    stage.play(
        "
        boot => db spawn
        spawned db => web spawn
        ",
    );
}

#[test]
fn after_is_only_an_order() {
    // One that fails, or that nobody starts, lets the others go.
    let mut stage = Stage::new([after("web", &["db"]), unit("db")]);
    stage.play(
        "
        start web => web spawn
        ? => web=STARTING db=STOPPED
        ",
    );
    let mut stage = Stage::new([after("web", &["db"]), unit("db")]);
    stage.play(
        "
        boot => db spawn
        fails db => web spawn
        ",
    );
    // One that tries again and again as well.
    let mut stage = Stage::new([after("web", &["db"]), ini("db")]);
    stage.play(
        "
        boot => db spawn
        fails db => web spawn
        ? => web=STARTING db=BACKOFF
        ",
    );
}

#[test]
fn after_a_oneshot_is_after_its_end() {
    let job = with("job", |s| {
        s.kind = Kind::Oneshot;
        s.exec = commands(2);
    });
    let mut stage = Stage::new([requires("web", &["job"]), job]);
    stage.play(
        "
        boot => job spawn
        spawned job => -
        exits 0 job => job spawn 1
        spawned job => -
        ? => web=held job=STARTING
        exits 0 job => web spawn
        ? => web=STARTING job=EXITED
        ",
    );
}

#[test]
fn requires_pulls_in_and_fails_together() {
    let mut stage = Stage::new([requires("web", &["db"]), with("db", |s| s.autostart = false)]);
    stage.play(
        "
        start web => db spawn
        ? => web=held db=STARTING
        fails db => -
        ? => web=FATAL db=FATAL
        start web => db spawn
        spawned db => web spawn
        ",
    );
    // A oneshot that ended badly is not there either; wants do not mind.
    let job = |name: &str| with(name, |s| s.kind = Kind::Oneshot);
    let wanting = with("lax", |s| (s.order.after, s.order.wants) = (names(&["job"]), names(&["job"])));
    let mut stage = Stage::new([requires("web", &["job"]), wanting, job("job")]);
    stage.play(
        "
        start lax => job spawn
        start web => -
        spawned job => -
        exits 1 job => lax spawn
        ? => web=FATAL lax=STARTING job=EXITED
        ",
    );
}

#[test]
fn requires_waits_for_the_retries_of_the_other() {
    let mut stage = Stage::new([requires("web", &["db"]), ini("db")]);
    stage.play(
        "
        boot => db spawn
        fails db => -
        ? => web=held db=BACKOFF
        +1s => db spawn
        spawned db => -
        +1s => web spawn
        ",
    );
    let mut stage = Stage::new([requires("web", &["db"]), ini("db")]);
    stage.play(
        "
        boot => db spawn
        fails db => -
        stop db => -
        ? => web=STOPPED db=STOPPED
        ",
    );
}

#[test]
fn requires_without_after_pulls_in_and_does_not_wait() {
    let spec = with("web", |s| s.order.requires = names(&["db"]));
    let mut stage = Stage::new([spec, unit("db")]);
    stage.play(
        "
        start web => db spawn, web spawn
        fails db => -
        ? => web=STARTING db=FATAL
        ",
    );
}

#[test]
fn a_start_pulls_in_only_what_is_down() {
    let mut stage = Stage::new([requires("web", &["db"]), requires("db", &["disk"]), unit("disk")]);
    stage.play(
        "
        start db => disk spawn
        spawned disk => db spawn
        spawned db => -
        start web => web spawn
        ",
    );
}

#[test]
fn wants_are_pulled_in_all_the_way() {
    let wants = |name: &str, other: &str| with(name, |s| s.order.wants = names(&[other]));
    let mut stage = Stage::new([wants("a", "b"), wants("b", "c"), unit("c")]);
    stage.play("start a => a spawn, b spawn, c spawn");
}

#[test]
fn a_program_of_several_slots_is_named_as_one() {
    let slot = |n: u8| {
        with(&format!("db_{n:02}"), |s| {
            (s.group, s.program) = ("db".into(), "db".into());
        })
    };
    let mut stage = Stage::new([after("web", &["db"]), slot(0), slot(1)]);
    stage.play(
        "
        boot => db:db_00 spawn, db:db_01 spawn
        spawned db:db_00 => -
        spawned db:db_01 => web spawn
        ",
    );
}

#[test]
fn a_circle_starts_all_the_same() {
    let mut stage = Stage::new([after("a", &["b"]), after("b", &["c"]), after("c", &["a"]), after("me", &["me"])]);
    stage.play(
        "
        boot => c spawn, me spawn
        spawned c => b spawn
        spawned b => a spawn
        ? => a=STARTING b=RUNNING c=RUNNING me=STARTING
        ",
    );
}

#[test]
fn a_stop_goes_from_the_followers_to_the_followed() {
    let mut stage = Stage::new([unit("db"), after("web", &["db"]), after("front", &["web"]), unit("other")]);
    stage.play(
        "
        boot => db spawn, other spawn
        spawned db other => web spawn
        spawned web => front spawn
        spawned front => -
        stop db web front => front TERM
        ? => db=RUNNING web=RUNNING front=STOPPING other=RUNNING
        exits 0 front => web TERM
        +90s => web KILL
        exits KILL web => db TERM
        exits 0 db => -
        ? => db=STOPPED web=STOPPED front=STOPPED other=RUNNING
        ",
    );
}

#[test]
fn a_stop_takes_along_who_requires_it() {
    let mut stage = Stage::new([unit("db"), requires("web", &["db"]), after("lax", &["db"]), requires("off", &["db"])]);
    stage.play(
        "
        start web lax => db spawn
        spawned db => web spawn, lax spawn
        spawned web lax => -
        stop db => web TERM
        exits 0 web => db TERM
        exits 0 db => -
        ? => db=STOPPED web=STOPPED lax=RUNNING off=STOPPED
        ",
    );
}

#[test]
fn whoever_waits_to_be_stopped_is_not_restarted() {
    // db crashes while its turn has not come.
    let db = with("db", |s| s.restart.when = When::Always);
    let mut stage = Stage::new([db, after("web", &["db"])]);
    stage.play(
        "
        boot => db spawn
        spawned db => web spawn
        spawned web => -
        stop db web => web TERM
        exits 1 db => -
        ? => db=EXITED web=STOPPING
        exits 0 web => -
        +99s => -
        ? => db=EXITED web=STOPPED
        ",
    );
    // The same for one that is still STARTING and would go to BACKOFF.
    for (stop, end) in [("stop db web", "STOPPED"), ("shutdown", "FATAL")] {
        let mut stage = Stage::new([ini("db"), after("web", &["db"])]);
        stage.play(&format!(
            "
            boot => db spawn
            spawned db => -
            +1s => web spawn
            spawned web => -
            restart db => db TERM
            exits 0 db => db spawn
            spawned db => -
            {stop} => web TERM
            exits 1 db => -
            ? => db={end} web=STOPPING
            +99s => web KILL
            "
        ));
        assert_eq!(stage.fleet.get(stage.id("db")).unwrap().unit.want, Want::Down);
    }
}

#[test]
fn a_oneshot_that_waits_to_be_stopped_begins_no_further_command() {
    let job = with("job", |s| {
        s.kind = Kind::Oneshot;
        s.exec = commands(2);
    });
    let mut stage = Stage::new([job, with("web", |s| s.order.after = names(&["job"]))]);
    stage.play(
        "
        start web => web spawn
        spawned web => -
        start job => job spawn
        spawned job => -
        stop job web => web TERM
        exits 0 job => -
        ? => job=EXITED web=STOPPING
        ",
    );
}

#[test]
fn held_ones_are_stopped_at_once() {
    let mut stage = Stage::new([unit("db"), after("web", &["db"]), after("front", &["web"])]);
    stage.play(
        "
        boot => db spawn
        ? => db=STARTING web=held front=held
        stop web => front spawn
        ? => db=STARTING web=STOPPED front=STARTING
        ",
    );
}

#[test]
fn a_start_is_stronger_than_an_earlier_stop() {
    // db has not been reached yet by the stop when it is wanted again.
    for order in ["start", "restart"] {
        let mut stage = Stage::new([unit("db"), after("web", &["db"]), after("front", &["web"])]);
        let at_once = if order == "start" { "-" } else { "db TERM" };
        let then = if order == "start" { "-" } else { "db spawn" };
        stage.play(&format!(
            "
            boot => db spawn
            spawned db => web spawn
            spawned web => front spawn
            spawned front => -
            stop db web front => front TERM
            {order} db => {at_once}
            exits 0 front => web TERM
            exits 0 web => -
            ? => db={} web=STOPPED front=STOPPED
            +1s => -
            ",
            if order == "start" { "RUNNING" } else { "STOPPING" }
        ));
        if order == "restart" {
            assert_eq!(stage.say("exits 0 db"), then);
        }
    }
    // One in the middle: those behind it are still reached.
    let mut stage = Stage::new([unit("db"), after("web", &["db"]), after("front", &["web"])]);
    stage.play(
        "
        boot => db spawn
        spawned db => web spawn
        spawned web => front spawn
        spawned front => -
        stop db web front => front TERM
        start web => -
        exits 0 front => db TERM
        ? => db=STOPPING web=RUNNING front=STOPPED
        ",
    );
}

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
    let mut stage = Stage::new([with("db", |s| s.restart.when = When::Always), after("web", &["db"]), unit("off")]);
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

#[test]
fn a_restart_is_each_on_its_own() {
    let mut stage = Stage::new([unit("db"), requires("web", &["db"])]);
    stage.play(
        "
        boot => db spawn
        spawned db => web spawn
        spawned web => -
        restart web db => db TERM, web TERM
        exits 0 db => db spawn
        exits 0 web => web spawn
        ",
    );
}

#[test]
fn a_start_after_one_that_comes_back_waits() {
    let mut stage = Stage::new([unit("db"), after("web", &["db"])]);
    stage.play(
        "
        start db => db spawn
        spawned db => -
        restart db => db TERM
        start web => -
        ? => db=STOPPING web=held
        exits 0 db => db spawn
        spawned db => web spawn
        ",
    );
    // Unless it is stopped after all.
    let mut stage = Stage::new([unit("db"), after("web", &["db"])]);
    stage.play(
        "
        start db => db spawn
        spawned db => -
        restart db => db TERM
        start web => -
        stop db => web spawn
        ",
    );
}

#[test]
fn replace_starts_again_what_was_wanted() {
    let mut stage = Stage::new([unit("up"), with("down", |s| s.autostart = false), unit("gone")]);
    stage.play(
        "
        boot => gone spawn, up spawn
        spawned up gone => -
        exits 0 gone => -
        ",
    );
    assert_eq!(stage.replace("up", |s| s.priority = 7), "up TERM");
    assert_eq!(stage.replace("down", |s| s.priority = 7), "-");
    assert_eq!(stage.replace("gone", |s| s.priority = 7), "gone spawn", "wanted up, whatever became of it");
    assert_eq!(stage.say("exits 0 up"), "up spawn");
    for name in ["up", "down", "gone"] {
        assert_eq!(stage.fleet.get(stage.id(name)).unwrap().spec.priority, 7, "{name}");
    }
    assert_eq!(stage.states(), "up=STARTING down=STOPPED gone=STARTING");
}

#[test]
fn replace_by_the_same_touches_nothing_but_the_place() {
    let mut stage = Stage::new([unit("web")]);
    stage.play("boot => web spawn\n spawned web => -");
    let id = stage.id("web");
    let origin = Arc::new(Origin { line: 7, ..Origin::default() });
    stage.fleet.take_dirty();
    let spec = Arc::new(unit("web"));
    stage.fleet.replace(id, spec, origin, time(stage.clock), &mut stage.deeds);
    assert_eq!(stage.told(), "-");
    assert_eq!(stage.fleet.get(id).unwrap().origin.line, 7);
    assert!(stage.fleet.take_dirty().contains(&id));
}

#[test]
fn replace_of_a_failed_one_forgets_the_reason() {
    let bad = with("bad", |s| {
        s.refused = Some("why".into());
        s.autostart = false;
    });
    let mut stage = Stage::new([bad]);
    stage.say("boot");
    stage.say("stop bad");
    assert_eq!(stage.states(), "bad=FATAL");
    assert_eq!(stage.replace("bad", |s| s.refused = None), "-");
    assert_eq!(stage.states(), "bad=STOPPED");
    // One that was wanted is tried at once.
    let mut stage = Stage::new([with("bad", |s| s.refused = Some("why".into()))]);
    stage.say("boot");
    assert_eq!(stage.replace("bad", |s| s.refused = None), "bad spawn");
}

#[test]
fn replace_twice_takes_the_last() {
    let mut stage = Stage::new([unit("web")]);
    stage.play("boot => web spawn\n spawned web => -");
    assert_eq!(stage.replace("web", |s| s.priority = 1), "web TERM");
    assert_eq!(stage.replace("web", |s| s.priority = 2), "-");
    assert_eq!(stage.say("exits 0 web"), "web spawn");
    assert_eq!(stage.fleet.get(stage.id("web")).unwrap().spec.priority, 2);
    stage.say("spawned web");
    // There and back again.
    assert_eq!(stage.replace("web", |s| s.priority = 3), "web TERM");
    assert_eq!(stage.replace("web", |s| s.priority = 2), "-");
    assert_eq!(stage.say("exits 0 web"), "web spawn");
    assert_eq!(stage.fleet.get(stage.id("web")).unwrap().spec.priority, 2);
}

#[test]
fn an_order_while_it_is_replaced_counts() {
    let begin = |stage: &mut Stage| {
        stage.play("boot => web spawn\n spawned web => -");
        assert_eq!(stage.replace("web", |s| s.priority = 1), "web TERM");
    };
    let mut stage = Stage::new([unit("web")]);
    begin(&mut stage);
    stage.play(
        "
        stop web => -
        exits 0 web => -
        ? => web=STOPPED
        ",
    );
    assert_eq!(stage.fleet.get(stage.id("web")).unwrap().spec.priority, 1);
    for order in ["start", "restart", "boot"] {
        let mut stage = Stage::new([unit("web")]);
        begin(&mut stage);
        stage.say("stop web");
        assert_eq!(stage.say(&format!("{order} web")), "-");
        assert_eq!(stage.fleet.get(stage.id("web")).unwrap().unit.want, Want::Down);
        assert_eq!(stage.say("exits 0 web"), "web spawn", "{order}");
        assert_eq!(stage.fleet.get(stage.id("web")).unwrap().spec.priority, 1, "the new description");
    }
}

#[test]
fn one_that_was_left_running_is_not_started_again_by_a_reload() {
    let mut stage = Stage::new([with("web", |s| s.stop.kill = false)]);
    stage.play("boot => web spawn\n spawned web => -");
    assert_eq!(stage.replace("web", |s| s.priority = 1), "web TERM");
    stage.play("+90s => -\n ? => web=FATAL");
    let slot = stage.fleet.get(stage.id("web")).unwrap();
    assert_eq!(slot.spec.priority, 1);
    assert!(matches!(slot.unit.state, State::Fatal { cause: Cause::LeftRunning(_) }));
}

#[test]
fn a_new_description_brings_its_relations() {
    let mut stage = Stage::new([unit("a"), unit("b"), unit("c")]);
    stage.say("start c");
    stage.replace("b", |s| s.order.after = names(&["c"]));
    stage.play(
        "
        start b => -
        ? => a=STOPPED b=held c=STARTING
        spawned c => b spawn
        spawned b => -
        ",
    );
    // A relation that goes lets go whom it held.
    let mut stage = Stage::new([unit("a"), with("b", |s| s.order.before = names(&["a"])), ini("c")]);
    stage.say("start c");
    stage.replace("a", |s| s.order.after = names(&["b", "c"]));
    assert_eq!(stage.say("start a"), "-");
    assert_eq!(stage.replace("a", |s| s.order.after.clear()), "a spawn");
    // A start that follows a change at once sees the new relations.
    let mut stage = Stage::new([unit("a"), ini("c")]);
    stage.say("start c");
    stage.say("start a");
    stage.say("spawned a");
    assert_eq!(stage.replace("a", |s| s.order.after = names(&["c"])), "a TERM");
    stage.play("exits 0 a => -\n ? => a=held c=STARTING");
}

#[test]
fn remove_stops_first_and_is_told_once() {
    let mut stage = Stage::new([unit("up"), unit("down"), after("last", &["up"])]);
    stage.play(
        "
        start up => up spawn
        spawned up => -
        remove down => down removed
        remove up => up TERM
        remove up => -
        start up => -
        restart up => -
        exits 0 up => up removed
        ? => last=STOPPED
        ",
    );
    assert_eq!(stage.fleet.find("up"), None);
    assert_eq!(stage.fleet.capacity(), 3, "slots are not used again");
    assert!(stage.add(unit("up")).is_some());
    assert!(stage.add(unit("up")).is_none(), "a name is given once");
    assert_eq!(stage.fleet.capacity(), 4);
    assert_eq!(stage.id("up").0, 3);
}

#[test]
fn a_removed_one_lets_go_who_waits_for_it() {
    let mut stage = Stage::new([unit("db"), after("web", &["db"])]);
    stage.play(
        "
        boot => db spawn
        remove db => web spawn
        spawned db => db TERM
        exits 0 db => db removed
        ",
    );
    // A start of one on its way out is no hope.
    let mut stage = Stage::new([unit("db"), after("web", &["db"])]);
    stage.play(
        "
        start db => db spawn
        spawned db => -
        remove db => db TERM
        start db web => web spawn
        exits 0 db => db removed
        ",
    );
}

#[test]
fn a_backoff_that_is_removed_leaves_no_deadline() {
    let mut stage = Stage::new([ini("web")]);
    stage.play("boot => web spawn\n fails web => -");
    assert_eq!(stage.fleet.deadline(), Some(time(secs(1)).mono));
    assert_eq!(stage.say("remove web"), "web removed");
    assert_eq!(stage.fleet.deadline(), None);
}

#[test]
fn described_again_before_it_was_gone() {
    let mut stage = Stage::new([unit("web")]);
    stage.play("boot => web spawn\n spawned web => -\n remove web => web TERM");
    let spec = Arc::new(unit("web"));
    let id = stage.id("web");
    stage.fleet.replace(id, spec, Arc::default(), time(stage.clock), &mut stage.deeds);
    stage.play("exits 0 web => web spawn\n ? => web=STARTING");
}

fn view(plan: &Plan, fleet: &Fleet) -> String {
    let of = |id: &supers_core::ids::UnitId| fleet.get(*id).unwrap().spec.full_name();
    let list = |what: &str, names: Vec<String>| format!("{what}[{}]", names.join(" "));
    [
        list("added", plan.added.iter().map(|(s, _)| s.full_name()).collect()),
        list("changed", plan.changed.iter().map(|(id, _)| of(id)).collect()),
        list("removed", plan.removed.iter().map(of).collect()),
        list("same", plan.same.iter().map(|(id, _)| of(id)).collect()),
        list("kept", plan.kept.iter().map(|(id, _)| of(id)).collect()),
    ]
    .join(" ")
}

fn planned(stage: &Stage, specs: impl IntoIterator<Item = Spec>) -> String {
    let wanted = specs.into_iter().map(|s| (Arc::new(s), Arc::new(Origin { line: 9, ..Origin::default() })));
    view(&plan(&stage.fleet, wanted.collect()), &stage.fleet)
}

#[test]
fn a_plan_names_what_changes() {
    let mut stage = Stage::new([unit("same"), unit("changed"), unit("removed")]);
    let new = || [unit("same"), with("changed", |s| s.priority = 1), unit("added")];
    assert_eq!(planned(&stage, new()), "added[added] changed[changed] removed[removed] same[same] kept[]");
    // A broken new text does not touch what is up, and marks what is down.
    let broken = |name: &str| with(name, |s| s.refused = Some("why".into()));
    let all = || [broken("same"), broken("changed"), unit("removed")];
    assert_eq!(planned(&stage, all()), "added[] changed[same changed] removed[] same[removed] kept[]");
    stage.say("start same");
    assert_eq!(planned(&stage, all()), "added[] changed[changed] removed[] same[removed] kept[same]");
    stage.play("spawned same => -\n exits 0 same => -\n ? => same=EXITED changed=STOPPED removed=STOPPED");
    let plan = planned(&stage, all());
    assert_eq!(plan, "added[] changed[changed] removed[] same[removed] kept[same]", "wanted up still");
}

#[test]
fn a_broken_one_may_be_broken_otherwise() {
    let broken = |why: &str| with("bad", |s| s.refused = Some(why.into()));
    let mut stage = Stage::new([broken("this")]);
    stage.say("boot");
    assert_eq!(planned(&stage, [broken("that")]), "added[] changed[bad] removed[] same[] kept[]");
}

#[test]
fn a_plan_sees_what_is_under_way() {
    let mut stage = Stage::new([unit("web"), unit("old")]);
    stage.play("boot => old spawn, web spawn\n spawned web old => -\n remove old => old TERM");
    stage.replace("web", |s| s.priority = 1);
    let new = || with("web", |s| s.priority = 1);
    assert_eq!(planned(&stage, [new()]), "added[] changed[] removed[] same[web] kept[]");
    assert_eq!(planned(&stage, [unit("web")]), "added[] changed[web] removed[] same[] kept[]");
    assert_eq!(planned(&stage, [new(), unit("old")]), "added[] changed[old] removed[] same[web] kept[]");
    let broken = with("old", |s| s.refused = Some("why".into()));
    assert_eq!(planned(&stage, [new(), broken]), "added[] changed[old] removed[] same[web] kept[]");
}

#[test]
fn names_people_type() {
    let slot = |n: u8| {
        with(&format!("db_{n:02}"), |s| {
            (s.group, s.program) = ("db".into(), "db".into());
        })
    };
    let stage = Stage::new([
        unit("web"),
        slot(0),
        slot(1),
        in_group("one", "g", 1, 1),
        in_group("two", "g", 1, 1),
        in_group("one", "h", 1, 1),
        in_group("only", "h", 1, 1),
        unit("odd.service"),
        in_group("web", "k", 1, 1),
    ]);
    let full = |list: &[&str]| match select(&stage.fleet, &names(list)) {
        Ok(ids) => {
            let name = |id| stage.fleet.get(id).map(|s| s.spec.full_name()).unwrap();
            ids.into_iter().map(name).collect::<Vec<_>>().join(" ")
        }
        Err(name) => format!("no {name}"),
    };
    let table: [(&[&str], &str); 23] = [
        (&["web"], "web"),
        (&["web.service"], "web"),
        (&["odd.service"], "odd.service"),
        (&["odd.service.service"], "odd.service"),
        (&["g:one"], "g:one"),
        (&["g:one.service"], "g:one"),
        (&["g:*"], "g:one g:two"),
        (&["g:"], "g:one g:two"),
        (&["g"], "g:one g:two"),
        (&["only"], "h:only"),
        (&["two"], "g:two"),
        (&["one"], "g:one h:one"),
        (&["db"], "db:db_00 db:db_01"),
        (&["db:db_01"], "db:db_01"),
        (&["db_0?"], "db:db_00 db:db_01"),
        (&["*:one"], "g:one h:one"),
        (&["[gh]:o*"], "g:one h:one h:only"),
        (&["db_01", "db", "web"], "db:db_01 db:db_00 web"),
        (&["nobody"], "no nobody"),
        (&["web", "nobody", "none"], "no nobody"),
        (&["x*"], "no x*"),
        (&["x:*"], "no x:*"),
        (&[], ""),
    ];
    for (typed, want) in table {
        assert_eq!(full(typed), want, "{typed:?}");
    }
    assert_eq!(full(&["all"]).split(' ').count(), 9);
    let mut all = stage.fleet.full_names();
    all.truncate(2);
    assert_eq!(all, ["web", "db:db_00"]);
    assert_eq!(select(&Fleet::default(), &names(&["all"])), Ok(vec![]));
    assert_eq!(select(&Fleet::default(), &names(&["web"])), Err("web".into()));
}

/// The answer to an order given when the unit's last run was `run`, after these lines.
fn judged(spec: Spec, verb: Verb, lines: &[&str], run: u64) -> Option<(Outcome, String)> {
    let mut stage = Stage::new([spec]);
    for line in lines {
        stage.say(line);
    }
    let slot = stage.fleet.get(stage.id("web")).unwrap();
    judge(Ticket { verb, run: RunId(run) }, slot)
}

#[test]
fn when_a_start_is_carried_out() {
    let web = || ini("web");
    let up = ["start web", "spawned web", "+1s"];
    let job = || with("web", |s| s.kind = Kind::Oneshot);
    let good = Some((Outcome::Started, String::new()));
    let is = |outcome, why: &str| Some((outcome, why.to_string()));
    let table: [(Spec, &[&str], Option<(Outcome, String)>); 13] = [
        (web(), &["start web"], None),
        (web(), &["start web", "spawned web"], None),
        (web(), &up, good.clone()),
        (web(), &["start web", "fails web"], is(Outcome::Failed, "cannot start: no such file")),
        (unit("web"), &["start web", "fails web"], is(Outcome::Failed, "cannot start: no such file")),
        (job(), &["start web", "spawned web"], None),
        (job(), &["start web", "spawned web", "exits 0 web"], is(Outcome::Started, "exit status 0 after 0 ms")),
        (job(), &["start web", "spawned web", "exits 1 web"], is(Outcome::Failed, "exit status 1 after 0 ms")),
        (web(), &["start web", "stop web"], is(Outcome::Superseded, "another order stopped it")),
        (web(), &["start web", "stop web", "fails web"], is(Outcome::Superseded, "another order stopped it")),
        (web(), &["start web", "spawned web", "stop web", "start web"], None),
        (web(), &["start web", "spawned web", "kill-fails web"], is(Outcome::Failed, "a signal could not be sent to it")),
        (
            with("web", |s| s.refused = Some("why".into())),
            &["start web"],
            is(Outcome::Failed, "refused: why"),
        ),
    ];
    for (spec, lines, want) in table {
        assert_eq!(judged(spec, Verb::Start, lines, 0), want, "{lines:?}");
    }
    // What an earlier run became is no answer.
    assert_eq!(judged(web(), Verb::Start, &up, 1), None);
    for end in ["0", "1"] {
        let lines = ["start web", "spawned web", &format!("exits {end} web")];
        assert_eq!(judged(job(), Verb::Start, &lines, 1), None);
    }
    assert_eq!(judged(web(), Verb::Start, &["start web", "fails web"], 1), None);
}

#[test]
fn when_a_restart_is_carried_out() {
    let up = ["start web", "spawned web", "+1s", "restart web"];
    let round = [&up[..], &["exits 0 web"]].concat();
    let done = [&round[..], &["spawned web", "+1s"]].concat();
    assert_eq!(judged(ini("web"), Verb::Restart, &up, 1), None);
    assert_eq!(judged(ini("web"), Verb::Restart, &round, 1), None);
    assert_eq!(judged(ini("web"), Verb::Restart, &done, 1), Some((Outcome::Restarted, String::new())));
}

#[test]
fn when_a_stop_is_carried_out() {
    let up = ["start web", "spawned web", "+1s"];
    let stopped = |more: &[&str], spec: Spec| judged(spec, Verb::Stop, &[&up[..], more].concat(), 1);
    let done = Some((Outcome::Stopped, String::new()));
    assert_eq!(stopped(&["stop web"], ini("web")), None);
    assert_eq!(stopped(&["stop web", "exits 0 web"], ini("web")), done);
    assert_eq!(
        stopped(&["stop web", "start web"], ini("web")),
        Some((Outcome::Superseded, "another order started it".into()))
    );
    let unknown = Some((Outcome::Failed, "a signal could not be sent to it".into()));
    assert_eq!(stopped(&["stop web", "kill-fails web"], ini("web")), unknown);
    let deaf = with("web", |s| s.stop.kill = false);
    let left = Some((Outcome::Stopped, "did not stop and may not be killed: pid 1 was let go".into()));
    assert_eq!(stopped(&["stop web", "+90s"], deaf), left);
}

#[test]
fn other_orders_leave_no_trace() {
    let up = ["start web", "spawned web", "+1s"];
    for verb in [Verb::Reload, Verb::Signal(1)] {
        assert_eq!(judged(ini("web"), verb, &up, 0), None);
    }
}

#[test]
fn a_start_that_waits_for_a_new_description_is_under_way() {
    let mut stage = Stage::new([ini("web")]);
    for line in ["start web", "spawned web", "+1s"] {
        stage.say(line);
    }
    stage.replace("web", |s| s.priority = 1);
    let ticket = Ticket { verb: Verb::Start, run: RunId(0) };
    assert_eq!(judge(ticket, stage.fleet.get(stage.id("web")).unwrap()), None);
}

#[test]
fn changes_are_published_and_only_changes() {
    let mut stage = Stage::new([ini("a"), unit("b")]);
    assert_eq!(stage.fleet.take_dirty().len(), 2);
    stage.say("start a");
    let (a, b) = (stage.id("a"), stage.id("b"));
    assert!(stage.fleet.take_dirty().into_iter().eq([a]));
    stage.say("+1s");
    assert!(stage.fleet.take_dirty().is_empty());
    stage.say("spawned a");
    assert!(stage.fleet.take_dirty().into_iter().eq([a]));
    stage.say("stop b");
    assert!(stage.fleet.take_dirty().into_iter().eq([b]), "its answer may be waited for");
    stage.fact("b", Event::Signal(Signal::HUP));
    stage.fleet.take_dirty();
    stage.fact("b", Event::Tick);
    assert!(stage.fleet.take_dirty().is_empty());
    assert_eq!(stage.clock, Duration::from_secs(1));
}

#[test]
fn runs_are_numbered_from_where_another_daemon_ended() {
    let mut fleet = Fleet::new(RunId(41));
    let id = fleet.add(Arc::new(unit("web")), Arc::default(), time(Duration::ZERO)).unwrap();
    let mut out = Vec::new();
    fleet.boot(time(Duration::ZERO), &mut out);
    assert_eq!(fleet.get(id).unwrap().unit.run, RunId(42));
}

#[test]
fn one_tick_serves_all_that_is_due() {
    let mut stage = Stage::new([ini("a"), ini("b"), ini("c")]);
    stage.play(
        "
        boot => a spawn, b spawn, c spawn
        fails a => -
        +500ms fails b => -
        spawned c => -
        ",
    );
    assert_eq!(stage.fleet.deadline(), Some(time(secs(1)).mono));
    stage.play(
        "
        +1s => a spawn, b spawn
        ? => a=STARTING b=STARTING c=RUNNING
        ",
    );
    assert_eq!(stage.fleet.deadline(), None);
}
