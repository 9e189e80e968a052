//! Reading the configuration again, off the engine thread.
//!
//! Reads are coalesced: whoever asks while one is under way shares the next one, so a thousand
//! `restart` requests cost two reads, and every answer is from a read that began after the question.

use crate::orders::After;
use bstr::BString;
use std::path::PathBuf;
use std::sync::Arc;
use supers_config::{InForce, Loaded, emit};
use supers_core::control::NewUnit;
use supers_core::fleet::{Fleet, Wanted};
use supers_core::snapshot::Origin;
use tokio::sync::mpsc;

/// Reads the configuration, wherever it is, beside what is in force.
pub type Load = Arc<dyn Fn(&InForce) -> Loaded + Send + Sync>;

/// Results of reads, with what was waiting for each.
pub(crate) struct Sources {
    load: Load,
    unit_dir: Option<PathBuf>,
    tx: mpsc::Sender<Fresh>,
    /// A read is under way.
    busy: bool,
    /// What waits for the next one.
    waiting: Vec<After>,
}

/// A finished read.
pub(crate) struct Fresh {
    pub loaded: Loaded,
    pub then: Vec<After>,
    /// Names of units whose files were written first, or why one was not.
    pub written: Result<(), String>,
}

impl Sources {
    /// `unit_dir` is where `add` writes; none when the configuration is one file.
    pub(crate) fn new(load: Load, unit_dir: Option<PathBuf>) -> (Sources, mpsc::Receiver<Fresh>) {
        // At most one read is under way, so one place is enough.
        let (tx, rx) = mpsc::channel(1);
        (Sources { load, unit_dir, tx, busy: false, waiting: Vec::new() }, rx)
    }

    /// Reads, then goes on with `then`.
    pub(crate) fn read_for(&mut self, then: After, fleet: &Fleet) {
        self.waiting.push(then);
        self.next(fleet);
    }

    /// A result was taken: the next read may begin.
    pub(crate) fn taken(&mut self, fleet: &Fleet) {
        self.busy = false;
        self.next(fleet);
    }

    fn next(&mut self, fleet: &Fleet) {
        if self.busy || self.waiting.is_empty() {
            return;
        }
        // A unit to be written goes alone, so that its failure concerns nobody else.
        let alone = self.waiting.iter().position(|a| a.new_unit().is_some());
        let then = match alone {
            Some(0) => vec![self.waiting.remove(0)],
            Some(n) => self.waiting.drain(..n).collect(),
            None => std::mem::take(&mut self.waiting),
        };
        self.busy = true;
        let (load, dir, tx) = (self.load.clone(), self.unit_dir.clone(), self.tx.clone());
        let unit = then.first().and_then(|a| a.new_unit().cloned());
        let in_force = in_force(fleet);
        let work = move || {
            let written = unit.map_or(Ok(()), |u| write_unit(dir, &u));
            let fresh = Fresh { loaded: load(&in_force), then, written };
            let _ = tx.blocking_send(fresh);
        };
        let thread = std::thread::Builder::new().name("load".into()).spawn(work);
        // Without a thread the requests are dropped, which their askers see as a failure.
        self.busy = thread.is_ok();
    }
}

/// Which file describes whom now.
fn in_force(fleet: &Fleet) -> InForce {
    fleet.iter().map(|(_, slot)| (slot.spec.program.clone(), slot.origin.file.clone())).collect()
}

/// What the configuration wants, for the fleet. The processes of one program have one origin.
pub(crate) fn wanted(loaded: &Loaded) -> Vec<Wanted> {
    let mut wanted: Vec<Wanted> = Vec::with_capacity(loaded.config.programs.len());
    for p in &loaded.config.programs {
        let origin = Origin {
            description: p.about.description.clone(),
            file: p.about.file.to_string(),
            line: p.about.line,
        };
        let same = wanted.last().filter(|(_, last)| **last == origin).map(|(_, last)| last.clone());
        wanted.push((p.spec.clone(), same.unwrap_or_else(|| Arc::new(origin))));
    }
    wanted
}

/// Errors first, one text each.
pub(crate) fn findings(loaded: &Loaded) -> Vec<String> {
    let mut list: Vec<_> = loaded.config.findings.iter().collect();
    list.sort_by_key(|f| f.severity);
    list.into_iter().map(ToString::to_string).collect()
}

fn write_unit(dir: Option<PathBuf>, unit: &NewUnit) -> Result<(), String> {
    let dir = dir.ok_or("this superd reads one file, not a unit folder: add the program there and reload")?;
    emit::valid_name(&unit.name)?;
    if unit.command.is_empty() {
        return Err("no command was given".into());
    }
    let path = dir.join(format!("{}.service", unit.name));
    if path.exists() && !unit.replace {
        return Err(format!("{} exists already; remove it or choose another name", path.display()));
    }
    let words: Vec<BString> = unit.command.iter().map(|w| w.as_str().into()).collect();
    let text = emit::unit_file(
        &unit.name,
        &words,
        &emit::Options {
            description: unit.description.clone(),
            user: unit.user.clone(),
            directory: unit.directory.as_deref().map(Into::into),
            ..emit::Options::default()
        },
    );
    let hidden = dir.join(format!(".{}.service.new", unit.name));
    let done = std::fs::write(&hidden, text).and_then(|()| std::fs::rename(&hidden, &path));
    done.map_err(|e| format!("cannot write {}: {}", path.display(), supers_os::error_text(&e)))
}
