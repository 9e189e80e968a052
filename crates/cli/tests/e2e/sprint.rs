//! The list by which the product was asked for: a sleep that is supervised, its log, the folder that
//! is read again, and the sample unit with a real server.

use crate::common::{ask, log, main_log, must_end, process, unit, until_printed, world};
use std::path::{Path, PathBuf};
use std::time::Duration;
use supers_testkit::{World, free_port};

/// With and without the keeper: both ways must keep a program running.
const BOTH: [&[&str]; 2] = [&[], &["--no-keeper"]];

#[test]
fn a_sleep_is_started_and_brought_back_when_killed() {
    for args in BOTH {
        let mut w = world();
        w.unit("nap", "[Service]\nExecStart=/bin/sleep 1000\nRestart=always\nRestartSec=50ms\n");
        w.superd_with(args);
        let first = process(&w, "nap");
        assert_eq!(first.comm(), "sleep");
        assert!(first.kill());
        let now = w.until("it runs again", |s| s.state("nap") == "RUNNING" && s.restarts("nap") == 1);
        assert_ne!(now.pid("nap"), first.pid);
        assert_eq!(now.get("nap")["exit"], -9, "{args:?}");
    }
}

#[test]
fn the_exit_code_decides() {
    for args in BOTH {
        let mut w = world();
        unit(&w, "good", "exit 0", "Restart=on-failure\nRestartSec=50ms");
        let counted = w.path("starts").display().to_string();
        let words = format!("count-to-file {counted} exit 1");
        unit(
            &w,
            "bad",
            &words,
            "Restart=on-failure\nRestartSec=50ms\nStartLimitBurst=3\nStartLimitInterval=60",
        );
        w.superd_with(args);
        let now = w.until("both are done", |s| s.state("good") == "EXITED" && s.state("bad") == "FATAL");
        assert_eq!((now.get("good")["exit"].as_i64(), now.restarts("good")), (Some(0), 0));
        assert_eq!(w.read("starts"), "...", "three starts and no more");
    }
}

#[test]
fn output_is_in_a_folder_of_its_own_and_supers_shows_it() {
    let mut w = world();
    unit(&w, "talk", "print one err two print three wait", "[Unit]\nDescription=talks a lot");
    w.superd();
    until_printed(&w, "talk", "three");
    assert_eq!(log(&w, "talk"), "one\ntwo\nthree\n", "both streams, in true order");
    assert_eq!(w.supers_ok(&["logs", "talk"]), "one\ntwo\nthree\n");
    assert_eq!(w.supers_ok(&["logs", "talk", "-n", "1"]), "three\n");
    let status = w.status();
    let row = status.get("talk");
    assert_eq!((status.state("talk"), row["description"].as_str()), ("RUNNING", Some("talks a lot")));
    let table = w.supers_ok(&[]);
    let line = table.lines().find(|l| l.starts_with("talk")).unwrap_or_default();
    let words: Vec<&str> = line.split_whitespace().collect();
    assert_eq!(words[..3], ["talk", "RUNNING", &status.pid("talk").to_string()], "{table}");
}

#[test]
fn reload_starts_what_was_added_and_stops_what_was_removed() {
    let mut w = world();
    for name in ["stays", "goes", "changes"] {
        unit(&w, name, "wait", "");
    }
    w.superd();
    let (stays, goes, changes) = (process(&w, "stays"), process(&w, "goes"), process(&w, "changes"));
    unit(&w, "comes", "wait", "");
    unit(&w, "changes", "print new wait", "");
    std::fs::remove_file(w.path("units/goes.service")).unwrap();

    let dry = w.supers_ok(&["reload", "--dry-run"]);
    let plan: Vec<Vec<String>> =
        dry.lines().map(|l| l.split_whitespace().map(String::from).collect()).collect();
    let row = |word: &str| plan.iter().find(|r| r[0] == word).unwrap_or_else(|| panic!("no {word} in {dry}"));
    let (c, g) = (changes.pid.to_string(), goes.pid.to_string());
    assert_eq!(row("added")[1..], ["comes", "-", "→", "start"]);
    assert_eq!(row("changed")[1..], ["changes", "pid", &c, "→", "restart"]);
    assert_eq!(row("removed")[1..], ["goes", "pid", &g, "→", "stop"]);
    assert!(dry.contains("1 unchanged; this was a dry run"), "{dry}");
    let before = w.status();
    assert_eq!(
        (before.pid("goes"), before.pid("changes"), before.state("comes")),
        (goes.pid, changes.pid, "")
    );

    let done = w.supers_ok(&["reload"]);
    assert!(done.contains("1 unchanged; done"), "{done}");
    must_end(&w, &goes);
    must_end(&w, &changes);
    let now = w.until("all is applied", |s| {
        s.state("comes") == "RUNNING" && s.state("changes") == "RUNNING" && s.state("goes").is_empty()
    });
    assert_eq!(now.pid("stays"), stays.pid);
    until_printed(&w, "changes", "new");
    assert!(w.supers_ok(&["reload"]).contains("3 unchanged; nothing to do"));
}

#[test]
fn a_file_added_later_is_started_by_name_without_reload() {
    let mut w = world();
    unit(&w, "old", "wait", "");
    w.superd();
    let old = process(&w, "old");
    unit(&w, "fresh", "wait", "");
    unit(&w, "other", "wait", "");
    let said = w.supers_ok(&["start", "fresh.service"]);
    assert!(said.starts_with("fresh: started, pid "), "{said}");
    let now = w.status();
    assert_eq!((now.state("fresh"), now.pid("old")), ("RUNNING", old.pid));
    assert_eq!(now.state("other"), "", "only the named one was taken in");
}

/// The program of the examples, built by `cargo build -p supers-examples`.
fn demo_web() -> PathBuf {
    let path = Path::new(env!("CARGO_BIN_EXE_superd")).with_file_name("demo-web");
    assert!(path.is_file(), "demo-web is not built: run `cargo build -p supers-examples`");
    path
}

fn sample(w: &World, command: &str, restart_sec: &str) -> PathBuf {
    supers_testkit::need_root();
    w.unit(
        "web",
        &format!(
            "[Unit]\nDescription=My web server\nAfter=network.target\n\n[Service]\nType=simple\nUser=root\n\
             WorkingDirectory={}\nExecStart={command}\nRestart=on-failure\nRestartSec={restart_sec}\n\n\
             [Install]\nWantedBy=default.target\n",
            w.root().display()
        ),
    )
}

/// Waits until the server answers; the pid that its page names.
fn answering(w: &World, port: u16) -> i32 {
    let digits = |text: &str| text.chars().take_while(char::is_ascii_digit).collect::<String>();
    w.until_fact("the server answers", || {
        let body = ask(port, "GET /", &[]).filter(|r| r.status == 200)?.body;
        let (_, after) = body.split_once("This is pid ")?;
        digits(after).parse().ok()
    })
}

#[test]
fn the_sample_unit_serves_and_comes_back_after_kill_9() {
    let mut w = world();
    let port = free_port();
    sample(&w, &format!("{} --server.port={port}", demo_web().display()), "200ms");
    w.superd();
    let web = process(&w, "web");
    assert_eq!(answering(&w, port), web.pid);
    assert!(web.kill());
    w.until("it was brought back", |s| s.state("web") == "RUNNING" && s.restarts("web") == 1);
    let again = answering(&w, port);
    assert_ne!(again, web.pid);
    assert_eq!(w.status().pid("web"), again);
}

#[test]
fn the_sample_unit_stays_down_after_exit_0() {
    let mut w = world();
    let port = free_port();
    sample(&w, &format!("{} on TERM exit 0 serve {port}", w.actor().display()), "50ms");
    w.superd();
    let web = process(&w, "web");
    let body = w.until_fact("the server answers", || ask(port, "GET /", &[])).body;
    assert_eq!(body, web.pid.to_string());
    // Not through supers: it ends by itself, as far as the daemon can know.
    assert!(web.signal(15));
    let end = w.until("it is seen", |s| s.state("web") == "EXITED");
    assert_eq!((end.get("web")["exit"].as_i64(), end.restarts("web"), end.pid("web")), (Some(0), 0, 0));
    // A restart that waits would be BACKOFF; one that was done would be a second line.
    let log = main_log(&w);
    assert_eq!(log.matches("spawned: 'web'").count(), 1, "{log}");
}

#[test]
fn restart_sec_5s_is_five_seconds() {
    let mut w = world();
    w.allow(Duration::from_secs(90));
    unit(&w, "slow", "wait", "Restart=on-failure\nRestartSec=5s");
    w.superd();
    assert!(process(&w, "slow").kill());
    let down = w.until("it waits", |s| s.state("slow") == "BACKOFF");
    assert!(down.reason("slow").contains("next try in"), "{}", down.reason("slow"));
    let ended = down.get("slow")["ended"].as_i64().unwrap();
    let up = w.until("it is up again", |s| s.state("slow") == "RUNNING");
    let started = up.get("slow")["started"].as_i64().unwrap();
    // Both are cut to whole seconds, which can only take the same or less from the first.
    assert!(started - ended >= 5, "ended {ended}, started {started}");
    assert_eq!(up.restarts("slow"), 1);
}
