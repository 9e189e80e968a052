//! The few system calls of the pump that neither std nor `supers_os` has, without unsafe code.

use rustix::event::{EventfdFlags, PollFd, PollFlags, Timespec, eventfd};
use rustix::pipe::SpliceFlags;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::OpenOptionsExt;

/// Flags of open(2) for what may turn out to be a terminal or a FIFO: neither wait nor take it over.
pub(super) fn calm_open() -> OpenOptions {
    let flags = rustix::fs::OFlags::NONBLOCK | rustix::fs::OFlags::NOCTTY;
    let mut options = OpenOptions::new();
    options.custom_flags(flags.bits().cast_signed());
    options
}

/// Moves up to `len` bytes out of a pipe to `at` in a file. The bytes leave the pipe only as they
/// enter the file.
pub(super) fn splice(pipe: &File, file: &File, at: u64, len: usize) -> io::Result<usize> {
    let mut at = i64::try_from(at).map_err(|_| io::ErrorKind::FileTooLarge)?;
    supers_os::pipe::splice(pipe.as_fd(), file.as_fd(), Some(&mut at), len)
}

/// Copies up to `len` bytes from one pipe to another; they stay in the first.
pub(super) fn tee(from: impl AsFd, to: impl AsFd, len: usize) -> io::Result<usize> {
    Ok(rustix::pipe::tee(from, to, len, SpliceFlags::NONBLOCK)?)
}

/// A pipe of our own.
pub(super) fn pipe() -> io::Result<(File, File)> {
    let (read, write) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
    Ok((read.into(), write.into()))
}

/// True when a write of a few kilobytes would not wait.
pub(super) fn writable(fd: impl AsFd) -> bool {
    let fd = fd.as_fd();
    let mut fds = [PollFd::new(&fd, PollFlags::OUT)];
    let ready = rustix::event::poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 0 }));
    matches!(ready, Ok(n) if n > 0)
}

/// Wakes the pump from another thread.
pub(super) struct Bell(OwnedFd);

impl Bell {
    /// A silent bell.
    pub(super) fn new() -> io::Result<Bell> {
        Ok(Bell(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?))
    }

    /// Wakes the pump now, or at its next wait.
    pub(super) fn ring(&self) {
        // Full only after 2^64 rings, and then it is still ringing.
        let _ = rustix::io::write(&self.0, &1_u64.to_ne_bytes());
    }

    /// Makes it silent again.
    pub(super) fn hush(&self) {
        // Silent already: just as well.
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Bell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
