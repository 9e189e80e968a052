//! What a new process finds: its environment, words, user, directory and standard input, worked out
//! from the spec at each start.

use crate::spawner::{fault, os_fault, user_fault};
use bstr::{BStr, BString, ByteSlice, ByteVec};
use std::ffi::{CString, OsStr};
use std::fs::File;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::OnceLock;
use supers_config::unit;
use supers_core::exit::{Stage, StartError};
use supers_core::spec::{Command, Context, EnvFile, Spec};
use supers_os::users::{self, User};

/// Files of variables larger than this are refused.
const MAX_ENV_FILE: u64 = 1 << 20;
/// Room for a process id in decimal.
const PID_DIGITS: usize = 10;

/// What children may inherit of the daemon.
#[derive(Clone, Debug, Default)]
pub struct Daemon {
    /// The daemon's own environment, without what is between it and its keeper.
    pub env: Vec<(BString, BString)>,
}

/// The user a unit runs as, and the primary group.
pub(crate) struct Identity {
    pub user: User,
    pub gid: u32,
}

/// Looks up the unit's user; `None` when it stays what the daemon is.
pub(crate) fn find_user(context: &Context) -> Result<Option<Identity>, StartError> {
    let Some(name) = &context.user else { return Ok(None) };
    let user = users::lookup_user(name).map_err(|e| user_fault(&e.to_string()))?;
    let gid = match &context.group {
        None => user.gid,
        Some(group) => users::lookup_group(group).map_err(|e| user_fault(&e.to_string()))?.gid,
    };
    Ok(Some(Identity { user, gid }))
}

/// Variables in the order they were first set; a later value replaces an earlier one.
#[derive(Clone, Debug, Default)]
pub(crate) struct Vars {
    list: Vec<(BString, BString)>,
    /// Add SYSTEMD_EXEC_PID, filled in by the child.
    own_pid: bool,
}

impl Vars {
    pub(crate) fn set(&mut self, key: &[u8], value: &[u8]) {
        match self.list.iter_mut().find(|(k, _)| k == key) {
            Some((_, v)) => *v = value.into(),
            None => self.list.push((key.into(), value.into())),
        }
    }

    pub(crate) fn get(&self, key: &[u8]) -> Option<&BStr> {
        self.list.iter().find(|(k, _)| k == key).map(|(_, v)| v.as_bstr())
    }

    /// `KEY=value` strings, and the places of those into which the child writes its pid.
    pub(crate) fn into_c_strings(self) -> Result<(Vec<CString>, Vec<usize>), StartError> {
        let mut out = Vec::with_capacity(self.list.len() + 1);
        for (mut k, v) in self.list {
            k.push_byte(b'=');
            k.push_str(&v);
            let bad = |_| fault(Stage::Command, "a variable of the environment holds a NUL byte");
            out.push(CString::new(Vec::from(k)).map_err(bad)?);
        }
        let mut slots = Vec::new();
        if self.own_pid {
            slots.push(out.len());
            let mut text = b"SYSTEMD_EXEC_PID=".to_vec();
            text.extend(std::iter::repeat_n(b' ', PID_DIGITS));
            out.push(CString::new(text).unwrap_or_default());
        }
        Ok((out, slots))
    }
}

/// The environment of one run (see [`supers_core::spec::Env`] for the order).
pub(crate) fn build(daemon: &Daemon, spec: &Spec, user: Option<&Identity>) -> Result<Vars, StartError> {
    let env = &spec.context.env;
    let mut vars = Vars::default();
    if env.inherit {
        vars.list.clone_from(&daemon.env);
    }
    if let Some(Identity { user, .. }) = user.filter(|_| env.user_vars) {
        vars.set(b"HOME", user.home.as_os_str().as_bytes());
        vars.set(b"USER", user.name.as_bytes());
        vars.set(b"LOGNAME", user.name.as_bytes());
        vars.set(b"SHELL", user.shell.as_os_str().as_bytes());
    }
    if env.invocation {
        let mut id = [0u8; 16];
        supers_os::random_bytes(&mut id)
            .map_err(|e| os_fault(Stage::EnvFile, "make an invocation id", &e))?;
        let text: String = id.iter().map(|b| format!("{b:02x}")).collect();
        vars.set(b"INVOCATION_ID", text.as_bytes());
        vars.own_pid = true;
    }
    for (k, v) in spec.names().into_iter().filter(|_| env.names) {
        vars.set(k.as_bytes(), v.as_bytes());
    }
    for (k, v) in &env.vars {
        vars.set(k, v);
    }
    for file in &env.files {
        for (k, v) in read_env_file(file)? {
            vars.set(&k, &v);
        }
    }
    Ok(vars)
}

/// A pattern stands for all files that match it, by name.
fn read_env_file(file: &EnvFile) -> Result<Vec<(BString, BString)>, StartError> {
    let path = Path::new(OsStr::from_bytes(&file.path));
    if !file.path.iter().any(|b| b"*?[".contains(b)) {
        return read_one_env_file(path, file.optional);
    }
    let found = supers_config::source::glob(path).unwrap_or_default();
    if found.is_empty() && !file.optional {
        // The same failure as that of one missing file.
        return read_one_env_file(path, false);
    }
    let mut out = Vec::new();
    for path in found {
        out.extend(read_one_env_file(&path, file.optional)?);
    }
    Ok(out)
}

fn read_one_env_file(path: &Path, optional: bool) -> Result<Vec<(BString, BString)>, StartError> {
    let deed = || format!("read environment file \"{}\"", path.as_os_str().as_bytes().as_bstr());
    let handle = match File::open(path) {
        Err(e) if optional && e.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        other => other.map_err(|e| os_fault(Stage::EnvFile, &deed(), &e))?,
    };
    let mut bytes = Vec::new();
    let n = handle.take(MAX_ENV_FILE + 1).read_to_end(&mut bytes);
    let n = n.map_err(|e| os_fault(Stage::EnvFile, &deed(), &e))?;
    if n as u64 > MAX_ENV_FILE {
        return Err(fault(Stage::EnvFile, &format!("{}: larger than 1 MiB", deed())));
    }
    Ok(unit::envfile::parse(&bytes))
}

/// The words of the command, with variables filled in where the dialect has them.
pub(crate) fn words(command: &Command, env: &Vars) -> Result<Vec<BString>, StartError> {
    if !command.expand {
        return Ok(command.words.clone());
    }
    let words = unit::words::expand(&command.words, &|name: &BStr| env.get(name).map(BString::from));
    if words.is_empty() { Err(fault(Stage::Command, "command is empty")) } else { Ok(words) }
}

/// The directory to change to.
pub(crate) fn directory(context: &Context, user: Option<&Identity>) -> Result<Option<CString>, StartError> {
    let Some(dir) = &context.directory else { return Ok(None) };
    let path: BString = match dir.path.strip_prefix(b"~") {
        Some(rest) if rest.is_empty() || rest.starts_with(b"/") => {
            let home = match user {
                Some(identity) => identity.user.home.clone(),
                None => own_home()?,
            };
            BString::from([home.as_os_str().as_bytes(), rest].concat())
        }
        _ => dir.path.clone(),
    };
    let there = Path::new(OsStr::from_bytes(&path)).is_dir();
    let path = if dir.optional && !there { BString::from("/") } else { path };
    let bad = |_| fault(Stage::Chdir, "the directory's name holds a NUL byte");
    CString::new(Vec::from(path)).map(Some).map_err(bad)
}

fn own_home() -> Result<std::path::PathBuf, StartError> {
    let me = users::lookup_user(&supers_os::process::euid().to_string());
    me.map(|u| u.home).map_err(|e| user_fault(&e.to_string()))
}

/// Standard input: the reading end for the child, and the end that the daemon keeps.
pub(crate) fn stdin(context: &Context) -> io::Result<(OwnedFd, Option<OwnedFd>)> {
    if !context.stdin_pipe {
        return Ok((nothing()?, None));
    }
    let (read, write) = io::pipe()?;
    let write = OwnedFd::from(write);
    supers_os::pipe::set_nonblocking(&write)?;
    Ok((read.into(), Some(write)))
}

/// An input that has ended. Opened once: a copy of a descriptor costs a tenth of that.
fn nothing() -> io::Result<OwnedFd> {
    static NOTHING: OnceLock<OwnedFd> = OnceLock::new();
    match NOTHING.get() {
        Some(opened) => opened.try_clone(),
        None => {
            let opened = OwnedFd::from(File::open("/dev/null")?);
            let copy = opened.try_clone();
            // Another thread may have been quicker.
            let _ = NOTHING.set(opened);
            copy
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pattern_stands_for_its_files() {
        let dir = tempfile::tempdir().unwrap();
        for (name, text) in [("b.env", "X=b\nB=1"), ("a.env", "X=a\nA=1"), (".h.env", "H=1"), ("n", "N=1")] {
            std::fs::write(dir.path().join(name), text).unwrap();
        }
        let read = |pattern: &str, optional: bool| {
            let path = dir.path().join(pattern);
            read_env_file(&EnvFile { path: path.as_os_str().as_bytes().into(), optional })
        };
        let found = read("*.env", false).unwrap();
        let found: Vec<String> = found.iter().map(|(k, v)| format!("{k}={v}")).collect();
        assert_eq!(found, ["X=a", "A=1", "X=b", "B=1"]);
        assert_eq!(read("*.none", true).unwrap(), []);
        let missing = read("*.none", false).unwrap_err();
        assert_eq!((missing.stage, missing.errno), (Stage::EnvFile, 2));
        assert!(missing.text.ends_with("*.none\": No such file or directory"), "{}", missing.text);
        assert!(read("[x", false).is_err());
    }
}
