//! What both directions share while a program is being translated.

use super::nature::Nature;
use std::collections::BTreeSet;
use supers_core::signal::Signal;
use supers_core::spec::{Directory, RestartPolicy, Retry, Spec, StartLimit};

/// A key that cannot be said in the other dialect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Refusal {
    /// The key of the source.
    pub(super) key: &'static str,
    /// The rest of the sentence that begins with the key.
    pub(super) why: String,
    /// What to do about it.
    pub(super) hint: Option<&'static str>,
}

/// A program on its way: the spec that the text must lower to, and the text so far.
pub(super) struct Draft {
    /// What the text must mean: the target's own defaults, with all that was carried over.
    pub(super) spec: Spec,
    /// Lines of `[Unit]`.
    pub(super) unit: Vec<String>,
    /// Lines of `[Service]`, or of the INI section.
    pub(super) lines: Vec<String>,
    pub(super) notes: BTreeSet<Nature>,
    pub(super) refused: Vec<Refusal>,
}

impl Draft {
    /// Begins with the defaults of the target.
    pub(super) fn new(target: &Spec) -> Draft {
        Draft {
            spec: target.clone(),
            unit: Vec::new(),
            lines: Vec::new(),
            notes: BTreeSet::new(),
            refused: Vec::new(),
        }
    }

    pub(super) fn line(&mut self, text: impl Into<String>) {
        self.lines.push(text.into());
    }

    pub(super) fn note(&mut self, nature: Nature) {
        self.notes.insert(nature);
    }

    pub(super) fn refuse(&mut self, key: &'static str, why: impl Into<String>) {
        self.refused.push(Refusal { key, why: why.into(), hint: None });
    }

    pub(super) fn refuse_with(&mut self, key: &'static str, why: impl Into<String>, hint: &'static str) {
        self.refused.push(Refusal { key, why: why.into(), hint: Some(hint) });
    }

    /// A value that the target cannot say: passed when it is what the target does anyhow.
    pub(super) fn fixed<T: PartialEq>(&mut self, key: &'static str, value: &T, target: &T, why: &str) {
        if value != target {
            self.refuse(key, why);
        }
    }

    /// The same for values that each dialect has its own of.
    pub(super) fn natural<T: PartialEq>(&mut self, nature: Nature, value: &T, target: &T) {
        if value != target {
            self.note(nature);
        }
    }

    /// Takes a folder over as it is.
    pub(super) fn folder(&mut self, path: &[u8]) {
        self.spec.context.directory = Some(Directory { path: path.into(), optional: false });
    }
}

/// Text that stands on one line as it is: UTF-8 without control characters, and without blanks or a
/// backslash where a parser takes them away.
pub(super) fn one_line(text: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(text).ok()?;
    let tidy = text.trim() == text && !text.ends_with('\\') && !text.chars().any(char::is_control);
    tidy.then_some(text)
}

/// A signal as both dialects read it: most real-time signals have no name.
pub(super) fn signal_text(signal: Signal) -> String {
    let name = signal.to_string();
    if Signal::parse(&name) == Some(signal) { name } else { signal.number().to_string() }
}

/// The start limit that gives up after as many ends within `startsecs` as the tries of a policy; `None`
/// when it never gives up, or nothing is too quick for it.
pub(super) fn quick_ends(policy: &RestartPolicy) -> Option<StartLimit> {
    let Some(Retry { limit: Some(retries), curve: _ }) = policy.retry else { return None };
    let burst = retries.saturating_add(1);
    let interval = policy.startsecs.saturating_mul(burst);
    (!interval.is_zero()).then_some(StartLimit { burst, interval })
}
