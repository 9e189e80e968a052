//! What the end of a run means: whether there is another, and when.

use super::step::{Cx, enter, launch};
use super::{Cause, Note, State, Trouble, Unit, Want};
use crate::exit::{Exit, StartError};
use crate::ids::Pid;
use crate::spec::{Curve, Spec, When};
use alloc::boxed::Box;
use core::time::Duration;

/// After a start that failed, at least this long before the next: a broken command must not spin.
const MIN_PAUSE: Duration = Duration::from_millis(100);

/// What an end of a run, or a failed start, is judged as.
pub(super) enum End {
    Exit { exit: Exit, lived: Duration },
    TimedOut,
    NoStart(StartError),
}

/// A run ended by itself: EXITED, and perhaps another run. (RUNNING, STARTING -> EXITED -> ...)
pub(super) fn judge(unit: &mut Unit, end: End, clean: bool, pid: Pid, cx: &mut Cx<'_>) {
    unit.failures = 0;
    let again = unit.want == Want::Up && calls_for_restart(cx.spec, &end, clean);
    let (exit, cause) = match end {
        End::Exit { exit, lived } => (exit, Cause::Exit { exit, lived }),
        End::TimedOut => (unit.last_exit.unwrap_or(Exit::Unknown), timed_out(cx.spec)),
        End::NoStart(e) => (Exit::Unknown, Cause::Start(e)),
    };
    cx.note(Note::Exited { exit, expected: clean, pid });
    if !clean {
        unit.trouble = Some(Trouble::BadExit(exit.number().map_or(-1, |n| n.max(-1))));
    }
    enter(unit, State::Exited { exit, expected: clean, cause: cause.clone() }, cx);
    if again {
        again_after(unit, cx.spec.restart.delay, cause, cx);
    }
}

fn timed_out(spec: &Spec) -> Cause {
    Cause::TimedOut(spec.start_timeout.unwrap_or_default())
}

/// The next automatic run, at once or after a pause.
fn again_after(unit: &mut Unit, delay: Duration, cause: Cause, cx: &mut Cx<'_>) {
    if delay.is_zero() {
        launch(unit, false, cx);
    } else {
        let until = cx.now.mono + delay;
        enter(unit, State::Backoff { until, attempt: unit.restarts.saturating_add(1), cause }, cx);
    }
}

fn calls_for_restart(spec: &Spec, end: &End, clean: bool) -> bool {
    let policy = &spec.restart;
    let (exit, timed_out) = match end {
        End::Exit { exit, .. } => (Some(*exit), false),
        End::TimedOut => (None, true),
        End::NoStart(_) => (None, false),
    };
    if exit.is_some_and(|e| e.is_in(&policy.prevent)) {
        return false;
    }
    if exit.is_some_and(|e| e.is_in(&policy.force)) {
        return true;
    }
    let by_signal = matches!(exit, Some(Exit::Signal { .. }));
    match policy.when {
        When::Never => false,
        When::Always => true,
        When::OnSuccess => clean,
        When::OnFailure => !clean,
        When::OnAbnormal => !clean && (by_signal || timed_out),
        When::OnAbort => !clean && by_signal,
    }
}

/// A start failed: STARTING -> BACKOFF or FATAL.
pub(super) fn failed_start(unit: &mut Unit, end: End, cx: &mut Cx<'_>) {
    let Some(retry) = &cx.spec.restart.retry else {
        return failed_without_retry(unit, end, cx);
    };
    let cause = match end {
        End::Exit { exit, lived } => Cause::TooQuick { exit, lived },
        End::TimedOut => timed_out(cx.spec),
        End::NoStart(e) => Cause::Start(e),
    };
    unit.failures = unit.failures.saturating_add(1);
    let attempt = unit.failures;
    if retry.limit.is_some_and(|l| attempt > l) {
        let pause_over = Cause::GaveUp { tries: attempt, last: Box::new(cause.clone()) };
        // Clients expect to see BACKOFF before FATAL.
        enter(unit, State::Backoff { until: cx.now.mono, attempt, cause }, cx);
        unit.failures = 0;
        return enter(unit, State::Fatal { cause: pause_over }, cx);
    }
    let pause = match retry.curve {
        Curve::Linear(step) => step.saturating_mul(attempt),
        Curve::Fixed(pause) => pause,
    };
    enter(unit, State::Backoff { until: cx.now.mono + pause.max(MIN_PAUSE), attempt, cause }, cx);
}

/// The same where no retry rule is given: the restart policy judges it (systemd).
fn failed_without_retry(unit: &mut Unit, end: End, cx: &mut Cx<'_>) {
    let again = unit.want == Want::Up && calls_for_restart(cx.spec, &end, false);
    let cause = match end {
        End::Exit { exit, lived } => Cause::Exit { exit, lived },
        End::TimedOut => timed_out(cx.spec),
        End::NoStart(e) => Cause::Start(e),
    };
    if again {
        unit.failures = unit.failures.saturating_add(1);
        again_after(unit, cx.spec.restart.delay.max(MIN_PAUSE), cause, cx);
    } else {
        enter(unit, State::Fatal { cause }, cx);
    }
}
