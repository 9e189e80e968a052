//! What a file of records says: values by key, without copies of either.

use super::reading::Span;
use std::collections::BTreeMap;
use std::ops::Range;

/// Where a key and its value lie.
pub(super) type Place = (Range<usize>, Range<usize>);

/// All values of a file.
#[derive(Debug)]
pub(super) struct Values<'a> {
    bytes: &'a [u8],
    /// By ascending key.
    places: Vec<Place>,
}

impl Values<'_> {
    /// The values in these bytes.
    pub(super) fn new(bytes: &[u8], places: Vec<Place>) -> Values<'_> {
        Values { bytes, places }
    }

    /// Where they lie.
    pub(super) fn places(index: &BTreeMap<Box<str>, Span>) -> Vec<Place> {
        let place =
            |key: &str, value: Range<usize>| (value.start.saturating_sub(key.len())..value.start, value);
        index.iter().map(|(key, span)| place(key, span.place())).collect()
    }

    fn key(&self, place: &Range<usize>) -> &[u8] {
        self.bytes.get(place.clone()).unwrap_or_default()
    }

    /// One of them.
    pub(super) fn get(&self, key: &str) -> Option<&[u8]> {
        let at = self.places.binary_search_by(|(k, _)| self.key(k).cmp(key.as_bytes())).ok()?;
        self.bytes.get(self.places.get(at)?.1.clone())
    }

    /// All of them, by ascending key.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &[u8])> {
        self.places.iter().filter_map(|(key, value)| {
            Some((std::str::from_utf8(self.key(key)).ok()?, self.bytes.get(value.clone())?))
        })
    }

    /// There are none.
    pub(super) fn is_empty(&self) -> bool {
        self.places.is_empty()
    }
}
