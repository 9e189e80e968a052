//! The engine's side of the one front door: what doors hold instead of the engine.

use crate::clock;
use crate::contain::Contain;
use crate::environ;
use crate::groups::LastParse;
use crate::inside::on_helper;
use crate::logs::mainlog::MainLog;
use crate::logs::{LogReader, Logs};
use crate::orders::{Ask, Reply};
use crate::publish::Board;
use crate::tickets::RowMsg;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use supers_core::control::{
    Answer, Caller, Control, LogChunk, LogFlow, LogFrom, LogRequest, NewUnit, Order, PlanView, Refusal, Row,
    Rows, Status, Stream,
};
use supers_core::ids::UnitId;
use supers_core::snapshot::{DaemonView, ProgramView, Snapshot, UnitView};
use supers_core::time::Wall;
use tokio::sync::{Notify, mpsc, oneshot};

/// Lines shown after a failed start.
const TAIL_LINES: u64 = 10;
/// Bytes a log reader hands out at once.
const CHUNK: usize = 64 << 10;

/// What does not change while the daemon lives.
#[derive(Clone, Debug, Default)]
pub struct Identity {
    /// Product version.
    pub version: String,
    /// *The* pid.
    pub pid: i32,
    /// This process.
    pub daemon_pid: i32,
    /// Which configuration, and why.
    pub config: String,
    /// Its `identifier` at the start.
    pub identifier: String,
    /// Supervisor's XML-RPC interface is served.
    pub supervisor_rpc: bool,
    /// How often the keeper started the daemon; 0 without one.
    pub starts: u32,
    /// When this daemon began.
    pub began: Wall,
    /// What keeps units together, to be asked what they use.
    pub contain: Option<Contain>,
}

/// Sentences that the operator should see in `status`.
#[derive(Clone, Default)]
pub struct Notices(Arc<Mutex<Vec<String>>>);

impl Notices {
    /// At most so many are kept; further ones are dropped, they would not be read anyway.
    const MOST: usize = 32;

    /// Adds one, once.
    pub fn add(&self, text: String) {
        let mut list = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if list.len() < Self::MOST && !list.contains(&text) {
            list.push(text);
        }
    }

    /// Takes back those that begin so.
    pub fn clear(&self, prefix: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).retain(|t| !t.starts_with(prefix));
    }

    pub(crate) fn all(&self) -> Vec<String> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

/// A way to the engine; cheap to clone.
#[derive(Clone)]
pub struct Handle {
    pub(crate) asks: mpsc::Sender<Ask>,
    pub(crate) board: Board,
    pub(crate) logs: Logs,
    pub(crate) main: MainLog,
    pub(crate) identity: Arc<Identity>,
    pub(crate) notices: Notices,
    pub(crate) parsed: LastParse,
    pub(crate) child_env: Arc<environ::Daemon>,
    pub(crate) runtime: Arc<Path>,
    pub(crate) containment: &'static str,
    pub(crate) leaving: Arc<Notify>,
    /// Some programs ended while no daemon lived, and that is not told yet.
    pub(crate) unsettled: Arc<AtomicBool>,
    pub(crate) settled: Arc<Notify>,
    pub(crate) history: crate::history::Reader,
}

impl Handle {
    pub(crate) async fn ask<T>(&self, make: impl FnOnce(Reply<T>) -> Ask) -> Result<T, Refusal> {
        let (tx, rx) = oneshot::channel();
        let gone = || Refusal::ShuttingDown;
        self.asks.send(make(tx)).await.map_err(|_| gone())?;
        rx.await.map_err(|_| gone())?
    }

    /// Nothing ended while no daemon lived, or it is told.
    pub fn is_settled(&self) -> bool {
        !self.unsettled.load(Ordering::Acquire)
    }

    /// Completes when all that ended while no daemon lived is told; with nothing of that kind, at once. Who opens its
    /// doors before says of ended programs that they run.
    pub async fn settled(&self) {
        while !self.is_settled() {
            self.settled.notified().await;
        }
    }

    /// Completes when the daemon is about to make way for another: the doors are to be handed over.
    pub async fn leaving(&self) {
        self.leaving.notified().await;
    }

    /// They are; `connections` says what to take over, for the next daemon.
    pub async fn doors_quiet(&self, connections: String) {
        // An engine that is gone needs not to know.
        let _ = self.ask(|reply| Ask::DoorsQuiet { connections, reply }).await;
    }

    pub(crate) fn view(&self, snapshot: &Snapshot) -> DaemonView {
        let id = &self.identity;
        DaemonView {
            version: id.version.clone(),
            pid: id.pid,
            daemon_pid: id.daemon_pid,
            config: id.config.clone(),
            state: if snapshot.stopping { "stopping" } else { "running" }.into(),
            uptime_s: u64::try_from((clock::now().wall.0 - id.began.0) / 1000).unwrap_or(0),
            starts: id.starts,
            containment: self.containment.into(),
            notices: self.notices.all(),
            dropped: self.logs.dropped(),
        }
    }

    /// All units as they are now, by group and name.
    fn programs(snapshot: &Snapshot) -> Vec<ProgramView<'static>> {
        let now = clock::now();
        let mut units: Vec<&Arc<UnitView>> = snapshot.units().collect();
        units.sort_by(|a, b| (&a.spec.group, &a.spec.name).cmp(&(&b.spec.group, &b.spec.name)));
        units.into_iter().map(|u| ProgramView::new(u, now).into_owned()).collect()
    }

    fn reader(&self, unit: UnitId, stream: Stream) -> Result<LogReader, Refusal> {
        let snapshot = self.board.read();
        let view = snapshot.get(unit).ok_or(Refusal::ShuttingDown)?;
        let none = || {
            let what = match stream {
                Stream::Stdout => "standard output",
                Stream::Stderr => "standard error",
            };
            Refusal::Failed { text: format!("{} has no log of its {what}", view.spec.full_name()) }
        };
        self.logs.reader(unit, &view.spec.output, stream).ok_or_else(none)
    }
}

impl Control for Handle {
    fn status(&self) -> Answer<'_, Status<'static>> {
        let snapshot = self.board.read();
        let status = Status { daemon: self.view(&snapshot), programs: Self::programs(&snapshot) };
        Box::pin(std::future::ready(Ok(status)))
    }

    fn order(&self, caller: Caller, order: Order) -> Answer<'_, Box<dyn Rows>> {
        Box::pin(async move {
            let rows = self.ask(|reply| Ask::Order { caller, order, reply }).await?;
            Ok(Box::new(Flow { rows, handle: self.clone() }) as Box<dyn Rows>)
        })
    }

    fn reload(&self, caller: Caller, dry_run: bool) -> Answer<'_, PlanView> {
        Box::pin(self.ask(move |reply| Ask::Reload { caller, dry_run, reply }))
    }

    fn add(&self, caller: Caller, unit: NewUnit) -> Answer<'_, Box<dyn Rows>> {
        Box::pin(async move {
            let rows = self.ask(|reply| Ask::Add { caller, unit, reply }).await?;
            Ok(Box::new(Flow { rows, handle: self.clone() }) as Box<dyn Rows>)
        })
    }

    fn logs(&self, request: LogRequest) -> Answer<'_, Box<dyn LogFlow>> {
        Box::pin(async move {
            let unit = find(&self.board.read(), &request.name)?;
            flow(self.reader(unit, request.stream)?, request.from, request.follow)
        })
    }

    fn shutdown(&self, caller: Caller) -> Answer<'_, ()> {
        Box::pin(self.ask(move |reply| Ask::Shutdown { caller, again: false, reply }))
    }

    fn upgrade(&self, caller: Caller, binary: Option<String>) -> Answer<'_, String> {
        Box::pin(async move {
            let runtime = self.runtime.clone();
            let checked = on_helper(move || {
                let own = || supers_os::process::own_exe().map_err(|e| supers_os::error_text(&e));
                let program = binary.map_or_else(own, |path| Ok(path.into()))?;
                crate::upgrade::check(&program, &runtime)
            });
            let (binary, version) = checked.await?.map_err(|text| Refusal::Failed { text })?;
            self.ask(move |reply| Ask::Upgrade { caller, binary, reply }).await?;
            Ok(version)
        })
    }
}

/// What a reader gives from some place on.
pub(crate) fn flow(reader: LogReader, from: LogFrom, follow: bool) -> Result<Box<dyn LogFlow>, Refusal> {
    let fail = |e: std::io::Error| Refusal::Failed { text: supers_os::error_text(&e) };
    let at = match from {
        LogFrom::Offset(at) => at,
        LogFrom::Bytes(n) => reader.end().saturating_sub(n).max(reader.oldest()),
        LogFrom::Lines(n) => reader.start_of_last_lines(n).map_err(fail)?,
    };
    let stop_at = if follow { u64::MAX } else { reader.end() };
    Ok(Box::new(Tail { reader, at, stop_at, told: false }))
}

/// The one unit that `name` means.
fn find(snapshot: &Snapshot, name: &str) -> Result<UnitId, Refusal> {
    let bare = name.strip_suffix(".service").unwrap_or(name);
    let by = |wanted: &dyn Fn(&UnitView) -> bool| {
        let mut hits = snapshot.units().filter(|u| wanted(u));
        hits.next().filter(|_| hits.next().is_none()).map(|u| u.id)
    };
    by(&|u| u.spec.full_name() == name)
        .or_else(|| by(&|u| u.spec.full_name() == bare))
        .or_else(|| by(&|u| u.spec.name == bare))
        .or_else(|| by(&|u| u.spec.program == bare))
        .ok_or_else(|| unknown(name, snapshot.units().map(|u| u.spec.full_name())))
}

/// The refusal of an unknown name, with the nearest that exists.
pub(crate) fn unknown(name: &str, names: impl Iterator<Item = String>) -> Refusal {
    let near = names
        .map(|n| (strsim::jaro_winkler(name, &n), n))
        .filter(|(score, _)| *score > 0.8)
        .max_by(|a, b| a.0.total_cmp(&b.0));
    let hint = near.map(|(_, n)| format!("did you mean {n}?"));
    Refusal::UnknownName { name: name.into(), hint }
}

/// Rows of an order; adds the last lines of output to failed starts, on the asker's thread.
struct Flow {
    rows: mpsc::Receiver<RowMsg>,
    handle: Handle,
}

impl Rows for Flow {
    fn next(&mut self) -> Answer<'_, Option<Row>> {
        Box::pin(async move {
            let Some(RowMsg { mut row, tail_of }) = self.rows.recv().await else { return Ok(None) };
            if let Some(unit) = tail_of {
                row.tail = self.handle.reader(unit, Stream::Stdout).map(|r| tail(&r)).unwrap_or_default();
                if row.tail.is_empty() {
                    row.tail = self.handle.reader(unit, Stream::Stderr).map(|r| tail(&r)).unwrap_or_default();
                }
            }
            Ok(Some(row))
        })
    }
}

/// The last lines, as text; none when they cannot be read.
fn tail(reader: &LogReader) -> Vec<String> {
    let read = reader.start_of_last_lines(TAIL_LINES).and_then(|at| reader.read(at, CHUNK));
    let Ok((_, bytes)) = read else { return Vec::new() };
    String::from_utf8_lossy(&bytes).lines().map(Into::into).collect()
}

/// A flow of output from a reader.
struct Tail {
    reader: LogReader,
    at: u64,
    stop_at: u64,
    /// Who follows knows where he is, so that he can go on there with another daemon.
    told: bool,
}

impl LogFlow for Tail {
    fn next(&mut self) -> Answer<'_, Option<LogChunk>> {
        Box::pin(async move {
            let fail = |e: std::io::Error| Refusal::Failed { text: supers_os::error_text(&e) };
            loop {
                let left = usize::try_from(self.stop_at.saturating_sub(self.at)).unwrap_or(usize::MAX);
                if left == 0 {
                    return Ok(None);
                }
                let (offset, bytes) = self.reader.read(self.at, left.min(CHUNK)).map_err(fail)?;
                if !bytes.is_empty() || (self.stop_at == u64::MAX && !self.told) {
                    self.told = true;
                    self.at = offset + bytes.len() as u64;
                    return Ok(Some(LogChunk { offset, bytes }));
                }
                if self.stop_at != u64::MAX {
                    return Ok(None);
                }
                self.reader.changed(self.at).await;
            }
        })
    }
}
