//! The reading side of a connection: the parser gets one request at a time, and only such heads as
//! [`strict`](super::strict) has found sound.
//!
//! Meanwhile the client is listened to, up to one head's bytes ahead, so that its end is noticed while an
//! answer is under way.

use super::handover::{Course, Watch};
use super::seats::Seat;
use super::strict::{HEAD_BYTES, Seen, inspect};
use std::future::{Future, Pending, pending};
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Timeout, timeout};

/// The method of the request that the parser gets in place of a refused one; its path is the status.
/// Who sends it himself refuses himself.
pub(super) const REFUSED: &str = "REFUSED";

/// A request up to this size, whose body is still on its way, can be given to the next daemon.
const KEPT: usize = 8 * 1024;

/// What one read asks of the socket.
const PIECE: usize = 4096;

pub(super) struct Guarded<S> {
    stream: S,
    seat: Arc<Seat>,
    head_time: Duration,
    course: Watch,
    /// Bytes that came and were not handed over.
    pending: Vec<u8>,
    /// So many of them may be.
    good: usize,
    place: Place,
    /// What was handed over of a request whose body was not there at once, and how long all of it is; 0 when
    /// it is not kept.
    given: (Vec<u8>, usize),
    /// The client sends nothing more. It may still read: what it asked is answered.
    ended: bool,
    /// Runs while a part of a head is there.
    timer: Option<Pin<Box<Timeout<Pending<()>>>>>,
}

enum Place {
    Head,
    /// Within a body; so many bytes are left.
    Body(u64),
    /// Nothing more is read.
    Over,
}

impl<S: AsyncRead + Unpin> Guarded<S> {
    /// `read` comes before what the stream has.
    pub(super) fn new(
        stream: S,
        read: Vec<u8>,
        seat: Arc<Seat>,
        head_time: Duration,
        course: Watch,
    ) -> Guarded<S> {
        Guarded {
            stream,
            seat,
            head_time,
            course,
            pending: read,
            good: 0,
            place: Place::Head,
            given: (Vec::new(), 0),
            ended: false,
            timer: None,
        }
    }

    /// The stream, and all that was read from it and not answered; only sound when the seat says that the
    /// connection can go.
    pub(super) fn into_parts(self) -> (S, Vec<u8>) {
        (self.stream, [self.given.0, self.pending].concat())
    }

    /// These bytes of a request went to the parser.
    fn keep(&mut self, bytes: &[u8]) {
        let (given, whole) = &mut self.given;
        if *whole == 0 {
            return;
        }
        given.extend_from_slice(bytes);
        if given.len() >= *whole {
            // All of it is there: from now on something may be done about it.
            self.given = (Vec::new(), 0);
            self.seat.keep(false);
        }
    }

    /// Reads into `pending`: the number of new bytes, 0 at the end.
    fn fill(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let mut piece = [0; PIECE];
        let mut piece = ReadBuf::new(&mut piece);
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut piece))?;
        self.pending.extend_from_slice(piece.filled());
        Poll::Ready(Ok(piece.filled().len()))
    }

    /// Hands over what may be.
    fn hand_over(&mut self, out: &mut ReadBuf<'_>) {
        let n = self.good.min(out.remaining());
        let rest = self.pending.split_off(n);
        let bytes = std::mem::replace(&mut self.pending, rest);
        out.put_slice(&bytes);
        self.keep(&bytes);
        self.good -= n;
        if self.pending.is_empty() {
            // An idle connection holds no buffer.
            self.pending = Vec::new();
        }
    }

    /// An answer is under way. Its end wakes the reader; an answer without end is over when the client
    /// leaves, or says that it will send nothing more.
    fn listen(&mut self, cx: &mut Context<'_>, drains: bool) -> Poll<io::Result<()>> {
        loop {
            if drains {
                self.pending.clear();
            }
            if self.ended && drains {
                return Poll::Ready(Ok(()));
            }
            // The socket holds what is too much, until the answer is given.
            if self.ended || self.pending.len() >= HEAD_BYTES {
                return Poll::Pending;
            }
            self.ended = ready!(self.fill(cx))? == 0;
        }
    }

    /// Waits for a whole head. False at the end of the input.
    fn next_head(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<bool>> {
        let mut seen = inspect(&self.pending);
        while seen == Seen::Part {
            if self.ended {
                return Poll::Ready(Ok(false));
            }
            let Poll::Ready(read) = self.fill(cx)? else {
                if self.timer_is_up(cx) {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                return Poll::Pending;
            };
            self.ended = read == 0;
            // A byte that changes the verdict is a control byte, or one too many; so a client that sends
            // single bytes does not make this look at all of them again and again.
            let new = self.pending.get(self.pending.len() - read..).unwrap_or_default();
            if new.iter().any(|b| *b < b' ' || *b == 0x7f) || self.pending.len() >= HEAD_BYTES {
                seen = inspect(&self.pending);
            }
        }
        self.timer = None;
        match seen {
            Seen::Part => {}
            Seen::Request { skip, head, body } => {
                self.pending.drain(..skip);
                self.good = head - skip;
                self.place = Place::Body(body);
                let whole = usize::try_from(body).unwrap_or(KEPT).saturating_add(self.good);
                let kept = whole > self.pending.len() && whole <= KEPT;
                self.given.1 = if kept { whole } else { 0 };
                self.seat.keep(kept);
            }
            Seen::Refused(status) => {
                let stand_in = format!("{REFUSED} /{status} HTTP/1.1\r\nconnection: close\r\n\r\n");
                self.good = stand_in.len();
                self.pending = stand_in.into_bytes();
                self.place = Place::Over;
            }
        }
        self.seat.begin();
        Poll::Ready(Ok(true))
    }

    fn timer_is_up(&mut self, cx: &mut Context<'_>) -> bool {
        if self.pending.is_empty() {
            return false;
        }
        let time = self.head_time;
        let timer = self.timer.get_or_insert_with(|| Box::pin(timeout(time, pending())));
        timer.as_mut().poll(cx).is_ready()
    }

    /// A piece of a body, straight from the socket.
    fn body(&mut self, cx: &mut Context<'_>, out: &mut ReadBuf<'_>, left: u64) -> Poll<io::Result<()>> {
        let most = out.remaining().min(usize::try_from(left).unwrap_or(usize::MAX));
        let mut part = ReadBuf::new(out.initialize_unfilled_to(most));
        ready!(Pin::new(&mut self.stream).poll_read(cx, &mut part))?;
        let filled = part.filled().len();
        self.keep(part.filled());
        out.advance(filled);
        self.place = Place::Body(left - filled as u64);
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Guarded<S> {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, out: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        loop {
            if this.good > 0 {
                this.hand_over(out);
                return Poll::Ready(Ok(()));
            }
            match this.place {
                Place::Body(0) => this.place = Place::Head,
                Place::Body(left) if this.pending.is_empty() => return this.body(cx, out, left),
                Place::Body(left) => {
                    this.good = this.pending.len().min(usize::try_from(left).unwrap_or(usize::MAX));
                    this.place = Place::Body(left - this.good as u64);
                }
                Place::Head => {
                    let leaves = matches!(*this.course.borrow(), Course::HandOver(_));
                    match this.seat.at_work(cx) {
                        // What comes now is for the next daemon. Who waits for the end of the answer looks
                        // again then.
                        Some(false) if leaves => return Poll::Pending,
                        Some(drains) => return this.listen(cx, drains),
                        None if leaves => {
                            this.seat.rest();
                            return Poll::Pending;
                        }
                        None => {}
                    }
                    if !ready!(this.next_head(cx))? {
                        return Poll::Ready(Ok(()));
                    }
                }
                // The parser closes after the answer.
                Place::Over => return Poll::Pending,
            }
        }
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Guarded<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(cx, buf)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(Pin::new(&mut self.stream).poll_flush(cx))?;
        self.seat.flush();
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }

    /// Without these two, large answers would be copied once more on their way out.
    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
