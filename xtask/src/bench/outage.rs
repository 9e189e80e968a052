//! How long nobody answers after a `kill -9` of the daemon, and in an upgrade, with a thousand units: as a client
//! sees it that asks again and again over the control socket. And what the private memory of the keeper is.

use super::Plan;
use super::rig::{Notes, Rig, many, now};
use super::table::{Aim, Row, median, quantile};
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;
use supers_testkit::Process;

/// The client: the end of each answer that it got, and what it did not get.
struct Poll {
    stop: Arc<AtomicBool>,
    thread: JoinHandle<Seen>,
}

#[derive(Default)]
struct Seen {
    /// When answers were complete, in nanoseconds.
    answers: Vec<i64>,
    /// Connections that were refused.
    refused: usize,
    /// Connections that were cut.
    cut: usize,
}

impl Poll {
    fn start(socket: PathBuf) -> Poll {
        let stop = Arc::new(AtomicBool::new(false));
        let told = stop.clone();
        let thread = std::thread::spawn(move || {
            let mut seen = Seen::default();
            while !told.load(Ordering::Relaxed) {
                match UnixStream::connect(&socket) {
                    Err(_) => seen.refused += 1,
                    Ok(stream) => match ask(stream) {
                        true => seen.answers.push(now()),
                        false => seen.cut += 1,
                    },
                }
                std::thread::sleep(Duration::from_micros(200));
            }
            seen
        });
        Poll { stop, thread }
    }

    fn end(self) -> Result<Seen, String> {
        self.stop.store(true, Ordering::Relaxed);
        self.thread.join().map_err(|_| "the client failed".into())
    }
}

fn ask(mut stream: UnixStream) -> bool {
    let request = b"GET /api/v1/version HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    let mut answer = Vec::new();
    stream.write_all(request).is_ok()
        && stream.read_to_end(&mut answer).is_ok()
        && answer.starts_with(b"HTTP/1.1 200")
}

pub(super) fn measure(rig: &Rig, plan: &Plan) -> Result<Vec<Row>, String> {
    let count = plan.pick(1000, 200);
    let mut world = rig.world();
    let notes = Notes::new(world.path("notes"));
    let door = "[unix_http_server]\nfile={root}/door.sock\n";
    world.ini(&format!("{door}{}", many(count, &rig.floor("unit"), &notes)));
    world.superd();
    notes.wait(count)?;
    let all_run = |s: &supers_testkit::Programs| s.0.iter().all(|row| row["state"] == "RUNNING");
    world.until("all run", all_run);
    let keeper = world.daemon().pid();
    let socket = world.path("door.sock");
    let poll = Poll::start(socket.clone());
    let mut kills = Vec::new();
    for _ in 0..plan.pick(40, 5) {
        let daemon = Process::open(world.daemon().daemon_pid()).ok_or("there is no daemon")?;
        std::thread::sleep(Duration::from_millis(1200));
        kills.push(now());
        daemon.kill();
        // To look is work of its own, for which the daemon would have to share the cores.
        std::thread::sleep(Duration::from_millis(200));
        world.until("all run on", all_run);
    }
    let killed = poll.end()?;
    let poll = Poll::start(socket);
    let mut upgrades = Vec::new();
    for _ in 0..plan.pick(40, 5) {
        std::thread::sleep(Duration::from_millis(1200));
        upgrades.push(now());
        world.supers_ok(&["upgrade"]);
    }
    let upgraded = poll.end()?;
    if notes.read().len() != count {
        return Err("a unit was started again".into());
    }
    let mut gaps = gaps(&killed, &kills);
    let mut pauses = gaps_after(&upgraded, &upgrades);
    let lost = killed.refused + upgraded.refused + upgraded.cut;
    let worst = quantile(&mut gaps, 1.0);
    Ok(vec![
        Row::new(
            format!("no answer after kill -9, {count} units, median"),
            median(&mut gaps),
            None,
            "ms",
            Aim::AtMost(15.0),
        ),
        Row::new("the same, worst", worst, None, "ms", Aim::AtMost(100.0)),
        Row::new("no answer in an upgrade, median", median(&mut pauses), None, "ms", Aim::AtMost(10.0)),
        Row::new("connections refused, or cut by an upgrade", lost as f64, None, "", Aim::AtMost(0.0)),
        Row::new("private memory of the keeper", anonymous(keeper), None, "MB", Aim::AtMost(1.0)),
    ])
}

/// Milliseconds from each moment to the next complete answer.
fn gaps(seen: &Seen, moments: &[i64]) -> Vec<f64> {
    let next = |at: &i64| seen.answers.iter().find(|answer| *answer > at);
    moments.iter().filter_map(|at| Some((next(at)? - at) as f64 / 1e6)).collect()
}

/// The longest pause between two answers in the second after each moment.
fn gaps_after(seen: &Seen, moments: &[i64]) -> Vec<f64> {
    let longest = |at: &i64| {
        let in_time = |pair: &&[i64]| pair[1] > *at && pair[0] < at + 1_000_000_000;
        seen.answers.windows(2).filter(in_time).map(|pair| pair[1] - pair[0]).max()
    };
    moments.iter().filter_map(|at| Some(longest(at)? as f64 / 1e6)).collect()
}

fn anonymous(pid: i32) -> f64 {
    let text = std::fs::read_to_string(Path::new("/proc").join(pid.to_string()).join("smaps_rollup"));
    let text = text.unwrap_or_default();
    let line = text.lines().find_map(|l| l.strip_prefix("Pss_Anon:")).unwrap_or_default();
    line.split_whitespace().next().and_then(|n| n.parse::<f64>().ok()).unwrap_or(0.0) / 1024.0
}
