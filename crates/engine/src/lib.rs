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

mod adopt;
pub mod bus;
pub mod clock;
pub mod contain;
mod deeds;
mod ends;
pub mod engine;
pub mod environ;
pub mod failpoint;
pub mod family;
mod groups;
pub mod handle;
pub mod held;
pub mod history;
mod inside;
mod journal;
mod leave;
mod line;
pub mod logs;
mod news;
mod orders;
mod present;
mod publish;
mod pulse;
mod recognise;
mod shared;
mod sources;
mod spawner;
mod standby;
pub mod stdin;
mod store;
mod tickets;
mod tidings;
mod unexecuted;
pub mod upgrade;
mod waiting;
mod wave;
pub mod webhook;
mod wishes;

pub use engine::{Ended, Engine, Hup, Setup};
pub use handle::{Handle, Identity, Notices};
pub use leave::Upgrade;
pub use sources::Load;
pub use spawner::FileLimits;
pub use store::{Estate, Found, Rehearsal, Store};
pub use wishes::Wishes;
