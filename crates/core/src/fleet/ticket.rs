//! When an order on a unit is carried out (habit 12).

use super::{Pending, Slot};
use crate::control::{Outcome, Verb};
use crate::ids::RunId;
use crate::proc::{State, Want};
use alloc::string::{String, ToString};

/// An order that somebody waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ticket {
    /// What was asked.
    pub verb: Verb,
    /// The last run before it was asked: only a later one counts as started.
    pub run: RunId,
}

/// The outcome of `ticket` as the unit stands now, with the reason in words; `None` while it is under
/// way. Reload and signal orders are answered elsewhere: they leave no trace in the state.
pub fn judge(ticket: Ticket, slot: &Slot) -> Option<(Outcome, String)> {
    match ticket.verb {
        Verb::Start => started(ticket, slot, Outcome::Started),
        Verb::Restart => started(ticket, slot, Outcome::Restarted),
        Verb::Stop => stopped(slot),
        Verb::Reload | Verb::Signal(_) => None,
    }
}

fn started(ticket: Ticket, slot: &Slot, good: Outcome) -> Option<(Outcome, String)> {
    if !matches!(slot.pending, Pending::Nothing) || slot.queued {
        return None;
    }
    let unit = &slot.unit;
    let is_new = unit.run > ticket.run;
    let superseded = || Some((Outcome::Superseded, "another order stopped it".into()));
    match &unit.state {
        State::Running { .. } if is_new => Some((good, String::new())),
        State::Exited { expected: true, cause, .. } if is_new => Some((good, cause.to_string())),
        State::Exited { cause, .. } if is_new => Some((Outcome::Failed, cause.to_string())),
        State::Backoff { cause, .. } if is_new => Some((Outcome::Failed, cause.to_string())),
        State::Fatal { cause } => Some((Outcome::Failed, cause.to_string())),
        State::Stopped { .. } | State::Stopping { .. } if unit.want == Want::Down => superseded(),
        State::Unknown { .. } => Some((Outcome::Failed, "a signal could not be sent to it".into())),
        State::Held
        | State::Starting { .. }
        | State::Running { .. }
        | State::Backoff { .. }
        | State::Stopped { .. }
        | State::Stopping { .. }
        | State::Exited { .. } => None,
    }
}

fn stopped(slot: &Slot) -> Option<(Outcome, String)> {
    match &slot.unit.state {
        State::Fatal { cause } => Some((Outcome::Stopped, cause.to_string())),
        State::Unknown { .. } => Some((Outcome::Failed, "a signal could not be sent to it".into())),
        state if slot.unit.want == Want::Down => state.is_down().then(|| (Outcome::Stopped, String::new())),
        State::Stopped { .. }
        | State::Held
        | State::Starting { .. }
        | State::Running { .. }
        | State::Backoff { .. }
        | State::Stopping { .. }
        | State::Exited { .. } => Some((Outcome::Superseded, "another order started it".into())),
    }
}
