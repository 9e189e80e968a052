//! Who may be connected. Connections between two requests are never closed for their age, because clients
//! of Supervisor keep one for hours; but when all seats are taken, the one that has been idle for longest
//! gives its seat to the newcomer.

use super::lock;
use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::task::{Context, Waker};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};

/// All seats. The queue of the idle ones holds at most as many as there are; overflow: the oldest goes.
pub(super) struct Seats {
    free: Arc<Semaphore>,
    idle: Mutex<BTreeMap<u64, (OwnedSemaphorePermit, Arc<Notify>)>>,
    next: AtomicU64,
    evicted: AtomicU64,
}

impl Seats {
    pub(super) fn new(free: Arc<Semaphore>) -> Seats {
        Seats { free, idle: Mutex::default(), next: AtomicU64::new(0), evicted: AtomicU64::new(0) }
    }

    /// A seat for a new connection; `None` when all are busy.
    pub(super) fn sit(self: &Arc<Seats>) -> Option<Arc<Seat>> {
        let permit = self.free.clone().try_acquire_owned().ok().or_else(|| self.evict())?;
        let out = Arc::new(Notify::new());
        let place = Place::Idle(self.park(permit, &out));
        let state = State {
            place,
            at_work: false,
            drains: false,
            drained: false,
            rests: false,
            flushed: true,
            reads: false,
            kept: false,
            reader: None,
        };
        Some(Arc::new(Seat { seats: self.clone(), out, state: Mutex::new(state) }))
    }

    /// Ends the connection that has been idle for longest, and gives its permit.
    pub(super) fn evict(&self) -> Option<OwnedSemaphorePermit> {
        let (_, (permit, out)) = lock(&self.idle).pop_first()?;
        self.evicted.fetch_add(1, Ordering::Relaxed);
        out.notify_one();
        Some(permit)
    }

    /// How many gave their seats so far.
    pub(super) fn evicted(&self) -> u64 {
        self.evicted.load(Ordering::Relaxed)
    }

    /// Resolves when nobody is seated.
    pub(super) async fn all_free(&self, seats: usize) {
        let all = u32::try_from(seats).unwrap_or(u32::MAX);
        drop(self.free.acquire_many(all).await);
    }

    /// Seats that are not taken.
    pub(super) fn available(&self) -> usize {
        self.free.available_permits()
    }

    fn park(&self, permit: OwnedSemaphorePermit, out: &Arc<Notify>) -> u64 {
        let number = self.next.fetch_add(1, Ordering::Relaxed);
        lock(&self.idle).insert(number, (permit, out.clone()));
        number
    }
}

/// The seat of one connection.
pub(super) struct Seat {
    seats: Arc<Seats>,
    out: Arc<Notify>,
    state: Mutex<State>,
}

struct State {
    place: Place,
    /// From the moment a request's head is handed to the parser until its answer was given.
    at_work: bool,
    /// What comes in is thrown away: the answer never ends.
    drains: bool,
    /// Something was thrown away, perhaps a request.
    drained: bool,
    /// The parser asked for a request that is left to the next daemon.
    rests: bool,
    /// All that was answered is in the socket.
    flushed: bool,
    /// The request under way waits for the rest of its body; nothing was done about it.
    reads: bool,
    /// All of it that was read can be given to another daemon.
    kept: bool,
    /// Waits for the end of the answer.
    reader: Option<Waker>,
}

enum Place {
    /// The permit lies with the idle ones, under this number.
    Idle(u64),
    Busy(OwnedSemaphorePermit),
    /// It was given to another connection.
    Lost,
}

impl Seat {
    /// Resolves when the seat was given away.
    pub(super) async fn lost(&self) {
        self.out.notified().await;
    }

    /// A request's head goes to the parser.
    pub(super) fn begin(&self) {
        let mut state = lock(&self.state);
        state.at_work = true;
        state.rests = false;
        state.flushed = false;
    }

    /// The next request will not be read.
    pub(super) fn rest(&self) {
        lock(&self.state).rests = true;
    }

    /// All that was written went out.
    pub(super) fn flush(&self) {
        let mut state = lock(&self.state);
        state.flushed |= !state.at_work;
    }

    /// Whether what was read of the request under way can be given to another daemon.
    pub(super) fn keep(&self, kept: bool) {
        lock(&self.state).kept = kept;
    }

    /// The request's body is waited for, until this is dropped.
    pub(super) fn read(&self) -> Reading<'_> {
        lock(&self.state).reads = true;
        Reading(self)
    }

    /// Whether the connection can be given to another daemon now.
    pub(super) fn can_go(&self) -> bool {
        let state = lock(&self.state);
        if state.at_work { state.reads && state.kept } else { state.rests && state.flushed }
    }

    /// Whether an answer without an end was given, so that nothing may follow it.
    pub(super) fn drained(&self) -> bool {
        lock(&self.state).drained
    }

    /// The request is sound and will be answered; false when the seat was lost before.
    pub(super) fn take(self: &Arc<Seat>) -> (Turn, bool) {
        let mut state = lock(&self.state);
        if let Place::Idle(number) = state.place {
            state.place = match lock(&self.seats.idle).remove(&number) {
                Some((permit, _)) => Place::Busy(permit),
                None => Place::Lost,
            };
        }
        let kept = matches!(state.place, Place::Busy(_));
        (Turn(self.clone()), kept)
    }

    /// The answer that begins now has no end, so nothing that follows the request will be looked at; it is
    /// read and dropped, to notice at once when the client leaves.
    pub(super) fn drain(&self) {
        let mut state = lock(&self.state);
        state.drains = true;
        state.drained = true;
        wake(state.reader.take());
    }

    /// Whether an answer is under way, and if so, whether input is to be dropped; then the reader is woken
    /// when that changes.
    pub(super) fn at_work(&self, reader: &Context<'_>) -> Option<bool> {
        let mut state = lock(&self.state);
        if !state.at_work {
            return None;
        }
        state.reader = Some(reader.waker().clone());
        Some(state.drains)
    }

    fn end(&self) {
        let mut state = lock(&self.state);
        state.at_work = false;
        state.drains = false;
        state.place = match std::mem::replace(&mut state.place, Place::Lost) {
            Place::Busy(permit) => Place::Idle(self.seats.park(permit, &self.out)),
            Place::Idle(number) => Place::Idle(number),
            Place::Lost => Place::Lost,
        };
        wake(state.reader.take());
    }
}

fn wake(reader: Option<Waker>) {
    if let Some(waker) = reader {
        waker.wake();
    }
}

impl Drop for Seat {
    fn drop(&mut self) {
        if let Place::Idle(number) = lock(&self.state).place {
            lock(&self.seats.idle).remove(&number);
        }
    }
}

/// A body on its way; see [`Seat::read`].
pub(super) struct Reading<'a>(&'a Seat);

impl Drop for Reading<'_> {
    fn drop(&mut self) {
        lock(&self.0.state).reads = false;
    }
}

/// One answer under way; it ends by being dropped.
pub(super) struct Turn(Arc<Seat>);

impl Drop for Turn {
    fn drop(&mut self) {
        self.0.end();
    }
}
