//! Each check of the doctor: a file in which it applies, at which line, and one in which it does not.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::World;
use std::collections::BTreeSet;
use supers_config::doctor::{CHECKS, Diagnosis, examine};

/// The mark of a line in which the check must apply; it is taken out before the file is read.
const HERE: &str = "<<";

fn diagnoses(world: &World) -> Vec<Diagnosis> {
    world.with_request("s.conf", |req| examine(req, &world.path().join("s.conf"))).unwrap()
}

/// Lines of the main file at which a check applies.
fn lines(id: &str, text: &str, included: &str) -> Vec<(String, u32)> {
    let (text, included) = (text.replace(HERE, ""), included.replace(HERE, ""));
    let world = World::new(&[("s.conf", &text), ("inc/a.conf", &included)]);
    let of = diagnoses(&world).into_iter().filter(|d| d.id == id);
    of.map(|d| (world.short(&d.file.to_string()), d.line)).collect()
}

fn marked(file: &str, text: &str) -> Vec<(String, u32)> {
    let marks = text.lines().enumerate().filter(|(_, l)| l.contains(HERE));
    marks.map(|(i, _)| (file.to_string(), u32::try_from(i).unwrap() + 1)).collect()
}

/// Check, file with marks, file in which it is silent. A text that begins with `INC` is an included file.
const CASES: &[(&str, &str, &str)] = &[
    (
        "comment-in-quotes",
        "[program:a]\n<<command=sh -c \"a ; b\"\n",
        "[program:a]\ncommand=sh -c \"a;b\" ; and \"c ; d\"\n",
    ),
    ("unknown-section", "[program:a]\ncommand=a\n<<[progam:b]\n", "[program:a]\ncommand=a\n"),
    (
        "default-section",
        "[DEFAULT]\nuser=root\n<<[rpcinterface:supervisor]\nx=y\n",
        "[rpcinterface:supervisor]\nx=y\n[supervisord]\n",
    ),
    ("included-include", "INC<<[include]\nfiles=b.conf\n", "INC[program:b]\ncommand=b\n"),
    ("include-glob", "[include]\n<<files=inc/*.conf\n", "[include]\nfiles=inc/a.conf\n"),
    ("include-unit", "[include]\n<<files=inc/a.conf units/*.service\n", "[include]\nfiles=inc/a.conf\n"),
    ("here-included", "INC[program:b]\n<<command=%(here)s/b\n", "[program:b]\ncommand=%(here)s/b\n"),
    (
        "go-only-key",
        "[program:a]\ncommand=a\n<<depends_on=b\n<<envFiles=/x\n",
        "[program:a]\ncommand=a\npriority=1\n",
    ),
    ("go-only-section", "<<[program-default]\nuser=root\n", "[program:program-default]\ncommand=a\n"),
    (
        "go-only-server-key",
        "[inet_http_server]\nport=1\n<<nodename=x\n<<remotes=y:z:1\n",
        "[inet_http_server]\nport=1\n",
    ),
    (
        "unknown-key",
        "[program:a]\ncommand=a\n<<autostrat=true\n[supervisord]\n<<depends_on=x\n",
        "[program:a]\ncommand=a\ndepends_on=b\n[rpcinterface:x]\nwhatever=1\n",
    ),
    (
        "bad-number",
        "[program:a]\ncommand=a\n<<priority=1_000\n<<startsecs=soon\n",
        "[program:a]\ncommand=a\npriority=-1\nstartsecs=5\n",
    ),
    (
        "bad-boolean",
        "[program:a]\ncommand=a\n<<autostart=yes\n<<autorestart=True\n",
        "[program:a]\ncommand=a\nautostart=true\nautorestart=unexpected\n",
    ),
    (
        "small-size",
        "[program:a]\ncommand=a\n<<stdout_logfile_maxbytes=50mb\n",
        "[program:a]\ncommand=a\nstdout_logfile_maxbytes=50MB\n",
    ),
    (
        "go-daemon-key",
        "[supervisord]\n<<user=root\n<<nocleanup=true\n",
        "[supervisord]\nloglevel=info\n[program:a]\ncommand=a\nuser=root\n",
    ),
    (
        "daemon-umask",
        "[supervisord]\n<<umask=077\n<<directory=/\n",
        "[program:a]\ncommand=a\numask=077\ndirectory=/\n",
    ),
    ("foreground", "[supervisord]\n<<nodaemon=false\n", "[supervisord]\nnodaemon=true\n"),
    (
        "daemon-log-stream",
        "[supervisord]\n<<logfile=/dev/stdout\n",
        "[supervisord]\nlogfile=/dev/stdout\nlogfile_maxbytes=0\n",
    ),
    (
        "daemon-percent",
        "[supervisord]\n<<environment=A=\"50%%\"\n",
        "[program:a]\ncommand=a\nenvironment=A=\"50%%\"\n",
    ),
    ("log-level", "[supervisord]\n<<loglevel=trace\n", "[supervisord]\nloglevel=warn\n"),
    ("limits", "[supervisord]\nminfds=2000\n<<minprocs=300\n", "[supervisord]\nminprocs=300\n"),
    ("no-supervisord", "<<[program:a]\ncommand=a\n", "[program:a]\ncommand=a\n[supervisord]\n"),
    (
        "no-rpcinterface",
        "<<[unix_http_server]\nfile=/tmp/s\n",
        "[unix_http_server]\nfile=/tmp/s\n[rpcinterface:supervisor]\nx=y\n",
    ),
    ("no-ctl", "<<[unix_http_server]\nfile=/tmp/s\n", "[unix_http_server]\nfile=/tmp/s\n[supervisorctl]\n"),
    ("plugin", "<<[rpcinterface:twiddler]\nx=y\n<<[ctlplugin:z]\nx=y\n", "[rpcinterface:supervisor]\nx=y\n"),
    (
        "open-port",
        "<<[inet_http_server]\nport=127.0.0.1:9001\n",
        "[inet_http_server]\nport=127.0.0.1:9001\nusername=a\npassword=b\n",
    ),
    ("read-only-port", "<<[inet_http_server]\nport=127.0.0.1:9001\n", "[unix_http_server]\nfile=/tmp/s\n"),
    ("all-addresses", "[inet_http_server]\n<<port=*:9001\n", "[inet_http_server]\nport=127.0.0.1:9001\n"),
    (
        "open-socket",
        "[unix_http_server]\nfile=/tmp/s\n<<chmod=0777\n",
        "[unix_http_server]\nfile=/tmp/s\nchmod=0770\n",
    ),
    (
        "go-socket-mode",
        "[unix_http_server]\nfile=/tmp/s\n<<chmod=0700\n<<chown=root\n",
        "[unix_http_server]\nfile=/tmp/s\nusername=a\npassword=b\n",
    ),
    ("go-section", "<<[fcgi-program:a]\ncommand=a\nsocket=unix:///tmp/s\n", "[program:a]\ncommand=a\n"),
    (
        "user-home",
        "[program:a]\ncommand=a\n<<user=www-data\n",
        "[program:a]\ncommand=a\nuser=www-data\nenvironment=HOME=\"/var/www\"\n",
    ),
    (
        "user-group",
        "[program:a]\ncommand=a\n<<user=www-data:adm\n",
        "[program:a]\ncommand=a\nuser=www-data\n",
    ),
    (
        "go-user",
        "[program:a]\ncommand=a\nuser=root\n<<environment=PATH=\"/bin\"\n",
        "[program:a]\ncommand=a\nenvironment=PATH=\"/bin\"\n",
    ),
    (
        "quick-end",
        "[program:a]\ncommand=a\n<<autorestart=false\n",
        "[program:a]\ncommand=a\nautorestart=false\nstartsecs=0\n[program:b]\ncommand=b\nautorestart=true\n",
    ),
    (
        "go-exits",
        "[program:a]\ncommand=a\n<<autorestart=unexpected\n",
        "[program:a]\ncommand=a\nautorestart=true\n",
    ),
    ("zero-startsecs", "[program:a]\ncommand=a\n<<startsecs=0\n", "[program:a]\ncommand=a\nstartsecs=1\n"),
    ("retries", "[program:a]\ncommand=a\n<<startretries=5\n", "[program:a]\ncommand=a\n"),
    (
        "exit-codes",
        "<<[program:a]\ncommand=a\n",
        "[program:a]\ncommand=a\nexitcodes=0\n[program:b]\ncommand=b\nautorestart=true\n",
    ),
    (
        "stop-signals",
        "[program:a]\ncommand=a\n<<stopsignal=TERM KILL\n",
        "[program:a]\ncommand=a\nstopsignal=TERM\n",
    ),
    ("stop-order", "[program:a]\ncommand=a\n<<priority=5\n", "[program:a]\ncommand=a\n"),
    (
        "equal-priority",
        "[program:a]\ncommand=a\n<<priority=5\n[program:b]\ncommand=b\n<<priority=5\n",
        "[program:a]\ncommand=a\npriority=5\n[program:b]\ncommand=b\npriority=6\n",
    ),
    (
        "process-numbers",
        "[program:a]\ncommand=a\nnumprocs=2\n<<process_name=%(program_name)s_%(process_num)d\n<<numprocs_start=1\n",
        "[program:a]\ncommand=a\nnumprocs=1\nprocess_name=b\n",
    ),
    ("command-quotes", "[program:a]\n<<command=a --opt=\"b c\"\n", "[program:a]\ncommand=a \"b c\" --opt\n"),
    (
        "environment-quotes",
        "[program:a]\ncommand=a\n<<environment=A=\"it's\"\n",
        "[program:a]\ncommand=a\nenvironment=A=\"b\",C='d'\n",
    ),
    (
        "go-environment-quotes",
        "[program:a]\ncommand=a\n<<environment=A='b'\n",
        "[program:a]\ncommand=a\nenvironment=A=\"b\"\n",
    ),
    (
        "supervisorctl-inside",
        "[program:a]\n<<command=supervisorctl reload\n",
        "[program:a]\ncommand=supervisorctl status\n",
    ),
    (
        "go-no-log",
        "[program:a]\ncommand=a\n<<stdout_logfile=NONE\n",
        "[program:a]\ncommand=a\nstdout_logfile=/dev/null\n",
    ),
    ("go-auto-log", "[program:a]\ncommand=a\n<<stderr_logfile=AUTO\n", "[program:a]\ncommand=a\n"),
    (
        "log-targets",
        "[program:a]\ncommand=a\n<<stdout_logfile=/tmp/a.log,syslog\n<<stderr_logfile=syslog @h\n",
        "[program:a]\ncommand=a\nstdout_logfile=/tmp/a.log\n",
    ),
    (
        "go-syslog-name",
        "[program:a]\ncommand=a\n<<stdout_logfile=syslog.log\n",
        "[program:a]\ncommand=a\nstdout_logfile=syslog\n",
    ),
    (
        "log-stream",
        "[program:a]\ncommand=a\n<<stdout_logfile=/dev/stdout\n",
        "[program:a]\ncommand=a\nstdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n",
    ),
    (
        "go-zero-size",
        "[program:a]\ncommand=a\n<<stdout_logfile_maxbytes=0\n",
        "[program:a]\ncommand=a\nstdout_logfile_maxbytes=10MB\nstdout_capture_maxbytes=0\n",
    ),
    (
        "go-zero-backups",
        "[program:a]\ncommand=a\n<<stdout_logfile_backups=0\n",
        "[program:a]\ncommand=a\nstdout_logfile_backups=3\n",
    ),
    (
        "rotation-point",
        "[program:a]\ncommand=a\n<<stdout_logfile_maxbytes=10MB\n",
        "[program:a]\ncommand=a\nstdout_logfile_maxbytes=0\n",
    ),
    (
        "go-stderr-events",
        "[program:a]\ncommand=a\n<<stderr_events_enabled=true\n<<stderr_capture_maxbytes=1KB\n",
        "[program:a]\ncommand=a\nstdout_events_enabled=true\nstderr_events_enabled=false\nstderr_capture_maxbytes=0\n",
    ),
    (
        "listener-buffer",
        "<<[eventlistener:a]\ncommand=a\nevents=TICK_5\n",
        "[eventlistener:a]\ncommand=a\nevents=TICK_5\nbuffer_size=10\n",
    ),
    (
        "listener-events",
        "[eventlistener:a]\ncommand=a\n<<events=TICK_5,PROCESS_GROUP_ADDED\n",
        "[eventlistener:a]\ncommand=a\nevents=PROCESS_STATE\n",
    ),
    (
        "result-handler",
        "[eventlistener:a]\ncommand=a\nevents=TICK_5\n<<result_handler=m:f\n",
        "[eventlistener:a]\ncommand=a\nevents=TICK_5\nresult_handler=supervisor.dispatchers:default_handler\n",
    ),
    // What the loader says, under each personality.
    (
        "refused",
        "[supervisord]\n[program:a]\n<<command=date +%s\n<<startsecs=soon\n[group:g]\n<<programs=nobody\n",
        "[supervisord]\n[program:a]\ncommand=date +%%s\n",
    ),
    (
        "noticed",
        "[supervisord]\n[program:a]\ncommand=a\n<<environment=A=1;B=2\n",
        "[supervisord]\n[program:a]\ncommand=a\nenvironment=A=1,B=2\n",
    ),
];

fn case(text: &str) -> (String, String) {
    match text.strip_prefix("INC") {
        Some(included) => ("[supervisord]\n[include]\nfiles=inc/a.conf\n".into(), included.into()),
        None => (text.into(), "[program:inc]\ncommand=inc\nexitcodes=0\n".into()),
    }
}

#[test]
fn each_check_applies_where_it_should_and_nowhere_else() {
    for (id, bad, good) in CASES {
        let (main, included) = case(bad);
        let want = [marked("inc/a.conf", &included), marked("s.conf", &main)].concat();
        assert!(!want.is_empty(), "{id}");
        assert_eq!(lines(id, &main, &included), want, "{id}");
        let (main, included) = case(good);
        assert_eq!(lines(id, &main, &included), [], "{id} on the good file");
    }
}

#[test]
fn all_checks_are_tried_and_named_once() {
    let tried: BTreeSet<&str> = CASES.iter().map(|c| c.0).collect();
    let mut all: BTreeSet<&str> = CHECKS.iter().map(|c| c.id).collect();
    assert_eq!(all.len(), CHECKS.len());
    all.extend(["refused", "noticed"]);
    assert_eq!(tried, all);
    for check in CHECKS {
        let ends = |text: &str| text.ends_with('.') || text.ends_with(' ');
        assert!(!check.who.is_empty() && !ends(check.text) && !ends(check.hint), "{}", check.id);
    }
}

#[test]
fn a_file_that_is_the_same_everywhere() {
    let world = World::new(&[(
        "s.conf",
        "[supervisord]\nlogfile=/tmp/s.log\n[unix_http_server]\nfile=/tmp/s.sock\n[rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n[supervisorctl]\n\
         serverurl=unix:///tmp/s.sock\n[program:web]\ncommand=/usr/bin/web --port 80 ; the shop\nautorestart=true\n\
         directory=/srv\nenvironment=A=\"1\",B=\"2\"\nstdout_logfile=/tmp/web.log\nredirect_stderr=true\n",
    )]);
    let all: Vec<String> = diagnoses(&world).iter().map(ToString::to_string).collect();
    assert_eq!(all, Vec::<String>::new());
}

#[test]
fn what_people_read() {
    let world = World::new(&[(
        "s.conf",
        "[supervisord]\nnodaemon=false\n[program:web]\ncommand=/bin/sh -c \"a ; b\"\nuser=nobody-here\nautorestrat=yes\n\
         stopsignal=TERM INT\nexitcodes=none\n[program:x]\ncommand=50%\nexitcodes=0\n",
    )]);
    let all: Vec<String> = diagnoses(&world).iter().map(ToString::to_string).collect();
    insta::assert_snapshot!(world.short(&all.join("\n")), @r#"
    s.conf:2: [supers] warning: superd stays in the foreground whatever `nodaemon` says, unless it is started with -d or as supervisord
      hint: start it with -d
    s.conf:2: [go] warning: `nodaemon` in [supervisord] is not read
    s.conf:4: [supervisor,supers] warning: `command`: a blank before `;` or `#` begins a comment, inside quotes too: the value ends there
      hint: write the sign without a blank before it, for example outside the quotes: 'a '';b'
    s.conf:5: [supervisor,supers] error: supervisor does not start, supers refuses the program: Invalid user name nobody-here
    s.conf:5: [supervisor] warning: `user=nobody-here` changes neither HOME nor USER: the program sees those of the daemon; superd sets them, and Go them and a PATH of its own
      hint: set HOME and USER in environment
    s.conf:6: [supervisor,go,supers] warning: `autorestrat` in [program:web] is no key that anybody reads
      hint: did you mean `autorestart`?
    s.conf:7: [supervisor,supers] error: `stopsignal=TERM INT`: only the Go port takes several signals
      hint: name one
    s.conf:8: [supervisor,supers] error: supervisor does not start, supers refuses the program: not a valid list of exit codes: 'none'
    s.conf:10: [supervisor,supers] error: supervisor does not start, supers refuses the program: Format string '50%' for 'program:x.command' is badly formatted: incomplete format
      hint: write %% for a percent sign
    "#);
}

#[test]
fn a_file_that_cannot_be_read() {
    let world = World::new(&[]);
    let why = world.with_request("s.conf", |req| examine(req, &world.path().join("s.conf"))).unwrap_err();
    assert_eq!(world.short(&why), "s.conf: the file cannot be read: No such file or directory");
}
