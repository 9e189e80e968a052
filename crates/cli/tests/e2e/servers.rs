//! Debian's own redis-server and nginx, from INI files and from unit files.

mod nginx;
mod redis;

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;
use supers_testkit::{Process, World};

/// A program of the INI dialect, or a unit: the two ways to the same server.
#[derive(Clone, Copy)]
enum Way {
    Ini,
    Unit,
}

/// The user and group numbers of a system user.
fn ids(world: &World, user: &str) -> (u32, u32) {
    let id = |flag: &str| {
        let mut command = Command::new("id");
        command.args([flag, user]);
        let end = world.run(command);
        end.stdout.trim().parse().unwrap_or_else(|_| panic!("{user} is no user here: {end:?}"))
    };
    (id("-u"), id("-g"))
}

/// A folder below the root that belongs to this user.
fn folder_of(world: &World, name: &str, user: &str) -> PathBuf {
    let path = world.path(name);
    fs::create_dir_all(&path).unwrap();
    let (uid, gid) = ids(world, user);
    std::os::unix::fs::chown(&path, Some(uid), Some(gid)).unwrap();
    path
}

/// The effective user of a process; `None` when it is gone.
fn user_of(pid: i32) -> Option<u32> {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).ok()?;
    let line = status.lines().find(|l| l.starts_with("Uid:"))?;
    line.split_whitespace().nth(2)?.parse().ok()
}

/// Says something to a server and reads until it closes, or until `enough`.
fn ask(port: u16, words: &str, enough: &str) -> Option<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    stream.write_all(words.as_bytes()).ok()?;
    let mut answer = Vec::new();
    let mut buffer = [0; 4096];
    while !String::from_utf8_lossy(&answer).contains(enough) {
        match stream.read(&mut buffer) {
            Ok(n) if n > 0 => answer.extend(&buffer[..n]),
            _ => break,
        }
    }
    Some(String::from_utf8_lossy(&answer).into_owned())
}

/// Waits until the program runs; its process.
fn running(world: &World, name: &str) -> Process {
    let pid = world.until(&format!("{name} runs"), |s| s.state(name) == "RUNNING").pid(name);
    Process::open(pid).unwrap()
}

/// Adds a program, or a unit, and reloads: the server must not notice.
fn reload_something_else(world: &mut World, way: Way, server: &Process, name: &str) {
    match way {
        Way::Ini => {
            let text = world.read("supervisord.conf");
            world.ini(&format!("{text}\n[program:new]\ncommand={{actor}} wait\nstartsecs=0\n"));
        }
        Way::Unit => {
            let actor = world.actor().display().to_string();
            world.unit("new", &format!("[Service]\nExecStart={actor} wait\n"));
        }
    }
    let plan = world.supers_ok(&["reload"]);
    assert!(plan.contains("1 unchanged"), "{plan}");
    let s = world.until("the new one runs", |s| s.state("new") == "RUNNING");
    assert_eq!(s.pid(name), server.pid);
    assert!(server.lives());
}
