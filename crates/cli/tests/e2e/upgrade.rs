//! `supers upgrade`: another program takes over while everything goes on.

use crate::common::{log, main_log, much_under_way, process, unit, until_printed, until_state, world};
use crate::crash::{crash, daemon_process, daemon_view, essence, essences, living, noted};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;
use supers_testkit::{Finished, Process, World};

/// A copy of superd at another place.
fn copy(w: &World, name: &str) -> PathBuf {
    let path = w.path(name);
    fs::create_dir_all(path.parent().unwrap()).unwrap();
    fs::copy(env!("CARGO_BIN_EXE_superd"), &path).unwrap();
    path
}

/// A script that answers `--check-state` as superd does, and otherwise does this.
fn impostor(w: &World, name: &str, otherwise: &str) -> PathBuf {
    let superd = env!("CARGO_BIN_EXE_superd");
    let text = format!(
        "#!/bin/sh\nif [ \"$1\" = --check-state ]; then exec {superd} \"$@\"; fi\n\
         echo impostor >&2\n{otherwise}\n"
    );
    let path = w.write(name, &text);
    fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
    path
}

fn upgrade_to(w: &World, binary: &Path) -> Finished {
    w.supers(&["upgrade", "--binary", &binary.display().to_string()])
}

fn exe(pid: i32) -> PathBuf {
    fs::read_link(format!("/proc/{pid}/exe")).unwrap()
}

fn keeper_pid(w: &World) -> i32 {
    i32::try_from(daemon_view(w).unwrap()["pid"].as_i64().unwrap()).unwrap()
}

/// A world with programs that show what happens to them.
fn prepared() -> World {
    let mut w = world();
    unit(&w, "web", &noted(&w, "web", "print up wait"), "");
    unit(&w, "pausing", "exit 1", "Restart=always\nRestartSec=1h");
    unit(&w, "stopped", "wait", "");
    w.superd();
    until_printed(&w, "web", "up");
    until_state(&w, "pausing", "BACKOFF");
    w.supers_ok(&["stop", "stopped"]);
    w
}

/// The programs are as they were, and obey.
fn all_is_well(w: &mut World, before: &supers_testkit::Programs) {
    assert_eq!(essences(&w.status()), essences(before));
    assert_eq!(living(w, "pids-web"), BTreeSet::from([before.pid("web")]));
    let deadline = w.deadline();
    let web = process(w, "web");
    w.supers_ok(&["restart", "web"]);
    assert!(!web.lives());
    w.until_fact("it printed again", || (log(w, "web") == "up\nup\n").then_some(()));
    assert_eq!(w.daemon().stop(deadline), 0);
    assert_eq!(living(w, "pids-web"), BTreeSet::new());
}

#[test]
fn to_the_same_program() {
    let mut w = prepared();
    let before = w.status();
    let (keeper, daemon) = (keeper_pid(&w), daemon_process(&w));
    let said = w.supers_ok(&["upgrade"]);
    let version = env!("CARGO_PKG_VERSION");
    assert!(said.starts_with(&format!("superd {version} -> {version}, away for ")), "{said}");
    assert_eq!(keeper_pid(&w), keeper);
    assert_ne!(daemon_process(&w).pid, daemon.pid);
    assert!(!daemon.lives());
    all_is_well(&mut w, &before);
}

#[test]
fn to_a_program_at_another_place() {
    let mut w = prepared();
    let before = w.status();
    let (new, keeper) = (copy(&w, "opt/superd-2"), Process::open(keeper_pid(&w)).unwrap());
    let end = upgrade_to(&w, &new);
    assert_eq!(end.code, 0, "{end:?}");
    assert_eq!(exe(daemon_process(&w).pid), new);
    w.until_fact("the keeper is the new program too", || (exe(keeper.pid) == new).then_some(()));
    assert_eq!((keeper_pid(&w), keeper.comm().as_str()), (keeper.pid, "super-keeper"));
    assert_eq!(essences(&w.status()), essences(&before));
    // From now on that is the program, also when the daemon dies and when the file is gone.
    fs::remove_file(&new).unwrap();
    crash(&w);
    assert!(exe(daemon_process(&w).pid).display().to_string().contains("superd-2"));
    // And back.
    let end = upgrade_to(&w, Path::new(env!("CARGO_BIN_EXE_superd")));
    assert_eq!(end.code, 0, "{end:?}");
    assert_eq!(exe(daemon_process(&w).pid), fs::canonicalize(env!("CARGO_BIN_EXE_superd")).unwrap());
    all_is_well(&mut w, &before);
}

#[test]
fn the_file_of_before_was_replaced() {
    let mut w = world();
    let superd = copy(&w, "bin/superd");
    unit(&w, "web", &noted(&w, "web", "print up wait"), "");
    let mut command = std::process::Command::new(&superd);
    let usual = w.command_superd(&[]);
    command.env_clear().args(usual.get_args()).current_dir(w.root());
    for (key, value) in usual.get_envs() {
        command.env(key, value.unwrap_or_default());
    }
    crate::common::start_superd(&mut w, command);
    until_printed(&w, "web", "up");
    let before = w.status();
    // As a package manager does it.
    let next = copy(&w, "bin/.superd.new");
    fs::rename(&next, &superd).unwrap();
    assert!(exe(daemon_process(&w).pid).display().to_string().ends_with("(deleted)"));
    w.supers_ok(&["upgrade"]);
    assert_eq!(exe(daemon_process(&w).pid), superd, "the new file is what runs now");
    all_is_well(&mut w, &before);
}

#[test]
fn what_is_no_superd_is_refused_and_nothing_happens() {
    let mut w = prepared();
    let before = w.status();
    let daemon = daemon_process(&w);
    let text = w.write("text", "no program\n");
    let plain = w.write("plain", "#!/bin/sh\nexit 0\n");
    fs::set_permissions(&text, fs::Permissions::from_mode(0o755)).unwrap();
    let cases = [
        (PathBuf::from("/bin/true"), "/bin/true is no superd"),
        (PathBuf::from("/bin/false"), "/bin/false cannot go on with the present state"),
        (text, "Exec format error"),
        (plain, "Permission denied"),
        (PathBuf::from("/bin"), "/bin"),
        (PathBuf::from("/no/such/file"), "No such file"),
    ];
    for (path, why) in cases {
        let end = upgrade_to(&w, &path);
        assert_eq!(end.code, 1, "{end:?}");
        assert!(end.stderr.contains(why), "{why}: {end:?}");
    }
    assert_eq!(daemon_process(&w).pid, daemon.pid, "the daemon goes on");
    all_is_well(&mut w, &before);
}

/// A new program that is no good on standby costs nothing: the daemon does not even make way.
fn refused_on_standby(otherwise: &str, why: &str) {
    let mut w = prepared();
    let before = w.status();
    let (keeper, daemon) = (keeper_pid(&w), daemon_process(&w));
    let bad = impostor(&w, "bad/superd", otherwise);
    let end = upgrade_to(&w, &bad);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains(why) && end.stderr.contains("nothing was changed"), "{end:?}");
    w.until_fact("it is told", || main_log(&w).contains(why).then_some(()));
    assert_eq!((daemon_process(&w).pid, keeper_pid(&w)), (daemon.pid, keeper));
    assert!(daemon.lives());
    // One that works is taken after it, and nothing is left of the other.
    w.supers_ok(&["upgrade"]);
    // The daemon and `web`.
    w.until_fact("one daemon is left", || (children(keeper).len() == 2).then_some(()));
    all_is_well(&mut w, &before);
}

fn children(pid: i32) -> Vec<String> {
    let text = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    text.split_whitespace().map(str::to_owned).collect()
}

#[test]
fn a_new_program_that_ends_on_standby_is_refused() {
    refused_on_standby("exit 1", "ended while it prepared itself");
}

#[test]
fn a_new_program_that_crashes_on_standby_is_refused() {
    refused_on_standby("kill -SEGV $$", "ended while it prepared itself");
}

#[test]
fn a_new_program_that_hangs_on_standby_is_refused() {
    refused_on_standby("exec sleep 3600", "did not prepare itself in time");
}

/// Whoever asks for the end while the next program prepares itself means the end.
#[test]
fn a_shutdown_comes_before_an_upgrade() {
    let mut w = prepared();
    let keeper = keeper_pid(&w);
    let mark = w.path("started");
    let slow = impostor(&w, "slow/superd", &format!("echo slow >{}; exec sleep 3600", mark.display()));
    let binary = slow.display().to_string();
    let mut upgrade = w.supers_started(&["upgrade", "--binary", &binary]);
    w.until_fact("it is on standby", || fs::exists(&mark).unwrap().then_some(()));
    let standby: Vec<Process> =
        children(keeper).iter().filter_map(|pid| Process::open(pid.parse().ok()?)).collect();
    assert_eq!(standby.len(), 3, "the daemon, `web` and the one on standby");
    w.supers_ok(&["shutdown"]);
    let deadline = w.deadline();
    assert_eq!(w.daemon().wait(deadline), 0);
    assert_eq!(upgrade.wait(deadline), 1);
    w.until_fact("all have ended", || standby.iter().all(|process| !process.lives()).then_some(()));
}

/// An upgrade that fails on the way is rolled back.
fn rolled_back(otherwise: &str) {
    let mut w = prepared();
    let before = w.status();
    let (keeper, old) = (keeper_pid(&w), exe(daemon_process(&w).pid));
    let bad = impostor(&w, "bad/superd", otherwise);
    let end = upgrade_to(&w, &bad);
    assert_eq!(end.code, 1, "{end:?}");
    assert!(end.stderr.contains("upgrade failed"), "{end:?}");
    assert_eq!(exe(daemon_process(&w).pid), old);
    assert_eq!(keeper_pid(&w), keeper);
    let notices = daemon_view(&w).unwrap()["notices"].to_string();
    assert!(notices.contains("upgrade failed"), "{notices}");
    assert!(main_log(&w).contains("upgrade failed"), "{}", main_log(&w));
    assert_eq!(essences(&w.status()), essences(&before));
    // The next one that works makes up for it.
    w.supers_ok(&["upgrade"]);
    let notices = daemon_view(&w).unwrap()["notices"].to_string();
    assert!(!notices.contains("upgrade failed"), "{notices}");
    all_is_well(&mut w, &before);
}

#[test]
fn a_new_program_that_dies_when_its_time_has_come_is_rolled_back() {
    let superd = env!("CARGO_BIN_EXE_superd");
    rolled_back(&format!("SUPERS_FAILPOINT=takeover.begin exec {superd} \"$@\""));
}

#[test]
fn a_new_superd_that_refuses_to_start_is_rolled_back() {
    // It says its last word to the keeper in due form.
    let superd = env!("CARGO_BIN_EXE_superd");
    rolled_back(&format!("exec {superd} -c /no/such/configuration"));
}

#[test]
fn what_is_under_way_goes_on() {
    let mut w = world();
    let before = much_under_way(&mut w);
    w.supers_ok(&["upgrade"]);
    assert_eq!(essences(&w.status()), essences(&before));
    w.write("gate", "");
    let after = w.until("it goes on", |s| s.state("after") == "RUNNING" && s.state("deaf") == "STOPPED");
    assert_eq!(
        (after.get("steps")["exit"].as_i64(), after.get("deaf")["exit"].as_i64()),
        (Some(3), Some(-9))
    );
}

#[test]
fn an_upgrade_without_a_keeper_or_during_a_shutdown_is_refused() {
    let mut w = world();
    unit(&w, "deaf", "ignore TERM print up wait", "TimeoutStopSec=2s");
    w.superd_with(&["--no-keeper"]);
    until_printed(&w, "deaf", "up");
    let end = w.supers(&["upgrade"]);
    assert!(end.code == 1 && end.stderr.contains("needs the keeper"), "{end:?}");
    w.supers_ok(&["shutdown"]);
    let end = w.supers(&["upgrade"]);
    assert!(end.code == 1 && end.stderr.contains("shutting down"), "{end:?}");
    let deadline = w.deadline();
    assert_eq!(w.daemon().wait(deadline), 0);
}

#[test]
fn twenty_upgrades_refuse_no_client() {
    let mut w = world();
    w.allow(Duration::from_secs(180));
    for name in ["a", "b"] {
        unit(&w, name, &noted(&w, name, "wait"), "");
    }
    unit(
        &w,
        "loop",
        &noted(&w, "loop", "sleep 30ms exit 1"),
        "Restart=always\nRestartSec=10ms\n[Unit]\nStartLimitIntervalSec=0",
    );
    w.superd();
    w.until("all run", |s| s.state("a") == "RUNNING" && s.state("b") == "RUNNING");
    let before = w.status();
    let programs = [copy(&w, "opt/one/superd"), copy(&w, "opt/two/superd")];
    let (done, asked) = (AtomicBool::new(false), AtomicU32::new(0));
    let socket = fs::read_dir(w.runtime_base()).unwrap().flatten().find_map(|f| {
        fs::read_dir(f.path())
            .ok()?
            .flatten()
            .map(|e| e.path())
            .find(|p| p.extension().is_some_and(|x| x == "sock"))
    });
    let socket = socket.expect("the daemon's socket");
    std::thread::scope(|scope| {
        let poll = scope.spawn(|| {
            while !done.load(Ordering::Relaxed) {
                let stream = std::os::unix::net::UnixStream::connect(&socket);
                let stream = stream.unwrap_or_else(|e| panic!("refused: {e}"));
                let reply = crate::common::ask_over(stream, "GET /api/v1/programs", &[]);
                let reply = reply.unwrap_or_else(|| panic!("no answer after {asked:?}"));
                assert_eq!(reply.status, 200, "{reply:?}");
                asked.fetch_add(1, Ordering::Relaxed);
            }
        });
        for n in 0..20 {
            if poll.is_finished() {
                break;
            }
            let end = upgrade_to(&w, &programs[n % 2]);
            assert_eq!(end.code, 0, "upgrade {n}: {end:?}");
            assert_eq!(exe(daemon_process(&w).pid), programs[n % 2]);
        }
        done.store(true, Ordering::Relaxed);
        poll.join().unwrap();
    });
    assert!(asked.load(Ordering::Relaxed) > 20, "{asked:?}");
    let after = w.status();
    for name in ["a", "b"] {
        assert_eq!(essence(&after, name), essence(&before, name));
        assert_eq!(w.read(format!("pids-{name}")).lines().count(), 1);
    }
    assert!(living(&w, "pids-loop").len() <= 1);
    let deadline = w.deadline();
    assert_eq!(w.daemon().stop(deadline), 0);
}

/// Ends, the starts that follow from them, and the upgrade come together in one turn of the daemon.
#[test]
fn upgrades_among_many_starts_start_nothing_twice() {
    let mut w = world();
    let flock = supers_testkit::need_tool("flock", "util-linux");
    for n in 0..30 {
        let lock = w.path(format!("lock-{n}"));
        let words = format!("{} -n -E 70 {} sleep 0.01", flock.display(), lock.display());
        let text = format!(
            "[Service]\nExecStart={words}\nRestart=always\nRestartSec=0\n[Unit]\nStartLimitIntervalSec=0\n"
        );
        w.unit(&format!("u{n}"), &text);
    }
    w.superd();
    for _ in 0..40 {
        w.supers_ok(&["upgrade"]);
    }
    w.supers_ok(&["stop", "all"]);
    let told = main_log(&w);
    assert!(told.matches("exit status 0").count() > 100, "{told}");
    let twice: Vec<&str> = told.lines().filter(|l| l.contains("exit status 70")).collect();
    assert!(twice.is_empty(), "{twice:?}");
}
