//! `[supervisord]`, the server sections and `[supervisorctl]` (supervisor-contract 4).

use super::expand::Scope;
use super::fields::{Fields, string};
use super::keys::Kind;
use super::parse::{Doc, Section};
use super::value::{self, Value};
use crate::fault::Fault;
use crate::load::{Personality, Request};
use crate::model::{Address, Auth, Ctl, Password, Secret, Server, Settings};
use bstr::{BStr, BString};

/// Longest path of a unix socket, without the closing zero byte.
const MAX_SOCKET_PATH: usize = 107;

/// What came of the sections.
pub(crate) struct Lowered {
    pub(crate) settings: Settings,
    /// Reasons not to start anything.
    pub(crate) errors: Vec<Fault>,
    pub(crate) warnings: Vec<Fault>,
}

/// Lowers all sections that concern the daemon itself. `env` is the scope of its own environment.
pub(crate) fn lower(req: &Request<'_>, doc: &Doc, env: &Scope) -> Lowered {
    let mut out = Lowered { settings: Settings::default(), errors: Vec::new(), warnings: Vec::new() };
    out.settings.sequential_stop = req.personality == Personality::Supervisord;
    if let Some(section) = doc.section("supervisord") {
        supervisord(req, doc, section, env, &mut out);
    }
    let mut scope = env.clone();
    scope.add_env(&out.settings.environment);
    // The ancestor opens TCP sections first.
    for wanted in [Kind::InetServer, Kind::UnixServer] {
        for section in &doc.sections {
            if matches!(Kind::of(&section.name), Some((kind, _)) if kind == wanted) {
                let mut fields = Fields::new(section, &doc.defaults);
                out.settings.servers.extend(server(req, &mut fields, wanted, &scope));
                out.errors.append(&mut fields.faults);
            }
        }
    }
    plugins(req, doc, &scope, &mut out);
    if let Some(section) = doc.section("supervisorctl") {
        let mut fields = Fields::new(section, &doc.defaults);
        out.settings.ctl = ctl(req, &mut fields, &scope);
        // They are the client's business; the daemon runs without.
        out.warnings.append(&mut fields.faults);
    }
    out
}

fn supervisord(req: &Request<'_>, doc: &Doc, section: &Section, env: &Scope, out: &mut Lowered) {
    let mut f = Fields::new(section, &doc.defaults);
    let s = &mut out.settings;
    s.logfile = f.opt("logfile", env, |t| match t.eq_ignore_ascii_case(b"syslog") {
        true => Ok(t.into()),
        false => value::existing_dirpath(t, req).map(|p| value::full_path(BStr::new(&p), req)),
    });
    if s.logfile.as_ref().is_some_and(|l| l.eq_ignore_ascii_case(b"syslog")) {
        s.logfile = None;
        let fault = Fault::new(&f.place("logfile"), "logfile=syslog comes in a later version");
        out.warnings.push(fault.hint("the main log goes to its default place"));
    }
    s.logfile_maxbytes = f.get("logfile_maxbytes", env, s.logfile_maxbytes, value::byte_size);
    s.logfile_backups = f.get("logfile_backups", env, s.logfile_backups, value::natural);
    s.loglevel = f.get("loglevel", env, s.loglevel, value::log_level);
    s.pidfile = f.opt("pidfile", env, |t| {
        value::existing_dirpath(t, req).map(|p| value::full_path(BStr::new(&p), req))
    });
    s.umask = f.opt("umask", env, value::octal);
    s.nodaemon = f.get("nodaemon", env, false, value::boolean);
    s.silent = f.get("silent", env, false, value::boolean);
    s.minfds = f.opt("minfds", env, value::natural).map(u64::from);
    s.minprocs = f.opt("minprocs", env, value::natural).map(u64::from);
    s.nocleanup = f.get("nocleanup", env, false, value::boolean);
    s.childlogdir = f.opt("childlogdir", env, |t| value::existing_directory(t, req));
    s.user = f.opt("user", env, |t| value::user(t, req));
    s.directory = f.opt("directory", env, |t| value::existing_directory(t, req));
    s.strip_ansi = f.get("strip_ansi", env, false, value::boolean);
    s.identifier = f.get("identifier", env, s.identifier.clone(), string);
    let pairs = f.opt("environment", env, |t| super::shlex::pairs(t));
    s.environment = pairs.map(|(pairs, _)| pairs).unwrap_or_default();
    out.errors.append(&mut f.faults);
}

fn server(req: &Request<'_>, f: &mut Fields<'_>, kind: Kind, scope: &Scope) -> Option<Server> {
    let name = f.section.name.clone();
    let auth = auth(f, &name, scope);
    let address = if kind == Kind::UnixServer { unix(req, f, &name, scope) } else { inet(f, &name, scope) };
    Some(Server { name, address: address?, auth })
}

fn unix(req: &Request<'_>, f: &mut Fields<'_>, name: &str, scope: &Scope) -> Option<Address> {
    if f.entry("file").is_none() {
        f.fault(Fault::new(&f.section.place, format!("section [{name}] has no file value")));
    }
    let path = f.opt("file", scope, |t| socket_path(t, req));
    let mode =
        f.get("chmod", scope, 0o700, |t| value::octal(t).map_err(|_| format!("Invalid chmod value {t}")));
    let owner = f.opt("chown", scope, |t| value::owner(t, req));
    Some(Address::Unix { path: path?, mode, owner })
}

fn socket_path(text: &BStr, req: &Request<'_>) -> Value<BString> {
    let path = value::full_path(text, req);
    match path.len() {
        0..=MAX_SOCKET_PATH => Ok(path),
        n => Err(format!("the socket path {path} is {n} bytes long; the system allows {MAX_SOCKET_PATH}")),
    }
}

fn inet(f: &mut Fields<'_>, name: &str, scope: &Scope) -> Option<Address> {
    if f.entry("port").is_none() {
        f.fault(Fault::new(&f.section.place, format!("section [{name}] has no port value")));
    }
    let (host, port) = f.opt("port", scope, value::inet_address)?;
    Some(Address::Tcp { host, port })
}

fn auth(f: &mut Fields<'_>, name: &str, scope: &Scope) -> Option<Auth> {
    let username = f.opt("username", scope, string);
    let password = f.opt("password", scope, password);
    let given = (f.entry("username").is_some(), f.entry("password").is_some());
    if given.0 != given.1 {
        let place = f.place(if given.0 { "username" } else { "password" });
        f.fault(Fault::new(
            &place,
            format!("Section [{name}] contains incomplete authentication: username and password go together"),
        ));
    }
    Some(Auth { username: username?, password: password? })
}

fn password(text: &BStr) -> Value<Password> {
    let Some(hex) = text.strip_prefix(b"{SHA}") else { return Ok(Password::Plain(Secret::new(text))) };
    let digit = |b: u8| char::from(b).to_digit(16).and_then(|d| u8::try_from(d).ok());
    let byte = |pair: &[u8]| Some(digit(*pair.first()?)? << 4 | digit(*pair.get(1)?)?);
    let bytes: Option<Vec<u8>> = hex.chunks(2).map(byte).collect();
    let sum = bytes.and_then(|b| <[u8; 20]>::try_from(b).ok());
    sum.map(Password::Sha1).ok_or_else(|| "{SHA} must be followed by the 40 hex digits of a SHA-1 sum".into())
}

fn ctl(req: &Request<'_>, f: &mut Fields<'_>, scope: &Scope) -> Ctl {
    Ctl {
        present: true,
        serverurl: f.opt("serverurl", scope, string),
        username: f.opt("username", scope, string),
        password: f.opt("password", scope, |t| Ok(Secret::new(t))),
        prompt: f.get("prompt", scope, Ctl::default().prompt, string),
        history_file: f.opt("history_file", scope, |t| Ok(value::full_path(t, req))),
    }
}

/// `[rpcinterface:x]`: only the ancestor's own is known. `[ctlplugin:x]` concerns the client, and is
/// not looked at.
fn plugins(req: &Request<'_>, doc: &Doc, scope: &Scope, out: &mut Lowered) {
    const KEY: &str = "supervisor.rpcinterface_factory";
    const OWN: &str = "supervisor.rpcinterface:make_main_rpcinterface";
    for section in &doc.sections {
        let Some((Kind::RpcInterface, name)) = Kind::of(&section.name) else { continue };
        let mut f = Fields::new(section, &doc.defaults);
        match f.text(KEY, scope) {
            None if f.faults.is_empty() => {
                let text = format!("section [{}] does not specify a {KEY}", section.name);
                f.fault(Fault::new(&section.place, text));
            }
            None => {}
            Some(factory) if factory == OWN => out.settings.rpcinterface |= name == "supervisor",
            Some(factory) => {
                let text = format!("{factory} cannot be resolved within [{}]", section.name);
                f.fault(Fault::new(&f.place(KEY), text).hint("Python plug-ins cannot be loaded"));
            }
        }
        match req.personality {
            Personality::Supervisord => out.errors.append(&mut f.faults),
            Personality::Superd => out.warnings.append(&mut f.faults),
        }
    }
}
