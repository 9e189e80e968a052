//! The client against a server that breaks off after each byte of its answer.

use crate::fake::row;
use crate::world::DEADLINE;
use std::sync::{Arc, Mutex};
use supers_api::{Address, Credentials, Remote};
use supers_core::control::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::UnixListener;

/// Answers each connection's request with what `script` gives for its number and text, then closes.
struct Server {
    dir: tempfile::TempDir,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Server {
    fn new(script: impl Fn(usize, &str) -> Vec<u8> + Send + 'static) -> Server {
        let dir = tempfile::tempdir().unwrap();
        let socket = UnixListener::bind(dir.path().join("s")).unwrap();
        let asked: Arc<Mutex<Vec<String>>> = Arc::default();
        let notes = asked.clone();
        tokio::spawn(async move {
            loop {
                let (mut stream, _) = socket.accept().await.unwrap();
                let text = read_request(&mut stream).await;
                let number = notes.lock().unwrap().len();
                notes.lock().unwrap().push(text.clone());
                // The client may have gone.
                let _ = stream.write_all(&script(number, &text)).await;
            }
        });
        Server { dir, asked }
    }

    async fn remote(&self) -> Remote {
        Remote::connect(Address::Unix(self.dir.path().join("s")), Credentials::None).await.unwrap()
    }

    fn asked(&self) -> Vec<String> {
        self.asked.lock().unwrap().clone()
    }
}

async fn read_request(stream: &mut tokio::net::UnixStream) -> String {
    let mut text = Vec::new();
    loop {
        let read = tokio::time::timeout(DEADLINE, stream.read_buf(&mut text)).await.unwrap().unwrap();
        let so_far = String::from_utf8_lossy(&text).into_owned();
        let head = so_far.find("\r\n\r\n").map(|at| at + 4);
        let length = |head: &str| {
            let line = head.lines().find_map(|l| l.strip_prefix("content-length: "));
            line.map_or(0, |n| n.parse::<usize>().unwrap())
        };
        match head {
            Some(at) if so_far.len() >= at + length(&so_far[..at]) => return so_far,
            _ => assert!(read > 0, "the client closed after {so_far:?}"),
        }
    }
}

fn json_answer(body: &str) -> Vec<u8> {
    format!("HTTP/1.1 200 OK\r\ncontent-length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

fn chunked(head: &str, pieces: &[String]) -> Vec<u8> {
    let mut text = format!("HTTP/1.1 200 OK\r\n{head}\r\ntransfer-encoding: chunked\r\n\r\n");
    for piece in pieces {
        text += &format!("{:x}\r\n{piece}\r\n", piece.len());
    }
    (text + "0\r\n\r\n").into_bytes()
}

fn rows(names: &[&str], outcome: Outcome) -> Vec<u8> {
    let line = |n: &&str| serde_json::to_string(&row(n, outcome, 1)).unwrap() + "\n";
    chunked("content-type: application/x-ndjson", &names.iter().map(line).collect::<Vec<_>>())
}

fn cut(bytes: Vec<u8>, at: usize) -> Vec<u8> {
    bytes[..at].to_vec()
}

#[tokio::test]
async fn questions_are_asked_again() {
    let plan = serde_json::to_string(&PlanView { unchanged: 7, ..PlanView::default() }).unwrap();
    let whole = json_answer(&plan);
    for at in 0..whole.len() {
        let answer = whole.clone();
        let server = Server::new(move |n, _| if n == 0 { cut(answer.clone(), at) } else { answer.clone() });
        let plan = server.remote().await.reload(Caller::default(), false).await.unwrap();
        assert_eq!((plan.unchanged, server.asked().len()), (7, 2), "{at}");
    }
    let told = r#"{"error":{"kind":"replaced","text":"t"}}"#;
    let gone = format!("HTTP/1.1 503 x\r\ncontent-length: {}\r\n\r\n{told}", told.len()).into_bytes();
    let server = Server::new(move |n, _| if n < 3 { gone.clone() } else { json_answer(&plan) });
    assert_eq!(server.remote().await.reload(Caller::default(), false).await.unwrap().unchanged, 7);
    // But not a shutdown.
    let server = Server::new(|_, _| Vec::new());
    let refusal = server.remote().await.shutdown(Caller::default()).await.unwrap_err();
    assert!(refusal.to_string().starts_with("the connection to superd was lost"), "{refusal}");
    assert_eq!(server.asked().len(), 1);
}

fn order(verb: Verb, names: &[&str]) -> Order {
    let names = names.iter().map(|n| n.to_string()).collect();
    Order { verb, names, wait: true, timeout_ms: None, rules: Rules::Supers }
}

/// Names as their rows come, and how it ended.
async fn results(server: &Server, order: Order) -> (Vec<String>, Result<(), Refusal>) {
    let mut names = Vec::new();
    let mut rows = match server.remote().await.order(Caller::default(), order).await {
        Ok(rows) => rows,
        Err(refusal) => return (names, Err(refusal)),
    };
    loop {
        match rows.next().await {
            Ok(Some(row)) => names.push(row.name),
            Ok(None) => return (names, Ok(())),
            Err(refusal) => return (names, Err(refusal)),
        }
    }
}

#[tokio::test]
async fn starts_are_given_again_for_those_without_a_row() {
    let whole = rows(&["a", "g:b"], Outcome::Started);
    let second = |text: &str| {
        rows(if text.contains("\"a\"") { &["a", "g:b"] } else { &["g:b"] }, Outcome::AlreadyRunning)
    };
    for at in 0..whole.len() {
        let answer = whole.clone();
        let server = Server::new(move |n, text| if n == 0 { cut(answer.clone(), at) } else { second(text) });
        let (names, end) = results(&server, order(Verb::Start, &["a", "g:b"])).await;
        assert_eq!((names, end), (vec!["a".to_string(), "g:b".to_string()], Ok(())), "{at}");
    }
    // A pattern cannot be made smaller, but nobody is shown twice.
    let first = rows(&["a", "g:b"], Outcome::Stopped);
    let at = first.len() - "0\r\n\r\n".len();
    let server = Server::new(move |n, _| match n {
        0 => cut(first.clone(), at),
        _ => rows(&["a", "c", "g:b"], Outcome::NotRunning),
    });
    let (names, end) = results(&server, order(Verb::Stop, &["all"])).await;
    assert_eq!((names.join(" "), end), ("a g:b c".to_string(), Ok(())));
}

#[tokio::test]
async fn what_must_not_happen_twice_is_not_repeated() {
    let whole = rows(&["a", "g:b"], Outcome::Restarted);
    for verb in [Verb::Restart, Verb::Signal(1), Verb::Reload] {
        for at in 0..whole.len() {
            let answer = whole.clone();
            let server = Server::new(move |_, _| cut(answer.clone(), at));
            let (names, end) = results(&server, order(verb, &["a", "g:b"])).await;
            let open: Vec<&str> =
                ["a", "g:b"].into_iter().filter(|n| !names.contains(&n.to_string())).collect();
            let text = format!(
                "superd was replaced while it worked on this; `supers status {}` shows what became of it",
                open.join(" ")
            );
            let wanted = if open.is_empty() { Ok(()) } else { Err(Refusal::Failed { text }) };
            assert_eq!((end, server.asked().len()), (wanted, 1), "{verb:?} {at}");
        }
    }
}

#[tokio::test]
async fn logs_go_on_at_their_offset() {
    const TEXT: &str = "first\nsecond\nthird";
    for follow in [true, false] {
        let pieces = |at: usize| {
            let halves = [&TEXT[at..at.max(8)], &TEXT[at.max(8)..]];
            let pieces: Vec<String> =
                halves.iter().filter(|p| !p.is_empty()).map(|p| p.to_string()).collect();
            chunked(&format!("content-type: text/plain\r\nx-log-offset: {}", 1000 + at), &pieces)
        };
        for at in 0..pieces(0).len() {
            let server = Server::new(move |n, text| {
                let begin =
                    text.split("offset=").nth(1).map_or(0, |rest| rest[..4].parse::<usize>().unwrap() - 1000);
                if n == 0 { cut(pieces(0), at) } else { pieces(begin) }
            });
            let (name, stream) = ("a".to_string(), Stream::Stdout);
            let request = LogRequest { name, stream, from: LogFrom::Lines(3), follow };
            let mut flow = server.remote().await.logs(request).await.unwrap();
            let mut all = Vec::new();
            while let Some(chunk) = flow.next().await.unwrap() {
                assert_eq!(chunk.offset, 1000 + all.len() as u64, "{at}");
                all.extend(chunk.bytes);
            }
            assert_eq!((String::from_utf8(all).unwrap().as_str(), server.asked().len()), (TEXT, 2), "{at}");
        }
    }
}
