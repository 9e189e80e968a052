//! One request on its way, apart from the queue that it came from. superd sends it itself over http; over https a
//! messenger does (`supers __deliver`), which is told this on its standard input and says there what came of it.

use super::message::Delivery;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST};
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use serde::{Deserialize, Serialize};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::TcpStream;

/// So much of an answer is read, so that whoever sends it sees an orderly end; nobody looks at it.
const ANSWER: usize = 64 << 10;

/// Where to, and what. Headers and target may be secret: it is printed nowhere.
#[derive(PartialEq, Eq, Serialize, Deserialize)]
pub struct Errand {
    /// Name or address, without brackets.
    pub host: String,
    /// 1 to 65535.
    pub port: u16,
    /// The `Host` header.
    pub authority: String,
    /// Path and query.
    pub target: String,
    /// All others.
    pub headers: Vec<(String, String)>,
    /// What is posted.
    pub body: String,
    /// From the connection to the answer.
    pub timeout: Duration,
}

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// The endpoint answered with this status.
    Status(u16),
    /// It did not; why, in a sentence.
    Failed(String),
}

impl Errand {
    pub(super) fn of(delivery: &Delivery) -> Errand {
        let Delivery { id, url, timeout, headers, at: _, body } = delivery;
        let id = ("idempotency-key".to_owned(), id.to_string());
        Errand {
            host: url.host.clone(),
            port: url.port,
            authority: url.authority(),
            target: url.target.clone(),
            headers: std::iter::once(id).chain(headers.iter().cloned()).collect(),
            body: body.clone(),
            timeout: *timeout,
        }
    }

    /// A connection to the endpoint.
    ///
    /// # Errors
    /// Why there is none.
    pub async fn connect(&self) -> Result<TcpStream, String> {
        TcpStream::connect((self.host.as_str(), self.port)).await.map_err(|e| unreachable(&e))
    }

    /// Posts it over a connection, and waits for the head of the answer.
    ///
    /// # Errors
    /// Why there was no answer.
    pub async fn post<S>(&self, stream: S) -> Result<Response<Incoming>, String>
    where
        S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
    {
        let mut request =
            Request::post(self.target.as_str()).header(HOST, &self.authority).header(CONNECTION, "close");
        for (name, value) in &self.headers {
            request = request.header(name, value);
        }
        let body = Full::new(Bytes::from(self.body.clone()));
        let request = request.body(body).map_err(|e| format!("this cannot be sent: {e}"))?;
        let (mut sender, connection) =
            http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
        // Ends with the answer's body.
        tokio::spawn(async move { drop(connection.await) });
        sender.send_request(request).await.map_err(|e| broken(&e))
    }

    /// The sentence when its time is over.
    pub fn too_late(&self) -> String {
        format!("no answer within {} s", self.timeout.as_secs_f32())
    }
}

/// Reads the rest of an answer, up to a bound.
pub async fn read_away(mut body: Incoming) {
    let mut left = ANSWER;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}

fn unreachable(e: &io::Error) -> String {
    match e.raw_os_error() {
        Some(_) => supers_os::error_text(e),
        None => format!("no such host: {e}"),
    }
}

fn broken(e: &hyper::Error) -> String {
    format!("the connection broke before there was an answer: {e}")
}
