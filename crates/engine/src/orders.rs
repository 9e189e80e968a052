//! What doors ask of the engine, and how each request is carried out.

use crate::engine::Engine;
use crate::handle::unknown;
use crate::present::Present;
use crate::sources::{Fresh, findings, wanted};
use crate::store::CONNECTIONS;
use crate::tickets::{RowMsg, Waiting, ticket};
use std::collections::BTreeSet;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use supers_config::Loaded;
use supers_core::control::{Caller, NewUnit, Order, Outcome, PlanItem, PlanView, Refusal, Row, Rules, Verb};
use supers_core::event::Happening;
use supers_core::fleet::{Plan, plan, select};
use supers_core::history::Change;
use supers_core::ids::{Pid, UnitId};
use supers_core::inside::{GroupDone, Reread, StdinDone};
use supers_core::proc::{Event, State, Want};
use tokio::sync::{mpsc, oneshot};

/// Where an answer goes.
pub(crate) type Reply<T> = oneshot::Sender<Result<T, Refusal>>;
/// Rows of an order.
pub(crate) type RowsRx = mpsc::Receiver<RowMsg>;

/// A request from a door.
pub(crate) enum Ask {
    Order { caller: Caller, order: Order, reply: Reply<RowsRx> },
    Reload { caller: Caller, dry_run: bool, reply: Reply<PlanView> },
    Add { caller: Caller, unit: NewUnit, reply: Reply<RowsRx> },
    Reread { caller: Caller, reply: Reply<Reread> },
    AddGroup { caller: Caller, name: String, reply: Reply<GroupDone> },
    RemoveGroup { caller: Caller, name: String, reply: Reply<GroupDone> },
    Stdin { unit: UnitId, bytes: Vec<u8>, reply: Reply<StdinDone> },
    Tell { kind: String, data: String, reply: Reply<()> },
    Shutdown { caller: Caller, again: bool, reply: Reply<()> },
    Upgrade { caller: Caller, binary: OwnedFd, reply: Reply<()> },
    DoorsQuiet { connections: String, reply: Reply<()> },
}

/// What goes on when the configuration was read.
pub(crate) enum After {
    Order { order: Order, reply: Reply<RowsRx> },
    Reload { dry_run: bool, reply: Option<Reply<PlanView>> },
    Add { unit: NewUnit, reply: Reply<RowsRx> },
    Reread { reply: Reply<Reread> },
}

impl After {
    /// The unit whose file must be written before the read.
    pub(crate) fn new_unit(&self) -> Option<&NewUnit> {
        match self {
            After::Add { unit, .. } => Some(unit),
            After::Order { .. } | After::Reload { .. } | After::Reread { .. } => None,
        }
    }
}

impl Engine {
    /// Takes a request. Those that use the files' present text first have them read.
    pub(crate) fn asked(&mut self, ask: Ask) {
        let refuse = self.fleet.is_stopping();
        let early = match &ask {
            Ask::Order { order, .. } => self.comes_too_early(order),
            Ask::Stdin { unit, .. } => self.is_unborn(*unit),
            Ask::Reload { .. }
            | Ask::Add { .. }
            | Ask::Reread { .. }
            | Ask::AddGroup { .. }
            | Ask::RemoveGroup { .. }
            | Ask::Tell { .. }
            | Ask::Shutdown { .. }
            | Ask::Upgrade { .. }
            | Ask::DoorsQuiet { .. } => false,
        };
        if early {
            return self.postponed.push(ask);
        }
        match ask {
            Ask::Order { reply, .. } if refuse => drop(reply.send(Err(Refusal::ShuttingDown))),
            Ask::Reload { reply, .. } if refuse => drop(reply.send(Err(Refusal::ShuttingDown))),
            Ask::Add { reply, .. } if refuse => drop(reply.send(Err(Refusal::ShuttingDown))),
            Ask::Reread { reply, .. } if refuse => drop(reply.send(Err(Refusal::ShuttingDown))),
            Ask::AddGroup { reply, .. } | Ask::RemoveGroup { reply, .. } if refuse => {
                drop(reply.send(Err(Refusal::ShuttingDown)));
            }
            Ask::Order { caller, order, reply } => {
                self.audit_order(&caller, &order);
                match order.verb {
                    Verb::Start | Verb::Restart if order.rules == Rules::Supers => {
                        self.sources.read_for(After::Order { order, reply }, &self.fleet)
                    }
                    Verb::Start | Verb::Restart | Verb::Stop | Verb::Reload | Verb::Signal(_) => {
                        let rows = self.carry_out(&order, &Present::default());
                        drop(reply.send(rows));
                    }
                }
            }
            Ask::Reload { caller, dry_run, reply } => {
                self.audit(&caller, if dry_run { "reload --dry-run" } else { "reload" });
                self.sources.read_for(After::Reload { dry_run, reply: Some(reply) }, &self.fleet);
            }
            Ask::Add { caller, unit, reply } => {
                self.audit(&caller, &format!("add {}", unit.name));
                self.sources.read_for(After::Add { unit, reply }, &self.fleet);
            }
            Ask::Reread { caller, reply } => {
                self.audit(&caller, "reread");
                self.sources.read_for(After::Reread { reply }, &self.fleet);
            }
            Ask::AddGroup { caller, name, reply } => {
                self.audit(&caller, &format!("add group {name}"));
                drop(reply.send(Ok(self.add_group(&name))));
            }
            Ask::RemoveGroup { caller, name, reply } => {
                self.audit(&caller, &format!("remove group {name}"));
                drop(reply.send(Ok(self.remove_group(&name))));
            }
            Ask::Stdin { unit, bytes, reply } => {
                let done = self.write_stdin(unit, &bytes);
                drop(reply.send(Ok(done)));
            }
            Ask::Tell { kind, data, reply } => {
                self.happen(Happening::Remote { kind, data });
                drop(reply.send(Ok(())));
            }
            Ask::DoorsQuiet { connections, reply } => {
                self.doors_quiet = true;
                self.store.put_raw(CONNECTIONS, Some(connections.as_bytes()));
                drop(reply.send(Ok(())));
            }
            Ask::Upgrade { reply, .. } if refuse => drop(reply.send(Err(Refusal::ShuttingDown))),
            Ask::Upgrade { caller, binary, reply } => {
                self.audit(&caller, "upgrade");
                self.make_way(binary, reply);
            }
            Ask::Shutdown { caller, again, reply } => {
                self.audit(&caller, if again { "restart of the daemon" } else { "shutdown" });
                // Who asks for the end during a restart means the end.
                self.end_by(again && (self.again || !self.fleet.is_stopping()));
                drop(reply.send(Ok(())));
            }
        }
    }

    /// By Supervisor's rules a process that is being started has a pid: who wants to stop it or to send it a
    /// signal waits until that is known. Bounded by the doors' own queue.
    fn comes_too_early(&self, order: &Order) -> bool {
        let touches = matches!(order.verb, Verb::Stop | Verb::Signal(_));
        order.rules == Rules::Supervisor
            && touches
            && !self.spawning.is_empty()
            && select(&self.fleet, &order.names).is_ok_and(|ids| ids.iter().any(|id| self.is_unborn(*id)))
    }

    fn is_unborn(&self, id: UnitId) -> bool {
        let state = self.fleet.get(id).map(|slot| &slot.unit.state);
        matches!(state, Some(State::Starting { run, pid: None, .. }) if self.spawning.contains(run))
    }

    fn audit_order(&mut self, caller: &Caller, order: &Order) {
        let verb = match order.verb.signal() {
            Some(signal) => format!("signal {signal}"),
            None => verb_word(order.verb).to_owned(),
        };
        self.journal.info(
            self.now,
            format!(
                "{} {} (asked by {} through {})",
                verb_word(order.verb),
                order.names.join(" "),
                caller.who,
                caller.door
            ),
        );
        match select(&self.fleet, &order.names) {
            Ok(ids) => {
                let name = |id: &UnitId| self.fleet.get(*id).map(|slot| slot.spec.full_name());
                let units = ids.iter().filter_map(name).collect();
                self.history.asked(self.now, caller, &verb, &order.names, units);
            }
            // A start may bring a new one.
            Err(_) if matches!(order.verb, Verb::Start | Verb::Restart) => {
                self.history.asked(self.now, caller, &verb, &order.names, order.names.clone());
            }
            Err(name) => {
                let why = format!("nothing is called {name}");
                self.history.refused(self.now, caller, &verb, &order.names, &why);
            }
        }
    }

    fn audit(&mut self, caller: &Caller, what: &str) {
        self.history.asked(self.now, caller, what, &[], Vec::new());
        self.journal.info(self.now, format!("{what} (asked by {} through {})", caller.who, caller.door));
    }

    /// The configuration was read: go on with what waited for it.
    pub(crate) fn read_done(&mut self, fresh: Fresh) {
        let Fresh { loaded, then, written } = fresh;
        for after in then {
            match after {
                After::Order { order, reply } => drop(reply.send(self.order_with(&order, &loaded))),
                After::Reload { dry_run, reply } => {
                    let view = self.reload_with(&loaded, dry_run);
                    if let Some(reply) = reply {
                        drop(reply.send(view));
                    }
                }
                After::Add { unit, reply } => {
                    let rows = match &written {
                        Err(text) => Err(Refusal::Failed { text: text.clone() }),
                        Ok(()) => self.order_with(&start_order(&unit.name), &loaded),
                    };
                    drop(reply.send(rows));
                }
                After::Reread { reply } => {
                    let plan = if loaded.fatal {
                        // The ancestor's own words: its clients print them.
                        let text = loaded.config.first_error().map(|f| f.message.clone());
                        Err(Refusal::Config { text: text.unwrap_or_default() })
                    } else {
                        Ok(self.reread(&loaded))
                    };
                    drop(reply.send(plan));
                }
            }
        }
        self.sources.taken(&self.fleet);
    }

    /// Gives the order to the fleet and lines up the answers.
    pub(crate) fn carry_out(&mut self, order: &Order, present: &Present) -> Result<RowsRx, Refusal> {
        let ids = select(&self.fleet, &order.names)
            .map_err(|name| unknown(&name, self.fleet.full_names().into_iter()))?;
        if matches!(order.verb, Verb::Signal(_)) && order.verb.signal().is_none() {
            return Err(Refusal::BadRequest { text: "there is no such signal".into() });
        }
        self.remember(order.verb, &ids);
        let (tx, rx) = mpsc::channel(ids.len().max(1));
        let mut act = Vec::new();
        for id in ids {
            if let Some(row) = self.at_once(id, order, present) {
                if let (Outcome::Signalled, Some(signal)) = (row.outcome, order.verb.signal()) {
                    self.fleet.each(&[id], &Event::Signal(signal), self.now, &mut self.deeds);
                }
                let _ = tx.try_send(RowMsg { row, tail_of: None });
            } else {
                self.line_up(id, order, present, &tx);
                act.push(id);
            }
        }
        self.act(order.verb, &act, &present.fresh);
        Ok(rx)
    }

    /// The row for an order that has nothing to do for this unit.
    fn at_once(&self, id: UnitId, order: &Order, present: &Present) -> Option<Row> {
        let slot = self.fleet.get(id)?;
        let changed = present.fresh.contains(&id);
        let state = &slot.unit.state;
        let pid = state.pid().map_or(0, |Pid(p)| p);
        let row = |outcome, detail: &str| {
            let (name, detail) = (slot.spec.full_name(), detail.to_owned());
            Some(Row { name, outcome, detail, pid, changed, tail: Vec::new() })
        };
        let up = state.run().is_some() && slot.unit.want == Want::Up;
        let stopping = matches!(state, State::Stopping { .. });
        if let Some(why) = present.broken.get(&id).filter(|_| order.verb == Verb::Restart || !up) {
            return row(Outcome::Failed, why);
        }
        match order.verb {
            // Supervisor does not turn a stop round.
            Verb::Start if stopping && order.rules == Rules::Supervisor => {
                row(Outcome::Superseded, "it is stopping")
            }
            Verb::Start if up && !changed => {
                if state.is_starting() && order.wait {
                    None
                } else {
                    row(Outcome::AlreadyRunning, "")
                }
            }
            Verb::Stop if state.is_down() => row(Outcome::NotRunning, ""),
            Verb::Signal(_) | Verb::Reload if pid == 0 => row(Outcome::NotRunning, ""),
            Verb::Reload if slot.spec.reload_exec.is_empty() => {
                row(Outcome::Failed, "its description names no reload command (ExecReload=)")
            }
            Verb::Signal(_) => row(Outcome::Signalled, ""),
            Verb::Start | Verb::Stop | Verb::Restart | Verb::Reload => None,
        }
    }

    fn line_up(&mut self, id: UnitId, order: &Order, present: &Present, tx: &mpsc::Sender<RowMsg>) {
        let Some(slot) = self.fleet.get(id) else { return };
        let name = slot.spec.full_name();
        let changed = present.fresh.contains(&id);
        let note = present.gone.get(&id).cloned().unwrap_or_default();
        if !order.wait {
            let row = Row { name, outcome: Outcome::Accepted, detail: note, pid: 0, changed, tail: vec![] };
            let _ = tx.try_send(RowMsg { row, tail_of: None });
            return;
        }
        // A start that is under way already counts: it is what was asked for, or began with the new
        // description a moment ago.
        let before = if (order.verb == Verb::Start || changed) && slot.unit.state.is_starting() {
            supers_core::ids::RunId(slot.unit.run.0.saturating_sub(1))
        } else {
            slot.unit.run
        };
        let until = order.timeout().map(|t| self.now.mono + t);
        let waiting = Waiting {
            ticket: ticket(order.verb, before),
            name,
            changed,
            note,
            until,
            settle: order.rules == Rules::Supers,
            look_at: None,
            tx: tx.clone(),
        };
        self.tickets.add(id, waiting);
        self.touched.insert(id);
    }

    /// What the operator wishes outlives the daemon.
    fn remember(&mut self, verb: Verb, ids: &[UnitId]) {
        for slot in ids.iter().filter_map(|id| self.fleet.get(*id)) {
            match verb {
                Verb::Stop => self.wishes.stopped(&slot.spec),
                Verb::Start | Verb::Restart => self.wishes.started(&slot.spec.full_name()),
                Verb::Reload | Verb::Signal(_) => {}
            }
        }
    }

    fn act(&mut self, verb: Verb, ids: &[UnitId], fresh: &BTreeSet<UnitId>) {
        let now = self.now;
        match verb {
            Verb::Start => self.fleet.start(ids, now, &mut self.deeds),
            Verb::Stop => self.fleet.stop(ids, now, &mut self.deeds),
            Verb::Restart => {
                let is_down = |id: &UnitId| self.fleet.get(*id).is_some_and(|s| s.unit.state.is_down());
                let (down, up): (Vec<UnitId>, Vec<UnitId>) = ids.iter().partition(|id| is_down(id));
                // Those with a new description are on their way round already.
                let round: Vec<UnitId> = up.into_iter().filter(|id| !fresh.contains(id)).collect();
                self.fleet.restart(&round, now, &mut self.deeds);
                self.fleet.start(&down, now, &mut self.deeds);
            }
            Verb::Reload => self.fleet.each(ids, &Event::Reload, now, &mut self.deeds),
            Verb::Signal(_) => {}
        }
    }

    fn reload_with(&mut self, loaded: &Loaded, dry_run: bool) -> Result<PlanView, Refusal> {
        let findings = findings(loaded);
        if loaded.fatal {
            let text = findings.join("\n");
            self.journal.warn(self.now, format!("reload refused, nothing was changed: {text}"));
            self.history.configuration(self.now, Err(&text));
            return Err(Refusal::Config { text });
        }
        let mut plan = plan(&self.fleet, wanted(loaded));
        self.keep_merged(&mut plan, loaded);
        let mut view = self.describe(&plan);
        view.findings = findings;
        view.applied = !dry_run;
        if !dry_run {
            self.settings.send_replace(Arc::new(loaded.config.settings.clone()));
            self.keep_parsed(loaded);
            self.apply(plan);
        }
        Ok(view)
    }

    fn describe(&self, plan: &Plan) -> PlanView {
        let item = |id: &UnitId, deed: &str| {
            let slot = self.fleet.get(*id)?;
            let pid = slot.unit.state.pid().map_or(0, |Pid(p)| p);
            Some(PlanItem { name: slot.spec.full_name(), pid, deed: deed.into() })
        };
        let changed = plan.changed.iter().filter_map(|(id, (spec, _))| {
            let slot = self.fleet.get(*id)?;
            let deed = match (slot.unit.want, spec.refused.is_some(), slot.unit.state.pid().is_some()) {
                (_, true, _) => "refused",
                (Want::Up, false, true) => "restart",
                (Want::Up, false, false) => "start",
                (Want::Down, false, _) => "stays stopped",
            };
            item(id, deed)
        });
        let kept = plan.kept.iter().filter_map(|(id, (spec, _))| match spec.refused {
            Some(_) => item(id, "keeps running, its new description is broken"),
            None => {
                item(id, "keeps running, several files describe it now; only a restart by hand uses them all")
            }
        });
        let added = plan.added.iter().map(|(spec, _)| {
            let deed = match (spec.refused.is_some(), spec.autostart) {
                (true, _) => "refused",
                (false, true) => "start",
                (false, false) => "stays stopped",
            };
            PlanItem { name: spec.full_name(), pid: 0, deed: deed.into() }
        });
        PlanView {
            added: added.collect(),
            changed: changed.chain(kept).collect(),
            removed: plan.removed.iter().filter_map(|id| item(id, "stop")).collect(),
            unchanged: u32::try_from(plan.same.len()).unwrap_or(u32::MAX),
            findings: Vec::new(),
            applied: false,
        }
    }

    /// Applies a plan: only what it names is touched.
    fn apply(&mut self, plan: Plan) {
        let now = self.now;
        self.history.configuration(now, Ok((plan.added.len(), plan.changed.len(), plan.removed.len())));
        for (spec, origin) in &plan.added {
            self.history.file_changed(now, spec, origin, Change::Added);
        }
        for (_, (spec, origin)) in &plan.changed {
            self.history.file_changed(now, spec, origin, Change::Changed);
        }
        for slot in plan.removed.iter().filter_map(|id| self.fleet.get(*id)) {
            self.history.file_changed(now, &slot.spec, &slot.origin, Change::Removed);
        }
        for id in plan.removed {
            self.fleet.remove(id, now, &mut self.deeds);
        }
        let mut new: Vec<UnitId> = plan.changed.iter().map(|(id, _)| *id).collect();
        for (id, (spec, origin)) in plan.changed.into_iter().chain(plan.same) {
            self.fleet.replace(id, spec, origin, now, &mut self.deeds);
        }
        let mut added = Vec::new();
        for (spec, origin) in plan.added {
            added.extend(self.fleet.add(spec, origin, now));
        }
        new.extend(&added);
        self.fleet.link();
        self.groups_as_parsed();
        self.prepare(&new);
        self.boot(added);
    }
}

fn start_order(name: &str) -> Order {
    Order {
        verb: Verb::Start,
        names: vec![name.to_owned()],
        wait: true,
        timeout_ms: None,
        rules: Rules::Supers,
    }
}

fn verb_word(verb: Verb) -> &'static str {
    match verb {
        Verb::Start => "start",
        Verb::Stop => "stop",
        Verb::Restart => "restart",
        Verb::Reload => "reload",
        Verb::Signal(_) => "signal",
    }
}
