//! Log files by bytes, `AUTO` files and clearing.

use super::auto::cleanup_auto;
use super::tests::{Rig, bytes_of, say, text, to_file};
use super::*;
use std::io::Write;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use supers_core::inside::{Cut, LogFault, Piece};
use supers_core::spec::{Sink, Target};

/// Size of the file, offset, length; what Supervisor 4.3.0 answers to `readProcessStdoutLog` (`None` is
/// BAD_ARGUMENTS) and to `tailProcessStdoutLog`. The file begins `abcdefghij`.
type Row = (usize, i64, i64, Option<&'static str>, &'static str, bool);

const TABLE: &[Row] = &[
    (0, 0, 0, Some(""), "", false),
    (0, 0, 5, Some(""), "", false),
    (0, 3, 0, Some(""), "", false),
    (0, -1, 0, Some(""), "", true),
    (0, -5, 5, None, "", false),
    (0, 0, -1, None, "", true),
    (0, 5, -5, None, "", false),
    (0, -5, -5, None, "", true),
    (1, 0, 0, Some("a"), "", true),
    (1, 0, 5, Some("a"), "a", false),
    (1, 3, 0, Some(""), "", false),
    (1, -1, 0, Some("a"), "", true),
    (1, -5, 5, None, "a", true),
    (1, 0, -1, None, "", true),
    (1, 5, -5, None, "", true),
    (1, -5, -5, None, "", true),
    (10, 0, 0, Some("abcdefghij"), "", true),
    (10, 0, 1, Some("a"), "j", true),
    (10, 0, 5, Some("abcde"), "fghij", true),
    (10, 0, 10, Some("abcdefghij"), "abcdefghij", false),
    (10, 0, 25, Some("abcdefghij"), "abcdefghij", false),
    (10, 3, 0, Some("defghij"), "", true),
    (10, 3, 4, Some("defg"), "ghij", true),
    (10, 9, 0, Some("j"), "", true),
    (10, 9, 1, Some("j"), "j", false),
    (10, 10, 0, Some(""), "", false),
    (10, 10, 3, Some(""), "", false),
    (10, 11, 0, Some(""), "", false),
    (10, 19, 1, Some(""), "", false),
    (10, 19, 5, Some(""), "", false),
    (10, 20, 0, Some(""), "", false),
    (10, 21, 0, Some(""), "", false),
    (10, 25, 5, Some(""), "", false),
    (10, -1, 0, Some("j"), "", true),
    (10, -5, 0, Some("fghij"), "", true),
    (10, -10, 0, Some("abcdefghij"), "", true),
    (10, -11, 0, Some("abcdefghij"), "", true),
    (10, -30, 0, Some("abcdefghij"), "", true),
    (10, -1, 1, None, "j", true),
    (10, -5, 5, None, "fghij", true),
    (10, 0, -1, None, "", true),
    (10, 5, -5, None, "", true),
    (10, -5, -5, None, "", true),
    (10, 5, 5, Some("fghij"), "fghij", false),
    (10, 12, 10, Some(""), "", false),
    (20, 0, 0, Some("abcdefghijklmnopqrst"), "", true),
    (20, 0, 1, Some("a"), "t", true),
    (20, 0, 5, Some("abcde"), "pqrst", true),
    (20, 0, 10, Some("abcdefghij"), "klmnopqrst", true),
    (20, 0, 25, Some("abcdefghijklmnopqrst"), "abcdefghijklmnopqrst", false),
    (20, 3, 0, Some("defghijklmnopqrst"), "", true),
    (20, 3, 4, Some("defg"), "qrst", true),
    (20, 9, 0, Some("jklmnopqrst"), "", true),
    (20, 9, 1, Some("j"), "t", true),
    (20, 10, 0, Some("klmnopqrst"), "", true),
    (20, 10, 3, Some("klm"), "rst", true),
    (20, 11, 0, Some("lmnopqrst"), "", true),
    (20, 19, 1, Some("t"), "t", false),
    (20, 19, 5, Some("t"), "pqrst", false),
    (20, 20, 0, Some(""), "", false),
    (20, 21, 0, Some(""), "", false),
    (20, 25, 5, Some(""), "", false),
    (20, -1, 0, Some("t"), "", true),
    (20, -5, 0, Some("pqrst"), "", true),
    (20, -10, 0, Some("klmnopqrst"), "", true),
    (20, -11, 0, Some("jklmnopqrst"), "", true),
    (20, -30, 0, Some("abcdefghijklmnopqrst"), "", true),
    (20, -1, 1, None, "t", true),
    (20, -5, 5, None, "pqrst", true),
    (20, 0, -1, None, "", true),
    (20, 5, -5, None, "", true),
    (20, -5, -5, None, "", true),
    (20, 5, 5, Some("fghij"), "pqrst", true),
    (20, 12, 10, Some("mnopqrst"), "klmnopqrst", false),
];

#[test]
fn reads_and_tails_are_the_ancestors() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    for (size, offset, length, read, tail, overflow) in TABLE.iter().copied() {
        fs::write(&path, &b"abcdefghijklmnopqrst"[..size]).unwrap();
        let at = format!("size {size}, offset {offset}, length {length}");
        let piece = |text: &str, overflow| Piece { bytes: text.into(), size: size as u64, overflow };
        let expected = read.map(|text| piece(text, false)).ok_or(LogFault::BadArguments);
        assert_eq!(read_file(&path, Cut::Read { offset, length }), expected, "read, {at}");
        assert_eq!(read_file(&path, Cut::Tail { offset, length }), Ok(piece(tail, overflow)), "tail, {at}");
    }
}

#[test]
fn a_huge_log_is_read_in_part() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("a.log");
    let size = MAX_PIECE + 10;
    let mut file = File::create(&path).unwrap();
    file.write_all(b"first").unwrap();
    file.set_len(size - 4).unwrap();
    File::options().append(true).open(&path).unwrap().write_all(b"last").unwrap();
    let ends = |offset, length, tail| {
        let cut = if tail { Cut::Tail { offset, length } } else { Cut::Read { offset, length } };
        let Piece { bytes, size: said, overflow } = read_file(&path, cut).unwrap();
        assert_eq!((bytes.len() as u64, said), (MAX_PIECE, size));
        (bytes.starts_with(b"first"), bytes.ends_with(b"last"), overflow)
    };
    assert_eq!(ends(0, 0, false), (true, false, false), "it can be read on from there");
    assert_eq!(ends(-(size as i64), 0, false), (false, true, false));
    assert_eq!(ends(0, i64::MAX, true), (false, true, true));
}

#[test]
fn what_is_no_file_is_not_read() {
    let rig = Rig::new();
    let (read, tail) = (Cut::Read { offset: 0, length: 0 }, Cut::Tail { offset: 0, length: 9 });
    let fifo = rig.path("fifo");
    supers_os::pipe::mkfifo(&fifo, 0o600).unwrap();
    for output in [to_file(&rig.path("missing"), 0, 0), to_file(&fifo, 0, 0), Output::default()] {
        assert_eq!(rig.logs.read(UnitId(1), &output, Stream::Stdout, read), Err(LogFault::NoFile));
        assert_eq!(rig.logs.read(UnitId(1), &output, Stream::Stdout, tail), Ok(Piece::default()));
        let wrong = Cut::Read { offset: -1, length: 1 };
        assert_eq!(rig.logs.read(UnitId(1), &output, Stream::Stdout, wrong), Err(LogFault::BadArguments));
    }
    assert!(matches!(read_file(Path::new("/proc/self/mem/x"), read), Err(LogFault::Failed(_))));
}

/// Standard output is named by the daemon; standard error goes to the same place, or nowhere.
fn auto(dir: &Path, merged: bool) -> Output {
    let target = Target::Auto { dir: bytes_of(dir), identifier: "sv".into() };
    let stderr = (!merged).then(Sink::default);
    Output { stdout: Sink { target, ..Sink::default() }, stderr }
}

#[test]
fn auto_files_are_there_before_the_first_start() {
    let mut rig = Rig::new();
    let dir = rig.path("logs");
    let output = auto(&dir, true);
    assert!(rig.logs.prepare(UnitId(1), "g:web", &output).is_err(), "there is no such folder");
    fs::create_dir(&dir).unwrap();
    let [stdout, stderr] = rig.logs.prepare(UnitId(1), "g:web", &output).unwrap();
    assert_eq!(stderr, "");
    let path = rig.logs.file_of(UnitId(1), &output, Stream::Stderr).unwrap();
    assert_eq!(bytes_of(&path), stdout);
    assert!(path.file_name().unwrap().to_str().unwrap().starts_with("web-stdout---sv-"));
    assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    // The same for asking again, for the start, and for other limits.
    assert_eq!(rig.logs.prepare(UnitId(1), "g:web", &output).unwrap()[0], stdout);
    let reader = rig.logs.reader(UnitId(1), &output, Stream::Stdout).unwrap();
    let mut output = output;
    for _ in 0..2 {
        let streams = rig.logs.attach(UnitId(1), "g:web", &output, None, false).unwrap();
        assert_eq!(streams.path(Stream::Stdout).as_deref(), Some(&*path));
        say(&streams, "x");
        rig.settle(1);
        output.stdout.max_bytes = 1000;
    }
    assert_eq!(
        rig.logs.read(UnitId(1), &output, Stream::Stdout, Cut::Read { offset: 0, length: 0 }).unwrap().bytes,
        b"xx"
    );
    assert_eq!(reader.read(0, 9).unwrap().1, b"xx");
    // The files outlive the unit, and another unit of this name gets others.
    rig.logs.detach(UnitId(1));
    let again = rig.logs.prepare(UnitId(1), "g:web", &output).unwrap();
    assert_ne!(again[0], stdout);
    assert!(path.exists());
    assert_eq!(cleanup_auto(&dir, "sv"), 2);
}

#[test]
fn paths_are_told_as_they_are_written() {
    let rig = Rig::new();
    let mut output = to_file(&rig.path("a.log"), 0, 0);
    let [stdout, stderr] = rig.logs.prepare(UnitId(1), "web", &output).unwrap();
    assert_eq!((stdout, stderr.as_slice()), (bytes_of(&rig.path("a.log")), &b""[..]));
    assert!(!rig.path("a.log").exists(), "only AUTO files are made");
    output.stdout.target = Target::File("/dev/stdout".into());
    assert_eq!(rig.logs.prepare(UnitId(1), "web", &output).unwrap()[0], "/dev/stdout");
}

#[test]
fn clearing_leaves_the_backups_and_those_who_never_ran() {
    let mut rig = Rig::new();
    let (log, backup) = (rig.path("a.log"), rig.path("a.log.1"));
    fs::write(&log, "old\n").unwrap();
    fs::write(&backup, "older and longer than the log itself\n").unwrap();
    rig.logs.clear(UnitId(1), Stream::Stdout).blocking_recv().unwrap().unwrap();
    assert_eq!(text(&log), "old\n");
    let streams = rig.attach(1, &to_file(&log, 0, 2));
    let reader = streams.reader(Stream::Stdout).unwrap();
    let keep = File::open(&log).unwrap();
    rig.logs.clear(UnitId(1), Stream::Stdout).blocking_recv().unwrap().unwrap();
    assert_ne!(fs::metadata(&log).unwrap().ino(), keep.metadata().unwrap().ino());
    assert_eq!((text(&log), text(&backup).len()), (String::new(), 37));
    say(&streams, "new\n");
    rig.settle(1);
    // Who had not read what was cleared goes on behind it, and sees no backup in its place.
    assert_eq!(reader.read(38, 100).unwrap(), (41, b"new\n".to_vec()));
    assert_eq!(reader.read(0, 100).unwrap().1, text(&backup).as_bytes());
    let nowhere = rig.logs.clear(UnitId(1), Stream::Stderr).blocking_recv().unwrap();
    assert_eq!(nowhere.unwrap_err().kind(), io::ErrorKind::NotFound);
}
