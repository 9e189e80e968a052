//! `supers status` with a thousand units, beside a C client of a C server that answers as many bytes.

use super::Plan;
use super::rig::{Floor, Notes, Rig, many, now};
use super::table::{Aim, Row, median};
use std::process::{Command, Stdio};
use std::time::Duration;

pub(super) fn measure(rig: &Rig, plan: &Plan) -> Result<Vec<Row>, String> {
    let count = plan.pick(1000, 200);
    let mut world = rig.world();
    let notes = Notes::new(world.path("notes"));
    world.ini(&many(count, &rig.floor("unit"), &notes));
    world.superd();
    notes.wait(count)?;
    let all_run = |s: &supers_testkit::Programs| s.0.iter().all(|row| row["state"] == "RUNNING");
    world.until("all run", all_run);
    let size = world.supers_ok(&["status", "--json"]).len().to_string();
    let socket = world.path("floor.sock").display().to_string();
    let _floor = Floor::start(&rig.floor("answer"), &["serve", &socket, &size])?;
    world.until_fact("the floor listens", || world.path("floor.sock").exists().then_some(()));

    let (mut ours, mut floor) = (Vec::new(), Vec::new());
    for _ in 0..plan.pick(30, 5) {
        ours.push(wall(&mut world.command_supers(&["status"]))?);
        floor.push(wall(Command::new(rig.floor("answer")).args(["ask", &socket]))?);
        std::thread::sleep(Duration::from_millis(10));
    }
    let what = format!("supers status with {count} units (answer of {size} bytes)");
    Ok(vec![Row::new(what, median(&mut ours), Some(median(&mut floor)), "ms", Aim::RatioAtMost(3.0))])
}

/// Milliseconds from start to end.
pub(super) fn wall(command: &mut Command) -> Result<f64, String> {
    let began = now();
    let status = command.stdin(Stdio::null()).stdout(Stdio::null()).status();
    let took = (now() - began) as f64 / 1e6;
    match status {
        Ok(status) if status.success() => Ok(took),
        other => Err(format!("a status request failed: {other:?}")),
    }
}
