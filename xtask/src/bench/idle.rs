//! What it costs to do nothing: context switches and memory.

use super::Plan;
use super::rig::{Floor, Notes, Rig, Switches, many, pss};
use super::table::{Aim, Row};
use std::time::Duration;

pub(super) fn measure(rig: &Rig, plan: &Plan) -> Result<Vec<Row>, String> {
    let watch = Duration::from_secs(plan.pick(20, 3));
    let mut rows = Vec::new();
    for count in [0, 100, plan.pick(1000, 200)] {
        let (woken, memory) = ours(rig, count, watch)?;
        let (floor_woken, floor_memory) = floor(rig, count, watch)?;
        let what = format!("idle with {count} units: context switches in {} s", watch.as_secs());
        rows.push(Row::new(what, woken, Some(floor_woken), "", Aim::AtMost(0.0)));
        let most = if count == 0 { 4.0 } else { 8.0 };
        let what = format!("idle with {count} units: PSS of keeper and daemon");
        rows.push(Row::new(what, memory, Some(floor_memory), "MB", Aim::AtMost(most)));
    }
    Ok(rows)
}

/// Switches while nobody asks anything, and memory after.
fn watch_them(pids: &[i32], watch: Duration) -> (f64, f64) {
    // What the start has left to do is done by then.
    std::thread::sleep(Duration::from_secs(3));
    let before = Switches::of(pids);
    std::thread::sleep(watch);
    (Switches::of(pids).since(&before), pids.iter().map(|p| pss(*p)).sum())
}

fn ours(rig: &Rig, count: usize, watch: Duration) -> Result<(f64, f64), String> {
    let mut world = rig.world();
    let notes = Notes::new(world.path("notes"));
    world.ini(&many(count, &rig.floor("unit"), &notes));
    world.superd();
    if count > 0 {
        notes.wait(count)?;
    }
    let daemon = world.daemon();
    let (keeper, daemon) = (daemon.pid(), daemon.daemon_pid());
    let pids = if keeper == daemon { vec![keeper] } else { vec![keeper, daemon] };
    Ok(watch_them(&pids, watch))
}

fn floor(rig: &Rig, count: usize, watch: Duration) -> Result<(f64, f64), String> {
    let world = rig.world();
    let notes = Notes::new(world.path("notes"));
    let (count_text, unit) = (count.to_string(), rig.floor("unit").display().to_string());
    let floor = Floor::start(&rig.floor("respawn"), &[&count_text, &unit, &notes.path(), "pause"])?;
    if count > 0 {
        notes.wait(count)?;
    }
    Ok(watch_them(&[floor.pid()], watch))
}
