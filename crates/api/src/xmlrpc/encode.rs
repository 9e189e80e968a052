//! Values to documents, laid out as Python's `xmlrpc.client` does, so that scripts which look at lines
//! find them where they were.

use super::{Fault, Value};
use base64::Engine as _;

/// Bytes that stand for themselves: all of a usual name, path or sentence.
const PLAIN: [bool; 256] = {
    let mut plain = [false; 256];
    let mut b = 0x20;
    while b < 0x7f {
        plain[b] = !matches!(b, 0x26 | 0x3c | 0x3e);
        b += 1;
    }
    plain[0x09] = true;
    plain[0x0a] = true;
    plain
};

const DECLARATION: &str = "<?xml version='1.0'?>\n";

/// Writes a question.
pub fn encode_call(method: &str, params: &[Value]) -> Vec<u8> {
    let mut w = Writer::default();
    w.raw(DECLARATION).raw("<methodCall>\n<methodName>").text(method.as_bytes());
    w.raw("</methodName>\n<params>\n");
    for value in params {
        w.raw("<param>\n");
        w.value(value);
        w.raw("</param>\n");
    }
    w.raw("</params>\n</methodCall>\n");
    w.out
}

/// Writes an answer.
pub fn encode_response(value: &Value) -> Vec<u8> {
    let mut w = Writer::response();
    w.value(value);
    w.finish()
}

/// Writes a refusal.
pub fn encode_fault(fault: &Fault) -> Vec<u8> {
    let mut w = Writer::default();
    w.raw(DECLARATION).raw("<methodResponse>\n<fault>\n");
    w.fault(fault);
    w.raw("</fault>\n</methodResponse>\n");
    w.out
}

/// Appends values to a document. Whatever is given, the text in it is text that XML 1.0 can carry:
/// control characters and bytes that are not UTF-8 become U+FFFD.
#[derive(Debug, Default)]
pub struct Writer {
    out: Vec<u8>,
}

impl Writer {
    /// Begins an answer; one value follows, then [`Writer::finish`].
    pub fn response() -> Writer {
        let mut w = Writer::default();
        w.raw(DECLARATION).raw("<methodResponse>\n<params>\n<param>\n");
        w
    }

    /// Ends an answer.
    pub fn finish(mut self) -> Vec<u8> {
        self.raw("</param>\n</params>\n</methodResponse>\n");
        self.out
    }

    /// Bytes so far.
    pub fn len(&self) -> usize {
        self.out.len()
    }

    /// Nothing was written.
    pub fn is_empty(&self) -> bool {
        self.out.is_empty()
    }

    /// Makes room for so many bytes.
    pub(crate) fn reserve(&mut self, bytes: usize) {
        self.out.reserve(bytes);
    }

    /// Forgets what was written after the first `len` bytes.
    pub(crate) fn back_to(&mut self, len: usize) {
        self.out.truncate(len);
    }

    fn raw(&mut self, markup: &str) -> &mut Writer {
        self.out.extend_from_slice(markup.as_bytes());
        self
    }

    /// A string.
    pub fn str(&mut self, text: impl AsRef<[u8]>) {
        self.raw("<value><string>").text(text.as_ref()).raw("</string></value>\n");
    }

    /// A string that comes in pieces: [`Writer::piece`] for each, then [`Writer::end_str`].
    pub fn begin_str(&mut self) {
        self.raw("<value><string>");
    }

    /// A piece of a string. Returns how many bytes at its end are the beginning of a character: they were
    /// not written and belong before the next piece.
    pub fn piece(&mut self, bytes: &[u8]) -> usize {
        let held = unfinished(bytes);
        self.text(&bytes[..bytes.len() - held]);
        held
    }

    /// Ends a string in pieces, with the bytes that were held back.
    pub fn end_str(&mut self, held: &[u8]) {
        self.text(held).raw("</string></value>\n");
    }

    /// An integer. XML-RPC has 32 bits for it; what is larger is capped.
    pub fn int(&mut self, n: i64) {
        let n = n.clamp(i64::from(i32::MIN), i64::from(i32::MAX));
        self.raw("<value><int>").digits(n).raw("</int></value>\n");
    }

    fn digits(&mut self, n: i64) -> &mut Writer {
        let mut digits = [0_u8; 20];
        let mut at = digits.len();
        let mut left = n.unsigned_abs();
        loop {
            at -= 1;
            digits[at] = b'0' + u8::try_from(left % 10).unwrap_or(0);
            left /= 10;
            if left == 0 {
                break;
            }
        }
        if n < 0 {
            self.out.push(b'-');
        }
        self.out.extend_from_slice(&digits[at..]);
        self
    }

    /// A boolean.
    pub fn bool(&mut self, b: bool) {
        let digit = if b { "1" } else { "0" };
        self.raw("<value><boolean>").raw(digit).raw("</boolean></value>\n");
    }

    /// Begins an array; values follow.
    pub fn begin_array(&mut self) {
        self.raw("<value><array><data>\n");
    }

    /// Ends an array.
    pub fn end_array(&mut self) {
        self.raw("</data></array></value>\n");
    }

    /// An array of what `fill` writes.
    pub fn array(&mut self, fill: impl FnOnce(&mut Writer)) {
        self.begin_array();
        fill(self);
        self.end_array();
    }

    /// A struct of the members that `fill` writes with [`Writer::member`].
    pub fn structure(&mut self, fill: impl FnOnce(&mut Writer)) {
        self.raw("<value><struct>\n");
        fill(self);
        self.raw("</struct></value>\n");
    }

    /// A member of a struct, whose one value `fill` writes.
    pub fn member(&mut self, name: &str, fill: impl FnOnce(&mut Writer)) {
        self.raw("<member>\n<name>").text(name.as_bytes()).raw("</name>\n");
        fill(self);
        self.raw("</member>\n");
    }

    /// A fault as a value, as it stands in the answer of a multicall.
    pub fn fault(&mut self, fault: &Fault) {
        self.structure(|w| {
            w.member("faultCode", |w| w.int(fault.code.into()));
            w.member("faultString", |w| w.str(&fault.text));
        });
    }

    /// Any value.
    pub fn value(&mut self, value: &Value) {
        match value {
            Value::Int(n) => self.int(*n),
            Value::Bool(b) => self.bool(*b),
            Value::Str(text) => self.str(text),
            Value::Double(d) => {
                self.raw("<value><double>").raw(&format!("{d:?}")).raw("</double></value>\n");
            }
            Value::Base64(bytes) => {
                let text = base64::engine::general_purpose::STANDARD.encode(bytes);
                self.raw("<value><base64>\n").raw(&text).raw("\n</base64></value>\n");
            }
            Value::DateTime(text) => {
                self.raw("<value><dateTime.iso8601>").text(text.as_bytes());
                self.raw("</dateTime.iso8601></value>\n");
            }
            Value::Array(list) => self.array(|w| list.iter().for_each(|v| w.value(v))),
            Value::Struct(members) => self.structure(|w| {
                for (name, v) in members {
                    w.member(name, |w| w.value(v));
                }
            }),
            Value::Nil => {
                self.raw("<value><nil/></value>\n");
            }
        }
    }

    /// Character data. Whole stretches without anything to replace are copied at once.
    fn text(&mut self, bytes: &[u8]) -> &mut Writer {
        if bytes.iter().all(|b| PLAIN[usize::from(*b)]) {
            self.out.extend_from_slice(bytes);
            return self;
        }
        for chunk in bytes.utf8_chunks() {
            self.valid(chunk.valid());
            if !chunk.invalid().is_empty() {
                self.raw("\u{fffd}");
            }
        }
        self
    }

    fn valid(&mut self, text: &str) {
        let bytes = text.as_bytes();
        let mut done = 0;
        for (i, b) in bytes.iter().enumerate() {
            let (instead, len) = match b {
                b'&' => ("&amp;", 1),
                b'<' => ("&lt;", 1),
                b'>' => ("&gt;", 1),
                // A parser would turn it into a line feed.
                b'\r' => ("&#13;", 1),
                b'\t' | b'\n' => continue,
                0..0x20 => ("\u{fffd}", 1),
                // U+FFFE and U+FFFF
                0xef if matches!(bytes.get(i + 1..i + 3), Some([0xbf, 0xbe | 0xbf])) => ("\u{fffd}", 3),
                _ => continue,
            };
            self.out.extend_from_slice(&bytes[done..i]);
            self.raw(instead);
            done = i + len;
        }
        self.out.extend_from_slice(&bytes[done..]);
    }
}

/// How many bytes at the end are the beginning of a character whose rest is missing.
fn unfinished(bytes: &[u8]) -> usize {
    let from = bytes.len().saturating_sub(3);
    let lead = (from..bytes.len()).rev().find(|i| bytes[*i] & 0xc0 != 0x80);
    let Some(lead) = lead else { return 0 };
    match std::str::from_utf8(&bytes[lead..]) {
        Err(e) if e.valid_up_to() == 0 && e.error_len().is_none() => bytes.len() - lead,
        _ => 0,
    }
}

/// What a document of XML 1.0 can carry.
pub(super) fn is_xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | '\u{20}'..='\u{fffd}' | '\u{10000}'..)
}
