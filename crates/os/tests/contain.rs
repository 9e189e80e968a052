//! Trees of processes that do what they can to get away, and what keeps them together: for each kind
//! of containment that this machine has. Groups are made below our own and removed again.

#![allow(clippy::unwrap_used, missing_docs)]

use std::ffi::CString;
use std::fs::{self, File};
use std::io::{self, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::ffi::OsStringExt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicI32, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;
use supers_core::exit::{Exit, Stage};
use supers_core::ids::Pid;
use supers_core::signal::Signal;
use supers_os::cgroup::{Group, Kind, Place, Removed, Tree, places_here};
use supers_os::poll::wait_readable;
use supers_os::spawn::{Call, CgroupJoin, Child, Method, Plan, Session, spawn_by};
use supers_os::strays::{self, Tag, Target};
use supers_os::{process, reap};

/// Longest wait of any test.
const PATIENCE: Duration = Duration::from_secs(20);
const CALLS: [Call; 2] = [Call::Clone3, Call::Clone];

/// The trees are of this process, whose orphans they are: one at a time.
fn alone() -> MutexGuard<'static, ()> {
    static ONE: Mutex<()> = Mutex::new(());
    let guard = ONE.lock().unwrap_or_else(PoisonError::into_inner);
    process::become_subreaper().unwrap();
    guard
}

fn c(text: &str) -> CString {
    CString::new(text).unwrap()
}

/// A folder of ours in each hierarchy that we may write to; removed at the end.
struct Ours(Tree);

impl Ours {
    fn all(test: &str) -> Vec<Ours> {
        let make = |place: Place| match Tree::make(&place, &format!("test-{test}-{}", process::pid())) {
            Ok(tree) => Some(Ours(tree)),
            Err(e) => {
                eprintln!("{:?} in {} cannot be used: {e}", place.kind, place.folder.display());
                None
            }
        };
        let all: Vec<_> = places_here().into_iter().filter_map(make).collect();
        assert!(!all.is_empty() || process::euid() != 0, "root has control groups, or this tests nothing");
        all
    }

    fn v2(test: &str) -> Option<Ours> {
        Ours::all(test).into_iter().find(|o| o.0.kind() == Kind::V2)
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        // A test that failed leaves nobody behind either.
        let left = self.0.whole().kill_all(PATIENCE).map_err(|e| e.kind());
        let removed = self.0.remove().map_err(|e| e.kind());
        if !std::thread::panicking() {
            assert_eq!((left, removed), (Ok(0), Ok(Removed::Gone)));
        }
    }
}

/// The main process of the tree that there is; 0: there is none.
static MAIN: AtomicI32 = AtomicI32::new(0);

/// Reaps orphans at once, as the keeper does, but not the main process.
fn reap_orphans(main: Pid) {
    MAIN.store(main.0, Ordering::SeqCst);
    let reap = move || {
        loop {
            // SAFETY: plain data; the call fills it in.
            let ended = unsafe {
                let mut info: libc::siginfo_t = std::mem::zeroed();
                libc::waitid(libc::P_ALL, 0, &raw mut info, libc::WEXITED | libc::WNOWAIT)
            };
            if ended != 0 || MAIN.load(Ordering::SeqCst) != main.0 {
                return;
            }
            for thread in fs::read_dir("/proc/self/task").unwrap().flatten() {
                let list = fs::read_to_string(thread.path().join("children")).unwrap_or_default();
                let pids = list.split_ascii_whitespace().map(|p| Pid(p.parse().unwrap()));
                pids.filter(|pid| *pid != main).for_each(|pid| drop(reap::reap(pid)));
            }
            std::thread::yield_now();
        }
    };
    std::thread::spawn(reap);
}

/// What a tree is made of, told to the `actor` below.
const DAEMONS: usize = 50;
const FORKERS: usize = 4;

/// Starts a process that makes the tree; it comes back when all of it is there. Each process of the
/// tree has the token in its command line.
fn tree(token: &str, join: CgroupJoin, call: Call) -> Child {
    let exe = process::own_exe().unwrap();
    let words = ["actor", "actor_makes_a_tree", "--exact", "--ignored", "--nocapture", "--skip", token];
    let mut plan = Plan::new(CString::new(exe.into_os_string().into_vec()).unwrap(), words.map(c).into());
    plan.env = vec![c(&format!("TOKEN={token}")), c("PATH=/usr/bin:/bin")];
    plan.session = Session::Session;
    plan.cgroup = Some(join);
    let (mut up, write) = io::pipe().unwrap();
    let null = File::open("/dev/null").unwrap();
    (plan.stdin, plan.stdout, plan.stderr) = (null.as_raw_fd(), write.as_raw_fd(), write.as_raw_fd());
    let child = spawn_by(&plan, Method::Own, call).unwrap();
    drop(write);
    let mut seen = Vec::new();
    while !seen.ends_with(b"UP") {
        assert!(wait_readable(up.as_fd(), Some(PATIENCE)).unwrap(), "the tree grows");
        let mut part = [0u8; 4096];
        let n = up.read(&mut part).unwrap();
        assert!(n > 0, "{}", String::from_utf8_lossy(&seen));
        seen.extend_from_slice(&part[..n]);
    }
    reap_orphans(child.pid);
    assert!(count(token) >= DAEMONS, "{}", count(token));
    child
}

/// Not a test: the process that makes the tree, when a test starts this file's program for it.
#[test]
#[ignore = "an actor for other tests"]
fn actor_makes_a_tree() {
    let token = std::env::var("TOKEN").expect("started by a test");
    let program = c"/bin/sleep";
    let time = c(&format!("86400.{token}"));
    let argv = [program.as_ptr(), time.as_ptr(), std::ptr::null()];
    let tagged = c(&format!("TOKEN={token}"));
    let (full, empty) = ([tagged.as_ptr(), std::ptr::null()], [std::ptr::null()]);
    let (mut all_up, up) = io::pipe().unwrap();
    for n in 0..DAEMONS {
        daemon(|| {
            let env = if n % 2 == 0 { full.as_ptr() } else { empty.as_ptr() };
            // SAFETY: NULL-terminated lists of strings that live.
            unsafe { libc::execve(program.as_ptr(), argv.as_ptr(), env) };
        });
    }
    for _ in 0..FORKERS {
        daemon(|| {
            (&up).write_all(b"f").unwrap();
            run_away();
        });
    }
    let mut forkers = [0u8; FORKERS];
    all_up.read_exact(&mut forkers).unwrap();
    // The pipe closes in each sleep at its exec; here when all forkers have written.
    while count(&format!("86400.{token}")) < DAEMONS {}
    (&File::from(io::stdout().as_fd().try_clone_to_owned().unwrap())).write_all(b"UP").unwrap();
    loop {
        // SAFETY: no arguments.
        unsafe { libc::pause() };
    }
}

/// Forks twice, with a session of its own in between, and does it in the grandchild.
fn daemon(what: impl FnOnce()) {
    // SAFETY: what follows in the children is system calls; the first child is waited for.
    unsafe {
        let first = libc::fork();
        if first != 0 {
            assert!(first > 0);
            libc::waitpid(first, std::ptr::null_mut(), 0);
            return;
        }
        libc::setsid();
        if libc::fork() != 0 {
            libc::_exit(0);
        }
        what();
        libc::_exit(1);
    }
}

/// A new process each 200 microseconds, the old one ends.
fn run_away() {
    let pause = libc::timespec { tv_sec: 0, tv_nsec: 200_000 };
    // An end, so that a test that fails does not fill the machine: much later than any sweep.
    for _ in 0..5_000 {
        // SAFETY: plain data; a child goes on here, its parent ends.
        unsafe {
            libc::nanosleep(&raw const pause, std::ptr::null_mut());
            if libc::fork() > 0 {
                libc::_exit(0);
            }
        }
    }
}

/// Living processes with this text in their command lines. (A zombie has none.)
fn count(token: &str) -> usize {
    let entries = fs::read_dir("/proc").unwrap().flatten();
    let has = |path: PathBuf| fs::read(path.join("cmdline")).is_ok_and(|l| contains(&l, token.as_bytes()));
    entries
        .filter(|e| e.file_name().to_str().is_some_and(|n| n.parse::<i32>().is_ok()) && has(e.path()))
        .count()
}

fn contains(text: &[u8], part: &[u8]) -> bool {
    text.windows(part.len()).any(|w| w == part)
}

/// None is left, however often one looks.
fn nobody_left(token: &str, how: &str) {
    for _ in 0..20 {
        assert_eq!(count(token), 0, "{how}");
    }
}

fn kill_main(main: &Child) {
    reap::pidfd_signal(&main.pidfd, Signal::KILL).unwrap();
    assert!(wait_readable(main.pidfd.as_fd(), Some(PATIENCE)).unwrap());
}

fn bury(main: &Child) {
    MAIN.store(0, Ordering::SeqCst);
    assert_eq!(reap::reap(main.pid).unwrap(), Some(Exit::Signal { signal: Signal::KILL, core: false }));
}

#[test]
fn a_group_ends_whole_however_its_processes_try_to_get_away() {
    let _alone = alone();
    for ours in Ours::all("kill") {
        for call in CALLS {
            let how = format!("{:?} {call:?}", ours.0.kind());
            let token = format!("4{}{}", process::pid(), how.len());
            let group = ours.0.group("grup e");
            let main = tree(&token, group.join().unwrap(), call);
            assert!(!group.is_empty().unwrap(), "{how}");
            assert_eq!(group.remove().unwrap(), Removed::Busy, "{how}");
            kill_main(&main);
            assert!(count(&token) >= DAEMONS, "{how}: they outlive the main process");
            assert_eq!(group.kill_all(PATIENCE).unwrap(), 0, "{how}");
            nobody_left(&token, &how);
            assert!(group.is_empty().unwrap() && group.processes().unwrap().is_empty(), "{how}");
            // The main process is a zombie still; it does not keep the group.
            assert_eq!(group.remove().unwrap(), Removed::Gone, "{how}");
            assert_eq!(group.kill_all(PATIENCE).unwrap(), 0, "{how}: an absent group is empty");
            bury(&main);
        }
    }
}

/// Ends what a test that failed leaves.
struct Mess(Tag);

impl Drop for Mess {
    fn drop(&mut self) {
        let target = Target { tag: self.0, main: Pid(0), known: Vec::new() };
        strays::kill_all(&[target], Some(Pid(process::pid())), PATIENCE);
    }
}

#[test]
fn without_groups_the_tag_finds_them_all() {
    let _alone = alone();
    for (n, reaper) in [Some(Pid(process::pid())), None].into_iter().enumerate() {
        for call in CALLS {
            let token = format!("5{}{n}{}", process::pid(), call as u8);
            let how = format!("{reaper:?} {call:?}");
            let tag = Tag::new("test", &token);
            let _mess = Mess(tag);
            let main = tree(&token, CgroupJoin::Tag(tag), call);
            let other = Target { tag: Tag::new("test", "another"), main: Pid(0), known: Vec::new() };
            let target = Target { tag, main: main.pid, known: Vec::new() };
            kill_main(&main);
            let outcomes = strays::kill_all(&[other, target], reaper, PATIENCE);
            assert_eq!((outcomes[0].killed, outcomes[0].left, outcomes[1].left), (0, false, false), "{how}");
            assert!(outcomes[1].killed >= DAEMONS, "{how}: {outcomes:?}");
            nobody_left(&token, &how);
            bury(&main);
        }
    }
}

/// A shell whose script runs as long as its standard input is open.
fn shell(script: &str, join: Option<CgroupJoin>) -> (Child, io::PipeWriter, io::PipeReader) {
    let mut plan = Plan::new(c"/bin/sh".into(), ["sh", "-c", script].map(c).into());
    plan.env = vec![c("PATH=/usr/bin:/bin")];
    plan.session = Session::Session;
    plan.cgroup = join;
    let ((input, gate), (answer, output)) = (io::pipe().unwrap(), io::pipe().unwrap());
    (plan.stdin, plan.stdout) = (input.as_raw_fd(), output.as_raw_fd());
    (spawn_by(&plan, Method::Own, Call::Clone3).unwrap(), gate, answer)
}

fn line(from: &mut io::PipeReader) -> String {
    let (mut line, mut byte) = (Vec::new(), [0u8]);
    while !line.ends_with(b"\n") {
        assert!(wait_readable(from.as_fd(), Some(PATIENCE)).unwrap(), "{line:?}");
        assert_eq!(from.read(&mut byte).unwrap(), 1, "{line:?}");
        line.push(byte[0]);
    }
    String::from_utf8(line).unwrap().trim_end().to_owned()
}

/// A process of the unit in a session of its own says when it meets the signal; the main one, told
/// already, does not meet it again.
const SIGNALLED: &str = "trap 'echo main' USR1; \
    setsid sh -c 'trap \"echo other\" USR1; echo up; while :; do read x || sleep 0.01; done' & \
    while :; do read x || sleep 0.01; done";

#[test]
fn a_signal_reaches_all_but_those_who_were_told() {
    let _alone = alone();
    for ours in Ours::all("signal") {
        let group = ours.0.group("s");
        let (main, _gate, mut answer) = shell(SIGNALLED, Some(group.join().unwrap()));
        assert_eq!(line(&mut answer), "up");
        let usr1 = Signal::from_number(10).unwrap();
        assert!(group.signal_all(usr1, Some(main.pid)).unwrap() >= 1);
        assert_eq!(line(&mut answer), "other");
        kill_main(&main);
        assert_eq!(group.kill_all(PATIENCE).unwrap(), 0);
        let mut rest = String::new();
        answer.read_to_string(&mut rest).unwrap();
        assert!(!rest.contains("main"), "{rest}");
        bury(&main);
    }
}

#[test]
fn without_groups_it_reaches_them_too_and_remembers_who_lost_the_tag() {
    let _alone = alone();
    let tag = Tag::new("test", "signal");
    // It loses tag, session and process group: only that it hung below the main process tells.
    let script = SIGNALLED.replace("setsid sh", "prlimit --locks=7:7 setsid sh");
    let (main, _gate, mut answer) = shell(&script, Some(CgroupJoin::Tag(tag)));
    assert_eq!(line(&mut answer), "up");
    let target = Target { tag, main: main.pid, known: Vec::new() };
    let usr1 = Signal::from_number(10).unwrap();
    let known = strays::signal_all(&target, None, usr1);
    assert_eq!(line(&mut answer), "other");
    assert!(known.iter().any(|(pid, _)| *pid == main.pid) && known.len() >= 2, "{known:?}");
    kill_main(&main);
    strays::kill_all(&[Target { known, ..target }], None, PATIENCE);
    let mut rest = String::new();
    answer.read_to_string(&mut rest).unwrap();
    assert!(!rest.contains("main"), "{rest}");
    bury(&main);
}

#[test]
fn a_number_that_was_given_to_another_is_not_touched() {
    let _alone = alone();
    let (stranger, gate, _answer) = shell("read x; exit 3", None);
    // As if it had been ours, but began at another time.
    let known = vec![(stranger.pid, process::start_time(stranger.pid.0).unwrap() + 1)];
    let target = Target { tag: Tag::new("test", "recycled"), main: Pid(0), known };
    let outcome = strays::kill_all(&[target], None, PATIENCE);
    assert_eq!(outcome, [strays::Outcome::default()]);
    drop(gate);
    assert_eq!(reap::wait(stranger.pid).unwrap(), Exit::Code(3));
}

/// As the user nobody: raw calls change only the calling thread.
fn as_nobody<T: Send>(what: impl FnOnce() -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| {
            // SAFETY: plain numbers; this thread ends with the closure.
            let done = unsafe { libc::syscall(libc::SYS_setresuid, 65534, 65534, 65534) };
            assert_eq!(done, 0);
            what()
        });
        thread.join().unwrap()
    })
}

#[test]
fn a_missing_right_fails_with_its_reason() {
    let _alone = alone();
    if process::euid() != 0 {
        eprintln!("not root: nobody to become");
        return;
    }
    for ours in Ours::all("right") {
        let join = ours.0.group("web").join().unwrap();
        for call in CALLS {
            let mut plan = Plan::new(c"/bin/true".into(), vec![c("true")]);
            plan.cgroup = Some(join.clone());
            let error = as_nobody(|| spawn_by(&plan, Method::Own, call)).unwrap_err();
            let name = ours.0.folder().file_name().unwrap().to_str().unwrap();
            let text = format!("join cgroup {name}/u-web: Permission denied");
            assert_eq!((error.stage, error.errno, error.text), (Stage::Cgroup, libc::EACCES, text));
        }
    }
    for place in places_here() {
        let error = as_nobody(|| Tree::make(&place, "nobody")).unwrap_err();
        assert_eq!(error.raw_os_error(), Some(libc::EACCES), "{place:?}");
    }
}

#[test]
fn a_group_that_takes_no_processes_fails_with_its_reason() {
    let _alone = alone();
    let Some(ours) = Ours::v2("threads") else { return eprintln!("no v2 here") };
    let join = |group: &Group| group.join().unwrap();
    let (gone, threads, bad) = (ours.0.group("gone"), ours.0.group("threads"), ours.0.group("bad"));
    let joins = [(join(&gone), libc::ENOENT), (join(&bad), libc::EOPNOTSUPP)];
    gone.remove().unwrap();
    join(&threads);
    // Makes its neighbours invalid.
    fs::write(threads.folder().join("cgroup.type"), "threaded").unwrap();
    for (join, errno) in joins {
        let mut plan = Plan::new(c"/bin/true".into(), vec![c("true")]);
        plan.cgroup = Some(join);
        for call in CALLS {
            let error = spawn_by(&plan, Method::Own, call).unwrap_err();
            assert_eq!((error.stage, error.errno), (Stage::Cgroup, errno), "{error:?}");
        }
    }
    // A folder whose groups are of threads is of no use to another daemon.
    let inside = Place { kind: Kind::V2, folder: ours.0.folder().to_owned(), path: b"/".to_vec() };
    assert_eq!(Tree::make(&inside, "x").unwrap_err().raw_os_error(), Some(libc::EOPNOTSUPP));
    drop(ours);
}

#[test]
fn groups_of_a_daemon_before_us_are_taken_over() {
    let _alone = alone();
    for ours in Ours::all("again") {
        let (used, empty) = (ours.0.group("used"), ours.0.group("empty"));
        empty.join().unwrap();
        let (main, gate, _answer) = shell("read x", Some(used.join().unwrap()));
        let place = places_here().into_iter().find(|p| p.kind == ours.0.kind()).unwrap();
        let again = Tree::make(&place, &format!("test-again-{}", process::pid())).unwrap();
        assert_eq!(again, ours.0);
        again.tidy();
        assert!(used.folder().exists() && !empty.folder().exists());
        assert_eq!(again.group("used").processes().unwrap(), [main.pid]);
        let usage = used.usage();
        assert_eq!(usage.cpu_usec.is_some(), ours.0.kind() == Kind::V2, "{usage:?}");
        drop(gate);
        reap::wait(main.pid).unwrap();
    }
}
