//! From a method's name to what it does: whether it may be called, then the call itself.

use super::fault::{Code, refused};
use super::orders::Scope;
use super::table::{Method, Row, Type, find};
use super::{info, names, parsed};
use crate::xmlrpc::{Fault, Value, Writer};
use supers_core::control::{Caller, Refusal, Stream};
use supers_core::inside::{Cut, GroupDone, Inside, LogOf, StdinDone};
use supers_core::proc::Word;

/// The version of the interface.
const API_VERSION: &str = "3.0";
/// The release of Supervisor whose behaviour this is. Clients compare it to decide what they may call.
const SUPERVISOR_VERSION: &str = "4.3.0";

/// Whom a call asks, and for whom.
#[derive(Clone, Copy)]
pub(super) struct Cx<'a> {
    pub(super) inside: &'a dyn Inside,
    pub(super) caller: &'a Caller,
}

/// Parameters that fit the table: [`Cx::admit`] looked.
pub(super) struct Args<'a>(&'a [Value]);

impl<'a> Args<'a> {
    pub(super) fn get(&self, at: usize) -> Option<&'a Value> {
        self.0.get(at)
    }

    pub(super) fn text(&self, at: usize) -> Result<&'a str, Fault> {
        self.get(at).and_then(Value::as_str).ok_or_else(|| Code::IncorrectParameters.bare())
    }

    pub(super) fn number(&self, at: usize) -> Result<i64, Fault> {
        self.get(at).and_then(number).ok_or_else(|| Code::IncorrectParameters.bare())
    }

    /// Left out means true.
    pub(super) fn flag(&self, at: usize) -> bool {
        self.get(at).is_none_or(|v| truth(v).unwrap_or(true))
    }
}

/// A number, also as text, as a client in a language without types may send it.
fn number(value: &Value) -> Option<i64> {
    match value {
        Value::Int(n) => Some(*n),
        Value::Bool(b) => Some(i64::from(*b)),
        Value::Str(text) => text.trim().parse().ok(),
        Value::Double(_) | Value::Base64(_) | Value::DateTime(_) => None,
        Value::Array(_) | Value::Struct(_) | Value::Nil => None,
    }
}

fn truth(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(b) => Some(*b),
        Value::Int(n) => Some(*n != 0),
        Value::Str(text) => Some(!text.is_empty()),
        Value::Nil => Some(false),
        Value::Double(_) | Value::Base64(_) | Value::DateTime(_) => None,
        Value::Array(_) | Value::Struct(_) => None,
    }
}

fn fits(value: &Value, wanted: Type) -> bool {
    match wanted {
        Type::Text => value.as_str().is_some(),
        Type::Number => number(value).is_some(),
        Type::Flag => truth(value).is_some(),
        Type::List => value.as_array().is_some(),
        Type::Any => true,
    }
}

impl Cx<'_> {
    /// The method, when it exists and may be called with these parameters now. The order of the checks is
    /// Supervisor's: a wrong number of parameters is told even during a shutdown.
    pub(super) fn admit(&self, name: &str, params: &[Value]) -> Result<&'static Row, Fault> {
        let served = |row: &&Row| row.is_system() || self.inside.has_supervisor_rpc();
        let row = find(name).filter(served).ok_or_else(|| Code::UnknownMethod.bare())?;
        if params.len() < row.needs || params.len() > row.params.len() {
            return Err(Code::IncorrectParameters.bare());
        }
        let always = row.method == Method::SendEvent || row.is_system();
        if !always && self.inside.snapshot().stopping {
            return Err(Code::ShutdownState.bare());
        }
        if !params.iter().zip(row.params).all(|(value, (_, wanted))| fits(value, *wanted)) {
            return Err(Code::IncorrectParameters.bare());
        }
        Ok(row)
    }

    /// Carries out one call; its value is written, or nothing.
    pub(super) async fn run(self, row: &Row, params: &[Value], w: &mut Writer) -> Result<(), Fault> {
        let before = w.len();
        let done = self.call(row.method, &Args(params), w).await;
        if done.is_err() {
            w.back_to(before);
        }
        done
    }

    async fn call(self, method: Method, args: &Args<'_>, w: &mut Writer) -> Result<(), Fault> {
        match method {
            Method::GetVersion => w.str(API_VERSION),
            Method::GetSupervisorVersion => w.str(SUPERVISOR_VERSION),
            Method::GetIdentification => w.str(self.inside.identifier()),
            Method::GetState => w.structure(|w| {
                w.member("statecode", |w| w.int(1));
                w.member("statename", |w| w.str("RUNNING"));
            }),
            Method::GetPid => w.int(self.inside.daemon().pid.into()),
            Method::ReadLog => {
                let cut = Cut::Read { offset: args.number(0)?, length: args.number(1)? };
                self.read(LogOf::Main, &self.inside.main_log_path(), cut, w).await?;
            }
            Method::ClearLog => self.clear_main(w).await?,
            Method::Shutdown => done(self.inside.shutdown(self.caller.clone()).await, w)?,
            Method::Restart => done(self.inside.restart(self.caller.clone()).await, w)?,
            Method::ReloadConfig => self.reload(w).await?,
            Method::AddGroup => {
                let name = args.text(0)?;
                group_done(self.inside.add_group(self.caller.clone(), name.to_owned()).await, name, w)?;
            }
            Method::RemoveGroup => {
                let name = args.text(0)?;
                group_done(self.inside.remove_group(self.caller.clone(), name.to_owned()).await, name, w)?;
            }
            Method::Start => self.start(Scope::Named, args, w).await?,
            Method::StartGroup => self.start(Scope::Group, args, w).await?,
            Method::StartAll => self.start(Scope::All, args, w).await?,
            Method::Stop => self.stop(Scope::Named, args, w).await?,
            Method::StopGroup => self.stop(Scope::Group, args, w).await?,
            Method::StopAll => self.stop(Scope::All, args, w).await?,
            Method::Signal => self.signal(Scope::Named, args, w).await?,
            Method::SignalGroup => self.signal(Scope::Group, args, w).await?,
            Method::SignalAll => self.signal(Scope::All, args, w).await?,
            Method::GetProcessInfo => {
                let snapshot = self.inside.snapshot();
                let unit = names::one(&snapshot, args.text(0)?)?;
                info::write_one(&unit, self.inside.now(), w);
            }
            Method::GetAllProcessInfo => info::write_all(&self.inside.snapshot(), self.inside.now(), w),
            Method::GetAllConfigInfo => parsed::write_all(self.inside, w),
            Method::ReadStdout => self.read_unit(Stream::Stdout, args, w).await?,
            Method::ReadStderr => self.read_unit(Stream::Stderr, args, w).await?,
            Method::TailStdout => self.tail_unit(Stream::Stdout, args, w).await?,
            Method::TailStderr => self.tail_unit(Stream::Stderr, args, w).await?,
            Method::ClearProcessLogs => self.clear_unit(args.text(0)?, w).await?,
            Method::ClearAllProcessLogs => self.clear_all(w).await?,
            Method::SendStdin => self.stdin(args, w).await?,
            Method::SendEvent => {
                let (kind, data) = (plain(args.get(0))?, plain(args.get(1))?);
                done(self.inside.tell(kind, data).await, w)?;
            }
            Method::ListMethods => super::system::list(self.inside.has_supervisor_rpc(), w),
            Method::Help => super::system::help(args.get(0), w)?,
            Method::Signature => super::system::signature(args.get(0), w)?,
            Method::Multicall => {
                return Err(Code::IncorrectParameters.of("Recursive system.multicall forbidden"));
            }
        }
        Ok(())
    }

    async fn reload(self, w: &mut Writer) -> Result<(), Fault> {
        let diff = self.inside.reread(self.caller.clone()).await.map_err(|refusal| match &refusal {
            Refusal::Config { text } => Code::CantReread.of(text),
            Refusal::UnknownName { .. }
            | Refusal::BadRequest { .. }
            | Refusal::ShuttingDown
            | Refusal::Denied { .. }
            | Refusal::Failed { .. } => refused(&refusal),
        })?;
        // Three lists in a list in a list: clients unpack both.
        w.array(|w| {
            w.array(|w| {
                for names in [&diff.added, &diff.changed, &diff.removed] {
                    w.array(|w| names.iter().for_each(|name| w.str(name)));
                }
            });
        });
        Ok(())
    }

    async fn stdin(self, args: &Args<'_>, w: &mut Writer) -> Result<(), Fault> {
        let name = args.text(0)?;
        let Some(Value::Str(chars)) = args.get(1) else {
            return Err(match args.get(1).and_then(number) {
                Some(n) => Code::IncorrectParameters.of(&n.to_string()),
                None => Code::IncorrectParameters.bare(),
            });
        };
        let unit = names::one(&self.inside.snapshot(), name)?;
        if unit.state.pid().is_none() || unit.state.kind() == Word::Stopping {
            return Err(Code::NotRunning.of(name));
        }
        let what = self.inside.send_stdin(unit.id, chars.clone().into_bytes()).await;
        match what.map_err(|r| refused(&r))? {
            StdinDone::Taken => w.bool(true),
            StdinDone::NotRunning => return Err(Code::NotRunning.of(name)),
            StdinDone::Closed => return Err(Code::NoFile.of(name)),
            StdinDone::Full => {
                return Err(Code::Failed.of(&format!("{name} does not read its standard input")));
            }
        }
        Ok(())
    }
}

/// `true`, when it was not refused.
fn done(result: Result<(), Refusal>, w: &mut Writer) -> Result<(), Fault> {
    result.map_err(|r| refused(&r))?;
    w.bool(true);
    Ok(())
}

fn group_done(what: Result<GroupDone, Refusal>, name: &str, w: &mut Writer) -> Result<(), Fault> {
    match what.map_err(|r| refused(&r))? {
        GroupDone::Done => w.bool(true),
        GroupDone::AlreadyAdded => return Err(Code::AlreadyAdded.of(name)),
        GroupDone::StillRunning => return Err(Code::StillRunning.of(name)),
        GroupDone::BadName => return Err(Code::BadName.of(name)),
    }
    Ok(())
}

/// A scalar as text.
fn plain(value: Option<&Value>) -> Result<String, Fault> {
    match value {
        Some(Value::Str(text) | Value::DateTime(text)) => Ok(text.clone()),
        Some(Value::Int(n)) => Ok(n.to_string()),
        Some(Value::Bool(b)) => Ok(if *b { "True" } else { "False" }.to_owned()),
        Some(Value::Double(d)) => Ok(format!("{d:?}")),
        Some(Value::Base64(_) | Value::Array(_) | Value::Struct(_) | Value::Nil) | None => {
            Err(Code::IncorrectParameters.bare())
        }
    }
}
