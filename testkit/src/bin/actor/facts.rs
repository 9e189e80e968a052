//! What the program can tell about itself, one line or a few each.

use rustix::process as rp;
use std::fs;
use std::os::fd::AsFd;

/// The fact with this name.
pub(crate) fn tell(what: &str) -> String {
    match what {
        "ids" => ids(),
        "cwd" => format!("cwd {}", std::env::current_dir().map_or("?".into(), |d| d.display().to_string())),
        "umask" => umask(),
        "limits" => file("/proc/self/limits"),
        "fds" => fds(),
        "sigmask" => format!("{}\n{}", status(&["SigBlk"]), crate::signals::ignored_at_start()),
        "pgid" => pgid(),
        "stdin" => stdin(),
        "nice" => format!("nice {}", stat_field(16)),
        "oom" => format!("oom {}", file("/proc/self/oom_score_adj")),
        "comm" => format!("comm {}", file("/proc/self/comm")),
        other => format!("nothing is known about {other}"),
    }
}

fn file(path: &str) -> String {
    fs::read_to_string(path).map_or_else(|e| e.to_string(), |text| text.trim_end().to_string())
}

fn ids() -> String {
    let mut groups: Vec<u32> =
        rp::getgroups().unwrap_or_default().into_iter().map(rustix::process::Gid::as_raw).collect();
    groups.sort_unstable();
    let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
    format!("uid {} gid {} groups {}", rp::getuid().as_raw(), rp::getgid().as_raw(), groups.join(","))
}

fn umask() -> String {
    let mask = rp::umask(rustix::fs::Mode::empty());
    rp::umask(mask);
    format!("umask {:04o}", mask.bits())
}

/// Numbers and targets of the open descriptors, without the one that this list needs.
fn fds() -> String {
    let own = "/proc/self/fd";
    let mut rows: Vec<(i32, String)> = Vec::new();
    for entry in fs::read_dir(own).into_iter().flatten().flatten() {
        let Some(number) = entry.file_name().to_str().and_then(|n| n.parse().ok()) else { continue };
        let target = fs::read_link(entry.path()).map_or("?".into(), |t| t.display().to_string());
        if !target.starts_with(&format!("/proc/{}/fd", std::process::id())) {
            rows.push((number, target));
        }
    }
    rows.sort();
    let rows: Vec<String> = rows.iter().map(|(number, target)| format!("fd {number} {target}")).collect();
    rows.join("\n")
}

fn status(names: &[&str]) -> String {
    let text = file("/proc/self/status");
    let wanted = text.lines().filter(|l| l.split(':').next().is_some_and(|name| names.contains(&name)));
    wanted.map(|l| l.replace(":\t", " ")).collect::<Vec<_>>().join("\n")
}

/// In a pid namespace whose first process did not call setsid, group and session may lie outside: number 0.
fn pgid() -> String {
    // SAFETY: both take a number and touch no memory of ours.
    let (pgid, sid) = unsafe { (libc::getpgid(0), libc::getsid(0)) };
    format!("pid {} pgid {pgid} sid {sid}", std::process::id())
}

fn stdin() -> String {
    match rustix::fs::fstat(std::io::stdin().as_fd()) {
        Ok(_) => format!(
            "stdin {}",
            fs::read_link("/proc/self/fd/0").map_or("?".into(), |t| t.display().to_string())
        ),
        Err(e) => format!("stdin closed: {e}"),
    }
}

/// A field of `/proc/self/stat`, counted from 0 after the name in brackets.
fn stat_field(index: usize) -> String {
    let text = file("/proc/self/stat");
    let after = text.rfind(')').map_or("", |at| &text[at + 1..]);
    after.split_whitespace().nth(index).unwrap_or("?").to_string()
}
