//! The names that a twin must cover: every method, event, command and trap of the contract.

use super::scenario::Scenario;
use std::collections::BTreeSet;
use std::path::Path;

/// Fewer scenarios than this are not a comparison.
const FEWEST: usize = 150;

/// Kinds of names in the list. A `covers:` that begins otherwise is a section's number and a remark.
const KINDS: [&str; 4] = ["rpc ", "event ", "ctl ", "trap "];

/// The names in the file: one a line, `#` begins a remark.
pub fn load(path: &Path) -> Result<BTreeSet<String>, String> {
    let text = std::fs::read_to_string(path).map_err(|e| format!("{}: {e}", path.display()))?;
    let lines = text.lines().map(|l| l.split('#').next().unwrap_or_default().trim());
    Ok(lines.filter(|l| !l.is_empty()).map(str::to_string).collect())
}

/// All findings; empty when the scenarios cover what they must.
pub fn check(names: &BTreeSet<String>, scenarios: &[Scenario]) -> Vec<String> {
    let covered: BTreeSet<&str> = scenarios.iter().flat_map(|s| &s.covers).map(String::as_str).collect();
    let mut findings: Vec<String> = names
        .iter()
        .filter(|n| !covered.contains(n.as_str()))
        .map(|n| format!("no twin covers {n:?}"))
        .collect();
    for scenario in scenarios {
        for cover in &scenario.covers {
            let section = cover.split(' ').next().is_some_and(|n| n.parse::<u8>().is_ok());
            let known =
                if KINDS.iter().any(|k| cover.starts_with(k)) { names.contains(cover) } else { section };
            if !known {
                findings.push(format!(
                    "{}: {} covers {cover:?}, which nobody asks for",
                    scenario.place, scenario.name
                ));
            }
        }
    }
    if scenarios.len() < FEWEST {
        findings.push(format!("{} scenarios, at least {FEWEST} are wanted", scenarios.len()));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::twin::scenario::parse;

    #[test]
    fn what_is_missing_and_what_is_unknown() {
        let names: BTreeSet<String> = ["rpc a", "ctl b"].map(String::from).into();
        let scenarios = parse("f", "== x\ncovers: rpc a; 5 life; rpc c; what\nstart\n").unwrap();
        let findings = check(&names, &scenarios).join("\n");
        assert!(findings.contains("no twin covers \"ctl b\""));
        assert!(findings.contains("covers \"rpc c\"") && findings.contains("covers \"what\""));
        assert!(!findings.contains("5 life") && !findings.contains("no twin covers \"rpc a\""));
        assert!(findings.contains("1 scenarios, at least 150"));
    }
}
