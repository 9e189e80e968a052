//! What all measures stand on: the programs, the clock, what the kernel knows about a process.

use super::Plan;
use crate::sh;
use rustix::time::{ClockId, clock_gettime};
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use supers_testkit::{Bins, Process, World};

const FLOORS: [(&str, &str); 5] = [
    ("unit", include_str!("../../floor/unit.c")),
    ("respawn", include_str!("../../floor/respawn.c")),
    ("writer", include_str!("../../floor/writer.c")),
    ("pump", include_str!("../../floor/pump.c")),
    ("answer", include_str!("../../floor/answer.c")),
];

/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(120);

/// Which superd is measured.
pub(super) enum Build {
    /// One that is built now.
    Profile(&'static str),
    /// One that lies in this folder, for example of an earlier version.
    There(PathBuf),
}

/// Everything that was built.
pub(super) struct Rig {
    which: String,
    bins: Bins,
    floors: PathBuf,
}

impl Rig {
    pub(super) fn build(build: Build) -> Result<Rig, String> {
        let target = sh::target()?;
        let (bin, which) = match build {
            Build::Profile(profile) => {
                sh::run(&mut sh::cargo(&["build", "--profile", profile, "--package", "supers"]))?;
                (target.join(profile), format!("superd, {profile} build"))
            }
            Build::There(dir) => {
                let dir = dir.canonicalize().map_err(|e| format!("{}: {e}", dir.display()))?;
                (dir.clone(), format!("superd of {}", dir.display()))
            }
        };
        let floors = target.join("bench");
        fs::create_dir_all(&floors).map_err(|e| format!("{}: {e}", floors.display()))?;
        for (name, text) in FLOORS {
            compile(&floors, name, text)?;
        }
        Ok(Rig { which, bins: Bins::of(bin.join("superd"), bin.join("supers")), floors })
    }

    /// A floor program.
    pub(super) fn floor(&self, name: &str) -> PathBuf {
        self.floors.join(name)
    }

    /// The daemon that is measured.
    pub(super) fn superd(&self) -> &Path {
        &self.bins.superd
    }

    /// The client that is measured.
    pub(super) fn supers(&self) -> &Path {
        &self.bins.supers
    }

    /// A world of superd with enough time.
    /// In memory where that can be had: ext4 makes files slowly for minutes after many were deleted, which is
    /// what rounds of a measurement do, and no part of what is measured. (Log pumps are measured on disk.)
    pub(super) fn world(&self) -> World {
        let memory = Path::new("/dev/shm");
        let folder = if memory.is_dir() { memory } else { Path::new("/tmp") };
        self.world_in(folder)
    }

    /// A world below this folder.
    pub(super) fn world_in(&self, folder: &Path) -> World {
        let mut world = World::below(folder, self.bins.clone());
        world.allow(PATIENCE);
        world
    }

    /// One line over the table.
    pub(super) fn about(&self, plan: &Plan) -> String {
        let kernel = fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
        let cores = std::thread::available_parallelism().map_or(0, usize::from);
        let quick = if plan.quick { ", quick" } else { "" };
        format!("{}{quick}; {cores} cores, Linux {}\n", self.which, kernel.trim_end())
    }
}

fn compile(dir: &Path, name: &str, text: &str) -> Result<(), String> {
    let source = dir.join(format!("{name}.c"));
    fs::write(&source, text).map_err(|e| format!("{}: {e}", source.display()))?;
    // Static, so that the loader's work on each start is not what is measured.
    let flags = ["-O2", "-Wall", "-D_GNU_SOURCE", "-static", "-o"];
    sh::run(Command::new("cc").args(flags).arg(dir.join(name)).arg(source))
        .map_err(|e| format!("{e}; the floors need a C compiler and the static C library"))
}

/// Now, on the clock that the units write down, in nanoseconds.
pub(super) fn now() -> i64 {
    let t = clock_gettime(ClockId::Monotonic);
    t.tv_sec * 1_000_000_000 + t.tv_nsec
}

/// A floor program that runs beside; TERM, then waited for.
pub(super) struct Floor(Child);

impl Floor {
    pub(super) fn start(program: &Path, args: &[&str]) -> Result<Floor, String> {
        let mut command = Command::new(program);
        command.args(args).stdin(Stdio::null()).stdout(Stdio::null());
        command.spawn().map(Floor).map_err(|e| format!("{}: {e}", program.display()))
    }

    pub(super) fn pid(&self) -> i32 {
        i32::try_from(self.0.id()).unwrap_or(0)
    }
}

impl Drop for Floor {
    fn drop(&mut self) {
        // It is our child and not waited for yet: the pid is still its own.
        if let Some(process) = Process::open(self.pid()) {
            process.signal(rustix::process::Signal::TERM.as_raw());
        }
        let _ = self.0.wait();
    }
}

/// The notes of the units: pid and moment of the first instruction, in order of arrival.
pub(super) struct Notes(PathBuf);

impl Notes {
    pub(super) fn new(path: PathBuf) -> Notes {
        Notes(path)
    }

    pub(super) fn path(&self) -> String {
        self.0.display().to_string()
    }

    pub(super) fn read(&self) -> Vec<(i32, i64)> {
        let text = fs::read_to_string(&self.0).unwrap_or_default();
        let row = |line: &str| {
            let (pid, moment) = line.split_once(' ')?;
            Some((pid.parse().ok()?, moment.parse().ok()?))
        };
        text.lines().filter_map(row).collect()
    }

    /// Waits until there are this many. Looking is cheap (a stat) and not what is measured: the moments are the
    /// units' own.
    pub(super) fn wait(&self, count: usize) -> Result<Vec<(i32, i64)>, String> {
        let began = Instant::now();
        let mut seen = 0;
        loop {
            let size = fs::metadata(&self.0).map_or(0, |m| m.len());
            if size != seen {
                seen = size;
                let rows = self.read();
                if rows.len() >= count {
                    return Ok(rows);
                }
            }
            if began.elapsed() > PATIENCE {
                return Err(format!("only {} of {count} units started", self.read().len()));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }
}

/// Context switches of each thread of some processes, wanted or not.
pub(super) struct Switches(BTreeMap<PathBuf, u64>);

impl Switches {
    pub(super) fn of(pids: &[i32]) -> Switches {
        let tasks = |pid| fs::read_dir(format!("/proc/{pid}/task")).into_iter().flatten().flatten();
        let count = |task: PathBuf| {
            let status = fs::read_to_string(task.join("status")).unwrap_or_default();
            let lines = status.lines().filter(|l| l.contains("_ctxt_switches"));
            let sum = lines.filter_map(|l| l.split_whitespace().nth(1)?.parse::<u64>().ok()).sum();
            (task, sum)
        };
        Switches(pids.iter().flat_map(tasks).map(|task| count(task.path())).collect())
    }

    /// Since then. A thread took its number with it when it ended, and that was one at least.
    pub(super) fn since(&self, before: &Switches) -> f64 {
        let ended = before.0.keys().filter(|task| !self.0.contains_key(*task)).count() as u64;
        let more =
            |(task, sum): (&PathBuf, &u64)| sum.saturating_sub(before.0.get(task).copied().unwrap_or(0));
        (self.0.iter().map(more).sum::<u64>() + ended) as f64
    }
}

/// Proportional set size in MB (1024 kB).
pub(super) fn pss(pid: i32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("Pss:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}

/// CPU time of a process in seconds, user and system.
pub(super) fn cpu(pid: i32) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    let after = text.rfind(')').map_or("", |at| &text[at + 1..]);
    let ticks = after.split_whitespace().skip(11).take(2).filter_map(|n| n.parse::<f64>().ok());
    // USER_HZ, 100 on every Linux.
    ticks.sum::<f64>() / 100.0
}

/// The main section of all measurements. Without `silent`, the daemon's log would also go to us, and reading it
/// would be measured.
pub(super) const MAIN: &str =
    "[supervisord]\nsilent=true\nlogfile={root}/superd.log\npidfile={root}/superd.pid\n";

/// An INI configuration of this many units that note their start and stay.
pub(super) fn many(count: usize, unit: &Path, notes: &Notes) -> String {
    let mut text = String::from(MAIN);
    for i in 0..count {
        text += &format!(
            "[program:p{i:04}]\ncommand={} {} pause\nstartsecs=0\nredirect_stderr=true\n\
             stdout_logfile={{root}}/p{i:04}.log\n",
            unit.display(),
            notes.path()
        );
    }
    text
}
