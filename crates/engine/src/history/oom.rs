//! Whether the kernel's OOM killer was at work: its counters, read only when a process died of a KILL that superd
//! did not send.

use std::collections::HashMap;
use std::path::Path;
use supers_core::history::Oom;
use supers_core::ids::UnitId;

/// How many processes of this control group the kernel has killed for want of memory: cgroup v2
/// (`memory.events`) or v1 (`memory.oom_control`). `None` when neither tells.
pub fn oom_kills(group: &Path) -> Option<u64> {
    ["memory.events", "memory.oom_control"].iter().find_map(|file| counter(&group.join(file)))
}

/// The line `oom_kill N`.
fn counter(path: &Path) -> Option<u64> {
    let text = std::fs::read_to_string(path).ok()?;
    text.lines().find_map(|line| line.strip_prefix("oom_kill ")?.trim().parse().ok())
}

/// What the counters said last.
pub(super) struct Watch {
    /// The counter of the whole machine is in this file.
    machine: &'static str,
    seen: Option<u64>,
    groups: HashMap<UnitId, u64>,
}

impl Watch {
    /// Remembers what the machine's counter says now.
    pub(super) fn new(machine: &'static str) -> Watch {
        Watch { machine, seen: counter(Path::new(machine)), groups: HashMap::new() }
    }

    /// A process of this unit, in this group, was killed by nobody we know.
    pub(super) fn look(&mut self, unit: UnitId, group: Option<&Path>) -> Oom {
        let now = counter(Path::new(self.machine));
        let rose = now > self.seen && self.seen.is_some();
        self.seen = now.or(self.seen);
        let Some(kills) = group.and_then(oom_kills) else {
            return if rose { Oom::Likely } else { Oom::No };
        };
        let before = self.groups.insert(unit, kills).unwrap_or(0);
        match kills > before {
            true => Oom::Yes,
            // The group knows better than the machine.
            false => Oom::No,
        }
    }

    pub(super) fn forget(&mut self, unit: UnitId) {
        self.groups.remove(&unit);
    }
}
