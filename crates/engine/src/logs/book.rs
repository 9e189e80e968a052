//! What must be known of logs after a crash, besides what the files themselves say: the logical offset of
//! the file in use, and which stream wrote last.
//!
//! One small file in the runtime folder, a slot of 64 bytes for each log that is written to. A slot lies in
//! one page of the file, so a kill cannot tear it. It is written when a file is rotated, cut or replaced, when
//! another stream begins to write, and each [`AHEAD`] bytes; never synced, since it need not survive the
//! machine. A crash between a rename and the slot's writing is recognised by the inodes. When the file cannot
//! be made, offsets begin anew after a crash, and nothing else is different.

use super::{Inode, hash, lock};
use std::collections::HashMap;
use std::ffi::OsStr;
use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

/// The first slot: which format this is.
const MAGIC: &[u8; 16] = b"supers logbook 1";
const SLOT: usize = 64;
/// Most of such a file that is read.
const MOST: u64 = 16 << 20;
/// The slot says where the log's end will not be beyond; renewed in steps of this size.
const AHEAD: u64 = 64 << 20;

/// What is kept of one log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Record {
    /// Hash of its path.
    path: u64,
    /// The file in use.
    inode: Inode,
    /// Logical offset of its first byte.
    base: u64,
    /// So many bytes at its beginning are about to be dropped; 0 for none.
    cut: u64,
    /// The log's end is not beyond this.
    ahead: u64,
    /// The stream that wrote last; 0 for none.
    writer: u64,
}

/// A file as it was found: identity and size.
pub(super) type Found = (Inode, u64);

impl Record {
    /// The logical offset of the first byte of `log`, the file in use as a crash left it (repaired);
    /// `first` is its newest backup.
    pub(super) fn base(&self, log: Option<Found>, first: Option<Found>) -> u64 {
        match (log, first) {
            (Some((inode, size)), _) if inode == self.inode => {
                if size < self.cut {
                    self.base + self.cut
                } else {
                    self.base
                }
            }
            // Rotated, but not written down yet.
            (_, Some((inode, size))) if inode == self.inode => self.base + size,
            _ if self.cut > 0 => self.base + self.cut,
            // Deleted by somebody. Offsets never go back: a gap does no harm.
            _ => self.ahead,
        }
    }

    fn bytes(&self) -> [u8; SLOT] {
        let Record { path, inode, base, cut, ahead, writer } = *self;
        let mut bytes = [0; SLOT];
        let words = [path, inode.dev, inode.ino, base, cut, ahead, writer];
        for (place, word) in bytes[8..].chunks_exact_mut(8).zip(words) {
            place.copy_from_slice(&word.to_le_bytes());
        }
        let check = hash(&bytes[8..]);
        bytes[..8].copy_from_slice(&check.to_le_bytes());
        bytes
    }

    fn parse(bytes: &[u8]) -> Option<Record> {
        let mut words = [0; SLOT / 8];
        for (word, place) in words.iter_mut().zip(bytes.chunks_exact(8)) {
            *word = u64::from_le_bytes(place.try_into().ok()?);
        }
        let [check, path, dev, ino, base, cut, ahead, writer] = words;
        let record = Record { path, inode: Inode { dev, ino }, base, cut, ahead, writer };
        (bytes.len() == SLOT && check == hash(bytes.get(8..)?) && base <= ahead).then_some(record)
    }
}

/// The file with the slots.
pub(super) struct Book {
    file: Option<File>,
    slots: Mutex<Slots>,
    /// Slots stay when their logs are closed: the next daemon will want them.
    left: AtomicBool,
}

#[derive(Default)]
struct Slots {
    free: Vec<u32>,
    /// Never used from here on.
    next: u32,
    /// What an earlier daemon left and nobody has taken yet.
    found: HashMap<u64, (u32, Record)>,
}

impl Book {
    /// Opens the file; `adopt` reads what an earlier daemon left in it, which else is dropped.
    pub(super) fn open(path: &Path, adopt: bool) -> Book {
        let mut slots = Slots { next: 1, ..Slots::default() };
        let file = open(path, adopt, &mut slots).ok();
        Book { file, slots: Mutex::new(slots), left: AtomicBool::new(false) }
    }

    /// What an earlier daemon left of the log of this name; of the file in use if it had another name.
    pub(super) fn known(&self, path: &Path, inode: Option<Inode>) -> Option<Record> {
        let slots = lock(&self.slots);
        let named = slots.found.get(&key(path));
        let same = || inode.and_then(|inode| slots.found.values().find(|(_, r)| r.inode == inode));
        named.or_else(same).map(|(_, record)| *record)
    }

    /// A slot for a log that begins to be written to; the one that `known` had, if any.
    pub(super) fn page(
        self: &Arc<Book>,
        path: &Path,
        known: Option<Record>,
        inode: Inode,
        base: u64,
        end: u64,
    ) -> Option<Page> {
        self.file.as_ref()?;
        let mut slots = lock(&self.slots);
        let taken = known.and_then(|known| slots.found.remove(&known.path));
        let slot = taken.map(|(slot, _)| slot).or_else(|| slots.free.pop()).unwrap_or_else(|| {
            slots.next += 1;
            slots.next - 1
        });
        drop(slots);
        let writer = known.map_or(0, |known| known.writer);
        let mut page = Page { book: Arc::clone(self), path: key(path), ahead: 0, writer, slot, torn: false };
        page.place(inode, base, end);
        Some(page)
    }

    /// What nobody has taken is of no use any more.
    pub(super) fn forget_rest(&self) {
        let mut slots = lock(&self.slots);
        for (slot, _) in std::mem::take(&mut slots.found).into_values() {
            self.put(slot, &[0; SLOT]);
            slots.free.push(slot);
        }
    }

    /// From now on slots stay.
    pub(super) fn leave(&self) {
        self.left.store(true, Ordering::Release);
    }

    fn put(&self, slot: u32, bytes: &[u8; SLOT]) {
        if let Some(file) = &self.file {
            // Full or gone: the offsets of one log may be inexact after a crash, its text is not.
            let _ = file.write_all_at(bytes, u64::from(slot) * SLOT as u64);
        }
    }
}

/// The slot of one log.
pub(super) struct Page {
    book: Arc<Book>,
    path: u64,
    ahead: u64,
    writer: u64,
    slot: u32,
    torn: bool,
}

impl Page {
    /// The file in use and where it begins; `end` is the log's.
    pub(super) fn place(&mut self, inode: Inode, base: u64, end: u64) {
        self.ahead = self.ahead.max(end + AHEAD);
        self.write(inode, base, 0);
    }

    /// So many bytes at the beginning will be dropped now.
    pub(super) fn cutting(&mut self, inode: Inode, base: u64, cut: u64) {
        self.write(inode, base, cut);
    }

    /// The log's end is beyond what was said of it.
    pub(super) fn outgrown(&self, end: u64) -> bool {
        end > self.ahead
    }

    /// Another stream than before is about to write.
    pub(super) fn written_by(&mut self, writer: u64) -> bool {
        std::mem::replace(&mut self.writer, writer) != writer
    }

    /// The daemon before died in the middle of a line of this stream, which therefore comes first.
    pub(super) fn owed(&self) -> Option<u64> {
        (self.torn && self.writer != 0).then_some(self.writer)
    }

    /// Says whether the file ends within a line.
    pub(super) fn set_torn(&mut self, torn: bool) {
        self.torn = torn;
    }

    fn write(&self, inode: Inode, base: u64, cut: u64) {
        let Page { path, ahead, writer, .. } = *self;
        self.book.put(self.slot, &Record { path, inode, base, cut, ahead, writer }.bytes());
    }
}

impl Drop for Page {
    fn drop(&mut self) {
        if !self.book.left.load(Ordering::Acquire) {
            self.book.put(self.slot, &[0; SLOT]);
            lock(&self.book.slots).free.push(self.slot);
        }
    }
}

fn key(path: &Path) -> u64 {
    hash(OsStr::as_bytes(path.as_os_str()))
}

fn open(path: &Path, adopt: bool, slots: &mut Slots) -> io::Result<File> {
    let mut options = OpenOptions::new();
    let flags = rustix::fs::OFlags::NOFOLLOW.bits().cast_signed();
    options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags);
    let file = options.open(path)?;
    let size = file.metadata()?.len();
    if adopt && size <= MOST && load(&file, size, slots).unwrap_or(false) {
        return Ok(file);
    }
    *slots = Slots { next: 1, ..Slots::default() };
    file.set_len(0)?;
    file.write_all_at(MAGIC, 0)?;
    file.set_len(SLOT as u64)?;
    Ok(file)
}

/// Reads the slots; false when this is no file of ours.
fn load(file: &File, size: u64, slots: &mut Slots) -> io::Result<bool> {
    let mut bytes = vec![0; usize::try_from(size).unwrap_or(0)];
    file.read_exact_at(&mut bytes, 0)?;
    if !bytes.starts_with(MAGIC) {
        return Ok(false);
    }
    for (slot, bytes) in (0_u32..).zip(bytes.chunks_exact(SLOT)).skip(1) {
        slots.next = slot + 1;
        match Record::parse(bytes).filter(|record| !slots.found.contains_key(&record.path)) {
            Some(record) => drop(slots.found.insert(record.path, (slot, record))),
            None => slots.free.push(slot),
        }
    }
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn inode(ino: u64) -> Inode {
        Inode { dev: 1, ino }
    }

    #[test]
    fn what_a_crash_left_is_told_by_the_inodes() {
        let (seven, nine) = (inode(7), inode(9));
        let record = Record { path: 1, inode: seven, base: 100, cut: 0, ahead: 900, writer: 0 };
        assert_eq!(record.base(Some((seven, 40)), None), 100);
        assert_eq!(record.base(Some((nine, 3)), Some((seven, 40))), 140, "rotated");
        assert_eq!(record.base(None, Some((seven, 40))), 140, "rotated half-way");
        assert_eq!(record.base(Some((nine, 3)), Some((inode(8), 40))), 900, "deleted");
        assert_eq!(record.base(None, None), 900);
        let cutting = Record { cut: 40, ..record };
        assert_eq!(cutting.base(Some((seven, 40)), None), 100, "not cut yet");
        assert_eq!(cutting.base(Some((seven, 0)), None), 140, "cut");
        assert_eq!(cutting.base(Some((nine, 3)), None), 140, "replaced");
    }

    #[test]
    fn slots_are_found_again_and_used_again() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("book");
        let log = |n: u64| dir.path().join(n.to_string());
        let book = Arc::new(Book::open(&path, false));
        let pages: Vec<Page> =
            (0..5).map(|n| book.page(&log(n), None, inode(n), n, n + 10).unwrap()).collect();
        book.leave();
        drop(pages);
        // A slot that somebody spoiled is none.
        book.file.as_ref().unwrap().write_all_at(b"spoiled", 3 * SLOT as u64 + 20).unwrap();

        let book = Arc::new(Book::open(&path, true));
        let known = book.known(&log(1), None).unwrap();
        assert_eq!((known.inode, known.base, known.ahead), (inode(1), 1, 11 + AHEAD));
        assert_eq!(book.known(&log(2), Some(inode(2))), None);
        assert_eq!(book.known(&log(77), Some(inode(4))).unwrap().base, 4, "by another name");
        let mut page = book.page(&log(1), Some(known), inode(1), 1, 11).unwrap();
        assert!(page.written_by(77) && !page.written_by(77));
        page.place(inode(6), 50, 60);
        book.forget_rest();
        assert_eq!(book.known(&log(0), None), None);

        let book = Arc::new(Book::open(&path, true));
        let known = book.known(&log(1), None).unwrap();
        assert_eq!((known.inode, known.base, known.writer), (inode(6), 50, 77));
        assert_eq!(lock(&book.slots).found.len(), 1);
        let slots: Vec<u32> =
            (0..6).map(|n| book.page(&log(10 + n), None, inode(n), 0, 0).unwrap().slot).collect();
        assert!(slots.iter().all(|slot| *slot < 6), "{slots:?}");
        assert!(Book::open(&path, false).known(&log(1), None).is_none(), "a fresh start");
    }

    #[test]
    fn a_foreign_file_is_no_book() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("book");
        for text in ["", "x", &"something else ".repeat(100), "supers logbook 1"] {
            std::fs::write(&path, text).unwrap();
            let book = Arc::new(Book::open(&path, true));
            assert!(book.page(Path::new("a"), None, inode(1), 0, 0).is_some());
        }
        let book = Arc::new(Book::open(Path::new("/proc/nonexistent/book"), true));
        assert!(book.page(Path::new("a"), None, inode(1), 0, 0).is_none());
    }
}
