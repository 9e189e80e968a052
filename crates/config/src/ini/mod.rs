//! The Supervisor dialect (supervisor-contract 2 to 4).
//!
//! [`parse`] reads lines into sections with places, [`expand`] does the `%` formatting, [`value`] knows
//! the types, [`keys`] the names; [`settings`], [`plugin`], [`program`], [`group`] and [`webhook`] lower
//! sections, [`lower`] puts all together.

pub(crate) mod expand;
pub(crate) mod fields;
pub(crate) mod group;
pub(crate) mod keys;
pub(crate) mod lower;
pub(crate) mod parse;
pub(crate) mod plugin;
pub(crate) mod pool;
pub(crate) mod program;
pub(crate) mod settings;
pub(crate) mod shlex;
pub(crate) mod value;
pub(crate) mod webhook;
