//! The keeper: the tiny process that outlives the daemon.
//!
//! *Owns:* the process that the user started, and with it *the* pid. It is the parent of the daemon and
//! of every unit's process (the daemon starts them with CLONE_PARENT), and the sub-reaper of their
//! orphans. It starts the daemon again when that dies; it remembers how each unit's process ended, by
//! leaving it a zombie until the daemon has acknowledged the end; it passes signals on as messages; it
//! ends with the code that the daemon names.
//!
//! *Must never:* wait for the daemon (a full socket is written to later), allocate once it
//! has started, kill anything, touch a file of the user's, or know what a unit is. It depends on `os`
//! alone, and has fewer than 1,000 lines.
//!
//! *Tested* with real processes (`tests/keeper.rs`): a launcher, a keeper and a scripted daemon in one
//! executable, with an allocator that counts.
//!
//! # How it works
//! One epoll over three descriptors: signals, the daemon's socket, the daemon's pidfd (`keeper`).
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
//! # Room for more
//! Descriptors and records to be kept for the daemon arrive as messages with SCM_RIGHTS (kinds 32 and
//! up, `os::socket::recv_fds`) into a table of fixed size beside `runs`; the next daemon gets them
//! after its Hello. A keeper that executes a new binary hands all of it to itself the same way: its state
//! is that table, `runs`, and a few numbers.

#![forbid(unsafe_code)]

mod daemon;
mod keeper;
mod runs;
mod strangers;
mod waiting;

pub use keeper::{Keeper, Setup};

/// Keeps; the exit code of the process. Call it from the only thread.
pub fn run(setup: Setup) -> i32 {
    match Keeper::start(setup) {
        Ok(keeper) => keeper.keep(),
        Err(e) => {
            complain(format_args!("cannot start: {}", supers_os::error_text(&e)));
            1
        }
    }
}

/// A sentence on standard error, if that takes it without waiting. Allocates nothing.
fn complain(text: std::fmt::Arguments<'_>) {
    use std::io::Write;
    use std::os::fd::AsFd;
    let mut stderr = std::io::stderr();
    if let Ok(true) = supers_os::poll::wait_writable(stderr.as_fd(), Some(std::time::Duration::ZERO)) {
        // Nobody is left to be told of an error here.
        let _ = writeln!(stderr, "super-keeper: {text}");
    }
}
