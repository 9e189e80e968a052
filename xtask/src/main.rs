//! The project's own tool: everything that is done to the tree is one `cargo xtask` command.
//!
//! *Owns:* checks, the test run, measurements, release binaries, the demonstration. One file a subcommand.
//!
//! *Must never:* be shipped, or be needed to build the product: `cargo build` alone does that.
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    reason = "never shipped; a tool that measures reads the clock, and it may wait for what it does not control"
)]

mod bench;
mod chaos;
mod check;
mod demo;
mod dist;
mod fuzz;
mod mutants;
mod sanitize;
mod sh;
mod signals;
mod test;
mod twin;

use std::process::ExitCode;

/// How a subcommand ends: well, or with a sentence.
type Outcome = Result<(), String>;

const USAGE: &str = "\
cargo xtask COMMAND [OPTIONS]

  demo                     build, and run three small programs under superd in the foreground
  test [-- ARGS]           install what the tests need, build, run all tests (ARGS go to cargo test)
  twin [OPTIONS]           play the scenarios of twins/ under Supervisor from PyPI and under ours, and compare;
                           --only TEXT, --side genuine|ours, --show, --repeat N, --jobs N
  check [--fast]           format, lints, arrows between crates, long files, private names, licences, book;
                           --fast leaves out what needs cargo-deny and mdbook
  bench [NAME...] [--quick] [--release | --bin=DIR]
                           measure superd beside raw floor programs in C, and beside Supervisor from PyPI; names:
                           restart start idle log status storm supervisor; the dist build unless --release, or
                           binaries that lie in DIR
  chaos [--minutes N] [--seed N] [--rounds N] [--keep] [--show]
                           kill superd in all manners while programs work, and count what is lost: nothing may be
  dist [--static]          small binaries for shipping; fails when one is larger than 4 MB
  fuzz TARGET|all [--seconds N] [--seed N] [FILE...]
                           bytes that nobody would send, for what reads from strangers (without a nightly
                           toolchain); FILE: only these inputs
  mutants [ARGS]           mutation tests of the core (ARGS go to cargo mutants)
  sanitize                 tests of os and keeper under AddressSanitizer (needs a nightly toolchain)
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let outcome = match words.split_first() {
        Some((&"demo", rest)) => demo::run(rest),
        Some((&"test", rest)) => signals::as_usual().and_then(|()| test::run(rest)),
        Some((&"twin", rest)) => signals::as_usual().and_then(|()| twin::run(rest)),
        Some((&"check", rest)) => check::run(rest),
        Some((&"bench", rest)) => bench::run(rest),
        Some((&"chaos", rest)) => signals::as_usual().and_then(|()| chaos::run(rest)),
        Some((&"dist", rest)) => dist::run(rest),
        Some((&"fuzz", rest)) => fuzz::run(rest),
        Some((&"mutants", rest)) => mutants::run(rest),
        Some((&"sanitize", rest)) => sanitize::run(rest),
        Some((&("help" | "-h" | "--help"), _)) => {
            print!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        _ => {
            eprint!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match outcome {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("xtask: {text}");
            ExitCode::FAILURE
        }
    }
}

/// A word that a subcommand does not know.
fn unknown(word: &str) -> String {
    format!("{word:?} is not understood here; `cargo xtask help` lists the commands")
}
