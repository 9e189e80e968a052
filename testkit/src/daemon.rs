//! One `superd` that a test started, and what it said.

use crate::procs::{Process, descendants};
use crate::{Deadline, Finished};
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::Duration;

/// The line that says that the socket answers and that autostart has begun.
const READY: &str = "superd ready";

/// How long an ordered stop may take before everything is killed.
const LAST_PATIENCE: Duration = Duration::from_secs(10);

/// A `superd` in the foreground: the keeper, and below it the daemon and the units.
#[derive(Debug)]
pub struct Daemon {
    child: Child,
    keeper: Process,
    said: Arc<Said>,
    readers: Vec<JoinHandle<()>>,
    ended: Option<i32>,
}

/// Lines of both streams in order of arrival.
#[derive(Debug, Default)]
struct Said {
    lines: Mutex<Lines>,
    more: Condvar,
}

#[derive(Debug, Default)]
struct Lines {
    both: Vec<String>,
    stdout: String,
    stderr: String,
}

impl Said {
    fn read(&self, stream: impl Read, which: fn(&mut Lines) -> &mut String) {
        let mut reader = BufReader::new(stream);
        let mut bytes = Vec::new();
        while reader.read_until(b'\n', &mut bytes).is_ok_and(|n| n > 0) {
            let text = String::from_utf8_lossy(&bytes);
            let mut lines = self.lines.lock().unwrap();
            which(&mut lines).push_str(&text);
            lines.both.push(text.trim_end_matches(['\r', '\n']).to_string());
            drop(lines);
            self.more.notify_all();
            bytes.clear();
        }
    }
}

impl Daemon {
    /// Starts it and keeps reading what it says.
    pub(crate) fn start(mut command: Command) -> Daemon {
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
        // It is our child: its pid stays its own until we wait for it.
        let keeper = Process::open(i32::try_from(child.id()).unwrap()).expect("a pidfd of our child");
        let said = Arc::new(Said::default());
        let (out, err) = (child.stdout.take().unwrap(), child.stderr.take().unwrap());
        let (a, b) = (Arc::clone(&said), Arc::clone(&said));
        let readers = vec![
            std::thread::spawn(move || a.read(out, |l| &mut l.stdout)),
            std::thread::spawn(move || b.read(err, |l| &mut l.stderr)),
        ];
        Daemon { child, keeper, said, readers, ended: None }
    }

    /// *The* pid: the keeper's.
    pub fn pid(&self) -> i32 {
        self.keeper.pid
    }

    /// The daemon proper: the keeper's child that runs the same program. The keeper itself when there is
    /// none (`--no-keeper`).
    pub fn daemon_pid(&self) -> i32 {
        let exe = |pid: i32| std::fs::read_link(format!("/proc/{pid}/exe")).ok();
        let own = exe(self.pid());
        descendants(self.pid()).into_iter().find(|p| own.is_some() && exe(*p) == own).unwrap_or(self.pid())
    }

    /// Sends a signal to *the* pid.
    pub fn signal(&self, number: i32) {
        assert!(self.keeper.signal(number), "superd (pid {}) is gone; it said:\n{}", self.pid(), self.log());
    }

    /// All it said so far, both streams in order of arrival.
    pub fn log(&self) -> String {
        self.said.lines.lock().unwrap().both.join("\n")
    }

    /// Waits until it has said something that holds this text; that line.
    pub fn wait_line(&self, text: &str, deadline: Deadline) -> String {
        let mut lines = self.said.lines.lock().unwrap();
        loop {
            if let Some(line) = lines.both.iter().find(|l| l.contains(text)) {
                return line.clone();
            }
            if !self.keeper.lives() && self.readers.iter().all(JoinHandle::is_finished) {
                panic!("superd ended without saying {text:?}; it said:\n{}", lines.both.join("\n"));
            }
            assert!(!deadline.passed(), "superd did not say {text:?}; it said:\n{}", lines.both.join("\n"));
            // Bounded, because the end of the process wakes nobody here.
            let bound = deadline.left().min(Duration::from_millis(50));
            lines = self.said.more.wait_timeout(lines, bound).unwrap().0;
        }
    }

    /// Waits until the socket answers.
    pub(crate) fn wait_ready(&self, deadline: Deadline) {
        self.wait_line(READY, deadline);
    }

    /// Waits until it says anything more, at most `bound`.
    pub(crate) fn pause(&self, bound: Duration) {
        let lines = self.said.lines.lock().unwrap();
        drop(self.said.more.wait_timeout(lines, bound).unwrap());
    }

    /// Waits for its end; the exit code, or the signal's number negated.
    pub fn wait(&mut self, deadline: Deadline) -> i32 {
        if let Some(code) = self.ended {
            return code;
        }
        assert!(self.keeper.wait(deadline.left()), "superd did not end in time; it said:\n{}", self.log());
        self.reap()
    }

    /// Waits for its end and hands over all it said.
    pub fn finish(mut self, deadline: Deadline) -> Finished {
        let code = self.wait(deadline);
        while !self.readers.iter().all(JoinHandle::is_finished) {
            assert!(
                !deadline.passed(),
                "it ended, but somebody below it holds its output open:\n{}",
                self.log()
            );
            self.pause(Duration::from_millis(5));
        }
        let lines = self.said.lines.lock().unwrap();
        Finished { code, stdout: lines.stdout.clone(), stderr: lines.stderr.clone() }
    }

    /// TERM, and the ordered end.
    pub fn stop(&mut self, deadline: Deadline) -> i32 {
        self.signal(libc::SIGTERM);
        self.wait(deadline)
    }

    fn reap(&mut self) -> i32 {
        use std::os::unix::process::ExitStatusExt;
        let status = self.child.wait().expect("our child's status");
        let code = status.code().unwrap_or_else(|| -status.signal().unwrap_or(0));
        self.ended = Some(code);
        code
    }

    /// Ends it and everything below it: first the ordered way, then by KILL.
    pub(crate) fn end(&mut self) {
        if self.ended.is_some() {
            return;
        }
        // Taken before the stop: a child that escapes its dying parent is found all the same.
        let mut below: Vec<Process> = descendants(self.pid()).into_iter().filter_map(Process::open).collect();
        self.keeper.signal(libc::SIGTERM);
        if !self.keeper.wait(LAST_PATIENCE) {
            // Again, for those that were started meanwhile. The keeper first: it would start others.
            below.extend(descendants(self.pid()).into_iter().filter_map(Process::open));
            self.keeper.kill();
        }
        self.reap();
        for process in below.iter().filter(|p| p.lives()) {
            process.kill();
        }
    }
}

impl Drop for Daemon {
    fn drop(&mut self) {
        self.end();
    }
}
