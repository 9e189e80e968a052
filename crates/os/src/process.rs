//! This process, and facts about others from `/proc`.

use crate::errno::check;
use crate::reap;
use std::ffi::{CString, OsStr, c_int};
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use supers_core::exit::Exit;
use supers_core::spec::Resource;

/// This process's id.
pub fn pid() -> i32 {
    std::process::id().cast_signed()
}

/// The parent's id.
pub fn ppid() -> i32 {
    std::os::unix::process::parent_id().cast_signed()
}

/// The effective user.
pub fn euid() -> u32 {
    // SAFETY: cannot fail.
    unsafe { libc::geteuid() }
}

/// The effective group.
pub fn egid() -> u32 {
    // SAFETY: cannot fail.
    unsafe { libc::getegid() }
}

/// Makes a session of our own.
///
/// # Errors
/// EPERM: this process leads a process group already.
pub fn setsid() -> io::Result<()> {
    // SAFETY: no arguments.
    check(unsafe { libc::setsid() }).map(|_| ())
}

/// Makes a process group of our own.
///
/// # Errors
/// EPERM: this process leads a session.
pub fn setpgid() -> io::Result<()> {
    // SAFETY: plain numbers; 0 is this process.
    check(unsafe { libc::setpgid(0, 0) }).map(|_| ())
}

/// Orphans below this process become its children.
///
/// # Errors
/// The kernel's.
pub fn become_subreaper() -> io::Result<()> {
    // SAFETY: plain numbers.
    check(unsafe { libc::prctl(libc::PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0) }).map(|_| ())
}

/// The name by which `ps` and `pkill` know the calling thread (for the main thread: the process); cut
/// at 15 bytes.
///
/// # Errors
/// The name holds a NUL byte.
pub fn set_comm(name: &str) -> io::Result<()> {
    let name = CString::new(name)?;
    // SAFETY: a NUL-terminated string.
    check(unsafe { libc::prctl(libc::PR_SET_NAME, name.as_ptr(), 0, 0, 0) }).map(|_| ())
}

/// Our own oom_score_adj.
///
/// # Errors
/// `/proc` is not there.
pub fn oom_score_adj() -> io::Result<i32> {
    let text = fs::read_to_string("/proc/self/oom_score_adj")?;
    text.trim().parse().map_err(io::Error::other)
}

/// Sets our own oom_score_adj, -1000 to 1000.
///
/// # Errors
/// Lowering it needs CAP_SYS_RESOURCE.
pub fn set_oom_score_adj(adj: i32) -> io::Result<()> {
    fs::write("/proc/self/oom_score_adj", adj.to_string())
}

/// Sets our file mode mask; the one before.
pub fn set_umask(mask: u32) -> u32 {
    // SAFETY: plain number; cannot fail.
    unsafe { libc::umask(mask) }
}

/// Has at least so many open files: raises the soft limit, and the hard one where allowed
/// (supervisor-contract 1, `minfds`). True when it had to be raised.
///
/// # Errors
/// The limit cannot be raised so far.
pub fn raise_nofile(at_least: u64) -> io::Result<bool> {
    raise(Resource::Nofile, at_least)
}

/// The same for processes of this user (`minprocs`).
///
/// # Errors
/// The limit cannot be raised so far.
pub fn raise_nproc(at_least: u64) -> io::Result<bool> {
    raise(Resource::Nproc, at_least)
}

/// Starts a command in which no signal is blocked, whatever this thread blocks.
///
/// # Errors
/// The kernel's; the program is not there.
pub fn spawn_unblocked(command: &mut std::process::Command) -> io::Result<std::process::Child> {
    use std::os::unix::process::CommandExt;
    let open_mask = || {
        let mut none = std::mem::MaybeUninit::<libc::sigset_t>::uninit();
        // SAFETY: `none` is filled by the first call; both may be called between fork and exec.
        let errno = unsafe {
            libc::sigemptyset(none.as_mut_ptr());
            libc::pthread_sigmask(libc::SIG_SETMASK, none.as_ptr(), std::ptr::null_mut())
        };
        if errno == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(errno)) }
    };
    // SAFETY: the closure only makes calls that are safe in the child of a fork.
    unsafe { command.pre_exec(open_mask) }.spawn()
}

/// As many open files as the hard limit allows; the number.
///
/// # Errors
/// The kernel's.
pub fn raise_nofile_to_hard() -> io::Result<u64> {
    let (_, hard) = limit(Resource::Nofile)?;
    set_limit(Resource::Nofile, hard, hard)?;
    Ok(hard)
}

fn raise(resource: Resource, at_least: u64) -> io::Result<bool> {
    let (soft, hard) = limit(resource)?;
    if soft >= at_least {
        return Ok(false);
    }
    set_limit(resource, at_least, hard.max(at_least)).map(|()| true)
}

/// Soft and hard limit in force; `u64::MAX` is infinity.
///
/// # Errors
/// The kernel's.
pub fn limit(resource: Resource) -> io::Result<(u64, u64)> {
    let mut now = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: a valid place for the answer. The cast is to the enum type of the C prototype.
    check(unsafe { libc::getrlimit64(rlimit_number(resource) as _, &raw mut now) })?;
    Ok((now.rlim_cur, now.rlim_max))
}

fn set_limit(resource: Resource, soft: u64, hard: u64) -> io::Result<()> {
    let new = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    // SAFETY: a valid structure. The cast is to the enum type of the C prototype.
    check(unsafe { libc::setrlimit64(rlimit_number(resource) as _, &raw const new) }).map(|_| ())
}

/// The kernel's number of a resource.
pub(crate) fn rlimit_number(resource: Resource) -> c_int {
    let number = match resource {
        Resource::Cpu => libc::RLIMIT_CPU,
        Resource::Fsize => libc::RLIMIT_FSIZE,
        Resource::Data => libc::RLIMIT_DATA,
        Resource::Stack => libc::RLIMIT_STACK,
        Resource::Core => libc::RLIMIT_CORE,
        Resource::Rss => libc::RLIMIT_RSS,
        Resource::Nofile => libc::RLIMIT_NOFILE,
        Resource::As => libc::RLIMIT_AS,
        Resource::Nproc => libc::RLIMIT_NPROC,
        Resource::Memlock => libc::RLIMIT_MEMLOCK,
        Resource::Locks => libc::RLIMIT_LOCKS,
        Resource::Sigpending => libc::RLIMIT_SIGPENDING,
        Resource::Msgqueue => libc::RLIMIT_MSGQUEUE,
        Resource::Nice => libc::RLIMIT_NICE,
        Resource::Rtprio => libc::RLIMIT_RTPRIO,
        Resource::Rttime => libc::RLIMIT_RTTIME,
    };
    number as c_int
}

/// Becomes another user for good, in all threads.
///
/// # Errors
/// The kernel's; a part of it may have happened, so the process should end.
pub fn become_user(uid: u32, gid: u32, groups: &[u32]) -> io::Result<()> {
    // SAFETY: the list and its length belong together.
    check(unsafe { libc::setgroups(groups.len(), groups.as_ptr()) })?;
    // SAFETY: plain number.
    check(unsafe { libc::setgid(gid) })?;
    // SAFETY: plain number.
    check(unsafe { libc::setuid(uid) }).map(|_| ())
}

/// Takes over a descriptor that was left open for this process by the one that executed it, and makes
/// it close-on-exec.
///
/// It is taken once: whatever this process opened itself is close-on-exec (std sees to that), and so is
/// what was adopted, so nothing that somebody owns can be adopted.
///
/// # Errors
/// EBADF: not open, one of the three standard descriptors, or not left open for us.
pub fn adopt_fd(fd: RawFd) -> io::Result<OwnedFd> {
    let bad = || io::Error::from_raw_os_error(libc::EBADF);
    if fd < 3 {
        return Err(bad());
    }
    // SAFETY: plain numbers.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFD) })?;
    if flags & libc::FD_CLOEXEC != 0 {
        return Err(bad());
    }
    // SAFETY: plain numbers.
    check(unsafe { libc::fcntl(fd, libc::F_SETFD, flags | libc::FD_CLOEXEC) })?;
    // SAFETY: open, inherited, and nobody's yet (see above).
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Decides whether a program that this process becomes keeps the descriptor.
///
/// # Errors
/// The kernel's.
pub fn set_inheritable(fd: BorrowedFd<'_>, inheritable: bool) -> io::Result<()> {
    let flags = if inheritable { 0 } else { libc::FD_CLOEXEC };
    // SAFETY: plain numbers.
    check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_SETFD, flags) }).map(|_| ())
}

/// Lets go of the terminal: standard input, output and error become `/dev/null`.
///
/// # Errors
/// `/dev/null` cannot be opened.
pub fn detach_stdio() -> io::Result<()> {
    let null = OpenOptions::new().read(true).write(true).open("/dev/null")?;
    for fd in 0..3 {
        // SAFETY: replaces a standard descriptor, which stays open.
        check(unsafe { libc::dup2(null.as_raw_fd(), fd) })?;
    }
    Ok(())
}

/// Takes the lock of a file (made when absent) for as long as the descriptor, or a copy of it in any
/// process, is open. `None`: somebody holds it.
///
/// # Errors
/// The file cannot be made or opened.
pub fn lock_file(path: &Path) -> io::Result<Option<OwnedFd>> {
    match flock(path, libc::LOCK_EX | libc::LOCK_NB) {
        Ok(fd) => Ok(Some(fd)),
        Err(e) if e.kind() == io::ErrorKind::WouldBlock => Ok(None),
        Err(e) => Err(e),
    }
}

/// The same, and waits for whoever holds it.
///
/// # Errors
/// The file cannot be made or opened.
pub fn wait_for_lock(path: &Path) -> io::Result<OwnedFd> {
    flock(path, libc::LOCK_EX)
}

fn flock(path: &Path, how: libc::c_int) -> io::Result<OwnedFd> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut options = OpenOptions::new();
    let file: File =
        options.read(true).write(true).create(true).mode(0o600).custom_flags(flags).open(path)?;
    // SAFETY: plain numbers.
    check(unsafe { libc::flock(file.as_raw_fd(), how) }).map(|_| file.into())
}

/// Opens a plain file for reading and writing, makes it when that is asked for. Whoever owns its folder may have put
/// another file there: it must have no other name, and be that one's or our own.
///
/// # Errors
/// It is not there, or is not such a file.
pub fn open_own(path: &Path, create: bool) -> io::Result<File> {
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let mut options = OpenOptions::new();
    let file = options.read(true).write(true).create(create).mode(0o600).custom_flags(flags).open(path)?;
    let meta = file.metadata()?;
    if !meta.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let folder = path.parent().and_then(|folder| std::fs::metadata(folder).ok()).map(|folder| folder.uid());
    if meta.nlink() > 1 || !(meta.uid() == euid() || Some(meta.uid()) == folder) {
        return Err(io::Error::other("it may be somebody else's"));
    }
    Ok(file)
}

/// We may write there (with our effective user).
pub fn is_writable(path: &Path) -> bool {
    access(path, libc::W_OK)
}

/// We may execute it.
pub fn is_executable(path: &Path) -> bool {
    access(path, libc::X_OK)
}

fn access(path: &Path, how: c_int) -> bool {
    let Ok(path) = CString::new(path.as_os_str().as_bytes()) else { return false };
    // SAFETY: a NUL-terminated string.
    unsafe { libc::faccessat(libc::AT_FDCWD, path.as_ptr(), how, libc::AT_EACCESS) == 0 }
}

/// The program that this process executes.
///
/// # Errors
/// `/proc` is not there.
pub fn own_exe() -> io::Result<PathBuf> {
    let path = fs::read_link("/proc/self/exe")?;
    // What has taken its name since is meant.
    let bytes = path.as_os_str().as_bytes();
    Ok(match bytes.strip_suffix(b" (deleted)") {
        Some(name) if !path.exists() => PathBuf::from(OsStr::from_bytes(name)),
        Some(_) | None => path,
    })
}

/// Identity of this boot of the machine.
///
/// # Errors
/// `/proc` is not there.
pub fn boot_id() -> io::Result<String> {
    fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned())
}

/// When a process began, in clock ticks since boot: together with the boot's id and the process's, a
/// name that is never used twice.
///
/// # Errors
/// No such process.
pub fn start_time(pid: i32) -> io::Result<u64> {
    stat_field(pid, 22)
}

/// The process group that a process belongs to.
///
/// # Errors
/// No such process.
pub fn group_of(pid: i32) -> io::Result<i32> {
    let group = stat_field(pid, 5)?;
    i32::try_from(group).map_err(io::Error::other)
}

/// How a process ended that is a zombie and not ours (field 52; only for root and its own user);
/// `None` while it lives.
///
/// # Errors
/// No such process.
pub fn zombie_exit(pid: i32) -> io::Result<Option<Exit>> {
    let mut room = [0; STAT];
    let stat = stat(pid, &mut room)?;
    if field(stat, 3) != Some(&b"Z"[..]) {
        return Ok(None);
    }
    let status = field(stat, 52).and_then(number).and_then(|n| i32::try_from(n).ok());
    Ok(Some(status.map_or(Exit::Unknown, reap::exit_of_status)))
}

fn stat_field(pid: i32, n: usize) -> io::Result<u64> {
    let mut room = [0; STAT];
    field(stat(pid, &mut room)?, n)
        .and_then(number)
        .ok_or_else(|| io::Error::other("a stat line of unknown form"))
}

fn number(text: &[u8]) -> Option<u64> {
    std::str::from_utf8(text).ok()?.parse().ok()
}

/// A copy of a descriptor (close-on-exec) with a number far above those that are in use as a rule.
///
/// # Errors
/// The kernel's.
pub fn copy_high(fd: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    /// The table of descriptors grows to that size: 128 KiB of the kernel's memory.
    const HIGH: u64 = 1 << 14;
    let (soft, _) = limit(Resource::Nofile)?;
    let least = c_int::try_from(soft.min(HIGH).saturating_sub(1)).unwrap_or(0);
    // SAFETY: plain numbers.
    let copy = check(unsafe { libc::fcntl(fd.as_raw_fd(), libc::F_DUPFD_CLOEXEC, least) })?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(copy) })
}

/// Ends this process, without clearing anything away.
pub fn end_now(code: i32) -> ! {
    // SAFETY: plain numbers; does not come back.
    unsafe { libc::_exit(code) }
}

/// True when all threads of this process have begun to end and run none of its code any more. Allocates nothing.
pub fn is_exiting(pid: i32) -> bool {
    /// The kernel's PF_EXITING.
    const EXITING: u64 = 0x4;
    stat_field(pid, 9).is_ok_and(|flags| flags & EXITING != 0)
}

/// True when this process is ending, or is to: some of its threads may run on for a moment. Allocates nothing.
pub fn is_dying(pid: i32) -> bool {
    /// The bit of SIGKILL among pending signals.
    const KILLED: u64 = 1 << 8;
    is_exiting(pid) || stat_field(pid, 31).is_ok_and(|pending| pending & KILLED != 0)
}

/// The calling thread's number, which the kernel gives from the same range as those of processes.
pub fn thread_id() -> i32 {
    // SAFETY: takes nothing and cannot fail.
    unsafe { libc::gettid() }
}

/// Longer than any stat line.
const STAT: usize = 1024;

/// The stat line of a process, by one read.
fn stat(pid: i32, room: &mut [u8; STAT]) -> io::Result<&[u8]> {
    use io::{Read, Write};
    let mut path = [0; 32];
    let mut rest = &mut path[..];
    write!(rest, "/proc/{pid}/stat")?;
    let len = path.iter().position(|b| *b == 0).unwrap_or(path.len());
    let got = fs::File::open(OsStr::from_bytes(&path[..len]))?.read(room)?;
    Ok(room.get(..got).unwrap_or_default())
}

/// The n-th field (from 1; 3 and up) of a stat line. The second is in parentheses and may hold
/// anything, so fields are counted behind the last closing one.
fn field(stat: &[u8], n: usize) -> Option<&[u8]> {
    let end = stat.iter().rposition(|b| *b == b')')?;
    let rest = stat.get(end + 1..)?.trim_ascii();
    rest.split(|b| *b == b' ').nth(n.checked_sub(3)?)
}

/// Who listens on a TCP port of this machine: process id and name. As far as we may see: other users'
/// descriptors are hidden from all but root.
pub fn who_holds_tcp_port(port: u16) -> Option<(i32, String)> {
    let inodes: Vec<String> = ["/proc/net/tcp", "/proc/net/tcp6"]
        .iter()
        .filter_map(|path| fs::read_to_string(path).ok())
        .flat_map(|table| listeners(&table, port))
        .map(|inode| format!("socket:[{inode}]"))
        .collect();
    if inodes.is_empty() {
        return None;
    }
    let pids = fs::read_dir("/proc").ok()?.flatten();
    let holder = pids.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok()).find(|pid| {
        let fds = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let mut links = fds.filter_map(|fd| fs::read_link(fd.path()).ok());
        links.any(|link| inodes.iter().any(|i| link.as_os_str() == i.as_str()))
    })?;
    let comm = fs::read_to_string(format!("/proc/{holder}/comm")).unwrap_or_default();
    Some((holder, comm.trim_end().to_owned()))
}

/// Inodes of sockets that listen on the port, from a table of `/proc/net`.
fn listeners(table: &str, port: u16) -> Vec<u64> {
    let line = |line: &str| {
        let columns: Vec<&str> = line.split_ascii_whitespace().collect();
        let (local, state, inode) = (columns.get(1)?, columns.get(3)?, columns.get(9)?);
        let listens = *state == "0A" && local.ends_with(&format!(":{port:04X}"));
        listens.then(|| inode.parse().ok()).flatten()
    };
    table.lines().filter_map(line).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_port_is_traced_to_us() {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let (holder, name) = who_holds_tcp_port(port).unwrap();
        assert_eq!(holder, pid());
        assert!(!name.is_empty());
        drop(listener);
        assert_eq!(who_holds_tcp_port(port), None);
    }

    #[test]
    fn stat_lines_with_odd_names() {
        let line = b"12 (a) (b) Z 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 4242 20\n";
        assert_eq!(field(line, 3), Some(&b"Z"[..]));
        assert_eq!(field(line, 22), Some(&b"4242"[..]));
        assert_eq!(field(line, 99), None);
        assert_eq!(field(b"nonsense", 3), None);
        assert!(start_time(pid()).unwrap() > 0);
    }

    #[test]
    fn a_zombie_shows_its_code() {
        use std::os::fd::AsFd;
        let mut child = std::process::Command::new("/bin/sh").args(["-c", "exit 9"]).spawn().unwrap();
        let id = child.id().cast_signed();
        let pidfd = reap::pidfd_open(supers_core::ids::Pid(id)).unwrap();
        crate::poll::wait_readable(pidfd.as_fd(), None).unwrap();
        assert_eq!(zombie_exit(id).unwrap(), Some(Exit::Code(9)));
        assert_eq!(zombie_exit(pid()).unwrap(), None);
        child.wait().unwrap();
    }

    #[test]
    fn a_lock_is_held_by_one() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("lock");
        let held = lock_file(&path).unwrap();
        assert!(held.is_some());
        assert!(lock_file(&path).unwrap().is_none());
        drop(held);
        assert!(lock_file(&path).unwrap().is_some());
    }

    #[test]
    fn only_inherited_descriptors_are_adopted_and_only_once() {
        let (read, _write) = io::pipe().unwrap();
        assert!(adopt_fd(read.as_raw_fd()).is_err(), "it has an owner");
        for fd in [-1, 0, 2, 99_999] {
            assert!(adopt_fd(fd).is_err());
        }
        // SAFETY: plain numbers; a copy without close-on-exec, as one would inherit it.
        let left = unsafe { libc::dup(read.as_raw_fd()) };
        let adopted = adopt_fd(left).unwrap();
        assert!(adopt_fd(left).is_err());
        drop(adopted);
    }

    #[test]
    fn limits_can_be_read_and_raised() {
        let (soft, hard) = limit(Resource::Nofile).unwrap();
        assert!(soft <= hard);
        raise_nofile(soft).unwrap();
        assert_eq!(raise_nofile_to_hard().unwrap(), hard);
        assert_eq!(limit(Resource::Nofile).unwrap(), (hard, hard));
    }

    #[test]
    fn facts_about_this_process() {
        assert_eq!(boot_id().unwrap().len(), 36);
        assert!(own_exe().unwrap().exists());
        assert!((-1000..=1000).contains(&oom_score_adj().unwrap()));
        assert!(is_executable(Path::new("/bin/sh")) && !is_executable(Path::new("/no/such")));
        assert!(is_writable(&std::env::temp_dir()));
    }
}
