//! `pid`: of the daemon, of processes.

use super::rpc::{code, list, number, text};
use super::session::{Done, Session, exit};

/// Runs `pid`.
pub(super) fn pid(session: &mut Session<'_>, args: &str) -> Done {
    if !session.upcheck()? {
        return Ok(());
    }
    let names: Vec<&str> = args.split_whitespace().collect();
    if names.is_empty() {
        let pid = session.call("getPID", &[])?.as_int().unwrap_or(0);
        session.say(&pid.to_string());
    } else if names.contains(&"all") {
        let all = session.call("getAllProcessInfo", &[])?;
        for row in list(&all) {
            session.say(&number(row, "pid").to_string());
        }
    } else {
        for name in names {
            one(session, name)?;
        }
    }
    Ok(())
}

fn one(session: &mut Session<'_>, name: &str) -> Done {
    match session.call("getProcessInfo", &[text(name)]) {
        Ok(info) => {
            let pid = number(&info, "pid");
            session.say(&pid.to_string());
            if pid == 0 {
                session.status = exit::NOT_RUNNING;
            }
        }
        Err(e) if e.code() == Some(code::BAD_NAME) => {
            session.fail(exit::GENERIC, &format!("No such process {name}"));
        }
        Err(e) => return Err(e),
    }
    Ok(())
}
