//! Topic Names and Topic Filters (§4.7), Shared Subscriptions (§4.8.2 of 5.0).
//!
//! They are two types because a Topic Filter matches Topic Names and neither can replace the other.

use std::fmt;

use bytes::Bytes;

use crate::error::ValueError;
use crate::misdeed::Misdeed;
use crate::text::Utf8String;
use crate::version::Version;

/// The prefix of a Shared Subscription's Topic Filter (§4.8.2).
pub(crate) const SHARE: &[u8] = b"$share/";

/// A Topic Name: at least one character, no wildcard (§4.7.1, §4.7.3).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicName(Utf8String);

impl TopicName {
    #[inline]
    pub(crate) const fn from_checked(bytes: Bytes) -> Self {
        Self(Utf8String::from_checked(bytes))
    }

    /// Wraps a static Topic Name without an allocation.
    ///
    /// # Panics
    /// If `name` is not a Topic Name; in a constant, a compile error.
    #[must_use]
    pub const fn from_static(name: &'static str) -> Self {
        assert!(!name.is_empty(), "a Topic Name has at least one character");
        let bytes = name.as_bytes();
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at] != b'+' && bytes[at] != b'#', "wildcard in a Topic Name");
            at += 1;
        }
        Self(Utf8String::from_static(name))
    }

    /// The name.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The UTF-8 bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The levels between the topic level separators; they may be empty (§4.7.1.1).
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('/')
    }

    /// The name as a string.
    #[must_use]
    pub const fn as_utf8_string(&self) -> &Utf8String {
        &self.0
    }

    /// Copies the name into its own buffer.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(self.0.detached())
    }
}

/// A Topic Filter (§4.7.1), including those of Shared Subscriptions (§4.8.2 of 5.0).
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicFilter(Utf8String);

impl TopicFilter {
    #[inline]
    pub(crate) const fn from_checked(bytes: Bytes) -> Self {
        Self(Utf8String::from_checked(bytes))
    }

    /// Creates a Topic Filter by the rules of `version`. Before 5.0 the prefix `$share/` has no
    /// meaning.
    ///
    /// # Errors
    /// The first misdeed in `filter`.
    pub fn new(filter: Utf8String, version: Version) -> Result<Self, ValueError> {
        check_filter(filter.as_bytes(), version).map_err(|(kind, _)| kind)?;
        Ok(Self(filter))
    }

    /// Wraps a static Topic Filter without an allocation, by the rules of 5.0.
    ///
    /// # Panics
    /// If `filter` is not a Topic Filter.
    #[must_use]
    pub fn from_static(filter: &'static str) -> Self {
        match Self::new(Utf8String::from_static(filter), Version::V5) {
            Ok(filter) => filter,
            Err(fault) => panic!("{filter:?}: {fault}"),
        }
    }

    /// The filter, including `$share/` and ShareName if present.
    #[must_use]
    pub fn as_str(&self) -> &str {
        self.0.as_str()
    }

    /// The UTF-8 bytes.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// The filter as a string.
    #[must_use]
    pub const fn as_utf8_string(&self) -> &Utf8String {
        &self.0
    }

    /// The levels between the topic level separators; they may be empty (§4.7.1.1).
    pub fn levels(&self) -> impl Iterator<Item = &str> {
        self.as_str().split('/')
    }

    /// Whether a 5.0 Server treats it as a Shared Subscription.
    #[must_use]
    pub fn is_shared(&self) -> bool {
        self.as_bytes().starts_with(SHARE)
    }

    /// The ShareName of a Shared Subscription.
    #[must_use]
    pub fn share_name(&self) -> Option<&str> {
        Some(self.as_str().strip_prefix("$share/")?.split_once('/')?.0)
    }

    /// The part that is matched against Topic Names: the whole filter, or the part after the
    /// ShareName.
    #[must_use]
    pub fn without_share(&self) -> &str {
        let whole = self.as_str();
        whole
            .strip_prefix("$share/")
            .and_then(|rest| rest.split_once('/'))
            .map_or(whole, |(_, filter)| filter)
    }

    /// Whether the filter contains a wildcard character.
    #[must_use]
    pub fn has_wildcard(&self) -> bool {
        self.as_bytes().iter().any(|byte| matches!(byte, b'+' | b'#'))
    }

    /// Whether the filter, or the part after the ShareName, matches the Topic Name (§4.7.1,
    /// §4.7.2).
    #[must_use]
    pub fn matches(&self, name: &TopicName) -> bool {
        filter_matches(self.without_share().as_bytes(), name.as_bytes())
    }

    /// Whether the filter matches the Topic Name if `$share/` has no meaning, as in 3.1 and 3.1.1.
    #[must_use]
    pub fn matches_verbatim(&self, name: &TopicName) -> bool {
        filter_matches(self.as_bytes(), name.as_bytes())
    }

    /// Copies the filter into its own buffer.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(self.0.detached())
    }
}

fn filter_matches(filter: &[u8], name: &[u8]) -> bool {
    // [MQTT-4.7.2-1]
    if name.first() == Some(&b'$') && matches!(filter.first(), Some(b'+' | b'#')) {
        return false;
    }
    // [MQTT-4.7.3-4] compared level by level, byte by byte
    let mut names = name.split(|&byte| byte == b'/');
    for level in filter.split(|&byte| byte == b'/') {
        if level == b"#" {
            return true;
        }
        match names.next() {
            Some(name) if level == b"+" || level == name => {}
            _ => return false,
        }
    }
    names.next().is_none()
}

/// Returns the first misdeed in a Topic Name of valid UTF-8, and its offset in the name.
pub(crate) fn check_name(name: &[u8]) -> Result<(), (Misdeed, usize)> {
    // [MQTT-4.7.3-1]
    if name.is_empty() {
        return Err((Misdeed::TopicNameEmpty, 0));
    }
    // [MQTT-4.7.0-1] [MQTT-3.3.2-2]
    match name.iter().position(|&byte| byte == b'+' || byte == b'#') {
        None => Ok(()),
        Some(at) => Err((Misdeed::TopicNameWildcard, at)),
    }
}

/// Returns the first misdeed in a Topic Filter of valid UTF-8, and its offset in the filter.
pub(crate) fn check_filter(filter: &[u8], version: Version) -> Result<(), (Misdeed, usize)> {
    // [MQTT-4.7.3-1]
    if filter.is_empty() {
        return Err((Misdeed::TopicFilterEmpty, 0));
    }
    if version.is_5() && filter.starts_with(SHARE) {
        check_share_name(filter)?;
    }
    check_wildcards(filter)
}

/// Checks the positions of wildcards (§4.7.1.2, §4.7.1.3).
#[inline]
fn check_wildcards(filter: &[u8]) -> Result<(), (Misdeed, usize)> {
    let mut before = b'/';
    for (at, &byte) in filter.iter().enumerate() {
        if matches!(byte, b'#' | b'+') {
            let next = filter.get(at + 1);
            let alone = before == b'/' && next.is_none_or(|&next| next == b'/');
            match byte {
                // [MQTT-4.7.1-1]
                b'#' if !alone || next.is_some() => return Err((Misdeed::MultiLevelWildcardMisplaced, at)),
                // [MQTT-4.7.1-2]
                b'+' if !alone => return Err((Misdeed::SingleLevelWildcardMisplaced, at)),
                _ => {}
            }
        }
        before = byte;
    }
    Ok(())
}

fn check_share_name(filter: &[u8]) -> Result<(), (Misdeed, usize)> {
    let rest = &filter[SHARE.len()..];
    let end = rest.iter().position(|&byte| byte == b'/');
    let name = &rest[..end.unwrap_or(rest.len())];
    // [MQTT-4.8.2-1]
    if name.is_empty() {
        return Err((Misdeed::ShareNameEmpty, SHARE.len()));
    }
    // [MQTT-4.8.2-2]
    if let Some(at) = name.iter().position(|&byte| byte == b'+' || byte == b'#') {
        return Err((Misdeed::ShareNameWildcard, SHARE.len() + at));
    }
    match end {
        Some(end) if end + 1 < rest.len() => Ok(()),
        _ => Err((Misdeed::SharedFilterMissing, filter.len())),
    }
}

impl TryFrom<Utf8String> for TopicName {
    type Error = ValueError;

    fn try_from(name: Utf8String) -> Result<Self, ValueError> {
        check_name(name.as_bytes()).map_err(|(kind, _)| kind)?;
        Ok(Self(name))
    }
}

impl TryFrom<Utf8String> for TopicFilter {
    type Error = ValueError;

    fn try_from(filter: Utf8String) -> Result<Self, ValueError> {
        Self::new(filter, Version::V5)
    }
}

macro_rules! topic_conversions {
    ($type:ident) => {
        impl TryFrom<&str> for $type {
            type Error = ValueError;

            fn try_from(text: &str) -> Result<Self, ValueError> {
                Self::try_from(Utf8String::try_from(text)?)
            }
        }

        impl TryFrom<String> for $type {
            type Error = ValueError;

            fn try_from(text: String) -> Result<Self, ValueError> {
                Self::try_from(Utf8String::try_from(text)?)
            }
        }

        impl std::str::FromStr for $type {
            type Err = ValueError;

            fn from_str(text: &str) -> Result<Self, ValueError> {
                Self::try_from(text)
            }
        }

        impl From<$type> for Utf8String {
            fn from(topic: $type) -> Self {
                topic.0
            }
        }

        impl AsRef<str> for $type {
            fn as_ref(&self) -> &str {
                self.as_str()
            }
        }

        impl std::borrow::Borrow<str> for $type {
            fn borrow(&self) -> &str {
                self.as_str()
            }
        }

        impl PartialEq<str> for $type {
            fn eq(&self, other: &str) -> bool {
                self.0 == *other
            }
        }

        impl PartialEq<&str> for $type {
            fn eq(&self, other: &&str) -> bool {
                self.0 == **other
            }
        }

        impl fmt::Display for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                self.0.fmt(f)
            }
        }

        impl fmt::Debug for $type {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Debug::fmt(&self.0, f)
            }
        }
    };
}

topic_conversions!(TopicName);
topic_conversions!(TopicFilter);
