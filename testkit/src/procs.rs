//! Processes by pid: never by name, and never by a pid that may have been given to somebody else.

use crate::Deadline;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use std::collections::BTreeMap;
use std::fs;
use std::os::fd::OwnedFd;
use std::path::Path;
use std::time::Duration;

/// One process, held by a descriptor: the pid cannot be reused under it.
#[derive(Debug)]
pub struct Process {
    /// Its number.
    pub pid: i32,
    fd: OwnedFd,
}

impl Process {
    /// Takes hold of a process; `None` when it is gone.
    pub fn open(pid: i32) -> Option<Process> {
        let fd = pidfd_open(Pid::from_raw(pid)?, PidfdFlags::empty()).ok()?;
        Some(Process { pid, fd })
    }

    /// Sends a signal by number; false when it is gone.
    pub fn signal(&self, number: i32) -> bool {
        let signal = Signal::from_named_raw(number).expect("a signal with a name");
        pidfd_send_signal(&self.fd, signal).is_ok()
    }

    /// KILL; false when it is gone.
    pub fn kill(&self) -> bool {
        self.signal(libc::SIGKILL)
    }

    /// Waits for its end; false when the time was up first. A process that ended but was not reaped yet has
    /// ended.
    pub fn wait(&self, time: Duration) -> bool {
        let deadline = Deadline::after(time);
        loop {
            let left = deadline.left();
            let timeout = Timespec {
                tv_sec: i64::try_from(left.as_secs()).unwrap_or(i64::MAX),
                tv_nsec: i64::from(left.subsec_nanos()),
            };
            let mut fds = [PollFd::new(&self.fd, PollFlags::IN)];
            match poll(&mut fds, Some(&timeout)) {
                Ok(0) => return false,
                Ok(_) => return true,
                // Interrupted by a signal of the test itself.
                Err(_) if !deadline.passed() => {}
                Err(_) => return false,
            }
        }
    }

    /// It has not ended.
    pub fn lives(&self) -> bool {
        !self.wait(Duration::ZERO)
    }

    /// The name in its `comm` file; empty when it is gone.
    pub fn comm(&self) -> String {
        fs::read_to_string(format!("/proc/{}/comm", self.pid)).unwrap_or_default().trim_end().to_string()
    }
}

/// All processes below this one, as they are now.
pub fn descendants(root: i32) -> Vec<i32> {
    let mut children: BTreeMap<i32, Vec<i32>> = BTreeMap::new();
    for entry in fs::read_dir("/proc").expect("/proc is mounted").flatten() {
        let name = entry.file_name();
        let Some(pid) = name.to_str().and_then(|n| n.parse().ok()) else { continue };
        if let Some(parent) = parent_of(pid) {
            children.entry(parent).or_default().push(pid);
        }
    }
    let mut found = Vec::new();
    let mut look_at = vec![root];
    while let Some(pid) = look_at.pop() {
        let below = children.remove(&pid).unwrap_or_default();
        found.extend(&below);
        look_at.extend(below);
    }
    found
}

/// All processes whose working folder or standard streams lie below this folder. Units of a test are found by
/// it even when their keeper was killed: their output goes to a FIFO in the world's runtime folder.
pub(crate) fn using(folder: &Path) -> Vec<Process> {
    let own = i32::try_from(std::process::id()).unwrap_or(0);
    let mut found = Vec::new();
    for entry in fs::read_dir("/proc").expect("/proc is mounted").flatten() {
        let Some(pid) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        // Held first and looked at then: what is seen belongs to what is held.
        let Some(process) = Some(pid).filter(|p| *p != own).and_then(Process::open) else { continue };
        let links = ["cwd", "fd/0", "fd/1", "fd/2"];
        let below =
            |link: &str| fs::read_link(entry.path().join(link)).is_ok_and(|to| to.starts_with(folder));
        if links.into_iter().any(below) {
            found.push(process);
        }
    }
    found
}

fn parent_of(pid: i32) -> Option<i32> {
    let stat = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in brackets may hold anything, blanks and brackets included.
    let after = &stat[stat.rfind(')')? + 1..];
    after.split_whitespace().nth(1)?.parse().ok()
}
