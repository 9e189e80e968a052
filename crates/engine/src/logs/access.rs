//! Log files as the doors read them: by bytes of the file in use, as Supervisor's interface does
//! (supervisor-contract 10, "read semantics"). Blocking: not for the engine's thread nor the api's.

use super::reader::read_at;
use super::{Logs, lock, sys};
use std::ffi::OsStr;
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use supers_core::control::Stream;
use supers_core::ids::UnitId;
use supers_core::inside::{Cut, LogFault, Piece};
use supers_core::spec::{Output, Target};
use supers_os::error_text;

/// Most bytes of one answer. A longer one loses its end when it counts from the beginning of the file (the
/// caller can go on from there), and else its beginning.
pub const MAX_PIECE: u64 = 16 << 20;

impl Logs {
    /// A part of the file that a unit's stream goes to; `output` are the unit's settings.
    ///
    /// # Errors
    /// [`LogFault::NoFile`] when nothing is kept or the file is not there; [`Cut::Tail`] is then an empty
    /// piece instead.
    pub fn read(&self, unit: UnitId, output: &Output, stream: Stream, cut: Cut) -> Result<Piece, LogFault> {
        match self.file_of(unit, output, stream) {
            Some(path) => read_file(&path, cut),
            None => no_file(cut),
        }
    }

    /// The file that a unit's stream goes to, or will when the unit runs; `AUTO` resolved.
    pub fn file_of(&self, unit: UnitId, output: &Output, stream: Stream) -> Option<PathBuf> {
        if let Some(streams) = self.streams(unit) {
            return streams.path(stream);
        }
        let (index, sink) = match (stream, &output.stderr) {
            (Stream::Stderr, Some(sink)) => (1, sink),
            (Stream::Stdout, _) | (Stream::Stderr, None) => (0, &output.stdout),
        };
        match &sink.target {
            Target::Null => None,
            Target::File(path) if path == "/dev/null" => None,
            Target::File(path) => Some(OsStr::from_bytes(path).into()),
            Target::Auto { .. } => {
                let autos = lock(&self.shared.autos);
                autos.path(unit, index).map(Path::to_path_buf)
            }
        }
    }
}

/// A part of a file.
///
/// # Errors
/// See [`Logs::read`].
pub fn read_file(path: &Path, cut: Cut) -> Result<Piece, LogFault> {
    let failed = |e: io::Error| match e.kind() {
        io::ErrorKind::NotFound => LogFault::NoFile,
        _ => LogFault::Failed(error_text(&e)),
    };
    // The arguments are judged first, whatever becomes of the file.
    cut.range(0)?;
    let file = match sys::calm_open().read(true).open(path) {
        Err(e) if e.kind() == io::ErrorKind::NotFound => return no_file(cut),
        file => file.map_err(failed)?,
    };
    let meta = file.metadata().map_err(failed)?;
    if !meta.is_file() {
        return no_file(cut);
    }
    let size = meta.len();
    let (start, len, overflow) = bounded(cut, cut.range(size)?, MAX_PIECE);
    let len = usize::try_from(len).map_err(|_| LogFault::BadArguments)?;
    let bytes = read_at(&file, start, len).map_err(failed)?;
    Ok(Piece { bytes, size, overflow })
}

pub(super) fn no_file(cut: Cut) -> Result<Piece, LogFault> {
    cut.range(0)?;
    match cut {
        Cut::Read { .. } => Err(LogFault::NoFile),
        Cut::Tail { .. } => Ok(Piece::default()),
    }
}

/// Makes a range short enough; see [`MAX_PIECE`].
fn bounded(cut: Cut, (start, len, overflow): (u64, u64, bool), most: u64) -> (u64, u64, bool) {
    let surplus = len.saturating_sub(most);
    match cut {
        Cut::Read { offset, .. } if offset >= 0 => (start, len - surplus, overflow),
        Cut::Read { .. } => (start + surplus, len - surplus, overflow),
        Cut::Tail { .. } => (start + surplus, len - surplus, overflow || surplus > 0),
    }
}
