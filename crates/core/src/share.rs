//! Values that many owners have in common: the processes of one program are alike in nearly everything.

use alloc::sync::Arc;
use core::fmt;
use core::ops::{Deref, DerefMut};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A value that is kept once for all its clones. Whoever changes it gets a copy of its own first.
#[derive(Clone, Default, PartialEq, Eq)]
pub struct Shared<T>(Arc<T>);

impl<T: Eq> Shared<T> {
    /// Takes the other's value for its own when the two are equal.
    pub fn share(&mut self, other: &Shared<T>) {
        if self == other {
            self.0 = other.0.clone();
        }
    }

    /// The value, unless the other has an equal one.
    pub fn unlike(&self, other: Option<&Shared<T>>) -> Option<&T> {
        (!other.is_some_and(|other| Arc::ptr_eq(&self.0, &other.0) || self == other)).then_some(&*self.0)
    }
}

impl<T> From<T> for Shared<T> {
    fn from(value: T) -> Shared<T> {
        Shared(Arc::new(value))
    }
}

impl<T> Deref for Shared<T> {
    type Target = T;

    fn deref(&self) -> &T {
        &self.0
    }
}

impl<T: Clone> DerefMut for Shared<T> {
    fn deref_mut(&mut self) -> &mut T {
        Arc::make_mut(&mut self.0)
    }
}

impl<T: fmt::Debug> fmt::Debug for Shared<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl<T: Serialize> Serialize for Shared<T> {
    fn serialize<S: Serializer>(&self, s: S) -> Result<S::Ok, S::Error> {
        self.0.serialize(s)
    }
}

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Shared<T> {
    fn deserialize<D: Deserializer<'de>>(d: D) -> Result<Shared<T>, D::Error> {
        T::deserialize(d).map(Shared::from)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn equal_values_are_kept_once_and_a_change_is_ones_own() {
        let (a, mut b, mut c) = (Shared::from(1), Shared::from(1), Shared::from(2));
        b.share(&a);
        c.share(&a);
        assert!(Arc::ptr_eq(&a.0, &b.0) && !Arc::ptr_eq(&a.0, &c.0));
        *b += 1;
        assert_eq!((*a, *b, *c), (1, 2, 2));
    }
}
