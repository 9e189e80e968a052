//! The log pump: CPU time for each GB of output, with rotation.

use super::Plan;
use super::rig::{MAIN, Rig, cpu};
use super::table::{Aim, Row};
use crate::sh;
use std::process::Command;

pub(super) fn measure(rig: &Rig, plan: &Plan) -> Result<Vec<Row>, String> {
    let mebibytes: u32 = plan.pick(2048, 256);
    let gigabytes = f64::from(mebibytes) * 1.048_576 / 1000.0;
    let floor = floor(rig, mebibytes)? / gigabytes;
    let (used, end) = ours(rig, mebibytes, &[])?;
    let (alone, _) = ours(rig, mebibytes, &["--no-keeper"])?;
    let lines = u64::from(mebibytes) * 8192;
    if end != Some(lines - 1) {
        return Err(format!("lines were lost: the last of {lines} is {end:?}"));
    }
    let what = format!("log pump of {mebibytes} MiB, rotated at 50 MB: CPU for each GB");
    let (used, alone) = (used / gigabytes, alone / gigabytes);
    Ok(vec![
        Row::new(what, used, Some(floor), "s", Aim::RatioAtMost(1.1)),
        Row::new("the same beside `--no-keeper`", used, Some(alone), "s", Aim::RatioAtMost(1.05)),
    ])
}

/// CPU seconds of the read and write loop.
fn floor(rig: &Rig, mebibytes: u32) -> Result<f64, String> {
    let world = rig.world_in(std::path::Path::new("/tmp"));
    let mut pump = Command::new(rig.floor("pump"));
    pump.arg(world.path("log")).args(["52428800", "3"]).arg(rig.floor("writer")).arg(mebibytes.to_string());
    let text = sh::output(&mut pump)?;
    let micros = text.split_whitespace().next().and_then(|n| n.parse::<f64>().ok());
    micros.map(|m| m / 1e6).ok_or_else(|| format!("the floor said {text:?}"))
}

/// CPU seconds of keeper and daemon, and the number of the last line stored.
fn ours(rig: &Rig, mebibytes: u32, args: &[&str]) -> Result<(f64, Option<u64>), String> {
    let mut world = rig.world_in(std::path::Path::new("/tmp"));
    world.ini(&format!(
        "{MAIN}[program:w]\ncommand={} {mebibytes}\nautostart=false\nautorestart=false\nstartsecs=0\nredirect_stderr=true\n\
         stdout_logfile={{root}}/w.log\nstdout_logfile_maxbytes=50MB\nstdout_logfile_backups=3\n",
        rig.floor("writer").display()
    ));
    let daemon = world.superd_with(args);
    let (keeper, daemon) = (daemon.pid(), daemon.daemon_pid());
    let all = || if keeper == daemon { cpu(keeper) } else { cpu(keeper) + cpu(daemon) };
    let before = all();
    world.supers_ok(&["start", "w", "--no-wait"]);
    // Not asked while it works: the answers would be on the bill. The writer's end is seen from outside.
    let writing = || world.status().pids().first().copied();
    if let Some(process) = writing().and_then(supers_testkit::Process::open) {
        process.wait(world.deadline().left());
    }
    world.until("the writer has ended", |s| s.state("w") == "EXITED");
    let used = all() - before;
    let text = world.read("w.log");
    let last = text.lines().next_back().and_then(|l| l.get(..12)).and_then(|n| n.parse().ok());
    Ok((used, last))
}
