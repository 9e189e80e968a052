//! Requests that two readers could understand in two ways, byte by byte: each is refused, its connection is
//! closed, and what stands behind it is never done.

use crate::world::World;

const BEHIND: &str = "POST /api/v1/shutdown HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// What the server says to these bytes with another request behind them, until it closes.
async fn say(w: &World, bytes: &[u8]) -> String {
    use tokio::io::AsyncWriteExt;
    let mut wire = w.unix().await;
    wire.stream.write_all(bytes).await.unwrap();
    // It may have been closed already.
    let _ = wire.stream.write_all(BEHIND.as_bytes()).await;
    wire.rest().await
}

#[tokio::test]
async fn ambiguous_requests_are_refused_with_all_behind_them() {
    let w = World::supervisor();
    let long = "a".repeat(20_000);
    let many = "a: b\r\n".repeat(120);
    let owned = [
        (431, format!("GET /{long} HTTP/1.1\r\n\r\n")),
        (431, format!("GET / HTTP/1.1\r\na: {long}\r\n\r\n")),
        (431, format!("GET / HTTP/1.1\r\n{long}: a\r\n\r\n")),
        (431, format!("GET / HTTP/1.1\r\n{many}\r\n")),
        (413, format!("POST /RPC2 HTTP/1.1\r\nContent-Length: {}\r\n\r\n", u64::MAX)),
        (413, format!("POST /RPC2 HTTP/1.1\r\nContent-Length: {}0\r\n\r\n", u64::MAX)),
        (413, "POST /RPC2 HTTP/1.1\r\nContent-Length: 104857600\r\n\r\n".into()),
        (413, "POST /api/v1/orders HTTP/1.1\r\nContent-Length: 104857600\r\n\r\n".into()),
        (413, "POST / HTTP/1.1\r\nContent-Length: 104857600\r\n\r\n".into()),
    ];
    let heads: Vec<(u16, &str)> = vec![
        // Two lengths, and lengths that are none.
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length: 4\r\nContent-Length: 5\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length: 4\r\ncontent-length: 4\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length: 4, 4\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length: 4,5\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length: +4\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length: -1\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length: 0x4\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length: 4_0\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length: 4 4\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length: 4.0\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length: \"4\"\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length: four\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length:\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length: 4\u{b2}\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent_Length: 4\r\n\r\nabcd"),
        // Chunks.
        (411, "POST /RPC2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (411, "POST /api/v1/reload HTTP/1.1\r\nTransfer-Encoding: Chunked\r\n\r\n0\r\n\r\n"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, "POST /RPC2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n"),
        (
            400,
            "POST /RPC2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        ),
        (
            400,
            "POST /RPC2 HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: identity\r\n\r\n0\r\n\r\n",
        ),
        (501, "POST /RPC2 HTTP/1.1\r\nTransfer-Encoding: identity\r\n\r\n"),
        (501, "POST /RPC2 HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n"),
        (501, "POST /RPC2 HTTP/1.1\r\nTransfer-Encoding: xchunked\r\n\r\n0\r\n\r\n"),
        (501, "POST /RPC2 HTTP/1.1\r\nTransfer-Encoding:\r\n\r\n0\r\n\r\n"),
        (400, "POST /RPC2 HTTP/1.1\r\nTransfer-Encoding : chunked\r\n\r\n0\r\n\r\n"),
        (400, "POST /RPC2 HTTP/1.1\r\nTransfer_Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, "POST /RPC2 HTTP/1.1\r\nTransfer-Encoding: \x0bchunked\r\n\r\n0\r\n\r\n"),
        (400, "POST /RPC2 HTTP/1.1\r\nTransfer-Encoding:\r\n chunked\r\n\r\n0\r\n\r\n"),
        (411, "POST /RPC2 HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        // Folds and spaces.
        (400, "GET / HTTP/1.1\r\nHost: localhost\r\n folded\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: localhost\r\n\tfolded\r\n\r\n"),
        (400, "POST /RPC2 HTTP/1.1\r\nA: b\r\n Content-Length: 4\r\n\r\nabcd"),
        (400, "GET / HTTP/1.1\r\n Host: localhost\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost : localhost\r\n\r\n"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length : 4\r\n\r\nabcd"),
        (400, "POST /RPC2 HTTP/1.1\r\nContent-Length\t: 4\r\n\r\nabcd"),
        (400, "GET / HTTP/1.1\r\nNo Colon\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\n: nameless\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\na b: c\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\na@b: c\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nä: c\r\n\r\n"),
        // Stray CR, LF, NUL and the like.
        (400, "GET / HTTP/1.1\nHost: localhost\n\n"),
        (400, "GET / HTTP/1.1\r\nHost: localhost\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: localhost\r\n\n"),
        (400, "GET / HTTP/1.1\rHost: localhost\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nA: b\rContent-Length: 4\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nA: b\r\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nA: b\0c\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nA\0: b\r\n\r\n"),
        (400, "GET /\0 HTTP/1.1\r\n\r\n"),
        (400, "GET / HTTP/1.1\0\r\n\r\n"),
        (400, "\0GET / HTTP/1.1\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nA: b\x08\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nA: b\x7f\r\n\r\n"),
        (400, "\r\n\r\nGET / HTTP/1.1\r\n\r\n"),
        // Request lines.
        (400, "GET / HTTP/1.1 \r\n\r\n"),
        (400, " GET / HTTP/1.1\r\n\r\n"),
        (400, "GET  / HTTP/1.1\r\n\r\n"),
        (400, "GET\t/\tHTTP/1.1\r\n\r\n"),
        (400, "GET /a b HTTP/1.1\r\n\r\n"),
        (400, "GET /\r\n\r\n"),
        (400, "GET / HTTP/1.2\r\n\r\n"),
        (400, "GET / HTTP/2.0\r\n\r\n"),
        (400, "GET / HTTP/1.1x\r\n\r\n"),
        (400, "GET / http/1.1\r\n\r\n"),
        (400, "get / HTTP/1.1\r\n\r\n"),
        (400, "GET http://localhost/ HTTP/1.1\r\nHost: other\r\n\r\n"),
        (400, "GET /ä HTTP/1.1\r\n\r\n"),
        (501, "CONNECT / HTTP/1.1\r\n\r\n"),
        // Bodies where none belongs.
        (400, "GET /ok.html HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd"),
        (400, "HEAD /ok.html HTTP/1.1\r\nContent-Length: 4\r\n\r\nabcd"),
        (400, "GET /ok.html HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"),
        (400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"),
    ];
    let heads = heads.into_iter().map(|(status, head)| (status, head.to_owned()));
    for (status, bytes) in heads.chain(owned) {
        let said = say(&w, bytes.as_bytes()).await;
        let shown = &bytes[..bytes.floor_char_boundary(120)];
        assert!(said.starts_with(&format!("HTTP/1.1 {status} ")), "{shown:?}: {said}");
        assert_eq!(said.matches("HTTP/1.1 ").count(), 1, "{shown:?}: {said}");
        assert!(said.contains("connection: close"), "{shown:?}: {said}");
    }
    assert_eq!(w.fake.take_calls(), "");
}

#[tokio::test]
async fn sound_requests_in_a_row_are_answered_in_order() {
    let w = World::supervisor();
    let mut wire = w.unix().await;
    let one = "GET /ok.html HTTP/1.1\r\n\r\n";
    let two = "POST /index.html HTTP/1.1\r\nContent-Length: 14\r\n\r\naction=refresh";
    wire.send(&format!("{one}{two}\r\n{one}{BEHIND}")).await;
    for status in ["200 OK", "301 Moved Permanently", "200 OK", "202 Accepted"] {
        assert_eq!(wire.answer().await.status, status);
    }
    // What is sound before an ambiguous one is done.
    let bad = "GET / HTTP/1.1\r\n folded: x\r\n\r\n";
    let said = say(&w, format!("{BEHIND}{bad}").as_bytes()).await;
    assert_eq!(said.matches("HTTP/1.1 ").count(), 2, "{said}");
    assert_eq!(w.fake.take_calls(), "unix: shutdown\nunix: shutdown");
}

#[tokio::test]
async fn bytes_may_come_one_by_one() {
    let w = World::supervisor();
    let mut wire = w.unix().await;
    let text =
        "POST /index.html HTTP/1.1\r\nContent-Length: 14\r\n\r\naction=refreshGET /ok.html HTTP/1.1\r\n\r\n";
    for at in 0..text.len() {
        wire.send(&text[at..=at]).await;
    }
    assert_eq!(wire.answer().await.status, "301 Moved Permanently");
    assert_eq!(wire.answer().await.body, "OK");
}

#[tokio::test]
async fn a_client_that_has_said_all_is_answered() {
    use tokio::io::AsyncWriteExt;
    let w = World::supervisor();
    let mut wire = w.tcp().await;
    wire.send("GET /ok.html HTTP/1.1\r\n\r\nGET /ok.html HTTP/1.1\r\n\r\n").await;
    wire.stream.shutdown().await.unwrap();
    let said = wire.rest().await;
    assert_eq!(said.matches("HTTP/1.1 200 OK").count(), 2, "{said}");
}

#[tokio::test]
async fn old_and_new_versions_keep_or_close() {
    let w = World::supervisor();
    for (request, header, closes) in [
        ("GET /ok.html HTTP/1.0\r\n\r\n", None, true),
        ("GET /ok.html HTTP/1.0\r\nConnection: Keep-Alive\r\n\r\n", Some("keep-alive"), false),
        ("GET /ok.html HTTP/1.1\r\n\r\n", None, false),
        ("GET /ok.html HTTP/1.1\r\nConnection: close\r\n\r\n", Some("close"), true),
    ] {
        let mut wire = w.tcp().await;
        wire.send(request).await;
        let reply = wire.answer().await;
        assert_eq!((reply.body.as_str(), reply.header("connection")), ("OK", header), "{request}");
        if closes {
            wire.closed().await;
        } else {
            wire.send(request).await;
            assert_eq!(wire.answer().await.body, "OK", "{request}");
        }
    }
}
