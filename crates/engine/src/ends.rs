//! How a process ended whose parent is somebody else, as far as that can be known.

use std::os::fd::OwnedFd;
use supers_core::exit::Exit;
use supers_core::ids::Pid;
use supers_os::{process, reap};

/// A zombie's stat line shows 0 to whoever may not see it.
pub(crate) fn believable(exit: Exit) -> Option<Exit> {
    (exit != Exit::Code(0) || process::euid() == 0).then_some(exit)
}

/// How a process ended whose parent is somebody else; `None` while only its parent may know.
pub(crate) fn foreign_exit(pid: Pid, pidfd: &OwnedFd) -> Option<Exit> {
    match reap::pidfd_exit(pidfd) {
        Ok(Some(exit)) => return Some(exit),
        // A kernel that does not tell: the zombie's own line, as far as it can be believed.
        Err(_) => {
            let line = process::zombie_exit(pid.0).ok().flatten();
            return Some(line.and_then(believable).unwrap_or(Exit::Unknown));
        }
        Ok(None) => {}
    }
    match process::zombie_exit(pid.0) {
        Ok(exit) => exit.and_then(believable),
        // Reaped between the two looks.
        Err(_) => Some(reap::pidfd_exit(pidfd).ok().flatten().unwrap_or(Exit::Unknown)),
    }
}
