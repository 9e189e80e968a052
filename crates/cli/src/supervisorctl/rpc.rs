//! What the commands need of a daemon, and how a failure reads.

use std::io::Write;
pub use supers_api::xmlrpc::{Fault, Value};

/// Fault codes (supervisor-contract 10).
pub(super) mod code {
    pub(in crate::supervisorctl) const UNKNOWN_METHOD: i32 = 1;
    pub(in crate::supervisorctl) const SHUTDOWN_STATE: i32 = 6;
    pub(in crate::supervisorctl) const BAD_NAME: i32 = 10;
    pub(in crate::supervisorctl) const BAD_SIGNAL: i32 = 11;
    pub(in crate::supervisorctl) const NO_FILE: i32 = 20;
    pub(in crate::supervisorctl) const NOT_EXECUTABLE: i32 = 21;
    pub(in crate::supervisorctl) const FAILED: i32 = 30;
    pub(in crate::supervisorctl) const ABNORMAL_TERMINATION: i32 = 40;
    pub(in crate::supervisorctl) const SPAWN_ERROR: i32 = 50;
    pub(in crate::supervisorctl) const ALREADY_STARTED: i32 = 60;
    pub(in crate::supervisorctl) const NOT_RUNNING: i32 = 70;
    pub(in crate::supervisorctl) const SUCCESS: i32 = 80;
    pub(in crate::supervisorctl) const ALREADY_ADDED: i32 = 90;
    pub(in crate::supervisorctl) const STILL_RUNNING: i32 = 91;
    pub(in crate::supervisorctl) const CANT_REREAD: i32 = 92;
}

/// Why a call brought no value. The text is what the ancestor prints after `error: `, without the
/// place in its source.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The daemon says no.
    #[error("<class 'xmlrpc.client.Fault'>, {}", fault_text(.0))]
    Fault(Fault),
    /// An answer that is no 200.
    #[error("<class 'xmlrpc.client.ProtocolError'>, <ProtocolError for 127.0.0.1/RPC2: {status} {reason}>")]
    // The ancestor names this host whatever the address is.
    Protocol {
        /// The number.
        status: u16,
        /// Its name.
        reason: String,
    },
    /// No socket at the path.
    #[error("<class 'FileNotFoundError'>, [Errno 2] No such file or directory")]
    NoFile,
    /// Nobody listens.
    #[error("<class 'ConnectionRefusedError'>, [Errno 111] Connection refused")]
    Refused,
    /// This user may not.
    #[error("<class 'PermissionError'>, [Errno 13] Permission denied")]
    Denied,
    /// The host has no address.
    #[error("<class 'socket.gaierror'>, {0}")]
    Host(String),
    /// The connection broke, or could not be made for another reason.
    #[error("<class 'OSError'>, {0}")]
    Connection(String),
    /// Values that make no sense here: an address, a result code, an answer that cannot be read.
    #[error("<class 'ValueError'>, {0}")]
    Value(String),
    /// A question met the end of the input.
    #[error("<class 'EOFError'>, EOF when reading a line")]
    EndOfInput,
    /// Ctrl-C. Nothing is printed for it.
    #[error("interrupted")]
    Interrupted,
}

/// A fault as Python shows it.
pub(super) fn fault_text(fault: &Fault) -> String {
    format!("<Fault {}: {}>", fault.code, super::names::quoted(&fault.text))
}

impl CallError {
    /// The code, when it is a fault.
    pub(super) fn code(&self) -> Option<i32> {
        if let CallError::Fault(fault) = self { Some(fault.code) } else { None }
    }

    /// The daemon wants name and password.
    pub(super) fn is_unauthorised(&self) -> bool {
        matches!(self, CallError::Protocol { status: 401, .. })
    }
}

/// Calls by name.
pub trait Rpc {
    /// One call.
    ///
    /// # Errors
    /// Why there is no value.
    fn call(&mut self, method: &str, params: &[Value]) -> Result<Value, CallError>;
}

/// How following a log ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Followed {
    /// Ctrl-C, or nobody reads our output any more.
    Interrupted,
    /// The daemon refused with this status.
    Refused(u16),
    /// There is no connection.
    Unreachable(CallError),
    /// The connection ended.
    Closed,
}

/// How a visit in the foreground ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Visited {
    /// Ctrl-C, or the end of the input.
    Left,
    /// The process takes no more input.
    Gone,
    /// The daemon refused a line.
    Failed(CallError),
}

/// A daemon: calls, logs that go on, and another address.
pub trait Daemon: Rpc {
    /// Its address, for messages.
    fn url(&self) -> String;
    /// From now on this address.
    fn open(&mut self, url: &str);
    /// From now on this name and password.
    fn login(&mut self, username: &str, password: &str);
    /// Copies the answer of a GET until Ctrl-C.
    fn follow(&mut self, path: &str, out: &mut dyn Write) -> Followed;
    /// Both streams of a process to `out`, typed lines to the process, until Ctrl-C. What is wrong with a
    /// stream goes to `err`.
    fn visit(&mut self, process: &str, out: &mut dyn Write, err: &mut dyn Write) -> Visited;
}

/// A text argument.
pub(super) fn text(value: &str) -> Value {
    Value::Str(value.to_string())
}

/// A number argument.
pub(super) fn int(value: i64) -> Value {
    Value::Int(value)
}

/// A text member, or nothing.
pub(super) fn member<'v>(value: &'v Value, name: &str) -> &'v str {
    value.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// A number member, or 0.
pub(super) fn number(value: &Value, name: &str) -> i64 {
    value.get(name).and_then(Value::as_int).unwrap_or(0)
}

/// The elements of an array; of anything else none.
pub(super) fn list(value: &Value) -> &[Value] {
    value.as_array().unwrap_or_default()
}
