//! Many units: in which order they start and stop, what a reload does to them, how all of it ends.
//!
//! The fleet feeds [`crate::proc::step`] and looks at what became of each unit. Everything it does
//! about that is another event in its queue, so a wave through a thousand units neither recurses nor
//! sees half a wave.

mod change;
mod held;
mod order;
mod plan;
mod saved;
mod select;
mod ticket;

pub use order::layers;
pub use plan::{Plan, Wanted, plan};
pub use saved::{Relation, SavedFleet, SavedSequence, SavedSlot};
pub use select::{glob, select};
pub use ticket::{Ticket, judge};

use crate::ids::{RunId, UnitId};
use crate::proc::{Action, Cause, Cx, Event, State, Unit, Want, step};
use crate::snapshot::Origin;
use crate::spec::Spec;
use crate::time::{Mono, Now};
use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// Room for so many events is kept while none waits.
const KEPT: usize = 64;

/// What is to be done, fleet-wide.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    /// For one unit.
    Unit(UnitId, Action),
    /// A unit is gone for good; its streams can be closed.
    Removed(UnitId),
    /// The shutdown is complete.
    AllDown,
}

/// One slot: a unit with its description and relations.
#[derive(Clone, Debug)]
pub struct Slot {
    /// What it is supposed to be.
    pub spec: Arc<Spec>,
    /// Where that stands.
    pub origin: Arc<Origin>,
    /// What it is.
    pub unit: Unit,
    /// What happens when its process is gone.
    pending: Pending,
    /// A start waits in the queue.
    queued: bool,
    links: Links,
}

/// Relations of one unit, resolved to slots.
#[derive(Clone, Debug, Default)]
struct Links {
    /// Start before it.
    after: Vec<UnitId>,
    /// Have it in their `after`.
    followers: Vec<UnitId>,
    requires: Vec<UnitId>,
    wants: Vec<UnitId>,
    /// Have it in their `requires`.
    dependents: Vec<UnitId>,
}

#[derive(Clone, Debug)]
enum Pending {
    Nothing,
    Swap { spec: Arc<Spec>, origin: Arc<Origin>, start: bool },
    Remove,
}

/// Stops under way that must happen one stage after another.
#[derive(Clone, Debug)]
struct Sequence {
    stages: VecDeque<Vec<UnitId>>,
    shutdown: bool,
}

/// All units of a daemon.
#[derive(Clone, Debug, Default)]
pub struct Fleet {
    slots: Vec<Option<Slot>>,
    by_name: BTreeMap<String, UnitId>,
    deadlines: BTreeSet<(Mono, UnitId)>,
    /// Runs that have ended and whose ends are not told yet.
    ending: BTreeSet<(UnitId, RunId)>,
    next_run: u64,
    queue: VecDeque<(UnitId, Event)>,
    sequences: Vec<Sequence>,
    stopping: bool,
    dirty: BTreeSet<UnitId>,
    /// A description with other relations has taken its place.
    relink: bool,
    /// Stops of several stages changed since [`Fleet::take_replanned`] was called last.
    replanned: bool,
}

impl Slot {
    /// The description it has, or gets as soon as its process is gone; `None` when it is on its way out.
    pub fn future_spec(&self) -> Option<&Arc<Spec>> {
        match &self.pending {
            Pending::Nothing => Some(&self.spec),
            Pending::Swap { spec, .. } => Some(spec),
            Pending::Remove => None,
        }
    }
}

impl Fleet {
    /// Runs are numbered from here on; a daemon that continues another one begins above its runs.
    pub fn new(last_run: RunId) -> Fleet {
        Fleet { next_run: last_run.0, ..Fleet::default() }
    }

    /// One slot.
    pub fn get(&self, id: UnitId) -> Option<&Slot> {
        self.slots.get(id.0 as usize)?.as_ref()
    }

    fn get_mut(&mut self, id: UnitId) -> Option<&mut Slot> {
        self.slots.get_mut(id.0 as usize)?.as_mut()
    }

    /// All slots in use.
    pub fn iter(&self) -> impl Iterator<Item = (UnitId, &Slot)> {
        self.slots.iter().enumerate().filter_map(|(i, s)| Some((UnitId(u32::try_from(i).ok()?), s.as_ref()?)))
    }

    /// Slots in use and free ones below the highest.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }

    /// The unit of this full name (`web`, `group:web`).
    pub fn find(&self, full_name: &str) -> Option<UnitId> {
        self.by_name.get(full_name).copied()
    }

    /// A shutdown has begun.
    pub fn is_stopping(&self) -> bool {
        self.stopping
    }

    /// When the fleet wants [`Fleet::tick`], if nothing else happens.
    pub fn deadline(&self) -> Option<Mono> {
        self.deadlines.first().map(|(at, _)| *at)
    }

    /// Something changed that belongs to no unit alone ([`Fleet::saved`]), runs apart, since the last call.
    pub fn take_replanned(&mut self) -> bool {
        core::mem::take(&mut self.replanned)
    }

    /// The last run that was numbered.
    pub fn last_run(&self) -> RunId {
        RunId(self.next_run)
    }

    /// Units that changed since [`Fleet::take_dirty`] was called last.
    pub fn dirty(&self) -> &BTreeSet<UnitId> {
        &self.dirty
    }

    /// Units that changed since the last call.
    pub fn take_dirty(&mut self) -> BTreeSet<UnitId> {
        core::mem::take(&mut self.dirty)
    }

    /// Adds a unit, down. Call [`Fleet::link`] when all are added. A name that exists already is
    /// refused.
    pub fn add(&mut self, spec: Arc<Spec>, origin: Arc<Origin>, now: Now) -> Option<UnitId> {
        let name = spec.full_name();
        if self.by_name.contains_key(&name) {
            return None;
        }
        let id = UnitId(u32::try_from(self.slots.len()).ok()?);
        let unit = Unit::new(now.wall);
        let slot =
            Slot { spec, origin, unit, pending: Pending::Nothing, queued: false, links: Links::default() };
        self.slots.push(Some(slot));
        self.by_name.insert(name, id);
        self.dirty.insert(id);
        Some(id)
    }

    /// Resolves the relations of all units by name. Edges that would close a circle are left out (the
    /// configuration check refuses such units; this keeps the fleet alive whatever it is given).
    pub fn link(&mut self) {
        self.relink = false;
        if self.iter().all(|(_, slot)| slot.spec.order.is_empty()) {
            self.slots.iter_mut().flatten().for_each(|slot| slot.links = Links::default());
            return self.release_held();
        }
        let names = self.names();
        let look = |list: &[String], me: UnitId| -> Vec<UnitId> {
            let found = list.iter().filter_map(|n| names.get(n.as_str())).flatten().copied();
            found.filter(|id| *id != me).collect()
        };
        let mut links: BTreeMap<UnitId, Links> = BTreeMap::new();
        for (id, slot) in self.iter() {
            let order = &slot.spec.order;
            let entry = links.entry(id).or_default();
            entry.after.extend(look(&order.after, id));
            entry.requires = look(&order.requires, id);
            entry.wants = look(&order.wants, id);
            for d in look(&order.before, id) {
                links.entry(d).or_default().after.push(id);
            }
        }
        order::break_circles(&mut links);
        for (id, l) in links.clone() {
            for d in &l.after {
                links.entry(*d).or_default().followers.push(id);
            }
            for d in &l.requires {
                links.entry(*d).or_default().dependents.push(id);
            }
        }
        for (id, l) in links {
            if let Some(slot) = self.get_mut(id) {
                slot.links = l;
            }
        }
        self.release_held();
    }

    /// Units by full name, and by program name for programs of several slots.
    fn names(&self) -> BTreeMap<String, Vec<UnitId>> {
        let mut names: BTreeMap<String, Vec<UnitId>> = BTreeMap::new();
        for (id, slot) in self.iter() {
            names.entry(slot.spec.full_name()).or_default().push(id);
            if slot.spec.program != slot.spec.full_name() {
                names.entry(slot.spec.program.clone()).or_default().push(id);
            }
        }
        names
    }

    /// Starts what is wanted from the beginning, in boot order. Broken descriptions are "started" too:
    /// they become FATAL with their reason.
    pub fn boot(&mut self, now: Now, out: &mut Vec<Deed>) {
        let wanted = |s: &Slot| s.spec.autostart || s.spec.refused.is_some();
        let ids: Vec<UnitId> = self.iter().filter(|(_, s)| wanted(s)).map(|(id, _)| id).collect();
        self.bring_up(&ids, false, now, out);
    }

    /// An earlier stop by the operator holds: it is down because somebody asked for that.
    pub fn keep_down(&mut self, id: UnitId) {
        if let Some(slot) = self.get_mut(id).filter(|slot| slot.unit.state.is_down()) {
            slot.unit.state = State::Stopped { cause: Cause::Asked };
            self.dirty.insert(id);
        }
    }

    /// Starts these as at boot: not by hand, counters stay.
    pub fn boot_these(&mut self, ids: &[UnitId], now: Now, out: &mut Vec<Deed>) {
        self.bring_up(ids, false, now, out);
    }

    /// Starts these, and what they require and want. Ignored during a shutdown.
    pub fn start(&mut self, ids: &[UnitId], now: Now, out: &mut Vec<Deed>) {
        self.bring_up(ids, true, now, out);
    }

    fn bring_up(&mut self, ids: &[UnitId], by_hand: bool, now: Now, out: &mut Vec<Deed>) {
        if self.stopping {
            return;
        }
        for id in self.with_needs(ids) {
            self.leave_sequences(id);
            if let Some(slot) = self.get_mut(id) {
                slot.queued = true;
                self.queue.push_back((id, Event::Start { hold: false, by_hand }));
            }
        }
        self.run_queue(now, out);
    }

    /// A later order: stops under way that have not reached this unit do not reach it any more.
    fn leave_sequences(&mut self, id: UnitId) {
        for s in &mut self.sequences {
            self.replanned = true;
            s.stages.iter_mut().for_each(|stage| stage.retain(|u| *u != id));
        }
    }

    /// These and all that they pull in, in boot order.
    fn with_needs(&self, ids: &[UnitId]) -> Vec<UnitId> {
        let mut set: BTreeSet<UnitId> = BTreeSet::new();
        let mut todo: Vec<UnitId> = ids.to_vec();
        while let Some(id) = todo.pop() {
            let Some(slot) = self.get(id) else { continue };
            if set.insert(id) {
                let needs = slot.links.requires.iter().chain(&slot.links.wants);
                let is_missing = |s: &Slot| s.unit.state.is_down() || s.unit.want == Want::Down;
                todo.extend(needs.filter(|d| self.get(**d).is_some_and(is_missing)));
            }
        }
        self.boot_order(set.into_iter().collect())
    }

    /// Sorted as they start at boot: groups by priority and name, inside as they were added
    /// (supervisor-contract 7).
    fn boot_order(&self, mut ids: Vec<UnitId>) -> Vec<UnitId> {
        ids.sort_by(|a, b| {
            let key =
                |id: &UnitId| self.get(*id).map(|s| (s.spec.group_priority, s.spec.group.as_str(), *id));
            key(a).cmp(&key(b))
        });
        ids
    }

    /// Stops these and what requires them, followers first.
    pub fn stop(&mut self, ids: &[UnitId], now: Now, out: &mut Vec<Deed>) {
        let set = self.with_dependents(ids);
        let stages = layers(&set, |id| self.get(id).map_or(&[][..], |s| &s.links.after));
        self.sequence(stages.into(), false, now, out);
    }

    fn with_dependents(&self, ids: &[UnitId]) -> Vec<UnitId> {
        let mut set: BTreeSet<UnitId> = BTreeSet::new();
        let mut todo: Vec<UnitId> = ids.to_vec();
        while let Some(id) = todo.pop() {
            let Some(slot) = self.get(id) else { continue };
            if set.insert(id) {
                let alive = |d: &UnitId| self.get(*d).is_some_and(|s| !s.unit.state.is_down());
                todo.extend(slot.links.dependents.iter().copied().filter(alive));
            }
        }
        self.boot_order(set.into_iter().collect())
    }

    /// Stops everything for good: groups of higher priority number first. With `one_by_one` each group
    /// waits for the one before (Supervisor's rule); else groups of equal priority go together.
    pub fn shutdown(&mut self, one_by_one: bool, now: Now, out: &mut Vec<Deed>) {
        if self.stopping {
            return;
        }
        self.stopping = true;
        self.replanned = true;
        self.sequences.clear();
        for slot in self.slots.iter_mut().flatten() {
            slot.pending = Pending::Nothing;
            slot.queued = false;
        }
        self.queue.clear();
        let mut ranks: BTreeMap<(i32, String), Vec<UnitId>> = BTreeMap::new();
        for (id, slot) in self.iter() {
            let group = if one_by_one { slot.spec.group.clone() } else { String::new() };
            ranks.entry((slot.spec.group_priority, group)).or_default().push(id);
        }
        let mut stages = VecDeque::new();
        for (_, mut ids) in ranks.into_iter().rev() {
            ids.sort_by_key(|id| core::cmp::Reverse(self.get(*id).map(|s| s.spec.priority)));
            stages.extend(layers(&ids, |id| self.get(id).map_or(&[][..], |s| &s.links.after)));
        }
        self.sequence(stages, true, now, out);
    }

    /// Takes units down stage by stage. Those of later stages are no longer wanted from now on.
    fn sequence(&mut self, stages: VecDeque<Vec<UnitId>>, shutdown: bool, now: Now, out: &mut Vec<Deed>) {
        for id in stages.iter().flatten() {
            if let Some(Slot { pending: Pending::Swap { start, .. }, .. }) = self.get_mut(*id) {
                *start = false;
            }
        }
        for id in stages.iter().skip(1).flatten() {
            let Some(slot) = self.get_mut(*id) else { continue };
            slot.unit.want = Want::Down;
            slot.queued = false;
            if slot.unit.state.run().is_none() {
                self.queue.push_back((*id, Event::Stop { shutdown }));
            }
            self.dirty.insert(*id);
        }
        if let Some(first) = stages.front() {
            self.queue.extend(first.iter().map(|id| (*id, Event::Stop { shutdown })));
        }
        self.sequences.push(Sequence { stages, shutdown });
        self.replanned = true;
        // Whoever waits for one that is no longer wanted waits in vain.
        self.release_held();
        self.run_queue(now, out);
    }

    /// Stops and starts these, each on its own.
    pub fn restart(&mut self, ids: &[UnitId], now: Now, out: &mut Vec<Deed>) {
        self.each(ids, &Event::Restart, now, out);
    }

    /// The same event for each.
    pub fn each(&mut self, ids: &[UnitId], event: &Event, now: Now, out: &mut Vec<Deed>) {
        if self.stopping && *event == Event::Restart {
            return;
        }
        let ids = self.boot_order(ids.to_vec());
        if *event == Event::Restart {
            ids.iter().for_each(|id| self.leave_sequences(*id));
        }
        self.queue.extend(ids.into_iter().map(|id| (id, event.clone())));
        self.run_queue(now, out);
    }

    /// A fact about one unit.
    pub fn fact(&mut self, id: UnitId, event: Event, now: Now, out: &mut Vec<Deed>) {
        self.queue.push_back((id, event));
        self.run_queue(now, out);
    }

    /// The process of this run has ended; [`Event::Exited`] follows when its output is stored. Until then no deadline
    /// of its unit passes: whatever it was for, it was kept.
    pub fn end_is_known(&mut self, id: UnitId, run: RunId) {
        let Some(slot) = self.get(id).filter(|slot| slot.unit.state.waits_for(run)) else { return };
        if let Some(at) = slot.unit.state.deadline() {
            self.deadlines.remove(&(at, id));
        }
        self.ending.insert((id, run));
    }

    fn is_ending(&self, id: UnitId) -> bool {
        self.ending.range((id, RunId(0))..=(id, RunId(u64::MAX))).next().is_some()
    }

    /// All deadlines that are over.
    pub fn tick(&mut self, now: Now, out: &mut Vec<Deed>) {
        while let Some((at, id)) = self.deadlines.first().copied() {
            if at > now.mono {
                break;
            }
            self.deadlines.pop_first();
            self.queue.push_back((id, Event::Tick));
            self.run_queue(now, out);
        }
    }

    fn run_queue(&mut self, now: Now, out: &mut Vec<Deed>) {
        loop {
            while let Some((id, event)) = self.queue.pop_front() {
                self.apply(id, event, now, out);
                if self.relink {
                    self.link();
                }
            }
            self.advance_sequences(now, out);
            if self.queue.is_empty() {
                // What a wave through many units took is given back.
                self.queue.shrink_to(KEPT);
                return;
            }
        }
    }

    /// One event for one unit, and what follows from it for others.
    fn apply(&mut self, id: UnitId, mut event: Event, now: Now, out: &mut Vec<Deed>) {
        if matches!(event, Event::Start { .. } | Event::Restart) {
            if self.stopping {
                return;
            }
            if self.postpone(id) {
                return self.consequences(id, now, out);
            }
        }
        if let Event::Exited { run, .. } = &event {
            self.ending.remove(&(id, *run));
        }
        let Some(slot) = self.get(id) else { return };
        if let Event::Start { hold, .. } = &mut event {
            *hold = slot.links.after.iter().any(|d| self.is_undecided(slot, *d) || self.is_missing(slot, *d));
        }
        let mut next_run = self.next_run;
        let mut actions = Vec::new();
        let Some(slot) = self.get_mut(id) else { return };
        slot.queued &= !matches!(event, Event::Start { .. });
        let (before, want, old) = (slot.unit.state.kind(), slot.unit.want, slot.unit.state.deadline());
        let spec = slot.spec.clone();
        let mut cx = Cx { spec: &spec, now, next_run: &mut next_run, out: &mut actions };
        step(&mut slot.unit, &event, &mut cx);
        let new = slot.unit.state.deadline();
        let moved = slot.unit.state.kind() != before || !actions.is_empty() || slot.unit.want != want;
        let asked = matches!(event, Event::Start { .. } | Event::Stop { .. });
        self.next_run = next_run;
        self.set_deadline(id, old, new);
        out.extend(actions.into_iter().map(|a| Deed::Unit(id, a)));
        if moved || asked {
            self.dirty.insert(id);
            self.consequences(id, now, out);
            self.try_release(id);
        }
    }

    fn set_deadline(&mut self, id: UnitId, old: Option<Mono>, new: Option<Mono>) {
        if let Some(at) = old.filter(|_| old != new) {
            self.deadlines.remove(&(at, id));
        }
        if let Some(at) = new.filter(|_| !self.is_ending(id)) {
            self.deadlines.insert((at, id));
        }
    }

    fn consequences(&mut self, id: UnitId, now: Now, out: &mut Vec<Deed>) {
        let Some(slot) = self.get_mut(id) else { return };
        let followers = slot.links.followers.clone();
        if matches!(slot.unit.state, State::Backoff { .. }) && slot.unit.want == Want::Down {
            // It failed while its turn to be stopped had not come: there is no next try.
            self.queue.push_back((id, Event::Stop { shutdown: self.stopping }));
            return;
        }
        if slot.unit.state.is_down() {
            match core::mem::replace(&mut slot.pending, Pending::Nothing) {
                Pending::Nothing => {}
                Pending::Remove => self.forget(id, out),
                Pending::Swap { spec, origin, start } => self.swap(id, spec, origin, start, now),
            }
        }
        for f in followers {
            self.try_release(f);
        }
    }

    /// Moves each sequence on to the next stage when its present one is down.
    fn advance_sequences(&mut self, _now: Now, out: &mut Vec<Deed>) {
        let mut sequences = core::mem::take(&mut self.sequences);
        let before: usize = sequences.iter().map(|s| 1 + s.stages.len()).sum();
        sequences.retain_mut(|s| {
            while let Some(stage) = s.stages.front() {
                if !stage.iter().all(|id| self.is_settled_down(*id)) {
                    return true;
                }
                s.stages.pop_front();
                let shutdown = s.shutdown;
                if let Some(next) = s.stages.front() {
                    self.queue.extend(next.iter().map(|id| (*id, Event::Stop { shutdown })));
                    if !next.is_empty() {
                        return true;
                    }
                }
            }
            if s.shutdown {
                out.push(Deed::AllDown);
            }
            false
        });
        self.replanned |= sequences.iter().map(|s| 1 + s.stages.len()).sum::<usize>() != before;
        self.sequences.append(&mut sequences);
    }

    /// Down, or beyond reach: nothing that a stop could still wait for.
    fn is_settled_down(&self, id: UnitId) -> bool {
        self.get(id).is_none_or(|s| s.unit.state.is_down() || matches!(s.unit.state, State::Unknown { .. }))
    }
}
