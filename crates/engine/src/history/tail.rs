//! The last lines of output of a process that died.

use crate::logs::{LogReader, Streams};
use std::collections::HashMap;
use supers_core::control::Stream;
use supers_core::ids::UnitId;

/// Lines that are kept.
const LINES: usize = 10;
/// Bytes that are kept.
const BYTES: u64 = 2048;

/// Where the output of each unit's last run ended: what follows is of the next.
#[derive(Default)]
pub(super) struct Marks(HashMap<UnitId, [u64; 2]>);

/// Output that is to be read.
pub(super) struct Tail {
    reader: LogReader,
    from: u64,
    to: u64,
}

impl Marks {
    /// What the run that ends now has written: its error output where that is kept apart and not empty, else
    /// its output. Nothing is read yet.
    pub(super) fn tail(&mut self, unit: UnitId, streams: &Streams) -> Option<Tail> {
        let out = streams.reader(Stream::Stdout);
        let err = streams.reader(Stream::Stderr);
        let apart = |err: &LogReader| out.as_ref().is_none_or(|out| out.path() != err.path());
        let err = err.filter(apart);
        let end = |reader: &Option<LogReader>| reader.as_ref().map_or(0, LogReader::end);
        let ends = [end(&out), end(&err)];
        let [out_mark, err_mark] = self.0.insert(unit, ends).unwrap_or_default();
        let tail = |reader: Option<LogReader>, mark: u64, to: u64| {
            reader.filter(|_| to > mark).map(|reader| Tail { reader, from: mark, to })
        };
        let [out_end, err_end] = ends;
        tail(err, err_mark, err_end).or_else(|| tail(out, out_mark, out_end))
    }

    pub(super) fn forget(&mut self, unit: UnitId) {
        self.0.remove(&unit);
    }
}

impl Tail {
    /// One read of 2 KiB that were written a moment ago; none when that fails.
    pub(super) fn read(&self) -> Vec<String> {
        let from = self.from.max(self.to.saturating_sub(BYTES));
        let length = usize::try_from(self.to - from).unwrap_or(0);
        let Ok((at, bytes)) = self.reader.read(from, length) else { return Vec::new() };
        last_lines(&bytes, at > self.from)
    }
}

/// The last lines; when the bytes begin inside a line (`cut`), that one is left out unless it is all there is.
pub(super) fn last_lines(bytes: &[u8], cut: bool) -> Vec<String> {
    let text = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    let whole = match text.iter().position(|b| *b == b'\n') {
        Some(at) if cut => text.get(at + 1..).unwrap_or_default(),
        _ => text,
    };
    if whole.is_empty() {
        return Vec::new();
    }
    let mut lines: Vec<String> = whole
        .rsplit(|b| *b == b'\n')
        .take(LINES)
        .map(|line| String::from_utf8_lossy(line.strip_suffix(b"\r").unwrap_or(line)).into_owned())
        .collect();
    lines.reverse();
    lines
}
