//! Writing a unit file, for `supers add`.

use bstr::{BString, ByteSlice};
use std::fmt::Write;

/// What a new unit file says beside its command.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// `Description=`.
    pub description: Option<String>,
    /// `User=`.
    pub user: Option<String>,
    /// `WorkingDirectory=`, absolute or `~`. Must be UTF-8 without line ends, as unit files are.
    pub directory: Option<BString>,
    /// `Environment=`, one line a variable.
    pub environment: Vec<(BString, BString)>,
    /// `Restart=`, in systemd's words.
    pub restart: Option<String>,
}

/// The text of `NAME.service` that runs exactly these words: nothing in them is taken for a quote, a
/// variable, a specifier or a second command. No words give a unit without `ExecStart=`.
pub fn unit_file(name: &str, words: &[BString], options: &Options) -> String {
    let description = options.description.as_deref().unwrap_or(name);
    let mut out = format!("[Unit]\nDescription={}\n\n[Service]\n", plain(description.as_bytes()));
    if !words.is_empty() {
        let quoted: Vec<String> = words.iter().enumerate().map(|(i, w)| word(w, i == 0, i > 0)).collect();
        out.push_str(&format!("ExecStart={}\n", quoted.join(" ")));
    }
    if let Some(user) = &options.user {
        out.push_str(&format!("User={}\n", plain(user.as_bytes())));
    }
    if let Some(directory) = &options.directory {
        out.push_str(&format!("WorkingDirectory={}\n", plain(directory)));
    }
    for (key, value) in &options.environment {
        out.push_str(&variable(key, value));
        out.push('\n');
    }
    if let Some(restart) = &options.restart {
        out.push_str(&format!("Restart={}\n", plain(restart.as_bytes())));
    }
    out.push_str("\n[Install]\nWantedBy=default.target\n");
    out
}

/// `Environment="KEY=value"`.
pub(crate) fn variable(key: &[u8], value: &[u8]) -> String {
    format!("Environment=\"{}\"", escaped(&[key, b"=", value].concat(), false))
}

/// A value that is taken whole: one line, percent signs doubled, no backslash at the end.
pub(crate) fn plain(text: &[u8]) -> String {
    let text = text.to_str_lossy().replace(['\n', '\r', '\0'], " ").replace('%', "%%");
    text.trim().trim_end_matches('\\').to_string()
}

/// One word of a command. The first character of the program must not look like a prefix; `dollars` says
/// that variables are replaced in this word, which they never are in the program itself.
pub(crate) fn word(text: &[u8], program: bool, dollars: bool) -> String {
    let escaped = escaped(text, dollars);
    match text.first() {
        Some(b'-' | b'@' | b':' | b'+' | b'!') if program => {
            // Only a bare character is a prefix, and only outside quotes can it be hidden from systemd.
            format!("\"\\x{:02x}{}\"", text[0], &escaped[1..])
        }
        _ if text.is_empty() || needs_quotes(text) => format!("\"{escaped}\""),
        _ => escaped,
    }
}

fn needs_quotes(text: &[u8]) -> bool {
    text == b";" || text.iter().any(|b| !b.is_ascii_graphic() || b"\"'\\#".contains(b))
}

/// Quotes, backslashes and everything that is no printable text as escapes; `%` doubled, and `$` where
/// variables are replaced.
fn escaped(text: &[u8], dollars: bool) -> String {
    let mut out = String::new();
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '%' => out.push_str("%%"),
                '$' if dollars => out.push_str("$$"),
                '\n' => out.push_str("\\n"),
                '\t' => out.push_str("\\t"),
                c if c.is_control() || (c.is_whitespace() && c != ' ') => {
                    let mut buffer = [0; 4];
                    push_bytes(&mut out, c.encode_utf8(&mut buffer).as_bytes());
                }
                c => out.push(c),
            }
        }
        push_bytes(&mut out, chunk.invalid());
    }
    out
}

fn push_bytes(out: &mut String, bytes: &[u8]) {
    for b in bytes {
        // Writing to a String cannot fail.
        let _ = write!(out, "\\x{b:02x}");
    }
}

/// Whether a unit may have this name; else one sentence why not.
///
/// # Errors
/// The sentence.
pub fn valid_name(name: &str) -> Result<(), String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.@-".contains(c);
    if name.is_empty() {
        return Err("the name is empty".into());
    }
    if name.len() > 200 {
        return Err("the name is longer than 200 characters".into());
    }
    if name.starts_with(['.', '-', '@']) || name.ends_with('@') {
        return Err(format!("the name {name} must begin with a letter or digit, and not end with @"));
    }
    if name == "all" {
        return Err("the name `all` stands for all units".into());
    }
    match name.chars().find(|c| !fits(*c)) {
        Some(c) => Err(format!("the name {name} holds {c:?}; letters, digits and _ . @ - are allowed")),
        None => Ok(()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_whole_file() {
        let words: Vec<BString> =
            ["/bin/sh", "-c", "echo \"$HOME\" 100%; exit", ";"].map(BString::from).into();
        let options = Options {
            description: Some("A 100% test\nof it\\".into()),
            user: Some("www-data".into()),
            directory: Some("/srv/a b".into()),
            environment: vec![("A".into(), "x y\"z$".into())],
            restart: Some("on-failure".into()),
        };
        insta::assert_snapshot!(unit_file("web", &words, &options), @r#"
        [Unit]
        Description=A 100%% test of it

        [Service]
        ExecStart=/bin/sh -c "echo \"$$HOME\" 100%%; exit" ";"
        User=www-data
        WorkingDirectory=/srv/a b
        Environment="A=x y\"z$"
        Restart=on-failure

        [Install]
        WantedBy=default.target
        "#);
    }

    #[test]
    fn names() {
        for good in ["web", "web-1", "foo@bar", "a.b_c", "9"] {
            assert_eq!(valid_name(good), Ok(()), "{good}");
        }
        for bad in ["", "a b", "a:b", "a/b", ".x", "-x", "foo@", "all", "é", &"x".repeat(201)] {
            assert!(valid_name(bad).is_err(), "{bad}");
        }
    }
}
