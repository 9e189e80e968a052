//! What differs between two runs by nature is replaced by a word; everything else must be the same.

use regex::{Captures, Regex};
use std::sync::LazyLock;

type Rule = (&'static str, &'static str);

/// In this order. A zero pid stays: no process is not a process.
const RULES: [Rule; 20] = [
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,\d{3}", "TIME"),
    (r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun),? [A-Z][a-z]{2} [ \d]\d \d\d:\d\d:\d\d \d{4}", "DATE"),
    (r"\b(Mon|Tue|Wed|Thu|Fri|Sat|Sun), \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT", "DATE"),
    (r"\b[A-Z][a-z]{2} \d\d \d\d:\d\d [AP]M", "STOPTIME"),
    (r"uptime (\d+ days?, )?\d+:\d\d:\d\d", "uptime UPTIME"),
    (r"\b([Pp][Ii][Dd]s?:? ?|pid: int )[1-9]\d*", "${1}PID"),
    (r"\bexited: (\S+) \(pid [1-9]\d*", "exited: $1 (pid PID"),
    (r"killing '(\S+)' \([1-9]\d*\) with", "killing '$1' (PID) with"),
    (r"(sock|ROOT/\S+)\.[1-9]\d*(['\s])", "$1.PID$2"),
    (r"---([\w.-]+)-[a-z0-9_]{8}\.log", "---$1-RANDOM.log"),
    (r"\b(start|stop|now): int [1-9]\d*", "$1: int TIME"),
    (r"file: \S+ line: \d+", "file: FILE line: N"),
    (r"\b(when:)(\d+)", "${1}N"),
    (r"<socket\.socket [^>]*>", "SOCKET"),
    (r" at 0x[0-9a-f]+", " at ADDRESS"),
    (r"\b(socket|pipe):\[\d+\]", "$1:[N]"),
    // A warning of Python names its own source and quotes it.
    (r"[^\s|!]+: UserWarning: ", "WARNING: "),
    (r"(?m)^ *!  self\.warnings\.warn\(\n", ""),
    (r"(child|pgid|ppid|sid|pgrp) [1-9]\d*", "$1 PID"),
    (r"(?m)[ \t]+$", ""),
];

static COMPILED: LazyLock<Vec<(Regex, &str)>> = LazyLock::new(|| {
    let compile = |(pattern, with): Rule| (Regex::new(pattern).expect("a pattern of this file"), with);
    RULES.into_iter().map(compile).collect()
});

static EVENT: LazyLock<Regex> =
    LazyLock::new(|| Regex::new(r"^(ver:.* )len:(\d+)$").expect("a pattern of this file"));

/// Replaces places (longest first) and then all of the table.
pub(crate) fn text(text: &str, places: &[(String, String)]) -> String {
    let mut text = text.to_string();
    for (place, word) in places {
        text = text.replace(place.as_str(), word);
    }
    for (pattern, with) in COMPILED.iter() {
        text = pattern.replace_all(&text, *with).into_owned();
    }
    text
}

/// An event: the length in its header is checked against the payload, then counted anew, because pids and paths
/// have other lengths in another run.
pub(crate) fn event(header: &str, payload: &str, places: &[(String, String)]) -> String {
    let normal = self::text(payload, places);
    let count = |caps: &Captures<'_>| {
        let right = caps[2].parse() == Ok(payload.chars().count());
        let note =
            if right { String::new() } else { format!(" (WRONG: {} in truth)", payload.chars().count()) };
        format!("{}len:{}{note}", &caps[1], normal.chars().count())
    };
    let header = EVENT.replace(header, count).into_owned();
    let shown: Vec<String> = normal.split('\n').map(|l| format!("  |{l}")).collect();
    format!("{}\n{}\n", self::text(&header, places), shown.join("\n"))
}

/// Lines that consist of a number only, as `supervisorctl pid` prints them.
pub(crate) fn bare_pids(text: &str) -> String {
    let pid = |l: &str| l.len() > 1 && l.bytes().all(|b| b.is_ascii_digit());
    text.split_inclusive('\n')
        .map(|l| if pid(l.trim_end()) { l.replace(l.trim_end(), "PID") } else { l.into() })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_replaced() {
        let places = [("/tmp/twABC/x".to_string(), "X".to_string()), ("/tmp/twABC".into(), "ROOT".into())];
        let cases = [
            ("2026-11-21 09:08:07,123 INFO x", "TIME INFO x"),
            ("pid 4711, uptime 1 day, 0:00:05", "pid PID, uptime UPTIME"),
            ("pid:12 pid:0 pid: int 77 pid: int 0", "pid:PID pid:0 pid: int PID pid: int 0"),
            ("killing 'a' (123) with SIGKILL", "killing 'a' (PID) with SIGKILL"),
            ("/tmp/twABC/x /tmp/twABC/y", "X ROOT/y"),
            ("/tmp/twABC/web-stdout---supervisor-a_b0c1d2.log", "ROOT/web-stdout---supervisor-RANDOM.log"),
            ("\"Nov 21 12:19 PM\"", "\"STOPTIME\""),
            ("at Sat Nov 21 12:30:00 2026", "at DATE"),
            ("start: int 0 stop: int 1795000000", "start: int 0 stop: int TIME"),
            ("exit status 3; attempt 2", "exit status 3; attempt 2"),
            ("  !/a/b.py:4: UserWarning: x\n  !  self.warnings.warn(\n", "  !WARNING: x\n"),
        ];
        for (from, to) in cases {
            assert_eq!(text(from, &places), to);
        }
    }

    #[test]
    fn an_event_keeps_its_honest_length() {
        let shown = event("ver:3.0 serial:1 len:8", "pid:4711", &[]);
        assert_eq!(shown, "ver:3.0 serial:1 len:7\n  |pid:PID\n");
        assert!(event("ver:3.0 serial:1 len:9", "pid:4711", &[]).contains("WRONG: 8 in truth"));
        assert!(event("ver:3.0 len:2", "äö", &[]).starts_with("ver:3.0 len:2\n"));
    }

    #[test]
    fn pids_alone_on_their_line() {
        assert_eq!(bare_pids("4711\n0\na 12\n"), "PID\n0\na 12\n");
    }
}
