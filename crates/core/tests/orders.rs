//! Orders of people: the names they type, and when an order is carried out (habit 12).

// Clippy does not see that helpers of tests are tests, too.
#![allow(clippy::unwrap_used)]

mod common;

use common::fleet::Stage;
use common::{in_group, ini, names, secs, time, unit, with};
use supers_core::control::{Outcome, Verb};
use supers_core::fleet::{Fleet, Ticket, judge, select};
use supers_core::ids::{Pid, RunId};
use supers_core::proc::{State, Want};
use supers_core::spec::{Kind, Spec};

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

/// What became of an order, and why.
type Answer = Option<(Outcome, String)>;

/// The answer to an order given when the unit's last run was `run`, after these lines.
fn judged(spec: Spec, verb: Verb, lines: &[&str], run: u64) -> Answer {
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
    let table: [(Spec, &[&str], Answer); 13] = [
        (web(), &["start web"], None),
        (web(), &["start web", "spawned web"], None),
        (web(), &up, good.clone()),
        (web(), &["start web", "fails web"], is(Outcome::Failed, "cannot start: no such file")),
        (unit("web"), &["start web", "fails web"], is(Outcome::Failed, "cannot start: no such file")),
        (job(), &["start web", "spawned web"], None),
        (
            job(),
            &["start web", "spawned web", "exits 0 web"],
            is(Outcome::Started, "exit status 0 after 0 ms"),
        ),
        (
            job(),
            &["start web", "spawned web", "exits 1 web"],
            is(Outcome::Failed, "exit status 1 after 0 ms"),
        ),
        (web(), &["start web", "stop web"], is(Outcome::Superseded, "another order stopped it")),
        (web(), &["start web", "stop web", "fails web"], is(Outcome::Superseded, "another order stopped it")),
        (web(), &["start web", "spawned web", "stop web", "start web"], None),
        (
            web(),
            &["start web", "spawned web", "kill-fails web"],
            is(Outcome::Failed, "a signal could not be sent to it"),
        ),
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
fn a_process_that_no_records_tell_of_counts_as_running() {
    let mut stage = Stage::new([ini("web")]);
    let (id, now) = (stage.id("web"), time(secs(7)));
    assert_eq!(stage.fleet.take_in(id, Some(RunId(5)), Pid(9), now), Some(RunId(5)));
    let unit = &stage.fleet.get(id).unwrap().unit;
    let running = State::Running { run: RunId(5), pid: Pid(9), begun: now.mono };
    assert_eq!(
        (&unit.state, unit.run, unit.want, unit.started),
        (&running, RunId(5), Want::Up, Some(now.wall))
    );
    assert_eq!(stage.fleet.take_in(id, None, Pid(10), now), None, "it runs already");
    stage.play(
        "
        exits 1 web => web spawn
        ? => web=STARTING
        ",
    );
}
