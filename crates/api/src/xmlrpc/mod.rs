//! XML-RPC documents (supervisor-contract 10): what clients such as Python's `xmlrpc.client` write and
//! read. Pure: bytes in, values out, and back.
//!
//! [`decode_call`] and [`decode_response`] refuse what XML 1.0 refuses, and more than their [`Limits`];
//! [`Writer`] cannot make a document that a parser refuses.

mod decode;
mod encode;

pub use decode::{DecodeError, decode_call, decode_response};
pub use encode::{Writer, encode_call, encode_fault, encode_response};

/// A value of a call or an answer.
#[derive(Clone, Debug, PartialEq)]
pub enum Value {
    /// `int`, `i4`, `i8` and the like.
    Int(i64),
    /// `boolean`
    Bool(bool),
    /// `string`, or no type at all.
    Str(String),
    /// `double`
    Double(f64),
    /// `base64`
    Base64(Vec<u8>),
    /// `dateTime.iso8601`, as written.
    DateTime(String),
    /// `array`
    Array(Vec<Value>),
    /// `struct`; of members with one name the last counts.
    Struct(Vec<(String, Value)>),
    /// `nil`, an extension that Python reads.
    Nil,
}

impl Value {
    /// The text of a string.
    pub fn as_str(&self) -> Option<&str> {
        if let Value::Str(text) = self { Some(text) } else { None }
    }

    /// The number of an integer.
    pub fn as_int(&self) -> Option<i64> {
        if let Value::Int(n) = self { Some(*n) } else { None }
    }

    /// The truth of a boolean.
    pub fn as_bool(&self) -> Option<bool> {
        if let Value::Bool(b) = self { Some(*b) } else { None }
    }

    /// The members of an array.
    pub fn as_array(&self) -> Option<&[Value]> {
        if let Value::Array(list) = self { Some(list) } else { None }
    }

    /// A member of a struct.
    pub fn get(&self, name: &str) -> Option<&Value> {
        let Value::Struct(members) = self else { return None };
        members.iter().rev().find(|m| m.0 == name).map(|m| &m.1)
    }
}

/// A question.
#[derive(Clone, Debug, PartialEq)]
pub struct Call {
    /// `namespace.method`
    pub method: String,
    /// By position.
    pub params: Vec<Value>,
}

/// An answer that says no.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// Its number.
    pub code: i32,
    /// `NAME`, or `NAME: detail`.
    pub text: String,
}

/// How much a document may hold. With [`Limits::CALL`] a hostile body costs, at its peak, its own bytes
/// three times at most (as it came, in a foreign encoding, as text) and less than 20 MiB for 65,536 values
/// (a value takes 32 bytes in its list, a member of a struct 56, a list at most twice that while it grows,
/// and each has an allocation of its own).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of the document.
    pub bytes: usize,
    /// Values in it, members of arrays and structs included.
    pub values: usize,
    /// Values inside of values.
    pub depth: usize,
}

impl Limits {
    /// For a call, which comes from anybody.
    pub const CALL: Limits = Limits { bytes: 4 << 20, values: 1 << 16, depth: 64 };
    /// For an answer, which comes from a daemon that the caller chose.
    pub const RESPONSE: Limits = Limits { bytes: 256 << 20, values: 1 << 22, depth: 64 };
}
