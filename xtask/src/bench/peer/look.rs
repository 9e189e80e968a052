//! All that is measured of one daemon, in an order in which nothing disturbs what follows.

use super::rig::{Switches, cpu, now, pss};
use super::rpc::{Line, rate, request};
use super::side::Side;
use super::table::median;
use super::{Effort, restart, status};
use std::time::Duration;

/// What was found.
pub(super) struct Look {
    /// Milliseconds of one startAllProcesses.
    pub(super) start: f64,
    /// Context switches while nobody asks.
    pub(super) woken: f64,
    /// Seconds of CPU time meanwhile.
    pub(super) cpu: f64,
    /// PSS in MB.
    pub(super) memory: f64,
    /// The same after many large answers.
    pub(super) memory_after: f64,
    /// Milliseconds to an answer that was not given before.
    pub(super) fresh: f64,
    /// Answers a second.
    pub(super) rate: f64,
    /// Bytes of such an answer.
    pub(super) body: usize,
    /// Milliseconds of the side's best way to show the status on a command line.
    pub(super) status: f64,
    /// The same by `supervisorctl`.
    pub(super) ctl: f64,
    /// Microseconds from a crash to the next first instruction.
    pub(super) restart: f64,
}

pub(super) fn look(side: &Side, effort: &Effort) -> Result<Look, String> {
    let start = start(side)?;
    let (woken, cpu) = idle(side, effort);
    let memory = memory(side);
    let body = all_run(side)?;
    let fresh = fresh(side, effort.fresh)?;
    let rate = rate(&side.socket, effort.load)?;
    let memory_after = self::memory(side);
    let ctl = command_line(side, &side.world.path("supervisorctl"), effort.calls)?;
    let status = match &side.supers {
        Some(supers) => command_line(side, supers, effort.calls)?,
        None => ctl,
    };
    let restart = restarts(side, effort.kills)?;
    Ok(Look { start, woken, cpu, memory, memory_after, fresh, rate, body, status, ctl, restart })
}

/// Milliseconds until all are started.
pub(super) fn start(side: &Side) -> Result<f64, String> {
    let mut line = Line::open(&side.socket)?;
    let request = request("startAllProcesses", "<param><value><boolean>1</boolean></value></param>");
    let began = now();
    let answer = line.call(&request)?;
    let took = (now() - began) as f64 / 1e6;
    // Each is told as started. Whether they run is asked when the memory was looked at: that answer is large.
    let started = answer.matches("<int>80</int>").count();
    if started != side.count {
        return Err(format!("only {started} of {} programs were started", side.count));
    }
    side.notes.wait(side.count)?;
    Ok(took)
}

/// Demands that all programs run; the length of the answer that says so.
fn all_run(side: &Side) -> Result<usize, String> {
    let text = Line::open(&side.socket)?.call(&request("getAllProcessInfo", ""))?;
    match text.matches(">RUNNING<").count() {
        run if run == side.count => Ok(text.len()),
        run => Err(format!("only {run} of {} programs run", side.count)),
    }
}

/// Milliseconds from the question to its answer when nobody has asked in this second, the median of some.
fn fresh(side: &Side, calls: usize) -> Result<f64, String> {
    let (mut line, request) = (Line::open(&side.socket)?, request("getAllProcessInfo", ""));
    let mut times = Vec::new();
    for _ in 0..calls {
        // The answer tells the second, so that another is due.
        std::thread::sleep(Duration::from_millis(1050));
        let began = now();
        line.call(&request)?;
        times.push((now() - began) as f64 / 1e6);
    }
    Ok(median(&mut times))
}

/// Context switches and seconds of CPU time while nobody asks.
fn idle(side: &Side, effort: &Effort) -> (f64, f64) {
    std::thread::sleep(effort.settle);
    let time = || side.pids.iter().map(|p| cpu(*p)).sum::<f64>();
    let (switches, began) = (Switches::of(&side.pids), time());
    std::thread::sleep(effort.idle);
    (Switches::of(&side.pids).since(&switches), time() - began)
}

fn memory(side: &Side) -> f64 {
    side.pids.iter().map(|p| pss(*p)).sum()
}

/// Milliseconds of `status`, the median of some.
fn command_line(side: &Side, program: &std::path::Path, calls: usize) -> Result<f64, String> {
    let command = || {
        let mut command = side.command(program);
        command.arg("status");
        command
    };
    let shown = side.world.run(command()).stdout;
    let run = shown.lines().filter(|l| l.split_whitespace().nth(1) == Some("RUNNING")).count();
    if run != side.count {
        return Err(format!("{} shows {run} of {} programs as running", program.display(), side.count));
    }
    let mut times = (0..calls).map(|_| status::wall(&mut command())).collect::<Result<Vec<f64>, String>>()?;
    Ok(median(&mut times))
}

/// Microseconds from a crash to the next run, the median of some.
fn restarts(side: &Side, kills: usize) -> Result<f64, String> {
    let base = side.notes.read().len();
    let mut times = Vec::new();
    for round in 0..kills {
        // A daemon that looks around once a second must be met at any moment of its second, not always at
        // the one at which it has just started something.
        let part = if side.supers.is_some() { 0 } else { round * 1000 / kills };
        std::thread::sleep(Duration::from_millis(part as u64));
        times.push(restart::one(&side.notes, base + round)?);
    }
    Ok(median(&mut times))
}
