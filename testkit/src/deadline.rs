//! One deadline for a whole test.

use std::time::{Duration, Instant};

/// How long a test may wait in all. `SUPERS_TEST_SECONDS` changes it, for slow machines.
const PATIENCE: Duration = Duration::from_secs(60);

/// A moment after which a test gives up, whatever it waits for.
#[derive(Clone, Copy, Debug)]
pub struct Deadline(Instant);

impl Deadline {
    /// The usual patience, from now.
    pub fn start() -> Deadline {
        let patience = match std::env::var("SUPERS_TEST_SECONDS") {
            Ok(text) => {
                Duration::from_secs(text.parse().expect("SUPERS_TEST_SECONDS is a number of seconds"))
            }
            Err(_) => PATIENCE,
        };
        Deadline::after(patience)
    }

    /// This long from now.
    pub fn after(time: Duration) -> Deadline {
        Deadline(Instant::now() + time)
    }

    /// What is left; zero when it has passed.
    pub fn left(&self) -> Duration {
        self.0.saturating_duration_since(Instant::now())
    }

    /// Nothing is left.
    pub fn passed(&self) -> bool {
        self.left().is_zero()
    }
}
