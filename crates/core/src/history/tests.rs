use super::*;
use crate::exit::Stage;
use crate::snapshot::ProgramView;
use alloc::format;
use alloc::vec;

fn asked(verb: &str, names: &[&str]) -> What {
    let names = names.iter().map(|n| (*n).to_string()).collect();
    What::Asked(Asked {
        verb: verb.into(),
        names,
        who: "root".into(),
        door: "unix".into(),
        ..Asked::default()
    })
}

fn death(exit: i32, lived_ms: u64, tail: &[&str]) -> Death {
    let tail = tail.iter().map(|n| (*n).to_string()).collect();
    Death { pid: 7, exit: Some(exit), lived_ms: Some(lived_ms), tail, ..Death::default() }
}

fn changed(by: &str) -> What {
    let (file, line, change) = ("/etc/super/web.service".into(), 3, Change::Changed);
    What::FileChanged { file, line, change, by: by.into() }
}

/// One entry a second, from 10:00:00 on.
fn entries(list: Vec<What>) -> Vec<Entry> {
    let one = |(i, what): (usize, What)| Entry {
        at: Wall(36_000_000 + 1000 * i as i64),
        unit: Some("web".into()),
        run: 1,
        what,
    };
    list.into_iter().enumerate().map(one).collect()
}

fn clock(at: Wall) -> String {
    let s = at.secs();
    format!("{:02}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60)
}

fn view(state: &'static str, pid: i32, reason: &'static str, hint: &'static str) -> ProgramView<'static> {
    ProgramView {
        name: "web".into(),
        group: "web".into(),
        state: state.into(),
        pid,
        reason: reason.into(),
        hint: hint.into(),
        since: 36_060,
        ..ProgramView::default()
    }
}

fn told(list: Vec<What>, view: &ProgramView<'_>) -> String {
    let story = why(&entries(list), view, &clock);
    story.lines.join("\n") + "\n> " + &story.next
}

#[test]
fn a_sentence_for_each() {
    let all = |list: Vec<What>| list.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n");
    let error = StartError { stage: Stage::Chdir, errno: 2, text: "change directory to \"/x\": no".into() };
    let oom = |oom, foreign| What::Exited(Death { oom, foreign, ..death(-9, 90_000, &[]) });
    let list = vec![
        asked("stop", &["web", "db"]),
        What::Asked(Asked { verb: "reload".into(), door: "signal".into(), ..Asked::default() }),
        What::Asked(Asked {
            door: "http".into(),
            refused: "no program is called \"x\"".into(),
            who: "10.0.0.1:9".into(),
            verb: "start".into(),
            names: (0..10).map(|i| format!("u{i}")).collect(),
            ..Asked::default()
        }),
        What::Started { pid: 7 },
        What::Adopted { pid: 7 },
        What::from(&error),
        What::Exited(death(1, 200, &["x"])),
        What::Exited(Death { expected: true, lived_ms: None, ..death(0, 0, &[]) }),
        What::Exited(Death { core: true, ..death(-11, 61_000, &[]) }),
        What::Exited(Death { exit: None, ..death(0, 5, &[]) }),
        oom(Oom::No, true),
        oom(Oom::Likely, true),
        oom(Oom::Yes, true),
        What::Exited(Death { foreign: true, ..death(-15, 90_000, &[]) }),
        What::Stopped(death(-9, 1000, &[])),
        What::Signalled { signal: 15, by: "stop".into() },
        What::Signalled { signal: 99, by: "order".into() },
        What::Killed { pid: 7 },
        What::Backoff { attempt: 2, until: Wall(0), wait_ms: 1500 },
        What::GaveUp { tries: 4, detail: "gave up after 4 tries: exit status 1".into() },
        What::Dependency { on: "db".into() },
        What::Refused { detail: "no command".into() },
        What::LeftRunning { pid: 7 },
        What::OutOfReach { pid: 7 },
        What::CommandFailed { command: "stop command".into(), detail: "exit status 1".into() },
        What::Reloaded,
        changed("reload"),
        What::Configuration { added: 1, changed: 2, removed: 0, refused: String::new() },
        What::Configuration { added: 0, changed: 0, removed: 0, refused: "a:1: no".into() },
        What::Daemon { deed: Deed::Crashed, detail: "signal 9".into() },
        What::Daemon { deed: Deed::Upgraded, detail: String::new() },
        What::Other { what: "dance".into(), text: "danced".into() },
    ];
    insta::assert_snapshot!(all(list), @r#"
    root asked through the unix socket: stop web db
    somebody asked by a signal: reload
    10.0.0.1:9 asked through http: start u0 u1 u2 u3 u4 u5 u6 u7 and 2 more (refused: no program is called "x")
    started, pid 7
    taken over while it ran, pid 7
    cannot start: change directory to "/x": no
    ended, which was not expected: exit status 1 after 200 ms
    ended: exit status 0
    ended, which was not expected: terminated by SIGSEGV (core dumped) after 1 min 1 s
    ended, which was not expected: exit status unknown after 5 ms
    ended, which was not expected: terminated by SIGKILL after 1 min 30 s, killed by a signal that superd did not send (the kernel's OOM killer?)
    ended, which was not expected: terminated by SIGKILL after 1 min 30 s, probably killed by the kernel because memory ran out on this machine
    ended, which was not expected: terminated by SIGKILL after 1 min 30 s, killed by the kernel because memory ran out
    ended, which was not expected: terminated by SIGTERM after 1 min 30 s, by a signal that superd did not send
    stopped: terminated by SIGKILL after 1 s
    SIGTERM sent (stop)
    signal 99 sent (order)
    did not stop in time: SIGKILL sent to pid 7
    is started again after a pause of 2 s (attempt 2)
    gave up after 4 tries: exit status 1
    not started: db, which it requires, did not start
    refused: no command
    did not stop and may not be killed: pid 7 was let go
    a signal could not be sent to pid 7
    its stop command failed: exit status 1
    its reload command ended well
    its description changed: /etc/super/web.service:3 (reload)
    the configuration was read again: 1 added, 2 changed, 0 removed
    the configuration was not taken, nothing was changed: a:1: no
    superd ended without a word and was started again: signal 9
    superd was upgraded
    danced
    "#);
}

#[test]
fn fatal_after_a_changed_file() {
    let list = vec![
        What::Daemon { deed: Deed::Started, detail: String::new() },
        What::Started { pid: 5 },
        changed("root asked through the unix socket: reload"),
        What::Stopped(death(-15, 1000, &[])),
        What::Started { pid: 6 },
        What::Exited(death(1, 200, &["older"])),
        What::Backoff { attempt: 1, until: Wall(0), wait_ms: 1000 },
        What::Started { pid: 7 },
        What::Exited(death(1, 200, &["cannot bind", "bye"])),
        What::GaveUp { tries: 2, detail: "x".into() },
    ];
    insta::assert_snapshot!(told(list, &view("FATAL", 0, "gave up after 2 tries: exit status 1", "supers logs web")), @r"
    web is FATAL since 10:01:00: gave up after 2 tries: exit status 1.
    Last, at 10:00:08: ended, which was not expected: exit status 1 after 200 ms.
    Its last output:
      cannot bind
      bye
    It was started 2 times since 10:00:04, 1 of them by itself; the first because of this, at 10:00:02: its description changed: /etc/super/web.service:3 (root asked through the unix socket: reload).
    > supers logs web
    ");
}

#[test]
fn stopped_by_hand() {
    let list = vec![
        asked("start", &["web"]),
        What::Started { pid: 6 },
        asked("stop", &["all"]),
        What::Signalled { signal: 15, by: "stop".into() },
        What::Killed { pid: 6 },
        What::Stopped(death(-9, 10_000, &[])),
    ];
    insta::assert_snapshot!(told(list, &view("STOPPED", 0, "stopped on request", "supers start web")), @r"
    web is STOPPED since 10:01:00: stopped on request.
    At 10:00:02: root asked through the unix socket: stop all.
    Last, at 10:00:05: stopped: terminated by SIGKILL after 10 s; it had to be killed.
    It was started at 10:00:01 because of this, at 10:00:00: root asked through the unix socket: start web.
    > supers start web
    ");
}

#[test]
fn running_again_by_itself() {
    let list = vec![
        What::Daemon { deed: Deed::Started, detail: String::new() },
        What::Started { pid: 6 },
        What::Exited(Death { foreign: true, ..death(-9, 10_000, &[]) }),
        What::Started { pid: 7 },
    ];
    insta::assert_snapshot!(told(list, &view("RUNNING", 7, "", "")), @r"
    web is RUNNING since 10:01:00, pid 7.
    The run before, at 10:00:02: ended, which was not expected: terminated by SIGKILL after 10 s, killed by a signal that superd did not send (the kernel's OOM killer?).
    It was started 2 times since 10:00:01, 1 of them by itself; the first because of this, at 10:00:00: superd started.
    > supers history web
    ");
}

#[test]
fn little_is_known() {
    insta::assert_snapshot!(told(vec![], &view("STOPPED", 0, "not started", "supers start web")), @r"
    web is STOPPED since 10:01:00: not started.
    The history knows of no start.
    > supers start web
    ");
    let list = vec![
        What::Started { pid: 6 },
        What::Daemon { deed: Deed::Crashed, detail: String::new() },
        What::Adopted { pid: 6 },
    ];
    insta::assert_snapshot!(told(list, &view("RUNNING", 6, "", "")), @r"
    web is RUNNING since 10:01:00, pid 6.
    It was started at 10:00:00; why is not in the history any more.
    At 10:00:01: superd ended without a word and was started again.
    > supers history web
    ");
}

#[test]
fn whom_an_entry_concerns() {
    let of = |unit: Option<&str>, what| Entry { at: Wall(0), unit: unit.map(Into::into), run: 0, what };
    let several = Asked { units: vec!["a".into(), "b".into()], ..Asked::default() };
    let all = Asked { all: true, ..Asked::default() };
    let crash = What::Daemon { deed: Deed::Crashed, detail: String::new() };
    for (entry, a, c) in [
        (of(Some("a"), What::Reloaded), true, false),
        (of(None, What::Asked(several)), true, false),
        (of(None, What::Asked(all)), true, true),
        (of(None, asked("reload", &[])), false, false),
        (of(None, crash), true, true),
    ] {
        assert_eq!((entry.concerns("a"), entry.concerns("c")), (a, c), "{entry:?}");
    }
}
