//! Twins: one scenario is played under the genuine Supervisor and under ours, and the two transcripts are compared.
//!
//! *Owns:* the scenarios' language (`scenario`, `words`), the player (`play` and its helpers), what makes
//! two transcripts alike (`normal`), the wanted differences (`differences`), the list of names that must be
//! covered (`coverage`), and the run of all of them (`suite`).
//!
//! *Must never:* keep a genuine transcript as the truth. The peer is asked in every run.
//!
//! The scenarios lie in `twins/*.twin` at the root of the workspace; `twins/README.md` explains their words.

pub mod coverage;
pub mod differences;
mod events;
mod http;
pub mod listen;
mod normal;
mod play;
mod process;
pub mod root;
mod rpc;
pub mod scenario;
mod shown;
mod steps;
pub mod suite;
mod words;
