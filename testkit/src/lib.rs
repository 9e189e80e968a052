//! What tests stand on: a world of their own, and programs that behave as told.
//!
//! *Owns:* [`World`] (a temporary root, a cleared environment, `superd` started and ended, `supers`
//! called), [`Deadline`] (one for a whole test), [`normal`] (text without pids, times and paths), and the
//! program `actor`, which plays the supervised one.
//!
//! *Must never:* be shipped; kill anything that it did not start; skip a test. What is missing (a program,
//! a right) fails with a sentence that says what to install or to do.
//!
//! *Tested* in `tests/`: the actor word by word, the normaliser and the clean-up.
//!
//! ```no_run
//! let mut world = supers_testkit::World::new();
//! world.unit("web", &format!("[Service]\nExecStart={} wait\n", world.actor().display()));
//! world.superd();
//! world.until("web runs", |s| s.state("web") == "RUNNING");
//! assert_eq!(world.supers(&["stop", "web"]).code, 0);
//! ```
#![forbid(unsafe_code)]
#![allow(
    clippy::disallowed_methods,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    reason = "a test helper reads the clock, and its way to report trouble is to fail the test"
)]

mod bins;
pub mod chaos;
mod daemon;
mod deadline;
pub mod normal;
mod procs;
mod status;
pub mod twin;
mod world;

pub use bins::Bins;
pub use daemon::Daemon;
pub use deadline::Deadline;
pub use procs::{Process, descendants};
pub use status::Programs;
pub use world::{Finished, World, free_port, need_root, need_tool};
