//! Chaos: superd with working programs is killed in all manners, and nothing may be lost by it.
//!
//! *Owns:* the programs of the play (`roles`), the world it is played in (`site`), what goes on all the time
//! (`load`), what is done (`game`, by a seed; `points`), the comparison at the end (`check`), and the counts
//! (`tally`). A round is one world with one seed; a long run is many rounds.
//!
//! *Must never:* forgive. What is allowed to be weaker after the death of a keeper is counted by itself.

mod check;
mod game;
mod load;
mod points;
mod rng;
pub mod roles;
mod site;
mod tally;

pub use game::Act;
pub use points::{By, POINTS, REPAIRS};
pub use rng::Rng;
pub use tally::{Tally, WRONGS};

use crate::{Bins, Process};
use check::{Deeds, Ends};
use game::Game;
use load::{Load, Shared};
use roles::now;
use site::{OTHERS, SLEEPERS, Site, WRITERS};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// A round that takes longer has failed.
const ROUND: Duration = Duration::from_secs(400);
/// The ordered end of a round.
const STOPPING: Duration = Duration::from_secs(30);

/// What a long run is to do.
#[derive(Clone, Debug)]
pub struct Orders {
    /// Rounds are begun for so long.
    pub time: Duration,
    /// Or so many.
    pub rounds: Option<u64>,
    /// Of the first round.
    pub seed: u64,
    /// Leave the folder of a failed round.
    pub keep: bool,
    /// Print what is done.
    pub show: bool,
}

impl Default for Orders {
    fn default() -> Orders {
        Orders { time: Duration::from_secs(60), rounds: None, seed: now(), keep: false, show: false }
    }
}

/// Plays rounds and prints the table; true when nothing was lost.
pub fn run(bins: &Bins, orders: &Orders) -> bool {
    let (began, mut total) = (Instant::now(), Tally::default());
    let mut rounds = 0;
    while orders.rounds.map_or(began.elapsed() < orders.time, |n| rounds < n) {
        let seed = orders.seed.wrapping_add(rounds);
        let since = Instant::now();
        let tally = round(bins, &Orders { seed, ..orders.clone() }, long(seed));
        println!(
            "round with seed {seed}: {} daemon kills, {} wrong, {:.0} s",
            tally.count("daemon kills"),
            tally.wrongs(),
            since.elapsed().as_secs_f64()
        );
        total.add(tally, seed);
        rounds += 1;
    }
    total.did("rounds", rounds);
    println!("\n{}", total.table());
    total.wrongs() == 0
}

fn times(act: Act, count: usize) -> impl Iterator<Item = Act> {
    std::iter::repeat_n(act, count)
}

/// The acts of a round of a long run: some of everything.
fn long(seed: u64) -> Vec<Act> {
    let mut rng = Rng::new(seed ^ 0x00c0_ffee);
    let mut acts: Vec<Act> = times(Act::Kill, 12).collect();
    acts.extend(
        times(Act::KillYoung, 3).chain(times(Act::KillWithUnits, 8)).chain(times(Act::KillInOrder, 8)),
    );
    acts.extend(times(Act::KillUnits, 10).chain(times(Act::Upgrade, 8)).chain(times(Act::Reload, 6)));
    acts.extend(times(Act::Wish, 8).chain(times(Act::Reopen, 5)).chain(times(Act::Disk, 4)));
    acts.push(*rng.pick(&[Act::UpgradeToNothing, Act::UpgradeToLiar, Act::UpgradeToSilence]));
    // Every second round keeps its keeper, so that nothing at all may be unknown there.
    if rng.below(2) == 0 {
        acts.extend(times(Act::KillKeeper, 2).chain(times(Act::KillBoth, 1)));
        let places: Vec<usize> = keeper_places().collect();
        acts.extend((0..6).map(|_| Act::KillKeeperAt(*rng.pick(&places))));
    }
    acts.extend((0..16).map(|_| Act::Point(rng.below(POINTS.len()))));
    acts.push(Act::Repair(rng.below(REPAIRS.len())));
    acts
}

/// Places that the daemon comes by without being told, or takes over, or makes way.
fn keeper_places() -> impl Iterator<Item = usize> {
    (0..POINTS.len()).filter(|i| matches!(POINTS[*i].by, By::Itself | By::TakeOver | By::Upgrade))
}

/// Where the keeper dies in a short round, by index.
pub fn keeper_acts() -> impl Iterator<Item = usize> {
    keeper_places().filter(|i| POINTS[*i].by != By::Itself)
}

/// The acts of a short round: each deadly place once.
pub fn short() -> Vec<Act> {
    let mut acts: Vec<Act> = times(Act::Kill, 6).collect();
    acts.extend(
        times(Act::KillYoung, 1).chain(times(Act::KillWithUnits, 3)).chain(times(Act::KillInOrder, 4)),
    );
    acts.extend(times(Act::KillUnits, 3).chain(times(Act::Upgrade, 4)).chain(times(Act::Reload, 2)));
    acts.extend([Act::Wish, Act::Wish, Act::Reopen, Act::Disk, Act::Disk, Act::UpgradeToNothing]);
    acts.extend([Act::KillKeeper, Act::KillBoth]);
    acts.extend(keeper_acts().map(Act::KillKeeperAt));
    let by_chain = |i: &usize| POINTS[*i].by == By::TakeOver;
    acts.extend((0..POINTS.len()).filter(|i| !by_chain(i)).map(Act::Point));
    let chained: Vec<usize> = (0..POINTS.len()).filter(by_chain).collect();
    acts.extend(chained.chunks(2).map(|some| Act::Chain(some[0], some.len())));
    acts.extend((0..REPAIRS.len()).map(Act::Repair));
    acts
}

/// One round in a world of its own, with the seed of these orders.
pub fn round(bins: &Bins, orders: &Orders, acts: Vec<Act>) -> Tally {
    let seed = orders.seed;
    let site = Site::new(bins, ROUND);
    let shared = Arc::new(Shared::default());
    if let Err(text) = play(&site, &shared, orders, acts) {
        shared.tally().wrong("orders failed", &format!("the round was broken off: {text}"));
    }
    let tally = shared.tally().clone();
    if orders.keep && tally.wrongs() > 0 {
        let to = format!("/tmp/chaos-{seed}");
        let copied = std::process::Command::new("cp").arg("-a").arg(site.world.root()).arg(&to).status();
        println!("the folder of this round: {to} ({copied:?})");
    }
    tally
}

fn play(site: &Site, shared: &Arc<Shared>, orders: &Orders, acts: Vec<Act>) -> Result<(), String> {
    site.start()?;
    let steady = || WRITERS.iter().map(|w| w.name).chain(OTHERS).chain(SLEEPERS);
    let all_run = || site.status().ok().filter(|s| steady().all(|name| s.state(name) == "RUNNING"));
    site.until("everything runs", all_run)?;
    site.until("everything listens", || is_open(site.server).then_some(()))?;
    let load = Load::start(shared, &site.unix, &site.tcp, site.server, site.web);
    let mut game = Game::new(site, shared, Rng::new(orders.seed));
    game.shown = orders.show;
    game.play(acts)?;
    let up = |name: &str| SLEEPERS.iter().zip(game.wishes).all(|(n, (up, _))| *n != name || up);
    let wanted = || steady().filter(|name| up(name));
    // One that was killed a moment ago may not be known to be dead yet.
    let back = || {
        let status = site.status().ok()?;
        let living = site.living();
        let runs = |name| status.state(name) == "RUNNING" && living.iter().any(|p| p.pid == status.pid(name));
        wanted().all(runs).then_some(())
    };
    if let Err(e) = site.until("everything that is said to run lives", back) {
        shared.tally().wrong("children lost", &e);
    }
    let missed = std::mem::take(&mut game.missed);
    shared.tally().did("failpoints that nobody came by", missed.len() as u64);
    if !missed.is_empty() {
        println!("nobody came by {missed:?}");
    }
    let ends = Ends::of(site);
    // Judged below, whether it comes or not.
    let _ = site.until("all events are told", || ends.are_told(site).then_some(()));
    let keeper = site.until("an answer", || site.version())?.keeper;
    drop(load);
    stop(site, shared, keeper)?;
    let deeds = Deeds {
        killed: &game.killed,
        weak: &game.weak,
        both: &game.both,
        starts: game.wishes.map(|(_, starts)| starts),
        onces: game.onces,
    };
    check::all(site, shared, &deeds, &ends);
    Ok(())
}

fn is_open(port: u16) -> bool {
    std::net::TcpStream::connect(("127.0.0.1", port)).is_ok()
}

/// The ordered end: nobody is left.
fn stop(site: &Site, shared: &Shared, keeper: i32) -> Result<(), String> {
    let process = Process::open(keeper).ok_or("the keeper is gone by itself")?;
    process.signal(libc::SIGTERM);
    if !process.wait(STOPPING) {
        return Err("superd did not end in time".into());
    }
    for process in site.living() {
        shared.tally().wrong("children lost", &format!("pid {} goes on after the end", process.pid));
    }
    Ok(())
}
