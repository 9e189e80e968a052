//! A day of 500 crash-looping units on the simulated machine: `time cargo run --release -p supers-core
//! --example day [SEED]`. The same seed prints the same digest.

use std::time::Duration;
use supers_core::exit::Exit;
use supers_core::sim::{Script, Sim};
use supers_core::spec::{Command, Curve, Retry, Spec, StartLimit, When};

fn main() {
    let seed = std::env::args().nth(1).and_then(|s| s.parse().ok()).unwrap_or(1);
    let mut sim = Sim::new(seed, (0..500).map(unit).collect(), &scripts());
    sim.boot();
    sim.run_for(Duration::from_secs(24 * 3600));
    sim.shutdown(false);
    sim.run_for(Duration::from_secs(600));
    println!("{:#?}\ndigest {:016x}", sim.stats(), sim.digest());
}

/// Supervisor's rules with endless patience, the same for runs that die late, and a `.service`.
fn unit(n: u32) -> Spec {
    let mut spec = Spec::new(&format!("unit_{n:03}"));
    spec.exec = vec![Command::from_words(["/bin/crash"])].into();
    spec.restart.when = When::Always;
    match n % 3 {
        0 => spec.restart.retry = Some(Retry { limit: None, curve: Curve::Linear(Duration::from_secs(1)) }),
        1 => spec.restart.delay = Duration::from_secs(20),
        _ => {
            spec.restart.retry = None;
            spec.restart.startsecs = Duration::ZERO;
            spec.restart.delay = Duration::from_secs(30);
            spec.restart.limit = Some(StartLimit { burst: 5, interval: Duration::from_secs(10) });
            spec.stop.sweep = true;
        }
    }
    spec
}

fn scripts() -> Vec<Script> {
    let crash = |least: u64, most: u64| Script {
        life: Some((Duration::from_millis(least), Duration::from_millis(most))),
        exit: Exit::Code(1),
        spawn_fails: 10,
        ..Script::default()
    };
    vec![crash(1, 900), crash(1_500, 30_000), crash(1, 10_000)]
}
