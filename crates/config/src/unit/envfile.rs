//! Files of `KEY=value` lines (`EnvironmentFile=`), read at each start.

use bstr::{BString, ByteSlice};

/// The assignments of such a file, in order. A value may begin with quotes of both kinds, one behind the
/// other; those span lines. Behind the first other character a quote is a letter. A backslash protects
/// the next character outside quotes, and `"`, `\`, `$`, `` ` `` and the line end in double ones. Lines
/// that are none of this are passed over; a remark ends with its line, also behind a backslash.
pub fn parse(text: &[u8]) -> Vec<(BString, BString)> {
    let mut rest = text.strip_prefix(b"\xef\xbb\xbf").unwrap_or(text);
    let mut out: Vec<(BString, BString)> = Vec::new();
    while !rest.is_empty() {
        rest = rest.trim_ascii_start();
        let end = rest.find_byteset(b"\r\n").unwrap_or(rest.len());
        let key_end = rest[..end].find_byte(b'=');
        match key_end {
            Some(split) if !rest.starts_with(b"#") && !rest.starts_with(b";") => {
                let key = rest[..split].trim_ascii();
                let (value, used) = value(&rest[split + 1..]);
                if is_name(key) {
                    out.push((key.into(), value));
                }
                rest = &rest[split + 1 + used..];
            }
            _ => rest = &rest[end..],
        }
    }
    out
}

/// True for the name of a variable.
pub(crate) fn is_name(key: &[u8]) -> bool {
    !key.is_empty() && !key[0].is_ascii_digit() && key.iter().all(|b| b.is_ascii_alphanumeric() || *b == b'_')
}

/// Reads a value up to its line end; answers with it and how many bytes it took.
fn value(text: &[u8]) -> (BString, usize) {
    let mut out = Vec::new();
    // Blanks at the end are dropped, but not those that were quoted or protected.
    let mut keep = 0;
    let mut at = 0;
    // Only here is a quote one: at the beginning, and behind another.
    let mut begins = true;
    while let Some(&b) = text.get(at) {
        at += 1;
        match b {
            b'\n' | b'\r' => break,
            b' ' | b'\t' if begins => {}
            b'\'' | b'"' if begins => {
                at += quoted(b, &text[at..], &mut out);
                keep = out.len();
            }
            b'\\' => {
                begins = false;
                match text.get(at) {
                    Some(b'\n') => {}
                    Some(next) => out.push(*next),
                    None => {}
                }
                at += 1;
                keep = out.len();
            }
            _ => {
                begins = false;
                out.push(b);
                if !b.is_ascii_whitespace() {
                    keep = out.len();
                }
            }
        }
    }
    out.truncate(keep);
    (out.into(), at.min(text.len()))
}

/// Reads up to the closing quote; answers with how many bytes it took.
fn quoted(quote: u8, text: &[u8], out: &mut Vec<u8>) -> usize {
    let mut at = 0;
    while let Some(&b) = text.get(at) {
        at += 1;
        match b {
            _ if b == quote => break,
            b'\\' if quote == b'"' => match text.get(at) {
                Some(next) => {
                    at += 1;
                    match next {
                        b'"' | b'\\' | b'$' | b'`' => out.push(*next),
                        b'\n' => {}
                        _ => out.extend([b'\\', *next]),
                    }
                }
                None => out.push(b'\\'),
            },
            _ => out.push(b),
        }
    }
    at
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        parse(text.as_bytes()).iter().map(|(k, v)| format!("[{k}|{v}]")).collect()
    }

    #[test]
    fn lines() {
        for (text, want) in [
            ("A=1\nB=2", "[A|1][B|2]"),
            ("# c\n; c\n\n A = 1 2  \n", "[A|1 2]"),
            ("A='x  '\"y\" 'z' 1", "[A|x  yz1]"),
            ("MSG=it's fine\nB=1", "[MSG|it's fine][B|1]"),
            ("OPTS=-D \"A B\" --x=\"c d\"", "[OPTS|-D \"A B\" --x=\"c d\"]"),
            ("Z=3\"4\nA='x'y\"z\"", "[Z|3\"4][A|xy\"z\"]"),
            ("# c \\\nA=1\n; c=d \\\nB=2", "[A|1][B|2]"),
            ("A=\"a\\\"b\\$c\\d\\\ne\"\nB=1", "[A|a\"b$c\\de][B|1]"),
            ("A=a\\\nb\\ \nB=", "[A|ab ][B|]"),
            ("A='two\nlines'\nB=1", "[A|two\nlines][B|1]"),
            ("export A=1\n1A=2\n=3\nnothing\nB=1", "[B|1]"),
            ("A=a=b # c", "[A|a=b # c]"),
            ("A=$HOME ${X}", "[A|$HOME ${X}]"),
            ("A=1\r\nB=2\r\n", "[A|1][B|2]"),
            ("A='open", "[A|open]"),
            ("A=1\\", "[A|1]"),
            ("", ""),
        ] {
            assert_eq!(read(text), want, "{text:?}");
        }
    }
}
