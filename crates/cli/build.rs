//! The shipped executables abort at a panic: nothing ever unwinds, so the tables for it (an eighth of the file) are
//! left out.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rerun-if-changed=no-unwind.ld");
    let is = |key: &str, value: &str| std::env::var(key).is_ok_and(|v| v == value);
    // Of all profiles only `dist` is without debug information and made small; it is the one that aborts.
    if is("DEBUG", "false") && is("OPT_LEVEL", "z") && is("CARGO_CFG_TARGET_OS", "linux") {
        let folder = std::env::var("CARGO_MANIFEST_DIR").unwrap_or_default();
        println!("cargo:rustc-link-arg-bins={folder}/no-unwind.ld");
        println!("cargo:rustc-link-arg-bins=-Wl,--no-eh-frame-hdr");
    }
}
