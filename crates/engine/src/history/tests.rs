use super::ring::{Backlog, Ring, Told, segment};
use super::*;
use proptest::prelude::*;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use supers_core::history::{Page, Query};
use supers_core::time::Mono;

const SMALL: Limits = Limits { segment: 1000, memory: 600 };

fn now(secs: u64) -> Now {
    Now { mono: Mono(secs * 1_000_000_000), wall: Wall(i64::try_from(secs).unwrap() * 1000) }
}

fn all() -> Query {
    Query { units: None, limit: usize::MAX, since: None }
}

fn of(unit: &str, limit: usize) -> Query {
    Query { units: Some(vec![unit.into()]), limit, since: None }
}

fn started(unit: &str, pid: i32) -> Entry {
    Entry { at: Wall(0), unit: Some(unit.into()), run: 1, what: What::Started { pid } }
}

/// Pids of the entries, in order.
fn pids(page: &Page) -> Vec<i32> {
    page.entries
        .iter()
        .map(|e| match e.what {
            What::Started { pid } => pid,
            _ => panic!("{e:?}"),
        })
        .collect()
}

fn open(dir: &Path) -> History {
    let (history, notice) = History::open(dir, SMALL);
    assert_eq!(notice, None);
    history
}

fn write(history: &mut History, pids: impl IntoIterator<Item = i32>) {
    pids.into_iter().for_each(|pid| history.push(started("web", pid)));
    history.flush(&Notices::default());
}

fn said(page: &Page) -> String {
    let line = |e: &Entry| format!("{} {} {}", e.at.secs(), e.unit.as_deref().unwrap_or("-"), e.what);
    page.entries.iter().map(line).collect::<Vec<_>>().join("\n")
}

#[test]
fn what_a_later_version_writes_is_kept_in_its_own_words() {
    let text = r#"{"at":5,"unit":"web","run":3,"what":"teleported","to":"mars","text":"went to mars"}"#;
    let entry: Entry = serde_json::from_str(text).unwrap();
    assert_eq!(entry.what, What::Other { what: "teleported".into(), text: "went to mars".into() });
    let again = serde_json::to_string(&entry).unwrap();
    assert_eq!(again, r#"{"at":5,"unit":"web","run":3,"what":"teleported","text":"went to mars"}"#);
    // A known kind with a word that only the later version has.
    let text = r#"{"at":5,"what":"daemon","deed":"cloned","detail":"","text":"superd cloned itself"}"#;
    assert_eq!(serde_json::from_str::<Entry>(text).unwrap().what.to_string(), "superd cloned itself");
    // A known kind with one field more.
    let text = r#"{"at":5,"unit":"web","what":"started","pid":7,"colour":"red","text":"x"}"#;
    assert_eq!(serde_json::from_str::<Entry>(text).unwrap().what, What::Started { pid: 7 });
}

#[test]
fn every_kind_survives_the_disk() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path(), Limits::default()).0;
    let death = Death {
        pid: 7,
        exit: Some(-9),
        core: true,
        expected: false,
        lived_ms: Some(u64::MAX),
        foreign: true,
        oom: Oom::Likely,
        tail: vec!["a \"b\"\n\u{1}ä".into(), String::new()],
    };
    let text = || "x".to_string();
    let kinds = vec![
        What::Asked(Asked { verb: text(), names: vec![text()], all: true, ..Asked::default() }),
        What::Started { pid: 7 },
        What::Adopted { pid: 7 },
        What::StartFailed { stage: text(), errno: 2, detail: text() },
        What::Exited(death.clone()),
        What::Stopped(Death { exit: None, lived_ms: None, ..Death::default() }),
        What::Signalled { signal: 15, by: text() },
        What::Killed { pid: 0 },
        What::Backoff { attempt: 2, until: Wall(-1), wait_ms: 7 },
        What::GaveUp { tries: 4, detail: text() },
        What::Dependency { on: text() },
        What::Refused { detail: text() },
        What::LeftRunning { pid: 7 },
        What::OutOfReach { pid: 7 },
        What::CommandFailed { command: text(), detail: text() },
        What::Reloaded,
        What::FileChanged { file: text(), line: 3, change: Change::Added, by: text() },
        What::Configuration { added: 1, changed: 2, removed: 3, refused: text() },
        What::Probe { detail: text() },
        What::Schedule { detail: text() },
        What::Daemon { deed: Deed::RolledBack, detail: text() },
        What::Other { what: "dance".into(), text: "danced".into() },
    ];
    for (run, what) in kinds.iter().enumerate() {
        history.push(Entry { at: Wall(-5), unit: Some("a\"b".into()), run: run as u64, what: what.clone() });
    }
    history.flush(&Notices::default());
    let page = history.reader().read(&of("a\"b", usize::MAX)).unwrap();
    assert_eq!(page.entries.into_iter().map(|e| e.what).collect::<Vec<_>>(), kinds);
}

proptest! {
    #[test]
    fn the_ring_is_bounded_and_keeps_the_newest_in_order(
        turns in proptest::collection::vec((0_usize..5, any::<bool>()), 1..80),
    ) {
        let dir = tempfile::tempdir().unwrap();
        let mut history = open(dir.path());
        let mut next = 0;
        for (count, crash) in turns {
            write(&mut history, (next..).take(count));
            next += i32::try_from(count).unwrap();
            if crash {
                history = open(dir.path());
            }
            let size: u64 = (0..2).filter_map(|n| fs::metadata(segment(dir.path(), n)).ok()).map(|m| m.len()).sum();
            prop_assert!(size <= 2 * SMALL.segment, "{size}");
        }
        let page = history.reader().read(&all()).unwrap();
        let have = pids(&page);
        prop_assert_eq!(&have, &(next - i32::try_from(have.len()).unwrap()..next).collect::<Vec<_>>());
        // At least one file's worth is there.
        prop_assert!(have.len() >= usize::try_from(next).unwrap().min(8), "{} of {}", have.len(), next);
        prop_assert_eq!((page.skipped, page.dropped), (0, 0));
        let some = pids(&history.reader().read(&of("web", 3)).unwrap());
        prop_assert_eq!(&some[..], &have[have.len().saturating_sub(3)..]);
        prop_assert!(history.reader().read(&of("we", 3)).unwrap().entries.is_empty());
    }

    #[test]
    fn foreign_bytes_do_no_harm(bytes in proptest::collection::vec(any::<u8>(), 0..300), old: bool) {
        let dir = tempfile::tempdir().unwrap();
        fs::write(segment(dir.path(), usize::from(old)), &bytes).unwrap();
        let mut history = open(dir.path());
        write(&mut history, [1]);
        let page = history.reader().read(&all()).unwrap();
        prop_assert_eq!(pids(&page), [1]);
    }
}

#[test]
fn a_crash_at_every_byte_costs_at_most_the_line_it_cut() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = open(dir.path());
    write(&mut history, 0..12);
    write(&mut history, 12..16);
    drop(history);
    let whole = fs::read(segment(dir.path(), 0)).unwrap();
    assert!(segment(dir.path(), 1).exists() && whole.iter().filter(|b| **b == b'\n').count() == 4);
    for cut in 0..=whole.len() {
        fs::write(segment(dir.path(), 0), &whole[..cut]).unwrap();
        let lines = whole[..cut].iter().filter(|b| **b == b'\n').count();
        // Only its line feed is missing: that is a whole one too.
        let whole_line = whole.get(cut) == Some(&b'\n');
        let kept = 12 + i32::try_from(lines).unwrap() + i32::from(whole_line);
        let torn = !whole_line && cut > 0 && whole[cut - 1] != b'\n';
        let page = Reader::new(dir.path(), SMALL, Arc::default()).read(&all()).unwrap();
        assert_eq!((pids(&page), page.skipped), ((0..kept).collect(), 0), "cut at {cut}");
        for pid in [100, 101, 102] {
            // Three daemons after each other, each killed after one entry.
            write(&mut open(dir.path()), [pid]);
        }
        let page = Reader::new(dir.path(), SMALL, Arc::default()).read(&all()).unwrap();
        let wanted: Vec<i32> = (0..kept).chain([100, 101, 102]).collect();
        assert_eq!((pids(&page), page.skipped), (wanted, u64::from(torn)), "cut at {cut}");
    }
}

#[test]
fn a_disk_that_takes_nothing_is_told_once_and_the_newest_stay() {
    let dir = tempfile::tempdir().unwrap();
    let state = dir.path().join("state");
    fs::write(&state, "in the way").unwrap();
    let (mut history, notice) = History::open(&state, SMALL);
    assert!(notice.unwrap().starts_with(ring::BROKEN));
    let notices = Notices::default();
    for pid in 0..20 {
        history.push(started("web", pid));
        history.flush(&notices);
    }
    assert_eq!(notices.all(), Vec::<String>::new(), "it was told already");
    let reader = history.reader();
    // Its folder cannot be looked into at all; what is in memory is all there is.
    fs::remove_file(&state).unwrap();
    let page = reader.read(&all()).unwrap();
    let kept = pids(&page);
    assert_eq!((kept.last(), page.dropped), (Some(&19), 20 - kept.len() as u64));
    assert!((4..20).contains(&kept.len()), "{kept:?}");
    fs::create_dir(&state).unwrap();
    write(&mut history, [20]);
    let page = reader.read(&all()).unwrap();
    assert_eq!(pids(&page), kept.iter().copied().chain([20]).collect::<Vec<_>>());
    let on_disk = Reader::of_files(&state).read(&all()).unwrap();
    assert_eq!(on_disk.entries, page.entries);
    assert_eq!(fs::metadata(segment(&state, 0)).unwrap().permissions().mode() & 0o777, 0o600);
}

#[test]
fn a_full_disk_is_told_and_mended() {
    let dir = tempfile::tempdir().unwrap();
    let backlog: Arc<Mutex<Backlog>> = Arc::default();
    let mut ring = Ring::open(dir.path(), SMALL, backlog.clone()).0;
    let line = |n: i32| vec![[serde_json::to_vec(&started("web", n)).unwrap(), b"\n".to_vec()].concat()];
    assert_eq!(ring.append(line(1)), Told::Nothing);
    let good = ring.file.replace(fs::OpenOptions::new().write(true).open("/dev/full").unwrap());
    let told = ring.append(line(2));
    assert!(matches!(&told, Told::Broken(text) if text.contains("No space left")), "{told:?}");
    assert_eq!(ring.append(line(3)), Told::Nothing, "once is enough");
    let reader = Reader::new(dir.path(), SMALL, backlog);
    assert_eq!(pids(&reader.read(&all()).unwrap()), [1, 2, 3]);
    ring.file = good;
    assert_eq!(ring.append(line(4)), Told::Mended);
    assert_eq!(pids(&Reader::of_files(dir.path()).read(&all()).unwrap()), [1, 2, 3, 4]);
    assert_eq!(pids(&reader.read(&all()).unwrap()), [1, 2, 3, 4]);
}

#[test]
fn what_is_no_file_is_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    fs::create_dir(segment(dir.path(), 0)).unwrap();
    fs::create_dir(segment(dir.path(), 1)).unwrap();
    let (mut history, notice) = History::open(dir.path(), SMALL);
    assert!(notice.is_some());
    write(&mut history, [1]);
    assert_eq!(pids(&history.reader().read(&all()).unwrap()), [1]);
    // A link may lead anywhere.
    fs::remove_dir(segment(dir.path(), 0)).unwrap();
    std::os::unix::fs::symlink(dir.path().join("elsewhere"), segment(dir.path(), 0)).unwrap();
    assert!(History::open(dir.path(), SMALL).1.is_some());
    assert!(!dir.path().join("elsewhere").exists());
}

fn unit(state: State) -> Unit {
    Unit { state, run: RunId(3), started: Some(Wall(1000)), ..Unit::new(Wall(0)) }
}

fn running() -> Unit {
    unit(State::Running { run: RunId(3), pid: Pid(7), begun: Mono(1_000_000_000) })
}

fn end(exit: Exit) -> End<'static> {
    End { unit: UnitId(0), run: RunId(3), pid: Pid(7), exit, streams: None, oom: &|| None }
}

fn by_signal(signal: Signal) -> Exit {
    Exit::Signal { signal, core: false }
}

#[test]
fn the_notes_of_a_life() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path(), Limits::default()).0;
    let spec = Spec { group: "shop".into(), ..Spec::new("web") };
    let root = Caller { door: "unix".into(), who: "root".into() };
    let origin = Origin { file: "web.service".into(), line: 3, ..Origin::default() };
    history.asked(now(1), &root, "reload", &[], vec![]);
    history.refused(now(1), &root, "start", &["nope".into()], "nothing is called nope");
    history.file_changed(now(1), &spec, &origin, Change::Changed);
    history.configuration(now(1), Ok((0, 1, 0)));
    history.note(now(1), &spec, Some(&running()), &Note::Spawned(Pid(7)));
    history.ended(now(3), &end(Exit::Code(1)), Some(&running()));
    let backoff = State::Backoff { until: now(5).mono, attempt: 1, cause: Cause::Never };
    history.note(
        now(3),
        &spec,
        Some(&unit(backoff.clone())),
        &Note::Exited { exit: Exit::Code(1), expected: false, pid: Pid(7) },
    );
    let changed = |from, to| Note::Changed { from, to, tries: 1, pid: None, expected: false };
    history.note(now(3), &spec, Some(&unit(backoff)), &changed(Word::Starting, Word::Backoff));
    let cause = Cause::GaveUp { tries: 2, last: Box::new(Cause::Dependency("db".into())) };
    let fatal = unit(State::Fatal { cause });
    // Entered in one step: only the second is news.
    history.note(now(4), &spec, Some(&fatal), &changed(Word::Starting, Word::Backoff));
    history.note(now(4), &spec, Some(&fatal), &changed(Word::Backoff, Word::Fatal));
    history.asked(now(5), &root, "stop", &["web".into()], vec!["shop:web".into()]);
    history.asked(now(5), &root, "stop", &["all".into()], vec!["shop:web".into(), "db".into()]);
    history.asked(now(5), &root, "stop", &["d*".into()], vec!["db".into(), "dc".into()]);
    history.daemon(now(6), Deed::Crashed, "");
    history.flush(&Notices::default());
    let page = history.reader().read(&of("shop:web", usize::MAX)).unwrap();
    assert_eq!(
        said(&page),
        "1 shop:web its description changed: web.service:3 (root asked through the unix socket: reload)\n\
         1 shop:web started, pid 7\n\
         3 shop:web ended, which was not expected: exit status 1 after 2 s\n\
         3 shop:web is started again after a pause of 2 s (attempt 1)\n\
         4 shop:web gave up after 2 tries: db, which it requires, did not start\n\
         5 shop:web root asked through the unix socket: stop web\n\
         5 - root asked through the unix socket: stop all\n\
         6 - superd ended without a word and was started again"
    );
    assert_eq!(history.reader().read(&all()).unwrap().entries.len(), 12);
    let late = Query { since: Some(Wall(5000)), ..of("db", 9) };
    assert_eq!(history.reader().read(&late).unwrap().entries.len(), 3);
}

#[test]
fn whose_signal_it_was() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path(), Limits::default()).0;
    let spec = Spec::new("web");
    let stopping =
        |phase| unit(State::Stopping { run: RunId(3), pid: None, phase, next_at: None, timed_out: false });
    let mut foreign = |sent: &[Signal], signal: Signal, unit: &Unit| {
        sent.iter().for_each(|s| history.signalled(now(1), &spec, RunId(3), *s, "order"));
        history.ended(now(3), &end(by_signal(signal)), Some(unit));
        history.end.take().unwrap().death.foreign
    };
    let segv = Signal::parse("SEGV").unwrap();
    assert!(foreign(&[], Signal::KILL, &running()));
    assert!(foreign(&[Signal::TERM], Signal::KILL, &running()));
    assert!(!foreign(&[Signal::KILL], Signal::KILL, &running()));
    assert!(foreign(&[], Signal::KILL, &running()), "the order was of a run before");
    assert!(!foreign(&[], segv, &running()), "that is its own fault");
    assert!(!foreign(&[], Signal::TERM, &stopping(Phase::Signal(0))));
    assert!(!foreign(&[], Signal::KILL, &stopping(Phase::Kill)));
    assert!(foreign(&[], Signal::KILL, &stopping(Phase::Signal(0))));
}

#[test]
fn who_says_that_it_was_the_kernel() {
    let dir = tempfile::tempdir().unwrap();
    let mut history = History::open(dir.path(), Limits::default()).0;
    let vmstat: &'static str = Box::leak(dir.path().join("vmstat").display().to_string().into());
    let machine = |kills: u32| fs::write(vmstat, format!("nr_free_pages 7\noom_kill {kills}\n")).unwrap();
    machine(5);
    history.oom = oom::Watch::new(vmstat);
    let spec = Spec::new("web");
    let asked = std::cell::Cell::new(0);
    let mut dies = |exit: Exit, group: Option<Oom>| {
        let oom = || {
            asked.set(asked.get() + 1);
            group
        };
        history.ended(now(3), &End { oom: &oom, ..end(exit) }, Some(&running()));
        let starved = history.is_starved(RunId(3)) && !history.is_starved(RunId(4));
        let note = Note::Exited { exit, expected: false, pid: Pid(7) };
        history.note(now(3), &spec, Some(&running()), &note);
        history.flush(&Notices::default());
        let last = history.reader().read(&of("web", 1)).unwrap().entries.pop().unwrap().what;
        let What::Exited(death) = last else { panic!("{last:?}") };
        (death.oom, starved)
    };
    let kill = by_signal(Signal::KILL);
    assert_eq!(dies(kill, None), (Oom::No, false));
    machine(6);
    assert_eq!(dies(kill, None), (Oom::Likely, false));
    assert_eq!(dies(kill, None), (Oom::No, false), "that one is accounted for");
    machine(7);
    assert_eq!(dies(kill, Some(Oom::No)), (Oom::No, false), "the group knows better than the machine");
    assert_eq!(dies(kill, Some(Oom::Likely)), (Oom::Likely, false));
    assert_eq!(dies(kill, Some(Oom::Yes)), (Oom::Yes, true));
    assert_eq!(asked.get(), 6);
    assert_eq!(dies(by_signal(Signal::TERM), Some(Oom::Yes)), (Oom::No, false), "nobody is asked");
    assert_eq!(asked.get(), 6);
}

#[test]
fn last_lines_of_a_piece() {
    let lines = |bytes: &[u8], cut| tail::last_lines(bytes, cut).join("|");
    assert_eq!(lines(b"", false), "");
    assert_eq!(lines(b"\n", false), "");
    assert_eq!(lines(b"a\nb\r\n", false), "a|b");
    assert_eq!(lines(b"alf\nwhole\nno end", true), "whole|no end");
    assert_eq!(lines(b"only a piece", true), "only a piece");
    assert_eq!(lines("1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n11\n12\n".as_bytes(), false), "3|4|5|6|7|8|9|10|11|12");
    assert_eq!(lines(b"\xff\n", false), "\u{fffd}");
}
