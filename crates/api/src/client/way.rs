//! One question over one connection, and when it may be asked again.
//!
//! A daemon can be replaced at any moment, by an upgrade or after a crash. Its sockets are held meanwhile, so
//! whoever connects only waits; but the connections of a crashed daemon break.

use super::{Address, ConnectError, Credentials, Sender, failed};
use crate::problem::Problem;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST, HeaderValue};
use hyper::{Method, Request, Response};
use hyper_util::rt::TokioIo;
use std::fmt::Display;
use std::future::pending;
use std::io::{self, ErrorKind};
use std::path::Path;
use std::time::Duration;
use supers_core::control::Refusal;
use tokio::io::{AsyncRead, AsyncWrite};

/// Where and as whom.
#[derive(Clone)]
pub(super) struct Way {
    pub(super) address: Address,
    credentials: Credentials,
    host: HeaderValue,
}

/// What is asked.
pub(super) struct Asked {
    pub(super) method: Method,
    pub(super) path: String,
    pub(super) body: Bytes,
}

impl Asked {
    pub(super) fn get(path: impl Into<String>) -> Asked {
        Asked { method: Method::GET, path: path.into(), body: Bytes::new() }
    }

    pub(super) fn post(path: impl Into<String>, body: impl Into<Bytes>) -> Asked {
        Asked { method: Method::POST, path: path.into(), body: body.into() }
    }
}

/// Why there is no answer.
pub(super) enum Miss {
    /// There is one: no.
    Refused(Refusal),
    /// Nobody was reached; nothing was begun.
    Unreached(ConnectError),
    /// The connection broke, or the daemon left: perhaps it was begun.
    Cut(String),
}

impl Miss {
    pub(super) fn cut(e: impl Display) -> Miss {
        Miss::Cut(e.to_string())
    }
}

impl From<Miss> for Refusal {
    fn from(miss: Miss) -> Refusal {
        match miss {
            Miss::Refused(refusal) => refusal,
            Miss::Unreached(e) => failed(format!("the connection to superd was lost: {e}")),
            Miss::Cut(e) => failed(format!("the connection to superd was lost: {e}")),
        }
    }
}

/// Before a question is asked again, in milliseconds: a daemon is replaced within a few, but a machine that is
/// overloaded, or a daemon that crashes more than once, takes longer.
const PAUSES: [u64; 5] = [5, 40, 250, 1250, 5000];

/// The tries that are left.
pub(super) struct Tries(std::slice::Iter<'static, u64>);

impl Tries {
    pub(super) fn new() -> Tries {
        Tries(PAUSES.iter())
    }

    /// Waits before the next try; false when there is none.
    pub(super) async fn next(&mut self) -> bool {
        match self.0.next() {
            Some(millis) => {
                pause(Duration::from_millis(*millis)).await;
                true
            }
            None => false,
        }
    }
}

/// Only somebody else can make the next try succeed, and he does not tell.
pub(super) async fn pause(time: Duration) {
    let _ = tokio::time::timeout(time, pending::<()>()).await;
}

impl Way {
    pub(super) fn new(address: Address, credentials: Credentials) -> Result<Way, ConnectError> {
        let host = match &address {
            Address::Unix(_) => "localhost".to_string(),
            Address::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            Address::Tcp(host, port) => format!("{host}:{port}"),
        };
        let host = HeaderValue::from_str(&host)
            .map_err(|_| ConnectError::Host(io::Error::other("it has characters that no name has")))?;
        Ok(Way { address, credentials, host })
    }

    fn request(&self, asked: &Asked) -> Result<Request<Full<Bytes>>, Miss> {
        let mut builder = Request::builder().method(&asked.method).uri(&asked.path).header(HOST, &self.host);
        if !asked.body.is_empty() {
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
        let request = builder.body(Full::new(asked.body.clone()));
        request.map_err(|e| Miss::Refused(failed(format!("this cannot be asked: {e}"))))
    }

    /// Asks once, over `used` when it still lives; an answer that is a problem becomes a refusal.
    pub(super) async fn ask(
        &self,
        used: Option<Sender>,
        asked: &Asked,
    ) -> Result<(Sender, Response<Incoming>), Miss> {
        let mut sender = match used {
            Some(sender) => sender,
            None => self.dial().await.map_err(Miss::Unreached)?,
        };
        let response = match sender.try_send_request(self.request(asked)?).await {
            Ok(response) => response,
            // The daemon closed an idle connection at this very moment: nothing was sent.
            Err(e) if e.message().is_some() => {
                sender = self.dial().await.map_err(Miss::Unreached)?;
                sender.send_request(self.request(asked)?).await.map_err(Miss::cut)?
            }
            Err(e) => return Err(Miss::cut(e.into_error())),
        };
        if response.status().is_success() || is_rows(&response) {
            return Ok((sender, response));
        }
        let status = response.status();
        let bytes = response.into_body().collect().await.map_err(Miss::cut)?.to_bytes();
        Err(match serde_json::from_slice::<Problem>(&bytes) {
            Ok(problem) if problem.error.kind == "replaced" => Miss::Cut(problem.error.text),
            Ok(problem) => Miss::Refused(problem.error.into()),
            Err(_) => Miss::Refused(failed(format!(
                "the server answered {status}; is it superd that listens there?"
            ))),
        })
    }

    pub(super) async fn dial(&self) -> Result<Sender, ConnectError> {
        match &self.address {
            Address::Unix(path) => handshake(connect(path).await.map_err(ConnectError::of)?).await,
            Address::Tcp(host, port) => {
                let found =
                    tokio::net::lookup_host((host.as_str(), *port)).await.map_err(ConnectError::Host)?;
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
}

/// Rows come with a code that may say that one failed.
fn is_rows(response: &Response<Incoming>) -> bool {
    response.headers().get(CONTENT_TYPE).is_some_and(|t| t == "application/x-ndjson")
}

/// A unix socket whose queue is full says so at once, where TCP would wait: while a daemon is replaced, a crowd
/// can fill it.
async fn connect(path: &Path) -> io::Result<tokio::net::UnixStream> {
    let mut tries = Tries::new();
    loop {
        match tokio::net::UnixStream::connect(path).await {
            Err(e) if e.kind() == ErrorKind::WouldBlock && tries.next().await => {}
            done => return done,
        }
    }
}

/// A brief status of 1,000 programs (about 40 KB) comes in one read, and a whole one in a few instead of a growing row
/// of them. From twice as much on, the allocator would ask the system for each buffer.
const READ_BUFFER: usize = 64 * 1024;

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
