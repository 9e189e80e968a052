//! `system.*`: introspection from the table, and several calls in one.

use super::dispatch::Cx;
use super::fault::Code;
use super::table::{Row, TABLE, find};
use crate::xmlrpc::{Fault, Value, Writer};
use std::fmt::Write as _;

/// When the answers so far are longer, the calls that follow are not made.
const MULTICALL_ANSWER: usize = 8 << 20;

impl Cx<'_> {
    /// One call after another. Others get their turn between them.
    pub(super) async fn multicall(self, params: &[Value], w: &mut Writer) -> Result<(), Fault> {
        let calls = params.first().and_then(Value::as_array).unwrap_or_default();
        w.begin_array();
        for call in calls {
            if let Err(fault) = self.one_of_many(call, w).await {
                w.fault(&fault);
            }
            tokio::task::yield_now().await;
        }
        w.end_array();
        Ok(())
    }

    async fn one_of_many(self, call: &Value, w: &mut Writer) -> Result<(), Fault> {
        if w.len() > MULTICALL_ANSWER {
            return Err(Code::Failed.of("the answers of the calls before are too long together"));
        }
        let Value::Struct(_) = call else { return Err(Code::IncorrectParameters.bare()) };
        let name = call.get("methodName").and_then(Value::as_str);
        let name = name.ok_or_else(|| Code::IncorrectParameters.of("No methodName"))?;
        let params = match call.get("params") {
            None => &[],
            Some(list) => list.as_array().ok_or_else(|| Code::IncorrectParameters.bare())?,
        };
        if name == "system.multicall" {
            return Err(Code::IncorrectParameters.of("Recursive system.multicall forbidden"));
        }
        let row = self.admit(name, params)?;
        self.run(row, params, w).await
    }
}

pub(super) fn list(supervisor: bool, w: &mut Writer) {
    let served = TABLE.iter().filter(|row| supervisor || row.is_system());
    w.array(|w| served.for_each(|row| w.str(row.name)));
}

pub(super) fn help(name: Option<&Value>, w: &mut Writer) -> Result<(), Fault> {
    let row = described(name)?;
    let mut text = format!("{}\n\n", row.help);
    for (name, kind) in row.params {
        let _ = writeln!(text, "@param {} {name}", kind.name());
    }
    let _ = writeln!(text, "@return {}", row.result);
    w.str(&text);
    Ok(())
}

pub(super) fn signature(name: Option<&Value>, w: &mut Writer) -> Result<(), Fault> {
    let row = described(name)?;
    w.array(|w| {
        w.str(row.result);
        row.params.iter().for_each(|(_, kind)| w.str(kind.name()));
    });
    Ok(())
}

fn described(name: Option<&Value>) -> Result<&'static Row, Fault> {
    name.and_then(Value::as_str).and_then(find).ok_or_else(|| Code::SignatureUnsupported.bare())
}
