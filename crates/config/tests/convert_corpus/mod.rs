//! Files as people write them; `expected.txt` has what converting each must give.

use supers_config::convert::Conversion;

/// The name of the row, one line a piece, then the refusals.
pub(crate) fn summary(row: &str, out: &Conversion, refusals: &str) -> String {
    let pieces: String = out.pieces.iter().map(|p| format!("{} ok\n", p.file)).collect();
    let refusals: String = refusals.lines().map(|l| format!("{l}\n")).collect();
    format!("-- {row}\n{pieces}{refusals}")
}

/// Name and text.
type Row = (&'static str, &'static str);

/// Programs.
pub(crate) const INI: &[Row] = &[
    ("plain", "[program:cat]\ncommand=/bin/cat\n"),
    (
        "gunicorn",
        "[program:web]\ncommand=/venv/bin/gunicorn app:app -w 4\ndirectory=/srv/web\nuser=www-data\nautostart=true\nautorestart=true\nredirect_stderr=true\n",
    ),
    (
        "celery",
        "[program:celery]\ncommand=celery -A proj worker --loglevel=INFO\ndirectory=/srv/proj\nnumprocs=1\nstopwaitsecs=600\nkillasgroup=true\nstdout_logfile=/tmp/celery.log\nstderr_logfile=/tmp/celery.err\n",
    ),
    (
        "laravel",
        "[program:worker]\nprocess_name=%(program_name)s_%(process_num)02d\ncommand=php /srv/artisan queue:work --tries=3\nautorestart=true\nnumprocs=3\nredirect_stderr=true\nstdout_logfile=/tmp/worker.log\n",
    ),
    (
        "nginx",
        "[program:nginx]\ncommand=/usr/sbin/nginx -g \"daemon off;\"\nstopsignal=QUIT\nstdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\nstderr_logfile=/dev/stderr\nstderr_logfile_maxbytes=0\n",
    ),
    ("sshd", "[supervisord]\nnodaemon=true\n[program:sshd]\ncommand=/usr/sbin/sshd -D\n"),
    (
        "shell",
        "[program:sh]\ncommand=bash -c 'while true; do echo $HOME \"100%%\"; sleep 5; done'\nautorestart=false\nstartsecs=0\n",
    ),
    (
        "java",
        "[program:java]\ncommand=java -Xmx1g -jar /srv/app.jar\nexitcodes=0,143\nenvironment=JAVA_HOME=\"/usr/lib/jvm\",LC_ALL=C.UTF-8\nstopasgroup=true\n",
    ),
    (
        "node",
        "[program:node]\ncommand=node server.js --port %(ENV_HOME)s\ndirectory=~\nuser=www-data\numask=027\n",
    ),
    ("oneshot", "[program:migrate]\ncommand=/srv/migrate\nautorestart=false\nstartsecs=0\nexitcodes=0\n"),
    ("none", "[program:q]\ncommand=/q\nstdout_logfile=NONE\nstderr_logfile=NONE\n"),
    (
        "mixed logs",
        "[program:l]\ncommand=/l\nstdout_logfile=/tmp/l.log\nstdout_logfile_maxbytes=0\nstderr_logfile=AUTO\n",
    ),
    ("rotation", "[program:l]\ncommand=/l\nstdout_logfile=/tmp/l.log\nstdout_logfile_maxbytes=10MB\n"),
    ("priority", "[program:db]\ncommand=/db\npriority=10\n"),
    ("manual", "[program:m]\ncommand=/m\nautostart=false\n"),
    ("slow", "[program:s]\ncommand=/s\nstartsecs=10\nstartretries=20\n"),
    ("group", "[program:a]\ncommand=/a\n[program:b]\ncommand=/b\n[group:g]\nprograms=a,b\npriority=5\n"),
    ("listener", "[eventlistener:mail]\ncommand=/m\nevents=PROCESS_STATE\n"),
    ("fcgi", "[fcgi-program:php]\ncommand=/php\nsocket=unix:///tmp/php.sock\n"),
    ("relative", "[program:r]\ncommand=./run.sh --fast\n"),
    ("codes", "[program:c]\ncommand=/c\nexitcodes=2\n"),
    (
        "capture",
        "[program:c]\ncommand=/c\nstdout_capture_maxbytes=1MB\nstderr_events_enabled=true\nstdout_syslog=true\n",
    ),
    ("no pause", "[program:c]\ncommand=/c\nstopwaitsecs=0\ndirectory=work\n"),
    ("quote", "[program:c]\ncommand=/c 'x\n"),
    ("strip", "[supervisord]\nstrip_ansi=true\n[program:c]\ncommand=/c\n"),
    ("broken", "[program:c]\ncommand=/c\nstartsecs=x\n"),
];

/// Units.
pub(crate) const UNITS: &[Row] = &[
    ("plain", "[Service]\nExecStart=/bin/cat\n"),
    (
        "seed",
        "[Unit]\nDescription=My app\nAfter=network.target\n\n[Service]\nType=simple\nUser=root\nWorkingDirectory=/\nExecStart=/usr/bin/python3 -m app --port=8004\nRestart=on-failure\nRestartSec=0\n\n[Install]\nWantedBy=multi-user.target\n",
    ),
    (
        "always",
        "[Service]\nExecStart=/usr/bin/node server.js\nRestart=always\nStartLimitIntervalSec=0\nRestartSec=0\n",
    ),
    ("java", "[Service]\nExecStart=/usr/bin/java -jar /srv/app.jar\nSuccessExitStatus=143\nUser=www-data\n"),
    ("forced", "[Service]\nExecStart=/x\nRestart=on-failure\nRestartForceExitStatus=HUP INT TERM PIPE\n"),
    ("sh", "[Service]\nExecStart=/bin/sh -c \"echo $$HOME ; exec x # no\"\n"),
    ("literal", "[Service]\nExecStart=:/bin/echo $HOME ${X}\n"),
    ("inst@7", "[Service]\nExecStart=/bin/x --n=%i\n"),
    ("mixed", "[Service]\nExecStart=/x\nKillMode=mixed\nKillSignal=SIGINT\nTimeoutStopSec=5min\n"),
    ("env", "[Service]\nExecStart=/x\nEnvironment=\"A=b c\" B=d'\nEnvironment=C=100%%\n"),
    ("env2", "[Service]\nExecStart=/x\nEnvironment=\"A=b c\" \"B=it's\"\nEnvironment=C=100%%\n"),
    ("files", "[Service]\nExecStart=/x\nStandardOutput=append:/tmp/o.log\nStandardError=append:/tmp/e.log\n"),
    ("hard", "[Service]\nExecStart=/x\nPrivateTmp=yes\nProtectSystem=strict\n"),
    ("oneshot", "[Service]\nType=oneshot\nExecStart=/x\n"),
    ("forking", "[Service]\nType=forking\nExecStart=/x\n"),
    ("order", "[Unit]\nAfter=db.service\nRequires=db.service\n[Service]\nExecStart=/x\n"),
    ("order2", "[Unit]\nAfter=db.service cache.service\nWants=cache.service\n[Service]\nExecStart=/x\n"),
    ("reload", "[Service]\nExecStart=/x\nExecReload=/bin/kill -HUP $MAINPID\nExecStop=/stop\n"),
    ("var", "[Service]\nExecStart=/x $OPTS\nEnvironmentFile=-/etc/default/x\n"),
    (
        "limits",
        "[Service]\nExecStart=/x\nLimitNOFILE=65536\nNice=5\nOOMScoreAdjust=-5\nNoNewPrivileges=yes\nGroup=adm\n",
    ),
    (
        "times",
        "[Service]\nExecStart=/x\nRestart=always\nRestartSec=5s\nTimeoutStopSec=500ms\nStartLimitBurst=3\n",
    ),
    ("kill", "[Service]\nExecStart=-/x\nSendSIGKILL=no\nTimeoutStopSec=infinity\n"),
    ("none", "[Service]\nExecStart=@/x y\nKillMode=none\n"),
    ("pass", "[Service]\nExecStart=+/x\nPassEnvironment=PASS\nWorkingDirectory=-/srv\n"),
    (
        "when",
        "[Service]\nExecStart=/x\nRestart=on-abnormal\nRestartPreventExitStatus=3\nSuccessExitStatus=SIGUSR1\nRestartForceExitStatus=4\n",
    ),
    ("nowhere", "[Service]\nExecStart=/x\nStandardOutput=append:/nowhere/o.log\n"),
];
