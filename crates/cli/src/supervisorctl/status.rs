//! `status`: a row a process.

use super::names;
use super::rpc::{Value, list, member, number};
use super::session::{Done, Session, exit, full_name};
use std::fmt::Write as _;

/// Runs `status`.
pub(super) fn status(session: &mut Session<'_>, args: &str) -> Done {
    if !session.upcheck()? {
        session.status = exit::STATUS_UNKNOWN;
        return Ok(());
    }
    let all = session.call("getAllProcessInfo", &[])?;
    let all: Vec<&Value> = list(&all).iter().collect();
    let wanted: Vec<&str> = args.split_whitespace().collect();
    if wanted.is_empty() || wanted.contains(&"all") {
        show(session, &all);
        return Ok(());
    }
    let mut rows = Vec::new();
    for name in wanted {
        let spec = names::split(name);
        let matches = |row: &&&Value| {
            member(row, "group") == spec.group && spec.process.is_none_or(|p| member(row, "name") == p)
        };
        let before = rows.len();
        rows.extend(all.iter().filter(matches));
        if rows.len() == before {
            let text = match spec.process {
                Some(_) => format!("{name}: ERROR (no such process)"),
                None => format!("{}: ERROR (no such group)", spec.group),
            };
            session.fail(exit::STATUS_UNKNOWN, &text);
        }
    }
    show(session, &rows);
    Ok(())
}

fn show(session: &mut Session<'_>, rows: &[&Value]) {
    let names: Vec<String> = rows.iter().map(|row| full_name(row)).collect();
    let width = names.iter().map(|n| n.chars().count()).fold(30, usize::max) + 3;
    let mut text = String::new();
    for (row, name) in rows.iter().zip(&names) {
        let (state, description) = (member(row, "statename"), member(row, "description"));
        // Written at once: a thousand rows are one system call and not a thousand.
        let _ = writeln!(text, "{name:<width$}{state:<10}{description}");
        if is_down(number(row, "state")) {
            session.status = exit::STATUS_NOT_RUNNING;
        }
    }
    session.say_all(&text);
}

/// STOPPED, EXITED, FATAL and UNKNOWN.
fn is_down(state: i64) -> bool {
    matches!(state, 0 | 100 | 200 | 1000)
}
