//! `tail`, `maintail`, `clear`: reading and emptying logs.

use super::names;
use super::orders::{Reading, tell, tell_rows};
use super::rpc::{CallError, Followed, code, int, text};
use super::session::{Done, Session, exit};

/// Bytes that are shown without a number.
const DEFAULT_BYTES: i64 = 1600;

/// What stands before the stream of `-f`.
pub(super) const BANNER: &str = "==> Press Ctrl-C to exit <==";

/// Runs `tail`.
pub(super) fn tail(session: &mut Session<'_>, args: &str) -> Done {
    if !session.upcheck()? {
        return Ok(());
    }
    let words: Vec<&str> = args.split_whitespace().collect();
    let (modifier, rest) = match words.split_first() {
        None => {
            session.misused("tail", exit::GENERIC, "Error: too few arguments");
            return Ok(());
        }
        Some(_) if words.len() > 3 => {
            session.misused("tail", exit::GENERIC, "Error: too many arguments");
            return Ok(());
        }
        Some((first, rest)) if first.starts_with('-') => (Some(*first), rest),
        Some(_) => (None, words.as_slice()),
    };
    let (name, channel) = match rest {
        [] => {
            session.fail(exit::GENERIC, "Error: tail requires process name");
            return Ok(());
        }
        [name] => (*name, "stdout".to_string()),
        [name, .., channel] => (*name, channel.to_lowercase()),
    };
    let method = match channel.as_str() {
        "stdout" => "readProcessStdoutLog",
        "stderr" => "readProcessStderrLog",
        _ => {
            session.fail(exit::GENERIC, &format!("Error: bad channel {}", names::quoted(&channel)));
            return Ok(());
        }
    };
    if modifier == Some("-f") {
        follow(session, &format!("/logtail/{name}/{channel}"));
        return Ok(());
    }
    let Some(bytes) = byte_count(session, modifier) else { return Ok(()) };
    let answer = session.call(method, &[text(name), int(-bytes), int(0)]);
    show(session, name, answer.map(|v| v.as_str().unwrap_or_default().to_string()))
}

/// Runs `maintail`.
pub(super) fn maintail(session: &mut Session<'_>, args: &str) -> Done {
    if !session.upcheck()? {
        return Ok(());
    }
    let words: Vec<&str> = args.split_whitespace().collect();
    let modifier = match words.as_slice() {
        [] => None,
        [one] => Some(*one),
        [_, _, ..] => {
            session.misused("maintail", exit::GENERIC, "Error: too many arguments");
            return Ok(());
        }
    };
    if modifier == Some("-f") {
        follow(session, "/mainlogtail");
        return Ok(());
    }
    let Some(bytes) = byte_count(session, modifier) else { return Ok(()) };
    let answer = session.call("readLog", &[int(-bytes), int(0)]);
    show(session, "supervisord", answer.map(|v| v.as_str().unwrap_or_default().to_string()))
}

/// The number of `-N`. `None` after a complaint.
fn byte_count(session: &mut Session<'_>, modifier: Option<&str>) -> Option<i64> {
    let Some(modifier) = modifier else { return Some(DEFAULT_BYTES) };
    let number = modifier.strip_prefix('-').and_then(|n| n.parse::<i64>().ok());
    if number.is_none() {
        session.fail(exit::GENERIC, &format!("Error: bad argument {modifier}"));
    }
    number
}

fn show(session: &mut Session<'_>, name: &str, answer: Result<String, CallError>) -> Done {
    let words = match answer.as_ref().map_err(CallError::code) {
        Ok(log) => {
            session.say(log);
            return Ok(());
        }
        Err(Some(code::NO_FILE)) => "no log file",
        Err(Some(code::FAILED)) => "unknown error reading log",
        Err(Some(code::BAD_NAME)) if name != "supervisord" => "no such process name",
        Err(_) => return answer.map(drop),
    };
    session.fail(exit::GENERIC, &format!("{name}: ERROR ({words})"));
    Ok(())
}

/// A log that goes on.
fn follow(session: &mut Session<'_>, path: &str) {
    session.say(BANNER);
    match session.daemon.follow(path, session.out) {
        Followed::Interrupted => session.say(""),
        Followed::Refused(status) => {
            let text = format!("{}{path} Cannot read, status code {status}", session.daemon.url());
            session.complain(&text);
        }
        Followed::Unreachable(e) => {
            let text = format!("{}{path} Cannot connect, error: {e}", session.daemon.url());
            session.complain(&text);
        }
        Followed::Closed => {}
    }
}

fn read_clear(name: &str, code: i32, _: &str) -> Option<Reading> {
    match code {
        code::SUCCESS => Reading::good(name, "cleared"),
        code::BAD_NAME => Reading::error(name, "no such process", exit::GENERIC),
        code::FAILED => Reading::error(name, "failed", exit::GENERIC),
        _ => None,
    }
}

/// Runs `clear`.
pub(super) fn clear(session: &mut Session<'_>, args: &str) -> Done {
    if !session.upcheck()? {
        return Ok(());
    }
    let names: Vec<&str> = args.split_whitespace().collect();
    if names.is_empty() {
        session.misused("clear", exit::GENERIC, "Error: clear requires a process name");
        return Ok(());
    }
    if names.contains(&"all") {
        let rows = session.call("clearAllProcessLogs", &[])?;
        return tell_rows(session, read_clear, &rows);
    }
    for name in names {
        // The ancestor shows a whole group, which cannot be cleared, as a process None.
        let spec = names::split(name);
        let shown = names::join(spec.group, spec.process.unwrap_or("None"));
        match session.call("clearProcessLogs", &[text(name)]) {
            Ok(_) => tell(session, read_clear, &shown, code::SUCCESS, "")?,
            Err(CallError::Fault(fault)) => tell(session, read_clear, &shown, fault.code, &fault.text)?,
            Err(e) => return Err(e),
        }
    }
    Ok(())
}
