//! What the engine hears from the logs thread, and what it tells event listeners.

use crate::engine::Engine;
use crate::logs::LogFact;
use crate::logs::mainlog::Level;
use supers_core::event::Happening;
use supers_core::ids::UnitId;
use supers_core::inside::StdinDone;
use supers_core::proc::State;

impl Engine {
    /// Makes what units need before their first start.
    pub(crate) fn prepare(&mut self, ids: &[UnitId]) {
        self.listen(ids);
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
        match fact {
            LogFact::Drained { run, .. } => self.finish(run),
            LogFact::Trouble { path, error, .. } => {
                let text = format!("{}: {error}; its output waits", path.display());
                self.journal.say(Level::Error, self.now, &text);
                self.notices.add(text);
            }
            LogFact::Recovered { path, .. } => {
                self.journal.info(self.now, format!("{}: output is written again", path.display()));
                self.notices.clear(&format!("{}: ", path.display()));
            }
        }
    }
}
