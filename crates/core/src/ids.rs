//! Small identities. A pid alone names nothing: it is always paired with a run.

use serde::{Deserialize, Serialize};

/// One slot in the fleet (`web_00`). Never reused while the daemon lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct UnitId(pub u32);

/// One life of a unit, or one auxiliary command of it (a stop or reload command). Never reused
/// while the daemon lives; 0 is no run.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RunId(pub u64);

/// A process id as the kernel gave it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Pid(pub i32);
