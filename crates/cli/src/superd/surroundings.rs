//! What is around the daemon: its user, limits, logs and pid files.

use super::args::Args;
use super::daemon::Stop;
use super::{ancestor, speaks_as_ancestor};
use std::fs;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use supers_config::places::Places;
use supers_config::{Choice, Settings};
use supers_core::spec::Resource;
use supers_engine::logs::mainlog::{Level, MainLog};
use supers_engine::logs::{self, SyslogConfig};
use supers_engine::{FileLimits, clock};
use supers_os::keeper_proto::Key;
use supers_os::{process, users};

/// Default of `minfds`.
const LEAST_FILES: u64 = 1024;
/// The soft limit of open files that this process began with; it has been raised since then.
pub(super) static SOFT_AT_START: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
/// The limit of open files before it was raised: what a keeper that this process becomes gives on.
pub(super) static SOFT_FILES: std::sync::OnceLock<u64> = std::sync::OnceLock::new();
/// Default of `minprocs`.
const LEAST_PROCESSES: u64 = 200;

/// `user=` of the main section (supervisor-contract 1).
pub(super) fn become_user(settings: &Settings, places: &Places) -> Result<Option<u32>, Stop> {
    let Some(name) = &settings.user else { return Ok(None) };
    let user = users::lookup_user(name).map_err(|e| Stop::usage(e.to_string()))?;
    if process::euid() == user.uid {
        return Ok(None);
    }
    if process::euid() != 0 {
        return Err(Stop::usage("Can't drop privilege as nonroot user"));
    }
    let groups = users::groups_of(&user);
    hand_over(places, user.uid, user.gid)
        .and_then(|()| process::become_user(user.uid, user.gid, &groups))
        .map_err(|e| Stop::io(&format!("cannot become user {name}"), &e))?;
    Ok(Some(user.uid))
}

/// What a keeper is to hold when nothing can be had from the one before.
pub(super) fn what_has_a_name(places: &Places) -> Vec<(u64, OwnedFd)> {
    let records = process::open_own(&places.runtime.join("records"), false);
    records.into_iter().map(|file| (Key::RECORDS.0, file.into())).collect()
}

/// The keeper may hold more descriptors than we may have; a table that grows beside threads keeps them waiting 10 ms.
pub(super) fn have_room() {
    if let Ok((soft, _)) = process::limit(Resource::Nofile) {
        let _ = SOFT_AT_START.set(soft);
        // As many as it gets: what is missing shows when they are used.
        let _ = process::raise_nofile_to_hard();
        let _ = process::copy_high(io::stderr().as_fd());
    }
}

/// The launcher made the folders as root; now they are the user's. What an earlier daemon left in the runtime
/// folder and is not the user's goes rather than being given: nobody but us may decide what root gives away.
fn hand_over(places: &Places, uid: u32, gid: u32) -> io::Result<()> {
    use std::os::unix::fs::{MetadataExt, lchown};
    let absent = |e: io::Error| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) };
    give_state(places, uid, gid)?;
    // This daemon has just opened these, or made them.
    for file in ["records", "births"] {
        lchown(places.runtime.join(file), Some(uid), Some(gid)).or_else(absent)?;
    }
    if fs::symlink_metadata(&places.runtime)?.uid() == uid {
        return Ok(());
    }
    let fifos = places.runtime.join("fifo");
    // Living programs may write into them.
    if !fs::symlink_metadata(&fifos).is_ok_and(|meta| meta.is_dir() && meta.uid() == uid) {
        fs::remove_dir_all(&fifos).or_else(absent)?;
    }
    for file in [&places.runtime.join("pid"), &places.socket] {
        fs::remove_file(file).or_else(absent)?;
    }
    lchown(&places.runtime, Some(uid), Some(gid))
}

/// The state folder and the plain files in it.
fn give_state(places: &Places, uid: u32, gid: u32) -> io::Result<()> {
    use std::os::unix::fs::{DirBuilderExt, MetadataExt, lchown};
    fs::DirBuilder::new().recursive(true).mode(0o700).create(&places.state)?;
    if fs::symlink_metadata(&places.state)?.uid() == uid {
        return Ok(());
    }
    for folder in [places.state.clone(), places.state.join("outbox")] {
        for entry in fs::read_dir(&folder).into_iter().flatten().flatten() {
            let meta = fs::symlink_metadata(entry.path())?;
            // A second name could be anything's.
            if meta.is_file() && meta.nlink() == 1 {
                lchown(entry.path(), Some(uid), Some(gid))?;
            }
        }
        if folder.is_dir() {
            lchown(&folder, Some(uid), Some(gid))?;
        }
    }
    Ok(())
}

/// `minfds` and `minprocs` (supervisor-contract 1), then as many files for the daemon itself as the
/// hard limit allows: each unit needs about six.
pub(super) fn raise_limits(settings: &Settings, done: &mut ancestor::Done) -> Result<FileLimits, Stop> {
    let files = settings.minfds.unwrap_or(LEAST_FILES);
    let own_soft = || process::limit(Resource::Nofile).map_or(0, |(soft, _)| soft);
    let soft = SOFT_AT_START.get().copied().unwrap_or_else(own_soft);
    let few =
        |e: io::Error, what: &str| Stop::usage(format!("cannot have {what}: {}", supers_os::error_text(&e)));
    process::raise_nofile(files).map_err(|e| few(e, &format!("{files} open files (minfds)")))?;
    if soft < files {
        done.raised.push(("RLIMIT_NOFILE", files));
    }
    let procs = settings.minprocs.unwrap_or(LEAST_PROCESSES);
    if process::raise_nproc(procs).map_err(|e| few(e, &format!("{procs} processes (minprocs)")))? {
        done.raised.push(("RLIMIT_NPROC", procs));
    }
    let (_, hard) =
        process::limit(Resource::Nofile).map_err(|e| Stop::io("cannot read the limit of open files", &e))?;
    let child = (soft.max(files), hard);
    let _ = SOFT_FILES.set(child.0);
    let own = process::raise_nofile_to_hard().unwrap_or(child.0);
    Ok(FileLimits { own, child })
}

/// Standard output and error for programs that log to `/dev/stdout` and `/dev/stderr`. In the background
/// there is none, and whoever waits for the launcher's output must see its end.
pub(super) fn own_output(background: bool) -> Result<(OwnedFd, OwnedFd), Stop> {
    if background {
        let null = || fs::File::options().write(true).open("/dev/null").map(OwnedFd::from);
        let fail = |e: io::Error| Stop::io("cannot open /dev/null", &e);
        return Ok((null().map_err(fail)?, null().map_err(fail)?));
    }
    Ok((dup(io::stdout().as_fd())?, dup(io::stderr().as_fd())?))
}

/// `umask=` and `directory=` of the main section count in the background only (supervisor-contract 1).
pub(super) fn leave_the_terminals_place(settings: &Settings, log: &MainLog) {
    process::set_umask(settings.umask.unwrap_or(0o022));
    let Some(dir) = &settings.directory else { return };
    if let Err(e) = std::env::set_current_dir(std::ffi::OsStr::from_bytes(dir)) {
        let text = format!("cannot change directory to {dir}: {}", supers_os::error_text(&e));
        log.log(Level::Critical, clock::now().wall, &text);
    }
}

pub(super) fn main_log(
    args: &Args,
    settings: &Settings,
    places: &Places,
    cwd: &Path,
    log_dir: &Path,
) -> Result<MainLog, Stop> {
    let folder = matches!(places.choice, Choice::Dir(_));
    let path = match &settings.logfile {
        Some(p) => Some(PathBuf::from(std::ffi::OsStr::from_bytes(p))),
        None if folder => Some(log_dir.join("superd.log")),
        None => Some(cwd.join("supervisord.log")),
    };
    let copy = !args.daemon && !settings.silent;
    let stdout = if copy { Some(dup(io::stdout().as_fd())?) } else { None };
    let level = settings.loglevel;
    if settings.log_to_syslog {
        return Ok(MainLog::to_syslog(SyslogConfig::default(), level, stdout));
    }
    let (max, backups) = (settings.logfile_maxbytes, settings.logfile_backups);
    MainLog::open(path.as_deref(), max, backups, level, stdout).map_err(|e| {
        let path = path.unwrap_or_default();
        Stop::usage(format!("cannot open the log {}: {}", path.display(), supers_os::error_text(&e)))
    })
}

pub(super) fn clean_auto_logs(settings: &Settings) {
    if !settings.nocleanup {
        let dir = settings.childlogdir.as_ref().map(|d| PathBuf::from(std::ffi::OsStr::from_bytes(d)));
        let dir = dir.unwrap_or_else(std::env::temp_dir);
        logs::cleanup_auto(&dir, &settings.identifier);
    }
}

/// The configured pid file, and one in the runtime folder for whoever looks there.
pub(super) fn write_pid_files(
    settings: &Settings,
    places: &Places,
    cwd: &Path,
    pid: i32,
    log: &MainLog,
) -> (Vec<PathBuf>, bool) {
    let configured = match &settings.pidfile {
        Some(p) => Some(PathBuf::from(std::ffi::OsStr::from_bytes(p))),
        None if matches!(places.choice, Choice::File(_)) => Some(cwd.join("supervisord.pid")),
        None => Some(places.pid_file.clone()),
    };
    let all: Vec<PathBuf> = configured.into_iter().chain([places.runtime.join("pid")]).collect();
    let mut written = true;
    for path in &all {
        let line = format!("{pid}\n");
        // After a crash or an upgrade it is there already. To write it again could wait for the disk.
        if fs::read(path).is_ok_and(|there| there == line.as_bytes()) {
            continue;
        }
        if let Err(e) = fs::write(path, line) {
            written = false;
            let mut text = format!("could not write pidfile {}", path.display());
            if !speaks_as_ancestor() {
                text += &format!(": {}", supers_os::error_text(&e));
            }
            log.log(Level::Critical, clock::now().wall, &text);
        }
    }
    (all, written)
}

pub(super) fn dup(fd: std::os::fd::BorrowedFd<'_>) -> Result<OwnedFd, Stop> {
    fd.try_clone_to_owned().map_err(|e| Stop::io("cannot copy a descriptor", &e))
}
