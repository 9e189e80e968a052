//! autostart, startsecs, startretries, numprocs and the order of starts (supervisor-contract 5 and 7).

use super::{gaps, moments, names_after, said, until_text, world};

#[test]
fn autostart_false_waits_for_an_order() {
    let world = world(
        "[program:a]\ncommand={actor} wait\nautostart=false\nstartsecs=0\n\
         [program:b]\ncommand={actor} wait\nstartsecs=0\n",
    );
    let s = world.until("b runs", |s| s.state("b") == "RUNNING");
    assert_eq!((s.state("a"), s.reason("a"), s.pid("a")), ("STOPPED", "not started", 0));
    world.supers_ok(&["start", "a"]);
    assert_eq!(world.status().state("a"), "RUNNING");
}

#[test]
fn startsecs_is_the_life_that_counts_as_a_start() {
    let world = world("[program:a]\ncommand={actor} wait\nstartsecs=1\n");
    let s = world.status();
    assert_ne!(s.state("a"), "RUNNING", "not before a second");
    let s = world.until("a runs", |s| s.state("a") == "RUNNING");
    let pid = s.pid("a");
    said(&world, &format!("INFO spawned: 'a' with pid {pid}"));
    said(
        &world,
        "INFO success: a entered RUNNING state, process has stayed up for > than 1 seconds (startsecs)",
    );
    let (spawned, success) = (moments(&world, "spawned: 'a'")[0], moments(&world, "success: a")[0]);
    let span = gaps(&[spawned, success])[0];
    // Counted from the spawn; the two clocks and the line's milliseconds may differ a little.
    assert!((990..5000).contains(&span), "{span} ms");
}

#[test]
fn startretries_with_growing_pauses_and_then_fatal() {
    let world = world(
        "[program:a]\ncommand={actor} count-to-file {root}/a exit 3\nstartretries=2\n\
         [program:b]\ncommand={actor} count-to-file {root}/b exit 3\nstartretries=5\n\
         [program:once]\ncommand={actor} count-to-file {root}/once\nstartretries=0\n",
    );
    let s = world.until("a waits", |s| s.state("a") == "BACKOFF" && s.state("b") == "BACKOFF");
    assert!(s.reason("a").starts_with("exited too quickly: exit status 3 after "), "{}", s.reason("a"));
    assert!(s.reason("a").contains("; next try in "), "{}", s.reason("a"));
    // Out of BACKOFF a stop is immediate, and final.
    let stopped = world.supers_ok(&["stop", "b"]);
    assert!(stopped.contains("stopped"), "{stopped}");
    let tries_of_b = world.read("b").len();

    let s = world.until("a gives up", |s| s.state("a") == "FATAL");
    let reason = s.reason("a");
    assert!(reason.starts_with("gave up after 3 tries: exited too quickly: exit status 3"), "{reason}");
    said(&world, "INFO gave up: a entered FATAL state, too many start retries too quickly");
    assert_eq!(world.read("a"), "...");
    let pauses = gaps(&moments(&world, "spawned: 'a'"));
    assert!(pauses.len() == 2 && (1000..2000).contains(&pauses[0]) && pauses[1] >= 2000, "{pauses:?}");

    assert_eq!((s.state("b"), world.read("b").len()), ("STOPPED", tries_of_b));
    // Too quick is too quick, also with status 0; without retries one try is all.
    assert_eq!((s.state("once"), world.read("once").as_str()), ("FATAL", "."));
    assert!(s.reason("once").contains("exited too quickly: exit status 0"), "{}", s.reason("once"));
}

#[test]
fn numprocs_with_names_numbers_and_expansions() {
    let mut world = super::fresh();
    world.env("GREETING", "hello there");
    world.ini(
        "[program:w]\n\
         command={actor} print %(process_num)02d print %(numprocs)d print '%(ENV_GREETING)s' print %(here)s \
         print %(program_name)s print %(group_name)s env NUMBER print 100%% print end wait\n\
         process_name=%(program_name)s_%(process_num)02d\n\
         numprocs=3\nnumprocs_start=9\nstartsecs=0\n\
         environment=NUMBER=\"n%(process_num)d\"\n\
         stdout_logfile=%(here)s/w%(process_num)03d.log\n",
    );
    world.superd();
    let s = world.until("all run", |s| s.pids().len() == 3 && s.0.iter().all(|p| p["state"] == "RUNNING"));
    for number in 9..12 {
        assert_eq!(s.state(&format!("w:w_{number:02}")), "RUNNING");
        let here = world.root().display();
        let expected = format!("{number:02}\n3\nhello there\n{here}\nw\nw\nNUMBER=n{number}\n100%\nend\n");
        assert_eq!(until_text(&world, &format!("w{number:03}.log"), "end\n"), expected);
    }
}

#[test]
fn priorities_order_the_start_and_reversed_the_end() {
    let mut world = world(
        "[program:a]\ncommand={actor} wait\npriority=20\n\
         [program:b]\ncommand={actor} wait\npriority=-1\n\
         [program:c]\ncommand={actor} ignore TERM print up wait\npriority=30\nstopwaitsecs=1\n\
         stdout_logfile={root}/c.log\n",
    );
    until_text(&world, "c.log", "up\n");
    until_text(&world, "supervisord.log", "spawned: 'c'");
    assert_eq!(names_after(&world, "spawned: "), ["b", "a", "c"]);
    let deadline = world.deadline();
    assert_eq!(world.daemon().stop(deadline), 0);
    // c is slow to go: those of lower numbers were not signalled before it was gone.
    assert_eq!(names_after(&world, "stopped: "), ["c", "a", "b"]);
    said(&world, "WARN received SIGTERM indicating exit request");
}

#[test]
fn the_ancestor_ends_groups_of_one_priority_one_after_another() {
    let text = "[supervisord]\n\
                [program:a]\ncommand={actor} wait\n\
                [program:b]\ncommand={actor} wait\n\
                [program:c]\ncommand={actor} ignore TERM print up wait\nstopwaitsecs=1\n\
                stdout_logfile={root}/c.log\n";
    let mut world = super::world_as(text, &["--as", "supervisord"]);
    until_text(&world, "c.log", "up\n");
    until_text(&world, "supervisord.log", "spawned: 'c'");
    assert_eq!(names_after(&world, "spawned: "), ["a", "b", "c"]);
    let deadline = world.deadline();
    assert_eq!(world.daemon().stop(deadline), 0);
    assert_eq!(names_after(&world, "stopped: "), ["c", "b", "a"]);
}
