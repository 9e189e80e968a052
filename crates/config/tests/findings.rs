//! A folder of broken files: all that is wrong is said at once, and the good programs run.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use common::{World, get};

fn corpus() -> World {
    let world = World::new(&[
        ("superd.conf", "[supervisord]\nlogelvel=debug\n[progam:x]\ncommand=x\n"),
        (
            "a.conf",
            "[program:web]\ncomand=/bin/x\nautostart=maybe\nstopsignal=NOPE\nuser=nobody-here\n\
             stdout_logfile=/no/such/x.log\n[program:good]\ncommand=/bin/cat\n[group:g]\nprograms=good,bda\n",
        ),
        ("b.conf", "[program:half]\ncommand=/bin/x\nthis is no line\n"),
        ("c.conf", "command=x\n"),
        ("d.conf", "[program:good]\npriority=5\n[program:date]\ncommand=date +%s\n"),
        (
            "one.service",
            "[Unit]\nDescripton=x\nAfter=two.service\nFoo\n[Service]\nExecStart=/bin/x \\q %!\nPrivateTmp=yes\n\
             ProtectSystem=full\nAfter=x\nX-Own=1\nUser=ghost\n[Servcie]\n[X-Foo]\n",
        ),
        ("two.service", "[Unit]\nAfter=three.service\n[Service]\nExecStart=/bin/x\n"),
        ("three.service", "[Unit]\nAfter=one.service\n[Service]\nExecStart=/bin/x\n"),
        (
            "good.service",
            "[Unit]\nRequires=tow.service\n[Service]\nExecStart=/bin/x\nStandardOutput=truncate:/x\n",
        ),
        ("web.service", "[Service]\nExecStart=/bin/x\nNotifyAccess=all\n"),
        ("bad name.service", "[Service]\nExecStart=/bin/x\n"),
        (".hidden.service", "x"),
        ("backup.service~", "x"),
        ("notes.txt", "x"),
    ]);
    world.put("latin.service", b"[Service]\nExecStart=/bin/\xe9\n");
    world.put("nul.conf", b"[program:n]\ncommand=\0\n");
    std::os::unix::fs::symlink("/dev/null", world.path().join("masked.service")).unwrap();
    std::os::unix::fs::symlink("gone", world.path().join("dangling.service")).unwrap();
    world
}

#[test]
fn everything_is_said_at_once() {
    let world = corpus();
    let loaded = world.folder();
    insta::assert_snapshot!(world.findings(&loaded), @r###"
    a.conf:1:1: error: program section program:web does not specify a command
      hint: add a line such as command=/usr/bin/server --flag
    a.conf:2:1: warning: unknown key `comand` in [program:web], ignored
      hint: did you mean `command`?
    a.conf:3:11: error: not a valid boolean value: 'maybe'
    a.conf:4:12: error: value 'NOPE' is not a valid signal name
    a.conf:5:6: error: Invalid user name nobody-here
    a.conf:6:16: error: The directory named as part of the path /no/such/x.log does not exist
    a.conf:10:10: error: [group:g] names unknown program or fcgi-program bda
    b.conf:3:1: error: expected `key = value`, found "this is no line"
      hint: indent the line when it continues the value above it
    bad name.service: error: the name bad name holds ' '; letters, digits and _ . @ - are allowed
      hint: rename the file
    c.conf:1:1: error: text before the first section header
      hint: start with a line such as [program:NAME]
    d.conf:1:1: warning: [program:good] is described twice: here and at a.conf:7; the keys are merged, later ones win
      hint: give one of them another name
    d.conf:4:9: error: Format string 'date +%s' for 'program:date.command' is badly formatted: not enough arguments for format string
      hint: write %% for a percent sign
    dangling.service: error: the file cannot be read: No such file or directory
    good.service:2:10: error: requires tow, and there is no such unit
      hint: did you mean `two`?
    good.service:5:16: error: StandardOutput=truncate: comes in a later version
    latin.service:2:16: error: the file is not UTF-8 text
      hint: save the file as UTF-8
    masked.service: warning: masked: the file is a link to /dev/null
    nul.conf:2:9: error: the file holds a NUL byte
      hint: remove it
    one.service:2:1: warning: unknown key `Descripton` in [Unit], ignored
      hint: did you mean `Description`?
    one.service:3:7: error: dependency cycle: one -> two -> three -> one
      hint: take one of the After= or Before= lines out
    one.service:4:1: warning: expected Key=value, found "Foo"; ignored
      hint: end the line above with a backslash if this one continues it
    one.service:6:11: warning: \q is no escape and stays as written
      hint: write \\ for a backslash
    one.service:6:11: warning: unknown specifier %! stays as written
      hint: write %% for a percent sign
    one.service:7:1: warning: not applied yet, the unit runs without: PrivateTmp, ProtectSystem
    one.service:9:1: warning: unknown key `After` in [Service], ignored
      hint: it belongs to [Unit]
    one.service:11:6: warning: there is no user ghost on this machine now
      hint: the start fails while that is so
    one.service:12:1: warning: unknown section [Servcie], ignored
      hint: did you mean `Service`?
    superd.conf:2:1: warning: unknown key `logelvel` in [supervisord], ignored
      hint: did you mean `loglevel`?
    superd.conf:3:1: warning: unknown section [progam:x], ignored
      hint: did you mean [program:x]?
    web.service:1: error: the name web is used twice: here and at a.conf:1; only the latter counts
      hint: give one of them another name
    "###);
}

#[test]
fn the_good_ones_run_and_the_broken_ones_are_shown() {
    let world = corpus();
    let loaded = world.folder();
    assert!(!loaded.fatal);
    let mut shown: Vec<String> = loaded
        .config
        .programs
        .iter()
        .map(|p| format!("{}{}", p.spec.full_name(), if p.spec.refused.is_some() { " refused" } else { "" }))
        .collect();
    shown.sort();
    insta::assert_snapshot!(shown.join("\n"), @r###"
    bad name refused
    c refused
    dangling refused
    date refused
    g:good
    good refused
    half refused
    latin refused
    masked refused
    nul refused
    one refused
    three refused
    two refused
    web refused
    "###);
    assert_eq!(get(&loaded, "g:good").spec.priority, 5);
}

#[test]
fn a_broken_main_file_is_fatal() {
    for text in
        ["[supervisord]\nnonsense\n", "x=1\n", "[supervisord]\nloglevel=loud\n", "[unix_http_server]\n"]
    {
        let world = World::new(&[("superd.conf", text), ("ok.service", "[Service]\nExecStart=x\n")]);
        let loaded = world.folder();
        assert!(loaded.fatal && loaded.config.has_errors(), "{text}");
    }
}

#[test]
fn a_socket_path_that_is_too_long() {
    let world = World::new(&[("s.conf", &format!("[unix_http_server]\nfile=/{}\n", "x".repeat(120)))]);
    let loaded = world.file("s.conf");
    assert!(loaded.fatal);
    assert!(world.findings(&loaded).ends_with("is 121 bytes long; the system allows 107"));
}

#[test]
fn an_empty_folder_and_a_missing_one() {
    let world = World::new(&[]);
    let loaded = world.folder();
    assert_eq!((loaded.fatal, loaded.config.programs.len()), (false, 0));
    insta::assert_snapshot!(world.findings(&loaded), @r"
    DIR: warning: the folder holds no .service and no .conf file
      hint: `supers add NAME -- COMMAND` makes one
    ");
    std::fs::remove_dir(world.path()).unwrap();
    let loaded = world.folder();
    assert!(loaded.fatal);
    assert_eq!(world.findings(&loaded), "DIR: error: the folder cannot be read: No such file or directory");
}

#[test]
fn an_emptied_main_file_removes_nothing() {
    for text in ["", "\n\n", "; only a remark\n"] {
        let world = World::new(&[("s.conf", text)]);
        let loaded = world.file("s.conf");
        assert!(loaded.fatal, "{text:?}");
        assert!(world.findings(&loaded).contains("the file holds no section"), "{text:?}");
    }
    let world = World::new(&[("s.conf", "[supervisord]\n")]);
    assert!(!world.file("s.conf").fatal, "no program is a wish");
}
