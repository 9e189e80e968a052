//! What the two dialects fix, each for all of its programs, so that no file can say it: the one list of
//! differences that a conversion may make. Everything else is carried over or refused.

/// An entry of the list.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Nature {
    /// `Spec::group`, `Spec::program`.
    Names,
    /// `restart.startsecs`, `restart.retry`, and `restart.limit` where it stands for them.
    Start,
    /// `restart.clean.signals`, and `restart.force` where it takes them back.
    Clean,
    /// `restart.delay`, when it is the unit's own default.
    Delay,
    /// `restart.limit`, when it is the unit's own default.
    Limit,
    /// `stop.sweep`, `stop.sweep_stop`.
    Sweep,
    /// `context.env`: what is there beside the variables that the file sets.
    Environment,
    /// `context.directory`, when the file names none.
    Folder,
    /// `context.umask`, when the file names none.
    Umask,
    /// `context.session`.
    Session,
    /// `context.stdin_pipe`.
    Stdin,
    /// `context.ignore_sigpipe`, when it is the unit's own default.
    Sigpipe,
    /// `output`, where the daemon names the file.
    Output,
    /// `output.*.max_bytes` and `backups` at the INI defaults, of a file that a unit names.
    Rotation,
}

/// An entry, which fields of a `Spec` it may change, and what that means in each direction.
#[derive(Clone, Copy, Debug)]
pub struct Row {
    /// The entry.
    pub nature: Nature,
    /// The fields, for the manual.
    pub fields: &'static str,
    /// From INI to unit; empty when it never happens.
    pub to_unit: &'static str,
    /// From unit to INI; empty when it never happens.
    pub to_ini: &'static str,
}

/// The whole list.
pub const LIST: [Row; 14] = [
    Row {
        nature: Nature::Names,
        fields: "group, program",
        to_unit: "a unit has one name, that of its process: no GROUP:NAME",
        to_ini: "",
    },
    Row {
        nature: Nature::Start,
        fields: "restart.startsecs, restart.retry, restart.limit",
        to_unit: "a unit knows no startsecs and startretries: Restart= judges quick ends too, without growing \
                  pauses, and StartLimit* gives up",
        to_ini: "failed starts are tried again by startretries, whatever autorestart says",
    },
    Row {
        nature: Nature::Clean,
        fields: "restart.clean.signals, restart.force",
        to_unit: "an end by HUP, INT, TERM or PIPE is a clean one in a unit; RestartForceExitStatus= still \
                  restarts it where autorestart did",
        to_ini: "an end by HUP, INT, TERM or PIPE is clean in a unit and never in an INI file: there it is \
                 followed by a restart",
    },
    Row {
        nature: Nature::Delay,
        fields: "restart.delay",
        to_unit: "",
        to_ini: "a unit waits 100 ms before a restart, an INI program not at all",
    },
    Row {
        nature: Nature::Limit,
        fields: "restart.limit",
        to_unit: "",
        to_ini: "a unit gives up after 5 starts in 10 s; an INI program is restarted for ever",
    },
    Row {
        nature: Nature::Sweep,
        fields: "stop.sweep, stop.sweep_stop",
        to_unit: "what is left of the process group when the main process has ended is killed",
        to_ini: "what is left of the process group when the main process has ended is not killed",
    },
    Row {
        nature: Nature::Environment,
        fields: "context.env.{inherit,invocation}, LANG, PATH, SUPERVISOR_*",
        to_unit: "a unit gets LANG, PATH, its user's variables and what it sets; nothing of the daemon's own \
                  environment and no SUPERVISOR_* (PassEnvironment= takes single variables over)",
        to_ini: "an INI program gets the daemon's whole environment (its PATH and LANG too) and SUPERVISOR_*, \
                 but no INVOCATION_ID, and under supervisord no HOME, USER, LOGNAME and SHELL of its user",
    },
    Row {
        nature: Nature::Folder,
        fields: "context.directory",
        to_unit: "without a folder named, a unit starts in / and an INI program where the daemon is",
        to_ini: "",
    },
    Row {
        nature: Nature::Umask,
        fields: "context.umask",
        to_unit: "without a umask named, a unit has 0022 and an INI program the daemon's",
        to_ini: "",
    },
    Row {
        nature: Nature::Session,
        fields: "context.session",
        to_unit: "a unit has a session of its own, not only a process group",
        to_ini: "an INI program has a process group of its own, but no session",
    },
    Row {
        nature: Nature::Stdin,
        fields: "context.stdin_pipe",
        to_unit: "standard input is /dev/null, so nothing can be sent to it",
        to_ini: "standard input is a pipe held by the daemon, not /dev/null",
    },
    Row {
        nature: Nature::Sigpipe,
        fields: "context.ignore_sigpipe",
        to_unit: "",
        to_ini: "SIGPIPE ends an INI program, and is ignored in a unit",
    },
    Row {
        nature: Nature::Output,
        fields: "output, where the daemon names the file",
        to_unit: "AUTO logs become the unit's own log, both streams in one file that is kept",
        to_ini: "the unit's own log becomes an AUTO log, which is deleted when the daemon starts",
    },
    Row {
        nature: Nature::Rotation,
        fields: "output.*.max_bytes, output.*.backups",
        to_unit: "a log file that a unit names is never rotated by us (the INI default is 50MB, 10 kept): use \
                  logrotate",
        to_ini: "",
    },
];

impl Nature {
    /// Its entry in the list.
    pub fn row(self) -> Option<&'static Row> {
        LIST.iter().find(|row| row.nature == self)
    }
}
