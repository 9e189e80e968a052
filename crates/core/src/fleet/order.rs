//! Orders made of "after" relations.

use super::Links;
use crate::ids::UnitId;
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::vec::Vec;

/// Sorts `ids` into stop stages: a unit is in a later stage than everything in `ids` that comes after
/// it. Order inside a stage is the order given. Relations to units outside `ids` do not count.
pub fn layers<'a>(ids: &[UnitId], after: impl Fn(UnitId) -> &'a [UnitId]) -> Vec<Vec<UnitId>> {
    let set: BTreeSet<UnitId> = ids.iter().copied().collect();
    let mut waits: BTreeMap<UnitId, usize> = ids.iter().map(|id| (*id, 0)).collect();
    for id in &set {
        for d in after(*id) {
            if let Some(n) = waits.get_mut(d) {
                *n += 1;
            }
        }
    }
    let mut left: Vec<UnitId> = ids.to_vec();
    let mut stages = Vec::new();
    while !left.is_empty() {
        let free = |id: &UnitId| waits.get(id).is_none_or(|n| *n == 0);
        let (mut stage, rest): (Vec<_>, Vec<_>) = left.iter().copied().partition(free);
        if stage.is_empty() {
            // A circle: no order among these.
            stage = left;
            left = Vec::new();
        } else {
            left = rest;
        }
        for d in stage.iter().flat_map(|id| after(*id)) {
            if let Some(n) = waits.get_mut(d) {
                *n = n.saturating_sub(1);
            }
        }
        stages.push(stage);
    }
    stages
}

/// Leaves out the edges that close a circle, found by a depth-first walk in slot order.
pub(super) fn break_circles(links: &mut BTreeMap<UnitId, Links>) {
    let ids: Vec<UnitId> = links.keys().copied().collect();
    let mut done: BTreeSet<UnitId> = BTreeSet::new();
    for root in ids {
        let mut path: Vec<(UnitId, usize)> = alloc::vec![(root, 0)];
        let mut on_path: BTreeSet<UnitId> = BTreeSet::from([root]);
        while let Some((id, edge)) = path.last_mut() {
            let id = *id;
            let next = links.get(&id).and_then(|l| l.after.get(*edge)).copied();
            match next {
                None => {
                    path.pop();
                    on_path.remove(&id);
                    done.insert(id);
                }
                Some(d) if on_path.contains(&d) => {
                    let at = *edge;
                    if let Some(l) = links.get_mut(&id) {
                        l.after.remove(at);
                    }
                }
                Some(d) => {
                    *edge += 1;
                    if !done.contains(&d) {
                        on_path.insert(d);
                        path.push((d, 0));
                    }
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec;

    fn u(n: u32) -> UnitId {
        UnitId(n)
    }

    #[test]
    fn followers_stop_first() {
        let after: BTreeMap<UnitId, Vec<UnitId>> =
            BTreeMap::from([(u(1), vec![u(0)]), (u(2), vec![u(1), u(9)]), (u(3), vec![u(0)])]);
        let look = |id: UnitId| after.get(&id).map_or(&[][..], |v| v);
        let got = layers(&[u(0), u(1), u(2), u(3)], look);
        assert_eq!(got, vec![vec![u(2), u(3)], vec![u(1)], vec![u(0)]]);
    }

    #[test]
    fn a_circle_is_one_stage() {
        let after: BTreeMap<UnitId, Vec<UnitId>> = BTreeMap::from([(u(0), vec![u(1)]), (u(1), vec![u(0)])]);
        let got = layers(&[u(0), u(1)], |id| after.get(&id).map_or(&[][..], |v| v));
        assert_eq!(got, vec![vec![u(0), u(1)]]);
    }

    #[test]
    fn circles_lose_one_edge() {
        let mut links: BTreeMap<UnitId, Links> = BTreeMap::new();
        links.entry(u(0)).or_default().after = vec![u(2)];
        links.entry(u(1)).or_default().after = vec![u(0)];
        links.entry(u(2)).or_default().after = vec![u(1)];
        break_circles(&mut links);
        let edges: usize = links.values().map(|l| l.after.len()).sum();
        assert_eq!(edges, 2);
    }
}
