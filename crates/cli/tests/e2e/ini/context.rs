//! What a child finds (supervisor-contract 6).

use super::{fresh, until_text, world};
use supers_testkit::{World, need_root};

/// A field of `/proc/PID/stat`, counted from 0 after the name in brackets.
fn stat(pid: i32, index: usize) -> i32 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    let after = &text[text.rfind(')').unwrap() + 1..];
    after.split_whitespace().nth(index).unwrap().parse().unwrap()
}

#[test]
fn environment_in_its_layers() {
    let mut world = fresh();
    world.env("OF_DAEMON", "1");
    world.env("OVER", "daemon");
    world.env("SUPERVISOR_ENABLED", "no");
    world.ini(
        "[unix_http_server]\nfile={root}/sock\n\
         [supervisord]\nenvironment=OVER=\"main\",SHARED='a b',MAIN=m\n\
         [program:a]\n\
         command={actor} env OF_DAEMON env OVER env SHARED env MAIN env OWN env SUPERVISOR_ENABLED \
         env SUPERVISOR_PROCESS_NAME env SUPERVISOR_GROUP_NAME env SUPERVISOR_SERVER_URL env HOME \
         env SUPERS_LAUNCH env SUPERS_NAME print %(ENV_MAIN)s print %(ENV_OWN)s print end wait\n\
         environment=OWN=\"x=%(ENV_MAIN)s,y\",SHARED=own\n\
         stdout_logfile={root}/a.log\n\
         [program:b]\ncommand={actor} env SUPERVISOR_SERVER_URL env OVER print end wait\n\
         serverurl=http://elsewhere:1\nenvironment=OVER=program\nstdout_logfile={root}/b.log\n",
    );
    world.superd();
    let root = world.root().display();
    let expected = format!(
        "OF_DAEMON=1\nOVER=main\nSHARED=own\nMAIN=m\nOWN=x=m,y\nSUPERVISOR_ENABLED=1\n\
         SUPERVISOR_PROCESS_NAME=a\nSUPERVISOR_GROUP_NAME=a\nSUPERVISOR_SERVER_URL=unix://{root}/sock\n\
         HOME={root}/home\nSUPERS_LAUNCH=(unset)\nSUPERS_NAME=(unset)\nm\nx=m,y\nend\n"
    );
    assert_eq!(until_text(&world, "a.log", "end\n"), expected);
    let expected = "SUPERVISOR_SERVER_URL=http://elsewhere:1\nOVER=program\nend\n";
    assert_eq!(until_text(&world, "b.log", "end\n"), expected);
    // What is between the parts of superd does not reach programs.
    let pid = world.status().pid("a");
    let all = std::fs::read_to_string(format!("/proc/{pid}/environ")).unwrap();
    let ours: Vec<&str> = all.split('\0').filter(|v| v.starts_with("SUPERS_")).collect();
    assert_eq!(ours, Vec::<&str>::new());
}

#[test]
fn directory_umask_and_descriptors() {
    let mut world = fresh();
    std::fs::create_dir(world.path("work")).unwrap();
    world.ini(
        "[program:a]\ncommand={actor} cwd umask fds sigmask print end wait\n\
         directory=%(here)s/work\numask=027\nstdout_logfile={root}/a.log\n",
    );
    world.superd();
    let text = until_text(&world, "a.log", "end\n");
    let line = |start: &str| text.lines().filter(|l| l.starts_with(start)).collect::<Vec<_>>();
    assert_eq!(line("cwd "), [format!("cwd {}/work", world.root().display())]);
    assert_eq!(line("umask "), ["umask 0027"]);
    assert_eq!(line("SigBlk "), ["SigBlk 0000000000000000"]);
    let numbers: Vec<&str> = line("fd ").iter().map(|l| l.split(' ').nth(1).unwrap()).collect();
    assert_eq!(numbers, ["0", "1", "2"], "{text}");
}

#[test]
fn stdin_is_a_pipe_that_stays_open() {
    let world = world(
        "[program:a]\ncommand={actor} print up stdin-echo\nstartsecs=1\nautorestart=false\n\
         stdout_logfile={root}/a.log\n",
    );
    let s = world.until("a runs", |s| s.state("a") == "RUNNING");
    let stdin = std::fs::read_link(format!("/proc/{}/fd/0", s.pid("a"))).unwrap();
    assert!(stdin.to_str().unwrap().starts_with("pipe:"), "{stdin:?}");
    assert_eq!(world.read("a.log"), "up\n", "no end of its input in the second that it needed to run");
}

#[test]
fn own_process_group_in_the_session_of_the_daemon() {
    let mut world = world("[program:a]\ncommand={actor} wait\nstartsecs=0\n");
    let pid = world.until("a runs", |s| s.state("a") == "RUNNING").pid("a");
    let superd = world.daemon().pid();
    let (group, session) = (stat(pid, 2), stat(pid, 3));
    assert_eq!((group, session), (pid, stat(superd, 3)));
}

#[test]
fn redirect_stderr_merges_in_true_order() {
    let world = world(
        "[program:a]\ncommand={actor} print 1 err 2 print 3 err 4 print end wait\nredirect_stderr=true\n\
         stdout_logfile={root}/a.log\n",
    );
    assert_eq!(until_text(&world, "a.log", "end\n"), "1\n2\n3\n4\nend\n");
}

/// Users of this machine: one without supplementary groups, and one with, if there is any.
fn users() -> Vec<String> {
    let groups = std::fs::read_to_string("/etc/group").unwrap();
    let members = groups.lines().filter_map(|line| line.rsplit(':').next()).flat_map(|m| m.split(','));
    let mut users: Vec<String> =
        members.filter(|m| !m.is_empty() && *m != "root").map(String::from).collect();
    users.truncate(1);
    users.push("nobody".into());
    users
}

/// What `id` says of a user.
fn id(world: &World, flag: &str, user: &str) -> String {
    let mut command = std::process::Command::new("id");
    command.args([flag, user]);
    world.run(command).stdout.trim().to_string()
}

/// `HOME`, `USER` and `SHELL` as the account of a user has them.
fn account(user: &str) -> String {
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap();
    let line = passwd.lines().find(|line| line.split(':').next() == Some(user)).unwrap();
    let fields: Vec<&str> = line.split(':').collect();
    format!("HOME={}\nUSER={user}\nSHELL={}\n", fields[5], fields[6])
}

#[test]
fn user_with_all_its_groups_and_its_own_home() {
    need_root();
    for user in users() {
        for as_ancestor in [false, true] {
            let mut world = fresh();
            world.env("USER", "somebody");
            let command = "command={actor} ids env HOME env USER env SHELL print end wait";
            world.ini(&format!(
                "[supervisord]\n[program:a]\n{command}\nuser={user}\nstdout_logfile={{root}}/a.log\n\
                 [program:b]\n{command}\nuser={user}\nenvironment=HOME=/own\nstdout_logfile={{root}}/b.log\n"
            ));
            world.superd_with(if as_ancestor { &["--as", "supervisord"] } else { &[] });
            let mut groups: Vec<u32> =
                id(&world, "-G", &user).split(' ').map(|g| g.parse().unwrap()).collect();
            groups.sort_unstable();
            let groups: Vec<String> = groups.iter().map(u32::to_string).collect();
            let ids = format!(
                "uid {} gid {} groups {}",
                id(&world, "-u", &user),
                id(&world, "-g", &user),
                groups.join(",")
            );
            let home = world.path("home");
            let vars = match as_ancestor {
                false => account(&user),
                true => format!("HOME={}\nUSER=somebody\nSHELL=(unset)\n", home.display()),
            };
            let expected = format!("{ids}\n{vars}end\n");
            assert_eq!(until_text(&world, "a.log", "end\n"), expected, "{user} {as_ancestor}");
            let text = until_text(&world, "b.log", "end\n");
            assert!(text.contains("\nHOME=/own\nUSER="), "{text}");
        }
    }
}
