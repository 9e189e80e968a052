//! The laws of supervision, against random histories (habit 19).
//!
//! A small model of the machine carries out what the fleet orders: it knows which spawns are in flight
//! and which processes live. Random orders of an operator and random facts happen to it; after each, the
//! laws are checked; at the end everything is stopped and must come to rest.

mod common;

use common::{commands, exit, ms, secs, sig, start_error, time};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::fmt;
use std::time::Duration;
use supers_core::fleet::{Deed, Fleet, Plan, judge, plan};
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::proc::{Action, Cause, Event, Exe, Note, Phase, State, Want, Word};
use supers_core::snapshot::Origin;
use supers_core::spec::{Curve, ExitSet, Kind, Retry, Spec, StartLimit, When};
use supers_core::time::Now;

/// Units are called `u0` to `u5`.
const UNITS: usize = 6;

#[derive(Clone, Debug)]
enum Op {
    /// Time passes, and the fleet is told when something was due.
    Wait(u16),
    SpawnDone(u8),
    SpawnFails(u8),
    Exits(u8, &'static str),
    KillFails(u8),
    /// A fact about a run of the past.
    Stale(u8, u8),
    Boot,
    Start(u8),
    Stop(u8),
    StopTwo(u8, u8),
    Restart(u8),
    Reload(u8),
    Signal(u8),
    Replace(u8, Told),
    Remove(u8),
    /// The configuration now says this (a reload).
    Apply(Vec<Told>),
    Shutdown(bool),
}

/// A description that is told in one line when a law is broken.
#[derive(Clone)]
struct Told(Box<Spec>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spec { kind, exec, restart: r, stop, stop_exec, order, refused, .. } = &*self.0;
        write!(f, "{} {kind:?}*{} {:?} {:?} {:?} ", self.0.full_name(), exec.len(), r.when, r.retry, r.startsecs)?;
        write!(f, "{:?} {:?} {stop:?} stop*{} {order:?} {refused:?}", r.delay, r.limit, stop_exec.len())
    }
}

fn op() -> impl Strategy<Value = Op> {
    let statuses = prop::sample::select(vec!["0", "0", "1", "2", "TERM", "KILL", "SEGV+core", "?"]);
    prop_oneof![
        6 => prop_oneof![0u16..200, 900..1100u16, 0..20_000u16].prop_map(Op::Wait),
        10 => any::<u8>().prop_map(Op::SpawnDone),
        2 => any::<u8>().prop_map(Op::SpawnFails),
        8 => (any::<u8>(), statuses).prop_map(|(n, how)| Op::Exits(n, how)),
        1 => any::<u8>().prop_map(Op::KillFails),
        3 => any::<(u8, u8)>().prop_map(|(n, kind)| Op::Stale(n, kind)),
        1 => Just(Op::Boot),
        4 => any::<u8>().prop_map(Op::Start),
        4 => any::<u8>().prop_map(Op::Stop),
        1 => any::<(u8, u8)>().prop_map(|(a, b)| Op::StopTwo(a, b)),
        3 => any::<u8>().prop_map(Op::Restart),
        2 => any::<u8>().prop_map(Op::Reload),
        1 => any::<u8>().prop_map(Op::Signal),
        2 => (any::<u8>(), 0..UNITS).prop_flat_map(|(n, i)| spec(i).prop_map(move |s| Op::Replace(n, s))),
        1 => any::<u8>().prop_map(Op::Remove),
        1 => specs().prop_map(Op::Apply),
    ]
}

/// Some of the units, each with a random description.
fn specs() -> impl Strategy<Value = Vec<Told>> {
    let all: Vec<_> = (0..UNITS).map(|i| spec(i).boxed()).collect();
    (all, any::<u8>()).prop_map(|(specs, mask)| {
        let chosen = |i: usize| mask & (1 << i) != 0 || mask == 0;
        specs.into_iter().enumerate().filter(|(i, _)| chosen(*i)).map(|(_, s)| s).collect()
    })
}

fn spec(i: usize) -> impl Strategy<Value = Told> {
    (restart_rules(), life(), stop_rules(), relations(i), (-1..2i32, -1..2i32, any::<u8>())).prop_map(
        move |((restart, retry), (kind, exec, reload, timeout), stop, order, (priority, group, dice))| {
            let mut spec = Spec::new(&format!("u{i}"));
            if dice % 3 == 0 {
                spec.group = "g".into();
            }
            spec.autostart = dice % 5 != 0;
            spec.refused = (dice % 16 == 7).then(|| "broken".into());
            (spec.kind, spec.start_timeout) = (kind, timeout);
            (spec.exec, spec.reload_exec) = (commands(exec), commands(reload));
            (spec.stop, spec.stop_exec) = (stop.0, commands(stop.1));
            (spec.restart, spec.restart.retry) = (restart, retry);
            if kind == Kind::Oneshot && matches!(spec.restart.when, When::Always | When::OnSuccess) {
                // The configuration refuses it: it would never be done.
                spec.restart.when = When::OnFailure;
            }
            (spec.priority, spec.group_priority, spec.order) = (priority, group, order);
            Told(Box::new(spec))
        },
    )
}

type Rules = (supers_core::spec::RestartPolicy, Option<Retry>);

/// Supervisor's, the Go port's and systemd's families.
fn restart_rules() -> impl Strategy<Value = Rules> {
    let when = prop::sample::select(vec![
        When::Never,
        When::Always,
        When::OnSuccess,
        When::OnFailure,
        When::OnAbnormal,
        When::OnAbort,
    ]);
    let linear = |limit| Some(Retry { limit, curve: Curve::Linear(secs(1)) });
    let retry = prop::sample::select(vec![
        None,
        None,
        linear(Some(3)),
        linear(Some(0)),
        linear(None),
        Some(Retry { limit: Some(2), curve: Curve::Fixed(Duration::ZERO) }),
    ]);
    let startsecs = prop::sample::select(vec![Duration::ZERO, secs(1), secs(3)]);
    let delay = prop::sample::select(vec![Duration::ZERO, ms(100), secs(5)]);
    let limit = prop::sample::select(vec![
        None,
        None,
        Some(StartLimit { burst: 2, interval: secs(10) }),
        Some(StartLimit { burst: 0, interval: secs(10) }),
    ]);
    let set = prop::sample::select(vec![
        ExitSet::default(),
        ExitSet { codes: vec![2], signals: vec![] },
        ExitSet { codes: vec![1], signals: vec![sig(15)] },
    ]);
    (when, retry, startsecs, delay, limit, (set.clone(), set)).prop_map(
        |(when, retry, startsecs, delay, limit, (prevent, force))| {
            let default = supers_core::spec::RestartPolicy::default();
            let rules =
                supers_core::spec::RestartPolicy { when, startsecs, delay, limit, prevent, force, ..default };
            (rules, retry)
        },
    )
}

fn life() -> impl Strategy<Value = (Kind, usize, usize, Option<Duration>)> {
    let oneshot = (1..4usize, 0..2usize, prop::sample::select(vec![None, Some(secs(2)), Some(Duration::ZERO)]));
    prop_oneof![
        3 => (0..3usize).prop_map(|reload| (Kind::Simple, 1, reload, None)),
        1 => oneshot.prop_map(|(n, reload, timeout)| (Kind::Oneshot, n, reload, timeout)),
    ]
}

/// INI's ladder and those of the KillModes; and stop commands.
fn stop_rules() -> impl Strategy<Value = (supers_core::spec::StopPolicy, usize)> {
    let ladder = prop::sample::select(vec![vec![15], vec![3, 15], vec![]]);
    let wait = prop::sample::select(vec![Some(secs(10)), Some(Duration::ZERO), Some(secs(90))]);
    (ladder, wait, any::<[bool; 4]>(), prop::sample::select(vec![0, 0, 1, 2])).prop_map(
        |(ladder, wait, [kill, group, kill_group, sweep], commands)| {
            let signals = ladder.into_iter().map(sig).collect();
            (supers_core::spec::StopPolicy { signals, wait, kill, group, kill_group, sweep }, commands)
        },
    )
}

/// Relations to any other, circles and unknown names included.
fn relations(me: usize) -> impl Strategy<Value = supers_core::spec::Order> {
    // Each of two random masks must agree: relations are few.
    any::<[(u8, u8); 4]>().prop_map(move |masks| {
        let names = |(a, b): (u8, u8)| {
            let chosen = |i: &usize| *i != me && a & b & (1 << i) != 0;
            (0..UNITS + 1).filter(chosen).map(|i| format!("u{i}")).collect::<Vec<String>>()
        };
        let [after, before, requires, wants] = masks.map(names);
        supers_core::spec::Order { after, before: if before.len() > 1 { vec![] } else { before }, requires, wants }
    })
}

/// A process from the order to spawn it to its end.
#[derive(Clone, Copy, Debug)]
struct Process {
    unit: UnitId,
    exe: Exe,
    /// `None` while the spawn is in flight.
    pid: Option<Pid>,
    /// It was sent KILL.
    killed: bool,
    signalled: bool,
}

#[derive(Default)]
struct World {
    fleet: Fleet,
    clock: Duration,
    processes: BTreeMap<RunId, Process>,
    /// Outlived their stop and may not be killed.
    let_go: BTreeSet<RunId>,
    past: Vec<(UnitId, RunId)>,
    last_run: RunId,
    /// Stopped by the operator, and not started since by anything.
    stopped: BTreeSet<UnitId>,
    to_remove: BTreeSet<UnitId>,
    removed: BTreeSet<UnitId>,
    all_down: usize,
    /// The history, for whoever has to find out.
    log: Vec<String>,
}

impl World {
    fn new(specs: Vec<Told>) -> World {
        let mut world = World::default();
        for spec in specs {
            world.fleet.add(Arc::new(*spec.0), Arc::new(Origin::default()), time(Duration::ZERO));
        }
        world.fleet.link();
        world
    }

    fn ids(&self) -> Vec<UnitId> {
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

    fn told(&self) -> String {
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
                let swept = self.fleet.get(unit).is_none_or(|s| s.spec.stop.sweep || s.future_spec().is_some());
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

    fn spawn_done(&mut self, run: RunId) {
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

    fn ends(&mut self, run: RunId, how: &str) {
        let Some(Process { unit, pid: Some(pid), .. }) = self.processes.get(&run).copied() else { return };
        self.processes.remove(&run);
        self.past.push((unit, run));
        let old = self.let_go.contains(&run);
        let before = self.fleet.get(unit).map(|s| s.unit.clone());
        self.fact(unit, Event::Exited { run, pid, exit: exit(how) });
        assert!(!old || before == self.fleet.get(unit).map(|s| s.unit.clone()), "let go, and yet heard{}", self.told());
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
    fn wait(&mut self, span: Duration) {
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

    fn happen(&mut self, op: Op) {
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

    fn stop(&mut self, ids: &[UnitId]) {
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
    fn rest(&mut self, willing: bool) {
        for _ in 0..200 {
            let flying: Vec<RunId> = runs(&self.processes, |p| p.pid.is_none());
            flying.into_iter().for_each(|run| self.spawn_done(run));
            // A stop command ends by itself; a process that was let go may live as long as it likes.
            let beyond = |p: &Process| self.fleet.get(p.unit).is_some_and(|s| s.unit.state.kind() == Word::Unknown);
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

    fn check_all_down(&self) {
        for (id, slot) in self.fleet.iter() {
            assert!(slot.unit.state.is_down(), "{id:?} is {:?}{}", slot.unit.state, self.told());
            assert!(!self.to_remove.contains(&id) || self.fleet.is_stopping(), "{id:?} is not gone{}", self.told());
            let ticket = supers_core::fleet::Ticket { verb: supers_core::control::Verb::Stop, run: slot.unit.run };
            assert!(judge(ticket, slot).is_some(), "a stop without an answer{}", self.told());
        }
    }
}

fn is_main(p: &Process) -> bool {
    matches!(p.exe, Exe::Main(_))
}

fn runs(all: &BTreeMap<RunId, Process>, wanted: impl Fn(&Process) -> bool) -> Vec<RunId> {
    all.iter().filter(|(_, p)| wanted(p)).map(|(r, _)| *r).collect()
}

fn shorten(deeds: &[Deed]) -> String {
    let words = deeds.iter().map(|d| match d {
        Deed::Unit(id, action) => format!("{} {}", id.0, common::brief(action)),
        Deed::Removed(_) | Deed::AllDown => format!("{d:?}"),
    });
    words.collect::<Vec<_>>().join(", ")
}

fn histories() -> impl Strategy<Value = (Vec<Told>, Vec<Op>)> {
    (specs(), vec(op(), 1..90))
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_stop_brings_all_down((specs, ops) in histories(), willing: bool) {
        let mut world = World::new(specs);
        world.happen(Op::Boot);
        ops.into_iter().for_each(|op| world.happen(op));
        let ids = world.ids();
        world.stop(&ids);
        world.rest(willing);
        world.check_all_down();
        prop_assert_eq!(world.all_down, 0, "nobody asked for a shutdown");
    }

    #[test]
    fn a_shutdown_ends((specs, ops) in histories(), more in vec(op(), 0..40), by_one: bool, willing: bool) {
        let mut world = World::new(specs);
        world.happen(Op::Boot);
        ops.into_iter().for_each(|op| world.happen(op));
        world.happen(Op::Shutdown(by_one));
        more.into_iter().for_each(|op| world.happen(op));
        world.happen(Op::Shutdown(!by_one));
        world.rest(willing);
        world.check_all_down();
        prop_assert_eq!(world.all_down, 1, "{}", world.told());
    }

    /// Left alone, a fleet neither hangs in a held start nor forgets a unit.
    #[test]
    fn whoever_is_held_gets_its_turn((specs, ops) in histories()) {
        let mut world = World::new(specs);
        world.happen(Op::Boot);
        ops.into_iter().for_each(|op| world.happen(op));
        for _ in 0..200 {
            runs(&world.processes, |p| p.pid.is_none()).into_iter().for_each(|run| world.spawn_done(run));
            let is_oneshot = |p: &Process| world.fleet.get(p.unit).is_some_and(|s| s.spec.kind == Kind::Oneshot);
            let ended = |p: &Process| p.signalled || is_oneshot(p) || !is_main(p);
            runs(&world.processes, ended).into_iter().for_each(|run| world.ends(run, "0"));
            if runs(&world.processes, |p| p.pid.is_none()).is_empty() {
                let next = world.fleet.deadline().map_or(Duration::ZERO, |at| Duration::from_nanos(at.0));
                world.wait(next.saturating_sub(world.clock));
            }
        }
        for (id, slot) in world.fleet.iter() {
            prop_assert!(slot.unit.state != State::Held, "{:?} is held for ever{}", id, world.told());
        }
    }
}
