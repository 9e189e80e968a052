//! The server: a thread of its own with a current-thread runtime, one task a connection.
//!
//! A slow client holds back its own task only; there is no queue between a source and its reader.
//! Nothing ticks: a timer exists while a request is being read, and during a stop.

mod answer;
mod body;
mod classic;
mod connection;
mod guard;
mod handover;
mod history;
mod route;
mod seats;
mod status;
mod strict;

use crate::door::Door;
use crate::rpc::{MAX_BODY, RpcState};
use body::Bodies;
use connection::Link;
use handover::Course;
pub use handover::{Handed, pack, unpack};
use seats::{Seat, Seats};
pub(crate) use status::sorted;
use std::collections::BTreeMap;
use std::io::{self, Write};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;
#[doc(hidden)]
pub use strict::inspect_head;
use supers_core::inside::Inside;
use tokio::sync::{Semaphore, oneshot, watch};

/// A bound, listening socket.
#[derive(Debug)]
pub enum Listener {
    /// A unix socket.
    Unix(std::os::unix::net::UnixListener),
    /// A TCP socket.
    Tcp(std::net::TcpListener),
}

/// What the server cannot know by itself.
#[derive(Clone, Copy, Debug)]
pub struct Setup {
    /// The daemon's user id.
    pub own_uid: u32,
    /// The name of a user id, for the log.
    pub user_name: fn(u32) -> Option<String>,
    /// Called when the last connection has ended and large answers were given.
    pub rest: fn(),
    /// Limits.
    pub limits: Limits,
}

/// Limits of the server.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Connections at a time over all doors. One more takes the seat of the one that has been idle for
    /// longest; when all are busy, it is answered with 503 and closed.
    pub connections: usize,
    /// A request's head must arrive within this time from its first byte. Before that byte a connection
    /// may be idle for as long as it likes.
    pub head_time: Duration,
    /// A request's body must arrive within this time.
    pub body_time: Duration,
    /// Bytes of a request's body below `/api/v1`.
    pub body_bytes: usize,
    /// Bytes of an XML-RPC call. The largest that makes sense carries text for a program's standard input.
    pub rpc_bytes: usize,
    /// Bytes of all large request bodies (above 8 KiB) that are held at a time; more of them wait.
    pub bodies_bytes: usize,
    /// Time that open requests have to end when the server stops.
    pub grace: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits {
            connections: 1024,
            head_time: Duration::from_secs(30),
            body_time: Duration::from_secs(30),
            body_bytes: 1 << 20,
            rpc_bytes: MAX_BODY,
            bodies_bytes: MAX_BODY,
            grace: Duration::from_secs(2),
        }
    }
}

/// What the server counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counters {
    /// Connections that are open.
    pub open: u64,
    /// Connections that were accepted.
    pub accepted: u64,
    /// Connections that were refused because there were too many.
    pub refused: u64,
    /// Idle connections that were closed for new ones.
    pub evicted: u64,
}

/// What all connections share.
struct Shared {
    inside: Arc<dyn Inside>,
    setup: Setup,
    seats: Arc<Seats>,
    bodies: Bodies,
    status: status::Cache,
    rpc: RpcState,
    /// Bytes of large answers under way.
    heavy: Arc<AtomicUsize>,
    /// A large answer was given, and somebody was connected ever since.
    large: AtomicBool,
    accepted: AtomicU64,
    refused: AtomicU64,
    /// Connections that were given up for the next daemon.
    handed: Mutex<Vec<Handed>>,
}

/// A door in use. Its rules can be replaced.
struct Open {
    door: watch::Sender<Arc<Door>>,
    course: watch::Sender<Course>,
    task: Mutex<Option<tokio::task::JoinHandle<()>>>,
}

/// The running server. Dropping it stops the server without waiting.
pub struct Handle {
    shared: Arc<Shared>,
    runtime: tokio::runtime::Handle,
    doors: Mutex<BTreeMap<String, Arc<Open>>>,
    end: Mutex<Option<oneshot::Sender<()>>>,
    thread: Mutex<Option<JoinHandle<()>>>,
}

/// Starts the server on a thread named `api`. Until listeners are added it only waits.
///
/// # Errors
/// The runtime or the thread cannot be made, or a listener cannot be watched.
pub fn serve(inside: Arc<dyn Inside>, doors: Vec<(Door, Listener)>, setup: Setup) -> io::Result<Handle> {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build()?;
    let slots = Arc::new(Semaphore::new(setup.limits.connections));
    let (end, ended) = oneshot::channel::<()>();
    let handle = Handle {
        shared: Arc::new(Shared {
            inside,
            setup,
            seats: Arc::new(Seats::new(slots.clone())),
            bodies: Bodies::new(setup.limits.bodies_bytes, setup.limits.body_time),
            status: status::Cache::default(),
            rpc: RpcState::default(),
            heavy: Arc::default(),
            large: AtomicBool::new(false),
            accepted: AtomicU64::new(0),
            refused: AtomicU64::new(0),
            handed: Mutex::default(),
        }),
        runtime: runtime.handle().clone(),
        doors: Mutex::default(),
        end: Mutex::new(Some(end)),
        thread: Mutex::default(),
    };
    for (door, listener) in doors {
        handle.add(door, listener)?;
    }
    let all = u32::try_from(setup.limits.connections).unwrap_or(u32::MAX);
    let main = async move {
        // An error means that the handle is gone, which is a stop as well.
        let _ = ended.await;
        // All permits are back when the last connection has ended.
        let _ = tokio::time::timeout(setup.limits.grace, slots.acquire_many(all)).await;
    };
    let thread = std::thread::Builder::new().name("api".into()).spawn(move || runtime.block_on(main))?;
    *lock(&handle.thread) = Some(thread);
    Ok(handle)
}

impl Handle {
    /// Opens a door. A door of the same name is closed.
    ///
    /// # Errors
    /// The socket cannot be watched.
    pub fn add(&self, door: Door, listener: Listener) -> io::Result<()> {
        let name = door.name.clone();
        let _inside = self.runtime.enter();
        let watched = match listener {
            Listener::Unix(s) => {
                s.set_nonblocking(true)?;
                Watched::Unix(tokio::net::UnixListener::from_std(s)?)
            }
            Listener::Tcp(s) => {
                s.set_nonblocking(true)?;
                Watched::Tcp(tokio::net::TcpListener::from_std(s)?)
            }
        };
        let open = Arc::new(Open {
            door: watch::Sender::new(Arc::new(door)),
            course: watch::Sender::new(Course::Serve),
            task: Mutex::default(),
        });
        let task = self.runtime.spawn(accept(self.shared.clone(), open.clone(), watched));
        *lock(&open.task) = Some(task);
        if let Some(old) = lock(&self.doors).insert(name, open) {
            old.course.send_replace(Course::End);
        }
        Ok(())
    }

    /// Replaces the rules of an open door without touching its socket; false when there is no such
    /// door. Requests that have begun keep the old rules.
    pub fn update(&self, door: Door) -> bool {
        match lock(&self.doors).get(&door.name) {
            Some(open) => {
                open.door.send_replace(Arc::new(door));
                true
            }
            None => false,
        }
    }

    /// Closes a door and lets its requests end. The socket is closed when this resolves, so that its
    /// address can be bound again. False when there is no such door.
    pub async fn remove(&self, name: &str) -> bool {
        let Some(open) = lock(&self.doors).remove(name) else { return false };
        open.course.send_replace(Course::End);
        let task = lock(&open.task).take();
        if let Some(task) = task {
            // It can only fail by the runtime's end, which closes the socket too.
            let _ = task.await;
        }
        true
    }

    /// Names of the open doors.
    pub fn doors(&self) -> Vec<String> {
        lock(&self.doors).keys().cloned().collect()
    }

    /// What was counted so far.
    pub fn counters(&self) -> Counters {
        let free = self.shared.seats.available();
        Counters {
            open: self.shared.setup.limits.connections.saturating_sub(free) as u64,
            accepted: self.shared.accepted.load(Ordering::Relaxed),
            refused: self.shared.refused.load(Ordering::Relaxed),
            evicted: self.shared.seats.evicted(),
        }
    }

    /// Begins to stop: no new connections; open requests have [`Limits::grace`] to end.
    pub fn stop(&self) {
        for open in lock(&self.doors).values() {
            open.course.send_replace(Course::End);
        }
        lock(&self.end).take();
    }

    /// Stops and waits for the thread. Blocks for up to [`Limits::grace`].
    pub fn join(self) {
        self.stop();
        let thread = lock(&self.thread).take();
        if let Some(thread) = thread {
            // A panic of the thread has been printed by it.
            let _ = thread.join();
        }
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.stop();
    }
}

/// A poisoned lock still guards sound data here: every change is one insert, take or replace.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

enum Watched {
    Unix(tokio::net::UnixListener),
    Tcp(tokio::net::TcpListener),
}

enum Conn {
    Unix(tokio::net::UnixStream),
    Tcp(tokio::net::TcpStream, std::net::SocketAddr),
}

impl Watched {
    async fn accept(&self) -> io::Result<Conn> {
        match self {
            Watched::Unix(l) => l.accept().await.map(|(s, _)| Conn::Unix(s)),
            Watched::Tcp(l) => l.accept().await.map(|(s, peer)| Conn::Tcp(s, peer)),
        }
    }
}

/// Pause after a failed accept: descriptors may be short, and only others can free them.
const ACCEPT_PAUSE: Duration = Duration::from_millis(200);

async fn accept(shared: Arc<Shared>, open: Arc<Open>, listener: Watched) {
    let mut course = open.course.subscribe();
    loop {
        let accepted = tokio::select! {
            biased;
            _ = handover::turned(&mut course) => return,
            accepted = listener.accept() => accepted,
        };
        let Ok(conn) = accepted else {
            // Perhaps no descriptor is left; an idle connection can do without its own.
            drop(shared.seats.evict());
            let _ = tokio::time::timeout(ACCEPT_PAUSE, handover::turned(&mut course)).await;
            continue;
        };
        match shared.seats.sit() {
            Some(seat) => {
                shared.accepted.fetch_add(1, Ordering::Relaxed);
                let (shared, open) = (shared.clone(), open.clone());
                tokio::spawn(async move { run(&shared, &open, seat, conn, Vec::new()).await });
            }
            None => {
                shared.refused.fetch_add(1, Ordering::Relaxed);
                // What a client that was turned away does with it is its own affair.
                let _ = turn_away(conn);
            }
        }
        // Those who are connected are heard before the next comes; else a crowd at the door would take the
        // seats of clients that have just asked something.
        tokio::task::yield_now().await;
    }
}

/// `read` is what another daemon read from it.
async fn run(shared: &Arc<Shared>, open: &Open, seat: Arc<Seat>, conn: Conn, read: Vec<u8>) {
    match conn {
        Conn::Unix(stream) => {
            let uid = stream.peer_cred().ok().map(|c| c.uid());
            connection::run(Link::unix(shared.clone(), open, seat, uid), stream, read).await;
        }
        Conn::Tcp(stream, peer) => {
            let local: Option<IpAddr> = stream.local_addr().ok().map(|a| a.ip());
            let _ = stream.set_nodelay(true);
            connection::run(Link::tcp(shared.clone(), open, seat, local, peer), stream, read).await;
        }
    }
    shared.rest();
}

impl Shared {
    /// After the last connection: large answers that are kept for the next question, and the memory that they
    /// took, are given back.
    fn rest(&self) {
        let alone = self.seats.available() == self.setup.limits.connections;
        if alone && self.large.swap(false, Ordering::Relaxed) {
            self.status.forget();
            self.rpc.forget();
            (self.setup.rest)();
        }
    }
}

/// Says no without a task: a fresh socket takes these few bytes at once.
fn turn_away(conn: Conn) -> io::Result<()> {
    const TEXT: &str = "{\"error\":{\"kind\":\"busy\",\"text\":\"superd has too many connections\",\"hint\":\"try again\"}}\n";
    let head = format!(
        "HTTP/1.1 503 Service Unavailable\r\ncontent-type: application/json\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{TEXT}",
        TEXT.len()
    );
    match conn {
        Conn::Unix(s) => s.into_std()?.write_all(head.as_bytes()),
        Conn::Tcp(s, _) => s.into_std()?.write_all(head.as_bytes()),
    }
}
