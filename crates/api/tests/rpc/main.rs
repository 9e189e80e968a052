//! XML-RPC: the documents, and the interface over a scripted daemon.
#![allow(unreachable_pub, missing_docs)]
// Helpers of tests fail by panicking, as tests do; the lint knows only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod codec;
mod fake;
mod info;
mod logs;
mod methods;
mod orders;
mod system;
