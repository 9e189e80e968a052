//! What the checks look at, and the few questions that most of them ask.

use crate::fault::Place;
use crate::ini::keys::Kind;
use crate::ini::parse::{Doc, Entry, Section};
use bstr::BString;

/// One file.
pub(super) struct Source {
    pub(super) name: BString,
    pub(super) doc: Doc,
    /// As they stand in the file.
    pub(super) lines: Vec<String>,
}

/// The whole configuration.
pub(super) struct View {
    pub(super) main: BString,
    pub(super) sources: Vec<Source>,
    /// All files in one.
    pub(super) all: Doc,
}

/// A place where a check applies.
pub(super) struct Hit {
    pub(super) place: Place,
    pub(super) section: String,
    pub(super) key: String,
    pub(super) value: String,
}

/// A key in its surroundings.
pub(super) struct Site<'a> {
    pub(super) section: &'a Section,
    pub(super) entry: &'a Entry,
    /// The line in the file, with its comment.
    pub(super) line: &'a str,
    /// It stands in an included file.
    pub(super) included: bool,
}

impl Site<'_> {
    pub(super) fn key(&self) -> &str {
        &self.entry.key
    }

    pub(super) fn value(&self) -> &str {
        &self.entry.raw
    }

    /// The value of another key of the section.
    pub(super) fn other(&self, key: &str) -> Option<&str> {
        value(self.section, key)
    }
}

/// The value of a key in a section.
pub(super) fn value<'a>(section: &'a Section, key: &str) -> Option<&'a str> {
    section.entries.iter().find(|e| e.key == key).map(|e| e.raw.as_str())
}

/// Program-like sections.
pub(super) const PROGRAMS: &[Kind] = &[Kind::Program, Kind::EventListener, Kind::FastCgi];

impl View {
    pub(super) fn new(main: BString, sources: Vec<Source>) -> View {
        let mut all = Doc::default();
        for source in &sources {
            all.merge(source.doc.clone());
        }
        View { main, sources, all }
    }

    fn line(&self, place: &Place) -> &str {
        let source = self.sources.iter().find(|s| s.name == *place.file);
        let line = source.and_then(|s| s.lines.get((place.line as usize).checked_sub(1)?));
        line.map_or("", String::as_str)
    }

    /// All keys of sections of these kinds for which the test holds.
    pub(super) fn keys(&self, kinds: &[Kind], test: impl Fn(&Site<'_>) -> bool) -> Vec<Hit> {
        let mut out = Vec::new();
        for section in self.of(kinds) {
            for entry in &section.entries {
                let included = *entry.place.file != self.main;
                let site = Site { section, entry, line: self.line(&entry.place), included };
                if test(&site) {
                    out.push(Hit {
                        place: entry.key_place.clone(),
                        section: section.name.clone(),
                        key: entry.key.clone(),
                        value: entry.raw.clone(),
                    });
                }
            }
        }
        out
    }

    /// The same for one key by name.
    pub(super) fn key(&self, kinds: &[Kind], key: &str, test: impl Fn(&Site<'_>) -> bool) -> Vec<Hit> {
        self.keys(kinds, |s| s.key() == key && test(s))
    }

    /// All sections of these kinds for which the test holds.
    pub(super) fn sections(&self, kinds: &[Kind], test: impl Fn(&Section) -> bool) -> Vec<Hit> {
        self.of(kinds).filter(|s| test(s)).map(section_hit).collect()
    }

    /// Sections that no kind knows.
    pub(super) fn strange(&self, test: impl Fn(&Section) -> bool) -> Vec<Hit> {
        let sections = self.all.sections.iter().filter(|s| Kind::of(&s.name).is_none());
        sections.filter(|s| test(s)).map(section_hit).collect()
    }

    /// The file as a whole, when something holds.
    pub(super) fn whole(&self, holds: bool) -> Vec<Hit> {
        let first = self.all.sections.first().filter(|_| holds);
        first.map(section_hit).into_iter().collect()
    }

    /// True when there is a section of this kind.
    pub(super) fn has(&self, kind: Kind) -> bool {
        self.of(&[kind]).next().is_some()
    }

    fn of<'a>(&'a self, kinds: &'a [Kind]) -> impl Iterator<Item = &'a Section> {
        let fits = |s: &Section| Kind::of(&s.name).is_some_and(|(kind, _)| kinds.contains(&kind));
        self.all.sections.iter().filter(move |s| fits(s))
    }
}

fn section_hit(section: &Section) -> Hit {
    let (place, section) = (section.place.clone(), section.name.clone());
    Hit { place, section, key: String::new(), value: String::new() }
}
