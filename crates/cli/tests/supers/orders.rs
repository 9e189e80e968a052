//! Commands that change something.

use crate::fake::row;
use crate::world::World;
use std::io::Read;
use std::process::{Command, Stdio};
use supers::supers::Exit;
use supers_core::control::{Outcome, PlanItem, PlanView, Refusal, Row};

#[test]
fn start_stop_restart() {
    let w = World::new();
    insta::assert_snapshot!(w.all("start db shop:cart"), @r#"
    db: already running, pid 41
    shop:cart: started
    --- 0
    "#);
    insta::assert_snapshot!(w.all("stop shop:*"), @r#"
    shop:cart: not running
    shop:web: stopped
    --- 0
    "#);
    insta::assert_snapshot!(w.all("restart all --no-wait"), @r#"
    db: restarted, pid 41
    shop:cart: restarted
    shop:web: restarted, pid 42
    --- 0
    "#);
    insta::assert_snapshot!(w.all("stop db --timeout 1.5 --json"), @r#"
    [{"name":"db","outcome":"stopped","detail":"","pid":0,"changed":false,"tail":[]}]
    --- 0
    "#);
    insta::assert_snapshot!(w.all("start bd"), @r#"
    --- stderr
    supers: no program is called "bd"; did you mean db?
    --- 4
    "#);
    insta::assert_snapshot!(w.fake.take_calls(), @r#"
    unix: Start ["db", "shop:cart"] wait=true timeout=None
    unix: Stop ["shop:*"] wait=true timeout=None
    unix: Restart ["all"] wait=false timeout=None
    unix: Stop ["db"] wait=true timeout=Some(1500)
    unix: Start ["bd"] wait=true timeout=None
    "#);
}

#[test]
fn a_failed_start_shows_why() {
    let w = World::new();
    let tail = ["reading config", "\x1b[31mcannot bind port 80\x1b[0m"].map(String::from).to_vec();
    w.fake.script_rows([
        Row { changed: true, ..row("db", Outcome::Started, 71) },
        Row { detail: "exited with status 1 within 1 s".into(), tail, ..row("web", Outcome::Failed, 0) },
        Row {
            detail: "change directory to \"/srv/x\": No such file or directory".into(),
            ..row("x", Outcome::Failed, 0)
        },
    ]);
    insta::assert_snapshot!(w.all("start db web x"), @r#"
    db: started, pid 71 (with the present text of its file)
    --- stderr
    web: cannot start: exited with status 1 within 1 s
      | reading config
      | cannot bind port 80
      → supers -s $URL logs web
    x: cannot start: change directory to "/srv/x": No such file or directory
      → supers -s $URL status x
    --- 1
    "#);
}

#[test]
fn every_outcome() {
    let w = World::new();
    let outcomes = [
        Outcome::Started,
        Outcome::AlreadyRunning,
        Outcome::Stopped,
        Outcome::NotRunning,
        Outcome::Restarted,
        Outcome::Signalled,
        Outcome::Reloaded,
        Outcome::Accepted,
        Outcome::Failed,
        Outcome::Superseded,
        Outcome::TimedOut,
    ];
    let mut text = String::new();
    for outcome in outcomes {
        w.fake.script_rows([row("x", outcome, 0)]);
        let ran = w.run("restart x");
        text += &format!("{} {}{}", ran.exit.code(), ran.out, ran.err);
    }
    insta::assert_snapshot!(text, @r#"
    0 x: started
    0 x: already running
    0 x: stopped
    3 x: not running
    0 x: restarted
    0 x: signalled
    0 x: reloaded
    0 x: order taken
    1 x: cannot restart
      → supers -s $URL status x
    1 x: another order came between
      → supers -s $URL status x
    1 x: not done within the time limit, the job goes on
      → supers -s $URL status x
    "#);
}

#[test]
fn signal_and_reload_of_programs() {
    let w = World::new();
    insta::assert_snapshot!(w.all("signal hup db shop:cart"), @r#"
    db: SIGHUP sent, pid 41
    --- stderr
    shop:cart: not running
    --- 3
    "#);
    insta::assert_snapshot!(w.all("reload db"), @r#"
    db: reloaded, pid 41
    --- 0
    "#);
    insta::assert_snapshot!(w.fake.take_calls(), @r#"
    unix: Signal(1) ["db", "shop:cart"] wait=true timeout=None
    unix: Reload ["db"] wait=true timeout=None
    "#);
}

#[test]
fn the_worst_counts() {
    let w = World::new();
    for (rows, words, want) in [
        (vec![Outcome::Started, Outcome::Failed, Outcome::Started], "start x", Exit::Failed),
        (vec![Outcome::NotRunning, Outcome::Signalled], "signal 1 x", Exit::NotRunning),
        (vec![Outcome::NotRunning, Outcome::Failed], "signal 1 x", Exit::Failed),
        (vec![Outcome::NotRunning, Outcome::Stopped], "stop x", Exit::Done),
        (vec![Outcome::TimedOut], "stop x", Exit::Failed),
        (vec![Outcome::Superseded], "stop x", Exit::Failed),
    ] {
        w.fake.script_rows(rows.into_iter().map(|o| row("x", o, 0)));
        assert_eq!(w.run(words).exit, want, "{words}");
    }
    assert_eq!(w.run("stop nope").exit, Exit::UnknownName);
    for (refusal, want) in [
        (Refusal::Config { text: "x".into() }, Exit::Failed),
        (Refusal::Denied { text: "x".into() }, Exit::Failed),
        (Refusal::UnknownName { name: "x".into(), hint: None }, Exit::UnknownName),
    ] {
        *w.fake.refuse.lock().unwrap() = Some(refusal);
        assert_eq!(w.run("start x").exit, want);
    }
}

#[test]
fn add() {
    let w = World::new();
    insta::assert_snapshot!(w.all("add new.service --user bob --directory srv -- ./run --port 80"), @r#"
    new: started, pid 77 (with the present text of its file)
    --- 0
    "#);
    insta::assert_snapshot!(w.fake.take_calls().replace(&w.dir.path().display().to_string(), "$DIR"), @r#"unix: add NewUnit { name: "new", command: ["$DIR/run", "--port", "80"], description: None, user: Some("bob"), directory: Some("$DIR/srv"), replace: false }"#);
}

#[test]
fn reload() {
    let w = World::new();
    let item = |name: &str, pid, deed: &str| PlanItem { name: name.into(), pid, deed: deed.into() };
    insta::assert_snapshot!(w.all("reload"), @r#"
    0 unchanged; nothing to do
    --- 0
    "#);
    *w.fake.plan.lock().unwrap() = PlanView {
        added: vec![item("new", 0, "start")],
        changed: vec![item("shop:web", 42, "restart"), item("idle", 0, "stays stopped")],
        removed: vec![item("old", 7, "stop")],
        unchanged: 12,
        findings: vec!["/etc/super/x.service:3:1: warning: unknown key `Usr`".into()],
        applied: false,
    };
    insta::assert_snapshot!(w.all("reload --dry-run"), @r#"
    added    new       -       → start
    changed  shop:web  pid 42  → restart
    changed  idle      -       → stays stopped
    removed  old       pid 7   → stop
    12 unchanged; this was a dry run; to apply: supers -s $URL reload
    --- stderr
    supers: /etc/super/x.service:3:1: warning: unknown key `Usr`
    --- 0
    "#);
    insta::assert_snapshot!(w.all("reload"), @r#"
    added    new       -       → start
    changed  shop:web  pid 42  → restart
    changed  idle      -       → stays stopped
    removed  old       pid 7   → stop
    12 unchanged; done
    --- stderr
    supers: /etc/super/x.service:3:1: warning: unknown key `Usr`
    --- 0
    "#);
    insta::assert_snapshot!(w.all("reload --json"), @r#"
    {"added":[{"name":"new","pid":0,"deed":"start"}],"changed":[{"name":"shop:web","pid":42,"deed":"restart"},{"name":"idle","pid":0,"deed":"stays stopped"}],"removed":[{"name":"old","pid":7,"deed":"stop"}],"unchanged":12,"findings":["/etc/super/x.service:3:1: warning: unknown key `Usr`"],"applied":true}
    --- 0
    "#);
    *w.fake.refuse.lock().unwrap() = Some(Refusal::Config { text: "a.service:3: error: bad".into() });
    insta::assert_snapshot!(w.all("reload"), @r#"
    --- stderr
    supers: a.service:3: error: bad
    --- 1
    "#);
}

#[test]
fn shutdown() {
    let w = World::new();
    insta::assert_snapshot!(w.all("shutdown"), @r#"
    superd stops its programs and then itself
    --- 0
    "#);
    insta::assert_snapshot!(w.all("shutdown --json"), @r#"
    {"shutting_down":true}
    --- 0
    "#);
    assert_eq!(w.fake.take_calls(), "unix: shutdown\nunix: shutdown");
}

/// The real program: a signal to this one would end the tests.
#[test]
fn interrupted_while_waiting() {
    let w = World::new();
    let feed = w.fake.feed_rows();
    feed.try_send(Ok(row("db", Outcome::Stopped, 0))).unwrap();
    let mut child = Command::new(env!("CARGO_BIN_EXE_supers"))
        .args(["-s", &w.url(), "stop", "db", "web"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    // Its first line shows that it waits for the second.
    let mut line = [0; 12];
    child.stdout.as_mut().unwrap().read_exact(&mut line).unwrap();
    assert_eq!(&line, b"db: stopped\n");
    let pid = supers_core::ids::Pid(child.id().cast_signed());
    supers_os::reap::kill(pid, supers_core::signal::Signal::INT).unwrap();
    let mut err = String::new();
    child.stderr.take().unwrap().read_to_string(&mut err).unwrap();
    insta::assert_snapshot!(err.replace(&w.url(), "$URL"), @"supers: interrupted; the job goes on: supers -s $URL status");
    assert_eq!(child.wait().unwrap().code(), Some(130));
    drop(feed);
}
