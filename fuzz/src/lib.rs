//! What reads bytes from strangers, given bytes that nobody would send.
//!
//! *Owns:* one function a reader ([`TARGETS`]), each of which demands what must hold for any bytes; the
//! texts to begin with (`corpus/`); and a mutator of its own ([`run`]) that needs nothing but this crate.
//!
//! *Must never:* be shipped, or say how a reader works: only what may come out of it.
//!
//! *Run* for two seconds each by `cargo test`, for as long as you like by `cargo xtask fuzz TARGET
//! --seconds N`, and with coverage by `cargo fuzz run TARGET --features libfuzzer NEW fuzz/corpus/TARGET`
//! (a nightly toolchain, and a folder NEW for what it finds). An input that once failed belongs into
//! `corpus/TARGET`, with a name that says what it was.
#![forbid(unsafe_code)]
#![allow(clippy::panic, reason = "never shipped; a law that is broken is told by a panic")]

mod capture;
mod folder;
mod http;
mod ini;
mod listener;
mod mutate;
mod pieces;
pub mod run;
mod unit;
mod xmlrpc;

pub use capture::capture;
pub use http::http;
pub use ini::ini;
pub use listener::listener;
pub use unit::unit;
pub use xmlrpc::xmlrpc;

/// What an input turned out to be, as a number. The mutator keeps an input of each kind that it meets and
/// goes on from there, which leads it deeper into a reader than chance alone.
pub type Kind = u64;

/// A reader, and what the mutator needs to know of it.
#[derive(Clone, Copy, Debug)]
pub struct Target {
    /// Its name, and that of its folder in `corpus/`.
    pub name: &'static str,
    /// Panics when a law is broken.
    pub run: fn(&[u8]) -> Kind,
    /// Texts that mean something to it.
    pub words: &'static [&'static str],
    /// Most bytes of an input.
    pub longest: usize,
}

/// All of them.
pub const TARGETS: [Target; 6] = [
    Target { name: "capture", run: capture, words: capture::WORDS, longest: 512 },
    Target { name: "http", run: http, words: http::WORDS, longest: 24 * 1024 },
    Target { name: "ini", run: ini, words: ini::WORDS, longest: 2048 },
    Target { name: "listener", run: listener, words: listener::WORDS, longest: 3072 },
    Target { name: "unit", run: unit, words: unit::WORDS, longest: 2048 },
    Target { name: "xmlrpc", run: xmlrpc, words: xmlrpc::WORDS, longest: 4096 },
];

/// FNV-1a: the kind of whatever can be shown.
fn kind_of(shown: &impl std::fmt::Debug) -> Kind {
    hash(format!("{shown:?}").as_bytes())
}

fn hash(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |h, b| (h ^ u64::from(*b)).wrapping_mul(0x0100_0000_01b3))
}
