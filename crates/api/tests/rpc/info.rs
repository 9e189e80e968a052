//! What is said of processes: getProcessInfo, getAllProcessInfo, getAllConfigInfo.

use crate::fake::*;
use bstr::BString;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;
use supers_api::xmlrpc::Value;
use supers_core::exit::{Exit, Stage, StartError};
use supers_core::proc::{Cause, State, Trouble};
use supers_core::signal::Signal;
use supers_core::snapshot::UnitView;
use supers_core::spec::{Context, Directory, Sink, Spec, Target};
use supers_core::time::{Mono, Wall};

fn killed() -> Option<Exit> {
    Some(Exit::Signal { signal: Signal::KILL, core: false })
}

fn fatal() -> State {
    State::Fatal { cause: Cause::Asked }
}

/// `strftime` in this machine's zone.
fn local(at: i64) -> String {
    let program = format!("import time;print(time.strftime('%b %d %I:%M %p',time.localtime({at})),end='')");
    let done = Command::new("python3").args(["-c", &program]).output().expect("python3 is needed");
    String::from_utf8(done.stdout).unwrap()
}

#[test]
fn one_process() {
    let up = UnitView {
        started: Some(Wall((NOW - 3_661) * 1000)),
        ended: Some(Wall(5_000_999)),
        last_exit: killed(),
        ..view("g", "up", running(77))
    };
    let c = Client::new(Fake::new(vec![up]));
    assert_eq!(
        c.ok("getProcessInfo", &[s("g:up")]),
        "{name=\"up\" group=\"g\" start=1577962739 stop=5000 now=1577966400 state=20 statename=\"RUNNING\" \
         spawnerr=\"\" exitstatus=0 logfile=\"/log/out\" stdout_logfile=\"/log/out\" stderr_logfile=\"\" pid=77 \
         description=\"pid 77, uptime 1:01:01\"}"
    );
}

#[test]
fn states_and_descriptions() {
    let no_command = StartError { stage: Stage::Command, errno: 2, text: "can't find command 'x'".into() };
    let exited = |code| State::Exited { exit: Exit::Code(code), expected: code == 0, cause: Cause::Asked };
    let backoff = State::Backoff { until: Mono(0), attempt: 1, cause: Cause::Asked };
    let since = |seconds: i64| Some(Wall((NOW - seconds) * 1000));
    let base = |state| UnitView { started: since(60), ended: since(30), ..view("x", "x", state) };
    let ended = local(NOW - 30);
    let quick = "Exited too quickly (process log may have details)";
    let table: Vec<(UnitView, i64, &str, i64, &str)> = vec![
        (view("x", "x", stopped()), 0, "", 0, "Not started"),
        (UnitView { last_exit: killed(), ..base(stopped()) }, 0, "", -1, &ended),
        (UnitView { last_exit: Some(Exit::Code(3)), ..base(exited(3)) }, 100, "", 3, &ended),
        (
            UnitView {
                last_exit: Some(Exit::Code(3)),
                trouble: Some(Trouble::BadExit(3)),
                ..base(exited(3))
            },
            100,
            "Bad exit code 3",
            3,
            &ended,
        ),
        (
            UnitView { last_exit: Some(Exit::Code(1)), trouble: Some(Trouble::TooQuick), ..base(backoff) },
            30,
            quick,
            0,
            quick,
        ),
        (
            UnitView { trouble: Some(Trouble::Start(no_command)), last_exit: killed(), ..base(fatal()) },
            200,
            "can't find command 'x'",
            0,
            "can't find command 'x'",
        ),
        (base(stopping(5)), 40, "", 0, ""),
        (base(State::Held), 10, "", 0, ""),
        (UnitView { started: since(90_061), ..base(running(5)) }, 20, "", 0, "pid 5, uptime 1 day, 1:01:01"),
        (
            UnitView { started: since(172_800), ..base(running(5)) },
            20,
            "",
            0,
            "pid 5, uptime 2 days, 0:00:00",
        ),
        (UnitView { started: since(-9), ..base(running(5)) }, 20, "", 0, "pid 5, uptime 0:00:00"),
    ];
    for (unit, state, spawn_error, exit_status, description) in table {
        let c = Client::new(Fake::new(vec![unit]));
        let info = c.try_call("supervisor.getProcessInfo", &[s("x")]).unwrap();
        let want = [n(state), s(spawn_error), n(exit_status), s(description)];
        let got = ["state", "spawnerr", "exitstatus", "description"].map(|k| info.get(k).unwrap().clone());
        assert_eq!(got, want);
    }
}

#[test]
fn large_numbers_are_capped() {
    let unit = UnitView { started: Some(Wall(i64::MAX)), ..view("x", "x", running(i32::MAX)) };
    let c = Client::new(Fake::new(vec![unit]));
    let info = c.try_call("supervisor.getProcessInfo", &[s("x")]).unwrap();
    assert_eq!(info.get("start"), Some(&n(i64::from(i32::MAX))));
}

fn names(c: &Client) -> Vec<String> {
    let all = c.try_call("supervisor.getAllProcessInfo", &[]).unwrap();
    let name = |v: &Value| format!("{}:{}", short(v.get("group").unwrap()), short(v.get("name").unwrap()));
    all.as_array().unwrap().iter().map(name).map(|n| n.replace('"', "")).collect()
}

#[test]
fn all_processes_and_the_cache() {
    let unit = |g: &str, n: &str| view(g, n, running(1));
    let c = Client::new(Fake::new(vec![unit("b", "z"), unit("b", "a"), unit("a", "x")]));
    assert_eq!(names(&c), ["a:x", "b:a", "b:z"]);
    let body = supers_api::xmlrpc::encode_call("supervisor.getAllProcessInfo", &[]);
    let (first, again) = (c.post(&body).body, c.post(&body).body);
    assert_eq!(first.as_ptr(), again.as_ptr(), "the same bytes, not made again");
    *c.fake.now.lock().unwrap() += 1;
    let later = c.post(&body).body;
    assert_ne!(first, later, "another second");
    *c.fake.snapshot.lock().unwrap() = Arc::new(snapshot(vec![unit("new", "new")]));
    assert_eq!(names(&c), ["new:new"]);
}

#[test]
fn the_last_parse() {
    let mut full = Spec::new("full");
    full.group = "g".into();
    full.exec = vec![supers_core::spec::Command::from_words(["/bin/x", "-a"])].into();
    full.autostart = false;
    full.priority = 7;
    full.group_priority = 8;
    full.restart.clean.codes = vec![0, 2];
    full.restart.startsecs = Duration::from_secs(4);
    full.stop.signals = vec![Signal::HUP];
    full.stop.kill_group = true;
    let directory = Directory { path: "/srv".into(), optional: false };
    full.context =
        Context { user: Some("www".into()), directory: Some(directory), ..Context::default() }.into();
    full.server_url = Some("http://here".into());
    let auto = || Target::Auto { dir: "/tmp".into(), identifier: "i".into() };
    full.output.stdout =
        Sink { target: auto(), capture_max: 9, events: true, syslog: true, ..Sink::default() };
    full.output.stderr = None;
    let mut plain = Spec::new("a");
    plain.output.stdout = Sink { target: auto(), max_bytes: 0, backups: 1, ..Sink::default() };
    plain.output.stderr = Some(Sink { target: Target::File(BString::from("/e.log")), ..Sink::default() });
    // What runs is of this very parse: its AUTO names are known.
    let full = Arc::new(full);
    let mut running = view("g", "full", stopped());
    running.spec = full.clone();
    let mut fake = Fake::new(vec![running]);
    fake.parsed = vec![full, Arc::new(plain)];
    let c = Client::new(fake);
    assert_eq!(
        c.ok("getAllConfigInfo", &[]),
        "[{autostart=true directory=\"none\" uid=\"none\" command=\"\" exitcodes=[0] group=\"a\" group_prio=999 \
         inuse=false killasgroup=false name=\"a\" process_prio=999 redirect_stderr=false startretries=3 startsecs=1 \
         stdout_capture_maxbytes=0 stdout_events_enabled=false stdout_logfile=\"auto\" stdout_logfile_backups=1 \
         stdout_logfile_maxbytes=0 stdout_syslog=false stopsignal=15 stopwaitsecs=10 stderr_capture_maxbytes=0 \
         stderr_events_enabled=false stderr_logfile=\"/e.log\" stderr_logfile_backups=10 \
         stderr_logfile_maxbytes=52428800 stderr_syslog=false serverurl=\"none\"}, \
         {autostart=false directory=\"/srv\" uid=33 command=\"/bin/x -a\" exitcodes=[0, 2] group=\"g\" group_prio=8 \
         inuse=true killasgroup=true name=\"full\" process_prio=7 redirect_stderr=true startretries=3 startsecs=4 \
         stdout_capture_maxbytes=9 stdout_events_enabled=true stdout_logfile=\"/log/out\" stdout_logfile_backups=10 \
         stdout_logfile_maxbytes=52428800 stdout_syslog=true stopsignal=1 stopwaitsecs=10 stderr_capture_maxbytes=0 \
         stderr_events_enabled=false stderr_logfile=\"none\" stderr_logfile_backups=10 \
         stderr_logfile_maxbytes=52428800 stderr_syslog=false serverurl=\"http://here\"}]"
    );
}
