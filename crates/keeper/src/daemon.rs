//! Starting the daemon, and when to start it again.

use crate::words::complain;
use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;
use supers_os::keeper_proto::{self, ToDaemon};
use supers_os::poll::{Epoll, Interest};
use supers_os::spawn::{Child, Failure, Method, Plan, Prepared};
use supers_os::{Exit, Limit, Mono, Resource, pipe, process, socket};

/// A daemon that ends within this time "died fast".
const FAST: Duration = Duration::from_secs(5);
/// The same for one that was ready.
const FAST_READY: Duration = Duration::from_secs(1);
/// So many fast deaths in a row, and none was ever ready: it cannot start at all.
const FAST_DEATHS: u32 = 5;
/// So many fast deaths in a row cost no pause, but one.
const FREE_DEATHS: u32 = 2;
/// The same for daemons that were ready: somebody may be killing them.
const FREE_READY: u32 = 10;
/// The first pause; doubled with each further death.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Where the daemon finds its end of the socket: the first extra descriptor.
const SOCKET_PLACE: RawFd = 3;
/// This very executable, whatever has become of its file.
pub(crate) const OWN_PROGRAM: &CStr = c"/proc/self/exe";
/// The one in [`keeper_proto::BINARY_PLACE`].
const OTHER_PROGRAM: &CStr = c"/proc/self/fd/5";

/// A daemon that runs.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub child: Child,
    pub socket: OwnedFd,
    /// Threads of it that live as long as it does.
    pub pulses: [Option<OwnedFd>; 2],
    /// The socket was full; nothing is sent until it has room.
    pub full: bool,
}

/// What became of a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Said {
    Yes,
    /// It has to wait; or the daemon is about to be found dead.
    No,
    /// It has to wait until passengers have arrived, of which the socket does not tell.
    Crowded,
}

impl Daemon {
    /// Sends one message; `send` does it.
    pub(crate) fn say(&mut self, epoll: &Epoll, send: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>) -> Said {
        if self.full {
            return Said::No;
        }
        match send(self.socket.as_fd()) {
            Ok(()) => Said::Yes,
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                self.full = true;
                let _ = epoll.modify(self.socket.as_fd(), crate::keeper::SOCKET, Interest::ReadWrite);
                Said::No
            }
            Err(e) if keeper_proto::is_crowded(&e) => Said::Crowded,
            Err(_) => Said::No,
        }
    }
}

/// What daemons get that the keeper itself has not: what it had before it became the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
pub(crate) struct Before {
    /// Soft limit of open files.
    pub files: Option<u64>,
    /// oom_score_adj, when it has one to give back.
    pub oom: Option<i32>,
}

/// How to start daemons.
#[derive(Debug)]
pub(crate) struct Launcher {
    plan: &'static Plan,
    own: Prepared<'static>,
    other: Prepared<'static>,
    /// The daemon's program, when it is another than our own.
    pub binary: Option<OwnedFd>,
    /// The one that is on trial, in place of either.
    pub trial: Option<OwnedFd>,
    /// To be told to the next daemon.
    pub rolled_back: bool,
    /// Number of starts.
    pub starts: u32,
    /// The rule.
    pub patience: Patience,
}

impl Launcher {
    /// Lays everything out. The daemon leads a process group of its own, so that Ctrl-C reaches it once,
    /// as a message.
    pub(crate) fn new(
        argv: Vec<CString>,
        env: Vec<CString>,
        lock: Option<&OwnedFd>,
        before: Before,
    ) -> Launcher {
        let mut plan = Plan::new(OWN_PROGRAM.into(), argv);
        plan.env = env;
        without(&mut plan.env, keeper_proto::FD_ENV);
        without(&mut plan.env, crate::handover::handover_env());
        plan.env.extend(CString::new(format!("{}={SOCKET_PLACE}", keeper_proto::FD_ENV)));
        // The socket's place is filled at each start. The daemon holds the lock too: it may outlive us.
        plan.extra = [-1].into_iter().chain(lock.map(AsRawFd::as_raw_fd)).collect();
        plan.oom_score_adj = before.oom;
        plan.limits = before.files.map(files_limit).into_iter().collect();
        let mut other = plan.clone();
        other.program = OTHER_PROGRAM.into();
        other.extra.resize(2, 0);
        other.extra.push(-1);
        // Needed as long as the process lives, and made once.
        let (plan, other): (&Plan, &Plan) = (Box::leak(Box::new(plan)), Box::leak(Box::new(other)));
        Launcher {
            plan,
            own: Prepared::new(plan),
            other: Prepared::new(other),
            binary: None,
            trial: None,
            rolled_back: false,
            starts: 0,
            patience: Patience::default(),
        }
    }

    /// Starts a daemon. Its Hello waits in the socket before it lives.
    pub(crate) fn start(&mut self, now: Mono) -> Option<Daemon> {
        self.begin(now);
        let hello = self.hello();
        let binary = self.trial.as_ref().or(self.binary.as_ref()).map(AsRawFd::as_raw_fd);
        self.launch(binary, |socket| keeper_proto::tell_daemon(socket, &hello))
    }

    /// Starts this program as a daemon on standby, to look at these records.
    pub(crate) fn stand_by(&mut self, binary: &OwnedFd, records: Option<BorrowedFd<'_>>) -> Option<Daemon> {
        self.launch(Some(binary.as_raw_fd()), |socket| wait_with(socket, records))
    }

    /// Starts the program of the present daemon, which is dying.
    pub(crate) fn start_ahead(&mut self, records: Option<BorrowedFd<'_>>) -> Option<Daemon> {
        self.launch(self.binary.as_ref().map(AsRawFd::as_raw_fd), |socket| wait_with(socket, records))
    }

    /// The one on standby is the daemon from now on.
    pub(crate) fn promote(&mut self, standby: &Daemon, now: Mono) -> io::Result<()> {
        self.begin(now);
        keeper_proto::tell_daemon(standby.socket.as_fd(), &self.hello())
    }

    fn begin(&mut self, now: Mono) {
        self.starts = self.starts.saturating_add(1);
        self.patience.begin(now);
    }

    fn hello(&self) -> ToDaemon {
        let (starts, rolled_back) = (self.starts, self.rolled_back);
        ToDaemon::Hello { starts, keeper_pid: process::pid(), rolled_back, piles: true, standby: true }
    }

    /// Starts a process of this program, or of our own, with its first word in the socket.
    fn launch(
        &mut self,
        binary: Option<RawFd>,
        first: impl FnOnce(BorrowedFd<'_>) -> io::Result<()>,
    ) -> Option<Daemon> {
        let pair = socket::pair().and_then(|(ours, theirs)| {
            pipe::set_nonblocking(&ours)?;
            first(ours.as_fd()).map(|()| (ours, theirs))
        });
        let (ours, theirs) = match pair {
            Ok(pair) => pair,
            Err(e) => {
                complain(format_args!("cannot make a socket for superd: {e}"));
                return None;
            }
        };
        let prepared = match binary {
            Some(binary) => {
                self.other.replace_extra(2, binary);
                &mut self.other
            }
            None => &mut self.own,
        };
        prepared.replace_extra(0, theirs.as_raw_fd());
        match prepared.start(Method::Own) {
            Ok(child) => Some(Daemon { child, socket: ours, pulses: [None, None], full: false }),
            Err(Failure { stage, errno, .. }) => {
                let program = self.plan.argv.first().map(|name| name.to_bytes()).unwrap_or_default();
                let program = program.escape_ascii();
                complain(format_args!("cannot start superd ({program}): {stage:?}, error {errno}"));
                None
            }
        }
    }
}

/// The first word to one that is to look at these records and wait.
fn wait_with(socket: BorrowedFd<'_>, records: Option<BorrowedFd<'_>>) -> io::Result<()> {
    match records {
        Some(records) => keeper_proto::tell_daemon_fd(socket, &ToDaemon::Prepare, records),
        None => keeper_proto::tell_daemon(socket, &ToDaemon::Prepare),
    }
}

/// Takes a variable out of an environment.
pub(crate) fn without(env: &mut Vec<CString>, name: &str) {
    env.retain(|entry| {
        let rest = entry.as_bytes().strip_prefix(name.as_bytes());
        !rest.is_some_and(|rest| rest.starts_with(b"="))
    });
}

/// The soft limit that it was, below the hard limit that is.
fn files_limit(soft: u64) -> Limit {
    let hard = process::limit(Resource::Nofile).map_or(u64::MAX, |(_, hard)| hard);
    let finite = |n: u64| (n != u64::MAX).then_some(n);
    Limit { resource: Resource::Nofile, soft: finite(soft), hard: finite(hard) }
}

/// As many open files as this process may have, and how many it could have before; `None` if that is
/// not known, and nothing was changed.
pub(crate) fn raise_files() -> (Option<u64>, u64) {
    let before = process::limit(Resource::Nofile).ok();
    match (before, process::raise_nofile_to_hard()) {
        (Some((soft, _)), Ok(hard)) => (Some(soft), hard),
        (Some((soft, _)), Err(_)) => (Some(soft), soft),
        (None, _) => (None, 1024),
    }
}

/// Asks the kernel to spare this process when memory is short: it is small, and everything's parent.
/// The value that the daemon gets back, when it has one to get back.
pub(crate) fn protect() -> Option<i32> {
    let before = process::oom_score_adj().ok()?;
    process::set_oom_score_adj(-1000).ok().map(|()| before)
}

/// When a daemon that died is started again. A value, so that it can be tested without one.
#[derive(Debug, Default)]
pub(crate) struct Patience {
    /// When the daemon was started last.
    began: Mono,
    /// Fast deaths in a row.
    fast: u32,
    /// Some daemon said that it was ready.
    pub ever_ready: bool,
    /// This one did.
    ready: bool,
}

/// What to do after a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Start another at this time.
    At(Mono),
    /// End with this code.
    GiveUp(i32),
}

/// While programs live that are to be stopped, so many are put up with.
const LAST_DEATHS: u32 = 20;

impl Patience {
    /// A daemon died, or could not be started (`exit` is then unknown). `stop`: somebody asked for the
    /// end, and no daemon lived long enough to hear it. `living`: there are processes to be kept.
    pub(crate) fn after(&mut self, exit: Exit, now: Mono, stop: bool, living: bool) -> Next {
        let fast = if self.ready { FAST_READY } else { FAST };
        self.fast = if now.since(self.began) < fast { self.fast.saturating_add(1) } else { 0 };
        // Who asks for the end while programs live wants them to be ended, too.
        let most = if living { LAST_DEATHS } else { FAST_DEATHS };
        if self.fast >= most && (stop || !(self.ever_ready || living)) {
            return Next::GiveUp(match exit {
                Exit::Code(code @ 1..) => code.into(),
                Exit::Code(0) | Exit::Signal { .. } | Exit::Unknown => 1,
            });
        }
        Next::At(now + self.pause())
    }

    /// A daemon is started.
    pub(crate) fn begin(&mut self, now: Mono) {
        (self.began, self.ready) = (now, false);
    }

    pub(crate) fn is_ready(&mut self) {
        (self.ever_ready, self.ready) = (true, true);
    }

    /// The death of a daemon that was ready, now, would cost no pause.
    pub(crate) fn is_calm(&self, now: Mono) -> bool {
        self.ready && (now.since(self.began) >= FAST_READY || self.fast + 1 < FREE_READY)
    }

    /// It cannot run, it seems: so many deaths in a row.
    pub(crate) fn is_tried(&self) -> Option<u32> {
        (self.fast >= FAST_DEATHS && !self.pause().is_zero()).then_some(self.fast)
    }

    pub(crate) fn pause(&self) -> Duration {
        let free = if self.ready { FREE_READY } else { FREE_DEATHS };
        match self.fast.checked_sub(free) {
            None => Duration::ZERO,
            Some(n) => FIRST_PAUSE.saturating_mul(1 << n.min(16)).min(LONGEST_PAUSE),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CRASH: Exit = Exit::Code(3);
    const SECOND: u64 = 1_000_000_000;

    /// Lets daemons die at once; the pauses in milliseconds, and the code at the end.
    fn die(patience: &mut Patience, times: u32, stop: bool) -> (Vec<u64>, Option<i32>) {
        let (mut now, mut pauses) = (Mono(10 * SECOND), Vec::new());
        for _ in 0..times {
            patience.began = now;
            match patience.after(CRASH, now, stop, false) {
                Next::At(at) => pauses.push((at.0 - now.0) / 1_000_000),
                Next::GiveUp(code) => return (pauses, Some(code)),
            }
            now = now + Duration::from_secs(60);
        }
        (pauses, None)
    }

    #[test]
    fn one_that_never_was_ready_is_given_up() {
        assert_eq!(die(&mut Patience::default(), 9, false), (vec![0, 100, 200, 400], Some(3)));
    }

    #[test]
    fn one_that_was_ready_is_tried_for_ever() {
        let mut patience = Patience { ever_ready: true, ..Patience::default() };
        let (pauses, end) = die(&mut patience, 12, false);
        assert_eq!(pauses, [0, 100, 200, 400, 800, 1600, 3200, 6400, 10000, 10000, 10000, 10000]);
        assert_eq!(end, None);
        assert_eq!(die(&mut patience, 1, true), (vec![], Some(3)), "unless somebody wants the end");
    }

    #[test]
    fn nor_is_one_given_up_that_has_processes_to_keep() {
        let mut patience = Patience { fast: 40, began: Mono(SECOND), ..Patience::default() };
        let now = Mono(2 * SECOND);
        assert_eq!(patience.after(CRASH, now, false, true), Next::At(now + LONGEST_PAUSE));
        assert_eq!(patience.after(CRASH, now, true, true), Next::GiveUp(3), "unless somebody wants the end");
        assert_eq!(patience.is_tried(), Some(42));
    }

    #[test]
    fn who_kills_ready_daemons_waits_for_none() {
        let mut patience = Patience::default();
        let (mut now, mut pauses, mut calm) = (Mono(SECOND), Vec::new(), 0);
        for _ in 0..12 {
            patience.begin(now);
            assert!(!patience.is_calm(now), "not ready yet");
            patience.is_ready();
            now = now + Duration::from_millis(50);
            calm += u32::from(patience.is_calm(now));
            if let Next::At(at) = patience.after(CRASH, now, false, true) {
                pauses.push((at.0 - now.0) / 1_000_000);
            }
        }
        assert_eq!((pauses.as_slice(), calm), ([0, 0, 0, 0, 0, 0, 0, 0, 0, 100, 200, 400].as_slice(), 9));
        now = now + FAST_READY;
        assert!(patience.is_calm(now));
        assert_eq!(patience.after(CRASH, now, false, true), Next::At(now));
    }

    #[test]
    fn a_variable_is_taken_out() {
        let mut env = vec![c"A=1".into(), c"AB=1".into(), c"A".into()];
        without(&mut env, "A");
        assert_eq!(env, [c"AB=1".into(), CString::from(c"A")]);
    }

    #[test]
    fn a_long_life_makes_up_for_it() {
        let mut patience = Patience { fast: 4, began: Mono(SECOND), ..Patience::default() };
        let now = Mono(7 * SECOND);
        assert_eq!(patience.after(CRASH, now, false, false), Next::At(now));
        assert_eq!(patience.fast, 0);
    }

    #[test]
    fn an_end_without_a_code_is_one() {
        for exit in [Exit::Code(0), Exit::Unknown] {
            let mut patience = Patience { fast: 4, ..Patience::default() };
            assert_eq!(patience.after(exit, Mono(1), false, false), Next::GiveUp(1));
        }
    }
}
