//! Which hierarchies of control groups there are for us, from what `/proc/self` says.

use bstr::ByteSlice;
use std::ffi::OsString;
use std::fs::File;
use std::io::{self, Read};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;

/// A kind of hierarchy that can hold a unit together; better ones first.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Kind {
    /// The one hierarchy of v2.
    V2,
    /// v1's freezer.
    V1Freezer,
    /// v1's pids.
    V1Pids,
}

/// Our own group in a hierarchy that is mounted and may be written to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// Which.
    pub kind: Kind,
    /// The folder of the group that we are in.
    pub folder: PathBuf,
    /// The same within the hierarchy, as `/proc/self/cgroup` has it.
    pub path: Vec<u8>,
}

/// [`places`] of this process; none when `/proc` is not there.
pub fn places_here() -> Vec<Place> {
    let open = |name| File::open(format!("/proc/self/{name}"));
    match (open("mountinfo"), open("cgroup")) {
        (Ok(mounts), Ok(groups)) => places(mounts, groups).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// The hierarchies that can be used, best first, from the texts of `/proc/self/mountinfo` and
/// `/proc/self/cgroup`. What is read-only, or does not show our own group, is left out.
///
/// # Errors
/// A text cannot be read.
pub fn places(mut mountinfo: impl Read, mut cgroup: impl Read) -> io::Result<Vec<Place>> {
    let (mut mounts, mut groups) = (Vec::new(), Vec::new());
    mountinfo.read_to_end(&mut mounts)?;
    cgroup.read_to_end(&mut groups)?;
    let mounts: Vec<Mount> = mounts.lines().filter_map(Mount::parse).collect();
    let mut found = Vec::new();
    for (at, mount) in mounts.iter().enumerate() {
        // What is mounted later on the same folder hides it.
        let hidden = mounts.iter().skip(at + 1).any(|m| m.folder == mount.folder);
        let Some(kind) = mount.kind.filter(|_| !hidden && !mount.read_only) else { continue };
        let Some(path) = path_in(&groups, kind) else { continue };
        if let Some(folder) = mount.folder_of(path) {
            found.push(Place { kind, folder, path: path.to_vec() });
        }
    }
    found.sort_by_key(|place| place.kind);
    Ok(found)
}

/// A line of mountinfo.
struct Mount {
    root: Vec<u8>,
    folder: Vec<u8>,
    read_only: bool,
    /// `None`: something else is mounted there.
    kind: Option<Kind>,
}

impl Mount {
    /// `36 35 98:0 ROOT FOLDER OPTIONS [TAGS]... - TYPE SOURCE SUPER-OPTIONS`
    fn parse(line: &[u8]) -> Option<Mount> {
        let mut words = line.split(|b| *b == b' ');
        let root = unescape(words.nth(3)?);
        let folder = unescape(words.next()?);
        let options = words.next()?;
        let mut words = words.skip_while(|w| *w != b"-").skip(1);
        let (fs, super_options) = (words.next()?, words.nth(1).unwrap_or_default());
        let has = |list: &[u8], word: &[u8]| list.split(|b| *b == b',').any(|o| o == word);
        let kind = match fs {
            b"cgroup2" => Some(Kind::V2),
            b"cgroup" if has(super_options, b"freezer") => Some(Kind::V1Freezer),
            b"cgroup" if has(super_options, b"pids") => Some(Kind::V1Pids),
            _ => None,
        };
        Some(Mount { root, folder, read_only: has(options, b"ro") || has(super_options, b"ro"), kind })
    }

    /// The folder in which a group of the hierarchy is seen; `None` when it lies outside of what is
    /// mounted (a container that sees only a part, or a part that is not its own).
    fn folder_of(&self, path: &[u8]) -> Option<PathBuf> {
        let root = self.root.strip_suffix(b"/").unwrap_or(&self.root);
        let below = path.strip_prefix(root)?;
        let below = if below.is_empty() { below } else { below.strip_prefix(b"/")? };
        // Another namespace's group is shown with dots.
        if below.split(|b| *b == b'/').any(|part| part == b"..") {
            return None;
        }
        let folder = PathBuf::from(OsString::from_vec(self.folder.clone()));
        Some(if below.is_empty() { folder } else { folder.join(OsString::from_vec(below.to_vec())) })
    }
}

/// A process's group in a hierarchy, from its `/proc/PID/cgroup`: the line `0::PATH`, or
/// `N:CONTROLLERS:PATH`.
pub(super) fn path_in(groups: &[u8], kind: Kind) -> Option<&[u8]> {
    let controller: &[u8] = match kind {
        Kind::V2 => b"",
        Kind::V1Freezer => b"freezer",
        Kind::V1Pids => b"pids",
    };
    groups.lines().find_map(|line| {
        let mut parts = line.splitn(3, |b| *b == b':');
        let (number, controllers, path) = (parts.next()?, parts.next()?, parts.next()?);
        let ours = match kind {
            Kind::V2 => number == b"0" && controllers.is_empty(),
            Kind::V1Freezer | Kind::V1Pids => controllers.split(|b| *b == b',').any(|c| c == controller),
        };
        ours.then_some(path).filter(|path| path.starts_with(b"/"))
    })
}

/// mountinfo writes blanks, tabs, line feeds and backslashes as three octal digits.
fn unescape(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((byte, tail)) = rest.split_first() {
        let digits = tail.get(..3).filter(|d| *byte == b'\\' && d.iter().all(|b| matches!(b, b'0'..=b'7')));
        match digits {
            Some(digits) => {
                let code = digits.iter().fold(0u32, |n, d| n * 8 + u32::from(d - b'0'));
                out.push((code & 0xff) as u8);
                rest = tail.get(3..).unwrap_or_default();
            }
            None => {
                out.push(*byte);
                rest = tail;
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use Kind::{V1Freezer, V1Pids, V2};

    fn found(mounts: &str, groups: &str) -> Vec<(Kind, String)> {
        let found = places(mounts.as_bytes(), groups.as_bytes()).unwrap();
        found.into_iter().map(|p| (p.kind, p.folder.display().to_string())).collect()
    }

    fn at(kind: Kind, folder: &str) -> (Kind, String) {
        (kind, folder.into())
    }

    const V2_ONLY: &str = "24 1 8:1 / / rw - ext4 /dev/sda1 rw\n\
        30 24 0:26 / /sys/fs/cgroup rw,nosuid shared:4 - cgroup2 cgroup2 rw,nsdelegate\n";
    const HYBRID: &str = "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755\n\
        37 31 0:34 / /sys/fs/cgroup/freezer rw,relatime - cgroup cgroup rw,freezer\n\
        39 31 0:36 / /sys/fs/cgroup/pids rw,relatime - cgroup cgroup rw,pids\n\
        40 31 0:37 / /sys/fs/cgroup/systemd rw,relatime - cgroup cgroup rw,name=systemd\n\
        41 31 0:38 / /sys/fs/cgroup/unified rw,relatime - cgroup2 cgroup2 rw\n";

    #[test]
    fn machines() {
        assert_eq!(
            found(V2_ONLY, "0::/system.slice/superd.service\n"),
            [at(V2, "/sys/fs/cgroup/system.slice/superd.service")]
        );
        let groups = "8:pids:/user.slice\n6:freezer:/\n1:name=systemd:/user.slice\n0::/user.slice/x.scope\n";
        let all = [
            at(V2, "/sys/fs/cgroup/unified/user.slice/x.scope"),
            at(V1Freezer, "/sys/fs/cgroup/freezer"),
            at(V1Pids, "/sys/fs/cgroup/pids/user.slice"),
        ];
        assert_eq!(found(HYBRID, groups), all);
        // An old machine: no v2, and controllers that share a hierarchy.
        let old = "25 24 0:20 / /cg rw - cgroup none rw,cpu,freezer,clone_children\n";
        assert_eq!(found(old, "2:cpu,freezer:/a\n"), [at(V1Freezer, "/cg/a")]);
        assert_eq!(found("24 1 8:1 / / rw - ext4 /dev/sda1 rw\n", "0::/\n"), []);
        assert_eq!(found("", ""), []);
    }

    #[test]
    fn read_only_and_hidden_ones_are_absent() {
        let options = "30 24 0:26 / /sys/fs/cgroup ro,nosuid - cgroup2 cgroup rw\n";
        let whole = "30 24 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup ro\n";
        assert_eq!(found(options, "0::/\n"), []);
        assert_eq!(found(whole, "0::/\n"), []);
        let hidden = format!("{V2_ONLY}31 30 0:28 / /sys/fs/cgroup rw - tmpfs tmpfs rw\n");
        assert_eq!(found(&hidden, "0::/\n"), []);
        // Mounted again, read-only first: a container engine's habit.
        let twice = "30 24 0:26 / /sys/fs/cgroup ro - cgroup2 cgroup rw\n\
            31 30 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(found(twice, "0::/\n"), [at(V2, "/sys/fs/cgroup")]);
    }

    #[test]
    fn containers() {
        // With a namespace of its own: the root is what it sees.
        assert_eq!(found(V2_ONLY, "0::/\n"), [at(V2, "/sys/fs/cgroup")]);
        // Without: the mount shows a part, and the list names it in full.
        let part = "30 24 0:26 /docker/abc /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer\n";
        assert_eq!(found(part, "6:freezer:/docker/abc\n"), [at(V1Freezer, "/sys/fs/cgroup/freezer")]);
        assert_eq!(found(part, "6:freezer:/docker/abc/d\n"), [at(V1Freezer, "/sys/fs/cgroup/freezer/d")]);
        assert_eq!(found(part, "6:freezer:/docker/abcd\n"), []);
        assert_eq!(found(part, "6:freezer:/\n"), []);
        // A group outside of the namespace.
        assert_eq!(found(V2_ONLY, "0::/../other\n"), []);
        let outside = "30 24 0:26 /.. /sys/fs/cgroup rw - cgroup2 cgroup rw\n";
        assert_eq!(found(outside, "0::/\n"), []);
    }

    #[test]
    fn odd_lines() {
        let blank = "30 24 0:26 / /my\\040groups\\134 rw - cgroup2 cgroup rw\n";
        assert_eq!(found(blank, "0::/a b\n"), [at(V2, "/my groups\\/a b")]);
        assert_eq!(found("nonsense\n30 24\n\n- - - -\n", "nonsense\n0:\n::\n"), []);
        assert_eq!(unescape(b"\\04"), b"\\04");
    }
}
