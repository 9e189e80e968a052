//! The published snapshot: written once a turn by the engine, read by every door without a message.

use bstr::BString;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use supers_core::fleet::{Fleet, Slot};
use supers_core::ids::UnitId;
use supers_core::proc::Want;
use supers_core::snapshot::{CHUNK, Group, Snapshot, UnitView};

/// The paths of a unit that has no log files; one for all of them.
static NO_LOGS: OnceLock<Arc<[BString; 2]>> = OnceLock::new();

/// Where the newest snapshot is found.
#[derive(Clone, Default)]
pub(crate) struct Board(Arc<RwLock<Arc<Snapshot>>>);

impl Board {
    /// The newest snapshot. The lock is held for one pointer copy.
    pub(crate) fn read(&self) -> Arc<Snapshot> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn write(&self, snapshot: Snapshot) {
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(snapshot);
    }
}

/// What the snapshot shows besides the fleet.
pub(crate) struct Extra<'a> {
    /// The active groups.
    pub groups: &'a Arc<[Group]>,
    /// Paths of log files, of units that have any.
    pub logs: &'a HashMap<UnitId, Arc<[BString; 2]>>,
}

/// Publishes what changed in `fleet` since the last call, and says which units those are; chunks
/// without a change are shared.
pub(crate) fn publish(board: &Board, fleet: &mut Fleet, extra: &Extra<'_>) -> BTreeSet<UnitId> {
    let old = board.read();
    let dirty = fleet.take_dirty();
    let same_groups = Arc::ptr_eq(&old.groups, extra.groups);
    if dirty.is_empty() && same_groups && old.stopping == fleet.is_stopping() && old.turn > 0 {
        return dirty;
    }
    let mut chunks = old.chunks.clone();
    let needed = fleet.capacity().div_ceil(CHUNK);
    while chunks.len() < needed {
        chunks.push(Arc::from(vec![None; CHUNK]));
    }
    let mut touched: Vec<usize> = dirty.iter().map(|id| id.0 as usize / CHUNK).collect();
    touched.dedup();
    for c in touched {
        let Some(chunk) = chunks.get_mut(c) else { continue };
        let mut units: Vec<Option<Arc<UnitView>>> = chunk.to_vec();
        let ids = (c * CHUNK..(c + 1) * CHUNK).filter_map(|i| u32::try_from(i).ok()).map(UnitId);
        for id in ids.filter(|id| dirty.contains(id)) {
            if let Some(place) = units.get_mut(id.0 as usize % CHUNK) {
                *place = fleet.get(id).map(|slot| Arc::new(view(fleet, id, slot, extra)));
            }
        }
        *chunk = Arc::from(units);
    }
    board.write(Snapshot {
        turn: old.turn + 1,
        chunks,
        groups: extra.groups.clone(),
        stopping: fleet.is_stopping(),
    });
    dirty
}

fn view(fleet: &Fleet, id: UnitId, slot: &Slot, extra: &Extra<'_>) -> UnitView {
    let u = &slot.unit;
    UnitView {
        id,
        spec: slot.spec.clone(),
        origin: slot.origin.clone(),
        state: u.state.clone(),
        want_up: u.want == Want::Up,
        since: u.since,
        started: u.started,
        ended: u.ended,
        last_exit: u.last_exit,
        run: u.run,
        restarts: u.restarts,
        waits_for: fleet.waits_for(id),
        trouble: u.trouble.clone(),
        logs: extra.logs.get(&id).unwrap_or_else(|| NO_LOGS.get_or_init(Arc::default)).clone(),
    }
}
