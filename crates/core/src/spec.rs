//! What a program description in any dialect is lowered to. Nothing downstream of this type knows
//! which dialect a value came from: ancestors differ only in values.

use crate::share::Shared;
use crate::signal::Signal;
use alloc::{boxed::Box, string::String, vec::Vec};
use bstr::BString;
use core::time::Duration;
use serde::{Deserialize, Serialize};

/// Everything that decides how one unit lives. Two equal specs behave alike: a reload compares them
/// with `==` to find what changed, so nothing that is mere text belongs here. What is mostly the same in
/// many units is [`Shared`]; see [`Spec::share`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Spec {
    /// The unit's name, unique within its group: `web_00`.
    pub name: String,
    /// The group it belongs to; a program outside any group forms one of its own name.
    pub group: String,
    /// The program (configuration section or file) it is a slot of.
    pub program: String,
    /// When a start counts as done.
    pub kind: Kind,
    /// The main command; several, run one after another, only for [`Kind::Oneshot`].
    pub exec: Shared<Vec<Command>>,
    /// Run one after another at a stop, while the main process lives, before the first signal.
    pub stop_exec: Vec<Command>,
    /// Run one after another when the operator asks the program to reload itself.
    pub reload_exec: Vec<Command>,
    /// Started when the daemon starts, or when a reload adds it.
    pub autostart: bool,
    /// When the operator stopped it, it is not started with the daemon, until the operator starts it again.
    #[serde(default)]
    pub remember: bool,
    /// Order inside the group; lower starts first.
    pub priority: i32,
    /// Order of the group; lower starts first, stops last.
    pub group_priority: i32,
    /// When an ended run is followed by another.
    pub restart: Shared<RestartPolicy>,
    /// Limit for a start that has an end (oneshot); `None` waits for ever.
    pub start_timeout: Option<Duration>,
    /// How a run is ended.
    pub stop: Shared<StopPolicy>,
    /// What the process looks like.
    pub context: Shared<Context>,
    /// Where output goes.
    pub output: Shared<Output>,
    /// Relations to other units, by unit name.
    pub order: Shared<Order>,
    /// It listens to events; all units of its group with this form one pool.
    pub listener: Option<Box<Listener>>,
    /// Its standard input is this listening socket, shared by all units of its program.
    pub socket: Option<Box<SharedSocket>>,
    /// The file's own `serverurl`, for who asks; what the child gets is in its environment.
    pub server_url: Option<String>,
    /// Set when the description is broken: the unit is shown, never runs, and this is the reason
    /// (with file and line).
    pub refused: Option<String>,
}

/// What a pool of event listeners wants (supervisor-contract 4, 11, 12).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Listener {
    /// The types it subscribes to, families included, as the file has them.
    pub events: Vec<crate::event::Kind>,
    /// Events that wait while no process of the pool is ready; then the oldest is dropped.
    pub buffer_size: u32,
    /// The ancestor's Python function for results; kept for comparison, only its default has a meaning here.
    pub result_handler: String,
}

/// A listening socket that the daemon binds and its children share (`[fcgi-program:x]`).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SharedSocket {
    /// Where.
    pub address: SocketAddress,
    /// Connections that may wait; `None` is the system's maximum.
    pub backlog: Option<u32>,
}

/// Where a shared socket listens.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SocketAddress {
    /// `unix:///path`.
    Unix {
        /// Absolute path.
        path: BString,
        /// `user` or `user:group`, names or numbers.
        owner: Option<String>,
        /// Mode of the file.
        mode: u32,
    },
    /// `tcp://host:port`.
    Tcp {
        /// Host name or address without brackets; empty is all addresses.
        host: String,
        /// 1 to 65535.
        port: u16,
    },
}

/// When a start counts as done.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// At exec, after `startsecs` of life.
    Simple,
    /// When the last command ended well; the unit is then `EXITED`.
    Oneshot,
}

/// One command line, already split into words; no shell.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Command {
    /// The text as written, for messages.
    pub line: BString,
    /// Program and arguments. Empty only together with `fault`.
    pub words: Vec<BString>,
    /// Replaces `words[0]` as `argv[0]` (prefix `@`).
    pub argv0: Option<BString>,
    /// `$NAME` and `${NAME}` in the arguments are taken from the environment at each start.
    pub expand: bool,
    /// A failure counts as success (prefix `-`).
    pub ignore_failure: bool,
    /// Run without the unit's user and group (prefixes `+`, `!`).
    pub privileged: bool,
    /// Why the line cannot be run at all; reported at the start, as the ancestor does
    /// (supervisor-contract 4: such a file is not refused).
    pub fault: Option<String>,
}

/// When an ended run is followed by another one, and how soon. Supervisor's and systemd's rules are
/// values of this one type (supervisor-contract 5; unit-directives 7, 34).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RestartPolicy {
    /// Which ends call for another run.
    pub when: When,
    /// Ends that count as clean ("expected").
    pub clean: ExitSet,
    /// After these never, whatever `when` says.
    pub prevent: ExitSet,
    /// After these always, unless prevented.
    pub force: ExitSet,
    /// Pause before the run that follows one which had been RUNNING.
    pub delay: Duration,
    /// A run must live longer than this to be RUNNING. Zero: at once.
    pub startsecs: Duration,
    /// `Some`: a run that ends before `startsecs`, and a start that fails, go to BACKOFF and are tried
    /// again by this rule whatever `when` says. `None`: they are judged by `when` like any other end.
    pub retry: Option<Retry>,
    /// At most so many starts in so long a time; more is FATAL.
    pub limit: Option<StartLimit>,
}

/// Which ends of a run are followed by another run.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum When {
    /// None.
    Never,
    /// All.
    Always,
    /// Clean ends.
    OnSuccess,
    /// Ends that are not clean, and failed starts (Supervisor's `unexpected`).
    OnFailure,
    /// Unclean signals and timeouts, not exit codes.
    OnAbnormal,
    /// Unclean signals only.
    OnAbort,
}

/// What to do about failed starts.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Tries after the first; `None` is endless. One more failure is FATAL.
    pub limit: Option<u32>,
    /// The pause after the n-th consecutive failure.
    pub curve: Curve,
}

/// A growing pause.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Curve {
    /// n times the step (Supervisor: one second).
    Linear(Duration),
    /// Always the same.
    Fixed(Duration),
}

/// At most `burst` starts within `interval` (systemd's `StartLimit*`). Starts by hand count, but are
/// never refused themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartLimit {
    /// How many starts.
    pub burst: u32,
    /// In how long a time.
    pub interval: Duration,
}

/// A set of exit codes and signals.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct ExitSet {
    /// Exit codes, 0 to 255.
    pub codes: Vec<u8>,
    /// Signals that ended the process.
    pub signals: Vec<Signal>,
}

/// How a run is ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StopPolicy {
    /// Sent one after another, `wait` apart, until the process is gone.
    pub signals: Vec<Signal>,
    /// Pause before the next rung and before KILL; `None` waits for ever.
    pub wait: Option<Duration>,
    /// After the last signal and another `wait`: KILL, repeated each `wait`.
    pub kill: bool,
    /// The signals go to the whole process group.
    pub group: bool,
    /// The KILL goes to the whole process group.
    pub kill_group: bool,
    /// When the main process is gone, KILL whatever is left of the unit.
    pub sweep: bool,
    /// The same when it is gone because of a stop; `sweep` includes it.
    #[serde(default)]
    pub sweep_stop: bool,
}

/// What the process looks like to itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Context {
    /// Name or number of the user; `None` stays what the daemon is.
    pub user: Option<String>,
    /// Name or number of the primary group; `None` is the user's own.
    pub group: Option<String>,
    /// Working directory; `None` is the daemon's own.
    pub directory: Option<Directory>,
    /// File mode mask; `None` inherits.
    pub umask: Option<u32>,
    /// The environment.
    pub env: Env,
    /// Resource limits, in the order given.
    pub limits: Vec<Limit>,
    /// Scheduling priority, -20 to 19.
    pub nice: Option<i32>,
    /// Value for oom_score_adj, -1000 to 1000. `None` is 0 (the keeper's own is not inherited).
    pub oom_score_adj: Option<i32>,
    /// Nothing executed gains privileges.
    pub no_new_privileges: bool,
    /// SIGPIPE is ignored in the child; else it has its default action.
    pub ignore_sigpipe: bool,
    /// setsid instead of setpgid.
    pub session: bool,
    /// Standard input is a pipe held by the daemon; else /dev/null.
    pub stdin_pipe: bool,
    /// A failure in the child before its exec (folder, user, exec) is no failed start: the child ends
    /// with 127, and the reason is in its standard error (supervisor-contract 6).
    pub exit_127: bool,
}

/// A working directory.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Directory {
    /// The path; a leading `~` is the home of the unit's user.
    pub path: BString,
    /// Absent is no error: `/` is used (prefix `-`).
    pub optional: bool,
}

/// How the environment of a run is put together; later wins, in the order of the fields.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Env {
    /// Start from the daemon's own environment.
    pub inherit: bool,
    /// HOME, USER, LOGNAME and SHELL of the unit's user, when one is set.
    pub user_vars: bool,
    /// SUPERVISOR_ENABLED, SUPERVISOR_PROCESS_NAME and SUPERVISOR_GROUP_NAME.
    pub names: bool,
    /// Variables set by the description (and by the daemon for it, such as SUPERVISOR_SERVER_URL).
    pub vars: Vec<(BString, BString)>,
    /// Files read at each start; later files win over earlier ones and over `vars`.
    pub files: Vec<EnvFile>,
    /// INVOCATION_ID and SYSTEMD_EXEC_PID are set for each run.
    pub invocation: bool,
}

/// A file of `KEY=value` lines.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EnvFile {
    /// The path.
    pub path: BString,
    /// Absent is no error (prefix `-`).
    pub optional: bool,
}

/// One resource limit; `None` is infinity. A hard value that may not be raised is clipped.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Limit {
    /// Which.
    pub resource: Resource,
    /// The limit in force.
    pub soft: Option<u64>,
    /// The ceiling.
    pub hard: Option<u64>,
}

/// Resources of setrlimit(2), with systemd's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[allow(missing_docs)]
pub enum Resource {
    Cpu,
    Fsize,
    Data,
    Stack,
    Core,
    Rss,
    Nofile,
    As,
    Nproc,
    Memlock,
    Locks,
    Sigpending,
    Msgqueue,
    Nice,
    Rtprio,
    Rttime,
}

/// Where the two output streams go.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Output {
    /// Standard output.
    pub stdout: Sink,
    /// Standard error; `None` is wherever standard output goes, in true order.
    pub stderr: Option<Sink>,
}

/// The end of one stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sink {
    /// What takes the bytes.
    pub target: Target,
    /// Rotate at this size in bytes; 0 never.
    pub max_bytes: u64,
    /// Numbered files kept (`LOG.1` is the newest); 0 keeps none.
    pub backups: u32,
    /// Remove ANSI escape sequences.
    pub strip_ansi: bool,
    /// Text between the capture tokens is an event and no output; so many bytes of it. 0: no capture.
    pub capture_max: u64,
    /// Each piece of output is an event.
    pub events: bool,
    /// Each line goes to syslog too.
    pub syslog: bool,
}

/// What takes the bytes of a stream.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Target {
    /// Read and dropped.
    Null,
    /// A file by path; `/dev/stdout` and `/dev/stderr` are the daemon's own.
    File(BString),
    /// A file that the daemon names in `dir`: `<process>-<stream>---<identifier>-<random>.log`
    /// (supervisor-contract 8).
    Auto {
        /// The folder (`childlogdir`).
        dir: BString,
        /// The daemon's `identifier`.
        identifier: String,
    },
}

/// Relations to other units, by unit name (without `.service`). Names that nothing provides are kept:
/// they count as reached, except in `requires`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// Started before this one, and stopped after it.
    pub after: Vec<String>,
    /// The mirror of `after`.
    pub before: Vec<String>,
    /// Pulled in by a start; this one fails when they cannot start, and stops when they are stopped.
    pub requires: Vec<String>,
    /// Pulled in by a start; their failure is ignored.
    pub wants: Vec<String>,
}

impl Order {
    /// There are no relations.
    pub fn is_empty(&self) -> bool {
        [&self.after, &self.before, &self.requires, &self.wants].iter().all(|list| list.is_empty())
    }
}

impl Default for RestartPolicy {
    /// Supervisor's defaults (supervisor-contract 4).
    fn default() -> Self {
        RestartPolicy {
            when: When::OnFailure,
            clean: ExitSet { codes: alloc::vec![0], signals: Vec::new() },
            prevent: ExitSet::default(),
            force: ExitSet::default(),
            delay: Duration::ZERO,
            startsecs: Duration::from_secs(1),
            retry: Some(Retry { limit: Some(3), curve: Curve::Linear(Duration::from_secs(1)) }),
            limit: None,
        }
    }
}

impl Default for StopPolicy {
    /// Supervisor's defaults (supervisor-contract 4).
    fn default() -> Self {
        StopPolicy {
            signals: alloc::vec![Signal::TERM],
            wait: Some(Duration::from_secs(10)),
            kill: true,
            group: false,
            kill_group: false,
            sweep: false,
            sweep_stop: false,
        }
    }
}

impl Default for Context {
    fn default() -> Self {
        Context {
            user: None,
            group: None,
            directory: None,
            umask: None,
            env: Env { inherit: true, ..Env::default() },
            limits: Vec::new(),
            nice: None,
            oom_score_adj: None,
            no_new_privileges: false,
            ignore_sigpipe: false,
            session: false,
            stdin_pipe: true,
            exit_127: false,
        }
    }
}

impl Default for Sink {
    /// Dropped output, with the contract's sizes for when a target is set.
    fn default() -> Self {
        Sink {
            target: Target::Null,
            max_bytes: 50 << 20,
            backups: 10,
            strip_ansi: false,
            capture_max: 0,
            events: false,
            syslog: false,
        }
    }
}

impl Default for Output {
    fn default() -> Self {
        Output { stdout: Sink::default(), stderr: Some(Sink::default()) }
    }
}

impl Spec {
    /// A spec of one program outside any group, with Supervisor's defaults and no command.
    pub fn new(name: &str) -> Spec {
        Spec {
            name: name.into(),
            group: name.into(),
            program: name.into(),
            kind: Kind::Simple,
            exec: Shared::default(),
            stop_exec: Vec::new(),
            reload_exec: Vec::new(),
            autostart: true,
            remember: false,
            priority: 999,
            group_priority: 999,
            restart: Shared::default(),
            start_timeout: None,
            stop: Shared::default(),
            context: Shared::default(),
            output: Shared::default(),
            order: Shared::default(),
            listener: None,
            socket: None,
            server_url: None,
            refused: None,
        }
    }

    /// What is equal in the other is kept once for both.
    pub fn share(&mut self, other: &Spec) {
        self.exec.share(&other.exec);
        self.restart.share(&other.restart);
        self.stop.share(&other.stop);
        self.context.share(&other.context);
        self.output.share(&other.output);
        self.order.share(&other.order);
    }

    /// The variables by which the unit's process knows itself, for [`Env::names`].
    pub fn names(&self) -> [(&'static str, &str); 3] {
        [
            ("SUPERVISOR_ENABLED", "1"),
            ("SUPERVISOR_PROCESS_NAME", &self.name),
            ("SUPERVISOR_GROUP_NAME", &self.group),
        ]
    }

    /// `name` when the unit is alone in a group of its own name, else `group:name`
    /// (supervisor-contract 7).
    pub fn full_name(&self) -> String {
        if self.name == self.group {
            self.name.clone()
        } else {
            alloc::format!("{}:{}", self.group, self.name)
        }
    }
}

impl Command {
    /// A command from words, as they are.
    pub fn from_words<W: Into<BString>>(words: impl IntoIterator<Item = W>) -> Command {
        let words: Vec<BString> = words.into_iter().map(Into::into).collect();
        Command {
            line: bstr::join(" ", &words).into(),
            words,
            argv0: None,
            expand: false,
            ignore_failure: false,
            privileged: false,
            fault: None,
        }
    }
}
