//! Shell-like splitting, as Python's shlex does it: POSIX rules for `command`, the older rules for
//! `environment` (supervisor-contract 3, 6).

use bstr::{BString, ByteSlice};

/// Splits a command line into words; quotes and backslashes as in a POSIX shell, nothing else is
/// special. The error is the ancestor's reason.
pub(crate) fn split(line: &[u8]) -> Result<Vec<BString>, &'static str> {
    let mut words = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut bytes = line.iter().copied();
    while let Some(b) = bytes.next() {
        match b {
            b' ' | b'\t' | b'\r' | b'\n' => words.extend(word.take().map(BString::from)),
            b'\'' | b'"' => quoted(b, &mut bytes, word.get_or_insert_default())?,
            b'\\' => {
                let next = bytes.next().ok_or("No escaped character")?;
                word.get_or_insert_default().push(next);
            }
            _ => word.get_or_insert_default().push(b),
        }
    }
    words.extend(word.map(BString::from));
    Ok(words)
}

fn quoted(quote: u8, bytes: &mut impl Iterator<Item = u8>, word: &mut Vec<u8>) -> Result<(), &'static str> {
    while let Some(b) = bytes.next() {
        match b {
            _ if b == quote => return Ok(()),
            b'\\' if quote == b'"' => {
                let next = bytes.next().ok_or("No closing quotation")?;
                if next != b'"' && next != b'\\' {
                    word.push(b'\\');
                }
                word.push(next);
            }
            _ => word.push(b),
        }
    }
    Err("No closing quotation")
}

/// Tokens of `K=v,K2="v 2"`: a word keeps its quotes, any other character is a token of its own. Text
/// beyond ASCII counts as letters here, which the ancestor splits into single characters.
fn tokens(text: &[u8]) -> Result<Vec<&[u8]>, String> {
    let is_word = |b: u8| b.is_ascii_alphanumeric() || b"_/.+-():".contains(&b) || b >= 0x80;
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&b) = text.get(at) {
        let rest = &text[at..];
        let len = match b {
            b' ' | b'\t' | b'\r' | b'\n' => {
                at += 1;
                continue;
            }
            b'#' => {
                at += rest.find_byte(b'\n').unwrap_or(rest.len());
                continue;
            }
            b'\'' | b'"' => rest[1..].find_byte(b).ok_or("No closing quotation")? + 2,
            _ if is_word(b) => {
                rest.iter().position(|b| !is_word(*b) && *b != b'\'' && *b != b'"').unwrap_or(rest.len())
            }
            _ => 1,
        };
        tokens.push(&rest[..len]);
        at += len;
    }
    Ok(tokens)
}

/// Key and value pairs.
pub(crate) type Pairs = Vec<(BString, BString)>;

/// The pairs of an `environment` value, and the separators that are no comma (the ancestor does not
/// look at them).
pub(crate) fn pairs(text: &[u8]) -> Result<(Pairs, Vec<BString>), String> {
    let tokens = tokens(text)?;
    let (mut pairs, mut odd): (Pairs, Vec<BString>) = (Vec::new(), Vec::new());
    let mut rest = tokens.as_slice();
    while !rest.is_empty() {
        let [key, b"=", value, ..] = rest else {
            return Err(format!("Unexpected end of key/value pairs in value '{}'", text.as_bstr()));
        };
        let key = BString::from(*key);
        let value = BString::from(value.trim_with(|c| c == '\'' || c == '"'));
        match pairs.iter_mut().find(|(k, _)| *k == key) {
            Some(old) => old.1 = value,
            None => pairs.push((key, value)),
        }
        odd.extend(rest.get(3).filter(|t| **t != b",").map(|t| BString::from(*t)));
        rest = rest.get(4..).unwrap_or(&[]);
    }
    Ok((pairs, odd))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands() {
        for (line, want) in [
            ("a b  c\n d", &["a", "b", "c", "d"][..]),
            ("a 'b c' \"d e\"", &["a", "b c", "d e"]),
            (r#"a\ b "c\"d" "e\f" 'g\h'"#, &["a b", "c\"d", "e\\f", "g\\h"]),
            ("a'b'\"c\" ''", &["abc", ""]),
            ("", &[]),
            ("a # b", &["a", "#", "b"]),
        ] {
            assert_eq!(split(line.as_bytes()).unwrap(), want, "{line}");
        }
        assert_eq!(split(b"a 'b"), Err("No closing quotation"));
        assert_eq!(split(b"a \"b\\"), Err("No closing quotation"));
        assert_eq!(split(b"a \\"), Err("No escaped character"));
    }

    fn env(text: &str) -> String {
        match pairs(text.as_bytes()) {
            Ok((pairs, _)) => pairs.iter().map(|(k, v)| format!("[{k}|{v}]")).collect(),
            Err(e) => e,
        }
    }

    #[test]
    fn environment() {
        for (text, want) in [
            ("K=v,K2=\"v 2\",K3='x'", "[K|v][K2|v 2][K3|x]"),
            ("A=/a/b.c+d-e(f):g,", "[A|/a/b.c+d-e(f):g]"),
            ("A=1\nB=2", "Unexpected end of key/value pairs in value 'A=1\nB=2'"),
            ("A=1,\n  B=2", "[A|1][B|2]"),
            ("A=\"a,b\",B=''", "[A|a,b][B|]"),
            ("A=1;B=2", "[A|1][B|2]"),
            ("A=1 B=2", "Unexpected end of key/value pairs in value 'A=1 B=2'"),
            ("A", "Unexpected end of key/value pairs in value 'A'"),
            ("A=é", "[A|é]"),
            ("A=1,A=2", "[A|2]"),
            ("A='x", "No closing quotation"),
            ("", ""),
        ] {
            assert_eq!(env(text), want, "{text}");
        }
        assert_eq!(pairs(b"A=1;B=2").unwrap().1, [";"]);
    }
}
