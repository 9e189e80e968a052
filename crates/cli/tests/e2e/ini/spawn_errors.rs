//! Programs that cannot be started say why (supervisor-contract 5, spawnerr; architecture: stage and errno).

use super::{said, world};

#[test]
fn each_with_its_sentence() {
    let mut world = super::fresh();
    world.write("plain", "not a program");
    world.write("bad-interpreter", "#!/no/such/shell\n");
    let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
    std::fs::set_permissions(world.path("bad-interpreter"), mode).unwrap();
    let program = |name: &str, rest: &str| format!("[program:{name}]\nstartretries=0\n{rest}\n");
    let text = [
        program("missing", "command=/no/such/thing --flag"),
        program("unknown", "command=surely-no-such-command"),
        program("folder", "command={root}"),
        program("plain", "command={root}/plain"),
        program("lost", "command={actor} wait\ndirectory={root}/absent"),
        program("empty", "command="),
        program("quotes", "command={actor} print \"half"),
        program("script", "command={root}/bad-interpreter"),
        program("good", "command={actor} wait\nstartsecs=0"),
    ];
    world.ini(&text.concat());
    world.superd();
    let s = world.until("all have their fate", |s| {
        s.0.iter().all(|p| p["state"] == "FATAL" || p["name"] == "good") && s.state("good") == "RUNNING"
    });
    let root = world.root().display();
    let expected = [
        ("missing", "can't find command '/no/such/thing'".to_string()),
        ("unknown", "can't find command 'surely-no-such-command'".to_string()),
        ("folder", format!("command at '{root}' is a directory")),
        ("plain", format!("command at '{root}/plain' is not executable")),
        ("lost", format!("change directory to \"{root}/absent\": No such file or directory")),
        ("empty", "command is empty".to_string()),
        ("quotes", "can't parse command '".to_string()),
        (
            "script",
            format!(
                "execute \"{root}/bad-interpreter\": No such file or directory \
                 (the file is there, but not the interpreter that it names)"
            ),
        ),
    ];
    for (name, text) in &expected {
        let reason = s.reason(name);
        assert!(
            reason.starts_with(&format!("gave up after 1 try: cannot start: {text}")),
            "{name}: {reason}"
        );
        if *name != "quotes" {
            said(&world, &format!("INFO spawnerr: {text}"));
        }
    }
    assert!(s.reason("quotes").ends_with(": No closing quotation"), "{}", s.reason("quotes"));
}

#[test]
fn the_start_is_tried_again_and_succeeds_when_the_cause_is_gone() {
    let world =
        world("[program:a]\ncommand={actor} wait\ndirectory={root}/later\nstartretries=20\nstartsecs=0\n");
    let s = world.until("the first try failed", |s| s.state("a") == "BACKOFF");
    assert!(s.reason("a").contains("change directory to"), "{}", s.reason("a"));
    std::fs::create_dir(world.path("later")).unwrap();
    let s = world.until("it runs", |s| s.state("a") == "RUNNING");
    let cwd = std::fs::read_link(format!("/proc/{}/cwd", s.pid("a"))).unwrap();
    assert_eq!(cwd, world.path("later"));
}

#[test]
fn a_failed_start_by_hand_prints_the_sentence_and_the_last_output() {
    let world = world(
        "[program:a]\ncommand=/no/such/thing\nautostart=false\nstartretries=0\n\
         [program:b]\ncommand={actor} print one print two exit 4\nautostart=false\nstartretries=0\n\
         stdout_logfile={root}/b.log\n",
    );
    let end = world.supers(&["start", "a"]);
    assert_eq!(end.code, 1);
    assert!(end.stderr.contains("can't find command '/no/such/thing'"), "{end:?}");
    let end = world.supers(&["start", "b"]);
    assert_eq!(end.code, 1);
    assert!(end.stderr.contains("exit status 4"), "{end:?}");
    assert!(end.stderr.contains("| one\n") && end.stderr.contains("| two\n"), "{end:?}");
}
