//! Texts and codes that the genuine daemon cannot easily be brought to, from a scripted one.

use std::io::Write;
use supers::supervisorctl::rpc::{CallError, Daemon, Fault, Followed, Rpc, Value, Visited};
use supers::supervisorctl::session::{Ask, Session};

type Answer = Result<Value, CallError>;

/// Answers by method; the calls that came.
struct Script {
    answers: Vec<(&'static str, Answer)>,
    calls: Vec<String>,
    followed: Followed,
    visited: Visited,
}

impl Rpc for Script {
    fn call(&mut self, method: &str, params: &[Value]) -> Answer {
        let shown: Vec<String> = params
            .iter()
            .map(|p| p.as_str().map_or_else(|| p.as_int().unwrap_or(-999).to_string(), str::to_string))
            .collect();
        let method = method.strip_prefix("supervisor.").unwrap();
        self.calls.push(format!("{method}({})", shown.join(",")));
        if let Some(at) = self.answers.iter().position(|a| a.0 == method) {
            return self.answers[at].1.clone();
        }
        match method {
            "getVersion" => Ok(text("3.0")),
            "getProcessInfo" => Ok(process("b", "b", 20)),
            "getAllProcessInfo" => Ok(Value::Array(vec![process("g", "a", 20), process("b", "b", 20)])),
            _ => Ok(Value::Bool(true)),
        }
    }
}

impl Daemon for Script {
    fn url(&self) -> String {
        "http://box:1".into()
    }
    fn open(&mut self, url: &str) {
        self.calls.push(format!("open {url}"));
    }
    fn login(&mut self, username: &str, password: &str) {
        self.calls.push(format!("login {username} {password}"));
        self.answers.clear();
    }
    fn follow(&mut self, path: &str, _: &mut dyn Write) -> Followed {
        self.calls.push(format!("follow {path}"));
        self.followed.clone()
    }
    fn visit(&mut self, process: &str, _: &mut dyn Write, _: &mut dyn Write) -> Visited {
        self.calls.push(format!("visit {process}"));
        self.visited.clone()
    }
}

/// Answers to questions, in order.
struct Answers(Vec<&'static str>);

impl Ask for Answers {
    fn line(&mut self, _: &str) -> Result<Option<String>, CallError> {
        Ok(if self.0.is_empty() { None } else { Some(self.0.remove(0).to_string()) })
    }
    fn secret(&mut self, prompt: &str) -> Result<Option<String>, CallError> {
        self.line(prompt)
    }
}

fn text(t: &str) -> Value {
    Value::Str(t.into())
}

fn structure(members: &[(&str, Value)]) -> Value {
    Value::Struct(members.iter().map(|(k, v)| ((*k).to_string(), v.clone())).collect())
}

fn process(group: &str, name: &str, state: i64) -> Value {
    let statename = match state {
        20 => "RUNNING",
        30 => "BACKOFF",
        100 => "EXITED",
        1000 => "UNKNOWN",
        _ => "OTHER",
    };
    structure(&[
        ("group", text(group)),
        ("name", text(name)),
        ("state", Value::Int(state)),
        ("statename", text(statename)),
        ("description", text("D")),
        ("pid", Value::Int(77)),
    ])
}

/// Result rows with these codes.
fn rows(codes: &[i64]) -> Answer {
    let row = |code: &i64| {
        let name = format!("p{code}");
        structure(&[
            ("group", text(&name)),
            ("name", text(&name)),
            ("status", Value::Int(*code)),
            ("description", text("WHY")),
        ])
    };
    Ok(Value::Array(codes.iter().map(row).collect()))
}

fn fault(code: i32) -> Answer {
    Err(CallError::Fault(Fault { code, text: "TEXT".into() }))
}

/// The names that a reread finds.
fn plan(lists: [&[&str]; 3]) -> Answer {
    let lists = lists.map(|l| Value::Array(l.iter().map(|n| text(n)).collect()));
    Ok(Value::Array(vec![Value::Array(lists.to_vec())]))
}

fn script(answers: &[(&'static str, Answer)]) -> Script {
    let (followed, visited) = (Followed::Interrupted, Visited::Left);
    Script { answers: answers.to_vec(), calls: Vec::new(), followed, visited }
}

/// Output and code of one line; what is asked for is answered.
fn asked(script: &mut Script, line: &str, answers: Option<&[&'static str]>) -> (String, i32) {
    let (mut out, mut err) = (Vec::new(), Vec::new());
    let mut ask = Answers(answers.unwrap_or_default().to_vec());
    let mut session = Session {
        daemon: script,
        out: &mut out,
        err: &mut err,
        ask: &mut ask,
        interactive: answers.is_some(),
        status: 0,
    };
    session.run_line(line);
    let status = session.status;
    out.extend(err);
    (String::from_utf8(out).unwrap(), status)
}

fn run(line: &str, answers: &[(&'static str, Answer)]) -> (String, i32) {
    asked(&mut script(answers), line, None)
}

/// The line prints this text and a line's end, and has this code.
fn expect(line: &str, answers: &[(&'static str, Answer)], out: &str, code: i32) {
    let out = if out.is_empty() { String::new() } else { format!("{out}\n") };
    assert_eq!(run(line, answers), (out, code), "{line}");
}

const ERROR: &str = ": file: supervisorctl line: 0";

#[test]
fn every_result_code_of_every_order() {
    type Readings = &'static [(i32, &'static str, i32)];
    let known: [(&str, &'static str, Readings); 4] = [
        (
            "start",
            "startProcess",
            &[
                (10, "x: ERROR (no such process)", 1),
                (20, "x: ERROR (no such file)", 1),
                (21, "x: ERROR (file is not executable)", 1),
                (40, "x: ERROR (abnormal termination)", 7),
                (50, "x: ERROR (spawn error)", 7),
                (60, "x: ERROR (already started)", 0),
            ],
        ),
        (
            "stop",
            "stopProcess",
            &[
                (10, "x: ERROR (no such process)", 1),
                (11, "x: ERROR (bad signal name)", 1),
                (30, "TEXT", 1),
                (70, "x: ERROR (not running)", 0),
            ],
        ),
        (
            "signal HUP",
            "signalProcess",
            &[
                (10, "x: ERROR (no such process)", 1),
                (11, "x: ERROR (bad signal name)", 1),
                (30, "TEXT", 1),
                (70, "x: ERROR (not running)", 7),
            ],
        ),
        ("clear", "clearProcessLogs", &[(10, "x: ERROR (no such process)", 1), (30, "x: ERROR (failed)", 1)]),
    ];
    for (command, method, readings) in known {
        for code in [1, 2, 3, 6, 10, 11, 20, 21, 30, 40, 50, 60, 70, 90, 91, 92, 99] {
            let unknown = format!("error: <class 'ValueError'>, Unknown result code {code} for x{ERROR}");
            let reading = readings.iter().find(|r| r.0 == code);
            let (out, status) = reading.map_or((unknown.as_str(), 1), |r| (r.1, r.2));
            expect(&format!("{command} x"), &[(method, fault(code))], out, status);
        }
    }
    expect("start g:*", &[("startProcessGroup", fault(10))], "g: ERROR (no such group)", 2);
    expect("stop g:*", &[("stopProcessGroup", fault(10))], "g: ERROR (no such group)", 1);
    let other = format!("error: <class 'xmlrpc.client.Fault'>, <Fault 30: 'TEXT'>{ERROR}");
    expect("start g:*", &[("startProcessGroup", fault(30))], &other, 1);
}

#[test]
fn rows_and_the_last_problem() {
    let all =
        "p80: started\np50: ERROR (spawn error)\np20: ERROR (no such file)\np60: ERROR (already started)";
    expect("start all", &[("startAllProcesses", rows(&[80, 50, 20, 60]))], all, 1);
    expect(
        "start x all",
        &[("startAllProcesses", rows(&[20, 50]))],
        "p20: ERROR (no such file)\np50: ERROR (spawn error)",
        7,
    );
    expect(
        "stop all",
        &[("stopAllProcesses", rows(&[80, 30, 70]))],
        "p80: stopped\nWHY\np70: ERROR (not running)",
        1,
    );
    expect(
        "signal HUP all",
        &[("signalAllProcesses", rows(&[80, 70]))],
        "p80: signalled\np70: ERROR (not running)",
        7,
    );
    expect("clear all", &[("clearAllProcessLogs", rows(&[80, 30]))], "p80: cleared\np30: ERROR (failed)", 1);
    let cut = format!("p80: started\nerror: <class 'ValueError'>, Unknown result code 11 for p11{ERROR}");
    expect("start all", &[("startAllProcesses", rows(&[80, 11, 80]))], &cut, 1);
    let mut script = script(&[]);
    asked(&mut script, "signal 15 a g:*", None);
    assert_eq!(script.calls, ["getVersion()", "signalProcess(a,15)", "signalProcessGroup(g,15)"]);
}

#[test]
fn states_of_a_status() {
    for (state, code) in [(0, 3), (10, 0), (20, 0), (30, 0), (40, 0), (100, 3), (200, 3), (1000, 3)] {
        let all = Ok(Value::Array(vec![process("b", "b", state)]));
        assert_eq!(run("status", &[("getAllProcessInfo", all)]).1, code, "{state}");
    }
    let all = Ok(Value::Array(vec![process("g", "a", 20), process("b", "b", 30)]));
    let table = format!("g:a{}RUNNING   D\nb{}BACKOFF   D", " ".repeat(30), " ".repeat(32));
    expect("status", &[("getAllProcessInfo", all)], &table, 0);
}

#[test]
fn shutting_down() {
    let six = |method: &'static str| [(method, fault(6))];
    expect("avail", &six("getAllConfigInfo"), "ERROR: supervisor shutting down", 1);
    expect("reread", &six("reloadConfig"), "ERROR: supervisor shutting down", 1);
    expect("update", &six("reloadConfig"), "ERROR: already shutting down", 1);
    expect("add x", &six("addProcessGroup"), "ERROR: shutting down", 1);
    expect("shutdown", &six("shutdown"), "ERROR: already shutting down", 0);
    expect("reload", &six("restart"), "ERROR: already shutting down", 1);
    let other = format!("error: <class 'xmlrpc.client.Fault'>, <Fault 6: 'TEXT'>{ERROR}");
    for (line, method) in
        [("remove x", "removeProcessGroup"), ("status", "getAllProcessInfo"), ("pid", "getPID")]
    {
        expect(line, &six(method), &other, 1);
    }
    expect("shutdown", &[], "Shut down", 0);
    expect("reload", &[], "Restarted supervisord", 0);
}

#[test]
fn groups_of_the_file() {
    let changes = || plan([&["z", "a"], &["m", "c"], &["y", "b"]]);
    let sorted = "a: available\nb: disappeared\nc: changed\nm: changed\ny: disappeared\nz: available";
    expect("reread", &[("reloadConfig", changes())], sorted, 0);
    expect("reread", &[("reloadConfig", fault(92))], "ERROR: TEXT", 1);
    let broken = format!("error: <class 'xmlrpc.client.Fault'>, <Fault 92: 'TEXT'>{ERROR}");
    expect("update", &[("reloadConfig", fault(92))], &broken, 1);
    let done = "y: stopped\ny: removed process group\nb: stopped\nb: removed process group\nm: stopped\n\
                m: updated process group\nc: stopped\nc: updated process group\nz: added process group\n\
                a: added process group";
    expect("update", &[("reloadConfig", changes())], done, 0);
    let failing = [("reloadConfig", changes()), ("stopProcessGroup", rows(&[80, 30]))];
    expect("update b a", &failing, "b: stopped\nb: has problems; not removing\na: added process group", 1);
    expect(
        "update q a q",
        &[("reloadConfig", changes())],
        "ERROR: no such group: q\na: added process group",
        1,
    );
    expect("add x", &[("addProcessGroup", fault(90))], "ERROR: process group already active", 0);
    expect("add x", &[("addProcessGroup", fault(10))], "ERROR: no such process/group: x", 1);
    expect("remove x", &[("removeProcessGroup", fault(91))], "ERROR: process/group still running: x", 1);
}

#[test]
fn a_daemon_of_another_kind() {
    let sorry = "Sorry, supervisord responded but did not recognize the supervisor namespace commands that \
                 supervisorctl uses to control it.  Please check that the [rpcinterface:supervisor] section is \
                 enabled in the configuration file (see sample.conf).";
    expect("pid", &[("getVersion", fault(1))], sorry, 3);
    expect("status", &[("getVersion", fault(1))], sorry, 4);
    let old = "Sorry, this version of supervisorctl expects to talk to a server with API version 3.0, but the \
               remote version is 2.9.";
    expect("pid", &[("getVersion", Ok(text("2.9")))], old, 5);
    expect("open http://x", &[("getVersion", Ok(text("2.9")))], old, 0);
    let status = |status, reason: &str| Err(CallError::Protocol { status, reason: reason.into() });
    let broken = format!(
        "error: <class 'xmlrpc.client.ProtocolError'>, <ProtocolError for 127.0.0.1/RPC2: 500 Internal Server \
         Error>{ERROR}"
    );
    expect("pid", &[("getVersion", status(500, "Internal Server Error"))], &broken, 1);
}

#[test]
fn logs_that_cannot_be_read() {
    expect("tail b", &[("readProcessStdoutLog", fault(30))], "b: ERROR (unknown error reading log)", 1);
    expect("tail b stderr", &[("readProcessStderrLog", fault(20))], "b: ERROR (no log file)", 1);
    expect("maintail", &[("readLog", fault(30))], "supervisord: ERROR (unknown error reading log)", 1);
    expect("maintail", &[("readLog", fault(20))], "supervisord: ERROR (no log file)", 1);
    let mut fake = script(&[]);
    fake.followed = Followed::Refused(404);
    let told = "==> Press Ctrl-C to exit <==\nhttp://box:1/logtail/b/stderr Cannot read, status code 404\n";
    assert_eq!(asked(&mut fake, "tail -f b STDERR", None), (told.into(), 0));
    fake.followed = Followed::Interrupted;
    assert_eq!(asked(&mut fake, "maintail -f", None), ("==> Press Ctrl-C to exit <==\n\n".into(), 0));
    assert!(fake.calls.contains(&"follow /mainlogtail".into()));
}

#[test]
fn the_foreground() {
    expect("fg b", &[("getProcessInfo", fault(10))], "ERROR: bad process name supplied", 1);
    expect("fg b", &[("getProcessInfo", fault(6))], "ERROR: <Fault 6: 'TEXT'>", 0);
    expect("fg b", &[("getProcessInfo", Ok(process("b", "b", 100)))], "ERROR: process not running", 1);
    let mut fake = script(&[]);
    fake.visited = Visited::Gone;
    let told = "==> Press Ctrl-C to exit <==\nProcess got killed\nExiting foreground\n";
    assert_eq!(asked(&mut fake, "fg b", None), (told.into(), 0));
}

#[test]
fn questions_are_asked_of_people_only() {
    for (line, method) in [("shutdown", "shutdown()"), ("reload", "restart()")] {
        for (answer, done) in [("y", true), ("Yes", true), ("n", false), ("", false), ("maybe", false)] {
            let mut fake = script(&[]);
            asked(&mut fake, line, Some(&[answer]));
            assert_eq!(fake.calls == [method], done, "{line} {answer}");
        }
    }
    let ended = format!("error: <class 'EOFError'>, EOF when reading a line{ERROR}\n");
    assert_eq!(asked(&mut script(&[]), "shutdown", Some(&[])), (ended, 1));
    let denied = || Err(CallError::Protocol { status: 401, reason: "Unauthorized".into() });
    let refused = format!(
        "Server requires authentication\nerror: <class 'xmlrpc.client.ProtocolError'>, <ProtocolError for \
         127.0.0.1/RPC2: 401 Unauthorized>{ERROR}"
    );
    expect("pid", &[("getVersion", denied())], &refused, 1);
    let mut fake = script(&[("getVersion", denied())]);
    let (out, status) = asked(&mut fake, "pid b", Some(&["me", "secret"]));
    assert_eq!((out.as_str(), status), ("Server requires authentication\n\n77\n", 0));
    assert!(fake.calls.contains(&"login me secret".into()));
}
