//! Reading the history back, newest first. Blocking reads: not for the engine's thread.

use super::ring::{Backlog, Limits, lock, segment};
use bstr::ByteSlice;
use std::fs::File;
use std::io::{self, Read, Seek, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};
use supers_core::history::{Entry, Page, Query};

/// Reads a history, also while it is written; cheap to clone.
#[derive(Clone)]
pub struct Reader {
    dir: PathBuf,
    /// Bytes of a file that are looked at; a longer one is not ours.
    most: u64,
    backlog: Arc<Mutex<Backlog>>,
}

/// What is wanted, and what was found so far.
struct Search<'q> {
    query: &'q Query,
    /// A line about one unit that holds none of these is not meant; empty when all are wanted.
    needles: Vec<String>,
    /// Newest first.
    found: Vec<Entry>,
    skipped: u64,
}

impl Reader {
    /// Of the files in this folder; for who has no daemon to ask.
    pub fn of_files(dir: &Path) -> Reader {
        Reader::new(dir, Limits::default(), Arc::default())
    }

    pub(super) fn new(dir: &Path, limits: Limits, backlog: Arc<Mutex<Backlog>>) -> Reader {
        Reader { dir: dir.into(), most: limits.segment.saturating_mul(2), backlog }
    }

    /// The newest entries that the query wants, oldest first. A file that is not there is an empty one.
    ///
    /// # Errors
    /// A file is there and cannot be read.
    pub fn read(&self, query: &Query) -> io::Result<Page> {
        // In memory first: what moves to the file in between is then seen twice, not missed.
        let (waiting, dropped) = {
            let backlog = lock(&self.backlog);
            (backlog.lines.iter().cloned().collect::<Vec<_>>(), backlog.dropped)
        };
        let mut search = Search::new(query);
        let newest = self.load(0)?;
        let again = |line: &[u8]| waiting.iter().any(|w| w.trim_end_with(|c| c == '\n') == line);
        search.take(waiting.concat().as_slice(), |_| false);
        if let Some((_, bytes)) = &newest {
            search.take(bytes, again);
        }
        if !search.is_full() {
            let inode = |file: &Option<(u64, Vec<u8>)>| file.as_ref().map(|(inode, _)| *inode);
            let older = self.load(1)?;
            // It was renamed a moment ago: the same file.
            if inode(&older) != inode(&newest)
                && let Some((_, bytes)) = &older
            {
                search.take(bytes, again);
            }
        }
        search.found.reverse();
        Ok(Page { entries: search.found, skipped: search.skipped, dropped })
    }

    /// The end of one of the two files, from the beginning of a line on, and its inode.
    fn load(&self, number: usize) -> io::Result<Option<(u64, Vec<u8>)>> {
        let mut file = match File::open(segment(&self.dir, number)) {
            Ok(file) => file,
            Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(None),
            Err(e) => return Err(e),
        };
        let meta = file.metadata()?;
        if !meta.is_file() {
            return Ok(None);
        }
        let start = meta.len().saturating_sub(self.most);
        file.seek(SeekFrom::Start(start))?;
        let mut bytes = Vec::new();
        file.take(self.most).read_to_end(&mut bytes)?;
        if start > 0 {
            let cut = bytes.find_byte(b'\n').map_or(bytes.len(), |at| at + 1);
            bytes.drain(..cut);
        }
        Ok(Some((meta.ino(), bytes)))
    }
}

impl<'q> Search<'q> {
    fn new(query: &'q Query) -> Search<'q> {
        let quoted = |name: &String| serde_json::to_string(name).unwrap_or_default();
        let needles = query.units.iter().flatten().map(quoted).collect();
        Search { query, needles, found: Vec::new(), skipped: 0 }
    }

    fn is_full(&self) -> bool {
        self.found.len() >= self.query.limit
    }

    /// Looks through lines from the last to the first, without those that were seen `before`.
    fn take(&mut self, bytes: &[u8], before: impl Fn(&[u8]) -> bool) {
        let whole = bytes.last() == Some(&b'\n');
        for (i, line) in bytes.rsplit(|b| *b == b'\n').enumerate() {
            if self.is_full() {
                return;
            }
            if line.is_empty() || !self.is_promising(line) || before(line) {
                continue;
            }
            match serde_json::from_slice::<Entry>(line) {
                Ok(entry) if self.query.wants(&entry) => self.found.push(entry),
                Ok(_) => {}
                // The last line may be on its way into the file.
                Err(_) if i == 0 && !whole => {}
                Err(_) => self.skipped += 1,
            }
        }
    }

    /// Cheaper than reading it: most lines are about another unit.
    fn is_promising(&self, line: &[u8]) -> bool {
        self.query.units.is_none()
            || self.needles.iter().any(|needle| line.contains_str(needle))
            || !line.contains_str("\"unit\":")
    }
}
