//! `supervisorctl`: every row of the contract against a scripted daemon, and beside the genuine client
//! in front of the genuine daemon.
#![allow(unreachable_pub, missing_docs)]
// Helpers of tests fail by panicking, as tests do; the lint knows only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod genuine;
mod scripted;
mod terminal;
mod twin;
