//! Start and restart with the files' present text: what of it is new, what cannot be used, what is gone.

use crate::engine::Engine;
use crate::orders::RowsRx;
use crate::sources::wanted;
use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use supers_config::{Finding, Loaded, Severity};
use supers_core::control::{Order, Refusal, Verb};
use supers_core::fleet::{Plan, Slot, Wanted, plan, select};
use supers_core::history::Change;
use supers_core::ids::UnitId;
use supers_core::proc::Want;
use supers_core::spec::Spec;

/// What the present text means for the units that an order names.
#[derive(Debug, Default)]
pub(crate) struct Present {
    /// They took a new description.
    pub fresh: BTreeSet<UnitId>,
    /// The present text cannot be used, and why: they are left as they are.
    pub broken: BTreeMap<UnitId, String>,
    /// No file describes them any more; what to say about that.
    pub gone: BTreeMap<UnitId, String>,
}

impl Engine {
    /// Start or restart with the files' present text: named units that are new appear, named units that
    /// changed take their new description. One whose present text is broken is not touched.
    pub(crate) fn order_with(&mut self, order: &Order, loaded: &Loaded) -> Result<RowsRx, Refusal> {
        if self.fleet.is_stopping() {
            return Err(Refusal::ShuttingDown);
        }
        let mut present = Present::default();
        if loaded.fatal {
            self.look_for_faults(order, loaded, &mut present);
        } else {
            let plan = plan(&self.fleet, wanted(loaded));
            self.judge_old(order, &plan, loaded, &mut present);
            self.adopt_named(order, plan, &mut present.fresh);
        }
        self.carry_out(order, &present)
    }

    /// The main file is broken. Who is described by a file without an error goes on with what is known of him.
    fn look_for_faults(&self, order: &Order, loaded: &Loaded, present: &mut Present) {
        for id in select(&self.fleet, &order.names).unwrap_or_default() {
            let Some(slot) = self.fleet.get(id) else { continue };
            present.broken.extend(fault_of(loaded, slot).map(|why| (id, why)));
        }
    }

    /// Named units that are there and whose new description is broken, or that have none any more.
    fn judge_old(&self, order: &Order, plan: &Plan, loaded: &Loaded, present: &mut Present) {
        let Ok(named) = select(&self.fleet, &order.names) else { return };
        for (id, (spec, _)) in plan.kept.iter().filter(|(id, _)| named.contains(id)) {
            let why = spec.refused.as_deref().unwrap_or_default();
            present.broken.insert(*id, format!("refused: {why}"));
        }
        for id in plan.removed.iter().filter(|id| named.contains(id)) {
            let Some(slot) = self.fleet.get(*id) else { continue };
            if let Some(why) = fault_of(loaded, slot) {
                present.broken.insert(*id, why);
            } else {
                let file = &slot.origin.file;
                let still = loaded.config.files.iter().any(|read| read == file.as_bytes());
                let how = if still { "no longer describes it" } else { "is gone" };
                let text = format!("its file {file} {how}, the last text was used; a reload removes it");
                present.gone.insert(*id, text);
            }
        }
    }

    /// Of a unit that is up a reload changes nothing when it is a file more that would change it.
    pub(crate) fn keep_merged(&self, plan: &mut Plan, loaded: &Loaded) {
        let is_merged = |(id, (spec, _)): &mut (UnitId, Wanted)| {
            let up = |slot: &Slot| !slot.unit.state.is_down() || slot.unit.want == Want::Up;
            loaded.config.merged.contains(&spec.program) && self.fleet.get(*id).is_some_and(up)
        };
        let merged: Vec<(UnitId, Wanted)> = plan.changed.extract_if(.., is_merged).collect();
        plan.kept.extend(merged);
    }

    fn adopt_named(&mut self, order: &Order, plan: Plan, fresh: &mut BTreeSet<UnitId>) {
        let mut new = Vec::new();
        for (spec, origin) in plan.added {
            if order.names.iter().any(|n| names_spec(n, &spec)) {
                self.history.file_changed(self.now, &spec, &origin, Change::Added);
                new.extend(self.fleet.add(spec, origin, self.now));
            }
        }
        if !new.is_empty() {
            self.fleet.link();
            self.add_groups_of(&new);
            self.prepare(&new);
            fresh.extend(new);
        }
        let Ok(named) = select(&self.fleet, &order.names) else { return };
        for (id, (spec, origin)) in plan.changed {
            let up = self.fleet.get(id).is_some_and(|s| !s.unit.state.is_down());
            // `start` of one that is up changes nothing; `restart` takes the new text on its way.
            if named.contains(&id) && (order.verb == Verb::Restart || !up) {
                fresh.insert(id);
                self.history.file_changed(self.now, &spec, &origin, Change::Changed);
                self.fleet.replace(id, spec, origin, self.now, &mut self.deeds);
                self.prepare(&[id]);
            }
        }
        self.fleet.link();
    }
}

/// The first error in the unit's file that is no other program's, as the reason of a refusal.
fn fault_of(loaded: &Loaded, slot: &Slot) -> Option<String> {
    let file = slot.origin.file.as_str();
    let stem = Path::new(file).file_stem().and_then(|s| s.to_str());
    let concerns = |f: &&Finding| {
        let whose = f.program.as_deref();
        f.severity == Severity::Error
            && f.file == file.as_bytes()
            && (whose.is_none() || whose == stem || whose == Some(slot.spec.program.as_str()))
    };
    let first = loaded.config.findings.iter().filter(concerns).min_by_key(|f| (f.line, f.column))?;
    Some(format!("refused: {}: {}", first.place(), first.message))
}

/// The name as typed means this unit, or its program or group.
fn names_spec(typed: &str, spec: &Spec) -> bool {
    let bare = typed.strip_suffix(".service").unwrap_or(typed);
    let group = bare.strip_suffix(":*").or(bare.strip_suffix(':'));
    bare == spec.full_name()
        || bare == spec.name
        || bare == spec.program
        || group == Some(spec.group.as_str())
}
