//! `supers signal`.

use super::Context;
use super::exit::{Exit, Failure};
use super::rows::send;
use clap::Args;
use supers_core::control::{Order, Rules, Verb};

/// Send a signal to the main processes of programs
///
/// Exit 3 when one of them is not running.
#[derive(Args)]
pub(super) struct Signal {
    /// HUP, SIGHUP or 1
    #[arg(value_parser = number)]
    signal: i32,
    /// Programs, patterns, or all
    #[arg(required = true)]
    names: Vec<String>,
}

fn number(text: &str) -> Result<i32, String> {
    let signal = supers_core::signal::Signal::parse(text);
    signal.map(|s| s.number()).ok_or_else(|| "there is no such signal".into())
}

impl Signal {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let verb = Verb::Signal(self.signal);
        send(context, Order { verb, names: self.names, wait: true, timeout_ms: None, rules: Rules::Supers })
            .await
    }
}
