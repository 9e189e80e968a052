//! What happened and what went wrong, as counts.

use std::collections::BTreeMap;
use std::fmt::Write;
use std::time::Duration;

/// What must not happen, all of it.
pub const WRONGS: [&str; 13] = [
    "children lost",
    "children started for nothing",
    "units twice at once",
    "one-shots not run once",
    "exit codes wrong",
    "lines lost",
    "lines doubled",
    "lines torn",
    "connections refused",
    "wishes forgotten",
    "events lost",
    "orders failed",
    "daemons died by themselves",
];

/// Details that are kept.
const DETAILS: usize = 60;

/// The counts of a round, or of several.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    deeds: BTreeMap<&'static str, u64>,
    wrongs: BTreeMap<&'static str, u64>,
    details: Vec<String>,
    times: BTreeMap<&'static str, Vec<Duration>>,
    /// How often each deadly place killed.
    pub places: BTreeMap<String, u64>,
    /// What was done, in this order.
    journal: Vec<String>,
}

impl Tally {
    /// Something was done or seen, so often.
    pub fn did(&mut self, what: &'static str, count: u64) {
        *self.deeds.entry(what).or_default() += count;
    }

    /// How often.
    pub fn count(&self, what: &str) -> u64 {
        self.deeds.get(what).copied().unwrap_or(0)
    }

    /// Something took so long.
    pub fn took(&mut self, what: &'static str, time: Duration) {
        self.times.entry(what).or_default().push(time);
    }

    /// Something of [`WRONGS`] happened.
    pub fn wrong(&mut self, what: &'static str, detail: &str) {
        debug_assert!(WRONGS.contains(&what), "{what} is not in the list");
        *self.wrongs.entry(what).or_default() += 1;
        if self.details.len() < DETAILS {
            self.details.push(format!("{what}: {detail}"));
        }
    }

    /// A deed, for the journal of this round.
    pub fn note(&mut self, text: String) {
        self.journal.push(text);
    }

    /// How much went wrong.
    pub fn wrongs(&self) -> u64 {
        self.wrongs.values().sum()
    }

    /// Adds another round; its seed goes with its details.
    pub fn add(&mut self, other: Tally, seed: u64) {
        let Tally { deeds, wrongs, details, times, places, journal: _ } = other;
        deeds.into_iter().for_each(|(k, n)| *self.deeds.entry(k).or_default() += n);
        wrongs.into_iter().for_each(|(k, n)| *self.wrongs.entry(k).or_default() += n);
        places.into_iter().for_each(|(k, n)| *self.places.entry(k).or_default() += n);
        times.into_iter().for_each(|(k, mut t)| self.times.entry(k).or_default().append(&mut t));
        let room = DETAILS.saturating_sub(self.details.len());
        self.details.extend(details.into_iter().take(room).map(|d| format!("seed {seed}: {d}")));
    }

    /// For people.
    pub fn table(&self) -> String {
        let mut text = String::new();
        for (what, count) in &self.deeds {
            let _ = writeln!(text, "{what:<34}{count:>9}");
        }
        let _ = writeln!(text, "{:<34}{:>9}", "failpoints that killed", self.places.len());
        let _ = writeln!(text, "\n{:<34}{:>9}{:>12}{:>12}", "milliseconds", "count", "median", "worst");
        for (what, times) in &self.times {
            let mut times = times.clone();
            times.sort();
            let ms = |t: Option<&Duration>| t.map_or(0.0, |t| t.as_secs_f64() * 1000.0);
            let (median, worst) = (ms(times.get(times.len() / 2)), ms(times.last()));
            let _ = writeln!(text, "{what:<34}{:>9}{median:>12.1}{worst:>12.1}", times.len());
        }
        text + "\n" + &self.faults()
    }

    /// The part of the table that must be zero.
    fn faults(&self) -> String {
        let mut text = String::from("must be zero\n");
        for what in WRONGS {
            let _ = writeln!(text, "{what:<34}{:>9}", self.wrongs.get(what).copied().unwrap_or(0));
        }
        self.details.iter().for_each(|d| text += &format!("  {d}\n"));
        text
    }

    /// What went wrong first: whoever prints it may keep the begin only.
    pub fn report(&self) -> String {
        format!("{}\n{}\n{}", self.faults(), self.journal.join("\n"), self.table())
    }
}
