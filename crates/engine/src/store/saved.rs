//! What the records say, as values. Their form on disk is positional: whoever adds, removes or reorders a field of
//! anything that is written raises [`super::file::FORMAT`] (a test here notices), and keeps a reader for the format
//! before, so that an upgrade finds its way.

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use std::borrow::Cow;
use std::sync::Arc;
use supers_config::{About, Config, Finding, Loaded, Program, Settings};
use supers_core::exit::Exit;
use supers_core::fleet::{SavedFleet, SavedSlot};
use supers_core::proc::Exe;
use supers_core::signal::Signal;
use supers_core::snapshot::Origin;
use supers_core::spec::Spec;

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
    /// Its description; absent when it is the one in the configuration.
    pub spec: Option<Cow<'a, Spec>>,
    /// Where that stands; likewise.
    pub origin: Option<Cow<'a, Origin>>,
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

/// The configuration as it was last applied.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct SavedConfig<'a> {
    settings: Cow<'a, Settings>,
    programs: Vec<SavedProgram<'a>>,
    groups: Cow<'a, [(String, i32)]>,
    findings: Cow<'a, [Finding]>,
    files: Vec<Cow<'a, bstr::BString>>,
}

/// A program, as it differs from the one before it.
#[derive(Debug, Serialize, Deserialize)]
struct SavedProgram<'a> {
    spec: Cow<'a, Spec>,
    /// Parts that are left out ([`Spec::without`]).
    same: u8,
    about: Cow<'a, About>,
}

impl SavedConfig<'_> {
    /// Of what was read, under the settings that are in force.
    pub(crate) fn of<'a>(settings: &'a Settings, config: &'a Config) -> SavedConfig<'a> {
        let mut before: Option<&Spec> = None;
        let program = |p: &'a Program| {
            let (spec, same) = match before.replace(&p.spec) {
                Some(before) => p.spec.without(before),
                None => ((*p.spec).clone(), 0),
            };
            SavedProgram { spec: Cow::Owned(spec), same, about: Cow::Borrowed(&p.about) }
        };
        SavedConfig {
            settings: Cow::Borrowed(settings),
            programs: config.programs.iter().map(program).collect(),
            groups: Cow::Borrowed(&config.groups),
            findings: Cow::Borrowed(&config.findings),
            files: config.files.iter().map(Cow::Borrowed).collect(),
        }
    }

    /// As if it had been read again.
    pub(crate) fn into_loaded(self) -> Loaded {
        let mut before: Option<Arc<Spec>> = None;
        let program = |p: SavedProgram<'_>| {
            let mut spec = p.spec.into_owned();
            before.iter().for_each(|before| spec.with(before, p.same));
            let spec = Arc::new(spec);
            before = Some(spec.clone());
            Program { spec, about: p.about.into_owned() }
        };
        let config = Config {
            settings: self.settings.into_owned(),
            programs: self.programs.into_iter().map(program).collect(),
            groups: self.groups.into_owned(),
            findings: self.findings.into_owned(),
            files: self.files.into_iter().map(Cow::into_owned).collect(),
        };
        Loaded { config, fatal: false }
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
            spec: Some(Cow::Borrowed(spec)),
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
        let bytes = encode(&SavedConfig::of(&settings, &config));
        assert!(bytes.len() < 3 * 1000 + 1200, "{} bytes", bytes.len());
        let back = decode::<SavedConfig<'static>>(&bytes).unwrap().into_loaded().config;
        assert!(back.programs.iter().zip(&config.programs).all(|(a, b)| a.spec == b.spec));
        assert_eq!(back.programs.len(), 6);
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
            encode(&SavedConfig::of(&settings, &config)).len(),
            encode(&daemon).len(),
            cause.len(),
        ];
        assert_eq!((super::super::file::FORMAT, sizes), (1, SIZES));
    }

    const SIZES: [usize; 4] = [128, 168, 10, 3];
}
