//! The logs thread: everything between a program's standard output and the file it ends in.
//!
//! A program writes into a named FIFO that the daemon holds open at both ends (`fifo`), so it never
//! meets a broken pipe. The pump (`pump`) *splices* the bytes into the log file (`file`): they leave
//! the FIFO only as they enter the file, so no crash of the daemon loses one. Files are rotated on line
//! boundaries (`rotate`). Whatever is no plain regular file, or must be transformed, goes by read and
//! write (`device`, `ansi`). Readers see one endless stream with offsets that survive rotation
//! (`reader`).
//!
//! A stream whose text is wanted elsewhere too (events, capture, a listener's answers, syslog, the main
//! log at level debug) has a *tap* (`tap`, `capture`) and goes by read and write; what is found is told as
//! facts, or sent to syslog (`syslog`). When the engine is behind, such a stream is left alone.
//!
//! Streams that name the same file share one sink. Their lines are kept whole as far as can be: half a
//! line waits a few milliseconds for its rest.
//!
//! *Owns:* the FIFOs, the log files, one thread named `logs`, and a helper that frees deleted backups.
//!
//! *Must never:* make a program wait for another program's target; lose or reorder a byte over a
//! rotation; wake up while nothing is written.
//!
//! A daemon that dies leaves the FIFOs to the keeper. The next one takes them over (`adopt`), repairs what a
//! rotation left half-done, and finds offsets and names in small files (`book`, `auto`). What a listener
//! says leaves its FIFO only when the engine has made a note of it.
//!
//! *Tested* with real FIFOs and numbered lines (`tests.rs`, `rotate_tests.rs`, `tap_tests.rs`,
//! `access_tests.rs`), and by killing a process that pumps (`crash_tests.rs`).
//!
//! Queues: commands (bounded by the callers: a unit has at most one attach, drain, clear or detach
//! under way); facts (`FACTS`, what does not fit waits in order, counted in
//! `Logs::deferred_facts`; the text in them is bounded by `TEXT`); a listener's words (one read, until the engine
//! asks for more); deleted backups waiting to be freed (`undertaker`; freed in line when
//! full); bytes for a device that does not take them (one read, then the FIFO is left alone).

mod access;
mod adopt;
mod ansi;
mod attach;
mod auto;
mod book;
mod capture;
mod device;
mod fact;
mod fifo;
mod file;
mod ledger;
pub mod mainlog;
mod orders;
mod pump;
mod reader;
mod rotate;
mod sink;
mod streams;
mod sys;
mod syslog;
mod tap;
mod telling;
mod turn;
mod undertaker;

#[cfg(test)]
mod access_tests;
#[cfg(test)]
mod crash_tests;
#[cfg(test)]
mod rotate_tests;
#[cfg(test)]
mod tap_tests;
#[cfg(test)]
mod tests;

pub use access::{MAX_PIECE, read_file};
pub use auto::cleanup_auto;
#[doc(hidden)]
pub use capture::told_apart;
pub use fact::{LogFact, TEXT, Text};
pub use fifo::names as fifo_names;
pub use reader::{LogReader, tail_of};
pub use streams::Streams;
pub use syslog::SyslogConfig;

use auto::Autos;
use book::Book;
use ledger::Ledger;
use mainlog::{Level, MainLog};
use orders::Cmd;
use std::collections::HashMap;
use std::fs::{self, File};
use std::io;
use std::os::fd::OwnedFd;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::thread::JoinHandle;
use streams::{Lane, Place};
use supers_core::control::Stream;
use supers_core::ids::{RunId, UnitId};
use supers_core::spec::Output;
use tokio::sync::{mpsc, oneshot};

/// Capacity of the channel of facts.
pub const FACTS: usize = 256;

/// What the logs thread needs to know.
pub struct LogsConfig {
    /// The FIFOs lie in `fifo` below it.
    pub runtime_dir: PathBuf,
    /// The daemon's own standard output, for the target `/dev/stdout`.
    pub stdout: OwnedFd,
    /// The daemon's own standard error, for the target `/dev/stderr`.
    pub stderr: OwnedFd,
    /// The daemon's own log: takes a copy of all output when its level is debug or lower.
    pub main: Option<MainLog>,
    /// For `stdout_syslog` and `stderr_syslog`.
    pub syslog: SyslogConfig,
    /// The units of an earlier daemon go on: what it left in the runtime folder about its logs is read, and
    /// else dropped. To be followed by [`Logs::adopt`] and, in the end, [`Logs::adopted`].
    pub adopt: bool,
}

impl LogsConfig {
    /// With the usual syslog, no copy of output in the main log, and nothing to go on with.
    pub fn new(runtime_dir: PathBuf, stdout: OwnedFd, stderr: OwnedFd) -> LogsConfig {
        let syslog = SyslogConfig::default();
        LogsConfig { runtime_dir, stdout, stderr, main: None, syslog, adopt: false }
    }
}

/// A handle to the logs thread; cheap to clone.
#[derive(Clone)]
pub struct Logs {
    shared: Arc<Shared>,
}

/// Index of a sink in the pump.
type SinkId = u32;

/// Identity of a file.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Inode {
    dev: u64,
    ino: u64,
}

/// What handles and the pump share.
struct Shared {
    /// The folder of the FIFOs.
    folder: Arc<Path>,
    /// Duplicates of the daemon's standard output and error.
    own: [File; 2],
    inbox: Mutex<Vec<Cmd>>,
    /// Something is in `inbox`; looked at without its lock.
    called: AtomicBool,
    bell: sys::Bell,
    /// One attach at a time.
    attaching: Mutex<()>,
    units: Mutex<HashMap<UnitId, Arc<Streams>>>,
    /// The files that the daemon named itself, by unit and stream.
    autos: Mutex<Autos>,
    book: Arc<Book>,
    registry: Mutex<Registry>,
    thread: Mutex<Option<JoinHandle<()>>>,
    /// The thread has ended.
    ended: AtomicBool,
    dropped: AtomicU64,
    deferred: AtomicU64,
    syslog_dropped: AtomicU64,
    /// Bytes of text on their way to the engine.
    text: AtomicUsize,
    /// Some stream waits until there are fewer.
    starving: AtomicBool,
    /// Output is copied to the main log.
    copy: bool,
}

/// Which file is written by which sink: one sink an inode, shared by all streams that name it. Locked
/// while files are renamed, so that nobody opens one half-way.
#[derive(Default)]
struct Registry {
    sinks: HashMap<Inode, Entry>,
    /// Of files that are read, but that nobody has written to yet.
    unwritten: Vec<Weak<Ledger>>,
    free: Vec<SinkId>,
    next: SinkId,
}

struct Entry {
    sink: SinkId,
    /// Streams that end there.
    users: u32,
    place: Place,
}

impl Registry {
    fn find(&self, inode: Inode) -> Option<SinkId> {
        self.sinks.get(&inode).map(|e| e.sink)
    }

    fn place(&self, inode: Inode) -> Option<Place> {
        self.sinks.get(&inode).map(|e| e.place.clone())
    }

    /// One more user of a known file.
    fn acquire(&mut self, inode: Inode) -> Option<(SinkId, Place)> {
        let entry = self.sinks.get_mut(&inode)?;
        entry.users += 1;
        Some((entry.sink, entry.place.clone()))
    }

    fn insert(&mut self, inode: Inode, place: Place) -> SinkId {
        if let Place::File(ledger) = &place {
            self.unwritten.retain(|l| l.strong_count() > 0 && l.as_ptr() != Arc::as_ptr(ledger));
        }
        let sink = self.free.pop().unwrap_or_else(|| {
            self.next += 1;
            self.next - 1
        });
        self.sinks.insert(inode, Entry { sink, users: 1, place });
        sink
    }

    /// The ledger that readers have of a file that was not written to so far.
    fn unwritten(&mut self, path: &Path) -> Option<Arc<Ledger>> {
        self.unwritten.retain(|l| l.strong_count() > 0);
        self.unwritten.iter().filter_map(Weak::upgrade).find(|l| l.path() == path)
    }

    /// The file behind a sink is another one now.
    fn rekey(&mut self, old: Inode, new: Inode) {
        if let Some(entry) = self.sinks.remove(&old) {
            self.sinks.insert(new, entry);
        }
    }

    /// `by` users fewer. True when none is left: the sink is to be closed, its number is free.
    fn release(&mut self, inode: Inode, by: u32) -> bool {
        let Some(entry) = self.sinks.get_mut(&inode) else { return false };
        entry.users = entry.users.saturating_sub(by);
        if entry.users > 0 {
            return false;
        }
        let sink = entry.sink;
        self.sinks.remove(&inode);
        self.free.push(sink);
        true
    }
}

/// What every turn of the pump may need.
struct Tools {
    shared: Arc<Shared>,
    /// For looking for line ends; empty until first needed.
    scratch: Vec<u8>,
    /// For bytes on their way through our hands; likewise.
    copy: Vec<u8>,
    /// Text for a target, out of a tap.
    text: Vec<u8>,
    /// What the taps of this turn found; passed on by the pump after it.
    news: Vec<tap::News>,
    /// A pipe to look ahead with, made when first needed.
    peek: Option<(File, File)>,
    undertaker: undertaker::Undertaker,
    /// A rotation failed; taken by the pump after each turn.
    complaint: Option<io::Error>,
    /// A rotation was done; likewise.
    rotated: bool,
}

impl Tools {
    fn new(shared: Arc<Shared>) -> Tools {
        Tools {
            shared,
            scratch: Vec::new(),
            copy: Vec::new(),
            text: Vec::new(),
            news: Vec::new(),
            peek: None,
            undertaker: undertaker::Undertaker::default(),
            complaint: None,
            rotated: false,
        }
    }
}

/// Starts the thread. Dropping all handles does not end it: see [`Logs::shutdown`].
///
/// # Errors
/// The FIFO folder, the thread or its descriptors cannot be made.
pub fn start(config: LogsConfig) -> io::Result<(Logs, mpsc::Receiver<LogFact>)> {
    let folder = config.runtime_dir.join("fifo");
    make_private_folder(&folder)?;
    let shared = Arc::new(Shared {
        folder: folder.into(),
        own: [config.stdout.into(), config.stderr.into()],
        inbox: Mutex::default(),
        called: AtomicBool::new(false),
        bell: sys::Bell::new()?,
        attaching: Mutex::default(),
        units: Mutex::default(),
        autos: Mutex::new(Autos::open(config.runtime_dir.join("autos"), config.adopt)),
        book: Arc::new(Book::open(&config.runtime_dir.join("logbook"), config.adopt)),
        registry: Mutex::default(),
        thread: Mutex::default(),
        ended: AtomicBool::new(false),
        dropped: AtomicU64::new(0),
        deferred: AtomicU64::new(0),
        syslog_dropped: AtomicU64::new(0),
        text: AtomicUsize::new(0),
        starving: AtomicBool::new(false),
        copy: config.main.as_ref().is_some_and(|main| main.enabled(Level::Debug)),
    });
    let (facts, receiver) = mpsc::channel(FACTS);
    let outside = pump::Outside { main: config.main, syslog: syslog::Syslog::new(config.syslog) };
    let thread = pump::spawn(Arc::clone(&shared), facts, outside)?;
    *lock(&shared.thread) = Some(thread);
    Ok((Logs { shared }, receiver))
}

impl Logs {
    /// The unit is removed: what it has written is stored, then its FIFOs and files are closed. Their
    /// names are gone when this returns, so a new unit of the same name gets new ones. Log files stay.
    /// Returns the FIFOs' names, as [`Streams::fifo_fds`] has them: a keeper need not hold them any more.
    pub fn detach(&self, unit: UnitId) -> Vec<String> {
        lock(&self.shared.autos).forget(unit);
        let Some(streams) = lock(&self.shared.units).remove(&unit) else { return Vec::new() };
        self.shared.unlink(&streams);
        self.shared.send(Cmd::Detach(unit));
        // Both: a stream that had a FIFO under earlier settings may have none now.
        [false, true].map(|stderr| fifo::file_name(&streams.escaped, stderr)).into()
    }

    /// Asks for what the unit has written up to now to be stored; answered by [`LogFact::Drained`].
    /// False when the thread has ended: no answer will come.
    pub fn drain(&self, unit: UnitId, run: RunId) -> bool {
        self.shared.send(Cmd::Drain(unit, run));
        !self.shared.ended.load(Ordering::Acquire)
    }

    /// Opens all log files by their names again (SIGUSR2, supervisor-contract 1).
    pub fn reopen_all(&self) {
        self.shared.send(Cmd::Reopen);
    }

    /// Deletes a unit's log file and makes it again; backups stay (supervisor-contract 8). Nothing is done
    /// for a unit that never ran. The receiver gets `NotFound` when the stream has no file.
    pub fn clear(&self, unit: UnitId, stream: Stream) -> oneshot::Receiver<io::Result<()>> {
        let (answer, receiver) = oneshot::channel();
        self.shared.send(Cmd::Clear(unit, stream, answer));
        receiver
    }

    /// Reads a stream back. For a unit that never ran under this daemon: what an earlier one left in the
    /// file that `output` names; a reader that waits is woken when it runs. `None` when nothing is kept.
    pub fn reader(&self, unit: UnitId, output: &Output, stream: Stream) -> Option<LogReader> {
        if let Some(streams) = self.streams(unit) {
            return streams.reader(stream);
        }
        let path = self.file_of(unit, output, stream)?;
        attach::unattached(&self.shared, &path).map(LogReader)
    }

    /// The streams of a unit that was attached.
    pub fn streams(&self, unit: UnitId) -> Option<Arc<Streams>> {
        lock(&self.shared.units).get(&unit).map(Arc::clone)
    }

    /// Stores what was written, deletes the FIFOs and ends the thread. Nothing may be attached after.
    pub fn shutdown(&self) {
        for streams in lock(&self.shared.units).drain().map(|(_, streams)| streams) {
            self.shared.unlink(&streams);
        }
        self.shared.send(Cmd::Shutdown);
    }

    /// Waits until the thread has ended, after [`Logs::shutdown`].
    pub fn join(&self) {
        let thread = lock(&self.shared.thread).take();
        if let Some(thread) = thread {
            // A thread that panicked has nothing more to say here.
            let _ = thread.join();
        }
    }

    /// Bytes that were dropped because their target is gone for good.
    pub fn dropped(&self) -> u64 {
        self.shared.dropped.load(Ordering::Relaxed)
    }

    /// Lines that syslog did not take.
    pub fn syslog_dropped(&self) -> u64 {
        self.shared.syslog_dropped.load(Ordering::Relaxed)
    }

    /// Facts that had to wait because the engine was behind.
    pub fn deferred_facts(&self) -> u64 {
        self.shared.deferred.load(Ordering::Relaxed)
    }
}

impl Shared {
    fn send(&self, cmd: Cmd) {
        lock(&self.inbox).push(cmd);
        if !self.called.swap(true, Ordering::AcqRel) {
            self.bell.ring();
        }
    }

    fn unlink(&self, streams: &Streams) {
        for (i, lane) in streams.lanes.iter().enumerate() {
            if matches!(lane, Lane::Wired { .. }) {
                // Gone already (somebody emptied the runtime folder): just as well.
                let _ = fs::remove_file(fifo::path(&self.folder, &streams.escaped, i == 1));
            }
        }
    }
}

/// Makes a folder, and those above it, that nobody else may enter.
fn make_private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

/// A lock that a panicking holder does not take away from the others.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// FNV-1a: names and fingerprints, nothing that an enemy chooses.
fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}
