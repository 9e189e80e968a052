//! Where the programs are.

use std::path::{Path, PathBuf};

/// The programs that a test runs.
#[derive(Clone, Debug)]
pub struct Bins {
    /// The daemon.
    pub superd: PathBuf,
    /// The client.
    pub supers: PathBuf,
    /// The program that behaves as told.
    pub actor: PathBuf,
}

impl Bins {
    /// Looks beside the running test: `target/PROFILE/deps/test-1234` belongs to `target/PROFILE/superd`.
    pub fn find() -> Bins {
        let exe = std::env::current_exe().expect("the path of the running test");
        let beside = |name: &str| {
            let place = exe.ancestors().skip(1).map(|dir| dir.join(name)).find(|path| path.is_file());
            place.unwrap_or_else(|| exe.parent().unwrap_or(Path::new("/")).join(name))
        };
        Bins { superd: beside("superd"), supers: beside("supers"), actor: beside("actor") }
    }

    /// Takes two programs from the test's `env!("CARGO_BIN_EXE_superd")` and so on, the actor from beside.
    pub fn of(superd: impl Into<PathBuf>, supers: impl Into<PathBuf>) -> Bins {
        Bins { superd: superd.into(), supers: supers.into(), ..Bins::find() }
    }
}

/// The path, when the program was built; else the test fails and says what to build.
pub(crate) fn built<'a>(path: &'a Path, package: &str) -> &'a Path {
    let name = path.file_name().unwrap_or_default().display();
    assert!(
        path.is_file(),
        "{name} is not built ({} is absent): run `cargo build -p {package}`",
        path.display()
    );
    path
}
