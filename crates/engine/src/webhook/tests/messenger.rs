//! The process that sends over https, played by scripts.

use super::super::errand::{Answer, Errand};
use super::super::message::Delivery;
use super::super::messenger::{find_in, send};
use super::super::post::{Outcome, judged};
use super::end_of;
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;
use supers_core::ids::Pid;
use supers_os::{poll, reap};

/// A program that is written by another process: one that this process still had open could not be executed.
fn script(dir: &Path, text: &str) -> PathBuf {
    let (from, to) = (dir.join("script"), dir.join("supers"));
    fs::write(&from, format!("#!/bin/sh\n{text}\n")).unwrap();
    let installed = Command::new("install").args(["-m", "755"]).arg(&from).arg(&to).status();
    assert!(installed.unwrap().success());
    to
}

fn errand(timeout: Duration) -> Errand {
    let delivery = end_of(1, "https://me:geheim@hooks:444/path?token=geheim");
    // More than a pipe holds.
    Errand::of(&Delivery { timeout, body: "boom ".repeat(40_000), ..delivery })
}

/// What comes of a messenger that does this.
async fn answer_of(text: &str, timeout: Duration) -> (Answer, PathBuf) {
    let dir = tempfile::tempdir().unwrap();
    let program = script(dir.path(), text);
    (send(&program, &errand(timeout)).await, program)
}

const LONG: Duration = Duration::from_secs(60);

#[tokio::test]
async fn it_is_told_all_on_its_standard_input_and_nothing_elsewhere() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    let program = script(
        dir.path(),
        r#"cd "${0%/*}"; cat >errand; cat /proc/$$/environ >environ; printf %s "$*" >words; echo '{"Status":204}'"#,
    );
    let sent = errand(LONG);
    assert_eq!(judged(send(&program, &sent).await), Outcome::Accepted);
    let arrived: Errand = serde_json::from_slice(&fs::read(at("errand")).unwrap()).unwrap();
    assert!(arrived == sent);
    assert_eq!((arrived.authority.as_str(), arrived.target.as_str()), ("hooks:444", "/path?token=geheim"));
    let id = end_of(1, "https://x").id.to_string();
    assert!(arrived.headers.contains(&("idempotency-key".into(), id)));
    assert!(arrived.headers.contains(&("authorization".into(), "Basic bWU6Z2VoZWlt".into())));
    assert_eq!(fs::read_to_string(at("words")).unwrap(), "__deliver");
    let environ = fs::read_to_string(at("environ")).unwrap();
    assert!(environ.split_terminator('\0').all(|v| v.starts_with("SSL_CERT_")), "{environ}");
}

#[tokio::test]
async fn statuses_are_judged_as_over_http_and_failures_are_tried_again() {
    for (text, want) in [
        (r#"{"Status":200}"#, "Accepted"),
        (r#"{"Status":404}"#, r#"Refused("the answer was 404 Not Found")"#),
        (r#"{"Status":503}"#, r#"Later("the answer was 503 Service Unavailable")"#),
        (r#"{"Status":7}"#, r#"Later("the answer was 7")"#),
        (r#"{"Failed":"no such host"}"#, r#"Later("no such host")"#),
    ] {
        let (answer, _) = answer_of(&format!("echo '{text}'; exit 1"), LONG).await;
        assert_eq!(format!("{:?}", judged(answer)), want);
    }
}

#[tokio::test]
async fn one_that_says_nothing_is_said_with_its_complaint() {
    let (answer, program) = answer_of("echo 'error: no such\n\n command' >&2; exit 2", LONG).await;
    let shown = program.display();
    let want = format!("{shown} sent nothing (exit status: 2): error: no such command");
    assert_eq!(answer, Answer::Failed(want));
    let (answer, program) = answer_of("kill -SEGV $$", LONG).await;
    let Answer::Failed(why) = answer else { panic!("{answer:?}") };
    assert!(why.starts_with(&format!("{} sent nothing (signal: 11", program.display())), "{why}");
    let Answer::Failed(why) = send(Path::new("/no/such/supers"), &errand(LONG)).await else { panic!() };
    assert_eq!(why, "cannot run /no/such/supers: No such file or directory");
}

#[tokio::test]
async fn one_that_hangs_is_killed_in_time() {
    let late = Answer::Failed("no answer within 0.5 s".into());
    let limit = Duration::from_millis(500);
    assert_eq!(answer_of("exec sleep 600", limit).await.0, late);
    // So is one that talks more than anybody reads.
    assert_eq!(answer_of("while :; do echo chatter; echo chatter >&2; done", limit).await.0, late);
    // Its answer counts, whatever it does then; there is time enough for that. It is a zombie of nobody's.
    let dir = tempfile::tempdir().unwrap();
    let text = r#"echo $$ >"${0%/*}/pid"; echo '{"Status":204}'; exec sleep 600"#;
    let answer = send(&script(dir.path(), text), &errand(Duration::from_secs(3))).await;
    assert_eq!(answer, Answer::Status(204));
    let pid = fs::read_to_string(dir.path().join("pid")).unwrap();
    assert!(!Path::new("/proc").join(pid.trim()).exists());
}

#[tokio::test]
async fn it_does_not_outlive_whoever_waits_for_it() {
    let dir = tempfile::tempdir().unwrap();
    let file = dir.path().join("pid");
    let program = script(dir.path(), "cd \"${0%/*}\"; echo $$ >new; mv new pid; exec sleep 600");
    let trying = tokio::spawn(async move { send(&program, &errand(Duration::from_secs(300))).await });
    let pid: i32 = loop {
        match fs::read_to_string(&file) {
            Ok(text) => break text.trim().parse().unwrap(),
            Err(_) => tokio::task::yield_now().await,
        }
    };
    let pidfd = reap::pidfd_open(Pid(pid)).unwrap();
    trying.abort();
    assert!(trying.await.unwrap_err().is_cancelled());
    use std::os::fd::AsFd;
    assert!(poll::wait_readable(pidfd.as_fd(), Some(LONG)).unwrap());
}

#[test]
fn it_is_looked_for_beside_superd_and_in_the_path() {
    let dir = tempfile::tempdir().unwrap();
    let at = |name: &str| dir.path().join(name);
    for name in ["empty", "folder/supers", "data", "one", "two"] {
        fs::create_dir_all(at(name)).unwrap();
    }
    fs::write(at("data/supers"), "").unwrap();
    script(&at("one"), "");
    script(&at("two"), "");
    let path = std::env::join_paths([at("folder"), at("data"), at("two")]).unwrap();
    let found = |beside: &str| find_in(Some(&at(beside)), Some(&path), None);
    assert_eq!(found("one"), Some(at("one/supers")));
    assert_eq!(found("empty"), Some(at("two/supers")));
    assert_eq!(find_in(None, Some(&path), None), Some(at("two/supers")));
    assert_eq!(find_in(Some(&at("empty")), Some(at("data").as_os_str()), None), None);
    // A folder that depends on where superd stands is no place for a program.
    assert_eq!(find_in(Some(&at("empty")), Some(OsStr::new(".:one")), None), None);
    assert_eq!(find_in(None, None, None), None);
    // superd by that name is no help.
    fs::hard_link(at("one/supers"), at("superd")).unwrap();
    let superd = fs::metadata(at("superd")).unwrap();
    assert_eq!(find_in(Some(&at("one")), Some(&path), Some(&superd)), Some(at("two/supers")));
}
