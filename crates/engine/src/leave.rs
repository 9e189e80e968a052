//! Leaving everything as it is to the next daemon: for another program (an upgrade), or since the keeper was
//! killed and this process has to take its place.

use crate::engine::{Ended, Engine};
use crate::failpoint::hit;
use crate::store::Leaving;
use std::fmt;
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use supers_core::exit::{Stage, StartError};
use supers_core::ids::RunId;
use supers_core::time::Mono;
use supers_os::keeper_proto::{self, Key};

/// A start that is under way has this long to be through.
const PATIENCE: Duration = Duration::from_secs(2);

/// A child found its keeper gone before it executed anything: it is as if it had not been started, which the next
/// daemon does. That of the keeper is told in a moment, or was.
pub(crate) fn is_moot(error: &StartError) -> bool {
    error.stage == Stage::Report && keeper_proto::is_gone(&io::Error::from_raw_os_error(error.errno))
}

/// Why the engine is about to leave.
pub(crate) enum Leave {
    /// The keeper is gone.
    Orphaned,
    /// This program is to be the daemon.
    Upgrade(OwnedFd),
}

/// Everything is written down for another program.
pub struct Upgrade {
    /// That program.
    pub binary: OwnedFd,
    /// No thread of this process does anything any more.
    pub quiet: bool,
    engine: ManuallyDrop<Box<Engine>>,
}

impl Upgrade {
    /// The keeper died before it took the program: as if that had never been asked for.
    pub fn orphaned(mut self) -> Ended {
        self.engine.leave = Some(Leave::Orphaned);
        self.engine.store.leave(Leaving::KeeperLost);
        self.engine.commit();
        self.engine.orphaned()
    }
}

impl fmt::Debug for Upgrade {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Upgrade")
            .field("binary", &self.binary)
            .field("quiet", &self.quiet)
            .finish_non_exhaustive()
    }
}

impl Engine {
    /// From now on nothing is begun; the engine ends as soon as no start is under way and the doors have handed
    /// over what they have.
    pub(crate) fn leave(&mut self, why: Leave) {
        self.leave_by = Some(self.now.mono + PATIENCE);
        self.leave = Some(why);
        self.leaving.notify_one();
        hit("leave.asked");
    }

    pub(crate) fn may_leave(&self) -> bool {
        let late = || self.leave_by.is_some_and(|by| by <= self.now.mono);
        self.leave.is_some() && (self.requested == 0 && self.doors_quiet || late())
    }

    pub(crate) fn leave_deadline(&self) -> Option<Mono> {
        self.leave_by
    }

    /// Writes everything down and lets go of it.
    pub(crate) fn left(mut self) -> Ended {
        self.store.leave(match &self.leave {
            Some(Leave::Upgrade(_)) => Leaving::Upgrade,
            Some(Leave::Orphaned) | None => Leaving::KeeperLost,
        });
        hit("leave.begin");
        // How they ended is known, and may not be known to the next.
        let ended = self.runs.values().filter(|run| run.exit.is_some());
        ended.for_each(|run| self.store.touch(run.unit));
        // While it is known why it leaves: starts are written down, and not asked for.
        self.commit();
        hit("leave.committed");
        self.history.flush(&self.notices);
        self.webhooks.stop();
        self.journal.flush();
        // A sweep under way would meet the next run, a log that is stuck its lines.
        let quiet = self.logs.leave() && self.requested == 0 && self.contain.is_idle();
        hit("leave.done");
        match self.leave.take() {
            Some(Leave::Orphaned) | None => ManuallyDrop::new(self).orphaned(),
            // This process ends soon, and somebody waits for an answer: nothing is cleared away.
            Some(Leave::Upgrade(binary)) => {
                Ended::Upgrade(Upgrade { binary, quiet, engine: ManuallyDrop::new(Box::new(self)) })
            }
        }
    }

    /// Everything goes on while this process becomes the keeper. Whoever calls this never drops the engine: with it the
    /// names of sockets would go, and their descriptors are held on.
    fn orphaned(&self) -> Ended {
        Ended::Orphaned(self.legacy())
    }

    /// Copies of all that a keeper has to hold.
    fn legacy(&self) -> Vec<(u64, OwnedFd)> {
        let mut legacy: Vec<(Key, std::io::Result<OwnedFd>)> = self.holder.sockets();
        for streams in self.logs.all_streams() {
            for (name, fd) in streams.fifo_fds() {
                legacy.push((Key::fifo(name.as_bytes()), fd.try_clone_to_owned()));
            }
        }
        let stdin =
            |(run, fd): (RunId, std::os::fd::BorrowedFd<'_>)| (Key::run(run.0), fd.try_clone_to_owned());
        legacy.extend(self.bus.inputs().map(stdin));
        legacy.extend(self.store.fd().map(|fd| (Key::RECORDS, fd.as_fd().try_clone_to_owned())));
        // Out of descriptors: the rest is found by its name, if it has one.
        legacy.into_iter().filter_map(|(key, fd)| Some((key.0, fd.ok()?))).collect()
    }
}
