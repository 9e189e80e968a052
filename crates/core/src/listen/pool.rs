//! One pool: the events that wait, and the processes that take them.

use super::ear::Mood;
use super::member::Member;
use super::saved::{SavedEvent, SavedPool, Sending};
use super::{Action, Said};
use crate::event::Kind;
use crate::ids::{RunId, UnitId};
use crate::spec::Listener;
use alloc::collections::{BTreeMap, VecDeque};
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
pub(super) struct Event {
    news: News,
    pool_serial: u64,
}

impl Event {
    pub(super) fn serial(&self) -> u64 {
        self.news.serial
    }

    pub(super) fn save(&self, pool: &str) -> SavedEvent {
        let News { serial, kind, payload, .. } = &self.news;
        let (pool, kind, payload) = (pool.into(), kind.name().into(), (**payload).into());
        SavedEvent { pool, serial: *serial, pool_serial: self.pool_serial, kind, payload }
    }

    pub(super) fn restore(saved: SavedEvent, kind: Kind) -> Event {
        let length = saved.payload.chars().count();
        let news = News { serial: saved.serial, kind, payload: saved.payload.into(), length };
        Event { news, pool_serial: saved.pool_serial }
    }
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
    /// Those that were given back, then those that came, by their numbers.
    buffer: VecDeque<Event>,
    /// So many were given back.
    returned: usize,
    accepted: u64,
    dropped: u64,
    /// In the order of the configuration: the first that is ready gets the event.
    members: Vec<Member>,
    /// What was restored is not complete yet: nothing goes out.
    unsettled: bool,
    notes: Option<Notes>,
}

/// What is to be written down.
#[derive(Debug, Default)]
pub(super) struct Notes {
    /// More than its events.
    changed: bool,
    /// Those that came, or are done (`None`), since the last time.
    events: BTreeMap<u64, Option<Event>>,
}

/// Events that came, or are done.
type Marks = BTreeMap<u64, Option<Event>>;

impl Pool {
    pub(super) fn new(name: String, server: Arc<str>, wants: Listener, keeps: bool) -> Pool {
        let (buffer, members) = (VecDeque::new(), Vec::new());
        let notes = keeps.then(|| Notes { changed: true, events: BTreeMap::new() });
        let (returned, accepted, dropped) = (0, 0, 0);
        Pool { name, server, wants, buffer, returned, accepted, dropped, members, unsettled: false, notes }
    }

    pub(super) fn name(&self) -> &str {
        &self.name
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

    /// The numbers of all that wait or are held, and of those whose end is not written down yet.
    pub(super) fn serials(&self) -> impl Iterator<Item = u64> {
        let held = self.members.iter().filter_map(|m| m.holds.as_ref());
        let noted = self.notes.iter().flat_map(|notes| notes.events.keys().copied());
        self.buffer.iter().chain(held).map(Event::serial).chain(noted)
    }

    pub(super) fn add(&mut self, unit: UnitId, name: &str) {
        if !self.members.iter().any(|m| m.unit == unit) {
            self.members.push(Member::new(unit, name));
            self.changed();
        }
    }

    pub(super) fn remove(&mut self, unit: UnitId, out: &mut Vec<Action>) {
        if let Some(at) = self.members.iter().position(|m| m.unit == unit) {
            let held = self.members.remove(at).drop_event();
            self.changed();
            self.give_back(held, out);
            self.deliver(out);
        }
    }

    pub(super) fn accept(&mut self, news: News, out: &mut Vec<Action>) {
        let event = Event { news, pool_serial: self.accepted };
        self.accepted += 1;
        self.make_room(out);
        if let Some(notes) = &mut self.notes {
            notes.events.insert(event.serial(), Some(event.clone()));
        }
        self.buffer.push_back(event);
        self.deliver(out);
    }

    pub(super) fn started(&mut self, unit: UnitId, run: RunId, out: &mut Vec<Action>) {
        let Some(member) = self.member(unit) else { return };
        let held = if member.run == run { None } else { member.begin(run) };
        member.alive = run > member.over;
        self.changed();
        self.give_back(held, out);
        self.deliver(out);
    }

    pub(super) fn running(&mut self, unit: UnitId, running: bool, out: &mut Vec<Action>) {
        if let Some(member) = self.member(unit).filter(|m| m.running != running) {
            member.running = running;
            self.changed();
            self.deliver(out);
        }
    }

    pub(super) fn ended(&mut self, unit: UnitId, run: RunId, out: &mut Vec<Action>) {
        let Some(member) = self.member(unit) else { return };
        member.over = member.over.max(run);
        let mut held = None;
        if member.run == run {
            member.alive = false;
            member.echo = None;
            held = member.drop_event();
        }
        self.changed();
        self.give_back(held, out);
        self.deliver(out);
    }

    pub(super) fn broken(&mut self, unit: UnitId, run: RunId, out: &mut Vec<Action>) {
        let Some(member) = self.member(unit).filter(|m| m.run == run) else { return };
        member.deaf = true;
        let held = member.drop_event();
        if let Some(event) = &held {
            out.push(Action::Say(Said::Broken { name: member.name.clone(), serial: event.news.serial }));
        }
        self.changed();
        self.give_back(held, out);
        self.deliver(out);
    }

    pub(super) fn heard(&mut self, unit: UnitId, run: RunId, bytes: &[u8], out: &mut Vec<Action>) {
        let Some(member) = self.member(unit) else { return };
        if run <= member.over || run < member.run || (run > member.run && member.alive) {
            return;
        }
        let early = if run > member.run { member.begin(run) } else { None };
        let answer = member.heard(bytes, out);
        if answer.meant || early.is_some() {
            self.changed();
        }
        if let (Some(serial), Some(_)) = (answer.done, &self.notes) {
            self.is_done(serial);
        }
        self.give_back(early, out);
        self.give_back(answer.back, out);
        self.deliver(out);
    }

    /// All that this process said so far is out of its pipe: it may get an event.
    pub(super) fn consumed(&mut self, unit: UnitId, run: RunId, out: &mut Vec<Action>) {
        let Some(member) = self.member(unit).filter(|m| m.run == run && m.echo.is_some()) else { return };
        member.echo = None;
        self.changed();
        self.deliver(out);
    }

    /// Its event is about to be written.
    pub(super) fn sending(&mut self, unit: UnitId, run: RunId, before: Option<u64>) {
        if let Some(member) = self.member(unit).filter(|m| m.run == run && m.sending.is_some()) {
            member.sending = Some(Sending { before });
            self.changed();
        }
    }

    /// Its event waits to be written, or is being written.
    pub(super) fn awaits(&self, unit: UnitId, run: RunId) -> bool {
        self.members.iter().any(|m| m.unit == unit && m.run == run && m.sending.is_some())
    }

    /// Its event was written.
    pub(super) fn sent(&mut self, unit: UnitId, run: RunId) {
        if let Some(member) = self.member(unit).filter(|m| m.run == run && m.sending.is_some()) {
            member.sending = None;
            self.changed();
        }
    }

    pub(super) fn adopted(
        &mut self,
        unit: UnitId,
        run: RunId,
        unread: Option<u64>,
        unheard: Option<u64>,
        out: &mut Vec<Action>,
    ) {
        let Some(member) = self.member(unit).filter(|m| run > m.over && run >= m.run) else { return };
        let older = if run > member.run { member.begin(run) } else { None };
        let held = member.adopted(unread, unheard, out);
        self.changed();
        self.give_back(older, out);
        self.give_back(held, out);
    }

    /// Whoever is not alive is gone.
    pub(super) fn settled(&mut self, out: &mut Vec<Action>) {
        self.unsettled = false;
        let gone: Vec<Event> =
            self.members.iter_mut().filter(|m| !m.alive).filter_map(Member::drop_event).collect();
        for event in gone.into_iter().rev() {
            self.give_back(Some(event), out);
        }
        self.deliver(out);
    }

    pub(super) fn dirty(&self) -> bool {
        self.notes.as_ref().is_some_and(|notes| notes.changed || !notes.events.is_empty())
    }

    /// Events that came or are done, and the rest if it changed.
    pub(super) fn take_changes(&mut self, next: u64) -> (Marks, Option<SavedPool>) {
        let Some(notes) = self.notes.as_mut().map(core::mem::take) else { return (Marks::new(), None) };
        (notes.events, notes.changed.then(|| self.save(next)))
    }

    fn save(&self, next: u64) -> SavedPool {
        SavedPool {
            pool: self.name.clone(),
            serial: next,
            accepted: self.accepted,
            dropped: self.dropped,
            front: self.buffer.iter().take(self.returned).map(Event::serial).collect(),
            members: self.members.iter().map(Member::save).collect(),
        }
    }

    /// As it was. Without a record its processes are strangers.
    pub(super) fn restore(&mut self, saved: Option<SavedPool>, mut events: BTreeMap<u64, Event>) {
        self.unsettled = true;
        self.changed();
        let newest = events.values().map(|e| e.pool_serial + 1).max().unwrap_or(0);
        let saved = saved.unwrap_or_default();
        self.accepted = saved.accepted.max(newest).max(self.accepted);
        self.dropped = saved.dropped;
        for saved in saved.members {
            let holds = saved.holds.and_then(|serial| events.remove(&serial));
            match self.members.iter_mut().find(|m| m.name == saved.name) {
                Some(member) => member.restore(saved, holds),
                // Its unit is no more.
                None => events.extend(holds.map(|e| (e.serial(), e))),
            }
        }
        let front: Vec<Event> = saved.front.iter().filter_map(|serial| events.remove(serial)).collect();
        self.returned = front.len();
        self.buffer = front.into_iter().chain(events.into_values()).collect();
    }

    fn member(&mut self, unit: UnitId) -> Option<&mut Member> {
        self.members.iter_mut().find(|m| m.unit == unit)
    }

    fn changed(&mut self) {
        if let Some(notes) = &mut self.notes {
            notes.changed = true;
        }
    }

    /// Nobody needs to know of it any more.
    fn is_done(&mut self, serial: u64) {
        if let Some(notes) = &mut self.notes {
            // What was never written down needs no removal.
            if !matches!(notes.events.remove(&serial), Some(Some(_))) {
                notes.events.insert(serial, None);
            }
        }
    }

    /// To the front, so that the order stays.
    fn give_back(&mut self, event: Option<Event>, out: &mut Vec<Action>) {
        if let Some(event) = event {
            self.make_room(out);
            self.buffer.push_front(event);
            self.returned += 1;
            self.changed();
        }
    }

    fn make_room(&mut self, out: &mut Vec<Action>) {
        let size = usize::try_from(self.wants.buffer_size).unwrap_or(usize::MAX).max(1);
        while self.buffer.len() >= size {
            let Some(event) = self.first() else { return };
            self.dropped += 1;
            self.changed();
            self.is_done(event.serial());
            out.push(Action::Say(Said::Overflow { pool: self.name.clone(), serial: event.news.serial }));
        }
    }

    fn first(&mut self) -> Option<Event> {
        self.returned = self.returned.saturating_sub(1);
        self.buffer.pop_front()
    }

    /// What waits, to whom is ready.
    fn deliver(&mut self, out: &mut Vec<Action>) {
        while !self.unsettled && !self.buffer.is_empty() {
            let Some(at) = self.members.iter().position(Member::can_take) else { return };
            let Some(event) = self.first() else { return };
            let bytes = envelope(&self.server, &self.name, &event);
            self.changed();
            let Some(member) = self.members.get_mut(at) else { return };
            let (name, serial) = (member.name.clone(), event.news.serial);
            out.push(Action::Send { unit: member.unit, run: member.run, bytes });
            out.push(Action::Say(Said::Sent { name, serial }));
            member.take(event);
        }
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
