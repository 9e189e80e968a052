//! Both clients in front of one genuine daemon: the same text to the byte, and the same code.

use crate::genuine::{Genuine, our_client};
use std::process::Command;

const PROGRAMS: &str = "[program:cat]\ncommand=/bin/cat\nstartsecs=0\n\
[program:web]\ncommand=/bin/sh -c \"echo hello; echo oops >&2; exec sleep 1000\"\nstartsecs=0\n\
[program:two]\ncommand=/bin/sleep 1000\nprocess_name=%(program_name)s_%(process_num)02d\nnumprocs=2\nstartsecs=0\n\
[group:g]\nprograms=ga,gb\n[program:ga]\ncommand=/bin/sleep 1000\nstartsecs=0\n\
[program:gb]\ncommand=/bin/sleep 1000\nstartsecs=0\nautostart=false\n\
[program:off]\ncommand=/bin/sleep 1000\nstartsecs=0\nautostart=false\nstdout_logfile=NONE\n\
[program:missing]\ncommand=/nonexistent/x\nautostart=false\n\
[program:noexec]\ncommand=/etc/passwd\nautostart=false\n\
[program:dies]\ncommand=/bin/sh -c \"exit 3\"\nautostart=false\nstartretries=0\n\
[program:a_very_long_program_name_that_is_longer_than_thirty]\ncommand=/bin/sleep 1000\nstartsecs=0\n";

/// Programs that run at once.
const RUNNING: usize = 6;

fn daemon() -> Genuine {
    Genuine::start(PROGRAMS, RUNNING)
}

#[test]
fn reading() {
    let daemon = daemon();
    let lines = [
        "status",
        "status all",
        "status web",
        "status nosuch",
        "status nosuch:*",
        "status g:*",
        "status g:",
        "status nosuch:x g:nosuch web",
        "status two",
        "status two:*",
        "status two:two_00 web off",
        "status off nosuch",
        "status web web",
        "status :",
        "status *",
        "\" status  web  off\"",
        "pid",
        "pid web",
        "pid web nosuch off",
        "pid all",
        "pid g:*",
        "tail",
        "tail web",
        "tail web stderr",
        "tail web STDOUT",
        "tail web foo",
        "tail -3 web",
        "tail -0 web",
        "tail -x web",
        "tail -3x web",
        "tail --3 web",
        "tail a b c d",
        "tail web stdout x",
        "tail -f",
        "tail -3",
        "tail nosuch",
        "tail g:*",
        "tail off",
        "tail off stderr",
        "tail -f nosuch",
        "tail -f web foo",
        "maintail -0",
        "maintail",
        "maintail -30",
        "maintail -x",
        "maintail x",
        "maintail -f x",
        "avail",
        "avail x",
        "version",
        "version x",
        "fg",
        "fg nosuch",
        "fg off",
        "fg web cat",
        "open",
        "open https://x",
        "open HTTP://x",
        "open a b",
        "open http://127.0.0.1:1",
        "open unix:///nosuch/x.sock",
    ];
    daemon.same(&lines.map(|line| (&[] as &[&str], line)));
}

#[test]
fn help_and_lines() {
    let daemon = daemon();
    let lines = [
        "help",
        "help nosuch",
        "help help",
        "help exit",
        "help quit",
        "help EOF",
        "help status",
        "help start",
        "help stop",
        "help restart",
        "help signal",
        "help pid",
        "help tail",
        "help maintail",
        "help clear",
        "help avail",
        "help reread",
        "help update",
        "help add",
        "help remove",
        "help fg",
        "help open",
        "help version",
        "help shutdown",
        "help reload",
        "help start stop",
        "?",
        "?start",
        "foo",
        "foo bar",
        "Status",
        "!ls",
        "status=web",
        "#x",
        "\"\"",
        "exit",
        "quit x",
        "EOF",
        "-i version",
        "shutdown x",
        "reload x",
    ];
    daemon.same(&lines.map(|line| (&[] as &[&str], line)));
}

#[test]
fn orders() {
    let daemon = daemon();
    daemon.same(&[
        (&[], "start"),
        (&[], "start nosuch"),
        (&[], "start web"),
        (&[], "start missing"),
        (&[], "start noexec"),
        (&[], "start dies"),
        (&["stop off"], "start off gb"),
        (&["stop g:gb"], "start g:gb"),
        (&["stop g:*"], "start g:*"),
        (&[], "start nosuch:*"),
        (&[], "start nosuch:* nosuch"),
        (&[], "start nosuch dies"),
        (&[], "stop"),
        (&["start off"], "stop off"),
        (&["stop off"], "stop off"),
        (&[], "stop nosuch"),
        (&["stop off"], "stop nosuch:* off"),
        (&["start off"], "restart off"),
        (&["stop off"], "restart off"),
        (&[], "restart"),
        (&[], "restart nosuch"),
        (&[], "restart nosuch:*"),
        (&[], "signal"),
        (&[], "signal HUP"),
        (&[], "signal HUP nosuch"),
        (&[], "signal FOO web"),
        (&[], "signal 1x web nosuch"),
        (&[], "signal WINCH web"),
        (&[], "signal 28 web"),
        (&[], "signal WINCH nosuch:*"),
        (&[], "signal WINCH dies"),
        (&["start g:*"], "signal WINCH g:*"),
        (&["start g:*"], "signal BAD g:*"),
        (&[], "clear"),
        (&[], "clear web nosuch off"),
        (&[], "clear g:*"),
        (&[], "clear all"),
        (&["start cat web"], "stop cat web"),
    ]);
}

#[test]
fn groups() {
    let daemon = daemon();
    daemon.same(&[
        (&[], "reread"),
        (&[], "reread x"),
        (&[], "update"),
        (&[], "update nosuch"),
        (&[], "update web"),
        (&[], "add"),
        (&[], "add web nosuch"),
        (&[], "remove web nosuch"),
        (&["add off"], "remove off"),
        (&["remove off"], "add off"),
    ]);
    let changed = PROGRAMS.replace("[program:cat]", "[program:new]\ncommand=/bin/cat\n[program:cat]");
    let changed = changed.replace("hello", "hallo");
    let restore = |daemon: &Genuine, sections: &str| {
        daemon.configure(sections);
        daemon.run(true, "update", "");
    };
    // Each client finds the same change.
    for line in ["update", "update all", "update web", "update new"] {
        let [genuine, ours] = [false, true].map(|ours| {
            restore(&daemon, PROGRAMS);
            daemon.configure(&changed);
            [daemon.run(ours, "reread", ""), daemon.run(ours, line, ""), daemon.run(ours, "avail", "")]
        });
        assert_eq!(genuine, ours, "{line}");
        assert!(genuine[0].out.contains("changed") && genuine[0].out.contains("available"), "{genuine:?}");
    }
    let [genuine, ours] = [false, true].map(|ours| {
        restore(&daemon, PROGRAMS);
        daemon.configure("[program:x]\ncommand=/bin/cat\nautostart=perhaps\n");
        ["reread", "update"].map(|line| daemon.run(ours, line, ""))
    });
    assert_eq!(genuine, ours);
}

#[test]
fn without_a_terminal_lines_come_from_the_input() {
    let daemon = daemon();
    let inputs = [
        "",
        "version\n",
        "version",
        "version\nexit\nversion\n",
        "foo\n\n\nstatus web\nquit",
        "EOF\nversion\n",
        "shutdown\n\nversion\n",
        "shutdown\nno\nreload\nN\n",
        "shutdown\n",
        "help\nstart\n status nosuch\n\tversion\n",
        "open http://127.0.0.1:1\nversion\n",
        "version # x\n!ls\n;version",
    ];
    for input in inputs {
        let [genuine, ours] = [false, true].map(|ours| daemon.run(ours, "", input));
        assert_eq!(genuine, ours, "{input:?}");
    }
    assert_eq!(daemon.run(false, "-i", "pid\n"), daemon.run(true, "-i", "pid\n"));
}

#[test]
fn nobody_there() {
    let daemon = daemon();
    let commands = [
        "status",
        "status b",
        "start",
        "start x",
        "stop x",
        "restart x",
        "signal",
        "pid",
        "tail b",
        "tail -f b",
        "maintail",
        "maintail -f",
        "clear x",
        "avail",
        "reread",
        "update",
        "add",
        "add x",
        "remove x",
        "fg b",
        "version",
        "version x",
        "shutdown",
        "reload",
        "help",
        "open",
    ];
    for (url, every) in [("unix:///nosuch/x.sock", 1), ("http://127.0.0.1:1", 3), ("ftp://x", 9)] {
        let commands = commands.iter().step_by(every);
        let lines: Vec<String> = commands.map(|command| format!("-s {url} {command}")).collect();
        let lines: Vec<(&[&str], &str)> = lines.iter().map(|l| (&[] as &[&str], l.as_str())).collect();
        daemon.same(&lines);
    }
}

#[test]
fn the_command_line_and_the_file() {
    let daemon = daemon();
    let dir = daemon.dir.path();
    std::fs::write(dir.join("nosec.conf"), "[foo]\n").unwrap();
    std::fs::write(dir.join("bad.conf"), "[supervisorctl]\nserverurl=%(foo)s\n").unwrap();
    let section = "[supervisorctl]\nserverurl=unix://s.sock\n[program:x]\ncommand=%(nope)s\n";
    std::fs::write(dir.join("ctl.conf"), section).unwrap();
    let all = [
        "-c nofile pid",
        "-c nosec.conf pid",
        "-c . pid",
        "-c bad.conf pid",
        "-c ctl.conf version",
        "-z",
        "--foo",
        "--serverurl",
        "-c",
        "--interactive=3",
        "-s foo pid",
        "-s http:// pid",
        "-u a -u b pid",
        "--configuration=s.conf --int version",
        "-cs.conf version",
        "--hist x -c s.conf version",
        "-c s.conf -- version",
    ];
    for words in all {
        let [genuine, ours] = [false, true].map(|ours| {
            let output = daemon.client(ours).args(words.split(' ')).output().unwrap();
            let text = |bytes: Vec<u8>| String::from_utf8(bytes).unwrap();
            let error =
                text(output.stderr).lines().next().map(|l| l.split("ENV_").next().unwrap().to_string());
            (text(output.stdout), error, output.status.code())
        });
        assert_eq!(genuine, ours, "{words}");
    }
    let told = our_client().arg("-z").output().unwrap();
    let text = "Error: option -z not recognized\nFor help, use supervisorctl -h\n";
    assert_eq!(String::from_utf8(told.stderr).unwrap(), text);
    let told =
        Command::new(env!("CARGO_BIN_EXE_supers")).args(["--as", "supervisorctl", "help", "EOF"]).output();
    assert_eq!(String::from_utf8(told.unwrap().stdout).unwrap(), "*** No help on EOF\n");
    let help = daemon.run(true, "-h", "");
    assert!(help.code == Some(0) && help.out.contains("--serverurl"), "{help:?}");
}
