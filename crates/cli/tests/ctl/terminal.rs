//! The client on a terminal: prompt, TAB, history, Ctrl-C, Ctrl-D, questions.

use crate::genuine::{Genuine, tools};
use std::path::Path;
use std::process::Command;

/// Runs a client on a terminal; its output, the code on the last line.
fn typed(daemon: &Genuine, ours: bool, words: &[&str], steps: &[(&str, &str)]) -> String {
    let client = daemon.client(ours);
    let mut command = Command::new(tools().join("python3"));
    command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/ctl/terminal.py"));
    command.arg(serde_json::to_string(steps).unwrap());
    command.arg(client.get_program());
    if ours {
        command.args(["--as", "supervisorctl"]);
    }
    command.args(["-c", "s.conf"]).args(words).current_dir(daemon.dir.path()).env("TERM", "xterm");
    let output = command.output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8_lossy(&output.stdout).into_owned()
}

const PROGRAMS: &str = "[program:cat]\ncommand=/bin/cat\nstartsecs=0\n\
[program:two]\ncommand=/bin/sleep 1000\nprocess_name=%(program_name)s_%(process_num)02d\nnumprocs=2\nstartsecs=0\n";

#[test]
fn prompt_completion_history_and_the_end() {
    let daemon = Genuine::start(PROGRAMS, 3);
    let out = typed(
        &daemon,
        true,
        &["-r", "kept"],
        &[
            ("box> ", "ver\t"),
            ("version ", "\n"),
            // What is pressed before the prompt is there belongs to the terminal, not to the client.
            ("4.3.0", ""),
            ("box> ", "status tw\t\t"),
            // Both press the group's name in full and then list what it has.
            ("two:two_01", "\x15stop two:two_00\n"),
            ("two:two_00: stopped", ""),
            ("box> ", "\x04"),
        ],
    );
    assert!(out.contains("two:*") && out.contains("cat      "), "{out}");
    assert!(out.ends_with("\ncode 0\n"), "{out}");
    let kept = std::fs::read_to_string(daemon.dir.path().join("kept")).unwrap();
    assert_eq!(kept, "version \nstop two:two_00\n");
    // The next session has them: arrow up, twice.
    let out = typed(
        &daemon,
        true,
        &["-r", "kept"],
        &[("box> ", "\x1b[A\x1b[A\n"), ("4.3.0", ""), ("box> ", "\x03")],
    );
    assert!(out.ends_with("\ncode 0\n"), "{out}");
}

#[test]
fn questions() {
    let daemon = Genuine::start(PROGRAMS, 3);
    for ours in [false, true] {
        let out = typed(
            &daemon,
            ours,
            &[],
            &[
                ("box> ", "shutdown\n"),
                ("Really shut the remote supervisord process down y/N? ", "no\n"),
                ("box> ", "reload\n"),
                ("Really restart the remote supervisord process y/N? ", "\n"),
                ("box> ", "version\n"),
                ("4.3.0", "exit\n"),
            ],
        );
        assert!(out.ends_with("\ncode 0\n") && !out.contains("Shut down"), "{out}");
        let out = typed(&daemon, ours, &["-i", "shutdown"], &[("y/N? ", "n\n")]);
        assert!(out.ends_with("\ncode 0\n"), "{out}");
    }
}

#[test]
fn name_and_password_are_asked_for() {
    let section = "[inet_http_server]\nport=127.0.0.1:PORT\nusername=u\npassword=p\n";
    let socket = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port().to_string();
    drop(socket);
    let daemon = Genuine::start(&format!("{PROGRAMS}{}", section.replace("PORT", &port)), 3);
    let url = format!("http://127.0.0.1:{port}");
    for ours in [false, true] {
        let out = typed(
            &daemon,
            ours,
            &["-s", &url],
            &[
                ("Server requires authentication\r\nUsername:", "u\n"),
                ("Password:", "wrong\n"),
                ("Server requires authentication\r\nUsername:", "u\n"),
                ("Password:", "p\n"),
                ("RUNNING", "version\n"),
                ("4.3.0", "exit\n"),
            ],
        );
        assert!(!out.contains("wrong") && out.ends_with("\ncode 0\n"), "{out}");
    }
    for line in
        [format!("-s {url} status"), format!("-s {url} -u u -p x pid"), format!("-s {url} -u u -p p status")]
    {
        assert_eq!(daemon.run(false, &line, ""), daemon.run(true, &line, ""), "{line}");
    }
}

#[test]
fn in_the_foreground() {
    let daemon = Genuine::start(PROGRAMS, 3);
    // The genuine client often does not end here: its threads still read.
    let steps =
        [("Press Ctrl-C to exit <==", "typed\n"), ("typed\r\ntyped\r\n", "\x03"), ("Exiting foreground", "")];
    let out = typed(&daemon, true, &["fg", "cat"], &steps);
    assert!(out.ends_with("\ncode 0\n"), "{out}");
    // A new log, so that the same text means the same.
    daemon.run(true, "clear cat", "");
    let out = typed(
        &daemon,
        true,
        &[],
        &[
            ("box> ", "fg cat\n"),
            ("<==", "one\n"),
            ("one\r\none\r\n", "\x03"),
            ("Exiting foreground", ""),
            ("box> ", "version\n"),
            ("4.3.0", ""),
            ("box> ", "tail -f cat\n"),
            ("<==\r\none\r\n", "\x03"),
            ("box> ", "exit\n"),
        ],
    );
    assert!(out.ends_with("\ncode 0\n"), "{out}");
    let out = typed(&daemon, true, &["fg", "cat"], &[("<==", "\x04"), ("Exiting foreground", "")]);
    assert!(out.ends_with("\ncode 0\n"), "{out}");
}

#[test]
fn a_log_that_goes_on() {
    let daemon = Genuine::start(PROGRAMS, 3);
    // The genuine client sometimes names its KeyboardInterrupt on standard error.
    let out = typed(&daemon, true, &["maintail", "-f"], &[("entered RUNNING", "\x03")]);
    assert!(out.starts_with("==> Press Ctrl-C to exit <==\n") && out.ends_with("^C\n\ncode 0\n"), "{out}");
}
