//! The standard inputs of children, written without waiting and without a task for each.
//!
//! What a pipe does not take at once waits here, and the pipe is looked after by an epoll until it is
//! through; a child whose input is idle costs nothing. A child that never reads fills its own pipe and its
//! own room, and nobody else's.

use crate::bus::{Rest, RestAt, TextChange};
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;
use supers_core::ids::RunId;
use supers_core::inside::StdinDone;
use supers_os::poll::{Epoll, Event, Interest};
use tokio::io::unix::AsyncFd;

/// So many bytes may wait for a child before more is refused ([`StdinDone::Full`]). One text alone may be
/// longer than that: it is taken whole when nothing else waits, so no more than the room and one text (as
/// long as its door allows) ever waits.
pub const ROOM: usize = 64 << 10;
/// What is no longer than that is written to a pipe at one go or not at all (POSIX; Linux has 4096).
const PIPE_BUF: usize = 4096;
/// At most so many writes to one pipe in a row; then others have their turn.
const WRITES: usize = 16;

/// The writing ends of all pipes.
pub struct Stdins {
    epoll: AsyncFd<Epoll>,
    pipes: HashMap<RunId, Pipe>,
    /// Texts that wait are written down: those of these runs are to be written down anew.
    changed: Option<BTreeSet<RunId>>,
    /// Runs with a text that is written down.
    written: BTreeSet<RunId>,
}

struct Pipe {
    fd: OwnedFd,
    waiting: VecDeque<u8>,
    /// It is in the epoll.
    watched: bool,
    /// What waits here is text that is to outlive the daemon, and no event.
    kept: bool,
    /// Something was added since it was written down.
    grown: bool,
    /// As it was written down last.
    at: RestAt,
}

/// What came of [`Stdins::flush`].
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Flushed {
    /// Who closed its input meanwhile; forgotten.
    pub broken: Vec<RunId>,
    /// For whom nothing waits any more.
    pub through: Vec<RunId>,
}

impl Stdins {
    /// None yet. Belongs to the runtime of the calling thread.
    ///
    /// # Errors
    /// The kernel refuses a descriptor, or there is no runtime.
    // The replacement is unsafe because of types that could close the descriptor or name another one;
    // Epoll owns its descriptor for its whole life.
    #[allow(deprecated)]
    pub fn new() -> io::Result<Stdins> {
        let (epoll, pipes) = (AsyncFd::new(Epoll::new()?)?, HashMap::new());
        Ok(Stdins { epoll, pipes, changed: None, written: BTreeSet::new() })
    }

    /// The writing ends.
    pub fn inputs(&self) -> impl Iterator<Item = (RunId, BorrowedFd<'_>)> {
        self.pipes.iter().map(|(run, pipe)| (*run, pipe.fd.as_fd()))
    }

    /// Takes the writing end for this run; it is non-blocking already.
    pub fn open(&mut self, run: RunId, fd: OwnedFd) {
        self.open_with(run, fd, false, Rest::default());
    }

    /// The same. `kept`: what waits for it is to outlive the daemon; `rest`: what waited in the daemon before.
    pub(crate) fn open_with(&mut self, run: RunId, fd: OwnedFd, kept: bool, rest: Rest) {
        let at = RestAt { generation: rest.generation, gone: 0 };
        let waiting = VecDeque::from(Vec::from(rest.text));
        let grown = !waiting.is_empty();
        self.pipes.insert(run, Pipe { fd, waiting, watched: false, kept, grown, at });
        if grown {
            self.written.insert(run);
            self.text_changed(run);
            // If it is refused the pipe is closed, which is noticed at the next text.
            self.watch(run);
        }
    }

    /// Closes it. What waits is dropped: its reader is gone.
    pub fn close(&mut self, run: RunId) {
        if let Some(pipe) = self.pipes.remove(&run) {
            self.unwatch(&pipe);
            self.text_changed(run);
        }
    }

    /// From now on texts that wait are written down.
    pub(crate) fn keep_texts(&mut self) {
        self.changed = Some(BTreeSet::new());
    }

    /// Something is to be written down.
    pub(crate) fn dirty(&self) -> bool {
        self.changed.as_ref().is_some_and(|changed| !changed.is_empty())
    }

    /// Texts that wait, as far as that changed. A text is written down once; then only how much of it is gone.
    pub(crate) fn take_changes(&mut self) -> Vec<TextChange> {
        let changed = self.changed.as_mut().map(std::mem::take).unwrap_or_default();
        changed.into_iter().filter_map(|run| self.text_change(run)).collect()
    }

    fn text_change(&mut self, run: RunId) -> Option<TextChange> {
        match self.pipes.get_mut(&run).filter(|pipe| pipe.kept && !pipe.waiting.is_empty()) {
            None => self.written.remove(&run).then_some(TextChange::Gone(run)),
            Some(pipe) if pipe.grown => {
                pipe.grown = false;
                pipe.at = RestAt { generation: pipe.at.generation + 1, gone: 0 };
                let text = pipe.waiting.iter().copied().collect::<Vec<u8>>().into();
                self.written.insert(run);
                Some(TextChange::Put(run, Rest { generation: pipe.at.generation, text }))
            }
            Some(pipe) => Some(TextChange::Moved(run, pipe.at)),
        }
    }

    /// A text of before is nobody's any more.
    pub(crate) fn forget_text(&mut self, run: RunId) {
        self.written.insert(run);
        self.text_changed(run);
    }

    fn text_changed(&mut self, run: RunId) {
        let kept = self.written.contains(&run) || self.pipes.get(&run).is_some_and(|pipe| pipe.kept);
        if let Some(changed) = self.changed.as_mut().filter(|_| kept) {
            changed.insert(run);
        }
    }

    /// Bytes that lie unread in this pipe, if something of this length would be written at one go or not at
    /// all: more than that means then that it was written.
    pub(crate) fn unread_before(&self, run: RunId, len: usize) -> Option<u64> {
        let pipe = self.pipes.get(&run).filter(|pipe| len <= PIPE_BUF && pipe.waiting.is_empty())?;
        supers_os::pipe::fionread(&pipe.fd).ok().map(|n| n as u64)
    }

    /// Bytes that wait for this run.
    pub fn waiting(&self, run: RunId) -> usize {
        self.pipes.get(&run).map_or(0, |pipe| pipe.waiting.len())
    }

    /// Writes what a person sent, or keeps it until the pipe takes it, or refuses it whole.
    pub fn send(&mut self, run: RunId, bytes: &[u8]) -> StdinDone {
        let waiting = self.waiting(run);
        if waiting > 0 && waiting.saturating_add(bytes.len()) > ROOM {
            return StdinDone::Full;
        }
        self.put(run, bytes)
    }

    /// Writes an event, or keeps it until the pipe takes it; it is never refused for want of room. A
    /// listener has at most one event under way.
    pub fn put(&mut self, run: RunId, bytes: &[u8]) -> StdinDone {
        let Some(pipe) = self.pipes.get_mut(&run) else { return StdinDone::Closed };
        // The order of bytes is the order of calls.
        let written = if pipe.waiting.is_empty() { write(&pipe.fd, bytes) } else { Ok(0) };
        let rest = match written {
            Ok(n) => bytes.get(n..).unwrap_or(&[]),
            Err(_) => {
                self.close(run);
                return StdinDone::Closed;
            }
        };
        if rest.is_empty() {
            return StdinDone::Taken;
        }
        pipe.waiting.extend(rest);
        pipe.grown = true;
        self.text_changed(run);
        self.watch(run)
    }

    /// Completes when [`Stdins::flush`] may have something to do.
    pub async fn writable(&self) {
        match self.epoll.readable().await {
            Ok(mut guard) => guard.clear_ready(),
            Err(_) => std::future::pending().await,
        }
    }

    /// Writes what waits, where there is room.
    pub fn flush(&mut self) -> Flushed {
        let mut flushed = Flushed::default();
        let mut events = [Event::default(); 64];
        loop {
            // Each was armed for one time, so what is taken from here does not come again by itself.
            let n = self.epoll.get_ref().wait(&mut events, Some(Duration::ZERO)).unwrap_or(0);
            for event in events.iter().take(n) {
                let run = RunId(event.token());
                match self.go_on(run) {
                    Ok(()) if self.waiting(run) == 0 => flushed.through.push(run),
                    Ok(()) => {}
                    Err(_) => {
                        self.close(run);
                        flushed.broken.push(run);
                    }
                }
                self.text_changed(run);
            }
            if n < events.len() {
                return flushed;
            }
        }
    }

    /// Writes more to one pipe. Armed again, one that can take still more wakes the runtime anew.
    fn go_on(&mut self, run: RunId) -> io::Result<()> {
        let Some(pipe) = self.pipes.get_mut(&run) else { return Ok(()) };
        for _ in 0..WRITES {
            let (front, _) = pipe.waiting.as_slices();
            let n = write(&pipe.fd, front)?;
            pipe.waiting.drain(..n);
            pipe.at.gone += n as u64;
            if n == 0 || pipe.waiting.is_empty() {
                break;
            }
        }
        let epoll = self.epoll.get_ref();
        if pipe.waiting.is_empty() {
            pipe.waiting = VecDeque::new();
            pipe.watched = false;
            return epoll.remove(pipe.fd.as_fd());
        }
        epoll.modify(pipe.fd.as_fd(), run.0, Interest::WriteOnce)
    }

    fn watch(&mut self, run: RunId) -> StdinDone {
        let Some(pipe) = self.pipes.get_mut(&run) else { return StdinDone::Closed };
        if !pipe.watched {
            if self.epoll.get_ref().add(pipe.fd.as_fd(), run.0, Interest::WriteOnce).is_err() {
                // The kernel has no memory for it: nothing would ever be written again.
                self.close(run);
                return StdinDone::Closed;
            }
            pipe.watched = true;
        }
        StdinDone::Taken
    }

    fn unwatch(&self, pipe: &Pipe) {
        if pipe.watched {
            // It was added once and is open still.
            let _ = self.epoll.get_ref().remove(pipe.fd.as_fd());
        }
    }
}

/// Writes what the pipe takes now; 0 when it is full.
fn write(fd: &OwnedFd, bytes: &[u8]) -> io::Result<usize> {
    match rustix::io::retry_on_intr(|| rustix::io::write(fd, bytes)) {
        Ok(n) => Ok(n),
        Err(rustix::io::Errno::AGAIN) => Ok(0),
        Err(e) => Err(e.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{PipeReader, Read, pipe};

    fn open(stdins: &mut Stdins, run: u64) -> PipeReader {
        let (read, write) = pipe().unwrap();
        let write = OwnedFd::from(write);
        supers_os::pipe::set_nonblocking(&write).unwrap();
        stdins.open(RunId(run), write);
        read
    }

    /// Goes on until nothing waits for this run; who broke meanwhile.
    async fn drain(stdins: &mut Stdins, run: u64) -> Vec<RunId> {
        let mut broken = Vec::new();
        while stdins.waiting(RunId(run)) > 0 {
            tokio::time::timeout(Duration::from_secs(20), stdins.writable()).await.unwrap();
            broken.extend(stdins.flush().broken);
        }
        broken
    }

    /// Nothing wakes the runtime.
    async fn is_asleep(stdins: &Stdins) -> bool {
        tokio::select! {
            biased;
            () = stdins.writable() => false,
            () = std::future::ready(()) => true,
        }
    }

    #[tokio::test]
    async fn what_does_not_fit_is_written_when_there_is_room() {
        let mut stdins = Stdins::new().unwrap();
        let mut reader = open(&mut stdins, 1);
        let text: Vec<u8> = (0..3_000_000_u32).map(|n| n.to_le_bytes()[n as usize % 3]).collect();
        for _ in 0..2 {
            assert_eq!(stdins.put(RunId(1), &text), StdinDone::Taken);
            assert!(stdins.waiting(RunId(1)) > 0);
            // There is room again, but others were first.
            let mut all = vec![0; 3_000_003];
            reader.read_exact(&mut all[..20_000]).unwrap();
            assert_eq!(stdins.put(RunId(1), b"end"), StdinDone::Taken);
            let reading =
                std::thread::spawn(move || reader.read_exact(&mut all[20_000..]).map(|()| (all, reader)));
            assert!(drain(&mut stdins, 1).await.is_empty());
            let (all, back) = reading.join().unwrap().unwrap();
            assert!(all[..3_000_000] == text && all[3_000_000..] == *b"end");
            reader = back;
        }
        // Idle again: no part in the epoll is left.
        stdins.flush();
        tokio::task::yield_now().await;
        assert!(is_asleep(&stdins).await);
        assert_eq!(stdins.send(RunId(1), b"more"), StdinDone::Taken);
        stdins.close(RunId(1));
        let mut rest = String::new();
        reader.read_to_string(&mut rest).unwrap();
        assert_eq!(rest, "more");
    }

    #[tokio::test]
    async fn who_does_not_read_fills_its_own_room_only() {
        let mut stdins = Stdins::new().unwrap();
        let (_deaf, mut reader) = (open(&mut stdins, 1), open(&mut stdins, 2));
        let one = [b'x'; 10_000];
        let taken = (0..1000).take_while(|_| stdins.send(RunId(1), &one) == StdinDone::Taken).count();
        assert!(taken < 20 && stdins.waiting(RunId(1)) <= ROOM, "{taken} were taken");
        assert_eq!(stdins.send(RunId(1), &one), StdinDone::Full);
        assert_eq!(stdins.send(RunId(2), b"hello"), StdinDone::Taken);
        let mut text = [0; 5];
        reader.read_exact(&mut text).unwrap();
        assert_eq!(&text, b"hello");
        stdins.close(RunId(1));
        assert_eq!(stdins.send(RunId(1), b"x"), StdinDone::Closed);
    }

    #[tokio::test]
    async fn a_closed_input_is_noticed_at_once_or_while_something_waits() {
        let mut stdins = Stdins::new().unwrap();
        supers_os::signals::ignore(supers_core::signal::Signal::PIPE).unwrap();
        drop(open(&mut stdins, 1));
        assert_eq!(stdins.send(RunId(1), b"x"), StdinDone::Closed);
        let reader = open(&mut stdins, 2);
        assert_eq!(stdins.put(RunId(2), &vec![0; 1 << 20]), StdinDone::Taken);
        drop(reader);
        assert_eq!(drain(&mut stdins, 2).await, [RunId(2)]);
        assert_eq!(stdins.send(RunId(2), b"x"), StdinDone::Closed);
    }
}
