//! The listener protocol: what an event listener says on its standard output.

use crate::pieces::ways;
use crate::{Kind, kind_of};
use supers_core::listen::{Ear, Heard, LINE_MAX, Mood};

pub(crate) const WORDS: &[&str] = &[
    "READY\n",
    "RESULT 2\nOK",
    "RESULT 4\nFAIL",
    "RESULT ",
    "RESULT 0\n",
    "RESULT 2\n",
    "RESULT 18446744073709551616\n",
    "RESULT -1\n",
    "RESULT +1_0\n",
    "OK",
    "READY",
    "\n",
    "\r\n",
    " ",
    "_",
    "0",
];

/// However the bytes arrive, the same is heard, which is what the protocol says of the whole; what is kept
/// meanwhile is no more than a line; and after a broken word nothing is heard again.
pub fn listener(data: &[u8]) -> Kind {
    let mut kind = 0;
    for gives in [true, false] {
        let wanted = plainly(data, gives);
        for reads in ways(data) {
            let got = listen(&reads, gives);
            assert_eq!(got, wanted, "in {} reads, an event for each READY: {gives}", reads.len());
        }
        let begins: Vec<&Said> = wanted.0.iter().take(12).collect();
        kind = kind_of(&(kind, begins, wanted.1));
    }
    kind
}

/// [`Heard`] without the text of a bad line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Said {
    Ready,
    Result(bool),
    BadLine,
    OutOfTurn,
}

/// The product's ear. `gives`: a listener that is ready is given an event at once.
fn listen(reads: &[&[u8]], gives: bool) -> (Vec<Said>, Mood) {
    let mut ear = Ear::default();
    let mut said = Vec::new();
    for read in reads {
        let mut rest = *read;
        loop {
            let before = rest.len();
            let Some(heard) = ear.hear(&mut rest) else { break };
            assert!(rest.len() < before, "it heard {heard:?} and read nothing");
            assert_ne!(said.last(), Some(&Said::BadLine), "it went on after a broken word");
            assert_ne!(said.last(), Some(&Said::OutOfTurn), "it went on after a broken word");
            said.push(word(&heard, ear.mood()));
            if gives && heard == Heard::Ready {
                ear.sent();
                assert_eq!(ear.mood(), Mood::Busy);
            }
        }
        assert!(rest.is_empty(), "it heard nothing and left {} bytes", rest.len());
    }
    // A byte of a line is shown as at most five: digits, a comma, a space.
    assert!(format!("{ear:?}").len() <= LINE_MAX * 5 + 100, "it keeps more than a line");
    (said, ear.mood())
}

/// What was heard fits to what the listener is now.
fn word(heard: &Heard, mood: Mood) -> Said {
    let (said, after) = match heard {
        Heard::Ready => (Said::Ready, Mood::Ready),
        Heard::Result(good) => (Said::Result(*good), Mood::Acknowledged),
        Heard::BadLine(text) => {
            // Four letters for a byte, and what is put before and behind.
            assert!(text.len() <= LINE_MAX * 4 + 100, "a bad line of {} bytes", text.len());
            (Said::BadLine, Mood::Unknown)
        }
        Heard::OutOfTurn => (Said::OutOfTurn, Mood::Unknown),
    };
    assert_eq!(mood, after, "after {heard:?}");
    said
}

/// The protocol itself, with all of the text at hand.
fn plainly(text: &[u8], gives: bool) -> (Vec<Said>, Mood) {
    let (mut said, mut rest) = (Vec::new(), text);
    loop {
        let Some((first, after)) = rest.split_at_checked(6) else { return (said, Mood::Acknowledged) };
        if first != b"READY\n" {
            said.push(Said::OutOfTurn);
            return (said, Mood::Unknown);
        }
        said.push(Said::Ready);
        if !gives {
            if after.is_empty() {
                return (said, Mood::Ready);
            }
            said.push(Said::OutOfTurn);
            return (said, Mood::Unknown);
        }
        let mut lines = after.splitn(2, |b| *b == b'\n');
        let (line, body) = (lines.next().unwrap_or_default(), lines.next());
        if body.is_none() && line.len() <= LINE_MAX {
            return (said, Mood::Busy);
        }
        let length = line.get(7..).and_then(count).filter(|_| line.len() <= LINE_MAX);
        let (Some(length), Some(body)) = (length, body) else {
            said.push(Said::BadLine);
            return (said, Mood::Unknown);
        };
        let Some((result, after)) = usize::try_from(length).ok().and_then(|n| body.split_at_checked(n))
        else {
            return (said, Mood::Busy);
        };
        said.push(Said::Result(result == b"OK"));
        rest = after;
    }
}

/// A whole number as Python writes and reads it; one that is too large is the largest.
fn count(text: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(text.trim_ascii()).ok()?;
    let mut digits = String::new();
    for part in text.strip_prefix('+').unwrap_or(text).split('_') {
        if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
            return None;
        }
        digits.push_str(part);
    }
    Some(digits.parse().unwrap_or(u64::MAX))
}
