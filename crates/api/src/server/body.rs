//! Bodies: those we read, with limits, and those we write, whole or in pieces.

use crate::problem::Detail;
use bytes::Bytes;
use http_body_util::{BodyExt, Limited};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;
use supers_core::control::Refusal;

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

/// Reads a whole request body of at most `limit` bytes within `time`.
///
/// # Errors
/// `too-large`, `too-slow`, or `bad-request` when the connection broke.
pub(super) async fn read(body: Incoming, limit: usize, time: Duration) -> Result<Bytes, Detail> {
    let too_large = || Detail::new("too-large", format!("a request body may have at most {limit} bytes"));
    if body.size_hint().lower() > limit as u64 {
        return Err(too_large());
    }
    match tokio::time::timeout(time, Limited::new(body, limit).collect()).await {
        Err(_) => Err(Detail::new("too-slow", "the request body did not arrive in time")),
        Ok(Ok(all)) => Ok(all.to_bytes()),
        Ok(Err(e)) if e.is::<http_body_util::LengthLimitError>() => Err(too_large()),
        Ok(Err(e)) => Err(Detail::new("bad-request", format!("the request body broke off: {e}"))),
    }
}
