//! `supers history` and `supers why`.

use crate::world::{World, around, run_in};
use supers_core::history::{Asked, Change, Death, Deed, Entry, What};
use supers_core::time::Wall;

/// What befell `shop:cart`, and a few things beside it.
fn past() -> Vec<Entry> {
    let one = |secs: i64, unit: &str, what| Entry {
        at: Wall((1_795_263_600 + secs) * 1000),
        unit: Some(unit).filter(|u| !u.is_empty()).map(Into::into),
        run: 7,
        what,
    };
    let asked = |verb: &str, names: &[&str], all| {
        let names = names.iter().map(|n| (*n).to_string()).collect();
        let (who, door) = ("root".into(), "unix".into());
        What::Asked(Asked { verb: verb.into(), names, all, who, door, ..Asked::default() })
    };
    let death = Death {
        pid: 9,
        exit: Some(1),
        lived_ms: Some(200),
        tail: vec!["cannot \x1b[2Jbind".into(), "bye".into()],
        ..Death::default()
    };
    let (file, line, change) = ("/etc/super/cart.service".into(), 3, Change::Changed);
    vec![
        one(0, "", asked("start", &["all"], true)),
        one(1, "db", What::Started { pid: 41 }),
        one(10, "", asked("reload", &[], false)),
        one(11, "shop:cart", What::FileChanged { file, line, change, by: "root asked: reload".into() }),
        one(12, "shop:cart", What::Started { pid: 9 }),
        one(13, "shop:cart", What::Exited(death)),
        one(
            13,
            "shop:cart",
            What::GaveUp { tries: 4, detail: "gave up after 4 tries: exit status 1".into() },
        ),
        one(20, "", What::Daemon { deed: Deed::Crashed, detail: String::new() }),
        one(21, "gone", What::Other { what: "danced".into(), text: "danced on".into() }),
    ]
}

fn world() -> World {
    let mut w = World::new();
    w.around.world.env.push(("TZ".into(), "UTC".into()));
    *w.fake.history.lock().unwrap() = past();
    w
}

#[test]
fn a_time_line() {
    let w = world();
    insta::assert_snapshot!(w.all("history cart"), @r#"
    2026-11-21 12:20:00  -          root asked through the unix socket: start all
    2026-11-21 12:20:11  shop:cart  its description changed: /etc/super/cart.service:3 (root asked: reload)
    2026-11-21 12:20:12  shop:cart  started, pid 9
    2026-11-21 12:20:13  shop:cart  ended, which was not expected: exit status 1 after 200 ms
                                    | cannot bind
                                    | bye
    2026-11-21 12:20:13  shop:cart  gave up after 4 tries: exit status 1
    2026-11-21 12:20:20  -          superd ended without a word and was started again
    --- 0
    "#);
    insta::assert_snapshot!(w.all("history -n 2 db gone nope"), @r#"
    2026-11-21 12:20:20  -     superd ended without a word and was started again
    2026-11-21 12:20:21  gone  danced on
    --- stderr
    supers: no program is called "nope"
    --- 4
    "#);
    insta::assert_snapshot!(w.all("history --color always -n 3"), @r#"
    [2m2026-11-21 12:20:13[0m  shop:cart  [31mgave up after 4 tries: exit status 1[0m
    [2m2026-11-21 12:20:20[0m  -          [31msuperd ended without a word and was started again[0m
    [2m2026-11-21 12:20:21[0m  gone       danced on
    --- 0
    "#);
    insta::assert_snapshot!(w.all("history --since 2026-11-21T12:20:20"), @r#"
    2026-11-21 12:20:20  -     superd ended without a word and was started again
    2026-11-21 12:20:21  gone  danced on
    --- 0
    "#);
    assert_eq!(w.run("history --since soon").exit.code(), 2);
}

#[test]
fn a_story() {
    let w = world();
    insta::assert_snapshot!(w.all("why cart nope"), @r#"
    shop:cart is FATAL since 2026-11-21 12:22:05: gave up after 4 tries: exit status 1 after 1 s.
    Last, at 2026-11-21 12:20:13: ended, which was not expected: exit status 1 after 200 ms.
    Its last output:
      | cannot bind
      | bye
    It was started at 2026-11-21 12:20:12 because of this, at 2026-11-21 12:20:11: its description changed: /etc/super/cart.service:3 (root asked: reload).
    At 2026-11-21 12:20:20: superd ended without a word and was started again.
    → supers -s $URL logs shop:cart
    --- stderr
    supers: no program is called "nope"
    --- 4
    "#);
    insta::assert_snapshot!(w.all("why db"), @r#"
    db is RUNNING since 2026-11-20 11:21:04, pid 41.
    It was started at 2026-11-21 12:20:01 because of this, at 2026-11-21 12:20:00: root asked through the unix socket: start all.
    At 2026-11-21 12:20:20: superd ended without a word and was started again.
    → supers -s $URL history db
    --- 0
    "#);
    insta::assert_snapshot!(w.all("why --color always cart"), @r#"
    [31mshop:cart is FATAL since 2026-11-21 12:22:05: gave up after 4 tries: exit status 1 after 1 s.[0m
    Last, at 2026-11-21 12:20:13: ended, which was not expected: exit status 1 after 200 ms.
    Its last output:
    [2m  | cannot bind[0m
    [2m  | bye[0m
    It was started at 2026-11-21 12:20:12 because of this, at 2026-11-21 12:20:11: its description changed: /etc/super/cart.service:3 (root asked: reload).
    At 2026-11-21 12:20:20: superd ended without a word and was started again.
    → supers -s $URL logs shop:cart
    --- 0
    "#);
    assert_eq!(w.run("why").exit.code(), 2);
}

#[test]
fn as_json() {
    let w = world();
    let ran = w.run("history --json cart");
    let back: Vec<Entry> = serde_json::from_str(&ran.out).unwrap();
    let wanted: Vec<Entry> = past().into_iter().filter(|e| e.concerns("shop:cart")).collect();
    assert_eq!(back, wanted);
    let lines: Vec<serde_json::Value> = serde_json::from_str(&ran.out).unwrap();
    insta::assert_snapshot!(lines[3], @r#"
    {"at":1795263613000,"exit":1,"expected":false,"lived_ms":200,"pid":9,"run":7,"tail":["cannot \u001b[2Jbind","bye"],"text":"ended, which was not expected: exit status 1 after 200 ms","unit":"shop:cart","what":"exited"}
    "#);
    insta::assert_snapshot!(w.run("why --json db").out.trim(), @r#"
    [{"name":"db","lines":["db is RUNNING since 2026-11-20 11:21:04, pid 41.","It was started at 2026-11-21 12:20:01 because of this, at 2026-11-21 12:20:00: root asked through the unix socket: start all.","At 2026-11-21 12:20:20: superd ended without a word and was started again."],"next":"supers -s $URL history db"}]
    "#);
}

#[test]
fn without_a_daemon_from_the_files() {
    let dir = tempfile::tempdir().unwrap();
    let mut around = around(dir.path());
    around.world.env.push(("TZ".into(), "UTC".into()));
    let conf = crate::world::write(dir.path().join("super.conf"), "");
    let words = |rest: &str| {
        let conf = format!("-c {} --root {} ", conf.display(), dir.path().display());
        format!("{conf}{rest}")
    };
    let ran = |rest: &str| run_in(&around, words(rest).split_whitespace());
    // Nothing is there: as any other command.
    assert_eq!(ran("history").exit.code(), 7);
    let before = ran("history").err;
    assert!(before.contains("superd is not running"), "{before}");

    let id = std::fs::canonicalize(&conf).unwrap();
    let state = state_of(dir.path(), &around, &id);
    let mut history = supers_engine::history::History::open(&state, Default::default()).0;
    past().into_iter().for_each(|entry| history.push(entry));
    history.flush(&supers_engine::Notices::default());
    let own = state.strip_prefix(dir.path()).unwrap().display().to_string();
    let tidy = |text: String| text.replace(&format!("$DIR/{own}"), "$STATE");
    insta::assert_snapshot!(tidy(ran("history -n 1").all()), @r#"
    2026-11-21 12:20:21  gone  danced on
    --- stderr
    supers: no superd answers; this is what the last one wrote in $STATE
    --- 0
    "#);
    insta::assert_snapshot!(tidy(ran("history db d* nope").all()), @r#"
    2026-11-21 12:20:00  -   root asked through the unix socket: start all
    2026-11-21 12:20:01  db  started, pid 41
    2026-11-21 12:20:20  -   superd ended without a word and was started again
    --- stderr
    supers: no superd answers; this is what the last one wrote in $STATE
    supers: the history knows no program "nope"
    --- 4
    "#);
    assert_eq!(ran("why db").exit.code(), 7);
}

/// Where a daemon on this configuration keeps its state.
fn state_of(
    root: &std::path::Path,
    around: &supers::supers::Around,
    conf: &std::path::Path,
) -> std::path::PathBuf {
    let asker = around.world.asker(Some(conf), Some(root));
    supers_config::places::find(&asker, &supers_config::source::Disk).unwrap().state
}
