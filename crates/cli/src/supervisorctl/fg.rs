//! `fg`: a process's streams and input, as if it ran in front.

use super::logs::BANNER;
use super::rpc::{CallError, Visited, code, fault_text, number, text};
use super::session::{Done, Session, exit};

/// RUNNING (supervisor-contract 5).
const RUNNING: i64 = 20;

/// Runs `fg`.
pub(super) fn fg(session: &mut Session<'_>, args: &str) -> Done {
    if !session.upcheck()? {
        return Ok(());
    }
    let names: Vec<&str> = args.split_whitespace().collect();
    let name = match names.as_slice() {
        [] => {
            session.misused("fg", exit::GENERIC, "ERROR: no process name supplied");
            return Ok(());
        }
        [name] => *name,
        [_, _, ..] => {
            session.fail(exit::GENERIC, "ERROR: too many process names supplied");
            return Ok(());
        }
    };
    let info = match session.call("getProcessInfo", &[text(name)]) {
        Ok(info) => info,
        Err(e) if e.code() == Some(code::BAD_NAME) => {
            session.fail(exit::GENERIC, "ERROR: bad process name supplied");
            return Ok(());
        }
        Err(CallError::Fault(fault)) => {
            session.say(&format!("ERROR: {}", fault_text(&fault)));
            return Ok(());
        }
        Err(e) => return Err(e),
    };
    if number(&info, "state") != RUNNING {
        session.fail(exit::GENERIC, "ERROR: process not running");
        return Ok(());
    }
    session.say(BANNER);
    match session.daemon.visit(name, session.out, session.err) {
        Visited::Left => {}
        Visited::Gone => session.say("Process got killed"),
        Visited::Failed(CallError::Fault(fault)) => {
            session.say(&format!("ERROR: {}", fault_text(&fault)));
        }
        Visited::Failed(e) => return Err(e),
    }
    session.say("Exiting foreground");
    Ok(())
}
