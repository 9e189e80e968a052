//! Reading and clearing logs.

use crate::fake::*;
use supers_api::xmlrpc::Value;
use supers_core::control::Stream;
use supers_core::ids::UnitId;
use supers_core::inside::LogOf;

const OUT: LogOf = LogOf::Unit(UnitId(0), Stream::Stdout);
const ERR: LogOf = LogOf::Unit(UnitId(0), Stream::Stderr);

fn world(logs: Vec<Log>) -> Client {
    Client::new(Fake { logs, ..Fake::new(vec![view("x", "x", running(1)), view("y", "y", stopped())]) })
}

fn at(offset: i64, length: i64) -> [Value; 3] {
    [s("x"), n(offset), n(length)]
}

#[test]
fn read() {
    let c = world(vec![
        (OUT, b"hello world".to_vec()),
        (ERR, b"bad \xff\0\r\n".to_vec()),
        (LogOf::Main, b"main".to_vec()),
    ]);
    for method in ["readProcessLog", "readProcessStdoutLog"] {
        for (offset, length, want) in [
            (0, 0, "hello world"),
            (6, 0, "world"),
            (2, 3, "llo"),
            (-5, 0, "world"),
            (-50, 0, "hello world"),
            (99, 1, ""),
        ] {
            assert_eq!(c.ok(method, &at(offset, length)), format!("{want:?}"));
        }
        for (offset, length) in [(0, -1), (-1, 1)] {
            assert_eq!(c.fault(method, &at(offset, length)), (3, "BAD_ARGUMENTS".into()));
        }
    }
    assert_eq!(c.ok("readProcessStderrLog", &at(0, 0)), format!("{:?}", "bad \u{fffd}\u{fffd}\r\n"));
    assert_eq!(c.ok("readProcessLog", &[s("x"), s("6"), n(2)]), "\"wo\"");
    for method in ["readLog", "readMainLog"] {
        assert_eq!(c.ok(method, &[n(0), n(2)]), "\"ma\"");
        assert_eq!(c.fault(method, &[n(0), n(-2)]).0, 3);
    }
}

#[test]
fn faults() {
    let c = world(vec![]);
    assert_eq!(c.fault("readProcessLog", &at(0, 0)), (20, "NO_FILE: /log/out".into()));
    assert_eq!(c.fault("readProcessLog", &at(0, 5)), (20, "NO_FILE: /log/out".into()));
    assert_eq!(c.fault("readProcessStderrLog", &at(0, 0)), (20, "NO_FILE".into()));
    assert_eq!(c.fault("readLog", &[n(0), n(0)]), (20, "NO_FILE: /var/log/main.log".into()));
    assert_eq!(c.fault("clearLog", &[]), (20, "NO_FILE".into()));
    for method in ["tailProcessLog", "tailProcessStdoutLog", "tailProcessStderrLog"] {
        assert_eq!(c.ok(method, &at(0, 5)), "[\"\", 0, false]");
        assert_eq!(c.ok(method, &at(0, 5 << 20)), "[\"\", 0, false]");
        assert_eq!(c.fault(method, &[s("x:*"), n(0), n(5)]), (10, "BAD_NAME: x:*".into()));
    }
    let broken = Client::new(Fake { broken_log: true, ..Fake::new(vec![view("x", "x", running(1))]) });
    for (method, params) in [("readProcessLog", at(0, 0).to_vec()), ("readLog", vec![n(0), n(9)])] {
        assert_eq!(broken.fault(method, &params), (30, "FAILED: it is on fire".into()));
    }
    assert_eq!(broken.fault("tailProcessLog", &at(0, 1)).0, 30);
    assert_eq!(broken.fault("clearLog", &[]).0, 30);
    assert_eq!(broken.fault("clearProcessLogs", &[s("x")]), (30, "FAILED: x".into()));
    assert!(broken.ok("clearAllProcessLogs", &[]).contains("status=30 description=\"FAILED: x\""));
}

#[test]
fn tail() {
    let c = world(vec![(OUT, b"hello world".to_vec())]);
    for (offset, length, want) in [
        (0, 5, "[\"world\", 11, true]"),
        (6, 5, "[\"world\", 11, false]"),
        (9, 5, "[\"world\", 11, false]"),
        (11, 5, "[\"\", 11, false]"),
        (0, 0, "[\"\", 11, true]"),
        (0, 5 << 20, "[\"hello world\", 11, false]"),
    ] {
        assert_eq!(c.ok("tailProcessLog", &at(offset, length)), want);
    }
}

#[test]
fn long_reads_come_in_pieces() {
    let text = "é€\n".repeat(600_000).into_bytes();
    let want = format!("{:?}", String::from_utf8(text.clone()).unwrap());
    let size = text.len();
    let c = world(vec![(OUT, text)]);
    let pieces = ["read 1", "read 1048576", "read 1048576", "read 1048576", "read 454272"];
    assert!(c.ok("readProcessLog", &at(0, 0)) == want);
    assert_eq!(c.asked(), pieces);
    assert!(c.ok("readProcessLog", &at(i64::MIN, 0)) == want);
    assert_eq!(c.asked(), pieces);
    assert!(c.ok("tailProcessLog", &at(0, i64::MAX)) == format!("[{want}, {size}, false]"));
    assert_eq!(c.asked(), pieces);
    assert_eq!(c.fault("readProcessLog", &at(-1, i64::MAX)), (3, "BAD_ARGUMENTS".into()));
}

#[test]
fn too_much_for_one_answer() {
    // Each becomes five.
    let c = world(vec![(OUT, vec![b'&'; 5 << 20])]);
    let (code, text) = c.fault("readProcessLog", &at(0, 0));
    assert_eq!(
        (code, text.as_str()),
        (30, "FAILED: 5242880 bytes are too many for one answer; read the log in parts")
    );
}

#[test]
fn clear() {
    let c = world(vec![(OUT, vec![]), (LogOf::Main, vec![])]);
    assert_eq!(c.ok("clearLog", &[]), "true");
    assert_eq!(c.asked(), ["clear Main"]);
    for method in ["clearProcessLog", "clearProcessLogs"] {
        assert_eq!(c.ok(method, &[s("x")]), "true");
        assert_eq!(c.asked(), [format!("clear {OUT:?}"), format!("clear {ERR:?}")]);
    }
    let row = |name| format!("{{name={name:?} group={name:?} status=80 description=\"OK\"}}");
    assert_eq!(c.ok("clearAllProcessLogs", &[]), format!("[{}, {}]", row("x"), row("y")));
}
