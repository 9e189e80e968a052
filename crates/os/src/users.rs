//! Users and groups without NSS.
//!
//! `/etc/passwd` and `/etc/group` are read by our own parser. What they do not know (LDAP and the like)
//! is asked of `getent`, a child process with a time limit: NSS loads foreign code and may hang, and
//! neither may happen inside the daemon.

use crate::errno::error_text;
use crate::poll::wait_readable;
use crate::reap;
use crate::spawn::{Method, Plan, resolve, spawn};
use std::collections::BTreeSet;
use std::ffi::{CString, OsStr};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;
use supers_core::exit::Exit;
use supers_core::signal::Signal;

const PASSWD: &str = "/etc/passwd";
const GROUP: &str = "/etc/group";
/// How long `getent` may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// An answer of `getent` is cut here.
const MAX_ANSWER: u64 = 4 << 20;

/// A line of passwd.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct User {
    /// The name; the number in decimal for a number that has no entry.
    pub name: String,
    /// The number.
    pub uid: u32,
    /// The primary group.
    pub gid: u32,
    /// Home.
    pub home: PathBuf,
    /// Login shell; `/bin/sh` when the line has none.
    pub shell: PathBuf,
}

/// A line of group.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    /// The name.
    pub name: String,
    /// The number.
    pub gid: u32,
    /// Users that have it as a supplementary group.
    pub members: Vec<String>,
}

/// Why a user or group was not found.
#[derive(Debug, thiserror::Error)]
pub enum LookupError {
    /// Nobody knows it.
    #[error("{kind} {name} does not exist")]
    Unknown {
        /// `user` or `group`.
        kind: &'static str,
        /// As asked for.
        name: String,
    },
    /// The files could not be read, or `getent` failed.
    #[error("cannot look up {kind} {name}: {why}")]
    Failed {
        /// `user` or `group`.
        kind: &'static str,
        /// As asked for.
        name: String,
        /// In words.
        why: String,
    },
}

/// A user by name or number. A name made of digits is a name first.
///
/// # Errors
/// Not found, or not to be found out.
pub fn lookup_user(who: &str) -> Result<User, LookupError> {
    look("user", who, PASSWD, |text| find_user(text, who))
}

/// User and group numbers of `user` or `user:group`, names or numbers; alone, the user's own group.
///
/// # Errors
/// Not found, or not to be found out.
pub fn owner(text: &str) -> Result<(u32, u32), LookupError> {
    let (user, group) = text.split_once(':').map_or((text, None), |(u, g)| (u, Some(g)));
    let user = lookup_user(user)?;
    let gid = match group {
        None => user.gid,
        Some(g) => lookup_group(g)?.gid,
    };
    Ok((user.uid, gid))
}

/// A group by name or number; a number needs no entry.
///
/// # Errors
/// Not found, or not to be found out.
pub fn lookup_group(which: &str) -> Result<Group, LookupError> {
    let found = look("group", which, GROUP, |text| find_group(text, which));
    match (found, which.parse()) {
        (Err(LookupError::Unknown { .. }), Ok(gid)) => {
            Ok(Group { name: which.to_owned(), gid, members: Vec::new() })
        }
        (other, _) => other,
    }
}

/// The user's groups: the primary one first, then all that list the user (supervisor-contract 6).
/// When `/etc/group` cannot be read: the primary one.
pub fn groups_of(user: &User) -> Vec<u32> {
    let text = fs::read_to_string(GROUP).unwrap_or_default();
    let mut groups = member_of(&text, user);
    let in_files = fs::read_to_string(PASSWD).is_ok_and(|text| find_user(&text, &user.name).is_some());
    if !in_files {
        // One of a directory service: its groups are known there only.
        let answer = getent(&["initgroups", &user.name]).unwrap_or_default();
        let known: BTreeSet<u32> = groups.iter().copied().collect();
        let numbers = answer.split_ascii_whitespace().skip(1).filter_map(|n| n.parse().ok());
        groups.extend(numbers.filter(|gid| !known.contains(gid)).collect::<BTreeSet<u32>>());
    }
    groups
}

/// Looks in the file, then asks `getent`.
fn look<T>(
    kind: &'static str,
    name: &str,
    file: &str,
    find: impl Fn(&str) -> Option<T>,
) -> Result<T, LookupError> {
    let unknown = || LookupError::Unknown { kind, name: name.to_owned() };
    let failed = |e: &io::Error| LookupError::Failed { kind, name: name.to_owned(), why: error_text(e) };
    if name.is_empty() || name.contains([':', '\n', '\0']) {
        return Err(unknown());
    }
    let text = match fs::read(file) {
        Ok(bytes) => String::from_utf8_lossy(&bytes).into_owned(),
        Err(e) if e.kind() == io::ErrorKind::NotFound => String::new(),
        Err(e) => return Err(failed(&e)),
    };
    if let Some(found) = find(&text) {
        return Ok(found);
    }
    let database = if kind == "user" { "passwd" } else { "group" };
    let answer = getent(&[database, name]).map_err(|e| failed(&e))?;
    find(&answer).ok_or_else(unknown)
}

/// Asks `getent`; the empty text when it knows nothing, or is not there.
fn getent(words: &[&str]) -> io::Result<String> {
    let Ok(program) = resolve("getent".into(), None) else { return Ok(String::new()) };
    let argv = ["getent", "--"].iter().take(1).chain(words).map(|w| CString::new(*w));
    let argv: Vec<CString> = argv.collect::<Result<_, _>>()?;
    let null = fs::OpenOptions::new().read(true).write(true).open("/dev/null")?;
    let (answer, theirs) = io::pipe()?;
    let mut plan = Plan::new(program, argv);
    plan.stdin = null.as_raw_fd();
    plan.stdout = theirs.as_raw_fd();
    plan.stderr = null.as_raw_fd();
    let child = spawn(&plan, Method::Own).map_err(|e| io::Error::other(e.text))?;
    drop(theirs);
    let text = read_answer(File::from(std::os::fd::OwnedFd::from(answer)), &child.pidfd);
    if text.is_err() {
        // It may be gone by itself.
        let _ = reap::pidfd_signal(&child.pidfd, Signal::KILL);
    }
    let exit = reap::wait(child.pid)?;
    let text = text?;
    match exit {
        Exit::Code(0) => Ok(text),
        // 2: not in the database.
        Exit::Code(2) => Ok(String::new()),
        other => Err(io::Error::other(format!("getent: {other}"))),
    }
}

/// Reads until the end of the output; each wait has a limit.
fn read_answer(mut answer: File, _pidfd: &impl AsFd) -> io::Result<String> {
    let mut bytes = Vec::new();
    let mut part = [0u8; 4096];
    while (bytes.len() as u64) < MAX_ANSWER {
        if !wait_readable(answer.as_fd(), Some(PATIENCE))? {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "getent does not answer"));
        }
        match answer.read(&mut part)? {
            0 => return Ok(String::from_utf8_lossy(&bytes).into_owned()),
            n => bytes.extend_from_slice(part.get(..n).unwrap_or_default()),
        }
    }
    Err(io::Error::other("getent answers without end"))
}

fn find_user(passwd: &str, who: &str) -> Option<User> {
    let users = || passwd.lines().filter_map(parse_user);
    let number = || who.parse::<u32>().ok().and_then(|uid| users().find(|u| u.uid == uid));
    users().find(|u| u.name == who).or_else(number)
}

fn find_group(group: &str, which: &str) -> Option<Group> {
    let groups = || group.lines().filter_map(parse_group);
    let number = || which.parse::<u32>().ok().and_then(|gid| groups().find(|g| g.gid == gid));
    groups().find(|g| g.name == which).or_else(number)
}

/// `name:password:uid:gid:comment:home:shell`.
fn parse_user(line: &str) -> Option<User> {
    let fields: Vec<&str> = line.split(':').collect();
    let &[name, _, uid, gid, _, home, shell] = fields.get(..7)? else { return None };
    if !is_name(name) {
        return None;
    }
    let path = |text: &str| PathBuf::from(OsStr::from_bytes(text.as_bytes()));
    let shell = if shell.is_empty() { "/bin/sh" } else { shell };
    Some(User {
        name: name.to_owned(),
        uid: uid.parse().ok()?,
        gid: gid.parse().ok()?,
        home: path(home),
        shell: path(shell),
    })
}

/// `name:password:gid:member,member`.
fn parse_group(line: &str) -> Option<Group> {
    let mut fields = line.split(':');
    let (name, _, gid) = (fields.next()?, fields.next()?, fields.next()?);
    if !is_name(name) {
        return None;
    }
    let members = fields.next().unwrap_or_default().split(',');
    let members = members.map(str::trim).filter(|m| !m.is_empty()).map(str::to_owned).collect();
    Some(Group { name: name.to_owned(), gid: gid.parse().ok()?, members })
}

/// Not a comment, and not a line that pulls in a directory service (`+`, `-`).
fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.starts_with(['#', '+', '-'])
}

fn member_of(group: &str, user: &User) -> Vec<u32> {
    let mut groups = vec![user.gid];
    for entry in group.lines().filter_map(parse_group) {
        if entry.members.contains(&user.name) && !groups.contains(&entry.gid) {
            groups.push(entry.gid);
        }
    }
    groups
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD_TEXT: &str = "root:x:0:0:root:/root:/bin/bash\n# note\n+::::::\nweb:x:33:34:,,:/srv/web:\n\
        44:x:45:45::/:/bin/sh\nbroken:x:zz:1:::\nshort:x:1\n";
    const GROUP_TEXT: &str = "root:x:0:\nweb:x:34:\nlogs:x:50:adm,web\nmore:*:51: web ,\nagain:x:34:web\n";

    #[test]
    fn users_by_name_and_number() {
        let web = find_user(PASSWD_TEXT, "web").unwrap();
        assert_eq!((web.uid, web.gid), (33, 34));
        assert_eq!((web.home, web.shell), ("/srv/web".into(), "/bin/sh".into()));
        assert_eq!(find_user(PASSWD_TEXT, "33").map(|u| u.name).as_deref(), Some("web"));
        assert_eq!(find_user(PASSWD_TEXT, "44").map(|u| u.uid), Some(45), "a name first");
        for nobody in ["broken", "short", "+", "34", "# note", ""] {
            assert_eq!(find_user(PASSWD_TEXT, nobody), None, "{nobody}");
        }
    }

    #[test]
    fn groups_of_a_user_are_the_primary_and_those_that_list_it() {
        let web = find_user(PASSWD_TEXT, "web").unwrap();
        assert_eq!(member_of(GROUP_TEXT, &web), [34, 50, 51]);
        assert_eq!(find_group(GROUP_TEXT, "50").map(|g| g.name).as_deref(), Some("logs"));
        assert_eq!(find_group(GROUP_TEXT, "none"), None);
    }

    #[test]
    fn the_machine_knows_root_and_not_everybody() {
        assert_eq!(lookup_user("root").unwrap().uid, 0);
        assert_eq!(lookup_user("0").unwrap().name, "root");
        assert_eq!(lookup_group("root").unwrap().gid, 0);
        assert_eq!(lookup_group("54321").unwrap().gid, 54321);
        let error = lookup_user("no-such-user-here").unwrap_err();
        assert_eq!(error.to_string(), "user no-such-user-here does not exist");
        assert!(lookup_user("a:b").is_err());
    }

    #[test]
    fn getent_answers_or_knows_nothing() {
        assert!(getent(&["passwd", "root"]).unwrap().starts_with("root:"));
        assert_eq!(getent(&["passwd", "no-such-user-here"]).unwrap(), "");
    }
}
