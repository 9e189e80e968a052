//! Taking over what a daemon before this one left: after a crash, after an upgrade, after keeper and daemon died
//! together.
//!
//! Units are as the records have them, deadlines included (the clock goes on over all of these). Each process of
//! a record is found again: among the children of the keeper by its run, else by its number and the time of its
//! birth; never by the number alone. A run that was written down and that the keeper never heard of was never
//! executed (a child tells the keeper of itself first of all), so it is started now; no run is started twice. When
//! the keeper died too, each child's own note of its birth says it ([`supers_os::births`]).

use crate::clock;
use crate::engine::{Engine, Run};
use crate::failpoint::hit;
use crate::family::Tidings;
use crate::held::Inheritance;
use crate::logs::Streams;
use crate::logs::mainlog::Level;
use crate::spawner::{Request, Work};
use crate::store::{CONNECTIONS, Estate, Leaving, SavedRun, SavedUnit};
use std::borrow::Cow;
use std::collections::HashMap;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;
use supers_core::exit::{Exit, StartError};
use supers_core::history::Deed;
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::proc::{Event, Exe};
use supers_core::signal::Signal;
use supers_core::snapshot::Origin;
use supers_core::spec::Spec;
use supers_os::births::Births;
use supers_os::error_text;
use supers_os::keeper_proto::Key;
use supers_os::reap;

/// What nobody knows has this long to end, before and after KILL.
const LEFTOVER_PATIENCE: Duration = Duration::from_secs(5);

/// How a notice begins that tells of what is weaker than it should be.
pub(crate) const WEAKENED: &str = "weakened: ";
/// The notice after an upgrade that was taken back.
const ROLLED_BACK: &str =
    "upgrade failed: the new superd died or did not answer in time; the one before goes on";

/// A description and where it stands.
type Described = (Arc<Spec>, Arc<Origin>);

/// A process that goes on.
pub(crate) struct Found {
    pub pid: Pid,
    /// It is neither ours nor the keeper's child.
    pub foreign: bool,
    /// By what it was known again, if it was.
    pub pidfd: Option<OwnedFd>,
}

/// What the daemon before left, with its units restored.
pub(crate) struct Legacy {
    units: Vec<UnitId>,
    runs: Vec<(UnitId, SavedRun)>,
    /// Its keeper is ours.
    same_keeper: bool,
    /// Its version, and why it made way.
    before: (String, Leaving),
    left: Inheritance,
}

/// Where a run of the records is now.
enum Whereabouts {
    /// It lives, or is a zombie.
    There(Found),
    /// It ended, and nobody can say how.
    Gone(Pid),
    /// It never began.
    Unborn,
}

impl Engine {
    /// All units are as the records have them. Doors may answer from now on: a thousand processes are found a
    /// little later ([`Engine::take_over`]).
    pub(crate) fn restore(&mut self, estate: Estate, left: Inheritance) {
        hit("takeover.begin");
        self.adopted = true;
        let Estate { daemon, groups, units, bus, connections: _, loaded: _ } = estate;
        self.store.put_raw(CONNECTIONS, None);
        let parsed = self.parsed.read();
        let known: HashMap<(&str, &str), &Described> =
            parsed.wanted.iter().map(|d| ((d.0.group.as_str(), d.0.name.as_str()), d)).collect();
        let described = |name: &str| {
            let (group, own) = name.split_once(':').unwrap_or((name, name));
            // A name may hold a colon of its own.
            let slowly = || parsed.wanted.iter().find(|d| d.0.full_name() == name);
            known.get(&(group, own)).copied().or_else(slowly).cloned()
        };
        self.again = daemon.again;
        let before = (daemon.version.clone(), daemon.leaving);
        // Our own keeper knows every child that ever began, if it lived to tell.
        let same_keeper = left.listed && daemon.keeper != 0 && daemon.keeper == self.family.pid();
        let mut runs = Vec::with_capacity(units.len());
        let mut ids = Vec::with_capacity(units.len());
        self.fleet.make_room(units.len());
        for (name, SavedUnit { place, spec, origin, slot, runs: saved }) in units {
            let described = match (spec, origin) {
                (Some(spec), Some(origin)) => {
                    Some((Arc::new(Cow::into_owned(*spec)), Arc::new(Cow::into_owned(*origin))))
                }
                _ => described(&name),
            };
            let Some((spec, origin)) = described else {
                self.journal
                    .warn(self.now, format!("the records of {name} have no description: not taken over"));
                continue;
            };
            let Some(id) = self.fleet.restore_slot(UnitId(place), spec, origin, slot) else { continue };
            self.store.knows(id, &name);
            ids.push(id);
            runs.extend(saved.into_iter().map(|run| (id, run)));
        }
        self.fleet.restored(daemon.fleet);
        self.groups.restore(groups);
        self.prepare(&ids);
        let records = bus.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        for warning in self.bus.restore(records) {
            self.journal.warn(self.now, warning);
        }
        if self.family.rolled_back() {
            self.notices.add(ROLLED_BACK.to_owned());
        }
        // Whoever asks is to hear at once what is weaker now, and is not to hear of an ended program that it runs.
        let at_once = !same_keeper || !left.ended.is_empty();
        self.unsettled.store(!left.ended.is_empty(), Ordering::Release);
        let legacy = Legacy { units: ids, runs, same_keeper, before, left };
        match at_once {
            false => self.legacy = Some(Box::new(legacy)),
            true => self.take_over(legacy),
        }
    }

    /// Each process of before is found, with all that belongs to it.
    pub(crate) fn take_over(&mut self, legacy: Legacy) {
        let Legacy { units: ids, runs, same_keeper, before, mut left } = legacy;
        if !self.has_all(&mut left) {
            return;
        }
        let mut found = 0;
        for (id, saved) in runs {
            found += usize::from(self.find_run(id, &saved, same_keeper, &mut left));
        }
        self.bus.settled(self.now);
        for id in ids.iter().copied() {
            self.adopt_idle_output(id, &mut left);
            if let Some(slot) = self.fleet.get(id) {
                self.sockets.inherit(&slot.spec, &mut left.held);
            }
        }
        hit("takeover.found");
        self.end_leftovers(left);
        self.tell_of_the_change(&before, same_keeper);
        let text = format!("took over {} units with {found} processes from the daemon before", ids.len());
        self.journal.warn(self.now, text);
    }

    /// Takes what the keeper has for units. Without it nothing can be taken over.
    pub(crate) fn has_all(&mut self, left: &mut Inheritance) -> bool {
        let taken = self.family.inherit_rest(left);
        if let Err(e) = &taken {
            self.broken = Some(format!("the keeper does not hand over: {}", error_text(e)));
        }
        taken.is_ok()
    }

    /// Says what became of the daemon before, and what is not as strong as before.
    fn tell_of_the_change(&mut self, before: &(String, Leaving), same_keeper: bool) {
        let (version, leaving) = before;
        let own = env!("CARGO_PKG_VERSION");
        let (deed, text) = match leaving {
            _ if self.family.rolled_back() => (Deed::RolledBack, ROLLED_BACK.to_owned()),
            Leaving::Upgrade => (Deed::Upgraded, format!("{version} -> {own}")),
            Leaving::KeeperLost => (Deed::KeeperLost, String::new()),
            Leaving::No if same_keeper => (Deed::Crashed, String::new()),
            Leaving::No => (Deed::Crashed, "together with its keeper".to_owned()),
        };
        if deed == Deed::RolledBack {
            self.journal.say(Level::Error, self.now, ROLLED_BACK);
        }
        self.history.daemon(self.now, deed, &text);
        let foreign = self.runs.values().filter(|r| r.foreign).count();
        if foreign > 0 {
            let text = format!(
                "{WEAKENED}{foreign} processes are not children of this superd's keeper (it was killed, or there was none): how they end may not be told, and what they leave behind goes elsewhere"
            );
            self.journal.warn(self.now, &text);
            self.notices.add(text);
        }
    }

    /// Finds one process again. True when there is one.
    fn find_run(
        &mut self,
        unit: UnitId,
        saved: &SavedRun,
        same_keeper: bool,
        left: &mut Inheritance,
    ) -> bool {
        let run = RunId(saved.run);
        match whereabouts(saved, same_keeper, self.store.births().as_deref(), left) {
            Whereabouts::There(found) => self.adopt_run(unit, saved, found, left),
            Whereabouts::Gone(pid) => {
                if saved.pid == 0 {
                    self.born.push((unit, run, pid));
                }
                // All of it is told to the fleet when it goes on.
                self.lost.push((unit, run, pid, saved.exit.unwrap_or(Exit::Unknown)));
                false
            }
            Whereabouts::Unborn => {
                self.unborn.push((unit, run, saved.exe));
                false
            }
        }
    }

    pub(crate) fn adopt_run(
        &mut self,
        unit: UnitId,
        saved: &SavedRun,
        Found { pid, foreign, pidfd }: Found,
        left: &mut Inheritance,
    ) -> bool {
        let run = RunId(saved.run);
        let Some(spec) = self.fleet.get(unit).map(|slot| slot.spec.clone()) else { return false };
        let pidfd = match pidfd.map_or_else(|| reap::pidfd_open(pid), Ok) {
            Ok(pidfd) => pidfd,
            Err(e) if e.raw_os_error() == Some(rustix::io::Errno::SRCH.raw_os_error()) => {
                self.lost.push((unit, run, pid, Exit::Unknown));
                return false;
            }
            Err(e) => {
                // It may live: to call it dead would start it a second time.
                self.broken = Some(format!("cannot watch pid {}: {}", pid.0, error_text(&e)));
                return false;
            }
        };
        let watched = match foreign {
            true => self.family.watch_foreign(run, pid, &pidfd),
            false => self.family.watch(run, pid, &pidfd),
        };
        if let Err(e) = watched {
            self.journal.warn(self.now, format!("cannot watch pid {}: {}", pid.0, error_text(&e)));
        }
        self.sockets.inherit_from(&spec, &pidfd);
        let stdin = left.held.take(Key::run(run.0));
        let fifos = Streams::names(&spec.full_name()).map(|name| left.held.take(Key::fifo(name.as_bytes())));
        let identity = match saved.identity {
            0 => reap::identity(&pidfd, pid).unwrap_or(0),
            known => known,
        };
        let exe = saved.exe;
        if saved.foreign != foreign || saved.identity == 0 {
            self.store.touch(unit);
        }
        if foreign && !saved.foreign {
            self.history.adopted(self.now, &spec, run, pid);
        }
        let r = Run {
            unit,
            spec: spec.clone(),
            exe,
            pid,
            identity,
            foreign,
            pidfd,
            streams: None,
            swept: false,
            exit: None,
        };
        self.runs.insert(run, r);
        if left.ended.contains(&run) {
            self.fleet.end_is_known(unit, run);
        }
        self.to_signal.extend(saved.due.map(|(signal, group)| (unit, run, signal, group)));
        hit("takeover.run");
        let unheard = fifos[0].as_ref().and_then(|fifo| supers_os::pipe::fionread(fifo).ok());
        self.bus.adopt(unit, run, exe, stdin, unheard);
        self.spawning.insert(run);
        self.adopting += 1;
        self.to_spawn.push(Request {
            unit,
            run,
            exe,
            spec,
            main: None,
            socket: None,
            work: Work::Adopt(fifos),
        });
        if saved.pid == 0 {
            // It was born when nobody could hear of it any more.
            self.born.push((unit, run, pid));
        }
        true
    }

    /// A unit without a process may have left words, or children that still write.
    fn adopt_idle_output(&mut self, unit: UnitId, left: &mut Inheritance) {
        let Some(spec) = self.fleet.get(unit).map(|slot| slot.spec.clone()) else { return };
        let fifos = Streams::names(&spec.full_name()).map(|name| left.held.take(Key::fifo(name.as_bytes())));
        if fifos.iter().all(Option::is_none) {
            return;
        }
        self.adopting += 1;
        let (run, exe, work) = (RunId(0), Exe::Main(0), Work::Adopt(fifos));
        self.to_spawn.push(Request { unit, run, exe, spec, main: None, socket: None, work });
    }

    /// The fleet goes on: what happened while nobody looked is told, what never began begins.
    pub(crate) fn go_on(&mut self) {
        hit("takeover.go-on");
        for (unit, run, pid) in std::mem::take(&mut self.born) {
            self.fleet.fact(unit, Event::Spawned { run, pid }, self.now, &mut self.deeds);
        }
        for (unit, run, exe) in std::mem::take(&mut self.unborn) {
            self.spawn(unit, run, exe);
        }
        for (unit, run, pid, exit) in std::mem::take(&mut self.lost) {
            self.fleet.fact(unit, Event::Exited { run, pid, exit }, self.now, &mut self.deeds);
        }
        self.fleet.resume(self.now, &mut self.deeds);
        hit("takeover.resumed");
        self.all_adopted();
    }

    /// When all output is taken over, what is left of others is forgotten. It may wait for a start under way, so it
    /// is not done here.
    fn all_adopted(&self) {
        if self.adopting == 0 {
            let logs = self.logs.clone();
            // Without a thread for it some notes stay.
            let _ = std::thread::Builder::new().name("adopted".into()).spawn(move || logs.adopted());
        }
    }

    /// What ended meanwhile is told when all output is taken over and no end waits for its last words.
    pub(crate) fn settle_down(&self) {
        let told = || self.adopting == 0 && self.runs.values().all(|r| r.exit.is_none());
        if self.unsettled.load(Ordering::Acquire) && told() {
            self.unsettled.store(false, Ordering::Release);
            self.settled.notify_waiters();
            self.settled.notify_one();
        }
    }

    /// The output of an adopted run is read again, or cannot be.
    pub(crate) fn output_adopted(&mut self, run: RunId, streams: Result<Arc<Streams>, StartError>) {
        hit("takeover.output");
        self.adopting = self.adopting.saturating_sub(1);
        self.all_adopted();
        let Some(r) = self.runs.get_mut(&run) else { return };
        match streams {
            Ok(streams) => {
                r.streams = Some(streams);
                if r.exit.is_some() {
                    self.store_last_words(run);
                }
            }
            Err(error) => {
                let name = r.spec.full_name();
                self.journal.warn(self.now, format!("{name}: its output cannot be taken over: {error}"));
                if r.exit.is_some() {
                    self.finish(run);
                }
            }
        }
    }

    /// Processes that nobody knows, since the records are gone: ended, politely at first, so that no unit runs
    /// twice. One that has ended already was dealt with, or there is nothing to be done for it; its group is nobody's
    /// business any more.
    pub(crate) fn end_leftovers(&mut self, left: Inheritance) {
        for (run, pid) in left.living {
            match left.ended.contains(&run) {
                true => self.let_go(run, pid),
                false => self.leftovers.push((run, pid)),
            }
        }
        for key in left.held.rest() {
            self.holder.forget(key);
        }
    }

    /// Waits until they have ended.
    pub(crate) async fn await_leftovers(&mut self) {
        let mut living = std::mem::take(&mut self.leftovers);
        if living.is_empty() {
            return;
        }
        let text = format!("{} processes are left of which no records tell: ending them", living.len());
        self.journal.warn(self.now, &text);
        let mut later = Vec::new();
        'ending: for (signal, patience) in
            [(Signal::TERM, LEFTOVER_PATIENCE), (Signal::KILL, LEFTOVER_PATIENCE)]
        {
            for (_, pid) in &living {
                let _ = reap::kill_group(*pid, signal);
            }
            let give_up = clock::now().mono + patience;
            while !living.is_empty() && clock::now().mono < give_up {
                tokio::select! {
                    () = self.family.readable() => {}
                    () = clock::until(Some(give_up)) => {}
                }
                for t in self.family.take() {
                    match t {
                        Tidings::Ended { run, pid, .. } if living.iter().any(|(left, _)| *left == run) => {
                            living.retain(|(left, _)| *left != run);
                            self.let_go(run, pid);
                        }
                        // Of those that are taken over, and of everything else: when all goes on.
                        Tidings::Ended { .. }
                        | Tidings::Signal(_)
                        | Tidings::Stranger { .. }
                        | Tidings::Prepared(..) => later.push(t),
                        Tidings::KeeperGone => {
                            later.push(t);
                            break 'ending;
                        }
                    }
                }
                self.send_out();
            }
        }
        self.family.put_back(later);
    }
}

fn whereabouts(
    saved: &SavedRun,
    same_keeper: bool,
    births: Option<&Births>,
    left: &mut Inheritance,
) -> Whereabouts {
    if let Some(pid) = left.living.remove(&RunId(saved.run)) {
        return Whereabouts::There(Found { pid, foreign: false, pidfd: None });
    }
    let pid = Pid(saved.pid);
    match saved.pid {
        0 if same_keeper => Whereabouts::Unborn,
        0 => match births.and_then(|births| births.find(saved.run)) {
            None => Whereabouts::Unborn,
            Some(birth) => there_or_gone(birth.pid, birth.process()),
        },
        // It ended, and we said that we know: that was not written down any more.
        _ if same_keeper && !saved.foreign => Whereabouts::Gone(pid),
        _ => there_or_gone(pid, foreign(saved)),
    }
}

/// What is not our keeper's child any more.
fn there_or_gone(pid: Pid, pidfd: Option<OwnedFd>) -> Whereabouts {
    match pidfd {
        Some(_) => Whereabouts::There(Found { pid, foreign: true, pidfd }),
        None => Whereabouts::Gone(pid),
    }
}

/// The process itself, and not another that has its number now.
fn foreign(saved: &SavedRun) -> Option<OwnedFd> {
    let pid = Pid(saved.pid);
    let pidfd = reap::pidfd_open(pid).ok()?;
    let same = saved.identity != 0 && reap::identity(&pidfd, pid).ok()? == saved.identity;
    same.then_some(pidfd)
}

#[cfg(test)]
#[path = "adopt_tests.rs"]
mod tests;
