//! Orders and their results, for all subcommands that change something.

use super::exit::{Exit, Failure};
use super::interrupt::interrupted;
use super::term::{Tone, clean};
use super::{Context, caller};
use clap::Args;
use supers_api::select::{Verdict, verdict};
use supers_core::control::{Answer, Control, Order, Outcome, Row, Rows, Rules, Verb};
use supers_core::signal::Signal;

/// Names and patience.
#[derive(Args)]
pub(super) struct Wish {
    /// Programs, patterns, or all
    #[arg(required = true)]
    pub(super) names: Vec<String>,
    #[command(flatten)]
    pub(super) patience: Patience,
}

/// How long to wait.
#[derive(Args)]
pub(super) struct Patience {
    /// Return as soon as the order is taken
    #[arg(long)]
    no_wait: bool,
    /// Give up waiting after this time; the job goes on
    #[arg(long, value_name = "SECONDS", value_parser = seconds, conflicts_with = "no_wait")]
    timeout: Option<u64>,
}

/// Seconds, perhaps with a fraction, as milliseconds.
fn seconds(text: &str) -> Result<u64, String> {
    let wrong = || "a number of seconds is needed".to_string();
    let (whole, part) = text.split_once('.').unwrap_or((text, "0"));
    if part.is_empty() || !part.bytes().all(|b| b.is_ascii_digit()) {
        return Err(wrong());
    }
    let whole: u64 = whole.parse().map_err(|_| wrong())?;
    let millis: u64 = format!("{part:0<3}")[..3].parse().map_err(|_| wrong())?;
    Ok(whole.saturating_mul(1000).saturating_add(millis))
}

impl Wish {
    /// Orders `verb` for all names.
    pub(super) async fn carry_out(self, verb: Verb, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let Patience { no_wait, timeout } = self.patience;
        let order =
            Order { verb, names: self.names, wait: !no_wait, timeout_ms: timeout, rules: Rules::Supers };
        send(context, order).await
    }
}

/// Sends an order and prints what comes.
pub(super) async fn send(context: &mut Context<'_>, order: Order) -> Result<Exit, Failure> {
    let verb = order.verb;
    let remote = context.connect().await?;
    follow(context, verb, remote.order(caller(), order)).await
}

/// Prints rows as they come, until all came or the user has enough.
pub(super) async fn follow(
    context: &mut Context<'_>,
    verb: Verb,
    rows: Answer<'_, Box<dyn Rows>>,
) -> Result<Exit, Failure> {
    tokio::select! {
        biased;
        () = interrupted() => give_up(context),
        exit = async { print_all(context, verb, rows.await?).await } => exit,
    }
}

fn give_up(context: &mut Context<'_>) -> Result<Exit, Failure> {
    let next = context.globals.typed();
    context.complain(&format!("interrupted; the job goes on: {next} status"))?;
    Ok(Exit::Interrupted)
}

/// Prints rows as they come; the worst of their verdicts.
async fn print_all(context: &mut Context<'_>, verb: Verb, mut rows: Box<dyn Rows>) -> Result<Exit, Failure> {
    let mut exit = Exit::Done;
    let mut all = Vec::new();
    while let Some(row) = rows.next().await? {
        exit = exit.max(match verdict(verb, row.outcome) {
            Verdict::Done | Verdict::Taken => Exit::Done,
            Verdict::NotRunning => Exit::NotRunning,
            Verdict::Failed => Exit::Failed,
        });
        if context.globals.json {
            all.push(row);
        } else {
            print_row(context, verb, &row)?;
        }
    }
    if context.globals.json {
        context.print_json(&all)?;
    }
    Ok(exit)
}

/// Successes go to standard output, failures to standard error.
fn print_row(context: &mut Context<'_>, verb: Verb, row: &Row) -> Result<(), Failure> {
    let text = row_text(verb, row, context);
    match verdict(verb, row.outcome) {
        Verdict::Done | Verdict::Taken => context.print(&text),
        Verdict::NotRunning | Verdict::Failed => Ok(context.io.err.write_all(text.as_bytes())?),
    }
}

fn row_text(verb: Verb, row: &Row, context: &Context<'_>) -> String {
    let style = context.style;
    let name = clean(&row.name);
    let failed = verdict(verb, row.outcome) == Verdict::Failed;
    let outcome = what(verb, row);
    let mut text = format!("{name}: {}", style.paint(tone(verb, row.outcome), &outcome));
    if row.pid != 0 {
        text += &format!(", pid {}", row.pid);
    }
    // A cause that says "cannot start" itself need not say it twice.
    let detail = if failed { row.detail.trim_start_matches("cannot start: ") } else { &row.detail };
    if !detail.is_empty() {
        text += &format!(": {}", clean(detail));
    }
    if row.changed {
        text += " (with the present text of its file)";
    }
    text.push('\n');
    for line in &row.tail {
        text += &format!("  {} {}\n", style.paint(Tone::Dim, "|"), clean(line));
    }
    if failed {
        let typed = context.globals.typed();
        text += &match (row.tail.is_empty(), detail.starts_with("refused: ")) {
            // What else is wrong with the files.
            (true, true) => format!("  → {typed} check\n"),
            (true, false) => format!("  → {typed} status {name}\n"),
            (false, _) => format!("  → {typed} logs {name}\n"),
        };
    }
    text
}

fn what(verb: Verb, row: &Row) -> String {
    let text = match row.outcome {
        Outcome::Started => "started",
        Outcome::AlreadyRunning => "already running",
        Outcome::Stopped => "stopped",
        Outcome::NotRunning => "not running",
        Outcome::Restarted => "restarted",
        Outcome::Signalled => {
            return verb.signal().map_or_else(|| "signalled".into(), |s: Signal| format!("{s} sent"));
        }
        Outcome::Reloaded => "reloaded",
        Outcome::Accepted => "order taken",
        Outcome::Failed => return format!("cannot {}", word(verb)),
        Outcome::Superseded => "another order came between",
        Outcome::TimedOut => "not done within the time limit, the job goes on",
    };
    text.into()
}

fn word(verb: Verb) -> &'static str {
    match verb {
        Verb::Start => "start",
        Verb::Stop => "stop",
        Verb::Restart => "restart",
        Verb::Reload => "reload",
        Verb::Signal(_) => "be signalled",
    }
}

fn tone(verb: Verb, outcome: Outcome) -> Tone {
    match verdict(verb, outcome) {
        Verdict::Done => Tone::Good,
        Verdict::Taken => Tone::Busy,
        Verdict::NotRunning | Verdict::Failed => Tone::Bad,
    }
}

#[cfg(test)]
mod tests {
    use super::seconds;

    #[test]
    fn fractions_of_seconds() {
        let good = ["0", "5", "0.5", "1.25", "2.0001"].map(|t| seconds(t).unwrap());
        assert_eq!(good, [0, 5000, 500, 1250, 2000]);
        for bad in ["", "-1", "1.", ".5", "1e3", "x", "1.-5", "inf"] {
            assert!(seconds(bad).is_err(), "{bad}");
        }
    }
}
