//! Exit codes of `supers` and everything that can end it early.

use std::io;
use supers_core::control::Refusal;

/// How the command ended. The order of the variants is the order of severity: when several apply, the
/// greatest is the answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Exit {
    /// 0: all was done.
    Done,
    /// 3: a program that was named is not running.
    NotRunning,
    /// 1: something failed.
    Failed,
    /// 4: a name means nothing.
    UnknownName,
    /// 130: interrupted while waiting; the job goes on.
    Interrupted,
    /// 7: no daemon could be reached.
    NoDaemon,
    /// 2: the command line makes no sense.
    Usage,
}

impl Exit {
    /// The number for the shell.
    pub fn code(self) -> i32 {
        match self {
            Exit::Done => 0,
            Exit::Failed => 1,
            Exit::Usage => 2,
            Exit::NotRunning => 3,
            Exit::UnknownName => 4,
            Exit::NoDaemon => 7,
            Exit::Interrupted => 130,
        }
    }
}

/// Why a subcommand ended before its end.
#[derive(Debug)]
pub(super) enum Failure {
    /// The daemon refused the request.
    Refused(Refusal),
    /// No daemon; the text explains.
    NoDaemon(String),
    /// The command line makes no sense.
    Usage(String),
    /// Output or input failed.
    Io(io::Error),
}

impl From<Refusal> for Failure {
    fn from(r: Refusal) -> Failure {
        Failure::Refused(r)
    }
}

impl From<io::Error> for Failure {
    fn from(e: io::Error) -> Failure {
        Failure::Io(e)
    }
}

impl Failure {
    /// The exit code.
    pub(super) fn exit(&self) -> Exit {
        match self {
            Failure::Refused(Refusal::UnknownName { .. }) => Exit::UnknownName,
            Failure::Refused(
                Refusal::BadRequest { .. }
                | Refusal::Config { .. }
                | Refusal::ShuttingDown
                | Refusal::Denied { .. }
                | Refusal::Failed { .. },
            ) => Exit::Failed,
            Failure::NoDaemon(_) => Exit::NoDaemon,
            Failure::Usage(_) => Exit::Usage,
            // Who closed the pipe has read what was wanted.
            Failure::Io(e) if e.kind() == io::ErrorKind::BrokenPipe => Exit::Done,
            Failure::Io(_) => Exit::Failed,
        }
    }

    /// The word that programs may rely on, and the text for people; `None` when there is nothing to say.
    pub(super) fn message(&self) -> Option<(&'static str, String)> {
        match self {
            Failure::Refused(r) => Some((kind(r), r.to_string())),
            Failure::NoDaemon(text) => Some(("no-daemon", text.clone())),
            Failure::Usage(text) => Some(("usage", text.clone())),
            Failure::Io(e) if e.kind() == io::ErrorKind::BrokenPipe => None,
            Failure::Io(e) => Some(("failed", e.to_string())),
        }
    }
}

fn kind(r: &Refusal) -> &'static str {
    match r {
        Refusal::UnknownName { .. } => "unknown-name",
        Refusal::BadRequest { .. } => "bad-request",
        Refusal::Config { .. } => "config",
        Refusal::ShuttingDown => "shutting-down",
        Refusal::Denied { .. } => "denied",
        Refusal::Failed { .. } => "failed",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_codes_in_order_of_severity() {
        let order = [
            Exit::Done,
            Exit::NotRunning,
            Exit::Failed,
            Exit::UnknownName,
            Exit::Interrupted,
            Exit::NoDaemon,
            Exit::Usage,
        ];
        assert!(order.is_sorted());
        assert_eq!(order.map(Exit::code), [0, 3, 1, 4, 130, 7, 2]);
    }

    #[test]
    fn a_closed_pipe_is_no_failure() {
        let pipe = Failure::from(io::Error::from(io::ErrorKind::BrokenPipe));
        assert_eq!((pipe.exit(), pipe.message()), (Exit::Done, None));
        let disk = Failure::from(io::Error::from(io::ErrorKind::StorageFull));
        assert_eq!(disk.exit(), Exit::Failed);
        assert!(disk.message().is_some());
    }
}
