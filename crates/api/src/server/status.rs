//! `GET /api/v1/status` and `/programs`, written straight from the snapshot and kept: the same question
//! within the same second, while nothing changed, costs nothing.

use super::lock;
use crate::wire::json;
use bytes::Bytes;
use serde::ser::SerializeSeq;
use serde::{Serialize, Serializer};
use std::sync::{Arc, Mutex};
use supers_core::ids::UnitId;
use supers_core::inside::Inside;
use supers_core::snapshot::{DaemonView, ProgramView, Snapshot, UnitView};
use supers_core::time::Now;

/// The newest answers. One of each kind is kept.
#[derive(Default)]
pub(super) struct Cache(Mutex<Kept>);

#[derive(Default)]
struct Kept {
    /// All units in the order of their names, as it was found last.
    order: Arc<[UnitId]>,
    programs: Option<(Key, Bytes)>,
    status: Option<(Key, Bytes)>,
}

#[derive(PartialEq, Eq)]
struct Key {
    turn: u64,
    second: i64,
    daemon: DaemonView,
}

impl Cache {
    /// All units.
    pub(super) fn programs(&self, inside: &dyn Inside) -> Bytes {
        let (snapshot, now) = (inside.snapshot(), inside.now());
        let key = Key { turn: snapshot.turn, second: now.wall.secs(), daemon: DaemonView::default() };
        let mut kept = lock(&self.0);
        if let Some((_, bytes)) = kept.programs.as_ref().filter(|(k, _)| *k == key) {
            return bytes.clone();
        }
        let bytes = Bytes::from(json(&Programs { units: &kept.sorted(&snapshot), now }));
        kept.programs = Some((key, bytes.clone()));
        bytes
    }

    /// The whole picture.
    pub(super) fn status(&self, inside: &dyn Inside) -> Bytes {
        let (snapshot, now, daemon) = (inside.snapshot(), inside.now(), inside.daemon());
        let key = Key { turn: snapshot.turn, second: now.wall.secs(), daemon };
        let mut kept = lock(&self.0);
        if let Some((_, bytes)) = kept.status.as_ref().filter(|(k, _)| *k == key) {
            return bytes.clone();
        }
        let units = kept.sorted(&snapshot);
        let picture = Picture { daemon: &key.daemon, programs: Programs { units: &units, now } };
        let bytes = Bytes::from(json(&picture));
        kept.status = Some((key, bytes.clone()));
        bytes
    }
}

impl Kept {
    /// All units by group and name. Nearly always the last order still holds, which is cheaper to see than
    /// to find.
    fn sorted<'s>(&mut self, snapshot: &'s Snapshot) -> Vec<&'s UnitView> {
        let again: Vec<&UnitView> =
            self.order.iter().filter_map(|id| snapshot.get(*id)).map(|u| &**u).collect();
        if again.len() == snapshot.units().count() && again.is_sorted_by(|a, b| name(a) < name(b)) {
            return again;
        }
        let units = sorted(snapshot);
        self.order = units.iter().map(|u| u.id).collect();
        units
    }
}

/// All units by group and name.
pub(crate) fn sorted(snapshot: &Snapshot) -> Vec<&UnitView> {
    let mut units: Vec<&UnitView> = snapshot.units().map(|u| &**u).collect();
    units.sort_by(|a, b| name(a).cmp(&name(b)));
    units
}

fn name(u: &UnitView) -> (&str, &str) {
    (&u.spec.group, &u.spec.name)
}

#[derive(Serialize)]
struct Picture<'a> {
    daemon: &'a DaemonView,
    programs: Programs<'a>,
}

struct Programs<'a> {
    units: &'a [&'a UnitView],
    now: Now,
}

impl Serialize for Programs<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let mut list = s.serialize_seq(Some(self.units.len()))?;
        for unit in self.units {
            list.serialize_element(&ProgramView::new(unit, self.now))?;
        }
        list.end()
    }
}
