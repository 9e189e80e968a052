//! Nothing is lost, torn or reordered over rotations.

use super::rotate::{next_file, numbered, repair};
use super::tests::{Rig, SmallDisk, to_file};
use super::*;
use bstr::ByteSlice;
use proptest::prelude::*;
use std::io::Write;
use std::path::Path;

/// The log and its backups, oldest first.
fn files(path: &Path) -> Vec<Vec<u8>> {
    let mut all: Vec<Vec<u8>> = (1..).map_while(|n| fs::read(numbered(path, n)).ok()).collect();
    all.reverse();
    all.push(fs::read(path).unwrap());
    all
}

/// Every file but the last ends with a line end and is no longer than `max`, unless it is one line.
fn check_shape(files: &[Vec<u8>], max: u64) {
    let (_, backups) = files.split_last().unwrap();
    for file in backups {
        assert_eq!(file.last(), Some(&b'\n'), "a backup ends within a line");
        let lines = file.find_iter(b"\n").count();
        assert!(file.len() as u64 <= max || lines == 1, "{} bytes in {lines} lines", file.len());
    }
}

#[test]
fn several_fast_writers_over_many_rotations() {
    const LINES: usize = 60_000;
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let max = 100_000;
    let writers: Vec<_> = (0..3)
        .map(|unit| {
            let streams = rig.attach(unit, &to_file(&log, max, 10_000));
            let mut out = File::from(streams.stdout_writer().unwrap());
            std::thread::spawn(move || {
                let mut lines = String::new();
                for i in 0..LINES {
                    lines += &format!("unit {unit} line {i:06} {}\n", "x".repeat(i % 50));
                    // Chunks of up to 4 KiB, as a program's own buffer makes them; never torn by the pipe.
                    if lines.len() > 3900 - 80 || i + 1 == LINES {
                        out.write_all(lines.as_bytes()).unwrap();
                        lines.clear();
                    }
                }
            })
        })
        .collect();
    writers.into_iter().for_each(|w| w.join().unwrap());
    (0..3).for_each(|unit| rig.settle(unit));
    let files = files(&log);
    assert!(files.len() > 80, "{} files", files.len());
    check_shape(&files, max);
    let all = files.concat();
    let mut next = [0; 3];
    for line in all.lines() {
        let words: Vec<&str> = std::str::from_utf8(line).unwrap().split(' ').collect();
        let (unit, i): (usize, usize) = (words[1].parse().unwrap(), words[3].parse().unwrap());
        assert_eq!(i, next[unit], "unit {unit}");
        assert_eq!(words[4].len(), i % 50);
        next[unit] += 1;
    }
    assert_eq!(next, [LINES; 3]);
}

#[test]
fn a_reader_sees_one_endless_stream() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let streams = rig.attach(1, &to_file(&log, 2_000, 10_000));
    let reader = streams.reader(Stream::Stdout).unwrap();
    let expected: Vec<u8> = (0..20_000).flat_map(|i| format!("line {i}\n").into_bytes()).collect();
    let writer = {
        let (text, mut out) = (expected.clone(), File::from(streams.stdout_writer().unwrap()));
        std::thread::spawn(move || text.chunks(777).for_each(|c| out.write_all(c).unwrap()))
    };
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let mut got = Vec::new();
    while got.len() < expected.len() {
        runtime.block_on(reader.changed(got.len() as u64));
        let (at, bytes) = reader.read(got.len() as u64, 1000).unwrap();
        assert_eq!(at, got.len() as u64);
        got.extend(bytes);
    }
    assert!(got == expected);
    writer.join().unwrap();
    rig.settle(1);
    let start = reader.start_of_last_lines(5_000).unwrap();
    let line = format!("line {}\n", 15_000);
    assert_eq!(reader.read(start, line.len()).unwrap().1, line.as_bytes());
    assert_eq!(reader.oldest(), 0);
    // A daemon that starts anew counts from the oldest byte kept.
    let again = ledger::Ledger::new(log.clone(), fs::metadata(&log).unwrap().len());
    assert_eq!(again.end(), expected.len() as u64);
    assert_eq!(LogReader(Arc::new(again)).read(start, line.len()).unwrap().1, line.as_bytes());
}

#[test]
fn only_the_newest_backups_are_kept() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let streams = rig.attach(1, &to_file(&log, 100, 3));
    let mut out = File::from(streams.stdout_writer().unwrap());
    for i in 0..1000 {
        writeln!(out, "{i:09}").unwrap();
    }
    rig.settle(1);
    let files = files(&log);
    assert_eq!(files.len(), 4);
    assert!(!numbered(&log, 4).exists());
    // The limit is reached exactly after each tenth line: then the new file is there and empty.
    let expected: String = (970..1000).map(|i| format!("{i:09}\n")).collect();
    assert_eq!(files.concat(), expected.as_bytes());
    assert_eq!(files[3], b"");
    let reader = streams.reader(Stream::Stdout).unwrap();
    assert_eq!((reader.oldest(), reader.end()), (9_700, 10_000));
    assert_eq!(reader.read(0, 10).unwrap(), (9_700, b"000000970\n".to_vec()));
    assert_eq!(reader.start_of_last_lines(99).unwrap(), 9_700);
}

#[test]
fn a_gap_in_the_numbers_is_filled_and_no_more_moved() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let streams = rig.attach(1, &to_file(&log, 4, 5));
    let mut out = File::from(streams.stdout_writer().unwrap());
    for text in ["aaa\n", "bbb\n", "ccc\n"] {
        out.write_all(text.as_bytes()).unwrap();
        rig.settle(1);
    }
    fs::remove_file(numbered(&log, 2)).unwrap();
    out.write_all(b"ddd\n").unwrap();
    rig.settle(1);
    assert_eq!(fs::read(numbered(&log, 1)).unwrap(), b"ddd\n");
    assert_eq!(fs::read(numbered(&log, 2)).unwrap(), b"ccc\n");
    assert_eq!(fs::read(numbered(&log, 3)).unwrap(), b"aaa\n");
    let reader = streams.reader(Stream::Stdout).unwrap();
    assert_eq!(reader.read(0, 9).unwrap(), (0, b"aaa\n".to_vec()));
    assert_eq!(reader.read(4, 9).unwrap(), (8, b"ccc\n".to_vec()), "bbb is gone");
    assert_eq!(reader.read(12, 9).unwrap(), (12, b"ddd\n".to_vec()));
}

#[test]
fn without_backups_the_file_starts_again() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let streams = rig.attach(1, &to_file(&log, 10, 0));
    let mut out = File::from(streams.stdout_writer().unwrap());
    out.write_all(b"12345\n12345\n").unwrap();
    rig.settle(1);
    assert_eq!(fs::read(&log).unwrap(), b"12345\n", "the limit fell into the second line");
    out.write_all(b"123\n").unwrap();
    rig.settle(1);
    assert_eq!(fs::read(&log).unwrap(), b"", "the limit was met exactly");
    assert_eq!(fs::read_dir(rig.dir.path()).unwrap().count(), 2, "the log and the runtime folder");
}

#[test]
fn a_line_longer_than_a_megabyte_is_cut() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let streams = rig.attach(1, &to_file(&log, 1000, 10));
    let mut out = File::from(streams.stdout_writer().unwrap());
    let line = vec![b'x'; (1 << 20) + 5000];
    let writer = {
        let text = line.clone();
        std::thread::spawn(move || {
            out.write_all(&text).unwrap();
            out.write_all(b"\nnext\n").unwrap();
        })
    };
    writer.join().unwrap();
    rig.settle(1);
    let files = files(&log);
    assert_eq!(files.iter().map(Vec::len).collect::<Vec<_>>(), [1 << 20, 5001, 5]);
    assert_eq!(files.concat(), [&line[..], b"\nnext\n"].concat());
}

#[test]
fn the_mode_is_kept() {
    use std::os::unix::fs::PermissionsExt;
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    fs::write(&log, "").unwrap();
    fs::set_permissions(&log, fs::Permissions::from_mode(0o640)).unwrap();
    let streams = rig.attach(1, &to_file(&log, 4, 2));
    File::from(streams.stdout_writer().unwrap()).write_all(b"abc\nd").unwrap();
    rig.settle(1);
    assert!(numbered(&log, 1).exists());
    assert_eq!(fs::metadata(&log).unwrap().permissions().mode() & 0o7777, 0o640);
}

#[test]
fn a_rotation_that_fails_stores_all_the_same() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let streams = rig.attach(1, &to_file(&log, 100, 2));
    // A folder is in the way: nothing can be renamed to this name.
    fs::create_dir_all(numbered(&log, 1).join("x")).unwrap();
    fs::create_dir_all(numbered(&log, 2).join("x")).unwrap();
    let mut out = File::from(streams.stdout_writer().unwrap());
    let text: String = (0..100).map(|i| format!("line {i:03}\n")).collect();
    out.write_all(text.as_bytes()).unwrap();
    let LogFact::Trouble { error, .. } = rig.fact() else { panic!("trouble expected") };
    assert_eq!(error, "cannot rotate: Directory not empty");
    rig.settle(1);
    assert_eq!(fs::read(&log).unwrap(), text.as_bytes());
    assert!(!next_file(&log).exists());
    // Tried again after 64 KiB, now with success.
    fs::remove_dir_all(numbered(&log, 1)).unwrap();
    fs::remove_dir_all(numbered(&log, 2)).unwrap();
    let more = "more\n".repeat(20_000);
    out.write_all(more.as_bytes()).unwrap();
    assert!(matches!(rig.fact(), LogFact::Recovered { .. }));
    rig.settle(1);
    assert!(fs::metadata(&log).unwrap().len() < 100);
}

#[test]
fn a_rotation_that_fails_late_stores_the_unfinished_line_too() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    let streams = rig.attach(1, &to_file(&log, 10, 1));
    // Nothing moves before the file itself is renamed.
    fs::create_dir(numbered(&log, 1)).unwrap();
    let mut out = File::from(streams.stdout_writer().unwrap());
    out.write_all(b"one\ntwo\nthr").unwrap();
    let LogFact::Trouble { error, .. } = rig.fact() else { panic!("trouble expected") };
    assert_eq!(error, "cannot rotate: Is a directory");
    out.write_all(b"ee\n").unwrap();
    rig.settle(1);
    assert_eq!(fs::read(&log).unwrap(), b"one\ntwo\nthree\n");
    assert_eq!(streams.reader(Stream::Stdout).unwrap().end(), 14);
    assert!(!next_file(&log).exists());
}

/// A full disk: there is room for a few more bytes in the log's last block, and none for another file.
#[test]
fn a_rotation_without_room_renames_nothing() {
    let mut rig = Rig::new();
    let disk = SmallDisk::mount(rig.path("disk"), "64k");
    let log = disk.0.join("a.log");
    let streams = rig.attach(1, &to_file(&log, 10, 3));
    let mut out = File::from(streams.stdout_writer().unwrap());
    out.write_all(b"one line\ntwo lines\nthree\n").unwrap();
    rig.settle(1);
    let before = files(&log);
    assert_eq!(before.len(), 3);
    let mut ballast = File::create(disk.0.join("ballast")).unwrap();
    while ballast.write_all(&[0; 4096]).is_ok() {}
    out.write_all(b"four\nfiv").unwrap();
    let LogFact::Trouble { error, .. } = rig.fact() else { panic!("trouble expected") };
    assert_eq!(error, "cannot rotate: No space left on device");
    rig.settle(1);
    let after = files(&log);
    assert_eq!((&after[..2], after[2].as_slice()), (&before[..2], &b"three\nfour\nfiv"[..]));
    assert!(!next_file(&log).exists());
    drop(rig);
}

/// Lays out files as a crash may leave them, repairs, and returns what is there.
fn repaired(before: &[(&str, &str)], backups: u32) -> Vec<(String, String)> {
    let dir = tempfile::tempdir().unwrap();
    for (name, text) in before {
        fs::write(dir.path().join(name), text).unwrap();
    }
    repair(&dir.path().join("l"), backups).unwrap();
    let mut after: Vec<(String, String)> = fs::read_dir(dir.path())
        .unwrap()
        .map(|e| e.unwrap())
        .map(|e| (e.file_name().into_string().unwrap(), fs::read_to_string(e.path()).unwrap()))
        .collect();
    after.sort();
    after
}

#[test]
fn a_crash_at_any_step_is_repaired() {
    let owned = |files: &[(&str, &str)]| -> Vec<(String, String)> {
        files.iter().map(|(n, t)| ((*n).to_owned(), (*t).to_owned())).collect()
    };
    // The tail is being copied: not cut yet, all is still in the old file.
    let after = repaired(&[("l", "one\ntw"), ("l.2", "zero\n"), ("l.new", "t")], 3);
    assert_eq!(after, owned(&[("l", "one\ntw"), ("l.2", "zero\n")]));
    // Copied; nothing was there to copy, and nothing renamed yet: finished.
    let after = repaired(&[("l", "one\n"), ("l.1", "zero\n"), ("l.new", "")], 3);
    assert_eq!(after, owned(&[("l", ""), ("l.1", "one\n"), ("l.2", "zero\n")]));
    // Cut, not renamed: finished. The gap that the shift had made is used.
    let after = repaired(&[("l", "one\n"), ("l.2", "zero\n"), ("l.new", "tw")], 3);
    assert_eq!(after, owned(&[("l", "tw"), ("l.1", "one\n"), ("l.2", "zero\n")]));
    // The old one renamed, the new one not yet.
    let after = repaired(&[("l.1", "one\n"), ("l.new", "tw")], 3);
    assert_eq!(after, owned(&[("l", "tw"), ("l.1", "one\n")]));
    // Nothing to repair.
    let after = repaired(&[("l", "one\ntw")], 3);
    assert_eq!(after, owned(&[("l", "one\ntw")]));
    // The same, and then somebody made the file again.
    let after = repaired(&[("l", ""), ("l.1", "one\n"), ("l.new", "tw")], 3);
    assert_eq!(after, owned(&[("l", "tw"), ("l.1", "one\n")]));
    // A line of more than a megabyte was being cut: nothing moves.
    let after = repaired(&[("l", "xxx"), ("l.new", "")], 3);
    assert_eq!(after, owned(&[("l", "xxx")]));
}

#[test]
fn an_attach_repairs() {
    let mut rig = Rig::new();
    let log = rig.path("a.log");
    fs::write(&log, "one\n").unwrap();
    fs::write(next_file(&log), "tw").unwrap();
    let streams = rig.attach(1, &to_file(&log, 1000, 3));
    File::from(streams.stdout_writer().unwrap()).write_all(b"o\n").unwrap();
    rig.settle(1);
    assert_eq!(files(&log).concat(), b"one\ntwo\n");
    assert_eq!(streams.reader(Stream::Stdout).unwrap().end(), 8);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(60))]

    /// Whatever is written, in whatever pieces, to a log of whatever size, by splice or through our hands.
    #[test]
    fn any_text_in_any_pieces(
        lines in prop::collection::vec("[a-z]{0,30}", 1..120),
        cuts in prop::collection::vec(1_usize..60, 1..40),
        max in 1_u64..90,
        last_end in any::<bool>(),
        strip in any::<bool>(),
        settle_each in any::<bool>(),
    ) {
        let mut rig = Rig::new();
        let log = rig.path("a.log");
        let mut text = lines.join("\n").into_bytes();
        if last_end {
            text.push(b'\n');
        }
        let mut output = to_file(&log, max, 100_000);
        output.stdout.strip_ansi = strip;
        let streams = rig.attach(1, &output);
        let mut out = File::from(streams.stdout_writer().unwrap());
        let mut rest = &text[..];
        for cut in cuts.iter().cycle() {
            let (piece, more) = rest.split_at(rest.len().min(*cut));
            out.write_all(piece).unwrap();
            if settle_each {
                rig.settle(1);
            }
            rest = more;
            if rest.is_empty() {
                break;
            }
        }
        rig.settle(1);
        let files = files(&log);
        prop_assert_eq!(files.concat(), text.clone());
        check_shape(&files, max);
        let reader = streams.reader(Stream::Stdout).unwrap();
        prop_assert_eq!(reader.end(), text.len() as u64);
        let mut got = Vec::new();
        while got.len() < text.len() {
            got.extend(reader.read(got.len() as u64, 50).unwrap().1);
        }
        prop_assert_eq!(got, text);
    }
}
