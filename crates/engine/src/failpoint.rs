//! Deaths on demand: places in the code where a test may have the daemon killed.
//!
//! `SUPERS_FAILPOINT=rotate.cut` kills it with SIGKILL when it comes by the place of that name, `rotate.cut:3`
//! when it does so for the third time; `keeper@rotate.cut` kills its keeper instead, and it goes on when that has
//! ended. `SUPERS_FAILPOINT_FILE=/path` names a file that holds such a text, or is
//! absent most of the time: it is looked at whenever a place is passed. The daemon that dies takes the line out of it
//! first, leaves its pid in `/path.pid`; a second line is for the next daemon. Only in builds with debug assertions; in others a place costs nothing.

/// A place of this name is passed.
#[cfg(debug_assertions)]
pub fn hit(name: &str) {
    armed::hit(name);
}

/// A place of this name is passed: nothing happens in this build.
#[cfg(not(debug_assertions))]
pub fn hit(_name: &str) {}

#[cfg(debug_assertions)]
mod armed {
    use std::os::fd::AsFd;
    use std::path::{Path, PathBuf};
    use std::sync::{Mutex, OnceLock, PoisonError};
    use supers_core::ids::Pid;
    use supers_core::signal::Signal;
    use supers_os::{poll, reap};

    /// The environment variables.
    const VARIABLE: &str = "SUPERS_FAILPOINT";
    const FILE: &str = "SUPERS_FAILPOINT_FILE";
    /// Before the name of a place: not the daemon dies there.
    const KEEPER: &str = "keeper@";

    /// Where it is said which place is deadly.
    enum Source {
        Nowhere,
        Text(String),
        File(PathBuf),
    }

    pub(super) fn hit(name: &str) {
        static SOURCE: OnceLock<Source> = OnceLock::new();
        match SOURCE.get_or_init(source) {
            Source::Nowhere => {}
            Source::Text(text) if is_due(name, text) => strike(text),
            Source::Text(_) => {}
            Source::File(path) => by_file(name, path),
        }
    }

    fn source() -> Source {
        match (std::env::var(VARIABLE), std::env::var_os(FILE)) {
            (Ok(text), _) => Source::Text(text),
            (Err(_), Some(path)) => Source::File(path.into()),
            (Err(_), None) => Source::Nowhere,
        }
    }

    fn by_file(name: &str, path: &Path) {
        let Ok(text) = std::fs::read_to_string(path) else { return };
        let (first, rest) = text.split_once('\n').unwrap_or((&text, ""));
        if !is_due(name, first) {
            return;
        }
        // For whoever wants to wait for this death.
        let _ = std::fs::write(path.with_extension("pid"), std::process::id().to_string());
        // Renamed into its place: who looks finds either text.
        let other = path.with_extension("rest");
        let taken = match rest.is_empty() {
            true => std::fs::remove_file(path),
            false => std::fs::write(&other, rest).and_then(|()| std::fs::rename(&other, path)),
        };
        if taken.is_ok() {
            strike(first);
        }
    }

    /// The place of this name was passed as often as the text says.
    fn is_due(name: &str, text: &str) -> bool {
        /// How often the place that this text names was passed.
        static PASSED: Mutex<(String, u32)> = Mutex::new((String::new(), 0));
        let (wanted, count) = match text.rsplit_once(':') {
            Some((wanted, count)) => (wanted, count.parse().unwrap_or(1)),
            None => (text, 1),
        };
        let wanted = wanted.strip_prefix(KEEPER).unwrap_or(wanted);
        if wanted != name {
            return false;
        }
        let mut passed = PASSED.lock().unwrap_or_else(PoisonError::into_inner);
        if passed.0 != text {
            *passed = (text.to_owned(), 0);
        }
        passed.1 = passed.1.saturating_add(1);
        passed.1 == count
    }

    /// No last words: that is the purpose. It returns only when it was the keeper that had to go.
    fn strike(text: &str) {
        let keeper = text.starts_with(KEEPER);
        let pid = if keeper { std::os::unix::process::parent_id() } else { std::process::id() };
        let Ok(pid) = i32::try_from(pid).map(Pid) else { return };
        let name = std::fs::read_to_string(format!("/proc/{}/comm", pid.0)).unwrap_or_default();
        if keeper && name.trim_end() != "super-keeper" {
            return;
        }
        let gone = reap::pidfd_open(pid);
        let killed = reap::kill(pid, Signal::KILL);
        if let (true, Ok(()), Ok(gone)) = (keeper, killed, gone) {
            let _ = poll::wait_readable(gone.as_fd(), None);
        }
    }
}
