//! What `supers` prints and how it ends, against a scripted daemon behind a real socket.
#![allow(unreachable_pub, missing_docs)]
// Helpers of tests fail by panicking, as tests do; the lint knows only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod config;
#[path = "../../../api/tests/api/fake.rs"]
mod fake;
mod history;
mod orders;
mod output;
mod reading;
mod world;
