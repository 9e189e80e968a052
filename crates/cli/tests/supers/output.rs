//! `supers logs`.

use crate::world::World;
use supers_core::control::LogChunk;

fn chunk(offset: u64, text: &str) -> Result<LogChunk, supers_core::control::Refusal> {
    Ok(LogChunk { offset, bytes: text.into() })
}

#[test]
fn of_one_program_as_it_is() {
    let w = World::new();
    w.fake.script_log(0, b"one\ntwo without an end");
    insta::assert_snapshot!(w.all("logs db"), @r#"
    one
    two without an end--- 0
    "#);
    w.fake.script_log(0, b"");
    insta::assert_snapshot!(w.all("logs -n 0 --stderr shop:web"), @"--- 0");
    insta::assert_snapshot!(w.all("logs wbe"), @r#"
    --- stderr
    supers: no program is called "wbe"; did you mean shop:web?
    --- 4
    "#);
    insta::assert_snapshot!(w.fake.take_calls(), @r#"
    logs db Stdout Lines(10) follow=false
    logs shop:web Stderr Lines(0) follow=false
    "#);
}

#[test]
fn of_several_programs_with_their_names() {
    let w = World::new();
    w.fake.script_log(0, b"d1\nd2");
    w.fake.script_log(0, b"");
    w.fake.script_log(0, b"w1\n");
    insta::assert_snapshot!(w.all("logs all"), @r#"
    db        | d1
    db        | d2
    shop:web  | w1
    --- 0
    "#);
    w.fake.script_log(0, b"c1\n");
    w.fake.script_log(0, b"w1\n");
    insta::assert_snapshot!(w.all("logs shop:* --color always"), @r#"
    [36mshop:cart[0m | c1
    [33mshop:web[0m  | w1
    --- 0
    "#);
}

#[test]
fn followed_lines_are_never_mixed() {
    let w = World::new();
    let (db, web) = (w.fake.feed_logs(), w.fake.feed_logs());
    for feed in [&db, &web] {
        feed.try_send(chunk(0, "begin")).unwrap();
        feed.try_send(chunk(5, "-end\nrest")).unwrap();
    }
    drop((db, web));
    let ran = w.run("logs -f db shop:web");
    let mut lines: Vec<&str> = ran.out.lines().collect();
    lines.sort_unstable();
    insta::assert_snapshot!(lines.join("\n"), @r#"
    db       | begin-end
    db       | rest
    shop:web | begin-end
    shop:web | rest
    "#);
}

#[test]
fn as_json_lines() {
    let w = World::new();
    let feed = w.fake.feed_logs();
    feed.try_send(chunk(7, "a\n")).unwrap();
    feed.try_send(Ok(LogChunk { offset: 9, bytes: vec![255, b'\n'] })).unwrap();
    drop(feed);
    let ran = w.run("logs --json db");
    // Pieces may be joined on the way; bytes and offsets stay.
    let pieces: Vec<serde_json::Value> = ran.out.lines().map(|l| serde_json::from_str(l).unwrap()).collect();
    let text: String = pieces.iter().filter_map(|p| p["text"].as_str()).collect();
    assert_eq!((text.as_str(), pieces[0]["offset"].as_u64()), ("a\n\u{fffd}\n", Some(7)));
    assert_eq!((pieces[0]["name"].as_str(), pieces[0]["stream"].as_str()), (Some("db"), Some("stdout")));
}

/// A log that breaks off, as it does when superd crashes, goes on where it was; what is wrong then is told.
#[test]
fn a_log_that_is_cut_goes_on() {
    let w = World::new();
    let refusal = || supers_core::control::Refusal::Failed { text: "disk".into() };
    let feeds = [w.fake.feed_logs(), w.fake.feed_logs(), w.fake.feed_logs()];
    feeds[0].try_send(chunk(5, "one\ntw")).unwrap();
    feeds[0].try_send(Err(refusal())).unwrap();
    feeds[1].try_send(chunk(11, "o\n")).unwrap();
    feeds[1].try_send(Err(refusal())).unwrap();
    feeds[2].try_send(Err(refusal())).unwrap();
    let ran = w.run("logs -f db");
    assert_eq!((ran.out.as_str(), ran.exit.code(), ran.err.as_str()), ("one\ntwo\n", 1, "supers: disk\n"));
    insta::assert_snapshot!(w.fake.take_calls(), @r#"
    logs db Stdout Lines(10) follow=true
    logs db Stdout Offset(11) follow=true
    logs db Stdout Offset(13) follow=true
    "#);
}
