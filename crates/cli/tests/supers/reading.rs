//! Commands that change nothing: status, pid, version, completion.

use crate::fake::running;
use crate::world::{Closed, World, listen_tcp, run_in};
use supers::supers::{Around, Exit, Streams, run};
use supers_api::door::{Auth, Password, Secret};
use supers_core::control::Refusal;
use supers_core::exit::{Stage, StartError};
use supers_core::proc::{Cause, State};
use supers_core::snapshot::{ProgramView, UnitView, Usage};

#[test]
fn status() {
    let w = World::new();
    insta::assert_snapshot!(w.all("status"), @r#"
    NAME       STATE    PID  UPTIME  RESTARTS
    db         RUNNING  41   1d 01h  0
    shop:cart  FATAL    -    -       3         gave up after 4 tries: exit status 1 after 1 s → supers -s $URL logs shop:cart
    shop:web   RUNNING  42   5s      0
    --- 0
    "#);
    assert_eq!(w.all(""), w.all("status"));
    insta::assert_snapshot!(w.all("status web db.service db"), @r#"
    NAME      STATE    PID  UPTIME  RESTARTS
    shop:web  RUNNING  42   5s      0
    db        RUNNING  41   1d 01h  0
    --- 0
    "#);
    insta::assert_snapshot!(w.all("status shop:*"), @r#"
    NAME       STATE    PID  UPTIME  RESTARTS
    shop:cart  FATAL    -    -       3         gave up after 4 tries: exit status 1 after 1 s → supers -s $URL logs shop:cart
    shop:web   RUNNING  42   5s      0
    --- 3
    "#);
    insta::assert_snapshot!(w.all("status shop:cart wbe"), @r#"
    NAME       STATE  PID  UPTIME  RESTARTS
    shop:cart  FATAL  -    -       3         gave up after 4 tries: exit status 1 after 1 s → supers -s $URL logs shop:cart
    --- stderr
    supers: no program is called "wbe"; did you mean shop:web?
    --- 4
    "#);
    insta::assert_snapshot!(w.all("--color always status shop:*"), @r#"
    [1mNAME[0m       [1mSTATE[0m    [1mPID[0m  [1mUPTIME[0m  [1mRESTARTS[0m
    shop:cart  [31mFATAL[0m    -    -       3         [31mgave up after 4 tries: exit status 1 after 1 s → supers -s $URL logs shop:cart[0m
    shop:web   [32mRUNNING[0m  42   5s      0
    --- 3
    "#);
}

#[test]
fn status_of_one_says_what_it_uses() {
    let w = World::new();
    let usage = Usage { tasks: Some(3), memory_bytes: Some(13_003_000), cpu_ms: None };
    w.fake.usage.lock().unwrap().insert("shop:web".into(), usage);
    insta::assert_snapshot!(w.all("status web"), @r#"
    NAME      STATE    PID  UPTIME  RESTARTS
    shop:web  RUNNING  42   5s      0
    uses: 3 tasks, 12.4 MiB
    --- 0
    "#);
    let json: serde_json::Value = serde_json::from_str(&w.run("status web --json").out).unwrap();
    assert_eq!(json[0]["usage"], serde_json::json!({"tasks": 3, "memory_bytes": 13_003_000}));
    assert_eq!(json[0]["pid"], 42);
    for several in ["status", "status all", "status shop:*", "status web db", "status db"] {
        let ran = w.run(several);
        assert!(!ran.out.contains("uses"), "{several}: {}", ran.out);
        assert!(!w.run(&format!("{several} --json")).out.contains("usage"), "{several}");
    }
}

#[test]
fn status_of_nothing_and_notices() {
    let w = World::new();
    w.fake.units.lock().unwrap().clear();
    {
        let mut daemon = w.fake.daemon.lock().unwrap();
        daemon.notices = vec!["port 10405 is held by nginx (pid 7)".into()];
        daemon.state = "stopping".into();
    }
    insta::assert_snapshot!(w.all("status"), @r#"
    no programs yet; to add one: supers -s $URL add NAME -- COMMAND
    --- stderr
    supers: note: port 10405 is held by nginx (pid 7)
    supers: note: superd is shutting down
    --- 0
    "#);
    insta::assert_snapshot!(w.all("status all"), @r#"
    --- stderr
    supers: note: port 10405 is held by nginx (pid 7)
    supers: note: superd is shutting down
    --- 0
    "#);
}

#[test]
fn text_of_others_does_no_harm() {
    let w = World::new();
    let error = StartError { stage: Stage::Exec, errno: 2, text: "\x1b[2Jbad\nline".into() };
    let state = State::Fatal { cause: Cause::Start(error) };
    let p = UnitView { state, ..running("网站", "网站", 9, 1) };
    *w.fake.units.lock().unwrap() = vec![p, running("w", "w", 10, 3600)];
    insta::assert_snapshot!(w.all("status"), @r#"
    NAME  STATE    PID  UPTIME  RESTARTS
    w     RUNNING  10   1h 00m  0
    网站  FATAL    -    -       0         cannot start: bad?line → supers -s $URL start 网站
    --- 0
    "#);
}

#[test]
fn status_as_json() {
    let w = World::new();
    let ran = w.run("status --json");
    let back: Vec<ProgramView<'_>> = serde_json::from_str(&ran.out).unwrap();
    assert_eq!(back, w.fake.programs());
    assert_eq!(ran.out.lines().count(), 1);
    assert_eq!(w.run("--json status shop:cart").exit, Exit::NotRunning);
    *w.fake.refuse.lock().unwrap() = Some(Refusal::ShuttingDown);
    insta::assert_snapshot!(w.all("--json reload"), @r#"
    {"error":{"kind":"shutting-down","text":"superd is shutting down"}}
    --- 1
    "#);
    insta::assert_snapshot!(w.all("reload"), @r#"
    --- stderr
    supers: superd is shutting down
    --- 1
    "#);
}

#[test]
fn colour_only_on_a_terminal() {
    let mut w = World::new();
    let coloured = |w: &World, words: &str| w.run(words).out.contains('\x1b');
    assert!(!coloured(&w, "status"));
    w.around.tty = true;
    assert!(coloured(&w, "status"));
    assert!(!coloured(&w, "status --color never"));
    w.around.world.env.push(("NO_COLOR".into(), "1".into()));
    assert!(!coloured(&w, "status"));
    assert!(coloured(&w, "status --color always"));
}

#[test]
fn pid() {
    let w = World::new();
    insta::assert_snapshot!(w.all("pid"), @r#"
    100
    --- 0
    "#);
    insta::assert_snapshot!(w.all("pid db web"), @r#"
    41
    42
    --- 0
    "#);
    insta::assert_snapshot!(w.all("pid all"), @r#"
    41
    42
    --- stderr
    supers: shop:cart is not running
    --- 3
    "#);
    insta::assert_snapshot!(w.all("pid db nope"), @r#"
    --- stderr
    supers: no program is called "nope"
    --- 4
    "#);
    insta::assert_snapshot!(w.all("pid --json shop:*"), @r#"
    [{"name":"shop:cart","pid":0},{"name":"shop:web","pid":42}]
    --- stderr
    supers: shop:cart is not running
    --- 3
    "#);
}

#[test]
fn version() {
    let w = World::new();
    insta::assert_snapshot!(w.all("version"), @r#"
    supers $VERSION
    superd 9.8.7, pid 100 (the daemon itself: 101), up 1m 01s
    configuration: using the folder /etc/super, the default place
    --- 0
    "#);
    insta::assert_snapshot!(w.all("version --json"), @r#"
    {"version":"$VERSION","daemon":{"version":"9.8.7","pid":100,"daemon_pid":101,"config":"using the folder /etc/super, the default place","state":"running","uptime_s":61,"starts":1,"containment":"","notices":[],"dropped":0}}
    --- 0
    "#);
    assert_eq!(w.all("--version"), "supers $VERSION\n--- 0");
}

#[test]
fn usage() {
    let w = World::new();
    insta::assert_snapshot!(w.all("start"), @r#"
    --- stderr
    error: the following required arguments were not provided:
      <NAMES>...

    Usage: supers start <NAMES>...

    For more information, try '--help'.
    --- 2
    "#);
    insta::assert_snapshot!(w.all("signal NOPE web"), @r#"
    --- stderr
    error: invalid value 'NOPE' for '<SIGNAL>': there is no such signal

    For more information, try '--help'.
    --- 2
    "#);
    insta::assert_snapshot!(w.all("stop db --timeout soon"), @r#"
    --- stderr
    error: invalid value 'soon' for '--timeout <SECONDS>': a number of seconds is needed

    For more information, try '--help'.
    --- 2
    "#);
    for words in ["dance", "status --nope", "reload web --dry-run", "add web", "completion tcsh"] {
        let ran = w.run(words);
        assert_eq!((ran.exit, ran.out.as_str()), (Exit::Usage, ""), "{words}");
    }
    let url = run_in(&w.around, ["-s", "ftp://x", "status"]);
    insta::assert_snapshot!(url.all(), @r#"
    --- stderr
    supers: -s takes unix:///PATH or http://HOST:PORT, not "ftp://x"
    --- 2
    "#);
    let help = w.run("--help");
    assert_eq!(help.exit, Exit::Done);
    assert!(!help.out.contains("__complete"), "{}", help.out);
    assert_eq!(w.fake.take_calls(), "");
}

#[test]
fn words_to_complete() {
    let w = World::new();
    let ask = |words: &str| {
        let url = w.url();
        let given = ["-s", &url, "__complete", "--"].into_iter().chain(words.split(' '));
        let ran = run_in(&w.around, given);
        assert_eq!((ran.exit, ran.err.as_str()), (Exit::Done, ""), "{words}");
        ran.out.replace('\n', " ")
    };
    insta::assert_snapshot!(ask(""), @"add check completion convert doctor history logs pid reload restart shutdown signal start status stop upgrade version why");
    assert_eq!(ask("st"), "start status stop ");
    assert_eq!(ask("start "), "db shop:* shop:cart shop:web ");
    assert_eq!(ask("start db shop:c"), "shop:cart ");
    assert_eq!(ask("signal T"), "TERM ");
    assert_eq!(ask("signal TERM d"), "db ");
    assert_eq!(
        ask("start --"),
        "--color --config --help --json --no-wait --password --root --server --timeout --username "
    );
    assert_eq!(
        ask("--timeout "),
        "add check completion convert doctor history logs pid reload restart shutdown signal start status stop upgrade version why "
    );
    assert_eq!(ask("stop --timeout "), "");
    assert_eq!(ask("stop --timeout 5 d"), "db ");
    assert_eq!(ask("add x -- d"), "");
    assert_eq!(ask("completion "), "bash fish zsh ");
    // The configuration in the sentence counts, and silence when nobody is there.
    assert_eq!(ask("-s unix:///nowhere start "), "");
    for shell in ["bash", "zsh", "fish"] {
        let ran = w.run(&format!("completion {shell}"));
        assert!(ran.exit == Exit::Done && ran.out.contains("supers __complete --"), "{}", ran.out);
    }
}

#[test]
fn a_reader_that_has_gone_is_no_failure() {
    let w = World::new();
    let url = w.url();
    let mut err = Vec::new();
    for words in [["status", "db"], ["logs", "db"], ["stop", "db"]] {
        if words[0] == "logs" {
            w.fake.script_log(0, b"text\n");
        }
        let args = ["supers", "-s", &url].into_iter().chain(words).map(Into::into);
        let exit = run(args, &w.around, Streams { out: &mut Closed, err: &mut err });
        assert_eq!((exit, err.as_slice()), (Exit::Done, &b""[..]), "{words:?}");
    }
}

#[test]
fn bash_completes_live_names() {
    let w = World::new();
    let bin = std::path::Path::new(env!("CARGO_BIN_EXE_supers"));
    let ask = |typed: &str| {
        let line = format!("supers -s {} {typed}", w.url());
        let script = "source <(supers completion bash); COMP_LINE=$1 COMP_POINT=${#1}; _supers; echo \"${COMPREPLY[*]}\"";
        let out = std::process::Command::new("bash")
            .args(["-c", script, "bash", &line])
            .env("PATH", format!("{}:/usr/bin:/bin", bin.parent().unwrap().display()))
            .output()
            .unwrap();
        assert_eq!(String::from_utf8_lossy(&out.stderr), "");
        String::from_utf8(out.stdout).unwrap()
    };
    assert_eq!(ask("st"), "start status stop\n");
    assert_eq!(ask("stop "), "db shop:* shop:cart shop:web\n");
    assert_eq!(ask("stop db shop:c"), "cart\n");
    assert_eq!(ask("stop x"), "\n");
}

#[test]
fn over_tcp_with_a_password_or_a_token() {
    let w = World::new();
    let auth = Auth { username: "bob".into(), password: Password::Plain(Secret::new("pw")) };
    let (url, _server) = listen_tcp(&w.fake, Some(auth), Some(Secret::new("t0ken")));
    let run = |around: &Around, words: &str| {
        let ran = run_in(around, ["-s", &url].into_iter().chain(words.split(' ')));
        (ran.exit, ran.err.lines().next().unwrap_or("").to_string())
    };
    let denied = "supers: a name with its password, or a token, is needed here";
    assert_eq!(run(&w.around, "stop db"), (Exit::Failed, denied.into()));
    assert_eq!(run(&w.around, "-u bob -p no stop db"), (Exit::Failed, denied.into()));
    assert_eq!(run(&w.around, "-u bob -p pw stop db"), (Exit::Done, String::new()));
    let mut around = w.around.clone();
    around.world.env.push(("SUPERS_TOKEN".into(), "t0ken".into()));
    assert_eq!(run(&around, "stop db"), (Exit::Done, String::new()));
    assert_eq!(w.fake.take_calls().lines().count(), 2);
    let (url, _server) = listen_tcp(&w.fake, None, None);
    insta::assert_snapshot!(run_in(&w.around, ["-s", &url, "stop", "db"]).all(), @r#"
    --- stderr
    supers: over TCP without a configured password or token this only reads; set username= and password= in [inet_http_server] (superd.conf), or use `supers` on this machine
    --- 1
    "#);
}
