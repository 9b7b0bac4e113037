//! Bytes that the notation encodes itself, without the codec: `raw …` and the patches of `with …`.
//!
//! It follows the data representations of section 1.5 of MQTT 5.0; [`patched`] finds places by the
//! layouts of chapter 3.

mod layout;

use super::{Atom, AtomText, Extent, Name, Operand, PacketType, Patch, RawBytes, Version};

/// The values of variables in raw bytes.
pub trait Variables {
    /// The number of `$name`.
    fn number(&self, name: &str) -> Option<u64>;
    /// The text of `$name` within a text.
    fn text(&self, name: &str) -> Option<String>;
}

/// Why bytes cannot be encoded.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum BytesError {
    /// A variable without a value, or with one of another type.
    #[error("`${0}` has no suitable value here")]
    NoValue(Name),
    /// A number or length that is too large for its integer type.
    #[error("{0} does not fit into {1}")]
    DoesNotFit(u64, &'static str),
    /// A place that this packet of this version does not have.
    #[error("{packet} in MQTT {version} has no `{place}`")]
    NoSuchPlace {
        /// The place, as it is written.
        place: String,
        /// The packet.
        packet: &'static str,
        /// The version.
        version: Version,
    },
    /// `byte N` after the end.
    #[error("there is no byte {offset}: the packet has {length} bytes")]
    NoSuchByte {
        /// The offset.
        offset: u32,
        /// The length of the packet.
        length: usize,
    },
    /// `any` is not a byte.
    #[error("`any` cannot be sent")]
    AnyByte,
    /// The bytes are not those of such a packet.
    #[error("the bytes to be patched are not a {0}")]
    NoSuchPacket(&'static str),
}

/// The bytes of a `raw` line.
///
/// # Errors
/// See [`BytesError`].
pub fn raw_bytes(raw: &RawBytes, variables: &dyn Variables) -> Result<Vec<u8>, BytesError> {
    let bytes = atoms(&raw.atoms, variables)?;
    layout::flat_patches(bytes, &raw.patches)
}

/// Applies patches to the bytes of a valid packet. Named places are changed first, and the lengths
/// that no patch sets are computed again; then bytes by offset, truncations and extensions, in
/// their order.
///
/// # Errors
/// See [`BytesError`].
pub fn patched(
    bytes: &[u8],
    packet: PacketType,
    version: Version,
    patches: &[Patch],
    variables: &dyn Variables,
) -> Result<Vec<u8>, BytesError> {
    let mut layout = layout::Layout::of(bytes, packet, version)?;
    for patch in patches {
        match patch {
            Patch::Set { place, value } => layout.set(*place, value)?,
            Patch::Properties(inner) => layout.set_properties(atoms(inner, variables)?)?,
            Patch::TruncatedTo(_) | Patch::ExtendedBy(_) => {}
        }
    }
    layout::flat_patches(layout.assemble()?, patches)
}

fn atoms(list: &[Atom], variables: &dyn Variables) -> Result<Vec<u8>, BytesError> {
    let mut bytes = Vec::new();
    for atom in list {
        bytes.extend(atom_bytes(atom, variables)?);
    }
    Ok(bytes)
}

/// The bytes of one part of raw bytes.
pub(crate) fn atom_bytes(atom: &Atom, variables: &dyn Variables) -> Result<Vec<u8>, BytesError> {
    match atom {
        Atom::Bytes(given) => Ok(given.clone()),
        Atom::Integer(extent, Operand::Number(number)) => integer(*extent, number.value),
        Atom::Integer(extent, Operand::Capture(name)) => {
            let value = variables.number(name).ok_or_else(|| BytesError::NoValue(name.clone()))?;
            integer(*extent, value)
        }
        Atom::String(text) => string(&atom_text(text, variables)?),
        Atom::Content(text) => atom_text(text, variables),
        Atom::Fill { times, byte } => Ok(vec![*byte; *times as usize]),
        Atom::Counted(inner) => {
            let inner = atoms(inner, variables)?;
            let mut bytes = variable_byte_integer(inner.len() as u64)?;
            bytes.extend(inner);
            Ok(bytes)
        }
        Atom::Any => Err(BytesError::AnyByte),
    }
}

fn atom_text(text: &AtomText, variables: &dyn Variables) -> Result<Vec<u8>, BytesError> {
    match text {
        AtomText::Bytes(bytes) => Ok(bytes.clone()),
        AtomText::Text(text) => {
            text.resolve(|name| variables.text(name)).map(String::into_bytes).map_err(BytesError::NoValue)
        }
    }
}

fn integer(extent: Extent, value: u64) -> Result<Vec<u8>, BytesError> {
    let too_large = |kind| BytesError::DoesNotFit(value, kind);
    match extent {
        Extent::Byte => u8::try_from(value).map(|value| vec![value]).map_err(|_| too_large("a byte")),
        Extent::TwoBytes => {
            let value = u16::try_from(value).map_err(|_| too_large("a Two Byte Integer"))?;
            Ok(value.to_be_bytes().to_vec())
        }
        Extent::FourBytes => {
            let value = u32::try_from(value).map_err(|_| too_large("a Four Byte Integer"))?;
            Ok(value.to_be_bytes().to_vec())
        }
        Extent::Variable => variable_byte_integer(value),
    }
}

/// Section 1.5.5: seven bits a byte, low bits first; the high bit means that more bytes follow.
pub(crate) fn variable_byte_integer(value: u64) -> Result<Vec<u8>, BytesError> {
    if value > 268_435_455 {
        return Err(BytesError::DoesNotFit(value, "a Variable Byte Integer"));
    }
    let mut rest = value;
    let mut bytes = Vec::new();
    loop {
        let seven = (rest & 0x7f) as u8;
        rest >>= 7;
        if rest == 0 {
            bytes.push(seven);
            return Ok(bytes);
        }
        bytes.push(seven | 0x80);
    }
}

/// Section 1.5.4: a Two Byte Integer length and the bytes.
fn string(bytes: &[u8]) -> Result<Vec<u8>, BytesError> {
    let mut written = integer(Extent::TwoBytes, bytes.len() as u64)?;
    written.extend(bytes);
    Ok(written)
}

#[cfg(test)]
mod tests;
