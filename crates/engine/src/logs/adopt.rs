//! Taking over from a daemon that died or was replaced, and leaving things to the next one.

use super::attach::Wish;
use super::orders::Cmd;
use super::streams::Streams;
use super::{Logs, lock};
use crate::failpoint::hit;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::sync::mpsc::{RecvTimeoutError, channel};
use std::time::Duration;
use supers_core::exit::StartError;
use supers_core::ids::UnitId;
use supers_core::spec::Output;

/// How long a thread that moves bytes at the moment may take to end that.
const LEAVE_LIMIT: Duration = Duration::from_secs(2);

impl Logs {
    /// Like [`Logs::attach`], for a unit that an earlier daemon attached. `fifos` are that daemon's FIFOs as
    /// a keeper has held them (standard output first); they may hold the words of programs that have ended.
    /// One that is missing is opened by its name. Nothing is deleted, a rotation that was under way is
    /// finished, `AUTO` files are found again. Blocking; [`LogsConfig::adopt`] was set.
    ///
    /// # Errors
    /// As [`Logs::attach`]. The bytes stay in the FIFOs while the programs or the keeper hold them.
    ///
    /// [`LogsConfig::adopt`]: super::LogsConfig::adopt
    pub fn adopt(
        &self,
        unit: UnitId,
        name: &str,
        output: &Output,
        owner: Option<(u32, u32)>,
        fifos: [Option<OwnedFd>; 2],
    ) -> Result<Arc<Streams>, StartError> {
        self.take_over(unit, name, output, owner, fifos, false)
    }

    /// The same for an event listener. What it said and the engine had not acknowledged is told again.
    ///
    /// # Errors
    /// As [`Logs::adopt`].
    pub fn adopt_listener(
        &self,
        unit: UnitId,
        name: &str,
        output: &Output,
        owner: Option<(u32, u32)>,
        fifos: [Option<OwnedFd>; 2],
    ) -> Result<Arc<Streams>, StartError> {
        self.take_over(unit, name, output, owner, fifos, true)
    }

    fn take_over(
        &self,
        unit: UnitId,
        name: &str,
        output: &Output,
        owner: Option<(u32, u32)>,
        given: [Option<OwnedFd>; 2],
        heard: bool,
    ) -> Result<Arc<Streams>, StartError> {
        hit("adopt.begin");
        let streams = self.wire(unit, name, output, Wish { owner, make_dirs: true, heard, given });
        hit("adopt.done");
        streams
    }

    /// All units are adopted: what an earlier daemon noted of others is forgotten. Blocking: waits for an
    /// attach that is under way.
    pub fn adopted(&self) {
        let _alone = lock(&self.shared.attaching);
        self.shared.book.forget_rest();
        lock(&self.shared.autos).forget_rest();
        self.shared.send(Cmd::Adopted);
    }

    /// The engine has made a note of `bytes` of what was told as [`LogFact::Heard`]: they are stored now, and
    /// what the listener said after them is told. Until then they stay in the FIFO, so that a daemon that
    /// takes over hears them (again). To be said of each such fact, in whatever pieces.
    ///
    /// [`LogFact::Heard`]: super::LogFact::Heard
    pub fn consumed(&self, unit: UnitId, bytes: usize) {
        self.shared.send(Cmd::Consumed(unit, bytes));
    }

    /// All streams, for giving them to another keeper.
    pub fn all_streams(&self) -> Vec<Arc<Streams>> {
        lock(&self.shared.units).values().map(Arc::clone).collect()
    }

    /// Another daemon takes over: leaves everything where it is, and comes back when nothing is moved any more. Bytes
    /// that were read already are written if their target takes them. The thread ends by itself; to close all that
    /// it has open takes a while with a thousand units, for which nobody need wait.
    ///
    /// False when the thread is stuck.
    pub fn leave(&self) -> bool {
        self.shared.book.leave();
        let (done, wait) = channel();
        self.shared.send(Cmd::Leave(done));
        // An error is what is waited for; a thread that ended by itself would never send it.
        wait.recv_timeout(LEAVE_LIMIT) != Err(RecvTimeoutError::Timeout)
    }

    /// The thread has ended: nothing is moved any more.
    pub fn ended(&self) -> bool {
        self.shared.ended.load(Ordering::Acquire)
    }
}
