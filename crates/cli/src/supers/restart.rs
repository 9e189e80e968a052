//! `supers restart`.

use super::Context;
use super::exit::{Exit, Failure};
use super::rows::Wish;
use clap::Args;
use supers_core::control::Verb;

/// Stop and start programs, and wait until they are up
///
/// A file that changed is read first.
#[derive(Args)]
pub(super) struct Restart {
    #[command(flatten)]
    wish: Wish,
}

impl Restart {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        self.wish.carry_out(Verb::Restart, context).await
    }
}
