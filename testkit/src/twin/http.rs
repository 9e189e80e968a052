//! A small HTTP client that shows what came, and whether the connection stayed open.

use crate::Deadline;
use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::os::unix::net::UnixStream;
use std::path::PathBuf;
use std::time::Duration;

/// Where the daemon listens.
#[derive(Clone, Debug)]
pub(crate) enum Door {
    Unix(PathBuf),
    Tcp(u16),
}

/// A connection of either kind.
pub(crate) enum Line {
    Unix(UnixStream),
    Tcp(TcpStream),
}

/// An answer. The head is text, because all of it is ASCII.
#[derive(Clone, Debug, Default)]
pub(crate) struct Answer {
    pub(crate) status: String,
    /// Names in lower case, in order.
    pub(crate) headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
    /// What went wrong on the way.
    pub(crate) trouble: Option<String>,
}

impl Door {
    pub(crate) fn open(&self, patience: Duration) -> io::Result<Line> {
        let line = match self {
            Door::Unix(path) => Line::Unix(UnixStream::connect(path)?),
            Door::Tcp(port) => Line::Tcp(TcpStream::connect(("127.0.0.1", *port))?),
        };
        line.patience(patience)?;
        Ok(line)
    }
}

impl Line {
    pub(crate) fn patience(&self, time: Duration) -> io::Result<()> {
        match self {
            Line::Unix(s) => s.set_read_timeout(Some(time)),
            Line::Tcp(s) => s.set_read_timeout(Some(time)),
        }
    }

    pub(crate) fn copy(&self) -> io::Result<Line> {
        Ok(match self {
            Line::Unix(s) => Line::Unix(s.try_clone()?),
            Line::Tcp(s) => Line::Tcp(s.try_clone()?),
        })
    }

    /// Ends it for all copies.
    pub(crate) fn hang_up(&self) {
        // One that is gone already is as good.
        let _ = match self {
            Line::Unix(s) => s.shutdown(Shutdown::Both),
            Line::Tcp(s) => s.shutdown(Shutdown::Both),
        };
    }

    pub(crate) fn send(&mut self, bytes: &[u8]) -> io::Result<()> {
        match self {
            Line::Unix(s) => s.write_all(bytes),
            Line::Tcp(s) => s.write_all(bytes),
        }
    }

    pub(crate) fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Line::Unix(s) => s.read(into),
            Line::Tcp(s) => s.read(into),
        }
    }

    /// Whether the peer closes within a short time; it need not be told that nothing follows.
    pub(crate) fn closes(&mut self) -> bool {
        let waited = self.patience(Duration::from_millis(1500));
        waited.is_ok() && !matches!(self.read(&mut [0]), Err(e) if timeout(&e))
    }

    /// Reads one answer.
    pub(crate) fn answer(&mut self, head_only: bool) -> Answer {
        let mut taken = Vec::new();
        let end = loop {
            if let Some(at) = find(&taken, b"\r\n\r\n") {
                break at;
            }
            match self.more(&mut taken) {
                Ok(true) => {}
                Ok(false) if taken.is_empty() => return Answer::broken("closed without an answer"),
                Ok(false) => {
                    return Answer::broken(&format!(
                        "closed inside the head: {}",
                        String::from_utf8_lossy(&taken)
                    ));
                }
                Err(e) => return Answer::broken(&e),
            }
        };
        let mut answer = Answer::head(&String::from_utf8_lossy(&taken[..end]));
        let mut rest = taken.split_off(end + 4);
        if head_only {
            return answer;
        }
        let length = answer.header("content-length").and_then(|l| l.parse().ok());
        let chunked = answer.header("transfer-encoding") == Some("chunked");
        loop {
            let done = match (chunked, length) {
                (true, _) => unchunk(&rest).1,
                (false, Some(n)) => rest.len() >= n,
                (false, None) => false,
            };
            if done {
                break;
            }
            match self.more(&mut rest) {
                Ok(true) => {}
                Ok(false) => {
                    answer.trouble = (chunked || length.is_some()).then(|| "closed inside the body".into());
                    break;
                }
                Err(e) => {
                    answer.trouble = Some(e);
                    break;
                }
            }
        }
        answer.body = if chunked { unchunk(&rest).0 } else { rest };
        answer
    }

    fn more(&mut self, into: &mut Vec<u8>) -> Result<bool, String> {
        let mut buffer = [0; 16 * 1024];
        match self.read(&mut buffer) {
            Ok(0) => Ok(false),
            Ok(n) => {
                into.extend_from_slice(&buffer[..n]);
                Ok(true)
            }
            Err(e) if timeout(&e) => Err("no answer in time".into()),
            Err(e) => Err(format!("{:?}", e.kind())),
        }
    }
}

impl Answer {
    pub(crate) fn broken(text: &str) -> Answer {
        Answer { trouble: Some(text.into()), ..Answer::default() }
    }

    fn head(text: &str) -> Answer {
        let mut lines = text.split("\r\n");
        let status = lines.next().unwrap_or_default().to_string();
        let header =
            |l: &str| l.split_once(':').map(|(k, v)| (k.trim().to_lowercase(), v.trim().to_string()));
        Answer { status, headers: lines.filter_map(header).collect(), ..Answer::default() }
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(k, _)| k == name).map(|(_, v)| v.as_str())
    }
}

/// The request's bytes. A body brings its length.
pub(crate) fn request(
    method: &str,
    path: &str,
    headers: &[(String, String)],
    body: Option<&[u8]>,
) -> Vec<u8> {
    let mut text = format!("{method} {path} HTTP/1.1\r\n");
    if !headers.iter().any(|(k, _)| k.eq_ignore_ascii_case("host")) {
        text.push_str("Host: localhost\r\n");
    }
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    if let Some(body) = body {
        text.push_str(&format!("Content-Length: {}\r\n", body.len()));
    }
    text.push_str("\r\n");
    let mut bytes = text.into_bytes();
    bytes.extend_from_slice(body.unwrap_or_default());
    bytes
}

/// Sends and waits for one answer.
pub(crate) fn exchange(door: &Door, bytes: &[u8], deadline: Deadline) -> Answer {
    let patience = deadline.left().max(Duration::from_millis(1));
    let mut line = match door.open(patience) {
        Ok(line) => line,
        Err(e) => return Answer::broken(&format!("cannot connect: {:?}", e.kind())),
    };
    match line.send(bytes) {
        Ok(()) => line.answer(false),
        Err(e) => Answer::broken(&format!("cannot send: {:?}", e.kind())),
    }
}

fn timeout(e: &io::Error) -> bool {
    matches!(e.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn find(bytes: &[u8], what: &[u8]) -> Option<usize> {
    bytes.windows(what.len()).position(|w| w == what)
}

/// The data of all whole chunks, and whether the last one was met.
pub(crate) fn unchunk(mut bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut out = Vec::new();
    while let Some(at) = find(bytes, b"\r\n") {
        let size = String::from_utf8_lossy(&bytes[..at]).into_owned();
        let size = size.split(';').next().unwrap_or_default().trim();
        let Ok(size) = usize::from_str_radix(size, 16) else { return (out, true) };
        if size == 0 {
            return (out, true);
        }
        let Some(data) = bytes.get(at + 2..at + 2 + size) else { break };
        out.extend_from_slice(data);
        let Some(rest) = bytes.get(at + 4 + size..) else { break };
        bytes = rest;
    }
    (out, false)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chunks() {
        assert_eq!(unchunk(b"3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"), (b"abcde".to_vec(), true));
        assert_eq!(unchunk(b"3\r\nabc\r\n2\r\nd"), (b"abc".to_vec(), false));
    }

    #[test]
    fn a_request_and_a_head() {
        let bytes = request("POST", "/x", &[("A".into(), "b".into())], Some(b"hi"));
        let text = "POST /x HTTP/1.1\r\nHost: localhost\r\nA: b\r\nContent-Length: 2\r\n\r\nhi";
        assert_eq!(String::from_utf8(bytes).unwrap(), text);
        let answer = Answer::head("HTTP/1.1 200 OK\r\nA: b\r\nC:d");
        assert_eq!((answer.status.as_str(), answer.header("c")), ("HTTP/1.1 200 OK", Some("d")));
    }
}
