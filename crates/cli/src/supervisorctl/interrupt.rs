//! Ctrl-C as something to wait for: the signal is blocked from the start of the program, so that a
//! stream, a call and a question can each end in their own way.

use std::future::{Future, pending};
use std::os::fd::{AsFd, BorrowedFd};
use supers_core::signal::Signal;
use supers_os::signals::SignalFd;
use tokio::net::unix::pipe::Receiver;

/// Ctrl-C.
pub(super) struct Interrupt(Option<SignalFd>);

impl Interrupt {
    /// Takes the signal over, in this thread and those that it starts.
    pub(super) fn new() -> Interrupt {
        // Without a descriptor Ctrl-C ends the program, only silently.
        Interrupt(SignalFd::new(&[Signal::INT]).ok())
    }

    /// Something that is readable after Ctrl-C.
    pub(super) fn fd(&self) -> Option<BorrowedFd<'_>> {
        self.0.as_ref().map(AsFd::as_fd)
    }

    /// Whether there was a Ctrl-C; it is forgotten.
    pub(super) fn take(&self) -> bool {
        let mut pressed = false;
        while let Some(Ok(Some(_))) = self.0.as_ref().map(SignalFd::read) {
            pressed = true;
        }
        pressed
    }

    async fn pressed(&self) {
        let own = self.fd().and_then(|fd| fd.try_clone_to_owned().ok());
        // Only readiness is asked of the descriptor, so that it is no pipe does not matter.
        match own.and_then(|fd| Receiver::from_owned_fd_unchecked(fd).ok()) {
            Some(watch) => drop(watch.readable().await),
            None => pending().await,
        }
        self.take();
    }

    /// What the future comes to, or `None` after Ctrl-C.
    pub(super) async fn or<T>(&self, future: impl Future<Output = T>) -> Option<T> {
        tokio::select! {
            biased;
            () = self.pressed() => None,
            value = future => Some(value),
        }
    }
}
