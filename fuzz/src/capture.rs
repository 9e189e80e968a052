//! Capture mode: what stands between two tokens is no output.

use crate::pieces::ways;
use crate::{Kind, hash, kind_of};
use bstr::ByteSlice;
use supers_engine::logs::told_apart;

const BEGIN: &[u8] = b"<!--XSUPERVISOR:BEGIN-->";
const END: &[u8] = b"<!--XSUPERVISOR:END-->";

pub(crate) const WORDS: &[&str] = &[
    "<!--XSUPERVISOR:BEGIN-->",
    "<!--XSUPERVISOR:END-->",
    "<!--XSUPERVISOR:BEGIN--",
    "<!--XSUPERVISOR:E",
    "<!--XSUPERVISOR:",
    "SUPERVISOR:BEGIN-->",
    "<!--",
    "-->",
    "<",
    "\n",
    "text",
];

/// However the text is cut into reads: the same as when the whole is looked at by the simplest means; and
/// no captured text is longer than allowed.
pub fn capture(data: &[u8]) -> Kind {
    let mut kind = 0;
    // Few bytes, and as good as all.
    for max in [usize::try_from(hash(data) % 64).unwrap_or(0), 1 << 20] {
        let wanted = plainly(max, data);
        assert!(wanted.1.iter().all(|text| text.len() <= max));
        for reads in ways(data) {
            let got = told_apart(max as u64, &reads);
            assert_eq!(got, wanted, "at most {max} kept, in {} reads", reads.len());
        }
        let lengths: Vec<usize> = wanted.1.iter().map(|text| text.len().min(40)).take(4).collect();
        kind = kind_of(&(wanted.0.is_empty(), wanted.1.len().min(8), lengths));
    }
    kind
}

/// The rule itself, with all of the text at hand.
fn plainly(max: usize, text: &[u8]) -> (Vec<u8>, Vec<Vec<u8>>) {
    let (mut output, mut captured, mut rest) = (Vec::new(), Vec::new(), text);
    while let Some((before, after)) = split(rest, BEGIN) {
        output.extend_from_slice(before);
        let Some((inside, after)) = split(after, END) else { return (output, captured) };
        let newest = inside.iter().rev().take(max).rev();
        captured.push(newest.copied().collect());
        rest = after;
    }
    output.extend_from_slice(rest);
    (output, captured)
}

/// What stands before and after the first `token`.
fn split<'a>(text: &'a [u8], token: &[u8]) -> Option<(&'a [u8], &'a [u8])> {
    text.split_once_str(token)
}
