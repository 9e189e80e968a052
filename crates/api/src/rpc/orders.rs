//! Starting, stopping and signalling: which units an order is for, and what their outcomes are called.

use super::dispatch::{Args, Cx};
use super::fault::{Code, refused, unrunnable, write_row};
use super::names::{self, Target, Unit};
use crate::xmlrpc::{Fault, Value, Writer};
use std::collections::HashMap;
use supers_core::control::{Order, Outcome, Row, Rules, Verb};
use supers_core::inside::Unrunnable;
use supers_core::proc::Word;
use supers_core::signal::Signal;

/// Whom a call is for; all but [`Scope::All`] take a name first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Scope {
    /// A process, or `group:*`.
    Named,
    /// A group by its bare name.
    Group,
    All,
}

/// Units that a call of several is for.
type Wanted = fn(Word) -> bool;

impl Cx<'_> {
    pub(super) async fn start(self, scope: Scope, args: &Args<'_>, w: &mut Writer) -> Result<(), Fault> {
        let wait = args.flag(usize::from(scope != Scope::All));
        match self.who(scope, args, |word| !is_up(word))? {
            Target::One(unit) => {
                let name = args.text(0)?;
                self.startable(std::slice::from_ref(&unit), Some(name)).await?.pop().unwrap_or(Ok(()))?;
                self.order_one(&unit, name, Verb::Start, wait).await?;
                w.bool(true);
            }
            Target::Group(units) => {
                w.begin_array();
                let mut ready = Vec::new();
                let found = self.startable(&units, None).await?;
                for (unit, startable) in units.into_iter().zip(found) {
                    match startable {
                        Ok(()) => ready.push(unit),
                        Err(fault) => write_row(w, &unit, Err(fault)),
                    }
                }
                self.order_many(ready, Verb::Start, wait, w).await?;
                w.end_array();
            }
        }
        Ok(())
    }

    pub(super) async fn stop(self, scope: Scope, args: &Args<'_>, w: &mut Writer) -> Result<(), Fault> {
        let wait = args.flag(usize::from(scope != Scope::All));
        match self.who(scope, args, is_up)? {
            Target::One(unit) => {
                let name = args.text(0)?;
                if !is_up(unit.state.kind()) {
                    return Err(Code::NotRunning.of(name));
                }
                self.order_one(&unit, name, Verb::Stop, wait).await?;
                w.bool(true);
            }
            Target::Group(units) => {
                w.begin_array();
                self.order_many(units, Verb::Stop, wait, w).await?;
                w.end_array();
            }
        }
        Ok(())
    }

    /// The name is looked at first, then the signal, then the state.
    pub(super) async fn signal(self, scope: Scope, args: &Args<'_>, w: &mut Writer) -> Result<(), Fault> {
        let target = self.who(scope, args, is_signallable)?;
        let signal = signal(args.get(usize::from(scope != Scope::All)));
        match (target, signal) {
            (Target::One(_), Err(fault)) => return Err(fault),
            (Target::One(unit), Ok(number)) => {
                let name = args.text(0)?;
                if !is_signallable(unit.state.kind()) {
                    return Err(Code::NotRunning.of(name));
                }
                if number != 0 {
                    self.order_one(&unit, name, Verb::Signal(number), true).await?;
                }
                w.bool(true);
            }
            (Target::Group(units), Ok(number)) if number != 0 => {
                w.begin_array();
                self.order_many(units, Verb::Signal(number), true, w).await?;
                w.end_array();
            }
            // Signal 0 only asks whether there is a process.
            (Target::Group(units), result) => {
                w.array(|w| units.iter().for_each(|u| write_row(w, u, result.clone().map(drop))));
            }
        }
        Ok(())
    }

    /// The one unit, or those of the group or of all that are `wanted`.
    fn who(self, scope: Scope, args: &Args<'_>, wanted: Wanted) -> Result<Target, Fault> {
        let snapshot = self.inside.snapshot();
        let mut units = match scope {
            Scope::All => names::all(&snapshot),
            Scope::Group => names::group(&snapshot, args.text(0)?)?,
            Scope::Named => match names::target(&snapshot, args.text(0)?)? {
                Target::One(unit) => return Ok(Target::One(unit)),
                Target::Group(units) => units,
            },
        };
        units.retain(|u| wanted(u.state.kind()));
        Ok(Target::Group(units))
    }

    /// Whether there is something to execute is looked at before the state. Faults call a unit as it was `given`.
    async fn startable(self, units: &[Unit], given: Option<&str>) -> Result<Vec<Result<(), Fault>>, Fault> {
        let ids = units.iter().map(|unit| unit.id).collect();
        let found = self.inside.runnable(ids).await.map_err(|r| refused(&r))?;
        let judge = |(unit, found): (&Unit, Result<(), Unrunnable>)| {
            found.map_err(|why| unrunnable(&why))?;
            let name = given.map_or_else(|| unit.spec.full_name(), ToOwned::to_owned);
            match unit.state.kind() {
                Word::Starting | Word::Running | Word::Backoff => Err(Code::AlreadyStarted.of(&name)),
                Word::Unknown => Err(Code::Failed.of(&format!("{name} is in an unknown state"))),
                Word::Stopped | Word::Stopping | Word::Exited | Word::Fatal => Ok(()),
            }
        };
        Ok(units.iter().zip(found).map(judge).collect())
    }

    fn order(verb: Verb, names: Vec<String>, wait: bool) -> Order {
        Order { verb, names, wait, timeout_ms: None, rules: Rules::Supervisor }
    }

    async fn order_one(self, unit: &Unit, name: &str, verb: Verb, wait: bool) -> Result<(), Fault> {
        let order = Self::order(verb, vec![unit.spec.full_name()], wait);
        let mut rows = self.inside.order(self.caller.clone(), order).await.map_err(|r| refused(&r))?;
        match rows.next().await.map_err(|r| refused(&r))? {
            Some(row) => verdict(verb, &row, name),
            None => Err(lost(name)),
        }
    }

    /// One order for all; rows are written as they come.
    async fn order_many(self, units: Vec<Unit>, verb: Verb, wait: bool, w: &mut Writer) -> Result<(), Fault> {
        if units.is_empty() {
            return Ok(());
        }
        let names: Vec<String> = units.iter().map(|u| u.spec.full_name()).collect();
        let mut open: HashMap<String, Unit> = names.iter().cloned().zip(units).collect();
        let order = Self::order(verb, names, wait);
        let mut rows = self.inside.order(self.caller.clone(), order).await.map_err(|r| refused(&r))?;
        while let Some(row) = rows.next().await.map_err(|r| refused(&r))? {
            if let Some(unit) = open.remove(&row.name) {
                write_row(w, &unit, verdict(verb, &row, &row.name));
            }
        }
        for (name, unit) in open {
            write_row(w, &unit, Err(lost(&name)));
        }
        Ok(())
    }
}

fn lost(name: &str) -> Fault {
    Code::Failed.of(&format!("nobody knows what became of {name}"))
}

fn is_up(word: Word) -> bool {
    match word {
        Word::Starting | Word::Running | Word::Backoff => true,
        Word::Stopped | Word::Stopping | Word::Exited | Word::Fatal | Word::Unknown => false,
    }
}

fn is_signallable(word: Word) -> bool {
    match word {
        Word::Starting | Word::Running | Word::Stopping => true,
        Word::Stopped | Word::Backoff | Word::Exited | Word::Fatal | Word::Unknown => false,
    }
}

/// A name or a number; 0 is one too.
fn signal(value: Option<&Value>) -> Result<i32, Fault> {
    let known = |text: &str| match text.trim() {
        "0" => Some(0),
        // `RTMIN+3` is systemd's way of counting, which Supervisor does not know.
        text => Signal::parse(text).filter(|_| !text.contains(['+', '-'])).map(Signal::number),
    };
    let (text, number) = match value {
        Some(Value::Str(text)) => (text.clone(), known(text)),
        Some(Value::Int(n)) => (n.to_string(), known(&n.to_string())),
        Some(Value::Bool(b)) => (b.to_string(), Some(i32::from(*b))),
        Some(
            Value::Double(_)
            | Value::Base64(_)
            | Value::DateTime(_)
            | Value::Array(_)
            | Value::Struct(_)
            | Value::Nil,
        )
        | None => return Err(Code::IncorrectParameters.bare()),
    };
    number.ok_or_else(|| Code::BadSignal.of(&text))
}

/// What an outcome is called, given the name that the caller used.
fn verdict(verb: Verb, row: &Row, name: &str) -> Result<(), Fault> {
    let detail = if row.detail.is_empty() { name } else { &row.detail };
    let is_start = matches!(verb, Verb::Start);
    match row.outcome {
        Outcome::Started
        | Outcome::Stopped
        | Outcome::Restarted
        | Outcome::Signalled
        | Outcome::Reloaded
        | Outcome::Accepted => Ok(()),
        Outcome::AlreadyRunning => Err(Code::AlreadyStarted.of(name)),
        Outcome::NotRunning => Err(Code::NotRunning.of(name)),
        Outcome::Failed if is_start => Err(Code::SpawnError.of(name)),
        Outcome::Superseded | Outcome::TimedOut if is_start => Err(Code::AbnormalTermination.of(name)),
        // The stop was done; somebody started it again.
        Outcome::Superseded => Ok(()),
        Outcome::Failed | Outcome::TimedOut => Err(Code::Failed.of(detail)),
    }
}
