//! What is, as an immutable value (habit 11), and the flat views of it that doors print.

use crate::exit::Exit;
use crate::ids::{Pid, RunId, UnitId};
use crate::proc::{Cause, State, Trouble};
use crate::spec::Spec;
use crate::time::{Now, Wall};
use alloc::string::{String, ToString};
use alloc::sync::Arc;
use alloc::vec::Vec;
use bstr::BString;
use serde::{Deserialize, Serialize};

/// Units per chunk: a change copies one chunk of pointers, the others are shared.
pub const CHUNK: usize = 64;

/// All units at one moment. Published by the engine after each turn.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    /// Counts publications.
    pub turn: u64,
    /// Slots by [`UnitId`], in chunks; a removed unit leaves `None`.
    pub chunks: Vec<Arc<[Option<Arc<UnitView>>]>>,
    /// All groups, by name; also those without a unit.
    pub groups: Arc<[Group]>,
    /// The daemon is on its way down.
    pub stopping: bool,
}

/// A group of units.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// Its name.
    pub name: String,
    /// Lower starts first, stops last.
    pub priority: i32,
}

/// One unit at one moment.
#[derive(Clone, Debug)]
pub struct UnitView {
    /// The slot.
    pub id: UnitId,
    /// What it is supposed to be.
    pub spec: Arc<Spec>,
    /// Where the description stands, and its text.
    pub origin: Arc<Origin>,
    /// What it is.
    pub state: State,
    /// The operator or the configuration wants it up.
    pub want_up: bool,
    /// When `state` was entered.
    pub since: Wall,
    /// When the last run began.
    pub started: Option<Wall>,
    /// When the last run ended.
    pub ended: Option<Wall>,
    /// How the last run ended.
    pub last_exit: Option<Exit>,
    /// The last run.
    pub run: RunId,
    /// Automatic restarts since it was last started by hand.
    pub restarts: u32,
    /// Names of the units it waits for.
    pub waits_for: Vec<String>,
    /// What went wrong last, until the next spawn.
    pub trouble: Option<Trouble>,
    /// Paths of the logs of standard output and error; empty when there is none.
    pub logs: Arc<[BString; 2]>,
}

/// Where a description stands; text only, not compared by a reload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Origin {
    /// For status lists.
    pub description: String,
    /// The file.
    pub file: String,
    /// The line, from 1.
    pub line: u32,
}

impl Snapshot {
    /// All units that exist, by slot.
    pub fn units(&self) -> impl Iterator<Item = &Arc<UnitView>> {
        self.chunks.iter().flat_map(|c| c.iter()).flatten()
    }

    /// One slot.
    pub fn get(&self, id: UnitId) -> Option<&Arc<UnitView>> {
        let i = id.0 as usize;
        self.chunks.get(i / CHUNK)?.get(i % CHUNK)?.as_ref()
    }
}

/// The daemon, for people and programs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct DaemonView {
    /// Product version.
    pub version: String,
    /// *The* pid: the keeper's, or the daemon's own without one.
    pub pid: i32,
    /// The daemon's own pid.
    pub daemon_pid: i32,
    /// Which configuration, and why it was chosen.
    pub config: String,
    /// `running` or `stopping`.
    pub state: String,
    /// Seconds since the daemon began.
    pub uptime_s: u64,
    /// How often the keeper started the daemon (1: never crashed); 0 without a keeper.
    pub starts: u32,
    /// Things the operator should know, a sentence each: a port that is taken and by whom, a full disk.
    pub notices: Vec<String>,
    /// Events and requests that were dropped because a queue was full.
    pub dropped: u64,
}

/// One unit, for people and programs: the object of `supers status --json`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgramView {
    /// Name within the group.
    pub name: String,
    /// The group; equal to `name` for a program outside any group.
    pub group: String,
    /// Supervisor's word: STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL, UNKNOWN.
    pub state: String,
    /// The main process; 0 when there is none.
    pub pid: i32,
    /// Whole seconds since the run began; 0 when none lives.
    pub uptime_s: u64,
    /// Automatic restarts since it was last started by hand.
    pub restarts: u32,
    /// How the last run ended: the exit code, or a signal's number negated; null when none ended yet.
    pub exit: Option<i32>,
    /// Why it is not running (or what it waits for), in a sentence; empty when it runs.
    pub reason: String,
    /// The command to type next when something is wrong; else empty.
    pub hint: String,
    /// Text from the description.
    pub description: String,
    /// Wanted up.
    pub want: bool,
    /// When the state was entered, Unix seconds.
    pub since: i64,
    /// When the last run began, Unix seconds; 0 never.
    pub started: i64,
    /// When the last run ended, Unix seconds; 0 never.
    pub ended: i64,
    /// Where the description stands: `file:line`.
    pub source: String,
}

impl ProgramView {
    /// The name to type: `web`, or `group:web`.
    pub fn full_name(&self) -> String {
        if self.name == self.group {
            self.name.clone()
        } else {
            alloc::format!("{}:{}", self.group, self.name)
        }
    }

    /// Flattens one unit at the time `now`.
    pub fn new(u: &UnitView, now: Now) -> ProgramView {
        let pid = u.state.pid();
        let reason = reason(u, now);
        let hint = hint(u);
        ProgramView {
            name: u.spec.name.clone(),
            group: u.spec.group.clone(),
            state: u.state.word().into(),
            pid: pid.map_or(0, |Pid(p)| p),
            uptime_s: match (pid, u.started) {
                (Some(_), Some(Wall(t))) => u64::try_from((now.wall.0 - t) / 1000).unwrap_or(0),
                _ => 0,
            },
            restarts: u.restarts,
            exit: u.last_exit.and_then(Exit::number),
            reason,
            hint,
            description: u.origin.description.clone(),
            want: u.want_up,
            since: u.since.secs(),
            started: u.started.map_or(0, Wall::secs),
            ended: u.ended.map_or(0, Wall::secs),
            source: if u.origin.file.is_empty() {
                String::new()
            } else {
                alloc::format!("{}:{}", u.origin.file, u.origin.line)
            },
        }
    }
}

fn reason(u: &UnitView, now: Now) -> String {
    match &u.state {
        State::Running { .. } => String::new(),
        State::Starting { .. } => String::new(),
        State::Held => {
            if u.waits_for.is_empty() {
                "waiting for its turn".into()
            } else {
                alloc::format!("waiting for {}", u.waits_for.join(", "))
            }
        }
        State::Stopping { .. } => "stopping".into(),
        State::Backoff { until, cause, .. } => {
            let left = until.since(now.mono).as_millis().div_ceil(1000);
            alloc::format!("{cause}; next try in {left} s")
        }
        State::Stopped { cause } | State::Exited { cause, .. } | State::Fatal { cause } => cause.to_string(),
        State::Unknown { .. } => "a signal could not be sent to it".into(),
    }
}

fn hint(u: &UnitView) -> String {
    let name = u.spec.full_name();
    match &u.state {
        State::Running { .. } | State::Starting { .. } | State::Stopping { .. } | State::Held => {
            String::new()
        }
        State::Stopped { .. } => alloc::format!("supers start {name}"),
        State::Backoff { .. } => alloc::format!("supers logs {name}"),
        State::Exited { expected: true, .. } => alloc::format!("supers start {name}"),
        State::Exited { .. } => alloc::format!("supers logs {name}"),
        State::Fatal { cause: Cause::Refused(_) } => alloc::format!("supers check {}", u.origin.file),
        State::Fatal { cause: Cause::Start(_) } => alloc::format!("supers start {name}"),
        State::Fatal { .. } => alloc::format!("supers logs {name}"),
        State::Unknown { .. } => alloc::format!("supers stop {name}"),
    }
}
