//! Records: what the engine knows, written down so that it outlives the daemon.
//!
//! At the end of each turn, before a process is started and before the keeper may forget one, the records of
//! all units that changed are appended to one file in the runtime folder (`file`), whose descriptor the keeper
//! holds as well. The next daemon reads it (`Estate`) and goes on. A crash in the middle of a turn costs that
//! turn's decisions, none of which was acted upon in a way that cannot be seen again.

mod file;
mod reading;
mod rehearsal;
mod saved;
mod values;

pub use rehearsal::Rehearsal;
use rehearsal::{Known, known_now};
pub(crate) use saved::{Leaving, SavedDaemon, SavedRun, SavedUnit};

use crate::bus::Change;
use crate::engine::Engine;
use crate::failpoint::hit;
use crate::groups::Parsed;
use crate::held::Holder;
use file::{Records, Wrote};
use saved::{decode, encode, encode_config};
use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use supers_config::{Loaded, Settings};
use supers_core::fleet::SavedFleet;
use supers_core::ids::{RunId, UnitId};
use supers_core::proc::{Exe, Phase, State};
use supers_os::births::Births;
use supers_os::keeper_proto::Key;
use values::Values;

/// Runs are numbered in blocks, so that not every start has to be written down twice.
const BLOCK: u64 = 1024;
/// What was done can lead to more: so often it is looked at in one turn, the rest waits for the next.
const ROUNDS: usize = 4;
const DAEMON: &str = "daemon";
const CONFIG: &str = "config";
const GROUPS: &str = "groups";
const UNIT: &str = "unit/";
/// Connections that are handed on.
pub(crate) const CONNECTIONS: &str = "connections";
/// What follows belongs to the bus.
const BUS: &str = "bus";

/// The records, as the engine writes them.
pub struct Store {
    records: Option<Records>,
    births: Option<Arc<Births>>,
    holder: Holder,
    boot: String,
    keeper: i32,
    lineage: String,
    /// Why this daemon makes way.
    leaving: Leaving,
    /// Units to be written besides those that the fleet calls changed.
    unsaved: BTreeSet<UnitId>,
    /// Under which key each unit was written.
    keys: HashMap<UnitId, String>,
    /// Runs may be numbered up to here.
    ceiling: u64,
    /// Something of [`SavedDaemon`] changed.
    stale: bool,
    /// Trouble that was not told yet.
    trouble: Option<String>,
    /// A trouble is known.
    troubled: bool,
}

/// What an earlier daemon left, read and understood.
pub struct Estate {
    pub(crate) daemon: SavedDaemon,
    pub(crate) groups: BTreeMap<String, i32>,
    pub(crate) units: Vec<(String, SavedUnit<'static>)>,
    pub(crate) bus: Vec<(String, Vec<u8>)>,
    /// Connections that were handed on, as the doors wrote it.
    pub connections: Option<String>,
    /// The configuration as it was applied.
    pub loaded: Loaded,
}

/// What [`Store::open`] found.
pub enum Found {
    /// Nothing that concerns this daemon: a first start, or the machine was booted since.
    Nothing,
    /// Everything.
    Estate(Box<Estate>),
    /// Something, which cannot be used.
    Damage(String),
}

impl Store {
    /// Opens the records of this runtime folder. `held` is what the keeper holds of them, `keeper` its process
    /// id, `boot` names the machine's boot; `rehearsal` is what was understood before. Never fails: without a file the daemon works, and says so.
    pub fn open(
        folder: &Path,
        held: Option<OwnedFd>,
        holder: Holder,
        keeper: i32,
        boot: &str,
        rehearsal: Rehearsal,
    ) -> (Store, Found) {
        let mut store = Store {
            records: None,
            births: None,
            holder,
            boot: boot.to_owned(),
            keeper,
            lineage: String::new(),
            leaving: Leaving::No,
            unsaved: BTreeSet::new(),
            keys: HashMap::new(),
            ceiling: 0,
            stale: true,
            trouble: None,
            troubled: false,
        };
        let (begun, known) = rehearsal.into_parts();
        let found = match Records::open(folder, held, begun) {
            Ok(None) => Found::Nothing,
            Ok(Some((records, read))) => {
                match understand(&read.values(), boot, keeper, (known, read.changed.as_deref())) {
                    Ok(Some(estate)) => {
                        store.records = Some(records);
                        store.lineage.clone_from(&estate.daemon.lineage);
                        Found::Estate(Box::new(estate))
                    }
                    Ok(None) => Found::Nothing,
                    Err(why) => Found::Damage(why),
                }
            }
            Err(e) => Found::Damage(supers_os::error_text(&e)),
        };
        if store.records.is_none() {
            store.records = Records::create(folder).map_or_else(
                |e| {
                    store.complain(&supers_os::error_text(&e));
                    Records::nameless().ok()
                },
                Some,
            );
        }
        if store.lineage.is_empty() {
            store.lineage = crate::clock::now().wall.0.to_string();
        }
        let path = births_path(folder);
        let of_before = || matches!(found, Found::Estate(_)).then(|| Births::open(&path).ok()).flatten();
        // A folder that takes none was told of already.
        store.births = of_before().or_else(|| Births::create(&path).ok()).map(Arc::new);
        store.give();
        (store, found)
    }

    /// Whether what is there can be gone on with.
    ///
    /// # Errors
    /// What cannot be read.
    pub fn check(folder: &Path, boot: &str) -> Result<(), String> {
        match Records::look(folder).map_err(|e| supers_os::error_text(&e))? {
            Some(reading) => understand(&reading.values(), boot, 0, (None, None)).map(drop),
            None => Ok(()),
        }
    }

    /// Where children note that they were born; those of the daemon before are there when it is gone on with.
    pub(crate) fn births(&self) -> Option<Arc<Births>> {
        self.births.clone()
    }

    /// What all runs belong to that are numbered without a repetition.
    pub fn lineage(&self) -> &str {
        &self.lineage
    }

    /// Lets the keeper hold the file.
    fn give(&self) {
        if let Some(records) = &self.records {
            self.holder.hold(Key::RECORDS, records.fd());
        }
    }

    /// Says once that records are in danger.
    fn complain(&mut self, why: &str) {
        if !std::mem::replace(&mut self.troubled, true) {
            self.trouble = Some(format!(
                "state cannot be written to the runtime folder ({why}): it outlives superd only while the keeper lives"
            ));
        }
    }

    /// The configuration that was applied.
    fn config(&mut self, settings: &Settings, loaded: &Loaded) {
        let bytes = encode_config(settings, &loaded.config);
        if let Some(records) = &mut self.records {
            records.put(CONFIG, &bytes);
        }
    }

    pub(crate) fn groups(&mut self, groups: &BTreeMap<String, i32>) {
        if let Some(records) = &mut self.records {
            records.put(GROUPS, &encode(groups));
        }
    }

    pub(crate) fn put_raw(&mut self, key: &str, value: Option<&[u8]>) {
        if let Some(records) = &mut self.records {
            match value {
                Some(value) => records.put(key, value),
                None => records.remove(key),
            }
        }
    }

    /// This unit is written down already.
    pub(crate) fn knows(&mut self, unit: UnitId, name: &str) {
        self.keys.insert(unit, format!("{UNIT}{name}"));
    }

    /// The full name of a unit that was written down.
    pub(crate) fn name_of(&self, unit: UnitId) -> Option<&str> {
        self.keys.get(&unit)?.strip_prefix(UNIT)
    }

    /// The open file.
    pub(crate) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.records.as_ref().map(Records::fd)
    }

    /// This unit is to be written with the next commit.
    pub(crate) fn touch(&mut self, unit: UnitId) {
        self.unsaved.insert(unit);
    }

    /// The daemon's own record is to be written with the next commit.
    pub(crate) fn be_stale(&mut self) {
        self.stale = true;
    }

    /// This daemon makes way for another.
    pub(crate) fn leave(&mut self, why: Leaving) {
        self.leaving = why;
        self.stale = true;
    }

    /// The end, for good: nothing is to be found by whoever starts next.
    pub(crate) fn discard(&mut self, folder: &Path) {
        self.records = None;
        // Not there: just as well.
        let _ = std::fs::remove_file(file::path(folder));
        let _ = std::fs::remove_file(births_path(folder));
        self.holder.forget(Key::RECORDS);
    }

    fn write(&mut self) {
        let Some(records) = &mut self.records else { return };
        match records.write() {
            Ok(Wrote::Same) => {}
            Ok(Wrote::Moved) => {
                let nameless = records.is_nameless();
                self.give();
                if nameless {
                    self.complain("it takes nothing more");
                }
            }
            Err(e) => self.complain(&supers_os::error_text(&e)),
        }
    }
}

/// Where the children of this runtime folder note their births.
fn births_path(folder: &Path) -> PathBuf {
    folder.join("births")
}

/// Makes sense of what was read. `None` when it is of another boot, or all was over.
fn understand(
    values: &Values<'_>,
    boot: &str,
    keeper: i32,
    (before, changed): (Option<Known>, Option<&[Box<str>]>),
) -> Result<Option<Estate>, String> {
    let Some(daemon) = values.get(DAEMON) else {
        return if values.is_empty() { Ok(None) } else { Err("the daemon's own record is missing".into()) };
    };
    let daemon: SavedDaemon = decode(daemon)?;
    if daemon.boot != boot {
        return Ok(None);
    }
    let Known { loaded, groups, units } = known_now(values, before, changed)?;
    let connections = values.get(CONNECTIONS).and_then(|text| String::from_utf8(text.to_vec()).ok());
    let bus = values.iter().filter(|(key, _)| key.starts_with(BUS));
    let bus = bus.map(|(key, bytes)| (key.to_owned(), bytes.to_vec())).collect();
    // Its keeper is gone too: that shutdown has come to its end, and somebody starts anew.
    let over = daemon.fleet.is_over() && units.iter().all(|(_, unit)| unit.runs.is_empty());
    if over && (keeper == 0 || daemon.keeper != keeper) {
        return Ok(None);
    }
    Ok(Some(Estate { daemon, groups, units, bus, connections, loaded }))
}

impl Engine {
    /// Writes down what changed. What may only happen afterwards happens now.
    pub(crate) fn commit(&mut self) {
        for _ in 0..ROUNDS {
            self.write_down();
            self.send_out();
            hit("commit.done");
            let waits = self.to_settle.len() + self.to_signal.len() + self.store.unsaved.len();
            if waits == 0 && (self.to_spawn.is_empty() || self.leave.is_some()) {
                return;
            }
        }
    }

    fn write_down(&mut self) {
        hit("commit.begin");
        let mut units = std::mem::take(&mut self.store.unsaved);
        units.extend(self.fleet.dirty());
        if !units.is_empty() {
            let known = self.parsed.read();
            units.into_iter().for_each(|id| self.write_unit(id, &known));
        }
        let replanned = self.fleet.take_replanned();
        if self.fleet.last_run().0 > self.store.ceiling || replanned || self.store.stale {
            self.write_daemon();
        }
        self.write_with_bus();
        hit("commit.written");
        if let Err(e) = self.wishes.write() {
            let why = supers_os::error_text(&e);
            self.journal.warn(
                self.now,
                format!("the operator's wishes cannot be written to the state folder: {why}"),
            );
        }
        if let Some(text) = self.store.trouble.take() {
            self.journal.say(crate::logs::mainlog::Level::Error, self.now, &text);
            self.notices.add(text);
        }
    }

    /// What listeners said and get: decided, written down, done, and that written down.
    fn write_with_bus(&mut self) {
        loop {
            for change in self.bus.take_changes() {
                match change {
                    Change::Put { key, value } => self.store.put_raw(&key, Some(&value)),
                    Change::Remove { key } => self.store.put_raw(&key, None),
                }
            }
            self.store.write();
            self.bus.send_now();
            if !self.bus.dirty() {
                break;
            }
        }
        for (unit, _, bytes) in self.bus.take_heard() {
            self.logs.consumed(unit, bytes);
        }
    }

    /// The configuration was read: what of it is kept, and what each unit has from it.
    pub(crate) fn keep_parsed(&mut self, loaded: &Loaded) {
        let before = self.parsed.read();
        self.parsed.write(Parsed::of(loaded, &before));
        let settings = self.settings.borrow().clone();
        self.store.config(&settings, loaded);
        self.store.unsaved.extend(self.fleet.iter().map(|(id, _)| id));
    }

    fn write_daemon(&mut self) {
        self.store.ceiling = self.fleet.last_run().0 + BLOCK;
        self.store.stale = false;
        let daemon = SavedDaemon {
            boot: self.store.boot.clone(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            fleet: SavedFleet { last_run: self.store.ceiling, ..self.fleet.saved() },
            again: self.again,
            keeper: self.store.keeper,
            lineage: self.store.lineage.clone(),
            leaving: self.store.leaving,
        };
        if let Some(records) = &mut self.store.records {
            records.put(DAEMON, &encode(&daemon));
        }
    }

    fn write_unit(&mut self, id: UnitId, known: &Parsed) {
        let Some(records) = &mut self.store.records else { return };
        let (Some(slot), Some(saved)) = (self.fleet.get(id), self.fleet.saved_slot(id)) else {
            if let Some(key) = self.store.keys.remove(&id) {
                records.remove(&key);
            }
            return;
        };
        let known = known.contains(&slot.spec);
        let runs = runs_of(&slot.unit.state, slot.unit.reloading);
        let runs = runs.into_iter().map(|(run, exe)| match self.runs.get(&run) {
            Some(r) => SavedRun {
                run: run.0,
                exe: r.exe,
                pid: r.pid.0,
                identity: r.identity,
                foreign: r.foreign,
                exit: r.exit,
                due: self.to_signal.iter().rfind(|s| s.1 == run).map(|s| (s.2, s.3)),
            },
            None => SavedRun { run: run.0, exe, pid: 0, identity: 0, foreign: false, exit: None, due: None },
        });
        let unit = SavedUnit {
            place: id.0,
            spec: (!known).then(|| Box::new(Cow::Borrowed(&*slot.spec))),
            origin: (!known).then(|| Box::new(Cow::Borrowed(&*slot.origin))),
            slot: saved,
            runs: runs.collect(),
        };
        let key = self.store.keys.entry(id).or_insert_with(|| format!("{UNIT}{}", slot.spec.full_name()));
        records.put(key, &encode(&unit));
    }
}

/// The runs of a unit, and which command each is if it was not started yet.
fn runs_of(state: &State, reloading: Option<(RunId, usize)>) -> Vec<(RunId, Exe)> {
    let mut runs = Vec::new();
    if let Some(run) = state.run() {
        let index = if let State::Starting { index, .. } = state { *index } else { 0 };
        runs.push((run, Exe::Main(index)));
    }
    if let State::Stopping { phase: Phase::Command { aux, index }, .. } = state {
        runs.push((*aux, Exe::Stop(*index)));
    }
    runs.extend(reloading.map(|(run, n)| (run, Exe::Reload(n))));
    runs
}
