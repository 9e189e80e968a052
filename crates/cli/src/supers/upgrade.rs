//! `supers upgrade`.

use super::exit::{Exit, Failure};
use super::{Context, caller};
use clap::Args;
use serde::Serialize;
use std::path::PathBuf;
use std::time::{Duration, Instant};
use supers_core::control::{Control, Refusal};
use supers_core::snapshot::DaemonView;

/// Replace the running superd by another build of it; programs, logs and connections go on
#[derive(Args)]
pub(super) struct Upgrade {
    /// The program to run; by default the file that superd was started from, as it is now
    #[arg(long, value_name = "PATH")]
    binary: Option<PathBuf>,
}

/// How long to look for the new daemon. The keeper goes back to the old one after ten seconds.
const PATIENCE: Duration = Duration::from_secs(30);
/// How long to wait for the end of the old one, at most.
const FAREWELL: Duration = Duration::from_secs(2);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(2);
/// How a notice begins that tells of a failed upgrade.
const FAILED: &str = "upgrade failed";

#[derive(Serialize)]
struct Done {
    from: String,
    to: String,
    /// Milliseconds without an answer.
    away_ms: u64,
}

// A client may look at the clock, and wait.
#[allow(clippy::disallowed_methods)]
impl Upgrade {
    pub(super) async fn run(self, context: &mut Context<'_>) -> Result<Exit, Failure> {
        let remote = context.connect().await?;
        let before = context.daemon_of(&remote).await?;
        let binary =
            self.binary.as_ref().map(|path| context.around.world.cwd.join(path).display().to_string());
        remote.upgrade(caller(), binary).await?;
        let begun = Instant::now();
        let after = new_daemon(context, &before, begun).await?;
        let away_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        until_gone(before.daemon_pid, begun).await;
        if let Some(why) = after.notices.iter().find(|notice| notice.starts_with(FAILED)) {
            return Err(failed(why));
        }
        let done = Done { from: before.version, to: after.version, away_ms };
        if context.globals.json {
            context.print_json(&done)?;
        } else {
            let Done { from, to, away_ms } = done;
            context.print(&format!("superd {from} -> {to}, away for {away_ms} ms; all programs go on\n"))?;
        }
        Ok(Exit::Done)
    }
}

/// Waits until another daemon answers.
#[allow(clippy::disallowed_methods)]
async fn new_daemon(
    context: &Context<'_>,
    before: &DaemonView,
    begun: Instant,
) -> Result<DaemonView, Failure> {
    loop {
        let seen = match context.connect().await {
            Ok(remote) => context.daemon_of(&remote).await,
            Err(failure) => Err(failure),
        };
        match seen {
            Ok(view) if view.daemon_pid != before.daemon_pid => return Ok(view),
            Err(failure) if begun.elapsed() > PATIENCE => return Err(failure),
            Ok(_) if begun.elapsed() > PATIENCE => {
                return Err(failed("the daemon of before still answers"));
            }
            Ok(_) | Err(_) => tokio::time::sleep(PAUSE).await,
        }
    }
}

/// The daemon of before ends a moment after the other one answers. Who counts processes next is not to count it; a
/// daemon on another machine is not seen.
#[allow(clippy::disallowed_methods)]
async fn until_gone(pid: i32, begun: Instant) {
    let comm = format!("/proc/{pid}/comm");
    let is_there = || std::fs::read_to_string(&comm).is_ok_and(|name| name == "superd\n");
    while begun.elapsed() < FAREWELL && is_there() {
        tokio::time::sleep(PAUSE).await;
    }
}

fn failed(why: &str) -> Failure {
    Failure::Refused(Refusal::Failed { text: why.to_owned() })
}
