//! What doors inside the daemon can ask beyond `Control`: the rest of Supervisor's interface.

use crate::clock;
use crate::environ;
use crate::handle::{Handle, flow};
use crate::orders::Ask;
use std::io;
use std::sync::Arc;
use supers_core::control::{Answer, Caller, LogFlow, LogFrom, Refusal};
use supers_core::exit::StartError;
use supers_core::history::{Page, Query};
use supers_core::ids::UnitId;
use supers_core::inside::{Cut, GroupDone, Inside, LogFault, LogOf, Piece, Reread, StdinDone, Unrunnable};
use supers_core::snapshot::{DaemonView, Snapshot, Usage};
use supers_core::spec::Spec;
use supers_core::time::Now;
use supers_os::{spawn::resolve, users};

impl Inside for Handle {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.board.read()
    }

    fn now(&self) -> Now {
        clock::now()
    }

    fn daemon(&self) -> DaemonView {
        self.view(&self.board.read())
    }

    fn identifier(&self) -> String {
        self.parsed.read().identifier.clone()
    }

    fn has_supervisor_rpc(&self) -> bool {
        self.identity.supervisor_rpc
    }

    fn main_log_path(&self) -> String {
        self.main.path().map(|path| path.display().to_string()).unwrap_or_default()
    }

    fn last_parse(&self) -> Arc<[Arc<Spec>]> {
        self.parsed.read().wanted.iter().map(|(spec, _)| spec.clone()).collect()
    }

    fn user_id(&self, name: &str) -> Option<u32> {
        users::lookup_user(name).ok().map(|user| user.uid)
    }

    fn runnable(&self, units: Vec<UnitId>) -> Answer<'_, Vec<Result<(), Unrunnable>>> {
        Box::pin(async move {
            let specs = units.into_iter().map(|unit| self.spec(unit)).collect::<Result<Vec<_>, _>>()?;
            let env = self.child_env.clone();
            on_helper(move || specs.iter().map(|spec| runnable(&env, spec)).collect()).await
        })
    }

    fn reread(&self, caller: Caller) -> Answer<'_, Reread> {
        Box::pin(self.ask(move |reply| Ask::Reread { caller, reply }))
    }

    fn add_group(&self, caller: Caller, name: String) -> Answer<'_, GroupDone> {
        Box::pin(self.ask(move |reply| Ask::AddGroup { caller, name, reply }))
    }

    fn remove_group(&self, caller: Caller, name: String) -> Answer<'_, GroupDone> {
        Box::pin(self.ask(move |reply| Ask::RemoveGroup { caller, name, reply }))
    }

    fn send_stdin(&self, unit: UnitId, bytes: Vec<u8>) -> Answer<'_, StdinDone> {
        Box::pin(self.ask(move |reply| Ask::Stdin { unit, bytes, reply }))
    }

    fn tell(&self, kind: String, data: String) -> Answer<'_, ()> {
        Box::pin(self.ask(move |reply| Ask::Tell { kind, data, reply }))
    }

    fn read_log(&self, log: LogOf, cut: Cut) -> Answer<'_, Result<Piece, LogFault>> {
        Box::pin(async move {
            match log {
                LogOf::Main => {
                    let main = self.main.clone();
                    on_helper(move || main.read(cut)).await
                }
                LogOf::Unit(unit, stream) => {
                    let (spec, logs) = (self.spec(unit)?, self.logs.clone());
                    on_helper(move || logs.read(unit, &spec.output, stream, cut)).await
                }
            }
        })
    }

    fn clear_log(&self, log: LogOf) -> Answer<'_, Result<(), LogFault>> {
        Box::pin(async move {
            match log {
                LogOf::Main => {
                    let main = self.main.clone();
                    on_helper(move || main.clear()).await
                }
                LogOf::Unit(unit, stream) => Ok(match self.logs.clear(unit, stream).await {
                    // A unit without a log has nothing to clear.
                    Err(_) | Ok(Ok(())) => Ok(()),
                    Ok(Err(e)) if e.kind() == io::ErrorKind::NotFound => Ok(()),
                    Ok(Err(e)) => Err(LogFault::Failed(supers_os::error_text(&e))),
                }),
            }
        })
    }

    fn main_log(&self, from: LogFrom, follow: bool) -> Answer<'_, Box<dyn LogFlow>> {
        Box::pin(async move {
            let none = || Refusal::Failed { text: "the daemon's own log is no file".into() };
            flow(self.main.reader().ok_or_else(none)?, from, follow)
        })
    }

    fn usage(&self, unit: String) -> Answer<'_, Usage> {
        let identity = self.identity.clone();
        Box::pin(on_helper(move || identity.contain.as_ref().map_or_else(Usage::default, |c| c.usage(&unit))))
    }

    fn history(&self, query: Query) -> Answer<'_, Page> {
        let history = self.history.clone();
        Box::pin(async move {
            on_helper(move || history.read(&query)).await?.map_err(|e| Refusal::Failed {
                text: format!("the history cannot be read: {}", supers_os::error_text(&e)),
            })
        })
    }

    fn restart(&self, caller: Caller) -> Answer<'_, ()> {
        Box::pin(self.ask(move |reply| Ask::Shutdown { caller, again: true, reply }))
    }
}

impl Handle {
    fn spec(&self, unit: UnitId) -> Result<Arc<Spec>, Refusal> {
        let snapshot = self.board.read();
        let gone = || Refusal::Failed { text: "this program was removed".into() };
        snapshot.get(unit).map(|view| view.spec.clone()).ok_or_else(gone)
    }
}

/// Runs what may wait for a disk away from the thread that answers.
pub(crate) async fn on_helper<T: Send + 'static>(
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let failed = |e: tokio::task::JoinError| Refusal::Failed { text: format!("a helper thread failed: {e}") };
    tokio::task::spawn_blocking(work).await.map_err(failed)
}

/// Whether there is something to execute (supervisor-contract 10, faults 20 and 21).
fn runnable(daemon: &environ::Daemon, spec: &Spec) -> Result<(), Unrunnable> {
    let not = |text: &str| Unrunnable::NotExecutable(text.to_owned());
    let command = spec.exec.first().ok_or_else(|| not("command is empty"))?;
    if let Some(why) = &command.fault {
        return Err(not(why));
    }
    let missing = |e: StartError| match e.errno {
        // ENOENT, ENOTDIR
        2 | 20 => Unrunnable::Missing(e.text),
        _ => Unrunnable::NotExecutable(e.text),
    };
    // What else a start needs (the user, files of variables) is its own affair, and fails there.
    let Ok(env) = environ::build(daemon, spec, None) else { return Ok(()) };
    let Ok(words) = environ::words(command, &env) else { return Err(not("command is empty")) };
    let Some(first) = words.first() else { return Err(not("command is empty")) };
    resolve(first.as_ref(), env.get(b"PATH")).map(drop).map_err(missing)
}
