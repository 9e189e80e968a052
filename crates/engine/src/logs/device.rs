//! Targets that are no regular files: terminals, pipes, the daemon's own output. Nothing can be read
//! back from them, and a slow one must hold up nobody but its own programs.

use super::sys;
use std::fs::File;
use std::io::{self, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::FileTypeExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// A write of this many bytes to a pipe that poll(2) calls writable does not wait.
const CALM_WRITE: usize = 4096;

/// A target that is written to in order and never read.
pub(super) struct DeviceSink {
    file: File,
    /// For messages.
    path: Arc<PathBuf>,
    /// The description is shared with others and may block: ask before each write.
    shared: bool,
}

impl DeviceSink {
    /// Opens a device or FIFO by name.
    pub(super) fn open(path: &Path) -> io::Result<DeviceSink> {
        let fifo = std::fs::metadata(path)?.file_type().is_fifo();
        // A FIFO is opened for reading too: it then opens, and never breaks, without a reader.
        let file = sys::calm_open().read(fifo).write(true).open(path)?;
        Ok(DeviceSink { file, path: Arc::new(path.into()), shared: false })
    }

    /// Takes one of the daemon's own descriptors, which other processes may hold too.
    pub(super) fn own(file: File, path: &Path) -> io::Result<DeviceSink> {
        let shared = !file.metadata()?.is_file();
        Ok(DeviceSink { file, path: Arc::new(path.into()), shared })
    }

    /// The name, for messages.
    pub(super) fn path(&self) -> &Arc<PathBuf> {
        &self.path
    }

    /// The open target.
    pub(super) fn file(&self) -> &File {
        &self.file
    }

    /// Writes what can be written without waiting.
    pub(super) fn write(&mut self, bytes: &[u8]) -> (usize, io::Result<()>) {
        let mut done = 0;
        while done < bytes.len() {
            let mut piece = &bytes[done..];
            if self.shared {
                if !sys::writable(self.file.as_fd()) {
                    return (done, Err(io::ErrorKind::WouldBlock.into()));
                }
                piece = &piece[..piece.len().min(CALM_WRITE)];
            }
            match self.file.write(piece) {
                Ok(0) => return (done, Err(io::ErrorKind::WriteZero.into())),
                Ok(n) => done += n,
                Err(e) if e.kind() == io::ErrorKind::Interrupted => {}
                Err(e) => return (done, Err(e)),
            }
        }
        (done, Ok(()))
    }
}
