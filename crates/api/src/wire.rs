//! Small encodings that both sides share: percent coding, queries, lines of rows.

use crate::problem::Detail;
use serde::{Deserialize, Serialize};
use std::fmt::Write as _;
use supers_core::control::Row;

/// One line of a flow of rows.
#[derive(Serialize, Deserialize)]
#[serde(untagged)]
pub(crate) enum Line {
    /// The flow broke off.
    Problem {
        /// Why.
        error: Detail,
    },
    /// One result.
    Row(Row),
}

impl Line {
    /// As JSON with the line feed.
    pub(crate) fn to_bytes(&self) -> Vec<u8> {
        json(self)
    }
}

/// Any value as one line of JSON.
pub(crate) fn json<T: Serialize>(value: &T) -> Vec<u8> {
    // Only maps with odd keys cannot be written, and none of our types holds a map.
    let mut bytes = serde_json::to_vec(value).unwrap_or_default();
    bytes.push(b'\n');
    bytes
}

/// Encodes one path segment or query value.
pub(crate) fn percent_encode(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for b in text.bytes() {
        if b.is_ascii_alphanumeric() || b"-._~:".contains(&b) {
            out.push(char::from(b));
        } else {
            let _ = write!(out, "%{b:02X}");
        }
    }
    out
}

/// Decodes `%41`. `None` when it is malformed or no UTF-8. A plus sign stays one: program names may
/// hold it, and nothing here comes from an HTML form.
pub(crate) fn percent_decode(text: &str) -> Option<String> {
    let mut out = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(b) = bytes.next() {
        if b != b'%' {
            out.push(b);
            continue;
        }
        let mut digit = || char::from(bytes.next()?).to_digit(16);
        let value = digit()? * 16 + digit()?;
        out.push(u8::try_from(value).ok()?);
    }
    String::from_utf8(out).ok()
}

/// Splits a query into decoded pairs; a key without `=` has the value `1`.
pub(crate) fn query_pairs(query: &str) -> Option<Vec<(String, String)>> {
    let parts = query.split('&').filter(|p| !p.is_empty());
    parts
        .map(|part| {
            let (key, value) = part.split_once('=').unwrap_or((part, "1"));
            Some((percent_decode(key)?, percent_decode(value)?))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percent_coding() {
        for name in ["web", "group:web", "a b/c?d#e%", "näme", "x+y"] {
            assert_eq!(percent_decode(&percent_encode(name)).as_deref(), Some(name));
        }
        assert_eq!(percent_encode("g:*"), "g:%2A");
        for bad in ["%", "%4", "%zz", "%ff", "%+1"] {
            assert_eq!(percent_decode(bad), None, "{bad}");
        }
    }

    #[test]
    fn queries() {
        let pairs = query_pairs("lines=5&follow&x=%20&&y=").unwrap();
        let text: Vec<String> = pairs.iter().map(|(k, v)| format!("{k}={v:?}")).collect();
        assert_eq!(text.join(" "), r#"lines="5" follow="1" x=" " y="""#);
        assert_eq!(query_pairs("a=%"), None);
    }
}
