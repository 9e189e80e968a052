//! Lowering a text that is in no file, to see what it says.

use crate::fault::Place;
use crate::flags::Flags;
use crate::ini;
use crate::load::Request;
use crate::unit;
use bstr::BString;
use std::sync::Arc;
use supers_core::spec::Spec;

/// The one program of an INI text.
pub(super) fn ini(req: &Request<'_>, text: &str) -> Result<Spec, String> {
    let file = Arc::new(BString::from("(converted)"));
    let (doc, faults) = ini::parse::parse(&file, text);
    if let Some(fault) = faults.first() {
        return Err(fault.reason());
    }
    let lowered = ini::lower::lower(req, &doc, &[], &Flags::default(), &file);
    // Warnings count as well: a key that is passed over is not what was meant.
    if let Some(finding) = lowered.findings.first() {
        return Err(format!("{}: {}", finding.place(), finding.message));
    }
    match lowered.programs.as_slice() {
        [one] => Ok(one.spec.as_ref().clone()),
        other => Err(format!("the text describes {} programs", other.len())),
    }
}

/// The unit of a unit file's text.
pub(super) fn unit(req: &Request<'_>, name: &str, text: &str) -> Result<Spec, String> {
    let whole = Place::whole(&Arc::new(BString::from("(converted)")));
    let file = unit::parse::parse(&whole.file, text);
    let lowered = unit::lower::lower(req, name, &whole, file);
    if let Some(fault) = lowered.errors.first() {
        return Err(fault.reason());
    }
    // A user or folder that is missing on this machine is none of our business; all other warnings are.
    let absent = |message: &str| message.starts_with("there is no ");
    if let Some(fault) = lowered.warnings.iter().find(|w| !absent(&w.message)) {
        return Err(fault.reason());
    }
    Ok(lowered.spec)
}

/// True when nothing that decides how they live differs. The text of a command is for messages only.
pub(super) fn same(a: &Spec, b: &Spec) -> bool {
    let plain = |spec: &Spec| {
        let mut spec = spec.clone();
        for command in spec.exec.iter_mut().chain(&mut spec.stop_exec).chain(&mut spec.reload_exec) {
            command.line = BString::default();
        }
        spec
    };
    plain(a) == plain(b)
}
