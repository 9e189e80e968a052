//! When each delivery is tried. Those for one place go one after another; a failure makes the whole place wait,
//! longer each time, and puts the one that failed behind the others, so that a message that a server cannot
//! digest holds up nobody.

use super::Shared;
use super::message::{Delivery, Id};
use super::outbox::{self, Place, Settled, Source};
use super::post::Outcome;
use crate::logs::mainlog::Level;
use std::collections::{HashMap, VecDeque};
use std::fmt::Display;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use supers_core::time::Wall;
use tokio::task::JoinSet;
use tokio::time::Instant;

/// Places that are spoken to at the same time.
const AT_ONCE: usize = 16;
/// Tries of what a server refuses.
const REFUSALS: u8 = 3;
/// What was not taken for so long is dropped, after one more try.
const PATIENCE: Duration = Duration::from_secs(3 * 24 * 3600);

/// How one message is sent.
pub(super) type Post =
    Arc<dyn Fn(Arc<Delivery>) -> Pin<Box<dyn Future<Output = Outcome> + Send>> + Send + Sync>;

/// The pause after failures.
#[derive(Clone, Copy, Debug)]
pub(super) struct Pace {
    pub(super) first: Duration,
    pub(super) most: Duration,
}

impl Default for Pace {
    fn default() -> Self {
        Pace { first: Duration::from_secs(1), most: Duration::from_secs(600) }
    }
}

impl Pace {
    /// After the n-th failure in a row, from 1: doubled each time, and of that a random part between half and
    /// all, so that a thousand daemons do not come back in the same second. Never less than the first.
    pub(super) fn pause(&self, failures: u32, random: u32) -> Duration {
        let doubled = self.first.saturating_mul(1u32.checked_shl(failures.min(31)).unwrap_or(u32::MAX));
        let whole = doubled.min(self.most);
        let part = whole.mul_f64(0.5 + 0.5 * f64::from(random) / f64::from(u32::MAX));
        part.max(self.first)
    }
}

struct Parcel {
    id: Id,
    at: Wall,
    refusals: u8,
}

struct Endpoint {
    queue: VecDeque<Parcel>,
    /// Not before.
    next: Instant,
    failures: u32,
    busy: bool,
}

/// How a try came back.
enum Done {
    Outcome(Outcome),
    /// It was dropped meanwhile, or somebody removed its file.
    Gone,
    /// Its file cannot be read.
    Unreadable(String),
}

pub(super) struct Courier {
    shared: Arc<Shared>,
    post: Post,
    pace: Pace,
    settled: Settled,
    endpoints: HashMap<Place, Endpoint>,
    underway: JoinSet<(Place, Parcel, Done)>,
    /// The wall clock, by the other one: who sets it must not age what waits.
    began: (Wall, Instant),
    /// Dropped by the outbox, as far as it was told.
    dropped: u64,
    /// It was told, and no endpoint has come back since.
    overflowing: bool,
}

impl Courier {
    pub(super) fn new(shared: Arc<Shared>, post: Post, pace: Pace, now: Wall) -> Courier {
        let settled = Settled::open(shared.lock().dir());
        let (endpoints, underway) = (HashMap::new(), JoinSet::new());
        // The runtime's clock, which tests can turn.
        let began = (now, Instant::now());
        Courier { shared, post, pace, settled, endpoints, underway, began, dropped: 0, overflowing: false }
    }

    /// Until the daemon ends. Sleeps while nothing is due.
    pub(super) async fn run(mut self) {
        let shared = self.shared.clone();
        while !shared.is_over() {
            self.take_fresh();
            self.send_due();
            let due = self.next_due();
            tokio::select! {
                () = shared.bell.notified() => {}
                Some(done) = self.underway.join_next() => {
                    if let Ok((place, parcel, result)) = done {
                        self.came_back(&place, parcel, result);
                    }
                }
                () = until(due) => {}
            }
        }
    }

    fn take_fresh(&mut self) {
        let (fresh, dropped) = {
            let mut outbox = self.shared.lock();
            (outbox.take_fresh(), outbox.dropped)
        };
        for ticket in fresh {
            let now = Instant::now();
            let fresh = || Endpoint { queue: VecDeque::new(), next: now, failures: 0, busy: false };
            let endpoint = self.endpoints.entry(ticket.place).or_insert_with(fresh);
            endpoint.queue.push_back(Parcel { id: ticket.id, at: ticket.at, refusals: 0 });
        }
        if dropped > self.dropped && !self.overflowing {
            self.overflowing = true;
            self.say(Level::Warn, "webhook: too many notifications wait; the oldest are dropped");
        }
        self.dropped = dropped;
    }

    fn send_due(&mut self) {
        let now = Instant::now();
        let free = AT_ONCE.saturating_sub(self.underway.len());
        let due = self.endpoints.iter_mut().filter(|(_, s)| !s.busy && s.next <= now);
        for (place, endpoint) in due.take(free) {
            let Some(parcel) = endpoint.queue.pop_front() else { continue };
            endpoint.busy = true;
            let (place, shared, post) = (place.clone(), self.shared.clone(), self.post.clone());
            self.underway.spawn(async move {
                let source = shared.lock().source(parcel.id);
                let result = match read(source, parcel.id) {
                    Ok(delivery) => Done::Outcome(post(delivery).await),
                    Err(result) => result,
                };
                (place, parcel, result)
            });
        }
    }

    fn next_due(&self) -> Option<Instant> {
        if self.underway.len() >= AT_ONCE {
            return None;
        }
        self.endpoints.values().filter(|s| !s.busy && !s.queue.is_empty()).map(|s| s.next).min()
    }

    fn came_back(&mut self, place: &Place, mut parcel: Parcel, result: Done) {
        let id = parcel.id;
        match result {
            Done::Gone => {
                self.shared.lock().settle(id);
                self.ready(place);
            }
            Done::Unreadable(why) => {
                self.say(Level::Warn, format!("webhook: notification {id} is lost: {why}"));
                self.done(id);
                self.ready(place);
            }
            Done::Outcome(Outcome::Accepted) => {
                self.shared.counted(|c| c.sent += 1);
                self.say(Level::Debug, format!("webhook: {} took notification {id}", name(place)));
                self.done(id);
                self.works(place);
            }
            Done::Outcome(Outcome::Refused(why)) => {
                parcel.refusals += 1;
                if parcel.refusals >= REFUSALS {
                    self.give_up(place, id, &format!("it was refused {REFUSALS} times, last: {why}"));
                } else {
                    self.again(place, parcel);
                }
                self.fails(place, why);
            }
            Done::Outcome(Outcome::Later(why)) => {
                let age = Duration::from_millis(
                    u64::try_from(self.now().0.saturating_sub(parcel.at.0)).unwrap_or(0),
                );
                if age > PATIENCE {
                    self.give_up(place, id, &format!("it was not taken for three days, last: {why}"));
                } else {
                    self.again(place, parcel);
                }
                self.fails(place, why);
            }
        }
    }

    fn again(&mut self, place: &Place, parcel: Parcel) {
        if let Some(endpoint) = self.endpoints.get_mut(place) {
            endpoint.queue.push_back(parcel);
        }
    }

    fn give_up(&mut self, place: &Place, id: Id, why: &str) {
        self.shared.counted(|c| c.given_up += 1);
        self.say(Level::Warn, format!("webhook: notification {id} to {} is dropped: {why}", name(place)));
        self.done(id);
    }

    fn done(&mut self, id: Id) {
        let on_disk = self.shared.lock().settle(id);
        if on_disk && let Err(e) = self.settled.add(id) {
            let why = supers_os::error_text(&e);
            self.say(Level::Warn, format!("webhook: cannot note that {id} is done with: {why}"));
        }
    }

    /// The place may be tried again at once.
    fn ready(&mut self, place: &Place) {
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        endpoint.busy = false;
        endpoint.next = Instant::now();
        if endpoint.queue.is_empty() && endpoint.failures == 0 {
            self.endpoints.remove(place);
        }
    }

    fn works(&mut self, place: &Place) {
        let failures = self.endpoints.get_mut(place).map_or(0, |s| std::mem::take(&mut s.failures));
        if failures > 0 {
            self.shared.counted(|c| c.last_error = None);
            self.overflowing = false;
            self.say(Level::Info, format!("webhook: {} takes notifications again", name(place)));
        }
        self.ready(place);
    }

    fn fails(&mut self, place: &Place, why: String) {
        let random = random();
        let Some(endpoint) = self.endpoints.get_mut(place) else { return };
        endpoint.busy = false;
        endpoint.failures = endpoint.failures.saturating_add(1);
        let pause = self.pace.pause(endpoint.failures, random);
        endpoint.next = Instant::now() + pause;
        let (first, waiting) = (endpoint.failures == 1, endpoint.queue.len());
        let text = format!("webhook: {}: {why}", name(place));
        if first {
            self.say(Level::Warn, format!("{text}; {waiting} waiting, tried again"));
        }
        self.shared.counted(|c| {
            c.failed += 1;
            c.last_error = Some(text);
        });
    }

    fn now(&self) -> Wall {
        let passed = Instant::now().duration_since(self.began.1).as_millis();
        Wall(self.began.0.0.saturating_add(i64::try_from(passed).unwrap_or(i64::MAX)))
    }

    fn say(&self, level: Level, text: impl AsRef<str>) {
        (self.shared.say)(level, text.as_ref());
    }
}

/// The courier has a thread of its own, which may wait for the disk.
fn read(source: Option<Source>, id: Id) -> Result<Arc<Delivery>, Done> {
    match source {
        None => Err(Done::Gone),
        Some(Source::Memory(delivery)) => Ok(delivery),
        Some(Source::File(path)) => match outbox::read(&path, id) {
            Ok((delivery, _)) => Ok(Arc::new(delivery)),
            Err(e) if e.kind() == ErrorKind::NotFound => Err(Done::Gone),
            Err(e) => Err(Done::Unreadable(supers_os::error_text(&e))),
        },
    }
}

/// Paths and queries may be secret.
fn name(place: &Place) -> impl Display {
    let Place { host, port } = place;
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

fn random() -> u32 {
    let mut bytes = [0; 4];
    // Without randomness all wait the same.
    let _ = supers_os::random_bytes(&mut bytes);
    u32::from_ne_bytes(bytes)
}

async fn until(at: Option<Instant>) {
    match at {
        Some(at) => tokio::time::sleep_until(at).await,
        None => std::future::pending().await,
    }
}
