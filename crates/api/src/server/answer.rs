//! Each route, translated into a call of `Control`.

use super::body::{self, Flow};
use super::connection::{Link, replaced};
use super::handover::{Course, leaving, turned};
use super::history;
use super::route::Route;
use crate::problem::Detail;
use crate::select::{Verdict, is_pattern, select, unknown, verdict};
use crate::wire::{Line, json};
use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Incoming;
use serde::de::DeserializeOwned;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use supers_core::control::{
    Control, LogChunk, LogFlow, LogRequest, NewUnit, Order, Refusal, Row, Rows, UpgradeRequest, UpgradeView,
    Verb,
};
use supers_core::inside::Inside;
use supers_core::snapshot::{NamedView, ProgramView};

/// An answer before it becomes headers and bytes.
pub(super) enum Reply {
    /// One JSON document.
    Json(StatusCode, Bytes),
    /// JSON, a line each, all of it at once.
    Lines(Bytes),
    /// Rows, one JSON object a line, as they complete.
    Rows(Flow),
    /// Output.
    Log {
        /// Stream offset of the first byte, when it is known already.
        offset: Option<u64>,
        /// The bytes.
        flow: Flow,
    },
    /// An error.
    Problem(Detail),
}

pub(super) async fn answer(link: &Arc<Link>, route: Route, body: Incoming) -> Reply {
    match try_answer(link, route, body).await {
        Ok(reply) => reply,
        Err(detail) => Reply::Problem(detail),
    }
}

async fn try_answer(link: &Arc<Link>, route: Route, body: Incoming) -> Result<Reply, Detail> {
    let shared = &link.shared;
    let control: &dyn Control = shared.inside.as_ref();
    Ok(match route {
        Route::Programs => ok(shared.status.programs(shared.inside.as_ref())),
        Route::Status { brief: false } => ok(shared.status.status(shared.inside.as_ref(), false)),
        Route::Status { brief: true } => Reply::Lines(shared.status.status(shared.inside.as_ref(), true)),
        Route::Version => ok(json(&shared.inside.daemon())),
        Route::Program(name) => program(shared.inside.as_ref(), &name).await?,
        Route::Logs(request) => logs(link, request).await?,
        Route::History(wanted) => ok(history::history(shared.inside.as_ref(), wanted).await?),
        Route::Why(name) => ok(history::reasons(shared.inside.as_ref(), &name).await?),
        Route::Order(order) => order_one(link, order).await?,
        Route::Orders => {
            let order: Order = read_json(link, body).await?;
            rows(link, control.order(link.caller().clone(), order).await?)
        }
        Route::Add => {
            let unit: NewUnit = read_json(link, body).await?;
            rows(link, control.add(link.caller().clone(), unit).await?)
        }
        Route::Reload { dry_run } => ok(json(&control.reload(link.caller().clone(), dry_run).await?)),
        Route::Upgrade => {
            let UpgradeRequest { binary } = read_json(link, body).await?;
            let version = control.upgrade(link.caller().clone(), binary).await?;
            Reply::Json(StatusCode::ACCEPTED, json(&UpgradeView { version }).into())
        }
        Route::Shutdown => {
            control.shutdown(link.caller().clone()).await?;
            Reply::Json(StatusCode::ACCEPTED, Bytes::from_static(b"{\"shutting_down\":true}\n"))
        }
    })
}

fn ok(bytes: impl Into<Bytes>) -> Reply {
    Reply::Json(StatusCode::OK, bytes.into())
}

async fn read_json<T: DeserializeOwned>(link: &Link, body: Incoming) -> Result<T, Detail> {
    let received =
        body::read(&link.seat, &link.shared.bodies, body, link.shared.setup.limits.body_bytes).await?;
    serde_json::from_slice(&received.bytes)
        .map_err(|e| Detail::new("bad-request", format!("the body is not the expected JSON: {e}")))
}

async fn program(inside: &dyn Inside, name: &str) -> Result<Reply, Detail> {
    let snapshot = inside.snapshot();
    if let Some(unit) = crate::pages::find(&snapshot, name) {
        return Ok(named(inside, &ProgramView::new(unit, inside.now())).await);
    }
    let programs = inside.status().await?.programs;
    let found = select(&programs, name);
    match found.as_slice() {
        [] => Err(unknown(&programs, name).into()),
        [one] if !is_pattern(name) => Ok(named(inside, one).await),
        several => Ok(ok(json(&several))),
    }
}

async fn named(inside: &dyn Inside, program: &ProgramView<'_>) -> Reply {
    // Without it the rest is as good.
    let usage = inside.usage(program.full_name().into_owned()).await.unwrap_or_default();
    ok(json(&NamedView { program, usage }))
}

/// One object for one name, a list for a pattern; the code says whether all went well.
async fn order_one(link: &Link, order: Order) -> Result<Reply, Detail> {
    let (verb, pattern) = (order.verb, order.names.iter().any(|n| is_pattern(n)));
    let mut flow = link.shared.inside.order(link.caller().clone(), order).await?;
    let mut rows = Vec::new();
    while let Some(row) = flow.next().await? {
        rows.push(row);
    }
    let status = status_of(verb, &rows);
    let bytes = match rows.as_slice() {
        [one] if !pattern => json(one),
        several => json(&several),
    };
    Ok(Reply::Json(status, bytes.into()))
}

fn status_of(verb: Verb, rows: &[Row]) -> StatusCode {
    let any = |v: Verdict| rows.iter().any(|r| verdict(verb, r.outcome) == v);
    if any(Verdict::Failed) || any(Verdict::NotRunning) {
        StatusCode::CONFLICT
    } else if any(Verdict::Taken) {
        StatusCode::ACCEPTED
    } else {
        StatusCode::OK
    }
}

struct RowState {
    rows: Box<dyn Rows>,
    /// An order may take minutes, so it is not waited for when the connection goes to another daemon.
    left: Pin<Box<dyn Future<Output = Duration> + Send>>,
}

fn rows(link: &Link, rows: Box<dyn Rows>) -> Reply {
    let state = RowState { rows, left: Box::pin(leaving(link.course.clone())) };
    Reply::Rows(Flow::unfold(Some(state), |state| async move {
        let mut state = state?;
        let next = tokio::select! {
            biased;
            next = state.rows.next() => next.map_err(Detail::from),
            _ = state.left.as_mut() => Err(replaced()),
        };
        let (line, rest) = match next {
            Ok(None) => return None,
            Ok(Some(row)) => (Line::Row(row), Some(state)),
            // The code was sent long ago; the last line tells it.
            Err(error) => (Line::Problem { error }, None),
        };
        Some((Ok(Bytes::from(line.to_bytes())), rest))
    }))
}

/// How long the answer's head waits for the first piece, to tell its offset.
const FIRST_PIECE: Duration = Duration::from_millis(100);

type Next = Pin<Box<dyn Future<Output = (Box<dyn LogFlow>, Result<Option<LogChunk>, Refusal>)> + Send>>;

/// The wait for the next piece, kept whole: it may be looked at, but never dropped half-way.
fn next_of(mut flow: Box<dyn LogFlow>) -> Next {
    Box::pin(async move {
        let next = flow.next().await;
        (flow, next)
    })
}

async fn logs(link: &Link, request: LogRequest) -> Result<Reply, Detail> {
    let follow = request.follow;
    let mut next = next_of(link.shared.inside.logs(request).await?);
    let first = match tokio::time::timeout(FIRST_PIECE, next.as_mut()).await {
        Err(_) => None,
        Ok((_, Err(refusal))) => return Err(refusal.into()),
        Ok((_, Ok(None))) => {
            return Ok(Reply::Log { offset: None, flow: Flow::unfold((), |()| async { None }) });
        }
        Ok((flow, Ok(Some(chunk)))) => {
            next = next_of(flow);
            Some(chunk)
        }
    };
    if follow {
        link.seat.drain();
    }
    let offset = first.as_ref().map(|c| c.offset);
    let end = if follow { End::Resumed } else { End::Whole };
    let state = LogState { next: Some(next), first, turned: turn(link), end };
    Ok(Reply::Log { offset, flow: Flow::unfold(state, next_piece) })
}

/// A flow that never ends by itself, as an answer that begins at once.
pub(super) fn followed(link: &Link, flow: Box<dyn LogFlow>) -> Flow {
    link.seat.drain();
    let state = LogState { next: Some(next_of(flow)), first: None, turned: turn(link), end: End::Proper };
    Flow::unfold(state, next_piece)
}

fn turn(link: &Link) -> Turned {
    let mut course = link.course.clone();
    Box::pin(async move { turned(&mut course).await })
}

type Turned = Pin<Box<dyn Future<Output = Course> + Send>>;

/// What happens when the connection is wanted by another daemon.
#[derive(Clone, Copy)]
enum End {
    /// The flow has an end of its own, which is waited for.
    Whole,
    /// It ends there like one that is complete.
    Proper,
    /// It is cut, so that the client asks for the rest by its offset.
    Resumed,
}

struct LogState {
    /// `None` after an error.
    next: Option<Next>,
    first: Option<LogChunk>,
    /// A flow that is followed never ends by itself, so the server's stop ends it.
    turned: Turned,
    end: End,
}

async fn next_piece(mut state: LogState) -> Option<(Result<Bytes, Refusal>, LogState)> {
    loop {
        if let Some(chunk) = state.first.take() {
            // An empty piece only tells the offset; in chunked coding it would end the answer.
            if !chunk.bytes.is_empty() {
                return Some((Ok(Bytes::from(chunk.bytes)), state));
            }
        }
        let next = state.next.as_mut()?;
        let (flow, result) = tokio::select! {
            biased;
            course = state.turned.as_mut() => match (course, state.end) {
                (Course::Serve | Course::End, _) | (_, End::Proper) => return None,
                (Course::HandOver(_), End::Resumed) => {
                    state.next = None;
                    // What came before goes out first.
                    tokio::task::yield_now().await;
                    return Some((Err(replaced().into()), state));
                }
                (Course::HandOver(_), End::Whole) => {
                    state.turned = Box::pin(std::future::pending());
                    continue;
                }
            },
            got = next.as_mut() => got,
        };
        match result {
            Ok(None) => return None,
            Ok(Some(chunk)) => {
                state.first = Some(chunk);
                state.next = Some(next_of(flow));
            }
            Err(refusal) => {
                state.next = None;
                // What came before goes out while this waits for its next turn; after an error nothing does.
                tokio::task::yield_now().await;
                return Some((Err(refusal), state));
            }
        }
    }
}
