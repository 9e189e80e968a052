//! `%(name)s` in a value: Python's formatting of a whole value with a table of names
//! (supervisor-contract 2).

use bstr::{BStr, BString, ByteSlice, ByteVec};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

/// What a name stands for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Var {
    /// A text.
    Text(BString),
    /// A number, so that `%(process_num)02d` works.
    Number(i64),
}

/// The names that may be used in a value; `here` is always among them.
#[derive(Clone, Debug, Default)]
pub(crate) struct Scope {
    /// What all sections have in common; kept once, since there are thousands of sections and of names.
    common: Arc<BTreeMap<BString, Var>>,
    /// What was added since; a name here hides the same in `common`.
    own: Vec<(BString, Var)>,
    /// `here` is not said to be there: the ancestor does not have it everywhere.
    here_is_a_secret: bool,
    /// One `%s` without a name is no error.
    lone_s: bool,
}

impl Scope {
    /// `ENV_X` for each variable.
    pub(crate) fn of_env(env: &[(BString, BString)]) -> Scope {
        let var = |(key, value): &(BString, BString)| (env_name(key), Var::Text(value.clone()));
        Scope { common: Arc::new(env.iter().map(var).collect()), ..Scope::default() }
    }

    /// Adds `ENV_X` for each variable.
    pub(crate) fn add_env(&mut self, env: &[(BString, BString)]) {
        for (key, value) in env {
            self.put(env_name(key), Var::Text(value.clone()));
        }
    }

    fn put(&mut self, name: BString, var: Var) {
        self.own.retain(|(known, _)| *known != name);
        self.own.push((name, var));
    }

    /// The same with one more text.
    pub(crate) fn text(mut self, name: &str, value: impl Into<BString>) -> Scope {
        self.put(name.into(), Var::Text(value.into()));
        self
    }

    /// The same with one more number.
    pub(crate) fn number(mut self, name: &str, value: i64) -> Scope {
        self.put(name.into(), Var::Number(value));
        self
    }

    /// The same by the ancestor's rules, which let one `%s` without a name pass. It puts the whole table of
    /// names there; who writes `date +%s` wants it to stay.
    pub(crate) fn with_lone_s(mut self) -> Scope {
        self.lone_s = true;
        self
    }

    /// The same for a key in which the ancestor does not know `here`.
    pub(crate) fn hide_here(mut self) -> Scope {
        self.here_is_a_secret = true;
        self
    }

    fn names(&self) -> String {
        let own = self.own.iter().map(|(name, _)| name);
        let mut names: BTreeSet<String> = self.common.keys().chain(own).map(ToString::to_string).collect();
        names.extend((!self.here_is_a_secret).then(|| "here".into()));
        names.into_iter().collect::<Vec<String>>().join(", ")
    }

    fn get(&self, name: &str, here: &BStr) -> Option<Var> {
        match name {
            "here" => Some(Var::Text(here.into())),
            _ => {
                let own = self.own.iter().find(|(known, _)| known == name).map(|(_, var)| var);
                own.or_else(|| self.common.get(name.as_bytes().as_bstr())).cloned()
            }
        }
    }
}

fn env_name(variable: &BString) -> BString {
    [b"ENV_", variable.as_slice()].concat().into()
}

/// One `%` directive, taken apart.
struct Directive<'a> {
    name: &'a str,
    minus: bool,
    zero: bool,
    plus: bool,
    blank: bool,
    alternate: bool,
    width: usize,
    precision: Option<usize>,
    kind: char,
}

/// Widest padding; a file that asks for more has a slip of the finger in it.
const MAX_WIDTH: usize = 1024;

/// Expands one value. `here` is the folder of the file that holds it; `name` is `section.key`, for the
/// message.
pub(crate) fn expand(value: &str, scope: &Scope, here: &BStr, name: &str) -> Result<BString, String> {
    let mut out = BString::default();
    let mut rest = value;
    let mut lone_s = scope.lone_s;
    while let Some(at) = rest.find('%') {
        out.push_str(&rest[..at]);
        rest = &rest[at + 1..];
        if let Some(after) = rest.strip_prefix('%') {
            out.push(b'%');
            rest = after;
            continue;
        }
        if lone_s && let Some(after) = rest.strip_prefix('s') {
            lone_s = false;
            out.push_str("%s");
            rest = after;
            continue;
        }
        let (directive, after) = directive(rest).map_err(|why| badly(value, name, &why))?;
        let Some(var) = scope.get(directive.name, here) else {
            return Err(format!(
                "Format string {} for {} contains names ({}) which cannot be expanded. Available names: {}",
                py_repr(value),
                py_repr(name),
                py_repr(directive.name),
                scope.names()
            ));
        };
        // Where the letter of the directive stands, counted as Python does.
        let at = value[..value.len() - after.len()].chars().count() - 1;
        out.push_str(format_one(&directive, &var, at).map_err(|why| badly(value, name, &why))?);
        rest = after;
    }
    out.push_str(rest);
    Ok(out)
}

fn badly(value: &str, name: &str, why: &str) -> String {
    format!("Format string {} for {} is badly formatted: {why}", py_repr(value), py_repr(name))
}

/// Takes what follows a `%` apart.
fn directive(text: &str) -> Result<(Directive<'_>, &str), String> {
    let Some(inside) = text.strip_prefix('(') else {
        return Err(if text.is_empty() {
            "incomplete format"
        } else {
            "not enough arguments for format string"
        }
        .into());
    };
    let Some(end) = inside.find(')') else { return Err("incomplete format key".into()) };
    let mut d = Directive {
        name: &inside[..end],
        minus: false,
        zero: false,
        plus: false,
        blank: false,
        alternate: false,
        width: 0,
        precision: None,
        kind: 's',
    };
    let mut rest = inside[end + 1..].chars();
    loop {
        match rest.as_str().chars().next() {
            Some('-') => d.minus = true,
            Some('0') => d.zero = true,
            Some('+') => d.plus = true,
            Some(' ') => d.blank = true,
            Some('#') => d.alternate = true,
            _ => break,
        }
        rest.next();
    }
    d.width = number(&mut rest)?.unwrap_or(0);
    if rest.as_str().starts_with('.') {
        rest.next();
        d.precision = Some(number(&mut rest)?.unwrap_or(0));
    }
    while rest.as_str().starts_with(['h', 'l', 'L']) {
        rest.next();
    }
    match rest.next() {
        Some(kind) => d.kind = kind,
        None => return Err("incomplete format".into()),
    }
    Ok((d, rest.as_str()))
}

fn number(rest: &mut std::str::Chars<'_>) -> Result<Option<usize>, String> {
    let text = rest.as_str();
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    if digits == 0 {
        return Ok(None);
    }
    let value: usize = text[..digits].parse().unwrap_or(usize::MAX);
    *rest = text[digits..].chars();
    if value > MAX_WIDTH { Err("width too big".into()) } else { Ok(Some(value)) }
}

fn format_one(d: &Directive<'_>, var: &Var, at: usize) -> Result<BString, String> {
    let text = match (d.kind, var) {
        ('s' | 'r' | 'a', Var::Number(n)) => cut(n.to_string().into(), d.precision),
        ('s', Var::Text(t)) => cut(t.clone(), d.precision),
        ('r' | 'a', Var::Text(t)) => cut(py_repr(&t.to_str_lossy()).into(), d.precision),
        ('d' | 'i' | 'u' | 'x' | 'X' | 'o', Var::Number(n)) => return Ok(integer(d, *n).into()),
        ('d' | 'i' | 'u', Var::Text(_)) => {
            return Err(format!("%{} format: a real number is required, not str", d.kind));
        }
        ('x' | 'X' | 'o', Var::Text(_)) => {
            return Err(format!("%{} format: an integer is required, not str", d.kind));
        }
        (other, _) => {
            return Err(format!(
                "unsupported format character {} ({:#x}) at index {at}",
                py_repr(&other.to_string()),
                u32::from(other)
            ));
        }
    };
    let pad = " ".repeat(d.width.saturating_sub(text.chars().count()));
    Ok(if d.minus { [text.as_slice(), pad.as_bytes()] } else { [pad.as_bytes(), text.as_slice()] }
        .concat()
        .into())
}

fn cut(text: BString, precision: Option<usize>) -> BString {
    match precision.and_then(|p| text.char_indices().nth(p).map(|(start, _, _)| start)) {
        Some(end) => text[..end].into(),
        None => text,
    }
}

fn integer(d: &Directive<'_>, n: i64) -> String {
    let size = n.unsigned_abs();
    let (prefix, digits) = match d.kind {
        'x' => ("0x", format!("{size:x}")),
        'X' => ("0X", format!("{size:X}")),
        'o' => ("0o", format!("{size:o}")),
        _ => ("", size.to_string()),
    };
    let digits = format!("{digits:0>width$}", width = d.precision.unwrap_or(0));
    let sign = match n {
        _ if n < 0 => "-",
        _ if d.plus => "+",
        _ if d.blank => " ",
        _ => "",
    };
    let prefix = if d.alternate { prefix } else { "" };
    let missing = d.width.saturating_sub(sign.len() + prefix.len() + digits.len());
    match (d.minus, d.zero) {
        (true, _) => format!("{sign}{prefix}{digits}{}", " ".repeat(missing)),
        (false, true) => format!("{sign}{prefix}{}{digits}", "0".repeat(missing)),
        (false, false) => format!("{}{sign}{prefix}{digits}", " ".repeat(missing)),
    }
}

/// A text in quotes as Python shows it; the ancestor's messages are full of them.
pub fn py_repr(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut out = String::from(quote);
    for c in text.chars() {
        match c {
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\\' => out.push_str("\\\\"),
            c if c == quote => out.extend(['\\', c]),
            c if u32::from(c) < 0x20 || c == '\x7f' => out.push_str(&format!("\\x{:02x}", u32::from(c))),
            c => out.push(c),
        }
    }
    out.push(quote);
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scope() -> Scope {
        Scope::of_env(&[("HOME".into(), "/root".into())]).number("process_num", 7)
    }

    #[test]
    fn python_formatting() {
        for (text, want) in [
            ("plain", "plain"),
            ("%(here)s/x", "/etc/x"),
            ("%(ENV_HOME)s", "/root"),
            ("w_%(process_num)02d", "w_07"),
            ("%(process_num)s%%", "7%"),
            ("[%(process_num)-4d]", "[7   ]"),
            ("[%(process_num)+4d]", "[  +7]"),
            ("%(process_num)#x", "0x7"),
            ("%(process_num).3d", "007"),
            ("[%(here)6s]", "[  /etc]"),
            ("[%(here)-6.2s]", "[/e    ]"),
            ("%(here)r", "'/etc'"),
            ("%%(here)s", "%(here)s"),
        ] {
            assert_eq!(expand(text, &scope(), "/etc".into(), "s.k").unwrap(), want, "{text}");
        }
    }

    #[test]
    fn python_complaints() {
        let unknown = expand("%(nope)s", &scope(), "/etc".into(), "program:x.command").unwrap_err();
        assert_eq!(
            unknown,
            "Format string '%(nope)s' for 'program:x.command' contains names ('nope') which cannot be expanded. \
             Available names: ENV_HOME, here, process_num"
        );
        for (text, why) in [
            ("50%", "incomplete format"),
            ("date +%s", "not enough arguments for format string"),
            ("%(here", "incomplete format key"),
            ("%(here)", "incomplete format"),
            ("%(here)d", "%d format: a real number is required, not str"),
            ("%(here)y", "unsupported format character 'y' (0x79) at index 7"),
            ("%(process_num)99999d", "width too big"),
        ] {
            let e = expand(text, &scope(), "/etc".into(), "s.k").unwrap_err();
            assert_eq!(e, format!("Format string '{text}' for 's.k' is badly formatted: {why}"));
        }
    }

    #[test]
    fn one_lone_s_passes_for_the_ancestor() {
        let expand = |text| expand(text, &scope().with_lone_s(), "/etc".into(), "s.k");
        assert_eq!(expand("date +%s").unwrap(), "date +%s");
        assert!(expand("%s %s").unwrap_err().ends_with("not enough arguments for format string"));
    }

    #[test]
    fn bytes_pass_unchanged() {
        let scope = Scope::of_env(&[("B".into(), BString::from(&b"\xff"[..]))]);
        assert_eq!(expand("a%(ENV_B)sb", &scope, "/".into(), "s.k").unwrap(), BString::from(&b"a\xffb"[..]));
    }

    #[test]
    fn reprs() {
        assert_eq!(py_repr("a'b"), "\"a'b\"");
        assert_eq!(py_repr("a'\"b\n"), "'a\\'\"b\\n'");
    }
}
