//! Keeping all processes of a unit together: which way this machine allows, and what is done with it.
//!
//! [`Contain`] is the handle for the engine and the spawn thread. What may take long (freezing, walking
//! through `/proc`, waiting for ends) is done by a thread of its own, which reports back: a unit's next
//! run starts, and its stop is called done, only when its [`Swept`] has come. Where a look shows that
//! nobody is left, which is usual, there is nothing to wait for ([`Sweep::Clean`]).

pub(crate) mod oom;
#[cfg(test)]
mod tests;
mod worker;

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::sync::mpsc::Sender;
use supers_core::exit::{Stage, StartError};
use supers_core::history::Oom;
use supers_core::ids::{Pid, RunId};
use supers_core::signal::Signal;
use supers_core::snapshot::Usage;
use supers_os::cgroup::{Kind, Removed, Tree, places_here};
use supers_os::spawn::CgroupJoin;
use supers_os::strays::Tag;
use tokio::sync::mpsc::Receiver;

/// Requests that may wait for the thread. One more is refused and counted; the engine then goes on
/// without that sweep, and says so.
const JOBS: usize = 1 << 16;

/// How units are kept together.
#[derive(Clone, Debug)]
enum Way {
    /// A control group each.
    Groups(Tree),
    /// A mark that their processes carry.
    Tags { id: String },
    /// Not at all: the process group is all there is (the ancestor's rule).
    None,
}

/// The handle. Copies share everything.
#[derive(Clone, Debug)]
pub struct Contain {
    way: Way,
    worker: Option<Arc<Worker>>,
    kills: oom::Counts,
}

#[derive(Debug)]
struct Worker {
    jobs: Sender<Job>,
    waiting: Arc<AtomicUsize>,
    refused: AtomicU64,
}

/// What the thread is asked for. Units are named by their full names.
#[derive(Debug)]
enum Job {
    Signal { unit: String, main: Pid, signal: Signal },
    Sweep { unit: String, run: RunId, main: Pid },
    Remove { unit: String },
}

/// Whether a sweep must be waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub enum Sweep {
    /// Nobody is left.
    Clean,
    /// A [`Swept`] will come for this run.
    Underway,
    /// Too many wait already. Nobody was ended.
    Refused,
}

/// A sweep is complete.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Swept {
    /// Whose end asked for it.
    pub run: RunId,
    /// Processes that do not die (or may not); 0 when the unit is clean.
    pub left: usize,
}

impl Contain {
    /// Removes what daemons before us left and nobody uses; for a first start only, since it takes its time and
    /// programs of before may be about to use theirs.
    pub fn tidy(&self) {
        if let Way::Groups(tree) = &self.way {
            tree.tidy();
        }
    }

    /// Finds the best way. `id` tells daemons of this machine apart, and is the same for a daemon that
    /// takes over from another. `allowed` is false under the ancestor's name. `reaper` is the process
    /// that orphans fall to, if it is known: the keeper.
    ///
    /// # Errors
    /// No thread can be started.
    pub fn detect(id: &str, allowed: bool, reaper: Option<Pid>) -> io::Result<(Contain, Receiver<Swept>)> {
        let groups = || places_here().iter().find_map(|place| Tree::make(place, id).ok());
        let way = match allowed {
            false => Way::None,
            true => groups().map_or_else(|| Way::Tags { id: id.to_owned() }, Way::Groups),
        };
        Contain::with(way, reaper)
    }

    fn with(way: Way, reaper: Option<Pid>) -> io::Result<(Contain, Receiver<Swept>)> {
        let (done_tx, done) = tokio::sync::mpsc::channel(1024);
        let kills = match &way {
            Way::Groups(tree) => oom::Counts::of(tree),
            Way::Tags { .. } | Way::None => oom::Counts::none(),
        };
        let worker = match &way {
            Way::None => None,
            Way::Groups(_) | Way::Tags { .. } => {
                let (jobs, take) = std::sync::mpsc::channel();
                let waiting = Arc::new(AtomicUsize::new(0));
                worker::start(
                    worker::Room::new(way.clone(), reaper, kills.clone()),
                    take,
                    waiting.clone(),
                    done_tx,
                )?;
                Some(Arc::new(Worker { jobs, waiting, refused: AtomicU64::new(0) }))
            }
        };
        Ok((Contain { way, worker, kills }, done))
    }

    /// The way, for people.
    pub fn word(&self) -> &'static str {
        match &self.way {
            Way::Groups(tree) => match tree.kind() {
                Kind::V2 => "cgroup v2",
                Kind::V1Freezer => "cgroup v1 freezer",
                Kind::V1Pids => "cgroup v1 pids",
            },
            Way::Tags { .. } => "session",
            Way::None => "process group",
        }
    }

    /// What a process of this unit needs to belong to it. Called on the spawn thread.
    ///
    /// # Errors
    /// The group cannot be made: the start has failed.
    pub fn join(&self, unit: &str) -> Result<Option<CgroupJoin>, StartError> {
        match &self.way {
            Way::Groups(tree) => {
                let group = tree.group(unit);
                let join = group.join().map_err(|e| {
                    let text = format!("make the cgroup of {unit}: {}", supers_os::error_text(&e));
                    StartError { stage: Stage::Cgroup, errno: e.raw_os_error().unwrap_or(0), text }
                })?;
                self.kills.begin(unit, &group);
                Ok(Some(join))
            }
            Way::Tags { id } => Ok(Some(CgroupJoin::Tag(Tag::new(id, unit)))),
            Way::None => Ok(None),
        }
    }

    /// Sends a signal to all of the unit but the process group of its main process, which the engine
    /// tells itself, at once, and whose failure it hears of.
    pub fn signal_all(&self, unit: &str, main: Pid, signal: Signal) {
        // A refusal is counted; the sweep ends them anyhow.
        let _ = self.ask(Job::Signal { unit: unit.to_owned(), main, signal });
    }

    /// The main process of this run has ended: ends all that is left of the unit. `main` must be a
    /// zombie that is not reaped before the answer; else (it was not our or the keeper's child) pass
    /// `Pid(0)`, and it is not sought by session.
    pub fn sweep(&self, unit: &str, run: RunId, main: Pid) -> Sweep {
        let clean = match &self.way {
            // A signal that waits for the thread would meet the next run.
            Way::Groups(tree) => self.is_idle() && tree.group(unit).is_empty().unwrap_or(false),
            Way::Tags { .. } => false,
            Way::None => true,
        };
        if clean {
            return Sweep::Clean;
        }
        match self.ask(Job::Sweep { unit: unit.to_owned(), run, main }) {
            true => Sweep::Underway,
            false => Sweep::Refused,
        }
    }

    /// The unit is stopped or gone: its group, if empty, is removed. Never fails; a group that is in use
    /// stays.
    pub fn remove(&self, unit: &str) {
        let _ = self.ask(Job::Remove { unit: unit.to_owned() });
    }

    /// All is down: removes what was made. True when nothing is left.
    pub fn close(&self) -> bool {
        match &self.way {
            Way::Groups(tree) => tree.remove().is_ok_and(|r| r == Removed::Gone),
            Way::Tags { .. } | Way::None => true,
        }
    }

    /// What the unit's processes use, as far as the kernel tells; nothing when there are none. Reads files.
    pub fn usage(&self, unit: &str) -> Usage {
        let used = match &self.way {
            Way::Groups(tree) => tree.group(unit).usage(),
            Way::Tags { .. } | Way::None => return Usage::default(),
        };
        if used.tasks == Some(0) {
            return Usage::default();
        }
        let cpu_ms = used.cpu_usec.map(|us| us / 1000);
        Usage { tasks: used.tasks, memory_bytes: used.memory, cpu_ms }
    }

    /// Whether the kernel killed a process of the unit for want of memory since its newest run began; `None` when its
    /// group does not count that. Reads a file.
    pub fn oom(&self, unit: &str) -> Option<Oom> {
        match &self.way {
            Way::Groups(tree) => self.kills.look(unit, &tree.group(unit)),
            Way::Tags { .. } | Way::None => None,
        }
    }

    /// Requests that were refused because too many waited.
    pub fn refused(&self) -> u64 {
        self.worker.as_ref().map_or(0, |w| w.refused.load(Ordering::Relaxed))
    }

    /// Nothing that was asked for is under way.
    pub(crate) fn is_idle(&self) -> bool {
        self.worker.as_ref().is_none_or(|w| w.waiting.load(Ordering::Acquire) == 0)
    }

    fn ask(&self, job: Job) -> bool {
        let Some(worker) = &self.worker else { return true };
        let room = worker.waiting.fetch_add(1, Ordering::Relaxed) < JOBS;
        let taken = room && worker.jobs.send(job).is_ok();
        if !taken {
            worker.waiting.fetch_sub(1, Ordering::Relaxed);
            worker.refused.fetch_add(1, Ordering::Relaxed);
        }
        taken
    }
}
