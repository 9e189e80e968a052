//! `[group:x]` (supervisor-contract 4, 7).

use super::expand::Scope;
use super::fields::Fields;
use super::keys::Kind;
use super::parse::{Doc, Section};
use super::value;
use crate::fault::{Fault, did_you_mean};
use crate::load::Personality;
use bstr::ByteSlice;

/// A group: which sections belong to it, in its own order.
pub(crate) struct Group<'a> {
    pub(crate) name: String,
    pub(crate) priority: i32,
    pub(crate) members: Vec<(&'a Section, Kind, String)>,
    /// What is wrong with the section itself.
    pub(crate) faults: Vec<Fault>,
}

/// All groups. One whose name cannot be used has an empty name.
pub(crate) fn lower<'a>(doc: &'a Doc, scope: &Scope, personality: Personality) -> Vec<Group<'a>> {
    let mut groups = Vec::new();
    for section in &doc.sections {
        let Some((Kind::Group, name)) = Kind::of(&section.name) else { continue };
        let mut f = Fields::new(section, &doc.defaults);
        let name = super::program::name_of(section, name).unwrap_or_else(|fault| {
            f.fault(fault);
            String::new()
        });
        let members = members(doc, &mut f, scope, personality);
        let priority = f.get("priority", scope, 999, value::priority);
        groups.push(Group { name, priority, members, faults: f.faults });
    }
    groups
}

fn members<'a>(
    doc: &'a Doc,
    f: &mut Fields<'a>,
    scope: &Scope,
    personality: Personality,
) -> Vec<(&'a Section, Kind, String)> {
    if f.entry("programs").is_none() && personality == Personality::Superd {
        f.fault(Fault::new(&f.section.place, format!("[{}] names no programs", f.section.name)));
    }
    let listed = f.text("programs", scope).unwrap_or_default();
    // For the ancestor an empty word is the name of a program that is not there.
    let counts = |w: &&str| match personality {
        Personality::Superd => !w.is_empty(),
        Personality::Supervisord => !listed.is_empty(),
    };
    let mut members = Vec::new();
    for word in listed.to_str_lossy().split(',').map(str::trim).filter(counts) {
        let found = |prefix: &str| doc.section(&format!("{prefix}:{word}"));
        match (found("program"), found("fcgi-program")) {
            (Some(s), None) => members.push((s, Kind::Program, word.to_string())),
            (None, Some(s)) => members.push((s, Kind::FastCgi, word.to_string())),
            (Some(_), Some(_)) => {
                let text = format!(
                    "[{}] name {word} is ambiguous (exists as program and fcgi-program)",
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
    members
}
