//! Whether the kernel's OOM killer was at work on this machine: its counter, read only when a process died of a KILL
//! that superd did not send, and its own control group does not tell.

use crate::contain::oom::oom_counter;
use std::path::Path;
use supers_core::history::Oom;

/// What the machine's counter said last.
pub(super) struct Watch {
    /// It is in this file.
    machine: &'static str,
    seen: Option<u64>,
}

impl Watch {
    /// Remembers what it says now.
    pub(super) fn new(machine: &'static str) -> Watch {
        Watch { machine, seen: oom_counter(Path::new(machine)) }
    }

    /// A process was killed by nobody we know.
    pub(super) fn look(&mut self) -> Oom {
        let now = oom_counter(Path::new(self.machine));
        let rose = now > self.seen && self.seen.is_some();
        self.seen = now.or(self.seen);
        if rose { Oom::Likely } else { Oom::No }
    }
}
