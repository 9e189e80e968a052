//! The output streams of one unit, as the rest of the engine holds them.

use super::fifo::{self, Fifo};
use super::ledger::Ledger;
use super::reader::LogReader;
use std::fs::OpenOptions;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use supers_core::control::Stream;
use supers_os::pipe;

/// Standard output and standard error of one unit; the same over all its runs while its output
/// settings stay.
pub struct Streams {
    /// Standard output first.
    pub(super) lanes: [Lane; 2],
    /// Fingerprints of the settings, to see whether they changed.
    pub(super) keys: [u64; 2],
    pub(super) owner: Option<(u32, u32)>,
    /// The base of the FIFOs' names.
    pub(super) escaped: Box<str>,
    /// Where they lie.
    pub(super) folder: Arc<Path>,
}

/// One stream.
pub(super) enum Lane {
    /// Dropped by the kernel; no FIFO.
    Null,
    /// Standard error that goes where standard output goes.
    Merged,
    /// Through a FIFO.
    Wired {
        fifo: Arc<Fifo>,
        place: Place,
        /// Facts come of what is written.
        told: bool,
    },
}

/// What a stream ends in.
#[derive(Clone)]
pub(super) enum Place {
    /// A regular file and its backups.
    File(Arc<Ledger>),
    /// Something that cannot be read back.
    Device(Arc<PathBuf>),
    /// The text is only told.
    Nowhere,
}

impl Streams {
    /// The descriptor for one run's standard output: a fresh blocking description, so that nothing a
    /// program does to it reaches another run.
    pub fn stdout_writer(&self) -> io::Result<OwnedFd> {
        self.writer(false)
    }

    /// The same for standard error; `stdout` is this run's standard output, which is shared when both
    /// streams are one.
    pub fn stderr_writer(&self, stdout: &OwnedFd) -> io::Result<OwnedFd> {
        match &self.lanes[1] {
            Lane::Merged => stdout.try_clone(),
            Lane::Null | Lane::Wired { .. } => self.writer(true),
        }
    }

    /// Output was written that is not in its target yet, or the engine may not have been told yet.
    pub fn pending(&self) -> bool {
        self.lanes.iter().any(|lane| match lane {
            Lane::Wired { fifo, told, .. } => *told || fifo.pending(),
            Lane::Null | Lane::Merged => false,
        })
    }

    /// The names that the FIFOs of a unit have, standard output first.
    pub fn names(unit: &str) -> [String; 2] {
        let escaped = fifo::escape(unit);
        [false, true].map(|stderr| fifo::file_name(&escaped, stderr))
    }

    /// The FIFOs and their names, which are unique in the daemon: what a keeper must hold, so that nothing
    /// in them is lost when the daemon dies.
    pub fn fifo_fds(&self) -> impl Iterator<Item = (String, BorrowedFd<'_>)> {
        self.fifos().map(|(name, fifo)| (name, fifo.as_fd()))
    }

    /// Those of them that the keeper was not given yet. They count as given from now on; when giving fails
    /// see [`Streams::give_again`].
    pub fn take_unheld(&self) -> Vec<(String, BorrowedFd<'_>)> {
        let unheld = self.fifos().filter(|(_, fifo)| !fifo.held.swap(true, Ordering::AcqRel));
        unheld.map(|(name, fifo)| (name, fifo.as_fd())).collect()
    }

    /// The keeper has none of them.
    pub fn give_again(&self) {
        self.fifos().for_each(|(_, fifo)| fifo.held.store(false, Ordering::Release));
    }

    fn fifos(&self) -> impl Iterator<Item = (String, &Fifo)> {
        self.lanes.iter().zip([false, true]).filter_map(|(lane, stderr)| match lane {
            Lane::Wired { fifo, .. } => Some((fifo::file_name(&self.escaped, stderr), &**fifo)),
            Lane::Null | Lane::Merged => None,
        })
    }

    /// The file or device in use, with `AUTO` resolved; `None` when the stream is dropped.
    pub fn path(&self, stream: Stream) -> Option<PathBuf> {
        match self.place(stream)? {
            Place::File(ledger) => Some(ledger.path().into()),
            Place::Device(path) => Some(path.as_ref().clone()),
            Place::Nowhere => None,
        }
    }

    /// Reads the stream back; `None` when it is dropped or goes to a device.
    pub fn reader(&self, stream: Stream) -> Option<LogReader> {
        match self.place(stream)? {
            Place::File(ledger) => Some(LogReader(Arc::clone(ledger))),
            Place::Device(_) | Place::Nowhere => None,
        }
    }

    fn place(&self, stream: Stream) -> Option<&Place> {
        let index = match (stream, &self.lanes[1]) {
            (Stream::Stdout, _) | (Stream::Stderr, Lane::Merged) => 0,
            (Stream::Stderr, Lane::Null | Lane::Wired { .. }) => 1,
        };
        match &self.lanes[index] {
            Lane::Wired { place, .. } => Some(place),
            Lane::Null | Lane::Merged => None,
        }
    }

    fn writer(&self, stderr: bool) -> io::Result<OwnedFd> {
        match &self.lanes[usize::from(stderr)] {
            Lane::Wired { fifo, .. } => {
                pipe::reopen(fifo.as_fd(), &fifo::path(&self.folder, &self.escaped, stderr))
            }
            Lane::Null | Lane::Merged => Ok(OpenOptions::new().write(true).open("/dev/null")?.into()),
        }
    }
}
