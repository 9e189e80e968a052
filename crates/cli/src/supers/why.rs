//! `supers why`: the story of a program, from its history and its present state.

use super::Context;
use super::exit::{Exit, Failure};
use super::history::zone;
use super::term::{Tone, clean};
use clap::Args;
use serde::Serialize;
use supers_api::select::{select, unknown};
use supers_core::history::{Story, why};
use supers_core::snapshot::ProgramView;

/// Entries that a story is made from.
const ENTRIES: usize = 1000;

/// Say why programs are as they are: who or what started or stopped them, how they died, their last words
#[derive(Args)]
pub(super) struct Why {
    /// Programs, patterns, or all
    #[arg(required = true)]
    names: Vec<String>,
}

#[derive(Serialize)]
struct Told {
    name: String,
    lines: Vec<String>,
    next: String,
}

impl Why {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let remote = context.connect().await?;
        let status = context.status_of(&remote).await?;
        let zone = zone(context.around);
        let mut exit = Exit::Done;
        let mut told: Vec<Told> = Vec::new();
        for name in &self.names {
            let found = select(&status.programs, name);
            if found.is_empty() && name != "all" {
                context.complain(&unknown(&status.programs, name).to_string())?;
                exit = exit.max(Exit::UnknownName);
            }
            for program in found {
                let name = program.full_name().into_owned();
                if told.iter().any(|t| t.name == name) {
                    continue;
                }
                let page = remote.history(Some(&name), ENTRIES, None).await?;
                let story = why(&page.entries, program, &|at| zone.show(at));
                let next = context.globals.retyped(&story.next);
                if !context.globals.json {
                    let gap = if told.is_empty() { "" } else { "\n" };
                    let text = format!("{gap}{}", text(context, program, &story, &next));
                    context.print(&text)?;
                }
                told.push(Told { name, lines: story.lines, next });
            }
        }
        if context.globals.json {
            context.print_json(&told)?;
        }
        Ok(exit)
    }
}

fn text(context: &Context<'_>, program: &ProgramView<'_>, story: &Story, next: &str) -> String {
    let style = context.style;
    let mut text = String::new();
    for (i, line) in story.lines.iter().enumerate() {
        let line = clean(line);
        let tone = match line.strip_prefix("  ") {
            Some(_) => Tone::Dim,
            None if i == 0 && program.pid == 0 && program.want => Tone::Bad,
            None if i == 0 => Tone::Bold,
            None => Tone::Plain,
        };
        let line = line.strip_prefix("  ").map_or_else(|| line.to_string(), |quoted| format!("  | {quoted}"));
        text += &style.paint(tone, &line);
        text.push('\n');
    }
    text + &format!("→ {}\n", clean(next))
}
