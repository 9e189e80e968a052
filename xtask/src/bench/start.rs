//! The start of a thousand units.

use super::Plan;
use super::rig::{Floor, Notes, Rig, many, now};
use super::table::{Aim, Row, median};

pub(super) fn measure(rig: &Rig, plan: &Plan) -> Result<Vec<Row>, String> {
    let count = plan.pick(1000, 100);
    let (mut spread, mut all) = ((Vec::new(), Vec::new()), (Vec::new(), Vec::new()));
    for _ in 0..plan.pick(5, 1) {
        let (between, whole) = floor(rig, count)?;
        spread.1.push(between);
        all.1.push(whole);
        let (between, whole) = ours(rig, count)?;
        spread.0.push(between);
        all.0.push(whole);
    }
    let row = |what: &str, mut pair: (Vec<f64>, Vec<f64>)| {
        let what = format!("start of {count}: {what}");
        Row::new(what, median(&mut pair.0), Some(median(&mut pair.1)), "ms", Aim::RatioAtMost(1.5))
    };
    Ok(vec![row("first to last exec", spread), row("launch to last exec", all)])
}

/// Milliseconds from the first exec to the last, and from the launch to the last.
fn times(rows: &[(i32, i64)], launched: i64) -> (f64, f64) {
    let first = rows.iter().map(|r| r.1).min().unwrap_or(launched);
    let last = rows.iter().map(|r| r.1).max().unwrap_or(launched);
    ((last - first) as f64 / 1e6, (last - launched) as f64 / 1e6)
}

pub(super) fn floor(rig: &Rig, count: usize) -> Result<(f64, f64), String> {
    let world = rig.world();
    let notes = Notes::new(world.path("notes"));
    let (count_text, unit) = (count.to_string(), rig.floor("unit").display().to_string());
    let launched = now();
    let _floor = Floor::start(&rig.floor("respawn"), &[&count_text, &unit, &notes.path(), "pause"])?;
    Ok(times(&notes.wait(count)?, launched))
}

fn ours(rig: &Rig, count: usize) -> Result<(f64, f64), String> {
    let mut world = rig.world();
    let notes = Notes::new(world.path("notes"));
    world.ini(&many(count, &rig.floor("unit"), &notes));
    let launched = now();
    world.superd_started(&[]);
    Ok(times(&notes.wait(count)?, launched))
}
