use super::*;
use crate::proc::{Want, Word};
use crate::spec::{Command, Curve, Kind, Retry, When};
use alloc::format;
use alloc::vec;

/// A unit of each family that dies again and again.
fn crashing(n: u32) -> Spec {
    let mut spec = Spec::new(&format!("u{n}"));
    spec.exec = vec![Command::from_words(["/bin/crash"])].into();
    spec.restart.when = When::Always;
    spec.restart.retry = Some(Retry { limit: None, curve: Curve::Linear(Duration::from_secs(1)) });
    match n % 4 {
        0 => {}
        1 => (spec.restart.startsecs, spec.restart.delay) = (Duration::ZERO, Duration::from_secs(5)),
        2 => spec.order.after = vec![format!("u{}", n - 1)],
        _ => {
            spec.kind = Kind::Oneshot;
            spec.restart.when = When::Never;
            spec.stop.sweep = true;
            spec.exec.push(Command::from_words(["/bin/more"]));
        }
    }
    spec.stop_exec = spec.exec.iter().take((n % 3) as usize).cloned().collect();
    spec.reload_exec = vec![Command::from_words(["/bin/reload"])];
    spec
}

fn scripts() -> [Script; 3] {
    let second = Duration::from_secs(1);
    let life = Some((second / 2, second * 10));
    [
        Script { life, exit: Exit::Code(1), spawn_fails: 50, ..Script::default() },
        Script { life, heeds: None, kill_fails: 100, ..Script::default() },
        Script { command: second * 20, ..Script::default() },
    ]
}

fn hour(seed: u64) -> Sim {
    let mut sim = Sim::new(seed, (0..20).map(crashing).collect(), &scripts());
    sim.boot();
    sim.operate(Duration::from_secs(7));
    sim.run_for(Duration::from_secs(3600));
    sim
}

#[test]
fn the_same_seed_is_the_same_history() {
    let (a, b, other) = (hour(1), hour(1), hour(2));
    assert_eq!((a.digest(), a.stats()), (b.digest(), b.stats()));
    assert_ne!(a.digest(), other.digest());
    assert_eq!((a.stats().overlaps, other.stats().overlaps), (0, 0));
}

/// The figures are those of today. Who changes a decision of the core on purpose takes the new ones,
/// after a look at what changed.
#[test]
fn an_hour_with_an_operator() {
    let mut sim = hour(1);
    sim.shutdown(true);
    sim.run_for(Duration::from_secs(600));
    assert!(!sim.step(), "all is still");
    assert!(sim.fleet().iter().all(|(_, s)| s.unit.want == Want::Down));
    assert_eq!(sim.now(), Mono(0) + Duration::from_secs(4200));
    let want = Stats {
        events: 13758,
        spawns: 4251,
        spawn_failures: 120,
        exits: 4251,
        signals: 196,
        kills: 48,
        commands: 109,
        sweeps: 121,
        changes: 13560,
        orders: 530,
        removed: 65,
        all_down: 1,
        overlaps: 0,
    };
    assert_eq!(sim.stats(), want);
    assert_eq!(format!("{:016x}", sim.digest()), "9ea54f8eb42c80c5");
}

#[test]
fn a_quiet_life_by_the_default_script() {
    let mut spec = Spec::new("web");
    spec.exec = vec![Command::from_words(["/bin/web"])].into();
    let mut sim = Sim::new(1, vec![spec], &[]);
    let word = |sim: &Sim| sim.fleet().get(UnitId(0)).map(|s| s.unit.state.kind());
    assert!(!sim.step(), "nothing happens before the boot");
    sim.boot();
    // The spawn takes a millisecond, and startsecs count from its end.
    sim.run_for(Duration::from_millis(1000));
    assert_eq!(word(&sim), Some(Word::Starting));
    sim.run_for(Duration::from_millis(1));
    assert_eq!(word(&sim), Some(Word::Running));
    let since = sim.fleet().get(UnitId(0)).map(|s| s.unit.since);
    assert_eq!(since, Some(Wall(1_700_000_001_001)), "both clocks go alike");
    assert!(!sim.step(), "and nothing more while it runs");
    sim.shutdown(false);
    sim.run_for(Duration::from_millis(19));
    assert_eq!(word(&sim), Some(Word::Stopping));
    sim.run_for(Duration::from_millis(1));
    assert_eq!(word(&sim), Some(Word::Stopped));
    let want =
        Stats { events: 3, spawns: 1, exits: 1, signals: 1, changes: 4, all_down: 1, ..Stats::default() };
    assert_eq!(sim.stats(), want);
}

#[test]
fn a_deaf_process_is_killed() {
    let mut spec = Spec::new("web");
    spec.exec = vec![Command::from_words(["/bin/web"])].into();
    let mut sim = Sim::new(1, vec![spec], &[Script { heeds: None, ..Script::default() }]);
    sim.boot();
    sim.run_for(Duration::from_secs(2));
    sim.shutdown(false);
    sim.run_for(Duration::from_secs(11));
    assert_eq!((sim.stats().signals, sim.stats().kills, sim.stats().all_down), (2, 1, 1));
}

#[test]
fn a_second_process_beside_a_living_one_is_noticed() {
    let mut sim = Sim::new(1, vec![Spec::new("web")], &[]);
    for (run, overlaps) in [(1, 0), (2, 1), (3, 2)] {
        sim.order_spawn(UnitId(0), RunId(run), Exe::Main(0));
        assert_eq!(sim.stats().overlaps, overlaps);
    }
    sim.order_spawn(UnitId(0), RunId(4), Exe::Stop(0));
    assert_eq!(sim.stats().overlaps, 2, "a command is no main process");
}

#[test]
fn random_numbers_stay_in_range_and_reach_its_ends() {
    let mut rng = Rng::new(7);
    let seen: alloc::collections::BTreeSet<u64> = (0..200).map(|_| rng.below(6)).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [0, 1, 2, 3, 4, 5]);
    assert_eq!(rng.below(0), 0);
    let nano = Duration::from_nanos(1);
    let seen: alloc::collections::BTreeSet<Duration> =
        (0..200).map(|_| rng.between((nano * 3, nano * 5))).collect();
    assert_eq!(seen.into_iter().collect::<Vec<_>>(), [nano * 3, nano * 4, nano * 5]);
    assert!((0..100).all(|_| !rng.per_mille(0)));
    assert!((0..100).all(|_| rng.per_mille(1000)));
    let hits = (0..10_000).filter(|_| rng.per_mille(100)).count();
    assert!((800..1200).contains(&hits), "{hits}");
}
