//! What the keeper holds for the daemon: descriptors that must outlive it.

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use supers_os::keeper_proto::{self, Key, ToKeeper};
use supers_os::poll;

/// How long to wait for room in the keeper's socket, each time. The keeper always reads on.
const ROOM_WAIT: Duration = Duration::from_millis(20);
/// So often; a keeper that takes nothing for so long is stopped or gone.
const ROOM_TRIES: u32 = 100;

/// The way to the keeper's store; cheap to clone. Without a keeper it does nothing.
#[derive(Clone, Default)]
pub struct Holder(Option<Arc<OwnedFd>>, Arc<Mutex<BTreeMap<u64, OwnedFd>>>);

impl Holder {
    /// Over this end of the socket.
    pub(crate) fn new(socket: Option<OwnedFd>) -> Holder {
        Holder(socket.map(Arc::new), Arc::default())
    }

    /// The same for a listening socket, of which a copy stays here as well, for a keeper that takes this
    /// one's place.
    pub fn hold_socket(&self, key: Key, fd: BorrowedFd<'_>) {
        self.hold(key, fd);
        if let Ok(copy) = fd.try_clone_to_owned() {
            self.copies().insert(key.0, copy);
        }
    }

    /// Copies of all of those.
    pub(crate) fn sockets(&self) -> Vec<(Key, io::Result<OwnedFd>)> {
        self.copies().iter().map(|(key, fd)| (Key(*key), fd.try_clone())).collect()
    }

    fn copies(&self) -> MutexGuard<'_, BTreeMap<u64, OwnedFd>> {
        self.1.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The program behind `binary` is to be the next daemon.
    ///
    /// # Errors
    /// There is no keeper, or it takes nothing.
    pub fn upgrade(&self, binary: BorrowedFd<'_>) -> io::Result<()> {
        let socket = self.0.as_ref().ok_or_else(|| io::Error::other("there is no keeper"))?;
        insist(socket.as_fd(), |socket| keeper_proto::send_fd(socket, &ToKeeper::Upgrade, binary))
    }

    /// Gives the keeper a copy of a descriptor, in place of the one that it had under this key. Waits for
    /// room.
    pub fn hold(&self, key: Key, fd: BorrowedFd<'_>) {
        self.say(|socket| keeper_proto::send_fd(socket, &ToKeeper::Store { key: key.0 }, fd));
    }

    /// The keeper closes its copy.
    pub fn forget(&self, key: Key) {
        drop(self.copies().remove(&key.0));
        self.say(|socket| keeper_proto::send(socket, &ToKeeper::Forget { key: key.0 }));
    }

    fn say(&self, send: impl Fn(BorrowedFd<'_>) -> io::Result<()>) {
        if let Some(socket) = &self.0 {
            // A keeper that is gone holds nothing; the engine hears of that by other means.
            let _ = insist(socket.as_fd(), send);
        }
    }
}

/// Says something to the keeper, waiting for room a while.
///
/// # Errors
/// The keeper is gone, or takes nothing.
pub(crate) fn insist(
    socket: BorrowedFd<'_>,
    send: impl Fn(BorrowedFd<'_>) -> io::Result<()>,
) -> io::Result<()> {
    let mut last = Ok(());
    for _ in 0..ROOM_TRIES {
        last = send(socket);
        match &last {
            // Whether there is room is seen by trying again.
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                let _ = poll::wait_writable(socket, Some(ROOM_WAIT));
            }
            Err(e) if keeper_proto::is_crowded(e) => until_uncrowded(),
            Ok(()) | Err(_) => break,
        }
    }
    last
}

/// Too many descriptors are under way, of which no descriptor tells.
#[expect(clippy::disallowed_methods, reason = "there is no fact to wait for; bounded by the number of tries")]
fn until_uncrowded() {
    std::thread::sleep(ROOM_WAIT);
}

/// What the keeper held for a daemon before this one.
#[derive(Default)]
pub struct Held(HashMap<u64, OwnedFd>);

impl Held {
    pub(crate) fn put(&mut self, key: Key, fd: OwnedFd) {
        self.0.insert(key.0, fd);
    }

    /// Takes one out.
    pub fn take(&mut self, key: Key) -> Option<OwnedFd> {
        self.0.remove(&key.0)
    }

    /// Those that nobody took.
    pub(crate) fn rest(self) -> impl Iterator<Item = Key> {
        self.0.into_keys().map(Key)
    }

    /// Nothing was held.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}
