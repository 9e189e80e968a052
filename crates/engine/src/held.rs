//! What the keeper holds for the daemon: descriptors that must outlive it.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use supers_core::ids::{Pid, RunId};
use supers_os::keeper_proto::{self, Heard, Key, Kind, ToDaemon, ToKeeper};
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

    /// The program behind `binary` is to be the next daemon; this process may end when it comes back. With `wait` that is
    /// when the other is ready, or is not to be: to clear this process away takes the kernel time that the other needs.
    ///
    /// # Errors
    /// There is no keeper, it takes nothing, or it died before it heard of this.
    pub fn upgrade(&self, binary: BorrowedFd<'_>, wait: bool) -> io::Result<()> {
        let socket = self.0.as_ref().ok_or_else(|| io::Error::other("there is no keeper"))?;
        insist(socket.as_fd(), |socket| keeper_proto::send_fd(socket, &ToKeeper::Upgrade, binary))?;
        // A connection ends when nobody has it any more.
        self.copies().retain(|key, _| Key(*key).kind() != Some(Kind::Connection));
        if wait { keeper_proto::wait_for_the_end(socket.as_fd()) } else { Ok(()) }
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

/// What a daemon before this one left with the keeper.
#[derive(Default)]
pub struct Inheritance {
    /// Processes that the keeper is the parent of, living or ended.
    pub living: HashMap<RunId, Pid>,
    /// Those of them that have ended, as far as the keeper says.
    pub ended: HashSet<RunId>,
    /// Descriptors.
    pub held: Held,
    /// All processes were told.
    pub(crate) listed: bool,
    /// All descriptors were.
    pub(crate) fetched: bool,
}

impl Inheritance {
    /// Takes what the keeper tells, or gives it back: it is something else.
    pub(crate) fn take_word(&mut self, word: ToDaemon, passenger: Option<OwnedFd>) -> Option<ToDaemon> {
        match (word, passenger) {
            (ToDaemon::Living { pid, run }, _) => drop(self.living.insert(RunId(run), Pid(pid))),
            (ToDaemon::LivingEnd, _) => self.listed = true,
            (ToDaemon::Held { key }, Some(fd)) => self.held.put(Key(key), fd),
            (ToDaemon::HeldEnd, _) => self.fetched = true,
            (other, _) => return Some(other),
        }
        None
    }

    /// The keeper, if there is one, told of all that lives.
    pub fn is_whole(&self) -> bool {
        self.listed
    }

    /// The keeper is gone. Half of a list is none: nobody pins the numbers of these processes any more.
    pub(crate) fn no_more(&mut self) {
        self.fetched = true;
        if !self.listed {
            self.living.clear();
            self.ended.clear();
        }
    }

    pub(crate) fn take_many(&mut self, many: Heard) {
        match many {
            Heard::Living(all) => {
                let ended = all.iter().filter(|(_, _, ended)| *ended).map(|(_, run, _)| RunId(*run));
                self.ended.extend(ended);
                self.living.extend(all.into_iter().map(|(pid, run, _)| (RunId(run), Pid(pid))));
            }
            Heard::Held(all) => all.into_iter().for_each(|(key, fd)| self.held.put(Key(key), fd)),
            Heard::Word(..) => {}
        }
    }
}

/// What the keeper held for a daemon before this one.
#[derive(Default)]
pub struct Held {
    all: HashMap<u64, OwnedFd>,
    of_units: bool,
}

impl Held {
    pub(crate) fn put(&mut self, key: Key, fd: OwnedFd) {
        self.of_units |= key.is_of_a_unit();
        self.all.insert(key.0, fd);
    }

    /// There were descriptors of units among them, which come last.
    pub(crate) fn has_some_of_units(&self) -> bool {
        self.of_units
    }

    /// Takes one out.
    pub fn take(&mut self, key: Key) -> Option<OwnedFd> {
        self.all.remove(&key.0)
    }

    /// Those that nobody took.
    pub(crate) fn rest(self) -> impl Iterator<Item = Key> {
        self.all.into_keys().map(Key)
    }

    /// Nothing was held.
    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }
}
