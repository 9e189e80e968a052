//! Changes inputs, by a seed: flipped bytes, cuts, repeats, words of the target, parts of other inputs.

use crate::Target;

/// A small generator of numbers that nobody has to guess (SplitMix64).
#[derive(Debug)]
pub(crate) struct Rng(u64);

impl Rng {
    pub(crate) fn new(seed: u64) -> Rng {
        Rng(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`; 0 when there is none.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % end.max(1) as u64).unwrap_or(0)
    }

    fn byte(&mut self) -> u8 {
        self.next().to_le_bytes()[0]
    }

    /// A start and an end in this order, at most `longest` apart.
    fn range(&mut self, len: usize, longest: usize) -> std::ops::Range<usize> {
        let start = self.below(len + 1);
        start..start + self.below((len - start).min(longest) + 1)
    }

    fn of<'a>(&mut self, pool: &'a [Vec<u8>]) -> &'a [u8] {
        pool.get(self.below(pool.len())).map(Vec::as_slice).unwrap_or_default()
    }
}

/// Bytes that readers treat in their own way.
const ODD: &[u8] = b"\0\t\n\x0b\x0c\r\x1b !\"#$%&'()*+,-/0:;<=>?@[\\]^_`{|}~\x7f\x80\xbf\xc3\xed\xf0\xff";

/// A new input, made of one or two of the pool.
pub(crate) fn next(rng: &mut Rng, pool: &[Vec<u8>], target: &Target) -> Vec<u8> {
    let mut data = rng.of(pool).to_vec();
    for _ in 0..=rng.below(6) {
        change(rng, &mut data, pool, target);
    }
    data.truncate(target.longest);
    data
}

fn change(rng: &mut Rng, data: &mut Vec<u8>, pool: &[Vec<u8>], target: &Target) {
    match rng.below(10) {
        // A bit, a byte, an odd byte more.
        0 => {
            let at = rng.below(data.len());
            if let Some(byte) = data.get_mut(at) {
                *byte ^= 1 << rng.below(8);
            }
        }
        1 => {
            let (at, new) = (rng.below(data.len()), rng.byte());
            if let Some(byte) = data.get_mut(at) {
                *byte = new;
            }
        }
        2 => {
            let odd = ODD.get(rng.below(ODD.len())).copied().unwrap_or_default();
            data.insert(rng.below(data.len() + 1), odd);
        }
        // Something is missing.
        3 => data.truncate(rng.below(data.len() + 1)),
        4 => drop(data.drain(rng.range(data.len(), 32))),
        // A word, put between or in the place of something.
        5 | 6 => {
            let word = target.words.get(rng.below(target.words.len())).copied().unwrap_or_default();
            let longest = [0, 16][rng.below(2)];
            let at = rng.range(data.len(), longest);
            data.splice(at, word.bytes());
        }
        // A part of this or another input, once or many times.
        7 => {
            let other = rng.of(pool);
            let part = other.get(rng.range(other.len(), 64)).unwrap_or_default().to_vec();
            let at = rng.range(data.len(), 16);
            data.splice(at, part);
        }
        8 => {
            let part = data.get(rng.range(data.len(), 64)).unwrap_or_default().to_vec();
            let most = if rng.below(20) == 0 { target.longest } else { 256 } / part.len().max(1);
            let at = rng.below(data.len() + 1);
            data.splice(at..at, part.repeat(1 + rng.below(most)));
        }
        // The beginning of one, the end of another.
        _ => {
            let other = rng.of(pool);
            data.truncate(rng.below(data.len() + 1));
            data.extend_from_slice(other.get(rng.below(other.len() + 1)..).unwrap_or_default());
        }
    }
}
