//! A daemon that answers from values.

use bstr::BString;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use supers_api::rpc::{RpcReply, RpcState, answer};
use supers_api::xmlrpc::{Fault, Value, decode_response, encode_call};
use supers_core::control::*;
use supers_core::ids::{Pid, RunId, UnitId};
use supers_core::inside::*;
use supers_core::proc::{Cause, Phase, State};
use supers_core::snapshot::{DaemonView, Group, Origin, Snapshot, UnitView};
use supers_core::spec::Spec;
use supers_core::time::{Mono, Now, Wall};

/// Noon of 2020-01-02, UTC.
pub const NOW: i64 = 1_577_966_400;

pub type Log = (LogOf, Vec<u8>);

/// What it answers, and what it was asked.
pub struct Fake {
    pub snapshot: Mutex<Arc<Snapshot>>,
    pub now: Mutex<i64>,
    pub parsed: Vec<Arc<Spec>>,
    pub unrunnable: HashMap<String, Unrunnable>,
    /// Outcome by full name; else the good one of the verb.
    pub outcomes: HashMap<String, Outcome>,
    pub reread: Result<Reread, Refusal>,
    pub group: GroupDone,
    pub stdin: StdinDone,
    pub logs: Vec<Log>,
    pub broken_log: bool,
    pub asked: Mutex<Vec<String>>,
}

impl Default for Fake {
    fn default() -> Fake {
        Fake {
            snapshot: Mutex::default(),
            now: Mutex::new(NOW),
            parsed: vec![],
            unrunnable: HashMap::new(),
            outcomes: HashMap::new(),
            reread: Ok(Reread::default()),
            group: GroupDone::Done,
            stdin: StdinDone::Taken,
            logs: vec![],
            broken_log: false,
            asked: Mutex::default(),
        }
    }
}

pub fn running(pid: i32) -> State {
    State::Running { run: RunId(1), pid: Pid(pid), begun: Mono(0) }
}

pub fn stopped() -> State {
    State::Stopped { cause: Cause::Never }
}

pub fn stopping(pid: i32) -> State {
    State::Stopping {
        run: RunId(1),
        pid: Some(Pid(pid)),
        phase: Phase::Signal(0),
        next_at: None,
        timed_out: false,
    }
}

pub fn view(group: &str, name: &str, state: State) -> UnitView {
    let mut spec = Spec::new(name);
    spec.group = group.into();
    UnitView {
        id: UnitId(0),
        spec: Arc::new(spec),
        origin: Arc::new(Origin::default()),
        state,
        want_up: true,
        since: Wall(NOW * 1000),
        started: None,
        ended: None,
        last_exit: None,
        run: RunId(1),
        restarts: 0,
        waits_for: vec![],
        trouble: None,
        logs: Arc::new([BString::from("/log/out"), BString::from("")]),
    }
}

pub fn snapshot(units: Vec<UnitView>) -> Snapshot {
    let mut names: Vec<String> = units.iter().map(|u| u.spec.group.clone()).collect();
    names.push("empty".into());
    names.sort();
    names.dedup();
    let numbered =
        units.into_iter().zip(0_u32..).map(|(u, id)| Some(Arc::new(UnitView { id: UnitId(id), ..u })));
    let slots: Vec<_> = numbered.collect();
    Snapshot {
        turn: 1,
        chunks: slots.chunks(supers_core::snapshot::CHUNK).map(Arc::from).collect(),
        groups: names.into_iter().map(|name| Group { name, priority: 999 }).collect(),
        stopping: false,
    }
}

impl Fake {
    pub fn new(units: Vec<UnitView>) -> Fake {
        Fake { snapshot: Mutex::new(Arc::new(snapshot(units))), ..Fake::default() }
    }

    fn note(&self, what: String) {
        self.asked.lock().unwrap().push(what);
    }
}

fn good(verb: Verb) -> Outcome {
    match verb {
        Verb::Start => Outcome::Started,
        Verb::Stop => Outcome::Stopped,
        Verb::Restart => Outcome::Restarted,
        Verb::Reload => Outcome::Reloaded,
        Verb::Signal(_) => Outcome::Signalled,
    }
}

/// The rows of an order; the last named is done first.
struct Results(Vec<Row>);

impl Rows for Results {
    fn next(&mut self) -> Answer<'_, Option<Row>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            Ok(self.0.pop())
        })
    }
}

fn ready<T: Send + 'static>(value: Result<T, Refusal>) -> Answer<'static, T> {
    Box::pin(std::future::ready(value))
}

impl Control for Fake {
    fn status(&self) -> Answer<'_, Status<'static>> {
        unreachable!()
    }

    fn order(&self, _: Caller, order: Order) -> Answer<'_, Box<dyn Rows>> {
        assert_eq!(order.rules, Rules::Supervisor);
        self.note(format!("{:?} {} wait={}", order.verb, order.names.join(" "), order.wait));
        let row = |name: &String| Row {
            name: name.clone(),
            outcome: match (order.wait, self.outcomes.get(name)) {
                (false, _) => Outcome::Accepted,
                (true, outcome) => outcome.copied().unwrap_or(good(order.verb)),
            },
            detail: "its detail".into(),
            pid: 0,
            changed: false,
            tail: vec![],
        };
        ready(Ok(Box::new(Results(order.names.iter().map(row).collect())) as Box<dyn Rows>))
    }

    fn reload(&self, _: Caller, _: bool) -> Answer<'_, PlanView> {
        unreachable!()
    }

    fn add(&self, _: Caller, _: NewUnit) -> Answer<'_, Box<dyn Rows>> {
        unreachable!()
    }

    fn logs(&self, _: LogRequest) -> Answer<'_, Box<dyn LogFlow>> {
        unreachable!()
    }

    fn shutdown(&self, caller: Caller) -> Answer<'_, ()> {
        self.note(format!("shutdown by {}", caller.who));
        ready(Ok(()))
    }
}

impl Inside for Fake {
    fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshot.lock().unwrap().clone()
    }

    fn now(&self) -> Now {
        Now { mono: Mono(0), wall: Wall(*self.now.lock().unwrap() * 1000) }
    }

    fn daemon(&self) -> DaemonView {
        DaemonView { pid: 4242, ..DaemonView::default() }
    }

    fn has_supervisor_rpc(&self) -> bool {
        true
    }

    fn main_log_path(&self) -> String {
        "/var/log/main.log".into()
    }

    fn identifier(&self) -> String {
        "ident".into()
    }

    fn last_parse(&self) -> Arc<[Arc<Spec>]> {
        self.parsed.clone().into()
    }

    fn user_id(&self, name: &str) -> Option<u32> {
        (name == "www").then_some(33)
    }

    fn runnable(&self, units: Vec<UnitId>) -> Answer<'_, Vec<Result<(), Unrunnable>>> {
        let of = |unit| {
            let name = self.snapshot().get(unit).unwrap().spec.full_name();
            self.unrunnable.get(&name).cloned().map_or(Ok(()), Err)
        };
        ready(Ok(units.into_iter().map(of).collect()))
    }

    fn reread(&self, _: Caller) -> Answer<'_, Reread> {
        ready(self.reread.clone())
    }

    fn add_group(&self, _: Caller, name: String) -> Answer<'_, GroupDone> {
        self.note(format!("add {name}"));
        ready(Ok(self.group))
    }

    fn remove_group(&self, _: Caller, name: String) -> Answer<'_, GroupDone> {
        self.note(format!("remove {name}"));
        ready(Ok(self.group))
    }

    fn send_stdin(&self, unit: UnitId, bytes: Vec<u8>) -> Answer<'_, StdinDone> {
        self.note(format!("stdin {} {}", unit.0, String::from_utf8(bytes).unwrap()));
        ready(Ok(self.stdin))
    }

    fn tell(&self, kind: String, data: String) -> Answer<'_, ()> {
        self.note(format!("tell {kind} {data}"));
        ready(Ok(()))
    }

    fn read_log(&self, log: LogOf, cut: Cut) -> Answer<'_, Result<Piece, LogFault>> {
        if self.broken_log {
            return ready(Ok(Err(LogFault::Failed("it is on fire".into()))));
        }
        let Some((_, bytes)) = self.logs.iter().find(|(of, _)| *of == log) else {
            return ready(Ok(Err(LogFault::NoFile)));
        };
        let piece = cut.range(bytes.len() as u64).map(|(start, length, overflow)| {
            self.note(format!("read {length}"));
            let part = &bytes[usize::try_from(start).unwrap()..usize::try_from(start + length).unwrap()];
            Piece { bytes: part.to_vec(), size: bytes.len() as u64, overflow }
        });
        ready(Ok(piece))
    }

    fn clear_log(&self, log: LogOf) -> Answer<'_, Result<(), LogFault>> {
        self.note(format!("clear {log:?}"));
        if self.broken_log {
            return ready(Ok(Err(LogFault::Failed("it is on fire".into()))));
        }
        let is_there = self.logs.iter().any(|(of, _)| *of == log);
        ready(Ok(if is_there { Ok(()) } else { Err(LogFault::NoFile) }))
    }

    fn main_log(&self, _: LogFrom, _: bool) -> Answer<'_, Box<dyn LogFlow>> {
        unreachable!()
    }

    fn restart(&self, caller: Caller) -> Answer<'_, ()> {
        self.note(format!("restart by {}", caller.who));
        ready(Ok(()))
    }
}

/// Asks, as a client does.
pub struct Client {
    pub fake: Arc<Fake>,
    inside: Arc<dyn Inside>,
    state: RpcState,
    runtime: tokio::runtime::Runtime,
}

impl Client {
    pub fn new(fake: Fake) -> Client {
        let fake = Arc::new(fake);
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        Client { inside: fake.clone(), fake, state: RpcState::default(), runtime }
    }

    pub fn post(&self, body: &[u8]) -> RpcReply {
        let caller = Caller { door: "unix".into(), who: "me".into() };
        self.runtime.block_on(answer(&self.inside, &caller, &self.state, body.to_vec().into()))
    }

    pub fn try_call(&self, method: &str, params: &[Value]) -> Result<Value, Fault> {
        let reply = self.post(&encode_call(method, params));
        assert_eq!((reply.status, reply.content_type), (200, "text/xml"));
        decode_response(&reply.body).unwrap()
    }

    /// The value in short words.
    pub fn ok(&self, method: &str, params: &[Value]) -> String {
        short(&self.try_call(&format!("supervisor.{method}"), params).unwrap())
    }

    /// The fault's number and text.
    pub fn fault(&self, method: &str, params: &[Value]) -> (i32, String) {
        let fault = self.try_call(&format!("supervisor.{method}"), params).unwrap_err();
        (fault.code, fault.text)
    }

    pub fn asked(&self) -> Vec<String> {
        std::mem::take(&mut *self.fake.asked.lock().unwrap())
    }
}

/// Values as Python would print them, roughly.
pub fn short(value: &Value) -> String {
    match value {
        Value::Int(n) => n.to_string(),
        Value::Bool(b) => b.to_string(),
        Value::Str(text) => format!("{text:?}"),
        Value::Array(list) => format!("[{}]", list.iter().map(short).collect::<Vec<_>>().join(", ")),
        Value::Struct(members) => {
            let all: Vec<String> = members.iter().map(|(k, v)| format!("{k}={}", short(v))).collect();
            format!("{{{}}}", all.join(" "))
        }
        other => format!("{other:?}"),
    }
}

pub fn s(text: &str) -> Value {
    Value::Str(text.into())
}

pub fn n(n: i64) -> Value {
    Value::Int(n)
}
