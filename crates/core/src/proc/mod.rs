//! One unit: what it is, what can happen to it, and what it does about it.
//!
//! [`step()`] is the only place where the life of a unit is decided. It is a function of the unit, an
//! event, the spec and the time; what must be done comes out as [`Action`]s.

mod cause;
mod ending;
mod step;

pub use cause::{Cause, Trouble};
pub use step::{Cx, step};

use crate::control::Verb;
use crate::exit::{Exit, StartError};
use crate::ids::{Pid, RunId};
use crate::signal::Signal;
use crate::time::{Mono, Wall};
use alloc::collections::VecDeque;
use serde::{Deserialize, Serialize};

/// What the operator or the configuration wants (habit 4: wanted and actual are two values).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Want {
    /// It should run.
    Up,
    /// It should not.
    Down,
}

/// What a unit is. A pid exists only where a process does, a deadline only where something is waited
/// for (habit 3).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum State {
    /// Never started, or stopped by request.
    Stopped {
        /// Why.
        cause: Cause,
    },
    /// Wanted up, but others come first. The fleet releases it.
    Held,
    /// Being started.
    Starting {
        /// This life.
        run: RunId,
        /// `None` until the spawn is reported.
        pid: Option<Pid>,
        /// Which command of a oneshot.
        index: usize,
        /// When the process was there (until then: when its spawn was ordered).
        begun: Mono,
        /// When it counts as started (simple), or has taken too long (oneshot).
        until: Option<Mono>,
    },
    /// Started well.
    Running {
        /// This life.
        run: RunId,
        /// The main process.
        pid: Pid,
        /// When the process was there.
        begun: Mono,
    },
    /// Waiting before the next try.
    Backoff {
        /// When that is.
        until: Mono,
        /// Consecutive failures, from 1.
        attempt: u32,
        /// What happened.
        cause: Cause,
    },
    /// Being ended.
    Stopping {
        /// This life.
        run: RunId,
        /// `None` until a spawn in flight is reported.
        pid: Option<Pid>,
        /// How far the ladder was climbed.
        phase: Phase,
        /// When the next rung is due; `None` waits for ever.
        next_at: Option<Mono>,
        /// The start took too long, nobody asked for this stop.
        timed_out: bool,
    },
    /// Ended by itself.
    Exited {
        /// How.
        exit: Exit,
        /// Its policy calls this clean.
        expected: bool,
        /// The same, in words.
        cause: Cause,
    },
    /// Given up.
    Fatal {
        /// Why.
        cause: Cause,
    },
    /// A signal could not be delivered to a living process.
    Unknown {
        /// This life.
        run: RunId,
        /// The process.
        pid: Pid,
    },
}

/// How far a stop has come.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Phase {
    /// A stop command runs.
    Command {
        /// Its run.
        aux: RunId,
        /// Which.
        index: usize,
    },
    /// The signal with this index was sent (or is sent as soon as the pid is known).
    Signal(usize),
    /// KILL was sent.
    Kill,
}

/// Supervisor's names and codes of the states (supervisor-contract 5).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(i32)]
#[allow(missing_docs)]
pub enum Word {
    Stopped = 0,
    Starting = 10,
    Running = 20,
    Backoff = 30,
    Stopping = 40,
    Exited = 100,
    Fatal = 200,
    Unknown = 1000,
}

impl Word {
    /// In capitals, as clients see it.
    pub fn name(self) -> &'static str {
        match self {
            Word::Stopped => "STOPPED",
            Word::Starting => "STARTING",
            Word::Running => "RUNNING",
            Word::Backoff => "BACKOFF",
            Word::Stopping => "STOPPING",
            Word::Exited => "EXITED",
            Word::Fatal => "FATAL",
            Word::Unknown => "UNKNOWN",
        }
    }
}

impl State {
    /// Which of Supervisor's states this is. A held unit is STARTING: it is wanted and on its way.
    pub fn kind(&self) -> Word {
        match self {
            State::Stopped { .. } => Word::Stopped,
            State::Held | State::Starting { .. } => Word::Starting,
            State::Running { .. } => Word::Running,
            State::Backoff { .. } => Word::Backoff,
            State::Stopping { .. } => Word::Stopping,
            State::Exited { .. } => Word::Exited,
            State::Fatal { .. } => Word::Fatal,
            State::Unknown { .. } => Word::Unknown,
        }
    }

    /// Its name in capitals.
    pub fn word(&self) -> &'static str {
        self.kind().name()
    }

    /// The main process.
    pub fn pid(&self) -> Option<Pid> {
        match self {
            State::Starting { pid, .. } | State::Stopping { pid, .. } => *pid,
            State::Running { pid, .. } | State::Unknown { pid, .. } => Some(*pid),
            State::Stopped { .. }
            | State::Held
            | State::Backoff { .. }
            | State::Exited { .. }
            | State::Fatal { .. } => None,
        }
    }

    /// The life in progress.
    pub fn run(&self) -> Option<RunId> {
        match self {
            State::Starting { run, .. }
            | State::Running { run, .. }
            | State::Stopping { run, .. }
            | State::Unknown { run, .. } => Some(*run),
            State::Stopped { .. }
            | State::Held
            | State::Backoff { .. }
            | State::Exited { .. }
            | State::Fatal { .. } => None,
        }
    }

    /// The end of this run is what its deadline is for: the main process, or a stop command.
    pub fn waits_for(&self, run: RunId) -> bool {
        let is_stop_command =
            matches!(self, State::Stopping { phase: Phase::Command { aux, .. }, .. } if *aux == run);
        self.run() == Some(run) || is_stop_command
    }

    /// When the unit wants to be asked again, if nothing else happens.
    pub fn deadline(&self) -> Option<Mono> {
        match self {
            State::Starting { until, .. } => *until,
            State::Backoff { until, .. } => Some(*until),
            State::Stopping { next_at, .. } => *next_at,
            State::Stopped { .. }
            | State::Held
            | State::Running { .. }
            | State::Exited { .. }
            | State::Fatal { .. }
            | State::Unknown { .. } => None,
        }
    }

    /// Nothing runs and nothing is going to by itself.
    pub fn is_down(&self) -> bool {
        match self {
            State::Stopped { .. } | State::Exited { .. } | State::Fatal { .. } => true,
            State::Held
            | State::Starting { .. }
            | State::Running { .. }
            | State::Backoff { .. }
            | State::Stopping { .. }
            | State::Unknown { .. } => false,
        }
    }

    /// A start is still under way: whoever comes after this unit waits.
    pub fn is_starting(&self) -> bool {
        matches!(self, State::Held | State::Starting { .. })
    }

    /// What a unit that requires this one needs: it runs, or a oneshot that ended well.
    pub fn is_reached(&self) -> bool {
        matches!(self, State::Running { .. } | State::Exited { expected: true, .. })
    }
}

/// What happens to a unit: wishes of people, facts from the system, time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Bring it up. `hold`: wait for [`Event::Release`]. `by_hand`: an operator asked, so counters
    /// begin anew.
    Start {
        /// Others come first.
        hold: bool,
        /// An operator asked.
        by_hand: bool,
    },
    /// The others are there.
    Release,
    /// One that it requires failed.
    Abandon(Cause),
    /// Bring it down.
    Stop {
        /// Because the daemon ends.
        shutdown: bool,
    },
    /// Bring it down and up.
    Restart,
    /// Run its reload commands.
    Reload,
    /// Send this to the main process.
    Signal(Signal),
    /// A spawn was done.
    Spawned {
        /// Which.
        run: RunId,
        /// The process.
        pid: Pid,
    },
    /// A spawn failed.
    SpawnFailed {
        /// Which.
        run: RunId,
        /// At which stage and why.
        error: StartError,
    },
    /// A process ended, and all its output is stored.
    Exited {
        /// Which.
        run: RunId,
        /// The process.
        pid: Pid,
        /// How.
        exit: Exit,
    },
    /// A signal could not be sent for another reason than "no such process".
    KillFailed {
        /// To which.
        run: RunId,
    },
    /// Time passed.
    Tick,
}

impl Event {
    /// The run that this fact is about.
    pub fn run(&self) -> Option<RunId> {
        match self {
            Event::Spawned { run, .. }
            | Event::SpawnFailed { run, .. }
            | Event::Exited { run, .. }
            | Event::KillFailed { run } => Some(*run),
            Event::Start { .. }
            | Event::Release
            | Event::Abandon(_)
            | Event::Stop { .. }
            | Event::Restart
            | Event::Reload
            | Event::Signal(_)
            | Event::Tick => None,
        }
    }
}

/// Which command line of the spec a run executes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Exe {
    /// `exec[n]`
    Main(usize),
    /// `stop_exec[n]`
    Stop(usize),
    /// `reload_exec[n]`
    Reload(usize),
}

/// What is to be done. The engine does it, in this order.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Start a process for this run.
    Spawn {
        /// A fresh run.
        run: RunId,
        /// Which command.
        exe: Exe,
    },
    /// Send a signal to the process of this run.
    Signal {
        /// Which.
        run: RunId,
        /// What.
        signal: Signal,
        /// To its whole process group.
        group: bool,
    },
    /// The main process of this run is gone: KILL what is left of its process group.
    Sweep {
        /// Which.
        run: RunId,
        /// Its process group.
        pid: Pid,
    },
    /// Tell the world.
    Note(Note),
}

/// What happened, for the log, the listeners and whoever waits.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// The state changed (between Supervisor's words).
    Changed {
        /// Before.
        from: Word,
        /// After.
        to: Word,
        /// Failures so far, for STARTING and BACKOFF.
        tries: u32,
        /// The process, where the new state has one or the old had.
        pid: Option<Pid>,
        /// For EXITED: the end was clean.
        expected: bool,
    },
    /// A main process was started.
    Spawned(Pid),
    /// A start failed.
    SpawnFailed(StartError),
    /// The main process ended by itself.
    Exited {
        /// How.
        exit: Exit,
        /// Cleanly.
        expected: bool,
        /// The process.
        pid: Pid,
    },
    /// The main process ended after a stop request.
    StopDone {
        /// How.
        exit: Exit,
        /// Cleanly.
        expected: bool,
    },
    /// KILL is sent because the stop signal was not heeded.
    Killing(Option<Pid>),
    /// A stop or reload command failed; how.
    CommandFailed(Exe, Cause),
    /// The reload commands ended well.
    Reloaded,
    /// The order had no effect in this state.
    Ignored(Verb),
}

/// The machine of one unit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Unit {
    /// Wanted.
    pub want: Want,
    /// Actual.
    pub state: State,
    /// Consecutive failed starts.
    pub failures: u32,
    /// When the latest starts were, oldest first; at most `limit.burst` of them.
    pub recent: VecDeque<Mono>,
    /// Automatic restarts since it was last started by hand; one that is still to come does not count.
    pub restarts: u32,
    /// The last main run.
    pub run: RunId,
    /// A reload command in progress, and which.
    pub reloading: Option<(RunId, usize)>,
    /// How the last run ended.
    pub last_exit: Option<Exit>,
    /// When `state` was entered.
    pub since: Wall,
    /// When the last run began.
    pub started: Option<Wall>,
    /// When the last run ended.
    pub ended: Option<Wall>,
    /// What went wrong last, until the next spawn (Supervisor's `spawnerr`).
    pub trouble: Option<Trouble>,
}

impl Unit {
    /// A unit that was never started.
    pub fn new(now: Wall) -> Unit {
        Unit {
            want: Want::Down,
            state: State::Stopped { cause: Cause::Never },
            failures: 0,
            recent: VecDeque::new(),
            restarts: 0,
            run: RunId(0),
            reloading: None,
            last_exit: None,
            since: now,
            started: None,
            ended: None,
            trouble: None,
        }
    }

    /// True when this run is one of its present ones; facts about others are of the past.
    pub fn knows(&self, run: RunId) -> bool {
        self.state.waits_for(run) || self.reloading.is_some_and(|(r, _)| r == run)
    }
}
