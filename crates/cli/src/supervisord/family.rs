//! Which of the two programs called `supervisord` is meant: Python's, or the port in Go.

use std::ffi::OsString;
use std::os::unix::ffi::OsStrExt;

/// Whose rules a command line follows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Family {
    /// Python Supervisor's.
    Python,
    /// The Go port's.
    Go,
}

/// Letters of the Python program that take a value, but for `-d`, which means something in both.
const WITH_VALUE: &[u8] = b"cumlyzejiqa";

/// Judges by the name and the words after it. What only the Go port has decides for it: its commands, its
/// long flags, and `-d` without a folder. The value of another option decides nothing.
pub fn family(called: &str, args: &[OsString]) -> Family {
    const COMMANDS: [&[u8]; 4] = [b"ctl", b"version", b"init", b"service"];
    let words: Vec<&[u8]> = args.iter().map(|a| a.as_bytes()).collect();
    let first_is_command = words.first().is_some_and(|word| COMMANDS.contains(word));
    if called == "go-supervisord" || first_is_command {
        return Family::Go;
    }
    let mut rest = words.as_slice();
    while let [word, after @ ..] = rest {
        rest = after;
        let flag = word.split(|b| *b == b'=').next().unwrap_or_default();
        if flag == b"--env-file" || flag == b"--daemon" || flag.starts_with(b"--nacos-") {
            return Family::Go;
        }
        if *word == b"-d" && after.first().is_none_or(|next| next.starts_with(b"-")) {
            return Family::Go;
        }
        let takes_value = matches!(word, [b'-', letter] if *letter == b'd' || WITH_VALUE.contains(letter));
        if takes_value {
            rest = after.get(1..).unwrap_or_default();
        }
    }
    Family::Python
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_decides() {
        let judge = |line: &str| {
            let mut words = line.split_whitespace();
            let called = words.next().unwrap();
            family(called, &words.map(OsString::from).collect::<Vec<_>>())
        };
        for line in [
            "go-supervisord -c x",
            "supervisord ctl status",
            "supervisord version",
            "supervisord init -o x",
            "supervisord service install",
            "supervisord -c x -d",
            "supervisord -d -c x",
            "supervisord --daemon -c x",
            "supervisord -c x --env-file=y",
            "supervisord -c x --env-file y",
            "supervisord --nacos-addr=y",
        ] {
            assert_eq!(judge(line), Family::Go, "{line}");
        }
        for line in [
            "supervisord",
            "supervisord -c x -n",
            "supervisord -d /tmp -c x",
            "supervisord -c ctl",
            "supervisord -c x ctl",
            "supervisord -i -d",
            "supervisord -i --daemon",
            "supervisord -v",
        ] {
            assert_eq!(judge(line), Family::Python, "{line}");
        }
    }
}
