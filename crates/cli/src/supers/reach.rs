//! Which daemon is meant, the way there, and why there is none.

use super::around::Around;
use super::exit::Failure;
use super::term::clean;
use super::{Globals, term};
use crate::elsewhere;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use supers_api::{Address, ConnectError, Credentials, Remote};
use supers_config::places::{self, Asker, Places};
use supers_config::source::Disk;
use supers_config::{Choice, Loaded, Secret};

/// A place to try.
#[derive(Clone, Debug)]
pub(super) struct Target {
    /// Where.
    pub(super) address: Address,
    /// Why there, in a sentence.
    pub(super) why: String,
    credentials: Credentials,
}

/// All that is known before anything is tried.
pub(super) struct Way {
    /// Where the configuration and its folders are, unless a server was named.
    pub(super) places: Option<Places>,
    first: Target,
}

/// Works out what the command line means.
pub(super) fn way(globals: &Globals, around: &Around) -> Result<Way, Failure> {
    let credentials = credentials(globals, around);
    if let Some(url) = &globals.server {
        let address = parse_url(url).map_err(Failure::Usage)?;
        return Ok(Way { places: None, first: Target { address, why: "named with -s".into(), credentials } });
    }
    let asker = asker(globals, around);
    let places = match places::find(&asker, &Disk) {
        Ok(places) => places,
        Err(places::NotFound::Nowhere { .. }) => places::of_default_folder(&asker, &Disk),
        Err(e @ places::NotFound::Given { .. }) => return Err(Failure::Usage(e.to_string())),
    };
    let why = places.why.clone();
    let first = Target { address: Address::Unix(places.socket.clone()), why, credentials };
    Ok(Way { places: Some(places), first })
}

/// The question to [`places`]: the same that the daemon asks.
pub(super) fn asker(globals: &Globals, around: &Around) -> Asker {
    around.world.asker(globals.config.as_deref(), globals.root.as_deref())
}

fn credentials(globals: &Globals, around: &Around) -> Credentials {
    match (&globals.auth_user, &globals.auth_password, around.var("SUPERS_TOKEN")) {
        (Some(user), password, _) => {
            Credentials::Basic(user.clone(), Secret::new(password.clone().unwrap_or_default()))
        }
        (None, _, Some(token)) => Credentials::Bearer(Secret::new(token)),
        (None, _, None) => Credentials::None,
    }
}

/// `unix:///path` or `http://host:port`.
fn parse_url(url: &str) -> Result<Address, String> {
    if let Some(path) = url.strip_prefix("unix://").filter(|p| p.starts_with('/')) {
        return Ok(Address::Unix(PathBuf::from(path)));
    }
    let wrong = || format!("-s takes unix:///PATH or http://HOST:PORT, not {url:?}");
    let rest = url.strip_prefix("http://").ok_or_else(wrong)?;
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    let (host, port) = rest.rsplit_once(':').filter(|(_, p)| !p.ends_with(']')).unwrap_or((rest, "80"));
    let host = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(host);
    let port = port.parse().map_err(|_| wrong())?;
    if host.is_empty() || host.contains(['/', '@']) {
        return Err(wrong());
    }
    Ok(Address::Tcp(host.into(), port))
}

impl Way {
    /// Connects to the first place that answers.
    ///
    /// # Errors
    /// The full explanation.
    pub(super) async fn connect(&self, globals: &Globals, around: &Around) -> Result<Remote, Failure> {
        let mut tried = Vec::new();
        match attempt(&self.first).await {
            Ok(remote) => return Ok(remote),
            Err(e) => tried.push((self.first.clone(), e)),
        }
        // The configuration may name other sockets; reading all of it is only worth it now.
        if let Some(places) = &self.places {
            for target in others(places, around, &self.first) {
                match attempt(&target).await {
                    Ok(remote) => return Ok(remote),
                    Err(e) => tried.push((target, e)),
                }
            }
        }
        Err(Failure::NoDaemon(explain(&tried, self.places.as_ref(), globals, around)))
    }
}

async fn attempt(target: &Target) -> Result<Remote, ConnectError> {
    Remote::connect(target.address.clone(), target.credentials.clone()).await
}

/// Sockets that the configuration itself names.
fn others(places: &Places, around: &Around, first: &Target) -> Vec<Target> {
    let settings = read(places, around).config.settings;
    let mut found = Vec::new();
    let mut add = |address: Address, why: String, credentials: Credentials| {
        if address != first.address && !found.iter().any(|t: &Target| t.address == address) {
            found.push(Target { address, why, credentials });
        }
    };
    let ours = |user: &Option<String>, password: Option<&Secret>| match (&first.credentials, user) {
        (Credentials::None, Some(user)) => {
            Credentials::Basic(user.clone(), password.cloned().unwrap_or_else(|| Secret::new("")))
        }
        (given, _) => given.clone(),
    };
    for server in &settings.servers {
        let why = format!("[{}] of {}", server.name, choice_path(places).display());
        let plain = server.auth.as_ref().and_then(|a| match &a.password {
            supers_config::Password::Plain(secret) => Some(secret),
            supers_config::Password::Sha1(_) => None,
        });
        let user = server.auth.as_ref().map(|a| a.username.clone());
        if let supers_config::Address::Unix { path, .. } = &server.address {
            let path = PathBuf::from(std::ffi::OsStr::from_bytes(path));
            add(Address::Unix(path), why, ours(&user, plain));
        }
    }
    if let Some(address) = settings.ctl.serverurl.as_deref().and_then(|url| parse_url(url).ok()) {
        let why = format!("[supervisorctl] of {}", choice_path(places).display());
        add(address, why, ours(&settings.ctl.username, settings.ctl.password.as_ref()));
    }
    found
}

/// The path of the configuration.
pub(super) fn choice_path(places: &Places) -> &Path {
    match &places.choice {
        Choice::File(path) | Choice::Dir(path) => path,
    }
}

/// Reads the configuration.
pub(super) fn read(places: &Places, around: &Around) -> Loaded {
    let state = places.state.join("logs");
    around.world.load(&places.choice, places.log_dirs.first().unwrap_or(&state))
}

/// The same for a check of one file that somebody names.
pub(super) fn read_among(places: &Places, around: &Around) -> Loaded {
    let state = places.state.join("logs");
    around.world.load_among(&places.choice, places.log_dirs.first().unwrap_or(&state))
}

/// Which sockets were tried and why, whether a daemon lives, and what to type.
fn explain(
    tried: &[(Target, ConnectError)],
    places: Option<&Places>,
    globals: &Globals,
    around: &Around,
) -> String {
    let mut lines = vec!["cannot reach superd".to_string()];
    for (target, error) in tried {
        lines.push(format!("  tried {}: {error}", address_text(&target.address)));
        lines.push(format!("    ({})", target.why));
    }
    let denied = tried.iter().any(|(_, e)| matches!(e, ConnectError::Denied));
    match places.map(|p| (p, alive(p))) {
        None => lines.push(
            "  is superd running there? Its address is what `supers version` on its machine shows".into(),
        ),
        Some((places, Some(pid))) => {
            lines.push(format!("  superd runs as pid {pid} ({})", places.pid_file.display()));
            if denied {
                lines.push(format!(
                    "  but user id {} may not use its socket; type: sudo supers ...",
                    around.world.uid
                ));
            } else {
                lines.push("  but does not listen there; it may be starting or stopping: try again, or look into its log".into());
                // Why a daemon that is tried again and again does not get up.
                let words = std::fs::read_to_string(places.runtime.join("keeper.log")).unwrap_or_default();
                if !words.trim().is_empty() {
                    lines.push(format!("  its keeper says: {}", clean(words.trim())));
                }
            }
        }
        Some((_, None)) if denied => {
            lines.push(format!("  user id {} may not look there; type: sudo supers ...", around.world.uid));
        }
        Some((places, None)) => {
            let file = places.pid_file.display();
            let sign = if places.pid_file.exists() { "names no live process" } else { "does not exist" };
            let others = elsewhere::others(places);
            lines.push(match (others.is_empty(), around.world.uid) {
                (true, 0) => format!("  superd is not running ({file} {sign})"),
                // Another user's is not to be seen from here.
                (true, uid) => format!("  superd is not running as user id {uid} ({file} {sign})"),
                (false, uid) => format!("  superd is not running as user id {uid}, but as another one:"),
            });
            for elsewhere::Other { user, pid, socket } in &others {
                let socket = clean(&socket.display().to_string()).into_owned();
                lines.push(format!("  user {user} runs it as pid {pid}: supers -s unix://{socket} status"));
            }
            if others.is_empty() {
                lines.push(format!("  to start it: {}", start_command(globals)));
            }
        }
    }
    lines.join("\n")
}

fn start_command(globals: &Globals) -> String {
    globals.typed().replacen("supers", "superd -d", 1)
}

fn address_text(address: &Address) -> String {
    match address {
        Address::Unix(path) => path.display().to_string(),
        Address::Tcp(host, port) if host.contains(':') => format!("http://[{host}]:{port}"),
        Address::Tcp(host, port) => format!("http://{}:{port}", term::clean(host)),
    }
}

/// The pid in the pid file, when that process lives and is one of ours.
fn alive(places: &Places) -> Option<i32> {
    let text = std::fs::read_to_string(&places.pid_file).ok()?;
    let pid: i32 = text.trim().parse().ok()?;
    let comm = std::fs::read_to_string(format!("/proc/{pid}/comm")).ok()?;
    comm.trim().starts_with("super").then_some(pid)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn urls() {
        let tcp = |h: &str, p| Ok(Address::Tcp(h.into(), p));
        assert_eq!(parse_url("unix:///run/x.sock"), Ok(Address::Unix("/run/x.sock".into())));
        assert_eq!(parse_url("http://box:10405"), tcp("box", 10405));
        assert_eq!(parse_url("http://box:10405/"), tcp("box", 10405));
        assert_eq!(parse_url("http://[::1]:10405"), tcp("::1", 10405));
        assert_eq!(parse_url("http://[::1]"), tcp("::1", 80));
        assert_eq!(parse_url("http://box"), tcp("box", 80));
        for bad in
            ["box:1", "unix://x", "http://", "http://box:x", "http://a/b:1", "https://box:1", "http://u@h:1"]
        {
            assert!(parse_url(bad).is_err(), "{bad}");
        }
    }
}
