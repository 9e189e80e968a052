//! What waits to be told, in memory and on disk: one file a delivery, `outbox/ID.json`, written before the
//! first try and removed after the last. What was done with is remembered by its id (`outbox/settled`), so
//! that making the same delivery again is nothing.
//!
//! Nothing is synced: what was written outlives the daemon, and only a power cut may take the last seconds.

use super::message::{Delivery, Id};
use serde::{Deserialize, Serialize};
use std::collections::{HashMap, HashSet, VecDeque};
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use supers_core::time::Wall;

/// Ids that are remembered when they are done with; older ones are forgotten.
const REMEMBERED: usize = 1000;
/// The form of the files.
const VERSION: u32 = 1;
const ENDING: &str = "json";
/// What a file that was being written is called.
const UNFINISHED: &str = "new";

/// How much may wait; then the oldest is dropped, counted, and told once.
#[derive(Clone, Copy, Debug)]
pub(super) struct Bounds {
    pub(super) files: usize,
    pub(super) bytes: u64,
    /// Of these, in memory only because the disk took no file; then the newest is dropped.
    pub(super) unsaved: usize,
}

impl Default for Bounds {
    fn default() -> Self {
        Bounds { files: 10_000, bytes: 64 << 20, unsaved: 1024 }
    }
}

/// Where deliveries go: they are tried one after another for each.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Place {
    pub(super) host: String,
    pub(super) port: u16,
}

/// One delivery as the courier takes it.
#[derive(Clone, Debug)]
pub(super) struct Ticket {
    pub(super) id: Id,
    pub(super) place: Place,
    pub(super) at: Wall,
}

/// What became of [`Outbox::put`].
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Put {
    /// It waits.
    Taken,
    /// It waits, or was done with, already.
    Known,
    /// It waits, but only in memory, for this reason.
    Unsaved(String),
    /// It is lost: neither disk nor memory take it.
    Lost(String),
}

struct Entry {
    bytes: u64,
    /// The disk did not take it.
    unsaved: Option<Arc<Delivery>>,
}

/// Where to read a delivery.
pub(super) enum Source {
    Memory(Arc<Delivery>),
    File(PathBuf),
}

/// The files, and what is known of them.
pub(super) struct Outbox {
    dir: PathBuf,
    bounds: Bounds,
    waiting: HashMap<Id, Entry>,
    /// Oldest first; ids that do not wait any more are passed over.
    order: VecDeque<Id>,
    bytes: u64,
    unsaved: usize,
    settled: HashSet<Id>,
    settled_order: VecDeque<Id>,
    /// Not yet taken by the courier.
    fresh: Vec<Ticket>,
    /// Dropped because there were too many.
    pub(super) dropped: u64,
}

/// The form of a file.
#[derive(Serialize, Deserialize)]
struct Form<D> {
    version: u32,
    delivery: D,
}

impl Outbox {
    /// What an earlier daemon left, oldest first; and what could not be used. The folder is made when it is
    /// needed.
    pub(super) fn open(dir: PathBuf, bounds: Bounds) -> (Outbox, Vec<String>) {
        let settled_order: VecDeque<Id> = settled_in(&dir).into();
        let settled = settled_order.iter().copied().collect();
        let mut out = Outbox {
            dir,
            bounds,
            waiting: HashMap::new(),
            order: VecDeque::new(),
            bytes: 0,
            unsaved: 0,
            settled,
            settled_order,
            fresh: Vec::new(),
            dropped: 0,
        };
        let mut complaints = Vec::new();
        let mut found = out.scan(&mut complaints);
        found.sort_by_key(|(ticket, _)| (ticket.at, ticket.id));
        for (ticket, bytes) in found {
            out.take_in(ticket, Entry { bytes, unsaved: None });
        }
        out.make_room(0);
        (out, complaints)
    }

    fn scan(&self, complaints: &mut Vec<String>) -> Vec<(Ticket, u64)> {
        let mut found = Vec::new();
        for entry in fs::read_dir(&self.dir).into_iter().flatten().flatten() {
            let path = entry.path();
            let ending = path.extension().and_then(|e| e.to_str());
            let id = path.file_stem().and_then(|s| s.to_str()).and_then(Id::parse);
            match (ending, id) {
                (Some(ENDING), Some(id)) if !self.settled.contains(&id) => match read(&path, id) {
                    Ok((d, bytes)) => found.push((ticket(&d), bytes)),
                    Err(e) => {
                        // It will not get better; a copy of an older version may look so too.
                        complaints.push(format!("{} cannot be used and is removed: {e}", path.display()));
                        let _ = fs::remove_file(&path);
                    }
                },
                // Done with, but for its removal; or never finished, so that its event is told again.
                (Some(ENDING | UNFINISHED), Some(_)) => drop(fs::remove_file(&path)),
                _ => {}
            }
        }
        found
    }

    /// Takes a new delivery.
    pub(super) fn put(&mut self, delivery: Delivery) -> Put {
        let id = delivery.id;
        if self.waiting.contains_key(&id) || self.settled.contains(&id) {
            return Put::Known;
        }
        let bytes = delivery.body.len() as u64;
        self.make_room(bytes);
        let ticket = ticket(&delivery);
        match write(&self.dir, &delivery) {
            Ok(bytes) => {
                self.take_in(ticket, Entry { bytes, unsaved: None });
                Put::Taken
            }
            Err(e) => {
                let why = format!("{}: {}", self.dir.display(), supers_os::error_text(&e));
                if self.unsaved >= self.bounds.unsaved {
                    self.dropped += 1;
                    return Put::Lost(why);
                }
                self.unsaved += 1;
                self.take_in(ticket, Entry { bytes, unsaved: Some(Arc::new(delivery)) });
                Put::Unsaved(why)
            }
        }
    }

    fn take_in(&mut self, ticket: Ticket, entry: Entry) {
        self.bytes += entry.bytes;
        self.order.push_back(ticket.id);
        self.waiting.insert(ticket.id, entry);
        self.fresh.push(ticket);
    }

    /// Drops the oldest until `more` bytes fit.
    fn make_room(&mut self, more: u64) {
        let extra = usize::from(more > 0);
        while self.waiting.len() + extra > self.bounds.files || self.bytes + more > self.bounds.bytes {
            let Some(oldest) = self.order.pop_front() else { return };
            if self.forget(oldest) {
                self.dropped += 1;
                let _ = fs::remove_file(path_of(&self.dir, oldest));
            }
        }
    }

    fn forget(&mut self, id: Id) -> bool {
        let Some(entry) = self.waiting.remove(&id) else { return false };
        self.bytes -= entry.bytes;
        self.unsaved -= usize::from(entry.unsaved.is_some());
        while self.order.front().is_some_and(|id| !self.waiting.contains_key(id)) {
            self.order.pop_front();
        }
        // Ids in the middle that are gone: swept when they are as many as those that wait.
        if self.order.len() > 2 * self.waiting.len() + 64 {
            self.order.retain(|id| self.waiting.contains_key(id));
        }
        true
    }

    /// What came since the last time.
    pub(super) fn take_fresh(&mut self) -> Vec<Ticket> {
        std::mem::take(&mut self.fresh)
    }

    /// Where to read it; `None` when it was dropped meanwhile.
    pub(super) fn source(&self, id: Id) -> Option<Source> {
        let entry = self.waiting.get(&id)?;
        Some(match &entry.unsaved {
            Some(delivery) => Source::Memory(delivery.clone()),
            None => Source::File(path_of(&self.dir, id)),
        })
    }

    /// It is done with. True when the disk must be told, by [`Settled`].
    pub(super) fn settle(&mut self, id: Id) -> bool {
        let on_disk = self.waiting.get(&id).is_some_and(|entry| entry.unsaved.is_none());
        self.forget(id);
        if self.settled.insert(id) {
            self.settled_order.push_back(id);
        }
        while self.settled_order.len() > REMEMBERED {
            if let Some(old) = self.settled_order.pop_front() {
                self.settled.remove(&old);
            }
        }
        on_disk
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn unsaved(&self) -> usize {
        self.unsaved
    }

    pub(super) fn dir(&self) -> &Path {
        &self.dir
    }
}

/// The list of what was done with, on disk. Belongs to the courier: the engine never waits for it.
pub(super) struct Settled {
    dir: PathBuf,
    ids: VecDeque<Id>,
    /// Lines in the file; more than twice what is remembered, and it is written anew.
    lines: usize,
}

impl Settled {
    pub(super) fn open(dir: &Path) -> Settled {
        // A line that was torn by a crash goes with the first rewrite, which is due at once.
        Settled { dir: dir.into(), ids: settled_in(dir).into(), lines: usize::MAX }
    }

    /// First the list, then the file: whoever finds both knows that it is done with.
    pub(super) fn add(&mut self, id: Id) -> io::Result<()> {
        self.ids.push_back(id);
        while self.ids.len() > REMEMBERED {
            self.ids.pop_front();
        }
        let written = if self.lines >= 2 * REMEMBERED { self.rewrite() } else { self.append(id) };
        // Without the list the removal is still what counts.
        let removed = match fs::remove_file(path_of(&self.dir, id)) {
            Err(e) if e.kind() != ErrorKind::NotFound => Err(e),
            Ok(()) | Err(_) => Ok(()),
        };
        written.and(removed)
    }

    fn append(&mut self, id: Id) -> io::Result<()> {
        let mut file = OpenOptions::new().append(true).open(self.dir.join("settled"))?;
        self.lines += 1;
        file.write_all(format!("{id}\n").as_bytes())
    }

    fn rewrite(&mut self) -> io::Result<()> {
        let text: String = self.ids.iter().map(|id| format!("{id}\n")).collect();
        replace(&self.dir, "settled", text.as_bytes())?;
        self.lines = self.ids.len();
        Ok(())
    }
}

fn settled_in(dir: &Path) -> Vec<Id> {
    let text = fs::read_to_string(dir.join("settled")).unwrap_or_default();
    let ids: Vec<Id> = text.lines().filter_map(Id::parse).collect();
    let skip = ids.len().saturating_sub(REMEMBERED);
    ids.into_iter().skip(skip).collect()
}

fn ticket(d: &Delivery) -> Ticket {
    Ticket { id: d.id, place: Place { host: d.url.host.clone(), port: d.url.port }, at: d.at }
}

fn path_of(dir: &Path, id: Id) -> PathBuf {
    dir.join(format!("{id}.{ENDING}"))
}

/// Reads a file, and says how long it is.
pub(super) fn read(path: &Path, id: Id) -> io::Result<(Delivery, u64)> {
    let bytes = fs::read(path)?;
    let form: Form<Delivery> = serde_json::from_slice(&bytes).map_err(io::Error::other)?;
    if form.version != VERSION {
        return Err(io::Error::other(format!("it has form {}, this superd knows {VERSION}", form.version)));
    }
    Ok((Delivery { id, ..form.delivery }, bytes.len() as u64))
}

fn write(dir: &Path, delivery: &Delivery) -> io::Result<u64> {
    let bytes = serde_json::to_vec(&Form { version: VERSION, delivery }).map_err(io::Error::other)?;
    replace(dir, &format!("{}.{ENDING}", delivery.id), &bytes)?;
    Ok(bytes.len() as u64)
}

/// Whole or not at all, and for our own eyes: a URL may hold a password.
fn replace(dir: &Path, name: &str, bytes: &[u8]) -> io::Result<()> {
    let unfinished = dir.join(name).with_extension(UNFINISHED);
    let open = || {
        let mut options = OpenOptions::new();
        options.write(true).create(true).truncate(true).mode(0o600).open(&unfinished)
    };
    let mut file = match open() {
        Err(e) if e.kind() == ErrorKind::NotFound => {
            DirBuilder::new().recursive(true).mode(0o700).create(dir)?;
            open()?
        }
        other => other?,
    };
    let done = file.write_all(bytes).and_then(|()| fs::rename(&unfinished, dir.join(name)));
    if done.is_err() {
        let _ = fs::remove_file(&unfinished);
    }
    done
}
