//! Log files that the daemon names itself (supervisor-contract 8, `AUTO`).
//!
//! Their names are noted in a file of the runtime folder, so that a daemon that takes over finds them again.
//! A name is noted before its file is made: what a crash leaves is at most a note of no file.

use super::{Logs, Shared, hash, lock};
use bstr::{BString, ByteSlice};
use std::collections::HashMap;
use std::collections::hash_map::RandomState;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::hash::BuildHasher;
use std::io::{self, Write};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use supers_core::ids::UnitId;
use supers_core::spec::{Output, Sink, Target};

/// Notes that are of no use any more and are put up with.
const STALE: usize = 1000;

/// A file that the daemon named.
#[derive(Clone)]
struct AutoFile {
    /// The unit's full name.
    name: Box<str>,
    /// A fingerprint of folder and identifier.
    key: u64,
    /// Its name.
    path: PathBuf,
}

/// All of them.
pub(super) struct Autos {
    units: HashMap<UnitId, [Option<AutoFile>; 2]>,
    /// What an earlier daemon noted and no unit has asked for yet, by unit's name and stream.
    found: HashMap<(Box<str>, bool), AutoFile>,
    /// Where the notes are, and how many.
    notes: PathBuf,
    file: Option<File>,
    count: usize,
}

impl Autos {
    /// Opens the notes; `adopt` reads what an earlier daemon left in them, which else is dropped.
    pub(super) fn open(notes: PathBuf, adopt: bool) -> Autos {
        let mut autos = Autos { units: HashMap::new(), found: HashMap::new(), notes, file: None, count: 0 };
        let before = if adopt { fs::read(&autos.notes).unwrap_or_default() } else { Vec::new() };
        for (stderr, file) in before.lines().filter_map(parse) {
            autos.found.insert((file.name.clone(), stderr), file);
        }
        if autos.found.is_empty() {
            // None is needed until there is something to note.
            let _ = fs::remove_file(&autos.notes);
        }
        autos.count = before.lines().count();
        autos
    }

    /// The file of a unit's stream.
    pub(super) fn path(&self, unit: UnitId, index: usize) -> Option<&Path> {
        Some(&self.units.get(&unit)?.get(index)?.as_ref()?.path)
    }

    /// The unit is removed.
    pub(super) fn forget(&mut self, unit: UnitId) {
        self.units.remove(&unit);
    }

    /// What nobody has asked for is of no use any more.
    pub(super) fn forget_rest(&mut self) {
        self.found.clear();
        if self.count > 0 {
            self.rewrite();
        }
    }

    /// Notes go on in a file without the stale ones. When it cannot be written a crash makes new `AUTO`
    /// files, and nothing else is different.
    fn rewrite(&mut self) {
        let units = self.units.values().flat_map(|files| files.iter().zip([false, true]));
        let live = units.filter_map(|(file, stderr)| Some((file.as_ref()?, stderr)));
        let found = self.found.iter().map(|((_, stderr), file)| (file, *stderr));
        let lines: Vec<Vec<u8>> = live.chain(found).map(|(file, stderr)| note(file, stderr)).collect();
        let mut next = self.notes.clone().into_os_string();
        next.push(".new");
        self.count = lines.len();
        self.file = None;
        if fs::write(&next, lines.concat()).is_ok() {
            let _ = fs::rename(&next, &self.notes);
        }
    }

    fn note(&mut self, file: &AutoFile, stderr: bool) {
        if self.count > 2 * self.units.len() + self.found.len() + STALE {
            self.rewrite();
        }
        let mut options = OpenOptions::new();
        options.append(true).create(true).mode(0o600);
        let notes = match &mut self.file {
            Some(notes) => notes,
            none => match options.open(&self.notes) {
                Ok(notes) => none.insert(notes),
                Err(_) => return,
            },
        };
        // Full: see `rewrite`.
        let _ = notes.write_all(&note(file, stderr));
        self.count += 1;
    }
}

/// One line: stream, key, name and path, the latter two without blanks.
fn note(file: &AutoFile, stderr: bool) -> Vec<u8> {
    let (name, path) = (escape(file.name.as_bytes()), escape(file.path.as_os_str().as_bytes()));
    format!("{} {:x} {name} {path} .\n", if stderr { "err" } else { "out" }, file.key).into_bytes()
}

fn parse(line: &[u8]) -> Option<(bool, AutoFile)> {
    let words: Vec<&str> = std::str::from_utf8(line).ok()?.split(' ').collect();
    // The full stop says that the line is whole.
    let [stream, key, name, path, "."] = *words.as_slice() else { return None };
    let name = String::from_utf8(unescape(name)?).ok()?.into();
    let path = std::ffi::OsString::from_vec(unescape(path)?).into();
    Some((stream == "err", AutoFile { name, key: u64::from_str_radix(key, 16).ok()?, path }))
}

fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for byte in bytes {
        match byte {
            b'%' => text.push_str("%25"),
            b'!'..=b'~' => text.push(char::from(*byte)),
            _ => text.push_str(&format!("%{byte:02X}")),
        }
    }
    text
}

fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut parts = text.split('%');
    let mut bytes = parts.next()?.as_bytes().to_vec();
    for part in parts {
        bytes.push(u8::from_str_radix(part.get(..2)?, 16).ok()?);
        bytes.extend_from_slice(part.get(2..)?.as_bytes());
    }
    Some(bytes)
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
        let index = usize::from(stderr);
        let known = autos.units.get(&unit).and_then(|files| files[index].as_ref());
        if let Some(known) = known.filter(|known| known.key == key) {
            return Ok(known.path.clone());
        }
        let found = autos.found.remove(&(name.into(), stderr)).filter(|found| found.key == key);
        let file = match found {
            // It may be missing, in the middle of a rotation: whoever opens it repairs that first.
            Some(found) => found,
            None => make(dir, process_name(name), stderr, identifier, unit.0, |path| {
                let file = AutoFile { name: name.into(), key, path };
                autos.note(&file, stderr);
                file
            })?,
        };
        let path = file.path.clone();
        autos.units.entry(unit).or_default()[index] = Some(file);
        Ok(path)
    }
}

/// The process' part of a unit's full name.
pub(super) fn process_name(name: &str) -> &str {
    name.rsplit(':').next().unwrap_or(name)
}

const LETTERS: &[u8; 37] = b"abcdefghijklmnopqrstuvwxyz0123456789_";

/// Makes `<dir>/<process>-<stdout or stderr>---<identifier>-<8 random>.log`, mode 0600; told `before` it does.
fn make<T>(
    dir: &Path,
    process: &str,
    stderr: bool,
    identifier: &str,
    salt: u32,
    mut before: impl FnMut(PathBuf) -> T,
) -> io::Result<T> {
    let stream = if stderr { "stderr" } else { "stdout" };
    let process = process.replace('/', "%2F");
    let mut tries = 0;
    loop {
        let path = dir.join(format!("{process}-{stream}---{identifier}-{}.log", random_name(salt)));
        let told = before(path.clone());
        match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&path) {
            Ok(_) => return Ok(told),
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
        let one = make(dir.path(), "web", false, "sv", 1, |path| path).unwrap();
        let two = make(dir.path(), "web", false, "sv", 1, |path| path).unwrap();
        assert_ne!(one, two);
        assert_eq!(fs::metadata(&one).unwrap().permissions().mode() & 0o777, 0o600);
        let other = dir.path().join("keep.log");
        fs::write(&other, "x").unwrap();
        assert_eq!(cleanup_auto(dir.path(), "sv"), 2);
        assert!(other.exists() && !one.exists());
    }

    #[test]
    fn notes_are_found_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("autos");
        let file = |name: &str, log: &[u8]| AutoFile {
            name: name.into(),
            key: 0xfe,
            path: OsStr::from_bytes(log).into(),
        };
        let mut autos = Autos::open(path.clone(), false);
        autos.note(&file("g:web", b"/tmp/old.log"), false);
        autos.note(&file("g:web", b"/tmp/a %\n\xff.log"), false);
        autos.note(&file("gr\u{f6}\u{df}e", b"/tmp/b.log"), true);
        autos.file.as_ref().unwrap().write_all(b"out fe cut /tmp/sho").unwrap();
        let mut again = Autos::open(path.clone(), true);
        assert_eq!(again.found.len(), 2);
        let found = &again.found[&("g:web".into(), false)];
        assert_eq!((found.key, found.path.as_os_str().as_bytes()), (0xfe, &b"/tmp/a %\n\xff.log"[..]));
        assert!(again.found.contains_key(&("gr\u{f6}\u{df}e".into(), true)));
        // Those that a unit has asked for stay, the others go.
        let mine = again.found.remove(&("g:web".into(), false));
        again.units.insert(UnitId(1), [mine, None]);
        again.forget_rest();
        assert_eq!(fs::read(&path).unwrap().lines().count(), 1);
        assert_eq!(Autos::open(path.clone(), true).found.len(), 1);
        assert_eq!(Autos::open(path.clone(), false).found.len(), 0);
        assert!(!path.exists());
    }
}
