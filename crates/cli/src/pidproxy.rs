//! `pidproxy PIDFILE COMMAND ARG...`: runs a command, and hands the signals it gets to the process whose
//! number is in the file, as the ancestor's program of this name does. It ends when the command ended. All
//! is waited for in one descriptor; nothing is polled.

use std::ffi::{OsStr, OsString};
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::process::{Child, Command};
use supers_core::ids::Pid;
use supers_core::signal::Signal;
use supers_os::signals::{self, SignalFd};
use supers_os::{error_text, poll, process, reap};

/// What is handed on.
const HANDED_ON: [Signal; 6] =
    [Signal::HUP, Signal::INT, Signal::QUIT, Signal::TERM, Signal::USR1, Signal::USR2];
/// What ends the proxy, too.
const ENDING: [Signal; 3] = [Signal::INT, Signal::QUIT, Signal::TERM];

/// Runs it; the exit code. `words` are those after the program's own name.
pub fn main(program: Option<&OsStr>, words: &[OsString]) -> i32 {
    let [pidfile, command, args @ ..] = words else {
        let program = program.unwrap_or(OsStr::new("pidproxy")).display();
        say(&format!(
            "pidproxy -- runs a command and hands signals to the process named in a pid file.\n\n\
             Usage: {program} <pidfile name> <command> [<cmdarg1> ...]\n"
        ));
        return 1;
    };
    match run(pidfile, Command::new(command).args(args)) {
        Ok(code) => code,
        Err(e) => {
            say(&format!("pidproxy: {}: {}", command.display(), error_text(&e)));
            1
        }
    }
}

fn run(pidfile: &OsStr, command: &mut Command) -> io::Result<i32> {
    let child_changed = Signal::from_number(signals::CHILD.into());
    let wanted: Vec<Signal> = HANDED_ON.into_iter().chain(child_changed).collect();
    // Before the command starts, so that no signal and no end is missed.
    let arrived = SignalFd::new(&wanted)?;
    let mut child = process::spawn_unblocked(command)?;
    loop {
        while let Some(info) = arrived.read()? {
            if HANDED_ON.contains(&info.signal)
                && hand_on(pidfile, info.signal)
                && ENDING.contains(&info.signal)
            {
                return Ok(0);
            }
        }
        if has_ended(&mut child)? {
            return Ok(0);
        }
        poll::wait_readable(arrived.as_fd(), None)?;
    }
}

fn has_ended(child: &mut Child) -> io::Result<bool> {
    child.try_wait().map(|status| status.is_some())
}

/// True when the signal was sent.
fn hand_on(pidfile: &OsStr, signal: Signal) -> bool {
    let text = std::fs::read_to_string(pidfile).unwrap_or_default();
    let Ok(pid) = text.trim().parse::<i32>() else {
        say(&format!("Can't read child pidfile {}!", pidfile.display()));
        return false;
    };
    match reap::kill(Pid(pid), signal) {
        Ok(()) => true,
        Err(e) => {
            say(&format!("Can't send {signal} to {pid}: {}", error_text(&e)));
            false
        }
    }
}

/// The ancestor's program talks on standard output.
fn say(text: &str) {
    let _ = writeln!(io::stdout(), "{text}");
}
