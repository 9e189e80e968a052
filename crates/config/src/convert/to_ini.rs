//! A unit as a program of an INI file.

use super::draft::{Draft, one_line, quick_ends, signal_text};
use super::nature::Nature;
use crate::source::{is_dir, path_of};
use crate::unit::words::expand;
use bstr::{BStr, BString, ByteSlice};
use std::cell::Cell;
use std::time::Duration;
use supers_core::signal::Signal;
use supers_core::spec::{
    Command, Context, Env, Kind, Limit, Order, Output, Resource, RestartPolicy, Sink, Spec, StartLimit,
    StopPolicy, Target, When,
};

/// Specs that lowering makes of nearly nothing: what each dialect does by itself.
pub(super) struct Bases<'a> {
    /// Of a program with the unit's name.
    pub(super) ini: &'a Spec,
    /// Of the unit.
    pub(super) unit: &'a Spec,
    /// The log of its own that a unit has for standard error alone.
    pub(super) own_stderr: Option<&'a Sink>,
}

const NO_WORD: &str = "an INI file has no word for it";

/// The program. Each field of the spec is looked at: a new one does not compile until it has a rule.
pub(super) fn translate(source: &Spec, bases: &Bases<'_>) -> Draft {
    let mut d = Draft::new(bases.ini);
    let Spec {
        name: _,
        group,
        program,
        kind,
        exec,
        stop_exec,
        reload_exec,
        autostart,
        remember,
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
    let to = bases.ini;
    d.fixed("Description", &(group, program), &(&to.group, &to.program), NO_WORD);
    if *kind == Kind::Oneshot {
        d.refuse_with(
            "Type",
            "an INI file has no oneshot",
            "a program with startsecs=0 and autorestart=false comes near to it",
        );
    } else {
        commands(&mut d, exec);
    }
    d.fixed("ExecStop", stop_exec, &to.stop_exec, NO_WORD);
    d.fixed("ExecReload", reload_exec, &to.reload_exec, NO_WORD);
    d.fixed("TimeoutStartSec", start_timeout, &to.start_timeout, NO_WORD);
    d.fixed("WantedBy", &(autostart, remember), &(&to.autostart, &to.remember), NO_WORD);
    d.fixed("After", &(priority, group_priority), &(&to.priority, &to.group_priority), NO_WORD);
    d.fixed("Sockets", &(listener, socket, server_url), &(&None, &None, &None), NO_WORD);
    relations(&mut d, order);
    life(&mut d, restart, bases);
    ending(&mut d, stop);
    surroundings(&mut d, context, bases);
    streams(&mut d, output, bases);
    d
}

fn relations(d: &mut Draft, order: &Order) {
    let Order { after, before, requires, wants } = order;
    for (key, names) in [("After", after), ("Before", before), ("Requires", requires), ("Wants", wants)] {
        if let Some(name) = names.first() {
            d.refuse_with(
                key,
                format!("the relation to {name} cannot be said in an INI file"),
                "take the line out; priority= orders the first start of INI programs",
            );
        }
    }
}

fn commands(d: &mut Draft, exec: &[Command]) {
    let [command] = exec else { return d.refuse("ExecStart", "a program has one command") };
    let Command { line: _, words, argv0, expand: variables, ignore_failure, privileged, fault } = command;
    if let Some(fault) = fault {
        return d.refuse("ExecStart", format!("it cannot be run: {fault}"));
    }
    if argv0.is_some() {
        d.refuse("ExecStart", "the prefix @ has no twin in an INI file");
    }
    if *ignore_failure {
        d.refuse("ExecStart", "the prefix - has no twin in an INI file");
    }
    if *privileged {
        d.refuse("ExecStart", "the prefixes + and ! have no twin in an INI file");
    }
    let asked = Cell::new(false);
    let unset = |_: &BStr| -> Option<BString> {
        asked.set(true);
        None
    };
    // Two dollars are one; any other use of one asks for a variable.
    let words = if *variables { expand(words, &unset) } else { words.clone() };
    if asked.get() {
        return d.refuse_with(
            "ExecStart",
            "an INI file replaces no variables at the start",
            "write the value, or run the line with /bin/sh -c",
        );
    }
    let quoted: Option<Vec<String>> = words.iter().map(|w| shell_word(w)).collect();
    match quoted {
        Some(quoted) => d.line(format!("command={}", quoted.join(" "))),
        None => return d.refuse("ExecStart", "a word holds bytes that no INI file can hold"),
    }
    d.spec.exec = vec![Command { expand: false, ..Command::from_words(words) }].into();
}

/// A word for a POSIX shell in an INI value: a percent sign is doubled, and no comment character follows
/// a blank, even inside quotes.
fn shell_word(word: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(word).ok().filter(|t| !t.chars().any(char::is_control))?;
    let bare = |c: char| c.is_alphanumeric() || "/._-:@%+=,$[]{}()*?!&|<>~^`".contains(c);
    let doubled = text.replace('%', "%%");
    if !text.is_empty() && text.chars().all(bare) {
        return Some(doubled);
    }
    let mut out = String::from("'");
    let mut blank = false;
    for c in doubled.chars() {
        match c {
            '\'' => out.push_str("'\\''"),
            // The quote is closed and opened again, so that no blank stands before.
            ';' | '#' if blank => out.extend(['\'', '\'', c]),
            c => out.push(c),
        }
        blank = c.is_whitespace();
    }
    out.push('\'');
    Some(out)
}

fn life(d: &mut Draft, restart: &RestartPolicy, bases: &Bases<'_>) {
    let RestartPolicy { when, clean, prevent, force, delay, startsecs, retry, limit } = restart;
    let (from, to) = (&bases.unit.restart, &bases.ini.restart);
    match when {
        When::Never => d.line("autorestart=false"),
        When::Always => d.line("autorestart=true"),
        When::OnFailure => {}
        When::OnSuccess | When::OnAbnormal | When::OnAbort => d.refuse("Restart", NO_WORD),
    }
    d.spec.restart.when = *when;
    let mut codes = clean.codes.clone();
    codes.sort_unstable();
    codes.dedup();
    if codes != to.clean.codes {
        let words: Vec<String> = codes.iter().map(u8::to_string).collect();
        d.line(format!("exitcodes={}", words.join(",")));
        d.spec.restart.clean.codes = codes;
    }
    if clean.signals.iter().any(|s| !from.clean.signals.contains(s)) {
        d.refuse("SuccessExitStatus", "exitcodes holds no signals");
    }
    // Signals that a unit counts as clean and takes back again are what an INI file does anyhow.
    let taken_back = |s: &Signal| *when == When::OnFailure && force.signals.contains(s);
    if !clean.signals.iter().all(taken_back) {
        d.note(Nature::Clean);
    }
    d.fixed("RestartPreventExitStatus", prevent, &to.prevent, NO_WORD);
    let only_those = force.signals.iter().all(|s| taken_back(s) && clean.signals.contains(s));
    if !force.codes.is_empty() || !only_those {
        d.refuse("RestartForceExitStatus", NO_WORD);
    }
    pause(d, *delay, from);
    d.fixed("Type", startsecs, &from.startsecs, NO_WORD);
    d.fixed("Type", retry, &from.retry, NO_WORD);
    starts(d, limit.as_ref(), from, to);
}

fn pause(d: &mut Draft, delay: Duration, from: &RestartPolicy) {
    match delay {
        Duration::ZERO => {}
        delay if delay == from.delay => d.note(Nature::Delay),
        _ => d.refuse("RestartSec", "an INI program is restarted at once"),
    }
}

/// The limit that a converted unit has for `startsecs` and `startretries` is what they are by default;
/// any other unit runs at once.
fn starts(d: &mut Draft, limit: Option<&StartLimit>, from: &RestartPolicy, to: &RestartPolicy) {
    d.note(Nature::Start);
    let by_default = quick_ends(to);
    if limit.is_some() && limit == by_default.as_ref() {
        return;
    }
    if limit.is_some() && limit == from.limit.as_ref() {
        d.note(Nature::Limit);
    } else if limit.is_some() {
        d.refuse("StartLimitBurst", "an INI program is restarted for ever");
    }
    d.line("startsecs=0");
    d.spec.restart.startsecs = Duration::ZERO;
}

fn ending(d: &mut Draft, stop: &StopPolicy) {
    let StopPolicy { signals, wait, kill, group, kill_group, sweep, sweep_stop: _ } = stop;
    match signals.as_slice() {
        [Signal::TERM] => {}
        [signal] => d.line(format!("stopsignal={}", signal_text(*signal))),
        _ => d.refuse("KillMode", "an INI program is always stopped by a signal"),
    }
    match wait {
        Some(wait) if wait.subsec_nanos() == 0 && wait.as_secs() <= u64::from(u32::MAX) => {
            d.line(format!("stopwaitsecs={}", wait.as_secs()));
        }
        Some(_) => d.refuse("TimeoutStopSec", "stopwaitsecs takes whole seconds"),
        None => d.refuse("TimeoutStopSec", "an INI file cannot wait for ever"),
    }
    if !kill && !signals.is_empty() {
        d.refuse("SendSIGKILL", "an INI program that does not end is always killed");
    }
    match (group, kill_group) {
        (true, true) => d.line("stopasgroup=true"),
        (false, true) => d.line("killasgroup=true"),
        (false, false) => {}
        (true, false) => d.refuse("KillMode", NO_WORD),
    }
    d.natural(Nature::Sweep, sweep, &d.spec.stop.sweep.clone());
    let target = &mut d.spec.stop;
    (target.signals, target.wait) = (signals.clone(), *wait);
    (target.group, target.kill_group) = (*group, *kill_group);
}

fn surroundings(d: &mut Draft, context: &Context, bases: &Bases<'_>) {
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
    let to = &bases.ini.context;
    if let Some(user) = user {
        text(d, "User", "user", user.as_bytes());
        d.spec.context.user = Some(user.clone());
    }
    d.fixed("Group", group, &to.group, "an INI program has its user's own group");
    if let Some(dir) = directory {
        if dir.optional {
            d.refuse("WorkingDirectory", "an INI program needs its folder: the prefix - has no twin");
        }
        text(d, "WorkingDirectory", "directory", &dir.path);
        d.folder(&dir.path);
    }
    if let Some(mode) = umask {
        d.line(format!("umask={mode:03o}"));
        d.spec.context.umask = Some(*mode);
    }
    environment(d, env, bases);
    if let Some(limit) = limits.first() {
        d.refuse(limit_key(limit), NO_WORD);
    }
    d.fixed("Nice", nice, &to.nice, NO_WORD);
    d.fixed("OOMScoreAdjust", oom_score_adj, &to.oom_score_adj, NO_WORD);
    d.fixed("NoNewPrivileges", no_new_privileges, &to.no_new_privileges, NO_WORD);
    d.fixed("Type", exit_127, &to.exit_127, NO_WORD);
    d.natural(Nature::Sigpipe, ignore_sigpipe, &to.ignore_sigpipe);
    d.natural(Nature::Session, session, &to.session);
    d.natural(Nature::Stdin, stdin_pipe, &to.stdin_pipe);
}

fn limit_key(limit: &Limit) -> &'static str {
    match limit.resource {
        Resource::Cpu => "LimitCPU",
        Resource::Fsize => "LimitFSIZE",
        Resource::Data => "LimitDATA",
        Resource::Stack => "LimitSTACK",
        Resource::Core => "LimitCORE",
        Resource::Rss => "LimitRSS",
        Resource::Nofile => "LimitNOFILE",
        Resource::As => "LimitAS",
        Resource::Nproc => "LimitNPROC",
        Resource::Memlock => "LimitMEMLOCK",
        Resource::Locks => "LimitLOCKS",
        Resource::Sigpending => "LimitSIGPENDING",
        Resource::Msgqueue => "LimitMSGQUEUE",
        Resource::Nice => "LimitNICE",
        Resource::Rtprio => "LimitRTPRIO",
        Resource::Rttime => "LimitRTTIME",
    }
}

/// A line with a value that is taken whole.
fn text(d: &mut Draft, key: &'static str, word: &str, value: &[u8]) {
    match ini_text(value) {
        Some(value) => d.line(format!("{word}={value}")),
        None => d.refuse(key, format!("{} cannot stand in an INI file as it is", value.as_bstr())),
    }
}

/// Percent signs doubled; nothing that would begin a comment.
fn ini_text(value: &[u8]) -> Option<String> {
    let text = one_line(value)?;
    let mut blank = true;
    for c in text.chars() {
        if blank && (c == ';' || c == '#') {
            return None;
        }
        blank = c.is_whitespace();
    }
    Some(text.replace('%', "%%"))
}

/// All variables but those that every unit has.
fn environment(d: &mut Draft, env: &Env, bases: &Bases<'_>) {
    let Env { inherit: _, user_vars: _, names: _, vars, files, invocation: _ } = env;
    d.note(Nature::Environment);
    d.fixed("EnvironmentFile", files, &Vec::new(), "an INI program has no files of variables");
    let common = &bases.unit.context.env.vars;
    let mut said = Vec::new();
    for (key, value) in vars.iter().filter(|pair| !common.contains(pair)) {
        let Some(value_text) = variable(value) else {
            let why = format!(
                "the value of {key} holds quotes, control characters or a comment sign after a blank"
            );
            d.refuse("Environment", format!("{why}, which no INI file can hold"));
            continue;
        };
        said.push(format!("{key}={value_text}"));
        let target = &mut d.spec.context.env.vars;
        target.retain(|(k, _)| k != key);
        target.push((key.clone(), value.clone()));
    }
    d.spec.context.env.vars.sort();
    if !said.is_empty() {
        d.line(format!("environment={}", said.join(",")));
    }
}

/// A value in quotes. There are no escapes, and quotes of both kinds are taken off both ends.
fn variable(value: &[u8]) -> Option<String> {
    let text = std::str::from_utf8(value).ok()?;
    let ends = |c: char| text.starts_with(c) || text.ends_with(c);
    if text.chars().any(char::is_control) || ends('\'') || ends('"') {
        return None;
    }
    let quote = match (text.contains('"'), text.contains('\'')) {
        (false, _) => '"',
        (true, false) => '\'',
        (true, true) => return None,
    };
    let quoted = format!("{quote}{}{quote}", text.replace('%', "%%"));
    let cut = quoted.char_indices().any(|(at, c)| {
        (c == ';' || c == '#') && quoted.get(..at).is_some_and(|before| before.ends_with(char::is_whitespace))
    });
    (!cut).then_some(quoted)
}

fn streams(d: &mut Draft, output: &Output, bases: &Bases<'_>) {
    let Output { stdout, stderr } = output;
    let own = [Some(&bases.unit.output.stdout), bases.own_stderr];
    if let Some(sink) = stream(d, stdout, own, ["StandardOutput", "stdout"], &bases.ini.output.stdout) {
        d.spec.output.stdout = sink;
    }
    let Some(stderr) = stderr else {
        d.line("redirect_stderr=true");
        d.spec.output.stderr = None;
        return;
    };
    let base = bases.ini.output.stderr.clone().unwrap_or_default();
    d.spec.output.stderr = stream(d, stderr, own, ["StandardError", "stderr"], &base);
}

/// One stream; the sink that the lines mean.
fn stream(
    d: &mut Draft,
    sink: &Sink,
    own: [Option<&Sink>; 2],
    [key, word]: [&'static str; 2],
    auto: &Sink,
) -> Option<Sink> {
    if own.contains(&Some(sink)) {
        d.note(Nature::Output);
        return Some(auto.clone());
    }
    let path = match &sink.target {
        Target::Null => {
            d.line(format!("{word}_logfile=NONE"));
            return Some(sink.clone());
        }
        Target::File(path) => path,
        Target::Auto { .. } => {
            d.refuse(key, NO_WORD);
            return None;
        }
    };
    if path_of(path).parent().is_some_and(|dir| !is_dir(dir)) {
        d.refuse(key, format!("an INI file is refused while the folder of {path} does not exist"));
        return None;
    }
    text(d, key, &format!("{word}_logfile"), path);
    d.line(format!("{word}_logfile_maxbytes={}", sink.max_bytes));
    if sink.backups != auto.backups {
        d.line(format!("{word}_logfile_backups={}", sink.backups));
    }
    Some(sink.clone())
}
