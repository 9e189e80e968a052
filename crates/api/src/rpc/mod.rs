//! Supervisor's own interface, `supervisor.*` and `system.*` (supervisor-contract 10), over what a door
//! inside the daemon can ask. [`answer`] takes the body of a request and gives the body of its answer.
//!
//! Each method writes its one value straight into the document; a fault takes back what it wrote. A call
//! that waits holds only its own caller, and between the calls of a `system.multicall` others get their turn.

mod dispatch;
mod fault;
mod info;
mod logs;
mod names;
mod orders;
mod parsed;
mod system;
mod table;

use crate::xmlrpc::{Limits, Writer, decode_call, encode_fault};
use bytes::Bytes;
use dispatch::Cx;
use std::sync::{Arc, Mutex, PoisonError, Weak};
use supers_core::control::Caller;
use supers_core::inside::Inside;
use supers_core::snapshot::Snapshot;
use table::Method;

/// The largest body that [`answer`] looks at; a server refuses longer ones before they are read.
pub const MAX_BODY: usize = Limits::CALL.bytes;

/// A log that would make an answer longer is refused with FAILED. While it grows it may be held twice;
/// together with [`MAX_BODY`] and [`Limits::CALL`] a request costs less than 60 MiB, however it is made.
pub(crate) const MAX_ANSWER: usize = 20 << 20;

/// What is kept between requests. One for all connections of one daemon.
#[derive(Debug, Default)]
pub struct RpcState {
    all: Mutex<Option<Cached>>,
}

/// The finished answer to getAllProcessInfo. It changes with the snapshot, and with `now` in it each second.
#[derive(Debug)]
struct Cached {
    /// As long as this is held no other snapshot has its address.
    of: Weak<Snapshot>,
    second: i64,
    body: Bytes,
}

/// The answer to a request.
#[derive(Clone, Debug)]
pub struct RpcReply {
    /// 200, or 400 when the body is no call.
    pub status: u16,
    /// `text/xml`, or `text/html` for a refusal, as the ancestor has it.
    pub content_type: &'static str,
    /// Ready to be sent.
    pub body: Bytes,
}

/// Answers the body of a `POST /RPC2`.
pub async fn answer(inside: &Arc<dyn Inside>, caller: &Caller, state: &RpcState, body: Bytes) -> RpcReply {
    let call = match decode_call(&body) {
        Ok(call) => call,
        Err(e) => {
            let text = html(&e.to_string());
            return RpcReply { status: 400, content_type: "text/html", body: text.into() };
        }
    };
    drop(body);
    let cx = Cx { inside: &**inside, caller };
    let mut w = Writer::response();
    let done = match cx.admit(&call.method, &call.params) {
        Ok(row) if row.method == Method::GetAllProcessInfo => return xml(state.all_process_info(&**inside)),
        Ok(row) if row.method == Method::Multicall => cx.multicall(&call.params, &mut w).await,
        Ok(row) => cx.run(row, &call.params, &mut w).await,
        Err(fault) => Err(fault),
    };
    xml(match done {
        Ok(()) => w.finish().into(),
        Err(fault) => encode_fault(&fault).into(),
    })
}

/// A refusal as the small page that the ancestor's clients expect.
fn html(why: &str) -> String {
    let why = why.replace('&', "&amp;").replace('<', "&lt;");
    format!("<!DOCTYPE html><title>Bad Request</title><h1>Bad Request</h1><p>{why}</p>\n")
}

fn xml(body: Bytes) -> RpcReply {
    RpcReply { status: 200, content_type: "text/xml", body }
}

impl RpcState {
    /// Lets the finished answer go.
    pub(crate) fn forget(&self) {
        *self.all.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }

    /// Equal questions within a second, while nothing changes, share one answer.
    fn all_process_info(&self, inside: &dyn Inside) -> Bytes {
        let snapshot = inside.snapshot();
        let second = inside.now().wall.secs();
        let mut all = self.all.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(c) = &*all
            && c.second == second
            && std::ptr::eq(c.of.as_ptr(), Arc::as_ptr(&snapshot))
        {
            return c.body.clone();
        }
        let mut w = Writer::response();
        w.reserve(all.as_ref().map_or(0, |c| c.body.len()));
        info::write_all(&snapshot, inside.now(), &mut w);
        let body = Bytes::from(w.finish());
        *all = Some(Cached { of: Arc::downgrade(&snapshot), second, body: body.clone() });
        body
    }
}
