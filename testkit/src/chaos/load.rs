//! What goes on all the time: a client that asks superd, one that reads the status, and connections to programs.

use super::site::{Door, Trouble, programs};
use super::tally::Tally;
use std::collections::HashMap;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// Between two requests.
const PAUSE: Duration = Duration::from_millis(1);
/// Between two looks at the status, which is larger.
const LOOK: Duration = Duration::from_millis(4);

/// What the threads share with whoever plays.
#[derive(Default)]
pub(super) struct Shared {
    stop: AtomicBool,
    /// Both processes of superd were killed: nobody can answer.
    away: AtomicBool,
    /// Nobody is killed now: whoever is accepted is answered.
    gentle: AtomicBool,
    tally: Mutex<Tally>,
    /// How the run before the one with this pid ended, as superd says.
    exits: Mutex<HashMap<(String, i32), Option<i64>>>,
}

impl Shared {
    /// The counts.
    pub(super) fn tally(&self) -> MutexGuard<'_, Tally> {
        self.tally.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Everything that was seen of exit codes.
    pub(super) fn exits(&self) -> MutexGuard<'_, HashMap<(String, i32), Option<i64>>> {
        self.exits.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// From now on, or no longer, nobody can answer.
    pub(super) fn away(&self, is: bool) {
        self.away.store(is, Ordering::SeqCst);
    }

    /// From now on, or no longer, nobody is killed.
    pub(super) fn gentle(&self, is: bool) {
        self.gentle.store(is, Ordering::SeqCst);
    }

    fn mood(&self) -> Mood {
        Mood { away: self.is_away(), gentle: self.gentle.load(Ordering::SeqCst) }
    }

    fn is_away(&self) -> bool {
        self.away.load(Ordering::SeqCst)
    }

    fn goes_on(&self) -> bool {
        !self.stop.load(Ordering::SeqCst)
    }
}

/// What may happen to a request.
#[derive(Clone, Copy, Debug)]
struct Mood {
    away: bool,
    gentle: bool,
}

impl Mood {
    /// Over a time at whose beginning and end it was so.
    fn and(self, later: Mood) -> Mood {
        Mood { away: self.away || later.away, gentle: self.gentle && later.gentle }
    }
}

/// The threads.
pub(super) struct Load {
    shared: Arc<Shared>,
    threads: Vec<JoinHandle<()>>,
}

impl Load {
    /// All of them begin.
    pub(super) fn start(shared: &Arc<Shared>, unix: &Door, tcp: &Door, server: u16, web: u16) -> Load {
        let (a, b, c, d) = (shared.clone(), shared.clone(), shared.clone(), shared.clone());
        let (unix, tcp) = (unix.clone(), tcp.clone());
        let threads = vec![
            std::thread::spawn(move || poll(&a, &unix)),
            std::thread::spawn(move || look(&b, &tcp)),
            std::thread::spawn(move || connect(&c, server, true)),
            std::thread::spawn(move || connect(&d, web, false)),
        ];
        Load { shared: shared.clone(), threads }
    }
}

impl Drop for Load {
    fn drop(&mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        for thread in self.threads.drain(..) {
            let _ = thread.join();
        }
    }
}

/// The polling client.
fn poll(shared: &Shared, door: &Door) {
    let mut last = Instant::now();
    while shared.goes_on() {
        let mood = shared.mood();
        let answer = door.ask("GET /api/v1/version");
        let mood = mood.and(shared.mood());
        note(shared, answer, mood, door);
        if !mood.away && last.elapsed() > Duration::from_millis(5) {
            shared.tally().took("without an answer (over 5 ms)", last.elapsed());
        }
        last = Instant::now();
        std::thread::sleep(PAUSE);
    }
}

fn note(shared: &Shared, answer: Result<(u16, String), Trouble>, mood: Mood, door: &Door) {
    let mut tally = shared.tally();
    match answer {
        Ok((200, _)) => tally.did("requests answered", 1),
        Ok((status, body)) => tally.wrong("connections refused", &format!("{door:?} says {status}: {body}")),
        Err(_) if mood.away => tally.did("requests while all were dead", 1),
        Err(Trouble::Refused(e)) => tally.wrong("connections refused", &format!("{door:?}: {e}")),
        Err(Trouble::Broken(why)) if mood.gentle => {
            tally.wrong("connections refused", &format!("{door:?}, cut off by an upgrade: {why}"));
        }
        // Accepted by a daemon that was killed.
        Err(Trouble::Broken(_)) => tally.did("requests cut off", 1),
    }
}

/// What superd says about programs, again and again.
fn look(shared: &Shared, door: &Door) {
    while shared.goes_on() {
        let mood = shared.mood();
        match programs(door) {
            Some(programs) => {
                let mut exits = shared.exits();
                for row in &programs.0 {
                    let pid = row["pid"].as_i64().and_then(|p| i32::try_from(p).ok()).unwrap_or(0);
                    let name = row["name"].as_str().unwrap_or_default();
                    if pid != 0 && row["started"] != 0 {
                        exits.insert((name.to_owned(), pid), row["exit"].as_i64());
                    }
                }
            }
            // Why is what `note` wants to know.
            None => note(shared, door.ask("GET /api/v1/version"), mood.and(shared.mood()), door),
        }
        std::thread::sleep(LOOK);
    }
}

/// Connections to a program. Its own socket (`owned`) must always answer, since nobody kills it; a socket that
/// superd holds must always take, and whoever took may be killed.
fn connect(shared: &Shared, port: u16, owned: bool) {
    while shared.goes_on() {
        let away = shared.is_away();
        let (did, wrong) = match hello(port) {
            Ok(()) => (if owned { "connections served" } else { "connections to a held socket" }, None),
            Err(Trouble::Broken(_)) if !owned => ("connections cut off by a kill", None),
            Err(_) if !owned && (away || shared.is_away()) => ("connections while all were dead", None),
            Err(e) => ("connections failed", Some(format!("port {port}, owned {owned}: {e:?}"))),
        };
        let mut tally = shared.tally();
        tally.did(did, 1);
        if let Some(detail) = wrong {
            tally.wrong("connections refused", &detail);
        }
        drop(tally);
        std::thread::sleep(PAUSE * 2);
    }
}

fn hello(port: u16) -> Result<(), Trouble> {
    let broken = |e: std::io::Error| Trouble::Broken(e.to_string());
    let mut stream = TcpStream::connect(("127.0.0.1", port)).map_err(Trouble::Refused)?;
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    stream.write_all(b"hello\n").map_err(broken)?;
    let mut text = String::new();
    stream.read_to_string(&mut text).map_err(broken)?;
    if text == "here\n" { Ok(()) } else { Err(Trouble::Broken(format!("{text:?}"))) }
}
