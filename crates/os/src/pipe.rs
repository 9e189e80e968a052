//! Pipes and named FIFOs.

use crate::errno::{check, check_len};
use std::ffi::{CString, c_int};
use std::fs::{OpenOptions, Permissions};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::ptr;

/// Makes a FIFO with these permissions, whatever the umask.
///
/// # Errors
/// The kernel's; `AlreadyExists` when something has that name.
pub fn mkfifo(path: &Path, mode: u32) -> io::Result<()> {
    let c_path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: a NUL-terminated string.
    check(unsafe { libc::mkfifo(c_path.as_ptr(), mode) })?;
    if path.symlink_metadata()?.permissions().mode() & 0o7777 == mode {
        return Ok(());
    }
    std::fs::set_permissions(path, Permissions::from_mode(mode))
}

/// Opens a FIFO for both directions, non-blocking; never waits, and refuses a symbolic link.
///
/// # Errors
/// The kernel's.
pub fn open_fifo(path: &Path) -> io::Result<OwnedFd> {
    let flags = libc::O_NONBLOCK | libc::O_NOCTTY | libc::O_NOFOLLOW;
    Ok(OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?.into())
}

/// A fresh, blocking description of the FIFO behind `fd`, for both directions. `name` is where it should lie, in
/// a folder of ours; when that is gone, is something else or needs a permission, the way is through our own
/// descriptor table. (By name it is cheaper, and the kernel keeps no entry of `/proc` for it, of which a process
/// with thousands dies slowly.)
///
/// # Errors
/// The kernel's.
pub fn reopen(fd: impl AsFd, name: &Path) -> io::Result<OwnedFd> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).custom_flags(libc::O_NOCTTY | libc::O_NOFOLLOW);
    // A FIFO that is opened for both directions waits for nobody.
    if let Ok(file) = options.open(name)
        && is_same(file.as_fd(), fd.as_fd())
    {
        return Ok(file.into());
    }
    let path = format!("/proc/self/fd/{}", fd.as_fd().as_raw_fd());
    Ok(OpenOptions::new().read(true).write(true).open(path)?.into())
}

fn is_same(a: BorrowedFd<'_>, b: BorrowedFd<'_>) -> bool {
    matches!((stat_of(a), stat_of(b)), (Ok(a), Ok(b)) if (a.st_dev, a.st_ino) == (b.st_dev, b.st_ino))
}

/// What fstat(2) says.
pub(crate) fn stat_of(fd: BorrowedFd<'_>) -> io::Result<libc::stat> {
    // SAFETY: plain data; all zeros is a valid value.
    let mut stat: libc::stat = unsafe { std::mem::zeroed() };
    // SAFETY: `stat` is a valid place for the answer.
    check(unsafe { libc::fstat(fd.as_raw_fd(), &raw mut stat) })?;
    Ok(stat)
}

/// Makes reads and writes of this description answer `WouldBlock` instead of waiting.
///
/// # Errors
/// The kernel's.
pub fn set_nonblocking(fd: &impl AsFd) -> io::Result<()> {
    let fd = fd.as_fd().as_raw_fd();
    // SAFETY: plain numbers.
    let flags = check(unsafe { libc::fcntl(fd, libc::F_GETFL) })?;
    // SAFETY: plain numbers.
    check(unsafe { libc::fcntl(fd, libc::F_SETFL, flags | libc::O_NONBLOCK) }).map(|_| ())
}

/// Gives the file behind a descriptor to a user.
///
/// # Errors
/// The kernel's.
pub fn fchown(fd: impl AsFd, uid: u32, gid: u32) -> io::Result<()> {
    std::os::unix::fs::fchown(fd, Some(uid), Some(gid))
}

/// Bytes that wait in a pipe or socket.
///
/// # Errors
/// The kernel's.
pub fn fionread(fd: impl AsFd) -> io::Result<usize> {
    let mut n: c_int = 0;
    // SAFETY: the request writes one int.
    check(unsafe { libc::ioctl(fd.as_fd().as_raw_fd(), libc::FIONREAD, &raw mut n) })?;
    Ok(usize::try_from(n).unwrap_or(0))
}

/// Bytes that a pipe can hold.
///
/// # Errors
/// The kernel's.
pub fn pipe_size(fd: impl AsFd) -> io::Result<usize> {
    // SAFETY: plain numbers.
    let size = check(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_GETPIPE_SZ) })?;
    Ok(usize::try_from(size).unwrap_or(0))
}

/// Asks for a pipe of another size; the size that it has now.
///
/// # Errors
/// EPERM: the user's share of pipe memory is used up; EBUSY: more than that waits in it.
pub fn set_pipe_size(fd: impl AsFd, size: usize) -> io::Result<usize> {
    let size = c_int::try_from(size).unwrap_or(c_int::MAX);
    // SAFETY: plain numbers.
    let size = check(unsafe { libc::fcntl(fd.as_fd().as_raw_fd(), libc::F_SETPIPE_SZ, size) })?;
    Ok(usize::try_from(size).unwrap_or(0))
}

/// Moves up to `len` bytes from one descriptor to another, of which one is a pipe, without waiting on a
/// pipe. With `offset` they go to that place of the target, which moves on; the target's own position
/// stays. The bytes leave the pipe only as they enter the target. 0: the other end is closed.
///
/// # Errors
/// `WouldBlock`; EINVAL for a target opened for appending.
pub fn splice(
    from: BorrowedFd<'_>,
    to: BorrowedFd<'_>,
    offset: Option<&mut i64>,
    len: usize,
) -> io::Result<usize> {
    let offset = offset.map_or(ptr::null_mut(), ptr::from_mut);
    let flags = libc::SPLICE_F_NONBLOCK | libc::SPLICE_F_MOVE;
    // SAFETY: the offset is null or valid; both descriptors are open.
    let n = unsafe { libc::splice(from.as_raw_fd(), ptr::null_mut(), to.as_raw_fd(), offset, len, flags) };
    check_len(n)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::{Read, Write};

    #[test]
    fn a_fifo_keeps_its_bytes_and_each_opening_its_own_flags() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out");
        mkfifo(&path, 0o600).unwrap();
        assert_eq!(mkfifo(&path, 0o600).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        let pump = open_fifo(&path).unwrap();
        let child = reopen(&pump, &path).unwrap();
        std::fs::remove_file(&path).unwrap();
        // Neither gone nor another's name leads astray.
        mkfifo(&path, 0o600).unwrap();
        drop(reopen(&pump, &dir.path().join("none")).unwrap());
        let late = reopen(&pump, &path).unwrap();
        assert!(is_same(late.as_fd(), pump.as_fd()) && is_same(child.as_fd(), pump.as_fd()));
        set_nonblocking(&child).unwrap();
        // SAFETY: plain numbers.
        let flags = unsafe { libc::fcntl(late.as_raw_fd(), libc::F_GETFL) };
        assert_eq!(flags & libc::O_NONBLOCK, 0);
        File::from(child).write_all(b"words").unwrap();
        assert_eq!(fionread(&pump).unwrap(), 5);
    }

    #[test]
    fn splice_moves_to_a_place_and_says_when_there_is_nothing() {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(b"0123456789").unwrap();
        let (read, mut write) = io::pipe().unwrap();
        write.write_all(b"abc").unwrap();
        let mut at = 2;
        assert_eq!(splice(read.as_fd(), file.as_fd(), Some(&mut at), 100).unwrap(), 3);
        assert_eq!(at, 5);
        let empty = splice(read.as_fd(), file.as_fd(), Some(&mut at), 100);
        assert_eq!(empty.unwrap_err().kind(), io::ErrorKind::WouldBlock);
        drop(write);
        assert_eq!(splice(read.as_fd(), file.as_fd(), Some(&mut at), 100).unwrap(), 0);
        let mut text = String::new();
        std::io::Seek::rewind(&mut file).unwrap();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "01abc56789");
    }

    #[test]
    fn pipes_can_grow() {
        let (read, _write) = io::pipe().unwrap();
        let before = pipe_size(&read).unwrap();
        assert_eq!(set_pipe_size(&read, before * 2).unwrap(), before * 2);
        assert_eq!(pipe_size(&read).unwrap(), before * 2);
    }
}
