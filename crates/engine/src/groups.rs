//! Groups as Supervisor's interface has them: which are active, what the last parse of the configuration
//! said, and how the two differ (supervisor-contract 7).

use crate::engine::Engine;
use crate::sources::wanted;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, PoisonError, RwLock};
use supers_config::Loaded;
use supers_core::event::Happening;
use supers_core::fleet::Wanted;
use supers_core::ids::UnitId;
use supers_core::inside::{GroupDone, Reread};
use supers_core::snapshot::Group;
use supers_core::spec::{Output, Spec, Target};

/// What the configuration said when it was last read.
#[derive(Default)]
pub(crate) struct Parsed {
    /// Units in file order.
    pub wanted: Vec<Wanted>,
    /// All groups by name, with their priorities; also those without a unit.
    pub groups: BTreeMap<String, i32>,
    /// The daemon's `identifier`.
    pub identifier: String,
    /// Where the descriptions of `wanted` lie, in order.
    places: Vec<usize>,
}

impl Parsed {
    /// This very description is one of `wanted`.
    pub(crate) fn contains(&self, spec: &Arc<Spec>) -> bool {
        self.places.binary_search(&Arc::as_ptr(spec).addr()).is_ok()
    }

    /// Descriptions that are as they were in `before` are kept once.
    pub(crate) fn of(loaded: &Loaded, before: &Parsed) -> Parsed {
        let known: HashMap<(&str, &str), &Arc<Spec>> =
            before.wanted.iter().map(|(s, _)| ((s.group.as_str(), s.name.as_str()), s)).collect();
        let mut wanted = wanted(loaded);
        for (spec, _) in &mut wanted {
            match known.get(&(spec.group.as_str(), spec.name.as_str())).map(|old| Arc::clone(old)) {
                // Where its logs lie is not known of a description that was only read.
                Some(old) if old == *spec && has_auto(spec) => Arc::make_mut(spec).share(&old),
                Some(old) if old == *spec => *spec = old,
                Some(_) | None => {}
            }
        }
        let groups = loaded.config.groups.iter().cloned().collect();
        let mut places: Vec<usize> = wanted.iter().map(|(spec, _)| Arc::as_ptr(spec).addr()).collect();
        places.sort_unstable();
        Parsed { wanted, groups, identifier: loaded.config.settings.identifier.clone(), places }
    }

    fn members(&self, group: &str) -> BTreeMap<&str, &Arc<Spec>> {
        let mine = self.wanted.iter().filter(|(spec, _)| spec.group == group);
        mine.map(|(spec, _)| (spec.name.as_str(), spec)).collect()
    }
}

/// The last parse, for the engine and its doors.
#[derive(Clone, Default)]
pub(crate) struct LastParse(Arc<RwLock<Arc<Parsed>>>);

impl LastParse {
    pub(crate) fn new(parsed: Parsed) -> LastParse {
        LastParse(Arc::new(RwLock::new(Arc::new(parsed))))
    }

    pub(crate) fn read(&self) -> Arc<Parsed> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn write(&self, parsed: Parsed) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(parsed);
    }
}

/// The active groups, and the list of them that snapshots share.
#[derive(Default)]
pub(crate) struct Groups {
    active: BTreeMap<String, i32>,
    shown: Arc<[Group]>,
}

impl Groups {
    /// Makes these the active groups; what went, and what came in the order of a boot.
    fn set(&mut self, groups: BTreeMap<String, i32>) -> (Vec<String>, Vec<String>) {
        let gone = self.active.keys().filter(|name| !groups.contains_key(*name)).cloned().collect();
        let mut come: Vec<(&i32, &String)> =
            groups.iter().filter(|(name, _)| !self.active.contains_key(*name)).map(|(n, p)| (p, n)).collect();
        come.sort();
        let come = come.into_iter().map(|(_, name)| name.clone()).collect();
        let row = |(name, priority): (&String, &i32)| Group { name: name.clone(), priority: *priority };
        self.shown = groups.iter().map(row).collect();
        self.active = groups;
        (gone, come)
    }

    /// The active ones.
    pub(crate) fn active(&self) -> &BTreeMap<String, i32> {
        &self.active
    }

    /// As an earlier daemon had them: nobody is told.
    pub(crate) fn restore(&mut self, groups: BTreeMap<String, i32>) {
        drop(self.set(groups));
    }

    /// For the snapshot.
    pub(crate) fn shown(&self) -> &Arc<[Group]> {
        &self.shown
    }
}

impl Engine {
    /// The active groups are those of the last parse.
    pub(crate) fn groups_as_parsed(&mut self) {
        self.set_groups(self.parsed.read().groups.clone());
    }

    /// The units of new groups are there already: a pool hears of its own group, and of those that come
    /// after it.
    fn set_groups(&mut self, groups: BTreeMap<String, i32>) {
        let (gone, come) = self.groups.set(groups);
        self.store.groups(self.groups.active());
        gone.into_iter().for_each(|name| self.happen(Happening::GroupRemoved(name)));
        if come.is_empty() {
            return;
        }
        let mut units: BTreeMap<String, Vec<UnitId>> = BTreeMap::new();
        for (id, slot) in self.fleet.iter() {
            units.entry(slot.spec.group.clone()).or_default().push(id);
        }
        for name in come {
            self.listen(units.get(&name).map_or(&[], Vec::as_slice));
            self.happen(Happening::GroupAdded(name));
        }
    }

    /// Units that were added outside of a reload bring their group along.
    pub(crate) fn add_groups_of(&mut self, ids: &[UnitId]) {
        let mut groups = self.groups.active.clone();
        for slot in ids.iter().filter_map(|id| self.fleet.get(*id)) {
            groups.entry(slot.spec.group.clone()).or_insert(slot.spec.group_priority);
        }
        if groups.len() > self.groups.active.len() {
            self.set_groups(groups);
        }
    }

    /// Keeps what was parsed, and says what differs from what is active.
    pub(crate) fn reread(&mut self, loaded: &Loaded) -> Reread {
        self.keep_parsed(loaded);
        let parsed = self.parsed.read();
        let active = &self.groups.active;
        let names: BTreeSet<&String> = active.keys().chain(parsed.groups.keys()).collect();
        let mut plan = Reread::default();
        for name in names {
            let list = match (active.get(name), parsed.groups.get(name)) {
                (None, _) => &mut plan.added,
                (_, None) => &mut plan.removed,
                (Some(a), Some(b)) if a == b && same(&self.members(name), &parsed.members(name)) => continue,
                (Some(_), Some(_)) => &mut plan.changed,
            };
            list.push(name.clone());
        }
        plan
    }

    fn members(&self, group: &str) -> BTreeMap<&str, &Arc<Spec>> {
        let slots = self.fleet.iter().map(|(_, slot)| slot).filter(|slot| slot.spec.group == group);
        slots.filter_map(|slot| Some((slot.spec.name.as_str(), slot.future_spec()?))).collect()
    }

    /// Adds a group from the last parse and starts what is to be started.
    pub(crate) fn add_group(&mut self, name: &str) -> GroupDone {
        let parsed = self.parsed.read();
        if self.groups.active.contains_key(name) {
            return GroupDone::AlreadyAdded;
        }
        let Some(priority) = parsed.groups.get(name) else { return GroupDone::BadName };
        let members = parsed.wanted.iter().filter(|(spec, _)| spec.group == name);
        let mut all = Vec::new();
        for (spec, origin) in members {
            let Some(id) = self.fleet.add(spec.clone(), origin.clone(), self.now) else { continue };
            all.push(id);
        }
        self.fleet.link();
        let mut groups = self.groups.active.clone();
        groups.insert(name.to_owned(), *priority);
        self.set_groups(groups);
        self.prepare(&all);
        self.boot(all);
        GroupDone::Done
    }

    /// Removes a group, when none of its processes lives or is about to.
    pub(crate) fn remove_group(&mut self, name: &str) -> GroupDone {
        if !self.groups.active.contains_key(name) {
            return GroupDone::BadName;
        }
        let members = self.fleet.iter().filter(|(_, slot)| slot.spec.group == name);
        let (ids, down): (Vec<UnitId>, Vec<bool>) =
            members.map(|(id, slot)| (id, slot.unit.state.is_down())).unzip();
        if down.contains(&false) {
            return GroupDone::StillRunning;
        }
        for id in ids {
            self.fleet.remove(id, self.now, &mut self.deeds);
        }
        let mut groups = self.groups.active.clone();
        groups.remove(name);
        self.set_groups(groups);
        GroupDone::Done
    }
}

/// The same units, described alike. Where AUTO logs lie does not count (supervisor-contract 7).
fn same(a: &BTreeMap<&str, &Arc<Spec>>, b: &BTreeMap<&str, &Arc<Spec>>) -> bool {
    let alike = |a: &Spec, b: &Spec| a == b || without_auto(a) == without_auto(b);
    a.len() == b.len() && a.iter().zip(b).all(|((m, x), (n, y))| m == n && alike(x, y))
}

fn has_auto(spec: &Spec) -> bool {
    let output = &*spec.output;
    let is_auto = |sink: &supers_core::spec::Sink| matches!(sink.target, Target::Auto { .. });
    is_auto(&output.stdout) || output.stderr.as_ref().is_some_and(is_auto)
}

fn without_auto(spec: &Spec) -> Spec {
    let mut spec = spec.clone();
    let Output { stdout, stderr } = &mut *spec.output;
    for sink in [Some(stdout), stderr.as_mut()].into_iter().flatten() {
        if let Target::Auto { dir, identifier } = &mut sink.target {
            dir.clear();
            identifier.clear();
        }
    }
    spec
}

#[cfg(test)]
mod tests {
    use super::*;

    fn groups(names: &[&str]) -> BTreeMap<String, i32> {
        names.iter().map(|n| ((*n).to_owned(), 999)).collect()
    }

    #[test]
    fn what_came_and_what_went() {
        let mut g = Groups::default();
        assert_eq!(g.set(groups(&["a", "b"])).1, ["a", "b"]);
        let mut next = groups(&["b", "c"]);
        next.insert("z".into(), -1);
        let (gone, come) = g.set(next.clone());
        assert_eq!((gone, come), (vec!["a".into()], vec!["z".into(), "c".into()]));
        let shown: Vec<&str> = g.shown().iter().map(|g| g.name.as_str()).collect();
        assert_eq!(shown, ["b", "c", "z"]);
        assert_eq!(g.set(next), (vec![], vec![]));
    }
}
