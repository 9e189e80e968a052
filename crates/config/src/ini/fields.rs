//! The values of one section: looked up, expanded, parsed. A bad value is noted and replaced by its
//! default, so that one reading finds all that is wrong.

use super::expand::{Scope, expand};
use super::parse::{Entry, Section};
use super::value::Value;
use crate::fault::{Fault, Place};
use crate::source::{bytes_of, path_of};
use bstr::{BStr, BString};
use std::path::Path;

/// A section being read.
pub(crate) struct Fields<'a> {
    /// The section.
    pub(crate) section: &'a Section,
    defaults: &'a [Entry],
    /// What was wrong so far.
    pub(crate) faults: Vec<Fault>,
}

impl<'a> Fields<'a> {
    /// Starts on a section; `defaults` are the keys of `[DEFAULT]`.
    pub(crate) fn new(section: &'a Section, defaults: &'a [Entry]) -> Fields<'a> {
        Fields { section, defaults, faults: Vec::new() }
    }

    /// The entry of a key, from the section or from `[DEFAULT]`.
    pub(crate) fn entry(&self, key: &str) -> Option<&'a Entry> {
        self.section.entries.iter().chain(self.defaults).find(|e| e.key == key)
    }

    /// Where a key's value stands; the section when it is absent.
    pub(crate) fn place(&self, key: &str) -> Place {
        self.entry(key).map_or_else(|| self.section.place.clone(), |e| e.place.clone())
    }

    /// Notes a fault, once.
    pub(crate) fn fault(&mut self, fault: Fault) {
        if !self.faults.contains(&fault) {
            self.faults.push(fault);
        }
    }

    /// The expanded text of a key; `None` when absent or when the expansion failed.
    pub(crate) fn text(&mut self, key: &str, scope: &Scope) -> Option<BString> {
        let section = self.section;
        self.text_as(key, || format!("{}.{key}", section.name), scope)
    }

    /// The same for keys that the ancestor calls by another name in its complaints.
    pub(crate) fn text_as<N: AsRef<str>>(
        &mut self,
        key: &str,
        name: impl FnOnce() -> N,
        scope: &Scope,
    ) -> Option<BString> {
        let entry = self.entry(key)?;
        if !entry.raw.contains('%') {
            return Some(entry.raw.clone().into());
        }
        let here = here(entry);
        match expand(&entry.raw, scope, BStr::new(&here), name().as_ref()) {
            Ok(text) => Some(text),
            Err(message) => {
                let fault = Fault::new(&entry.place, message);
                let plain = entry.raw.contains('%') && !entry.raw.contains("%(");
                self.fault(if plain { fault.hint("write %% for a percent sign") } else { fault });
                None
            }
        }
    }

    /// A text that was expanded once, expanded again.
    pub(crate) fn again(&mut self, key: &str, text: &BString, scope: &Scope) -> Option<BString> {
        let entry = self.entry(key)?;
        match expand(&text.to_string(), scope, BStr::new(&here(entry)), key) {
            Ok(text) => Some(text),
            Err(message) => {
                self.fault(Fault::new(&entry.place, message));
                None
            }
        }
    }

    /// The value of a key; `None` when absent or bad.
    pub(crate) fn opt<T>(
        &mut self,
        key: &str,
        scope: &Scope,
        parse: impl FnOnce(&BStr) -> Value<T>,
    ) -> Option<T> {
        let text = self.text(key, scope)?;
        self.parsed(key, &text, parse)
    }

    /// The value of an expanded text; `None` when bad.
    pub(crate) fn parsed<T>(
        &mut self,
        key: &str,
        text: &BString,
        parse: impl FnOnce(&BStr) -> Value<T>,
    ) -> Option<T> {
        match parse(BStr::new(text)) {
            Ok(value) => Some(value),
            Err(message) => {
                let place = self.place(key);
                self.fault(Fault::new(&place, message));
                None
            }
        }
    }

    /// The value of a key, or the default.
    pub(crate) fn get<T>(
        &mut self,
        key: &str,
        scope: &Scope,
        default: T,
        parse: impl FnOnce(&BStr) -> Value<T>,
    ) -> T {
        self.opt(key, scope, parse).unwrap_or(default)
    }
}

/// The folder of the file that holds an entry.
fn here(entry: &Entry) -> BString {
    path_of(&entry.place.file).parent().map(Path::to_path_buf).map_or_else(BString::default, |p| bytes_of(&p))
}

/// Any text, as it is, for keys that are kept as text.
pub(crate) fn string(text: &BStr) -> Value<String> {
    Ok(text.to_string())
}
