//! `avail`, `reread`, `update`, `add`, `remove`: the configuration and what runs of it.

use super::rpc::{CallError, Value, code, list, member, number, text};
use super::session::{Done, Session, exit, full_name};
use std::collections::BTreeSet;

/// Runs `avail`.
pub(super) fn avail(session: &mut Session<'_>, args: &str) -> Done {
    if !session.no_arguments("avail", args) {
        return Ok(());
    }
    let all = match session.call("getAllConfigInfo", &[]) {
        Ok(all) => all,
        Err(e) if e.code() == Some(code::SHUTDOWN_STATE) => {
            session.fail(exit::GENERIC, "ERROR: supervisor shutting down");
            return Ok(());
        }
        Err(e) => return Err(e),
    };
    let flag = |row: &Value, name: &str| row.get(name).and_then(Value::as_bool).unwrap_or(false);
    for row in list(&all) {
        let used = if flag(row, "inuse") { "in use" } else { "avail" };
        let auto = if flag(row, "autostart") { "auto" } else { "manual" };
        let (group, process) = (number(row, "group_prio"), number(row, "process_prio"));
        session.say(&format!("{:<32} {used:<9} {auto:<9} {group}:{process}", full_name(row)));
    }
    Ok(())
}

/// Names of groups by what became of them in the file.
struct Plan {
    added: Vec<String>,
    changed: Vec<String>,
    removed: Vec<String>,
}

fn reload_config(session: &mut Session<'_>) -> Result<Plan, CallError> {
    let answer = session.call("reloadConfig", &[])?;
    // Nested once more than it needs to be.
    let lists: Vec<Vec<String>> = list(&answer)
        .iter()
        .flat_map(list)
        .map(|names| list(names).iter().filter_map(|n| n.as_str().map(str::to_string)).collect())
        .collect();
    match <[Vec<String>; 3]>::try_from(lists) {
        Ok([added, changed, removed]) => Ok(Plan { added, changed, removed }),
        Err(_) => Err(CallError::Value("not enough values to unpack (expected 3)".into())),
    }
}

/// Runs `reread`.
pub(super) fn reread(session: &mut Session<'_>, args: &str) -> Done {
    if !session.no_arguments("reread", args) {
        return Ok(());
    }
    let plan = match reload_config(session) {
        Ok(plan) => plan,
        Err(CallError::Fault(fault)) if fault.code == code::CANT_REREAD => {
            session.fail(exit::GENERIC, &format!("ERROR: {}", fault.text));
            return Ok(());
        }
        Err(e) if e.code() == Some(code::SHUTDOWN_STATE) => {
            session.fail(exit::GENERIC, "ERROR: supervisor shutting down");
            return Ok(());
        }
        Err(e) => return Err(e),
    };
    let tagged = |names: Vec<String>, word: &'static str| names.into_iter().map(move |name| (name, word));
    let mut rows: Vec<(String, &str)> = tagged(plan.added, "available")
        .chain(tagged(plan.changed, "changed"))
        .chain(tagged(plan.removed, "disappeared"))
        .collect();
    rows.sort();
    if rows.is_empty() {
        session.say("No config updates to processes");
    }
    for (name, word) in rows {
        session.say(&format!("{name}: {word}"));
    }
    Ok(())
}

/// Runs `update`.
pub(super) fn update(session: &mut Session<'_>, args: &str) -> Done {
    let mut plan = match reload_config(session) {
        Ok(plan) => plan,
        Err(e) if e.code() == Some(code::SHUTDOWN_STATE) => {
            session.fail(exit::GENERIC, "ERROR: already shutting down");
            return Ok(());
        }
        Err(e) => return Err(e),
    };
    let wanted: Vec<&str> = args.split_whitespace().collect();
    if !wanted.is_empty() && !wanted.contains(&"all") {
        only(session, &mut plan, &wanted)?;
    }
    for group in &plan.removed {
        if stop_group(session, group)? {
            session.call("removeProcessGroup", &[text(group)])?;
            session.say(&format!("{group}: removed process group"));
        }
    }
    for group in &plan.changed {
        session.call("stopProcessGroup", &[text(group)])?;
        session.say(&format!("{group}: stopped"));
        session.call("removeProcessGroup", &[text(group)])?;
        session.call("addProcessGroup", &[text(group)])?;
        session.say(&format!("{group}: updated process group"));
    }
    for group in &plan.added {
        session.call("addProcessGroup", &[text(group)])?;
        session.say(&format!("{group}: added process group"));
    }
    Ok(())
}

/// Leaves only the wanted groups in the plan, and complains about names that are no group.
fn only(session: &mut Session<'_>, plan: &mut Plan, wanted: &[&str]) -> Done {
    let all = session.call("getAllProcessInfo", &[])?;
    let mut known: BTreeSet<&str> = list(&all).iter().map(|row| member(row, "group")).collect();
    known.extend(plan.added.iter().map(String::as_str));
    let mut said = BTreeSet::new();
    for name in wanted {
        if !known.contains(name) && said.insert(*name) {
            session.fail(exit::GENERIC, &format!("ERROR: no such group: {name}"));
        }
    }
    for names in [&mut plan.added, &mut plan.changed, &mut plan.removed] {
        names.retain(|n| wanted.contains(&n.as_str()));
    }
    Ok(())
}

/// Stops a group that is to go; false, and said so, when something of it could not be stopped.
fn stop_group(session: &mut Session<'_>, group: &str) -> Result<bool, CallError> {
    let rows = session.call("stopProcessGroup", &[text(group)])?;
    session.say(&format!("{group}: stopped"));
    let failed = list(&rows).iter().any(|row| number(row, "status") == i64::from(code::FAILED));
    if failed {
        session.fail(exit::GENERIC, &format!("{group}: has problems; not removing"));
    }
    Ok(!failed)
}

/// Runs `add`.
pub(super) fn add(session: &mut Session<'_>, args: &str) -> Done {
    for group in args.split_whitespace() {
        let answer = session.call("addProcessGroup", &[text(group)]);
        match answer.as_ref().map_err(CallError::code) {
            Ok(_) => session.say(&format!("{group}: added process group")),
            Err(Some(code::SHUTDOWN_STATE)) => session.fail(exit::GENERIC, "ERROR: shutting down"),
            Err(Some(code::ALREADY_ADDED)) => session.say("ERROR: process group already active"),
            Err(Some(code::BAD_NAME)) => no_such_group(session, group),
            Err(_) => return answer.map(drop),
        }
    }
    Ok(())
}

/// Runs `remove`.
pub(super) fn remove(session: &mut Session<'_>, args: &str) -> Done {
    for group in args.split_whitespace() {
        let answer = session.call("removeProcessGroup", &[text(group)]);
        match answer.as_ref().map_err(CallError::code) {
            Ok(_) => session.say(&format!("{group}: removed process group")),
            Err(Some(code::STILL_RUNNING)) => {
                session.fail(exit::GENERIC, &format!("ERROR: process/group still running: {group}"));
            }
            Err(Some(code::BAD_NAME)) => no_such_group(session, group),
            Err(_) => return answer.map(drop),
        }
    }
    Ok(())
}

fn no_such_group(session: &mut Session<'_>, group: &str) {
    session.fail(exit::GENERIC, &format!("ERROR: no such process/group: {group}"));
}
