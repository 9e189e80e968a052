//! Units that get a new description, and units that go.

use super::{Deed, Fleet, Pending};
use crate::ids::UnitId;
use crate::proc::{Cause, Event, State, Want};
use crate::snapshot::Origin;
use crate::spec::Spec;
use crate::time::Now;
use alloc::sync::Arc;
use alloc::vec::Vec;

impl Fleet {
    /// Gives a unit a new description. A living one is stopped first; afterwards it starts again when
    /// it was wanted up.
    pub fn replace(
        &mut self,
        id: UnitId,
        spec: Arc<Spec>,
        origin: Arc<Origin>,
        now: Now,
        out: &mut Vec<Deed>,
    ) {
        let Some(slot) = self.get_mut(id) else { return };
        let start = match &slot.pending {
            Pending::Nothing if slot.spec == spec => {
                slot.origin = origin;
                self.dirty.insert(id);
                return;
            }
            Pending::Nothing => slot.unit.want == Want::Up,
            Pending::Swap { start, .. } => *start,
            // Described again before it was gone: like a new one.
            Pending::Remove => spec.autostart || spec.refused.is_some(),
        };
        slot.pending = Pending::Swap { spec, origin, start };
        self.queue.push_back((id, Event::Stop { shutdown: false }));
        self.run_queue(now, out);
    }

    /// Takes a unit out, after stopping it.
    pub fn remove(&mut self, id: UnitId, now: Now, out: &mut Vec<Deed>) {
        if let Some(slot) = self.get_mut(id) {
            slot.pending = Pending::Remove;
            self.queue.push_back((id, Event::Stop { shutdown: false }));
            self.run_queue(now, out);
        }
    }

    /// A unit on its way to a new description, or out, does not start again before it is there.
    pub(super) fn postpone(&mut self, id: UnitId) -> bool {
        let Some(slot) = self.get_mut(id) else { return false };
        match &mut slot.pending {
            Pending::Nothing => return false,
            Pending::Swap { start, .. } => *start = true,
            Pending::Remove => {}
        }
        slot.queued = false;
        true
    }

    pub(super) fn forget(&mut self, id: UnitId, out: &mut Vec<Deed>) {
        if let Some(slot) = self.slots.get_mut(id.0 as usize).and_then(Option::take) {
            self.by_name.remove(&slot.spec.full_name());
            if let Some(at) = slot.unit.state.deadline() {
                self.deadlines.remove(&(at, id));
            }
        }
        out.push(Deed::Removed(id));
    }

    pub(super) fn swap(&mut self, id: UnitId, spec: Arc<Spec>, origin: Arc<Origin>, start: bool, now: Now) {
        let stopping = self.stopping;
        let Some(slot) = self.get_mut(id) else { return };
        // No new run beside an old one that may not be killed.
        let left_running = matches!(slot.unit.state, State::Fatal { cause: Cause::LeftRunning(_) });
        let start = start && !stopping && !left_running;
        let relations_differ = slot.spec.order != spec.order || slot.spec.program != spec.program;
        slot.spec = spec;
        slot.origin = origin;
        if start {
            slot.queued = true;
            self.leave_sequences(id);
            self.queue.push_back((id, Event::Start { hold: false, by_hand: true }));
        } else if matches!(slot.unit.state, State::Fatal { .. }) && !left_running {
            // The reason it was given up for is of the old description.
            slot.unit.state = State::Stopped { cause: Cause::Asked };
            slot.unit.since = now.wall;
        }
        self.relink |= relations_differ;
    }
}
