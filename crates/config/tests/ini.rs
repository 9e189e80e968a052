//! The Supervisor dialect, row by row of the contract.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{World, get, program, var, words};
use std::time::Duration;
use supers_config::flags::Key;
use supers_config::{Address, Flags, LogLevel, Password, load_with};
use supers_core::event;
use supers_core::signal::Signal;
use supers_core::spec::{Curve, Retry, SharedSocket, SocketAddress, StopPolicy, Target, When};

#[test]
fn defaults_are_the_contracts() {
    let p = program("command=/bin/cat -u");
    let s = &p.spec;
    assert_eq!((s.name.as_str(), s.group.as_str(), s.program.as_str()), ("p", "p", "p"));
    assert_eq!(words(&p), ["/bin/cat", "-u"]);
    assert_eq!((s.priority, s.group_priority, s.autostart), (999, 999, true));
    assert_eq!(s.restart.when, When::OnFailure);
    assert_eq!((s.restart.clean.codes.clone(), s.restart.clean.signals.len()), (vec![0], 0));
    assert_eq!(s.restart.startsecs, Duration::from_secs(1));
    let step = Duration::from_secs(1);
    assert_eq!(s.restart.retry, Some(Retry { limit: Some(3), curve: Curve::Linear(step) }));
    assert_eq!((s.restart.delay, s.restart.limit), (Duration::ZERO, None));
    assert_eq!(*s.stop, StopPolicy { sweep_stop: true, ..StopPolicy::default() });
    let c = &s.context;
    assert_eq!((c.umask, c.session, c.stdin_pipe, c.ignore_sigpipe), (None, false, true, false));
    assert!(c.env.inherit && c.env.user_vars && !c.env.invocation);
    let auto = Target::Auto { dir: "/tmp".into(), identifier: "supervisor".into() };
    assert_eq!((s.output.stdout.target.clone(), s.output.stdout.max_bytes), (auto.clone(), 50 << 20));
    assert_eq!(s.output.stderr.as_ref().map(|e| (e.target.clone(), e.backups)), Some((auto, 10)));
    assert!(p.about.file.ends_with(b"/s.conf") && p.about.line == 2);
    assert_eq!(var(&p, "SUPERVISOR_SERVER_URL"), None);
}

#[test]
fn every_key_has_its_effect() {
    let p = program(
        "command=x\npriority=-3\nautostart=no\nstartsecs=0\nstartretries=7\nautorestart=true\nexitcodes=0,2\n\
         stopsignal=QUIT\nstopwaitsecs=3\nstopasgroup=true\nuser=www-data\nredirect_stderr=true\n\
         stdout_logfile=out.log\nstdout_logfile_maxbytes=1MB\nstdout_logfile_backups=2\n\
         environment=A=\"1 2\",B=x\ndirectory=/srv\numask=027\nserverurl=http://x",
    );
    let s = &p.spec;
    assert_eq!((s.priority, s.group_priority, s.autostart), (-3, -3, false));
    assert_eq!((s.restart.when, s.restart.clean.codes.clone()), (When::Always, vec![0, 2]));
    assert_eq!(s.restart.retry.as_ref().and_then(|r| r.limit), Some(7));
    assert_eq!((s.stop.signals.clone(), s.stop.wait), (vec![Signal::QUIT], Some(Duration::from_secs(3))));
    assert!(s.stop.group && s.stop.kill_group && !s.stop.sweep);
    assert_eq!((s.context.user.as_deref(), s.context.umask), (Some("www-data"), Some(0o27)));
    assert_eq!(s.context.directory.as_ref().map(|d| d.path.to_string()).as_deref(), Some("/srv"));
    assert_eq!(s.output.stderr, None);
    let out = &s.output.stdout;
    assert_eq!((&out.target, out.max_bytes, out.backups), (&Target::File("out.log".into()), 1 << 20, 2));
    assert_eq!((var(&p, "A").as_deref(), var(&p, "B").as_deref()), (Some("1 2"), Some("x")));
    assert_eq!(var(&p, "SUPERVISOR_SERVER_URL").as_deref(), Some("http://x"));
    assert_eq!(var(&p, "SUPERVISOR_ENABLED").as_deref(), Some("1"));
}

#[test]
fn only_the_ancestor_keeps_the_daemons_home() {
    let world = World::new(&[("s.conf", "[supervisord]\n[program:p]\ncommand=x\nuser=www-data\n")]);
    assert!(get(&world.file("s.conf"), "p").spec.context.env.user_vars);
    assert!(!get(&world.ancestor("s.conf"), "p").spec.context.env.user_vars);
}

#[test]
fn the_ancestors_words_for_a_file_that_is_not_there() {
    let world = World::new(&[]);
    std::fs::create_dir(world.path().join("folder")).unwrap();
    let said = |name: &str| {
        let loaded = world.ancestor(name);
        assert!(loaded.fatal);
        world.short(&loaded.config.first_error().unwrap().message)
    };
    assert_eq!(said("absent.conf"), "could not find config file absent.conf");
    assert_eq!(said("folder"), "could not read config file folder");
}

#[test]
fn none_and_off_drop_the_output() {
    let p = program("command=x\nstdout_logfile=NONE\nstderr_logfile=off");
    assert_eq!(p.spec.output.stdout.target, Target::Null);
    assert_eq!(p.spec.output.stderr.as_ref().map(|s| &s.target), Some(&Target::Null));
}

#[test]
fn a_command_that_cannot_be_split_is_no_error_of_the_file() {
    let fault = |line: &str| program(line).spec.exec[0].fault.clone().unwrap();
    assert_eq!(fault("command=a 'b"), "can't parse command \"a 'b\": No closing quotation");
    assert_eq!(fault("command="), "command is empty");
    assert_eq!(program("command=a 'b").spec.refused, None);
}

#[test]
fn expansions_and_their_scopes() {
    let world = World::new(&[
        (
            "s.conf",
            "[supervisord]\nenvironment=GLOBAL=g\nidentifier=%(ENV_PASS)s\n[include]\nfiles=d/*.conf\n",
        ),
        (
            "d/a.conf",
            "[program:w]\nnumprocs=2\nnumprocs_start=8\nprocess_name=%(program_name)s_%(process_num)02d\n\
             command=%(here)s/x %(ENV_GLOBAL)s %(ENV_OWN)s %(numprocs)d %(group_name)s %(host_node_name)s 5%%\n\
             environment=OWN=\"o%(process_num)d\"\n[group:g]\nprograms=w\n",
        ),
    ]);
    let loaded = world.file("s.conf");
    assert_eq!(world.findings(&loaded), "");
    let second = get(&loaded, "g:w_09");
    let line = world.short(&second.spec.exec[0].line.to_string());
    assert_eq!(line, "d/x g o9 2 g box.example 5%");
    assert_eq!(loaded.config.settings.identifier, "through");
    assert_eq!(var(second, "SUPERVISOR_PROCESS_NAME").as_deref(), Some("w_09"));
    assert_eq!(var(second, "SUPERVISOR_GROUP_NAME").as_deref(), Some("g"));
    assert_eq!(var(second, "GLOBAL").as_deref(), Some("g"));
    assert_eq!(loaded.config.files.len(), 2);
}

#[test]
fn per_process_names_are_unknown_in_keys_read_once() {
    for (line, name) in [
        ("priority=%(process_num)d", "process_num"),
        ("autostart=%(ENV_OWN)s\nenvironment=OWN=1", "ENV_OWN"),
        ("umask=%(numprocs)s", "numprocs"),
    ] {
        let world = World::new(&[("s.conf", &format!("[program:p]\ncommand=x\n{line}\n"))]);
        let found = world.findings(&world.file("s.conf"));
        assert!(found.contains(&format!("contains names ('{name}')")), "{found}");
    }
}

#[test]
fn the_program_wins_over_supervisord_over_the_daemon() {
    let world = World::new(&[(
        "s.conf",
        "[supervisord]\nenvironment=A=1,B=1,SUPERVISOR_ENABLED=no\n[program:p]\ncommand=x\nenvironment=B=2\n",
    )]);
    let loaded = world.file("s.conf");
    let p = get(&loaded, "p");
    let got = ["A", "B", "SUPERVISOR_ENABLED"].map(|k| var(p, k).unwrap());
    assert_eq!(got, ["1", "2", "no"]);
}

#[test]
fn boot_order() {
    let world = World::new(&[(
        "s.conf",
        "[program:z]\ncommand=x\npriority=5\n[program:b]\ncommand=x\n[program:a]\ncommand=x\n\
         [program:n]\ncommand=x\nnumprocs=2\nprocess_name=%(process_num)d\npriority=7\n\
         [group:g]\nprograms=b,a\npriority=6\n[program:c]\ncommand=x\n",
    )]);
    let loaded = world.file("s.conf");
    let names: Vec<String> = loaded.config.programs.iter().map(|p| p.spec.full_name()).collect();
    assert_eq!(names, ["z", "g:b", "g:a", "n:0", "n:1", "c"]);
}

#[test]
fn settings() {
    let world = World::new(&[(
        "s.conf",
        "[supervisord]\nlogfile=main.log\nlogfile_maxbytes=0\nlogfile_backups=3\nloglevel=debug\npidfile=./p\n\
         umask=077\nnodaemon=true\nminfds=2048\nchildlogdir=/tmp\nstrip_ansi=yes\nnocleanup=1\nsilent=on\n\
         [unix_http_server]\nfile=%(here)s/s.sock\nchmod=0770\nchown=root:adm\nusername=u\npassword={SHA}\
         0123456789abcdef0123456789ABCDEF01234567\n\
         [inet_http_server:x]\nport=*:9001\n[supervisorctl]\nserverurl=unix:///x\nusername=u\npassword=secret\n\
         [rpcinterface:supervisor]\n\
         supervisor.rpcinterface_factory = supervisor.rpcinterface:make_main_rpcinterface\n\
         [ctlplugin:x]\nanything = 1\n[program:p]\ncommand=x\n",
    )]);
    let loaded = world.file("s.conf");
    assert_eq!(world.findings(&loaded), "");
    let s = &loaded.config.settings;
    assert_eq!(world.short(&s.logfile.clone().unwrap().to_string()), "main.log");
    assert_eq!(world.short(&s.pidfile.clone().unwrap().to_string()), "p");
    assert_eq!((s.logfile_maxbytes, s.logfile_backups, s.loglevel), (0, 3, LogLevel::Debug));
    assert_eq!((s.umask, s.minfds, s.minprocs), (Some(0o77), Some(2048), None));
    assert!(s.nodaemon && s.silent && s.strip_ansi && s.nocleanup && s.rpcinterface && !s.sequential_stop);
    assert_eq!(s.servers[0].address, Address::Tcp { host: String::new(), port: 9001 });
    assert_eq!(s.servers[0].address.url(), "http://localhost:9001");
    let Address::Unix { path, mode, owner } = &s.servers[1].address else { panic!("{:?}", s.servers) };
    assert_eq!((*mode, owner.as_deref()), (0o770, Some("root:adm")));
    let auth = s.servers[1].auth.clone().unwrap();
    assert!(matches!(auth.password, Password::Sha1(sum) if sum[0] == 1 && sum[19] == 0x67));
    assert_eq!(s.ctl.serverurl.as_deref(), Some("unix:///x"));
    assert!(!format!("{:?}", s.ctl).contains("secret"));
    let p = get(&loaded, "p");
    assert_eq!(var(p, "SUPERVISOR_SERVER_URL"), Some(format!("unix://{path}")));
    assert!(p.spec.output.stdout.strip_ansi);
    assert!(world.ancestor("s.conf").config.settings.sequential_stop);
}

#[test]
fn the_ancestors_errors_are_fatal_and_name_the_section() {
    for (text, want) in [
        ("[program:p]\ncommand=x\n", "s.conf: error: .ini file does not include supervisord section"),
        (
            "[supervisord]\n[program:p]\n",
            "s.conf:2:1: error: program section program:p does not specify a command in section 'program:p' (file: 's.conf')\n  hint: add a line such as command=/usr/bin/server --flag",
        ),
        (
            "[supervisord]\n[program:p]\ncommand=x\nautostart=maybe\n",
            "s.conf:4:11: error: not a valid boolean value: 'maybe' in section 'program:p' (file: 's.conf')",
        ),
        (
            "[supervisord]\nlogfile=/no/such/dir/x\n",
            "s.conf:2:9: error: The directory named as part of the path /no/such/dir/x does not exist",
        ),
        (
            "[supervisord]\n[group:g]\nprograms=a\n",
            "s.conf:3:10: error: [group:g] names unknown program or fcgi-program a",
        ),
        (
            "[supervisord]\n[unix_http_server]\nusername=a\n",
            "s.conf:2:1: error: section [unix_http_server] has no file value\n\
             s.conf:3:10: error: Section [unix_http_server] contains incomplete authentication: If a username or a password is specified, both the username and password must be specified",
        ),
        (
            "[supervisord]\n[include]\n",
            "s.conf:2:1: error: .ini file has [include] section, but no files setting",
        ),
    ] {
        let world = World::new(&[("s.conf", text)]);
        let loaded = world.ancestor("s.conf");
        assert!(loaded.fatal, "{text}");
        assert_eq!(world.findings(&loaded), want, "{text}");
    }
}

#[test]
fn the_ancestor_says_nothing_about_unknown_names() {
    let world = World::new(&[("s.conf", "[supervisord]\nfoo=1\n[bar]\n[program:p]\ncommand=x\nbaz=1\n")]);
    let loaded = world.ancestor("s.conf");
    assert_eq!((world.findings(&loaded).as_str(), loaded.fatal), ("", false));
}

#[test]
fn numprocs_needs_process_num_in_the_name() {
    let world = World::new(&[("s.conf", "[program:p]\ncommand=x\nnumprocs=2\n")]);
    let loaded = world.file("s.conf");
    let p = get(&loaded, "p");
    let want = "s.conf:3:10: %(process_num) must be present within process_name when numprocs > 1";
    assert_eq!(world.short(p.spec.refused.as_deref().unwrap()), want);
    assert!(!loaded.fatal);
}

#[test]
fn listeners() {
    let p = |extra: &str| {
        let text = format!("[eventlistener:e]\ncommand=x\nevents=tick_5, PROCESS_STATE ,TICK_5\n{extra}");
        let world = World::new(&[("s.conf", &text)]);
        let loaded = world.file("s.conf");
        assert_eq!(world.findings(&loaded), "");
        assert_eq!(loaded.config.groups[0].0, "e");
        (loaded.config.groups[0].1, get(&loaded, "e").spec.clone())
    };
    let (group_priority, spec) = p("");
    assert_eq!((group_priority, spec.group_priority, spec.priority), (-1, -1, 999));
    let listener = spec.listener.clone().unwrap();
    assert_eq!(listener.events, [event::Kind::ProcessState, event::Kind::Tick5]);
    assert_eq!(listener.buffer_size, 10);
    assert_eq!(listener.result_handler, "supervisor.dispatchers:default_handler");
    let (group_priority, spec) = p("priority=7\nbuffer_size=3\n");
    assert_eq!((group_priority, spec.group_priority, spec.priority), (7, 7, 7));
    assert_eq!(spec.listener.as_ref().map(|l| l.buffer_size), Some(3));
}

#[test]
fn a_broken_listener_is_refused_alone() {
    let world = World::new(&[(
        "s.conf",
        "[eventlistener:a]\ncommand=x\nevents=TICK_5\nredirect_stderr=yes\n[eventlistener:b]\ncommand=x\n\
         events=PROCESS_STAT\nbuffer_size=0\nresult_handler=my:own\n[eventlistener:c]\ncommand=x\n\
         [fcgi-program:d]\ncommand=x\n",
    )]);
    let loaded = world.file("s.conf");
    insta::assert_snapshot!(world.findings(&loaded), @r#"
    s.conf:4:17: error: [eventlistener:a] section sets redirect_stderr=true but this is not allowed because it will interfere with the eventlistener protocol
    s.conf:7:8: error: Unknown event type PROCESS_STAT in [eventlistener:b] events
      hint: did you mean `PROCESS_STATE`?
    s.conf:8:13: error: [eventlistener:b] section sets invalid buffer_size (0)
    s.conf:9:16: error: my:own cannot be resolved within [eventlistener:b]
      hint: Python functions cannot be loaded
    s.conf:10:1: error: [eventlistener:c] section requires an "events" line
      hint: such as events=PROCESS_STATE
    s.conf:12:1: error: [fcgi-program:d] section requires a "socket" line
    "#);
    assert!(loaded.config.programs.iter().all(|p| p.spec.refused.is_some()) && !loaded.fatal);
}

#[test]
fn shared_sockets() {
    let world = World::new(&[(
        "s.conf",
        "[fcgi-program:u]\ncommand=x\nsocket=unix://%(here)s/%(program_name)s.sock\nuser=www-data\n\
         socket_mode=0770\nsocket_backlog=5\nnumprocs=2\nprocess_name=%(process_num)d\n\
         [fcgi-program:o]\ncommand=x\nsocket=unix:///o\nuser=www-data\nsocket_owner=root:adm\n\
         [fcgi-program:t]\ncommand=x\nsocket=tcp://Host:9000\nuser=www-data\n[group:g]\nprograms=t\n",
    )]);
    let loaded = world.file("s.conf");
    assert_eq!(world.findings(&loaded), "");
    let socket = |name: &str| *get(&loaded, name).spec.socket.clone().unwrap();
    let path = format!("{}/u.sock", world.path().display()).into();
    let address = SocketAddress::Unix { path, owner: Some("www-data".into()), mode: 0o770 };
    assert_eq!(socket("u:0"), SharedSocket { address, backlog: Some(5) });
    assert_eq!(socket("u:0"), socket("u:1"));
    let address = SocketAddress::Unix { path: "/o".into(), owner: Some("root:adm".into()), mode: 0o700 };
    assert_eq!(socket("o"), SharedSocket { address, backlog: None });
    let address = SocketAddress::Tcp { host: "Host".into(), port: 9000 };
    assert_eq!(socket("g:t"), SharedSocket { address, backlog: None });
}

#[test]
fn what_else_happens_to_output() {
    let p = program(
        "command=x\nstdout_capture_maxbytes=1KB\nstderr_events_enabled=true\nstderr_syslog=true\n\
         serverurl=http://x",
    );
    let (out, err) = (&p.spec.output.stdout, p.spec.output.stderr.as_ref().unwrap());
    assert_eq!((out.capture_max, out.events, out.syslog), (1024, false, false));
    assert_eq!((err.capture_max, err.events, err.syslog), (0, true, true));
    assert!(matches!(err.target, Target::Auto { .. }));
    assert_eq!((p.spec.server_url.as_deref(), p.spec.context.exit_127), (Some("http://x"), false));
    // The old spelling means syslog and no file.
    let p = program("command=x\nstdout_logfile=SYSLOG");
    assert_eq!((&p.spec.output.stdout.target, p.spec.output.stdout.syslog), (&Target::Null, true));
    assert_eq!(program("command=x\nserverurl=AUTO").spec.server_url, None);
}

#[test]
fn all_groups_are_listed_in_their_order() {
    let world = World::new(&[(
        "s.conf",
        "[supervisord]\n[program:b]\ncommand=x\n[program:none]\ncommand=x\nnumprocs=0\npriority=4\n[group:z]\n\
         priority=3\n[group:g]\nprograms=b\n[eventlistener:e]\ncommand=x\nevents=EVENT\n",
    )]);
    let loaded = world.ancestor("s.conf");
    assert_eq!((loaded.fatal, world.findings(&loaded).as_str()), (false, ""));
    let groups: Vec<(&str, i32)> = loaded.config.groups.iter().map(|(n, p)| (n.as_str(), *p)).collect();
    assert_eq!(groups, [("e", -1), ("z", 3), ("none", 4), ("g", 999)]);
    assert!(get(&loaded, "g:b").spec.context.exit_127);
}

#[test]
fn flags_win_over_the_file_and_reach_the_programs() {
    let world = World::new(&[(
        "s.conf",
        "[supervisord]\nloglevel=error\nlogfile=a.log\nidentifier=file\nuser=root\n[program:p]\ncommand=x\n",
    )]);
    let mut flags = Flags { strip_ansi: true, ..Flags::default() };
    for (key, text) in [
        (Key::Loglevel, "debug"),
        (Key::Logfile, "syslog"),
        (Key::Identifier, "flag"),
        (Key::Childlogdir, "/tmp"),
        (Key::Minfds, "77"),
        (Key::User, "www-data"),
    ] {
        world.with_request("s.conf", |req| flags.set(key, text.into(), req)).unwrap();
    }
    let loaded = world.with_request("s.conf", |req| load_with(req, &flags));
    let s = &loaded.config.settings;
    assert_eq!((s.loglevel, s.logfile.clone(), s.log_to_syslog), (LogLevel::Debug, None, true));
    assert_eq!((s.minfds, s.user.as_deref()), (Some(77), Some("www-data")));
    let out = &get(&loaded, "p").spec.output.stdout;
    assert_eq!(out.target, Target::Auto { dir: "/tmp".into(), identifier: "flag".into() });
    assert!(out.strip_ansi);
    let bad = world.with_request("s.conf", |req| flags.set(Key::Umask, "9".into(), req));
    assert_eq!(bad.unwrap_err(), "9 can not be converted to an octal type");
    flags.user = Some("ghost".into());
    let loaded = world.with_request("s.conf", |req| load_with(req, &flags));
    assert!(loaded.fatal);
    assert_eq!(loaded.config.first_error().unwrap().message, "Invalid user name ghost");
}

#[test]
fn only_the_ancestor_expands_its_environment_twice() {
    let world = World::new(&[(
        "s.conf",
        "[supervisord]\nenvironment=A=\"%%%%\"\n[program:p]\ncommand=x %(ENV_A)s\n",
    )]);
    assert_eq!(words(get(&world.ancestor("s.conf"), "p")), ["x", "%"]);
    assert_eq!(words(get(&world.file("s.conf"), "p")), ["x", "%%"]);
}

#[test]
fn a_sum_that_is_none_lets_nobody_in() {
    let text = "[supervisord]\n[inet_http_server]\nport=1\nusername=u\npassword={SHA}x\n";
    let world = World::new(&[("s.conf", text)]);
    assert!(world.file("s.conf").fatal);
    let loaded = world.ancestor("s.conf");
    let auth = loaded.config.settings.servers[0].auth.clone().unwrap();
    assert!(!loaded.fatal && matches!(auth.password, Password::Sha1(sum) if sum == [0; 20]));
}

#[test]
fn the_order_of_lines_is_no_change() {
    let a = program("command=x\nenvironment=A=1,B=2\nuser=root");
    let b = program("user=root\n; a comment\nenvironment=B=2,A=1\ncommand=x");
    assert_eq!(a.spec, b.spec);
}
