//! The one front door (habit 10). Every door (unix socket, HTTP, later XML-RPC and the page)
//! translates into [`Control`]; the engine implements it, and so does the client of a remote daemon.

use crate::signal::Signal;
use crate::snapshot::{DaemonView, ProgramView};
use alloc::{boxed::Box, string::String, vec::Vec};
use core::fmt;
use core::future::Future;
use core::pin::Pin;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// A future answer.
pub type Answer<'a, T> = Pin<Box<dyn Future<Output = Result<T, Refusal>> + Send + 'a>>;

/// Everything that can be asked of a daemon.
pub trait Control: Send + Sync {
    /// What is. Read from the published snapshot; costs the engine nothing (habit 11).
    fn status(&self) -> Answer<'_, Status<'static>>;

    /// Carries out an order on units. Rows come in completion order; dropping them cancels nothing.
    fn order(&self, caller: Caller, order: Order) -> Answer<'_, Box<dyn Rows>>;

    /// Reads the configuration again and applies what changed, or only says what it would do.
    fn reload(&self, caller: Caller, dry_run: bool) -> Answer<'_, PlanView>;

    /// Writes a unit file for a new program into the unit folder and starts it.
    fn add(&self, caller: Caller, unit: NewUnit) -> Answer<'_, Box<dyn Rows>>;

    /// Output of one unit.
    fn logs(&self, request: LogRequest) -> Answer<'_, Box<dyn LogFlow>>;

    /// Begins an ordered shutdown; answered before it happens.
    fn shutdown(&self, caller: Caller) -> Answer<'_, ()>;
    /// Lets another program be the daemon (by default the one that the present one was started from, as it is
    /// on disk now), after it said that it can go on; answered with its version before it happens.
    fn upgrade(&self, _caller: Caller, _binary: Option<String>) -> Answer<'_, String> {
        let refusal = Refusal::Failed { text: "an upgrade is not offered here".into() };
        Box::pin(core::future::ready(Err(refusal)))
    }
}

/// The whole picture at one moment.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub struct Status<'a> {
    /// The daemon itself.
    pub daemon: DaemonView,
    /// All units, ordered by group, then name.
    #[serde(borrow)]
    pub programs: Vec<ProgramView<'a>>,
}

impl Status<'_> {
    /// The same, for longer than what it was made from.
    pub fn into_owned(self) -> Status<'static> {
        let programs = self.programs.into_iter().map(ProgramView::into_owned).collect();
        Status { daemon: self.daemon, programs }
    }
}

/// Who asks, and through which door; for the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Caller {
    /// `unix`, `http`, `signal`.
    pub door: String,
    /// User name or number, or address.
    pub who: String,
}

/// A verb on a set of units.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// What to do.
    pub verb: Verb,
    /// Names: `web`, `web.service`, `group:name`, `group:*`, globs, `all`.
    pub names: Vec<String>,
    /// Answer each row only when the unit got there; else as soon as the order is taken.
    pub wait: bool,
    /// Give up waiting (not the job) after this many milliseconds.
    pub timeout_ms: Option<u64>,
    /// Whose rules.
    #[serde(default)]
    pub rules: Rules,
}

/// What an order means in detail.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rules {
    /// Starts use the files' present text; a program that counts as RUNNING at once is watched for a moment
    /// before its start is called good.
    #[default]
    Supers,
    /// Starts use the description as it was loaded; RUNNING is good enough (supervisor-contract 10).
    Supervisor,
}

/// What can be done to a unit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Verb {
    /// Bring up.
    Start,
    /// Bring down.
    Stop,
    /// Bring down and up.
    Restart,
    /// Run the unit's reload command.
    Reload,
    /// Send this signal (number) to the main process.
    Signal(i32),
}

impl Verb {
    /// The signal, for [`Verb::Signal`] with a valid number.
    pub fn signal(self) -> Option<Signal> {
        match self {
            Verb::Signal(n) => Signal::from_number(i64::from(n)),
            Verb::Start | Verb::Stop | Verb::Restart | Verb::Reload => None,
        }
    }
}

/// Results of an order, one at a time.
pub trait Rows: Send {
    /// The next result in completion order; `None` when all were given.
    fn next(&mut self) -> Answer<'_, Option<Row>>;
}

/// The result of an order for one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// The unit's full name.
    pub name: String,
    /// What became of the order.
    pub outcome: Outcome,
    /// Why, in a sentence; empty when there is nothing to add.
    #[serde(default)]
    pub detail: String,
    /// The process, 0 when none.
    #[serde(default)]
    pub pid: i32,
    /// The file had changed (or is new): this start used its present text.
    #[serde(default)]
    pub changed: bool,
    /// The last lines of output of a failed start.
    #[serde(default)]
    pub tail: Vec<String>,
}

/// What became of an order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
#[allow(missing_docs)]
pub enum Outcome {
    Started,
    AlreadyRunning,
    Stopped,
    NotRunning,
    Restarted,
    Signalled,
    Reloaded,
    /// Taken; not waited for.
    Accepted,
    Failed,
    /// Another order came between.
    Superseded,
    /// Waiting was given up; the job goes on.
    TimedOut,
}

/// Why a request was refused as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case")]
pub enum Refusal {
    /// Nothing has this name; `hint` may name one that is near.
    UnknownName {
        /// As given.
        name: String,
        /// What to try.
        hint: Option<String>,
    },
    /// The request makes no sense; the text says why.
    BadRequest {
        /// The reason.
        text: String,
    },
    /// The configuration is broken; nothing was changed.
    Config {
        /// All errors, one a line.
        text: String,
    },
    /// The daemon is on its way down.
    ShuttingDown,
    /// Not allowed through this door.
    Denied {
        /// What would allow it.
        text: String,
    },
    /// Something failed on the way; the text says what.
    Failed {
        /// The reason.
        text: String,
    },
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Refusal::UnknownName { name, hint } => {
                write!(f, "no program is called {name:?}")?;
                hint.as_ref().map_or(Ok(()), |h| write!(f, "; {h}"))
            }
            Refusal::BadRequest { text }
            | Refusal::Config { text }
            | Refusal::Denied { text }
            | Refusal::Failed { text } => f.write_str(text),
            Refusal::ShuttingDown => f.write_str("superd is shutting down"),
        }
    }
}

impl core::error::Error for Refusal {}

/// What a reload did, or would do.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanView {
    /// Units that appear.
    pub added: Vec<PlanItem>,
    /// Units whose description changed.
    pub changed: Vec<PlanItem>,
    /// Units that go.
    pub removed: Vec<PlanItem>,
    /// How many stay as they are.
    pub unchanged: u32,
    /// Findings of the check, one text each, errors first.
    pub findings: Vec<String>,
    /// False for a dry run.
    pub applied: bool,
}

/// One unit in a plan.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanItem {
    /// Full name.
    pub name: String,
    /// The process that is touched; 0 when none.
    pub pid: i32,
    /// What happens, in a few words: `start`, `restart`, `stop`, `stays stopped`.
    pub deed: String,
}

/// The wish for another program as daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeRequest {
    /// Its path; by default the one that the daemon was started from.
    #[serde(default)]
    pub binary: Option<String>,
}

/// What is going to be the daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct UpgradeView {
    /// Its version, as it says.
    pub version: String,
}

/// A unit to be written.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NewUnit {
    /// File name without `.service`.
    pub name: String,
    /// Program and arguments.
    pub command: Vec<String>,
    /// Text for status lists.
    #[serde(default)]
    pub description: Option<String>,
    /// User to run as.
    #[serde(default)]
    pub user: Option<String>,
    /// Working directory.
    #[serde(default)]
    pub directory: Option<String>,
    /// Replace a file of this name.
    #[serde(default)]
    pub replace: bool,
}

/// Which stream.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[allow(missing_docs)]
pub enum Stream {
    #[default]
    Stdout,
    Stderr,
}

impl Stream {
    /// `stdout` or `stderr`.
    pub fn word(self) -> &'static str {
        match self {
            Stream::Stdout => "stdout",
            Stream::Stderr => "stderr",
        }
    }
}

/// A wish to read output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct LogRequest {
    /// The unit, as in [`Order::names`], but exactly one.
    pub name: String,
    /// Which stream.
    pub stream: Stream,
    /// Where to begin.
    pub from: LogFrom,
    /// Go on as more is written, for ever.
    pub follow: bool,
}

/// Where reading begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum LogFrom {
    /// This many lines before the end.
    Lines(u64),
    /// This many bytes before the end.
    Bytes(u64),
    /// At this logical stream offset (bytes since the log began, over all rotations); the oldest kept
    /// byte when that is gone.
    Offset(u64),
}

/// A flow of output.
pub trait LogFlow: Send {
    /// The next piece; `None` at the end (never when following).
    fn next(&mut self) -> Answer<'_, Option<LogChunk>>;
}

/// A piece of output.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogChunk {
    /// Logical stream offset of the first byte.
    pub offset: u64,
    /// The bytes, as written.
    pub bytes: Vec<u8>,
}

impl Order {
    /// The time limit, if any.
    pub fn timeout(&self) -> Option<Duration> {
        self.timeout_ms.map(Duration::from_millis)
    }
}
