//! `supers stop`.

use super::Context;
use super::exit::{Exit, Failure};
use super::rows::Wish;
use clap::Args;
use supers_core::control::Verb;

/// Stop programs, and wait until they are down
///
/// They stay down until started again, also over a restart of superd.
#[derive(Args)]
pub(super) struct Stop {
    #[command(flatten)]
    wish: Wish,
}

impl Stop {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        self.wish.carry_out(Verb::Stop, context).await
    }
}
