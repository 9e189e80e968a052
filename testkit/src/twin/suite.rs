//! All scenarios, many at a time: they mostly wait.

use super::coverage;
use super::differences::{Differences, Entry, Verdict};
use super::play::{BROKEN, play};
use super::root::{Make, Pairing, Tools};
use super::scenario::{self, Scenario};
use std::collections::{BTreeSet, VecDeque};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Instant;

/// Each daemon and its client from one house.
const GENUINE: Pairing = Pairing { daemon: Make::Genuine, client: Make::Genuine };
const OURS: Pairing = Pairing { daemon: Make::Ours, client: Make::Ours };
const CROSSED: [(&str, Pairing); 2] = [
    ("their client, our daemon", Pairing { daemon: Make::Ours, client: Make::Genuine }),
    ("our client, their daemon", Pairing { daemon: Make::Genuine, client: Make::Ours }),
];

/// What is to be done.
#[derive(Clone, Debug)]
pub struct Orders {
    /// The programs.
    pub tools: Tools,
    /// `twins/`: the scenarios and the list of names.
    pub folder: PathBuf,
    /// The file of wanted differences.
    pub differences: PathBuf,
    /// Only scenarios whose name holds one of these.
    pub only: Vec<String>,
    /// Only one side, without a comparison.
    pub side: Option<Make>,
    /// Print the transcripts.
    pub show: bool,
    /// How often each scenario is played under the one side; all transcripts must be the same.
    pub repeat: usize,
    /// How many at a time.
    pub jobs: usize,
}

/// More failures than these are no bad luck.
const SECOND_TRIES: usize = 4;

/// What became of a scenario.
struct Outcome {
    name: String,
    text: String,
    failed: bool,
    met: BTreeSet<String>,
    seconds: f32,
}

/// Plays what is ordered and prints what was found; whether all is well.
pub fn run(orders: &Orders) -> Result<bool, String> {
    let all = scenario::load(&orders.folder)?;
    let wanted = Differences::load(&orders.differences)?;
    let mut findings = coverage::check(&coverage::load(&orders.folder.join("coverage"))?, &all);
    let total = all.len();
    let chosen = |s: &Scenario| orders.only.is_empty() || orders.only.iter().any(|o| s.name.contains(o));
    // The slow ones first, so that the end is not one of them alone.
    let mut queue: Vec<Scenario> = all.into_iter().filter(chosen).collect();
    queue.sort_by_key(|s| std::cmp::Reverse(s.patience));
    let complete = queue.len() == total && orders.side.is_none();
    let began = Instant::now();
    let mut outcomes = play_all(orders, &wanted, queue);
    outcomes.sort_by(|a, b| a.name.cmp(&b.name));
    let mut met = BTreeSet::new();
    for outcome in &outcomes {
        if outcome.failed || orders.show {
            let word = if outcome.failed { "FAILED" } else { "ok" };
            println!("---- {} {word} ({:.1} s)\n{}", outcome.name, outcome.seconds, outcome.text);
        }
        met.extend(outcome.met.iter().map(String::as_str));
    }
    if complete {
        let unmet = wanted.names().filter(|n| !met.contains(n));
        findings.extend(unmet.map(|n| format!("the wanted difference {n:?} was met nowhere: remove it")));
    }
    let failed: Vec<&str> = outcomes.iter().filter(|o| o.failed).map(|o| o.name.as_str()).collect();
    for name in &failed {
        println!("failed: {name}");
    }
    for finding in &findings {
        println!("finding: {finding}");
    }
    println!(
        "twins: {} played, {} failed, {} findings, {} wanted differences met, {:.0} s",
        outcomes.len(),
        failed.len(),
        findings.len(),
        met.len(),
        began.elapsed().as_secs_f32()
    );
    // Who looks at some scenarios only, or at one side, is not asked for all names.
    Ok(failed.is_empty() && (findings.is_empty() || !complete) && !outcomes.is_empty())
}

fn play_all(orders: &Orders, wanted: &Differences, queue: Vec<Scenario>) -> Vec<Outcome> {
    let queue = Mutex::new(VecDeque::from(queue));
    let outcomes = Mutex::new(Vec::new());
    std::thread::scope(|scope| {
        for _ in 0..orders.jobs {
            scope.spawn(|| {
                while let Some(scenario) = queue.lock().ok().and_then(|mut q| q.pop_front()) {
                    let outcome = play_one(orders, wanted, &scenario);
                    if let Ok(mut all) = outcomes.lock() {
                        all.push((scenario, outcome));
                    }
                }
            });
        }
    });
    let outcomes = outcomes.into_inner().unwrap_or_default();
    let few = outcomes.iter().filter(|(_, o)| o.failed).count() <= SECOND_TRIES && orders.side.is_none();
    let settle = |(scenario, outcome): (Scenario, Outcome)| match outcome.failed && few {
        true => try_again(orders, wanted, &scenario, outcome),
        false => outcome,
    };
    outcomes.into_iter().map(settle).collect()
}

/// The original's own races show when sixteen scenarios share two cores. A few that failed are played again, by
/// themselves; a real difference is there the second time too. What happened first is printed all the same.
fn try_again(orders: &Orders, wanted: &Differences, scenario: &Scenario, first: Outcome) -> Outcome {
    println!("---- {} is played again; it had failed:\n{}", first.name, first.text);
    play_one(orders, wanted, scenario)
}

fn play_one(orders: &Orders, wanted: &Differences, scenario: &Scenario) -> Outcome {
    let began = Instant::now();
    let mut outcome = Outcome {
        name: scenario.name.clone(),
        text: String::new(),
        failed: false,
        met: BTreeSet::new(),
        seconds: 0.0,
    };
    match orders.side {
        Some(side) => {
            let pairing = if side == Make::Genuine { GENUINE } else { OURS };
            alone(orders, scenario, pairing, &mut outcome);
        }
        None => both(orders, wanted, scenario, &mut outcome),
    }
    outcome.seconds = began.elapsed().as_secs_f32();
    outcome
}

/// One side, as often as ordered.
fn alone(orders: &Orders, scenario: &Scenario, pairing: Pairing, outcome: &mut Outcome) {
    let first = play(scenario, &orders.tools, pairing);
    outcome.failed = broken(&first);
    outcome.text = transcript(&first);
    for _ in 1..orders.repeat {
        let again = play(scenario, &orders.tools, pairing);
        let verdict = Differences::default().compare(&scenario.name, &first, &again);
        if !verdict.diff.is_empty() {
            outcome.failed = true;
            outcome.text = format!("not the same again:\n{}", verdict.diff);
        }
    }
}

/// Both sides, and crossed where the scenario says so.
fn both(orders: &Orders, wanted: &Differences, scenario: &Scenario, outcome: &mut Outcome) {
    let genuine = play(scenario, &orders.tools, GENUINE);
    if orders.show {
        outcome.text.push_str(&transcript(&genuine));
    }
    if broken(&genuine) {
        outcome.failed = true;
        outcome.text.push_str(&format!(
            "the genuine side does not do what the scenario waits for ({})\n",
            scenario.place
        ));
        outcome.text.push_str(&transcript(&genuine));
        return;
    }
    let crossed = CROSSED.into_iter().filter(|_| scenario.cross);
    for (title, pairing) in std::iter::once(("ours", OURS)).chain(crossed) {
        let other = play(scenario, &orders.tools, pairing);
        let Verdict { diff, met } = wanted.compare(&scenario.name, &genuine, &other);
        outcome.met.extend(met);
        if !diff.is_empty() {
            outcome.failed = true;
            outcome.text.push_str(&format!("{title} ({}):\n{diff}", scenario.place));
        }
    }
}

fn broken(entries: &[Entry]) -> bool {
    entries.iter().any(|e| e.out.starts_with(BROKEN))
}

fn transcript(entries: &[Entry]) -> String {
    entries.iter().map(|e| format!("{}\n{}", e.step, e.out)).collect()
}
