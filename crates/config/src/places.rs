//! Where things are: the configuration, the runtime and state folders, the control socket. Both
//! commands use it with the same input, so they always agree.

use crate::load::{Choice, Personality};
use crate::source::{absolute, path_of};
use bstr::{BString, ByteSlice};
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

/// Places of the ancestor's search order that depend on where it is started.
pub const RELATIVE: [&str; 2] = ["supervisord.conf", "etc/supervisord.conf"];

/// What is at a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Seen {
    /// Nothing.
    Nothing,
    /// A file, or anything else that is no folder.
    File,
    /// A folder.
    Dir,
    /// It cannot be looked at, and why.
    Unreadable(String),
}

/// Questions to the file system ([`crate::source::Disk`] asks the real one).
pub trait Look {
    /// What is there, links followed.
    fn look(&self, path: &Path) -> Seen;
    /// The folder holds at least one visible `*.service` or `*.conf`.
    fn holds_units(&self, dir: &Path) -> bool;
    /// The path without links; `None` when it does not exist.
    fn canonical(&self, path: &Path) -> Option<PathBuf>;
}

/// Who asks.
#[derive(Clone, Debug)]
pub struct Asker {
    /// Whose search order.
    pub personality: Personality,
    /// `-c FILE|DIR`.
    pub given: Option<PathBuf>,
    /// `--root DIR`: goes before every default place, never before `given`. The places below it are
    /// those of a whole system (`etc/super`, `run/super`), whoever asks.
    pub root: Option<PathBuf>,
    /// Effective user id.
    pub uid: u32,
    /// Environment: HOME and the XDG folders.
    pub env: Vec<(BString, BString)>,
    /// Working directory.
    pub cwd: PathBuf,
    /// Folder of the running program, for the ancestor's search order.
    pub exe_dir: Option<PathBuf>,
}

/// Where everything is, for one configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Places {
    /// What to read.
    pub choice: Choice,
    /// One sentence: what was chosen and why.
    pub why: String,
    /// 16 hexadecimal digits that stand for the configuration's canonical path; the same in all
    /// versions.
    pub id: String,
    /// This configuration's own runtime folder.
    pub runtime: PathBuf,
    /// This configuration's own state folder.
    pub state: PathBuf,
    /// The control socket, unless the configuration names one.
    pub socket: PathBuf,
    /// The pid file, unless the configuration names one.
    pub pid_file: PathBuf,
    /// Folders for the units' logs, best first; the first that can be written is used.
    pub log_dirs: Vec<PathBuf>,
}

/// No configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// `-c` names something that cannot be used.
    Given {
        /// The path as given.
        path: PathBuf,
        /// Why, when it is not simply absent.
        reason: Option<String>,
    },
    /// None of the default places has one.
    Nowhere {
        /// Where was looked, in order.
        tried: Vec<PathBuf>,
        /// The folder to make (`supers add` makes it).
        suggested: PathBuf,
    },
}

impl fmt::Display for NotFound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            NotFound::Given { path, reason: None } => {
                write!(f, "could not find config file {}", path.display())
            }
            NotFound::Given { path, reason: Some(r) } => {
                write!(f, "could not read config file {}: {r}", path.display())
            }
            NotFound::Nowhere { tried, suggested } => {
                let tried: Vec<String> = tried.iter().map(|p| p.display().to_string()).collect();
                write!(
                    f,
                    "no configuration found; looked at {}. Put a .service or .conf file into {}, or name one with -c",
                    tried.join(", "),
                    suggested.display()
                )
            }
        }
    }
}

impl std::error::Error for NotFound {}

/// Finds the configuration and everything that belongs to it.
///
/// # Errors
/// `-c` names nothing usable, or no default place holds a configuration.
pub fn find(asker: &Asker, look: &dyn Look) -> Result<Places, NotFound> {
    let (choice, why) = match &asker.given {
        Some(path) => given(asker, path, look)?,
        None => search(asker, look)?,
    };
    Ok(asker.places_of(choice, why, look))
}

/// The places of the folder that a fresh installation would use, whether or not it exists: for
/// `supers add` before there is anything.
pub fn of_default_folder(asker: &Asker, look: &dyn Look) -> Places {
    let dir = asker.unit_folder();
    let why = format!("using {}, the default place", dir.display());
    asker.places_of(Choice::Dir(dir), why, look)
}

fn given(asker: &Asker, path: &Path, look: &dyn Look) -> Result<(Choice, String), NotFound> {
    let full = absolute(&asker.cwd, path);
    let why = |what: &str| format!("using {what} {}, named with -c", full.display());
    match look.look(&full) {
        Seen::Dir if asker.personality == Personality::Supervisord => {
            Err(NotFound::Given { path: path.into(), reason: Some("Is a directory".into()) })
        }
        Seen::Dir => Ok((Choice::Dir(full.clone()), why("the folder"))),
        Seen::File => Ok((Choice::File(full.clone()), why("the file"))),
        Seen::Nothing => Err(NotFound::Given { path: path.into(), reason: None }),
        Seen::Unreadable(r) => Err(NotFound::Given { path: path.into(), reason: Some(r) }),
    }
}

/// Unit folder, then the ancestor's search order (supervisor-contract 1). An empty folder is passed
/// over, and the sentence says so.
fn search(asker: &Asker, look: &dyn Look) -> Result<(Choice, String), NotFound> {
    let mut tried = Vec::new();
    let mut passed = String::new();
    let folders = match asker.personality {
        Personality::Superd => asker.unit_folders(),
        Personality::Supervisord => Vec::new(),
    };
    for dir in folders {
        match look.look(&dir) {
            Seen::Dir if look.holds_units(&dir) => {
                let why = format!("using the folder {}, the default place{passed}", dir.display());
                return Ok((Choice::Dir(dir), why));
            }
            Seen::Dir => passed = format!("; {} is empty", dir.display()),
            Seen::Nothing | Seen::File | Seen::Unreadable(_) => {}
        }
        tried.push(dir);
    }
    for file in asker.ancestor_files() {
        let full = absolute(&asker.cwd, &file);
        if look.look(&full) == Seen::File {
            let why = format!("using the file {}, found in the search order{passed}", full.display());
            return Ok((Choice::File(full), why));
        }
        tried.push(match asker.personality {
            Personality::Superd => full,
            // As the ancestor names them.
            Personality::Supervisord => file,
        });
    }
    Err(NotFound::Nowhere { tried, suggested: asker.unit_folder() })
}

impl Asker {
    fn var(&self, name: &str) -> Option<PathBuf> {
        let value = &self.env.iter().rev().find(|(k, _)| k.as_bstr() == name)?.1;
        // The XDG rules: a relative path counts as unset.
        value.starts_with(b"/").then(|| path_of(value))
    }

    /// Places of the whole system are used by root, and by anybody below `--root`.
    fn is_system(&self) -> bool {
        self.uid == 0 || self.root.is_some()
    }

    /// A default place, below `--root`.
    fn place(&self, path: &str) -> PathBuf {
        self.under_root(Path::new(path))
    }

    fn under_root(&self, path: &Path) -> PathBuf {
        match &self.root {
            Some(root) => absolute(&self.cwd, root).join(path.strip_prefix("/").unwrap_or(path)),
            None => path.to_path_buf(),
        }
    }

    fn home_config(&self) -> Option<PathBuf> {
        let base = self.var("XDG_CONFIG_HOME").or_else(|| Some(self.var("HOME")?.join(".config")))?;
        Some(self.under_root(&base.join("super")))
    }

    fn unit_folders(&self) -> Vec<PathBuf> {
        let system = self.is_system().then(|| self.place("/etc/super"));
        let own = if self.uid == 0 { None } else { self.home_config() };
        system.into_iter().chain(own).collect()
    }

    fn unit_folder(&self) -> PathBuf {
        self.unit_folders().into_iter().next().unwrap_or_else(|| self.place("/etc/super"))
    }

    fn ancestor_files(&self) -> Vec<PathBuf> {
        let mut files = Vec::new();
        if self.root.is_none() {
            if let Some(dir) = &self.exe_dir {
                files.push(absolute(dir, Path::new("../etc/supervisord.conf")));
                files.push(absolute(dir, Path::new("../supervisord.conf")));
            }
            files.extend(RELATIVE.map(PathBuf::from));
        }
        files.push(self.place("/etc/supervisord.conf"));
        files.push(self.place("/etc/supervisor/supervisord.conf"));
        files
    }

    /// The folder that holds one runtime folder a configuration.
    pub fn runtime_base(&self) -> PathBuf {
        match self.var("XDG_RUNTIME_DIR") {
            _ if self.is_system() => self.place("/run/super"),
            Some(dir) => dir.join("super"),
            None => PathBuf::from(format!("/dev/shm/super-{}", self.uid)),
        }
    }

    /// The folder that holds one state folder a configuration.
    pub fn state_base(&self) -> PathBuf {
        if self.is_system() {
            return self.place("/var/lib/super");
        }
        let home = || Some(self.var("HOME")?.join(".local/state"));
        match self.var("XDG_STATE_HOME").or_else(home) {
            Some(dir) => dir.join("super"),
            None => self.runtime_base(),
        }
    }

    fn places_of(&self, choice: Choice, why: String, look: &dyn Look) -> Places {
        let path = match &choice {
            Choice::File(p) | Choice::Dir(p) => p,
        };
        let real = look.canonical(path).unwrap_or_else(|| absolute(&self.cwd, path));
        let id = format!("{:016x}", fnv1a(real.as_os_str().as_bytes()));
        let runtime = self.runtime_base().join(&id);
        let state = self.state_base().join(&id);
        let mut log_dirs = Vec::new();
        if let Choice::Dir(dir) = &choice {
            log_dirs.push(dir.join("logs"));
        }
        if self.is_system() {
            log_dirs.push(self.place("/var/log/super"));
        }
        log_dirs.push(state.join("logs"));
        Places {
            choice,
            why,
            id,
            socket: runtime.join("super.sock"),
            pid_file: runtime.join("superd.pid"),
            runtime,
            state,
            log_dirs,
        }
    }
}

/// FNV-1a, 64 bits. Written out because the folder names made of it must never change.
fn fnv1a(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0000_0100_0000_01b3))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeMap;

    /// A file system of a few paths; `true` is a folder that holds units or a file.
    struct Fake(BTreeMap<&'static str, (Seen, bool)>);

    impl Look for Fake {
        fn look(&self, path: &Path) -> Seen {
            path.to_str().and_then(|p| self.0.get(p)).map_or(Seen::Nothing, |e| e.0.clone())
        }
        fn holds_units(&self, dir: &Path) -> bool {
            dir.to_str().and_then(|p| self.0.get(p)).is_some_and(|e| e.1)
        }
        fn canonical(&self, path: &Path) -> Option<PathBuf> {
            Some(path.to_path_buf())
        }
    }

    fn fake(entries: &[(&'static str, Seen, bool)]) -> Fake {
        Fake(entries.iter().map(|(p, s, b)| (*p, (s.clone(), *b))).collect())
    }

    fn asker(uid: u32, env: &[(&str, &str)]) -> Asker {
        Asker {
            personality: Personality::Superd,
            given: None,
            root: None,
            uid,
            env: env.iter().map(|(k, v)| (BString::from(*k), BString::from(*v))).collect(),
            cwd: "/cwd".into(),
            exe_dir: Some("/usr/bin".into()),
        }
    }

    #[test]
    fn root_uses_etc_super_and_an_empty_one_shadows_nothing() {
        let both = [("/etc/super", Seen::Dir, true), ("/etc/supervisord.conf", Seen::File, true)];
        let p = find(&asker(0, &[]), &fake(&both)).unwrap();
        assert_eq!(p.choice, Choice::Dir("/etc/super".into()));
        assert_eq!(p.why, "using the folder /etc/super, the default place");
        let log: Vec<&str> = p.log_dirs.iter().filter_map(|d| d.to_str()).take(2).collect();
        assert_eq!(log, ["/etc/super/logs", "/var/log/super"]);

        let empty = [("/etc/super", Seen::Dir, false), ("/etc/supervisord.conf", Seen::File, true)];
        let p = find(&asker(0, &[]), &fake(&empty)).unwrap();
        assert_eq!(p.choice, Choice::File("/etc/supervisord.conf".into()));
        assert!(p.why.ends_with("; /etc/super is empty"), "{}", p.why);
    }

    #[test]
    fn the_ancestors_order() {
        let mut a = asker(0, &[]);
        a.personality = Personality::Supervisord;
        let all = ["/usr/etc/supervisord.conf", "/usr/supervisord.conf", "/cwd/supervisord.conf"];
        let mut entries: Vec<(&'static str, Seen, bool)> =
            all.iter().map(|p| (*p, Seen::File, true)).collect();
        entries.push(("/etc/super", Seen::Dir, true));
        for path in all {
            let found = find(&a, &fake(&entries)).unwrap();
            assert_eq!(found.choice, Choice::File(path.into()));
            entries.remove(0);
        }
        match find(&a, &fake(&entries)) {
            Err(NotFound::Nowhere { tried, .. }) => {
                assert_eq!(tried.last().unwrap(), Path::new("/etc/supervisor/supervisord.conf"));
                assert_eq!(tried[2], Path::new("supervisord.conf"));
                assert_eq!(tried.len(), 6);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn another_user_has_places_of_his_own() {
        let fs = fake(&[("/home/u/.config/super", Seen::Dir, true), ("/etc/super", Seen::Dir, true)]);
        let p = find(&asker(7, &[("HOME", "/home/u")]), &fs).unwrap();
        assert_eq!(p.choice, Choice::Dir("/home/u/.config/super".into()));
        assert!(p.runtime.starts_with("/dev/shm/super-7"));
        assert!(p.state.starts_with("/home/u/.local/state/super"));
        let env =
            [("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/7"), ("XDG_STATE_HOME", "/s"), ("X", "")];
        let p = find(&asker(7, &env), &fs).unwrap();
        assert!(p.socket.starts_with("/run/user/7/super") && p.socket.ends_with("super.sock"));
        assert!(p.state.starts_with("/s/super"));
    }

    #[test]
    fn a_root_goes_before_default_places_only() {
        let fs = fake(&[("/r/etc/super", Seen::Dir, true), ("/x.conf", Seen::File, true)]);
        let mut a = asker(7, &[("HOME", "/home/u"), ("XDG_RUNTIME_DIR", "/run/user/7")]);
        a.root = Some("/r".into());
        let p = find(&a, &fs).unwrap();
        assert_eq!(p.choice, Choice::Dir("/r/etc/super".into()));
        assert!(p.runtime.starts_with("/r/run/super"));
        assert!(p.log_dirs.contains(&PathBuf::from("/r/var/log/super")));
        a.given = Some("/x.conf".into());
        let p = find(&a, &fs).unwrap();
        assert_eq!(p.choice, Choice::File("/x.conf".into()));
        assert!(p.state.starts_with("/r/var/lib/super"));
    }

    #[test]
    fn a_given_path_must_exist() {
        let mut a = asker(0, &[]);
        a.given = Some("nope.conf".into());
        let e = find(&a, &fake(&[("/etc/super", Seen::Dir, true)])).unwrap_err();
        assert_eq!(e.to_string(), "could not find config file nope.conf");
        a.given = Some("empty".into());
        let p = find(&a, &fake(&[("/cwd/empty", Seen::Dir, false)])).unwrap();
        assert_eq!(p.choice, Choice::Dir("/cwd/empty".into()));
    }

    #[test]
    fn the_id_never_changes() {
        assert_eq!(format!("{:016x}", fnv1a(b"/etc/super")), "2da28b8b3944ac38");
        assert_eq!(fnv1a(b""), 0xcbf2_9ce4_8422_2325);
    }
}
