//! The daemon: puts the parts together and lets the engine run.

use super::ancestor;
use super::args::Args;
use super::guard::Guard;
use super::listen::{self, Doors};
use super::rebind::Rebinder;
use super::{EXIT_USAGE, complain, speaks_as_ancestor};
use crate::world::World;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use supers_config::places::Places;
use supers_config::{Choice, Loaded, Personality, Settings, Severity};
use supers_core::spec::Resource;
use supers_core::time::Wall;
use supers_engine::environ::Daemon as ChildEnv;
use supers_engine::family::Family;
use supers_engine::logs::mainlog::{Level, MainLog};
use supers_engine::logs::{self, LogsConfig, SyslogConfig};
use supers_engine::{Ended, Engine, FileLimits, Hup, Identity, Notices, Setup, clock};
use supers_os::{process, users};
use tokio::sync::watch;

/// Default of `minfds`.
const LEAST_FILES: u64 = 1024;
/// Default of `minprocs`.
const LEAST_PROCESSES: u64 = 200;

/// `superd -t`: all findings, and whether it would start.
pub(super) fn test(world: &World, places: &Places) -> i32 {
    let loaded = world.load(&places.choice, &log_dir(places, false));
    let mut text = String::new();
    for finding in &loaded.config.findings {
        text.push_str(&format!("{finding}\n"));
    }
    let bad = loaded.fatal || loaded.config.has_errors();
    let verdict = if bad { "configuration is broken" } else { "configuration is good" };
    text.push_str(&format!("{verdict}: {} ({} units)\n", places.why, loaded.config.programs.len()));
    let _ = io::stdout().write_all(text.as_bytes());
    if bad { EXIT_USAGE } else { 0 }
}

/// The daemon below a keeper.
pub(super) fn under_keeper(args: &Args, personality: Personality) -> i32 {
    let _ = process::set_comm("superd");
    let family = match Family::under_keeper() {
        Ok(family) => family,
        Err(e) => {
            complain(&format!("cannot speak to the keeper: {}", supers_os::error_text(&e)));
            return 1;
        }
    };
    let world = World::here(personality).with_flags(&args.flags);
    let code = match world.places(args.config.as_deref(), args.root.as_deref()) {
        Ok(places) => {
            let farewell = family.farewell();
            match run(args, world, places, family) {
                Last::Code(code) => {
                    farewell.say(code);
                    return code;
                }
                Last::Again if farewell.again() => return 0,
                // The keeper is gone: there is nobody who could start us anew.
                Last::Again => return 1,
            }
        }
        Err(e) => {
            complain(&e.to_string());
            EXIT_USAGE
        }
    };
    family.farewell().say(code);
    code
}

/// The daemon without a keeper. To begin anew it executes itself: a fresh process with the same pid. The
/// lock is closed by that and taken again.
pub(super) fn alone(args: &Args, world: World, places: Places, _lock: OwnedFd) -> i32 {
    let last = match Family::alone() {
        Ok(family) => run(args, world, places, family),
        Err(e) => {
            complain(&format!("cannot set up signals: {}", supers_os::error_text(&e)));
            Last::Code(1)
        }
    };
    match last {
        Last::Code(code) => code,
        Last::Again => {
            let mut argv = std::env::args_os();
            let mut command = std::process::Command::new("/proc/self/exe");
            command.arg0(argv.next().unwrap_or_default()).args(argv);
            let e = command.exec();
            complain(&format!("cannot begin anew: {}", supers_os::error_text(&e)));
            1
        }
    }
}

/// How the daemon's work ended.
enum Last {
    /// For good, with this exit code.
    Code(i32),
    /// A fresh daemon is to take over.
    Again,
}

fn run(args: &Args, world: World, places: Places, family: Family) -> Last {
    match prepare_and_run(args, world, &places, family) {
        Ok(Ended::ForGood) => Last::Code(0),
        Ok(Ended::Again) => Last::Again,
        Ok(Ended::Refused(text)) => {
            complain(&text);
            Last::Code(1)
        }
        Err(stop) => {
            complain(&stop.text);
            Last::Code(stop.code)
        }
    }
}

/// Why the daemon does not start.
struct Stop {
    code: i32,
    text: String,
}

impl Stop {
    fn usage(text: impl Into<String>) -> Stop {
        Stop { code: EXIT_USAGE, text: text.into() }
    }

    fn io(what: &str, e: &io::Error) -> Stop {
        Stop { code: 1, text: format!("{what}: {}", supers_os::error_text(e)) }
    }
}

fn prepare_and_run(args: &Args, world: World, places: &Places, family: Family) -> Result<Ended, Stop> {
    let log_dir = log_dir(places, true);
    let initial = world.load(&places.choice, &log_dir);
    let settings = initial.config.settings.clone();
    // Called by the ancestor's name, it says what that would say and nothing else.
    let ancestor = speaks_as_ancestor();
    // In the foreground the main log shows them on the terminal.
    if !ancestor && (initial.fatal || args.daemon || settings.silent) {
        for finding in &initial.config.findings {
            let _ = writeln!(io::stderr(), "{finding}");
        }
    }
    if initial.fatal {
        let first = initial.config.first_error().filter(|_| ancestor).map(|f| f.message.clone());
        let text = first.unwrap_or_else(|| "the configuration is broken, nothing was started".into());
        return Err(Stop::usage(text));
    }
    let mut done = ancestor::Done { became: become_user(&settings, places)?, ..ancestor::Done::default() };
    let files = raise_limits(&settings, &mut done)?;
    let main_log = main_log(args, &settings, places, &world.cwd, &log_dir)?;
    if ancestor {
        ancestor::log_start(&main_log, clock::now().wall, &initial, &done);
    }
    let doors = listen::open(&settings, places).map_err(Stop::usage)?;
    let reset_oom = process::oom_score_adj().unwrap_or(0) != 0;
    let pid = family.pid();
    let identity = Identity {
        version: env!("CARGO_PKG_VERSION").into(),
        pid,
        daemon_pid: process::pid(),
        config: places.why.clone(),
        identifier: settings.identifier.clone(),
        supervisor_rpc: settings.rpcinterface || world.personality != Personality::Supervisord,
        starts: family.starts(),
        began: clock::now().wall,
    };
    let notices = Notices::default();
    doors.notices.iter().for_each(|n| notices.add(n.clone()));
    let (stdout, stderr) = own_output(args.daemon)?;
    let logs_config = LogsConfig {
        main: Some(main_log.clone()),
        ..LogsConfig::new(places.runtime.clone(), stdout, stderr)
    };
    let logs = logs::start(logs_config).map_err(|e| Stop::io("cannot start the log pump", &e))?;
    clean_auto_logs(&settings);
    let now = clock::now();
    if !ancestor {
        main_log.log(Level::Info, now.wall, &places.why);
        log_reading(&main_log, now.wall, &initial);
    }
    for notice in &doors.notices {
        main_log.log(Level::Warn, now.wall, notice);
    }
    if ancestor {
        ancestor::log_servers(&main_log, now.wall, &settings);
    }
    let (pid_files, written) = write_pid_files(&settings, places, &world.cwd, pid, &main_log);
    // The ancestor says it only then.
    if written || !ancestor {
        main_log.log(Level::Info, now.wall, &format!("supervisord started with pid {pid}"));
    }
    if args.daemon {
        leave_the_terminals_place(&settings, &main_log);
    }
    let guard = Guard {
        places: places.clone(),
        settings: settings.clone(),
        pid,
        pid_files,
        notices: notices.clone(),
    };
    let (settings_tx, news) = watch::channel(Arc::new(settings.clone()));
    let rebinder = Rebinder {
        news,
        servers: settings.servers.clone(),
        places: places.clone(),
        notices: notices.clone(),
        files: Vec::new(),
    };
    let ready_line = ready_line(pid, &initial, places);
    let unit_dir = match &places.choice {
        Choice::Dir(dir) => Some(dir.clone()),
        Choice::File(_) => None,
    };
    let (env, choice) = (world.env.clone(), places.choice.clone());
    let mut ready = family.ready(args.daemon);
    let hup = match world.personality {
        Personality::Supervisord => Hup::Restart,
        Personality::Superd => Hup::Reload,
    };
    let setup = Setup {
        family,
        logs,
        main_log,
        env: ChildEnv { env },
        initial,
        load: Arc::new(move || world.load(&choice, &log_dir)),
        unit_dir,
        hup,
        settings: settings_tx,
        sequential_stop: settings.sequential_stop,
        reset_oom,
        files,
        identity,
        notices,
    };
    serve(setup, doors, (guard, rebinder), move || {
        if !ancestor {
            let _ = writeln!(io::stdout(), "{ready_line}");
        }
        ready.say();
    })
}

/// Runs the engine on this thread and the doors on theirs, until the shutdown is complete.
fn serve(
    setup: Setup,
    doors: Doors,
    (guard, mut rebinder): (Guard, Rebinder),
    ready: impl FnOnce(),
) -> Result<Ended, Stop> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_io()
        .enable_time()
        .build()
        .map_err(|e| Stop::io("cannot start the runtime", &e))?;
    let Doors { open, mut files, .. } = doors;
    rebinder.files.append(&mut files);
    let pid_files = guard.pid_files.clone();
    let done = runtime.block_on(async {
        let (engine, handle) = Engine::new(setup).map_err(|e| Stop::io("cannot start the engine", &e))?;
        let api_setup = supers_api::Setup {
            own_uid: process::euid(),
            user_name: |uid| users::lookup_user(&uid.to_string()).ok().map(|u| u.name),
            limits: supers_api::Limits::default(),
        };
        let api = supers_api::serve(Arc::new(handle), open, api_setup);
        let api = api.map_err(|e| Stop::io("cannot open the doors", &e))?;
        let ended = tokio::select! {
            biased;
            () = guard.keep(&api) => Ended::ForGood,
            () = rebinder.keep(&api) => Ended::ForGood,
            ended = engine.run(ready) => ended,
        };
        // Open answers are finished, the one to `shutdown` among them.
        api.join();
        Ok(ended)
    });
    for file in rebinder.files.iter().chain(&pid_files) {
        let _ = fs::remove_file(file);
    }
    done
}

fn ready_line(pid: i32, loaded: &Loaded, places: &Places) -> String {
    let path = match &places.choice {
        Choice::File(p) | Choice::Dir(p) => p.display(),
    };
    let units = loaded.config.programs.len();
    format!("superd ready (pid {pid}, {units} units). Next: supers -c {path} status")
}

/// The first log folder that can be written; made when `make` is set.
fn log_dir(places: &Places, make: bool) -> PathBuf {
    let usable = |dir: &&PathBuf| {
        if make {
            fs::create_dir_all(dir).is_ok() && process::is_writable(dir)
        } else {
            process::is_writable(dir) || dir.parent().is_some_and(process::is_writable)
        }
    };
    let first = places.log_dirs.first().cloned().unwrap_or_else(|| PathBuf::from("/var/log/super"));
    places.log_dirs.iter().find(usable).cloned().unwrap_or(first)
}

/// `user=` of the main section (supervisor-contract 1).
fn become_user(settings: &Settings, places: &Places) -> Result<Option<u32>, Stop> {
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

/// The launcher made the runtime folder as root; now it is the user's. What an earlier daemon left in it
/// goes rather than being given: nobody but us may decide what root gives away.
fn hand_over(places: &Places, uid: u32, gid: u32) -> io::Result<()> {
    let absent = |e: io::Error| if e.kind() == io::ErrorKind::NotFound { Ok(()) } else { Err(e) };
    if std::os::unix::fs::MetadataExt::uid(&fs::symlink_metadata(&places.runtime)?) == uid {
        return Ok(());
    }
    fs::remove_dir_all(places.runtime.join("fifo")).or_else(absent)?;
    for file in [&places.runtime.join("pid"), &places.socket] {
        fs::remove_file(file).or_else(absent)?;
    }
    std::os::unix::fs::lchown(&places.runtime, Some(uid), Some(gid))
}

/// `minfds` and `minprocs` (supervisor-contract 1), then as many files for the daemon itself as the
/// hard limit allows: each unit needs about six.
fn raise_limits(settings: &Settings, done: &mut ancestor::Done) -> Result<FileLimits, Stop> {
    let files = settings.minfds.unwrap_or(LEAST_FILES);
    let few =
        |e: io::Error, what: &str| Stop::usage(format!("cannot have {what}: {}", supers_os::error_text(&e)));
    if process::raise_nofile(files).map_err(|e| few(e, &format!("{files} open files (minfds)")))? {
        done.raised.push(("RLIMIT_NOFILE", files));
    }
    let procs = settings.minprocs.unwrap_or(LEAST_PROCESSES);
    if process::raise_nproc(procs).map_err(|e| few(e, &format!("{procs} processes (minprocs)")))? {
        done.raised.push(("RLIMIT_NPROC", procs));
    }
    let child =
        process::limit(Resource::Nofile).map_err(|e| Stop::io("cannot read the limit of open files", &e))?;
    let own = process::raise_nofile_to_hard().unwrap_or(child.0);
    Ok(FileLimits { own, child })
}

/// Which files were read, and what was found in them (supervisor-contract 1, "Main-log phrases").
fn log_reading(log: &MainLog, now: Wall, loaded: &Loaded) {
    for file in loaded.config.files.iter().skip(1) {
        log.log(Level::Info, now, &format!("Included extra file \"{file}\" during parsing"));
    }
    for finding in &loaded.config.findings {
        let level = match finding.severity {
            Severity::Error => Level::Error,
            Severity::Warning => Level::Warn,
        };
        log.log(level, now, &finding.to_string());
    }
}

/// Standard output and error for programs that log to `/dev/stdout` and `/dev/stderr`. In the background
/// there is none, and whoever waits for the launcher's output must see its end.
fn own_output(background: bool) -> Result<(OwnedFd, OwnedFd), Stop> {
    if background {
        let null = || fs::File::options().write(true).open("/dev/null").map(OwnedFd::from);
        let fail = |e: io::Error| Stop::io("cannot open /dev/null", &e);
        return Ok((null().map_err(fail)?, null().map_err(fail)?));
    }
    Ok((dup(io::stdout().as_fd())?, dup(io::stderr().as_fd())?))
}

/// `umask=` and `directory=` of the main section count in the background only (supervisor-contract 1).
fn leave_the_terminals_place(settings: &Settings, log: &MainLog) {
    process::set_umask(settings.umask.unwrap_or(0o022));
    let Some(dir) = &settings.directory else { return };
    if let Err(e) = std::env::set_current_dir(std::ffi::OsStr::from_bytes(dir)) {
        let text = format!("cannot change directory to {dir}: {}", supers_os::error_text(&e));
        log.log(Level::Critical, clock::now().wall, &text);
    }
}

fn main_log(
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

fn clean_auto_logs(settings: &Settings) {
    if !settings.nocleanup {
        let dir = settings.childlogdir.as_ref().map(|d| PathBuf::from(std::ffi::OsStr::from_bytes(d)));
        let dir = dir.unwrap_or_else(std::env::temp_dir);
        logs::cleanup_auto(&dir, &settings.identifier);
    }
}

/// The configured pid file, and one in the runtime folder for whoever looks there.
fn write_pid_files(
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
        if let Err(e) = fs::write(path, format!("{pid}\n")) {
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

fn dup(fd: std::os::fd::BorrowedFd<'_>) -> Result<OwnedFd, Stop> {
    fd.try_clone_to_owned().map_err(|e| Stop::io("cannot copy a descriptor", &e))
}
