//! Reading files: the only module that touches the file system, and it only reads.

use crate::places::{Look, Seen};
use bstr::{BString, ByteSlice};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::{Path, PathBuf};

/// A larger file is no configuration.
pub const MAX_FILE: u64 = 1 << 20;

/// Why a file cannot be used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// Line from 1; 0 when it concerns the whole file.
    pub line: u32,
    /// Column from 1; 0 unknown.
    pub column: u32,
    /// One sentence without the file's name.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
}

/// The text of a file: UTF-8, at most [`MAX_FILE`] bytes, without a byte order mark and NUL bytes.
///
/// # Errors
/// The file cannot be read, is no regular file, is too large, or is no text.
pub fn read_text(path: &Path) -> Result<String, Trouble> {
    let whole = |message: String| Trouble { line: 0, column: 0, message, hint: None };
    let meta = std::fs::metadata(path).map_err(|e| whole(format!("cannot be read: {}", reason(&e))))?;
    if !meta.is_file() {
        // Opening a FIFO would wait for a writer.
        return Err(whole("is not a regular file".into()));
    }
    let mut bytes = Vec::new();
    std::fs::File::open(path)
        .and_then(|f| f.take(MAX_FILE + 1).read_to_end(&mut bytes))
        .map_err(|e| whole(format!("cannot be read: {}", reason(&e))))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(whole("is larger than 1 MiB, which is no configuration".into()));
    }
    text_of(bytes)
}

/// Checks that the bytes are text.
pub(crate) fn text_of(bytes: Vec<u8>) -> Result<String, Trouble> {
    let start = if bytes.starts_with(b"\xef\xbb\xbf") { 3 } else { 0 };
    let bad = match std::str::from_utf8(&bytes) {
        Ok(_) => None,
        Err(e) => Some((e.valid_up_to(), "is not UTF-8 text", "save the file as UTF-8")),
    };
    let nul = bytes.find_byte(0).map(|at| (at, "holds a NUL byte", "remove it"));
    let first = [bad, nul].into_iter().flatten().min_by_key(|f| f.0);
    if let Some((at, what, hint)) = first {
        let (line, column) = line_and_column(&bytes, at);
        return Err(Trouble { line, column, message: what.into(), hint: Some(hint.into()) });
    }
    let mut text = String::from_utf8(bytes).unwrap_or_default();
    text.drain(..start);
    Ok(text)
}

fn line_and_column(bytes: &[u8], at: usize) -> (u32, u32) {
    let before = &bytes[..at];
    let line_start = before.rfind_byte(b'\n').map_or(0, |i| i + 1);
    let line = before.iter().filter(|b| **b == b'\n').count() + 1;
    let column = before[line_start..].chars().count() + 1;
    (u32::try_from(line).unwrap_or(u32::MAX), u32::try_from(column).unwrap_or(u32::MAX))
}

/// The kernel's words without Rust's `(os error 2)`.
fn reason(e: &io::Error) -> String {
    let text = e.to_string();
    match text.find(" (os error") {
        Some(i) => text[..i].to_string(),
        None => text,
    }
}

/// Names in a folder that are neither hidden nor somebody's backup, sorted.
///
/// # Errors
/// The folder cannot be read.
pub fn names_in(dir: &Path) -> Result<Vec<BString>, String> {
    let entries = std::fs::read_dir(dir).map_err(|e| reason(&e))?;
    let mut names: Vec<BString> = Vec::new();
    for entry in entries {
        let name = BString::from(entry.map_err(|e| reason(&e))?.file_name().into_vec());
        if !is_hidden(&name) {
            names.push(name);
        }
    }
    names.sort();
    Ok(names)
}

/// Hidden files and backups that editors and package managers leave behind.
pub(crate) fn is_hidden(name: &[u8]) -> bool {
    const LEFTOVERS: [&[u8]; 7] =
        [b"~", b".bak", b".swp", b".rpmsave", b".rpmnew", b".dpkg-old", b".dpkg-dist"];
    name.starts_with(b".") || name.starts_with(b"#") || LEFTOVERS.iter().any(|end| name.ends_with(end))
}

/// True for a file of any kind.
pub(crate) fn exists(path: &Path) -> bool {
    path.exists()
}

/// True for an existing folder.
pub(crate) fn is_dir(path: &Path) -> bool {
    path.is_dir()
}

/// How a unit is forbidden, as systemd has it: a link to `/dev/null`, or a file without a byte.
pub(crate) fn masked(path: &Path) -> Option<&'static str> {
    if std::fs::read_link(path).is_ok_and(|to| to == Path::new("/dev/null")) {
        return Some("masked: the file is a link to /dev/null");
    }
    let meta = std::fs::metadata(path).ok()?;
    (meta.is_file() && meta.len() == 0).then_some("masked: the file is empty")
}

/// The files that match a shell pattern, sorted.
///
/// # Errors
/// The pattern is malformed.
pub fn glob(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let Some(pattern) = pattern.to_str() else { return Err("the pattern is not UTF-8".into()) };
    let options = glob::MatchOptions {
        case_sensitive: true,
        require_literal_separator: true,
        require_literal_leading_dot: true,
    };
    let found = glob::glob_with(pattern, options).map_err(|e| e.msg.to_string())?;
    let mut paths: Vec<PathBuf> = found.filter_map(Result::ok).collect();
    paths.sort();
    Ok(paths)
}

/// The same by the rules of Python's `glob`: `**` is `*`, and a bracket without its end is a letter.
pub(crate) fn python_glob(pattern: &Path) -> Result<Vec<PathBuf>, String> {
    let Some(text) = pattern.to_str() else { return Err("the pattern is not UTF-8".into()) };
    let mut plain = String::new();
    for (at, c) in text.char_indices() {
        match c {
            '*' if plain.ends_with('*') => {}
            // The first letter inside is no end: `[]]` is a set.
            '[' if !text[at + 1..].chars().skip(1).any(|c| c == ']') => plain.push_str("[[]"),
            c => plain.push(c),
        }
    }
    glob(Path::new(&plain))
}

/// The real file system, for [`crate::places::find`].
#[derive(Clone, Copy, Debug)]
pub struct Disk;

impl Look for Disk {
    fn look(&self, path: &Path) -> Seen {
        match std::fs::metadata(path) {
            Ok(m) if m.is_dir() => Seen::Dir,
            Ok(_) => Seen::File,
            Err(e) if e.kind() == io::ErrorKind::NotFound => Seen::Nothing,
            Err(e) => Seen::Unreadable(reason(&e)),
        }
    }

    fn holds_units(&self, dir: &Path) -> bool {
        let Ok(names) = names_in(dir) else { return false };
        names.iter().any(|n| n.ends_with(b".service") || n.ends_with(b".conf"))
    }

    fn canonical(&self, path: &Path) -> Option<PathBuf> {
        std::fs::canonicalize(path).ok()
    }
}

/// A path as the bytes it is.
pub(crate) fn bytes_of(path: &Path) -> BString {
    BString::from(path.as_os_str().as_bytes())
}

/// Bytes as a path.
pub(crate) fn path_of(bytes: &[u8]) -> PathBuf {
    PathBuf::from(std::ffi::OsStr::from_bytes(bytes))
}

/// Joins to `base` unless absolute, and takes `.`, `..` and doubled slashes out without looking at
/// the disk.
pub(crate) fn absolute(base: &Path, path: &Path) -> PathBuf {
    let mut out = PathBuf::from("/");
    for part in base.join(path).components() {
        match part {
            std::path::Component::Normal(p) => out.push(p),
            std::path::Component::ParentDir => {
                out.pop();
            }
            std::path::Component::CurDir
            | std::path::Component::RootDir
            | std::path::Component::Prefix(_) => {}
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_of_python() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::create_dir_all(dir.path().join("d/e")).unwrap();
        for name in ["[x", "d/a.ini", "d/e/b.ini"] {
            std::fs::write(dir.path().join(name), "").unwrap();
        }
        let found = |p: &str| -> Vec<String> {
            let paths = python_glob(&dir.path().join(p)).unwrap();
            paths.iter().map(|p| p.strip_prefix(dir.path()).unwrap().display().to_string()).collect()
        };
        assert_eq!(found("[x"), ["[x"]);
        assert_eq!(found("**/*.ini"), ["d/a.ini"]);
        assert_eq!(found("d/[ab].ini"), ["d/a.ini"]);
    }

    #[test]
    fn what_is_text() {
        assert_eq!(text_of(b"\xef\xbb\xbfa".to_vec()).unwrap(), "a");
        let bad = text_of(b"ab\ncd\xffe".to_vec()).unwrap_err();
        assert_eq!((bad.line, bad.column, bad.message.as_str()), (2, 3, "is not UTF-8 text"));
        let bad = text_of(b"x\0\n\xff".to_vec()).unwrap_err();
        assert_eq!((bad.line, bad.column, bad.message.as_str()), (1, 2, "holds a NUL byte"));
    }

    #[test]
    fn what_is_hidden() {
        for name in [".x.service", "x.service~", "#x#", "x.conf.dpkg-old", "x.service.bak"] {
            assert!(is_hidden(name.as_bytes()), "{name}");
        }
        assert!(!is_hidden(b"x.service"));
    }

    #[test]
    fn absolute_paths() {
        let base = Path::new("/a/b");
        for (path, want) in [("c", "/a/b/c"), ("../c", "/a/c"), ("/x//y/./z", "/x/y/z"), ("../../..", "/")] {
            assert_eq!(absolute(base, Path::new(path)), Path::new(want));
        }
    }

    #[test]
    fn a_file_that_is_none() {
        let dir = tempfile::tempdir().unwrap();
        assert_eq!(read_text(dir.path()).unwrap_err().message, "is not a regular file");
        let gone = read_text(&dir.path().join("gone")).unwrap_err();
        assert_eq!(gone.message, "cannot be read: No such file or directory");
        let big = dir.path().join("big");
        std::fs::write(&big, vec![b'x'; MAX_FILE as usize + 1]).unwrap();
        assert!(read_text(&big).unwrap_err().message.contains("1 MiB"));
    }
}
