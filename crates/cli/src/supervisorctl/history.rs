//! Typed lines kept in a file, one a line, as readline keeps them.

use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

/// Lines that are remembered; a file with twice as many is cut.
const KEPT: usize = 1000;

/// The file, when there is one.
pub(super) struct History(Option<PathBuf>);

impl History {
    pub(super) fn new(file: Option<PathBuf>) -> History {
        History(file)
    }

    /// The newest lines, oldest first.
    pub(super) fn load(&self) -> Vec<String> {
        let Some(file) = &self.0 else { return Vec::new() };
        let text = std::fs::read(file).unwrap_or_default();
        let text = String::from_utf8_lossy(&text);
        let lines: Vec<String> = text.lines().map(str::to_string).collect();
        let newest = lines.get(lines.len().saturating_sub(KEPT)..).unwrap_or_default().to_vec();
        if lines.len() > 2 * KEPT {
            // A history that cannot be cut only stays long.
            drop(std::fs::write(file, newest.join("\n") + "\n"));
        }
        newest
    }

    /// Keeps a line at once, so that a killed shell forgets nothing.
    pub(super) fn keep(&self, line: &str) {
        let Some(file) = &self.0 else { return };
        let open = std::fs::OpenOptions::new().create(true).append(true).mode(0o600).open(file);
        // Without a place for it there is no history, and nothing else changes.
        drop(open.and_then(|mut file| file.write_all(format!("{line}\n").as_bytes())));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_lines_are_kept() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("h");
        let history = History::new(Some(file.clone()));
        assert!(history.load().is_empty());
        history.keep("status");
        history.keep("pid web");
        assert_eq!(history.load(), ["status", "pid web"]);
        (0..2 * KEPT).for_each(|i| history.keep(&i.to_string()));
        assert_eq!(history.load().len(), KEPT);
        assert_eq!(std::fs::read_to_string(&file).unwrap().lines().count(), KEPT);
        assert_eq!(history.load().last().unwrap(), "1999");
    }
}
