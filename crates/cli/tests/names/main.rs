//! The names of the ancestor's programs: command line, files and complaints beside the genuine ones.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod beside;
mod cases;
mod children;
mod pidproxy;
mod refusals;
mod sample;
