//! `superd`: its options, where it looks, who may run it twice, and how it goes to the background.

use crate::common::{bare, environment, log, must_end, process, start_superd, unit, until_state, world};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use supers_testkit::{Process, World};

/// `superd` or `supers` without `-c` and without `--root`.
fn superd(w: &World, args: &[&str]) -> Command {
    bare(w, Path::new(env!("CARGO_BIN_EXE_superd")), args)
}

fn supers(w: &World, args: &[&str]) -> Command {
    bare(w, Path::new(env!("CARGO_BIN_EXE_supers")), args)
}

/// The one runtime folder of this world.
fn runtime(w: &World) -> PathBuf {
    let mut folders: Vec<PathBuf> =
        fs::read_dir(w.runtime_base()).unwrap().map(|e| e.unwrap().path()).collect();
    assert_eq!(folders.len(), 1, "{folders:?}");
    folders.remove(0)
}

#[test]
fn t_checks_and_starts_nothing() {
    let mut w = world();
    let ran = w.path("ran").display().to_string();
    unit(&w, "good", &format!("touch {ran}"), "");
    let end = w.superd_ends(&["-t"]);
    assert_eq!(end.code, 0, "{end:?}");
    assert_eq!(
        w.normal(&end.stdout),
        "configuration is good: using the folder ROOT/units, named with -c (1 units)\n"
    );
    unit(&w, "bad", "wait", "RestartSec=soon\nRestrat=no");
    let end = w.superd_ends(&["-t"]);
    assert_eq!(end.code, 2, "{end:?}");
    for text in [
        "bad.service:3:12: error:",
        "bad.service:4:1: warning: unknown key `Restrat`",
        "did you mean `Restart`?",
        "configuration is broken",
    ] {
        assert!(end.stdout.contains(text), "{text}: {end:?}");
    }
    assert!(!w.path("ran").exists() && !w.runtime_base().exists(), "nothing was started or made");
}

#[test]
fn d_returns_when_all_is_ready_and_lets_go_of_the_terminal() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    // The test reads the launcher's output to its end: somebody who kept it open would hang here.
    let end = w.superd_ends(&["-d"]);
    assert_eq!((end.code, end.stderr.as_str()), (0, ""), "{end:?}");
    let pid: i32 = w.supers_ok(&["pid"]).trim().parse().unwrap();
    let keeper = Process::open(pid).unwrap();
    let web = process(&w, "web");
    let stdout = fs::read_link(format!("/proc/{pid}/fd/1")).unwrap();
    assert_eq!(stdout, Path::new("/dev/null"));
    let again = w.superd_ends(&["-d"]);
    assert_eq!(again.code, 1, "{again:?}");
    assert!(
        again.stderr.contains(&format!("another superd (pid {pid}) runs this configuration already")),
        "{again:?}"
    );
    w.supers_ok(&["shutdown"]);
    must_end(&w, &keeper);
    must_end(&w, &web);
}

#[test]
fn d_fails_with_the_reason() {
    let mut w = world();
    w.ini("[supervisord]\nloglevel=loud\n[program:a]\ncommand=/bin/true\n");
    let end = w.superd_ends(&["-d"]);
    assert_eq!(end.code, 2, "{end:?}");
    assert!(end.stderr.contains("supervisord.conf:2:10: error:"), "{end:?}");
    assert!(end.stderr.contains("nothing was started"), "{end:?}");
    assert_eq!(w.supers(&["status"]).code, 7);
    // The same in the foreground.
    let end = w.superd_ends(&["-n"]);
    assert_eq!(end.code, 2, "{end:?}");
}

#[test]
fn one_daemon_a_configuration() {
    for args in [&[][..], &["--no-keeper"]] {
        let mut w = world();
        unit(&w, "web", "wait", "");
        w.superd_with(args);
        let (pid, web) = (w.daemon().pid(), process(&w, "web"));
        let second = w.superd_ends(args);
        assert_eq!(second.code, 1, "{second:?}");
        let said = format!("another superd (pid {pid}) runs this configuration already: using the folder ");
        assert!(second.stderr.contains(&said), "{second:?}");
        assert!(second.stderr.contains(" shutdown` ends it"), "{second:?}");
        // By another path to the same folder, too.
        std::os::unix::fs::symlink(w.units(), w.path("link")).unwrap();
        let link = w.path("link").display().to_string();
        assert_eq!(w.superd_ends(&[&["-c", &link], args].concat()).code, 1);
        assert_eq!((w.status().pid("web"), web.lives()), (web.pid, true), "the first is not disturbed");
    }
}

#[test]
fn two_configurations_live_side_by_side() {
    let mut w = world();
    unit(&w, "one", "wait", "");
    w.write("second/two.service", &format!("[Service]\nExecStart={} wait\n", w.actor().display()));
    w.superd();
    let first = process(&w, "one");
    w.use_config(w.path("second"));
    w.superd();
    let now = w.until("the second runs", |s| s.state("two") == "RUNNING");
    assert_eq!((now.0.len(), first.lives()), (1, true));
}

#[test]
fn no_configuration_anywhere() {
    let w = world();
    let root = w.path("empty").display().to_string();
    let end = w.run(superd(&w, &["--root", &root]));
    assert_eq!(end.code, 2, "{end:?}");
    assert!(end.stderr.contains("no configuration found; looked at "), "{end:?}");
    assert!(end.stderr.contains(&format!("{root}/etc/super")), "{end:?}");
    let end = w.run(superd(&w, &["-c", "/no/such/folder"]));
    assert_eq!((end.code, end.stderr.as_str()), (2, "superd: could not find config file /no/such/folder\n"));
    assert_eq!(w.run(superd(&w, &["--nonsense"])).code, 2);
    assert_eq!(w.run(superd(&w, &["--version"])).code, 0);
}

#[test]
fn root_goes_before_the_default_places() {
    let mut w = world();
    let a = w.actor().display().to_string();
    w.write("etc/super/web.service", &format!("[Service]\nExecStart={a} print hello wait\n"));
    w.write("etc/super/superd.conf", &format!("[program:ini]\ncommand={a} wait\n"));
    w.write("etc/super/more.conf", &format!("[program:more]\ncommand={a} wait\n"));
    let root = w.root().display().to_string();
    let command = superd(&w, &["--root", &root]);
    start_superd(&mut w, command);
    let at = |args: &[&str]| w.run(supers(&w, &[&["--root", &root], args].concat()));
    w.until_fact("all run", || {
        let rows = at(&["status"]).stdout;
        (rows.matches("RUNNING").count() == 3).then_some(())
    });
    let version = at(&["version"]).stdout;
    let why = format!("configuration: using the folder {root}/etc/super, the default place\n");
    assert!(version.ends_with(&why), "{version}");
    assert_eq!(w.read("etc/super/logs/web/web.log"), "hello\n");
    assert_eq!(at(&["logs", "web"]).stdout, "hello\n");
    assert!(runtime(&w).starts_with(w.path("run/super")));
}

#[test]
fn an_empty_folder_hides_no_file() {
    let mut w = world();
    let a = w.actor().display().to_string();
    fs::create_dir_all(w.path("etc/super")).unwrap();
    w.write(
        "etc/supervisord.conf",
        &format!(
            "[supervisord]\nlogfile={0}/d.log\npidfile={0}/d.pid\n[program:x]\ncommand={a} wait\n",
            w.root().display()
        ),
    );
    let root = w.root().display().to_string();
    let command = superd(&w, &["--root", &root]);
    let daemon = start_superd(&mut w, command);
    let said = daemon.log();
    let pid = daemon.pid();
    assert!(
        said.contains(&format!(
            "using the file {root}/etc/supervisord.conf, found in the search order; {root}/etc/super is empty"
        )),
        "{said}"
    );
    assert_eq!(w.read("d.pid"), format!("{pid}\n"));
}

#[test]
fn another_user_uses_his_own_folder() {
    let mut u = crate::common::Unprivileged::new();
    let unit = format!("[Service]\nExecStart={} print mine wait\n", u.w.path("bin/actor").display());
    u.w.write("home/.config/super/own.service", &unit);
    let mut command = u.command(&[]);
    let words: Vec<String> = command.get_args().map(|a| a.to_string_lossy().into_owned()).collect();
    let upto = words.iter().position(|a| a == "-c").unwrap();
    let env: Vec<_> = [("HOME", u.w.path("home")), ("XDG_RUNTIME_DIR", u.w.path("run"))].into();
    command = bare(&u.w, &supers_testkit::need_tool("setpriv", "util-linux"), &[]);
    command.args(&words[..upto]).envs(env.clone());
    start_superd(&mut u.w, command);
    // As that user, too: his places are not root's.
    let mut status = bare(&u.w, &supers_testkit::need_tool("setpriv", "util-linux"), &[]);
    let superd = u.w.path("bin/superd");
    status.args(&words[..upto - 1]).arg(superd).arg("ctl").arg("logs").arg("own").envs(env);
    u.w.until_fact("it printed", || {
        Some(()).filter(|()| u.w.read("home/.config/super/logs/own/own.log") == "mine\n")
    });
    let end = u.w.run(status);
    assert_eq!((end.code, end.stdout.as_str()), (0, "mine\n"), "{end:?}");
    assert!(u.w.path("run/super").is_dir(), "the runtime folder is where the session says");
}

#[test]
fn as_supervisord_is_strict_where_superd_is_not() {
    let mut w = world();
    w.ini("[supervisord]\nlogfile={root}/d.log\npidfile={root}/d.pid\n[program:good]\ncommand={actor} wait\n[program:bad]\ncommand={actor} wait\nautorestart=perhaps\n");
    let strict = w.superd_ends(&["--as", "supervisord"]);
    assert_eq!(strict.code, 2, "{strict:?}");
    assert!(strict.stderr.contains("supervisord.conf:8:13: error:"), "{strict:?}");
    assert_eq!(w.supers(&["status"]).code, 7);
    w.superd();
    let now = w.until("the good one runs", |s| s.state("good") == "RUNNING");
    assert_eq!(now.state("bad"), "FATAL");
    assert!(now.reason("bad").starts_with("refused: "), "{}", now.reason("bad"));
    assert_eq!(w.superd_ends(&["--as", "somebody"]).code, 2);
}

#[test]
fn the_name_supervisord_means_the_same() {
    let mut w = world();
    w.ini("[supervisord]\nlogfile={root}/d.log\npidfile={root}/d.pid\n[program:bad]\ncommand={actor} wait\nautorestart=perhaps\n");
    let link = w.path("supervisord");
    std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_superd"), &link).unwrap();
    let conf = w.path("supervisord.conf").display().to_string();
    let root = w.root().display().to_string();
    let end = w.run(bare(&w, &link, &["-n", "-c", &conf, "--root", &root]));
    assert_eq!(end.code, 2, "{end:?}");
}

#[test]
fn the_pid_file_names_the_pid_that_counts() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    let daemon = w.superd();
    let (pid, below) = (daemon.pid(), daemon.daemon_pid());
    assert_ne!(pid, below, "a keeper and a daemon");
    let dir = runtime(&w);
    assert_eq!(fs::read_to_string(dir.join("superd.pid")).unwrap(), format!("{pid}\n"));
    let comm = |pid: i32| Process::open(pid).unwrap().comm();
    assert_eq!((comm(pid).as_str(), comm(below).as_str()), ("super-keeper", "superd"));
    let deadline = w.deadline();
    assert_eq!(w.daemon().stop(deadline), 0);
    assert!(!dir.join("superd.pid").exists() && !dir.join("super.sock").exists());
}

#[test]
fn the_runtime_folder_and_the_socket_are_private() {
    let mut w = world();
    w.superd();
    let dir = runtime(&w);
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir), 0o700);
    assert_eq!(mode(&dir.join("super.sock")), 0o700);
    // Another user is told so, and what to do.
    let bin = w.path("supers");
    fs::copy(env!("CARGO_BIN_EXE_supers"), &bin).unwrap();
    let inner = w.command_supers(&["status"]);
    let mut command = bare(
        &w,
        &supers_testkit::need_tool("setpriv", "util-linux"),
        &["--reuid=65534", "--regid=65534", "--clear-groups", "--"],
    );
    command.arg(bin).args(inner.get_args());
    let end = w.run(command);
    assert_eq!(end.code, 7, "{end:?}");
    assert!(end.stderr.contains("sudo supers"), "{end:?}");
}

#[test]
fn one_unit_file_is_a_configuration_too() {
    let mut w = world();
    let path = unit(&w, "only", "wait", "");
    unit(&w, "other", "wait", "");
    w.use_config(path);
    // The daemon's own log lands in the working folder, which is the world's root.
    w.superd();
    until_state(&w, "only", "RUNNING");
    assert_eq!(w.status().0.len(), 1);
}

#[test]
fn without_a_keeper_there_is_one_process() {
    let mut w = world();
    unit(&w, "web", "print up wait", "");
    assert_eq!(w.superd_ends(&["--no-keeper", "-d"]).code, 2, "-d needs the keeper");
    w.superd_with(&["--no-keeper"]);
    let web = process(&w, "web");
    let (pid, below) = (w.daemon().pid(), w.daemon().daemon_pid());
    assert_eq!(pid, below);
    let v: serde_json::Value = serde_json::from_str(&w.supers_ok(&["version", "--json"])).unwrap();
    assert_eq!(
        (&v["daemon"]["pid"], &v["daemon"]["daemon_pid"], &v["daemon"]["starts"]),
        (&pid.into(), &pid.into(), &0.into())
    );
    assert!(environment(web.pid).iter().all(|v| !v.starts_with("SUPERS_")));
    let deadline = w.deadline();
    assert_eq!(w.daemon().stop(deadline), 0);
    assert!(!web.lives());
    assert_eq!(log(&w, "web"), "up\n");
}
