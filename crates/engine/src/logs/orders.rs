//! What the pump is asked to do: units that come and go, drains, reopening.

use super::attach::{LaneSetup, Setup};
use super::file::Checked;
use super::pump::{COOLING, LaneState, Phase, Pump};
use super::sink::{Body, Sink};
use super::{LogFact, lock};
use std::io;
use std::os::fd::AsFd;
use std::sync::atomic::Ordering;
use std::sync::mpsc::Sender;
use std::time::Duration;
use supers_core::control::Stream;
use supers_core::ids::{RunId, UnitId};
use supers_core::time::Mono;
use supers_os::poll::Interest;
use tokio::sync::oneshot;

/// How long a drain may take when its target takes nothing.
const DRAIN_LIMIT: Duration = Duration::from_secs(1);
/// No stream.
const NONE: u32 = u32::MAX;

/// What the thread is asked to do.
pub(super) enum Cmd {
    Attach(Box<Setup>),
    Detach(UnitId),
    Drain(UnitId, RunId),
    Reopen,
    Clear(UnitId, Stream, oneshot::Sender<io::Result<()>>),
    /// The engine has noted so many bytes of what a listener said.
    Consumed(UnitId, usize),
    /// All units of an earlier daemon are attached.
    Adopted,
    /// Another daemon takes over. The sender is dropped when nothing is moved any more.
    Leave(Sender<()>),
    Shutdown,
}

/// A promise to move what was there.
pub(super) struct Drain {
    unit: UnitId,
    /// What `moved` of each stream must reach.
    goals: [u64; 2],
    pub(super) until: Mono,
    then: Then,
}

#[derive(Clone, Copy)]
pub(super) enum Then {
    Report(RunId),
    Remove,
}

impl Pump {
    pub(super) fn obey(&mut self) {
        if !self.tools.shared.called.swap(false, Ordering::AcqRel) {
            return;
        }
        let commands = std::mem::take(&mut *lock(&self.tools.shared.inbox));
        for cmd in commands {
            match cmd {
                Cmd::Attach(setup) => self.attach(*setup),
                Cmd::Detach(unit) => self.drain(unit, DRAIN_LIMIT, Then::Remove),
                Cmd::Drain(unit, run) => self.drain(unit, DRAIN_LIMIT, Then::Report(run)),
                Cmd::Reopen => self.reopen_all(),
                Cmd::Clear(unit, stream, answer) => {
                    // Who asked may have gone away.
                    let _ = answer.send(self.clear(unit, stream));
                }
                Cmd::Consumed(unit, bytes) => self.consumed(unit, bytes),
                Cmd::Adopted => self.adopted(),
                Cmd::Leave(done) => {
                    self.leave();
                    drop(done);
                }
                Cmd::Shutdown => {
                    self.closing = true;
                    for unit in self.units.keys().copied().collect::<Vec<_>>() {
                        self.drain(unit, DRAIN_LIMIT, Then::Remove);
                    }
                }
            }
        }
    }

    fn attach(&mut self, setup: Setup) {
        let old = self.units.remove(&setup.unit).unwrap_or([NONE; 2]);
        let mut lanes = [NONE; 2];
        for (index, (setup_lane, old)) in setup.lanes.into_iter().zip(old).enumerate() {
            let mut setup_lane = setup_lane;
            let ear = setup_lane.as_mut().and_then(|lane| lane.tap.as_mut()?.ear.as_mut());
            if old != NONE {
                let before = self.lane(old).and_then(|lane| lane.ear().copied());
                // What an earlier run wrote belongs where it was sent; but what was told to the engine as a
                // listener's words waits for its answer.
                match (ear, before) {
                    (Some(ear), Some(before)) => *ear = before,
                    (None, _) | (_, None) => {
                        self.deafen(old);
                        self.turn(old, true);
                    }
                }
                self.end_run(old);
                self.remove_lane(old);
            }
            if let Some(lane) = setup_lane {
                lanes[index] = self.add_lane(setup.unit, lane);
            }
        }
        self.units.insert(setup.unit, lanes);
        drop(setup.taken);
    }

    fn add_lane(&mut self, unit: UnitId, setup: LaneSetup) -> u32 {
        let slot = setup.sink as usize;
        if self.sinks.len() <= slot {
            self.sinks.resize_with(slot + 1, || None);
        }
        if let Some(body) = setup.fresh {
            self.sinks[slot] = Some(Sink::new(body));
        }
        if let Some(sink) = &mut self.sinks[slot] {
            sink.users += 1;
            if let Body::File(file) = &mut sink.body {
                file.configure(setup.max_bytes, setup.backups);
                if file.owed() == Some(setup.fifo.mark) && setup.fifo.waiting() == 0 {
                    // The line has no more than the file has of it.
                    file.forgive();
                    self.release(setup.sink);
                }
            }
        }
        let id = self.free.pop().unwrap_or(self.lanes.len() as u32);
        if self.lanes.len() <= id as usize {
            self.lanes.push(None);
        }
        let added = self.epoll.add(setup.fifo.as_fd(), u64::from(id), Interest::ReadOnce);
        let mut lane = LaneState {
            capacity: setup.fifo.capacity(),
            enlarged: false,
            waited: false,
            fifo: setup.fifo,
            unit,
            sink: setup.sink,
            strip: setup.strip,
            tap: setup.tap.map(Box::new),
            starving: false,
            phase: Phase::Armed,
            moved: 0,
        };
        if added.is_err() {
            // Out of watches or memory: looked at by the clock until it can be armed.
            lane.phase = Phase::Cooling;
            self.cooling.push_back((self.now + COOLING, id));
        }
        self.lanes[id as usize] = Some(lane);
        id
    }

    fn remove_lane(&mut self, id: u32) {
        let Some(lane) = self.lanes.get_mut(id as usize).and_then(Option::take) else { return };
        lane.fifo.busy.store(false, Ordering::SeqCst);
        // An entry that was never added is as good as removed.
        let _ = self.epoll.remove(lane.fifo.as_fd());
        self.free.push(id);
        let Some(sink) = self.sink(lane.sink) else { return };
        sink.users = sink.users.saturating_sub(1);
        if sink.owed() == Some(lane.fifo.mark) {
            sink.forgive();
            self.release(lane.sink);
        }
        let Some(sink) = self.sink(lane.sink) else { return };
        let Some(inode) = sink.inode() else { return };
        if lock(&self.tools.shared.registry).release(inode, 1) {
            self.sinks[lane.sink as usize] = None;
        }
    }

    /// Moves at once what a unit has written so far.
    fn drain(&mut self, unit: UnitId, limit: Duration, then: Then) {
        let ids = self.units.get(&unit).copied().unwrap_or([NONE; 2]);
        // There may be room again; afterwards nobody may look for it any more.
        for id in ids {
            let Some(sink) = self.lane(id).map(|lane| lane.sink) else { continue };
            if self.sink(sink).is_some_and(|s| s.stuck.as_ref().is_some_and(|stuck| stuck.retry.is_some())) {
                self.retry(sink);
            }
        }
        let mut drain = Drain { unit, goals: [0; 2], until: self.now + limit, then };
        for (id, goal) in ids.into_iter().zip(&mut drain.goals) {
            if matches!(then, Then::Remove) {
                self.deafen(id);
            }
            let Some(lane) = self.lane(id) else { continue };
            *goal = lane.moved + lane.fifo.waiting();
            let goal = *goal;
            while self.lane(id).is_some_and(|lane| lane.moved < goal) {
                let turn = self.turn(id, true);
                if turn.moved == 0 && !turn.more {
                    break;
                }
            }
        }
        if !self.finish(&mut drain) {
            self.drains.push(drain);
        }
    }

    /// Checks a drain, and does what is to follow when it is complete or its time is over.
    fn finish(&mut self, drain: &mut Drain) -> bool {
        let ids = self.units.get(&drain.unit).copied().unwrap_or([NONE; 2]);
        let open = ids.into_iter().zip(drain.goals).any(|(id, goal)| self.owes(id, goal));
        if open && self.now < drain.until {
            return false;
        }
        let mut lanes = ids.into_iter().filter_map(|id| self.lanes.get(id as usize)?.as_ref());
        let starving =
            lanes.any(|lane| lane.starving || lane.tap.as_ref().is_some_and(|tap| tap.is_waiting()));
        if open && starving && matches!(drain.then, Then::Report(_)) {
            // It is the engine that is slow: what the run wrote is told before its end is.
            drain.until = self.now + DRAIN_LIMIT;
            return false;
        }
        for id in ids {
            self.end_run(id);
        }
        match drain.then {
            Then::Report(run) => self.tell(LogFact::Drained { unit: drain.unit, run }),
            Then::Remove => {
                self.units.remove(&drain.unit);
                for id in ids {
                    self.remove_lane(id);
                }
            }
        }
        true
    }

    /// True while a stream has not stored its bytes up to `goal`, and there is hope that it will soon: a
    /// full disk is not waited for, the bytes are safe in the FIFO.
    fn owes(&self, id: u32, goal: u64) -> bool {
        let Some(lane) = self.lanes.get(id as usize).and_then(Option::as_ref) else { return false };
        let Some(sink) = self.sinks.get(lane.sink as usize).and_then(Option::as_ref) else { return false };
        match &sink.stuck {
            Some(stuck) => stuck.retry.is_none() && (lane.moved < goal || !stuck.held.is_empty()),
            None => lane.moved < goal,
        }
    }

    /// Nobody waits for what a listener says any more.
    fn deafen(&mut self, id: u32) {
        if let Some(ear) = self.lane(id).and_then(|lane| lane.ear()) {
            ear.deaf = true;
        }
    }

    fn consumed(&mut self, unit: UnitId, bytes: usize) {
        let [id, _] = self.units.get(&unit).copied().unwrap_or([NONE; 2]);
        let Some(lane) = self.lane(id) else { return };
        let Some(ear) = lane.ear() else { return };
        ear.noted = ear.noted.saturating_add(bytes).min(ear.told);
        if lane.phase == Phase::Waiting && !lane.starving {
            lane.phase = Phase::Hot;
            self.hot.push_back(id);
        }
    }

    /// A stream that would come first and is not there does not come.
    fn adopted(&mut self) {
        for id in 0..self.sinks.len() as u32 {
            let Some(first) = self.sink(id).and_then(|sink| sink.owed()) else { continue };
            if !self.lanes.iter().flatten().any(|lane| lane.sink == id && lane.fifo.mark == first) {
                if let Some(sink) = self.sink(id) {
                    sink.forgive();
                }
                self.release(id);
            }
        }
    }

    /// The last that is done: what was read already has nowhere else to go.
    fn leave(&mut self) {
        self.leaving = true;
        for id in 0..self.lanes.len() as u32 {
            self.end_run(id);
        }
        for sink in self.sinks.iter_mut().flatten() {
            if let Some(stuck) = sink.stuck.take() {
                let (done, _) = sink.write(&stuck.held, &mut self.tools);
                self.tools.shared.dropped.fetch_add((stuck.held.len() - done) as u64, Ordering::Relaxed);
            }
        }
    }

    pub(super) fn finish_drains(&mut self) {
        for mut drain in std::mem::take(&mut self.drains) {
            if !self.finish(&mut drain) {
                self.drains.push(drain);
            }
        }
    }

    fn reopen_all(&mut self) {
        for id in 0..self.sinks.len() as u32 {
            if let Some(Sink { body: Body::File(file), .. }) = self.sinks[id as usize].as_mut() {
                match file.reopen(&mut self.tools) {
                    Ok(Checked::Ready) => {}
                    Ok(Checked::Taken(other)) => self.merge(id, other),
                    Err(e) => {
                        if let Some(unit) = self.user_of(id) {
                            self.trouble(unit, id, &e);
                        }
                    }
                }
            }
        }
    }

    fn clear(&mut self, unit: UnitId, stream: Stream) -> io::Result<()> {
        let lanes = self.units.get(&unit).copied().unwrap_or([NONE; 2]);
        if !self.units.contains_key(&unit) {
            return Ok(());
        }
        let id = match stream {
            Stream::Stdout => lanes[0],
            Stream::Stderr => lanes[1],
        };
        let sink = self.lane(id).map(|l| l.sink).ok_or(io::ErrorKind::NotFound)?;
        match self.sinks.get_mut(sink as usize).and_then(Option::as_mut) {
            Some(Sink { body: Body::File(file), .. }) => match file.clear(&mut self.tools)? {
                Checked::Ready => Ok(()),
                Checked::Taken(other) => {
                    self.merge(sink, other);
                    Ok(())
                }
            },
            _ => Err(io::ErrorKind::NotFound.into()),
        }
    }
}
