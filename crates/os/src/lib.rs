//! The operating system, made safe to use.
//!
//! *Owns:* every system call that `std` does not offer, and with them all `unsafe` code of the
//! product: starting processes ([`spawn`]), learning of their end ([`reap`]), signals, polling, pipes,
//! sockets, users, control groups ([`cgroup`]) and what stands in for them ([`strays`]), facts about
//! processes, clocks, and the words between the daemon and its keeper
//! ([`keeper_proto`]). Everything is synchronous and belongs to Linux.
//!
//! *Must never:* decide anything (no policy, no retries beyond EINTR), know a unit or a configuration,
//! start a thread, use NSS (`getpwnam` and its like load code into the process), or fork: a fork copies
//! the page tables of the whole daemon, a vfork-style clone costs the same whatever its size.
//!
//! *Tested* with real processes, one test for each stage at which a start can fail, and with what the
//! child sees of itself in `/proc`. Errors are `io::Error` with the kernel's number, except for starts
//! ([`supers_core::exit::StartError`]: stage, number and sentence).

pub mod births;
pub mod cgroup;
pub mod clock;
mod errno;
pub mod exec;
pub mod keeper_proto;
pub mod memory;
pub mod pipe;
pub mod poll;
pub mod process;
pub mod reap;
pub mod signals;
pub mod socket;
pub mod spawn;
pub mod strays;
pub mod users;

pub use errno::{errno_name, errno_text, error_text};
// The words that this crate's calls speak, so that the keeper needs no other crate.
pub use supers_core::spec::{Limit, Resource};
pub use supers_core::{exit::Exit, ids::Pid, signal::Signal, time::Mono};

use std::io;

/// Fills the buffer with random bytes from the kernel.
///
/// # Errors
/// The kernel has no such call or refuses it.
pub fn random_bytes(buffer: &mut [u8]) -> io::Result<()> {
    let mut rest = buffer;
    while !rest.is_empty() {
        // SAFETY: the pointer and the length describe `rest`, which is writable and lives.
        let n = unsafe { libc::getrandom(rest.as_mut_ptr().cast(), rest.len(), 0) };
        match errno::check_len(n) {
            Ok(n) => rest = rest.get_mut(n..).unwrap_or_default(),
            Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
            Err(e) => return Err(e),
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    #[test]
    fn random_bytes_fill_the_whole_buffer() {
        let mut a = [0u8; 1000];
        super::random_bytes(&mut a).unwrap();
        assert!(a[..100].iter().any(|b| *b != 0) && a[900..].iter().any(|b| *b != 0));
    }
}
