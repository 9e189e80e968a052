//! What TAB offers.

use super::{help, names};
use std::collections::BTreeMap;

/// What a command's arguments are.
enum Arguments {
    Commands,
    Processes,
    Groups,
    None,
}

fn arguments(command: &str) -> Arguments {
    match command {
        "help" => Arguments::Commands,
        "clear" | "fg" | "pid" | "restart" | "signal" | "start" | "status" | "stop" | "tail" => {
            Arguments::Processes
        }
        "add" | "remove" | "update" => Arguments::Groups,
        _ => Arguments::None,
    }
}

/// Where the word before the cursor begins, and what it could become. `processes` are pairs of group
/// and name, asked for only when they matter.
pub(super) fn complete(
    before_cursor: &str,
    processes: impl FnOnce() -> Vec<(String, String)>,
) -> (usize, Vec<String>) {
    let start = before_cursor.rfind(char::is_whitespace).map_or(0, |at| at + 1);
    let (earlier, word) = before_cursor.split_at(start);
    let offered: Vec<String> = match earlier.split_whitespace().next().map(arguments) {
        None | Some(Arguments::Commands) => help::commands().map(str::to_string).collect(),
        Some(Arguments::Processes) => all_names(&processes()),
        Some(Arguments::Groups) => by_group(&processes()).into_keys().map(str::to_string).collect(),
        Some(Arguments::None) => Vec::new(),
    };
    (start, offered.into_iter().filter(|name| name.starts_with(word)).collect())
}

fn by_group(processes: &[(String, String)]) -> BTreeMap<&str, Vec<&str>> {
    let mut groups: BTreeMap<&str, Vec<&str>> = BTreeMap::new();
    for (group, process) in processes {
        groups.entry(group).or_default().push(process);
    }
    groups
}

/// Processes by name; before those of a real group the whole of it.
fn all_names(processes: &[(String, String)]) -> Vec<String> {
    let mut offered = Vec::new();
    for (group, members) in by_group(processes) {
        if members != [group] {
            offered.push(format!("{group}:*"));
        }
        offered.extend(members.into_iter().map(|process| names::join(group, process)));
    }
    offered
}

#[cfg(test)]
mod tests {
    use super::*;

    fn offered(line: &str) -> Vec<String> {
        let rows = [("cat", "cat"), ("two", "two_00"), ("two", "two_01"), ("web", "web")];
        complete(line, || rows.map(|(g, p)| (g.to_string(), p.to_string())).to_vec()).1
    }

    #[test]
    fn words() {
        assert_eq!(offered("sta"), ["start", "status"]);
        assert_eq!(offered("").len(), 22);
        assert_eq!(offered("help st"), ["start", "status", "stop"]);
        assert_eq!(offered("status "), ["cat", "two:*", "two:two_00", "two:two_01", "web"]);
        assert_eq!(offered("stop web two:"), ["two:*", "two:two_00", "two:two_01"]);
        assert_eq!(offered("remove t"), ["two"]);
        assert!(offered("maintail ").is_empty() && offered("nosuch ").is_empty());
        assert_eq!(complete("stop web tw", Vec::new).0, 9);
    }
}
