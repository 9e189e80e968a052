//! Small questions about values, as text.

/// Keys of programs that only the Go port has (go-family-contract 1, K02 to K32).
pub(super) const GO_PROGRAM: &[&str] = &[
    "envfiles",
    "env_files",
    "depends_on",
    "restart_when_binary_changed",
    "restart_cmd_when_binary_changed",
    "restart_signal_when_binary_changed",
    "restart_directory_monitor",
    "restart_file_pattern",
    "restart_filepattern",
    "restart_file_patterns",
    "restart_cmd_when_file_changed",
    "restart_signal_when_file_changed",
    "restartpause",
    "killwaitsecs",
    "syslog_facility",
    "syslog_tag",
    "syslog_stdout_priority",
    "syslog_stderr_priority",
    "cron",
    "pre_start_hook",
    "pre_stop_hook",
    "liveness_check_script",
    "liveness_check_initial_delay",
    "liveness_check_period",
    "liveness_check_timeout",
    "liveness_check_success_threshold",
    "liveness_check_success_action",
    "liveness_check_failure_threshold",
    "liveness_check_failure_action",
    "conf_file",
];

/// Keys with yes or no.
pub(super) const BOOLEANS: &[&str] = &[
    "autostart",
    "autorestart",
    "stopasgroup",
    "killasgroup",
    "redirect_stderr",
    "stdout_events_enabled",
    "stderr_events_enabled",
];

/// Keys with a whole number.
pub(super) const NUMBERS: &[&str] = &[
    "numprocs",
    "numprocs_start",
    "priority",
    "startsecs",
    "startretries",
    "stopwaitsecs",
    "stdout_logfile_backups",
    "stderr_logfile_backups",
    "logfile_backups",
    "minfds",
    "minprocs",
    "buffer_size",
];

/// True for text that is no plain number.
pub(super) fn odd_number(text: &str) -> bool {
    let digits = text.strip_prefix('-').unwrap_or(text);
    digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit())
}

/// A size above 0, as far as the text shows.
pub(super) fn some_size(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && !zero_size(text)
}

/// `0`, `0MB`.
pub(super) fn zero_size(text: &str) -> bool {
    let digits = text.trim_end_matches(|c: char| c.is_ascii_alphabetic()).trim();
    !digits.is_empty() && digits.bytes().all(|b| b == b'0')
}

/// A comment sign after a blank inside quotes, in a line as it stands in the file: it cuts the value.
pub(super) fn cut_in_quotes(line: &str) -> bool {
    let mut quote: Option<char> = None;
    let mut blank = true;
    for c in line.chars() {
        match quote {
            Some(_) if blank && (c == ';' || c == '#') => return true,
            // Outside of quotes it is a comment that was meant.
            None if blank && (c == ';' || c == '#') => return false,
            Some(q) if c == q => quote = None,
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(_) | None => {}
        }
        blank = c.is_whitespace();
    }
    false
}

/// A quote that does not open its word, or a backslash.
pub(super) fn inner_quotes(command: &str) -> bool {
    let mut before = ' ';
    let mut quote: Option<char> = None;
    for c in command.chars() {
        match quote {
            _ if c == '\\' => return true,
            Some(q) if c == q => quote = None,
            None if c == '\'' || c == '"' => {
                if !before.is_whitespace() {
                    return true;
                }
                quote = Some(c);
            }
            Some(_) | None => {}
        }
        before = c;
    }
    false
}

/// A value of `environment` that 4.3 and 4.4 read differently: an escape, or one quote inside the other.
pub(super) fn quoting_differs(environment: &str) -> bool {
    let mut quote: Option<char> = None;
    for c in environment.chars() {
        match quote {
            _ if c == '\\' => return true,
            Some(q) if c == q => quote = None,
            Some(_) if c == '\'' || c == '"' => return true,
            None if c == '\'' || c == '"' => quote = Some(c),
            Some(_) | None => {}
        }
    }
    false
}

/// A mode that lets everybody write to a socket.
pub(super) fn open_mode(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| "2367".contains(c))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn questions() {
        assert!(cut_in_quotes("k=sh -c \"a ; b\"") && cut_in_quotes("k='a #b'"));
        assert!(!cut_in_quotes("k=sh ; \"a ; b\"") && !cut_in_quotes("k=\"a;b\" ; it's ; x"));
        assert!(inner_quotes("x --o=\"a b\"") && inner_quotes("x a\\ b") && inner_quotes("x 'a'\"b\""));
        assert!(!inner_quotes("sh -c 'echo \"hi\"'"));
        assert!(
            quoting_differs("A=\"it's\"")
                && quoting_differs("A=\"a\\n\"")
                && !quoting_differs("A='b',C=\"d\"")
        );
        assert!(
            some_size("10MB") && !some_size("0KB") && zero_size("0") && zero_size("00GB") && !zero_size("MB")
        );
        assert!(open_mode("0777") && open_mode("722") && !open_mode("0770") && !open_mode("0700"));
        assert!(odd_number("1_000") && odd_number("+5") && odd_number("") && !odd_number("-5"));
    }
}
