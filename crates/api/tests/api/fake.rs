//! A `Control` that answers from values and channels, and writes down what it was asked.

use std::collections::VecDeque;
use std::sync::Mutex;
use supers_api::select::{select, unknown};
use supers_core::control::{
    Answer, Caller, Control, LogChunk, LogFlow, LogRequest, NewUnit, Order, Outcome, PlanView, Refusal, Row,
    Rows, Status, Verb,
};
use supers_core::snapshot::{DaemonView, ProgramView};
use tokio::sync::mpsc;

/// Rows that a test sends while the answer is under way.
pub type RowFeed = mpsc::Receiver<Result<Row, Refusal>>;
/// Output that a test sends while the answer is under way.
pub type LogFeed = mpsc::Receiver<Result<LogChunk, Refusal>>;

#[derive(Default)]
pub struct Fake {
    pub status: Mutex<Picture>,
    pub plan: Mutex<PlanView>,
    /// One a call, in order; without one, orders succeed.
    pub rows: Mutex<VecDeque<RowFeed>>,
    pub logs: Mutex<VecDeque<LogFeed>>,
    pub calls: Mutex<Vec<String>>,
    /// Every request is refused with this.
    pub refuse: Mutex<Option<Refusal>>,
}

/// `Status` without its missing default.
pub struct Picture(pub Status);

impl Default for Picture {
    fn default() -> Self {
        Picture(Status {
            daemon: DaemonView {
                version: "9.8.7".into(),
                pid: 100,
                daemon_pid: 101,
                config: "using the folder /etc/super, the default place".into(),
                state: "running".into(),
                uptime_s: 61,
                starts: 1,
                ..DaemonView::default()
            },
            programs: vec![
                running("db", "db", 41, 90_061),
                ProgramView {
                    state: "FATAL".into(),
                    pid: 0,
                    uptime_s: 0,
                    restarts: 3,
                    exit: Some(1),
                    reason: "exited with status 1, 4 times within 1 s".into(),
                    hint: "supers logs shop:cart".into(),
                    ..running("shop", "cart", 0, 0)
                },
                running("shop", "web", 42, 5),
            ],
        })
    }
}

pub fn running(group: &str, name: &str, pid: i32, uptime_s: u64) -> ProgramView {
    ProgramView {
        name: name.into(),
        group: group.into(),
        state: "RUNNING".into(),
        pid,
        uptime_s,
        want: true,
        ..ProgramView::default()
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

    fn ready(&self, order: &Order) -> Result<RowFeed, Refusal> {
        let programs = self.status.lock().unwrap().0.programs.clone();
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

fn simple(verb: Verb, p: &ProgramView) -> Row {
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
    fn status(&self) -> Answer<'_, Status> {
        Box::pin(async move {
            if let Some(refusal) = self.refuse.lock().unwrap().clone() {
                return Err(refusal);
            }
            Ok(self.status.lock().unwrap().0.clone())
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
            let programs = self.status.lock().unwrap().0.programs.clone();
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
