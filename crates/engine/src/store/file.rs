//! The file of records: values by key, appended, each with a checksum.
//!
//! What is set between two writes is one batch, closed by a mark. Whoever is killed while it appends leaves whole
//! batches and at most one torn one at the end, which the next reader cuts off. When most of the file is outdated it is written anew beside and renamed. A runtime
//! folder that is full, gone or not ours to write to is replaced by memory without a name, which lives as
//! long as the keeper holds it.

use super::reading::{FRAME, HEAD, MAGIC, REMOVED, Reading, Span, generation_of, sum};
use super::values::{Place, Values};
use rustix::fs::MemfdFlags;
use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

/// A file of this size is small enough, whatever is outdated in it.
const SMALL: u64 = 256 << 10;
/// So many times more than what is needed is too much.
const WASTE: u64 = 4;

/// An open file of records.
pub(super) struct Records {
    file: File,
    /// Its folder; `None` for memory without a name.
    folder: Option<PathBuf>,
    /// Where the next record goes.
    end: u64,
    /// Bytes of records that count.
    live: u64,
    /// How often it was written anew.
    generation: u64,
    index: BTreeMap<Box<str>, Span>,
    /// Records of this turn.
    pending: Vec<u8>,
    changes: Vec<Change>,
}

/// A record in `pending`: its key, and where its value begins there.
struct Change {
    key: Box<str>,
    /// `None`: removed.
    value: Option<(usize, u32)>,
    whole: u32,
}

/// What was read when it was opened.
pub(super) struct Contents {
    bytes: Vec<u8>,
    places: Vec<Place>,
    /// Keys of values that were read since the reading began; `None` when that was of another file.
    pub changed: Option<Vec<Box<str>>>,
}

impl Contents {
    /// All values.
    pub(super) fn values(&self) -> Values<'_> {
        Values::new(&self.bytes, self.places.clone())
    }
}

/// What writing led to.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    /// Nothing special.
    Same,
    /// The descriptor is another one now.
    Moved,
}

/// Where the file lies in a runtime folder.
pub(super) fn path(folder: &Path) -> PathBuf {
    folder.join("records")
}

impl Records {
    /// Makes an empty file in place of what was there.
    pub(super) fn create(folder: &Path) -> io::Result<Records> {
        let generation = open_named(folder).ok().and_then(|f| generation_of(&f).ok()).unwrap_or(0) + 1;
        Records::fresh(folder, generation).and_then(|records| {
            fs::rename(new_path(folder), path(folder))?;
            Ok(records)
        })
    }

    /// The same in memory.
    pub(super) fn nameless() -> io::Result<Records> {
        let fd = rustix::fs::memfd_create(c"super-records", MemfdFlags::CLOEXEC)?;
        Records::start(fd.into(), None, 1)
    }

    fn fresh(folder: &Path, generation: u64) -> io::Result<Records> {
        let mut options = File::options();
        options.read(true).write(true).create(true).truncate(true).mode(0o600);
        Records::start(options.open(new_path(folder))?, Some(folder.to_owned()), generation)
    }

    fn start(file: File, folder: Option<PathBuf>, generation: u64) -> io::Result<Records> {
        let mut head = [0u8; HEAD as usize];
        head[..8].copy_from_slice(MAGIC);
        head[8..].copy_from_slice(&generation.to_le_bytes());
        file.write_all_at(&head, 0)?;
        let (index, pending, changes) = (BTreeMap::new(), Vec::new(), Vec::new());
        Ok(Records { file, folder, end: HEAD, live: 0, generation, index, pending, changes })
    }

    /// Opens what an earlier daemon left: the file of that name, or the descriptor that the keeper held,
    /// whichever is newer. `None` when there is neither. `begun` is what was read of it before.
    ///
    /// # Errors
    /// What is there cannot be read, or is no file of records.
    pub(super) fn open(
        folder: &Path,
        held: Option<OwnedFd>,
        begun: Option<Reading>,
    ) -> io::Result<Option<(Records, Contents)>> {
        let named = match open_named(folder) {
            Ok(file) => Some(file),
            Err(e) if e.kind() == io::ErrorKind::NotFound => None,
            Err(e) if held.is_none() => return Err(e),
            Err(_) => None,
        };
        let held = held.map(File::from);
        let (file, has_name) = match (named, held) {
            (None, None) => return Ok(None),
            (Some(file), None) => (file, true),
            (None, Some(file)) => (file, false),
            (Some(named), Some(held)) => choose(named, held),
        };
        let (Reading { generation, bytes, index, end, .. }, changed) = Reading::go_on(begun, &file)?;
        if end < bytes.len() as u64 {
            // Torn by the end of its writer.
            file.set_len(end)?;
        }
        let live = index.values().map(|span| u64::from(span.whole)).sum();
        let folder_of_it = has_name.then(|| folder.to_owned());
        let (pending, changes) = (Vec::new(), Vec::new());
        let mut records =
            Records { file, folder: folder_of_it, end, live, generation, index, pending, changes };
        // Where they lie in what was read: the file may be another one in a moment.
        let places = Values::places(&records.index);
        // The folder, or the file in it, was deleted meanwhile.
        let _ = records.get_a_name(folder);
        Ok(Some((records, Contents { bytes, places, changed })))
    }

    /// Only looks: nothing is cut off.
    pub(super) fn look(folder: &Path) -> io::Result<Option<Reading>> {
        Records::named(folder)?.map(|file| Ok(Reading::go_on(None, &file)?.0)).transpose()
    }

    /// The file of that name, to be looked at.
    pub(super) fn named(folder: &Path) -> io::Result<Option<File>> {
        match File::open(path(folder)) {
            Ok(file) => Ok(Some(file)),
            Err(e) if e.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(e) => Err(e),
        }
    }

    /// What only the keeper held gets a file again, if the folder takes one.
    fn get_a_name(&mut self, folder: &Path) -> io::Result<()> {
        if self.folder.is_some() {
            return Ok(());
        }
        self.rewrite(Records::fresh(folder, self.generation + 1)?)?;
        fs::rename(new_path(folder), path(folder))
    }

    /// The open file, for the keeper.
    pub(super) fn fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }

    /// True when only the keeper can bring it to the next daemon.
    pub(super) fn is_nameless(&self) -> bool {
        self.folder.is_none()
    }

    /// Sets a value; on disk with the next [`Records::write`].
    pub(super) fn put(&mut self, key: &str, value: &[u8]) {
        self.append(key, Some(value));
    }

    /// Removes a value.
    pub(super) fn remove(&mut self, key: &str) {
        let pending = self.changes.iter().any(|c| *c.key == *key);
        if pending || self.index.contains_key(key) {
            self.append(key, None);
        }
    }

    fn append(&mut self, key: &str, value: Option<&[u8]>) {
        let begin = self.pending.len();
        let len = value.map_or(REMOVED, |v| v.len() as u32);
        let value_bytes = value.unwrap_or_default();
        self.pending.extend_from_slice(&(key.len() as u32).to_le_bytes());
        self.pending.extend_from_slice(&len.to_le_bytes());
        self.pending.extend_from_slice(&sum(key.as_bytes(), value_bytes, len).to_le_bytes());
        self.pending.extend_from_slice(key.as_bytes());
        let at = self.pending.len();
        self.pending.extend_from_slice(value_bytes);
        let whole = (self.pending.len() - begin) as u32;
        self.changes.push(Change { key: key.into(), value: value.map(|_| (at, len)), whole });
    }

    /// Writes what was set since the last time: one call of the system. When the folder takes no more, all of
    /// it moves into memory.
    ///
    /// # Errors
    /// Not even memory is to be had; what was set is kept for the next time.
    pub(super) fn write(&mut self) -> io::Result<Wrote> {
        if self.pending.is_empty() {
            return Ok(Wrote::Same);
        }
        self.close_batch();
        let mut wrote = Wrote::Same;
        if let Err(e) = self.file.write_all_at(&self.pending, self.end) {
            if self.folder.is_none() {
                return Err(e);
            }
            self.rewrite(Records::nameless()?)?;
            self.file.write_all_at(&self.pending, self.end)?;
            wrote = Wrote::Moved;
        }
        self.account();
        if self.end > SMALL && self.end / WASTE > self.live && self.compact().is_ok() {
            wrote = Wrote::Moved;
        }
        Ok(wrote)
    }

    /// Marks the end of what belongs together.
    fn close_batch(&mut self) {
        if !self.pending.ends_with(&mark()) {
            self.pending.extend_from_slice(&mark());
        }
    }

    /// What is pending is in the file.
    fn account(&mut self) {
        let base = self.end;
        self.end += self.pending.len() as u64;
        for Change { key, value, whole } in std::mem::take(&mut self.changes) {
            let span = value.map(|(at, len)| Span { at: base + at as u64, len, whole });
            self.note(key, span);
        }
        self.pending.clear();
        if self.pending.capacity() > 64 << 10 {
            self.pending = Vec::new();
        }
    }

    fn note(&mut self, key: Box<str>, span: Option<Span>) {
        let old = match span {
            Some(span) => {
                self.live += u64::from(span.whole);
                self.index.insert(key, span)
            }
            None => self.index.remove(&key),
        };
        self.live -= old.map_or(0, |o| u64::from(o.whole));
    }

    /// Writes the file anew, without what is outdated.
    fn compact(&mut self) -> io::Result<()> {
        let Some(folder) = self.folder.clone() else { return self.rewrite(Records::nameless()?) };
        let fresh = Records::fresh(&folder, self.generation + 1)?;
        self.rewrite(fresh)?;
        // Until here the old one counts. If this fails only the keeper knows the new one.
        fs::rename(new_path(&folder), path(&folder))
    }

    /// Copies all that counts into `fresh`, and goes on with that.
    fn rewrite(&mut self, mut fresh: Records) -> io::Result<()> {
        let mut value = Vec::new();
        for (key, span) in &self.index {
            value.resize(span.len as usize, 0);
            self.file.read_exact_at(&mut value, span.at)?;
            fresh.append(key, Some(&value));
        }
        fresh.close_batch();
        fresh.file.write_all_at(&fresh.pending, fresh.end)?;
        fresh.account();
        fresh.generation = fresh.generation.max(self.generation + 1);
        fresh.file.write_all_at(&fresh.generation.to_le_bytes(), 8)?;
        fresh.pending = std::mem::take(&mut self.pending);
        fresh.changes = std::mem::take(&mut self.changes);
        *self = fresh;
        Ok(())
    }
}

/// The newer of the two. When they are the same file, the one with a name.
fn choose(named: File, held: File) -> (File, bool) {
    let id = |f: &File| f.metadata().map(|m| (m.dev(), m.ino())).ok();
    if id(&named) == id(&held) {
        return (named, true);
    }
    match (generation_of(&named), generation_of(&held)) {
        (Ok(a), Ok(b)) if b > a => (held, false),
        (Err(_), Ok(_)) => (held, false),
        _ => (named, true),
    }
}

fn new_path(folder: &Path) -> PathBuf {
    folder.join("records.new")
}

fn open_named(folder: &Path) -> io::Result<File> {
    supers_os::process::open_own(&path(folder), false)
}

/// A record without a key: what stands before it belongs together.
fn mark() -> [u8; FRAME] {
    let mut mark = [0u8; FRAME];
    mark[8..].copy_from_slice(&sum(&[], &[], 0).to_le_bytes());
    mark
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    type Map = BTreeMap<String, Vec<u8>>;

    fn map(values: &Values<'_>) -> Map {
        values.iter().map(|(key, value)| (key.to_owned(), value.to_vec())).collect()
    }

    fn reopen(dir: &Path) -> Map {
        let looked = map(&Records::look(dir).unwrap().unwrap().values());
        let read = map(&Records::open(dir, None, None).unwrap().unwrap().1.values());
        assert_eq!(looked, read);
        read
    }

    #[test]
    fn what_was_set_is_there_and_the_last_word_counts() {
        let dir = tempfile::tempdir().unwrap();
        let mut r = Records::create(dir.path()).unwrap();
        r.put("a", b"1");
        r.put("b", b"2");
        r.write().unwrap();
        r.put("a", b"3");
        r.remove("b");
        r.put("c", b"");
        r.write().unwrap();
        let values = reopen(dir.path());
        assert_eq!(values, Map::from([("a".into(), b"3".to_vec()), ("c".into(), vec![])]));
    }

    #[test]
    fn outdated_values_do_not_pile_up() {
        let dir = tempfile::tempdir().unwrap();
        let mut r = Records::create(dir.path()).unwrap();
        let mut moved = 0;
        for n in 0..4000u32 {
            r.put(&format!("unit/{}", n % 7), &vec![n as u8; 500]);
            moved += u32::from(r.write().unwrap() == Wrote::Moved);
        }
        assert!(moved > 2);
        let size = fs::metadata(path(dir.path())).unwrap().len();
        assert!(size < SMALL * 2, "{size}");
        let values = reopen(dir.path());
        assert_eq!(values.len(), 7);
        // 3,993 is the last number below 4,000 that leaves 3 when divided by 7.
        assert_eq!(values["unit/3"], vec![3993u32 as u8; 500]);
    }

    #[test]
    fn a_full_folder_is_replaced_by_memory() {
        let dir = tempfile::tempdir().unwrap();
        let mut r = Records::create(dir.path()).unwrap();
        r.put("a", b"1");
        r.write().unwrap();
        // A file that takes nothing: opened for reading only.
        r.file = File::open(path(dir.path())).unwrap();
        r.put("b", b"2");
        assert_eq!(r.write().unwrap(), Wrote::Moved);
        assert!(r.is_nameless());
        let held = r.fd().try_clone_to_owned().unwrap();
        let (_, values) = Records::open(dir.path(), Some(held), None).unwrap().unwrap();
        assert_eq!(map(&values.values()).len(), 2, "the keeper's is newer");
    }

    #[test]
    fn a_deleted_folder_is_no_loss_while_the_keeper_holds_the_file() {
        let dir = tempfile::tempdir().unwrap();
        let sub = dir.path().join("run");
        fs::create_dir(&sub).unwrap();
        let mut r = Records::create(&sub).unwrap();
        fs::remove_dir_all(&sub).unwrap();
        r.put("a", b"1");
        r.write().unwrap();
        let held = r.fd().try_clone_to_owned().unwrap();
        let (_, values) = Records::open(&sub, Some(held), None).unwrap().unwrap();
        assert_eq!(values.values().get("a"), Some(&b"1"[..]));
        assert!(Records::open(&sub, None, None).unwrap().is_none());
    }

    #[test]
    fn foreign_files_are_refused_in_words() {
        let dir = tempfile::tempdir().unwrap();
        for (bytes, why) in [
            (&b"hello"[..], "no file of records"),
            (b"SOMETHING ELSE ALTOGETHER", "no file of records"),
            (b"SUPREC\0\x02aaaaaaaaaaa", "another version"),
        ] {
            fs::write(path(dir.path()), bytes).unwrap();
            let Err(e) = Records::open(dir.path(), None, None) else { panic!("{bytes:?}") };
            assert!(e.to_string().contains(why), "{e}");
        }
    }

    proptest! {
        /// Cut anywhere, or with any byte changed: what was written before the damage is there, and nothing else.
        #[test]
        fn damage_costs_only_what_is_damaged(
            sets in proptest::collection::vec((0u8..5, proptest::option::of(proptest::collection::vec(any::<u8>(), 0..40))), 1..30),
            at in any::<proptest::sample::Index>(),
            flip in any::<bool>(),
        ) {
            let dir = tempfile::tempdir().unwrap();
            let mut r = Records::create(dir.path()).unwrap();
            let mut states = vec![(HEAD, Map::new())];
            let mut now = Map::new();
            for (key, value) in sets {
                let key = format!("k{key}");
                match value {
                    Some(v) => { r.put(&key, &v); now.insert(key, v); }
                    None => { r.remove(&key); now.remove(&key); }
                }
                r.write().unwrap();
                states.push((r.end, now.clone()));
            }
            let mut bytes = fs::read(path(dir.path())).unwrap();
            let at = HEAD as usize + at.index(bytes.len() - HEAD as usize + 1);
            if flip && at < bytes.len() { bytes[at] ^= 0x40 } else { bytes.truncate(at) }
            fs::write(path(dir.path()), &bytes).unwrap();
            let (mut again, values) = Records::open(dir.path(), None, None).unwrap().unwrap();
            let whole = states.iter().rev().find(|(end, _)| *end <= at as u64).unwrap_or(&states[0]);
            prop_assert_eq!(&map(&values.values()), &whole.1);
            again.put("more", b"x");
            again.write().unwrap();
            prop_assert_eq!(&reopen(dir.path())["more"], b"x");
        }
    }
}
