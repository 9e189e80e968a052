//! Random units and what happens to them.

use crate::common::{commands, ms, secs, sig};
use proptest::collection::vec;
use proptest::prelude::*;
use std::fmt;
use std::time::Duration;
use supers_core::spec::{
    Curve, ExitSet, Kind, Order, RestartPolicy, Retry, Spec, StartLimit, StopPolicy, When,
};

/// Units are called `u0` to `u5`.
const UNITS: usize = 6;

#[derive(Clone, Debug)]
pub enum Op {
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
pub struct Told(pub Box<Spec>);

impl fmt::Debug for Told {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Spec { kind, exec, restart: r, stop, stop_exec, order, refused, .. } = &*self.0;
        write!(
            f,
            "{} {kind:?}*{} {:?} {:?} {:?} ",
            self.0.full_name(),
            exec.len(),
            r.when,
            r.retry,
            r.startsecs
        )?;
        write!(f, "{:?} {:?} {stop:?} stop*{} {order:?} {refused:?}", r.delay, r.limit, stop_exec.len())
    }
}

pub fn op() -> impl Strategy<Value = Op> {
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
pub fn specs() -> impl Strategy<Value = Vec<Told>> {
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
            (spec.exec, spec.reload_exec) = (commands(exec).into(), commands(reload));
            (spec.stop, spec.stop_exec) = (stop.0.into(), commands(stop.1));
            spec.restart = RestartPolicy { retry, ..restart }.into();
            if kind == Kind::Oneshot && matches!(spec.restart.when, When::Always | When::OnSuccess) {
                // The configuration refuses it: it would never be done.
                spec.restart.when = When::OnFailure;
            }
            (spec.priority, spec.group_priority, spec.order) = (priority, group, order.into());
            Told(Box::new(spec))
        },
    )
}

type Rules = (RestartPolicy, Option<Retry>);

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
            let default = RestartPolicy::default();
            let rules = RestartPolicy { when, startsecs, delay, limit, prevent, force, ..default };
            (rules, retry)
        },
    )
}

fn life() -> impl Strategy<Value = (Kind, usize, usize, Option<Duration>)> {
    let oneshot =
        (1..4usize, 0..2usize, prop::sample::select(vec![None, Some(secs(2)), Some(Duration::ZERO)]));
    prop_oneof![
        3 => (0..3usize).prop_map(|reload| (Kind::Simple, 1, reload, None)),
        1 => oneshot.prop_map(|(n, reload, timeout)| (Kind::Oneshot, n, reload, timeout)),
    ]
}

/// INI's ladder and those of the KillModes; and stop commands.
fn stop_rules() -> impl Strategy<Value = (StopPolicy, usize)> {
    let ladder = prop::sample::select(vec![vec![15], vec![3, 15], vec![]]);
    let wait = prop::sample::select(vec![Some(secs(10)), Some(Duration::ZERO), Some(secs(90))]);
    (ladder, wait, any::<[bool; 4]>(), prop::sample::select(vec![0, 0, 1, 2])).prop_map(
        |(ladder, wait, [kill, group, kill_group, sweep], commands)| {
            let signals = ladder.into_iter().map(sig).collect();
            (StopPolicy { signals, wait, kill, group, kill_group, sweep, sweep_stop: false }, commands)
        },
    )
}

/// Relations to any other, circles and unknown names included.
fn relations(me: usize) -> impl Strategy<Value = Order> {
    // Each of two random masks must agree: relations are few.
    any::<[(u8, u8); 4]>().prop_map(move |masks| {
        let names = |(a, b): (u8, u8)| {
            let chosen = |i: &usize| *i != me && a & b & (1 << i) != 0;
            (0..UNITS + 1).filter(chosen).map(|i| format!("u{i}")).collect::<Vec<String>>()
        };
        let [after, before, requires, wants] = masks.map(names);
        Order { after, before: if before.len() > 1 { vec![] } else { before }, requires, wants }
    })
}

pub fn histories() -> impl Strategy<Value = (Vec<Told>, Vec<Op>)> {
    (specs(), vec(op(), 1..90))
}
