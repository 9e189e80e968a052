//! The history over HTTP.

use crate::world::World;
use supers_core::history::{Asked, Entry, What};
use supers_core::time::Wall;

fn world() -> World {
    let w = World::new();
    let one = |secs: i64, unit: Option<&str>, what| Entry {
        at: Wall(secs * 1000),
        unit: unit.map(Into::into),
        run: 0,
        what,
    };
    let asked = Asked { verb: "reload".into(), who: "root".into(), door: "unix".into(), ..Asked::default() };
    *w.fake.history.lock().unwrap() = vec![
        one(1, None, What::Asked(asked)),
        one(2, Some("shop:web"), What::Started { pid: 42 }),
        one(3, Some("old"), What::Reloaded),
        one(4, Some("shop:cart"), What::Dependency { on: "db".into() }),
    ];
    w
}

#[tokio::test]
async fn pages_of_entries() {
    let w = world();
    insta::assert_snapshot!(w.ask("GET /api/v1/history", "").await, @r#"
    200 OK
    {"entries":[{"at":1000,"what":"asked","verb":"reload","who":"root","door":"unix","text":"root asked through the unix socket: reload"},{"at":2000,"unit":"shop:web","what":"started","pid":42,"text":"started, pid 42"},{"at":3000,"unit":"old","what":"reloaded","text":"its reload command ended well"},{"at":4000,"unit":"shop:cart","what":"dependency","on":"db","text":"not started: db, which it requires, did not start"}],"skipped":0,"dropped":0}
    "#);
    insta::assert_snapshot!(w.ask("GET /api/v1/programs/web/history", "").await, @r#"
    200 OK
    {"entries":[{"at":2000,"unit":"shop:web","what":"started","pid":42,"text":"started, pid 42"}],"skipped":0,"dropped":0}
    "#);
    let all = w.ask("GET /api/v1/history", "").await;
    assert_eq!(w.ask("GET /api/v1/programs/all/history?limit=4", "").await, all);
    let count = |text: String| text.matches("\"at\"").count();
    assert_eq!(count(w.ask("GET /api/v1/programs/shop:*/history", "").await), 2);
    assert_eq!(count(w.ask("GET /api/v1/history?limit=1", "").await), 1);
    assert_eq!(count(w.ask("GET /api/v1/history?since=3", "").await), 2);
    // It is not configured any more.
    assert_eq!(count(w.ask("GET /api/v1/programs/old.service/history", "").await), 1);
    insta::assert_snapshot!(w.ask("GET /api/v1/programs/wbe/history", "").await, @r#"
    404 Not Found
    {"error":{"kind":"unknown-name","text":"no program is called \"wbe\"","hint":"did you mean shop:web?","name":"wbe"}}
    "#);
}

#[tokio::test]
async fn stories() {
    let w = world();
    let story = w.ask("GET /api/v1/programs/shop:cart/why", "").await;
    let wanted = "\"next\":\"supers logs shop:cart\"}";
    assert!(story.contains("{\"name\":\"shop:cart\",\"lines\":[\"shop:cart is FATAL since "), "{story}");
    assert!(story.trim_end().ends_with(wanted), "{story}");
    let both = w.ask("GET /api/v1/programs/shop:*/why", "").await;
    assert!(both.contains("[{") && both.contains("\"name\":\"shop:web\""), "{both}");
    assert!(w.ask("GET /api/v1/programs/nope/why", "").await.starts_with("404"));
}
