//! Checks across all programs, whatever dialect they came from: names used twice, circles in the
//! order of starts, requirements that nothing provides.

use crate::fault::{Fault, Place, did_you_mean, nearest};
use crate::load::{InForce, Personality};
use crate::model::{Finding, Program, Severity};
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use supers_core::spec::Spec;

/// A unit, and where its relations stand in its file.
#[derive(Clone, Debug)]
pub(crate) struct Candidate {
    pub(crate) program: Program,
    /// Where `Requires=` stands.
    pub(crate) requires: Option<Place>,
    /// Where `After=` or `Before=` stands.
    pub(crate) order: Option<Place>,
}

impl Candidate {
    /// A unit without relations.
    pub(crate) fn plain(program: Program) -> Candidate {
        Candidate { program, requires: None, order: None }
    }

    fn spec(&self) -> &Spec {
        &self.program.spec
    }

    fn place(&self) -> Place {
        let about = &self.program.about;
        Place { file: Arc::new(about.file.clone()), line: about.line, column: 0 }
    }

    /// Refuses the unit, unless it is refused already.
    fn refuse(&mut self, fault: &Fault) {
        let spec = Arc::make_mut(&mut self.program.spec);
        spec.refused.get_or_insert_with(|| fault.reason());
    }
}

/// Names that systemd reaches at boot, written without `.target`.
pub(crate) const REACHED: [&str; 27] = [
    "network",
    "network-online",
    "network-pre",
    "sysinit",
    "basic",
    "multi-user",
    "default",
    "graphical",
    "local-fs",
    "remote-fs",
    "sockets",
    "time-sync",
    "nss-lookup",
    "nss-user-lookup",
    "timers",
    "paths",
    "shutdown",
    "local-fs-pre",
    "remote-fs-pre",
    "swap",
    "slices",
    "cryptsetup",
    "getty",
    "rpcbind",
    "time-set",
    "umount",
    "first-boot-complete",
];

/// Does all checks; refused units stay in the list with their reason, doubles are taken out.
pub(crate) fn check(
    units: &mut Vec<Candidate>,
    personality: Personality,
    in_force: &InForce,
) -> Vec<Finding> {
    let mut findings = Vec::new();
    doubles(units, in_force, &mut findings);
    if personality == Personality::Supervisord {
        // A group may name a program twice.
        findings.clear();
    }
    aliases(units);
    requirements(units, &mut findings);
    circles(units, &mut findings);
    findings
}

/// Of two units with one name the one counts whose file is in force, so that a file added by mistake disturbs
/// nothing; where none is, the first.
fn doubles(units: &mut Vec<Candidate>, in_force: &InForce, findings: &mut Vec<Finding>) {
    let key = |unit: &Candidate| (unit.spec().group.clone(), unit.spec().name.clone());
    let is_in_force = |unit: &Candidate| {
        let file = in_force.get(&unit.spec().program);
        file.is_some_and(|file| unit.program.about.file == file.as_bytes())
    };
    let mut counts: BTreeMap<(String, String), (usize, Place, bool)> = BTreeMap::new();
    for (index, unit) in units.iter().enumerate() {
        let this = (index, unit.place(), is_in_force(unit));
        match counts.entry(key(unit)) {
            Entry::Occupied(mut other) if this.2 && !other.get().2 => drop(other.insert(this)),
            Entry::Occupied(_) => {}
            Entry::Vacant(free) => drop(free.insert(this)),
        }
    }
    let mut index = 0..;
    units.retain(|unit| {
        let index = index.next();
        let Some((winner, other, _)) = counts.get(&key(unit)) else { return true };
        if index == Some(*winner) {
            return true;
        }
        let name = unit.spec().full_name();
        let text = format!("the name {name} is used twice: here and at {other}; only the latter counts");
        let fault = Fault::new(&unit.place(), text).hint("give one of them another name");
        findings.push(fault.finding(Severity::Error, Some(&name)));
        false
    });
}

/// Relations to a unit under its second name become relations to the unit. A unit that really has the
/// name goes first, then the first that asks for it.
fn aliases(units: &mut [Candidate]) {
    let mut real: BTreeMap<String, String> = BTreeMap::new();
    for unit in units.iter() {
        for alias in &unit.program.about.aliases {
            real.entry(alias.clone()).or_insert_with(|| unit.spec().name.clone());
        }
    }
    real.retain(|alias, _| !units.iter().any(|u| u.spec().name == *alias || u.spec().full_name() == *alias));
    if real.is_empty() {
        return;
    }
    for unit in units {
        let own = unit.spec().name.clone();
        let mut order = (*unit.spec().order).clone();
        for names in [&mut order.after, &mut order.before, &mut order.requires, &mut order.wants] {
            let mut seen = BTreeSet::new();
            let given = std::mem::take(names);
            names.extend(given.into_iter().map(|n| real.get(&n).cloned().unwrap_or(n)));
            names.retain(|n| *n != own && seen.insert(n.clone()));
        }
        if order != *unit.spec().order {
            Arc::make_mut(&mut unit.program.spec).order = order.into();
        }
    }
}

/// A requirement that nothing provides can never be met: the unit is refused now, by name.
fn requirements(units: &mut [Candidate], findings: &mut Vec<Finding>) {
    let known: BTreeSet<String> =
        units.iter().flat_map(|u| [u.spec().name.clone(), u.spec().full_name()]).collect();
    for unit in units {
        let is_missing = |n: &&String| !known.contains(*n) && !REACHED.contains(&n.as_str());
        let missing: Vec<String> = unit.spec().order.requires.iter().filter(is_missing).cloned().collect();
        let place = unit.requires.clone().unwrap_or_else(|| unit.place());
        for name in missing {
            let mut fault = Fault::new(&place, format!("requires {name}, and there is no such unit"));
            fault.hint = did_you_mean(&name, known.iter().map(String::as_str));
            if fault.hint.is_none() {
                fault.hint = Some(format!("add {name}.service, or use Wants= if it may be absent"));
            }
            unit.refuse(&fault);
            let own = unit.spec().name.clone();
            findings.push(fault.finding(Severity::Error, Some(&own)));
        }
        suspicious_order(unit, &known, findings);
    }
}

/// An unknown name in `After=` counts as reached; one that is nearly a known name is worth a word.
fn suspicious_order(unit: &Candidate, known: &BTreeSet<String>, findings: &mut Vec<Finding>) {
    let Some(place) = &unit.order else { return };
    for name in unit.spec().order.after.iter().chain(&unit.spec().order.before) {
        if known.contains(name) || REACHED.contains(&name.as_str()) || name.len() < 5 {
            continue;
        }
        let near = nearest(name, known.iter().map(String::as_str).filter(|k| *k != unit.spec().name));
        if let Some(near) = near.filter(|n| strsim::damerau_levenshtein(n, name) == 1) {
            let fault = Fault::new(place, format!("there is no unit {name}; it counts as reached"));
            let fault = fault.hint(format!("did you mean `{near}`?"));
            findings.push(fault.finding(Severity::Warning, Some(&unit.spec().name)));
        }
    }
}

/// Finds circles in the order of starts; every unit on one is refused.
fn circles(units: &mut [Candidate], findings: &mut Vec<Finding>) {
    let after = after_edges(units);
    let mut said: BTreeSet<String> = BTreeSet::new();
    for start in on_or_between_circles(&after) {
        let Some(mut path) = way_back(&after, start) else { continue };
        // The same circle reads the same whichever of its units is looked at.
        let least =
            path.iter().enumerate().min_by_key(|(_, i)| &units[**i].spec().name).map_or(0, |(n, _)| n);
        path.rotate_left(least);
        path.extend(path.first().copied());
        let names: Vec<&str> = path.iter().map(|i| units[*i].spec().name.as_str()).collect();
        let text = format!("dependency cycle: {}", names.join(" -> "));
        let unit = &mut units[start];
        let place = unit.order.clone().unwrap_or_else(|| unit.place());
        let fault = Fault::new(&place, text.clone()).hint("take one of the After= or Before= lines out");
        unit.refuse(&fault);
        if said.insert(text) {
            let name = unit.spec().name.clone();
            findings.push(fault.finding(Severity::Error, Some(&name)));
        }
    }
}

/// For each unit those that start before it, by index.
fn after_edges(units: &[Candidate]) -> Vec<BTreeSet<usize>> {
    let mut by_name: BTreeMap<String, usize> = BTreeMap::new();
    for (i, unit) in units.iter().enumerate() {
        by_name.entry(unit.spec().full_name()).or_insert(i);
        by_name.entry(unit.spec().name.clone()).or_insert(i);
    }
    let mut after = vec![BTreeSet::new(); units.len()];
    for (i, unit) in units.iter().enumerate() {
        let order = &unit.spec().order;
        after[i].extend(order.after.iter().filter_map(|n| by_name.get(n)).filter(|j| **j != i));
        for j in order.before.iter().filter_map(|n| by_name.get(n)).filter(|j| **j != i) {
            after[*j].insert(i);
        }
    }
    after
}

/// What is left when all units that nothing waits for, or that wait for nothing, are taken away again
/// and again: each unit on a circle, and few others.
fn on_or_between_circles(after: &[BTreeSet<usize>]) -> Vec<usize> {
    let mut before = vec![BTreeSet::new(); after.len()];
    for (i, those) in after.iter().enumerate() {
        for j in those {
            before[*j].insert(i);
        }
    }
    let mut left = after.to_vec();
    let mut gone = vec![false; after.len()];
    let mut queue: VecDeque<usize> = (0..after.len()).collect();
    while let Some(i) = queue.pop_front() {
        if gone[i] || !(left[i].is_empty() || before[i].is_empty()) {
            continue;
        }
        gone[i] = true;
        for j in std::mem::take(&mut left[i]) {
            before[j].remove(&i);
            queue.push_back(j);
        }
        for j in std::mem::take(&mut before[i]) {
            left[j].remove(&i);
            queue.push_back(j);
        }
    }
    (0..after.len()).filter(|i| !gone[*i]).collect()
}

/// The shortest way from a unit back to itself, the unit first, without its repetition at the end.
fn way_back(after: &[BTreeSet<usize>], start: usize) -> Option<Vec<usize>> {
    let mut from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(i) = queue.pop_front() {
        for j in &after[i] {
            if *j == start {
                let mut path = vec![i];
                let mut at = i;
                while at != start {
                    at = *from.get(&at)?;
                    path.push(at);
                }
                path.reverse();
                return Some(path);
            }
            if let Entry::Vacant(slot) = from.entry(*j) {
                slot.insert(i);
                queue.push_back(*j);
            }
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::About;

    fn unit(name: &str, after: &[&str], requires: &[&str]) -> Candidate {
        let mut spec = Spec::new(name);
        spec.order.after = after.iter().map(|s| s.to_string()).collect();
        spec.order.requires = requires.iter().map(|s| s.to_string()).collect();
        let about = About { file: format!("{name}.service").into(), line: 1, ..About::default() };
        Candidate::plain(Program { spec: Arc::new(spec), about })
    }

    fn run(units: &mut Vec<Candidate>) -> Vec<String> {
        check(units, Personality::Superd, &InForce::new()).iter().map(|f| f.message.clone()).collect()
    }

    fn refused(units: &[Candidate]) -> Vec<&str> {
        units.iter().filter(|u| u.spec().refused.is_some()).map(|u| u.spec().name.as_str()).collect()
    }

    #[test]
    fn circles_are_printed_as_paths_and_only_their_units_are_refused() {
        let mut units = vec![
            unit("c", &["a"], &[]),
            unit("a", &["b"], &[]),
            unit("b", &["c"], &[]),
            unit("d", &["a"], &[]),
            unit("e", &[], &[]),
        ];
        units[4].program.spec = Arc::new({
            let mut s = Spec::new("e");
            s.order.before = vec!["b".into()];
            s
        });
        assert_eq!(run(&mut units), ["dependency cycle: a -> b -> c -> a"]);
        assert_eq!(refused(&units), ["c", "a", "b"]);
    }

    #[test]
    fn before_counts_and_a_unit_between_two_circles_is_not_on_one() {
        let mut units = vec![
            unit("a", &["b"], &[]),
            unit("b", &["a", "m"], &[]),
            unit("m", &["x"], &[]),
            unit("x", &["y"], &[]),
            unit("y", &[], &[]),
        ];
        let mut y = Spec::new("y");
        y.order.after = vec!["x".into()];
        units[4].program.spec = Arc::new(y);
        let said = run(&mut units);
        assert_eq!(said, ["dependency cycle: a -> b -> a", "dependency cycle: x -> y -> x"]);
        assert_eq!(refused(&units), ["a", "b", "x", "y"]);
    }

    #[test]
    fn a_long_chain_is_no_circle() {
        let mut units: Vec<Candidate> =
            (0..3000).map(|i| unit(&format!("u{i}"), &[&format!("u{}", i + 1)], &[])).collect();
        assert_eq!(run(&mut units), Vec::<String>::new());
    }

    #[test]
    fn requirements_must_exist() {
        let mut units =
            vec![unit("web", &["network"], &["redsi", "network-online"]), unit("redis", &[], &[])];
        let findings = check(&mut units, Personality::Superd, &InForce::new());
        assert_eq!(findings[0].message, "requires redsi, and there is no such unit");
        assert_eq!(findings[0].hint.as_deref(), Some("did you mean `redis`?"));
        assert_eq!((findings.len(), refused(&units)), (1, vec!["web"]));
    }

    #[test]
    fn of_two_with_one_name_the_first_runs() {
        let mut units = vec![unit("web", &[], &[]), unit("web", &[], &[])];
        let findings = check(&mut units, Personality::Superd, &InForce::new());
        assert_eq!(units.len(), 1);
        assert!(findings[0].message.contains("used twice: here and at web.service:1"), "{findings:?}");
        assert_eq!(refused(&units), Vec::<&str>::new());
    }

    #[test]
    fn of_two_with_one_name_the_one_in_force_goes_on() {
        let stray = || {
            let mut stray = unit("web", &[], &[]);
            stray.program.about.file = "a.conf".into();
            stray
        };
        for in_force in ["web.service", "a.conf", "gone.service"] {
            let mut units = vec![unit("db", &[], &[]), stray(), unit("web", &[], &[])];
            let known = InForce::from([("web".into(), in_force.into())]);
            let findings = check(&mut units, Personality::Superd, &known);
            let files: Vec<String> = units.iter().map(|u| u.program.about.file.to_string()).collect();
            let (counts, not) =
                if in_force == "web.service" { ("web.service", "a.conf") } else { ("a.conf", "web.service") };
            assert_eq!(files, ["db.service", counts]);
            assert_eq!((findings.len(), findings[0].file.to_string().as_str()), (1, not));
            assert!(findings[0].message.contains(&format!("here and at {counts}:1")), "{findings:?}");
        }
    }
}
