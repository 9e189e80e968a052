//! Who is waited for: lines that scripts look for in the main log (supervisor-contract 1).

use crate::engine::Engine;
use std::collections::BTreeMap;
use std::time::Duration;
use supers_core::ids::UnitId;
use supers_core::proc::{Note, Word};
use supers_core::spec::Spec;
use supers_core::time::{Mono, Now};

/// While the daemon ends, it says for whom this often.
const ALL_EVERY: Duration = Duration::from_secs(3);
/// While one unit is stopped, this often.
const ONE_EVERY: Duration = Duration::from_secs(2);

/// When which line is due. Empty, and without a deadline, while nothing is being stopped.
#[derive(Default)]
pub(crate) struct Waiting {
    /// The daemon ends: when to say for whom it waits.
    all: Option<Mono>,
    /// Units being stopped: when to say so, and their names.
    each: BTreeMap<UnitId, (Mono, String)>,
}

/// What is due.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Due {
    /// Say for whom the end of the daemon waits.
    pub all: bool,
    /// Units that have not stopped yet.
    pub each: Vec<String>,
}

impl Waiting {
    /// A unit's state changed.
    pub(crate) fn note(&mut self, id: UnitId, spec: &Spec, note: &Note, now: Now) {
        match note {
            Note::Changed { to: Word::Stopping, .. } if self.all.is_none() => {
                self.each.insert(id, (now.mono, spec.name.clone()));
            }
            Note::Changed { .. } => drop(self.each.remove(&id)),
            Note::Spawned(_)
            | Note::SpawnFailed(_)
            | Note::Exited { .. }
            | Note::StopDone { .. }
            | Note::Killing(_)
            | Note::CommandFailed(..)
            | Note::Reloaded
            | Note::Ignored(_) => {}
        }
    }

    /// The end of the daemon began.
    pub(crate) fn shut_down(&mut self, now: Now) {
        self.all = Some(now.mono);
        self.each.clear();
    }

    pub(crate) fn deadline(&self) -> Option<Mono> {
        self.each.values().map(|(at, _)| *at).chain(self.all).min()
    }

    /// What is to be said now; it is due again later.
    pub(crate) fn due(&mut self, now: Now) -> Due {
        let mut due = Due::default();
        if self.all.is_some_and(|at| at <= now.mono) {
            self.all = Some(now.mono + ALL_EVERY);
            due.all = true;
        }
        for (at, name) in self.each.values_mut().filter(|(at, _)| *at <= now.mono) {
            *at = now.mono + ONE_EVERY;
            due.each.push(name.clone());
        }
        due
    }
}

impl Engine {
    /// Says for whom the daemon, or a stop, has waited for a while.
    pub(crate) fn say_who_is_waited_for(&mut self) {
        let due = self.waiting.due(self.now);
        for name in due.each {
            self.journal.info(self.now, format!("waiting for {name} to stop"));
        }
        let alive = if due.all { self.still_alive() } else { Vec::new() };
        if !alive.is_empty() {
            self.journal.info(self.now, format!("waiting for {} to die", alive.join(", ")));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use supers_core::time::Wall;

    fn at(seconds: u64) -> Now {
        Now { mono: Mono(0) + Duration::from_secs(seconds), wall: Wall(0) }
    }

    fn changed(to: Word) -> Note {
        Note::Changed { from: Word::Running, to, tries: 0, pid: None, expected: false }
    }

    #[test]
    fn at_once_and_then_every_two_seconds() {
        let mut w = Waiting::default();
        let spec = Spec::new("web");
        assert_eq!((w.deadline(), w.due(at(0))), (None, Due::default()));
        w.note(UnitId(1), &spec, &changed(Word::Stopping), at(1));
        let said = Due { all: false, each: vec!["web".into()] };
        assert_eq!(w.due(at(1)), said);
        assert_eq!(w.due(at(2)), Due::default());
        assert_eq!(w.deadline(), Some(at(3).mono));
        assert_eq!(w.due(at(3)), said);
        w.note(UnitId(1), &spec, &changed(Word::Stopped), at(4));
        assert_eq!(w.deadline(), None);
    }

    #[test]
    fn the_end_of_the_daemon_speaks_for_all() {
        let mut w = Waiting::default();
        w.note(UnitId(1), &Spec::new("web"), &changed(Word::Stopping), at(1));
        w.shut_down(at(1));
        w.note(UnitId(2), &Spec::new("db"), &changed(Word::Stopping), at(1));
        assert_eq!(w.due(at(1)), Due { all: true, each: vec![] });
        assert_eq!(w.deadline(), Some(at(4).mono));
    }
}
