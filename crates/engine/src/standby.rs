//! Before an upgrade: the next program looks at the records while this daemon still answers.

use crate::engine::Engine;
use crate::leave::Leave;
use crate::orders::Reply;
use std::os::fd::{AsFd, OwnedFd};
use std::time::Duration;
use supers_core::control::Refusal;
use supers_core::time::Mono;

/// How long the next program may prepare itself. One that takes longer prepares while nobody answers.
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
        let waits = self.family.prepare(Some(binary.as_fd()));
        self.standby = Some(Standby { binary, reply, until: self.now.mono + PATIENCE });
        if !waits {
            self.next_is_prepared();
        }
    }

    /// The next program is prepared, or will not be: that is no reason to stay.
    pub(crate) fn next_is_prepared(&mut self) {
        if let Some(Standby { binary, reply, .. }) = self.standby.take() {
            self.leave(Leave::Upgrade(binary));
            drop(reply.send(Ok(())));
        }
    }

    /// It had time enough.
    pub(crate) fn wait_no_longer(&mut self) {
        if self.standby.as_ref().is_some_and(|standby| standby.until <= self.now.mono) {
            self.next_is_prepared();
        }
    }

    pub(crate) fn standby_deadline(&self) -> Option<Mono> {
        Some(self.standby.as_ref()?.until)
    }

    /// Something else comes first: there will be no upgrade.
    pub(crate) fn stay(&mut self, why: Refusal) {
        if let Some(standby) = self.standby.take() {
            self.family.prepare(None);
            drop(standby.reply.send(Err(why)));
        }
    }
}
