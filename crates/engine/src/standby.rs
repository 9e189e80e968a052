//! Before an upgrade: the next program looks at the records while this daemon still answers.

use crate::engine::Engine;
use crate::failpoint::hit;
use crate::leave::Leave;
use crate::logs::mainlog::Level;
use crate::orders::Reply;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use supers_core::control::Refusal;
use supers_core::time::Mono;
use supers_os::keeper_proto::Standby as Became;

/// How long the next program may prepare itself.
const PATIENCE: Duration = Duration::from_secs(5);

/// An upgrade that was asked for.
pub(crate) struct Standby {
    binary: OwnedFd,
    reply: Reply<()>,
    until: Mono,
}

impl Engine {
    /// This program is to be the daemon, as soon as it is prepared.
    pub(crate) fn make_way(&mut self, binary: OwnedFd, reply: Reply<()>) {
        let refuse = |text: &str| Err(Refusal::Failed { text: text.into() });
        if !self.family.has_keeper() {
            return drop(reply.send(refuse("an upgrade needs the keeper")));
        }
        if self.standby.is_some() || self.leave.is_some() {
            return drop(reply.send(refuse("an upgrade is under way already")));
        }
        self.upgrades += 1;
        let waits = self.family.prepare(Some(binary.as_fd()), self.upgrades);
        self.standby = Some(Standby { binary, reply, until: self.now.mono + PATIENCE });
        hit("standby.asked");
        if !waits {
            self.next_is_prepared(Became::None);
        }
    }

    /// It is known what became of the next program on standby.
    pub(crate) fn next_is_prepared(&mut self, standby: Became) {
        match standby {
            Became::Ended => self.stay_for("the new superd ended while it prepared itself"),
            Became::Prepared | Became::None => {
                if let Some(Standby { binary, reply, .. }) = self.standby.take() {
                    self.leave(Leave::Upgrade(binary));
                    drop(reply.send(Ok(())));
                }
            }
        }
    }

    /// It had time enough.
    pub(crate) fn wait_no_longer(&mut self) {
        if self.standby.as_ref().is_some_and(|standby| standby.until <= self.now.mono) {
            self.stay_for("the new superd did not prepare itself in time");
        }
    }

    fn stay_for(&mut self, why: &str) {
        if self.standby.is_none() {
            return;
        }
        let text = format!("upgrade failed: {why}; nothing was changed");
        self.journal.say(Level::Error, self.now, &text);
        self.stay(Refusal::Failed { text });
    }

    pub(crate) fn standby_deadline(&self) -> Option<Mono> {
        Some(self.standby.as_ref()?.until)
    }

    /// Something else comes first: there will be no upgrade.
    pub(crate) fn stay(&mut self, why: Refusal) {
        if let Some(standby) = self.standby.take() {
            self.family.prepare(None, 0);
            drop(standby.reply.send(Err(why)));
        }
    }
}
