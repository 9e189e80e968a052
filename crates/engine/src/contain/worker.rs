//! The thread that ends what units leave. It takes all requests that wait at once: a shutdown of a
//! thousand units is one walk through `/proc`, or a thousand orders given before the first is waited for.

use super::oom::Counts;
use super::{Job, Swept, Way};
use std::collections::HashMap;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc::Receiver;
use std::time::Duration;
use supers_core::ids::{Pid, RunId};
use supers_os::cgroup::{Group, Tree};
use supers_os::strays::{self, Tag, Target};
use tokio::sync::mpsc::Sender;

/// A process that was killed has this long to end. (One that hangs in a dead file system does not.)
const PATIENCE: Duration = Duration::from_secs(2);

/// Requests taken together.
const BATCH: usize = 1024;

/// What the thread knows.
pub(super) struct Room {
    way: Way,
    reaper: Option<Pid>,
    /// Without groups: who was seen to be a unit's when it was told to stop, with start times. Gone with
    /// the next sweep or removal of the unit.
    known: HashMap<String, Vec<(Pid, u64)>>,
    kills: Counts,
}

/// A unit to be swept.
struct Todo {
    unit: String,
    run: RunId,
    main: Pid,
}

/// Starts the thread `contain`; it ends when nobody can ask any more.
pub(super) fn start(
    mut room: Room,
    jobs: Receiver<Job>,
    waiting: Arc<AtomicUsize>,
    done: Sender<Swept>,
) -> io::Result<()> {
    let work = move || {
        while let Ok(first) = jobs.recv() {
            let batch: Vec<Job> = std::iter::once(first).chain(jobs.try_iter()).take(BATCH).collect();
            let count = batch.len();
            let all = room.work(batch);
            // Only now: a unit may count as clean when no signal to it is on its way any more.
            waiting.fetch_sub(count, Ordering::Release);
            for swept in all {
                // The engine always takes these, so waiting for room cannot lock up.
                if done.blocking_send(swept).is_err() {
                    return;
                }
            }
        }
    };
    std::thread::Builder::new().name("contain".into()).stack_size(256 << 10).spawn(work).map(|_| ())
}

impl Room {
    pub(super) fn new(way: Way, reaper: Option<Pid>, kills: Counts) -> Room {
        Room { way, reaper, known: HashMap::new(), kills }
    }

    /// Signals first, then sweeps, then removals: what was asked for one unit keeps its order, since a
    /// unit is not started again while its sweep is awaited.
    fn work(&mut self, batch: Vec<Job>) -> Vec<Swept> {
        let (mut sweeps, mut removals) = (Vec::new(), Vec::new());
        for job in batch {
            match job {
                Job::Signal { unit, main, signal } => match &self.way {
                    Way::Groups(tree) => drop(tree.group(&unit).signal_all(signal, Some(main))),
                    Way::Tags { id } => {
                        let target = Target { tag: Tag::new(id, &unit), main, known: Vec::new() };
                        let seen = strays::signal_all(&target, self.reaper, signal);
                        self.known.entry(unit).or_default().extend(seen);
                    }
                    Way::None => {}
                },
                Job::Sweep { unit, run, main } => sweeps.push(Todo { unit, run, main }),
                Job::Remove { unit } => removals.push(unit),
            }
        }
        let swept = self.sweep(sweeps);
        for unit in removals {
            self.known.remove(&unit);
            self.kills.forget(&unit);
            if let Way::Groups(tree) = &self.way {
                // In use, or gone already.
                let _ = tree.group(&unit).remove();
            }
        }
        swept
    }

    fn sweep(&mut self, todo: Vec<Todo>) -> Vec<Swept> {
        match &self.way {
            _ if todo.is_empty() => Vec::new(),
            Way::Groups(tree) => sweep_groups(tree, &self.kills, todo),
            Way::Tags { id } => {
                let target = |t: &Todo| Target {
                    tag: Tag::new(id, &t.unit),
                    main: t.main,
                    known: self.known.remove(&t.unit).unwrap_or_default(),
                };
                let targets: Vec<Target> = todo.iter().map(target).collect();
                let outcomes = strays::kill_all(&targets, self.reaper, PATIENCE);
                let swept = |(t, o): (Todo, strays::Outcome)| Swept { run: t.run, left: o.left.into() };
                todo.into_iter().zip(outcomes).map(swept).collect()
            }
            Way::None => todo.into_iter().map(|t| Swept { run: t.run, left: 0 }).collect(),
        }
    }
}

fn sweep_groups(tree: &Tree, kills: &Counts, todo: Vec<Todo>) -> Vec<Swept> {
    let groups: Vec<_> = todo.into_iter().map(|t| (tree.group(&t.unit), t)).collect();
    for (group, _) in &groups {
        let _ = group.strike();
    }
    // An error is one that `is_empty` met, too: nobody knows who is left, so somebody is.
    let sweep = |(group, Todo { unit, run, .. }): (Group, Todo)| {
        let left = group.kill_all(PATIENCE).unwrap_or(1);
        kills.removing(&unit, &group);
        // The next run gets a new group: Linux 6.18 kills whoever is cloned into one that `cgroup.kill` was ever
        // written to.
        let _ = group.remove();
        Swept { run, left }
    };
    groups.into_iter().map(sweep).collect()
}
