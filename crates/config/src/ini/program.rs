//! `[program:x]` and its relatives to units (supervisor-contract 4, 6).

use super::expand::{Scope, py_repr};
use super::fields::Fields;
use super::keys::Kind;
use super::parse::{Doc, Section};
use super::shlex;
use super::value::{self, LogFile};
use crate::fault::{Fault, Place};
use crate::load::Request;
use crate::model::{About, Program, Settings};
use bstr::{BStr, BString};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use supers_core::signal::Signal;
use supers_core::spec::{
    Command, Context, Curve, Directory, Env, ExitSet, Output, RestartPolicy, Retry, Sink, Spec, StopPolicy,
    Target, When,
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

/// What a file asks for that is not built yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Later {
    EventListener,
    FastCgi,
    Capture,
    LogEvents,
    Syslog,
}

impl Later {
    /// The thing, as the beginning of a sentence.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Later::EventListener => "event listeners come in a later version",
            Later::FastCgi => "FastCGI programs come in a later version",
            Later::Capture => "capture of output (*_capture_maxbytes) comes in a later version",
            Later::LogEvents => "log events (*_events_enabled) come in a later version",
            Later::Syslog => "output to syslog comes in a later version",
        }
    }
}

/// What came of one section.
#[derive(Default)]
pub(crate) struct Lowered {
    pub(crate) units: Vec<Program>,
    pub(crate) errors: Vec<Fault>,
    pub(crate) warnings: Vec<Fault>,
    pub(crate) later: Vec<(Later, Place)>,
}

/// Values that are read once, before the loop over `numprocs`.
struct Once {
    numprocs: i64,
    first: i64,
    priority: i32,
    group_priority: i32,
    autostart: bool,
    restart: RestartPolicy,
    stop: StopPolicy,
    user: Option<String>,
    umask: Option<u32>,
    merge_stderr: bool,
    server_url: Option<BString>,
}

/// Lowers one section. `group` is the name and priority of the `[group:x]` that lists it.
pub(crate) fn lower(
    shared: &Shared<'_>,
    section: &Section,
    kind: Kind,
    name: &str,
    group: Option<(&str, i32)>,
) -> Lowered {
    let mut out = Lowered::default();
    let mut f = Fields::new(section, &shared.doc.defaults);
    let group_name = group.map_or(name, |(g, _)| g);
    let scope = shared
        .scope
        .clone()
        .text("program_name", name)
        .text("group_name", group_name)
        .text("host_node_name", shared.req.hostname.as_str());
    let mut once = read_once(shared, &mut f, kind, &scope);
    if let Some((_, priority)) = group {
        once.group_priority = priority;
    }
    let refused = not_built(&mut f, kind, &mut out);
    if f.entry("command").is_none() {
        let text = format!("program section {} does not specify a command", section.name);
        f.fault(Fault::new(&section.place, text).hint("add a line such as command=/usr/bin/server --flag"));
    }
    for number in once.first..once.first.saturating_add(once.numprocs) {
        let scope = scope.clone().number("process_num", number).number("numprocs", once.numprocs);
        let mut spec = one(shared, &mut f, &once, &scope, (name, group_name), &mut out);
        spec.refused = refused.clone();
        out.units.push(Program { spec: Arc::new(spec), about: about(section) });
        if !f.faults.is_empty() {
            break;
        }
    }
    out.units.sort_by(|a, b| (a.spec.priority, &a.spec.name).cmp(&(b.spec.priority, &b.spec.name)));
    out.errors = f.faults;
    out
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

/// Listeners and FastCGI programs live differently: they are shown, and refused.
fn not_built(f: &mut Fields<'_>, kind: Kind, out: &mut Lowered) -> Option<String> {
    let later = match kind {
        Kind::EventListener => Later::EventListener,
        Kind::FastCgi => Later::FastCgi,
        _ => return None,
    };
    let place = f.section.place.clone();
    let reason = format!("{} ({}:{})", later.words(), place.file, place.line);
    out.later.push((later, place));
    Some(reason)
}

fn read_once(shared: &Shared<'_>, f: &mut Fields<'_>, kind: Kind, scope: &Scope) -> Once {
    let req = shared.req;
    let numprocs = f.get("numprocs", scope, 1, value::integer);
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
    let group_priority = if kind == Kind::EventListener { -1 } else { 999 };
    Once {
        numprocs: numprocs.min(MAX_PROCESSES),
        first: f.get("numprocs_start", scope, 0, value::integer),
        priority: f.get("priority", scope, 999, value::priority),
        group_priority: f.get("priority", scope, group_priority, value::priority),
        autostart: f.get("autostart", scope, true, value::boolean),
        restart: restart(f, scope),
        stop: stop(f, scope),
        user: f.opt("user", scope, |t| value::user(t, req)),
        umask: f.opt("umask", scope, value::octal),
        merge_stderr: f.get("redirect_stderr", scope, false, value::boolean),
        server_url: match f.text("serverurl", scope) {
            Some(url) if !url.trim_ascii().eq_ignore_ascii_case(b"auto") => Some(url),
            _ => shared.server_url.clone(),
        },
    }
}

fn restart(f: &mut Fields<'_>, scope: &Scope) -> RestartPolicy {
    let retries = f.get("startretries", scope, 3, value::natural);
    RestartPolicy {
        when: f.get("autorestart", scope, When::OnFailure, value::autorestart),
        clean: ExitSet { codes: f.get("exitcodes", scope, vec![0], value::exit_codes), signals: Vec::new() },
        startsecs: Duration::from_secs(f.get("startsecs", scope, 1, value::natural).into()),
        retry: Some(Retry { limit: Some(retries), curve: Curve::Linear(Duration::from_secs(1)) }),
        ..RestartPolicy::default()
    }
}

fn stop(f: &mut Fields<'_>, scope: &Scope) -> StopPolicy {
    let group = f.get("stopasgroup", scope, false, value::boolean);
    let kill_group = f.get("killasgroup", scope, group, value::boolean);
    if group && !kill_group {
        let place = f.place("killasgroup");
        f.fault(Fault::new(&place, "Cannot set stopasgroup=true and killasgroup=false"));
    }
    StopPolicy {
        signals: vec![f.get("stopsignal", scope, Signal::TERM, value::signal)],
        wait: Some(Duration::from_secs(f.get("stopwaitsecs", scope, 10, value::natural).into())),
        group,
        kill_group,
        ..StopPolicy::default()
    }
}

/// One process of the program.
fn one(
    shared: &Shared<'_>,
    f: &mut Fields<'_>,
    once: &Once,
    scope: &Scope,
    (program, group): (&str, &str),
    out: &mut Lowered,
) -> Spec {
    let own = environment(f, scope, out);
    let mut scope = scope.clone();
    scope.add_env(&own);
    let name = match f.entry("process_name") {
        Some(_) => f.get("process_name", &scope, program.to_string(), value::name),
        None => program.to_string(),
    };
    let directory = f.opt("directory", &scope, |t| Ok(BString::from(t))).filter(|d| !d.is_empty());
    let output = output(shared, f, once.merge_stderr, &scope, out);
    let line = f.text("command", &scope).unwrap_or_default();
    let mut spec = Spec::new(&name);
    spec.group = group.into();
    spec.program = program.into();
    spec.exec = vec![command(line)];
    spec.autostart = once.autostart;
    spec.priority = once.priority;
    spec.group_priority = once.group_priority;
    spec.restart = once.restart.clone();
    spec.stop = once.stop.clone();
    spec.output = output;
    spec.context = Context {
        user: once.user.clone(),
        umask: once.umask,
        directory: directory.map(|path| Directory { path, optional: false }),
        env: Env { inherit: true, vars: variables(shared, once, (&name, group), own), ..Env::default() },
        ..Context::default()
    };
    spec
}

fn environment(f: &mut Fields<'_>, scope: &Scope, out: &mut Lowered) -> shlex::Pairs {
    let Some((pairs, odd)) = f.opt("environment", scope, |t| shlex::pairs(t)) else { return Vec::new() };
    if let Some(odd) = odd.first() {
        let fault = Fault::new(&f.place("environment"), format!("`{odd}` stands where a comma belongs"));
        out.warnings.push(fault.hint("separate the variables with commas, put values in quotes"));
    }
    pairs
}

/// What the daemon says, then `[supervisord] environment`, then the program's own: later wins. Sorted,
/// so that another order in the file is no change.
fn variables(
    shared: &Shared<'_>,
    once: &Once,
    (name, group): (&str, &str),
    own: shlex::Pairs,
) -> Vec<(BString, BString)> {
    let mut vars: BTreeMap<BString, BString> = BTreeMap::new();
    vars.insert("SUPERVISOR_ENABLED".into(), "1".into());
    vars.insert("SUPERVISOR_PROCESS_NAME".into(), name.into());
    vars.insert("SUPERVISOR_GROUP_NAME".into(), group.into());
    if let Some(url) = &once.server_url {
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

fn output(shared: &Shared<'_>, f: &mut Fields<'_>, merge: bool, scope: &Scope, out: &mut Lowered) -> Output {
    let stdout = sink(shared, f, "stdout", scope, out);
    let stderr = sink(shared, f, "stderr", scope, out);
    if merge && matches!(stderr.target, Target::File(_)) {
        let fault =
            Fault::new(&f.place("stderr_logfile"), "stderr_logfile has no effect with redirect_stderr=true");
        once(&mut out.warnings, fault);
    }
    Output { stdout, stderr: (!merge).then_some(stderr) }
}

fn sink(shared: &Shared<'_>, f: &mut Fields<'_>, stream: &str, scope: &Scope, out: &mut Lowered) -> Sink {
    let key = |suffix: &str| format!("{stream}_{suffix}");
    let file = f.get(&key("logfile"), scope, LogFile::Auto, |t| value::log_file(t, shared.req));
    let syslog = f.get(&key("syslog"), scope, false, value::boolean);
    let wanted = [
        (Later::Syslog, key("syslog"), syslog),
        (Later::Syslog, key("logfile"), file == LogFile::Syslog),
        (
            Later::Capture,
            key("capture_maxbytes"),
            f.get(&key("capture_maxbytes"), scope, 0, value::byte_size) > 0,
        ),
        (
            Later::LogEvents,
            key("events_enabled"),
            f.get(&key("events_enabled"), scope, false, value::boolean),
        ),
    ];
    for (later, key, _) in wanted.into_iter().filter(|w| w.2) {
        let found = (later, f.place(&key));
        if !out.later.contains(&found) {
            out.later.push(found);
        }
    }
    Sink {
        target: match file {
            LogFile::Auto => {
                Target::Auto { dir: shared.log_dir.clone(), identifier: shared.settings.identifier.clone() }
            }
            LogFile::None | LogFile::Syslog => Target::Null,
            LogFile::Path(path) => Target::File(path),
        },
        max_bytes: f.get(&key("logfile_maxbytes"), scope, 50 << 20, value::byte_size),
        backups: f.get(&key("logfile_backups"), scope, 10, value::natural),
        strip_ansi: shared.settings.strip_ansi,
        ..Sink::default()
    }
}

fn once(faults: &mut Vec<Fault>, fault: Fault) {
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
