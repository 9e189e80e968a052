//! `cargo xtask twin`: the genuine Supervisor is brought, and our daemon is compared with it.

use crate::{Outcome, sh};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The peer and what its users have beside it. The only place that names versions.
const PINNED: [&str; 3] = ["setuptools==65.5.0", "superlance==2.0.0", "supervisor==4.3.0"];

/// Below the root of the workspace, wherever cargo builds: one for all builds of this tree.
const PLACE: &str = "target/tools/supervisor";

/// Says where the programs are when the usual place is not wanted.
const OVERRIDE: &str = "SUPERVISOR_BIN";

/// Arguments go to the runner; see `testkit/src/bin/twin/main.rs`.
pub(crate) fn run(args: &[&str]) -> Outcome {
    let genuine = install()?;
    sh::run(&mut sh::cargo(&[
        "build",
        "--quiet",
        "--package",
        "supers",
        "--package",
        "supers-testkit",
        "--bins",
    ]))?;
    let built = sh::target()?.join("debug");
    let mut command = Command::new(built.join("twin"));
    command.arg("run").arg("--genuine").arg(genuine).arg("--superd").arg(built.join("superd"));
    command.arg("--tree").arg(sh::root()).args(args);
    sh::run(&mut command)
}

/// Makes sure that the genuine programs are there; their folder. Quick when they are.
pub(crate) fn install() -> Result<PathBuf, String> {
    if let Some(place) = std::env::var_os(OVERRIDE) {
        let place = PathBuf::from(place);
        return match place.join("supervisord").is_file() {
            true => Ok(place),
            false => Err(format!("{OVERRIDE} names {}, where no supervisord is", place.display())),
        };
    }
    let venv = sh::root().join(PLACE);
    let stamp = venv.join("pinned.txt");
    let wanted = PINNED.join("\n") + "\n";
    if fs::read_to_string(&stamp).is_ok_and(|have| have == wanted) {
        return Ok(venv.join("bin"));
    }
    need_venv()?;
    eprintln!("Supervisor from PyPI is installed once, in {PLACE}");
    sh::run(Command::new("python3").args(["-m", "venv", "--clear"]).arg(&venv))?;
    let mut pip = Command::new(venv.join("bin/python"));
    sh::run(pip.args(["-m", "pip", "--quiet", "--disable-pip-version-check", "install"]).args(PINNED))
        .map_err(|e| {
            format!("{e}; the twin tests need PyPI once, or {OVERRIDE}=DIR with supervisord 4.3.0")
        })?;
    // Last: a half installation has no stamp.
    fs::write(&stamp, wanted).map_err(|e| format!("{}: {e}", stamp.display()))?;
    Ok(venv.join("bin"))
}

/// Python can make environments; Debian has that in a package of its own.
fn need_venv() -> Outcome {
    if can_venv() {
        return Ok(());
    }
    let advice = "the twin tests need python3 with venv (Debian: apt-get install python3-venv)";
    if !sh::is_root() || !Path::new("/usr/bin/apt-get").exists() {
        return Err(advice.into());
    }
    let mut apt = Command::new("apt-get");
    let apt = apt.args(["-q", "install", "-y", "--no-install-recommends", "python3-venv"]);
    sh::run(apt.env("DEBIAN_FRONTEND", "noninteractive"))?;
    if can_venv() { Ok(()) } else { Err(advice.into()) }
}

fn can_venv() -> bool {
    let mut python = Command::new("python3");
    python.args(["-c", "import ensurepip, venv"]).stdin(Stdio::null()).stdout(Stdio::null());
    python.stderr(Stdio::null()).status().is_ok_and(|s| s.success())
}
