//! `cargo xtask dist`: the binaries as they are shipped.

use crate::{Outcome, sh, unknown};
use std::fs;

/// A supervisor that is copied to small machines is small itself.
const LARGEST: u64 = 4 << 20;

/// `--static` links the C library in, so that the file runs on any Linux of this architecture.
pub(crate) fn run(args: &[&str]) -> Outcome {
    let is_static = match args {
        [] => false,
        ["--static"] => true,
        [word, ..] => return Err(unknown(word)),
    };
    let mut build = sh::cargo(&["build", "--profile", "dist", "--package", "supers"]);
    let mut dir = sh::target()?;
    if is_static {
        let host = host()?;
        // The same as: RUSTFLAGS='-C target-feature=+crt-static' cargo build --profile dist -p supers --target HOST
        build.args(["--target", &host]).env("RUSTFLAGS", "-C target-feature=+crt-static");
        dir.push(host);
    }
    sh::run(&mut build)?;
    let mut too_large = Vec::new();
    for name in ["superd", "supers"] {
        let path = dir.join("dist").join(name);
        let size = fs::metadata(&path).map_err(|e| format!("{}: {e}", path.display()))?.len();
        println!("{:>9} bytes  {}", size, path.display());
        // The C library comes on top of what is ours.
        if size > LARGEST && !is_static {
            too_large.push(name);
        }
    }
    match too_large.is_empty() {
        true => Ok(()),
        false => Err(format!("larger than {LARGEST} bytes: {}", too_large.join(", "))),
    }
}

/// The machine's own target. It must be named: without `--target` the flags would meet build scripts too.
fn host() -> Result<String, String> {
    let text = sh::output(std::process::Command::new("rustc").arg("-vV"))?;
    let host = text.lines().find_map(|l| l.strip_prefix("host: "));
    host.map(str::to_string).ok_or_else(|| "rustc -vV names no host".into())
}
