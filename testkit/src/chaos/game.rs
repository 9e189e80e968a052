//! One round: what is done to superd and its programs, in an order that the seed decides.

use super::load::Shared;
use super::points::{BARE, By, POINTS, REPAIRS};
use super::rng::Rng;
use super::roles::now;
use super::site::{CODERS, SLEEPERS, Site, Version, WRITERS};
use crate::Process;
use std::collections::HashMap;
use std::fs;
use std::time::{Duration, Instant};

/// A daemon that lived so long is not "killed again and again": the keeper makes no pause.
const LONG_LIFE: Duration = Duration::from_millis(1050);
/// So many quick deaths of daemons that were ready cost no pause.
const FREE_DEATHS: u32 = 8;
/// The same before one that dies while it takes over.
const FREE_YOUNG: u32 = 3;
/// How long a deadly place may take to be passed.
const PASSING: Duration = Duration::from_secs(4);

/// What can happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// The daemon is killed.
    Kill,
    /// It is killed, and the next one while it takes over.
    KillYoung,
    /// The daemon is killed together with programs.
    KillWithUnits,
    /// The daemon is killed while an order is given.
    KillInOrder,
    /// The keeper is killed.
    KillKeeper,
    /// The keeper dies when the daemon comes by a deadly place, by its index.
    KillKeeperAt(usize),
    /// Both are killed.
    KillBoth,
    /// Programs are killed.
    KillUnits,
    /// A good upgrade.
    Upgrade,
    /// One to a program that is no superd.
    UpgradeToNothing,
    /// One to a program that says that it can and cannot.
    UpgradeToLiar,
    /// One to a program that says nothing for ever.
    UpgradeToSilence,
    /// A program is added by a reload.
    Reload,
    /// The operator stops or starts a program.
    Wish,
    /// USR2.
    Reopen,
    /// The small disk is full until the next act of this kind.
    Disk,
    /// A deadly place, by its index.
    Point(usize),
    /// Deadly places from this index on, one after another in daemons that take over.
    Chain(usize, usize),
    /// A deadly place in a repair.
    Repair(usize),
}

/// What a round knows of what it did.
pub(super) struct Game<'a> {
    site: &'a Site,
    shared: &'a Shared,
    rng: Rng,
    /// Programs that it killed, by their pids.
    pub(super) killed: HashMap<i32, &'static str>,
    /// What the operator wants, and how often each was started.
    pub(super) wishes: [(bool, usize); SLEEPERS.len()],
    /// Programs that are to run once.
    pub(super) onces: usize,
    /// When keepers were killed.
    pub(super) weak: Vec<u64>,
    /// When both were.
    pub(super) both: Vec<u64>,
    /// Places that nobody came by.
    pub(super) missed: Vec<&'static str>,
    /// Pids of daemons that died quickly in a row, and when the present one was seen first.
    quick: u32,
    seen: (i32, Instant),
    full: bool,
    /// What it does is printed.
    pub(super) shown: bool,
}

type Done = Result<(), String>;

impl<'a> Game<'a> {
    /// Everything runs, nothing was done.
    pub(super) fn new(site: &'a Site, shared: &'a Shared, rng: Rng) -> Game<'a> {
        Game {
            site,
            shared,
            rng,
            killed: HashMap::new(),
            wishes: [(true, 1); SLEEPERS.len()],
            onces: 1,
            weak: Vec::new(),
            both: Vec::new(),
            missed: Vec::new(),
            quick: 0,
            seen: (0, Instant::now()),
            full: false,
            shown: false,
        }
    }

    /// Plays these acts in an order of chance.
    ///
    /// # Errors
    /// superd does not answer any more, or the like; what comes then has no meaning.
    pub(super) fn play(&mut self, mut acts: Vec<Act>) -> Done {
        self.rng.shuffle(&mut acts);
        for act in acts {
            self.show(&format!("{act:?}"));
            self.act(act).map_err(|e| format!("{act:?}: {e}"))?;
            self.check_wishes().map_err(|e| format!("after {act:?}: {e}"))?;
        }
        self.disk(false)
    }

    fn show(&self, text: &str) {
        let text = format!("{} {text}", now());
        if self.shown {
            eprintln!("{text}");
        }
        self.shared.tally().note(text);
    }

    fn act(&mut self, act: Act) -> Done {
        match act {
            Act::Kill => self.kill(|_| Ok(())),
            Act::KillYoung => self.kill_young(),
            Act::KillWithUnits => self.kill(Game::kill_units),
            Act::KillInOrder => self.kill_in_order(),
            Act::KillKeeper => self.kill_keeper(),
            Act::KillKeeperAt(i) => self.kill_keeper_at(i),
            Act::KillBoth => self.kill_both(),
            Act::KillUnits => self.kill_units(),
            Act::Upgrade => self.upgrade(),
            Act::UpgradeToNothing => self.bad_upgrade("/bin/true"),
            Act::UpgradeToLiar => {
                let liar = self.script("test \"$1\" = --check-state && echo superd can go on: 9.9");
                self.bad_upgrade(&liar)
            }
            Act::UpgradeToSilence => {
                let silent = self.script("exec sleep 100");
                self.bad_upgrade(&silent)
            }
            Act::Reload => self.reload(),
            Act::Wish => {
                let (i, up) = self.choose_wish();
                self.wish(i, up)
            }
            Act::Reopen => self.reopen(),
            Act::Disk => self.disk(!self.full),
            Act::Point(i) => self.point(i),
            Act::Chain(from, count) => self.chain(from, count),
            Act::Repair(i) => self.repair(i),
        }
    }

    /// The processes of superd, as it says itself.
    fn version(&mut self) -> Result<Version, String> {
        let version = self.site.until("an answer of superd", || self.site.version())?;
        self.notice(version);
        Ok(version)
    }

    fn notice(&mut self, version: Version) {
        if version.daemon != self.seen.0 {
            self.seen = (version.daemon, Instant::now());
        }
    }

    /// A daemon is about to die. When too many died quickly the keeper would make a pause, so this one lives on
    /// for a while.
    fn may_die(&mut self, free: u32) -> Result<Version, String> {
        let version = self.site.until("an answer of superd", || self.site.version())?;
        if version.daemon != self.seen.0 && self.seen.0 != 0 {
            let detail = format!("{} was the daemon, and now {version:?}", self.seen.0);
            self.shared.tally().wrong("daemons died by themselves", &detail);
        }
        self.notice(version);
        // An order is answered by a daemon that has told its keeper that it is ready. One that dies before that
        // is not one that somebody kills, for the keeper, but one that cannot start.
        let order = "POST /api/v1/programs/server/start";
        self.site
            .until("an order", || self.site.unix.ask(order).ok().filter(|(status, _)| *status == 200))?;
        if self.quick >= free {
            let since = self.seen.1;
            self.site.until("a long life", || (since.elapsed() > LONG_LIFE).then_some(()))?;
        }
        self.quick = if self.seen.1.elapsed() > LONG_LIFE { 0 } else { self.quick + 1 };
        Ok(version)
    }

    fn kill(&mut self, at_once: impl FnOnce(&mut Self) -> Done) -> Done {
        let before = self.may_die(FREE_DEATHS)?;
        let since = Instant::now();
        self.slay(before.daemon)?;
        at_once(self)?;
        self.back(before, since, "back after a kill of the daemon")
    }

    fn slay(&mut self, daemon: i32) -> Done {
        let process = Process::open(daemon).ok_or("the daemon is gone by itself")?;
        process.kill();
        self.shared.tally().did("daemon kills", 1);
        Ok(())
    }

    /// Another daemon answers below the same keeper.
    fn back(&mut self, before: Version, since: Instant, what: &'static str) -> Done {
        let other = || self.site.version().filter(|v| v.daemon != before.daemon);
        let after = self.site.until("another daemon", other)?;
        self.show(&format!("{what}: {:?}", since.elapsed()));
        self.shared.tally().took(what, since.elapsed());
        self.notice(after);
        if after.keeper == before.keeper {
            return Ok(());
        }
        Err(format!("another keeper: {before:?}, {after:?}"))
    }

    fn kill_young(&mut self) -> Done {
        let before = self.may_die(FREE_YOUNG)?;
        let since = Instant::now();
        self.slay(before.daemon)?;
        let pause = Duration::from_micros(self.rng.below(25_000) as u64);
        let process = self.site.until("the next daemon", || {
            let below = crate::descendants(before.keeper).into_iter().filter(|p| *p != before.daemon);
            // A child that the daemon before was about to start has this program too, and another name.
            below.filter_map(Process::open).find(|p| p.comm() == "superd" && p.lives())
        })?;
        std::thread::sleep(pause.saturating_sub(since.elapsed()));
        process.kill();
        self.quick += 1;
        self.shared.tally().did("daemon kills", 1);
        let before = Version { daemon: process.pid, ..before };
        self.back(before, since, "back after two kills in a row")
    }

    fn kill_in_order(&mut self) -> Done {
        let (i, up) = self.choose_wish();
        let before = self.may_die(FREE_DEATHS)?;
        let (since, door) = (Instant::now(), self.site.unix.clone());
        let request = order(i, up);
        let asking = std::thread::spawn(move || door.ask(&request).is_ok());
        std::thread::sleep(Duration::from_micros(self.rng.below(3000) as u64));
        self.slay(before.daemon)?;
        self.back(before, since, "back after a kill of the daemon")?;
        // Whether it was heard or not: it is asked for again.
        let _ = asking.join();
        self.wish(i, up)
    }

    fn kill_keeper(&mut self) -> Done {
        let before = self.may_die(FREE_DEATHS)?;
        let keeper = Process::open(before.keeper).ok_or("the keeper is gone by itself")?;
        self.weak.push(now());
        keeper.kill();
        let after = self.below_another_keeper(before, Instant::now())?;
        if after.keeper == before.daemon {
            return Ok(());
        }
        Err(format!("the daemon did not become the keeper: {before:?}, {after:?}"))
    }

    /// Nobody can say which daemon takes its place.
    fn kill_keeper_at(&mut self, index: usize) -> Done {
        let point = &POINTS[index];
        let before = self.may_die(FREE_DEATHS)?;
        let keeper = Process::open(before.keeper).ok_or("the keeper is gone by itself")?;
        self.arm(&format!("keeper@{}:1", point.name));
        let since = Instant::now();
        self.weak.push(now());
        // Nothing of what the keeper holds was fetched: it is as if both were killed at once.
        let bare = point.name == BARE;
        self.shared.away(bare);
        if bare {
            self.both.push(now());
        }
        match point.by {
            By::TakeOver => self.slay(before.daemon)?,
            By::Upgrade => drop(self.site.world.supers(&["upgrade"])),
            By::Itself | By::Reopen | By::Clear | By::Stop => {}
        }
        let passed = keeper.wait(PASSING);
        let _ = fs::remove_file(&self.site.failpoint);
        if !passed {
            self.missed.push(point.name);
            self.shared.away(false);
            return self.version().map(drop);
        }
        *self.shared.tally().places.entry(format!("keeper@{}", point.name)).or_default() += 1;
        // It may have been passed a while after it was armed.
        self.weak.push(now());
        let after = self.below_another_keeper(before, since);
        self.shared.away(false);
        after.map(drop)
    }

    fn below_another_keeper(&mut self, before: Version, since: Instant) -> Result<Version, String> {
        let new = |v: &Version| v.keeper != before.keeper && v.daemon != before.daemon;
        let after = self.site.until("a daemon below a new keeper", || self.site.version().filter(new))?;
        let mut tally = self.shared.tally();
        tally.did("keeper kills", 1);
        tally.took("back after a kill of the keeper", since.elapsed());
        drop(tally);
        self.notice(after);
        self.quick = 0;
        Ok(after)
    }

    fn kill_both(&mut self) -> Done {
        let before = self.may_die(FREE_DEATHS)?;
        let gone = "one of both is gone by itself";
        let keeper = Process::open(before.keeper).ok_or(gone)?;
        let daemon = Process::open(before.daemon).ok_or(gone)?;
        self.shared.away(true);
        self.weak.push(now());
        self.both.push(now());
        // A stopped one cannot take the keeper's place meanwhile.
        daemon.signal(libc::SIGSTOP);
        keeper.kill();
        daemon.kill();
        if !(keeper.wait(PASSING) && daemon.wait(PASSING)) {
            return Err("a killed process lives".into());
        }
        let since = Instant::now();
        self.site.start()?;
        let mut tally = self.shared.tally();
        tally.did("kills of both", 1);
        tally.took("superd -d after a kill of both", since.elapsed());
        drop(tally);
        self.shared.away(false);
        self.quick = 0;
        self.version().map(drop)
    }

    /// One to three programs, of those that are started again.
    fn kill_units(&mut self) -> Done {
        let victims: Vec<&'static str> =
            WRITERS.iter().map(|w| w.name).chain(CODERS).chain(["ear", "web"]).collect();
        let status = self.site.status()?;
        for _ in 0..=self.rng.below(3) {
            let name = *self.rng.pick(&victims);
            let pid = status.get(name)["pid"].as_i64().and_then(|p| i32::try_from(p).ok()).unwrap_or(0);
            // The number may be somebody else's by now.
            let Some(process) = Process::open(pid).filter(|_| self.site.is_ours(pid)) else { continue };
            if process.kill() {
                self.killed.insert(pid, name);
                self.shared.tally().did("program kills", 1);
            }
        }
        Ok(())
    }

    fn upgrade(&mut self) -> Done {
        let before = self.may_die(FREE_DEATHS)?;
        self.shared.gentle(true);
        let end = self.site.world.supers(&["upgrade", "--json"]);
        self.shared.gentle(false);
        let after = self.version()?;
        let mut tally = self.shared.tally();
        if end.code != 0 || after.keeper != before.keeper || after.daemon == before.daemon {
            tally.wrong("orders failed", &format!("upgrade: {end:?}, {before:?}, {after:?}"));
            return Ok(());
        }
        let said: serde_json::Value = serde_json::from_str(&end.stdout).unwrap_or_default();
        tally.did("upgrades", 1);
        tally.took("away for an upgrade", Duration::from_millis(said["away_ms"].as_u64().unwrap_or(0)));
        Ok(())
    }

    fn script(&self, text: &str) -> String {
        use std::os::unix::fs::PermissionsExt;
        let path = self.site.world.write("not-superd", &format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path.display().to_string()
    }

    fn bad_upgrade(&mut self, binary: &str) -> Done {
        let before = self.may_die(FREE_YOUNG)?;
        let end = self.site.world.supers(&["upgrade", "--binary", binary]);
        let after = self.version()?;
        self.quick += 1;
        let mut tally = self.shared.tally();
        tally.did("upgrades to what is no superd", 1);
        if end.code == 0 || after.keeper != before.keeper {
            tally.wrong("orders failed", &format!("upgrade to {binary}: {end:?}, {before:?}, {after:?}"));
        }
        Ok(())
    }

    fn reload(&mut self) -> Done {
        let text = self.site.once(self.onces);
        self.site.world.write(format!("conf.d/{}.conf", self.onces), &text);
        let done =
            self.site.until("a reload", || Some(self.site.world.supers(&["reload"])).filter(|e| e.code == 0));
        done.map_err(|e| format!("{e}: {:?}", self.site.world.supers(&["reload"])))?;
        self.onces += 1;
        self.shared.tally().did("reloads", 1);
        Ok(())
    }

    fn choose_wish(&mut self) -> (usize, bool) {
        let i = self.rng.below(SLEEPERS.len());
        (i, !self.wishes[i].0)
    }

    /// The operator asks until he is heard.
    fn wish(&mut self, i: usize, up: bool) -> Done {
        let request = order(i, up);
        let heard = || self.site.unix.ask(&request).ok().filter(|(status, _)| *status == 200);
        self.site.until(&request, heard)?;
        if up && !self.wishes[i].0 {
            self.wishes[i].1 += 1;
        }
        self.wishes[i].0 = up;
        self.shared.tally().did("stops and starts", 1);
        Ok(())
    }

    fn check_wishes(&self) -> Done {
        let programs = self.site.status()?;
        for (name, (up, _)) in SLEEPERS.iter().zip(self.wishes) {
            let state = programs.state(name);
            if (state == "RUNNING") != up {
                self.shared.tally().wrong("wishes forgotten", &format!("{name} is {state}, wanted up: {up}"));
            }
        }
        Ok(())
    }

    fn reopen(&mut self) -> Done {
        let keeper = Process::open(self.version()?.keeper).ok_or("the keeper is gone by itself")?;
        keeper.signal(libc::SIGUSR2);
        self.shared.tally().did("logs opened again", 1);
        Ok(())
    }

    fn disk(&mut self, full: bool) -> Done {
        let Some(small) = &self.site.small else { return Ok(()) };
        if full {
            small.fill().map_err(|e| format!("the small disk: {e}"))?;
            self.shared.tally().did("disks filled", 1);
        } else {
            small.free();
        }
        self.full = full;
        Ok(())
    }

    fn arm(&self, text: &str) {
        // At once, or half of a name is read.
        let other = self.site.failpoint.with_extension("new");
        fs::write(&other, text).and_then(|()| fs::rename(&other, &self.site.failpoint)).unwrap();
    }

    fn point(&mut self, index: usize) -> Done {
        let point = &POINTS[index];
        let before = self.may_die(if point.by == By::TakeOver { FREE_YOUNG } else { FREE_DEATHS })?;
        if self.full && point.by == By::Itself {
            self.disk(false)?;
        }
        let times = 1 + self.rng.below(point.times);
        self.arm(&format!("{}:{times}", point.name));
        let since = Instant::now();
        match point.by {
            By::Itself => {}
            By::TakeOver => {
                self.slay(before.daemon)?;
                self.quick += 1;
            }
            // Nobody can say how it ends.
            By::Upgrade => drop(self.site.world.supers(&["upgrade"])),
            By::Reopen => self.reopen()?,
            By::Clear => self.clear(),
            By::Stop => return self.die_while_stopping(point.name, before),
        }
        self.died(&[point.name], before, since)
    }

    /// Each next daemon dies at the next place.
    fn chain(&mut self, from: usize, count: usize) -> Done {
        let before = self.may_die(1)?;
        let places: Vec<&'static str> = POINTS.iter().skip(from).take(count).map(|p| p.name).collect();
        self.arm(&places.iter().map(|p| format!("{p}:1")).collect::<Vec<_>>().join("\n"));
        let since = Instant::now();
        self.slay(before.daemon)?;
        self.quick += u32::try_from(count).unwrap_or(1);
        self.died(&places, before, since)
    }

    /// One that runs is stopped, whether the order is answered or not.
    fn die_while_stopping(&mut self, place: &'static str, before: Version) -> Done {
        let i = self.rng.below(SLEEPERS.len());
        let _ = fs::remove_file(&self.site.failpoint);
        self.wish(i, true)?;
        self.arm(&format!("{place}:1"));
        let _ = self.site.unix.ask(&order(i, false));
        self.died(&[place], before, Instant::now())?;
        self.wish(i, false)
    }

    fn repair(&mut self, index: usize) -> Done {
        let (first, then) = REPAIRS[index];
        let before = self.may_die(FREE_YOUNG)?;
        self.disk(false)?;
        self.arm(&format!("{first}:1\n{then}:1"));
        self.quick += 1;
        self.died(&[first, then], before, Instant::now())
    }

    /// Waits until daemons have died at these places, and for the one after them.
    fn died(&mut self, places: &[&'static str], before: Version, since: Instant) -> Done {
        let armed = || fs::read_to_string(&self.site.failpoint).unwrap_or_default();
        let give_up = since + PASSING;
        let gone = || (armed().is_empty() || Instant::now() > give_up).then_some(());
        self.site.until("a deadly place", gone)?;
        let (left, at) = (armed().lines().count(), Instant::now());
        let _ = fs::remove_file(&self.site.failpoint);
        let passed = places.len() - left.min(places.len());
        let mut tally = self.shared.tally();
        for place in places.iter().take(passed) {
            *tally.places.entry((*place).into()).or_default() += 1;
            tally.did("daemon kills", 1);
            tally.did("daemon kills by failpoint", 1);
        }
        drop(tally);
        self.missed.extend(places.iter().skip(passed));
        match passed {
            0 => self.version().map(drop),
            _ => {
                // The line is taken away a moment before the death.
                let pid = fs::read_to_string(self.site.failpoint.with_extension("pid")).unwrap_or_default();
                let dying = pid.parse().ok().and_then(Process::open);
                if !dying.is_none_or(|process| process.wait(PASSING)) {
                    return Err(format!("{pid} did not die"));
                }
                self.back(before, at, "back after a death at a failpoint")
            }
        }
    }

    fn clear(&self) {
        let call = "<methodCall><methodName>supervisor.clearProcessLogs</methodName><params><param>\
                    <value><string>noise</string></value></param></params></methodCall>";
        // Whether it is answered is not the question.
        let _ = self.site.unix.ask_with("POST /RPC2", call);
    }
}

fn order(i: usize, up: bool) -> String {
    format!("POST /api/v1/programs/{}/{}", SLEEPERS[i], if up { "start" } else { "stop" })
}
