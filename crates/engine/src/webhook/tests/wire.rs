//! Over real connections, to a small server of the tests.

use super::super::courier::{Pace, Post};
use super::super::message::Delivery;
use super::super::outbox::Bounds;
use super::super::post::{Outcome, post};
use super::super::{Counts, Webhooks};
use super::{Lab, end_of, settings};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, mpsc};
use std::time::Duration;
use supers_config::webhook::Url;

const OK: &str = "HTTP/1.1 204 No Content\r\n\r\n";

/// A request, and the connection that waits for its answer.
struct Asked {
    head: String,
    body: String,
    stream: TcpStream,
}

fn read(stream: TcpStream) -> Option<Asked> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut head = String::new();
    while !head.ends_with("\r\n\r\n") {
        if reader.read_line(&mut head).ok()? == 0 {
            return None;
        }
    }
    let length = head.lines().find_map(|l| l.strip_prefix("content-length: "))?.parse().ok()?;
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Asked { head, body: String::from_utf8(body).ok()?, stream })
}

/// Requests as they come in at this address.
fn server(address: &str) -> (String, mpsc::Receiver<Asked>) {
    let listener = TcpListener::bind(address).unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let (tx, rx) = mpsc::channel();
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            if let Some(asked) = read(stream)
                && tx.send(asked).is_err()
            {
                return;
            }
        }
    });
    (address, rx)
}

fn answer(mut asked: Asked, text: &str) {
    asked.stream.write_all(text.as_bytes()).unwrap();
}

fn to(url: &str, timeout: Duration) -> Delivery {
    Delivery { timeout, ..end_of(1, url) }
}

/// What comes of one try that is answered like this.
async fn outcome_of(text: &'static str) -> Outcome {
    let (address, requests) = server("127.0.0.1:0");
    std::thread::spawn(move || answer(requests.recv().unwrap(), text));
    post(&to(&format!("http://{address}/hook?a=b"), Duration::from_secs(10))).await
}

#[tokio::test]
async fn answers_are_judged_by_their_class() {
    for (text, want) in [
        (OK, "Accepted"),
        ("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "Accepted"),
        // Its body breaks off, and nobody minds.
        ("HTTP/1.1 202 Accepted\r\nContent-Length: 200\r\n\r\nx", "Accepted"),
        ("HTTP/1.1 404 Not Found\r\n\r\n", r#"Refused("the answer was 404 Not Found")"#),
        ("HTTP/1.1 429 Too Many Requests\r\n\r\n", r#"Later("the answer was 429 Too Many Requests")"#),
        ("HTTP/1.1 408 Request Timeout\r\n\r\n", r#"Later("the answer was 408 Request Timeout")"#),
        ("HTTP/1.1 503 Service Unavailable\r\n\r\n", r#"Later("the answer was 503 Service Unavailable")"#),
        (
            "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n",
            r#"Refused("the answer was 302 Found, and redirects are not followed")"#,
        ),
    ] {
        assert_eq!(format!("{:?}", outcome_of(text).await), want, "{text}");
    }
    let Outcome::Later(why) = outcome_of("rubbish\r\n\r\n").await else { panic!("no HTTP is no answer") };
    assert!(why.starts_with("the connection broke"), "{why}");
    let Outcome::Later(why) = outcome_of("").await else { panic!("an end is no answer") };
    assert!(why.starts_with("the connection broke"), "{why}");
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left_in_time() {
    let (address, requests) = server("127.0.0.1:0");
    let outcome = post(&to(&format!("http://{address}/"), Duration::from_millis(50))).await;
    assert_eq!(outcome, Outcome::Later("no answer within 0.05 s".into()));
    drop(requests.recv().unwrap());
    // One that answers and then never ends.
    let (address, requests) = server("127.0.0.1:0");
    let holder = std::thread::spawn(move || {
        let mut asked = requests.recv().unwrap();
        asked.stream.write_all(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n").unwrap();
        asked
    });
    let outcome = post(&to(&format!("http://{address}/"), Duration::from_millis(200))).await;
    assert_eq!(outcome, Outcome::Accepted);
    drop(holder.join());
}

#[tokio::test]
async fn an_answer_is_read_up_to_a_bound() {
    let (address, requests) = server("127.0.0.1:0");
    let endless = std::thread::spawn(move || {
        let mut stream = requests.recv().unwrap().stream;
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n");
        let mut sent = 0u64;
        while stream.write_all(&[b'x'; 4096]).is_ok() {
            sent += 4096;
        }
        sent
    });
    assert_eq!(post(&to(&format!("http://{address}/"), Duration::from_secs(60))).await, Outcome::Accepted);
    assert!(tokio::task::spawn_blocking(|| endless.join().unwrap()).await.unwrap() < 64 << 20);
}

#[tokio::test]
async fn who_cannot_be_reached_is_said() {
    let free = TcpListener::bind("127.77.0.1:0").unwrap().local_addr().unwrap();
    let outcome = post(&to(&format!("http://{free}/"), Duration::from_secs(10))).await;
    assert_eq!(outcome, Outcome::Later("Connection refused".into()));
    let outcome = post(&to("http://no-such-host.invalid/", Duration::from_secs(10))).await;
    assert!(matches!(&outcome, Outcome::Later(why) if why.starts_with("no such host")), "{outcome:?}");
}

/// Every address that the configuration takes can be asked.
#[tokio::test]
async fn all_characters_of_an_address_arrive() {
    let (address, requests) = server("127.0.0.1:0");
    let target = "/a-._~:/@!$&'()*+,;=%20?b=/?:@!$&'()*+,;=%20";
    let url = format!("http://u%20x:p@{address}{target}");
    assert!(Url::parse(&url).is_ok());
    let sender = std::thread::spawn(move || {
        let asked = requests.recv().unwrap();
        let head = asked.head.clone();
        answer(asked, OK);
        head
    });
    assert_eq!(post(&to(&url, Duration::from_secs(10))).await, Outcome::Accepted);
    let head = sender.join().unwrap();
    assert!(head.starts_with(&format!("POST {target} HTTP/1.1\r\nhost: {address}\r\n")), "{head}");
    assert!(head.contains("authorization: Basic dSB4OnA=\r\n"), "{head}");
}

fn hooks(lab: &Lab) -> Webhooks {
    let post: Post = Arc::new(|delivery| Box::pin(async move { post(&delivery).await }));
    let pace = Pace { first: Duration::from_millis(5), most: Duration::from_millis(20) };
    let state = lab.outbox();
    let hooks = Webhooks::open(state.parent().unwrap(), lab.say(), Bounds::default(), (post, pace));
    hooks.go_on();
    hooks
}

/// The thread has taken note of it when its file is gone.
fn until_empty(lab: &Lab) {
    let end = std::time::Duration::from_secs(20);
    let (tx, rx) = mpsc::channel::<()>();
    let began = crate::clock::now();
    while lab.waiting_files() > 0 {
        assert!(crate::clock::now().mono.since(began.mono) < end, "{:?}", lab.files());
        // Nobody sends: a pause between two looks.
        let _ = rx.recv_timeout(Duration::from_millis(2));
    }
    drop(tx);
}

#[test]
fn dead_then_failing_then_well_over_two_crashes_and_one_delivery() {
    let lab = Lab::new();
    let free = TcpListener::bind("127.77.0.1:0").unwrap().local_addr().unwrap().to_string();
    let url = format!("http://{free}/hook");
    let first = hooks(&lab);
    assert!(lab.files().is_empty());
    first.deliver(end_of(1, &url));
    // Crash while nobody listens. (A thread cannot be killed; it is told to send nothing more.)
    first.stop();
    drop(first);

    let second = hooks(&lab);
    second.deliver(end_of(1, &url));
    let (_, requests) = server(&free);
    let mut seen = Vec::new();
    for text in ["HTTP/1.1 500 No\r\n\r\n", "HTTP/1.1 502 No\r\n\r\n"] {
        let asked = requests.recv().unwrap();
        seen.push((asked.head.clone(), asked.body.clone()));
        answer(asked, text);
    }
    // Crash while the answer is on its way: the server has it, superd does not know.
    let asked = requests.recv().unwrap();
    seen.push((asked.head.clone(), asked.body.clone()));
    second.stop();
    drop((second, asked));

    let third = hooks(&lab);
    let asked = requests.recv().unwrap();
    seen.push((asked.head.clone(), asked.body.clone()));
    answer(asked, OK);
    until_empty(&lab);
    let id = end_of(1, &url).id.to_string();
    for (head, body) in &seen {
        assert_eq!((head, body), (&seen[0].0, &seen[0].1), "every try is the same");
        assert!(head.contains(&format!("idempotency-key: {id}\r\n")) && body.contains(&id));
    }
    // Made again, by the third and by a fourth: nothing.
    third.deliver(end_of(1, &url));
    let fourth = hooks(&lab);
    fourth.deliver(end_of(1, &url));
    assert_eq!(fourth.counts(), Counts::default());
    assert!(requests.try_recv().is_err());
    third.stop();
    assert_eq!(settings(&url).url.unwrap().to_string(), url);
}
