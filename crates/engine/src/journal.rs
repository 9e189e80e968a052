//! What happened, as lines of the main log: the phrases that scripts look for
//! (supervisor-contract 1, "Main-log phrases").

use crate::logs::mainlog::{Level, MainLog};
use supers_core::exit::Exit;
use supers_core::ids::Pid;
use supers_core::proc::{Note, Word};
use supers_core::spec::Spec;
use supers_core::time::{Now, Wall};

/// The main log, written once a turn: a storm of a hundred restarts is one write, and none of it comes
/// between the end of a process and the next start.
pub(crate) struct Journal {
    log: MainLog,
    lines: Vec<(Level, Wall, String)>,
}

impl Journal {
    pub(crate) fn new(log: MainLog) -> Journal {
        Journal { log, lines: Vec::new() }
    }

    pub(crate) fn say(&mut self, level: Level, now: Now, text: impl Into<String>) {
        if self.log.enabled(level) {
            self.lines.push((level, now.wall, text.into()));
        }
    }

    pub(crate) fn info(&mut self, now: Now, text: impl Into<String>) {
        self.say(Level::Info, now, text);
    }

    pub(crate) fn warn(&mut self, now: Now, text: impl Into<String>) {
        self.say(Level::Warn, now, text);
    }

    /// Writes what was said. Called at the end of each turn.
    pub(crate) fn flush(&mut self) {
        if !self.lines.is_empty() {
            self.log.log_all(&self.lines);
            self.lines.clear();
        }
    }

    /// Close and open again, after somebody moved the file.
    pub(crate) fn reopen(&self) {
        self.log.reopen();
    }

    /// One note about the unit `spec`.
    pub(crate) fn note(&mut self, now: Now, spec: &Spec, note: &Note) {
        if let Some((level, text)) = phrase(spec, note) {
            self.say(level, now, text);
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
