//! The keeper: the tiny process that outlives the daemon.
//!
//! *Owns:* the process that the user started, and with it *the* pid. It is the parent of the daemon and
//! of every unit's process (the daemon starts them with CLONE_PARENT), and the sub-reaper of their
//! orphans. It starts the daemon again when that dies; it remembers how each unit's process ended, by
//! leaving it a zombie until the daemon has acknowledged the end; it holds descriptors for the next daemon;
//! it passes signals on as messages; it ends with the code that the daemon names.
//!
//! *Must never:* wait for the daemon (a full socket is written to later), allocate once it
//! has started, kill anything but a daemon on trial or on standby, touch a file of the user's, or know what a unit or a
//! descriptor is. It depends on `os` alone, and has about 1,500 lines of code.
//!
//! *Tested* with real processes (`tests/keeper.rs`): a launcher, a keeper and a scripted daemon in one
//! executable, with an allocator that counts.
//!
//! # How it works
//! One epoll: signals, the daemon's socket, the daemon's pidfd (`keeper`), and before an upgrade the socket of the
//! next program (`standby`).
//! * SIGCHLD carries one process id. That process is looked at with a WNOWAIT wait: no other call is
//!   cheap among thousands of children. A reported one is told to the daemon and stays a zombie, any
//!   other is a stranger and reaped at once. Before something is called a stranger the socket is read
//!   empty: a child reports its birth before it can die, so its report is there.
//! * Signals of the same number merge. So when a SIGCHLD led to no message the daemon is nudged, looks at
//!   its pidfds and asks; and a second after a SIGCHLD all children are looked at once (`strangers`).
//! * Messages are flags first (`runs`): what the socket does not take is said when it has room again.
//! * After a crash the new daemon hears nothing of the earlier one's runs until it asks for the list. A
//!   child that had not reported itself by then finds the socket shut and never executes.
//!
//! # What is held
//! Descriptors come with a message each, under a key (`os::keeper_proto::Key`), into a table of fixed size
//! (`store`). The next daemon asks for them. What belongs to a run goes with its acknowledgement; all else
//! stays until it is replaced or forgotten. A full table refuses, counts, and says so once; some
//! descriptors always stay free for the keeper's own work.
//!
//! # Other programs
//! `upgrade` tries a new program out as the daemon, then becomes it; `handover` is the list that is left to
//! oneself. A daemon that cannot start at all is given up only when none was ever ready and no process of
//! theirs lives: else the keeper goes on trying, at most every ten seconds, and says why in a file
//! (`Setup::last_words`).

#![forbid(unsafe_code)]

mod daemon;
pub mod handover;
mod keeper;
mod mail;
mod runs;
mod standby;
mod store;
mod strangers;
mod upgrade;
mod waiting;
mod words;

pub use keeper::{Keeper, Setup};
pub use upgrade::UPGRADE_WAIT;

/// Keeps; the exit code of the process. Call it from the only thread.
pub fn run(setup: Setup) -> i32 {
    match Keeper::start(setup) {
        Ok(keeper) => keeper.keep(),
        Err(e) => {
            words::complain(format_args!("cannot start: {}", supers_os::error_text(&e)));
            1
        }
    }
}
