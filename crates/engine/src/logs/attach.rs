//! What happens on the spawn thread before a run: FIFOs and targets are opened, so that a failure is
//! the start's failure, and handed to the pump.

use super::book::Record;
use super::device::DeviceSink;
use super::fifo::{self, Fifo};
use super::file::{self, FileSink};
use super::ledger::Ledger;
use super::orders::Cmd;
use super::sink::Body;
use super::streams::{Lane, Place, Streams};
use super::tap::Tap;
use super::{Inode, Logs, Registry, Shared, SinkId, auto, hash, lock, make_private_folder, rotate};
use crate::failpoint::hit;
use std::ffi::OsStr;
use std::fs;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{Sender, channel};
use std::time::Duration;
use supers_core::control::Stream;
use supers_core::exit::{Stage, StartError};
use supers_core::ids::UnitId;
use supers_core::spec::{Output, Sink, Target};
use supers_os::error_text;

const NULL: &str = "/dev/null";
/// Key of a merged standard error.
const MERGED: u64 = 1;
/// How long a start with other targets than before waits for the pump.
const TAKEN_LIMIT: Duration = Duration::from_secs(1);
/// How often a file may be renamed under our hands while it is opened.
const TRIES: u32 = 20;

/// What the pump gets for one stream.
pub(super) struct LaneSetup {
    pub(super) fifo: Arc<Fifo>,
    pub(super) sink: SinkId,
    /// The open target, unless the pump has it already.
    pub(super) fresh: Option<Body>,
    pub(super) strip: bool,
    pub(super) tap: Option<Tap>,
    pub(super) max_bytes: u64,
    pub(super) backups: u32,
}

/// What the pump gets for one unit.
pub(super) struct Setup {
    pub(super) unit: UnitId,
    pub(super) lanes: [Option<LaneSetup>; 2],
    /// Dropped when the pump has it.
    pub(super) taken: Sender<()>,
}

/// A target that was opened, or found open.
struct Opened {
    sink: SinkId,
    place: Place,
    inode: Inode,
    fresh: Option<Body>,
}

impl Logs {
    /// Makes a unit ready to write: called before each run, on the spawn thread. FIFOs and files are
    /// opened at the first call and when `output` or `owner` changed, else the same streams come back.
    ///
    /// `name` is the unit's full name; `owner` is given the FIFOs, so that its program can open
    /// /dev/stdout; `make_dirs` makes missing folders above a log file.
    ///
    /// # Errors
    /// [`Stage::Output`] with a sentence that names the path.
    pub fn attach(
        &self,
        unit: UnitId,
        name: &str,
        output: &Output,
        owner: Option<(u32, u32)>,
        make_dirs: bool,
    ) -> Result<Arc<Streams>, StartError> {
        self.wire(unit, name, output, Wish { owner, make_dirs, heard: false, given: [None, None] })
    }

    /// The same for an event listener: what it writes to standard output is told as [`LogFact::Heard`].
    ///
    /// # Errors
    /// As [`Logs::attach`].
    ///
    /// [`LogFact::Heard`]: super::LogFact::Heard
    pub fn attach_listener(
        &self,
        unit: UnitId,
        name: &str,
        output: &Output,
        owner: Option<(u32, u32)>,
        make_dirs: bool,
    ) -> Result<Arc<Streams>, StartError> {
        self.wire(unit, name, output, Wish { owner, make_dirs, heard: true, given: [None, None] })
    }

    pub(super) fn wire(
        &self,
        unit: UnitId,
        name: &str,
        output: &Output,
        wish: Wish,
    ) -> Result<Arc<Streams>, StartError> {
        let shared = &*self.shared;
        let _alone = lock(&shared.attaching);
        let Wish { owner, make_dirs, heard, given } = wish;
        let stderr_key = output.stderr.as_ref().map_or(MERGED, |sink| key(sink, false));
        let keys = [key(&output.stdout, heard), stderr_key];
        let old = self.streams(unit);
        if let Some(old) = &old
            && old.keys == keys
            && old.owner == owner
        {
            // The FIFOs are open: they live on even if somebody removed their names.
            return Ok(Arc::clone(old));
        }
        let mut work = Work {
            shared,
            unit,
            name,
            escaped: fifo::escape(name),
            owner,
            make_dirs,
            heard,
            given,
            old,
            done: [None, None],
        };
        let lanes = match work.lanes(output) {
            Ok(lanes) => lanes,
            Err(e) => {
                work.undo();
                return Err(e);
            }
        };
        let (escaped, folder) = (work.escaped.into(), Arc::clone(&shared.folder));
        let streams = Arc::new(Streams { lanes, keys, owner, escaped, folder });
        let setups = work.done.map(|lane| lane.map(|(setup, _)| setup));
        let replaced = lock(&shared.units).insert(unit, Arc::clone(&streams)).is_some();
        let (taken, when_taken) = channel();
        shared.send(Cmd::Attach(Box::new(Setup { unit, lanes: setups, taken })));
        if replaced {
            // The FIFO is the same: what the next run writes must not be moved to the target of before.
            // An error is what is waited for; too late costs no more than the order.
            let _ = when_taken.recv_timeout(TAKEN_LIMIT);
        }
        Ok(streams)
    }
}

/// How a unit is to be attached.
pub(super) struct Wish {
    pub(super) owner: Option<(u32, u32)>,
    pub(super) make_dirs: bool,
    /// Its standard output is a listener's.
    pub(super) heard: bool,
    /// The FIFOs that it has already.
    pub(super) given: [Option<OwnedFd>; 2],
}

/// One attach under way.
struct Work<'a> {
    shared: &'a Shared,
    unit: UnitId,
    name: &'a str,
    escaped: String,
    owner: Option<(u32, u32)>,
    make_dirs: bool,
    /// Standard output is a listener's.
    heard: bool,
    given: [Option<OwnedFd>; 2],
    old: Option<Arc<Streams>>,
    /// What is to be given to the pump, or given back.
    done: [Option<(LaneSetup, Inode)>; 2],
}

impl Work<'_> {
    fn lanes(&mut self, output: &Output) -> Result<[Lane; 2], StartError> {
        let stdout = self.lane(0, &output.stdout)?;
        let stderr = match &output.stderr {
            Some(sink) => self.lane(1, sink)?,
            None => Lane::Merged,
        };
        Ok([stdout, stderr])
    }

    /// Gives back what was taken before an error.
    fn undo(&mut self) {
        for (_, inode) in self.done.iter_mut().filter_map(Option::take) {
            lock(&self.shared.registry).release(inode, 1);
        }
    }

    fn lane(&mut self, index: usize, sink: &Sink) -> Result<Lane, StartError> {
        let stream = if index == 1 { Stream::Stderr } else { Stream::Stdout };
        let heard = self.heard && index == 0;
        let tap = Tap::new(sink, stream, auto::process_name(self.name), heard, self.shared.copy);
        let path = match &sink.target {
            Target::Null => None,
            Target::File(path) if path == "/dev/null" => None,
            Target::File(path) => Some(PathBuf::from(OsStr::from_bytes(path))),
            Target::Auto { dir, identifier } => {
                let dir = Path::new(OsStr::from_bytes(dir));
                let path = self.auto_file(dir, identifier, index == 1);
                Some(path.map_err(|e| failure("make a log file in", dir, &e))?)
            }
        };
        if path.is_none() && tap.is_none() {
            return Ok(Lane::Null);
        }
        let fifo = self.fifo(index)?;
        let path = path.as_deref();
        let opened = path
            .map_or_else(|| self.nowhere(), |path| self.open(path, sink))
            .map_err(|e| failure("open log file", path.unwrap_or(Path::new(NULL)), &e))?;
        let told = tap.as_ref().is_some_and(Tap::tells);
        let setup = LaneSetup {
            fifo: Arc::clone(&fifo),
            sink: opened.sink,
            fresh: opened.fresh,
            strip: sink.strip_ansi,
            tap,
            max_bytes: sink.max_bytes,
            backups: sink.backups,
        };
        self.done[index] = Some((setup, opened.inode));
        Ok(Lane::Wired { fifo, place: opened.place, told })
    }

    fn auto_file(&self, dir: &Path, identifier: &str, stderr: bool) -> io::Result<PathBuf> {
        if self.make_dirs {
            fs::create_dir_all(dir)?;
        }
        self.shared.auto_file(self.unit, self.name, stderr, dir, identifier)
    }

    /// The target of text that is told and not kept.
    fn nowhere(&self) -> io::Result<Opened> {
        let meta = fs::metadata(NULL)?;
        let inode = Inode { dev: meta.dev(), ino: meta.ino() };
        let mut registry = lock(&self.shared.registry);
        if let Some((sink, place)) = registry.acquire(inode) {
            return Ok(Opened { sink, place, inode, fresh: None });
        }
        Ok(insert(&mut registry, inode, Place::Nowhere, Body::Nowhere(inode)))
    }

    fn fifo(&mut self, index: usize) -> Result<Arc<Fifo>, StartError> {
        let path = fifo::path(&self.shared.folder, &self.escaped, index == 1);
        let known = self.old.as_ref().and_then(|old| match &old.lanes[index] {
            Lane::Wired { fifo, .. } => Some(Arc::clone(fifo)),
            Lane::Null | Lane::Merged => None,
        });
        let known =
            known.or_else(|| self.given[index].take().and_then(|fd| Fifo::given(fd, &path)).map(Arc::new));
        let made = match known {
            Some(fifo) => Ok(fifo),
            None => open_fifo(&self.shared.folder, &path).map(Arc::new),
        };
        let fifo = made.map_err(|e| failure("make the FIFO", &path, &e))?;
        fifo.give(self.owner).map_err(|e| failure("give away the FIFO", &path, &e))?;
        Ok(fifo)
    }

    fn open(&self, path: &Path, sink: &Sink) -> io::Result<Opened> {
        if let Some(own) = own_descriptor(path) {
            let device = DeviceSink::own(self.shared.own[own].try_clone()?, path)?;
            return self.device(device);
        }
        let there = match fs::metadata(path) {
            Ok(meta) if meta.is_dir() => return Err(io::ErrorKind::IsADirectory.into()),
            Ok(meta) if !meta.is_file() => return self.device(DeviceSink::open(path)?),
            Ok(meta) => Some(seen(&meta)),
            Err(_) => None,
        };
        let mode = if matches!(sink.target, Target::Auto { .. }) { 0o600 } else { 0o666 };
        self.regular(path, sink, mode, there)
    }

    /// Opens a regular file. Between opening it and looking it up the pump may rotate it away: then the
    /// name leads to another file, and it is opened again.
    fn regular(
        &self,
        path: &Path,
        sink: &Sink,
        mode: u32,
        mut there: Option<(Inode, u64)>,
    ) -> io::Result<Opened> {
        {
            let _still = lock(&self.shared.registry);
            if rotate::repair(path, sink.backups)? {
                there = look(path);
            }
        }
        hit("adopt.repaired");
        // Before it is made: what is not there was deleted.
        let known = known(self.shared, path, there);
        for _ in 0..TRIES {
            let file = self.made(path, mode)?;
            let (inode, meta) = file::inode(&file)?;
            let mut registry = lock(&self.shared.registry);
            match fs::metadata(path) {
                Ok(now) if (now.dev(), now.ino()) == (inode.dev, inode.ino) => {}
                _ => continue,
            }
            if let Some((sink, place)) = registry.acquire(inode) {
                return Ok(Opened { sink, place, inode, fresh: None });
            }
            hit("adopt.opened");
            let ledger = match (registry.unwritten(path), known) {
                (Some(ledger), None) => {
                    ledger.resume(&registry, meta.len());
                    ledger
                }
                (Some(ledger), Some((_, base))) => {
                    ledger.place(&registry, meta.len(), base);
                    ledger
                }
                (None, None) => Arc::new(Ledger::new(path.into(), meta.len())),
                (None, Some((_, base))) => Arc::new(Ledger::at(path.into(), meta.len(), base)),
            };
            let record = known.map(|(record, _)| record);
            let page = self.shared.book.page(path, record, inode, ledger.base(), ledger.end());
            let mut sink = FileSink::new(file, inode, meta.len(), Arc::clone(&ledger), mode, page);
            if known.is_some() {
                sink.look_for_torn();
            }
            return Ok(insert(&mut registry, inode, Place::File(ledger), Body::File(sink)));
        }
        Err(io::Error::other("it is renamed all the time"))
    }

    /// Opens a log, and makes its folder when that is missing.
    fn made(&self, path: &Path, mode: u32) -> io::Result<fs::File> {
        match (file::open(path, mode), path.parent()) {
            (Err(e), Some(folder)) if e.kind() == io::ErrorKind::NotFound && self.make_dirs => {
                fs::create_dir_all(folder)?;
                file::open(path, mode)
            }
            (other, _) => other,
        }
    }

    fn device(&self, device: DeviceSink) -> io::Result<Opened> {
        let (inode, _) = file::inode(device.file())?;
        let mut registry = lock(&self.shared.registry);
        if let Some((sink, place)) = registry.acquire(inode) {
            return Ok(Opened { sink, place, inode, fresh: None });
        }
        let place = Place::Device(Arc::clone(device.path()));
        Ok(insert(&mut registry, inode, place, Body::Device(device)))
    }
}

/// The ledger of a file that no unit of this daemon has written to.
pub(super) fn unattached(shared: &Shared, path: &Path) -> Option<Arc<Ledger>> {
    let size = match fs::metadata(path) {
        Ok(meta) if !meta.is_file() => return None,
        Ok(meta) => {
            let inode = Inode { dev: meta.dev(), ino: meta.ino() };
            if let Some(Place::File(ledger)) = lock(&shared.registry).place(inode) {
                return Some(ledger);
            }
            meta.len()
        }
        // Not there yet: nothing to read, but it may come.
        Err(_) => 0,
    };
    let mut registry = lock(&shared.registry);
    if let Some(ledger) = registry.unwritten(path) {
        return Some(ledger);
    }
    let ledger = Arc::new(match known(shared, path, look(path)) {
        Some((_, base)) => Ledger::at(path.into(), size, base),
        None => Ledger::new(path.into(), size),
    });
    registry.unwritten.push(Arc::downgrade(&ledger));
    Some(ledger)
}

/// What an earlier daemon noted of a log, and where the file in use, which is `there`, begins by that.
fn known(shared: &Shared, path: &Path, there: Option<(Inode, u64)>) -> Option<(Record, u64)> {
    let record = shared.book.known(path, there.map(|(inode, _)| inode))?;
    Some((record, record.base(there, look(&rotate::numbered(path, 1)))))
}

/// Which file that is, and its size.
fn look(path: &Path) -> Option<(Inode, u64)> {
    Some(seen(&fs::metadata(path).ok()?))
}

fn seen(meta: &fs::Metadata) -> (Inode, u64) {
    (Inode { dev: meta.dev(), ino: meta.ino() }, meta.len())
}

fn insert(registry: &mut Registry, inode: Inode, place: Place, body: Body) -> Opened {
    let sink = registry.insert(inode, place.clone());
    Opened { sink, place, inode, fresh: Some(body) }
}

fn open_fifo(folder: &Path, path: &Path) -> io::Result<Fifo> {
    Fifo::open(path).or_else(|e| match e.kind() {
        // Somebody emptied the runtime folder.
        io::ErrorKind::NotFound => {
            make_private_folder(folder)?;
            Fifo::open(path)
        }
        _ => Err(e),
    })
}

/// Which of the daemon's own descriptors a path names.
fn own_descriptor(path: &Path) -> Option<usize> {
    match path.to_str()? {
        "/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1" => Some(0),
        "/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2" => Some(1),
        _ => None,
    }
}

/// A fingerprint of one stream's settings.
fn key(sink: &Sink, heard: bool) -> u64 {
    let (kind, text, more) = match &sink.target {
        Target::Null => ("null", &b""[..], ""),
        Target::File(path) => ("file", path.as_slice(), ""),
        Target::Auto { dir, identifier } => ("auto", dir.as_slice(), identifier.as_str()),
    };
    let Sink { target: _, max_bytes, backups, strip_ansi, capture_max, events, syslog } = sink;
    let numbers = format!(
        "{kind} {max_bytes} {backups} {strip_ansi} {capture_max} {events} {syslog} {heard}\0{more}\0"
    );
    let mut bytes = numbers.into_bytes();
    bytes.extend_from_slice(text);
    hash(&bytes)
}

fn failure(what: &str, path: &Path, e: &io::Error) -> StartError {
    StartError {
        stage: Stage::Output,
        errno: e.raw_os_error().unwrap_or(0),
        text: format!("{what} {path:?}: {}", error_text(e)),
    }
}
