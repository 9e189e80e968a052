//! How people and programs talk to a daemon: HTTP/1.1 over unix sockets and TCP.
//!
//! *Owns:* the server ([`server`]), its rules for who may come in ([`door`]), the one table of
//! refusals ([`problem`]) and the client ([`client`]), which implements the same
//! [`Control`](supers_core::control::Control) trait as the daemon's engine.
//!
//! *Must never:* know how a process is started, or hold state about units. Each request is translated
//! into a call of `Control` and its answer into bytes.
//!
//! *Tested* over real sockets against a scripted `Control` (`tests/`).
#![forbid(unsafe_code)]

pub mod client;
pub mod door;
pub mod moment;
mod pages;
pub mod problem;
pub mod rpc;
pub mod select;
pub mod server;
pub mod term;
mod wire;
pub mod xmlrpc;

pub use client::{Address, ConnectError, Credentials, Picture, Remote};
pub use door::{Area, Door, Kind};
pub use server::{Counters, Handed, Handle, Limits, Listener, Setup, serve};
