//! Who was born, as each child notes it itself.
//!
//! A daemon writes down that it begins a run, then makes the process, then writes down its number. When it is killed
//! between these, and the keeper with it, nobody else knows whether that process ever was: so the child's first act is
//! to note its number and the time in a file, at a place that its run has. Whoever starts superd next knows by that
//! which runs began, and the process itself if it still lives: at that time the number was its own, so a process that
//! has it now and is as old is the same.
//!
//! The file is small, never forced to the disk, and of use in one boot only. A note that could not be written is no
//! error: what is then unknown is as without the file.

use crate::{process, reap};
use std::ffi::c_long;
use std::fs::{self, File};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, OwnedFd, RawFd};
use std::os::unix::fs::FileExt;
use std::path::Path;
use supers_core::ids::Pid;

/// More than there can be runs whose number the daemon has not written down.
const PLACES: u64 = 2048;
/// Run, process, time: eight bytes each.
const NOTE: usize = 24;
/// Nanoseconds in one of the ticks in which the kernel tells when a process began.
const TICK: u64 = 10_000_000;

/// The file.
#[derive(Debug)]
pub struct Births(File);

/// Where a child is to note itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Notebook {
    /// The file; stays open until the child executes.
    pub fd: RawFd,
    /// The run.
    pub run: u64,
}

/// A process as it noted itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Birth {
    /// Its number.
    pub pid: Pid,
    /// Nanoseconds since boot; its birth was a moment before.
    at: u64,
}

impl Births {
    /// An empty file in place of what was there.
    ///
    /// # Errors
    /// The folder takes none.
    pub fn create(path: &Path) -> io::Result<Births> {
        match fs::remove_file(path) {
            Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
            _ => {}
        }
        Births::open(path)
    }

    /// The file that is there, or an empty one.
    ///
    /// # Errors
    /// The folder takes none, or something else is there.
    pub fn open(path: &Path) -> io::Result<Births> {
        let file = process::open_own(path, true)?;
        let (there, whole) = (file.metadata()?.len(), place_of(PLACES - 1) + NOTE as u64);
        // All of it at once: later the disk may be full.
        file.write_all_at(&vec![0; whole.saturating_sub(there) as usize], there)?;
        Ok(Births(file))
    }

    /// For a child of this run.
    pub fn notebook(&self, run: u64) -> Notebook {
        Notebook { fd: self.0.as_raw_fd(), run }
    }

    /// The process of this run, if it was ever born.
    pub fn find(&self, run: u64) -> Option<Birth> {
        let mut note = [0u8; NOTE];
        self.0.read_exact_at(&mut note, place_of(run)).ok()?;
        let mut numbers = note.chunks_exact(8).map(|b| b.try_into().map_or(0, u64::from_le_bytes));
        let (noted, pid, at) = (numbers.next()?, numbers.next()?, numbers.next()?);
        let pid = i32::try_from(pid).ok().filter(|pid| noted == run && run != 0 && *pid > 0)?;
        Some(Birth { pid: Pid(pid), at })
    }
}

impl Birth {
    /// The process itself, living or a zombie: not another that has its number by now.
    pub fn process(&self) -> Option<OwnedFd> {
        let pidfd = reap::pidfd_open(self.pid).ok()?;
        let began = process::start_time(self.pid.0).ok()?;
        (began.saturating_mul(TICK) <= self.at).then_some(pidfd)
    }
}

fn place_of(run: u64) -> u64 {
    run % PLACES * NOTE as u64
}

impl Notebook {
    /// The child's side: notes this process, with raw system calls only (see `spawn::child`).
    pub(crate) fn note(self, pid: c_long) {
        let mut time = MaybeUninit::<libc::timespec>::zeroed();
        // SAFETY: a valid place for the answer; all zeros is a valid value.
        let time = unsafe {
            libc::syscall(libc::SYS_clock_gettime, c_long::from(libc::CLOCK_BOOTTIME), time.as_mut_ptr());
            time.assume_init()
        };
        let nanoseconds = (time.tv_sec as u64).wrapping_mul(1_000_000_000).wrapping_add(time.tv_nsec as u64);
        self.write(self.run, pid as u64, nanoseconds);
    }

    /// It was nothing: this process will not execute.
    pub(crate) fn strike(self) {
        self.write(0, 0, 0);
    }

    fn write(self, run: u64, pid: u64, at: u64) {
        let note = [run.to_le(), pid.to_le(), at.to_le()];
        let place = place_of(self.run) as c_long;
        // SAFETY: the buffer and its length belong together. What does not get there is not known later.
        unsafe { libc::syscall(libc::SYS_pwrite64, self.fd, note.as_ptr(), NOTE, place) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    #[test]
    fn a_birth_is_found_by_its_run_and_its_process_by_its_age() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("births");
        let births = Births::create(&path).unwrap();
        let run = (3 << 40) + 7;
        assert_eq!(births.find(run), None);
        let size = || fs::metadata(&path).unwrap().len();
        assert_eq!(size(), PLACES * NOTE as u64);
        let mut child = Command::new("/bin/sleep").arg("60").spawn().unwrap();
        births.notebook(run).note(c_long::from(child.id()));
        let births = Births::open(&path).unwrap();
        let birth = births.find(run).unwrap();
        assert_eq!(birth.pid.0.cast_unsigned(), child.id());
        assert!(birth.process().is_some());
        // Whoever began later has only the number.
        assert!(Birth { at: birth.at.saturating_sub(60_000_000_000), ..birth }.process().is_none());
        for other in [0, run - 1, run + 1, run + PLACES, 7] {
            assert_eq!(births.find(other), None, "{other}");
        }
        child.kill().unwrap();
        assert!(births.find(run).unwrap().process().is_some(), "a zombie has its number");
        child.wait().unwrap();
        assert!(births.find(run).unwrap().process().is_none());
        births.notebook(run).strike();
        assert_eq!(births.find(run), None);
        births.notebook(run).note(1);
        births.notebook(PLACES - 1).note(1);
        assert_eq!(size(), PLACES * NOTE as u64, "no place is outside");
        assert_eq!(Births::create(&path).unwrap().find(run), None);
    }

    #[test]
    fn what_may_be_somebody_elses_is_not_touched() {
        let dir = tempfile::tempdir().unwrap();
        let (path, other) = (dir.path().join("births"), dir.path().join("other"));
        fs::write(&other, "other").unwrap();
        std::os::unix::fs::symlink(&other, &path).unwrap();
        assert!(Births::open(&path).is_err());
        fs::remove_file(&path).unwrap();
        fs::hard_link(&other, &path).unwrap();
        assert!(Births::open(&path).is_err());
        Births::create(&path).unwrap().notebook(1).note(1);
        assert_eq!(fs::read(&other).unwrap(), b"other");
    }
}
