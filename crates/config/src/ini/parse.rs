//! Lines to sections, by the rules of Python's configparser as the ancestor sets it up
//! (supervisor-contract 2): two comment characters, inline comments after a blank, continuation by
//! indentation, repeated sections merged, `[DEFAULT]`.

use super::expand::py_repr;
use crate::fault::{Fault, Place};
use bstr::BString;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

/// A file, or several merged.
#[derive(Clone, Debug, Default)]
pub(crate) struct Doc {
    /// In order of first appearance.
    pub(crate) sections: Vec<Section>,
    /// Their places in that, by name: a thousand sections would be looked for a million times.
    by_name: HashMap<String, usize>,
    /// The keys of `[DEFAULT]`.
    pub(crate) defaults: Vec<Entry>,
    /// Text stood before the first section; nothing behind it was read.
    pub(crate) headless: bool,
}

/// One `[section]`.
#[derive(Clone, Debug)]
pub(crate) struct Section {
    /// The text between the brackets.
    pub(crate) name: String,
    /// Where it begins.
    pub(crate) place: Place,
    /// Where it was taken up again.
    pub(crate) again: Vec<Place>,
    /// One entry a key; the last value won.
    pub(crate) entries: Vec<Entry>,
}

/// One `key = value`.
#[derive(Clone, Debug)]
pub(crate) struct Entry {
    /// In lower case.
    pub(crate) key: String,
    /// As written, continuation lines joined with LF, comments removed.
    pub(crate) raw: String,
    /// Where the key stands.
    pub(crate) key_place: Place,
    /// Where the value stands.
    pub(crate) place: Place,
}

impl Doc {
    /// Nothing but blanks and comments was read.
    pub(crate) fn is_empty(&self) -> bool {
        self.sections.is_empty()
    }

    /// The section with this name.
    pub(crate) fn section(&self, name: &str) -> Option<&Section> {
        self.sections.get(*self.by_name.get(name)?)
    }

    /// The names of sections that stand in several files, without their kind.
    pub(crate) fn merged(&self) -> BTreeSet<String> {
        let elsewhere = |s: &&Section| s.again.iter().any(|place| place.file != s.place.file);
        let name = |s: &Section| s.name.split_once(':').map(|(_, name)| name.trim().to_string());
        self.sections.iter().filter(elsewhere).filter_map(name).collect()
    }

    /// Adds a document; its values win.
    pub(crate) fn merge(&mut self, other: Doc) {
        for entry in other.defaults {
            put(&mut self.defaults, entry);
        }
        for section in other.sections {
            match self.known(&section.name) {
                Some(known) => {
                    known.again.push(section.place);
                    known.again.extend(section.again);
                    section.entries.into_iter().for_each(|e| put(&mut known.entries, e));
                }
                None => drop(self.add(section)),
            }
        }
    }

    fn known(&mut self, name: &str) -> Option<&mut Section> {
        self.sections.get_mut(*self.by_name.get(name)?)
    }

    /// Adds a section of a new name; its place.
    fn add(&mut self, section: Section) -> usize {
        let place = self.sections.len();
        self.by_name.insert(section.name.clone(), place);
        self.sections.push(section);
        place
    }
}

fn put(entries: &mut Vec<Entry>, entry: Entry) {
    match entries.iter_mut().find(|e| e.key == entry.key) {
        Some(old) => *old = entry,
        None => entries.push(entry),
    }
}

/// Where the parser is.
enum At {
    /// Before the first section.
    Top,
    /// In `[DEFAULT]`.
    Default,
    /// In the section with this index.
    Section(usize),
}

struct Parser {
    file: Arc<BString>,
    doc: Doc,
    faults: Vec<Fault>,
    at: At,
    /// The entry that a continuation line would continue, lines so far.
    open: Option<(Entry, Vec<String>)>,
    /// Indentation of the line that opened it.
    indent: usize,
}

/// Reads a whole file. The document holds what could be read, the faults say what could not.
pub(crate) fn parse(file: &Arc<BString>, text: &str) -> (Doc, Vec<Fault>) {
    let mut parser = Parser {
        file: file.clone(),
        doc: Doc::default(),
        faults: Vec::new(),
        at: At::Top,
        open: None,
        indent: 0,
    };
    for (index, line) in text.split('\n').enumerate() {
        let number = u32::try_from(index + 1).unwrap_or(u32::MAX);
        if !parser.line(number, line) {
            break;
        }
    }
    parser.close();
    (parser.doc, parser.faults)
}

/// The faults of a file in the words of the ancestor's parser, which tells all of them at once. `shown`
/// is the file's name for people.
pub(crate) fn ancestor_text(shown: &str, text: &str, headless: bool, faults: &[Fault]) -> String {
    let line = |number: u32| {
        let lines = text.split_inclusive('\n').nth(number.saturating_sub(1) as usize);
        let line = lines.unwrap_or_default();
        py_repr(&line.strip_suffix("\r\n").map_or_else(|| line.to_string(), |l| format!("{l}\n")))
    };
    let name = py_repr(shown);
    if let (true, Some(first)) = (headless, faults.first()) {
        let number = first.place.line;
        return format!("File contains no section headers.\nfile: {name}, line: {number}\n{}", line(number));
    }
    let each = faults.iter().map(|f| format!("\n\t[line {:2}]: {}", f.place.line, line(f.place.line)));
    format!("Source contains parsing errors: {name}{}", each.collect::<String>())
}

/// Where a comment begins: at the first non-blank, or after a blank.
fn comment_start(line: &str) -> Option<usize> {
    // Most lines have none.
    line.bytes().find(|b| matches!(b, b';' | b'#'))?;
    let mut blank = true;
    for (i, c) in line.char_indices() {
        if blank && (c == ';' || c == '#') {
            return Some(i);
        }
        blank = c.is_whitespace();
    }
    None
}

impl Parser {
    fn place(&self, line: u32, text: &str, byte: usize) -> Place {
        let column = text.get(..byte).unwrap_or("").chars().count() + 1;
        Place { file: self.file.clone(), line, column: u32::try_from(column).unwrap_or(u32::MAX) }
    }

    /// One line; false ends the reading.
    fn line(&mut self, number: u32, line: &str) -> bool {
        let comment = comment_start(line);
        let value = line[..comment.unwrap_or(line.len())].trim();
        if value.is_empty() {
            // An empty line belongs to a value that goes on after it, a comment does not.
            if let (None, Some((_, lines))) = (comment, &mut self.open) {
                lines.push(String::new());
            }
            return true;
        }
        let indent = line.len() - line.trim_start().len();
        if let Some((_, lines)) = &mut self.open
            && indent > self.indent
        {
            lines.push(value.to_string());
            return true;
        }
        self.close();
        self.indent = indent;
        if let Some(name) = header(value) {
            self.section(number, line, indent, name);
            return true;
        }
        if matches!(self.at, At::Top) {
            self.doc.headless = true;
            let place = self.place(number, line, indent);
            self.faults.push(
                Fault::new(&place, "text before the first section header")
                    .hint("start with a line such as [program:NAME]"),
            );
            return false;
        }
        self.option(number, line, indent, value);
        true
    }

    fn section(&mut self, number: u32, line: &str, indent: usize, name: &str) {
        if name == "DEFAULT" {
            self.at = At::Default;
            return;
        }
        let place = self.place(number, line, indent);
        let index = match self.doc.by_name.get(name) {
            Some(&i) => {
                self.doc.sections[i].again.push(place);
                i
            }
            None => {
                let (name, again, entries) = (name.to_string(), Vec::new(), Vec::new());
                self.doc.add(Section { name, place, again, entries })
            }
        };
        self.at = At::Section(index);
    }

    fn option(&mut self, number: u32, line: &str, indent: usize, value: &str) {
        let place = self.place(number, line, indent);
        let Some(split) = value.find(['=', ':']) else {
            let fault = Fault::new(&place, format!("expected `key = value`, found {value:?}"));
            self.faults.push(fault.hint("indent the line when it continues the value above it"));
            return;
        };
        let key = value[..split].trim_end().to_lowercase();
        if key.is_empty() {
            self.faults.push(Fault::new(&place, "the key before the `=` is missing"));
            return;
        }
        let rest = &value[split + 1..];
        let raw = rest.trim().to_string();
        let at = indent + split + 1 + (rest.len() - rest.trim_start().len());
        let value_place = self.place(number, line, at);
        let entry = Entry { key, raw: String::new(), key_place: place, place: value_place };
        self.open = Some((entry, vec![raw]));
    }

    /// Ends the entry that was being read.
    fn close(&mut self) {
        let Some((mut entry, lines)) = self.open.take() else { return };
        entry.raw = match <[String; 1]>::try_from(lines) {
            Ok([line]) => line,
            Err(lines) => lines.join("\n").trim_end().to_string(),
        };
        match self.at {
            At::Top => {}
            At::Default => put(&mut self.doc.defaults, entry),
            At::Section(i) => put(&mut self.doc.sections[i].entries, entry),
        }
    }
}

/// The name in a line that begins with `[`: up to the last `]`; what follows is not looked at.
fn header(value: &str) -> Option<&str> {
    let inside = value.strip_prefix('[')?;
    let end = inside.rfind(']')?;
    (end > 0).then(|| &inside[..end])
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> (Doc, Vec<Fault>) {
        parse(&Arc::new("f".into()), text)
    }

    fn get(text: &str, key: &str) -> String {
        let (doc, faults) = read(&format!("[s]\n{text}"));
        assert_eq!(faults, []);
        doc.sections[0].entries.iter().find(|e| e.key == key).map(|e| e.raw.clone()).unwrap()
    }

    #[test]
    fn keys_and_values() {
        assert_eq!(get("Key = v", "key"), "v");
        assert_eq!(get("k: v=w", "k"), "v=w");
        assert_eq!(get("k=a:b", "k"), "a:b");
        assert_eq!(get("k=", "k"), "");
        assert_eq!(get("k = 1\r\nK = 2\r\n", "k"), "2");
    }

    #[test]
    fn inline_comments_need_a_blank_before_them_and_ignore_quotes() {
        assert_eq!(get("k=a;b#c ; d", "k"), "a;b#c");
        assert_eq!(get("k=sh -c \"a ; b\"", "k"), "sh -c \"a");
        assert_eq!(get("k=a\t# b", "k"), "a");
        assert_eq!(get("k=;x", "k"), ";x");
        assert_eq!(get("k= ;x", "k"), "");
    }

    #[test]
    fn continuation_lines() {
        assert_eq!(get("k=a\n  b\n\n  c ; no\n  ; no\n  d\n\nj=1", "k"), "a\nb\n\nc\nd");
        assert_eq!(get("k=\n  a\n  b", "k"), "\na\nb");
        // Only what is indented more than the key goes on.
        let (doc, faults) = read("[s]\n  k=a\n  j=b\n   c");
        assert_eq!(faults, []);
        assert_eq!(doc.sections[0].entries[1].raw, "b\nc");
    }

    #[test]
    fn sections_merge_and_keep_their_places() {
        let (doc, _) = read("[a]\nx=1\n[b]\n[a]\nx=2\ny=3\n[DEFAULT]\nz=4\n");
        assert_eq!(doc.sections.len(), 2);
        assert_eq!((doc.sections[0].again[0].line, doc.sections[0].entries.len()), (4, 2));
        assert_eq!(doc.sections[0].entries[0].raw, "2");
        assert_eq!(doc.defaults[0].raw, "4");
        let (mut one, _) = read("[a]\nx=1");
        one.merge(doc);
        assert_eq!(one.section("a").unwrap().entries[0].raw, "2");
    }

    #[test]
    fn faults_in_the_ancestors_words() {
        let say = |text: &str| {
            let (doc, faults) = read(text);
            ancestor_text("a'b.conf", text, doc.headless, &faults)
        };
        assert_eq!(
            say("\n x=1\n[a]\n"),
            "File contains no section headers.\nfile: \"a'b.conf\", line: 2\n' x=1\\n'"
        );
        assert_eq!(
            say("[a]\r\nx\r\ny=1\nz"),
            "Source contains parsing errors: \"a'b.conf\"\n\t[line  2]: 'x\\n'\n\t[line  4]: 'z'"
        );
    }

    #[test]
    fn faults_have_places() {
        let (_, faults) = read("\n x=1\n[a]\n");
        assert_eq!((faults[0].place.line, faults[0].place.column), (2, 2));
        let (doc, faults) = read("[a]\nx\n=3\ny = é\n  = 2");
        let places: Vec<(u32, u32)> = faults.iter().map(|f| (f.place.line, f.place.column)).collect();
        assert_eq!(places, [(2, 1), (3, 1)]);
        let y = &doc.sections[0].entries[0];
        assert_eq!((y.key_place.column, y.place.column, y.raw.as_str()), (1, 5, "é\n= 2"));
    }
}
