//! What the pools are, as values that outlive the daemon. What changed is written down at the end of each
//! turn, an event only once; the daemon that goes on after a crash or an upgrade reads all of it.
//!
//! What is written is positional: see the engine's store before a field changes.

use super::ear::Ear;
use super::pool::{Event, Pool};
use super::{Pools, Said};
use crate::event::Kind;
use crate::ids::{RunId, UnitId};
use alloc::collections::{BTreeMap, BTreeSet};
use alloc::string::String;
use alloc::vec::Vec;
use serde::{Deserialize, Serialize};

/// An event that waits, or that a listener has.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedEvent {
    /// Its pool.
    pub pool: String,
    /// Its number in the daemon.
    pub serial: u64,
    /// Its number in the pool.
    pub pool_serial: u64,
    /// The name of its type.
    pub kind: String,
    /// Its text.
    pub payload: String,
}

/// One pool, without its events.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedPool {
    /// Its name.
    pub pool: String,
    /// The daemon's next number, when this was written. The highest that is found anywhere counts.
    pub serial: u64,
    /// Events it got; those in its events' records count as well.
    pub accepted: u64,
    /// Events it dropped.
    pub dropped: u64,
    /// Events that were given back and wait before all others, in this order.
    #[serde(default)]
    pub front: Vec<u64>,
    /// Its processes.
    pub members: Vec<SavedMember>,
}

/// One process slot of a pool.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SavedMember {
    /// Name within the group.
    pub name: String,
    /// The newest life that was heard of.
    pub run: u64,
    /// The newest life that is over.
    pub over: u64,
    /// That life is known to have begun.
    pub alive: bool,
    /// Its state is RUNNING.
    pub running: bool,
    /// Its standard input is closed.
    pub deaf: bool,
    /// How far it has been understood.
    pub ear: Ear,
    /// The number of the event that it is busy with.
    #[serde(default)]
    pub holds: Option<u64>,
    /// That event is on its way.
    #[serde(default)]
    pub sending: Option<Sending>,
    /// What it said last, unless that is out of its pipe for sure.
    #[serde(default)]
    pub echo: Option<Echo>,
    /// It is to be restarted.
    #[serde(default)]
    pub lost: bool,
}

/// An event that is about to be written, or is written in part.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sending {
    /// Bytes that lay unread in the pipe before. Known only when the event is written at one go or not at
    /// all: more than that in the pipe means then that it was written.
    #[serde(default)]
    pub before: Option<u64>,
}

/// A text that may come once more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Echo {
    /// In bytes.
    pub len: u64,
    /// FNV-1a, 64 bits.
    pub sum: u64,
    /// The text itself, unless it is longer than [`Echo::MAX`].
    #[serde(default)]
    pub text: Vec<u8>,
}

impl Echo {
    /// Longer texts, which no sensible listener writes, are known by their sum only.
    pub const MAX: usize = 1024;

    /// Of this text.
    pub(super) fn of(text: &[u8]) -> Echo {
        let step = |sum: u64, byte: &u8| (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        let (len, sum) = (text.len() as u64, text.iter().fold(0xcbf2_9ce4_8422_2325, step));
        let text = if text.len() > Echo::MAX { Vec::new() } else { text.to_vec() };
        Echo { len, sum, text }
    }

    /// All that `heard` may begin with, if some or none of this text was taken out of the pipe: lengths, the
    /// longest first. `None`: that cannot be told.
    pub(super) fn repeated_in(&self, heard: &[u8]) -> Option<Vec<usize>> {
        let whole = usize::try_from(self.len).ok()?;
        if self.text.len() != whole {
            let head = heard.get(..whole)?;
            return (Echo::of(head) == *self).then(|| [whole, 0].into());
        }
        let rest = |n: &usize| self.text.get(whole - n..).is_some_and(|rest| heard.starts_with(rest));
        Some((0..=whole).rev().filter(rest).collect())
    }
}

/// What is to be written down, or to be forgotten. In this order: whoever is killed in between has an event
/// too many rather than one too few.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// A new event.
    Event(SavedEvent),
    /// A pool is another.
    Pool(SavedPool),
    /// An event is done, or dropped.
    Done {
        /// Of this pool.
        pool: String,
        /// Its number in the daemon.
        serial: u64,
    },
    /// A pool was removed.
    Gone(String),
}

/// All that was written down.
#[derive(Clone, Debug, Default)]
pub struct Saved {
    /// The daemon's next number, as far as it was written down by itself.
    pub serial: u64,
    /// The pools.
    pub pools: Vec<SavedPool>,
    /// All events, in any order.
    pub events: Vec<SavedEvent>,
}

/// What is to be written down, and whether anything is.
#[derive(Debug, Default)]
pub(super) struct Forgotten {
    pools: BTreeSet<String>,
    events: Vec<(String, u64)>,
}

impl Forgotten {
    /// This pool is no more, with all that it has.
    pub(super) fn pool(&mut self, pool: &Pool) {
        self.events.extend(pool.serials().map(|serial| (pool.name().into(), serial)));
        self.pools.insert(pool.name().into());
    }

    /// It is there again.
    pub(super) fn not(&mut self, pool: &str) {
        self.pools.remove(pool);
    }
}

impl Pools {
    /// From now on what changes is noted, for [`Pools::take_changes`]. To be said before anything is put.
    pub fn keep_changes(&mut self) {
        self.keeps = true;
    }

    /// Something is to be written down.
    pub fn dirty(&self) -> bool {
        self.keeps
            && (self.pools.values().any(Pool::dirty)
                || !self.forgotten.pools.is_empty()
                || !self.forgotten.events.is_empty())
    }

    /// The next event's number in the daemon.
    pub fn serial(&self) -> u64 {
        self.serial
    }

    /// What changed since the last time. Kept apart from [`Saved::serial`], which needs to be written only
    /// when a pool goes: until then its records know the number.
    pub fn take_changes(&mut self) -> Vec<Change> {
        let (mut new, mut changed, mut done) = (Vec::new(), Vec::new(), Vec::new());
        for pool in self.pools.values_mut() {
            let (marks, saved) = pool.take_changes(self.serial);
            for (serial, event) in marks {
                match event {
                    Some(event) => new.push(Change::Event(event.save(pool.name()))),
                    None => done.push(Change::Done { pool: pool.name().into(), serial }),
                }
            }
            changed.extend(saved.map(Change::Pool));
        }
        let Forgotten { pools, events } = core::mem::take(&mut self.forgotten);
        new.append(&mut changed);
        new.append(&mut done);
        new.extend(events.into_iter().map(|(pool, serial)| Change::Done { pool, serial }));
        new.extend(pools.into_iter().map(Change::Gone));
        new
    }

    /// Puts back what was written down. All units were put before; after this each living run is
    /// [`Pools::adopted`], and then all is [`Pools::settled`]. Until then nothing is sent. What has no place
    /// any more is said.
    pub fn restore(&mut self, saved: Saved) -> Vec<String> {
        let mut troubles = Vec::new();
        let highest = saved.events.iter().map(|e| e.serial + 1).chain(saved.pools.iter().map(|p| p.serial));
        self.serial = highest.chain([saved.serial, self.serial]).max().unwrap_or(0);
        let mut events: BTreeMap<String, BTreeMap<u64, Event>> = BTreeMap::new();
        for event in saved.events {
            match Kind::parse(&event.kind) {
                Some(kind) if self.pools.contains_key(&event.pool) => {
                    let of_pool = events.entry(event.pool.clone()).or_default();
                    of_pool.insert(event.serial, Event::restore(event, kind));
                }
                Some(_) | None => {
                    troubles.push(alloc::format!(
                        "event {} of pool {} has no place any more",
                        event.serial,
                        event.pool
                    ));
                    self.forgotten.events.push((event.pool, event.serial));
                }
            }
        }
        let mut pools: BTreeMap<String, SavedPool> =
            saved.pools.into_iter().map(|p| (p.pool.clone(), p)).collect();
        for (name, pool) in &mut self.pools {
            pool.restore(pools.remove(name), events.remove(name).unwrap_or_default());
        }
        self.forgotten.pools.extend(pools.into_keys());
        troubles
    }

    /// A process of before lives, or was not dealt with yet. `unread`: bytes in its standard input that it
    /// did not read, `unheard`: bytes of its standard output that nobody took; `None` where the pipe is lost.
    pub fn adopted(
        &mut self,
        unit: UnitId,
        run: RunId,
        unread: Option<u64>,
        unheard: Option<u64>,
        out: &mut Vec<super::Action>,
    ) {
        self.at(unit, |pool| pool.adopted(unit, run, unread, unheard, out));
    }

    /// All that live are adopted: whoever is not among them is gone. What waits goes out.
    pub fn settled(&mut self, out: &mut Vec<super::Action>) {
        for pool in self.pools.values_mut() {
            pool.settled(out);
        }
    }
}

/// Why a listener is restarted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doubt {
    /// Whether it got this event.
    Event(u64),
    /// Whether what it says is new.
    Words,
    /// What it was before the crash.
    State,
    /// It cannot be reached any more.
    Pipe,
}

impl Doubt {
    /// The line about it.
    pub(super) fn says(self, name: &str) -> Said {
        Said::Lost { name: name.into(), doubt: self }
    }
}
