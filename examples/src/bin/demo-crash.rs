//! Works for five seconds, then fails with exit status 3. The demonstration shows how it is brought back.
#![forbid(unsafe_code)]
#![allow(clippy::disallowed_methods, reason = "a demonstration program works by the clock")]

use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

fn main() -> ExitCode {
    println!("demo-crash: pid {} begins its work", std::process::id());
    for step in 1..=5 {
        sleep(Duration::from_secs(1));
        println!("demo-crash: step {step} of 5 done");
    }
    eprintln!("demo-crash: something went wrong, leaving with exit status 3");
    ExitCode::from(3)
}
