//! What a door inside the daemon can ask beyond [`Control`]: the snapshot itself, and the rest of
//! Supervisor's own interface (supervisor-contract 10). A client of a remote daemon has only [`Control`].

use crate::control::{Answer, Caller, Control, LogFlow, LogFrom, Refusal, Stream};
use crate::history;
use crate::ids::UnitId;
use crate::snapshot::{DaemonView, Snapshot, Usage};
use crate::spec::Spec;
use crate::time::Now;
use alloc::boxed::Box;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// The daemon as its own doors see it.
pub trait Inside: Control {
    /// The newest snapshot.
    fn snapshot(&self) -> Arc<Snapshot>;

    /// The present time: the engine's clock is the only one.
    fn now(&self) -> Now;

    /// The daemon itself.
    fn daemon(&self) -> DaemonView;

    /// The daemon's `identifier`.
    fn identifier(&self) -> String;

    /// Supervisor's interface is served; without `[rpcinterface:supervisor]` the ancestor has none.
    fn has_supervisor_rpc(&self) -> bool;

    /// Path of the daemon's own log; empty when it is no file.
    fn main_log_path(&self) -> String;

    /// Units of the last parse of the configuration, in file order, running or not; `reread` replaces it.
    fn last_parse(&self) -> Arc<[Arc<Spec>]>;

    /// The number of a user by name or number; `None` when there is none.
    fn user_id(&self, name: &str) -> Option<u32>;

    /// Whether a start of these units would find a program to execute, in their order; asked before their state
    /// is looked at.
    fn runnable(&self, units: Vec<UnitId>) -> Answer<'_, Vec<Result<(), Unrunnable>>>;

    /// Parses the configuration again and keeps it as the last parse. Nothing running is touched.
    ///
    /// # Errors
    /// [`crate::control::Refusal::Config`] when it is broken; the last parse stays.
    fn reread(&self, caller: Caller) -> Answer<'_, Reread>;

    /// Adds a group from the last parse and starts what is to be started.
    fn add_group(&self, caller: Caller, name: String) -> Answer<'_, GroupDone>;

    /// Removes a group none of whose processes lives.
    fn remove_group(&self, caller: Caller, name: String) -> Answer<'_, GroupDone>;

    /// Writes to the standard input of a running process.
    fn send_stdin(&self, unit: UnitId, bytes: Vec<u8>) -> Answer<'_, StdinDone>;

    /// Tells the listeners something (REMOTE_COMMUNICATION).
    fn tell(&self, kind: String, data: String) -> Answer<'_, ()>;

    /// Reads a log file by bytes.
    fn read_log(&self, log: LogOf, cut: Cut) -> Answer<'_, Result<Piece, LogFault>>;

    /// Deletes a log file and makes it again; backups stay.
    fn clear_log(&self, log: LogOf) -> Answer<'_, Result<(), LogFault>>;

    /// The daemon's own log as a flow.
    fn main_log(&self, from: LogFrom, follow: bool) -> Answer<'_, Box<dyn LogFlow>>;

    /// What the processes of a unit use, by its full name; costs reading a few files.
    fn usage(&self, _unit: String) -> Answer<'_, Usage> {
        Box::pin(core::future::ready(Ok(Usage::default())))
    }

    /// What happened, as it was written down.
    fn history(&self, _query: history::Query) -> Answer<'_, history::Page> {
        let text = String::from("no history is kept here");
        Box::pin(core::future::ready(Err(Refusal::Failed { text })))
    }

    /// Stops everything, reads the configuration and starts again under the same pid; answered before it
    /// happens.
    fn restart(&self, caller: Caller) -> Answer<'_, ()>;
}

/// Why a unit cannot be executed (faults 20 and 21).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unrunnable {
    /// There is no such file; Supervisor's text (`can't find command 'x'`).
    Missing(String),
    /// It is there but cannot be executed, or the command is empty or cannot be split into words.
    NotExecutable(String),
}

/// Groups that differ between what runs and the last parse; names, sorted.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reread {
    /// New in the configuration.
    pub added: Vec<String>,
    /// Described differently.
    pub changed: Vec<String>,
    /// Gone from the configuration.
    pub removed: Vec<String>,
}

/// What became of adding or removing a group.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum GroupDone {
    /// It is done.
    Done,
    /// There is one of this name already.
    AlreadyAdded,
    /// Some process of it lives or will.
    StillRunning,
    /// Nothing has this name.
    BadName,
}

/// What became of text for a standard input.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StdinDone {
    /// It is written, or waits in the bounded buffer.
    Taken,
    /// The process does not run.
    NotRunning,
    /// It closed its standard input, or never had one.
    Closed,
    /// It does not read, and the buffer is full.
    Full,
}

/// Which log file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LogOf {
    /// The daemon's own.
    Main,
    /// One stream of a unit.
    Unit(UnitId, Stream),
}

/// Which part of a log file (supervisor-contract 10, "read semantics", "tail semantics").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cut {
    /// `readLog` and the like.
    Read {
        /// From the beginning; negative: from the end, with length 0.
        offset: i64,
        /// 0 is all that follows.
        length: i64,
    },
    /// `tailLog` and the like.
    Tail {
        /// What the caller has seen already.
        offset: i64,
        /// At most so many bytes.
        length: i64,
    },
}

/// A part of a log file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Piece {
    /// The bytes.
    pub bytes: Vec<u8>,
    /// Size of the file.
    pub size: u64,
    /// [`Cut::Tail`] left something out.
    pub overflow: bool,
}

/// Why a log could not be read or cleared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFault {
    /// The stream has no file, or it is not there.
    NoFile,
    /// Offset and length do not go together.
    BadArguments,
    /// The system's words.
    Failed(String),
}

impl Cut {
    /// Where to read in a file of `size` bytes: start, length, and whether something was left out.
    ///
    /// # Errors
    /// [`LogFault::BadArguments`] for a negative length, or a negative offset with a length.
    pub fn range(self, size: u64) -> Result<(u64, u64, bool), LogFault> {
        match self {
            Cut::Read { offset, length } => {
                if length < 0 || (offset < 0 && length != 0) {
                    return Err(LogFault::BadArguments);
                }
                let start = match u64::try_from(offset) {
                    Ok(offset) => offset.min(size),
                    Err(_) => size.saturating_sub(offset.unsigned_abs()),
                };
                let rest = size - start;
                let length = if length == 0 { rest } else { rest.min(length.unsigned_abs()) };
                Ok((start, length, false))
            }
            Cut::Tail { offset, length } => {
                // The ancestor adds them with their signs, whatever they are.
                let overflow = i128::from(size) > i128::from(offset) + i128::from(length);
                let unseen = u64::try_from(offset).map_or(true, |offset| offset < size);
                let length = u64::try_from(length).unwrap_or(0);
                let start = if overflow || unseen { size.saturating_sub(length) } else { size };
                Ok((start, size - start, overflow))
            }
        }
    }
}
