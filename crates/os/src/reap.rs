//! Learning how processes ended, and ending them. Always by a named process: with thousands of children
//! waiting for "any" costs the kernel hundreds of microseconds each time (limits.md, section 4).

use crate::errno::{check, check_long, retry};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};
use std::sync::OnceLock;
use supers_core::exit::Exit;
use supers_core::ids::Pid;
use supers_core::signal::Signal;

/// How our child ended, if it did; it stays a zombie, so its id stays taken.
///
/// # Errors
/// ECHILD: no such child of ours.
pub fn peek(pid: Pid) -> io::Result<Option<Exit>> {
    waitid(pid, libc::WNOHANG | libc::WNOWAIT)
}

/// Some child of ours is a zombie: one question instead of one for each child.
pub fn is_any_ended() -> bool {
    // SAFETY: plain data; all zeros is valid, and means "nothing" when the call fills nothing in.
    let mut info: libc::siginfo_t = unsafe { MaybeUninit::zeroed().assume_init() };
    let flags = libc::WEXITED | libc::WNOHANG | libc::WNOWAIT;
    // SAFETY: `info` is a valid place for the answer.
    let asked = retry(|| check(unsafe { libc::waitid(libc::P_ALL, 0, &raw mut info, flags) }));
    // SAFETY: waitid filled in the fields of a child's end, or left zeros.
    asked.is_ok() && unsafe { info.si_pid() } != 0
}

/// How our child ended, if it did; its id is free from now on.
///
/// # Errors
/// ECHILD: no such child of ours.
pub fn reap(pid: Pid) -> io::Result<Option<Exit>> {
    waitid(pid, libc::WNOHANG)
}

/// Waits until our child ends, and reaps it.
///
/// # Errors
/// ECHILD: no such child of ours.
pub fn wait(pid: Pid) -> io::Result<Exit> {
    waitid(pid, 0).map(|exit| exit.unwrap_or(Exit::Unknown))
}

/// A number that tells the process behind this pidfd from any other of this boot, whatever their ids: the pidfd's
/// own inode (6.9 and later), else when the process began.
///
/// # Errors
/// It is gone already.
pub fn identity(pidfd: &OwnedFd, pid: Pid) -> io::Result<u64> {
    static NUMBERED: OnceLock<bool> = OnceLock::new();
    let numbered = *NUMBERED.get_or_init(|| is_of_pidfs(pidfd).unwrap_or(false));
    match numbered {
        true => Ok(crate::pipe::stat_of(pidfd.as_fd())?.st_ino),
        false => crate::process::start_time(pid.0),
    }
}

/// True where pidfds have a file system of their own, which never uses a number twice.
fn is_of_pidfs(pidfd: &OwnedFd) -> io::Result<bool> {
    const PID_FS_MAGIC: u64 = 0x5049_4446;
    // SAFETY: plain data; all zeros is a valid value.
    let mut stat: libc::statfs = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: `stat` is a valid place for the answer.
    check(unsafe { libc::fstatfs(pidfd.as_raw_fd(), &raw mut stat) })?;
    Ok(stat.f_type as u64 == PID_FS_MAGIC)
}

fn waitid(pid: Pid, flags: i32) -> io::Result<Option<Exit>> {
    let id = libc::id_t::try_from(pid.0).map_err(|_| io::Error::from_raw_os_error(libc::ECHILD))?;
    // SAFETY: plain data; all zeros is valid, and means "nothing" when the call fills nothing in.
    let mut info: libc::siginfo_t = unsafe { MaybeUninit::zeroed().assume_init() };
    // SAFETY: `info` is a valid place for the answer.
    retry(|| check(unsafe { libc::waitid(libc::P_PID, id, &raw mut info, libc::WEXITED | flags) }))?;
    // SAFETY: waitid filled in the fields of a child's end, or left zeros.
    let (who, status) = unsafe { (info.si_pid(), info.si_status()) };
    Ok((who != 0).then(|| exit_of(info.si_code, status)))
}

/// The two fields of a siginfo in our words.
fn exit_of(code: i32, status: i32) -> Exit {
    let signal = |core| match Signal::from_number(status.into()) {
        Some(signal) => Exit::Signal { signal, core },
        None => Exit::Unknown,
    };
    match code {
        libc::CLD_EXITED => Exit::Code((status & 0xff) as u8),
        libc::CLD_KILLED => signal(false),
        libc::CLD_DUMPED => signal(true),
        _ => Exit::Unknown,
    }
}

/// The end that a status of wait(2) (or field 52 of a zombie's `/proc/PID/stat`) stands for.
pub fn exit_of_status(status: i32) -> Exit {
    let signal = status & 0x7f;
    if signal == 0 {
        return Exit::Code(((status >> 8) & 0xff) as u8);
    }
    match Signal::from_number(signal.into()) {
        Some(signal) => Exit::Signal { signal, core: status & 0x80 != 0 },
        None => Exit::Unknown,
    }
}

/// A descriptor that stands for a process and becomes readable when it ends. Only meaningful while
/// something (being its parent, a zombie) keeps the id from being given to another.
///
/// # Errors
/// ESRCH: no such process.
pub fn pidfd_open(pid: Pid) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers.
    let fd = check_long(unsafe { libc::syscall(libc::SYS_pidfd_open, pid.0, 0) })?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: a fresh descriptor (the kernel makes it close-on-exec) that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// The same for one thread of a process, which need not be its first: readable when that has ended. Since Linux 6.9.
///
/// # Errors
/// An older kernel, or no such thread.
pub fn pidfd_of_thread(thread: i32) -> io::Result<OwnedFd> {
    /// The kernel's PIDFD_THREAD.
    const THREAD: i32 = libc::O_EXCL;
    // SAFETY: plain numbers.
    let fd = check_long(unsafe { libc::syscall(libc::SYS_pidfd_open, thread, THREAD) })?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: a fresh descriptor (the kernel makes it close-on-exec) that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// As much of the kernel's `struct pidfd_info` as its first version had.
#[repr(C)]
#[derive(Default)]
struct PidfdInfo {
    /// What is asked for, then what is there.
    mask: u64,
    cgroup: u64,
    ids: [u32; 11],
    exit_code: i32,
}

/// `PIDFD_GET_INFO`: `_IOWR(0xff, 11, struct pidfd_info)`, 64 bytes.
const GET_INFO: libc::Ioctl = 0xc040_ff0b_u32 as libc::Ioctl;
/// `PIDFD_INFO_EXIT`
const INFO_EXIT: u64 = 1 << 3;

/// How the process behind this descriptor ended, whoever its parent is (Linux 6.15 and later). `None` while
/// it lives, or is a zombie.
///
/// # Errors
/// The kernel does not tell.
pub fn pidfd_exit(pidfd: &OwnedFd) -> io::Result<Option<Exit>> {
    let mut info = PidfdInfo { mask: INFO_EXIT, ..PidfdInfo::default() };
    // SAFETY: the number says that 64 bytes are read and written, which is the size of the structure.
    check(unsafe { libc::ioctl(pidfd.as_raw_fd(), GET_INFO, &raw mut info) })?;
    Ok((info.mask & INFO_EXIT != 0).then(|| exit_of_status(info.exit_code)))
}

/// Sends a signal to exactly this process, whatever became of its id.
///
/// # Errors
/// ESRCH: it is gone; EPERM.
pub fn pidfd_signal(pidfd: &OwnedFd, signal: Signal) -> io::Result<()> {
    let fd = pidfd.as_raw_fd();
    // SAFETY: plain numbers; no siginfo is given.
    let done = unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal.number(), 0usize, 0) };
    check_long(done).map(|_| ())
}

/// A copy of a descriptor of another process.
///
/// # Errors
/// EBADF: it has none of this number; EPERM; ENOSYS before Linux 5.6.
pub fn pidfd_getfd(pidfd: &OwnedFd, number: i32) -> io::Result<OwnedFd> {
    // SAFETY: plain numbers.
    let fd = check_long(unsafe { libc::syscall(libc::SYS_pidfd_getfd, pidfd.as_raw_fd(), number, 0) })?;
    let fd = i32::try_from(fd).map_err(io::Error::other)?;
    // SAFETY: the kernel made this descriptor for us just now.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a signal to a process group; only safe while its leader is alive or an unreaped zombie.
///
/// # Errors
/// ESRCH: the group is empty; EPERM: none of it may be signalled.
pub fn kill_group(leader: Pid, signal: Signal) -> io::Result<()> {
    send(-positive(leader)?, signal)
}

/// Sends a signal to a process by its id.
///
/// # Errors
/// ESRCH: there is none; EPERM.
pub fn kill(pid: Pid, signal: Signal) -> io::Result<()> {
    send(positive(pid)?, signal)
}

/// 0, 1 below zero and the like mean other things to kill(2): whole sessions, everybody.
fn positive(pid: Pid) -> io::Result<i32> {
    if pid.0 > 1 { Ok(pid.0) } else { Err(io::Error::from_raw_os_error(libc::ESRCH)) }
}

fn send(target: i32, signal: Signal) -> io::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::kill(target, signal.number()) }).map(|_| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_process_has_a_number_of_its_own() {
        let own = Pid(crate::process::pid());
        let pidfd = pidfd_open(own).unwrap();
        let number = identity(&pidfd, own).unwrap();
        assert_eq!(identity(&pidfd_open(own).unwrap(), own).unwrap(), number, "by another pidfd");
        let parent = Pid(crate::process::ppid());
        let other = pidfd_open(parent).unwrap();
        assert!(number != 0 && identity(&other, parent).unwrap() != number);
    }

    #[test]
    fn a_stranger_s_end_is_told_when_its_parent_has_reaped_it() {
        let mut child = std::process::Command::new("sh")
            .args(["-c", "read x; exit 7"])
            .stdin(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let pidfd = pidfd_open(Pid(child.id() as i32)).unwrap();
        match pidfd_exit(&pidfd) {
            Ok(told) => assert_eq!(told, None, "it lives"),
            // An older kernel, which does not tell.
            Err(e) => {
                child.kill().unwrap();
                child.wait().unwrap();
                return assert_eq!(e.raw_os_error(), Some(libc::ENOTTY));
            }
        }
        drop(child.stdin.take());
        crate::poll::wait_readable(std::os::fd::AsFd::as_fd(&pidfd), None).unwrap();
        assert_eq!(pidfd_exit(&pidfd).unwrap(), None, "a zombie");
        child.wait().unwrap();
        assert_eq!(pidfd_exit(&pidfd).unwrap(), Some(Exit::Code(7)));
    }
    use std::os::fd::AsFd;
    use std::process::{Command, Stdio};

    fn child(script: &str) -> (Pid, OwnedFd, std::process::Child) {
        let child = Command::new("/bin/sh").args(["-c", script]).stdin(Stdio::piped()).spawn().unwrap();
        let pid = Pid(i32::try_from(child.id()).unwrap());
        (pid, pidfd_open(pid).unwrap(), child)
    }

    #[test]
    fn peek_leaves_the_zombie_and_reap_takes_it() {
        let (pid, pidfd, mut child) = child("read x; exit 7");
        assert_eq!(peek(pid).unwrap(), None);
        drop(child.stdin.take());
        assert!(crate::poll::wait_readable(pidfd.as_fd(), None).unwrap());
        assert_eq!(peek(pid).unwrap(), Some(Exit::Code(7)));
        assert!(is_any_ended());
        assert_eq!(reap(pid).unwrap(), Some(Exit::Code(7)));
        assert_eq!(reap(pid).unwrap_err().raw_os_error(), Some(libc::ECHILD));
    }

    #[test]
    fn signals_by_pidfd_and_group() {
        let (pid, pidfd, _child) = child("read x");
        pidfd_signal(&pidfd, Signal::KILL).unwrap();
        assert_eq!(wait(pid).unwrap(), Exit::Signal { signal: Signal::KILL, core: false });
        assert_eq!(pidfd_signal(&pidfd, Signal::KILL).unwrap_err().raw_os_error(), Some(libc::ESRCH));
        for pid in [0, -1, 1] {
            assert!(kill(Pid(pid), Signal::KILL).is_err() && kill_group(Pid(pid), Signal::KILL).is_err());
        }
    }

    #[test]
    fn statuses_in_words() {
        let killed = |core| Exit::Signal { signal: Signal::KILL, core };
        assert_eq!(exit_of_status(0x0700), Exit::Code(7));
        assert_eq!(exit_of_status(9), killed(false));
        assert_eq!(exit_of_status(0x89), killed(true));
        assert_eq!(exit_of(libc::CLD_DUMPED, 9), killed(true));
        assert_eq!(exit_of(libc::CLD_STOPPED, 9), Exit::Unknown);
    }
}
