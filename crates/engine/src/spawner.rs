//! The spawn thread: everything between the wish to start and the first instruction of the program.
//!
//! It is apart from the engine because a vfork that meets a dead file system, a user look-up or a log
//! folder on a slow disk must not stop it. Requests are begun in order; each is answered once. Of a wave of starts
//! that have no order among themselves several are under way at once, one a core (module [`wave`]). (A second
//! thread that prepares while the first waits for its clone was measured: on two cores the hand-over
//! costs more than it saves.)

use crate::contain::Contain;
use crate::environ::{self, Daemon};
use crate::failpoint::hit;
use crate::held::Holder;
use crate::line::Line;
use crate::logs::{Logs, Streams};
use crate::pulse;
use crate::unexecuted;
use crate::wave::{self, Wave};
use bstr::BString;
use std::ffi::CString;
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::sync::Arc;
use supers_core::exit::{Stage, StartError};
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::proc::Exe;
use supers_core::spec::{Command, Context, Limit, Resource, Spec};
use supers_os::births::Births;
use supers_os::keeper_proto::{GIFTS, Key};
use supers_os::spawn::{Child, Creds, Method, Plan, Report, Session, resolve, spawn};
use supers_os::{reap, users};
use tokio::sync::mpsc;

/// A wish to start one process.
pub(crate) struct Request {
    pub unit: UnitId,
    pub run: RunId,
    pub exe: Exe,
    pub spec: Arc<Spec>,
    /// The unit's main process, for MAINPID.
    pub main: Option<Pid>,
    /// A listening socket that becomes standard input.
    pub socket: Option<Arc<OwnedFd>>,
    pub work: Work,
}

/// What is to be done for a run.
pub(crate) enum Work {
    /// It is to begin.
    Start,
    /// It lives already: its output is to be taken over, with what the keeper held of it.
    Adopt([Option<OwnedFd>; 2]),
}

/// What became of it.
pub(crate) struct Done {
    pub unit: UnitId,
    pub spec: Arc<Spec>,
    pub run: RunId,
    pub exe: Exe,
    pub outcome: Outcome,
}

/// What came of it.
pub(crate) enum Outcome {
    Started(Result<Started, StartError>),
    Adopted(Result<Arc<Streams>, StartError>),
}

/// A process that runs.
pub(crate) struct Started {
    pub child: Child,
    pub streams: Arc<Streams>,
    /// The writing end of its standard input.
    pub stdin: Option<OwnedFd>,
    /// See [`reap::identity`].
    pub identity: u64,
}

/// What the thread needs to know.
pub(crate) struct Setup {
    pub logs: Logs,
    pub daemon: Daemon,
    pub method: Method,
    /// Where a child notes that it was born.
    pub births: Option<Arc<Births>>,
    /// The keeper's socket, on which a child reports its birth.
    pub report: Option<RawFd>,
    /// Where descriptors are kept that must outlive the daemon.
    pub holder: Holder,
    /// The keeper takes them from the child that they belong to.
    pub gifts: bool,
    /// How units are kept together.
    pub contain: Contain,
    /// The daemon's own oom_score_adj is not 0, so each child sets its own.
    pub reset_oom: bool,
    /// Open files: what the daemon may have, and what its children start with.
    pub files: FileLimits,
}

/// Limits on open files. The daemon takes all it may have; its children keep what was usual, since
/// programs that use select() or close "all" descriptors suffer from a large number.
#[derive(Clone, Copy, Debug)]
pub struct FileLimits {
    /// The daemon's own.
    pub own: u64,
    /// Soft and hard limit of children, unless their description says otherwise.
    pub child: (u64, u64),
}

/// Descriptors that units may not take, so that the daemon can always log, answer and stop.
const RESERVED: u64 = 64;

/// The handle to the thread.
pub(crate) struct Spawner {
    line: Arc<Line<Request>>,
}

impl Spawner {
    /// Starts the thread `spawn`.
    pub(crate) fn start(setup: Setup) -> std::io::Result<(Spawner, mpsc::Receiver<Done>)> {
        let line = Arc::new(Line::new());
        let taker = line.clone();
        let (done_tx, done_rx) = mpsc::channel(1024);
        std::thread::Builder::new()
            .name("spawn".into())
            .stack_size(wave::STACK)
            .spawn(move || run(&setup, &taker, &done_tx))?;
        Ok((Spawner { line }, done_rx))
    }

    /// Lines up a start. `Err` gives the request back, with the reason.
    pub(crate) fn request(&self, request: Request) -> Result<(), (Request, StartError)> {
        self.line.push(request).map_err(|r| (r, fault(Stage::Fork, "too many starts are waiting")))
    }
}

impl Drop for Spawner {
    fn drop(&mut self) {
        self.line.close();
    }
}

fn run(setup: &Setup, line: &Line<Request>, done: &mpsc::Sender<Done>) {
    pulse::is_here();
    while let Some(request) = line.take() {
        // Of our own children the thread that began one would be the parent, whose end some ask to be told.
        let wave = Wave::of(&request).filter(|_| setup.method == Method::Keeper);
        if !serve(setup, request, done) {
            return;
        }
        if let Some(wave) = wave {
            wave.run(line, &|request| serve(setup, request, done));
        }
    }
}

/// Does what is asked for and tells the engine. False when nobody is there to be told.
fn serve(setup: &Setup, request: Request, done: &mpsc::Sender<Done>) -> bool {
    let (unit, run, exe, spec) = (request.unit, request.run, request.exe, request.spec.clone());
    let outcome = match request.work {
        Work::Start => Outcome::Started(start(setup, &request)),
        Work::Adopt(fifos) => Outcome::Adopted(adopt(setup, unit, &spec, fifos)),
    };
    // The engine always takes these, so waiting for room cannot lock up.
    hit("spawn.done");
    done.blocking_send(Done { unit, spec, run, exe, outcome }).is_ok()
}

fn start(setup: &Setup, request: &Request) -> Result<Started, StartError> {
    prepare(setup, request)?.launch(&request.spec, setup.method)
}

/// What the keeper is to hold of a start: its FIFOs, if it has not got them yet, and the writing end of its
/// standard input, so that the program does not see its end because we ended.
fn gifts(
    setup: &Setup,
    run: RunId,
    streams: &Streams,
    stdin: Option<&OwnedFd>,
) -> [Option<(u64, RawFd)>; GIFTS] {
    let fifos = streams.take_unheld().into_iter().map(|(name, fifo)| (Key::fifo(name.as_bytes()), fifo));
    let all = fifos.chain(stdin.map(|stdin| (Key::run(run.0), stdin.as_fd())));
    let mut gifts = [None; GIFTS];
    if setup.gifts {
        // Two streams and one input: as many as there are places.
        gifts.iter_mut().zip(all).for_each(|(gift, (key, fd))| *gift = Some((key.0, fd.as_raw_fd())));
    } else {
        all.for_each(|(key, fd)| setup.holder.hold(key, fd));
    }
    gifts
}

/// Takes over the output of a unit that an earlier daemon started.
fn adopt(
    setup: &Setup,
    unit: UnitId,
    spec: &Spec,
    fifos: [Option<OwnedFd>; 2],
) -> Result<Arc<Streams>, StartError> {
    // Whose it is was decided when it was made; a user that is gone by now changes nothing.
    let user = environ::find_user(&spec.context).ok().flatten();
    let ids = user.as_ref().map(|u| (u.user.uid, u.gid));
    let name = spec.full_name();
    let streams = match spec.listener {
        Some(_) => setup.logs.adopt_listener(unit, &name, &spec.output, ids, fifos)?,
        None => setup.logs.adopt(unit, &name, &spec.output, ids, fifos)?,
    };
    give(setup, &streams);
    Ok(streams)
}

/// Lets the keeper hold what the program writes into.
fn give(setup: &Setup, streams: &Streams) {
    for (name, fifo) in streams.take_unheld() {
        setup.holder.hold(Key::fifo(name.as_bytes()), fifo);
    }
}

/// The command line that `exe` names.
fn command(spec: &Spec, exe: Exe) -> Option<&Command> {
    match exe {
        Exe::Main(n) => spec.exec.get(n),
        Exe::Stop(n) => spec.stop_exec.get(n),
        Exe::Reload(n) => spec.reload_exec.get(n),
    }
}

/// Everything that a clone needs, ready. The descriptors stay open until it is done.
struct Prepared {
    plan: Plan,
    streams: Arc<Streams>,
    stdin_keep: Option<OwnedFd>,
    stderr: OwnedFd,
    _open: [OwnedFd; 2],
}

impl Prepared {
    fn launch(self, spec: &Spec, method: Method) -> Result<Started, StartError> {
        hit("spawn.ready");
        match spawn(&self.plan, method) {
            Ok(child) => {
                hit("spawn.cloned");
                let identity = reap::identity(&child.pidfd, child.pid).unwrap_or(0);
                Ok(Started { child, streams: self.streams, stdin: self.stdin_keep, identity })
            }
            Err(error) => {
                // The child may not have come so far as to bring them.
                self.streams.give_again();
                if unexecuted::counts_as_run(spec, &error) {
                    unexecuted::say(spec, &error, self.stderr);
                }
                Err(error)
            }
        }
    }
}

fn prepare(setup: &Setup, request: &Request) -> Result<Prepared, StartError> {
    let spec = &*request.spec;
    let context = &spec.context;
    let command = command(spec, request.exe).ok_or_else(|| fault(Stage::Command, "command is empty"))?;
    if let Some(why) = &command.fault {
        return Err(fault(Stage::Command, why));
    }
    let user = environ::find_user(context)?;
    let mut env = environ::build(&setup.daemon, spec, user.as_ref())?;
    if let Some(Pid(pid)) = request.main {
        env.set(b"MAINPID", pid.to_string().as_bytes());
    }
    let words = environ::words(command, &env)?;
    let first = words.first().ok_or_else(|| fault(Stage::Command, "command is empty"))?;
    let program = resolve(first.as_ref(), env.get(b"PATH"))?;

    // Before the output: an ordinary user cannot give its FIFO to another, and that is not the reason.
    let creds = if command.privileged { None } else { creds(context, user.as_ref())? };
    let ids = user.as_ref().map(|u| (u.user.uid, u.gid));
    let name = spec.full_name();
    let streams = match spec.listener {
        Some(_) => setup.logs.attach_listener(request.unit, &name, &spec.output, ids, true)?,
        None => setup.logs.attach(request.unit, &name, &spec.output, ids, true)?,
    };
    hit("spawn.attached");
    let output = |e: std::io::Error| os_fault(Stage::Output, "open the output pipe", &e);
    let stdout = streams.stdout_writer().map_err(output)?;
    let stderr = streams.stderr_writer(&stdout).map_err(output)?;
    let (stdin, stdin_keep) = match &request.socket {
        Some(socket) => (socket.try_clone().map_err(output)?, None),
        None => environ::stdin(context).map_err(output)?,
    };
    // The kernel gives the lowest free number, so a number tells how many are in use.
    if u64::try_from(stderr.as_raw_fd()).unwrap_or(0) + RESERVED > setup.files.own {
        let text = format!(
            "too many open files: superd may have {} and keeps {RESERVED} for itself",
            setup.files.own
        );
        return Err(fault(Stage::Fork, &text));
    }
    let argv =
        c_strings(command.argv0.iter().chain(words.iter().skip(usize::from(command.argv0.is_some()))))?;
    let (env, pid_slots) = env.into_c_strings()?;
    let directory = environ::directory(context, user.as_ref())?;
    let cgroup = setup.contain.join(&name)?;
    // At the end: what counts as given is given, whatever becomes of the child.
    let gifts = gifts(setup, request.run, &streams, stdin_keep.as_ref());
    hit("spawn.held");
    let plan = Plan {
        program,
        argv,
        env,
        pid_slots,
        stdin: stdin.as_raw_fd(),
        stdout: stdout.as_raw_fd(),
        stderr: stderr.as_raw_fd(),
        session: if context.session { Session::Session } else { Session::Group },
        creds,
        directory,
        umask: context.umask,
        limits: std::iter::once(files_of_child(setup.files)).chain(context.limits.iter().copied()).collect(),
        nice: context.nice,
        oom_score_adj: context.oom_score_adj.or(setup.reset_oom.then_some(0)),
        no_new_privileges: context.no_new_privileges,
        ignore_sigpipe: context.ignore_sigpipe,
        extra: Vec::new(),
        birth: setup.births.as_ref().map(|births| births.notebook(request.run.0)),
        report: setup.report.map(|fd| Report { fd, run: request.run.0, gifts }),
        cgroup,
    };
    Ok(Prepared { plan, streams, stdin_keep, stderr, _open: [stdin, stdout] })
}

fn files_of_child(files: FileLimits) -> Limit {
    let value = |v: u64| (v != u64::MAX).then_some(v);
    let (soft, hard) = files.child;
    Limit { resource: Resource::Nofile, soft: value(soft), hard: value(hard) }
}

/// Ids to change to; none when they are the daemon's own anyway and no group is asked for.
fn creds(context: &Context, user: Option<&environ::Identity>) -> Result<Option<Creds>, StartError> {
    let Some(user) = user else {
        return match &context.group {
            None => Ok(None),
            Some(name) => {
                let group = users::lookup_group(name).map_err(|e| user_fault(&e.to_string()))?;
                let uid = supers_os::process::euid();
                Ok(Some(Creds { uid, gid: group.gid, groups: vec![group.gid] }))
            }
        };
    };
    let euid = supers_os::process::euid();
    if euid != 0 {
        // An ordinary user can only be itself (supervisor-contract 1).
        let text = format!("become user {}: superd does not run as root", user.user.name);
        return if user.user.uid == euid { Ok(None) } else { Err(fault(Stage::User, &text)) };
    }
    let mut groups = users::groups_of(&user.user);
    if !groups.contains(&user.gid) {
        groups.insert(0, user.gid);
    }
    Ok(Some(Creds { uid: user.user.uid, gid: user.gid, groups }))
}

fn c_strings<'a>(words: impl Iterator<Item = &'a BString>) -> Result<Vec<CString>, StartError> {
    let bad = |_| fault(Stage::Command, "a word of the command holds a NUL byte");
    words.map(|w| CString::new(w.as_slice()).map_err(bad)).collect()
}

pub(crate) fn fault(stage: Stage, text: &str) -> StartError {
    StartError { stage, errno: 0, text: text.into() }
}

pub(crate) fn user_fault(text: &str) -> StartError {
    fault(Stage::User, text)
}

pub(crate) fn os_fault(stage: Stage, deed: &str, e: &std::io::Error) -> StartError {
    let errno = e.raw_os_error().unwrap_or(0);
    StartError { stage, errno, text: format!("{deed}: {}", supers_os::error_text(e)) }
}
