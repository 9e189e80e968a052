//! Looks at a request's raw head before the parser does: what two readers could understand in two ways
//! is refused, whatever the parser would make of it.
//!
//! Chunked bodies are not accepted at all (411): no client of ours or of Supervisor sends them, and without
//! them the length of each request is one number that is known from its head.

/// Bytes of a head; more are refused with 431.
pub(super) const HEAD_BYTES: usize = 16 * 1024;
/// Lines of a head.
const LINES: usize = 100;
/// Digits of a length: fewer than u64 holds.
const DIGITS: usize = 15;

/// What stands at the beginning of the bytes of a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Seen {
    /// The head is not complete; so far it is sound.
    Part,
    /// A sound request.
    Request {
        /// Bytes before the request line that are to be skipped (one empty line).
        skip: usize,
        /// Bytes up to the end of the head, the skipped ones included.
        head: usize,
        /// Bytes of its body.
        body: u64,
    },
    /// To be answered with this status, and then to be closed.
    Refused(u16),
}

/// Judges the beginning of `bytes`.
pub(super) fn inspect(bytes: &[u8]) -> Seen {
    // Some old clients send an empty line after a body.
    let skip = if bytes.starts_with(b"\r\n") { 2 } else { 0 };
    let mut rest = bytes.get(skip..).unwrap_or_default();
    let mut head = Head::default();
    let mut used = skip;
    loop {
        let (line, length) = match line(rest) {
            Ok(Some(found)) => found,
            Ok(None) if bytes.len() >= HEAD_BYTES => return Seen::Refused(431),
            Ok(None) => return Seen::Part,
            Err(status) => return Seen::Refused(status),
        };
        used += length;
        rest = rest.get(length..).unwrap_or_default();
        if used > HEAD_BYTES || head.lines > LINES {
            return Seen::Refused(431);
        }
        let taken = match (head.lines, line) {
            (0, line) => head.request_line(line),
            (_, []) => {
                return match head.body() {
                    Ok(body) => Seen::Request { skip, head: used, body },
                    Err(status) => Seen::Refused(status),
                };
            }
            (_, line) => head.header(line),
        };
        if let Err(status) = taken {
            return Seen::Refused(status);
        }
        head.lines += 1;
    }
}

/// For the fuzz targets: a sound request is (skip, head, body), `None` a part of one, and an error a status.
#[doc(hidden)]
pub fn inspect_head(bytes: &[u8]) -> Result<Option<(usize, usize, u64)>, u16> {
    match inspect(bytes) {
        Seen::Part => Ok(None),
        Seen::Request { skip, head, body } => Ok(Some((skip, head, body))),
        Seen::Refused(status) => Err(status),
    }
}

/// The first line without its end, and its length with it. A byte that no line may hold is an error as
/// soon as it is seen.
fn line(bytes: &[u8]) -> Result<Option<(&[u8], usize)>, u16> {
    let Some(at) = bytes.iter().position(|b| (*b < b' ' && *b != b'\t') || *b == 0x7f) else {
        return Ok(None);
    };
    match bytes.get(at..) {
        Some([b'\r']) => Ok(None),
        Some([b'\r', b'\n', ..]) => Ok(bytes.get(..at).map(|line| (line, at + 2))),
        _ => Err(400),
    }
}

#[derive(Default)]
struct Head {
    lines: usize,
    /// GET and the like: there is no body.
    bodyless: bool,
    length: Option<u64>,
    coding: Option<Coding>,
    host: bool,
    authorization: bool,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Coding {
    Chunked,
    Other,
}

impl Head {
    fn request_line(&mut self, line: &[u8]) -> Result<(), u16> {
        let mut words = line.split(|b| *b == b' ');
        let (Some(method), Some(target), Some(version), None) =
            (words.next(), words.next(), words.next(), words.next())
        else {
            return Err(400);
        };
        if method.is_empty() || method.len() > 16 || !method.iter().all(u8::is_ascii_uppercase) {
            return Err(400);
        }
        let plain = |b: &u8| b.is_ascii_graphic() && *b != b'#';
        if !target.starts_with(b"/") || !target.iter().all(plain) {
            return Err(400);
        }
        if version != b"HTTP/1.1" && version != b"HTTP/1.0" {
            return Err(400);
        }
        self.bodyless = match method {
            b"GET" | b"HEAD" | b"OPTIONS" | b"DELETE" => true,
            b"POST" | b"PUT" | b"PATCH" => false,
            _ => return Err(501),
        };
        Ok(())
    }

    fn header(&mut self, line: &[u8]) -> Result<(), u16> {
        // A line that begins with a space continues the one before for some readers, so no name has one.
        let colon = line.iter().position(|b| *b == b':').ok_or(400_u16)?;
        let (name, value) = line.split_at_checked(colon).ok_or(400_u16)?;
        if name.is_empty() || !name.iter().all(|b| is_token(*b)) {
            return Err(400);
        }
        let value = value.get(1..).unwrap_or_default().trim_ascii();
        let is = |wanted: &str| name.eq_ignore_ascii_case(wanted.as_bytes());
        if is("content-length") {
            return set(&mut self.length, length(value)?);
        }
        if is("transfer-encoding") {
            let coding = if value.eq_ignore_ascii_case(b"chunked") { Coding::Chunked } else { Coding::Other };
            return set(&mut self.coding, coding);
        }
        if is("host") {
            return if value.iter().all(|b| is_host(*b)) { once(&mut self.host) } else { Err(400) };
        }
        if is("authorization") {
            return once(&mut self.authorization);
        }
        if is("expect") && !value.eq_ignore_ascii_case(b"100-continue") {
            return Err(400);
        }
        // Gateways that make variables of names take these for the ones above.
        if is("content_length") || is("transfer_encoding") {
            return Err(400);
        }
        Ok(())
    }

    /// The length of the body.
    fn body(&self) -> Result<u64, u16> {
        match (self.coding, self.length) {
            (None, length) => {
                let length = length.unwrap_or(0);
                if self.bodyless && length > 0 { Err(400) } else { Ok(length) }
            }
            (Some(_), Some(_)) => Err(400),
            (Some(_), None) if self.bodyless => Err(400),
            (Some(Coding::Chunked), None) => Err(411),
            (Some(Coding::Other), None) => Err(501),
        }
    }
}

fn set<T>(place: &mut Option<T>, value: T) -> Result<(), u16> {
    if place.is_some() {
        return Err(400);
    }
    *place = Some(value);
    Ok(())
}

fn once(seen: &mut bool) -> Result<(), u16> {
    if std::mem::replace(seen, true) { Err(400) } else { Ok(()) }
}

fn length(value: &[u8]) -> Result<u64, u16> {
    if value.is_empty() || !value.iter().all(u8::is_ascii_digit) {
        return Err(400);
    }
    if value.len() > DIGITS {
        return Err(413);
    }
    Ok(value.iter().fold(0, |sum, b| sum * 10 + u64::from(b - b'0')))
}

fn is_token(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&b)
}

/// Names, addresses and ports: what may be repeated in the Location of a redirect.
fn is_host(b: u8) -> bool {
    b.is_ascii_alphanumeric() || b"-._~:[]%".contains(&b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn seen(head: &str) -> Seen {
        inspect(format!("{head}\r\n\r\n").as_bytes())
    }

    #[test]
    fn sound_requests() {
        for (head, body) in [
            ("GET / HTTP/1.1", 0),
            ("GET /a?b=c%20 HTTP/1.0\r\nHost: x:1\r\nX-Y:\tz\r\nA:", 0),
            ("GET / HTTP/1.1\r\ncontent-length: 0", 0),
            ("POST /RPC2 HTTP/1.1\r\nCONTENT-LENGTH:  012 \r\nHost: [::1]:9", 12),
            ("POST / HTTP/1.1", 0),
        ] {
            let whole = head.len() + 4;
            assert_eq!(seen(head), Seen::Request { skip: 0, head: whole, body }, "{head:?}");
            let one_line = format!("\r\n{head}\r\n\r\n");
            assert_eq!(inspect(one_line.as_bytes()), Seen::Request { skip: 2, head: whole + 2, body });
        }
        // The limit is of the head, not of what stands behind it.
        let long = format!("GET / HTTP/1.1\r\n\r\n{}", "x".repeat(HEAD_BYTES * 2));
        assert_eq!(inspect(long.as_bytes()), Seen::Request { skip: 0, head: 18, body: 0 });
    }

    /// All that the table of `tests/api/requests.rs` has, the parser would refuse in part as well; these are
    /// refused here.
    #[test]
    fn ambiguous_requests() {
        for (head, status) in [
            ("GET / HTTP/1.1\r\n folded: x", 400),
            ("GET / HTTP/1.1\r\na : x", 400),
            ("GET / HTTP/1.1\r\n: x", 400),
            ("GET / HTTP/1.1\r\na\nb: x", 400),
            ("GET / HTTP/1.1\r\na: b\rc", 400),
            ("GET / HTTP/1.1\r\na: b\0c", 400),
            ("GET / HTTP/1.1\r\nHost: a\r\nhost: a", 400),
            ("GET / HTTP/1.1\r\nHost: a/b", 400),
            ("GET / HTTP/1.1\r\nContent-Length: 1", 400),
            ("GET / HTTP/1.1\r\nTransfer-Encoding: chunked", 400),
            ("GET / HTTP/1.1\r\nExpect: the best", 400),
            ("GET / HTTP/1.1\r\nAuthorization: a\r\nAuthorization: b", 400),
            ("GET http://a/ HTTP/1.1", 400),
            ("GET /#a HTTP/1.1", 400),
            ("GET / HTTP/1.10", 400),
            ("GET /", 400),
            ("BREW / HTTP/1.1", 501),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1", 400),
            ("POST / HTTP/1.1\r\nContent-Length: +1", 400),
            ("POST / HTTP/1.1\r\nContent-Length: 1\r\nTransfer-Encoding: chunked", 400),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: chunked", 411),
            ("POST / HTTP/1.1\r\nTransfer-Encoding: gzip", 501),
        ] {
            assert_eq!(seen(head), Seen::Refused(status), "{head:?}");
        }
    }

    #[test]
    fn too_much() {
        assert_eq!(seen(&format!("GET / HTTP/1.1\r\na: {}", "x".repeat(HEAD_BYTES))), Seen::Refused(431));
        assert_eq!(inspect("GET /".repeat(HEAD_BYTES).as_bytes()), Seen::Refused(431));
        assert_eq!(seen(&format!("GET / HTTP/1.1{}", "\r\na: b".repeat(101))), Seen::Refused(431));
        assert_eq!(seen("POST / HTTP/1.1\r\nContent-Length: 9999999999999999"), Seen::Refused(413));
    }

    proptest! {
        /// A verdict does not depend on how the bytes arrive, and a sound head is as long as it says.
        #[test]
        fn pieces_change_nothing(text in "(GET|POST) /[a ]{0,2} HTTP/1.[01](\r\n(a|Host|Content-Length): ?[0-9x ]{0,3}){0,3}(\r\n\r\n|\n\n|\r)[ab]{0,3}", at in 0usize..80) {
            let bytes = text.as_bytes();
            let whole = inspect(bytes);
            match inspect(&bytes[..at.min(bytes.len())]) {
                Seen::Part => {}
                early => prop_assert_eq!(early, whole),
            }
            if let Seen::Request { head, .. } = whole {
                prop_assert!(bytes[..head].ends_with(b"\r\n\r\n"));
                prop_assert!(!bytes[..head - 4].windows(4).any(|w| w == b"\r\n\r\n"));
            }
        }
    }
}
