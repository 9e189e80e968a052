//! Programs that a scenario starts: their output goes to files, their end has a deadline, and none is left over.

use crate::Deadline;
use crate::procs::Process;
use std::fs::{self, File};
use std::os::unix::process::ExitStatusExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::Duration;

/// The variable that all processes of a scenario carry; its value is the scenario's root.
pub(crate) const MARK: &str = "TWIN_ROOT";

/// A program that was started.
#[derive(Debug)]
pub(crate) struct Running {
    child: Child,
    stdout: PathBuf,
    stderr: PathBuf,
    code: Option<i32>,
}

impl Running {
    /// Starts it; standard output and error go to `BASE.stdout` and `BASE.stderr`.
    pub(crate) fn start(mut command: Command, base: &Path, stdin: Stdio) -> Result<Running, String> {
        let (stdout, stderr) = (base.with_extension("stdout"), base.with_extension("stderr"));
        // Appended, because a child may write to the same file by another descriptor (/dev/stdout).
        let open = |path: &Path| {
            let file = File::options().create(true).append(true).open(path);
            file.map_err(|e| format!("{}: {e}", path.display()))
        };
        command.stdin(stdin).stdout(open(&stdout)?).stderr(open(&stderr)?);
        let child = command.spawn().map_err(|e| format!("{}: {e}", command.get_program().display()))?;
        Ok(Running { child, stdout, stderr, code: None })
    }

    pub(crate) fn pid(&self) -> i32 {
        i32::try_from(self.child.id()).unwrap_or_default()
    }

    pub(crate) fn stdout(&self) -> String {
        read(&self.stdout)
    }

    pub(crate) fn stderr(&self) -> String {
        read(&self.stderr)
    }

    /// Its way to be told things, when it was started with a pipe.
    pub(crate) fn stdin(&mut self) -> Option<std::process::ChildStdin> {
        self.child.stdin.take()
    }

    /// Exit code, or the signal's number negated; `None` while it runs.
    pub(crate) fn ended(&mut self) -> Option<i32> {
        if self.code.is_none() {
            self.code = self.child.try_wait().ok().flatten().map(code);
        }
        self.code
    }

    /// Waits for its end.
    pub(crate) fn wait(&mut self, deadline: Deadline) -> Result<i32, String> {
        if let Some(process) = self.ended().is_none().then(|| Process::open(self.pid())).flatten() {
            process.wait(deadline.left());
        }
        self.ended().ok_or_else(|| format!("it did not end in time{}", self.report()))
    }

    pub(crate) fn signal(&self, number: i32) -> bool {
        Process::open(self.pid()).is_some_and(|p| p.signal(number))
    }

    /// KILL, and the end.
    pub(crate) fn kill(&mut self) {
        if self.ended().is_none() {
            // It may have ended by itself just now.
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    /// What it printed.
    pub(crate) fn report(&self) -> String {
        show(&self.stdout(), &self.stderr())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Both outputs, line by line: `|` for the standard one, `!` for errors.
pub(crate) fn show(stdout: &str, stderr: &str) -> String {
    let part = |text: &str, mark: char| -> String {
        let mut out: String = text.split('\n').map(|l| format!("  {mark}{l}\n")).collect();
        // The piece behind the last line end is no line; without a line end there, that is visible.
        match text {
            "" => out.clear(),
            t if t.ends_with('\n') => out.truncate(out.len() - 4),
            _ => out.push_str(&format!("  {mark}(no line end)\n")),
        }
        out
    };
    format!("{}{}", part(stdout, '|'), part(stderr, '!'))
}

fn code(status: ExitStatus) -> i32 {
    status.code().unwrap_or_else(|| -status.signal().unwrap_or_default())
}

/// A file as text; empty when it is absent.
pub(crate) fn read(path: &Path) -> String {
    fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default()
}

/// A moment between two looks at something that cannot be waited for; longer when many looks were in vain.
pub(crate) fn pause(looks: u32) {
    let time = 10.0 * 1.2_f32.powi(i32::try_from(looks).unwrap_or(i32::MAX));
    std::thread::sleep(Duration::from_millis(time.min(100.0) as u64));
}

/// Kills by pid whatever carries this root in its environment, until there is none.
pub(crate) fn sweep(root: &Path) {
    let mark = format!("{MARK}={}", root.display());
    let deadline = Deadline::after(Duration::from_secs(5));
    loop {
        let left = marked(mark.as_bytes());
        if left.is_empty() || deadline.passed() {
            return;
        }
        for process in left {
            process.kill();
            process.wait(Duration::from_millis(500));
        }
    }
}

fn marked(mark: &[u8]) -> Vec<Process> {
    let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
    let pids = pids.filter_map(|e| e.file_name().to_str()?.parse::<i32>().ok());
    let carries = |pid: i32| {
        // Held before it is read: the pid cannot become another's in between.
        let process = Process::open(pid)?;
        let environ = fs::read(format!("/proc/{pid}/environ")).ok()?;
        environ.split(|b| *b == 0).any(|v| v == mark).then_some(process)
    };
    pids.filter_map(carries).filter(Process::lives).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_outputs_are_shown() {
        assert_eq!(show("a\n\nb\n", "e\n"), "  |a\n  |\n  |b\n  !e\n");
        assert_eq!(show("a", ""), "  |a\n  |(no line end)\n");
        assert_eq!(show("", ""), "");
    }

    #[test]
    fn what_carries_the_mark_is_killed() {
        let folder = tempfile::tempdir().unwrap();
        let mut command = Command::new("sleep");
        command.arg("60").env(MARK, folder.path());
        let mut child = Running::start(command, &folder.path().join("x"), Stdio::null()).unwrap();
        assert_eq!(child.ended(), None);
        sweep(folder.path());
        assert_eq!(child.wait(Deadline::start()), Ok(-9));
    }
}
