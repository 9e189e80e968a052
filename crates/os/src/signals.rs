//! Signals as readable events, and their dispositions.

use crate::errno::{check, check_len, check_long, retry};
use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::sync::atomic::{AtomicU64, Ordering};
use supers_core::signal::Signal;

/// The number of the signal that says that a child changed its state.
pub const CHILD: c_int = libc::SIGCHLD;

/// A signal that arrived.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SignalInfo {
    /// Which.
    pub signal: Signal,
    /// Who sent it; for SIGCHLD, which child. 0 is the kernel.
    pub pid: i32,
}

/// Signals that are blocked and read from a descriptor (non-blocking, close-on-exec).
#[derive(Debug)]
pub struct SignalFd(OwnedFd);

impl SignalFd {
    /// Blocks these signals in this thread (and threads that it starts later) and makes them readable.
    /// Call it before other threads are started.
    ///
    /// # Errors
    /// The kernel refuses a descriptor.
    pub fn new(signals: &[Signal]) -> io::Result<SignalFd> {
        let mut set = empty_set();
        for signal in signals {
            // SAFETY: an initialised set; a wrong number is refused.
            check(unsafe { libc::sigaddset(&raw mut set, signal.number()) })?;
        }
        SignalFd::of(&set)
    }

    /// The same for every signal that can be blocked.
    ///
    /// # Errors
    /// The kernel refuses a descriptor.
    pub fn all() -> io::Result<SignalFd> {
        let mut set = empty_set();
        // SAFETY: an initialised set.
        check(unsafe { libc::sigfillset(&raw mut set) })?;
        SignalFd::of(&set)
    }

    fn of(set: &libc::sigset_t) -> io::Result<SignalFd> {
        // SAFETY: an initialised set; the old mask is not asked for.
        let errno = unsafe { libc::pthread_sigmask(libc::SIG_BLOCK, set, std::ptr::null_mut()) };
        if errno != 0 {
            return Err(io::Error::from_raw_os_error(errno));
        }
        // SAFETY: an initialised set; -1 asks for a new descriptor.
        let fd = check(unsafe { libc::signalfd(-1, set, libc::SFD_NONBLOCK | libc::SFD_CLOEXEC) })?;
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(SignalFd(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// The next signal; `None` when there is none.
    ///
    /// # Errors
    /// The kernel's.
    pub fn read(&self) -> io::Result<Option<SignalInfo>> {
        let mut info = MaybeUninit::<libc::signalfd_siginfo>::uninit();
        let size = size_of::<libc::signalfd_siginfo>();
        // SAFETY: `info` is `size` writable bytes.
        let got =
            retry(|| check_len(unsafe { libc::read(self.0.as_raw_fd(), info.as_mut_ptr().cast(), size) }));
        match got {
            Ok(n) if n == size => {}
            Ok(_) => return Ok(None),
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => return Ok(None),
            Err(e) => return Err(e),
        }
        // SAFETY: the kernel filled all of it.
        let info = unsafe { info.assume_init() };
        let pid = i32::try_from(info.ssi_pid).unwrap_or(0);
        Ok(Signal::from_number(info.ssi_signo.into()).map(|signal| SignalInfo { signal, pid }))
    }
}

impl AsFd for SignalFd {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for SignalFd {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Ignores a signal in this process. Children start with the default action all the same.
///
/// # Errors
/// The signal cannot be ignored.
pub fn ignore(signal: Signal) -> io::Result<()> {
    ignored();
    set_disposition(signal.number(), libc::SIG_IGN).map_err(io::Error::from_raw_os_error)?;
    IGNORED.fetch_or(bit(signal.number()), Ordering::Relaxed);
    Ok(())
}

/// Gives a signal its default action in this process.
///
/// # Errors
/// The kernel's.
pub fn reset(signal: Signal) -> io::Result<()> {
    set_disposition(signal.number(), libc::SIG_DFL).map_err(io::Error::from_raw_os_error)
}

/// What the kernel takes and gives for a disposition: handler first, then flags, restorer and mask,
/// which are all zero for the two dispositions we use.
type KernelAction = [usize; 4];

/// Sets a disposition by the raw call, which a child may make between clone and exec, and which also
/// reaches the two signals that glibc keeps for itself. The error is an errno.
pub(crate) fn set_disposition(signal: c_int, handler: libc::sighandler_t) -> Result<(), i32> {
    let action: KernelAction = [handler, 0, 0, 0];
    // SAFETY: the structure is as large as the kernel reads; the old one is not asked for.
    let done =
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, action.as_ptr(), 0usize, size_of::<u64>()) };
    // SAFETY: errno of this thread.
    if done == -1 { Err(unsafe { *libc::__errno_location() }) } else { Ok(()) }
}

/// Ignored signals of this process, bit n-1 for signal n; the top bit (signal 64) set means unknown yet.
static IGNORED: AtomicU64 = AtomicU64::new(UNKNOWN);
const UNKNOWN: u64 = 1 << 63;

fn bit(signal: c_int) -> u64 {
    1u64 << ((signal - 1).clamp(0, 63))
}

/// Signals that children would inherit as ignored (a clone resets handlers, but not these). Looked up
/// once; after that [`ignore`] keeps count.
pub(crate) fn ignored() -> u64 {
    let known = IGNORED.load(Ordering::Relaxed);
    if known != UNKNOWN {
        return known;
    }
    let mut found = 0;
    for signal in 1..64 {
        let mut action: KernelAction = [0; 4];
        // SAFETY: the structure is as large as the kernel writes; nothing is changed.
        let asked = check_long(unsafe {
            libc::syscall(libc::SYS_rt_sigaction, signal, 0usize, action.as_mut_ptr(), size_of::<u64>())
        });
        if asked.is_ok() && action[0] == libc::SIG_IGN {
            found |= bit(signal);
        }
    }
    IGNORED.store(found, Ordering::Relaxed);
    found
}

fn empty_set() -> libc::sigset_t {
    let mut set = MaybeUninit::uninit();
    // SAFETY: initialises the set; cannot fail.
    unsafe {
        libc::sigemptyset(set.as_mut_ptr());
        set.assume_init()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_blocked_signal_is_read_with_its_sender() {
        let fd = SignalFd::new(&[Signal::USR2]).unwrap();
        assert_eq!(fd.read().unwrap(), None);
        // SAFETY: sends to this thread, where the signal is blocked.
        unsafe { libc::pthread_kill(libc::pthread_self(), libc::SIGUSR2) };
        let info = fd.read().unwrap();
        assert_eq!(info, Some(SignalInfo { signal: Signal::USR2, pid: crate::process::pid() }));
    }

    #[test]
    fn ignored_signals_are_counted() {
        ignore(Signal::PIPE).unwrap();
        assert_ne!(ignored() & bit(libc::SIGPIPE), 0);
        assert_eq!(ignored() & bit(libc::SIGTERM), 0);
    }
}
