//! Why a unit is what it is, in a sentence.

use crate::exit::{Exit, StartError};
use crate::ids::Pid;
use alloc::{boxed::Box, string::String};
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Why a unit does not run (or does not run yet).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Cause {
    /// Nobody started it.
    Never,
    /// Somebody asked for the stop.
    Asked,
    /// The daemon is ending.
    Shutdown,
    /// It ended by itself.
    Exit {
        /// How.
        exit: Exit,
        /// After how long a life.
        lived: Duration,
    },
    /// It ended before `startsecs`.
    TooQuick {
        /// How.
        exit: Exit,
        /// After how long a life.
        lived: Duration,
    },
    /// It could not be started.
    Start(StartError),
    /// All tries failed.
    GaveUp {
        /// How many.
        tries: u32,
        /// The last failure.
        last: Box<Cause>,
    },
    /// Too many starts in too short a time.
    Limit {
        /// How many are allowed.
        burst: u32,
        /// In how long a time.
        interval: Duration,
        /// What asked for one more.
        last: Box<Cause>,
    },
    /// A unit that it requires did not start.
    Dependency(String),
    /// Its description is broken; with file and line.
    Refused(String),
    /// The start took too long.
    TimedOut(Duration),
    /// It outlived the stop and may not be killed; it was let go.
    LeftRunning(Option<Pid>),
}

/// What went wrong at the last start or run, as Supervisor keeps it in `spawnerr` (supervisor-contract 5).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Trouble {
    /// It ended before `startsecs`.
    TooQuick,
    /// It ended with a code that is not expected; -1 for a signal.
    BadExit(i32),
    /// It could not be started.
    Start(StartError),
}

/// `350 ms`, `5 s`, `2 min 5 s`, `3 h 2 min`, `4 d 1 h`: two units at most.
pub(crate) struct Span(pub(crate) Duration);

impl fmt::Display for Span {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let s = self.0.as_secs();
        let pair = |f: &mut fmt::Formatter<'_>, a: u64, au: &str, b: u64, bu: &str| match b {
            0 => write!(f, "{a} {au}"),
            _ => write!(f, "{a} {au} {b} {bu}"),
        };
        match s {
            0 => write!(f, "{} ms", self.0.as_millis()),
            1..60 => write!(f, "{s} s"),
            60..3600 => pair(f, s / 60, "min", s % 60, "s"),
            3600..86400 => pair(f, s / 3600, "h", s % 3600 / 60, "min"),
            _ => pair(f, s / 86400, "d", s % 86400 / 3600, "h"),
        }
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Cause::Never => f.write_str("not started"),
            Cause::Asked => f.write_str("stopped on request"),
            Cause::Shutdown => f.write_str("superd is shutting down"),
            Cause::Exit { exit, lived } => write!(f, "{exit} after {}", Span(*lived)),
            Cause::TooQuick { exit, lived } => write!(f, "exited too quickly: {exit} after {}", Span(*lived)),
            Cause::Start(e) => write!(f, "cannot start: {e}"),
            Cause::GaveUp { tries, last } => {
                write!(f, "gave up after {tries} {}: {last}", if *tries == 1 { "try" } else { "tries" })
            }
            Cause::Limit { burst, interval, last } => {
                write!(f, "start limit reached ({burst} starts in {}): {last}", Span(*interval))
            }
            Cause::Dependency(name) => write!(f, "{name}, which it requires, did not start"),
            Cause::Refused(why) => write!(f, "refused: {why}"),
            Cause::TimedOut(after) => write!(f, "the start took longer than {}", Span(*after)),
            Cause::LeftRunning(Some(Pid(p))) => {
                write!(f, "did not stop and may not be killed: pid {p} was let go")
            }
            Cause::LeftRunning(None) => f.write_str("did not stop and may not be killed"),
        }
    }
}
