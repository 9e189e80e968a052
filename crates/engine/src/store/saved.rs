//! What the records say, as values. Their form on disk is positional: whoever adds, removes or reorders a field of
//! anything that is written raises [`super::reading::FORMAT`] (a test here notices), and keeps a reader for the format
//! before, so that an upgrade finds its way.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::borrow::Cow;
use std::sync::Arc;
use std::time::Duration;
use supers_config::{About, Config, Finding, Loaded, Program, Settings};
use supers_core::exit::Exit;
use supers_core::fleet::{SavedFleet, SavedSlot};
use supers_core::proc::Exe;
use supers_core::share::Shared;
use supers_core::signal::Signal;
use supers_core::snapshot::Origin;
use supers_core::spec::{
    Command, Context, Kind, Listener, Order, Output, RestartPolicy, SharedSocket, Spec, StopPolicy,
};

/// The daemon as a whole. Runs are numbered beyond `fleet.last_run` only after that was raised here.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedDaemon {
    /// The machine's boot: a pid of another one means nothing.
    pub boot: String,
    /// The version that wrote this.
    pub version: String,
    /// Order, runs, pending stops.
    pub fleet: SavedFleet,
    /// After the shutdown a fresh daemon takes over.
    pub again: bool,
    /// Why the daemon that wrote this made way.
    pub leaving: Leaving,
    /// New when runs are numbered from the beginning.
    pub lineage: String,
    /// The keeper that is the parent of its processes; 0 without one.
    pub keeper: i32,
}

/// Why a daemon made way for another.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) enum Leaving {
    /// It did not: it was killed.
    #[default]
    No,
    /// For another program.
    Upgrade,
    /// Its keeper was gone.
    KeeperLost,
}

/// One unit.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct SavedUnit<'a> {
    /// Its place among the units.
    pub place: u32,
    /// Its description; absent when it is the one in the configuration, as it mostly is.
    pub spec: Option<Box<Cow<'a, Spec>>>,
    /// Where that stands; likewise.
    pub origin: Option<Box<Cow<'a, Origin>>>,
    /// What it is.
    pub slot: SavedSlot,
    /// Its processes.
    pub runs: Vec<SavedRun>,
}

/// One process.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct SavedRun {
    pub run: u64,
    pub exe: Exe,
    /// 0: it was about to be started.
    pub pid: i32,
    /// What tells it from a later process with the same number.
    pub identity: u64,
    /// It is no child of the keeper.
    pub foreign: bool,
    /// Its end is known, and was not dealt with yet.
    pub exit: Option<Exit>,
    /// A signal that is about to be sent to it, or to its group.
    pub due: Option<(Signal, bool)>,
}

/// The configuration as it was last applied, without its programs: those follow, one after the other.
#[derive(Debug, Serialize, Deserialize)]
struct SavedConfig<'a> {
    settings: Cow<'a, Settings>,
    groups: Cow<'a, [(String, i32)]>,
    findings: Cow<'a, [Finding]>,
    files: Vec<Cow<'a, bstr::BString>>,
    programs: usize,
}

/// What was read, under the settings that are in force.
pub(crate) fn encode_config(settings: &Settings, config: &Config) -> Vec<u8> {
    let mut bytes = encode(&SavedConfig {
        settings: Cow::Borrowed(settings),
        groups: Cow::Borrowed(&config.groups),
        findings: Cow::Borrowed(&config.findings),
        files: config.files.iter().map(Cow::Borrowed).collect(),
        programs: config.programs.len(),
    });
    let mut before: Option<&Spec> = None;
    for program in &config.programs {
        bytes.extend(encode(&SavedProgram::of(program, before.replace(&program.spec))));
    }
    bytes
}

/// As if it had been read again. Each program is made as it is met: a thousand in an intermediate form would be
/// megabytes that are touched once.
///
/// # Errors
/// In words, what does not fit.
pub(crate) fn decode_config(bytes: &[u8]) -> Result<Loaded, String> {
    let words = |e: postcard::Error| e.to_string();
    let (head, mut rest) = postcard::take_from_bytes::<SavedConfig<'static>>(bytes).map_err(words)?;
    // A damaged number asks for no memory.
    let mut programs: Vec<Program> = Vec::with_capacity(head.programs.min(bytes.len()));
    for _ in 0..head.programs {
        let (program, behind) = postcard::take_from_bytes::<SavedProgram<'static>>(rest).map_err(words)?;
        rest = behind;
        let program = program.into_program(programs.last().map(|before| &*before.spec));
        programs.push(program);
    }
    let config = Config {
        merged: Default::default(),
        settings: head.settings.into_owned(),
        programs,
        groups: head.groups.into_owned(),
        findings: head.findings.into_owned(),
        files: head.files.into_iter().map(Cow::into_owned).collect(),
    };
    Ok(Loaded { config, fatal: false })
}

/// A program. What is `None` is as in the program before it: most of a thousand are alike, and reading them is
/// what nobody answers for after a crash.
#[derive(Debug, Serialize, Deserialize)]
struct SavedProgram<'a> {
    exec: Option<Cow<'a, [Command]>>,
    restart: Option<Cow<'a, RestartPolicy>>,
    stop: Option<Cow<'a, StopPolicy>>,
    context: Option<Cow<'a, Context>>,
    output: Option<Cow<'a, Output>>,
    order: Option<Cow<'a, Order>>,
    rest: Rest<'a>,
    about: Cow<'a, About>,
}

/// What programs have for themselves.
#[derive(Debug, Serialize, Deserialize)]
struct Rest<'a> {
    name: Cow<'a, str>,
    group: Cow<'a, str>,
    program: Cow<'a, str>,
    kind: Kind,
    stop_exec: Cow<'a, [Command]>,
    reload_exec: Cow<'a, [Command]>,
    autostart: bool,
    remember: bool,
    priority: i32,
    group_priority: i32,
    start_timeout: Option<Duration>,
    listener: Option<Cow<'a, Listener>>,
    socket: Option<Cow<'a, SharedSocket>>,
    server_url: Option<Cow<'a, str>>,
    refused: Option<Cow<'a, str>>,
}

impl<'a> SavedProgram<'a> {
    fn of(program: &'a Program, before: Option<&Spec>) -> SavedProgram<'a> {
        let Spec {
            name,
            group,
            program: section,
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
            refused,
        } = &*program.spec;
        let rest = Rest {
            name: name.into(),
            group: group.into(),
            program: section.into(),
            kind: *kind,
            stop_exec: stop_exec.into(),
            reload_exec: reload_exec.into(),
            autostart: *autostart,
            remember: *remember,
            priority: *priority,
            group_priority: *group_priority,
            start_timeout: *start_timeout,
            listener: listener.as_deref().map(Cow::Borrowed),
            socket: socket.as_deref().map(Cow::Borrowed),
            server_url: server_url.as_deref().map(Cow::Borrowed),
            refused: refused.as_deref().map(Cow::Borrowed),
        };
        SavedProgram {
            exec: exec.unlike(before.map(|b| &b.exec)).map(|exec| Cow::Borrowed(&**exec)),
            restart: restart.unlike(before.map(|b| &b.restart)).map(Cow::Borrowed),
            stop: stop.unlike(before.map(|b| &b.stop)).map(Cow::Borrowed),
            context: context.unlike(before.map(|b| &b.context)).map(Cow::Borrowed),
            output: output.unlike(before.map(|b| &b.output)).map(Cow::Borrowed),
            order: order.unlike(before.map(|b| &b.order)).map(Cow::Borrowed),
            rest,
            about: Cow::Borrowed(&program.about),
        }
    }

    fn into_program(self, before: Option<&Spec>) -> Program {
        let rest = self.rest;
        let spec = Spec {
            name: rest.name.into_owned(),
            group: rest.group.into_owned(),
            program: rest.program.into_owned(),
            kind: rest.kind,
            exec: or_as(self.exec, before.map(|b| &b.exec)),
            stop_exec: rest.stop_exec.into_owned(),
            reload_exec: rest.reload_exec.into_owned(),
            autostart: rest.autostart,
            remember: rest.remember,
            priority: rest.priority,
            group_priority: rest.group_priority,
            restart: or_as(self.restart, before.map(|b| &b.restart)),
            start_timeout: rest.start_timeout,
            stop: or_as(self.stop, before.map(|b| &b.stop)),
            context: or_as(self.context, before.map(|b| &b.context)),
            output: or_as(self.output, before.map(|b| &b.output)),
            order: or_as(self.order, before.map(|b| &b.order)),
            listener: rest.listener.map(|l| Box::new(l.into_owned())),
            socket: rest.socket.map(|s| Box::new(s.into_owned())),
            server_url: rest.server_url.map(Cow::into_owned),
            refused: rest.refused.map(Cow::into_owned),
        };
        Program { spec: Arc::new(spec), about: self.about.into_owned() }
    }
}

/// The value of its own, or that of the program before; of the first program nothing is missing.
fn or_as<B: ToOwned + ?Sized>(own: Option<Cow<'_, B>>, before: Option<&Shared<B::Owned>>) -> Shared<B::Owned>
where
    B::Owned: Clone + Default,
{
    match (own, before) {
        (Some(own), _) => Shared::from(own.into_owned()),
        (None, Some(before)) => before.clone(),
        (None, None) => Shared::default(),
    }
}

/// As bytes.
pub(crate) fn encode(value: &impl Serialize) -> Vec<u8> {
    // Writing into memory fails only for values that have no form at all, which ours have.
    postcard::to_allocvec(value).unwrap_or_default()
}

/// From bytes.
///
/// # Errors
/// In words, what does not fit.
pub(crate) fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, String> {
    postcard::from_bytes(bytes).map_err(|e| e.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use supers_core::ids::{Pid, RunId};
    use supers_core::proc::{Cause, State, Unit, Want};
    use supers_core::time::{Mono, Wall};

    fn unit(spec: &Spec) -> SavedUnit<'_> {
        let mut unit = Unit::new(Wall(7));
        unit.want = Want::Up;
        unit.state = State::Running { run: RunId(9), pid: Pid(33), begun: Mono(5) };
        SavedUnit {
            place: 3,
            spec: Some(Box::new(Cow::Borrowed(spec))),
            origin: None,
            slot: SavedSlot { unit, queued: true, then: supers_core::fleet::Relation::Remove },
            runs: vec![SavedRun {
                run: 9,
                exe: Exe::Main(0),
                pid: 33,
                identity: 77,
                foreign: true,
                exit: None,
                due: None,
            }],
        }
    }

    #[test]
    fn programs_that_are_alike_cost_little_and_come_back_whole() {
        let program = |n: u32| {
            let mut spec = Spec::new(&format!("p{n}"));
            spec.context.env.vars.push(("LONG".into(), vec![b'x'; 1000].into()));
            spec.context.umask = (n == 3).then_some(0o27);
            spec.output.stdout.max_bytes = u64::from(n / 2);
            Program { spec: Arc::new(spec), about: About { line: n, ..About::default() } }
        };
        let config = Config { programs: (0..6).map(program).collect(), ..Config::default() };
        let settings = Settings::default();
        let bytes = encode_config(&settings, &config);
        assert!(bytes.len() < 3 * 1000 + 1200, "{} bytes", bytes.len());
        let back = decode_config(&bytes).unwrap().config;
        assert!(back.programs.iter().zip(&config.programs).all(|(a, b)| a.spec == b.spec));
        assert_eq!(back.programs.len(), 6);
        for cut in 0..bytes.len() {
            assert!(decode_config(&bytes[..cut]).is_err(), "{cut}");
        }
    }

    #[test]
    fn what_is_written_is_read() {
        let mut spec = Spec::new("web");
        spec.context.env.vars.push(("A".into(), b"\xff\0b".into()));
        let bytes = encode(&unit(&spec));
        let back: SavedUnit<'static> = decode(&bytes).unwrap();
        assert_eq!(back.spec.unwrap().into_owned(), spec);
        assert_eq!(back.runs, unit(&spec).runs);
        assert_eq!(back.slot, unit(&spec).slot);
        for cut in 0..bytes.len() {
            assert!(decode::<SavedUnit<'static>>(&bytes[..cut]).is_err(), "{cut}");
        }
    }

    /// Fails when the form of a record changes: then raise `FORMAT`, keep a reader for the one before, and set
    /// these numbers anew.
    #[test]
    fn the_format_is_pinned() {
        let spec = Spec::new("web");
        let settings = Settings::default();
        let program = Program { spec: Arc::new(Spec::new("web")), about: About::default() };
        let config = Config { programs: vec![program], ..Config::default() };
        let cause = encode(&Cause::GaveUp { tries: 3, last: Box::new(Cause::Never) });
        let daemon = SavedDaemon { boot: "b".into(), ..SavedDaemon::default() };
        let sizes = [
            encode(&unit(&spec)).len(),
            encode_config(&settings, &config).len(),
            encode(&daemon).len(),
            cause.len(),
        ];
        assert_eq!((super::super::reading::FORMAT, sizes), (1, SIZES));
    }

    const SIZES: [usize; 4] = [128, 173, 10, 3];
}
