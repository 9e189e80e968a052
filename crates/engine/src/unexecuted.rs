//! Starts that failed in the child, where Supervisor's rules make them a run that ended with 127: its words on
//! standard error, then an exit (supervisor-contract 6, "failure in the child").

use crate::engine::Engine;
use std::fs::File;
use std::io::Write;
use std::os::fd::OwnedFd;
use supers_core::exit::{Exit, Stage, StartError};
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::proc::Event;
use supers_core::spec::Spec;

/// The code of a child that could not execute its program.
const CODE: u8 = 127;

/// True when this failure counts as a run.
pub(crate) fn counts_as_run(spec: &Spec, error: &StartError) -> bool {
    spec.context.exit_127 && error.stage > Stage::Report
}

/// Says why, where the child would have said it. Called on the spawn thread: it may wait for room.
pub(crate) fn say(spec: &Spec, error: &StartError, stderr: OwnedFd) {
    let text = format!("supervisor: {}\nsupervisor: child process was not spawned\n", words(spec, error));
    // Without a log nobody reads it.
    let _ = File::from(stderr).write_all(text.as_bytes());
}

fn words(spec: &Spec, error: &StartError) -> String {
    let why = supers_os::errno_name(error.errno).map_or_else(|| error.errno.to_string(), Into::into);
    match error.stage {
        Stage::Chdir => {
            let dir = spec.context.directory.as_ref().map(|d| d.path.to_string()).unwrap_or_default();
            format!("couldn't chdir to {dir}: {why}")
        }
        Stage::Exec => {
            let program = spec.exec.first().and_then(|c| c.words.first());
            format!("couldn't exec {}: {why}", program.map(ToString::to_string).unwrap_or_default())
        }
        Stage::Groups | Stage::Gid | Stage::Uid => {
            let user = spec.context.user.as_deref().unwrap_or_default();
            format!("couldn't setuid to {user}: {why}")
        }
        Stage::Command
        | Stage::User
        | Stage::EnvFile
        | Stage::Output
        | Stage::Fork
        | Stage::Report
        | Stage::Session
        | Stage::Files
        | Stage::Cgroup
        | Stage::Limits
        | Stage::Nice
        | Stage::Privileges => format!("couldn't {error}"),
    }
}

impl Engine {
    /// The child of this run is gone without having executed anything.
    pub(crate) fn died_unexecuted(&mut self, unit: UnitId, run: RunId, pid: Pid) {
        let exit = Exit::Code(CODE);
        self.fleet.fact(unit, Event::Spawned { run, pid }, self.now, &mut self.deeds);
        self.perform();
        self.fleet.fact(unit, Event::Exited { run, pid, exit }, self.now, &mut self.deeds);
        self.perform();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use supers_core::spec::{Command, Directory};

    #[test]
    fn supervisors_words() {
        let mut spec = Spec::new("web");
        spec.exec = vec![Command::from_words(["/srv/run"])].into();
        spec.context.directory = Some(Directory { path: "/nowhere".into(), optional: false });
        spec.context.user = Some("nobody".into());
        let error = |stage, errno| StartError { stage, errno, text: "raise a limit".into() };
        let said = |stage, errno| words(&spec, &error(stage, errno));
        assert_eq!(said(Stage::Chdir, 2), "couldn't chdir to /nowhere: ENOENT");
        assert_eq!(said(Stage::Exec, 8), "couldn't exec /srv/run: ENOEXEC");
        assert_eq!(said(Stage::Uid, 1), "couldn't setuid to nobody: EPERM");
        assert_eq!(said(Stage::Limits, 1), "couldn't raise a limit");
        assert!(!counts_as_run(&spec, &error(Stage::Exec, 2)), "not without Supervisor's rules");
        spec.context.exit_127 = true;
        assert!(counts_as_run(&spec, &error(Stage::Exec, 2)));
        assert!(!counts_as_run(&spec, &error(Stage::Command, 2)), "found before there was a child");
    }
}
