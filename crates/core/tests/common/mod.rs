//! Two small stages on which tests play transcripts: one unit ([`unit`]) and a whole fleet ([`fleet`]).
//!
//! A transcript has one line an event: what happens, `=>`, what comes of it. A failing test shows the
//! transcript as it really went, beside the expected one.

// Each test file uses a part of it; and clippy does not see that helpers are tests, too.
#![allow(dead_code, unreachable_pub, missing_docs, clippy::unwrap_used, clippy::panic)]

pub mod fleet;
pub mod unit;

use std::time::Duration;
use supers_core::control::Verb;
use supers_core::exit::{Exit, Stage, StartError};
use supers_core::proc::{Action, Exe, Note};
use supers_core::signal::Signal;
use supers_core::spec::{Command, ExitSet, RestartPolicy, Spec, When};
use supers_core::time::{Mono, Now, Wall};

pub fn secs(s: u64) -> Duration {
    Duration::from_secs(s)
}

pub fn ms(n: u64) -> Duration {
    Duration::from_millis(n)
}

/// Both clocks after this much time; the wall clock shows 1,000 s more.
pub fn time(since_start: Duration) -> Now {
    let mono = Mono(0) + since_start;
    Now { mono, wall: Wall(i64::try_from(since_start.as_millis()).unwrap() + 1_000_000) }
}

/// An INI program with Supervisor's defaults.
pub fn ini(name: &str) -> Spec {
    let mut spec = Spec::new(name);
    spec.exec = vec![Command::from_words(["/bin/main"])].into();
    spec
}

/// A `.service` of Type=simple with systemd's defaults: RestartSec=100ms, no start limit.
pub fn service(name: &str, when: When) -> Spec {
    let mut spec = ini(name);
    spec.restart = RestartPolicy {
        when,
        clean: ExitSet { codes: vec![0], signals: [1, 2, 15, 13].into_iter().map(sig).collect() },
        delay: ms(100),
        startsecs: Duration::ZERO,
        retry: None,
        ..RestartPolicy::default()
    }
    .into();
    spec.stop.wait = Some(secs(90));
    spec
}

pub fn commands(n: usize) -> Vec<Command> {
    (0..n).map(|i| Command::from_words([format!("/bin/command{i}")])).collect()
}

pub fn sig(n: i64) -> Signal {
    Signal::from_number(n).unwrap()
}

pub fn signal_named(name: &str) -> Signal {
    Signal::parse(name).unwrap_or_else(|| panic!("no signal {name}"))
}

pub fn start_error() -> StartError {
    StartError { stage: Stage::Exec, errno: 2, text: "no such file".into() }
}

/// `0`, `7`, `SEGV`, `SEGV+core`, `?`.
pub fn exit(text: &str) -> Exit {
    match text.strip_suffix("+core") {
        Some(name) => Exit::Signal { signal: signal_named(name), core: true },
        None if text == "?" => Exit::Unknown,
        None => match text.parse() {
            Ok(code) => Exit::Code(code),
            Err(_) => Exit::Signal { signal: signal_named(text), core: false },
        },
    }
}

/// `2s`, `150ms`.
pub fn span(text: &str) -> Duration {
    let (number, unit): (String, String) = text.chars().partition(char::is_ascii_digit);
    let n = number.parse().unwrap();
    match unit.as_str() {
        "ms" => ms(n),
        "s" => secs(n),
        _ => panic!("no such unit of time: {text}"),
    }
}

/// RUNNING as soon as it is spawned; stays down when it ends.
pub fn unit(name: &str) -> Spec {
    service(name, When::Never)
}

pub fn with(name: &str, change: impl FnOnce(&mut Spec)) -> Spec {
    let mut spec = unit(name);
    change(&mut spec);
    spec
}

pub fn names(list: &[&str]) -> Vec<String> {
    list.iter().map(ToString::to_string).collect()
}

pub fn after(name: &str, others: &[&str]) -> Spec {
    with(name, |s| s.order.after = names(others))
}

pub fn requires(name: &str, others: &[&str]) -> Spec {
    with(name, |s| (s.order.after, s.order.requires) = (names(others), names(others)))
}

pub fn in_group(name: &str, group: &str, group_priority: i32, priority: i32) -> Spec {
    with(name, |s| {
        s.group = group.into();
        (s.group_priority, s.priority) = (group_priority, priority);
    })
}

/// One action in a word or two.
pub fn brief(action: &Action) -> String {
    match action {
        Action::Spawn { exe: Exe::Main(0), .. } => "spawn".into(),
        Action::Spawn { exe: Exe::Main(n), .. } => format!("spawn {n}"),
        Action::Spawn { exe: Exe::Stop(n), .. } => format!("stop-command {n}"),
        Action::Spawn { exe: Exe::Reload(n), .. } => format!("reload-command {n}"),
        Action::Signal { signal, group, .. } => {
            format!("{}{}", &signal.to_string()[3..], if *group { " to group" } else { "" })
        }
        Action::Sweep { pid, .. } => format!("sweep {}", pid.0),
        Action::Note(note) => brief_note(note),
    }
}

fn brief_note(note: &Note) -> String {
    let clean = |expected: &bool| if *expected { " (expected)" } else { "" };
    match note {
        Note::Changed { to, tries, expected, .. } => {
            let tries = if *tries > 0 { format!(" #{tries}") } else { String::new() };
            format!("{}{tries}{}", to.name(), clean(expected))
        }
        Note::Spawned(pid) => format!("pid {}", pid.0),
        Note::SpawnFailed(e) => format!("failed: {e}"),
        Note::Exited { exit, expected, .. } => format!("exited: {exit}{}", clean(expected)),
        Note::StopDone { exit, expected } => format!("ended: {exit}{}", clean(expected)),
        Note::Killing(pid) => format!("killing {}", pid.map_or(0, |p| p.0)),
        Note::CommandFailed(exe, cause) => format!("{exe:?} failed: {cause}"),
        Note::Reloaded => "reloaded".into(),
        Note::Ignored(verb) => format!("ignored {}", verb_name(*verb)),
    }
}

fn verb_name(verb: Verb) -> String {
    match verb {
        Verb::Signal(n) => format!("signal {n}"),
        Verb::Start | Verb::Stop | Verb::Restart | Verb::Reload => format!("{verb:?}").to_lowercase(),
    }
}

/// Plays `transcript` and compares: `on` is given each line's left side and returns its right side.
pub fn play_lines(transcript: &str, mut on: impl FnMut(&str) -> String) {
    let lines = transcript.lines().map(str::trim).filter(|l| !l.is_empty() && !l.starts_with("//"));
    let (mut want, mut got) = (String::new(), String::new());
    for line in lines {
        let (left, right) = line.split_once("=>").unwrap_or_else(|| panic!("no => in {line:?}"));
        let (left, right) = (left.trim(), right.trim());
        want.push_str(&format!("{left} => {right}\n"));
        got.push_str(&format!("{left} => {}\n", on(left)));
    }
    assert!(!want.is_empty(), "an empty transcript proves nothing");
    assert!(want == got, "expected:\n{want}\nreally:\n{got}");
}
