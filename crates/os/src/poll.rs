//! Waiting for descriptors.

use crate::errno::{check, retry};
use std::ffi::{c_int, c_short};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::time::Duration;

/// What to be told of. An end or an error of the other side is always told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Interest {
    /// It can be read.
    Read,
    /// It can be written.
    Write,
    /// Either.
    ReadWrite,
    /// Neither; only its end.
    Neither,
    /// It can be read; told once, until [`Epoll::modify`] arms it again.
    ReadOnce,
    /// Only its end; told once.
    EndOnce,
    /// It can be written; told once, until [`Epoll::modify`] arms it again.
    WriteOnce,
}

/// A descriptor that is ready.
#[derive(Clone, Copy)]
#[repr(transparent)]
pub struct Event(libc::epoll_event);

/// A level-triggered epoll. It is itself a descriptor that can be waited for.
#[derive(Debug)]
pub struct Epoll(OwnedFd);

impl Interest {
    fn bits(self) -> u32 {
        let bits = match self {
            Interest::Read => libc::EPOLLIN,
            Interest::Write => libc::EPOLLOUT,
            Interest::ReadWrite => libc::EPOLLIN | libc::EPOLLOUT,
            Interest::Neither => 0,
            Interest::EndOnce => libc::EPOLLONESHOT,
            Interest::ReadOnce => libc::EPOLLIN | libc::EPOLLONESHOT,
            Interest::WriteOnce => libc::EPOLLOUT | libc::EPOLLONESHOT,
        };
        bits.cast_unsigned()
    }
}

impl Default for Event {
    fn default() -> Event {
        Event(libc::epoll_event { events: 0, u64: 0 })
    }
}

impl Event {
    /// The token that the descriptor was added with.
    pub fn token(&self) -> u64 {
        self.0.u64
    }

    /// It can be read, or has ended.
    pub fn readable(&self) -> bool {
        self.has(libc::EPOLLIN | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// It can be written, or has ended.
    pub fn writable(&self) -> bool {
        self.has(libc::EPOLLOUT | libc::EPOLLHUP | libc::EPOLLERR)
    }

    /// The other side has ended.
    pub fn ended(&self) -> bool {
        self.has(libc::EPOLLHUP | libc::EPOLLERR)
    }

    fn has(&self, bits: c_int) -> bool {
        let events = self.0.events;
        events & bits.cast_unsigned() != 0
    }
}

impl Epoll {
    /// An empty set.
    ///
    /// # Errors
    /// The kernel refuses a descriptor.
    pub fn new() -> io::Result<Epoll> {
        // SAFETY: plain number.
        let fd = check(unsafe { libc::epoll_create1(libc::EPOLL_CLOEXEC) })?;
        // SAFETY: a fresh descriptor that nobody else owns.
        Ok(Epoll(unsafe { OwnedFd::from_raw_fd(fd) }))
    }

    /// Adds a descriptor. Remove it before it is closed, if copies of it may live on.
    ///
    /// # Errors
    /// The kernel's: it is in the set already, or cannot be waited for (a regular file).
    pub fn add(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_ADD, fd, token, interest)
    }

    /// Changes token and interest.
    ///
    /// # Errors
    /// It is not in the set.
    pub fn modify(&self, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_MOD, fd, token, interest)
    }

    /// Takes a descriptor out.
    ///
    /// # Errors
    /// It is not in the set.
    pub fn remove(&self, fd: BorrowedFd<'_>) -> io::Result<()> {
        self.control(libc::EPOLL_CTL_DEL, fd, 0, Interest::Neither)
    }

    fn control(&self, how: c_int, fd: BorrowedFd<'_>, token: u64, interest: Interest) -> io::Result<()> {
        let mut event = libc::epoll_event { events: interest.bits(), u64: token };
        // SAFETY: both descriptors are open; the event is only read.
        check(unsafe { libc::epoll_ctl(self.0.as_raw_fd(), how, fd.as_raw_fd(), &raw mut event) }).map(|_| ())
    }

    /// Waits until something is ready or the time is over (rounded up to milliseconds; `None` waits for
    /// ever), and says how many of `events` were filled: none when a signal handler ran.
    ///
    /// # Errors
    /// The kernel's.
    pub fn wait(&self, events: &mut [Event], timeout: Option<Duration>) -> io::Result<usize> {
        let room = c_int::try_from(events.len()).unwrap_or(c_int::MAX);
        let list = events.as_mut_ptr().cast::<libc::epoll_event>();
        // SAFETY: `Event` is a transparent wrapper; the list has room for `room` of them.
        let n = check(unsafe { libc::epoll_wait(self.0.as_raw_fd(), list, room, milliseconds(timeout)) });
        match n {
            Ok(n) => Ok(usize::try_from(n).unwrap_or(0)),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => Ok(0),
            Err(e) => Err(e),
        }
    }
}

impl AsFd for Epoll {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

impl AsRawFd for Epoll {
    fn as_raw_fd(&self) -> RawFd {
        self.0.as_raw_fd()
    }
}

/// Waits until one descriptor can be read or has ended; false when the time was over.
///
/// # Errors
/// The kernel's.
pub fn wait_readable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    wait_for(fd, libc::POLLIN, timeout)
}

/// Waits until a write would not wait, or would fail; false when the time was over.
///
/// # Errors
/// The kernel's.
pub fn wait_writable(fd: BorrowedFd<'_>, timeout: Option<Duration>) -> io::Result<bool> {
    wait_for(fd, libc::POLLOUT, timeout)
}

fn wait_for(fd: BorrowedFd<'_>, events: c_short, timeout: Option<Duration>) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: fd.as_raw_fd(), events, revents: 0 };
    // SAFETY: one valid entry.
    retry(|| check(unsafe { libc::poll(&raw mut entry, 1, milliseconds(timeout)) })).map(|n| n > 0)
}

fn milliseconds(timeout: Option<Duration>) -> c_int {
    timeout.map_or(-1, |t| c_int::try_from(t.as_nanos().div_ceil(1_000_000)).unwrap_or(c_int::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    #[test]
    fn ready_descriptors_are_told_by_token() {
        let (read, mut write) = io::pipe().unwrap();
        let epoll = Epoll::new().unwrap();
        let mut events = [Event::default(); 4];
        epoll.add(read.as_fd(), 7, Interest::Read).unwrap();
        assert!(epoll.add(read.as_fd(), 8, Interest::Read).is_err());
        assert_eq!(epoll.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
        write.write_all(b"x").unwrap();
        assert_eq!(epoll.wait(&mut events, None).unwrap(), 1);
        assert!(events[0].token() == 7 && events[0].readable() && !events[0].ended());
        epoll.modify(read.as_fd(), 9, Interest::Neither).unwrap();
        assert_eq!(epoll.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
        drop(write);
        assert_eq!(epoll.wait(&mut events, None).unwrap(), 1);
        assert!(events[0].token() == 9 && events[0].ended());
        epoll.remove(read.as_fd()).unwrap();
        assert_eq!(epoll.wait(&mut events, Some(Duration::ZERO)).unwrap(), 0);
    }

    #[test]
    fn times_are_rounded_up() {
        assert_eq!(milliseconds(Some(Duration::from_nanos(1))), 1);
        assert_eq!(milliseconds(Some(Duration::from_millis(5))), 5);
        assert_eq!(milliseconds(Some(Duration::MAX)), c_int::MAX);
        assert_eq!(milliseconds(None), -1);
    }

    #[test]
    fn waiting_for_one_has_an_end() {
        let (read, write) = io::pipe().unwrap();
        assert!(!wait_readable(read.as_fd(), Some(Duration::from_millis(1))).unwrap());
        assert!(wait_writable(write.as_fd(), None).unwrap());
        drop(write);
        assert!(wait_readable(read.as_fd(), None).unwrap());
    }
}
