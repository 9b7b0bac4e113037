//! Cuts what a peer sent to a length that people can read. A hostile peer may fill every value to
//! its limit, in every case.

use mqttspec_notation::fields::hex;

/// The longest text of a value in a finding or a reason, in bytes.
pub const VALUE: usize = 2048;

/// The longest line of a transcript beside a finding, in bytes.
pub const LINE: usize = 512;

/// What ends a value that is cut.
const MARK: char = '…';

/// The longest text of an event in a trace, in bytes, and the most of its bytes on the wire.
pub const EVENT: usize = 256 << 10;

/// A text of at most this many bytes; a longer one is cut, and its length is appended.
#[must_use]
pub fn text(mut text: String, most: usize) -> String {
    if text.len() <= most {
        return text;
    }
    let length = text.len();
    let end = (0..=most).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    text.truncate(end);
    text.push_str(&format!("{MARK} ({length} bytes)"));
    text
}

/// The bytes of a finding as hex pairs with spaces. Many bytes are cut, and their count is appended.
#[must_use]
pub fn hex_of_finding(all: &[u8]) -> String {
    let mut text = hex(bytes(all, VALUE), " ");
    if all.len() > VALUE {
        text.push_str(&format!("{MARK} ({} bytes)", all.len()));
    }
    text
}

/// The hex pairs in a text of [`hex_of_finding`], and the note with their count if they were cut.
#[must_use]
pub fn split_hex(text: &str) -> (&str, Option<&str>) {
    match text.find(MARK) {
        Some(at) => (&text[..at], Some(&text[at..])),
        None => (text, None),
    }
}

/// The first bytes, at most this many.
#[must_use]
pub fn bytes(bytes: &[u8], most: usize) -> &[u8] {
    bytes.get(..most).unwrap_or(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_text_is_cut_between_characters_and_its_length_is_said() {
        assert_eq!(text("abc".to_owned(), 3), "abc");
        assert_eq!(text("äöü".to_owned(), 3), "ä… (6 bytes)");
        assert_eq!(bytes(b"abc", 2), b"ab");
        assert_eq!(bytes(b"abc", 3), b"abc");
    }

    #[test]
    fn the_count_of_many_bytes_is_said() {
        assert_eq!(split_hex(&hex_of_finding(b"ab")), ("61 62", None));
        let many = hex_of_finding(&[0x61; 3000]);
        let (pairs, count) = split_hex(&many);
        assert_eq!((pairs.len(), count), (VALUE * 3 - 1, Some("… (3000 bytes)")));
    }
}
