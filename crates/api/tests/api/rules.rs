//! Who may come in, and what a client cannot do to others.

use crate::world::{World, request};
use std::time::Duration;
use supers_api::door::{Auth, Door, Password, Secret};
use supers_api::{Limits, Listener};

#[tokio::test]
async fn tcp_without_a_password_reads_only() {
    let w = World::new();
    assert_eq!(w.ask_tcp("GET /api/v1/programs/db", &[]).await.status, "200 OK");
    insta::assert_snapshot!(w.ask_tcp("POST /api/v1/programs/db/stop", &[]).await.short(), @r#"
    403 Forbidden
    {"error":{"kind":"read-only","text":"over TCP without a configured password or token this only reads","hint":"set username= and password= in [inet_http_server] (superd.conf), or use `supers` on this machine"}}
    "#);
    insta::assert_snapshot!(w.ask_tcp("GET /api/v1/programs", &["Host: evil.example"]).await.short(), @r#"
    421 Misdirected Request
    {"error":{"kind":"wrong-host","text":"this server is not called \"evil.example\"","hint":"use localhost or the address it listens on"}}
    "#);
    insta::assert_snapshot!(
        w.ask_tcp("GET /api/v1/programs", &["Origin: http://evil.example"]).await.short(), @r#"
    403 Forbidden
    {"error":{"kind":"cross-site","text":"requests that come from another site's page are refused"}}
    "#);
    assert_eq!(w.fake.take_calls(), "");
}

#[tokio::test]
async fn tcp_with_a_password() {
    let auth = Auth { username: "bob".into(), password: Password::Plain(Secret::new("pw")) };
    let w = World::with(Door { auth: Some(auth), ..Door::tcp("tcp") }, Limits::default());
    let none = w.ask_tcp("GET /api/v1/programs/db", &[]).await;
    assert_eq!(none.header("www-authenticate"), Some("Basic realm=\"supers\", charset=\"UTF-8\""));
    insta::assert_snapshot!(none.short(), @r#"
    401 Unauthorized
    {"error":{"kind":"unauthorized","text":"a name with its password, or a token, is needed here"}}
    "#);
    // bob:pw
    let good = "Authorization: Basic Ym9iOnB3";
    assert_eq!(w.ask_tcp("POST /api/v1/programs/db/stop", &[good]).await.status, "200 OK");
    assert!(w.fake.take_calls().starts_with("http: Stop"));
    // New rules apply to connections that are open already.
    let mut wire = w.tcp().await;
    wire.send(&request("GET /api/v1/programs/db", &[good], "")).await;
    assert_eq!(wire.answer().await.status, "200 OK");
    assert!(w.handle.update(Door { token: Some(Secret::new("t0ken")), ..Door::tcp("tcp") }));
    wire.send(&request("GET /api/v1/programs/db", &[good], "")).await;
    assert_eq!(wire.answer().await.status, "401 Unauthorized");
    wire.send(&request("GET /api/v1/programs/db", &["Authorization: Bearer t0ken"], "")).await;
    assert_eq!(wire.answer().await.status, "200 OK");
    assert!(!w.handle.update(Door::tcp("other")));
}

#[tokio::test]
async fn what_cannot_be_asked() {
    let w = World::new();
    insta::assert_snapshot!(w.ask("GET /index.html", "").await, @r#"
    404 Not Found
    {"error":{"kind":"no-such-route","text":"there is nothing at /index.html"}}
    "#);
    insta::assert_snapshot!(w.ask("POST /api/v1/orders", "{}").await, @r#"
    400 Bad Request
    {"error":{"kind":"bad-request","text":"the body is not the expected JSON: missing field `verb` at line 1 column 2"}}
    "#);
    let mut wire = w.unix().await;
    wire.send(&request("DELETE /api/v1/programs/db", &[], "")).await;
    let reply = wire.answer().await;
    assert_eq!((reply.status.as_str(), reply.header("allow")), ("405 Method Not Allowed", Some("GET, HEAD")));
    wire.send(&request("HEAD /api/v1/programs/db", &[], "")).await;
    let head = wire.head().await;
    assert_eq!((head.status.as_str(), head.header("content-length").is_some()), ("200 OK", true));
    wire.send("GET / HTTP/1.1\r\nbroken\r\n\r\n").await;
    assert_eq!(wire.answer().await.status, "400 Bad Request");
    wire.closed().await;
}

#[tokio::test]
async fn large_and_slow_bodies() {
    let w = World::with(Door::tcp("tcp"), Limits { body_bytes: 64, ..Limits::default() });
    insta::assert_snapshot!(w.ask("POST /api/v1/orders", &"x".repeat(65)).await, @r#"
    413 Payload Too Large
    {"error":{"kind":"too-large","text":"a request body may have at most 64 bytes"}}
    "#);
    let limits = Limits { body_time: Duration::from_millis(30), ..Limits::default() };
    let w = World::with(Door::tcp("tcp"), limits);
    let mut slow = w.unix().await;
    slow.send(&request("POST /api/v1/orders", &["Content-Length: 9"], "")).await;
    insta::assert_snapshot!(slow.answer().await.short(), @r#"
    408 Request Timeout
    {"error":{"kind":"too-slow","text":"the request body did not arrive in time"}}
    "#);
}

#[tokio::test]
async fn half_a_request_blocks_nobody_and_is_given_up() {
    let w =
        World::with(Door::tcp("tcp"), Limits { head_time: Duration::from_millis(300), ..Limits::default() });
    let mut half = w.unix().await;
    half.send("GET /api/v1/programs/db HT").await;
    assert!(w.ask("GET /api/v1/programs/db", "").await.starts_with("200"));
    half.closed().await;
}

#[tokio::test]
async fn too_many_connections() {
    let w = World::with(Door::tcp("tcp"), Limits { connections: 2, ..Limits::default() });
    let (mut first, mut second) = (w.unix().await, w.unix().await);
    let _feeds = [w.fake.feed_logs(), w.fake.feed_logs()];
    for wire in [&mut first, &mut second] {
        wire.send(&request("GET /api/v1/programs/db/logs?follow=1", &[], "")).await;
        wire.head().await;
    }
    let mut third = w.unix().await;
    insta::assert_snapshot!(third.answer().await.short(), @r#"
    503 Service Unavailable
    {"error":{"kind":"busy","text":"superd has too many connections","hint":"try again"}}
    "#);
    third.closed().await;
    let counters = w.handle.counters();
    assert_eq!((counters.open, counters.accepted, counters.refused, counters.evicted), (2, 2, 1, 0));
}

#[tokio::test]
async fn a_reader_that_does_not_read_blocks_nobody() {
    let w = World::new();
    let feed = w.fake.feed_logs();
    let mut stuck = w.unix().await;
    stuck.send(&request("GET /api/v1/programs/db/logs?follow=1", &[], "")).await;
    // Far more than socket and queues hold: the flow must stop taking.
    let piece = supers_core::control::LogChunk { offset: 0, bytes: vec![b'x'; 256 * 1024] };
    while tokio::time::timeout(Duration::from_millis(100), feed.send(Ok(piece.clone()))).await.is_ok() {}
    assert!(w.ask("GET /api/v1/programs/db", "").await.starts_with("200"));
    drop(stuck);
    tokio::time::timeout(crate::world::DEADLINE, feed.closed()).await.unwrap();
}

#[tokio::test]
async fn doors_come_and_go() {
    let w = World::new();
    let mut old = w.tcp().await;
    old.send(&request("GET /api/v1/programs/db", &[], "")).await;
    old.answer().await;
    assert!(w.handle.remove("tcp").await);
    assert!(!w.handle.remove("tcp").await);
    old.closed().await;
    // The address is free at once.
    let again = std::net::TcpListener::bind(w.tcp).unwrap();
    w.handle.add(Door::tcp("again"), Listener::Tcp(again)).unwrap();
    assert_eq!(w.handle.doors(), ["again", "unix"]);
    assert_eq!(w.ask_tcp("GET /api/v1/programs/db", &[]).await.status, "200 OK");
}
