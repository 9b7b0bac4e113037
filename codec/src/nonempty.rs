//! A list with at least one item, for the payloads of SUBSCRIBE, SUBACK and UNSUBSCRIBE (§3.8.3,
//! §3.9.3, §3.10.3).

use std::ops::{Deref, DerefMut};

/// A list that holds at least one item.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[cfg_attr(feature = "serde", serde(transparent))]
pub struct NonEmpty<T>(Vec<T>);

/// The list is empty.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the list is empty")]
pub struct EmptyList;

impl<T> NonEmpty<T> {
    /// Creates a list of one item.
    #[must_use]
    pub fn one(item: T) -> Self {
        Self(vec![item])
    }

    /// Wraps items of which the decoder has counted at least one.
    #[inline]
    pub(crate) fn from_checked(items: Vec<T>) -> Self {
        debug_assert!(!items.is_empty());
        Self(items)
    }

    /// Adds an item at the end.
    pub fn push(&mut self, item: T) {
        self.0.push(item);
    }

    /// The first item.
    #[must_use]
    pub fn first(&self) -> &T {
        &self.0[0]
    }

    /// The items.
    #[must_use]
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T> Deref for NonEmpty<T> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<T> DerefMut for NonEmpty<T> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.0
    }
}

impl<T> TryFrom<Vec<T>> for NonEmpty<T> {
    type Error = EmptyList;

    #[inline]
    fn try_from(items: Vec<T>) -> Result<Self, EmptyList> {
        if items.is_empty() { Err(EmptyList) } else { Ok(Self(items)) }
    }
}

impl<T, const N: usize> From<[T; N]> for NonEmpty<T> {
    fn from(items: [T; N]) -> Self {
        const { assert!(N > 0, "the list is empty") };
        Self(items.into())
    }
}

impl<T> From<T> for NonEmpty<T> {
    fn from(item: T) -> Self {
        Self::one(item)
    }
}

impl<T> From<NonEmpty<T>> for Vec<T> {
    fn from(items: NonEmpty<T>) -> Self {
        items.0
    }
}

impl<T> IntoIterator for NonEmpty<T> {
    type Item = T;
    type IntoIter = std::vec::IntoIter<T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.into_iter()
    }
}

impl<'a, T> IntoIterator for &'a NonEmpty<T> {
    type Item = &'a T;
    type IntoIter = std::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}

#[cfg(feature = "serde")]
impl<'de, T: serde::Deserialize<'de>> serde::Deserialize<'de> for NonEmpty<T> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::try_from(Vec::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}
