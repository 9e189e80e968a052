//! The processes that reported themselves, in memory of a fixed size.

use supers_os::Pid;

/// One process.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Run {
    pub pid: Pid,
    /// What it called itself. 0 is a process of which the daemon has forgotten the name.
    pub run: u64,
    /// It is a zombie.
    pub ended: bool,
    /// This daemon was told that it ended.
    pub told: bool,
    /// The daemon will not ask again: to be reaped as soon as it ends.
    pub settled: bool,
    /// It belongs to an earlier daemon, and this one has not heard of it yet.
    pub unlisted: bool,
}

impl Run {
    /// What is known of it, as a number for the next program: bits 0 to 3, pinned.
    pub(crate) fn flags(&self) -> i32 {
        let bits = [self.ended, self.told, self.settled, self.unlisted];
        bits.into_iter().rev().fold(0, |flags, bit| flags << 1 | i32::from(bit))
    }

    /// From such a number.
    pub(crate) fn of(pid: Pid, run: u64, flags: i32) -> Run {
        let [ended, told, settled, unlisted] = [1, 2, 4, 8].map(|bit| flags & bit != 0);
        Run { pid, run, ended, told, settled, unlisted }
    }
}

/// All of them, by ascending process id. The memory is set aside at the start and used as it fills, so
/// an idle keeper does not pay for it.
#[derive(Debug)]
pub(crate) struct Runs {
    list: Vec<Run>,
}

/// As many processes as Linux has by default.
pub(crate) const CAPACITY: usize = 32_768;

impl Runs {
    pub(crate) fn new(capacity: usize) -> Runs {
        Runs { list: Vec::with_capacity(capacity) }
    }

    fn place(&self, pid: Pid) -> Result<usize, usize> {
        self.list.binary_search_by_key(&pid, |run| run.pid)
    }

    pub(crate) fn all(&self) -> &[Run] {
        &self.list
    }

    pub(crate) fn get(&mut self, pid: Pid) -> Option<&mut Run> {
        let place = self.place(pid).ok()?;
        self.list.get_mut(place)
    }

    pub(crate) fn knows(&self, pid: Pid) -> bool {
        self.place(pid).is_ok()
    }

    /// Adds a process. False when there is no room: such a process is treated as a stranger, so its end
    /// is told once and not kept.
    pub(crate) fn add(&mut self, pid: Pid, run: u64) -> bool {
        self.put(Run::of(pid, run, 0))
    }

    /// The same, with all that is known.
    pub(crate) fn put(&mut self, fresh: Run) -> bool {
        match self.place(fresh.pid) {
            Ok(place) => {
                if let Some(old) = self.list.get_mut(place) {
                    *old = fresh;
                }
                true
            }
            // Growing would allocate.
            Err(_) if self.list.len() == self.list.capacity() => false,
            Err(place) => {
                self.list.insert(place, fresh);
                true
            }
        }
    }

    pub(crate) fn remove(&mut self, pid: Pid) {
        if let Ok(place) = self.place(pid) {
            self.list.remove(place);
        }
    }

    /// A new daemon knows of none of them.
    pub(crate) fn forget_told(&mut self) {
        for run in &mut self.list {
            run.told = false;
            run.unlisted = true;
        }
    }

    /// The daemon wants to hear of all.
    pub(crate) fn unlist(&mut self) {
        self.list.iter_mut().for_each(|run| run.unlisted = true);
    }

    /// The daemon has heard of so many more.
    pub(crate) fn list(&mut self, count: usize) {
        let unlisted = self.list.iter_mut().filter(|run| run.unlisted);
        unlisted.take(count).for_each(|run| run.unlisted = false);
    }

    /// The first for which this is so.
    pub(crate) fn find(&self, is: impl Fn(&Run) -> bool) -> Option<Run> {
        self.list.iter().copied().find(is)
    }

    /// The first process above `pid`. Walking by it survives changes on the way.
    pub(crate) fn after(&self, pid: Pid) -> Option<Run> {
        let place = self.list.partition_point(|run| run.pid <= pid);
        self.list.get(place).copied()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn processes_are_found_in_order_and_only_so_many_fit() {
        let mut runs = Runs::new(3);
        for pid in [30, 10, 20] {
            assert!(runs.add(Pid(pid), 1));
        }
        assert!(!runs.add(Pid(40), 1), "full");
        assert!(runs.add(Pid(20), 2), "the same place");
        assert_eq!(runs.get(Pid(20)).map(|r| r.run), Some(2));
        assert_eq!(runs.after(Pid(10)).map(|r| r.pid), Some(Pid(20)));
        runs.remove(Pid(20));
        assert!(!runs.knows(Pid(20)));
        assert_eq!(runs.after(Pid(10)).map(|r| r.pid), Some(Pid(30)));
        assert!(runs.after(Pid(30)).is_none());
        assert!(runs.add(Pid(40), 1));
    }

    #[test]
    fn flags_come_back() {
        for flags in 0..16 {
            assert_eq!(Run::of(Pid(1), 1, flags).flags(), flags);
        }
        assert!(Run::of(Pid(1), 1, 1).ended && Run::of(Pid(1), 1, 8).unlisted, "pinned");
    }

    #[test]
    fn a_new_daemon_knows_of_none() {
        let mut runs = Runs::new(2);
        runs.add(Pid(1), 1);
        runs.get(Pid(1)).unwrap().told = true;
        runs.forget_told();
        assert!(runs.find(|r| r.unlisted && !r.told).is_some());
        runs.add(Pid(2), 2);
        assert!(runs.find(|r| r.unlisted && r.pid == Pid(2)).is_none(), "its own it knows");
        runs.unlist();
        assert!(runs.find(|r| !r.unlisted).is_none());
    }
}
