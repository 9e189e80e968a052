//! Supervisor's addresses: XML-RPC, followed logs, passwords, other sites (supervisor-contract 9).

use crate::world::{Reply, World, request};
use supers_api::door::{Auth, Door, Password, Secret};
use supers_api::{Limits, Listener};
use supers_core::control::LogChunk;

async fn ask(w: &World, line: &str, headers: &[&str], body: &str) -> Reply {
    let mut wire = w.tcp().await;
    wire.send(&request(line, headers, body)).await;
    wire.answer().await
}

const CALL: &str =
    "<?xml version='1.0'?><methodCall><methodName>supervisor.getAPIVersion</methodName></methodCall>";

#[tokio::test]
async fn xml_rpc() {
    let w = World::supervisor();
    for path in ["/RPC2", "/RPC2/", "/RPC2?x=y", "/RPC2x"] {
        let reply = ask(&w, &format!("POST {path}"), &[], CALL).await;
        assert_eq!((reply.status.as_str(), reply.header("content-type")), ("200 OK", Some("text/xml")));
        assert!(reply.header("content-length").is_some() && reply.body.contains("3.0"), "{reply:?}");
    }
    for (line, headers, body, status) in [
        ("GET /RPC2", &[][..], "", "400 Bad Request"),
        ("PUT /RPC2", &[], CALL, "400 Bad Request"),
        ("POST /RPC2", &[], "", "411 Length Required"),
        ("POST /RPC2", &["Content-Length: 0"], "", "400 Bad Request"),
        ("POST /RPC2", &["Transfer-Encoding: chunked"], "", "411 Length Required"),
        ("POST /RPC2", &[], "<a", "400 Bad Request"),
        ("POST /RPC2", &[], "<methodCall></methodCall>", "400 Bad Request"),
        ("POST /RPC2", &["Origin: http://evil.example"], CALL, "403 Forbidden"),
        ("POST /RPC2", &["Sec-Fetch-Site: cross-site"], CALL, "403 Forbidden"),
        ("POST /RPC2", &["Sec-Fetch-Site: same-site"], CALL, "403 Forbidden"),
        ("POST /RPC2", &["Host: evil.example"], CALL, "421 Misdirected Request"),
        ("POST /rpc2", &[], CALL, "404 Not Found"),
    ] {
        assert_eq!(ask(&w, line, headers, body).await.status, status, "{line} {headers:?} {body}");
    }
    // One connection carries many calls.
    let mut wire = w.unix().await;
    for _ in 0..3 {
        wire.send(&request("POST /RPC2", &[], CALL)).await;
        assert_eq!(wire.answer().await.status, "200 OK");
    }
    assert_eq!(w.handle.counters().open, 1);
}

#[tokio::test]
async fn a_long_call_holds_its_own_connection_only() {
    let w = World::supervisor();
    let feed = w.fake.feed_rows();
    let mut long = w.unix().await;
    long.send(&request("POST /RPC2", &[], &CALL.replace("getAPIVersion", "stopAllProcesses"))).await;
    assert_eq!(ask(&w, "POST /RPC2", &[], CALL).await.status, "200 OK");
    drop(feed);
    assert_eq!(long.answer().await.status, "200 OK");
}

#[tokio::test]
async fn passwords() {
    let digest = "7b52009b64fd0a2a49e6d8a939753077792b0554"; // of "12"
    let mut sha = [0; 20];
    for (at, byte) in sha.iter_mut().enumerate() {
        *byte = u8::from_str_radix(&digest[at * 2..at * 2 + 2], 16).unwrap();
    }
    for password in [Password::Plain(Secret::new("12")), Password::Sha1(sha)] {
        let auth = Some(Auth { username: "bob".into(), password });
        let unix = Door { auth: auth.clone(), ..Door::unix_by_mode("unix") };
        let w = World::doors(unix, Door { auth, ..Door::inet("tcp") }, Limits::default());
        let good = "Authorization: Basic Ym9iOjEy";
        for line in
            ["GET /", "GET /ok.html", "GET /logtail/db", "GET /mainlogtail", "POST /RPC2", "GET /none"]
        {
            for (headers, status) in [
                (&[][..], "401 Unauthorized"),
                (&["Authorization: Basic Ym9iOjEz"], "401 Unauthorized"),
                (&["Authorization: Basic Ym9iOjEyMw=="], "401 Unauthorized"),
                (&["Authorization: Basic Ym9i"], "401 Unauthorized"),
                (&["Authorization: Digest Ym9iOjEy"], "401 Unauthorized"),
                (&["Authorization: Basic !!"], "400 Bad Request"),
                (&["Authorization: Basic abc"], "400 Bad Request"),
            ] {
                let mut wire = w.tcp().await;
                wire.send(&request(line, headers, "")).await;
                let reply = wire.answer().await;
                assert_eq!(reply.status, status, "{line} {headers:?}");
                if status.starts_with("401") {
                    assert_eq!(reply.header("www-authenticate"), Some("Basic realm=\"default\""));
                    assert_eq!(reply.header("connection"), Some("close"));
                    wire.closed().await;
                }
            }
        }
        // With it, by any name.
        let reply = ask(&w, "GET /ok.html", &[good, "Host: any.example"], "").await;
        assert_eq!(reply.short(), "200 OK\nOK");
        // Root and the daemon's user need it as well, but not for our own addresses.
        assert!(w.ask("GET /ok.html", "").await.starts_with("401"));
        assert!(w.ask("GET /api/v1/version", "").await.starts_with("200"));
    }
}

#[tokio::test]
async fn followed_logs() {
    let w = World::supervisor();
    // The slots of db, shop:cart and shop:web are 1, 2 and 0.
    w.fake.files.lock().unwrap().extend([(None, vec![b'm'; 5000]), (Some(0), b"0123456789".to_vec())]);
    for (path, call, unbuffered) in [
        ("/logtail/shop:web", "logs shop:web Stdout Bytes(10) follow=true", Some("no")),
        ("/logtail/shop%3Aweb/stdout", "logs shop:web Stdout Bytes(10) follow=true", Some("no")),
        ("/logtail/shop:web/stderr?x=y", "logs shop:web Stderr Bytes(10) follow=true", Some("no")),
        ("/logtails/shop:web", "logs shop:web Stdout Bytes(10) follow=true", Some("no")),
        ("/mainlogtail", "main log Bytes(1024) follow=true", None),
        ("/mainlogtail/x", "main log Bytes(1024) follow=true", None),
    ] {
        let feed = w.fake.feed_logs();
        let mut wire = w.tcp().await;
        wire.send(&request(&format!("GET {path}"), &[], "")).await;
        // The head does not wait for any output.
        let head = wire.head().await;
        assert_eq!(head.status, "200 OK", "{path}");
        assert_eq!(head.header("content-type"), Some("text/plain;charset=utf-8"));
        assert_eq!(head.header("x-accel-buffering"), unbuffered, "{path}");
        assert_eq!(head.header("transfer-encoding"), Some("chunked"));
        assert_eq!(head.header("last-modified"), Some("Sat, 21 Nov 2026 12:22:05 GMT"));
        for text in ["0123456789", "more\n"] {
            feed.send(Ok(LogChunk { offset: 0, bytes: text.into() })).await.unwrap();
            assert_eq!(wire.chunk().await, text);
        }
        assert_eq!(w.fake.take_calls(), call, "{path}");
    }
    for (line, status) in [
        ("GET /logtail", "404 Not Found"),
        ("GET /logtail/", "404 Not Found"),
        ("GET /logtail/none", "404 Not Found"),
        ("GET /logtail/shop", "404 Not Found"),
        ("GET /logtail/web", "404 Not Found"),
        ("GET /logtail/db", "404 Not Found"),
        ("GET /logtail/shop:web/stdin", "404 Not Found"),
        ("POST /logtail/shop:web", "400 Bad Request"),
        ("HEAD /logtail/shop:web", "400 Bad Request"),
        ("POST /mainlogtail", "400 Bad Request"),
    ] {
        let mut wire = w.tcp().await;
        wire.send(&request(line, &[], "")).await;
        assert_eq!(wire.head().await.status, status, "{line}");
    }
    assert_eq!(w.fake.take_calls(), "");
}

#[tokio::test]
async fn other_doors_do_not_serve_it() {
    let w = World::new();
    for path in ["GET /", "GET /ok.html", "GET /logtail/db", "POST /RPC2"] {
        assert!(w.ask(path, "").await.starts_with("404 Not Found\n{\"error\""), "{path}");
    }
    // A door can become one of Supervisor's.
    assert!(w.handle.update(Door::unix_by_mode("unix")));
    assert_eq!(w.ask("GET /ok.html", "").await, "200 OK\nOK");
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    w.handle.add(Door::inet("more"), Listener::Tcp(socket)).unwrap();
}
