//! What a fleet is, as values that outlive the daemon: written down at the end of each turn, read by the
//! daemon that goes on after a crash or an upgrade.
//!
//! Units are named, since the numbers of slots belong to one daemon. What is written is
//! positional: see the engine's store before a field changes.

use super::{Fleet, Links, Pending, Sequence, Slot};
use crate::ids::{Pid, RunId, UnitId};
use crate::proc::{State, Unit, Want};
use crate::snapshot::Origin;
use crate::spec::Spec;
use crate::time::Now;
use alloc::boxed::Box;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// A higher place in a record is damage.
const MOST_PLACES: usize = 1 << 20;

/// One unit besides its description.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSlot {
    /// The machine.
    pub unit: Unit,
    /// A start waits in the queue.
    pub queued: bool,
    /// What happens when its process is gone.
    pub then: Relation,
}

/// What happens to a slot when its process is gone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Relation {
    /// Nothing special.
    #[default]
    Stay,
    /// It takes this description.
    Swap {
        /// The description.
        spec: Box<Spec>,
        /// Where that stands.
        origin: Origin,
        /// It is started then.
        start: bool,
    },
    /// It goes.
    Remove,
}

/// What belongs to no unit alone.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedFleet {
    /// The last run that was numbered.
    pub last_run: u64,
    /// A shutdown is under way.
    pub stopping: bool,
    /// Stops under way, one stage after another.
    pub sequences: Vec<SavedSequence>,
}

/// Stops of several stages; units by full name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedSequence {
    /// The stages that are left.
    pub stages: Vec<Vec<String>>,
    /// It is the shutdown.
    pub shutdown: bool,
}

impl SavedFleet {
    /// A shutdown has come to its end.
    pub fn is_over(&self) -> bool {
        self.stopping && !self.sequences.iter().any(|s| s.shutdown)
    }
}

impl Fleet {
    /// One slot, to be written down.
    pub fn saved_slot(&self, id: UnitId) -> Option<SavedSlot> {
        let slot = self.get(id)?;
        let then = match &slot.pending {
            Pending::Nothing => Relation::Stay,
            Pending::Remove => Relation::Remove,
            Pending::Swap { spec, origin, start } => {
                let (spec, origin) = (Box::new((**spec).clone()), (**origin).clone());
                Relation::Swap { spec, origin, start: *start }
            }
        };
        Some(SavedSlot { unit: slot.unit.clone(), queued: slot.queued, then })
    }

    /// The rest, to be written down.
    pub fn saved(&self) -> SavedFleet {
        let name = |id: &UnitId| Some(self.get(*id)?.spec.full_name());
        let stage = |ids: &Vec<UnitId>| ids.iter().filter_map(name).collect();
        let sequence = |s: &Sequence| SavedSequence {
            stages: s.stages.iter().map(stage).collect(),
            shutdown: s.shutdown,
        };
        let sequences = self.sequences.iter().map(sequence).collect();
        SavedFleet { last_run: self.next_run, stopping: self.stopping, sequences }
    }

    /// So many units are about to be put back.
    pub fn make_room(&mut self, units: usize) {
        self.slots.reserve(units);
    }

    /// Puts a unit back as it was, at its place among the others. A name that exists already is refused.
    /// [`Fleet::restored`] is called when all are back.
    pub fn restore_slot(
        &mut self,
        place: UnitId,
        spec: Arc<Spec>,
        origin: Arc<Origin>,
        saved: SavedSlot,
    ) -> Option<UnitId> {
        // Units that were removed have left their places empty.
        while self.slots.len() < (place.0 as usize).min(MOST_PLACES) {
            self.slots.push(None);
        }
        let id = self.add(spec, origin, Now::default())?;
        let SavedSlot { unit, queued, then } = saved;
        let deadline = unit.state.deadline();
        let slot = self.get_mut(id)?;
        slot.unit = unit;
        slot.queued = queued;
        slot.links = Links::default();
        slot.pending = match then {
            Relation::Stay => Pending::Nothing,
            Relation::Remove => Pending::Remove,
            Relation::Swap { spec, origin, start } => {
                Pending::Swap { spec: Arc::new(*spec), origin: Arc::new(origin), start }
            }
        };
        self.set_deadline(id, None, deadline);
        Some(id)
    }

    /// A process was found that is this unit's, of which no records tell: it counts as running from now on, as
    /// `run` or as a new one. `None` when the unit is not down.
    pub fn take_in(&mut self, id: UnitId, run: Option<RunId>, pid: Pid, now: Now) -> Option<RunId> {
        let fresh = RunId(self.next_run + 1);
        let slot = self.get_mut(id).filter(|slot| slot.unit.state.is_down())?;
        let run = run.unwrap_or(fresh);
        slot.unit = Unit {
            want: Want::Up,
            state: State::Running { run, pid, begun: now.mono },
            run,
            started: Some(now.wall),
            ..Unit::new(now.wall)
        };
        self.next_run = self.next_run.max(run.0);
        self.dirty.insert(id);
        Some(run)
    }

    /// All units are back: what belongs to no unit alone follows, and relations are resolved. What was under
    /// way goes on with the next [`Fleet::resume`].
    pub fn restored(&mut self, saved: SavedFleet) {
        self.next_run = self.next_run.max(saved.last_run);
        self.stopping = saved.stopping;
        for s in saved.sequences {
            let stage = |names: Vec<String>| names.iter().filter_map(|n| self.find(n)).collect();
            let stages = s.stages.into_iter().map(stage).collect();
            self.sequences.push(Sequence { stages, shutdown: s.shutdown });
        }
        self.link();
    }

    /// Goes on with what waits for nothing any more.
    pub fn resume(&mut self, now: Now, out: &mut Vec<super::Deed>) {
        // Whoever wrote this down died when all was over, and before it could say so.
        let over = self.is_over();
        let queued: Vec<UnitId> = self.iter().filter(|(_, s)| s.queued).map(|(id, _)| id).collect();
        for id in queued {
            self.queue.push_back((id, crate::proc::Event::Start { hold: false, by_hand: false }));
        }
        let waiting = |s: &Slot| !matches!(s.pending, Pending::Nothing) && s.unit.state.is_down();
        let waiting: BTreeSet<UnitId> = self.iter().filter(|(_, s)| waiting(s)).map(|(id, _)| id).collect();
        for id in waiting {
            self.consequences(id, now, out);
        }
        self.release_held();
        self.run_queue(now, out);
        out.extend(over.then_some(super::Deed::AllDown));
    }

    /// A shutdown has come to its end.
    fn is_over(&self) -> bool {
        self.stopping && !self.sequences.iter().any(|s| s.shutdown)
    }
}
