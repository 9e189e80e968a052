//! What a page is asked: the query, and the body of a form.

/// Keys and values. Of several values the first counts, and an empty one is none.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Form(Vec<(String, String)>);

/// Further keys are dropped.
const MOST: usize = 100;

impl Form {
    /// What the body says goes before what the query says.
    pub(crate) fn parse(query: &str, body: &[u8]) -> Form {
        let body = String::from_utf8_lossy(body);
        let parts = body.split('&').chain(query.split('&'));
        let pairs = parts.filter_map(|part| part.split_once('='));
        Form(
            pairs
                .take(MOST)
                .map(|(key, value)| (decode(key, true), decode(value.trim_end(), true)))
                .collect(),
        )
    }

    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.iter().find(|(k, v)| k == key && !v.is_empty()).map(|(_, v)| v.as_str())
    }
}

/// Decodes a path. What is no escape stays as it is.
pub(crate) fn percent_decode(text: &str) -> String {
    decode(text, false)
}

fn decode(text: &str, plus_is_space: bool) -> String {
    let digit =
        |b: Option<&u8>| b.and_then(|b| char::from(*b).to_digit(16)).and_then(|d| u8::try_from(d).ok());
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, tail)) = rest.split_first() {
        rest = tail;
        match (first, digit(tail.first()), digit(tail.get(1))) {
            (b'%', Some(high), Some(low)) => {
                out.push(high * 16 + low);
                rest = tail.get(2..).unwrap_or_default();
            }
            (b'+', _, _) if plus_is_space => out.push(b' '),
            (byte, _, _) => out.push(*byte),
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

/// Encodes a value for a query or a path, as Supervisor does: all but letters, digits and `-._~`.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn forms() {
        let form = Form::parse("a=1&a=2&b=&b=x+y%2Bz&c&d=%zz%", b"e=5&d2=%ff\r\n");
        let seen: Vec<_> = ["a", "b", "c", "d", "e", "d2"].iter().map(|k| form.get(k)).collect();
        assert_eq!(seen, [Some("1"), Some("x y+z"), None, Some("%zz%"), Some("5"), Some("\u{fffd}")]);
        assert_eq!(Form::parse("a=query", b"a=body").get("a"), Some("body"));
    }

    proptest! {
        #[test]
        fn coding(text in ".*", raw in "[%+a0-9]*") {
            prop_assert_eq!(percent_decode(&percent_encode(&text)), text.clone());
            let form = Form::parse(&format!("k={}", percent_encode(&text)), b"");
            prop_assert_eq!(form.get("k").unwrap_or(""), text);
            let _ = percent_decode(&raw);
        }
    }
}
