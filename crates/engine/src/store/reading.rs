//! Reading a file of records, at once or bit by bit: it is only ever appended to.

use super::values::Values;
use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt};

/// The version of the format: of this file and of all values in it.
pub(super) const FORMAT: u8 = 1;
/// First bytes of the file; the last of them is the version of the format.
pub(super) const MAGIC: &[u8; 8] = &[b'S', b'U', b'P', b'R', b'E', b'C', 0, FORMAT];
/// Bytes before the first record: the magic, and how often the file was written anew.
pub(super) const HEAD: u64 = 16;
/// Bytes before each record: lengths of key and value, checksum.
pub(super) const FRAME: usize = 16;
/// A longer record is damage.
const MAX_VALUE: usize = 256 << 20;
/// A length that means "removed".
pub(super) const REMOVED: u32 = u32::MAX;
/// What is appended while it is read has room here.
const ROOM: usize = 64 << 10;

/// Where a value lies.
#[derive(Clone, Copy, Debug)]
pub(super) struct Span {
    pub at: u64,
    pub len: u32,
    /// Bytes of the whole record.
    pub whole: u32,
}

impl Span {
    pub(super) fn place(self) -> std::ops::Range<usize> {
        let at = usize::try_from(self.at).unwrap_or(usize::MAX);
        at..at.saturating_add(self.len as usize)
    }
}

/// A file of records, as far as it was read.
#[derive(Debug)]
pub(super) struct Reading {
    /// Device and inode.
    id: (u64, u64),
    /// How often it was written anew.
    pub generation: u64,
    pub bytes: Vec<u8>,
    pub index: BTreeMap<Box<str>, Span>,
    /// Where the last whole batch ends.
    pub end: u64,
}

impl Reading {
    /// Reads all that is whole, or what was appended since the reading was `begun`: then also the keys of the values that
    /// are others now.
    ///
    /// # Errors
    /// It cannot be read, or is no file of records.
    pub(super) fn go_on(begun: Option<Reading>, file: &File) -> io::Result<(Reading, Option<Vec<Box<str>>>)> {
        let (generation, about) = (generation_of(file)?, file.metadata()?);
        let id = (about.dev(), about.ino());
        let same = begun.filter(|begun| (begun.id, begun.generation) == (id, generation));
        let goes_on = same.is_some();
        let fresh = || Reading { id, generation, bytes: Vec::new(), index: BTreeMap::new(), end: HEAD };
        let mut reading = same.unwrap_or_else(fresh);
        reading.read(file, usize::try_from(about.len()).unwrap_or(0))?;
        let (found, end) = scan(&reading.bytes, reading.end);
        reading.end = end;
        let mut changed = Vec::new();
        for (key, span) in found {
            if goes_on {
                changed.push(key.into());
            }
            match span {
                Some(span) => drop(reading.index.insert(key.into(), span)),
                None => drop(reading.index.remove(key)),
            }
        }
        Ok((reading, goes_on.then_some(changed)))
    }

    /// The bytes of the file, which has this length, behind what is known to be whole.
    fn read(&mut self, file: &File, length: usize) -> io::Result<()> {
        self.bytes.truncate(usize::try_from(self.end).unwrap_or(0));
        let mut at = self.bytes.len();
        let length = length.min(MAX_VALUE).max(at);
        if at == 0 {
            self.bytes.reserve(length.saturating_add(ROOM));
        }
        self.bytes.resize(length, 0);
        while let Some(rest) = self.bytes.get_mut(at..).filter(|rest| !rest.is_empty()) {
            match file.read_at(rest, at as u64) {
                Ok(0) => break,
                Ok(n) => at += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return Err(e),
            }
        }
        self.bytes.truncate(at);
        Ok(())
    }

    /// All values.
    pub(super) fn values(&self) -> Values<'_> {
        Values::new(&self.bytes, Values::places(&self.index))
    }
}

/// Where the values lie that count, `None` for those that were removed, and where the last whole batch ends; all of it
/// behind `from`.
fn scan(bytes: &[u8], from: u64) -> (HashMap<&str, Option<Span>>, u64) {
    let mut at = usize::try_from(from).unwrap_or(usize::MAX);
    // A guess, so that it does not grow step by step.
    let some = bytes.len().saturating_sub(at) / 256;
    let (mut found, mut batch) = (HashMap::with_capacity(some), Vec::with_capacity(some));
    let mut end = at;
    while let Some((key, value, whole)) = bytes.get(at..).and_then(parse) {
        let place = (at + FRAME + key.len()) as u64;
        at += whole as usize;
        if !key.is_empty() {
            batch.push((key, value.map(|v| Span { at: place, len: v.len() as u32, whole })));
            continue;
        }
        found.extend(batch.drain(..));
        end = at;
    }
    (found, end as u64)
}

/// How often the file was written anew.
///
/// # Errors
/// It is no file of records, or of another format.
pub(super) fn generation_of(file: &File) -> io::Result<u64> {
    let mut head = [0u8; HEAD as usize];
    file.read_exact_at(&mut head, 0).map_err(|_| io::Error::other("it is no file of records"))?;
    let (magic, rest) = head.split_at(8);
    if magic.get(..7) != MAGIC.get(..7) {
        return Err(io::Error::other("it is no file of records"));
    }
    if magic != MAGIC {
        return Err(io::Error::other("it was written by another version in another format"));
    }
    let mut number = [0u8; 8];
    number.copy_from_slice(rest);
    Ok(u64::from_le_bytes(number))
}

/// The record at the beginning of `bytes`: key, value (`None`: removed), length of all. `None` when it is torn or
/// damaged.
fn parse(bytes: &[u8]) -> Option<(&str, Option<&[u8]>, u32)> {
    let number = |at: usize| {
        let b: [u8; 4] = bytes.get(at..at + 4)?.try_into().ok()?;
        Some(u32::from_le_bytes(b))
    };
    let (key_len, len) = (number(0)? as usize, number(4)?);
    let check = u64::from_le_bytes(bytes.get(8..16)?.try_into().ok()?);
    let value_len = if len == REMOVED { 0 } else { len as usize };
    if key_len > 4096 || value_len > MAX_VALUE {
        return None;
    }
    let key = bytes.get(FRAME..FRAME + key_len)?;
    let value = bytes.get(FRAME + key_len..FRAME + key_len + value_len)?;
    if sum(key, value, len) != check {
        return None;
    }
    let key = std::str::from_utf8(key).ok()?;
    Some((key, (len != REMOVED).then_some(value), (FRAME + key_len + value_len) as u32))
}

/// The checksum: against torn writes, not against enemies. Eight bytes at a time, since values can be long.
pub(super) fn sum(key: &[u8], value: &[u8], len: u32) -> u64 {
    const PRIME: u64 = 0x0000_0100_0000_01b3;
    let mut h = 0xcbf2_9ce4_8422_2325 ^ u64::from(len);
    for part in [key, value] {
        let (words, rest) = part.as_chunks::<8>();
        for word in words {
            h = (h ^ u64::from_le_bytes(*word)).wrapping_mul(PRIME).rotate_left(23);
        }
        for byte in rest {
            h = (h ^ u64::from(*byte)).wrapping_mul(PRIME);
        }
        h = (h ^ part.len() as u64).wrapping_mul(PRIME).rotate_left(31);
    }
    h
}
