//! Becoming another program, with nothing allocated on the way, and memory that outlives it.

use crate::errno::check;
use std::ffi::{CStr, CString, c_char};
use std::fs::File;
use std::io;
use std::os::fd::{FromRawFd, OwnedFd};
use std::ptr;

/// A file in memory, close-on-exec.
///
/// # Errors
/// The kernel refuses a descriptor.
pub fn memory_file(name: &CStr) -> io::Result<File> {
    // SAFETY: a NUL-terminated string that lives.
    let fd = check(unsafe { libc::memfd_create(name.as_ptr(), libc::MFD_CLOEXEC) })?;
    // SAFETY: a fresh descriptor that nobody else owns.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) }.into())
}

/// Words and environment of a program, laid out as execve wants them.
#[derive(Debug)]
pub struct Image {
    /// NULL-terminated; points into `_words`.
    argv: Vec<*const c_char>,
    /// NULL-terminated; points into `_words`.
    env: Vec<*const c_char>,
    _words: (Vec<CString>, Vec<CString>),
}

impl Image {
    /// Lays them out.
    pub fn new(argv: Vec<CString>, env: Vec<CString>) -> Image {
        let pointers =
            |list: &[CString]| -> Vec<_> { list.iter().map(|s| s.as_ptr()).chain([ptr::null()]).collect() };
        Image { argv: pointers(&argv), env: pointers(&env), _words: (argv, env) }
    }

    /// Becomes the program at this path; the error if that fails. What is not close-on-exec stays open,
    /// blocked signals stay blocked and keep waiting. Allocates nothing.
    pub fn execute(&self, program: &CStr) -> io::Error {
        // SAFETY: a NUL-terminated path and two NULL-terminated lists of NUL-terminated strings, which
        // live in `_words`: the buffer of a CString stays where it is when the CString moves.
        unsafe { libc::execve(program.as_ptr(), self.argv.as_ptr(), self.env.as_ptr()) };
        io::Error::last_os_error()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Seek, Write};

    #[test]
    fn memory_is_a_file() {
        let mut file = memory_file(c"x").unwrap();
        file.write_all(b"kept").unwrap();
        file.rewind().unwrap();
        let mut text = String::new();
        file.read_to_string(&mut text).unwrap();
        assert_eq!(text, "kept");
    }

    #[test]
    fn a_program_that_is_not_there_is_an_error() {
        let image = Image::new(vec![c"x".into()], vec![]);
        assert_eq!(image.execute(c"/no/such").raw_os_error(), Some(libc::ENOENT));
    }
}
