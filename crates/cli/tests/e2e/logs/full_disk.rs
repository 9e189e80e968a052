//! A full disk under a log: who writes waits, everybody hears of it, nothing is lost.

use super::{fresh, same_text, spewed};
use std::path::{Path, PathBuf};
use std::process::Command;
use supers_testkit::{World, need_root};

/// A file system of 256 KiB, gone with the test.
struct Small(PathBuf);

impl Small {
    fn mount(world: &World) -> Small {
        let path = world.path("small");
        std::fs::create_dir(&path).unwrap();
        let mut mount = Command::new("mount");
        mount.args(["-t", "tmpfs", "-o", "size=256k", "tmpfs"]).arg(&path);
        let end = world.run(mount);
        assert_eq!(end.code, 0, "this test mounts a small tmpfs, which needs the right to do so: {end:?}");
        Small(path)
    }

    /// Leaves this much room, at most.
    fn fill(&self, room: usize) {
        match std::fs::write(self.0.join("ballast"), vec![0; (256 << 10) - room]) {
            Err(e) if e.kind() != std::io::ErrorKind::StorageFull => panic!("{e}"),
            _ => {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("ballast")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = Command::new("umount").arg("-l").arg(&self.0).status();
    }
}

fn exists(path: &Path) -> Option<()> {
    path.exists().then_some(())
}

#[test]
fn the_writer_waits_and_goes_on() {
    need_root();
    let mut world = fresh();
    let small = Small::mount(&world);
    small.fill(32 << 10);
    // More than the room and the pipe together.
    world.ini(
        "[program:writer]\ncommand={actor} wait-file {root}/go spew 192KiB touch {root}/through wait\nstartsecs=0\n\
         stdout_logfile={root}/small/writer.log\n\
         [program:other]\ncommand={actor} wait-file {root}/blocked print fine wait\nstartsecs=0\n\
         stdout_logfile={root}/other.log\n",
    );
    world.superd();
    world.until("both run", |s| s.state("writer") == "RUNNING" && s.state("other") == "RUNNING");
    world.write("go", "");
    let log = world.until_fact("the trouble is told", || {
        Some(world.read("supervisord.log")).filter(|log| log.contains("its output waits"))
    });
    let path = world.path("small/writer.log").display().to_string();
    assert!(log.contains(&format!("ERRO {path}: No space left on device; its output waits")), "{log}");
    let end = world.supers(&["status"]);
    assert!(end.stderr.contains(&format!("note: {path}: No space left on device")), "{end:?}");
    // The others are not concerned.
    world.write("blocked", "");
    world.until_fact("the other writes", || (world.read("other.log") == "fine\n").then_some(()));
    assert!(!world.path("through").exists(), "the writer waits");
    assert_eq!(world.status().state("writer"), "RUNNING");

    small.free();
    world.until_fact("it goes on", || exists(&world.path("through")));
    let expected = spewed(192 << 10);
    world.until_fact("all of it", || (world.read("small/writer.log").len() >= expected.len()).then_some(()));
    same_text(&world.read("small/writer.log"), &expected);
    world.until_fact("the end of the trouble is told", || {
        world.read("supervisord.log").contains(&format!("{path}: output is written again")).then_some(())
    });
    assert!(!world.supers(&["status"]).stderr.contains("No space left"));
}

#[test]
fn a_full_disk_stops_neither_a_stop_nor_the_end() {
    need_root();
    let mut world = fresh();
    let small = Small::mount(&world);
    small.fill(16 << 10);
    world.ini(
        "[program:writer]\ncommand={actor} spew 1MiB wait\nstartsecs=0\nstdout_logfile={root}/small/writer.log\n",
    );
    world.superd();
    world.until_fact("the trouble is told", || {
        world.read("supervisord.log").contains("its output waits").then_some(())
    });
    world.supers_ok(&["stop", "writer"]);
    assert_eq!(world.status().state("writer"), "STOPPED");
    // What waits in the pipe is stored when there is room.
    small.free();
    world.until_fact("the rest", || (world.read("small/writer.log").len() > 64 << 10).then_some(()));
    let found = world.read("small/writer.log");
    same_text(&found, &spewed(1 << 20)[..found.len()]);

    small.fill(0);
    world.supers(&["start", "--no-wait", "writer"]);
    let deadline = world.deadline();
    assert_eq!(world.daemon().stop(deadline), 0);
}
