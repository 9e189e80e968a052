//! Running other programs, and where things are.

use crate::Outcome;
use serde_json::Value;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// The folder of the workspace.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_path_buf()
}

/// The cargo that runs us.
pub(crate) fn cargo(args: &[&str]) -> Command {
    let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
    let mut command = Command::new(cargo);
    command.args(args).current_dir(root());
    command
}

/// The command as a person would type it.
fn line(command: &Command) -> String {
    let program =
        Path::new(command.get_program()).file_name().unwrap_or_default().to_string_lossy().into_owned();
    let args = command.get_args().map(|a| a.to_string_lossy().into_owned());
    std::iter::once(program).chain(args).collect::<Vec<_>>().join(" ")
}

/// Says what it does, does it, and demands success.
pub(crate) fn run(command: &mut Command) -> Outcome {
    let text = line(command);
    eprintln!("$ {text}");
    match command.stdin(Stdio::null()).status() {
        Ok(status) if status.success() => Ok(()),
        Ok(status) => Err(format!("`{text}` failed ({status})")),
        Err(e) => Err(format!("`{text}` cannot be run: {e}")),
    }
}

/// Runs it and returns its standard output.
pub(crate) fn output(command: &mut Command) -> Result<String, String> {
    let text = line(command);
    let out = command.stdin(Stdio::null()).stderr(Stdio::inherit()).output();
    match out {
        Ok(out) if out.status.success() => Ok(String::from_utf8_lossy(&out.stdout).into_owned()),
        Ok(out) => Err(format!("`{text}` failed ({})", out.status)),
        Err(e) => Err(format!("`{text}` cannot be run: {e}")),
    }
}

/// The workspace as cargo sees it.
pub(crate) fn metadata() -> Result<Value, String> {
    let text = output(&mut cargo(&["metadata", "--no-deps", "--format-version", "1"]))?;
    serde_json::from_str(&text).map_err(|e| format!("cargo metadata: {e}"))
}

/// Where cargo builds.
pub(crate) fn target() -> Result<PathBuf, String> {
    let meta = metadata()?;
    meta["target_directory"].as_str().map(PathBuf::from).ok_or_else(|| "cargo names no target folder".into())
}

/// The program is on the path.
pub(crate) fn has(program: &str) -> bool {
    let usual = "/usr/local/sbin:/usr/sbin:/sbin";
    let path = std::env::var("PATH").unwrap_or_default();
    path.split(':').chain(usual.split(':')).any(|dir| Path::new(dir).join(program).is_file())
}

/// Installs a cargo tool unless it is there.
pub(crate) fn need_cargo_tool(program: &str, package: &str, more: &[&str]) -> Outcome {
    if has(program) {
        return Ok(());
    }
    eprintln!("{program} is missing: it is installed once, which takes some minutes");
    run(cargo(&["install", "--locked", package]).args(more))
        .map_err(|e| format!("{e}; {program} is needed here, or leave the step out with --fast"))
}

/// Runs as root.
pub(crate) fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}
