//! `supers shutdown`.

use super::exit::{Exit, Failure};
use super::{Context, caller};
use clap::Args;
use serde::Serialize;
use supers_core::control::Control;

/// Stop all programs in order, then superd
#[derive(Args)]
pub(super) struct Shutdown {}

#[derive(Serialize)]
struct Begun {
    shutting_down: bool,
}

impl Shutdown {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        context.connect().await?.shutdown(caller()).await?;
        if context.globals.json {
            context.print_json(&Begun { shutting_down: true })?;
        } else {
            context.print("superd stops its programs and then itself\n")?;
        }
        Ok(Exit::Done)
    }
}
