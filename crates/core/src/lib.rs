//! The pure core of supers.
//!
//! *Owns:* every decision: what a unit does next ([`proc`]), in which order many do it ([`fleet`]),
//! the words they are described with ([`spec`], [`snapshot`]) and the one trait that every
//! door speaks ([`control`]).
//!
//! *Must never:* open a file, read a clock, start or kill anything. It is `no_std`, so such a call
//! does not compile; all facts and the time come in as values, all deeds go out as values.
//!
//! *Tested* with random histories against the laws of supervision (`tests/laws.rs`) and with a seeded
//! simulator ([`sim`]).
#![no_std]
#![forbid(unsafe_code)]
#![deny(clippy::wildcard_enum_match_arm)]

extern crate alloc;

pub mod control;
pub mod event;
pub mod exit;
pub mod fleet;
pub mod history;
pub mod ids;
pub mod inside;
pub mod listen;
pub mod proc;
pub mod share;
pub mod signal;
pub mod sim;
pub mod snapshot;
pub mod spec;
pub mod time;
