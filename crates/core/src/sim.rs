//! A machine that exists only as numbers: processes that live, crash and heed signals by a script, on a
//! clock that jumps from one event to the next. It carries out what a [`Fleet`] orders as the engine
//! would, so a day of crash loops can be watched in a second.
//!
//! Everything random comes from the seed: the same seed, specs and scripts give the same history, and
//! [`Sim::digest`] is a fingerprint of that history.

use crate::exit::{Exit, Stage, StartError};
use crate::fleet::{Deed, Fleet};
use crate::ids::{Pid, RunId, UnitId};
use crate::proc::{Action, Event, Exe, Note, Word};
use crate::signal::Signal;
use crate::snapshot::Origin;
use crate::spec::Spec;
use crate::time::{Mono, Now, Wall};
use alloc::collections::{BTreeMap, BinaryHeap};
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::cmp::Reverse;
use core::time::Duration;

/// How the processes of one unit behave.
#[derive(Clone, Debug)]
pub struct Script {
    /// A main process lives this long (shortest, longest); `None`: until it is signalled.
    pub life: Option<(Duration, Duration)>,
    /// How it ends then.
    pub exit: Exit,
    /// It is gone this long after a signal other than KILL; `None`: it ignores them.
    pub heeds: Option<Duration>,
    /// How long a spawn takes.
    pub spawn: Duration,
    /// So many of a thousand spawns fail.
    pub spawn_fails: u32,
    /// So many of a thousand signals cannot be sent.
    pub kill_fails: u32,
    /// How long a stop or reload command takes.
    pub command: Duration,
}

impl Default for Script {
    /// Runs for ever, heeds TERM after 20 ms, never fails.
    fn default() -> Self {
        Script {
            life: None,
            exit: Exit::Code(0),
            heeds: Some(Duration::from_millis(20)),
            spawn: Duration::from_millis(1),
            spawn_fails: 0,
            kill_fails: 0,
            command: Duration::from_millis(50),
        }
    }
}

/// What happened so far, counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stats {
    /// Things that happened: facts, deadlines and operator's orders.
    pub events: u64,
    /// Main processes that were started.
    pub spawns: u64,
    /// Spawns that failed.
    pub spawn_failures: u64,
    /// Main processes that ended.
    pub exits: u64,
    /// Signals ordered, KILL included.
    pub signals: u64,
    /// KILLs ordered.
    pub kills: u64,
    /// Stop and reload commands started.
    pub commands: u64,
    /// Process groups swept.
    pub sweeps: u64,
    /// State changes.
    pub changes: u64,
    /// Orders of the random operator.
    pub orders: u64,
    /// Units that were taken out.
    pub removed: u64,
    /// How often the fleet said that all is down.
    pub all_down: u64,
    /// How often a main process began while another of its unit was alive and not let go. Always 0, or
    /// the fleet is broken.
    pub overlaps: u64,
}

/// A small random generator (splitmix64).
#[derive(Clone, Debug)]
pub struct Rng(u64);

impl Rng {
    /// All that follows is decided by `seed`.
    pub fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    /// 64 random bits.
    pub fn bits(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let a = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let b = (a ^ (a >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        b ^ (b >> 31)
    }

    /// A number below `n`; 0 when `n` is 0.
    pub fn below(&mut self, n: u64) -> u64 {
        // The high half of a product spreads evenly enough for a simulation.
        u64::try_from((u128::from(self.bits()) * u128::from(n)) >> 64).unwrap_or(0)
    }

    fn between(&mut self, (least, most): (Duration, Duration)) -> Duration {
        let span = u64::try_from(most.saturating_sub(least).as_nanos()).unwrap_or(u64::MAX);
        least + Duration::from_nanos(self.below(span.saturating_add(1)))
    }

    fn per_mille(&mut self, n: u32) -> bool {
        n > 0 && self.below(1000) < u64::from(n)
    }
}

/// Something that is going to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Due {
    /// The spawn of this run is done, or fails.
    Spawn(RunId),
    /// The process of this run ends, if it still lives; by itself, or by the signal with this number.
    End(RunId, Option<u8>),
    KillFailed(RunId),
    /// The operator gives a random order.
    Operator,
    /// A removed unit is configured again: its place in `removed`.
    Again(usize),
}

/// A run from the order to spawn it to its end.
#[derive(Clone, Copy, Debug)]
struct Process {
    unit: UnitId,
    exe: Exe,
    /// `None` until the spawn is done.
    pid: Option<Pid>,
}

/// The machine.
#[derive(Debug)]
pub struct Sim {
    fleet: Fleet,
    /// By slot.
    scripts: Vec<Script>,
    rng: Rng,
    now: Mono,
    heap: BinaryHeap<Reverse<(Mono, u64, Due)>>,
    sequence: u64,
    processes: BTreeMap<RunId, Process>,
    /// The latest main run of each slot, while it is in flight or alive.
    mains: Vec<Option<RunId>>,
    removed: Vec<(Arc<Spec>, Script)>,
    operator: Option<Duration>,
    deeds: Vec<Deed>,
    next_pid: i32,
    stats: Stats,
    digest: u64,
}

impl Sim {
    /// A machine with these units, none started yet. `scripts` are dealt out in turn (the first again
    /// after the last); without any, all units follow the default script.
    pub fn new(seed: u64, specs: Vec<Spec>, scripts: &[Script]) -> Sim {
        let mut sim = Sim {
            fleet: Fleet::new(RunId(0)),
            scripts: Vec::new(),
            rng: Rng::new(seed),
            now: Mono(0),
            heap: BinaryHeap::new(),
            sequence: 0,
            processes: BTreeMap::new(),
            mains: Vec::new(),
            removed: Vec::new(),
            operator: None,
            deeds: Vec::new(),
            next_pid: 1,
            stats: Stats::default(),
            digest: seed,
        };
        let now = sim.time();
        for (i, spec) in specs.into_iter().enumerate() {
            let script = if scripts.is_empty() { None } else { scripts.get(i % scripts.len()) };
            if sim.fleet.add(Arc::new(spec), Arc::new(Origin::default()), now).is_some() {
                sim.new_slot(script.cloned().unwrap_or_default());
            }
        }
        sim.fleet.link();
        sim
    }

    /// The fleet as it stands.
    pub fn fleet(&self) -> &Fleet {
        &self.fleet
    }

    /// The time.
    pub fn now(&self) -> Mono {
        self.now
    }

    /// What was counted.
    pub fn stats(&self) -> Stats {
        self.stats
    }

    /// A fingerprint of the whole history.
    pub fn digest(&self) -> u64 {
        self.digest
    }

    /// Starts what is configured to start.
    pub fn boot(&mut self) {
        self.with_fleet(|fleet, now, out| fleet.boot(now, out));
    }

    /// Begins the shutdown.
    pub fn shutdown(&mut self, one_by_one: bool) {
        self.operator = None;
        self.with_fleet(|fleet, now, out| fleet.shutdown(one_by_one, now, out));
    }

    /// Somebody gives a random order about every `pause` from now on: start, stop, restart, reload,
    /// replace or remove one unit. A removed unit is configured again later.
    pub fn operate(&mut self, pause: Duration) {
        // Without a pause the clock would never move on.
        let pause = pause.max(Duration::from_millis(1));
        self.operator = Some(pause);
        self.after(pause, Due::Operator);
    }

    /// Lets this much time pass.
    pub fn run_for(&mut self, span: Duration) {
        let end = self.now + span;
        while self.next_at().is_some_and(|at| at <= end) {
            self.step();
        }
        self.now = end;
    }

    /// Moves on to the next thing that happens and lets it happen. False when nothing ever will.
    pub fn step(&mut self) -> bool {
        let Some(at) = self.next_at() else { return false };
        self.now = self.now.max(at);
        self.stats.events += 1;
        self.weigh(&[at.0]);
        let due = match self.heap.peek() {
            Some(Reverse((t, _, _))) if *t <= at => self.heap.pop(),
            Some(_) | None => None,
        };
        match due {
            Some(Reverse((_, _, due))) => self.happen(due),
            None => self.with_fleet(|fleet, now, out| fleet.tick(now, out)),
        }
        true
    }

    /// When the next thing happens.
    fn next_at(&self) -> Option<Mono> {
        let heap = self.heap.peek().map(|Reverse((at, _, _))| *at);
        heap.into_iter().chain(self.fleet.deadline()).min()
    }

    fn time(&self) -> Now {
        // Wall clock: any morning will do.
        let ms = i64::try_from(self.now.0 / 1_000_000).unwrap_or(i64::MAX);
        Now { mono: self.now, wall: Wall(1_700_000_000_000_i64.saturating_add(ms)) }
    }

    fn after(&mut self, pause: Duration, due: Due) {
        self.sequence += 1;
        self.heap.push(Reverse((self.now + pause, self.sequence, due)));
    }

    fn with_fleet(&mut self, f: impl FnOnce(&mut Fleet, Now, &mut Vec<Deed>)) {
        let now = self.time();
        let mut deeds = core::mem::take(&mut self.deeds);
        f(&mut self.fleet, now, &mut deeds);
        for deed in deeds.drain(..) {
            self.carry_out(deed);
        }
        self.deeds = deeds;
    }

    fn fact(&mut self, unit: UnitId, event: Event) {
        self.with_fleet(|fleet, now, out| fleet.fact(unit, event, now, out));
    }

    fn happen(&mut self, due: Due) {
        match due {
            Due::Spawn(run) => self.spawned(run),
            Due::End(run, by) => self.ended(run, by),
            Due::KillFailed(run) => {
                if let Some(p) = self.processes.get(&run).copied() {
                    self.fact(p.unit, Event::KillFailed { run });
                }
            }
            Due::Operator => self.random_order(),
            Due::Again(i) => self.add_again(i),
        }
    }

    /// Slots are numbered as they are added, and never used again.
    fn new_slot(&mut self, script: Script) {
        self.scripts.push(script);
        self.mains.push(None);
    }

    fn script(&self, unit: UnitId) -> Script {
        self.scripts.get(unit.0 as usize).cloned().unwrap_or_default()
    }

    fn main_of(&mut self, unit: UnitId) -> Option<&mut Option<RunId>> {
        self.mains.get_mut(unit.0 as usize)
    }

    fn carry_out(&mut self, deed: Deed) {
        match deed {
            Deed::Unit(unit, action) => self.act(unit, action),
            Deed::Removed(unit) => {
                self.stats.removed += 1;
                self.weigh(&[1, u64::from(unit.0)]);
            }
            Deed::AllDown => {
                self.stats.all_down += 1;
                self.weigh(&[2]);
            }
        }
    }

    fn act(&mut self, unit: UnitId, action: Action) {
        let id = u64::from(unit.0);
        match action {
            Action::Spawn { run, exe } => {
                self.weigh(&[3, id, run.0]);
                self.order_spawn(unit, run, exe);
            }
            Action::Signal { run, signal, group } => {
                self.weigh(&[4, id, run.0, signal.number().unsigned_abs().into(), u64::from(group)]);
                self.send(unit, run, signal);
            }
            Action::Sweep { run, .. } => {
                self.weigh(&[5, id, run.0]);
                self.stats.sweeps += 1;
            }
            Action::Note(Note::Changed { from, to, tries, expected, .. }) => {
                self.stats.changes += 1;
                if let (Word::Fatal, Some(main)) = (to, self.main_of(unit)) {
                    // What still lives then may not be killed and was let go.
                    *main = None;
                }
                self.weigh(&[6, id, from as u64, to as u64, u64::from(tries), u64::from(expected)]);
            }
            Action::Note(note) => self.weigh(&[7, id, note_number(&note)]),
        }
    }

    fn order_spawn(&mut self, unit: UnitId, run: RunId, exe: Exe) {
        match exe {
            Exe::Main(_) => {
                let before = self.main_of(unit).and_then(|r| r.replace(run));
                self.stats.overlaps += u64::from(before.is_some());
            }
            Exe::Stop(_) | Exe::Reload(_) => self.stats.commands += 1,
        }
        self.processes.insert(run, Process { unit, exe, pid: None });
        let pause = self.script(unit).spawn;
        self.after(pause, Due::Spawn(run));
    }

    fn spawned(&mut self, run: RunId) {
        let Some(process) = self.processes.get(&run).copied() else { return };
        let unit = process.unit;
        let script = self.script(unit);
        if self.rng.per_mille(script.spawn_fails) {
            self.forget(unit, run);
            self.stats.spawn_failures += 1;
            let error = StartError { stage: Stage::Exec, errno: 2, text: String::new() };
            return self.fact(unit, Event::SpawnFailed { run, error });
        }
        let pid = Pid(self.next_pid);
        self.next_pid = self.next_pid.checked_add(1).unwrap_or(1);
        self.processes.insert(run, Process { pid: Some(pid), ..process });
        match process.exe {
            Exe::Main(_) => {
                self.stats.spawns += 1;
                if let Some(range) = script.life {
                    let life = self.rng.between(range);
                    self.after(life, Due::End(run, None));
                }
            }
            Exe::Stop(_) | Exe::Reload(_) => self.after(script.command, Due::End(run, None)),
        }
        self.fact(unit, Event::Spawned { run, pid });
    }

    fn ended(&mut self, run: RunId, by: Option<u8>) {
        let Some(Process { unit, exe, pid: Some(pid) }) = self.processes.get(&run).copied() else { return };
        self.forget(unit, run);
        let by = by.and_then(|n| Signal::from_number(i64::from(n)));
        let exit = match (by, exe) {
            (Some(signal), _) => Exit::Signal { signal, core: false },
            (None, Exe::Main(_)) => self.script(unit).exit,
            (None, Exe::Stop(_) | Exe::Reload(_)) => Exit::Code(0),
        };
        if matches!(exe, Exe::Main(_)) {
            self.stats.exits += 1;
        }
        self.fact(unit, Event::Exited { run, pid, exit });
    }

    fn forget(&mut self, unit: UnitId, run: RunId) {
        self.processes.remove(&run);
        if let Some(main) = self.main_of(unit).filter(|main| **main == Some(run)) {
            *main = None;
        }
    }

    fn send(&mut self, unit: UnitId, run: RunId, signal: Signal) {
        self.stats.signals += 1;
        self.stats.kills += u64::from(signal == Signal::KILL);
        if self.processes.get(&run).is_none_or(|p| p.pid.is_none()) {
            return;
        }
        let script = self.script(unit);
        let number = u8::try_from(signal.number()).ok();
        if self.rng.per_mille(script.kill_fails) {
            self.after(Duration::ZERO, Due::KillFailed(run));
        } else if signal == Signal::KILL {
            self.after(Duration::from_millis(1), Due::End(run, number));
        } else if let Some(pause) = script.heeds {
            self.after(pause, Due::End(run, number));
        }
    }

    fn random_order(&mut self) {
        let Some(pause) = self.operator else { return };
        self.stats.orders += 1;
        let ids: Vec<UnitId> = self.fleet.iter().map(|(id, _)| id).collect();
        let verb = self.rng.below(8);
        let index = usize::try_from(self.rng.below(ids.len() as u64)).unwrap_or(0);
        if let Some(id) = ids.get(index).copied() {
            self.weigh(&[8, verb, u64::from(id.0)]);
            self.give_order(verb, id);
        }
        let next = self.rng.between((Duration::ZERO, pause * 2));
        self.after(next, Due::Operator);
    }

    fn give_order(&mut self, verb: u64, id: UnitId) {
        let Some(spec) = self.fleet.get(id).map(|s| s.spec.clone()) else { return };
        match verb {
            0 | 1 => self.with_fleet(|fleet, now, out| fleet.start(&[id], now, out)),
            2 | 3 => self.with_fleet(|fleet, now, out| fleet.stop(&[id], now, out)),
            4 => self.with_fleet(|fleet, now, out| fleet.restart(&[id], now, out)),
            5 => self.with_fleet(|fleet, now, out| fleet.each(&[id], &Event::Reload, now, out)),
            6 => {
                let mut spec = (*spec).clone();
                spec.priority = spec.priority.wrapping_add(1);
                let spec = Arc::new(spec);
                self.with_fleet(|fleet, now, out| fleet.replace(id, spec, Arc::default(), now, out));
            }
            _ => {
                self.removed.push((spec, self.script(id)));
                self.with_fleet(|fleet, now, out| fleet.remove(id, now, out));
                let pause = self.rng.between((Duration::from_secs(1), Duration::from_secs(60)));
                self.after(pause, Due::Again(self.removed.len() - 1));
            }
        }
    }

    fn add_again(&mut self, i: usize) {
        let Some((spec, script)) = self.removed.get(i).cloned() else { return };
        let now = self.time();
        // Refused while the old unit of this name is still on its way out.
        let Some(id) = self.fleet.add(spec, Arc::default(), now) else { return };
        self.new_slot(script);
        self.fleet.link();
        self.with_fleet(|fleet, now, out| fleet.boot_these(&[id], now, out));
    }

    /// Mixes these numbers into the digest.
    fn weigh(&mut self, numbers: &[u64]) {
        for n in numbers {
            self.digest = (self.digest ^ n).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29);
        }
    }
}

fn note_number(note: &Note) -> u64 {
    match note {
        Note::Changed { .. } => 0,
        Note::Spawned(_) => 1,
        Note::SpawnFailed(_) => 2,
        Note::Exited { expected, .. } => 3 + u64::from(*expected),
        Note::StopDone { expected, .. } => 5 + u64::from(*expected),
        Note::Killing(_) => 7,
        Note::CommandFailed(..) => 8,
        Note::Reloaded => 9,
        Note::Ignored(_) => 10,
    }
}

#[cfg(test)]
mod tests;
