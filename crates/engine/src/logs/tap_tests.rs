//! Streams whose text is wanted elsewhere too, with real FIFOs.

use super::tests::{Rig, say, text, to_file};
use super::*;
use std::io::{Read, Write};
use std::os::fd::AsRawFd;
use std::os::unix::net::UnixDatagram;
use std::time::Duration;
use supers_core::spec::{Sink, Target};
use supers_core::time::Wall;

const U: UnitId = UnitId(1);
const OUT: Stream = Stream::Stdout;

fn output(text: &str) -> LogFact {
    LogFact::Output { unit: U, channel: OUT, text: text.as_bytes().to_vec().into() }
}

fn heard(text: &str) -> LogFact {
    LogFact::Heard { unit: U, text: text.as_bytes().to_vec().into() }
}

/// All that is told up to the end of what was written so far.
fn told(rig: &mut Rig) -> Vec<LogFact> {
    let run = RunId(77);
    rig.logs.drain(U, run);
    let mut facts = Vec::new();
    loop {
        match rig.fact() {
            LogFact::Drained { .. } => return facts,
            fact => facts.push(fact),
        }
    }
}

/// Waits for something that comes soon.
fn until(mut done: impl FnMut() -> bool) {
    while !done() {
        std::thread::yield_now();
    }
}

/// A name for an open file.
fn proc_path(file: &File) -> PathBuf {
    format!("/proc/self/fd/{}", file.as_raw_fd()).into()
}

fn with(rig: &Rig, change: impl FnOnce(&mut Sink)) -> Output {
    let mut output = to_file(&rig.path("a.log"), 0, 0);
    change(&mut output.stdout);
    output
}

#[test]
fn events_are_told_before_the_end_of_the_run() {
    let mut rig = Rig::new();
    let streams = rig.attach(1, &with(&rig, |s| (s.events, s.strip_ansi) = (true, true)));
    assert!(streams.pending(), "the engine asks for a drain in any case");
    say(&streams, "\x1b[1mone\x1b[0m\ntwo");
    assert_eq!(told(&mut rig), [output("one\ntwo")]);
    assert_eq!(text(&rig.path("a.log")), "one\ntwo");
}

#[test]
fn output_that_is_not_kept_is_told_all_the_same() {
    let mut rig = Rig::new();
    let streams = rig.attach(
        1,
        &Output {
            stdout: Sink { events: true, ..Sink::default() },
            stderr: Some(Sink { events: true, target: Target::File("/dev/null".into()), ..Sink::default() }),
        },
    );
    say(&streams, "half a line");
    assert_eq!(told(&mut rig), [output("half a line")]);
    let out = streams.stdout_writer().unwrap();
    File::from(streams.stderr_writer(&out).unwrap()).write_all(b"err").unwrap();
    let channel = Stream::Stderr;
    assert_eq!(told(&mut rig), [LogFact::Output { unit: U, channel, text: b"err".to_vec().into() }]);
    assert_eq!(streams.path(OUT), None);
    assert!(streams.reader(OUT).is_none());
    rig.logs.detach(U);
    let plain = rig.attach(2, &to_file(&rig.path("b.log"), 0, 0));
    say(&plain, "goes on");
    rig.settle(2);
}

#[test]
fn captured_text_is_kept_out_of_the_log() {
    let mut rig = Rig::new();
    let streams = rig.attach(1, &with(&rig, |s| (s.capture_max, s.events) = (4, true)));
    say(&streams, "a<!--XSUPERVISOR:BEGIN-->secret<!--XSUPERVISOR:END-->b\n<!--XSUP");
    let captured = LogFact::Captured { unit: U, channel: OUT, text: b"cret".to_vec().into() };
    assert_eq!(told(&mut rig), [output("a"), captured, output("b\n"), output("<!--XSUP")]);
    assert_eq!(text(&rig.path("a.log")), "ab\n<!--XSUP");
    // A text that the run before did not end is none of the next one's.
    say(&streams, "<!--XSUPERVISOR:BEGIN-->open");
    assert_eq!(told(&mut rig), []);
    say(&streams, "next\n");
    assert_eq!(told(&mut rig), [output("next\n")]);
    assert_eq!(text(&rig.path("a.log")), "ab\n<!--XSUPnext\n");
}

#[test]
fn a_listener_is_heard_and_logged() {
    let mut rig = Rig::new();
    let settings = with(&rig, |s| s.strip_ansi = true);
    let deaf = rig.attach(1, &settings);
    let streams = rig.logs.attach_listener(U, "u1", &settings, None, false).unwrap();
    assert!(!Arc::ptr_eq(&deaf, &streams));
    say(&streams, "READY\n");
    assert_eq!(rig.fact(), heard("READY\n"));
    // One thing at a time, and none leaves the FIFO before the engine has noted it.
    say(&streams, "RESULT 2\n\x1b[mOK");
    rig.logs.drain(U, RunId(5));
    rig.logs.consumed(U, 2);
    until(|| text(&rig.path("a.log")) == "RE");
    assert_eq!(rig.facts.len(), 0);
    rig.logs.consumed(U, 4);
    assert_eq!(rig.fact(), LogFact::Stored { unit: U });
    assert_eq!(rig.fact(), heard("RESULT 2\n\x1b[mOK"));
    assert_eq!(text(&rig.path("a.log")), "READY\n");
    rig.logs.consumed(U, 14);
    assert_eq!(rig.fact(), LogFact::Stored { unit: U });
    assert_eq!(rig.fact(), LogFact::Drained { unit: U, run: RunId(5) });
    assert_eq!(text(&rig.path("a.log")), "READY\nRESULT 2\nOK");
    // Other settings for the next run: what was told is not told again.
    say(&streams, "READY\n");
    assert_eq!(rig.fact(), heard("READY\n"));
    let settings = with(&rig, |_| ());
    rig.logs.attach_listener(U, "u1", &settings, None, false).unwrap();
    say(&streams, "more\n");
    rig.logs.consumed(U, 6);
    assert_eq!(rig.fact(), LogFact::Stored { unit: U });
    assert_eq!(rig.fact(), heard("more\n"));
    // Nobody answers any more: it is stored when the unit is removed.
    rig.logs.detach(U);
    assert_eq!(rig.fact(), LogFact::Stored { unit: U });
    rig.settle(1);
    assert_eq!(text(&rig.path("a.log")), "READY\nRESULT 2\nOKREADY\nmore\n");
}

#[test]
fn when_the_engine_is_behind_the_bytes_wait_in_the_fifo() {
    let mut rig = Rig::new();
    let streams = rig.attach(1, &with(&rig, |s| s.events = true));
    let plain = rig.attach(2, &to_file(&rig.path("b.log"), 0, 0));
    let total = 4 * TEXT;
    let out = streams.stdout_writer().unwrap();
    let writer = std::thread::spawn(move || File::from(out).write_all(&vec![b'x'; total]).unwrap());
    // Nobody takes what is told: the stream stops, and no other does.
    while rig.logs.shared.text.load(Ordering::Acquire) < TEXT
        || !rig.logs.shared.starving.load(Ordering::Acquire)
    {
        assert!(!writer.is_finished());
        std::thread::yield_now();
    }
    let told = rig.logs.shared.text.load(Ordering::Acquire);
    assert!((TEXT..TEXT + turn::COPY).contains(&told), "{told}");
    rig.logs.drain(U, RunId(6));
    for i in 0..20 {
        say(&plain, &format!("line {i}\n"));
    }
    while text(&rig.path("b.log")).lines().count() < 20 {
        std::thread::yield_now();
    }
    // A drain that waits for another's target lasts as long as a drain may: after it, ours is overdue.
    let (_read, write) = sys::pipe().unwrap();
    let stuck = rig.attach(3, &to_file(&proc_path(&write), 0, 0));
    say(&stuck, &"x".repeat(1 << 16));
    say(&stuck, "x");
    let facts = rig.facts.len();
    rig.logs.drain(UnitId(3), RunId(5));
    while rig.facts.len() == facts {
        std::thread::yield_now();
    }
    assert_eq!(rig.logs.shared.text.load(Ordering::Acquire), told);
    assert!(!writer.is_finished());
    // The engine takes it all in the end, every byte once.
    let mut seen = 0;
    let mut drained = None;
    while seen < total || drained.is_none() {
        match rig.fact() {
            LogFact::Output { text, .. } => seen += text.len(),
            fact if fact == LogFact::Drained { unit: U, run: RunId(6) } => drained = Some(seen),
            fact => assert_eq!(fact, LogFact::Drained { unit: UnitId(3), run: RunId(5) }),
        }
    }
    assert!(drained.unwrap() > told, "what was in the FIFO is told first");
    writer.join().unwrap();
    assert_eq!(super::tap_tests::told(&mut rig), []);
    assert_eq!(fs::metadata(rig.path("a.log")).unwrap().len(), total as u64);
    assert_eq!(rig.logs.shared.text.load(Ordering::Acquire), 0);
}

#[test]
fn an_engine_that_catches_up_wakes_the_pump() {
    let mut rig = Rig::new();
    let streams = rig.attach(1, &with(&rig, |s| s.events = true));
    let out = streams.stdout_writer().unwrap();
    let total = 2 * TEXT;
    let writer = std::thread::spawn(move || File::from(out).write_all(&vec![b'x'; total]).unwrap());
    while !rig.logs.shared.starving.load(Ordering::Acquire) {
        assert!(!writer.is_finished());
        std::thread::yield_now();
    }
    let mut seen = 0;
    while seen < total {
        if let LogFact::Output { text, .. } = rig.fact() {
            seen += text.len();
        }
    }
    writer.join().unwrap();
}

#[test]
fn many_small_texts_in_one_read_come_all_and_before_the_end() {
    let mut rig = Rig::new();
    let streams = rig.attach(1, &with(&rig, |s| s.capture_max = 10));
    let one = |n| format!("<!--XSUPERVISOR:BEGIN-->{n}<!--XSUPERVISOR:END-->");
    say(&streams, &(0..1200).map(one).collect::<String>());
    let texts: Vec<String> = told(&mut rig)
        .into_iter()
        .map(|fact| match fact {
            LogFact::Captured { text, .. } => String::from_utf8(text.to_vec()).unwrap(),
            fact => panic!("{fact:?}"),
        })
        .collect();
    assert_eq!(texts, (0..1200).map(|n| n.to_string()).collect::<Vec<_>>());
    assert!(rig.logs.deferred_facts() > 0);
    assert_eq!(text(&rig.path("a.log")), "");
}

/// A rig whose daemon copies output to its own log, and one whose syslog is `socket`.
fn rig_with(level: Level, socket: &Path) -> (Rig, MainLog) {
    let mut rig = Rig::new();
    let main = MainLog::open(Some(&rig.path("main.log")), 0, 0, level, None).unwrap();
    let null = || File::options().read(true).write(true).open("/dev/null").unwrap().into();
    let mut config = LogsConfig::new(rig.path("run2"), null(), null());
    config.main = Some(main.clone());
    config.syslog = SyslogConfig { socket: socket.into(), ident: "sv".into() };
    let (logs, facts) = start(config).unwrap();
    let old = std::mem::replace(&mut rig.logs, logs);
    rig.facts = facts;
    old.shutdown();
    old.join();
    (rig, main)
}

#[test]
fn at_level_debug_the_main_log_has_a_copy() {
    let (mut rig, main) = rig_with(Level::Debug, Path::new("/nonexistent/log"));
    let streams = rig.logs.attach(U, "g:web", &with(&rig, |_| ()), None, false).unwrap();
    let mut out = File::from(streams.stdout_writer().unwrap());
    out.write_all(b"one\ntwo\n").unwrap();
    assert_eq!(told(&mut rig), [], "nothing of it is the engine's business");
    let copy = text(&rig.path("main.log"));
    assert_eq!(copy.split_once(" DEBG ").unwrap().1, "'web' stdout output:\none\ntwo\n\n");
    assert_eq!(text(&rig.path("a.log")), "one\ntwo\n");
    assert_eq!(main.failures(), 0);
    let (mut rig, _) = rig_with(Level::Info, Path::new("/nonexistent/log"));
    let streams = rig.attach(1, &with(&rig, |_| ()));
    say(&streams, "one\n");
    rig.settle(1);
    assert_eq!(text(&rig.path("main.log")), "");
    assert!(!rig.logs.shared.copy, "then it is not even read");
}

#[test]
fn lines_go_to_syslog_in_addition() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("log");
    let (mut rig, _) = rig_with(Level::Info, &socket);
    let streams = rig.logs.attach(U, "g:web", &with(&rig, |s| s.syslog = true), None, false).unwrap();
    say(&streams, "nobody listens\n");
    rig.settle(1);
    assert_eq!(rig.logs.syslog_dropped(), 1);
    let listener = UnixDatagram::bind(&socket).unwrap();
    listener.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
    let line = || {
        let mut bytes = [0; 200];
        let n = listener.recv(&mut bytes).unwrap();
        String::from_utf8_lossy(&bytes[..n]).split_once(" sv: ").unwrap().1.to_owned()
    };
    say(&streams, "one\ntw");
    assert_eq!(line(), "web one");
    assert!(streams.pending(), "half a line is held");
    say(&streams, "o\nend");
    assert_eq!(line(), "web two");
    rig.settle(1);
    assert_eq!(line(), "web end");
    assert!(!streams.pending());
    assert_eq!(text(&rig.path("a.log")), "nobody listens\none\ntwo\nend");
}

#[test]
fn what_was_held_back_survives_a_full_target() {
    let mut rig = Rig::new();
    let (mut read, write) = sys::pipe().unwrap();
    supers_os::pipe::set_pipe_size(&write, 4096).unwrap();
    let mut output = with(&rig, |s| s.capture_max = 10);
    output.stdout.target = Target::File(tests::bytes_of(&proc_path(&write)));
    let streams = rig.attach(1, &output);
    let mut all = "x".repeat(20_000);
    all.push_str("<!--XSUPERVISOR");
    say(&streams, &all);
    rig.logs.drain(U, RunId(1));
    assert_eq!(rig.fact(), LogFact::Drained { unit: U, run: RunId(1) }, "its time is over");
    let mut got = vec![0; all.len()];
    read.read_exact(&mut got).unwrap();
    assert_eq!(got, all.as_bytes());
}

#[test]
fn the_main_log_goes_to_syslog_line_by_line() {
    let dir = tempfile::tempdir().unwrap();
    let socket = dir.path().join("log");
    let listener = UnixDatagram::bind(&socket).unwrap();
    let config = SyslogConfig { socket, ident: "sv".into() };
    let main = MainLog::to_syslog(config, Level::Info, None);
    main.log(Level::Debug, Wall(0), "not shown");
    main.log(Level::Warn, Wall(5), "one\ntwo");
    for word in ["one", "two"] {
        let mut bytes = [0; 200];
        let n = listener.recv(&mut bytes).unwrap();
        let message = String::from_utf8_lossy(&bytes[..n]).into_owned();
        assert!(message.starts_with("<14>") && message.contains(" sv: "), "{message}");
        assert!(message.ends_with(&format!(",005 WARN {word}")), "{message}");
    }
    assert!(main.reader().is_none());
    assert_eq!(main.clear(), Err(supers_core::inside::LogFault::NoFile));
    drop(listener);
    main.log(Level::Info, Wall(0), "lost");
    assert_eq!(main.failures(), 1);
}
