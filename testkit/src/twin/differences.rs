//! The comparison of two transcripts, and the differences that are wanted.

use regex::Regex;
use serde::Deserialize;
use similar::{ChangeTag, TextDiff};
use std::collections::BTreeSet;
use std::path::Path;

/// More than this many wanted differences are not a drop-in any more.
const MOST: usize = 15;

/// Lines that are shown before and behind a difference.
const CONTEXT: usize = 3;

/// One step and what came out, normalised.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The step's line.
    pub step: String,
    /// What was recorded; each line ends with LF.
    pub out: String,
}

/// A difference that we want.
#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    name: String,
    reason: String,
    #[serde(default = "anything")]
    scenario: String,
    #[serde(default = "anything")]
    step: String,
    genuine: Option<String>,
    ours: Option<String>,
}

fn anything() -> String {
    ".*".into()
}

#[derive(Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct Page {
    #[serde(default)]
    difference: Vec<Written>,
}

#[derive(Debug)]
struct Wanted {
    name: String,
    scenario: Regex,
    step: Regex,
    genuine: Option<Regex>,
    ours: Option<Regex>,
}

/// All of them.
#[derive(Debug, Default)]
pub struct Differences(Vec<Wanted>);

/// What a comparison found.
#[derive(Debug, Default)]
pub struct Verdict {
    /// The unwanted part, readable; empty when all is well.
    pub diff: String,
    /// Names of the wanted differences that were met.
    pub met: BTreeSet<String>,
}

impl Differences {
    /// Reads the file.
    pub fn load(path: &Path) -> Result<Differences, String> {
        let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
        Differences::parse(&text).map_err(|e| format!("{}: {e}", path.display()))
    }

    /// Reads its text.
    pub fn parse(text: &str) -> Result<Differences, String> {
        let page: Page = toml::from_str(text).map_err(|e| e.to_string())?;
        if page.difference.len() > MOST {
            return Err(format!("{} wanted differences, at most {MOST} are allowed", page.difference.len()));
        }
        page.difference.into_iter().map(Wanted::read).collect::<Result<_, _>>().map(Differences)
    }

    /// Names of all.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.0.iter().map(|w| w.name.as_str())
    }

    /// Compares step by step.
    pub fn compare(&self, scenario: &str, genuine: &[Entry], ours: &[Entry]) -> Verdict {
        let mut verdict = Verdict::default();
        for (at, theirs) in genuine.iter().enumerate() {
            let empty = String::new();
            let out = ours.get(at).map_or(&empty, |e| &e.out);
            if ours.get(at).is_none() {
                verdict.diff.push_str(&format!("step: {}\n  ours did not get here\n", theirs.step));
                break;
            }
            self.compare_step(scenario, theirs, out, &mut verdict);
        }
        verdict
    }

    fn compare_step(&self, scenario: &str, theirs: &Entry, ours: &str, verdict: &mut Verdict) {
        if theirs.out == ours {
            return;
        }
        let wanted: Vec<&Wanted> = self
            .0
            .iter()
            .filter(|w| w.scenario.is_match(scenario) && w.step.is_match(&theirs.step))
            .collect();
        let mut lines = Vec::new();
        for change in TextDiff::from_lines(theirs.out.as_str(), ours).iter_all_changes() {
            let line = change.value().trim_end_matches('\n');
            let fits = |w: &&&Wanted| match change.tag() {
                ChangeTag::Equal => false,
                ChangeTag::Delete => w.genuine.as_ref().is_some_and(|r| r.is_match(line)),
                ChangeTag::Insert => w.ours.as_ref().is_some_and(|r| r.is_match(line)),
            };
            let (mark, known) = match (change.tag(), wanted.iter().find(fits)) {
                (ChangeTag::Equal, _) => ("  ", true),
                (_, Some(w)) => {
                    verdict.met.insert(w.name.clone());
                    ("w ", true)
                }
                (ChangeTag::Delete, None) => ("- ", false),
                (ChangeTag::Insert, None) => ("+ ", false),
            };
            lines.push((format!("  {mark}{line}\n"), known));
        }
        if lines.iter().any(|(_, known)| !known) {
            let text = around(&lines);
            verdict.diff.push_str(&format!("step: {}   (- genuine, + ours, w wanted)\n{text}", theirs.step));
        }
    }
}

/// The lines that are not known, and a few before and behind them.
fn around(lines: &[(String, bool)]) -> String {
    let near = |at: usize| {
        let from = at.saturating_sub(CONTEXT);
        lines.iter().skip(from).take(at - from + CONTEXT + 1).any(|(_, known)| !known)
    };
    let mut out = String::new();
    for (at, (line, _)) in lines.iter().enumerate() {
        match near(at) {
            true => out.push_str(line),
            false if out.ends_with("...\n") => {}
            false => out.push_str("    ...\n"),
        }
    }
    out
}

impl Wanted {
    fn read(from: Written) -> Result<Wanted, String> {
        if from.reason.trim().is_empty() {
            return Err(format!("{}: a reason is missing", from.name));
        }
        if from.genuine.is_none() && from.ours.is_none() {
            return Err(format!("{}: neither `genuine` nor `ours`", from.name));
        }
        // A pattern is about a whole line, so that it does not permit more than it says.
        let whole =
            |text: &str| Regex::new(&format!("^(?:{text})$")).map_err(|e| format!("{}: {e}", from.name));
        Ok(Wanted {
            scenario: whole(&from.scenario)?,
            step: whole(&from.step)?,
            genuine: from.genuine.as_deref().map(whole).transpose()?,
            ours: from.ours.as_deref().map(whole).transpose()?,
            name: from.name,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(step: &str, out: &str) -> Entry {
        Entry { step: step.into(), out: out.into() }
    }

    const PAGE: &str = "[[difference]]\nname='faster'\nreason='because'\nscenario='life-.*'\ngenuine='slow \\d+'\n\
                        ours='fast'\n";

    #[test]
    fn the_same_is_well() {
        let all = [entry("a", "x\n"), entry("b", "y\n")];
        assert_eq!(Differences::default().compare("s", &all, &all).diff, "");
    }

    #[test]
    fn a_seeded_difference_is_found() {
        let theirs = [entry("a", "x\n"), entry("b", "one\ntwo\n")];
        let ours = [entry("a", "x\n"), entry("b", "one\ntoo\n")];
        let diff = Differences::default().compare("s", &theirs, &ours).diff;
        assert_eq!(diff, "step: b   (- genuine, + ours, w wanted)\n    one\n  - two\n  + too\n");
        let diff = Differences::default().compare("s", &theirs, &ours[..1]).diff;
        assert_eq!(diff, "step: b\n  ours did not get here\n");
    }

    #[test]
    fn far_lines_are_left_out() {
        let theirs = [entry("a", "1\n2\n3\n4\n5\n6\n")];
        let ours = [entry("a", "1\n2\n3\n4\n5\n7\n")];
        let diff = Differences::default().compare("s", &theirs, &ours).diff;
        assert!(diff.ends_with("\n    ...\n    3\n    4\n    5\n  - 6\n  + 7\n"), "{diff}");
    }

    #[test]
    fn a_wanted_difference_is_wanted_only_where_it_says() {
        let wanted = Differences::parse(PAGE).unwrap();
        let (theirs, ours) = ([entry("a", "slow 5\nz\n")], [entry("a", "fast\nz\n")]);
        let verdict = wanted.compare("life-one", &theirs, &ours);
        assert_eq!((verdict.diff.as_str(), verdict.met.len()), ("", 1));
        assert_ne!(wanted.compare("rpc-one", &theirs, &ours).diff, "");
        assert_ne!(wanted.compare("life-one", &theirs, &[entry("a", "faster\nz\n")]).diff, "");
        assert_ne!(wanted.compare("life-one", &theirs, &[entry("a", "fast\n")]).diff, "");
    }

    #[test]
    fn the_file_is_strict() {
        assert!(Differences::parse(&PAGE.repeat(16)).unwrap_err().contains("at most 15"));
        assert!(Differences::parse(&PAGE.replace("because", "")).is_err());
        assert!(Differences::parse(&PAGE.replace("genuine", "genuin")).is_err());
        assert!(Differences::parse("[[difference]]\nname='x'\nreason='y'\n").is_err());
    }
}
