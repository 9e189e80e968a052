//! One pool: the events that wait, and the processes that take them.

use super::ear::{Ear, Heard, Mood};
use super::{Action, Said};
use crate::event::Kind;
use crate::ids::{RunId, UnitId};
use crate::spec::Listener;
use alloc::collections::VecDeque;
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;

/// What happened, as all pools share it.
#[derive(Clone, Debug)]
pub(super) struct News {
    pub serial: u64,
    pub kind: Kind,
    pub payload: Arc<str>,
    /// Code points in the payload.
    pub length: usize,
}

/// One event of one pool. Its numbers stay the same however often it is sent.
#[derive(Clone, Debug)]
struct Event {
    news: News,
    pool_serial: u64,
}

/// One process slot of the pool.
#[derive(Debug)]
struct Member {
    unit: UnitId,
    name: String,
    /// The newest life that was heard of.
    run: RunId,
    /// The newest life that is over.
    over: RunId,
    /// That life is known to have begun. Its output may come before that news.
    alive: bool,
    /// Its state is RUNNING.
    running: bool,
    /// Its standard input is closed.
    deaf: bool,
    ear: Ear,
    /// What it is busy with.
    holds: Option<Event>,
}

/// How a pool does.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Count {
    /// The pool's name.
    pub pool: String,
    /// Events that wait now.
    pub waiting: usize,
    /// Events it got.
    pub accepted: u64,
    /// Events it dropped because its buffer was full.
    pub dropped: u64,
}

/// All listeners of one group. The buffer is bounded by `buffer_size`; the oldest is dropped.
#[derive(Debug)]
pub(super) struct Pool {
    name: String,
    server: Arc<str>,
    pub(super) wants: Listener,
    buffer: VecDeque<Event>,
    accepted: u64,
    dropped: u64,
    /// In the order of the configuration: the first that is ready gets the event.
    members: Vec<Member>,
}

impl Pool {
    pub(super) fn new(name: String, server: Arc<str>, wants: Listener) -> Pool {
        let (buffer, members) = (VecDeque::new(), Vec::new());
        Pool { name, server, wants, buffer, accepted: 0, dropped: 0, members }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.members.is_empty()
    }

    pub(super) fn count(&self) -> Count {
        let (waiting, accepted, dropped) = (self.buffer.len(), self.accepted, self.dropped);
        Count { pool: self.name.clone(), waiting, accepted, dropped }
    }

    pub(super) fn mood(&self, unit: UnitId) -> Option<Mood> {
        self.members.iter().find(|m| m.unit == unit).map(|m| m.ear.mood())
    }

    pub(super) fn add(&mut self, unit: UnitId, name: &str) {
        if self.members.iter().any(|m| m.unit == unit) {
            return;
        }
        self.members.push(Member {
            unit,
            name: name.into(),
            run: RunId(0),
            over: RunId(0),
            alive: false,
            running: false,
            deaf: false,
            ear: Ear::default(),
            holds: None,
        });
    }

    pub(super) fn remove(&mut self, unit: UnitId, out: &mut Vec<Action>) {
        if let Some(at) = self.members.iter().position(|m| m.unit == unit) {
            let held = self.members.remove(at).holds;
            self.give_back(held, out);
            self.deliver(out);
        }
    }

    pub(super) fn accept(&mut self, news: News, out: &mut Vec<Action>) {
        let event = Event { news, pool_serial: self.accepted };
        self.accepted += 1;
        self.make_room(out);
        self.buffer.push_back(event);
        self.deliver(out);
    }

    pub(super) fn started(&mut self, unit: UnitId, run: RunId, out: &mut Vec<Action>) {
        let Some(member) = self.member(unit) else { return };
        let held = if member.run == run { None } else { member.begin(run) };
        member.alive = run > member.over;
        self.give_back(held, out);
        self.deliver(out);
    }

    pub(super) fn running(&mut self, unit: UnitId, running: bool, out: &mut Vec<Action>) {
        if let Some(member) = self.member(unit) {
            member.running = running;
            self.deliver(out);
        }
    }

    pub(super) fn ended(&mut self, unit: UnitId, run: RunId, out: &mut Vec<Action>) {
        let Some(member) = self.member(unit) else { return };
        member.over = member.over.max(run);
        if member.run == run {
            member.alive = false;
            let held = member.holds.take();
            self.give_back(held, out);
            self.deliver(out);
        }
    }

    pub(super) fn broken(&mut self, unit: UnitId, run: RunId, out: &mut Vec<Action>) {
        let Some(member) = self.member(unit).filter(|m| m.run == run) else { return };
        member.deaf = true;
        let held = member.holds.take();
        if let Some(event) = &held {
            out.push(Action::Say(Said::Broken { name: member.name.clone(), serial: event.news.serial }));
        }
        self.give_back(held, out);
        self.deliver(out);
    }

    pub(super) fn heard(&mut self, unit: UnitId, run: RunId, mut bytes: &[u8], out: &mut Vec<Action>) {
        let Some(member) = self.member(unit) else { return };
        if run <= member.over || run < member.run || (run > member.run && member.alive) {
            return;
        }
        let early = if run > member.run { member.begin(run) } else { None };
        self.give_back(early, out);
        // Events go out when all of it is read: what was said after READY was said before the event came.
        while let Some(member) = self.member(unit) {
            let before = member.ear.mood();
            let Some(heard) = member.ear.hear(&mut bytes) else { break };
            let held = member.understood(before, heard, out);
            self.give_back(held, out);
        }
        self.deliver(out);
    }

    fn member(&mut self, unit: UnitId) -> Option<&mut Member> {
        self.members.iter_mut().find(|m| m.unit == unit)
    }

    /// To the front, so that the order stays.
    fn give_back(&mut self, event: Option<Event>, out: &mut Vec<Action>) {
        if let Some(event) = event {
            self.make_room(out);
            self.buffer.push_front(event);
        }
    }

    fn make_room(&mut self, out: &mut Vec<Action>) {
        let size = usize::try_from(self.wants.buffer_size).unwrap_or(usize::MAX).max(1);
        while self.buffer.len() >= size {
            let Some(event) = self.buffer.pop_front() else { return };
            self.dropped += 1;
            out.push(Action::Say(Said::Overflow { pool: self.name.clone(), serial: event.news.serial }));
        }
    }

    /// What waits, to whom is ready.
    fn deliver(&mut self, out: &mut Vec<Action>) {
        while !self.buffer.is_empty() {
            let Some(member) = self.members.iter_mut().find(|m| m.can_take()) else { return };
            let Some(event) = self.buffer.pop_front() else { return };
            let bytes = envelope(&self.server, &self.name, &event);
            let (name, serial) = (member.name.clone(), event.news.serial);
            out.push(Action::Send { unit: member.unit, run: member.run, bytes });
            out.push(Action::Say(Said::Sent { name, serial }));
            member.ear.sent();
            member.holds = Some(event);
        }
    }
}

impl Member {
    fn can_take(&self) -> bool {
        self.alive && self.running && !self.deaf && self.ear.mood() == Mood::Ready
    }

    /// A new life. What the old one held goes back.
    fn begin(&mut self, run: RunId) -> Option<Event> {
        self.run = run;
        self.alive = false;
        self.deaf = false;
        self.ear = Ear::default();
        self.holds.take()
    }

    /// Says what is to be said. What it gives back waits again.
    fn understood(&mut self, before: Mood, heard: Heard, out: &mut Vec<Action>) -> Option<Event> {
        let name = || self.name.clone();
        let (news, done) = match heard {
            Heard::Ready => (None, false),
            Heard::OutOfTurn => (None, false),
            Heard::BadLine(line) => (Some(Said::BadLine { name: name(), line }), false),
            Heard::Result(true) => (Some(Said::Processed { name: name() }), true),
            Heard::Result(false) => (Some(Said::Rejected { name: name() }), false),
        };
        out.extend(news.map(Action::Say));
        let now = self.ear.mood();
        out.push(Action::Say(Said::Moved { name: name(), from: before, to: now }));
        if now == Mood::Unknown {
            out.push(Action::Say(Said::Confused { name: name() }));
        }
        self.holds.take().filter(|_| !done)
    }
}

fn envelope(server: &str, pool: &str, event: &Event) -> Vec<u8> {
    let News { serial, kind, payload, length } = &event.news;
    let (kind, pool_serial) = (kind.name(), event.pool_serial);
    let head = format!(
        "ver:3.0 server:{server} serial:{serial} pool:{pool} poolserial:{pool_serial} \
         eventname:{kind} len:{length}\n"
    );
    let mut bytes = Vec::with_capacity(head.len() + payload.len());
    bytes.extend_from_slice(head.as_bytes());
    bytes.extend_from_slice(payload.as_bytes());
    bytes
}
