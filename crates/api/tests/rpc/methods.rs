//! Everything else of `supervisor.*`, and what is refused before a method is asked.

use crate::fake::*;
use std::sync::Arc;
use supers_api::xmlrpc::Value;
use supers_core::control::Refusal;
use supers_core::inside::{GroupDone, Reread, StdinDone};

fn world() -> Fake {
    Fake::new(vec![
        view("up", "up", running(1)),
        view("down", "down", stopped()),
        view("end", "end", stopping(2)),
    ])
}

#[test]
fn the_daemon() {
    let c = Client::new(world());
    assert_eq!(c.ok("getAPIVersion", &[]), "\"3.0\"");
    assert_eq!(c.ok("getVersion", &[]), "\"3.0\"");
    assert_eq!(c.ok("getSupervisorVersion", &[]), "\"4.3.0\"");
    assert_eq!(c.ok("getIdentification", &[]), "\"ident\"");
    assert_eq!(c.ok("getState", &[]), "{statecode=1 statename=\"RUNNING\"}");
    assert_eq!(c.ok("getPID", &[]), "4242");
    assert_eq!(c.ok("shutdown", &[]), "true");
    assert_eq!(c.ok("restart", &[]), "true");
    assert_eq!(c.asked(), ["shutdown by me", "restart by me"]);
}

#[test]
fn groups() {
    let lists = |a: &[&str]| a.iter().map(|s| (*s).to_owned()).collect::<Vec<String>>();
    let reread = Reread { added: lists(&["a", "b"]), changed: vec![], removed: lists(&["c"]) };
    let c = Client::new(Fake { reread: Ok(reread), ..world() });
    assert_eq!(c.ok("reloadConfig", &[]), "[[[\"a\", \"b\"], [], [\"c\"]]]");
    let broken = Err(Refusal::Config { text: "line 3 is wrong".into() });
    let c = Client::new(Fake { reread: broken, ..world() });
    assert_eq!(c.fault("reloadConfig", &[]), (92, "CANT_REREAD: line 3 is wrong".into()));
    for (group, fault) in [
        (GroupDone::Done, None),
        (GroupDone::AlreadyAdded, Some((90, "ALREADY_ADDED: g".to_owned()))),
        (GroupDone::StillRunning, Some((91, "STILL_RUNNING: g".to_owned()))),
        (GroupDone::BadName, Some((10, "BAD_NAME: g".to_owned()))),
    ] {
        let c = Client::new(Fake { group, ..world() });
        for method in ["addProcessGroup", "removeProcessGroup"] {
            match &fault {
                None => assert_eq!(c.ok(method, &[s("g")]), "true"),
                Some(fault) => assert_eq!(&c.fault(method, &[s("g")]), fault),
            }
        }
        assert_eq!(c.asked(), ["add g", "remove g"]);
    }
}

#[test]
fn standard_input() {
    let c = Client::new(world());
    assert_eq!(c.ok("sendProcessStdin", &[s("up"), s("añ\n")]), "true");
    assert_eq!(c.asked(), ["stdin 0 añ\n"]);
    // What is not text is told before the name is looked at.
    assert_eq!(c.fault("sendProcessStdin", &[s("nope"), n(5)]), (2, "INCORRECT_PARAMETERS: 5".into()));
    assert_eq!(c.fault("sendProcessStdin", &[s("up"), Value::Base64(vec![1])]).0, 2);
    assert_eq!(c.fault("sendProcessStdin", &[s("up:*"), s("x")]), (10, "BAD_NAME: up:*".into()));
    for name in ["down", "end"] {
        assert_eq!(c.fault("sendProcessStdin", &[s(name), s("x")]), (70, format!("NOT_RUNNING: {name}")));
    }
    for (stdin, code) in [(StdinDone::NotRunning, 70), (StdinDone::Closed, 20), (StdinDone::Full, 30)] {
        let c = Client::new(Fake { stdin, ..world() });
        assert_eq!(c.fault("sendProcessStdin", &[s("up"), s("x")]).0, code);
    }
}

#[test]
fn remote_events() {
    let c = Client::new(world());
    assert_eq!(c.ok("sendRemoteCommEvent", &[s("t"), s("d")]), "true");
    assert_eq!(c.ok("sendRemoteCommEvent", &[n(5), Value::Bool(true)]), "true");
    assert_eq!(c.asked(), ["tell t d", "tell 5 True"]);
    assert_eq!(c.fault("sendRemoteCommEvent", &[s("t"), Value::Nil]).0, 2);
}

#[test]
fn who_may_be_called() {
    let c = Client::new(world());
    for name in [
        "nope",
        "",
        ".",
        "a.b",
        "supervisor",
        "supervisor.",
        "supervisor.nope",
        "supervisor._x",
        "supervisor.__init__",
        "supervisor.getState.x",
        "supervisor.getstate",
        " supervisor.getState",
        "system.nope",
        ".getState",
        "supervisor.supervisord.options",
    ] {
        if name.is_empty() {
            continue;
        }
        let fault = c.try_call(name, &[]).unwrap_err();
        assert_eq!((fault.code, fault.text.as_str()), (1, "UNKNOWN_METHOD"), "{name}");
    }
    let many = vec![n(1); 5];
    for method in
        ["getState", "readLog", "startProcess", "signalProcess", "sendProcessStdin", "tailProcessLog"]
    {
        assert_eq!(c.fault(method, &many), (2, "INCORRECT_PARAMETERS".into()));
    }
    for (method, params) in [
        ("startProcess", vec![]),
        ("readLog", vec![n(1)]),
        ("startProcess", vec![n(1)]),
        ("startProcess", vec![Value::Array(vec![])]),
        ("startProcess", vec![s("down"), Value::Array(vec![])]),
        ("readLog", vec![s("a"), n(1)]),
        ("readLog", vec![Value::Nil, n(1)]),
        ("signalProcess", vec![s("up"), Value::Double(1.5)]),
        ("addProcessGroup", vec![Value::Struct(vec![])]),
    ] {
        assert_eq!(c.fault(method, &params), (2, "INCORRECT_PARAMETERS".into()), "{method}");
    }
    assert!(c.asked().is_empty());
}

#[test]
fn while_it_ends() {
    let c = Client::new(world());
    let mut ending = snapshot(vec![]);
    ending.stopping = true;
    *c.fake.snapshot.lock().unwrap() = Arc::new(ending);
    let Value::Array(names) = c.try_call("system.listMethods", &[]).unwrap() else { panic!() };
    for name in names.iter().filter_map(Value::as_str).filter(|name| name.starts_with("supervisor.")) {
        let Value::Array(types) = c.try_call("system.methodSignature", &[s(name)]).unwrap() else { panic!() };
        let params: Vec<Value> = types[1..].iter().map(|_| s("1")).collect();
        let result = c.try_call(name, &params);
        match name {
            "supervisor.sendRemoteCommEvent" => assert!(result.is_ok()),
            _ => assert_eq!(result.unwrap_err().text, "SHUTDOWN_STATE", "{name}"),
        }
    }
    assert_eq!(c.fault("getState", &[n(1)]).0, 2, "the number of parameters is looked at first");
    assert_eq!(c.fault("nope", &[]).0, 1);
}

#[test]
fn words_are_given_back_up_to_a_limit() {
    let c = Client::new(world());
    let (code, text) = c.fault("getProcessInfo", &[s(&"é".repeat(1 << 20))]);
    assert_eq!((code, text.len()), (10, "BAD_NAME: ".len() + 4096));
}

#[test]
fn what_is_no_call() {
    let c = Client::new(world());
    for body in ["", "x", "<methodCall/>", "<methodCall><methodName></methodName></methodCall>", "<a><b></a>"]
    {
        assert_eq!(c.post(body.as_bytes()).status, 400, "{body}");
    }
    assert_eq!(c.post(&vec![b' '; supers_api::rpc::MAX_BODY + 1]).status, 400);
}
