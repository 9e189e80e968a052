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

impl Tone {
    /// The number that terminals know; 0 for none.
    fn code(self) -> u8 {
        const NAMES: [u8; 6] = [36, 33, 35, 32, 34, 31];
        match self {
            Tone::Plain => 0,
            Tone::Good => 32,
            Tone::Busy => 33,
            Tone::Bad => 31,
            Tone::Dim => 2,
            Tone::Bold => 1,
            Tone::Name(i) => NAMES[i % NAMES.len()],
        }
    }
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
        self.paint_to(&mut out, tone.code(), text);
        out
    }

    fn paint_to(self, out: &mut String, code: u8, text: &str) {
        if code != 0 && self.colour && !text.is_empty() {
            out.push_str("\x1b[");
            push_number(out, code);
            out.extend(["m", text, "\x1b[0m"]);
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
/// lies in one piece and a cell is small, because a thousand lines have thousands of cells, and memory that is
/// touched for the first time takes longer than all that is done with it.
pub struct Table {
    text: String,
    cells: Vec<Cell>,
    /// The widest text of each column.
    widths: Vec<usize>,
    /// Where the next cell stands.
    column: usize,
}

struct Cell {
    /// Where its text ends; it begins where that of the cell before ends.
    end: u32,
    /// See [`Tone::code`].
    code: u8,
    /// Each byte takes one column.
    plain: bool,
    /// It ends its line.
    last: bool,
}

impl Table {
    /// An empty one. The numbers need not be right: it grows, and what is not filled costs nothing.
    pub fn new(lines: usize, columns: usize) -> Table {
        const USUAL_CELL: usize = 8;
        Table {
            text: String::with_capacity(lines * columns * USUAL_CELL),
            cells: Vec::with_capacity(lines * columns),
            widths: Vec::with_capacity(columns),
            column: 0,
        }
    }

    /// A cell with this text, made clean.
    pub fn text(&mut self, tone: Tone, text: &str) {
        if is_plain(text) {
            self.text.push_str(text);
            self.end_cell(tone, true, text.len());
        } else {
            let text = clean(text);
            self.text.push_str(&text);
            self.end_cell(tone, false, columns(&text));
        }
    }

    /// A cell with this number.
    pub fn number(&mut self, number: i64) {
        let begin = self.text.len();
        push_number(&mut self.text, number);
        self.end_cell(Tone::Plain, true, self.text.len() - begin);
    }

    /// A cell with whole seconds, for people.
    pub fn duration(&mut self, seconds: u64) {
        let begin = self.text.len();
        push_duration(&mut self.text, seconds);
        self.end_cell(Tone::Plain, true, self.text.len() - begin);
    }

    fn end_cell(&mut self, tone: Tone, plain: bool, width: usize) {
        match self.widths.get_mut(self.column) {
            Some(widest) => *widest = width.max(*widest),
            None => self.widths.push(width),
        }
        self.column += 1;
        // Nobody reads what stands behind four gigabytes.
        let end = u32::try_from(self.text.len()).unwrap_or(u32::MAX);
        self.cells.push(Cell { end, code: tone.code(), plain, last: false });
    }

    /// What comes next stands on the next line. A line has a cell at least.
    pub fn end_line(&mut self) {
        if let Some(cell) = self.cells.last_mut() {
            cell.last = true;
        }
        self.column = 0;
    }

    /// All of it, to be printed.
    pub fn paint(&self, style: Style) -> String {
        let lines = self.cells.iter().filter(|cell| cell.last).count();
        let mut out = String::with_capacity(lines * self.widths.iter().map(|width| width + 2).sum::<usize>());
        let (mut begin, mut column) = (0, 0);
        for cell in &self.cells {
            let end = cell.end as usize;
            let text = self.text.get(begin..end).unwrap_or_default();
            begin = end;
            if style.colour {
                style.paint_to(&mut out, cell.code, text);
            } else {
                out.push_str(text);
            }
            if cell.last {
                out.push('\n');
                column = 0;
                continue;
            }
            let width = if cell.plain { text.len() } else { columns(text) };
            let widest = self.widths.get(column).copied().unwrap_or_default();
            spaces(&mut out, widest.saturating_sub(width) + 2);
            column += 1;
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
