//! The client against the server: everything passes through both, unchanged.

use crate::fake::row;
use crate::world::World;
use std::path::PathBuf;
use supers_api::door::{Auth, Door, Password, Secret};
use supers_api::{Address, ConnectError, Credentials, Limits, Remote};
use supers_core::control::*;

async fn remote(w: &World) -> Remote {
    Remote::connect(Address::Unix(w.unix.clone()), Credentials::None).await.unwrap()
}

#[tokio::test]
async fn one_connection_carries_many_requests() {
    let w = World::new();
    let r = remote(&w).await;
    let status = r.status().await.unwrap();
    assert_eq!(status.daemon.pid, 100);
    assert_eq!(status.programs, w.fake.programs());
    let plan = PlanView { unchanged: 3, ..PlanView::default() };
    *w.fake.plan.lock().unwrap() = plan.clone();
    assert_eq!(r.reload(Caller::default(), true).await.unwrap(), plan);
    r.shutdown(Caller::default()).await.unwrap();
    assert_eq!(w.handle.counters().accepted, 1);
}

#[tokio::test]
async fn rows_and_refusals() {
    let w = World::new();
    let r = remote(&w).await;
    let tail = vec!["ä".to_string(), String::new()];
    let failed = Row { detail: "why".into(), tail, changed: true, ..row("db", Outcome::Failed, 0) };
    w.fake.script_rows([failed.clone(), row("x", Outcome::TimedOut, 5)]);
    let order = |names: &[&str]| Order {
        verb: Verb::Signal(10),
        names: names.iter().map(|n| n.to_string()).collect(),
        wait: true,
        timeout_ms: Some(9),
        rules: Rules::Supers,
    };
    let mut rows = r.order(Caller::default(), order(&["db", "x"])).await.unwrap();
    assert_eq!(rows.next().await.unwrap(), Some(failed));
    assert_eq!(rows.next().await.unwrap(), Some(row("x", Outcome::TimedOut, 5)));
    assert_eq!(rows.next().await.unwrap(), None);
    assert_eq!(w.fake.take_calls(), "unix: Signal(10) [\"db\", \"x\"] wait=true timeout=Some(9)");

    let refusal = r.order(Caller::default(), order(&["bd"])).await.err().unwrap();
    let hint = Some("did you mean db?".to_string());
    assert_eq!(refusal, Refusal::UnknownName { name: "bd".into(), hint });

    let feed = w.fake.feed_rows();
    feed.send(Err(Refusal::ShuttingDown)).await.unwrap();
    let mut rows = r.order(Caller::default(), order(&["db"])).await.unwrap();
    assert_eq!(rows.next().await.unwrap_err(), Refusal::ShuttingDown);
}

#[tokio::test]
async fn output_keeps_its_offsets_and_bytes() {
    let w = World::new();
    let r = remote(&w).await;
    let feed = w.fake.feed_logs();
    let request = LogRequest {
        name: "shop:web".into(),
        stream: Stream::Stderr,
        from: LogFrom::Offset(5),
        follow: true,
    };
    feed.send(Ok(LogChunk { offset: 9, bytes: vec![0, 255, b'\n'] })).await.unwrap();
    let mut flow = r.logs(request).await.unwrap();
    let first = flow.next().await.unwrap().unwrap();
    assert_eq!(first, LogChunk { offset: 9, bytes: vec![0, 255, b'\n'] });
    feed.send(Ok(LogChunk { offset: 12, bytes: b"x".to_vec() })).await.unwrap();
    assert_eq!(flow.next().await.unwrap().unwrap().offset, 12);
    assert_eq!(w.fake.take_calls(), "logs shop:web Stderr Offset(5) follow=true");
    // While that flows, another connection serves other requests.
    assert_eq!(r.status().await.unwrap().daemon.pid, 100);
}

#[tokio::test]
async fn a_unit_is_added() {
    let w = World::new();
    let r = remote(&w).await;
    let unit = NewUnit {
        name: "new".into(),
        command: vec!["a b".into()],
        description: Some("d".into()),
        user: None,
        directory: None,
        replace: true,
    };
    let mut rows = r.add(Caller::default(), unit.clone()).await.unwrap();
    assert_eq!(rows.next().await.unwrap().unwrap().outcome, Outcome::Started);
    assert_eq!(w.fake.take_calls(), format!("unix: add {unit:?}"));
}

#[tokio::test]
async fn passwords_over_tcp() {
    let auth = Auth { username: "bob".into(), password: Password::Plain(Secret::new("pw")) };
    let w = World::with(Door { auth: Some(auth), ..Door::tcp("tcp") }, Limits::default());
    let address = Address::Tcp("127.0.0.1".into(), w.tcp.port());
    let good = Credentials::Basic("bob".into(), Secret::new("pw"));
    let r = Remote::connect(address.clone(), good).await.unwrap();
    r.shutdown(Caller::default()).await.unwrap();
    let r = Remote::connect(address, Credentials::Bearer(Secret::new("pw"))).await.unwrap();
    let refusal = r.status().await.unwrap_err();
    assert!(matches!(refusal, Refusal::Denied { .. }), "{refusal}");
}

#[tokio::test]
async fn a_connection_that_was_closed_is_replaced() {
    let w = World::with(Door::tcp("tcp"), Limits { connections: 1, ..Limits::default() });
    let r = remote(&w).await;
    for n in 1..4 {
        r.status().await.unwrap();
        // The only seat goes to a newcomer.
        assert!(w.ask("GET /api/v1/version", "").await.starts_with("200"));
        assert!(w.handle.counters().evicted >= n);
    }
}

#[tokio::test]
async fn why_there_is_no_connection() {
    let w = World::new();
    let try_at = async |path: PathBuf| match Remote::connect(Address::Unix(path), Credentials::None).await {
        Ok(_) => "connected".to_string(),
        Err(e) => format!("{e:?}"),
    };
    assert_eq!(try_at(w.unix.clone()).await, "connected");
    assert_eq!(try_at(w.dir.path().join("nothing")).await, "Missing");
    assert_eq!(try_at(w.dir.path().join("x".repeat(200))).await, "TooLong");
    w.handle.remove("unix").await;
    assert_eq!(try_at(w.unix.clone()).await, "Refused");
    w.handle.remove("tcp").await;
    let tcp = Address::Tcp("127.0.0.1".into(), w.tcp.port());
    assert!(matches!(Remote::connect(tcp, Credentials::None).await, Err(ConnectError::Refused)));
}
