//! Whether the kernel killed a process of a unit for want of memory: what the unit's own group counts, from the
//! start of a run to its end. A group outlives runs, and may be removed before anybody asks.

use std::collections::HashMap;
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use supers_core::history::Oom;
use supers_os::cgroup::{Group, Tree};

/// A file with a counter is not longer; `/proc/vmstat` has some 5 KiB.
const LONGEST: usize = 32 << 10;

/// How many processes of this control group the kernel has killed for want of memory: cgroup v2
/// (`memory.events`) or v1 (`memory.oom_control`). `None` when neither tells.
fn oom_kills(group: &Path) -> Option<u64> {
    ["memory.events", "memory.oom_control"].iter().find_map(|file| oom_counter(&group.join(file)))
}

/// The line `oom_kill N` of a file that the kernel makes.
pub(crate) fn oom_counter(path: &Path) -> Option<u64> {
    // The kernel gives a page at a time; asking for less makes it write the text anew each time.
    let mut text = Vec::with_capacity(LONGEST);
    File::open(path).ok()?.take(LONGEST as u64).read_to_end(&mut text).ok()?;
    let text = String::from_utf8_lossy(&text);
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// The counters of all groups; copies share them. One entry a unit, until that is gone for good.
#[derive(Clone, Debug)]
pub(super) struct Counts(Option<Arc<Mutex<HashMap<String, Count>>>>);

#[derive(Debug, Default)]
struct Count {
    /// At the start of the newest run; nobody knows that of a run that was taken over.
    before: Option<u64>,
    /// When the group was removed.
    after: Option<u64>,
}

impl Counts {
    /// Of groups in this folder; there is nothing to be done where they do not count.
    pub(super) fn of(tree: &Tree) -> Counts {
        Counts(oom_kills(tree.folder()).map(|_| Arc::default()))
    }

    /// Of no groups.
    pub(super) fn none() -> Counts {
        Counts(None)
    }

    fn lock(&self) -> Option<MutexGuard<'_, HashMap<String, Count>>> {
        self.0.as_ref().map(|all| all.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// A run is about to begin in this group.
    pub(super) fn begin(&self, unit: &str, group: &Group) {
        self.begin_in(unit, group.folder());
    }

    fn begin_in(&self, unit: &str, folder: &Path) {
        let Some(mut all) = self.lock() else { return };
        let before = oom_kills(folder);
        all.insert(unit.to_owned(), Count { before, after: None });
    }

    /// This group is about to be removed.
    pub(super) fn removing(&self, unit: &str, group: &Group) {
        self.removing_in(unit, group.folder());
    }

    fn removing_in(&self, unit: &str, folder: &Path) {
        let Some(mut all) = self.lock() else { return };
        all.entry(unit.to_owned()).or_default().after = oom_kills(folder);
    }

    /// The unit is gone for good.
    pub(super) fn forget(&self, unit: &str) {
        if let Some(mut all) = self.lock() {
            all.remove(unit);
        }
    }

    /// Whether the kernel killed something in the group since its run began; `None` when it does not tell.
    pub(super) fn look(&self, unit: &str, group: &Group) -> Option<Oom> {
        self.look_in(unit, group.folder())
    }

    fn look_in(&self, unit: &str, folder: &Path) -> Option<Oom> {
        let all = self.lock()?;
        let (before, after) = all.get(unit).map_or((None, None), |count| (count.before, count.after));
        let kills = after.or_else(|| oom_kills(folder))?;
        Some(match before {
            Some(before) if kills > before => Oom::Yes,
            // Perhaps it was an earlier run.
            None if kills > 0 => Oom::Likely,
            Some(_) | None => Oom::No,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_kernels_counters() {
        let dir = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| fs::write(dir.path().join(name), text).unwrap();
        assert_eq!(oom_kills(dir.path()), None);
        write("memory.oom_control", "oom_kill_disable 0\nunder_oom 0\noom_kill 2\n");
        assert_eq!(oom_kills(dir.path()), Some(2));
        write("memory.events", "low 0\nhigh 0\nmax 9\noom 4\noom_kill 3\noom_group_kill 0\n");
        assert_eq!(oom_kills(dir.path()), Some(3));
        write("memory.events", "oom_kill x\n");
        assert_eq!(oom_kills(&dir.path().join("none")), None);
        // As long as a machine with many counters has it, and one that has gone mad.
        let long: String = (0..900).map(|n| format!("nr_something_{n} {n}\n")).collect();
        write("vmstat", &format!("{long}oom_kill 7\n"));
        assert_eq!(oom_counter(&dir.path().join("vmstat")), Some(7));
        write("vmstat", &"x".repeat(1 << 20));
        assert_eq!(oom_counter(&dir.path().join("vmstat")), None);
    }

    #[test]
    fn what_a_group_says_of_one_run() {
        let dir = tempfile::tempdir().unwrap();
        let group = dir.path();
        let kills = |n: u32| fs::write(group.join("memory.events"), format!("oom_kill {n}\n")).unwrap();
        let counts = Counts(Some(Arc::default()));
        assert_eq!(counts.look_in("web", group), None, "it has no such file");
        // Taken over from a daemon before: what was counted then is not known.
        kills(0);
        assert_eq!(counts.look_in("web", group), Some(Oom::No));
        kills(2);
        assert_eq!(counts.look_in("web", group), Some(Oom::Likely));

        counts.begin_in("web", group);
        assert_eq!(counts.look_in("web", group), Some(Oom::No), "it was a run before");
        kills(3);
        assert_eq!(counts.look_in("web", group), Some(Oom::Yes));
        // Its group is removed with what it left, and asked about after that.
        counts.removing_in("web", group);
        fs::remove_file(group.join("memory.events")).unwrap();
        assert_eq!(counts.look_in("web", group), Some(Oom::Yes));
        // The next run has a group that counts from 0 again.
        kills(0);
        counts.begin_in("web", group);
        assert_eq!(counts.look_in("web", group), Some(Oom::No));
        kills(1);
        assert_eq!(counts.look_in("web", group), Some(Oom::Yes));
        assert_eq!(Counts::none().look_in("web", group), None);
        counts.forget("web");
        assert_eq!(counts.look_in("web", group), Some(Oom::Likely));
    }
}
