//! One connection: from bytes to a checked route and back.

use super::answer::{self, Reply};
use super::body::Answer;
use super::{Shared, route};
use crate::door::{Door, From};
use crate::problem::{Detail, Problem};
use crate::wire::json;
use bytes::Bytes;
use hyper::body::{Body, Incoming};
use hyper::header::{
    ALLOW, CACHE_CONTROL, CONNECTION, CONTENT_TYPE, HeaderValue, TRANSFER_ENCODING, WWW_AUTHENTICATE,
    X_CONTENT_TYPE_OPTIONS,
};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use std::convert::Infallible;
use std::net::{IpAddr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use supers_core::control::Caller;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::watch;

/// Bytes that a request's head may have, and that are buffered for an answer.
const BUFFER: usize = 64 * 1024;

/// What is known about a connection.
pub(super) struct Link {
    pub(super) shared: Arc<Shared>,
    pub(super) stop: watch::Receiver<bool>,
    door: watch::Receiver<Arc<Door>>,
    /// The local address, for TCP.
    local: Option<IpAddr>,
    peer: Peer,
}

enum Peer {
    /// User id, when the kernel told it.
    Unix(Option<u32>),
    Tcp(SocketAddr),
}

impl Link {
    pub(super) fn unix(
        shared: Arc<Shared>,
        door: watch::Receiver<Arc<Door>>,
        stop: watch::Receiver<bool>,
        uid: Option<u32>,
    ) -> Link {
        Link { shared, stop, door, local: None, peer: Peer::Unix(uid) }
    }

    pub(super) fn tcp(
        shared: Arc<Shared>,
        door: watch::Receiver<Arc<Door>>,
        stop: watch::Receiver<bool>,
        local: Option<IpAddr>,
        peer: SocketAddr,
    ) -> Link {
        Link { shared, stop, door, local, peer: Peer::Tcp(peer) }
    }

    /// Who asks, for the log.
    pub(super) fn caller(&self) -> Caller {
        match self.peer {
            Peer::Unix(uid) => {
                let name = uid.and_then(self.shared.setup.user_name);
                let who = name.or(uid.map(|u| u.to_string())).unwrap_or_else(|| "unknown".into());
                Caller { door: "unix".into(), who }
            }
            Peer::Tcp(addr) => Caller { door: "http".into(), who: addr.to_string() },
        }
    }

    fn check(&self, request: &Request<Incoming>) -> Result<(), Detail> {
        let door = self.door.borrow().clone();
        let from = match self.peer {
            Peer::Unix(uid) => From::User { uid, own: self.shared.setup.own_uid },
            Peer::Tcp(_) => From::Net { local: self.local },
        };
        door.check(&from, request.method(), request.headers())
    }
}

/// Serves one connection until either side ends it.
pub(super) async fn run<S>(link: Link, stream: S)
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let mut stop = link.stop.clone();
    let head_time = link.shared.setup.limits.head_time;
    let link = Arc::new(link);
    let service = service_fn(move |request| {
        let link = link.clone();
        async move { Ok::<_, Infallible>(respond(&link, request).await) }
    });
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head_time)
        .max_buf_size(BUFFER)
        .serve_connection(TokioIo::new(stream), service);
    let mut connection = pin!(connection);
    let stopped = async move { drop(stop.wait_for(|s| *s).await) };
    // How a connection ended interests nobody: what had to be said was said inside it.
    tokio::select! {
        biased;
        _ = connection.as_mut() => {}
        () = stopped => {
            connection.as_mut().graceful_shutdown();
            let _ = connection.await;
        }
    }
}

async fn respond(link: &Arc<Link>, request: Request<Incoming>) -> Response<Answer> {
    // A length and chunks at once leave room for two readings; the parser keeps the chunks, and
    // nothing that follows on such a connection is believed.
    let mut close = request.headers().contains_key(TRANSFER_ENCODING);
    let reply = match begin(link, &request) {
        Ok(route) => answer::answer(link, route, request.into_body()).await,
        Err(problem) => {
            // A body that nobody will read must not be taken for the next request.
            close |= !request.body().is_end_stream();
            Reply::Problem(problem)
        }
    };
    let mut response = to_response(reply);
    if close {
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    response
}

/// All checks that need no body.
fn begin(link: &Link, request: &Request<Incoming>) -> Result<route::Route, Detail> {
    let bodyless = *request.method() == Method::GET || *request.method() == Method::HEAD;
    if bodyless && !request.body().is_end_stream() {
        return Err(Detail::new("ambiguous", format!("a {} request has no body", request.method())));
    }
    link.check(request)?;
    route::parse(request.method(), request.uri())
}

fn to_response(reply: Reply) -> Response<Answer> {
    let mut response = match reply {
        Reply::Json(status, bytes) => {
            let mut r = Response::new(Answer::Whole(Some(Bytes::from(bytes))));
            *r.status_mut() = status;
            r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
            r
        }
        Reply::Rows(flow) => {
            let mut r = Response::new(Answer::Flow(flow));
            r.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/x-ndjson"));
            r
        }
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
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
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
