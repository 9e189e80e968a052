//! The product from end to end: real daemon, real client, real programs, each test in a world of its own.
#![allow(unreachable_pub, missing_docs)]
// Helpers of tests fail by panicking, as tests do; the lint knows only functions marked as tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod adopt;
mod bad_input;
mod common;
mod context;
mod crash;
mod dependencies;
mod history;
mod http;
mod ini;
mod keeper_gone;
mod kill;
mod life;
mod logs;
mod orders;
mod over;
mod records;
mod restart;
mod servers;
mod signals;
mod sprint;
mod superd;
mod upgrade;
mod waiting;
mod webhook;
mod wishes;
