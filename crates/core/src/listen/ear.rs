//! What one listener says on its standard output: `READY`, then `RESULT n` and n bytes
//! (supervisor-contract 12). Works byte for byte, so the pieces in which the output comes do not matter.

use crate::event::text_of;
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// What a listener says when it wants an event.
const READY: &[u8] = b"READY\n";
/// The only result that counts as done.
const OK: &[u8] = b"OK";
/// Before the number in a result line. The ancestor skips these bytes without a look at them.
const RESULT: usize = "RESULT ".len();
/// A longer result line is a bad one. Everything else is counted and not kept, so this is also all the
/// memory that a listener can fill.
pub const LINE_MAX: usize = 1024;

/// What a listener is, to those who have events for it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mood {
    /// It has to say that it is ready.
    Acknowledged,
    /// It waits for an event.
    Ready,
    /// It has one.
    Busy,
    /// It broke the protocol.
    Unknown,
}

impl Mood {
    /// In capitals.
    pub fn name(self) -> &'static str {
        match self {
            Mood::Acknowledged => "ACKNOWLEDGED",
            Mood::Ready => "READY",
            Mood::Busy => "BUSY",
            Mood::Unknown => "UNKNOWN",
        }
    }
}

/// What a listener said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// It waits for an event now.
    Ready,
    /// It is through with its event: done, or not.
    Result(bool),
    /// A line that is no result; nothing that follows means anything.
    BadLine(String),
    /// It spoke out of turn; nothing that follows means anything.
    OutOfTurn,
}

/// The reader of one listener's output. What it is in the middle of can be written down and read again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ear(State);

#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum State {
    /// Waits for READY; the first so many bytes are there.
    Acknowledged {
        got: usize,
        good: bool,
    },
    Ready,
    /// Waits for the end of the result line.
    Line(Vec<u8>),
    /// Waits for so many bytes more. `good`: what came so far is the beginning of OK.
    Result {
        left: u64,
        got: usize,
        good: bool,
    },
    Unknown,
}

impl Default for State {
    fn default() -> State {
        State::Acknowledged { got: 0, good: true }
    }
}

impl Ear {
    /// What the listener is.
    pub fn mood(&self) -> Mood {
        match self.0 {
            State::Acknowledged { .. } => Mood::Acknowledged,
            State::Ready => Mood::Ready,
            State::Line(_) | State::Result { .. } => Mood::Busy,
            State::Unknown => Mood::Unknown,
        }
    }

    /// It is given an event.
    pub fn sent(&mut self) {
        self.0 = State::Line(Vec::new());
    }

    /// Nothing that follows means anything.
    pub fn give_up(&mut self) {
        self.0 = State::Unknown;
    }

    /// Whether an orderly listener could say this next, given no event meanwhile. (What it said before is
    /// told from what it says now by that: mostly it could not say the same again.)
    pub fn expects(&self, mut bytes: &[u8]) -> bool {
        let mut ear = self.clone();
        while let Some(heard) = ear.hear(&mut bytes) {
            match heard {
                Heard::Ready | Heard::Result(_) => {}
                Heard::BadLine(_) | Heard::OutOfTurn => return false,
            }
        }
        match &ear.0 {
            State::Acknowledged { good, .. } => *good,
            State::Line(line) => begins_result(line),
            State::Ready | State::Result { .. } => true,
            State::Unknown => false,
        }
    }

    /// Reads up to the next thing that means something, and takes what it read off `bytes`.
    pub fn hear(&mut self, bytes: &mut &[u8]) -> Option<Heard> {
        loop {
            // What is long and means nothing is not walked through.
            match &mut self.0 {
                State::Unknown => *bytes = &[],
                State::Result { left, got, .. } if *got >= OK.len() => skip(bytes, left),
                State::Acknowledged { .. } | State::Ready | State::Line(_) | State::Result { .. } => {}
            }
            let (byte, rest) = bytes.split_first()?;
            *bytes = rest;
            let heard = self.byte(*byte);
            if heard.is_some() {
                return heard;
            }
        }
    }

    fn byte(&mut self, byte: u8) -> Option<Heard> {
        match &mut self.0 {
            State::Acknowledged { got, good } => {
                *good &= READY.get(*got) == Some(&byte);
                *got += 1;
                let good = *good;
                // Fewer bytes than a READY has are not judged, as with the ancestor.
                (*got == READY.len()).then(|| if good { self.become_ready() } else { self.out_of_turn() })
            }
            State::Ready => Some(self.out_of_turn()),
            State::Line(line) if byte == b'\n' => {
                let line = core::mem::take(line);
                self.result_line(&line)
            }
            State::Line(line) if line.len() == LINE_MAX => {
                let line = core::mem::take(line);
                Some(self.bad_line(&line))
            }
            State::Line(line) => {
                line.push(byte);
                None
            }
            State::Result { left, got, good } => {
                *good &= OK.get(*got) == Some(&byte);
                *got += 1;
                *left -= 1;
                let good = *good && *got == OK.len();
                (*left == 0).then(|| self.result(good))
            }
            State::Unknown => None,
        }
    }

    fn result_line(&mut self, line: &[u8]) -> Option<Heard> {
        match line.get(RESULT..).and_then(number) {
            None => Some(self.bad_line(line)),
            Some(0) => Some(self.result(false)),
            Some(left) => {
                self.0 = State::Result { left, got: 0, good: true };
                None
            }
        }
    }

    fn become_ready(&mut self) -> Heard {
        self.0 = State::Ready;
        Heard::Ready
    }

    fn result(&mut self, good: bool) -> Heard {
        self.0 = State::default();
        Heard::Result(good)
    }

    fn bad_line(&mut self, line: &[u8]) -> Heard {
        self.0 = State::Unknown;
        Heard::BadLine(text_of(line))
    }

    fn out_of_turn(&mut self) -> Heard {
        self.0 = State::Unknown;
        Heard::OutOfTurn
    }
}

/// The beginning of a result line, as genuine listeners write it.
fn begins_result(line: &[u8]) -> bool {
    let (word, count) = line.split_at(line.len().min(RESULT));
    b"RESULT ".starts_with(word) && count.iter().all(u8::is_ascii_digit)
}

/// Passes over the middle of a result that is too long for an OK; its last byte is left to be read.
fn skip(bytes: &mut &[u8], left: &mut u64) {
    let middle = usize::try_from(left.saturating_sub(1)).unwrap_or(usize::MAX);
    let over = middle.min(bytes.len());
    *left -= over as u64;
    *bytes = bytes.get(over..).unwrap_or(&[]);
}

/// A count as the ancestor reads it: spaces around, a plus sign and single underscores between digits are
/// allowed. More than 64 bits is as good as endless. Negative counts, which break the ancestor, are bad.
fn number(text: &[u8]) -> Option<u64> {
    let text = text.trim_ascii();
    let digits = text.strip_prefix(b"+").unwrap_or(text);
    let (mut n, mut after_digit) = (0_u64, false);
    for byte in digits {
        match byte {
            b'0'..=b'9' => {
                n = n.saturating_mul(10).saturating_add(u64::from(byte - b'0'));
                after_digit = true;
            }
            b'_' if after_digit => after_digit = false,
            _ => return None,
        }
    }
    after_digit.then_some(n)
}
