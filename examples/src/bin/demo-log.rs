//! Writes numbered lines, 200 a second unless another rate is given, until it is stopped.
//!
//! Usage: `demo-log [LINES-PER-SECOND]`
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a demonstration program works by the clock")]

use std::io::Write;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::{Duration, Instant};

fn main() -> ExitCode {
    let rate = match std::env::args().nth(1).map_or(Ok(200), |word| word.parse::<u32>()) {
        Ok(rate) if rate > 0 => rate,
        _ => {
            eprintln!("demo-log: usage: demo-log [LINES-PER-SECOND]");
            return ExitCode::from(2);
        }
    };
    let began = Instant::now();
    let mut out = std::io::stdout().lock();
    for number in 1u64.. {
        let line = format!("{number:08} a line of output from pid {}\n", std::process::id());
        // One write a line, so that nobody ever sees half of one; a closed output ends the program.
        if out.write_all(line.as_bytes()).and_then(|()| out.flush()).is_err() {
            return ExitCode::FAILURE;
        }
        // By the clock and not by adding up pauses, which are always a little too long.
        let due = Duration::from_secs_f64(number as f64 / f64::from(rate));
        sleep(due.saturating_sub(began.elapsed()));
    }
    ExitCode::SUCCESS
}
