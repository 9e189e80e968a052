//! The daemon by its ancestor's name: the command line of Python Supervisor's `supervisord`
//! (supervisor-contract 1). What is read here becomes the same [`Args`](crate::superd) as superd's own
//! options; everything behind it is one daemon.

mod family;
mod getopt;
mod help;
pub(crate) mod words;

pub use family::{Family, family};

use crate::world::World;
use bstr::BStr;
use getopt::{Given, Opt};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use supers_config::flags::Key;
use supers_config::{Choice, Flags};

/// The version of Supervisor whose behaviour this is.
pub const SUPERVISOR_VERSION: &str = "4.3.0";

/// What the command line says.
#[derive(Debug, Default)]
pub(crate) struct Options {
    /// `-c`
    pub(crate) config: Option<PathBuf>,
    /// `--root`, which the ancestor does not have.
    pub(crate) root: Option<PathBuf>,
    /// All that stands over the file.
    pub(crate) flags: Flags,
}

/// Why nothing is to be started.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum End {
    /// Asked for a text: it goes to standard output.
    Say(String),
    /// A mistake.
    Usage(String),
}

/// Reads the words after the program's name. `prog` is that name for people.
pub(crate) fn options(args: &[OsString], prog: &str, world: &World) -> Result<Options, End> {
    let given = getopt::parse(args).map_err(End::Usage)?;
    let mut options = Options::default();
    let mut seen: Vec<Opt> = Vec::new();
    for Given { opt, name, value } in given {
        if seen.contains(&opt) {
            return Err(End::Usage(format!("conflicting command line option '{name}'")));
        }
        seen.push(opt);
        match opt {
            Opt::Help => return Err(End::Say(help::text(prog))),
            Opt::Version => return Err(End::Say(format!("{SUPERVISOR_VERSION}\n"))),
            Opt::Configuration => {
                options.flags.file = Some(value.as_bytes().into());
                options.config = Some(value.into());
            }
            Opt::Root => options.root = Some(value.into()),
            Opt::Nodaemon => options.flags.nodaemon = true,
            Opt::Silent => options.flags.silent = true,
            Opt::Nocleanup => options.flags.nocleanup = true,
            Opt::StripAnsi => options.flags.strip_ansi = true,
            // There is no Python to profile.
            Opt::ProfileOptions => {}
            Opt::Key(key) => set(&mut options.flags, key, &name, &value, world)?,
        }
    }
    Ok(options)
}

fn set(flags: &mut Flags, key: Key, name: &str, value: &OsStr, world: &World) -> Result<(), End> {
    // No file is read yet: only users and folders are asked for.
    let choice = Choice::File(PathBuf::new());
    let text = BStr::new(value.as_bytes());
    flags
        .set(key, text, &world.request(&choice, Path::new("")))
        .map_err(|why| End::Usage(format!("invalid value for {name} '{text}': {why}")))
}

/// The program's path as it was called: with its folder, also when the shell found it.
pub(crate) fn called_path(argv0: &OsStr, path: Option<&OsStr>) -> PathBuf {
    if argv0.as_bytes().contains(&b'/') {
        return argv0.into();
    }
    let folders = path.map(std::env::split_paths).into_iter().flatten();
    folders.map(|dir| dir.join(argv0)).find(|p| p.is_file()).unwrap_or_else(|| argv0.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use supers_config::{LogLevel, Personality};

    fn read(line: &str) -> Result<Options, End> {
        let args: Vec<OsString> = line.split_whitespace().map(OsString::from).collect();
        options(&args, "prog", &World::here(Personality::Supervisord))
    }

    fn usage(line: &str) -> String {
        match read(line) {
            Err(End::Usage(text)) => text,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn every_flag_has_its_place() {
        let o = read(
            "-nskt -c x.conf -u me -m 027 -d / -l syslog -y 5MB -z 3 -e DEBUG -j p -i id -q / -a 7 --minprocs 8",
        );
        let o = o.unwrap();
        let f = o.flags;
        assert_eq!(o.config.as_deref(), Some(Path::new("x.conf")));
        assert!(f.nodaemon && f.silent && f.nocleanup && f.strip_ansi);
        assert_eq!((f.user.as_deref(), f.umask), (Some("me"), Some(0o27)));
        assert_eq!((f.logfile_maxbytes, f.logfile_backups), (Some(5 << 20), Some(3)));
        assert_eq!((f.loglevel, f.identifier.as_deref()), (Some(LogLevel::Debug), Some("id")));
        assert_eq!((f.minfds, f.minprocs), (Some(7), Some(8)));
        assert!(f.pidfile.is_some_and(|p| p.ends_with(b"/p")) && f.directory.is_some());
        assert!(f.childlogdir.is_some() && f.logfile.is_some());
    }

    #[test]
    fn mistakes_are_told_in_the_order_of_the_words() {
        assert_eq!(usage("-n -n -e loud"), "conflicting command line option '-n'");
        assert_eq!(usage("-n --nodae"), "conflicting command line option '--nodaemon'");
        assert_eq!(usage("-e loud -n -n"), "invalid value for -e 'loud': bad logging level name 'loud'");
        assert_eq!(
            usage("--minp x -h"),
            "invalid value for --minprocs 'x': invalid literal for int() with base 10: 'x'"
        );
        assert_eq!(usage("-h word"), "positional arguments are not supported: ['word']");
    }

    #[test]
    fn help_and_version_come_before_later_mistakes() {
        assert_eq!(read("-v -e loud").unwrap_err(), End::Say("4.3.0\n".into()));
        let Err(End::Say(text)) = read("-n?") else { panic!() };
        assert!(text.contains("Usage: prog [options]"), "{text}");
        for row in ["-c/--configuration FILENAME", "-q/--childlogdir DIRECTORY", "--minprocs NUM"] {
            assert!(text.contains(row), "{row}");
        }
    }

    #[test]
    fn the_path_that_was_called() {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("supervisord"), "").unwrap();
        let found = called_path("supervisord".as_ref(), Some(dir.path().as_os_str()));
        assert_eq!(found, dir.path().join("supervisord"));
        assert_eq!(called_path("./supervisord".as_ref(), None), Path::new("./supervisord"));
        assert_eq!(called_path("gone".as_ref(), Some(dir.path().as_os_str())), Path::new("gone"));
    }
}
