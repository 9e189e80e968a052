//! `cargo xtask demo`: three small programs under superd, in the foreground, without root and without any file
//! of the user.

use crate::{Outcome, sh, unknown};
use std::fs;
use std::net::TcpListener;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

/// Where the web server listens unless the port is taken.
const PORT: u16 = 8004;

const UNITS: [(&str, &str); 3] = [
    ("web.service", include_str!("../../examples/demo/web.service")),
    ("crash.service", include_str!("../../examples/demo/crash.service")),
    ("log.service", include_str!("../../examples/demo/log.service")),
];

/// Builds, writes the unit folder, says what to type, and becomes superd.
pub(crate) fn run(args: &[&str]) -> Outcome {
    if let Some(word) = args.first() {
        return Err(unknown(word));
    }
    sh::run(&mut sh::cargo(&["build", "--release", "--package", "supers", "--package", "supers-examples"]))?;
    let target = sh::target()?;
    let (bin, dir) = (target.join("release"), target.join("demo"));
    let port = free_port()?;
    write_units(&dir, &bin, port)?;
    // Short when typed from where the user stands.
    let here = std::env::current_dir().unwrap_or_default();
    let short = |path: &Path| path.strip_prefix(&here).map_or(path.to_path_buf(), Path::to_path_buf);
    introduce(&short(&bin.join("supers")), &short(&dir), port);
    let error = Command::new(bin.join("superd")).arg("-c").arg(&dir).exec();
    Err(format!("superd cannot be run: {error}"))
}

fn free_port() -> Result<u16, String> {
    if TcpListener::bind(("127.0.0.1", PORT)).is_ok() {
        return Ok(PORT);
    }
    let other = TcpListener::bind(("127.0.0.1", 0)).and_then(|l| l.local_addr());
    let port = other.map_err(|e| format!("no free port: {e}"))?.port();
    println!("port {PORT} is taken; the web server uses {port} instead");
    Ok(port)
}

/// A fresh folder each time, so that a demonstration never begins with the leftovers of another.
fn write_units(dir: &PathBuf, bin: &Path, port: u16) -> Outcome {
    let problem = |e: std::io::Error| format!("{}: {e}", dir.display());
    if dir.exists() {
        fs::remove_dir_all(dir).map_err(problem)?;
    }
    fs::create_dir_all(dir).map_err(problem)?;
    for (name, text) in UNITS {
        fs::write(dir.join(name), fill(text, bin, port)).map_err(problem)?;
    }
    Ok(())
}

/// Puts the folder of the programs and the port into a template.
fn fill(template: &str, bin: &Path, port: u16) -> String {
    // In a unit file these characters mean something; a path that holds them is written so that they do not.
    let bin = bin.display().to_string().replace('\\', "\\\\").replace('"', "\\\"").replace('%', "%%");
    template.replace("@BIN@", &bin).replace("@PORT@", &port.to_string())
}

fn introduce(supers: &Path, dir: &Path, port: u16) {
    let (supers, dir) = (supers.display(), dir.display());
    println!(
        "
Three programs run from the folder {dir}: web (http://127.0.0.1:{port}/), crash (fails every
five seconds and is brought back) and log (200 lines a second). superd follows in the foreground; Ctrl-C
stops everything in order.

In another terminal, type next:

    {supers} -c {dir} status

and then, for example:

    {supers} -c {dir} logs log -n 20 -f
    {supers} -c {dir} restart web
    {supers} -c {dir} stop crash
    {supers} -c {dir} add sleeper -- sleep 1000
"
    );
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn templates_are_filled() {
        for (name, text) in UNITS {
            let filled = fill(text, Path::new("/a b/100%"), 8004);
            assert!(filled.contains("ExecStart=\"/a b/100%%/demo-"), "{name}: {filled}");
            assert!(!filled.contains('@'), "{name}: {filled}");
        }
        assert!(fill(UNITS[0].1, Path::new("/x"), 81).contains("--server.port=81\n"));
    }
}
