//! What readers know of one log: which logical offsets lie in which file.
//!
//! A *logical offset* counts bytes since the log began, over all rotations. It never goes back while
//! the programs live (see [`super::book`]), even when the file is cleared or cut by somebody else.

use super::rotate::numbered;
use super::{Registry, lock};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock};
use tokio::sync::Notify;

/// Shared by the pump, which writes it, and readers.
pub(super) struct Ledger {
    path: Box<Path>,
    end: AtomicU64,
    /// Made by the first reader that waits.
    bell: OnceLock<Box<Notify>>,
    pieces: Mutex<Pieces>,
}

/// Where the files begin.
#[derive(Debug, Default)]
pub(super) struct Pieces {
    /// Logical offset of the first byte of the file in use.
    pub(super) base: u64,
    /// The same of `.1`, `.2` and so on.
    pub(super) older: Vec<u64>,
}

impl Ledger {
    /// The ledger of a file of `size` bytes and its backups: the oldest byte of all has offset 0.
    pub(super) fn new(path: PathBuf, size: u64) -> Ledger {
        let pieces = Pieces::from_disk(&path, size, None);
        Ledger {
            path: path.into(),
            end: AtomicU64::new(pieces.base + size),
            bell: OnceLock::new(),
            pieces: Mutex::new(pieces),
        }
    }

    /// The same, but the file in use begins at `base`.
    pub(super) fn at(path: PathBuf, size: u64, base: u64) -> Ledger {
        let end = base + size;
        let pieces = Mutex::new(Pieces::from_disk(&path, size, Some(end)));
        Ledger { path: path.into(), end: AtomicU64::new(end), bell: OnceLock::new(), pieces }
    }

    /// It has turned out that the file in use begins at `base` and has `size` bytes.
    pub(super) fn place(&self, _held: &Registry, size: u64, base: u64) {
        *self.pieces() = Pieces::from_disk(&self.path, size, Some(base + size));
        self.end.store(base + size, Ordering::Release);
        self.ring();
    }

    /// Logical offset of the first byte of the file in use.
    pub(super) fn base(&self) -> u64 {
        self.pieces().base
    }

    /// The file in use.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Logical offset behind the last byte.
    pub(super) fn end(&self) -> u64 {
        self.end.load(Ordering::Acquire)
    }

    /// More bytes are in the file.
    pub(super) fn advance(&self, by: u64) {
        self.end.fetch_add(by, Ordering::Release);
    }

    /// Wakes readers that wait for more.
    pub(super) fn ring(&self) {
        if let Some(bell) = self.bell.get() {
            bell.notify_waiters();
        }
    }

    /// What a waiting reader listens to.
    pub(super) fn bell(&self) -> &Notify {
        self.bell.get_or_init(Box::default)
    }

    /// Freezes the names of the files: no rotation happens while the guard lives. Taken after the
    /// registry's lock where both are held.
    pub(super) fn pieces(&self) -> MutexGuard<'_, Pieces> {
        lock(&self.pieces)
    }

    /// Somebody begins to write to a file that was only read so far, and that has `size` bytes now.
    pub(super) fn resume(&self, held: &Registry, size: u64) {
        let known = self.end() - self.pieces().base;
        if size < known {
            self.rebase(held, size, true);
        } else {
            self.advance(size - known);
            self.ring();
        }
    }

    /// The file in use is another one now, of `size` bytes, whose end is the log's end; or it was cut to
    /// that size.
    pub(super) fn rebase(&self, _held: &Registry, size: u64, replaced: bool) {
        self.rebase_own(size, replaced);
    }

    /// The same for a file that is in no registry.
    pub(super) fn rebase_own(&self, size: u64, replaced: bool) {
        let end = self.end();
        let mut pieces = self.pieces();
        if replaced {
            // Somebody else may have renumbered the backups too.
            *pieces = Pieces::from_disk(&self.path, size, Some(end));
        }
        if end < size {
            self.end.store(size, Ordering::Release);
        }
        pieces.base = end.saturating_sub(size);
    }
}

impl Pieces {
    /// Looks at the backups on disk. With `end` the offsets are counted back from there.
    pub(super) fn from_disk(path: &Path, size: u64, end: Option<u64>) -> Pieces {
        let size_of = |n| std::fs::metadata(numbered(path, n)).ok().map(|m| m.len());
        // One number may be missing between two that are there: a crash in the middle of renaming them.
        let sizes: Vec<u64> = (1..).map_while(|n| size_of(n).or_else(|| size_of(n + 1).map(|_| 0))).collect();
        let base = end.map_or_else(|| sizes.iter().sum(), |end| end.saturating_sub(size));
        let mut start = base;
        let older = sizes.iter().map(|len| {
            start = start.saturating_sub(*len);
            start
        });
        Pieces { base, older: older.collect() }
    }

    /// The file in use became `.1` after the backups up to `gap` moved up by one; the new one begins
    /// at `base`.
    pub(super) fn rotated(&mut self, base: u64, gap: u32, backups: u32) {
        let gap = gap as usize;
        if gap >= 1 && gap <= self.older.len() {
            self.older.remove(gap - 1);
        }
        if backups > 0 {
            self.older.insert(0, self.base);
            self.older.truncate(backups as usize);
        }
        self.base = base;
    }

    /// Logical offset of the oldest byte kept.
    pub(super) fn oldest(&self) -> u64 {
        self.older.last().copied().unwrap_or(self.base)
    }

    /// The file that holds `offset`: its number (0 is the one in use), where it begins and where the
    /// next one does.
    pub(super) fn find(&self, offset: u64) -> (u32, u64, Option<u64>) {
        if offset >= self.base {
            return (0, self.base, None);
        }
        let mut next = self.base;
        for (i, start) in self.older.iter().enumerate() {
            if *start <= offset || i + 1 == self.older.len() {
                return (i as u32 + 1, *start, Some(next));
            }
            next = *start;
        }
        (0, self.base, None)
    }
}
