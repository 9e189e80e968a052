//! What is around the command: environment, user, working directory, terminal. Read once, so that
//! tests can give their own.

use crate::world::World;
use bstr::ByteSlice;
use std::io::IsTerminal;
use std::time::Duration;
use supers_config::Personality;

/// The surroundings.
#[derive(Clone, Debug)]
pub struct Around {
    /// Environment, user, places.
    pub world: World,
    /// Standard output is a terminal.
    pub tty: bool,
    /// How long the daemon may take for a status, which costs it nothing.
    pub patience: Duration,
}

impl Around {
    /// The real ones.
    pub fn real() -> Around {
        Around {
            world: World::here(Personality::Superd),
            tty: std::io::stdout().is_terminal(),
            patience: Duration::from_secs(10),
        }
    }

    /// A variable, when it is set, not empty and text.
    pub fn var(&self, name: &str) -> Option<String> {
        let found = self.world.env.iter().find(|(k, _)| k.as_bytes() == name.as_bytes())?;
        found.1.to_str().ok().filter(|v| !v.is_empty()).map(str::to_string)
    }
}
