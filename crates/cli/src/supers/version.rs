//! `supers version`.

use super::exit::{Exit, Failure};
use super::term::{clean, duration};
use super::{Context, reach};
use clap::Args;
use serde::Serialize;
use supers_core::snapshot::DaemonView;

/// Print versions, the daemon's process, and which configuration is used and why
#[derive(Args)]
pub(super) struct Version {}

const OWN: &str = env!("CARGO_PKG_VERSION");

#[derive(Serialize)]
struct Versions {
    version: &'static str,
    daemon: DaemonView,
}

impl Version {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let way = reach::way(&context.globals, context.around)?;
        let remote = match way.connect(&context.globals, context.around).await {
            Ok(remote) => remote,
            Err(failure) => {
                if !context.globals.json {
                    let why = way.places.as_ref().map(|p| format!("configuration: {}\n", p.why));
                    context.print(&format!("supers {OWN}\n{}", why.unwrap_or_default()))?;
                }
                return Err(failure);
            }
        };
        let daemon = context.daemon_of(&remote).await?;
        if context.globals.json {
            context.print_json(&Versions { version: OWN, daemon })?;
        } else {
            context.print(&text(&daemon))?;
        }
        Ok(Exit::Done)
    }
}

fn text(d: &DaemonView) -> String {
    let mut text = format!("supers {OWN}\nsuperd {}, pid {}", clean(&d.version), d.pid);
    if d.daemon_pid != d.pid {
        text += &format!(" (the daemon itself: {})", d.daemon_pid);
    }
    text += &format!(", up {}", duration(d.uptime_s));
    if d.starts > 1 {
        text += &format!(", brought back {} times", d.starts - 1);
    }
    if !d.containment.is_empty() {
        text += &format!("\nkept together by: {}", clean(&d.containment));
    }
    text + &format!("\nconfiguration: {}\n", clean(&d.config))
}
