//! Log files that the daemon names itself (supervisor-contract 8, `AUTO`).

use std::collections::hash_map::RandomState;
use std::fs::{self, OpenOptions};
use std::hash::BuildHasher;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

const LETTERS: &[u8; 37] = b"abcdefghijklmnopqrstuvwxyz0123456789_";

/// Makes `<dir>/<process>-<stdout or stderr>---<identifier>-<8 random>.log`, mode 0600.
pub(super) fn make(
    dir: &Path,
    process: &str,
    stderr: bool,
    identifier: &str,
    salt: u32,
) -> io::Result<PathBuf> {
    let stream = if stderr { "stderr" } else { "stdout" };
    let process = process.replace('/', "%2F");
    let mut tries = 0;
    loop {
        let path = dir.join(format!("{process}-{stream}---{identifier}-{}.log", random_name(salt)));
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => return Ok(path),
            Err(e) if e.kind() == io::ErrorKind::AlreadyExists && tries < 100 => tries += 1,
            Err(e) => return Err(e),
        }
    }
}

/// Eight letters that differ from call to call; they need to be rare, not secret.
fn random_name(salt: u32) -> String {
    let mut number = RandomState::new().hash_one(salt);
    let mut name = String::with_capacity(8);
    for _ in 0..8 {
        name.push(char::from(LETTERS[(number % 37) as usize]));
        number /= 37;
    }
    name
}

/// Deletes the `AUTO` logs that an earlier daemon of this identifier left in `dir`, their backups
/// included; called once at the start. Returns how many were deleted: what cannot be read or deleted is
/// left alone.
pub fn cleanup_auto(dir: &Path, identifier: &str) -> usize {
    let entries = fs::read_dir(dir).into_iter().flatten().flatten();
    let stale = entries.filter(|entry| {
        is_auto(entry.file_name().as_bytes(), identifier) && entry.file_type().is_ok_and(|t| !t.is_dir())
    });
    stale.filter(|entry| fs::remove_file(entry.path()).is_ok()).count()
}

/// `.+?---<identifier>-\S+\.log\.?\d{0,4}`, as a whole.
fn is_auto(name: &[u8], identifier: &str) -> bool {
    let Ok(name) = std::str::from_utf8(name) else { return false };
    let marker = format!("---{identifier}-");
    let Some(at) = name.match_indices(&marker).map(|(at, _)| at).find(|at| *at > 0) else { return false };
    let rest = &name[at + marker.len()..];
    let digits = rest.bytes().rev().take_while(u8::is_ascii_digit).count();
    let stem = &rest[..rest.len() - digits];
    let stem = stem.strip_suffix('.').unwrap_or(stem);
    let unique = stem.strip_suffix(".log");
    digits <= 4 && unique.is_some_and(|u| !u.is_empty() && !u.contains(char::is_whitespace))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_files_are_stale() {
        for name in ["web-stdout---sv-a1b2c3_d.log", "web-stderr---sv-a1b2c3_d.log.12", "w---sv-x.log1"] {
            assert!(is_auto(name.as_bytes(), "sv"), "{name}");
        }
        for name in ["---sv-abc.log", "web---other-abc.log", "web---sv-.log", "web---sv-a b.log", "web.log"] {
            assert!(!is_auto(name.as_bytes(), "sv"), "{name}");
        }
        assert!(!is_auto(b"web---sv-abc.log.12345", "sv"));
    }

    #[test]
    fn made_private_and_cleaned_up() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let one = make(dir.path(), "web", false, "sv", 1).unwrap();
        let two = make(dir.path(), "web", false, "sv", 1).unwrap();
        assert_ne!(one, two);
        assert_eq!(fs::metadata(&one).unwrap().permissions().mode() & 0o777, 0o600);
        let other = dir.path().join("keep.log");
        fs::write(&other, "x").unwrap();
        assert_eq!(cleanup_auto(dir.path(), "sv"), 2);
        assert!(other.exists() && !one.exists());
    }
}
