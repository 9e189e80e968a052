//! The life of one unit, decided.

use super::ending::{End, failed_start, judge};
use super::{Action, Cause, Event, Exe, Note, Phase, State, Trouble, Unit, Want};
use crate::control::Verb;
use crate::exit::{Exit, StartError};
use crate::ids::{Pid, RunId};
use crate::signal::Signal;
use crate::spec::{Kind, Spec};
use crate::time::{Mono, Now};
use alloc::boxed::Box;
use alloc::vec::Vec;
use core::time::Duration;

/// KILL is not repeated faster than this.
const MIN_KILL_PAUSE: Duration = Duration::from_secs(1);

/// What a step may look at and write to.
pub struct Cx<'a> {
    /// The unit's description.
    pub spec: &'a Spec,
    /// The time.
    pub now: Now,
    /// Source of fresh runs.
    pub next_run: &'a mut u64,
    /// What is to be done, in order.
    pub out: &'a mut Vec<Action>,
}

impl Cx<'_> {
    fn fresh(&mut self) -> RunId {
        *self.next_run += 1;
        RunId(*self.next_run)
    }

    pub(super) fn note(&mut self, note: Note) {
        self.out.push(Action::Note(note));
    }

    fn signal(&mut self, run: RunId, signal: Signal, group: bool) {
        self.out.push(Action::Signal { run, signal, group });
    }
}

/// Decides what `unit` does about `event`. Every pair of state and event has an answer here; a fact
/// about a run of the past is dropped.
pub fn step(unit: &mut Unit, event: &Event, cx: &mut Cx<'_>) {
    if event.run().is_some_and(|r| !unit.knows(r)) {
        return;
    }
    // From here on a fact is about the main run, or about a stop or reload command in progress.
    match event {
        Event::Start { hold, by_hand } => start(unit, *hold, *by_hand, cx),
        Event::Release => release(unit, cx),
        Event::Abandon(cause) => abandon(unit, cause, cx),
        Event::Stop { shutdown } => stop(unit, *shutdown, cx),
        Event::Restart => restart(unit, cx),
        Event::Reload => reload(unit, cx),
        Event::Signal(signal) => signalled(unit, *signal, cx),
        Event::Spawned { run, pid } => spawned(unit, *run, *pid, cx),
        Event::SpawnFailed { run, error } => spawn_failed(unit, *run, error, cx),
        Event::Exited { run, pid, exit } => exited(unit, *run, *pid, *exit, cx),
        Event::KillFailed { run } => kill_failed(unit, *run, cx),
        Event::Tick => tick(unit, cx),
    }
}

/// The one way into a state.
pub(super) fn enter(unit: &mut Unit, next: State, cx: &mut Cx<'_>) {
    let (from, to) = (unit.state.kind(), next.kind());
    let pid = next.pid().or(unit.state.pid());
    let expected = matches!(next, State::Exited { expected: true, .. });
    unit.state = next;
    if from != to {
        unit.since = cx.now.wall;
        cx.note(Note::Changed { from, to, tries: unit.failures, pid, expected });
    }
}

fn start(unit: &mut Unit, hold: bool, by_hand: bool, cx: &mut Cx<'_>) {
    unit.want = Want::Up;
    match &unit.state {
        State::Stopped { .. } | State::Exited { .. } | State::Fatal { .. } | State::Backoff { .. } => {
            if by_hand {
                begin_anew(unit);
            }
            if hold && cx.spec.refused.is_none() {
                enter(unit, State::Held, cx)
            } else {
                launch(unit, true, cx)
            }
        }
        State::Held if !hold => launch(unit, true, cx),
        // Up already, or on its way; a stop in progress turns round when the process is gone.
        State::Held
        | State::Starting { .. }
        | State::Running { .. }
        | State::Stopping { .. }
        | State::Unknown { .. } => cx.note(Note::Ignored(Verb::Start)),
    }
}

/// An operator's start forgets what went before.
fn begin_anew(unit: &mut Unit) {
    unit.failures = 0;
    unit.restarts = 0;
}

fn release(unit: &mut Unit, cx: &mut Cx<'_>) {
    if unit.state == State::Held && unit.want == Want::Up {
        launch(unit, true, cx);
    }
}

fn abandon(unit: &mut Unit, cause: &Cause, cx: &mut Cx<'_>) {
    if unit.state == State::Held {
        enter(unit, State::Fatal { cause: cause.clone() }, cx);
    }
}

/// STOPPED, EXITED, FATAL, BACKOFF, held -> STARTING, or FATAL when the limit is reached.
pub(super) fn launch(unit: &mut Unit, wished: bool, cx: &mut Cx<'_>) {
    if let Some(why) = &cx.spec.refused {
        return enter(unit, State::Fatal { cause: Cause::Refused(why.clone()) }, cx);
    }
    if let Some(cause) = over_limit(unit, wished, cx) {
        return enter(unit, State::Fatal { cause }, cx);
    }
    if !wished {
        unit.restarts = unit.restarts.saturating_add(1);
    }
    let (run, begun) = (cx.fresh(), cx.now.mono);
    let until = match cx.spec.kind {
        Kind::Simple => None,
        Kind::Oneshot => cx.spec.start_timeout.filter(|t| !t.is_zero()).map(|t| begun + t),
    };
    unit.run = run;
    unit.started = Some(cx.now.wall);
    unit.trouble = None;
    enter(unit, State::Starting { run, pid: None, index: 0, begun, until }, cx);
    cx.out.push(Action::Spawn { run, exe: Exe::Main(0) });
}

/// Counts this start. The cause, when it is one too many; a wished start is counted, never refused.
fn over_limit(unit: &mut Unit, wished: bool, cx: &Cx<'_>) -> Option<Cause> {
    let limit = cx.spec.restart.limit.filter(|l| l.burst > 0 && !l.interval.is_zero())?;
    let now = cx.now.mono;
    while unit.recent.front().is_some_and(|t| now.since(*t) >= limit.interval) {
        unit.recent.pop_front();
    }
    let full = unit.recent.len() >= limit.burst as usize;
    if full && !wished {
        let last = match &unit.state {
            State::Backoff { cause, .. } | State::Exited { cause, .. } => cause.clone(),
            State::Stopped { .. }
            | State::Held
            | State::Starting { .. }
            | State::Running { .. }
            | State::Stopping { .. }
            | State::Fatal { .. }
            | State::Unknown { .. } => Cause::Asked,
        };
        return Some(Cause::Limit { burst: limit.burst, interval: limit.interval, last: Box::new(last) });
    }
    if full {
        unit.recent.pop_front();
    }
    unit.recent.push_back(now);
    None
}

fn stop(unit: &mut Unit, shutdown: bool, cx: &mut Cx<'_>) {
    unit.want = Want::Down;
    let cause = if shutdown { Cause::Shutdown } else { Cause::Asked };
    match unit.state.clone() {
        State::Held => enter(unit, State::Stopped { cause }, cx),
        // supervisor-contract 5: a shutdown that reaches a BACKOFF makes it FATAL.
        State::Backoff { cause, .. } if shutdown => enter(unit, State::Fatal { cause }, cx),
        State::Backoff { .. } => enter(unit, State::Stopped { cause }, cx),
        State::Starting { run, pid, .. } => begin_stop(unit, run, pid, false, cx),
        State::Running { run, pid, .. } | State::Unknown { run, pid } => {
            begin_stop(unit, run, Some(pid), false, cx);
        }
        State::Stopped { .. } | State::Exited { .. } | State::Fatal { .. } => {
            cx.note(Note::Ignored(Verb::Stop))
        }
        // Now it is a stop that somebody asked for, whatever began it.
        State::Stopping { run, pid, phase, next_at, .. } => {
            unit.state = State::Stopping { run, pid, phase, next_at, timed_out: false };
        }
    }
}

fn restart(unit: &mut Unit, cx: &mut Cx<'_>) {
    match unit.state.clone() {
        State::Starting { run, pid, .. } => {
            begin_anew(unit);
            begin_stop(unit, run, pid, false, cx);
        }
        State::Running { run, pid, .. } | State::Unknown { run, pid } => {
            begin_anew(unit);
            begin_stop(unit, run, Some(pid), false, cx);
        }
        State::Stopped { .. }
        | State::Held
        | State::Backoff { .. }
        | State::Stopping { .. }
        | State::Exited { .. }
        | State::Fatal { .. } => start(unit, false, true, cx),
    }
    unit.want = Want::Up;
}

fn reload(unit: &mut Unit, cx: &mut Cx<'_>) {
    let running = matches!(unit.state, State::Running { .. }) && unit.want == Want::Up;
    if !running || unit.reloading.is_some() || cx.spec.reload_exec.is_empty() {
        return cx.note(Note::Ignored(Verb::Reload));
    }
    let run = cx.fresh();
    unit.reloading = Some((run, 0));
    cx.out.push(Action::Spawn { run, exe: Exe::Reload(0) });
}

fn signalled(unit: &mut Unit, signal: Signal, cx: &mut Cx<'_>) {
    match (unit.state.run(), unit.state.pid()) {
        (Some(run), Some(_)) => cx.signal(run, signal, false),
        _ => cx.note(Note::Ignored(Verb::Signal(signal.number()))),
    }
}

/// STARTING, RUNNING -> STOPPING.
fn begin_stop(unit: &mut Unit, run: RunId, pid: Option<Pid>, timed_out: bool, cx: &mut Cx<'_>) {
    if let Some((aux, _)) = unit.reloading.take() {
        cx.signal(aux, Signal::KILL, true);
    }
    // A oneshot never was up: stop commands are for what was (systemd).
    if pid.is_some() && !cx.spec.stop_exec.is_empty() && cx.spec.kind == Kind::Simple {
        let aux = cx.fresh();
        let next_at = cx.spec.stop.wait.map(|w| cx.now.mono + w);
        let phase = Phase::Command { aux, index: 0 };
        enter(unit, State::Stopping { run, pid, phase, next_at, timed_out }, cx);
        cx.out.push(Action::Spawn { run: aux, exe: Exe::Stop(0) });
    } else {
        climb(unit, run, pid, Phase::Signal(0), timed_out, cx);
    }
}

/// Sends what the rung `phase` says. Without a pid the signal waits for [`Event::Spawned`].
fn climb(unit: &mut Unit, run: RunId, pid: Option<Pid>, phase: Phase, timed_out: bool, cx: &mut Cx<'_>) {
    let policy = &cx.spec.stop;
    // KILL is repeated, but never in a tight circle (`stopwaitsecs=0`).
    let least = if phase == Phase::Kill { MIN_KILL_PAUSE } else { Duration::ZERO };
    let wait = policy.wait.map(|w| w.max(least));
    let next_at = if pid.is_some() { wait.map(|w| cx.now.mono + w) } else { None };
    if pid.is_some() {
        match phase {
            Phase::Signal(n) => {
                if let Some(signal) = policy.signals.get(n) {
                    cx.signal(run, *signal, policy.group);
                }
            }
            Phase::Kill => {
                cx.note(Note::Killing(pid));
                cx.signal(run, Signal::KILL, policy.kill_group);
            }
            Phase::Command { .. } => {}
        }
    }
    enter(unit, State::Stopping { run, pid, phase, next_at, timed_out }, cx);
}

fn spawned(unit: &mut Unit, run: RunId, pid: Pid, cx: &mut Cx<'_>) {
    match unit.state.clone() {
        State::Starting { pid: None, index, begun, until, .. } => {
            cx.note(Note::Spawned(pid));
            // A program's life counts from here, not from the wish; a oneshot's from its first command.
            let born = cx.now.mono;
            match cx.spec.kind {
                Kind::Simple if cx.spec.restart.startsecs.is_zero() => running(unit, run, pid, born, cx),
                Kind::Simple => {
                    let until = Some(born + cx.spec.restart.startsecs);
                    unit.state = State::Starting { run, pid: Some(pid), index, begun: born, until };
                }
                Kind::Oneshot => unit.state = State::Starting { run, pid: Some(pid), index, begun, until },
            }
        }
        // The stop came before the process did.
        State::Stopping { pid: None, phase, timed_out, .. } => {
            cx.note(Note::Spawned(pid));
            climb(unit, run, Some(pid), phase, timed_out, cx);
        }
        State::Stopped { .. }
        | State::Held
        | State::Starting { .. }
        | State::Running { .. }
        | State::Backoff { .. }
        | State::Stopping { .. }
        | State::Exited { .. }
        | State::Fatal { .. }
        | State::Unknown { .. } => {}
    }
}

/// STARTING -> RUNNING.
fn running(unit: &mut Unit, run: RunId, pid: Pid, begun: Mono, cx: &mut Cx<'_>) {
    unit.failures = 0;
    enter(unit, State::Running { run, pid, begun }, cx);
}

fn spawn_failed(unit: &mut Unit, run: RunId, error: &StartError, cx: &mut Cx<'_>) {
    if unit.reloading.is_some_and(|(r, _)| r == run) {
        return reload_ended(unit, Some(Cause::Start(error.clone())), cx);
    }
    match unit.state.clone() {
        State::Starting { .. } => {
            cx.note(Note::SpawnFailed(error.clone()));
            unit.trouble = Some(Trouble::Start(error.clone()));
            failed_start(unit, End::NoStart(error.clone()), cx);
        }
        State::Stopping { run: r, timed_out, .. } if r == run => gone(unit, None, timed_out, cx),
        State::Stopping { run: r, pid, phase: Phase::Command { index, .. }, timed_out, .. } => {
            cx.note(Note::CommandFailed(Exe::Stop(index), Cause::Start(error.clone())));
            climb(unit, r, pid, Phase::Signal(0), timed_out, cx);
        }
        State::Stopped { .. }
        | State::Held
        | State::Running { .. }
        | State::Backoff { .. }
        | State::Stopping { .. }
        | State::Exited { .. }
        | State::Fatal { .. }
        | State::Unknown { .. } => {}
    }
}

fn exited(unit: &mut Unit, run: RunId, pid: Pid, exit: Exit, cx: &mut Cx<'_>) {
    if unit.reloading.is_some_and(|(r, _)| r == run) {
        let bad = exit != Exit::Code(0);
        return reload_ended(unit, bad.then_some(Cause::Exit { exit, lived: Duration::ZERO }), cx);
    }
    match unit.state.clone() {
        State::Starting { index, begun, .. } => {
            main_ended(unit, run, pid, exit, cx);
            match cx.spec.kind {
                Kind::Simple => start_ended(unit, run, pid, exit, begun, cx),
                Kind::Oneshot => oneshot_ended(unit, index, pid, exit, begun, cx),
            }
        }
        State::Running { begun, .. } => {
            main_ended(unit, run, pid, exit, cx);
            let lived = cx.now.mono.since(begun);
            judge(unit, End::Exit { exit, lived }, is_clean(cx.spec, 0, exit), pid, cx);
        }
        State::Stopping { run: r, phase, timed_out, .. } if r == run => {
            if let Phase::Command { aux, .. } = phase {
                cx.signal(aux, Signal::KILL, true);
            }
            main_ended(unit, run, pid, exit, cx);
            gone(unit, Some(exit), timed_out, cx);
        }
        State::Stopping { run: r, pid, phase: Phase::Command { index, .. }, next_at, timed_out } => {
            stop_command_ended(unit, (r, pid), index, exit, (next_at, timed_out), cx);
        }
        State::Unknown { .. } => {
            main_ended(unit, run, pid, exit, cx);
            enter(unit, State::Stopped { cause: Cause::Asked }, cx);
        }
        State::Stopped { .. }
        | State::Held
        | State::Backoff { .. }
        | State::Stopping { .. }
        | State::Exited { .. }
        | State::Fatal { .. } => {}
    }
}

/// Whatever state: the main process is gone.
fn main_ended(unit: &mut Unit, run: RunId, pid: Pid, exit: Exit, cx: &mut Cx<'_>) {
    unit.last_exit = Some(exit);
    unit.ended = Some(cx.now.wall);
    if let Some((aux, _)) = unit.reloading.take() {
        cx.signal(aux, Signal::KILL, true);
    }
    if cx.spec.stop.sweep {
        cx.out.push(Action::Sweep { run, pid });
    }
}

/// A simple start ended before it was seen RUNNING: too quick, or only the clock was.
fn start_ended(unit: &mut Unit, run: RunId, pid: Pid, exit: Exit, begun: Mono, cx: &mut Cx<'_>) {
    let lived = cx.now.mono.since(begun);
    if lived >= cx.spec.restart.startsecs {
        running(unit, run, pid, begun, cx);
        judge(unit, End::Exit { exit, lived }, is_clean(cx.spec, 0, exit), pid, cx);
    } else if cx.spec.restart.retry.is_some() {
        cx.note(Note::Exited { exit, expected: false, pid });
        unit.trouble = Some(Trouble::TooQuick);
        failed_start(unit, End::Exit { exit, lived }, cx);
    } else {
        judge(unit, End::Exit { exit, lived }, is_clean(cx.spec, 0, exit), pid, cx);
    }
}

/// One command of a oneshot ended: the next, or all is done.
fn oneshot_ended(unit: &mut Unit, index: usize, pid: Pid, exit: Exit, begun: Mono, cx: &mut Cx<'_>) {
    let clean = is_clean(cx.spec, index, exit);
    if clean && index + 1 < cx.spec.exec.len() && unit.want == Want::Up {
        let run = cx.fresh();
        unit.run = run;
        let until = unit.state.deadline();
        unit.state = State::Starting { run, pid: None, index: index + 1, begun, until };
        cx.out.push(Action::Spawn { run, exe: Exe::Main(index + 1) });
    } else {
        let lived = cx.now.mono.since(begun);
        judge(unit, End::Exit { exit, lived }, clean, pid, cx);
    }
}

fn is_clean(spec: &Spec, index: usize, exit: Exit) -> bool {
    exit.is_in(&spec.restart.clean) || spec.exec.get(index).is_some_and(|c| c.ignore_failure)
}

/// The process of a STOPPING unit is gone.
fn gone(unit: &mut Unit, exit: Option<Exit>, timed_out: bool, cx: &mut Cx<'_>) {
    if let Some(exit) = exit {
        cx.note(Note::StopDone { exit, expected: exit.is_in(&cx.spec.restart.clean) });
    }
    if timed_out && unit.want == Want::Up {
        return failed_start(unit, End::TimedOut, cx);
    }
    enter(unit, State::Stopped { cause: Cause::Asked }, cx);
    if unit.want == Want::Up {
        launch(unit, true, cx);
    }
}

fn stop_command_ended(
    unit: &mut Unit,
    (run, pid): (RunId, Option<Pid>),
    index: usize,
    exit: Exit,
    (next_at, timed_out): (Option<Mono>, bool),
    cx: &mut Cx<'_>,
) {
    let ignore = cx.spec.stop_exec.get(index).is_some_and(|c| c.ignore_failure);
    let failed = exit != Exit::Code(0) && !ignore;
    if failed {
        let cause = Cause::Exit { exit, lived: Duration::ZERO };
        cx.note(Note::CommandFailed(Exe::Stop(index), cause));
    }
    if failed || index + 1 >= cx.spec.stop_exec.len() {
        return climb(unit, run, pid, Phase::Signal(0), timed_out, cx);
    }
    let aux = cx.fresh();
    let phase = Phase::Command { aux, index: index + 1 };
    enter(unit, State::Stopping { run, pid, phase, next_at, timed_out }, cx);
    cx.out.push(Action::Spawn { run: aux, exe: Exe::Stop(index + 1) });
}

/// A reload command ended, well when there is no cause.
fn reload_ended(unit: &mut Unit, cause: Option<Cause>, cx: &mut Cx<'_>) {
    let Some((_, index)) = unit.reloading.take() else { return };
    let ignore = cx.spec.reload_exec.get(index).is_some_and(|c| c.ignore_failure);
    if let Some(cause) = cause.filter(|_| !ignore) {
        return cx.note(Note::CommandFailed(Exe::Reload(index), cause));
    }
    if index + 1 >= cx.spec.reload_exec.len() {
        return cx.note(Note::Reloaded);
    }
    if unit.want == Want::Down {
        return;
    }
    let run = cx.fresh();
    unit.reloading = Some((run, index + 1));
    cx.out.push(Action::Spawn { run, exe: Exe::Reload(index + 1) });
}

fn kill_failed(unit: &mut Unit, run: RunId, cx: &mut Cx<'_>) {
    if let (Some(r), Some(pid)) = (unit.state.run(), unit.state.pid())
        && r == run
    {
        enter(unit, State::Unknown { run, pid }, cx);
    }
}

fn tick(unit: &mut Unit, cx: &mut Cx<'_>) {
    if unit.state.deadline().is_none_or(|at| at > cx.now.mono) {
        return;
    }
    match unit.state.clone() {
        State::Starting { run, pid: Some(pid), begun, .. } if cx.spec.kind == Kind::Simple => {
            running(unit, run, pid, begun, cx);
        }
        State::Starting { run, pid, .. } => begin_stop(unit, run, pid, true, cx),
        State::Backoff { .. } => launch(unit, false, cx),
        State::Stopping { run, pid, phase, timed_out, .. } => {
            next_rung(unit, (run, pid), phase, timed_out, cx)
        }
        State::Stopped { .. }
        | State::Held
        | State::Running { .. }
        | State::Exited { .. }
        | State::Fatal { .. }
        | State::Unknown { .. } => {}
    }
}

/// The wait of a rung is over and the process still lives.
fn next_rung(
    unit: &mut Unit,
    (run, pid): (RunId, Option<Pid>),
    phase: Phase,
    timed_out: bool,
    cx: &mut Cx<'_>,
) {
    let policy = &cx.spec.stop;
    match phase {
        Phase::Command { aux, .. } => {
            cx.signal(aux, Signal::KILL, true);
            climb(unit, run, pid, Phase::Signal(0), timed_out, cx);
        }
        Phase::Signal(n) if n + 1 < policy.signals.len() => {
            climb(unit, run, pid, Phase::Signal(n + 1), timed_out, cx);
        }
        Phase::Signal(_) if !policy.kill => {
            // Never a second run beside one that may not be killed.
            enter(unit, State::Fatal { cause: Cause::LeftRunning(pid) }, cx);
        }
        Phase::Signal(_) | Phase::Kill => climb(unit, run, pid, Phase::Kill, timed_out, cx),
    }
}
