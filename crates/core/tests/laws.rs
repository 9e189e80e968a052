//! The laws of supervision, against random histories (habit 19).
//!
//! A small model of the machine carries out what the fleet orders: it knows which spawns are in flight
//! and which processes live. Random orders of an operator and random facts happen to it; after each, the
//! laws are checked; at the end everything is stopped and must come to rest.
#![allow(unreachable_pub, missing_docs)]
// Clippy does not see that helpers of tests are tests, too.
#![allow(clippy::unwrap_used, clippy::panic)]

mod common;
#[path = "laws/histories.rs"]
mod histories;
#[path = "laws/world.rs"]
mod world;

use histories::{Op, histories, op};
use proptest::collection::vec;
use proptest::prelude::*;
use std::time::Duration;
use supers_core::proc::State;
use supers_core::spec::Kind;
use world::{Process, World, is_main, runs};

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stop_brings_all_down((specs, ops) in histories(), willing: bool) {
        let mut world = World::new(specs);
        world.happen(Op::Boot);
        ops.into_iter().for_each(|op| world.happen(op));
        let ids = world.ids();
        world.stop(&ids);
        world.rest(willing);
        world.check_all_down();
        prop_assert_eq!(world.all_down, 0, "nobody asked for a shutdown");
    }

    #[test]
    fn a_shutdown_ends((specs, ops) in histories(), more in vec(op(), 0..40), by_one: bool, willing: bool) {
        let mut world = World::new(specs);
        world.happen(Op::Boot);
        ops.into_iter().for_each(|op| world.happen(op));
        world.happen(Op::Shutdown(by_one));
        more.into_iter().for_each(|op| world.happen(op));
        world.happen(Op::Shutdown(!by_one));
        world.rest(willing);
        world.check_all_down();
        prop_assert_eq!(world.all_down, 1, "{}", world.told());
    }

    /// Left alone, a fleet neither hangs in a held start nor forgets a unit.
    #[test]
    fn whoever_is_held_gets_its_turn((specs, ops) in histories()) {
        let mut world = World::new(specs);
        world.happen(Op::Boot);
        ops.into_iter().for_each(|op| world.happen(op));
        for _ in 0..200 {
            runs(&world.processes, |p| p.pid.is_none()).into_iter().for_each(|run| world.spawn_done(run));
            let is_oneshot = |p: &Process| world.fleet.get(p.unit).is_some_and(|s| s.spec.kind == Kind::Oneshot);
            let ended = |p: &Process| p.signalled || is_oneshot(p) || !is_main(p);
            runs(&world.processes, ended).into_iter().for_each(|run| world.ends(run, "0"));
            if runs(&world.processes, |p| p.pid.is_none()).is_empty() {
                let next = world.fleet.deadline().map_or(Duration::ZERO, |at| Duration::from_nanos(at.0));
                world.wait(next.saturating_sub(world.clock));
            }
        }
        for (id, slot) in world.fleet.iter() {
            prop_assert!(slot.unit.state != State::Held, "{:?} is held for ever{}", id, world.told());
        }
    }
}
