//! Bodies: those we read, with limits, and those we write, whole or in pieces.

use super::seats::{Seat, Turn};
use crate::problem::Detail;
use bytes::{Bytes, BytesMut};
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;
use supers_core::control::Refusal;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// What an answer carries.
pub(super) enum Answer {
    /// All of it at once; empty when `None`.
    Whole(Option<Bytes>),
    /// Pieces as they come.
    Flow(Flow),
}

type Step = Pin<Box<dyn Future<Output = Option<(Result<Bytes, Refusal>, Flow)>> + Send>>;

/// Pieces from a source that is asked for the next one only when the client took the last: a slow
/// reader holds back its own source and nothing else.
pub(super) struct Flow(Step);

impl Flow {
    /// Asks `next` again and again; it gives the state back with each piece. An error breaks the
    /// connection off, so that nobody takes what came for the whole.
    pub(super) fn unfold<S, F, R>(state: S, next: F) -> Flow
    where
        S: Send + 'static,
        F: Fn(S) -> R + Send + 'static,
        R: Future<Output = Option<(Result<Bytes, Refusal>, S)>> + Send + 'static,
    {
        Flow(Box::pin(async move {
            let (piece, state) = next(state).await?;
            Some((piece, Flow::unfold(state, next)))
        }))
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = Refusal;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Refusal>>> {
        let this = self.get_mut();
        match this {
            Answer::Whole(bytes) => Poll::Ready(bytes.take().map(|b| Ok(Frame::data(b)))),
            Answer::Flow(flow) => match flow.0.as_mut().poll(cx) {
                Poll::Pending => Poll::Pending,
                Poll::Ready(None) => {
                    *this = Answer::Whole(None);
                    Poll::Ready(None)
                }
                Poll::Ready(Some((piece, rest))) => {
                    *flow = rest;
                    Poll::Ready(Some(piece.map(Frame::data)))
                }
            },
        }
    }

    fn is_end_stream(&self) -> bool {
        match self {
            Answer::Whole(bytes) => bytes.is_none(),
            Answer::Flow(_) => false,
        }
    }

    fn size_hint(&self) -> SizeHint {
        match self {
            Answer::Whole(bytes) => SizeHint::with_exact(bytes.as_ref().map_or(0, |b| b.len() as u64)),
            Answer::Flow(_) => SizeHint::default(),
        }
    }
}

/// An answer on its way; when it has been handed over, the connection may begin with the next request.
pub(super) struct Sent {
    pub(super) answer: Answer,
    pub(super) _turn: Turn,
}

impl Body for Sent {
    type Data = Bytes;
    type Error = Refusal;

    fn poll_frame(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Refusal>>> {
        Pin::new(&mut self.get_mut().answer).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.answer.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.answer.size_hint()
    }
}

/// Bodies up to this size are always read: all connections together cannot make much of them.
const SMALL: usize = 8 * 1024;
/// What a permit stands for.
const SHARE: usize = 1024;

/// The memory that request bodies may take, over all connections.
pub(super) struct Bodies {
    large: Arc<Semaphore>,
    /// In which a body must arrive; also the longest wait for a share.
    time: Duration,
}

impl Bodies {
    /// `bytes` for all bodies above 8 KiB together. Overflow: they wait for one another.
    pub(super) fn new(bytes: usize, time: Duration) -> Bodies {
        Bodies { large: Arc::new(Semaphore::new(bytes.div_ceil(SHARE))), time }
    }

    async fn share(&self, length: usize) -> Result<Option<OwnedSemaphorePermit>, Detail> {
        if length <= SMALL {
            return Ok(None);
        }
        let busy = || Detail::new("busy", "superd reads too many large requests").hint("try again");
        let shares = u32::try_from(length.div_ceil(SHARE)).map_err(|_| busy())?;
        let permit = tokio::time::timeout(self.time, self.large.clone().acquire_many_owned(shares)).await;
        permit.map_err(|_| busy())?.map(Some).map_err(|_| busy())
    }
}

/// A request body.
pub(super) struct Received {
    pub(super) bytes: Bytes,
    /// Its part of the memory, to be held for as long as it, or what was made of it, lives.
    pub(super) share: Option<OwnedSemaphorePermit>,
}

/// Reads a whole request body of at most `limit` bytes.
///
/// # Errors
/// `too-large`, `too-slow`, `busy`, or `bad-request` when the connection broke.
pub(super) async fn read(
    seat: &Seat,
    bodies: &Bodies,
    mut body: Incoming,
    limit: usize,
) -> Result<Received, Detail> {
    // The length is always known: chunked requests were refused before.
    let length = usize::try_from(body.size_hint().lower()).unwrap_or(usize::MAX);
    if length > limit {
        return Err(Detail::new("too-large", format!("a request body may have at most {limit} bytes")));
    }
    let _reading = seat.read();
    let share = bodies.share(length).await?;
    let mut bytes = BytesMut::with_capacity(length);
    let all = async {
        while let Some(frame) = body.frame().await {
            if let Ok(data) = frame?.into_data() {
                bytes.extend_from_slice(&data);
            }
        }
        Ok::<(), hyper::Error>(())
    };
    match tokio::time::timeout(bodies.time, all).await {
        Err(_) => Err(Detail::new("too-slow", "the request body did not arrive in time")),
        Ok(Ok(())) => Ok(Received { bytes: bytes.freeze(), share }),
        Ok(Err(e)) => Err(Detail::new("bad-request", format!("the request body broke off: {e}"))),
    }
}
