//! One regular log file: the only writer of its inode, whatever number of streams it serves.
//!
//! The file is opened without `O_APPEND` (splice refuses it) and written at a position of our own. A
//! look at its size before each turn notices what others did to it: deleted, cut, written to.

use super::book::Page;
use super::ledger::{Ledger, Pieces};
use super::rotate::{next_file, numbered, shift};
use super::{Inode, Registry, SinkId, Tools, lock, sys};
use crate::failpoint::hit;
use bstr::ByteSlice;
use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::Path;
use std::sync::Arc;

/// A longer line is cut.
pub(super) const MAX_LINE: u64 = 1 << 20;
/// Looked at together when searching for line ends.
const BLOCK: usize = 64 << 10;
/// A rotation that failed is tried again after so many more bytes, or an eighth of the limit.
const RETRY_ROTATION: u64 = 64 << 10;

/// A regular file that takes output.
pub(super) struct FileSink {
    file: File,
    inode: Inode,
    ledger: Arc<Ledger>,
    /// Where the next byte goes: the end of the file.
    pos: u64,
    /// Rotate at this size; `u64::MAX` never.
    max: u64,
    /// Where the next rotation is due: `max`, or more after one that failed.
    limit: u64,
    backups: u32,
    /// For files that are made again.
    mode: u32,
    /// The limit is reached, but there is no line end to cut at yet.
    over: bool,
    /// For the next daemon, should this one die.
    page: Option<Page>,
}

/// How much may be written before a rotation is due.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Room {
    /// So many bytes.
    Bytes(u64),
    /// Up to and with the next line end, but not more than this.
    Line(u64),
}

/// What [`FileSink::check`] found.
pub(super) enum Checked {
    /// The file may be written to.
    Ready,
    /// The name leads to a file that another sink writes already.
    Taken(SinkId),
}

/// Opens a log for writing at its end, and making it when it is missing.
pub(super) fn open(path: &Path, mode: u32) -> io::Result<File> {
    sys::calm_open().read(true).write(true).create(true).truncate(false).mode(mode).open(path)
}

/// The identity of an open file.
pub(super) fn inode(file: &File) -> io::Result<(Inode, fs::Metadata)> {
    let meta = file.metadata()?;
    Ok((Inode { dev: meta.dev(), ino: meta.ino() }, meta))
}

impl FileSink {
    /// Takes over an open file of `size` bytes.
    pub(super) fn new(
        file: File,
        inode: Inode,
        size: u64,
        ledger: Arc<Ledger>,
        mode: u32,
        page: Option<Page>,
    ) -> FileSink {
        let (max, limit, over) = (u64::MAX, u64::MAX, false);
        FileSink { file, inode, ledger, pos: size, max, limit, backups: 0, mode, over, page }
    }

    /// To be asked once, when an earlier daemon wrote to it.
    pub(super) fn look_for_torn(&mut self) {
        let mut byte = [0];
        let torn =
            self.pos > 0 && self.file.read_exact_at(&mut byte, self.pos - 1).is_ok() && byte != [b'\n'];
        if let Some(page) = &mut self.page {
            page.set_torn(torn);
        }
    }

    /// The stream that comes first: see [`Page::owed`].
    pub(super) fn owed(&self) -> Option<u64> {
        self.page.as_ref()?.owed()
    }

    /// No stream comes first any more.
    pub(super) fn forgive(&mut self) {
        if let Some(page) = &mut self.page {
            page.set_torn(false);
        }
    }

    /// To be said before a stream writes.
    pub(super) fn written_by(&mut self, mark: u64) {
        if self.page.as_mut().is_some_and(|page| page.written_by(mark)) {
            self.note();
        }
    }

    /// Notes where the file in use begins.
    fn note(&mut self) {
        if let Some(page) = &mut self.page {
            page.place(self.inode, self.ledger.base(), self.ledger.end());
        }
    }

    /// Sets when to rotate and how many backups to keep; `max_bytes` 0 never rotates.
    pub(super) fn configure(&mut self, max_bytes: u64, backups: u32) {
        self.max = if max_bytes == 0 { u64::MAX } else { max_bytes };
        self.limit = self.max;
        self.backups = backups;
        self.over = false;
    }

    /// The file's identity.
    pub(super) fn inode(&self) -> Inode {
        self.inode
    }

    /// What readers see.
    pub(super) fn ledger(&self) -> &Arc<Ledger> {
        &self.ledger
    }

    /// The open file and the position to splice to.
    pub(super) fn target(&self) -> (&File, u64) {
        (&self.file, self.pos)
    }

    /// To be asked before each turn: takes notice of what others did to the file.
    pub(super) fn check(&mut self, tools: &mut Tools) -> io::Result<Checked> {
        let meta = self.file.metadata()?;
        if meta.nlink() == 0 {
            return self.reopen(tools);
        }
        if meta.len() > self.pos {
            self.ledger.advance(meta.len() - self.pos);
            self.pos = meta.len();
        } else if meta.len() < self.pos {
            let registry = lock(&tools.shared.registry);
            self.ledger.rebase(&registry, meta.len(), false);
            self.pos = meta.len();
            self.over = false;
            self.note();
        }
        self.settle(tools);
        Ok(Checked::Ready)
    }

    /// Opens the file by its name again (deleted, or renamed by somebody who then asked for this).
    pub(super) fn reopen(&mut self, tools: &mut Tools) -> io::Result<Checked> {
        self.open_again(tools, true)
    }

    /// `moved`: somebody else may have renumbered the backups.
    fn open_again(&mut self, tools: &mut Tools, moved: bool) -> io::Result<Checked> {
        let path = self.ledger.path();
        let file = open(path, self.mode).or_else(|e| match (e.kind(), path.parent()) {
            (io::ErrorKind::NotFound, Some(folder)) => {
                fs::create_dir_all(folder)?;
                open(path, self.mode)
            }
            _ => Err(e),
        })?;
        hit("reopen.opened");
        let (inode, meta) = inode(&file)?;
        if inode == self.inode {
            return Ok(Checked::Ready);
        }
        if !meta.is_file() {
            return Err(io::Error::other("it is no regular file any more"));
        }
        let mut registry = lock(&tools.shared.registry);
        if let Some(other) = registry.find(inode) {
            return Ok(Checked::Taken(other));
        }
        self.adopt(&mut registry, file, inode, meta.len(), moved);
        Ok(Checked::Ready)
    }

    /// Deletes the file and makes it again; backups stay (supervisor-contract 8, clearing).
    pub(super) fn clear(&mut self, tools: &mut Tools) -> io::Result<Checked> {
        match fs::remove_file(self.ledger.path()) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => Err(e),
            _ => {
                hit("clear.removed");
                self.open_again(tools, false)
            }
        }
    }

    fn adopt(&mut self, registry: &mut Registry, file: File, inode: Inode, size: u64, moved: bool) {
        registry.rekey(self.inode, inode);
        self.ledger.rebase(registry, size, moved);
        self.file = file;
        self.inode = inode;
        self.pos = size;
        self.over = false;
        self.forgive();
        self.note();
    }

    /// How much may be written now. Never zero.
    pub(super) fn room(&self) -> Room {
        if self.over {
            Room::Line(MAX_LINE.saturating_sub(self.pos).max(1))
        } else {
            Room::Bytes(self.limit.saturating_sub(self.pos).max(1))
        }
    }

    /// Says that `n` bytes were spliced in, which end with a line end if `line_end` (only needed to be
    /// known for [`Room::Line`]); rotates when it is time.
    pub(super) fn advance(&mut self, n: u64, line_end: bool, tools: &mut Tools) {
        self.pos += n;
        self.ledger.advance(n);
        if self.page.as_ref().is_some_and(|page| page.outgrown(self.ledger.end())) {
            self.note();
        }
        if self.over && (line_end || self.pos >= MAX_LINE) {
            self.over = false;
            self.rotate_or_complain(self.pos, tools);
        }
        self.settle(tools);
    }

    /// Writes bytes that are in our hands, rotating on the way. Returns how many were written before
    /// the error.
    pub(super) fn write(&mut self, bytes: &[u8], tools: &mut Tools) -> (usize, io::Result<()>) {
        let mut done = 0;
        while done < bytes.len() {
            let rest = &bytes[done..];
            let len = match self.room() {
                Room::Bytes(n) => usize::try_from(n).unwrap_or(usize::MAX).min(rest.len()),
                Room::Line(n) => {
                    let line = rest.find_byte(b'\n').map_or(rest.len(), |at| at + 1);
                    usize::try_from(n).unwrap_or(usize::MAX).min(line)
                }
            };
            match self.file.write_at(&rest[..len], self.pos) {
                Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => {
                    self.advance(n as u64, rest[n - 1] == b'\n', tools);
                    done += n;
                }
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return (done, Err(e)),
            }
        }
        (done, Ok(()))
    }

    /// Rotates until the file is below its limit, or finds that there is nowhere to cut it yet.
    fn settle(&mut self, tools: &mut Tools) {
        while self.pos >= self.limit && !self.over {
            match self.last_line_end(&mut tools.scratch) {
                Ok(Some(cut)) => self.rotate_or_complain(cut, tools),
                Ok(None) if self.pos >= MAX_LINE => self.rotate_or_complain(self.pos, tools),
                Ok(None) => self.over = true,
                Err(e) => self.complain(e, tools),
            }
        }
    }

    /// The position behind the last line end, if one is within reach.
    fn last_line_end(&self, scratch: &mut Vec<u8>) -> io::Result<Option<u64>> {
        scratch.resize(BLOCK, 0);
        let floor = self.pos.saturating_sub(MAX_LINE);
        let mut upper = self.pos;
        let mut block = 4096;
        while upper > floor {
            let lower = upper.saturating_sub(block).max(floor);
            let bytes = &mut scratch[..usize::try_from(upper - lower).unwrap_or(BLOCK)];
            self.file.read_exact_at(bytes, lower)?;
            if let Some(at) = bytes.rfind_byte(b'\n') {
                return Ok(Some(lower + at as u64 + 1));
            }
            upper = lower;
            block = BLOCK as u64;
        }
        Ok(None)
    }

    fn rotate_or_complain(&mut self, cut: u64, tools: &mut Tools) {
        match self.rotate(cut, tools) {
            Ok(()) => {
                self.limit = self.max;
                tools.rotated = true;
            }
            Err(e) => self.complain(e, tools),
        }
    }

    /// A rotation failed: goes on with the same file, tries again later, and says so.
    fn complain(&mut self, e: io::Error, tools: &mut Tools) {
        self.limit = self.pos.saturating_add(RETRY_ROTATION.max(self.max / 8));
        tools.complaint = Some(e);
    }

    /// Moves everything behind `cut` to a new file; in the order that [`super::rotate`] describes.
    fn rotate(&mut self, cut: u64, tools: &mut Tools) -> io::Result<()> {
        hit("rotate.begin");
        let shared = Arc::clone(&tools.shared);
        let mut registry = lock(&shared.registry);
        let result = self.rotate_held(cut, &mut registry, tools);
        self.note();
        hit("rotate.noted");
        result
    }

    fn rotate_held(&mut self, cut: u64, registry: &mut Registry, tools: &mut Tools) -> io::Result<()> {
        let ledger = Arc::clone(&self.ledger);
        let mut pieces = ledger.pieces();
        let path = ledger.path();
        let base = pieces.base + cut;
        if self.backups == 0
            && let Some(page) = &mut self.page
        {
            // There will be no backup to tell from what was dropped.
            page.cutting(self.inode, pieces.base, cut);
        }
        if self.backups == 0 && cut == self.pos {
            hit("rotate.truncate");
            self.file.set_len(0)?;
            hit("rotate.truncated");
            self.pos = 0;
            pieces.rotated(base, 0, 0);
            return Ok(());
        }
        let made = self.next(path, cut, &mut tools.scratch).and_then(|new| {
            let shifted = shift(path, self.backups)?;
            hit("rotate.shifted");
            self.replace(&new.0, cut)?;
            Ok((new, shifted))
        });
        let ((new, inode), shifted) = made.inspect_err(|_| {
            // Nothing is lost: if a name could not be changed, some backups may have other numbers now.
            let _ = fs::remove_file(next_file(path));
            *pieces = Pieces::from_disk(path, self.pos, Some(ledger.end()));
        })?;
        registry.rekey(self.inode, inode);
        pieces.rotated(base, shifted.gap, self.backups);
        let old = std::mem::replace(&mut self.file, new);
        self.inode = inode;
        self.pos -= cut;
        if let Some(doomed) = shifted.doomed {
            tools.undertaker.bury(doomed);
        } else if self.backups == 0 {
            tools.undertaker.bury(old);
        }
        Ok(())
    }

    /// Steps 3 to 5: the file ends at `cut` and becomes a backup, `LOG.new` takes its place. When a name cannot
    /// be changed all is as before.
    fn replace(&self, new: &File, cut: u64) -> io::Result<()> {
        let path = self.ledger.path();
        if self.backups == 0 {
            return fs::rename(next_file(path), path);
        }
        if cut < self.pos {
            self.file.set_len(cut)?;
            hit("rotate.cut");
        }
        let moved = fs::rename(path, numbered(path, 1)).and_then(|()| {
            hit("rotate.moved");
            fs::rename(next_file(path), path).inspect_err(|_| {
                // It was done the other way a moment ago.
                let _ = fs::rename(numbered(path, 1), path);
            })
        });
        hit("rotate.renamed");
        moved.or_else(|e| {
            let mut tail = vec![0; usize::try_from(self.pos - cut).unwrap_or(0)];
            new.read_exact_at(&mut tail, 0)?;
            self.file.write_all_at(&tail, cut)?;
            Err(e)
        })
    }

    /// Makes `LOG.new` with the bytes behind `cut` and the old file's owner and mode.
    fn next(&self, path: &Path, cut: u64, scratch: &mut Vec<u8>) -> io::Result<(File, Inode)> {
        let old = self.file.metadata()?;
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(true).mode(self.mode);
        let new = options.open(next_file(path))?;
        hit("rotate.next");
        let (inode, meta) = inode(&new)?;
        if meta.mode() != old.mode() {
            new.set_permissions(fs::Permissions::from_mode(old.mode() & 0o7777))?;
        }
        if (meta.uid(), meta.gid()) != (old.uid(), old.gid()) {
            // Only the administrator may; the log works without.
            let _ = supers_os::pipe::fchown(new.as_fd(), old.uid(), old.gid());
        }
        scratch.resize(BLOCK, 0);
        let mut at = cut;
        while at < self.pos {
            let len = usize::try_from(self.pos - at).unwrap_or(BLOCK).min(BLOCK);
            self.file.read_exact_at(&mut scratch[..len], at)?;
            new.write_all_at(&scratch[..len], at - cut)?;
            at += len as u64;
        }
        hit("rotate.copied");
        Ok((new, inode))
    }
}
