//! The client: [`Control`] over a connection to a daemon elsewhere.

use crate::problem::{Detail, Problem};
use crate::wire::{Line, json, percent_encode};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::sync::{Mutex, PoisonError};
use supers_core::control::{
    Answer, Caller, Control, LogChunk, LogFlow, LogFrom, LogRequest, NewUnit, Order, PlanView, Refusal, Row,
    Rows, Status, Stream,
};
use tokio::io::{AsyncRead, AsyncWrite};

/// Where a daemon listens.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// A unix socket.
    Unix(PathBuf),
    /// Host name or address (without brackets) and port.
    Tcp(String, u16),
}

/// What to identify oneself with.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Credentials {
    /// Nothing.
    #[default]
    None,
    /// Name and password.
    Basic(String, crate::door::Secret),
    /// A token.
    Bearer(crate::door::Secret),
}

/// Why no connection came about.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// There is no such socket.
    #[error("no such socket")]
    Missing,
    /// A socket, but nobody listens; or nothing at this port.
    #[error("nobody listens there")]
    Refused,
    /// This user may not use the socket.
    #[error("permission denied")]
    Denied,
    /// The path is longer than a socket's path can be.
    #[error("the path is too long for a socket")]
    TooLong,
    /// The host name is unknown.
    #[error("the host name is unknown: {0}")]
    Host(io::Error),
    /// Something else.
    #[error("{0}")]
    Other(io::Error),
}

impl ConnectError {
    fn of(e: io::Error) -> ConnectError {
        match e.kind() {
            ErrorKind::NotFound => ConnectError::Missing,
            ErrorKind::ConnectionRefused => ConnectError::Refused,
            ErrorKind::PermissionDenied => ConnectError::Denied,
            ErrorKind::InvalidInput => ConnectError::TooLong,
            // io::ErrorKind is not ours and grows.
            _ => ConnectError::Other(e),
        }
    }
}

type Sender = SendRequest<Full<Bytes>>;

/// A daemon elsewhere. One connection is kept and used again; an answer that flows takes it along and
/// the next request opens another one.
///
/// Must be used inside a tokio runtime with I/O.
pub struct Remote {
    address: Address,
    credentials: Credentials,
    host: HeaderValue,
    idle: Mutex<Option<Sender>>,
}

impl Remote {
    /// Connects.
    ///
    /// # Errors
    /// Why not, precisely enough to tell the user what to do.
    pub async fn connect(address: Address, credentials: Credentials) -> Result<Remote, ConnectError> {
        let host = match &address {
            Address::Unix(_) => "localhost".to_string(),
            Address::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            Address::Tcp(host, port) => format!("{host}:{port}"),
        };
        let host = HeaderValue::from_str(&host)
            .map_err(|_| ConnectError::Host(io::Error::other("it has characters that no name has")))?;
        let first = dial(&address).await?;
        Ok(Remote { address, credentials, host, idle: Mutex::new(Some(first)) })
    }

    /// Where it is.
    pub fn address(&self) -> &Address {
        &self.address
    }

    fn take_idle(&self) -> Option<Sender> {
        let mut idle = self.idle.lock().unwrap_or_else(PoisonError::into_inner);
        idle.take().filter(|s| !s.is_closed())
    }

    fn give_back(&self, sender: Sender) {
        *self.idle.lock().unwrap_or_else(PoisonError::into_inner) = Some(sender);
    }

    fn request(&self, method: &Method, path: &str, body: &Bytes) -> Result<Request<Full<Bytes>>, Refusal> {
        let mut builder = Request::builder().method(method).uri(path).header(HOST, &self.host);
        if !body.is_empty() {
            builder = builder.header(CONTENT_TYPE, "application/json");
        }
        let authorization = match &self.credentials {
            Credentials::None => None,
            Credentials::Basic(name, secret) => {
                let pair = [name.as_bytes(), b":", secret.reveal()].concat();
                Some(format!("Basic {}", BASE64.encode(pair)).into_bytes())
            }
            Credentials::Bearer(token) => Some([b"Bearer ", token.reveal()].concat()),
        };
        if let Some(text) = authorization {
            builder = builder.header(AUTHORIZATION, text);
        }
        builder.body(Full::new(body.clone())).map_err(|e| failed(format!("this cannot be asked: {e}")))
    }

    /// Sends one request; an answer that is a problem becomes a refusal.
    async fn send(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(Sender, Response<Incoming>), Refusal> {
        let (mut sender, used) = match self.take_idle() {
            Some(sender) => (sender, true),
            None => (self.dial_again().await?, false),
        };
        let request = self.request(&method, path, &body)?;
        let response = match sender.try_send_request(request).await {
            Ok(response) => response,
            // The daemon closed an idle connection at this very moment: nothing was sent, or nothing
            // that matters twice.
            Err(e) if used && (e.message().is_some() || method == Method::GET) => {
                sender = self.dial_again().await?;
                let request = self.request(&method, path, &body)?;
                sender.send_request(request).await.map_err(lost)?
            }
            Err(e) => return Err(lost(e.into_error())),
        };
        if response.status().is_success() || is_rows(&response) {
            return Ok((sender, response));
        }
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(lost)?.to_bytes();
        match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) => Err(problem.error.into()),
            Err(_) => Err(failed(format!("the server answered {status}; is it superd that listens there?"))),
        }
    }

    async fn dial_again(&self) -> Result<Sender, Refusal> {
        dial(&self.address).await.map_err(|e| failed(format!("the connection to superd was lost: {e}")))
    }

    async fn fetch<T: DeserializeOwned>(
        &self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<T, Refusal> {
        read(&self.fetch_bytes(method, path, body).await?)
    }

    async fn fetch_bytes(&self, method: Method, path: &str, body: Bytes) -> Result<Bytes, Refusal> {
        let (sender, response) = self.send(method, path, body).await?;
        let bytes = response.into_body().collect().await.map_err(lost)?.to_bytes();
        self.give_back(sender);
        Ok(bytes)
    }

    /// The whole picture as it came, to be read without copying it. `brief`: only what a table shows.
    ///
    /// # Errors
    /// As for [`Control::status`].
    pub async fn picture(&self, brief: bool) -> Result<Picture, Refusal> {
        let path = if brief { "/api/v1/status?brief=1" } else { "/api/v1/status" };
        self.fetch_bytes(Method::GET, path, Bytes::new()).await.map(Picture)
    }

    async fn rows(&self, path: &str, body: Bytes) -> Result<Box<dyn Rows>, Refusal> {
        let (_, response) = self.send(Method::POST, path, body).await?;
        let rows: Box<dyn Rows> =
            Box::new(RemoteRows { body: response.into_body(), buffer: Vec::new(), ended: false });
        Ok(rows)
    }
}

/// A status as it came.
pub struct Picture(Bytes);

impl Picture {
    /// Its texts lie in the answer itself.
    ///
    /// # Errors
    /// The answer is not one.
    pub fn read(&self) -> Result<Status<'_>, Refusal> {
        read(&self.0)
    }
}

fn read<'a, T: Deserialize<'a>>(bytes: &'a [u8]) -> Result<T, Refusal> {
    serde_json::from_slice(bytes).map_err(|e| failed(format!("superd's answer cannot be read: {e}")))
}

/// Rows come with a code that may say that one failed.
fn is_rows(response: &Response<Incoming>) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|t| t == "application/x-ndjson")
}

fn failed(text: String) -> Refusal {
    Refusal::Failed { text }
}

fn lost(e: hyper::Error) -> Refusal {
    failed(format!("the connection to superd was lost: {e}"))
}

async fn dial(address: &Address) -> Result<Sender, ConnectError> {
    match address {
        Address::Unix(path) => {
            let stream = tokio::net::UnixStream::connect(path).await.map_err(ConnectError::of)?;
            handshake(stream).await
        }
        Address::Tcp(host, port) => {
            let found = tokio::net::lookup_host((host.as_str(), *port)).await.map_err(ConnectError::Host)?;
            let mut last = ConnectError::Host(io::Error::other("it has no address"));
            for addr in found {
                match tokio::net::TcpStream::connect(addr).await {
                    Ok(stream) => {
                        // Only costs time when it fails.
                        let _ = stream.set_nodelay(true);
                        return handshake(stream).await;
                    }
                    Err(e) => last = ConnectError::of(e),
                }
            }
            Err(last)
        }
    }
}

/// A status of 1,000 programs (about 300 KB) takes a few reads instead of a growing row of them.
const READ_BUFFER: usize = 128 * 1024;

async fn handshake<S>(stream: S) -> Result<Sender, ConnectError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::Builder::new()
        .read_buf_exact_size(Some(READ_BUFFER))
        .handshake(TokioIo::new(stream))
        .await
        .map_err(|e| ConnectError::Other(io::Error::other(e)))?;
    // Its end shows at the sender and the bodies.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

impl Control for Remote {
    fn status(&self) -> Answer<'_, Status<'static>> {
        Box::pin(async { self.picture(false).await?.read().map(Status::into_owned) })
    }

    /// The caller is not sent: the daemon sees for itself who asks.
    fn order(&self, _caller: Caller, order: Order) -> Answer<'_, Box<dyn Rows>> {
        Box::pin(async move { self.rows("/api/v1/orders", json(&order).into()).await })
    }

    fn reload(&self, _caller: Caller, dry_run: bool) -> Answer<'_, PlanView> {
        let path = if dry_run { "/api/v1/reload?dry_run=1" } else { "/api/v1/reload" };
        Box::pin(self.fetch(Method::POST, path, Bytes::new()))
    }

    fn add(&self, _caller: Caller, unit: NewUnit) -> Answer<'_, Box<dyn Rows>> {
        Box::pin(async move { self.rows("/api/v1/programs", json(&unit).into()).await })
    }

    fn logs(&self, request: LogRequest) -> Answer<'_, Box<dyn LogFlow>> {
        Box::pin(async move {
            let (_, response) = self.send(Method::GET, &log_path(&request), Bytes::new()).await?;
            let header = response.headers().get("x-log-offset").and_then(|v| v.to_str().ok());
            let offset = header.and_then(|t| t.parse().ok()).unwrap_or(0);
            let flow: Box<dyn LogFlow> = Box::new(RemoteLog { body: response.into_body(), offset });
            Ok(flow)
        })
    }

    fn shutdown(&self, _caller: Caller) -> Answer<'_, ()> {
        Box::pin(async move {
            let _: serde_json::Value = self.fetch(Method::POST, "/api/v1/shutdown", Bytes::new()).await?;
            Ok(())
        })
    }
}

fn log_path(request: &LogRequest) -> String {
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

/// A row is far smaller; whatever exceeds this is no daemon of ours.
const MAX_LINE: usize = 4 << 20;

struct RemoteRows {
    body: Incoming,
    buffer: Vec<u8>,
    ended: bool,
}

impl RemoteRows {
    async fn pull(&mut self) -> Result<Option<Row>, Refusal> {
        loop {
            if let Some(at) = self.buffer.iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=at).collect();
                return match serde_json::from_slice(&line) {
                    Ok(Line::Row(row)) => Ok(Some(row)),
                    Ok(Line::Problem { error }) => Err(Detail::into(error)),
                    Err(e) => Err(failed(format!("superd's answer cannot be read: {e}"))),
                };
            }
            if self.ended {
                return Ok(None);
            }
            if self.buffer.len() > MAX_LINE {
                return Err(failed("superd's answer has a line that does not end".into()));
            }
            match self.body.frame().await {
                None => self.ended = true,
                Some(Err(e)) => return Err(lost(e)),
                Some(Ok(frame)) => {
                    if let Some(data) = frame.data_ref() {
                        self.buffer.extend_from_slice(data);
                    }
                }
            }
        }
    }
}

impl Rows for RemoteRows {
    fn next(&mut self) -> Answer<'_, Option<Row>> {
        Box::pin(self.pull())
    }
}

struct RemoteLog {
    body: Incoming,
    offset: u64,
}

impl LogFlow for RemoteLog {
    fn next(&mut self) -> Answer<'_, Option<LogChunk>> {
        Box::pin(async move {
            loop {
                let Some(frame) = self.body.frame().await else { return Ok(None) };
                let Ok(data) = frame.map_err(lost)?.into_data() else { continue };
                let chunk = LogChunk { offset: self.offset, bytes: data.to_vec() };
                self.offset += chunk.bytes.len() as u64;
                return Ok(Some(chunk));
            }
        })
    }
}
