//! The turn: facts and requests in, decisions made, deeds done, a snapshot out, tickets answered.

use crate::adopt::Legacy;
use crate::bus::Bus;
use crate::clock;
use crate::contain::{Contain, Swept};
use crate::failpoint::hit;
use crate::family::Family;
use crate::groups::{Groups, LastParse, Parsed};
use crate::handle::{Handle, Identity, Notices};
use crate::held::Holder;
use crate::held::Inheritance;
use crate::history::{History, Limits};
use crate::journal::Journal;
use crate::leave::{Leave, Upgrade};
use crate::logs::mainlog::MainLog;
use crate::logs::{LogFact, Logs, Streams};
use crate::orders::Ask;
use crate::publish::{Board, Extra, publish};
use crate::shared::SharedSockets;
use crate::sources::{Fresh, Load, Sources};
use crate::spawner::{self, Done, FileLimits, Request, Spawner};
use crate::standby::Standby;
use crate::store::{Estate, Store};
use crate::tickets::Tickets;
use crate::waiting::Waiting;
use crate::webhook::{Sender, Webhooks};
use crate::wishes::Wishes;
use bstr::BString;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::io;
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;
use supers_config::{Loaded, Settings};
use supers_core::control::Refusal;
use supers_core::event::Happening;
use supers_core::exit::Exit;
use supers_core::fleet::Fleet;
use supers_core::history::Deed;
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::proc::Exe;
use supers_core::signal::Signal;
use supers_core::spec::Spec;
use supers_core::time::{Mono, Now};
use tokio::sync::{Notify, mpsc, watch};

/// Requests that may wait; a door that brings more waits itself.
const ASKS: usize = 1024;
/// Facts taken in one turn before the snapshot is published.
const BATCH: usize = 256;

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
    /// What the operator wished before.
    pub wishes: Wishes,
    /// How units are kept together, and news of sweeps.
    pub contain: (Contain, mpsc::Receiver<Swept>),
    /// Notifications, and who sends them.
    pub webhooks: (Webhooks, Sender),
    /// Where state is written down.
    pub store: Store,
    /// The runtime folder.
    pub runtime: PathBuf,
    /// What a daemon before this one left.
    pub estate: Option<Box<Estate>>,
    /// What its keeper holds.
    pub inheritance: Inheritance,
    /// The configuration as read at the start; with an estate, as that has it.
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
    /// The history lies here.
    pub state_dir: PathBuf,
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
#[derive(Debug)]
pub enum Ended {
    /// The shutdown is complete.
    ForGood,
    /// All is down so that a fresh daemon can begin anew.
    Again,
    /// Nothing was started, for this reason.
    Refused(String),
    /// It cannot go on with what the daemon before left, for this reason. What runs goes on, and the next daemon tries.
    Broken(String),
    /// The keeper is gone: this process is to take its place, with these descriptors by key. Everything is
    /// written down and runs on.
    Orphaned(Vec<(u64, OwnedFd)>),
    /// Another program is to be the next daemon. Everything is written down and runs on.
    Upgrade(Upgrade),
}

/// One life in progress.
pub(crate) struct Run {
    pub unit: UnitId,
    /// What it was started as; a removed unit has no other.
    pub spec: Arc<Spec>,
    pub exe: Exe,
    pub pid: Pid,
    /// What tells it from a later process with that number.
    pub identity: u64,
    /// It is neither ours nor the keeper's child.
    pub foreign: bool,
    pub pidfd: OwnedFd,
    /// `None` until an adopted one's output is taken over.
    pub streams: Option<Arc<Streams>>,
    /// What it left is ended.
    pub swept: bool,
    /// Set when the end is known and its output is still being stored.
    pub exit: Option<Exit>,
}

/// The one owner of all units.
pub struct Engine {
    pub(crate) fleet: Fleet,
    pub(crate) now: Now,
    pub(crate) deeds: Vec<supers_core::fleet::Deed>,
    /// Units to look at when tickets are judged, besides those the fleet calls changed.
    pub(crate) touched: BTreeSet<UnitId>,
    pub(crate) runs: HashMap<RunId, Run>,
    /// Those that ended in this turn: what they had is closed when somebody waits for that no more.
    pub(crate) gone: Vec<Run>,
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
    pub(crate) first_run: RunId,
    /// Starts to be asked for as soon as they are written down.
    pub(crate) to_spawn: Vec<Request>,
    /// Ended processes that may be forgotten as soon as that is written down: run, process, whether it is foreign.
    pub(crate) to_settle: Vec<(RunId, Pid, bool)>,
    /// Signals that are sent when it is written down why: a stop must not look like an end by itself.
    pub(crate) to_signal: Vec<(UnitId, RunId, Signal, bool)>,
    pub(crate) store: Store,
    pub(crate) wishes: Wishes,
    pub(crate) contain: Contain,
    pub(crate) webhooks: Webhooks,
    pub(crate) sender: Sender,
    /// The run whose end is being told.
    pub(crate) ending: Option<RunId>,
    pub(crate) runtime: PathBuf,
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
    pub(crate) hup: Hup,
    board: Board,
    pub(crate) notices: Notices,
    sequential_stop: bool,
    pub(crate) waiting: Waiting,
    pub(crate) history: History,
    /// Children that ended before they told the keeper of themselves, while starts are under way.
    pub(crate) stillborn: HashMap<Pid, Exit>,
    /// Requests that the spawn thread has.
    pub(crate) requested: usize,
    /// It is about to leave everything to another daemon; at the latest by then.
    pub(crate) leave: Option<Leave>,
    pub(crate) leave_by: Option<Mono>,
    /// An upgrade that was asked for.
    pub(crate) standby: Option<Standby>,
    /// Upgrades that were asked for.
    pub(crate) upgrades: u64,
    /// Tells the doors; they have handed everything over.
    pub(crate) leaving: Arc<Notify>,
    /// See [`Handle::settled`].
    pub(crate) unsettled: Arc<AtomicBool>,
    pub(crate) settled: Arc<Notify>,
    pub(crate) doors_quiet: bool,
    /// It goes on with what another daemon left.
    pub(crate) adopted: bool,
    /// What of that is not taken over yet.
    pub(crate) legacy: Option<Box<Legacy>>,
    /// Of that: runs that began unheard of; runs that never began; runs that ended unheard of.
    pub(crate) born: Vec<(UnitId, RunId, Pid)>,
    pub(crate) unborn: Vec<(UnitId, RunId, Exe)>,
    pub(crate) lost: Vec<(UnitId, RunId, Pid, Exit)>,
    /// Units whose output is being taken over.
    pub(crate) adopting: usize,
    /// The way to what the keeper holds.
    pub(crate) holder: Holder,
    /// What another daemon left and nobody knows: to be ended before anything is started.
    pub(crate) leftovers: Vec<(RunId, Pid)>,
    /// Why nothing can be taken over now.
    pub(crate) broken: Option<String>,
    inputs: Inputs,
}

struct Inputs {
    asks: mpsc::Receiver<Ask>,
    done: mpsc::Receiver<Done>,
    log_facts: mpsc::Receiver<LogFact>,
    fresh: mpsc::Receiver<Fresh>,
    swept: mpsc::Receiver<Swept>,
}

/// One thing that came in.
enum Input {
    Tidings,
    Done(Done),
    Log(LogFact),
    Ask(Ask),
    Fresh(Box<Fresh>),
    Swept(Swept),
    Room,
    Time,
}

impl Engine {
    /// Sets everything up; nothing is started yet.
    pub fn new(setup: Setup) -> io::Result<(Engine, Handle)> {
        let (logs, log_facts) = setup.logs;
        let (contain, swept) = setup.contain;
        let holder = setup.family.holder();
        let spawn_setup = spawner::Setup {
            logs: logs.clone(),
            daemon: setup.env.clone(),
            method: setup.family.method(),
            births: setup.store.births(),
            report: setup.family.report_fd(),
            holder: holder.clone(),
            gifts: setup.family.takes_gifts(),
            contain: contain.clone(),
            reset_oom: setup.reset_oom,
            files: setup.files,
        };
        let (spawner, done) = Spawner::start(spawn_setup)?;
        let (sources, fresh) = Sources::new(setup.load, setup.unit_dir);
        let (asks_tx, asks) = mpsc::channel(ASKS);
        let board = Board::default();
        let parsed = LastParse::new(Parsed::of(&setup.initial, &Parsed::default()));
        let mut bus = Bus::new(&setup.identity.identifier)?;
        bus.keep_records();
        let (history, told) = History::open(&setup.state_dir, Limits::default());
        told.into_iter().for_each(|text| setup.notices.add(text));
        let handle = Handle {
            asks: asks_tx,
            board: board.clone(),
            logs: logs.clone(),
            main: setup.main_log.clone(),
            identity: Arc::new(setup.identity),
            notices: setup.notices.clone(),
            parsed: parsed.clone(),
            child_env: Arc::new(setup.env),
            runtime: setup.runtime.as_path().into(),
            history: history.reader(),
            containment: contain.word(),
            leaving: Arc::default(),
            unsettled: Arc::default(),
            settled: Arc::default(),
        };
        // Runs of an earlier daemon have lower numbers.
        let left = setup.inheritance.living.keys().max().map_or(0, |run| run.0);
        let left = setup.estate.as_ref().map_or(left, |e| left.max(e.daemon.fleet.last_run));
        let first_run = RunId(left.max(u64::from(setup.family.starts()) << 40));
        let mut engine = Engine {
            fleet: Fleet::new(first_run),
            now: clock::now(),
            deeds: Vec::new(),
            touched: BTreeSet::new(),
            runs: HashMap::new(),
            gone: Vec::new(),
            spawning: HashSet::new(),
            failed: HashSet::new(),
            unexecuted: HashMap::new(),
            unattributed: HashMap::new(),
            postponed: Vec::new(),
            first_run,
            to_spawn: Vec::new(),
            to_settle: Vec::new(),
            to_signal: Vec::new(),
            store: setup.store,
            wishes: setup.wishes,
            contain,
            webhooks: setup.webhooks.0,
            sender: setup.webhooks.1,
            ending: None,
            runtime: setup.runtime,
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
            sockets: SharedSockets::new(holder.clone()),
            settings: setup.settings,
            hup: setup.hup,
            board,
            notices: setup.notices,
            sequential_stop: setup.sequential_stop,
            waiting: Waiting::default(),
            history,
            stillborn: HashMap::new(),
            requested: 0,
            leave: None,
            leave_by: None,
            standby: None,
            upgrades: 0,
            leaving: handle.leaving.clone(),
            unsettled: handle.unsettled.clone(),
            settled: handle.settled.clone(),
            doors_quiet: false,
            adopted: false,
            legacy: None,
            born: Vec::new(),
            unborn: Vec::new(),
            lost: Vec::new(),
            adopting: 0,
            holder,
            leftovers: Vec::new(),
            broken: None,
            inputs: Inputs { asks, done, log_facts, fresh, swept },
        };
        engine.family.join_runtime()?;
        match setup.estate {
            Some(estate) => engine.restore(*estate, setup.inheritance),
            None => {
                let mut left = setup.inheritance;
                engine.begin(&setup.initial);
                if engine.has_all(&mut left) {
                    engine.recognise(&mut left);
                    engine.end_leftovers(left);
                }
            }
        }
        engine.publish();
        Ok((engine, handle))
    }

    /// A first start: everything is as the configuration says, and down.
    fn begin(&mut self, initial: &Loaded) {
        self.keep_parsed(initial);
        let units = self.parsed.read();
        let added = units.wanted.iter().cloned();
        let ids: Vec<UnitId> =
            added.filter_map(|(spec, origin)| self.fleet.add(spec, origin, self.now)).collect();
        self.fleet.link();
        self.groups_as_parsed();
        self.prepare(&ids);
        ids.into_iter().for_each(|id| self.store.touch(id));
    }

    /// Starts what is to be started, says `ready`, and goes on until the shutdown is complete.
    pub async fn run(mut self, ready: impl FnOnce()) -> Ended {
        self.now = clock::now();
        self.family.be_missed_early();
        if let Some(legacy) = self.legacy.take() {
            self.take_over(*legacy);
        }
        if let Some(text) = self.broken.take() {
            return Ended::Broken(text);
        }
        if let Err(text) = self.bind_sockets() {
            if !self.adopted {
                return Ended::Refused(text);
            }
            // Of what runs already nobody is to be left alone for that.
            self.journal.warn(self.now, &text);
        }
        if self.adopted {
            // Records that were damaged may know nothing of a run: its unit is not to run twice.
            self.await_leftovers().await;
            self.go_on();
        } else if !self.fleet.is_stopping() {
            self.await_leftovers().await;
            self.history.daemon(self.now, Deed::Started, "");
            self.happen(Happening::Running);
            let ids = self.fleet.iter().map(|(id, _)| id).collect();
            self.boot(ids);
        }
        self.perform();
        self.end_turn();
        if self.adopted {
            // What the keeper told with its list.
            self.tidings();
            self.end_turn();
            self.settle_down();
        }
        ready();
        while !self.all_down && !self.may_leave() {
            let input = self.next().await;
            self.now = clock::now();
            self.take(input);
            self.take_more();
            self.wait_no_longer();
            self.end_turn();
            self.settle_down();
        }
        if self.leave.is_some() && !self.all_down {
            return self.left();
        }
        self.journal.info(self.now, "all processes have ended");
        self.journal.flush();
        self.history.flush(&self.notices);
        self.logs.shutdown();
        self.contain.close();
        self.webhooks.stop();
        hit("over.begin");
        self.family.say_all_is_over(self.again);
        hit("over.said");
        self.store.discard(&self.runtime);
        hit("over.discarded");
        if self.again { Ended::Again } else { Ended::ForGood }
    }

    /// Starts those of these that start by themselves. Broken descriptions are "started" too: they become FATAL
    /// with their reason. What the operator stopped stays down.
    pub(crate) fn boot(&mut self, ids: Vec<UnitId>) {
        let mut up = Vec::new();
        for id in ids {
            let Some(spec) = self.fleet.get(id).map(|slot| slot.spec.clone()) else { continue };
            if self.wishes.keeps_down(&spec) {
                self.fleet.keep_down(id);
            } else if spec.autostart || spec.refused.is_some() {
                up.push(id);
            }
        }
        self.fleet.boot_these(&up, self.now, &mut self.deeds);
    }

    /// Waits for something to happen. Nothing here wakes while nothing is due.
    async fn next(&mut self) -> Input {
        let deadline = self.deadline();
        let Inputs { asks, done, log_facts, fresh, swept } = &mut self.inputs;
        tokio::select! {
            biased;
            () = self.family.readable() => Input::Tidings,
            Some(d) = done.recv() => Input::Done(d),
            Some(f) = log_facts.recv() => Input::Log(f),
            Some(s) = swept.recv() => Input::Swept(s),
            Some(a) = asks.recv() => Input::Ask(a),
            Some(f) = fresh.recv() => Input::Fresh(Box::new(f)),
            () = self.bus.writable() => Input::Room,
            () = clock::until(deadline) => Input::Time,
        }
    }

    fn deadline(&self) -> Option<Mono> {
        let own = [
            self.fleet.deadline(),
            self.tickets.deadline(),
            self.waiting.deadline(),
            self.bus.deadline(),
            self.leave_deadline(),
            self.standby_deadline(),
        ];
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
            Input::Swept(swept) => self.swept(swept),
            Input::Room => self.bus.flush(),
            Input::Time => {}
        }
        self.perform();
    }

    /// Deadlines, the snapshot, then the answers: who is answered finds the state published.
    fn end_turn(&mut self) {
        self.bus.pass(self.now);
        self.fleet.tick(self.now, &mut self.deeds);
        self.perform();
        for (unit, _) in self.bus.take_restarts() {
            self.fleet.restart(&[unit], self.now, &mut self.deeds);
            self.perform();
        }
        self.say_who_is_waited_for();
        self.commit();
        for (level, line) in self.bus.take_lines() {
            self.journal.say(level, self.now, line);
        }
        let mut changed = self.publish();
        changed.append(&mut self.touched);
        self.journal.flush();
        self.history.flush(&self.notices);
        self.tickets.resolve(&self.fleet, &changed, self.now.mono);
        self.tickets.expire(&self.fleet, self.now.mono);
    }

    fn publish(&mut self) -> BTreeSet<UnitId> {
        let extra = Extra { groups: self.groups.shown(), logs: &self.log_paths };
        publish(&self.board, &mut self.fleet, &extra)
    }

    /// Binds the sockets that children share. At the start a failure is final (supervisor-contract 4); later it
    /// is one of the unit.
    fn bind_sockets(&mut self) -> Result<(), String> {
        let specs: Vec<Arc<Spec>> = self.fleet.iter().map(|(_, slot)| slot.spec.clone()).collect();
        specs.iter().try_for_each(|spec| self.sockets.of(spec).map(drop))
    }

    /// The daemon is to end; `again`: a fresh one follows.
    pub(crate) fn end_by(&mut self, again: bool) {
        if self.again != again {
            self.again = again;
            self.store.be_stale();
        }
        self.shut_down();
    }

    fn shut_down(&mut self) {
        if !self.fleet.is_stopping() {
            self.stay(Refusal::ShuttingDown);
            self.waiting.shut_down(self.now);
            let deed = if self.again { Deed::Restart } else { Deed::ShutDown };
            self.history.daemon(self.now, deed, "");
            self.happen(Happening::Stopping);
            self.fleet.shutdown(self.sequential_stop, self.now, &mut self.deeds);
        }
    }
}
