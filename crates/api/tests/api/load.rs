//! Many clients, and such as do not read, do not write, or leave.

use crate::world::{DEADLINE, World, request};
use supers_api::{Door, Limits};

#[tokio::test]
async fn a_thousand_idle_connections_cost_their_seats_only() {
    let limits = Limits { connections: 256, ..Limits::default() };
    let w = World::doors(Door::unix_by_mode("unix"), Door::inet("tcp"), limits);
    let mut kept = w.unix().await;
    let mut idle = std::collections::VecDeque::new();
    for n in 0..1000 {
        idle.push_back(w.unix().await);
        // Those that were closed long ago take descriptors of this test.
        if idle.len() > 400 {
            idle.pop_front().unwrap().closed().await;
        }
        // The one that is used from time to time keeps its seat.
        if n % 40 == 0 {
            kept.send("GET /ok.html HTTP/1.1\r\n\r\n").await;
            assert_eq!(kept.answer().await.body, "OK");
        }
    }
    // The last still work.
    let last = idle.back_mut().unwrap();
    last.send("GET /ok.html HTTP/1.1\r\n\r\n").await;
    assert_eq!(last.answer().await.body, "OK");
    kept.send("GET /ok.html HTTP/1.1\r\n\r\n").await;
    assert_eq!(kept.answer().await.body, "OK");
    let counters = w.handle.counters();
    assert_eq!((counters.open, counters.refused, counters.evicted), (256, 0, 1001 - 256));
}

#[tokio::test]
async fn half_a_head_gives_its_seat_away_too() {
    let w = World::with(Door::tcp("tcp"), Limits { connections: 1, ..Limits::default() });
    let mut half = w.unix().await;
    half.send("GET /api/v1/programs/db HT").await;
    assert!(w.ask("GET /api/v1/programs/db", "").await.starts_with("200"));
    half.closed().await;
}

#[tokio::test]
async fn followers_that_leave_are_gone_at_once() {
    let w = World::supervisor();
    w.fake.files.lock().unwrap().insert(Some(1), b"old\n".to_vec());
    // One leaves, one with requests behind that fill all buffers, one says that it has said all.
    for case in 0..3 {
        let feed = w.fake.feed_logs();
        let mut wire = w.unix().await;
        wire.send("GET /logtail/db HTTP/1.1\r\n\r\n").await;
        assert_eq!(wire.head().await.status, "200 OK");
        match case {
            0 => drop(wire),
            1 => {
                wire.send(&"GET /ok.html HTTP/1.1\r\n\r\n".repeat(20_000)).await;
                drop(wire);
            }
            _ => {
                use tokio::io::AsyncWriteExt;
                wire.stream.shutdown().await.unwrap();
                wire.closed().await;
            }
        }
        tokio::time::timeout(DEADLINE, feed.closed()).await.expect("the follower outlived its client");
    }
}

#[tokio::test]
async fn who_asks_and_never_reads_is_not_served_further() {
    let w = World::new();
    {
        let mut units = w.fake.units.lock().unwrap();
        let one = units[0].clone();
        units.resize(2000, one);
    }
    let mut wire = w.unix().await;
    // Each answer is several times what a socket holds; behind each a deed that can be counted.
    let round = request("GET /api/v1/programs", &[], "") + &request("POST /api/v1/shutdown", &[], "");
    wire.send(&round.repeat(20)).await;
    assert!(w.ask("GET /api/v1/version", "").await.starts_with("200"));
    assert!(w.fake.take_calls().lines().count() < 3);
    // It goes on when the client does.
    for _ in 0..20 {
        assert_eq!(wire.answer().await.status, "200 OK");
        assert_eq!(wire.answer().await.status, "202 Accepted");
    }
}

#[tokio::test]
async fn large_bodies_wait_for_one_another_and_small_ones_do_not() {
    let limits = Limits { bodies_bytes: 64 << 10, body_bytes: 64 << 10, ..Limits::default() };
    let w = World::doors(Door::unix("unix", vec![]), Door::tcp("tcp"), limits);
    let body = format!("{:60000}", r#"{"verb":"stop","names":["db"],"wait":true,"timeout_ms":null}"#);
    let text = request("POST /api/v1/orders", &[], &body);
    let (begun, rest) = text.split_at(40_000);
    let (mut slow, mut next) = (w.unix().await, w.unix().await);
    slow.send(begun).await;
    next.send(&text).await;
    let small = r#"{"verb":"start","names":["db"],"wait":true,"timeout_ms":null}"#;
    assert!(w.ask("POST /api/v1/orders", small).await.starts_with("200"));
    assert_eq!(w.fake.take_calls(), "unix: Start [\"db\"] wait=true timeout=None");
    slow.send(rest).await;
    assert_eq!(slow.answer().await.status, "200 OK");
    assert_eq!(next.answer().await.status, "200 OK");
}

#[tokio::test]
async fn calls_in_flight_finish_when_their_door_goes() {
    let w = World::supervisor();
    let feed = w.fake.feed_rows();
    let mut wire = w.tcp().await;
    wire.send("GET /?processname=db&action=stop HTTP/1.1\r\nHost: localhost\r\n\r\n").await;
    // The order has been taken.
    let taken = async {
        while w.fake.calls.lock().unwrap().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(DEADLINE, taken).await.unwrap();
    assert!(w.handle.remove("tcp").await);
    assert!(std::net::TcpStream::connect(w.tcp).is_err());
    feed.send(Ok(crate::fake::row("db", supers_core::control::Outcome::Stopped, 0))).await.unwrap();
    drop(feed);
    let reply = wire.answer().await;
    assert!(reply.header("location").unwrap().ends_with("message=Process%20db%20stopped"), "{reply:?}");
    wire.closed().await;
}
