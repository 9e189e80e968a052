//! `cargo xtask chaos`: superd is killed in all manners, and what was lost is counted (`testkit/src/chaos`).

use crate::{Outcome, sh};
use std::process::Command;

/// Arguments go to the program; see `testkit/src/bin/chaos/main.rs`.
pub(crate) fn run(args: &[&str]) -> Outcome {
    // With debug assertions: without them there are no failpoints.
    let build = ["build", "--quiet", "--package", "supers", "--package", "supers-testkit", "--bins"];
    sh::run(&mut sh::cargo(&build))?;
    let built = sh::target()?.join("debug");
    let mut command = Command::new(built.join("chaos"));
    command.arg("run").arg("--superd").arg(built.join("superd")).arg("--supers").arg(built.join("supers"));
    sh::run(command.args(args))
}
