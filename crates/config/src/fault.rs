//! A place in a file, and what is wrong there, before it is known how much it matters.

use crate::model::{Finding, Severity, place_text};
use bstr::BString;
use std::sync::Arc;

/// A place in a file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The file.
    pub(crate) file: Arc<BString>,
    /// Line from 1; 0 the whole file.
    pub(crate) line: u32,
    /// Column from 1; 0 unknown.
    pub(crate) column: u32,
}

impl Place {
    /// The file as a whole.
    pub(crate) fn whole(file: &Arc<BString>) -> Place {
        Place { file: file.clone(), line: 0, column: 0 }
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&place_text(&self.file, self.line, self.column))
    }
}

/// Something wrong at a place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    /// Where.
    pub(crate) place: Place,
    /// One sentence.
    pub(crate) message: String,
    /// What to do about it.
    pub(crate) hint: Option<String>,
}

impl Fault {
    /// A fault without a hint.
    pub(crate) fn new(place: &Place, message: impl Into<String>) -> Fault {
        Fault { place: place.clone(), message: message.into(), hint: None }
    }

    /// The same with a hint.
    pub(crate) fn hint(mut self, hint: impl Into<String>) -> Fault {
        self.hint = Some(hint.into());
        self
    }

    /// The reason shown for a unit that is refused because of it.
    pub(crate) fn reason(&self) -> String {
        format!("{}: {}", self.place, self.message)
    }

    /// As a finding.
    pub(crate) fn finding(self, severity: Severity, program: Option<&str>) -> Finding {
        Finding {
            severity,
            file: self.place.file.as_ref().clone(),
            line: self.place.line,
            column: self.place.column,
            message: self.message,
            hint: self.hint,
            program: program.map(str::to_string),
        }
    }
}

/// The known word nearest to a misspelt one, when it is near enough to be meant.
pub(crate) fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let lower = word.to_lowercase();
    let allowed = (word.chars().count() / 3).clamp(1, 3);
    // Words of very different length cannot be near; comparing a huge one would cost its square.
    let length = lower.chars().count();
    known
        .into_iter()
        .filter(|k| k.chars().count().abs_diff(length) <= allowed)
        .map(|k| (strsim::damerau_levenshtein(&lower, &k.to_lowercase()), k))
        .filter(|(distance, _)| *distance <= allowed)
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, k)| k)
}

/// "did you mean X?", for [`nearest`].
pub(crate) fn did_you_mean<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<String> {
    nearest(word, known).map(|k| format!("did you mean `{k}`?"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_words() {
        let known = ["autostart", "autorestart", "command", "user"];
        assert_eq!(nearest("autostrat", known), Some("autostart"));
        assert_eq!(nearest("comand", known), Some("command"));
        assert_eq!(nearest("usr", known), Some("user"));
        assert_eq!(nearest("environment", known), None);
    }
}
