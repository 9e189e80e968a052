//! The HTTP API of a running daemon: over the socket, over a configured port, over the default one.

use crate::common::{
    Reply, Unprivileged, ask, ask_over, process, start_superd, unit, until_printed, world, wrapped,
};
use serde_json::Value;
use std::fs;
use std::os::unix::net::UnixStream;
use std::process::Command;
use supers_testkit::{World, free_port, need_root};

/// The port of a unit folder where nothing else is said.
const USUAL: u16 = 10405;

fn json(reply: &Reply) -> Value {
    serde_json::from_str(&reply.body).unwrap_or_else(|e| panic!("{e}: {reply:?}"))
}

fn kind(reply: &Reply) -> (u16, String) {
    (reply.status, json(reply)["error"]["kind"].as_str().unwrap_or_default().to_string())
}

/// One request over the control socket.
fn over_socket(w: &World, first: &str) -> Reply {
    let folder = fs::read_dir(w.runtime_base()).unwrap().next().unwrap().unwrap().path();
    let stream = UnixStream::connect(folder.join("super.sock")).expect("the socket");
    ask_over(stream, first, &["Content-Length: 0"]).expect("an answer")
}

#[test]
fn what_one_program_uses() {
    let mut w = world();
    unit(&w, "web", "print up wait", "");
    w.superd();
    until_printed(&w, "web", "up");
    let usage = &json(&over_socket(&w, "GET /api/v1/programs/web"))["usage"];
    let line = w.supers_ok(&["status", "web"]);
    let version = w.supers_ok(&["version"]);
    if version.contains("kept together by: cgroup") {
        assert_eq!(usage["tasks"], 1, "{usage}");
        assert!(line.contains("\nuses: 1 task"), "{line}");
        assert_eq!(usage["cpu_ms"].is_u64(), version.contains("cgroup v2"), "{usage}");
    } else {
        assert!(usage.is_null() && !line.contains("uses"), "{usage} {line}");
    }
    w.supers_ok(&["stop", "web"]);
    assert!(json(&over_socket(&w, "GET /api/v1/programs/web"))["usage"].is_null(), "nothing uses anything");
    assert!(!over_socket(&w, "GET /api/v1/status").body.contains("usage"));
}

#[test]
fn everything_over_the_socket() {
    let mut w = world();
    unit(&w, "web", "print hello wait", "ExecReload=/bin/true");
    w.superd();
    until_printed(&w, "web", "hello");
    let pid = process(&w, "web").pid;
    let list = json(&over_socket(&w, "GET /api/v1/programs"));
    let cli: Value = serde_json::from_str(&w.supers_ok(&["status", "--json"])).unwrap();
    let without_clock = |mut rows: Value| {
        rows[0]["uptime_s"] = 0.into();
        rows
    };
    assert_eq!(without_clock(list), without_clock(cli), "the same objects");
    assert_eq!(json(&over_socket(&w, "GET /api/v1/programs/web"))["pid"], pid);
    assert_eq!(over_socket(&w, "GET /api/v1/programs/web/logs").body, "hello\n");
    let stopped = over_socket(&w, "POST /api/v1/programs/web/stop");
    assert_eq!((stopped.status, &json(&stopped)["outcome"]), (200, &"stopped".into()));
    let started = over_socket(&w, "POST /api/v1/programs/web/start");
    assert_eq!(&json(&started)["outcome"], "started");
    let restarted = over_socket(&w, "POST /api/v1/programs/web/restart");
    assert_eq!(&json(&restarted)["outcome"], "restarted");
    assert_ne!(json(&restarted)["pid"], json(&started)["pid"]);
    assert_eq!(&json(&over_socket(&w, "POST /api/v1/programs/web/reload"))["outcome"], "reloaded");
    unit(&w, "new", "wait", "");
    let dry = json(&over_socket(&w, "POST /api/v1/reload?dry_run=1"));
    assert_eq!((&dry["added"][0]["name"], &dry["applied"]), (&"new".into(), &false.into()));
    assert_eq!(json(&over_socket(&w, "POST /api/v1/reload"))["applied"], true);
    process(&w, "new");
    assert_eq!(kind(&over_socket(&w, "GET /api/v1/programs/nope")), (404, "unknown-name".into()));
    let deadline = w.deadline();
    assert_eq!(over_socket(&w, "POST /api/v1/shutdown").status, 202);
    assert_eq!(w.daemon().wait(deadline), 0);
}

#[test]
fn a_configured_port_reads_only_without_a_password() {
    let mut w = world();
    let port = free_port();
    unit(&w, "web", "wait", "");
    w.write("units/superd.conf", &format!("[inet_http_server]\nport=127.0.0.1:{port}\n"));
    w.superd();
    let pid = process(&w, "web").pid;
    let get = |headers: &[&str]| ask(port, "GET /api/v1/programs/web", headers).unwrap();
    assert_eq!(json(&get(&[]))["pid"], pid);
    let stop = ask(port, "POST /api/v1/programs/web/stop", &["Content-Length: 0"]).unwrap();
    assert_eq!(kind(&stop), (403, "read-only".into()));
    assert_eq!(kind(&get(&["Host: evil.example"])), (421, "wrong-host".into()));
    assert_eq!(kind(&get(&["Origin: http://evil.example"])), (403, "cross-site".into()));
    let own = format!("Host: 127.0.0.1:{port}");
    assert_eq!(get(&[&own]).status, 200);
    assert_eq!(w.status().pid("web"), pid, "nothing was stopped");
    // The client can be pointed at it; it reads, and is told why it does not write.
    let url = format!("http://127.0.0.1:{port}");
    assert_eq!(w.supers(&["-s", &url, "status", "web"]).code, 0);
    let refused = w.supers(&["-s", &url, "stop", "web"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert!(refused.stderr.contains("only reads"), "{refused:?}");
}

#[test]
fn a_password_opens_it() {
    let mut w = world();
    let port = free_port();
    unit(&w, "web", "wait", "");
    let text = format!("[inet_http_server]\nport=127.0.0.1:{port}\nusername=bob\npassword=pw\n");
    w.write("units/superd.conf", &text);
    w.superd();
    let web = process(&w, "web");
    let get = |headers: &[&str]| ask(port, "GET /api/v1/programs/web", headers).unwrap();
    assert_eq!(kind(&get(&[])), (401, "unauthorized".into()));
    // bob:no
    assert_eq!(kind(&get(&["Authorization: Basic Ym9iOm5v"])), (401, "unauthorized".into()));
    // bob:pw
    let good = "Authorization: Basic Ym9iOnB3";
    assert_eq!(get(&[good]).status, 200);
    let url = format!("http://127.0.0.1:{port}");
    assert_ne!(w.supers(&["-s", &url, "status"]).code, 0);
    let end = w.supers(&["-s", &url, "-u", "bob", "-p", "pw", "stop", "web"]);
    assert_eq!((end.code, end.stdout.as_str()), (0, "web: stopped\n"), "{end:?}");
    assert!(!web.lives());
}

/// Runs a command in a network of its own, where no port is taken, loopback up.
fn in_own_network(inner: &Command) -> Command {
    need_root();
    wrapped(&["unshare", "--net", "sh", "-c", "ip link set lo up && exec \"$@\"", "sh"], inner)
}

/// Runs a command in the network of this process.
fn in_network_of(pid: i32, inner: &Command) -> Command {
    wrapped(&["nsenter", &format!("--net=/proc/{pid}/ns/net"), "--"], inner)
}

#[test]
fn the_usual_port_of_a_unit_folder_when_root() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    let command = in_own_network(&w.command_superd(&[]));
    let pid = start_superd(&mut w, command).pid();
    process(&w, "web");
    let url = format!("http://127.0.0.1:{USUAL}");
    let client =
        |args: &[&str]| w.run(in_network_of(pid, &w.command_supers(&[&["-s", url.as_str()], args].concat())));
    let status = client(&["status", "web", "--json"]);
    assert_eq!(status.code, 0, "{status:?}");
    assert!(status.stdout.contains("\"RUNNING\""), "{status:?}");
    let stop = client(&["stop", "web"]);
    assert_eq!(stop.code, 1, "{stop:?}");
    assert!(stop.stderr.contains("only reads"), "{stop:?}");
}

#[test]
fn the_usual_port_is_not_opened_when_another_door_is_configured_or_for_a_file() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    let port = free_port();
    w.write("units/superd.conf", &format!("[inet_http_server]\nport=127.0.0.1:{port}\n"));
    let command = in_own_network(&w.command_superd(&[]));
    let pid = start_superd(&mut w, command).pid();
    let at = |port: u16| {
        let url = format!("http://127.0.0.1:{port}");
        w.run(in_network_of(pid, &w.command_supers(&["-s", &url, "status"]))).code
    };
    assert_eq!((at(port), at(USUAL)), (0, 7));

    w.ini("[supervisord]\nlogfile={root}/d.log\npidfile={root}/d.pid\n[program:x]\ncommand={actor} wait\n");
    let command = in_own_network(&w.command_superd(&[]));
    let pid = start_superd(&mut w, command).pid();
    let url = format!("http://127.0.0.1:{USUAL}");
    assert_eq!(w.run(in_network_of(pid, &w.command_supers(&["-s", &url, "status"]))).code, 7);
}

#[test]
fn another_user_gets_no_port_unless_he_asks() {
    let mut u = Unprivileged::new();
    u.unit("web", "wait");
    let command = in_own_network(&u.command(&[]));
    let pid = start_superd(&mut u.w, command).pid();
    process(&u.w, "web");
    let url = format!("http://127.0.0.1:{USUAL}");
    let end = u.w.run(in_network_of(pid, &u.w.command_supers(&["-s", &url, "status"])));
    assert_eq!(end.code, 7, "{end:?}");
    assert_eq!(u.w.supers(&["status"]).stderr, "", "no word about a port that nobody wanted");
}

#[test]
fn a_taken_port_harms_no_program_and_its_holder_is_named() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    let mut actor = Command::new(w.actor());
    actor.args(["serve", &USUAL.to_string()]).env("PATH", "/usr/sbin:/usr/bin:/sbin:/bin");
    let command = in_own_network(&actor);
    let deadline = w.deadline();
    let holder = w.adopt(command);
    holder.wait_line("serving 10405", deadline);
    let pid = holder.pid();
    let command = in_network_of(pid, &w.command_superd(&[]));
    start_superd(&mut w, command);
    process(&w, "web");
    let status = w.supers(&["status"]);
    assert_eq!(status.code, 0, "{status:?}");
    let said = format!("note: no HTTP on 127.0.0.1:10405: the port is held by actor (pid {pid})");
    assert!(status.stderr.contains(&said), "{status:?}");
}

#[test]
fn a_configured_port_that_is_taken_is_said_at_the_start() {
    let mut w = world();
    let held = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = held.local_addr().unwrap().port();
    unit(&w, "web", "wait", "");
    w.write("units/superd.conf", &format!("[inet_http_server]\nport=127.0.0.1:{port}\n"));
    let end = w.superd_ends(&[]);
    assert_eq!(end.code, 2, "{end:?}");
    let text = format!("cannot listen on 127.0.0.1:{port}: the port is held by ");
    assert!(end.stderr.contains(&text), "{end:?}");
    assert!(end.stderr.contains(&format!("(pid {})", std::process::id())), "{end:?}");
}
