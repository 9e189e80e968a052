//! The loop: signals and messages in, flags set, messages out.

use crate::daemon::{Before, Daemon, Launcher, Next, protect, raise_files};
use crate::handover::{Heir, Inherited};
use crate::runs::{self, Runs};
use crate::standby::Standby;
use crate::store::{self, Store};
use crate::strangers::Children;
use crate::waiting::{Waiting, is_stop};
use crate::words::{LastWords, complain};
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use supers_os::keeper_proto::{Standby as Became, ToDaemon};
use supers_os::poll::{Epoll, Event, Interest};
use supers_os::signals::{self, SignalFd};
use supers_os::{Exit, Mono, Pid, clock, process, reap, socket};

/// Pause between a SIGCHLD and a look at all children, and so between two such looks.
const SWEEP: Duration = Duration::from_secs(1);
/// The keeper's name in `ps`: not the daemon's, so that `pkill superd` meets only that.
const COMM: &str = "super-keeper";

const SIGNALS: u64 = 1;
pub(crate) const SOCKET: u64 = 2;
pub(crate) const DAEMON: u64 = 3;
pub(crate) const STANDBY: u64 = 4;
pub(crate) const PULSE: u64 = 5;

/// What the keeper is given.
#[derive(Debug, Default)]
pub struct Setup {
    /// The daemon's words, its name first; its program is our own executable.
    pub argv: Vec<CString>,
    /// The daemon's environment.
    pub env: Vec<CString>,
    /// The keeper's own words and environment, with which it executes a newer program.
    pub own: (Vec<CString>, Vec<CString>),
    /// The writing end of a pipe to a launcher that waits: gets one byte when all is ready, and its end
    /// when we end before. With one, the keeper makes a session of its own.
    pub ready: Option<OwnedFd>,
    /// The lock of this configuration, held by keeper and daemon (there as descriptor 4).
    pub lock: Option<OwnedFd>,
    /// A file in which to say why there is no daemon. Nobody else writes there.
    pub last_words: Option<OwnedFd>,
    /// What an earlier program left ([`crate::handover::inherit`]); its descriptors go before those above.
    pub inherited: Option<Inherited>,
    /// How long a new program may take until it is ready; `None` is [`crate::UPGRADE_WAIT`].
    pub upgrade_wait: Option<Duration>,
}

/// A daemon that has been replaced, and is not reaped yet.
#[derive(Debug)]
pub(crate) struct Departed {
    pid: Pid,
    /// That was arranged: it waits for the end of this socket before it ends. To clear away what it has takes the
    /// kernel milliseconds of a core, which the next daemon needs until it is ready.
    waits: Option<OwnedFd>,
    arranged: bool,
}

/// The keeper at work.
#[derive(Debug)]
pub struct Keeper {
    pub(crate) epoll: Epoll,
    signals: SignalFd,
    pub(crate) launcher: Launcher,
    pub(crate) daemon: Option<Daemon>,
    /// When the next daemon is due.
    pub(crate) start_at: Option<Mono>,
    pub(crate) runs: Runs,
    pub(crate) store: Store,
    children: Children,
    /// When all children are to be looked at.
    sweep_at: Option<Mono>,
    /// Signals to pass on.
    pub(crate) waiting: Waiting,
    /// The daemon shall look at its pidfds.
    pub(crate) nudge: bool,
    /// The daemon asked for the list and has not heard its end.
    pub(crate) listing: bool,
    /// Some end may be untold.
    pub(crate) untold: bool,
    /// The daemon asked what is held, and has heard of all below this key.
    pub(crate) fetching: Option<u64>,
    /// It hears of many at once.
    pub(crate) piles: bool,
    /// The daemon has closed its end of the socket, or says nothing more.
    pub(crate) hung_up: bool,
    /// The next program, before an upgrade.
    pub(crate) standby: Option<Standby>,
    /// The daemon is to hear what became of that.
    pub(crate) prepared: Option<Became>,
    /// The number of its question.
    pub(crate) asked_for: u64,
    pub(crate) departed: Option<Departed>,
    /// Until then no passenger finds room.
    pub(crate) crowded: Option<Mono>,
    /// The code that the daemon named for the end.
    pub(crate) last: Option<i32>,
    /// The daemon asked for a new one.
    pub(crate) again: bool,
    /// The daemon asked for this program as the next one.
    pub(crate) upgrade: Option<OwnedFd>,
    /// When a daemon on trial has been silent for too long.
    pub(crate) trial_until: Option<Mono>,
    pub(crate) upgrade_wait: Duration,
    /// The daemon's program is ready, and the keeper is to become it too.
    pub(crate) succeed: bool,
    pub(crate) heir: Heir,
    pub(crate) before: Before,
    pub(crate) ready: Option<OwnedFd>,
    pub(crate) words: LastWords,
    pub(crate) lock: Option<OwnedFd>,
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
        let (soft, files) = raise_files();
        let inherited = setup.inherited;
        let takes_over = inherited.is_some();
        let old = inherited.unwrap_or_default();
        let before = Before { files: old.before.files.or(soft), oom: protect() };
        // Who takes over from a keeper reads that one's own value.
        let before = if old.before.oom.is_some() { Before { oom: old.before.oom, ..before } } else { before };
        let lock = old.lock.or(setup.lock);
        let mut launcher = Launcher::new(setup.argv, setup.env, lock.as_ref(), before);
        launcher.starts = old.starts;
        launcher.patience.ever_ready = old.ever_ready;
        let mut keeper = Keeper {
            epoll,
            signals,
            launcher,
            daemon: None,
            start_at: Some(now()),
            runs: Runs::new(runs::CAPACITY),
            store: Store::new(store::CAPACITY, files),
            children: Children::open(),
            // What a signal told to the earlier program may be lost.
            sweep_at: takes_over.then(now),
            waiting: old.waiting,
            nudge: takes_over,
            listing: old.listing,
            untold: takes_over,
            fetching: old.fetching,
            piles: false,
            hung_up: false,
            standby: None,
            prepared: None,
            asked_for: 0,
            departed: None,
            crowded: None,
            last: old.last,
            again: old.again,
            upgrade: old.upgrade,
            trial_until: None,
            upgrade_wait: setup.upgrade_wait.unwrap_or(crate::UPGRADE_WAIT),
            succeed: false,
            heir: Heir::new(setup.own.0, setup.own.1),
            before,
            ready: old.ready.or(setup.ready),
            words: LastWords::new(old.words.or(setup.last_words)),
            lock,
        };
        for run in old.runs {
            keeper.runs.put(run);
        }
        for held in old.held {
            keeper.store_put(held.key, Some(held.fd));
        }
        if let Some(daemon) = old.daemon {
            keeper.start_at = None;
            keeper.watch(daemon);
        }
        Ok(keeper)
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
        let mut events = [Event::default(); 5];
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
                STANDBY => self.hear_standby(),
                PULSE => self.start_ahead(),
                _ => {}
            }
        }
        let before = self.daemon_pid().filter(|_| std::mem::take(&mut self.hung_up));
        if ended && let Some(code) = self.bury_daemon() {
            return Some(code);
        }
        // One that was only stopped or continued is there still, and may have said its last word.
        before.filter(|_| before == self.daemon_pid()).and_then(|_| self.replace_early())
    }

    fn daemon_pid(&self) -> Option<Pid> {
        Some(self.daemon.as_ref()?.child.pid)
    }

    fn time_left(&self) -> Option<Duration> {
        if self.hung_up || self.may_succeed() {
            return Some(Duration::ZERO);
        }
        let times = [self.sweep_at, self.start_at, self.crowded, self.trial_until];
        Some(times.into_iter().flatten().min()?.since(now()))
    }

    /// It is to become the new program, and there is nothing that this would not know, or not say any more.
    fn may_succeed(&self) -> bool {
        let busy = self.departed.is_some() || self.standby.is_some() || self.launcher.trial.is_some();
        self.succeed && !busy && self.prepared.is_none()
    }

    fn do_what_is_due(&mut self) -> Option<i32> {
        // The next program would not know who these were.
        if self.may_succeed() {
            self.succeed = false;
            self.become_the_new_program();
        }
        // An idle keeper asks for no time.
        self.time_left()?;
        let now = now();
        let due = |at: &mut Option<Mono>| at.take_if(|at| *at <= now).is_some();
        if due(&mut self.sweep_at) {
            self.sweep();
        }
        due(&mut self.crowded);
        if due(&mut self.trial_until) {
            self.end_trial();
        }
        if due(&mut self.start_at) { self.start_daemon(now) } else { None }
    }

    // ---- the daemon

    /// The next daemon has heard nothing.
    pub(crate) fn clean_the_slate(&mut self) {
        self.runs.forget_told();
        (self.listing, self.nudge, self.untold) = (false, false, false);
        (self.fetching, self.crowded, self.prepared) = (None, None, None);
        (self.piles, self.hung_up) = (false, false);
    }

    pub(crate) fn start_daemon(&mut self, now: Mono) -> Option<i32> {
        self.clean_the_slate();
        if self.promote_ahead() {
            return None;
        }
        self.dismiss_standby();
        // Nobody asked this one.
        self.prepared = None;
        match self.launcher.start(now) {
            Some(daemon) => {
                self.watch(daemon);
                None
            }
            None if self.launcher.trial.is_some() => self.roll_back(),
            None => self.start_again(Exit::Unknown),
        }
    }

    fn watch(&mut self, daemon: Daemon) {
        let added = self.epoll.add(daemon.socket.as_fd(), SOCKET, Interest::Read);
        let added = added.and_then(|()| self.epoll.add(daemon.child.pidfd.as_fd(), DAEMON, Interest::Read));
        if let Err(e) = added {
            // Only for want of memory. Its death is then noticed with the next SIGCHLD.
            complain(format_args!("cannot watch superd: {e}"));
        }
        self.daemon = Some(daemon);
    }

    /// The daemon has said its last word, or its end of the socket is closed because it dies. The next one need not
    /// wait until the kernel has cleared everything of it away, which takes milliseconds with thousands of
    /// descriptors: none of its code does anything any more.
    fn replace_early(&mut self) -> Option<i32> {
        let arranged = self.upgrade.is_some();
        let pid = self.daemon.as_ref()?.child.pid;
        let sudden = || self.launcher.patience.is_calm(now()) && process::is_exiting(pid.0);
        let is_last = self.last.is_some() || self.again || self.launcher.trial.is_some();
        if is_last || self.departed.is_some() || !(arranged || sudden()) {
            if let (true, Some(daemon)) = (arranged, &self.daemon) {
                // It may end.
                let _ = socket::shutdown(daemon.socket.as_fd());
            }
            return None;
        }
        // As for one that has ended: a child of its that is about to report finds the socket shut.
        self.hear_the_rest();
        self.hung_up = false;
        let waits = self.daemon.take().map(|daemon| daemon.socket).filter(|_| arranged);
        if let Some(socket) = &waits {
            // It may be out already.
            let _ = self.epoll.remove(socket.as_fd());
        }
        self.departed = Some(Departed { pid, waits, arranged });
        self.look_again();
        match self.upgrade.take() {
            Some(binary) => self.try_out(binary),
            None => self.start_again(Exit::Unknown),
        }
    }

    /// The daemon that has been replaced may end.
    pub(crate) fn let_go_of_departed(&mut self) {
        if let Some(departed) = &mut self.departed {
            departed.waits = None;
        }
    }

    /// Reaps a daemon that has been replaced already.
    fn reap_departed(&mut self) {
        let Some(Departed { pid, arranged, .. }) = self.departed else { return };
        let exit = match reap::reap(pid) {
            Ok(Some(exit)) => exit,
            Ok(None) => return,
            Err(_) => Exit::Unknown,
        };
        self.departed = None;
        if !(arranged && exit == Exit::Code(0)) {
            complain(format_args!("superd (pid {}) ended unexpectedly: {exit}", pid.0));
        }
    }

    /// The daemon ended: on purpose, or not.
    fn bury_daemon(&mut self) -> Option<i32> {
        let pid = self.daemon.as_ref()?.child.pid;
        let exit = match reap::reap(pid) {
            Ok(Some(exit)) => exit,
            Ok(None) => return None,
            Err(_) => Exit::Unknown,
        };
        self.hear_the_rest();
        // Closing takes both descriptors out of the epoll.
        self.daemon = None;
        if let Some(code) = self.last {
            return Some(code);
        }
        if let Some(binary) = self.upgrade.take_if(|_| exit == Exit::Code(0)) {
            return self.try_out(binary);
        }
        if std::mem::take(&mut self.again) {
            self.waiting.daemon_left();
            return self.start_daemon(now());
        }
        complain(format_args!("superd (pid {}) ended unexpectedly: {exit}", pid.0));
        if self.upgrade.take().is_some() {
            self.launcher.rolled_back = true;
        }
        if self.launcher.trial.is_some() { self.roll_back() } else { self.start_again(exit) }
    }

    /// What the daemon said before it ended. A child of its that is about to report finds the socket shut, and ends
    /// unexecuted.
    fn hear_the_rest(&mut self) {
        if let Some(daemon) = &self.daemon {
            let _ = socket::shutdown_read(daemon.socket.as_fd());
        }
        self.hear();
    }

    fn start_again(&mut self, exit: Exit) -> Option<i32> {
        self.waiting.daemon_died();
        let living = self.runs.find(|run| !run.ended).is_some();
        let stop = self.waiting.first().is_some();
        match self.launcher.patience.after(exit, now(), stop, living) {
            Next::At(at) => {
                if let Some(times) = self.launcher.patience.is_tried() {
                    let pause = self.launcher.patience.pause().as_secs_f32();
                    // The file first: who has heard the sentence may look there.
                    let text = format_args!(
                        "superd cannot run: it ended {times} times in a row, now with {exit}; what it started \
                         goes on, the next try is in {pause:.1} s"
                    );
                    self.words.write(text);
                    complain(text);
                }
                self.start_at = Some(at);
                None
            }
            Next::GiveUp(code) => {
                complain(format_args!("superd cannot run: giving up"));
                self.words.write(format_args!("superd cannot run: {exit}; the keeper has given up"));
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
        self.look_again();
        if self.is_daemon(pid) {
            return true;
        }
        if self.is_departed(pid) {
            self.reap_departed();
            return false;
        }
        if self.is_standby(pid) {
            self.reap_standby();
            return false;
        }
        if !self.look_at(pid) {
            self.nudge = true;
        }
        false
    }

    fn is_daemon(&self, pid: Pid) -> bool {
        self.daemon_pid() == Some(pid)
    }

    fn is_departed(&self, pid: Pid) -> bool {
        self.departed.as_ref().is_some_and(|departed| departed.pid == pid)
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
        self.look_again();
        false
    }

    /// A process that reported itself is a zombie now.
    pub(crate) fn mark_ended(&mut self, pid: Pid) {
        let Some(run) = self.runs.get(pid) else { return };
        run.ended = true;
        if run.settled {
            let name = run.run;
            let _ = reap::reap(pid);
            self.runs.remove(pid);
            self.store.drop_run(name);
        } else {
            self.untold = true;
        }
    }

    /// Looks which processes have ended.
    pub(crate) fn look_at_runs(&mut self) {
        self.reap_departed();
        self.reap_standby();
        if !reap::is_any_ended() {
            return;
        }
        let mut at = Pid(0);
        while let Some(run) = self.runs.after(at) {
            at = run.pid;
            if !run.ended && matches!(reap::peek(run.pid), Ok(Some(_))) {
                self.mark_ended(run.pid);
            }
        }
    }

    /// All children are to be looked at soon.
    pub(crate) fn look_again(&mut self) {
        self.sweep_at.get_or_insert_with(|| now() + SWEEP);
    }

    /// Looks at every child.
    fn sweep(&mut self) {
        self.look_at_runs();
        // Taken out for the walk, in which the keeper does other things.
        let mut children = std::mem::replace(&mut self.children, Children::none());
        children.each(|pid| {
            let ours = self.is_daemon(pid) || self.is_departed(pid) || self.is_standby(pid);
            if !ours && !self.runs.knows(pid) {
                self.look_at(pid);
            }
        });
        self.children = children;
    }
}

pub(crate) fn now() -> Mono {
    Mono(clock::monotonic_ns())
}
