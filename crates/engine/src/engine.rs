//! The turn: facts and requests in, decisions made, deeds done, a snapshot out, tickets answered.

use crate::bus::Bus;
use crate::clock;
use crate::family::{Family, Tidings};
use crate::groups::{Groups, LastParse, Parsed};
use crate::handle::{Handle, Identity, Notices};
use crate::journal::Journal;
use crate::logs::mainlog::{Level, MainLog};
use crate::logs::{LogFact, Logs, Streams};
use crate::orders::{After, Ask};
use crate::publish::{Board, Extra, publish};
use crate::shared::SharedSockets;
use crate::sources::{Fresh, Load, Sources};
use crate::spawner::{self, Done, FileLimits, Spawner};
use crate::tickets::Tickets;
use crate::waiting::Waiting;
use bstr::BString;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use supers_config::{Loaded, Settings};
use supers_core::event::Happening;
use supers_core::exit::Exit;
use supers_core::fleet::{Deed, Fleet};
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::proc::Exe;
use supers_core::signal::Signal;
use supers_core::spec::Spec;
use supers_core::time::{Mono, Now};
use supers_os::reap;
use tokio::sync::{mpsc, watch};

/// Requests that may wait; a door that brings more waits itself.
const ASKS: usize = 1024;
/// Facts taken in one turn before the snapshot is published.
const BATCH: usize = 256;
/// What an earlier daemon left has this long to end, before and after KILL.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(5);

/// Everything the engine is given.
pub struct Setup {
    /// How processes are born and buried.
    pub family: Family,
    /// Output.
    pub logs: (Logs, mpsc::Receiver<LogFact>),
    /// The daemon's own log.
    pub main_log: MainLog,
    /// What children may inherit.
    pub env: crate::environ::Daemon,
    /// The configuration as read at the start.
    pub initial: Loaded,
    /// Reads it again.
    pub load: Load,
    /// Where `add` writes units.
    pub unit_dir: Option<PathBuf>,
    /// What SIGHUP means.
    pub hup: Hup,
    /// Hears the daemon's own settings after each reload.
    pub settings: watch::Sender<Arc<Settings>>,
    /// At shutdown, one group after another.
    pub sequential_stop: bool,
    /// The daemon's own oom_score_adj is not 0.
    pub reset_oom: bool,
    /// Limits on open files.
    pub files: FileLimits,
    /// For `status` and `version`.
    pub identity: Identity,
    /// For `status`.
    pub notices: Notices,
}

/// What SIGHUP means.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Hup {
    /// Read the configuration again and apply what changed.
    #[default]
    Reload,
    /// Stop everything and begin anew (supervisor-contract 1).
    Restart,
}

/// How the engine's work ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// The shutdown is complete.
    ForGood,
    /// All is down so that a fresh daemon can begin anew.
    Again,
    /// Nothing was started, for this reason.
    Refused(String),
}

/// One life in progress.
pub(crate) struct Run {
    pub unit: UnitId,
    /// What it was started as; a removed unit has no other.
    pub spec: Arc<Spec>,
    #[allow(dead_code)] // the later history of causes names it
    pub exe: Exe,
    pub pid: Pid,
    pub pidfd: OwnedFd,
    pub streams: Arc<Streams>,
    /// Set when the end is known and its output is still being stored.
    pub exit: Option<Exit>,
}

/// The one owner of all units.
pub struct Engine {
    pub(crate) fleet: Fleet,
    pub(crate) now: Now,
    pub(crate) deeds: Vec<Deed>,
    /// Units to look at when tickets are judged, besides those the fleet calls changed.
    pub(crate) touched: BTreeSet<UnitId>,
    pub(crate) runs: HashMap<RunId, Run>,
    /// Spawns under way.
    pub(crate) spawning: HashSet<RunId>,
    /// Starts that failed when the child had told the keeper of itself, and whose end is not told yet.
    pub(crate) failed: HashSet<RunId>,
    /// Starts that failed in the child and count as a run: it is over as soon as the keeper tells the pid.
    pub(crate) unexecuted: HashMap<RunId, UnitId>,
    /// Output of runs whose spawn is not reported yet: its events need the pid.
    pub(crate) unattributed: HashMap<RunId, Vec<LogFact>>,
    /// Stops and signals for units whose spawn is not reported yet: Supervisor has no such state.
    pub(crate) postponed: Vec<Ask>,
    /// Runs of this daemon come after it.
    first_run: RunId,
    /// Ends that came in before the news of the spawn.
    pub(crate) early: HashMap<RunId, (Pid, Exit)>,
    pub(crate) family: Family,
    pub(crate) spawner: Spawner,
    pub(crate) logs: Logs,
    pub(crate) journal: Journal,
    pub(crate) bus: Bus,
    pub(crate) tickets: Tickets,
    pub(crate) sources: Sources,
    pub(crate) all_down: bool,
    /// When all is down, a fresh daemon is to take over.
    pub(crate) again: bool,
    pub(crate) parsed: LastParse,
    pub(crate) groups: Groups,
    /// Paths of each unit's log files, for the snapshot.
    pub(crate) log_paths: HashMap<UnitId, Arc<[BString; 2]>>,
    pub(crate) sockets: SharedSockets,
    pub(crate) settings: watch::Sender<Arc<Settings>>,
    hup: Hup,
    board: Board,
    pub(crate) notices: Notices,
    sequential_stop: bool,
    pub(crate) waiting: Waiting,
    inputs: Inputs,
}

struct Inputs {
    asks: mpsc::Receiver<Ask>,
    done: mpsc::Receiver<Done>,
    log_facts: mpsc::Receiver<LogFact>,
    fresh: mpsc::Receiver<Fresh>,
}

/// One thing that came in.
enum Input {
    Tidings,
    Done(Done),
    Log(LogFact),
    Ask(Ask),
    Fresh(Box<Fresh>),
    Room,
    Time,
}

impl Engine {
    /// Sets everything up; nothing is started yet.
    pub fn new(setup: Setup) -> io::Result<(Engine, Handle)> {
        let (logs, log_facts) = setup.logs;
        let spawn_setup = spawner::Setup {
            logs: logs.clone(),
            daemon: setup.env.clone(),
            method: setup.family.method(),
            report: setup.family.report_fd(),
            reset_oom: setup.reset_oom,
            files: setup.files,
        };
        let (spawner, done) = Spawner::start(spawn_setup)?;
        let (sources, fresh) = Sources::new(setup.load, setup.unit_dir);
        let (asks_tx, asks) = mpsc::channel(ASKS);
        let board = Board::default();
        let parsed = LastParse::new(Parsed::of(&setup.initial));
        let bus = Bus::new(&setup.identity.identifier)?;
        let handle = Handle {
            asks: asks_tx,
            board: board.clone(),
            logs: logs.clone(),
            main: setup.main_log.clone(),
            identity: Arc::new(setup.identity),
            notices: setup.notices.clone(),
            parsed: parsed.clone(),
            child_env: Arc::new(setup.env),
        };
        // Runs of an earlier daemon under the same keeper have lower numbers.
        let first_run = RunId(u64::from(setup.family.starts()) << 40);
        let mut engine = Engine {
            fleet: Fleet::new(first_run),
            now: clock::now(),
            deeds: Vec::new(),
            touched: BTreeSet::new(),
            runs: HashMap::new(),
            spawning: HashSet::new(),
            failed: HashSet::new(),
            unexecuted: HashMap::new(),
            unattributed: HashMap::new(),
            postponed: Vec::new(),
            first_run,
            early: HashMap::new(),
            family: setup.family,
            spawner,
            logs,
            journal: Journal::new(setup.main_log),
            bus,
            tickets: Tickets::default(),
            sources,
            all_down: false,
            again: false,
            parsed,
            groups: Groups::default(),
            log_paths: HashMap::new(),
            sockets: SharedSockets::default(),
            settings: setup.settings,
            hup: setup.hup,
            board,
            notices: setup.notices,
            sequential_stop: setup.sequential_stop,
            waiting: Waiting::default(),
            inputs: Inputs { asks, done, log_facts, fresh },
        };
        engine.family.join_runtime()?;
        let units = engine.parsed.read();
        let added = units.wanted.iter().cloned();
        let ids: Vec<UnitId> =
            added.filter_map(|(spec, origin)| engine.fleet.add(spec, origin, engine.now)).collect();
        engine.fleet.link();
        engine.groups_as_parsed();
        engine.prepare(&ids);
        engine.publish();
        Ok((engine, handle))
    }

    /// Starts what is to be started, says `ready`, and goes on until the shutdown is complete.
    pub async fn run(mut self, ready: impl FnOnce()) -> Ended {
        self.now = clock::now();
        self.end_leftovers().await;
        self.now = clock::now();
        if let Err(text) = self.bind_sockets() {
            return Ended::Refused(text);
        }
        if !self.fleet.is_stopping() {
            self.happen(Happening::Running);
            self.fleet.boot(self.now, &mut self.deeds);
        }
        self.perform();
        self.end_turn();
        ready();
        while !self.all_down {
            let input = self.next().await;
            self.now = clock::now();
            self.take(input);
            self.take_more();
            self.end_turn();
        }
        self.journal.info(self.now, "all processes have ended");
        self.journal.flush();
        self.logs.shutdown();
        if self.again { Ended::Again } else { Ended::ForGood }
    }

    /// Waits for something to happen. Nothing here wakes while nothing is due.
    async fn next(&mut self) -> Input {
        let deadline = self.deadline();
        let Inputs { asks, done, log_facts, fresh } = &mut self.inputs;
        tokio::select! {
            biased;
            () = self.family.readable() => Input::Tidings,
            Some(d) = done.recv() => Input::Done(d),
            Some(f) = log_facts.recv() => Input::Log(f),
            Some(a) = asks.recv() => Input::Ask(a),
            Some(f) = fresh.recv() => Input::Fresh(Box::new(f)),
            () = self.bus.writable() => Input::Room,
            () = until(deadline) => Input::Time,
        }
    }

    fn deadline(&self) -> Option<Mono> {
        let own =
            [self.fleet.deadline(), self.tickets.deadline(), self.waiting.deadline(), self.bus.deadline()];
        own.into_iter().flatten().min()
    }

    /// More of what is there already, up to a bound, so that a storm is one turn and not a thousand.
    fn take_more(&mut self) {
        for _ in 0..BATCH {
            let inputs = &mut self.inputs;
            let input = if let Ok(d) = inputs.done.try_recv() {
                Input::Done(d)
            } else if let Ok(f) = inputs.log_facts.try_recv() {
                Input::Log(f)
            } else if let Ok(a) = inputs.asks.try_recv() {
                Input::Ask(a)
            } else {
                return;
            };
            self.take(input);
        }
    }

    fn take(&mut self, input: Input) {
        match input {
            Input::Tidings => self.tidings(),
            Input::Done(d) => self.spawn_done(d),
            Input::Log(fact) => self.log_fact(fact),
            Input::Ask(ask) => self.asked(ask),
            Input::Fresh(fresh) => self.read_done(*fresh),
            Input::Room => self.bus.flush(),
            Input::Time => {}
        }
        self.perform();
    }

    /// After a crash of the daemon before: what it left is ended, politely at first, so that no unit
    /// runs twice. (Taking the processes over instead is a later step.)
    async fn end_leftovers(&mut self) {
        let mut living = match self.family.leftovers().await {
            Ok(living) => living,
            Err(e) => {
                self.journal
                    .warn(self.now, format!("the keeper does not answer: {}", supers_os::error_text(&e)));
                return;
            }
        };
        if living.is_empty() {
            return;
        }
        let text = format!("superd was restarted by its keeper: ending {} processes of before", living.len());
        self.journal.warn(self.now, &text);
        for (signal, patience) in [(Signal::TERM, LEFTOVER_PATIENCE), (Signal::KILL, LEFTOVER_PATIENCE)] {
            for (_, pid) in &living {
                let _ = reap::kill_group(*pid, signal);
            }
            let give_up = clock::now().mono + patience;
            while !living.is_empty() && clock::now().mono < give_up {
                tokio::select! {
                    () = self.family.readable() => {}
                    () = until(Some(give_up)) => {}
                }
                for t in self.family.take() {
                    match t {
                        Tidings::Ended { run, pid, .. } => {
                            living.retain(|(r, _)| *r != run);
                            self.let_go(run, pid);
                        }
                        Tidings::Signal(signal) => self.signalled(signal),
                        Tidings::Stranger { .. } => {}
                        Tidings::KeeperGone => return,
                    }
                }
            }
        }
    }

    /// Deadlines, the snapshot, then the answers: who is answered finds the state published.
    fn end_turn(&mut self) {
        self.bus.pass(self.now);
        self.fleet.tick(self.now, &mut self.deeds);
        self.perform();
        self.say_who_is_waited_for();
        for (level, line) in self.bus.take_lines() {
            self.journal.say(level, self.now, line);
        }
        let mut changed = self.publish();
        changed.append(&mut self.touched);
        self.journal.flush();
        self.tickets.resolve(&self.fleet, &changed, self.now.mono);
        self.tickets.expire(&self.fleet, self.now.mono);
    }

    fn publish(&mut self) -> BTreeSet<UnitId> {
        let extra = Extra { groups: self.groups.shown(), logs: &self.log_paths };
        publish(&self.board, &mut self.fleet, &extra)
    }

    fn tidings(&mut self) {
        for t in self.family.take() {
            match t {
                Tidings::Ended { run, exit, .. } if self.runs.contains_key(&run) => self.exited(run, exit),
                Tidings::Ended { run, pid, exit } if self.spawning.contains(&run) => {
                    self.early.insert(run, (pid, exit));
                }
                Tidings::Ended { run, pid, .. } if self.unexecuted.contains_key(&run) => {
                    if let Some(unit) = self.unexecuted.remove(&run) {
                        self.died_unexecuted(unit, run, pid);
                    }
                    self.let_go(run, pid);
                }
                // Of an earlier daemon, or of a start that failed: nobody waits for it.
                Tidings::Ended { run, pid, .. } if run < self.first_run || self.failed.remove(&run) => {
                    self.let_go(run, pid);
                }
                // The keeper tells what the pidfd told before.
                Tidings::Ended { .. } => {}
                Tidings::Signal(signal) => self.signalled(signal),
                Tidings::Stranger { pid, exit } => {
                    self.journal.info(self.now, format!("reaped unknown pid {} ({exit})", pid.0));
                }
                Tidings::KeeperGone => {
                    self.journal.say(
                        Level::Critical,
                        self.now,
                        "the keeper is gone: stopping everything in order",
                    );
                    for (run, unit) in std::mem::take(&mut self.unexecuted) {
                        self.died_unexecuted(unit, run, Pid(0));
                    }
                    self.shut_down();
                }
            }
        }
    }

    fn signalled(&mut self, signal: Signal) {
        match signal {
            Signal::TERM | Signal::INT | Signal::QUIT => {
                self.journal.warn(self.now, format!("received {signal} indicating exit request"));
                self.shut_down();
            }
            Signal::HUP if self.fleet.is_stopping() => {
                self.journal
                    .warn(self.now, "ignored SIGHUP indicating restart request (shutdown in progress)");
            }
            Signal::HUP if self.hup == Hup::Restart => {
                self.journal.warn(self.now, "received SIGHUP indicating restart request");
                self.again = true;
                self.shut_down();
            }
            Signal::HUP => {
                self.journal.warn(self.now, "received SIGHUP indicating reload request");
                self.sources.read_for(After::Reload { dry_run: false, reply: None });
            }
            Signal::USR2 => {
                self.journal.info(self.now, "received SIGUSR2 indicating log reopen request");
                self.journal.info(self.now, "supervisord logreopen");
                self.journal.flush();
                self.journal.reopen();
                self.logs.reopen_all();
            }
            other => self.journal.info(self.now, format!("received {other}, which means nothing here")),
        }
    }

    /// Binds the sockets that children share. At the start a failure is final (supervisor-contract 4); later it
    /// is one of the unit.
    fn bind_sockets(&mut self) -> Result<(), String> {
        let specs: Vec<Arc<Spec>> = self.fleet.iter().map(|(_, slot)| slot.spec.clone()).collect();
        specs.iter().try_for_each(|spec| self.sockets.of(spec).map(drop))
    }

    pub(crate) fn shut_down(&mut self) {
        if !self.fleet.is_stopping() {
            self.waiting.shut_down(self.now);
            self.happen(Happening::Stopping);
            self.fleet.shutdown(self.sequential_stop, self.now, &mut self.deeds);
        }
    }

    fn say_who_is_waited_for(&mut self) {
        let due = self.waiting.due(self.now);
        for name in due.each {
            self.journal.info(self.now, format!("waiting for {name} to stop"));
        }
        let alive = if due.all { self.still_alive() } else { Vec::new() };
        if !alive.is_empty() {
            self.journal.info(self.now, format!("waiting for {} to die", alive.join(", ")));
        }
    }
}

/// Sleeps until `at`, or for ever.
async fn until(at: Option<Mono>) {
    match at {
        Some(at) => tokio::time::sleep_until(clock::instant(at)).await,
        None => std::future::pending().await,
    }
}
