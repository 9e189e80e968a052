//! Events on their way: what happens is told to the pools of listeners (decided in
//! [`supers_core::listen`]), and what they decide is written to the standard inputs of their processes.

use crate::logs::mainlog::Level;
use crate::stdin::Stdins;
use std::collections::HashMap;
use std::io;
use std::os::fd::OwnedFd;
use supers_core::event::{Happening, Kind, Who};
use supers_core::ids::{RunId, UnitId};
use supers_core::inside::StdinDone;
use supers_core::listen::{Action, Count, Pools, Said, Ticks, Weight};
use supers_core::proc::{Exe, Note, Word};
use supers_core::spec::{Sink, Spec};
use supers_core::time::{Mono, Now};

#[cfg(test)]
mod tests;

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
}

impl Bus {
    /// Nobody listens yet. Belongs to the runtime of the calling thread.
    ///
    /// # Errors
    /// The kernel refuses a descriptor, or there is no runtime.
    pub fn new(identifier: &str) -> io::Result<Bus> {
        let (pools, stdins) = (Pools::new(identifier), Stdins::new()?);
        Ok(Bus { pools, stdins, ticks: Ticks::default(), listeners: HashMap::new(), said: Vec::new() })
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
        if let Some(fd) = stdin {
            self.stdins.open(run, fd);
        }
        if matches!(exe, Exe::Main(_)) && self.pools.listens(unit) {
            self.listeners.insert(run, unit);
            self.pooled(|pools, out| pools.started(unit, run, out));
        }
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
        for run in self.stdins.flush() {
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
        for tick in self.ticks.pass(|kind| pools.wants(kind), now) {
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

    /// Tells the pools something, and does what comes of it: an event that cannot be written goes to the
    /// next listener, until there is none.
    fn pooled(&mut self, tell: impl FnOnce(&mut Pools, &mut Vec<Action>)) {
        let mut todo = Vec::new();
        tell(&mut self.pools, &mut todo);
        while !todo.is_empty() {
            for action in std::mem::take(&mut todo) {
                match action {
                    Action::Send { unit, run, bytes } => {
                        if self.stdins.put(run, &bytes) == StdinDone::Closed {
                            self.pools.broken(unit, run, &mut todo);
                        }
                    }
                    Action::Say(said) => self.said.push(said),
                }
            }
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
