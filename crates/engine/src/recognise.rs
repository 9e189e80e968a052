//! Programs of an earlier daemon whose records are gone or damaged: known again by the FIFO that they write
//! into, whose name says which unit it is.
//!
//! Less is known of them than records tell: they count as running, from now on. Without this a unit would run
//! twice, or would have to be ended first.

use crate::adopt::Found;
use crate::engine::Engine;
use crate::held::Inheritance;
use crate::logs::Streams;
use crate::store::SavedRun;
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::proc::Exe;
use supers_os::process;

impl Engine {
    /// Looks for such programs, if an earlier daemon did not end in order.
    pub(crate) fn recognise(&mut self, left: &mut Inheritance) {
        let folder = self.runtime.join("fifo");
        let unclean = fs::read_dir(&folder).is_ok_and(|mut entries| entries.next().is_some());
        if !unclean && left.living.is_empty() {
            return;
        }
        let mut units: HashMap<String, UnitId> = HashMap::new();
        for (id, slot) in self.fleet.iter() {
            units.extend(Streams::names(&slot.spec.full_name()).map(|name| (name, id)));
        }
        let children: HashMap<Pid, RunId> = left.living.iter().map(|(run, pid)| (*pid, *run)).collect();
        let mut count = 0;
        for (pid, name) in writers(&folder) {
            let Some(unit) = units.get(&name).copied() else { continue };
            let child = children.get(&pid).copied();
            let Some(run) = self.fleet.take_in(unit, child, pid, self.now) else { continue };
            if let Some(child) = child {
                left.living.remove(&child);
            }
            let (pid_number, exe) = (pid.0, Exe::Main(0));
            let saved = SavedRun {
                run: run.0,
                exe,
                pid: pid_number,
                identity: 0,
                foreign: child.is_none(),
                exit: None,
                due: None,
            };
            let found = Found { pid, foreign: child.is_none(), pidfd: None };
            count += usize::from(self.adopt_run(unit, &saved, found, left));
        }
        if count > 0 {
            let text = format!(
                "{count} processes of before were known again by what they write into; less is known of them"
            );
            self.journal.warn(self.now, &text);
            self.notices.add(text);
        }
    }
}

/// Processes that lead a process group and write into a FIFO of this folder, with its name.
fn writers(folder: &Path) -> Vec<(Pid, String)> {
    let processes = fs::read_dir("/proc").into_iter().flatten().flatten();
    let numbers = processes.filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok());
    let mut found = Vec::new();
    for pid in numbers.filter(|pid| *pid != process::pid()) {
        let link = |fd: u32| fs::read_link(format!("/proc/{pid}/fd/{fd}")).ok();
        let ours = |fd: u32| {
            let path = link(fd)?;
            let name = path.file_name()?.to_str()?.to_owned();
            (path.parent() == Some(folder)).then_some(name)
        };
        // Their children write there as well.
        let leads = || process::group_of(pid).is_ok_and(|group| group == pid);
        if let Some(name) = ours(1).or_else(|| ours(2)).filter(|_| leads()) {
            found.push((Pid(pid), name));
        }
    }
    found
}
