//! The logs thread sleeps while nothing is written. Alone in its process: it looks for the thread by
//! its name.

#![allow(clippy::unwrap_used)] // a test: what is not there ends it

use std::fs;
use std::io::Write;
use std::time::Duration;
use supers_core::ids::{RunId, UnitId};
use supers_core::spec::{Output, Sink, Target};
use supers_engine::logs::{LogFact, LogsConfig, start};
use tokio::sync::mpsc::Receiver;
use tokio::time::timeout;

/// How often the logs thread was put to sleep or interrupted so far.
fn switches() -> u64 {
    let tasks = fs::read_dir("/proc/self/task").unwrap().map(|t| t.unwrap().path());
    let logs = tasks.filter(|t| fs::read_to_string(t.join("comm")).unwrap().trim() == "logs");
    let [task] = logs.collect::<Vec<_>>().try_into().unwrap();
    let status = fs::read_to_string(task.join("status")).unwrap();
    let counts = status.lines().filter(|l| l.contains("ctxt_switches"));
    counts.map(|l| l.split_whitespace().last().unwrap().parse::<u64>().unwrap()).sum()
}

/// Lets time pass in which the thread has nothing to say.
async fn quiet(facts: &mut Receiver<LogFact>, time: Duration) {
    let fact = timeout(time, facts.recv()).await;
    assert!(fact.is_err(), "{fact:?}");
}

#[tokio::test]
async fn a_hundred_quiet_units_wake_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let null = || fs::File::open("/dev/null").unwrap().into();
    let config = LogsConfig::new(dir.path().join("run"), null(), null());
    let (logs, mut facts) = start(config).unwrap();
    let mut writers = Vec::new();
    for n in 0..100 {
        let log = dir.path().join(format!("{n}.log"));
        let target = Target::File(log.to_str().unwrap().into());
        let output = Output { stdout: Sink { target, ..Sink::default() }, stderr: None };
        let streams = logs.attach(UnitId(n), &format!("unit{n}"), &output, None, false).unwrap();
        let mut out = fs::File::from(streams.stdout_writer().unwrap());
        out.write_all(b"hello\n").unwrap();
        writers.push(out);
        assert!(logs.drain(UnitId(n), RunId(1)));
        assert_eq!(facts.recv().await, Some(LogFact::Drained { unit: UnitId(n), run: RunId(1) }));
    }
    // The last stream has cooled down long before this is over.
    quiet(&mut facts, Duration::from_millis(300)).await;
    let before = switches();
    quiet(&mut facts, Duration::from_secs(1)).await;
    assert_eq!(switches() - before, 0);
    // It is asleep, not dead.
    writers[7].write_all(b"again\n").unwrap();
    assert!(logs.drain(UnitId(7), RunId(2)));
    assert_eq!(facts.recv().await, Some(LogFact::Drained { unit: UnitId(7), run: RunId(2) }));
    assert!(switches() > before);
    logs.shutdown();
    logs.join();
    assert!(!logs.drain(UnitId(7), RunId(3)), "nobody answers any more");
}
