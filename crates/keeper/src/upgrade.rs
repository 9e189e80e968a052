//! Another program for daemon and keeper.
//!
//! The daemon names it and ends. The next daemon is that program, on trial: it has a while ([`UPGRADE_WAIT`]) to say
//! that it is ready; mostly it was started before, on standby (`standby`). If it does, the keeper executes the program in its own place (same process, so the
//! same children, with all that it holds and the living daemon); if not, the old program is started again.

use crate::handover::Estate;
use crate::keeper::{Keeper, now};
use crate::words::{Short, complain};
use std::ffi::CStr;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::time::Duration;
use supers_os::{Signal, reap};

/// How long a new program may take until it is ready.
pub const UPGRADE_WAIT: Duration = Duration::from_secs(10);

impl Keeper {
    /// The next daemon is this program.
    pub(crate) fn try_out(&mut self, binary: OwnedFd) -> Option<i32> {
        let now = now();
        self.again = false;
        self.waiting.daemon_left();
        self.launcher.trial = Some(binary);
        self.trial_until = Some(now + self.upgrade_wait);
        self.clean_the_slate();
        if self.promote_standby() {
            return None;
        }
        self.start_daemon(now)
    }

    /// It was silent for too long.
    pub(crate) fn end_trial(&mut self) {
        complain(format_args!("the new superd is not ready in time: it is killed"));
        if let Some(daemon) = &self.daemon {
            // A refusal means that it is dead already.
            let _ = reap::pidfd_signal(&daemon.child.pidfd, Signal::KILL);
        }
    }

    /// It is no good.
    pub(crate) fn roll_back(&mut self) -> Option<i32> {
        complain(format_args!("the new superd does not work: going back to the old one"));
        self.launcher.trial = None;
        self.trial_until = None;
        self.launcher.rolled_back = true;
        self.waiting.daemon_died();
        self.let_go_of_departed();
        self.start_daemon(now())
    }

    /// A daemon is ready. If that is one on trial, its program is the one from now on.
    pub(crate) fn trial_is_over(&mut self) {
        self.trial_until = None;
        if let Some(binary) = self.launcher.trial.take() {
            self.launcher.binary = Some(binary);
            self.succeed = true;
        }
    }

    /// Becomes what the daemon is. If that fails the old keeper goes on, with the new daemon.
    pub(crate) fn become_the_new_program(&mut self) {
        let Some(binary) = self.launcher.binary.as_ref().filter(|_| self.launcher.trial.is_none()) else {
            return;
        };
        let path = Short::<40>::of(format_args!("/proc/self/fd/{}\0", binary.as_raw_fd()));
        let Ok(path) = CStr::from_bytes_with_nul(path.bytes()) else { return };
        let estate = Estate {
            runs: self.runs.all(),
            held: self.store.all(),
            waiting: &self.waiting,
            starts: self.launcher.starts,
            ever_ready: true,
            daemon: self.daemon.as_ref(),
            lock: self.lock.as_ref().map(AsFd::as_fd),
            ready: self.ready.as_ref().map(AsFd::as_fd),
            words: self.words.fd(),
            before: self.before,
            listing: self.listing,
            fetching: self.fetching,
            last: self.last,
            again: self.again,
            upgrade: self.upgrade.as_ref().map(AsFd::as_fd),
        };
        let error = self.heir.become_program(path, &estate);
        // The number: its words would be allocated.
        let errno = error.raw_os_error().unwrap_or(0);
        complain(format_args!("cannot become the new program (error {errno}): the keeper stays what it was"));
    }
}
