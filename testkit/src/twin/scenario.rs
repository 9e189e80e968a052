//! The text of `*.twin` files. Several scenarios a file; each is a header and steps.
//!
//! ```text
//! == start-twice
//! covers: rpc startProcess; 10 ALREADY_STARTED
//! config
//!     [program:web]
//!     command={actor} wait
//! start
//! wait web RUNNING
//! rpc supervisor.startProcess web
//! ```

use std::fs;
use std::path::Path;

/// A pair of configuration and calls.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Scenario {
    /// Unique among all files.
    pub name: String,
    /// Names of [`super::coverage`], or a section of the contract and a remark.
    pub covers: Vec<String>,
    /// Events of the recorder that is added to the configuration.
    pub listen: Option<String>,
    /// Also played with the clients exchanged: the genuine client against our daemon, and ours against theirs.
    pub cross: bool,
    /// Longest wait of one step, in seconds.
    pub patience: u64,
    /// What is done, in order.
    pub steps: Vec<Step>,
    /// `FILE:LINE` of its name.
    pub place: String,
}

/// One line of a scenario, with the indented lines below it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Step {
    /// The line.
    pub line: String,
    /// The indented lines, without four blanks of their indentation; each ends with LF.
    pub block: String,
    /// Number of the line in its file.
    pub number: usize,
}

/// Seconds that a step may wait unless the scenario says otherwise.
const PATIENCE: u64 = 20;

/// All scenarios of a folder, ordered by file and line.
pub fn load(folder: &Path) -> Result<Vec<Scenario>, String> {
    let problem = |e: std::io::Error| format!("{}: {e}", folder.display());
    let mut files: Vec<_> =
        fs::read_dir(folder).map_err(problem)?.filter_map(|e| Some(e.ok()?.path())).collect();
    files.retain(|path| path.extension().is_some_and(|e| e == "twin"));
    files.sort();
    let mut all: Vec<Scenario> = Vec::new();
    for path in files {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        all.extend(parse(&name, &text)?);
    }
    for (at, one) in all.iter().enumerate() {
        if let Some(other) = all[..at].iter().find(|o| o.name == one.name) {
            return Err(format!("{}: {} is also the name of {}", one.place, one.name, other.place));
        }
    }
    Ok(all)
}

/// The scenarios of one file.
pub fn parse(file: &str, text: &str) -> Result<Vec<Scenario>, String> {
    let mut all: Vec<Scenario> = Vec::new();
    // Empty lines count only when the block goes on behind them.
    let mut empty = 0;
    for (number, line) in text.lines().enumerate().map(|(n, l)| (n + 1, l)) {
        let problem = |text: &str| Err(format!("{file}:{number}: {text}"));
        if line.trim().is_empty() {
            empty += 1;
            continue;
        }
        let skipped = std::mem::take(&mut empty);
        if let Some(name) = line.strip_prefix("== ") {
            all.push(Scenario::new(name.trim(), format!("{file}:{number}")));
            continue;
        }
        if line.starts_with('#') {
            continue;
        }
        let Some(scenario) = all.last_mut() else { return problem("a step before the first `== NAME`") };
        if let Some(inner) = line.strip_prefix("    ") {
            let Some(step) = scenario.steps.last_mut() else { return problem("a block without a step") };
            if !step.block.is_empty() {
                step.block.push_str(&"\n".repeat(skipped));
            }
            step.block.push_str(inner);
            step.block.push('\n');
        } else if line.starts_with([' ', '\t']) {
            return problem("blocks are indented by four blanks");
        } else if scenario.steps.is_empty() && scenario.header(line)? {
            continue;
        } else {
            scenario.steps.push(Step { line: line.trim_end().into(), block: String::new(), number });
        }
    }
    match all.iter().find(|s| s.covers.is_empty() || s.steps.is_empty()) {
        Some(s) => Err(format!("{}: {} lacks `covers:` or steps", s.place, s.name)),
        None => Ok(all),
    }
}

impl Scenario {
    fn new(name: &str, place: String) -> Scenario {
        Scenario {
            name: name.into(),
            covers: Vec::new(),
            listen: None,
            cross: false,
            patience: PATIENCE,
            steps: Vec::new(),
            place,
        }
    }

    /// Takes a line of the header; false when it is none.
    fn header(&mut self, line: &str) -> Result<bool, String> {
        let Some((key, value)) = line.split_once(": ") else { return Ok(false) };
        let value = value.trim();
        match key {
            "covers" => self.covers.extend(value.split(';').map(|c| c.trim().to_string())),
            "listen" => self.listen = Some(value.into()),
            "cross" => self.cross = value == "yes",
            "patience" => {
                self.patience = value.parse().map_err(|e| format!("{}: patience: {e}", self.place))?;
            }
            _ => return Ok(false),
        }
        Ok(true)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headers_steps_and_blocks() {
        let text = "# remark\n== a\ncovers: rpc x; 5 y\nlisten: TICK_5\nconfig\n    [program:x]\n\n    command=y\n      \
                    z\n\nstart\n== b\ncovers: 1\npatience: 30\nrpc a: b\n";
        let all = parse("f.twin", text).unwrap();
        assert_eq!(all.len(), 2);
        assert_eq!(all[0].covers, ["rpc x", "5 y"]);
        assert_eq!(all[0].listen.as_deref(), Some("TICK_5"));
        assert_eq!(all[0].steps[0].block, "[program:x]\n\ncommand=y\n  z\n");
        assert_eq!((all[0].steps[1].line.as_str(), all[0].steps[1].number), ("start", 11));
        assert_eq!((all[1].patience, all[1].place.as_str()), (30, "f.twin:12"));
        assert_eq!(all[1].steps[0].line, "rpc a: b");
    }

    #[test]
    fn mistakes_name_their_line() {
        assert_eq!(parse("f", "start\n").unwrap_err(), "f:1: a step before the first `== NAME`");
        assert_eq!(
            parse("f", "== a\ncovers: 1\n  x\n").unwrap_err(),
            "f:3: blocks are indented by four blanks"
        );
        assert_eq!(parse("f", "== a\nstart\n").unwrap_err(), "f:1: a lacks `covers:` or steps");
    }
}
