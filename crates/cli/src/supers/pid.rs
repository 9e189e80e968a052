//! `supers pid`.

use super::Context;
use super::exit::{Exit, Failure};
use super::term::clean;
use clap::Args;
use serde::Serialize;
use std::fmt::Write as _;
use supers_api::select::{select, unknown};

/// Print process numbers: the daemon's, or those of programs
///
/// Exit 3 when one of the programs is not running.
#[derive(Args)]
pub(super) struct Pid {
    /// Programs, patterns, or all
    names: Vec<String>,
}

#[derive(Serialize)]
struct Line {
    name: String,
    pid: i32,
}

impl Pid {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let status = context.status().await?;
        if self.names.is_empty() {
            return daemon(context, status.daemon.pid);
        }
        let mut lines = Vec::new();
        let mut exit = Exit::Done;
        for name in &self.names {
            let found = select(&status.programs, name);
            if found.is_empty() && name != "all" {
                return Err(unknown(&status.programs, name).into());
            }
            lines.extend(found.into_iter().map(|p| Line { name: p.full_name().into_owned(), pid: p.pid }));
        }
        let mut text = String::new();
        for line in &lines {
            if line.pid == 0 {
                exit = exit.max(Exit::NotRunning);
                context.complain(&format!("{} is not running", clean(&line.name)))?;
            } else {
                // Writing to a String cannot fail.
                let _ = writeln!(text, "{}", line.pid);
            }
        }
        if context.globals.json {
            context.print_json(&lines)?
        } else {
            context.print(&text)?
        }
        Ok(exit)
    }
}

fn daemon(context: &mut Context<'_>, pid: i32) -> Result<Exit, Failure> {
    if context.globals.json {
        context.print_json(&Line { name: "superd".into(), pid })?;
    } else {
        context.print(&format!("{pid}\n"))?;
    }
    Ok(Exit::Done)
}
