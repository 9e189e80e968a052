//! The only place that reads a clock (habit 5).

use supers_core::time::{Mono, Now, Wall};
use supers_os::clock::{monotonic_ns, wall_ms};
use tokio::time::Instant;

/// Both clocks, read once a turn.
pub fn now() -> Now {
    Now { mono: Mono(monotonic_ns()), wall: Wall(wall_ms()) }
}

/// The runtime's instant for a deadline of the core.
#[allow(clippy::disallowed_methods)] // this module is the exception that the lint protects
pub(crate) fn instant(at: Mono) -> Instant {
    Instant::from_std(std::time::Instant::now() + at.since(now().mono))
}

/// Sleeps until `at`, or for ever.
pub(crate) async fn until(at: Option<Mono>) {
    match at {
        Some(at) => tokio::time::sleep_until(instant(at)).await,
        None => std::future::pending().await,
    }
}
