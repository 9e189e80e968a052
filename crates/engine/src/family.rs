//! How processes are born and buried: below a keeper, or as our own children.
//!
//! A pidfd wakes the daemon when its process has ended. Alone, the daemon is the parent and looks at
//! the zombie itself. Below a keeper every process is the keeper's child, and the keeper keeps the
//! zombie until `Family::settle`; the daemon reads how it ended from the zombie's own stat line, one
//! hop less than through the keeper. That line shows 0 to whoever may not see it, so a 0 is not
//! believed: for those the keeper is asked. The keeper also tells of each end by itself; what is known
//! already is dropped.

use crate::clock;
use crate::ends::{believable, foreign_exit};
use crate::failpoint::hit;
use crate::held::{Holder, Inheritance, insist};
use std::collections::{HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;
use supers_core::exit::Exit;
use supers_core::ids::{Pid, RunId};
use supers_core::signal::Signal;
use supers_os::keeper_proto::{self, First, Heard, Key, Standby, ToDaemon, ToKeeper};
use supers_os::poll::{self, Epoll, Event, Interest};
use supers_os::signals::{self, SignalFd};
use supers_os::spawn::Method;
use supers_os::{process, reap};
use tokio::io::unix::AsyncFd;

const KEEPER: u64 = u64::MAX;
const SIGNALS: u64 = u64::MAX - 1;
/// How long the keeper may take to hand everything over.
const ANSWER_WAIT: Duration = Duration::from_secs(10);

/// Signals that mean something to the daemon.
const HANDLED: [Signal; 5] = [Signal::TERM, Signal::INT, Signal::QUIT, Signal::HUP, Signal::USR2];

/// News about processes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Tidings {
    /// A process ended; it is a zombie until it is settled.
    Ended { run: RunId, pid: Pid, exit: Exit },
    /// A signal for the daemon.
    Signal(Signal),
    /// The keeper reaped a process that nobody knows: an orphan of some unit.
    Stranger { pid: Pid, exit: Exit },
    /// What became of the next program, on standby.
    Prepared(Standby, u64),
    /// The keeper died.
    KeeperGone,
}

/// Parent, children, and the descriptors that tell of them.
pub struct Family {
    keeper: Option<Keeper>,
    signals: SignalFd,
    /// What wakes the daemon: the keeper's socket, signals, and pidfds.
    main: Option<AsyncFd<Epoll>>,
    epoll: Option<Epoll>,
    watched: HashMap<RunId, Watched>,
    /// The way to the keeper's store.
    holder: Holder,
    /// News that came while something else was waited for.
    early: Vec<Tidings>,
    /// The keeper died: its children are somebody else's, and how they end cannot be known for sure.
    orphaned: bool,
}

/// A process that is looked after.
struct Watched {
    pid: Pid,
    /// For processes that are not the keeper's children: how they ended is asked of this.
    foreign: Option<OwnedFd>,
}

struct Keeper {
    socket: OwnedFd,
    starts: u32,
    pid: i32,
    rolled_back: bool,
    /// It tells of many things at once.
    piles: bool,
    /// It can have another daemon on standby.
    standby: bool,
    /// It was asked for what is left.
    asked: bool,
    /// Messages that found the socket full, in order. Bounded by the number of living runs.
    unsent: VecDeque<ToKeeper>,
    /// It is watched for room.
    waits: bool,
    /// See [`Family::be_missed_early`].
    high: Option<OwnedFd>,
}

/// Says the exit code to the keeper at the very end.
pub struct Farewell(Option<OwnedFd>);

/// Says once that everything is ready.
pub struct Ready {
    socket: Option<OwnedFd>,
    detach: bool,
}

impl Farewell {
    /// The keeper starts a fresh daemon as soon as this one is gone. False without a keeper: whoever is alone
    /// must begin anew by itself.
    pub fn again(&self) -> bool {
        self.insist(&ToKeeper::Again)
    }

    /// The keeper ends with this code as soon as the daemon is gone.
    pub fn say(&self, code: i32) {
        // A keeper that is gone needs no farewell.
        self.insist(&ToKeeper::Final { code });
    }

    fn insist(&self, message: &ToKeeper) -> bool {
        let say = |socket: BorrowedFd<'_>| keeper_proto::send(socket, message);
        self.0.as_ref().is_some_and(|socket| insist(socket.as_fd(), say).is_ok())
    }
}

impl Ready {
    /// Releases a waiting launcher; with `detach`, both processes let go of the terminal.
    pub fn say(&mut self) {
        if let Some(socket) = self.socket.take() {
            let ready = ToKeeper::Ready { detach: self.detach };
            let _ = insist(socket.as_fd(), |socket| keeper_proto::send(socket, &ready));
            for thread in crate::pulse::threads() {
                let pulse = ToKeeper::Pulse { thread };
                let _ = insist(socket.as_fd(), |socket| keeper_proto::send(socket, &pulse));
            }
        }
        if self.detach {
            let _ = process::detach_stdio();
        }
    }
}

impl Family {
    /// Below the keeper that started this process: takes over its socket and waits for its hello. On standby it calls
    /// `prepare` first, with the open records of the daemon that is at work, as far as the keeper holds them.
    ///
    /// # Errors
    /// There is no keeper, or it speaks another version.
    pub fn under_keeper(prepare: impl FnOnce(Option<OwnedFd>)) -> io::Result<Family> {
        let socket = keeper_proto::inherited_socket()?;
        let mut first = keeper_proto::wait_first(socket.as_fd())?;
        if let First::Prepare(records) = first {
            prepare(records);
            keeper_proto::send(socket.as_fd(), &ToKeeper::Prepared)?;
            first = keeper_proto::wait_first(socket.as_fd())?;
        }
        let First::Hello(keeper_proto::Hello { starts, keeper_pid: pid, rolled_back, piles, standby }) =
            first
        else {
            return Err(io::Error::other("the keeper is confused"));
        };
        let (asked, unsent, waits, high) = (false, VecDeque::new(), false, None);
        Family::new(Some(Keeper {
            socket,
            starts,
            pid,
            rolled_back,
            piles,
            standby,
            asked,
            unsent,
            waits,
            high,
        }))
    }

    /// Without a keeper.
    ///
    /// # Errors
    /// The kernel refuses a descriptor.
    pub fn alone() -> io::Result<Family> {
        Family::new(None)
    }

    fn new(keeper: Option<Keeper>) -> io::Result<Family> {
        signals::ignore(Signal::PIPE)?;
        // The daemon is in a background group of the terminal; with `stty tostop` its log would stop it.
        signals::ignore(Signal::TTOU)?;
        let signals = SignalFd::new(&HANDLED)?;
        let epoll = Epoll::new()?;
        epoll.add(signals.as_fd(), SIGNALS, Interest::Read)?;
        if let Some(k) = &keeper {
            epoll.add(k.socket.as_fd(), KEEPER, Interest::Read)?;
        }
        let (watched, early) = (HashMap::new(), Vec::new());
        let holder = Holder::new(keeper.as_ref().and_then(|k| k.socket.try_clone().ok()));
        Ok(Family {
            keeper,
            signals,
            main: None,
            epoll: Some(epoll),
            watched,
            holder,
            early,
            orphaned: false,
        })
    }

    /// How often the keeper started the daemon; 0 without one.
    pub fn starts(&self) -> u32 {
        self.keeper.as_ref().map_or(0, |k| k.starts)
    }

    /// This daemon takes the place of a new version that did not answer in time.
    pub fn rolled_back(&self) -> bool {
        self.keeper.as_ref().is_some_and(|k| k.rolled_back)
    }

    /// The way to the keeper's store.
    pub fn holder(&self) -> Holder {
        self.holder.clone()
    }

    /// *The* pid: the keeper's, or our own.
    pub fn pid(&self) -> i32 {
        self.keeper.as_ref().map_or_else(process::pid, |k| k.pid)
    }

    /// For the end of the process.
    pub fn farewell(&self) -> Farewell {
        Farewell(self.socket_copy())
    }

    /// For the moment when everything runs.
    pub fn ready(&self, detach: bool) -> Ready {
        Ready { socket: self.socket_copy(), detach }
    }

    fn socket_copy(&self) -> Option<OwnedFd> {
        self.keeper.as_ref().and_then(|k| k.socket.try_clone().ok())
    }

    pub(crate) fn has_keeper(&self) -> bool {
        self.keeper.is_some() && !self.orphaned
    }

    pub(crate) fn method(&self) -> Method {
        if self.keeper.is_some() { Method::Keeper } else { Method::Own }
    }

    /// A newborn may bring what the keeper is to hold.
    pub(crate) fn takes_gifts(&self) -> bool {
        self.keeper.as_ref().is_some_and(|k| k.piles)
    }

    pub(crate) fn report_fd(&self) -> Option<RawFd> {
        self.keeper.as_ref().map(|k| k.socket.as_raw_fd())
    }

    /// Joins the runtime of the calling thread.
    // The replacement is unsafe because of types that could close the descriptor or name another one;
    // Epoll owns its descriptor for its whole life.
    #[allow(deprecated)]
    pub(crate) fn join_runtime(&mut self) -> io::Result<()> {
        if let Some(epoll) = self.epoll.take() {
            self.main = Some(AsyncFd::new(epoll)?);
        }
        Ok(())
    }

    /// Completes when [`Family::take`] has something to give.
    pub(crate) async fn readable(&self) {
        if !self.early.is_empty() {
            return;
        }
        match &self.main {
            Some(main) => match main.readable().await {
                Ok(mut guard) => guard.clear_ready(),
                Err(_) => std::future::pending().await,
            },
            None => std::future::pending().await,
        }
    }

    /// Gives back what [`Family::take`] gave, for the next time.
    pub(crate) fn put_back(&mut self, tidings: Vec<Tidings>) {
        self.early.extend(tidings);
    }

    /// Looks after a process from now on.
    pub(crate) fn watch(&mut self, run: RunId, pid: Pid, pidfd: &OwnedFd) -> io::Result<()> {
        self.watched.insert(run, Watched { pid, foreign: None });
        // Told once, even when it has ended already: the zombie stays readable until it is settled.
        self.main()?.add(pidfd.as_fd(), run.0, Interest::ReadOnce)
    }

    /// The same for a process that is neither ours nor the keeper's child.
    pub(crate) fn watch_foreign(&mut self, run: RunId, pid: Pid, pidfd: &OwnedFd) -> io::Result<()> {
        let copy = pidfd.try_clone()?;
        self.watched.insert(run, Watched { pid, foreign: Some(copy) });
        self.main()?.add(pidfd.as_fd(), run.0, Interest::ReadOnce)
    }

    fn main(&self) -> io::Result<&Epoll> {
        let main = self.main.as_ref().ok_or_else(|| io::Error::other("the family has no runtime yet"))?;
        Ok(main.get_ref())
    }

    /// Its end is known.
    pub(crate) fn unwatch(&mut self, run: RunId, pidfd: &OwnedFd) {
        self.watched.remove(&run);
        if let Some(main) = &self.main {
            // It was added once and is open still; an error could only mean that it is gone.
            let _ = main.get_ref().remove(pidfd.as_fd());
        }
    }

    /// Lets the zombie go.
    pub(crate) fn settle(&mut self, run: RunId, pid: Pid, foreign: bool) -> io::Result<()> {
        match &mut self.keeper {
            // Its parent reaps it. The keeper lets go of what it held for the run.
            _ if foreign => self.send(ToKeeper::Forget { key: Key::run(run.0).0 }),
            // Whoever took the keeper's children over reaps them.
            Some(_) if self.orphaned => Ok(()),
            Some(_) => self.send(ToKeeper::Ack { pid: pid.0, run: run.0 }),
            None => reap::reap(pid).map(|_| ()),
        }
    }

    /// Asks the keeper for what a daemon before this one left; [`Family::inherit`] takes the answer.
    ///
    /// # Errors
    /// The keeper is gone.
    pub fn ask_for_all(&mut self) -> io::Result<()> {
        let Some(keeper) = self.keeper.as_mut().filter(|keeper| !keeper.asked) else { return Ok(()) };
        let socket = keeper.socket.as_fd();
        keeper.asked = true;
        hit("takeover.hello");
        let asked = match keeper.piles {
            true => keeper_proto::send(socket, &ToKeeper::Inherit),
            false => keeper_proto::send(socket, &ToKeeper::List)
                .and_then(|()| keeper_proto::send(socket, &ToKeeper::Fetch)),
        };
        match asked {
            // There is no answer to wait for, which is seen there.
            Err(e) if keeper_proto::is_gone(&e) => Ok(()),
            other => other,
        }
    }

    /// What a daemon before this one left with the keeper, as far as it is needed to answer anybody;
    /// `inherit_rest` brings the rest. Waits for the answer; other news that comes meanwhile is kept.
    ///
    /// # Errors
    /// The keeper does not answer, or is gone.
    pub fn inherit(&mut self) -> io::Result<Inheritance> {
        self.ask_for_all()?;
        let mut found = Inheritance { listed: self.keeper.is_none(), ..Inheritance::default() };
        found.fetched = found.listed;
        let begins_with_units = |found: &Inheritance| found.held.has_some_of_units();
        self.receive(&mut found, |found| found.listed && (found.fetched || begins_with_units(found)))?;
        Ok(found)
    }

    /// The descriptors of units, which may be thousands.
    ///
    /// # Errors
    /// The keeper does not answer.
    pub(crate) fn inherit_rest(&mut self, found: &mut Inheritance) -> io::Result<()> {
        self.receive(found, |found| found.fetched)
    }

    /// What the keeper tells, until it is enough or the keeper is gone. Then what it did not tell is found by its
    /// name or in the records, and this process takes its place.
    fn receive(&mut self, found: &mut Inheritance, enough: impl Fn(&Inheritance) -> bool) -> io::Result<()> {
        match self.receive_all(found, enough) {
            Err(e) if keeper_proto::is_gone(&e) => {
                found.no_more();
                let mut news = std::mem::take(&mut self.early);
                self.keeper_is_gone(&mut news);
                self.early = news;
                Ok(())
            }
            other => other,
        }
    }

    fn keeper_is_gone(&mut self, news: &mut Vec<Tidings>) {
        let epoll = self.main.as_ref().map(AsyncFd::get_ref).or(self.epoll.as_ref());
        if let (Some(epoll), Some(keeper)) = (epoll, &self.keeper) {
            let _ = epoll.remove(keeper.socket.as_fd());
        }
        self.orphaned = true;
        news.push(Tidings::KeeperGone);
        self.unanswered(news);
    }

    fn receive_all(
        &mut self,
        found: &mut Inheritance,
        enough: impl Fn(&Inheritance) -> bool,
    ) -> io::Result<()> {
        let Some(keeper) = &self.keeper else { return Ok(()) };
        let socket = keeper.socket.as_fd();
        let until = clock::now().mono + ANSWER_WAIT;
        while !enough(found) {
            match keeper_proto::recv_any(socket) {
                Ok(Some(Heard::Word(other, passenger))) => {
                    if let Some(other) = found.take_word(other, passenger) {
                        self.early.extend(translate(other));
                    }
                }
                Ok(Some(many)) => found.take_many(many),
                Ok(None) => return Err(io::ErrorKind::UnexpectedEof.into()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => {
                    let left = until.since(clock::now().mono);
                    if !poll::wait_readable(socket, Some(left))? {
                        return Err(io::ErrorKind::TimedOut.into());
                    }
                }
                Err(e) => return Err(e),
            }
        }
        Ok(())
    }

    /// Gives our end of the keeper's socket a second, high number. A process that is killed lets its descriptors
    /// go from the highest to the lowest (which nobody promises, and kernels since 4.4 do); with thousands of
    /// them that takes milliseconds, and the keeper starts the next daemon when this one is let go.
    pub(crate) fn be_missed_early(&mut self) {
        if let Some(keeper) = &mut self.keeper {
            keeper.high = process::copy_high(keeper.socket.as_fd()).ok();
        }
    }

    /// Has the keeper start this program on standby; without one it ends what is on standby. False when there is
    /// nothing to wait for.
    pub(crate) fn prepare(&self, binary: Option<BorrowedFd<'_>>, number: u64) -> bool {
        let Some(keeper) = self.keeper.as_ref().filter(|keeper| keeper.standby && !self.orphaned) else {
            return false;
        };
        let said = insist(keeper.socket.as_fd(), |socket| match binary {
            Some(binary) => keeper_proto::send_fd(socket, &ToKeeper::Prepare { number }, binary),
            None => keeper_proto::send(socket, &ToKeeper::Prepare { number }),
        });
        said.is_ok()
    }

    fn send(&mut self, message: ToKeeper) -> io::Result<()> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        keeper.unsent.push_back(message);
        self.flush()
    }

    /// All is over, and after this the records go: the keeper, which obeys when this process has ended, hears first
    /// whether another daemon follows. One without records, that nobody asked for, would start everything anew.
    pub(crate) fn say_all_is_over(&mut self, again: bool) {
        let Some(keeper) = &mut self.keeper else { return };
        let last = if again { ToKeeper::Again } else { ToKeeper::Final { code: 0 } };
        for message in keeper.unsent.drain(..).chain([last]) {
            // A keeper that is gone needs no farewell.
            let _ = insist(keeper.socket.as_fd(), |socket| keeper_proto::send(socket, &message));
        }
    }

    /// Sends what waits, until the socket is full; then waits for room.
    fn flush(&mut self) -> io::Result<()> {
        let Some(keeper) = &mut self.keeper else { return Ok(()) };
        while let Some(message) = keeper.unsent.front() {
            match keeper_proto::send(keeper.socket.as_fd(), message) {
                Ok(()) => drop(keeper.unsent.pop_front()),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) => return Err(e),
            }
        }
        let waits = !keeper.unsent.is_empty();
        let interest = if waits { Interest::ReadWrite } else { Interest::Read };
        match &self.main {
            Some(main) if keeper.waits != waits => {
                main.get_ref().modify(keeper.socket.as_fd(), KEEPER, interest)?;
                keeper.waits = waits;
                Ok(())
            }
            Some(_) | None => Ok(()),
        }
    }

    /// All news there is.
    pub(crate) fn take(&mut self) -> Vec<Tidings> {
        let mut news = std::mem::take(&mut self.early);
        let mut events = [Event::default(); 64];
        loop {
            let n = match &self.main {
                Some(main) => main.get_ref().wait(&mut events, Some(Duration::ZERO)).unwrap_or(0),
                None => 0,
            };
            for event in &events[..n] {
                match event.token() {
                    KEEPER => self.hear_keeper(&mut news),
                    SIGNALS => self.hear_signals(&mut news),
                    run => self.ended(RunId(run), &mut news),
                }
            }
            // All that there was; what comes from here on wakes the daemon again.
            if n < events.len() {
                break;
            }
        }
        news
    }

    fn hear_keeper(&mut self, news: &mut Vec<Tidings>) {
        let _ = self.flush();
        let Some(keeper) = &mut self.keeper else { return };
        loop {
            match keeper_proto::recv(keeper.socket.as_fd()) {
                Ok(Some(message)) => news.extend(translate(message)),
                Err(e) if e.kind() == io::ErrorKind::WouldBlock => break,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Ok(None) | Err(_) => {
                    self.keeper_is_gone(news);
                    break;
                }
            }
        }
    }

    /// Ends that the keeper was asked about and cannot tell any more.
    fn unanswered(&self, news: &mut Vec<Tidings>) {
        for (run, w) in self.watched.iter().filter(|(_, w)| w.foreign.is_none()) {
            let exit = match process::zombie_exit(w.pid.0) {
                Ok(None) => continue,
                Ok(Some(exit)) => believable(exit).unwrap_or(Exit::Unknown),
                Err(_) => Exit::Unknown,
            };
            news.push(Tidings::Ended { run: *run, pid: w.pid, exit });
        }
    }

    fn hear_signals(&mut self, news: &mut Vec<Tidings>) {
        while let Ok(Some(info)) = self.signals.read() {
            news.push(Tidings::Signal(info.signal));
        }
    }

    /// A pidfd is readable.
    fn ended(&mut self, run: RunId, news: &mut Vec<Tidings>) {
        let Some(watched) = self.watched.get(&run) else { return };
        let pid = watched.pid;
        let exit = match (&watched.foreign, &self.keeper) {
            (Some(pidfd), _) => match foreign_exit(pid, pidfd) {
                Some(exit) => Some(exit),
                None => {
                    // Somebody else's zombie, which does not tell us: its parent's reaping does.
                    let again = self.main().and_then(|m| m.modify(pidfd.as_fd(), run.0, Interest::EndOnce));
                    if again.is_err() {
                        news.push(Tidings::Ended { run, pid, exit: Exit::Unknown });
                    }
                    return;
                }
            },
            (None, None) => Some(reap::peek(pid).ok().flatten().unwrap_or(Exit::Unknown)),
            (None, Some(_)) if self.orphaned => {
                Some(process::zombie_exit(pid.0).ok().flatten().and_then(believable).unwrap_or(Exit::Unknown))
            }
            // A stat line that may not be seen shows 0.
            (None, Some(_)) => process::zombie_exit(pid.0).ok().flatten().filter(|e| *e != Exit::Code(0)),
        };
        match exit {
            Some(exit) => news.push(Tidings::Ended { run, pid, exit }),
            None => {
                // A full socket keeps the question until there is room; a dead keeper is told otherwise.
                let _ = self.send(ToKeeper::Ask { pid: pid.0 });
            }
        }
    }
}

/// The keeper's words in ours.
fn translate(message: ToDaemon) -> Option<Tidings> {
    match message {
        ToDaemon::Exit { pid, run, exit } => Some(Tidings::Ended { run: RunId(run), pid: Pid(pid), exit }),
        ToDaemon::Stranger { pid, exit } => Some(Tidings::Stranger { pid: Pid(pid), exit }),
        ToDaemon::Signal { signal, .. } => Some(Tidings::Signal(signal)),
        // The pidfds tell of ends whose signals came together.
        ToDaemon::Nudge | ToDaemon::Hello { .. } | ToDaemon::Living { .. } | ToDaemon::LivingEnd => None,
        ToDaemon::Held { .. } | ToDaemon::HeldEnd | ToDaemon::Prepare => None,
        ToDaemon::Prepared { standby, number } => Some(Tidings::Prepared(standby, number)),
    }
}
