//! A short round of chaos: each deadly place of the daemon once, and some of everything else. `cargo xtask chaos`
//! plays longer.
#![allow(clippy::expect_used, reason = "tests")]

use supers_testkit::{Bins, chaos};

#[test]
fn nothing_is_lost_by_a_death_anywhere() {
    let seed = std::env::var("SUPERS_CHAOS_SEED").map_or(4, |text| text.parse().expect("a number"));
    let bins = Bins::of(env!("CARGO_BIN_EXE_superd"), env!("CARGO_BIN_EXE_supers"));
    let orders = chaos::Orders { seed, ..chaos::Orders::default() };
    let tally = chaos::round(&bins, &orders, chaos::short());
    let report = || format!("with seed {seed}, {}", tally.report());
    assert_eq!(tally.wrongs(), 0, "{}", report());
    let keepers = chaos::keeper_acts().map(|i| format!("keeper@{}", chaos::POINTS[i].name));
    for name in chaos::POINTS.iter().map(|point| point.name.to_owned()).chain(keepers) {
        assert!(tally.places.contains_key(&name), "nobody came by {name}; {}", report());
    }
    assert!(tally.count("daemon kills") >= 20 + chaos::POINTS.len() as u64, "{}", report());
}
