//! One process slot of a pool.

use super::ear::{Ear, Heard, Mood};
use super::pool::Event;
use super::saved::{Doubt, Echo, SavedMember, Sending};
use super::{Action, Said};
use crate::ids::{RunId, UnitId};
use alloc::string::String;
use alloc::vec::Vec;

/// One process slot of the pool.
#[derive(Debug)]
pub(super) struct Member {
    pub(super) unit: UnitId,
    pub(super) name: String,
    /// The newest life that was heard of.
    pub(super) run: RunId,
    /// The newest life that is over.
    pub(super) over: RunId,
    /// That life is known to have begun. Its output may come before that news.
    pub(super) alive: bool,
    /// Its state is RUNNING.
    pub(super) running: bool,
    /// Its standard input is closed.
    pub(super) deaf: bool,
    pub(super) ear: Ear,
    /// What it is busy with.
    pub(super) holds: Option<Event>,
    /// That is on its way still.
    pub(super) sending: Option<Sending>,
    /// What it said last, until that is out of its pipe. It gets nothing before: its answer could not be
    /// told from that, after a crash.
    pub(super) echo: Option<Echo>,
    /// It is to be restarted: what it does is not known.
    pub(super) lost: bool,
    /// What it said last before a crash: the first that is heard may be that again.
    again: Option<Echo>,
    /// It was found among what was written down.
    known: bool,
}

/// What a first word after a crash is.
enum Word {
    /// All that is left is new.
    Known,
    Unclear,
}

impl Member {
    pub(super) fn new(unit: UnitId, name: &str) -> Member {
        Member {
            unit,
            name: name.into(),
            run: RunId(0),
            over: RunId(0),
            alive: false,
            running: false,
            deaf: false,
            ear: Ear::default(),
            holds: None,
            sending: None,
            echo: None,
            lost: false,
            again: None,
            known: false,
        }
    }

    pub(super) fn can_take(&self) -> bool {
        let quiet = self.echo.is_none() && self.again.is_none();
        self.alive && self.running && !self.deaf && quiet && self.ear.mood() == Mood::Ready
    }

    /// It is to have this.
    pub(super) fn take(&mut self, event: Event) {
        self.ear.sent();
        self.holds = Some(event);
        self.sending = Some(Sending::default());
    }

    /// What it held.
    pub(super) fn drop_event(&mut self) -> Option<Event> {
        self.sending = None;
        self.holds.take()
    }

    /// A new life. What the old one held goes back.
    pub(super) fn begin(&mut self, run: RunId) -> Option<Event> {
        self.run = run;
        self.alive = false;
        self.deaf = false;
        self.ear = Ear::default();
        self.echo = None;
        self.lost = false;
        self.again = None;
        self.drop_event()
    }

    /// Takes what is new, and understands all of it. What it held and does not any more is in `back`, or in
    /// `done`.
    pub(super) fn heard(&mut self, mut bytes: &[u8], out: &mut Vec<Action>) -> Answer {
        let mut answer = Answer::default();
        if self.ear.mood() == Mood::Unknown {
            return answer;
        }
        answer.meant = true;
        let all = Echo::of(bytes);
        match self.first_word(&mut bytes) {
            Word::Known => {}
            Word::Unclear => {
                answer.back = self.give_up(Doubt::Words, out);
                return answer;
            }
        }
        self.echo = Some(all);
        // Events go out when all of it is read: what was said after READY was said before the event came.
        loop {
            let before = self.ear.mood();
            let Some(heard) = self.ear.hear(&mut bytes) else { return answer };
            let done = heard == Heard::Result(true);
            self.understood(before, heard, out);
            let held = self.drop_event();
            if done {
                answer.done = held.map(|e| e.serial()).or(answer.done);
            } else {
                answer.back = held.or(answer.back);
            }
        }
    }

    /// After a crash: what was understood before it, but is in the pipe still, or a part of it, comes again.
    /// Mostly it could not say the same once more, so there is but one way to understand it.
    fn first_word(&mut self, bytes: &mut &[u8]) -> Word {
        let Some(again) = self.again.take() else { return Word::Known };
        let Some(repeated) = again.repeated_in(bytes) else { return Word::Unclear };
        let after = |n: &usize| bytes.get(*n..).unwrap_or(&[]);
        let mut sense = repeated.iter().filter(|n| self.ear.expects(after(n)));
        match (sense.next(), sense.next()) {
            (Some(_), Some(_)) => Word::Unclear,
            // It makes no sense in any way; then it is the way that explains the most.
            (n, _) => {
                *bytes = after(n.or(repeated.first()).unwrap_or(&0));
                Word::Known
            }
        }
    }

    /// Says what is to be said.
    fn understood(&self, before: Mood, heard: Heard, out: &mut Vec<Action>) {
        let name = || self.name.clone();
        let news = match heard {
            Heard::Ready | Heard::OutOfTurn => None,
            Heard::BadLine(line) => Some(Said::BadLine { name: name(), line }),
            Heard::Result(true) => Some(Said::Processed { name: name() }),
            Heard::Result(false) => Some(Said::Rejected { name: name() }),
        };
        out.extend(news.map(Action::Say));
        let now = self.ear.mood();
        out.push(Action::Say(Said::Moved { name: name(), from: before, to: now }));
        if now == Mood::Unknown {
            out.push(Action::Say(Said::Confused { name: name() }));
        }
    }

    /// It cannot be trusted any more: it is to be restarted, and hears nothing until then.
    fn give_up(&mut self, doubt: Doubt, out: &mut Vec<Action>) -> Option<Event> {
        out.push(Action::Say(doubt.says(&self.name)));
        out.push(Action::Restart { unit: self.unit, run: self.run });
        self.deaf = true;
        self.lost = true;
        self.ear.give_up();
        self.echo = None;
        self.again = None;
        self.drop_event()
    }

    /// This life goes on under another daemon. What it gives back waits again.
    pub(super) fn adopted(
        &mut self,
        unread: Option<u64>,
        unheard: Option<u64>,
        out: &mut Vec<Action>,
    ) -> Option<Event> {
        self.alive = true;
        if self.lost {
            // It was to be restarted already.
            return self.give_up(Doubt::State, out);
        }
        if self.ear.mood() == Mood::Unknown || self.deaf {
            return None;
        }
        if !self.known {
            return self.give_up(Doubt::State, out);
        }
        if let Some(sending) = self.sending {
            let written = sending.before.is_some_and(|before| unread.is_some_and(|n| n > before));
            if !written {
                let serial = self.holds.as_ref().map_or(0, Event::serial);
                return self.give_up(Doubt::Event(serial), out);
            }
            self.sending = None;
        }
        match (unread, unheard) {
            (None, _) | (_, None) => return self.give_up(Doubt::Pipe, out),
            // What it said last is out of its pipe.
            (_, Some(0)) => self.again = None,
            (Some(_), Some(_)) => {}
        }
        None
    }

    /// As it is, without its event.
    pub(super) fn save(&self) -> SavedMember {
        SavedMember {
            name: self.name.clone(),
            run: self.run.0,
            over: self.over.0,
            alive: self.alive,
            running: self.running,
            deaf: self.deaf,
            ear: self.ear.clone(),
            holds: self.holds.as_ref().map(Event::serial),
            sending: self.sending,
            echo: self.echo.as_ref().or(self.again.as_ref()).cloned(),
            lost: self.lost,
        }
    }

    /// As it was; with the event that it held.
    pub(super) fn restore(&mut self, saved: SavedMember, holds: Option<Event>) {
        self.run = RunId(saved.run);
        self.over = RunId(saved.over);
        self.alive = saved.alive;
        self.running = saved.running;
        self.deaf = saved.deaf;
        self.ear = saved.ear;
        self.sending = saved.sending.filter(|_| holds.is_some());
        self.holds = holds;
        self.again = saved.echo;
        self.lost = saved.lost;
        self.known = true;
    }
}

/// What a text of a listener led to.
#[derive(Debug, Default)]
pub(super) struct Answer {
    /// This waits again.
    pub(super) back: Option<Event>,
    /// This one is done.
    pub(super) done: Option<u64>,
    /// It meant something.
    pub(super) meant: bool,
}
