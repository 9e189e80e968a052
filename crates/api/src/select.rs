//! Names people type, resolved against the views of a status; the same rules as
//! [`supers_core::fleet::select`] has for orders.

use supers_core::control::{Outcome, Refusal, Verb};
use supers_core::fleet::glob;
use supers_core::snapshot::ProgramView;

/// The name may stand for several units, so the answer is a list.
pub fn is_pattern(name: &str) -> bool {
    name == "all" || name.ends_with(':') || name.contains(['*', '?', '['])
}

/// The programs that `name` stands for, in the order of the list.
pub fn select<'a, 'p>(programs: &'a [ProgramView<'p>], name: &str) -> Vec<&'a ProgramView<'p>> {
    let all = |wanted: &dyn Fn(&ProgramView<'p>) -> bool| programs.iter().filter(|p| wanted(p)).collect();
    if name == "all" {
        return programs.iter().collect();
    }
    let bare = name.strip_suffix(".service").unwrap_or(name);
    for exact in [name, bare] {
        if let Some(p) = programs.iter().find(|p| p.is_called(exact)) {
            return vec![p];
        }
    }
    if let Some(group) = bare.strip_suffix(":*").or(bare.strip_suffix(':')) {
        return all(&|p| p.group == group);
    }
    if bare.contains(['*', '?', '[']) {
        return all(&|p| glob(bare, &p.full_name()) || glob(bare, &p.name));
    }
    let by_name: Vec<&ProgramView<'p>> = all(&|p| p.name == bare);
    if by_name.len() == 1 { by_name } else { all(&|p| p.group == bare) }
}

trait Called {
    fn is_called(&self, full_name: &str) -> bool;
}

impl Called for ProgramView<'_> {
    /// Compares with the full name without building it.
    fn is_called(&self, full_name: &str) -> bool {
        match full_name.split_once(':') {
            _ if self.name == self.group => self.name == full_name,
            Some((group, name)) => self.group == group && self.name == name,
            None => false,
        }
    }
}

/// The refusal for a name that stands for nothing, with the nearest name as its hint.
pub fn unknown(programs: &[ProgramView<'_>], name: &str) -> Refusal {
    let limit = (name.chars().count() / 3).clamp(1, 3);
    let distance = |p: &ProgramView<'_>| {
        let to = |known: &str| strsim::damerau_levenshtein(name, known);
        to(&p.full_name()).min(to(&p.name))
    };
    let near = programs.iter().map(|p| (distance(p), p)).filter(|n| n.0 <= limit).min_by_key(|n| n.0);
    Refusal::UnknownName {
        name: name.into(),
        hint: near.map(|(_, p)| format!("did you mean {}?", p.full_name())),
    }
}

/// What a row means for who asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// It is as wanted.
    Done,
    /// The order was taken and not waited for.
    Taken,
    /// It needs a running program and that is none.
    NotRunning,
    /// It did not come to what was wanted, or not in time.
    Failed,
}

/// Judges the outcome of an order for one unit.
pub fn verdict(verb: Verb, outcome: Outcome) -> Verdict {
    match outcome {
        Outcome::Started
        | Outcome::AlreadyRunning
        | Outcome::Stopped
        | Outcome::Restarted
        | Outcome::Signalled
        | Outcome::Reloaded => Verdict::Done,
        // Who wants it down has what he wants.
        Outcome::NotRunning if verb == Verb::Stop => Verdict::Done,
        Outcome::NotRunning => Verdict::NotRunning,
        Outcome::Accepted => Verdict::Taken,
        Outcome::Failed | Outcome::Superseded | Outcome::TimedOut => Verdict::Failed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn view(group: &str, name: &str) -> ProgramView<'static> {
        let own = |text: &str| text.to_owned().into();
        ProgramView { group: own(group), name: own(name), ..ProgramView::default() }
    }

    #[test]
    fn names() {
        let list = [view("db", "db"), view("shop", "cart"), view("shop", "web"), view("x", "web")];
        for (name, want) in [
            ("db", "db"),
            ("db.service", "db"),
            ("shop:web", "shop:web"),
            ("shop:*", "shop:cart shop:web"),
            ("shop:", "shop:cart shop:web"),
            ("shop", "shop:cart shop:web"),
            ("cart", "shop:cart"),
            ("web", ""),
            ("w*", "shop:web x:web"),
            ("all", "db shop:cart shop:web x:web"),
            ("shop:db", ""),
            ("db:db", ""),
            ("nope", ""),
        ] {
            let found: Vec<_> = select(&list, name).iter().map(|p| p.full_name()).collect();
            assert_eq!(found.join(" "), want, "{name}");
        }
        assert_eq!(unknown(&list, "bd").to_string(), "no program is called \"bd\"; did you mean db?");
        assert_eq!(unknown(&list, "elephant").to_string(), "no program is called \"elephant\"");
        assert!(is_pattern("all") && is_pattern("g:*") && is_pattern("g:") && !is_pattern("g:a"));
    }

    #[test]
    fn verdicts() {
        assert_eq!(verdict(Verb::Stop, Outcome::NotRunning), Verdict::Done);
        assert_eq!(verdict(Verb::Signal(1), Outcome::NotRunning), Verdict::NotRunning);
        assert_eq!(verdict(Verb::Start, Outcome::Accepted), Verdict::Taken);
        assert_eq!(verdict(Verb::Start, Outcome::TimedOut), Verdict::Failed);
    }
}
