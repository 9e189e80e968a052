//! The programs of the play. Each takes a lock that only one life of it can have, and notes in files of its own
//! what it does, so that the end can be compared with what superd made of it.
//!
//! In the folder FOLDER: `NAME.lock`; `NAME.runs`, a line `start PID TIME` a life, from coders `end PID TIME CODE`
//! too; `NAME.RUN.STREAM`, how many lines a writer has written; `complaints`.

use super::rng::Rng;
use rustix::fs::{FlockOperation, flock};
use std::fs::{File, OpenOptions};
use std::io::{self, BufRead, Read, Write};
use std::net::TcpListener;
use std::os::fd::AsFd;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Exit codes that the configuration calls expected.
pub const EXPECTED: [u8; 2] = [0, 2];
/// Those that a coder chooses from.
const CODES: [u8; 8] = [0, 0, 1, 2, 3, 7, 42, 255];
/// How often a writer wakes.
const BEAT: Duration = Duration::from_millis(20);

/// Plays one of the programs: the exit code.
///
/// # Errors
/// The words make no sense, or a file cannot be written.
pub fn play(role: &str, words: &[&str]) -> Result<u8, String> {
    let [folder, name, rest @ ..] = words else { return Err("FOLDER and NAME are missing".into()) };
    let (life, run) = match Life::begin(Path::new(folder), name) {
        Ok(Some(begun)) => begun,
        Ok(None) => return Ok(70),
        Err(e) => return Err(format!("{folder}/{name}: {e}")),
    };
    let done = match (role, rest) {
        ("writer", [streams, rate]) => {
            let rate = rate.parse().map_err(|e| format!("{rate}: {e}"))?;
            writer(&life, run, *streams == "two", rate).map(|()| 0)
        }
        ("coder", []) => coder(&life, run),
        ("once", []) => Ok(0),
        ("sleeper", []) => loop {
            std::thread::park();
        },
        ("listener", []) => listener(&life).map(|()| 0),
        ("server", [port]) => {
            let port: u16 = port.parse().map_err(|e| format!("{port}: {e}"))?;
            TcpListener::bind(("127.0.0.1", port)).and_then(|l| serve(&l)).map(|()| 0)
        }
        // Its standard input is the socket, as FastCGI has it.
        ("fcgi", []) => io::stdin().as_fd().try_clone_to_owned().and_then(|fd| serve(&fd.into())).map(|()| 0),
        _ => return Err("no such role, or other words".into()),
    };
    done.or_else(|e| {
        life.complain(&format!("{role}: {e}"));
        Ok(71)
    })
}

/// Milliseconds since 1970.
pub fn now() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(0)
}

/// One life of a program.
struct Life {
    folder: PathBuf,
    name: String,
    _lock: File,
}

impl Life {
    /// Takes the lock and notes the start; how many lives there were before. `None`: somebody has the lock.
    fn begin(folder: &Path, name: &str) -> io::Result<Option<(Life, usize)>> {
        let lock = File::create(folder.join(format!("{name}.lock")))?;
        let free = flock(&lock, FlockOperation::NonBlockingLockExclusive).is_ok();
        let life = Life { folder: folder.into(), name: name.into(), _lock: lock };
        if !free {
            life.complain("runs twice at the same time");
            return Ok(None);
        }
        let before = std::fs::read_to_string(life.file("runs")).unwrap_or_default();
        let before = before.lines().filter(|l| l.starts_with("start ")).count();
        life.note(&format!("start {} {}", std::process::id(), now()))?;
        Ok(Some((life, before)))
    }

    fn file(&self, kind: &str) -> PathBuf {
        self.folder.join(format!("{}.{kind}", self.name))
    }

    fn note(&self, line: &str) -> io::Result<()> {
        append(&self.file("runs"), line)
    }

    fn complain(&self, text: &str) {
        let line = format!("{} (pid {}) {text}", self.name, std::process::id());
        let _ = append(&self.folder.join("complaints"), &line);
    }
}

/// One line in one write, which is what makes it whole.
fn append(path: &Path, line: &str) -> io::Result<()> {
    OpenOptions::new().create(true).append(true).open(path)?.write_all(format!("{line}\n").as_bytes())
}

/// A stream of numbered lines.
struct Stream {
    out: File,
    label: String,
    progress: File,
    number: u64,
}

impl Stream {
    fn new(life: &Life, run: usize, out: impl AsFd, suffix: &str) -> io::Result<Stream> {
        let progress = File::create(life.file(&format!("{run}.{suffix}")))?;
        let out = out.as_fd().try_clone_to_owned()?.into();
        Ok(Stream { out, label: format!("{}.{suffix} {run}", life.name), progress, number: 0 })
    }

    /// `NAME.STREAM RUN NUMBER LENGTH ...`: the line is whole when it has its length.
    fn say(&mut self, filler: usize) -> io::Result<()> {
        self.number += 1;
        let filler = ".".repeat(filler);
        let line = format!("{} {} {} {filler}\n", self.label, self.number, filler.len());
        // Shorter than PIPE_BUF: all of it or nothing.
        let written = self.out.write(line.as_bytes())?;
        if written != line.len() {
            return Err(io::Error::other(format!("{written} of {} bytes", line.len())));
        }
        self.progress.write_all_at(format!("{:<20}", self.number).as_bytes(), 0)
    }
}

/// Writes so many lines a beat, to one stream or to two.
fn writer(life: &Life, run: usize, two: bool, rate: usize) -> io::Result<()> {
    let mut rng = Rng::new(u64::from(std::process::id()));
    let mut streams = vec![Stream::new(life, run, io::stdout(), "out")?];
    if two {
        streams.push(Stream::new(life, run, io::stderr(), "err")?);
    }
    loop {
        for _ in 0..rate {
            for stream in &mut streams {
                stream.say(rng.below(180))?;
            }
        }
        std::thread::sleep(BEAT);
    }
}

/// Lives a little and ends with a code of its choice, which it notes first.
fn coder(life: &Life, run: usize) -> io::Result<u8> {
    let mut rng = Rng::new(now() ^ (run as u64) << 40);
    std::thread::sleep(Duration::from_millis(30 + rng.below(170) as u64));
    let code = CODES[rng.below(CODES.len())];
    life.note(&format!("end {} {} {code}", std::process::id(), now()))?;
    Ok(code)
}

/// Speaks the protocol of event listeners; notes each event before it says that it has it.
fn listener(life: &Life) -> io::Result<()> {
    let (mut input, mut out) = (io::stdin().lock(), io::stdout().lock());
    loop {
        out.write_all(b"READY\n")?;
        out.flush()?;
        let mut head = String::new();
        if input.read_line(&mut head)? == 0 {
            return Ok(());
        }
        let token = |name: &str| {
            head.split_whitespace().find_map(|w| w.strip_prefix(name)?.strip_prefix(':')).unwrap_or("?")
        };
        let length = token("len").parse().map_err(|_| io::Error::other(format!("header {head:?}")))?;
        let mut body = vec![0; length];
        input.read_exact(&mut body)?;
        let (serial, event) = (token("poolserial"), token("eventname"));
        life.note(&format!("event {serial} {event} {}", String::from_utf8_lossy(&body).trim()))?;
        out.write_all(b"RESULT 2\nOK")?;
        out.flush()?;
    }
}

/// Answers every connection with a line, for ever.
fn serve(listener: &TcpListener) -> io::Result<()> {
    for stream in listener.incoming() {
        let mut stream = stream?;
        let _ = stream.read(&mut [0; 64]);
        let _ = stream.write_all(b"here\n");
    }
    Ok(())
}
