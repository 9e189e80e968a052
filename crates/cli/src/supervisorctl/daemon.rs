//! `version`, `open`, `shutdown`, `reload`: the daemon itself.

use super::rpc::{CallError, code};
use super::session::{Done, Session, exit};
use super::status;

/// Runs `version`.
pub(super) fn version(session: &mut Session<'_>, args: &str) -> Done {
    if !session.no_arguments("version", args) || !session.upcheck()? {
        return Ok(());
    }
    let version = session.call("getSupervisorVersion", &[])?;
    session.say(version.as_str().unwrap_or_default());
    Ok(())
}

/// Runs `open`: the status of another daemon, whatever it is, is no problem of ours.
pub(super) fn open(session: &mut Session<'_>, args: &str) -> Done {
    let lower = args.to_lowercase();
    if !lower.starts_with("http://") && !lower.starts_with("unix://") {
        session.fail(exit::GENERIC, "ERROR: url must be http:// or unix://");
        return Ok(());
    }
    session.daemon.open(args);
    let before = session.status;
    let shown = status::status(session, "");
    session.status = before;
    shown
}

/// Runs `shutdown`.
pub(super) fn shutdown(session: &mut Session<'_>, args: &str) -> Done {
    if !session.no_arguments("shutdown", args)
        || !session.confirm("Really shut the remote supervisord process down y/N? ")?
    {
        return Ok(());
    }
    let url = session.daemon.url();
    match session.call("shutdown", &[]) {
        Ok(_) => session.say("Shut down"),
        Err(e) if e.code() == Some(code::SHUTDOWN_STATE) => session.say("ERROR: already shutting down"),
        Err(CallError::Refused) => {
            session.fail(exit::GENERIC, &format!("ERROR: {url} refused connection (already shut down?)"));
        }
        Err(CallError::NoFile) => {
            session.fail(exit::GENERIC, &format!("ERROR: {url} no such file (already shut down?)"));
        }
        Err(e) => return Err(e),
    }
    Ok(())
}

/// Runs `reload`.
pub(super) fn reload(session: &mut Session<'_>, args: &str) -> Done {
    if !session.no_arguments("reload", args)
        || !session.confirm("Really restart the remote supervisord process y/N? ")?
    {
        return Ok(());
    }
    match session.call("restart", &[]) {
        Ok(_) => session.say("Restarted supervisord"),
        Err(e) if e.code() == Some(code::SHUTDOWN_STATE) => {
            session.fail(exit::GENERIC, "ERROR: already shutting down");
        }
        Err(e) => return Err(e),
    }
    Ok(())
}
