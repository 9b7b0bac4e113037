//! Whether the bytes of a packet are those that a `raw` line expects.
//!
//! The codec has no part in it: the comparison follows the data representations of section 1.5 of
//! MQTT 5.0, so that it shows the exact form of an answer, also where a decoder accepts several
//! forms.

use super::bindings::Bindings;
use super::matching::Mismatch;
use crate::bytes::{BytesError, Variables, atom_bytes, variable_byte_integer};
use crate::{Atom, Extent, Name, Number, Operand, RawBytes, Value};

/// Compares all bytes of a packet. If they match, captures without a value take theirs.
///
/// # Errors
/// The first byte that differs, or a variable without a value.
pub fn accept_raw(raw: &RawBytes, bytes: &[u8], bindings: &mut Bindings) -> Result<(), Mismatch> {
    let mut reader = Reader { bytes, at: 0, end: bytes.len(), bindings, captured: Vec::new() };
    reader.atoms(&raw.atoms)?;
    for (name, value) in reader.captured {
        bindings.bind(&name, Value::Number(Number::decimal(value)));
    }
    Ok(())
}

struct Reader<'a> {
    bytes: &'a [u8],
    /// What is compared next, and where the bytes that count end.
    at: usize,
    end: usize,
    bindings: &'a Bindings,
    captured: Vec<(Name, u64)>,
}

impl Reader<'_> {
    /// All bytes up to the end.
    fn atoms(&mut self, atoms: &[Atom]) -> Result<(), Mismatch> {
        for atom in atoms {
            match atom {
                Atom::Any => drop(self.take(1, "any byte")?),
                Atom::Counted(inner) => self.counted(inner)?,
                Atom::Integer(extent, Operand::Capture(name)) if self.number(name).is_none() => {
                    let value = self.integer(*extent)?;
                    self.captured.push((name.clone(), value));
                }
                atom => self.exactly(&atom_bytes(atom, &*self)?)?,
            }
        }
        if self.at == self.end { Ok(()) } else { Err(self.differs("the end")) }
    }

    fn exactly(&mut self, expected: &[u8]) -> Result<(), Mismatch> {
        for byte in expected {
            if self.rest().first() != Some(byte) {
                return Err(self.differs(&format!("{byte:02x}")));
            }
            self.at += 1;
        }
        Ok(())
    }

    /// A length in its shortest form, and as many bytes.
    fn counted(&mut self, inner: &[Atom]) -> Result<(), Mismatch> {
        let start = self.at;
        let length = self.integer(Extent::Variable)?;
        let longest = self.rest().len();
        let Some(length) = usize::try_from(length).ok().filter(|length| *length <= longest) else {
            self.at = start;
            return Err(self.differs("the length of what follows"));
        };
        let end = std::mem::replace(&mut self.end, self.at + length);
        self.atoms(inner)?;
        self.end = end;
        Ok(())
    }

    fn integer(&mut self, extent: Extent) -> Result<u64, Mismatch> {
        let start = self.at;
        let big_endian = |bytes: &[u8]| bytes.iter().fold(0, |value, byte| value << 8 | u64::from(*byte));
        match extent {
            Extent::Byte => Ok(big_endian(self.take(1, "a byte")?)),
            Extent::TwoBytes => Ok(big_endian(self.take(2, "a Two Byte Integer")?)),
            Extent::FourBytes => Ok(big_endian(self.take(4, "a Four Byte Integer")?)),
            Extent::Variable => {
                const WHAT: &str = "a Variable Byte Integer in its shortest form";
                let width = self.rest().iter().position(|byte| byte & 0x80 == 0).map_or(1, |last| last + 1);
                let bytes = self.take(width, WHAT)?;
                let value = bytes.iter().rev().fold(0_u64, |value, byte| value << 7 | u64::from(byte & 0x7f));
                if width <= 4 && variable_byte_integer(value).is_ok_and(|shortest| shortest == bytes) {
                    return Ok(value);
                }
                self.at = start;
                Err(self.differs(WHAT))
            }
        }
    }

    fn take(&mut self, count: usize, what: &str) -> Result<&[u8], Mismatch> {
        if self.rest().len() < count {
            return Err(self.differs(what));
        }
        self.at += count;
        Ok(&self.bytes[self.at - count..self.at])
    }

    fn rest(&self) -> &[u8] {
        &self.bytes[self.at..self.end]
    }

    /// What was expected at this place, which is counted from the start of the packet.
    fn differs(&self, expected: &str) -> Mismatch {
        let actual = match self.rest().first() {
            Some(byte) => format!("{byte:02x}"),
            None => "the end".to_owned(),
        };
        Mismatch::Differs { expected: format!("{expected} at byte {}", self.at), actual }
    }
}

/// A capture counts from its first use on, also within the line.
impl Variables for Reader<'_> {
    fn number(&self, name: &str) -> Option<u64> {
        let captured = self.captured.iter().find(|(captured, _)| captured == name).map(|(_, value)| *value);
        captured.or_else(|| Variables::number(self.bindings, name))
    }

    fn text(&self, name: &str) -> Option<String> {
        let captured = self.captured.iter().find(|(captured, _)| captured == name);
        captured.map(|(_, value)| value.to_string()).or_else(|| Variables::text(self.bindings, name))
    }
}

impl From<BytesError> for Mismatch {
    fn from(error: BytesError) -> Self {
        match error {
            BytesError::NoValue(name) => Mismatch::Unknown(name),
            other => Mismatch::Differs {
                expected: format!("bytes that can be written: {other}"),
                actual: "others".to_owned(),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Content, StepKind, parse};

    fn accept(line: &str, bytes: &[u8], bindings: &mut Bindings) -> Result<(), String> {
        let scenario = parse("test", &format!("title t\nversions 5\n\na < {line}\n")).unwrap();
        let StepKind::Line { content: Content::Raw(raw), .. } = &scenario.steps[0].kind else {
            panic!("{line}")
        };
        accept_raw(raw, bytes, bindings).map_err(|mismatch| match mismatch {
            Mismatch::Differs { expected, actual } => format!("{actual} instead of {expected}"),
            Mismatch::Unknown(name) => format!("no ${name}"),
        })
    }

    fn compare(line: &str, bytes: &[u8]) -> Result<(), String> {
        accept(line, bytes, &mut Bindings::default())
    }

    #[test]
    fn the_form_of_an_answer_counts_to_the_byte() {
        assert_eq!(compare("raw 20 02 00 01", &[0x20, 2, 0, 1]), Ok(()));
        assert_eq!(
            compare("raw 20 02 00 01", &[0x20, 3, 0, 0x84, 0]),
            Err("03 instead of 02 at byte 1".to_owned())
        );
        assert_eq!(
            compare("raw 20 02 00", &[0x20, 2, 0, 5]),
            Err("05 instead of the end at byte 3".to_owned())
        );
        assert_eq!(
            compare("raw 20 02 00 05", &[0x20, 2, 0]),
            Err("the end instead of 05 at byte 3".to_owned())
        );
    }

    #[test]
    fn any_stands_for_one_byte() {
        assert_eq!(compare("raw 20 02 any 05", &[0x20, 2, 1, 5]), Ok(()));
        assert_eq!(
            compare("raw 20 02 any any", &[0x20, 2, 1]),
            Err("the end instead of any byte at byte 3".to_owned())
        );
    }

    #[test]
    fn a_capture_takes_its_value_and_must_be_equal_afterwards() {
        let mut bindings = Bindings::default();
        assert_eq!(accept("raw 40 { u16 $id }", &[0x40, 2, 1, 4], &mut bindings), Ok(()));
        assert_eq!(bindings.number("id"), Some(0x104));
        assert_eq!(
            accept("raw 62 { u16 $id }", &[0x62, 2, 1, 5], &mut bindings),
            Err("05 instead of 04 at byte 3".to_owned())
        );
        assert_eq!(compare("raw u8 $x u8 $x", &[1, 2]), Err("02 instead of 01 at byte 1".to_owned()));
        assert_eq!(compare("raw str \"$x\"", &[0, 1, 2]), Err("no $x".to_owned()));
    }

    #[test]
    fn a_length_in_braces_must_be_the_shortest_and_that_of_its_content() {
        assert_eq!(compare("raw 20 { 00 fill 2 07 { } }", &[0x20, 4, 0, 7, 7, 0]), Ok(()));
        assert_eq!(
            compare("raw 20 { 00 00 }", &[0x20, 0x82, 0, 0, 0]),
            Err("82 instead of a Variable Byte Integer in its shortest form at byte 1".to_owned())
        );
        assert_eq!(
            compare("raw 20 { 00 }", &[0x20, 2, 0]),
            Err("02 instead of the length of what follows at byte 1".to_owned())
        );
        assert_eq!(compare("raw 20 { 00 } 09", &[0x20, 1, 0, 9]), Ok(()));
        assert_eq!(
            compare("raw 20 { 00 } 09", &[0x20, 2, 0, 9]),
            Err("09 instead of the end at byte 3".to_owned())
        );
        let endless = [0xff; 6];
        assert!(compare("raw varint $x", &endless).is_err());
    }
}
