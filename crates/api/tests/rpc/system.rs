//! `system.*`

use crate::fake::*;
use supers_api::xmlrpc::Value;

fn call(method: &str, params: Option<Value>) -> Value {
    let mut members = vec![("methodName".to_owned(), s(method))];
    members.extend(params.map(|p| ("params".to_owned(), p)));
    Value::Struct(members)
}

fn world() -> Client {
    Client::new(Fake::new(vec![view("up", "up", running(1)), view("down", "down", stopped())]))
}

#[test]
fn introspection() {
    let c = world();
    let list = c.try_call("system.listMethods", &[]).unwrap();
    let names: Vec<&str> = list.as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(names.len(), 41);
    assert!(
        names.is_sorted()
            && names.contains(&"supervisor.readProcessLog")
            && names.contains(&"system.multicall")
    );
    for name in &names {
        let help = c.try_call("system.methodHelp", &[s(name)]).unwrap();
        assert!(help.as_str().unwrap().len() > 20, "{name}");
    }
    for (name, want) in [
        ("supervisor.startProcess", "[\"boolean\", \"string\", \"boolean\"]"),
        ("supervisor.signalProcess", "[\"boolean\", \"string\", \"string\"]"),
        ("supervisor.readLog", "[\"string\", \"int\", \"int\"]"),
        ("supervisor.tailProcessLog", "[\"array\", \"string\", \"int\", \"int\"]"),
        ("supervisor.getProcessInfo", "[\"struct\", \"string\"]"),
        ("supervisor.getPID", "[\"int\"]"),
        ("supervisor.stopAllProcesses", "[\"array\", \"boolean\"]"),
        ("system.methodSignature", "[\"array\", \"string\"]"),
        ("system.multicall", "[\"array\", \"array\"]"),
    ] {
        assert_eq!(short(&c.try_call("system.methodSignature", &[s(name)]).unwrap()), want, "{name}");
    }
    for method in ["system.methodHelp", "system.methodSignature"] {
        for unknown in [s("x"), s("supervisor.nope"), n(1)] {
            let fault = c.try_call(method, &[unknown]).unwrap_err();
            assert_eq!((fault.code, fault.text.as_str()), (4, "SIGNATURE_UNSUPPORTED"));
        }
    }
}

#[test]
fn several_in_one() {
    let c = world();
    let calls = Value::Array(vec![
        call("supervisor.getState", None),
        call("supervisor.getProcessInfo", Some(Value::Array(vec![s("x")]))),
        call("supervisor.stopProcess", Some(Value::Array(vec![s("up")]))),
        call("supervisor.startProcess", Some(Value::Array(vec![s("down")]))),
        call("supervisor.nope", None),
        call("supervisor.getState", Some(n(5))),
        call("supervisor.getState", Some(Value::Array(vec![n(5)]))),
        call("system.multicall", Some(Value::Array(vec![]))),
        Value::Struct(vec![]),
        n(3),
        call("supervisor.tailProcessLog", Some(Value::Array(vec![s("up"), n(0), n(1)]))),
        call("supervisor.getPID", Some(Value::Array(vec![]))),
    ]);
    let fault = |code: i32, text: &str| format!("{{faultCode={code} faultString={text:?}}}");
    let want = [
        "{statecode=1 statename=\"RUNNING\"}".to_owned(),
        fault(10, "BAD_NAME: x"),
        "true".to_owned(),
        "true".to_owned(),
        fault(1, "UNKNOWN_METHOD"),
        fault(2, "INCORRECT_PARAMETERS"),
        fault(2, "INCORRECT_PARAMETERS"),
        fault(2, "INCORRECT_PARAMETERS: Recursive system.multicall forbidden"),
        fault(2, "INCORRECT_PARAMETERS: No methodName"),
        fault(2, "INCORRECT_PARAMETERS"),
        "[\"\", 0, false]".to_owned(),
        "4242".to_owned(),
    ];
    assert_eq!(short(&c.try_call("system.multicall", &[calls]).unwrap()), format!("[{}]", want.join(", ")));
    assert_eq!(c.asked(), ["Stop up wait=true", "Start down wait=true"]);
    assert_eq!(short(&c.try_call("system.multicall", &[Value::Array(vec![])]).unwrap()), "[]");
    for bad in [vec![], vec![s("x")], vec![Value::Array(vec![]), n(1)]] {
        assert_eq!(c.try_call("system.multicall", &bad).unwrap_err().code, 2);
    }
}

#[test]
fn the_answers_of_many_are_bounded() {
    let units = (0..1000).map(|i| view("g", &format!("p{i:03}"), running(i))).collect();
    let c = Client::new(Fake::new(units));
    let calls = Value::Array(vec![call("supervisor.getAllProcessInfo", None); 40]);
    let reply = c.post(&supers_api::xmlrpc::encode_call("system.multicall", &[calls]));
    assert!(reply.body.len() < 10 << 20, "{}", reply.body.len());
    let list = supers_api::xmlrpc::decode_response(&reply.body).unwrap().unwrap();
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 40);
    assert_eq!(list[0].as_array().unwrap().len(), 1000);
    assert_eq!(list[39].get("faultCode"), Some(&n(30)));
}
