//! Signals. The only unsafe code of the testkit: the standard library has no signal handlers.

use std::sync::atomic::{AtomicI32, AtomicPtr, AtomicU64, AtomicUsize, Ordering};

const NAMES: [(&str, i32); 16] = [
    ("HUP", libc::SIGHUP),
    ("INT", libc::SIGINT),
    ("QUIT", libc::SIGQUIT),
    ("ILL", libc::SIGILL),
    ("ABRT", libc::SIGABRT),
    ("FPE", libc::SIGFPE),
    ("KILL", libc::SIGKILL),
    ("USR1", libc::SIGUSR1),
    ("SEGV", libc::SIGSEGV),
    ("USR2", libc::SIGUSR2),
    ("PIPE", libc::SIGPIPE),
    ("ALRM", libc::SIGALRM),
    ("TERM", libc::SIGTERM),
    ("CHLD", libc::SIGCHLD),
    ("CONT", libc::SIGCONT),
    ("STOP", libc::SIGSTOP),
];

/// The number of `TERM`, `SIGTERM` or `15`.
pub(crate) fn number(text: &str) -> Option<i32> {
    let bare = text.strip_prefix("SIG").unwrap_or(text);
    let named = NAMES.iter().find(|(name, _)| *name == bare).map(|(_, number)| *number);
    named.or_else(|| text.parse().ok().filter(|n| (1..=64).contains(n)))
}

/// Signals that were ignored when the program began, one bit each, as in `/proc/self/status`.
static IGNORED: AtomicU64 = AtomicU64::new(0);

/// Runs before the standard library does, which ignores SIGPIPE for itself.
extern "C" fn look_at_start() {
    for signal in 1..=64 {
        // SAFETY: an all-zero sigaction is a valid one, and a null second argument only asks.
        let ignored = unsafe {
            let mut old: libc::sigaction = std::mem::zeroed();
            libc::sigaction(signal, std::ptr::null(), &mut old) == 0 && old.sa_sigaction == libc::SIG_IGN
        };
        if ignored {
            IGNORED.fetch_or(1 << (signal - 1), Ordering::SeqCst);
        }
    }
}

// SAFETY: the C library calls every pointer of this section as a function without a meaning for its arguments,
// and `look_at_start` needs nothing that is set up later.
#[used]
#[unsafe(link_section = ".init_array")]
static AT_START: extern "C" fn() = look_at_start;

/// The signals that this program found ignored: 16 hexadecimal digits.
pub(crate) fn ignored_at_start() -> String {
    format!("SigIgn {:016x}", IGNORED.load(Ordering::SeqCst))
}

/// What to do on each signal: an exit code to leave with, or -1.
static EXITS: [AtomicI32; 65] = [const { AtomicI32::new(-1) }; 65];
/// What to print on each signal: the text and its length.
static TEXTS: [AtomicPtr<u8>; 65] = [const { AtomicPtr::new(std::ptr::null_mut()) }; 65];
static LENGTHS: [AtomicUsize; 65] = [const { AtomicUsize::new(0) }; 65];

extern "C" fn handler(signal: i32) {
    let Some((exit, text, length)) = usize::try_from(signal).ok().and_then(|i| {
        Some((EXITS.get(i)?, TEXTS.get(i)?.load(Ordering::SeqCst), LENGTHS.get(i)?.load(Ordering::SeqCst)))
    }) else {
        return;
    };
    if !text.is_null() && length > 0 {
        // SAFETY: the text was leaked by `print_on`, so it lives for ever, and its length was stored first;
        // write(2) is allowed in a signal handler.
        unsafe { libc::write(1, text.cast(), length) };
    }
    let code = exit.load(Ordering::SeqCst);
    if code >= 0 {
        // SAFETY: _exit(2) is allowed in a signal handler and does not return.
        unsafe { libc::_exit(code) };
    }
}

fn install(signal: i32, action: libc::sighandler_t) {
    // SAFETY: an all-zero sigaction is a valid one (no flags, empty mask), and both pointers are to live values
    // or null. The handler only uses atomics, write and _exit.
    let done = unsafe {
        let mut new: libc::sigaction = std::mem::zeroed();
        new.sa_sigaction = action;
        new.sa_flags = libc::SA_RESTART;
        libc::sigaction(signal, &new, std::ptr::null_mut())
    };
    assert!(done == 0, "signal {signal} cannot be handled");
}

/// The signal does nothing from now on.
pub(crate) fn ignore(signal: i32) {
    install(signal, libc::SIG_IGN);
}

/// The signal ends the program with this code.
pub(crate) fn exit_on(signal: i32, code: i32) {
    EXITS[slot(signal)].store(code, Ordering::SeqCst);
    install(signal, handler as *const () as libc::sighandler_t);
}

/// The signal prints a line; an empty text prints nothing.
pub(crate) fn print_on(signal: i32, text: &str) {
    if !text.is_empty() {
        let line: &'static mut [u8] = format!("{text}\n").into_bytes().leak();
        LENGTHS[slot(signal)].store(line.len(), Ordering::SeqCst);
        TEXTS[slot(signal)].store(line.as_mut_ptr(), Ordering::SeqCst);
    }
    install(signal, handler as *const () as libc::sighandler_t);
}

fn slot(signal: i32) -> usize {
    usize::try_from(signal).ok().filter(|i| *i < EXITS.len()).expect("a signal's number")
}

/// Sends a signal to this process and waits until it arrived.
pub(crate) fn raise(signal: i32) {
    // SAFETY: raise(3) has no preconditions.
    unsafe { libc::raise(signal) };
}

/// Closes a descriptor that the standard library believes in; later writes fail, which is what is wanted.
pub(crate) fn close(descriptor: i32) {
    // SAFETY: nothing in this single-threaded program owns descriptors 0 to 2; writes to a closed one fail
    // with EBADF.
    unsafe { libc::close(descriptor) };
}
