//! Low places in the descriptor table for a child's descriptors.
//!
//! A clone copies the whole table: 85 microseconds at 10,000 open descriptors, as much as the rest of a
//! start. A child that shares the table instead and un-shares only its low end pays nothing for its
//! size. For that its descriptors must lie low: they are put here before the clone, and
//! replaced by /dev/null after it, so that nobody's pipe is held open. There are several sets of places, so
//! that several threads can start processes at once.

use crate::errno::check;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd, RawFd};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};

/// Slots above this are not worth the while.
const LOW: RawFd = 128;

/// So many descriptors find a place: the standard ones and what a daemon gets.
const PLACES: usize = 6;

/// So many threads can start a process at the same time; more wait for each other.
pub const HANDS: usize = 4;

/// The slots of this process, one set a child under way, each made when it is needed first or by
/// [`reserve_places`].
static SLOTS: [Mutex<Kept>; HANDS] = [const { Mutex::new(Kept::Untried) }; HANDS];

enum Kept {
    Untried,
    /// All low places were taken already.
    None,
    Some(Slots),
}

struct Slots {
    null: OwnedFd,
    places: [OwnedFd; PLACES],
}

/// The descriptors of one child in their slots. Nobody else uses these until it is dropped, which is when this child
/// executes.
pub(super) struct Parked {
    guard: MutexGuard<'static, Kept>,
    count: usize,
}

/// Takes the low places for later, while there are some: to be called before thousands of descriptors are opened.
pub fn reserve_places() {
    for set in &SLOTS {
        made(&mut set.lock().unwrap_or_else(PoisonError::into_inner));
    }
}

fn made(kept: &mut Kept) {
    if matches!(kept, Kept::Untried) {
        *kept = Slots::make().map_or(Kept::None, Kept::Some);
    }
}

/// A set that no child uses now.
fn slots() -> MutexGuard<'static, Kept> {
    let free = SLOTS.iter().find_map(|set| match set.try_lock() {
        Ok(guard) => Some(guard),
        Err(TryLockError::Poisoned(e)) => Some(e.into_inner()),
        Err(TryLockError::WouldBlock) => None,
    });
    let [first, ..] = &SLOTS;
    let mut guard = free.unwrap_or_else(|| first.lock().unwrap_or_else(PoisonError::into_inner));
    made(&mut guard);
    guard
}

/// Parks descriptors; `None` when there is no low place for them, or the kernel lacks close_range.
pub(super) fn park(all: &[RawFd]) -> Option<Parked> {
    let guard = slots();
    let Kept::Some(slots) = &*guard else { return None };
    if all.len() > PLACES {
        return None;
    }
    let parked = all.iter().zip(&slots.places).try_for_each(|(from, to)| copy(*from, to));
    let parked_all = parked.is_ok();
    let parked = Parked { guard, count: all.len() };
    parked_all.then_some(parked)
}

impl Parked {
    /// The slots in use, in order.
    pub(super) fn numbers(&self) -> impl Iterator<Item = RawFd> {
        let places = match &*self.guard {
            Kept::Some(slots) => &slots.places[..],
            Kept::Untried | Kept::None => &[],
        };
        places.iter().take(self.count).map(AsRawFd::as_raw_fd)
    }

    /// The first place above them.
    pub(super) fn above(&self) -> RawFd {
        self.numbers().max().unwrap_or(2) + 1
    }
}

impl Drop for Parked {
    fn drop(&mut self) {
        if let Kept::Some(slots) = &*self.guard {
            for slot in slots.places.iter().take(self.count) {
                // Both are open and no table grows: this cannot fail.
                let _ = copy(slots.null.as_raw_fd(), slot);
            }
        }
    }
}

impl Slots {
    fn make() -> Option<Slots> {
        let null = OwnedFd::from(OpenOptions::new().read(true).write(true).open("/dev/null").ok()?);
        let low = || {
            // SAFETY: plain numbers.
            let fd = unsafe { libc::fcntl(null.as_raw_fd(), libc::F_DUPFD_CLOEXEC, 3) };
            // SAFETY: a fresh descriptor that nobody else owns.
            check(fd).ok().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }).filter(|fd| fd.as_raw_fd() < LOW)
        };
        let places = [low()?, low()?, low()?, low()?, low()?, low()?];
        Some(Slots { null, places })
    }
}

fn copy(from: RawFd, to: &OwnedFd) -> io::Result<()> {
    // SAFETY: `to` is ours and stays open: its number now names what `from` names.
    check(unsafe { libc::dup3(from, to.as_raw_fd(), libc::O_CLOEXEC) }).map(|_| ())
}
