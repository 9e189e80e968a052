//! Finding the program that a command names.

use bstr::{BStr, BString, ByteSlice};
use std::ffi::{CString, OsStr};
use std::fs::Metadata;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use supers_core::exit::{Stage, StartError};

/// Searched when no PATH is set (supervisor-contract 6).
pub const DEFAULT_PATH: &str = "/bin:/usr/bin:/usr/local/bin";

/// The path of the program that `program` names: itself when it holds a `/`, else the first entry of
/// `path` under which it *exists*; only then is it judged (supervisor-contract 5 and 6).
///
/// # Errors
/// [`Stage::Command`] with Supervisor's sentence: `can't find command 'X'`, `command at 'X' is a
/// directory`, `command at 'X' is not executable`, `no permission to run command 'X'`, `command is empty`.
pub fn resolve(program: &BStr, path: Option<&BStr>) -> Result<CString, StartError> {
    if program.is_empty() {
        return Err(fault(0, "command is empty".into()));
    }
    let (found, meta) = if program.contains(&b'/') {
        stat(program).map(|meta| (program.to_owned(), meta)).map_err(|e| not_found(program, &e))?
    } else {
        search(program, path.unwrap_or(BStr::new(DEFAULT_PATH)))?
    };
    judge(found.as_bstr(), &meta)?;
    CString::new(Vec::from(found)).map_err(|_| not_found(program, &io::ErrorKind::NotFound.into()))
}

fn search(program: &BStr, path: &BStr) -> Result<(BString, Metadata), StartError> {
    for dir in path.split_str(":") {
        // An empty entry is the current directory.
        let dir = if dir.is_empty() { b"." } else { dir };
        let candidate = BString::from([dir, b"/", program.as_bytes()].concat());
        if let Ok(meta) = stat(candidate.as_bstr()) {
            return Ok((candidate, meta));
        }
    }
    Err(not_found(program, &io::Error::from_raw_os_error(libc::ENOENT)))
}

fn judge(found: &BStr, meta: &Metadata) -> Result<(), StartError> {
    if meta.is_dir() {
        return Err(fault(libc::EISDIR, format!("command at '{found}' is a directory")));
    }
    if meta.permissions().mode() & 0o111 == 0 {
        return Err(fault(libc::EACCES, format!("command at '{found}' is not executable")));
    }
    if !crate::process::is_executable(path_of(found)) {
        return Err(fault(libc::EACCES, format!("no permission to run command '{found}'")));
    }
    Ok(())
}

fn stat(path: &BStr) -> io::Result<Metadata> {
    std::fs::metadata(path_of(path))
}

fn path_of(path: &BStr) -> &Path {
    Path::new(OsStr::from_bytes(path))
}

fn not_found(program: &BStr, e: &io::Error) -> StartError {
    fault(e.raw_os_error().unwrap_or(libc::ENOENT), format!("can't find command '{program}'"))
}

fn fault(errno: i32, text: String) -> StartError {
    StartError { stage: Stage::Command, errno, text }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn text(program: &str, path: Option<&str>) -> String {
        match resolve(program.into(), path.map(BStr::new)) {
            Ok(found) => found.into_string().unwrap(),
            Err(e) => {
                assert_eq!(e.stage, Stage::Command);
                e.text
            }
        }
    }

    #[test]
    fn contract_sentences() {
        let dir = tempfile::tempdir().unwrap();
        let plain = dir.path().join("plain");
        fs::write(&plain, "").unwrap();
        let (plain, folder) = (plain.display(), dir.path().display());
        assert_eq!(text("", None), "command is empty");
        assert_eq!(text("/no/such", None), "can't find command '/no/such'");
        assert_eq!(text("surely-no-such", None), "can't find command 'surely-no-such'");
        assert_eq!(text(&folder.to_string(), None), format!("command at '{folder}' is a directory"));
        assert_eq!(text(&plain.to_string(), None), format!("command at '{plain}' is not executable"));
        assert_eq!(text("a\0b", None), "can't find command 'a\0b'");
    }

    #[test]
    fn first_existing_entry_wins_even_when_it_cannot_run() {
        let (a, b) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let path = format!("/no/such:{}:{}", a.path().display(), b.path().display());
        for dir in [&a, &b] {
            fs::write(dir.path().join("tool"), "").unwrap();
        }
        fs::set_permissions(b.path().join("tool"), fs::Permissions::from_mode(0o755)).unwrap();
        let found = a.path().join("tool").display().to_string();
        assert_eq!(text("tool", Some(&path)), format!("command at '{found}' is not executable"));
        fs::remove_file(a.path().join("tool")).unwrap();
        assert_eq!(text("tool", Some(&path)), b.path().join("tool").display().to_string());
    }

    #[test]
    fn default_path_is_searched() {
        assert_eq!(text("sh", None), "/bin/sh");
    }
}
