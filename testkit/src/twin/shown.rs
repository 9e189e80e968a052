//! How answers and files look in a transcript.

use super::http::Answer;
use super::process::show;
use super::steps::{Out, io};
use super::{normal, rpc, words};
use std::fs;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::Path;

/// Headers that clients look at, or that the contract names.
const HEADERS: [&str; 10] = [
    "content-type",
    "content-length",
    "connection",
    "cache-control",
    "pragma",
    "expires",
    "location",
    "transfer-encoding",
    "www-authenticate",
    "x-accel-buffering",
];

/// An answer to a call: the reply, or what came instead.
pub(super) fn spoken(answer: &Answer) -> String {
    match answer.status.as_str() {
        "HTTP/1.1 200 OK" => rpc::reply(&String::from_utf8_lossy(&answer.body)),
        _ => shown(answer, false),
    }
}

pub(super) fn shown(answer: &Answer, body: bool) -> String {
    let mut out = String::new();
    if !answer.status.is_empty() {
        out.push_str(&format!("  {}\n", answer.status));
    }
    for name in &HEADERS {
        // The length follows from the body, which is compared itself.
        if let Some(value) = answer.header(name) {
            let value = match *name {
                "content-length" => "N".into(),
                "connection" => value.to_lowercase(),
                _ => decoded(value),
            };
            out.push_str(&format!("  {name}: {value}\n"));
        }
    }
    // The words of an error page are each one's own.
    if body && answer.status.contains(" 200 ") {
        out.push_str(&show(&String::from_utf8_lossy(&answer.body), ""));
    }
    if let Some(trouble) = &answer.trouble {
        out.push_str(&format!("  ({trouble})\n"));
    }
    out
}

/// Percent-encoded text as text, so that dates in it are recognised.
fn decoded(text: &str) -> String {
    let mut bytes = Vec::new();
    let mut rest = text.as_bytes();
    while let [byte, tail @ ..] = rest {
        let code = (*byte == b'%').then(|| tail.get(..2)).flatten();
        let code = code.and_then(|c| u8::from_str_radix(&String::from_utf8_lossy(c), 16).ok());
        (bytes, rest) = match code {
            Some(code) => ([bytes, vec![code]].concat(), &tail[2..]),
            None => ([bytes, vec![*byte]].concat(), tail),
        };
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

pub(super) fn unquote(text: &str) -> Out {
    Ok(words::texts(text)?.join(" "))
}

pub(super) fn append(path: &Path, text: &str) -> std::io::Result<()> {
    use std::io::Write;
    fs::OpenOptions::new().create(true).append(true).open(path)?.write_all(text.as_bytes())
}

pub(super) fn file(path: &Path) -> String {
    match fs::read(path) {
        Ok(bytes) if bytes.is_empty() => "  empty\n".into(),
        Ok(bytes) => show(&normal::bare_pids(&String::from_utf8_lossy(&bytes)), ""),
        Err(_) => "  absent\n".into(),
    }
}

pub(super) fn stat(path: &Path) -> String {
    let Ok(meta) = fs::symlink_metadata(path) else { return "  absent\n".into() };
    let kind = match meta.file_type() {
        t if t.is_socket() => "socket",
        t if t.is_dir() => "folder",
        t if t.is_symlink() => "link",
        t if t.is_fifo() => "pipe",
        _ => "file",
    };
    format!("  {kind} {:04o} {}:{}\n", meta.permissions().mode() & 0o7777, meta.uid(), meta.gid())
}

pub(super) fn list(path: &Path) -> Out {
    let mut names: Vec<String> = fs::read_dir(path)
        .map_err(io)?
        .flatten()
        .map(|e| format!("  {}\n", e.file_name().to_string_lossy()))
        .collect();
    names.sort();
    Ok(names.concat())
}

/// Rows in one order: they came as the programs became ready, which is each run's own.
pub(super) fn sorted(text: &str) -> String {
    let mut head = String::new();
    let mut rows: Vec<String> = Vec::new();
    for line in text.split_inclusive('\n') {
        let begins = ["    - ", "  |", "  exit "].iter().any(|b| line.starts_with(b));
        match rows.last_mut() {
            _ if begins => rows.push(line.into()),
            Some(row) => row.push_str(line),
            None => head.push_str(line),
        }
    }
    rows.sort();
    head + &rows.concat()
}

pub(super) fn indent(text: &str) -> String {
    text.lines().map(|l| format!("  {l}\n")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_are_sorted_whole() {
        assert_eq!(sorted("  array\n    - b\n      1\n    - a\n"), "  array\n    - a\n    - b\n      1\n");
    }

    #[test]
    fn percent_and_quotes() {
        assert_eq!(decoded("a%20b%3a%zz"), "a b:%zz");
        assert_eq!(unquote(r#""a\n" b"#).unwrap(), "a\n b");
    }
}
