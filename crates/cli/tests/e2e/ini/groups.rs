//! `[group:x]` and `[include]` (supervisor-contract 2, 4 and 7).

use super::{fresh, names_after, said, until_text, world};

#[test]
fn a_group_has_its_own_order_name_and_orders() {
    let world = world(
        "[group:g]\nprograms=z,a\npriority=5\n\
         [program:a]\ncommand={actor} env SUPERVISOR_GROUP_NAME print %(group_name)s print end wait\n\
         startsecs=0\nstdout_logfile={root}/a.log\n\
         [program:z]\ncommand={actor} wait\nstartsecs=0\n\
         [program:alone]\ncommand={actor} wait\nstartsecs=0\npriority=4\n",
    );
    let s = world.until("all run", |s| s.pids().len() == 3);
    assert_eq!(s.0.len(), 3);
    assert!(s.pid("g:a") > 0 && s.pid("g:z") > 0 && s.pid("alone") > 0);
    // By the group's priority, then as the group lists them.
    assert_eq!(names_after(&world, "spawned: "), ["alone", "z", "a"]);
    assert_eq!(until_text(&world, "a.log", "end\n"), "SUPERVISOR_GROUP_NAME=g\ng\nend\n");

    world.supers_ok(&["stop", "g:*"]);
    let s = world.status();
    assert_eq!((s.state("g:a"), s.state("g:z"), s.state("alone")), ("STOPPED", "STOPPED", "RUNNING"));
    world.supers_ok(&["start", "g:a"]);
    let s = world.status();
    assert_eq!((s.state("g:a"), s.state("g:z")), ("RUNNING", "STOPPED"));
}

#[test]
fn however_many_start_at_once_a_lower_priority_comes_first() {
    let many = |name: &str, priority: i32| {
        format!(
            "[program:{name}]\ncommand={{actor}} wait\nstartsecs=0\npriority={priority}\nnumprocs=40\n\
             process_name={name}%(process_num)02d\nstdout_logfile=NONE\nstderr_logfile=NONE\n"
        )
    };
    let world = world(&(many("a", 3) + &many("b", 2) + &many("c", 1)));
    world.until("all run", |s| s.pids().len() == 120);
    let names = names_after(&world, "spawned: ");
    let order: String = names.iter().map(|name| &name[..1]).collect();
    assert_eq!(order, "c".repeat(40) + &"b".repeat(40) + &"a".repeat(40), "{names:?}");
}

#[test]
fn includes_by_pattern_with_their_own_here() {
    let mut world = fresh();
    let program = |name: &str| {
        let actor = world.actor().display();
        format!(
            "[program:{name}]\ncommand={actor} print %(here)s print end wait\nstdout_logfile=%(here)s/{name}.log\n"
        )
    };
    world.write("conf.d/b.conf", &program("b"));
    world.write("conf.d/a.conf", &format!("{}[include]\nfiles=/no/where/*.conf\n", program("a")));
    world.write("conf.d/ignored.txt", &program("ignored"));
    world.write("extra/more.ini", &program("more"));
    let main = program("main");
    world.ini(&format!("{main}[include]\nfiles = conf.d/*.conf\n  extra/more.ini nothing/*.conf\n"));
    world.superd();
    let s = world.until("four run", |s| s.pids().len() == 4);
    assert_eq!(s.0.len(), 4);
    for (name, folder) in [("main", ""), ("a", "/conf.d"), ("b", "/conf.d"), ("more", "/extra")] {
        let here = format!("{}{folder}", world.root().display());
        let log = format!("{}/{name}.log", folder.trim_start_matches('/'));
        assert_eq!(until_text(&world, log.trim_start_matches('/'), "end\n"), format!("{here}\nend\n"));
    }
    let pattern = format!("No file matches via include \"{}/nothing/*.conf\"", world.root().display());
    assert!(world.logs().contains(&pattern), "{}", world.logs());
    assert!(!world.logs().contains("/no/where"), "an include inside an included file is ignored");
}

#[test]
fn included_files_are_named_in_the_main_log() {
    let mut world = fresh();
    let extra = world.write("conf.d/a.conf", "[program:a]\ncommand=/bin/true\nautostart=false\n");
    world.ini("[include]\nfiles=conf.d/*.conf\n");
    world.superd();
    said(&world, &format!("INFO Included extra file \"{}\" during parsing", extra.display()));
}
