//! From a [`Request`] to a [`Loaded`]: which files are read, in which order.

use crate::check::{self, Candidate};
use crate::emit::valid_name;
use crate::fault::{Fault, Place};
use crate::flags::Flags;
use crate::ini::{self, parse::Doc};
use crate::model::{About, Config, Program, Severity};
use crate::source;
use crate::unit;
use crate::webhook::Url;
use bstr::BString;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use supers_core::spec::Spec;

/// What to read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Choice {
    /// An INI file, or one `.service` file.
    File(PathBuf),
    /// A unit folder: `superd.conf`, `*.conf` and `*.service`.
    Dir(PathBuf),
}

/// Whose defaults and strictness apply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Personality {
    /// Ours: a broken program is refused alone, unknown keys are pointed out.
    Superd,
    /// The ancestor's: any error is fatal, unknown keys are silent.
    Supervisord,
}

/// What is known about the machine's users.
pub trait Users {
    /// A user with this name or number exists.
    fn user_exists(&self, user: &str) -> bool;
    /// A group with this name or number exists.
    fn group_exists(&self, group: &str) -> bool;
    /// The home folder of the user with this name or number.
    fn home_of(&self, user: &str) -> Option<PathBuf>;
}

/// All that loading needs to know about the world.
#[derive(Clone)]
pub struct Request<'a> {
    /// What to read.
    pub choice: Choice,
    /// Whose rules.
    pub personality: Personality,
    /// The daemon's environment.
    pub env: Vec<(BString, BString)>,
    /// Name of this machine.
    pub hostname: String,
    /// The daemon's working directory; relative paths start here.
    pub cwd: PathBuf,
    /// Where units of a folder log: `<log_dir>/NAME/NAME.log`.
    pub log_dir: PathBuf,
    /// Home folder of the daemon's user.
    pub home: Option<PathBuf>,
    /// Users and groups.
    pub users: &'a dyn Users,
}

/// What came of it.
#[derive(Clone, Debug, Default)]
pub struct Loaded {
    /// Everything read, findings included.
    pub config: Config,
    /// The settings or the main file are broken: nothing may be started.
    pub fatal: bool,
}

/// Reads the configuration. Never fails: what is wrong is in `config.findings`.
pub fn load(req: &Request<'_>) -> Loaded {
    load_with(req, &Flags::default())
}

/// The same, with flags of the command line over the main section.
pub fn load_with(req: &Request<'_>, flags: &Flags) -> Loaded {
    load_beside(req, flags, &InForce::default())
}

/// The file that describes each program that is in force: of two files with one name that one counts.
pub type InForce = BTreeMap<String, String>;

/// The same, beside what is in force.
pub fn load_beside(req: &Request<'_>, flags: &Flags, in_force: &InForce) -> Loaded {
    let mut loader = Loader::new(req, flags, in_force);
    match &req.choice {
        Choice::File(path) if is_unit(path) => loader.unit(path),
        Choice::File(path) => loader.main_file(path),
        Choice::Dir(dir) => loader.folder(dir),
    }
    loader.finish()
}

/// As [`load`], but one unit file is judged among what lies beside it in its folder. What comes of it is
/// that unit and what was found about it.
pub fn load_among(req: &Request<'_>) -> Loaded {
    let path = match &req.choice {
        Choice::File(path) if is_unit(path) => source::absolute(&req.cwd, path),
        Choice::File(_) | Choice::Dir(_) => return load(req),
    };
    let (flags, in_force) = (Flags::default(), InForce::default());
    let mut loader = Loader::new(req, &flags, &in_force);
    loader.unit(&path);
    let files = loader.config.files.clone();
    loader.seen.insert(path.clone());
    loader.among = true;
    loader.folder(path.parent().unwrap_or(&path));
    let mut loaded = loader.finish();
    let (own, name) = (source::bytes_of(&path), stem(&path));
    let config = &mut loaded.config;
    config.files = files;
    config.findings.retain(|f| f.file == own || f.program.as_ref() == Some(&name));
    config.programs.retain(|p| p.about.file == own);
    config.groups = groups(Vec::new(), &config.programs);
    Loaded { fatal: false, ..loaded }
}

fn is_unit(path: &Path) -> bool {
    path.extension().is_some_and(|e| e == "service")
}

struct Loader<'a> {
    req: &'a Request<'a>,
    flags: &'a Flags,
    in_force: &'a InForce,
    /// The main file as the user knows it.
    shown: BString,
    config: Config,
    /// All INI files, merged.
    doc: Doc,
    /// Included INI files that cannot be used, one fault a file.
    broken: Vec<Fault>,
    /// Units from unit files, and stand-ins for unreadable files.
    units: Vec<Candidate>,
    /// `X-Webhook=` of unit files.
    webhooks: BTreeMap<String, Option<Url>>,
    /// Files read, so that none is read twice.
    seen: BTreeSet<PathBuf>,
    /// The first unit is what it is about; findings that concern several units are told of it.
    among: bool,
    fatal: bool,
}

impl<'a> Loader<'a> {
    fn new(req: &'a Request<'a>, flags: &'a Flags, in_force: &'a InForce) -> Loader<'a> {
        Loader {
            req,
            flags,
            in_force,
            shown: shown(req, flags),
            config: Config::default(),
            doc: Doc::default(),
            broken: Vec::new(),
            units: Vec::new(),
            webhooks: BTreeMap::new(),
            seen: BTreeSet::new(),
            among: false,
            fatal: false,
        }
    }
}

impl Loader<'_> {
    fn error(&mut self, fault: Fault, program: Option<&str>) {
        self.config.findings.push(fault.finding(Severity::Error, program));
    }

    fn warn(&mut self, fault: Fault, program: Option<&str>) {
        self.config.findings.push(fault.finding(Severity::Warning, program));
    }

    /// An error after which nothing may be started.
    fn fatal(&mut self, fault: Fault) {
        self.fatal = true;
        self.error(fault, None);
    }

    fn read(&mut self, path: &Path) -> Result<(Arc<BString>, String), Fault> {
        let name = Arc::new(source::bytes_of(path));
        self.seen.insert(path.to_path_buf());
        self.config.files.push(name.as_ref().clone());
        source::read_text(path).map(|text| (name.clone(), text)).map_err(|t| {
            let place = Place { file: name, line: t.line, column: t.column };
            Fault { place, message: format!("the file {}", t.message), hint: t.hint }
        })
    }

    /// The INI file that everything hangs on, and what it includes.
    fn main_file(&mut self, path: &Path) {
        let full = source::absolute(&self.req.cwd, path);
        let (file, text) = match self.read(&full) {
            Ok(read) => read,
            Err(mut fault) => {
                if self.req.personality == Personality::Supervisord {
                    let verb = if source::exists(&full) { "read" } else { "find" };
                    fault.message = format!("could not {verb} config file {}", self.shown);
                }
                return self.fatal(fault);
            }
        };
        let (doc, mut faults) = ini::parse::parse(&file, &text);
        self.in_its_words(&self.shown.to_string(), &text, &doc, &mut faults);
        faults.into_iter().for_each(|f| self.fatal(f));
        let included = ini::lower::include_patterns(self.req, &doc);
        self.doc.merge(doc);
        match included {
            Ok(patterns) => patterns.into_iter().for_each(|(place, p)| self.include(&place, &p)),
            Err(fault) => self.fatal(fault),
        }
        if self.doc.is_empty() && self.req.personality == Personality::Superd {
            // Most likely an editor has just emptied it: a reload now must not remove every program.
            let fault = Fault::new(&Place::whole(&file), "the file holds no section");
            self.fatal(fault.hint("a program is a section [program:NAME] with a command="));
        }
        if self.req.personality == Personality::Supervisord && self.doc.section("supervisord").is_none() {
            let text = ".ini file does not include supervisord section";
            self.fatal(Fault::new(&Place::whole(&file), text));
        }
    }

    fn include(&mut self, place: &Place, pattern: &Path) {
        let found = match self.req.personality {
            Personality::Superd => source::glob(pattern),
            Personality::Supervisord => source::python_glob(pattern),
        };
        let paths = match found {
            Ok(paths) => paths,
            Err(why) => {
                return self.fatal(Fault::new(place, format!("bad pattern {}: {why}", pattern.display())));
            }
        };
        if paths.is_empty() {
            let text = format!("No file matches via include \"{}\"", pattern.display());
            self.warn(Fault::new(place, text), None);
        }
        for path in paths {
            if self.seen.contains(&path) {
                continue;
            }
            match self.req.personality {
                Personality::Superd if is_unit(&path) => self.unit(&path),
                Personality::Superd | Personality::Supervisord => self.included_file(&path),
            }
        }
    }

    /// An INI file beside the main one. When it is broken its programs are refused, and nothing else.
    fn included_file(&mut self, path: &Path) {
        let (file, text) = match self.read(path) {
            Ok(read) => read,
            Err(fault) => {
                self.stand_in(path, &fault);
                return self.file_error(fault, Some(path));
            }
        };
        let (doc, mut faults) = ini::parse::parse(&file, &text);
        self.in_its_words(&file.to_string(), &text, &doc, &mut faults);
        if let Some(first) = faults.first() {
            self.broken.push(first.clone());
            let programs = doc.sections.iter().filter(|s| s.name.contains("program:"));
            if programs.count() == 0 {
                self.stand_in(path, first);
            }
        }
        faults.into_iter().for_each(|f| self.file_error(f, Some(path)));
        self.doc.merge(doc);
    }

    /// For the ancestor: all faults of the lines of a file are one, in its words.
    fn in_its_words(&self, shown: &str, text: &str, doc: &Doc, faults: &mut Vec<Fault>) {
        let strict = self.req.personality == Personality::Supervisord;
        if strict && let Some(mut first) = faults.first().cloned() {
            first.message = ini::parse::ancestor_text(shown, text, doc.headless, faults);
            first.hint = None;
            *faults = vec![first];
        }
    }

    fn file_error(&mut self, fault: Fault, path: Option<&Path>) {
        match self.req.personality {
            Personality::Supervisord => self.fatal(fault),
            Personality::Superd => self.error(fault, path.map(stem).as_deref()),
        }
    }

    /// A refused unit that shows people the file that cannot be read.
    fn stand_in(&mut self, path: &Path, fault: &Fault) {
        let mut spec = Spec::new(&stem(path));
        spec.refused = Some(fault.reason());
        let about = About { file: source::bytes_of(path), ..About::default() };
        self.units.push(Candidate::plain(Program { spec: Arc::new(spec), about }));
    }

    /// `superd.conf` first, then the other `*.conf`, then `*.service`, by name.
    fn folder(&mut self, dir: &Path) {
        let dir = source::absolute(&self.req.cwd, dir);
        let place = Place::whole(&Arc::new(source::bytes_of(&dir)));
        let names = match source::names_in(&dir) {
            Ok(names) => names,
            Err(why) => return self.fatal(Fault::new(&place, format!("the folder cannot be read: {why}"))),
        };
        let main = dir.join("superd.conf");
        let of_kind = |end: &[u8]| -> Vec<PathBuf> {
            names.iter().filter(|n| n.ends_with(end)).map(|n| dir.join(source::path_of(n))).collect()
        };
        let (confs, services) = (of_kind(b".conf"), of_kind(b".service"));
        if confs.is_empty() && services.is_empty() {
            let fault = Fault::new(&place, "the folder holds no .service and no .conf file");
            self.warn(fault.hint("`supers add NAME -- COMMAND` makes one"), None);
        }
        if confs.contains(&main) {
            self.main_file(&main);
        }
        for path in confs {
            if !self.seen.contains(&path) {
                self.included_file(&path);
            }
        }
        for path in services {
            if !self.seen.contains(&path) {
                self.unit(&path);
            }
        }
    }

    /// One unit file with its drop-ins. A template alone is no unit.
    fn unit(&mut self, path: &Path) {
        let path = source::absolute(&self.req.cwd, path);
        let name = stem(&path);
        if name.ends_with('@') {
            return;
        }
        let whole = Place::whole(&Arc::new(source::bytes_of(&path)));
        if let Some(why) = source::masked(&path) {
            // Somebody wants it so: shown, and no error.
            let fault = Fault::new(&whole, why);
            self.stand_in(&path, &fault);
            self.config.files.push(source::bytes_of(&path));
            return self.warn(fault, Some(&name));
        }
        if let Some(fault) = name_fault(&whole, &name) {
            self.stand_in(&path, &fault);
            return self.error(fault, Some(&name));
        }
        let mut file = match self.read(&path) {
            Ok((file, text)) => unit::parse::parse(&file, &text),
            Err(fault) => {
                self.stand_in(&path, &fault);
                return self.error(fault, Some(&name));
            }
        };
        let faults = self.drop_ins(&path, &name, &mut file);
        let mut lowered = unit::lower::lower(self.req, &name, &whole, file);
        lowered.errors.extend(faults);
        lowered.spec.refused = lowered.errors.first().map(Fault::reason);
        lowered.errors.into_iter().for_each(|f| self.error(f, Some(&name)));
        lowered.warnings.into_iter().for_each(|f| self.warn(f, Some(&name)));
        match lowered.webhook {
            Some(Ok(url)) => drop(self.webhooks.insert(name, url)),
            Some(Err(fault)) => self.error(fault, Some(&name)),
            None => {}
        }
        if let Some(last) = self.units.last() {
            lowered.spec.share(&last.program.spec);
        }
        self.units.push(Candidate {
            program: Program { spec: Arc::new(lowered.spec), about: lowered.about },
            requires: lowered.requires,
            order: lowered.order,
        });
    }

    /// Adds the lines of `NAME.service.d/*.conf` (and of `PREFIX@.service.d` for an instance), by file
    /// name over both folders; the nearer folder wins for files of one name.
    fn drop_ins(&mut self, path: &Path, name: &str, file: &mut unit::parse::File) -> Vec<Fault> {
        let mut found: BTreeMap<BString, PathBuf> = BTreeMap::new();
        let template = name.split_once('@').map(|(prefix, _)| format!("{prefix}@.service.d"));
        for folder in template.into_iter().chain([format!("{name}.service.d")]) {
            let folder = path.with_file_name(folder);
            for conf in source::names_in(&folder).unwrap_or_default() {
                if conf.ends_with(b".conf") {
                    found.insert(conf.clone(), folder.join(source::path_of(&conf)));
                }
            }
        }
        let mut faults = Vec::new();
        for path in found.into_values() {
            match self.read(&path) {
                Ok((name, text)) => {
                    let extra = unit::parse::parse(&name, &text);
                    file.lines.extend(extra.lines);
                    file.sections.extend(extra.sections);
                    file.warnings.extend(extra.warnings);
                }
                Err(fault) => faults.push(fault),
            }
        }
        faults
    }

    fn finish(mut self) -> Loaded {
        let ini = ini::lower::lower(self.req, &self.doc, &self.broken, self.flags, &self.shown);
        self.config.settings = ini.settings;
        self.config.settings.webhooks.own.append(&mut self.webhooks);
        self.config.findings.extend(ini.findings);
        let mut units: Vec<Candidate> = ini.programs.into_iter().map(Candidate::plain).collect();
        let of_ini = units.len();
        units.append(&mut self.units);
        if self.among {
            units.rotate_left(of_ini);
        }
        self.config.findings.extend(check::check(&mut units, self.req.personality, self.in_force));
        // Stable: inside a group the order stays (supervisor-contract 7).
        units.sort_by(|a, b| {
            let key = |c: &Candidate| (c.program.spec.group_priority, c.program.spec.group.clone());
            key(a).cmp(&key(b))
        });
        self.config.programs = units.into_iter().map(|c| c.program).collect();
        if matches!(self.req.choice, Choice::Dir(_)) && self.req.personality == Personality::Superd {
            self.config.merged = self.doc.merged();
        }
        self.config.groups = groups(ini.groups, &self.config.programs);
        let findings = &mut self.config.findings;
        if self.req.personality == Personality::Superd {
            findings.sort_by(|a, b| (&a.file, a.line, a.column).cmp(&(&b.file, b.line, b.column)));
        }
        findings.dedup();
        Loaded { config: self.config, fatal: self.fatal || ini.fatal }
    }
}

/// Every group once, in the order of the first start. Those that a file names come with their priority;
/// each other unit brings its own.
fn groups(mut named: Vec<(String, i32)>, programs: &[Program]) -> Vec<(String, i32)> {
    named.extend(programs.iter().map(|p| (p.spec.group.clone(), p.spec.group_priority)));
    let mut seen = BTreeSet::new();
    named.retain(|(name, _)| seen.insert(name.clone()));
    named.sort_by(|a, b| (a.1, &a.0).cmp(&(b.1, &b.0)));
    named
}

/// The name of the main file for the ancestor's messages.
fn shown(req: &Request<'_>, flags: &Flags) -> BString {
    let (Choice::File(path) | Choice::Dir(path)) = &req.choice;
    flags.file.clone().unwrap_or_else(|| source::bytes_of(path))
}

/// The name of a file without its ending.
fn stem(path: &Path) -> String {
    path.file_stem().map(|s| s.to_string_lossy().into_owned()).unwrap_or_default()
}

fn name_fault(place: &Place, name: &str) -> Option<Fault> {
    let why = valid_name(name).err()?;
    Some(Fault::new(place, why).hint("rename the file"))
}
