//! The next program, started while the present daemon still answers.
//!
//! Before an upgrade the daemon names the program ([`ToKeeper::Prepare`]). The keeper starts it beside the daemon; it
//! looks at the records and waits. When the daemon has gone it gets its Hello in place of a new process, and
//! most of what takes time is done. When the daemon is killed the next one is started in the same way, as soon as that
//! is known ([`ToKeeper::Pulse`]). A program that ends on standby is no good, which is known before anything was given
//! up for it. When there can be none on standby the program is started as usual.

use crate::daemon::Daemon;
use crate::keeper::{DAEMON, Keeper, PULSE, SOCKET, STANDBY, now};
use crate::words::complain;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use supers_os::keeper_proto::{self, Key, Standby as Became, ToKeeper};
use supers_os::poll::Interest;
use supers_os::{Exit, Pid, Signal, process, reap};

/// A daemon on standby.
#[derive(Debug)]
pub(crate) struct Standby {
    daemon: Daemon,
    phase: Phase,
    /// It was started since the present daemon is dying, and nobody asked for it.
    ahead: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    Preparing,
    Prepared,
    /// It was killed, and is not reaped yet.
    Dismissed,
    /// It ends by itself.
    Lost,
}

impl Keeper {
    /// The daemon wants this program on standby, or none any more.
    pub(crate) fn prepare(&mut self, binary: Option<OwnedFd>, number: u64) {
        self.asked_for = number;
        if binary.is_none() || self.standby.as_ref().is_some_and(|standby| standby.ahead) {
            self.dismiss_standby();
        }
        let busy = self.standby.is_some() || self.succeed || self.launcher.trial.is_some();
        let records = self.store.get(Key::RECORDS.0);
        let started = binary
            .filter(|_| !busy)
            .and_then(|binary| self.launcher.stand_by(&binary, records.map(|held| held.fd.as_fd())));
        let Some(daemon) = started else {
            self.prepared = Some(Became::None);
            return;
        };
        self.watch_standby(daemon, false);
    }

    fn watch_standby(&mut self, daemon: Daemon, ahead: bool) {
        if let Err(e) = self.epoll.add(daemon.socket.as_fd(), STANDBY, Interest::Read) {
            complain(format_args!("cannot watch superd on standby: {e}"));
        }
        self.standby = Some(Standby { daemon, phase: Phase::Preparing, ahead });
    }

    /// A thread of the daemon that lives as long as that.
    pub(crate) fn mind(&mut self, thread: i32) {
        let Some(daemon) = &mut self.daemon else { return };
        // A kernel that cannot tell: the next daemon is started when this one has let go of its socket.
        let Ok(pulse) = reap::pidfd_of_thread(thread) else { return };
        let Some(place) = daemon.pulses.iter_mut().find(|place| place.is_none()) else { return };
        if self.epoll.add(pulse.as_fd(), PULSE, Interest::ReadOnce).is_ok() {
            *place = Some(pulse);
        }
    }

    /// Such a thread has ended. If the daemon was killed the next one need not wait until all its descriptors are
    /// closed: it begins, looks at the records, and gets its Hello then. Until then something of the daemon may still
    /// be writing.
    pub(crate) fn start_ahead(&mut self) {
        // It may have said that this is its end.
        self.hear();
        let Some(pid) = self.daemon.as_ref().map(|daemon| daemon.child.pid) else { return };
        let is_last =
            self.last.is_some() || self.again || self.upgrade.is_some() || self.launcher.trial.is_some();
        let busy = self.standby.is_some() || self.departed.is_some() || self.start_at.is_some();
        if is_last || busy || !self.launcher.patience.is_calm(now()) || !process::is_dying(pid.0) {
            return;
        }
        let records = self.store.get(Key::RECORDS.0);
        if let Some(next) = self.launcher.start_ahead(records.map(|held| held.fd.as_fd())) {
            self.watch_standby(next, true);
        }
    }

    /// What it says.
    pub(crate) fn hear_standby(&mut self) {
        while let Some(standby) = &mut self.standby {
            match keeper_proto::hear_daemon(standby.daemon.socket.as_fd()) {
                Ok(Some(letter))
                    if letter.word == ToKeeper::Prepared && standby.phase == Phase::Preparing =>
                {
                    standby.phase = Phase::Prepared;
                    if !standby.ahead {
                        self.prepared = Some(Became::Prepared);
                    }
                }
                // It is not the daemon: nothing else is for it to say.
                Ok(Some(_)) => {}
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Ok(None) | Err(_) => return self.part_with_standby(Phase::Lost),
            }
        }
    }

    /// It is not needed.
    pub(crate) fn dismiss_standby(&mut self) {
        self.part_with_standby(Phase::Dismissed);
    }

    fn part_with_standby(&mut self, phase: Phase) {
        let here = |standby: &&mut Standby| matches!(standby.phase, Phase::Preparing | Phase::Prepared);
        let Some(standby) = self.standby.as_mut().filter(here) else { return };
        if standby.phase == Phase::Preparing && !standby.ahead {
            self.prepared = Some(Became::Ended);
        }
        standby.phase = phase;
        // A refusal of either means that it is done already.
        let _ = self.epoll.remove(standby.daemon.socket.as_fd());
        let _ = reap::pidfd_signal(&standby.daemon.child.pidfd, Signal::KILL);
        self.look_again();
    }

    pub(crate) fn is_standby(&self, pid: Pid) -> bool {
        self.standby.as_ref().is_some_and(|standby| standby.daemon.child.pid == pid)
    }

    /// Reaps it when it has ended.
    pub(crate) fn reap_standby(&mut self) {
        let Some(Standby { daemon, phase, ahead }) = &self.standby else { return };
        let (pid, phase, ahead) = (daemon.child.pid, *phase, *ahead);
        let exit = match reap::reap(pid) {
            Ok(Some(exit)) => exit,
            Ok(None) => return,
            Err(_) => Exit::Unknown,
        };
        if phase != Phase::Dismissed {
            complain(format_args!("superd on standby (pid {}) ended unexpectedly: {exit}", pid.0));
        }
        if phase == Phase::Preparing && !ahead {
            self.prepared = Some(Became::Ended);
        }
        self.standby = None;
    }

    /// The one on standby becomes the daemon. False when there is none that could.
    pub(crate) fn promote_standby(&mut self) -> bool {
        self.promote(|standby| standby.phase == Phase::Prepared && !standby.ahead)
    }

    /// The same for one that was started ahead; it reads its Hello when it has looked at the records.
    pub(crate) fn promote_ahead(&mut self) -> bool {
        self.promote(|standby| matches!(standby.phase, Phase::Preparing | Phase::Prepared) && standby.ahead)
    }

    fn promote(&mut self, which: impl Fn(&Standby) -> bool) -> bool {
        let Some(Standby { daemon, ahead, .. }) = self.standby.take_if(|standby| which(standby)) else {
            return false;
        };
        let said = self.launcher.promote(&daemon, now());
        let socket = said.and_then(|()| self.epoll.modify(daemon.socket.as_fd(), SOCKET, Interest::Read));
        let watched =
            socket.and_then(|()| self.epoll.add(daemon.child.pidfd.as_fd(), DAEMON, Interest::Read));
        if watched.is_ok() {
            self.daemon = Some(daemon);
            return true;
        }
        self.standby = Some(Standby { daemon, phase: Phase::Prepared, ahead });
        self.dismiss_standby();
        false
    }
}
