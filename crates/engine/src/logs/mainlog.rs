//! The daemon's own log (supervisor-contract 1: `YYYY-MM-DD HH:MM:SS,mmm LEVL message`).
//!
//! Written from whatever thread has something to say, a line a write. An error never reaches the
//! caller: it is counted, and the daemon goes on.

use super::access::{no_file, read_file};
use super::file::inode;
use super::ledger::{Ledger, Pieces};
use super::reader::LogReader;
use super::rotate::{numbered, shift};
use super::syslog::{Syslog, SyslogConfig};
use super::{lock, sys};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
pub use supers_config::LogLevel as Level;
use supers_core::inside::{Cut, LogFault, Piece};
use supers_core::time::Wall;
use supers_os::clock::local_time;
use supers_os::error_text;

/// A write of this many bytes to a pipe that poll(2) calls writable does not wait.
const CALM_WRITE: usize = 4096;

/// The daemon's own log: a file that is rotated by size, or syslog, and a copy on a terminal. A handle; cheap
/// to clone.
#[derive(Clone)]
pub struct MainLog(Arc<Inner>);

struct Inner {
    level: Level,
    out: Mutex<Out>,
    failures: AtomicU64,
}

struct Out {
    target: Target,
    copy: Option<File>,
    line: String,
}

enum Target {
    Nowhere,
    File(LogFile),
    Syslog(Syslog),
}

struct LogFile {
    path: PathBuf,
    file: File,
    /// What readers see; `None` for what is no regular file: never rotated.
    ledger: Option<Arc<Ledger>>,
    /// Bytes in the file.
    size: u64,
    max: u64,
    backups: u32,
}

impl MainLog {
    /// Opens the log at `path` for appending. `max_bytes` 0 never rotates; `also_stdout` gets a copy of
    /// each line as long as it takes one without waiting.
    ///
    /// # Errors
    /// The file cannot be opened or made.
    pub fn open(
        path: Option<&Path>,
        max_bytes: u64,
        backups: u32,
        level: Level,
        also_stdout: Option<OwnedFd>,
    ) -> io::Result<MainLog> {
        let file = path.map(|path| LogFile::open(path, max_bytes, backups)).transpose()?;
        Ok(MainLog::new(file.map_or(Target::Nowhere, Target::File), level, also_stdout))
    }

    /// The log goes to syslog (`logfile=syslog`): each line by itself, with date and level as in a file.
    pub fn to_syslog(config: SyslogConfig, level: Level, also_stdout: Option<OwnedFd>) -> MainLog {
        MainLog::new(Target::Syslog(Syslog::new(config)), level, also_stdout)
    }

    fn new(target: Target, level: Level, also_stdout: Option<OwnedFd>) -> MainLog {
        let copy = also_stdout.map(File::from);
        let out = Mutex::new(Out { target, copy, line: String::new() });
        MainLog(Arc::new(Inner { level, out, failures: AtomicU64::new(0) }))
    }

    /// True when lines of this level are written.
    pub fn enabled(&self, level: Level) -> bool {
        level <= self.0.level
    }

    /// Writes one line; line ends within `text` stay as they are.
    pub fn log(&self, level: Level, now: Wall, text: &str) {
        self.write([(level, now, text)].into_iter());
    }

    /// Writes several lines at once.
    pub fn log_all(&self, lines: &[(Level, Wall, String)]) {
        self.write(lines.iter().map(|(level, now, text)| (*level, *now, text.as_str())));
    }

    fn write<'a>(&self, lines: impl Iterator<Item = (Level, Wall, &'a str)>) {
        let mut out = lock(&self.0.out);
        let out = &mut *out;
        out.line.clear();
        let mut failures = 0;
        for (level, now, text) in lines.filter(|(level, ..)| self.enabled(*level)) {
            format_line(&mut out.line, level, now, text);
            if let Target::Syslog(syslog) = &mut out.target {
                failures += log_to(syslog, level, now, text);
            }
        }
        if out.line.is_empty() {
            return;
        }
        let line = out.line.as_bytes();
        if let Target::File(file) = &mut out.target {
            failures += u64::from(file.append(line).is_err());
        }
        if let Some(copy) = &mut out.copy {
            failures += u64::from(write_calmly(copy, line).is_err());
        }
        self.0.failures.fetch_add(failures, Ordering::Relaxed);
    }

    /// Opens the file by its name again, after somebody moved it (SIGUSR2).
    pub fn reopen(&self) {
        if let Target::File(file) = &mut lock(&self.0.out).target
            && file.reopen(true).is_err()
        {
            self.0.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Deletes the file and makes it again; backups stay (supervisor-contract 8, clearing).
    ///
    /// # Errors
    /// [`LogFault::NoFile`] when there is none.
    pub fn clear(&self) -> Result<(), LogFault> {
        match &mut lock(&self.0.out).target {
            Target::File(file) => file.clear(),
            Target::Nowhere | Target::Syslog(_) => Err(LogFault::NoFile),
        }
    }

    /// A part of the file; at most [`super::MAX_PIECE`] bytes. Blocking.
    ///
    /// # Errors
    /// As [`super::Logs::read`].
    pub fn read(&self, cut: Cut) -> Result<Piece, LogFault> {
        match self.path() {
            Some(path) => read_file(&path, cut),
            None => no_file(cut),
        }
    }

    /// The file's name, if it is one.
    pub fn path(&self) -> Option<PathBuf> {
        match &lock(&self.0.out).target {
            Target::File(file) => Some(file.path.clone()),
            Target::Nowhere | Target::Syslog(_) => None,
        }
    }

    /// Reads the log over its rotations, and on as it grows; `None` when it is no regular file.
    pub fn reader(&self) -> Option<LogReader> {
        match &lock(&self.0.out).target {
            Target::File(file) => file.ledger.clone().map(LogReader),
            Target::Nowhere | Target::Syslog(_) => None,
        }
    }

    /// Lines, or copies of lines, that could not be written.
    pub fn failures(&self) -> u64 {
        self.0.failures.load(Ordering::Relaxed)
    }
}

/// Sends each line of a message; returns how many were dropped.
fn log_to(syslog: &mut Syslog, level: Level, now: Wall, text: &str) -> u64 {
    let mut dropped = 0;
    let mut head = String::new();
    format_head(&mut head, level, now);
    for line in text.lines() {
        dropped += u64::from(!syslog.send(now, &[head.as_bytes(), line.as_bytes()]));
    }
    dropped
}

fn format_head(line: &mut String, level: Level, now: Wall) {
    let t = local_time(now.0);
    let (ms, word) = (now.0.rem_euclid(1000), level.letters());
    // A String takes everything.
    let _ = write!(
        line,
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02},{ms:03} {word} ",
        t.year, t.month, t.day, t.hour, t.min, t.sec
    );
}

fn format_line(line: &mut String, level: Level, now: Wall, text: &str) {
    format_head(line, level, now);
    line.push_str(text);
    line.push('\n');
}

/// Writes to what other processes may have open too, without ever waiting for its reader.
fn write_calmly(to: &mut File, bytes: &[u8]) -> io::Result<()> {
    for piece in bytes.chunks(CALM_WRITE) {
        if !sys::writable(&*to) {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        to.write_all(piece)?;
    }
    Ok(())
}

impl LogFile {
    fn open(path: &Path, max: u64, backups: u32) -> io::Result<LogFile> {
        let file = append_to(path)?;
        let (_, meta) = inode(&file)?;
        let size = meta.len();
        let ledger = meta.is_file().then(|| Arc::new(Ledger::new(path.into(), size)));
        Ok(LogFile { path: path.into(), file, ledger, size, max, backups })
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let Some(ledger) = self.ledger.clone() else {
            return write_calmly(&mut self.file, line);
        };
        let mut meta = self.file.metadata()?;
        if meta.nlink() == 0 {
            self.reopen(true)?;
            meta = self.file.metadata()?;
        }
        self.notice(&ledger, meta.len());
        self.file.write_all(line)?;
        self.size += line.len() as u64;
        ledger.advance(line.len() as u64);
        let rotated = if self.max > 0 && self.size >= self.max { self.rotate(&ledger) } else { Ok(()) };
        ledger.ring();
        rotated
    }

    /// Takes notice of what others did to the file.
    fn notice(&mut self, ledger: &Ledger, size: u64) {
        if size > self.size {
            ledger.advance(size - self.size);
        } else if size < self.size {
            ledger.rebase_own(size, false);
        }
        self.size = size;
    }

    fn rotate(&mut self, ledger: &Ledger) -> io::Result<()> {
        let mut pieces = ledger.pieces();
        let base = ledger.end();
        if self.backups == 0 {
            self.file.set_len(0)?;
            self.size = 0;
            pieces.rotated(base, 0, 0);
            return Ok(());
        }
        let moved = shift(&self.path, self.backups).and_then(|shifted| {
            fs::rename(&self.path, numbered(&self.path, 1))?;
            Ok((shifted, append_to(&self.path)?))
        });
        let (shifted, file) = moved.inspect_err(|_| {
            // Nothing is lost: the backups only may have other numbers now.
            *pieces = Pieces::from_disk(&self.path, self.size, Some(base));
        })?;
        pieces.rotated(base, shifted.gap, self.backups);
        self.file = file;
        self.size = 0;
        Ok(())
    }

    /// `moved`: somebody else may have renumbered the backups.
    fn reopen(&mut self, moved: bool) -> io::Result<()> {
        let file = append_to(&self.path)?;
        let (new, meta) = inode(&file)?;
        if let Some(ledger) = &self.ledger
            && new != inode(&self.file)?.0
        {
            ledger.rebase_own(meta.len(), moved);
            self.size = meta.len();
        }
        self.file = file;
        Ok(())
    }

    fn clear(&mut self) -> Result<(), LogFault> {
        if self.ledger.is_none() {
            return Err(LogFault::NoFile);
        }
        let done = fs::remove_file(&self.path).and_then(|()| self.reopen(false));
        done.map_err(|e| match e.kind() {
            io::ErrorKind::NotFound => LogFault::NoFile,
            _ => LogFault::Failed(error_text(&e)),
        })
    }
}

fn append_to(path: &Path) -> io::Result<File> {
    // Opening these by name fails for a socket, and begins at the start of a file.
    let own = match path.to_str() {
        Some("/dev/stdout") => io::stdout().as_fd().try_clone_to_owned(),
        Some("/dev/stderr") => io::stderr().as_fd().try_clone_to_owned(),
        _ => return sys::calm_open().append(true).create(true).open(path),
    };
    own.map(File::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Read;

    /// 2009-02-13 23:31:30 UTC and five milliseconds.
    const NOW: Wall = Wall(1_234_567_890_005);

    fn text(path: &Path) -> String {
        fs::read_to_string(path).unwrap()
    }

    #[test]
    fn lines_look_like_the_ancestors() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.log");
        let log = MainLog::open(Some(&path), 0, 0, Level::Info, None).unwrap();
        log.log(Level::Critical, NOW, "one");
        log.log(Level::Debug, NOW, "not shown");
        log.log(Level::Info, NOW, "two\nthree");
        assert!(log.enabled(Level::Info) && !log.enabled(Level::Debug));
        let text = text(&path);
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines.len(), 3);
        // The zone shifts by quarters of an hour at most to the second: minutes may differ.
        let (date, rest) = lines[0].split_at(10);
        assert!(date == "2009-02-13" || date == "2009-02-14", "{date}");
        assert_eq!(&rest[6..], ":30,005 CRIT one");
        assert!(lines[1].ends_with(",005 INFO two"));
        assert_eq!(lines[2], "three");
    }

    #[test]
    fn rotated_on_whole_lines() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.log");
        let log = MainLog::open(Some(&path), 100, 2, Level::Info, None).unwrap();
        for i in 0..20 {
            log.log(Level::Info, NOW, &format!("line {i:02}"));
        }
        let line = text(&path).lines().next().map_or(36, |l| l.len() + 1);
        let per_file = 100_usize.div_ceil(line);
        for n in [1, 2] {
            let text = text(&numbered(&path, n));
            assert_eq!(text.lines().count(), per_file);
            assert!(text.ends_with('\n'));
        }
        assert!(!numbered(&path, 3).exists());
        let all = text(&numbered(&path, 1)) + &text(&path);
        assert!(all.trim_end().ends_with("line 19"));
        assert_eq!(log.failures(), 0);
    }

    #[test]
    fn deleted_or_moved_it_is_made_again() {
        let dir = tempfile::tempdir().unwrap();
        let (path, moved) = (dir.path().join("main.log"), dir.path().join("moved"));
        let log = MainLog::open(Some(&path), 1000, 2, Level::Info, None).unwrap();
        log.log(Level::Info, NOW, "one");
        fs::remove_file(&path).unwrap();
        log.log(Level::Info, NOW, "two");
        assert!(text(&path).ends_with("two\n"));
        fs::rename(&path, &moved).unwrap();
        log.log(Level::Info, NOW, "three");
        log.reopen();
        log.log(Level::Info, NOW, "four");
        assert!(text(&moved).ends_with("three\n"));
        assert_eq!(text(&path).lines().count(), 1);
    }

    #[test]
    fn a_copy_nobody_reads_is_dropped_and_counted() {
        let (mut read, write) = sys::pipe().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.log");
        let log = MainLog::open(Some(&path), 0, 0, Level::Info, Some(write.into())).unwrap();
        log.log(Level::Info, NOW, "hello");
        let mut line = vec![0; text(&path).len()];
        read.read_exact(&mut line).unwrap();
        assert!(line.ends_with(b"INFO hello\n"));
        let long = "x".repeat(5000);
        for _ in 0..30 {
            log.log(Level::Info, NOW, &long);
        }
        assert!(log.failures() > 0);
        assert_eq!(text(&path).lines().count(), 31, "the file has all of them");
    }

    #[test]
    fn a_full_disk_is_counted_and_nothing_else() {
        let log = MainLog::open(Some(Path::new("/dev/full")), 0, 0, Level::Info, None).unwrap();
        log.log(Level::Info, NOW, "lost");
        assert_eq!(log.failures(), 1);
        assert!(MainLog::open(Some(Path::new("/nonexistent/x")), 0, 0, Level::Info, None).is_err());
        MainLog::open(None, 0, 0, Level::Info, None).unwrap().log(Level::Info, NOW, "nowhere");
    }

    #[tokio::test]
    async fn a_follower_sees_every_byte_once() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.log");
        fs::write(numbered(&path, 1), "from an earlier daemon\n").unwrap();
        let log = MainLog::open(Some(&path), 200, 2, Level::Info, None).unwrap();
        let reader = log.reader().unwrap();
        let mut at = reader.end();
        let mut seen = String::new();
        let follow = async |at: &mut u64| {
            reader.changed(*at).await;
            let (from, bytes) = reader.read(*at, 1000).unwrap();
            assert_eq!(from, *at);
            *at += bytes.len() as u64;
            String::from_utf8(bytes).unwrap()
        };
        let waiting = reader.changed(at);
        tokio::pin!(waiting);
        tokio::select! {
            biased;
            () = &mut waiting => panic!("nothing was written"),
            () = std::future::ready(()) => {}
        }
        log.log(Level::Info, NOW, "first");
        tokio::time::timeout(std::time::Duration::from_secs(20), waiting).await.unwrap();
        assert!(follow(&mut at).await.ends_with("first\n"));
        for i in 0..42 {
            log.log(Level::Info, NOW, &format!("line {i:02}"));
            // Now and then it is two lines behind, with a rotation between them.
            if i % 3 > 0 {
                seen += &follow(&mut at).await;
            }
        }
        while seen.lines().count() < 42 {
            seen += &follow(&mut at).await;
        }
        let numbers: Vec<&str> = seen.lines().map(|l| l.rsplit(' ').next().unwrap()).collect();
        assert_eq!(numbers, (0..42).map(|i| format!("{i:02}")).collect::<Vec<_>>());
        assert!(numbered(&path, 2).exists(), "it was rotated more than once");
        log.log(Level::Info, NOW, "never seen");
        let at_clear = reader.end();
        log.clear().unwrap();
        assert_eq!(text(&path), "");
        log.log(Level::Info, NOW, "after");
        // What was cleared before it was read is gone, and nothing else comes in its place.
        let (from, bytes) = reader.read(at, 1000).unwrap();
        assert_eq!((from, &*bytes), (at_clear, text(&path).as_bytes()));
        assert!(text(&numbered(&path, 1)).lines().count() > 1, "backups stay");
    }

    #[test]
    fn by_bytes_and_cleared() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("main.log");
        let log = MainLog::open(Some(&path), 0, 0, Level::Info, None).unwrap();
        log.log(Level::Info, NOW, "hello");
        let last = Cut::Read { offset: -6, length: 0 };
        assert_eq!(log.read(last).unwrap().bytes, b"hello\n");
        let open = File::open(&path).unwrap();
        let clone = log.clone();
        clone.clear().unwrap();
        assert_eq!(open.metadata().unwrap().nlink(), 0, "it is a new file");
        log.log(Level::Info, NOW, "again");
        assert_eq!(text(&path).lines().count(), 1);
        // As in the ancestor: a log that is not there is not cleared, and not made either.
        fs::remove_file(&path).unwrap();
        assert_eq!(log.clear(), Err(LogFault::NoFile));
        assert_eq!(log.read(last), Err(LogFault::NoFile));
        assert!(!path.exists());
        let none = MainLog::open(None, 0, 0, Level::Info, None).unwrap();
        assert_eq!(none.read(Cut::Tail { offset: 0, length: 1 }), Ok(Piece::default()));
        assert_eq!(none.clear(), Err(LogFault::NoFile));
    }
}
