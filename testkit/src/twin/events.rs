//! What a recorder wrote down.

use super::listen::END;
use super::normal;
use std::fs;
use std::path::Path;

/// One event as it came.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Event {
    pub(crate) header: String,
    pub(crate) payload: String,
}

/// All whole records of a file; none when there is no file yet.
pub(crate) fn read(path: &Path) -> Vec<Event> {
    let text = fs::read(path).map(|b| String::from_utf8_lossy(&b).into_owned()).unwrap_or_default();
    let mut records: Vec<&str> = text.split(END).collect();
    // The last one is empty, or not finished.
    records.pop();
    let event = |r: &str| {
        let (header, payload) = r.split_once('\n').unwrap_or((r, ""));
        Event { header: header.into(), payload: payload.into() }
    };
    records.into_iter().map(event).collect()
}

impl Event {
    fn field<'a>(text: &'a str, name: &str) -> Option<&'a str> {
        text.split([' ', '\n']).find_map(|w| w.strip_prefix(name)?.strip_prefix(':'))
    }

    pub(crate) fn name(&self) -> &str {
        Event::field(&self.header, "eventname").unwrap_or("?")
    }

    /// When it is a change of state of this program: the state and all that is told about it.
    pub(crate) fn state_of(&self, program: &str) -> Option<(String, String)> {
        let state = self.name().strip_prefix("PROCESS_STATE_")?;
        (Event::field(&self.payload, "processname") == Some(program)).then_some(())?;
        let hidden = |w: &&str| !w.starts_with("processname:") && !w.starts_with("groupname:");
        let rest: Vec<&str> = self.payload.split(' ').filter(hidden).collect();
        Some((state.into(), format!("{state} {}", rest.join(" "))))
    }

    /// All of it, for comparison.
    pub(crate) fn show(&self, places: &[(String, String)]) -> String {
        normal::event(&self.header, &self.payload, places)
    }

    /// All of it, for searching.
    pub(crate) fn text(&self) -> String {
        format!("{}\n{}", self.header, self.payload)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("e");
        assert_eq!(read(&path), []);
        let head = "ver:3.0 eventname:PROCESS_STATE_BACKOFF len:1";
        let load = "processname:a groupname:g from_state:STARTING tries:2";
        fs::write(&path, format!("{head}\n{load}{END}ver:3.0 half")).unwrap();
        let all = read(&path);
        assert_eq!(all.len(), 1);
        assert_eq!(all[0].name(), "PROCESS_STATE_BACKOFF");
        let state = all[0].state_of("a");
        assert_eq!(state, Some(("BACKOFF".into(), "BACKOFF from_state:STARTING tries:2".into())));
        assert_eq!(all[0].state_of("b"), None);
    }
}
