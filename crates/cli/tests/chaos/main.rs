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
    for point in &chaos::POINTS {
        assert!(tally.places.contains_key(point.name), "nobody came by {}; {}", point.name, report());
    }
    assert!(tally.count("daemon kills") >= 20 + chaos::POINTS.len() as u64, "{}", report());
}
