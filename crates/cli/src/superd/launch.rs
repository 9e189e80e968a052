//! The launcher and the keeper's entry.

use super::args::Args;
use super::{EXIT_USAGE, LAUNCH_ENV, check, complain, daemon};
use crate::elsewhere;
use crate::supers;
use crate::supervisord::words;
use crate::world::World;
use std::ffi::{CString, OsStr, OsString};
use std::fs;
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::Command;
use std::time::Duration;
use supers_config::places::{Places, RELATIVE};
use supers_config::{Choice, Personality, Settings};
use supers_core::spec::Resource;
use supers_keeper::{Setup, handover};
use supers_os::{keeper_proto, memory, process, users};

/// `argv[0]` of the keeper role.
pub(super) const KEEPER_NAME: &str = "super-keeper";
/// Tells the keeper role by which name the launcher was called.
pub(super) const NAME_ENV: &str = "SUPERS_NAME";
/// How long the lock of killed processes is waited for.
const DYING: Duration = Duration::from_secs(2);
/// Somebody else runs this configuration.
const EXIT_TAKEN: i32 = 1;

/// The role a person starts.
pub(super) fn launch(args: &Args, personality: Personality, argv: &[OsString]) -> i32 {
    let world = World::here(personality);
    let places = match world.places(args.config.as_deref(), args.root.as_deref()) {
        Ok(places) => places,
        Err(e) => {
            complain(&e.to_string());
            return EXIT_USAGE;
        }
    };
    if args.test {
        return check::test(&world, &places);
    }
    let lock = match take_lock(args, &places, None) {
        Ok(lock) => lock,
        Err(code) => return code,
    };
    for elsewhere::Other { user, pid, socket } in elsewhere::others(&places) {
        let socket = socket.display();
        complain(&format!(
            "warning: user {user} runs this configuration too (superd, pid {pid}): its programs run twice\n  hint: `supers -s unix://{socket} status` shows it, `supers -s unix://{socket} shutdown` ends it"
        ));
    }
    // Pid 1 never daemonizes, and always has a keeper.
    let first = std::process::id() == 1;
    if args.no_keeper && !first {
        if args.daemon {
            complain("-d needs the keeper; run `superd --no-keeper` in the background by other means");
            return EXIT_USAGE;
        }
        return daemon::alone(args, world, places, lock);
    }
    let kept = Kept { lock, last_words: last_words(&places) };
    let result = if args.daemon && !first { background(argv, &kept) } else { foreground(argv, &kept) };
    result.unwrap_or_else(|e| {
        complain(&format!("cannot start the keeper: {}", supers_os::error_text(&e)));
        1
    })
}

/// The role a person starts by the ancestor's name. All that the ancestor checks before it opens its log
/// is checked here, where the terminal is.
pub(super) fn supervisord(args: &Args, mut world: World, argv: &[OsString], prog: &str) -> i32 {
    if args.config.is_none() && world.uid == 0 {
        let _ = writeln!(io::stderr(), "{prog}: UserWarning: {}", words::SEARCH_WARNING);
    }
    let refuse = |text: &str| {
        complain(text);
        EXIT_USAGE
    };
    let places = match world.places(args.config.as_deref(), args.root.as_deref()) {
        Ok(places) => places,
        Err(e) => return refuse(&words::not_found(&e)),
    };
    if args.config.is_none() {
        // As the search order names it.
        let (Choice::File(path) | Choice::Dir(path)) = &places.choice;
        let relative = RELATIVE.into_iter().find(|p| world.cwd.join(p) == *path);
        world.flags.file = relative.map(Into::into);
    }
    // An INI file has no use for the folder of units' logs.
    let loaded = world.load(&places.choice, Path::new("/"));
    if loaded.fatal {
        let first = loaded.config.first_error();
        return refuse(first.map_or("the configuration is broken", |f| f.message.as_str()));
    }
    let settings = &loaded.config.settings;
    if let Err(text) = is_possible(settings) {
        return refuse(&text);
    }
    let taken = (!settings.servers.is_empty()).then_some(words::LISTENING_ALREADY);
    let lock = match take_lock(args, &places, taken) {
        Ok(lock) => lock,
        Err(code) => return code,
    };
    let background_wanted = args.daemon && !settings.nodaemon;
    let argv = decided(args, &places, argv, background_wanted);
    let kept = Kept { lock, last_words: last_words(&places) };
    let result = if background_wanted { background(&argv, &kept) } else { foreground(&argv, &kept) };
    result.unwrap_or_else(|e| refuse(&format!("cannot start the keeper: {}", supers_os::error_text(&e))))
}

/// User and limits, as far as they can be judged before they are changed.
fn is_possible(settings: &Settings) -> Result<(), String> {
    if let Some(user) = &settings.user {
        let user = users::lookup_user(user).map_err(|e| e.to_string())?;
        if process::euid() != 0 && process::euid() != user.uid {
            return Err(words::NOT_ROOT.into());
        }
    }
    // A hard limit that is high enough stays for the daemon to use, which logs it.
    let raised = |resource, wanted, raise: fn(u64) -> io::Result<bool>| {
        let (_, hard) = process::limit(resource)?;
        if hard < wanted { raise(wanted).map(|_| ()) } else { Ok(()) }
    };
    if let Some(files) = settings.minfds {
        raised(Resource::Nofile, files, process::raise_nofile).map_err(|_| words::few_files(files))?;
    }
    if let Some(processes) = settings.minprocs {
        raised(Resource::Nproc, processes, process::raise_nproc)
            .map_err(|_| words::few_processes(processes))?;
    }
    Ok(())
}

/// The command line for keeper and daemon, with what was decided here written out: they must not search
/// again, nor judge again whether to stay.
fn decided(args: &Args, places: &Places, argv: &[OsString], background: bool) -> Vec<OsString> {
    let mut words = argv.to_vec();
    let (Choice::File(path) | Choice::Dir(path)) = &places.choice;
    if args.config.is_none() {
        words.extend(["-c".into(), path.clone().into_os_string()]);
    }
    if !background && !args.flags.nodaemon {
        words.push("-n".into());
    }
    words
}

/// Makes the runtime folder and takes the lock that makes this instance the only one of its
/// configuration. It is held by the keeper and the daemon together. `taken` is what to say when it is
/// taken, with the exit code of a usage error.
fn take_lock(args: &Args, places: &Places, taken: Option<&str>) -> Result<OwnedFd, i32> {
    let fail = |what: &str, path: &Path, e: &io::Error| {
        complain(&format!("cannot {what} {}: {}", path.display(), supers_os::error_text(e)));
        1
    };
    private_folder(&places.runtime).map_err(|e| fail("make the runtime folder", &places.runtime, &e))?;
    let path = places.runtime.join("lock");
    let lock = process::lock_file(&path).map(|lock| lock.or_else(|| lock_of_the_dead(places, &path)));
    match lock {
        Ok(Some(fd)) => {
            // An earlier daemon gave it to its `user=`.
            let own = std::os::unix::fs::lchown(&places.runtime, Some(process::euid()), None);
            own.map_err(|e| fail("take over", &places.runtime, &e)).map(|()| fd)
        }
        Ok(None) => {
            if let Some(text) = taken {
                complain(text);
                return Err(EXIT_USAGE);
            }
            let pid = fs::read_to_string(places.runtime.join("pid")).unwrap_or_default();
            let who = if pid.trim().is_empty() { String::new() } else { format!(" (pid {})", pid.trim()) };
            let typed = supers::typed(args.config.as_deref(), args.root.as_deref());
            complain(&format!(
                "another superd{who} runs this configuration already: {}\n  hint: `{typed} status` shows it, `{typed} shutdown` ends it",
                places.why
            ));
            Err(EXIT_TAKEN)
        }
        Err(e) => Err(fail("lock", &path, &e)),
    }
}

/// Somebody holds the lock, but the process whose pid is known is gone: what a killed process held comes free a
/// moment after it.
fn lock_of_the_dead(places: &Places, path: &Path) -> Option<OwnedFd> {
    let pid = fs::read_to_string(places.runtime.join("pid")).ok()?;
    // A zombie is gone as well: only its parent has not looked yet.
    if matches!(process::zombie_exit(pid.trim().parse().ok()?), Ok(None)) {
        return None;
    }
    let (tx, rx) = std::sync::mpsc::channel();
    let path = path.to_owned();
    // Nobody waits for this thread: either it gets the lock, or this process ends.
    std::thread::spawn(move || drop(tx.send(process::wait_for_lock(&path))));
    rx.recv_timeout(DYING).ok()?.ok()
}

/// A folder for its owner only. Its parents are made as they come; the folder itself must be ours.
pub(super) fn private_folder(path: &Path) -> io::Result<()> {
    if let Some(parent) = path.parent() {
        fs::DirBuilder::new().recursive(true).mode(0o755).create(parent)?;
    }
    match fs::DirBuilder::new().mode(0o700).create(path) {
        Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(e),
        _ => {}
    }
    let meta = fs::symlink_metadata(path)?;
    if !meta.is_dir() || (meta.uid() != process::euid() && !is_safely_given_away(path)?) {
        return Err(io::Error::other("it is there, but is not a folder of ours"));
    }
    if meta.mode() & 0o7777 == 0o700 {
        return Ok(());
    }
    fs::set_permissions(path, fs::Permissions::from_mode(0o700))
}

/// We are root, and nobody else can have put a folder there: it went to the `user=` of an earlier daemon.
fn is_safely_given_away(path: &Path) -> io::Result<bool> {
    let Some(parent) = path.parent() else { return Ok(false) };
    let parent = fs::symlink_metadata(parent)?;
    Ok(process::euid() == 0 && parent.uid() == 0 && parent.is_dir() && parent.mode() & 0o022 == 0)
}

/// What the launcher leaves to the keeper.
struct Kept {
    lock: OwnedFd,
    last_words: Option<OwnedFd>,
}

/// The file in the runtime folder in which the keeper says why there is no daemon; empty when there is one.
pub(super) const LAST_WORDS: &str = "keeper.log";

/// That file; the keeper can do without.
pub(super) fn last_words(places: &Places) -> Option<OwnedFd> {
    let mut options = fs::File::options();
    options.write(true).create(true).truncate(true).mode(0o600);
    options.open(places.runtime.join(LAST_WORDS)).ok().map(OwnedFd::from)
}

/// What the keeper will be, as a command.
fn keeper_command(argv: &[OsString], kept: &Kept, ready: RawFd) -> io::Result<Command> {
    process::set_inheritable(kept.lock.as_fd(), true)?;
    if let Some(words) = &kept.last_words {
        process::set_inheritable(words.as_fd(), true)?;
    }
    let words = kept.last_words.as_ref().map_or(-1, AsRawFd::as_raw_fd);
    let mut command = Command::new("/proc/self/exe");
    command.arg0(KEEPER_NAME).args(argv.iter().skip(1));
    command.env(LAUNCH_ENV, format!("{},{ready},{words}", kept.lock.as_raw_fd()));
    command.env(NAME_ENV, argv.first().map(OsString::as_os_str).unwrap_or_default());
    Ok(command)
}

/// Words and environment with which a daemon of this command line becomes the keeper
/// ([`supers_keeper::handover::become_keeper`]): what a launcher would give it, but for the descriptors.
pub(super) fn keeper_words(argv: &[OsString]) -> (Vec<CString>, Vec<CString>) {
    let words = std::iter::once(OsStr::new(KEEPER_NAME)).chain(argv.iter().skip(1).map(OsString::as_os_str));
    let mut env = environment(|name| name != keeper_proto::FD_ENV && !is_private(name));
    let name = argv.first().map(|name| name.as_bytes()).unwrap_or_default();
    env.extend(CString::new([NAME_ENV.as_bytes(), b"=", name].concat()));
    env.extend(CString::new(format!("{LAUNCH_ENV}=")));
    (words.filter_map(c_string).collect(), env)
}

fn c_string(text: &OsStr) -> Option<CString> {
    CString::new(text.as_bytes()).ok()
}

/// Variables that are between launcher and keeper.
fn is_private(name: &OsStr) -> bool {
    name == LAUNCH_ENV || name == NAME_ENV || name == handover::handover_env()
}

/// Our environment, as far as `wanted`.
fn environment(wanted: impl Fn(&OsStr) -> bool) -> Vec<CString> {
    let entries = std::env::vars_os().filter(|(name, _)| wanted(name));
    entries.filter_map(|(k, v)| CString::new([k.as_bytes(), b"=", v.as_bytes()].concat()).ok()).collect()
}

/// This process becomes the keeper.
fn foreground(argv: &[OsString], kept: &Kept) -> io::Result<i32> {
    Err(keeper_command(argv, kept, -1)?.exec())
}

/// The keeper is another process; this one waits until all is ready.
fn background(argv: &[OsString], kept: &Kept) -> io::Result<i32> {
    let (mut told, ready) = io::pipe()?;
    process::set_inheritable(ready.as_fd(), true)?;
    let mut child = keeper_command(argv, kept, ready.as_raw_fd())?.spawn()?;
    drop(ready);
    let mut word = [0u8; 1];
    match told.read(&mut word) {
        Ok(1) => Ok(0),
        // It ended without a word; what was wrong is on the terminal already.
        _ => Ok(child.wait()?.code().filter(|c| *c != 0).unwrap_or(1)),
    }
}

/// This process was executed to be the keeper.
pub(super) fn is_keeper(called: &OsStr) -> bool {
    let told = |name: &str| std::env::var_os(name).is_some();
    called == KEEPER_NAME && (told(LAUNCH_ENV) || told(handover::handover_env()))
}

/// The keeper's role: prepared here, done by the keeper crate.
pub(super) fn keeper(argv: &[OsString]) -> i32 {
    let inherited = |it| Setup { inherited: Some(it), ..Setup::default() };
    let left = match handover::inherit().map_or_else(left_by_launcher, |it| it.map(inherited)) {
        Ok(left) => left,
        Err(e) => {
            complain(&format!("cannot take over: {}", supers_os::error_text(&e)));
            return EXIT_USAGE;
        }
    };
    let name = std::env::var_os(NAME_ENV).unwrap_or_else(|| "superd".into());
    let words = std::iter::once(name.as_os_str()).chain(argv.iter().skip(1).map(OsString::as_os_str));
    let daemon_argv = words.filter_map(c_string).collect();
    let own_argv = argv.iter().filter_map(|word| c_string(word)).collect();
    // The start is over, and nothing of it is needed again.
    memory::forget_code();
    supers_keeper::run(Setup {
        argv: daemon_argv,
        env: environment(|name| !is_private(name)),
        own: (own_argv, environment(|_| true)),
        ..left
    })
}

/// The descriptors that the launcher left open.
fn left_by_launcher() -> io::Result<Setup> {
    let left = std::env::var(LAUNCH_ENV).unwrap_or_default();
    let mut fds = left.split(',').filter_map(|n| n.parse::<RawFd>().ok());
    let lock = fds.next().ok_or_else(|| io::Error::other("the launcher left no descriptors"))?;
    let mut next = || fds.next().filter(|fd| *fd >= 0).map(process::adopt_fd).transpose();
    let (ready, last_words) = (next()?, next()?);
    Ok(Setup { lock: Some(process::adopt_fd(lock)?), ready, last_words, ..Setup::default() })
}
