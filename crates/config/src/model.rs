//! What a configuration says, after all dialects have been read: the types that the rest of the
//! workspace builds on. Plain data; nothing here reads a file.

use crate::webhook::Webhooks;
use bstr::BString;
use serde::{Deserialize, Serialize};
use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use supers_core::spec::Spec;

/// Everything that was read, good and bad.
#[derive(Clone, Debug, Default)]
pub struct Config {
    /// Settings of the daemon itself.
    pub settings: Settings,
    /// One entry a unit (`numprocs` expanded), in the order of the first start
    /// (supervisor-contract 7).
    pub programs: Vec<Program>,
    /// All groups with their priorities, those without a program included, in the same order.
    pub groups: Vec<(String, i32)>,
    /// All that was found wrong or doubtful: by file and line, for the ancestor in its order of reading.
    pub findings: Vec<Finding>,
    /// The files that were read, in that order.
    pub files: Vec<BString>,
    /// Programs of a folder whose section stands in several of its files.
    pub merged: BTreeSet<String>,
}

impl Config {
    /// True when a finding is an error.
    pub fn has_errors(&self) -> bool {
        self.first_error().is_some()
    }

    /// The first error: for the ancestor the one it would have stopped at.
    pub fn first_error(&self) -> Option<&Finding> {
        self.findings.iter().find(|f| f.severity == Severity::Error)
    }
}

/// One unit and what is only text about it.
#[derive(Clone, Debug)]
pub struct Program {
    /// How it lives.
    pub spec: Arc<Spec>,
    /// What people are told about it.
    pub about: About,
}

/// Text about a unit; a change here changes no life.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    /// `Description=`, or empty.
    pub description: String,
    /// `Documentation=`, one link an entry.
    pub documentation: Vec<String>,
    /// The file that describes it.
    pub file: BString,
    /// The line of its section there, from 1; 0 unknown.
    pub line: u32,
    /// `WantedBy=`, kept as text: a file in the folder counts as enabled.
    pub wanted_by: Vec<String>,
    /// `Alias=`, without `.service`.
    pub aliases: Vec<String>,
}

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Severity {
    /// Something does not run because of it.
    Error,
    /// It runs; somebody should look.
    Warning,
}

/// One thing found wrong or doubtful.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Finding {
    /// How bad.
    pub severity: Severity,
    /// The file.
    pub file: BString,
    /// Line from 1; 0 when it concerns the whole file.
    pub line: u32,
    /// Column from 1, in characters; 0 unknown.
    pub column: u32,
    /// One sentence.
    pub message: String,
    /// What to do about it.
    pub hint: Option<String>,
    /// The program or unit it concerns.
    pub program: Option<String>,
}

impl Finding {
    /// `file:line:column`, without the parts that are unknown.
    pub fn place(&self) -> String {
        place_text(&self.file, self.line, self.column)
    }
}

/// `file:line:column`, without the parts that are 0.
pub(crate) fn place_text(file: &BString, line: u32, column: u32) -> String {
    match (line, column) {
        (0, _) => file.to_string(),
        (_, 0) => format!("{file}:{line}"),
        (_, _) => format!("{file}:{line}:{column}"),
    }
}

impl fmt::Display for Finding {
    /// `file:line:column: error: message`, and the hint on a second line.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let word = match self.severity {
            Severity::Error => "error",
            Severity::Warning => "warning",
        };
        write!(f, "{}: {word}: {}", self.place(), self.message)?;
        match &self.hint {
            Some(hint) => write!(f, "\n  hint: {hint}"),
            None => Ok(()),
        }
    }
}

/// The daemon's own settings (supervisor-contract 4). `None` means that the file does not say, where
/// the default depends on how the daemon was started.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Settings {
    /// The main log, absolute. Unset: `supervisord.log` in the current folder for the ancestor.
    pub logfile: Option<BString>,
    /// The main log goes to syslog instead (`logfile=syslog`).
    pub log_to_syslog: bool,
    /// Rotate the main log at this size in bytes; 0 never.
    pub logfile_maxbytes: u64,
    /// Rotated main logs kept.
    pub logfile_backups: u32,
    /// Least important level that is logged.
    pub loglevel: LogLevel,
    /// The pid file, absolute.
    pub pidfile: Option<BString>,
    /// File mode mask; applied only while daemonizing.
    pub umask: Option<u32>,
    /// Stay in the foreground.
    pub nodaemon: bool,
    /// In the foreground: do not copy the main log to standard output.
    pub silent: bool,
    /// Least number of file descriptors (default 1024).
    pub minfds: Option<u64>,
    /// Least number of processes (default 200).
    pub minprocs: Option<u64>,
    /// Keep AUTO logs of an earlier life.
    pub nocleanup: bool,
    /// Folder of AUTO logs; unset is the system's temporary folder.
    pub childlogdir: Option<BString>,
    /// Become this user.
    pub user: Option<String>,
    /// Change to this folder while daemonizing.
    pub directory: Option<BString>,
    /// Remove ANSI sequences from all child logs.
    pub strip_ansi: bool,
    /// Variables for all children, not for the daemon itself.
    pub environment: Vec<(BString, BString)>,
    /// Name of this daemon (default `supervisor`).
    pub identifier: String,
    /// `[rpcinterface:supervisor]` is there: without it an ancestor answers no `supervisor.*` call.
    pub rpcinterface: bool,
    /// Where to listen, in file order: TCP sections first, as the ancestor opens them.
    pub servers: Vec<Server>,
    /// The client's settings.
    pub ctl: Ctl,
    /// At shutdown one group after another (the ancestor's rule), instead of all that may stop at
    /// once.
    pub sequential_stop: bool,
    /// Who is told of abnormal ends.
    #[serde(default)]
    pub webhooks: Webhooks,
}

impl Default for Settings {
    fn default() -> Self {
        Settings {
            logfile: None,
            log_to_syslog: false,
            logfile_maxbytes: 50 << 20,
            logfile_backups: 10,
            loglevel: LogLevel::Info,
            pidfile: None,
            umask: None,
            nodaemon: false,
            silent: false,
            minfds: None,
            minprocs: None,
            nocleanup: false,
            childlogdir: None,
            user: None,
            directory: None,
            strip_ansi: false,
            environment: Vec::new(),
            identifier: "supervisor".into(),
            rpcinterface: false,
            servers: Vec::new(),
            ctl: Ctl::default(),
            sequential_stop: false,
            webhooks: Webhooks::default(),
        }
    }
}

/// Levels of the main log, most important first (supervisor-contract 1).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum LogLevel {
    Critical,
    Error,
    Warn,
    Info,
    Debug,
    Trace,
    Blather,
}

impl LogLevel {
    /// All, with the word of the configuration file, the four letters of the log line and the
    /// ancestor's number.
    pub const ALL: [(LogLevel, &'static str, &'static str, u8); 7] = [
        (LogLevel::Critical, "critical", "CRIT", 50),
        (LogLevel::Error, "error", "ERRO", 40),
        (LogLevel::Warn, "warn", "WARN", 30),
        (LogLevel::Info, "info", "INFO", 20),
        (LogLevel::Debug, "debug", "DEBG", 10),
        (LogLevel::Trace, "trace", "TRAC", 5),
        (LogLevel::Blather, "blather", "BLAT", 3),
    ];

    /// The four letters of a log line.
    pub fn letters(self) -> &'static str {
        LogLevel::ALL.iter().find(|row| row.0 == self).map_or("INFO", |row| row.2)
    }

    /// The level with this word, in any case.
    pub fn parse(word: &str) -> Option<LogLevel> {
        LogLevel::ALL.iter().find(|row| row.1.eq_ignore_ascii_case(word)).map(|row| row.0)
    }
}

/// One place to listen on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Server {
    /// The section's name: `unix_http_server`, `inet_http_server:admin`.
    pub name: String,
    /// Where.
    pub address: Address,
    /// Who may come in; `None` is anybody.
    pub auth: Option<Auth>,
}

/// Where a server listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Address {
    /// A unix socket.
    Unix {
        /// Absolute path.
        path: BString,
        /// Mode of the file (default 0700).
        mode: u32,
        /// `user` or `user:group`, names or numbers.
        owner: Option<String>,
    },
    /// A TCP port.
    Tcp {
        /// Host name or address without brackets; empty is all addresses.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
}

impl Address {
    /// The URL a client uses: `unix:///run/x.sock`, `http://localhost:9001`.
    pub fn url(&self) -> BString {
        match self {
            Address::Unix { path, .. } => BString::from([b"unix://", path.as_slice()].concat()),
            Address::Tcp { host, port } if host.is_empty() => format!("http://localhost:{port}").into(),
            Address::Tcp { host, port } if host.contains(':') => format!("http://[{host}]:{port}").into(),
            Address::Tcp { host, port } => format!("http://{host}:{port}").into(),
        }
    }
}

/// Name and password of a server.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Auth {
    /// The name.
    pub username: String,
    /// The password.
    pub password: Password,
}

/// A password as the file has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Password {
    /// In clear.
    Plain(Secret),
    /// `{SHA}` and the SHA-1 of it.
    Sha1([u8; 20]),
}

/// A text that never shows in a debug print.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Secret(BString);

impl Secret {
    /// Wraps the text.
    pub fn new(text: impl Into<BString>) -> Secret {
        Secret(text.into())
    }

    /// The text itself.
    pub fn reveal(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// `[supervisorctl]`: settings of the client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ctl {
    /// The section is there (an ancestor's client demands it).
    pub present: bool,
    /// Where the daemon listens.
    pub serverurl: Option<String>,
    /// Name to send.
    pub username: Option<String>,
    /// Password to send.
    pub password: Option<Secret>,
    /// Word before the `>` of the interactive client.
    pub prompt: String,
    /// File for typed lines, absolute.
    pub history_file: Option<BString>,
}

impl Default for Ctl {
    fn default() -> Self {
        Ctl {
            present: false,
            serverurl: None,
            username: None,
            password: None,
            prompt: "supervisor".into(),
            history_file: None,
        }
    }
}
