//! The descriptors that are held for the daemon, in memory of a fixed size.

use crate::runs;
use std::os::fd::OwnedFd;
use supers_os::keeper_proto::Key;

/// Output, errors and input of as many processes as there can be, and as many other things as there are
/// sockets in a large configuration.
pub(crate) const CAPACITY: usize = 3 * runs::CAPACITY + 4096;
/// Descriptors that stay free for the keeper's own work.
pub(crate) const RESERVE: u64 = 48;

/// One descriptor.
#[derive(Debug)]
pub(crate) struct Held {
    pub key: u64,
    pub fd: OwnedFd,
}

/// All of them, by ascending key. As with `Runs` the memory is used as it fills.
#[derive(Debug)]
pub(crate) struct Store {
    list: Vec<Held>,
    /// The most that may be held.
    room: usize,
    /// How many were not taken.
    pub refused: u64,
}

impl Store {
    /// Holds at most `capacity`, and leaves [`RESERVE`] of `files` open files.
    pub(crate) fn new(capacity: usize, files: u64) -> Store {
        let room = usize::try_from(files.saturating_sub(RESERVE)).unwrap_or(capacity).min(capacity);
        Store { list: Vec::with_capacity(capacity), room, refused: 0 }
    }

    pub(crate) fn all(&self) -> &[Held] {
        &self.list
    }

    fn place(&self, key: u64) -> Result<usize, usize> {
        self.list.binary_search_by_key(&key, |held| held.key)
    }

    /// Holds it in place of what was there. False when there is no room; it is closed then, and what was
    /// there is closed as well, since the daemon means another.
    pub(crate) fn put(&mut self, key: u64, fd: Option<OwnedFd>) -> bool {
        match (self.place(key), fd) {
            (Ok(place), Some(fd)) => {
                if let Some(held) = self.list.get_mut(place) {
                    held.fd = fd;
                }
                return true;
            }
            // No walk could come behind the highest number.
            (Err(place), Some(fd)) if self.list.len() < self.room && key != u64::MAX => {
                self.list.insert(place, Held { key, fd });
                return true;
            }
            (Err(_), Some(_)) => {}
            (Ok(_) | Err(_), None) => self.drop(key),
        }
        self.refused = self.refused.saturating_add(1);
        false
    }

    pub(crate) fn drop(&mut self, key: u64) {
        if let Ok(place) = self.place(key) {
            self.list.remove(place);
        }
    }

    /// What is held under this key.
    pub(crate) fn get(&self, key: u64) -> Option<&Held> {
        self.list.get(self.place(key).ok()?)
    }

    /// What belongs to a run.
    pub(crate) fn drop_run(&mut self, run: u64) {
        self.drop(Key::run(run).0);
    }

    /// Those with this key or a higher one, in order. Walking by keys survives changes on the way.
    pub(crate) fn since(&self, key: u64) -> &[Held] {
        self.list.get(self.list.partition_point(|held| held.key < key)..).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;

    fn fd() -> OwnedFd {
        File::open("/dev/null").unwrap().into()
    }

    #[test]
    fn found_in_order_and_only_so_many_fit() {
        let mut store = Store::new(2, 1000);
        assert!(store.put(7, Some(fd())) && store.put(3, Some(fd())));
        assert!(!store.put(5, Some(fd())), "full");
        assert!(store.put(3, Some(fd())), "the same place");
        assert_eq!(store.refused, 1);
        assert!(!store.put(u64::MAX, Some(fd())), "no key");
        assert_eq!(store.since(4).first().map(|h| h.key), Some(7));
        store.drop(7);
        assert!(store.since(4).is_empty());
        assert!(store.put(Key::run(9).0, Some(fd())));
        store.drop_run(9);
        assert!(!store.put(3, None), "nothing rode along");
        assert_eq!((store.all().len(), store.refused), (0, 3));
    }

    #[test]
    fn some_descriptors_stay_free() {
        let mut store = Store::new(10, RESERVE + 1);
        assert!(store.put(1, Some(fd())));
        assert!(!store.put(2, Some(fd())));
        assert!(!Store::new(10, 3).put(1, Some(fd())));
    }
}
