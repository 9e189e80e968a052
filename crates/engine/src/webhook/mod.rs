//! Telling somebody elsewhere that a program ended abnormally: one logical delivery for each such event, over
//! crashes of the daemon and hours of a dead endpoint.
//!
//! [`message`] decides from values what is told; `outbox` keeps it on disk; `courier` decides when it is tried;
//! `post` tries, over https with the help of a process (`messenger`, `errand`). The thread is started with the first delivery, or when an earlier daemon left some: without a
//! webhook there is none. It sleeps until the next try is due.
//!
//! On the wire it is *at least once*: a daemon that dies between a 2xx and the note of it sends the same id once
//! more. The id makes it one delivery.

mod courier;
mod errand;
pub mod message;
mod messenger;
mod outbox;
mod post;
#[cfg(test)]
mod tests;

pub use errand::{Answer, Errand, read_away};
pub use message::{Abnormal, Delivery, Fact, Sender, TAIL_LINES, abnormal, delivery, is_wanted};
pub use messenger::{SUBCOMMAND, look_for_messenger};

use crate::clock;
use crate::logs::mainlog::Level;
use courier::{Courier, Pace, Post};
use outbox::{Bounds, Outbox, Put};
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;

/// Where lines for the main log go, from any thread.
pub type Say = Arc<dyn Fn(Level, &str) + Send + Sync>;

/// How it goes.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Deliveries that were taken by their endpoint.
    pub sent: u64,
    /// Deliveries that wait.
    pub waiting: u64,
    /// Of these, in memory only: the disk took no file.
    pub unsaved: u64,
    /// Tries that failed.
    pub failed: u64,
    /// Deliveries that were given up: refused three times, or three days old.
    pub given_up: u64,
    /// Deliveries that were dropped because too many waited.
    pub dropped: u64,
    /// The last failure, until that endpoint takes something again.
    pub last_error: Option<String>,
}

struct Shared {
    outbox: Mutex<Outbox>,
    counts: Mutex<Counts>,
    bell: Notify,
    over: AtomicBool,
    /// The courier's thread was started.
    started: AtomicBool,
    say: Say,
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, Outbox> {
        self.outbox.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn counted(&self, change: impl FnOnce(&mut Counts)) {
        change(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner));
    }

    fn is_over(&self) -> bool {
        self.over.load(Ordering::Acquire)
    }
}

/// The engine's side; cheap to clone.
#[derive(Clone)]
pub struct Webhooks {
    shared: Arc<Shared>,
    how: (Post, Pace),
}

impl Webhooks {
    /// Reads what an earlier daemon left in `state_dir/outbox`, and goes on with it.
    pub fn start(state_dir: &Path, say: Say) -> Webhooks {
        let post: Post = Arc::new(|delivery| Box::pin(async move { post::post(&delivery).await }));
        let webhooks = Webhooks::open(state_dir, say, Bounds::default(), (post, Pace::default()));
        webhooks.go_on();
        webhooks
    }

    fn open(state_dir: &Path, say: Say, bounds: Bounds, how: (Post, Pace)) -> Webhooks {
        let (outbox, complaints) = Outbox::open(state_dir.join("outbox"), bounds);
        complaints.iter().for_each(|text| say(Level::Warn, &format!("webhook: {text}")));
        let shared = Arc::new(Shared {
            outbox: Mutex::new(outbox),
            counts: Mutex::default(),
            bell: Notify::new(),
            over: AtomicBool::new(false),
            started: AtomicBool::new(false),
            say,
        });
        Webhooks { shared, how }
    }

    fn go_on(&self) {
        let waiting = self.shared.lock().len();
        if waiting > 0 {
            (self.shared.say)(Level::Info, &format!("webhook: {waiting} notifications wait from before"));
            self.wake();
        }
    }

    /// Takes a delivery. A second one with the same id is nothing.
    ///
    /// The file is written here, by the engine itself, and not by the courier's thread: it is small and goes to
    /// the page cache (some 20 µs), abnormal ends are rare, and after this call no crash of the daemon can lose
    /// it. Must come before the engine notes for good that the run is over.
    pub fn deliver(&self, delivery: Delivery) {
        let id = delivery.id;
        let put = self.shared.lock().put(delivery);
        match put {
            Put::Known => return,
            Put::Taken => {}
            Put::Unsaved(why) => {
                let text = format!("webhook: notification {id} is kept in memory only: {why}");
                (self.shared.say)(Level::Warn, &text);
            }
            Put::Lost(why) => {
                (self.shared.say)(Level::Warn, &format!("webhook: notification {id} is lost: {why}"));
            }
        }
        self.wake();
    }

    /// How it goes.
    pub fn counts(&self) -> Counts {
        let counts = self.shared.counts.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let outbox = self.shared.lock();
        Counts {
            waiting: outbox.len() as u64,
            unsaved: outbox.unsaved() as u64,
            dropped: outbox.dropped,
            ..counts
        }
    }

    /// The daemon ends: nothing is sent any more. What waits is on disk.
    pub fn stop(&self) {
        self.shared.over.store(true, Ordering::Release);
        self.shared.bell.notify_one();
    }

    fn wake(&self) {
        if !self.shared.started.swap(true, Ordering::AcqRel)
            && let Err(e) = self.start_thread()
        {
            // The next delivery tries again.
            self.shared.started.store(false, Ordering::Release);
            let why = supers_os::error_text(&e);
            (self.shared.say)(Level::Warn, &format!("webhook: cannot start its thread: {why}"));
        }
        self.shared.bell.notify_one();
    }

    fn start_thread(&self) -> io::Result<()> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
        let (shared, (post, pace)) = (self.shared.clone(), self.how.clone());
        let work = move || {
            runtime.block_on(async { Courier::new(shared, post, pace, clock::now().wall).run().await });
            // A name that is being looked up must not hold up the end.
            runtime.shutdown_background();
        };
        std::thread::Builder::new().name("webhook".into()).spawn(work).map(drop)
    }
}
