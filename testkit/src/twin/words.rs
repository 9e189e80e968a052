//! Words of a step: blanks separate, quotes hold together, and brackets hold a piece of JSON.

use serde_json::Value;

/// One word, and whether it was quoted (then it is text, whatever it looks like).
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Word {
    pub(crate) text: String,
    pub(crate) quoted: bool,
}

/// Splits a line. Single quotes take all literally, double quotes know `\n \t \r \\ \"` and `\xNN`.
pub(crate) fn split(line: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = line.trim_start();
    while !rest.is_empty() {
        let (word, more) = one(rest)?;
        words.push(word);
        rest = more.trim_start();
    }
    Ok(words)
}

/// Texts only.
pub(crate) fn texts(line: &str) -> Result<Vec<String>, String> {
    Ok(split(line)?.into_iter().map(|w| w.text).collect())
}

fn one(line: &str) -> Result<(Word, &str), String> {
    if line.starts_with(['[', '{']) {
        let mut stream = serde_json::Deserializer::from_str(line).into_iter::<Value>();
        return match stream.next() {
            Some(Ok(_)) => {
                let end = stream.byte_offset();
                Ok((Word { text: line[..end].into(), quoted: false }, &line[end..]))
            }
            // Not JSON after all: a plain word.
            _ => Ok(plain(line)),
        };
    }
    match line.chars().next() {
        Some(quote @ ('"' | '\'')) => {
            let mut text = String::new();
            let mut chars = line[1..].char_indices();
            while let Some((at, c)) = chars.next() {
                if c == quote {
                    return Ok((Word { text, quoted: true }, &line[1 + at + 1..]));
                }
                match c {
                    '\\' if quote == '"' => text.push(escaped(&mut chars)),
                    c => text.push(c),
                }
            }
            Err(format!("a quote is not closed: {line}"))
        }
        _ => Ok(plain(line)),
    }
}

fn plain(line: &str) -> (Word, &str) {
    let end = line.find(' ').unwrap_or(line.len());
    (Word { text: line[..end].into(), quoted: false }, &line[end..])
}

fn escaped(chars: &mut std::str::CharIndices<'_>) -> char {
    match chars.next().map_or('\\', |(_, c)| c) {
        'n' => '\n',
        't' => '\t',
        'r' => '\r',
        'x' => {
            let digits: String = chars.by_ref().take(2).map(|(_, c)| c).collect();
            u8::from_str_radix(&digits, 16).map_or('?', char::from)
        }
        other => other,
    }
}

impl Word {
    /// As an argument of an XML-RPC call: numbers, booleans and JSON unless quoted, else text.
    pub(crate) fn value(&self) -> Value {
        let parsed = || serde_json::from_str(&self.text).ok();
        match self.quoted {
            true => Value::String(self.text.clone()),
            false => parsed().unwrap_or_else(|| Value::String(self.text.clone())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_quotes_and_json() {
        let words = split(r#"a "b \"c\"\n" 'd \n' [1, "x y"] -5 true "5" {x"#).unwrap();
        let texts: Vec<&str> = words.iter().map(|w| w.text.as_str()).collect();
        assert_eq!(texts, ["a", "b \"c\"\n", "d \\n", r#"[1, "x y"]"#, "-5", "true", "5", "{x"]);
        let values: Vec<Value> = words.iter().map(Word::value).collect();
        assert_eq!(values[3..7], [serde_json::json!([1, "x y"]), (-5).into(), true.into(), "5".into()]);
        assert!(split("a \"b").is_err());
    }
}
