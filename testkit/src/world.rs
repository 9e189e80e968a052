//! A place of its own for each test (habit 14).

use crate::bins::built;
use crate::procs::{Process, using};
use crate::{Bins, Daemon, Deadline, Programs};
use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;
use tempfile::TempDir;

/// Longest time between two looks at the status. There is no event stream yet; when there is, [`World::until`]
/// subscribes to it and this bound goes. It is the only polling in the tests, and it never decides a result:
/// the deadline does.
const LOOK_AGAIN: Duration = Duration::from_millis(20);

/// A temporary root with a configuration, a runtime and a state folder, and the daemons started in it.
#[derive(Debug)]
pub struct World {
    bins: Bins,
    root: TempDir,
    env: BTreeMap<String, String>,
    config: PathBuf,
    daemons: Vec<Daemon>,
    /// Every process that a status named, held so that its pid cannot become somebody else's.
    seen: RefCell<BTreeMap<i32, Process>>,
    deadline: Deadline,
}

/// A program that ran to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Finished {
    /// Exit code, or the signal's number negated.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

impl World {
    /// A fresh world. Its configuration is the unit folder [`World::units`] until [`World::ini`] is called.
    pub fn new() -> World {
        World::with(Bins::find())
    }

    /// The same with programs from elsewhere.
    pub fn with(bins: Bins) -> World {
        // Not below TMPDIR, which may be long: a socket's path has 107 bytes at most.
        World::below(Path::new("/tmp"), bins)
    }

    /// The same below another folder (measurements want one in memory). Socket paths are short, so the
    /// folder's name must be.
    pub fn below(folder: &Path, bins: Bins) -> World {
        let root = tempfile::Builder::new().prefix("sw").tempdir_in(folder).expect("a temporary folder");
        // Programs that run as another user must get through.
        set_mode(root.path(), 0o755);
        let units = root.path().join("units");
        for dir in ["units", "home", "run", "tmp"] {
            fs::create_dir(root.path().join(dir)).unwrap();
        }
        set_mode(&root.path().join("run"), 0o700);
        set_mode(&root.path().join("tmp"), 0o1777);
        let at = |dir: &str| root.path().join(dir).display().to_string();
        let env = [
            ("PATH", "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_string()),
            ("HOME", at("home")),
            ("XDG_RUNTIME_DIR", at("run")),
            ("TMPDIR", at("tmp")),
            ("LANG", "C.UTF-8".to_string()),
            ("TZ", "UTC".to_string()),
        ];
        World {
            bins,
            env: env.into_iter().map(|(k, v)| (k.to_string(), v)).collect(),
            config: units,
            root,
            daemons: Vec::new(),
            seen: RefCell::default(),
            deadline: Deadline::start(),
        }
    }

    /// The temporary root; also what `--root` is given.
    pub fn root(&self) -> &Path {
        self.root.path()
    }

    /// A path below the root.
    pub fn path(&self, below: impl AsRef<Path>) -> PathBuf {
        self.root.path().join(below)
    }

    /// The unit folder.
    pub fn units(&self) -> PathBuf {
        self.path("units")
    }

    /// The program that behaves as told.
    pub fn actor(&self) -> &Path {
        built(&self.bins.actor, "supers-testkit")
    }

    /// The one deadline of this test.
    pub fn deadline(&self) -> Deadline {
        self.deadline
    }

    /// Gives the test more time, for one that must wait long.
    pub fn allow(&mut self, time: Duration) {
        self.deadline = Deadline::after(time);
    }

    /// Sets a variable for every program started from now on.
    pub fn env(&mut self, name: &str, value: &str) {
        self.env.insert(name.into(), value.into());
    }

    /// Writes a file below the root, folders included; its path.
    pub fn write(&self, below: impl AsRef<Path>, text: &str) -> PathBuf {
        let path = self.path(below);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap_or_else(|e| panic!("cannot write {}: {e}", path.display()));
        path
    }

    /// A file below the root as text; empty when there is none.
    pub fn read(&self, below: impl AsRef<Path>) -> String {
        fs::read(self.path(below)).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
    }

    /// Writes `NAME.service` into the unit folder; its path.
    pub fn unit(&self, name: &str, text: &str) -> PathBuf {
        self.write(format!("units/{name}.service"), text)
    }

    /// Writes `supervisord.conf` and makes it the configuration. `{root}` and `{actor}` in the text are
    /// replaced.
    pub fn ini(&mut self, text: &str) -> PathBuf {
        let text = text.replace("{root}", &self.root().display().to_string());
        let text = text.replace("{actor}", &self.bins.actor.display().to_string());
        self.config = self.write("supervisord.conf", &text);
        self.config.clone()
    }

    /// Makes another file or folder the configuration.
    pub fn use_config(&mut self, path: impl Into<PathBuf>) {
        self.config = path.into();
    }

    /// Starts `superd` on this world's configuration and waits until it answers.
    pub fn superd(&mut self) -> &mut Daemon {
        self.superd_with(&[])
    }

    /// The same with more arguments.
    pub fn superd_with(&mut self, args: &[&str]) -> &mut Daemon {
        let daemon = Daemon::start(self.command_superd(args));
        daemon.wait_ready(self.deadline);
        self.daemons.push(daemon);
        self.daemons.last_mut().unwrap()
    }

    /// Starts `superd` without waiting for anything.
    pub fn superd_started(&mut self, args: &[&str]) -> &mut Daemon {
        self.adopt(self.command_superd(args))
    }

    /// Takes a command in as if it were a `superd`: ended with the world. Nothing is waited for.
    pub fn adopt(&mut self, command: Command) -> &mut Daemon {
        self.daemons.push(Daemon::start(command));
        self.daemons.last_mut().unwrap()
    }

    /// Runs a `superd` that is expected to end by itself: `-t`, `-d`, or one that refuses.
    pub fn superd_ends(&mut self, args: &[&str]) -> Finished {
        self.run(self.command_superd(args))
    }

    /// The daemon started last.
    pub fn daemon(&mut self) -> &mut Daemon {
        self.daemons.last_mut().expect("a superd was started")
    }

    /// Runs `supers` on this world's configuration.
    pub fn supers(&self, args: &[&str]) -> Finished {
        self.run(self.command_supers(args))
    }

    /// Runs `supers`, demands that it succeeds, and returns what it printed.
    pub fn supers_ok(&self, args: &[&str]) -> String {
        let end = self.supers(args);
        assert_eq!(end.code, 0, "supers {args:?} failed: {end:?}");
        end.stdout
    }

    /// Starts `supers` without waiting, for `logs -f` and the like. The caller must end it.
    pub fn supers_started(&self, args: &[&str]) -> Daemon {
        Daemon::start(self.command_supers(args))
    }

    /// What `supers status --json` says now; the test fails when it says nothing of use.
    pub fn status(&self) -> Programs {
        let end = self.supers(&["status", "--json"]);
        let programs = Programs::parse(&end.stdout);
        let programs = programs.unwrap_or_else(|| panic!("no status: {end:?}\n{}", self.logs()));
        self.remember(&programs);
        programs
    }

    /// Waits until the status satisfies the condition; that status. Fails at the deadline with the last status
    /// and what the daemon said.
    pub fn until(&self, what: &str, condition: impl Fn(&Programs) -> bool) -> Programs {
        loop {
            let now = self.status();
            if condition(&now) {
                return now;
            }
            let all = || serde_json::to_string_pretty(&now.0).unwrap_or_default();
            assert!(!self.deadline.passed(), "never came: {what}\nstatus: {}\n{}", all(), self.logs());
            self.look_again();
        }
    }

    /// Waits until a fact outside of the daemon holds: a file, a port.
    pub fn until_fact<T>(&self, what: &str, fact: impl Fn() -> Option<T>) -> T {
        loop {
            if let Some(value) = fact() {
                return value;
            }
            assert!(!self.deadline.passed(), "never came: {what}\n{}", self.logs());
            self.look_again();
        }
    }

    /// What the daemons said, each under a line of its own.
    pub fn logs(&self) -> String {
        let text = |d: &Daemon| format!("--- superd {} said:\n{}\n", d.pid(), d.log());
        self.daemons.iter().map(text).collect()
    }

    /// The same text for every run of a test: paths, pids and times replaced.
    pub fn normal(&self, text: &str) -> String {
        let exe_dir = self.bins.superd.parent().unwrap_or(Path::new("/")).display().to_string();
        crate::normal::text(
            &text.replace(&self.root().display().to_string(), "ROOT").replace(&exe_dir, "BIN"),
        )
    }

    /// The folder that holds a runtime folder a configuration.
    pub fn runtime_base(&self) -> PathBuf {
        self.path("run/super")
    }

    fn look_again(&self) {
        match self.daemons.last() {
            // A state change is mostly announced by a line of the daemon's log.
            Some(daemon) => daemon.pause(LOOK_AGAIN),
            None => std::thread::sleep(LOOK_AGAIN),
        }
    }

    fn remember(&self, programs: &Programs) {
        let mut seen = self.seen.borrow_mut();
        seen.retain(|_, process| process.lives());
        for pid in programs.pids() {
            if let Some(process) = Process::open(pid) {
                seen.entry(pid).or_insert(process);
            }
        }
    }

    fn command(&self, program: &Path, args: &[&str]) -> Command {
        let mut command = Command::new(built(program, "supers"));
        command.env_clear().envs(&self.env).current_dir(self.root());
        // A test may choose its own places; an address needs none.
        let given = |option: &str| args.contains(&option);
        if !given("-c") && !given("-s") {
            command.arg("-c").arg(&self.config);
        }
        if !given("--root") && !given("-s") {
            command.arg("--root").arg(self.root());
        }
        command.args(args);
        command
    }

    /// The command line of `superd` in this world, for a test that needs to change it.
    pub fn command_superd(&self, args: &[&str]) -> Command {
        self.command(&self.bins.superd, args)
    }

    /// The command line of `supers` in this world, for a test that needs to change it.
    pub fn command_supers(&self, args: &[&str]) -> Command {
        self.command(&self.bins.supers, args)
    }

    /// Runs a command to its end, within the deadline.
    pub fn run(&self, mut command: Command) -> Finished {
        command.stdin(Stdio::null());
        Daemon::start(command).finish(self.deadline)
    }

    /// Daemons that were started with `-d` are nobody's children; their pid files name them.
    fn end_daemonized(&self) {
        let folders = fs::read_dir(self.runtime_base()).into_iter().flatten().flatten();
        for folder in folders {
            let text = fs::read_to_string(folder.path().join("pid")).unwrap_or_default();
            let Some(process) = text.trim().parse().ok().and_then(Process::open) else { continue };
            // A stale file may name anybody: only our own program is ended.
            let exe = fs::read_link(format!("/proc/{}/exe", process.pid)).ok();
            if exe.is_none() || exe != fs::canonicalize(&self.bins.superd).ok() {
                continue;
            }
            let below = crate::descendants(process.pid).into_iter().filter_map(Process::open);
            let below: Vec<Process> = below.collect();
            process.signal(libc::SIGTERM);
            if !process.wait(Duration::from_secs(10)) {
                process.kill();
            }
            below.iter().filter(|p| p.lives()).for_each(|p| {
                p.kill();
            });
        }
    }
}

impl Default for World {
    fn default() -> Self {
        World::new()
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.daemons.iter_mut().for_each(Daemon::end);
        self.end_daemonized();
        let seen = std::mem::take(&mut *self.seen.borrow_mut());
        let left = seen.into_values().chain(using(self.root.path()));
        for process in left.filter(Process::lives) {
            process.kill();
        }
        if std::thread::panicking() {
            eprintln!("{}", self.logs());
        }
    }
}

fn set_mode(path: &Path, mode: u32) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}

/// A port that nobody uses and nobody else is given: below those that the system gives to whoever connects.
pub fn free_port() -> u16 {
    const PORTS: std::ops::Range<u16> = 20_000..30_000;
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let width = PORTS.end - PORTS.start;
    // Two runs at once should not begin at the same one.
    let own = u16::try_from(std::process::id() % u32::from(width)).unwrap_or_default();
    let ports = (0..width).map(|_| {
        let next = NEXT.fetch_add(1, Ordering::Relaxed);
        PORTS.start + (own.wrapping_mul(2477) % width + next % width) % width
    });
    let mut free = ports.filter(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok());
    free.next().expect("a free port")
}

/// The path of an installed program; the test fails when it is missing, and says what to install.
pub fn need_tool(name: &str, package: &str) -> PathBuf {
    let dirs = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];
    let found = dirs.iter().map(|dir| Path::new(dir).join(name)).find(|path| path.is_file());
    found.unwrap_or_else(|| {
        panic!("{name} is missing: `cargo xtask test` installs it as root, or install the package {package}")
    })
}

/// Fails the test when it does not run as root.
pub fn need_root() {
    assert!(rustix::process::geteuid().is_root(), "this test changes users: run it as root");
}
