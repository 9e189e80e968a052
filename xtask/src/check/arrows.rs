//! The arrows between crates: exactly those of ARCHITECTURE.md, and none from the product to its tools.

use crate::{Outcome, sh};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};

/// Crate, and the crates of this workspace that it uses. What is not listed is not allowed, and what is listed
/// and not there is no longer true: both are findings.
const ARROWS: [(&str, &[&str]); 11] = [
    ("supers-core", &[]),
    ("supers-config", &["supers-core"]),
    ("supers-os", &["supers-core"]),
    ("supers-keeper", &["supers-os"]),
    ("supers-engine", &["supers-config", "supers-core", "supers-os"]),
    ("supers-api", &["supers-config", "supers-core"]),
    (
        "supers",
        &["supers-api", "supers-config", "supers-core", "supers-engine", "supers-keeper", "supers-os"],
    ),
    ("supers-testkit", &[]),
    ("supers-examples", &[]),
    ("supers-fuzz", &["supers-api", "supers-config", "supers-core", "supers-engine"]),
    ("xtask", &["supers-testkit"]),
];

/// What tests of any crate may use besides.
const FOR_TESTS: [&str; 1] = ["supers-testkit"];

pub(super) fn check() -> Outcome {
    let findings = findings(&sh::metadata()?);
    match findings.is_empty() {
        true => Ok(()),
        false => Err(findings.join("\n")),
    }
}

fn findings(meta: &Value) -> Vec<String> {
    let wanted: BTreeMap<&str, BTreeSet<&str>> =
        ARROWS.iter().map(|(name, uses)| (*name, uses.iter().copied().collect())).collect();
    let mut findings = Vec::new();
    for package in meta["packages"].as_array().into_iter().flatten() {
        let name = package["name"].as_str().unwrap_or_default();
        let Some(wanted_here) = wanted.get(name) else {
            findings.push(format!("{name} is no crate of ARCHITECTURE.md"));
            continue;
        };
        let uses = |kinds: &[Option<&str>]| -> BTreeSet<&str> {
            let rows = package["dependencies"].as_array().into_iter().flatten();
            let rows = rows.filter(|d| kinds.contains(&d["kind"].as_str()));
            rows.filter_map(|d| d["name"].as_str()).filter(|d| wanted.contains_key(d)).collect()
        };
        let real = uses(&[None, Some("build")]);
        findings.extend(real.difference(wanted_here).map(|to| format!("{name} must not use {to}")));
        findings.extend(wanted_here.difference(&real).map(|to| format!("{name} does not use {to} any more")));
        let tests = uses(&[Some("dev")]);
        let allowed = |to: &&&str| !FOR_TESTS.contains(*to) && !wanted_here.contains(**to);
        findings.extend(tests.iter().filter(allowed).map(|to| format!("tests of {name} must not use {to}")));
    }
    findings
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn package(name: &str, uses: &[(&str, Option<&str>)]) -> Value {
        let uses: Vec<Value> = uses.iter().map(|(n, k)| json!({ "name": n, "kind": k })).collect();
        json!({ "name": name, "dependencies": uses })
    }

    #[test]
    fn what_is_found() {
        let meta = json!({ "packages": [
            package("supers-core", &[("serde", None), ("supers-testkit", Some("dev"))]),
            package("supers-keeper", &[("supers-os", None), ("supers-engine", None)]),
            package("supers-api", &[("supers-core", None), ("supers-engine", Some("dev"))]),
            package("stranger", &[]),
        ] });
        assert_eq!(
            findings(&meta),
            [
                "supers-keeper must not use supers-engine",
                "supers-api does not use supers-config any more",
                "tests of supers-api must not use supers-engine",
                "stranger is no crate of ARCHITECTURE.md",
            ]
        );
    }
}
