//! A log that is read, over as many daemons as it takes: by its logical offset no byte is lost or read twice.

use super::way::{Asked, Miss, Tries, Way, pause};
use super::{Sender, failed};
use crate::wire::percent_encode;
use http_body_util::BodyExt;
use hyper::Response;
use hyper::body::Incoming;
use std::time::Duration;
use supers_core::control::{Answer, LogChunk, LogFlow, LogFrom, LogRequest, Refusal, Stream};

/// How long a follower waits for a daemon.
const WAIT: Duration = Duration::from_secs(30);
/// The first pause of a follower, and the longest.
const PAUSE: (Duration, Duration) = (Duration::from_millis(5), Duration::from_millis(500));

pub(super) struct RemoteLog {
    way: Way,
    request: LogRequest,
    /// `None` after a cut.
    body: Option<Incoming>,
    /// Of the next byte; an old daemon may not tell.
    offset: Option<u64>,
    /// So many bytes came.
    got: u64,
    /// Before the next try; it grows until something comes.
    pause: Duration,
}

impl RemoteLog {
    pub(super) fn new(way: Way, request: LogRequest, response: Response<Incoming>) -> RemoteLog {
        let offset = offset_of(&response);
        let body = Some(response.into_body());
        RemoteLog { way, request, body, offset, got: 0, pause: PAUSE.0 }
    }

    async fn pull(&mut self) -> Result<Option<LogChunk>, Refusal> {
        loop {
            let Some(body) = &mut self.body else {
                self.resume().await?;
                continue;
            };
            let frame = match body.frame().await {
                // The daemon ended for good; one that is replaced cuts.
                None => return Ok(None),
                Some(Ok(frame)) => frame,
                Some(Err(e)) if self.offset.is_none() && self.got > 0 => return Err(Miss::cut(e).into()),
                Some(Err(_)) => {
                    self.body = None;
                    continue;
                }
            };
            let Ok(data) = frame.into_data() else { continue };
            let length = data.len() as u64;
            let chunk = LogChunk { offset: self.offset.unwrap_or(self.got), bytes: data.to_vec() };
            self.offset = self.offset.map(|at| at + length);
            self.got += length;
            self.pause = PAUSE.0;
            return Ok(Some(chunk));
        }
    }

    async fn resume(&mut self) -> Result<(), Refusal> {
        if let Some(offset) = self.offset {
            self.request.from = LogFrom::Offset(offset);
        }
        let asked = Asked::get(path(&self.request));
        let response = if self.request.follow {
            let found = tokio::time::timeout(WAIT, self.find(&asked)).await;
            let nobody = |_| failed(format!("no superd has answered for {} seconds", WAIT.as_secs()));
            found.map_err(nobody)??
        } else {
            get(&self.way, None, &asked).await?
        };
        // Where the oldest byte that is wanted is gone, the flow begins behind it.
        self.offset = offset_of(&response).or(self.offset);
        self.body = Some(response.into_body());
        Ok(())
    }

    /// Asks until somebody answers.
    async fn find(&mut self, asked: &Asked) -> Result<Response<Incoming>, Refusal> {
        loop {
            pause(self.pause).await;
            self.pause = (self.pause * 2).min(PAUSE.1);
            match self.way.ask(None, asked).await {
                Ok((_, response)) => return Ok(response),
                Err(Miss::Refused(refusal)) => return Err(refusal),
                Err(Miss::Unreached(_) | Miss::Cut(_)) => {}
            }
        }
    }
}

/// Asks a few times.
pub(super) async fn get(
    way: &Way,
    mut used: Option<Sender>,
    asked: &Asked,
) -> Result<Response<Incoming>, Refusal> {
    let mut tries = Tries::new();
    loop {
        match way.ask(used.take(), asked).await {
            Ok((_, response)) => return Ok(response),
            Err(Miss::Refused(refusal)) => return Err(refusal),
            Err(miss) => {
                if !tries.next().await {
                    return Err(miss.into());
                }
            }
        }
    }
}

fn offset_of(response: &Response<Incoming>) -> Option<u64> {
    response.headers().get("x-log-offset")?.to_str().ok()?.parse().ok()
}

pub(super) fn path(request: &LogRequest) -> String {
    let from = match request.from {
        LogFrom::Lines(n) => format!("lines={n}"),
        LogFrom::Bytes(n) => format!("bytes={n}"),
        LogFrom::Offset(n) => format!("offset={n}"),
    };
    let stream = match request.stream {
        Stream::Stdout => "stdout",
        Stream::Stderr => "stderr",
    };
    let name = percent_encode(&request.name);
    format!("/api/v1/programs/{name}/logs?{from}&stream={stream}&follow={}", u8::from(request.follow))
}

impl LogFlow for RemoteLog {
    fn next(&mut self) -> Answer<'_, Option<LogChunk>> {
        Box::pin(self.pull())
    }
}
