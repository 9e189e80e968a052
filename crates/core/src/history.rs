//! What happened and who wanted it: the entries of the history, a sentence for each, and the story that
//! they tell about one unit.
//!
//! An entry is one JSON object. Each carries its sentence as `text`, so that a reader of an older version
//! can still show what it does not know ([`What::Other`]).

mod story;
#[cfg(test)]
mod tests;

pub use story::{Story, why};

use crate::exit::{Exit, StartError};
use crate::proc::Cause;
use crate::signal::Signal;
use crate::time::Wall;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::time::Duration;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// When.
    pub at: Wall,
    /// To which unit (its full name); `None` for what concerns several or the daemon.
    pub unit: Option<String>,
    /// In which of its lives; 0 when it does not belong to one.
    pub run: u64,
    /// What.
    pub what: What,
}

/// What happened. The field names `at`, `unit`, `run`, `what` and `text` belong to the entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "kebab-case")]
pub enum What {
    /// Somebody asked for something.
    Asked(Asked),
    /// A process was started.
    Started {
        /// The process.
        pid: i32,
    },
    /// A process of an earlier daemon was taken over.
    Adopted {
        /// The process.
        pid: i32,
    },
    /// A process could not be started.
    StartFailed {
        /// At which step; a word such as `chdir`.
        stage: String,
        /// The kernel's error number; 0 when it was not the kernel's.
        errno: i32,
        /// The sentence.
        detail: String,
    },
    /// The process ended by itself.
    Exited(Death),
    /// The process ended after it was asked to.
    Stopped(Death),
    /// A signal was sent.
    Signalled {
        /// Its number.
        signal: i32,
        /// Why, in a word or two: `stop`, `order`.
        by: String,
    },
    /// The stop took too long: KILL was sent.
    Killed {
        /// The process; 0 when it is not known.
        pid: i32,
    },
    /// There is a pause before the next start.
    Backoff {
        /// Which try or restart is next, from 1.
        attempt: u32,
        /// When it comes.
        until: Wall,
        /// How long the pause is.
        wait_ms: u64,
    },
    /// It is not started again.
    GaveUp {
        /// After so many tries; 0 where tries are not counted.
        tries: u32,
        /// Why.
        detail: String,
    },
    /// Another unit, which it requires, did not start.
    Dependency {
        /// Which.
        on: String,
    },
    /// Its description is broken.
    Refused {
        /// Why, with file and line.
        detail: String,
    },
    /// The stop did not end it and it may not be killed.
    LeftRunning {
        /// The process; 0 when it is not known.
        pid: i32,
    },
    /// A signal could not be sent to it.
    OutOfReach {
        /// The process.
        pid: i32,
    },
    /// A stop or reload command failed.
    CommandFailed {
        /// `stop command` or `reload command`.
        command: String,
        /// How.
        detail: String,
    },
    /// Its reload commands ended well.
    Reloaded,
    /// Its description appeared, changed or went.
    FileChanged {
        /// The file.
        file: String,
        /// The line, from 1.
        line: u32,
        /// Which of the three.
        change: Change,
        /// What made superd look, in a sentence; may be empty.
        by: String,
    },
    /// The configuration was read again.
    Configuration {
        /// Units that appeared.
        added: u32,
        /// Units whose description changed.
        changed: u32,
        /// Units that went.
        removed: u32,
        /// Why nothing was changed; else empty.
        refused: String,
    },
    /// A probe judged the unit.
    Probe {
        /// How.
        detail: String,
    },
    /// A schedule was due.
    Schedule {
        /// Which.
        detail: String,
    },
    /// Something happened to the daemon.
    Daemon {
        /// What.
        deed: Deed,
        /// More about it; may be empty.
        detail: String,
    },
    /// Something that only a later version knows, in its own words.
    #[serde(untagged)]
    Other {
        /// Its kind.
        what: String,
        /// Its sentence.
        text: String,
    },
}

/// An order or request of somebody.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Asked {
    /// `start`, `stop`, `signal SIGHUP`, `reload`, `shutdown`, `add`, ...
    pub verb: String,
    /// Names as they were given.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub names: Vec<String>,
    /// The units that they stand for, unless it is the entry's own or all.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub units: Vec<String>,
    /// It concerns all units.
    #[serde(skip_serializing_if = "is_false")]
    pub all: bool,
    /// User, or address.
    pub who: String,
    /// `unix`, `http`, `signal`.
    pub door: String,
    /// Why it was refused; else empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub refused: String,
}

/// The end of a process.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Death {
    /// The process.
    pub pid: i32,
    /// The exit code, or the signal's number negated; null when nobody knows.
    pub exit: Option<i32>,
    /// A core was dumped.
    #[serde(skip_serializing_if = "is_false")]
    pub core: bool,
    /// Its policy calls this clean.
    pub expected: bool,
    /// How long it lived; null when that is not known.
    pub lived_ms: Option<u64>,
    /// It ended by a signal that superd did not send.
    #[serde(skip_serializing_if = "is_false")]
    pub foreign: bool,
    /// Whether the kernel killed it for want of memory.
    #[serde(skip_serializing_if = "Oom::is_no")]
    pub oom: Oom,
    /// Its last lines of output.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tail: Vec<String>,
}

/// Whether the kernel's OOM killer was it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Oom {
    /// There is no sign of it.
    #[default]
    No,
    /// It killed something on this machine since superd looked last.
    Likely,
    /// It killed something in the unit's own control group.
    Yes,
}

impl Oom {
    #[allow(clippy::trivially_copy_pass_by_ref)] // serde wants it so
    fn is_no(&self) -> bool {
        *self == Oom::No
    }
}

/// What became of a description.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Change {
    Added,
    Changed,
    Removed,
}

/// What happened to the daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Deed {
    /// It began, with nothing running.
    Started,
    /// It ended without a word and was started again by its keeper.
    Crashed,
    /// A new version took over.
    Upgraded,
    /// A new version failed, the old one went on.
    RolledBack,
    /// The keeper ended and was replaced.
    KeeperLost,
    /// It began to shut down.
    ShutDown,
    /// It stops everything to begin anew.
    Restart,
}

impl Deed {
    fn phrase(self) -> &'static str {
        match self {
            Deed::Started => "superd started",
            Deed::Crashed => "superd ended without a word and was started again",
            Deed::Upgraded => "superd was upgraded",
            Deed::RolledBack => "an upgrade of superd was taken back",
            Deed::KeeperLost => "the keeper ended and was replaced",
            Deed::ShutDown => "superd shut down",
            Deed::Restart => "superd stopped everything to begin anew",
        }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants it so
fn is_false(b: &bool) -> bool {
    !*b
}

impl Death {
    /// The end itself.
    pub fn how(&self) -> Exit {
        match self.exit {
            Some(code @ 0..=255) => u8::try_from(code).map_or(Exit::Unknown, Exit::Code),
            Some(n) => Signal::from_number(-i64::from(n))
                .map_or(Exit::Unknown, |signal| Exit::Signal { signal, core: self.core }),
            None => Exit::Unknown,
        }
    }
}

impl fmt::Display for Death {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let exit = self.how();
        match self.lived_ms {
            Some(ms) => write!(f, "{}", Cause::Exit { exit, lived: Duration::from_millis(ms) })?,
            None => write!(f, "{exit}")?,
        }
        let kill = exit == Exit::Signal { signal: Signal::KILL, core: self.core };
        match self.oom {
            Oom::Yes => f.write_str(", killed by the kernel because memory ran out"),
            Oom::Likely => {
                f.write_str(", probably killed by the kernel because memory ran out on this machine")
            }
            Oom::No if self.foreign && kill => {
                f.write_str(", killed by a signal that superd did not send (the kernel's OOM killer?)")
            }
            Oom::No if self.foreign => f.write_str(", by a signal that superd did not send"),
            Oom::No => Ok(()),
        }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let who = if self.who.is_empty() { "somebody" } else { &self.who };
        match self.door.as_str() {
            "unix" => write!(f, "{who} asked through the unix socket: {}", self.verb)?,
            "signal" => write!(f, "{who} asked by a signal: {}", self.verb)?,
            door => write!(f, "{who} asked through {door}: {}", self.verb)?,
        }
        for name in self.names.iter().take(SHOWN) {
            write!(f, " {name}")?;
        }
        if self.names.len() > SHOWN {
            write!(f, " and {} more", self.names.len() - SHOWN)?;
        }
        if self.refused.is_empty() { Ok(()) } else { write!(f, " (refused: {})", self.refused) }
    }
}

/// Names that a sentence lists.
const SHOWN: usize = 8;

impl fmt::Display for What {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            What::Asked(asked) => asked.fmt(f),
            What::Started { pid } => write!(f, "started, pid {pid}"),
            What::Adopted { pid } => write!(f, "taken over while it ran, pid {pid}"),
            What::StartFailed { detail, .. } => write!(f, "cannot start: {detail}"),
            What::Exited(d) if d.expected => write!(f, "ended: {d}"),
            What::Exited(d) => write!(f, "ended, which was not expected: {d}"),
            What::Stopped(d) => write!(f, "stopped: {d}"),
            What::Signalled { signal, by } => match Signal::from_number(i64::from(*signal)) {
                Some(signal) => write!(f, "{signal} sent ({by})"),
                None => write!(f, "signal {signal} sent ({by})"),
            },
            What::Killed { pid: 0 } => f.write_str("did not stop in time: SIGKILL sent"),
            What::Killed { pid } => write!(f, "did not stop in time: SIGKILL sent to pid {pid}"),
            What::Backoff { attempt, wait_ms, .. } => {
                write!(f, "is started again after a pause of {} (attempt {attempt})", Pause(*wait_ms))
            }
            What::GaveUp { tries: 0, detail } => write!(f, "not started again: {detail}"),
            What::GaveUp { detail, .. } => f.write_str(detail),
            What::Dependency { on } => write!(f, "not started: {on}, which it requires, did not start"),
            What::Refused { detail } => write!(f, "refused: {detail}"),
            What::LeftRunning { pid } => {
                write!(f, "did not stop and may not be killed: pid {pid} was let go")
            }
            What::OutOfReach { pid } => write!(f, "a signal could not be sent to pid {pid}"),
            What::CommandFailed { command, detail } => write!(f, "its {command} failed: {detail}"),
            What::Reloaded => f.write_str("its reload command ended well"),
            What::FileChanged { file, line, change, by } => {
                let what = match change {
                    Change::Added => "is new",
                    Change::Changed => "changed",
                    Change::Removed => "is gone",
                };
                write!(f, "its description {what}: {file}:{line}")?;
                if by.is_empty() { Ok(()) } else { write!(f, " ({by})") }
            }
            What::Configuration { refused, .. } if !refused.is_empty() => {
                write!(f, "the configuration was not taken, nothing was changed: {refused}")
            }
            What::Configuration { added, changed, removed, .. } => {
                write!(
                    f,
                    "the configuration was read again: {added} added, {changed} changed, {removed} removed"
                )
            }
            What::Probe { detail } => write!(f, "probe: {detail}"),
            What::Schedule { detail } => write!(f, "schedule: {detail}"),
            What::Daemon { deed, detail } if detail.is_empty() => f.write_str(deed.phrase()),
            What::Daemon { deed, detail } => write!(f, "{}: {detail}", deed.phrase()),
            What::Other { text, .. } => f.write_str(text),
        }
    }
}

/// `350 ms`, `2 s`, `90 s`.
struct Pause(u64);

impl fmt::Display for Pause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.0 < 1000 { write!(f, "{} ms", self.0) } else { write!(f, "{} s", self.0.div_ceil(1000)) }
    }
}

impl From<&StartError> for What {
    fn from(e: &StartError) -> What {
        let stage = alloc::format!("{:?}", e.stage).to_lowercase();
        What::StartFailed { stage, errno: e.errno, detail: e.text.clone() }
    }
}

impl What {
    /// The last lines of output, where there are some.
    pub fn tail(&self) -> &[String] {
        self.death().map_or(&[], |d| &d.tail)
    }

    /// The end of a process, when it is one.
    pub fn death(&self) -> Option<&Death> {
        match self {
            What::Exited(d) | What::Stopped(d) => Some(d),
            What::Asked(_)
            | What::Started { .. }
            | What::Adopted { .. }
            | What::StartFailed { .. }
            | What::Signalled { .. }
            | What::Killed { .. }
            | What::Backoff { .. }
            | What::GaveUp { .. }
            | What::Dependency { .. }
            | What::Refused { .. }
            | What::LeftRunning { .. }
            | What::OutOfReach { .. }
            | What::CommandFailed { .. }
            | What::Reloaded
            | What::FileChanged { .. }
            | What::Configuration { .. }
            | What::Probe { .. }
            | What::Schedule { .. }
            | What::Daemon { .. }
            | What::Other { .. } => None,
        }
    }
}

impl Entry {
    /// The entry belongs to the time line of this unit.
    pub fn concerns(&self, unit: &str) -> bool {
        if let Some(own) = &self.unit {
            return own == unit;
        }
        match &self.what {
            What::Asked(asked) => asked.all || asked.units.iter().any(|u| u == unit),
            What::Daemon { .. } => true,
            What::Started { .. }
            | What::Adopted { .. }
            | What::StartFailed { .. }
            | What::Exited(_)
            | What::Stopped(_)
            | What::Signalled { .. }
            | What::Killed { .. }
            | What::Backoff { .. }
            | What::GaveUp { .. }
            | What::Dependency { .. }
            | What::Refused { .. }
            | What::LeftRunning { .. }
            | What::OutOfReach { .. }
            | What::CommandFailed { .. }
            | What::Reloaded
            | What::FileChanged { .. }
            | What::Configuration { .. }
            | What::Probe { .. }
            | What::Schedule { .. }
            | What::Other { .. } => false,
        }
    }
}

/// An entry as it is written.
#[derive(Serialize)]
struct Written<'a> {
    at: Wall,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(skip_serializing_if = "is_zero")]
    run: u64,
    #[serde(flatten)]
    what: &'a What,
    /// `None` where `what` brings it along.
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
}

#[allow(clippy::trivially_copy_pass_by_ref)] // serde wants it so
fn is_zero(n: &u64) -> bool {
    *n == 0
}

/// An entry as it is read.
#[derive(Deserialize)]
struct Read {
    at: Wall,
    #[serde(default)]
    unit: Option<String>,
    #[serde(default)]
    run: u64,
    #[serde(flatten)]
    what: What,
}

impl Serialize for Entry {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        let own = matches!(self.what, What::Other { .. });
        let text = (!own).then(|| self.what.to_string());
        Written { at: self.at, unit: self.unit.as_deref(), run: self.run, what: &self.what, text }
            .serialize(s)
    }
}

impl<'de> Deserialize<'de> for Entry {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Entry, D::Error> {
        let Read { at, unit, run, what } = Read::deserialize(d)?;
        Ok(Entry { at, unit, run, what })
    }
}

/// Which entries.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Of these units (full names); all entries when `None`.
    pub units: Option<Vec<String>>,
    /// The newest so many.
    pub limit: usize,
    /// Not older than this.
    pub since: Option<Wall>,
}

impl Query {
    /// The entry is wanted, as far as it does not depend on others.
    pub fn wants(&self, entry: &Entry) -> bool {
        self.since.is_none_or(|since| entry.at >= since)
            && self.units.as_ref().is_none_or(|units| units.iter().any(|u| entry.concerns(u)))
    }
}

/// An answer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Page {
    /// Oldest first, as they happened.
    pub entries: Vec<Entry>,
    /// Lines among them that cannot be read.
    pub skipped: u64,
    /// Entries that were lost because the disk did not take them.
    pub dropped: u64,
}
