//! `[group:x]` (supervisor-contract 4, 7).

use super::expand::Scope;
use super::fields::Fields;
use super::keys::Kind;
use super::parse::{Doc, Section};
use super::value;
use crate::fault::{Fault, did_you_mean};
use bstr::ByteSlice;

/// A group: which sections belong to it, in its own order.
pub(crate) struct Group<'a> {
    pub(crate) name: String,
    pub(crate) priority: i32,
    pub(crate) members: Vec<(&'a Section, Kind, String)>,
}

/// All groups, and what was wrong with them.
pub(crate) fn lower<'a>(doc: &'a Doc, scope: &Scope) -> (Vec<Group<'a>>, Vec<Fault>) {
    let mut groups = Vec::new();
    let mut faults = Vec::new();
    for section in &doc.sections {
        let Some((Kind::Group, name)) = Kind::of(&section.name) else { continue };
        let mut f = Fields::new(section, &doc.defaults);
        match super::program::name_of(section, name) {
            Ok(name) => groups.push(group(doc, &mut f, name, scope)),
            Err(fault) => f.fault(fault),
        }
        faults.append(&mut f.faults);
    }
    (groups, faults)
}

fn group<'a>(doc: &'a Doc, f: &mut Fields<'a>, name: String, scope: &Scope) -> Group<'a> {
    let priority = f.get("priority", scope, 999, value::priority);
    if f.entry("programs").is_none() {
        f.fault(Fault::new(&f.section.place, format!("[{}] names no programs", f.section.name)));
    }
    let listed = f.text("programs", scope).unwrap_or_default();
    let mut members = Vec::new();
    for word in listed.to_str_lossy().split(',').map(str::trim).filter(|w| !w.is_empty()) {
        let found = |prefix: &str| doc.section(&format!("{prefix}:{word}"));
        match (found("program"), found("fcgi-program")) {
            (Some(s), None) => members.push((s, Kind::Program, word.to_string())),
            (None, Some(s)) => members.push((s, Kind::FastCgi, word.to_string())),
            (Some(_), Some(_)) => {
                let text = format!(
                    "[{}] name {word} is ambiguous: a program and an fcgi-program have it",
                    f.section.name
                );
                f.fault(Fault::new(&f.place("programs"), text));
            }
            (None, None) => {
                let text = format!("[{}] names unknown program or fcgi-program {word}", f.section.name);
                let mut fault = Fault::new(&f.place("programs"), text);
                let known = doc.sections.iter().filter_map(|s| s.name.strip_prefix("program:"));
                fault.hint = did_you_mean(word, known);
                f.fault(fault);
            }
        }
    }
    Group { name, priority, members }
}
