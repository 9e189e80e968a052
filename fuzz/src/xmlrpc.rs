//! XML-RPC documents, read and written.

use crate::pieces::ways;
use crate::{Kind, kind_of};
use supers_api::xmlrpc::{
    Call, DecodeError, Fault, Limits, Value, Writer, decode_call, decode_response, encode_call, encode_fault,
    encode_response,
};

pub(crate) const WORDS: &[&str] = &[
    "<?xml version='1.0'?>\n",
    "<?xml version=\"1.0\" encoding=\"iso-8859-1\"?>",
    "<methodCall><methodName>",
    "</methodName><params>",
    "</params></methodCall>",
    "<methodResponse><params><param>",
    "</param></params></methodResponse>",
    "<fault><value><struct><member><name>faultCode</name>",
    "<param><value>",
    "</value></param>",
    "<value>",
    "</value>",
    "<value/>",
    "<int>1</int>",
    "<i4>-2147483649</i4>",
    "<boolean>1</boolean>",
    "<double>1e400</double>",
    "<double>nan</double>",
    "<string>",
    "</string>",
    "<base64>AAE=</base64>",
    "<dateTime.iso8601>20250601T00:00:00</dateTime.iso8601>",
    "<nil/>",
    "<array><data>",
    "</data></array>",
    "<struct><member><name>",
    "</name><value>",
    "</value></member></struct>",
    "<!DOCTYPE a [<!ENTITY b \"c\">]>",
    "&b;",
    "&lt;",
    "&#13;",
    "&#0;",
    "&#xD800;",
    "<![CDATA[",
    "]]>",
    "<!--",
    "-->",
    "<?a b?>",
    "\u{fffe}",
    "\u{feff}",
    " a='b'",
];

/// A document that is understood is within the limits, and its meaning survives being written and read
/// again; any bytes at all can be a text of an answer.
pub fn xmlrpc(data: &[u8]) -> Kind {
    let call = decode_call(data);
    if let Ok(call) = &call {
        within(&call.params, data);
        let again = decode_call(&encode_call(&call.method, &call.params));
        let wanted =
            Call { method: as_written(&call.method), params: call.params.iter().map(written).collect() };
        same(&again, &Ok(wanted));
    }
    let answer = decode_response(data);
    match &answer {
        Ok(Ok(value)) => {
            within(std::slice::from_ref(value), data);
            same(&decode_response(&encode_response(value)), &Ok(Ok(written(value))));
        }
        Ok(Err(fault)) => {
            let wanted = Fault { code: fault.code, text: as_written(&fault.text) };
            same(&decode_response(&encode_fault(fault)), &Ok(Err(wanted)));
        }
        Err(_) => {}
    }
    text(data);
    kind_of(&(outline(&call.map(|c| c.params)), outline(&answer.map(|a| a.into_iter().collect()))))
}

/// Compares what cannot be compared because of NaN.
fn same<T: std::fmt::Debug>(got: &Result<T, DecodeError>, wanted: &Result<T, DecodeError>) {
    assert_eq!(format!("{got:?}"), format!("{wanted:?}"));
}

/// The bytes as a string of an answer, at once and in pieces.
fn text(data: &[u8]) {
    let mut at_once = Writer::response();
    at_once.str(data);
    let at_once = at_once.finish();
    let wanted = as_written(&String::from_utf8_lossy(data));
    same(&decode_response(&at_once), &Ok(Ok(Value::Str(wanted))));
    for reads in ways(data) {
        let mut writer = Writer::response();
        writer.begin_str();
        let mut held = Vec::new();
        for read in reads {
            held.extend_from_slice(read);
            let left = writer.piece(&held);
            assert!(left <= 3, "{left} bytes are held back");
            held.drain(..held.len() - left);
        }
        writer.end_str(&held);
        assert_eq!(writer.finish(), at_once, "pieces make another text");
    }
}

/// What the limits promise of any call; an answer of this size is below them as well.
fn within(values: &[Value], document: &[u8]) {
    let (mut count, mut bytes) = (0, 0);
    let mut level: Vec<&Value> = values.iter().collect();
    let mut depth = 0;
    while !level.is_empty() {
        count += level.len();
        depth += 1;
        level = level.into_iter().flat_map(|value| inside(value, &mut bytes)).collect();
    }
    assert!(depth <= Limits::CALL.depth, "{depth} values inside of values");
    assert!(count <= Limits::CALL.values && count * "<value/>".len() <= document.len(), "{count} values");
    // A byte of Latin-1 is two of UTF-8.
    assert!(bytes <= document.len() * 2, "{bytes} bytes of text");
}

/// The values in a value. Its text is added to `bytes`.
fn inside<'a>(value: &'a Value, bytes: &mut usize) -> Vec<&'a Value> {
    match value {
        Value::Str(text) | Value::DateTime(text) => *bytes += text.len(),
        Value::Base64(data) => *bytes += data.len(),
        Value::Array(list) => return list.iter().collect(),
        Value::Struct(members) => {
            *bytes += members.iter().map(|m| m.0.len()).sum::<usize>();
            return members.iter().map(|m| &m.1).collect();
        }
        Value::Int(_) | Value::Bool(_) | Value::Double(_) | Value::Nil => {}
    }
    Vec::new()
}

/// A value as it is after it was written and read.
fn written(value: &Value) -> Value {
    match value {
        // XML-RPC has 32 bits for it.
        Value::Int(n) => Value::Int((*n).clamp(i32::MIN.into(), i32::MAX.into())),
        Value::Str(text) => Value::Str(as_written(text)),
        Value::DateTime(text) => Value::DateTime(as_written(text).trim().to_owned()),
        Value::Array(list) => Value::Array(list.iter().map(written).collect()),
        Value::Struct(members) => {
            Value::Struct(members.iter().map(|(name, v)| (as_written(name), written(v))).collect())
        }
        Value::Bool(_) | Value::Double(_) | Value::Base64(_) | Value::Nil => value.clone(),
    }
}

/// Text as XML 1.0 can carry it.
fn as_written(text: &str) -> String {
    let carried = |c: char| match c {
        '\t' | '\n' | '\r' => c,
        '\0'..' ' | '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        _ => c,
    };
    text.chars().map(carried).collect()
}

/// What matters about an outcome: the error without its details, or the kinds of the values.
fn outline(outcome: &Result<Vec<Value>, impl std::fmt::Debug>) -> String {
    let mut out = match outcome {
        Ok(values) => values.iter().take(4).map(shape).collect::<Vec<_>>().join(","),
        Err(error) => format!("{error:?}"),
    };
    out.retain(|c| !c.is_ascii_digit());
    out.chars().take(80).collect()
}

fn shape(value: &Value) -> String {
    match value {
        Value::Int(n) => format!("int{}", if *n < 0 { "-" } else { "" }),
        Value::Bool(_) => "bool".into(),
        Value::Str(text) => format!("str{}", if text.is_ascii() { "" } else { "+" }),
        Value::Double(d) => format!("double{:?}", d.classify()),
        Value::Base64(_) => "bytes".into(),
        Value::DateTime(_) => "time".into(),
        Value::Array(list) => format!("[{}]", list.iter().take(3).map(shape).collect::<String>()),
        Value::Struct(members) => {
            format!("{{{}}}", members.iter().take(3).map(|m| shape(&m.1)).collect::<String>())
        }
        Value::Nil => "nil".into(),
    }
}
