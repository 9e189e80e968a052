//! Supervisor's addresses (supervisor-contract 9 and 14): XML-RPC, logs that are followed, pages.

use super::answer::followed;
use super::body::{self, Answer};
use super::connection::Link;
use crate::door::Area;
use crate::pages::{self, Context, Form, Page};
use crate::problem::Detail;
use bytes::Bytes;
use hyper::body::Incoming;
use hyper::header::{
    CACHE_CONTROL, CONNECTION, CONTENT_LENGTH, CONTENT_TYPE, EXPIRES, HOST, HeaderMap, HeaderName,
    HeaderValue, LAST_MODIFIED, LOCATION, PRAGMA, WWW_AUTHENTICATE,
};
use hyper::{Method, Request, Response, StatusCode};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use supers_core::control::{LogFrom, LogRequest, Stream};
use supers_core::inside::{Cut, LogOf};

/// Bytes of the end of a log that a follower gets at once.
const TAIL: u64 = 1024;
/// Bytes of a form.
const FORM_BYTES: usize = 16 * 1024;

/// From here on an answer counts as large.
const HEAVY: usize = 256 * 1024;
/// Bytes of large answers that wait for slow readers; beyond that calls are refused with 503.
const HEAVY_MOST: usize = 64 << 20;

const TEXT: &str = "text/plain;charset=utf-8";
const HTML: &str = "text/html;charset=utf-8";

/// What stands at a path, in Supervisor's order; the first three take all that begins so.
enum Place {
    Rpc,
    /// What comes after the first segment.
    Log(String),
    MainLog,
    /// Decoded.
    Page(String),
}

fn place(path: &str) -> Place {
    if path.starts_with("/RPC2") {
        Place::Rpc
    } else if let Some(rest) = path.strip_prefix("/logtail") {
        Place::Log(rest.split_once('/').map_or("", |(_, rest)| rest).to_owned())
    } else if path.starts_with("/mainlogtail") {
        Place::MainLog
    } else {
        Place::Page(pages::percent_decode(path))
    }
}

/// An error, with a sentence where Supervisor has none of its own.
struct Problem(StatusCode, Option<Detail>);

impl From<StatusCode> for Problem {
    fn from(status: StatusCode) -> Problem {
        Problem(status, None)
    }
}

impl From<Detail> for Problem {
    fn from(detail: Detail) -> Problem {
        Problem(detail.status(), Some(detail))
    }
}

type Answered = Result<Response<Answer>, Problem>;

pub(super) async fn answer(link: &Arc<Link>, request: Request<Incoming>) -> Response<Answer> {
    let answered = match place(request.uri().path()) {
        Place::Rpc => rpc(link, request).await,
        Place::Log(rest) => log(link, &request, &rest).await,
        Place::MainLog => main_log(link, &request).await,
        Place::Page(path) => page(link, request, &path).await,
    };
    answered.unwrap_or_else(|Problem(status, detail)| refusal(status, detail))
}

async fn rpc(link: &Arc<Link>, request: Request<Incoming>) -> Answered {
    link.check(&request, Area::Supervisor { acts: true })?;
    if *request.method() != Method::POST {
        return Err(StatusCode::BAD_REQUEST.into());
    }
    let limit = link.shared.setup.limits.rpc_bytes;
    if link.shared.heavy.load(Ordering::Relaxed) > HEAVY_MOST {
        return Err(Detail::new("busy", "too many large answers are not fetched by those who asked").into());
    }
    let body = sent(link, request, limit).await?;
    let body::Received { bytes, share } = body;
    let reply = crate::rpc::answer(&link.shared.inside, link.caller(), &link.shared.rpc, bytes).await;
    // What was made of the body is gone as well.
    drop(share);
    let body = if reply.body.len() > HEAVY && reply.body.is_unique() {
        Bytes::from_owner(Heavy::new(reply.body, &link.shared.heavy))
    } else {
        reply.body
    };
    let mut response = whole(reply.content_type, body);
    *response.status_mut() = StatusCode::from_u16(reply.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    Ok(response)
}

/// A large answer that nobody shares, counted until it is sent.
struct Heavy(Bytes, Arc<AtomicUsize>);

impl Heavy {
    fn new(bytes: Bytes, total: &Arc<AtomicUsize>) -> Heavy {
        total.fetch_add(bytes.len(), Ordering::Relaxed);
        Heavy(bytes, total.clone())
    }
}

impl AsRef<[u8]> for Heavy {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl Drop for Heavy {
    fn drop(&mut self) {
        self.1.fetch_sub(self.0.len(), Ordering::Relaxed);
    }
}

/// The body of a request whose length must be given.
async fn sent(link: &Link, request: Request<Incoming>, limit: usize) -> Result<body::Received, Problem> {
    if !request.headers().contains_key(CONTENT_LENGTH) {
        return Err(StatusCode::LENGTH_REQUIRED.into());
    }
    Ok(body::read(&link.seat, &link.shared.bodies, request.into_body(), limit).await?)
}

async fn page(link: &Arc<Link>, request: Request<Incoming>, path: &str) -> Answered {
    let query = request.uri().query().unwrap_or("").to_owned();
    let host = request.headers().get(HOST).cloned();
    let posts = *request.method() == Method::POST;
    let acts = posts || pages::acts(path, &Form::parse(&query, b""));
    link.check(&request, Area::Supervisor { acts })?;
    let reads = *request.method() == Method::GET || (*request.method() == Method::HEAD && !acts);
    let form = match (posts, reads) {
        (true, _) => Form::parse(&query, &sent(link, request, FORM_BYTES).await?.bytes),
        (false, true) => Form::parse(&query, b""),
        (false, false) => return Err(StatusCode::BAD_REQUEST.into()),
    };
    let context = Context { inside: link.shared.inside.as_ref(), caller: link.caller().clone() };
    match pages::page(&context, path, &form).await {
        Page::Html(text) => Ok(fresh(whole(HTML, text))),
        Page::Plain(text) => Ok(whole("text/plain", text)),
        Page::Asset(kind, bytes) => Ok(whole(kind, bytes)),
        Page::Message(text) => Ok(redirect(host.as_ref(), &text)),
        Page::Missing => Err(StatusCode::NOT_FOUND.into()),
        Page::BadAction => Err(StatusCode::INTERNAL_SERVER_ERROR.into()),
    }
}

/// Back to the table.
fn redirect(host: Option<&HeaderValue>, message: &str) -> Response<Answer> {
    let host = host.and_then(|h| h.to_str().ok()).filter(|h| !h.is_empty()).unwrap_or("localhost");
    let to = format!("http://{host}/?message={}", pages::percent_encode(message));
    let body = pages::problem(StatusCode::MOVED_PERMANENTLY, "");
    let mut response = fresh(whole("text/html", body));
    *response.status_mut() = StatusCode::MOVED_PERMANENTLY;
    if let Ok(to) = HeaderValue::from_str(&to) {
        response.headers_mut().insert(LOCATION, to);
    }
    response
}

async fn log(link: &Arc<Link>, request: &Request<Incoming>, rest: &str) -> Answered {
    link.check(request, Area::Supervisor { acts: false })?;
    if *request.method() != Method::GET {
        return Err(StatusCode::BAD_REQUEST.into());
    }
    let missing = || Problem::from(StatusCode::NOT_FOUND);
    let (name, stream) = match rest.split_once('/') {
        None | Some((_, "" | "stdout")) => (rest.split('/').next().unwrap_or(""), Stream::Stdout),
        Some((name, "stderr")) => (name, Stream::Stderr),
        Some(_) => return Err(missing()),
    };
    let snapshot = link.shared.inside.snapshot();
    let unit = pages::find(&snapshot, &pages::percent_decode(name)).ok_or_else(missing)?;
    let from = end_of(link, LogOf::Unit(unit.id, stream)).await.ok_or_else(missing)?;
    let request = LogRequest { name: unit.spec.full_name(), stream, from, follow: true };
    drop(snapshot);
    let flow = link.shared.inside.logs(request).await.map_err(|_| missing())?;
    let mut response = follow(link, flow);
    let unbuffered = HeaderName::from_static("x-accel-buffering");
    response.headers_mut().insert(unbuffered, HeaderValue::from_static("no"));
    Ok(response)
}

async fn main_log(link: &Arc<Link>, request: &Request<Incoming>) -> Answered {
    link.check(request, Area::Supervisor { acts: false })?;
    if *request.method() != Method::GET {
        return Err(StatusCode::BAD_REQUEST.into());
    }
    let missing = || Problem::from(StatusCode::NOT_FOUND);
    let from = end_of(link, LogOf::Main).await.ok_or_else(missing)?;
    let flow = link.shared.inside.main_log(from, true).await.map_err(|_| missing())?;
    Ok(follow(link, flow))
}

/// Where the last bytes of a log's present file begin; `None` when there is no file.
async fn end_of(link: &Link, log: LogOf) -> Option<LogFrom> {
    let nothing = Cut::Tail { offset: 0, length: 0 };
    let piece = link.shared.inside.read_log(log, nothing).await.ok()?.ok()?;
    Some(LogFrom::Bytes(piece.size.min(TAIL)))
}

fn follow(link: &Link, flow: Box<dyn supers_core::control::LogFlow>) -> Response<Answer> {
    let mut response = Response::new(Answer::Flow(followed(link, flow)));
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static(TEXT));
    // It goes on being modified while it is sent.
    if let Ok(date) = HeaderValue::from_str(&pages::date::http(link.shared.inside.now().wall)) {
        headers.insert(LAST_MODIFIED, date);
    }
    response
}

fn whole(kind: &'static str, bytes: impl Into<Bytes>) -> Response<Answer> {
    let mut response = Response::new(Answer::Whole(Some(bytes.into())));
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(kind));
    response
}

/// Not to be kept by anybody.
fn fresh(mut response: Response<Answer>) -> Response<Answer> {
    let headers = response.headers_mut();
    headers.insert(PRAGMA, HeaderValue::from_static("no-cache"));
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-cache"));
    headers.insert(EXPIRES, HeaderValue::from_static("Thu, 01 Jan 1970 00:00:00 GMT"));
    response
}

/// An error as a small page.
pub(super) fn refusal(status: StatusCode, detail: Option<Detail>) -> Response<Answer> {
    let text = detail.map_or_else(String::new, |d| match d.hint {
        Some(hint) => format!("{}; {hint}", d.text),
        None => d.text,
    });
    let mut response = whole("text/html", pages::problem(status, &text));
    *response.status_mut() = status;
    if status == StatusCode::UNAUTHORIZED {
        ask_for_password(response.headers_mut());
    }
    response
}

fn ask_for_password(headers: &mut HeaderMap) {
    headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Basic realm=\"default\""));
    headers.insert(CONNECTION, HeaderValue::from_static("close"));
}
