//! `chaos run` plays rounds of deaths and checks what was lost; its other words are the programs of the play.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Duration;
use supers_testkit::Bins;
use supers_testkit::chaos::{self, Orders, roles};

const USAGE: &str = "\
chaos run --superd FILE --supers FILE [OPTIONS]
  --minutes N           rounds are played until so much time has passed (1)
  --seed N              of the first round; the next have the next numbers (the clock's)
  --rounds N            so many rounds instead
  --keep                leave the folder of a round in which something was lost, in /tmp/chaos-SEED
  --show                print each deed as it is done
chaos ROLE ...          a program of the play; see testkit/src/chaos/roles.rs
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    match words.split_first() {
        Some((&"run", rest)) => match orders(rest) {
            Ok((bins, orders)) => match chaos::run(&bins, &orders) {
                true => ExitCode::SUCCESS,
                false => ExitCode::FAILURE,
            },
            Err(text) => {
                eprintln!("chaos: {text}\n{USAGE}");
                ExitCode::from(2)
            }
        },
        Some((role, rest)) => match roles::play(role, rest) {
            Ok(code) => ExitCode::from(code),
            Err(text) => {
                eprintln!("chaos {role}: {text}");
                ExitCode::from(64)
            }
        },
        None => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn orders(words: &[&str]) -> Result<(Bins, Orders), String> {
    let mut bins = Bins::find();
    let mut orders = Orders::default();
    let mut words = words.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().ok_or_else(|| format!("{word} lacks its value"));
        let number = |text: &str| text.parse::<u64>().map_err(|e| format!("{word} {text}: {e}"));
        match *word {
            "--superd" => bins.superd = absolute(value()?)?,
            "--supers" => bins.supers = absolute(value()?)?,
            "--minutes" => orders.time = Duration::from_secs(60 * number(value()?)?),
            "--seed" => orders.seed = number(value()?)?,
            "--rounds" => orders.rounds = Some(number(value()?)?),
            "--keep" => orders.keep = true,
            "--show" => orders.show = true,
            other => return Err(format!("{other:?} is not understood")),
        }
    }
    Ok((bins, orders))
}

fn absolute(path: &str) -> Result<PathBuf, String> {
    std::path::absolute(path).map_err(|e| format!("{path}: {e}"))
}
