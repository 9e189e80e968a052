//! Signals as a person's shell leaves them.
//!
//! Whatever starts us in the background may have made us ignore signals: a shell without job control does that
//! with INT and QUIT, `nohup` with HUP. Everything below inherits it, a shell in a test could not even catch such
//! a signal, and the tests send all of them.

use crate::Outcome;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set when it was tried.
const TRIED: &str = "SUPERS_XTASK_SIGNALS";
/// SIGPIPE: ignored by our own runtime, and given back to what we start.
const PIPE: u64 = 1 << 12;

/// Starts this command anew, if signals are ignored, with none of them ignored.
pub(crate) fn as_usual() -> Outcome {
    let ignored = std::fs::read_to_string("/proc/self/status").map_or(0, |text| ignored(&text));
    if ignored & !PIPE == 0 || std::env::var_os(TRIED).is_some() {
        return Ok(());
    }
    let own = std::env::current_exe().map_err(|e| format!("cannot find this program: {e}"))?;
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    let e = Command::new("env").arg("--default-signal").arg(own).args(args).env(TRIED, "1").exec();
    Err(format!("signals are ignored here, and `env --default-signal` cannot change that: {e}"))
}

/// The set in the status of a process.
fn ignored(status: &str) -> u64 {
    let set = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    set.and_then(|set| u64::from_str_radix(set.trim(), 16).ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_set_is_read() {
        assert_eq!(ignored("Name:\tx\nSigIgn:\t0000000000001007\nSigCgt:\t1\n") & !PIPE, 7);
        assert_eq!(ignored(""), 0);
    }
}
