//! The process's surroundings, as the configuration wants to know them: read once, passed as values.

use bstr::BString;
use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;
use std::path::{Path, PathBuf};
use supers_config::places::{Asker, NotFound, Places, find};
use supers_config::source::Disk;
use supers_config::{Choice, Flags, InForce, Loaded, Personality, Request, Users, load_among, load_beside};
use supers_os::{process, users};

/// Variables that are between a daemon and its keeper; children never see them.
pub const PRIVATE_ENV: [&str; 2] = [supers_os::keeper_proto::FD_ENV, crate::superd::LAUNCH_ENV];

/// Where this process stands.
#[derive(Clone, Debug)]
pub struct World {
    /// Whose rules.
    pub personality: Personality,
    /// The environment, without our private variables.
    pub env: Vec<(BString, BString)>,
    /// Working directory.
    pub cwd: PathBuf,
    /// Folder of the running program.
    pub exe_dir: Option<PathBuf>,
    /// Effective user.
    pub uid: u32,
    /// Name of the machine.
    pub hostname: String,
    /// What the command line says over the files.
    pub flags: Flags,
}

impl World {
    /// Looks around.
    pub fn here(personality: Personality) -> World {
        let bytes = |s: OsString| BString::from(s.into_vec());
        let private = |k: &OsString| PRIVATE_ENV.iter().any(|p| k == p);
        let hostname = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        World {
            personality,
            env: std::env::vars_os()
                .filter(|(k, _)| !private(k))
                .map(|(k, v)| (bytes(k), bytes(v)))
                .collect(),
            cwd: std::env::current_dir().unwrap_or_else(|_| PathBuf::from("/")),
            exe_dir: std::env::current_exe().ok().and_then(|p| p.parent().map(Path::to_path_buf)),
            uid: process::euid(),
            hostname: hostname.trim().to_owned(),
            flags: Flags::default(),
        }
    }

    /// The same with flags that stand over the files, at each reading.
    #[must_use]
    pub fn with_flags(mut self, flags: &Flags) -> World {
        self.flags = flags.clone();
        self
    }

    /// Finds the configuration.
    ///
    /// # Errors
    /// None is there.
    pub fn places(&self, given: Option<&Path>, root: Option<&Path>) -> Result<Places, NotFound> {
        find(&self.asker(given, root), &Disk)
    }

    /// The question in the form that [`supers_config::places`] takes.
    pub fn asker(&self, given: Option<&Path>, root: Option<&Path>) -> Asker {
        Asker {
            personality: self.personality,
            given: given.map(Path::to_path_buf),
            root: root.map(Path::to_path_buf),
            uid: self.uid,
            env: self.env.clone(),
            cwd: self.cwd.clone(),
            exe_dir: self.exe_dir.clone(),
        }
    }

    /// Reads the configuration.
    pub fn load(&self, choice: &Choice, log_dir: &Path) -> Loaded {
        self.load_beside(choice, log_dir, &InForce::default())
    }

    /// Reads it again, beside what is in force.
    pub fn load_beside(&self, choice: &Choice, log_dir: &Path, in_force: &InForce) -> Loaded {
        load_beside(&self.request(choice, log_dir), &self.flags, in_force)
    }

    /// Reads it for a check: one unit file is judged among what lies beside it.
    pub fn load_among(&self, choice: &Choice, log_dir: &Path) -> Loaded {
        load_among(&self.request(choice, log_dir))
    }

    /// What the configuration wants to know of this world.
    pub fn request(&self, choice: &Choice, log_dir: &Path) -> Request<'static> {
        Request {
            choice: choice.clone(),
            personality: self.personality,
            env: self.env.clone(),
            hostname: self.hostname.clone(),
            cwd: self.cwd.clone(),
            log_dir: log_dir.to_path_buf(),
            home: std::env::var_os("HOME").map(PathBuf::from),
            users: &SystemUsers,
        }
    }
}

/// The machine's users, by our own reading of passwd and group.
pub struct SystemUsers;

impl Users for SystemUsers {
    fn user_exists(&self, user: &str) -> bool {
        users::lookup_user(user).is_ok()
    }

    fn group_exists(&self, group: &str) -> bool {
        users::lookup_group(group).is_ok()
    }

    fn home_of(&self, user: &str) -> Option<PathBuf> {
        users::lookup_user(user).ok().map(|u| u.home)
    }
}
