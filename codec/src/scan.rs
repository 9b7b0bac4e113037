//! Scans text eight bytes at a time.
//!
//! Most MQTT strings are plain ASCII without U+0000, and most Topic Names have no wildcard. One
//! pass over 64-bit words confirms this. For all other strings the caller runs the slower exact
//! check.

const fn repeat(byte: u8) -> u64 {
    u64::from_ne_bytes([byte; 8])
}

/// Whether each byte is ASCII and above 0, and, if `TOPIC`, neither `+` nor `#`.
///
/// `false` does not imply that a rule is broken.
#[inline]
pub(crate) fn is_plain<const TOPIC: bool>(bytes: &[u8]) -> bool {
    let verdict = match (bytes, bytes.last_chunk::<8>()) {
        (_, Some(&last)) => {
            let (words, _) = bytes.as_chunks::<8>();
            words.iter().fold(word::<TOPIC>(last), |verdict, &next| verdict & word::<TOPIC>(next))
        }
        ([], _) => return true,
        // Fewer than eight bytes: some bytes are checked twice.
        (&[a, .., b], _) => match (bytes.first_chunk::<4>(), bytes.last_chunk::<4>()) {
            (Some(&[a, b, c, d]), Some(&[e, f, g, h])) => word::<TOPIC>([a, b, c, d, e, f, g, h]),
            _ => {
                let middle = bytes[bytes.len() / 2];
                word::<TOPIC>([a, b, middle, a, a, a, a, a])
            }
        },
        (&[a], _) => word::<TOPIC>([a; 8]),
    };
    verdict & repeat(0x80) == repeat(0x80)
}

/// The top bit of each byte of the result is set if the input byte is plain.
#[inline]
const fn word<const TOPIC: bool>(bytes: [u8; 8]) -> u64 {
    let word = u64::from_ne_bytes(bytes);
    // For bytes up to 0x7F, adding 0x7F sets the top bit of every byte except 0 and carries nothing
    // into the next byte. A byte above 0x7F produces wrong carries, but is itself not plain.
    let mut verdict = !word & word.wrapping_add(repeat(0x7F));
    if TOPIC {
        // `#` and `+` differ only in this bit.
        let wildcard = word & !repeat(b'#' ^ b'+') ^ repeat(b'#' & b'+');
        verdict &= wildcard.wrapping_add(repeat(0x7F));
    }
    verdict
}

#[cfg(test)]
mod tests {
    use super::is_plain;

    #[test]
    fn every_byte_at_every_place_in_every_length() {
        for length in 0..40 {
            let plain = vec![b'a'; length];
            assert!(is_plain::<false>(&plain) && is_plain::<true>(&plain));
            for at in 0..length {
                for byte in 0..=255u8 {
                    let mut bytes = plain.clone();
                    bytes[at] = byte;
                    let text = byte != 0 && byte.is_ascii();
                    assert_eq!(is_plain::<false>(&bytes), text, "{byte:02X} at {at} of {length}");
                    let topic = text && byte != b'+' && byte != b'#';
                    assert_eq!(is_plain::<true>(&bytes), topic, "{byte:02X} at {at} of {length}");
                }
            }
        }
    }

    /// Carries from a byte above 0x7F must neither hide nor produce a fault in the next byte.
    #[test]
    fn every_pair_of_bytes() {
        for first in 0..=255u8 {
            for second in 0..=255u8 {
                let bytes = [b'a', first, second, b'z', b'a', b'b', b'c', b'd', b'e'];
                let text = bytes.iter().all(|&byte| byte != 0 && byte.is_ascii());
                assert_eq!(is_plain::<false>(&bytes), text);
                let topic = text && bytes.iter().all(|&byte| byte != b'+' && byte != b'#');
                assert_eq!(is_plain::<true>(&bytes), topic);
            }
        }
    }
}
