//! The FIFO between a program and the pump.

use std::fs::{self, File};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use supers_os::pipe;

/// Longest name of a unit that is used as it is in a file name.
const MAX_NAME: usize = 180;

/// One named FIFO, held open for both directions: it has a reader and a writer as long as we live.
pub(super) struct Fifo {
    file: File,
    /// Bytes that left the pipe are still on their way to the target.
    pub(super) busy: AtomicBool,
    /// The keeper has a descriptor of it.
    pub(super) held: AtomicBool,
    /// A number for its name.
    pub(super) mark: u64,
}

impl Fifo {
    /// Opens the FIFO, making it when it is missing or something else has its name.
    pub(super) fn open(path: &Path) -> io::Result<Fifo> {
        if let Err(e) = pipe::mkfifo(path, 0o600) {
            let there = fs::symlink_metadata(path).map_err(|_| e)?;
            if !there.file_type().is_fifo() {
                fs::remove_file(path)?;
                pipe::mkfifo(path, 0o600)?;
            }
        }
        Ok(Fifo::new(pipe::open_fifo(path)?.into(), path, false))
    }

    /// Takes over the FIFO that an earlier daemon had under this name; `None` when it is none. What `path`
    /// leads to now does not matter: nobody needs the name.
    pub(super) fn given(fd: OwnedFd, path: &Path) -> Option<Fifo> {
        let file = File::from(fd);
        let fits = file.metadata().is_ok_and(|meta| meta.file_type().is_fifo());
        (fits && pipe::set_nonblocking(&file).is_ok()).then(|| Fifo::new(file, path, true))
    }

    fn new(file: File, path: &Path, held: bool) -> Fifo {
        let name = path.file_name().unwrap_or(path.as_os_str());
        let (busy, held) = (AtomicBool::new(false), AtomicBool::new(held));
        Fifo { file, busy, held, mark: super::hash(name.as_bytes()) }
    }

    /// Gives the FIFO to the program's user, so that it can open /dev/stdout again.
    pub(super) fn give(&self, owner: Option<(u32, u32)>) -> io::Result<()> {
        let meta = self.file.metadata()?;
        if meta.mode() & 0o7777 != 0o600 {
            self.file.set_permissions(fs::Permissions::from_mode(0o600))?;
        }
        match owner {
            Some((uid, gid)) if (meta.uid(), meta.gid()) != (uid, gid) => {
                pipe::fchown(self.as_fd(), uid, gid)
            }
            _ => Ok(()),
        }
    }

    /// The pump's own description.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Bytes in the pipe.
    pub(super) fn waiting(&self) -> u64 {
        // It is a pipe: this cannot fail.
        pipe::fionread(self.as_fd()).map_or(0, |n| n as u64)
    }

    /// What the pipe can hold.
    pub(super) fn capacity(&self) -> u64 {
        pipe::pipe_size(self.as_fd()).map_or(64 << 10, |n| n as u64)
    }

    /// Bytes that are not in the target yet: in the pipe, or read and not written.
    pub(super) fn pending(&self) -> bool {
        // In this order: the pump sets the flag before it reads.
        self.waiting() > 0 || self.busy.load(Ordering::SeqCst)
    }
}

impl AsFd for Fifo {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.file.as_fd()
    }
}

/// Where the FIFO of a unit's stream lies.
pub(super) fn path(folder: &Path, escaped: &str, stderr: bool) -> PathBuf {
    folder.join(file_name(escaped, stderr))
}

/// Its name in that folder.
pub(super) fn file_name(escaped: &str, stderr: bool) -> String {
    format!("{escaped}.{}", if stderr { "err" } else { "out" })
}

/// The file names of the FIFOs that a unit of this full name may have, standard output first: as
/// [`super::Streams::fifo_fds`] says them.
pub fn names(unit: &str) -> [String; 2] {
    let escaped = escape(unit);
    [file_name(&escaped, false), file_name(&escaped, true)]
}

/// A unit's name as a file name: letters, digits and `._-:@+` stay, the rest becomes `%XX`; a very long
/// name is cut and told apart by a hash.
pub(super) fn escape(name: &str) -> String {
    let mut out = String::with_capacity(name.len());
    for (i, byte) in name.bytes().enumerate() {
        match byte {
            b'.' if i == 0 => out.push_str("%2E"),
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'.' | b'_' | b'-' | b':' | b'@' | b'+' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    if out.len() > MAX_NAME {
        out.truncate(MAX_NAME);
        out.push_str(&format!("%{:016x}", super::hash(name.as_bytes())));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_and_distinct() {
        assert_eq!(escape("web:web_00"), "web:web_00");
        assert_eq!(escape("../a b"), "%2E.%2Fa%20b");
        assert_eq!(escape("größe"), "gr%C3%B6%C3%9Fe");
        let (a, b) = ("x".repeat(300), "x".repeat(301));
        assert_ne!(escape(&a), escape(&b));
        assert!(escape(&a).len() < 250);
    }
}
