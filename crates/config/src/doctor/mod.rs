//! Where an INI file behaves differently under Python Supervisor, the Go port and us.
//!
//! `read` gathers the files, [`CHECKS`] is the list of checks (one row each), and the loader's own
//! findings under both personalities say what each would refuse or point out. Nothing is started.

mod python;
mod read;
mod table;
mod view;

use crate::load::{Choice, Personality, Request, load};
use crate::model::{Finding, Severity, place_text};
use bstr::BString;
use std::fmt;
use std::path::Path;
pub use table::CHECKS;
use view::View;

/// Somebody who reads the file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Who {
    /// Python Supervisor.
    Supervisor,
    /// The Go port of Supervisor.
    Go,
    /// Us.
    Supers,
}

impl Who {
    /// The word in brackets.
    pub fn word(self) -> &'static str {
        match self {
            Who::Supervisor => "supervisor",
            Who::Go => "go",
            Who::Supers => "supers",
        }
    }
}

/// One row of the list.
pub struct Check {
    /// Its name, for `--json` and the manual.
    pub id: &'static str,
    /// Who does something else than the others, or than the file seems to say.
    pub who: &'static [Who],
    /// An error: the file does not start there, or a program does not run. A warning: it runs otherwise.
    pub severity: Severity,
    /// One sentence; `{section}`, `{key}` and `{value}` are replaced.
    pub text: &'static str,
    /// What to do about it; empty when nothing helps.
    pub hint: &'static str,
    /// All places where it applies.
    test: fn(&View) -> Vec<view::Hit>,
}

/// Something that is not the same everywhere.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnosis {
    /// The row of the list; `refused` and `noticed` are the loader's own findings.
    pub id: &'static str,
    /// Who differs.
    pub who: Vec<Who>,
    /// How bad it is there.
    pub severity: Severity,
    /// The file.
    pub file: BString,
    /// Line from 1.
    pub line: u32,
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

impl Diagnosis {
    /// `supervisor,go`.
    pub fn who_text(&self) -> String {
        self.who.iter().map(|w| w.word()).collect::<Vec<_>>().join(",")
    }
}

impl fmt::Display for Diagnosis {
    /// `FILE:LINE: [who] severity: sentence`, and the hint on a second line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        let place = place_text(&self.file, self.line, 0);
        write!(f, "{place}: [{}] {word}: {}", self.who_text(), self.message)?;
        self.hint.as_ref().map_or(Ok(()), |hint| write!(f, "\n  hint: {hint}"))
    }
}

/// All differences of a file and what it includes, by file and line.
///
/// # Errors
/// The file cannot be read; one sentence.
pub fn examine(req: &Request<'_>, path: &Path) -> Result<Vec<Diagnosis>, String> {
    let view = read::view(req, path)?;
    let mut out: Vec<Diagnosis> = CHECKS.iter().flat_map(|check| of_check(check, &view)).collect();
    let refused = [(Personality::Supervisord, Who::Supervisor), (Personality::Superd, Who::Supers)];
    let mut found: Vec<Diagnosis> = Vec::new();
    for (personality, who) in refused {
        let loaded = load(&Request { choice: Choice::File(path.into()), personality, ..req.clone() });
        for finding in loaded.config.findings {
            add(&mut found, &view, who, finding);
        }
    }
    // A row says it better than the complaint of a parser about the same line, unless that is worse.
    found.retain(|d| {
        let same = |o: &&mut Diagnosis| {
            (&o.file, o.line) == (&d.file, d.line)
                && o.severity <= d.severity
                && d.who.iter().all(|w| o.who.contains(w))
        };
        let Some(row) = out.iter_mut().find(same) else { return true };
        if ["unknown-key", "unknown-section"].contains(&row.id) {
            row.hint = row.hint.take().or(d.hint.clone());
        }
        false
    });
    out.extend(found);
    out.sort_by(|a, b| (&a.file, a.line, a.id).cmp(&(&b.file, b.line, b.id)));
    out.dedup();
    Ok(out)
}

fn of_check(check: &Check, view: &View) -> Vec<Diagnosis> {
    let hits = (check.test)(view);
    let fill = |text: &str, hit: &view::Hit| {
        let value = hit.value.replace('\n', " ");
        text.replace("{section}", &hit.section).replace("{key}", &hit.key).replace("{value}", &value)
    };
    let one = |hit: view::Hit| Diagnosis {
        id: check.id,
        who: check.who.to_vec(),
        severity: check.severity,
        file: hit.place.file.as_ref().clone(),
        line: hit.place.line.max(1),
        message: fill(check.text, &hit),
        hint: (!check.hint.is_empty()).then(|| fill(check.hint, &hit)),
    };
    hits.into_iter().map(one).collect()
}

/// A finding of the loader. What both say of one line is one diagnosis.
fn add(found: &mut Vec<Diagnosis>, view: &View, who: Who, finding: Finding) {
    let line = finding.line.max(1);
    let same = found.iter_mut().find(|d| {
        (&d.file, d.line, d.severity) == (&finding.file, line, finding.severity) && !d.who.contains(&who)
    });
    if let Some(same) = same {
        same.who.push(who);
        // Ours comes second, without the ancestor's decoration and with a hint more often.
        if finding.severity == Severity::Error && finding.program.is_some() {
            same.message =
                format!("supervisor does not start, supers refuses the program: {}", finding.message);
        }
        same.hint = same.hint.take().or(finding.hint);
        return;
    }
    let (id, start) = match (finding.severity, who) {
        (Severity::Error, Who::Supervisor) => ("refused", "does not start: "),
        (Severity::Error, Who::Go | Who::Supers) => ("refused", "is refused: "),
        (Severity::Warning, _) => ("noticed", ""),
    };
    found.push(Diagnosis {
        id,
        who: vec![who],
        severity: finding.severity,
        file: if finding.file.is_empty() { view.main.clone() } else { finding.file },
        line,
        message: format!("{start}{}", finding.message.replace('\n', " ")),
        hint: finding.hint,
    });
}
