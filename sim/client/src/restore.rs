//! What can be wrong with the records of a store.

use mqttspec_codec::PacketIdentifier;

/// Why a record cannot be restored.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RestoreError {
    /// The key is not that of any kind of record.
    #[error("a record has the unknown key {0:02x?}")]
    UnknownKey(Vec<u8>),
    /// The value cannot be read.
    #[error("the record with the key {0:02x?} cannot be read")]
    Unreadable(Vec<u8>),
    /// The message of a delivery does not match its checksum.
    #[error("the delivery {0} is damaged")]
    DeliveryDamaged(String),
    /// Two messages have one Packet Identifier.
    #[error("two messages have the Packet Identifier {0}")]
    IdentifierTwice(PacketIdentifier),
}
