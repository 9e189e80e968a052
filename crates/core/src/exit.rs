//! How a run ended, and why a start failed.

use crate::signal::Signal;
use crate::spec::ExitSet;
use alloc::string::String;
use core::fmt;
use serde::{Deserialize, Serialize};

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exit {
    /// By exit(2), with this code (0 to 255).
    Code(u8),
    /// By a signal.
    Signal {
        /// Which.
        signal: Signal,
        /// A core was dumped.
        core: bool,
    },
    /// Nobody knows: the status was taken by somebody else.
    Unknown,
}

impl Exit {
    /// True when the set names this end.
    pub fn is_in(self, set: &ExitSet) -> bool {
        match self {
            Exit::Code(c) => set.codes.contains(&c),
            Exit::Signal { signal, .. } => set.signals.contains(&signal),
            Exit::Unknown => false,
        }
    }

    /// The code, or the signal's number negated (as Python has it); `None` when unknown.
    pub fn number(self) -> Option<i32> {
        match self {
            Exit::Code(c) => Some(i32::from(c)),
            Exit::Signal { signal, .. } => Some(-signal.number()),
            Exit::Unknown => None,
        }
    }
}

impl fmt::Display for Exit {
    /// `exit status 1`, `terminated by SIGKILL`, `terminated by SIGSEGV (core dumped)`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Exit::Code(c) => write!(f, "exit status {c}"),
            Exit::Signal { signal, core } => {
                write!(f, "terminated by {signal}{}", if *core { " (core dumped)" } else { "" })
            }
            Exit::Unknown => f.write_str("exit status unknown"),
        }
    }
}

/// The step between the wish to start and the first instruction of the program at which a start
/// failed (habit 7).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[repr(u8)]
#[allow(missing_docs)]
pub enum Stage {
    /// Find the command on the path; parse it.
    Command = 1,
    User = 2,
    EnvFile = 3,
    /// Make the log file or the pipes.
    Output = 4,
    /// Too many open files, no process left, clone refused.
    Fork = 5,
    /// Tell the keeper.
    Report = 6,
    Session = 7,
    Files = 8,
    Cgroup = 9,
    Limits = 10,
    Nice = 11,
    Groups = 12,
    Gid = 13,
    Uid = 14,
    Chdir = 15,
    Privileges = 16,
    Exec = 17,
}

impl Stage {
    /// All of them, in order of their numbers.
    pub const ALL: [Stage; 17] = [
        Stage::Command,
        Stage::User,
        Stage::EnvFile,
        Stage::Output,
        Stage::Fork,
        Stage::Report,
        Stage::Session,
        Stage::Files,
        Stage::Cgroup,
        Stage::Limits,
        Stage::Nice,
        Stage::Groups,
        Stage::Gid,
        Stage::Uid,
        Stage::Chdir,
        Stage::Privileges,
        Stage::Exec,
    ];

    /// The stage with this number, as the child reports it.
    pub fn from_number(n: u8) -> Option<Stage> {
        Stage::ALL.iter().copied().find(|s| *s as u8 == n)
    }
}

/// Why a start failed. `text` is the whole sentence, without the unit's name:
/// `change directory to "/srv/web": No such file or directory`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartError {
    /// Where.
    pub stage: Stage,
    /// The kernel's error number; 0 when it was not the kernel's.
    pub errno: i32,
    /// The sentence.
    pub text: String,
}

impl fmt::Display for StartError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stage_numbers_are_pinned() {
        for (i, s) in Stage::ALL.iter().enumerate() {
            assert_eq!(*s as usize, i + 1);
            assert_eq!(Stage::from_number(*s as u8), Some(*s));
        }
        assert_eq!(Stage::from_number(0), None);
        assert_eq!(Stage::from_number(18), None);
    }
}
