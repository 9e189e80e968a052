//! `cargo xtask fuzz`: hostile bytes for whatever reads from strangers, for as long as asked. No nightly needed.

use crate::{Outcome, sh};

/// Builds with a little optimisation and with all checks of sums, in a folder of its own so that ordinary
/// builds are not thrown away. Arguments go to the program as they are; it says which it knows.
pub(crate) fn run(args: &[&str]) -> Outcome {
    let mut command = sh::cargo(&["run", "--quiet", "--package", "supers-fuzz", "--bin", "fuzz"]);
    command.arg("--target-dir").arg(sh::target()?.join("fuzz")).env("CARGO_PROFILE_DEV_OPT_LEVEL", "2");
    sh::run(command.arg("--").args(args))
}
