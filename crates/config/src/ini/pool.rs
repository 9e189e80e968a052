//! What `[eventlistener:x]` and `[fcgi-program:x]` have beyond a program (supervisor-contract 4).

use super::expand::{Scope, py_repr};
use super::fields::{Fields, string};
use super::value::{self, Value};
use crate::fault::Fault;
use crate::load::{Personality, Request};
use bstr::{BStr, BString, ByteSlice};
use supers_core::event;
use supers_core::spec::{Listener, SharedSocket, SocketAddress};

/// The only result handler that is no Python.
const RESULT_HANDLER: &str = "supervisor.dispatchers:default_handler";
/// Mode of a shared unix socket.
const SOCKET_MODE: u32 = 0o700;

/// The keys of a pool of listeners, in the ancestor's order of reading.
pub(super) fn listener(f: &mut Fields<'_>, scope: &Scope) -> Listener {
    let name = f.section.name.clone();
    let buffer_size = f.get("buffer_size", scope, 10, value::integer);
    if buffer_size < 1 {
        let text = format!("[{name}] section sets invalid buffer_size ({buffer_size})");
        f.fault(Fault::new(&f.place("buffer_size"), text));
    }
    let result_handler = f.get("result_handler", scope, RESULT_HANDLER.to_string(), string);
    if result_handler != RESULT_HANDLER {
        let text = format!("{result_handler} cannot be resolved within [{name}]");
        f.fault(Fault::new(&f.place("result_handler"), text).hint("Python functions cannot be loaded"));
    }
    let events = events(f, &name, scope);
    if f.get("redirect_stderr", scope, false, value::boolean) {
        let text = format!(
            "[{name}] section sets redirect_stderr=true but this is not allowed because it will interfere \
             with the eventlistener protocol"
        );
        f.fault(Fault::new(&f.place("redirect_stderr"), text));
    }
    Listener { events, buffer_size: u32::try_from(buffer_size).unwrap_or(u32::MAX), result_handler }
}

/// The types, sorted by name and each once, so that another order in the file is no change.
fn events(f: &mut Fields<'_>, section: &str, scope: &Scope) -> Vec<event::Kind> {
    let text = f.text("events", scope).unwrap_or_default();
    if text.is_empty() {
        let fault =
            Fault::new(&f.place("events"), format!("[{section}] section requires an \"events\" line"));
        f.fault(fault.hint("such as events=PROCESS_STATE"));
        return Vec::new();
    }
    let mut names: Vec<String> = text.to_str_lossy().split(',').map(|w| w.trim().to_uppercase()).collect();
    names.sort();
    names.dedup();
    let mut kinds = Vec::new();
    for name in names {
        match event::Kind::parse(&name) {
            Some(kind) => kinds.push(kind),
            None => {
                let text = format!("Unknown event type {name} in [{section}] events");
                let known = event::Kind::ALL.iter().map(|row| row.1);
                let mut fault = Fault::new(&f.place("events"), text);
                fault.hint = crate::fault::did_you_mean(&name, known);
                f.fault(fault);
            }
        }
    }
    kinds
}

/// The keys of a shared socket, in the ancestor's order of reading. `group_scope` has the few names that
/// are known outside of a process.
pub(super) fn socket(
    req: &Request<'_>,
    f: &mut Fields<'_>,
    group_scope: &Scope,
    program: &str,
) -> Option<SharedSocket> {
    let name = f.section.name.clone();
    let user = f.opt("user", group_scope, |t| value::user(t, req));
    let backlog = f.opt("socket_backlog", group_scope, backlog);
    let owner = f.opt("socket_owner", group_scope, |t| value::owner(t, "socket_owner", req));
    let mode = f.opt("socket_mode", group_scope, |t| {
        value::octal(t).map_err(|_| format!("Invalid socket_mode value {t}"))
    });
    let text = f.text("socket", &group_scope.clone().text("program_name", program));
    let Some(text) = text.filter(|t| !t.is_empty()) else {
        if !f.faults.iter().any(|fault| fault.place == f.place("socket")) {
            let text = format!("[{name}] section requires a \"socket\" line");
            f.fault(Fault::new(&f.section.place, text));
        }
        return None;
    };
    let own = f.entry("socket_owner").is_some() || f.entry("socket_mode").is_some();
    let parsed = address(BStr::new(&text), own, req.personality);
    let in_section = |why: String| format!("{why} in [{name}] socket");
    let parsed = f.parsed("socket", &text, |_| parsed.map_err(in_section))?;
    let address = match parsed {
        Where::Unix(path) => {
            SocketAddress::Unix { path, owner: owner.or(user), mode: mode.unwrap_or(SOCKET_MODE) }
        }
        Where::Tcp(host, port) => SocketAddress::Tcp { host, port },
    };
    Some(SharedSocket { address, backlog })
}

fn backlog(text: &BStr) -> Value<u32> {
    let n = value::integer(text)?;
    let good = u32::try_from(n).ok().filter(|n| (1..=65535).contains(n));
    good.ok_or_else(|| format!("Invalid socket_backlog value {n}"))
}

enum Where {
    Unix(BString),
    Tcp(String, u16),
}

/// `unix:///path` or `tcp://host:port`. `own` says that owner or mode are set.
fn address(text: &BStr, own: bool, personality: Personality) -> Value<Where> {
    // The ancestor prints the message with its argument beside it, as Python shows a pair.
    let with = |message: &str, word: &str| match personality {
        Personality::Supervisord => format!("({}, {})", py_repr(message), py_repr(word)),
        Personality::Superd => message.replace("%s", word),
    };
    if let Some(path) = text.strip_prefix(b"unix://") {
        return match path.starts_with(b"/") {
            true => Ok(Where::Unix(path.into())),
            false => Err(with("Unix socket path %s is not an absolute path", &path.to_str_lossy())),
        };
    }
    let whole = text.to_str_lossy();
    let tcp = whole.strip_prefix("tcp://").and_then(|rest| rest.split_once(':')).filter(|(host, port)| {
        let host_fits = !host.is_empty() && !host.contains(char::is_whitespace);
        host_fits && !port.is_empty() && port.bytes().all(|b| b.is_ascii_digit())
    });
    let Some((host, port)) = tcp else { return Err(with("Bad socket format %s", &whole)) };
    if own {
        return Err(
            "socket_owner and socket_mode params should only be used with a Unix domain socket".into()
        );
    }
    let port = value::port(port)?;
    Ok(Where::Tcp(if host == "*" { String::new() } else { host.to_string() }, port))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> String {
        match address(text.into(), false, Personality::Supervisord) {
            Ok(Where::Unix(path)) => format!("unix {path}"),
            Ok(Where::Tcp(host, port)) => format!("tcp {host:?} {port}"),
            Err(why) => why,
        }
    }

    #[test]
    fn addresses() {
        for (text, want) in [
            ("unix:///a b", "unix /a b"),
            ("unix://x", "('Unix socket path %s is not an absolute path', 'x')"),
            ("tcp://*:80", "tcp \"\" 80"),
            ("tcp://h:80", "tcp \"h\" 80"),
            ("tcp://h:0", "0 is below lower bound (1)"),
            ("tcp://[::1]:80", "('Bad socket format %s', 'tcp://[::1]:80')"),
            ("tcp://:80", "('Bad socket format %s', 'tcp://:80')"),
            ("TCP://h:80", "('Bad socket format %s', 'TCP://h:80')"),
        ] {
            assert_eq!(read(text), want);
        }
        let own = address("tcp://h:1".into(), true, Personality::Superd).err();
        assert!(own.is_some_and(|e| e.starts_with("socket_owner and socket_mode")));
        let plain = address("x".into(), false, Personality::Superd).err();
        assert_eq!(plain.as_deref(), Some("Bad socket format x"));
    }
}
