//! A birth, and what the keeper is to hold of the newborn: its standard input and the FIFOs that it writes into
//! ride along with its report. One message more for each would wake the keeper once more for each, on the way
//! from a wish to a running program.
//!
//! Such a report is longer than others: behind the usual [`SIZE`] bytes come the keys, 0 for none, in the order
//! of the descriptors. A keeper that does not know this reads the birth alone; it said so in its first word.

use super::{SIZE, ToKeeper};
use crate::errno::retry;
use crate::socket;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

/// Most things that ride along.
pub const GIFTS: usize = 3;
pub(crate) const LONG: usize = SIZE + GIFTS * 8;

/// A message from the daemon, or from a child of it.
#[derive(Debug)]
pub struct Letter {
    /// What it says.
    pub word: ToKeeper,
    /// What rides along, one at most.
    pub passenger: Option<OwnedFd>,
    /// What a newborn brings: keys and descriptors.
    pub gifts: [Option<(u64, OwnedFd)>; GIFTS],
}

/// The bytes of such a report. Allocates nothing: a child calls it between clone and exec.
pub(crate) fn report(run: u64, pid: i32, keys: [u64; GIFTS]) -> [u8; LONG] {
    let mut bytes = [0; LONG];
    let parts = keys.map(u64::to_ne_bytes);
    let all = ToKeeper::Born { run, pid }.encode().into_iter().chain(parts.into_iter().flatten());
    bytes.iter_mut().zip(all).for_each(|(place, byte)| *place = byte);
    bytes
}

/// The keeper's side of [`super::send`] and [`super::send_fd`]; `None` when the daemon and all its unborn children
/// are gone. Allocates nothing.
///
/// # Errors
/// `WouldBlock` when there is none yet.
pub fn hear_daemon(fd: BorrowedFd<'_>) -> io::Result<Option<Letter>> {
    let mut bytes = [0u8; LONG];
    loop {
        let (got, fds) = retry(|| socket::recv_some::<GIFTS>(fd, &mut bytes))?;
        if got == 0 {
            return Ok(None);
        }
        if let Some(letter) = understand(&bytes, got, fds) {
            return Ok(Some(letter));
        }
    }
}

fn understand(bytes: &[u8; LONG], got: usize, fds: [Option<OwnedFd>; GIFTS]) -> Option<Letter> {
    let (head, tail) = bytes.split_first_chunk::<SIZE>()?;
    let word = ToKeeper::decode(head)?;
    let none = [const { None }; GIFTS];
    if got == SIZE {
        let passenger = fds.into_iter().next().flatten();
        return Some(Letter { word, passenger, gifts: none });
    }
    if got != LONG || !matches!(word, ToKeeper::Born { .. }) {
        return None;
    }
    let (mut gifts, mut fds) = (none, fds.into_iter().flatten());
    for (gift, key) in gifts.iter_mut().zip(tail.as_chunks::<8>().0) {
        match u64::from_ne_bytes(*key) {
            0 => {}
            key => *gift = fds.next().map(|fd| (key, fd)),
        }
    }
    Some(Letter { word, passenger: None, gifts })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keeper_proto::Key;
    use std::os::fd::AsFd;

    #[test]
    fn a_newborn_brings_what_belongs_to_it() {
        let (a, b) = socket::pair().unwrap();
        let (read, write) = io::pipe().unwrap();
        let keys = [Key::fifo(b"x").0, 0, Key::run(7).0];
        socket::send_fds(a.as_fd(), &report(7, 99, keys), &[write.as_fd(), read.as_fd()]).unwrap();
        let Letter { word, passenger, gifts } = hear_daemon(b.as_fd()).unwrap().unwrap();
        assert_eq!((word, passenger.is_none()), (ToKeeper::Born { run: 7, pid: 99 }, true));
        assert_eq!(gifts.each_ref().map(|g| g.as_ref().map_or(0, |g| g.0)), keys);
        drop(write);
        let mut end = std::fs::File::from(gifts.into_iter().flatten().next().unwrap().1);
        io::Write::write_all(&mut end, b"x").unwrap();
        let mut one = [0];
        io::Read::read_exact(&mut &read, &mut one).unwrap();
        // With nothing, and in a message that is none.
        socket::send(a.as_fd(), &report(1, 2, [0; GIFTS])).unwrap();
        socket::send(a.as_fd(), &[0; LONG]).unwrap();
        let mut odd = [0; LONG];
        odd[..SIZE].copy_from_slice(&ToKeeper::List.encode());
        socket::send(a.as_fd(), &odd).unwrap();
        drop(a);
        let letter = hear_daemon(b.as_fd()).unwrap().unwrap();
        assert_eq!(letter.word, ToKeeper::Born { run: 1, pid: 2 });
        assert!(letter.gifts.iter().all(Option::is_none));
        assert!(hear_daemon(b.as_fd()).unwrap().is_none());
    }
}
