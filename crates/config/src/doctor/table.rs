//! The list of checks, one row each, by the two contracts.
//!
//! Long because: it is one table; a row is one difference.

use super::python::{
    BOOLEANS, GO_PROGRAM, NUMBERS, cut_in_quotes, inner_quotes, odd_number, open_mode, quoting_differs,
    some_size, zero_size,
};
use super::view::{Hit, PROGRAMS, Site, View, value};
use super::{Check, Who};
use crate::ini::keys::Kind;
use crate::ini::value::boolean;
use crate::model::Severity;
use bstr::BStr;

/// All kinds whose keys are known.
const ANY: &[Kind] = &[
    Kind::Supervisord,
    Kind::UnixServer,
    Kind::InetServer,
    Kind::Program,
    Kind::EventListener,
    Kind::FastCgi,
    Kind::Group,
    Kind::Ctl,
    Kind::Include,
];

/// Words that are sections of the dialect, whose names are wrong: the loader has a better sentence.
const PLAIN: &[&str] = &["program", "group", "eventlistener", "fcgi-program", "rpcinterface", "ctlplugin"];

/// Keys of `[supervisord]` that the Go port does not read (go-family-contract 1).
const GO_DAEMON: &[&str] =
    &["umask", "nodaemon", "directory", "user", "environment", "strip_ansi", "nocleanup", "childlogdir"];

/// Levels that are debug for the Go port (D49).
const GO_DEBUG: &[&str] = &["warning", "fatal", "trace", "blather", "critical"];

fn is_false(text: &str) -> bool {
    boolean(BStr::new(text)) == Ok(false)
}

/// True when exit codes do not matter for the restart.
fn fixed_restart(text: &str) -> bool {
    boolean(BStr::new(text)).is_ok()
}

fn unknown_key(s: &Site<'_>) -> bool {
    let Some((kind, _)) = Kind::of(&s.section.name) else { return false };
    let go = match kind {
        Kind::Program | Kind::EventListener | Kind::FastCgi => GO_PROGRAM.contains(&s.key()),
        Kind::InetServer => ["nodename", "remotes"].contains(&s.key()),
        Kind::Supervisord
        | Kind::UnixServer
        | Kind::Group
        | Kind::Ctl
        | Kind::Include
        | Kind::Webhook
        | Kind::RpcInterface
        | Kind::CtlPlugin => false,
    };
    !go && kind.keys().is_some_and(|known| !known.contains(&s.key()))
}

fn all_addresses(port: &str) -> bool {
    matches!(port.rsplit_once(':').map_or("", |(host, _)| host), "" | "*" | "0.0.0.0" | "[::]")
}

fn is_log(s: &Site<'_>) -> bool {
    ["stdout_logfile", "stderr_logfile"].contains(&s.key())
}

/// A stream of the daemon as a log, without the size that switches rotation off.
fn stream_without_zero(s: &Site<'_>) -> bool {
    let size = s.other(&format!("{}_maxbytes", s.key()));
    ["/dev/stdout", "/dev/stderr"].contains(&s.value()) && !size.is_some_and(zero_size)
}

impl View {
    /// `[include]` of files that are included themselves.
    fn included_includes(&self) -> Vec<Hit> {
        let others = self.sources.iter().filter(|s| s.name != self.main);
        let sections = others.filter_map(|s| s.doc.section("include"));
        sections
            .map(|s| Hit {
                place: s.place.clone(),
                section: s.name.clone(),
                key: String::new(),
                value: String::new(),
            })
            .collect()
    }

    /// True when more than one section names this priority.
    fn shared_priority(&self, priority: &str) -> bool {
        let kinds = [Kind::Program, Kind::Group];
        self.key(&kinds, "priority", |s| s.value() == priority).len() > 1
    }
}

/// The list.
pub const CHECKS: &[Check] = &[
    Check {
        id: "comment-in-quotes",
        who: &[Who::Supervisor, Who::Supers],
        severity: Severity::Warning,
        text: "`{key}`: a blank before `;` or `#` begins a comment, inside quotes too: the value ends there",
        hint: "write the sign without a blank before it, for example outside the quotes: 'a '';b'",
        test: |v| v.keys(ANY, |s| cut_in_quotes(s.line)),
    },
    Check {
        id: "unknown-section",
        who: &[Who::Supervisor, Who::Go, Who::Supers],
        severity: Severity::Warning,
        text: "[{section}] is no section that anybody reads",
        hint: "",
        test: |v| v.strange(|s| s.name != "program-default" && !PLAIN.contains(&s.name.as_str())),
    },
    Check {
        id: "default-section",
        who: &[Who::Supervisor],
        severity: Severity::Error,
        text: "a key of [DEFAULT] is in [rpcinterface:*] too, which ends the start: `[{section}]`",
        hint: "say the keys in each section",
        test: |v| v.sections(&[Kind::RpcInterface], |_| !v.all.defaults.is_empty()),
    },
    Check {
        id: "included-include",
        who: &[Who::Supervisor, Who::Go, Who::Supers],
        severity: Severity::Warning,
        text: "[include] in an included file is not read",
        hint: "name the files in the main file",
        test: |v| v.included_includes(),
    },
    Check {
        id: "include-glob",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`{value}` is taken for an unanchored regular expression: `*.conf` takes `x.conf.bak` too, and wildcards in folders do not work",
        hint: "",
        test: |v| v.key(&[Kind::Include], "files", |s| s.value().contains(['*', '?', '['])),
    },
    Check {
        id: "include-unit",
        who: &[Who::Supervisor, Who::Go],
        severity: Severity::Error,
        text: "`{value}` names unit files, which only supers reads",
        hint: "",
        test: |v| {
            v.key(&[Kind::Include], "files", |s| {
                s.value().split_whitespace().any(|w| w.ends_with(".service"))
            })
        },
    },
    Check {
        id: "here-included",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "%(here)s in `{key}` is the folder of the main file, not of this included one",
        hint: "write the path",
        test: |v| v.keys(ANY, |s| s.included && s.value().contains("%(here)")),
    },
    Check {
        id: "go-only-key",
        who: &[Who::Supervisor, Who::Supers],
        severity: Severity::Warning,
        text: "`{key}` is a key of the Go port and has no effect",
        hint: "",
        test: |v| v.keys(PROGRAMS, |s| GO_PROGRAM.contains(&s.key())),
    },
    Check {
        id: "go-only-section",
        who: &[Who::Supervisor, Who::Supers],
        severity: Severity::Warning,
        text: "[program-default] is a section of the Go port and has no effect",
        hint: "say the keys in each program, or in [DEFAULT] when there is no [rpcinterface:*]",
        test: |v| v.strange(|s| s.name == "program-default"),
    },
    Check {
        id: "go-only-server-key",
        who: &[Who::Supervisor, Who::Supers],
        severity: Severity::Warning,
        text: "`{key}` is a key of the Go port and has no effect",
        hint: "",
        test: |v| {
            v.key(&[Kind::InetServer], "nodename", |_| true)
                .into_iter()
                .chain(v.key(&[Kind::InetServer], "remotes", |_| true))
                .collect()
        },
    },
    Check {
        id: "unknown-key",
        who: &[Who::Supervisor, Who::Go, Who::Supers],
        severity: Severity::Warning,
        text: "`{key}` in [{section}] is no key that anybody reads",
        hint: "",
        test: |v| v.keys(ANY, unknown_key),
    },
    Check {
        id: "bad-number",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`{key}={value}` is no number for the Go port, which takes the default in silence",
        hint: "write digits only",
        test: |v| v.keys(ANY, |s| NUMBERS.contains(&s.key()) && odd_number(s.value())),
    },
    Check {
        id: "bad-boolean",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`{key}={value}`: only `true` and `false` in small letters are understood (autorestart: `unexpected` too)",
        hint: "write true or false",
        test: |v| {
            v.keys(PROGRAMS, |s| {
                BOOLEANS.contains(&s.key()) && !["true", "false", "unexpected"].contains(&s.value())
            })
        },
    },
    Check {
        id: "small-size",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`{key}={value}`: the unit must be KB, MB or GB in capital letters, else the default is taken in silence",
        hint: "write it in capital letters",
        test: |v| v.keys(ANY, |s| s.key().ends_with("_maxbytes") && s.value().ends_with('b')),
    },
    Check {
        id: "go-daemon-key",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`{key}` in [supervisord] is not read",
        hint: "",
        test: |v| v.keys(&[Kind::Supervisord], |s| GO_DAEMON.contains(&s.key())),
    },
    Check {
        id: "daemon-umask",
        who: &[Who::Supervisor, Who::Supers],
        severity: Severity::Warning,
        text: "`{key}` in [supervisord] is applied only while daemonizing: a daemon in the foreground keeps what it was started with",
        hint: "set it in the programs",
        test: |v| v.keys(&[Kind::Supervisord], |s| ["umask", "directory"].contains(&s.key())),
    },
    Check {
        id: "foreground",
        who: &[Who::Supers],
        severity: Severity::Warning,
        text: "superd stays in the foreground whatever `nodaemon` says, unless it is started with -d or as supervisord",
        hint: "start it with -d",
        test: |v| v.key(&[Kind::Supervisord], "nodaemon", |s| is_false(s.value())),
    },
    Check {
        id: "daemon-log-stream",
        who: &[Who::Supervisor],
        severity: Severity::Error,
        text: "a log on {value} needs {key}_maxbytes=0: where it is no file, the daemon ends (`Illegal seek`)",
        hint: "add {key}_maxbytes=0",
        test: |v| v.keys(&[Kind::Supervisord], |s| s.key() == "logfile" && stream_without_zero(s)),
    },
    Check {
        id: "daemon-percent",
        who: &[Who::Supervisor],
        severity: Severity::Warning,
        text: "4.3 expands `environment` of [supervisord] twice, so one percent sign is written %%%%; 4.4 expands it once",
        hint: "avoid percent signs here",
        test: |v| v.key(&[Kind::Supervisord], "environment", |s| s.value().contains("%%")),
    },
    Check {
        id: "log-level",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`loglevel={value}` means debug",
        hint: "use error, warn, info or debug",
        test: |v| {
            v.key(&[Kind::Supervisord], "loglevel", |s| GO_DEBUG.contains(&s.value().to_lowercase().as_str()))
        },
    },
    Check {
        id: "limits",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`minprocs` is not looked at when `minfds` is set",
        hint: "",
        test: |v| v.key(&[Kind::Supervisord], "minprocs", |s| s.other("minfds").is_some()),
    },
    Check {
        id: "no-supervisord",
        who: &[Who::Supervisor],
        severity: Severity::Error,
        text: "there is no [supervisord] section",
        hint: "add an empty one",
        test: |v| v.whole(!v.has(Kind::Supervisord)),
    },
    Check {
        id: "no-rpcinterface",
        who: &[Who::Supervisor],
        severity: Severity::Warning,
        text: "without [rpcinterface:supervisor] no supervisor.* call is answered, and supervisorctl is of no use",
        hint: "add it, with supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface",
        test: |v| {
            v.sections(&[Kind::UnixServer, Kind::InetServer], |_| {
                v.all.section("rpcinterface:supervisor").is_none()
            })
        },
    },
    Check {
        id: "no-ctl",
        who: &[Who::Supervisor],
        severity: Severity::Warning,
        text: "without a [supervisorctl] section supervisorctl refuses this file",
        hint: "add one with serverurl",
        test: |v| v.sections(&[Kind::UnixServer, Kind::InetServer], |_| !v.has(Kind::Ctl)),
    },
    Check {
        id: "plugin",
        who: &[Who::Go, Who::Supers],
        severity: Severity::Warning,
        text: "[{section}] loads Python code, which only Supervisor can",
        hint: "",
        test: |v| v.sections(&[Kind::RpcInterface, Kind::CtlPlugin], |s| s.name != "rpcinterface:supervisor"),
    },
    Check {
        id: "open-port",
        who: &[Who::Supervisor, Who::Go],
        severity: Severity::Warning,
        text: "[{section}] has no password: everybody who reaches the port commands the daemon, web pages in a browser on this machine too",
        hint: "set username and password, or listen on a unix socket",
        test: |v| v.sections(&[Kind::InetServer], |s| value(s, "password").is_none()),
    },
    Check {
        id: "read-only-port",
        who: &[Who::Supers],
        severity: Severity::Warning,
        text: "without a password [{section}] only reads: start, stop and the rest are refused over TCP",
        hint: "set username and password",
        test: |v| v.sections(&[Kind::InetServer], |s| value(s, "password").is_none()),
    },
    Check {
        id: "all-addresses",
        who: &[Who::Supervisor, Who::Go, Who::Supers],
        severity: Severity::Warning,
        text: "`port={value}` listens on all addresses of the machine",
        hint: "write 127.0.0.1:PORT",
        test: |v| v.key(&[Kind::InetServer], "port", |s| all_addresses(s.value())),
    },
    Check {
        id: "open-socket",
        who: &[Who::Supervisor, Who::Supers],
        severity: Severity::Warning,
        text: "`chmod={value}` lets every user of the machine command the daemon",
        hint: "use 0770 and chown",
        test: |v| v.key(&[Kind::UnixServer], "chmod", |s| open_mode(s.value())),
    },
    Check {
        id: "go-socket-mode",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`{key}` of the unix socket is not read",
        hint: "",
        test: |v| v.keys(&[Kind::UnixServer], |s| ["chmod", "chown"].contains(&s.key())),
    },
    Check {
        id: "go-section",
        who: &[Who::Go],
        severity: Severity::Error,
        text: "[{section}] is not known: nothing in it runs",
        hint: "",
        test: |v| v.sections(&[Kind::FastCgi], |_| true),
    },
    Check {
        id: "user-home",
        who: &[Who::Supervisor],
        severity: Severity::Warning,
        text: "`user={value}` changes neither HOME nor USER: the program sees those of the daemon; superd sets them, and Go them and a PATH of its own",
        hint: "set HOME and USER in environment",
        test: |v| v.key(PROGRAMS, "user", |s| !s.other("environment").is_some_and(|e| e.contains("HOME"))),
    },
    Check {
        id: "user-group",
        who: &[Who::Supervisor, Who::Supers],
        severity: Severity::Error,
        text: "`user={value}`: only the Go port takes a group after a colon",
        hint: "write the user alone",
        test: |v| v.key(PROGRAMS, "user", |s| s.value().contains(':')),
    },
    Check {
        id: "go-user",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "with `user` set, HOME and PATH in `environment` are overridden, and the other groups of root stay with the program",
        hint: "",
        test: |v| {
            v.key(PROGRAMS, "environment", |s| {
                s.other("user").is_some() && ["HOME=", "PATH="].iter().any(|w| s.value().contains(w))
            })
        },
    },
    Check {
        id: "quick-end",
        who: &[Who::Supervisor, Who::Supers],
        severity: Severity::Warning,
        text: "`autorestart=false`, but an end within startsecs is a failed start, with exit status 0 too: it is tried again startretries times, then FATAL",
        hint: "set startsecs=0 for a program that is meant to end",
        test: |v| {
            v.key(PROGRAMS, "autorestart", |s| {
                is_false(s.value()) && s.other("startsecs").is_none_or(|n| n != "0")
            })
        },
    },
    Check {
        id: "go-exits",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "releases since August 2026 take each exit for a failed start, so `autorestart={value}` is not looked at: a program that is meant to end runs startretries times and is FATAL",
        hint: "",
        test: |v| {
            v.key(PROGRAMS, "autorestart", |s| {
                is_false(s.value()) || s.value().eq_ignore_ascii_case("unexpected")
            })
        },
    },
    Check {
        id: "zero-startsecs",
        who: &[Who::Supervisor],
        severity: Severity::Warning,
        text: "with startsecs=0 a start that sees its process end with an error at once answers `spawn error`; supers answers that it was started",
        hint: "",
        test: |v| v.key(PROGRAMS, "startsecs", |s| s.value() == "0"),
    },
    Check {
        id: "retries",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`startretries={value}`: there is no growing pause between the tries, and FATAL is not final",
        hint: "",
        test: |v| v.key(PROGRAMS, "startretries", |_| true),
    },
    Check {
        id: "exit-codes",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "[{section}] names no exitcodes: 2 counts as expected beside 0",
        hint: "add exitcodes=0",
        test: |v| {
            v.sections(&[Kind::Program], |s| {
                value(s, "exitcodes").is_none() && !value(s, "autorestart").is_some_and(fixed_restart)
            })
        },
    },
    Check {
        id: "stop-signals",
        who: &[Who::Supervisor, Who::Supers],
        severity: Severity::Error,
        text: "`stopsignal={value}`: only the Go port takes several signals",
        hint: "name one",
        test: |v| v.key(PROGRAMS, "stopsignal", |s| s.value().contains([' ', ','])),
    },
    Check {
        id: "stop-order",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`priority={value}` orders only starts, and only of programs without dependencies: all programs are stopped at once",
        hint: "",
        test: |v| v.key(PROGRAMS, "priority", |_| true),
    },
    Check {
        id: "equal-priority",
        who: &[Who::Supervisor],
        severity: Severity::Warning,
        text: "groups of one priority are stopped one after another at a shutdown, the later name first; supers stops them together",
        hint: "",
        test: |v| v.key(&[Kind::Program, Kind::Group], "priority", |s| v.shared_priority(s.value())),
    },
    Check {
        id: "process-numbers",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "process_num counts from 1, and numprocs_start is not read",
        hint: "",
        test: |v| {
            v.keys(PROGRAMS, |s| {
                s.key() == "numprocs_start"
                    || (s.key() == "process_name" && s.value().contains("%(process_num)"))
            })
        },
    },
    Check {
        id: "command-quotes",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`{key}`: quotes inside a word stay, words in quotes side by side are split, and backslashes stay",
        hint: "begin each quoted word with its quote, or use a script",
        test: |v| v.key(PROGRAMS, "command", |s| inner_quotes(s.value())),
    },
    Check {
        id: "environment-quotes",
        who: &[Who::Supervisor],
        severity: Severity::Warning,
        text: "`environment`: 4.3 (and supers) takes quotes off both ends and knows no escapes, 4.4 reads quotes and backslashes as a shell does",
        hint: "use no backslash, and no quote inside quotes",
        test: |v| v.keys(ANY, |s| s.key() == "environment" && quoting_differs(s.value())),
    },
    Check {
        id: "go-environment-quotes",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`environment`: single quotes are not understood",
        hint: "use double quotes",
        test: |v| v.key(PROGRAMS, "environment", |s| s.value().contains('\'')),
    },
    Check {
        id: "supervisorctl-inside",
        who: &[Who::Go, Who::Supers],
        severity: Severity::Warning,
        text: "HUP and `reload` apply what changed, and do not stop and start everything as in Supervisor (started as supervisord, supers does)",
        hint: "",
        test: |v| {
            v.key(PROGRAMS, "command", |s| {
                s.value().contains("supervisorctl reload")
                    || (s.value().contains("HUP") && s.value().contains("supervisord"))
            })
        },
    },
    Check {
        id: "go-no-log",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`{key}={value}` makes a file of that name",
        hint: "use /dev/null",
        test: |v| {
            v.keys(PROGRAMS, |s| is_log(s) && ["none", "off"].contains(&s.value().to_lowercase().as_str()))
        },
    },
    Check {
        id: "go-auto-log",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`{key}={value}` is no file: the last 1000 pieces of output are kept in memory",
        hint: "name a file",
        test: |v| v.keys(PROGRAMS, |s| is_log(s) && s.value().eq_ignore_ascii_case("auto")),
    },
    Check {
        id: "log-targets",
        who: &[Who::Supervisor, Who::Supers],
        severity: Severity::Warning,
        text: "`{key}={value}`: several targets, memory and syslog@HOST are the Go port's; here it is the name of one file",
        hint: "",
        test: |v| {
            v.keys(PROGRAMS, |s| is_log(s) && (s.value().contains([',', '@']) || s.value() == "memory"))
        },
    },
    Check {
        id: "go-syslog-name",
        who: &[Who::Go],
        severity: Severity::Error,
        text: "`{key}={value}`: a name that begins with syslog and has no @ ends the daemon",
        hint: "give the file another name",
        test: |v| {
            v.keys(PROGRAMS, |s| {
                is_log(s)
                    && s.value().len() > 6
                    && s.value().starts_with("syslog")
                    && !s.value().contains('@')
            })
        },
    },
    Check {
        id: "log-stream",
        who: &[Who::Supervisor],
        severity: Severity::Warning,
        text: "a log on {value} needs {key}_maxbytes=0: where it is no file, output is cut off after its first piece (`Illegal seek`)",
        hint: "add {key}_maxbytes=0",
        test: |v| v.keys(PROGRAMS, |s| is_log(s) && stream_without_zero(s)),
    },
    Check {
        id: "go-zero-size",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`{key}={value}` rotates at every write",
        hint: "",
        test: |v| v.keys(ANY, |s| s.key().ends_with("logfile_maxbytes") && zero_size(s.value())),
    },
    Check {
        id: "go-zero-backups",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`{key}={value}` still keeps one old file",
        hint: "",
        test: |v| v.keys(ANY, |s| s.key().ends_with("logfile_backups") && s.value() == "0"),
    },
    Check {
        id: "rotation-point",
        who: &[Who::Supers],
        severity: Severity::Warning,
        text: "`{key}={value}`: a rotated log ends with a whole line; in Supervisor wherever a read ended, up to 128 KiB later",
        hint: "",
        test: |v| v.keys(PROGRAMS, |s| s.key().ends_with("logfile_maxbytes") && some_size(s.value())),
    },
    Check {
        id: "go-stderr-events",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`{key}`: events of standard error carry the type of standard output, and captured text goes to the log of standard output",
        hint: "",
        test: |v| {
            v.keys(PROGRAMS, |s| {
                (s.key() == "stderr_events_enabled" && !is_false(s.value()))
                    || (s.key() == "stderr_capture_maxbytes" && some_size(s.value()))
            })
        },
    },
    Check {
        id: "listener-buffer",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "[{section}] names no buffer_size: it is 100, and 10 in Supervisor and supers; a full buffer drops the newest event, not the oldest",
        hint: "set buffer_size",
        test: |v| v.sections(&[Kind::EventListener], |s| value(s, "buffer_size").is_none()),
    },
    Check {
        id: "listener-events",
        who: &[Who::Go],
        severity: Severity::Warning,
        text: "`{value}`: PROCESS_GROUP_* and SUPERVISOR_STATE_CHANGE_* are never sent",
        hint: "",
        test: |v| {
            v.key(&[Kind::EventListener], "events", |s| {
                ["PROCESS_GROUP", "SUPERVISOR_STATE"].iter().any(|w| s.value().to_uppercase().contains(w))
            })
        },
    },
    Check {
        id: "result-handler",
        who: &[Who::Go, Who::Supers],
        severity: Severity::Error,
        text: "`result_handler={value}` is Python code, which only Supervisor can load",
        hint: "",
        test: |v| {
            v.key(&[Kind::EventListener], "result_handler", |s| {
                s.value() != "supervisor.dispatchers:default_handler"
            })
        },
    },
];
