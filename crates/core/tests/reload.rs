//! What a reload does to units that live: new descriptions, removal, and the plan of both.

mod common;

use common::fleet::Stage;
use common::{after, ini, names, secs, time, unit, with};
use std::sync::Arc;
use supers_core::fleet::{Fleet, Plan, plan};
use supers_core::ids::UnitId;
use supers_core::proc::{Cause, State, Want};
use supers_core::snapshot::Origin;
use supers_core::spec::Spec;

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
fn a_new_description_may_be_of_another_program() {
    let mut stage = Stage::new([unit("a"), after("web", &["cache"]), unit("c")]);
    stage.replace("a", |s| s.program = "cache".into());
    stage.play(
        "
        start a web => a spawn
        ? => a=STARTING web=held c=STOPPED
        ",
    );
}

#[test]
fn described_again_while_it_was_to_be_stopped_for_good() {
    // The stop lets it go, and goes on with what is behind it.
    let mut stage = Stage::new([unit("db"), after("web", &["db"])]);
    stage.play(
        "
        boot => db spawn
        spawned db => web spawn
        spawned web => -
        remove web => web TERM
        stop db web => -
        ",
    );
    assert_eq!(stage.replace("web", |s| s.priority = 1), "-");
    stage.play(
        "
        exits 0 web => web spawn, db TERM
        exits 0 db => -
        ? => db=STOPPED web=STARTING
        ",
    );
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
    let of = |id: &UnitId| fleet.get(*id).map(|s| s.spec.full_name()).unwrap_or_default();
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
