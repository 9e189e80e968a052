//! The child's side: from its first instruction to its program.
//!
//! It runs in the parent's memory while the calling thread of the parent stands still, on a stack of
//! its own. So it makes raw system calls only (libc's setuid and its like would signal the parent's
//! threads), allocates nothing, takes no lock, cannot panic, and never returns.

use super::plan::{CgroupJoin, Creds, Plan, Session};
use super::stage::Failure;
use crate::births::Notebook;
use crate::keeper_proto::{self, GIFTS};
use crate::signals::set_disposition;
use std::convert::Infallible;
use std::ffi::{CStr, c_char, c_int, c_long, c_void};
use std::mem::MaybeUninit;
use std::os::fd::RawFd;
use supers_core::exit::Stage;
use supers_core::spec::{Limit, Resource};

/// All that the child needs, and the place where it leaves its failure.
pub(super) struct Image<'a> {
    pub plan: &'a Plan,
    pub argv: &'a [*const c_char],
    pub env: &'a [*const c_char],
    /// Environment entries to fill with the pid.
    pub slots: &'a mut [Vec<u8>],
    /// Sources of descriptors 0 and up.
    pub sources: &'a mut [RawFd],
    /// The descriptor table is the parent's until everything from here on was un-shared.
    pub shared_from: Option<RawFd>,
    /// close_range(2) exists.
    pub close_range: bool,
    /// It was born in its control group.
    pub in_group: bool,
    /// Signals whose disposition must be reset: bit n-1 for signal n.
    pub reset: u64,
    /// What went wrong; `None` once the program runs.
    pub failure: Option<Failure>,
}

/// Exit code of a child that found no way to its program.
const FAILED: c_int = 127;

/// The entry point.
///
/// # Safety
/// `arg` is an [`Image`] that nobody else touches until this process executes or ends, and this is a
/// new process whose parent waits (CLONE_VM with CLONE_VFORK).
pub(super) unsafe extern "C" fn main(arg: *mut c_void) -> c_int {
    // SAFETY: the caller's promise.
    let image = unsafe { &mut *arg.cast::<Image<'_>>() };
    let Err(failure) = become_program(image);
    image.failure = Some(failure);
    loop {
        // SAFETY: ends this process; nothing of the parent's is cleaned up by it.
        unsafe { libc::syscall(libc::SYS_exit_group, FAILED) };
    }
}

fn become_program(image: &mut Image<'_>) -> Result<Infallible, Failure> {
    let plan = image.plan;
    // SAFETY: takes no arguments and cannot fail.
    let pid = unsafe { libc::syscall(libc::SYS_getpid) };
    if let Some(birth) = plan.birth {
        birth.note(pid);
    }
    if let Err(failure) = report(plan, pid) {
        // Nobody will hear of it otherwise.
        plan.birth.into_iter().for_each(Notebook::strike);
        return Err(failure);
    }
    session(plan.session)?;
    files(image)?;
    if let Some(join) = &plan.cgroup {
        belong(join, image.in_group)?;
    }
    for signal in 1..=64u8 {
        if image.reset & (1 << (signal - 1)) != 0 {
            // KILL and STOP refuse, and need it least.
            let _ = set_disposition(signal.into(), libc::SIG_DFL);
        }
    }
    if plan.ignore_sigpipe {
        set_disposition(libc::SIGPIPE, libc::SIG_IGN).map_err(|e| Failure::new(Stage::Session, e))?;
    }
    if let Some(umask) = plan.umask {
        // SAFETY: plain numbers; cannot fail.
        unsafe { libc::syscall(libc::SYS_umask, c_long::from(umask)) };
    }
    limits(&plan.limits)?;
    priorities(plan)?;
    if let Some(creds) = &plan.creds {
        credentials(creds)?;
    }
    if let Some(directory) = &plan.directory {
        // SAFETY: a NUL-terminated string that lives.
        call(Stage::Chdir, unsafe { libc::syscall(libc::SYS_chdir, directory.as_ptr()) })?;
    }
    if plan.no_new_privileges {
        // SAFETY: plain numbers.
        let done = unsafe { libc::syscall(libc::SYS_prctl, libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) };
        call(Stage::Privileges, done)?;
    }
    image.slots.iter_mut().for_each(|slot| write_pid(slot, pid));
    execute(image)
}

/// The result of a raw call as a `Result`.
fn call(stage: Stage, result: c_long) -> Result<c_long, Failure> {
    if result == -1 { Err(Failure::new(stage, errno())) } else { Ok(result) }
}

fn errno() -> i32 {
    // SAFETY: the address of errno of the thread whose memory (and thread pointer) this process
    // borrows; that thread waits.
    unsafe { *libc::__errno_location() }
}

/// Tells the keeper which run this is, before anything can go wrong: a run without a report never
/// executed. The socket is non-blocking (the daemon's end), so a full one is waited for; the keeper
/// always reads on.
fn report(plan: &Plan, pid: c_long) -> Result<(), Failure> {
    let Some(report) = plan.report else { return Ok(()) };
    let keys = report.gifts.map(|gift| gift.map_or(0, |(key, _)| key));
    let mut message = keeper_proto::report(report.run, pid as i32, keys);
    let mut control = Control([0; 32]);
    let mut part = libc::iovec { iov_base: message.as_mut_ptr().cast(), iov_len: message.len() };
    // SAFETY: plain data; all zeros is a valid empty header.
    let mut header: libc::msghdr = unsafe { MaybeUninit::zeroed().assume_init() };
    header.msg_iov = &raw mut part;
    header.msg_iovlen = 1;
    take_along(&report.gifts, &mut header, &mut control);
    loop {
        // SAFETY: the header describes buffers that live until the call returns.
        let sent = unsafe {
            libc::syscall(libc::SYS_sendmsg, report.fd, &raw const header, c_long::from(libc::MSG_NOSIGNAL))
        };
        match call(Stage::Report, sent) {
            Ok(_) => return Ok(()),
            Err(Failure { errno: libc::EINTR, .. }) => {}
            // ETOOMANYREFS: more descriptors are under way than this user may have; it does not last.
            Err(Failure { errno: libc::EAGAIN | libc::ETOOMANYREFS, .. }) => {
                let mut poll = libc::pollfd { fd: report.fd, events: libc::POLLOUT, revents: 0 };
                let pause = libc::timespec { tv_sec: 0, tv_nsec: 10_000_000 };
                // SAFETY: one valid entry, a valid time limit, no signal mask. Its result does not matter: the
                // next send tells.
                unsafe {
                    libc::syscall(libc::SYS_ppoll, &raw mut poll, 1usize, &raw const pause, 0usize, 0usize)
                };
            }
            Err(failure) => return Err(failure),
        }
    }
}

/// Room for the control part of a report, aligned as the kernel wants it.
#[repr(C, align(8))]
struct Control([u8; 32]);

const _: () = assert!(size_of::<libc::cmsghdr>() + GIFTS * size_of::<RawFd>() <= 32, "all gifts fit");

/// Lays descriptors into a message.
fn take_along(gifts: &[Option<(u64, RawFd)>; GIFTS], header: &mut libc::msghdr, control: &mut Control) {
    let count = gifts.iter().flatten().count();
    if count == 0 {
        return;
    }
    let bytes = (count * size_of::<RawFd>()) as u32;
    header.msg_control = (&raw mut control.0).cast();
    // SAFETY: computes a length.
    header.msg_controllen = unsafe { libc::CMSG_SPACE(bytes) } as _;
    // SAFETY: the control buffer has room for one header with all gifts (asserted above), so the first header and
    // its data lie inside it.
    unsafe {
        let first = libc::CMSG_FIRSTHDR(header);
        (*first).cmsg_level = libc::SOL_SOCKET;
        (*first).cmsg_type = libc::SCM_RIGHTS;
        (*first).cmsg_len = libc::CMSG_LEN(bytes) as _;
        let data = libc::CMSG_DATA(first).cast::<RawFd>();
        for (i, (_, fd)) in gifts.iter().flatten().enumerate() {
            data.add(i).write_unaligned(*fd);
        }
    }
}

fn session(session: Session) -> Result<(), Failure> {
    // SAFETY (both): plain numbers; 0 is this process.
    let done = match session {
        // SAFETY: see above.
        Session::Group => unsafe { libc::syscall(libc::SYS_setpgid, 0usize, 0usize) },
        // SAFETY: see above.
        Session::Session => unsafe { libc::syscall(libc::SYS_setsid) },
    };
    call(Stage::Session, done).map(|_| ())
}

/// Brings the sources to 0 and up, and closes everything behind them.
fn files(image: &mut Image<'_>) -> Result<(), Failure> {
    let failed = |errno| Failure::new(Stage::Files, errno);
    if let Some(from) = image.shared_from {
        // Copies only the entries below `from`: with thousands of open descriptors that is most of
        // the cost of a start saved.
        close_from(from, libc::CLOSE_RANGE_UNSHARE as c_long)?;
    }
    let count = image.sources.len() as c_int;
    for source in image.sources.iter_mut() {
        // Out of the way of the targets; this also makes source and target differ, so that dup3
        // always clears close-on-exec.
        if *source < count {
            // SAFETY: plain numbers.
            let moved = unsafe { libc::syscall(libc::SYS_fcntl, *source, libc::F_DUPFD_CLOEXEC, count) };
            *source = call(Stage::Files, moved)? as RawFd;
        }
    }
    for (target, source) in image.sources.iter().enumerate() {
        loop {
            // SAFETY: plain numbers.
            let done = unsafe { libc::syscall(libc::SYS_dup3, *source, target, 0) };
            match call(Stage::Files, done) {
                Ok(_) => break,
                // Only a race with an open in another thread of a shared table; the table is ours.
                Err(Failure { errno: libc::EINTR | libc::EBUSY, .. }) => {}
                Err(failure) => return Err(failed(failure.errno)),
            }
        }
    }
    if image.close_range {
        return close_from(count, 0);
    }
    // An old kernel. What std opens is close-on-exec; this is for what was inherited.
    for fd in count..OLD_KERNEL_FDS {
        // SAFETY: plain numbers; a descriptor that is not open gives an error and nothing else.
        unsafe { libc::syscall(libc::SYS_close, fd) };
    }
    Ok(())
}

/// Without close_range(2) descriptors up to here are closed one by one.
const OLD_KERNEL_FDS: c_int = 4096;

fn close_from(first: c_int, flags: c_long) -> Result<(), Failure> {
    // SAFETY: plain numbers.
    let done = unsafe { libc::syscall(libc::SYS_close_range, first, c_long::from(u32::MAX), flags) };
    call(Stage::Files, done).map(|_| ())
}

/// Goes where it is to be kept together with what it starts. After the descriptors, so that the one
/// opened here is not seen by the parent, and while it still may.
fn belong(join: &CgroupJoin, in_group: bool) -> Result<(), Failure> {
    let failed = |errno| Failure::new(Stage::Cgroup, errno);
    match join {
        CgroupJoin::Group { .. } if in_group => Ok(()),
        // 0 is who writes it.
        CgroupJoin::Group { procs, .. } => write_number(procs, 0).map_err(failed),
        CgroupJoin::Tag(tag) => {
            let value = Some(tag.value());
            set_limit(&Limit { resource: Resource::Locks, soft: value, hard: value }).map_err(failed)
        }
    }
}

fn limits(limits: &[Limit]) -> Result<(), Failure> {
    for (detail, limit) in limits.iter().enumerate() {
        set_limit(limit).map_err(|errno| Failure { stage: Stage::Limits, errno, detail })?;
    }
    Ok(())
}

/// Sets one limit; a hard value above what is allowed is clipped to what is.
fn set_limit(limit: &Limit) -> Result<(), i32> {
    let value = |v: Option<u64>| v.unwrap_or(libc::RLIM64_INFINITY);
    let mut new = libc::rlimit64 { rlim_cur: value(limit.soft), rlim_max: value(limit.hard) };
    let mut old = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    match prlimit(limit.resource, Some(&new), None) {
        Err(libc::EPERM) => {
            prlimit(limit.resource, None, Some(&mut old))?;
            new.rlim_max = new.rlim_max.min(old.rlim_max);
            new.rlim_cur = new.rlim_cur.min(new.rlim_max);
            prlimit(limit.resource, Some(&new), None)
        }
        other => other,
    }
}

fn prlimit(
    resource: Resource,
    new: Option<&libc::rlimit64>,
    old: Option<&mut libc::rlimit64>,
) -> Result<(), i32> {
    let new = new.map_or(std::ptr::null(), std::ptr::from_ref);
    let old = old.map_or(std::ptr::null_mut(), std::ptr::from_mut);
    let number = crate::process::rlimit_number(resource);
    // SAFETY: both pointers are null or valid; 0 is this process.
    let done = unsafe { libc::syscall(libc::SYS_prlimit64, 0usize, c_long::from(number), new, old) };
    call(Stage::Limits, done).map(|_| ()).map_err(|f| f.errno)
}

fn priorities(plan: &Plan) -> Result<(), Failure> {
    if let Some(nice) = plan.nice {
        let nice = c_long::from(nice);
        // SAFETY: plain numbers; 0 is this process.
        let done =
            unsafe { libc::syscall(libc::SYS_setpriority, libc::PRIO_PROCESS as c_long, 0usize, nice) };
        call(Stage::Nice, done)?;
        if plan.session == Session::Session {
            // A new session is a scheduling group of its own, in which a nice value would mean
            // nothing to others. Not every kernel has such groups, so failing is no failure.
            let _ = write_number(c"/proc/self/autogroup", nice);
        }
    }
    if let Some(adj) = plan.oom_score_adj {
        let done = write_number(c"/proc/self/oom_score_adj", c_long::from(adj));
        done.map_err(|errno| Failure { stage: Stage::Nice, errno, detail: 1 })?;
    }
    Ok(())
}

fn write_number(path: &CStr, number: c_long) -> Result<(), i32> {
    let mut digits = [0u8; DIGITS];
    let text = decimal(number, &mut digits);
    let flags = c_long::from(libc::O_WRONLY | libc::O_CLOEXEC);
    // SAFETY: a NUL-terminated string that lives.
    let opened =
        unsafe { libc::syscall(libc::SYS_openat, c_long::from(libc::AT_FDCWD), path.as_ptr(), flags) };
    let fd = call(Stage::Nice, opened).map_err(|f| f.errno)?;
    // SAFETY: the buffer and its length belong together.
    let written = call(Stage::Nice, unsafe { libc::syscall(libc::SYS_write, fd, text.as_ptr(), text.len()) });
    // SAFETY: `fd` was opened above and is closed once.
    unsafe { libc::syscall(libc::SYS_close, fd) };
    written.map(|_| ()).map_err(|f| f.errno)
}

fn credentials(creds: &Creds) -> Result<(), Failure> {
    let Creds { uid, gid, groups } = creds;
    // To the kernel -1 means "leave it", and the program would run as root.
    for (id, stage) in [(*gid, Stage::Gid), (*uid, Stage::Uid)] {
        if id == u32::MAX {
            return Err(Failure::new(stage, libc::EINVAL));
        }
    }
    let (uid, gid) = (c_long::from(*uid), c_long::from(*gid));
    // SAFETY: the list and its length belong together.
    let done = unsafe { libc::syscall(libc::SYS_setgroups, groups.len(), groups.as_ptr()) };
    call(Stage::Groups, done)?;
    // SAFETY: plain numbers.
    call(Stage::Gid, unsafe { libc::syscall(libc::SYS_setresgid, gid, gid, gid) })?;
    // SAFETY: plain numbers.
    call(Stage::Uid, unsafe { libc::syscall(libc::SYS_setresuid, uid, uid, uid) })?;
    Ok(())
}

/// Sign and digits of the longest number.
const DIGITS: usize = 20;

/// A number in decimal, written to the end of the buffer.
fn decimal(number: c_long, buffer: &mut [u8; DIGITS]) -> &[u8] {
    let mut rest = number.unsigned_abs();
    let mut start = DIGITS;
    for place in buffer.iter_mut().rev() {
        if start != DIGITS && rest == 0 {
            if number < 0 {
                *place = b'-';
                start -= 1;
            }
            break;
        }
        *place = b'0' + (rest % 10) as u8;
        rest /= 10;
        start -= 1;
    }
    buffer.get(start..).unwrap_or_default()
}

/// Fills `KEY=` with the process id and ends the string behind it.
fn write_pid(entry: &mut [u8], pid: c_long) {
    let mut digits = [0u8; DIGITS];
    let text = decimal(pid, &mut digits);
    let places = entry.iter_mut().skip_while(|b| **b != b'=').skip(1);
    places.zip(text.iter().chain([&0])).for_each(|(place, digit)| *place = *digit);
}

/// The last steps. Signals stay blocked until here, so that none is lost to a half-made process.
fn execute(image: &Image<'_>) -> Result<Infallible, Failure> {
    let none = 0u64;
    let how = c_long::from(libc::SIG_SETMASK);
    // SAFETY: the mask is the kernel's eight bytes; the old one is not asked for.
    unsafe { libc::syscall(libc::SYS_rt_sigprocmask, how, &raw const none, 0usize, size_of::<u64>()) };
    let (program, argv, env) = (image.plan.program.as_ptr(), image.argv.as_ptr(), image.env.as_ptr());
    // SAFETY: a NUL-terminated path and two NULL-terminated lists of NUL-terminated strings.
    unsafe { libc::syscall(libc::SYS_execve, program, argv, env) };
    Err(Failure::new(Stage::Exec, errno()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn decimal_numbers() {
        for n in [0, 7, 10, 32768, -1, -1000, c_long::MAX, c_long::MIN + 1] {
            let mut buffer = [0u8; DIGITS];
            assert_eq!(decimal(n, &mut buffer), n.to_string().as_bytes());
        }
    }

    #[test]
    fn pid_is_written_behind_the_sign_of_equality() {
        let mut entry = b"A=..........\0".to_vec();
        write_pid(&mut entry, 4711);
        assert!(entry.starts_with(b"A=4711\0"));
        let mut full = b"A=....\0".to_vec();
        write_pid(&mut full, 4711);
        assert_eq!(full, b"A=4711\0");
    }
}
