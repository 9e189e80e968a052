//! Capture mode: text between two tokens is no output but an event (supervisor-contract 8, "Capture").
//!
//! Pure: what comes out does not depend on how the text was cut into reads.

use bstr::ByteSlice;
use std::collections::VecDeque;

const BEGIN: &[u8] = b"<!--XSUPERVISOR:BEGIN-->";
const END: &[u8] = b"<!--XSUPERVISOR:END-->";

/// A part of the text, told apart.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Part<'a> {
    /// Ordinary output.
    Output(&'a [u8]),
    /// What stood between the tokens: its newest bytes, as many as are kept.
    Captured(Vec<u8>),
}

/// Where in the text we are.
pub(super) struct Capture {
    /// Most bytes kept of one captured text.
    max: usize,
    /// Between the tokens.
    inside: bool,
    /// The end of the text so far, which may be the beginning of a token.
    held: Vec<u8>,
    kept: VecDeque<u8>,
}

impl Capture {
    /// Begins outside of the tokens.
    pub(super) fn new(max: u64) -> Capture {
        let max = usize::try_from(max).unwrap_or(usize::MAX);
        Capture { max, inside: false, held: Vec::new(), kept: VecDeque::new() }
    }

    /// Takes the next bytes and gives what they are made of to `each`.
    pub(super) fn feed(&mut self, bytes: &[u8], mut each: impl FnMut(Part<'_>)) {
        let mut joined = std::mem::take(&mut self.held);
        if joined.is_empty() {
            self.split(bytes, &mut each);
        } else {
            joined.extend_from_slice(bytes);
            self.split(&joined, &mut each);
        }
    }

    /// The text ends here: what was held back was no token. A captured text without an end is dropped, as
    /// in the ancestor.
    pub(super) fn finish(&mut self, mut each: impl FnMut(Part<'_>)) {
        let held = std::mem::take(&mut self.held);
        if !self.inside && !held.is_empty() {
            each(Part::Output(&held));
        }
        self.inside = false;
        self.kept = VecDeque::new();
    }

    /// Output is held back until it is clear whether a token begins.
    pub(super) fn holds(&self) -> bool {
        !self.inside && !self.held.is_empty()
    }

    fn split(&mut self, mut text: &[u8], each: &mut impl FnMut(Part<'_>)) {
        loop {
            let token = if self.inside { END } else { BEGIN };
            let Some(at) = text.find(token) else {
                let (sure, open) = text.split_at(text.len() - prefix_at_end(text, token));
                self.plain(sure, each);
                self.held = open.to_vec();
                return;
            };
            self.plain(&text[..at], each);
            text = &text[at + token.len()..];
            if self.inside {
                each(Part::Captured(std::mem::take(&mut self.kept).into()));
            }
            self.inside = !self.inside;
        }
    }

    fn plain(&mut self, text: &[u8], each: &mut impl FnMut(Part<'_>)) {
        if !self.inside {
            if !text.is_empty() {
                each(Part::Output(text));
            }
            return;
        }
        let newest = &text[text.len().saturating_sub(self.max)..];
        let surplus = (self.kept.len() + newest.len()).saturating_sub(self.max);
        self.kept.drain(..surplus.min(self.kept.len()));
        self.kept.extend(newest);
    }
}

/// For the fuzz targets: the output and the captured texts of these reads.
#[doc(hidden)]
pub fn told_apart(max: u64, reads: &[&[u8]]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut output, mut captured) = (Vec::new(), Vec::new());
    let mut capture = Capture::new(max);
    let mut each = |part: Part<'_>| match part {
        Part::Output(bytes) => output.extend_from_slice(bytes),
        Part::Captured(bytes) => captured.push(bytes),
    };
    reads.iter().for_each(|read| capture.feed(read, &mut each));
    capture.finish(&mut each);
    (output, captured)
}

/// How many bytes at the end of `text` may be the beginning of `token`.
fn prefix_at_end(text: &[u8], token: &[u8]) -> usize {
    let longest = text.len().min(token.len() - 1);
    (1..=longest).rev().find(|n| text.ends_with(&token[..*n])).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// The output, and all captured texts.
    fn run(max: u64, reads: &[&[u8]]) -> (String, Vec<String>) {
        let text = |b: &[u8]| String::from_utf8_lossy(b).into_owned();
        let (mut output, mut captured) = (String::new(), Vec::new());
        let mut capture = Capture::new(max);
        let mut each = |part: Part<'_>| match part {
            Part::Output(bytes) => output.push_str(&text(bytes)),
            Part::Captured(bytes) => captured.push(text(&bytes)),
        };
        for read in reads {
            capture.feed(read, &mut each);
        }
        capture.finish(&mut each);
        (output, captured)
    }

    fn check(text: &str, max: u64, output: &str, captured: &[&str]) {
        assert_eq!(
            run(max, &[text.as_bytes()]),
            (output.into(), captured.iter().map(|s| (*s).into()).collect())
        );
    }

    #[test]
    fn tokens_are_found() {
        let b = "<!--XSUPERVISOR:BEGIN-->";
        let e = "<!--XSUPERVISOR:END-->";
        check("plain", 100, "plain", &[]);
        check(&format!("a{b}one{e}b{b}{e}c\n"), 100, "abc\n", &["one", ""]);
        // A token is looked for in its place only.
        check(&format!("a{e}b{b}x{b}y{e}c"), 100, &format!("a{e}bc"), &[&format!("x{b}y")]);
        // The beginning of one that never comes is output; captured text without an end is nothing.
        check("a<!--XSUPERVISOR:BEG", 100, "a<!--XSUPERVISOR:BEG", &[]);
        check(&format!("a{b}rest<!--XSUP"), 100, "a", &[]);
        check(&format!("<<!--{b}x<!--{e}"), 100, "<<!--", &["x<!--"]);
    }

    #[test]
    fn the_newest_bytes_are_kept() {
        let text = "<!--XSUPERVISOR:BEGIN-->0123456789<!--XSUPERVISOR:END-->";
        check(text, 10, "", &["0123456789"]);
        check(text, 4, "", &["6789"]);
        let reads: Vec<&[u8]> = text.as_bytes().chunks(3).collect();
        assert_eq!(run(4, &reads).1, ["6789"]);
    }

    #[test]
    fn short_output_is_not_held_back() {
        let mut capture = Capture::new(10);
        let mut seen = Vec::new();
        capture.feed(b"hi <!-", |part| {
            if let Part::Output(bytes) = part {
                seen.extend_from_slice(bytes);
            }
        });
        assert_eq!(seen, b"hi ");
        assert!(capture.holds());
    }

    #[test]
    fn a_run_that_ends_inside_leaves_nothing_for_the_next() {
        let mut capture = Capture::new(10);
        capture.feed(b"<!--XSUPERVISOR:BEGIN-->left", |part| panic!("{part:?}"));
        capture.finish(|part| panic!("{part:?}"));
        let mut seen = Vec::new();
        capture.feed(b"next", |part| seen.push(format!("{part:?}")));
        assert_eq!(seen, [format!("{:?}", Part::Output(b"next"))]);
    }

    fn word() -> impl Strategy<Value = &'static str> {
        prop::sample::select(vec![
            "<!--XSUPERVISOR:BEGIN-->",
            "<!--XSUPERVISOR:END-->",
            "<!--XSUPERVISOR:",
            "<",
            "<!--",
            "-->",
            "text",
            "\n",
        ])
    }

    proptest! {
        /// However the text is cut into reads, the same comes out.
        #[test]
        fn reads_do_not_matter(
            words in prop::collection::vec(word(), 0..20),
            cuts in prop::collection::vec(0_usize..400, 0..30),
            max in 1_u64..40,
        ) {
            let text = words.concat();
            let mut cuts: Vec<usize> = cuts.into_iter().map(|c| c.min(text.len())).collect();
            cuts.extend([0, text.len()]);
            cuts.sort_unstable();
            let reads: Vec<&[u8]> = cuts.windows(2).map(|w| &text.as_bytes()[w[0]..w[1]]).collect();
            prop_assert_eq!(run(max, &reads), run(max, &[text.as_bytes()]));
        }
    }
}
