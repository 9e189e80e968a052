//! What happened, as lines of the main log: the phrases that scripts look for
//! (supervisor-contract 1, "Main-log phrases").

use crate::logs::mainlog::{Level, MainLog};
use supers_core::exit::Exit;
use supers_core::ids::Pid;
use supers_core::proc::{Note, Word};
use supers_core::spec::Spec;
use supers_core::time::Now;

/// The main log with the time filled in.
pub(crate) struct Journal {
    log: MainLog,
}

impl Journal {
    pub(crate) fn new(log: MainLog) -> Journal {
        Journal { log }
    }

    pub(crate) fn say(&self, level: Level, now: Now, text: &str) {
        self.log.log(level, now.wall, text);
    }

    pub(crate) fn info(&self, now: Now, text: &str) {
        self.say(Level::Info, now, text);
    }

    pub(crate) fn warn(&self, now: Now, text: &str) {
        self.say(Level::Warn, now, text);
    }

    /// Close and open again, after somebody moved the file.
    pub(crate) fn reopen(&self) {
        self.log.reopen();
    }

    /// One note about the unit `spec`.
    pub(crate) fn note(&self, now: Now, spec: &Spec, note: &Note) {
        if let Some((level, text)) = phrase(spec, note) {
            self.say(level, now, &text);
        }
    }
}

fn expectation(expected: bool) -> (&'static str, Level) {
    if expected { ("expected", Level::Info) } else { ("not expected", Level::Warn) }
}

/// The line for a note, if it has one.
fn phrase(spec: &Spec, note: &Note) -> Option<(Level, String)> {
    let name = &spec.name;
    Some(match note {
        Note::Spawned(Pid(pid)) => (Level::Info, format!("spawned: '{name}' with pid {pid}")),
        Note::SpawnFailed(error) => (Level::Info, format!("spawnerr: {error}")),
        Note::Changed { to: Word::Running, .. } => {
            let secs = spec.restart.startsecs.as_secs();
            let text = format!(
                "success: {name} entered RUNNING state, process has stayed up for > than {secs} seconds (startsecs)"
            );
            (Level::Info, text)
        }
        Note::Changed { to: Word::Fatal, .. } => {
            // The ancestor's phrase goes on with a reason that is true only where tries are counted.
            let why = if spec.restart.retry.is_some() { ", too many start retries too quickly" } else { "" };
            (Level::Info, format!("gave up: {name} entered FATAL state{why}"))
        }
        Note::Changed { from: Word::Starting, to: Word::Backoff, .. } => {
            (Level::Info, format!("backoff: {name} did not start, it is tried again"))
        }
        Note::Changed { .. } => return None,
        Note::Exited { exit, expected, .. } => {
            let (word, level) = expectation(*expected);
            let text = match exit {
                Exit::Signal { signal, core } => {
                    let core = if *core { " (core dumped)" } else { "" };
                    format!("exited: {name} (terminated by {signal}{core}; {word})")
                }
                Exit::Code(_) | Exit::Unknown => format!("exited: {name} ({exit}; {word})"),
            };
            (level, text)
        }
        Note::StopDone { exit, expected } => {
            let (_, level) = expectation(*expected);
            (level, format!("stopped: {name} ({exit})"))
        }
        Note::Killing(pid) => {
            let pid = pid.map_or(0, |Pid(p)| p);
            (Level::Warn, format!("killing '{name}' ({pid}) with SIGKILL"))
        }
        Note::CommandFailed(exe, cause) => {
            (Level::Warn, format!("{name}: {} failed: {cause}", crate::deeds::exe_word(*exe)))
        }
        Note::Reloaded => (Level::Info, format!("{name}: reloaded")),
        Note::Ignored(_) => return None,
    })
}
