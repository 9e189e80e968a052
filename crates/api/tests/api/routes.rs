//! Every route over a real unix socket.

use crate::fake::{row, running};
use crate::world::{self, World, request};
use supers_core::control::{LogChunk, Outcome, PlanItem, PlanView, Refusal, Row};
use supers_core::snapshot::Usage;

#[tokio::test]
async fn what_is() {
    let w = World::new();
    insta::assert_snapshot!(w.ask("GET /api/v1/programs", "").await, @r#"
    200 OK
    [{"name":"db","group":"db","state":"RUNNING","pid":41,"uptime_s":90061,"restarts":0,"exit":null,"reason":"","hint":"","description":"","want":true,"since":1795173664,"started":1795173664,"ended":0,"source":""},{"name":"cart","group":"shop","state":"FATAL","pid":0,"uptime_s":0,"restarts":3,"exit":1,"reason":"gave up after 4 tries: exit status 1 after 1 s","hint":"supers logs shop:cart","description":"","want":true,"since":1795263725,"started":0,"ended":0,"source":""},{"name":"web","group":"shop","state":"RUNNING","pid":42,"uptime_s":5,"restarts":0,"exit":null,"reason":"","hint":"","description":"","want":true,"since":1795263720,"started":1795263720,"ended":0,"source":""}]
    "#);
    insta::assert_snapshot!(w.ask("GET /api/v1/programs/shop%3Aweb", "").await, @r#"
    200 OK
    {"name":"web","group":"shop","state":"RUNNING","pid":42,"uptime_s":5,"restarts":0,"exit":null,"reason":"","hint":"","description":"","want":true,"since":1795263720,"started":1795263720,"ended":0,"source":""}
    "#);
    insta::assert_snapshot!(w.ask("GET /api/v1/programs/db.service", "").await, @r#"
    200 OK
    {"name":"db","group":"db","state":"RUNNING","pid":41,"uptime_s":90061,"restarts":0,"exit":null,"reason":"","hint":"","description":"","want":true,"since":1795173664,"started":1795173664,"ended":0,"source":""}
    "#);
    insta::assert_snapshot!(w.ask("GET /api/v1/programs/nope:*", "").await, @r#"
    404 Not Found
    {"error":{"kind":"unknown-name","text":"no program is called \"nope:*\"","name":"nope:*"}}
    "#);
    insta::assert_snapshot!(w.ask("GET /api/v1/programs/bd", "").await, @r#"
    404 Not Found
    {"error":{"kind":"unknown-name","text":"no program is called \"bd\"","hint":"did you mean db?","name":"bd"}}
    "#);
    insta::assert_snapshot!(w.ask("GET /api/v1/version", "").await, @r#"
    200 OK
    {"version":"9.8.7","pid":100,"daemon_pid":101,"config":"using the folder /etc/super, the default place","state":"running","uptime_s":61,"starts":1,"containment":"","notices":[],"dropped":0}
    "#);
    // What is written from the snapshot is what the views say.
    let status = supers_core::control::Control::status(&*w.fake).await.unwrap();
    let document = serde_json::to_string(&status).unwrap();
    assert_eq!(w.ask("GET /api/v1/status", "").await, format!("200 OK\n{document}\n"));
    assert_eq!(w.fake.take_calls(), "");
}

/// The programs are the first fields of the whole objects, and are read like these.
#[tokio::test]
async fn what_is_in_brief() {
    let w = World::new();
    let brief = w.ask("GET /api/v1/status?brief=1", "").await;
    insta::assert_snapshot!(brief, @r#"
    200 OK
    {"version":"9.8.7","pid":100,"daemon_pid":101,"config":"using the folder /etc/super, the default place","state":"running","uptime_s":61,"starts":1,"containment":"","notices":[],"dropped":0}
    ["db","db","RUNNING",41,90061]
    ["cart","shop","FATAL",0,0,3,1,"gave up after 4 tries: exit status 1 after 1 s","supers logs shop:cart"]
    ["web","shop","RUNNING",42,5]
    "#);
    let mut whole = supers_core::control::Control::status(&*w.fake).await.unwrap();
    for p in &mut whole.programs {
        (p.description, p.want, p.since, p.started, p.ended) = ("".into(), false, 0, 0, 0);
        p.source = "".into();
    }
    let programs = brief.lines().skip(2).map(|line| serde_json::from_str(line).unwrap());
    assert_eq!(programs.collect::<Vec<supers_core::snapshot::ProgramView<'_>>>(), whole.programs);
}

#[tokio::test]
async fn answers_are_kept_while_nothing_changes() {
    let w = World::new();
    let all = ["GET /api/v1/programs", "GET /api/v1/status"];
    let before = [w.ask(all[0], "").await, w.ask(all[1], "").await];
    // Only a new turn, or other news of the daemon, makes a new answer.
    w.fake.units.lock().unwrap().push(running("aa", "aa", 5, 1));
    assert_eq!([w.ask(all[0], "").await, w.ask(all[1], "").await], before);
    w.fake.daemon.lock().unwrap().notices = vec!["the disk is full".into()];
    assert_eq!(w.ask(all[0], "").await, before[0]);
    assert!(w.ask(all[1], "").await.contains("the disk is full"));
    w.fake.turn.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    for line in all {
        let after = w.ask(line, "").await;
        let at = |name: &str| after.find(&format!("\"name\":\"{name}\""));
        assert!(at("aa") < at("db") && at("db") < at("cart") && at("cart") < at("web"), "{after}");
        assert!(at("aa").is_some());
    }
}

#[tokio::test]
async fn orders_for_one_program() {
    let w = World::new();
    insta::assert_snapshot!(w.ask("POST /api/v1/programs/shop:cart/start", "").await, @r#"
    200 OK
    {"name":"shop:cart","outcome":"started","detail":"","pid":0,"changed":false,"tail":[]}
    "#);
    insta::assert_snapshot!(w.ask("POST /api/v1/programs/shop:*/stop?timeout=3", "").await, @r#"
    200 OK
    [{"name":"shop:cart","outcome":"not-running","detail":"","pid":0,"changed":false,"tail":[]},{"name":"shop:web","outcome":"stopped","detail":"","pid":0,"changed":false,"tail":[]}]
    "#);
    insta::assert_snapshot!(w.ask("POST /api/v1/programs/shop:cart/signal?signal=HUP", "").await, @r#"
    409 Conflict
    {"name":"shop:cart","outcome":"not-running","detail":"","pid":0,"changed":false,"tail":[]}
    "#);
    insta::assert_snapshot!(w.ask("POST /api/v1/programs/wbe/restart", "").await, @r#"
    404 Not Found
    {"error":{"kind":"unknown-name","text":"no program is called \"wbe\"","hint":"did you mean shop:web?","name":"wbe"}}
    "#);
    let tail = vec!["cannot bind".to_string()];
    w.fake.script_rows([Row {
        detail: "exited with status 1".into(),
        tail,
        ..row("db", Outcome::Failed, 0)
    }]);
    insta::assert_snapshot!(w.ask("POST /api/v1/programs/db/restart", "").await, @r#"
    409 Conflict
    {"name":"db","outcome":"failed","detail":"exited with status 1","pid":0,"changed":false,"tail":["cannot bind"]}
    "#);
    w.fake.script_rows([row("db", Outcome::Accepted, 0)]);
    let taken = w.ask("POST /api/v1/programs/db/reload?wait=0", "").await;
    assert!(taken.starts_with("202 Accepted\n{\"name\":\"db\",\"outcome\":\"accepted\""), "{taken}");
    insta::assert_snapshot!(w.fake.take_calls(), @r#"
    unix: Start ["shop:cart"] wait=true timeout=None
    unix: Stop ["shop:*"] wait=true timeout=Some(3000)
    unix: Signal(1) ["shop:cart"] wait=true timeout=None
    unix: Restart ["wbe"] wait=true timeout=None
    unix: Restart ["db"] wait=true timeout=None
    unix: Reload ["db"] wait=false timeout=None
    "#);
}

#[tokio::test]
async fn reload_add_and_shutdown() {
    let w = World::new();
    let item = PlanItem { name: "web".into(), pid: 42, deed: "restart".into() };
    *w.fake.plan.lock().unwrap() = PlanView { changed: vec![item], unchanged: 2, ..PlanView::default() };
    insta::assert_snapshot!(w.ask("POST /api/v1/reload?dry_run=1", "").await, @r#"
    200 OK
    {"added":[],"changed":[{"name":"web","pid":42,"deed":"restart"}],"removed":[],"unchanged":2,"findings":[],"applied":false}
    "#);
    let unit = r#"{"name":"new","command":["sleep","9"],"user":"bob"}"#;
    insta::assert_snapshot!(w.ask("POST /api/v1/programs", unit).await, @r#"
    200 OK
    {"name":"new","outcome":"started","detail":"","pid":77,"changed":true,"tail":[]}
    "#);
    insta::assert_snapshot!(w.ask("POST /api/v1/shutdown", "").await, @r#"
    202 Accepted
    {"shutting_down":true}
    "#);
    insta::assert_snapshot!(w.fake.take_calls(), @r#"
    unix: reload dry_run=true
    unix: add NewUnit { name: "new", command: ["sleep", "9"], description: None, user: Some("bob"), directory: None, replace: false }
    unix: shutdown
    "#);
    *w.fake.refuse.lock().unwrap() = Some(Refusal::Config { text: "a.service:3: bad".into() });
    insta::assert_snapshot!(w.ask("POST /api/v1/reload", "").await, @r#"
    422 Unprocessable Entity
    {"error":{"kind":"config","text":"a.service:3: bad"}}
    "#);
}

#[tokio::test]
async fn rows_come_as_they_complete() {
    let w = World::new();
    let feed = w.fake.feed_rows();
    let mut wire = w.unix().await;
    let body = r#"{"verb":"restart","names":["all"],"wait":true,"timeout_ms":null}"#;
    wire.send(&request("POST /api/v1/orders", &[], body)).await;
    let head = wire.head().await;
    assert_eq!(head.header("content-type"), Some("application/x-ndjson"));
    for n in 1..4 {
        feed.send(Ok(row(&format!("p{n}"), Outcome::Restarted, n))).await.unwrap();
        let line = wire.chunk().await;
        assert!(line.starts_with(&format!("{{\"name\":\"p{n}\"")) && line.ends_with("}\n"), "{line}");
    }
    feed.send(Err(Refusal::ShuttingDown)).await.unwrap();
    insta::assert_snapshot!(wire.chunk().await, @r#"{"error":{"kind":"shutting-down","text":"superd is shutting down"}}"#);
    assert_eq!(wire.chunk().await, "");
    // The connection is good for more.
    wire.send(&request("GET /api/v1/programs/db", &[], "")).await;
    assert_eq!(wire.answer().await.status, "200 OK");
}

#[tokio::test]
async fn output() {
    let w = World::new();
    w.fake.script_log(4096, b"one\ntwo\n");
    let mut wire = w.unix().await;
    wire.send(&request("GET /api/v1/programs/db/logs", &[], "")).await;
    let reply = wire.answer().await;
    assert_eq!(reply.body, "one\ntwo\n");
    assert_eq!(reply.header("x-log-offset"), Some("4096"));
    assert_eq!(reply.header("content-type"), Some("text/plain; charset=utf-8"));
    wire.send(&request("GET /api/v1/programs/db/logs?bytes=5&stream=stderr", &[], "")).await;
    assert_eq!(wire.answer().await.short(), "200 OK\n");
    wire.send(&request("GET /api/v1/programs/nope/logs", &[], "")).await;
    assert_eq!(wire.answer().await.status, "404 Not Found");
    insta::assert_snapshot!(w.fake.take_calls(), @r#"
    logs db Stdout Lines(10) follow=false
    logs db Stderr Bytes(5) follow=false
    logs nope Stdout Lines(10) follow=false
    "#);
}

#[tokio::test]
async fn followed_output_flows_until_the_client_leaves() {
    let w = World::new();
    let feed = w.fake.feed_logs();
    let mut wire = w.unix().await;
    feed.send(Ok(LogChunk { offset: 7, bytes: vec![] })).await.unwrap();
    wire.send(&request("GET /api/v1/programs/db/logs?follow=1&lines=0", &[], "")).await;
    // The head arrives before there is any output, and tells where it will begin.
    assert_eq!(wire.head().await.header("x-log-offset"), Some("7"));
    for text in ["first\n", "second, unfinished"] {
        feed.send(Ok(LogChunk { offset: 7, bytes: text.into() })).await.unwrap();
        assert_eq!(wire.chunk().await, text);
    }
    drop(wire);
    tokio::time::timeout(world::DEADLINE, feed.closed()).await.expect("the flow outlived its reader");
}

#[tokio::test]
async fn a_log_that_breaks_off_is_not_taken_for_whole() {
    let w = World::new();
    let feed = w.fake.feed_logs();
    let mut wire = w.unix().await;
    feed.send(Ok(LogChunk { offset: 0, bytes: b"part".to_vec() })).await.unwrap();
    feed.send(Err(Refusal::Failed { text: "disk".into() })).await.unwrap();
    wire.send(&request("GET /api/v1/programs/db/logs", &[], "")).await;
    wire.head().await;
    // What came before the error arrives.
    assert_eq!(wire.chunk().await, "part");
    // No final chunk.
    wire.closed().await;
}

#[tokio::test]
async fn stopping_ends_what_never_ends() {
    let w = World::new();
    let feed = w.fake.feed_logs();
    let mut wire = w.unix().await;
    wire.send(&request("GET /api/v1/programs/db/logs?follow=1", &[], "")).await;
    assert_eq!(wire.head().await.header("x-log-offset"), None);
    let mut idle = w.unix().await;
    idle.send(&request("GET /api/v1/programs/db", &[], "")).await;
    idle.answer().await;
    w.handle.stop();
    assert_eq!(wire.chunk().await, "");
    wire.closed().await;
    idle.closed().await;
    tokio::time::timeout(world::DEADLINE, feed.closed()).await.unwrap();
    let unix = w.unix.clone();
    w.handle.join();
    let refused = std::os::unix::net::UnixStream::connect(unix).unwrap_err();
    assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);
}

#[tokio::test]
async fn what_one_program_uses() {
    let w = World::new();
    let usage = Usage { tasks: Some(3), memory_bytes: None, cpu_ms: Some(1260) };
    w.fake.usage.lock().unwrap().insert("shop:web".into(), usage);
    let told = "\"usage\":{\"tasks\":3,\"cpu_ms\":1260}}";
    for name in ["shop:web", "web", "web.service"] {
        let answer = w.ask(&format!("GET /api/v1/programs/{name}"), "").await;
        assert!(answer.trim_end().ends_with(told), "{name}: {answer}");
    }
    // It costs something: of several nobody tells it, and nothing is not told at all.
    for place in ["programs/shop:*", "programs/db", "programs", "status"] {
        let answer = w.ask(&format!("GET /api/v1/{place}"), "").await;
        assert!(answer.starts_with("200") && !answer.contains("usage"), "{place}: {answer}");
    }
}
