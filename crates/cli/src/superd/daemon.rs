//! The daemon: puts the parts together and lets the engine run.

use super::ancestor;
use super::args::Args;
use super::check::boot_id;
use super::guard::{Guard, Locks};
use super::launch;
use super::listen::{self, Doors, Shelf};
use super::rebind::Rebinder;
use super::surroundings::{
    SOFT_FILES, become_user, clean_auto_logs, have_room, leave_the_terminals_place, main_log, own_output,
    raise_limits, what_has_a_name, write_pid_files,
};
use super::{EXIT_USAGE, complain, speaks_as_ancestor};
use crate::world::World;
use std::fs;
use std::io::{self, Write};
use std::os::fd::{AsFd, OwnedFd, RawFd};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;
use supers_config::places::Places;
use supers_config::{Choice, Loaded, Personality, Severity};
use supers_core::time::Wall;
use supers_engine::contain::Contain;
use supers_engine::environ::Daemon as ChildEnv;
use supers_engine::family::Family;
use supers_engine::held::{Holder, Inheritance};
use supers_engine::logs::mainlog::{Level, MainLog};
use supers_engine::logs::{self, LogsConfig};
use supers_engine::webhook::{self, Sender, Webhooks};
use supers_engine::{
    Ended, Engine, Found, Hup, Identity, Notices, Rehearsal, Setup, Store, Upgrade, Wishes, clock,
};
use supers_keeper::handover::Legacy;
use supers_os::keeper_proto::{self, Key};
use supers_os::{memory, process, users};
use tokio::sync::watch;

/// Where the keeper puts the lock of the configuration.
const LOCK_PLACE: RawFd = 4;
/// How long an answer under way may take when the daemon makes way; only used up when somebody needs it.
const FAREWELL: Duration = Duration::from_millis(100);

/// How long doors stay closed at most while it is told what ended meanwhile.
const DOORS_WAIT: Duration = Duration::from_millis(250);

/// The daemon below a keeper.
pub(super) fn under_keeper(args: &Args, personality: Personality) -> i32 {
    let _ = process::set_comm("superd");
    let world = World::here(personality).with_flags(&args.flags);
    let places = world.places(args.config.as_deref(), args.root.as_deref());
    let mut rehearsal = Rehearsal::default();
    let rehearse = |records| {
        memory::keep_little();
        rehearsal = places.as_ref().map(|p| Rehearsal::of(&p.runtime, records)).unwrap_or_default();
    };
    let mut family = match Family::under_keeper(rehearse) {
        Ok(family) => family,
        Err(e) => {
            complain(&format!("cannot speak to the keeper: {}", supers_os::error_text(&e)));
            return 1;
        }
    };
    let code = match places {
        Ok(places) => {
            let (farewell, keeper, starts) = (family.farewell(), family.pid(), family.starts());
            let last = run(args, world, &places, family, rehearsal);
            // Who would try again is gone.
            let alone = matches!(last, Last::Failed(_) | Last::Again) && process::ppid() != keeper;
            match if alone { Last::keeper(&places, what_has_a_name(&places), starts) } else { last } {
                Last::Code(code) => {
                    farewell.say(code);
                    return code;
                }
                // Its last word would be the keeper's too: this one is a crash, and tried again.
                Last::Failed(code) => return code,
                // The keeper knows what comes next.
                Last::Replaced => return 0,
                Last::Keeper(legacy) => {
                    let e = supers_keeper::handover::become_keeper(*legacy);
                    complain(&format!("cannot take the keeper's place: {}", supers_os::error_text(&e)));
                    return 1;
                }
                Last::Again => return if farewell.again() { 0 } else { 1 },
            }
        }
        Err(e) => {
            complain(&e.to_string());
            if family
                .inherit()
                .is_ok_and(|mut left| is_entrusted(left.held.take(Key::RECORDS).as_ref(), &left))
            {
                return EXIT_USAGE;
            }
            EXIT_USAGE
        }
    };
    family.farewell().say(code);
    code
}

/// Whether a daemon before this one left something: who cannot start then must not be the last one.
fn is_entrusted(records: Option<&OwnedFd>, left: &Inheritance) -> bool {
    // Of a keeper that is gone nobody knows what it had.
    records.is_some() || !left.living.is_empty() || !left.is_whole()
}

/// The daemon without a keeper. To begin anew it executes itself: a fresh process with the same pid. The
/// lock is closed by that and taken again.
pub(super) fn alone(args: &Args, world: World, places: Places, _lock: OwnedFd) -> i32 {
    let last = match Family::alone() {
        Ok(family) => run(args, world, &places, family, Rehearsal::default()),
        Err(e) => {
            complain(&format!("cannot set up signals: {}", supers_os::error_text(&e)));
            Last::Code(1)
        }
    };
    match last {
        Last::Code(code) | Last::Failed(code) => code,
        // Both need a keeper.
        Last::Replaced | Last::Keeper(_) => 1,
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
    /// It cannot go on with what another daemon left; the keeper tries again (or goes back to the program of
    /// before), and what runs goes on.
    Failed(i32),
    /// A fresh daemon is to take over.
    Again,
    /// Another program takes over; the keeper has it.
    Replaced,
    /// The keeper is gone: this process becomes one.
    Keeper(Box<Legacy>),
}

impl Last {
    fn keeper(places: &Places, held: Vec<(u64, OwnedFd)>, starts: u32) -> Last {
        match legacy(places, held, starts) {
            Ok(legacy) => Last::Keeper(Box::new(legacy)),
            Err(e) => {
                complain(&format!("cannot take the keeper's place: {}", supers_os::error_text(&e)));
                Last::Code(1)
            }
        }
    }
}

/// What is left to the keeper that this process becomes.
fn legacy(places: &Places, held: Vec<(u64, OwnedFd)>, starts: u32) -> io::Result<Legacy> {
    let words: Vec<_> = std::env::args_os().collect();
    let (argv, env) = launch::keeper_words(&words);
    Ok(Legacy {
        held,
        lock: process::adopt_fd(LOCK_PLACE)?,
        last_words: launch::last_words(places),
        starts,
        soft_files: SOFT_FILES.get().copied(),
        argv,
        env,
    })
}

fn run(args: &Args, world: World, places: &Places, mut family: Family, mut rehearsal: Rehearsal) -> Last {
    let starts = family.starts();
    memory::keep_little();
    have_room();
    supers_os::spawn::reserve_places();
    let asked = family.ask_for_all();
    if starts > 1 && rehearsal.is_empty() {
        // While the keeper answers.
        rehearsal = Rehearsal::of(&places.runtime, None);
    }
    let mut inheritance = match asked.and_then(|()| family.inherit()) {
        Ok(inheritance) => inheritance,
        Err(e) => {
            complain(&format!("the keeper does not hand over: {}", supers_os::error_text(&e)));
            return Last::Failed(1);
        }
    };
    let locks = Locks::default();
    locks.hold(whole_again(places));
    let records = inheritance.held.take(Key::RECORDS);
    let entrusted = is_entrusted(records.as_ref(), &inheritance);
    let failed = |code| if entrusted { Last::Failed(code) } else { Last::Code(code) };
    let left = Left { inheritance, records, rehearsal, locks };
    match prepare_and_run(args, world, places, family, left) {
        Ok(Ended::ForGood) => Last::Code(0),
        Ok(Ended::Again) => Last::Again,
        Ok(Ended::Upgrade(_)) => Last::Replaced,
        Ok(Ended::Orphaned(held)) => Last::keeper(places, held, starts),
        Ok(Ended::Refused(text)) => {
            complain(&text);
            failed(1)
        }
        // Programs run, whoever started them.
        Ok(Ended::Broken(text)) => {
            complain(&text);
            Last::Failed(1)
        }
        Err(stop) => {
            complain(&stop.text);
            failed(stop.code)
        }
    }
}

/// The runtime folder may have been deleted while another daemon ran, which may have made it again, with a lock
/// that died with it. The lock, if nobody else has it; trouble shows when the folder is used.
fn whole_again(places: &Places) -> Option<OwnedFd> {
    launch::private_folder(&places.runtime).ok()?;
    process::lock_file(&places.runtime.join("lock")).ok().flatten()
}

/// Why the daemon does not start.
pub(super) struct Stop {
    code: i32,
    text: String,
}

impl Stop {
    pub(super) fn usage(text: impl Into<String>) -> Stop {
        Stop { code: EXIT_USAGE, text: text.into() }
    }

    pub(super) fn io(what: &str, e: &io::Error) -> Stop {
        Stop { code: 1, text: format!("{what}: {}", supers_os::error_text(e)) }
    }
}

/// What the daemon before left, as far as it is known yet.
struct Left {
    inheritance: Inheritance,
    records: Option<OwnedFd>,
    rehearsal: Rehearsal,
    locks: Locks,
}

fn prepare_and_run(
    args: &Args,
    world: World,
    places: &Places,
    family: Family,
    Left { mut inheritance, records, rehearsal, locks }: Left,
) -> Result<Ended, Stop> {
    let log_dir = log_dir(places, true);
    let keeper = if family.starts() > 0 { family.pid() } else { 0 };
    let (store, found) =
        Store::open(&places.runtime, records, family.holder(), keeper, &boot_id(), rehearsal);
    let (mut estate, damage) = match found {
        Found::Estate(estate) => (Some(estate), None),
        Found::Nothing => (None, None),
        Found::Damage(why) => (None, Some(why)),
    };
    let adopted = estate.is_some();
    let initial = match &mut estate {
        Some(estate) => std::mem::take(&mut estate.loaded),
        None => world.load(&places.choice, &log_dir),
    };
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
    // A daemon that its keeper brought back says less than one that somebody started.
    let quiet = adopted && family.starts() > 1;
    if ancestor && !quiet {
        ancestor::log_start(&main_log, clock::now().wall, &initial, &done);
    }
    let holder = family.holder();
    let shelf = Shelf { holder: holder.clone(), held: std::mem::take(&mut inheritance.held) };
    let mut doors = listen::open(&settings, places, shelf).map_err(Stop::usage)?;
    let left = estate.as_mut().and_then(|estate| estate.connections.take());
    doors.handed = left.map(|text| doors.shelf.connections(&text)).unwrap_or_default();
    inheritance.held = std::mem::take(&mut doors.shelf.held);
    let reset_oom = process::oom_score_adj().unwrap_or(0) != 0;
    let pid = family.pid();
    let notices = Notices::default();
    doors.notices.iter().for_each(|n| notices.add(n.clone()));
    let (stdout, stderr) = own_output(args.daemon)?;
    let logs_config = LogsConfig {
        main: Some(main_log.clone()),
        adopt: adopted,
        ..LogsConfig::new(places.runtime.clone(), stdout, stderr)
    };
    let logs = logs::start(logs_config).map_err(|e| Stop::io("cannot start the log pump", &e))?;
    let now = clock::now();
    if let Some(why) = damage {
        main_log.log(
            Level::Error,
            now.wall,
            &format!("the records of the daemon before are of no use: {why}"),
        );
    }
    // Programs of before may still write to them.
    let unclean = || fs::read_dir(places.runtime.join("fifo")).is_ok_and(|mut f| f.next().is_some());
    if !adopted && !unclean() {
        clean_auto_logs(&settings);
    }
    if !ancestor {
        main_log.log(Level::Info, now.wall, &places.why);
        log_reading(&main_log, now.wall, &initial);
    }
    let lack = webhook::look_for_messenger(&settings.webhooks, &notices);
    for notice in doors.notices.iter().chain(&lack) {
        main_log.log(Level::Warn, now.wall, notice);
    }
    if ancestor && !quiet {
        ancestor::log_servers(&main_log, now.wall, &settings);
    }
    let (pid_files, written) = write_pid_files(&settings, places, &world.cwd, pid, &main_log);
    // The ancestor says it only then.
    if (written || !ancestor) && !quiet {
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
        holder: holder.clone(),
        locks,
    };
    let (settings_tx, news) = watch::channel(Arc::new(settings.clone()));
    let rebinder = Rebinder {
        news,
        servers: settings.servers.clone(),
        places: places.clone(),
        notices: notices.clone(),
        files: Vec::new(),
        shelf: Shelf::empty(holder),
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
    let (wishes, known) = Wishes::open(&places.state);
    if let Err(e) = known {
        let text = format!("the operator's wishes of before cannot be read: {}", supers_os::error_text(&e));
        main_log.log(Level::Error, now.wall, &text);
    }
    let allowed = world.personality != Personality::Supervisord;
    let reaper = (keeper != 0).then_some(supers_os::Pid(keeper));
    let contain = Contain::detect(&contain_id(places), allowed, reaper);
    let contain = contain.map_err(|e| Stop::io("cannot start the thread that ends what units leave", &e))?;
    if !adopted {
        contain.0.tidy();
    }
    let identity = Identity {
        version: env!("CARGO_PKG_VERSION").into(),
        pid,
        daemon_pid: process::pid(),
        config: places.why.clone(),
        identifier: settings.identifier.clone(),
        supervisor_rpc: settings.rpcinterface || world.personality != Personality::Supervisord,
        starts: family.starts(),
        began: clock::now().wall,
        contain: Some(contain.0.clone()),
    };
    let said = main_log.clone();
    let say = Arc::new(move |level: Level, text: &str| said.log(level, clock::now().wall, text));
    let sender = Sender {
        host: world.hostname.clone(),
        config: config_path(places).display().to_string(),
        lineage: store.lineage().to_owned(),
        version: env!("CARGO_PKG_VERSION").into(),
    };
    let webhooks = (Webhooks::start(&places.state, say), sender);
    let setup = Setup {
        contain,
        webhooks,
        wishes,
        store,
        runtime: places.runtime.clone(),
        estate,
        inheritance,
        family,
        logs,
        main_log,
        env: ChildEnv { env },
        initial,
        load: Arc::new(move |in_force| world.load_beside(&choice, &log_dir, in_force)),
        unit_dir,
        hup,
        settings: settings_tx,
        sequential_stop: settings.sequential_stop,
        reset_oom,
        files,
        identity,
        notices,
        state_dir: places.state.clone(),
    };
    serve(setup, doors, (guard, rebinder), move || {
        if !ancestor {
            let _ = writeln!(io::stdout(), "{ready_line}");
        }
        ready.say();
        rest();
    })
}

/// Something large is over, and most of the time nothing happens now.
fn rest() {
    memory::give_back();
    memory::forget_code();
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
    let Doors { open, mut files, handed, .. } = doors;
    rebinder.files.append(&mut files);
    let pid_files = guard.pid_files.clone();
    let (holder, locks) = (guard.holder.clone(), guard.locks.clone());
    let done = runtime.block_on(async {
        let (engine, handle) = Engine::new(setup).map_err(|e| Stop::io("cannot start the engine", &e))?;
        let api_setup = supers_api::Setup {
            own_uid: process::euid(),
            user_name: |uid| users::lookup_user(&uid.to_string()).ok().map(|u| u.name),
            rest,
            limits: supers_api::Limits::default(),
        };
        // Mostly nothing ended while no daemon lived, and the doors are open now.
        let (now, later) = if handle.is_settled() {
            ((open, handed), Default::default())
        } else {
            (Default::default(), (open, handed))
        };
        let api = supers_api::serve(Arc::new(handle.clone()), now.0, api_setup);
        let api = api.map_err(|e| Stop::io("cannot open the doors", &e))?;
        api.adopt(now.1);
        let work = async {
            match engine.run(ready).await {
                Ended::Upgrade(upgrade) => {
                    locks.let_go();
                    make_way(upgrade, &holder)
                }
                other => other,
            }
        };
        let ended = tokio::select! {
            biased;
            () = guard.keep(&api) => Ended::ForGood,
            () = rebinder.keep(&api) => Ended::ForGood,
            () = hand_on(&handle, &api, &holder) => Ended::ForGood,
            () = open_later(&handle, &api, later) => Ended::ForGood,
            ended = work => ended,
        };
        match ended {
            // Open answers are finished, the one to `shutdown` among them.
            Ended::ForGood | Ended::Again | Ended::Refused(_) => api.join(),
            Ended::Upgrade(_) | Ended::Orphaned(_) | Ended::Broken(_) => {}
        }
        Ok(ended)
    });
    if !matches!(done, Ok(Ended::Upgrade(_) | Ended::Orphaned(_) | Ended::Broken(_))) {
        for file in rebinder.files.iter().chain(&pid_files) {
            let _ = fs::remove_file(file);
        }
    }
    done
}

/// Another program takes this one's place. It comes back only when that cannot be.
fn make_way(upgrade: Upgrade, holder: &Holder) -> Ended {
    match holder.upgrade(upgrade.binary.as_fd(), upgrade.quiet) {
        // The next daemon is there. Nothing is cleared away: to close the watch of the runtime folder alone takes
        // the kernel 15 ms.
        Ok(()) => process::end_now(0),
        Err(e) if keeper_proto::is_gone(&e) => upgrade.orphaned(),
        Err(_) => Ended::Broken("the keeper does not take the new program".into()),
    }
}

/// Opens these doors when it is told what ended while no daemon lived: nobody is to hear of a dead program that it
/// runs. Whoever connects meanwhile waits. Never ends.
async fn open_later(
    handle: &supers_engine::Handle,
    api: &supers_api::Handle,
    (doors, handed): (Vec<(supers_api::Door, supers_api::Listener)>, Vec<supers_api::server::Handed>),
) {
    if doors.is_empty() && handed.is_empty() {
        return std::future::pending().await;
    }
    // In vain when a program's last words cannot be stored: then it is better to answer.
    let _ = tokio::time::timeout(DOORS_WAIT, handle.settled()).await;
    for (door, listener) in doors {
        if let Err(e) = api.add(door, listener) {
            complain(&format!("cannot open a door: {}", supers_os::error_text(&e)));
        }
    }
    api.adopt(handed);
    std::future::pending().await
}

/// When the daemon makes way for another: answers under way are finished, and idle connections are left to
/// whoever comes. Never ends.
async fn hand_on(handle: &supers_engine::Handle, api: &supers_api::Handle, holder: &Holder) {
    handle.leaving().await;
    let (text, fds) = supers_api::server::pack(api.hand_over(FAREWELL).await);
    for (n, fd) in fds.iter().enumerate() {
        holder.hold_socket(Key::connection(n), fd.as_fd());
    }
    drop(fds);
    handle.doors_quiet(text).await;
    std::future::pending().await
}

fn config_path(places: &Places) -> &Path {
    let (Choice::File(path) | Choice::Dir(path)) = &places.choice;
    path
}

/// What the groups of this configuration's units are called: as its runtime folder.
fn contain_id(places: &Places) -> String {
    let name = places.runtime.file_name().unwrap_or_default();
    name.to_string_lossy().into_owned()
}

fn ready_line(pid: i32, loaded: &Loaded, places: &Places) -> String {
    let path = match &places.choice {
        Choice::File(p) | Choice::Dir(p) => p.display(),
    };
    let units = loaded.config.programs.len();
    format!("superd ready (pid {pid}, {units} units). Next: supers -c {path} status")
}

/// The first log folder that can be written; made when `make` is set.
pub(super) fn log_dir(places: &Places, make: bool) -> PathBuf {
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
