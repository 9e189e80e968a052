//! Starts of real processes: what each sees of itself, and each step at which one can fail.

#![allow(clippy::unwrap_used, missing_docs)]

use std::ffi::CString;
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read};
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;
use supers_core::exit::{Exit, Stage, StartError};
use supers_core::signal::Signal;
use supers_core::spec::{Limit, Resource};
use supers_os::poll::wait_readable;
use supers_os::spawn::{Call, Creds, Method, Plan, Prepared, Report, Session, spawn, spawn_by};
use supers_os::{process, reap, signals, socket};

/// Longest wait of any test.
const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));
const CLONES: [Call; 2] = [Call::Clone3, Call::Clone];

fn c(text: impl AsRef<Path>) -> CString {
    CString::new(text.as_ref().as_os_str().as_bytes()).unwrap()
}

/// A shell with this script.
fn shell(script: &str) -> Plan {
    let mut plan = Plan::new(c("/bin/sh"), [c("sh"), c("-c"), c(script)].into());
    plan.env = vec![c("PATH=/usr/bin:/bin"), c("LC_ALL=C")];
    plan
}

/// Runs a plan to its end: what it wrote, and how it ended. That the output has an end also proves that
/// nobody in this process kept a copy of the pipe.
fn run(plan: &Plan, call: Call) -> Result<(String, Exit), StartError> {
    let (read, write) = io::pipe().unwrap();
    let null = OpenOptions::new().read(true).write(true).open("/dev/null").unwrap();
    let mut plan = plan.clone();
    if plan.stdin == 0 {
        (plan.stdin, plan.stdout, plan.stderr) = (null.as_raw_fd(), write.as_raw_fd(), write.as_raw_fd());
    }
    let child = spawn_by(&plan, Method::Own, call)?;
    drop(write);
    let text = read_to_end(File::from(OwnedFd::from(read)));
    assert!(wait_readable(child.pidfd.as_fd(), PATIENCE).unwrap(), "it ends");
    Ok((text, reap::reap(child.pid).unwrap().unwrap()))
}

fn read_to_end(mut file: File) -> String {
    let (mut bytes, mut part) = (Vec::new(), [0u8; 4096]);
    loop {
        assert!(wait_readable(file.as_fd(), PATIENCE).unwrap(), "output has an end: {bytes:?}");
        match file.read(&mut part).unwrap() {
            0 => return String::from_utf8(bytes).unwrap(),
            n => bytes.extend_from_slice(&part[..n]),
        }
    }
}

/// The lines that a good run of a plan writes.
fn lines(plan: &Plan, call: Call) -> Vec<String> {
    let (text, exit) = run(plan, call).unwrap();
    assert_eq!(exit, Exit::Code(0), "{text}");
    text.lines().map(str::to_owned).collect()
}

fn limit(resource: Resource, soft: Option<u64>, hard: Option<u64>) -> Limit {
    Limit { resource, soft, hard }
}

/// Tests that change users only mean something for root.
fn root() -> bool {
    let root = process::euid() == 0;
    if !root {
        eprintln!("not root: what needs another user is left out");
    }
    root
}

#[test]
fn every_stage_says_what_failed() {
    let dir = tempfile::tempdir().unwrap();
    let (plain, script) = (dir.path().join("plain"), dir.path().join("script"));
    fs::write(&plain, "x").unwrap();
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let (ours, theirs) = socket::pair().unwrap();
    drop(theirs);
    let fd = ours.as_raw_fd();
    type Change<'a> = Box<dyn Fn(&mut Plan) + 'a>;
    let creds = |uid, gid, groups| Some(Creds { uid, gid, groups });
    let mut table: Vec<(Stage, String, Change<'_>)> = vec![
        (
            Stage::Report,
            "tell the keeper: Broken pipe".into(),
            Box::new(|p| p.report = Some(Report { fd, run: 1, gifts: [None; 3] })),
        ),
        (Stage::Files, "set up the descriptors: Bad file descriptor".into(), Box::new(|p| p.stdin = 999_999)),
        (
            Stage::Limits,
            "set LimitCORE: Invalid argument".into(),
            Box::new(|p| {
                p.limits = vec![
                    limit(Resource::Nofile, Some(64), Some(64)),
                    limit(Resource::Core, Some(2), Some(1)),
                ];
            }),
        ),
        (
            Stage::Nice,
            "set oom_score_adj to 5000: Invalid argument".into(),
            Box::new(|p| (p.oom_score_adj, p.nice) = (Some(5000), Some(1))),
        ),
        (
            Stage::Chdir,
            "change directory to \"/srv/no such\": No such file or directory".into(),
            Box::new(|p| p.directory = Some(c("/srv/no such"))),
        ),
        (
            Stage::Exec,
            format!("execute \"{}\": Permission denied", plain.display()),
            Box::new(|p| p.program = c(&plain)),
        ),
        (
            Stage::Exec,
            "execute \"/no/such\": No such file or directory".into(),
            Box::new(|p| p.program = c("/no/such")),
        ),
        (
            Stage::Exec,
            format!(
                "execute \"{}\": No such file or directory (the file is there, but not the interpreter that it names)",
                script.display()
            ),
            Box::new(|p| p.program = c(&script)),
        ),
        (
            Stage::Gid,
            format!("change to group {}: Invalid argument", u32::MAX),
            Box::new(|p| p.creds = creds(0, u32::MAX, vec![])),
        ),
        (
            Stage::Uid,
            format!("change to user {}: Invalid argument", u32::MAX),
            Box::new(|p| p.creds = creds(u32::MAX, 0, vec![])),
        ),
    ];
    if root() {
        let text = "set the supplementary groups: Invalid argument".into();
        table.push((Stage::Groups, text, Box::new(|p| p.creds = creds(0, 0, vec![1; 70_000]))));
    }
    for call in CLONES {
        for (stage, text, change) in &table {
            let mut plan = shell("exit 0");
            let null = File::open("/dev/null").unwrap();
            plan.stdin = null.as_raw_fd();
            change(&mut plan);
            let error = spawn_by(&plan, Method::Own, call).unwrap_err();
            assert_eq!((error.stage, &error.text), (*stage, text), "{call:?}");
            assert_ne!(error.errno, 0);
        }
    }
}

#[test]
fn directory_is_entered_as_the_new_user() {
    if !root() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    fs::set_permissions(dir.path(), fs::Permissions::from_mode(0o700)).unwrap();
    let mut plan = shell("pwd");
    plan.directory = Some(c(dir.path()));
    for call in CLONES {
        plan.creds = None;
        assert_eq!(lines(&plan, call), [dir.path().to_str().unwrap()]);
        plan.creds = Some(Creds { uid: 65534, gid: 65534, groups: vec![65534] });
        let error = run(&plan, call).unwrap_err();
        assert_eq!((error.stage, error.errno), (Stage::Chdir, libc::EACCES));
    }
}

#[test]
fn signals_start_afresh() {
    signals::ignore(Signal::HUP).unwrap();
    signals::ignore(Signal::PIPE).unwrap();
    let _blocked = signals::SignalFd::new(&[Signal::USR1, Signal::TERM]).unwrap();
    let mut plan = shell("exec cat /proc/self/status");
    for call in [Call::Clone3, Call::Clone, Call::PosixSpawn] {
        // posix_spawn leaves glibc's own two, 32 and 33, ignored.
        let judged = if call == Call::PosixSpawn { !(3 << 31) } else { u64::MAX };
        for (ignore, mask) in [(false, 0), (true, 1 << (libc::SIGPIPE - 1))] {
            plan.ignore_sigpipe = ignore;
            let found = lines(&plan, call);
            let of = |key: &str| {
                let text = found.iter().find_map(|l| l.strip_prefix(key)).unwrap();
                u64::from_str_radix(text.trim(), 16).unwrap() & judged
            };
            assert_eq!((of("SigBlk:"), of("SigIgn:"), of("SigCgt:")), (0, mask, 0), "{call:?}");
        }
    }
}

#[test]
fn our_own_signal_mask_is_as_before() {
    let mask = || {
        let status = fs::read_to_string("/proc/thread-self/status").unwrap();
        status.lines().find(|l| l.starts_with("SigBlk:")).unwrap().to_owned()
    };
    let before = mask();
    for call in CLONES {
        lines(&shell("exit 0"), call);
        spawn_by(&Plan::new(c("/no/such"), vec![]), Method::Own, call).unwrap_err();
        assert_eq!(mask(), before);
    }
}

#[test]
fn only_named_descriptors_are_there() {
    // SAFETY: plain number; an inheritable copy of a descriptor, which std would never make.
    let inheritable = unsafe { libc::dup(0) };
    assert!(inheritable > 2);
    for call in CLONES {
        // The fourth is the listing's own.
        assert_eq!(lines(&shell("exec ls /proc/self/fd"), call), ["0", "1", "2", "3"]);
    }
    // SAFETY: opened above.
    unsafe { libc::close(inheritable) };
}

#[test]
fn descriptors_may_change_places() {
    let link = |fd: i32| fs::read_link(format!("/proc/self/fd/{fd}")).unwrap().display().to_string();
    let expected = [link(1), link(2), link(0)];
    for call in [Call::Clone3, Call::Clone, Call::PosixSpawn] {
        let (read, write) = io::pipe().unwrap();
        let other = File::open("/dev/zero").unwrap();
        let mut plan =
            shell("for n in 0 1 2 4; do all=\"$all$(readlink /proc/$$/fd/$n) \"; done; echo $all >&3");
        (plan.stdin, plan.stdout, plan.stderr) = (1, 2, 0);
        plan.extra = vec![write.as_raw_fd(), other.as_raw_fd()];
        let child = spawn_by(&plan, Method::Own, call).unwrap();
        drop(write);
        let text = read_to_end(File::from(OwnedFd::from(read)));
        let found: Vec<&str> = text.split_ascii_whitespace().collect();
        assert_eq!(found[..3], expected, "{call:?}");
        assert_eq!(found[3], "/dev/zero");
        assert_eq!(reap::wait(child.pid).unwrap(), Exit::Code(0));
    }
}

#[test]
fn ten_thousand_descriptors_are_no_hindrance() {
    let most = process::raise_nofile_to_hard().unwrap();
    let many: Vec<File> =
        (0..most.saturating_sub(2000).min(10_000)).map(|_| File::open("/dev/null").unwrap()).collect();
    assert!(many.len() > 1000, "the hard limit leaves room for the test");
    for call in CLONES {
        assert_eq!(lines(&shell("exec ls /proc/self/fd"), call), ["0", "1", "2", "3"]);
    }
}

#[test]
fn user_and_groups() {
    if !root() {
        return;
    }
    let mut plan = shell("grep -E '^(Uid|Gid|Groups):' /proc/self/status");
    plan.creds = Some(Creds { uid: 1234, gid: 2345, groups: vec![2345, 50, 60] });
    for call in CLONES {
        let found: Vec<String> = lines(&plan, call)
            .iter()
            .map(|l| l.split_ascii_whitespace().collect::<Vec<_>>().join(" "))
            .collect();
        assert_eq!(found, ["Uid: 1234 1234 1234 1234", "Gid: 2345 2345 2345 2345", "Groups: 50 60 2345"]);
    }
    assert_eq!(process::euid(), 0, "we are who we were");
}

#[test]
fn surroundings_are_as_planned() {
    let dir = tempfile::tempdir().unwrap();
    let mut plan = shell(
        "umask; pwd; nice; cat /proc/self/oom_score_adj; grep NoNewPrivs /proc/self/status; ulimit -Sn; ulimit -Hn; ulimit -c; env | grep X=",
    );
    plan.env.push(c("X=y"));
    plan.umask = Some(0o027);
    plan.directory = Some(c(dir.path()));
    plan.nice = Some(3);
    plan.oom_score_adj = Some(321);
    plan.no_new_privileges = true;
    plan.limits =
        vec![limit(Resource::Nofile, Some(100), Some(200)), limit(Resource::Core, Some(0), Some(0))];
    for call in CLONES {
        let found = lines(&plan, call);
        let expected =
            ["0027", dir.path().to_str().unwrap(), "3", "321", "NoNewPrivs:\t1", "100", "200", "0", "X=y"];
        assert_eq!(found, expected);
    }
}

#[test]
fn a_hard_limit_that_is_too_high_is_clipped() {
    let (_, hard) = process::limit(Resource::Nofile).unwrap();
    let mut plan = shell("ulimit -Sn; ulimit -Hn");
    plan.limits = vec![limit(Resource::Nofile, Some(77), None)];
    for call in CLONES {
        assert_eq!(lines(&plan, call), ["77".to_owned(), hard.to_string()]);
    }
}

#[test]
fn groups_and_sessions() {
    // Fields 1, 5 and 6: process, group, session.
    let mut plan = shell("cut -d' ' -f1,5,6 < /proc/$$/stat; :");
    // SAFETY: plain number; cannot fail for this process.
    let our_session = unsafe { libc::getsid(0) }.to_string();
    for call in [Call::Clone3, Call::Clone, Call::PosixSpawn] {
        for session in [Session::Group, Session::Session] {
            plan.session = session;
            let line = lines(&plan, call).remove(0);
            let ids: Vec<&str> = line.split(' ').collect();
            assert_eq!(ids[1], ids[0], "leads its group");
            let expected = if session == Session::Session { ids[0] } else { &our_session };
            assert_eq!(ids[2], expected);
        }
    }
}

#[test]
fn the_child_writes_its_own_pid() {
    let mut plan = shell("echo $A $$ $B");
    plan.env.extend([c("A=          "), c("B=          ")]);
    plan.pid_slots = vec![2, 3, 99];
    let null = OpenOptions::new().write(true).open("/dev/null").unwrap();
    for call in CLONES {
        let mut unheard = plan.clone();
        unheard.stdout = null.as_raw_fd();
        let mut prepared = Prepared::new(&unheard);
        for _ in 0..2 {
            let child = prepared.start_by(Method::Own, call).unwrap();
            assert_eq!(reap::wait(child.pid).unwrap(), Exit::Code(0));
        }
        let line = lines(&plan, call).remove(0);
        let pids: Vec<&str> = line.split(' ').collect();
        assert!(pids[0].parse::<i32>().unwrap() > 1 && pids[0] == pids[1] && pids[1] == pids[2], "{line}");
    }
    assert_eq!(plan.env[2].to_str().unwrap().trim(), "A=", "the plan itself is untouched");
}

#[test]
fn two_hundred_at_once_leave_no_zombie() {
    let pids: Vec<_> = std::thread::scope(|scope| {
        let one = |n: usize| {
            let call = CLONES[n % 2];
            let code = (n % 100) as u8;
            let child = spawn_by(&shell(&format!("exit {code}")), Method::Own, call).unwrap();
            assert!(wait_readable(child.pidfd.as_fd(), PATIENCE).unwrap());
            assert_eq!(reap::peek(child.pid).unwrap(), Some(Exit::Code(code)));
            assert_eq!(reap::reap(child.pid).unwrap(), Some(Exit::Code(code)));
            child.pid
        };
        let threads: Vec<_> = (0..8)
            .map(|t| scope.spawn(move || (0..25).map(|n| one(t * 25 + n)).collect::<Vec<_>>()))
            .collect();
        threads.into_iter().flat_map(|t| t.join().unwrap()).collect()
    });
    assert_eq!(pids.len(), 200);
    for pid in pids {
        assert_eq!(reap::peek(pid).unwrap_err().raw_os_error(), Some(libc::ECHILD));
    }
}

#[test]
fn a_failed_child_of_our_own_is_reaped() {
    for call in CLONES {
        let before = children();
        spawn_by(&Plan::new(c("/no/such"), vec![c("x")]), Method::Own, call).unwrap_err();
        let fresh: Vec<_> = children().into_iter().filter(|p| !before.contains(p)).collect();
        assert_eq!(fresh, Vec::<i32>::new());
    }
}

/// Children of this very thread: other tests run in other threads.
fn children() -> Vec<i32> {
    let text = fs::read_to_string("/proc/thread-self/children").unwrap();
    text.split_ascii_whitespace().map(|p| p.parse().unwrap()).collect()
}

#[test]
fn the_usual_way_works_and_the_last_resort_says_what_it_cannot() {
    let mut plan = shell("exit 4");
    let child = spawn(&plan, Method::Own).unwrap();
    assert_eq!(reap::wait(child.pid).unwrap(), Exit::Code(4));
    assert_eq!(run(&plan, Call::PosixSpawn).unwrap().1, Exit::Code(4));
    plan.directory = Some(c("/"));
    let error = run(&plan, Call::PosixSpawn).unwrap_err();
    assert_eq!((error.stage, error.errno), (Stage::Chdir, libc::ENOSYS));
    let error = run(&Plan::new(c("/no/such"), vec![c("x")]), Call::PosixSpawn).unwrap_err();
    assert_eq!((error.stage, error.errno), (Stage::Exec, libc::ENOENT));
}

#[test]
fn the_birth_is_reported_first() {
    use supers_os::keeper_proto::{ToKeeper, hear_daemon};
    let (keeper, daemon) = socket::pair().unwrap();
    supers_os::pipe::set_nonblocking(&daemon).unwrap();
    let (read, write) = std::io::pipe().unwrap();
    for call in CLONES {
        let mut plan = Plan::new(c("/no/such"), vec![c("x")]);
        let gifts = [None, Some((7, write.as_raw_fd())), Some((8, read.as_raw_fd()))];
        plan.report = Some(Report { fd: daemon.as_raw_fd(), run: 1 << 50, gifts });
        spawn_by(&plan, Method::Own, call).unwrap_err();
        let born = hear_daemon(keeper.as_fd()).unwrap().unwrap();
        assert!(matches!(born.word, ToKeeper::Born { run, pid } if run == 1 << 50 && pid > 1), "{born:?}");
        let [None, Some((7, a)), Some((8, b))] = born.gifts else { panic!("{:?}", born.gifts) };
        std::io::Write::write_all(&mut std::fs::File::from(a), b"x").unwrap();
        let mut one = [0];
        std::io::Read::read_exact(&mut std::fs::File::from(b), &mut one).unwrap();
        plan.report = Some(Report { fd: daemon.as_raw_fd(), run: 2, gifts: [None; 3] });
        spawn_by(&plan, Method::Own, call).unwrap_err();
        let born = hear_daemon(keeper.as_fd()).unwrap().unwrap();
        assert!(matches!(born.word, ToKeeper::Born { run: 2, .. }), "{born:?}");
        assert!(born.gifts.iter().all(Option::is_none));
    }
}
