//! Looking values up among the lines of a unit and its drop-ins, and noting what is wrong with them.

use super::parse::Line;
use super::specifiers::Specifiers;
use crate::fault::{Fault, Place};
use bstr::BString;

const LATER_HINT: &str = "systemd knows it; here the unit is refused rather than run otherwise than it says";
const REFUSE_HINT: &str =
    "systemd would ignore the line; here the unit is refused rather than run otherwise than it says";

/// The lines of one unit, drop-ins behind the file.
pub(crate) struct Fields<'a> {
    pub(crate) lines: &'a [Line],
    pub(crate) specifiers: &'a Specifiers,
    /// Each refuses the unit.
    pub(crate) errors: Vec<Fault>,
    pub(crate) warnings: Vec<Fault>,
}

impl<'a> Fields<'a> {
    /// The line that counts of a key with one value; `None` when absent or cleared by an empty one.
    pub(crate) fn last(&self, section: &str, key: &str) -> Option<&'a Line> {
        let mut lines = self.lines.iter().rev();
        lines.find(|l| l.section == section && l.key == key).filter(|l| !l.value.is_empty())
    }

    /// The last of several spellings.
    pub(crate) fn last_of(&self, spellings: &[(&str, &str)]) -> Option<&'a Line> {
        let fits = |l: &&Line| spellings.iter().any(|(s, k)| l.section == *s && l.key == *k);
        self.lines.iter().rev().find(fits).filter(|l| !l.value.is_empty())
    }

    /// All lines of a key that adds up; an empty value clears what came before.
    pub(crate) fn all(&self, section: &str, key: &str) -> Vec<&'a Line> {
        let mut out = Vec::new();
        for line in self.lines.iter().filter(|l| l.section == section && l.key == key) {
            if line.value.is_empty() {
                out.clear();
            } else {
                out.push(line);
            }
        }
        out
    }

    /// Notes a reason to refuse the unit.
    pub(crate) fn refuse(&mut self, place: &Place, message: impl Into<String>) {
        self.errors.push(Fault::new(place, message));
    }

    /// Notes a value that cannot be read.
    pub(crate) fn bad(&mut self, line: &Line, why: &str) {
        let fault = Fault::new(&line.place, format!("{}={}: {why}", line.key, line.value));
        self.errors.push(fault.hint(REFUSE_HINT));
    }

    /// The same where systemd refuses the unit as well.
    pub(crate) fn unfit(&mut self, line: &Line, why: &str) {
        self.refuse(&line.place, format!("{}={}: {why}", line.key, line.value));
    }

    /// The value of a line, or the default when there is no line or the value is bad.
    pub(crate) fn parse<T>(
        &mut self,
        line: Option<&Line>,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        let Some(line) = line else { return default };
        match parse(&line.value) {
            Ok(value) => value,
            Err(why) => {
                self.bad(line, &why);
                default
            }
        }
    }

    /// The value of a `[Service]` key, or the default.
    pub(crate) fn get<T>(
        &mut self,
        key: &str,
        default: T,
        parse: impl FnOnce(&str) -> Result<T, String>,
    ) -> T {
        self.parse(self.last("Service", key), default, parse)
    }

    /// Replaces the specifiers in a text.
    pub(crate) fn specify(&mut self, line: &Line, text: &[u8]) -> Option<BString> {
        match self.specifiers.expand(text) {
            Ok((out, unknown)) => {
                for word in unknown {
                    let fault = Fault::new(&line.place, format!("unknown specifier {word} stays as written"));
                    self.warnings.push(fault.hint("write %% for a percent sign"));
                }
                Some(out)
            }
            Err(why) => {
                let fault = Fault::new(&line.place, format!("{}={}: {why}", line.key, line.value));
                self.errors.push(fault.hint(LATER_HINT));
                None
            }
        }
    }

    /// The whole value with specifiers replaced.
    pub(crate) fn text(&mut self, line: Option<&Line>) -> Option<BString> {
        let line = line?;
        self.specify(line, line.value.as_bytes())
    }

    /// The words of a value, quotes and escapes resolved, specifiers replaced.
    pub(crate) fn words(&mut self, line: &Line) -> Vec<BString> {
        match super::words::split(&line.value) {
            Ok((words, bad)) => {
                self.bad_escapes(line, &bad);
                words.iter().filter_map(|w| self.specify(line, &w.text)).collect()
            }
            Err(why) => {
                self.bad(line, &why);
                Vec::new()
            }
        }
    }

    /// Warns of escapes that are none.
    pub(crate) fn bad_escapes(&mut self, line: &Line, bad: &[String]) {
        for escape in bad {
            let fault = Fault::new(&line.place, format!("{escape} is no escape and stays as written"));
            self.warnings.push(fault.hint("write \\\\ for a backslash"));
        }
    }
}

/// `yes true on 1 y t`, `no false off 0 n f`, in any case.
pub(crate) fn boolean(text: &str) -> Result<bool, String> {
    match text.to_ascii_lowercase().as_str() {
        "yes" | "true" | "on" | "1" | "y" | "t" => Ok(true),
        "no" | "false" | "off" | "0" | "n" | "f" => Ok(false),
        _ => Err("expected yes or no".into()),
    }
}

/// A whole number within limits.
pub(crate) fn number(text: &str, least: i64, most: i64) -> Result<i64, String> {
    let n: Option<i64> = text.parse().ok().filter(|n| (least..=most).contains(n));
    n.ok_or_else(|| format!("expected a number from {least} to {most}"))
}
