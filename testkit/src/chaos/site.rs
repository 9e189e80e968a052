//! Where a round is played: a world with a configuration of its own, and questions to its superd.

use super::roles::EXPECTED;
use crate::{Bins, Process, World, free_port};
use serde_json::Value;
use std::fs;
use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

/// Whoever answers at all does so within this time.
const ANSWER: Duration = Duration::from_secs(15);
/// The small disk; the writer on it needs a tenth.
const SMALL: &str = "size=12m";

/// A numbered writer and where its streams go.
pub(super) struct Writer {
    /// Name of the program.
    pub(super) name: &'static str,
    /// Lines each 20 ms and stream.
    rate: usize,
    /// Both streams are numbered.
    pub(super) two: bool,
    /// Both go into one file.
    merged: bool,
    /// The log, when it is not its own.
    log: Option<&'static str>,
    maxbytes: &'static str,
}

const fn writer(name: &'static str, rate: usize, maxbytes: &'static str) -> Writer {
    Writer { name, rate, two: false, merged: false, log: None, maxbytes }
}

/// All writers.
pub(super) const WRITERS: [Writer; 7] = [
    writer("plain", 8, "64KB"),
    writer("swift", 60, "256KB"),
    Writer { merged: true, two: true, ..writer("merged", 4, "32KB") },
    Writer { two: true, ..writer("apart", 4, "32KB") },
    Writer { log: Some("logs/shared.log"), ..writer("share1", 4, "32KB") },
    Writer { log: Some("logs/shared.log"), ..writer("share2", 3, "32KB") },
    Writer { log: Some("small/small.log"), ..writer("small", 4, "32KB") },
];

/// Programs that end with a code of their choice and are started again.
pub(super) const CODERS: [&str; 4] = ["coder1", "coder2", "coder3", "coder4"];
/// Programs that the operator stops and starts.
pub(super) const SLEEPERS: [&str; 4] = ["wish1", "wish2", "wish3", "wish4"];
/// Programs that are always up, besides writers and coders.
pub(super) const OTHERS: [&str; 3] = [LISTENER, "server", "web"];
/// The event listener.
pub(super) const LISTENER: &str = "ear";

impl Writer {
    /// Its logs by the streams in them.
    pub(super) fn logs(&self, root: &Path) -> Vec<(PathBuf, Vec<&'static str>)> {
        let out = root.join(self.log.map_or_else(|| format!("logs/{}.log", self.name), str::to_owned));
        let err = root.join(format!("logs/{}.err", self.name));
        match (self.two, self.merged) {
            (true, true) => vec![(out, vec!["out", "err"])],
            (true, false) => vec![(out, vec!["out"]), (err, vec!["err"])],
            (false, _) => vec![(out, vec!["out"])],
        }
    }
}

/// A way to superd.
#[derive(Clone, Debug)]
pub(super) enum Door {
    /// Its socket.
    Unix(PathBuf),
    /// Its port on this machine.
    Tcp(u16),
}

/// Why there is no answer.
#[derive(Debug)]
pub(super) enum Trouble {
    /// Nobody listens.
    Refused(io::Error),
    /// Somebody did, and was gone before he had answered.
    Broken(String),
}

impl Door {
    /// One request: the status and the body.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn ask(&self, request: &str) -> Result<(u16, String), Trouble> {
        self.ask_with(request, "")
    }

    /// The same with a body.
    ///
    /// # Errors
    /// No answer.
    pub(super) fn ask_with(&self, request: &str, body: &str) -> Result<(u16, String), Trouble> {
        match self {
            Door::Unix(path) => {
                let stream = UnixStream::connect(path).map_err(Trouble::Refused)?;
                let _ = stream.set_read_timeout(Some(ANSWER));
                exchange(stream, request, body)
            }
            Door::Tcp(port) => {
                let stream = TcpStream::connect(("127.0.0.1", *port)).map_err(Trouble::Refused)?;
                let _ = stream.set_read_timeout(Some(ANSWER));
                exchange(stream, request, body)
            }
        }
    }

    /// The same for what answers with a document.
    pub(super) fn get(&self, path: &str) -> Option<Value> {
        let (status, body) = self.ask(&format!("GET {path}")).ok()?;
        if status == 200 { serde_json::from_str(&body).ok() } else { None }
    }
}

fn exchange(mut stream: impl Read + Write, request: &str, body: &str) -> Result<(u16, String), Trouble> {
    let broken = |e: io::Error| Trouble::Broken(e.to_string());
    let head = format!(
        "{request} HTTP/1.0\r\nHost: localhost\r\nContent-Type: text/xml\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    stream.write_all(head.as_bytes()).map_err(broken)?;
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).map_err(broken)?;
    let text = String::from_utf8_lossy(&bytes);
    let (head, body) = text.split_once("\r\n\r\n").ok_or_else(|| Trouble::Broken("no head".into()))?;
    let status = head.split_whitespace().nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let length = head.lines().find_map(|l| {
        let (name, value) = l.split_once(':')?;
        name.eq_ignore_ascii_case("content-length").then(|| value.trim().parse::<usize>().ok())?
    });
    match length {
        Some(length) if length != body.len() => Err(Trouble::Broken("half a body".into())),
        _ => Ok((status, body.to_owned())),
    }
}

/// The world of a round.
pub(super) struct Site {
    /// Where everything is.
    pub(super) world: World,
    /// Where the programs make their notes.
    pub(super) notes: PathBuf,
    /// Names of a deadly place go here.
    pub(super) failpoint: PathBuf,
    /// Our socket.
    pub(super) unix: Door,
    /// Our port.
    pub(super) tcp: Door,
    /// Port of the program that listens itself.
    pub(super) server: u16,
    /// Port whose socket superd holds for a program.
    pub(super) web: u16,
    /// The small disk, when it could be made.
    pub(super) small: Option<SmallDisk>,
    actor: PathBuf,
}

impl Site {
    /// Everything in place, nothing started.
    pub(super) fn new(bins: &Bins, time: Duration) -> Site {
        let mut world = World::with(bins.clone());
        world.allow(time);
        let actor = bins.actor.with_file_name("chaos");
        let actor = crate::bins::built(&actor, "supers-testkit").to_path_buf();
        let notes = world.path("notes");
        for dir in ["notes", "conf.d", "logs", "small"] {
            fs::create_dir(world.path(dir)).unwrap();
        }
        let failpoint = world.path("failpoint");
        world.env("SUPERS_FAILPOINT_FILE", &failpoint.display().to_string());
        let small = SmallDisk::mount(world.path("small"));
        let (door, server, web) = (free_port(), free_port(), free_port());
        let mut site = Site {
            unix: Door::Unix(world.path("s.sock")),
            tcp: Door::Tcp(door),
            world,
            notes,
            failpoint,
            server,
            web,
            small,
            actor,
        };
        let text = site.config(door);
        site.world.ini(&text);
        site
    }

    /// The line that starts one of our programs.
    fn command(&self, role: &str, name: &str, more: &str) -> String {
        format!("command={} {role} {} {name} {more}\n", self.actor.display(), self.notes.display())
    }

    fn config(&self, port: u16) -> String {
        let mut text = format!(
            "[supervisord]\nlogfile={{root}}/superd.log\nlogfile_maxbytes=0\npidfile={{root}}/superd.pid\n\
             childlogdir={{root}}/logs\nidentifier=chaos\n\
             [unix_http_server]\nfile={{root}}/s.sock\n[inet_http_server]\nport=127.0.0.1:{port}\n\
             [supervisorctl]\nserverurl=unix://{{root}}/s.sock\n[include]\nfiles={{root}}/conf.d/*.conf\n"
        );
        for w in &WRITERS {
            let streams = if w.two { "two" } else { "one" };
            text += &format!("[program:{}]\n", w.name);
            text += &self.command("writer", w.name, &format!("{streams} {}", w.rate));
            let logs = w.logs(self.world.root());
            for (stream, (path, _)) in ["stdout", "stderr"].iter().zip(&logs) {
                let path = path.display();
                text += &format!("{stream}_logfile={path}\n{stream}_logfile_maxbytes={}\n", w.maxbytes);
                text += &format!("{stream}_logfile_backups=3000\n");
            }
            text += &format!("redirect_stderr={}\nstartsecs=0\nautorestart=true\n", w.merged);
        }
        let [a, b] = EXPECTED;
        for name in CODERS {
            text += &format!("[program:{name}]\n{}", self.command("coder", name, ""));
            text += &format!("startsecs=0\nautorestart=true\nexitcodes={a},{b}\n");
        }
        for name in SLEEPERS {
            text += &format!("[program:{name}]\n{}startsecs=0\n", self.command("sleeper", name, ""));
        }
        text += &format!("[program:server]\n{}", self.command("server", "server", &self.server.to_string()));
        text += "startsecs=0\n";
        text += &format!("[fcgi-program:web]\nsocket=tcp://127.0.0.1:{}\n", self.web);
        text += &self.command("fcgi", "web", "");
        text += "startsecs=0\nautorestart=true\n";
        text += &format!("[eventlistener:ear]\n{}", self.command("listener", "ear", ""));
        text += "events=PROCESS_STATE\nbuffer_size=100000\nstartsecs=0\nautorestart=true\n";
        // What it prints is dropped as configured, so nobody counts it; it makes rotations without backups, at
        // a size that is reached at the end of a line.
        text += "[program:noise]\ncommand={actor} spew-lines 1000000000 1ms\nstartsecs=0\nautorestart=true\n\
                 stdout_logfile={root}/logs/noise.log\nstdout_logfile_maxbytes=2640\nstdout_logfile_backups=0\n";
        text + &self.once(0)
    }

    /// A program that is to run exactly once.
    pub(super) fn once(&self, number: usize) -> String {
        let name = format!("once{number}");
        format!("[program:{name}]\n{}startsecs=0\nautorestart=false\n", self.command("once", &name, ""))
    }

    /// Starts superd in the background and waits until it answers; whether it did.
    pub(super) fn start(&self) -> Result<(), String> {
        let end = self.world.run(self.world.command_superd(&["-d"]));
        match end.code {
            0 => self.until("superd answers", || self.version()).map(drop),
            _ => Err(format!("superd -d: {end:?}")),
        }
    }

    /// What superd says of itself.
    pub(super) fn version(&self) -> Option<Version> {
        let v = self.unix.get("/api/v1/version")?;
        let number = |key: &str| v[key].as_i64().and_then(|n| i32::try_from(n).ok());
        Some(Version { keeper: number("pid")?, daemon: number("daemon_pid")? })
    }

    /// All programs.
    pub(super) fn status(&self) -> Result<crate::Programs, String> {
        self.until("the status", || programs(&self.unix))
    }

    /// Waits for a fact.
    pub(super) fn until<T>(&self, what: &str, fact: impl Fn() -> Option<T>) -> Result<T, String> {
        let give_up = Instant::now() + ANSWER;
        loop {
            if let Some(found) = fact() {
                return Ok(found);
            }
            if Instant::now() > give_up {
                return Err(format!("never came: {what}"));
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// This process runs one of our programs.
    pub(super) fn is_ours(&self, pid: i32) -> bool {
        fs::read_link(format!("/proc/{pid}/exe")).ok() == fs::canonicalize(&self.actor).ok()
    }

    /// Processes of our programs that live.
    pub(super) fn living(&self) -> Vec<Process> {
        let using = crate::procs::using(self.world.root()).into_iter();
        using.filter(|p| self.is_ours(p.pid)).filter(Process::lives).collect()
    }
}

/// The programs of a status.
pub(super) fn programs(door: &Door) -> Option<crate::Programs> {
    let v = door.get("/api/v1/status")?;
    Some(crate::Programs(v["programs"].as_array()?.clone()))
}

/// The two processes of superd.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Version {
    /// *The* pid.
    pub(super) keeper: i32,
    /// The daemon below it.
    pub(super) daemon: i32,
}

/// A small file system in memory.
pub(super) struct SmallDisk(PathBuf);

impl SmallDisk {
    /// Takes root.
    fn mount(at: PathBuf) -> Option<SmallDisk> {
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", SMALL, "chaos"]).arg(&at).stderr(Stdio::null());
        mount.status().is_ok_and(|s| s.success()).then_some(SmallDisk(at))
    }

    fn ballast(&self) -> PathBuf {
        self.0.join("ballast")
    }

    /// Nothing more goes in.
    pub(super) fn fill(&self) -> io::Result<()> {
        let mut file = fs::File::create(self.ballast())?;
        let block = [0; 4096];
        loop {
            match file.write_all(&block) {
                Ok(()) => {}
                Err(e) if e.kind() == io::ErrorKind::StorageFull => return Ok(()),
                Err(e) => return Err(e),
            }
        }
    }

    /// There is room again.
    pub(super) fn free(&self) {
        let _ = fs::remove_file(self.ballast());
    }
}

impl Drop for SmallDisk {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).stderr(Stdio::null()).status();
    }
}
