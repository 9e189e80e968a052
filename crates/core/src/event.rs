//! What happens, for whoever listens: Supervisor's event types and the text of each, byte for byte
//! (supervisor-contract 11).

use crate::control::Stream;
use crate::proc::Word;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Write;
use serde::{Deserialize, Serialize};

/// The type of an event. Those before [`Kind::Event`] happen; the others are names for all below them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Kind {
    ProcessStateStopped,
    ProcessStateStarting,
    ProcessStateRunning,
    ProcessStateBackoff,
    ProcessStateStopping,
    ProcessStateExited,
    ProcessStateFatal,
    ProcessStateUnknown,
    ProcessCommunicationStdout,
    ProcessCommunicationStderr,
    ProcessLogStdout,
    ProcessLogStderr,
    RemoteCommunication,
    SupervisorStateChangeRunning,
    SupervisorStateChangeStopping,
    Tick5,
    Tick60,
    Tick3600,
    ProcessGroupAdded,
    ProcessGroupRemoved,
    Event,
    ProcessState,
    ProcessCommunication,
    ProcessLog,
    SupervisorStateChange,
    Tick,
    ProcessGroup,
}

impl Kind {
    /// All, with the name that files and listeners use.
    pub const ALL: [(Kind, &'static str); 27] = [
        (Kind::ProcessStateStopped, "PROCESS_STATE_STOPPED"),
        (Kind::ProcessStateStarting, "PROCESS_STATE_STARTING"),
        (Kind::ProcessStateRunning, "PROCESS_STATE_RUNNING"),
        (Kind::ProcessStateBackoff, "PROCESS_STATE_BACKOFF"),
        (Kind::ProcessStateStopping, "PROCESS_STATE_STOPPING"),
        (Kind::ProcessStateExited, "PROCESS_STATE_EXITED"),
        (Kind::ProcessStateFatal, "PROCESS_STATE_FATAL"),
        (Kind::ProcessStateUnknown, "PROCESS_STATE_UNKNOWN"),
        (Kind::ProcessCommunicationStdout, "PROCESS_COMMUNICATION_STDOUT"),
        (Kind::ProcessCommunicationStderr, "PROCESS_COMMUNICATION_STDERR"),
        (Kind::ProcessLogStdout, "PROCESS_LOG_STDOUT"),
        (Kind::ProcessLogStderr, "PROCESS_LOG_STDERR"),
        (Kind::RemoteCommunication, "REMOTE_COMMUNICATION"),
        (Kind::SupervisorStateChangeRunning, "SUPERVISOR_STATE_CHANGE_RUNNING"),
        (Kind::SupervisorStateChangeStopping, "SUPERVISOR_STATE_CHANGE_STOPPING"),
        (Kind::Tick5, "TICK_5"),
        (Kind::Tick60, "TICK_60"),
        (Kind::Tick3600, "TICK_3600"),
        (Kind::ProcessGroupAdded, "PROCESS_GROUP_ADDED"),
        (Kind::ProcessGroupRemoved, "PROCESS_GROUP_REMOVED"),
        (Kind::Event, "EVENT"),
        (Kind::ProcessState, "PROCESS_STATE"),
        (Kind::ProcessCommunication, "PROCESS_COMMUNICATION"),
        (Kind::ProcessLog, "PROCESS_LOG"),
        (Kind::SupervisorStateChange, "SUPERVISOR_STATE_CHANGE"),
        (Kind::Tick, "TICK"),
        (Kind::ProcessGroup, "PROCESS_GROUP"),
    ];

    /// The name.
    pub fn name(self) -> &'static str {
        Kind::ALL.iter().find(|row| row.0 == self).map_or("EVENT", |row| row.1)
    }

    /// The kind with this name, in any case.
    pub fn parse(name: &str) -> Option<Kind> {
        Kind::ALL.iter().find(|row| row.1.eq_ignore_ascii_case(name)).map(|row| row.0)
    }

    /// The name for a family of kinds that this one belongs to; `EVENT` is above all.
    pub fn family(self) -> Kind {
        match self {
            Kind::ProcessStateStopped
            | Kind::ProcessStateStarting
            | Kind::ProcessStateRunning
            | Kind::ProcessStateBackoff
            | Kind::ProcessStateStopping
            | Kind::ProcessStateExited
            | Kind::ProcessStateFatal
            | Kind::ProcessStateUnknown => Kind::ProcessState,
            Kind::ProcessCommunicationStdout | Kind::ProcessCommunicationStderr => Kind::ProcessCommunication,
            Kind::ProcessLogStdout | Kind::ProcessLogStderr => Kind::ProcessLog,
            Kind::SupervisorStateChangeRunning | Kind::SupervisorStateChangeStopping => {
                Kind::SupervisorStateChange
            }
            Kind::Tick5 | Kind::Tick60 | Kind::Tick3600 => Kind::Tick,
            Kind::ProcessGroupAdded | Kind::ProcessGroupRemoved => Kind::ProcessGroup,
            Kind::RemoteCommunication
            | Kind::Event
            | Kind::ProcessState
            | Kind::ProcessCommunication
            | Kind::ProcessLog
            | Kind::SupervisorStateChange
            | Kind::Tick
            | Kind::ProcessGroup => Kind::Event,
        }
    }

    /// The kind of a change to this state.
    pub fn of_state(to: Word) -> Kind {
        match to {
            Word::Stopped => Kind::ProcessStateStopped,
            Word::Starting => Kind::ProcessStateStarting,
            Word::Running => Kind::ProcessStateRunning,
            Word::Backoff => Kind::ProcessStateBackoff,
            Word::Stopping => Kind::ProcessStateStopping,
            Word::Exited => Kind::ProcessStateExited,
            Word::Fatal => Kind::ProcessStateFatal,
            Word::Unknown => Kind::ProcessStateUnknown,
        }
    }

    /// Who subscribes to `wanted` hears of this kind.
    pub fn is_in(self, wanted: Kind) -> bool {
        wanted == self || wanted == self.family() || wanted == Kind::Event
    }
}

/// Which process an event is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Who {
    /// Name within the group.
    pub process: String,
    /// The group.
    pub group: String,
}

/// One thing that happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Happening {
    /// A process changed its state.
    State {
        /// Which.
        who: Who,
        /// Before.
        from: Word,
        /// After.
        to: Word,
        /// Failed starts so far, for STARTING and BACKOFF.
        tries: u32,
        /// The process; 0 when there is none.
        pid: i32,
        /// For EXITED: the end was clean.
        expected: bool,
    },
    /// Text between the capture tokens.
    Communication {
        /// Whose.
        who: Who,
        /// The process.
        pid: i32,
        /// Where it wrote.
        channel: Stream,
        /// What it wrote.
        data: Vec<u8>,
    },
    /// A piece of output.
    Log {
        /// Whose.
        who: Who,
        /// The process.
        pid: i32,
        /// Where it wrote.
        channel: Stream,
        /// What it wrote.
        data: Vec<u8>,
    },
    /// `sendRemoteCommEvent`.
    Remote {
        /// Its type, free text.
        kind: String,
        /// Its data.
        data: String,
    },
    /// The daemon is ready.
    Running,
    /// The daemon began to shut down.
    Stopping,
    /// The wall clock crossed a multiple of the period.
    Tick {
        /// 5, 60 or 3600 seconds.
        period: Period,
        /// That multiple, Unix seconds.
        when: i64,
    },
    /// A group was added.
    GroupAdded(String),
    /// A group was removed.
    GroupRemoved(String),
}

/// How often a tick comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[allow(missing_docs)]
pub enum Period {
    Seconds5,
    Minute,
    Hour,
}

impl Period {
    /// All, shortest first.
    pub const ALL: [Period; 3] = [Period::Seconds5, Period::Minute, Period::Hour];

    /// In seconds.
    pub fn seconds(self) -> i64 {
        match self {
            Period::Seconds5 => 5,
            Period::Minute => 60,
            Period::Hour => 3600,
        }
    }

    /// The type of its ticks.
    pub fn kind(self) -> Kind {
        match self {
            Period::Seconds5 => Kind::Tick5,
            Period::Minute => Kind::Tick60,
            Period::Hour => Kind::Tick3600,
        }
    }
}

impl Happening {
    /// Its concrete type.
    pub fn kind(&self) -> Kind {
        match self {
            Happening::State { to, .. } => Kind::of_state(*to),
            Happening::Communication { channel: Stream::Stdout, .. } => Kind::ProcessCommunicationStdout,
            Happening::Communication { channel: Stream::Stderr, .. } => Kind::ProcessCommunicationStderr,
            Happening::Log { channel: Stream::Stdout, .. } => Kind::ProcessLogStdout,
            Happening::Log { channel: Stream::Stderr, .. } => Kind::ProcessLogStderr,
            Happening::Remote { .. } => Kind::RemoteCommunication,
            Happening::Running => Kind::SupervisorStateChangeRunning,
            Happening::Stopping => Kind::SupervisorStateChangeStopping,
            Happening::Tick { period, .. } => period.kind(),
            Happening::GroupAdded(_) => Kind::ProcessGroupAdded,
            Happening::GroupRemoved(_) => Kind::ProcessGroupRemoved,
        }
    }

    /// The payload as listeners get it. Data that is no UTF-8 is written as Python writes bytes, after
    /// `Undecodable: `.
    pub fn payload(&self) -> String {
        let mut out = String::new();
        // Writing to a string cannot fail.
        let _ = self.write(&mut out);
        out
    }

    fn write(&self, out: &mut String) -> core::fmt::Result {
        match self {
            Happening::State { who, from, to, tries, pid, expected } => {
                write!(out, "{who} from_state:{}", from.name())?;
                match to {
                    Word::Starting | Word::Backoff => write!(out, " tries:{tries}"),
                    Word::Running | Word::Stopping | Word::Stopped => write!(out, " pid:{pid}"),
                    Word::Exited => write!(out, " expected:{} pid:{pid}", u8::from(*expected)),
                    Word::Fatal | Word::Unknown => Ok(()),
                }
            }
            Happening::Communication { who, pid, data, .. } => {
                writeln!(out, "{who} pid:{pid}")?;
                write_data(out, data)
            }
            Happening::Log { who, pid, channel, data } => {
                writeln!(out, "{who} pid:{pid} channel:{}", channel.word())?;
                write_data(out, data)
            }
            Happening::Remote { kind, data } => write!(out, "type:{kind}\n{data}"),
            Happening::Running | Happening::Stopping => Ok(()),
            Happening::Tick { when, .. } => write!(out, "when:{when}"),
            Happening::GroupAdded(name) | Happening::GroupRemoved(name) => writeln!(out, "groupname:{name}"),
        }
    }
}

impl core::fmt::Display for Who {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        write!(f, "processname:{} groupname:{}", self.process, self.group)
    }
}

/// Bytes as text, as events show them.
pub(crate) fn text_of(data: &[u8]) -> String {
    let mut out = String::new();
    // Writing to a string cannot fail.
    let _ = write_data(&mut out, data);
    out
}

fn write_data(out: &mut String, data: &[u8]) -> core::fmt::Result {
    match core::str::from_utf8(data) {
        Ok(text) => out.write_str(text),
        Err(_) => {
            out.write_str("Undecodable: ")?;
            write_bytes_literal(out, data)
        }
    }
}

/// Bytes as Python prints them: `b'...'`, with double quotes when only single ones occur inside.
fn write_bytes_literal(out: &mut String, data: &[u8]) -> core::fmt::Result {
    let quote = if data.contains(&b'\'') && !data.contains(&b'"') { '"' } else { '\'' };
    write!(out, "b{quote}")?;
    for byte in data {
        match byte {
            b'\t' => out.write_str("\\t")?,
            b'\n' => out.write_str("\\n")?,
            b'\r' => out.write_str("\\r")?,
            b'\\' => out.write_str("\\\\")?,
            b'\'' if quote == '\'' => out.write_str("\\'")?,
            0x20..=0x7e => out.push(char::from(*byte)),
            _ => write!(out, "\\x{byte:02x}")?,
        }
    }
    out.push(quote);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::string::ToString;

    fn who(process: &str, group: &str) -> Who {
        Who { process: process.into(), group: group.into() }
    }

    fn state(from: Word, to: Word) -> Happening {
        Happening::State { who: who("web_1", "web"), from, to, tries: 2, pid: 4711, expected: false }
    }

    /// What the genuine daemon (4.3.0) gave to a listener that wrote it down; pids changed.
    #[test]
    fn payloads_are_those_of_the_ancestor() {
        let is = |h: Happening, kind: &str, text: &str| {
            assert_eq!(h.payload(), text);
            assert_eq!(h.kind().name(), kind);
        };
        use Word::*;
        let p = "processname:web_1 groupname:web from_state:";
        is(state(Stopped, Starting), "PROCESS_STATE_STARTING", &(p.to_string() + "STOPPED tries:2"));
        is(state(Starting, Backoff), "PROCESS_STATE_BACKOFF", &(p.to_string() + "STARTING tries:2"));
        is(state(Starting, Running), "PROCESS_STATE_RUNNING", &(p.to_string() + "STARTING pid:4711"));
        is(state(Running, Stopping), "PROCESS_STATE_STOPPING", &(p.to_string() + "RUNNING pid:4711"));
        is(state(Stopping, Stopped), "PROCESS_STATE_STOPPED", &(p.to_string() + "STOPPING pid:4711"));
        is(state(Running, Exited), "PROCESS_STATE_EXITED", &(p.to_string() + "RUNNING expected:0 pid:4711"));
        is(state(Backoff, Fatal), "PROCESS_STATE_FATAL", &(p.to_string() + "BACKOFF"));
        is(state(Stopping, Unknown), "PROCESS_STATE_UNKNOWN", &(p.to_string() + "STOPPING"));
        is(Happening::Running, "SUPERVISOR_STATE_CHANGE_RUNNING", "");
        is(Happening::Stopping, "SUPERVISOR_STATE_CHANGE_STOPPING", "");
        is(Happening::GroupAdded("rec".into()), "PROCESS_GROUP_ADDED", "groupname:rec\n");
        is(Happening::GroupRemoved("rec".into()), "PROCESS_GROUP_REMOVED", "groupname:rec\n");
        let tick = |period| Happening::Tick { period, when: 1_795_264_800 };
        is(tick(Period::Seconds5), "TICK_5", "when:1795264800");
        is(tick(Period::Minute), "TICK_60", "when:1795264800");
        is(tick(Period::Hour), "TICK_3600", "when:1795264800");
        let remote = Happening::Remote { kind: "typé".into(), data: "däta\nx".into() };
        is(remote, "REMOTE_COMMUNICATION", "type:typé\ndäta\nx");
    }

    #[test]
    fn output_that_is_no_text_is_shown_as_the_ancestor_shows_bytes() {
        let log = |channel, data: &[u8]| {
            Happening::Log { who: who("talk", "talk"), pid: 20499, channel, data: data.into() }.payload()
        };
        let head = "processname:talk groupname:talk pid:20499 channel:";
        let out = log(Stream::Stdout, "capé".as_bytes());
        assert_eq!(out, head.to_string() + "stdout\ncapé");
        let out = log(Stream::Stdout, b"hello \xc3\xa9\nbad \xff\xfe it's\n");
        let shown = r#"Undecodable: b"hello \xc3\xa9\nbad \xff\xfe it's\n""#;
        assert_eq!(out, head.to_string() + "stdout\n" + shown);
        let out = log(Stream::Stderr, b"err \xff \"x\" 'y' \x07\x7f\n");
        let shown = r#"Undecodable: b'err \xff "x" \'y\' \x07\x7f\n'"#;
        assert_eq!(out, head.to_string() + "stderr\n" + shown);
        let data = b"c\xff\"\x00\\".to_vec();
        let capture =
            Happening::Communication { who: who("talk", "talk"), pid: 20499, channel: Stream::Stdout, data };
        let shown = r#"Undecodable: b'c\xff"\x00\\'"#;
        assert_eq!(capture.payload(), "processname:talk groupname:talk pid:20499\n".to_string() + shown);
        assert_eq!(capture.kind().name(), "PROCESS_COMMUNICATION_STDOUT");
    }

    #[test]
    fn who_subscribes_to_a_family_gets_its_members() {
        for (kind, name) in Kind::ALL {
            assert_eq!(Kind::parse(&name.to_lowercase()), Some(kind));
            assert!(kind.is_in(kind) && kind.is_in(Kind::Event));
            let families =
                Kind::ALL.iter().filter(|(f, _)| *f != kind && *f != Kind::Event && kind.is_in(*f));
            for (_, family) in families {
                assert!(name.starts_with(family), "{name} in {family}");
            }
        }
        assert!(Kind::ProcessGroupAdded.is_in(Kind::ProcessGroup));
        assert!(!Kind::Tick5.is_in(Kind::Tick60));
        assert_eq!(Kind::parse("TICK_7"), None);
    }
}
