//! `supers doctor`: where an INI file is not the same under Supervisor, the Go port and us.

use super::exit::{Exit, Failure};
use super::term::Tone;
use super::{Context, plural, reach};
use clap::Args;
use serde::Serialize;
use std::fmt::Write as _;
use std::path::PathBuf;
use supers_config::Severity;
use supers_config::doctor::{Diagnosis, Who, examine};
use supers_config::places::find;
use supers_config::source::Disk;

/// Say where an INI file behaves differently under Supervisor, the Go port and supers
///
/// Needs no daemon and starts nothing. Exit 0 when it is the same everywhere, 1 when something differs, 2
/// when the file cannot be read.
#[derive(Args)]
pub(super) struct Doctor {
    /// The file; what it includes is looked at too
    #[arg(value_name = "FILE")]
    path: PathBuf,
}

#[derive(Serialize)]
struct Report {
    same: bool,
    differences: Vec<Item>,
}

#[derive(Serialize)]
struct Item {
    id: &'static str,
    who: Vec<&'static str>,
    severity: &'static str,
    file: String,
    line: u32,
    message: String,
    hint: Option<String>,
}

impl Doctor {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let mut asker = reach::asker(&context.globals, context.around);
        asker.given = Some(self.path.clone());
        let places = find(&asker, &Disk).map_err(|e| Failure::Usage(e.to_string()))?;
        let path = reach::choice_path(&places);
        let log_dir = places.log_dirs.first().unwrap_or(&places.state);
        let request = context.around.world.request(&places.choice, log_dir);
        let found = examine(&request, path).map_err(Failure::Usage)?;
        let exit = if found.is_empty() { Exit::Done } else { Exit::Failed };
        if context.globals.json {
            let differences = found.into_iter().map(item).collect();
            context.print_json(&Report { same: exit == Exit::Done, differences })?;
            return Ok(exit);
        }
        let mut text = String::new();
        for diagnosis in &found {
            let tone = if diagnosis.severity == Severity::Error { Tone::Bad } else { Tone::Busy };
            let who = format!("[{}]", diagnosis.who_text());
            let line = diagnosis.to_string().replacen(&who, &context.style.paint(tone, &who), 1);
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{line}");
        }
        let count = |who: Who| found.iter().filter(|d| d.who.contains(&who)).count();
        let _ = writeln!(
            text,
            "{}: {} (supervisor {}, go {}, supers {})",
            path.display(),
            plural(found.len(), "difference"),
            count(Who::Supervisor),
            count(Who::Go),
            count(Who::Supers),
        );
        context.print(&text)?;
        Ok(exit)
    }
}

fn item(d: Diagnosis) -> Item {
    Item {
        id: d.id,
        who: d.who.iter().map(|w| w.word()).collect(),
        severity: match d.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        },
        file: d.file.to_string(),
        line: d.line,
        message: d.message,
        hint: d.hint,
    }
}

#[cfg(test)]
pub(super) mod tests {
    use crate::supers::{Around, Streams, run};
    use std::ffi::OsString;
    use std::path::Path;

    /// Runs `supers` in a folder; what it printed, `---` before what it complained about, and its code.
    pub(crate) fn supers(dir: &Path, words: &[&str]) -> String {
        let mut around = Around::real();
        around.world.cwd = dir.to_path_buf();
        let (mut out, mut err) = (Vec::new(), Vec::new());
        let args = ["supers", "--color", "never"].iter().chain(words).map(OsString::from);
        let exit = run(args, &around, Streams { out: &mut out, err: &mut err });
        let text = [out, b"---\n".to_vec(), err].concat();
        let dir = format!("{}/", dir.display());
        String::from_utf8_lossy(&text).replace(&dir, "") + &format!("--- {}", exit.code())
    }

    #[test]
    fn exits_and_formats() {
        let dir = tempfile::tempdir().unwrap();
        let bad = "[supervisord]\n[program:a]\ncommand=a\nexitcodes=0\nstartretries=2\n";
        std::fs::write(dir.path().join("bad.conf"), bad).unwrap();
        std::fs::write(dir.path().join("good.conf"), bad.replace("startretries=2\n", "")).unwrap();
        std::fs::write(dir.path().join("u.service"), "[Service]\nExecStart=a\n").unwrap();
        let run = |words: &[&str]| supers(dir.path(), words);
        insta::assert_snapshot!(run(&["doctor", "bad.conf"]), @r#"
        bad.conf:5: [go] warning: `startretries=2`: there is no growing pause between the tries, and FATAL is not final
        bad.conf: 1 difference (supervisor 0, go 1, supers 0)
        ---
        --- 1
        "#);
        insta::assert_snapshot!(run(&["doctor", "--json", "bad.conf"]), @r#"
        {"same":false,"differences":[{"id":"retries","who":["go"],"severity":"warning","file":"bad.conf","line":5,"message":"`startretries=2`: there is no growing pause between the tries, and FATAL is not final","hint":null}]}
        ---
        --- 1
        "#);
        insta::assert_snapshot!(run(&["doctor", "good.conf"]), @r#"
        good.conf: 0 differences (supervisor 0, go 0, supers 0)
        ---
        --- 0
        "#);
        insta::assert_snapshot!(run(&["doctor", "none.conf"]), @r#"
        ---
        supers: could not find config file none.conf
        --- 2
        "#);
        insta::assert_snapshot!(run(&["doctor", "u.service"]), @r#"
        ---
        supers: u.service: a unit file; only INI files are read by several supervisors
        --- 2
        "#);
    }
}
