//! Why a unit is as it is: the chain of causes, found by walking back through its entries.

use super::{Entry, What};
use crate::snapshot::ProgramView;
use crate::time::Wall;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use serde::Serialize;

/// What is told about one unit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Story {
    /// Sentences, the most important first. Those that begin with two spaces quote output.
    pub lines: Vec<String>,
    /// The command to type next.
    pub next: String,
}

/// What the newest entries say about the present: the lives of one series belong together, from the start that
/// somebody or something wanted over all automatic restarts.
#[derive(Default)]
struct Chain<'a> {
    /// Starts of the series.
    starts: u32,
    /// The oldest of them.
    first: Option<&'a Entry>,
    /// What the first came from.
    root: Option<&'a Entry>,
    /// The newest end or failed start.
    death: Option<&'a Entry>,
    /// What ended the series: an order, a change, the daemon.
    stop: Option<&'a Entry>,
    /// KILL was necessary.
    killed: bool,
}

/// What an entry means on the way back to the cause of a start.
enum Role {
    /// A start.
    Start,
    /// The end of a life, which an automatic restart follows.
    End,
    /// Where a start comes from.
    Root,
    /// What only stops.
    Stop,
    /// Nothing of it.
    Aside,
}

fn role(what: &What) -> Role {
    match what {
        What::Asked(asked) if !asked.refused.is_empty() => Role::Aside,
        What::Asked(asked) => match asked.verb.split(' ').next().unwrap_or_default() {
            "stop" | "shutdown" | "remove" => Role::Stop,
            "start" | "restart" | "add" => Role::Root,
            _ => Role::Aside,
        },
        What::Started { .. } | What::StartFailed { .. } => Role::Start,
        What::Exited(_) => Role::End,
        What::FileChanged { change: super::Change::Removed, .. } => Role::Stop,
        What::FileChanged { .. } | What::Schedule { .. } | What::Probe { .. } => Role::Root,
        What::Daemon { deed, .. } => match deed {
            super::Deed::Started => Role::Root,
            super::Deed::ShutDown | super::Deed::Restart => Role::Stop,
            super::Deed::Crashed
            | super::Deed::Upgraded
            | super::Deed::RolledBack
            | super::Deed::KeeperLost => Role::Aside,
        },
        What::Adopted { .. }
        | What::Stopped(_)
        | What::Signalled { .. }
        | What::Killed { .. }
        | What::Backoff { .. }
        | What::GaveUp { .. }
        | What::Dependency { .. }
        | What::Refused { .. }
        | What::LeftRunning { .. }
        | What::OutOfReach { .. }
        | What::CommandFailed { .. }
        | What::Reloaded
        | What::Configuration { .. }
        | What::Other { .. } => Role::Aside,
    }
}

impl<'a> Chain<'a> {
    fn of(entries: &'a [Entry]) -> Chain<'a> {
        let mut chain = Chain::default();
        for entry in entries.iter().rev() {
            let is_end = matches!(entry.what, What::Exited(_) | What::Stopped(_) | What::StartFailed { .. });
            if is_end && chain.death.is_none() {
                chain.death = Some(entry);
            }
            let begun = chain.first.is_some();
            match role(&entry.what) {
                Role::Start => {
                    chain.starts += 1;
                    chain.first = Some(entry);
                }
                Role::End => {}
                Role::Root if begun => {
                    chain.root = Some(entry);
                    return chain;
                }
                // Whoever stopped it before the series began did not start it.
                Role::Stop if begun => return chain,
                // A restart or a changed description also ends what ran.
                Role::Root | Role::Stop => chain.stop = chain.stop.or(Some(entry)),
                Role::Aside => chain.killed |= !begun && matches!(entry.what, What::Killed { .. }),
            }
        }
        chain
    }
}

/// Tells why the unit is as it is. `entries` are its own, oldest first; `clock` writes a time for people.
pub fn why(entries: &[Entry], unit: &ProgramView<'_>, clock: &dyn Fn(Wall) -> String) -> Story {
    let chain = Chain::of(entries);
    let mut lines = Vec::new();
    lines.push(present(unit, clock));
    if unit.pid == 0 {
        fallen(&mut lines, &chain, unit, clock);
    } else {
        living(&mut lines, &chain, unit, clock);
    }
    if let Some(entry) = newest_of_daemon(entries) {
        lines.push(format!("At {}: {}.", clock(entry.at), entry.what));
    }
    let name = unit.full_name();
    let next = match &*unit.hint {
        "" => format!("supers history {name}"),
        hint => hint.to_string(),
    };
    Story { lines, next }
}

/// What it is, since when, and what its state says about the cause.
fn present(unit: &ProgramView<'_>, clock: &dyn Fn(Wall) -> String) -> String {
    let name = unit.full_name();
    let mut text = format!("{name} is {}", unit.state);
    if unit.since > 0 {
        text += &format!(" since {}", clock(Wall(unit.since.saturating_mul(1000))));
    }
    if unit.pid != 0 {
        text += &format!(", pid {}", unit.pid);
    }
    if !unit.reason.is_empty() {
        text += &format!(": {}", unit.reason);
    }
    text + "."
}

fn fallen(
    lines: &mut Vec<String>,
    chain: &Chain<'_>,
    unit: &ProgramView<'_>,
    clock: &dyn Fn(Wall) -> String,
) {
    if let Some(stop) = chain.stop.filter(|_| unit.state != "FATAL" && unit.state != "EXITED") {
        lines.push(format!("At {}: {}.", clock(stop.at), stop.what));
    }
    match chain.death {
        Some(death) => {
            let note = if chain.killed { "; it had to be killed" } else { "" };
            lines.push(format!("Last, at {}: {}{note}.", clock(death.at), death.what));
            quote(lines, death);
        }
        None if chain.starts == 0 && chain.stop.is_none() => {
            lines.push("The history knows of no start.".into());
        }
        None => {}
    }
    came_from(lines, chain, clock);
}

fn living(
    lines: &mut Vec<String>,
    chain: &Chain<'_>,
    unit: &ProgramView<'_>,
    clock: &dyn Fn(Wall) -> String,
) {
    if let Some(stop) = chain.stop.filter(|_| unit.state == "STOPPING") {
        lines.push(format!("At {}: {}.", clock(stop.at), stop.what));
    }
    if let Some(death) = chain.death.filter(|_| chain.starts > 1) {
        lines.push(format!("The run before, at {}: {}.", clock(death.at), death.what));
        quote(lines, death);
    }
    came_from(lines, chain, clock);
}

/// Where the series of starts came from.
fn came_from(lines: &mut Vec<String>, chain: &Chain<'_>, clock: &dyn Fn(Wall) -> String) {
    let Some(first) = chain.first else { return };
    let since = clock(first.at);
    let mut text = match chain.starts {
        1 => format!("It was started at {since}"),
        n => format!("It was started {n} times since {since}, {} of them by itself; the first", n - 1),
    };
    match chain.root {
        Some(root) => text += &format!(" because of this, at {}: {}.", clock(root.at), root.what),
        None => text += "; why is not in the history any more.",
    }
    lines.push(text);
}

/// A crash or an upgrade of the daemon is worth a word when it is the newest thing of all but one.
fn newest_of_daemon(entries: &[Entry]) -> Option<&Entry> {
    let is_word =
        |e: &&Entry| matches!(&e.what, What::Daemon { deed, .. } if !matches!(deed, super::Deed::Started));
    entries.iter().rev().take(2).find(is_word)
}

fn quote(lines: &mut Vec<String>, entry: &Entry) {
    let tail = entry.what.tail();
    if !tail.is_empty() {
        lines.push("Its last output:".into());
        lines.extend(tail.iter().map(|line| format!("  {line}")));
    }
}
