//! `[supervisord]`, the server sections and `[supervisorctl]` (supervisor-contract 4).

use super::expand::Scope;
use super::fields::{Fields, string};
use super::keys::Kind;
use super::parse::{Doc, Section};
use super::plugin;
use super::value::{self, Value};
use crate::fault::Fault;
use crate::flags::{Flags, LogTarget, log_target};
use crate::load::{Personality, Request};
use crate::model::{Address, Auth, Password, Secret, Server, Settings};
use bstr::{BStr, BString};

/// Longest path of a unix socket, without the closing zero byte.
const MAX_SOCKET_PATH: usize = 107;

/// What came of the sections.
pub(crate) struct Lowered {
    pub(crate) settings: Settings,
    /// Reasons not to start anything, in the order in which the ancestor reads.
    pub(crate) errors: Vec<Fault>,
    /// The same of what it reads after all programs.
    pub(crate) late_errors: Vec<Fault>,
    pub(crate) warnings: Vec<Fault>,
}

/// Lowers all sections that concern the daemon itself. `env` is the scope of its own environment.
pub(crate) fn lower(req: &Request<'_>, doc: &Doc, env: &Scope, flags: &Flags) -> Lowered {
    let mut out = Lowered {
        settings: Settings::default(),
        errors: Vec::new(),
        late_errors: Vec::new(),
        warnings: Vec::new(),
    };
    out.settings.sequential_stop = req.personality == Personality::Supervisord;
    if let Some(section) = doc.section("supervisord") {
        supervisord(req, doc, section, env, &mut out);
    }
    flags.apply(&mut out.settings);
    let mut scope = env.clone();
    scope.add_env(&out.settings.environment);
    plugins(req, doc, &scope.clone().hide_here(), &mut out);
    // The ancestor opens TCP sections first.
    for wanted in [Kind::InetServer, Kind::UnixServer] {
        for section in &doc.sections {
            if matches!(Kind::of(&section.name), Some((kind, _)) if kind == wanted) {
                let mut fields = Fields::new(section, &doc.defaults);
                out.settings.servers.extend(server(req, &mut fields, wanted, &scope, &mut out.warnings));
                out.late_errors.append(&mut fields.faults);
            }
        }
    }
    if let Some(section) = doc.section("supervisorctl") {
        let mut fields = Fields::new(section, &doc.defaults);
        out.settings.ctl = crate::ctl::values(req, &mut fields, &scope);
        // They are the client's business; the daemon runs without.
        if req.personality == Personality::Superd {
            out.warnings.append(&mut fields.faults);
        }
    }
    out.late_errors.extend(flags.apply_user(&mut out.settings, req).err());
    out
}

/// The keys in the order in which the ancestor reads them, so that its first complaint is ours.
fn supervisord(req: &Request<'_>, doc: &Doc, section: &Section, env: &Scope, out: &mut Lowered) {
    let mut f = Fields::new(section, &doc.defaults);
    let s = &mut out.settings;
    s.minfds = f.opt("minfds", env, value::large);
    s.minprocs = f.opt("minprocs", env, value::large);
    s.directory = f.opt("directory", env, |t| value::existing_directory(t, req));
    s.user = f.opt("user", env, |t| value::user(t, req));
    s.umask = f.opt("umask", env, value::octal);
    match f.opt("logfile", env, |t| log_target(t, req)) {
        Some(LogTarget::File(path)) => s.logfile = Some(path),
        Some(LogTarget::Syslog) => s.log_to_syslog = true,
        None => {}
    }
    s.logfile_maxbytes = f.get("logfile_maxbytes", env, s.logfile_maxbytes, value::byte_size);
    s.logfile_backups = f.get("logfile_backups", env, s.logfile_backups, value::natural);
    s.loglevel = f.get("loglevel", env, s.loglevel, value::log_level);
    s.pidfile = f.opt("pidfile", env, |t| value::full_dirpath(t, req));
    s.identifier = f.get("identifier", env, s.identifier.clone(), string);
    s.nodaemon = f.get("nodaemon", env, false, value::boolean);
    s.silent = f.get("silent", env, false, value::boolean);
    s.childlogdir = f.opt("childlogdir", env, |t| value::existing_directory(t, req));
    s.nocleanup = f.get("nocleanup", env, false, value::boolean);
    s.strip_ansi = f.get("strip_ansi", env, false, value::boolean);
    s.environment = environment(req, &mut f, env);
    out.errors.append(&mut f.faults);
}

/// `environment` of the main section. The ancestor expands it twice (supervisor-contract 3), and files
/// are written for that.
fn environment(req: &Request<'_>, f: &mut Fields<'_>, env: &Scope) -> super::shlex::Pairs {
    let once = f.text("environment", env);
    let text = match req.personality {
        Personality::Superd => once,
        Personality::Supervisord => once.and_then(|text| {
            let scope = env.clone().text("host_node_name", req.hostname.as_str());
            f.again("environment", &text, &scope)
        }),
    };
    let pairs = text.and_then(|text| f.parsed("environment", &text, |t| super::shlex::pairs(t)));
    pairs.map(|(pairs, _)| pairs).unwrap_or_default()
}

fn server(
    req: &Request<'_>,
    f: &mut Fields<'_>,
    kind: Kind,
    scope: &Scope,
    warnings: &mut Vec<Fault>,
) -> Option<Server> {
    let name = f.section.name.clone();
    let plain = scope.clone().hide_here();
    if kind == Kind::UnixServer {
        if f.entry("file").is_none() {
            f.fault(Fault::new(&f.section.place, format!("section [{name}] has no file value")));
        }
        let path = f.opt("file", scope, |t| socket_path(t, req));
        let auth = auth(req, f, &name, &plain, warnings);
        let owner = f.opt("chown", &plain, |t| value::owner(t, "sockchown", req));
        let mode = f
            .get("chmod", &plain, 0o700, |t| value::octal(t).map_err(|_| format!("Invalid chmod value {t}")));
        return Some(Server { name, address: Address::Unix { path: path?, mode, owner }, auth });
    }
    let auth = auth(req, f, &name, &plain, warnings);
    if f.entry("port").is_none() {
        f.fault(Fault::new(&f.section.place, format!("section [{name}] has no port value")));
    }
    let (host, port) = f.opt("port", &plain, value::inet_address)?;
    Some(Server { name, address: Address::Tcp { host, port }, auth })
}

fn socket_path(text: &BStr, req: &Request<'_>) -> Value<BString> {
    let path = value::full_path(text, req);
    match path.len() {
        0..=MAX_SOCKET_PATH => Ok(path),
        n => Err(format!("the socket path {path} is {n} bytes long; the system allows {MAX_SOCKET_PATH}")),
    }
}

fn auth(
    req: &Request<'_>,
    f: &mut Fields<'_>,
    name: &str,
    scope: &Scope,
    warnings: &mut Vec<Fault>,
) -> Option<Auth> {
    let username = f.opt("username", scope, string);
    let text = f.text("password", scope);
    let given = (f.entry("username").is_some(), f.entry("password").is_some());
    if given.0 != given.1 {
        let text = format!(
            "Section [{name}] contains incomplete authentication: If a username or a password is specified, \
             both the username and password must be specified"
        );
        f.fault(Fault::new(&f.place(if given.0 { "username" } else { "password" }), text));
    }
    let password = match (password(BStr::new(&text?)), req.personality) {
        (Ok(password), _) => Some(password),
        // The ancestor starts, and nobody can come in.
        (Err(why), Personality::Supervisord) => {
            warnings.push(Fault::new(&f.place("password"), why));
            Some(Password::Sha1([0; 20]))
        }
        (Err(why), Personality::Superd) => {
            f.fault(Fault::new(&f.place("password"), why));
            None
        }
    };
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

/// `[rpcinterface:x]`; `[ctlplugin:x]` concerns the client, and is not looked at.
fn plugins(req: &Request<'_>, doc: &Doc, scope: &Scope, out: &mut Lowered) {
    for section in &doc.sections {
        let Some((Kind::RpcInterface, name)) = Kind::of(&section.name) else { continue };
        let mut f = Fields::new(section, &doc.defaults);
        let own = plugin::is_own(&mut f, scope, &plugin::RPC);
        out.settings.rpcinterface |= own && name == "supervisor";
        match req.personality {
            Personality::Supervisord => out.errors.append(&mut f.faults),
            Personality::Superd => out.warnings.append(&mut f.faults),
        }
    }
}
