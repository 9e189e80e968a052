//! Reading a log back, over its rotations. Blocking reads: not for the engine's thread.

use super::ledger::Ledger;
use super::rotate::numbered;
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::sync::Arc;

/// Most bytes one read returns.
const MAX_READ: usize = 1 << 20;
/// Read at once when looking for line ends.
const BLOCK: u64 = 64 << 10;

/// Reads one log by logical offsets: bytes since the log began, over all rotations.
#[derive(Clone)]
pub struct LogReader(pub(super) Arc<Ledger>);

impl LogReader {
    /// The file in use.
    pub fn path(&self) -> &Path {
        self.0.path()
    }

    /// Offset behind the last byte.
    pub fn end(&self) -> u64 {
        self.0.end()
    }

    /// Offset of the oldest byte that is kept.
    pub fn oldest(&self) -> u64 {
        self.0.pieces().oldest()
    }

    /// Up to `max` bytes from `offset`, or from the oldest byte behind it when that one is gone. Returns
    /// where the bytes really begin. May return fewer than there are; none only at the end.
    pub fn read(&self, offset: u64, max: usize) -> io::Result<(u64, Vec<u8>)> {
        let mut at = offset;
        loop {
            let end = self.end();
            if at >= end || max == 0 {
                return Ok((at.min(end), Vec::new()));
            }
            // Only opening needs the lock: a file that is renamed later is still the one we meant.
            let (file, start, next) = {
                let pieces = self.0.pieces();
                at = at.max(pieces.oldest());
                let (number, start, next) = pieces.find(at);
                let path = self.0.path();
                let file = if number == 0 { File::open(path) } else { File::open(numbered(path, number)) };
                (file, start, next)
            };
            let stop = next.unwrap_or_else(|| self.end());
            let len = usize::try_from(stop.saturating_sub(at)).unwrap_or(MAX_READ).min(max).min(MAX_READ);
            let bytes = match file {
                Ok(file) => read_at(&file, at - start.min(at), len)?,
                Err(e) if e.kind() == io::ErrorKind::NotFound => Vec::new(),
                Err(e) => return Err(e),
            };
            match next {
                // A backup that somebody deleted or cut: go on with the next file.
                Some(next) if bytes.is_empty() => at = next,
                _ => return Ok((at, bytes)),
            }
        }
    }

    /// Where the last `n` lines begin. An unfinished last line counts.
    pub fn start_of_last_lines(&self, n: u64) -> io::Result<u64> {
        let end = self.end();
        if n == 0 {
            return Ok(end);
        }
        let mut left = n;
        let mut upper = end;
        while upper > self.oldest() {
            let lower = upper.saturating_sub(BLOCK).max(self.oldest());
            let (at, bytes) = self.read_all(lower, upper)?;
            for (i, byte) in bytes.iter().enumerate().rev() {
                let behind = at + i as u64 + 1;
                if *byte == b'\n' && behind != end {
                    left -= 1;
                    if left == 0 {
                        return Ok(behind);
                    }
                }
            }
            if at != lower {
                return Ok(at.min(end));
            }
            upper = lower;
        }
        Ok(upper)
    }

    /// The last `n` lines behind `since` as text, at most 64 KiB of them.
    pub fn last_lines(&self, n: usize, since: u64) -> io::Result<Vec<String>> {
        let end = self.end();
        let from = self.oldest().max(since).max(end.saturating_sub(BLOCK));
        let (_, bytes) = self.read_all(from, end)?;
        Ok(lines(&bytes, n))
    }

    /// Completes when the log reaches beyond `seen`. Woken by the pump: costs nothing while it waits.
    pub async fn changed(&self, seen: u64) {
        loop {
            let ring = self.0.bell().notified();
            tokio::pin!(ring);
            ring.as_mut().enable();
            if self.end() > seen {
                return;
            }
            ring.await;
        }
    }

    /// Everything from `from` to `to`, or from the oldest byte behind `from`.
    fn read_all(&self, from: u64, to: u64) -> io::Result<(u64, Vec<u8>)> {
        let want = |at: u64| usize::try_from(to.saturating_sub(at)).unwrap_or(MAX_READ);
        let (start, mut all) = self.read(from, want(from))?;
        all.truncate(want(start));
        loop {
            let next = start + all.len() as u64;
            if next >= to {
                return Ok((start, all));
            }
            let (at, bytes) = self.read(next, want(next))?;
            if bytes.is_empty() || at != next {
                return Ok((start, all));
            }
            all.extend(bytes);
        }
    }
}

/// The last `n` lines of a file as text, at most 64 KiB of them.
pub fn tail_of(path: &Path, n: usize) -> io::Result<Vec<String>> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    let from = size.saturating_sub(BLOCK);
    let bytes = read_at(&file, from, usize::try_from(size - from).unwrap_or(0))?;
    Ok(lines(&bytes, n))
}

fn lines(bytes: &[u8], n: usize) -> Vec<String> {
    let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
    if bytes.is_empty() {
        return Vec::new();
    }
    let mut last: Vec<String> =
        bytes.rsplit(|b| *b == b'\n').take(n).map(|l| String::from_utf8_lossy(l).into_owned()).collect();
    last.reverse();
    last
}

/// Fills a buffer from `at`, as far as the file goes.
pub(super) fn read_at(file: &File, at: u64, len: usize) -> io::Result<Vec<u8>> {
    let mut bytes = vec![0; len];
    let mut have = 0;
    while have < len {
        match file.read_at(&mut bytes[have..], at + have as u64) {
            Ok(0) => break,
            Ok(n) => have += n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    bytes.truncate(have);
    Ok(bytes)
}
