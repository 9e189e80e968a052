//! The documents, alone and beside Python's `xmlrpc.client`.

use proptest::prelude::*;
use std::io::Write;
use std::process::{Command, Stdio};
use supers_api::xmlrpc::{
    DecodeError, Fault, Limits, Value, Writer, decode_call, decode_response, encode_call, encode_fault,
    encode_response,
};

/// Runs a Python program with `input` as its standard input.
fn python(program: &str, input: &[u8]) -> Vec<u8> {
    let mut child = Command::new("python3")
        .args(["-c", program])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 is needed: install the package python3");
    child.stdin.take().unwrap().write_all(input).unwrap();
    let done = child.wait_with_output().unwrap();
    assert!(done.status.success(), "{program}");
    done.stdout
}

fn s(text: &str) -> Value {
    Value::Str(text.into())
}

/// One of each, and `python`'s words for the same.
fn sample() -> (Value, &'static str) {
    let value = Value::Struct(vec![
        ("a&b".into(), Value::Int(-7)),
        ("flags".into(), Value::Array(vec![Value::Bool(true), Value::Bool(false), Value::Double(2.5)])),
        ("text".into(), s("x<y> & \"quoted\" 'é' \u{1f600}\n\ttab")),
        ("empty".into(), Value::Array(vec![s(""), Value::Struct(vec![]), Value::Array(vec![]), Value::Nil])),
        ("when".into(), Value::DateTime("20200101T00:00:00".into())),
        ("big".into(), Value::Int(2_147_483_647)),
    ]);
    let python = r#"{'a&b': -7, 'flags': [True, False, 2.5], 'text': 'x<y> & "quoted" \'é\' \U0001f600\n\ttab',
        'empty': ['', {}, [], None], 'when': x.DateTime('20200101T00:00:00'), 'big': 2147483647}"#;
    (value, python)
}

#[test]
fn documents_are_those_of_python() {
    let (value, words) = sample();
    let dumps = |args: &str| {
        let program = format!(
            "import sys,xmlrpc.client as x\nsys.stdout.buffer.write(x.dumps({args},allow_none=True).encode())"
        );
        String::from_utf8(python(&program, b"")).unwrap()
    };
    // Python leaves out one line feed, after nil.
    let ours =
        |bytes: Vec<u8>| String::from_utf8(bytes).unwrap().replace("<nil/></value>\n", "<nil/></value>");
    assert_eq!(ours(encode_response(&value)), dumps(&format!("({words},), methodresponse=True")));
    assert_eq!(ours(encode_call("a.b", &[value.clone(), s("x")])), dumps(&format!("({words}, 'x'), 'a.b'")));
    assert_eq!(ours(encode_call("a.b", &[])), dumps("(), 'a.b'"));
    let fault = Fault { code: 10, text: "BAD_NAME: <x>".into() };
    assert_eq!(ours(encode_fault(&fault)), dumps("x.Fault(10, 'BAD_NAME: <x>'), methodresponse=True"));

    let document = dumps(&format!("({words},), methodresponse=True"));
    assert_eq!(decode_response(document.as_bytes()).unwrap().unwrap(), value);
    let call = decode_call(dumps(&format!("({words}, x.Binary(b'abc\\0'*40)), 'm.n'")).as_bytes()).unwrap();
    assert_eq!((call.method.as_str(), &call.params[0]), ("m.n", &value));
    assert_eq!(call.params[1], Value::Base64(b"abc\0".repeat(40)));
}

#[test]
fn python_reads_any_bytes_we_write() {
    let bytes: Vec<u8> = (0..=255).chain(*b"\xef\xbf\xbe\xef\xbf\xbf ]]> \r\n").collect();
    let mut w = Writer::response();
    w.str(&bytes);
    let read = "import sys,xmlrpc.client as x\nv=x.loads(sys.stdin.buffer.read())[0][0]\n\
                sys.stdout.buffer.write(v.encode())";
    let got = String::from_utf8(python(read, &w.finish())).unwrap();
    let want: String = String::from_utf8_lossy(&bytes)
        .chars()
        .map(|c| match c {
            '\t' | '\n' | '\r' => c,
            '\0'..' ' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
            c => c,
        })
        .collect();
    assert_eq!(got, want);
}

#[test]
fn pieces_do_not_cut_characters() {
    let text = "aé€\u{1f600}b\u{fffd}".repeat(3).into_bytes();
    let mut whole = Writer::response();
    whole.str(&text);
    let whole = whole.finish();
    for size in 1..9 {
        let mut w = Writer::response();
        w.begin_str();
        let mut held: Vec<u8> = Vec::new();
        for piece in text.chunks(size) {
            held.extend_from_slice(piece);
            let keep = w.piece(&held);
            held.drain(..held.len() - keep);
        }
        w.end_str(&held);
        assert_eq!(w.finish(), whole, "{size}");
    }
}

fn call(inside: &str) -> Vec<u8> {
    format!("<methodCall><methodName>a.b</methodName>{inside}</methodCall>").into_bytes()
}

fn param(value: &str) -> Result<Value, DecodeError> {
    let mut call = decode_call(&call(&format!("<params><param>{value}</param></params>")))?;
    Ok(call.params.pop().unwrap())
}

#[test]
fn what_clients_write_is_read() {
    assert!(decode_call(&call("")).unwrap().params.is_empty());
    assert!(decode_call(&call("<params/>")).unwrap().params.is_empty());
    for (text, want) in [
        ("<value>plain</value>", s("plain")),
        ("<value/>", s("")),
        ("<value> <string/> </value>", s("")),
        ("<value><i4> 12 </i4></value>", Value::Int(12)),
        ("<value><i8>99999999999</i8></value>", Value::Int(99_999_999_999)),
        ("<value>a&amp;b&#x41;&#66;<![CDATA[<c>]]><!-- no -->d</value>", s("a&bAB<c>d")),
        ("<value>one\r\ntwo\rthree&#13;</value>", s("one\ntwo\nthree\r")),
        ("<value>\n<array>\n<data/>\n</array>\n</value>", Value::Array(vec![])),
    ] {
        assert_eq!(param(text).as_ref(), Ok(&want), "{text}");
    }
    let latin =
        b"<?xml version='1.0' encoding='iso-8859-1'?><methodCall><methodName>\xe9</methodName></methodCall>";
    assert_eq!(decode_call(latin).unwrap().method, "é");
}

#[test]
fn what_is_no_call_is_refused() {
    for text in [
        "",
        "x",
        "<methodCall>",
        "<methodCall/>",
        "<methodCall></methodcall>",
        "<methodCall><methodName></methodName></methodCall>",
        "<methodCall><params/></methodCall>",
        "<methodResponse><methodName>a.b</methodName></methodResponse>",
        "<methodCall><methodName>a.b</methodName></methodCall>x",
        "<methodCall><methodName>a.b</methodName></methodCall><methodCall/>",
        "<methodCall><methodName>a&b</methodName></methodCall>",
        "<methodCall><methodName>a&b;</methodName></methodCall>",
        "<methodCall><methodName>a&#0;b</methodName></methodCall>",
        "<methodCall><methodName>a&#x1f;b</methodName></methodCall>",
        "<methodCall><methodName>a\0b</methodName></methodCall>",
        "<methodCall><methodName>a<b/>b</methodName></methodCall>",
        "<!DOCTYPE a [<!ENTITY b \"c\">]><methodCall><methodName>a.b</methodName></methodCall>",
        "<?xml version='1.0' encoding='utf-16'?><methodCall><methodName>a.b</methodName></methodCall>",
    ] {
        assert!(decode_call(text.as_bytes()).is_err(), "{text}");
    }
    assert_eq!(
        decode_call(b"<methodCall><methodName>\xff</methodName></methodCall>"),
        Err(DecodeError::Encoding)
    );
    for text in [
        "",
        "<value><int>x</int></value>",
        "<value><int>99999999999999999999</int></value>",
        "<value><boolean>2</boolean></value>",
        "<value><double>x</double></value>",
        "<value><base64>*</base64></value>",
        "<value><nil>x</nil></value>",
        "<value><what>1</what></value>",
        "<value><value/></value>",
        "<value>x<int>1</int></value>",
        "<value><int>1</int><int>1</int></value>",
        "<value><array/></value>",
        "<value><array><data><int>1</int></data></array></value>",
        "<value><struct><member><value/></member></struct></value>",
        "<value><struct><member><name>a</name></member></struct></value>",
        "<value/><value/>",
    ] {
        assert!(matches!(param(text), Err(DecodeError::Grammar(_))), "{text}: {:?}", param(text));
    }
}

#[test]
fn limits_hold() {
    let nested = |n: usize| {
        param(&format!("{}<value/>{}", "<value><array><data>".repeat(n), "</data></array></value>".repeat(n)))
    };
    assert!(nested(Limits::CALL.depth - 1).is_ok());
    assert_eq!(nested(Limits::CALL.depth), Err(DecodeError::TooLarge("values inside of values")));
    assert_eq!(nested(70_000), Err(DecodeError::TooLarge("values inside of values")));
    let flat =
        |n: usize| param(&format!("<value><array><data>{}</data></array></value>", "<value/>".repeat(n)));
    assert!(flat(Limits::CALL.values - 1).is_ok());
    assert_eq!(flat(Limits::CALL.values), Err(DecodeError::TooLarge("values")));
    assert_eq!(decode_call(&vec![b' '; Limits::CALL.bytes + 1]), Err(DecodeError::TooLarge("bytes")));
}

fn any_value() -> impl Strategy<Value = Value> {
    let text = proptest::collection::vec(any::<char>().prop_filter("XML", |c| xml(*c)), 0..8)
        .prop_map(|cs| cs.into_iter().collect::<String>());
    let leaf = prop_oneof![
        any::<i32>().prop_map(|n| Value::Int(n.into())),
        any::<bool>().prop_map(Value::Bool),
        text.clone().prop_map(Value::Str),
        (-1e300..1e300).prop_map(Value::Double),
        proptest::collection::vec(any::<u8>(), 0..80).prop_map(Value::Base64),
        Just(Value::Nil),
    ];
    leaf.prop_recursive(5, 40, 5, move |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::Array),
            proptest::collection::vec((text.clone(), inner), 0..5).prop_map(Value::Struct),
        ]
    })
}

fn xml(c: char) -> bool {
    matches!(c, '\t' | '\n' | '\r' | ' '..='\u{fffd}' | '\u{10000}'..)
}

proptest! {
    #[test]
    fn values_come_back(value in any_value(), other in any_value()) {
        prop_assert_eq!(decode_response(&encode_response(&value)).unwrap(), Ok(value.clone()));
        let params = [value, other];
        prop_assert_eq!(decode_call(&encode_call("a.b", &params)).unwrap().params, params);
    }

    #[test]
    fn whatever_is_written_is_read(bytes in proptest::collection::vec(any::<u8>(), 0..200), code in any::<i32>()) {
        let mut w = Writer::response();
        w.array(|w| { w.str(&bytes); w.str("end"); });
        let Ok(Ok(Value::Array(list))) = decode_response(&w.finish()) else { panic!("{bytes:?}") };
        prop_assert_eq!(list.last(), Some(&s("end")));
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let fault = decode_response(&encode_fault(&Fault { code, text })).unwrap();
        prop_assert_eq!(fault.map_err(|f| f.code), Err(code));
    }

    #[test]
    fn nothing_makes_it_panic(bytes in proptest::collection::vec(any::<u8>(), 0..300), at in 0_usize..600, with: u8) {
        let _ = decode_call(&bytes);
        let _ = decode_response(&bytes);
        // Near misses: one byte of a good document is another.
        let (value, _) = sample();
        let mut document = encode_call("a.b", &[value]);
        if let Some(b) = document.get_mut(at) { *b = with; }
        let _ = decode_call(&document);
        let _ = decode_call(&document[..at.min(document.len())]);
    }
}
