//! Runs a target: first its corpus, then what becomes of it by a seed.

use crate::mutate::{self, Rng};
use crate::{Kind, Target, hash};
use std::collections::BTreeSet;
use std::fs;
use std::panic::{self, AssertUnwindSafe};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

/// An input of each new kind is kept, up to so many; after that the pool stays as it is.
const POOL: usize = 4096;

/// An input that takes longer has found something, even on a slow and busy machine.
const SLOW: Duration = Duration::from_secs(20);

/// Tries while a failing input is made smaller.
const SMALLER: usize = 2000;

/// What is to be done.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    /// The same seed gives the same inputs in the same order.
    pub seed: u64,
    /// Ends after so many inputs.
    pub inputs: u64,
    /// Ends after this time.
    pub time: Duration,
}

/// What was done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Done {
    /// Files of the corpus.
    pub files: usize,
    /// Inputs that were made.
    pub inputs: u64,
    /// Kinds of inputs that were met.
    pub kinds: usize,
}

/// The folder of a target's corpus.
pub fn corpus_of(target: &Target) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("corpus").join(target.name)
}

/// Runs the corpus and then the plan.
///
/// # Errors
/// A law is broken: one sentence with the place of the file that holds the input.
pub fn run(target: &Target, plan: &Plan) -> Result<Done, String> {
    let start = now();
    let (mut pool, mut kinds) = (Vec::new(), BTreeSet::new());
    for (path, data) in files(&corpus_of(target))? {
        let kind = one(target, &data);
        kinds.insert(kind.map_err(|why| format!("{}: {why} ({})", target.name, path.display()))?);
        pool.push(data);
    }
    let files = pool.len();
    let mut rng = Rng::new(plan.seed ^ hash(target.name.as_bytes()));
    let mut inputs = 0;
    while inputs < plan.inputs && start.elapsed() < plan.time {
        let data = mutate::next(&mut rng, &pool, target);
        inputs += 1;
        match one(target, &data) {
            Ok(kind) if kinds.insert(kind) && pool.len() < POOL => pool.push(data),
            Ok(_) => {}
            Err(why) => return Err(told(target, plan, inputs, &data, &why)),
        }
    }
    Ok(Done { files, inputs, kinds: kinds.len() })
}

#[allow(clippy::disallowed_methods, reason = "how long a run takes is no business of the product's clock")]
fn now() -> Instant {
    Instant::now()
}

/// The files below a folder, by name.
fn files(dir: &Path) -> Result<Vec<(PathBuf, Vec<u8>)>, String> {
    let problem = |e: std::io::Error| format!("{}: {e}", dir.display());
    let mut paths = Vec::new();
    for entry in fs::read_dir(dir).map_err(problem)? {
        paths.push(entry.map_err(problem)?.path());
    }
    paths.sort();
    paths.into_iter().map(|path| fs::read(&path).map(|data| (path, data)).map_err(problem)).collect()
}

/// One input: its kind, or what went wrong.
fn one(target: &Target, data: &[u8]) -> Result<Kind, String> {
    let start = now();
    // Targets keep nothing between two inputs but a folder, which is written anew.
    let outcome = panic::catch_unwind(AssertUnwindSafe(|| (target.run)(data)));
    match outcome {
        Ok(_) if start.elapsed() > SLOW => Err(format!("it takes {:?}", start.elapsed())),
        Ok(kind) => Ok(kind),
        Err(panic) => {
            let text = panic.downcast_ref::<String>().cloned();
            Err(text.or_else(|| panic.downcast_ref::<&str>().map(|s| (*s).into())).unwrap_or_default())
        }
    }
}

/// Makes the input smaller, writes it to a file, and says so.
fn told(target: &Target, plan: &Plan, number: u64, data: &[u8], why: &str) -> String {
    let small = smaller(target, data.to_vec());
    let dir = std::env::temp_dir().join("supers-fuzz");
    let path = dir.join(format!("{}-{:016x}", target.name, hash(&small)));
    let place = match fs::create_dir_all(&dir).and_then(|()| fs::write(&path, &small)) {
        Ok(()) => path.display().to_string(),
        Err(e) => format!("{} (not written: {e}): {:?}", path.display(), small.escape_ascii().to_string()),
    };
    let Target { name, .. } = target;
    format!("{name}: input {number} of seed {} breaks a law: {why}\nthe input is in {place}", plan.seed)
}

/// Takes parts out for as long as it still fails.
fn smaller(target: &Target, mut data: Vec<u8>) -> Vec<u8> {
    let mut size = data.len() / 2;
    let mut tries = 0;
    while size > 0 {
        let mut at = 0;
        while at < data.len() && tries < SMALLER {
            let mut less = data.clone();
            less.drain(at..(at + size).min(data.len()));
            tries += 1;
            if one(target, &less).is_err() { data = less } else { at += size }
        }
        size /= 2;
    }
    data
}
