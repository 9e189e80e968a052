//! A program of an INI file as a unit file.

use super::draft::{Draft, one_line, quick_ends, signal_text};
use super::nature::Nature;
use crate::emit::{plain, valid_name, variable, word};
use crate::unit::envfile::is_name;
use bstr::{BString, ByteSlice};
use std::time::Duration;
use supers_core::signal::Signal;
use supers_core::spec::{
    Command, Context, Env, ExitSet, Output, RestartPolicy, Retry, Sink, Spec, StopPolicy, Target, When,
};

/// Specs that lowering makes of nearly nothing: what each dialect does by itself.
pub(super) struct Bases<'a> {
    /// Of the INI file.
    pub(super) ini: &'a Spec,
    /// Of a unit with the program's name.
    pub(super) unit: &'a Spec,
    /// The log of its own that a unit has for standard error alone.
    pub(super) own_stderr: Option<&'a Sink>,
    /// What the daemon tells its children as SUPERVISOR_SERVER_URL.
    pub(super) url: Option<&'a BString>,
}

const NO_WORD: &str = "a unit file has no word for it";

/// The unit. Each field of the spec is looked at: a new one does not compile until it has a rule.
pub(super) fn translate(source: &Spec, bases: &Bases<'_>) -> Draft {
    let mut d = Draft::new(bases.unit);
    let Spec {
        name,
        group,
        program,
        kind,
        exec,
        stop_exec,
        reload_exec,
        autostart,
        remember: _,
        priority,
        group_priority,
        restart,
        start_timeout,
        stop,
        context,
        output,
        order,
        listener,
        socket,
        server_url,
        refused: _,
    } = source;
    names(&mut d, name, group, program);
    commands(&mut d, exec);
    let to = bases.unit;
    d.fixed("command", kind, &to.kind, NO_WORD);
    d.fixed("command", stop_exec, &to.stop_exec, NO_WORD);
    d.fixed("command", reload_exec, &to.reload_exec, NO_WORD);
    d.fixed("command", start_timeout, &to.start_timeout, NO_WORD);
    d.fixed("command", order, &to.order, NO_WORD);
    if *autostart != to.autostart {
        d.refuse("autostart", "a unit in the folder is always started with the daemon");
    }
    // A listener's or a group's own priority is not the point then.
    let plain = listener.is_none() && group == program;
    if plain && (priority, group_priority) != (&to.priority, &to.group_priority) {
        d.refuse_with(
            "priority",
            "a unit file has no priorities",
            "take the key out, and say After= in the units where the order matters",
        );
    }
    if listener.is_some() {
        d.refuse("events", "a unit file cannot describe an event listener");
    }
    if socket.is_some() {
        d.refuse("socket", "a unit file cannot describe the socket of an fcgi-program");
    }
    if server_url.is_some() {
        d.refuse("serverurl", NO_WORD);
    }
    life(&mut d, restart, bases);
    ending(&mut d, stop);
    surroundings(&mut d, context, source, bases);
    streams(&mut d, output, bases);
    d
}

fn names(d: &mut Draft, name: &str, group: &str, program: &str) {
    if group != program {
        d.refuse_with(
            "programs",
            format!("the program belongs to [group:{group}], and a unit file has no groups"),
            "take it out of the group",
        );
    }
    if let Err(why) = valid_name(name) {
        d.refuse("process_name", why);
    }
    if name != program {
        d.note(Nature::Names);
    }
}

fn commands(d: &mut Draft, exec: &[Command]) {
    let [command] = exec else { return d.refuse("command", "a program has one command") };
    if let Some(fault) = &command.fault {
        return d.refuse("command", format!("it cannot be run: {fault}"));
    }
    let program = command.words.first().map(|w| w.as_slice()).unwrap_or_default();
    if program.is_empty() {
        return d.refuse("command", "it cannot be run: its first word is empty");
    }
    if program.ends_with(b"/") || (program.contains(&b'/') && !program.starts_with(b"/")) {
        return d.refuse_with(
            "command",
            "a unit file wants an absolute path or a bare name",
            "write the whole path",
        );
    }
    // The colon switches variables off; without a dollar there is nothing to switch off.
    let dollar = command.words.iter().skip(1).any(|w| w.contains(&b'$'));
    let words: Vec<String> = command.words.iter().enumerate().map(|(i, w)| word(w, i == 0, false)).collect();
    d.line(format!("ExecStart={}{}", if dollar { ":" } else { "" }, words.join(" ")));
    d.spec.exec = vec![Command { expand: !dollar, ..command.clone() }].into();
}

fn life(d: &mut Draft, restart: &RestartPolicy, bases: &Bases<'_>) {
    let RestartPolicy { when, clean, prevent, force, delay, startsecs, retry, limit } = restart;
    let from = &bases.ini.restart;
    match when {
        When::Never => {}
        When::Always => d.line("Restart=always"),
        When::OnFailure => d.line("Restart=on-failure"),
        When::OnSuccess | When::OnAbnormal | When::OnAbort => d.refuse("autorestart", NO_WORD),
    }
    d.spec.restart.when = *when;
    d.fixed("autorestart", prevent, &from.prevent, NO_WORD);
    d.fixed("autorestart", force, &from.force, NO_WORD);
    d.fixed("exitcodes", &clean.signals, &from.clean.signals, NO_WORD);
    if !clean.codes.contains(&0) {
        d.refuse("exitcodes", "0 is always a clean exit of a unit, and is not in the list");
    }
    let mut extra: Vec<u8> = clean.codes.iter().copied().filter(|c| *c != 0).collect();
    extra.sort_unstable();
    extra.dedup();
    if !extra.is_empty() {
        let words: Vec<String> = extra.iter().map(u8::to_string).collect();
        d.line(format!("SuccessExitStatus={}", words.join(" ")));
        d.spec.restart.clean.codes.extend(extra);
    }
    clean_signals(d, *when);
    d.line(format!("RestartSec={}", delay.as_secs()));
    d.spec.restart.delay = Duration::from_secs(delay.as_secs());
    d.fixed("autorestart", &delay.subsec_nanos(), &0, NO_WORD);
    d.fixed("autorestart", limit, &from.limit, NO_WORD);
    starts(d, *startsecs, retry.as_ref(), from);
}

/// Signals that systemd counts as clean are restarted all the same, as `autorestart` has it.
fn clean_signals(d: &mut Draft, when: When) {
    if d.spec.restart.clean.signals.is_empty() {
        return;
    }
    d.note(Nature::Clean);
    if when == When::OnFailure {
        let signals = d.spec.restart.clean.signals.clone();
        let words: Vec<String> = signals.iter().map(ToString::to_string).collect();
        d.line(format!("RestartForceExitStatus={}", words.join(" ")));
        d.spec.restart.force = ExitSet { codes: Vec::new(), signals };
    }
}

/// `startsecs` and `startretries`: 0 is what a unit does; the defaults become the start limit that gives
/// up after as many quick ends.
fn starts(d: &mut Draft, startsecs: Duration, retry: Option<&Retry>, from: &RestartPolicy) {
    if retry != from.retry.as_ref() {
        d.refuse_with(
            "startretries",
            "the number of tries and their growing pauses cannot be said in a unit file",
            "take the key out; StartLimitBurst= and RestartSec= are the unit's own rule",
        );
    }
    d.note(Nature::Start);
    if startsecs.is_zero() {
        d.unit.push("StartLimitIntervalSec=0".into());
        d.spec.restart.limit = None;
    } else if let Some(limit) = quick_ends(from).filter(|_| startsecs == from.startsecs) {
        d.unit.push(format!("StartLimitIntervalSec={}", limit.interval.as_secs()));
        d.unit.push(format!("StartLimitBurst={}", limit.burst));
        d.spec.restart.limit = Some(limit);
    } else {
        d.refuse_with(
            "startsecs",
            "a unit runs at once: how long it must live cannot be said in a unit file",
            "startsecs=0 can be converted, and so can the default of 1",
        );
    }
}

fn ending(d: &mut Draft, stop: &StopPolicy) {
    let StopPolicy { signals, wait, kill, group, kill_group, sweep, sweep_stop: _ } = stop;
    match signals.as_slice() {
        [Signal::TERM] => {}
        [signal] => d.line(format!("KillSignal={}", signal_text(*signal))),
        _ => d.refuse("stopsignal", "a unit file has one stop signal"),
    }
    match wait {
        Some(wait) if wait.is_zero() => {
            d.refuse("stopwaitsecs", "0 means no pause here, and no limit in a unit file");
        }
        Some(wait) => d.line(format!("TimeoutStopSec={}", wait.as_secs())),
        None => d.line("TimeoutStopSec=infinity"),
    }
    let target = &mut d.spec.stop;
    (target.signals, target.wait) = (signals.clone(), *wait);
    (target.group, target.kill_group, target.sweep) = (*group, *kill_group, *kill_group);
    let sweeps = target.sweep;
    match (group, kill_group) {
        (true, true) => {}
        (false, true) => d.line("KillMode=mixed"),
        (false, false) => d.line("KillMode=process"),
        (true, false) => d.refuse("killasgroup", NO_WORD),
    }
    d.natural(Nature::Sweep, sweep, &sweeps);
    d.fixed("stopsignal", kill, &true, NO_WORD);
}

fn surroundings(d: &mut Draft, context: &Context, source: &Spec, bases: &Bases<'_>) {
    let Context {
        user,
        group,
        directory,
        umask,
        env,
        limits,
        nice,
        oom_score_adj,
        no_new_privileges,
        ignore_sigpipe,
        session,
        stdin_pipe,
        exit_127,
    } = context;
    let to = &bases.unit.context;
    if let Some(user) = user {
        d.line(format!("User={}", plain(user.as_bytes())));
        d.spec.context.user = Some(user.clone());
    }
    d.fixed("user", group, &to.group, NO_WORD);
    match directory.as_ref().map(|dir| (one_line(&dir.path), dir.path.as_slice())) {
        None => d.note(Nature::Folder),
        Some((Some(text), path)) if text == "~" || text.starts_with('/') => {
            d.line(format!("WorkingDirectory={}", plain(path)));
            d.folder(path);
        }
        Some(_) => d.refuse("directory", "a unit file wants an absolute path, or ~ alone, on one line"),
    }
    match umask {
        None => d.note(Nature::Umask),
        Some(mode) if *mode <= 0o777 => {
            d.line(format!("UMask={mode:04o}"));
            d.spec.context.umask = Some(*mode);
        }
        Some(_) => d.refuse("umask", "a unit file takes 0000 to 0777"),
    }
    environment(d, env, source, bases);
    if *ignore_sigpipe != to.ignore_sigpipe {
        d.line(format!("IgnoreSIGPIPE={}", if *ignore_sigpipe { "yes" } else { "no" }));
        d.spec.context.ignore_sigpipe = *ignore_sigpipe;
    }
    d.fixed("command", limits, &to.limits, NO_WORD);
    d.fixed("command", nice, &to.nice, NO_WORD);
    d.fixed("command", oom_score_adj, &to.oom_score_adj, NO_WORD);
    d.fixed("command", no_new_privileges, &to.no_new_privileges, NO_WORD);
    d.fixed("command", exit_127, &to.exit_127, NO_WORD);
    d.natural(Nature::Session, session, &to.session);
    d.natural(Nature::Stdin, stdin_pipe, &to.stdin_pipe);
}

/// All variables but those that the daemon sets by itself.
fn environment(d: &mut Draft, env: &Env, source: &Spec, bases: &Bases<'_>) {
    let Env { inherit: _, user_vars: _, names: _, vars, files, invocation: _ } = env;
    d.note(Nature::Environment);
    d.fixed("environment", files, &Vec::new(), NO_WORD);
    let own = |key: &BString, value: &BString| match key.as_slice() {
        b"SUPERVISOR_ENABLED" => value == "1",
        b"SUPERVISOR_PROCESS_NAME" => value.as_slice() == source.name.as_bytes(),
        b"SUPERVISOR_GROUP_NAME" => value.as_slice() == source.group.as_bytes(),
        b"SUPERVISOR_SERVER_URL" => Some(value) == bases.url,
        _ => false,
    };
    for (key, value) in vars.iter().filter(|(k, v)| !own(k, v)) {
        if !is_name(key) || value.contains(&0) {
            d.refuse("environment", format!("{key} is no name of a variable in a unit file"));
            continue;
        }
        d.line(variable(key, value));
        let target = &mut d.spec.context.env.vars;
        target.retain(|(k, _)| k != key);
        target.push((key.clone(), value.clone()));
    }
    d.spec.context.env.vars.sort();
}

/// Where a stream goes in a unit's words.
#[derive(PartialEq)]
enum Stream {
    Log,
    Null,
    File(BString),
}

fn streams(d: &mut Draft, output: &Output, bases: &Bases<'_>) {
    let Output { stdout, stderr } = output;
    let out = stream(d, stdout, OUT_KEYS);
    let err = stderr.as_ref().and_then(|sink| stream(d, sink, ERR_KEYS));
    let Some(out) = out else { return };
    let sink = |s: &Stream| match s {
        Stream::Log => None,
        Stream::Null => Some(Sink::default()),
        Stream::File(path) => {
            Some(Sink { target: Target::File(path.clone()), max_bytes: 0, ..Sink::default() })
        }
    };
    if let Some(sink) = sink(&out) {
        d.line(format!("StandardOutput={}", said(&out)));
        d.spec.output.stdout = sink;
    }
    // Two streams with one end are one stream for a unit.
    if let Some(err) = err.filter(|err| *err != out) {
        d.line(format!("StandardError={}", said(&err)));
        d.spec.output.stderr = sink(&err).or_else(|| bases.own_stderr.cloned());
    } else if stderr.is_some() && out != Stream::Null {
        d.note(Nature::Output);
    }
}

fn said(stream: &Stream) -> String {
    match stream {
        Stream::Log => "journal".into(),
        Stream::Null => "null".into(),
        Stream::File(path) => format!("append:{}", plain(path)),
    }
}

/// The keys of one stream: file, size, capture, events, syslog.
type Keys = [&'static str; 5];
const OUT_KEYS: Keys = [
    "stdout_logfile",
    "stdout_logfile_maxbytes",
    "stdout_capture_maxbytes",
    "stdout_events_enabled",
    "stdout_syslog",
];
const ERR_KEYS: Keys = [
    "stderr_logfile",
    "stderr_logfile_maxbytes",
    "stderr_capture_maxbytes",
    "stderr_events_enabled",
    "stderr_syslog",
];

fn stream(d: &mut Draft, sink: &Sink, [file, size, capture, event, log]: Keys) -> Option<Stream> {
    let Sink { target, max_bytes, backups, strip_ansi, capture_max, events, syslog } = sink;
    let plain = Sink::default();
    d.fixed("strip_ansi", strip_ansi, &plain.strip_ansi, NO_WORD);
    d.fixed(capture, capture_max, &plain.capture_max, NO_WORD);
    d.fixed(event, events, &plain.events, NO_WORD);
    d.fixed(log, syslog, &plain.syslog, NO_WORD);
    let default = (*max_bytes, *backups) == (plain.max_bytes, plain.backups);
    match target {
        Target::Null => Some(Stream::Null),
        Target::Auto { .. } if default => {
            d.note(Nature::Output);
            Some(Stream::Log)
        }
        Target::Auto { .. } => {
            d.refuse(size, "the unit's own log is rotated at 50MB, with 10 files kept");
            None
        }
        Target::File(path) if one_line(path).is_none() || !path.starts_with(b"/") => {
            d.refuse(file, format!("a unit file wants an absolute path, not {}", path.as_bstr()));
            None
        }
        Target::File(_) if *max_bytes > 0 && !default => {
            d.refuse_with(
                size,
                "a log file that a unit names is never rotated",
                "use AUTO, which becomes the unit's own log with rotation, or 0 and logrotate",
            );
            None
        }
        Target::File(path) => {
            if *max_bytes > 0 {
                d.note(Nature::Rotation);
            }
            Some(Stream::File(path.clone()))
        }
    }
}
