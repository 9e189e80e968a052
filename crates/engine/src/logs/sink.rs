//! One target with what is wrong with it.

use super::device::DeviceSink;
use super::file::{Checked, FileSink};
use super::{Inode, Tools};
use std::io;
use std::path::PathBuf;
use std::time::Duration;
use supers_core::ids::UnitId;
use supers_core::time::Mono;

/// First pause after a write that failed; doubled up to [`LAST_RETRY`].
const FIRST_RETRY: Duration = Duration::from_millis(200);
const LAST_RETRY: Duration = Duration::from_secs(5);

/// What takes the bytes.
pub(super) enum Body {
    /// By splice, or by write when the stream is transformed.
    File(FileSink),
    /// By write.
    Device(DeviceSink),
    /// Nothing is kept; the inode of /dev/null.
    Nowhere(Inode),
}

/// A target of one or several streams.
pub(super) struct Sink {
    pub(super) body: Body,
    /// Streams that end here.
    pub(super) users: u32,
    /// Set while nothing can be written; the streams that end here then wait.
    pub(super) stuck: Option<Box<Stuck>>,
    /// Who met the trouble that was reported and is not over.
    pub(super) complained: Option<UnitId>,
    /// That trouble is a rotation that failed.
    pub(super) unrotated: bool,
    /// Failures in a row.
    pub(super) failures: u8,
    /// The device is in the epoll set.
    pub(super) watched: bool,
}

/// Why nothing can be written, and what waits.
pub(super) struct Stuck {
    /// Read from a FIFO and not written yet: at most one read.
    pub(super) held: Vec<u8>,
    /// When to try again; `None` is when the device says so.
    pub(super) retry: Option<Mono>,
}

impl Sink {
    pub(super) fn new(body: Body) -> Sink {
        Sink { body, users: 0, stuck: None, complained: None, unrotated: false, failures: 0, watched: false }
    }

    /// The pause before the next try.
    pub(super) fn next_pause(&mut self) -> Duration {
        let pause = FIRST_RETRY.saturating_mul(1 << self.failures.min(8)).min(LAST_RETRY);
        self.failures = self.failures.saturating_add(1);
        pause
    }

    /// For messages.
    pub(super) fn path(&self) -> PathBuf {
        match &self.body {
            Body::File(file) => file.ledger().path().into(),
            Body::Device(device) => device.path().as_ref().clone(),
            Body::Nowhere(_) => "/dev/null".into(),
        }
    }

    /// The identity of the target.
    pub(super) fn inode(&self) -> Option<Inode> {
        match &self.body {
            Body::File(file) => Some(file.inode()),
            Body::Device(device) => super::file::inode(device.file()).ok().map(|(inode, _)| inode),
            Body::Nowhere(inode) => Some(*inode),
        }
    }

    /// Writes bytes that are in our hands; returns how many, and the error that stopped it.
    pub(super) fn write(&mut self, bytes: &[u8], tools: &mut Tools) -> (usize, io::Result<()>) {
        match &mut self.body {
            Body::File(file) => file.write(bytes, tools),
            Body::Device(device) => device.write(bytes),
            Body::Nowhere(_) => (bytes.len(), Ok(())),
        }
    }

    /// Takes notice of what others did to the target.
    pub(super) fn check(&mut self, tools: &mut Tools) -> io::Result<Checked> {
        match &mut self.body {
            Body::File(file) => file.check(tools),
            Body::Device(_) | Body::Nowhere(_) => Ok(Checked::Ready),
        }
    }

    /// The stream that comes first: see [`super::book::Page::owed`].
    pub(super) fn owed(&self) -> Option<u64> {
        match &self.body {
            Body::File(file) => file.owed(),
            Body::Device(_) | Body::Nowhere(_) => None,
        }
    }

    /// No stream comes first any more.
    pub(super) fn forgive(&mut self) {
        if let Body::File(file) = &mut self.body {
            file.forgive();
        }
    }

    /// Wakes those who read along.
    pub(super) fn ring(&self) {
        if let Body::File(file) = &self.body {
            file.ledger().ring();
        }
    }

    /// True when an error means that the target will never take bytes again: waiting would stop the
    /// programs for nothing.
    pub(super) fn gone(&self, e: &io::Error) -> bool {
        let waits = matches!(
            e.kind(),
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::WouldBlock
        );
        matches!(self.body, Body::Device(_)) && !waits
    }
}
