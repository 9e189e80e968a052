//! What comes from below: ends of processes, signals, the keeper's end.

use crate::engine::{Engine, Hup};
use crate::family::Tidings;
use crate::leave::Leave;
use crate::logs::mainlog::Level;
use crate::orders::After;
use supers_core::control::{Caller, Refusal};
use supers_core::signal::Signal;

impl Engine {
    /// News of processes, signals and the keeper.
    pub(crate) fn tidings(&mut self) {
        for t in self.family.take() {
            match t {
                Tidings::Ended { run, exit, .. } if self.runs.contains_key(&run) => self.exited(run, exit),
                Tidings::Ended { run, pid, exit } if self.spawning.contains(&run) => {
                    self.early.insert(run, (pid, exit));
                }
                Tidings::Ended { run, pid, .. } if self.unexecuted.contains_key(&run) => {
                    if let Some(unit) = self.unexecuted.remove(&run) {
                        self.died_unexecuted(unit, run, pid);
                    }
                    self.let_go(run, pid);
                }
                // Of an earlier daemon, or of a start that failed: nobody waits for it.
                Tidings::Ended { run, pid, .. } if run < self.first_run || self.failed.remove(&run) => {
                    self.let_go(run, pid);
                }
                // The keeper tells what the pidfd told before.
                Tidings::Ended { .. } => {}
                Tidings::Signal(signal) => self.signalled(signal),
                Tidings::Stranger { pid, exit } if self.requested > 0 => {
                    self.stillborn.insert(pid, exit);
                }
                Tidings::Stranger { pid, exit } => {
                    self.journal.info(self.now, format!("reaped unknown pid {} ({exit})", pid.0));
                }
                Tidings::Prepared(standby, number) if number == self.upgrades => {
                    self.next_is_prepared(standby)
                }
                // Of an upgrade that was given up.
                Tidings::Prepared(..) => {}
                Tidings::KeeperGone => {
                    self.stay(Refusal::Failed { text: "the keeper is gone".into() });
                    let text = "the keeper is gone: this process takes its place, a new daemon takes over";
                    self.journal.say(Level::Critical, self.now, text);
                    self.leave(Leave::Orphaned);
                }
            }
        }
    }

    /// A signal to the daemon is an order too, of somebody without a name.
    fn note_signal(&mut self, signal: Signal) {
        let verb = match signal {
            Signal::TERM | Signal::INT | Signal::QUIT => "shutdown",
            Signal::HUP if self.hup == Hup::Restart => "restart of the daemon",
            Signal::HUP => "reload",
            Signal::USR2 => "reopen logs",
            _ => return,
        };
        let caller = Caller { who: signal.to_string(), door: "signal".into() };
        self.history.asked(self.now, &caller, verb, &[], Vec::new());
    }

    pub(crate) fn signalled(&mut self, signal: Signal) {
        self.note_signal(signal);
        match signal {
            Signal::TERM | Signal::INT | Signal::QUIT => {
                self.journal.warn(self.now, format!("received {signal} indicating exit request"));
                self.end_by(false);
            }
            Signal::HUP if self.fleet.is_stopping() => {
                self.journal
                    .warn(self.now, "ignored SIGHUP indicating restart request (shutdown in progress)");
            }
            Signal::HUP if self.hup == Hup::Restart => {
                self.journal.warn(self.now, "received SIGHUP indicating restart request");
                self.end_by(true);
            }
            Signal::HUP => {
                self.journal.warn(self.now, "received SIGHUP indicating reload request");
                self.sources.read_for(After::Reload { dry_run: false, reply: None }, &self.fleet);
            }
            Signal::USR2 => {
                self.journal.info(self.now, "received SIGUSR2 indicating log reopen request");
                self.journal.info(self.now, "supervisord logreopen");
                self.journal.flush();
                self.journal.reopen();
                self.logs.reopen_all();
            }
            other => self.journal.info(self.now, format!("received {other}, which means nothing here")),
        }
    }
}
