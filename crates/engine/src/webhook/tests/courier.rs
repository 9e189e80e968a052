//! When things are tried, in a time that the tests turn.

use super::super::courier::{Courier, Pace, Post};
use super::super::message::Delivery;
use super::super::outbox::Bounds;
use super::super::post::Outcome;
use super::super::{Counts, Webhooks};
use super::{AT, Lab, end_of};
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use supers_core::time::Wall;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::Instant;

/// An endpoint that answers from a list, and when that is empty takes everything.
struct Endpoint {
    answers: Arc<Mutex<VecDeque<Outcome>>>,
    calls: mpsc::UnboundedReceiver<(Instant, Arc<Delivery>)>,
    post: Post,
}

fn endpoint(answers: impl IntoIterator<Item = Outcome>) -> Endpoint {
    let answers: Arc<Mutex<VecDeque<Outcome>>> = Arc::new(Mutex::new(answers.into_iter().collect()));
    let (tx, calls) = mpsc::unbounded_channel();
    let list = answers.clone();
    let post: Post = Arc::new(move |delivery| {
        let outcome = list.lock().unwrap().pop_front().unwrap_or(Outcome::Accepted);
        let _ = tx.send((Instant::now(), delivery));
        Box::pin(async move { outcome })
    });
    Endpoint { answers, calls, post }
}

impl Endpoint {
    /// The run that the next call is about, and how long it took to come.
    async fn next(&mut self) -> (String, Duration) {
        let asked = Instant::now();
        let (at, delivery) = self.calls.recv().await.unwrap();
        let body: serde_json::Value = serde_json::from_str(&delivery.body).unwrap();
        (format!("{}", body["run"]), at.duration_since(asked))
    }
}

fn later() -> Outcome {
    Outcome::Later("nobody there".into())
}

fn refused() -> Outcome {
    Outcome::Refused("the answer was 404 Not Found".into())
}

fn run(hooks: &Webhooks, now: Wall) -> JoinHandle<()> {
    let (post, pace) = hooks.how.clone();
    tokio::spawn(Courier::new(hooks.shared.clone(), post, pace, now).run())
}

/// Until it is so; the courier is not idle before.
async fn until(hooks: &Webhooks, so: impl Fn(&Counts) -> bool) {
    for _ in 0..1000 {
        if so(&hooks.counts()) {
            return;
        }
        tokio::task::yield_now().await;
    }
    panic!("{:?}", hooks.counts());
}

#[tokio::test(start_paused = true)]
async fn a_dead_endpoint_is_asked_less_and_less_and_then_gets_everything_once() {
    let lab = Lab::new();
    let mut there = endpoint(std::iter::repeat_with(later).take(20));
    let hooks = lab.open(Bounds::default(), there.post.clone());
    hooks.deliver(end_of(1, "http://a/x"));
    hooks.deliver(end_of(2, "http://a/x"));
    hooks.deliver(end_of(2, "http://a/x"));
    let courier = run(&hooks, AT);
    let mut pauses = Vec::new();
    for _ in 0..21 {
        pauses.push(there.next().await.1);
    }
    assert!(pauses[0].is_zero() && pauses[1] >= Duration::from_secs(1), "{pauses:?}");
    assert!(pauses.iter().skip(12).all(|p| (300..=601).contains(&p.as_secs())), "{pauses:?}");
    // The other one follows at once.
    let (_, pause) = there.next().await;
    assert!(pause < Duration::from_millis(5), "{pause:?}");
    until(&hooks, |c| c.waiting == 0).await;
    assert_eq!(hooks.counts(), Counts { sent: 2, failed: 20, ..Counts::default() });
    assert_eq!(lab.files(), ["settled"]);
    assert!(there.calls.try_recv().is_err());
    assert_eq!(
        lab.said(),
        "webhook: a:80: nobody there; 2 waiting, tried again\nwebhook: a:80 takes notifications again"
    );
    courier.abort();
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_refused_holds_up_nobody_and_is_dropped_after_three_tries() {
    let lab = Lab::new();
    // 1 is refused, 2 is taken, 1 is refused, 1 is refused.
    let mut there = endpoint([refused(), Outcome::Accepted, refused(), refused()]);
    let hooks = lab.open(Bounds::default(), there.post.clone());
    hooks.deliver(end_of(1, "http://a/x"));
    hooks.deliver(end_of(2, "http://a/x"));
    let courier = run(&hooks, AT);
    let mut order = String::new();
    for _ in 0..4 {
        order += &there.next().await.0;
    }
    assert_eq!(order, "1211");
    until(&hooks, |c| c.waiting == 0).await;
    let counts = hooks.counts();
    assert_eq!((counts.sent, counts.failed, counts.given_up), (1, 3, 1));
    assert!(lab.said().contains("is dropped: it was refused 3 times, last: the answer was 404 Not Found"));
    // It is not sent again when it is made again.
    hooks.deliver(end_of(1, "http://a/x"));
    assert_eq!(hooks.counts().waiting, 0);
    assert_eq!(lab.files(), ["settled"]);
    courier.abort();
}

#[tokio::test(start_paused = true)]
async fn what_is_three_days_old_is_dropped_after_one_more_try() {
    let lab = Lab::new();
    let mut there = endpoint(std::iter::repeat_with(later).take(2000));
    let hooks = lab.open(Bounds::default(), there.post.clone());
    hooks.deliver(end_of(1, "http://a/x"));
    let began = Instant::now();
    let courier = run(&hooks, AT);
    while hooks.counts().waiting > 0 {
        there.next().await;
        tokio::task::yield_now().await;
    }
    let days = began.elapsed().as_secs_f64() / 86400.0;
    assert!((3.0..3.01).contains(&days), "{days}");
    assert!(lab.said().contains("was not taken for three days, last: nobody there"), "{}", lab.said());
    courier.abort();

    // A daemon that was down for a week tries before it judges.
    hooks.deliver(end_of(2, "http://a/x"));
    there.answers.lock().unwrap().clear();
    let after = lab.open(Bounds::default(), there.post.clone());
    let courier = run(&after, Wall(AT.0 + 7 * 86_400_000));
    there.next().await;
    until(&after, |c| c.sent == 1).await;
    courier.abort();
}

#[tokio::test(start_paused = true)]
async fn a_daemon_that_is_killed_sends_the_rest_and_no_id_that_was_settled() {
    let lab = Lab::new();
    let there = endpoint([]);
    let hooks = lab.open(Bounds::default(), there.post.clone());
    (1..=3).for_each(|run| hooks.deliver(end_of(run, "http://a/x")));
    drop((hooks, there));
    // Killed before the first try; then while the first is answered; then it lives.
    let mut there = endpoint([later()]);
    let hooks = lab.open(Bounds::default(), there.post.clone());
    let courier = run(&hooks, AT);
    there.next().await;
    courier.abort();
    let _ = courier.await;
    let mut there = endpoint([]);
    let hooks = lab.open(Bounds::default(), there.post.clone());
    let courier = run(&hooks, AT);
    let mut order = String::new();
    for _ in 0..3 {
        order += &there.next().await.0;
    }
    assert_eq!(order, "123");
    until(&hooks, |c| c.waiting == 0).await;
    courier.abort();
    let _ = courier.await;
    // All was settled: a new one finds nothing to do, and what the engine makes again is nothing.
    let mut there = endpoint([]);
    let hooks = lab.open(Bounds::default(), there.post.clone());
    (1..=3).for_each(|run| hooks.deliver(end_of(run, "http://a/x")));
    let courier = run(&hooks, AT);
    let quiet = tokio::time::timeout(Duration::from_secs(3600), there.next()).await;
    assert!(quiet.is_err());
    courier.abort();
}

#[tokio::test(start_paused = true)]
async fn one_endpoint_does_not_wait_for_another() {
    let lab = Lab::new();
    let calls = Arc::new(Mutex::new(Vec::new()));
    let list = calls.clone();
    // `slow` never answers.
    let post: Post = Arc::new(move |delivery: Arc<Delivery>| {
        list.lock().unwrap().push(delivery.url.host.clone());
        Box::pin(async move {
            if delivery.url.host == "slow" {
                std::future::pending::<()>().await;
            }
            Outcome::Accepted
        })
    });
    let hooks = lab.open(Bounds::default(), post);
    hooks.deliver(end_of(1, "http://slow/"));
    (2..=4).for_each(|run| hooks.deliver(end_of(run, "http://quick/")));
    let courier = run(&hooks, AT);
    until(&hooks, |c| c.sent == 3).await;
    assert_eq!(hooks.counts().waiting, 1);
    assert_eq!(calls.lock().unwrap().iter().filter(|host| *host == "slow").count(), 1);
    courier.abort();
}

#[tokio::test(start_paused = true)]
async fn too_many_are_told_of_once() {
    let lab = Lab::new();
    let mut there = endpoint(std::iter::repeat_with(later).take(1));
    let hooks = lab.open(Bounds { files: 2, ..Bounds::default() }, there.post.clone());
    (1..=5).for_each(|run| hooks.deliver(end_of(run, "http://a/")));
    let courier = run(&hooks, AT);
    for _ in 0..3 {
        there.next().await;
    }
    until(&hooks, |c| c.waiting == 0).await;
    assert_eq!((hooks.counts().dropped, hooks.counts().sent), (3, 2));
    assert_eq!(lab.said().matches("the oldest are dropped").count(), 1);
    // Somebody cleared the folder by hand: that is no failure.
    hooks.deliver(end_of(9, "http://a/"));
    std::fs::remove_dir_all(lab.outbox()).unwrap();
    until(&hooks, |c| c.waiting == 0).await;
    assert!(there.calls.try_recv().is_err() && !lab.said().contains("lost"));
    courier.abort();
}

proptest! {
    #[test]
    fn pauses_grow_within_their_bounds(failures in 1u32.., random: u32) {
        let pace = Pace::default();
        let pause = pace.pause(failures, random);
        prop_assert!((pace.first..=pace.most).contains(&pause));
        let longest = pace.pause(failures, u32::MAX);
        prop_assert!(pause <= longest && longest <= pace.pause(failures.saturating_add(1), u32::MAX));
        if failures > 10 {
            prop_assert!(pause >= pace.most / 2);
        }
    }
}
