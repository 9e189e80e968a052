//! `supers check`: the configuration, without any daemon.

use super::exit::{Exit, Failure};
use super::term::Tone;
use super::{Context, Style, plural, reach};
use clap::Args;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use supers_config::places::find;
use supers_config::source::Disk;
use supers_config::{Finding, Severity};

/// Check the configuration and print everything that is wrong with it
///
/// Needs no daemon and starts nothing. Exit 1 when there are errors.
#[derive(Args)]
pub(super) struct Check {
    /// What to check; the configuration that superd would use when not given
    #[arg(value_name = "FILE|DIR")]
    path: Option<PathBuf>,
}

#[derive(Serialize)]
struct Report {
    ok: bool,
    files: Vec<String>,
    programs: Vec<String>,
    findings: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    severity: &'static str,
    file: String,
    line: u32,
    column: u32,
    message: String,
    hint: Option<String>,
    program: Option<String>,
}

impl Check {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let mut asker = reach::asker(&context.globals, context.around);
        let named = self.path.is_some();
        asker.given = self.path.or(asker.given);
        let places = find(&asker, &Disk).map_err(|e| Failure::Usage(e.to_string()))?;
        let read = if named { reach::read_among } else { reach::read };
        let loaded = read(&places, context.around);
        let config = loaded.config;
        let bad = loaded.fatal || config.has_errors();
        let exit = if bad { Exit::Failed } else { Exit::Done };
        if context.globals.json {
            context.print_json(&Report {
                ok: !bad,
                files: config.files.iter().map(ToString::to_string).collect(),
                programs: config.programs.iter().map(|p| p.spec.full_name()).collect(),
                findings: config.findings.iter().map(item).collect(),
            })?;
            return Ok(exit);
        }
        let mut text = String::new();
        for finding in &config.findings {
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{}", paint(finding, context.style));
        }
        let count = |s: Severity| config.findings.iter().filter(|f| f.severity == s).count();
        let _ = writeln!(
            text,
            "{}: {}, {}, {}",
            reach::choice_path(&places).display(),
            plural(config.programs.len(), "program"),
            plural(count(Severity::Error), "error"),
            plural(count(Severity::Warning), "warning"),
        );
        context.print(&text)?;
        Ok(exit)
    }
}

fn paint(finding: &Finding, style: Style) -> String {
    let (word, tone) = match finding.severity {
        Severity::Error => ("error", Tone::Bad),
        Severity::Warning => ("warning", Tone::Busy),
    };
    let mut text = format!("{}: {}: {}", finding.place(), style.paint(tone, word), finding.message);
    if let Some(hint) = &finding.hint {
        text += &format!("\n  hint: {hint}");
    }
    text
}

fn item(f: &Finding) -> Item {
    Item {
        severity: match f.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        file: f.file.to_string(),
        line: f.line,
        column: f.column,
        message: f.message.clone(),
        hint: f.hint.clone(),
        program: f.program.clone(),
    }
}
