//! Starting the daemon, and when to start it again.

use crate::complain;
use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::time::Duration;
use supers_os::Exit;
use supers_os::Mono;
use supers_os::keeper_proto::{self, ToDaemon};
use supers_os::spawn::{Child, Failure, Method, Plan, Prepared};
use supers_os::{pipe, process, socket};

/// A daemon that ends within this time "died fast".
const FAST: Duration = Duration::from_secs(5);
/// So many fast deaths in a row, and none was ever ready: it cannot start at all.
const FAST_DEATHS: u32 = 5;
/// The pause after the second fast death; doubled with each further one.
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause.
const LONGEST_PAUSE: Duration = Duration::from_secs(10);
/// Where the daemon finds its end of the socket: the first extra descriptor.
const SOCKET_PLACE: RawFd = 3;

/// A daemon that runs.
#[derive(Debug)]
pub(crate) struct Daemon {
    pub child: Child,
    pub socket: OwnedFd,
    /// The socket was full; nothing is sent until it has room.
    pub full: bool,
}

/// How to start daemons.
#[derive(Debug)]
pub(crate) struct Launcher {
    plan: &'static Plan,
    prepared: Prepared<'static>,
    /// Number of starts.
    starts: u32,
    /// The rule.
    pub patience: Patience,
}

impl Launcher {
    /// Lays everything out. The daemon is this very executable, whatever has become of its file; it
    /// leads a process group of its own, so that Ctrl-C reaches it once, as a message.
    pub(crate) fn new(argv: Vec<CString>, env: Vec<CString>, lock: Option<&OwnedFd>) -> Launcher {
        let mut plan = Plan::new(c"/proc/self/exe".into(), argv);
        let ours = format!("{}=", keeper_proto::FD_ENV);
        plan.env = env;
        plan.env.retain(|entry| !entry.as_bytes().starts_with(ours.as_bytes()));
        plan.env.extend(CString::new(format!("{ours}{SOCKET_PLACE}")));
        // The socket's place is filled at each start. The daemon holds the lock too: it may outlive us.
        plan.extra = [-1].into_iter().chain(lock.map(AsRawFd::as_raw_fd)).collect();
        plan.oom_score_adj = protect();
        // Needed as long as the process lives, and made once.
        let plan: &'static Plan = Box::leak(Box::new(plan));
        Launcher { plan, prepared: Prepared::new(plan), starts: 0, patience: Patience::default() }
    }

    /// Starts a daemon. Its Hello waits in the socket before it lives.
    pub(crate) fn start(&mut self, now: Mono) -> Option<Daemon> {
        self.starts = self.starts.saturating_add(1);
        self.patience.began = now;
        let (ours, theirs) = match self.socket() {
            Ok(pair) => pair,
            Err(e) => {
                complain(format_args!("cannot make a socket for superd: {e}"));
                return None;
            }
        };
        self.prepared.replace_extra(0, theirs.as_raw_fd());
        match self.prepared.start(Method::Own) {
            Ok(child) => Some(Daemon { child, socket: ours, full: false }),
            Err(Failure { stage, errno, .. }) => {
                let program = self.plan.program.to_bytes().escape_ascii();
                complain(format_args!("cannot start superd ({program}): {stage:?}, error {errno}"));
                None
            }
        }
    }

    fn socket(&self) -> io::Result<(OwnedFd, OwnedFd)> {
        let (ours, theirs) = socket::pair()?;
        pipe::set_nonblocking(&ours)?;
        let hello = ToDaemon::Hello { starts: self.starts, keeper_pid: process::pid() };
        keeper_proto::tell_daemon(ours.as_fd(), &hello)?;
        Ok((ours, theirs))
    }
}

/// Asks the kernel to spare this process when memory is short: it is small, and everything's parent.
/// The value that the daemon gets back, when it has one to get back.
fn protect() -> Option<i32> {
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
}

/// What to do after a death.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Next {
    /// Start another at this time.
    At(Mono),
    /// End with this code.
    GiveUp(i32),
}

impl Patience {
    /// A daemon died, or could not be started (`exit` is then unknown). `stop`: somebody asked for the
    /// end, and no daemon lived long enough to hear it.
    pub(crate) fn after(&mut self, exit: Exit, now: Mono, stop: bool) -> Next {
        self.fast = if now.since(self.began) < FAST { self.fast.saturating_add(1) } else { 0 };
        if self.fast >= FAST_DEATHS && (stop || !self.ever_ready) {
            return Next::GiveUp(match exit {
                Exit::Code(code @ 1..) => code.into(),
                Exit::Code(0) | Exit::Signal { .. } | Exit::Unknown => 1,
            });
        }
        Next::At(now + self.pause())
    }

    fn pause(&self) -> Duration {
        match self.fast.checked_sub(2) {
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
            match patience.after(CRASH, now, stop) {
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
    fn a_long_life_makes_up_for_it() {
        let mut patience = Patience { fast: 4, began: Mono(SECOND), ever_ready: false };
        let now = Mono(7 * SECOND);
        assert_eq!(patience.after(CRASH, now, false), Next::At(now));
        assert_eq!(patience.fast, 0);
    }

    #[test]
    fn an_end_without_a_code_is_one() {
        for exit in [Exit::Code(0), Exit::Unknown] {
            let mut patience = Patience { fast: 4, ..Patience::default() };
            assert_eq!(patience.after(exit, Mono(1), false), Next::GiveUp(1));
        }
    }
}
