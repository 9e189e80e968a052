//! One server after another at the same sockets: clients must not notice.

use crate::fake::{Fake, row};
use crate::world::{Wire, own_uid, request};
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;
use supers_api::door::{Auth, Password, Secret};
use supers_api::server::{pack, unpack};
use supers_api::{Address, Credentials, Door, Handed, Handle, Limits, Listener, Remote, Setup, serve};
use supers_core::control::*;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::sync::watch;

/// Far more than a hand-over takes: none of the clients here keeps the server waiting.
const PATIENCE: Duration = Duration::from_secs(5);
/// bob with the password pw.
const BOB: &str = "Authorization: Basic Ym9iOnB3";
const CALL: &str = "<?xml version='1.0'?><methodCall><methodName>supervisor.getIdentification</methodName><params></params></methodCall>";

/// Sockets that outlive the servers at them.
pub struct Relay {
    pub fake: Arc<Fake>,
    pub unix: PathBuf,
    tcp: SocketAddr,
    sockets: (UnixListener, TcpListener),
    server: Handle,
    _dir: tempfile::TempDir,
}

impl Relay {
    pub fn new() -> Relay {
        let dir = tempfile::tempdir().unwrap();
        let unix = dir.path().join("super.sock");
        let sockets = (UnixListener::bind(&unix).unwrap(), TcpListener::bind("127.0.0.1:0").unwrap());
        let tcp = sockets.1.local_addr().unwrap();
        let fake = Arc::new(Fake::default());
        let server = open(&fake, &sockets, own_uid(dir.path()));
        Relay { fake, unix, tcp, sockets, server, _dir: dir }
    }

    /// What the server gives up.
    async fn give_up(&self, patience: Duration) -> Vec<Handed> {
        self.server.hand_over(patience).await
    }

    /// The next server. The one before is gone by then, as after a crash.
    fn follow(&mut self, handed: Vec<Handed>) {
        let (text, fds) = pack(handed);
        let mut fds: Vec<_> = fds.into_iter().map(Some).collect();
        self.server = open(&self.fake, &self.sockets, own_uid(self._dir.path()));
        self.server.adopt(unpack(&text, |i| fds[i].take()));
    }

    async fn next(&mut self) {
        let handed = self.give_up(PATIENCE).await;
        self.follow(handed);
    }

    async fn unix(&self) -> Wire<UnixStream> {
        Wire::new(UnixStream::connect(&self.unix).await.unwrap())
    }

    async fn tcp(&self) -> Wire<TcpStream> {
        Wire::new(TcpStream::connect(self.tcp).await.unwrap())
    }

    /// By the time this is answered the server has seen what was sent before.
    async fn settle(&self) {
        ask(&mut self.unix().await, "GET /api/v1/version").await;
        ask(&mut self.tcp().await, "GET /api/v1/version").await;
    }
}

fn open(fake: &Arc<Fake>, sockets: &(UnixListener, TcpListener), own_uid: u32) -> Handle {
    let auth = Auth { username: "bob".into(), password: Password::Plain(Secret::new("pw")) };
    let doors = vec![
        (Door::unix_by_mode("unix"), Listener::Unix(sockets.0.try_clone().unwrap())),
        (Door { auth: Some(auth), ..Door::inet("tcp") }, Listener::Tcp(sockets.1.try_clone().unwrap())),
    ];
    let limits = Limits { grace: Duration::ZERO, ..Limits::default() };
    serve(fake.clone(), doors, Setup { own_uid, user_name: |_| None, rest: || {}, limits }).unwrap()
}

async fn ask<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>, line: &str) -> String {
    wire.send(&request(line, &[BOB], "")).await;
    wire.answer().await.short()
}

/// What a client did so far, and whether it shall go on.
#[derive(Clone)]
struct Tally(watch::Sender<u64>, watch::Receiver<bool>);

impl Tally {
    fn goes_on(&self) -> bool {
        self.0.send_modify(|n| *n += 1);
        !*self.1.borrow()
    }
}

/// One after the other of each kind, the last an order that nobody gave before.
async fn round<S: AsyncRead + AsyncWrite + Unpin>(wire: &mut Wire<S>, number: u64) {
    assert!(ask(wire, "GET /api/v1/version").await.starts_with("200 OK\n{\"version\":\"9.8.7\""));
    // In two pieces, as Python's library sends it.
    let text = request("POST /RPC2", &[BOB], CALL);
    let (head, body) = text.split_at(text.len() - CALL.len());
    wire.send(head).await;
    tokio::task::yield_now().await;
    wire.send(body).await;
    let answer = wire.answer().await;
    assert!(answer.body.contains("<string>supervisor</string>"), "{answer:?}");
    let verb = Verb::Signal(10);
    let order =
        Order { verb, names: vec!["db".into()], wait: true, timeout_ms: Some(number), rules: Rules::Supers };
    let text = request("POST /api/v1/orders", &[BOB], &serde_json::to_string(&order).unwrap());
    wire.send(&text).await;
    let answer = wire.answer().await;
    assert!(answer.body.contains("\"signalled\""), "{answer:?}");
}

macro_rules! clients {
    ($tasks:ident, $tally:ident, $connect:expr) => {
        for keeps in [true, true, false, false] {
            let (tally, connect) = ($tally.clone(), $connect);
            let first = $tasks.len() as u64 * 1_000_000;
            $tasks.push(tokio::spawn(async move {
                let mut wire = Wire::new(connect().await.unwrap());
                let mut number = first;
                while tally.goes_on() {
                    number += 1;
                    round(&mut wire, number).await;
                    if !keeps {
                        wire = Wire::new(connect().await.unwrap());
                    }
                }
                (first, number)
            }));
        }
    };
}

#[tokio::test]
async fn fifty_servers_and_no_request_fails() {
    let mut relay = Relay::new();
    let (total, mut seen) = watch::channel(0);
    let (stop, stopped) = watch::channel(false);
    let tally = Tally(total, stopped);
    let mut tasks = Vec::new();
    let (path, addr) = (relay.unix.clone(), relay.tcp);
    clients!(tasks, tally, {
        let path = path.clone();
        move || UnixStream::connect(path.clone())
    });
    clients!(tasks, tally, move || TcpStream::connect(addr));
    let mut moved = 0;
    for _ in 0..50 {
        let now = *seen.borrow_and_update();
        seen.wait_for(|n| *n > now + 20).await.unwrap();
        let handed = relay.give_up(PATIENCE).await;
        moved += handed.len();
        relay.follow(handed);
    }
    stop.send(true).unwrap();
    let mut wanted = Vec::new();
    for task in tasks {
        let (first, last) = task.await.unwrap();
        wanted.extend(first + 1..=last);
    }
    let calls = relay.fake.take_calls();
    let number =
        |line: &str| line.split("timeout=Some(").nth(1).unwrap().trim_end_matches(')').parse().unwrap();
    let mut orders: Vec<u64> = calls.lines().map(number).collect();
    orders.sort_unstable();
    // Each once, and each that was answered.
    assert_eq!(orders, wanted);
    // Those that keep their connections do keep them.
    assert!(moved > 50, "{moved}");
}

#[tokio::test]
async fn what_was_read_of_a_request_goes_along() {
    let mut relay = Relay::new();
    let text = request("POST /RPC2", &[BOB], CALL);
    for at in [1, 20, text.len() - CALL.len() - 1, text.len() - CALL.len(), text.len() - 10] {
        let (mut unix, mut tcp) = (relay.unix().await, relay.tcp().await);
        unix.send(&text[..at]).await;
        tcp.send(&text[..at]).await;
        relay.settle().await;
        let handed = relay.give_up(PATIENCE).await;
        let halves: Vec<&[u8]> = handed.iter().map(|h| &h.read[..]).filter(|r| !r.is_empty()).collect();
        assert_eq!(halves, [&text.as_bytes()[..at]; 2], "{at}");
        relay.follow(handed);
        unix.send(&text[at..]).await;
        tcp.send(&text[at..]).await;
        for answer in [unix.answer().await, tcp.answer().await] {
            assert!(answer.body.contains("<string>supervisor</string>"), "{answer:?}");
        }
    }
}

#[tokio::test]
async fn an_order_that_takes_long_is_told_and_its_connection_stays() {
    let mut relay = Relay::new();
    let web = "POST /api/v1/programs/shop:web/restart";
    let wait = "POST /api/v1/orders";
    let order = r#"{"verb":"restart","names":["all"],"wait":true,"timeout_ms":null}"#;
    let feeds = [relay.fake.feed_rows(), relay.fake.feed_rows()];
    let (mut whole, mut rows) = (relay.unix().await, relay.tcp().await);
    whole.send(&request(web, &[BOB], "")).await;
    relay.settle().await;
    rows.send(&request(wait, &[BOB], order)).await;
    feeds[1].send(Ok(row("db", Outcome::Restarted, 9))).await.unwrap();
    let head = rows.head().await;
    assert_eq!(head.header("content-type"), Some("application/x-ndjson"));
    assert!(rows.chunk().await.contains("\"db\""));
    let handed = relay.give_up(Duration::from_millis(20)).await;
    let told = r#"{"error":{"kind":"replaced","text":"superd was replaced while it worked on this","hint":"status shows what became of it"}}"#;
    let line = format!("{told}\n");
    assert_eq!(whole.answer().await.short(), format!("503 Service Unavailable\n{line}"));
    assert_eq!((rows.chunk().await, rows.chunk().await), (line, String::new()));
    relay.follow(handed);
    for wire in [ask(&mut whole, "GET /api/v1/version").await, ask(&mut rows, "GET /api/v1/version").await] {
        assert!(wire.starts_with("200"), "{wire}");
    }
}

#[tokio::test]
async fn followed_logs_are_cut_or_end_as_their_protocol_has_it() {
    let relay = Relay::new();
    let feeds = [relay.fake.feed_logs(), relay.fake.feed_logs()];
    relay.fake.files.lock().unwrap().insert(Some(0), b"web".to_vec());
    let mut wires = Vec::new();
    for (path, feed) in ["/api/v1/programs/shop:web/logs?follow=1", "/logtail/shop:web"].iter().zip(&feeds) {
        feed.send(Ok(LogChunk { offset: 7, bytes: b"line\n".to_vec() })).await.unwrap();
        let mut wire = relay.unix().await;
        wire.send(&request(&format!("GET {path}"), &[], "")).await;
        assert!(wire.head().await.status.starts_with("200"), "{path}");
        assert_eq!(wire.chunk().await, "line\n");
        wires.push(wire);
    }
    assert!(relay.give_up(PATIENCE).await.is_empty());
    assert_eq!(wires[0].rest().await, "");
    assert_eq!(wires[1].rest().await, "0\r\n\r\n");
}

#[tokio::test]
async fn our_client_goes_on_reading_where_it_was() {
    let mut relay = Relay::new();
    let remote = Remote::connect(Address::Unix(relay.unix.clone()), Credentials::None).await.unwrap();
    let first = relay.fake.feed_logs();
    first.send(Ok(LogChunk { offset: 100, bytes: b"one\ntw".to_vec() })).await.unwrap();
    let (name, stream) = ("shop:web".to_string(), Stream::Stdout);
    let request = LogRequest { name, stream, from: LogFrom::Lines(3), follow: true };
    let mut flow = remote.logs(request).await.unwrap();
    assert_eq!(flow.next().await.unwrap().unwrap().offset, 100);
    let second = relay.fake.feed_logs();
    second.send(Ok(LogChunk { offset: 106, bytes: b"o\nthree\n".to_vec() })).await.unwrap();
    relay.next().await;
    let rest = flow.next().await.unwrap().unwrap();
    assert_eq!(rest, LogChunk { offset: 106, bytes: b"o\nthree\n".to_vec() });
    let calls = relay.fake.take_calls();
    assert!(calls.ends_with("logs shop:web Stdout Offset(106) follow=true"), "{calls}");
}

#[tokio::test]
async fn a_door_that_is_gone_or_another_is_closed() {
    let relay = Relay::new();
    let mut wires = [relay.unix().await, relay.unix().await];
    for wire in &mut wires {
        ask(wire, "GET /api/v1/version").await;
    }
    let mut handed = relay.give_up(PATIENCE).await;
    assert_eq!(handed.len(), 2);
    assert!(unpack("no list", |_| None).is_empty());
    assert!(unpack(r#"[{"door":"unix"}]"#, |_| None).is_empty());
    handed[0].door = "gone".into();
    handed[1].door = "tcp".into();
    // Somebody else may have copies.
    let copies: Vec<_> = handed.iter().map(|h| h.fd.try_clone().unwrap()).collect();
    let mut relay = relay;
    relay.follow(handed);
    for mut wire in wires {
        wire.closed().await;
    }
    drop(copies);
}
