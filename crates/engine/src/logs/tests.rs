//! The pump with real FIFOs and files.
//!
//! Long because: one rig serves all tests of the pump.

use super::*;
use bstr::BString;
use std::io::{Read, Write};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::Path;
use std::time::Duration;
use supers_core::exit::Stage;
use supers_core::spec::{Output, Sink, Target};
use tempfile::TempDir;

/// A logs thread with folders of its own.
pub(super) struct Rig {
    pub(super) dir: TempDir,
    pub(super) logs: Logs,
    pub(super) facts: mpsc::Receiver<LogFact>,
    runs: u64,
}

pub(super) fn bytes_of(path: &Path) -> BString {
    path.as_os_str().as_bytes().into()
}

/// One file for standard output; standard error is dropped.
pub(super) fn to_file(path: &Path, max_bytes: u64, backups: u32) -> Output {
    let target = Target::File(bytes_of(path));
    Output { stdout: Sink { target, max_bytes, backups, ..Sink::default() }, stderr: Some(Sink::default()) }
}

/// Both streams in one file.
fn merged(path: &Path) -> Output {
    Output { stderr: None, ..to_file(path, 0, 0) }
}

impl Rig {
    pub(super) fn new() -> Rig {
        let dir = tempfile::tempdir().unwrap();
        let null = || File::options().read(true).write(true).open("/dev/null").unwrap().into();
        let config = LogsConfig::new(dir.path().join("run"), null(), null());
        let (logs, facts) = start(config).unwrap();
        Rig { dir, logs, facts, runs: 0 }
    }

    pub(super) fn path(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    fn fifo(&self, name: &str) -> PathBuf {
        self.dir.path().join("run/fifo").join(name)
    }

    pub(super) fn attach(&self, unit: u32, output: &Output) -> Arc<Streams> {
        self.logs.attach(UnitId(unit), &format!("u{unit}"), output, None, false).unwrap()
    }

    /// The next fact, which must come soon.
    pub(super) fn fact(&mut self) -> LogFact {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime
            .block_on(async { tokio::time::timeout(Duration::from_secs(20), self.facts.recv()).await })
            .expect("a fact is overdue")
            .unwrap()
    }

    /// Waits until what a unit wrote is stored.
    pub(super) fn settle(&mut self, unit: u32) {
        self.runs += 1;
        let (unit, run) = (UnitId(unit), RunId(self.runs));
        self.logs.drain(unit, run);
        assert_eq!(self.fact(), LogFact::Drained { unit, run });
    }
}

impl Drop for Rig {
    fn drop(&mut self) {
        self.logs.shutdown();
        self.logs.join();
    }
}

/// Writes one chunk as a program would.
pub(super) fn say(streams: &Streams, text: &str) {
    File::from(streams.stdout_writer().unwrap()).write_all(text.as_bytes()).unwrap();
}

pub(super) fn text(path: &Path) -> String {
    fs::read_to_string(path).unwrap()
}

#[test]
fn output_reaches_the_end_of_the_file() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    fs::write(&log, "before\n").unwrap();
    let streams = rig.attach(1, &to_file(&log, 0, 0));
    say(&streams, "one\ntw");
    say(&streams, "o\nunfinished");
    rig.settle(1);
    assert_eq!(text(&log), "before\none\ntwo\nunfinished");
    assert!(!streams.pending());
    assert_eq!(streams.path(Stream::Stdout), Some(log));
    assert_eq!(streams.path(Stream::Stderr), None);
}

#[test]
fn both_streams_keep_their_order_when_merged() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let streams = rig.attach(1, &merged(&log));
    let out = streams.stdout_writer().unwrap();
    let mut err = File::from(streams.stderr_writer(&out).unwrap());
    let mut out = File::from(out);
    for i in 0..200 {
        writeln!(out, "out {i}").unwrap();
        writeln!(err, "err {i}").unwrap();
    }
    rig.settle(1);
    let expected: String = (0..200).map(|i| format!("out {i}\nerr {i}\n")).collect();
    assert_eq!(text(&log), expected);
    assert_eq!(streams.path(Stream::Stderr), Some(log));
}

#[test]
fn a_null_target_needs_no_fifo() {
    let mut rig = Rig::new();
    let streams = rig.attach(1, &Output::default());
    let out = streams.stdout_writer().unwrap();
    let err = streams.stderr_writer(&out).unwrap();
    assert_eq!(File::from(out).metadata().unwrap().rdev(), File::from(err).metadata().unwrap().rdev());
    assert_eq!(fs::read_dir(rig.path("run/fifo")).unwrap().count(), 0);
    assert!(streams.reader(Stream::Stdout).is_none());
    rig.settle(1);
    let dev_null = to_file(Path::new("/dev/null"), 0, 0);
    assert_eq!(rig.attach(2, &dev_null).path(Stream::Stdout), None);
}

#[test]
fn a_program_may_open_its_stdout_again() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let streams = rig.attach(1, &to_file(&log, 0, 0));
    assert_eq!(fs::metadata(rig.fifo("u1.out")).unwrap().permissions().mode() & 0o7777, 0o600);
    let status = std::process::Command::new("/bin/sh")
        .args(["-c", "echo by descriptor; echo by name > /dev/stdout"])
        .stdout(streams.stdout_writer().unwrap())
        .status()
        .unwrap();
    assert!(status.success());
    rig.settle(1);
    assert_eq!(text(&log), "by descriptor\nby name\n");
}

#[test]
fn a_deleted_file_is_made_again_with_its_folder() {
    let mut rig = Rig::new();
    let log = rig.path("logs/a.log");
    let output = to_file(&log, 0, 0);
    let error = rig.logs.attach(UnitId(1), "u1", &output, None, false).err().unwrap();
    assert_eq!(error.stage, Stage::Output);
    assert_eq!(error.text, format!("open log file {log:?}: No such file or directory"));
    assert_eq!(error.errno, 2);
    let streams = rig.logs.attach(UnitId(1), "u1", &output, None, true).unwrap();
    say(&streams, "one\n");
    rig.settle(1);
    fs::remove_file(&log).unwrap();
    say(&streams, "two\n");
    rig.settle(1);
    assert_eq!(text(&log), "two\n");
    fs::remove_dir_all(log.parent().unwrap()).unwrap();
    say(&streams, "three\n");
    rig.settle(1);
    assert_eq!(text(&log), "three\n");
    let reader = streams.reader(Stream::Stdout).unwrap();
    assert_eq!(reader.end(), 14, "offsets go on");
    assert_eq!(reader.read(0, 100).unwrap(), (8, b"three\n".to_vec()));
}

#[test]
fn what_others_do_to_the_size_is_noticed() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let streams = rig.attach(1, &to_file(&log, 0, 0));
    say(&streams, "gone\n");
    rig.settle(1);
    File::options().write(true).open(&log).unwrap().set_len(0).unwrap();
    say(&streams, "kept\n");
    rig.settle(1);
    File::options().append(true).open(&log).unwrap().write_all(b"foreign\n").unwrap();
    say(&streams, "last\n");
    rig.settle(1);
    assert_eq!(text(&log), "kept\nforeign\nlast\n");
    let reader = streams.reader(Stream::Stdout).unwrap();
    assert_eq!(reader.read(5, 100).unwrap(), (5, b"kept\nforeign\nlast\n".to_vec()));
}

#[test]
fn streams_that_name_one_file_share_it() {
    let mut rig = Rig::new();
    let (log, link) = (rig.path("a.log"), rig.path("b.log"));
    let one = rig.attach(1, &to_file(&log, 0, 0));
    fs::hard_link(&log, &link).unwrap();
    let two = rig.attach(2, &to_file(&link, 0, 0));
    for i in 0..50 {
        say(&one, &format!("one {i}\n"));
        say(&two, &format!("two {i}\n"));
    }
    rig.settle(1);
    rig.settle(2);
    let all = text(&log);
    for who in ["one", "two"] {
        let lines: Vec<&str> = all.lines().filter(|l| l.starts_with(who)).collect();
        assert_eq!(lines, (0..50).map(|i| format!("{who} {i}")).collect::<Vec<_>>());
    }
    // The first one leaves: the other goes on with the same file.
    rig.logs.detach(UnitId(1));
    say(&two, "still\n");
    rig.settle(2);
    assert!(text(&log).ends_with("still\n"));
}

#[test]
fn the_streams_are_made_once() {
    let mut rig = Rig::new();
    let (log, other) = (rig.path("a.log"), rig.path("b.log"));
    let first = rig.attach(1, &to_file(&log, 0, 0));
    assert!(Arc::ptr_eq(&first, &rig.attach(1, &to_file(&log, 0, 0))));
    say(&first, "old\n");
    let second = rig.attach(1, &to_file(&other, 0, 0));
    assert!(!Arc::ptr_eq(&first, &second));
    rig.settle(1);
    say(&second, "new\n");
    // A grandchild of the earlier run still writes into the same FIFO.
    say(&first, "late\n");
    rig.settle(1);
    assert_eq!(text(&log), "old\n");
    assert_eq!(text(&other), "new\nlate\n");
}

#[test]
fn the_first_words_of_a_run_go_to_its_own_target() {
    let mut rig = Rig::new();
    let files = [rig.path("even"), rig.path("odd")];
    let mut expected = [String::new(), String::new()];
    for n in 0..200 {
        let streams = rig.attach(1, &to_file(&files[n % 2], 0, 0));
        let line = format!("{n}\n");
        say(&streams, &line);
        expected[n % 2].push_str(&line);
    }
    rig.settle(1);
    assert_eq!(files.map(|file| text(&file)), expected);
}

#[test]
fn detach_stores_everything_and_removes_the_fifos() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let streams = rig.attach(1, &to_file(&log, 0, 0));
    say(&streams, "last words\n");
    rig.logs.detach(UnitId(1));
    assert!(!rig.fifo("u1.out").exists());
    // Commands are obeyed in order: this comes after.
    rig.settle(1);
    assert_eq!(text(&log), "last words\n");
    assert!(rig.logs.streams(UnitId(1)).is_none());
    assert!(lock(&rig.logs.shared.registry).sinks.is_empty());
}

#[test]
fn the_runtime_folder_may_vanish() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let output = to_file(&log, 0, 0);
    let streams = rig.attach(1, &output);
    fs::remove_dir_all(rig.path("run")).unwrap();
    say(&streams, "one\n");
    let again = rig.attach(1, &output);
    say(&again, "two\n");
    rig.settle(1);
    assert_eq!(text(&log), "one\ntwo\n");
    rig.attach(2, &output);
    assert!(rig.fifo("u2.out").exists());
}

#[test]
fn what_is_no_fifo_makes_room_for_one() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    fs::write(rig.fifo("u1.out"), "a plain file").unwrap();
    std::os::unix::fs::symlink("/dev/null", rig.fifo("u2.out")).unwrap();
    for unit in [1, 2] {
        let streams = rig.attach(unit, &to_file(&log, 0, 0));
        say(&streams, "line\n");
        rig.settle(unit);
    }
    assert_eq!(text(&log), "line\nline\n");
}

#[test]
fn a_full_device_makes_nobody_else_wait() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let full = rig.attach(1, &to_file(Path::new("/dev/full"), 0, 0));
    let good = rig.attach(2, &to_file(&log, 0, 0));
    say(&full, "nowhere to go\n");
    let expected = "No space left on device".to_owned();
    assert_eq!(rig.fact(), LogFact::Trouble { unit: UnitId(1), path: "/dev/full".into(), error: expected });
    assert!(full.pending());
    say(&good, "fine\n");
    rig.settle(2);
    assert_eq!(text(&log), "fine\n");
    // The bytes are kept, but nobody waits for a full disk.
    rig.settle(1);
    assert!(full.pending());
}

/// A file system of few bytes.
pub(super) struct SmallDisk(pub(super) PathBuf);

impl SmallDisk {
    pub(super) fn mount(at: PathBuf, size: &str) -> SmallDisk {
        fs::create_dir(&at).unwrap();
        let done = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size}"), "supers-test"])
            .arg(&at)
            .status();
        assert!(done.is_ok_and(|s| s.success()), "this test mounts a small tmpfs: run it as root");
        SmallDisk(at)
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

#[test]
fn a_full_disk_loses_nothing() {
    let mut rig = Rig::new();
    let disk = SmallDisk::mount(rig.path("disk"), "1m");
    let (log, ballast) = (disk.0.join("a.log"), disk.0.join("ballast"));
    fs::write(&ballast, vec![b'x'; 700 << 10]).unwrap();
    let streams = rig.attach(1, &to_file(&log, 0, 0));
    let mut out = File::from(streams.stdout_writer().unwrap());
    let writer = std::thread::spawn(move || {
        for i in 0..80_000 {
            writeln!(out, "line {i:06}").unwrap();
        }
    });
    let LogFact::Trouble { unit, path, error } = rig.fact() else { panic!("trouble expected") };
    assert_eq!((unit, path, error.as_str()), (UnitId(1), log.clone(), "No space left on device"));
    fs::remove_file(&ballast).unwrap();
    assert_eq!(rig.fact(), LogFact::Recovered { unit: UnitId(1), path: log.clone() });
    writer.join().unwrap();
    rig.settle(1);
    let expected: String = (0..80_000).map(|i| format!("line {i:06}\n")).collect();
    assert!(text(&log) == expected);
    drop(rig);
}

#[test]
fn a_slow_reader_of_a_pipe_target_holds_up_nobody_and_loses_nothing() {
    let mut rig = Rig::new();
    let target = rig.path("target");
    supers_os::pipe::mkfifo(&target, 0o600).unwrap();
    let slow = rig.attach(1, &to_file(&target, 0, 0));
    let log = rig.path("a.log");
    let good = rig.attach(2, &to_file(&log, 0, 0));
    let mut out = File::from(slow.stdout_writer().unwrap());
    let writer = std::thread::spawn(move || {
        for i in 0..60_000 {
            writeln!(out, "line {i:06}").unwrap();
        }
    });
    // 720 KB do not fit: the writer is held up while the other unit's output flows.
    for i in 0..20 {
        say(&good, &format!("{i}\n"));
        rig.settle(2);
    }
    assert_eq!(text(&log).lines().count(), 20);
    assert!(!writer.is_finished());
    let mut reader = File::options().read(true).write(true).open(&target).unwrap();
    let expected: String = (0..60_000).map(|i| format!("line {i:06}\n")).collect();
    let mut got = vec![0; expected.len()];
    reader.read_exact(&mut got).unwrap();
    assert!(got == expected.as_bytes());
    writer.join().unwrap();
    rig.settle(1);
    assert!(!slow.pending());
}

#[test]
fn escape_sequences_are_removed_on_request() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let mut output = to_file(&log, 0, 0);
    output.stdout.strip_ansi = true;
    let streams = rig.attach(1, &output);
    say(&streams, "\x1b[31mred\x1b[0m\n");
    rig.settle(1);
    assert_eq!(text(&log), "red\n");
    assert_eq!(streams.reader(Stream::Stdout).unwrap().end(), 4);
}

#[test]
fn a_renamed_file_is_left_on_request() {
    let mut rig = Rig::new();
    let (log, moved) = (rig.path("a.log"), rig.path("a.old"));
    let streams = rig.attach(1, &to_file(&log, 0, 0));
    say(&streams, "one\n");
    rig.settle(1);
    fs::rename(&log, &moved).unwrap();
    say(&streams, "two\n");
    rig.settle(1);
    rig.logs.reopen_all();
    // Orders are done in order: what is written after this one finds the new file.
    rig.settle(1);
    say(&streams, "three\n");
    rig.settle(1);
    assert_eq!(text(&moved), "one\ntwo\n");
    assert_eq!(text(&log), "three\n");
}

#[test]
fn clearing_makes_a_new_file_and_readers_go_on() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let streams = rig.attach(1, &to_file(&log, 0, 0));
    say(&streams, "one\n");
    rig.settle(1);
    let before = fs::metadata(&log).unwrap().ino();
    let pinned = File::open(&log).unwrap();
    rig.logs.clear(UnitId(1), Stream::Stdout).blocking_recv().unwrap().unwrap();
    assert_ne!(fs::metadata(&log).unwrap().ino(), before);
    drop(pinned);
    say(&streams, "two\n");
    rig.settle(1);
    let reader = streams.reader(Stream::Stdout).unwrap();
    assert_eq!(reader.read(0, 100).unwrap(), (4, b"two\n".to_vec()));
    let refused = rig.logs.clear(UnitId(1), Stream::Stderr).blocking_recv().unwrap();
    assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_follower_is_woken_by_the_pump() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let streams = rig.attach(1, &to_file(&log, 0, 0));
    let reader = streams.reader(Stream::Stdout).unwrap();
    let writer = {
        let streams = Arc::clone(&streams);
        std::thread::spawn(move || (0..100).for_each(|i| say(&streams, &format!("line {i}\n"))))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let got = runtime.block_on(async {
        let mut got = Vec::new();
        while !got.ends_with(b"line 99\n") {
            let wait = reader.changed(got.len() as u64);
            tokio::time::timeout(Duration::from_secs(20), wait).await.expect("nobody rang");
            got.extend(reader.read(got.len() as u64, 1 << 16).unwrap().1);
        }
        got
    });
    writer.join().unwrap();
    assert_eq!(got, (0..100).map(|i| format!("line {i}\n")).collect::<String>().into_bytes());
    rig.settle(1);
}

#[test]
fn the_last_lines() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let streams = rig.attach(1, &to_file(&log, 0, 0));
    let reader = streams.reader(Stream::Stdout).unwrap();
    assert_eq!(reader.start_of_last_lines(5).unwrap(), 0);
    say(&streams, "one\ntwo\nthree\n");
    rig.settle(1);
    assert_eq!(reader.start_of_last_lines(0).unwrap(), 14);
    assert_eq!(reader.start_of_last_lines(1).unwrap(), 8);
    assert_eq!(reader.start_of_last_lines(2).unwrap(), 4);
    assert_eq!(reader.start_of_last_lines(9).unwrap(), 0);
    say(&streams, "four");
    rig.settle(1);
    assert_eq!(reader.start_of_last_lines(1).unwrap(), 14);
    assert_eq!(reader.start_of_last_lines(2).unwrap(), 8);
    assert_eq!(reader.last_lines(2, 0).unwrap(), ["three", "four"]);
    assert_eq!(reader.last_lines(9, 8).unwrap(), ["three", "four"]);
    assert_eq!(tail_of(&log, 3).unwrap(), ["two", "three", "four"]);
}

#[test]
fn an_auto_file_stays_the_same_over_runs() {
    let mut rig = Rig::new();
    let dir = bytes_of(rig.dir.path());
    let auto =
        || Sink { target: Target::Auto { dir: dir.clone(), identifier: "sv".into() }, ..Sink::default() };
    let output = Output { stdout: auto(), stderr: Some(auto()) };
    let streams = rig.logs.attach(UnitId(1), "group:web", &output, None, false).unwrap();
    let path = streams.path(Stream::Stdout).unwrap();
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    assert!(name.starts_with("web-stdout---sv-") && name.ends_with(".log"), "{name}");
    assert_eq!(fs::metadata(&path).unwrap().mode() & 0o777, 0o600);
    // Another setting changes for the other stream only.
    let changed = Output { stdout: auto(), stderr: None };
    let again = rig.logs.attach(UnitId(1), "group:web", &changed, None, false).unwrap();
    assert_eq!(again.path(Stream::Stdout), Some(path));
    say(&again, "x\n");
    rig.settle(1);
}

#[test]
fn the_daemons_own_output_is_a_target() {
    let dir = tempfile::tempdir().unwrap();
    let (mut read, write) = sys::pipe().unwrap();
    let null = File::options().write(true).open("/dev/null").unwrap();
    let config = LogsConfig::new(dir.path().into(), write.into(), null.into());
    let (logs, facts) = start(config).unwrap();
    let mut rig = Rig { dir, logs, facts, runs: 0 };
    let streams = rig.attach(1, &to_file(Path::new("/dev/stdout"), 0, 0));
    let long = "x".repeat(20_000);
    say(&streams, &format!("{long}\n"));
    rig.settle(1);
    let mut got = vec![0; 20_001];
    read.read_exact(&mut got).unwrap();
    assert_eq!(got, format!("{long}\n").into_bytes());
    // Nobody reads any more: the program must not wait for ever.
    drop(read);
    say(&streams, "lost\n");
    let LogFact::Trouble { error, .. } = rig.fact() else { panic!("trouble expected") };
    assert_eq!(error, "Broken pipe");
    rig.settle(1);
    assert_eq!(rig.logs.dropped(), 5);
}

#[test]
fn a_directory_is_no_log_file() {
    let rig = Rig::new();
    let error = rig.logs.attach(UnitId(1), "u", &to_file(rig.dir.path(), 0, 0), None, false).err().unwrap();
    assert!(error.text.ends_with(": is a directory"), "{}", error.text);
    assert!(lock(&rig.logs.shared.registry).sinks.is_empty());
}

#[test]
fn facts_that_do_not_fit_come_later_and_in_order() {
    let mut rig = Rig::new();
    rig.attach(1, &Output::default());
    let count = FACTS as u64 + 50;
    for run in 1..=count {
        rig.logs.drain(UnitId(1), RunId(run));
    }
    for run in 1..=count {
        assert_eq!(rig.fact(), LogFact::Drained { unit: UnitId(1), run: RunId(run) });
    }
}

#[test]
fn a_stopped_units_old_output_can_be_read_and_followed() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let output = to_file(&log, 0, 0);
    let reader = rig.logs.reader(UnitId(1), &output, Stream::Stdout).unwrap();
    assert_eq!(reader.end(), 0, "no file yet");
    fs::write(&log, "by an earlier daemon\n").unwrap();
    let streams = rig.attach(1, &output);
    say(&streams, "new\n");
    rig.settle(1);
    assert_eq!(reader.read(0, 100).unwrap().1, b"by an earlier daemon\nnew\n");
    let same = rig.logs.reader(UnitId(1), &output, Stream::Stdout).unwrap();
    assert!(Arc::ptr_eq(&same.0, &reader.0));
    // Another unit that names the same file and never ran.
    let other = rig.logs.reader(UnitId(2), &output, Stream::Stdout).unwrap();
    assert!(Arc::ptr_eq(&other.0, &reader.0));
    assert!(rig.logs.reader(UnitId(3), &Output::default(), Stream::Stdout).is_none());
}

#[test]
fn a_unit_costs_little_memory() {
    // Per unit with merged streams, without the path: the tables below, two thirds full, and the blocks.
    let tables = size_of::<(UnitId, Arc<Streams>)>()
        + size_of::<(UnitId, [u32; 2])>()
        + size_of::<(Inode, Entry)>()
        + size_of::<Option<pump::LaneState>>()
        + size_of::<Option<sink::Sink>>();
    let blocks = size_of::<Streams>() + size_of::<fifo::Fifo>() + size_of::<Ledger>() + 3 * 16;
    assert!(tables * 3 / 2 + blocks < 640, "{tables} {blocks}");
}

#[test]
fn half_a_line_waits_for_its_rest_where_others_write_too() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let output = to_file(&log, 0, 0);
    let (one, two) = (rig.attach(1, &output), rig.attach(2, &output));
    // The reader is woken once for whole lines; an unfinished one comes by itself, only later.
    let reader = one.reader(Stream::Stdout).unwrap();
    say(&one, "whole\nhalf");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    let soon = Duration::from_secs(20);
    runtime.block_on(async { tokio::time::timeout(soon, reader.changed(9)).await }).unwrap();
    say(&two, "\nother\n");
    rig.settle(2);
    assert_eq!(text(&log), "whole\nhalf\nother\n");
}
