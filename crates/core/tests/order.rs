//! Many units: boot, dependencies, stops (supervisor-contract 7).

mod common;

use common::fleet::Stage;
use common::{after, commands, in_group, ini, names, requires, secs, time, unit, with};
use std::sync::Arc;
use std::time::Duration;
use supers_core::fleet::Fleet;
use supers_core::ids::RunId;
use supers_core::proc::{Event, State, Want};
use supers_core::signal::Signal;
use supers_core::spec::{Kind, When};

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
        +1s => web spawn
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
        s.exec = commands(2).into();
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
fn a_start_turns_round_the_stop_of_what_it_requires() {
    let mut stage = Stage::new([unit("db"), requires("web", &["db"])]);
    stage.play(
        "
        start db => db spawn
        spawned db => -
        stop db => db TERM
        start web => -
        ? => db=STOPPING web=held
        exits 0 db => db spawn
        spawned db => web spawn
        ",
    );
    // One that cannot be reached is not there.
    let mut stage = Stage::new([unit("db"), requires("web", &["db"])]);
    stage.play(
        "
        start db => db spawn
        spawned db => -
        kill-fails db => -
        start web => -
        ? => db=UNKNOWN web=FATAL
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
    let mut stage =
        Stage::new([after("a", &["b"]), after("b", &["c"]), after("c", &["a"]), after("me", &["me"])]);
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
    let mut stage =
        Stage::new([unit("db"), requires("web", &["db"]), after("lax", &["db"]), requires("off", &["db"])]);
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
        s.exec = commands(2).into();
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

#[test]
fn no_deadline_passes_while_an_end_waits_to_be_told() {
    let job = |name: &str, n: usize| {
        with(name, |s| {
            s.kind = Kind::Oneshot;
            s.start_timeout = Some(secs(2));
            s.exec = commands(n).into();
        })
    };
    let mut stage = Stage::new([job("job", 1), job("long", 2), ini("web")]);
    stage.play(
        "
        boot => job spawn, long spawn, web spawn
        spawned job long web => -
        is-gone job => -
        is-gone long => -
        is-gone web => -
        start job web => -
        ",
    );
    assert_eq!(stage.fleet.deadline(), None);
    stage.play(
        "
        +3s => -
        ? => job=STARTING long=STARTING web=STARTING
        exits 0 job web => -
        ? => job=EXITED long=STARTING web=EXITED
        exits 0 long => long spawn 1
        spawned long => -
        +0s => long TERM
        ",
    );
    assert_eq!(stage.fleet.deadline(), Some(time(secs(93)).mono));
}

#[test]
fn the_end_of_another_process_holds_up_no_deadline() {
    let mut stage = Stage::new([with("web", |s| {
        s.stop_exec = commands(1);
        s.reload_exec = commands(1);
    })]);
    stage.play(
        "
        boot => web spawn
        spawned web => -
        reload web => web reload-command 0
        stop web => web KILL to group, web stop-command 0
        ",
    );
    let reload = RunId(2);
    stage.fleet.end_is_known(stage.id("web"), reload);
    assert!(stage.fleet.deadline().is_some(), "the main process has its time");
    let stop = RunId(3);
    stage.fleet.end_is_known(stage.id("web"), stop);
    assert_eq!(stage.fleet.deadline(), None, "the stop command was in time");
}
