//! nginx: a main process with workers, logs by the name /dev/stdout, a reload by HUP.

use super::{Way, ask, folder_of, ids, reload_something_else, running, user_of};
use crate::common::world as fresh;
use std::path::Path;
use std::time::Duration;
use supers_testkit::{Process, World, descendants, free_port, need_root, need_tool};

/// Waits until the server sends this page.
fn page(world: &World, port: u16, text: &str) {
    world.until_fact(&format!("the page {text:?}"), || {
        let answer = ask(port, "GET /page HTTP/1.0\r\n\r\n", "\0")?;
        (answer.starts_with("HTTP/1.1 200 OK") && answer.ends_with(text)).then_some(())
    });
}

/// The main process's workers, held.
fn workers(main: &Process) -> Vec<Process> {
    descendants(main.pid).into_iter().filter_map(Process::open).collect()
}

/// Writes `nginx.conf`; `top` are more lines of its main part.
fn config(world: &World, port: u16, text: &str, top: &str) -> String {
    let data = world.path("data").display().to_string();
    let temp = ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"];
    let temp: String = temp.iter().map(|kind| format!("  {kind}_temp_path {data}/{kind};\n")).collect();
    let text = format!(
        "{top}\nworker_processes 2;\npid {data}/nginx.pid;\nerror_log /dev/stderr notice;\n\
         events {{ worker_connections 64; }}\n\
         http {{\n  access_log /dev/stdout;\n{temp}\
         \x20 server {{ listen 127.0.0.1:{port}; location / {{ return 200 {text}; }} }}\n}}\n"
    );
    world.write("nginx.conf", &text).display().to_string()
}

/// Waits until a log holds this text at least so many times.
fn logged(world: &World, log: &str, text: &str, times: usize) {
    world.until_fact(&format!("{times} times {text:?} in {log}"), || {
        (world.read(log).matches(text).count() >= times).then_some(())
    });
}

/// Where requests and messages end up.
struct Logs<'a> {
    access: &'a str,
    error: &'a str,
}

/// Starts, answers, is not touched by a reload of superd.
fn first_half(world: &mut World, way: Way, port: u16, logs: &Logs<'_>) -> Process {
    world.superd();
    let main = running(world, "nginx");
    page(world, port, "one");
    logged(world, logs.access, "GET /page HTTP/1.0", 1);
    logged(world, logs.error, "start worker process", 2);
    reload_something_else(world, way, &main, "nginx");
    main
}

/// It is back after its main process was killed; then the ordered end.
fn second_half(world: &mut World, port: u16, logs: &Logs<'_>, text: &str, before: &Process) {
    let before = before.pid;
    world.until("it is back", |s| s.state("nginx") == "RUNNING" && s.pid("nginx") != before);
    page(world, port, text);
    let main = running(world, "nginx");
    let below = world.until_fact("its workers", || Some(workers(&main)).filter(|w| w.len() == 2));
    world.supers_ok(&["stop", "nginx"]);
    assert!(main.wait(Duration::ZERO));
    assert!(below.iter().all(|w| w.wait(Duration::from_secs(5))), "a worker was left");
    let s = world.status();
    assert_eq!((s.state("nginx"), &s.get("nginx")["exit"]), ("STOPPED", &0.into()));
    assert!(world.read(logs.error).contains("gracefully shutting down"), "{}", world.read(logs.error));

    world.supers_ok(&["start", "nginx"]);
    page(world, port, text);
    let main = running(world, "nginx");
    let deadline = world.deadline();
    assert_eq!(world.daemon().stop(deadline), 0);
    assert!(main.wait(Duration::ZERO));
}

fn nginx() -> String {
    need_root();
    need_tool("nginx", "nginx-light").display().to_string()
}

#[test]
fn from_an_ini_file_as_an_ordinary_user() {
    let server = nginx();
    let (mut world, port) = (fresh(), free_port());
    folder_of(&world, "data", "www-data");
    let config = config(&world, port, "one", "");
    world.ini(&format!(
        "[program:nginx]\ncommand={server} -e stderr -c {config} -g 'daemon off;'\nuser=www-data\nautorestart=true\n\
         stopsignal=QUIT\nstopwaitsecs=10\nstdout_logfile={{root}}/access.log\nstderr_logfile={{root}}/error.log\n"
    ));
    let logs = Logs { access: "access.log", error: "error.log" };
    let main = first_half(&mut world, Way::Ini, port, &logs);
    let below = workers(&main);
    let www_data = ids(&world, "www-data").0;
    assert!(below.len() == 2 && below.iter().chain([&main]).all(|p| user_of(p.pid) == Some(www_data)));
    // Without its main process nobody ends the workers here (supervisor-contract 5), which hold the port.
    main.kill();
    assert!(below.iter().all(Process::kill));
    second_half(&mut world, port, &logs, "one", &main);
}

#[test]
fn from_a_unit_file_with_a_reload_of_its_own() {
    let server = nginx();
    let kill = need_tool("kill", "procps").display().to_string();
    let (mut world, port) = (fresh(), free_port());
    folder_of(&world, "data", "www-data");
    let path = config(&world, port, "one", "user www-data;");
    world.unit(
        "nginx",
        &format!(
            "[Unit]\nDescription=A high performance web server and a reverse proxy server\n\
             Documentation=man:nginx(8)\nAfter=network-online.target remote-fs.target nss-lookup.target\n\
             Wants=network-online.target\n\n\
             [Service]\nType=simple\nExecStart={server} -e stderr -c {path} -g 'daemon off; master_process on;'\n\
             ExecReload={kill} -HUP $MAINPID\nRestart=on-failure\nRestartSec=100ms\nKillSignal=SIGQUIT\n\
             TimeoutStopSec=10\nKillMode=control-group\n\n\
             [Install]\nWantedBy=multi-user.target\n"
        ),
    );
    let log = "units/logs/nginx/nginx.log";
    let logs = Logs { access: log, error: log };
    let main = first_half(&mut world, Way::Unit, port, &logs);
    // A privileged main process with ordinary workers.
    let below = workers(&main);
    let www_data = ids(&world, "www-data").0;
    assert!(user_of(main.pid) == Some(0) && below.iter().all(|p| user_of(p.pid) == Some(www_data)));

    config(&world, port, "two", "user www-data;");
    let said = world.supers_ok(&["reload", "nginx"]);
    assert!(said.contains("reloaded"), "{said}");
    page(&world, port, "two");
    assert!(main.lives() && world.status().pid("nginx") == main.pid);
    assert!(below.iter().all(|w| w.wait(Duration::from_secs(10))), "the workers of before have ended");

    // The workers of a main process that was killed are ended with it: the port is free again.
    main.kill();
    second_half(&mut world, port, &logs, "two", &main);
    assert!(Path::new(&path).exists());
}
