//! What the logs thread reports, and how much of it may be on its way.

use super::Shared;
use bstr::ByteSlice;
use std::fmt;
use std::ops::Deref;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use supers_core::control::Stream;
use supers_core::ids::{RunId, UnitId};

/// Text on its way to the engine: with this much of it, streams that are listened to are left alone until
/// half of it is taken (policy: block; the bytes stay in the FIFO).
pub const TEXT: usize = 4 << 20;

/// What the logs thread reports. Facts about a unit's output come in the order of the output, and before
/// the [`LogFact::Drained`] of the run that wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LogFact {
    /// Everything that had been written when [`super::Logs::drain`] was called is in its target, or the
    /// time for it is over.
    Drained {
        /// The unit.
        unit: UnitId,
        /// As given.
        run: RunId,
    },
    /// Output cannot be stored. It waits in the FIFO, and then the program waits (a target that
    /// is gone for good, such as a closed terminal, drops it instead). Said once a spell.
    Trouble {
        /// The unit that met it first.
        unit: UnitId,
        /// The target.
        path: PathBuf,
        /// The system's words.
        error: String,
    },
    /// The trouble is over.
    Recovered {
        /// The unit of the trouble.
        unit: UnitId,
        /// The target.
        path: PathBuf,
    },
    /// A stream with [`supers_core::spec::Sink::events`] wrote something: one a read, without captured
    /// text and, if wished, without escape sequences.
    Output {
        /// The unit.
        unit: UnitId,
        /// Which stream.
        channel: Stream,
        /// The piece.
        text: Text,
    },
    /// A text between the capture tokens is complete.
    Captured {
        /// The unit.
        unit: UnitId,
        /// Which stream.
        channel: Stream,
        /// Its newest [`supers_core::spec::Sink::capture_max`] bytes.
        text: Text,
    },
    /// A listener wrote to its standard output; as it was read.
    Heard {
        /// The unit.
        unit: UnitId,
        /// The piece.
        text: Text,
    },
    /// All that a listener was heard to say has left its FIFO: no later daemon hears it again.
    Stored {
        /// The unit.
        unit: UnitId,
    },
}

/// Bytes of a program. Dropping them lets the logs thread read on: keep a copy, not this.
pub struct Text {
    bytes: Vec<u8>,
    from: Option<Arc<Shared>>,
}

impl Text {
    /// Counted until it is dropped.
    pub(super) fn counted(bytes: Vec<u8>, shared: &Arc<Shared>) -> Text {
        shared.text.fetch_add(bytes.len(), Ordering::AcqRel);
        Text { bytes, from: Some(Arc::clone(shared)) }
    }
}

impl From<Vec<u8>> for Text {
    fn from(bytes: Vec<u8>) -> Text {
        Text { bytes, from: None }
    }
}

impl Deref for Text {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Clone for Text {
    fn clone(&self) -> Text {
        self.bytes.clone().into()
    }
}

impl PartialEq for Text {
    fn eq(&self, other: &Text) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for Text {}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.bytes.as_bstr().fmt(f)
    }
}

impl Drop for Text {
    fn drop(&mut self) {
        let Some(shared) = &self.from else { return };
        let before = shared.text.fetch_sub(self.bytes.len(), Ordering::AcqRel);
        if before - self.bytes.len() < TEXT / 2 && shared.starving.swap(false, Ordering::AcqRel) {
            shared.bell.ring();
        }
    }
}
