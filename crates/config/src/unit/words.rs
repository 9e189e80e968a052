//! Words of a command line in a unit file: quotes and escapes when it is read, variables at each start
//! (unit-directives, "Rules that a parser and a starter must get right").

use bstr::{BStr, BString, ByteSlice};

/// One word as it was read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    /// Quotes removed, escapes replaced.
    pub(crate) text: BString,
    /// How it was written.
    pub(crate) raw: String,
}

/// Splits a value into words. Quotes of both kinds may open and close inside a word, escapes work in
/// and out of them. The second part lists escapes that are none; they stay as written.
///
/// # Errors
/// A quote is not closed.
pub(crate) fn split(value: &str) -> Result<(Vec<Word>, Vec<String>), String> {
    let mut words = Vec::new();
    let mut bad = Vec::new();
    let mut rest = value.trim_start();
    while !rest.is_empty() {
        let (text, len) = word(rest, &mut bad)?;
        words.push(Word { text, raw: rest[..len].to_string() });
        rest = rest[len..].trim_start();
    }
    Ok((words, bad))
}

/// Reads one word; answers with it and its length as written.
fn word(text: &str, bad: &mut Vec<String>) -> Result<(BString, usize), String> {
    let mut out = Vec::new();
    let mut quote: Option<char> = None;
    let mut at = 0;
    while let Some(c) = text[at..].chars().next() {
        let mut len = c.len_utf8();
        match quote {
            Some(q) if c == q => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            None if c.is_ascii_whitespace() => return Ok((out.into(), at)),
            _ if c == '\\' => match escape(&text[at + 1..]) {
                Some((bytes, used)) => {
                    out.extend(bytes);
                    len += used;
                }
                None => {
                    bad.push(text[at..].chars().take(2).collect());
                    out.push(b'\\');
                }
            },
            _ => out.extend(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
        at += len;
    }
    match quote {
        Some(q) => Err(format!("the quote {q} is not closed")),
        None => Ok((out.into(), text.len())),
    }
}

/// What follows a backslash: the bytes it stands for and how many characters it took.
fn escape(text: &str) -> Option<(Vec<u8>, usize)> {
    let one = |b: u8| Some((vec![b], 1));
    match text.bytes().next()? {
        b'a' => one(7),
        b'b' => one(8),
        b'f' => one(12),
        b'n' => one(b'\n'),
        b'r' => one(b'\r'),
        b's' => one(b' '),
        b't' => one(b'\t'),
        b'v' => one(11),
        c @ (b'\\' | b'"' | b'\'' | b';') => one(c),
        b'x' => Some((vec![u8::try_from(digits(text, 1, 2, 16)?).ok()?], 3)),
        b'u' => unicode(digits(text, 1, 4, 16)?, 5),
        b'U' => unicode(digits(text, 1, 8, 16)?, 9),
        b'0'..=b'7' => Some((vec![u8::try_from(digits(text, 0, 3, 8)?).ok()?], 3)),
        _ => None,
    }
    // A zero byte cannot be part of an argument.
    .filter(|(bytes, _)| bytes != b"\0")
}

fn digits(text: &str, from: usize, count: usize, radix: u32) -> Option<u32> {
    let part = text.get(from..from + count)?;
    part.chars().all(|c| c.is_digit(radix)).then(|| u32::from_str_radix(part, radix).ok())?
}

fn unicode(code: u32, used: usize) -> Option<(Vec<u8>, usize)> {
    Some((char::from_u32(code)?.to_string().into_bytes(), used))
}

/// Puts the environment into a command's words, at each start, when `Command::expand` is set. Pass the
/// whole command: `words[0]`, the program, stays as it is.
///
/// A word that begins with `$` and a name is replaced by the words of that variable, none when it is
/// unset; `${NAME}` anywhere is replaced by the text, `$$` by a dollar; any other `$` stays.
pub fn expand(words: &[BString], lookup: &dyn Fn(&BStr) -> Option<BString>) -> Vec<BString> {
    let mut out: Vec<BString> = words.iter().take(1).cloned().collect();
    for word in words.iter().skip(1) {
        match word.as_slice() {
            [b'$', first, ..] if *first != b'{' && *first != b'$' => {
                out.extend(lookup(word[1..].as_bstr()).map(|v| split_variable(&v)).unwrap_or_default());
            }
            _ => out.push(braces(word, lookup)),
        }
    }
    out
}

/// Replaces `${NAME}` and `$$`.
fn braces(word: &[u8], lookup: &dyn Fn(&BStr) -> Option<BString>) -> BString {
    let mut out = Vec::new();
    let mut rest = word;
    while let Some(at) = rest.find_byte(b'$') {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        match rest.first() {
            Some(b'$') => {
                out.push(b'$');
                rest = &rest[1..];
            }
            Some(b'{') if rest.contains(&b'}') => {
                let end = rest.find_byte(b'}').unwrap_or(rest.len());
                out.extend(lookup(rest[1..end].as_bstr()).unwrap_or_default().iter());
                rest = &rest[end + 1..];
            }
            _ => out.push(b'$'),
        }
    }
    out.extend_from_slice(rest);
    out.into()
}

/// The words in a variable's value: split at blanks, quotes respected, a quote that is not closed ends
/// with the value.
fn split_variable(value: &[u8]) -> Vec<BString> {
    let mut out = Vec::new();
    let mut word: Option<Vec<u8>> = None;
    let mut quote = None;
    let mut bytes = value.iter().copied();
    while let Some(b) = bytes.next() {
        match quote {
            Some(q) if b == q => quote = None,
            None if b == b'\'' || b == b'"' => {
                quote = Some(b);
                word.get_or_insert_default();
            }
            None if b.is_ascii_whitespace() => out.extend(word.take().map(BString::from)),
            _ if b == b'\\' => word.get_or_insert_default().push(bytes.next().unwrap_or(b'\\')),
            _ => word.get_or_insert_default().push(b),
        }
    }
    out.extend(word.map(BString::from));
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn words(text: &str) -> Vec<String> {
        split(text).unwrap().0.into_iter().map(|w| w.text.to_string()).collect()
    }

    #[test]
    fn quotes_and_escapes() {
        for (text, want) in [
            ("/bin/a  b\tc", &["/bin/a", "b", "c"][..]),
            ("a 'b c' \"d e\"", &["a", "b c", "d e"]),
            ("'it''s'", &["its"]),
            (r"a\x41\tb\x20c \; '\x41'", &["aA\tb c", ";", "A"]),
            (r#""a\"b" '\'' \101"#, &["a\"b", "'", "A"]),
            (r"\u00e9 \U0001F600", &["é", "😀"]),
            ("a ''", &["a", ""]),
            ("", &[]),
        ] {
            assert_eq!(words(text), want, "{text}");
        }
        assert_eq!(split("a 'b").unwrap_err(), "the quote ' is not closed");
        assert!(split("a \"b\\\"").is_err());
    }

    #[test]
    fn bad_escapes_stay() {
        let (words, bad) = split(r"a\qb \x4 \x00 \").unwrap();
        let got: Vec<String> = words.into_iter().map(|w| w.text.to_string()).collect();
        assert_eq!(got, [r"a\qb", r"\x4", r"\x00", r"\"]);
        assert_eq!(bad, [r"\q", r"\x", r"\x", r"\"]);
    }

    #[test]
    fn bytes_can_be_written() {
        assert_eq!(split(r"\xff").unwrap().0[0].text, BString::from(&b"\xff"[..]));
    }

    fn run(line: &[&str]) -> Vec<String> {
        let lookup = |name: &BStr| match name.as_bytes() {
            b"OPTS" => Some(BString::from("-a 'b c'  d\\ e")),
            b"QUOTED" => Some("-D \"A B\" --x=\"c d\"".into()),
            b"ONE" => Some("x y".into()),
            b"EMPTY" => Some("".into()),
            _ => None,
        };
        let words: Vec<BString> = line.iter().map(|w| BString::from(*w)).collect();
        expand(&words, &lookup).iter().map(ToString::to_string).collect()
    }

    #[test]
    fn variables() {
        assert_eq!(run(&["$OPTS", "$OPTS"]), ["$OPTS", "-a", "b c", "d e"]);
        assert_eq!(run(&["p", "$QUOTED"]), ["p", "-D", "A B", "--x=c d"]);
        assert_eq!(run(&["p", "$EMPTY", "$UNSET", "z"]), ["p", "z"]);
        assert_eq!(run(&["p", "${ONE}", "${EMPTY}", "${UNSET}"]), ["p", "x y", "", ""]);
        assert_eq!(
            run(&["p", "pre$ONE", "a${ONE}b", "a$$b", "$$ONE"]),
            ["p", "pre$ONE", "ax yb", "a$b", "$ONE"]
        );
        assert_eq!(run(&["p", "echo $? `x` ${ONE", "100$"]), ["p", "echo $? `x` ${ONE", "100$"]);
        assert_eq!(run(&[]), Vec::<String>::new());
    }
}
