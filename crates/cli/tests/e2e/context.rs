//! What a program finds when it begins: user, folder, limits, environment, descriptors, signals.

use crate::common::{
    NOBODY, bare, environment, log, process, start_superd, unit, until_state, world, wrapped,
};
use std::collections::BTreeMap;
use supers_testkit::need_root;

/// Runs the words to their end as the unit `it`; what it printed.
fn told(words: &str, more: &str) -> String {
    let mut w = world();
    unit(&w, "it", words, more);
    w.superd();
    until_state(&w, "it", "EXITED");
    log(&w, "it")
}

#[test]
fn a_user_with_all_groups_and_variables() {
    need_root();
    let mut w = world();
    // The machine's own files stay untouched: the daemon sees these in a mount namespace of its own.
    w.write("etc-passwd", "root:x:0:0::/root:/bin/sh\nalice:x:4001:4002:A:/home/alice:/bin/dash\n");
    w.write(
        "etc-group",
        "root:x:0:\nalice:x:4002:\nwheel:x:4003:bob,alice\nstaff:x:4004:alice\nother:x:4005:bob\n",
    );
    let facts = "ids env HOME env USER env LOGNAME env SHELL cwd";
    unit(&w, "own", facts, "User=alice");
    unit(&w, "group", facts, "User=alice\nGroup=staff");
    unit(&w, "number", "ids env USER", "User=4001");
    unit(&w, "nobody-said", "ids env USER", "");
    let inner = w.command_superd(&[]);
    let mount = format!(
        "mount --bind {0}/etc-passwd /etc/passwd && mount --bind {0}/etc-group /etc/group && exec \"$@\"",
        w.root().display()
    );
    let command = wrapped(&["unshare", "--mount", "sh", "-c", &mount, "sh"], &inner);
    start_superd(&mut w, command);
    w.until("all have ended", |s| s.0.iter().all(|p| p["state"] == "EXITED"));
    insta::assert_snapshot!(log(&w, "own"), @r"
    uid 4001 gid 4002 groups 4002,4003,4004
    HOME=/home/alice
    USER=alice
    LOGNAME=alice
    SHELL=/bin/dash
    cwd /
    ");
    let group = log(&w, "group");
    assert!(group.starts_with("uid 4001 gid 4004 groups "), "{group}");
    assert_eq!(log(&w, "number"), "uid 4001 gid 4002 groups 4002,4003,4004\nUSER=alice\n");
    assert!(log(&w, "nobody-said").starts_with("uid 0 gid 0 "), "{}", log(&w, "nobody-said"));
}

#[test]
fn another_user_may_write_into_its_log_again() {
    need_root();
    let mut w = world();
    let script = "echo first; echo second > /dev/stdout; echo third > /dev/stderr";
    w.unit("reopen", &format!("[Service]\nUser={NOBODY}\nExecStart=/bin/sh -c '{script}'\n"));
    w.superd();
    until_state(&w, "reopen", "EXITED");
    assert_eq!(log(&w, "reopen"), "first\nsecond\nthird\n");
}

#[test]
fn the_folder() {
    let mut w = world();
    let dir = w.path("home").display().to_string();
    unit(&w, "given", "cwd", &format!("WorkingDirectory={dir}"));
    unit(&w, "home", "cwd", "User=root\nWorkingDirectory=~");
    unit(&w, "absent", "cwd", "WorkingDirectory=-/no/such/folder");
    unit(&w, "usual", "cwd", "");
    w.superd();
    w.until("all have ended", |s| s.0.iter().all(|p| p["state"] == "EXITED"));
    let cwd = |name: &str| log(&w, name).trim_end().to_string();
    assert_eq!(
        [cwd("given"), cwd("absent"), cwd("usual")],
        [format!("cwd {dir}"), "cwd /".into(), "cwd /".into()]
    );
    assert_eq!(cwd("home"), "cwd /root");
}

#[test]
fn limits_mask_and_niceness() {
    let limits = "LimitNOFILE=300:400\nLimitCORE=0\nLimitNPROC=5000\nLimitSTACK=4M\nLimitCPU=2min\n\
                  UMask=0027\nNice=5\nOOMScoreAdjust=321";
    let text = told("umask nice oom limits", limits);
    assert!(text.starts_with("umask 0027\nnice 5\noom 321\n"), "{text}");
    let rows: BTreeMap<&str, Vec<&str>> = text
        .lines()
        .filter(|l| l.starts_with("Max "))
        .map(|l| (l[..26].trim_end(), l[26..].split_whitespace().take(2).collect()))
        .collect();
    assert_eq!(rows["Max open files"], ["300", "400"]);
    assert_eq!(rows["Max core file size"], ["0", "0"]);
    assert_eq!(rows["Max processes"], ["5000", "5000"]);
    assert_eq!(rows["Max stack size"], ["4194304", "4194304"]);
    assert_eq!(rows["Max cpu time"], ["120", "120"]);
}

#[test]
fn the_usual_mask_and_score_are_not_the_keepers() {
    let text = told("umask nice oom", "");
    let own = std::fs::read_to_string("/proc/self/oom_score_adj").unwrap();
    // The keeper protects itself; its children are as killable as anybody.
    let oom = text.lines().nth(2).unwrap_or_default();
    assert!(oom == "oom 0" || oom == format!("oom {}", own.trim()), "{text}");
    assert!(text.starts_with("umask 0022\nnice 0\n"), "{text}");
}

#[test]
fn no_descriptor_passes_and_no_signal_is_blocked() {
    for args in [&[][..], &["--no-keeper"]] {
        let mut w = world();
        unit(&w, "it", "fds", "");
        unit(&w, "mask", "sigmask", "");
        unit(&w, "pipe", "sigmask", "IgnoreSIGPIPE=no");
        // What the daemon itself was started with must not leak either.
        let inner = w.command_superd(args);
        let command =
            wrapped(&["sh", "-c", "exec 7</etc/passwd; trap '' HUP USR1; exec \"$@\"", "sh"], &inner);
        start_superd(&mut w, command);
        w.until("all have ended", |s| s.0.iter().all(|p| p["state"] == "EXITED"));
        let fds = log(&w, "it");
        let numbers: Vec<&str> = fds.lines().filter_map(|l| l.split(' ').nth(1)).collect();
        assert_eq!(numbers, ["0", "1", "2"], "{fds}");
        assert!(fds.starts_with("fd 0 /dev/null\n"), "{fds}");
        // systemd ignores PIPE (13) unless told otherwise, and nothing else.
        assert_eq!(log(&w, "mask"), "SigBlk 0000000000000000\nSigIgn 0000000000001000\n", "{args:?}");
        assert_eq!(log(&w, "pipe"), "SigBlk 0000000000000000\nSigIgn 0000000000000000\n", "{args:?}");
    }
}

#[test]
fn each_unit_has_a_session_of_its_own() {
    let text = told("pgid", "");
    let numbers: Vec<&str> = text.split_whitespace().collect();
    // pid P pgid P sid P
    assert_eq!((numbers[1], numbers[1]), (numbers[3], numbers[5]), "{text}");
}

fn variables(pid: i32) -> BTreeMap<String, String> {
    let pairs = environment(pid).into_iter();
    pairs.filter_map(|w| w.split_once('=').map(|(k, v)| (k.to_string(), v.to_string()))).collect()
}

#[test]
fn nothing_of_the_daemons_environment_passes() {
    for args in [&[][..], &["--no-keeper"]] {
        let mut w = world();
        w.env("SECRET_OF_THE_SHELL", "x");
        w.env("PASSED_ON", "yes");
        let more = "Environment=OWN=1\nPassEnvironment=PASSED_ON";
        unit(&w, "env", "wait", more);
        w.superd_with(args);
        let vars = variables(process(&w, "env").pid);
        let names: Vec<&str> = vars.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            ["INVOCATION_ID", "LANG", "OWN", "PASSED_ON", "PATH", "SYSTEMD_EXEC_PID"],
            "{args:?}"
        );
        assert_eq!((vars["OWN"].as_str(), vars["PASSED_ON"].as_str()), ("1", "yes"));
    }
}

#[test]
fn each_run_has_an_id_of_its_own() {
    let mut w = world();
    unit(&w, "id", "wait", "");
    w.superd();
    let first = process(&w, "id").pid;
    let before = variables(first);
    w.supers_ok(&["restart", "id"]);
    let second = process(&w, "id").pid;
    let after = variables(second);
    let is_id = |v: &str| v.len() == 32 && v.chars().all(|c| c.is_ascii_hexdigit());
    assert!(is_id(&before["INVOCATION_ID"]), "{before:?}");
    assert_ne!(before["INVOCATION_ID"], after["INVOCATION_ID"]);
    assert_eq!(before["SYSTEMD_EXEC_PID"].trim(), first.to_string());
    assert_eq!(after["SYSTEMD_EXEC_PID"].trim(), second.to_string());
}

#[test]
fn a_start_that_fails_says_at_which_step() {
    need_root();
    let mut w = world();
    let plain = w.write("plain-file", "no program");
    let no_interpreter = w.write("script", "#!/no/such/interpreter\n");
    set_executable(&no_interpreter);
    unit(&w, "folder", "wait", "WorkingDirectory=/no/such/folder");
    unit(&w, "user", "wait", "User=nobody-has-this-name");
    unit(&w, "group", "wait", "User=root\nGroup=no-such-group");
    w.unit("command", "[Service]\nExecStart=/no/such/command\n");
    w.unit("plain", &format!("[Service]\nExecStart={}\n", plain.display()));
    w.unit("script", &format!("[Service]\nExecStart={}\n", no_interpreter.display()));
    w.superd();
    let end = w.until("all have failed", |s| s.0.iter().all(|p| p["state"] == "FATAL"));
    let text: Vec<String> = end
        .0
        .iter()
        .map(|p| format!("{}: {}", p["name"].as_str().unwrap(), p["reason"].as_str().unwrap()))
        .collect();
    insta::assert_snapshot!(w.normal(&text.join("\n")), @r#"
    command: cannot start: can't find command '/no/such/command'
    folder: cannot start: change directory to "/no/such/folder": No such file or directory
    group: cannot start: group no-such-group does not exist
    plain: cannot start: command at 'ROOT/plain-file' is not executable
    script: cannot start: execute "ROOT/script": No such file or directory (the file is there, but not the interpreter that it names)
    user: cannot start: user nobody-has-this-name does not exist
    "#);
}

fn set_executable(path: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).unwrap();
}

#[test]
fn the_daemon_under_a_plain_environment_finds_its_places() {
    // No HOME, no XDG folders, no LANG: as an init system starts it.
    let mut w = world();
    unit(&w, "it", "env PATH", "");
    let mut command = bare(&w, std::path::Path::new(env!("CARGO_BIN_EXE_superd")), &[]);
    command.env_clear().arg("-c").arg(w.units()).arg("--root").arg(w.root());
    start_superd(&mut w, command);
    until_state(&w, "it", "EXITED");
    assert!(log(&w, "it").starts_with("PATH=/"), "{}", log(&w, "it"));
}
