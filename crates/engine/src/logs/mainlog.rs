//! The daemon's own log (supervisor-contract 1: `YYYY-MM-DD HH:MM:SS,mmm LEVL message`).
//!
//! Written from whatever thread has something to say, a line a write. An error never reaches the
//! caller: it is counted, and the daemon goes on.

use super::file::inode;
use super::rotate::{numbered, shift};
use super::{lock, sys};
use std::fmt::Write as _;
use std::fs::{self, File};
use std::io::{self, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
pub use supers_config::LogLevel as Level;
use supers_core::time::Wall;
use supers_os::clock::local_time;

/// A write of this many bytes to a pipe that poll(2) calls writable does not wait.
const CALM_WRITE: usize = 4096;

/// The daemon's own log: a file that is rotated by size, and a copy on a terminal.
pub struct MainLog {
    level: Level,
    out: Mutex<Out>,
    failures: AtomicU64,
}

struct Out {
    file: Option<LogFile>,
    copy: Option<File>,
    line: String,
}

struct LogFile {
    path: PathBuf,
    file: File,
    /// `None` for what is no regular file: never rotated.
    size: Option<u64>,
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
        let copy = also_stdout.map(File::from);
        let out = Mutex::new(Out { file, copy, line: String::new() });
        Ok(MainLog { level, out, failures: AtomicU64::new(0) })
    }

    /// True when lines of this level are written.
    pub fn enabled(&self, level: Level) -> bool {
        level <= self.level
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
        let mut out = lock(&self.out);
        let mut line = std::mem::take(&mut out.line);
        line.clear();
        for (level, now, text) in lines.filter(|(level, ..)| self.enabled(*level)) {
            format_line(&mut line, level, now, text);
        }
        if line.is_empty() {
            out.line = line;
            return;
        }
        let stored = out.file.as_mut().is_none_or(|file| file.append(line.as_bytes()).is_ok());
        let copied = out.copy.as_mut().is_none_or(|copy| write_calmly(copy, line.as_bytes()).is_ok());
        self.failures.fetch_add(u64::from(!stored) + u64::from(!copied), Ordering::Relaxed);
        out.line = line;
    }

    /// Opens the file by its name again, after somebody moved it (SIGUSR2).
    pub fn reopen(&self) {
        if let Some(file) = &mut lock(&self.out).file
            && file.reopen().is_err()
        {
            self.failures.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Lines, or copies of lines, that could not be written.
    pub fn failures(&self) -> u64 {
        self.failures.load(Ordering::Relaxed)
    }
}

fn format_line(line: &mut String, level: Level, now: Wall, text: &str) {
    let t = local_time(now.0);
    let (ms, word) = (now.0.rem_euclid(1000), level.letters());
    // A String takes everything.
    let _ = writeln!(
        line,
        "{:04}-{:02}-{:02} {:02}:{:02}:{:02},{ms:03} {word} {text}",
        t.year, t.month, t.day, t.hour, t.min, t.sec
    );
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
        let size = meta.is_file().then_some(meta.len());
        Ok(LogFile { path: path.into(), file, size, max, backups })
    }

    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        if self.size.is_none() {
            return write_calmly(&mut self.file, line);
        }
        let mut meta = self.file.metadata()?;
        if meta.nlink() == 0 {
            self.reopen()?;
            meta = self.file.metadata()?;
        }
        self.file.write_all(line)?;
        let size = meta.len();
        let size = size + line.len() as u64;
        self.size = Some(size);
        if self.max > 0 && size >= self.max {
            self.rotate()?;
        }
        Ok(())
    }

    fn rotate(&mut self) -> io::Result<()> {
        if self.backups == 0 {
            self.file.set_len(0)?;
            self.size = Some(0);
            return Ok(());
        }
        shift(&self.path, self.backups)?;
        fs::rename(&self.path, numbered(&self.path, 1))?;
        self.reopen()
    }

    fn reopen(&mut self) -> io::Result<()> {
        *self = LogFile::open(&self.path, self.max, self.backups)?;
        Ok(())
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
}
