//! The way to a daemon: XML-RPC calls over one connection that is kept, logs over their own.

use super::rpc::{CallError, Value};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use bytes::Bytes;
use http_body_util::{BodyExt, Full, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1::{self, SendRequest};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use std::io::{self, ErrorKind};
use std::path::PathBuf;
use supers_api::xmlrpc::{Limits, decode_response, encode_call};
use tokio::io::{AsyncRead, AsyncWrite};

type Sender = SendRequest<Full<Bytes>>;

/// Where to connect.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Target {
    Unix(PathBuf),
    Tcp(String, u16),
    /// Neither; found out at the first call.
    Unknown,
}

impl Target {
    /// `http://[user@]host[:port][/...]` or `unix://path`.
    fn of(url: &str) -> Target {
        if let Some(path) = url.strip_prefix("unix://") {
            return Target::Unix(std::path::absolute(path).unwrap_or_else(|_| path.into()));
        }
        let Some(rest) = url.strip_prefix("http://") else { return Target::Unknown };
        let place = rest.split(['/', '?', '#']).next().unwrap_or(rest);
        let place = place.rsplit_once('@').map_or(place, |(_, place)| place);
        let (host, port) = match place.rsplit_once(':').filter(|(_, port)| !port.ends_with(']')) {
            Some((host, port)) => (host, port.parse().ok()),
            None => (place, Some(80)),
        };
        let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
        match port {
            Some(port) => Target::Tcp(host.into(), port),
            None => Target::Unknown,
        }
    }

    /// The Host header.
    fn host(&self) -> String {
        match self {
            Target::Tcp(host, port) if host.contains(':') => format!("[{host}]:{port}"),
            Target::Tcp(host, port) => format!("{host}:{port}"),
            Target::Unix(_) | Target::Unknown => "localhost".into(),
        }
    }
}

/// An address with credentials, and the connection that is kept.
pub(super) struct Http {
    /// The address as it was given.
    pub(super) url: String,
    target: Target,
    authorization: Option<String>,
    idle: Option<Sender>,
}

impl Http {
    pub(super) fn new(url: &str) -> Http {
        Http { url: url.into(), target: Target::of(url), authorization: None, idle: None }
    }

    /// From now on this name and password.
    pub(super) fn login(&mut self, username: &str, password: &str) {
        self.authorization = Some(format!("Basic {}", BASE64.encode(format!("{username}:{password}"))));
        self.idle = None;
    }

    /// From now on this address, with the same credentials.
    pub(super) fn open(&mut self, url: &str) {
        self.url = url.into();
        self.target = Target::of(url);
        self.idle = None;
    }

    /// The same daemon over a connection of its own.
    pub(super) fn another(&self) -> Http {
        let (url, target) = (self.url.clone(), self.target.clone());
        Http { url, target, authorization: self.authorization.clone(), idle: None }
    }

    /// One call.
    pub(super) async fn call(&mut self, method: &str, params: &[Value]) -> Result<Value, CallError> {
        let body = Bytes::from(encode_call(method, params));
        let (sender, response) = self.send(Method::POST, "/RPC2", body).await?;
        let status = response.status();
        if status != StatusCode::OK {
            let reason = status.canonical_reason().unwrap_or("Unknown").to_string();
            return Err(CallError::Protocol { status: status.as_u16(), reason });
        }
        let body = Limited::new(response.into_body(), Limits::RESPONSE.bytes);
        let bytes = body.collect().await.map_err(|e| CallError::Connection(e.to_string()))?.to_bytes();
        self.idle = Some(sender);
        match decode_response(&bytes) {
            Ok(answer) => answer.map_err(CallError::Fault),
            Err(e) => Err(CallError::Value(format!("the answer cannot be read: {e}"))),
        }
    }

    /// An answer that may never end.
    pub(super) async fn get(&mut self, path: &str) -> Result<Response<Incoming>, CallError> {
        Ok(self.send(Method::GET, path, Bytes::new()).await?.1)
    }

    async fn send(
        &mut self,
        method: Method,
        path: &str,
        body: Bytes,
    ) -> Result<(Sender, Response<Incoming>), CallError> {
        if let Some(mut sender) = self.idle.take()
            && sender.ready().await.is_ok()
        {
            match sender.try_send_request(self.request(&method, path, &body)?).await {
                Ok(response) => return Ok((sender, response)),
                // The daemon closed the idle connection at this very moment, and nothing was sent.
                Err(e) if e.message().is_some() => {}
                Err(e) => return Err(lost(&e.into_error())),
            }
        }
        let mut sender = dial(&self.target, &self.url).await?;
        let response =
            sender.send_request(self.request(&method, path, &body)?).await.map_err(|e| lost(&e))?;
        Ok((sender, response))
    }

    fn request(&self, method: &Method, path: &str, body: &Bytes) -> Result<Request<Full<Bytes>>, CallError> {
        let mut request = Request::builder().method(method).uri(path).header(HOST, self.target.host());
        if method == Method::POST {
            request = request.header(CONTENT_TYPE, "text/xml");
        }
        if let Some(text) = &self.authorization {
            request = request.header(AUTHORIZATION, text);
        }
        request.body(Full::new(body.clone())).map_err(|e| CallError::Value(e.to_string()))
    }
}

fn lost(e: &hyper::Error) -> CallError {
    CallError::Connection(format!("the connection was lost: {e}"))
}

fn refused(e: &io::Error) -> CallError {
    match e.kind() {
        ErrorKind::NotFound => CallError::NoFile,
        ErrorKind::ConnectionRefused => CallError::Refused,
        ErrorKind::PermissionDenied => CallError::Denied,
        // io::ErrorKind is not ours and grows.
        _ => CallError::Connection(e.to_string()),
    }
}

async fn dial(target: &Target, url: &str) -> Result<Sender, CallError> {
    match target {
        Target::Unix(path) => {
            handshake(tokio::net::UnixStream::connect(path).await.map_err(|e| refused(&e))?).await
        }
        Target::Tcp(host, port) => {
            let unknown = |e: io::Error| CallError::Host(e.to_string());
            let mut last = CallError::Host("the name has no address".into());
            for address in tokio::net::lookup_host((host.as_str(), *port)).await.map_err(unknown)? {
                match tokio::net::TcpStream::connect(address).await {
                    Ok(stream) => {
                        // Only costs time when it fails.
                        let _ = stream.set_nodelay(true);
                        return handshake(stream).await;
                    }
                    Err(e) => last = refused(&e),
                }
            }
            Err(last)
        }
        Target::Unknown => Err(CallError::Value(format!("Unknown protocol for serverurl {url}"))),
    }
}

async fn handshake<S>(stream: S) -> Result<Sender, CallError>
where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (sender, connection) = http1::handshake(TokioIo::new(stream)).await.map_err(|e| lost(&e))?;
    // Its end shows at the sender and the bodies.
    tokio::spawn(async move { drop(connection.await) });
    Ok(sender)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses() {
        let tcp = |host: &str, port| Target::Tcp(host.into(), port);
        assert_eq!(Target::of("unix:///run/x.sock"), Target::Unix("/run/x.sock".into()));
        assert_eq!(Target::of("http://box:9001"), tcp("box", 9001));
        assert_eq!(Target::of("http://u:p@box:9001/x?y"), tcp("box", 9001));
        assert_eq!(Target::of("http://box"), tcp("box", 80));
        assert_eq!(Target::of("http://[::1]:9001"), tcp("::1", 9001));
        for other in ["https://x", "ftp://x", "unix:/x", "HTTP://x", "foo:bar", "http://x:y"] {
            assert_eq!(Target::of(other), Target::Unknown, "{other}");
        }
    }
}
