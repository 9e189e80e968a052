//! `[program:x]` and its relatives to units (supervisor-contract 4, 6).

use super::expand::{Scope, py_repr};
use super::fields::Fields;
use super::keys::Kind;
use super::parse::{Doc, Section};
use super::shlex;
use super::value::{self, LogFile};
use crate::fault::Fault;
use crate::load::{Personality, Request};
use crate::model::{About, Program, Settings};
use bstr::{BStr, BString};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use supers_core::signal::Signal;
use supers_core::spec::{
    Command, Context, Curve, Directory, Env, Listener, Output, RestartPolicy, Retry, SharedSocket, Sink,
    Spec, StopPolicy, Target, When,
};

/// More processes of one program are a slip of the finger.
const MAX_PROCESSES: i64 = 10_000;

/// What all programs of a configuration share.
pub(crate) struct Shared<'a> {
    pub(crate) req: &'a Request<'a>,
    pub(crate) doc: &'a Doc,
    pub(crate) settings: &'a Settings,
    /// `ENV_X` of the daemon and of `[supervisord] environment`.
    pub(crate) scope: &'a Scope,
    /// What children are told as SUPERVISOR_SERVER_URL.
    pub(crate) server_url: Option<BString>,
    /// Folder of AUTO logs.
    pub(crate) log_dir: BString,
}

/// What came of one section.
#[derive(Default)]
pub(crate) struct Lowered {
    pub(crate) units: Vec<Program>,
    /// Name and priority of the group that the section is by itself.
    pub(crate) group: Option<(String, i32)>,
    /// Errors outside of any process: the ancestor does not say in which section they are.
    pub(crate) pool_errors: Vec<Fault>,
    pub(crate) errors: Vec<Fault>,
    pub(crate) warnings: Vec<Fault>,
}

/// Values that are read once, before the loop over `numprocs`.
struct Once {
    numprocs: i64,
    first: i64,
    priority: i32,
    autostart: bool,
    remember: bool,
    restart: RestartPolicy,
    stop: StopPolicy,
    user: Option<String>,
    umask: Option<u32>,
    merge_stderr: bool,
    /// The file's own.
    server_url: Option<BString>,
    stdout: Taps,
    stderr: Taps,
}

/// What else happens to one stream.
#[derive(Clone, Copy)]
struct Taps {
    capture_max: u64,
    events: bool,
}

/// The kind of pool that a section is.
#[derive(Default)]
struct Pool {
    priority: i32,
    listener: Option<Listener>,
    socket: Option<SharedSocket>,
}

/// Lowers one section. `group` is the name and priority of the `[group:x]` that lists it; with `last`, a unit of
/// the section before, the new ones share what they have in common.
pub(crate) fn lower(
    shared: &Shared<'_>,
    section: &Section,
    kind: Kind,
    name: &str,
    group: Option<(&str, i32)>,
    last: Option<&Program>,
) -> Lowered {
    let mut out = Lowered::default();
    let mut f = Fields::new(section, &shared.doc.defaults);
    // The ancestor reads the name of a listener last of all.
    let early = (kind != Kind::EventListener).then(|| checked_name(&mut f, name)).flatten();
    let pool = pool(shared, &mut f, kind, name.trim(), group.map(|g| g.1));
    out.pool_errors = std::mem::take(&mut f.faults);
    let Some(name) = early.or_else(|| checked_name(&mut f, name)) else {
        out.errors = f.faults;
        return out;
    };
    let name = name.as_str();
    let group_name = group.map_or(name, |(g, _)| g);
    out.group = group.is_none().then(|| (name.to_string(), pool.priority));
    let scope = shared
        .scope
        .clone()
        .text("program_name", name)
        .text("group_name", group_name)
        .text("host_node_name", shared.req.hostname.as_str());
    let once = read_once(shared, &mut f, &scope);
    let has_command = f.entry("command").is_some();
    for number in once.first..once.first.saturating_add(once.numprocs) {
        let scope = scope.clone().number("process_num", number).number("numprocs", once.numprocs);
        let mut spec = one(shared, &mut f, &once, &pool, &scope, (name, group_name), &mut out.warnings);
        if let Some(last) = out.units.last().or(last) {
            spec.share(&last.spec);
        }
        out.units.push(Program { spec: Arc::new(spec), about: about(section) });
        if !f.faults.is_empty() {
            break;
        }
    }
    if !has_command && once.numprocs < 1 {
        no_command(&mut f);
    }
    out.units.sort_by(|a, b| (a.spec.priority, &a.spec.name).cmp(&(b.spec.priority, &b.spec.name)));
    out.errors = f.faults;
    out
}

fn checked_name(f: &mut Fields<'_>, name: &str) -> Option<String> {
    name_of(f.section, name).map_err(|fault| f.fault(fault)).ok()
}

fn no_command(f: &mut Fields<'_>) {
    let text = format!("program section {} does not specify a command", f.section.name);
    f.fault(Fault::new(&f.section.place, text).hint("add a line such as command=/usr/bin/server --flag"));
}

/// What is read once for the whole section, with only the names that are known outside of a program. A
/// listed program's group has its priority from its own section.
fn pool(shared: &Shared<'_>, f: &mut Fields<'_>, kind: Kind, name: &str, group: Option<i32>) -> Pool {
    let default = if kind == Kind::EventListener { -1 } else { 999 };
    let priority = match group {
        Some(priority) => priority,
        None => f.get("priority", shared.scope, default, value::priority),
    };
    let listener = (kind == Kind::EventListener).then(|| super::pool::listener(f, shared.scope));
    let socket = match kind {
        Kind::FastCgi => super::pool::socket(shared.req, f, shared.scope, name),
        _ => None,
    };
    Pool { priority, listener, socket }
}

/// The one unit that stands for a section that cannot be used.
pub(crate) fn refused(section: &Section, name: &str, group: Option<(&str, i32)>, reason: String) -> Program {
    let mut spec = Spec::new(name);
    if let Some((group, priority)) = group {
        spec.group = group.into();
        spec.group_priority = priority;
    }
    spec.refused = Some(reason);
    Program { spec: Arc::new(spec), about: about(section) }
}

fn about(section: &Section) -> About {
    About { file: section.place.file.as_ref().clone(), line: section.place.line, ..About::default() }
}

/// In the ancestor's order of reading, so that its first complaint is ours.
fn read_once(shared: &Shared<'_>, f: &mut Fields<'_>, scope: &Scope) -> Once {
    let req = shared.req;
    let priority = f.get("priority", scope, 999, value::priority);
    // The third word is ours. The ancestor forgets what its operator wished.
    let known = req.personality == Personality::Superd;
    let (autostart, remember) = f.get("autostart", scope, (true, known), |t| value::autostart(t, known));
    let mut restart = restart(f, scope);
    let mut stop = stop(f, scope);
    stop.sweep_stop = known;
    restart.clean.codes = f.get("exitcodes", scope, vec![0], value::exit_codes);
    let merge_stderr = f.get("redirect_stderr", scope, false, value::boolean);
    let numprocs = f.get("numprocs", scope, 1, value::integer);
    let first = f.get("numprocs_start", scope, 0, value::integer);
    let [stdout, stderr] = ["stdout", "stderr"].map(|stream| Taps {
        capture_max: f.get(&format!("{stream}_capture_maxbytes"), scope, 0, value::byte_size),
        events: f.get(&format!("{stream}_events_enabled"), scope, false, value::boolean),
    });
    let server_url = f.text("serverurl", scope);
    let server_url = server_url.filter(|url| !url.trim_ascii().eq_ignore_ascii_case(b"auto"));
    let user = f.opt("user", scope, |t| value::user(t, req));
    let umask = f.opt("umask", scope, value::octal);
    check_numprocs(f, numprocs);
    if stop.group && !stop.kill_group {
        let place = f.place("killasgroup");
        f.fault(Fault::new(&place, "Cannot set stopasgroup=true and killasgroup=false"));
    }
    Once {
        numprocs: numprocs.min(MAX_PROCESSES),
        first,
        priority,
        autostart,
        remember,
        restart,
        stop,
        user,
        umask,
        merge_stderr,
        server_url,
        stdout,
        stderr,
    }
}

fn check_numprocs(f: &mut Fields<'_>, numprocs: i64) {
    if numprocs > MAX_PROCESSES {
        let place = f.place("numprocs");
        f.fault(Fault::new(&place, format!("numprocs={numprocs} is above {MAX_PROCESSES}")));
    }
    // Checked on the text as written, as the ancestor does.
    let process_name = f.entry("process_name").map_or("%(program_name)s", |e| e.raw.as_str());
    if numprocs > 1 && !process_name.contains("%(process_num)") {
        let place = f.place(if f.entry("process_name").is_some() { "process_name" } else { "numprocs" });
        let text = "%(process_num) must be present within process_name when numprocs > 1";
        f.fault(Fault::new(&place, text).hint("process_name=%(program_name)s_%(process_num)02d"));
    }
}

/// All but the exit codes, which are read later.
fn restart(f: &mut Fields<'_>, scope: &Scope) -> RestartPolicy {
    let when = f.get("autorestart", scope, When::OnFailure, value::autorestart);
    let startsecs = f.get("startsecs", scope, 1, value::natural);
    let retries = f.get("startretries", scope, 3, value::natural);
    RestartPolicy {
        when,
        startsecs: Duration::from_secs(startsecs.into()),
        retry: Some(Retry { limit: Some(retries), curve: Curve::Linear(Duration::from_secs(1)) }),
        ..RestartPolicy::default()
    }
}

fn stop(f: &mut Fields<'_>, scope: &Scope) -> StopPolicy {
    let signal = f.get("stopsignal", scope, Signal::TERM, value::signal);
    let wait = f.get("stopwaitsecs", scope, 10, value::natural);
    let group = f.get("stopasgroup", scope, false, value::boolean);
    let kill_group = f.get("killasgroup", scope, group, value::boolean);
    StopPolicy {
        signals: vec![signal],
        wait: Some(Duration::from_secs(wait.into())),
        group,
        kill_group,
        ..StopPolicy::default()
    }
}

/// One process of the program, its keys in the ancestor's order of reading.
fn one(
    shared: &Shared<'_>,
    f: &mut Fields<'_>,
    once: &Once,
    pool: &Pool,
    scope: &Scope,
    (program, group): (&str, &str),
    warnings: &mut Vec<Fault>,
) -> Spec {
    let own = environment(f, scope, warnings);
    let mut scope = scope.clone();
    scope.add_env(&own);
    let directory = f.opt("directory", &scope, |t| Ok(BString::from(t))).filter(|d| !d.is_empty());
    let output = output(shared, f, once, &scope, warnings);
    if f.entry("command").is_none() {
        no_command(f);
    }
    let line = f.text("command", &scope).unwrap_or_default();
    let name = match f.text_as("process_name", || "process_name", &scope) {
        Some(text) => f.parsed("process_name", &text, value::name).unwrap_or_else(|| program.to_string()),
        None => program.to_string(),
    };
    let mut spec = Spec::new(&name);
    spec.group = group.into();
    spec.program = program.into();
    spec.exec = vec![command(line)].into();
    spec.autostart = once.autostart;
    spec.remember = once.remember;
    spec.priority = once.priority;
    spec.group_priority = pool.priority;
    spec.restart = once.restart.clone().into();
    spec.stop = once.stop.clone().into();
    spec.output = output.into();
    spec.listener = pool.listener.clone().map(Box::new);
    spec.socket = pool.socket.clone().map(Box::new);
    spec.server_url = once.server_url.as_ref().map(ToString::to_string);
    let as_ancestor = shared.req.personality == Personality::Supervisord;
    spec.context = Context {
        user: once.user.clone(),
        umask: once.umask,
        directory: directory.map(|path| Directory { path, optional: false }),
        env: Env {
            inherit: true,
            // The ancestor leaves those of the daemon, and files are written for that.
            user_vars: !as_ancestor,
            names: true,
            vars: variables(shared, once, own),
            ..Env::default()
        },
        exit_127: as_ancestor,
        ..Context::default()
    }
    .into();
    spec
}

fn environment(f: &mut Fields<'_>, scope: &Scope, warnings: &mut Vec<Fault>) -> shlex::Pairs {
    let Some(text) = f.text_as("environment", || "environment", scope) else { return Vec::new() };
    let Some((pairs, odd)) = f.parsed("environment", &text, |t| shlex::pairs(t)) else { return Vec::new() };
    if let Some(odd) = odd.first() {
        let fault = Fault::new(&f.place("environment"), format!("`{odd}` stands where a comma belongs"));
        warn_once(warnings, fault.hint("separate the variables with commas, put values in quotes"));
    }
    pairs
}

/// What the daemon says besides the names, then `[supervisord] environment`, then the program's own: later
/// wins. Sorted, so that another order in the file is no change.
fn variables(shared: &Shared<'_>, once: &Once, own: shlex::Pairs) -> Vec<(BString, BString)> {
    let mut vars: BTreeMap<BString, BString> = BTreeMap::new();
    if let Some(url) = once.server_url.as_ref().or(shared.server_url.as_ref()) {
        vars.insert("SUPERVISOR_SERVER_URL".into(), url.clone());
    }
    vars.extend(shared.settings.environment.iter().cloned());
    vars.extend(own);
    vars.into_iter().collect()
}

/// Splits the line. A line that cannot be split is no error of the file: the start reports it
/// (supervisor-contract 4, 5).
fn command(line: BString) -> Command {
    let (words, fault) = match shlex::split(&line) {
        Ok(words) if words.is_empty() => (words, Some("command is empty".to_string())),
        Ok(words) => (words, None),
        Err(why) => (Vec::new(), Some(format!("can't parse command {}: {why}", py_repr(&line.to_string())))),
    };
    Command { line, fault, ..Command::from_words(words) }
}

fn output(
    shared: &Shared<'_>,
    f: &mut Fields<'_>,
    once: &Once,
    scope: &Scope,
    warnings: &mut Vec<Fault>,
) -> Output {
    let stdout = sink(shared, f, "stdout", once.stdout, scope, warnings);
    let stderr = sink(shared, f, "stderr", once.stderr, scope, warnings);
    if once.merge_stderr && matches!(stderr.target, Target::File(_)) {
        let text = format!(
            "For [{}], redirect_stderr=true but stderr_logfile has also been set to a filename, the filename \
             has been ignored",
            f.section.name
        );
        warn_once(warnings, Fault::new(&f.place("stderr_logfile"), text));
    }
    Output { stdout, stderr: (!once.merge_stderr).then_some(stderr) }
}

fn sink(
    shared: &Shared<'_>,
    f: &mut Fields<'_>,
    stream: &str,
    taps: Taps,
    scope: &Scope,
    warnings: &mut Vec<Fault>,
) -> Sink {
    let key = |suffix: &str| format!("{stream}_{suffix}");
    let file = f.get(&key("logfile"), scope, LogFile::Auto, |t| value::log_file(t, shared.req));
    let backups = f.get(&key("logfile_backups"), scope, 10, value::natural);
    let max_bytes = f.get(&key("logfile_maxbytes"), scope, 50 << 20, value::byte_size);
    let syslog = f.get(&key("syslog"), scope, false, value::boolean);
    if file == LogFile::Syslog {
        let text = format!(
            "For [{}], {stream}_logfile=syslog but this is deprecated and will be removed.  Use \
             {stream}_syslog=true to enable syslog instead.",
            f.section.name
        );
        warn_once(warnings, Fault::new(&f.place(&key("logfile")), text));
    }
    Sink {
        syslog: syslog || file == LogFile::Syslog,
        target: match file {
            LogFile::Auto => {
                Target::Auto { dir: shared.log_dir.clone(), identifier: shared.settings.identifier.clone() }
            }
            LogFile::None | LogFile::Syslog => Target::Null,
            LogFile::Path(path) => Target::File(path),
        },
        max_bytes,
        backups,
        strip_ansi: shared.settings.strip_ansi,
        capture_max: taps.capture_max,
        events: taps.events,
    }
}

/// All processes of a program would say the same.
fn warn_once(faults: &mut Vec<Fault>, fault: Fault) {
    if !faults.contains(&fault) {
        faults.push(fault);
    }
}

/// `unix://path` of the first unix server, else the URL of the first TCP server.
pub(crate) fn server_url(settings: &Settings) -> Option<BString> {
    use crate::model::Address;
    let unix = settings.servers.iter().find(|s| matches!(s.address, Address::Unix { .. }));
    unix.or(settings.servers.first()).map(|s| s.address.url())
}

/// The text of a program name in a section's name, checked.
pub(crate) fn name_of(section: &Section, name: &str) -> Result<String, Fault> {
    value::name(BStr::new(name)).map_err(|message| Fault::new(&section.place, message))
}
