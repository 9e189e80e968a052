//! Unit files: what each directive does, and what is refused rather than run otherwise.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{World, get, service, var, words};
use std::time::Duration;
use supers_config::unit::envfile;
use supers_core::signal::Signal;
use supers_core::spec::{EnvFile, Kind, Limit, Resource, StartLimit, Target, When};

#[test]
fn defaults() {
    let (p, findings) = service("ExecStart=/bin/true");
    assert_eq!(findings, "");
    let s = &p.spec;
    assert_eq!((s.name.as_str(), s.kind, s.autostart, s.group_priority), ("u", Kind::Simple, true, 999));
    assert_eq!((s.restart.when, s.restart.retry.clone()), (When::Never, None));
    assert_eq!((s.restart.startsecs, s.restart.delay), (Duration::ZERO, Duration::from_millis(100)));
    assert_eq!(s.restart.clean.signals, [Signal::HUP, Signal::INT, Signal::TERM, Signal::PIPE]);
    assert_eq!(s.restart.limit, Some(StartLimit { burst: 5, interval: Duration::from_secs(10) }));
    assert_eq!((s.stop.wait, s.stop.kill, s.stop.group), (Some(Duration::from_secs(90)), true, true));
    assert!(s.stop.kill_group && s.stop.sweep);
    let c = &s.context;
    assert!(c.session && !c.stdin_pipe && c.ignore_sigpipe && !c.env.inherit && c.env.user_vars);
    assert_eq!((c.umask, c.oom_score_adj, c.env.invocation), (Some(0o22), None, true));
    assert_eq!(var(&p, "LANG").as_deref(), Some("de_DE.UTF-8"));
    assert!(var(&p, "PATH").unwrap().starts_with("/usr/local/sbin:"));
    assert_eq!(s.output.stdout.target, Target::File("/logs/u/u.log".into()));
    assert_eq!(s.output.stderr, None);
}

#[test]
fn the_seeds_sample() {
    let world = World::new(&[(
        "app.service",
        "[Unit]\nDescription=My app\nAfter=network.target other.service\n\n[Service]\nType=simple\nUser=root\n\
         WorkingDirectory=/\nExecStart=/usr/bin/python3 -m app --server.port=8004\nRestart=on-failure\n\
         RestartSec=5s\n\n[Install]\nWantedBy=multi-user.target\n",
    )]);
    let loaded = world.folder();
    assert_eq!(world.findings(&loaded), "");
    let p = get(&loaded, "app");
    assert_eq!((p.about.description.as_str(), p.about.line), ("My app", 5));
    assert_eq!(p.about.wanted_by, ["multi-user.target"]);
    assert_eq!(p.spec.order.after, ["other"]);
    assert_eq!((p.spec.restart.when, p.spec.restart.delay), (When::OnFailure, Duration::from_secs(5)));
    assert_eq!(p.spec.context.user.as_deref(), Some("root"));
}

#[test]
fn commands() {
    let (p, findings) = service(
        "Type=oneshot\nExecStart=-/bin/a 'b c' ; @+/bin/d name $X \\\n  %p\nExecStart=:!e \\x41\n\
         ExecReload=/bin/kill -HUP $MAINPID\nExecStop=/bin/stop",
    );
    assert_eq!(findings, "");
    let e = &p.spec.exec;
    assert_eq!(e.len(), 3);
    assert_eq!((e[0].words.len(), e[0].ignore_failure, e[0].expand), (2, true, true));
    assert_eq!(e[1].words, ["/bin/d", "$X", "u"]);
    assert_eq!((e[1].argv0.clone(), e[1].privileged), (Some("name".into()), true));
    assert_eq!(
        (e[2].words.clone(), e[2].expand, e[2].privileged),
        (vec!["e".into(), "A".into()], false, true)
    );
    assert_eq!((p.spec.stop_exec.len(), p.spec.reload_exec.len()), (1, 1));
    assert_eq!(p.spec.start_timeout, None);
    assert!(p.spec.restart.clean.signals.is_empty());
}

#[test]
fn values() {
    let (p, findings) = service(
        "ExecStart=x\nRestart=always\nRestartSec=1min 30s\nSuccessExitStatus=143 TEMPFAIL SIGUSR1\n\
         RestartPreventExitStatus=1\nRestartForceExitStatus=2 KILL\nStartLimitInterval=0\n\
         TimeoutStopSec=infinity\nKillSignal=INT\nKillMode=mixed\nSendSIGKILL=yes\nUMask=0077\nNice=-5\n\
         OOMScoreAdjust=100\nNoNewPrivileges=yes\nIgnoreSIGPIPE=no\nLimitNOFILE=1024:65536\nLimitCORE=infinity\n\
         LimitMEMLOCK=64M\nLimitCPU=1min\nLimitNICE=+5\nEnvironment=\"A=b c\" B=%N\nEnvironment=C=$x\n\
         EnvironmentFile=-/etc/default/u\nPassEnvironment=PASS GONE\nWorkingDirectory=-/nowhere\nGroup=adm",
    );
    assert_eq!(findings, "");
    let r = &p.spec.restart;
    assert_eq!((r.delay, r.limit), (Duration::from_secs(90), None));
    assert_eq!(r.clean.codes, [0, 143, 75]);
    assert!(r.clean.signals.contains(&Signal::USR1));
    assert_eq!((r.prevent.codes.clone(), r.force.codes.clone()), (vec![1], vec![2]));
    assert_eq!(r.force.signals, [Signal::KILL]);
    let s = &p.spec.stop;
    assert_eq!(
        (s.wait, s.signals.clone(), s.group, s.kill_group, s.sweep),
        (None, vec![Signal::INT], false, true, true)
    );
    let c = &p.spec.context;
    assert_eq!((c.umask, c.nice, c.oom_score_adj), (Some(0o77), Some(-5), Some(100)));
    assert!(c.no_new_privileges && !c.ignore_sigpipe);
    let limit = |r| c.limits.iter().find(|l| l.resource == r).map(|l: &Limit| (l.soft, l.hard)).unwrap();
    assert_eq!(limit(Resource::Nofile), (Some(1024), Some(65536)));
    assert_eq!(limit(Resource::Core), (None, None));
    assert_eq!(limit(Resource::Memlock), (Some(64 << 20), Some(64 << 20)));
    assert_eq!((limit(Resource::Cpu).0, limit(Resource::Nice).0), (Some(60), Some(15)));
    let got = ["A", "B", "C", "PASS"].map(|k| var(&p, k).unwrap());
    assert_eq!(got, ["b c", "u", "$x", "through"]);
    assert_eq!(var(&p, "GONE"), None);
    assert_eq!(c.env.files, [EnvFile { path: "/etc/default/u".into(), optional: true }]);
    let d = c.directory.clone().unwrap();
    assert_eq!((d.path.to_string().as_str(), d.optional), ("/nowhere", true));
}

#[test]
fn kill_modes() {
    let stop = |mode: &str| service(&format!("ExecStart=x\nKillMode={mode}\n")).0.spec.stop.clone();
    let process = stop("process");
    assert!(!process.group && !process.kill_group && !process.sweep && process.kill);
    let none = stop("none");
    assert!(none.signals.is_empty() && !none.kill && !none.sweep);
    let (p, _) = service("ExecStart=x\nSendSIGKILL=no");
    assert!(!p.spec.stop.kill && !p.spec.stop.sweep && p.spec.stop.group);
}

#[test]
fn output() {
    for (lines, out, err) in [
        ("StandardOutput=journal\nStandardError=inherit", "/logs/u/u.log", None),
        ("StandardError=journal", "/logs/u/u.log", None),
        ("StandardOutput=null\nStandardError=journal", "null", Some("/logs/u/u.err.log")),
        ("StandardOutput=null", "null", None),
        ("StandardError=null", "/logs/u/u.log", Some("null")),
        ("StandardOutput=append:/x/%p\nStandardError=append:/x/u", "/x/u", None),
        ("StandardOutput=file:/a\nStandardError=file:/b", "/a", Some("/b")),
    ] {
        let (p, findings) = service(&format!("ExecStart=x\n{lines}"));
        assert_eq!(findings, "", "{lines}");
        let text = |t: &Target| match t {
            Target::Null => "null".to_string(),
            Target::File(path) => path.to_string(),
            Target::Auto { .. } => "auto".to_string(),
        };
        assert_eq!(text(&p.spec.output.stdout.target), out, "{lines}");
        assert_eq!(p.spec.output.stderr.as_ref().map(|s| text(&s.target)).as_deref(), err, "{lines}");
    }
}

#[test]
fn refused_with_a_place() {
    for (lines, want) in [
        ("Type=forking\nExecStart=x", "u.service:2:6: Type=forking comes in a later version"),
        ("Type=smiple\nExecStart=x", "u.service:2:6: Type=smiple is no type of a service"),
        ("ExecStart=x\nExecStartPre=/y", "u.service:3:1: ExecStartPre= comes in a later version"),
        (
            "ExecStart=x\nCapabilityBoundingSet=",
            "u.service:3:1: CapabilityBoundingSet= comes in a later version",
        ),
        ("ExecStart=x\nDynamicUser=yes", "u.service:3:1: DynamicUser= comes in a later version"),
        ("Restart=always", "u.service: the unit has no ExecStart="),
        ("ExecStart=", "u.service: the unit has no ExecStart="),
        (
            "ExecStart=x\nExecStart=y",
            "u.service:3:1: more than one ExecStart= is allowed with Type=oneshot only",
        ),
        ("ExecStart=x ; y", "u.service:2:1: more than one ExecStart= is allowed with Type=oneshot only"),
        ("ExecStart=/x 'y", "u.service:2:11: ExecStart=/x 'y: the quote ' is not closed"),
        ("ExecStart=x\nUser=a b", "u.service:3:6: User=a b: this cannot be the name of a user or group"),
        (
            "ExecStart=x\nRestart=allways",
            "u.service:3:9: Restart=allways: expected no, always, on-success, on-failure, on-abnormal, on-abort or on-watchdog",
        ),
        (
            "ExecStart=x\nRestartSec=soon",
            "u.service:3:12: RestartSec=soon: \"soon\" is no time span such as 5s, 1min 30s or infinity",
        ),
        (
            "ExecStart=x\nLimitNOFILE=2:1",
            "u.service:3:13: LimitNOFILE=2:1: the soft limit is above the hard one",
        ),
        (
            "ExecStart=x\nWorkingDirectory=rel",
            "u.service:3:18: WorkingDirectory=rel: the path must be absolute, or ~ for the user's home",
        ),
        (
            "Type=oneshot\nExecStart=x\nRestart=always",
            "u.service:4:9: Restart=always is not allowed with Type=oneshot",
        ),
        (
            "ExecStart=./x",
            "u.service:2:11: ExecStart=./x: the program must be an absolute path or a bare name",
        ),
    ] {
        let world = World::new(&[
            ("u.service", &format!("[Service]\n{lines}\n")),
            ("ok.service", "[Service]\nExecStart=x"),
        ]);
        let loaded = world.folder();
        let reason = get(&loaded, "u").spec.refused.clone().unwrap_or_else(|| panic!("{lines} runs"));
        assert_eq!(world.short(&reason), want, "{lines}");
        assert_eq!(get(&loaded, "ok").spec.refused, None);
        assert!(!loaded.fatal && loaded.config.has_errors());
    }
}

#[test]
fn drop_ins_add_and_reset_and_templates_need_an_instance() {
    let world = World::new(&[
        ("w@.service", "[Service]\nExecStart=/bin/w %i %I\nEnvironment=A=1\n"),
        ("w@a-b.service", "[Service]\nExecStart=/bin/w %i %I\nEnvironment=A=1\nRestart=always\n"),
        ("w@.service.d/20.conf", "[Service]\nEnvironment=A=2 B=2\n"),
        ("w@a-b.service.d/10.conf", "[Service]\nExecStart=\nExecStart=/bin/z %f\nEnvironment=B=1\n"),
        ("w@a-b.service.d/.hidden.conf", "[Service]\nEnvironment=B=9\n"),
    ]);
    let loaded = world.folder();
    assert_eq!(world.findings(&loaded), "");
    assert_eq!(loaded.config.programs.len(), 1);
    let p = get(&loaded, "w@a-b");
    assert_eq!(words(p), ["/bin/z", "/a/b"]);
    assert_eq!((var(p, "A").as_deref(), var(p, "B").as_deref()), (Some("2"), Some("2")));
    assert_eq!(loaded.config.files.len(), 3);
}

#[test]
fn relations() {
    let world = World::new(&[
        (
            "a.service",
            "[Unit]\nRequires=b.service network-online.target\nAfter=b.service ghost.service -.mount\nWants=ghost.service\n[Service]\nExecStart=x\n",
        ),
        ("b.service", "[Unit]\nBefore=c.service\n[Service]\nExecStart=x\n"),
        ("c.service", "[Unit]\nRequires=docker.socket\n[Service]\nExecStart=x\n"),
    ]);
    let loaded = world.folder();
    let order = &get(&loaded, "a").spec.order;
    assert_eq!(
        (order.requires.clone(), order.after.clone()),
        (vec!["b".to_string()], vec!["b".into(), "ghost".into()])
    );
    assert_eq!(order.wants, ["ghost"]);
    assert_eq!(get(&loaded, "a").spec.refused, None);
    let reason = get(&loaded, "c").spec.refused.clone().unwrap();
    assert!(reason.contains("Requires=docker.socket: socket units come in a later version"), "{reason}");
}

#[test]
fn a_single_unit_file_is_a_configuration() {
    let world =
        World::new(&[("u.service", "[Service]\nExecStart=x\n"), ("v.service", "[Service]\nExecStart=x\n")]);
    let loaded = world.file("u.service");
    assert_eq!(loaded.config.programs.len(), 1);
    assert_eq!(get(&loaded, "u").spec.refused, None);
}

#[test]
fn a_unit_file_is_checked_among_its_siblings() {
    let world = World::new(&[
        ("superd.conf", "[supervisord]\nnonsense\n"),
        ("p.conf", "[program:cache]\ncommand=x\n"),
        ("z.service", "[Unit]\nAfter=a.service\nRequires=b.service cache.service\n[Service]\nExecStart=x\n"),
        ("b.service", "[Unit]\nRequires=gone.service\n[Service]\nExecStart=x\nFoo=1\n"),
        ("a.service", "[Unit]\nAfter=z.service\n[Service]\nExecStart=x\n"),
        ("fine.service", "[Unit]\nRequires=b.service\n[Service]\nExecStart=x\n"),
    ]);
    let check = |name: &str| {
        let loaded = world.among(name);
        assert_eq!((loaded.fatal, loaded.config.programs.len(), loaded.config.files.len()), (false, 1, 1));
        world.findings(&loaded)
    };
    assert_eq!(check("fine.service"), "");
    let circle = "error: dependency cycle: a -> z -> a\n  hint: take one of the After= or Before= lines out";
    assert_eq!(check("z.service"), format!("z.service:2:7: {circle}"));
    assert_eq!(check("a.service"), format!("a.service:2:7: {circle}"));
    let b = check("b.service");
    assert!(b.contains("requires gone, and there is no such unit") && b.contains("unknown key `Foo`"), "{b}");
    // A daemon that is given this one file runs only it.
    assert!(world.findings(&world.file("fine.service")).contains("requires b, and there is no such unit"));
}

#[test]
fn an_alias_is_the_unit() {
    let world = World::new(&[
        (
            "mariadb.service",
            "[Unit]\nAfter=mysql.service\n[Service]\nExecStart=x\n[Install]\nAlias=mysql.service\nAlias=mysqld.service web.service\n",
        ),
        (
            "app.service",
            "[Unit]\nAfter=mysql.service mysqld.service mariadb.service\nRequires=mysql.service\nWants=mysqld.service web.service\n[Service]\nExecStart=x\n",
        ),
        ("web.service", "[Unit]\nBefore=mysqld.service\n[Service]\nExecStart=x\n"),
        ("chrony.service", "[Service]\nExecStart=x\n[Install]\nAlias=chronyd.service\n"),
        ("clock.service", "[Unit]\nAfter=chronyd.service\n[Service]\nExecStart=x\n"),
    ]);
    let loaded = world.folder();
    assert_eq!(world.findings(&loaded), "");
    let order = |name: &str| get(&loaded, name).spec.order.clone();
    let app = order("app");
    assert_eq!((app.after.clone(), app.requires.clone()), (vec!["mariadb".into()], vec!["mariadb".into()]));
    assert_eq!(app.wants, ["mariadb", "web"]);
    assert_eq!(
        (order("web").before.clone(), order("clock").after.clone()),
        (vec!["mariadb".to_string()], vec!["chrony".to_string()])
    );
    assert_eq!(order("mariadb").after, Vec::<String>::new());
}

#[test]
fn a_masked_unit_is_no_error() {
    let world = World::new(&[("empty.service", ""), ("ok.service", "[Service]\nExecStart=x\n")]);
    std::os::unix::fs::symlink("/dev/null", world.path().join("link.service")).unwrap();
    let loaded = world.folder();
    assert!(!loaded.config.has_errors() && !loaded.fatal);
    assert_eq!(
        world.findings(&loaded),
        "empty.service: warning: masked: the file is empty\n\
         link.service: warning: masked: the file is a link to /dev/null"
    );
    assert!(get(&loaded, "empty").spec.refused.as_ref().unwrap().ends_with("masked: the file is empty"));
    assert_eq!(get(&loaded, "ok").spec.refused, None);
    let among = world.among("link.service");
    assert_eq!((among.config.findings.len(), among.config.has_errors()), (1, false));
}

#[test]
fn requirements_of_other_kinds() {
    let fine = "Requires=network-online.target system.slice -.mount syslog.socket local-fs.target\nWants=odd.mount\nAfter=odd.target";
    let unit = |lines: &str| {
        let text = format!("[Unit]\n{lines}\n[Service]\nExecStart=x\n");
        let world = World::new(&[("u.service", &text)]);
        let loaded = world.folder();
        world.findings(&loaded)
    };
    assert_eq!(unit(fine), "");
    for name in ["odd.target", "srv-data.mount", "u.timer", "dev-sdb.device"] {
        assert_eq!(
            unit(&format!("Requires={name}")),
            format!(
                "u.service:2:10: error: requires {name}, which nothing here provides\n  hint: use Wants={name} if it may be absent"
            )
        );
    }
}

#[test]
fn signals_codes_and_sizes_as_systemd_has_them() {
    let (p, findings) = service(
        "ExecStart=x\nKillSignal=SIGRTMIN+3\nSuccessExitStatus=SIGRTMIN RTMAX-1 DATAERR\n\
         RestartPreventExitStatus=EXEC USER 78\nLimitDATA=1.5G",
    );
    assert_eq!(findings, "");
    let numbers = |signals: &[Signal]| signals.iter().map(|s| s.number()).collect::<Vec<i32>>();
    assert_eq!(numbers(&p.spec.stop.signals), [37]);
    assert!(numbers(&p.spec.restart.clean.signals).ends_with(&[34, 63]));
    assert_eq!(
        (p.spec.restart.clean.codes.clone(), p.spec.restart.prevent.codes.clone()),
        (vec![0, 65], vec![203, 217, 78])
    );
    assert_eq!(
        p.spec.context.limits,
        [Limit { resource: Resource::Data, soft: Some(3 << 29), hard: Some(3 << 29) }]
    );
    // Systemd does not start such a unit either.
    for line in ["User=a b", "WorkingDirectory=rel", "StandardOutput=file:rel"] {
        let (_, findings) = service(&format!("ExecStart=x\n{line}"));
        assert!(findings.contains("error: ") && !findings.contains("systemd would ignore"), "{findings}");
    }
    let (_, findings) = service("ExecStart=x\nEnvironment=G=%G");
    assert!(findings.contains("%G comes in a later version") && findings.contains("systemd knows it"));
    assert!(!findings.contains("systemd would ignore"), "{findings}");
}

#[test]
fn nothing_is_silently_without_effect() {
    for (lines, want) in [
        ("CPUAffinity=0", "3:1: warning: not applied yet, the unit runs without: CPUAffinity"),
        ("TimeoutStopFailureMode=abort", "3:1: error: TimeoutStopFailureMode= comes in a later version"),
        ("TimeoutStopFailureMode=terminate", ""),
        ("TimeoutStartSec=abc", "3:17: error: TimeoutStartSec=abc: \"abc\" is no time span"),
        ("TimeoutStartSec=5", ""),
        ("PIDFile=/run/u.pid", "3:1: warning: PIDFile= has no effect yet"),
        ("StandardOutput=truncate:/x", "3:16: error: StandardOutput=truncate: comes in a later version"),
    ] {
        let (p, findings) = service(&format!("ExecStart=x\n{lines}"));
        assert!(
            findings.starts_with(&format!("u.service:{want}")) || findings == want,
            "{lines}: {findings}"
        );
        assert_eq!(p.spec.refused.is_some(), want.contains("error"), "{lines}");
        assert_eq!(p.spec.start_timeout, None, "{lines}");
    }
}

#[test]
fn names_of_conditions() {
    let unit = |key: &str| {
        let text = format!("[Unit]\n{key}=/x\n[Service]\nExecStart=x\n");
        let world = World::new(&[("u.service", &text)]);
        let loaded = world.folder();
        world.findings(&loaded)
    };
    assert_eq!(
        unit("ConditionPathExists"),
        "u.service:2:1: error: ConditionPathExists= comes in a later version"
    );
    assert_eq!(
        unit("ConditionPathExist"),
        "u.service:2:1: warning: unknown key `ConditionPathExist` in [Unit], ignored\n  hint: did you mean `ConditionPathExists`?"
    );
    assert!(unit("CondtionPathExists").ends_with("did you mean `ConditionPathExists`?"));
    assert!(unit("AssertFileNotEmtpy").ends_with("did you mean `AssertFileNotEmpty`?"));
}

#[test]
fn a_drop_in_clears_what_would_refuse() {
    let world = World::new(&[
        (
            "u.service",
            "[Unit]\nConditionPathExists=/x\n[Service]\nExecStartPre=/y\nRemainAfterExit=yes\nExecStart=x\n",
        ),
        (
            "u.service.d/a.conf",
            "[Unit]\nConditionPathExists=\n[Service]\nExecStartPre=\nRemainAfterExit=no\n",
        ),
    ]);
    assert_eq!(world.findings(&world.folder()), "");
}

#[test]
fn the_order_of_variables_in_a_file_is_kept() {
    let got = envfile::parse(b"B=1\nA=2\n");
    assert_eq!(got[0].0, "B");
}
