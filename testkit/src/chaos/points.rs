//! The deadly places of the daemon (`engine/src/failpoint.rs`), and what makes it pass them.

/// What is done after a place was made deadly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum By {
    /// Nothing: it is passed all the time.
    Itself,
    /// The daemon is killed, so that the next one takes over.
    TakeOver,
    /// An upgrade.
    Upgrade,
    /// The logs are opened again.
    Reopen,
    /// A log is cleared.
    Clear,
    /// The operator stops a program.
    Stop,
}

/// A place, how it is come by, and up to how often it may be passed before it kills.
pub struct Point {
    /// As the daemon calls it.
    pub name: &'static str,
    /// How it is come by.
    pub by: By,
    /// At most.
    pub times: usize,
}

const fn point(name: &'static str, by: By, times: usize) -> Point {
    Point { name, by, times }
}

/// Here a daemon has nothing yet of what its keeper holds for it.
pub(super) const BARE: &str = "takeover.hello";

/// All of them but those in repairs, which [`REPAIRS`] has.
pub const POINTS: [Point; 46] = [
    point("spawn.attached", By::Itself, 5),
    point("spawn.held", By::Itself, 5),
    point("spawn.ready", By::Itself, 5),
    point("spawn.cloned", By::Itself, 5),
    point("spawn.done", By::Itself, 5),
    point("spawn.reported", By::Itself, 5),
    point("signal.sent", By::Stop, 1),
    point("exit.finished", By::Itself, 5),
    point("commit.begin", By::Itself, 20),
    point("commit.written", By::Itself, 20),
    point("commit.settled", By::Itself, 20),
    point("commit.done", By::Itself, 20),
    point(BARE, By::TakeOver, 1),
    point("takeover.begin", By::TakeOver, 1),
    point("takeover.run", By::TakeOver, 9),
    point("takeover.found", By::TakeOver, 1),
    point("takeover.go-on", By::TakeOver, 1),
    point("takeover.resumed", By::TakeOver, 1),
    point("takeover.output", By::TakeOver, 9),
    point("adopt.begin", By::TakeOver, 9),
    point("adopt.done", By::TakeOver, 9),
    point("adopt.repaired", By::TakeOver, 9),
    point("adopt.opened", By::TakeOver, 9),
    point("standby.asked", By::Upgrade, 1),
    point("leave.asked", By::Upgrade, 1),
    point("leave.begin", By::Upgrade, 1),
    point("leave.committed", By::Upgrade, 1),
    point("leave.done", By::Upgrade, 1),
    point("heard.told", By::Itself, 5),
    point("heard.consume", By::Itself, 5),
    point("heard.consumed", By::Itself, 5),
    point("splice.before", By::Itself, 30),
    point("splice.after", By::Itself, 30),
    point("rotate.begin", By::Itself, 4),
    point("rotate.shifted", By::Itself, 4),
    point("shift.step", By::Itself, 20),
    point("rotate.next", By::Itself, 4),
    point("rotate.copied", By::Itself, 4),
    point("rotate.cut", By::Itself, 1),
    point("rotate.moved", By::Itself, 4),
    point("rotate.renamed", By::Itself, 4),
    point("rotate.noted", By::Itself, 4),
    point("rotate.truncate", By::Itself, 1),
    point("rotate.truncated", By::Itself, 1),
    point("reopen.opened", By::Reopen, 3),
    point("clear.removed", By::Clear, 1),
];

/// Places in the repair of a rotation that another death cut short: the first place, then the one that is
/// passed by the next daemon.
pub const REPAIRS: [(&str, &str); 4] = [
    ("rotate.cut", "repair.shift"),
    ("rotate.cut", "repair.shifted"),
    ("rotate.cut", "repair.moved"),
    ("rotate.next", "repair.drop"),
];
