//! `cargo xtask sanitize`: the tests of the two crates that touch memory by hand, under AddressSanitizer.

use crate::{Outcome, sh, unknown};
use std::process::Command;

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// Needs a nightly toolchain: the sanitizers are no part of the stable compiler. Leaks are not looked for: the
/// keeper keeps what it allocated at its start until the process ends, on purpose.
pub(crate) fn run(args: &[&str]) -> Outcome {
    if let Some(word) = args.first() {
        return Err(unknown(word));
    }
    let mut command = Command::new("rustup");
    command.args(["run", "nightly", "cargo", "test", "--target", TARGET]);
    command.args(["--package", "supers-os", "--package", "supers-keeper"]);
    // A folder of its own, so that ordinary builds are not thrown away.
    command.arg("--target-dir").arg(sh::target()?.join("sanitize"));
    command.env("RUSTFLAGS", "-Zsanitizer=address").env("ASAN_OPTIONS", "detect_leaks=0");
    sh::run(command.current_dir(sh::root()))
}
