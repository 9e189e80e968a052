//! `cargo xtask bench`: superd beside raw floor programs in C, and beside Supervisor from PyPI, measured in the same
//! run on the same machine.
//! What counts is the ratio; a machine's own speed cancels out.

mod idle;
mod log;
mod outage;
mod peer;
mod restart;
mod rig;
mod start;
mod status;
mod storm;
mod table;

use crate::{Outcome, unknown};
use rig::{Build, Rig};
use std::panic::{AssertUnwindSafe, catch_unwind};
use table::Row;

/// What to measure, and how hard.
pub(crate) struct Plan {
    /// Fewer units, rounds and bytes: to see that it works, not to believe it.
    quick: bool,
}

impl Plan {
    /// One number or the other.
    fn pick<T>(&self, full: T, quick: T) -> T {
        if self.quick { quick } else { full }
    }
}

type Measure = fn(&Rig, &Plan) -> Result<Vec<Row>, String>;

const MEASURES: [(&str, Measure); 8] = [
    ("restart", restart::measure),
    ("start", start::measure),
    ("idle", idle::measure),
    ("log", log::measure),
    ("status", status::measure),
    ("storm", storm::measure),
    ("outage", outage::measure),
    ("supervisor", peer::measure),
];

/// A missed aim is printed, not punished: machines differ, and a person reads the table.
pub(crate) fn run(args: &[&str]) -> Outcome {
    let (mut quick, mut build, mut names) = (false, Build::Profile("dist"), Vec::new());
    for word in args {
        match *word {
            "--quick" => quick = true,
            "--release" => build = Build::Profile("release"),
            word if word.starts_with("--bin=") => build = Build::There(word["--bin=".len()..].into()),
            name if MEASURES.iter().any(|(n, _)| *n == name) => names.push(name),
            other => return Err(unknown(other)),
        }
    }
    let rig = Rig::build(build)?;
    let plan = Plan { quick };
    let mut rows = Vec::new();
    for (name, measure) in MEASURES.iter().filter(|(n, _)| names.is_empty() || names.contains(n)) {
        eprintln!("== {name}");
        // What a world cannot do it says by a panic, as tests want it; the other measures go on.
        let outcome = catch_unwind(AssertUnwindSafe(|| measure(&rig, &plan)));
        match outcome.unwrap_or_else(|_| Err("it ended early, see above".into())) {
            Ok(more) => rows.extend(more),
            Err(text) => rows.push(Row::failed(name, &text)),
        }
    }
    println!("{}", rig.about(&plan));
    print!("{}", table::markdown(&rows));
    Ok(())
}
