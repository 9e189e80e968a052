//! With real processes, for each way that this machine has. (How the kinds end whole trees is tested in
//! `supers_os`.)

use super::*;
use std::ffi::CString;
use std::io::{PipeReader, PipeWriter, Read};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;
use supers_os::cgroup::Place;
use supers_os::poll::wait_readable;
use supers_os::spawn::{Child, Method, Plan, Session, spawn};
use supers_os::{process, reap};

const PATIENCE: Option<Duration> = Some(Duration::from_secs(20));

/// One way; a test that fails leaves nothing of it behind.
struct Ours(Contain);

impl std::ops::Deref for Ours {
    type Target = Contain;

    fn deref(&self) -> &Contain {
        &self.0
    }
}

impl Drop for Ours {
    fn drop(&mut self) {
        if let Way::Groups(tree) = &self.0.way {
            let _ = tree.whole().kill_all(Duration::from_secs(5));
        }
        self.0.close();
    }
}

/// All ways but none.
fn ways(test: &str) -> Vec<(Ours, Receiver<Swept>)> {
    let id = format!("engine-{test}-{}", process::pid());
    let trees = places_here().into_iter().filter_map(|place| Tree::make(&place, &id).ok());
    let ways = trees.map(Way::Groups).chain([Way::Tags { id: id.clone() }]);
    let all: Vec<_> =
        ways.map(|way| Contain::with(way, None).unwrap()).map(|(c, done)| (Ours(c), done)).collect();
    assert!(all.len() > 1 || process::euid() != 0, "root has control groups, or this tests little");
    all
}

/// A unit whose main process leaves a daemon behind when its gate is closed. The reader ends when
/// nobody of it lives.
fn unit(contain: &Contain, name: &str, script: &str) -> (Child, PipeWriter, PipeReader) {
    let words = ["sh", "-c", script].map(|w| CString::new(w).unwrap());
    let mut plan = Plan::new(c"/bin/sh".into(), words.into());
    plan.env = vec![c"PATH=/usr/bin:/bin".into()];
    plan.session = Session::Session;
    plan.cgroup = contain.join(name).unwrap();
    let ((input, gate), (mut lives, output)) = (io::pipe().unwrap(), io::pipe().unwrap());
    (plan.stdin, plan.stdout) = (input.as_raw_fd(), output.as_raw_fd());
    let child = spawn(&plan, Method::Own).unwrap();
    drop(output);
    let mut up = [0u8; 3];
    assert!(wait_readable(lives.as_fd(), PATIENCE).unwrap());
    lives.read_exact(&mut up).unwrap();
    assert_eq!(&up, b"up\n");
    (child, gate, lives)
}

const DAEMON: &str = "setsid env -i /bin/sh -c 'echo up; exec /bin/sleep 86400' & read x; exit 0";
const ALONE: &str = "echo up; read x; exit 0";

fn end(child: &Child, gate: PipeWriter) {
    drop(gate);
    assert!(wait_readable(child.pidfd.as_fd(), PATIENCE).unwrap());
}

fn ended(lives: &mut PipeReader) {
    assert!(wait_readable(lives.as_fd(), PATIENCE).unwrap(), "nobody holds the pipe");
    assert_eq!(lives.read(&mut [0u8]).unwrap(), 0);
}

#[test]
fn what_is_left_is_ended_before_the_answer_and_others_are_not_touched() {
    for (contain, mut done) in ways("sweep") {
        let (web, gate, mut lives) = unit(&contain, "web", DAEMON);
        let (other, other_gate, mut other_lives) = unit(&contain, "group:other", DAEMON);
        end(&web, gate);
        assert_eq!(contain.sweep("web", RunId(7), web.pid), Sweep::Underway, "{}", contain.word());
        assert_eq!(done.blocking_recv(), Some(Swept { run: RunId(7), left: 0 }), "{}", contain.word());
        // Not "soon": now.
        assert!(wait_readable(lives.as_fd(), Some(Duration::ZERO)).unwrap());
        ended(&mut lives);
        reap::wait(web.pid).unwrap();
        assert!(!wait_readable(other_lives.as_fd(), Some(Duration::ZERO)).unwrap(), "{}", contain.word());
        end(&other, other_gate);
        assert_eq!(contain.sweep("group:other", RunId(8), other.pid), Sweep::Underway);
        assert_eq!(done.blocking_recv(), Some(Swept { run: RunId(8), left: 0 }));
        ended(&mut other_lives);
        reap::wait(other.pid).unwrap();
        assert!(contain.close(), "{}", contain.word());
    }
}

#[test]
fn who_left_nobody_need_not_wait_where_groups_tell_so() {
    for (contain, mut done) in ways("clean") {
        let (main, gate, mut lives) = unit(&contain, "web", ALONE);
        end(&main, gate);
        match contain.sweep("web", RunId(1), main.pid) {
            Sweep::Clean => assert_ne!(contain.word(), "session"),
            Sweep::Underway => {
                assert_eq!(contain.word(), "session");
                assert_eq!(done.blocking_recv(), Some(Swept { run: RunId(1), left: 0 }));
            }
            Sweep::Refused => panic!("there is room"),
        }
        ended(&mut lives);
        reap::wait(main.pid).unwrap();
        assert!(contain.close() && contain.refused() == 0);
    }
}

#[test]
fn the_rest_is_told_to_stop_too() {
    let script =
        "setsid sh -c 'trap \"exit 0\" TERM; echo up; while :; do sleep 0.01; done' & read x; exit 0";
    for (contain, mut done) in ways("signal") {
        let (main, gate, mut lives) = unit(&contain, "web", script);
        contain.signal_all("web", main.pid, Signal::TERM);
        // The daemon ends by itself; the main process was not told.
        drop(gate);
        ended(&mut lives);
        assert!(wait_readable(main.pidfd.as_fd(), PATIENCE).unwrap());
        // Who closed the pipe is on its way out of the group.
        if contain.sweep("web", RunId(1), main.pid) == Sweep::Underway {
            assert_eq!(done.blocking_recv(), Some(Swept { run: RunId(1), left: 0 }));
        }
        assert_eq!(reap::wait(main.pid).unwrap(), supers_core::exit::Exit::Code(0), "{}", contain.word());
        assert!(contain.close());
    }
}

#[test]
fn under_the_ancestor_s_name_nothing_is_done() {
    let (contain, _done) = Contain::detect("none", false, None).unwrap();
    assert_eq!(contain.word(), "process group");
    assert!(contain.join("web").unwrap().is_none());
    assert_eq!(contain.sweep("web", RunId(1), Pid(0)), Sweep::Clean);
    assert!(contain.close() && contain.worker.is_none());
}

#[test]
fn a_group_that_cannot_be_made_is_a_failed_start_with_its_reason() {
    for (contain, _done) in ways("fails") {
        let Way::Groups(tree) = &contain.way else { continue };
        assert!(contain.close());
        let error = contain.join("web").unwrap_err();
        assert_eq!((error.stage, error.errno), (Stage::Cgroup, 2), "{}", tree.folder().display());
        assert_eq!(error.text, "make the cgroup of web: No such file or directory");
    }
}

/// Plain folders that look like those of a hierarchy whose groups count what the kernel killed.
#[test]
fn a_group_says_that_memory_ran_out_even_when_it_is_gone() {
    let dir = tempfile::tempdir().unwrap();
    let write = |path: &str, text: &str| {
        let path = dir.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    };
    let kills = |n: u32| write("super-x/u-web/memory.events", &format!("max 9\noom_kill {n}\n"));
    write("cgroup.procs", "");
    write("super-x/cgroup.procs", "");
    write("super-x/memory.events", "oom_kill 2\n");
    let place = Place { kind: Kind::V1Pids, folder: dir.path().to_owned(), path: b"/".to_vec() };
    let (contain, mut done) = Contain::with(Way::Groups(Tree::make(&place, "x").unwrap()), None).unwrap();
    assert_eq!(contain.oom("web"), None, "it has no group");
    kills(2);
    contain.join("web").unwrap();
    assert_eq!(contain.oom("web"), Some(Oom::No), "that was an earlier run");
    kills(3);
    assert_eq!(contain.oom("web"), Some(Oom::Yes));
    assert!(contain.ask(Job::Sweep { unit: "web".into(), run: RunId(7), main: Pid(0) }));
    assert_eq!(done.blocking_recv(), Some(Swept { run: RunId(7), left: 0 }));
    std::fs::remove_file(dir.path().join("super-x/u-web/memory.events")).unwrap();
    assert_eq!(contain.oom("web"), Some(Oom::Yes));
    for (contain, _done) in ways("oom") {
        contain.join("web").unwrap();
        assert!(matches!(contain.oom("web"), None | Some(Oom::No)), "{}", contain.word());
    }
}
