//! Options as Python's `getopt` reads them: bundled letters, long names by unique prefix, and nothing is an
//! option after the first word that is none. The complaints are its own.

use bstr::ByteSlice;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use supers_config::flags::Key;
use supers_config::py_repr;

/// An option.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Opt {
    Help,
    Version,
    Configuration,
    Nodaemon,
    Silent,
    Nocleanup,
    StripAnsi,
    ProfileOptions,
    /// Ours.
    Root,
    /// One that is a key of the file too.
    Key(Key),
}

/// An option as it was given.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Given {
    pub(super) opt: Opt,
    /// `-n`, or the whole long name.
    pub(super) name: String,
    /// Empty where there is none.
    pub(super) value: OsString,
}

/// Letter, long name, whether a value follows.
const TABLE: [(Option<char>, &str, Opt, bool); 21] = [
    (Some('c'), "configuration", Opt::Configuration, true),
    (Some('n'), "nodaemon", Opt::Nodaemon, false),
    (Some('s'), "silent", Opt::Silent, false),
    (Some('h'), "help", Opt::Help, false),
    (Some('v'), "version", Opt::Version, false),
    (Some('u'), "user", Opt::Key(Key::User), true),
    (Some('m'), "umask", Opt::Key(Key::Umask), true),
    (Some('d'), "directory", Opt::Key(Key::Directory), true),
    (Some('l'), "logfile", Opt::Key(Key::Logfile), true),
    (Some('y'), "logfile_maxbytes", Opt::Key(Key::LogfileMaxbytes), true),
    (Some('z'), "logfile_backups", Opt::Key(Key::LogfileBackups), true),
    (Some('e'), "loglevel", Opt::Key(Key::Loglevel), true),
    (Some('j'), "pidfile", Opt::Key(Key::Pidfile), true),
    (Some('i'), "identifier", Opt::Key(Key::Identifier), true),
    (Some('q'), "childlogdir", Opt::Key(Key::Childlogdir), true),
    (Some('k'), "nocleanup", Opt::Nocleanup, false),
    (Some('a'), "minfds", Opt::Key(Key::Minfds), true),
    (Some('t'), "strip_ansi", Opt::StripAnsi, false),
    (None, "minprocs", Opt::Key(Key::Minprocs), true),
    (None, "profile_options", Opt::ProfileOptions, true),
    (None, "root", Opt::Root, true),
];

/// The words that follow an option's own.
struct Rest<'a>(&'a [OsString]);

impl Rest<'_> {
    fn value_of(&mut self, name: &str) -> Result<OsString, String> {
        let (value, rest) = self.0.split_first().ok_or_else(|| format!("option {name} requires argument"))?;
        self.0 = rest;
        Ok(value.clone())
    }
}

/// All options in their order.
pub(super) fn parse(args: &[OsString]) -> Result<Vec<Given>, String> {
    let mut given = Vec::new();
    let mut rest = Rest(args);
    while let Some((word, after)) = rest.0.split_first() {
        let bytes = word.as_bytes();
        if bytes == b"--" {
            rest.0 = after;
            break;
        }
        let is_option = bytes.len() > 1 && bytes.starts_with(b"-");
        if !is_option {
            break;
        }
        rest.0 = after;
        match bytes.strip_prefix(b"--") {
            Some(long) => given.push(long_option(long, &mut rest)?),
            None => letters(bytes.get(1..).unwrap_or_default(), &mut rest, &mut given)?,
        }
    }
    if rest.0.is_empty() {
        return Ok(given);
    }
    let words: Vec<String> = rest.0.iter().map(|w| py_repr(&w.to_string_lossy())).collect();
    Err(format!("positional arguments are not supported: [{}]", words.join(", ")))
}

fn long_option(word: &[u8], rest: &mut Rest<'_>) -> Result<Given, String> {
    let (name, value) = match word.split_once_str("=") {
        Some((name, value)) => (name, Some(value)),
        None => (word, None),
    };
    let said = name.to_str_lossy();
    let mut found = TABLE.iter().filter(|row| row.1.as_bytes().starts_with(name));
    let exact = TABLE.iter().find(|row| row.1.as_bytes() == name);
    let row = match (exact, found.next(), found.next()) {
        (Some(row), _, _) | (None, Some(row), None) => row,
        (None, None, _) => return Err(format!("option --{said} not recognized")),
        (None, Some(_), Some(_)) => return Err(format!("option --{said} not a unique prefix")),
    };
    let (_, long, opt, takes_value) = row;
    let name = format!("--{long}");
    let value = match (takes_value, value) {
        (true, Some(value)) => OsStr::from_bytes(value).to_owned(),
        (true, None) => rest.value_of(&name)?,
        (false, Some(_)) => return Err(format!("option {name} must not have an argument")),
        (false, None) => OsString::new(),
    };
    Ok(Given { opt: *opt, name, value })
}

/// `-nc FILE`, `-ncFILE`.
fn letters(word: &[u8], rest: &mut Rest<'_>, given: &mut Vec<Given>) -> Result<(), String> {
    let mut left = word;
    while let (Some(letter), size) = bstr::decode_utf8(left) {
        left = left.get(size..).unwrap_or_default();
        let name = format!("-{letter}");
        let known = if letter == '?' { 'h' } else { letter };
        let row = TABLE.iter().find(|row| row.0 == Some(known));
        let (_, _, opt, takes_value) = row.ok_or_else(|| format!("option {name} not recognized"))?;
        if !takes_value {
            given.push(Given { opt: *opt, name, value: OsString::new() });
            continue;
        }
        let value = match left {
            [] => rest.value_of(&name)?,
            value => OsString::from_vec(value.to_vec()),
        };
        given.push(Given { opt: *opt, name, value });
        return Ok(());
    }
    match left {
        [] => Ok(()),
        other => Err(format!("option -{} not recognized", other.to_str_lossy())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(line: &str) -> String {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        match parse(&args) {
            Ok(given) => given.iter().map(|g| format!("[{} {}]", g.name, g.value.display())).collect(),
            Err(why) => why,
        }
    }

    #[test]
    fn forms() {
        for (line, want) in [
            ("", ""),
            ("-nsc f -t", "[-n ][-s ][-c f][-t ]"),
            ("-cf", "[-c f]"),
            ("-c -n", "[-c -n]"),
            ("--conf=a=b", "[--configuration a=b]"),
            ("--conf f", "[--configuration f]"),
            ("--logfile f", "[--logfile f]"),
            ("--logfile_m 1", "[--logfile_maxbytes 1]"),
            ("--conf=", "[--configuration ]"),
            ("-n --", "[-n ]"),
            ("-?", "[-? ]"),
            ("--root /r", "[--root /r]"),
        ] {
            assert_eq!(read(line), want, "{line}");
        }
    }

    #[test]
    fn complaints() {
        for (line, want) in [
            ("-x", "option -x not recognized"),
            ("-nx", "option -x not recognized"),
            ("--foo", "option --foo not recognized"),
            ("-é", "option -é not recognized"),
            ("-c", "option -c requires argument"),
            ("--conf", "option --configuration requires argument"),
            ("--no", "option --no not a unique prefix"),
            ("--log x", "option --log not a unique prefix"),
            ("--nod=1", "option --nodaemon must not have an argument"),
            ("x -n", "positional arguments are not supported: ['x', '-n']"),
            ("-n -- -c", "positional arguments are not supported: ['-c']"),
            ("-", "positional arguments are not supported: ['-']"),
        ] {
            assert_eq!(read(line), want, "{line}");
        }
    }
}
