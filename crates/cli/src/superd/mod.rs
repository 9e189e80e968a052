//! `superd`: launcher, keeper and daemon are one executable in three roles.
//!
//! The *launcher* is what a person starts. It checks the command line, takes the configuration's lock
//! and becomes the *keeper* by exec (same pid, a clean small address space). The keeper starts the
//! *daemon* and outlives it. With `-d` the launcher stays on the terminal until all is ready.
//!
//! The executable answers to other names too, by link or by a leading `--as NAME`: see `Name`.

mod ancestor;
mod args;
mod check;
mod daemon;
mod guard;
mod launch;
mod listen;
mod rebind;
mod surroundings;

use crate::supervisord::{self, End, Family};
use crate::world::World;
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use supers_config::Personality;

/// Tells the keeper role which descriptors the launcher left it.
pub const LAUNCH_ENV: &str = "SUPERS_LAUNCH";

/// Exit code of a broken configuration or command line.
pub const EXIT_USAGE: i32 = 2;

/// The ancestor's program as it was called, when this process speaks as it does.
static SPEAKS_AS: OnceLock<String> = OnceLock::new();

/// The programs that this executable is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Name {
    Superd,
    Supers,
    Supervisord,
    Supervisorctl,
    EchoConf,
    Pidproxy,
    /// The Go port's daemon.
    GoSupervisord,
}

impl Name {
    const ALL: [(&'static str, Name); 7] = [
        ("superd", Name::Superd),
        ("supers", Name::Supers),
        ("supervisord", Name::Supervisord),
        ("supervisorctl", Name::Supervisorctl),
        ("echo_supervisord_conf", Name::EchoConf),
        ("pidproxy", Name::Pidproxy),
        ("go-supervisord", Name::GoSupervisord),
    ];

    fn parse(word: &OsStr) -> Option<Name> {
        Name::ALL.iter().find(|row| row.0.as_bytes() == word.as_bytes()).map(|row| row.1)
    }
}

/// Runs superd in whichever role and by whichever name this process has; the exit code.
pub fn main(argv: Vec<OsString>) -> i32 {
    let called = argv.first().map(|a| Path::new(a).file_name().unwrap_or(a).to_os_string());
    let called = called.unwrap_or_else(|| "superd".into());
    if launch::is_keeper(&called) {
        return launch::keeper(&argv);
    }
    // Asked by a daemon before it makes way for this program, whatever that is called.
    if let [_, flag, runtime] = argv.as_slice()
        && flag == "--check-state"
    {
        return check::check_state(Path::new(runtime));
    }
    // A name given in front of everything else counts like a link of that name.
    let (name, words) = match leading_name(&argv) {
        Some((name, count)) => (Name::parse(name), argv.get(1 + count..).unwrap_or_default()),
        None => (Some(Name::parse(&called).unwrap_or(Name::Superd)), argv.get(1..).unwrap_or_default()),
    };
    match name {
        Some(Name::Superd) | None => own(&argv, &called),
        Some(Name::Supers) => {
            crate::supers::main(std::iter::once(OsString::from("supers")).chain(words.to_vec()))
        }
        // It shows how it was called, and searches for files beside that.
        Some(Name::Supervisorctl) => crate::supervisorctl::main(argv.iter().cloned()),
        Some(Name::EchoConf) => crate::echo_conf::main(),
        Some(Name::Pidproxy) => crate::pidproxy::main(argv.first().map(OsString::as_os_str), words),
        Some(Name::Supervisord) => as_supervisord(&argv, words, "supervisord"),
        Some(Name::GoSupervisord) => as_supervisord(&argv, words, "go-supervisord"),
    }
}

/// `--as NAME` or `--as=NAME` as the first word: the name, and of how many words it is made.
fn leading_name(argv: &[OsString]) -> Option<(&OsStr, usize)> {
    let first = argv.get(1)?.as_bytes();
    match first.strip_prefix(b"--as") {
        Some([]) => argv.get(2).map(|name| (name.as_os_str(), 2)),
        Some([b'=', name @ ..]) => Some((OsStr::from_bytes(name), 1)),
        Some(_) | None => None,
    }
}

/// superd by its own name.
fn own(argv: &[OsString], called: &OsStr) -> i32 {
    if argv.get(1).is_some_and(|a| a == "ctl") {
        let rest = std::iter::once(OsString::from("supers")).chain(argv.iter().skip(2).cloned());
        return crate::supers::main(rest);
    }
    let args = match <args::Args as clap::Parser>::try_parse_from(argv) {
        Ok(args) => args,
        Err(e) => {
            // Help and version are "errors" that succeed.
            let _ = e.print();
            return if e.use_stderr() { EXIT_USAGE } else { 0 };
        }
    };
    let personality = args.personality(&called.to_string_lossy());
    if std::env::var_os(supers_os::keeper_proto::FD_ENV).is_some() {
        return daemon::under_keeper(&args, personality);
    }
    launch::launch(&args, personality, argv)
}

/// The daemon by its ancestor's name. `words` are those of its own command line.
fn as_supervisord(argv: &[OsString], words: &[OsString], called: &str) -> i32 {
    let program = argv.first().map_or(OsStr::new(called), OsString::as_os_str);
    let program = supervisord::called_path(program, std::env::var_os("PATH").as_deref());
    let prog = program.display().to_string();
    let _ = SPEAKS_AS.set(prog.clone());
    if supervisord::family(called, words) == Family::Go {
        complain("this command line is for the Go port of supervisord; its rules come in a later version");
        return EXIT_USAGE;
    }
    let mut world = World::here(Personality::Supervisord);
    world.exe_dir = program.parent().map(|dir| world.cwd.join(dir));
    let options = match supervisord::options(words, &prog, &world) {
        Ok(options) => options,
        Err(End::Say(text)) => {
            let _ = std::io::stdout().write_all(text.as_bytes());
            return 0;
        }
        Err(End::Usage(text)) => {
            complain(&text);
            return EXIT_USAGE;
        }
    };
    let args = args::Args::of_supervisord(options);
    if std::env::var_os(supers_os::keeper_proto::FD_ENV).is_some() {
        return daemon::under_keeper(&args, Personality::Supervisord);
    }
    launch::supervisord(&args, world.with_flags(&args.flags), argv, &prog)
}

/// True when this process was called by the ancestor's name.
fn speaks_as_ancestor() -> bool {
    SPEAKS_AS.get().is_some()
}

/// A sentence on standard error, in the manner of the name that was called.
fn complain(text: &str) {
    let _ = match SPEAKS_AS.get() {
        Some(prog) => writeln!(std::io::stderr(), "Error: {text}\nFor help, use {prog} -h"),
        None => writeln!(std::io::stderr(), "superd: {text}"),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_leading_name() {
        let of = |line: &str| {
            let argv: Vec<OsString> = line.split(' ').map(OsString::from).collect();
            leading_name(&argv).map(|(name, n)| format!("{} {n}", name.display()))
        };
        assert_eq!(of("superd --as supervisord -n").as_deref(), Some("supervisord 2"));
        assert_eq!(of("superd --as=pidproxy x").as_deref(), Some("pidproxy 1"));
        assert_eq!(of("superd -n --as supervisord"), None);
        assert_eq!(of("superd --as"), None);
        assert_eq!(of("superd --ask x"), None);
    }

    #[test]
    fn names() {
        assert_eq!(Name::parse("pidproxy".as_ref()), Some(Name::Pidproxy));
        assert_eq!(Name::parse("Supervisord".as_ref()), None);
    }
}
