//! Control groups: a group a unit, so that whatever the unit starts can be found and ended together.
//!
//! [`places`] says which hierarchies this process could use (v2, or v1's freezer or pids), [`Tree`] is
//! our own folder in one of them, [`Group`] a unit's folder below it. A hierarchy that is read-only, or
//! that we may not write to, counts as absent.
//!
//! A v2 group that has processes may not hand controllers to its children. So none is enabled in the
//! group in which we found ourselves (it is not ours to change, and we sit in it); [`Tree`]'s own folder
//! never holds a process, so there the controllers that reached it are passed on.

mod find;
pub(crate) mod kill;

pub use find::{Kind, Place, places, places_here};

use crate::process::is_writable;
use crate::spawn::CgroupJoin;
use std::ffi::CString;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Read};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Our own folder in a hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tree {
    kind: Kind,
    folder: PathBuf,
    /// The folder's path within the hierarchy, as `/proc/PID/cgroup` has it.
    path: Vec<u8>,
}

/// The group of one unit. It need not exist.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Group {
    kind: Kind,
    folder: PathBuf,
    path: Vec<u8>,
}

/// What the processes of a group used, as far as the kernel tells.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Processor time of all that ever were in it, in microseconds.
    pub cpu_usec: Option<u64>,
    /// Bytes of memory now.
    pub memory: Option<u64>,
    /// Processes and threads now.
    pub tasks: Option<u64>,
}

/// What became of a group that was to be removed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Removed {
    /// It is not there any more.
    Gone,
    /// There are processes in it.
    Busy,
}

impl Tree {
    /// Makes `super-ID` below our own group, or takes over the one that is there.
    ///
    /// # Errors
    /// This hierarchy is of no use to us: we may not write, or groups there take no processes.
    pub fn make(place: &Place, id: &str) -> io::Result<Tree> {
        let name = escape("super-", id);
        let tree = Tree {
            kind: place.kind,
            folder: place.folder.join(&name),
            path: join_path(&place.path, name.as_bytes()),
        };
        make_folder(&tree.folder)?;
        tree.check(place).inspect_err(|_| drop(fs::remove_dir(&tree.folder)))?;
        if tree.kind == Kind::V2 {
            tree.pass_on_controllers();
        }
        Ok(tree)
    }

    /// Removes empty groups, left by a daemon before us. Not while somebody may be about to use one.
    pub fn tidy(&self) {
        for child in subfolders(&self.folder) {
            // One in use refuses.
            let _ = fs::remove_dir(child);
        }
    }

    fn check(&self, place: &Place) -> io::Result<()> {
        // A process moves from our group to one below `folder`: both ends must be writable.
        for folder in [&place.folder, &self.folder] {
            if !is_writable(&folder.join("cgroup.procs")) {
                return Err(io::Error::from_raw_os_error(libc::EACCES));
            }
        }
        if self.kind == Kind::V2 {
            let kind = fs::read_to_string(self.folder.join("cgroup.type")).unwrap_or_default();
            if !matches!(kind.trim_end(), "" | "domain") {
                return Err(io::Error::from_raw_os_error(libc::EOPNOTSUPP));
            }
        }
        Ok(())
    }

    /// Memory and pids are wanted for what they count; what did not reach us is not enabled above us.
    fn pass_on_controllers(&self) {
        let here = fs::read_to_string(self.folder.join("cgroup.controllers")).unwrap_or_default();
        for controller in here.split_ascii_whitespace().filter(|c| matches!(*c, "memory" | "pids")) {
            let _ = fs::write(self.folder.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }

    /// Which hierarchy it is in.
    pub fn kind(&self) -> Kind {
        self.kind
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// The group of a unit, by any name.
    pub fn group(&self, unit: &str) -> Group {
        let name = escape("u-", unit);
        Group {
            kind: self.kind,
            folder: self.folder.join(&name),
            path: join_path(&self.path, name.as_bytes()),
        }
    }

    /// All of it as one group, whatever is in there.
    pub fn whole(&self) -> Group {
        Group { kind: self.kind, folder: self.folder.clone(), path: self.path.clone() }
    }

    /// Removes it with all groups that are empty.
    ///
    /// # Errors
    /// The kernel's, other than "busy".
    pub fn remove(&self) -> io::Result<Removed> {
        remove_folder(&self.folder, DEPTH)
    }
}

/// Groups below groups are followed so deep.
const DEPTH: usize = 16;

impl Group {
    /// Makes the group if need be; what a child needs to be born in it.
    ///
    /// # Errors
    /// The kernel's.
    pub fn join(&self) -> io::Result<CgroupJoin> {
        let directory = match self.kind {
            Kind::V2 => {
                let mut options = OpenOptions::new();
                options.read(true).custom_flags(libc::O_DIRECTORY | libc::O_PATH);
                let opened = match options.open(&self.folder) {
                    Err(e) if e.kind() == io::ErrorKind::NotFound => {
                        make_folder(&self.folder)?;
                        options.open(&self.folder)?
                    }
                    other => other?,
                };
                Some(Arc::new(opened.into()))
            }
            Kind::V1Freezer | Kind::V1Pids => {
                make_folder(&self.folder)?;
                None
            }
        };
        let procs = CString::new(self.folder.join("cgroup.procs").into_os_string().into_vec())?;
        Ok(CgroupJoin::Group { directory, procs })
    }

    /// Where it is.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Nothing in it lives. (A zombie does not count.)
    ///
    /// # Errors
    /// The kernel's; a group that is not there is empty.
    pub fn is_empty(&self) -> io::Result<bool> {
        match self.kind {
            Kind::V2 => absent_is(read_short(&self.folder.join("cgroup.events")), String::new())
                .map(|text| !populated(&text)),
            Kind::V1Freezer | Kind::V1Pids => Ok(self.processes()?.is_empty()),
        }
    }

    /// What it used.
    pub fn usage(&self) -> Usage {
        let number = |name: &str| -> Option<u64> {
            fs::read_to_string(self.folder.join(name)).ok()?.trim_end().parse().ok()
        };
        let cpu = || value_of(&fs::read_to_string(self.folder.join("cpu.stat")).ok()?, "usage_usec");
        let tasks = || number("pids.current").or_else(|| count_tasks(&self.folder, self.kind, DEPTH));
        match self.kind {
            Kind::V2 => Usage { cpu_usec: cpu(), memory: number("memory.current"), tasks: tasks() },
            Kind::V1Pids | Kind::V1Freezer => Usage { tasks: tasks(), ..Usage::default() },
        }
    }

    /// Removes it and what is below it.
    ///
    /// # Errors
    /// The kernel's, other than "busy".
    pub fn remove(&self) -> io::Result<Removed> {
        remove_folder(&self.folder, DEPTH)
    }
}

/// Processes and threads in a group and below it, where no controller counts them; `None` when it is not there.
fn count_tasks(folder: &Path, kind: Kind, depth: usize) -> Option<u64> {
    let list = match kind {
        Kind::V2 => "cgroup.threads",
        Kind::V1Freezer | Kind::V1Pids => "tasks",
    };
    let own = fs::read_to_string(folder.join(list)).ok()?.lines().count() as u64;
    let Some(depth) = depth.checked_sub(1) else { return Some(own) };
    // A group below that went meanwhile has none.
    let below = subfolders(folder).iter().filter_map(|child| count_tasks(child, kind, depth)).sum::<u64>();
    Some(own + below)
}

/// A file of the kernel that is known to be short, by one read: this is on the way from an end to the next start.
fn read_short(path: &Path) -> io::Result<String> {
    let mut room = [0; 512];
    let got = fs::File::open(path)?.read(&mut room)?;
    Ok(String::from_utf8_lossy(room.get(..got).unwrap_or_default()).into_owned())
}

/// The value behind a word at the beginning of a line.
fn value_of(text: &str, word: &str) -> Option<u64> {
    let line = text.lines().find_map(|l| l.strip_prefix(word)?.strip_prefix(' '))?;
    line.trim_end().parse().ok()
}

fn populated(events: &str) -> bool {
    value_of(events, "populated").is_some_and(|n| n != 0)
}

/// What is not there, or was removed while we looked, stands for `value`.
fn absent_is<T>(result: io::Result<T>, value: T) -> io::Result<T> {
    match result {
        Err(e) if matches!(e.raw_os_error(), Some(libc::ENOENT | libc::ENODEV)) => Ok(value),
        other => other,
    }
}

fn make_folder(folder: &Path) -> io::Result<()> {
    match DirBuilder::new().mode(0o755).create(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        other => other,
    }
}

fn subfolders(folder: &Path) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten();
    entries.filter(|e| e.file_type().is_ok_and(|t| t.is_dir())).map(|e| e.path()).collect()
}

fn remove_folder(folder: &Path, depth: usize) -> io::Result<Removed> {
    if let Some(depth) = depth.checked_sub(1) {
        for child in subfolders(folder) {
            remove_folder(&child, depth)?;
        }
    }
    match fs::remove_dir(folder) {
        Ok(()) => Ok(Removed::Gone),
        Err(e) => match e.raw_os_error() {
            Some(libc::ENOENT) => Ok(Removed::Gone),
            Some(libc::EBUSY | libc::ENOTEMPTY) => Ok(Removed::Busy),
            _ => Err(e),
        },
    }
}

/// Longest name of a group; the file system has 255.
const LONGEST: usize = 200;

/// A file name for any text, a different one for each: what could mean something to the kernel or a
/// reader is written `%XX`; what is too long ends in its hash.
fn escape(prefix: &str, text: &str) -> String {
    let mut name = prefix.to_owned();
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'_' | b'-' | b'.' | b'@' | b':' => {
                name.push(byte.into());
            }
            _ => name.push_str(&format!("%{byte:02X}")),
        }
    }
    if name.len() > LONGEST {
        name.truncate(LONGEST);
        // A name that was not cut holds no sign of equality.
        name.push_str(&format!("={:016x}", fnv1a(text.as_bytes())));
    }
    name
}

/// FNV-1a, 64 bits.
pub(crate) fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}

fn join_path(path: &[u8], name: &[u8]) -> Vec<u8> {
    let path = path.strip_suffix(b"/").unwrap_or(path);
    [path, b"/", name].concat()
}

/// The `cgroup.procs` of a join, as people know the group: the part from our own folder on.
pub(crate) fn short_name(procs: &Path) -> String {
    let folder = procs.parent().unwrap_or(procs);
    let parts: Vec<_> = folder.iter().rev().take(2).collect();
    let parts: Vec<_> = parts.iter().rev().map(|p| String::from_utf8_lossy(p.as_bytes())).collect();
    parts.join("/")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn group(kind: Kind) -> (tempfile::TempDir, Group) {
        let dir = tempfile::tempdir().unwrap();
        let group = Group { kind, folder: dir.path().to_owned(), path: b"/x".to_vec() };
        (dir, group)
    }

    #[test]
    fn usage_from_files_as_kernels_with_controllers_have_them() {
        let (dir, v2) = group(Kind::V2);
        assert_eq!(v2.usage(), Usage::default());
        fs::write(dir.path().join("cpu.stat"), "usage_usec 1234567\nuser_usec 1\nsystem_usec 2\n").unwrap();
        assert_eq!(v2.usage(), Usage { cpu_usec: Some(1_234_567), memory: None, tasks: None });
        // Without the controller they are counted, here and below.
        fs::create_dir(dir.path().join("below")).unwrap();
        fs::write(dir.path().join("cgroup.threads"), "71\n72\n").unwrap();
        fs::write(dir.path().join("below/cgroup.threads"), "73\n").unwrap();
        fs::write(dir.path().join("tasks"), "71\n").unwrap();
        assert_eq!(v2.usage().tasks, Some(3));
        let freezer = Group { kind: Kind::V1Freezer, ..v2.clone() };
        assert_eq!(freezer.usage(), Usage { tasks: Some(1), ..Usage::default() });
        fs::write(dir.path().join("memory.current"), "52428800\n").unwrap();
        fs::write(dir.path().join("pids.current"), "17\n").unwrap();
        let all = Usage { cpu_usec: Some(1_234_567), memory: Some(52_428_800), tasks: Some(17) };
        assert_eq!(v2.usage(), all);
        let pids = Group { kind: Kind::V1Pids, ..v2.clone() };
        assert_eq!(pids.usage(), Usage { tasks: Some(17), ..Usage::default() });
        fs::write(dir.path().join("memory.current"), "max\n").unwrap();
        assert_eq!(v2.usage().memory, None);
    }

    #[test]
    fn emptiness_from_files() {
        let (dir, v2) = group(Kind::V2);
        assert!(v2.is_empty().unwrap(), "what is not there is empty");
        fs::write(dir.path().join("cgroup.events"), "populated 1\nfrozen 0\n").unwrap();
        assert!(!v2.is_empty().unwrap());
        fs::write(dir.path().join("cgroup.events"), "populated 0\nfrozen 0\n").unwrap();
        assert!(v2.is_empty().unwrap());
    }

    #[test]
    fn names_are_safe_and_differ() {
        assert_eq!(escape("u-", "web:web_00"), "u-web:web_00");
        assert_eq!(escape("u-", "../a b"), "u-..%2Fa%20b");
        assert_eq!(escape("u-", "a%"), "u-a%25");
        let long = |end: &str| escape("u-", &("é".repeat(100) + end));
        assert!(long("a").len() < 255 && long("a") != long("b"));
        assert_eq!(short_name(Path::new("/sys/fs/cgroup/super-1/u-web/cgroup.procs")), "super-1/u-web");
    }

    #[test]
    fn a_folder_without_rights_or_of_threads_is_refused_and_not_left_behind() {
        let dir = tempfile::tempdir().unwrap();
        let place = Place { kind: Kind::V2, folder: dir.path().to_owned(), path: b"/".to_vec() };
        // A plain folder has no cgroup.procs that could be written to.
        let error = Tree::make(&place, "x").unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EACCES));
        assert!(!dir.path().join("super-x").exists());
    }
}
