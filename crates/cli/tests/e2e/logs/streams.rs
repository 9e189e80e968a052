//! Both streams of a program: apart, together, nowhere, to the daemon's own (supervisor-contract 8).

use super::{fresh, until_ended, until_text, world};
use std::os::unix::fs::PermissionsExt;
use supers_testkit::{World, need_root};

#[test]
fn a_file_a_stream_or_one_for_both() {
    let world = world(
        "[program:apart]\ncommand={actor} print 1 err 2 print 3 err 4\nstartsecs=0\n\
         stdout_logfile={root}/apart.out\nstderr_logfile={root}/apart.err\n\
         [program:merged]\ncommand={actor} print 1 err 2 print 3 err 4\nstartsecs=0\n\
         redirect_stderr=true\nstdout_logfile={root}/merged.log\n\
         [program:same]\ncommand={actor} print one err two\nstartsecs=0\n\
         stdout_logfile={root}/same.log\nstderr_logfile={root}/same.log\n",
    );
    for name in ["apart", "merged", "same"] {
        until_ended(&world, name);
    }
    assert_eq!((world.read("apart.out").as_str(), world.read("apart.err").as_str()), ("1\n3\n", "2\n4\n"));
    assert_eq!(world.read("merged.log"), "1\n2\n3\n4\n");
    let same = world.read("same.log");
    let mut lines: Vec<&str> = same.lines().collect();
    lines.sort_unstable();
    assert_eq!(lines, ["one", "two"]);
    let out = world.supers_ok(&["logs", "apart"]);
    let err = world.supers_ok(&["logs", "--stderr", "apart"]);
    assert_eq!((out.as_str(), err.as_str()), ("1\n3\n", "2\n4\n"));
}

/// The AUTO logs in `tmp`, by name.
fn auto_logs(world: &World) -> Vec<String> {
    let entries = std::fs::read_dir(world.path("tmp")).unwrap().flatten();
    let mut names: Vec<String> =
        entries.map(|e| e.file_name().into_string().unwrap()).filter(|n| n.contains("---")).collect();
    names.sort();
    names
}

#[test]
fn auto_names_its_files_and_forgets_those_of_before() {
    let text = "[supervisord]\nchildlogdir={root}/tmp\nidentifier=mine\n\
                [program:a]\ncommand={actor} print out err err wait\nstartsecs=0\n";
    let mut world = fresh();
    world.write("tmp/a-stdout---mine-abcdefgh.log", "old");
    world.write("tmp/a-stdout---mine-abcdefgh.log.3", "old");
    world.write("tmp/a-stdout---other-abcdefgh.log", "of another daemon");
    world.ini(text);
    world.superd();
    let names = world.until_fact("two new files and the other's", || {
        Some(auto_logs(&world)).filter(|n| n.len() == 3 && !n.iter().any(|n| n.contains("mine-abcdefgh")))
    });
    let shape = |name: &str, stream: &str| {
        let middle = name.strip_prefix(&format!("a-{stream}---mine-"))?.strip_suffix(".log")?;
        let fits = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_';
        (middle.len() == 8 && middle.bytes().all(fits)).then_some(())
    };
    assert!(shape(&names[0], "stderr").is_some() && shape(&names[1], "stdout").is_some(), "{names:?}");
    assert_eq!(until_text(&world, &format!("tmp/{}", names[1]), "\n"), "out\n");
    assert_eq!(until_text(&world, &format!("tmp/{}", names[0]), "\n"), "err\n");
    let mode = std::fs::metadata(world.path("tmp").join(&names[0])).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    assert_eq!(world.supers_ok(&["logs", "a"]), "out\n");
    // A name is kept over restarts and reloads, and survives the daemon.
    world.supers_ok(&["restart", "a"]);
    world.supers_ok(&["reload"]);
    assert_eq!(auto_logs(&world), names);
    let deadline = world.deadline();
    assert_eq!(world.daemon().stop(deadline), 0);
    assert_eq!(auto_logs(&world), names);

    world.ini(&text.replace("[supervisord]", "[supervisord]\nnocleanup=true"));
    world.superd();
    let all = world.until_fact("two more", || Some(auto_logs(&world)).filter(|n| n.len() == 5));
    assert!(names.iter().all(|name| all.contains(name)), "{all:?} without {names:?}");
}

#[test]
fn none_keeps_nothing_and_blocks_nobody() {
    let world = world(
        "[program:a]\ncommand={actor} spew 2MiB err x touch {root}/through wait\nstartsecs=0\n\
         stdout_logfile=NONE\nstderr_logfile=off\n",
    );
    world.until_fact("it wrote all", || world.path("through").exists().then_some(()));
    let end = world.supers(&["logs", "a"]);
    assert_ne!(end.code, 0, "{end:?}");
    assert_eq!(
        (end.stdout.as_str(), end.stderr.as_str()),
        ("", "supers: a has no log of its standard output\n")
    );
    let names: Vec<_> = std::fs::read_dir(world.path("tmp")).unwrap().flatten().collect();
    assert!(names.is_empty(), "{names:?}");
}

#[test]
fn the_daemons_own_output_as_a_target() {
    let mut world = world(
        "[supervisord]\nsilent=true\n\
         [program:a]\ncommand={actor} print 'to the outside' err 'to the other side' spew-lines 3000 print end wait\n\
         startsecs=0\nstdout_logfile=/dev/stdout\nstdout_logfile_maxbytes=0\n\
         stderr_logfile=/dev/stderr\nstderr_logfile_maxbytes=0\n",
    );
    let deadline = world.deadline();
    world.daemon().wait_line("end", deadline);
    world.daemon().wait_line("to the other side", deadline);
    let said = world.daemon().log();
    let lines: Vec<&str> = said.lines().filter(|l| l.starts_with("line ")).collect();
    let expected: Vec<String> = (1..=3000).map(|n| format!("line {n}")).collect();
    assert!(lines == expected, "{} lines of 3000", lines.len());
    assert!(said.contains("to the outside"));
}

#[test]
fn another_user_can_open_dev_stdout_again() {
    need_root();
    let world = world(
        "[program:a]\ncommand=/bin/sh -c 'echo first; echo again > /dev/stdout; echo third > /dev/stderr'\n\
         user=nobody\nstartsecs=0\nredirect_stderr=true\nstdout_logfile={root}/a.log\n\
         [program:b]\ncommand=/bin/sh -c 'echo out > /dev/stdout; echo err > /proc/self/fd/2'\n\
         user=nobody\nstartsecs=0\nstdout_logfile={root}/b.out\nstderr_logfile={root}/b.err\n",
    );
    until_ended(&world, "a");
    until_ended(&world, "b");
    assert_eq!(world.read("a.log"), "first\nagain\nthird\n");
    assert_eq!((world.read("b.out").as_str(), world.read("b.err").as_str()), ("out\n", "err\n"));
}

#[test]
fn strip_ansi_takes_the_colours_out() {
    let text = "[supervisord]\nstrip_ansi=true\n[program:a]\n\
                command={actor} print '\x1b[1;31mred\x1b[0m and \x1b[2Jplain' print end\nstartsecs=0\n\
                stdout_logfile={root}/a.log\n";
    let stripped = world(text);
    until_ended(&stripped, "a");
    assert_eq!(stripped.read("a.log"), "red and plain\nend\n");
    let raw = world(&text.replace("strip_ansi=true", "strip_ansi=false"));
    until_ended(&raw, "a");
    assert_eq!(raw.read("a.log"), "\x1b[1;31mred\x1b[0m and \x1b[2Jplain\nend\n");
}

#[test]
fn a_unit_folder_keeps_both_streams_in_true_order() {
    let mut world = fresh();
    let words: String = (0..200).map(|n| format!("print out{n} err err{n} ")).collect();
    let actor = world.actor().display().to_string();
    world.unit("talk", &format!("[Service]\nExecStart={actor} {words}\n"));
    world.superd();
    until_ended(&world, "talk");
    let expected: String = (0..200).map(|n| format!("out{n}\nerr{n}\n")).collect();
    super::same_text(&world.read("units/logs/talk/talk.log"), &expected);
    assert_eq!(world.supers_ok(&["logs", "-n", "2", "talk"]), "out199\nerr199\n");
}
