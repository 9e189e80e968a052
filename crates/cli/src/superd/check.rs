//! Questions that start nothing: is the configuration good, can this program go on with that state?

use super::daemon::log_dir;
use super::{EXIT_USAGE, complain};
use crate::world::World;
use std::io::{self, Write};
use std::path::Path;
use supers_config::places::Places;
use supers_engine::Store;
use supers_os::process;

/// `superd -t`: all findings, and whether it would start.
pub(super) fn test(world: &World, places: &Places) -> i32 {
    let loaded = world.load(&places.choice, &log_dir(places, false));
    let mut text = String::new();
    for finding in &loaded.config.findings {
        text.push_str(&format!("{finding}\n"));
    }
    let bad = loaded.fatal || loaded.config.has_errors();
    let verdict = if bad { "configuration is broken" } else { "configuration is good" };
    text.push_str(&format!("{verdict}: {} ({} units)\n", places.why, loaded.config.programs.len()));
    let _ = io::stdout().write_all(text.as_bytes());
    if bad { EXIT_USAGE } else { 0 }
}

/// `superd --check-state FOLDER`: whether this program can go on with the state in that runtime folder. Asked by
/// the daemon before an upgrade.
pub(super) fn check_state(runtime: &Path) -> i32 {
    match Store::check(runtime, &boot_id()) {
        Ok(()) => {
            let _ =
                writeln!(io::stdout(), "{}{}", supers_engine::upgrade::CAN_GO_ON, env!("CARGO_PKG_VERSION"));
            0
        }
        Err(why) => {
            complain(&why);
            1
        }
    }
}

/// The boot of this machine; tests simulate another one.
pub(super) fn boot_id() -> String {
    let given = if cfg!(debug_assertions) { std::env::var("SUPERS_BOOT_ID").ok() } else { None };
    given.or_else(|| process::boot_id().ok()).unwrap_or_default()
}
