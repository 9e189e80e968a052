//! From `kill -9` of a unit to the first instruction of the next run.

use super::Plan;
use super::rig::{Floor, Notes, Rig, now};
use super::table::{Aim, Row, median, quantile};
use std::time::Duration;
use supers_testkit::Process;

pub(super) fn measure(rig: &Rig, plan: &Plan) -> Result<Vec<Row>, String> {
    let mut world = rig.world();
    let ours = Notes::new(world.path("ours"));
    let theirs = Notes::new(world.path("theirs"));
    let unit = rig.floor("unit");
    world.unit(
        "x",
        &format!(
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart={} {} pause\nRestart=always\nRestartSec=0\n",
            unit.display(),
            ours.path()
        ),
    );
    world.write("units/superd.conf", "[supervisord]\nsilent=true\n");
    world.superd();
    let unit = unit.display().to_string();
    let _floor = Floor::start(&rig.floor("respawn"), &["1", &unit, &theirs.path(), "pause"])?;
    let (mut a, mut b) = (Vec::new(), Vec::new());
    for round in 1..=plan.pick(300, 30) {
        // In turns, so that both meet the same weather.
        a.push(one(&ours, round)?);
        b.push(one(&theirs, round)?);
    }
    let p99 = Row::new(
        "restart latency, p99",
        quantile(&mut a, 0.99),
        Some(quantile(&mut b, 0.99)),
        "us",
        Aim::Nothing,
    );
    let aim = Aim::RatioAtMost(1.3);
    Ok(vec![Row::new("restart latency, median", median(&mut a), Some(median(&mut b)), "us", aim), p99])
}

/// Kills the run with this number (from 1); microseconds until the next one.
pub(super) fn one(notes: &Notes, round: usize) -> Result<f64, String> {
    let rows = notes.wait(round)?;
    let Some((pid, _)) = rows.last() else { return Err("no unit".into()) };
    let process = Process::open(*pid).ok_or("the unit ended by itself")?;
    // Whoever started it has had time to fall asleep again.
    std::thread::sleep(Duration::from_millis(5));
    let killed = now();
    process.kill();
    let rows = notes.wait(round + 1)?;
    let started = rows.last().map_or(killed, |row| row.1);
    Ok((started - killed) as f64 / 1000.0)
}
