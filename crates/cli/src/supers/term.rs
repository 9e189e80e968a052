//! What a terminal shows: columns, colours, durations, text that does no harm.

use std::borrow::Cow;

/// Colours by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Tone {
    Plain,
    Good,
    Busy,
    Bad,
    Dim,
    Bold,
    /// One of several names, by index.
    Name(usize),
}

/// Puts colours in, or not.
#[derive(Clone, Copy, Debug)]
pub(super) struct Style {
    pub(super) colour: bool,
}

impl Style {
    /// `text` in this tone.
    pub(super) fn paint(self, tone: Tone, text: &str) -> String {
        let mut out = String::new();
        self.paint_to(&mut out, tone, text);
        out
    }

    fn paint_to(self, out: &mut String, tone: Tone, text: &str) {
        const NAMES: [&str; 6] = ["36", "33", "35", "32", "34", "31"];
        let code = match tone {
            Tone::Plain => return out.push_str(text),
            Tone::Good => "32",
            Tone::Busy => "33",
            Tone::Bad => "31",
            Tone::Dim => "2",
            Tone::Bold => "1",
            Tone::Name(i) => NAMES[i % NAMES.len()],
        };
        if self.colour && !text.is_empty() {
            out.extend(["\x1b[", code, "m", text, "\x1b[0m"]);
        } else {
            out.push_str(text);
        }
    }
}

/// Columns that `text` takes: two for wide characters (CJK and most pictures), none for marks that
/// combine.
pub(super) fn columns(text: &str) -> usize {
    if text.is_ascii() { text.len() } else { text.chars().map(char_columns).sum() }
}

/// Nothing but printable ASCII, as nearly all text is.
fn is_plain(text: &str) -> bool {
    text.bytes().all(|b| matches!(b, b' '..=b'~'))
}

fn char_columns(c: char) -> usize {
    match u32::from(c) {
        0x20..=0x7e => 1,
        0x300..=0x36f | 0x200b..=0x200f | 0xfe00..=0xfe0f | 0x20d0..=0x20ff => 0,
        0x1100..=0x115f
        | 0x2e80..=0x303e
        | 0x3041..=0xa4cf
        | 0xac00..=0xd7a3
        | 0xf900..=0xfaff
        | 0xfe30..=0xfe6f
        | 0xff00..=0xff60
        | 0xffe0..=0xffe6
        | 0x1f300..=0x1f64f
        | 0x1f680..=0x1f6ff
        | 0x1f900..=0x1f9ff
        | 0x20000..=0x3fffd => 2,
        _ => 1,
    }
}

/// Text of others without the characters that steer a terminal; colours and the like vanish whole.
pub(super) fn clean(text: &str) -> Cow<'_, str> {
    if is_plain(text) {
        return Cow::Borrowed(text);
    }
    let mut out = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\x1b' && chars.next_if_eq(&'[').is_some() {
            // Parameters, up to the letter that ends the sequence.
            while chars.next_if(|c| matches!(c, ' '..='?')).is_some() {}
            chars.next_if(|c| matches!(c, '@'..='~'));
        } else {
            out.push(if c.is_control() && c != '\t' { '?' } else { c });
        }
    }
    Cow::Owned(out)
}

/// Whole seconds for people: `5s`, `2m 05s`, `3h 20m`, `4d 02h`.
pub(super) fn duration(seconds: u64) -> String {
    let (m, h, d) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (d, h, m) {
        (0, 0, 0) => format!("{seconds}s"),
        (0, 0, _) => format!("{m}m {:02}s", seconds % 60),
        (0, _, _) => format!("{h}h {:02}m", m % 60),
        (_, _, _) => format!("{d}d {:02}h", h % 24),
    }
}

/// A cell of a table.
pub(super) struct Cell<'a> {
    pub(super) text: Cow<'a, str>,
    pub(super) tone: Tone,
}

impl<'a> Cell<'a> {
    pub(super) fn new(tone: Tone, text: impl Into<Cow<'a, str>>) -> Cell<'a> {
        Cell { text: text.into(), tone }
    }
}

/// Piece by piece: a thousand rows have a lot of them.
fn spaces(out: &mut String, mut count: usize) {
    const PIECE: &str = "                                ";
    while count > PIECE.len() {
        out.push_str(PIECE);
        count -= PIECE.len();
    }
    out.push_str(PIECE.get(..count).unwrap_or_default());
}

/// Lines with aligned columns, two spaces apart; the last cell of a line is not padded.
pub(super) fn table(rows: &[Vec<Cell<'_>>], style: Style) -> String {
    let mut widths: Vec<usize> = Vec::new();
    for row in rows {
        widths.resize(widths.len().max(row.len()), 0);
        for (width, cell) in widths.iter_mut().zip(row) {
            *width = columns(&cell.text).max(*width);
        }
    }
    let mut out = String::with_capacity(rows.len() * (widths.iter().sum::<usize>() + 2 * widths.len()));
    for row in rows {
        let last = row.len().saturating_sub(1);
        for (i, (cell, width)) in row.iter().zip(&widths).enumerate() {
            style.paint_to(&mut out, cell.tone, &cell.text);
            if i < last {
                spaces(&mut out, width - columns(&cell.text) + 2);
            }
        }
        out.push('\n');
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let text: Vec<String> =
            [0, 59, 60, 125, 3600, 12_059, 86_400, 360_000].map(duration).into_iter().collect();
        assert_eq!(text.join(", "), "0s, 59s, 1m 00s, 2m 05s, 1h 00m, 3h 20m, 1d 00h, 4d 04h");
    }

    #[test]
    fn wide_names_are_aligned() {
        let row = |a: &'static str| vec![Cell::new(Tone::Good, a), Cell::new(Tone::Plain, "x")];
        let rows = [row("网站"), row("web"), row("e\u{301}")];
        assert_eq!(table(&rows, Style { colour: false }), "网站  x\nweb   x\ne\u{301}     x\n");
        assert!(table(&rows, Style { colour: true }).starts_with("\x1b[32m网站\x1b[0m  x"));
    }

    #[test]
    fn what_steers_a_terminal_is_taken_out() {
        assert_eq!(clean("a\tb\x1b[2J\r\n\u{9b}ä\x1b"), "a\tb???ä?");
        assert_eq!(clean("\x1b[1;31mred\x1b[0m \x1b]0;title\x07 \x1b[9"), "red ?]0;title? ");
    }
}
