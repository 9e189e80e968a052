//! What the keeper says to people: on standard error, and in a small file for whoever finds no daemon.

use std::fmt::{Arguments, Write as _};
use std::fs::File;
use std::io::Write as _;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::time::Duration;

/// A sentence on standard error, if that takes it without waiting; in one piece, since others write there too. Allocates
/// nothing.
pub(crate) fn complain(text: Arguments<'_>) {
    let mut stderr = std::io::stderr();
    if let Ok(true) = supers_os::poll::wait_writable(stderr.as_fd(), Some(Duration::ZERO)) {
        let mut line = Short::<512>::of(format_args!("super-keeper: {text}"));
        line.end_line();
        // Nobody is left to be told of an error here.
        let _ = stderr.write_all(line.bytes());
    }
}

/// Text in memory of a fixed size; what does not fit is left out.
pub(crate) struct Short<const N: usize> {
    bytes: [u8; N],
    used: usize,
}

impl<const N: usize> Short<N> {
    pub(crate) fn of(text: Arguments<'_>) -> Short<N> {
        let mut short = Short { bytes: [0; N], used: 0 };
        let _ = short.write_fmt(text);
        short
    }

    /// Also of one that was cut.
    fn end_line(&mut self) {
        self.used = self.used.min(N - 1);
        let _ = self.write_str("\n");
    }

    pub(crate) fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.used).unwrap_or_default()
    }
}

impl<const N: usize> std::fmt::Write for Short<N> {
    fn write_str(&mut self, text: &str) -> std::fmt::Result {
        let room = self.bytes.get_mut(self.used..).unwrap_or_default();
        self.used += room.iter_mut().zip(text.as_bytes()).map(|(place, byte)| *place = *byte).count();
        Ok(())
    }
}

/// The small file: why there is no daemon. Empty when there is one.
#[derive(Debug)]
pub(crate) struct LastWords {
    file: Option<File>,
    empty: bool,
}

/// The most that is written there.
const LONGEST: usize = 400;

impl LastWords {
    pub(crate) fn new(file: Option<OwnedFd>) -> LastWords {
        LastWords { file: file.map(File::from), empty: false }
    }

    /// Writes a sentence in place of what is there. A full disk is no reason to stop.
    pub(crate) fn write(&mut self, text: Arguments<'_>) {
        let Some(file) = &self.file else { return };
        let text = Short::<LONGEST>::of(format_args!("{text}\n"));
        let _ = file.write_all_at(text.bytes(), 0);
        let _ = file.set_len(u64::try_from(text.bytes().len()).unwrap_or(0));
        self.empty = false;
    }

    pub(crate) fn clear(&mut self) {
        if let (Some(file), false) = (&self.file, self.empty) {
            self.empty = file.set_len(0).is_ok();
        }
    }

    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.file.as_ref().map(AsFd::as_fd)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_ends_whether_it_was_cut_or_not() {
        for (text, line) in [("ab", "ab\n"), ("abc", "abc\n"), ("abcd", "abc\n"), ("abcdef", "abc\n")] {
            let mut short = Short::<4>::of(format_args!("{text}"));
            short.end_line();
            assert_eq!(short.bytes(), line.as_bytes());
        }
    }

    #[test]
    fn the_last_sentence_is_there_and_a_long_one_is_cut() {
        let file = supers_os::exec::memory_file(c"words").unwrap();
        let mut words = LastWords::new(Some(file.try_clone().unwrap().into()));
        let there = || std::fs::read(format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&file)));
        words.write(format_args!("{}", "long ".repeat(200)));
        assert_eq!(there().unwrap().len(), LONGEST);
        words.write(format_args!("short"));
        assert_eq!(there().unwrap(), b"short\n");
        words.clear();
        assert_eq!(there().unwrap(), b"");
    }
}
