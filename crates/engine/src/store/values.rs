//! What a file of records says: values by key, without copies of either.

use std::ops::Range;

/// All values of a file.
#[derive(Debug, Default)]
pub(super) struct Values {
    bytes: Vec<u8>,
    /// Where keys and values lie, by ascending key.
    places: Vec<(Range<usize>, Range<usize>)>,
}

impl Values {
    /// These bytes, in which the keys were `found` with the places of their values, by ascending key.
    pub(super) fn new<'a>(bytes: Vec<u8>, found: impl Iterator<Item = (&'a str, Range<usize>)>) -> Values {
        let place =
            |(key, value): (&str, Range<usize>)| (value.start.saturating_sub(key.len())..value.start, value);
        let places = found.map(place).collect();
        Values { bytes, places }
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
