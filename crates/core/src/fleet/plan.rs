//! What a reload changes.

use super::{Fleet, Slot};
use crate::ids::UnitId;
use crate::proc::Want;
use crate::snapshot::Origin;
use crate::spec::Spec;
use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// One unit as the configuration now describes it.
pub type Wanted = (Arc<Spec>, Arc<Origin>);

/// The difference between a fleet and a configuration, by full name.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    /// Described, not there yet.
    pub added: Vec<Wanted>,
    /// There, described otherwise.
    pub changed: Vec<(UnitId, Wanted)>,
    /// There, no longer described.
    pub removed: Vec<UnitId>,
    /// There, described as before (file and line may differ).
    pub same: Vec<(UnitId, Wanted)>,
    /// Up, but the new description is broken: they stay as they are.
    pub kept: Vec<(UnitId, Wanted)>,
}

/// Compares `fleet` with what the configuration now says.
pub fn plan(fleet: &Fleet, wanted: Vec<Wanted>) -> Plan {
    let mut plan = Plan::default();
    let mut named: BTreeSet<String> = BTreeSet::new();
    for (spec, origin) in wanted {
        let name = spec.full_name();
        match fleet.find(&name).and_then(|id| Some((id, fleet.get(id)?))) {
            None => plan.added.push((spec, origin)),
            Some((id, slot)) if slot.future_spec() == Some(&spec) => plan.same.push((id, (spec, origin))),
            Some((id, slot)) => {
                let up =
                    !slot.unit.state.is_down() || slot.unit.want == Want::Up && slot.spec.refused.is_none();
                let stays = slot.future_spec().is_some();
                if spec.refused.is_some() && up && stays { &mut plan.kept } else { &mut plan.changed }
                    .push((id, (spec, origin)));
            }
        }
        named.insert(name);
    }
    let is_gone = |s: &Slot| s.future_spec().is_some() && !named.contains(&s.spec.full_name());
    plan.removed = fleet.iter().filter(|(_, s)| is_gone(s)).map(|(id, _)| id).collect();
    plan
}
