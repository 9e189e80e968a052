//! The same configuration under Supervisor from PyPI and under ours, one after the other.

mod look;
mod rpc;
mod side;

use super::Plan;
use super::rig::{Floor, Rig};
use super::table::{Aim, Row};
use super::{restart, rig, start, status, table};
use crate::twin;
use look::Look;
use side::{Make, Side};
use std::time::Duration;

/// How hard to look at one of the two. The genuine one is slow, and few samples tell enough.
struct Effort {
    /// Daemons that are started for the start alone.
    starts: usize,
    /// What the start has left to do is done after this time; a pool's threads may wait for 10 s.
    settle: Duration,
    /// Nobody asks anything for so long.
    idle: Duration,
    /// All connections ask for so long.
    load: Duration,
    /// Questions that are asked once in their second.
    fresh: usize,
    /// Calls of a client.
    calls: usize,
    /// Programs that are killed.
    kills: usize,
}

pub(super) fn measure(rig: &Rig, plan: &Plan) -> Result<Vec<Row>, String> {
    let genuine = twin::install()?;
    let count = plan.pick(1000, 100);
    let idle = Duration::from_secs(plan.pick(20, 3));
    let load = Duration::from_secs(plan.pick(4, 1));
    // Few answers come in that time, and one more or less should not matter.
    let long = load * 2;
    let settle = Duration::from_secs(plan.pick(12, 3));
    let (fresh, calls, kills) = (plan.pick(3, 1), plan.pick(3, 1), plan.pick(11, 2));
    let few = Effort { starts: 1, settle, idle, load: long, fresh, calls, kills };
    let (fresh, calls, kills) = (plan.pick(7, 2), plan.pick(30, 3), plan.pick(101, 10));
    let many = Effort { starts: plan.pick(3, 1), settle, idle, load, fresh, calls, kills };
    // Each side is gone before the next one begins.
    let theirs = look::look(&Side::start(rig, &Make::Genuine(genuine), count)?, &few)?;
    let mut starts = Vec::new();
    for _ in 1..many.starts {
        starts.push(look::start(&Side::start(rig, &Make::Ours, count)?)?);
    }
    let mut ours = look::look(&Side::start(rig, &Make::Ours, count)?, &many)?;
    starts.push(ours.start);
    ours.start = table::median(&mut starts);
    let mut rows = rows(count, idle, &ours, &theirs);
    rows.extend(floors(rig, count, load, &ours)?);
    Ok(rows)
}

fn rows(count: usize, idle: Duration, ours: &Look, theirs: &Look) -> Vec<Row> {
    let row = |what: &str, value: fn(&Look) -> f64, unit, aim| {
        Row::new(
            format!("beside Supervisor, {count} programs: {what}"),
            value(ours),
            Some(value(theirs)),
            unit,
            aim,
        )
    };
    let idle = |what: &str| format!("{what} in {} s of nothing to do", idle.as_secs());
    vec![
        row("answers to getAllProcessInfo", |l| l.rate, "/s", Aim::RatioAtLeast(200.0)),
        row("one such answer, made anew", |l| l.fresh, "ms", Aim::Nothing),
        row("startAllProcesses", |l| l.start, "ms", Aim::TimesLess(12.0)),
        row("crash to restart, median", |l| l.restart, "us", Aim::TimesLess(500.0)),
        row("status by `supers`, theirs by `supervisorctl`", |l| l.status, "ms", Aim::TimesLess(100.0)),
        row("status by `supervisorctl` of each", |l| l.ctl, "ms", Aim::Nothing),
        row("PSS", |l| l.memory, "MB", Aim::TimesLess(5.0)),
        row("PSS after the load of answers", |l| l.memory_after, "MB", Aim::Nothing),
        row(&idle("context switches"), |l| l.woken, "", Aim::AtMost(0.0)),
        row(&idle("CPU time"), |l| l.cpu * 1000.0, "ms", Aim::AtMost(0.0)),
    ]
}

/// What a machine can do at all, for comparison.
fn floors(rig: &Rig, count: usize, load: Duration, ours: &Look) -> Result<Vec<Row>, String> {
    let world = rig.world();
    let socket = world.path("floor.sock");
    let args = ["http", &socket.display().to_string(), &ours.body.to_string()];
    let _floor = Floor::start(&rig.floor("answer"), &args)?;
    world.until_fact("the floor listens", || socket.exists().then_some(()));
    let rate = rpc::rate(&socket, load)?;
    let size = ours.body as f64 / 1e6;
    let what = format!("beside C, {count} programs: answers of {size:.2} MB");
    let answers = Row::new(what, ours.rate, Some(rate), "/s", Aim::Nothing);
    let (_, launch) = start::floor(rig, count)?;
    let what = format!("beside C, {count} programs: start");
    Ok(vec![answers, Row::new(what, ours.start, Some(launch), "ms", Aim::Nothing)])
}
