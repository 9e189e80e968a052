//! The sections and keys of the dialect.

/// Kinds of sections, by the part of the name before the colon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Supervisord,
    UnixServer,
    InetServer,
    Program,
    EventListener,
    FastCgi,
    Group,
    Ctl,
    Include,
    /// Ours: the ancestor has no such section.
    Webhook,
    /// `[rpcinterface:x]` and `[ctlplugin:x]`, whose keys belong to the plug-in.
    RpcInterface,
    CtlPlugin,
}

/// A kind of section in the file.
struct Row {
    kind: Kind,
    word: &'static str,
    /// Must be followed by `:name`, may be, or must not.
    name: Naming,
    keys: &'static [&'static [&'static str]],
}

#[derive(PartialEq)]
enum Naming {
    Must,
    May,
    Never,
}

const SERVER: &[&str] = &["username", "password"];

const PROGRAM: &[&str] = &[
    "command",
    "process_name",
    "numprocs",
    "numprocs_start",
    "priority",
    "autostart",
    "startsecs",
    "startretries",
    "autorestart",
    "exitcodes",
    "stopsignal",
    "stopwaitsecs",
    "stopasgroup",
    "killasgroup",
    "user",
    "redirect_stderr",
    "stdout_logfile",
    "stdout_logfile_maxbytes",
    "stdout_logfile_backups",
    "stdout_capture_maxbytes",
    "stdout_events_enabled",
    "stdout_syslog",
    "stderr_logfile",
    "stderr_logfile_maxbytes",
    "stderr_logfile_backups",
    "stderr_capture_maxbytes",
    "stderr_events_enabled",
    "stderr_syslog",
    "environment",
    "directory",
    "umask",
    "serverurl",
    // Ours: the ancestor has no such key.
    "webhook",
];

const SUPERVISORD: &[&str] = &[
    "logfile",
    "logfile_maxbytes",
    "logfile_backups",
    "loglevel",
    "pidfile",
    "umask",
    "nodaemon",
    "silent",
    "minfds",
    "minprocs",
    "nocleanup",
    "childlogdir",
    "user",
    "directory",
    "strip_ansi",
    "environment",
    "identifier",
];

const LISTENER: &[&str] = &["events", "buffer_size", "result_handler"];
const SOCKET: &[&str] = &["socket", "socket_backlog", "socket_owner", "socket_mode"];
const CTL: &[&str] = &["serverurl", "username", "password", "prompt", "history_file"];

const WEBHOOK: &[&str] = &["url", "timeout", "secret", "events"];

const ROWS: [Row; 12] = [
    Row { kind: Kind::Supervisord, word: "supervisord", name: Naming::Never, keys: &[SUPERVISORD] },
    Row {
        kind: Kind::UnixServer,
        word: "unix_http_server",
        name: Naming::May,
        keys: &[SERVER, &["file", "chmod", "chown"]],
    },
    Row { kind: Kind::InetServer, word: "inet_http_server", name: Naming::May, keys: &[SERVER, &["port"]] },
    Row { kind: Kind::Program, word: "program", name: Naming::Must, keys: &[PROGRAM] },
    Row { kind: Kind::EventListener, word: "eventlistener", name: Naming::Must, keys: &[PROGRAM, LISTENER] },
    Row { kind: Kind::FastCgi, word: "fcgi-program", name: Naming::Must, keys: &[PROGRAM, SOCKET] },
    Row { kind: Kind::Group, word: "group", name: Naming::Must, keys: &[&["programs", "priority"]] },
    Row { kind: Kind::Ctl, word: "supervisorctl", name: Naming::Never, keys: &[CTL] },
    Row { kind: Kind::Include, word: "include", name: Naming::Never, keys: &[&["files"]] },
    Row { kind: Kind::Webhook, word: "webhook", name: Naming::Never, keys: &[WEBHOOK] },
    Row { kind: Kind::RpcInterface, word: "rpcinterface", name: Naming::Must, keys: &[] },
    Row { kind: Kind::CtlPlugin, word: "ctlplugin", name: Naming::Must, keys: &[] },
];

impl Kind {
    fn row(self) -> Option<&'static Row> {
        ROWS.iter().find(|r| r.kind == self)
    }

    /// The kind of `[section]` and what follows the colon.
    pub(crate) fn of(section: &str) -> Option<(Kind, &str)> {
        let (word, name) = match section.split_once(':') {
            Some((word, name)) => (word, Some(name)),
            None => (section, None),
        };
        let row = ROWS.iter().find(|r| r.word == word)?;
        let fits = match name {
            Some(_) => row.name != Naming::Never,
            None => row.name != Naming::Must,
        };
        fits.then_some((row.kind, name.unwrap_or("")))
    }

    /// The keys such a section may have; `None` when they belong to a plug-in.
    pub(crate) fn keys(self) -> Option<Vec<&'static str>> {
        let row = self.row()?;
        (!row.keys.is_empty()).then(|| row.keys.concat())
    }
}

/// All section words, for a suggestion.
pub(crate) fn section_words() -> impl Iterator<Item = &'static str> {
    ROWS.iter().map(|r| r.word)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sections() {
        assert_eq!(Kind::of("program:web"), Some((Kind::Program, "web")));
        assert_eq!(Kind::of("program: a:b"), Some((Kind::Program, " a:b")));
        assert_eq!(Kind::of("program"), None);
        assert_eq!(Kind::of("supervisord:x"), None);
        assert_eq!(Kind::of("unix_http_server"), Some((Kind::UnixServer, "")));
        assert_eq!(Kind::of("unix_http_server:b"), Some((Kind::UnixServer, "b")));
        assert!(Kind::FastCgi.keys().is_some_and(|k| k.contains(&"socket") && k.contains(&"command")));
        assert_eq!(Kind::CtlPlugin.keys(), None);
    }
}
