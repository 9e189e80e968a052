//! Lines from standard input, for questions, for the shell without a terminal and for `fg`. One buffer
//! for all, so that none takes lines that belong to another.

use rustix::event::{PollFd, PollFlags, poll};
use rustix::io::Errno;
use std::os::fd::BorrowedFd;

/// A longer line comes in pieces.
const MAX_LINE: usize = 1 << 20;

/// Lines of standard input.
#[derive(Debug, Default)]
pub(super) struct Input {
    buffer: Vec<u8>,
    ended: bool,
}

/// What came of waiting for a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    /// A line, without its end.
    Line(String),
    /// There is no more.
    End,
    /// The other descriptor became readable.
    Stopped,
}

impl Input {
    /// A line that is there already. At the end of the input the last line may lack its end.
    fn ready(&mut self) -> Option<String> {
        let (take, keep_last) = match self.buffer.iter().position(|b| *b == b'\n') {
            Some(at) => (at + 1, 1),
            None if self.buffer.len() >= MAX_LINE => (self.buffer.len(), 0),
            None if self.ended && !self.buffer.is_empty() => (self.buffer.len(), 0),
            None => return None,
        };
        let mut line: Vec<u8> = self.buffer.drain(..take).collect();
        line.truncate(take - keep_last);
        Some(String::from_utf8_lossy(&line).into_owned())
    }

    /// Waits for a line or for `stop`.
    pub(super) fn line(&mut self, stop: Option<BorrowedFd<'_>>) -> Next {
        loop {
            if let Some(line) = self.ready() {
                return Next::Line(line);
            }
            if self.ended {
                return Next::End;
            }
            match wait(stop) {
                Ok(true) => return Next::Stopped,
                Ok(false) => self.read(),
                Err(_) => self.ended = true,
            }
        }
    }

    fn read(&mut self) {
        let mut chunk = [0; 4096];
        match rustix::io::read(rustix::stdio::stdin(), &mut chunk) {
            Ok(0) => self.ended = true,
            Ok(n) => self.buffer.extend(chunk.iter().take(n)),
            Err(Errno::INTR | Errno::AGAIN) => {}
            // A terminal that hung up, or no standard input at all.
            Err(_) => self.ended = true,
        }
    }
}

/// Waits for input; true when `stop` came first.
fn wait(stop: Option<BorrowedFd<'_>>) -> rustix::io::Result<bool> {
    let stdin = rustix::stdio::stdin();
    let mut fds = vec![PollFd::new(&stdin, PollFlags::IN)];
    if let Some(stop) = &stop {
        fds.push(PollFd::new(stop, PollFlags::IN));
    }
    loop {
        match poll(&mut fds, None) {
            Ok(_) => return Ok(fds.get(1).is_some_and(|f| !f.revents().is_empty())),
            Err(Errno::INTR) => {}
            Err(e) => return Err(e),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_of_a_buffer() {
        let mut input = Input { buffer: b"a\n\nb".to_vec(), ended: false };
        assert_eq!(input.ready().as_deref(), Some("a"));
        assert_eq!(input.ready().as_deref(), Some(""));
        assert_eq!(input.ready(), None);
        input.ended = true;
        assert_eq!(input.line(None), Next::Line("b".into()));
        assert_eq!(input.line(None), Next::End);
    }
}
