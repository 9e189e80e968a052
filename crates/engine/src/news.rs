//! What the engine hears from the logs thread, and what it tells event listeners.

use crate::engine::Engine;
use crate::logs::LogFact;
use crate::logs::mainlog::Level;
use std::sync::Arc;
use supers_core::control::Stream;
use supers_core::event::{Happening, Kind, Who};
use supers_core::ids::{Pid, UnitId};
use supers_core::inside::StdinDone;
use supers_core::proc::State;

impl Engine {
    /// Makes what units need before their first start.
    pub(crate) fn prepare(&mut self, ids: &[UnitId]) {
        self.listen(ids);
        for id in ids {
            let Some(spec) = self.fleet.get(*id).and_then(|slot| slot.future_spec()).cloned() else {
                continue;
            };
            match self.logs.prepare(*id, &spec.full_name(), &spec.output) {
                Ok(paths) if paths.iter().all(|p| p.is_empty()) => drop(self.log_paths.remove(id)),
                Ok(paths) => drop(self.log_paths.insert(*id, Arc::new(paths))),
                // Its start will say so too.
                Err(e) => {
                    let text =
                        format!("{}: cannot make its log: {}", spec.full_name(), supers_os::error_text(&e));
                    self.journal.warn(self.now, text);
                }
            }
        }
    }

    /// Output that came before the news of its process waits for it. What is held is bounded: the logs thread
    /// counts these texts as under way.
    fn hold_back(&mut self, fact: LogFact) -> Option<LogFact> {
        let unit = match &fact {
            LogFact::Output { unit, .. } | LogFact::Captured { unit, .. } => *unit,
            LogFact::Heard { .. }
            | LogFact::Stored { .. }
            | LogFact::Drained { .. }
            | LogFact::Trouble { .. }
            | LogFact::Recovered { .. } => return Some(fact),
        };
        match self.fleet.get(unit).map(|slot| slot.unit.run).filter(|run| self.spawning.contains(run)) {
            Some(run) => {
                self.unattributed.entry(run).or_default().push(fact);
                None
            }
            None => Some(fact),
        }
    }

    /// Whose output this is, and its process.
    fn speaker(&self, unit: UnitId) -> Option<(Who, i32)> {
        let slot = self.fleet.get(unit)?;
        let who = Who { process: slot.spec.name.clone(), group: slot.spec.group.clone() };
        Some((who, slot.unit.state.pid().map_or(0, |Pid(pid)| pid)))
    }

    /// Those of these units that are listeners join their pools.
    pub(crate) fn listen(&mut self, ids: &[UnitId]) {
        for id in ids {
            if let Some(spec) = self.fleet.get(*id).and_then(|slot| slot.future_spec()) {
                self.bus.put(self.now, *id, spec);
            }
        }
    }

    /// Text for a child's standard input.
    pub(crate) fn write_stdin(&mut self, unit: UnitId, bytes: &[u8]) -> StdinDone {
        let run = self.fleet.get(unit).and_then(|slot| match &slot.unit.state {
            State::Starting { run, pid: Some(_), .. }
            | State::Running { run, .. }
            | State::Unknown { run, .. } => Some(*run),
            State::Starting { .. }
            | State::Stopped { .. }
            | State::Held
            | State::Backoff { .. }
            | State::Stopping { .. }
            | State::Exited { .. }
            | State::Fatal { .. } => None,
        });
        run.map_or(StdinDone::NotRunning, |run| self.bus.send_stdin(run, bytes))
    }

    /// Something happened that listeners may want to know.
    pub(crate) fn happen(&mut self, news: Happening) {
        self.bus.happen(&news);
    }

    pub(crate) fn log_fact(&mut self, fact: LogFact) {
        let Some(fact) = self.hold_back(fact) else { return };
        match fact {
            LogFact::Drained { run, .. } => self.finish(run),
            LogFact::Trouble { path, error, .. } => {
                let text = format!("{}: {error}; its output waits", path.display());
                self.journal.say(Level::Error, self.now, &text);
                self.notices.add(text);
            }
            LogFact::Heard { unit, text } => {
                if let Some(run) = self.fleet.get(unit).map(|slot| slot.unit.run) {
                    self.bus.heard(unit, run, &text);
                } else {
                    self.logs.consumed(unit, text.len());
                }
            }
            LogFact::Stored { unit } => {
                if let Some(run) = self.fleet.get(unit).map(|slot| slot.unit.run) {
                    self.bus.consumed(unit, run);
                }
            }
            LogFact::Output { unit, channel, text } => {
                let kind = match channel {
                    Stream::Stdout => Kind::ProcessLogStdout,
                    Stream::Stderr => Kind::ProcessLogStderr,
                };
                if let Some((who, pid)) = self.speaker(unit).filter(|_| self.bus.wants(kind)) {
                    self.happen(Happening::Log { who, pid, channel, data: text.to_vec() });
                }
            }
            LogFact::Captured { unit, channel, text } => {
                let kind = match channel {
                    Stream::Stdout => Kind::ProcessCommunicationStdout,
                    Stream::Stderr => Kind::ProcessCommunicationStderr,
                };
                if let Some((who, pid)) = self.speaker(unit).filter(|_| self.bus.wants(kind)) {
                    self.happen(Happening::Communication { who, pid, channel, data: text.to_vec() });
                }
            }
            LogFact::Recovered { path, .. } => {
                self.journal.info(self.now, format!("{}: output is written again", path.display()));
                self.notices.clear(&format!("{}: ", path.display()));
            }
        }
    }
}
