//! 200 units that end at once and are brought back without limit.

use super::Plan;
use super::rig::{Floor, Notes, Rig, now};
use super::table::{Aim, Row, median, quantile};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::Duration;
use supers_testkit::World;

const UNITS: usize = 200;

pub(super) fn measure(rig: &Rig, plan: &Plan) -> Result<Vec<Row>, String> {
    let seconds = plan.pick(5, 2);
    let floor = floor(rig, seconds)?;
    let (rate, mut asked) = ours(rig, seconds)?;
    let what = format!("storm of {UNITS} units: restarts a second");
    let worst = quantile(&mut asked, 1.0);
    Ok(vec![
        Row::new(what, rate, Some(floor), "/s", Aim::RatioAtLeast(0.7)),
        Row::new("status in the storm, median", median(&mut asked), None, "ms", Aim::AtMost(10.0)),
        Row::new("status in the storm, worst", worst, None, "ms", Aim::AtMost(10.0)),
    ])
}

/// Starts in each second between two moments.
fn rate(notes: &Notes, from: i64, to: i64) -> f64 {
    let count = notes.read().iter().filter(|(_, t)| (from..to).contains(t)).count();
    count as f64 * 1e9 / (to - from) as f64
}

fn floor(rig: &Rig, seconds: u64) -> Result<f64, String> {
    let world = rig.world();
    let notes = Notes::new(world.path("notes"));
    let (count, unit) = (UNITS.to_string(), rig.floor("unit").display().to_string());
    let _floor = Floor::start(&rig.floor("respawn"), &[&count, &unit, &notes.path(), "exit"])?;
    notes.wait(UNITS * 2)?;
    let from = now();
    std::thread::sleep(Duration::from_secs(seconds));
    Ok(rate(&notes, from, now()))
}

/// Restarts a second while nobody asks; then the times of status requests, in milliseconds, in the same storm.
fn ours(rig: &Rig, seconds: u64) -> Result<(f64, Vec<f64>), String> {
    let mut world = rig.world();
    let notes = Notes::new(world.path("notes"));
    let text = format!(
        "[Unit]\nStartLimitIntervalSec=0\n[Service]\nExecStart={} {} exit\nRestart=always\nRestartSec=0\n",
        rig.floor("unit").display(),
        notes.path()
    );
    for i in 0..UNITS {
        world.unit(&format!("s{i:03}"), &text);
    }
    world.write("units/superd.conf", "[supervisord]\nsilent=true\n");
    world.superd();
    notes.wait(UNITS * 2)?;
    let from = now();
    std::thread::sleep(Duration::from_secs(seconds));
    let rate = rate(&notes, from, now());

    let socket = socket(&world)?;
    let mut asked = Vec::new();
    for _ in 0..100 {
        asked.push(ask(&socket)?);
        std::thread::sleep(Duration::from_millis(20));
    }
    Ok((rate, asked))
}

fn socket(world: &World) -> Result<PathBuf, String> {
    let folders = std::fs::read_dir(world.runtime_base()).into_iter().flatten().flatten();
    let mut paths = folders.map(|f| f.path().join("super.sock")).filter(|p| p.exists());
    paths.next().ok_or_else(|| "superd made no socket in its runtime folder".into())
}

/// One request without a client program, which would have to compete with the storm for its own start.
fn ask(socket: &Path) -> Result<f64, String> {
    let problem = |e: std::io::Error| format!("{}: {e}", socket.display());
    let began = now();
    let mut stream = UnixStream::connect(socket).map_err(problem)?;
    stream
        .write_all(b"GET /api/v1/programs HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        .map_err(problem)?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).map_err(problem)?;
    let took = (now() - began) as f64 / 1e6;
    match answer.starts_with(b"HTTP/1.1 200") {
        true => Ok(took),
        false => {
            Err(format!("the answer was {:?}", String::from_utf8_lossy(&answer[..answer.len().min(80)])))
        }
    }
}
