//! The loop: signals and messages in, flags set, messages out.

use crate::complain;
use crate::daemon::{Daemon, Launcher, Next};
use crate::runs::{CAPACITY, Run, Runs};
use crate::strangers::Children;
use crate::waiting::{Waiting, is_stop};
use std::ffi::CString;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use supers_os::Exit;
use supers_os::Mono;
use supers_os::Pid;
use supers_os::keeper_proto::{self, ToDaemon, ToKeeper};
use supers_os::poll::{Epoll, Event, Interest};
use supers_os::signals::{self, SignalFd};
use supers_os::{clock, process, reap, socket};

/// Pause between a SIGCHLD and a look at all children, and so between two such looks.
const SWEEP: Duration = Duration::from_secs(1);
/// The keeper's name in `ps`: not the daemon's, so that `pkill superd` meets only that.
const COMM: &str = "super-keeper";

const SIGNALS: u64 = 1;
const SOCKET: u64 = 2;
const DAEMON: u64 = 3;

/// What the keeper is given.
#[derive(Debug)]
pub struct Setup {
    /// The daemon's words, its name first; its program is our own executable.
    pub argv: Vec<CString>,
    /// The daemon's environment.
    pub env: Vec<CString>,
    /// The writing end of a pipe to a launcher that waits: gets one byte when all is ready, and its end
    /// when we end before. With one, the keeper makes a session of its own.
    pub ready: Option<OwnedFd>,
    /// The lock of this configuration, held by keeper and daemon (there as descriptor 4).
    pub lock: Option<OwnedFd>,
}

/// The keeper at work.
#[derive(Debug)]
pub struct Keeper {
    epoll: Epoll,
    signals: SignalFd,
    launcher: Launcher,
    daemon: Option<Daemon>,
    /// When the next daemon is due.
    start_at: Option<Mono>,
    runs: Runs,
    children: Children,
    /// When all children are to be looked at.
    sweep_at: Option<Mono>,
    /// Signals to pass on.
    waiting: Waiting,
    /// The daemon shall look at its pidfds.
    nudge: bool,
    /// The daemon asked for the list and has not heard its end.
    listing: bool,
    /// Some end may be untold.
    untold: bool,
    /// The code that the daemon named for the end.
    last: Option<i32>,
    /// The daemon asked for a new one.
    again: bool,
    ready: Option<OwnedFd>,
    _lock: Option<OwnedFd>,
}

impl Keeper {
    /// Makes this process the keeper. From then on nothing is allocated.
    ///
    /// # Errors
    /// The kernel refuses what the keeper cannot do without.
    pub fn start(setup: Setup) -> io::Result<Keeper> {
        process::set_comm(COMM)?;
        process::become_subreaper()?;
        let signals = SignalFd::all()?;
        if setup.ready.is_some() {
            // A refusal means that it leads a session or a group already.
            let _ = process::setsid();
        }
        let epoll = Epoll::new()?;
        epoll.add(signals.as_fd(), SIGNALS, Interest::Read)?;
        Ok(Keeper {
            epoll,
            signals,
            launcher: Launcher::new(setup.argv, setup.env, setup.lock.as_ref()),
            daemon: None,
            start_at: Some(now()),
            runs: Runs::new(CAPACITY),
            children: Children::open(),
            sweep_at: None,
            waiting: Waiting::new(),
            nudge: false,
            listing: false,
            untold: false,
            last: None,
            again: false,
            ready: setup.ready,
            _lock: setup.lock,
        })
    }

    /// Keeps until the daemon has said its last word; the exit code.
    pub fn keep(mut self) -> i32 {
        loop {
            if let Some(code) = self.turn() {
                return code;
            }
        }
    }

    /// What is due, what came in, what goes out. A code when that was all.
    fn turn(&mut self) -> Option<i32> {
        if let Some(code) = self.do_what_is_due() {
            return Some(code);
        }
        self.speak();
        let mut events = [Event::default(); 4];
        let n = match self.epoll.wait(&mut events, self.time_left()) {
            Ok(n) => n,
            Err(e) => {
                complain(format_args!("cannot wait for anything: {e}"));
                return Some(1);
            }
        };
        let mut ended = false;
        for event in events.iter().take(n) {
            match event.token() {
                SIGNALS => ended |= self.read_signals(),
                SOCKET => {
                    if event.writable() {
                        self.socket_has_room();
                    }
                    self.hear();
                }
                DAEMON => ended = true,
                _ => {}
            }
        }
        if ended { self.bury_daemon() } else { None }
    }

    fn time_left(&self) -> Option<Duration> {
        let next = [self.sweep_at, self.start_at].into_iter().flatten().min()?;
        Some(next.since(now()))
    }

    fn do_what_is_due(&mut self) -> Option<i32> {
        if self.start_at.is_none() && self.sweep_at.is_none() {
            return None;
        }
        let now = now();
        if self.sweep_at.is_some_and(|at| at <= now) {
            self.sweep_at = None;
            self.sweep();
        }
        if self.start_at.is_some_and(|at| at <= now) {
            self.start_at = None;
            return self.start_daemon(now);
        }
        None
    }

    // ---- the daemon

    fn start_daemon(&mut self, now: Mono) -> Option<i32> {
        self.runs.forget_told();
        (self.listing, self.nudge, self.untold) = (false, false, false);
        let daemon = match self.launcher.start(now) {
            Some(daemon) => daemon,
            None => return self.start_again(Exit::Unknown),
        };
        let added = self.epoll.add(daemon.socket.as_fd(), SOCKET, Interest::Read);
        let added = added.and_then(|()| self.epoll.add(daemon.child.pidfd.as_fd(), DAEMON, Interest::Read));
        if let Err(e) = added {
            // Only for want of memory. Its death is then noticed with the next SIGCHLD.
            complain(format_args!("cannot watch superd: {e}"));
        }
        self.daemon = Some(daemon);
        None
    }

    /// The daemon ended: on purpose, or not.
    fn bury_daemon(&mut self) -> Option<i32> {
        let pid = self.daemon.as_ref()?.child.pid;
        let exit = match reap::reap(pid) {
            Ok(Some(exit)) => exit,
            Ok(None) => return None,
            Err(_) => Exit::Unknown,
        };
        // A child of its that is about to report finds the socket shut, and ends unexecuted; what was
        // said before is heard.
        if let Some(daemon) = &self.daemon {
            let _ = socket::shutdown_read(daemon.socket.as_fd());
        }
        self.hear();
        // Closing takes both descriptors out of the epoll.
        self.daemon = None;
        if let Some(code) = self.last {
            return Some(code);
        }
        if std::mem::take(&mut self.again) {
            return self.start_daemon(now());
        }
        complain(format_args!("superd (pid {}) ended unexpectedly: {exit}", pid.0));
        self.start_again(exit)
    }

    fn start_again(&mut self, exit: Exit) -> Option<i32> {
        self.waiting.daemon_died();
        match self.launcher.patience.after(exit, now(), self.waiting.first().is_some()) {
            Next::At(at) => {
                self.start_at = Some(at);
                None
            }
            Next::GiveUp(code) => {
                complain(format_args!("superd cannot run: giving up"));
                Some(code)
            }
        }
    }

    // ---- what comes in

    /// True when the daemon may have ended.
    fn read_signals(&mut self) -> bool {
        let mut ended = false;
        while let Ok(Some(info)) = self.signals.read() {
            if info.signal.number() == signals::CHILD {
                ended |= self.child_signal(Pid(info.pid));
            } else if self.daemon.is_some() || is_stop(info.signal) {
                self.waiting.add(info.signal, info.pid);
            }
        }
        ended
    }

    /// True when it is the daemon's.
    fn child_signal(&mut self, pid: Pid) -> bool {
        self.sweep_at.get_or_insert_with(|| now() + SWEEP);
        if self.is_daemon(pid) {
            return true;
        }
        if !self.look_at(pid) {
            self.nudge = true;
        }
        false
    }

    fn is_daemon(&self, pid: Pid) -> bool {
        self.daemon.as_ref().is_some_and(|daemon| daemon.child.pid == pid)
    }

    /// Looks whether a child ended. True when that is something to tell the daemon.
    fn look_at(&mut self, pid: Pid) -> bool {
        let Ok(Some(exit)) = reap::peek(pid) else { return false };
        if !self.runs.knows(pid) {
            // Its report may wait in the socket.
            self.hear();
        }
        if self.runs.knows(pid) {
            self.mark_ended(pid);
            return true;
        }
        let _ = reap::reap(pid);
        self.say(&ToDaemon::Stranger { pid: pid.0, exit });
        self.sweep_at.get_or_insert_with(|| now() + SWEEP);
        false
    }

    /// A process that reported itself is a zombie now.
    fn mark_ended(&mut self, pid: Pid) {
        let Some(run) = self.runs.get(pid) else { return };
        run.ended = true;
        if run.settled {
            let _ = reap::reap(pid);
            self.runs.remove(pid);
        } else {
            self.untold = true;
        }
    }

    /// Looks at every child.
    fn sweep(&mut self) {
        let mut at = Pid(0);
        while let Some(run) = self.runs.after(at) {
            at = run.pid;
            if !run.ended && matches!(reap::peek(run.pid), Ok(Some(_))) {
                self.mark_ended(run.pid);
            }
        }
        // Taken out for the walk, in which the keeper does other things.
        let mut children = std::mem::replace(&mut self.children, Children::none());
        children.each(|pid| {
            if !self.is_daemon(pid) && !self.runs.knows(pid) {
                self.look_at(pid);
            }
        });
        self.children = children;
    }

    /// Reads the socket until it is empty.
    fn hear(&mut self) {
        while let Some(daemon) = &self.daemon {
            match keeper_proto::hear_daemon(daemon.socket.as_fd()) {
                Ok(Some(message)) => self.obey(message),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => return,
                Ok(None) | Err(_) => {
                    // Its end is closed: no more words, but it may live on for a while. The pidfd tells.
                    let _ = self.epoll.remove(daemon.socket.as_fd());
                    return;
                }
            }
        }
    }

    fn obey(&mut self, message: ToKeeper) {
        match message {
            ToKeeper::Born { run, pid } => self.born(Pid(pid), run),
            ToKeeper::Ask { pid } => self.asked(Pid(pid)),
            ToKeeper::Ack { pid, run } => self.settle(Pid(pid), run),
            ToKeeper::List => {
                self.runs.unlist();
                self.listing = true;
            }
            ToKeeper::Ready { detach } => self.all_ready(detach),
            ToKeeper::Final { code } => self.last = Some(code.clamp(0, 255)),
            ToKeeper::Again => self.again = true,
        }
    }

    fn born(&mut self, pid: Pid, run: u64) {
        // Not one of our children: nothing that we could ever tell about.
        if reap::peek(pid).is_ok() && !self.runs.add(pid, run) {
            complain(format_args!("more than {CAPACITY} processes: the end of {} is told only once", pid.0));
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
        let Some(run) = self.runs.get(pid).filter(|run| run.run == name) else { return };
        run.settled = true;
        match reap::reap(pid) {
            // It lives: see `mark_ended`.
            Ok(None) => {}
            Ok(Some(_)) | Err(_) => self.runs.remove(pid),
        }
    }

    fn all_ready(&mut self, detach: bool) {
        self.launcher.patience.ever_ready = true;
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
    fn speak(&mut self) {
        while let Some((signal, sender)) = self.waiting.first() {
            if !self.say(&ToDaemon::Signal { signal, sender }) {
                return;
            }
            self.waiting.said(signal);
        }
        while self.listing {
            let next = self.runs.find(|run| run.unlisted);
            let message = match next {
                Some(Run { pid, run, .. }) => ToDaemon::Living { pid: pid.0, run },
                None => ToDaemon::LivingEnd,
            };
            if !self.say(&message) {
                return;
            }
            match next.and_then(|run| self.runs.get(run.pid)) {
                Some(run) => run.unlisted = false,
                None => (self.listing, self.untold) = (false, true),
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
    }

    /// Sends one message. False when it has to wait.
    fn say(&mut self, message: &ToDaemon) -> bool {
        let Some(daemon) = self.daemon.as_mut().filter(|daemon| !daemon.full) else { return false };
        match keeper_proto::tell_daemon(daemon.socket.as_fd(), message) {
            Ok(()) => true,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                daemon.full = true;
                let _ = self.epoll.modify(daemon.socket.as_fd(), SOCKET, Interest::ReadWrite);
                false
            }
            // It is about to be found dead.
            Err(_) => false,
        }
    }

    fn socket_has_room(&mut self) {
        if let Some(daemon) = self.daemon.as_mut().filter(|daemon| daemon.full) {
            daemon.full = false;
            let _ = self.epoll.modify(daemon.socket.as_fd(), SOCKET, Interest::Read);
        }
    }
}

fn now() -> Mono {
    Mono(clock::monotonic_ns())
}
