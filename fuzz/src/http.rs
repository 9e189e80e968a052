//! The look at a request's raw head, before the parser has one.

use crate::{Kind, hash, kind_of};
use supers_api::server::inspect_head;

/// Bytes of a head; a longer one is refused whatever it holds.
const HEAD: usize = 16 * 1024;

/// All answers that a head alone can bring.
const STATUSES: [u16; 5] = [400, 411, 413, 431, 501];

pub(crate) const WORDS: &[&str] = &[
    "GET / HTTP/1.1\r\n",
    "POST /RPC2 HTTP/1.0\r\n",
    "DELETE /x?a=b HTTP/1.1",
    "HTTP/1.1",
    "\r\n\r\n",
    "\r\n",
    "\n",
    "\r",
    "Content-Length: 5\r\n",
    "content-length:0\r\n",
    "Transfer-Encoding: chunked\r\n",
    "Host: localhost:9001\r\n",
    "Authorization: Basic dTpw\r\n",
    "Expect: 100-continue\r\n",
    "Content_Length: 1\r\n",
    ": ",
    "\t",
    " ",
    "18446744073709551616",
    "999999999999999",
    "+1",
    "0x10",
    "5, 5",
];

/// A beginning that is judged is judged as the whole is, so pieces do not matter; what is called sound can
/// be understood in one way only, and as it is told.
pub fn http(data: &[u8]) -> Kind {
    let whole = inspect_head(data);
    for at in places(data) {
        let part = inspect_head(data.get(..at).unwrap_or(data));
        match (part, whole) {
            (Ok(None), _) => {}
            // A head that is too long may have a worse fault further on.
            (Err(431), Err(_)) if at >= HEAD => {}
            (early, late) => assert_eq!(early, late, "the first {at} bytes, and all"),
        }
    }
    match whole {
        Ok(None) => assert!(data.len() < HEAD, "a head without an end is waited for"),
        Ok(Some((skip, head, body))) => sound(data, skip, head, body),
        Err(status) => assert!(STATUSES.contains(&status), "{status}"),
    }
    kind_of(&(
        whole.map(|seen| seen.map(|(skip, head, body)| (skip, head.ilog2(), body.min(20)))),
        data.iter().filter(|b| **b == b'\n').count().min(8),
    ))
}

/// Where the bytes are cut: everywhere, or at some places of a long text.
fn places(data: &[u8]) -> Vec<usize> {
    if data.len() <= 128 {
        return (0..data.len()).collect();
    }
    let far = usize::try_from(hash(data) % data.len() as u64).unwrap_or(0);
    let ends = data.iter().enumerate().filter(|(_, b)| matches!(b, b'\r' | b'\n')).take(16);
    ends.flat_map(|(at, _)| [at, at + 1]).chain([1, far, data.len() - 1]).collect()
}

/// What any reader must make of it.
fn sound(data: &[u8], skip: usize, head: usize, body: u64) {
    assert!(head <= HEAD, "a head of {head} bytes");
    assert!(skip == 0 || (skip == 2 && data.starts_with(b"\r\n")));
    let text = data.get(skip..head).unwrap_or_else(|| panic!("a head longer than the text"));
    let text = text.strip_suffix(b"\r\n\r\n").unwrap_or_else(|| panic!("a head without its end"));
    // Nothing that somebody takes for the end of a line or of the text, other than CR LF.
    let lines: Vec<&[u8]> = text.split(|b| *b == b'\n').map(|l| l.strip_suffix(b"\r").unwrap_or(l)).collect();
    assert_eq!(lines.len() - 1, text.windows(2).filter(|two| two == b"\r\n").count());
    let stray = |b: &u8| (*b < b' ' && *b != b'\t') || *b == 0x7f;
    assert!(!lines.iter().any(|l| l.is_empty() || l.iter().any(stray)), "a stray byte, or two ends");

    let mut lengths = Vec::new();
    for line in lines.iter().skip(1) {
        assert!(!line.starts_with(b" ") && !line.starts_with(b"\t"), "a fold");
        let colon = line.iter().position(|b| *b == b':').unwrap_or_else(|| panic!("no colon"));
        let (name, value) = line.split_at(colon);
        assert!(name.iter().all(|b| b.is_ascii_graphic()) && !name.is_empty(), "a name with a gap");
        let name = name.to_ascii_lowercase();
        assert!(name != b"transfer-encoding" && name != b"transfer_encoding", "a body in pieces");
        if name == b"content-length" {
            let value = String::from_utf8_lossy(value).trim_start_matches(':').trim().to_owned();
            lengths.push(value.parse::<u64>().ok());
        }
    }
    match lengths.as_slice() {
        [] => assert_eq!(body, 0),
        [one] => assert_eq!(*one, Some(body)),
        many => panic!("{} lengths", many.len()),
    }
    let bodyless = [b"GET ".as_slice(), b"HEAD ", b"OPTIONS ", b"DELETE "];
    assert!(body == 0 || !bodyless.iter().any(|m| text.starts_with(m)), "a body where none may be");
}
