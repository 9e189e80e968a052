//! Who waits for what (habit 12). Dropping the receiving end cancels nothing.

use std::collections::{BTreeSet, HashMap};
use std::time::Duration;
use supers_core::control::{Outcome, Row, Verb};
use supers_core::fleet::{Fleet, Slot, Ticket, judge};
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::proc::State;
use supers_core::time::Mono;
use tokio::sync::mpsc;

/// A program that counts as RUNNING at once must live this long before a start is answered with
/// "started": most that cannot work at all have ended by then, and the answer can say why.
const SETTLE: Duration = Duration::from_millis(200);

/// A row, and whether the reader should add the last lines of the unit's output.
#[derive(Debug)]
pub(crate) struct RowMsg {
    pub row: Row,
    pub tail_of: Option<UnitId>,
}

/// One order on one unit that somebody waits for.
pub(crate) struct Waiting {
    pub ticket: Ticket,
    pub name: String,
    /// The present text of a changed file is used.
    pub changed: bool,
    /// What the asker should know besides, when all goes well.
    pub note: String,
    /// When waiting is given up.
    pub until: Option<Mono>,
    /// RUNNING alone is not enough: it must live for a moment.
    pub settle: bool,
    /// It runs, but not for long enough to call that started; looked at again then.
    pub look_at: Option<Mono>,
    /// Room for one row a unit, so sending never waits.
    pub tx: mpsc::Sender<RowMsg>,
}

/// All that is waited for.
#[derive(Default)]
pub(crate) struct Tickets {
    by_unit: HashMap<UnitId, Vec<Waiting>>,
    soonest: Option<Mono>,
}

impl Waiting {
    fn answer(self, outcome: Outcome, mut detail: String, pid: i32, unit: UnitId) {
        if outcome != Outcome::Failed && !self.note.is_empty() {
            let between = if detail.is_empty() { "" } else { "; " };
            detail = format!("{detail}{between}{}", self.note);
        }
        let tail_of = (outcome == Outcome::Failed && self.ticket.verb != Verb::Stop).then_some(unit);
        let row = Row { name: self.name, outcome, detail, pid, changed: self.changed, tail: Vec::new() };
        // Nobody may be listening any more; the job is done all the same.
        let _ = self.tx.try_send(RowMsg { row, tail_of });
    }
}

impl Tickets {
    pub(crate) fn add(&mut self, unit: UnitId, waiting: Waiting) {
        self.soonest = earlier(self.soonest, waiting.until);
        self.by_unit.entry(unit).or_default().push(waiting);
    }

    /// When somebody's patience ends next.
    pub(crate) fn deadline(&self) -> Option<Mono> {
        self.soonest
    }

    /// Answers those whose unit got there, among the units that changed.
    pub(crate) fn resolve(&mut self, fleet: &Fleet, changed: &BTreeSet<UnitId>, now: Mono) {
        if self.by_unit.is_empty() {
            return;
        }
        for id in changed {
            self.resolve_unit(fleet, *id, now);
        }
        if self.by_unit.is_empty() {
            self.by_unit = HashMap::new();
        }
    }

    fn resolve_unit(&mut self, fleet: &Fleet, id: UnitId, now: Mono) {
        let Some(list) = self.by_unit.remove(&id) else { return };
        let mut left = Vec::new();
        for mut w in list {
            let Some(slot) = fleet.get(id) else {
                gone(w, id);
                continue;
            };
            match judge(w.ticket, slot) {
                None => left.push(w),
                Some((outcome, detail)) => match settles_at(slot).filter(|at| w.settle && *at > now) {
                    Some(at) => {
                        w.look_at = Some(at);
                        self.soonest = earlier(self.soonest, Some(at));
                        left.push(w);
                    }
                    None => {
                        let pid = slot.unit.state.pid().map_or(0, |Pid(p)| p);
                        w.answer(outcome, detail, pid, id);
                    }
                },
            }
        }
        if !left.is_empty() {
            self.by_unit.insert(id, left);
        }
    }

    /// A reload command of the unit ended.
    pub(crate) fn reloaded(&mut self, unit: UnitId, failure: Option<String>) {
        let Some(list) = self.by_unit.get_mut(&unit) else { return };
        let done = list.extract_if(.., |w| w.ticket.verb == Verb::Reload);
        for w in done.collect::<Vec<_>>() {
            match &failure {
                None => w.answer(Outcome::Reloaded, String::new(), 0, unit),
                Some(why) => w.answer(Outcome::Failed, why.clone(), 0, unit),
            }
        }
    }

    /// Looks again where it is time to, and tells those whose patience is over.
    pub(crate) fn expire(&mut self, fleet: &Fleet, now: Mono) {
        if self.soonest.is_none_or(|at| at > now) {
            return;
        }
        self.soonest = None;
        let due = |w: &Waiting| w.look_at.is_some_and(|at| at <= now);
        let again: Vec<UnitId> =
            self.by_unit.iter().filter(|(_, l)| l.iter().any(due)).map(|(id, _)| *id).collect();
        for id in again {
            self.by_unit.entry(id).or_default().iter_mut().for_each(|w| w.look_at = None);
            self.resolve_unit(fleet, id, now);
        }
        let mut soonest = None;
        self.by_unit.retain(|id, list| {
            for w in list.extract_if(.., |w| w.until.is_some_and(|at| at <= now)).collect::<Vec<_>>() {
                w.answer(Outcome::TimedOut, "not there yet; the job goes on".into(), 0, *id);
            }
            soonest = list.iter().fold(soonest, |s, w| earlier(s, earlier(w.until, w.look_at)));
            !list.is_empty()
        });
        self.soonest = soonest;
    }
}

/// When a running unit has run long enough; `None` for all others.
fn settles_at(slot: &Slot) -> Option<Mono> {
    match slot.unit.state {
        State::Running { begun, .. } => Some(begun + SETTLE),
        _ => None,
    }
}

fn gone(w: Waiting, id: UnitId) {
    match w.ticket.verb {
        Verb::Stop => w.answer(Outcome::Stopped, String::new(), 0, id),
        Verb::Start | Verb::Restart | Verb::Reload | Verb::Signal(_) => {
            w.answer(Outcome::Failed, "it was removed from the configuration".into(), 0, id);
        }
    }
}

fn earlier(a: Option<Mono>, b: Option<Mono>) -> Option<Mono> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.min(b)),
        (x, y) => x.or(y),
    }
}

/// A ticket for an order given now.
pub(crate) fn ticket(verb: Verb, run: RunId) -> Ticket {
    Ticket { verb, run }
}
