//! `start`, `stop`, `restart`, `signal`: orders to processes, and how their results read.

use super::names;
use super::rpc::{CallError, Value, code, list, member, number, text};
use super::session::{Done, Session, exit, full_name};

/// How one result reads: the words after the name, or a whole line, and the exit status it asks for.
pub(super) struct Reading {
    pub(super) line: String,
    pub(super) status: Option<i32>,
}

impl Reading {
    pub(super) fn good(name: &str, word: &str) -> Option<Reading> {
        Some(Reading { line: format!("{name}: {word}"), status: None })
    }

    pub(super) fn error(name: &str, words: &str, status: i32) -> Option<Reading> {
        let status = Some(status).filter(|s| *s != 0);
        Some(Reading { line: format!("{name}: ERROR ({words})"), status })
    }
}

/// A result code with its name and text to a line; `None` for codes that the order does not have.
pub(super) type Reader = fn(name: &str, code: i32, text: &str) -> Option<Reading>;

fn read_start(name: &str, code: i32, _: &str) -> Option<Reading> {
    match code {
        code::SUCCESS => Reading::good(name, "started"),
        code::BAD_NAME => Reading::error(name, "no such process", exit::GENERIC),
        code::NO_FILE => Reading::error(name, "no such file", exit::GENERIC),
        code::NOT_EXECUTABLE => Reading::error(name, "file is not executable", exit::GENERIC),
        code::ALREADY_STARTED => Reading::error(name, "already started", 0),
        code::SPAWN_ERROR => Reading::error(name, "spawn error", exit::NOT_RUNNING),
        code::ABNORMAL_TERMINATION => Reading::error(name, "abnormal termination", exit::NOT_RUNNING),
        _ => None,
    }
}

fn read_stop(name: &str, code: i32, text: &str) -> Option<Reading> {
    match code {
        code::SUCCESS => Reading::good(name, "stopped"),
        code::NOT_RUNNING => Reading::error(name, "not running", 0),
        _ => read_refusal(name, code, text),
    }
}

fn read_signal(name: &str, code: i32, text: &str) -> Option<Reading> {
    match code {
        code::SUCCESS => Reading::good(name, "signalled"),
        code::NOT_RUNNING => Reading::error(name, "not running", exit::NOT_RUNNING),
        _ => read_refusal(name, code, text),
    }
}

/// What stop and signal have in common.
fn read_refusal(name: &str, code: i32, text: &str) -> Option<Reading> {
    match code {
        code::BAD_NAME => Reading::error(name, "no such process", exit::GENERIC),
        code::BAD_SIGNAL => Reading::error(name, "bad signal name", exit::GENERIC),
        code::FAILED => Some(Reading { line: text.to_string(), status: Some(exit::GENERIC) }),
        _ => None,
    }
}

/// Prints one result.
pub(super) fn tell(session: &mut Session<'_>, read: Reader, name: &str, code: i32, text: &str) -> Done {
    let Some(reading) = read(name, code, text) else {
        return Err(CallError::Value(format!("Unknown result code {code} for {name}")));
    };
    session.say(&reading.line);
    session.status = reading.status.unwrap_or(session.status);
    Ok(())
}

/// Prints result rows.
pub(super) fn tell_rows(session: &mut Session<'_>, read: Reader, rows: &Value) -> Done {
    for row in list(rows) {
        let code = i32::try_from(number(row, "status")).unwrap_or(0);
        tell(session, read, &full_name(row), code, member(row, "description"))?;
    }
    Ok(())
}

/// One kind of order: its three methods and how results read.
struct Order {
    process: &'static str,
    group: &'static str,
    all: &'static str,
    read: Reader,
    /// Exit status for a group that is not there.
    no_group: i32,
}

const START: Order = Order {
    process: "startProcess",
    group: "startProcessGroup",
    all: "startAllProcesses",
    read: read_start,
    no_group: exit::INVALID_ARGS,
};

const STOP: Order = Order {
    process: "stopProcess",
    group: "stopProcessGroup",
    all: "stopAllProcesses",
    read: read_stop,
    no_group: exit::GENERIC,
};

const SIGNAL: Order = Order {
    process: "signalProcess",
    group: "signalProcessGroup",
    all: "signalAllProcesses",
    read: read_signal,
    no_group: exit::GENERIC,
};

/// Gives an order to each name; `extra` are the arguments after the name.
fn give(session: &mut Session<'_>, order: &Order, names: &[&str], extra: &[Value]) -> Done {
    if names.contains(&"all") {
        let rows = session.call(order.all, extra)?;
        return tell_rows(session, order.read, &rows);
    }
    for name in names {
        let spec = names::split(name);
        let (method, target) = match spec.process {
            Some(_) => (order.process, *name),
            None => (order.group, spec.group),
        };
        let params: Vec<Value> = std::iter::once(text(target)).chain(extra.iter().cloned()).collect();
        match (session.call(method, &params), spec.process) {
            (Ok(_), Some(_)) => tell(session, order.read, name, code::SUCCESS, "")?,
            (Ok(rows), None) => tell_rows(session, order.read, &rows)?,
            (Err(CallError::Fault(fault)), Some(_)) => {
                tell(session, order.read, name, fault.code, &fault.text)?;
            }
            (Err(e), None) if e.code() == Some(code::BAD_NAME) => {
                session.fail(order.no_group, &format!("{}: ERROR (no such group)", spec.group));
            }
            (Err(e), _) => return Err(e),
        }
    }
    Ok(())
}

/// Runs `start`.
pub(super) fn start(session: &mut Session<'_>, args: &str) -> Done {
    simple(session, "start", args, exit::INVALID_ARGS, &[&START])
}

/// Runs `stop`.
pub(super) fn stop(session: &mut Session<'_>, args: &str) -> Done {
    simple(session, "stop", args, exit::GENERIC, &[&STOP])
}

/// Runs `restart`: all stops, then all starts.
pub(super) fn restart(session: &mut Session<'_>, args: &str) -> Done {
    simple(session, "restart", args, exit::GENERIC, &[&STOP, &START])
}

fn simple(session: &mut Session<'_>, command: &str, args: &str, misused: i32, orders: &[&Order]) -> Done {
    if !session.upcheck()? {
        return Ok(());
    }
    let names: Vec<&str> = args.split_whitespace().collect();
    if names.is_empty() {
        session.misused(command, misused, &format!("Error: {command} requires a process name"));
        return Ok(());
    }
    for order in orders {
        give(session, order, &names, &[])?;
    }
    Ok(())
}

/// Runs `signal`.
pub(super) fn signal(session: &mut Session<'_>, args: &str) -> Done {
    if !session.upcheck()? {
        return Ok(());
    }
    let words: Vec<&str> = args.split_whitespace().collect();
    match words.split_first() {
        Some((signal, names)) if !names.is_empty() => give(session, &SIGNAL, names, &[text(signal)]),
        _ => {
            session.misused(
                "signal",
                exit::GENERIC,
                "Error: signal requires a signal name and a process name",
            );
            Ok(())
        }
    }
}
