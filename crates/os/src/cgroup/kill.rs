//! Signals to all of a group, and its end.
//!
//! Where `cgroup.kill` is missing, processes are killed one by one, and whoever starts new ones
//! meanwhile must be held: by freezing, or by a limit of no processes. No process is ever signalled by
//! its bare number: it is held by a pidfd, and found to be in the group after that.

use super::{DEPTH, Group, Kind, absent_is, find, populated, subfolders};
use crate::errno::{check, retry};
use crate::poll::wait_readable;
use crate::{clock, reap};
use std::collections::HashSet;
use std::fs::{self, File};
use std::io::{self, Read, Seek};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::path::Path;
use std::time::Duration;
use supers_core::ids::Pid;
use supers_core::signal::Signal;

/// Listings of a held group until no new process appears in it. Each process can finish at most the
/// system call in which it was met, so a few are enough.
const LISTINGS: usize = 1000;

/// Rounds of killing what is listed.
const ROUNDS: usize = 200;

/// A point in time up to which is waited.
pub(crate) struct Until(u64);

impl Until {
    pub(crate) fn after(time: Duration) -> Until {
        let time = u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        Until(clock::monotonic_ns().saturating_add(time))
    }

    pub(crate) fn left(&self) -> Duration {
        Duration::from_nanos(self.0.saturating_sub(clock::monotonic_ns()))
    }
}

impl Group {
    /// Processes in it and in the groups below it. (Zombies are none.)
    ///
    /// # Errors
    /// The kernel's; a group that is not there has none.
    pub fn processes(&self) -> io::Result<Vec<Pid>> {
        let mut all = Vec::new();
        list(&self.folder, DEPTH, &mut all)?;
        Ok(all)
    }

    /// Sends a signal to every process in it, except those of the process group `but`, who were told
    /// already; how many were told now.
    ///
    /// # Errors
    /// The list cannot be read.
    pub fn signal_all(&self, signal: Signal, but: Option<Pid>) -> io::Result<usize> {
        let others = self.processes()?.into_iter().filter(|pid| but.is_none() || group_of(*pid) != but);
        Ok(others.filter(|pid| self.signal(*pid, signal).is_some()).count())
    }

    /// Orders the end of all by one write, where the kernel can do that; does not wait for it. With
    /// many groups to end, strike all before [`Group::kill_all`] waits for each.
    pub fn strike(&self) -> bool {
        self.kind == Kind::V2 && fs::write(self.folder.join("cgroup.kill"), "1").is_ok()
    }

    /// Ends everything in the group and waits, at most so long; how many are left then.
    ///
    /// # Errors
    /// The kernel's. A group that is not there has no processes.
    pub fn kill_all(&self, patience: Duration) -> io::Result<usize> {
        let until = Until::after(patience);
        if self.strike() {
            return match self.wait_empty(&until)? {
                true => Ok(0),
                false => self.processes().map(|p| p.len()),
            };
        }
        self.kill_one_by_one(&until)
    }

    fn kill_one_by_one(&self, until: &Until) -> io::Result<usize> {
        for _ in 0..ROUNDS {
            if self.is_empty()? {
                return Ok(0);
            }
            let killed = self.kill_held()?;
            if !wait_ended(&killed, until) || until.left().is_zero() {
                break;
            }
        }
        self.processes().map(|p| p.len())
    }

    /// Kills what is listed while the group is held, until no more appear.
    fn kill_held(&self) -> io::Result<Vec<OwnedFd>> {
        let _held = Held::hold(self);
        let (mut met, mut killed) = (HashSet::new(), Vec::new());
        for _ in 0..LISTINGS {
            let before = met.len();
            // Asked before the listing: what it lists is then all that there is.
            let still = self.is_still();
            for pid in self.processes()? {
                if !met.contains(&pid)
                    && let Some(pidfd) = self.signal(pid, Signal::KILL)
                {
                    met.insert(pid);
                    killed.push(pidfd);
                }
            }
            if still && met.len() == before {
                break;
            }
        }
        Ok(killed)
    }

    /// Nobody in it can start another process.
    fn is_still(&self) -> bool {
        match self.kind {
            // Who is told to die does not fork any more, and the freezing only has to slow down those
            // who were not listed yet: the rounds see to them.
            Kind::V2 | Kind::V1Pids => true,
            Kind::V1Freezer => {
                let state = fs::read_to_string(self.folder.join("freezer.state"));
                // An error: it is gone.
                state.map_or(true, |s| s.trim_end() == "FROZEN")
            }
        }
    }

    /// Sends a signal to a process if it is in the group. Its descriptor, when the signal was sent.
    fn signal(&self, pid: Pid, signal: Signal) -> Option<OwnedFd> {
        let pidfd = reap::pidfd_open(pid).ok()?;
        // After the descriptor: if the number was given to another process before it was opened, this
        // shows; if after, the descriptor's process is gone and the signal goes nowhere.
        let groups = fs::read(format!("/proc/{}/cgroup", pid.0)).ok()?;
        let path = find::path_in(&groups, self.kind)?;
        let below = path.strip_prefix(&*self.path)?;
        (below.is_empty() || below.starts_with(b"/")).then_some(())?;
        reap::pidfd_signal(&pidfd, signal).ok().map(|()| pidfd)
    }

    /// Waits until nothing in it lives; v2 only. False when the time was up first.
    fn wait_empty(&self, until: &Until) -> io::Result<bool> {
        let Some(mut events) = absent_is(File::open(self.folder.join("cgroup.events")).map(Some), None)?
        else {
            return Ok(true);
        };
        let mut text = String::new();
        loop {
            text.clear();
            events.rewind()?;
            absent_is(events.read_to_string(&mut text), 0)?;
            if !populated(&text) {
                return Ok(true);
            }
            if !wait_changed(&events, until.left())? {
                return Ok(false);
            }
        }
    }
}

/// Waits for a change of one of the kernel's event files since it was read; false when the time is up.
fn wait_changed(file: &File, time: Duration) -> io::Result<bool> {
    let mut entry = libc::pollfd { fd: file.as_raw_fd(), events: libc::POLLPRI, revents: 0 };
    // Rounded up, so that a rest of a millisecond is not spun through.
    let millis = i32::try_from(time.as_nanos().div_ceil(1_000_000)).unwrap_or(i32::MAX);
    if millis == 0 {
        return Ok(false);
    }
    // SAFETY: one valid entry.
    retry(|| check(unsafe { libc::poll(&raw mut entry, 1, millis) })).map(|n| n > 0)
}

/// Waits for the end of all; false when the time was up first.
pub(crate) fn wait_ended(pidfds: &[OwnedFd], until: &Until) -> bool {
    pidfds.iter().all(|fd| wait_readable(fd.as_fd(), Some(until.left())).unwrap_or(true))
}

/// The process group of a process; `None` when it is gone.
pub(crate) fn group_of(pid: Pid) -> Option<Pid> {
    // SAFETY: plain number.
    check(unsafe { libc::getpgid(pid.0) }).ok().map(Pid)
}

fn list(folder: &Path, depth: usize, all: &mut Vec<Pid>) -> io::Result<()> {
    let text = match fs::read_to_string(folder.join("cgroup.procs")) {
        // A group of threads; its processes are listed above it.
        Err(e) if e.raw_os_error() == Some(libc::EOPNOTSUPP) => String::new(),
        other => absent_is(other, String::new())?,
    };
    // 0 is a process of another pid namespace: we could not signal it.
    all.extend(text.lines().filter_map(|l| l.parse().ok()).filter(|n| *n > 0).map(Pid));
    if let Some(depth) = depth.checked_sub(1) {
        for child in subfolders(folder) {
            list(&child, depth, all)?;
        }
    }
    Ok(())
}

/// A group in which nobody gets far, until this is dropped. Where holding fails the rounds must do.
struct Held<'a>(&'a Group);

impl Held<'_> {
    fn hold(group: &Group) -> Held<'_> {
        let (file, value) = match group.kind {
            Kind::V2 => ("cgroup.freeze", "1"),
            Kind::V1Freezer => ("freezer.state", "FROZEN"),
            Kind::V1Pids => ("pids.max", "0"),
        };
        let _ = fs::write(group.folder.join(file), value);
        Held(group)
    }
}

impl Drop for Held<'_> {
    fn drop(&mut self) {
        let folder = &self.0.folder;
        match self.0.kind {
            Kind::V2 => drop(fs::write(folder.join("cgroup.freeze"), "0")),
            // What the unit itself froze below must thaw, too: a frozen process does not die.
            Kind::V1Freezer => thaw(folder, DEPTH),
            Kind::V1Pids => drop(fs::write(folder.join("pids.max"), "max")),
        }
    }
}

fn thaw(folder: &Path, depth: usize) {
    let _ = fs::write(folder.join("freezer.state"), "THAWED");
    if let Some(depth) = depth.checked_sub(1) {
        subfolders(folder).iter().for_each(|child| thaw(child, depth));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cgroup::{Tree, places_here};
    use crate::spawn::{Method, Plan, spawn};
    use std::ffi::CString;

    /// Before 5.14 there is no `cgroup.kill`.
    #[test]
    fn a_v2_group_of_an_older_kernel_ends_one_by_one() {
        let place = places_here().into_iter().find(|p| p.kind == Kind::V2);
        let tree = place.map(|p| Tree::make(&p, &format!("test-old-{}", crate::process::pid())));
        let Some(Ok(tree)) = tree else { return eprintln!("no v2 here") };
        let group = tree.group("web");
        // The shells go on making new ones, not for ever; the groups below must be met, too.
        let below = Group {
            folder: group.folder.join("below"),
            path: [&*group.path, b"/below"].concat(),
            ..group.clone()
        };
        let script = "i=0; while [ $i -lt 3000 ]; do (:) & i=$((i+1)); done; exec sleep 86400";
        let words = ["sh", "-c", script].map(|w| CString::new(w).unwrap());
        let mains = [&group, &below].map(|group| {
            let mut plan = Plan::new(c"/bin/sh".into(), words.clone().into());
            plan.env = vec![c"PATH=/usr/bin:/bin".into()];
            plan.cgroup = Some(group.join().unwrap());
            spawn(&plan, Method::Own).unwrap()
        });
        assert!(!group.is_empty().unwrap());
        let left = group.kill_one_by_one(&Until::after(Duration::from_secs(20))).unwrap();
        assert_eq!((left, group.processes().unwrap().len()), (0, 0));
        for main in mains {
            let killed = supers_core::exit::Exit::Signal { signal: Signal::KILL, core: false };
            assert_eq!(reap::wait(main.pid).unwrap(), killed);
        }
        assert_eq!(tree.remove().unwrap(), crate::cgroup::Removed::Gone);
    }
}
