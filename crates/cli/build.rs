//! The shipped executables abort at a panic: nothing ever unwinds, so the tables for it (an eighth of the file) are
//! left out.
//!
//! The unwinder itself, which can still be asked for a backtrace, comes from the static half of GCC's library: to load
//! the shared half takes a tenth of a `supers status`. Functions that came out the same are kept once, where the linker
//! can do that.

use std::path::Path;
use std::process::Command;

/// Functions that are the same are kept once.
const ONCE: &str = "-Wl,--icf=all";

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=no-unwind.ld");
    let is = |key: &str, value: &str| std::env::var(key).is_ok_and(|v| v == value);
    // Of all profiles only `dist` is without debug information and made small; it is the one that aborts.
    if is("DEBUG", "false") && is("OPT_LEVEL", "z") && is("CARGO_CFG_TARGET_OS", "linux") {
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins={folder}/no-unwind.ld");
        println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
        if is("CARGO_CFG_TARGET_ENV", "gnu") && has_static_unwinder() {
            println!("cargo:rustc-link-lib=static:-bundle=gcc_eh");
        }
        if is_known_to_linker(ONCE).unwrap_or(false) {
            println!("cargo:rustc-link-arg-bins={ONCE}");
        }
    }
}

/// A linker that does not know it uses the shared half.
fn has_static_unwinder() -> bool {
    let linker = std::env::var_os("RUSTC_LINKER").unwrap_or_else(|| "cc".into());
    let Ok(found) = Command::new(linker).arg("-print-file-name=libgcc_eh.a").output() else { return false };
    // A bare name means that it was not found.
    str::from_utf8(&found.stdout).is_ok_and(|path| Path::new(path.trim_end()).is_absolute())
}

/// Tried on a program that does nothing: which linker it will be depends on the compiler and its settings.
fn is_known_to_linker(word: &str) -> Option<bool> {
    let out = std::env::var_os("OUT_DIR")?;
    let (source, program) = (Path::new(&out).join("nothing.rs"), Path::new(&out).join("nothing"));
    std::fs::write(&source, "fn main() {}").ok()?;
    let mut compiler = Command::new(std::env::var_os("RUSTC")?);
    compiler.arg("--target").arg(std::env::var_os("TARGET")?);
    if let Some(linker) = std::env::var_os("RUSTC_LINKER") {
        compiler.arg("-C").arg(format!("linker={}", linker.to_string_lossy()));
    }
    let flags = std::env::var("CARGO_ENCODED_RUSTFLAGS").unwrap_or_default();
    compiler.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    compiler.arg("-C").arg(format!("link-arg={word}")).arg("-o").arg(program).arg(source);
    Some(compiler.output().ok()?.status.success())
}
