//! What `supers status --json` says, with questions to it.

use serde_json::Value;

/// All units at one moment.
#[derive(Clone, Debug, Default)]
pub struct Programs(pub Vec<Value>);

impl Programs {
    /// Reads the array that the client prints; `None` when it is none.
    pub fn parse(text: &str) -> Option<Programs> {
        match serde_json::from_str(text).ok()? {
            Value::Array(rows) => Some(Programs(rows)),
            _ => None,
        }
    }

    /// The object of one unit, by `name` or `group:name`; `Null` when there is none.
    pub fn get(&self, name: &str) -> &Value {
        const NOTHING: &Value = &Value::Null;
        let (group, unit) = name.split_once(':').unwrap_or((name, name));
        let is = |row: &&Value| row["name"] == unit && row["group"] == group;
        self.0.iter().find(is).unwrap_or(NOTHING)
    }

    /// Supervisor's word; empty when there is no such unit.
    pub fn state(&self, name: &str) -> &str {
        self.get(name)["state"].as_str().unwrap_or_default()
    }

    /// The main process; 0 when there is none.
    pub fn pid(&self, name: &str) -> i32 {
        self.get(name)["pid"].as_i64().and_then(|p| i32::try_from(p).ok()).unwrap_or(0)
    }

    /// Why it is not running.
    pub fn reason(&self, name: &str) -> &str {
        self.get(name)["reason"].as_str().unwrap_or_default()
    }

    /// Automatic restarts so far.
    pub fn restarts(&self, name: &str) -> u64 {
        self.get(name)["restarts"].as_u64().unwrap_or(0)
    }

    /// All pids, without the zeros.
    pub fn pids(&self) -> Vec<i32> {
        let pid = |row: &Value| row["pid"].as_i64().and_then(|p| i32::try_from(p).ok()).filter(|p| *p > 0);
        self.0.iter().filter_map(pid).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        let text = r#"[{"name":"web","group":"web","state":"RUNNING","pid":7,"restarts":2,"reason":""},
                       {"name":"a","group":"g","state":"FATAL","pid":0,"reason":"no command"}]"#;
        let p = Programs::parse(text).unwrap();
        assert_eq!((p.state("web"), p.pid("web"), p.restarts("web")), ("RUNNING", 7, 2));
        assert_eq!((p.state("g:a"), p.reason("g:a")), ("FATAL", "no command"));
        assert_eq!((p.state("a"), p.pid("a")), ("", 0));
        assert_eq!(p.pids(), [7]);
        assert!(Programs::parse("{}").is_none());
        assert!(Programs::parse("no daemon").is_none());
    }
}
