//! Lines of a unit file: sections, keys, continued lines, comments.

use crate::fault::{Fault, Place};
use bstr::BString;
use std::sync::Arc;

/// One `Key=value`, with the section it stands in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Line {
    pub(crate) section: String,
    pub(crate) key: String,
    /// Without blanks around it; continued lines joined with a blank.
    pub(crate) value: String,
    pub(crate) key_place: Place,
    pub(crate) place: Place,
}

/// A file, read.
#[derive(Debug, Default)]
pub(crate) struct File {
    pub(crate) lines: Vec<Line>,
    /// Sections with their places, in order.
    pub(crate) sections: Vec<(String, Place)>,
    /// Lines that say nothing; systemd passes over them as well.
    pub(crate) warnings: Vec<Fault>,
}

/// Reads a whole file.
pub(crate) fn parse(file: &Arc<BString>, text: &str) -> File {
    let mut out = File::default();
    // The line being continued: where it began, how long its first part is, and its text so far.
    let mut open: Option<(u32, usize, String)> = None;
    for (index, line) in text.split('\n').enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        let line = line.strip_suffix('\r').unwrap_or(line);
        if line.trim_start().starts_with(['#', ';']) {
            continue;
        }
        let (text, goes_on) = match line.strip_suffix('\\') {
            Some(before) if before.bytes().rev().take_while(|b| *b == b'\\').count() % 2 == 0 => {
                (before, true)
            }
            _ => (line, false),
        };
        let (start, first, mut whole) = open.take().unwrap_or((number, text.len(), String::new()));
        whole.push_str(text);
        if goes_on {
            whole.push(' ');
            open = Some((start, first, whole));
        } else {
            logical(file, (start, first), &whole, &mut out);
        }
    }
    if let Some((start, first, whole)) = open {
        logical(file, (start, first), &whole, &mut out);
    }
    out
}

/// `first`: what follows so many bytes stands in another line of the file, whose column is not known.
fn logical(file: &Arc<BString>, (number, first): (u32, usize), line: &str, out: &mut File) {
    let place = |byte: usize| {
        let column = if byte > first { 0 } else { line.get(..byte).unwrap_or("").chars().count() + 1 };
        Place { file: file.clone(), line: number, column: u32::try_from(column).unwrap_or(u32::MAX) }
    };
    let text = line.trim();
    let indent = line.len() - line.trim_start().len();
    if text.is_empty() {
        return;
    }
    if let Some(inside) = text.strip_prefix('[') {
        match inside.strip_suffix(']') {
            Some(name) => out.sections.push((name.to_string(), place(indent))),
            None => out.warnings.push(Fault::new(&place(indent), "the section header has no `]`; ignored")),
        }
        return;
    }
    let Some((section, _)) = out.sections.last() else {
        out.warnings.push(Fault::new(&place(indent), "a line before the first section; ignored"));
        return;
    };
    let Some(split) = text.find('=') else {
        let fault = Fault::new(&place(indent), format!("expected Key=value, found {text:?}; ignored"));
        out.warnings.push(fault.hint("end the line above with a backslash if this one continues it"));
        return;
    };
    let value = &text[split + 1..];
    let at = indent + split + 1 + (value.len() - value.trim_start().len());
    out.lines.push(Line {
        section: section.clone(),
        key: text[..split].trim_end().to_string(),
        value: value.trim().to_string(),
        key_place: place(indent),
        place: place(at),
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> File {
        parse(&Arc::new("f".into()), text)
    }

    #[test]
    fn lines_and_places() {
        let f =
            read("# c\n[Unit]\r\n  Description = a b \r\n; c\n[Service]\nExecStart=/x \\\n# c\n  y\\\n z\n");
        let got: Vec<(&str, &str, u32, u32)> = f
            .lines
            .iter()
            .map(|l| (l.key.as_str(), l.value.as_str(), l.place.line, l.place.column))
            .collect();
        assert_eq!(got, [("Description", "a b", 3, 17), ("ExecStart", "/x    y  z", 6, 11)]);
        assert_eq!(f.lines[0].key_place.column, 3);
        assert_eq!(f.sections.len(), 2);
        assert!(f.warnings.is_empty());
    }

    #[test]
    fn a_double_backslash_does_not_continue() {
        let f = read("[Service]\nA=x\\\\\nB=y\\");
        assert_eq!(f.lines[0].value, "x\\\\");
        assert_eq!(f.lines[1].value, "y");
    }

    #[test]
    fn lines_that_say_nothing() {
        let f = read("x=1\n[Service\nfoo\n[S]\nfoo\n");
        let got: Vec<(u32, &str)> = f.warnings.iter().map(|w| (w.place.line, w.message.as_str())).collect();
        assert_eq!(
            got,
            [
                (1, "a line before the first section; ignored"),
                (2, "the section header has no `]`; ignored"),
                (3, "a line before the first section; ignored"),
                (5, "expected Key=value, found \"foo\"; ignored"),
            ]
        );
    }
}
