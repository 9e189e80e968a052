//! `superd`: launcher, keeper and daemon are one executable in three roles.
//!
//! The *launcher* is what a person starts. It checks the command line, takes the configuration's lock
//! and becomes the *keeper* by exec (same pid, a clean small address space). The keeper starts the
//! *daemon* and outlives it. With `-d` the launcher stays on the terminal until all is ready.

mod args;
mod daemon;
mod guard;
mod launch;
mod listen;

use std::ffi::OsString;
use std::io::Write;
use std::path::Path;

/// Tells the keeper role which descriptors the launcher left it.
pub const LAUNCH_ENV: &str = "SUPERS_LAUNCH";

/// Exit code of a broken configuration or command line.
pub const EXIT_USAGE: i32 = 2;

/// Runs superd in whichever role this process has; the exit code.
pub fn main(argv: Vec<OsString>) -> i32 {
    let called = argv.first().map(|a| Path::new(a).file_name().unwrap_or(a).to_string_lossy().into_owned());
    let called = called.unwrap_or_else(|| "superd".into());
    if called == launch::KEEPER_NAME && std::env::var_os(LAUNCH_ENV).is_some() {
        return launch::keeper(&argv);
    }
    if argv.get(1).is_some_and(|a| a == "ctl") {
        let rest = std::iter::once(OsString::from("supers")).chain(argv.into_iter().skip(2));
        return crate::supers::main(rest);
    }
    let args = match <args::Args as clap::Parser>::try_parse_from(&argv) {
        Ok(args) => args,
        Err(e) => {
            // Help and version are "errors" that succeed.
            let _ = e.print();
            return if e.use_stderr() { EXIT_USAGE } else { 0 };
        }
    };
    let personality = args.personality(&called);
    if std::env::var_os(supers_os::keeper_proto::FD_ENV).is_some() {
        return daemon::under_keeper(&args, personality);
    }
    launch::launch(&args, personality, &argv)
}

/// A sentence on standard error.
fn complain(text: &str) {
    let _ = writeln!(std::io::stderr(), "superd: {text}");
}
