//! Looking at another program before it becomes the daemon.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Duration;
use supers_core::ids::Pid;
use supers_core::signal::Signal;
use supers_os::{error_text, keeper_proto, poll, reap};

/// How long the look may take.
const PATIENCE: Duration = Duration::from_secs(10);
/// What a program says that can go on from here; its version follows.
pub const CAN_GO_ON: &str = "superd can go on: ";
/// More output than this is not looked at.
const WORDS: u64 = 4096;

/// Has the program say whether it can go on with the state in this runtime folder. The open program and its
/// version.
///
/// # Errors
/// Why not, in a sentence.
pub(crate) fn check(program: &Path, runtime: &Path) -> Result<(OwnedFd, String), String> {
    let program = present(program);
    let shown = program.display();
    let opened = File::open(program).map_err(|e| format!("cannot open {shown}: {}", error_text(&e)))?;
    let mut command = Command::new(program);
    command.arg("--check-state").arg(runtime).env_remove(keeper_proto::FD_ENV);
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().map_err(|e| format!("cannot run {shown}: {}", error_text(&e)))?;
    let ended = in_time(&child).unwrap_or(false);
    if !ended {
        let _ = child.kill();
    }
    let status = child.wait().map_err(|e| format!("cannot wait for {shown}: {}", error_text(&e)))?;
    if !ended {
        return Err(format!("{shown} did not answer in {} seconds", PATIENCE.as_secs()));
    }
    let said = words(child.stdout.take());
    match said.trim().strip_prefix(CAN_GO_ON) {
        Some(version) if status.success() => Ok((opened.into(), version.to_owned())),
        Some(_) | None if status.success() => Err(format!("{shown} is no superd")),
        Some(_) | None => {
            let why = words(child.stderr.take());
            let why = why.trim().lines().last().unwrap_or_default();
            Err(format!("{shown} cannot go on with the present state ({status}): {why}"))
        }
    }
}

/// The kernel names a running program whose file was replaced, which is how upgrades mostly begin, as deleted.
/// What is there now is meant.
fn present(program: &Path) -> &Path {
    let before = program.as_os_str().as_bytes().strip_suffix(b" (deleted)").filter(|_| !program.exists());
    before.map_or(program, |path| Path::new(OsStr::from_bytes(path)))
}

/// Waits for its end. What it writes fits into a pipe, or it waits in vain and is ended.
fn in_time(child: &Child) -> io::Result<bool> {
    let pid = i32::try_from(child.id()).map_err(io::Error::other)?;
    let pidfd = reap::pidfd_open(Pid(pid))?;
    let ended = poll::wait_readable(pidfd.as_fd(), Some(PATIENCE))?;
    if !ended {
        let _ = reap::pidfd_signal(&pidfd, Signal::KILL);
    }
    Ok(ended)
}

fn words(from: Option<impl Read>) -> String {
    let mut text = Vec::new();
    if let Some(from) = from {
        // What could be read is enough.
        let _ = from.take(WORDS).read_to_end(&mut text);
    }
    String::from_utf8_lossy(&text).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt;

    fn script(dir: &Path, text: &str) -> std::path::PathBuf {
        let path = dir.join("program");
        std::fs::write(&path, format!("#!/bin/sh\n{text}\n")).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    #[test]
    fn what_is_no_superd_is_refused_in_words() {
        let dir = tempfile::tempdir().unwrap();
        let refused = |text: &str| check(&script(dir.path(), text), dir.path()).unwrap_err();
        assert!(refused("exit 0").ends_with("is no superd"));
        assert!(refused("echo bad records >&2; exit 1").ends_with("bad records"));
        assert!(refused("kill -SEGV $$").contains("signal"));
        std::fs::set_permissions(dir.path().join("program"), std::fs::Permissions::from_mode(0o644)).unwrap();
        let e = check(&dir.path().join("program"), dir.path()).unwrap_err();
        assert!(e.contains("Permission denied"), "{e}");
        let e = check(&dir.path().join("nothing"), dir.path()).unwrap_err();
        assert!(e.contains("No such file"), "{e}");
    }

    #[test]
    fn one_that_can_says_its_version() {
        let dir = tempfile::tempdir().unwrap();
        let path = script(dir.path(), "test \"$1\" = --check-state && echo superd can go on: 9.9");
        assert_eq!(check(&path, dir.path()).unwrap().1, "9.9");
    }
}
