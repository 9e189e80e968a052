//! What is, as an immutable value (habit 11), and the flat views of it that doors print.

use crate::exit::Exit;
use crate::ids::{Pid, RunId, UnitId};
use crate::proc::{Cause, State, Trouble};
use crate::spec::Spec;
use crate::time::{Now, Wall};
use alloc::borrow::Cow;
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
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
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
    /// What keeps the processes of a unit together, so that a stop leaves none: `cgroup v2`, `cgroup v1 freezer`,
    /// `cgroup v1 pids`, `session`, or `process group` where only that is promised.
    pub containment: String,
    /// Things the operator should know, a sentence each: a port that is taken and by whom, a full disk.
    pub notices: Vec<String>,
    /// Events and requests that were dropped because a queue was full.
    pub dropped: u64,
}

/// One unit, for people and programs: the object of `supers status --json`. Texts are borrowed from the
/// snapshot they describe, or from the document they were read from.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct ProgramView<'a> {
    /// Name within the group.
    #[serde(borrow)]
    pub name: Cow<'a, str>,
    /// The group; equal to `name` for a program outside any group.
    #[serde(borrow)]
    pub group: Cow<'a, str>,
    /// Supervisor's word: STOPPED, STARTING, RUNNING, BACKOFF, STOPPING, EXITED, FATAL, UNKNOWN.
    #[serde(borrow)]
    pub state: Cow<'a, str>,
    /// The main process; 0 when there is none.
    pub pid: i32,
    /// Whole seconds since the run began; 0 when none lives.
    pub uptime_s: u64,
    /// Automatic restarts since it was last started by hand.
    pub restarts: u32,
    /// How the last run ended: the exit code, or a signal's number negated; null when none ended yet.
    pub exit: Option<i32>,
    /// Why it is not running (or what it waits for), in a sentence; empty when it runs.
    #[serde(borrow)]
    pub reason: Cow<'a, str>,
    /// The command to type next when something is wrong; else empty.
    #[serde(borrow)]
    pub hint: Cow<'a, str>,
    /// Text from the description.
    #[serde(borrow)]
    pub description: Cow<'a, str>,
    /// Wanted up.
    pub want: bool,
    /// When the state was entered, Unix seconds.
    pub since: i64,
    /// When the last run began, Unix seconds; 0 never.
    pub started: i64,
    /// When the last run ended, Unix seconds; 0 never.
    pub ended: i64,
    /// Where the description stands: `file:line`.
    #[serde(borrow)]
    pub source: Cow<'a, str>,
}

impl<'a> ProgramView<'a> {
    /// The name to type: `web`, or `group:web`.
    pub fn full_name(&self) -> Cow<'_, str> {
        if self.name == self.group {
            Cow::Borrowed(&self.name)
        } else {
            alloc::format!("{}:{}", self.group, self.name).into()
        }
    }

    /// Flattens one unit at the time `now`.
    pub fn new(u: &'a UnitView, now: Now) -> ProgramView<'a> {
        let source = match u.origin.file.as_str() {
            "" => "".into(),
            file => alloc::format!("{file}:{}", u.origin.line).into(),
        };
        ProgramView {
            name: Cow::Borrowed(&u.spec.name),
            group: Cow::Borrowed(&u.spec.group),
            state: u.state.word().into(),
            pid: u.state.pid().map_or(0, |Pid(p)| p),
            uptime_s: u.uptime_s(now),
            restarts: u.restarts,
            exit: u.last_exit.and_then(Exit::number),
            reason: reason(u, now),
            hint: hint(u),
            description: Cow::Borrowed(&u.origin.description),
            want: u.want_up,
            since: u.since.secs(),
            started: u.started.map_or(0, Wall::secs),
            ended: u.ended.map_or(0, Wall::secs),
            source,
        }
    }

    /// The same, for longer than what it was made from.
    pub fn into_owned(self) -> ProgramView<'static> {
        let own = |text: Cow<'a, str>| Cow::Owned(text.into_owned());
        ProgramView {
            name: own(self.name),
            group: own(self.group),
            state: own(self.state),
            reason: own(self.reason),
            hint: own(self.hint),
            description: own(self.description),
            source: own(self.source),
            pid: self.pid,
            uptime_s: self.uptime_s,
            restarts: self.restarts,
            exit: self.exit,
            want: self.want,
            since: self.since,
            started: self.started,
            ended: self.ended,
        }
    }
}

/// What the processes of a unit use, as far as the kernel tells. What it does not tell is left out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Usage {
    /// Processes and threads now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tasks: Option<u64>,
    /// Memory now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<u64>,
    /// Processor time of all that ever were in its control group, earlier runs included.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cpu_ms: Option<u64>,
}

impl Usage {
    /// Nothing is known.
    pub fn is_empty(&self) -> bool {
        *self == Usage::default()
    }
}

/// One unit that was asked for by its name, with what costs too much to be told of all.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct NamedView<'a> {
    /// The unit.
    #[serde(flatten)]
    pub program: &'a ProgramView<'a>,
    /// What it uses.
    #[serde(skip_serializing_if = "Usage::is_empty")]
    pub usage: Usage,
}

impl UnitView {
    /// Whole seconds since the run began; 0 when none lives.
    pub fn uptime_s(&self, now: Now) -> u64 {
        match (self.state.pid(), self.started) {
            (Some(_), Some(Wall(t))) => u64::try_from((now.wall.0 - t) / 1000).unwrap_or(0),
            _ => 0,
        }
    }
}

fn reason(u: &UnitView, now: Now) -> Cow<'static, str> {
    match &u.state {
        State::Running { .. } | State::Starting { .. } => "".into(),
        State::Held if u.waits_for.is_empty() => "waiting for its turn".into(),
        State::Held => alloc::format!("waiting for {}", u.waits_for.join(", ")).into(),
        State::Stopping { .. } => "stopping".into(),
        State::Backoff { until, cause, .. } => match until.since(now.mono).as_millis() {
            left @ 0..1000 => alloc::format!("{cause}; next try in {left} ms"),
            left => alloc::format!("{cause}; next try in {} s", left.div_ceil(1000)),
        }
        .into(),
        State::Stopped { cause } | State::Exited { cause, .. } | State::Fatal { cause } => {
            cause.to_string().into()
        }
        State::Unknown { .. } => "a signal could not be sent to it".into(),
    }
}

fn hint(u: &UnitView) -> Cow<'static, str> {
    let command = match &u.state {
        State::Running { .. } | State::Starting { .. } | State::Stopping { .. } | State::Held => {
            return "".into();
        }
        State::Fatal { cause: Cause::Refused(_) } => {
            return alloc::format!("supers check {}", u.origin.file).into();
        }
        // It has printed nothing; what happens to the other one is what helps.
        State::Fatal { cause: Cause::Dependency(other) } => {
            return alloc::format!("supers start {other}").into();
        }
        State::Stopped { .. }
        | State::Exited { expected: true, .. }
        | State::Fatal { cause: Cause::Start(_) } => "start",
        State::Backoff { .. } | State::Exited { .. } | State::Fatal { .. } => "logs",
        State::Unknown { .. } => "stop",
    };
    alloc::format!("supers {command} {}", u.spec.full_name()).into()
}
