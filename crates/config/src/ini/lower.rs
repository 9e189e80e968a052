//! All sections of a document to settings and units.

use super::expand::Scope;
use super::group::{self, Group};
use super::keys::{Kind, section_words};
use super::parse::{Doc, Section};
use super::program::{self, Shared};
use super::settings;
use super::webhook;
use crate::fault::{Fault, Place, did_you_mean, nearest};
use crate::flags::Flags;
use crate::load::{Choice, Personality, Request};
use crate::model::{Finding, Program, Settings, Severity};
use crate::source::is_dir;
use bstr::{BString, ByteSlice};
use std::path::{Path, PathBuf};

/// What came of a document.
pub(crate) struct Ini {
    pub(crate) settings: Settings,
    /// In no particular order across groups.
    pub(crate) programs: Vec<Program>,
    /// All groups, those without a program included.
    pub(crate) groups: Vec<(String, i32)>,
    pub(crate) findings: Vec<Finding>,
    pub(crate) fatal: bool,
}

struct Lower<'a> {
    req: &'a Request<'a>,
    out: Ini,
    /// The main file as the user named it.
    shown: &'a BString,
}

/// Lowers a document. `broken` are included files that could not be read to the end: their programs
/// are refused. `shown` is the name of the main file for the ancestor's complaints.
pub(crate) fn lower(req: &Request<'_>, doc: &Doc, broken: &[Fault], flags: &Flags, shown: &BString) -> Ini {
    let env = base_scope(req);
    let daemon = settings::lower(req, doc, &env, flags);
    let mut scope = env;
    scope.add_env(&daemon.settings.environment);
    let shared = Shared {
        req,
        doc,
        settings: &daemon.settings,
        scope: &scope,
        server_url: program::server_url(&daemon.settings),
        log_dir: daemon.settings.childlogdir.clone().unwrap_or_else(|| temporary_folder(req)),
    };
    let out = Ini {
        settings: Settings::default(),
        programs: Vec::new(),
        groups: Vec::new(),
        findings: Vec::new(),
        fatal: false,
    };
    let mut lower = Lower { req, out, shown };
    lower.fatal_all(daemon.errors);
    lower.programs(&shared, broken);
    lower.fatal_all(daemon.late_errors);
    lower.warn_all(daemon.warnings, None);
    if req.personality == Personality::Superd {
        lower.unknown_names(doc);
        lower.merged_sections(doc);
    }
    let hooks = webhook::lower(req, doc, &scope);
    let findings =
        hooks.faults.into_iter().map(|(f, program)| f.finding(Severity::Error, program.as_deref()));
    lower.out.findings.extend(findings);
    lower.out.settings = daemon.settings;
    lower.out.settings.webhooks = hooks.webhooks;
    lower.out
}

impl Lower<'_> {
    fn fatal_all(&mut self, faults: Vec<Fault>) {
        self.out.fatal |= !faults.is_empty();
        self.out.findings.extend(faults.into_iter().map(|f| f.finding(Severity::Error, None)));
    }

    fn warn_all(&mut self, faults: Vec<Fault>, program: Option<&str>) {
        self.out.findings.extend(faults.into_iter().map(|f| f.finding(Severity::Warning, program)));
    }

    /// Errors of one program: fatal for the ancestor, else the reason why that program is refused.
    fn program_errors(
        &mut self,
        section: &Section,
        name: &str,
        lowered: (Vec<Fault>, Vec<Fault>),
    ) -> Option<String> {
        let (pool, own) = lowered;
        let reason = pool.iter().chain(&own).next().map(Fault::reason);
        let strict = self.req.personality == Personality::Supervisord;
        self.out.fatal |= strict && reason.is_some();
        let suffix = format!(" in section '{}' (file: '{}')", section.name, self.shown_name(&section.place));
        let own = own.into_iter().map(|mut fault| {
            if strict {
                fault.message.push_str(&suffix);
            }
            fault
        });
        let findings = pool.into_iter().chain(own).map(|f| f.finding(Severity::Error, Some(name)));
        self.out.findings.extend(findings);
        reason
    }

    fn shown_name<'b>(&'b self, place: &'b Place) -> &'b BString {
        let main = match &self.req.choice {
            Choice::File(path) | Choice::Dir(path) => path,
        };
        let main = crate::source::bytes_of(&crate::source::absolute(&self.req.cwd, main));
        if *place.file == main { self.shown } else { &place.file }
    }

    fn programs(&mut self, shared: &Shared<'_>, broken: &[Fault]) {
        let mut groups = group::lower(shared.doc, shared.scope, self.req.personality);
        for group in &mut groups {
            let faults = std::mem::take(&mut group.faults);
            match self.req.personality {
                Personality::Supervisord => self.fatal_all(faults),
                Personality::Superd => {
                    self.out.findings.extend(faults.into_iter().map(|f| f.finding(Severity::Error, None)));
                }
            }
            if group.name.is_empty() {
                continue;
            }
            self.out.groups.push((group.name.clone(), group.priority));
            let of_group = Some((group.name.as_str(), group.priority));
            for (section, kind, name) in &group.members {
                self.program(shared, section, *kind, name, of_group, broken);
            }
        }
        // One kind after the other, as the ancestor reads them.
        for wanted in [Kind::Program, Kind::EventListener, Kind::FastCgi] {
            for section in &shared.doc.sections {
                if let Some((kind, name)) = Kind::of(&section.name)
                    && kind == wanted
                    && !is_grouped(&groups, section)
                {
                    self.program(shared, section, kind, name, None, broken);
                }
            }
        }
    }

    fn program(
        &mut self,
        shared: &Shared<'_>,
        section: &Section,
        kind: Kind,
        name: &str,
        group: Option<(&str, i32)>,
        broken: &[Fault],
    ) {
        let places = || std::iter::once(&section.place).chain(&section.again);
        if let Some(fault) = broken.iter().find(|f| places().any(|p| p.file == f.place.file)) {
            // The file itself has its finding already.
            self.out.programs.push(program::refused(section, name.trim(), group, fault.reason()));
            return;
        }
        let lowered = program::lower(shared, section, kind, name, group, self.out.programs.last());
        let name = name.trim();
        self.warn_all(lowered.warnings, Some(name));
        match self.program_errors(section, name, (lowered.pool_errors, lowered.errors)) {
            Some(reason) => self.out.programs.push(program::refused(section, name, group, reason)),
            None => {
                self.out.groups.extend(lowered.group);
                self.out.programs.extend(lowered.units);
            }
        }
    }

    fn unknown_names(&mut self, doc: &Doc) {
        for section in &doc.sections {
            let Some((kind, name)) = Kind::of(&section.name) else {
                self.unknown_section(section);
                continue;
            };
            let Some(known) = kind.keys() else { continue };
            let program = matches!(kind, Kind::Program | Kind::EventListener | Kind::FastCgi);
            for entry in section.entries.iter().filter(|e| !known.contains(&e.key.as_str())) {
                let text = format!("unknown key `{}` in [{}], ignored", entry.key, section.name);
                let mut fault = Fault::new(&entry.key_place, text);
                fault.hint = did_you_mean(&entry.key, known.iter().copied());
                self.warn_all(vec![fault], program.then_some(name));
            }
        }
    }

    fn unknown_section(&mut self, section: &Section) {
        let (word, name) = section.name.split_once(':').unwrap_or((&section.name, ""));
        let mut fault = Fault::new(&section.place, format!("unknown section [{}], ignored", section.name));
        fault.hint = match nearest(word, section_words()) {
            Some(known) if known == word && name.is_empty() => Some(format!("did you mean [{word}:NAME]?")),
            Some(known) if known == word => Some(format!("did you mean [{word}]?")),
            Some(known) if name.is_empty() => Some(format!("did you mean [{known}]?")),
            Some(known) => Some(format!("did you mean [{known}:{name}]?")),
            None => None,
        };
        self.warn_all(vec![fault], None);
    }

    /// A program described twice is usually a copy that was to get another name.
    fn merged_sections(&mut self, doc: &Doc) {
        for section in &doc.sections {
            let Some((Kind::Program | Kind::EventListener | Kind::FastCgi, name)) = Kind::of(&section.name)
            else {
                continue;
            };
            for again in &section.again {
                let text = format!(
                    "[{}] is described twice: here and at {}:{}; the keys are merged, later ones win",
                    section.name, section.place.file, section.place.line
                );
                let fault = Fault::new(again, text).hint("give one of them another name");
                self.warn_all(vec![fault], Some(name));
            }
        }
    }
}

fn is_grouped(groups: &[Group<'_>], section: &Section) -> bool {
    groups.iter().flat_map(|g| &g.members).any(|(member, _, _)| member.name == section.name)
}

/// The names that are known everywhere.
fn base_scope(req: &Request<'_>) -> Scope {
    let scope = Scope::of_env(&req.env);
    match req.personality {
        Personality::Superd => scope,
        Personality::Supervisord => scope.with_lone_s(),
    }
}

/// The system's temporary folder, as the ancestor looks for it.
fn temporary_folder(req: &Request<'_>) -> BString {
    let named = ["TMPDIR", "TEMP", "TMP"].into_iter().filter_map(|name| {
        req.env.iter().rev().find(|(key, value)| key.as_bstr() == name && !value.is_empty()).map(|e| &e.1)
    });
    let usable = |path: &&BString| is_dir(&crate::source::path_of(path));
    named.into_iter().find(usable).cloned().unwrap_or_else(|| "/tmp".into())
}

/// The patterns of `[include] files`, absolute.
///
/// # Errors
/// There is an `[include]` without `files`, or its value cannot be expanded.
pub(crate) fn include_patterns(req: &Request<'_>, doc: &Doc) -> Result<Vec<(Place, PathBuf)>, Fault> {
    let Some(section) = doc.section("include") else { return Ok(Vec::new()) };
    let mut f = super::fields::Fields::new(section, &doc.defaults);
    let scope = base_scope(req).text("host_node_name", req.hostname.as_str());
    let Some(files) = f.text("files", &scope) else {
        let missing = || Fault::new(&section.place, ".ini file has [include] section, but no files setting");
        return Err(f.faults.pop().unwrap_or_else(missing));
    };
    let place = f.place("files");
    let here = crate::source::path_of(&place.file).parent().map(Path::to_path_buf).unwrap_or_default();
    let words = files
        .split(u8::is_ascii_whitespace)
        .filter(|w| !w.is_empty())
        .map(|word| (place.clone(), here.join(crate::source::path_of(word))));
    Ok(words.collect())
}
