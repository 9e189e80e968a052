//! One connection: from bytes to a checked route and back.

use super::answer::{self, Reply};
use super::body::{Answer, Sent};
use super::guard::{Guarded, REFUSED};
use super::handover::{Course, Handed, Stream, Watch, leaving, turned};
use super::seats::Seat;
use super::strict::HEAD_BYTES;
use super::{Open, Shared, classic, lock, route};
use crate::door::{Area, Door, From};
use crate::problem::{Detail, Problem};
use crate::wire::json;
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE, X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::{HttpService, service_fn};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::convert::Infallible;
use std::future::{Future, pending, poll_fn};
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::atomic::Ordering;
use std::sync::{Arc, OnceLock};
use std::task::Poll;
use std::time::Duration;
use supers_core::control::Caller;
use tokio::sync::watch;

/// What the parser may hold of a request, and gather of an answer's small pieces. Whole answers are not
/// copied into it.
const BUFFER: usize = 2 * HEAD_BYTES;

/// After answers of so many bytes, memory is given back when nobody is connected any more.
const LARGE: u64 = 128 << 10;

/// What a connection that lost its seat has left to send its last answer.
const FAREWELL: Duration = Duration::from_secs(1);

/// What is known about a connection.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) course: Watch,
    pub(super) seat: Arc<Seat>,
    door: watch::Receiver<Arc<Door>>,
    /// The local address, for TCP.
    local: Option<IpAddr>,
    peer: Peer,
    /// Found out once a connection: a user's name is looked up in a file.
    caller: OnceLock<Caller>,
}

enum Peer {
    /// User id, when the kernel told it.
    Unix(Option<u32>),
    Tcp(SocketAddr),
}

impl Link {
    /// `uid` is of who connected.
    pub(super) fn unix(shared: Arc<Shared>, open: &Open, seat: Arc<Seat>, uid: Option<u32>) -> Link {
        Link::new(shared, open, seat, None, Peer::Unix(uid))
    }

    /// `local` is what was connected to.
    pub(super) fn tcp(
        shared: Arc<Shared>,
        open: &Open,
        seat: Arc<Seat>,
        local: Option<IpAddr>,
        peer: SocketAddr,
    ) -> Link {
        Link::new(shared, open, seat, local, Peer::Tcp(peer))
    }

    fn new(shared: Arc<Shared>, open: &Open, seat: Arc<Seat>, local: Option<IpAddr>, peer: Peer) -> Link {
        Link {
            shared,
            course: open.course.subscribe(),
            seat,
            door: open.door.subscribe(),
            local,
            peer,
            caller: OnceLock::new(),
        }
    }

    /// Who asks, for the log.
    pub(super) fn caller(&self) -> &Caller {
        self.caller.get_or_init(|| match self.peer {
            Peer::Unix(uid) => {
                let name = uid.and_then(self.shared.setup.user_name);
                let who = name.or(uid.map(|u| u.to_string())).unwrap_or_else(|| "unknown".into());
                Caller { door: "unix".into(), who }
            }
            Peer::Tcp(addr) => Caller { door: "http".into(), who: addr.to_string() },
        })
    }

    /// Whether this request may come in.
    pub(super) fn check(&self, request: &Request<Incoming>, area: Area) -> Result<(), Detail> {
        let door = self.door.borrow().clone();
        let from = match self.peer {
            Peer::Unix(uid) => From::User { uid, own: self.shared.setup.own_uid },
            Peer::Tcp(_) => From::Net { local: self.local },
        };
        door.check(&from, area, request.method(), request.headers())
    }
}

/// Serves one connection until either side ends it, or it goes to another daemon. `read` is what another
/// daemon read from it.
pub(super) async fn run<S: Stream>(link: Link, stream: S, read: Vec<u8>) {
    let mut course = link.course.clone();
    let seat = link.seat.clone();
    let head_time = link.shared.setup.limits.head_time;
    let stream = Guarded::new(stream, read, seat.clone(), head_time, link.course.clone());
    let link = Arc::new(link);
    let asked = link.clone();
    let service = service_fn(move |request| {
        let link = asked.clone();
        async move { Ok::<_, Infallible>(respond(&link, request).await) }
    });
    let mut connection = http1::Builder::new()
        // The guard has a timer that runs while half a head is there, and no other.
        .header_read_timeout(None)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    // How a connection ended interests nobody: what had to be said was said inside it.
    tokio::select! {
        biased;
        _ = &mut connection => {}
        course = turned(&mut course) => match course {
            Course::Serve | Course::End => {
                Pin::new(&mut connection).graceful_shutdown();
                let _ = connection.await;
            }
            Course::HandOver(patience) => {
                let first = tokio::time::timeout(patience, finish(&mut connection, &seat)).await;
                // An answer that is given up then is told, and a client takes its time to read it. Counted from
                // now, so that a machine which does too much else leaves time for that.
                let goes = match first {
                    Ok(goes) => goes,
                    Err(_) => {
                        let second = tokio::time::timeout(patience, finish(&mut connection, &seat)).await;
                        second.unwrap_or(false)
                    }
                };
                if goes {
                    give_up(&link, connection.into_parts().io.into_inner());
                }
            }
        },
        () = seat.lost() => {
            Pin::new(&mut connection).graceful_shutdown();
            let _ = tokio::time::timeout(FAREWELL, connection).await;
        }
    }
}

/// Lets the request in flight end, without a word about closing; false when the connection ended with it.
async fn finish<S, V>(connection: &mut http1::Connection<TokioIo<Guarded<S>>, V>, seat: &Seat) -> bool
where
    S: Stream,
    V: HttpService<Incoming, ResBody = Sent, Error = Infallible>,
{
    poll_fn(|cx| {
        // What came behind such a request was thrown away, so there can be no next one.
        if seat.drained() {
            Pin::new(&mut *connection).graceful_shutdown();
        }
        match Pin::new(&mut *connection).poll(cx) {
            Poll::Ready(_) => Poll::Ready(false),
            Poll::Pending if seat.can_go() => Poll::Ready(true),
            Poll::Pending => Poll::Pending,
        }
    })
    .await
}

/// Puts the connection where the next daemon's are.
fn give_up<S: Stream>(link: &Link, guarded: Guarded<S>) {
    let (stream, read) = guarded.into_parts();
    // A socket that cannot be taken out of the runtime is broken; it is closed.
    if let Ok(fd) = stream.into_fd() {
        let door = link.door.borrow().name.clone();
        lock(&link.shared.handed).push(Handed { door, fd, read });
    }
}

/// What is said when there is no time to wait for an order's end.
pub(super) fn replaced() -> Detail {
    Detail::new("replaced", "superd was replaced while it worked on this")
        .hint("status shows what became of it")
}

/// Resolves when the answer can be waited for no longer.
async fn out_of_patience(course: Watch) {
    let patience = leaving(course).await;
    let _ = tokio::time::timeout(patience, pending::<()>()).await;
}

async fn respond(link: &Arc<Link>, request: Request<Incoming>) -> Response<Sent> {
    let (turn, seated) = link.seat.take();
    // A body that nobody read must not be taken for the next request.
    let bodyless = request.body().is_end_stream();
    let own = request.uri().path().starts_with("/api/v1/") || !link.door.borrow().supervisor;
    let mut response = if request.method().as_str() == REFUSED {
        refused(request.uri().path(), own)
    } else if !seated {
        problem(Detail::new("busy", "superd has too many connections").hint("try again"))
    } else {
        let answer = async {
            if own { to_response(reply(link, request).await) } else { classic::answer(link, request).await }
        };
        tokio::select! {
            biased;
            response = answer => response,
            () = out_of_patience(link.course.clone()) => told(replaced(), own),
        }
    };
    let headers = response.headers_mut();
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    let status = response.status();
    if !bodyless && (status.is_client_error() || status.is_server_error()) {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    if response.body().size_hint().lower() >= LARGE {
        link.shared.large.store(true, Ordering::Relaxed);
    }
    response.map(|answer| Sent { answer, _turn: turn })
}

/// The guard found a head that two readers could understand in two ways.
fn refused(path: &str, own: bool) -> Response<Answer> {
    let status = path.strip_prefix('/').and_then(|code| StatusCode::from_bytes(code.as_bytes()).ok());
    let status = status.filter(StatusCode::is_client_error).or(status.filter(StatusCode::is_server_error));
    let status = status.unwrap_or(StatusCode::BAD_REQUEST);
    let detail = Detail::new("ambiguous", "the request's head is malformed, ambiguous or too large");
    let mut response = told(detail, own);
    *response.status_mut() = status;
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

/// A problem as our own clients or Supervisor's read it.
fn told(detail: Detail, own: bool) -> Response<Answer> {
    if own { to_response(Reply::Problem(detail)) } else { classic::refusal(detail.status(), Some(detail)) }
}

async fn reply(link: &Arc<Link>, request: Request<Incoming>) -> Reply {
    match begin(link, &request) {
        Ok(route) => answer::answer(link, route, request.into_body()).await,
        Err(problem) => Reply::Problem(problem),
    }
}

/// All checks that need no body.
fn begin(link: &Link, request: &Request<Incoming>) -> Result<route::Route, Detail> {
    link.check(request, Area::Own)?;
    route::parse(request.method(), request.uri())
}

fn to_response(reply: Reply) -> Response<Answer> {
    let mut response = match reply {
        Reply::Json(status, bytes) => {
            let mut r = Response::new(Answer::Whole(Some(bytes)));
            *r.status_mut() = status;
            r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            r
        }
        Reply::Lines(bytes) => lines(Answer::Whole(Some(bytes))),
        Reply::Rows(flow) => lines(Answer::Flow(flow)),
        Reply::Log { offset, flow } => {
            let mut r = Response::new(Answer::Flow(flow));
            r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
            if let Some(offset) = offset {
                r.headers_mut().insert("x-log-offset", HeaderValue::from(offset));
            }
            r
        }
        Reply::Problem(detail) => problem(detail),
    };
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

fn lines(answer: Answer) -> Response<Answer> {
    let mut r = Response::new(answer);
    r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
    r
}

fn problem(mut detail: Detail) -> Response<Answer> {
    let status = detail.status();
    // For a wrong method the hint is the list of right ones.
    let allow = if detail.kind == "wrong-method" { detail.hint.take() } else { None };
    let asks = detail.kind == "unauthorized";
    let mut response = Response::new(Answer::Whole(Some(Bytes::from(json(&Problem { error: detail })))));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
    if asks {
        headers
            .insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"supers\", charset=\"UTF-8\""));
    }
    if let Some(allow) = allow.and_then(|a| HeaderValue::from_str(&a).ok()) {
        headers.insert(ALLOW, allow);
    }
    response
}
