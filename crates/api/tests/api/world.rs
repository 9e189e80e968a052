//! A server around a [`Fake`] and a client that speaks bytes.

pub use crate::fake::Fake;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use supers_api::{Door, Handle, Limits, Listener, Setup, serve};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};

/// A test that takes this long hangs.
pub const DEADLINE: Duration = Duration::from_secs(20);

pub struct World {
    pub fake: Arc<Fake>,
    pub handle: Handle,
    pub unix: PathBuf,
    pub tcp: SocketAddr,
    pub dir: tempfile::TempDir,
}

pub fn own_uid(dir: &std::path::Path) -> u32 {
    use std::os::unix::fs::MetadataExt;
    std::fs::metadata(dir).unwrap().uid()
}

impl World {
    pub fn new() -> World {
        World::with(Door::tcp("tcp"), Limits::default())
    }

    pub fn with(tcp_door: Door, limits: Limits) -> World {
        World::doors(Door::unix("unix", vec![]), tcp_door, limits)
    }

    /// With the doors of a configuration of Supervisor.
    pub fn supervisor() -> World {
        World::doors(Door::unix_by_mode("unix"), Door::inet("tcp"), Limits::default())
    }

    pub fn doors(unix_door: Door, tcp_door: Door, limits: Limits) -> World {
        let dir = tempfile::tempdir().unwrap();
        let unix = dir.path().join("super.sock");
        let unix_socket = std::os::unix::net::UnixListener::bind(&unix).unwrap();
        let tcp_socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let tcp = tcp_socket.local_addr().unwrap();
        let fake = Arc::new(Fake::default());
        let listeners = vec![(unix_door, Listener::Unix(unix_socket)), (tcp_door, Listener::Tcp(tcp_socket))];
        let setup = Setup {
            own_uid: own_uid(dir.path()),
            user_name: |uid| Some(format!("user{uid}")),
            rest: || {},
            limits,
        };
        let handle = serve(fake.clone(), listeners, setup).unwrap();
        World { fake, handle, unix, tcp, dir }
    }

    pub async fn unix(&self) -> Wire<UnixStream> {
        Wire::new(UnixStream::connect(&self.unix).await.unwrap())
    }

    pub async fn tcp(&self) -> Wire<TcpStream> {
        Wire::new(TcpStream::connect(self.tcp).await.unwrap())
    }

    /// One request over the unix socket on a connection of its own; status line and body.
    pub async fn ask(&self, line: &str, body: &str) -> String {
        let mut wire = self.unix().await;
        wire.send(&request(line, &[], body)).await;
        wire.answer().await.short()
    }

    /// The same over TCP with header lines.
    pub async fn ask_tcp(&self, line: &str, headers: &[&str]) -> Reply {
        let mut wire = self.tcp().await;
        wire.send(&request(line, headers, "")).await;
        wire.answer().await
    }
}

/// A request as text. Without a Host header in `headers`, localhost.
pub fn request(line: &str, headers: &[&str], body: &str) -> String {
    let mut text = format!("{line} HTTP/1.1\r\n");
    if !headers.iter().any(|h| h.to_lowercase().starts_with("host:")) {
        text += "Host: localhost\r\n";
    }
    for header in headers {
        text += header;
        text += "\r\n";
    }
    if !body.is_empty() {
        text += &format!("Content-Length: {}\r\n", body.len());
    }
    text + "\r\n" + body
}

#[derive(Debug)]
pub struct Reply {
    pub status: String,
    pub head: String,
    pub body: String,
}

impl Reply {
    pub fn short(&self) -> String {
        format!("{}\n{}", self.status, self.body)
    }

    pub fn header(&self, name: &str) -> Option<&str> {
        let mut lines = self.head.lines().filter_map(|l| l.split_once(": "));
        lines.find(|(k, _)| k.eq_ignore_ascii_case(name)).map(|(_, v)| v)
    }
}

/// A connection that is read byte by byte, with one deadline for all.
pub struct Wire<S> {
    pub stream: S,
    buffer: Vec<u8>,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Wire<S> {
    pub fn new(stream: S) -> Wire<S> {
        Wire { stream, buffer: Vec::new() }
    }

    pub async fn send(&mut self, text: &str) {
        self.stream.write_all(text.as_bytes()).await.unwrap();
    }

    /// More bytes; false at the end.
    async fn more(&mut self) -> bool {
        let read = tokio::time::timeout(DEADLINE, self.stream.read_buf(&mut self.buffer)).await;
        read.expect("the server says nothing").unwrap_or(0) > 0
    }

    async fn until(&mut self, end: &str) -> String {
        loop {
            if let Some(at) = self.buffer.windows(end.len()).position(|w| w == end.as_bytes()) {
                let taken: Vec<u8> = self.buffer.drain(..at + end.len()).collect();
                return String::from_utf8(taken).unwrap();
            }
            let more = self.more().await;
            assert!(more, "the server closed after {:?}", String::from_utf8_lossy(&self.buffer));
        }
    }

    async fn exactly(&mut self, n: usize) -> String {
        while self.buffer.len() < n {
            let more = self.more().await;
            assert!(more, "the server closed");
        }
        String::from_utf8(self.buffer.drain(..n).collect()).unwrap()
    }

    /// Status line and headers.
    pub async fn head(&mut self) -> Reply {
        let head = self.until("\r\n\r\n").await;
        let status = head.lines().next().unwrap().trim_start_matches("HTTP/1.1 ").to_string();
        Reply { status, head, body: String::new() }
    }

    /// One piece of a chunked body; empty at its end.
    pub async fn chunk(&mut self) -> String {
        let size = self.until("\r\n").await;
        let size = usize::from_str_radix(size.trim(), 16).unwrap();
        let text = self.exactly(size).await;
        self.exactly(2).await;
        text
    }

    /// A whole answer.
    pub async fn answer(&mut self) -> Reply {
        let mut reply = self.head().await;
        if let Some(length) = reply.header("content-length") {
            let length = length.parse().unwrap();
            reply.body = self.exactly(length).await;
        } else if reply.header("transfer-encoding").is_some() {
            loop {
                let piece = self.chunk().await;
                if piece.is_empty() {
                    break;
                }
                reply.body += &piece;
            }
        }
        reply
    }

    /// All that comes until the server closes.
    pub async fn rest(&mut self) -> String {
        while self.more().await {}
        String::from_utf8_lossy(&std::mem::take(&mut self.buffer)).into_owned()
    }

    /// The server closes, having said nothing more.
    pub async fn closed(&mut self) {
        let more = self.more().await;
        assert!(!more, "more: {:?}", String::from_utf8_lossy(&self.buffer));
    }
}
