//! The history: what happened to each unit and who wanted it, kept over crashes in a bounded ring on disk
//! (`ring`), with the last lines of output of each death (`tail`). It is also the audit trail.
//!
//! The engine notes; nothing is written before [`History::flush`] at the end of its turn, and then in one
//! write. Readers ([`Reader`]) read the files on their own threads.
//!
//! *Must never:* cost anything while nothing happens, read a disk between a death and the next start, end
//! or stop the daemon because a disk is full.
//!
//! Queues: entries of one turn (`TURN`, the oldest is dropped and counted); what the disk did not take
//! ([`Limits::memory`], likewise).

mod oom;
mod read;
mod ring;
mod tail;
#[cfg(test)]
mod tests;

pub use read::Reader;
pub use ring::Limits;

use crate::deeds::exe_word;
use crate::handle::Notices;
use crate::logs::Streams;
use ring::{Backlog, Ring, Told, lock};
use std::collections::{HashMap, VecDeque};
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use supers_core::control::Caller;
use supers_core::exit::Exit;
use supers_core::history::{Asked, Change, Death, Deed, Entry, Oom, What};
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::proc::{Cause, Note, Phase, State, Unit, Word};
use supers_core::signal::Signal;
use supers_core::snapshot::Origin;
use supers_core::spec::Spec;
use supers_core::time::{Now, Wall};
use tail::{Marks, Tail};

/// Entries that one turn of the engine may note.
const TURN: usize = 8192;
/// Names that an order's entry lists; when there are more it counts as one for all.
const NAMES: usize = 512;
/// Bytes of one text from outside.
const TEXT: usize = 2048;

/// The writing end, owned by the engine.
pub struct History {
    ring: Ring,
    backlog: Arc<Mutex<Backlog>>,
    reader: Reader,
    queue: VecDeque<Queued>,
    /// Signals that were sent to living runs, a bit each.
    sent: HashMap<RunId, u64>,
    /// The end that the next note is about.
    end: Option<Ending>,
    /// The run that ended last, when the kernel killed it for want of memory and its group says so.
    starved: Option<RunId>,
    marks: Marks,
    oom: oom::Watch,
    /// What made superd read the configuration, in a sentence.
    reader_of_files: String,
}

struct Queued {
    entry: Entry,
    /// The output to be added to its [`Death`].
    tail: Option<Tail>,
    /// It may have been the kernel, which is found out when nobody waits for it.
    suspect: bool,
}

/// A process that ended, for [`History::ended`].
pub struct End<'a> {
    /// Whose.
    pub unit: UnitId,
    /// Which life.
    pub run: RunId,
    /// The process.
    pub pid: Pid,
    /// How.
    pub exit: Exit,
    /// Where its output went.
    pub streams: Option<&'a Streams>,
    /// Asks its control group whether the kernel killed it for want of memory (`None`: that does not tell). Called
    /// only when it may have been so.
    pub oom: &'a dyn Fn() -> Option<Oom>,
}

struct Ending {
    run: RunId,
    death: Death,
    tail: Option<Tail>,
    /// As in [`Queued`].
    suspect: bool,
}

impl History {
    /// Opens the history in this folder, or makes it. A sentence when it cannot be written: entries then stay
    /// in memory.
    pub fn open(dir: &Path, limits: Limits) -> (History, Option<String>) {
        let backlog: Arc<Mutex<Backlog>> = Arc::default();
        let (ring, told) = Ring::open(dir, limits, backlog.clone());
        let history = History {
            ring,
            reader: Reader::new(dir, limits, backlog.clone()),
            backlog,
            queue: VecDeque::new(),
            sent: HashMap::new(),
            end: None,
            starved: None,
            marks: Marks::default(),
            oom: oom::Watch::new("/proc/vmstat"),
            reader_of_files: String::new(),
        };
        let notice = match told {
            Told::Broken(text) => Some(text),
            Told::Nothing | Told::Mended => None,
        };
        (history, notice)
    }

    /// A reading end.
    pub fn reader(&self) -> Reader {
        self.reader.clone()
    }

    /// Adds an entry; it is written at the next [`History::flush`].
    pub fn push(&mut self, entry: Entry) {
        self.queue_up(Queued { entry, tail: None, suspect: false });
    }

    fn queue_up(&mut self, queued: Queued) {
        if self.queue.len() >= TURN {
            self.queue.pop_front();
            lock(&self.backlog).dropped += 1;
        }
        self.queue.push_back(queued);
    }

    fn of_unit(&mut self, at: Wall, spec: &Spec, run: RunId, what: What) {
        self.push(Entry { at, unit: Some(spec.full_name()), run: run.0, what });
    }

    /// Somebody asked for `verb`: `names` as given, `units` the full names that they stand for.
    pub fn asked(&mut self, now: Now, caller: &Caller, verb: &str, names: &[String], units: Vec<String>) {
        self.asked_of(now, caller, verb, names, units, "");
    }

    /// Somebody asked for `verb`, which was refused for this reason.
    pub fn refused(&mut self, now: Now, caller: &Caller, verb: &str, names: &[String], why: &str) {
        self.asked_of(now, caller, verb, names, Vec::new(), why);
    }

    fn asked_of(
        &mut self,
        now: Now,
        caller: &Caller,
        verb: &str,
        names: &[String],
        mut units: Vec<String>,
        why: &str,
    ) {
        let everybody = ["shutdown", "restart of the daemon"].contains(&verb);
        let all = everybody || units.len() > NAMES || names.iter().any(|n| n == "all");
        let unit = if units.len() == 1 && !all { units.pop() } else { None };
        if all {
            units.clear();
        }
        let mut names = names.to_vec();
        names.truncate(NAMES);
        names.iter_mut().for_each(|n| cut(n, TEXT));
        let asked = Asked {
            verb: verb.into(),
            names,
            units,
            all,
            who: caller.who.clone(),
            door: caller.door.clone(),
            refused: cut_text(why),
        };
        // Whatever may make superd read files; it is done a moment later.
        if why.is_empty() && verb != "stop" && !verb.starts_with("signal") {
            self.reader_of_files = asked.to_string();
        }
        self.push(Entry { at: now.wall, unit, run: 0, what: What::Asked(asked) });
    }

    /// A signal was sent to a run.
    pub fn signalled(&mut self, now: Now, spec: &Spec, run: RunId, signal: Signal, by: &str) {
        *self.sent.entry(run).or_default() |= 1 << (signal.number() - 1);
        // A KILL has an entry of its own when a stop took too long.
        if by != "stop" || signal != Signal::KILL {
            self.of_unit(now.wall, spec, run, What::Signalled { signal: signal.number(), by: by.into() });
        }
    }

    /// A process ended. Said before the unit is told: what that notes about its end is put together with this.
    pub fn ended(&mut self, now: Now, end: &End<'_>, unit: Option<&Unit>) {
        let sent = self.sent.remove(&end.run).unwrap_or(0);
        let foreign = unit.is_some_and(|unit| is_foreign(end.exit, sent, &unit.state));
        let kill = matches!(end.exit, Exit::Signal { signal: Signal::KILL, .. });
        let told = if foreign && kill { (end.oom)() } else { None };
        self.starved = (told == Some(Oom::Yes)).then_some(end.run);
        let death = Death {
            pid: end.pid.0,
            exit: end.exit.number(),
            core: matches!(end.exit, Exit::Signal { core: true, .. }),
            expected: false,
            lived_ms: unit.and_then(|unit| lived(unit, now)),
            foreign,
            oom: told.unwrap_or_default(),
            tail: Vec::new(),
        };
        let tail = end.streams.and_then(|streams| self.marks.tail(end.unit, streams));
        let suspect = foreign && kill && told.is_none();
        self.end = Some(Ending { run: end.run, death, tail, suspect });
    }

    /// The run that ended last is this one, and the kernel killed it for want of memory: its group says so.
    pub fn is_starved(&self, run: RunId) -> bool {
        self.starved == Some(run)
    }

    /// A note of the core about a unit, which is there unless it was removed.
    pub fn note(&mut self, now: Now, spec: &Spec, unit: Option<&Unit>, note: &Note) {
        let run = unit.map_or(RunId(0), |unit| unit.run);
        match note {
            Note::Exited { exit, expected, .. } => self.death(now, spec, (*exit, *expected), What::Exited),
            Note::StopDone { exit, expected } => self.death(now, spec, (*exit, *expected), What::Stopped),
            other => {
                if let Some(what) = plain(other, unit, now) {
                    self.of_unit(now.wall, spec, run, what);
                }
            }
        }
    }

    fn death(&mut self, now: Now, spec: &Spec, (exit, expected): (Exit, bool), kind: fn(Death) -> What) {
        let core = matches!(exit, Exit::Signal { core: true, .. });
        let known = || Death { exit: exit.number(), core, ..Death::default() };
        let end = self.end.take();
        let run = end.as_ref().map_or(RunId(0), |end| end.run);
        let (mut death, tail, suspect) =
            end.map_or_else(|| (known(), None, false), |end| (end.death, end.tail, end.suspect));
        death.expected = expected;
        let what = kind(death);
        // What ended as it should needs no last words; what had to be killed does.
        let killed = matches!(exit, Exit::Signal { signal: Signal::KILL, .. });
        let tail = tail.filter(|_| killed || !expected && matches!(what, What::Exited(_)));
        let entry = Entry { at: now.wall, unit: Some(spec.full_name()), run: run.0, what };
        self.queue_up(Queued { entry, tail, suspect });
    }

    /// A process of an earlier daemon was taken over.
    pub fn adopted(&mut self, now: Now, spec: &Spec, run: RunId, pid: Pid) {
        self.of_unit(now.wall, spec, run, What::Adopted { pid: pid.0 });
    }

    /// A description appeared, changed or went.
    pub fn file_changed(&mut self, now: Now, spec: &Spec, origin: &Origin, change: Change) {
        let by = self.reader_of_files.clone();
        let (file, line) = (origin.file.clone(), origin.line);
        self.of_unit(now.wall, spec, RunId(0), What::FileChanged { file, line, change, by });
    }

    /// The configuration was read and taken (so many added, changed, removed), or not.
    pub fn configuration(&mut self, now: Now, counts: Result<(usize, usize, usize), &str>) {
        let small = |n| u32::try_from(n).unwrap_or(u32::MAX);
        let ((a, c, r), refused) = counts.map_or_else(|e| ((0, 0, 0), cut_text(e)), |n| (n, String::new()));
        let what = What::Configuration { added: small(a), changed: small(c), removed: small(r), refused };
        self.push(Entry { at: now.wall, unit: None, run: 0, what });
    }

    /// Something happened to the daemon.
    pub fn daemon(&mut self, now: Now, deed: Deed, detail: &str) {
        let what = What::Daemon { deed, detail: cut_text(detail) };
        self.push(Entry { at: now.wall, unit: None, run: 0, what });
    }

    /// A unit is gone for good.
    pub fn forget(&mut self, unit: UnitId) {
        self.marks.forget(unit);
    }

    /// Writes what was noted, in one write. Called at the end of each turn, when what was decided is done:
    /// the last lines of output are read here.
    pub fn flush(&mut self, notices: &Notices) {
        self.end = None;
        if self.queue.is_empty() {
            return;
        }
        let oom = &mut self.oom;
        let lines = self.queue.drain(..).filter_map(|queued| line(queued, oom)).collect();
        match self.ring.append(lines) {
            Told::Nothing => {}
            Told::Broken(text) => notices.add(text),
            Told::Mended => notices.clear(ring::BROKEN),
        }
    }
}

fn line(queued: Queued, oom: &mut oom::Watch) -> Option<Vec<u8>> {
    let Queued { mut entry, tail, suspect } = queued;
    if let What::Exited(death) | What::Stopped(death) = &mut entry.what {
        if let Some(tail) = tail {
            death.tail = tail.read();
        }
        if suspect {
            death.oom = oom.look();
        }
    }
    let mut line = serde_json::to_vec(&entry).ok()?;
    line.push(b'\n');
    Some(line)
}

/// The entry for a note that needs nothing else.
fn plain(note: &Note, unit: Option<&Unit>, now: Now) -> Option<What> {
    Some(match note {
        // The later commands of a oneshot are no starts of their own.
        Note::Spawned(_) if is_later_command(unit) => return None,
        Note::Spawned(Pid(pid)) => What::Started { pid: *pid },
        Note::SpawnFailed(error) => What::from(error),
        Note::Killing(pid) => What::Killed { pid: pid.map_or(0, |Pid(pid)| pid) },
        Note::CommandFailed(exe, cause) => {
            What::CommandFailed { command: exe_word(*exe).into(), detail: cut_text(&cause.to_string()) }
        }
        Note::Reloaded => What::Reloaded,
        Note::Changed { to, .. } => return changed(*to, &unit?.state, now),
        Note::Exited { .. } | Note::StopDone { .. } | Note::Ignored(_) => return None,
    })
}

fn is_later_command(unit: Option<&Unit>) -> bool {
    matches!(unit.map(|unit| &unit.state), Some(State::Starting { index: 1.., .. }))
}

/// What a change of the state tells beyond what led to it. The unit may be further on already: BACKOFF that
/// becomes FATAL at once was no pause.
fn changed(to: Word, state: &State, now: Now) -> Option<What> {
    match (to, state) {
        (Word::Backoff, State::Backoff { until, attempt, .. }) => {
            let pause = until.since(now.mono);
            let wait_ms = u64::try_from(pause.as_millis()).unwrap_or(u64::MAX);
            let until = Wall(now.wall.0.saturating_add(i64::try_from(wait_ms).unwrap_or(i64::MAX)));
            Some(What::Backoff { attempt: *attempt, until, wait_ms })
        }
        (Word::Fatal, State::Fatal { cause }) => Some(fatal(cause)),
        (Word::Stopped, State::Stopped { cause: Cause::LeftRunning(pid) }) => {
            Some(What::LeftRunning { pid: pid.map_or(0, |Pid(pid)| pid) })
        }
        (Word::Unknown, State::Unknown { pid, .. }) => Some(What::OutOfReach { pid: pid.0 }),
        // Any other pair is told by a note of its own, or is nobody's news.
        _ => None,
    }
}

fn fatal(cause: &Cause) -> What {
    match cause {
        Cause::Dependency(on) => What::Dependency { on: on.clone() },
        Cause::Refused(why) => What::Refused { detail: cut_text(why) },
        Cause::GaveUp { tries, .. } => What::GaveUp { tries: *tries, detail: cut_text(&cause.to_string()) },
        Cause::Never
        | Cause::Asked
        | Cause::Shutdown
        | Cause::Exit { .. }
        | Cause::TooQuick { .. }
        | Cause::Start(_)
        | Cause::Limit { .. }
        | Cause::TimedOut(_)
        | Cause::LeftRunning(_) => What::GaveUp { tries: 0, detail: cut_text(&cause.to_string()) },
    }
}

/// Signals that processes do not send to themselves by a mistake: when we did not either, somebody else did.
const FROM_OUTSIDE: [i32; 8] = [1, 2, 3, 9, 10, 12, 15, 19];

fn is_foreign(exit: Exit, sent: u64, state: &State) -> bool {
    let Exit::Signal { signal, .. } = exit else { return false };
    let number = signal.number();
    if !FROM_OUTSIDE.contains(&number) || sent & (1 << (number - 1)) != 0 {
        return false;
    }
    // Of a stop that an earlier daemon began it is not known which signals were sent; its phase tells.
    match state {
        State::Stopping { phase: Phase::Kill, .. } => false,
        State::Stopping { .. } => signal == Signal::KILL,
        State::Stopped { .. }
        | State::Held
        | State::Starting { .. }
        | State::Running { .. }
        | State::Backoff { .. }
        | State::Exited { .. }
        | State::Fatal { .. }
        | State::Unknown { .. } => true,
    }
}

fn lived(unit: &Unit, now: Now) -> Option<u64> {
    let lived = match (&unit.state, unit.started) {
        (State::Starting { begun, .. } | State::Running { begun, .. }, _) => now.mono.since(*begun),
        (_, Some(Wall(started))) => Duration::from_millis(u64::try_from(now.wall.0 - started).ok()?),
        (_, None) => return None,
    };
    u64::try_from(lived.as_millis()).ok()
}

fn cut_text(text: &str) -> String {
    let mut text = text.to_owned();
    cut(&mut text, TEXT);
    text
}

/// Cuts a text at a character's end.
fn cut(text: &mut String, most: usize) {
    if text.len() > most {
        let end = (0..=most).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
}
