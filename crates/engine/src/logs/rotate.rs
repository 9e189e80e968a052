//! Numbered backups (supervisor-contract 8: `.1` is the newest) and the repair of a rotation that was
//! cut short by a crash.
//!
//! A rotation in the middle of a line is done in this order, each step of which can be told from the
//! names and the last byte alone:
//!
//! 1. the unfinished line at the end is copied to `LOG.new`: on a full disk all ends here, and no name is changed;
//! 2. backups move up by one, up to the first gap;
//! 3. the old file is cut behind its last line end;
//! 4. the old file becomes `LOG.1`;
//! 5. `LOG.new` becomes `LOG`.
//!
//! Found at the next start: `LOG` gone: do 5. `LOG` ends with a line end: do 4 and 5. Else step 3 was
//! not done, all bytes are in `LOG`, and `LOG.new` is deleted.

use crate::failpoint::hit;
use std::ffi::OsString;
use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};

/// `LOG.n`.
pub(super) fn numbered(path: &Path, n: u32) -> PathBuf {
    suffixed(path, &format!(".{n}"))
}

/// `LOG.new`: the next file, while it is being made.
pub(super) fn next_file(path: &Path) -> PathBuf {
    suffixed(path, ".new")
}

fn suffixed(path: &Path, suffix: &str) -> PathBuf {
    let mut name = OsString::with_capacity(path.as_os_str().len() + suffix.len());
    name.push(path);
    name.push(suffix);
    name.into()
}

/// What [`shift`] did.
pub(super) struct Shifted {
    /// The number that was free and is filled now; one more than `backups` when none was.
    pub(super) gap: u32,
    /// The backup that fell off the end, still open: its blocks are freed when this is dropped, which
    /// can take long and is done elsewhere.
    pub(super) doomed: Option<File>,
}

/// Makes room for a new `.1`.
pub(super) fn shift(path: &Path, backups: u32) -> io::Result<Shifted> {
    let gap =
        (1..=backups).find(|n| fs::symlink_metadata(numbered(path, *n)).is_err()).unwrap_or(backups + 1);
    let mut shifted = Shifted { gap, doomed: None };
    if gap > backups && backups > 0 {
        shifted.doomed = File::open(numbered(path, backups)).ok();
    }
    for n in (1..gap.min(backups)).rev() {
        fs::rename(numbered(path, n), numbered(path, n + 1))?;
        hit("shift.step");
    }
    Ok(shifted)
}

/// Finishes or undoes a rotation that a crash cut short. True when there was one.
pub(super) fn repair(path: &Path, backups: u32) -> io::Result<bool> {
    let new = next_file(path);
    match fs::symlink_metadata(&new) {
        Ok(meta) if meta.is_file() => {}
        Ok(_) => return Ok(false),
        Err(e) if e.kind() == io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(e),
    }
    match last_byte(path) {
        Ok(Some(b'\n')) => {
            if backups > 0 {
                hit("repair.shift");
                shift(path, backups)?;
                hit("repair.shifted");
                fs::rename(path, numbered(path, 1))?;
                hit("repair.moved");
            }
            fs::rename(&new, path)
        }
        // Somebody made it again after step 4.
        Ok(None) if fs::metadata(&new)?.len() > 0 => fs::rename(&new, path),
        Ok(_) => {
            hit("repair.drop");
            fs::remove_file(&new)
        }
        Err(e) if e.kind() == io::ErrorKind::NotFound => fs::rename(&new, path),
        Err(e) => Err(e),
    }
    .map(|()| true)
}

fn last_byte(path: &Path) -> io::Result<Option<u8>> {
    let file = File::open(path)?;
    let Some(at) = file.metadata()?.len().checked_sub(1) else { return Ok(None) };
    let mut byte = [0];
    file.read_exact_at(&mut byte, at)?;
    Ok(Some(byte[0]))
}
