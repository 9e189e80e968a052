//! XML-RPC over a unix socket: just enough to ask, and to count answers without looking at them.

use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

/// Connections that ask at once.
const LINES: usize = 8;

/// Asking has gone on for so long when counting begins.
const WARM: Duration = Duration::from_secs(1);

/// Longest wait for an answer.
const PATIENCE: Duration = Duration::from_secs(120);

/// Large, so that the client costs few system calls; small, so that it stays in the cache.
const BUFFER: usize = 256 * 1024;

/// The request for a method of `supervisor.`; the parameters are XML.
pub(super) fn request(method: &str, params: &str) -> Vec<u8> {
    let body = format!(
        "<?xml version='1.0'?><methodCall><methodName>supervisor.{method}</methodName>\
         <params>{params}</params></methodCall>"
    );
    let head = format!(
        "POST /RPC2 HTTP/1.1\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n",
        body.len()
    );
    (head + &body).into_bytes()
}

/// A connection that is kept.
pub(super) struct Line {
    stream: UnixStream,
    buffer: Vec<u8>,
}

impl Line {
    pub(super) fn open(socket: &Path) -> Result<Line, String> {
        let problem = |e: std::io::Error| format!("{}: {e}", socket.display());
        let stream = UnixStream::connect(socket).map_err(problem)?;
        stream.set_read_timeout(Some(PATIENCE)).map_err(problem)?;
        Ok(Line { stream, buffer: vec![0; BUFFER] })
    }

    /// One question; the body of its answer.
    pub(super) fn call(&mut self, request: &[u8]) -> Result<String, String> {
        let mut body = Vec::new();
        self.exchange(request, |part| body.extend_from_slice(part))?;
        let text = String::from_utf8_lossy(&body).into_owned();
        match text.contains("<fault>") {
            true => Err(format!("a fault: {text}")),
            false => Ok(text),
        }
    }

    /// Sends a request and reads one answer to its end; the length of its body.
    fn exchange(&mut self, request: &[u8], mut take: impl FnMut(&[u8])) -> Result<usize, String> {
        self.stream.write_all(request).map_err(|e| format!("no request was taken: {e}"))?;
        let mut filled = 0;
        let (head, length) = loop {
            filled += self.read(filled)?;
            if let Some(found) = head(&self.buffer[..filled])? {
                break found;
            }
        };
        let mut got = filled - head;
        take(&self.buffer[head..filled]);
        while got < length {
            let count = self.read(0)?;
            take(&self.buffer[..count]);
            got += count;
        }
        if got > length {
            return Err(format!("{} bytes behind the answer", got - length));
        }
        Ok(length)
    }

    fn read(&mut self, from: usize) -> Result<usize, String> {
        match self.stream.read(&mut self.buffer[from..]) {
            Ok(0) => Err("the connection ended inside an answer".into()),
            Ok(count) => Ok(count),
            Err(e) => Err(format!("no answer: {e}")),
        }
    }
}

/// Where the head ends and how long the body is, when the head is there.
fn head(bytes: &[u8]) -> Result<Option<(usize, usize)>, String> {
    let Some(end) = bytes.windows(4).position(|w| w == b"\r\n\r\n") else { return Ok(None) };
    let text = String::from_utf8_lossy(&bytes[..end]).to_ascii_lowercase();
    let length = text.lines().find_map(|l| l.strip_prefix("content-length:")?.trim().parse().ok());
    match length {
        Some(length) if text.split(' ').nth(1) == Some("200") => Ok(Some((end + 4, length))),
        _ => Err(format!("not the answer that was expected: {text}")),
    }
}

/// Answers a second to getAllProcessInfo, when a few connections ask one question after the other.
pub(super) fn rate(socket: &Path, watch: Duration) -> Result<f64, String> {
    let request = request("getAllProcessInfo", "");
    let (began, answers) = (Instant::now(), AtomicUsize::new(0));
    let ask = || -> Result<(), String> {
        let mut line = Line::open(socket)?;
        while began.elapsed() < WARM + watch {
            line.exchange(&request, |_| ())?;
            // An answer counts in the time in which it was complete.
            if (WARM..WARM + watch).contains(&began.elapsed()) {
                answers.fetch_add(1, Ordering::Relaxed);
            }
        }
        Ok(())
    };
    std::thread::scope(|scope| {
        let threads: Vec<_> = (0..LINES).map(|_| scope.spawn(ask)).collect();
        let ended =
            threads.into_iter().map(|t| t.join().unwrap_or_else(|_| Err("a client ended early".into())));
        ended.collect::<Result<Vec<()>, String>>()
    })?;
    Ok(answers.into_inner() as f64 / watch.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::head;

    #[test]
    fn heads() {
        let text = b"HTTP/1.1 200 OK\r\nA: b\r\ncontent-Length: 12\r\n\r\nabc";
        assert_eq!(head(text), Ok(Some((text.len() - 3, 12))));
        assert_eq!(head(b"HTTP/1.1 200 OK\r\n"), Ok(None));
        assert!(head(b"HTTP/1.1 401 No\r\nContent-Length: 1\r\n\r\n").is_err());
        assert!(head(b"HTTP/1.1 200 OK\r\n\r\n").is_err());
    }
}
