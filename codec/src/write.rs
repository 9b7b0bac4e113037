//! Writes the data types of §1.5 into a buffer that has space for the whole packet.

use bytes::BufMut;

use crate::error::EncodeError;

/// 268,435,455: the maximum of a Variable Byte Integer (§1.5.5).
pub(crate) const MAX_VARIABLE: usize = 0x0FFF_FFFF;

/// The length of a Variable Byte Integer in bytes (§1.5.5). [MQTT-1.5.5-1]
#[inline]
pub(crate) const fn variable_length(value: usize) -> usize {
    match value {
        0..=0x7F => 1,
        0x80..=0x3FFF => 2,
        0x4000..=0x1F_FFFF => 3,
        _ => 4,
    }
}

/// Returns `length` if a Variable Byte Integer can express it.
#[inline]
pub(crate) const fn checked_length(length: usize) -> Result<usize, EncodeError> {
    if length > MAX_VARIABLE { Err(EncodeError::TooLarge) } else { Ok(length) }
}

/// Writes a Variable Byte Integer; the caller has checked the range.
#[inline]
pub(crate) fn put_variable(out: &mut impl BufMut, mut value: usize) {
    loop {
        let low = (value & 0x7F) as u8;
        value >>= 7;
        if value == 0 {
            out.put_u8(low);
            return;
        }
        out.put_u8(low | 0x80);
    }
}

/// Writes Binary Data or a UTF-8 Encoded String; the value's type limits its length.
#[inline]
pub(crate) fn put_sized(out: &mut impl BufMut, bytes: &[u8]) {
    debug_assert!(bytes.len() <= crate::text::MAX_LENGTH);
    out.put_u16(bytes.len() as u16);
    out.put_slice(bytes);
}

/// Writes Property Length and Properties (§2.2.2).
#[inline]
pub(crate) fn put_properties(out: &mut impl BufMut, properties: &[u8]) {
    if properties.is_empty() {
        // [MQTT-2.2.2-1]
        out.put_u8(0);
    } else {
        put_variable(out, properties.len());
        out.put_slice(properties);
    }
}
