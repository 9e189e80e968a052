//! Decisions turned into deeds: the core's actions, done to the operating system.

use crate::engine::{Engine, Run};
use crate::spawner::{Done, Request, fault};
use crate::unexecuted::counts_as_run;
use std::io;
use supers_core::exit::{Exit, Stage};
use supers_core::fleet::Deed;
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::proc::{Action, Event, Exe, Note, State, Word};
use supers_core::signal::Signal;
use supers_os::reap;

/// What kind of command this is, in words.
pub(crate) fn exe_word(exe: Exe) -> &'static str {
    match exe {
        Exe::Main(_) => "command",
        Exe::Stop(_) => "stop command",
        Exe::Reload(_) => "reload command",
    }
}

impl Engine {
    /// Does everything that was decided, and what follows from it, until nothing is left.
    pub(crate) fn perform(&mut self) {
        while !self.deeds.is_empty() {
            for deed in std::mem::take(&mut self.deeds) {
                match deed {
                    Deed::Unit(id, action) => self.act_on(id, action),
                    Deed::Removed(id) => {
                        self.logs.detach(id);
                        self.bus.remove(self.now, id);
                        self.log_paths.remove(&id);
                        self.sockets.keep(self.fleet.iter().map(|(_, slot)| &*slot.spec));
                        self.touched.insert(id);
                    }
                    Deed::AllDown => self.all_down = true,
                }
            }
        }
    }

    fn act_on(&mut self, id: UnitId, action: Action) {
        match action {
            Action::Spawn { run, exe } => self.spawn(id, run, exe),
            Action::Signal { run, signal, group } => self.signal(id, run, signal, group),
            Action::Sweep { pid, .. } => {
                // Mostly there is nobody left, which is no error.
                let _ = reap::kill_group(pid, Signal::KILL);
            }
            Action::Note(note) => self.note(id, &note),
        }
    }

    fn spawn(&mut self, unit: UnitId, run: RunId, exe: Exe) {
        let Some(slot) = self.fleet.get(unit) else { return };
        let main = match exe {
            Exe::Main(_) => None,
            Exe::Stop(_) | Exe::Reload(_) => slot.unit.state.pid(),
        };
        let spec = slot.spec.clone();
        let requested = match self.sockets.of(&spec) {
            Err(text) => Err(fault(Stage::Files, &text)),
            Ok(socket) => {
                let request = Request { unit, run, exe, spec, main, socket };
                self.spawner.request(request).map_err(|(_, error)| error)
            }
        };
        match requested {
            Ok(()) => drop(self.spawning.insert(run)),
            Err(error) => {
                self.fleet.fact(unit, Event::SpawnFailed { run, error }, self.now, &mut self.deeds);
            }
        }
    }

    fn signal(&mut self, unit: UnitId, run: RunId, signal: Signal, group: bool) {
        let Some(r) = self.runs.get(&run).filter(|r| r.exit.is_none()) else {
            return;
        };
        let sent = if group { reap::kill_group(r.pid, signal) } else { reap::pidfd_signal(&r.pidfd, signal) };
        match sent {
            Ok(()) => {}
            // It is gone already; its exit is on the way.
            Err(e) if is_gone(&e) => {}
            Err(e) => {
                let text = format!("cannot send {signal} to pid {}: {}", r.pid.0, supers_os::error_text(&e));
                self.journal.warn(self.now, &text);
                self.fleet.fact(unit, Event::KillFailed { run }, self.now, &mut self.deeds);
            }
        }
    }

    fn note(&mut self, id: UnitId, note: &Note) {
        let slot = self.fleet.get(id).map(|slot| &slot.spec);
        // The last news of a unit come when its slot is gone.
        let spec = slot.or_else(|| self.runs.values().find(|r| r.unit == id).map(|r| &r.spec)).cloned();
        if let Some(spec) = &spec {
            // A shutdown makes BACKOFF FATAL, but nobody gave up.
            let fatal = matches!(note, Note::Changed { to: Word::Fatal, .. });
            if !(fatal && self.fleet.is_stopping()) {
                self.journal.note(self.now, spec, note);
            }
            self.waiting.note(id, spec, note, self.now);
            self.bus.note(id, spec, note);
        }
        match note {
            Note::Reloaded => self.tickets.reloaded(id, None),
            Note::CommandFailed(Exe::Reload(_), cause) => self.tickets.reloaded(id, Some(cause.to_string())),
            Note::Changed { .. }
            | Note::Spawned(_)
            | Note::SpawnFailed(_)
            | Note::Exited { .. }
            | Note::StopDone { .. }
            | Note::Killing(_)
            | Note::CommandFailed(..)
            | Note::Ignored(_) => {}
        }
    }

    /// The spawn thread finished one request.
    pub(crate) fn spawn_done(&mut self, done: Done) {
        let run = done.run;
        self.spawning.remove(&run);
        self.spawn_reported(done);
        for fact in self.unattributed.remove(&run).unwrap_or_default() {
            self.log_fact(fact);
        }
        if !self.postponed.is_empty() {
            std::mem::take(&mut self.postponed).into_iter().for_each(|ask| self.asked(ask));
        }
    }

    fn spawn_reported(&mut self, done: Done) {
        let Done { unit, spec, run, exe, result } = done;
        let started = match result {
            // Whoever is alone has reaped the child already, and does not know its pid any more.
            Err(error) if counts_as_run(&spec, &error) => match self.early.remove(&run) {
                None if self.family.has_keeper() => {
                    self.unexecuted.insert(run, unit);
                    return;
                }
                early => {
                    let pid = early.map_or(Pid(0), |(pid, _)| pid);
                    self.died_unexecuted(unit, run, pid);
                    return self.let_go(run, pid);
                }
            },
            Err(error) => {
                // The child that got as far as telling the keeper is a zombie until it is let go.
                match self.early.remove(&run) {
                    Some((pid, _)) => self.let_go(run, pid),
                    None if error.stage > Stage::Report => drop(self.failed.insert(run)),
                    None => {}
                }
                self.fleet.fact(unit, Event::SpawnFailed { run, error }, self.now, &mut self.deeds);
                return;
            }
            Ok(started) => started,
        };
        let pid = started.child.pid;
        let wanted = self.fleet.get(unit).is_some_and(|s| s.unit.knows(run));
        if let Err(e) = self.family.watch(run, pid, &started.child.pidfd) {
            let text = format!("cannot watch pid {}: {}", pid.0, supers_os::error_text(&e));
            self.journal.warn(self.now, &text);
        }
        let r =
            Run { unit, spec, exe, pid, pidfd: started.child.pidfd, streams: started.streams, exit: None };
        self.runs.insert(run, r);
        self.bus.started(unit, run, exe, started.stdin);
        if wanted {
            self.fleet.fact(unit, Event::Spawned { run, pid }, self.now, &mut self.deeds);
        } else {
            // Nobody wants it any more (a stop command whose unit is gone already).
            let _ = reap::kill_group(pid, Signal::KILL);
        }
        self.perform();
        if let Some((_, exit)) = self.early.remove(&run) {
            self.exited(run, exit);
        }
    }

    /// A process ended. Its output is stored first; only then the world hears of it.
    pub(crate) fn exited(&mut self, run: RunId, exit: Exit) {
        let Some(r) = self.runs.get_mut(&run) else { return };
        if r.exit.is_some() {
            return;
        }
        r.exit = Some(exit);
        self.family.unwatch(run, &r.pidfd);
        let drained = !r.streams.pending() && !crate::bus::tells(&r.spec) || !self.logs.drain(r.unit, run);
        if drained {
            self.finish(run);
        }
    }

    /// All output of an ended run is stored: tell the fleet, then let the process id go.
    pub(crate) fn finish(&mut self, run: RunId) {
        let Some((unit, pid, exit)) = self.runs.get(&run).and_then(|r| Some((r.unit, r.pid, r.exit?))) else {
            return;
        };
        self.fleet.fact(unit, Event::Exited { run, pid, exit }, self.now, &mut self.deeds);
        self.perform();
        self.bus.ended(run);
        // Until here the zombie pinned the pid: a sweep of its group could not meet a stranger.
        self.runs.remove(&run);
        self.let_go(run, pid);
    }

    /// Nobody needs this ended process any more: it is reaped.
    pub(crate) fn let_go(&mut self, run: RunId, pid: Pid) {
        if pid == Pid(0) {
            return;
        }
        if let Err(e) = self.family.settle(run, pid) {
            self.journal.warn(self.now, format!("cannot reap pid {}: {}", pid.0, supers_os::error_text(&e)));
        }
    }

    /// Main processes that live, for the line that is logged while a shutdown waits.
    pub(crate) fn still_alive(&self) -> Vec<String> {
        let alive = |s: &State| s.pid().is_some();
        let mut specs: Vec<_> =
            self.fleet.iter().filter(|(_, s)| alive(&s.unit.state)).map(|(_, s)| &s.spec).collect();
        specs.sort_by(|a, b| (a.group_priority, &a.group).cmp(&(b.group_priority, &b.group)));
        specs.into_iter().map(|spec| spec.name.clone()).collect()
    }
}

fn is_gone(e: &io::Error) -> bool {
    // ESRCH
    e.raw_os_error() == Some(3)
}
