//! `echo_supervisord_conf`: a configuration to begin with.

use std::io::Write;

/// The text. It is read by Supervisor as well as by us.
pub const SAMPLE: &str = include_str!("echo_conf.ini");

/// Prints it; the exit code.
pub fn main() -> i32 {
    match std::io::stdout().write_all(SAMPLE.as_bytes()) {
        Ok(()) => 0,
        Err(_) => 1,
    }
}
