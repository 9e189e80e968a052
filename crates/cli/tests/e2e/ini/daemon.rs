//! The main section: main log, pid file, limits, signals (supervisor-contract 1 and 4).

use super::{fresh, said, until_text, world};
use std::os::unix::fs::PermissionsExt;
use std::process::Command;
use supers_testkit::{free_port, need_root};

#[test]
fn main_log_and_pid_file_where_they_are_wanted() {
    let mut world = fresh();
    world.write("var/keep", "");
    world.ini(
        "[supervisord]\nlogfile=%(here)s/var/main.log\npidfile=%(here)s/var/main.pid\n\
         [program:a]\ncommand={actor} wait\nstartsecs=0\n",
    );
    world.superd();
    let pid = world.daemon().pid();
    assert_eq!(world.read("var/main.pid"), format!("{pid}\n"));
    let log = until_text(&world, "var/main.log", "success: a entered RUNNING state");
    let started = log.lines().find(|l| l.ends_with(&format!("INFO supervisord started with pid {pid}")));
    let shape: String =
        started.unwrap()[..23].chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
    assert_eq!(shape, "9999-99-99 99:99:99,999");
    assert!(!world.path("supervisord.log").exists() && !world.path("supervisord.pid").exists());

    let deadline = world.deadline();
    assert_eq!(world.daemon().stop(deadline), 0);
    assert!(!world.path("var/main.pid").exists());
    assert!(world.read("var/main.log").contains("stopped: a (terminated by SIGTERM)"));
}

#[test]
fn levels_and_rotation_of_the_main_log() {
    let mut world = fresh();
    world.ini(
        "[supervisord]\nloglevel=warn\nlogfile_maxbytes=300\nlogfile_backups=2\n\
         [program:a]\ncommand={actor} exit 3\nstartsecs=0\nautorestart=false\n",
    );
    world.superd();
    for _ in 0..12 {
        world.until("a ended", |s| s.state("a") == "EXITED");
        // It may be over before the start is answered.
        world.supers(&["start", "a"]);
    }
    world.until("a ended", |s| s.state("a") == "EXITED");
    let all = ["supervisord.log.2", "supervisord.log.1", "supervisord.log"].map(|f| world.read(f));
    assert!(!all[0].is_empty() && !world.path("supervisord.log.3").exists());
    for text in &all {
        assert!(
            text.len() < 400 && !text.contains("INFO") && (text.is_empty() || text.ends_with('\n')),
            "{text}"
        );
    }
    assert!(all.concat().contains("WARN exited: a (exit status 3; not expected)"), "{all:?}");
}

#[test]
fn silent_and_usr2() {
    let mut world = world("[supervisord]\nsilent=true\n[program:a]\ncommand={actor} wait\nstartsecs=0\n");
    world.until("a runs", |s| s.state("a") == "RUNNING");
    assert!(!world.logs().contains("spawned: 'a'"), "{}", world.logs());
    said(&world, "(startsecs)");
    std::fs::rename(world.path("supervisord.log"), world.path("moved.log")).unwrap();
    world.daemon().signal(12);
    until_text(&world, "supervisord.log", "");
    world.supers_ok(&["stop", "a"]);
    until_text(&world, "supervisord.log", "stopped: a (terminated by SIGTERM)");
    assert!(!world.read("moved.log").contains("stopped: a"));
    assert!(world.read("moved.log").contains("INFO received SIGUSR2 indicating log reopen request"));
}

#[test]
fn minfds_raises_the_limit_or_refuses() {
    let mut world = fresh();
    world.ini("[supervisord]\nminfds=2000\n[program:a]\ncommand={actor} limits print end wait\nstdout_logfile={root}/a.log\n");
    let superd = world.command_superd(&[]);
    let mut shell = Command::new("/bin/sh");
    shell
        .args(["-c", "ulimit -Sn 512 && exec \"$0\" \"$@\""])
        .arg(superd.get_program())
        .args(superd.get_args());
    shell.env_clear().envs(superd.get_envs().filter_map(|(k, v)| Some((k, v?)))).current_dir(world.root());
    let deadline = world.deadline();
    world.adopt(shell).wait_line("superd ready", deadline);
    let text = until_text(&world, "a.log", "end\n");
    let line = text.lines().find(|l| l.starts_with("Max open files")).unwrap();
    let soft: u64 = line.split_whitespace().nth(3).unwrap().parse().unwrap();
    assert!(soft >= 2000, "{line}");

    let mut world = fresh();
    world.ini("[supervisord]\nminfds=4000000000\n");
    let end = world.superd_ends(&[]);
    assert_eq!(end.code, 2, "{end:?}");
    assert!(end.stderr.contains("minfds"), "{end:?}");
}

#[test]
fn umask_of_the_daemon_counts_in_the_background_only() {
    let text = "[supervisord]\numask=077\n[program:a]\ncommand={actor} umask cwd print end wait\nstdout_logfile={root}/a.log\n";
    let foreground = world(text);
    assert!(until_text(&foreground, "a.log", "end\n").starts_with("umask 0022\n"));
    drop(foreground);

    let mut world = fresh();
    world.write("work/keep", "");
    world.ini(&text.replace("umask=077", "umask=077\ndirectory={root}/work"));
    let end = world.superd_ends(&["-d"]);
    assert_eq!(end.code, 0, "{end:?}");
    let expected = format!("umask 0077\ncwd {}/work\nend\n", world.root().display());
    assert_eq!(until_text(&world, "a.log", "end\n"), expected);
    world.supers_ok(&["shutdown"]);
}

#[test]
fn sockets_of_both_kinds_answer() {
    let mut world = fresh();
    let port = free_port();
    world.ini(&format!(
        "[unix_http_server]\nfile={{root}}/own.sock\nchmod=0770\n\
         [inet_http_server]\nport=127.0.0.1:{port}\n\
         [program:a]\ncommand={{actor}} wait\nstartsecs=0\n"
    ));
    world.superd();
    world.until("a runs", |s| s.state("a") == "RUNNING");
    let mode = std::os::unix::fs::PermissionsExt::mode(
        &std::fs::metadata(world.path("own.sock")).unwrap().permissions(),
    );
    assert_eq!(mode & 0o777, 0o770);
    for url in [format!("unix://{}/own.sock", world.root().display()), format!("http://127.0.0.1:{port}")] {
        let text = world.supers_ok(&["-s", &url, "status"]);
        assert!(text.contains("RUNNING"), "{url}: {text}");
    }
    let deadline = world.deadline();
    assert_eq!(world.daemon().stop(deadline), 0);
    assert!(!world.path("own.sock").exists());
}

/// The daemon and all programs are that user; only the keeper stays what it was started as.
#[test]
fn user_of_the_main_section() {
    need_root();
    let mut world = fresh();
    world.write("secret", "#!/bin/true\n");
    std::fs::set_permissions(world.path("secret"), PermissionsExt::from_mode(0o700)).unwrap();
    std::fs::set_permissions(world.root(), PermissionsExt::from_mode(0o777)).unwrap();
    std::fs::set_permissions(world.path("run"), PermissionsExt::from_mode(0o755)).unwrap();
    world.ini(
        "[supervisord]\nuser=nobody\n\
         [program:a]\ncommand={actor} ids print end wait\nstartsecs=0\nstdout_logfile={root}/a.log\n\
         [program:same]\ncommand={actor} wait\nstartsecs=0\nuser=nobody\n\
         [program:root]\ncommand={actor} wait\nstartretries=0\nuser=root\n\
         [program:secret]\ncommand={root}/secret\nstartretries=0\n",
    );
    world.superd();
    assert!(until_text(&world, "a.log", "end\n").starts_with("uid 65534 gid 65534 groups 65534\n"));
    let s = world.until("the others have their fate", |s| {
        s.state("same") == "RUNNING" && s.state("root") == "FATAL" && s.state("secret") == "FATAL"
    });
    let no = format!("no permission to run command '{}/secret'", world.root().display());
    assert!(s.reason("secret").ends_with(&no), "{}", s.reason("secret"));
    assert!(
        s.reason("root").ends_with("become user root: superd does not run as root"),
        "{}",
        s.reason("root")
    );
    let daemon = world.daemon().daemon_pid();
    let status = std::fs::read_to_string(format!("/proc/{daemon}/status")).unwrap();
    assert!(status.contains("Uid:\t65534\t65534\t65534"), "{status}");
    world.supers_ok(&["restart", "same"]);
    let deadline = world.deadline();
    assert_eq!(world.daemon().stop(deadline), 0);
    // What it left is no hindrance for the next one.
    world.superd();
    world.until("it runs again", |s| s.state("same") == "RUNNING");
}

#[test]
fn a_long_shutdown_says_for_whom_it_waits() {
    let mut world = world(
        "[program:a]\ncommand={actor} ignore TERM print up wait\nstopwaitsecs=4\nstdout_logfile={root}/a.log\n",
    );
    until_text(&world, "a.log", "up\n");
    let deadline = world.deadline();
    assert_eq!(world.daemon().stop(deadline), 0);
    said(&world, "INFO waiting for a to die");
}
