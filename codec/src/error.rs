//! Errors of decoding, encoding and the construction of single values.

use crate::misdeed::{Answer, Misdeed};
use crate::packet::PacketType;
use crate::version::{Role, Version};

/// Why bytes do not decode: the misdeed, its position, and the version to answer in.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{}at byte {offset}: {kind}", describe(*packet))]
pub struct DecodeError {
    /// Offset of the offending byte in the packet; the packet's length if bytes are missing.
    pub offset: usize,
    /// The sender's misdeed.
    pub kind: Misdeed,
    /// The packet type, if it could be read.
    pub packet: Option<PacketType>,
    /// The sender, if known.
    pub sender: Option<Role>,
    /// The version to answer in: that of the Network Connection or of the CONNECT; 3.1.1 if
    /// decoding failed before the version of the CONNECT.
    pub version: Version,
}

impl DecodeError {
    /// The clause that the sender broke, such as `MQTT-3.1.2-3`; `None` if the rule has no number.
    #[must_use]
    pub fn clause(&self) -> Option<&'static str> {
        // [MQTT-2.2.1-4] is the Server's counterpart of [MQTT-2.2.1-3].
        let zero_from_server = self.kind == Misdeed::PacketIdentifierZero
            && self.packet == Some(PacketType::Publish)
            && self.sender == Some(Role::Server);
        if zero_from_server && self.version.is_5() {
            return Some("MQTT-2.2.1-4");
        }
        if self.kind == Misdeed::PacketTooLarge && self.version.is_5() {
            return match (self.sender, self.packet) {
                // Before CONNACK the Server has not announced its maximum. The decoder does not
                // know whether an AUTH came before it.
                (Some(Role::Client), Some(PacketType::Connect | PacketType::Auth)) | (None, _) => None,
                (Some(Role::Client), _) => Some("MQTT-3.2.2-15"),
                (Some(Role::Server), _) => Some("MQTT-3.1.2-24"),
            };
        }
        self.kind.clause(self.version, self.packet)
    }

    /// The answer that the receiver sends, if any, before it closes the Network Connection.
    #[must_use]
    pub fn answer(&self) -> Answer {
        self.kind.answer(self.version, self.packet)
    }
}

fn describe(packet: Option<PacketType>) -> String {
    packet.map_or_else(String::new, |packet| format!("{packet} "))
}

/// Why a packet has no encoding in the requested version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// The Remaining Length (§2.1.4) or a Property Length (§2.2.2.1) would exceed 268,435,455
    /// bytes.
    #[error("the Remaining Length would exceed 268,435,455")]
    TooLarge,
    /// AUTH does not exist before 5.0.
    #[error("AUTH needs version 5.0")]
    AuthBeforeVersion5,
    /// Properties do not exist before 5.0: clear them, or use
    /// [`Packet::fitted_to`](crate::Packet::fitted_to).
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

/// Why a value cannot be constructed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ValueError {
    /// Longer than a Two Byte Integer can express.
    #[error("longer than 65,535 bytes")]
    TooLong,
    /// The value would break a rule of the standard.
    #[error(transparent)]
    Misdeed(#[from] Misdeed),
}
