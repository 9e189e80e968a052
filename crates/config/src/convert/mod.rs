//! Programs of an INI file to unit files, and units to an INI file.
//!
//! A source is lowered as for running; `to_unit` and `to_ini` translate its [`Spec`] and write the text; the
//! text is lowered again and must give exactly the spec that was meant (`proof`). What the two dialects fix
//! for all of their programs is one list ([`nature`]); everything else that the target cannot say refuses
//! the program. Nothing is written to disk here.

mod draft;
pub mod nature;
mod place;
mod proof;
mod to_ini;
mod to_unit;

use crate::fault::Fault;
use crate::ini::program::server_url;
use crate::load::{Choice, Personality, Request, load};
use crate::model::{Config, Finding, Program, Severity};
use draft::Draft;
pub use nature::Nature;
use place::Sources;
use std::collections::BTreeSet;
use supers_core::spec::Spec;

/// A direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum To {
    /// One section of an INI file for each unit.
    Ini,
    /// One unit file for each process of an INI file.
    Unit,
}

/// One converted program.
#[derive(Clone, Debug)]
pub struct Piece {
    /// Its name in the target.
    pub name: String,
    /// The file it belongs into: `NAME.service`, `NAME.conf`.
    pub file: String,
    /// The whole text of that file.
    pub text: String,
    /// What is not the same because of the dialects.
    pub notes: Vec<Nature>,
    /// What the source means, and what the text means.
    pub proof: (Spec, Spec),
}

/// What came of a configuration.
#[derive(Clone, Debug)]
pub struct Conversion {
    /// The direction.
    pub to: To,
    /// All that could be converted, in the order of the start.
    pub pieces: Vec<Piece>,
    /// Errors are reasons why a program, or the whole file, was not converted.
    pub findings: Vec<Finding>,
    /// Texts that do not mean what they should: mistakes of the converter, which are not given out.
    pub bugs: Vec<String>,
}

/// Converts what the request names. Without a direction: away from what the input is, a folder with units
/// to INI.
pub fn convert(req: &Request<'_>, to: Option<To>) -> Conversion {
    let req = Request { personality: Personality::Superd, ..req.clone() };
    let loaded = load(&req);
    let config = loaded.config;
    let is_unit = |p: &Program| p.about.file.ends_with(b".service");
    let to = to.unwrap_or_else(|| match &req.choice {
        Choice::File(path) if path.extension().is_some_and(|e| e == "service") => To::Ini,
        Choice::Dir(_) if config.programs.iter().any(is_unit) => To::Ini,
        Choice::File(_) | Choice::Dir(_) => To::Unit,
    });
    let mut out = Conversion { to, pieces: Vec::new(), findings: config.findings.clone(), bugs: Vec::new() };
    if loaded.fatal {
        return out;
    }
    let mut sources = Sources::default();
    if to == To::Unit {
        let rest = sources.other_sections(&config);
        out.findings.extend(rest.into_iter().map(|f| f.finding(Severity::Warning, None)));
    }
    let mut names = BTreeSet::new();
    for program in config.programs.iter().filter(|p| is_unit(p) == (to == To::Ini)) {
        if program.spec.refused.is_some() {
            continue;
        }
        let name = &program.spec.name;
        if !names.insert(name.clone()) {
            let fault =
                sources.fault(program, "process_name", format!("another program is called {name} too"));
            out.findings.push(fault.finding(Severity::Error, Some(name)));
            continue;
        }
        one(&req, &config, program, to, &mut sources, &mut out);
    }
    out
}

fn one(
    req: &Request<'_>,
    config: &Config,
    program: &Program,
    to: To,
    sources: &mut Sources,
    out: &mut Conversion,
) {
    let name = program.spec.name.as_str();
    let draft = match draft(req, config, &program.spec, to) {
        Ok(draft) => draft,
        Err(why) => return out.bugs.push(format!("{name}: {why}")),
    };
    let mut refused: Vec<Fault> = Vec::new();
    for r in &draft.refused {
        let sentence = format!("{}: {}", sources.shown(program, r.key), r.why);
        let mut fault = sources.fault(program, r.key, sentence);
        fault.hint = r.hint.map(str::to_string);
        refused.push(fault);
    }
    if let Some(fault) = sources.passed_variables(program) {
        refused.push(fault);
    }
    refused.dedup();
    if !refused.is_empty() {
        out.findings.extend(refused.into_iter().map(|f| f.finding(Severity::Error, Some(name))));
        return;
    }
    if config.settings.webhooks.own.contains_key(&program.spec.program) {
        let (here, there) = if to == To::Unit { ("webhook", "X-Webhook") } else { ("X-Webhook", "webhook") };
        let sentence = format!("{here}: the address is not carried over, since it may hold a secret");
        let fault = sources.fault(program, here, sentence).hint(format!("write it as {there}= by hand"));
        out.findings.push(fault.finding(Severity::Warning, Some(name)));
    }
    let baked = sources.baked(program);
    out.findings.extend(baked.into_iter().map(|f| f.finding(Severity::Warning, Some(name))));
    let text = text(&draft, program, config, to);
    let lowered = match to {
        To::Unit => proof::unit(req, name, &text),
        To::Ini => proof::ini(req, &text),
    };
    match lowered {
        Ok(spec) if proof::same(&spec, &draft.spec) => out.pieces.push(Piece {
            name: name.to_string(),
            file: format!("{name}.{}", if to == To::Unit { "service" } else { "conf" }),
            text,
            notes: draft.notes.into_iter().collect(),
            proof: (program.spec.as_ref().clone(), spec),
        }),
        Ok(spec) => {
            let wanted = &draft.spec;
            out.bugs.push(format!("{name}: the text means {spec:?}, but was to mean {wanted:?}"));
        }
        Err(why) => out.bugs.push(format!("{name}: the text cannot be read: {why}")),
    }
}

/// Translates, with what both dialects do by themselves beside it.
fn draft(req: &Request<'_>, config: &Config, spec: &Spec, to: To) -> Result<Draft, String> {
    // Any name does for a program that will be refused for its own.
    let name = if crate::emit::valid_name(&spec.name).is_ok() { spec.name.as_str() } else { "x" };
    let ini = proof::ini(req, &format!("[program:{name}]\ncommand=true\n"))?;
    let unit = proof::unit(req, name, "[Service]\nExecStart=true\n")?;
    let apart = "[Service]\nExecStart=true\nStandardOutput=null\nStandardError=journal\n";
    let apart = proof::unit(req, name, apart)?;
    let own_stderr = apart.output.stderr.as_ref();
    Ok(match to {
        To::Unit => {
            let url = server_url(&config.settings);
            let url = url.as_ref();
            to_unit::translate(spec, &to_unit::Bases { ini: &ini, unit: &unit, own_stderr, url })
        }
        To::Ini => to_ini::translate(spec, &to_ini::Bases { ini: &ini, unit: &unit, own_stderr }),
    })
}

/// The whole file: where it comes from, what is not the same, and the lines.
fn text(draft: &Draft, program: &Program, config: &Config, to: To) -> String {
    let about = &program.about;
    let mark = if to == To::Unit { '#' } else { ';' };
    let mut out = String::new();
    let mut comment = |text: String| {
        let text: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect();
        // A backslash at the end of a comment would continue it for other readers.
        out.push_str(&format!("{mark} {}\n", text.trim_end_matches('\\')));
    };
    let at = if about.line > 0 { format!("{}:{}", about.file, about.line) } else { about.file.to_string() };
    comment(format!("Converted by `supers convert` from {} in {at}.", program.spec.full_name()));
    for row in draft.notes.iter().filter_map(|n| n.row()) {
        let text = if to == To::Unit { row.to_unit } else { row.to_ini };
        comment(format!("Not the same: {text}."));
    }
    let mine = |f: &&Finding| f.program.as_deref() == Some(program.spec.program.as_str());
    for finding in config.findings.iter().filter(mine) {
        comment(format!("Of the original: {}", finding.message));
    }
    if to == To::Ini {
        let lists = [("Documentation", &about.documentation), ("WantedBy", &about.wanted_by)];
        if !about.description.is_empty() {
            comment(format!("Description: {}", about.description));
        }
        for (key, words) in lists.into_iter().chain([("Alias, lost", &about.aliases)]) {
            if !words.is_empty() {
                comment(format!("{key}: {}", words.join(" ")));
            }
        }
    }
    let lines = draft.lines.join("\n");
    let name = &program.spec.name;
    match to {
        To::Ini => out.push_str(&format!("[program:{name}]\n{lines}\n")),
        To::Unit => {
            let unit: String = draft.unit.iter().map(|l| format!("{l}\n")).collect();
            out.push_str(&format!(
                "\n[Unit]\nDescription={name}\n{unit}\n[Service]\n{lines}\n\n[Install]\nWantedBy=default.target\n"
            ));
        }
    }
    out
}
