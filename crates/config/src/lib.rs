//! Text in two dialects becomes [`supers_core::spec::Spec`].
//!
//! *Owns:* where a configuration is looked for ([`places`]), reading it ([`mod@load`]), the Supervisor
//! dialect (`ini`), unit files ([`mod@unit`]), the checks across all programs (`check`) and writing a
//! unit file ([`emit`]). Each dialect parses to a tree with places, then lowers the tree; all findings
//! are collected, none is printed.
//!
//! *Must never:* start anything, print, or look at the process environment: what it needs to know of
//! the world comes in a [`Request`]. Only [`source`] touches the file system, and only to read.
//!
//! *Tested* with a corpus of broken files (`tests/`), the contract's rows, and random bytes.
#![forbid(unsafe_code)]

mod check;
pub mod convert;
pub mod ctl;
pub mod doctor;
pub mod emit;
mod fault;
pub mod flags;
mod ini;
pub mod load;
pub mod model;
pub mod places;
pub mod source;
pub mod unit;
pub mod webhook;

pub use flags::Flags;
pub use ini::expand::py_repr;
pub use load::{
    Choice, InForce, Loaded, Personality, Request, Users, load, load_among, load_beside, load_with,
};
pub use model::{
    About, Address, Auth, Config, Ctl, Finding, LogLevel, Password, Program, Secret, Server, Settings,
    Severity,
};
pub use webhook::Webhooks;
