//! One unit on its stage.

use super::{brief, exit, play_lines, signal_named, span, start_error, time};
use std::time::Duration;
use supers_core::ids::{Pid, RunId};
use supers_core::proc::{Action, Cause, Cx, Event, Phase, State, Unit, step};
use supers_core::spec::Spec;
use supers_core::time::Wall;

pub struct Stage {
    pub unit: Unit,
    pub spec: Spec,
    pub clock: Duration,
    pub next_run: u64,
    pub actions: Vec<Action>,
}

impl Stage {
    pub fn new(spec: Spec) -> Stage {
        Stage { unit: Unit::new(Wall(0)), spec, clock: Duration::ZERO, next_run: 0, actions: Vec::new() }
    }

    /// Lets `event` happen; what came of it, in words.
    pub fn send(&mut self, event: &Event) -> String {
        self.actions.clear();
        let mut cx = Cx {
            spec: &self.spec,
            now: time(self.clock),
            next_run: &mut self.next_run,
            out: &mut self.actions,
        };
        step(&mut self.unit, event, &mut cx);
        let words: Vec<String> = self.actions.iter().map(brief).collect();
        if words.is_empty() { "-".into() } else { words.join(", ") }
    }

    pub fn main(&self) -> RunId {
        self.unit.state.run().unwrap_or(self.unit.run)
    }

    /// The stop or reload command in progress.
    pub fn command(&self) -> RunId {
        match (&self.unit.state, self.unit.reloading) {
            (State::Stopping { phase: Phase::Command { aux, .. }, .. }, _) => *aux,
            (_, Some((run, _))) => run,
            _ => RunId(0),
        }
    }

    pub fn pid(run: RunId) -> Pid {
        Pid(100 + i32::try_from(run.0).unwrap())
    }

    /// `[+TIME] EVENT`: see the arms. Without an event only time passes, and the unit is told.
    pub fn say(&mut self, line: &str) -> String {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if let Some(pause) = words.first().and_then(|w| w.strip_prefix('+')) {
            self.clock += span(pause);
            words.remove(0);
        }
        let (main, command) = (self.main(), self.command());
        let spawned = |run| Event::Spawned { run, pid: Stage::pid(run) };
        let ended = |run, how| Event::Exited { run, pid: Stage::pid(run), exit: exit(how) };
        let event = match words[..] {
            [] => Event::Tick,
            ["start"] => Event::Start { hold: false, by_hand: true },
            ["boot"] => Event::Start { hold: false, by_hand: false },
            ["hold"] => Event::Start { hold: true, by_hand: false },
            ["release"] => Event::Release,
            ["abandon"] => Event::Abandon(Cause::Dependency("db".into())),
            ["stop"] => Event::Stop { shutdown: false },
            ["shutdown"] => Event::Stop { shutdown: true },
            ["restart"] => Event::Restart,
            ["reload"] => Event::Reload,
            ["signal", name] => Event::Signal(signal_named(name)),
            ["spawned"] => spawned(main),
            ["fails"] => Event::SpawnFailed { run: main, error: start_error() },
            ["exits", how] => ended(main, how),
            ["kill-fails"] => Event::KillFailed { run: main },
            ["command", "spawned"] => spawned(command),
            ["command", "fails"] => Event::SpawnFailed { run: command, error: start_error() },
            ["command", "exits", how] => ended(command, how),
            ["command", "kill-fails"] => Event::KillFailed { run: command },
            _ => panic!("what is {line:?}?"),
        };
        self.send(&event)
    }

    /// Says each of these, whatever comes of it.
    pub fn after(mut self, lines: &[&str]) -> Stage {
        for line in lines {
            self.say(line);
        }
        self
    }
}

/// Plays a transcript on a fresh unit, and returns what became of it.
pub fn play(spec: &Spec, transcript: &str) -> Stage {
    let mut stage = Stage::new(spec.clone());
    play_lines(transcript, |line| stage.say(line));
    stage
}
