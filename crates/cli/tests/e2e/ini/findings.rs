//! What is wrong in a file is said with its place, and harms nobody else (supervisor-contract 3 and 4).

use super::{fresh, world};

#[test]
fn all_findings_at_once() {
    let mut world = fresh();
    world.ini(
        "[supervisord]\nlogfille=x\n\
         [program:good]\ncommand={actor} wait\nautostrat=no\n\
         [program:bad]\ncommand={actor} wait\nstartsecs=soon\nexitcodes=0,999\nautorestart=maybe\nstopsignal=FOO\n\
         [program:who]\ncommand={actor} wait\nuser=surely-nobody-here\n\
         [program:many]\ncommand={actor} wait\nnumprocs=2\n\
         [program:none]\nautostart=true\n\
         [program:groupkill]\ncommand={actor} wait\nstopasgroup=true\nkillasgroup=false\n\
         [group:g]\nprograms=goood\n\
         [progam:x]\ncommand=/bin/true\n",
    );
    let end = world.superd_ends(&["-t"]);
    assert_eq!(end.code, 2);
    insta::assert_snapshot!(world.normal(&end.stdout), @r"
    ROOT/supervisord.conf:2:1: warning: unknown key `logfille` in [supervisord], ignored
      hint: did you mean `logfile`?
    ROOT/supervisord.conf:5:1: warning: unknown key `autostrat` in [program:good], ignored
      hint: did you mean `autostart`?
    ROOT/supervisord.conf:8:11: error: invalid literal for int() with base 10: 'soon'
    ROOT/supervisord.conf:9:11: error: not a valid list of exit codes: '0,999'
    ROOT/supervisord.conf:10:13: error: invalid 'autorestart' value 'maybe'
    ROOT/supervisord.conf:11:12: error: value 'FOO' is not a valid signal name
    ROOT/supervisord.conf:14:6: error: Invalid user name surely-nobody-here
    ROOT/supervisord.conf:17:10: error: %(process_num) must be present within process_name when numprocs > 1
      hint: process_name=%(program_name)s_%(process_num)02d
    ROOT/supervisord.conf:18:1: error: program section program:none does not specify a command
      hint: add a line such as command=/usr/bin/server --flag
    ROOT/supervisord.conf:23:13: error: Cannot set stopasgroup=true and killasgroup=false
    ROOT/supervisord.conf:25:10: error: [group:g] names unknown program or fcgi-program goood
      hint: did you mean `good`?
    ROOT/supervisord.conf:26:1: warning: unknown section [progam:x], ignored
      hint: did you mean [program:x]?
    configuration is broken: using the file ROOT/supervisord.conf, named with -c (6 units)
    ");
    assert_eq!(world.supers(&["check"]).code, 1);
}

#[test]
fn a_broken_program_beside_good_ones() {
    let mut world = world(
        "[program:good]\ncommand={actor} wait\nstartsecs=0\n\
         [program:bad]\ncommand={actor} wait\nstartsecs=soon\n",
    );
    let s = world.until("good runs", |s| s.state("good") == "RUNNING");
    assert_eq!(s.state("bad"), "FATAL");
    insta::assert_snapshot!(
        world.normal(s.reason("bad")),
        @"refused: ROOT/supervisord.conf:6:11: invalid literal for int() with base 10: 'soon'"
    );
    let end = world.supers(&["start", "bad"]);
    assert_eq!(end.code, 1);
    assert!(end.stderr.contains("startsecs") || end.stderr.contains("soon"), "{end:?}");
    // Made good, it starts; the other one is not touched.
    let text = world.read("supervisord.conf").replace("soon", "0");
    world.ini(&text);
    world.supers_ok(&["start", "bad"]);
    let now = world.until("both run", |s| s.state("bad") == "RUNNING");
    assert_eq!(now.pid("good"), s.pid("good"));
}

#[test]
fn a_broken_included_file_beside_good_ones() {
    let mut world = fresh();
    world.write("conf.d/broken.conf", "[program:b]\ncommand=/bin/true\nthis is no line\n");
    world.ini("[program:good]\ncommand={actor} wait\nstartsecs=0\n[include]\nfiles=conf.d/*.conf\n");
    world.superd();
    let s = world.until("good runs", |s| s.state("good") == "RUNNING");
    assert_eq!(s.state("b"), "FATAL");
    assert!(s.reason("b").contains("conf.d/broken.conf:3"), "{}", s.reason("b"));
}

#[test]
fn slips_that_harm_nobody_are_pointed_out() {
    let mut world = fresh();
    world.write("conf.d/more.conf", "[program:a]\nstartsecs=0\n");
    world.ini(
        "[program:a]\ncommand={actor} wait\nredirect_stderr=true\nstderr_logfile={root}/err.log\n\
         environment=A=1;B=2\n[include]\nfiles=conf.d/*.conf\n",
    );
    world.superd();
    world.until("a runs", |s| s.state("a") == "RUNNING");
    let log = world.normal(&world.read("supervisord.log"));
    let said: Vec<&str> = log.lines().filter(|l| l.contains("warning") || l.contains("hint")).collect();
    insta::assert_snapshot!(said.join("\n"), @r"
    TIME WARN ROOT/conf.d/more.conf:1:1: warning: [program:a] is described twice: here and at ROOT/supervisord.conf:1; the keys are merged, later ones win
      hint: give one of them another name
    TIME WARN ROOT/supervisord.conf:4:16: warning: For [program:a], redirect_stderr=true but stderr_logfile has also been set to a filename, the filename has been ignored
    TIME WARN ROOT/supervisord.conf:5:13: warning: `;` stands where a comma belongs
      hint: separate the variables with commas, put values in quotes
    ");
}

#[test]
fn the_ancestor_refuses_the_whole_file() {
    let mut world = fresh();
    world.ini("[supervisord]\n[program:a]\ncommand={actor} count-to-file {root}/ran\n[program:b]\ncommand=x\nstartsecs=soon\n");
    let end = world.superd_ends(&["--as", "supervisord"]);
    assert_eq!(end.code, 2, "{end:?}");
    let place = format!("in section 'program:b' (file: '{}/supervisord.conf')", world.root().display());
    assert!(end.stderr.contains(&place), "{end:?}");
    assert!(!world.path("ran").exists());

    world.ini("[program:a]\ncommand={actor} wait\n");
    let end = world.superd_ends(&["--as", "supervisord"]);
    assert_eq!(end.code, 2, "{end:?}");
    assert!(end.stderr.contains(".ini file does not include supervisord section"), "{end:?}");
}
