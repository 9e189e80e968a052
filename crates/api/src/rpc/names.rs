//! Names that callers give, resolved against a snapshot (supervisor-contract 7): `group:name`, `group:*`,
//! `group:`, and a bare name where group and process are called the same.

use super::fault::Code;
use crate::xmlrpc::Fault;
use std::sync::Arc;
use supers_core::snapshot::{Snapshot, UnitView};

pub(super) type Unit = Arc<UnitView>;

/// What a name means.
pub(super) enum Target {
    One(Unit),
    Group(Vec<Unit>),
}

/// One unit or a whole group.
pub(super) fn target(snapshot: &Snapshot, name: &str) -> Result<Target, Fault> {
    let bad = || Code::BadName.of(name);
    let (group, process) = name.split_once(':').unwrap_or((name, name));
    if name.contains(':') && matches!(process, "" | "*") {
        return group_of(snapshot, group).map(Target::Group).ok_or_else(bad);
    }
    let is = |u: &&Unit| u.spec.name == process && u.spec.group == group;
    snapshot.units().find(is).cloned().map(Target::One).ok_or_else(bad)
}

/// One unit; a group is no answer.
pub(super) fn one(snapshot: &Snapshot, name: &str) -> Result<Unit, Fault> {
    match target(snapshot, name)? {
        Target::One(unit) => Ok(unit),
        Target::Group(_) => Err(Code::BadName.of(name)),
    }
}

/// A group by its bare name.
pub(super) fn group(snapshot: &Snapshot, name: &str) -> Result<Vec<Unit>, Fault> {
    group_of(snapshot, name).ok_or_else(|| Code::BadName.of(name))
}

/// All units, by priority and name of their groups, inside of a group as the file has them.
pub(super) fn all(snapshot: &Snapshot) -> Vec<Unit> {
    let mut units: Vec<Unit> = snapshot.units().cloned().collect();
    units.sort_by(|a, b| {
        let key = |u: &Unit| (u.spec.group_priority, u.id);
        let ((p, x), (q, y)) = (key(a), key(b));
        p.cmp(&q).then_with(|| a.spec.group.cmp(&b.spec.group)).then(x.cmp(&y))
    });
    units
}

fn group_of(snapshot: &Snapshot, name: &str) -> Option<Vec<Unit>> {
    let units: Vec<Unit> = snapshot.units().filter(|u| u.spec.group == name).cloned().collect();
    // A group may have no unit at all.
    (!units.is_empty() || has_group(snapshot, name)).then_some(units)
}

/// A group of this name is in service.
pub(super) fn has_group(snapshot: &Snapshot, name: &str) -> bool {
    snapshot.groups.iter().any(|g| g.name == name)
}
