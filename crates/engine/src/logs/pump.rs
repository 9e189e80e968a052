//! The thread `logs`: which stream has its turn, and when.
//!
//! A stream is *armed* (asleep in the epoll set), *hot* (its turn comes), *cooling* (just drained: not
//! looked at for a few milliseconds, so that many small lines cost one turn) or *waiting* (its target
//! takes nothing). With no stream hot or cooling and no trouble there is no timer: the thread sleeps.

use super::fifo::Fifo;
use super::mainlog::MainLog;
use super::orders::Drain;
use super::sink::{Body, Sink, Stuck};
use super::syslog::Syslog;
use super::tap::{Ear, Tap};
use super::turn::{End, turn};
use super::{LogFact, Shared, SinkId, Tools, lock};
use crate::clock;
use std::collections::{HashMap, VecDeque};
use std::io;
use std::mem::ManuallyDrop;
use std::os::fd::AsFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::thread::JoinHandle;
use std::time::Duration;
use supers_core::ids::UnitId;
use supers_core::time::Mono;
use supers_os::poll::{Epoll, Event, Interest};
use supers_os::{error_text, pipe};
use tokio::sync::mpsc;

/// How long a stream is left alone after a small drain.
pub(super) const COOLING: Duration = Duration::from_millis(4);
/// What a pipe that was found full is enlarged to.
const BIG_PIPE: usize = 1 << 20;
/// When the engine is asked again to take facts that did not fit.
const RETELL: Duration = Duration::from_millis(10);
/// The key of the bell in the epoll set.
const BELL: u64 = u64::MAX;
/// The key of a sink is its number with this bit; that of a stream has it clear.
const SINK: u64 = 1 << 32;
/// One stream.
pub(super) struct LaneState {
    pub(super) fifo: Arc<Fifo>,
    pub(super) unit: UnitId,
    pub(super) sink: SinkId,
    pub(super) strip: bool,
    /// Who wants its text.
    pub(super) tap: Option<Box<Tap>>,
    /// It is left alone until the engine has caught up.
    pub(super) starving: bool,
    pub(super) phase: Phase,
    /// What the pipe can hold.
    pub(super) capacity: u64,
    /// It was found full once, and more was asked for.
    pub(super) enlarged: bool,
    /// The beginning of a line was left in it at the last turn.
    pub(super) waited: bool,
    /// Bytes that ever left the FIFO.
    pub(super) moved: u64,
}

impl LaneState {
    /// Some text that was read is neither stored nor told.
    pub(super) fn holds(&self) -> bool {
        self.tap.as_ref().is_some_and(|tap| tap.holds())
    }

    /// It is a listener's standard output.
    pub(super) fn hears(&self) -> bool {
        self.tap.as_ref().is_some_and(|tap| tap.ear.is_some())
    }

    /// What became of the listener's words.
    pub(super) fn ear(&mut self) -> Option<&mut Ear> {
        self.tap.as_mut()?.ear.as_mut()
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    Armed,
    Hot,
    Cooling,
    Waiting,
}

/// What became of one turn.
#[derive(Default)]
pub(super) struct Turn {
    /// Bytes that left the FIFO.
    pub(super) moved: u64,
    /// More is to be had at once.
    pub(super) more: bool,
    /// The beginning of a line was left in it.
    partial: bool,
}

/// Where text goes besides its target and the engine.
pub(super) struct Outside {
    /// The main log.
    pub(super) main: Option<MainLog>,
    /// The local syslog.
    pub(super) syslog: Syslog,
}

pub(super) struct Pump {
    pub(super) tools: Tools,
    pub(super) outside: Outside,
    pub(super) epoll: Epoll,
    events: [Event; 64],
    facts: mpsc::Sender<LogFact>,
    /// Some stream is starving.
    pub(super) starved: bool,
    /// Facts that did not fit.
    pub(super) late: VecDeque<LogFact>,
    pub(super) lanes: Vec<Option<LaneState>>,
    pub(super) free: Vec<u32>,
    pub(super) sinks: Vec<Option<Sink>>,
    pub(super) units: HashMap<UnitId, [u32; 2]>,
    pub(super) hot: VecDeque<u32>,
    pub(super) cooling: VecDeque<(Mono, u32)>,
    /// Sinks that are to be tried again.
    retries: Vec<SinkId>,
    pub(super) drains: Vec<Drain>,
    pub(super) now: Mono,
    pub(super) closing: bool,
    /// Another daemon takes over.
    pub(super) leaving: bool,
}

/// Starts the thread. No runtime in it: one epoll and one clock are all it waits for.
pub(super) fn spawn(
    shared: Arc<Shared>,
    facts: mpsc::Sender<LogFact>,
    outside: Outside,
) -> io::Result<JoinHandle<()>> {
    let epoll = Epoll::new()?;
    epoll.add(shared.bell.as_fd(), BELL, Interest::Read)?;
    let pump = Pump {
        epoll,
        events: [Event::default(); 64],
        tools: Tools::new(shared),
        outside,
        starved: false,
        facts,
        late: VecDeque::new(),
        lanes: Vec::new(),
        free: Vec::new(),
        sinks: Vec::new(),
        units: HashMap::new(),
        hot: VecDeque::new(),
        cooling: VecDeque::new(),
        retries: Vec::new(),
        drains: Vec::new(),
        now: clock::now().mono,
        closing: false,
        leaving: false,
    };
    std::thread::Builder::new().name("logs".into()).stack_size(256 << 10).spawn(move || pump.run())
}

impl Pump {
    fn run(mut self) {
        crate::pulse::is_here();
        let shared = Arc::clone(&self.tools.shared);
        // Also when this thread should panic: nobody is to wait for an answer then.
        let _ended = Ended(shared);
        while !(self.leaving || self.closing && self.units.is_empty()) {
            let limit = self.patience();
            match self.epoll.wait(&mut self.events, limit) {
                Ok(n) => self.wake_ready(n),
                // Nothing but a broken kernel gets here; the streams are looked at by the clock then.
                Err(_) => self.wake_all(),
            }
            self.now = clock::now().mono;
            self.obey();
            if self.leaving {
                break;
            }
            self.expire();
            self.round();
            self.finish_drains();
            self.tell_late();
            self.feed();
        }
        // From here on nobody is promised an answer; who was promised one gets it.
        self.tools.shared.ended.store(true, Ordering::Release);
        self.obey();
        if self.leaving {
            // The next daemon asks anew. (And nobody takes facts while this one ends, which is now: to close
            // thousands of descriptors one by one would only keep a core from the next.)
            let _ = ManuallyDrop::new(self);
            return;
        }
        for fact in std::mem::take(&mut self.late) {
            match &fact {
                LogFact::Drained { .. } | LogFact::Trouble { .. } | LogFact::Recovered { .. } => {}
                // All units are removed: nobody wants their words any more.
                LogFact::Output { .. }
                | LogFact::Captured { .. }
                | LogFact::Heard { .. }
                | LogFact::Stored { .. } => continue,
            }
            // Nobody listens any more: then nobody waits either.
            if self.facts.blocking_send(fact).is_err() {
                break;
            }
        }
    }

    /// How long to wait: not at all while there is work, for ever when nothing is due.
    fn patience(&self) -> Option<Duration> {
        if !self.hot.is_empty() || self.tools.shared.called.load(Ordering::Acquire) {
            return Some(Duration::ZERO);
        }
        let cooling = self.cooling.front().map(|(at, _)| *at);
        let retries = self.retries.iter().filter_map(|id| self.retry_at(*id));
        let drains = self.drains.iter().map(|d| d.until);
        let late = (!self.late.is_empty()).then(|| self.now + RETELL);
        let next = cooling.into_iter().chain(retries).chain(drains).chain(late).min()?;
        Some(next.since(clock::now().mono))
    }

    fn retry_at(&self, id: SinkId) -> Option<Mono> {
        self.sinks.get(id as usize)?.as_ref()?.stuck.as_ref()?.retry
    }

    fn wake_all(&mut self) {
        let later = self.now + COOLING;
        for (id, lane) in self.lanes.iter_mut().enumerate() {
            if let Some(lane) = lane
                && lane.phase == Phase::Armed
            {
                lane.phase = Phase::Cooling;
                self.cooling.push_back((later, id as u32));
            }
        }
    }

    fn wake_ready(&mut self, count: usize) {
        for index in 0..count {
            let key = self.events[index].token();
            let id = key as u32;
            if key == BELL {
                self.tools.shared.bell.hush();
            } else if key & SINK != 0 {
                self.retry(id);
            } else if let Some(lane) = self.lane(id)
                && lane.phase == Phase::Armed
            {
                lane.phase = Phase::Hot;
                self.hot.push_back(id);
            }
        }
    }

    fn expire(&mut self) {
        while let Some((at, id)) = self.cooling.front().copied()
            && at <= self.now
        {
            self.cooling.pop_front();
            if let Some(lane) = self.lane(id)
                && lane.phase == Phase::Cooling
            {
                lane.phase = Phase::Hot;
                self.hot.push_back(id);
            }
        }
        let now = self.now;
        let due: Vec<SinkId> =
            self.retries.iter().copied().filter(|id| self.retry_at(*id).is_none_or(|at| at <= now)).collect();
        self.retries.retain(|id| !due.contains(id));
        for id in due {
            self.retry(id);
        }
    }

    /// One turn for each hot stream.
    fn round(&mut self) {
        for _ in 0..self.hot.len() {
            let Some(id) = self.hot.pop_front() else { return };
            let turn = self.turn(id, false);
            self.place(id, turn);
        }
    }

    /// Decides when a stream is looked at next.
    fn place(&mut self, id: u32, turn: Turn) {
        let later = self.now + COOLING;
        let Some(lane) = self.lanes.get_mut(id as usize).and_then(Option::as_mut) else { return };
        if lane.phase == Phase::Waiting {
            return;
        }
        if turn.moved * 2 >= lane.capacity && !lane.enlarged {
            // Refused (an ordinary user's share is used up): then it is only slower, and never asked for
            // again.
            let _ = pipe::set_pipe_size(lane.fifo.as_fd(), BIG_PIPE);
            lane.enlarged = true;
            lane.capacity = lane.fifo.capacity();
        }
        lane.waited = turn.partial;
        if turn.more || turn.moved * 4 >= lane.capacity {
            lane.phase = Phase::Hot;
            self.hot.push_back(id);
            return;
        }
        // A listener's answer is waited for: its stream does not cool.
        let urgent = lane.hears();
        let asleep = (turn.moved == 0 || urgent)
            && !turn.partial
            && self.epoll.modify(lane.fifo.as_fd(), u64::from(id), Interest::ReadOnce).is_ok();
        if asleep {
            lane.phase = Phase::Armed;
        } else {
            lane.phase = Phase::Cooling;
            self.cooling.push_back((later, id));
        }
    }

    /// Moves what a stream holds, as far as one turn goes.
    pub(super) fn turn(&mut self, id: u32, everything: bool) -> Turn {
        let mut result = Turn::default();
        if self.starves(id) {
            return result;
        }
        let Some(lane) = self.lanes.get_mut(id as usize).and_then(Option::as_mut) else { return result };
        let Some(sink) = self.sinks.get_mut(lane.sink as usize).and_then(Option::as_mut) else {
            return result;
        };
        if sink.stuck.is_some() {
            lane.phase = Phase::Waiting;
            return result;
        }
        let owed = sink.owed().is_some();
        let (moved, end) = turn(lane, sink, everything, &mut self.tools);
        let paid = owed && sink.owed().is_none();
        result.moved = moved as u64;
        lane.moved += result.moved;
        let (unit, sink) = (lane.unit, lane.sink);
        let stored = match &end {
            End::Done | End::More => moved > 0,
            End::Stuck { held, .. } => moved > held.len(),
            End::Partial | End::Waiting | End::Gone { .. } | End::Taken(_) => false,
        };
        self.pass_on(id);
        self.news(unit, sink, stored);
        match end {
            End::Done => {}
            End::More => result.more = true,
            End::Partial => result.partial = true,
            End::Waiting => {
                if let Some(lane) = self.lane(id) {
                    lane.phase = Phase::Waiting;
                }
            }
            End::Stuck { error, held } => self.stop(id, unit, sink, &error, held),
            End::Gone { error, lost } => {
                self.tools.shared.dropped.fetch_add(lost as u64, Ordering::Relaxed);
                self.trouble(unit, sink, &error);
                result.more = true;
            }
            End::Taken(other) => {
                self.merge(sink, other);
                result.more = true;
            }
        }
        if paid {
            self.release(sink);
        }
        result
    }

    /// After each attempt to write: reports a rotation that failed, and the end of a trouble. A write
    /// that failed is over with the next stored byte, a rotation that failed with the next rotation.
    fn news(&mut self, unit: UnitId, id: SinkId, stored: bool) {
        let rotated = std::mem::take(&mut self.tools.rotated);
        let complaint = self.tools.complaint.take();
        let Some(sink) = self.sink(id) else { return };
        if stored {
            sink.failures = 0;
        }
        let over = match complaint {
            Some(_) => false,
            None if sink.unrotated => rotated,
            None => stored,
        };
        if over {
            sink.unrotated = false;
            if let Some(unit) = sink.complained.take() {
                let path = sink.path();
                self.tell(LogFact::Recovered { unit, path });
            }
        } else if let Some(e) = complaint {
            sink.unrotated = true;
            self.trouble(unit, id, &io::Error::new(e.kind(), format!("cannot rotate: {}", error_text(&e))));
        }
    }

    pub(super) fn trouble(&mut self, unit: UnitId, id: SinkId, error: &io::Error) {
        let Some(sink) = self.sink(id) else { return };
        if sink.complained.is_none() {
            sink.complained = Some(unit);
            let path = sink.path();
            self.tell(LogFact::Trouble { unit, path, error: error_text(error) });
        }
    }

    /// The target takes nothing: its streams wait.
    pub(super) fn stop(&mut self, id: u32, unit: UnitId, sink_id: SinkId, error: &io::Error, held: Vec<u8>) {
        let now = self.now;
        if let Some(lane) = self.lane(id) {
            lane.phase = Phase::Waiting;
        }
        let Some(sink) = self.sinks.get_mut(sink_id as usize).and_then(Option::as_mut) else { return };
        let mut retry = None;
        if error.kind() != io::ErrorKind::WouldBlock || !watch(&self.epoll, sink, sink_id) {
            retry = Some(now + sink.next_pause());
            self.retries.push(sink_id);
        }
        sink.stuck = Some(Box::new(Stuck { held, retry }));
        if error.kind() != io::ErrorKind::WouldBlock {
            self.trouble(unit, sink_id, error);
        }
    }

    /// Tries to write what a target did not take, then lets its streams go on.
    pub(super) fn retry(&mut self, id: SinkId) {
        let now = self.now;
        let Some(sink) = self.sinks.get_mut(id as usize).and_then(Option::as_mut) else { return };
        let Some(mut stuck) = sink.stuck.take() else { return };
        let (done, result) = sink.write(&stuck.held, &mut self.tools);
        stuck.held.drain(..done);
        match result {
            Err(e) if !sink.gone(&e) => {
                let watched = e.kind() == io::ErrorKind::WouldBlock && watch(&self.epoll, sink, id);
                stuck.retry = (!watched).then(|| now + sink.next_pause());
                sink.stuck = Some(stuck);
                if !watched {
                    self.retries.push(id);
                }
                return;
            }
            Err(_) => {
                self.tools.shared.dropped.fetch_add(stuck.held.len() as u64, Ordering::Relaxed);
            }
            Ok(()) => {
                sink.ring();
                if let Some(unit) = self.user_of(id) {
                    self.news(unit, id, done > 0);
                }
            }
        }
        self.release(id);
    }

    /// The streams of a target that takes bytes again have their turns.
    pub(super) fn release(&mut self, id: SinkId) {
        for (index, lane) in self.lanes.iter_mut().enumerate() {
            if let Some(lane) = lane
                && lane.sink == id
            {
                lane.fifo.busy.store(lane.holds(), Ordering::SeqCst);
                if lane.phase == Phase::Waiting && !lane.starving {
                    lane.phase = Phase::Hot;
                    self.hot.push_back(index as u32);
                }
            }
        }
    }

    /// Two sinks turned out to write the same file: the streams of the first go to the second.
    pub(super) fn merge(&mut self, from: SinkId, to: SinkId) {
        let mut count = 0;
        for lane in self.lanes.iter_mut().flatten().filter(|l| l.sink == from) {
            lane.sink = to;
            count += 1;
        }
        let target = self.sink(to).and_then(|s| {
            s.users += count;
            s.inode()
        });
        let source = self.sink(from).and_then(|s| s.inode());
        let shared = Arc::clone(&self.tools.shared);
        let mut registry = lock(&shared.registry);
        if let Some(inode) = target {
            for _ in 0..count {
                registry.acquire(inode);
            }
        }
        if let Some(inode) = source
            && registry.release(inode, count)
        {
            self.sinks[from as usize] = None;
        }
    }

    pub(super) fn user_of(&self, id: SinkId) -> Option<UnitId> {
        self.lanes.iter().flatten().find(|l| l.sink == id).map(|l| l.unit)
    }

    pub(super) fn lane(&mut self, id: u32) -> Option<&mut LaneState> {
        self.lanes.get_mut(id as usize)?.as_mut()
    }

    pub(super) fn sink(&mut self, id: SinkId) -> Option<&mut Sink> {
        self.sinks.get_mut(id as usize)?.as_mut()
    }

    /// Reports a fact, in order; what does not fit waits (at most a few a unit).
    pub(super) fn tell(&mut self, fact: LogFact) {
        if self.late.is_empty() {
            match self.facts.try_send(fact) {
                Err(mpsc::error::TrySendError::Full(fact)) => self.late.push_back(fact),
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => return,
            }
        } else {
            self.late.push_back(fact);
        }
        self.tools.shared.deferred.fetch_add(1, Ordering::Relaxed);
    }

    fn tell_late(&mut self) {
        while let Some(fact) = self.late.pop_front() {
            match self.facts.try_send(fact) {
                Err(mpsc::error::TrySendError::Full(fact)) => {
                    // Not one more: the engine may make room for it meanwhile, and the order is kept.
                    self.late.push_front(fact);
                    return;
                }
                Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => {}
            }
        }
    }
}

/// Says that the thread has ended.
struct Ended(Arc<Shared>);

impl Drop for Ended {
    fn drop(&mut self) {
        self.0.ended.store(true, Ordering::Release);
    }
}

/// Asks to be told when a device takes bytes again; false when it cannot say so.
fn watch(epoll: &Epoll, sink: &mut Sink, id: SinkId) -> bool {
    let Body::Device(device) = &sink.body else { return false };
    let key = SINK | u64::from(id);
    if sink.watched {
        return epoll.modify(device.file().as_fd(), key, Interest::WriteOnce).is_ok();
    }
    sink.watched = epoll.add(device.file().as_fd(), key, Interest::WriteOnce).is_ok();
    sink.watched
}
