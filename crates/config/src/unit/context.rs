//! What a unit's process looks like: user, folder, environment, limits, output.

use super::envfile::is_name;
use super::fields::{Fields, boolean, number};
use super::parse::Line;
use super::time;
use crate::fault::Fault;
use crate::load::Request;
use crate::source::{bytes_of, is_dir};
use bstr::{BString, ByteSlice};
use std::collections::BTreeMap;
use std::path::PathBuf;
use supers_core::spec::{Context, Directory, Env, EnvFile, Limit, Output, Resource, Sink, Target};

const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

const RESOURCES: [(&str, Resource); 16] = [
    ("LimitCPU", Resource::Cpu),
    ("LimitFSIZE", Resource::Fsize),
    ("LimitDATA", Resource::Data),
    ("LimitSTACK", Resource::Stack),
    ("LimitCORE", Resource::Core),
    ("LimitRSS", Resource::Rss),
    ("LimitNOFILE", Resource::Nofile),
    ("LimitAS", Resource::As),
    ("LimitNPROC", Resource::Nproc),
    ("LimitMEMLOCK", Resource::Memlock),
    ("LimitLOCKS", Resource::Locks),
    ("LimitSIGPENDING", Resource::Sigpending),
    ("LimitMSGQUEUE", Resource::Msgqueue),
    ("LimitNICE", Resource::Nice),
    ("LimitRTPRIO", Resource::Rtprio),
    ("LimitRTTIME", Resource::Rttime),
];

/// The whole context.
pub(crate) fn context(f: &mut Fields<'_>, req: &Request<'_>) -> Context {
    let limits = RESOURCES.into_iter().filter_map(|(key, r)| {
        let line = f.last("Service", key)?;
        f.parse(Some(line), None, |t| limit(r, t).map(Some))
    });
    let limits: Vec<Limit> = limits.collect();
    Context {
        user: account(f, "User", &|name| req.users.user_exists(name)),
        group: account(f, "Group", &|name| req.users.group_exists(name)),
        directory: directory(f, req),
        umask: Some(f.get("UMask", 0o022, |t| {
            let mode = u32::from_str_radix(t, 8).ok().filter(|m| *m <= 0o777);
            mode.ok_or_else(|| "expected an octal mask such as 0022".into())
        })),
        env: environment(f, req),
        limits,
        nice: f.get("Nice", None, |t| number(t, -20, 19).map(to_i32)),
        oom_score_adj: f.get("OOMScoreAdjust", None, |t| number(t, -1000, 1000).map(to_i32)),
        no_new_privileges: f.get("NoNewPrivileges", false, boolean),
        ignore_sigpipe: f.get("IgnoreSIGPIPE", true, boolean),
        session: true,
        stdin_pipe: false,
        exit_127: false,
    }
}

fn to_i32(n: i64) -> Option<i32> {
    i32::try_from(n).ok()
}

/// A user or group. Whether it exists is known at the start; a name that cannot be one refuses the unit.
fn account(f: &mut Fields<'_>, key: &str, exists: &dyn Fn(&str) -> bool) -> Option<String> {
    let line = f.last("Service", key)?;
    let name = f.text(Some(line))?.to_string();
    let fits = |c: char| c.is_alphanumeric() || "_-.$@".contains(c);
    if name.is_empty() || name.starts_with('-') || !name.chars().all(fits) {
        f.unfit(line, "this cannot be the name of a user or group");
        return None;
    }
    if !exists(&name) {
        let word = key.to_lowercase();
        let fault = Fault::new(&line.place, format!("there is no {word} {name} on this machine now"));
        f.warnings.push(fault.hint("the start fails while that is so"));
    }
    Some(name)
}

/// The root folder unless the file says otherwise, wherever the daemon was started.
fn directory(f: &mut Fields<'_>, req: &Request<'_>) -> Option<Directory> {
    let Some(line) = f.last("Service", "WorkingDirectory") else {
        return Some(Directory { path: "/".into(), optional: false });
    };
    let text = f.text(Some(line))?;
    let (optional, path) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text.as_slice()),
    };
    if path != b"~" && !path.starts_with(b"/") {
        f.unfit(line, "the path must be absolute, or ~ for the user's home");
        return None;
    }
    if !optional && path != b"~" && !is_dir(&req.cwd.join(crate::source::path_of(path))) {
        let fault = Fault::new(&line.place, format!("there is no folder {} now", path.as_bstr()));
        f.warnings.push(fault.hint("the start fails while that is so; a - before the path allows it"));
    }
    Some(Directory { path: path.into(), optional })
}

/// LANG and PATH, then `PassEnvironment=`, then `Environment=`; nothing else of the daemon's own.
/// Sorted, so that another order in the file is no change.
fn environment(f: &mut Fields<'_>, req: &Request<'_>) -> Env {
    let outer = |name: &[u8]| req.env.iter().rev().find(|(k, _)| k == name).map(|(_, v)| v.clone());
    let mut vars: BTreeMap<BString, BString> = BTreeMap::new();
    vars.insert("LANG".into(), outer(b"LANG").filter(|l| !l.is_empty()).unwrap_or_else(|| "C.UTF-8".into()));
    vars.insert("PATH".into(), PATH.into());
    for line in f.all("Service", "PassEnvironment") {
        for name in f.words(line) {
            vars.extend(outer(&name).map(|value| (name, value)));
        }
    }
    for line in f.all("Service", "Environment") {
        for word in f.words(line) {
            match word.split_once_str("=") {
                Some((key, value)) if is_name(key) => {
                    vars.insert(key.into(), value.into());
                }
                _ => f.bad(line, &format!("{word:?} is no KEY=value")),
            }
        }
    }
    let mut files = Vec::new();
    for line in f.all("Service", "EnvironmentFile") {
        let Some(text) = f.text(Some(line)) else { continue };
        let (optional, path) = match text.strip_prefix(b"-") {
            Some(rest) => (true, rest),
            None => (false, text.as_slice()),
        };
        if path.starts_with(b"/") {
            files.push(EnvFile { path: path.into(), optional });
        } else {
            f.bad(line, "the path must be absolute");
        }
    }
    let vars = vars.into_iter().collect();
    Env { inherit: false, user_vars: true, names: false, vars, files, invocation: true }
}

/// `soft:hard`, or one value for both.
fn limit(resource: Resource, text: &str) -> Result<Limit, String> {
    let (soft, hard) = text.split_once(':').unwrap_or((text, text));
    let (soft, hard) = (limit_value(resource, soft)?, limit_value(resource, hard)?);
    let above = match (soft, hard) {
        (Some(s), Some(h)) => s > h,
        (None, Some(_)) => true,
        (_, None) => false,
    };
    if above {
        Err("the soft limit is above the hard one".into())
    } else {
        Ok(Limit { resource, soft, hard })
    }
}

fn limit_value(resource: Resource, text: &str) -> Result<Option<u64>, String> {
    let text = text.trim();
    match resource {
        Resource::Fsize
        | Resource::Data
        | Resource::Stack
        | Resource::Core
        | Resource::Rss
        | Resource::As
        | Resource::Memlock
        | Resource::Msgqueue => time::size(text),
        Resource::Cpu => Ok(time::span(text)?.map(|d| d.as_secs() + u64::from(d.subsec_nanos() > 0))),
        Resource::Rttime => {
            Ok(time::span_in(text, 1e-6)?.map(|d| u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
        }
        // With a sign it is a nice level, which the kernel counts down from 20.
        Resource::Nice if text.starts_with(['+', '-']) => {
            Ok(u64::try_from(20 - number(text.trim_start_matches('+'), -20, 19)?).ok())
        }
        Resource::Nofile
        | Resource::Nproc
        | Resource::Locks
        | Resource::Sigpending
        | Resource::Nice
        | Resource::Rtprio => match text {
            "infinity" => Ok(None),
            _ => text.parse().map(Some).map_err(|_| "expected a number or infinity".into()),
        },
    }
}

/// A place that `StandardOutput=` or `StandardError=` names.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Stream {
    /// The log file of the unit.
    Log,
    /// Standard error only: wherever standard output goes.
    Same,
    Null,
    File(BString),
}

/// Both streams in one file, unless the unit says otherwise.
pub(crate) fn output(f: &mut Fields<'_>, req: &Request<'_>, name: &str) -> Output {
    let stdout = stream(f, "StandardOutput", Stream::Log);
    let stderr = stream(f, "StandardError", Stream::Same);
    let own = |suffix: &str| {
        let path: PathBuf = req.log_dir.join(name).join(format!("{name}{suffix}.log"));
        Sink { target: Target::File(bytes_of(&path)), ..Sink::default() }
    };
    let apart = stderr != Stream::Same && stderr != stdout;
    let sink = |stream: Stream, suffix: &str| match stream {
        Stream::Log | Stream::Same => own(suffix),
        Stream::Null => Sink::default(),
        // A file that the unit names is left to whoever rotates it.
        Stream::File(path) => Sink { target: Target::File(path), max_bytes: 0, ..Sink::default() },
    };
    let stderr = apart.then(|| sink(stderr, ".err"));
    Output { stdout: sink(stdout, ""), stderr }
}

fn stream(f: &mut Fields<'_>, key: &str, default: Stream) -> Stream {
    let Some(line) = f.last("Service", key) else { return default };
    let value = line.value.as_str();
    match value {
        "inherit" => return default,
        "journal" | "syslog" | "journal+console" | "syslog+console" => return Stream::Log,
        "null" => return Stream::Null,
        _ => {}
    }
    if value.starts_with("truncate:") {
        // To add to the file would be another thing than what the unit says.
        f.refuse(&line.place, format!("{key}=truncate: comes in a later version"));
        return default;
    }
    let path = ["file:", "append:"].iter().find_map(|p| value.strip_prefix(p));
    match path {
        Some(path) => file(f, line, path),
        None => {
            f.refuse(
                &line.place,
                format!("{key}={value} is not one of inherit, journal, null, file:, append:"),
            );
            default
        }
    }
}

fn file(f: &mut Fields<'_>, line: &Line, path: &str) -> Stream {
    match f.specify(line, path.as_bytes()) {
        Some(path) if path.starts_with(b"/") => Stream::File(path),
        Some(_) => {
            f.unfit(line, "the path must be absolute");
            Stream::Log
        }
        None => Stream::Log,
    }
}
