//! A program that behaves as its arguments say, one after another (habit 15). It plays the supervised
//! program in tests, so that no test needs a shell script.
//!
//! `actor print hello ignore TERM wait` prints, ignores a signal and stays for ever. After the last word it
//! exits with 0. A word that it does not know ends it with 64 and a message. See `usage.txt` beside this file.
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    reason = "never shipped; a fake program lives by the clock, and a panic is a fine way to fail"
)]

mod facts;
mod signals;

use std::collections::VecDeque;
use std::io::{self, BufRead, Read, Write};
use std::os::fd::AsFd;
use std::path::Path;
use std::process::Command;
use std::time::{Duration, Instant};

/// The command line makes no sense.
const USAGE: i32 = 64;

fn main() {
    let mut words = Words(std::env::args().skip(1).collect());
    if words.0.is_empty() {
        eprint!("{}", include_str!("usage.txt"));
        std::process::exit(USAGE);
    }
    while let Some(word) = words.0.pop_front() {
        act(&word, &mut words);
    }
}

/// The arguments that are still to be obeyed.
struct Words(VecDeque<String>);

impl Words {
    /// The next one, which must be there.
    fn next(&mut self, what: &str) -> String {
        self.0.pop_front().unwrap_or_else(|| complain(&format!("{what} is missing")))
    }

    /// The next two are `word` and something: that something.
    fn option(&mut self, word: &str) -> Option<String> {
        if self.0.front().is_some_and(|w| w == word) {
            self.0.pop_front();
            return Some(self.next(word));
        }
        None
    }

    fn number<N: std::str::FromStr>(&mut self, what: &str) -> N {
        let word = self.next(what);
        word.parse().unwrap_or_else(|_| complain(&format!("{word:?} is not {what}")))
    }
}

fn complain(text: &str) -> ! {
    eprintln!("actor: {text}");
    std::process::exit(USAGE)
}

fn act(word: &str, words: &mut Words) {
    match word {
        "print" => say(&words.next("a text")),
        "err" => eprintln!("{}", words.next("a text")),
        "raw" => raw(&words.next("a text")),
        "sleep" | "ready-after" => {
            std::thread::sleep(time(&words.next("a time")));
            if word == "ready-after" {
                say("ready");
            }
        }
        "wait" => loop {
            std::thread::park();
        },
        "exit" => std::process::exit(words.number("an exit code")),
        "exit-with" => {
            let code = words.number("an exit code");
            if let Some(after) = words.option("after") {
                std::thread::sleep(time(&after));
            }
            std::process::exit(code)
        }
        "abort" => std::process::abort(),
        "kill-self" => signals::raise(signal(&words.next("a signal"))),
        "ignore" => signals::ignore(signal(&words.next("a signal"))),
        "on" => on_signal(words),
        "fork-and-stay" => drop(child(&["wait"])),
        "fork-and-die" => {
            drop(child(&["wait"]));
            std::process::exit(0)
        }
        "fork" => {
            let rest: Vec<String> = words.0.drain(..).collect();
            drop(child(&rest));
        }
        "session" => drop(rustix::process::setsid()),
        "spew" => spew(size(&words.next("a size"))),
        "spew-lines" => spew_lines(words),
        "env" => {
            let name = words.next("a name");
            let value = std::env::var_os(&name);
            say(&format!("{name}={}", value.map_or("(unset)".into(), |v| v.display().to_string())));
        }
        "args" => {
            let rest: Vec<String> = words.0.drain(..).collect();
            say(&format!("{rest:?}"));
        }
        "argv0" => say(&std::env::args().next().unwrap_or_default()),
        "pid" => say(&std::process::id().to_string()),
        "ids" | "cwd" | "umask" | "limits" | "fds" | "sigmask" | "pgid" | "stdin" | "nice" | "oom"
        | "comm" => {
            say(&facts::tell(word));
        }
        "serve" => serve(words.number("a port")),
        "touch" => drop(append(&words.next("a file"))),
        "append" => {
            let mut file = append(&words.next("a file"));
            writeln!(file, "{}", words.next("a text")).expect("append");
        }
        "count-to-file" => {
            // One byte a start: whoever counts asks for the length.
            append(&words.next("a file")).write_all(b".").expect("count");
        }
        "note-pid" => writeln!(append(&words.next("a file")), "{}", std::process::id()).expect("note"),
        "exit-unless" => {
            let path = words.next("a file");
            let code = words.number("an exit code");
            if !Path::new(&path).exists() {
                std::process::exit(code);
            }
        }
        "wait-file" => wait_file(&words.next("a file")),
        "stdin-echo" => echo(),
        "close-stdout" => signals::close(1),
        "nonblock-stdout" => nonblock(),
        "allocate" => std::mem::forget(vec![1u8; size(&words.next("a size"))]),
        _ => complain(&format!("{word:?} is no word of mine")),
    }
}

/// One line, in one write, so that it stays whole. A closed output is no reason to end.
fn say(text: &str) {
    raw(&format!("{text}\n"));
}

fn raw(text: &str) {
    let mut out = io::stdout().lock();
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

/// `50ms`, `2s`; a bare number is seconds.
fn time(text: &str) -> Duration {
    let (number, unit) = match text.strip_suffix("ms") {
        Some(number) => (number, 1),
        None => (text.strip_suffix('s').unwrap_or(text), 1000),
    };
    let number: u64 = number.parse().unwrap_or_else(|_| complain(&format!("{text:?} is no time")));
    Duration::from_millis(number * unit)
}

/// `10MiB`, `64KiB`, `1GiB`; a bare number is bytes.
fn size(text: &str) -> usize {
    let units = [("KiB", 10), ("MiB", 20), ("GiB", 30)];
    let found = units.iter().find_map(|(unit, shift)| Some((text.strip_suffix(unit)?, *shift)));
    let (number, shift) = found.unwrap_or((text, 0));
    let number: usize = number.parse().unwrap_or_else(|_| complain(&format!("{text:?} is no size")));
    number << shift
}

fn signal(text: &str) -> i32 {
    signals::number(text).unwrap_or_else(|| complain(&format!("{text:?} is no signal")))
}

/// `on TERM exit 3`, `on HUP print again`, `on TERM nothing`.
fn on_signal(words: &mut Words) {
    let number = signal(&words.next("a signal"));
    match words.next("a deed").as_str() {
        "exit" => signals::exit_on(number, words.number("an exit code")),
        "print" => signals::print_on(number, &words.next("a text")),
        "nothing" => signals::print_on(number, ""),
        other => complain(&format!("{other:?} is nothing to do on a signal")),
    }
}

/// Another actor, in the same process group, that inherits the output.
fn child<S: AsRef<std::ffi::OsStr>>(args: &[S]) -> std::process::Child {
    let exe = std::env::current_exe().expect("own path");
    let child = Command::new(exe).args(args).spawn().expect("a child");
    say(&format!("child {}", child.id()));
    child
}

/// This many bytes in lines of 128 bytes that begin with their number.
fn spew(bytes: usize) {
    let mut out = io::BufWriter::with_capacity(64 * 1024, io::stdout().lock());
    for number in 0..bytes.div_ceil(128) {
        let filler = ".".repeat(128 - 13);
        if writeln!(out, "{number:012}{filler}").is_err() {
            return;
        }
    }
}

/// `spew-lines 100`, `spew-lines 100 5ms`: numbered lines, one write each.
fn spew_lines(words: &mut Words) {
    let count: u64 = words.number("a number of lines");
    let pause = match words.0.front() {
        Some(next) if next.starts_with(|c: char| c.is_ascii_digit()) => Some(time(&words.next("a time"))),
        _ => None,
    };
    for number in 1..=count {
        say(&format!("line {number}"));
        if let Some(pause) = pause {
            std::thread::sleep(pause);
        }
    }
}

/// Answers every connection with its pid, for ever. Port 0 is chosen by the system and printed.
fn serve(port: u16) {
    let listener = std::net::TcpListener::bind(("127.0.0.1", port)).unwrap_or_else(|e| {
        eprintln!("actor: cannot listen on {port}: {e}");
        std::process::exit(1)
    });
    say(&format!("serving {}", listener.local_addr().expect("own address").port()));
    for stream in listener.incoming() {
        let Ok(mut stream) = stream else { continue };
        let _ = stream.read(&mut [0; 4096]);
        let body = std::process::id().to_string();
        let head = format!("HTTP/1.1 200 OK\r\nContent-Length: {}\r\nConnection: close\r\n\r\n", body.len());
        let _ = stream.write_all((head + &body).as_bytes());
    }
}

fn append(path: &str) -> std::fs::File {
    let file = std::fs::OpenOptions::new().create(true).append(true).open(path);
    file.unwrap_or_else(|e| complain(&format!("cannot open {path}: {e}")))
}

/// Until the file exists; a minute at most, so that a failed test leaves nobody behind.
fn wait_file(path: &str) {
    let began = Instant::now();
    while !Path::new(path).exists() {
        if began.elapsed() > Duration::from_secs(60) {
            complain(&format!("{path} never came"));
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

fn echo() {
    for line in io::stdin().lock().lines() {
        match line {
            Ok(line) => say(&format!("heard {line}")),
            Err(_) => return,
        }
    }
    say("stdin closed");
}

fn nonblock() {
    let out = io::stdout();
    let flags = rustix::fs::fcntl_getfl(out.as_fd()).expect("flags");
    rustix::fs::fcntl_setfl(out.as_fd(), flags | rustix::fs::OFlags::NONBLOCK).expect("O_NONBLOCK");
}
