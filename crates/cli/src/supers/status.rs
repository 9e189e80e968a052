//! `supers status`: the table, or its objects.

use super::exit::{Exit, Failure};
use super::term::{Table, Tone, clean};
use super::{Context, Globals};
use clap::Args;
use supers_api::select::{select, unknown};
use supers_core::control::Status as Picture;
use supers_core::snapshot::ProgramView;

/// Show programs: state, process, uptime, and what is wrong
///
/// With names: exit 3 when one of them is not running, 4 when one is unknown.
#[derive(Args, Default)]
pub(super) struct Status {
    /// Programs; all when none is named
    pub(super) names: Vec<String>,
}

impl Status {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let picture = context.picture(!context.globals.json).await?;
        let picture = picture.read()?;
        let (shown, exit) = self.choose(context, &picture)?;
        if context.globals.json {
            context.print_json(&shown)?;
            return Ok(exit);
        }
        for notice in &picture.daemon.notices {
            context.complain(&format!("note: {}", clean(notice)))?;
        }
        if picture.daemon.state == "stopping" {
            context.complain("note: superd is shutting down")?;
        }
        let text = if shown.is_empty() && self.names.is_empty() {
            format!("no programs yet; to add one: {} add NAME -- COMMAND\n", context.globals.typed())
        } else {
            text(&shown, context)
        };
        context.print(&text)?;
        Ok(exit)
    }

    /// The named programs, each once, in the order named.
    fn choose<'a>(
        &self,
        context: &mut Context<'_>,
        picture: &'a Picture<'a>,
    ) -> Result<(Vec<&'a ProgramView<'a>>, Exit), Failure> {
        if self.names.is_empty() {
            return Ok((picture.programs.iter().collect(), Exit::Done));
        }
        let mut shown: Vec<&ProgramView<'_>> = Vec::new();
        let mut exit = Exit::Done;
        for name in &self.names {
            let found = select(&picture.programs, name);
            if found.is_empty() && name != "all" {
                context.complain(&unknown(&picture.programs, name).to_string())?;
                exit = exit.max(Exit::UnknownName);
            }
            for p in found {
                if p.pid == 0 {
                    exit = exit.max(Exit::NotRunning);
                }
                if !shown.iter().any(|s| std::ptr::eq(*s, p)) {
                    shown.push(p);
                }
            }
        }
        Ok((shown, exit))
    }
}

fn text(programs: &[&ProgramView<'_>], context: &Context<'_>) -> String {
    if programs.is_empty() {
        return String::new();
    }
    let mut table = Table::new(programs.len() + 1, 6);
    for head in ["NAME", "STATE", "PID", "UPTIME", "RESTARTS"] {
        table.text(Tone::Bold, head);
    }
    table.end_line();
    for program in programs {
        add_line(&mut table, program, &context.globals);
    }
    table.paint(context.style)
}

fn add_line(table: &mut Table, p: &ProgramView<'_>, globals: &Globals) {
    let tone = tone(&p.state);
    table.text(Tone::Plain, &p.full_name());
    table.text(tone, &p.state);
    if p.pid == 0 {
        table.text(Tone::Plain, "-");
        table.text(Tone::Plain, "-");
    } else {
        table.number(p.pid.into());
        table.duration(p.uptime_s);
    }
    table.number(p.restarts.into());
    let tone = if tone == Tone::Bad { Tone::Bad } else { Tone::Dim };
    match (&*p.reason, globals.retyped(&p.hint).as_str()) {
        ("", "") => {}
        (reason, "") => table.text(tone, reason),
        ("", hint) => table.text(tone, &format!("→ {}", clean(hint))),
        (reason, hint) => table.text(tone, &format!("{} → {}", clean(reason), clean(hint))),
    }
    table.end_line();
}

/// Supervisor's words come as text, and a later daemon may know more of them.
fn tone(state: &str) -> Tone {
    match state {
        "RUNNING" => Tone::Good,
        "STARTING" | "STOPPING" | "BACKOFF" => Tone::Busy,
        "FATAL" | "UNKNOWN" => Tone::Bad,
        _ => Tone::Dim,
    }
}
