//! The Properties of one packet, stored as encoded bytes.
//!
//! The bytes are canonical (a checked property has exactly one encoding), so lists are equal if and
//! only if their bytes are equal, including the order. Decoding takes a slice of the packet;
//! encoding copies it.

use std::fmt;
use std::hash::{Hash, Hasher};
use std::marker::PhantomData;

use bytes::Bytes;

use super::sealed::Wire;
use super::view::Walk;
use super::{
    AllowedIn, HasProperties, PropertiesRef, Property, PropertyIdentifier, RepeatableIn, UserProperty,
};
use crate::misdeed::Misdeed;
use crate::text::Utf8String;
use crate::write::variable_length;

/// The Properties of a `P`, in the order in which they were added (§2.2.2).
///
/// A property that `P` does not allow is a compile error:
///
/// ```compile_fail
/// use mqttspec_codec::{Connect, Properties, TopicAlias};
/// let mut properties = Properties::<Connect>::new();
/// properties.set(TopicAlias(std::num::NonZeroU16::MIN)); // only PUBLISH has a Topic Alias
/// ```
pub struct Properties<P> {
    /// `None` if empty, so that a packet without properties has no reference count and nothing to
    /// free.
    encoded: Option<Bytes>,
    packet: PhantomData<fn() -> P>,
}

impl<P> Properties<P> {
    /// No properties.
    #[must_use]
    pub const fn new() -> Self {
        Self { encoded: None, packet: PhantomData }
    }

    /// Whether the list is empty.
    #[inline]
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.encoded.is_none()
    }

    /// The encoded bytes, without the Property Length.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.encoded.as_deref().unwrap_or_default()
    }

    /// The encoded length, including the Property Length, which is present even if the list is
    /// empty ([MQTT-2.2.2-1]).
    #[inline]
    pub(crate) fn encoded_len(&self) -> usize {
        let length = self.as_bytes().len();
        variable_length(length) + length
    }

    #[inline]
    pub(crate) fn from_checked(encoded: Bytes) -> Self {
        Self { encoded: Some(encoded).filter(|encoded| !encoded.is_empty()), packet: PhantomData }
    }

    /// Wraps `raw`, a subslice of `source`.
    #[inline]
    pub(crate) fn share(source: &Bytes, raw: &[u8]) -> Self {
        let encoded = if raw.is_empty() { None } else { Some(source.slice_ref(raw)) };
        Self { encoded, packet: PhantomData }
    }

    fn take(&mut self) -> Vec<u8> {
        self.encoded.take().map_or_else(Vec::new, Vec::from)
    }

    fn put(&mut self, encoded: Vec<u8>) {
        *self = Self::from_checked(encoded.into());
    }

    /// Removes all properties.
    pub fn clear(&mut self) {
        self.encoded = None;
    }

    /// Copies the properties into their own buffer.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self::from_checked(Bytes::copy_from_slice(self.as_bytes()))
    }

    fn values<'a, T: Wire>(
        &'a self,
        identifier: PropertyIdentifier,
    ) -> impl Iterator<Item = T> + use<'a, P, T> {
        self.encoded.iter().flat_map(move |source| {
            Walk(source)
                .filter(move |&(found, _)| found == identifier)
                .filter_map(move |(_, value)| T::read(value, source))
        })
    }

    /// The encoded bytes without the properties of this identifier, as a growable buffer.
    fn without(&mut self, identifier: PropertyIdentifier) -> Vec<u8> {
        if !Walk(self.as_bytes()).any(|(found, _)| found == identifier) {
            return self.take();
        }
        let mut kept = Vec::with_capacity(self.as_bytes().len());
        for (found, value) in Walk(self.as_bytes()) {
            if found != identifier {
                kept.push(found as u8);
                kept.extend_from_slice(value);
            }
        }
        kept
    }
}

impl<P: HasProperties> Properties<P> {
    /// The value of this property, if present; the first value if the property is repeated.
    ///
    /// Strings and Binary Data are slices of the packet's buffer; nothing is copied.
    #[must_use]
    pub fn get<T: AllowedIn<P>>(&self) -> Option<T> {
        // Most packets have no properties.
        if self.is_empty() { None } else { self.values(T::IDENTIFIER).next() }
    }

    /// All values of this property, in order.
    pub fn get_all<T: AllowedIn<P>>(&self) -> impl Iterator<Item = T> {
        self.values(T::IDENTIFIER)
    }

    /// Whether the property is present.
    #[must_use]
    pub fn contains<T: AllowedIn<P>>(&self) -> bool {
        Walk(self.as_bytes()).any(|(found, _)| found == T::IDENTIFIER)
    }

    /// Removes earlier values of the property and appends this one.
    #[expect(clippy::needless_pass_by_value, reason = "so that a property can be written in place")]
    pub fn set<T: AllowedIn<P>>(&mut self, property: T) {
        let mut encoded = self.without(T::IDENTIFIER);
        encoded.push(T::IDENTIFIER as u8);
        property.write(&mut encoded);
        self.put(encoded);
    }

    /// Appends a property that may be repeated.
    pub fn push<T: RepeatableIn<P>>(&mut self, property: T) {
        self.extend([property]);
    }

    /// Removes all values of this property. Returns whether there were any.
    pub fn remove<T: AllowedIn<P>>(&mut self) -> bool {
        let length = self.as_bytes().len();
        let kept = self.without(T::IDENTIFIER);
        self.put(kept);
        self.as_bytes().len() != length
    }

    /// Appends a property. It replaces an earlier value unless the property may be repeated.
    #[expect(clippy::needless_pass_by_value, reason = "so that a property can be written in place")]
    #[must_use]
    pub fn with<T: AllowedIn<P>>(mut self, property: T) -> Self {
        let mut encoded = if T::REPEATABLE { self.take() } else { self.without(T::IDENTIFIER) };
        encoded.push(T::IDENTIFIER as u8);
        property.write(&mut encoded);
        self.put(encoded);
        self
    }

    /// Appends any property, checked at run time: for values that are parsed from text.
    ///
    /// # Errors
    /// [`Misdeed::PropertyNotAllowed`] and [`Misdeed::PropertyRepeated`].
    pub fn try_push(&mut self, property: impl Into<Property>) -> Result<(), Misdeed> {
        let property = property.into();
        let identifier = property.identifier();
        if !identifier.is_allowed_in::<P>() {
            return Err(Misdeed::PropertyNotAllowed);
        }
        if !identifier.is_repeatable_in::<P>() && Walk(self.as_bytes()).any(|(found, _)| found == identifier)
        {
            return Err(Misdeed::PropertyRepeated);
        }
        let mut encoded: Vec<u8> = self.take();
        encoded.push(identifier as u8);
        property.write(&mut encoded);
        self.put(encoded);
        Ok(())
    }

    /// All properties, in order.
    pub fn iter(&self) -> impl Iterator<Item = Property> {
        self.encoded.iter().flat_map(|source| {
            Walk(source).filter_map(move |(identifier, value)| Property::read(identifier, value, source))
        })
    }

    /// The User Properties, in order.
    pub fn user_properties(&self) -> impl Iterator<Item = (Utf8String, Utf8String)> {
        self.values(PropertyIdentifier::UserProperty).map(|UserProperty { name, value }| (name, value))
    }

    /// Borrows the properties.
    #[must_use]
    pub fn as_properties_ref(&self) -> PropertiesRef<'_, P> {
        PropertiesRef::from_checked(self.as_bytes())
    }
}

impl<P: HasProperties> PropertiesRef<'_, P> {
    /// Converts to owned properties; `bytes` turns the encoded bytes into a buffer.
    #[inline]
    pub(crate) fn own(&self, bytes: impl Fn(&[u8]) -> Bytes) -> Properties<P> {
        if self.is_empty() { Properties::new() } else { Properties::from_checked(bytes(self.as_bytes())) }
    }
}

impl<P: HasProperties, T: RepeatableIn<P>> Extend<T> for Properties<P> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, properties: I) {
        let mut encoded: Vec<u8> = self.take();
        for property in properties {
            encoded.push(T::IDENTIFIER as u8);
            property.write(&mut encoded);
        }
        self.put(encoded);
    }
}

impl<P: HasProperties, T: RepeatableIn<P>> FromIterator<T> for Properties<P> {
    fn from_iter<I: IntoIterator<Item = T>>(properties: I) -> Self {
        let mut list = Self::new();
        list.extend(properties);
        list
    }
}

impl<P> Clone for Properties<P> {
    fn clone(&self) -> Self {
        Self { encoded: self.encoded.clone(), packet: PhantomData }
    }
}

impl<P> Default for Properties<P> {
    fn default() -> Self {
        Self::new()
    }
}

impl<P> PartialEq for Properties<P> {
    fn eq(&self, other: &Self) -> bool {
        self.encoded == other.encoded
    }
}

impl<P> Eq for Properties<P> {}

impl<P> Hash for Properties<P> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.encoded.hash(state);
    }
}

impl<P: HasProperties> fmt::Debug for Properties<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}
