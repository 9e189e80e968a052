//! The actions of the status table, and Supervisor's messages for what became of them.

use super::{Context, date};
use supers_core::control::{Order, Outcome, Refusal, Row, Rules, Stream, Verb};
use supers_core::inside::{LogFault, LogOf, Unrunnable};
use supers_core::proc::State;
use supers_core::snapshot::{Snapshot, UnitView};

/// What a link of the table asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Deed<'a> {
    Refresh,
    StopAll,
    RestartAll,
    One(Act, &'a str),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Act {
    Start,
    Stop,
    Restart,
    ClearLog,
}

/// The unit that Supervisor means by a name: `group:process`, or the one process of a group of its name.
pub(crate) fn find<'s>(snapshot: &'s Snapshot, name: &str) -> Option<&'s UnitView> {
    let (group, process) = name.split_once(':').unwrap_or((name, name));
    snapshot.units().map(|u| &**u).find(|u| u.spec.group == group && u.spec.name == process)
}

/// Supervisor's text for a refusal of the engine.
pub(super) fn fault(refusal: &Refusal, name: &str) -> String {
    match refusal {
        Refusal::ShuttingDown => "unexpected rpc fault [6] SHUTDOWN_STATE".to_owned(),
        Refusal::UnknownName { .. } => format!("unexpected rpc fault [10] BAD_NAME: {name}"),
        Refusal::BadRequest { .. }
        | Refusal::Config { .. }
        | Refusal::Denied { .. }
        | Refusal::Failed { .. } => format!("unexpected rpc fault [30] FAILED: {name}: {refusal}"),
    }
}

impl<'a> Deed<'a> {
    /// `None` for an unknown action, or one that lacks its process.
    pub(super) fn parse(action: &str, process: Option<&'a str>) -> Option<Deed<'a>> {
        let act = match action {
            "refresh" => return Some(Deed::Refresh),
            "stopall" => return Some(Deed::StopAll),
            "restartall" => return Some(Deed::RestartAll),
            "start" => Act::Start,
            "stop" => Act::Stop,
            "restart" => Act::Restart,
            "clearlog" => Act::ClearLog,
            _ => return None,
        };
        process.map(|name| Deed::One(act, name))
    }

    /// Does it; the message comes when it is complete.
    pub(super) async fn done(&self, context: &Context<'_>) -> String {
        let now = || date::full(context.inside.now().wall);
        match self {
            Deed::Refresh => format!("Page refreshed at {}", now()),
            Deed::StopAll => {
                let done = order(context, Verb::Stop, "all").await;
                done.map_or_else(|e| e, |_| format!("All stopped at {}", now()))
            }
            Deed::RestartAll => {
                let done = match order(context, Verb::Stop, "all").await {
                    Ok(_) => order(context, Verb::Start, "all").await,
                    Err(e) => Err(e),
                };
                done.map_or_else(|e| e, |_| format!("All restarted at {}", now()))
            }
            Deed::One(act, name) => one(context, *act, name).await,
        }
    }
}

async fn one(context: &Context<'_>, act: Act, name: &str) -> String {
    let snapshot = context.inside.snapshot();
    let Some(unit) = find(&snapshot, name) else { return format!("No such process named {name}") };
    let done = match act {
        Act::Start => start(context, unit, name).await,
        Act::Stop => stop(context, unit, name).await,
        Act::Restart => {
            // As in Supervisor, the message does not say what became of the two halves; the table does.
            // Only what refuses everything is told.
            match stop(context, unit, name).await {
                Err(text) if text.contains("SHUTDOWN_STATE") => Err(text),
                Ok(_) | Err(_) => {
                    let _ = start(context, unit, name).await;
                    Ok(format!("Process {name} restarted"))
                }
            }
        }
        Act::ClearLog => clear(context, unit, name).await,
    };
    done.unwrap_or_else(|text| text)
}

async fn start(context: &Context<'_>, unit: &UnitView, name: &str) -> Result<String, String> {
    let error = |why: &str| format!("ERROR: Process {name}: {why}");
    let mut found = context.inside.runnable(vec![unit.id]).await.map_err(|r| fault(&r, name))?;
    match found.pop() {
        Some(Ok(())) | None => {}
        Some(Err(Unrunnable::Missing(_))) => return Err(error("no such file")),
        Some(Err(Unrunnable::NotExecutable(_))) => return Err(error("file not executable")),
    }
    let rows = order(context, Verb::Start, &unit.spec.full_name()).await?;
    match rows.first().map(|row| row.outcome) {
        Some(Outcome::AlreadyRunning) => Err(error("already started")),
        Some(Outcome::Failed | Outcome::NotRunning) => Err(error("spawn error")),
        Some(Outcome::Superseded | Outcome::Stopped | Outcome::TimedOut) => {
            Err(error("abnormal termination"))
        }
        Some(
            Outcome::Started
            | Outcome::Restarted
            | Outcome::Accepted
            | Outcome::Signalled
            | Outcome::Reloaded,
        )
        | None => Ok(format!("Process {name} started")),
    }
}

async fn stop(context: &Context<'_>, unit: &UnitView, name: &str) -> Result<String, String> {
    let rows = order(context, Verb::Stop, &unit.spec.full_name()).await?;
    match rows.first() {
        Some(row) if row.outcome == Outcome::NotRunning => {
            Err(format!("unexpected rpc fault [70] NOT_RUNNING: {name}"))
        }
        Some(row) if row.outcome == Outcome::Failed => {
            Err(format!("unexpected rpc fault [30] FAILED: {name}: {}", row.detail))
        }
        Some(_) | None => Ok(format!("Process {name} stopped")),
    }
}

/// Both streams; one without a file needs no clearing.
async fn clear(context: &Context<'_>, unit: &UnitView, name: &str) -> Result<String, String> {
    for stream in [Stream::Stdout, Stream::Stderr] {
        let cleared = context.inside.clear_log(LogOf::Unit(unit.id, stream)).await;
        match cleared.map_err(|r| fault(&r, name))? {
            Ok(()) | Err(LogFault::NoFile) => {}
            Err(LogFault::BadArguments | LogFault::Failed(_)) => {
                return Err(format!("unexpected rpc fault [30] FAILED: {name}"));
            }
        }
    }
    Ok(format!("Log for {name} cleared"))
}

async fn order(context: &Context<'_>, verb: Verb, name: &str) -> Result<Vec<Row>, String> {
    let order =
        Order { verb, names: vec![name.to_owned()], wait: true, timeout_ms: None, rules: Rules::Supervisor };
    let mut rows = match context.inside.order(context.caller.clone(), order).await {
        Ok(rows) => rows,
        // There is no unit at all.
        Err(Refusal::UnknownName { .. }) if name == "all" => return Ok(Vec::new()),
        Err(refusal) => return Err(fault(&refusal, name)),
    };
    let mut all = Vec::new();
    while let Some(row) = rows.next().await.map_err(|r| fault(&r, name))? {
        all.push(row);
    }
    Ok(all)
}

/// Which actions a row of the table offers.
pub(super) fn offered(state: &State) -> &'static [(&'static str, &'static str)] {
    match state {
        State::Running { .. } => &[("Restart", "restart"), ("Stop", "stop")],
        State::Stopped { .. } | State::Exited { .. } | State::Fatal { .. } => &[("Start", "start")],
        State::Held
        | State::Starting { .. }
        | State::Backoff { .. }
        | State::Stopping { .. }
        | State::Unknown { .. } => &[],
    }
}
