//! `supervisorctl`: the ancestor's client, with its options, texts and exit codes (supervisor-contract
//! 13). It talks XML-RPC, so it works with Python's daemon as well as with ours.
//!
//! One file a family of commands: `status`, `pid`, `orders` (start, stop, restart, signal),
//! `logs` (tail, maintail, clear), `groups` (avail, reread, update, add, remove), `fg` and
//! `daemon` (version, open, shutdown, reload). They know only a `session` and, through it, the
//! `rpc` traits, which tests script. `link` and `http` are the real daemon, `shell` is the
//! interactive mode.

mod args;
mod completion;
mod daemon;
mod fg;
mod groups;
mod help;
mod history;
mod http;
mod input;
mod interrupt;
mod link;
mod logs;
mod names;
mod orders;
mod pid;
pub mod rpc;
pub mod session;
mod settings;
mod shell;
mod status;

use crate::supervisord::called_path;
use history::History;
use interrupt::Interrupt;
use session::{Ask, Session};
use std::ffi::{OsStr, OsString};
use std::io::Write;
use std::path::Path;
use std::rc::Rc;

/// The name that this personality answers to.
pub const NAME: &str = "supervisorctl";

/// Exit code of a wrong command line or configuration.
const EXIT_USAGE: i32 = 2;

/// Whether these arguments (the program's name first) ask for this personality: by that name, or by
/// `--as supervisorctl` as leading words.
pub fn is_meant(argv: &[OsString]) -> bool {
    let called = argv.first().and_then(|a| Path::new(a).file_name());
    called.is_some_and(|name| name == NAME) || leading_as(argv) > 0
}

/// How many words `--as supervisorctl` takes.
fn leading_as(argv: &[OsString]) -> usize {
    match (argv.get(1), argv.get(2)) {
        (Some(word), _) if word == "--as=supervisorctl" => 1,
        (Some(word), Some(name)) if word == "--as" && name == NAME => 2,
        _ => 0,
    }
}

/// Runs `supervisorctl` with these arguments, the program's name first; the exit code.
pub fn main(argv: impl Iterator<Item = OsString>) -> i32 {
    let argv: Vec<OsString> = argv.collect();
    let taken = leading_as(&argv);
    let called = argv.first().map_or(OsStr::new(NAME), OsString::as_os_str);
    let program = called_path(called, std::env::var_os("PATH").as_deref());
    let shown = match taken {
        0 => program.display().to_string(),
        _ => argv.iter().take(1 + taken).map(|a| a.to_string_lossy()).collect::<Vec<_>>().join(" "),
    };
    let words: Vec<String> = argv.iter().skip(1 + taken).map(|a| a.to_string_lossy().into_owned()).collect();
    let options = match args::parse(&words) {
        Ok(options) if options.help => {
            drop(std::io::stdout().write_all(help::usage(&shown).as_bytes()));
            return 0;
        }
        Ok(options) => options,
        Err(why) => return refuse(&shown, &why),
    };
    match run(&options, &program) {
        Ok(status) => status,
        Err(why) => refuse(&shown, &why),
    }
}

/// A mistake before anything was done.
fn refuse(program: &str, why: &str) -> i32 {
    let text = format!("Error: {why}\nFor help, use {program} -h\n");
    // Nowhere is left to say that it could not be said.
    drop(std::io::stderr().write_all(text.as_bytes()));
    EXIT_USAGE
}

fn run(options: &args::Options, program: &Path) -> Result<i32, String> {
    let settings = settings::settings(options, program)?;
    let interrupt = Rc::new(Interrupt::new());
    let input = link::SharedInput::default();
    let mut http = http::Http::new(&settings.url);
    if let Some((username, password)) = &settings.credentials {
        http.login(username, password);
    }
    let link = link::Link::new(http, interrupt.clone(), input.clone()).map_err(|e| e.to_string())?;
    let mut daemon = link.clone();
    let mut answers = shell::Person { input: input.clone(), interrupt: interrupt.clone() };
    let (mut out, mut err) = (std::io::stdout(), std::io::stderr());
    let mut session = Session {
        daemon: &mut daemon,
        out: &mut out,
        err: &mut err,
        ask: &mut answers as &mut dyn Ask,
        interactive: options.interactive || options.words.is_empty(),
        status: 0,
    };
    if options.words.is_empty() {
        let mut person = shell::Person { input, interrupt };
        shell::run(&mut session, &settings.prompt, &History::new(settings.history), &link, &mut person);
        return Ok(0);
    }
    session.run_line(&options.words.join(" "));
    Ok(session.status)
}
