//! What a terminal shows: columns, colours, durations, text that does no harm. It stands here and not in the
//! command line because it is the greater part of a status of a thousand programs, and this crate is built for
//! speed.

use std::borrow::Cow;

/// Colours by meaning.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    /// As it is.
    Plain,
    /// All is well.
    Good,
    /// It is on its way.
    Busy,
    /// It needs a person.
    Bad,
    /// Less important.
    Dim,
    /// A heading.
    Bold,
    /// One of several names, by index.
    Name(usize),
}

/// Puts colours in, or not.
#[derive(Clone, Copy, Debug)]
pub struct Style {
    /// Colours are wanted.
    pub colour: bool,
}

impl Style {
    /// `text` in this tone.
    pub fn paint(self, tone: Tone, text: &str) -> String {
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
pub fn columns(text: &str) -> usize {
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
pub fn clean(text: &str) -> Cow<'_, str> {
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
pub fn duration(seconds: u64) -> String {
    let mut text = String::new();
    push_duration(&mut text, seconds);
    text
}

fn push_duration(out: &mut String, seconds: u64) {
    let (m, h, d) = (seconds / 60, seconds / 3600, seconds / 86_400);
    let (first, unit, second) = match (d, h, m) {
        (0, 0, 0) => (seconds, "s", None),
        (0, 0, _) => (m, "m ", Some((seconds % 60, "s"))),
        (0, _, _) => (h, "h ", Some((m % 60, "m"))),
        (_, _, _) => (d, "d ", Some((h % 24, "h"))),
    };
    push_number(out, first);
    out.push_str(unit);
    if let Some((number, unit)) = second {
        if number < 10 {
            out.push('0');
        }
        push_number(out, number);
        out.push_str(unit);
    }
}

/// Faster than `write!`: a thousand lines have thousands of numbers.
fn push_number(out: &mut String, number: impl itoa::Integer) {
    out.push_str(itoa::Buffer::new().format(number));
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

/// Lines with aligned columns, two spaces apart; the last cell of a line is not padded. The text of all cells
/// lies in one piece, because a thousand lines have thousands of cells.
pub struct Table {
    text: String,
    cells: Vec<Cell>,
    /// How many cells there were at the end of each line.
    lines: Vec<usize>,
    /// The widest text of each column.
    widths: Vec<usize>,
}

struct Cell {
    /// Where its text ends; it begins where that of the cell before ends.
    end: usize,
    tone: Tone,
}

impl Table {
    /// An empty one. The numbers need not be right: it grows.
    pub fn new(lines: usize, columns: usize) -> Table {
        const USUAL_CELL: usize = 8;
        Table {
            text: String::with_capacity(lines * columns * USUAL_CELL),
            cells: Vec::with_capacity(lines * columns),
            lines: Vec::with_capacity(lines),
            widths: Vec::with_capacity(columns),
        }
    }

    /// A cell with this text, made clean.
    pub fn text(&mut self, tone: Tone, text: &str) {
        self.text.push_str(&clean(text));
        self.end_cell(tone);
    }

    /// A cell with this number.
    pub fn number(&mut self, number: i64) {
        push_number(&mut self.text, number);
        self.end_cell(Tone::Plain);
    }

    /// A cell with whole seconds, for people.
    pub fn duration(&mut self, seconds: u64) {
        push_duration(&mut self.text, seconds);
        self.end_cell(Tone::Plain);
    }

    fn end_cell(&mut self, tone: Tone) {
        let begin = self.cells.last().map_or(0, |cell| cell.end);
        let width = columns(&self.text[begin..]);
        let column = self.cells.len() - self.lines.last().unwrap_or(&0);
        match self.widths.get_mut(column) {
            Some(widest) => *widest = width.max(*widest),
            None => self.widths.push(width),
        }
        self.cells.push(Cell { end: self.text.len(), tone });
    }

    /// What comes next stands on the next line.
    pub fn end_line(&mut self) {
        self.lines.push(self.cells.len());
    }

    /// All of it, to be printed.
    pub fn paint(&self, style: Style) -> String {
        let line_size = self.widths.iter().map(|width| width + 2).sum::<usize>();
        let mut out = String::with_capacity(self.lines.len() * line_size);
        let (mut first, mut begin) = (0, 0);
        for &end in &self.lines {
            let line = &self.cells[first..end];
            for (i, (cell, width)) in line.iter().zip(&self.widths).enumerate() {
                let text = &self.text[begin..cell.end];
                style.paint_to(&mut out, cell.tone, text);
                if i + 1 < line.len() {
                    spaces(&mut out, width - columns(text) + 2);
                }
                begin = cell.end;
            }
            out.push('\n');
            first = end;
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let text = [0, 59, 60, 125, 3600, 12_059, 86_400, 360_000].map(duration);
        assert_eq!(text.join(", "), "0s, 59s, 1m 00s, 2m 05s, 1h 00m, 3h 20m, 1d 00h, 4d 04h");
    }

    #[test]
    fn wide_names_are_aligned() {
        let mut table = Table::new(3, 2);
        for name in ["网站", "web", "e\u{301}"] {
            table.text(Tone::Good, name);
            table.text(Tone::Plain, "x");
            table.end_line();
        }
        assert_eq!(table.paint(Style { colour: false }), "网站  x\nweb   x\ne\u{301}     x\n");
        assert!(table.paint(Style { colour: true }).starts_with("\x1b[32m网站\x1b[0m  x"));
    }

    #[test]
    fn what_steers_a_terminal_is_taken_out() {
        assert_eq!(clean("a\tb\x1b[2J\r\n\u{9b}ä\x1b"), "a\tb???ä?");
        assert_eq!(clean("\x1b[1;31mred\x1b[0m \x1b]0;title\x07 \x1b[9"), "red ?]0;title? ");
    }
}
