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
    /// Whole and brief.
    status: [Option<(Key, Bytes)>; 2],
}

#[derive(PartialEq, Eq)]
struct Key {
    turn: u64,
    second: i64,
    daemon: DaemonView,
}

impl Cache {
    /// Lets the large answers go; the brief one is small.
    pub(super) fn forget(&self) {
        let mut kept = lock(&self.0);
        kept.programs = None;
        let [whole, _brief] = &mut kept.status;
        *whole = None;
    }

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
    pub(super) fn status(&self, inside: &dyn Inside, brief: bool) -> Bytes {
        let (snapshot, now, daemon) = (inside.snapshot(), inside.now(), inside.daemon());
        let key = Key { turn: snapshot.turn, second: now.wall.secs(), daemon };
        let mut kept = lock(&self.0);
        let [whole, short] = &kept.status;
        let found = if brief { short } else { whole };
        if let Some((_, bytes)) = found.as_ref().filter(|(k, _)| *k == key) {
            return bytes.clone();
        }
        let units = kept.sorted(&snapshot);
        let daemon = &key.daemon;
        let bytes = Bytes::from(match brief {
            true => lines(daemon, units.iter().map(|u| Brief(ProgramView::new(u, now)))),
            false => json(&Picture { daemon, programs: Programs { units: &units, now } }),
        });
        let [whole, short] = &mut kept.status;
        *(if brief { short } else { whole }) = Some((key, bytes.clone()));
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

/// The daemon, then each program, a line each.
fn lines<'a>(daemon: &DaemonView, programs: impl Iterator<Item = Brief<'a>>) -> Vec<u8> {
    let mut bytes = json(daemon);
    for program in programs {
        // As in `json`: it can be written.
        let _ = serde_json::to_writer(&mut bytes, &program);
        bytes.push(b'\n');
    }
    bytes
}

/// The first fields of a [`ProgramView`], which are what a table shows: in their order and without their names, up to
/// the last that is not empty. Who reads the whole object reads this as well.
struct Brief<'a>(ProgramView<'a>);

impl Serialize for Brief<'_> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let ProgramView { name, group, state, pid, uptime_s, restarts, exit, reason, hint, .. } = &self.0;
        let filled =
            [*pid != 0, *uptime_s != 0, *restarts != 0, exit.is_some(), !reason.is_empty(), !hint.is_empty()];
        let last = filled.iter().rposition(|f| *f).map_or(0, |at| at + 1);
        let mut list = s.serialize_seq(Some(3 + last))?;
        for text in [name, group, state] {
            list.serialize_element(text)?;
        }
        for field in 0..last {
            match field {
                0 => list.serialize_element(pid)?,
                1 => list.serialize_element(uptime_s)?,
                2 => list.serialize_element(restarts)?,
                3 => list.serialize_element(exit)?,
                4 => list.serialize_element(reason)?,
                _ => list.serialize_element(hint)?,
            }
        }
        list.end()
    }
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
