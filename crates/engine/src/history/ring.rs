//! The ring on disk: two files of JSON lines. `history.0` is written; when it has reached its size it becomes
//! `history.1`, and what that held is gone. A line that a crash cut off is closed by a line feed at the next
//! write, and skipped by readers.
//!
//! What the disk does not take waits in memory, newest first to stay (bounded, [`Limits::memory`]).

use std::collections::VecDeque;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{DirBuilderExt, FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// How much is kept.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// Bytes of one of the two files.
    pub segment: u64,
    /// Bytes that wait in memory while the disk takes none.
    pub memory: usize,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { segment: 2 << 20, memory: 256 << 10 }
    }
}

/// What the disk did not take yet. Shared with readers; the oldest is dropped when it is full.
#[derive(Default)]
pub(super) struct Backlog {
    pub(super) lines: VecDeque<Vec<u8>>,
    bytes: usize,
    pub(super) dropped: u64,
}

impl Backlog {
    fn push(&mut self, line: Vec<u8>, most: usize) {
        self.bytes += line.len();
        self.lines.push_back(line);
        while self.bytes > most {
            let Some(old) = self.lines.pop_front() else { return };
            self.bytes -= old.len();
            self.dropped += 1;
        }
    }
}

/// The name of one of the two files.
pub(super) fn segment(dir: &Path, number: usize) -> PathBuf {
    dir.join(format!("history.{number}"))
}

/// A lock that a panicking holder does not take away from the others.
pub(super) fn lock(backlog: &Mutex<Backlog>) -> MutexGuard<'_, Backlog> {
    backlog.lock().unwrap_or_else(PoisonError::into_inner)
}

/// What a write told.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Told {
    /// Nothing new.
    Nothing,
    /// From now on nothing can be written, for this reason.
    Broken(String),
    /// It works again.
    Mended,
}

/// The end that is written.
pub(super) struct Ring {
    dir: PathBuf,
    limits: Limits,
    pub(super) file: Option<File>,
    /// Bytes in the file.
    size: u64,
    /// The file's last line has no end.
    torn: bool,
    /// The last write failed.
    broken: bool,
    backlog: Arc<Mutex<Backlog>>,
}

impl Ring {
    /// Opens or makes it. What cannot be opened is tried again at each write.
    pub(super) fn open(dir: &Path, limits: Limits, backlog: Arc<Mutex<Backlog>>) -> (Ring, Told) {
        let mut ring =
            Ring { dir: dir.into(), limits, file: None, size: 0, torn: false, broken: false, backlog };
        let made = fs::DirBuilder::new().recursive(true).mode(0o700).create(dir);
        let told = match made.and_then(|()| ring.open_file()) {
            Ok(()) => Told::Nothing,
            Err(e) => ring.fail(&e),
        };
        (ring, told)
    }

    fn open_file(&mut self) -> io::Result<()> {
        let flags = rustix::fs::OFlags::NOFOLLOW | rustix::fs::OFlags::NONBLOCK;
        let flags = i32::try_from(flags.bits()).unwrap_or(0);
        let path = segment(&self.dir, 0);
        let file = OpenOptions::new()
            .read(true)
            .append(true)
            .create(true)
            .mode(0o600)
            .custom_flags(flags)
            .open(path)?;
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Err(io::Error::other("it is no regular file"));
        }
        self.size = meta.len();
        let mut last = [b'\n'];
        if self.size > 0 {
            // What cannot be read is taken for torn: an empty line harms nobody.
            let read = file.read_at(&mut last, self.size - 1);
            self.torn = !matches!(read, Ok(1)) || last != [b'\n'];
        }
        self.file = Some(file);
        Ok(())
    }

    /// Appends these lines, each with its line feed, in one write.
    pub(super) fn append(&mut self, lines: Vec<Vec<u8>>) -> Told {
        if lines.is_empty() {
            return Told::Nothing;
        }
        let written = if self.broken { self.write_backlog() } else { Ok(()) };
        match written.and_then(|()| self.write(lines.iter().map(Vec::as_slice))) {
            Ok(()) if self.broken => {
                self.broken = false;
                Told::Mended
            }
            Ok(()) => Told::Nothing,
            Err(e) => {
                let mut backlog = lock(&self.backlog);
                lines.into_iter().for_each(|line| backlog.push(line, self.limits.memory));
                drop(backlog);
                self.fail(&e)
            }
        }
    }

    fn write_backlog(&mut self) -> io::Result<()> {
        let waiting: Vec<Vec<u8>> = lock(&self.backlog).lines.iter().cloned().collect();
        self.write(waiting.iter().map(Vec::as_slice))?;
        let mut backlog = lock(&self.backlog);
        backlog.lines.clear();
        backlog.bytes = 0;
        Ok(())
    }

    fn write<'a>(&mut self, lines: impl Iterator<Item = &'a [u8]> + Clone) -> io::Result<()> {
        let length: usize = lines.clone().map(<[u8]>::len).sum();
        if length == 0 {
            return Ok(());
        }
        if self.file.is_some() && self.size > 0 && self.size + length as u64 > self.limits.segment {
            self.turn_over()?;
        }
        if self.file.is_none() {
            self.open_file()?;
        }
        let mut bytes = Vec::with_capacity(length + 1);
        bytes.extend(self.torn.then_some(b'\n'));
        lines.for_each(|line| bytes.extend_from_slice(line));
        let Some(file) = &mut self.file else { return Err(io::ErrorKind::NotFound.into()) };
        match file.write_all(&bytes) {
            Ok(()) => {
                self.torn = false;
                self.size += bytes.len() as u64;
                Ok(())
            }
            Err(e) => {
                // A part of it may be there.
                if file.set_len(self.size).is_err() {
                    self.torn = true;
                    self.size = file.metadata().map_or(self.size, |m| m.len());
                }
                Err(e)
            }
        }
    }

    /// The file is full: it becomes the older one.
    fn turn_over(&mut self) -> io::Result<()> {
        let renamed = fs::rename(segment(&self.dir, 0), segment(&self.dir, 1));
        // Somebody deleted the file: a new one is made all the same.
        renamed.or_else(|e| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) })?;
        self.file = None;
        self.size = 0;
        self.torn = false;
        self.open_file()
    }

    fn fail(&mut self, e: &io::Error) -> Told {
        if std::mem::replace(&mut self.broken, true) {
            return Told::Nothing;
        }
        let path = segment(&self.dir, 0);
        let why = supers_os::error_text(e);
        Told::Broken(format!("{BROKEN} {}: {why}; the newest entries stay in memory", path.display()))
    }
}

/// How the notice about a broken history begins.
pub(super) const BROKEN: &str = "the history cannot be written to";
