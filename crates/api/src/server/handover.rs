//! Connections that outlive a daemon. At an upgrade nobody accepts any more, requests in flight are finished,
//! and connections between two requests go to the next daemon as they are; their clients notice nothing.
//!
//! A connection can go while no answer is under way: idle, or with a part of a request that was only read.
//! The [guard](super::guard) gives the parser one request at a time, so it knows all bytes that belong to the
//! next daemon, and the parser holds none of them.

use super::{Conn, Handle, Open, Shared, lock, run, turn_away};
use crate::door::Kind;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde::{Deserialize, Serialize};
use std::io;
use std::net::{Shutdown, TcpStream};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// A connection on its way to the next daemon.
#[derive(Debug)]
pub struct Handed {
    /// The name of its door.
    pub door: String,
    /// The socket.
    pub fd: OwnedFd,
    /// The beginning of a request, when one was read already; at most 20 KiB, and empty nearly always.
    pub read: Vec<u8>,
}

/// What [`pack`] writes about one connection; its descriptor goes another way.
#[derive(Serialize, Deserialize)]
struct Packed {
    door: String,
    #[serde(default, skip_serializing_if = "String::is_empty")]
    read: String,
}

/// A text about these connections, and their descriptors in the same order.
pub fn pack(handed: Vec<Handed>) -> (String, Vec<OwnedFd>) {
    let (list, fds): (Vec<Packed>, Vec<OwnedFd>) =
        handed.into_iter().map(|h| (Packed { door: h.door, read: BASE64.encode(h.read) }, h.fd)).unzip();
    // Plain texts can be written.
    (serde_json::to_string(&list).unwrap_or_default(), fds)
}

/// The connections again. `fd` is asked for the descriptor of each by its place in the order; one without is
/// left out, as all are when the text makes no sense.
pub fn unpack(text: &str, mut fd: impl FnMut(usize) -> Option<OwnedFd>) -> Vec<Handed> {
    let list: Vec<Packed> = serde_json::from_str(text).unwrap_or_default();
    let with_fd = list.into_iter().enumerate().filter_map(|(i, packed)| {
        let fd = fd(i)?;
        Some(Handed { door: packed.door, fd, read: BASE64.decode(packed.read).ok()? })
    });
    with_fd.collect()
}

/// What is to become of a door and its connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Course {
    /// They are served.
    Serve,
    /// The door closes; requests in flight end.
    End,
    /// They go to the next daemon; whole answers have so long.
    HandOver(Duration),
}

/// What a task needs to follow a door's course.
pub(super) type Watch = watch::Receiver<Course>;

/// Resolves when the door is not served as before; its end counts as its close.
pub(super) async fn turned(course: &mut Watch) -> Course {
    course.wait_for(|c| *c != Course::Serve).await.map_or(Course::End, |c| *c)
}

/// Resolves when answers must end because their connections go; never while the door only closes.
pub(super) async fn leaving(mut course: Watch) -> Duration {
    let handed = course.wait_for(|c| matches!(c, Course::HandOver(_))).await.map(|c| *c);
    match handed {
        Ok(Course::HandOver(patience)) => patience,
        Ok(Course::Serve | Course::End) | Err(_) => std::future::pending().await,
    }
}

/// A socket that can leave its runtime.
pub(super) trait Stream: AsyncRead + AsyncWrite + Unpin + Send + 'static {
    fn into_fd(self) -> io::Result<OwnedFd>;
}

impl Stream for tokio::net::UnixStream {
    fn into_fd(self) -> io::Result<OwnedFd> {
        self.into_std().map(OwnedFd::from)
    }
}

impl Stream for tokio::net::TcpStream {
    fn into_fd(self) -> io::Result<OwnedFd> {
        self.into_std().map(OwnedFd::from)
    }
}

/// Beyond twice the patience a hand-over waits so long for tasks that only have to be scheduled.
const MARGIN: Duration = Duration::from_secs(1);

impl Handle {
    /// Stops accepting and gives up all connections, to be adopted by the next daemon. The listening sockets
    /// are closed here; who connects now waits in the backlog of their copies elsewhere.
    ///
    /// Requests in flight are finished: whole answers have `patience` to be made and as long to be taken, then
    /// the order goes on and the client is told so (`replaced`). Answers without an end are cut at once. What
    /// could not be handed over by then is closed with this process. Nothing can be served afterwards.
    ///
    /// The engine must go on running meanwhile. Resolves as soon as nothing is left to wait for, in general
    /// within a millisecond.
    pub async fn hand_over(&self, patience: Duration) -> Vec<Handed> {
        let opens: Vec<Arc<Open>> = lock(&self.doors).values().cloned().collect();
        let shared = self.shared.clone();
        let all = async move {
            // What is kept for the next question dies with the process.
            shared.large.store(false, Ordering::Relaxed);
            for open in &opens {
                open.course.send_replace(Course::HandOver(patience));
            }
            for open in &opens {
                let task = lock(&open.task).take();
                if let Some(task) = task {
                    // It can only fail by the runtime's end.
                    let _ = task.await;
                }
            }
            let seats = shared.setup.limits.connections;
            let rest = patience.saturating_mul(2).saturating_add(MARGIN);
            // Those that are late are cut.
            let _ = tokio::time::timeout(rest, shared.seats.all_free(seats)).await;
            std::mem::take(&mut *lock(&shared.handed))
        };
        self.runtime.spawn(all).await.unwrap_or_default()
    }

    /// Serves connections that the daemon before gave up, each on the door of that name; when there is none,
    /// it is closed.
    pub fn adopt(&self, handed: Vec<Handed>) {
        for Handed { door, fd, read } in handed {
            let open = lock(&self.doors).get(&door).cloned();
            let shared = self.shared.clone();
            self.runtime.spawn(async move {
                if let Some((open, conn)) = Met::new(fd).at(open) {
                    serve(&shared, &open, conn, read).await;
                }
            });
        }
    }
}

async fn serve(shared: &Arc<Shared>, open: &Open, conn: Conn, read: Vec<u8>) {
    match shared.seats.sit() {
        Some(seat) => run(shared, open, seat, conn, read).await,
        None => {
            shared.refused.fetch_add(1, Ordering::Relaxed);
            // What a client that was turned away does with it is its own affair.
            let _ = turn_away(conn);
        }
    }
}

/// A socket as it was found.
enum Met {
    Unix(UnixStream),
    Tcp(TcpStream),
}

impl Met {
    /// Each family's address is only given for a socket of that family.
    fn new(fd: OwnedFd) -> Met {
        let tcp = TcpStream::from(fd);
        match tcp.local_addr() {
            Ok(_) => Met::Tcp(tcp),
            Err(_) => Met::Unix(UnixStream::from(OwnedFd::from(tcp))),
        }
    }

    /// With its door, which must be of its kind. Else it is closed, whoever holds a copy of it.
    fn at(self, open: Option<Arc<Open>>) -> Option<(Arc<Open>, Conn)> {
        let kind = open.as_ref().map(|open| open.door.borrow().kind.clone());
        match (self, kind) {
            (Met::Unix(s), Some(Kind::Unix { .. })) => {
                s.set_nonblocking(true).ok()?;
                open.zip(tokio::net::UnixStream::from_std(s).ok().map(Conn::Unix))
            }
            (Met::Tcp(s), Some(Kind::Tcp { .. })) => {
                s.set_nonblocking(true).ok()?;
                let peer = s.peer_addr().ok()?;
                open.zip(tokio::net::TcpStream::from_std(s).ok().map(|s| Conn::Tcp(s, peer)))
            }
            // It may be closed by the client already.
            (Met::Unix(s), None | Some(Kind::Tcp { .. })) => {
                let _ = s.shutdown(Shutdown::Both);
                None
            }
            (Met::Tcp(s), None | Some(Kind::Unix { .. })) => {
                let _ = s.shutdown(Shutdown::Both);
                None
            }
        }
    }
}
