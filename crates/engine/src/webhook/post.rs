//! One try: a POST over a connection of its own.

use super::message::Delivery;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{CONNECTION, HOST};
use hyper::{Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::io;
use tokio::net::TcpStream;
use tokio::time::Instant;

/// So much of an answer is read, so that whoever sends it sees an orderly end; nobody looks at it.
const ANSWER: usize = 64 << 10;

/// What came of a try.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Outcome {
    /// 2xx.
    Accepted,
    /// It may be taken later: nobody listens, no answer in time, a failure of the server.
    Later(String),
    /// It is not taken as it is: a redirect, or an error that the server says is ours.
    Refused(String),
}

/// Sends a message and reads the answer, within its time.
pub(super) async fn post(delivery: &Delivery) -> Outcome {
    let limit = Instant::now() + delivery.timeout;
    match tokio::time::timeout_at(limit, exchange(delivery)).await {
        Ok(Ok(response)) => {
            let outcome = judge(response.status());
            // Whatever happens now, the answer is known.
            let _ = tokio::time::timeout_at(limit, read_away(response.into_body())).await;
            outcome
        }
        Ok(Err(why)) => Outcome::Later(why),
        Err(_) => Outcome::Later(format!("no answer within {} s", delivery.timeout.as_secs_f32())),
    }
}

async fn exchange(delivery: &Delivery) -> Result<Response<Incoming>, String> {
    let url = &delivery.url;
    let mut request = Request::post(url.target.as_str())
        .header(HOST, url.authority())
        .header(CONNECTION, "close")
        .header("idempotency-key", delivery.id.to_string());
    for (name, value) in &delivery.headers {
        request = request.header(name, value);
    }
    let request = request
        .body(Full::new(Bytes::from(delivery.body.clone())))
        .map_err(|e| format!("this cannot be sent: {e}"))?;
    let stream = TcpStream::connect((url.host.as_str(), url.port)).await.map_err(|e| unreachable(&e))?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| broken(&e))?;
    // Ends with the answer's body.
    tokio::spawn(async move { drop(connection.await) });
    sender.send_request(request).await.map_err(|e| broken(&e))
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

fn judge(status: StatusCode) -> Outcome {
    let said = format!("the answer was {status}");
    match status {
        _ if status.is_success() => Outcome::Accepted,
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_EARLY | StatusCode::TOO_MANY_REQUESTS => {
            Outcome::Later(said)
        }
        _ if status.is_redirection() => Outcome::Refused(said + ", and redirects are not followed"),
        _ if status.is_client_error() => Outcome::Refused(said),
        _ => Outcome::Later(said),
    }
}

async fn read_away(mut body: Incoming) {
    let mut left = ANSWER;
    while let Some(Ok(frame)) = body.frame().await {
        left = left.saturating_sub(frame.data_ref().map_or(0, Bytes::len));
        if left == 0 {
            return;
        }
    }
}
