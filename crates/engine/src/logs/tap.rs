//! A stream whose text somebody wants besides its target: events, capture, syslog, a listener's answers,
//! the main log at level debug. Such a stream goes by read and write.
//!
//! Pure: a read goes in, the target's text and what is to be told come out.

use super::ansi;
use super::capture::{Capture, Part};
use bstr::ByteSlice;
use supers_core::control::Stream;
use supers_core::spec::Sink;

/// A longer line goes to syslog in pieces.
const MAX_LINE: usize = 8 << 10;

/// Something to be told, in the order of the text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum News {
    /// What a listener wrote, as it is.
    Heard(Vec<u8>),
    /// All of that has left the FIFO.
    Stored,
    /// A piece of output, stripped.
    Output(Vec<u8>),
    /// A captured text.
    Captured(Vec<u8>),
    /// A line for syslog, without its end.
    Line(Vec<u8>),
    /// A piece of output for the main log.
    Copy(Vec<u8>),
}

/// What became of a listener's words, which stay in the FIFO until the engine has made a note of them.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Ear {
    /// So many bytes at the FIFO's beginning were told: one read at most.
    pub(super) told: usize,
    /// So many of them the engine has noted: they may leave.
    pub(super) noted: usize,
    /// Nobody listens any more: all may leave.
    pub(super) deaf: bool,
}

/// Who wants the text of one stream.
pub(super) struct Tap {
    /// Which stream.
    pub(super) channel: Stream,
    /// The process' name, for syslog and the main log.
    pub(super) name: String,
    strip: bool,
    /// It is a listener's standard output.
    pub(super) ear: Option<Ear>,
    events: bool,
    copy: bool,
    capture: Option<Capture>,
    /// For syslog: the line so far.
    line: Option<Vec<u8>>,
}

impl Tap {
    /// The tap that a stream's settings ask for, if any. `copy`: the main log takes output too.
    pub(super) fn new(sink: &Sink, channel: Stream, name: &str, heard: bool, copy: bool) -> Option<Tap> {
        let capture = sink.capture_max > 0 && !heard;
        // A listener's standard output is a conversation: the ancestor makes no events of it.
        let events = sink.events && !heard;
        (capture || events || heard || copy || sink.syslog).then(|| Tap {
            channel,
            name: name.into(),
            strip: sink.strip_ansi,
            ear: heard.then(Ear::default),
            events,
            copy,
            capture: capture.then(|| Capture::new(sink.capture_max)),
            line: sink.syslog.then(Vec::new),
        })
    }

    /// Facts come of it.
    pub(super) fn tells(&self) -> bool {
        self.events || self.ear.is_some() || self.capture.is_some()
    }

    /// Some text that was read is neither in the target nor told.
    pub(super) fn holds(&self) -> bool {
        self.capture.as_ref().is_some_and(Capture::holds) || self.line.as_ref().is_some_and(|l| !l.is_empty())
    }

    /// The engine has been told something and has not noted it yet.
    pub(super) fn is_waiting(&self) -> bool {
        self.ear.is_some_and(|ear| ear.told > 0)
    }

    /// Nobody but the engine wants the text, and the target takes it as it is.
    pub(super) fn only_hears(&self) -> bool {
        self.ear.is_some() && !self.strip && !self.copy && self.line.is_none()
    }

    /// Takes what was read. Text for the target is added to `target`. (What a listener says was told before:
    /// see [`super::turn`].)
    pub(super) fn take(&mut self, read: &[u8], target: &mut Vec<u8>, news: &mut Vec<News>) {
        match self.capture.take() {
            Some(mut capture) => {
                capture.feed(read, |part| self.part(part, target, news));
                self.capture = Some(capture);
            }
            None => self.part(Part::Output(read), target, news),
        }
    }

    /// A run is over: nothing is held back any more.
    pub(super) fn finish(&mut self, target: &mut Vec<u8>, news: &mut Vec<News>) {
        if let Some(mut capture) = self.capture.take() {
            capture.finish(|part| self.part(part, target, news));
            self.capture = Some(capture);
        }
        if let Some(line) = self.line.as_mut().filter(|l| !l.is_empty()) {
            news.push(News::Line(std::mem::take(line)));
        }
    }

    fn part(&mut self, part: Part<'_>, target: &mut Vec<u8>, news: &mut Vec<News>) {
        match part {
            Part::Captured(mut bytes) => {
                if self.strip {
                    let len = ansi::strip(&mut bytes);
                    bytes.truncate(len);
                }
                news.push(News::Captured(bytes));
            }
            Part::Output(bytes) => {
                let from = target.len();
                target.extend_from_slice(bytes);
                if self.strip {
                    let len = ansi::strip(&mut target[from..]);
                    target.truncate(from + len);
                }
                self.output(&target[from..], news);
            }
        }
    }

    fn output(&mut self, text: &[u8], news: &mut Vec<News>) {
        if text.is_empty() {
            return;
        }
        if self.events {
            news.push(News::Output(text.to_vec()));
        }
        if self.copy {
            news.push(News::Copy(text.to_vec()));
        }
        let Some(line) = &mut self.line else { return };
        for piece in text.lines_with_terminator() {
            let ended = piece.ends_with(b"\n");
            let piece = piece.strip_suffix(b"\n").unwrap_or(piece);
            for part in piece.chunks(MAX_LINE) {
                if line.len() + part.len() > MAX_LINE {
                    news.push(News::Line(std::mem::take(line)));
                }
                line.extend_from_slice(part);
            }
            if ended {
                news.push(News::Line(std::mem::take(line)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tap(sink: Sink, heard: bool, copy: bool) -> Tap {
        Tap::new(&sink, Stream::Stdout, "web", heard, copy).unwrap()
    }

    fn take(tap: &mut Tap, reads: &[&str]) -> (String, Vec<String>) {
        let (mut target, mut news) = (Vec::new(), Vec::new());
        for read in reads {
            tap.take(read.as_bytes(), &mut target, &mut news);
        }
        let news = news.into_iter().map(|n| match n {
            News::Heard(b) => format!("heard {}", b.as_bstr()),
            News::Stored => "stored".to_owned(),
            News::Output(b) => format!("output {}", b.as_bstr()),
            News::Captured(b) => format!("captured {}", b.as_bstr()),
            News::Line(b) => format!("line {}", b.as_bstr()),
            News::Copy(b) => format!("copy {}", b.as_bstr()),
        });
        (String::from_utf8(target).unwrap(), news.collect())
    }

    #[test]
    fn nobody_wants_it_then_there_is_no_tap() {
        let sink = Sink { strip_ansi: true, ..Sink::default() };
        assert!(Tap::new(&sink, Stream::Stdout, "web", false, false).is_none());
    }

    #[test]
    fn an_event_a_read_without_what_is_captured() {
        let mut tap = tap(Sink { events: true, capture_max: 100, ..Sink::default() }, false, false);
        let reads = ["a<!--XSUPERVISOR:BEGIN-->in<!--XSUPER", "VISOR:END-->b\n", "c"];
        let (target, news) = take(&mut tap, &reads);
        assert_eq!(target, "ab\nc");
        assert_eq!(news, ["output a", "captured in", "output b\n", "output c"]);
    }

    #[test]
    fn escapes_are_removed_from_all_but_a_listeners_words() {
        let sink = Sink { events: true, capture_max: 9, strip_ansi: true, ..Sink::default() };
        let text = "\x1b[1mA\x1b[0m<!--XSUPERVISOR:BEGIN-->\x1b[1mB\x1b[0m<!--XSUPERVISOR:END-->\x1b[1m";
        let (target, news) = take(&mut tap(sink.clone(), false, false), &[text]);
        assert_eq!(target, "A");
        assert_eq!(news, ["output A", "captured B"]);
        let (target, news) = take(&mut tap(sink, true, false), &["READY\n\x1b[1m"]);
        assert_eq!(target, "READY\n");
        assert!(news.is_empty(), "it was heard before it was read");
    }

    #[test]
    fn syslog_gets_whole_lines() {
        let mut tap = tap(Sink { syslog: true, ..Sink::default() }, false, false);
        assert_eq!(take(&mut tap, &["one\n\ntw", "o\nthr"]).1, ["line one", "line ", "line two"]);
        assert!(tap.holds() && !tap.tells());
        let mut news = Vec::new();
        tap.finish(&mut Vec::new(), &mut news);
        assert_eq!(news, [News::Line(b"thr".to_vec())]);
        let long = "x".repeat(MAX_LINE + 5);
        let (_, news) = take(&mut tap, &[&long, "\n"]);
        assert_eq!(news.iter().map(|n| n.len() - 5).collect::<Vec<_>>(), [MAX_LINE, 5]);
    }

    #[test]
    fn the_main_log_gets_a_copy() {
        let mut tap = tap(Sink::default(), false, true);
        assert_eq!(take(&mut tap, &["a\n", ""]).1, ["copy a\n"]);
    }
}
