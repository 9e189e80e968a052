//! `supers start`.

use super::Context;
use super::exit::{Exit, Failure};
use super::rows::Wish;
use clap::Args;
use supers_core::control::Verb;

/// Start programs, and wait until they are up
///
/// A file that changed or is new is read first.
#[derive(Args)]
pub(super) struct Start {
    #[command(flatten)]
    wish: Wish,
}

impl Start {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        self.wish.carry_out(Verb::Start, context).await
    }
}
