//! `supers status`: the table, or its objects.

use super::exit::{Exit, Failure};
use super::term::{Cell, Tone, clean, duration, table};
use super::{Context, Globals};
use clap::Args;
use std::borrow::Cow;
use supers_api::select::{select, unknown};
use supers_core::control::Status as Picture;
use supers_core::snapshot::ProgramView;

/// Show programs: state, process, uptime, and what is wrong
///
/// With names: exit 3 when one of them is not running, 4 when one is unknown.
#[derive(Args, Default)]
pub(super) struct Status {
    /// Programs; all when none is named
    names: Vec<String>,
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
    let head = ["NAME", "STATE", "PID", "UPTIME", "RESTARTS"];
    let mut rows = vec![head.map(|h| Cell::new(Tone::Bold, h)).into_iter().collect::<Vec<_>>()];
    rows.extend(programs.iter().map(|p| line(p, &context.globals)));
    table(&rows, context.style)
}

fn line<'a>(p: &'a ProgramView<'a>, globals: &Globals) -> Vec<Cell<'a>> {
    let tone = tone(&p.state);
    let (pid, uptime) = match p.pid {
        0 => ("-".into(), "-".into()),
        pid => (Cow::Owned(pid.to_string()), Cow::Owned(duration(p.uptime_s))),
    };
    let name = match p.full_name() {
        Cow::Borrowed(name) => clean(name),
        Cow::Owned(name) => clean(&name).into_owned().into(),
    };
    let restarts = match p.restarts {
        0 => Cow::Borrowed("0"),
        n => Cow::Owned(n.to_string()),
    };
    let mut cells = Vec::with_capacity(6);
    cells.extend([
        Cell::new(Tone::Plain, name),
        Cell::new(tone, clean(&p.state)),
        Cell::new(Tone::Plain, pid),
        Cell::new(Tone::Plain, uptime),
        Cell::new(Tone::Plain, restarts),
    ]);
    if p.reason.is_empty() && p.hint.is_empty() {
        return cells;
    }
    let hint = globals.retyped(&p.hint);
    let cause = match (&*p.reason, hint.as_str()) {
        (reason, "") => clean(reason),
        ("", hint) => format!("→ {}", clean(hint)).into(),
        (reason, hint) => format!("{} → {}", clean(reason), clean(hint)).into(),
    };
    cells.push(Cell::new(if tone == Tone::Bad { Tone::Bad } else { Tone::Dim }, cause));
    cells
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
