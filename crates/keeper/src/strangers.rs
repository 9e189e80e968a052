//! The list of all our children, for what no signal told.

use std::fs::File;
use std::io::{Read, Seek};
use supers_os::Pid;
use supers_os::process;

/// The kernel's list of this process's children; without it (kernels built so) strangers whose signals
/// merged stay zombies until their process id comes up again.
#[derive(Debug)]
pub(crate) struct Children(Option<File>);

impl Children {
    pub(crate) fn open() -> Children {
        let pid = process::pid();
        Children(File::open(format!("/proc/{pid}/task/{pid}/children")).ok())
    }

    /// The empty list.
    pub(crate) fn none() -> Children {
        Children(None)
    }

    /// Calls for each child. It may reap the child; the list may then miss others, so whoever reaps one
    /// asks again later.
    pub(crate) fn each(&mut self, mut visit: impl FnMut(Pid)) {
        let Some(file) = &mut self.0 else { return };
        if file.rewind().is_err() {
            return;
        }
        let mut numbers = Numbers::default();
        let mut part = [0u8; 2048];
        while let Ok(n @ 1..) = file.read(&mut part) {
            for byte in part.iter().take(n) {
                if let Some(pid) = numbers.push(*byte) {
                    visit(Pid(pid));
                }
            }
        }
        if let Some(pid) = numbers.push(b' ') {
            visit(Pid(pid));
        }
    }
}

/// Decimal numbers out of a stream of bytes.
#[derive(Default)]
struct Numbers(Option<i32>);

impl Numbers {
    /// The number that this byte ends.
    fn push(&mut self, byte: u8) -> Option<i32> {
        if !byte.is_ascii_digit() {
            return self.0.take();
        }
        let digit = i32::from(byte - b'0');
        self.0 = Some(self.0.unwrap_or(0).saturating_mul(10).saturating_add(digit));
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_across_parts() {
        let mut numbers = Numbers::default();
        let found: Vec<i32> = b"12 345  6\n".iter().filter_map(|b| numbers.push(*b)).collect();
        assert_eq!(found, [12, 345, 6]);
        assert_eq!(numbers.push(b'7').or(numbers.push(b' ')), Some(7));
    }
}
