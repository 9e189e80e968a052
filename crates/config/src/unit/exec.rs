//! `ExecStart=` and its relatives: prefixes, words, several commands on a line.

use super::fields::Fields;
use super::parse::Line;
use super::words::{self, Word};
use bstr::{BString, ByteSlice};
use supers_core::spec::Command;

/// What the characters before the program say.
#[derive(Default)]
struct Prefixes {
    ignore_failure: bool,
    argv0: bool,
    literal: bool,
    privileged: bool,
}

impl Fields<'_> {
    /// All commands of a key.
    pub(crate) fn commands(&mut self, key: &str) -> Vec<Command> {
        let mut out = Vec::new();
        for line in self.all("Service", key) {
            match words::split(&line.value) {
                Ok((words, bad)) => {
                    self.bad_escapes(line, &bad);
                    for one in words.split(|w| w.raw == ";").filter(|w| !w.is_empty()) {
                        out.extend(self.command(line, one));
                    }
                }
                Err(why) => self.bad(line, &why),
            }
        }
        out
    }

    fn command(&mut self, line: &Line, words: &[Word]) -> Option<Command> {
        let (first, rest) = words.split_first()?;
        let (prefixes, program) = prefixes(first);
        let mut out = vec![self.specify(line, &program)?];
        for word in rest {
            out.push(self.specify(line, &word.text)?);
        }
        let program = out.first().cloned().unwrap_or_default();
        if program.is_empty() || program.ends_with(b"/") {
            self.bad(line, "it names no program");
            return None;
        }
        if program.contains(&b'/') && !program.starts_with(b"/") {
            self.bad(line, "the program must be an absolute path or a bare name");
            return None;
        }
        let argv0 = if prefixes.argv0 {
            if out.len() < 2 {
                self.bad(line, "the prefix @ needs a second word, the name to run under");
                return None;
            }
            Some(out.remove(1))
        } else {
            None
        };
        let raw: Vec<&str> = words.iter().map(|w| w.raw.as_str()).collect();
        Some(Command {
            line: raw.join(" ").into(),
            argv0,
            expand: !prefixes.literal,
            ignore_failure: prefixes.ignore_failure,
            privileged: prefixes.privileged,
            ..Command::from_words(out)
        })
    }
}

/// Takes the prefixes off. A prefix must be written bare: an escaped one belongs to the program.
fn prefixes(first: &Word) -> (Prefixes, BString) {
    let mut found = Prefixes::default();
    let mut rest = first.text.as_slice();
    let bare = first.raw.strip_prefix(['"', '\'']).unwrap_or(&first.raw);
    for b in bare.bytes() {
        match b {
            b'-' => found.ignore_failure = true,
            b'@' => found.argv0 = true,
            b':' => found.literal = true,
            // `!!` means the same as `!` where ambient capabilities exist, and they are not built.
            b'+' | b'!' => found.privileged = true,
            _ => break,
        }
        rest = &rest[1..];
    }
    (found, rest.as_bstr().into())
}
