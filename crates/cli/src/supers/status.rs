//! `supers status`: the table, or its objects.

use super::exit::{Exit, Failure};
use super::term::{Style, Table, Tone, clean, duration};
use super::{Context, Globals, plural};
use clap::Args;
use supers_api::Picture as Answer;
use supers_api::select::{is_pattern, select, unknown};
use supers_core::control::Status as Picture;
use supers_core::snapshot::{DaemonView, NamedView, ProgramView, Usage};

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
        if self.names.is_empty() && !context.globals.json {
            return all(context, &picture);
        }
        let picture = picture.read()?;
        let (shown, exit) = self.choose(context, &picture)?;
        let usage = self.usage(context, &shown).await;
        if context.globals.json {
            match shown.as_slice() {
                [program] => context.print_json(&[NamedView { program, usage }])?,
                several => context.print_json(&several)?,
            }
            return Ok(exit);
        }
        notes(context, &picture.daemon)?;
        let mut table = Lines::new(context, shown.len());
        shown.iter().for_each(|program| table.add(program));
        let text = table.text() + &uses(usage);
        context.print(&text)?;
        Ok(exit)
    }

    /// What one program that was named uses; who asks for several gets the table alone.
    async fn usage(&self, context: &Context<'_>, shown: &[&ProgramView<'_>]) -> Usage {
        let ([name], [program]) = (self.names.as_slice(), shown) else { return Usage::default() };
        if is_pattern(name) || name == "all" {
            return Usage::default();
        }
        let ask = async { context.connect().await.ok()?.usage(&program.full_name()).await.ok() };
        // The state is known already: nobody waits long, or fails, for the rest.
        tokio::time::timeout(context.around.patience, ask).await.ok().flatten().unwrap_or_default()
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

/// The table of all programs, as nearly everybody wants it: made while the answer is read.
fn all(context: &mut Context<'_>, answer: &Answer) -> Result<Exit, Failure> {
    /// Bytes of a line of a brief answer; when there are more of them, the table grows.
    const SHORT_LINE: usize = 32;
    let mut table = Lines::new(context, answer.size() / SHORT_LINE);
    let daemon = answer.each(&mut |program| table.add(program))?;
    let text = match table.text() {
        none if none.is_empty() => {
            format!("no programs yet; to add one: {} add NAME -- COMMAND\n", context.globals.typed())
        }
        text => text,
    };
    notes(context, &daemon)?;
    context.print(&text)?;
    Ok(Exit::Done)
}

/// What the operator should know.
fn notes(context: &mut Context<'_>, daemon: &DaemonView) -> Result<(), Failure> {
    for notice in &daemon.notices {
        context.complain(&format!("note: {}", clean(notice)))?;
    }
    if daemon.state == "stopping" {
        context.complain("note: superd is shutting down")?;
    }
    Ok(())
}

/// A line with what is known; none when nothing is.
fn uses(usage: Usage) -> String {
    let Usage { tasks, memory_bytes, cpu_ms } = usage;
    let tasks = tasks.map(|n| plural(usize::try_from(n).unwrap_or(usize::MAX), "task"));
    let memory = memory_bytes.map(size);
    let cpu = cpu_ms.map(|ms| match ms {
        0..60_000 => format!("{}.{} s CPU", ms / 1000, ms % 1000 / 100),
        _ => format!("{} CPU", duration(ms / 1000)),
    });
    let known: Vec<String> = [tasks, memory, cpu].into_iter().flatten().collect();
    if known.is_empty() { String::new() } else { format!("uses: {}\n", known.join(", ")) }
}

/// `12.4 MiB`.
fn size(bytes: u64) -> String {
    let (unit, word) = match bytes {
        0..0x10_0000 => (1 << 10, "KiB"),
        0x10_0000..0x4000_0000 => (1 << 20, "MiB"),
        _ => (1 << 30, "GiB"),
    };
    format!("{}.{} {word}", bytes / unit, bytes % unit * 10 / unit)
}

/// The table under way.
struct Lines<'c> {
    table: Table,
    globals: &'c Globals,
    style: Style,
    empty: bool,
}

impl<'c> Lines<'c> {
    fn new(context: &'c Context<'_>, lines: usize) -> Lines<'c> {
        let mut table = Table::new(lines + 1, 6);
        for head in ["NAME", "STATE", "PID", "UPTIME", "RESTARTS"] {
            table.text(Tone::Bold, head);
        }
        table.end_line();
        Lines { table, globals: &context.globals, style: context.style, empty: true }
    }

    fn add(&mut self, p: &ProgramView<'_>) {
        self.empty = false;
        let (table, tone) = (&mut self.table, tone(&p.state));
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
        // Not compared with "": a thousand lines of a comparison that touches no byte take a quarter of a
        // millisecond where the library does it with masks.
        if !p.reason.is_empty() || !p.hint.is_empty() {
            table.text(tone, &remark(p, self.globals));
        }
        table.end_line();
    }

    /// Nothing without a program.
    fn text(&self) -> String {
        if self.empty { String::new() } else { self.table.paint(self.style) }
    }
}

/// What is wrong, and what to type.
fn remark(p: &ProgramView<'_>, globals: &Globals) -> String {
    let (reason, hint) = (clean(&p.reason), globals.retyped(&p.hint));
    match (reason.is_empty(), hint.is_empty()) {
        (_, true) => reason.into_owned(),
        (true, false) => format!("→ {}", clean(&hint)),
        (false, false) => format!("{reason} → {}", clean(&hint)),
    }
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_used() {
        let used = |tasks, memory_bytes, cpu_ms| uses(Usage { tasks, memory_bytes, cpu_ms });
        assert_eq!(used(Some(3), Some(13_003_000), Some(1_260)), "uses: 3 tasks, 12.4 MiB, 1.2 s CPU\n");
        assert_eq!(used(Some(1), None, Some(7_322_000)), "uses: 1 task, 2h 02m CPU\n");
        assert_eq!(used(None, Some(2047), None), "uses: 1.9 KiB\n");
        assert_eq!(used(None, Some(u64::MAX), None), "uses: 17179869183.9 GiB\n");
        assert_eq!(used(None, None, None), "");
    }
}
