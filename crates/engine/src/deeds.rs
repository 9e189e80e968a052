//! Decisions turned into deeds: the core's actions, done to the operating system.

use crate::adopt;
use crate::contain::{Sweep, Swept};
use crate::engine::{Engine, Run};
use crate::failpoint::hit;
use crate::history::End;
use crate::leave::is_moot;
use crate::spawner::{Done, Outcome, Request, Work, fault};
use crate::unexecuted::counts_as_run;
use crate::webhook;
use std::io;
use supers_core::control::Stream;
use supers_core::exit::{Exit, Stage};
use supers_core::fleet::Deed;
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::proc::{Action, Event, Exe, Note, State, Word};
use supers_core::signal::Signal;
use supers_core::spec::Spec;
use supers_os::keeper_proto::Key;
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
                        for name in self.logs.detach(id) {
                            self.holder.forget(Key::fifo(name.as_bytes()));
                        }
                        if let Some(key) = self.store.name_of(id) {
                            self.contain.remove(key);
                            self.wishes.started(key);
                        }
                        self.bus.remove(self.now, id);
                        self.log_paths.remove(&id);
                        self.sockets.keep(self.fleet.iter().map(|(_, slot)| &*slot.spec));
                        self.history.forget(id);
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
            Action::Signal { run, signal, group } => {
                self.store.touch(id);
                self.to_signal.push((id, run, signal, group));
            }
            Action::Sweep { pid, .. } => {
                // Mostly there is nobody left, which is no error.
                let _ = reap::kill_group(pid, Signal::KILL);
            }
            Action::Note(note) => self.note(id, &note),
        }
    }

    pub(crate) fn spawn(&mut self, unit: UnitId, run: RunId, exe: Exe) {
        let Some(slot) = self.fleet.get(unit) else { return };
        let main = match exe {
            Exe::Main(_) => None,
            Exe::Stop(_) | Exe::Reload(_) => slot.unit.state.pid(),
        };
        let spec = slot.spec.clone();
        let requested = match self.sockets.of(&spec) {
            Err(text) => Err(fault(Stage::Files, &text)),
            Ok(socket) => Ok(Request { unit, run, exe, spec, main, socket, work: Work::Start }),
        };
        match requested {
            Ok(request) => {
                self.spawning.insert(run);
                self.to_spawn.push(request);
            }
            Err(error) => {
                self.fleet.fact(unit, Event::SpawnFailed { run, error }, self.now, &mut self.deeds);
            }
        }
    }

    /// What had to wait until it was written down.
    pub(crate) fn send_out(&mut self) {
        // When another daemon is to follow they are only written down, and that one asks for them. What is decided
        // below is not written down yet.
        let starts = if self.leave.is_none() { std::mem::take(&mut self.to_spawn) } else { Vec::new() };
        for (unit, run, signal, group) in std::mem::take(&mut self.to_signal) {
            self.signal(unit, run, signal, group);
            // From here on it is not to be sent again.
            self.store.touch(unit);
        }
        self.perform();
        self.ask_for_starts(starts);
        self.gone.clear();
        for (run, pid, foreign) in std::mem::take(&mut self.to_settle) {
            if let Err(e) = self.family.settle(run, pid, foreign) {
                let text = format!("cannot reap pid {}: {}", pid.0, supers_os::error_text(&e));
                self.journal.warn(self.now, text);
            }
        }
        hit("commit.settled");
    }

    /// First of all: somebody waits for them.
    fn ask_for_starts(&mut self, starts: Vec<Request>) {
        for request in starts {
            self.requested += 1;
            if let Err((request, error)) = self.spawner.request(request) {
                self.requested -= 1;
                self.spawning.remove(&request.run);
                let event = Event::SpawnFailed { run: request.run, error };
                self.fleet.fact(request.unit, event, self.now, &mut self.deeds);
                self.perform();
            }
        }
    }

    fn signal(&mut self, unit: UnitId, run: RunId, signal: Signal, group: bool) {
        let Some(r) = self.runs.get(&run).filter(|r| r.exit.is_none()) else {
            return;
        };
        let sent = if group { reap::kill_group(r.pid, signal) } else { reap::pidfd_signal(&r.pidfd, signal) };
        if group && r.spec.stop.sweep && matches!(r.exe, Exe::Main(_)) {
            self.contain.signal_all(&r.spec.full_name(), r.pid, signal);
        }
        match sent {
            Ok(()) => {
                hit("signal.sent");
                let stopping =
                    self.fleet.get(unit).is_some_and(|s| matches!(s.unit.state, State::Stopping { .. }));
                let spec = r.spec.clone();
                self.history.signalled(self.now, &spec, run, signal, if stopping { "stop" } else { "order" });
            }
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
                self.history.note(self.now, spec, self.fleet.get(id).map(|slot| &slot.unit), note);
            }
            self.waiting.note(id, spec, note, self.now);
            self.notify(id, spec, note);
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

    /// Tells of an abnormal end outside, if somebody wants that.
    fn notify(&mut self, id: UnitId, spec: &Spec, note: &Note) {
        let Some(unit) = self.fleet.get(id).map(|slot| &slot.unit) else { return };
        let Some(what) = webhook::abnormal(note, &unit.state, self.fleet.is_stopping()) else { return };
        let settings = self.settings.borrow();
        if !webhook::is_wanted(&settings.webhooks, spec, what) {
            return;
        }
        let run = self.ending.unwrap_or(unit.run);
        let lines = self.logs.reader(id, &spec.output, Stream::Stdout);
        let tail = lines.and_then(|r| r.last_lines(webhook::TAIL_LINES, 0).ok()).unwrap_or_default();
        let (state, attempt, at) = (&unit.state, unit.failures, self.now.wall);
        let oom = self.history.is_starved(run);
        let fact = webhook::Fact { what, spec, note, state, run, attempt, oom, at, tail };
        if let Some(delivery) = webhook::delivery(&self.sender, &settings.webhooks, &fact) {
            self.webhooks.deliver(delivery);
        }
    }

    /// The spawn thread finished one request.
    pub(crate) fn spawn_done(&mut self, done: Done) {
        let run = done.run;
        self.requested = self.requested.saturating_sub(1);
        self.spawning.remove(&run);
        match done.outcome {
            Outcome::Started(_) => self.spawn_reported(done),
            Outcome::Adopted(streams) => self.output_adopted(run, streams),
        }
        for fact in self.unattributed.remove(&run).unwrap_or_default() {
            self.log_fact(fact);
        }
        if self.requested == 0 {
            // They were of no start.
            for (pid, exit) in std::mem::take(&mut self.stillborn) {
                self.journal.info(self.now, format!("reaped unknown pid {} ({exit})", pid.0));
            }
        }
        if !self.postponed.is_empty() {
            std::mem::take(&mut self.postponed).into_iter().for_each(|ask| self.asked(ask));
        }
    }

    fn spawn_reported(&mut self, done: Done) {
        let Done { unit, spec, run, exe, outcome: Outcome::Started(result) } = done else { return };
        let started = match result {
            Err(error) if is_moot(&error) => return,
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
                self.ending = Some(run);
                self.fleet.fact(unit, Event::SpawnFailed { run, error }, self.now, &mut self.deeds);
                self.perform();
                self.ending = None;
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
        let (pidfd, streams) = (started.child.pidfd, Some(started.streams));
        let identity = started.identity;
        let r =
            Run { unit, spec, exe, pid, identity, foreign: false, pidfd, streams, swept: false, exit: None };
        self.store.touch(unit);
        self.runs.insert(run, r);
        hit("spawn.reported");
        self.bus.started(unit, run, exe, started.stdin);
        if wanted {
            self.fleet.fact(unit, Event::Spawned { run, pid }, self.now, &mut self.deeds);
        } else {
            // Nobody wants it any more (a stop command whose unit is gone already).
            let _ = reap::kill_group(pid, Signal::KILL);
        }
        self.perform();
        let early = self.early.remove(&run).map(|(_, exit)| exit);
        if let Some(exit) = early.or_else(|| self.stillborn.remove(&pid)) {
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
        self.fleet.end_is_known(r.unit, run);
        self.store_last_words(run);
    }

    /// True when what the main process left must not live on.
    fn is_swept(&self, r: &Run) -> bool {
        let stopping = || {
            let state = self.fleet.get(r.unit).map(|slot| &slot.unit.state);
            matches!(state, Some(State::Stopping { .. }))
        };
        matches!(r.exe, Exe::Main(_)) && (r.spec.stop.sweep || r.spec.stop.sweep_stop && stopping())
    }

    /// Nobody is left of a run, or cannot be ended.
    pub(crate) fn swept(&mut self, Swept { run, left }: Swept) {
        let Some(r) = self.runs.get_mut(&run) else { return };
        r.swept = true;
        if left > 0 {
            let text = format!("{}: {left} of its processes cannot be ended", r.spec.full_name());
            self.journal.warn(self.now, text);
        }
        self.store_last_words(run);
    }

    /// The main process of a run is gone: what it left is ended, then its output is stored, then the end is
    /// told.
    pub(crate) fn store_last_words(&mut self, run: RunId) {
        let Some(r) = self.runs.get(&run) else { return };
        if !r.swept && self.is_swept(r) {
            // The number of a foreign one may be another's by now.
            let pid = if r.foreign { Pid(0) } else { r.pid };
            match self.contain.sweep(&r.spec.full_name(), run, pid) {
                Sweep::Clean => {}
                Sweep::Underway => return,
                Sweep::Refused => {
                    let text = format!("{}: what it left cannot be swept", r.spec.full_name());
                    self.journal.warn(self.now, text);
                }
            }
        }
        let Some(r) = self.runs.get_mut(&run) else { return };
        r.swept = true;
        // One whose output is not taken over yet waits for that.
        let Some(streams) = &r.streams else { return };
        let drained = !streams.pending() && !crate::bus::tells(&r.spec) || !self.logs.drain(r.unit, run);
        if drained {
            self.finish(run);
        }
    }

    /// All output of an ended run is stored: tell the fleet, then let the process id go.
    pub(crate) fn finish(&mut self, run: RunId) {
        let ended = |r: &Run| Some((r.unit, r.pid, r.foreign, r.exit?));
        let Some((unit, pid, foreign, exit)) = self.runs.get(&run).and_then(ended) else { return };
        if let Some(r) = self.runs.get(&run) {
            let streams = r.streams.as_deref();
            let oom = || self.contain.oom(&r.spec.full_name());
            let end = End { unit, run, pid, exit, streams, oom: &oom };
            self.history.ended(self.now, &end, self.fleet.get(unit).map(|slot| &slot.unit));
        }
        self.ending = Some(run);
        self.fleet.fact(unit, Event::Exited { run, pid, exit }, self.now, &mut self.deeds);
        self.perform();
        self.ending = None;
        self.bus.ended(run);
        // Until here the zombie pinned the pid: a sweep of its group could not meet a stranger.
        self.gone.extend(self.runs.remove(&run));
        if foreign && !self.runs.values().any(|r| r.foreign) {
            self.notices.clear(adopt::WEAKENED);
        }
        self.store.touch(unit);
        self.to_settle.push((run, pid, foreign));
        hit("exit.finished");
    }

    /// Nobody needs this ended process any more: it is reaped as soon as that is written down.
    pub(crate) fn let_go(&mut self, run: RunId, pid: Pid) {
        if pid != Pid(0) {
            self.to_settle.push((run, pid, false));
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
