//! The end of a round: what the programs noted, compared with what superd made of it.

use super::load::Shared;
use super::roles::EXPECTED;
use super::site::{CODERS, LISTENER, OTHERS, SLEEPERS, Site, WRITERS};
use super::tally::Tally;
use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::path::{Path, PathBuf};

/// A run may seem to have ended this much later than it did, in milliseconds.
const SLACK: u64 = 5_000;

/// What the round did on purpose.
pub(super) struct Deeds<'a> {
    /// Programs that were killed, by their pids.
    pub(super) killed: &'a HashMap<i32, &'static str>,
    /// When keepers were killed: how runs of that time ended may be unknown.
    pub(super) weak: &'a [u64],
    /// When keeper and daemon were killed: a FIFO whose writer was dead too was nobody's then, and is empty.
    pub(super) both: &'a [u64],
    /// How often the operator started each sleeper.
    pub(super) starts: [usize; SLEEPERS.len()],
    /// Programs that were to run once.
    pub(super) onces: usize,
}

/// One life of a program, as it noted itself.
#[derive(Clone, Debug)]
struct Run {
    pid: i32,
    start: u64,
    end: Option<(u64, u8)>,
}

/// What a program noted.
fn runs(notes: &Path, name: &str) -> Vec<Run> {
    let mut runs: Vec<Run> = Vec::new();
    for line in fs::read_to_string(notes.join(format!("{name}.runs"))).unwrap_or_default().lines() {
        let words: Vec<&str> = line.split(' ').collect();
        let number = |at: usize| words.get(at).and_then(|w| w.parse::<u64>().ok()).unwrap_or(0);
        let pid = i32::try_from(number(1)).unwrap_or(0);
        match words.first() {
            Some(&"start") => runs.push(Run { pid, start: number(2), end: None }),
            Some(&"end") => {
                if let Some(run) = runs.iter_mut().rfind(|run| run.pid == pid) {
                    run.end = Some((number(2), u8::try_from(number(3)).unwrap_or(0)));
                }
            }
            _ => {}
        }
    }
    runs
}

/// Everything that is known only when all has ended.
pub(super) fn all(site: &Site, shared: &Shared, deeds: &Deeds<'_>, ends: &Ends) {
    let mut tally = shared.tally();
    let tally = &mut *tally;
    complaints(site, tally);
    lives(site, deeds, tally);
    let exits = shared.exits();
    for name in CODERS {
        codes(name, &runs(&site.notes, name), deeds, &exits, tally);
    }
    events(site, deeds, ends, tally);
    for (path, streams) in logs(site) {
        let known = Known { notes: &site.notes, orphaned: &|name, run| orphaned(site, deeds, name, run) };
        lines(&known, &path, &streams, tally);
    }
}

/// This run was killed before superd had read all of its output, maybe, and both of superd's processes with it.
fn orphaned(site: &Site, deeds: &Deeds<'_>, name: &str, run: usize) -> bool {
    let runs = runs(&site.notes, name);
    let Some([run, next]) = runs.get(run..run + 2) else { return false };
    let killed = deeds.killed.contains_key(&run.pid);
    killed && deeds.both.iter().any(|at| (run.start..=next.start).contains(at))
}

fn complaints(site: &Site, tally: &mut Tally) {
    for line in fs::read_to_string(site.notes.join("complaints")).unwrap_or_default().lines() {
        let what = if line.contains("twice") { "units twice at once" } else { "lines lost" };
        tally.wrong(what, line);
    }
}

/// Who lived how often.
fn lives(site: &Site, deeds: &Deeds<'_>, tally: &mut Tally) {
    for name in WRITERS.iter().map(|w| w.name).chain(OTHERS) {
        let runs = runs(&site.notes, name);
        let before = runs.len().saturating_sub(1);
        for run in runs.iter().take(before).filter(|run| !deeds.killed.contains_key(&run.pid)) {
            if name == LISTENER {
                // superd says so: it cannot know how much of an event was read.
                tally.did("listeners started anew for an event", 1);
                continue;
            }
            tally
                .wrong("children started for nothing", &format!("{name} after {run:?}, which nobody killed"));
        }
        tally.did("runs of writers and servers", runs.len() as u64);
    }
    for (name, wanted) in SLEEPERS.iter().zip(deeds.starts) {
        let found = runs(&site.notes, name).len();
        if found != wanted {
            let detail = format!("{name} was started {wanted} times and ran {found} times");
            tally.wrong(
                if found > wanted { "children started for nothing" } else { "wishes forgotten" },
                &detail,
            );
        }
    }
    for number in 0..deeds.onces {
        let found = runs(&site.notes, &format!("once{number}")).len();
        if found != 1 {
            tally.wrong("one-shots not run once", &format!("once{number} ran {found} times"));
        }
    }
}

/// A keeper was killed while this run lived or was to be settled.
fn is_weak(run: &Run, next: u64, deeds: &Deeds<'_>) -> bool {
    deeds.weak.iter().any(|at| (run.start.saturating_sub(SLACK)..=next + SLACK).contains(at))
}

/// How runs ended, as the status said while the next one lived.
fn codes(
    name: &str,
    runs: &[Run],
    deeds: &Deeds<'_>,
    exits: &HashMap<(String, i32), Option<i64>>,
    tally: &mut Tally,
) {
    let noted = |pid: &i32| runs.iter().any(|run| run.pid == *pid);
    // Killed before they could note that they lived.
    let mut unnoted = deeds.killed.iter().filter(|(pid, of)| **of == name && !noted(pid)).count();
    for pair in runs.windows(2) {
        let [run, next] = pair else { continue };
        tally.did("runs of coders", 1);
        let killed = deeds.killed.contains_key(&run.pid).then_some(-9);
        let own = run.end.map(|(_, code)| i64::from(code));
        match exits.get(&(name.to_owned(), next.pid)) {
            None => tally.did("exit codes that nobody saw", 1),
            Some(Some(seen)) if Some(*seen) == own || Some(*seen) == killed => {
                tally.did("exit codes right", 1)
            }
            Some(Some(-9)) if unnoted > 0 => unnoted -= 1,
            Some(None) if is_weak(run, next.start, deeds) => {
                tally.did("exit codes unknown (keeper killed)", 1);
            }
            Some(seen) => tally.wrong(
                "exit codes wrong",
                &format!("{name} {run:?}, killed: {killed:?}, superd says {seen:?}, next {next:?}"),
            ),
        }
        if own.is_none() && killed.is_none() {
            tally.wrong("children lost", &format!("{name} {run:?} was ended by nobody"));
        }
    }
}

/// Runs of coders that had ended at some moment before the end.
pub(super) struct Ends(Vec<(&'static str, Run, u64)>);

impl Ends {
    /// Those of now, but for the last run of each.
    pub(super) fn of(site: &Site) -> Ends {
        let of = |name: &'static str| {
            let runs = runs(&site.notes, name);
            let pairs: Vec<_> = runs.windows(2).map(|w| (name, w[0].clone(), w[1].start)).collect();
            pairs
        };
        Ends(CODERS.into_iter().flat_map(of).collect())
    }

    /// The listener noted all of them.
    pub(super) fn are_told(&self, site: &Site) -> bool {
        let heard = heard(site);
        self.0.iter().all(|(name, run, _)| heard.exits.contains_key(&(name.to_string(), run.pid)))
    }
}

/// What the listener noted.
struct Heard {
    /// How often each serial came.
    serials: BTreeMap<u64, u64>,
    /// Whether each end was expected.
    exits: HashMap<(String, i32), bool>,
}

fn heard(site: &Site) -> Heard {
    let mut heard = Heard { serials: BTreeMap::new(), exits: HashMap::new() };
    for line in fs::read_to_string(site.notes.join("ear.runs")).unwrap_or_default().lines() {
        let Some((serial, rest)) = line.strip_prefix("event ").and_then(|l| l.split_once(' ')) else {
            continue;
        };
        *heard.serials.entry(serial.parse().unwrap_or(u64::MAX)).or_default() += 1;
        let Some(body) = rest.strip_prefix("PROCESS_STATE_EXITED ") else { continue };
        let token =
            |name: &str| body.split(' ').find_map(|w| w.strip_prefix(name)?.strip_prefix(':')).unwrap_or("");
        let pid = token("pid").parse().unwrap_or(0);
        heard.exits.insert((token("processname").to_owned(), pid), token("expected") == "1");
    }
    heard
}

fn events(site: &Site, deeds: &Deeds<'_>, ends: &Ends, tally: &mut Tally) {
    let heard = heard(site);
    tally.did("events", heard.serials.len() as u64);
    tally.did("events told again", heard.serials.values().map(|n| n - 1).sum());
    let (first, last) = (heard.serials.keys().next(), heard.serials.keys().next_back());
    for serial in first.copied().unwrap_or(0)..last.copied().unwrap_or(0) {
        if !heard.serials.contains_key(&serial) {
            tally.wrong("events lost", &format!("number {serial} of the pool"));
        }
    }
    for (name, run, next) in &ends.0 {
        let expected = run.end.is_some_and(|(_, code)| EXPECTED.contains(&code));
        match heard.exits.get(&(name.to_string(), run.pid)) {
            None => tally.wrong("events lost", &format!("{name} {run:?} ended")),
            // Killed behind its last note, or nobody knows.
            Some(_) if deeds.killed.contains_key(&run.pid) || is_weak(run, *next, deeds) => {}
            Some(said) if *said == expected => {}
            Some(said) => {
                tally.wrong("exit codes wrong", &format!("{name} {run:?}: event says expected: {said}"))
            }
        }
    }
}

/// All counted logs, each with its streams.
fn logs(site: &Site) -> BTreeMap<PathBuf, Vec<String>> {
    let mut logs: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for w in &WRITERS {
        for (path, streams) in w.logs(site.world.root()) {
            let streams = streams.iter().map(|s| format!("{}.{s}", w.name));
            logs.entry(path).or_default().extend(streams);
        }
    }
    logs
}

/// A log with its backups, oldest first. A number may be missing: a death between two renamings, and no rotation
/// since then.
fn pieces(path: &Path) -> Vec<PathBuf> {
    let folder = path.parent().map(fs::read_dir).into_iter().flatten().flatten().flatten();
    let backups = folder.filter_map(|entry| {
        let found = entry.path();
        let number: usize = found.extension()?.to_str()?.parse().ok()?;
        (found.file_stem() == path.file_name()).then_some((number, found))
    });
    let mut backups: Vec<(usize, PathBuf)> = backups.collect();
    backups.sort_unstable_by(|a, b| b.cmp(a));
    backups.into_iter().map(|(_, piece)| piece).chain([path.to_path_buf()]).collect()
}

/// What is known of the writers' lives.
struct Known<'a> {
    notes: &'a Path,
    /// What the end of this run of this program had written may be gone; see [`orphaned`].
    orphaned: &'a dyn Fn(&str, usize) -> bool,
}

/// Where a stream stands.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
struct Place {
    run: usize,
    number: u64,
}

/// Each line of a log once, whole, and in order.
fn lines(known: &Known<'_>, path: &Path, streams: &[String], tally: &mut Tally) {
    let mut at: BTreeMap<&str, Place> = streams.iter().map(|s| (s.as_str(), Place::default())).collect();
    let pieces = pieces(path);
    tally.did("rotations", pieces.len() as u64 - 1);
    for piece in &pieces {
        let bytes = fs::read(piece).unwrap_or_default();
        let text = String::from_utf8_lossy(&bytes);
        for (n, line) in text.split_inclusive('\n').enumerate() {
            let here = format!("{}:{}", piece.display(), n + 1);
            let Some((stream, place)) = parse(line) else {
                tally.wrong("lines torn", &format!("{here}: {line:?}"));
                continue;
            };
            let Some(last) = at.get_mut(stream) else {
                tally.wrong("lines torn", &format!("{here}: of another log: {line:?}"));
                continue;
            };
            tally.did("lines", 1);
            follow(known, stream, *last, place, &here, tally);
            *last = place.max(*last);
        }
    }
    for (stream, last) in at {
        let lives = stream.split('.').next().map_or(0, |name| runs(known.notes, name).len());
        let end = Place { run: lives, number: 1 };
        if lives > 0 {
            follow(known, stream, last, end, "the end", tally);
        }
    }
}

/// `NAME.STREAM RUN NUMBER LENGTH FILLER`.
fn parse(line: &str) -> Option<(&str, Place)> {
    let mut words = line.strip_suffix('\n')?.split(' ');
    let stream = words.next()?;
    let place = Place { run: words.next()?.parse().ok()?, number: words.next()?.parse().ok()? };
    let (length, filler): (usize, &str) = (words.next()?.parse().ok()?, words.next()?);
    let whole = filler.len() == length && filler.bytes().all(|b| b == b'.') && words.next().is_none();
    whole.then_some((stream, place))
}

/// Whether this line may follow that one.
fn follow(known: &Known<'_>, stream: &str, last: Place, place: Place, here: &str, tally: &mut Tally) {
    let what = || format!("{stream} {place:?} after {last:?} at {here}");
    if place.run == last.run {
        if place.number <= last.number {
            tally.wrong("lines doubled", &what());
        } else if place.number > last.number + 1 {
            tally.wrong("lines lost", &what());
        }
        return;
    }
    if place.run < last.run {
        tally.wrong("lines doubled", &what());
        return;
    }
    if place.number != 1 {
        tally.wrong("lines lost", &what());
    }
    // A killed writer may have written a line more than it noted.
    for run in last.run..place.run {
        let stored = if run == last.run { last.number } else { 0 };
        let noted = progress(known.notes, stream, run);
        let name = stream.split('.').next().unwrap_or_default();
        if stored < noted && (known.orphaned)(name, run) {
            tally.did("lines that died with writer, daemon and keeper", noted - stored);
        } else if stored < noted {
            tally.wrong("lines lost", &format!("{}: run {run} noted {noted}, stored {stored}", what()));
        } else if stored > noted + 1 {
            tally.wrong("lines doubled", &format!("{}: run {run} noted {noted}, stored {stored}", what()));
        }
    }
}

fn progress(notes: &Path, stream: &str, run: usize) -> u64 {
    let Some((name, suffix)) = stream.split_once('.') else { return 0 };
    let file = notes.join(format!("{name}.{run}.{suffix}"));
    fs::read_to_string(file).ok().and_then(|text| text.trim().parse().ok()).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_is_whole_or_torn() {
        let place = |run, number| Place { run, number };
        assert_eq!(parse("a.out 0 7 3 ...\n"), Some(("a.out", place(0, 7))));
        assert_eq!(parse("a.out 1 1 0 \n"), Some(("a.out", place(1, 1))));
        for torn in
            ["a.out 0 7 3 ...", "a.out 0 7 3 ..\n", "a.out 0 7 3 ...a.out\n", "\n", "out 0 7 3 ...\n x"]
        {
            assert_eq!(parse(torn), None, "{torn:?}");
        }
    }

    /// What is found in a log with one backup, after two lives that noted so many lines each.
    fn found(backup: &str, log: &str) -> String {
        found_with(backup, log, None)
    }

    /// The same, when this life was killed with everybody.
    fn found_with(backup: &str, log: &str, orphan: Option<usize>) -> String {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        write("a.runs", "start 1 1\nstart 2 2\n");
        write("a.0.out", "2   ");
        write("a.1.out", "1   ");
        write("a.log.10", backup);
        write("a.log", log);
        let mut tally = Tally::default();
        let known = Known { notes: dir.path(), orphaned: &|_, run| orphan == Some(run) };
        lines(&known, &dir.path().join("a.log"), &["a.out".into()], &mut tally);
        let wrong = |what: &&str| tally.table().lines().any(|l| l.starts_with(*what) && !l.ends_with(" 0"));
        super::super::WRONGS.into_iter().filter(wrong).collect::<Vec<_>>().join(", ")
    }

    #[test]
    fn what_is_wrong_is_found() {
        let (one, two, again) = ("a.out 0 1 2 ..\n", "a.out 0 2 0 \n", "a.out 1 1 1 .\n");
        let first = [one, two].concat();
        assert_eq!(found(&first, again), "");
        // The killed life may have written one more than it noted, and the one that goes on as well.
        assert_eq!(found(&[one, two, "a.out 0 3 0 \n"].concat(), again), "");
        assert_eq!(found(&first, &[again, "a.out 1 2 0 \n"].concat()), "");
        assert_eq!(found(one, again), "lines lost", "at the end of a life");
        assert_eq!(found_with(one, again, Some(0)), "", "with everybody");
        assert_eq!(found_with(one, again, Some(1)), "lines lost");
        assert_eq!(found_with(two, again, Some(0)), "lines lost", "at its begin, which is no excuse");
        assert_eq!(found(two, again), "lines lost", "at its begin");
        assert_eq!(found(&first, ""), "lines lost", "at the end of all");
        assert_eq!(found(&first, &[two, again].concat()), "lines doubled");
        assert_eq!(found(again, &first), "lines lost, lines doubled", "another order");
        assert_eq!(found(&first, "a.out 1 1 9 .\n"), "lines lost, lines torn");
        assert_eq!(
            found(&[&first, "a.out 1"].concat(), " 1 1 .\n"),
            "lines lost, lines torn",
            "by a rotation"
        );
        assert_eq!(found(&first, &[again, "b.out 0 1 0 \n"].concat()), "lines torn", "of somebody else");
    }
}
