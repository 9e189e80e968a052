//! The model of the machine, and the laws that hold after each event.

use crate::common::{brief, exit, ms, secs, sig, start_error, time};
use crate::histories::{Op, Told};
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;
use supers_core::control::Verb;
use supers_core::fleet::{Deed, Fleet, Plan, Ticket, judge, plan};
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::proc::{Action, Cause, Event, Exe, Note, Phase, State, Want, Word};
use supers_core::snapshot::Origin;
use supers_core::spec::{Kind, Spec};
use supers_core::time::Now;

/// A process from the order to spawn it to its end.
#[derive(Clone, Copy, Debug)]
pub struct Process {
    pub unit: UnitId,
    pub exe: Exe,
    /// `None` while the spawn is in flight.
    pub pid: Option<Pid>,
    /// It was sent KILL.
    pub killed: bool,
    pub signalled: bool,
}

#[derive(Default)]
pub struct World {
    pub fleet: Fleet,
    pub clock: Duration,
    pub processes: BTreeMap<RunId, Process>,
    /// Outlived their stop and may not be killed.
    let_go: BTreeSet<RunId>,
    past: Vec<(UnitId, RunId)>,
    last_run: RunId,
    /// Stopped by the operator, and not started since by anything.
    stopped: BTreeSet<UnitId>,
    to_remove: BTreeSet<UnitId>,
    removed: BTreeSet<UnitId>,
    pub all_down: usize,
    /// The history, for whoever has to find out.
    log: Vec<String>,
}

impl World {
    pub fn new(specs: Vec<Told>) -> World {
        let mut world = World::default();
        for spec in specs {
            world.fleet.add(Arc::new(*spec.0), Arc::new(Origin::default()), time(Duration::ZERO));
        }
        world.fleet.link();
        world
    }

    pub fn ids(&self) -> Vec<UnitId> {
        self.fleet.iter().map(|(id, _)| id).collect()
    }

    fn pick(&self, n: u8) -> Option<UnitId> {
        let ids = self.ids();
        (!ids.is_empty()).then(|| ids[usize::from(n) % ids.len()])
    }

    fn pick_run(&self, n: u8, wanted: impl Fn(&Process) -> bool) -> Option<(RunId, Process)> {
        let all: Vec<_> = self.processes.iter().filter(|(_, p)| wanted(p)).collect();
        (!all.is_empty()).then(|| all[usize::from(n) % all.len()]).map(|(r, p)| (*r, *p))
    }

    /// One call of the fleet, its deeds carried out, the laws checked.
    fn call(&mut self, what: String, f: impl FnOnce(&mut Fleet, Now, &mut Vec<Deed>)) {
        let mut deeds = Vec::new();
        f(&mut self.fleet, time(self.clock), &mut deeds);
        self.log.push(format!("{:?} {what} -> {}", self.clock, shorten(&deeds)));
        assert!(deeds.len() < 5_000, "the fleet does not come to rest{}", self.told());
        for deed in deeds {
            self.carry_out(deed);
        }
        self.fleet.take_dirty();
        self.check();
    }

    pub fn told(&self) -> String {
        format!("\n{}", self.log.join("\n"))
    }

    fn fact(&mut self, unit: UnitId, event: Event) {
        self.call(format!("{unit:?} {event:?}"), |fleet, now, out| fleet.fact(unit, event, now, out));
    }

    fn carry_out(&mut self, deed: Deed) {
        match deed {
            Deed::Unit(unit, Action::Spawn { run, exe }) => self.order_spawn(unit, run, exe),
            Deed::Unit(_, Action::Signal { run, signal, .. }) => {
                if let Some(p) = self.processes.get_mut(&run) {
                    p.signalled = true;
                    p.killed |= signal == sig(9);
                }
            }
            Deed::Unit(unit, Action::Sweep { run, .. }) => {
                let swept =
                    self.fleet.get(unit).is_none_or(|s| s.spec.stop.sweep || s.future_spec().is_some());
                assert!(swept && self.past.contains(&(unit, run)), "sweep of {run:?}{}", self.told());
            }
            Deed::Unit(unit, Action::Note(Note::Changed { from, to, .. })) => {
                assert_ne!(from, to, "a change to the same{}", self.told());
                if to == Word::Fatal {
                    // Whether it may be so is checked when all is done: see `check`.
                    self.let_go.extend(runs(&self.processes, |p| p.unit == unit && is_main(p)));
                }
            }
            Deed::Unit(_, Action::Note(_)) => {}
            Deed::Removed(unit) => {
                assert!(self.to_remove.contains(&unit), "{unit:?} removed by nobody{}", self.told());
                assert!(self.removed.insert(unit), "{unit:?} removed twice{}", self.told());
                assert!(self.fleet.get(unit).is_none());
            }
            Deed::AllDown => self.all_down += 1,
        }
    }

    fn order_spawn(&mut self, unit: UnitId, run: RunId, exe: Exe) {
        let told = || self.told();
        assert!(run > self.last_run, "{run:?} is not fresh{}", told());
        let slot = self.fleet.get(unit);
        if let Exe::Main(_) = exe {
            assert!(!self.stopped.contains(&unit), "{unit:?} is wanted down, and started{}", told());
            assert!(slot.is_none_or(|s| s.unit.want == Want::Up), "{unit:?} not wanted{}", told());
            let mut other = self.processes.iter().filter(|(_, p)| p.unit == unit && is_main(p));
            let twice = other.any(|(r, _)| !self.let_go.contains(r));
            assert!(!twice, "{unit:?} runs twice{}", told());
        }
        if !matches!(exe, Exe::Stop(_)) {
            assert!(!self.fleet.is_stopping(), "{exe:?} of {unit:?} during the shutdown{}", told());
        }
        self.last_run = run;
        self.processes.insert(run, Process { unit, exe, pid: None, killed: false, signalled: false });
    }

    fn check(&mut self) {
        let mut first = None;
        for (id, slot) in self.fleet.iter() {
            let state = &slot.unit.state;
            first = first.into_iter().chain(state.deadline()).min();
            self.check_waiting(id, state);
            if state.is_down() {
                let settled = slot.future_spec() == Some(&slot.spec);
                assert!(settled, "{id:?} is down and still to be changed{}", self.told());
            }
            if let Some((run, _)) = slot.unit.reloading {
                assert!(self.processes.contains_key(&run), "{id:?} waits for no reload{}", self.told());
            }
        }
        assert_eq!(self.fleet.deadline(), first, "the list of deadlines is wrong{}", self.told());
    }

    /// Each state that waits, waits for something that can happen.
    fn check_waiting(&self, id: UnitId, state: &State) {
        let alive = |run: &RunId, pid: &Option<Pid>| self.processes.get(run).is_some_and(|p| p.pid == *pid);
        let good = match state {
            State::Fatal { cause: Cause::LeftRunning(_) } => true,
            State::Stopped { .. } | State::Exited { .. } | State::Fatal { .. } => {
                let mut own = self.processes.iter().filter(|(_, p)| p.unit == id && is_main(p));
                own.all(|(r, _)| self.let_go.contains(r))
            }
            State::Held => !self.fleet.waits_for(id).is_empty(),
            State::Starting { run, pid, until, .. } => {
                let simple = self.fleet.get(id).is_some_and(|s| s.spec.kind == Kind::Simple);
                alive(run, pid) && (pid.is_none() || !simple || until.is_some())
            }
            State::Running { run, pid, .. } | State::Unknown { run, pid } => alive(run, &Some(*pid)),
            State::Backoff { attempt, .. } => state.deadline().is_some() && *attempt > 0,
            State::Stopping { run, pid, phase, .. } => {
                let command = match phase {
                    Phase::Command { aux, .. } => self.processes.contains_key(aux),
                    Phase::Signal(_) | Phase::Kill => true,
                };
                alive(run, pid) && command
            }
        };
        assert!(good, "{id:?} waits for nothing: {state:?}{}", self.told());
    }

    pub fn spawn_done(&mut self, run: RunId) {
        let Some(p) = self.processes.get_mut(&run) else { return };
        let (unit, pid) = (p.unit, Pid(i32::try_from(run.0).unwrap()));
        p.pid = Some(pid);
        let wanted = self.fleet.get(unit).is_some_and(|s| s.unit.knows(run));
        if wanted {
            self.fact(unit, Event::Spawned { run, pid });
        } else if let Some(p) = self.processes.get_mut(&run) {
            // The engine does so with what nobody wants any more.
            p.killed = true;
        }
    }

    pub fn ends(&mut self, run: RunId, how: &str) {
        let Some(Process { unit, pid: Some(pid), .. }) = self.processes.get(&run).copied() else { return };
        self.processes.remove(&run);
        self.past.push((unit, run));
        let old = self.let_go.contains(&run);
        let before = self.fleet.get(unit).map(|s| s.unit.clone());
        self.fact(unit, Event::Exited { run, pid, exit: exit(how) });
        assert!(
            !old || before == self.fleet.get(unit).map(|s| s.unit.clone()),
            "let go, and yet heard{}",
            self.told()
        );
    }

    /// Facts of the past change nothing.
    fn stale(&mut self, n: u8, kind: u8) {
        if self.past.is_empty() {
            return;
        }
        let (unit, run) = self.past[usize::from(n) % self.past.len()];
        let event = match kind % 4 {
            0 => Event::Exited { run, pid: Pid(1), exit: exit("1") },
            1 => Event::Spawned { run, pid: Pid(1) },
            2 => Event::SpawnFailed { run, error: start_error() },
            _ => Event::KillFailed { run },
        };
        let units = |fleet: &Fleet| fleet.iter().map(|(_, s)| s.unit.clone()).collect::<Vec<_>>();
        let before = units(&self.fleet);
        let mut deeds = Vec::new();
        self.fleet.fact(unit, event, time(self.clock), &mut deeds);
        assert_eq!(deeds, []);
        assert_eq!(before, units(&self.fleet), "a fact of the past was heard{}", self.told());
        assert!(self.fleet.take_dirty().is_empty(), "a fact of the past is published{}", self.told());
    }

    /// `wait` at most `span`, stopping at each deadline on the way.
    pub fn wait(&mut self, span: Duration) {
        let end = self.clock + span;
        for turn in 0.. {
            assert!(turn < 1_000, "deadlines without end{}", self.told());
            match self.fleet.deadline().map(|at| Duration::from_nanos(at.0)) {
                Some(at) if at <= end => {
                    self.clock = self.clock.max(at);
                    self.call("tick".into(), |fleet, now, out| fleet.tick(now, out));
                    let over = self.fleet.deadline().is_some_and(|at| at <= time(self.clock).mono);
                    assert!(!over, "a tick left something due{}", self.told());
                }
                _ => break,
            }
        }
        self.clock = end;
    }

    pub fn happen(&mut self, op: Op) {
        match op {
            Op::Wait(n) => self.wait(ms(n.into())),
            Op::SpawnDone(n) => {
                if let Some((run, _)) = self.pick_run(n, |p| p.pid.is_none()) {
                    self.spawn_done(run);
                }
            }
            Op::SpawnFails(n) => {
                if let Some((run, p)) = self.pick_run(n, |p| p.pid.is_none()) {
                    self.processes.remove(&run);
                    self.past.push((p.unit, run));
                    self.fact(p.unit, Event::SpawnFailed { run, error: start_error() });
                }
            }
            Op::Exits(n, how) => {
                if let Some((run, _)) = self.pick_run(n, |p| p.pid.is_some()) {
                    self.ends(run, how);
                }
            }
            Op::KillFails(n) => {
                if let Some((run, p)) = self.pick_run(n, |p| p.pid.is_some() && p.signalled) {
                    self.fact(p.unit, Event::KillFailed { run });
                }
            }
            Op::Stale(n, kind) => self.stale(n, kind),
            Op::Boot => {
                self.stopped.clear();
                self.call("boot".into(), |fleet, now, out| fleet.boot(now, out));
            }
            Op::Shutdown(one_by_one) => {
                self.call("shutdown".into(), |fleet, now, out| fleet.shutdown(one_by_one, now, out));
            }
            Op::Apply(specs) => self.apply(specs),
            Op::Start(n)
            | Op::Stop(n)
            | Op::StopTwo(n, _)
            | Op::Restart(n)
            | Op::Reload(n)
            | Op::Signal(n)
            | Op::Replace(n, _)
            | Op::Remove(n) => {
                if let Some(id) = self.pick(n) {
                    self.order(op, id);
                }
            }
        }
    }

    fn order(&mut self, op: Op, id: UnitId) {
        let what = format!("{op:?} {id:?}");
        match op {
            Op::Start(_) => {
                // A start pulls in others.
                self.stopped.clear();
                self.call(what, |fleet, now, out| fleet.start(&[id], now, out));
            }
            Op::Stop(_) => self.stop(&[id]),
            Op::StopTwo(_, n) => {
                let ids: Vec<UnitId> = [Some(id), self.pick(n)].into_iter().flatten().collect();
                self.stop(&ids);
            }
            Op::Restart(_) => {
                self.stopped.remove(&id);
                self.call(what, |fleet, now, out| fleet.restart(&[id], now, out));
            }
            Op::Reload(_) => self.call(what, |fleet, now, out| fleet.each(&[id], &Event::Reload, now, out)),
            Op::Signal(_) => {
                let event = Event::Signal(sig(1));
                self.call(what, |fleet, now, out| fleet.each(&[id], &event, now, out));
            }
            Op::Replace(_, spec) => {
                // The name stays: it is the same unit.
                let mut spec = *spec.0;
                let old = self.fleet.get(id).unwrap().spec.clone();
                (spec.name, spec.group, spec.program) =
                    (old.name.clone(), old.group.clone(), old.program.clone());
                self.replace(id, spec);
            }
            Op::Remove(_) => self.remove(id),
            Op::Wait(_)
            | Op::SpawnDone(_)
            | Op::SpawnFails(_)
            | Op::Exits(..)
            | Op::KillFails(_)
            | Op::Stale(..)
            | Op::Boot
            | Op::Apply(_)
            | Op::Shutdown(_) => {}
        }
    }

    pub fn stop(&mut self, ids: &[UnitId]) {
        self.stopped.extend(ids);
        self.call(format!("stop {ids:?}"), |fleet, now, out| fleet.stop(ids, now, out));
        for id in ids {
            let wanted = self.fleet.get(*id).is_some_and(|s| s.unit.want == Want::Up);
            assert!(!wanted, "{id:?} is wanted after a stop{}", self.told());
        }
    }

    fn replace(&mut self, id: UnitId, spec: Spec) {
        let comes_back = self.to_remove.remove(&id);
        if comes_back {
            self.stopped.remove(&id);
        }
        let what = format!("replace {id:?}");
        self.call(what, |fleet, now, out| {
            fleet.replace(id, Arc::new(spec), Arc::new(Origin::default()), now, out);
        });
    }

    fn remove(&mut self, id: UnitId) {
        self.to_remove.insert(id);
        self.call(format!("remove {id:?}"), |fleet, now, out| fleet.remove(id, now, out));
    }

    /// A reload, as the engine does it.
    fn apply(&mut self, specs: Vec<Told>) {
        let wanted = specs.into_iter().map(|s| (Arc::new(*s.0), Arc::new(Origin::default()))).collect();
        let Plan { added, changed, removed, same, kept: _ } = plan(&self.fleet, wanted);
        for id in removed {
            self.remove(id);
        }
        for (id, (spec, _)) in changed.into_iter().chain(same) {
            self.replace(id, (*spec).clone());
        }
        let new: Vec<UnitId> =
            added.into_iter().filter_map(|(s, o)| self.fleet.add(s, o, time(self.clock))).collect();
        self.fleet.link();
        self.stopped.clear();
        self.call("boot the new".into(), |fleet, now, out| fleet.boot_these(&new, now, out));
    }

    /// Things come to rest: spawns are done, and processes end, all (`willing`) or only those that are
    /// killed while time passes.
    pub fn rest(&mut self, willing: bool) {
        for _ in 0..200 {
            let flying: Vec<RunId> = runs(&self.processes, |p| p.pid.is_none());
            flying.into_iter().for_each(|run| self.spawn_done(run));
            // A stop command ends by itself; a process that was let go may live as long as it likes.
            let beyond =
                |p: &Process| self.fleet.get(p.unit).is_some_and(|s| s.unit.state.kind() == Word::Unknown);
            let ends = |p: &Process| willing || p.killed || !is_main(p) || beyond(p);
            for run in runs(&self.processes, ends) {
                self.ends(run, "0");
            }
            self.wait(secs(100));
            let idle = self.processes.keys().all(|r| self.let_go.contains(r));
            if idle && self.fleet.deadline().is_none() {
                return;
            }
        }
        panic!("no rest: {:?}{}", self.processes, self.told());
    }

    pub fn check_all_down(&self) {
        for (id, slot) in self.fleet.iter() {
            assert!(slot.unit.state.is_down(), "{id:?} is {:?}{}", slot.unit.state, self.told());
            assert!(
                !self.to_remove.contains(&id) || self.fleet.is_stopping(),
                "{id:?} is not gone{}",
                self.told()
            );
            let ticket = Ticket { verb: Verb::Stop, run: slot.unit.run };
            assert!(judge(ticket, slot).is_some(), "a stop without an answer{}", self.told());
        }
    }
}

pub fn is_main(p: &Process) -> bool {
    matches!(p.exe, Exe::Main(_))
}

pub fn runs(all: &BTreeMap<RunId, Process>, wanted: impl Fn(&Process) -> bool) -> Vec<RunId> {
    all.iter().filter(|(_, p)| wanted(p)).map(|(r, _)| *r).collect()
}

fn shorten(deeds: &[Deed]) -> String {
    let words = deeds.iter().map(|d| match d {
        Deed::Unit(id, action) => format!("{} {}", id.0, brief(action)),
        Deed::Removed(_) | Deed::AllDown => format!("{d:?}"),
    });
    words.collect::<Vec<_>>().join(", ")
}
