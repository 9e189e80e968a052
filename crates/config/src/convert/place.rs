//! Where a key of a source stands: the specs do not know, so the files are read once more.

use crate::fault::{Fault, Place};
use crate::ini::keys::Kind;
use crate::ini::parse::{self as ini, Doc, Section};
use crate::model::{Config, Program};
use crate::source::{path_of, read_text};
use crate::unit::parse as unit;
use bstr::BString;
use std::collections::BTreeMap;
use std::sync::Arc;

/// Files of the sources, as they were read.
#[derive(Default)]
pub(super) struct Sources {
    files: BTreeMap<BString, File>,
}

enum File {
    Ini(Doc),
    Unit(unit::File),
}

impl Sources {
    fn file(&mut self, name: &BString) -> &File {
        self.files.entry(name.clone()).or_insert_with(|| {
            let shared = Arc::new(name.clone());
            // It was read a moment ago; when it is gone only the line numbers are.
            let text = read_text(&path_of(name)).unwrap_or_default();
            if name.ends_with(b".service") {
                File::Unit(unit::parse(&shared, &text))
            } else {
                File::Ini(ini::parse(&shared, &text).0)
            }
        })
    }

    /// Where a key of a program stands; where the program begins when it does not say the key.
    fn place(&mut self, program: &Program, key: &str) -> (Place, bool) {
        let about = &program.about;
        let file = Arc::new(about.file.clone());
        let begin = Place { file, line: about.line, column: 0 };
        let group = program.spec.group.clone();
        let found = match self.file(&about.file) {
            File::Unit(unit) => unit.lines.iter().rev().find(|l| l.key == key).map(|l| l.key_place.clone()),
            File::Ini(doc) => {
                let of = |s: &Section| s.entries.iter().find(|e| e.key == key).map(|e| e.key_place.clone());
                let own = section(doc, about.line).and_then(of);
                let group = doc.section(&format!("group:{group}")).and_then(of);
                let main = doc.section("supervisord").filter(|_| key == "strip_ansi").and_then(of);
                own.or(group).or(main)
            }
        };
        let said = found.is_some();
        (found.unwrap_or(begin), said)
    }

    /// A fault at a key.
    pub(super) fn fault(&mut self, program: &Program, key: &str, message: String) -> Fault {
        Fault::new(&self.place(program, key).0, message)
    }

    /// A key for people: with the value when the file says it.
    pub(super) fn shown(&mut self, program: &Program, key: &str) -> String {
        let (place, said) = self.place(program, key);
        if !said {
            return format!("{key} (not set)");
        }
        let value = match self.file(&program.about.file) {
            File::Unit(unit) => unit.lines.iter().find(|l| l.key_place == place).map(|l| l.value.clone()),
            File::Ini(doc) => {
                let entries = doc.sections.iter().flat_map(|s| &s.entries);
                entries.into_iter().find(|e| e.key_place == place).map(|e| e.raw.replace('\n', " "))
            }
        };
        format!("{key}={}", value.unwrap_or_default())
    }

    /// `PassEnvironment=`, whose variables an INI program has anyhow; as values they would be frozen.
    pub(super) fn passed_variables(&mut self, program: &Program) -> Option<Fault> {
        let File::Unit(unit) = self.file(&program.about.file) else { return None };
        let line = unit.lines.iter().find(|l| l.key == "PassEnvironment" && !l.value.is_empty())?;
        let fault = Fault::new(&line.key_place, "PassEnvironment: an INI file has no word for it");
        Some(fault.hint("take the line out: an INI program has the daemon's whole environment"))
    }

    /// Values that come from this machine and stand in the output as they are now.
    pub(super) fn baked(&mut self, program: &Program) -> Vec<Fault> {
        let warn = |place: &Place, key: &str, what: &str| {
            Fault::new(place, format!("{key}: {what} is replaced by the value it has here and now"))
        };
        match self.file(&program.about.file) {
            File::Unit(unit) => {
                let of = |l: &unit::Line| {
                    let plain = l.value.replace("%%", "");
                    let specifier =
                        ["%H", "%l", "%u", "%U", "%h", "%s"].into_iter().find(|s| plain.contains(s));
                    specifier.map(|s| warn(&l.key_place, &l.key, s))
                };
                unit.lines.iter().filter(|l| l.section == "Service").filter_map(of).collect()
            }
            File::Ini(doc) => {
                let entries = section(doc, program.about.line).map(|s| s.entries.as_slice());
                let of = |e: &ini::Entry| {
                    let names = ["%(ENV_", "%(host_node_name)", "%(here)"];
                    let (name, rest) = names.into_iter().find_map(|n| Some((n, e.raw.split_once(n)?.1)))?;
                    let rest = if name.ends_with(')') { "" } else { rest.split_inclusive(')').next()? };
                    Some(warn(&e.key_place, &e.key, &format!("{name}{rest}s")))
                };
                entries.unwrap_or_default().iter().filter_map(of).collect()
            }
        }
    }

    /// Sections that describe no program, one warning a file.
    pub(super) fn other_sections(&mut self, config: &Config) -> Vec<Fault> {
        let mut out = Vec::new();
        for name in config.files.iter().filter(|f| !f.ends_with(b".service")) {
            let File::Ini(doc) = self.file(name) else { continue };
            let other = |s: &&Section| match Kind::of(&s.name) {
                Some((Kind::Program | Kind::EventListener | Kind::FastCgi | Kind::Include, _)) => false,
                Some(_) | None => true,
            };
            let others: Vec<&Section> = doc.sections.iter().filter(other).collect();
            if let Some(first) = others.first() {
                let names: Vec<String> = others.iter().map(|s| format!("[{}]", s.name)).collect();
                let text = format!("not about a program, and not converted: {}", names.join(" "));
                out.push(Fault::new(&first.place, text).hint("keep them in superd.conf beside the units"));
            }
        }
        out
    }
}

/// The section that begins at a line.
fn section(doc: &Doc, line: u32) -> Option<&Section> {
    doc.sections.iter().find(|s| s.place.line == line)
}
