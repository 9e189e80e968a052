//! One scenario under one pairing: the steps one after another, and the transcript.

use super::differences::Entry;
use super::http::{Door, Line};
use super::process::{Running, pause, sweep};
use super::root::{Pairing, Root, Tools};
use super::scenario::{Scenario, Step};
use super::{normal, process};
use crate::Deadline;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::{Arc, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// A line of a transcript that begins so says that the scenario itself failed.
pub(crate) const BROKEN: &str = "!! ";

/// The text that the daemon logs when it is ready.
const READY: &str = "supervisord started with pid";

/// A stream that a step opened: what came so far, and the way to end it.
pub(crate) struct Stream {
    pub(crate) line: Line,
    pub(crate) taken: Arc<Mutex<Vec<u8>>>,
}

/// All that lives while a scenario is played.
pub(crate) struct Player {
    pub(crate) root: Root,
    pub(crate) listen: Option<String>,
    pub(crate) patience: Duration,
    pub(crate) env: Vec<(String, String)>,
    pub(crate) wrap: Vec<String>,
    pub(crate) daemon: Option<Running>,
    /// Of one that went into the background.
    pub(crate) background: Option<i32>,
    pub(crate) door: Door,
    pub(crate) auth: Option<String>,
    pub(crate) calls: BTreeMap<String, JoinHandle<String>>,
    pub(crate) streams: BTreeMap<String, Stream>,
    /// How many events were shown already, in all and by program.
    pub(crate) shown: BTreeMap<String, usize>,
    pub(crate) inodes: BTreeMap<String, u64>,
    started: usize,
}

/// Plays it; the transcript. Nothing is left running.
pub(crate) fn play(scenario: &Scenario, tools: &Tools, pairing: Pairing) -> Vec<Entry> {
    let broken = |text: String| {
        vec![Entry { step: "(before the first step)".into(), out: format!("{BROKEN}{text}\n") }]
    };
    let root = match Root::new(tools, pairing) {
        Ok(root) => root,
        Err(e) => return broken(e),
    };
    let mut player = Player::new(root, scenario);
    let mut transcript = Vec::new();
    for step in &scenario.steps {
        let (out, go_on) = match player.step(step) {
            Ok(out) => (out, true),
            Err(e) => (format!("{BROKEN}{e}\n"), false),
        };
        let out = normal::text(&out, &player.root.places());
        transcript.push(Entry { step: step.line.clone(), out });
        if !go_on {
            break;
        }
    }
    transcript
}

impl Drop for Player {
    fn drop(&mut self) {
        for stream in self.streams.values() {
            stream.line.hang_up();
        }
        if let Some(daemon) = &mut self.daemon {
            daemon.kill();
        }
        sweep(self.root.path());
    }
}

impl Player {
    fn new(root: Root, scenario: &Scenario) -> Player {
        Player {
            env: root.env(),
            door: Door::Unix(root.path().join("s.sock")),
            root,
            listen: scenario.listen.clone(),
            patience: Duration::from_secs(scenario.patience),
            wrap: Vec::new(),
            daemon: None,
            background: None,
            auth: None,
            calls: BTreeMap::new(),
            streams: BTreeMap::new(),
            shown: BTreeMap::new(),
            inodes: BTreeMap::new(),
            started: 0,
        }
    }

    fn step(&mut self, step: &Step) -> Result<String, String> {
        let line = self.root.fill(&step.line);
        let block = self.root.fill(&step.block);
        let (verb, rest) = line.split_once(' ').unwrap_or((&line, ""));
        self.act(verb, rest.trim(), &block)
    }

    pub(crate) fn path(&self, below: &str) -> PathBuf {
        // An absolute one stays as it is.
        self.root.path().join(below)
    }

    pub(crate) fn deadline(&self) -> Deadline {
        Deadline::after(self.patience)
    }

    /// Looks until there is something, or the patience of this step is over.
    pub(crate) fn until<T>(
        &mut self,
        what: &str,
        mut look: impl FnMut(&mut Player) -> Result<Option<T>, String>,
    ) -> Result<T, String> {
        let deadline = self.deadline();
        for looks in 0.. {
            if let Some(found) = look(self)? {
                return Ok(found);
            }
            if deadline.passed() {
                break;
            }
            pause(looks);
        }
        Err(format!("never came: {what}"))
    }

    /// A program of the scenario, by its name or path.
    pub(crate) fn command(&self, program: &str, args: &[String]) -> Command {
        let linked = self.root.path().join("bin").join(program);
        let program = if linked.exists() { linked } else { PathBuf::from(program) };
        let mut words: Vec<std::ffi::OsString> = self.wrap.iter().map(Into::into).collect();
        words.push(program.into());
        words.extend(args.iter().map(Into::into));
        let mut command = Command::new(&words[0]);
        command.args(&words[1..]).env_clear().envs(self.env.iter().cloned()).current_dir(self.root.path());
        command
    }

    pub(crate) fn launch(&mut self, program: &str, args: &[String], stdin: Stdio) -> Result<Running, String> {
        self.started += 1;
        let base = self.root.path().join("out").join(self.started.to_string());
        Running::start(self.command(program, args), &base, stdin)
    }

    /// Runs a program to its end; its output and exit code.
    pub(crate) fn run(&mut self, program: &str, args: &[String], stdin: &str) -> Result<String, String> {
        let input = match stdin {
            "" => Stdio::null(),
            text => {
                let path = self.path("out/stdin");
                fs::write(&path, text).map_err(|e| e.to_string())?;
                fs::File::open(&path).map_err(|e| e.to_string())?.into()
            }
        };
        let mut running = self.launch(program, args, input)?;
        let code = running.wait(self.deadline())?;
        Ok(format!("{}  exit {code}\n", running.report()))
    }

    /// Starts the daemon in the foreground and waits until it is ready.
    pub(crate) fn start(&mut self, args: &[String]) -> Result<String, String> {
        let config = self.path("supervisord.conf").display().to_string();
        let mut all = vec!["-n".to_string(), "-c".into(), config];
        all.extend_from_slice(args);
        self.daemon = Some(self.launch("supervisord", &all, Stdio::null())?);
        self.until("the daemon is ready", |p| {
            let log = process::read(&p.path("supervisord.log"));
            let Some(daemon) = &mut p.daemon else { return Ok(None) };
            // A recorder that is not ready yet would change the order of what it hears.
            let listens = p.listen.is_none() || log.contains("success: recorder entered RUNNING");
            if listens && (log.contains(READY) || daemon.stdout().contains(READY)) {
                return Ok(Some(()));
            }
            match daemon.ended() {
                Some(code) => Err(format!("the daemon ended with {code}\n{}", daemon.report())),
                None => Ok(None),
            }
        })?;
        Ok(String::new())
    }

    /// The pid of the daemon of this scenario.
    pub(crate) fn daemon_pid(&self) -> Result<i32, String> {
        let own = self.daemon.as_ref().map(Running::pid);
        self.background.or(own).ok_or_else(|| "no daemon was started".into())
    }
}
