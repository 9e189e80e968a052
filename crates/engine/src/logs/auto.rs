//! Log files that the daemon names itself (supervisor-contract 8, `AUTO`).

use super::{Logs, Shared, hash, lock};
use bstr::{BString, ByteSlice};
use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::fs::{self, OpenOptions};
use std::hash::BuildHasher;
use std::io;
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use supers_core::ids::UnitId;
use supers_core::spec::{Output, Sink, Target};

/// A file that the daemon named.
#[derive(Clone)]
pub(super) struct AutoFile {
    /// A fingerprint of folder and identifier.
    key: u64,
    /// Its name.
    pub(super) path: PathBuf,
}

impl Logs {
    /// Makes a unit's `AUTO` files, as is done when its group is added: they are there before its first
    /// start. Returns the paths of both log files, empty for none. Blocking.
    ///
    /// # Errors
    /// A file cannot be made. A start then tries again.
    pub fn prepare(&self, unit: UnitId, name: &str, output: &Output) -> io::Result<[BString; 2]> {
        let path = |stderr: bool, sink: &Sink| {
            Ok::<BString, io::Error>(match &sink.target {
                Target::Null => BString::default(),
                Target::File(path) => path.clone(),
                Target::Auto { dir, identifier } => {
                    let dir = Path::new(OsStr::from_bytes(dir));
                    let path = self.shared.auto_file(unit, name, stderr, dir, identifier)?;
                    path.into_os_string().into_vec().into()
                }
            })
        };
        let stderr = output.stderr.as_ref().map_or_else(|| Ok(BString::default()), |sink| path(true, sink));
        Ok([path(false, &output.stdout)?, stderr?])
    }
}

impl Shared {
    /// The file of one stream, made when it is asked for first.
    pub(super) fn auto_file(
        &self,
        unit: UnitId,
        name: &str,
        stderr: bool,
        dir: &Path,
        identifier: &str,
    ) -> io::Result<PathBuf> {
        let mut key = dir.as_os_str().as_bytes().to_vec();
        key.push(0);
        key.extend_from_slice(identifier.as_bytes());
        let key = hash(&key);
        let mut autos = lock(&self.autos);
        let place = &mut autos.entry(unit).or_default()[usize::from(stderr)];
        if let Some(known) = place.as_ref().filter(|known| known.key == key) {
            return Ok(known.path.clone());
        }
        let path = make(dir, process_name(name), stderr, identifier, unit.0)?;
        *place = Some(AutoFile { key, path: path.clone() });
        Ok(path)
    }
}

/// The process' part of a unit's full name.
pub(super) fn process_name(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

const LETTERS: &[u8; 37] = b"abcdefghijklmnopqrstuvwxyz0123456789_";

/// Makes `<dir>/<process>-<stdout or stderr>---<identifier>-<8 random>.log`, mode 0600.
fn make(dir: &Path, process: &str, stderr: bool, identifier: &str, salt: u32) -> io::Result<PathBuf> {
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

/// `.+?---<identifier>-\S+\.log\.?\d{0,4}` at the beginning of the name: the rest may be anything, as in
/// the ancestor.
fn is_auto(name: &[u8], identifier: &str) -> bool {
    let marker = format!("---{identifier}-");
    name.find_iter(&marker).filter(|at| *at > 0).any(|at| {
        let rest = &name[at + marker.len()..];
        let word = rest.find_byteset(b" \t\n\r\x0b\x0c").map_or(rest, |end| &rest[..end]);
        word.get(1..).is_some_and(|w| w.contains_str(".log"))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_our_own_files_are_stale() {
        for name in [
            "web-stdout---sv-a1b2c3_d.log",
            "web-stderr---sv-a1b2c3_d.log.12",
            "w---sv-x.log1",
            "a---sv-b c---sv-d.log",
            "w---sv-x.log.bak",
        ] {
            assert!(is_auto(name.as_bytes(), "sv"), "{name}");
        }
        for name in ["---sv-abc.log", "web---other-abc.log", "web---sv-.log", "web---sv-a b.log", "web.log"] {
            assert!(!is_auto(name.as_bytes(), "sv"), "{name}");
        }
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
