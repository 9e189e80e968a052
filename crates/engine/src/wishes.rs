//! What the operator wished, over everything that may happen to the daemon and the machine: units that were
//! stopped by hand stay stopped until they are started by hand.
//!
//! One file in the state folder, a full name a line, written anew beside and renamed when a wish changes. Under
//! its ancestor's name the daemon remembers only units that say `autostart=remember`.

use std::collections::BTreeSet;
use std::fs;
use std::io;
use std::path::{Path, PathBuf};
use supers_core::spec::Spec;

/// The units that are to stay down.
#[derive(Debug, Default)]
pub struct Wishes {
    path: Option<PathBuf>,
    down: BTreeSet<String>,
    changed: bool,
}

impl Wishes {
    /// Reads them from the state folder. A file that is not there is an empty one.
    ///
    /// # Errors
    /// It cannot be read; the wishes of before are not known then, and what is in the file is left alone
    /// until the next wish.
    pub fn open(state: &Path) -> (Wishes, io::Result<()>) {
        let path = state.join("wishes");
        let (text, result) = match fs::read(&path) {
            Ok(text) => (text, Ok(())),
            Err(e) if e.kind() == io::ErrorKind::NotFound => (Vec::new(), Ok(())),
            Err(e) => (Vec::new(), Err(e)),
        };
        let lines = text.split(|b| *b == b'\n').filter(|line| !line.is_empty());
        let down = lines.map(|line| String::from_utf8_lossy(line).into_owned()).collect();
        (Wishes { path: Some(path), down, changed: false }, result)
    }

    /// The operator stopped this unit.
    pub(crate) fn stopped(&mut self, spec: &Spec) {
        if spec.remember {
            self.changed |= self.down.insert(spec.full_name());
        }
    }

    /// The operator started it, or it is described no more.
    pub(crate) fn started(&mut self, name: &str) {
        self.changed |= self.down.remove(name);
    }

    /// It is to stay down when the daemon starts.
    pub(crate) fn keeps_down(&self, spec: &Spec) -> bool {
        spec.remember && self.down.contains(&spec.full_name())
    }

    /// Writes them down, if something changed.
    ///
    /// # Errors
    /// The state folder takes nothing: they hold as long as the daemon and its records live.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        let Some(path) = self.path.as_deref().filter(|_| self.changed) else { return Ok(()) };
        self.changed = false;
        if let Some(folder) = path.parent() {
            private_folder(folder)?;
        }
        let next = path.with_extension("new");
        let text: String = self.down.iter().flat_map(|name| [name.as_str(), "\n"]).collect();
        fs::write(&next, text)?;
        fs::rename(&next, path)
    }
}

fn private_folder(folder: &Path) -> io::Result<()> {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().recursive(true).mode(0o700).create(folder)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_stop_is_remembered_until_the_start() {
        let dir = tempfile::tempdir().unwrap();
        let state = dir.path().join("state");
        let mut spec = Spec::new("web");
        let (mut wishes, read) = Wishes::open(&state);
        read.unwrap();
        wishes.stopped(&spec);
        wishes.write().unwrap();
        assert!(!state.exists(), "the ancestor's programs are not remembered");
        spec.remember = true;
        wishes.stopped(&spec);
        wishes.write().unwrap();
        let (mut again, _) = Wishes::open(&state);
        assert!(again.keeps_down(&spec));
        again.started("web");
        again.write().unwrap();
        assert!(!Wishes::open(&state).0.keeps_down(&spec));
    }
}
