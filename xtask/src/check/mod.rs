//! `cargo xtask check`: what is checked without running the product.

mod arrows;
mod files;

use crate::{Outcome, sh, unknown};

/// A name and what it does.
type Step = (&'static str, fn() -> Outcome);

/// Every step runs, so that all findings are seen at once; any of them fails the check.
pub(crate) fn run(args: &[&str]) -> Outcome {
    let fast = match args {
        [] => false,
        ["--fast"] => true,
        [word, ..] => return Err(unknown(word)),
    };
    let mut steps: Vec<Step> = vec![
        ("format", format),
        ("arrows between crates", arrows::check),
        ("files", files::check),
        ("lints", lints),
        ("reference pages", reference),
    ];
    if !fast {
        steps.push(("licences", licences));
        steps.push(("book", book));
    }
    let mut failed = Vec::new();
    for (name, step) in steps {
        eprintln!("== {name}");
        if let Err(text) = step() {
            eprintln!("{text}");
            failed.push(name);
        }
    }
    match failed.is_empty() {
        true => {
            println!("check: all is well");
            Ok(())
        }
        false => Err(format!("failed: {}", failed.join(", "))),
    }
}

fn format() -> Outcome {
    sh::run(&mut sh::cargo(&["fmt", "--all", "--check"]))
}

fn lints() -> Outcome {
    sh::run(&mut sh::cargo(&["clippy", "--workspace", "--all-targets", "--quiet", "--", "-D", "warnings"]))
}

fn reference() -> Outcome {
    let mut doc = sh::cargo(&["doc", "--workspace", "--no-deps", "--document-private-items", "--quiet"]);
    // superd and supers are built from the package `supers`, whose library has the same name as a binary.
    sh::run(doc.args(["--lib"]).env("RUSTDOCFLAGS", "-D warnings"))
}

fn licences() -> Outcome {
    sh::need_cargo_tool("cargo-deny", "cargo-deny", &[])?;
    sh::run(&mut sh::cargo(&["deny", "check", "licenses", "bans", "sources"]))
}

fn book() -> Outcome {
    sh::need_cargo_tool("mdbook", "mdbook", &["--no-default-features"])?;
    sh::run(std::process::Command::new("mdbook").arg("build").arg(sh::root().join("docs")))
}
