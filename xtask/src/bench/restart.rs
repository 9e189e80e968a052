//! From `kill -9` of a unit to the first instruction of the next run.

use super::Plan;
use super::rig::{Floor, Notes, Rig, now};
use super::table::{Aim, Row, median, quantile};
use std::time::Duration;
use supers_testkit::{Process, World};

pub(super) fn measure(rig: &Rig, plan: &Plan) -> Result<Vec<Row>, String> {
    let (_kept, ours) = superd(rig, &[]);
    let (_alone, lonely) = superd(rig, &["--no-keeper"]);
    let floor = rig.world();
    let theirs = Notes::new(floor.path("theirs"));
    let unit = rig.floor("unit").display().to_string();
    let _floor = Floor::start(&rig.floor("respawn"), &["1", &unit, &theirs.path(), "pause"])?;
    let (mut a, mut b, mut c) = (Vec::new(), Vec::new(), Vec::new());
    for round in 1..=plan.pick(300, 30) {
        // In turns, so that all meet the same weather.
        a.push(one(&ours, round)?);
        b.push(one(&theirs, round)?);
        c.push(one(&lonely, round)?);
    }
    let p99 = Row::new(
        "restart latency, p99",
        quantile(&mut a, 0.99),
        Some(quantile(&mut b, 0.99)),
        "us",
        Aim::Nothing,
    );
    let (own, floor, lonely) = (median(&mut a), median(&mut b), median(&mut c));
    Ok(vec![
        Row::new("restart latency, median", own, Some(floor), "us", Aim::RatioAtMost(1.3)),
        p99,
        Row::new("the same beside `--no-keeper`", own, Some(lonely), "us", Aim::RatioAtMost(1.05)),
    ])
}

/// A superd with one unit, and where that notes its starts.
fn superd(rig: &Rig, args: &[&str]) -> (World, Notes) {
    let mut world = rig.world();
    let notes = Notes::new(world.path("ours"));
    let unit = rig.floor("unit");
    world.unit(
        "x",
        &format!(
            "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart={} {} pause\nRestart=always\nRestartSec=0\n",
            unit.display(),
            notes.path()
        ),
    );
    world.write("units/superd.conf", "[supervisord]\nsilent=true\n");
    world.superd_with(args);
    (world, notes)
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
