//! `supers reload`: the configuration, or with names these programs themselves.

use super::exit::{Exit, Failure};
use super::rows::send;
use super::term::{Table, Tone, clean};
use super::{Context, caller};
use clap::Args;
use std::fmt::Write as _;
use supers_core::control::{Control, Order, PlanItem, PlanView, Rules, Verb};

/// Apply what changed in the configuration; with names, tell these programs to reload
///
/// Only programs whose description changed are touched; the plan with their processes is printed.
#[derive(Args)]
pub(super) struct Reload {
    /// Only print the plan
    #[arg(long, conflicts_with = "names")]
    dry_run: bool,
    /// Programs that shall run their reload command
    names: Vec<String>,
}

impl Reload {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        if !self.names.is_empty() {
            let order = Order {
                verb: Verb::Reload,
                names: self.names,
                wait: true,
                timeout_ms: None,
                rules: Rules::Supers,
            };
            return send(context, order).await;
        }
        let plan = context.connect().await?.reload(caller(), self.dry_run).await?;
        if context.globals.json {
            context.print_json(&plan)?;
            return Ok(Exit::Done);
        }
        for finding in &plan.findings {
            context.complain(finding)?;
        }
        let text = text(&plan, context);
        context.print(&text)?;
        Ok(Exit::Done)
    }
}

fn text(plan: &PlanView, context: &Context<'_>) -> String {
    let kinds = [
        ("added", Tone::Good, &plan.added),
        ("changed", Tone::Busy, &plan.changed),
        ("removed", Tone::Bad, &plan.removed),
    ];
    let mut table = Table::new(0, 4);
    for (word, tone, items) in kinds {
        for item in items {
            add_line(&mut table, word, tone, item);
        }
    }
    let mut out = table.paint(context.style);
    let unchanged = plan.unchanged;
    let end = match (out.is_empty(), plan.applied) {
        (true, _) => "nothing to do".to_string(),
        (false, true) => "done".to_string(),
        (false, false) => format!("this was a dry run; to apply: {} reload", context.globals.typed()),
    };
    // Writing to a String cannot fail.
    let _ = writeln!(out, "{unchanged} unchanged; {end}");
    out
}

fn add_line(table: &mut Table, word: &str, tone: Tone, item: &PlanItem) {
    table.text(tone, word);
    table.text(Tone::Plain, &item.name);
    match item.pid {
        0 => table.text(Tone::Plain, "-"),
        pid => table.text(Tone::Plain, &format!("pid {pid}")),
    }
    table.text(Tone::Plain, &format!("→ {}", clean(&item.deed)));
    table.end_line();
}
