//! What the bus is, as records of the store: one for each event that waits or is held, one for each pool, and
//! one for the rest. An event is written once and removed once, however long the queue is.

use super::Bus;
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::collections::BTreeMap;
use std::os::fd::OwnedFd;
use supers_core::ids::{RunId, UnitId};
use supers_core::listen::saved::{self, Saved};
use supers_core::proc::Exe;
use supers_core::time::Now;

/// Where all keys of the bus begin.
pub const KEYS: &str = "bus";
const HEAD: &str = "bus";
const POOL: &str = "bus/pool/";
const EVENT: &str = "bus/event/";
const TEXT: &str = "bus/text/";
const TEXT_AT: &str = "bus/text-at/";

/// A record to be written or removed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Its new value.
    Put {
        /// Which.
        key: String,
        /// As the store takes it.
        value: Vec<u8>,
    },
    /// It is not needed any more.
    Remove {
        /// Which.
        key: String,
    },
}

impl Change {
    fn put(key: String, value: &impl Serialize) -> Change {
        // Writing into memory fails only for values that have no form at all, which ours have.
        Change::Put { key, value: postcard::to_allocvec(value).unwrap_or_default() }
    }
}

/// What belongs to no pool.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Head {
    #[serde(default)]
    serial: u64,
    /// The last multiples that were seen, by the names of their ticks.
    #[serde(default)]
    ticks: BTreeMap<String, i64>,
}

/// Text for the standard input of a program that its pipe did not take yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Rest {
    /// Counts up whenever `text` is written down anew.
    pub generation: u64,
    pub text: bstr::BString,
}

/// How much of that text was written since.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct RestAt {
    pub generation: u64,
    pub gone: u64,
}

/// What changed about the text for one run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum TextChange {
    Put(RunId, Rest),
    Moved(RunId, RestAt),
    Gone(RunId),
}

/// Texts that were read back, until their runs are adopted.
pub(super) type Rests = BTreeMap<RunId, Rest>;

impl Bus {
    /// From now on what changes is to be written down before it has consequences ([`Bus::take_changes`]), and
    /// nothing is sent but by [`Bus::send_now`]. To be said first of all.
    pub fn keep_records(&mut self) {
        self.recorded = true;
        self.pools.keep_changes();
        self.stdins.keep_texts();
    }

    /// Something is to be written down, or to be sent after that.
    pub fn dirty(&self) -> bool {
        self.recorded && (!self.outbox.is_empty() || self.pools.dirty() || self.stdins.dirty() || self.ticked)
    }

    /// What is to be written down now, in this order. [`Bus::send_now`] comes next.
    pub fn take_changes(&mut self) -> Vec<Change> {
        if !self.dirty() {
            return Vec::new();
        }
        for letter in &mut self.outbox {
            // Nobody but we writes to that pipe, and from here to `send_now` not even we.
            let before = self.stdins.unread_before(letter.run, letter.bytes.len());
            self.pools.sending(letter.unit, letter.run, before);
            letter.recorded = true;
        }
        let mut changes = Vec::new();
        let mut gone = false;
        for change in self.pools.take_changes() {
            changes.push(match change {
                saved::Change::Event(e) => Change::put(event_key(&e.pool, e.serial), &e),
                saved::Change::Pool(p) => Change::put(format!("{POOL}{}", p.pool), &p),
                saved::Change::Done { pool, serial } => Change::Remove { key: event_key(&pool, serial) },
                saved::Change::Gone(pool) => {
                    gone = true;
                    Change::Remove { key: format!("{POOL}{pool}") }
                }
            });
        }
        // Pools know the serial as long as there are any.
        if std::mem::take(&mut self.ticked) || gone {
            let head = Head { serial: self.pools.serial(), ticks: self.ticks.save() };
            changes.insert(0, Change::put(HEAD.to_owned(), &head));
        }
        for change in self.stdins.take_changes() {
            match change {
                TextChange::Put(run, rest) => changes.push(Change::put(format!("{TEXT}{}", run.0), &rest)),
                TextChange::Moved(run, at) => changes.push(Change::put(format!("{TEXT_AT}{}", run.0), &at)),
                TextChange::Gone(run) => changes.extend(forget_text(run)),
            }
        }
        changes
    }

    /// Reads back what an earlier daemon wrote down. All units were [`Bus::put`] before; after this each run
    /// that it left is [`Bus::adopt`]ed, and at last all is [`Bus::settled`]. Until then nothing is sent. Says
    /// what could not be used.
    pub fn restore<'a>(&mut self, records: impl IntoIterator<Item = (&'a str, &'a [u8])>) -> Vec<String> {
        let mut troubles = Vec::new();
        let (mut all, mut head) = (Saved::default(), Head::default());
        let (mut texts, mut at) = (BTreeMap::<RunId, Rest>::new(), BTreeMap::<RunId, RestAt>::new());
        for (key, bytes) in records {
            let read = if key == HEAD {
                decode(bytes).map(|h| head = h)
            } else if key.starts_with(POOL) {
                decode(bytes).map(|p| all.pools.push(p))
            } else if key.starts_with(EVENT) {
                decode(bytes).map(|e| all.events.push(e))
            } else if let Some(run) = run_of(key, TEXT) {
                decode(bytes).map(|rest| texts.extend([(run, rest)]))
            } else if let Some(run) = run_of(key, TEXT_AT) {
                decode(bytes).map(|gone| at.extend([(run, gone)]))
            } else {
                continue;
            };
            if let Err(why) = read {
                troubles.push(format!("the record {key} cannot be used: {why}"));
            }
        }
        all.serial = head.serial;
        self.ticks.restore(&head.ticks);
        troubles.append(&mut self.pools.restore(all));
        for (run, Rest { generation, text }) in texts {
            let gone = at.get(&run).filter(|at| at.generation == generation).map_or(0, |at| at.gone);
            let left = usize::try_from(gone).ok().and_then(|n| text.get(n..)).unwrap_or_default();
            self.rests.insert(run, Rest { generation, text: left.into() });
        }
        troubles
    }

    /// A process of before lives, or its end was not dealt with yet. `stdin`: the writing end of its pipe;
    /// `unheard`: bytes that wait in the FIFO of its standard output (`None`: that is lost). A listener that
    /// cannot be judged any more is among [`Bus::take_restarts`] then.
    pub fn adopt(
        &mut self,
        unit: UnitId,
        run: RunId,
        exe: Exe,
        stdin: Option<OwnedFd>,
        unheard: Option<usize>,
    ) {
        let listens = matches!(exe, Exe::Main(_)) && self.pools.listens(unit);
        let rest = self.rests.remove(&run).unwrap_or_default();
        let unread = stdin.as_ref().and_then(|fd| supers_os::pipe::fionread(fd).ok());
        if let Some(fd) = stdin {
            self.stdins.open_with(run, fd, !listens, rest);
        }
        if listens {
            self.listeners.insert(run, unit);
            let wide = |n: usize| n as u64;
            let (unread, unheard) = (unread.map(wide), unheard.map(wide));
            self.pooled(|pools, out| pools.adopted(unit, run, unread, unheard, out));
        }
    }

    /// All that live are adopted: what waits goes out, and what was kept for others goes.
    pub fn settled(&mut self, now: Now) {
        self.pooled(|pools, out| pools.settled(out));
        for run in std::mem::take(&mut self.rests).into_keys() {
            self.stdins.forget_text(run);
        }
        self.pass(now);
    }
}

fn event_key(pool: &str, serial: u64) -> String {
    format!("{EVENT}{serial}/{pool}")
}

fn forget_text(run: RunId) -> [Change; 2] {
    [TEXT, TEXT_AT].map(|key| Change::Remove { key: format!("{key}{}", run.0) })
}

fn run_of(key: &str, prefix: &str) -> Option<RunId> {
    key.strip_prefix(prefix)?.parse().ok().map(RunId)
}

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    postcard::from_bytes(bytes).map_err(|e| e.to_string())
}
