//! Finding all processes of a unit where there are no control groups.
//!
//! A process is a unit's when it is in the session or process group of the unit's main process, when
//! it carries the unit's [`Tag`], or when it descends from such a one. The tag is the value of a limit
//! that the kernel keeps but has not looked at since version 2.4 (locks on files): a number near
//! infinity that every child inherits through double forks, sessions, changes of user and wiped
//! environments. A program can lose it only by setting this very limit.
//!
//! Everything here is a race against processes that start others, so it is done in passes until two
//! find nobody. A control group needs no luck.

use crate::cgroup::fnv1a;
use crate::cgroup::kill::{Until, group_of, wait_ended};
use crate::errno::check;
use crate::{poll, process, reap};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::fs::MetadataExt;
use std::time::Duration;
use supers_core::ids::Pid;
use supers_core::signal::Signal;

/// Passes before we give up on who starts processes faster than we end them.
const PASSES: usize = 500;

/// Descriptors of killed processes that are held before they are waited for.
const HELD: usize = 256;

/// What all processes of a unit carry.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Tag(u64);

impl Tag {
    /// The tag of a unit of one daemon. The same for each start of it, and another one in another
    /// container, even when daemons of one name see each other's processes.
    pub fn new(daemon: &str, unit: &str) -> Tag {
        let mut whole = format!("{daemon}\0{unit}").into_bytes();
        for namespace in ["pid", "mnt"] {
            let inode = fs::metadata(format!("/proc/self/ns/{namespace}")).map_or(0, |m| m.ino());
            whole.extend_from_slice(&inode.to_ne_bytes());
        }
        // Far above any limit that somebody means, and below infinity.
        Tag((1 << 62) | (fnv1a(&whole) >> 4))
    }

    /// The value of the limit.
    pub(crate) fn value(self) -> u64 {
        self.0
    }
}

/// A unit whose processes are sought.
#[derive(Clone, Debug)]
pub struct Target {
    /// What they carry.
    pub tag: Tag,
    /// The main process: alive, or a zombie that nobody reaps meanwhile.
    pub main: Pid,
    /// Others that were known to be the unit's, with their start times.
    pub known: Vec<(Pid, u64)>,
}

/// What came of it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Processes that were killed.
    pub killed: usize,
    /// Some may be left: they do not die, or the passes were used up.
    pub left: bool,
}

/// Ends all processes of these units, the main ones included, and waits for their ends; one outcome a
/// unit. `reaper`: who becomes the parent of orphans.
pub fn kill_all(targets: &[Target], reaper: Option<Pid>, patience: Duration) -> Vec<Outcome> {
    let mut hunt = Hunt::new(targets, reaper, Until::after(patience));
    hunt.known(targets);
    // Who runs away by forking is met among the reaper's children, a short list; who hangs elsewhere, in
    // all of /proc. Both must be quiet, one after the other, the list twice.
    let lists = if reaper.is_some() { 2 } else { 0 };
    let (mut short, mut whole) = (0, 0);
    for _ in 0..PASSES {
        let all = whole == 0 && short >= lists || reaper.is_none() || !hunt.begun;
        hunt.begun = true;
        match (hunt.pass(all) & hunt.wait(), all) {
            (false, _) => (short, whole) = (0, 0),
            (true, true) => whole += 1,
            (true, false) => short += 1,
        }
        if hunt.stuck || short >= lists && whole + short >= 3 {
            break;
        }
    }
    if whole + short < 3 {
        hunt.outcomes.iter_mut().for_each(|o| o.left |= o.killed > 0);
    }
    hunt.outcomes
}

/// Sends a signal to all processes of a unit but those in the process group of its main one, who were
/// told already. Everybody found, with start times, for [`Target::known`].
pub fn signal_all(target: &Target, reaper: Option<Pid>, signal: Signal) -> Vec<(Pid, u64)> {
    let hunt = Hunt::new(std::slice::from_ref(target), reaper, Until::after(Duration::ZERO));
    let mut found = HashMap::new();
    for pid in all_processes() {
        if let Some((_, pidfd)) = hunt.hold(pid) {
            hunt.family(pid, pidfd).into_iter().for_each(|(pid, pidfd)| drop(found.insert(pid, pidfd)));
        }
    }
    let known = |(pid, pidfd): (Pid, OwnedFd)| {
        let start = process::start_time(pid.0).ok()?;
        if group_of(pid) != Some(target.main) {
            reap::pidfd_signal(&pidfd, signal).ok()?;
        }
        is_alive(&pidfd).then_some((pid, start))
    };
    found.into_iter().filter_map(known).collect()
}

/// A search under way.
struct Hunt {
    tags: HashMap<u64, usize>,
    mains: HashMap<Pid, usize>,
    reaper: Option<Pid>,
    until: Until,
    outcomes: Vec<Outcome>,
    /// Killed and not yet waited for.
    dying: Vec<OwnedFd>,
    /// Seen to have ended: not news a second time.
    ended: HashSet<Pid>,
    /// There was a pass.
    begun: bool,
    /// Somebody does not die, or the time is up.
    stuck: bool,
}

impl Hunt {
    fn new(targets: &[Target], reaper: Option<Pid>, until: Until) -> Hunt {
        let targets_of = || targets.iter().enumerate();
        Hunt {
            tags: targets_of().map(|(i, t)| (t.tag.value(), i)).collect(),
            mains: targets_of().filter(|(_, t)| t.main.0 > 1).map(|(i, t)| (t.main, i)).collect(),
            reaper,
            until,
            outcomes: vec![Outcome::default(); targets.len()],
            dying: Vec::new(),
            ended: HashSet::new(),
            begun: false,
            stuck: false,
        }
    }

    /// Kills those who were seen before, wherever they hang now.
    fn known(&mut self, targets: &[Target]) {
        for (owner, target) in targets.iter().enumerate() {
            for (pid, start) in &target.known {
                // The descriptor first: what is learned after it is about its process, or that one is gone.
                let Ok(pidfd) = reap::pidfd_open(*pid) else { continue };
                let same = process::start_time(pid.0).is_ok_and(|s| s == *start);
                if same && is_alive(&pidfd) && !self.is_ours(*pid) {
                    self.kill_family(*pid, pidfd, owner);
                }
            }
        }
        self.wait();
    }

    /// Kills everybody who is found, newest first. True when nobody was found, and nobody ended under our
    /// eyes who may have left a child that we did not see.
    fn pass(&mut self, all: bool) -> bool {
        let mut candidates = match self.reaper {
            Some(reaper) if !all => children_of(reaper),
            Some(_) | None => all_processes(),
        };
        candidates.reverse();
        // In all of /proc somebody ends all the time, which means nothing; but without a reaper there is
        // no better sign.
        let heed_ends = !all || self.reaper.is_none();
        let mut quiet = true;
        for pid in candidates {
            if let Some((owner, pidfd)) = self.hold(pid) {
                quiet = false;
                self.kill_family(pid, pidfd, owner);
            } else if heed_ends && (group_of(pid).is_none() || self.owner(pid).is_some()) {
                quiet &= !self.ended.insert(pid);
            }
        }
        quiet
    }

    /// Whose this process is by what it carries.
    fn owner(&self, pid: Pid) -> Option<usize> {
        if self.is_ours(pid) {
            return None;
        }
        let by_group = || self.mains.get(&group_of(pid)?).copied();
        let by_session = || self.mains.get(&session_of(pid)?).copied();
        let by_tag = || self.tags.get(&tag_of(pid)?).copied();
        by_group().or_else(by_session).or_else(by_tag)
    }

    /// This process, who reaps, and the first of all are never anybody's.
    fn is_ours(&self, pid: Pid) -> bool {
        pid.0 <= 1 || pid.0 == process::pid() || Some(pid) == self.reaper
    }

    /// Whose this process is, and its descriptor; `None` when it is nobody's or has ended.
    fn hold(&self, pid: Pid) -> Option<(usize, OwnedFd)> {
        // Asked twice, since most are nobody's, and only with the descriptor in hand it is certain.
        self.owner(pid)?;
        let pidfd = reap::pidfd_open(pid).ok()?;
        let owner = self.owner(pid)?;
        is_alive(&pidfd).then_some((owner, pidfd))
    }

    /// A process and its living descendants, each held by a descriptor.
    fn family(&self, pid: Pid, pidfd: OwnedFd) -> Vec<(Pid, OwnedFd)> {
        let mut all = vec![(pid, pidfd)];
        let mut seen = HashSet::from([pid]);
        let mut at = 0;
        while let Some(parent) = all.get(at).map(|(pid, _)| *pid) {
            for child in children_of(parent) {
                if self.is_ours(child) || !seen.insert(child) {
                    continue;
                }
                let Ok(pidfd) = reap::pidfd_open(child) else { continue };
                // As above; and a parent that lives is the one that we know.
                let related = parent_of(child) == Some(parent);
                if related && is_alive(&pidfd) && all.get(at).is_some_and(|(_, fd)| is_alive(fd)) {
                    all.push((child, pidfd));
                }
            }
            at += 1;
        }
        all
    }

    /// Kills a process and its descendants.
    fn kill_family(&mut self, pid: Pid, pidfd: OwnedFd, owner: usize) {
        for (_, pidfd) in self.family(pid, pidfd) {
            if reap::pidfd_signal(&pidfd, Signal::KILL).is_ok() {
                if let Some(outcome) = self.outcomes.get_mut(owner) {
                    outcome.killed += 1;
                }
                self.dying.push(pidfd);
            }
        }
        if self.dying.len() > HELD {
            self.wait();
        }
    }

    /// Waits for those who were killed; false when one does not die.
    fn wait(&mut self) -> bool {
        let ended = wait_ended(&self.dying, &self.until);
        self.dying.clear();
        self.stuck |= !ended || self.until.left().is_zero();
        ended
    }
}

fn is_alive(pidfd: &OwnedFd) -> bool {
    !poll::wait_readable(pidfd.as_fd(), Some(Duration::ZERO)).unwrap_or(true)
}

fn session_of(pid: Pid) -> Option<Pid> {
    // SAFETY: plain number.
    check(unsafe { libc::getsid(pid.0) }).ok().map(Pid)
}

/// The hard limit that carries the tag.
fn tag_of(pid: Pid) -> Option<u64> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let place = &raw mut limit;
    // SAFETY: a valid place for the answer; nothing is set.
    match check(unsafe { libc::prlimit64(pid.0, libc::RLIMIT_LOCKS as _, std::ptr::null(), place) }) {
        Ok(_) => Some(limit.rlim_max),
        // Another user's, and we lack the capability; the text is for everybody.
        Err(e) if e.raw_os_error() == Some(libc::EPERM) => {
            locks_in(&fs::read_to_string(format!("/proc/{}/limits", pid.0)).ok()?)
        }
        Err(_) => None,
    }
}

/// The hard limit of `Max file locks` in a text as `/proc/PID/limits` has it; `None` is unlimited.
fn locks_in(limits: &str) -> Option<u64> {
    let line = limits.lines().find_map(|l| l.strip_prefix("Max file locks"))?;
    line.split_ascii_whitespace().nth(1)?.parse().ok()
}

/// Children of a process, oldest first; none where the kernel has no such lists.
fn children_of(pid: Pid) -> Vec<Pid> {
    let threads = fs::read_dir(format!("/proc/{}/task", pid.0)).into_iter().flatten().flatten();
    let lists = threads.filter_map(|thread| fs::read_to_string(thread.path().join("children")).ok());
    lists.flat_map(|list| numbers(list.split_ascii_whitespace())).collect()
}

fn parent_of(pid: Pid) -> Option<Pid> {
    let status = fs::read_to_string(format!("/proc/{}/status", pid.0)).ok()?;
    status.lines().find_map(|l| l.strip_prefix("PPid:")?.trim().parse().ok()).map(Pid)
}

/// Everybody that we can see.
fn all_processes() -> Vec<Pid> {
    let entries = fs::read_dir("/proc").into_iter().flatten().flatten();
    let names: Vec<_> = entries.map(|e| e.file_name()).collect();
    numbers(names.iter().filter_map(|n| n.to_str()))
}

fn numbers<'a>(words: impl Iterator<Item = &'a str>) -> Vec<Pid> {
    words.filter_map(|w| w.parse().ok()).map(Pid).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_differ_and_are_next_to_infinite() {
        let (a, b, c) = (Tag::new("d", "a"), Tag::new("d", "b"), Tag::new("e", "a"));
        assert!(a != b && a != c && a == Tag::new("d", "a"));
        assert!((1 << 62..1 << 63).contains(&a.value()));
    }

    #[test]
    fn a_limit_of_another_user_is_read_as_text() {
        let text = "Limit  Soft Limit  Hard Limit  Units\n\
            Max locked memory         8388608   8388608   bytes\n\
            Max file locks            77        4611686018427387905  locks\n";
        assert_eq!(locks_in(text), Some(4_611_686_018_427_387_905));
        assert_eq!(locks_in("Max file locks  unlimited  unlimited  locks\n"), None);
        assert_eq!(locks_in(""), None);
    }

    #[test]
    fn we_are_nobodys() {
        let ourselves = Pid(process::pid());
        let target = Target { tag: Tag::new("d", "a"), main: ourselves, known: Vec::new() };
        let hunt = Hunt::new(&[target], None, Until::after(Duration::ZERO));
        assert!(
            hunt.owner(ourselves).is_none() && hunt.owner(Pid(1)).is_none() && hunt.owner(Pid(0)).is_none()
        );
        assert_eq!(parent_of(ourselves), Some(Pid(process::ppid())));
    }
}
