//! Text that is the same in every run: what differs by nature is replaced by a word.

/// Replaces moments, pids and spans of time.
///
/// | written | becomes |
/// |---|---|
/// | `2026-11-21 09:08:07,123`, `2026-11-21T09:08:07Z` | `TIME` |
/// | `pid 123`, `PID 123`, `"pid": 123` | `pid PID`, ... |
/// | `uptime 0:00:05`, `uptime 1 day, 0:00:05` | `uptime UPTIME` |
/// | `"uptime_s": 5`, `"since": 17000` and the other times of the status object | `"uptime_s": N` |
/// | `after 350 ms`, `after 2 min 5 s`, `next try in 4 s` | `after SPAN`, `next try in SPAN` |
pub fn text(text: &str) -> String {
    let text = replace(text, moment);
    let text = replace(&text, |t| word_then_number(t, &["pid ", "PID ", "\"pid\": ", "\"pid\":"], "PID"));
    let text = replace(&text, uptime);
    let times: [&str; 8] = [
        "\"uptime_s\": ",
        "\"since\": ",
        "\"started\": ",
        "\"ended\": ",
        "\"uptime_s\":",
        "\"since\":",
        "\"started\":",
        "\"ended\":",
    ];
    let text = replace(&text, |t| word_then_number(t, &times, "N"));
    replace(&text, span)
}

/// Walks over the text; where `find` recognises something at the start of the rest, it says how many bytes and
/// what stands for them.
fn replace(text: &str, find: impl Fn(&str) -> Option<(usize, String)>) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        // Only where a word begins.
        let inside = out.ends_with(|c: char| c.is_ascii_alphanumeric()) && first.is_ascii_alphanumeric();
        match find(rest).filter(|_| !inside) {
            Some((length, word)) => {
                out.push_str(&word);
                rest = &rest[length..];
            }
            None => {
                out.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    out
}

fn digits(text: &str) -> usize {
    text.bytes().take_while(u8::is_ascii_digit).count()
}

/// Length of the part that fits a pattern, where `9` is a digit.
fn fits(text: &str, pattern: &str) -> Option<usize> {
    let ok = |(a, p): (u8, u8)| if p == b'9' { a.is_ascii_digit() } else { a == p };
    (text.len() >= pattern.len() && text.bytes().zip(pattern.bytes()).all(ok)).then_some(pattern.len())
}

fn moment(text: &str) -> Option<(usize, String)> {
    let mut length = fits(text, "9999-99-99 99:99:99").or_else(|| fits(text, "9999-99-99T99:99:99"))?;
    let rest = &text[length..];
    if let Some(part) = rest.strip_prefix([',', '.']).map(digits).filter(|n| *n > 0) {
        length += 1 + part;
    }
    if text[length..].starts_with('Z') {
        length += 1;
    }
    Some((length, "TIME".into()))
}

fn word_then_number(text: &str, words: &[&str], becomes: &str) -> Option<(usize, String)> {
    let word = words.iter().find(|w| text.starts_with(**w))?;
    match digits(&text[word.len()..]) {
        0 => None,
        // No process is not a process: zero stays.
        1 if text[word.len()..].starts_with('0') => None,
        n => Some((word.len() + n, format!("{word}{becomes}"))),
    }
}

fn uptime(text: &str) -> Option<(usize, String)> {
    let mut rest = text.strip_prefix("uptime ")?;
    let days = digits(rest);
    if let Some(more) = rest[days..].strip_prefix(" day") {
        rest = more.strip_prefix('s').unwrap_or(more).strip_prefix(", ")?;
    }
    let hours = digits(rest);
    let length = fits(&rest[hours..], ":99:99").filter(|_| hours > 0)?;
    Some((text.len() - rest.len() + hours + length, "uptime UPTIME".into()))
}

fn span(text: &str) -> Option<(usize, String)> {
    let word = ["after ", "next try in "].into_iter().find(|w| text.starts_with(w))?;
    let mut rest = &text[word.len()..];
    let mut length = 0;
    while let Some(part) = number_and_unit(rest) {
        rest = &rest[part..];
        length = text.len() - rest.len();
        rest = rest.strip_prefix(' ').unwrap_or(rest);
    }
    (length > 0).then(|| (length, format!("{word}SPAN")))
}

fn number_and_unit(text: &str) -> Option<usize> {
    let n = digits(text);
    let unit = text.get(n..)?.strip_prefix(' ').filter(|_| n > 0)?;
    let end = unit.bytes().take_while(u8::is_ascii_alphabetic).count();
    ["ms", "s", "min", "h", "d"].contains(&&unit[..end]).then_some(n + 1 + end)
}

#[cfg(test)]
mod tests {
    use super::text;

    #[test]
    fn what_is_replaced() {
        let cases = [
            ("2026-11-21 09:08:07,123 INFO x", "TIME INFO x"),
            ("at 2026-11-21T09:08:07.5Z.", "at TIME."),
            ("RUNNING pid 4711, uptime 0:00:05", "RUNNING pid PID, uptime UPTIME"),
            ("uptime 2 days, 10:00:05 x", "uptime UPTIME x"),
            (
                r#"{"pid": 12, "uptime_s":3, "since": 17, "restarts": 4}"#,
                r#"{"pid": PID, "uptime_s":N, "since": N, "restarts": 4}"#,
            ),
            ("exit status 3 after 350 ms; next try in 4 s", "exit status 3 after SPAN; next try in SPAN"),
            ("terminated after 2 min 5 s, again", "terminated after SPAN, again"),
        ];
        for (from, to) in cases {
            assert_eq!(text(from), to);
        }
    }

    #[test]
    fn what_stays() {
        for same in [
            r#""pid": 0"#,
            "rapid 7",
            "after 3 tries",
            "after all",
            "uptime 5",
            "2026-11-21",
            "exit status 3",
        ] {
            assert_eq!(text(same), same);
        }
    }
}
