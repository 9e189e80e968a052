//! `twin run` compares us with the genuine Supervisor; `twin listen` is the recorder that scenarios configure.
#![forbid(unsafe_code)]

use std::path::PathBuf;
use std::process::ExitCode;
use supers_testkit::twin::suite::{self, Orders};
use supers_testkit::twin::{listen, root::Make, root::Tools};

const USAGE: &str = "\
twin run --genuine DIR --superd FILE --tree DIR [OPTIONS]
  --only TEXT           scenarios whose name holds this text (may come several times)
  --side genuine|ours   one side alone, without a comparison
  --repeat N            with --side: play each N times; all must be the same
  --show                print the transcripts
  --jobs N              how many scenarios at a time (16)
twin listen FILE [--hello TEXT] [--reply TEXT]...
";

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match args.split_first() {
        Some((word, rest)) if word == "listen" => ExitCode::from(listen::run(rest)),
        Some((word, rest)) if word == "run" => match orders(rest).and_then(|o| suite::run(&o)) {
            Ok(true) => ExitCode::SUCCESS,
            Ok(false) => ExitCode::FAILURE,
            Err(text) => {
                eprintln!("twin: {text}");
                ExitCode::FAILURE
            }
        },
        _ => {
            eprint!("{USAGE}");
            ExitCode::from(2)
        }
    }
}

fn orders(args: &[String]) -> Result<Orders, String> {
    let own = std::env::current_exe().map_err(|e| e.to_string())?;
    let mut orders = Orders {
        tools: Tools {
            genuine: PathBuf::new(),
            superd: PathBuf::new(),
            actor: own.with_file_name("actor"),
            twin: own,
        },
        folder: PathBuf::new(),
        differences: PathBuf::new(),
        only: Vec::new(),
        side: None,
        show: false,
        repeat: 1,
        jobs: 16,
    };
    let mut words = args.iter();
    while let Some(word) = words.next() {
        let mut value = || words.next().cloned().ok_or_else(|| format!("{word} lacks its value"));
        let number = |text: String| text.parse::<usize>().map_err(|e| format!("{text}: {e}"));
        match word.as_str() {
            "--genuine" => orders.tools.genuine = value()?.into(),
            "--superd" => orders.tools.superd = value()?.into(),
            "--tree" => {
                let tree = PathBuf::from(value()?);
                orders.folder = tree.join("twins");
                orders.differences = tree.join("docs/compat/twin-differences.toml");
            }
            "--only" => orders.only.push(value()?),
            "--side" => {
                orders.side = Some(match value()?.as_str() {
                    "genuine" => Make::Genuine,
                    "ours" => Make::Ours,
                    other => return Err(format!("{other}: a side is genuine or ours")),
                });
            }
            "--show" => orders.show = true,
            "--repeat" => orders.repeat = number(value()?)?,
            "--jobs" => orders.jobs = number(value()?)?.max(1),
            other => return Err(format!("{other:?} is not understood\n{USAGE}")),
        }
    }
    for (what, path) in [
        ("genuine supervisord", orders.tools.genuine.join("supervisord")),
        ("actor", orders.tools.actor.clone()),
    ] {
        if !path.is_file() {
            return Err(format!(
                "{what} is absent: {}; `cargo xtask twin` brings and builds all",
                path.display()
            ));
        }
    }
    Ok(orders)
}
