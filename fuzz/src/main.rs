//! `fuzz TARGET [--seconds N] [--seed N]`, or `fuzz TARGET FILE...` for inputs that failed: what `cargo xtask
//! fuzz` starts.
#![forbid(unsafe_code)]

use std::process::ExitCode;
use std::time::Duration;
use supers_fuzz::run::{Plan, run};
use supers_fuzz::{TARGETS, Target};

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    match order(&args).and_then(|order| order.perform()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(text) => {
            eprintln!("fuzz: {text}");
            ExitCode::FAILURE
        }
    }
}

struct Order {
    targets: Vec<Target>,
    plan: Plan,
    files: Vec<String>,
}

fn order(args: &[String]) -> Result<Order, String> {
    let names: Vec<&str> = TARGETS.iter().map(|t| t.name).collect();
    let usage = format!("TARGET [--seconds N] [--seed N] [FILE...]; targets: all {}", names.join(" "));
    let (name, mut rest) = args.split_first().ok_or_else(|| usage.clone())?;
    let targets: Vec<Target> = TARGETS.into_iter().filter(|t| name == "all" || t.name == name).collect();
    if targets.is_empty() {
        return Err(usage);
    }
    let plan = Plan { seed: 1, inputs: u64::MAX, time: Duration::from_secs(60) };
    let mut order = Order { targets, plan, files: Vec::new() };
    while let Some((word, more)) = rest.split_first() {
        rest = more;
        if !word.starts_with("--") {
            order.files.push(word.clone());
            continue;
        }
        let (value, more) = more.split_first().ok_or_else(|| usage.clone())?;
        let value: u64 = value.parse().map_err(|_| usage.clone())?;
        rest = more;
        match word.as_str() {
            "--seconds" => order.plan.time = Duration::from_secs(value),
            "--seed" => order.plan.seed = value,
            _ => return Err(usage),
        }
    }
    Ok(order)
}

impl Order {
    fn perform(&self) -> Result<(), String> {
        for target in &self.targets {
            for file in &self.files {
                let data = std::fs::read(file).map_err(|e| format!("{file}: {e}"))?;
                (target.run)(&data);
                println!("{}: {file} is fine", target.name);
            }
            if self.files.is_empty() {
                println!("{}: {}", target.name, shown(target, &self.plan)?);
            }
        }
        Ok(())
    }
}

fn shown(target: &Target, plan: &Plan) -> Result<String, String> {
    let done = run(target, plan)?;
    let (files, inputs, kinds) = (done.files, done.inputs, done.kinds);
    Ok(format!("{files} files, {inputs} inputs of seed {}, {kinds} kinds", plan.seed))
}
