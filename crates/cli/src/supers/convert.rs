//! `supers convert`: INI programs to unit files and back. The config crate proves each text before it is
//! given out; here it is only put where it belongs, and never over a file that is there.

use super::exit::{Exit, Failure};
use super::{Context, plural, reach};
use clap::{Args, ValueEnum};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::{self, OpenOptions};
use std::io::Write as _;
use std::path::{Path, PathBuf};
use supers_config::convert::{Conversion, Nature, Piece, To, convert};
use supers_config::places::find;
use supers_config::source::Disk;
use supers_config::{Finding, Severity};

/// Convert INI programs to unit files, or unit files to INI programs
///
/// What the other format cannot say refuses the program, with key and line; the others are converted. Each
/// text is read back and must mean the same before it is given out. Exit 1 when a program was refused.
#[derive(Args)]
pub(super) struct Convert {
    /// What to convert
    #[arg(value_name = "FILE|DIR")]
    path: PathBuf,
    /// The format to convert to; the other one than the input's when not given
    #[arg(long, value_name = "FORMAT")]
    to: Option<Format>,
    /// Where to write: a folder, or a file when there is one to write; standard output when not given
    #[arg(short, long, value_name = "DIR|FILE")]
    output: Option<PathBuf>,
    /// Write over files that are there
    #[arg(long)]
    force: bool,
    /// Write nothing, only say what could be converted
    #[arg(long)]
    check: bool,
}

#[derive(Clone, Copy, ValueEnum)]
enum Format {
    Ini,
    Unit,
}

#[derive(Serialize)]
struct Report {
    to: &'static str,
    converted: Vec<Converted>,
    findings: Vec<String>,
    written: Vec<String>,
}

#[derive(Serialize)]
struct Converted {
    name: String,
    file: String,
    text: String,
    notes: Vec<&'static str>,
}

impl Convert {
    pub(super) fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let mut asker = reach::asker(&context.globals, context.around);
        asker.given = Some(self.path.clone());
        let places = find(&asker, &Disk).map_err(|e| Failure::Usage(e.to_string()))?;
        let log_dir = places.log_dirs.first().unwrap_or(&places.state);
        let request = context.around.world.request(&places.choice, log_dir);
        let to = self.to.map(|format| match format {
            Format::Ini => To::Ini,
            Format::Unit => To::Unit,
        });
        let out = convert(&request, to);
        if !out.bugs.is_empty() {
            for bug in &out.bugs {
                context.complain(&format!("this is a mistake of supers, please report it: {bug}"))?;
            }
            context.complain("nothing was converted")?;
            return Ok(Exit::Failed);
        }
        let files = self.files(&out, &context.around.world.cwd)?;
        let written = if self.check { Vec::new() } else { write(&files, self.force)? };
        self.report(context, &out, &files, &written)?;
        let refused = out.findings.iter().any(|f| f.severity == Severity::Error);
        Ok(if refused || out.pieces.is_empty() { Exit::Failed } else { Exit::Done })
    }

    /// Texts with the files they go to; no file is standard output.
    fn files(&self, out: &Conversion, cwd: &Path) -> Result<Vec<(Option<PathBuf>, String)>, Failure> {
        let Some(given) = &self.output else {
            return match out.to {
                To::Unit if out.pieces.len() > 1 && !self.check => Err(Failure::Usage(format!(
                    "{} would be written; name a folder for them with -o DIR",
                    plural(out.pieces.len(), "unit file")
                ))),
                To::Unit | To::Ini => Ok(vec![(None, joined(&out.pieces))]),
            };
        };
        let output = cwd.join(given);
        let slash = given.as_os_str().as_encoded_bytes().ends_with(b"/");
        let folder = output.is_dir() || slash || (out.to == To::Unit && out.pieces.len() > 1);
        if !folder {
            return Ok(vec![(Some(output), joined(&out.pieces))]);
        }
        Ok(out.pieces.iter().map(|p| (Some(output.join(&p.file)), p.text.clone())).collect())
    }

    fn report(
        &self,
        context: &mut Context<'_>,
        out: &Conversion,
        files: &[(Option<PathBuf>, String)],
        written: &[String],
    ) -> Result<(), Failure> {
        if context.globals.json {
            return context.print_json(&Report {
                to: if out.to == To::Unit { "unit" } else { "ini" },
                converted: out.pieces.iter().map(|p| converted(p, out.to)).collect(),
                findings: out.findings.iter().map(Finding::to_string).collect(),
                written: written.to_vec(),
            });
        }
        for finding in &out.findings {
            context.complain(&finding.to_string())?;
        }
        for (note, names) in notes(out) {
            context.complain(&format!("not the same in {}: {note}", names.join(", ")))?;
        }
        if self.check {
            let lines: String = out.pieces.iter().map(|p| format!("{} can be converted\n", p.name)).collect();
            return context.print(&lines);
        }
        for file in written {
            context.print(&format!("{file}\n"))?;
        }
        for (_, text) in files.iter().filter(|(path, _)| path.is_none()) {
            context.print(text)?;
        }
        Ok(())
    }
}

fn joined(pieces: &[Piece]) -> String {
    pieces.iter().map(|p| p.text.as_str()).collect::<Vec<_>>().join("\n")
}

fn sentence(nature: Nature, to: To) -> &'static str {
    nature.row().map_or("", |row| if to == To::Unit { row.to_unit } else { row.to_ini })
}

/// Each difference of the dialects once, with the programs it concerns.
fn notes(out: &Conversion) -> BTreeMap<&'static str, Vec<&str>> {
    let mut notes: BTreeMap<&'static str, Vec<&str>> = BTreeMap::new();
    for piece in &out.pieces {
        for nature in &piece.notes {
            notes.entry(sentence(*nature, out.to)).or_default().push(&piece.name);
        }
    }
    notes
}

fn converted(piece: &Piece, to: To) -> Converted {
    Converted {
        name: piece.name.clone(),
        file: piece.file.clone(),
        text: piece.text.clone(),
        notes: piece.notes.iter().map(|n| sentence(*n, to)).collect(),
    }
}

/// Writes the files, none when one of them is there already. Answers with their paths.
fn write(files: &[(Option<PathBuf>, String)], force: bool) -> Result<Vec<String>, Failure> {
    let files: Vec<(&PathBuf, &String)> = files
        .iter()
        .filter_map(|(path, text)| Some((path.as_ref()?, text)))
        .filter(|f| !f.1.is_empty())
        .collect();
    // A link that leads nowhere is a file as well.
    let there = files.iter().find(|(path, _)| fs::symlink_metadata(path).is_ok());
    if let (false, Some((path, _))) = (force, there) {
        let why = format!("{} is there already; --force writes over it", path.display());
        return Err(Failure::Usage(why));
    }
    let mut written = Vec::new();
    for (path, text) in files {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder)?;
        }
        let mut options = OpenOptions::new();
        let options = if force { options.create(true).truncate(true) } else { options.create_new(true) };
        options.write(true).open(path)?.write_all(text.as_bytes())?;
        written.push(path.display().to_string());
    }
    Ok(written)
}

#[cfg(test)]
mod tests {
    use crate::supers::doctor::tests::supers;
    use std::fs;

    #[test]
    fn nothing_is_overwritten_and_nothing_is_half_done() {
        let dir = tempfile::tempdir().unwrap();
        let text = "[program:a]\ncommand=a\n[program:b]\ncommand=b\n[program:c]\ncommand=c\npriority=1\n";
        fs::write(dir.path().join("s.conf"), text).unwrap();
        let run = |words: &[&str]| {
            let text = supers(dir.path(), words);
            text.lines().filter(|l| !l.contains("not the same")).collect::<Vec<_>>().join("\n")
        };
        let read = |name: &str| fs::read_to_string(dir.path().join(name)).unwrap_or_default();
        insta::assert_snapshot!(run(&["convert", "s.conf"]), @r#"
        ---
        supers: 2 unit files would be written; name a folder for them with -o DIR
        --- 2
        "#);
        insta::assert_snapshot!(run(&["convert", "--check", "s.conf"]), @r#"
        a can be converted
        b can be converted
        ---
        supers: s.conf:7:1: error: priority=1: a unit file has no priorities
          hint: take the key out, and say After= in the units where the order matters
        --- 1
        "#);
        fs::create_dir(dir.path().join("u")).unwrap();
        fs::write(dir.path().join("u/b.service"), "mine").unwrap();
        insta::assert_snapshot!(run(&["convert", "s.conf", "-o", "u"]), @r#"
        ---
        supers: u/b.service is there already; --force writes over it
        --- 2
        "#);
        assert_eq!((read("u/a.service").as_str(), read("u/b.service").as_str()), ("", "mine"));
        insta::assert_snapshot!(run(&["convert", "s.conf", "-o", "u", "--force"]), @r#"
        u/a.service
        u/b.service
        ---
        supers: s.conf:7:1: error: priority=1: a unit file has no priorities
          hint: take the key out, and say After= in the units where the order matters
        --- 1
        "#);
        assert!(read("u/b.service").contains("\nExecStart=b\n"));
        insta::assert_snapshot!(run(&["convert", "u", "-o", "back.conf"]), @r#"
        back.conf
        ---
        --- 0
        "#);
        assert!(read("back.conf").contains("[program:a]\ncommand=a\n"));
        assert!(read("back.conf").contains("[program:b]\ncommand=b\n"));
        assert!(run(&["--json", "convert", "u"]).contains("\"name\":\"a\",\"file\":\"a.conf\""));
    }
}
