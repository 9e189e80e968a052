//! redis-server: a single process that saves its data when it is asked to end.

use super::{Way, ask, folder_of, ids, reload_something_else, running, user_of};
use crate::common::world as fresh;
use std::time::Duration;
use supers_testkit::{World, free_port, need_root, need_tool};

fn ping(world: &World, port: u16) {
    world.until_fact("redis answers", || ask(port, "PING\r\n", "\n").filter(|a| a == "+PONG\r\n"));
}

/// One command, one answer.
fn redis(port: u16, command: &str, answer: &str) {
    assert_eq!(ask(port, &format!("{command}\r\n"), answer).unwrap(), answer);
}

fn whole_life(world: &mut World, way: Way, port: u16, log: &str) {
    world.superd();
    let first = running(world, "redis");
    ping(world, port);
    assert_eq!(user_of(first.pid), Some(ids(world, "redis").0));
    world.until_fact("its log", || world.read(log).contains("Ready to accept connections").then_some(()));
    reload_something_else(world, way, &first, "redis");
    redis(port, "SET colour blue", "+OK\r\n");

    first.kill();
    let s = world.until("it is back", |s| {
        s.state("redis") == "RUNNING" && s.pid("redis") != first.pid && s.pid("redis") > 0
    });
    assert_eq!(s.restarts("redis"), 1);
    ping(world, port);
    redis(port, "SET colour green", "+OK\r\n");

    // An ordered stop saves; the timeout would not have let it.
    let second = running(world, "redis");
    world.supers_ok(&["stop", "redis"]);
    assert!(second.wait(Duration::ZERO));
    let s = world.status();
    assert_eq!((s.state("redis"), &s.get("redis")["exit"]), ("STOPPED", &0.into()));
    assert!(ask(port, "PING\r\n", "\n").is_none(), "nobody listens any more");
    world.supers_ok(&["start", "redis"]);
    ping(world, port);
    redis(port, "GET colour", "$5\r\ngreen\r\n");

    let third = running(world, "redis");
    let deadline = world.deadline();
    assert_eq!(world.daemon().stop(deadline), 0);
    assert!(third.wait(Duration::ZERO));
    let text = world.read(log);
    assert_eq!(text.matches("bye bye").count(), 2, "{text}");
}

fn config(world: &World, port: u16) -> String {
    let data = folder_of(world, "data", "redis");
    let text = format!(
        "bind 127.0.0.1\nport {port}\ndaemonize yes\nsave 3600 1\nlogfile \"\"\ndir {}\n",
        data.display()
    );
    world.write("redis.conf", &text).display().to_string()
}

#[test]
fn from_an_ini_file() {
    need_root();
    let server = need_tool("redis-server", "redis-server").display().to_string();
    let (mut world, port) = (fresh(), free_port());
    let config = config(&world, port);
    world.ini(&format!(
        "[program:redis]\ncommand={server} {config} --daemonize no\nuser=redis\nautorestart=true\n\
         stopwaitsecs=10\nredirect_stderr=true\nstdout_logfile={{root}}/redis.log\n"
    ));
    whole_life(&mut world, Way::Ini, port, "redis.log");
}

#[test]
fn from_a_unit_file() {
    need_root();
    let server = need_tool("redis-server", "redis-server").display().to_string();
    let (mut world, port) = (fresh(), free_port());
    let config = config(&world, port);
    world.unit(
        "redis",
        &format!(
            "[Unit]\nDescription=Advanced key-value store\nAfter=network.target\n\
             Documentation=http://redis.io/documentation, man:redis-server(1)\n\n\
             [Service]\nType=simple\nExecStart={server} {config} --daemonize no\nTimeoutStopSec=10\n\
             Restart=always\nRestartSec=100ms\nUser=redis\nGroup=redis\nUMask=007\nPrivateTmp=true\n\
             LimitNOFILE=10240\nProtectSystem=strict\nReadWritePaths=-/var/lib/redis\n\
             NoNewPrivileges=true\n\n\
             [Install]\nWantedBy=multi-user.target\nAlias=redis.service\n"
        ),
    );
    whole_life(&mut world, Way::Unit, port, "units/logs/redis/redis.log");
}
