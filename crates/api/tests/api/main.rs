//! The server over real sockets, in front of a scripted `Control`.
#![allow(unreachable_pub, missing_docs)]
// Helpers of tests fail by panicking, as tests do; the lint knows only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod client;
mod cuts;
mod fake;
mod handover;
mod history;
mod load;
mod pages;
mod requests;
mod routes;
mod rules;
mod supervisor;
mod world;
