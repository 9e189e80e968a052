//! Files and command lines that are wrong in one way each, and some that are odd and right.

use crate::beside::{Case, STOP};

/// Values of `[supervisord]`.
const SUPERVISORD: &[(&str, &[&str])] = &[
    ("logfile", &["/nope/x", "~nobody-here/x", "%(here)s/x", "syslog"]),
    ("logfile_maxbytes", &["5x", "", "1.5MB", "MB", "5k", "1 MB"]),
    ("logfile_backups", &["x", "1.5"]),
    ("loglevel", &["loud", "", "10", "TRACE"]),
    ("pidfile", &["/nope/x"]),
    ("umask", &["9", "", "x", "0o22"]),
    ("nodaemon", &["maybe", "", "2"]),
    ("silent", &["maybe"]),
    ("minprocs", &["x"]),
    ("nocleanup", &["maybe"]),
    ("childlogdir", &["/nope", "", "/etc/passwd", "%(here)s"]),
    ("user", &["nobody-here", "987654", "", "0"]),
    ("directory", &["/nope", "/etc/passwd"]),
    ("strip_ansi", &["maybe"]),
    ("identifier", &["", "%(host_node_name)s", "%(x)s"]),
    (
        "environment",
        &[
            "A",
            "A=",
            "A=1 B=2",
            "A=1;B=2",
            "A='x",
            "A=%(ENV_NOPE)s",
            "=1",
            "A=%",
            "A=%%",
            "A=\"%%%%\"",
            "A==b",
            "A=1,,B=2",
            "A=\"a b\"c,D=1",
            "A='\"x\"'",
            "A=\"%%(x)s\"",
        ],
    ),
    ("unheard_of", &["%(nope)s"]),
];

/// Values of a program.
const PROGRAM: &[(&str, &[&str])] = &[
    (
        "command",
        &[
            "",
            "%(x)s",
            "%",
            "a 'b",
            "date +%s",
            "%(process_num)y",
            "%(process_num)",
            "%(",
            "%(here)d",
            "%(process_num)02d %(numprocs)d %(group_name)s %(program_name)s %(host_node_name)s %(here)s",
        ],
    ),
    ("process_name", &["a b", "a:b", "a/b", "a'b c", "%(x)s", "%(process_num)d"]),
    ("numprocs", &["x", "", "2", "0", "-1", "1.5"]),
    ("numprocs_start", &["x", "-5"]),
    ("priority", &["x", "", "-5", "%(process_num)d", "%(program_name)s"]),
    ("autostart", &["maybe", "", "%(process_num)d", "é", "ma\n  ybe"]),
    ("startsecs", &["x", "1.5", "-1"]),
    ("startretries", &["x", "1_0"]),
    ("autorestart", &["x", "", "UNEXPECTED"]),
    ("exitcodes", &["256", "-1", "a", "", "1,", "1,,2", "0, 2", "1;2"]),
    ("stopsignal", &["NOPE", "99", "", "sigterm", "15", "TERM HUP"]),
    ("stopwaitsecs", &["x"]),
    ("stopasgroup", &["maybe", "true\nkillasgroup=false", "true\nkillasgroup=true"]),
    ("killasgroup", &["maybe", "false"]),
    ("user", &["nobody-here", "987654", "", "%(program_name)s"]),
    ("redirect_stderr", &["maybe", "true\nstderr_logfile=x"]),
    (
        "stdout_logfile",
        &["/nope/x", "", "none", "SYSLOG", "~nobody-here/x", "%(here)s/%(process_num)d", "%(nope)s"],
    ),
    ("stderr_logfile", &["/nope/x"]),
    ("stdout_logfile_maxbytes", &["x", "1.5MB"]),
    ("stdout_logfile_backups", &["x"]),
    ("stderr_logfile_maxbytes", &["x"]),
    ("stderr_logfile_backups", &["x"]),
    ("stdout_capture_maxbytes", &["x", "1KB", "%(process_num)d"]),
    ("stderr_capture_maxbytes", &["x"]),
    ("stdout_events_enabled", &["maybe"]),
    ("stderr_events_enabled", &["maybe"]),
    ("stdout_syslog", &["maybe", "true"]),
    ("stderr_syslog", &["maybe"]),
    (
        "environment",
        &["A", "A=%(process_num)d", "A=%(ENV_A)s", "%(x)s", "A=1 B=2", "A=%", "A=1\nuser=%(ENV_A)s"],
    ),
    ("directory", &["/nope", "%(x)s"]),
    ("umask", &["9", ""]),
    ("serverurl", &["", "AUTO", "%(x)s"]),
    ("unheard_of", &["%(x)s"]),
];

/// What follows `[eventlistener:e]` and its command.
const LISTENER: &[&str] = &[
    "",
    "events=\n",
    "events=NOPE\n",
    "events=tick_5\n",
    "events=TICK_5,nope\n",
    "events=TICK_5,\n",
    "events=TICK_5 TICK_60\n",
    "events=process_state , Tick\n",
    "events=%(x)s\n",
    "events=EVENT\nbuffer_size=\n",
    "events=EVENT\nbuffer_size=0\n",
    "events=EVENT\nbuffer_size=-1\n",
    "events=EVENT\nbuffer_size=x\n",
    "events=EVENT\nresult_handler=nope:x\n",
    "events=EVENT\nresult_handler=supervisor.dispatchers:default_handler\n",
    "events=EVENT\nredirect_stderr=true\n",
    "events=EVENT\nredirect_stderr=x\n",
    "events=EVENT\npriority=x\n",
    "events=NOPE\nbuffer_size=x\n",
    "events=EVENT\nnumprocs=2\n",
    "events=EVENT\nautostart=x\n",
];

/// What follows `[fcgi-program:f]` and its command.
const FASTCGI: &[&str] = &[
    "",
    "socket=\n",
    "socket=x\n",
    "socket=unix://x\n",
    "socket=unix:///x\n",
    "socket=tcp://x\n",
    "socket=tcp://x:1\n",
    "socket=tcp://x:y\n",
    "socket=tcp://x:0\n",
    "socket=tcp://x:65536\n",
    "socket=tcp://:1\n",
    "socket=tcp://[::1]:1\n",
    "socket=unix:///%(process_num)d\n",
    "socket=unix://%(here)s/%(program_name)s\n",
    "socket=unix:///x\nsocket_backlog=0\n",
    "socket=unix:///x\nsocket_backlog=65536\n",
    "socket=unix:///x\nsocket_backlog=x\n",
    "socket=unix:///x\nsocket_owner=nobody-here\n",
    "socket=unix:///x\nsocket_owner=root:nobody-here\n",
    "socket=unix:///x\nsocket_owner=root:root\n",
    "socket=unix:///x\nsocket_mode=9\n",
    "socket=tcp://x:1\nsocket_owner=root\n",
    "socket=tcp://x:1\nsocket_mode=0700\n",
    "socket=tcp://x:1\nsocket_mode=9\n",
    "socket=unix:///x\nuser=nobody-here\n",
    "socket=unix:///x\nuser=%(program_name)s\n",
    "socket=x\npriority=y\nsocket_backlog=z\n",
];

/// What follows `[supervisord]`.
const SECTIONS: &[&str] = &[
    "[program:p]\n",
    "[program:p]\nnumprocs=2\n",
    "[program:p]\nautostart=x\n",
    "[program:p]\nenvironment=A\n",
    "[program:p]\ncommand=x\nnumprocs=2\nprocess_name=a\n",
    "[program:p]\ncommand=x\npriority=a\nautostart=b\n",
    "[program:p]\ncommand=x\nautostart=b\nstartsecs=c\nuser=nobody-here\nstdout_logfile=/nope/x\n",
    "[program:p]\ncommand=x\nstopasgroup=1\nkillasgroup=0\nnumprocs=2\n",
    "[program:p]\ncommand=x\ncommand=y\nPRIORITY=x\n",
    "[program:a b]\ncommand=x\n",
    "[program:a:b]\ncommand=x\n",
    "[program:a/b]\ncommand=x\n",
    "[program: p]\ncommand=x\n",
    "[program]\ncommand=x\n",
    "[program:z]\ncommand=x\nautostart=z\n[program:a]\ncommand=x\nautostart=a\n",
    "[program:p]\ncommand=x\nautostart=p\n[eventlistener:e]\ncommand=x\n",
    "[eventlistener:e]\ncommand=x\nevents=EVENT\nautostart=e\n[program:p]\ncommand=x\nautostart=p\n",
    "[fcgi-program:f]\ncommand=x\n[eventlistener:e]\ncommand=x\n",
    "[eventlistener:a b]\ncommand=x\nevents=EVENT\n",
    "[eventlistener:e]\nevents=EVENT\n",
    "[fcgi-program:a b]\ncommand=x\nsocket=x\n",
    "[fcgi-program:f]\nsocket=unix:///x\n",
    "[group:g]\n",
    "[group:g]\nprograms=\n",
    "[group:g]\nprograms=p\n",
    "[group:g]\nprograms=,\n",
    "[group:g]\npriority=x\n",
    "[group:g]\nprograms=%(x)s\n",
    "[group:a b]\nprograms=p\n",
    "[program:p]\ncommand=x\npriority=z\n[group:p]\nprograms=p\n",
    "[program:p]\ncommand=x\npriority=z\n[group:g]\nprograms=p\npriority=y\n",
    "[program:p]\ncommand=x\n[fcgi-program:p]\ncommand=x\nsocket=tcp://a:1\n[group:g]\nprograms=p\n",
    "[program:p]\ncommand=x\n[group:g]\nprograms=p,p\n",
    "[program:p]\ncommand=x\n[group:g]\nprograms=p\n[group:h]\nprograms=p\n",
    "[eventlistener:e]\ncommand=x\nevents=EVENT\n[group:g]\nprograms=e\n",
    "[unix_http_server]\n",
    "[unix_http_server]\nfile=x\nchmod=9\n",
    "[unix_http_server]\nfile=x\nchown=nobody-here\n",
    "[unix_http_server]\nfile=x\nchown=root:\n",
    "[unix_http_server]\nfile=x\nchown=root:root\n",
    "[unix_http_server]\nfile=%(nope)s/x\n",
    "[unix_http_server]\nfile=x\nusername=%(x)s\n",
    "[unix_http_server:a]\nfile=x\nusername=u\n",
    "[unix_http_server]\nfile=x\npassword=u\nchmod=z\n",
    "[unix_http_server]\nfile=x\nusername=u\npassword={SHA}x\n",
    "[unix_http_server]\nusername=u\n",
    "[inet_http_server]\n",
    "[inet_http_server]\nusername=u\n",
    "[inet_http_server]\nport=x\n",
    "[inet_http_server]\nport=\n",
    "[inet_http_server]\nport=65536\n",
    "[inet_http_server]\nport=a:65536\n",
    "[inet_http_server]\nport=a:0\n",
    "[inet_http_server]\nport=a:b\n",
    "[inet_http_server]\nport=a:\n",
    "[inet_http_server]\nport=*:1\n",
    "[inet_http_server]\nport=%(x)s\n",
    "[unix_http_server]\n[inet_http_server]\n",
    "[unix_http_server]\n[program:p]\n",
    "[unix_http_server]\n[rpcinterface:x]\n[program:p]\n",
    "[rpcinterface:x]\n",
    "[rpcinterface:x]\nsupervisor.rpcinterface_factory=nope:x\n",
    "[rpcinterface:x]\nsupervisor.rpcinterface_factory=%(x)s\n",
    "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\nfoo=%(x)s\n",
    "[rpcinterface:supervisor]\nsupervisor.rpcinterface_factory=supervisor.rpcinterface:make_main_rpcinterface\n",
    "[ctlplugin:x]\n",
    "[supervisorctl]\nserverurl=%(x)s\n",
    "foo\n",
    "foo\nbar\n\nfoobar",
    "=x\n",
    "a b\n",
    "[]\n",
    "[program:p\ncommand=x\n",
    "[program:p] odd\npriority=x\n",
    "[DEFAULT]\nloglevel=loud\n",
    "[DEFAULT]\npriority=x\n[program:p]\ncommand=x\n",
    " [program:p]\n",
    "[include]\n",
    "[include]\nfiles=\n",
    "[include]\nfiles=*.none\n",
    "[include]\nfiles=%(x)s\n",
    "[include]\nfiles=[\n",
    "[include]\nfiles=%(here)s/a %(host_node_name)s\n",
    "loglevel=loud\n[rpcinterface:x]\n[program:p]\n",
    "loglevel=loud\n[include]\n",
    "directory=/nope\nuser=nobody-here\numask=x\nlogfile=/nope/x\n",
];

/// Whole main files.
const FILES: &[&str] = &[
    "",
    "x=1\n",
    "; remark\n x\n",
    "[program:p]\ncommand=x\n",
    "[supervisord]\nminfds=x\n",
    "[supervisord]\nminprocs=99999999999\n",
];

/// A main file that includes this one.
const INCLUDED: &[&str] = &[
    "nonsense\n",
    "[program:p]\nnonsense\n",
    "[supervisord]\nloglevel=x\n",
    "[include]\n",
    "[program:p]\npriority=x\n",
    "[program:p]\ncommand=x\nautostart=x\n",
    "[program:p]\ncommand=x\nstdout_logfile=%(here)s/x/y\n",
];

/// Command lines; `s.conf` is a good file.
const LINES: &[&str] = &[
    "",
    "-c nope",
    "-c /nope",
    "-x",
    "--foo",
    "word",
    "-n word other",
    "-c",
    "--config",
    "--conf=s.conf",
    "--c s.conf",
    "--log x",
    "--no",
    "--nod -c s.conf",
    "--nodaemon=1",
    "--minp x",
    "-n -n",
    "-n --nodaemon",
    "-nsc s.conf",
    "-ns -cs.conf",
    "--version=3",
    "-v word",
    "-vn",
    "-n -v -e loud",
    "-u nobody-here -c s.conf",
    "-u 987654 -c s.conf",
    "-u root -c s.conf",
    "-m 99 -c s.conf",
    "-d /nope -c s.conf",
    "-l /nope/x -c s.conf",
    "-l syslog -c s.conf",
    "-y 5x -c s.conf",
    "-z 5MB -c s.conf",
    "-e loud -c nope",
    "-e DEBUG -c s.conf",
    "-j /nope/x",
    "-q /nope",
    "-a x",
    "-a 99999999999 -c s.conf",
    "-i x -k -t -s -c s.conf",
    "--minprocs 2 -c s.conf",
    "-- -c s.conf",
    "-",
    "-i",
    "-c /tmp",
    "-u nobody-here -c broken.conf",
];

fn of_file(text: String) -> Case {
    Case { args: ["-n", "-c", "s.conf"].map(String::from).into(), files: vec![("s.conf".into(), text)] }
}

/// All cases with a file.
pub(crate) fn files() -> Vec<Case> {
    let main = format!("[supervisord]\n{STOP}");
    let mut texts: Vec<String> = FILES.iter().map(ToString::to_string).collect();
    let pairs =
        |rows: &'static [(&str, &[&str])]| rows.iter().flat_map(|(k, vs)| vs.iter().map(move |v| (*k, *v)));
    texts.extend(pairs(SUPERVISORD).map(|(k, v)| format!("{main}{k}={v}\n")));
    texts.extend(pairs(PROGRAM).map(|(k, v)| {
        let command = if k == "command" { "" } else { "command=/bin/cat\n" };
        format!("{main}[program:p]\n{command}{k}={v}\n")
    }));
    texts.extend(LISTENER.iter().map(|t| format!("{main}[eventlistener:e]\ncommand=x\n{t}")));
    texts.extend(FASTCGI.iter().map(|t| format!("{main}[fcgi-program:f]\ncommand=x\n{t}")));
    texts.extend(SECTIONS.iter().map(|t| format!("{main}{t}")));
    let mut cases: Vec<Case> = texts.into_iter().map(of_file).collect();
    cases.extend(INCLUDED.iter().map(|text| {
        let mut case = of_file(format!("{main}[include]\nfiles=d/*.ini e.ini\n"));
        case.files.push(("d/a.ini".into(), text.to_string()));
        case.files.push(("e.ini".into(), "[program:p]\ndirectory=/\n".into()));
        case
    }));
    cases
}

/// All cases of a command line.
pub(crate) fn lines() -> Vec<Case> {
    let case = |line: &&str| Case {
        args: line.split_whitespace().map(String::from).collect(),
        files: vec![
            ("s.conf".into(), format!("[supervisord]\n{STOP}")),
            ("broken.conf".into(), "[supervisord]\n[unix_http_server]\n".into()),
        ],
    };
    LINES.iter().map(case).collect()
}
