//! Names of processes: `process`, `group:process`, `group:*`.

/// A name taken apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Namespec<'a> {
    pub(super) group: &'a str,
    /// `None` is the whole group.
    pub(super) process: Option<&'a str>,
}

/// Takes a name apart. `x` is process x of group x; `g:` and `g:*` are all of g.
pub(super) fn split(name: &str) -> Namespec<'_> {
    match name.split_once(':') {
        None => Namespec { group: name, process: Some(name) },
        Some((group, "" | "*")) => Namespec { group, process: None },
        Some((group, process)) => Namespec { group, process: Some(process) },
    }
}

/// Puts a name together, the short way when group and process have one name.
pub(super) fn join(group: &str, process: &str) -> String {
    if group == process { process.to_string() } else { format!("{group}:{process}") }
}

/// A text as Python shows it.
pub(super) fn quoted(text: &str) -> String {
    let quote = if text.contains('\'') && !text.contains('"') { '"' } else { '\'' };
    let mut shown = String::from(quote);
    for c in text.chars() {
        match c {
            '\\' => shown += "\\\\",
            '\n' => shown += "\\n",
            '\r' => shown += "\\r",
            '\t' => shown += "\\t",
            c if c == quote => shown.extend(['\\', c]),
            c if c.is_control() => shown += &format!("\\x{:02x}", u32::from(c)),
            c => shown.push(c),
        }
    }
    shown.push(quote);
    shown
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apart_and_together() {
        let spec = |group, process| Namespec { group, process };
        assert_eq!(split("web"), spec("web", Some("web")));
        assert_eq!(split("g:a"), spec("g", Some("a")));
        assert_eq!(split("g:a:b"), spec("g", Some("a:b")));
        assert_eq!(split("g:*"), spec("g", None));
        assert_eq!(split("g:"), spec("g", None));
        assert_eq!(split(":x"), spec("", Some("x")));
        assert_eq!(join("web", "web"), "web");
        assert_eq!(join("g", "a"), "g:a");
    }

    #[test]
    fn quotes_as_python() {
        assert_eq!(quoted("a"), "'a'");
        assert_eq!(quoted("it's"), "\"it's\"");
        assert_eq!(quoted("it's \"x\"\n"), r#"'it\'s "x"\n'"#);
    }
}
