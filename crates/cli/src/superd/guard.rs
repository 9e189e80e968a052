//! Watches over the runtime folder. Cleaners of temporary places and a mistaken `rm` take folders away
//! under a running daemon: its programs go on, but nobody could ask it anything any more, and a second
//! daemon could start beside it. So what is missing is made again, and the status says that it was.

use super::launch::private_folder;
use super::listen::{self, Shelf};
use rustix::fs::inotify;
use std::fs;
use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;
use supers_config::Settings;
use supers_config::places::Places;
use supers_engine::Notices;
use supers_engine::held::Holder;
use supers_os::process;
use tokio::net::unix::pipe::Receiver;

/// Who deletes a folder deletes its files one by one: what is made again too soon goes as well.
const LET_THEM_FINISH: Duration = Duration::from_millis(100);

/// The configuration's lock where it had to be taken anew, since the one that the keeper has lies in a deleted file. It
/// is held until the daemon makes way for another, which takes it then.
#[derive(Clone, Default)]
pub(super) struct Locks(Arc<Mutex<Option<OwnedFd>>>);

impl Locks {
    /// Holds it, in place of one before.
    pub(super) fn hold(&self, lock: Option<OwnedFd>) {
        if lock.is_some() {
            *self.0.lock().unwrap_or_else(PoisonError::into_inner) = lock;
        }
    }

    pub(super) fn let_go(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

/// What belongs into the runtime folder of a running daemon.
pub(super) struct Guard {
    pub(super) places: Places,
    pub(super) settings: Settings,
    /// *The* pid.
    pub(super) pid: i32,
    /// The pid files, those elsewhere among them.
    pub(super) pid_files: Vec<PathBuf>,
    pub(super) notices: Notices,
    pub(super) holder: Holder,
    pub(super) locks: Locks,
}

impl Guard {
    /// Never ends. Asleep unless something happens in the folder itself.
    pub(super) async fn keep(self, api: &supers_api::Handle) {
        // Without a descriptor for it nobody watches, which harms nothing by itself.
        while let Ok(watch) = watch(&self.places.runtime) {
            while self.is_whole() {
                if watch.readable().await.is_err() {
                    return pending().await;
                }
                drain(&watch);
                let _ = tokio::time::timeout(LET_THEM_FINISH, pending::<()>()).await;
            }
            let dir = self.places.runtime.display();
            match self.restore(api) {
                Ok(lock) => self.locks.hold(lock),
                Err(why) => {
                    self.notices.add(format!("the runtime folder {dir} is gone: {why}"));
                    return pending().await;
                }
            }
        }
        pending().await
    }

    fn lock_path(&self) -> PathBuf {
        self.places.runtime.join("lock")
    }

    /// The files of our own in the folder.
    fn needed(&self) -> impl Iterator<Item = PathBuf> {
        let inside = |p: &&PathBuf| p.starts_with(&self.places.runtime);
        let pid_files = self.pid_files.iter().filter(inside).cloned();
        [self.lock_path(), self.places.socket.clone()].into_iter().chain(pid_files)
    }

    fn is_whole(&self) -> bool {
        self.needed().all(|path| is_there(&path))
    }

    /// Makes what is missing; the lock, when it had to be taken anew.
    fn restore(&self, api: &supers_api::Handle) -> Result<Option<OwnedFd>, String> {
        let text = |e: io::Error| supers_os::error_text(&e);
        private_folder(&self.places.runtime).map_err(text)?;
        let lock = match is_there(&self.lock_path()) {
            true => None,
            false => process::lock_file(&self.lock_path()).map_err(text)?,
        };
        for path in self.pid_files.iter().filter(|p| !is_there(p)) {
            fs::write(path, format!("{}\n", self.pid)).map_err(text)?;
        }
        if !is_there(&self.places.socket)
            && let Some((door, listener)) =
                listen::control_door(&self.settings, &self.places, &mut Shelf::empty(self.holder.clone()))?
        {
            api.add(door, listener).map_err(text)?;
        }
        let dir = self.places.runtime.display();
        self.notices.add(format!("the runtime folder {dir} was deleted, and made again"));
        Ok(lock)
    }
}

fn is_there(path: &Path) -> bool {
    fs::symlink_metadata(path).is_ok()
}

/// Becomes readable when something in the folder is deleted or moved, or the folder itself.
fn watch(dir: &Path) -> io::Result<Receiver> {
    use inotify::{CreateFlags, WatchFlags};
    let fd = inotify::init(CreateFlags::CLOEXEC | CreateFlags::NONBLOCK)?;
    let what = WatchFlags::DELETE | WatchFlags::DELETE_SELF | WatchFlags::MOVED_FROM | WatchFlags::MOVE_SELF;
    inotify::add_watch(&fd, dir, what | WatchFlags::ONLYDIR)?;
    // Only readiness and bytes are asked of it, so that it is no pipe does not matter.
    Receiver::from_owned_fd_unchecked(fd)
}

/// What happened does not matter, only that something did.
fn drain(watch: &Receiver) {
    let mut events = [0u8; 4096];
    while watch.try_read(&mut events).is_ok_and(|n| n > 0) {}
}
