//! A process that pumps is killed, at random and at each step, and another one takes over, as the keeper has
//! it: here the test holds the FIFOs.

use super::rotate::numbered;
use super::tests::{SmallDisk, bytes_of};
use super::*;
use std::io::{Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::process::ExitStatusExt;
use std::process::{Child, Command, Stdio};
use supers_core::spec::{Sink, Target};
use tempfile::TempDir;

/// What the pumping process is to do.
const PLAN: &str = "SUPERS_TEST_LOGS_PLAN";
/// Length of each line.
const LINE: usize = 64;
/// A failpoint that was not met while so many lines were written is never met.
const PATIENCE: u64 = 400_000;

/// What is done to the log besides writing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Deed {
    Nothing,
    /// Renamed to `LOG-moved-PID`, then opened again.
    Reopen,
    Clear,
}

#[derive(Clone, Debug)]
struct Plan {
    dir: PathBuf,
    log: PathBuf,
    max: u64,
    backups: u32,
    /// Standard output is a listener's.
    heard: bool,
    deed: Deed,
}

impl Plan {
    fn text(&self, fifos: &[OwnedFd]) -> String {
        let Plan { dir, log, max, backups, heard, deed } = self;
        let fds: Vec<String> = fifos.iter().map(|fd| fd.as_raw_fd().to_string()).collect();
        let (dir, log, pid) = (dir.display(), log.display(), std::process::id());
        format!("{dir} {log} {max} {backups} {heard} {deed:?} {pid} {}", fds.join(","))
    }

    fn parse(text: &str) -> (Plan, Vec<OwnedFd>) {
        let words: Vec<&str> = text.split(' ').collect();
        let [dir, log, max, backups, heard, deed, pid, fds] = words[..] else { panic!("{text}") };
        let deed = [Deed::Nothing, Deed::Reopen, Deed::Clear].into_iter().find(|d| format!("{d:?}") == deed);
        let plan = Plan {
            dir: dir.into(),
            log: log.into(),
            max: max.parse().unwrap(),
            backups: backups.parse().unwrap(),
            heard: heard == "true",
            deed: deed.unwrap(),
        };
        let open = |fd| File::options().read(true).write(true).open(format!("/proc/{pid}/fd/{fd}")).unwrap();
        (plan, fds.split(',').map(|fd| open(fd).into()).collect())
    }

    /// Streams: standard output and error of unit 1, standard output of unit 2, all into one file.
    fn output(&self, stderr: bool) -> Output {
        let sink = Sink {
            target: Target::File(bytes_of(&self.log)),
            max_bytes: self.max,
            backups: self.backups,
            ..Sink::default()
        };
        Output { stderr: Some(if stderr { sink.clone() } else { Sink::default() }), stdout: sink }
    }

    fn take_over(&self, fifos: Vec<OwnedFd>) -> (Logs, mpsc::Receiver<LogFact>) {
        let null = || File::options().read(true).write(true).open("/dev/null").unwrap().into();
        let mut config = LogsConfig::new(self.dir.join("run"), null(), null());
        config.adopt = true;
        let (logs, facts) = start(config).unwrap();
        let mut fifos = fifos.into_iter().map(Some);
        let mut next = || fifos.next().flatten();
        let (out, err, other) = (next(), next(), next());
        if other.is_some() {
            logs.adopt(UnitId(2), "u2", &self.output(false), None, [other, None]).unwrap();
        }
        let output = self.output(err.is_some());
        let adopt = if self.heard { Logs::adopt_listener } else { Logs::adopt };
        adopt(&logs, UnitId(1), "u1", &output, None, [out, err]).unwrap();
        logs.adopted();
        (logs, facts)
    }
}

/// The process that is killed. By itself it does nothing.
#[test]
fn pumping_process() {
    let Ok(text) = std::env::var(PLAN) else { return };
    // Nobody is left who would kill it.
    std::thread::spawn(|| {
        let _ = std::io::stdin().read(&mut [0]);
        std::process::exit(3);
    });
    let (plan, fifos) = Plan::parse(&text);
    let (logs, mut facts) = plan.take_over(fifos);
    if plan.deed != Deed::Nothing {
        while fs::metadata(&plan.log).is_ok_and(|meta| meta.len() < 10_000) {
            std::thread::yield_now();
        }
    }
    match plan.deed {
        Deed::Nothing => {}
        Deed::Reopen => {
            let now = crate::clock::now().mono.0;
            let moved = format!("{}-moved-{now:020}", plan.log.display());
            fs::rename(&plan.log, moved).unwrap();
            logs.reopen_all();
        }
        Deed::Clear => logs.clear(UnitId(1), Stream::Stdout).blocking_recv().unwrap().unwrap(),
    }
    while let Some(fact) = facts.blocking_recv() {
        match fact {
            LogFact::Heard { unit, text } => {
                crate::failpoint::hit("test.heard");
                logs.consumed(unit, text.len());
            }
            LogFact::Trouble { .. } => fs::write(plan.dir.join("trouble"), "").unwrap(),
            _ => {}
        }
    }
}

/// Killed when dropped.
struct Pumping(Child);

impl Drop for Pumping {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Holds the FIFOs, has them written to and starts pumping processes.
struct Keeper {
    _dir: TempDir,
    plan: Plan,
    fifos: Vec<OwnedFd>,
    written: Vec<Arc<AtomicU64>>,
    stop: Arc<AtomicBool>,
    writers: Vec<JoinHandle<()>>,
    random: u64,
    kills: u32,
}

impl Keeper {
    fn new(streams: usize, max: u64, backups: u32) -> Keeper {
        let dir = tempfile::tempdir().unwrap();
        let fifos: Vec<OwnedFd> = (0..streams)
            .map(|n| {
                let path = dir.path().join(format!("fifo{n}"));
                supers_os::pipe::mkfifo(&path, 0o600).unwrap();
                supers_os::pipe::open_fifo(&path).unwrap()
            })
            .collect();
        let plan = Plan {
            dir: dir.path().into(),
            log: dir.path().join("a.log"),
            max,
            backups,
            heard: false,
            deed: Deed::Nothing,
        };
        let stop = Arc::default();
        let random = u64::from(std::process::id());
        Keeper { _dir: dir, plan, fifos, written: Vec::new(), stop, writers: Vec::new(), random, kills: 0 }
    }

    /// Lets a writer run for each FIFO, each as fast as it can.
    fn write(&mut self) {
        for (who, fifo) in self.fifos.iter().enumerate() {
            let mut out = File::from(supers_os::pipe::reopen(fifo, Path::new("/nonexistent")).unwrap());
            let (written, stop) = (Arc::new(AtomicU64::new(0)), Arc::clone(&self.stop));
            self.written.push(Arc::clone(&written));
            self.writers.push(std::thread::spawn(move || {
                let mut chunk = Vec::new();
                while !stop.load(Ordering::Acquire) {
                    let first = written.load(Ordering::Acquire);
                    // Chunks up to what a pipe never tears.
                    let count = 1 + first % (4096 / LINE as u64);
                    chunk.clear();
                    (first..first + count).for_each(|i| chunk.extend(line(who, i)));
                    out.write_all(&chunk).unwrap();
                    written.store(first + count, Ordering::Release);
                }
            }));
        }
    }

    fn total(&self) -> u64 {
        self.written.iter().map(|n| n.load(Ordering::Acquire)).sum()
    }

    fn random(&mut self, below: u64) -> u64 {
        self.random =
            self.random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.random >> 33) % below
    }

    fn pump(&self, failpoint: Option<&str>) -> Pumping {
        let mut command = Command::new(std::env::current_exe().unwrap());
        command.args(["--exact", "logs::crash_tests::pumping_process", "--nocapture"]);
        command.env(PLAN, self.plan.text(&self.fifos)).stdin(Stdio::piped()).stdout(Stdio::null());
        match failpoint {
            Some(name) => command.env("SUPERS_FAILPOINT", name),
            None => command.env_remove("SUPERS_FAILPOINT"),
        };
        Pumping(command.spawn().unwrap())
    }

    /// One life of a pumping process, while so many lines are written, unless it ends before.
    fn live(&mut self, failpoint: Option<&str>, lines: u64) {
        let until = self.total() + lines;
        let mut pumping = self.pump(failpoint);
        let pid = supers_core::ids::Pid(i32::try_from(pumping.0.id()).unwrap());
        let pidfd = supers_os::reap::pidfd_open(pid).unwrap();
        let trouble = self.plan.dir.join("trouble");
        let end = loop {
            if let Some(status) = pumping.0.try_wait().unwrap() {
                break Some(status);
            }
            if self.total() >= until || trouble.exists() {
                break None;
            }
            look_again(Some(&pidfd));
        };
        let _ = fs::remove_file(&trouble);
        self.kills += 1;
        match end {
            None => assert!(failpoint.is_none(), "never came by {failpoint:?}"),
            Some(status) => assert_eq!(status.signal(), Some(9), "{status:?} at {failpoint:?}"),
        }
    }

    /// It dies when it comes by there.
    fn die_at(&mut self, failpoint: &str) {
        self.live(Some(failpoint), PATIENCE);
    }

    /// The last life, in this process: stores what is left and returns all that is kept, with what a
    /// reader knows of its place.
    fn finish(&mut self) -> (Vec<u8>, LogReader) {
        self.stop.store(true, Ordering::Release);
        let fifos = self.fifos.iter().map(|fd| fd.as_fd().try_clone_to_owned().unwrap()).collect();
        let (logs, mut facts) = self.plan.take_over(fifos);
        let mut writers = std::mem::take(&mut self.writers);
        let mut asked = false;
        let mut drained = 0;
        while drained < 2 {
            if !asked && writers.iter().all(|w| w.is_finished()) {
                writers.drain(..).for_each(|w| w.join().unwrap());
                assert!([1, 2].map(|unit| logs.drain(UnitId(unit), RunId(1))).iter().all(|sent| *sent));
                asked = true;
            }
            match facts.try_recv() {
                Ok(LogFact::Drained { .. }) => drained += 1,
                Ok(LogFact::Heard { unit, text }) => logs.consumed(unit, text.len()),
                Ok(_) => {}
                Err(_) => look_again(None),
            }
        }
        let reader = logs.streams(UnitId(1)).unwrap().reader(Stream::Stdout).unwrap();
        logs.leave();
        logs.join();
        let mut files = vec![self.plan.log.clone()];
        files.extend((1..).map(|n| numbered(&self.plan.log, n)).take_while(|path| path.exists()));
        let mut moved: Vec<PathBuf> =
            fs::read_dir(&self.plan.dir).unwrap().map(|e| e.unwrap().path()).collect();
        moved.retain(|path| path.to_string_lossy().contains("-moved-"));
        moved.sort();
        moved.extend(files.into_iter().rev());
        (moved.iter().flat_map(|path| fs::read(path).unwrap()).collect(), reader)
    }

    /// Every line of every writer is there once, whole and in its order.
    fn check(&mut self) -> LogReader {
        let (all, reader) = self.finish();
        let mut next = vec![0; self.fifos.len()];
        for text in all.chunks(LINE) {
            let who = text[0].wrapping_sub(b'a') as usize;
            let expected = next.get(who).map(|i| line(who, *i)).unwrap_or_default();
            assert_eq!(bstr::BStr::new(text), bstr::BStr::new(&expected), "after {} kills", self.kills);
            next[who] += 1;
        }
        let written: Vec<u64> = self.written.iter().map(|n| n.load(Ordering::Acquire)).collect();
        assert_eq!(next, written, "after {} kills", self.kills);
        assert_eq!(reader.end(), all.len() as u64, "offsets go on");
        reader
    }
}

/// Waits a moment, or until a process ends: what is waited for is looked at again then.
fn look_again(pidfd: Option<&OwnedFd>) {
    use rustix::event::{PollFd, PollFlags, Timespec, poll};
    let mut fds: Vec<PollFd<'_>> = pidfd.iter().map(|fd| PollFd::new(*fd, PollFlags::IN)).collect();
    let _ = poll(&mut fds, Some(&Timespec { tv_sec: 0, tv_nsec: 1_000_000 }));
}

fn line(who: usize, i: u64) -> Vec<u8> {
    let who = char::from(b'a' + who as u8);
    let mut line = format!("{who} line {i:010} ").into_bytes();
    line.resize(LINE - 1, b'.');
    line.push(b'\n');
    line
}

const ROTATION: [&str; 12] = [
    "rotate.begin",
    "shift.step",
    "rotate.shifted",
    "rotate.next",
    "rotate.copied",
    "rotate.cut",
    "rotate.moved",
    "rotate.renamed",
    "rotate.noted",
    "splice.before",
    "splice.after",
    "adopt.begin",
];
const ADOPTION: [&str; 3] = ["adopt.repaired", "adopt.opened", "adopt.done"];

#[test]
fn killed_a_hundred_times_at_full_speed() {
    let mut keeper = Keeper::new(1, 100_000, 100_000);
    keeper.write();
    for _ in 0..100 {
        let lines = keeper.random(8_000);
        keeper.live(None, lines);
    }
    let reader = keeper.check();
    for i in [0, 1, 777, keeper.total() / 2, keeper.total() - 1] {
        assert_eq!(reader.read(i * LINE as u64, LINE).unwrap(), (i * LINE as u64, line(0, i)));
    }
}

#[test]
fn killed_at_each_step() {
    let mut keeper = Keeper::new(1, 100_000, 100_000);
    keeper.write();
    keeper.live(None, 20_000);
    for step in ROTATION.iter().chain(&ADOPTION) {
        keeper.die_at(step);
        // Twice in a row, later, and after a while.
        keeper.die_at(step);
        if !step.starts_with("adopt") {
            keeper.die_at(&format!("{step}:3"));
        }
        keeper.live(None, 3000);
    }
    for step in ["repair.shift", "repair.shifted", "repair.moved"] {
        keeper.die_at("rotate.cut");
        keeper.die_at(step);
        keeper.die_at("adopt.repaired");
    }
    keeper.die_at("rotate.copied");
    keeper.die_at("repair.drop");
    keeper.check();
}

#[test]
fn without_backups_what_is_kept_has_no_hole_and_offsets_go_on() {
    let mut keeper = Keeper::new(1, 100_000, 0);
    keeper.write();
    for step in ["rotate.next", "rotate.copied", "rotate.noted", "splice.after", "adopt.opened"] {
        keeper.die_at(step);
    }
    // A limit that is met exactly: the file is cut in place.
    keeper.plan.max = 64 * 1000;
    for step in ["rotate.truncate", "rotate.truncated", "rotate.noted"] {
        keeper.die_at(step);
    }
    let (kept, reader) = keeper.finish();
    let first = keeper.total() - (kept.len() / LINE) as u64;
    let expected: Vec<u8> = (first..keeper.total()).flat_map(|i| line(0, i)).collect();
    assert!(kept == expected);
    assert_eq!(reader.end(), keeper.total() * LINE as u64);
}

#[test]
fn several_streams_into_one_file() {
    let mut keeper = Keeper::new(3, 100_000, 100_000);
    keeper.write();
    for round in 0..40 {
        let lines = keeper.random(25_000);
        keeper.live(None, lines);
        keeper.die_at(ROTATION[round % ROTATION.len()]);
    }
    keeper.check();
}

#[test]
fn the_file_is_deleted_or_cleared_meanwhile() {
    let mut keeper = Keeper::new(1, 100_000, 100_000);
    keeper.write();
    for round in 0..12 {
        let lines = keeper.random(10_000);
        let log = keeper.plan.log.clone();
        match round % 4 {
            0 => fs::remove_file(&log).unwrap_or_default(),
            1 => {
                keeper.plan.deed = Deed::Clear;
                keeper.die_at("clear.removed");
                keeper.die_at("reopen.opened");
                keeper.plan.deed = Deed::Nothing;
            }
            2 => {
                let deleter = std::thread::spawn(move || fs::remove_file(log).unwrap_or_default());
                keeper.live(None, lines);
                deleter.join().unwrap();
            }
            _ => keeper.die_at(ROTATION[round % ROTATION.len()]),
        }
        keeper.live(None, lines);
    }
    let (kept, reader) = keeper.finish();
    // What went with a file may have ended within a line; nothing comes twice or out of order.
    let numbers = kept.split(|b| *b == b'\n').filter_map(|text| {
        let number = std::str::from_utf8(text.get(7..17)?).ok()?.parse::<u64>().ok()?;
        (text.len() == LINE - 1 && text.starts_with(b"a line ")).then_some(number)
    });
    let numbers: Vec<u64> = numbers.collect();
    assert!(numbers.is_sorted_by(|a, b| a < b));
    assert_eq!(numbers.last(), Some(&(keeper.total() - 1)));
    let holes = numbers.windows(2).filter(|w| w[1] != w[0] + 1).count();
    assert!(holes <= 12, "{holes} holes");
    assert!(reader.end() >= keeper.total() * LINE as u64, "offsets never go back");
}

#[test]
fn a_file_that_was_moved_away_is_left_once() {
    let mut keeper = Keeper::new(1, 0, 0);
    keeper.write();
    keeper.plan.deed = Deed::Reopen;
    for _ in 0..5 {
        keeper.die_at("reopen.opened");
        keeper.live(None, 30_000);
    }
    keeper.plan.deed = Deed::Nothing;
    let (all, _) = keeper.finish();
    let expected: Vec<u8> = (0..keeper.total()).flat_map(|i| line(0, i)).collect();
    assert!(all == expected);
}

#[test]
fn the_disk_is_full_meanwhile() {
    let mut keeper = Keeper::new(1, 100_000, 100_000);
    let disk = SmallDisk::mount(keeper.plan.dir.join("disk"), "48m");
    keeper.plan.log = disk.0.join("a.log");
    let ballast = disk.0.join("ballast");
    keeper.write();
    for round in 0..6 {
        fs::write(&ballast, vec![b'x'; 64 << 20]).unwrap_err();
        // Until it says that it is stuck.
        keeper.live(None, PATIENCE);
        if round % 2 == 0 {
            keeper.live(None, PATIENCE);
        }
        fs::remove_file(&ballast).unwrap();
        keeper.live(None, 3000);
    }
    keeper.check();
}

#[test]
fn a_listeners_words_are_kept_once() {
    let mut keeper = Keeper::new(1, 100_000, 100_000);
    keeper.plan.heard = true;
    keeper.write();
    for step in [
        "heard.told",
        "test.heard",
        "heard.consume",
        "heard.consumed",
        "splice.after",
        "rotate.moved",
        "test.heard:4",
    ] {
        keeper.die_at(step);
        keeper.live(None, 5000);
    }
    keeper.check();
}

/// A rig of its own for what needs no killing.
fn again(dir: &Path) -> (Logs, mpsc::Receiver<LogFact>) {
    let null = || File::options().read(true).write(true).open("/dev/null").unwrap().into();
    let mut config = LogsConfig::new(dir.join("run"), null(), null());
    config.adopt = true;
    start(config).unwrap()
}

fn heard(facts: &mut mpsc::Receiver<LogFact>) -> Vec<u8> {
    match facts.blocking_recv().unwrap() {
        LogFact::Heard { text, .. } => text.to_vec(),
        fact => panic!("{fact:?}"),
    }
}

#[test]
fn what_the_engine_has_not_noted_is_heard_again() {
    let dir = tempfile::tempdir().unwrap();
    let log = dir.path().join("a.log");
    let output = tests::to_file(&log, 0, 0);
    let (logs, mut facts) = again(dir.path());
    let streams = logs.attach_listener(UnitId(1), "g:tap", &output, None, false).unwrap();
    let unheld = streams.take_unheld();
    assert_eq!(unheld.len(), 1);
    assert_eq!(unheld[0].0, fifo_names("g:tap")[0]);
    let kept = unheld[0].1.try_clone_to_owned().unwrap();
    assert!(streams.take_unheld().is_empty());
    tests::say(&streams, "READY\nRESULT 2\nOK");
    assert_eq!(heard(&mut facts), b"READY\nRESULT 2\nOK");
    logs.consumed(UnitId(1), 6);
    logs.leave();
    logs.join();
    assert!(logs.ended() && dir.path().join("run/fifo/g:tap.out").exists());
    fs::remove_dir_all(dir.path().join("run/fifo")).unwrap();
    let (logs, mut facts) = again(dir.path());
    let streams = logs.adopt_listener(UnitId(7), "g:tap", &output, None, [Some(kept), None]).unwrap();
    assert!(streams.take_unheld().is_empty(), "the keeper has it");
    let words = heard(&mut facts);
    assert!(b"READY\nRESULT 2\nOK".ends_with(&words) && words.ends_with(b"RESULT 2\nOK"));
    logs.consumed(UnitId(7), words.len());
    logs.drain(UnitId(7), RunId(1));
    assert_eq!(facts.blocking_recv(), Some(LogFact::Stored { unit: UnitId(7) }));
    assert_eq!(facts.blocking_recv(), Some(LogFact::Drained { unit: UnitId(7), run: RunId(1) }));
    assert_eq!(fs::read(&log).unwrap(), b"READY\nRESULT 2\nOK");
    assert_eq!(logs.detach(UnitId(7)), ["g:tap.out", "g:tap.err"]);
    logs.shutdown();
    logs.join();
}

#[test]
fn auto_files_and_offsets_are_found_again() {
    let dir = tempfile::tempdir().unwrap();
    let target = Target::Auto { dir: bytes_of(dir.path()), identifier: "sv".into() };
    let sink = || Sink { target: target.clone(), max_bytes: 10, backups: 1, ..Sink::default() };
    let output = Output { stdout: sink(), stderr: Some(sink()) };
    let (logs, _facts) = again(dir.path());
    let paths = logs.prepare(UnitId(1), "web", &output).unwrap();
    let streams = logs.attach(UnitId(1), "web", &output, None, true).unwrap();
    let fifos = || -> [Option<OwnedFd>; 2] {
        let mut fds = streams.fifo_fds().map(|(_, fd)| fd.try_clone_to_owned().unwrap());
        [fds.next(), fds.next()]
    };
    let kept = fifos();
    let reader = streams.reader(Stream::Stdout).unwrap();
    let mut end = 0;
    for _ in 0..4 {
        tests::say(&streams, "1234567\n");
        end += 8;
        while reader.end() < end {
            std::thread::yield_now();
        }
    }
    logs.leave();
    logs.join();
    tests::say(&streams, "while nobody was there\n");
    let (logs, mut facts) = again(dir.path());
    assert_eq!(logs.prepare(UnitId(5), "web", &output).unwrap(), paths);
    let early = logs.reader(UnitId(5), &output, Stream::Stdout).unwrap();
    assert_eq!((early.end(), early.oldest()), (32, 16), "before it is adopted");
    let streams = logs.adopt(UnitId(5), "web", &output, None, kept).unwrap();
    logs.adopted();
    logs.drain(UnitId(5), RunId(1));
    assert_eq!(facts.blocking_recv(), Some(LogFact::Drained { unit: UnitId(5), run: RunId(1) }));
    let reader = streams.reader(Stream::Stdout).unwrap();
    assert_eq!(reader.end(), 32 + 23);
    assert_eq!(reader.read(32, 99).unwrap(), (32, b"while nobody was there\n".to_vec()));
    assert_eq!(bytes_of(reader.path()), paths[0]);
    assert_eq!(early.end(), 55, "a reader of before goes on");
    let autos =
        fs::read_dir(dir.path()).unwrap().filter(|e| e.as_ref().unwrap().path() != dir.path().join("run"));
    assert_eq!(autos.count(), 3, "two logs and a backup");
    logs.shutdown();
    logs.join();
}
