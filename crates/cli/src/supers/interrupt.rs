//! Ctrl-C while waiting.

use std::future::pending;
use std::io;
use std::os::fd::AsFd;
use supers_core::signal::Signal;
use supers_os::signals::SignalFd;
use tokio::net::unix::pipe::Receiver;

/// Resolves when the user presses Ctrl-C. From the first poll on the signal does nothing else.
pub(super) async fn interrupted() {
    match watch() {
        Ok(watch) => drop(watch.readable().await),
        // Without a descriptor Ctrl-C still ends the program, only silently.
        Err(_) => pending().await,
    }
}

/// Only readiness is asked of the descriptor, so that it is no pipe does not matter.
fn watch() -> io::Result<Receiver> {
    let signals = SignalFd::new(&[Signal::INT])?;
    Receiver::from_owned_fd_unchecked(signals.as_fd().try_clone_to_owned()?)
}
