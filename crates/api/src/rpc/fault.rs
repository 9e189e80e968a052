//! The faults: numbers and names (supervisor-contract 10), and what a refusal becomes.

use crate::xmlrpc::{Fault, Writer};
use supers_core::control::Refusal;
use supers_core::inside::{LogFault, Unrunnable};
use supers_core::snapshot::UnitView;

/// A caller's own words are given back, but not megabytes of them.
const MAX_DETAIL: usize = 4096;

/// Names of faults, with Supervisor's numbers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
pub(super) enum Code {
    UnknownMethod = 1,
    IncorrectParameters = 2,
    BadArguments = 3,
    SignatureUnsupported = 4,
    ShutdownState = 6,
    BadName = 10,
    BadSignal = 11,
    NoFile = 20,
    NotExecutable = 21,
    Failed = 30,
    AbnormalTermination = 40,
    SpawnError = 50,
    AlreadyStarted = 60,
    NotRunning = 70,
    Success = 80,
    AlreadyAdded = 90,
    StillRunning = 91,
    CantReread = 92,
}

impl Code {
    fn name(self) -> &'static str {
        match self {
            Code::UnknownMethod => "UNKNOWN_METHOD",
            Code::IncorrectParameters => "INCORRECT_PARAMETERS",
            Code::BadArguments => "BAD_ARGUMENTS",
            Code::SignatureUnsupported => "SIGNATURE_UNSUPPORTED",
            Code::ShutdownState => "SHUTDOWN_STATE",
            Code::BadName => "BAD_NAME",
            Code::BadSignal => "BAD_SIGNAL",
            Code::NoFile => "NO_FILE",
            Code::NotExecutable => "NOT_EXECUTABLE",
            Code::Failed => "FAILED",
            Code::AbnormalTermination => "ABNORMAL_TERMINATION",
            Code::SpawnError => "SPAWN_ERROR",
            Code::AlreadyStarted => "ALREADY_STARTED",
            Code::NotRunning => "NOT_RUNNING",
            Code::Success => "SUCCESS",
            Code::AlreadyAdded => "ALREADY_ADDED",
            Code::StillRunning => "STILL_RUNNING",
            Code::CantReread => "CANT_REREAD",
        }
    }

    /// `NAME`
    pub(super) fn bare(self) -> Fault {
        Fault { code: self as i32, text: self.name().to_owned() }
    }

    /// `NAME: detail`
    pub(super) fn of(self, detail: &str) -> Fault {
        let fits =
            detail.char_indices().map(|(at, c)| at + c.len_utf8()).take_while(|end| *end <= MAX_DETAIL);
        let short = detail.get(..fits.last().unwrap_or(0)).unwrap_or_default();
        Fault { code: self as i32, text: format!("{}: {short}", self.name()) }
    }
}

pub(super) fn refused(refusal: &Refusal) -> Fault {
    match refusal {
        Refusal::ShuttingDown => Code::ShutdownState.bare(),
        Refusal::UnknownName { name, .. } => Code::BadName.of(name),
        Refusal::BadRequest { text }
        | Refusal::Config { text }
        | Refusal::Denied { text }
        | Refusal::Failed { text } => Code::Failed.of(text),
    }
}

pub(super) fn unrunnable(why: &Unrunnable) -> Fault {
    match why {
        Unrunnable::Missing(text) => Code::NoFile.of(text),
        Unrunnable::NotExecutable(text) => Code::NotExecutable.of(text),
    }
}

/// `path` is the log's, empty when there is none.
pub(super) fn log(why: &LogFault, path: &str) -> Fault {
    match why {
        LogFault::NoFile if path.is_empty() => Code::NoFile.bare(),
        LogFault::NoFile => Code::NoFile.of(path),
        LogFault::BadArguments => Code::BadArguments.bare(),
        LogFault::Failed(text) => Code::Failed.of(text),
    }
}

/// A row of a result: what became of one of several units.
pub(super) fn write_row(w: &mut Writer, unit: &UnitView, result: Result<(), Fault>) {
    w.structure(|w| {
        w.member("name", |w| w.str(&unit.spec.name));
        w.member("group", |w| w.str(&unit.spec.group));
        let (code, text) = match &result {
            Ok(()) => (Code::Success as i32, "OK"),
            Err(fault) => (fault.code, fault.text.as_str()),
        };
        w.member("status", |w| w.int(code.into()));
        w.member("description", |w| w.str(text));
    });
}
