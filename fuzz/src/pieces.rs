//! The ways in which bytes may arrive.

use crate::hash;
use crate::mutate::Rng;

/// The same bytes in one read, byte by byte, in reads of some length, and cut at places that depend on the
/// bytes alone, so that a failure can be had again.
pub(crate) fn ways(data: &[u8]) -> Vec<Vec<&[u8]>> {
    let mut rng = Rng::new(hash(data));
    let length = 2 + rng.below(30);
    vec![vec![data], data.chunks(1).collect(), data.chunks(length).collect(), anywhere(data, &mut rng)]
}

/// Cut at random places; some of the reads are empty.
fn anywhere<'a>(data: &'a [u8], rng: &mut Rng) -> Vec<&'a [u8]> {
    let mut reads = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let (read, more) = rest.split_at(rng.below(rest.len().min(64) + 1));
        reads.push(read);
        rest = more;
    }
    reads
}
