//! Daemons that other users run on the same configuration.
//!
//! Each user has runtime folders of his own, so one user's lock keeps no other from starting a daemon. A lock on the
//! configuration itself would: anybody who may read it could hold it, and nobody else's daemon would start any more. So
//! this only looks, where it may, and people are told.

use rustix::fs::{Mode, OFlags};
use std::fs::{self, File};
use std::io::{self, Read};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use supers_config::places::Places;
use supers_os::users;

/// Another user's daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Other {
    /// Whose it is: a name, or `id 7`.
    pub user: String,
    /// Its keeper.
    pub pid: i32,
    /// Its control socket, unless the configuration names another.
    pub socket: PathBuf,
}

/// Those that run this configuration, as far as we may look: root sees all in the usual places, others none.
pub fn others(places: &Places) -> Vec<Other> {
    let Some(id) = places.runtime.file_name() else { return Vec::new() };
    let mut folders = vec![PathBuf::from("/run/super")];
    folders.extend(below("/dev/shm").filter(|f| name_begins(f, "super-")));
    folders.extend(below("/run/user").map(|f| f.join("super")));
    let runtimes = folders.into_iter().map(|folder| folder.join(id));
    runtimes.filter(|runtime| *runtime != places.runtime).filter_map(|runtime| look(&runtime)).collect()
}

fn below(folder: &str) -> impl Iterator<Item = PathBuf> {
    fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path())
}

fn name_begins(path: &Path, with: &str) -> bool {
    path.file_name().is_some_and(|name| name.as_encoded_bytes().starts_with(with.as_bytes()))
}

/// The daemon of a runtime folder, when it lives. What is there may be anybody's: the process that is named must be the
/// owner's own.
fn look(runtime: &Path) -> Option<Other> {
    let owner = fs::symlink_metadata(runtime).ok().filter(fs::Metadata::is_dir)?.uid();
    let pid: i32 = read_some(&runtime.join("pid")).ok()?.trim().parse().ok()?;
    let process = format!("/proc/{pid}");
    let comm = fs::read_to_string(format!("{process}/comm")).ok()?;
    let is_his = comm.starts_with("super") && fs::metadata(process).ok()?.uid() == owner;
    let user =
        users::lookup_user(&owner.to_string()).map_or_else(|_| format!("id {owner}"), |user| user.name);
    is_his.then(|| Other { user, pid, socket: runtime.join("super.sock") })
}

/// A few bytes of a plain file; of anything else none, and without waiting.
fn read_some(path: &Path) -> io::Result<String> {
    let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    let mut text = String::new();
    if file.metadata()?.is_file() {
        file.take(32).read_to_string(&mut text)?;
    }
    Ok(text)
}
