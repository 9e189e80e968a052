//! Unit files (unit-directives.md): [`words`] and [`envfile`] are also used at each start; the rest
//! turns a `.service` file and its drop-ins into a unit.

pub mod envfile;
pub mod words;

pub(crate) mod codes;
pub(crate) mod context;
pub(crate) mod exec;
pub(crate) mod fields;
pub(crate) mod keys;
pub(crate) mod lower;
pub(crate) mod parse;
pub(crate) mod specifiers;
pub(crate) mod time;
