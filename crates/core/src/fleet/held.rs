//! Who waits for whom: a held start goes on when everything before it is decided.

use super::{Fleet, Pending, Slot};
use crate::ids::UnitId;
use crate::proc::{Cause, Event, State, Want};
use alloc::string::String;
use alloc::vec::Vec;

impl Fleet {
    /// Names of the units that a held unit waits for.
    pub fn waits_for(&self, id: UnitId) -> Vec<String> {
        let Some(slot) = self.get(id).filter(|s| s.unit.state == State::Held) else { return Vec::new() };
        let open = slot.links.after.iter().filter(|d| self.is_undecided(slot, **d));
        open.filter_map(|d| Some(self.get(*d)?.spec.full_name())).collect()
    }

    /// A unit that comes after `d` cannot know yet whether `d` gets there.
    pub(super) fn is_undecided(&self, me: &Slot, d: UnitId) -> bool {
        let Some(dep) = self.get(d) else { return false };
        let coming_back = dep.unit.want == Want::Up && matches!(dep.unit.state, State::Stopping { .. });
        let retrying = matches!(dep.unit.state, State::Backoff { .. }) && me.links.requires.contains(&d);
        let swapping = matches!(dep.pending, Pending::Swap { start: true, .. });
        dep.queued || dep.unit.state.is_starting() || coming_back || retrying || swapping
    }

    /// `d` is required and not there.
    pub(super) fn is_missing(&self, me: &Slot, d: UnitId) -> bool {
        me.links.requires.contains(&d) && self.get(d).is_some_and(|s| !s.unit.state.is_reached())
    }

    /// Looks again at all held units.
    pub(super) fn release_held(&mut self) {
        let is_held = |s: &Slot| s.unit.state == State::Held;
        let held: Vec<UnitId> = self.iter().filter(|(_, s)| is_held(s)).map(|(id, _)| id).collect();
        held.into_iter().for_each(|id| self.try_release(id));
    }

    /// Starts a held unit when everything before it is decided; fails it when a required one is not
    /// there.
    pub(super) fn try_release(&mut self, id: UnitId) {
        let Some(slot) = self.get(id).filter(|s| s.unit.state == State::Held) else { return };
        if slot.links.after.iter().any(|d| self.is_undecided(slot, *d)) {
            return;
        }
        let missing = slot.links.after.iter().find(|d| self.is_missing(slot, **d));
        let event = match missing.and_then(|d| self.get(*d)) {
            Some(dep) => Event::Abandon(Cause::Dependency(dep.spec.full_name())),
            None => Event::Release,
        };
        self.queue.push_back((id, event));
    }
}
