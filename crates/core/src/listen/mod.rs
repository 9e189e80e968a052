//! Pools of event listeners (supervisor-contract 12): which event goes to which process, and what its
//! answer means. [`Pools`] is told what happened and says what is to be done; it writes and reads nothing.
//!
//! An event is lost only when a buffer overflows, which is said and counted, or when its pool is removed.
//! It is given to two processes only when the first did not say that it is done.
//!
//! All that outlives the daemon ([`saved`]). Whoever is killed between two steps must find out afterwards which
//! of them were done, so they have an order: what a listener said is understood, written down, taken out of
//! its pipe ([`Pools::consumed`]), and only then it gets an event; that is chosen, written down
//! ([`Pools::sending`]), written to its pipe, and written down ([`Pools::sent`]).

mod ear;
mod member;
mod pool;
pub mod saved;
mod ticks;

pub use ear::{Ear, Heard, LINE_MAX, Mood};
pub use pool::Count;
pub use ticks::Ticks;

use crate::event::Kind;
use crate::ids::{RunId, UnitId};
use crate::spec::Spec;
use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::fmt;
use pool::{News, Pool};
use saved::{Doubt, Forgotten};

/// What is to be done. In this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Write to the standard input of this run. Each run has at most one such event under way.
    Send {
        /// Whose.
        unit: UnitId,
        /// Which life.
        run: RunId,
        /// The envelope.
        bytes: Vec<u8>,
    },
    /// A line for the main log.
    Say(Said),
    /// End this life of the unit and begin another: a crash left open what it knows.
    Restart {
        /// Whose.
        unit: UnitId,
        /// Which life.
        run: RunId,
    },
}

/// How loud a line is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Weight {
    Debug,
    Warn,
    Error,
}

/// A line for the main log, in the ancestor's words.
#[derive(Clone, Debug, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Said {
    /// A buffer was full; this event, its oldest, is lost.
    Overflow { pool: String, serial: u64 },
    /// The listener will get no more events in this life.
    Confused { name: String },
    /// What was to be a result line.
    BadLine { name: String, line: String },
    /// The listener could not deal with its event, which waits again.
    Rejected { name: String },
    /// The listener is done with its event.
    Processed { name: String },
    /// The event was given to this listener.
    Sent { name: String, serial: u64 },
    /// The listener closed its standard input; the event waits again.
    Broken { name: String, serial: u64 },
    /// The listener went on.
    Moved { name: String, from: Mood, to: Mood },
    /// A crash of the daemon left open what the listener knows.
    Lost { name: String, doubt: Doubt },
}

impl Said {
    /// How loud it is.
    pub fn weight(&self) -> Weight {
        match self {
            Said::Overflow { .. } => Weight::Error,
            Said::Confused { .. } | Said::BadLine { .. } | Said::Rejected { .. } | Said::Lost { .. } => {
                Weight::Warn
            }
            Said::Processed { .. } | Said::Sent { .. } | Said::Broken { .. } | Said::Moved { .. } => {
                Weight::Debug
            }
        }
    }
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Said::Overflow { pool, serial } => {
                write!(f, "pool {pool} event buffer overflowed, discarding event {serial}")
            }
            Said::Confused { name } => write!(
                f,
                "{name}: has entered the UNKNOWN state and will no longer receive events, this usually \
                 indicates the process violated the eventlistener protocol"
            ),
            Said::BadLine { name, line } => write!(f, "{name}: bad result line: '{line}'"),
            Said::Rejected { name } => write!(f, "{name}: event was rejected"),
            Said::Processed { name } => write!(f, "{name}: event was processed"),
            Said::Sent { name, serial } => write!(f, "event {serial} sent to listener {name}"),
            Said::Broken { name, serial } => write!(
                f,
                "epipe occurred while sending event {serial} to listener {name}, it gets no more of them"
            ),
            Said::Lost { name, doubt } => match doubt {
                Doubt::Event(serial) => write!(
                    f,
                    "{name}: is restarted, since it is not known whether it got event {serial} before superd \
                     was killed"
                ),
                Doubt::Words => write!(
                    f,
                    "{name}: is restarted, since it is not known whether it said the same again after superd \
                     was killed"
                ),
                Doubt::State => {
                    write!(f, "{name}: is restarted, since its state of before is not known any more")
                }
                Doubt::Pipe => write!(f, "{name}: is restarted, since its pipes were lost"),
            },
            Said::Moved { name, from, to } => write!(f, "{name}: {} -> {}", from.name(), to.name()),
        }
    }
}

/// All pools.
#[derive(Debug)]
pub struct Pools {
    /// The daemon's `identifier`.
    server: Arc<str>,
    /// The next event's number.
    serial: u64,
    /// By group.
    pools: BTreeMap<String, Pool>,
    /// The group of each listener.
    homes: BTreeMap<UnitId, String>,
    /// Concrete kinds that somebody subscribed to, one bit each.
    wanted: u32,
    /// What changes is noted.
    keeps: bool,
    forgotten: Forgotten,
}

impl Pools {
    /// None yet, in the daemon with this `identifier`.
    pub fn new(identifier: &str) -> Pools {
        let (pools, homes) = (BTreeMap::new(), BTreeMap::new());
        let forgotten = Forgotten::default();
        Pools { server: identifier.into(), serial: 0, pools, homes, wanted: 0, keeps: false, forgotten }
    }

    /// Somebody subscribed to this concrete kind.
    pub fn wants(&self, kind: Kind) -> bool {
        self.wanted & bit(kind) != 0
    }

    /// This unit is a listener.
    pub fn listens(&self, unit: UnitId) -> bool {
        self.homes.contains_key(&unit)
    }

    /// What the listener of this unit is.
    pub fn mood(&self, unit: UnitId) -> Option<Mood> {
        self.pools.get(self.homes.get(&unit)?)?.mood(unit)
    }

    /// How the pools do, by name.
    pub fn counts(&self) -> impl Iterator<Item = Count> {
        self.pools.values().map(Pool::count)
    }

    /// A unit was added, or described anew. The newest description of a listener is its whole pool's.
    pub fn put(&mut self, unit: UnitId, spec: &Spec, out: &mut Vec<Action>) {
        let Some(wants) = &spec.listener else { return self.remove(unit, out) };
        if self.homes.get(&unit).is_some_and(|home| *home != spec.group) {
            self.remove(unit, out);
        }
        self.homes.insert(unit, spec.group.clone());
        let fresh = || Pool::new(spec.group.clone(), self.server.clone(), (**wants).clone(), self.keeps);
        self.forgotten.not(&spec.group);
        let pool = self.pools.entry(spec.group.clone()).or_insert_with(fresh);
        pool.wants = (**wants).clone();
        pool.add(unit, &spec.name);
        self.subscribe();
    }

    /// A unit was removed. With its last unit the pool goes, and what waits there.
    pub fn remove(&mut self, unit: UnitId, out: &mut Vec<Action>) {
        let Some(home) = self.homes.remove(&unit) else { return };
        if let Some(pool) = self.pools.get_mut(&home) {
            pool.remove(unit, out);
            if pool.is_empty() {
                if self.keeps {
                    self.forgotten.pool(pool);
                }
                self.pools.remove(&home);
            }
        }
        self.subscribe();
    }

    /// Something of this concrete kind happened. The payload is made only if somebody wants it.
    pub fn happen(&mut self, kind: Kind, payload: impl FnOnce() -> String, out: &mut Vec<Action>) {
        if !self.wants(kind) {
            return;
        }
        let payload: Arc<str> = payload().into();
        let length = payload.chars().count();
        let news = News { serial: self.serial, kind, payload, length };
        self.serial += 1;
        for pool in self.pools.values_mut().filter(|p| p.wants.events.iter().any(|w| kind.is_in(*w))) {
            pool.accept(news.clone(), out);
        }
    }

    /// A process of this unit began to live. Its output may have been heard already.
    pub fn started(&mut self, unit: UnitId, run: RunId, out: &mut Vec<Action>) {
        self.at(unit, |pool| pool.started(unit, run, out));
    }

    /// The unit is RUNNING from now on, or is not.
    pub fn running(&mut self, unit: UnitId, running: bool, out: &mut Vec<Action>) {
        self.at(unit, |pool| pool.running(unit, running, out));
    }

    /// The process said this on its standard output.
    pub fn heard(&mut self, unit: UnitId, run: RunId, bytes: &[u8], out: &mut Vec<Action>) {
        self.at(unit, |pool| pool.heard(unit, run, bytes, out));
    }

    /// All that was [`Pools::heard`] of this process is out of its pipe. It gets no event before that.
    pub fn consumed(&mut self, unit: UnitId, run: RunId, out: &mut Vec<Action>) {
        self.at(unit, |pool| pool.consumed(unit, run, out));
    }

    /// The event that this process is to get will be written after all changes are written down. `before`:
    /// bytes that lie unread in the pipe now; `None` when the event may be written in parts.
    pub fn sending(&mut self, unit: UnitId, run: RunId, before: Option<u64>) {
        self.at(unit, |pool| pool.sending(unit, run, before));
    }

    /// Its event is to be written still. (It may have been passed on since it was chosen.)
    pub fn awaits(&self, unit: UnitId, run: RunId) -> bool {
        let pool = self.homes.get(&unit).and_then(|home| self.pools.get(home));
        pool.is_some_and(|pool| pool.awaits(unit, run))
    }

    /// All of its event was written.
    pub fn sent(&mut self, unit: UnitId, run: RunId) {
        self.at(unit, |pool| pool.sent(unit, run));
    }

    /// The standard input of this process cannot be written any more.
    pub fn broken(&mut self, unit: UnitId, run: RunId, out: &mut Vec<Action>) {
        self.at(unit, |pool| pool.broken(unit, run, out));
    }

    /// The process is gone, and all its output was heard.
    pub fn ended(&mut self, unit: UnitId, run: RunId, out: &mut Vec<Action>) {
        self.at(unit, |pool| pool.ended(unit, run, out));
    }

    fn at(&mut self, unit: UnitId, tell: impl FnOnce(&mut Pool)) {
        if let Some(pool) = self.homes.get(&unit).and_then(|home| self.pools.get_mut(home)) {
            tell(pool);
        }
    }

    fn subscribe(&mut self) {
        let names = || self.pools.values().flat_map(|p| &p.wants.events);
        let kinds = Kind::ALL.iter().map(|row| row.0).filter(|kind| *kind < Kind::Event);
        self.wanted =
            kinds.filter(|kind| names().any(|n| kind.is_in(*n))).fold(0, |all, kind| all | bit(kind));
    }
}

fn bit(kind: Kind) -> u32 {
    1 << (kind as u32)
}
