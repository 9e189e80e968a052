//! The lines of a unit to a [`Spec`].

use super::codes;
use super::context;
use super::fields::{Fields, boolean, number};
use super::keys::{self, Fate};
use super::parse::{File, Line};
use super::specifiers::Specifiers;
use super::time;
use crate::check::REACHED;
use crate::fault::{Fault, Place, did_you_mean};
use crate::load::Request;
use crate::model::About;
use crate::webhook::{self, Url};
use bstr::ByteSlice;
use std::time::Duration;
use supers_core::signal::Signal;
use supers_core::spec::{ExitSet, Kind, Order, RestartPolicy, Spec, StartLimit, StopPolicy, When};

/// What came of a unit file.
pub(crate) struct Lowered {
    pub(crate) spec: Spec,
    pub(crate) about: About,
    pub(crate) errors: Vec<Fault>,
    pub(crate) warnings: Vec<Fault>,
    /// Where `Requires=` stands, for later checks.
    pub(crate) requires: Option<Place>,
    /// Where `After=` or `Before=` stands.
    pub(crate) order: Option<Place>,
    /// `X-Webhook=`; a bad one is an error, but no reason not to run.
    pub(crate) webhook: Option<Result<Option<Url>, Fault>>,
}

/// Lowers a unit; `whole` is its file, `file` all of its lines with the drop-ins behind.
pub(crate) fn lower(req: &Request<'_>, name: &str, whole: &Place, file: File) -> Lowered {
    let specifiers = Specifiers::new(name, req);
    let mut f =
        Fields { lines: &file.lines, specifiers: &specifiers, errors: Vec::new(), warnings: file.warnings };
    sections(&mut f, &file.sections);
    directives(&mut f);
    let mut spec = Spec::new(name);
    spec.remember = true;
    spec.kind = kind(&mut f);
    spec.exec = f.commands("ExecStart").into();
    spec.stop_exec = f.commands("ExecStop");
    spec.reload_exec = f.commands("ExecReload");
    commands_fit(&mut f, &spec, whole);
    spec.restart = restart(&mut f, spec.kind).into();
    let line = f.last_of(&[("Service", "TimeoutStartSec"), ("Service", "TimeoutSec")]);
    let start_timeout = f.parse(line, None, timeout);
    if spec.kind == Kind::Oneshot {
        spec.start_timeout = start_timeout;
    }
    f.get("TimeoutAbortSec", None, time::span);
    let forks = f.last("Service", "Type").is_some_and(|l| l.value == "forking");
    if let Some(line) = f.last("Service", "PIDFile").filter(|_| !forks) {
        let fault =
            Fault::new(&line.key_place, "PIDFile= has no effect yet: the file is not removed at a stop");
        f.warnings.push(fault.hint("the line can be taken out; the main process is known without it"));
    }
    spec.stop = stop(&mut f).into();
    spec.context = context::context(&mut f, req).into();
    spec.output = context::output(&mut f, req, name).into();
    spec.order = order(&mut f, name).into();
    let about = about(&mut f, whole, &file.sections);
    let place = |key: &str| f.last("Unit", key).map(|l| l.place.clone());
    let requires = place("Requires");
    let order = place("After").or_else(|| place("Before"));
    let webhook = webhook(&mut f);
    Lowered { spec, about, errors: f.errors, warnings: f.warnings, requires, order, webhook }
}

/// Systemd passes over keys that begin with `X-`, so that the file stays good for both.
fn webhook(f: &mut Fields<'_>) -> Option<Result<Option<Url>, Fault>> {
    let line = f.last_of(&[("Service", "X-Webhook"), ("Unit", "X-Webhook")])?;
    let text = f.text(Some(line))?.to_string();
    Some(
        webhook::own(&text)
            .map_err(|bad| Fault::new(&line.place, format!("X-Webhook=: {}", bad.message)).hint(bad.hint)),
    )
}

fn sections(f: &mut Fields<'_>, sections: &[(String, Place)]) {
    for (name, place) in sections {
        if !keys::is_section(name) && !name.starts_with("X-") {
            let mut fault = Fault::new(place, format!("unknown section [{name}], ignored"));
            fault.hint = did_you_mean(name, ["Unit", "Service", "Install"]);
            f.warnings.push(fault);
        }
    }
}

/// Judges each line by its name.
fn directives(f: &mut Fields<'_>) {
    let mut hardening: Vec<&Line> = Vec::new();
    for (at, line) in f.lines.iter().enumerate().filter(|(_, l)| keys::is_section(&l.section)) {
        let mut later = f.lines.iter().skip(at + 1).filter(|l| l.section == line.section);
        if later.any(|l| keys::takes_back(&line.key, &l.key, &l.value)) {
            continue;
        }
        match keys::fate(&line.section, &line.key, &line.value) {
            Fate::Silent => {}
            Fate::Hardening => hardening.push(line),
            Fate::Refused => f.refuse(&line.key_place, format!("{}= comes in a later version", line.key)),
            Fate::Unknown => {
                let text = format!("unknown key `{}` in [{}], ignored", line.key, line.section);
                let mut fault = Fault::new(&line.key_place, text);
                fault.hint = match keys::home_of(&line.key) {
                    Some(section) => Some(format!("it belongs to [{section}]")),
                    None => keys::suggest(&line.section, &line.key),
                };
                f.warnings.push(fault);
            }
        }
    }
    if let Some(first) = hardening.first() {
        let mut names: Vec<&str> = Vec::new();
        for line in &hardening {
            if !names.contains(&line.key.as_str()) {
                names.push(&line.key);
            }
        }
        let text = format!("not applied yet, the unit runs without: {}", names.join(", "));
        f.warnings.push(Fault::new(&first.key_place, text));
    }
}

fn kind(f: &mut Fields<'_>) -> Kind {
    let Some(line) = f.last("Service", "Type") else {
        if let Some(bus) = f.last("Service", "BusName") {
            f.refuse(
                &bus.key_place,
                "BusName= without Type= means Type=dbus, which comes in a later version",
            );
        }
        return Kind::Simple;
    };
    match line.value.as_str() {
        "simple" | "exec" | "idle" => return Kind::Simple,
        "oneshot" => return Kind::Oneshot,
        "forking" | "notify" | "notify-reload" | "dbus" => {
            f.refuse(&line.place, format!("Type={} comes in a later version", line.value));
        }
        other => {
            let known = ["simple", "exec", "oneshot", "idle"];
            let mut fault = Fault::new(&line.place, format!("Type={other} is no type of a service"));
            fault.hint = did_you_mean(other, known).or(Some(format!("use one of {}", known.join(", "))));
            f.errors.push(fault);
        }
    }
    Kind::Simple
}

fn commands_fit(f: &mut Fields<'_>, spec: &Spec, whole: &Place) {
    if spec.exec.is_empty() && f.all("Service", "ExecStart").is_empty() {
        let fault = Fault::new(whole, "the unit has no ExecStart=");
        f.errors.push(fault.hint("add ExecStart=/path/to/program to [Service]"));
    }
    if spec.exec.len() > 1
        && spec.kind != Kind::Oneshot
        && let Some(line) = f.all("Service", "ExecStart").last()
    {
        let fault = Fault::new(&line.key_place, "more than one ExecStart= is allowed with Type=oneshot only");
        f.errors.push(fault.hint("an empty ExecStart= clears the ones before it"));
    }
}

/// `infinity` and 0 are no limit.
fn timeout(text: &str) -> Result<Option<Duration>, String> {
    Ok(time::span(text)?.filter(|d| !d.is_zero()))
}

fn restart(f: &mut Fields<'_>, kind: Kind) -> RestartPolicy {
    let when = f.get("Restart", When::Never, |t| {
        Ok(match t {
            // Without WatchdogSec=, which is refused, on-watchdog never fires.
            "no" | "on-watchdog" => When::Never,
            "always" => When::Always,
            "on-success" => When::OnSuccess,
            "on-failure" => When::OnFailure,
            "on-abnormal" => When::OnAbnormal,
            "on-abort" => When::OnAbort,
            _ => {
                return Err(
                    "expected no, always, on-success, on-failure, on-abnormal, on-abort or on-watchdog"
                        .into(),
                );
            }
        })
    });
    if kind == Kind::Oneshot
        && matches!(when, When::Always | When::OnSuccess)
        && let Some(line) = f.last("Service", "Restart")
    {
        f.refuse(&line.place, format!("Restart={} is not allowed with Type=oneshot", line.value));
    }
    // A oneshot command has to end by itself: a signal is no clean end of it.
    let signals = match kind {
        Kind::Simple => vec![Signal::HUP, Signal::INT, Signal::TERM, Signal::PIPE],
        Kind::Oneshot => Vec::new(),
    };
    let extra = exits(f, "SuccessExitStatus");
    let clean =
        ExitSet { codes: [vec![0], extra.codes].concat(), signals: [signals, extra.signals].concat() };
    RestartPolicy {
        when,
        clean,
        prevent: exits(f, "RestartPreventExitStatus"),
        force: exits(f, "RestartForceExitStatus"),
        delay: f
            .get("RestartSec", Some(Duration::from_millis(100)), time::span)
            .unwrap_or(Duration::from_secs(u64::from(u32::MAX))),
        startsecs: Duration::ZERO,
        retry: None,
        limit: start_limit(f),
    }
}

fn start_limit(f: &mut Fields<'_>) -> Option<StartLimit> {
    let spellings: Vec<(&str, &str)> = ["Unit", "Service"]
        .into_iter()
        .flat_map(|s| [(s, "StartLimitIntervalSec"), (s, "StartLimitInterval")])
        .collect();
    let line = f.last_of(&spellings);
    let interval = f.parse(line, Some(Duration::from_secs(10)), time::span);
    let line = f.last_of(&[("Unit", "StartLimitBurst"), ("Service", "StartLimitBurst")]);
    let burst = f.parse(line, 5, |t| number(t, 0, u32::MAX.into()).map(|n| u32::try_from(n).unwrap_or(5)));
    // An endless interval counts all starts there ever were.
    let interval = interval.unwrap_or(Duration::from_secs(u64::from(u32::MAX)));
    (burst > 0 && !interval.is_zero()).then_some(StartLimit { burst, interval })
}

fn exits(f: &mut Fields<'_>, key: &str) -> ExitSet {
    let mut set = ExitSet::default();
    for line in f.all("Service", key) {
        for word in line.value.split_ascii_whitespace() {
            let code = codes::of(word).or_else(|| word.parse().ok());
            match (code, Signal::parse(word)) {
                (Some(code), _) => set.codes.push(code),
                (None, Some(signal)) if word.parse::<i64>().is_err() => set.signals.push(signal),
                _ => f.bad(line, &format!("{word} is neither an exit code nor a signal")),
            }
        }
    }
    set
}

fn stop(f: &mut Fields<'_>) -> StopPolicy {
    let signal = f.get("KillSignal", Signal::TERM, |t| {
        Signal::parse(t).ok_or_else(|| "expected the name or number of a signal".into())
    });
    let line = f.last_of(&[("Service", "TimeoutStopSec"), ("Service", "TimeoutSec")]);
    let wait = f.parse(line, Some(Duration::from_secs(90)), timeout);
    let kill = f.get("SendSIGKILL", true, boolean);
    let policy = |signals, kill, group, rest| StopPolicy {
        signals,
        wait,
        kill,
        group,
        kill_group: rest,
        sweep: rest && kill,
        sweep_stop: false,
    };
    f.get("KillMode", policy(vec![signal], kill, true, true), |t| {
        Ok(match t {
            "control-group" => policy(vec![signal], kill, true, true),
            "mixed" => policy(vec![signal], kill, false, true),
            "process" => policy(vec![signal], kill, false, false),
            "none" => policy(Vec::new(), false, false, false),
            _ => return Err("expected control-group, mixed, process or none".into()),
        })
    })
}

/// Kinds of units that are not run by us: they count as reached.
pub(crate) fn is_foreign(name: &str) -> bool {
    const ENDS: [&str; 9] =
        [".target", ".slice", ".mount", ".automount", ".path", ".timer", ".device", ".swap", ".scope"];
    ENDS.iter().any(|end| name.ends_with(end)) || SOCKETS.contains(&name)
}

/// Sockets that systemd itself brings.
const SOCKETS: [&str; 4] =
    ["syslog.socket", "dbus.socket", "systemd-journald.socket", "systemd-journald-dev-log.socket"];

/// A unit of another kind that is there on every machine that runs.
fn is_always_there(name: &str) -> bool {
    match name.strip_suffix(".target") {
        Some(target) => REACHED.contains(&target),
        None => name.ends_with(".slice") || name == "-.mount" || SOCKETS.contains(&name),
    }
}

fn order(f: &mut Fields<'_>, own: &str) -> Order {
    let mut names = |key: &str, must: bool| {
        let mut out: Vec<String> = Vec::new();
        for line in f.all("Unit", key) {
            let text = f.text(Some(line)).unwrap_or_default().to_str_lossy().into_owned();
            for word in text.split_ascii_whitespace() {
                if word.ends_with(".socket") && !is_foreign(word) {
                    if must {
                        f.refuse(&line.place, format!("{key}={word}: socket units come in a later version"));
                    }
                    continue;
                }
                if is_foreign(word) {
                    if must && !is_always_there(word) {
                        let fault =
                            Fault::new(&line.place, format!("requires {word}, which nothing here provides"));
                        f.errors.push(fault.hint(format!("use Wants={word} if it may be absent")));
                    }
                    continue;
                }
                let name = word.strip_suffix(".service").unwrap_or(word);
                if name != own && !out.iter().any(|n| n == name) {
                    out.push(name.to_string());
                }
            }
        }
        out
    };
    Order {
        after: names("After", false),
        before: names("Before", false),
        requires: names("Requires", true),
        wants: names("Wants", false),
    }
}

fn about(f: &mut Fields<'_>, whole: &Place, sections: &[(String, Place)]) -> About {
    let service = sections.iter().find(|(name, place)| name == "Service" && place.file == whole.file);
    let mut words = |section: &str, key: &str| {
        let mut out: Vec<String> = Vec::new();
        for line in f.all(section, key) {
            let text = f.text(Some(line)).unwrap_or_default();
            out.extend(text.to_str_lossy().split_ascii_whitespace().map(str::to_string));
        }
        out
    };
    let documentation = words("Unit", "Documentation");
    let wanted_by = words("Install", "WantedBy");
    let strip = |name: String| name.strip_suffix(".service").map_or(name.clone(), str::to_string);
    let aliases = words("Install", "Alias").into_iter().map(strip).collect();
    About {
        description: f.text(f.last("Unit", "Description")).unwrap_or_default().to_string(),
        documentation,
        file: whole.file.as_ref().clone(),
        line: service.map_or(0, |(_, place)| place.line),
        wanted_by,
        aliases,
    }
}
