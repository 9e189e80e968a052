//! What the operator stopped stays stopped.

use crate::common::{process, unit, until_state, world};
use crate::crash::{crash, daemon_view, kill_both};
use supers_testkit::World;

/// Ends superd in order.
fn shut_down(w: &mut World) {
    let deadline = w.deadline();
    assert_eq!(w.daemon().stop(deadline), 0);
}

/// `tired` is down because somebody wanted that, `web` is not.
fn is_kept(w: &World, when: &str) {
    let now = w.until("web runs", |s| s.state("web") == "RUNNING");
    let tired = now.get("tired");
    assert_eq!((now.state("tired"), &tired["want"]), ("STOPPED", &false.into()), "{when}: {tired}");
}

#[test]
fn a_stopped_unit_stays_stopped_until_it_is_started() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    unit(&w, "tired", "wait", "Restart=always");
    unit(&w, "needed", "wait", "Restart=always");
    w.superd();
    w.supers_ok(&["stop", "tired"]);
    is_kept(&w, "at once");
    unit(&w, "other", "wait", "");
    w.supers_ok(&["reload"]);
    until_state(&w, "other", "RUNNING");
    is_kept(&w, "over a reload");
    unit(&w, "tired", "print other wait", "Restart=always");
    w.supers_ok(&["reload"]);
    is_kept(&w, "over a reload that changes it");
    crash(&w);
    is_kept(&w, "over a crash of the daemon");
    w.supers_ok(&["upgrade"]);
    is_kept(&w, "over an upgrade");
    shut_down(&mut w);
    w.superd();
    is_kept(&w, "over a restart");
    assert_eq!(w.status().reason("tired"), "stopped on request");
    kill_both(&w);
    w.superd();
    is_kept(&w, "over a death of all");
    kill_both(&w);
    w.env("SUPERS_BOOT_ID", "another");
    w.superd();
    is_kept(&w, "over a boot");

    w.supers_ok(&["start", "tired"]);
    shut_down(&mut w);
    w.superd();
    until_state(&w, "tired", "RUNNING");
    // A restart by hand is a start.
    w.supers_ok(&["stop", "tired"]);
    w.supers_ok(&["restart", "tired"]);
    shut_down(&mut w);
    w.superd();
    until_state(&w, "tired", "RUNNING");
}

#[test]
fn a_stop_is_kept_whatever_follows_at_once() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    unit(&w, "tired", "ignore TERM wait", "Restart=always\nTimeoutStopSec=2s");
    w.superd();
    process(&w, "tired");
    w.supers_ok(&["stop", "tired", "--no-wait"]);
    kill_both(&w);
    w.superd();
    until_state(&w, "tired", "STOPPED");
    is_kept(&w, "the stop goes on");
}

#[test]
fn a_shutdown_is_no_wish_and_a_removed_unit_has_none() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    unit(&w, "tired", "wait", "");
    w.superd();
    process(&w, "tired");
    shut_down(&mut w);
    w.superd();
    until_state(&w, "tired", "RUNNING");
    w.supers_ok(&["stop", "tired"]);
    std::fs::remove_file(w.path("units/tired.service")).unwrap();
    w.supers_ok(&["reload"]);
    w.until("it is gone", |s| s.get("tired").is_null());
    // A new unit of that name is another one.
    unit(&w, "tired", "wait", "");
    w.supers_ok(&["reload"]);
    until_state(&w, "tired", "RUNNING");
}

#[test]
fn a_unit_that_gave_up_or_ended_by_itself_is_no_wish() {
    let mut w = world();
    unit(&w, "bad", "exit 1", "Restart=no");
    w.superd();
    until_state(&w, "bad", "EXITED");
    unit(&w, "bad", "wait", "Restart=no");
    shut_down(&mut w);
    w.superd();
    until_state(&w, "bad", "RUNNING");
}

const PROGRAMS: &str = "[supervisord]\n[program:web]\ncommand={actor} wait\nstartsecs=0\n\
     [program:plain]\ncommand={actor} wait\nstartsecs=0\nautostart=true\n\
     [program:tired]\ncommand={actor} wait\nstartsecs=0\nautostart=remember\n\
     [unix_http_server]\nfile={root}/ctl.sock\n\
     [rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n";

#[test]
fn under_the_ancestors_name_only_who_says_so_is_remembered() {
    let mut w = world();
    w.ini(PROGRAMS);
    let config = w.path("supervisord.conf").display().to_string();
    let start = |w: &mut World| {
        let usual = w.command_superd(&[]);
        let mut command = std::process::Command::new(usual.get_program());
        command.env_clear().current_dir(w.root()).args(["--as", "supervisord", "-n", "-c", &config]);
        for (key, value) in usual.get_envs() {
            command.env(key, value.unwrap_or_default());
        }
        w.adopt(command);
        w.until_fact("it answers", || daemon_view(w).map(drop));
        w.until("web runs", |s| s.state("web") == "RUNNING" && !s.state("plain").is_empty());
    };
    start(&mut w);
    w.supers_ok(&["stop", "plain", "tired"]);
    crash(&w);
    let now = w.status();
    assert_eq!((now.state("plain"), now.state("tired")), ("STOPPED", "STOPPED"), "a crash changes nothing");
    shut_down(&mut w);
    start(&mut w);
    let now = w.until("plain runs", |s| s.state("plain") == "RUNNING");
    assert_eq!(now.state("tired"), "STOPPED");
    w.supers_ok(&["start", "tired"]);
    shut_down(&mut w);
    start(&mut w);
    until_state(&w, "tired", "RUNNING");
}

#[test]
fn an_unreadable_file_of_wishes_is_told_and_survived() {
    let mut w = world();
    unit(&w, "web", "wait", "");
    unit(&w, "tired", "wait", "");
    w.superd();
    w.supers_ok(&["stop", "tired"]);
    shut_down(&mut w);
    let file = find(w.root(), "wishes").expect("the file of wishes");
    std::fs::remove_file(&file).unwrap();
    std::fs::create_dir(&file).unwrap();
    w.superd();
    until_state(&w, "web", "RUNNING");
    assert!(w.logs().contains("wishes"), "{}", w.logs());
    w.supers_ok(&["stop", "web"]);
    assert!(w.logs().contains("wishes cannot be written"), "{}", w.logs());
}

/// A file of this name below the folder.
fn find(folder: &std::path::Path, name: &str) -> Option<std::path::PathBuf> {
    std::fs::read_dir(folder).ok()?.flatten().find_map(|e| match e.file_type().is_ok_and(|t| t.is_dir()) {
        true => find(&e.path(), name),
        false => Some(e.path()).filter(|p| p.file_name().is_some_and(|n| n == name)),
    })
}
