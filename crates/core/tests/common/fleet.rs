//! A fleet on its stage.

use super::{brief, exit, play_lines, span, start_error, time};
use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;
use supers_core::fleet::{Deed, Fleet};
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::proc::{Action, Event, State};
use supers_core::snapshot::Origin;
use supers_core::spec::Spec;

pub struct Stage {
    pub fleet: Fleet,
    pub clock: Duration,
    pub deeds: Vec<Deed>,
    /// Names of removed units are still needed to tell about them.
    names: BTreeMap<UnitId, String>,
}

impl Stage {
    pub fn new(specs: impl IntoIterator<Item = Spec>) -> Stage {
        let (fleet, names) = (Fleet::new(RunId(0)), BTreeMap::new());
        let mut stage = Stage { fleet, clock: Duration::ZERO, deeds: Vec::new(), names };
        for spec in specs {
            stage.add(spec).unwrap();
        }
        stage.fleet.link();
        stage
    }

    pub fn add(&mut self, spec: Spec) -> Option<UnitId> {
        let name = spec.full_name();
        let id = self.fleet.add(Arc::new(spec), Arc::new(Origin::default()), time(self.clock))?;
        self.names.insert(id, name);
        Some(id)
    }

    pub fn id(&self, name: &str) -> UnitId {
        self.fleet.find(name).unwrap_or_else(|| panic!("no unit {name}"))
    }

    pub fn run(&self, name: &str) -> RunId {
        self.fleet.get(self.id(name)).unwrap().unit.run
    }

    /// What was ordered since the last call, without the notes.
    pub fn told(&mut self) -> String {
        let deeds = std::mem::take(&mut self.deeds);
        let words: Vec<String> = deeds.iter().filter_map(|d| self.tell(d)).collect();
        if words.is_empty() { "-".into() } else { words.join(", ") }
    }

    fn tell(&self, deed: &Deed) -> Option<String> {
        match deed {
            Deed::Unit(_, Action::Note(_)) => None,
            Deed::Unit(id, action) => Some(format!("{} {}", self.names[id], brief(action))),
            Deed::Removed(id) => Some(format!("{} removed", self.names[id])),
            Deed::AllDown => Some("all down".into()),
        }
    }

    /// `a=RUNNING b=held`
    pub fn states(&self) -> String {
        let word = |s: &State| if *s == State::Held { "held" } else { s.word() };
        let all = self.fleet.iter().map(|(id, s)| format!("{}={}", self.names[&id], word(&s.unit.state)));
        all.collect::<Vec<_>>().join(" ")
    }

    pub fn fact(&mut self, name: &str, event: Event) -> String {
        let id = self.id(name);
        self.fleet.fact(id, event, time(self.clock), &mut self.deeds);
        self.told()
    }

    pub fn replace(&mut self, name: &str, change: impl FnOnce(&mut Spec)) -> String {
        let id = self.id(name);
        let mut spec = (*self.fleet.get(id).unwrap().spec).clone();
        change(&mut spec);
        self.fleet.replace(
            id,
            Arc::new(spec),
            Arc::new(Origin::default()),
            time(self.clock),
            &mut self.deeds,
        );
        self.told()
    }

    /// `[+TIME] EVENT [NAME...]`: see the arms; `?` asks for the states.
    pub fn say(&mut self, line: &str) -> String {
        let mut words: Vec<&str> = line.split_whitespace().collect();
        if let Some(pause) = words.first().and_then(|w| w.strip_prefix('+')) {
            self.clock += span(pause);
            words.remove(0);
        }
        let now = time(self.clock);
        let ids = |s: &Stage, names: &[&str]| names.iter().map(|n| s.id(n)).collect::<Vec<_>>();
        match words[..] {
            [] => self.fleet.tick(now, &mut self.deeds),
            ["?"] => return self.states(),
            ["boot"] => self.fleet.boot(now, &mut self.deeds),
            ["boot", ref names @ ..] => {
                let ids = ids(self, names);
                self.fleet.boot_these(&ids, now, &mut self.deeds);
            }
            ["start", ref names @ ..] => {
                let ids = ids(self, names);
                self.fleet.start(&ids, now, &mut self.deeds);
            }
            ["stop", ref names @ ..] => {
                let ids = ids(self, names);
                self.fleet.stop(&ids, now, &mut self.deeds);
            }
            ["restart", ref names @ ..] => {
                let ids = ids(self, names);
                self.fleet.restart(&ids, now, &mut self.deeds);
            }
            ["reload", ref names @ ..] => {
                let ids = ids(self, names);
                self.fleet.each(&ids, &Event::Reload, now, &mut self.deeds);
            }
            ["shutdown"] => self.fleet.shutdown(false, now, &mut self.deeds),
            ["shutdown", "one-by-one"] => self.fleet.shutdown(true, now, &mut self.deeds),
            ["remove", name] => {
                let id = self.id(name);
                self.fleet.remove(id, now, &mut self.deeds);
            }
            ["spawned", ref names @ ..] => {
                for name in names {
                    let run = self.run(name);
                    let event = Event::Spawned { run, pid: Pid(i32::try_from(run.0).unwrap()) };
                    self.fleet.fact(self.id(name), event, now, &mut self.deeds);
                }
            }
            ["exits", how, ref names @ ..] => {
                for name in names {
                    let run = self.run(name);
                    let event =
                        Event::Exited { run, pid: Pid(i32::try_from(run.0).unwrap()), exit: exit(how) };
                    self.fleet.fact(self.id(name), event, now, &mut self.deeds);
                }
            }
            ["is-gone", name] => {
                let run = self.run(name);
                self.fleet.end_is_known(self.id(name), run);
            }
            ["fails", name] => {
                let event = Event::SpawnFailed { run: self.run(name), error: start_error() };
                self.fleet.fact(self.id(name), event, now, &mut self.deeds);
            }
            ["kill-fails", name] => {
                let event = Event::KillFailed { run: self.run(name) };
                self.fleet.fact(self.id(name), event, now, &mut self.deeds);
            }
            _ => panic!("what is {line:?}?"),
        }
        self.told()
    }

    pub fn play(&mut self, transcript: &str) {
        play_lines(transcript, |line| self.say(line));
    }
}
