//! The engine of superd: the one owner of all units.
//!
//! *Owns:* the turn ([`engine`]), the only clock ([`clock`]), the deeds, tickets, output ([`logs`]) and
//! the published snapshot. It feeds facts to `supers_core`, does what comes out, and implements
//! [`supers_core::control::Control`] for the doors ([`handle::Handle`]).
//!
//! *Must never:* decide what a unit does next (the core does), start a process other than through
//! `supers_os::spawn`, hold a lock around process state, or wake while nothing is due.
//!
//! *Tested* through real processes (`crates/cli/tests`); the log pump by itself.
#![forbid(unsafe_code)]

pub mod bus;
pub mod clock;
mod deeds;
pub mod engine;
pub mod environ;
pub mod family;
mod groups;
pub mod handle;
mod inside;
mod journal;
mod line;
pub mod logs;
mod news;
mod orders;
mod publish;
mod shared;
mod sources;
mod spawner;
pub mod stdin;
mod tickets;
mod unexecuted;
mod waiting;

pub use engine::{Ended, Engine, Hup, Setup};
pub use handle::{Handle, Identity, Notices};
pub use sources::Load;
pub use spawner::FileLimits;
