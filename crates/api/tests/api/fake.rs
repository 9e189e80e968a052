//! An `Inside` that answers from values and channels, and writes down what it was asked.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use supers_api::select::{select, unknown};
use supers_core::control::{
    Answer, Caller, Control, LogChunk, LogFlow, LogFrom, LogRequest, NewUnit, Order, Outcome, PlanView,
    Refusal, Row, Rows, Status, Verb,
};
use supers_core::exit::Exit;
use supers_core::history::{Entry, Page, Query};
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::inside::{Cut, GroupDone, Inside, LogFault, LogOf, Piece, Reread, StdinDone, Unrunnable};
use supers_core::proc::{Cause, State};
use supers_core::snapshot::{CHUNK, DaemonView, Origin, ProgramView, Snapshot, UnitView, Usage};
use supers_core::spec::Spec;
use supers_core::time::{Mono, Now, Wall};
use tokio::sync::mpsc;

/// The time, for ever.
pub const NOW: Now = Now { mono: Mono(1_000_000_000_000), wall: Wall(1_795_263_725_000) };

/// Rows that a test sends while the answer is under way.
pub type RowFeed = mpsc::Receiver<Result<Row, Refusal>>;
/// Output that a test sends while the answer is under way.
pub type LogFeed = mpsc::Receiver<Result<LogChunk, Refusal>>;

pub struct Fake {
    pub units: Mutex<Vec<UnitView>>,
    pub daemon: Mutex<DaemonView>,
    pub plan: Mutex<PlanView>,
    /// One a call, in order; without one, orders succeed.
    pub rows: Mutex<VecDeque<RowFeed>>,
    pub logs: Mutex<VecDeque<LogFeed>>,
    /// What the log files hold, by slot; those that are not here are missing. The main log is `None`.
    pub files: Mutex<BTreeMap<Option<u32>, Vec<u8>>>,
    /// Names that cannot be started.
    pub unrunnable: Mutex<BTreeMap<String, Unrunnable>>,
    pub calls: Mutex<Vec<String>>,
    /// What happened, oldest first.
    pub history: Mutex<Vec<Entry>>,
    /// What units use, by their full names.
    pub usage: Mutex<BTreeMap<String, Usage>>,
    /// Every order is refused with this.
    pub refuse: Mutex<Option<Refusal>>,
    /// Of the snapshot; answers are kept within one.
    pub turn: AtomicU64,
}

impl Default for Fake {
    fn default() -> Fake {
        let cause = Cause::GaveUp { tries: 4, last: Box::new(exited(1)) };
        let cart = UnitView {
            state: State::Fatal { cause },
            restarts: 3,
            last_exit: Some(Exit::Code(1)),
            started: None,
            ..running("shop", "cart", 1, 0)
        };
        let daemon = DaemonView {
            version: "9.8.7".into(),
            pid: 100,
            daemon_pid: 101,
            config: "using the folder /etc/super, the default place".into(),
            state: "running".into(),
            uptime_s: 61,
            starts: 1,
            ..DaemonView::default()
        };
        Fake {
            units: Mutex::new(vec![running("shop", "web", 42, 5), running("db", "db", 41, 90_061), cart]),
            daemon: Mutex::new(daemon),
            plan: Mutex::default(),
            rows: Mutex::default(),
            logs: Mutex::default(),
            files: Mutex::default(),
            unrunnable: Mutex::default(),
            calls: Mutex::default(),
            history: Mutex::default(),
            usage: Mutex::default(),
            refuse: Mutex::default(),
            turn: AtomicU64::new(1),
        }
    }
}

/// It ended with this code after a second.
pub fn exited(code: u8) -> Cause {
    Cause::Exit { exit: Exit::Code(code), lived: Duration::from_secs(1) }
}

pub fn running(group: &str, name: &str, pid: i32, uptime_s: i64) -> UnitView {
    let began = Wall(NOW.wall.0 - uptime_s * 1000);
    UnitView {
        id: UnitId(0),
        spec: Arc::new(Spec { group: group.into(), ..Spec::new(name) }),
        origin: Arc::new(Origin::default()),
        state: State::Running { run: RunId(1), pid: Pid(pid), begun: NOW.mono },
        want_up: true,
        since: began,
        started: Some(began),
        ended: None,
        last_exit: None,
        run: RunId(1),
        restarts: 0,
        waits_for: Vec::new(),
        trouble: None,
        logs: Arc::default(),
    }
}

pub fn row(name: &str, outcome: Outcome, pid: i32) -> Row {
    Row { name: name.into(), outcome, detail: String::new(), pid, changed: false, tail: Vec::new() }
}

impl Fake {
    /// The next order is answered with what is sent here.
    pub fn feed_rows(&self) -> mpsc::Sender<Result<Row, Refusal>> {
        let (tx, rx) = mpsc::channel(16);
        self.rows.lock().unwrap().push_back(rx);
        tx
    }

    /// The next log is what is sent here.
    pub fn feed_logs(&self) -> mpsc::Sender<Result<LogChunk, Refusal>> {
        let (tx, rx) = mpsc::channel(16);
        self.logs.lock().unwrap().push_back(rx);
        tx
    }

    /// The next orders are answered with these rows.
    pub fn script_rows(&self, rows: impl IntoIterator<Item = Row>) {
        let tx = self.feed_rows();
        rows.into_iter().for_each(|r| tx.try_send(Ok(r)).unwrap());
    }

    /// The next log is this.
    pub fn script_log(&self, offset: u64, bytes: &[u8]) {
        let tx = self.feed_logs();
        tx.try_send(Ok(LogChunk { offset, bytes: bytes.to_vec() })).unwrap();
    }

    /// What was asked so far.
    pub fn take_calls(&self) -> String {
        std::mem::take(&mut *self.calls.lock().unwrap()).join("\n")
    }

    fn note(&self, call: String) -> Result<(), Refusal> {
        self.calls.lock().unwrap().push(call);
        self.refuse.lock().unwrap().clone().map_or(Ok(()), Err)
    }

    /// All units as a status shows them.
    pub fn programs(&self) -> Vec<ProgramView<'static>> {
        let mut units: Vec<UnitView> = self.units.lock().unwrap().clone();
        units.sort_by(|a, b| (&a.spec.group, &a.spec.name).cmp(&(&b.spec.group, &b.spec.name)));
        units.iter().map(|u| ProgramView::new(u, NOW).into_owned()).collect()
    }

    fn ready(&self, order: &Order) -> Result<RowFeed, Refusal> {
        let programs = self.programs();
        let (tx, rx) = mpsc::channel(4096);
        for name in &order.names {
            let found = select(&programs, name);
            if found.is_empty() {
                return Err(unknown(&programs, name));
            }
            for p in found {
                tx.try_send(Ok(simple(order.verb, p))).unwrap();
            }
        }
        Ok(rx)
    }
}

fn simple(verb: Verb, p: &ProgramView<'_>) -> Row {
    let up = p.pid != 0;
    let outcome = match verb {
        Verb::Start if up => Outcome::AlreadyRunning,
        Verb::Start => Outcome::Started,
        Verb::Stop if up => Outcome::Stopped,
        Verb::Restart => Outcome::Restarted,
        Verb::Reload if up => Outcome::Reloaded,
        Verb::Signal(_) if up => Outcome::Signalled,
        Verb::Stop | Verb::Reload | Verb::Signal(_) => Outcome::NotRunning,
    };
    row(&p.full_name(), outcome, if verb == Verb::Stop { 0 } else { p.pid })
}

pub struct FeedRows(RowFeed);

impl Rows for FeedRows {
    fn next(&mut self) -> Answer<'_, Option<Row>> {
        Box::pin(async move { self.0.recv().await.transpose() })
    }
}

pub struct FeedLog(LogFeed);

impl LogFlow for FeedLog {
    fn next(&mut self) -> Answer<'_, Option<LogChunk>> {
        Box::pin(async move { self.0.recv().await.transpose() })
    }
}

fn boxed(feed: RowFeed) -> Box<dyn Rows> {
    Box::new(FeedRows(feed))
}

impl Control for Fake {
    fn status(&self) -> Answer<'_, Status<'static>> {
        Box::pin(async move {
            if let Some(refusal) = self.refuse.lock().unwrap().clone() {
                return Err(refusal);
            }
            Ok(Status { daemon: self.daemon.lock().unwrap().clone(), programs: self.programs() })
        })
    }

    fn order(&self, caller: Caller, order: Order) -> Answer<'_, Box<dyn Rows>> {
        Box::pin(async move {
            let Order { verb, names, wait, timeout_ms, rules: _ } = &order;
            self.note(format!("{}: {verb:?} {names:?} wait={wait} timeout={timeout_ms:?}", caller.door))?;
            let scripted = self.rows.lock().unwrap().pop_front();
            scripted.map_or_else(|| self.ready(&order), Ok).map(boxed)
        })
    }

    fn reload(&self, caller: Caller, dry_run: bool) -> Answer<'_, PlanView> {
        Box::pin(async move {
            self.note(format!("{}: reload dry_run={dry_run}", caller.door))?;
            Ok(PlanView { applied: !dry_run, ..self.plan.lock().unwrap().clone() })
        })
    }

    fn add(&self, caller: Caller, unit: NewUnit) -> Answer<'_, Box<dyn Rows>> {
        Box::pin(async move {
            self.note(format!("{}: add {unit:?}", caller.door))?;
            let (tx, rx) = mpsc::channel(1);
            tx.try_send(Ok(Row { changed: true, ..row(&unit.name, Outcome::Started, 77) })).unwrap();
            let scripted = self.rows.lock().unwrap().pop_front();
            Ok(boxed(scripted.unwrap_or(rx)))
        })
    }

    fn logs(&self, request: LogRequest) -> Answer<'_, Box<dyn LogFlow>> {
        Box::pin(async move {
            let LogRequest { name, stream, from, follow } = &request;
            self.note(format!("logs {name} {stream:?} {from:?} follow={follow}"))?;
            let programs = self.programs();
            if select(&programs, name).len() != 1 {
                return Err(unknown(&programs, name));
            }
            let feed = self.logs.lock().unwrap().pop_front();
            let flow: Box<dyn LogFlow> = Box::new(FeedLog(feed.unwrap_or_else(|| mpsc::channel(1).1)));
            Ok(flow)
        })
    }

    fn shutdown(&self, caller: Caller) -> Answer<'_, ()> {
        Box::pin(async move { self.note(format!("{}: shutdown", caller.door)) })
    }
}

fn done<T: Send + 'static>(value: T) -> Answer<'static, T> {
    Box::pin(std::future::ready(Ok(value)))
}

impl Inside for Fake {
    fn usage(&self, unit: String) -> Answer<'_, Usage> {
        done(self.usage.lock().unwrap().get(&unit).copied().unwrap_or_default())
    }

    fn snapshot(&self) -> Arc<Snapshot> {
        let mut slots: Vec<Option<Arc<UnitView>>> = Vec::new();
        for (at, unit) in self.units.lock().unwrap().iter().enumerate() {
            slots.push(Some(Arc::new(UnitView { id: UnitId(at as u32), ..unit.clone() })));
        }
        slots.resize(slots.len().next_multiple_of(CHUNK), None);
        let chunks = slots.chunks(CHUNK).map(Arc::from).collect();
        let turn = self.turn.load(Ordering::Relaxed);
        Arc::new(Snapshot { turn, chunks, ..Snapshot::default() })
    }

    fn now(&self) -> Now {
        NOW
    }

    fn daemon(&self) -> DaemonView {
        self.daemon.lock().unwrap().clone()
    }

    fn has_supervisor_rpc(&self) -> bool {
        true
    }

    fn main_log_path(&self) -> String {
        "/var/log/main.log".into()
    }

    fn identifier(&self) -> String {
        "supervisor".into()
    }

    fn last_parse(&self) -> Arc<[Arc<Spec>]> {
        Arc::from([])
    }

    fn user_id(&self, _name: &str) -> Option<u32> {
        None
    }

    fn runnable(&self, units: Vec<UnitId>) -> Answer<'_, Vec<Result<(), Unrunnable>>> {
        let of = |unit: UnitId| {
            let name = self.units.lock().unwrap()[unit.0 as usize].spec.full_name();
            self.unrunnable.lock().unwrap().get(&name).cloned().map_or(Ok(()), Err)
        };
        done(units.into_iter().map(of).collect())
    }

    fn reread(&self, _caller: Caller) -> Answer<'_, Reread> {
        done(Reread::default())
    }

    fn add_group(&self, _caller: Caller, _name: String) -> Answer<'_, GroupDone> {
        done(GroupDone::BadName)
    }

    fn remove_group(&self, _caller: Caller, _name: String) -> Answer<'_, GroupDone> {
        done(GroupDone::BadName)
    }

    fn send_stdin(&self, _unit: UnitId, bytes: Vec<u8>) -> Answer<'_, StdinDone> {
        Box::pin(async move {
            self.note(format!("stdin {}", bytes.len()))?;
            Ok(StdinDone::Taken)
        })
    }

    fn tell(&self, _kind: String, _data: String) -> Answer<'_, ()> {
        done(())
    }

    fn read_log(&self, log: LogOf, cut: Cut) -> Answer<'_, Result<Piece, LogFault>> {
        let files = self.files.lock().unwrap();
        let Some(file) = files.get(&slot(log)) else { return done(Err(LogFault::NoFile)) };
        let size = file.len() as u64;
        done(cut.range(size).map(|(start, length, overflow)| {
            let bytes = file[start as usize..(start + length) as usize].to_vec();
            Piece { bytes, size, overflow }
        }))
    }

    fn clear_log(&self, log: LogOf) -> Answer<'_, Result<(), LogFault>> {
        Box::pin(async move {
            self.note(format!("clear {log:?}"))?;
            let mut files = self.files.lock().unwrap();
            Ok(files.get_mut(&slot(log)).map(Vec::clear).ok_or(LogFault::NoFile))
        })
    }

    fn main_log(&self, from: LogFrom, follow: bool) -> Answer<'_, Box<dyn LogFlow>> {
        Box::pin(async move {
            self.note(format!("main log {from:?} follow={follow}"))?;
            let feed = self.logs.lock().unwrap().pop_front();
            Ok(Box::new(FeedLog(feed.unwrap_or_else(|| mpsc::channel(1).1))) as Box<dyn LogFlow>)
        })
    }

    fn history(&self, query: Query) -> Answer<'_, Page> {
        let mut entries = self.history.lock().unwrap().clone();
        entries.retain(|e| query.wants(e));
        entries.drain(..entries.len().saturating_sub(query.limit));
        done(Page { entries, ..Page::default() })
    }

    fn restart(&self, caller: Caller) -> Answer<'_, ()> {
        Box::pin(async move { self.note(format!("{}: restart", caller.door)) })
    }
}

fn slot(log: LogOf) -> Option<u32> {
    match log {
        LogOf::Main => None,
        LogOf::Unit(unit, _) => Some(unit.0),
    }
}
