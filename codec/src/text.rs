//! UTF-8 Encoded String (§1.5.4 of 5.0, §1.5.3 of 3.1.1) and Binary Data (§1.5.6 of 5.0).
//!
//! Both are slices of the buffer they were decoded from. A clone increments a reference count and
//! copies no bytes.

use std::borrow::Borrow;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::ops::Deref;

use bytes::Bytes;

use crate::error::ValueError;
use crate::misdeed::Misdeed;
use crate::policy::{Advice, Policy};

/// Maximum length of a string or Binary Data in bytes.
pub(crate) const MAX_LENGTH: usize = u16::MAX as usize;

/// A UTF-8 Encoded String: well-formed, without U+0000, at most 65,535 bytes.
///
/// [`Deref`] returns the `str`. As this crate has no unsafe code, each call validates the encoding
/// again; [`as_bytes`](Self::as_bytes), comparison and ordering do not.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utf8String(Bytes);

impl Utf8String {
    /// The empty string.
    #[must_use]
    pub const fn new() -> Self {
        Self(Bytes::new())
    }

    /// Wraps a static string without an allocation.
    ///
    /// # Panics
    /// If `text` is longer than 65,535 bytes or contains U+0000; in a constant, a compile error.
    #[must_use]
    pub const fn from_static(text: &'static str) -> Self {
        let bytes = text.as_bytes();
        assert!(bytes.len() <= MAX_LENGTH, "longer than 65,535 bytes");
        let mut at = 0;
        while at < bytes.len() {
            assert!(bytes[at] != 0, "U+0000 in a UTF-8 Encoded String");
            at += 1;
        }
        Self(Bytes::from_static(bytes))
    }

    /// Wraps bytes that the decoder has checked.
    #[inline]
    pub(crate) const fn from_checked(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked when the value was constructed")
    }

    /// The UTF-8 bytes, without the length prefix.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Copies the text into its own buffer, so that the receive buffer can be freed.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }

    fn check(bytes: &[u8]) -> Result<(), ValueError> {
        if bytes.len() > MAX_LENGTH {
            return Err(ValueError::TooLong);
        }
        // [MQTT-1.5.4-2]
        if bytes.contains(&0) {
            return Err(Misdeed::NullCharacter.into());
        }
        Ok(())
    }
}

impl TryFrom<&str> for Utf8String {
    type Error = ValueError;

    fn try_from(text: &str) -> Result<Self, ValueError> {
        Self::check(text.as_bytes())?;
        Ok(Self(Bytes::copy_from_slice(text.as_bytes())))
    }
}

impl TryFrom<String> for Utf8String {
    type Error = ValueError;

    fn try_from(text: String) -> Result<Self, ValueError> {
        Self::check(text.as_bytes())?;
        Ok(Self(text.into()))
    }
}

impl TryFrom<Bytes> for Utf8String {
    type Error = ValueError;

    fn try_from(bytes: Bytes) -> Result<Self, ValueError> {
        if bytes.len() > MAX_LENGTH {
            return Err(ValueError::TooLong);
        }
        check_text(&bytes, Policy::LENIENT).map_err(|(kind, _)| kind)?;
        Ok(Self(bytes))
    }
}

impl Deref for Utf8String {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl AsRef<str> for Utf8String {
    fn as_ref(&self) -> &str {
        self.as_str()
    }
}

impl Borrow<str> for Utf8String {
    fn borrow(&self) -> &str {
        self.as_str()
    }
}

impl Hash for Utf8String {
    fn hash<H: Hasher>(&self, state: &mut H) {
        // `Borrow<str>` requires the same hash as `str`.
        self.as_str().hash(state);
    }
}

impl PartialEq<str> for Utf8String {
    fn eq(&self, other: &str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl PartialEq<&str> for Utf8String {
    fn eq(&self, other: &&str) -> bool {
        self.as_bytes() == other.as_bytes()
    }
}

impl From<Utf8String> for Bytes {
    fn from(text: Utf8String) -> Self {
        text.0
    }
}

impl fmt::Display for Utf8String {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Utf8String {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// A UTF-8 Encoded String borrowed from its packet.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Utf8Ref<'a>(&'a [u8]);

impl<'a> Utf8Ref<'a> {
    #[inline]
    pub(crate) const fn from_checked(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    /// The text. As this crate has no unsafe code, each call validates the encoding again.
    #[must_use]
    pub fn as_str(self) -> &'a str {
        std::str::from_utf8(self.0).expect("checked when the packet was decoded")
    }

    /// The UTF-8 bytes, without the length prefix.
    #[inline]
    #[must_use]
    pub const fn as_bytes(self) -> &'a [u8] {
        self.0
    }

    /// The number of bytes.
    #[inline]
    #[must_use]
    pub const fn len(self) -> usize {
        self.0.len()
    }

    /// Whether the string has zero bytes.
    #[inline]
    #[must_use]
    pub const fn is_empty(self) -> bool {
        self.0.is_empty()
    }
}

impl PartialEq<str> for Utf8Ref<'_> {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Utf8Ref<'_> {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Display for Utf8Ref<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl fmt::Debug for Utf8Ref<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// Binary Data: at most 65,535 bytes (§1.5.6).
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BinaryData(Bytes);

impl BinaryData {
    /// Empty Binary Data.
    #[must_use]
    pub const fn new() -> Self {
        Self(Bytes::new())
    }

    /// Wraps static bytes without an allocation.
    ///
    /// # Panics
    /// If `bytes` is longer than 65,535 bytes; in a constant, a compile error.
    #[must_use]
    pub const fn from_static(bytes: &'static [u8]) -> Self {
        assert!(bytes.len() <= MAX_LENGTH, "longer than 65,535 bytes");
        Self(Bytes::from_static(bytes))
    }

    #[inline]
    pub(crate) const fn from_checked(bytes: Bytes) -> Self {
        Self(bytes)
    }

    /// The bytes, without the length prefix.
    #[inline]
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// Copies the bytes into their own buffer.
    #[must_use]
    pub fn detached(&self) -> Self {
        Self(Bytes::copy_from_slice(&self.0))
    }
}

impl TryFrom<Bytes> for BinaryData {
    type Error = ValueError;

    fn try_from(bytes: Bytes) -> Result<Self, ValueError> {
        if bytes.len() > MAX_LENGTH { Err(ValueError::TooLong) } else { Ok(Self(bytes)) }
    }
}

impl TryFrom<&[u8]> for BinaryData {
    type Error = ValueError;

    fn try_from(bytes: &[u8]) -> Result<Self, ValueError> {
        Self::try_from(Bytes::copy_from_slice(bytes))
    }
}

impl TryFrom<Vec<u8>> for BinaryData {
    type Error = ValueError;

    fn try_from(bytes: Vec<u8>) -> Result<Self, ValueError> {
        Self::try_from(Bytes::from(bytes))
    }
}

impl TryFrom<&str> for BinaryData {
    type Error = ValueError;

    fn try_from(text: &str) -> Result<Self, ValueError> {
        Self::try_from(text.as_bytes())
    }
}

impl From<Utf8String> for BinaryData {
    fn from(text: Utf8String) -> Self {
        Self(text.0)
    }
}

impl From<BinaryData> for Bytes {
    fn from(data: BinaryData) -> Self {
        data.0
    }
}

impl Deref for BinaryData {
    type Target = [u8];

    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl AsRef<[u8]> for BinaryData {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for BinaryData {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

/// Returns the first violation of §1.5.4 in a string, and its offset.
pub(crate) fn check_text(bytes: &[u8], policy: Policy) -> Result<(), (Misdeed, usize)> {
    // [MQTT-1.5.4-1]
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(fault) => return Err((ill_formed(bytes, fault.valid_up_to()), fault.valid_up_to())),
    };
    // [MQTT-1.5.4-2]
    if let Some(at) = bytes.iter().position(|&byte| byte == 0) {
        return Err((Misdeed::NullCharacter, at));
    }
    if policy.looks_at_characters() {
        check_characters(text, policy)?;
    }
    Ok(())
}

/// Classifies ill-formed UTF-8: surrogates U+D800 to U+DFFF appear as ED A0 80 to ED BF BF.
#[cold]
fn ill_formed(bytes: &[u8], at: usize) -> Misdeed {
    match bytes.get(at..) {
        Some([0xED, 0xA0..=0xBF, ..]) => Misdeed::Surrogate,
        _ => Misdeed::IllFormedUtf8,
    }
}

fn check_characters(text: &str, policy: Policy) -> Result<(), (Misdeed, usize)> {
    for (at, character) in text.char_indices() {
        if policy.control_characters == Advice::Refuse && character.is_control() {
            return Err((Misdeed::ControlCharacter, at));
        }
        if policy.non_characters == Advice::Refuse && is_non_character(character) {
            return Err((Misdeed::NonCharacter, at));
        }
    }
    Ok(())
}

/// U+FDD0 to U+FDEF, and the last two code points of each plane.
const fn is_non_character(character: char) -> bool {
    let code = character as u32;
    matches!(code, 0xFDD0..=0xFDEF) || code & 0xFFFE == 0xFFFE
}
