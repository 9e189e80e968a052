//! XML-RPC as a client sees it: calls out of JSON values, replies as lines that a person can compare.

use roxmltree::{Document, Node};
use serde_json::Value;
use std::fmt::Write;

/// The body of a call.
pub(crate) fn call(method: &str, params: &[Value]) -> String {
    let params: String = params.iter().map(|p| format!("<param>{}</param>", value(p))).collect();
    let method = escape(method);
    format!(
        "<?xml version='1.0'?>\n<methodCall>\n<methodName>{method}</methodName>\n<params>{params}</params>\n</methodCall>\n"
    )
}

fn value(json: &Value) -> String {
    let inner = match json {
        Value::Null => "<nil/>".into(),
        Value::Bool(b) => format!("<boolean>{}</boolean>", u8::from(*b)),
        Value::Number(n) if n.is_i64() || n.is_u64() => format!("<int>{n}</int>"),
        Value::Number(n) => format!("<double>{n}</double>"),
        Value::String(s) => format!("<string>{}</string>", escape(s)),
        Value::Array(all) => {
            format!("<array><data>{}</data></array>", all.iter().map(value).collect::<String>())
        }
        Value::Object(all) => {
            let member = |(k, v): (&String, &Value)| {
                format!("<member><name>{}</name>{}</member>", escape(k), value(v))
            };
            format!("<struct>{}</struct>", all.iter().map(member).collect::<String>())
        }
    };
    format!("<value>{inner}</value>")
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A reply as lines: types are shown, the members of a struct are sorted, because clients read them by name.
pub(crate) fn reply(body: &str) -> String {
    match Document::parse(body) {
        Ok(document) => {
            let mut out = String::new();
            let root = document.root_element();
            match child(root, "fault").and_then(|f| child(f, "value")) {
                Some(fault) => {
                    out.push_str("fault ");
                    show(fault, 0, &mut out);
                }
                None => {
                    for param in root.descendants().filter(|n| n.has_tag_name("param")) {
                        if let Some(value) = child(param, "value") {
                            show(value, 0, &mut out);
                        }
                    }
                }
            }
            out
        }
        Err(e) => format!("not XML ({e}): {body:?}"),
    }
}

/// The text of the member `name` when the reply is a struct.
pub(crate) fn member(body: &str, name: &str) -> Option<String> {
    let document = Document::parse(body).ok()?;
    let all = document.descendants().filter(|n| n.has_tag_name("member"));
    let found = all.into_iter().find(|m| child(*m, "name").and_then(|n| n.text()) == Some(name))?;
    let value = child(found, "value")?;
    Some(value.descendants().filter_map(|n| n.text().filter(|_| n.is_text())).collect())
}

fn child<'a>(node: Node<'a, 'a>, name: &str) -> Option<Node<'a, 'a>> {
    node.children().find(|n| n.has_tag_name(name))
}

fn show(value: Node<'_, '_>, depth: usize, out: &mut String) {
    let pad = "  ".repeat(depth + 1);
    let Some(typed) = value.children().find(Node::is_element) else {
        let _ = writeln!(out, "untyped {:?}", value.text().unwrap_or_default());
        return;
    };
    let text = typed.text().unwrap_or_default();
    match typed.tag_name().name() {
        "int" | "i4" => drop(writeln!(out, "int {text}")),
        "boolean" => drop(writeln!(out, "{}", if text == "1" { "true" } else { "false" })),
        "string" => drop(writeln!(out, "{text:?}")),
        "array" => {
            let items: Vec<_> = typed.descendants().find(|n| n.has_tag_name("data")).into_iter().collect();
            let items = items.iter().flat_map(|d| d.children()).filter(|n| n.has_tag_name("value"));
            out.push_str("array\n");
            for item in items {
                let _ = write!(out, "{pad}- ");
                show(item, depth + 1, out);
            }
        }
        "struct" => {
            let mut members: Vec<(&str, Node<'_, '_>)> = typed
                .children()
                .filter_map(|m| Some((child(m, "name")?.text().unwrap_or_default(), child(m, "value")?)))
                .collect();
            members.sort_by_key(|(name, _)| *name);
            out.push_str("struct\n");
            for (name, inner) in members {
                let _ = write!(out, "{pad}{name}: ");
                show(inner, depth + 1, out);
            }
        }
        other => drop(writeln!(out, "{other} {text}")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_call_and_its_reading() {
        let body = call("a.b", &[json!("x<"), json!(5), json!([true, {"k": "v", "a": -1}])]);
        assert!(body.contains("<string>x&lt;</string>"));
        let reply = super::reply(&body.replace("methodCall", "methodResponse"));
        assert_eq!(reply, "\"x<\"\nint 5\narray\n  - true\n  - struct\n    a: int -1\n    k: \"v\"\n");
        assert_eq!(member(&body, "k").as_deref(), Some("v"));
    }

    #[test]
    fn a_fault() {
        let body = "<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>10</int>\
                    </value></member></struct></value></fault></methodResponse>";
        assert_eq!(reply(body), "fault struct\n  faultCode: int 10\n");
        assert!(reply("<x").starts_with("not XML"));
    }
}
