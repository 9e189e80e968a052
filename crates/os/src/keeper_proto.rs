//! The words between a daemon and its keeper.
//!
//! One seqpacket socket pair; every message is [`SIZE`] bytes: version, kind, and four numbers. (Where many
//! things are told at once it is longer: [`Pile`].) A daemon and a keeper of different builds may meet (after an
//! upgrade), so numbers are pinned, kinds are only ever added, and an unknown kind is skipped.
//!
//! The keeper also holds descriptors for the daemon, each under a [`Key`]: kinds 32 and up. Such a message
//! carries one passenger (SCM_RIGHTS, see [`crate::socket`]). A passenger that nobody wants is closed.
//!
//! The daemon's end is shared by its children until they execute: a child's first act is to send
//! [`ToKeeper::Born`] there, so the keeper always reads a birth before it can see that death.

mod birth;
mod key;
mod many;
#[cfg(test)]
mod tests;

pub(crate) use birth::report;
pub use birth::{GIFTS, Letter, hear_daemon};
pub use key::{Key, Kind};
pub use many::{Heard, MANY, Pile, recv_any};

use crate::errno::retry;
use crate::{poll, process, socket};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd, RawFd};
use std::time::Duration;
use supers_core::exit::Exit;
use supers_core::signal::Signal;

/// Variable in the daemon's environment: the number of the descriptor of its end of the socket.
pub const FD_ENV: &str = "SUPERS_KEEPER_FD";
/// The protocol that this build speaks.
pub const VERSION: u16 = 1;
/// Bytes of a message.
pub const SIZE: usize = 24;
/// Where a daemon that was started from a descriptor (after [`ToKeeper::Upgrade`]) finds that descriptor. It
/// has no more use.
pub const BINARY_PLACE: RawFd = 5;
/// How long a daemon that has been replaced waits for its leave, at most.
const END_WAIT: Duration = Duration::from_secs(30);
/// How long a new daemon waits for the keeper's first word.
const HELLO_WAIT: Duration = Duration::from_secs(10);

/// Said by the keeper.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToDaemon {
    /// The first message to each daemon.
    Hello {
        /// How often the keeper started a daemon, this time included: more than 1 is after a crash.
        starts: u32,
        /// The keeper's process id.
        keeper_pid: i32,
        /// An upgrade was tried, its daemon was not ready in time, and this is the old program again.
        rolled_back: bool,
        /// The keeper understands [`ToKeeper::Inherit`], and newborns that bring what is to be held ([`Letter`]).
        piles: bool,
        /// The keeper understands [`ToKeeper::Prepare`].
        standby: bool,
    },
    /// The first message to a daemon on standby, in place of Hello, which follows when its time has come. The
    /// passenger, if any, is what is held under [`Key::RECORDS`], to be looked at. Answered by [`ToKeeper::Prepared`].
    Prepare,
    /// The answer to [`ToKeeper::Prepare`].
    Prepared {
        /// What became of it.
        standby: Standby,
        /// The number that was asked with.
        number: u64,
    },
    /// A signal was sent to the keeper, and means the daemon.
    Signal {
        /// Which.
        signal: Signal,
        /// Who sent it; 0 is the kernel.
        sender: i32,
    },
    /// A process ended. It is a zombie until the daemon says [`ToKeeper::Ack`]. May come twice.
    Exit {
        /// The process.
        pid: i32,
        /// Its run, as it reported itself.
        run: u64,
        /// How it ended.
        exit: Exit,
    },
    /// Some process may have ended: look at the pidfds, and ask for those that are readable.
    Nudge,
    /// One of the processes that the keeper knows, living or zombie; the answer to [`ToKeeper::List`].
    Living {
        /// The process.
        pid: i32,
        /// Its run.
        run: u64,
    },
    /// The list is complete.
    LivingEnd,
    /// A process that nobody reported (an orphan of some unit) ended and was reaped. Not repeated when
    /// the socket is full.
    Stranger {
        /// The process.
        pid: i32,
        /// How it ended.
        exit: Exit,
    },
    /// A descriptor that was stored rides along. The keeper holds its own copy all the same.
    Held {
        /// The [`Key`] that it was stored under.
        key: u64,
    },
    /// That was all that is held; the answer to [`ToKeeper::Fetch`].
    HeldEnd,
}

/// What became of a daemon on standby.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Standby {
    /// It waits for its Hello.
    Prepared,
    /// There is none: the program can be tried without.
    None,
    /// It ended: the program is no good.
    Ended,
}

/// The keeper's first word to a daemon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Hello {
    /// As in [`ToDaemon::Hello`].
    pub starts: u32,
    /// As in [`ToDaemon::Hello`].
    pub keeper_pid: i32,
    /// As in [`ToDaemon::Hello`].
    pub rolled_back: bool,
    /// As in [`ToDaemon::Hello`].
    pub piles: bool,
    /// As in [`ToDaemon::Hello`].
    pub standby: bool,
}

/// What a daemon hears first.
#[derive(Debug)]
pub enum First {
    /// It is the daemon.
    Hello(Hello),
    /// It is on standby: [`ToDaemon::Prepare`].
    Prepare(Option<OwnedFd>),
}

/// Said by the daemon, or by a child of it that is about to execute.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ToKeeper {
    /// By a child: this process is that run.
    Born {
        /// The run.
        run: u64,
        /// The process.
        pid: i32,
    },
    /// Has this process ended? Answered by [`ToDaemon::Exit`] if so, else not at all.
    Ask {
        /// The process.
        pid: i32,
    },
    /// The end is known: reap the process, now or when it ends.
    Ack {
        /// The process.
        pid: i32,
        /// Its run; an acknowledgement of another run does nothing.
        run: u64,
    },
    /// Which processes are there?
    List,
    /// Everything runs: release a waiting launcher.
    Ready {
        /// Let go of the terminal as well.
        detach: bool,
    },
    /// When this thread of the daemon ends (there can be two), the daemon is dying: the next one may be started, and told when all of this
    /// one is gone. A keeper that does not know the word starts it then.
    Pulse {
        /// Its number.
        thread: i32,
    },
    /// The daemon is about to end on purpose; the keeper ends with this code after it.
    Final {
        /// Exit code, 0 to 255.
        code: i32,
    },
    /// The daemon is about to end on purpose, to be started anew.
    Again,
    /// The passenger is to be held until it is forgotten, in place of what was held under this key. A
    /// run's is dropped with the run's acknowledgement.
    Store {
        /// A [`Key`].
        key: u64,
    },
    /// What is held under this key is to be closed.
    Forget {
        /// A [`Key`].
        key: u64,
    },
    /// What is held? Answered by [`ToDaemon::Held`] as often as needed, then [`ToDaemon::HeldEnd`].
    Fetch,
    /// [`ToKeeper::List`] and [`ToKeeper::Fetch`] in one, answered by piles ([`Heard`]) and the same two ends.
    Inherit,
    /// The passenger is a program. The daemon is about to end on purpose, and the next one is to be that
    /// program; once it is ready, the keeper becomes that program too.
    Upgrade,
    /// The passenger is a program that [`ToKeeper::Upgrade`] will name soon: the keeper starts it as a daemon on
    /// standby, so that less is left to do when nobody answers. Without a passenger it ends what is on standby. Answered
    /// by [`ToDaemon::Prepared`].
    Prepare {
        /// Comes back with the answer.
        number: u64,
    },
    /// By a daemon on standby: it has looked at the records, and waits for its Hello.
    Prepared,
}

/// A message as it travels.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Wire {
    kind: u16,
    a: i32,
    b: u64,
    c: i32,
    d: i32,
}

impl Wire {
    fn pack(self) -> [u8; SIZE] {
        let [v0, v1] = VERSION.to_ne_bytes();
        let [k0, k1] = self.kind.to_ne_bytes();
        let [a0, a1, a2, a3] = self.a.to_ne_bytes();
        let [b0, b1, b2, b3, b4, b5, b6, b7] = self.b.to_ne_bytes();
        let [c0, c1, c2, c3] = self.c.to_ne_bytes();
        let [d0, d1, d2, d3] = self.d.to_ne_bytes();
        [v0, v1, k0, k1, a0, a1, a2, a3, b0, b1, b2, b3, b4, b5, b6, b7, c0, c1, c2, c3, d0, d1, d2, d3]
    }

    fn unpack(m: &[u8; SIZE]) -> Wire {
        Wire {
            kind: u16::from_ne_bytes([m[2], m[3]]),
            a: i32::from_ne_bytes([m[4], m[5], m[6], m[7]]),
            b: u64::from_ne_bytes([m[8], m[9], m[10], m[11], m[12], m[13], m[14], m[15]]),
            c: i32::from_ne_bytes([m[16], m[17], m[18], m[19]]),
            d: i32::from_ne_bytes([m[20], m[21], m[22], m[23]]),
        }
    }
}

/// An end as two numbers: how (0 unknown, 1 code, 2 signal, 3 signal with core) and which.
fn pack_exit(exit: Exit) -> (i32, i32) {
    match exit {
        Exit::Unknown => (0, 0),
        Exit::Code(code) => (1, i32::from(code)),
        Exit::Signal { signal, core: false } => (2, signal.number()),
        Exit::Signal { signal, core: true } => (3, signal.number()),
    }
}

fn unpack_exit(how: i32, which: i32) -> Exit {
    match (how, u8::try_from(which).ok(), Signal::from_number(which.into())) {
        (1, Some(code), _) => Exit::Code(code),
        (2 | 3, _, Some(signal)) => Exit::Signal { signal, core: how == 3 },
        _ => Exit::Unknown,
    }
}

impl ToDaemon {
    /// The message as bytes.
    pub fn encode(self) -> [u8; SIZE] {
        let (kind, a, b, c, d) = match self {
            ToDaemon::Hello { starts, keeper_pid, rolled_back, piles, standby } => {
                let understood = i32::from(piles) | i32::from(standby) << 1;
                (1, keeper_pid, u64::from(starts), i32::from(rolled_back), understood)
            }
            ToDaemon::Signal { signal, sender } => (2, sender, 0, signal.number(), 0),
            ToDaemon::Exit { pid, run, exit } => {
                let (how, which) = pack_exit(exit);
                (3, pid, run, how, which)
            }
            ToDaemon::Nudge => (4, 0, 0, 0, 0),
            ToDaemon::Living { pid, run } => (5, pid, run, 0, 0),
            ToDaemon::LivingEnd => (6, 0, 0, 0, 0),
            ToDaemon::Stranger { pid, exit } => {
                let (how, which) = pack_exit(exit);
                (7, pid, 0, how, which)
            }
            ToDaemon::Held { key } => (32, 0, key, 0, 0),
            ToDaemon::HeldEnd => (33, 0, 0, 0, 0),
            ToDaemon::Prepare => (36, 0, 0, 0, 0),
            ToDaemon::Prepared { standby, number } => {
                let standby = match standby {
                    Standby::None => 0,
                    Standby::Prepared => 1,
                    Standby::Ended => 2,
                };
                (37, standby, number, 0, 0)
            }
        };
        Wire { kind, a, b, c, d }.pack()
    }

    /// The message in these bytes; `None` for a kind that this build does not know.
    pub fn decode(bytes: &[u8; SIZE]) -> Option<ToDaemon> {
        let Wire { kind, a, b, c, d } = Wire::unpack(bytes);
        Some(match kind {
            1 => ToDaemon::Hello {
                starts: u32::try_from(b).ok()?,
                keeper_pid: a,
                rolled_back: c & 1 != 0,
                piles: d & 1 != 0,
                standby: d & 2 != 0,
            },
            2 => ToDaemon::Signal { signal: Signal::from_number(c.into())?, sender: a },
            3 => ToDaemon::Exit { pid: a, run: b, exit: unpack_exit(c, d) },
            4 => ToDaemon::Nudge,
            5 => ToDaemon::Living { pid: a, run: b },
            6 => ToDaemon::LivingEnd,
            7 => ToDaemon::Stranger { pid: a, exit: unpack_exit(c, d) },
            32 => ToDaemon::Held { key: b },
            33 => ToDaemon::HeldEnd,
            36 => ToDaemon::Prepare,
            37 => ToDaemon::Prepared {
                standby: match a {
                    1 => Standby::Prepared,
                    2 => Standby::Ended,
                    _ => Standby::None,
                },
                number: b,
            },
            _ => return None,
        })
    }
}

impl ToKeeper {
    /// The message as bytes. Allocates nothing: a child calls it between clone and exec.
    pub fn encode(self) -> [u8; SIZE] {
        let (kind, a, b) = match self {
            ToKeeper::Born { run, pid } => (1, pid, run),
            ToKeeper::Ask { pid } => (2, pid, 0),
            ToKeeper::Ack { pid, run } => (3, pid, run),
            ToKeeper::List => (4, 0, 0),
            ToKeeper::Ready { detach } => (5, i32::from(detach), 0),
            ToKeeper::Final { code } => (6, code, 0),
            ToKeeper::Again => (7, 0, 0),
            ToKeeper::Store { key } => (32, 0, key),
            ToKeeper::Forget { key } => (33, 0, key),
            ToKeeper::Fetch => (34, 0, 0),
            ToKeeper::Upgrade => (35, 0, 0),
            ToKeeper::Inherit => (36, 0, 0),
            ToKeeper::Prepare { number } => (37, 0, number),
            ToKeeper::Prepared => (38, 0, 0),
            ToKeeper::Pulse { thread } => (39, thread, 0),
        };
        Wire { kind, a, b, ..Wire::default() }.pack()
    }

    /// The message in these bytes; `None` for a kind that this build does not know.
    pub fn decode(bytes: &[u8; SIZE]) -> Option<ToKeeper> {
        let Wire { kind, a, b, .. } = Wire::unpack(bytes);
        Some(match kind {
            1 => ToKeeper::Born { run: b, pid: a },
            2 => ToKeeper::Ask { pid: a },
            3 => ToKeeper::Ack { pid: a, run: b },
            4 => ToKeeper::List,
            5 => ToKeeper::Ready { detach: a != 0 },
            6 => ToKeeper::Final { code: a },
            7 => ToKeeper::Again,
            32 => ToKeeper::Store { key: b },
            33 => ToKeeper::Forget { key: b },
            34 => ToKeeper::Fetch,
            35 => ToKeeper::Upgrade,
            36 => ToKeeper::Inherit,
            37 => ToKeeper::Prepare { number: b },
            38 => ToKeeper::Prepared,
            39 => ToKeeper::Pulse { thread: a },
            _ => return None,
        })
    }
}

/// Takes over the end of the socket that the keeper left for this process: non-blocking, and not for
/// our own children to keep.
///
/// # Errors
/// There is no keeper: the variable is missing or names no open descriptor.
pub fn inherited_socket() -> io::Result<OwnedFd> {
    let number = std::env::var(FD_ENV).ok().and_then(|n| n.parse().ok());
    let number = number.ok_or_else(|| io::Error::other(format!("no keeper: {FD_ENV} is not set")))?;
    let fd = process::adopt_fd(number)?;
    drop(process::adopt_fd(BINARY_PLACE));
    crate::pipe::set_nonblocking(&fd)?;
    Ok(fd)
}

/// Waits for the keeper's first word.
///
/// # Errors
/// It says nothing in ten seconds, something else, or speaks another version.
pub fn wait_first(fd: BorrowedFd<'_>) -> io::Result<First> {
    if !poll::wait_readable(fd, Some(HELLO_WAIT))? {
        return Err(io::Error::new(io::ErrorKind::TimedOut, "the keeper says nothing"));
    }
    let mut bytes = [0u8; SIZE];
    let (n, passenger) = socket::recv_fd(fd, &mut bytes)?;
    if n == 0 {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    let version = u16::from_ne_bytes([bytes[0], bytes[1]]);
    match ToDaemon::decode(&bytes).filter(|_| n == SIZE && version == VERSION) {
        Some(ToDaemon::Hello { starts, keeper_pid, rolled_back, piles, standby }) => {
            Ok(First::Hello(Hello { starts, keeper_pid, rolled_back, piles, standby }))
        }
        Some(ToDaemon::Prepare) => Ok(First::Prepare(passenger)),
        _ => Err(io::Error::other(format!("the keeper speaks version {version}, this program {VERSION}"))),
    }
}

/// Waits until the keeper hears this process no more, whatever it says until then.
///
/// # Errors
/// `ConnectionReset`: the keeper died before it had read what it was told last.
pub fn wait_for_the_end(fd: BorrowedFd<'_>) -> io::Result<()> {
    while poll::wait_readable(fd, Some(END_WAIT)).unwrap_or(false) {
        // Before anything is received, which would hear of it in place of this.
        socket::take_error(fd)?;
        match recv(fd) {
            Ok(Some(_)) => {}
            Err(e) if e.kind() == io::ErrorKind::WouldBlock => {}
            Ok(None) | Err(_) => break,
        }
    }
    Ok(())
}

/// Says something to the keeper.
///
/// # Errors
/// `WouldBlock` when the socket is full; anything else means that the keeper is gone.
pub fn send(fd: BorrowedFd<'_>, message: &ToKeeper) -> io::Result<()> {
    retry(|| socket::send(fd, &message.encode()))
}

/// Says something to the keeper, with a passenger; the keeper gets a copy of it.
///
/// # Errors
/// As for [`send`]. ETOOMANYREFS ([`is_crowded`]): for the moment more descriptors are under way than this
/// user may have open; not for root.
pub fn send_fd(fd: BorrowedFd<'_>, message: &ToKeeper, passenger: BorrowedFd<'_>) -> io::Result<()> {
    with_passenger(fd, &message.encode(), passenger)
}

/// The keeper's next message; `None` when the keeper is gone. A passenger is closed.
///
/// # Errors
/// `WouldBlock` when there is none yet.
pub fn recv(fd: BorrowedFd<'_>) -> io::Result<Option<ToDaemon>> {
    Ok(recv_fd(fd)?.map(|(message, _)| message))
}

/// The keeper's next message with its passenger (close-on-exec); `None` when the keeper is gone.
///
/// # Errors
/// `WouldBlock` when there is none yet.
pub fn recv_fd(fd: BorrowedFd<'_>) -> io::Result<Option<(ToDaemon, Option<OwnedFd>)>> {
    next(fd, ToDaemon::decode)
}

/// The keeper's side of [`send`].
///
/// # Errors
/// `WouldBlock` when the socket is full; anything else means that the daemon is gone.
pub fn tell_daemon(fd: BorrowedFd<'_>, message: &ToDaemon) -> io::Result<()> {
    retry(|| socket::send(fd, &message.encode()))
}

/// The keeper's side of [`send_fd`].
///
/// # Errors
/// As for [`send_fd`].
pub fn tell_daemon_fd(fd: BorrowedFd<'_>, message: &ToDaemon, passenger: BorrowedFd<'_>) -> io::Result<()> {
    with_passenger(fd, &message.encode(), passenger)
}

fn with_passenger(fd: BorrowedFd<'_>, message: &[u8; SIZE], passenger: BorrowedFd<'_>) -> io::Result<()> {
    retry(|| socket::send_fds(fd, message, &[passenger]))
}

/// A passenger has to wait until others have arrived. The socket does not tell when that is so.
pub fn is_crowded(error: &io::Error) -> bool {
    error.raw_os_error() == Some(libc::ETOOMANYREFS)
}

/// The process at the other end is gone.
pub fn is_gone(error: &io::Error) -> bool {
    use io::ErrorKind::{BrokenPipe, ConnectionReset, NotConnected, UnexpectedEof};
    matches!(error.kind(), BrokenPipe | ConnectionReset | NotConnected | UnexpectedEof)
}

/// The next message that this build understands.
fn next<T>(
    fd: BorrowedFd<'_>,
    decode: impl Fn(&[u8; SIZE]) -> Option<T>,
) -> io::Result<Option<(T, Option<OwnedFd>)>> {
    let mut bytes = [0u8; SIZE];
    loop {
        match retry(|| socket::recv_fd(fd.as_fd(), &mut bytes))? {
            (0, _) => return Ok(None),
            (SIZE, passenger) => {
                if let Some(message) = decode(&bytes) {
                    return Ok(Some((message, passenger)));
                }
            }
            _ => {}
        }
    }
}
