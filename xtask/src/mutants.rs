//! `cargo xtask mutants`: changes the core in small ways and looks whether a test notices.

use crate::{Outcome, sh};

/// Arguments go to `cargo mutants`. Survivors are listed in `mutants.out/missed.txt`; each one needs a test or
/// a written reason in `.cargo/mutants.toml`.
pub(crate) fn run(args: &[&str]) -> Outcome {
    sh::need_cargo_tool("cargo-mutants", "cargo-mutants", &[])?;
    sh::run(sh::cargo(&["mutants", "--package", "supers-core", "--no-shuffle"]).args(args))
}
