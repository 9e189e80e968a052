//! Many things in one message: what a new daemon is told of runs and descriptors. One message each cost, with a
//! thousand units, most of the time in which nobody answered.
//!
//! Such a message is longer than others: behind the usual [`SIZE`] bytes, in which the second number counts,
//! comes an entry of 16 bytes for each thing (four bytes of a number, four that are not 0 when it has ended, eight of
//! a name), and descriptors ride along in the order of the entries.

use super::{SIZE, ToDaemon, Wire};
use crate::errno::retry;
use crate::socket;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Most things of one message.
pub const MANY: usize = socket::MAX_FDS;
const ENTRY: usize = 16;
const WHOLE: usize = SIZE + MANY * ENTRY;
/// Kinds, pinned.
const HELD: u16 = 34;
const LIVING: u16 = 35;

/// What the keeper tells a daemon that takes over.
#[derive(Debug)]
pub enum Heard {
    /// A message of the usual size, with its passenger.
    Word(ToDaemon, Option<OwnedFd>),
    /// Processes and their runs, as [`ToDaemon::Living`], and whether they have ended.
    Living(Vec<(i32, u64, bool)>),
    /// Keys and their descriptors, as [`ToDaemon::Held`]. Those for which this process had no room are missing.
    Held(Vec<(u64, OwnedFd)>),
}

/// A message with many things, in memory of a fixed size.
#[derive(Debug)]
pub struct Pile {
    kind: u16,
    count: usize,
    bytes: [u8; WHOLE],
}

impl Pile {
    /// Processes and their runs.
    pub fn living() -> Pile {
        Pile { kind: LIVING, count: 0, bytes: [0; WHOLE] }
    }

    /// Keys, to be told with their descriptors.
    pub fn held() -> Pile {
        Pile { kind: HELD, count: 0, bytes: [0; WHOLE] }
    }

    /// Adds a process and its run, or 0 and a key. False when nothing more fits.
    pub fn add(&mut self, number: i32, name: u64, ended: bool) -> bool {
        let at = SIZE + self.count * ENTRY;
        let Some(place) = self.bytes.get_mut(at..at + ENTRY) else { return false };
        let (head, tail) = place.split_at_mut(8);
        let numbers = [number.to_ne_bytes(), i32::from(ended).to_ne_bytes()];
        head.iter_mut().zip(numbers.into_iter().flatten()).for_each(|(to, from)| *to = from);
        tail.copy_from_slice(&name.to_ne_bytes());
        self.count += 1;
        true
    }

    /// Things in it.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Sends it. Allocates nothing.
    ///
    /// # Errors
    /// As for [`super::send_fd`].
    pub fn tell(&mut self, fd: BorrowedFd<'_>, passengers: &[BorrowedFd<'_>]) -> io::Result<()> {
        let head = Wire { kind: self.kind, b: self.count as u64, ..Wire::default() }.pack();
        let len = SIZE + self.count * ENTRY;
        let (Some(place), count) = (self.bytes.get_mut(..SIZE), self.count) else { return Ok(()) };
        place.copy_from_slice(&head);
        debug_assert!(count <= MANY, "as many as fit");
        let message = self.bytes.get(..len).unwrap_or_default();
        retry(|| socket::send_fds(fd, message, passengers))
    }
}

/// The keeper's next message, of whatever size; `None` when the keeper is gone.
///
/// # Errors
/// `WouldBlock` when there is none yet.
pub fn recv_any(fd: BorrowedFd<'_>) -> io::Result<Option<Heard>> {
    let (mut bytes, mut fds) = ([0u8; WHOLE], Vec::new());
    loop {
        fds.clear();
        let got = retry(|| socket::recv_fds(fd, &mut bytes, &mut fds))?;
        if got == 0 {
            return Ok(None);
        }
        match bytes.get(..got).and_then(|bytes| understand(bytes, &mut fds)) {
            // The kernel dropped what this process has no room for.
            Some(Heard::Held(held)) if Some(held.len()) != entries_in(got) => {
                return Err(io::Error::from_raw_os_error(libc::EMFILE));
            }
            Some(heard) => return Ok(Some(heard)),
            None => {}
        }
    }
}

/// Entries of a pile of this length.
fn entries_in(length: usize) -> Option<usize> {
    Some(length.checked_sub(SIZE)? / ENTRY)
}

fn understand(bytes: &[u8], fds: &mut Vec<OwnedFd>) -> Option<Heard> {
    let (head, tail) = bytes.split_at_checked(SIZE)?;
    let head: &[u8; SIZE] = head.try_into().ok()?;
    if tail.is_empty() {
        return ToDaemon::decode(head).map(|word| Heard::Word(word, fds.drain(..).next()));
    }
    let entries = || tail.chunks_exact(ENTRY).filter_map(entry);
    match Wire::unpack(head).kind {
        LIVING => Some(Heard::Living(entries().collect())),
        HELD => Some(Heard::Held(entries().map(|(_, key, _)| key).zip(fds.drain(..)).collect())),
        _ => None,
    }
}

fn entry(bytes: &[u8]) -> Option<(i32, u64, bool)> {
    let number = bytes.get(..4)?.try_into().ok()?;
    let ended = bytes.get(4..8)?.iter().any(|b| *b != 0);
    let name = bytes.get(8..16)?.try_into().ok()?;
    Some((i32::from_ne_bytes(number), u64::from_ne_bytes(name), ended))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper_proto::{Key, ToKeeper, hear_daemon, recv, send, tell_daemon, tell_daemon_fd};
    use std::os::fd::{AsFd, AsRawFd};

    #[test]
    fn many_arrive_in_order_with_their_descriptors() {
        let (a, b) = socket::pair().unwrap();
        let mut living = Pile::living();
        assert!((0..MANY as u64).all(|n| living.add(n as i32 + 5, n << 40, n % 3 == 0)));
        assert!(!living.add(1, 1, false), "full");
        living.tell(a.as_fd(), &[]).unwrap();
        let mut held = Pile::held();
        let (read, write) = io::pipe().unwrap();
        assert!(held.add(0, Key::run(1).0, false) && held.add(0, Key::RECORDS.0, false));
        held.tell(a.as_fd(), &[read.as_fd(), write.as_fd()]).unwrap();
        drop(write);
        match recv_any(b.as_fd()).unwrap().unwrap() {
            Heard::Living(all) => {
                assert_eq!((all.len(), all[7], all[9].2), (MANY, (12, 7 << 40, false), true));
            }
            other => panic!("{other:?}"),
        }
        let Some(Heard::Held(mut all)) = recv_any(b.as_fd()).unwrap() else { panic!() };
        assert_eq!([all[0].0, all[1].0], [Key::run(1).0, Key::RECORDS.0]);
        let (_, write) = all.pop().unwrap();
        io::Write::write_all(&mut std::fs::File::from(write), b"x").unwrap();
        let mut text = String::new();
        io::Read::read_to_string(&mut &read, &mut text).unwrap();
        assert_eq!(text, "x", "the writing end, and no copy is left");
    }

    #[test]
    fn single_words_and_unknown_kinds_between() {
        let (a, b) = socket::pair().unwrap();
        tell_daemon_fd(a.as_fd(), &ToDaemon::Held { key: 6 }, a.as_fd()).unwrap();
        let mut odd = Pile { kind: 999, ..Pile::living() };
        odd.add(1, 1, false);
        odd.tell(a.as_fd(), &[]).unwrap();
        tell_daemon(a.as_fd(), &ToDaemon::LivingEnd).unwrap();
        assert!(matches!(
            recv_any(b.as_fd()).unwrap(),
            Some(Heard::Word(ToDaemon::Held { key: 6 }, Some(fd))) if fd.as_raw_fd() > 2
        ));
        assert!(matches!(recv_any(b.as_fd()).unwrap(), Some(Heard::Word(ToDaemon::LivingEnd, None))));
        drop(a);
        assert!(recv_any(b.as_fd()).unwrap().is_none());
    }

    #[test]
    fn who_expects_no_pile_skips_it() {
        let (a, b) = socket::pair().unwrap();
        let mut pile = Pile::held();
        pile.add(0, 9, false);
        pile.tell(a.as_fd(), &[a.as_fd()]).unwrap();
        tell_daemon(a.as_fd(), &ToDaemon::Nudge).unwrap();
        assert_eq!(recv(b.as_fd()).unwrap(), Some(ToDaemon::Nudge));
        send(b.as_fd(), &ToKeeper::Inherit).unwrap();
        assert_eq!(hear_daemon(a.as_fd()).unwrap().unwrap().word, ToKeeper::Inherit);
    }
}
