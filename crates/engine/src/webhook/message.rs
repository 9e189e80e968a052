//! What is told, decided from values: which notes are abnormal ends, and the text that goes out.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};
use std::fmt;
use std::time::Duration;
use supers_config::Webhooks as Settings;
use supers_config::webhook::Url;
use supers_core::exit::Exit;
use supers_core::ids::{Pid, RunId};
use supers_core::proc::{Cause, Note, State, Word};
use supers_core::spec::Spec;
use supers_core::time::Wall;

/// Lines of output that go along, at most.
pub const TAIL_LINES: usize = 20;
/// Bytes of one such line, at most.
const TAIL_WIDTH: usize = 1000;

/// What kind of abnormal event it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Abnormal {
    /// A run ended otherwise than its policy calls clean, and nobody had asked for its end.
    Exit,
    /// A start failed, or took too long.
    Start,
    /// The unit was given up. Told only when that is news: not when a single failed start, which is told
    /// already, is all there was.
    Fatal,
}

impl Abnormal {
    /// In a message.
    pub fn word(self) -> &'static str {
        match self {
            Abnormal::Exit => "exit",
            Abnormal::Start => "start",
            Abnormal::Fatal => "fatal",
        }
    }

    fn is_wanted(self, settings: &Settings) -> bool {
        match self {
            Abnormal::Exit => settings.events.exit,
            Abnormal::Start => settings.events.start,
            Abnormal::Fatal => settings.events.fatal,
        }
    }
}

/// Judges a note about a unit, whose state after it is `state`. One end of a run is one event, however many
/// notes it makes. `stopping`: the daemon is ending, which makes units FATAL that nobody gave up.
pub fn abnormal(note: &Note, state: &State, stopping: bool) -> Option<Abnormal> {
    match note {
        Note::Exited { expected: false, .. } => Some(Abnormal::Exit),
        Note::SpawnFailed(_) => Some(Abnormal::Start),
        // The start took too long: nobody asked for that stop, and no other note says so.
        Note::Changed { from: Word::Stopping, to: Word::Backoff, .. } => Some(Abnormal::Start),
        Note::Changed { to: Word::Fatal, .. } if !stopping && is_news(state) => Some(Abnormal::Fatal),
        Note::Changed { .. }
        | Note::Spawned(_)
        | Note::Exited { .. }
        | Note::StopDone { .. }
        | Note::Killing(_)
        | Note::CommandFailed(..)
        | Note::Reloaded
        | Note::Ignored(_) => None,
    }
}

/// FATAL says more than the last end of a run did.
fn is_news(state: &State) -> bool {
    match cause_of(state) {
        Some(Cause::Exit { .. } | Cause::TooQuick { .. } | Cause::Start(_)) => false,
        Some(Cause::Never | Cause::Asked | Cause::Shutdown) => false,
        Some(
            Cause::GaveUp { .. }
            | Cause::Limit { .. }
            | Cause::Dependency(_)
            | Cause::Refused(_)
            | Cause::TimedOut(_)
            | Cause::LeftRunning(_),
        )
        | None => true,
    }
}

fn cause_of(state: &State) -> Option<&Cause> {
    match state {
        State::Stopped { cause }
        | State::Backoff { cause, .. }
        | State::Exited { cause, .. }
        | State::Fatal { cause } => Some(cause),
        State::Held
        | State::Starting { .. }
        | State::Running { .. }
        | State::Stopping { .. }
        | State::Unknown { .. } => None,
    }
}

/// Whether anybody is to be told; asked before the last lines of output are read.
pub fn is_wanted(settings: &Settings, spec: &Spec, what: Abnormal) -> bool {
    what.is_wanted(settings) && settings.url_of(&spec.program).is_some()
}

/// Who tells.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Sender {
    /// Name of this machine.
    pub host: String,
    /// Which configuration: its path.
    pub config: String,
    /// Tells one row of run numbers from the next: must stay over a crash and an upgrade of the daemon, and
    /// change when the numbers begin anew.
    pub lineage: String,
    /// Product version.
    pub version: String,
}

/// One abnormal event, with all that is known of it.
#[derive(Debug)]
pub struct Fact<'a> {
    /// Its kind, from [`abnormal`].
    pub what: Abnormal,
    /// The unit.
    pub spec: &'a Spec,
    /// What was noted.
    pub note: &'a Note,
    /// What the unit is now.
    pub state: &'a State,
    /// The run that ended or did not start; for FATAL the last one.
    pub run: RunId,
    /// Failed starts in a row.
    pub attempt: u32,
    /// The kernel killed it because memory was short.
    pub oom: bool,
    /// When.
    pub at: Wall,
    /// The last lines of its output.
    pub tail: Vec<String>,
}

/// Names one logical delivery, whoever makes it again.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Id([u8; 16]);

impl Id {
    /// From its 32 digits.
    pub fn parse(text: &str) -> Option<Id> {
        let tidy = text.len() == 32 && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        let number = u128::from_str_radix(text, 16).ok().filter(|_| tidy)?;
        Some(Id(number.to_be_bytes()))
    }

    /// The same end of the same run has the same id, also when a daemon that crashed in between makes it
    /// twice. What is no end of a run is told apart by its time.
    fn of(sender: &Sender, fact: &Fact<'_>) -> Id {
        let of_no_run = fact.what == Abnormal::Fatal
            && matches!(cause_of(fact.state), Some(Cause::Dependency(_) | Cause::Refused(_)));
        let time = if of_no_run { fact.at.0 } else { 0 };
        let mut hash = Sha256::new();
        let name = fact.spec.full_name();
        for part in [&sender.host, &sender.config, &sender.lineage, &name, fact.what.word()] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part);
        }
        hash.update(fact.run.0.to_be_bytes());
        hash.update(time.to_be_bytes());
        let mut id = [0; 16];
        id.iter_mut().zip(hash.finalize()).for_each(|(to, from)| *to = from);
        Id(id)
    }
}

impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:032x}", u128::from_be_bytes(self.0))
    }
}

impl fmt::Debug for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

/// One message on its way, complete: a later change of the configuration does not change it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Delivery {
    #[serde(skip, default = "no_id")]
    pub(super) id: Id,
    pub(super) url: Url,
    pub(super) timeout: Duration,
    pub(super) headers: Vec<(String, String)>,
    pub(super) at: Wall,
    pub(super) body: String,
}

fn no_id() -> Id {
    Id([0; 16])
}

#[derive(Serialize)]
struct Payload<'a> {
    id: String,
    event: &'static str,
    host: &'a str,
    config: &'a str,
    unit: String,
    group: &'a str,
    run: u64,
    pid: Option<i32>,
    exit: Option<How>,
    expected: bool,
    state: &'static str,
    attempt: u32,
    reason: String,
    at: String,
    tail: Vec<String>,
    supers: &'a str,
}

#[derive(Serialize)]
struct How {
    code: Option<u8>,
    signal: Option<String>,
    core: bool,
    oom: bool,
}

/// The message about a fact, when somebody wants it.
pub fn delivery(sender: &Sender, settings: &Settings, fact: &Fact<'_>) -> Option<Delivery> {
    let url = settings.url_of(&fact.spec.program).filter(|_| fact.what.is_wanted(settings))?;
    let id = Id::of(sender, fact);
    let (pid, exit) = match fact.note {
        Note::Exited { exit, pid, .. } => (Some(*pid), Some(how(*exit, fact.oom))),
        Note::Changed { from: Word::Stopping, pid, .. } => (*pid, None),
        Note::Changed { .. }
        | Note::Spawned(_)
        | Note::SpawnFailed(_)
        | Note::StopDone { .. }
        | Note::Killing(_)
        | Note::CommandFailed(..)
        | Note::Reloaded
        | Note::Ignored(_) => (None, None),
    };
    let payload = Payload {
        id: id.to_string(),
        event: fact.what.word(),
        host: &sender.host,
        config: &sender.config,
        unit: fact.spec.full_name(),
        group: &fact.spec.group,
        run: fact.run.0,
        pid: pid.map(|Pid(pid)| pid),
        exit,
        expected: false,
        state: fact.state.word(),
        attempt: fact.attempt,
        reason: reason(fact),
        at: rfc3339(fact.at),
        tail: tail(&fact.tail),
        supers: &sender.version,
    };
    let body = serde_json::to_string(&payload).ok()?;
    let headers = headers(sender, settings, url, fact.what, &body);
    Some(Delivery { id, url: url.clone(), timeout: settings.timeout, headers, at: fact.at, body })
}

fn how(exit: Exit, oom: bool) -> How {
    let (code, signal, core) = match exit {
        Exit::Code(code) => (Some(code), None, false),
        Exit::Signal { signal, core } => (None, Some(signal.to_string()), core),
        Exit::Unknown => (None, None, false),
    };
    How { code, signal, core, oom }
}

/// The sentence. A unit that is being started again already does not know the cause of its last end any more.
fn reason(fact: &Fact<'_>) -> String {
    let cause = match (fact.note, cause_of(fact.state)) {
        (Note::SpawnFailed(error), _) => Cause::Start(error.clone()).to_string(),
        (Note::Exited { .. } | Note::Changed { .. }, Some(cause)) => match (fact.what, cause) {
            // The end is one event, the giving up another.
            (Abnormal::Exit, Cause::GaveUp { last, .. } | Cause::Limit { last, .. }) => last.to_string(),
            (Abnormal::Exit | Abnormal::Start | Abnormal::Fatal, cause) => cause.to_string(),
        },
        (Note::Exited { exit, .. }, None) => exit.to_string(),
        (_, None) => format!("it is {} now", fact.state.word()),
        (_, Some(cause)) => cause.to_string(),
    };
    let memory = if fact.oom { ", because memory was short" } else { "" };
    format!("{}: {cause}{memory}", fact.spec.full_name())
}

/// UTC, with milliseconds.
fn rfc3339(at: Wall) -> String {
    jiff::Timestamp::from_millisecond(at.0).map(|t| format!("{t:.3}")).unwrap_or_default()
}

fn tail(lines: &[String]) -> Vec<String> {
    let skip = lines.len().saturating_sub(TAIL_LINES);
    let cut = |line: &String| cut_to(line, TAIL_WIDTH).to_string();
    lines.iter().skip(skip).map(cut).collect()
}

/// All headers that are known now, so that no secret needs to be kept for later tries.
fn headers(
    sender: &Sender,
    settings: &Settings,
    url: &Url,
    what: Abnormal,
    body: &str,
) -> Vec<(String, String)> {
    let mut out = vec![
        ("content-type".into(), "application/json".into()),
        ("user-agent".into(), format!("supers/{}", sender.version)),
        ("x-supers-event".into(), what.word().into()),
    ];
    if let Some(login) = &url.login {
        out.push((
            "authorization".into(),
            format!("Basic {}", BASE64.encode(percent_decoded(login.reveal()))),
        ));
    }
    if let Some(sum) = settings.secret.as_ref().and_then(|s| signature(s.reveal(), body)) {
        out.push(("x-supers-signature".into(), format!("sha256={sum}")));
    }
    out
}

/// HMAC-SHA256 in hex digits. A key of any length will do.
pub(super) fn signature(key: &[u8], body: &str) -> Option<String> {
    let mac = Hmac::<Sha256>::new_from_slice(key).ok()?;
    Some(format!("{:x}", mac.chain_update(body).finalize().into_bytes()))
}

/// In a URL, a colon or an at sign in a password can only be written as a code.
fn percent_decoded(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((first, after)) = rest.split_first() {
        let hex = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
        match after.first_chunk().map(|[a, b]| (hex(*a), hex(*b))) {
            Some((Some(a), Some(b))) if *first == b'%' => {
                out.push(a << 4 | b);
                rest = after.get(2..).unwrap_or_default();
            }
            Some(_) | None => {
                out.push(*first);
                rest = after;
            }
        }
    }
    out
}

/// At most so many bytes, up to the end of a character.
fn cut_to(line: &str, most: usize) -> &str {
    let end = (0..=most.min(line.len())).rev().find(|at| line.is_char_boundary(*at)).unwrap_or(0);
    line.get(..end).unwrap_or_default()
}
