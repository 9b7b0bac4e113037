//! What decoding, encoding and the making of single values can fail with.

use crate::misdeed::{Answer, Misdeed};
use crate::packet::PacketType;
use crate::version::{Role, Version};

/// Why bytes are no packet: which rule, where, and in whose terms to answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}at byte {offset}: {kind}", describe(*packet))]
pub struct DecodeError {
    /// Offset of the offending byte from the first byte of the packet; the packet's length where bytes are missing.
    pub offset: usize,
    /// What the sender did wrong.
    pub kind: Misdeed,
    /// The packet, if its type was readable.
    pub packet: Option<PacketType>,
    /// Who sent it, if that is known.
    pub sender: Option<Role>,
    /// The version that the receiver answers in: that of the Network Connection, or what CONNECT said until it went
    /// wrong (3.1.1 if it went wrong before).
    pub version: Version,
}

impl DecodeError {
    /// The numbered statement that the sender broke, as `MQTT-3.1.2-3`; `None` where the rule has no number.
    #[must_use]
    pub fn clause(&self) -> Option<&'static str> {
        // [MQTT-2.2.1-4] is for the Server what [MQTT-2.2.1-3] is for the Client.
        let zero_from_server = self.kind == Misdeed::PacketIdentifierZero
            && self.packet == Some(PacketType::Publish)
            && self.sender == Some(Role::Server);
        if zero_from_server && self.version.is_5() {
            return Some("MQTT-2.2.1-4");
        }
        if self.kind == Misdeed::PacketTooLarge && self.version.is_5() {
            return match (self.sender, self.packet) {
                // The Server has not yet said how much it takes.
                (Some(Role::Client), Some(PacketType::Connect)) | (None, _) => None,
                (Some(Role::Client), _) => Some("MQTT-3.2.2-15"),
                (Some(Role::Server), _) => Some("MQTT-3.1.2-24"),
            };
        }
        self.kind.clause(self.version, self.packet)
    }

    /// What the receiver sends, if anything, before it closes the Network Connection.
    #[must_use]
    pub fn answer(&self) -> Answer {
        self.kind.answer(self.version, self.packet)
    }
}

fn describe(packet: Option<PacketType>) -> String {
    packet.map_or_else(String::new, |packet| format!("{packet} "))
}

/// Why a packet has no encoding in the version asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The Remaining Length would exceed 268,435,455 bytes (§2.1.4), or a Property Length would (§2.2.2.1).
    #[error("the Remaining Length would exceed 268,435,455")]
    TooLarge,
    /// AUTH does not exist before 5.0.
    #[error("AUTH needs version 5.0")]
    AuthBeforeVersion5,
    /// Properties do not exist before 5.0: clear them, or use [`Packet::fitted_to`](crate::Packet::fitted_to).
    #[error("Properties need version 5.0")]
    PropertiesBeforeVersion5,
    /// The Reason Code has no counterpart before 5.0.
    #[error("the Reason Code needs version 5.0")]
    ReasonCodeBeforeVersion5,
    /// No Local, Retain As Published or Retain Handling before 5.0.
    #[error("the Subscription Options need version 5.0")]
    SubscriptionOptionsBeforeVersion5,
    /// UNSUBACK with Reason Codes before 5.0, where it has no payload.
    #[error("UNSUBACK has no payload before version 5.0")]
    UnsubAckPayloadBeforeVersion5,
    /// The packet would break a rule that spans more than one field.
    #[error("the packet would break a rule: {0}")]
    Misdeed(#[from] Misdeed),
}

/// Why a value cannot be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Longer than a Two Byte Integer can say.
    #[error("longer than 65,535 bytes")]
    TooLong,
    /// The value would break a rule of the standard.
    #[error(transparent)]
    Misdeed(#[from] Misdeed),
}
