//! Events on their way: what happens is told to the pools of listeners (decided in
//! [`supers_core::listen`]), and what they decide is written to the standard inputs of their processes.
//!
//! With records ([`Bus::keep_records`]) no event is written before it is written down that it will be; see
//! [`Bus::send_now`] for the order.

use crate::logs::mainlog::Level;
use crate::stdin::{Flushed, Stdins};
use std::collections::HashMap;
use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};
use supers_core::event::{Happening, Kind, Who};
use supers_core::ids::{RunId, UnitId};
use supers_core::inside::StdinDone;
use supers_core::listen::{Action, Count, Pools, Said, Ticks, Weight};
use supers_core::proc::{Exe, Note, Word};
use supers_core::spec::{Sink, Spec};
use supers_core::time::{Mono, Now};

#[cfg(test)]
mod record_tests;
mod records;
#[cfg(test)]
mod tests;

pub use records::{Change, KEYS};
pub(crate) use records::{Rest, RestAt, TextChange};

/// Some output of this unit is told to the bus. Its end comes through the same channel then, after all its
/// output (`Logs::drain`), or an answer of a listener would be older than its end.
pub fn tells(spec: &Spec) -> bool {
    let told = |sink: &Sink| sink.events || sink.capture_max > 0;
    spec.listener.is_some() || told(&spec.output.stdout) || spec.output.stderr.as_ref().is_some_and(told)
}

/// Events, listeners, and all standard inputs.
pub struct Bus {
    pools: Pools,
    stdins: Stdins,
    ticks: Ticks,
    /// The unit of each living main run of a listener.
    listeners: HashMap<RunId, UnitId>,
    said: Vec<Said>,
    /// Events that are to be written. At most one for each listener.
    outbox: Vec<Letter>,
    /// What was heard, for [`Bus::take_heard`]. The logs thread has at most one such text under way for each.
    heard: Vec<(UnitId, RunId, usize)>,
    restarts: Vec<(UnitId, RunId)>,
    /// Changes are written down before they have consequences.
    recorded: bool,
    /// The last ticks are to be written down.
    ticked: bool,
    /// Texts of before, for runs that are not adopted yet.
    rests: records::Rests,
}

/// An event that is to be written.
struct Letter {
    unit: UnitId,
    run: RunId,
    bytes: Vec<u8>,
    /// It is written down that it will be.
    recorded: bool,
}

impl Bus {
    /// Nobody listens yet. Belongs to the runtime of the calling thread.
    ///
    /// # Errors
    /// The kernel refuses a descriptor, or there is no runtime.
    pub fn new(identifier: &str) -> io::Result<Bus> {
        let (pools, stdins) = (Pools::new(identifier), Stdins::new()?);
        Ok(Bus {
            pools,
            stdins,
            ticks: Ticks::default(),
            listeners: HashMap::new(),
            said: Vec::new(),
            outbox: Vec::new(),
            heard: Vec::new(),
            restarts: Vec::new(),
            recorded: false,
            ticked: false,
            rests: records::Rests::new(),
        })
    }

    /// A unit was added, or its description was replaced.
    pub fn put(&mut self, now: Now, unit: UnitId, spec: &Spec) {
        self.pooled(|pools, out| pools.put(unit, spec, out));
        self.pass(now);
    }

    /// A unit was removed.
    pub fn remove(&mut self, now: Now, unit: UnitId) {
        self.pooled(|pools, out| pools.remove(unit, out));
        self.pass(now);
    }

    /// Somebody subscribed to this kind: it is worth while to tell.
    pub fn wants(&self, kind: Kind) -> bool {
        self.pools.wants(kind)
    }

    /// Something happened. Nobody is told what nobody wants.
    pub fn happen(&mut self, happening: &Happening) {
        self.pooled(|pools, out| pools.happen(happening.kind(), || happening.payload(), out));
    }

    /// A note about a unit: a change of its state is an event, and decides whether it gets events.
    pub fn note(&mut self, unit: UnitId, spec: &Spec, note: &Note) {
        let Note::Changed { from, to, tries, pid, expected } = note else { return };
        self.pooled(|pools, out| pools.running(unit, *to == Word::Running, out));
        if self.wants(Kind::of_state(*to)) {
            let who = Who { process: spec.name.clone(), group: spec.group.clone() };
            let (from, to, tries, expected) = (*from, *to, *tries, *expected);
            let pid = pid.map_or(0, |pid| pid.0);
            self.happen(&Happening::State { who, from, to, tries, pid, expected });
        }
    }

    /// A process began to live.
    pub fn started(&mut self, unit: UnitId, run: RunId, exe: Exe, stdin: Option<OwnedFd>) {
        let listens = matches!(exe, Exe::Main(_)) && self.pools.listens(unit);
        if let Some(fd) = stdin {
            self.stdins.open_with(run, fd, !listens, Rest::default());
        }
        if listens {
            self.listeners.insert(run, unit);
            self.pooled(|pools, out| pools.started(unit, run, out));
        }
    }

    /// The writing ends of all standard inputs.
    pub fn inputs(&self) -> impl Iterator<Item = (RunId, BorrowedFd<'_>)> {
        self.stdins.inputs()
    }

    /// A process is gone, and all its output was heard.
    pub fn ended(&mut self, run: RunId) {
        self.stdins.close(run);
        if let Some(unit) = self.listeners.remove(&run) {
            self.pooled(|pools, out| pools.ended(unit, run, out));
        }
    }

    /// A listener said this on its standard output.
    pub fn heard(&mut self, unit: UnitId, run: RunId, bytes: &[u8]) {
        self.pooled(|pools, out| pools.heard(unit, run, bytes, out));
        if self.recorded {
            self.heard.push((unit, run, bytes.len()));
        } else {
            self.consumed(unit, run);
        }
    }

    /// With records: what was heard since the last time. It may leave its FIFO as soon as the changes of this
    /// turn are written down.
    pub fn take_heard(&mut self) -> Vec<(UnitId, RunId, usize)> {
        std::mem::take(&mut self.heard)
    }

    /// With records: all that was heard of this listener has left its FIFO. It gets no event before, or after a
    /// crash its answer could not be told from what it said already.
    pub fn consumed(&mut self, unit: UnitId, run: RunId) {
        self.pooled(|pools, out| pools.consumed(unit, run, out));
    }

    /// With records: writes what was decided, as far as that is written down. An event that cannot be written
    /// goes to the next listener. The order is: take the changes, write them down, send; and again while
    /// [`Bus::dirty`], so that it is known what was sent. Each round that does not end it has one listener
    /// fewer to write to.
    pub fn send_now(&mut self) {
        let (due, later): (Vec<Letter>, Vec<Letter>) =
            std::mem::take(&mut self.outbox).into_iter().partition(|l| l.recorded || !self.recorded);
        self.outbox = later;
        for Letter { unit, run, bytes, .. } in due {
            // It may be somebody else's since it was decided.
            if !self.pools.awaits(unit, run) {
                continue;
            }
            match self.stdins.put(run, &bytes) {
                StdinDone::Closed => self.broken(run),
                StdinDone::Taken if self.stdins.waiting(run) == 0 => self.pools.sent(unit, run),
                // `flush` says when it is through.
                StdinDone::Taken | StdinDone::Full | StdinDone::NotRunning => {}
            }
        }
    }

    /// Listeners of which a crash left open what they know: each is to be stopped and started again.
    pub fn take_restarts(&mut self) -> Vec<(UnitId, RunId)> {
        std::mem::take(&mut self.restarts)
    }

    /// Text for the standard input of a process; who asks knows that it lives.
    pub fn send_stdin(&mut self, run: RunId, bytes: &[u8]) -> StdinDone {
        let done = self.stdins.send(run, bytes);
        if done == StdinDone::Closed {
            self.broken(run);
        }
        done
    }

    /// Completes when [`Bus::flush`] has something to do.
    pub async fn writable(&self) {
        self.stdins.writable().await;
    }

    /// Writes what waits, where there is room.
    pub fn flush(&mut self) {
        let Flushed { broken, through } = self.stdins.flush();
        for run in through {
            if let Some(unit) = self.listeners.get(&run) {
                self.pools.sent(*unit, run);
            }
        }
        for run in broken {
            self.broken(run);
        }
    }

    /// When [`Bus::pass`] has something to do. Never while nobody wants ticks.
    pub fn deadline(&self) -> Option<Mono> {
        self.ticks.deadline()
    }

    /// Time passes.
    pub fn pass(&mut self, now: Now) {
        let pools = &self.pools;
        let before = self.ticks.clone();
        let crossed = self.ticks.pass(|kind| pools.wants(kind), now);
        self.ticked |= self.recorded && !self.ticks.saw_the_same(&before);
        for tick in crossed {
            self.happen(&tick);
        }
    }

    /// Lines for the main log since the last time.
    pub fn take_lines(&mut self) -> Vec<(Level, String)> {
        std::mem::take(&mut self.said).iter().map(|said| (level(said), said.to_string())).collect()
    }

    /// How the pools do.
    pub fn counts(&self) -> impl Iterator<Item = Count> {
        self.pools.counts()
    }

    /// The input of this run cannot be written any more.
    fn broken(&mut self, run: RunId) {
        if let Some(unit) = self.listeners.get(&run).copied() {
            self.pooled(|pools, out| pools.broken(unit, run, out));
        }
    }

    /// Tells the pools something, and sees to what comes of it.
    fn pooled(&mut self, tell: impl FnOnce(&mut Pools, &mut Vec<Action>)) {
        let mut todo = Vec::new();
        tell(&mut self.pools, &mut todo);
        for action in todo {
            match action {
                Action::Send { unit, run, bytes } => {
                    self.outbox.push(Letter { unit, run, bytes, recorded: false });
                }
                Action::Restart { unit, run } => self.restarts.push((unit, run)),
                Action::Say(said) => self.said.push(said),
            }
        }
        if !self.recorded && !self.outbox.is_empty() {
            self.send_now();
        }
    }
}

fn level(said: &Said) -> Level {
    match said.weight() {
        Weight::Debug => Level::Debug,
        Weight::Warn => Level::Warn,
        Weight::Error => Level::Error,
    }
}
