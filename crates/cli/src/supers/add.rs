//! `supers add`.

use super::exit::{Exit, Failure};
use super::rows::follow;
use super::{Context, caller};
use clap::Args;
use std::path::Path;
use supers_core::control::{Control, NewUnit, Verb};

/// Write a unit file for a new program and start it
#[derive(Args)]
pub(super) struct Add {
    /// Name of the program
    name: String,
    /// Run as this user
    #[arg(long)]
    user: Option<String>,
    /// Run in this folder
    #[arg(long, value_name = "DIR")]
    directory: Option<String>,
    /// Text for people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Replace a program of this name
    #[arg(long)]
    replace: bool,
    /// The program and its arguments, after --
    #[arg(last = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

impl Add {
    pub(super) async fn run(mut self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let cwd = context.around.world.cwd.clone();
        // The daemon runs elsewhere, so what is relative here must not stay relative.
        if let Some(first) = self.command.first_mut().filter(|c| c.contains('/')) {
            *first = absolute(&cwd, first);
        }
        let name = self.name.strip_suffix(".service").unwrap_or(&self.name);
        let unit = NewUnit {
            name: name.into(),
            directory: self.directory.map(|d| absolute(&cwd, &d)),
            command: self.command,
            description: self.description,
            user: self.user,
            replace: self.replace,
        };
        let remote = context.connect().await?;
        follow(context, Verb::Start, remote.add(caller(), unit)).await
    }
}

fn absolute(cwd: &Path, path: &str) -> String {
    cwd.join(path.strip_prefix("./").unwrap_or(path)).display().to_string()
}
