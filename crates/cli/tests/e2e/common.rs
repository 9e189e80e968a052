//! What the tests of this folder share.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use supers_testkit::{Bins, Daemon, Process, Programs, World};

/// A world that runs the programs of this build.
pub fn world() -> World {
    World::with(bins())
}

/// The programs of this build.
pub fn bins() -> Bins {
    Bins::of(env!("CARGO_BIN_EXE_superd"), env!("CARGO_BIN_EXE_supers"))
}

/// Writes a unit whose program is the actor with these words; `more` goes behind `[Service]`.
pub fn unit(w: &World, name: &str, words: &str, more: &str) -> PathBuf {
    w.unit(name, &format!("[Service]\nExecStart={} {words}\n{more}\n", w.actor().display()))
}

/// The log of a unit of the folder.
pub fn log(w: &World, name: &str) -> String {
    w.read(format!("units/logs/{name}/{name}.log"))
}

/// The log of the daemon on the folder.
pub fn main_log(w: &World) -> String {
    w.read("units/logs/superd.log")
}

/// Waits until the unit has printed this line; the whole log.
pub fn until_printed(w: &World, name: &str, line: &str) -> String {
    w.until_fact(&format!("{name} prints {line:?}"), || {
        Some(log(w, name)).filter(|text| text.lines().any(|l| l == line))
    })
}

/// Waits until a file below the root has at least so many bytes: what `count-to-file` leaves.
pub fn until_counted(w: &World, file: &str, count: usize) {
    w.until_fact(&format!("{count} starts in {file}"), || {
        Some(w.read(file).len()).filter(|n| *n >= count).map(drop)
    });
}

/// Waits until the unit is in this state and holds it at that moment.
pub fn until_state(w: &World, name: &str, state: &str) {
    w.until(&format!("{name} is {state}"), |s| s.state(name) == state);
}

/// Starts superd with units that are in the middle of something: `steps` in the first of two commands (the file
/// `gate` ends it, the second fails with 3), `after` that waits for it, and `deaf`, which is being stopped in vain.
pub fn much_under_way(w: &mut World) -> Programs {
    let a = w.actor().display().to_string();
    let gate = w.path("gate").display().to_string();
    w.unit(
        "steps",
        &format!(
            "[Service]\nType=oneshot\nExecStart={a} print one wait-file {gate}\nExecStart={a} print two exit 3\n"
        ),
    );
    unit(w, "deaf", "ignore TERM print up wait", "TimeoutStopSec=4s");
    unit(w, "after", "wait", "[Unit]\nAfter=steps.service");
    w.superd();
    until_printed(w, "steps", "one");
    until_printed(w, "deaf", "up");
    w.supers_ok(&["stop", "deaf", "--no-wait"]);
    until_state(w, "deaf", "STOPPING");
    w.status()
}

/// A running unit's process, held.
pub fn process(w: &World, name: &str) -> Process {
    let pid = w.until(&format!("{name} runs"), |s| s.state(name) == "RUNNING").pid(name);
    Process::open(pid).unwrap_or_else(|| panic!("{name} with pid {pid} is gone already"))
}

/// The process whose pid the unit printed as `child PID`, held.
pub fn child_of(w: &World, name: &str) -> Process {
    let pid = w.until_fact(&format!("{name} names its child"), || {
        log(w, name).lines().find_map(|l| l.strip_prefix("child ")?.parse::<i32>().ok())
    });
    Process::open(pid).unwrap_or_else(|| panic!("the child {pid} of {name} is gone already"))
}

/// Fails the test when the process does not end in time.
pub fn must_end(w: &World, process: &Process) {
    assert!(process.wait(w.deadline().left()), "pid {} goes on\n{}", process.pid, w.logs());
}

/// An answer of an HTTP server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// The status code.
    pub status: u16,
    /// What came after the head.
    pub body: String,
}

/// One request over any stream; `None` when nobody answers.
pub fn ask_over(mut stream: impl Read + Write, first: &str, headers: &[&str]) -> Option<Reply> {
    // 1.0, so that bodies of unknown length come as they are.
    let mut text = format!("{first} HTTP/1.0\r\n");
    if !headers.iter().any(|h| h.starts_with("Host:")) {
        text += "Host: localhost\r\n";
    }
    headers.iter().for_each(|h| text += &format!("{h}\r\n"));
    text += "\r\n";
    stream.write_all(text.as_bytes()).ok()?;
    let mut bytes = Vec::new();
    // A server that is killed in the middle has not answered.
    stream.read_to_end(&mut bytes).ok()?;
    let text = String::from_utf8_lossy(&bytes).into_owned();
    let (head, body) = text.split_once("\r\n\r\n")?;
    let status = head.split_whitespace().nth(1)?.parse().ok()?;
    Some(Reply { status, body: body.into() })
}

/// One request to a port of this machine.
pub fn ask(port: u16, first: &str, headers: &[&str]) -> Option<Reply> {
    let stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(20))).ok()?;
    ask_over(stream, first, headers)
}

/// A program with this world's environment and nothing that the testkit adds to the arguments.
pub fn bare(w: &World, program: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin").env("HOME", w.path("home"));
    command.current_dir(w.root()).args(args);
    command
}

/// The same command, started through another one: `wrap(["setpriv", ...], superd)`.
pub fn wrapped(words: &[&str], inner: &Command) -> Command {
    let mut command = Command::new(words[0]);
    command.env_clear().args(&words[1..]).arg(inner.get_program()).args(inner.get_args());
    for (name, value) in inner.get_envs() {
        command.env(name, value.unwrap_or_default());
    }
    if let Some(dir) = inner.get_current_dir() {
        command.current_dir(dir);
    }
    command
}

/// Starts a `superd` by a command of its own and waits until it answers.
pub fn start_superd(w: &mut World, command: Command) -> &mut Daemon {
    let deadline = w.deadline();
    let daemon = w.adopt(command);
    daemon.wait_line("superd ready", deadline);
    daemon
}

/// The user that owns nothing, on every Linux system.
pub const NOBODY: u32 = 65534;

const AS_NOBODY: [&str; 5] = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--"];

/// A world that belongs to the user nobody, programs included: whoever built them may keep them in a
/// folder that others cannot enter. Takes root.
pub struct Unprivileged {
    pub w: World,
    superd: PathBuf,
    actor: PathBuf,
}

impl Unprivileged {
    pub fn new() -> Unprivileged {
        supers_testkit::need_root();
        let w = world();
        let bin = w.path("bin");
        fs::create_dir(&bin).unwrap();
        let (superd, actor) = (bin.join("superd"), bin.join("actor"));
        fs::copy(env!("CARGO_BIN_EXE_superd"), &superd).unwrap();
        fs::copy(w.actor(), &actor).unwrap();
        Unprivileged { w, superd, actor }
    }

    /// Writes a unit for the actor.
    pub fn unit(&self, name: &str, words: &str) -> PathBuf {
        self.w.unit(name, &format!("[Service]\nExecStart={} {words}\n", self.actor.display()))
    }

    /// `superd` as nobody on the unit folder, not started yet.
    pub fn command(&self, args: &[&str]) -> Command {
        self.give_away(self.w.root());
        let inner = self.w.command_superd(args);
        let mut outer = bare(&self.w, &self.superd, &[]);
        outer.args(inner.get_args());
        wrapped(&AS_NOBODY, &outer)
    }

    /// The same in nobody's own places, as without `--root`.
    pub fn command_at_home(&self) -> Command {
        self.give_away(self.w.root());
        let units = self.w.units().display().to_string();
        wrapped(&AS_NOBODY, &bare(&self.w, &self.superd, &["-c", &units]))
    }

    pub fn superd(&mut self) -> &mut Daemon {
        let command = self.command(&[]);
        start_superd(&mut self.w, command)
    }

    fn give_away(&self, path: &Path) {
        std::os::unix::fs::lchown(path, Some(NOBODY), Some(NOBODY)).unwrap();
        if path.is_dir() && !path.is_symlink() {
            fs::read_dir(path).unwrap().for_each(|e| self.give_away(&e.unwrap().path()));
        }
    }
}

/// The environment that a process was started with.
pub fn environment(pid: i32) -> Vec<String> {
    let bytes = fs::read(format!("/proc/{pid}/environ")).unwrap();
    let words = bytes.split(|b| *b == 0).filter(|w| !w.is_empty());
    words.map(|w| Path::new(std::ffi::OsStr::from_bytes(w)).display().to_string()).collect()
}
