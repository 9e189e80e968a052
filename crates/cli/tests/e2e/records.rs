//! Records that are damaged, gone, or cannot be written: told and survived, and no unit runs twice.

use crate::common::{log, process, unit, until_printed, world};
use crate::crash::{
    crash, daemon_process, daemon_view, essences, kill_both, living, noted, until_another, while_it_is_away,
};
use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use supers_testkit::{Process, World};

/// The one runtime folder of this world.
fn runtime(w: &World) -> PathBuf {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(w.runtime_base()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders.remove(0)
}

/// What can befall the file of records.
type Damage = fn(&Path);

const DAMAGES: [(&str, Damage); 8] = [
    ("half of it is missing", |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() / 2]).unwrap();
    }),
    ("the end is torn", |path| {
        let bytes = fs::read(path).unwrap();
        fs::write(path, &bytes[..bytes.len() - 5]).unwrap();
    }),
    ("garbage", |path| {
        let garbage: Vec<u8> = (0..5000u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        fs::write(path, garbage).unwrap();
    }),
    ("a flipped byte in the middle", |path| {
        let mut bytes = fs::read(path).unwrap();
        let middle = bytes.len() / 2;
        bytes[middle] ^= 0x55;
        fs::write(path, bytes).unwrap();
    }),
    ("another version", |path| {
        let mut bytes = fs::read(path).unwrap();
        bytes[7] = bytes[7].wrapping_add(1);
        fs::write(path, bytes).unwrap();
    }),
    ("empty", |path| fs::write(path, "").unwrap()),
    ("a folder", |path| {
        fs::remove_file(path).unwrap();
        fs::create_dir(path).unwrap();
    }),
    ("gone", |path| fs::remove_file(path).unwrap()),
];

/// A world with a steady program and one that starts again and again.
fn prepared() -> World {
    let mut w = world();
    unit(&w, "steady", &noted(&w, "steady", "print up wait"), "Restart=always\nRestartSec=50ms");
    let words = noted(&w, "loop", "sleep 40ms exit 1");
    unit(&w, "loop", &words, "Restart=always\nRestartSec=10ms\n[Unit]\nStartLimitIntervalSec=0");
    w.superd();
    until_printed(&w, "steady", "up");
    w
}

/// Each unit runs once, and is what `status` says.
fn runs_once(w: &World, when: &str) {
    let now = w.until("steady runs", |s| s.state("steady") == "RUNNING");
    w.until_fact("it noted its pid", || living(w, "pids-steady").contains(&now.pid("steady")).then_some(()));
    assert_eq!(living(w, "pids-steady"), BTreeSet::from([now.pid("steady")]), "{when}\n{}", w.logs());
    assert!(living(w, "pids-loop").len() <= 1, "{when}\n{}", w.logs());
    let seen = w.read("pids-loop").lines().count();
    w.until_fact("loop goes on", || (w.read("pids-loop").lines().count() > seen + 1).then_some(()));
    assert!(living(w, "pids-loop").len() <= 1, "{when}\n{}", w.logs());
}

#[test]
fn damage_while_the_keeper_lives() {
    for (what, damage) in DAMAGES {
        let mut w = prepared();
        let before = process(&w, "steady");
        while_it_is_away(&mut w, |w| damage(&runtime(w).join("records")));
        runs_once(&w, what);
        // The keeper holds the file itself: who takes away its name takes nothing.
        if ["gone", "a folder"].contains(&what) {
            assert!(before.lives(), "{what}\n{}", w.logs());
        } else if !before.lives() {
            assert!(
                w.logs().contains("the records of the daemon before are of no use"),
                "{what}\n{}",
                w.logs()
            );
        }
        // And the next death finds good ones.
        let before = w.until("steady runs", |s| s.state("steady") == "RUNNING").pid("steady");
        crash(&w);
        runs_once(&w, what);
        assert_eq!(w.status().pid("steady"), before, "{what}\n{}", w.logs());
        let deadline = w.deadline();
        assert_eq!(w.daemon().stop(deadline), 0);
        assert_eq!(living(&w, "pids-steady"), BTreeSet::new());
    }
}

#[test]
fn damage_when_both_are_gone() {
    for (what, damage) in DAMAGES {
        let mut w = prepared();
        let deadline = w.deadline();
        kill_both(&w);
        w.until_fact("nobody starts loop again", || living(&w, "pids-loop").is_empty().then_some(()));
        damage(&runtime(&w).join("records"));
        w.superd();
        runs_once(&w, what);
        assert_eq!(w.daemon().stop(deadline), 0);
        assert_eq!(living(&w, "pids-steady"), BTreeSet::new());
    }
}

#[test]
fn the_runtime_folder_is_deleted() {
    let mut w = prepared();
    let before = process(&w, "steady");
    let folder = runtime(&w);
    fs::remove_dir_all(&folder).unwrap();
    let daemon = w.daemon().daemon_pid();
    let held = Process::open(daemon).unwrap();
    assert!(held.kill());
    // The next one makes it again.
    until_another(&w, daemon);
    assert!(before.lives());
    runs_once(&w, "deleted");
    assert_eq!(w.status().pid("steady"), before.pid);
    assert!(folder.join("records").exists(), "{:?}", fs::read_dir(&folder).map(|d| d.count()));
    // Nobody else may run the same configuration.
    let second = w.superd_ends(&[]);
    assert_eq!(second.code, 1, "{second:?}");
    crash(&w);
    assert_eq!(w.status().pid("steady"), before.pid);
    w.supers_ok(&["restart", "steady"]);
    w.until_fact("its output is stored", || (log(&w, "steady") == "up\nup\n").then_some(()));
    let deadline = w.deadline();
    assert_eq!(w.daemon().stop(deadline), 0);
}

#[test]
fn unreadable_records() {
    let mut w = crate::common::Unprivileged::new();
    w.unit("steady", "wait");
    w.superd();
    let pid = w.w.until("it runs", |s| s.state("steady") == "RUNNING").pid("steady");
    let records = runtime(&w.w).join("records");
    let before = Process::open(pid).unwrap();
    fs::set_permissions(&records, fs::Permissions::from_mode(0o000)).unwrap();
    let w = &w.w;
    let daemon = daemon_process(w);
    assert!(daemon.kill());
    until_another(w, daemon.pid);
    // The keeper holds them open.
    assert_eq!(w.until("it runs", |s| s.state("steady") == "RUNNING").pid("steady"), before.pid);
}

/// A small file system of its own; taken away at the end.
struct Tmpfs(PathBuf);

impl Tmpfs {
    fn mount(path: PathBuf, size: &str) -> Tmpfs {
        supers_testkit::need_root();
        let done = std::process::Command::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=700"), "none"])
            .arg(&path)
            .status();
        assert!(done.is_ok_and(|s| s.success()), "a tmpfs can be mounted at {}", path.display());
        Tmpfs(path)
    }
}

impl Drop for Tmpfs {
    fn drop(&mut self) {
        let _ = std::process::Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

/// Goes on with a runtime folder that takes nothing any more.
fn takes_nothing(spoil: impl Fn(&Path), mend: impl Fn(&Path)) {
    let mut w = world();
    let tmpfs = Tmpfs::mount(w.path("run"), "600k");
    unit(&w, "steady", &noted(&w, "steady", "print up wait"), "Restart=always\nRestartSec=50ms");
    let words = noted(&w, "loop", "sleep 40ms exit 1");
    unit(&w, "loop", &words, "Restart=always\nRestartSec=10ms\n[Unit]\nStartLimitIntervalSec=0");
    unit(&w, "tired", "wait", "");
    w.superd();
    until_printed(&w, "steady", "up");
    let steady = process(&w, "steady");
    spoil(&tmpfs.0);
    w.until_fact("it is told", || {
        let notices = daemon_view(&w)?["notices"].to_string();
        notices.contains("state cannot be written to the runtime folder").then_some(())
    });
    for _ in 0..2 {
        w.supers_ok(&["stop", "tired"]);
        crash(&w);
        assert_eq!(w.status().state("tired"), "STOPPED");
        assert_eq!(w.status().pid("steady"), steady.pid);
        runs_once(&w, "spoiled");
        w.supers_ok(&["start", "tired"]);
    }
    mend(&tmpfs.0);
    crash(&w);
    runs_once(&w, "mended");
    let before = w.supers(&["stop", "loop"]);
    assert_eq!(before.code, 0, "{before:?}");
    let before = w.status();
    crash(&w);
    assert_eq!(essences(&w.status()), essences(&before));
    let deadline = w.deadline();
    assert_eq!(w.daemon().stop(deadline), 0);
    drop(w);
}

#[test]
fn a_full_runtime_folder() {
    let fill = |folder: &Path| {
        let mut file = fs::File::create(folder.join("filler")).unwrap();
        while std::io::Write::write_all(&mut file, &[1; 512]).is_ok() {}
    };
    takes_nothing(fill, |folder| fs::remove_file(folder.join("filler")).unwrap());
}

#[test]
fn a_read_only_runtime_folder() {
    let mut w = crate::common::Unprivileged::new();
    w.unit("steady", "print up wait");
    w.superd();
    let w = &w.w;
    let steady = process(w, "steady");
    let folder = runtime(w);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o500)).unwrap();
    crash(w);
    assert_eq!(w.status().pid("steady"), steady.pid);
    w.supers_ok(&["restart", "steady"]);
    w.until_fact("its output is stored", || (log(w, "steady") == "up\nup\n").then_some(()));
    let again = w.status().pid("steady");
    assert_ne!(again, steady.pid);
    crash(w);
    assert_eq!(w.status().pid("steady"), again);
    fs::set_permissions(&folder, fs::Permissions::from_mode(0o700)).unwrap();
}
