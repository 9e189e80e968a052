//! The types of values (supervisor-contract 3). Each takes the expanded text and answers with the
//! ancestor's complaint.

use super::expand::py_repr;
use crate::load::Request;
use crate::model::LogLevel;
use crate::source::{absolute, bytes_of, is_dir, path_of};
use bstr::{BStr, BString, ByteSlice};
use std::path::{Path, PathBuf};
use supers_core::signal::Signal;
use supers_core::spec::When;

/// What a parser of one value answers.
pub(crate) type Value<T> = Result<T, String>;

fn lossy(text: &BStr) -> String {
    text.to_str_lossy().into_owned()
}

/// `yes true on 1`, `no false off 0`, in any case.
pub(crate) fn boolean(text: &BStr) -> Value<bool> {
    match text.to_ascii_lowercase().as_slice() {
        b"yes" | b"true" | b"on" | b"1" => Ok(true),
        b"no" | b"false" | b"off" | b"0" => Ok(false),
        _ => Err(format!("not a valid boolean value: {}", py_repr(&lossy(text)))),
    }
}

/// A boolean, or `remember`: started with the daemon, and a stop by the operator is remembered. The second
/// value says whether it is; `always` when it is for each.
pub(crate) fn autostart(text: &BStr, always: bool) -> Value<(bool, bool)> {
    if text.eq_ignore_ascii_case(b"remember") { Ok((true, true)) } else { Ok((boolean(text)?, always)) }
}

/// Python's `int()`: sign, blanks around, single underscores between digits.
fn python_int(text: &str, radix: u32) -> Option<i64> {
    let text = text.trim();
    let (negative, digits) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    let digits = match radix {
        8 => digits.strip_prefix("0o").or_else(|| digits.strip_prefix("0O")).unwrap_or(digits),
        _ => digits,
    };
    let tidy = !digits.is_empty() && digits.split('_').all(|part| !part.is_empty());
    if !tidy || !digits.bytes().all(|b| b == b'_' || char::from(b).is_digit(radix)) {
        return None;
    }
    let plain = digits.replace('_', "");
    // More digits than fit are as good as the largest number.
    let size = i64::from_str_radix(&plain, radix).unwrap_or(i64::MAX);
    Some(if negative { -size } else { size })
}

/// An integer.
pub(crate) fn integer(text: &BStr) -> Value<i64> {
    python_int(&lossy(text), 10)
        .ok_or_else(|| format!("invalid literal for int() with base 10: {}", py_repr(&lossy(text))))
}

/// An integer where a negative one means the same as 0.
pub(crate) fn natural(text: &BStr) -> Value<u32> {
    integer(text).map(|n| u32::try_from(n.max(0)).unwrap_or(u32::MAX))
}

/// The same where more than fits into 32 bits is meant.
pub(crate) fn large(text: &BStr) -> Value<u64> {
    integer(text).map(|n| u64::try_from(n.max(0)).unwrap_or(0))
}

/// An integer as the core keeps priorities.
pub(crate) fn priority(text: &BStr) -> Value<i32> {
    integer(text).map(|n| i32::try_from(n).unwrap_or(if n < 0 { i32::MIN } else { i32::MAX }))
}

/// An integer, with `KB`, `MB` or `GB` for powers of 1024.
pub(crate) fn byte_size(text: &BStr) -> Value<u64> {
    let lower = lossy(text).to_lowercase();
    let (digits, factor) = match lower.char_indices().rev().nth(1).map(|(i, _)| lower.split_at(i)) {
        Some((digits, "kb")) => (digits, 1 << 10),
        Some((digits, "mb")) => (digits, 1 << 20),
        Some((digits, "gb")) => (digits, 1u64 << 30),
        _ => (lower.as_str(), 1),
    };
    let number = python_int(digits, 10)
        .ok_or_else(|| format!("invalid literal for int() with base 10: {}", py_repr(digits)))?;
    Ok(u64::try_from(number.max(0)).unwrap_or(0).saturating_mul(factor))
}

/// A number in base 8.
pub(crate) fn octal(text: &BStr) -> Value<u32> {
    python_int(&lossy(text), 8)
        .and_then(|n| u32::try_from(n).ok())
        .ok_or_else(|| format!("{text} can not be converted to an octal type"))
}

/// A signal by name or number.
pub(crate) fn signal(text: &BStr) -> Value<Signal> {
    let word = lossy(text);
    match python_int(&word, 10) {
        Some(n) => Signal::from_number(n)
            .ok_or_else(|| format!("value {} is not a valid signal number", py_repr(&word))),
        // `RTMIN+3` is systemd's way of counting, which Supervisor does not know.
        None => Signal::parse(&word)
            .filter(|_| !word.contains(['+', '-']))
            .ok_or_else(|| format!("value {} is not a valid signal name", py_repr(&word))),
    }
}

/// A comma list of 0 to 255; an empty text is an empty list.
pub(crate) fn exit_codes(text: &BStr) -> Value<Vec<u8>> {
    if text.is_empty() {
        return Ok(Vec::new());
    }
    let one = |part: &str| python_int(part, 10).and_then(|n| u8::try_from(n).ok());
    let all: Option<Vec<u8>> = lossy(text).split(',').map(one).collect();
    all.ok_or_else(|| format!("not a valid list of exit codes: {}", py_repr(&lossy(text))))
}

/// Boolean words or `unexpected`.
pub(crate) fn autorestart(text: &BStr) -> Value<When> {
    match boolean(text) {
        _ if text.eq_ignore_ascii_case(b"unexpected") => Ok(When::OnFailure),
        Ok(true) => Ok(When::Always),
        Ok(false) => Ok(When::Never),
        Err(_) => Err(format!("invalid 'autorestart' value {}", py_repr(&lossy(text)))),
    }
}

/// What a `*_logfile` names.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum LogFile {
    /// The daemon makes one up.
    Auto,
    /// Dropped.
    None,
    /// The deprecated spelling of `*_syslog=true` without a file.
    Syslog,
    /// A path, as written but with `~` replaced.
    Path(BString),
}

/// `AUTO`, `NONE`, `OFF`, `syslog` or a path whose folder exists.
pub(crate) fn log_file(text: &BStr, req: &Request<'_>) -> Value<LogFile> {
    match text.to_ascii_lowercase().as_slice() {
        b"auto" => Ok(LogFile::Auto),
        b"none" | b"off" => Ok(LogFile::None),
        b"syslog" => Ok(LogFile::Syslog),
        _ => existing_dirpath(text, req).map(LogFile::Path),
    }
}

/// A leading `~` or `~user` replaced by the home folder, where one is known.
pub(crate) fn tilde(text: &BStr, req: &Request<'_>) -> BString {
    let Some(rest) = text.strip_prefix(b"~") else { return text.into() };
    let (user, tail) = rest.split_at(rest.find_byte(b'/').unwrap_or(rest.len()));
    let home: Option<PathBuf> = match user {
        b"" => req.home.clone(),
        name => req.users.home_of(&name.to_str_lossy()),
    };
    match home {
        Some(home) => BString::from([bytes_of(&home).trim_end_with(|c| c == '/'), tail].concat()),
        None => text.into(),
    }
}

/// A path whose folder exists; a bare name is in the daemon's working directory.
pub(crate) fn existing_dirpath(text: &BStr, req: &Request<'_>) -> Value<BString> {
    let path = tilde(text, req);
    let parent = path_of(&path).parent().map(Path::to_path_buf).unwrap_or_default();
    if parent.as_os_str().is_empty() || is_dir(&req.cwd.join(parent)) {
        return Ok(path);
    }
    Err(format!("The directory named as part of the path {text} does not exist"))
}

/// A path whose folder exists, made absolute.
pub(crate) fn full_dirpath(text: &BStr, req: &Request<'_>) -> Value<BString> {
    existing_dirpath(text, req).map(|path| full_path(BStr::new(&path), req))
}

/// An existing folder.
pub(crate) fn existing_directory(text: &BStr, req: &Request<'_>) -> Value<BString> {
    let path = tilde(text, req);
    if !path.is_empty() && is_dir(&req.cwd.join(path_of(&path))) {
        Ok(path)
    } else {
        Err(format!("{text} is not an existing directory"))
    }
}

/// `~` replaced, made absolute from the working directory.
pub(crate) fn full_path(text: &BStr, req: &Request<'_>) -> BString {
    bytes_of(&absolute(&req.cwd, &path_of(&tilde(text, req))))
}

/// A user by name or number that exists.
pub(crate) fn user(text: &BStr, req: &Request<'_>) -> Value<String> {
    let name = lossy(text);
    let exists = !name.is_empty() && req.users.user_exists(&name);
    match python_int(&name, 10) {
        _ if exists => Ok(name),
        Some(_) => Err(format!("Invalid user id {name}")),
        None => Err(format!("Invalid user name {name}")),
    }
}

/// `user` or `user:group`, for a socket; `key` is the ancestor's word for it.
pub(crate) fn owner(text: &BStr, key: &str, req: &Request<'_>) -> Value<String> {
    let whole = lossy(text);
    let (user, group) = match whole.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (whole.as_str(), None),
    };
    if req.users.user_exists(user) && group.is_none_or(|g| req.users.group_exists(g)) {
        Ok(whole)
    } else {
        Err(format!("Invalid {key} value {whole}"))
    }
}

/// The name of a program or group.
pub(crate) fn name(text: &BStr) -> Value<String> {
    let whole = lossy(text);
    let trimmed = whole.trim();
    match trimmed.chars().find(|c| " :/".contains(*c)) {
        Some(c) => Err(format!(
            "Invalid name: {} because of character: {}",
            py_repr(&whole),
            py_repr(&c.to_string())
        )),
        None if trimmed.is_empty() => Err("Invalid name: it is empty".into()),
        None => Ok(trimmed.to_string()),
    }
}

/// A port beside a host.
pub(crate) fn port(text: &str) -> Value<u16> {
    match python_int(text, 10) {
        Some(n) if n > 65535 => Err(format!("{n} is above upper bound (65535)")),
        Some(n) if n < 1 => Err(format!("{n} is below lower bound (1)")),
        Some(n) => Ok(u16::try_from(n).unwrap_or(u16::MAX)),
        None if text.is_empty() => Err(format!("no port number specified in {}", py_repr(text))),
        None => Err(format!("invalid literal for int() with base 10: {}", py_repr(text))),
    }
}

/// `port`, `host:port`, `:port`, `*:port`. The host comes without brackets, empty for all addresses.
pub(crate) fn inet_address(text: &BStr) -> Value<(String, u16)> {
    let whole = lossy(text);
    let (host, port) = match whole.rsplit_once(':') {
        Some((host, digits)) => (host.to_lowercase(), port(digits)?),
        // A port alone: whatever is wrong with it is said in one way.
        None => (
            String::new(),
            port(&whole).map_err(|_| format!("not a valid port number: {}", py_repr(&whole)))?,
        ),
    };
    let bare = host.strip_prefix('[').and_then(|h| h.strip_suffix(']')).unwrap_or(&host);
    Ok((if bare == "*" { String::new() } else { bare.to_string() }, port))
}

/// A level of the main log.
pub(crate) fn log_level(text: &BStr) -> Value<LogLevel> {
    LogLevel::parse(&lossy(text)).ok_or_else(|| format!("bad logging level name {}", py_repr(&lossy(text))))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn booleans() {
        for t in ["yes", "TRUE", "On", "1"] {
            assert_eq!(boolean(t.into()), Ok(true), "{t}");
        }
        for t in ["no", "False", "OFF", "0"] {
            assert_eq!(boolean(t.into()), Ok(false), "{t}");
        }
        assert_eq!(boolean("2".into()).unwrap_err(), "not a valid boolean value: '2'");
        assert_eq!(boolean("".into()).unwrap_err(), "not a valid boolean value: ''");
    }

    #[test]
    fn integers() {
        for (t, n) in [("1", 1), ("-3", -3), ("+4", 4), (" 5 ", 5), ("1_000", 1000), ("007", 7)] {
            assert_eq!(integer(t.into()), Ok(n), "{t}");
        }
        for t in ["", "1.5", "x", "_1", "1__0", "--1", "0x1"] {
            let want = format!("invalid literal for int() with base 10: '{t}'");
            assert_eq!(integer(t.into()).unwrap_err(), want);
        }
        assert_eq!((priority("-5".into()), natural("-5".into())), (Ok(-5), Ok(0)));
    }

    #[test]
    fn sizes() {
        for (t, n) in [("0", 0), ("10", 10), ("1KB", 1024), ("2mb", 2 << 20), ("3 Gb", 3 << 30)] {
            assert_eq!(byte_size(t.into()), Ok(n), "{t}");
        }
        for t in ["1k", "1TB", "MB", "", "1.5MB"] {
            assert!(byte_size(t.into()).unwrap_err().starts_with("invalid literal"), "{t}");
        }
    }

    #[test]
    fn octals() {
        for t in ["022", "22", "0o22"] {
            assert_eq!(octal(t.into()), Ok(0o22), "{t}");
        }
        assert_eq!(octal("8".into()).unwrap_err(), "8 can not be converted to an octal type");
        assert_eq!(octal("-1".into()).unwrap_err(), "-1 can not be converted to an octal type");
    }

    #[test]
    fn signals() {
        assert_eq!(signal("sigterm".into()), Ok(Signal::TERM));
        assert_eq!(signal("9".into()), Ok(Signal::KILL));
        assert_eq!(signal("FOO".into()).unwrap_err(), "value 'FOO' is not a valid signal name");
        assert!(signal("RTMIN".into()).is_ok());
        assert_eq!(signal("RTMIN+3".into()).unwrap_err(), "value 'RTMIN+3' is not a valid signal name");
        assert_eq!(signal("99".into()).unwrap_err(), "value '99' is not a valid signal number");
    }

    #[test]
    fn lists_of_codes() {
        assert_eq!(exit_codes("0, 2,255".into()), Ok(vec![0, 2, 255]));
        assert_eq!(exit_codes("".into()), Ok(vec![]));
        for t in ["256", "-1", "a", "1,,2", "1,"] {
            assert_eq!(exit_codes(t.into()).unwrap_err(), format!("not a valid list of exit codes: '{t}'"));
        }
    }

    #[test]
    fn restarts() {
        assert_eq!(autorestart("Unexpected".into()), Ok(When::OnFailure));
        assert_eq!(autorestart("true".into()), Ok(When::Always));
        assert_eq!(autorestart("0".into()), Ok(When::Never));
        assert_eq!(autorestart("x".into()).unwrap_err(), "invalid 'autorestart' value 'x'");
    }

    #[test]
    fn addresses() {
        for (t, host, port) in [
            ("9001", "", 9001),
            ("*:80", "", 80),
            (":80", "", 80),
            ("LocalHost:1", "localhost", 1),
            ("[::1]:65535", "::1", 65535),
        ] {
            assert_eq!(inet_address(t.into()), Ok((host.into(), port)), "{t}");
        }
        assert_eq!(inet_address("65536".into()).unwrap_err(), "not a valid port number: '65536'");
        assert_eq!(inet_address("h:65536".into()).unwrap_err(), "65536 is above upper bound (65535)");
        assert_eq!(inet_address("h:".into()).unwrap_err(), "no port number specified in ''");
        assert_eq!(inet_address("h:0".into()).unwrap_err(), "0 is below lower bound (1)");
        assert_eq!(inet_address("http".into()).unwrap_err(), "not a valid port number: 'http'");
    }

    #[test]
    fn names_and_levels() {
        assert_eq!(name(" web ".into()), Ok("web".into()));
        let bad = name("a:b".into()).unwrap_err();
        assert_eq!(bad, "Invalid name: 'a:b' because of character: ':'");
        assert!(name("a b".into()).is_err() && name("a/b".into()).is_err() && name(" ".into()).is_err());
        assert_eq!(log_level("WARN".into()), Ok(LogLevel::Warn));
        assert_eq!(log_level("loud".into()).unwrap_err(), "bad logging level name 'loud'");
    }
}
