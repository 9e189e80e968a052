//! What the daemon says, and what it is told.

use crate::daemon::Said;
use crate::keeper::{Keeper, SOCKET, now};
use crate::runs::{self, Run};
use crate::words::complain;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use supers_os::keeper_proto::{self, Letter, MANY, Pile, ToDaemon, ToKeeper, tell_daemon, tell_daemon_fd};
use supers_os::poll::Interest;
use supers_os::{Exit, Pid, process, reap, socket};

/// When more descriptors are under way than may be, this passes before another is sent.
const CROWDED: Duration = Duration::from_millis(10);

impl Keeper {
    /// Reads the socket until it is empty.
    pub(crate) fn hear(&mut self) {
        while let Some(daemon) = &self.daemon {
            match keeper_proto::hear_daemon(daemon.socket.as_fd()) {
                Ok(Some(letter)) => self.obey(letter),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Ok(None) | Err(_) => {
                    // Its end is closed: no more words, but it may live on for a while. The pidfd tells.
                    let _ = self.epoll.remove(daemon.socket.as_fd());
                    self.hung_up = true;
                    return;
                }
            }
        }
    }

    fn obey(&mut self, Letter { word, passenger, gifts }: Letter) {
        match word {
            ToKeeper::Born { run, pid } => {
                self.born(Pid(pid), run);
                for (key, fd) in gifts.into_iter().flatten() {
                    self.store_put(key, Some(fd));
                }
            }
            ToKeeper::Ask { pid } => self.asked(Pid(pid)),
            ToKeeper::Ack { pid, run } => self.settle(Pid(pid), run),
            ToKeeper::List => {
                self.runs.unlist();
                self.listing = true;
            }
            ToKeeper::Ready { detach } => self.all_ready(detach),
            ToKeeper::Final { code } => self.last = Some(code.clamp(0, 255)),
            ToKeeper::Again => self.again = true,
            ToKeeper::Store { key } => self.store_put(key, passenger),
            ToKeeper::Forget { key } => self.store.drop(key),
            ToKeeper::Fetch => self.fetching = Some(0),
            ToKeeper::Inherit => {
                self.look_at_runs();
                self.runs.unlist();
                (self.listing, self.fetching, self.piles) = (true, Some(0), true);
            }
            ToKeeper::Prepare { number } => self.prepare(passenger, number),
            ToKeeper::Pulse { thread } => self.mind(thread),
            // Said by one on standby only.
            ToKeeper::Prepared => {}
            ToKeeper::Upgrade => match passenger {
                Some(binary) => {
                    // Its last word: it touches nothing any more.
                    self.upgrade = Some(binary);
                    self.hung_up = true;
                }
                None => {
                    complain(format_args!("an upgrade without a program: the old one is started again"));
                    (self.again, self.launcher.rolled_back) = (true, true);
                    if let Some(daemon) = &self.daemon {
                        // It waits for its leave to end.
                        let _ = socket::shutdown(daemon.socket.as_fd());
                    }
                }
            },
        }
    }

    fn born(&mut self, pid: Pid, run: u64) {
        // Not one of our children: nothing that we could ever tell about.
        if reap::peek(pid).is_ok() && !self.runs.add(pid, run) {
            complain(format_args!(
                "more than {} processes: the end of {} is told only once",
                runs::CAPACITY,
                pid.0
            ));
        }
    }

    fn asked(&mut self, pid: Pid) {
        let Some(run) = self.runs.get(pid) else { return };
        run.told = false;
        run.unlisted = false;
        if !run.ended && !matches!(reap::peek(pid), Ok(Some(_))) {
            return;
        }
        self.mark_ended(pid);
    }

    fn settle(&mut self, pid: Pid, name: u64) {
        if let Some(run) = self.runs.get(pid).filter(|run| run.run == name) {
            run.settled = true;
            match reap::reap(pid) {
                // It lives: see `mark_ended`.
                Ok(None) => return,
                Ok(Some(_)) | Err(_) => self.runs.remove(pid),
            }
        }
        self.store.drop_run(name);
    }

    pub(crate) fn store_put(&mut self, key: u64, passenger: Option<OwnedFd>) {
        if !self.store.put(key, passenger) && self.store.refused == 1 {
            let held = self.store.all().len();
            complain(format_args!(
                "no room for more than {held} descriptors (`ulimit -Hn`): what is not held is lost when superd dies"
            ));
        }
    }

    fn all_ready(&mut self, detach: bool) {
        self.launcher.patience.is_ready();
        self.launcher.rolled_back = false;
        self.words.clear();
        self.trial_is_over();
        self.let_go_of_departed();
        if let Some(ready) = self.ready.take() {
            // A launcher that did not wait is no error.
            let _ = File::from(ready).write(b"R");
        }
        if detach && let Err(e) = process::detach_stdio() {
            complain(format_args!("cannot let go of the terminal: {e}"));
        }
    }

    // ---- what goes out

    /// Says everything that there is to say, until the socket is full.
    pub(crate) fn speak(&mut self) {
        while let Some((signal, sender)) = self.waiting.first() {
            if !self.say(&ToDaemon::Signal { signal, sender }) {
                return;
            }
            self.waiting.said(signal);
        }
        while self.listing {
            if !self.list_some() {
                return;
            }
        }
        while self.untold {
            let Some(run) = self.runs.find(|run| run.ended && !run.told && !run.unlisted) else {
                self.untold = false;
                break;
            };
            // The zombie is the memory.
            let exit = reap::peek(run.pid).ok().flatten().unwrap_or(Exit::Unknown);
            if !self.say(&ToDaemon::Exit { pid: run.pid.0, run: run.run, exit }) {
                return;
            }
            if let Some(run) = self.runs.get(run.pid) {
                run.told = true;
            }
        }
        if self.nudge && self.say(&ToDaemon::Nudge) {
            self.nudge = false;
        }
        if let Some(standby) = self.prepared
            && self.say(&ToDaemon::Prepared { standby, number: self.asked_for })
        {
            self.prepared = None;
        }
        self.speak_of_held();
    }

    /// Tells of processes, or that these were all. False when that has to wait.
    fn list_some(&mut self) -> bool {
        let mut pile = Pile::living();
        let most = if self.piles { MANY } else { 1 };
        for run in self.runs.all().iter().filter(|run| run.unlisted).take(most) {
            pile.add(run.pid.0, run.run, run.ended);
        }
        let said = match self.runs.find(|run| run.unlisted) {
            Some(_) if self.piles => self.send(|socket| pile.tell(socket, &[])),
            Some(Run { pid, run, .. }) => self.say(&ToDaemon::Living { pid: pid.0, run }),
            None => self.say(&ToDaemon::LivingEnd),
        };
        if said {
            self.runs.list(pile.count());
            if pile.count() == 0 {
                (self.listing, self.untold) = (false, true);
            }
        }
        said
    }

    fn speak_of_held(&mut self) {
        while let (Some(from), None, Some(daemon)) = (self.fetching, self.crowded, &mut self.daemon) {
            let all = self.store.since(from);
            let (said, next) = match all {
                [] => (daemon.say(&self.epoll, |s| tell_daemon(s, &ToDaemon::HeldEnd)), None),
                [held, ..] if !self.piles => {
                    let message = ToDaemon::Held { key: held.key };
                    let said = daemon.say(&self.epoll, |s| tell_daemon_fd(s, &message, held.fd.as_fd()));
                    (said, Some(held.key.saturating_add(1)))
                }
                [first, ..] => {
                    let mut pile = Pile::held();
                    let mut passengers = [first.fd.as_fd(); MANY];
                    let mut last = first.key;
                    for (held, place) in all.iter().zip(&mut passengers) {
                        pile.add(0, held.key, false);
                        (*place, last) = (held.fd.as_fd(), held.key);
                    }
                    let passengers = passengers.get(..pile.count()).unwrap_or_default();
                    (daemon.say(&self.epoll, |s| pile.tell(s, passengers)), Some(last.saturating_add(1)))
                }
            };
            match said {
                Said::Yes => self.fetching = next,
                Said::No => return,
                Said::Crowded => self.crowded = Some(now() + CROWDED),
            }
        }
    }

    /// Sends one message. False when it has to wait.
    pub(crate) fn say(&mut self, message: &ToDaemon) -> bool {
        self.send(|socket| tell_daemon(socket, message))
    }

    fn send(&mut self, send: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>) -> bool {
        let Some(daemon) = &mut self.daemon else { return false };
        daemon.say(&self.epoll, send) == Said::Yes
    }

    pub(crate) fn socket_has_room(&mut self) {
        if let Some(daemon) = self.daemon.as_mut().filter(|daemon| daemon.full) {
            daemon.full = false;
            let _ = self.epoll.modify(daemon.socket.as_fd(), SOCKET, Interest::Read);
        }
    }
}
