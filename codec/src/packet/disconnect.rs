//! DISCONNECT (§3.14).

use bytes::{BufMut, Bytes};

use super::{Body, PacketType};
use crate::error::EncodeError;
use crate::misdeed::Misdeed;
use crate::property::{AllowedIn, Properties, read_properties_or_end};
use crate::read::{Read, Reader};
use crate::reason::DisconnectReason;
use crate::version::{Role, Version};
use crate::write::put_properties;

/// DISCONNECT: the last packet of its sender (§3.14). Before 5.0 only the Client sends it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Disconnect {
    /// Disconnect Reason Code (§3.14.2.1); Normal disconnection before 5.0.
    pub reason: DisconnectReason,
    /// Properties (§3.14.2.2); none before 5.0.
    pub properties: Properties<Self>,
}

impl Disconnect {
    /// Creates a DISCONNECT without properties.
    #[must_use]
    pub const fn new(reason: DisconnectReason) -> Self {
        Self { reason, properties: Properties::new() }
    }

    /// Creates a DISCONNECT for a normal disconnection, without properties.
    #[must_use]
    pub const fn normal() -> Self {
        Self::new(DisconnectReason::NormalDisconnection)
    }

    /// Adds a property.
    #[must_use]
    pub fn with<T: AllowedIn<Self>>(mut self, property: T) -> Self {
        self.properties = self.properties.with(property);
        self
    }

    #[inline]
    pub(crate) fn read(reader: &mut Reader<'_>, source: &Bytes) -> Read<Self> {
        if reader.is_at_end() {
            return Ok(Self::normal());
        }
        if !reader.version.is_5() {
            return reader.fault(Misdeed::SurplusBytes, reader.at());
        }
        let reason_at = reader.at();
        // [MQTT-3.14.2-1]
        let Ok(reason) = DisconnectReason::try_from(reader.byte()?) else {
            return reader.fault(Misdeed::ReasonCodeInvalid, reason_at);
        };
        let may_send = match reader.sender {
            None => true,
            Some(Role::Client) => reason.client_may_send(),
            Some(Role::Server) => reason.server_may_send(),
        };
        if !may_send {
            return reader.fault(Misdeed::ReasonCodeFromWrongSender, reason_at);
        }
        let properties = read_properties_or_end::<Self>(reader)?;
        reader.end()?;
        Ok(Self { reason, properties: Properties::share(source, properties.raw) })
    }

    fn is_bare(&self) -> bool {
        self.reason == DisconnectReason::NormalDisconnection && self.properties.is_empty()
    }
}

impl Body for Disconnect {
    const TYPE: PacketType = PacketType::Disconnect;

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if !version.is_5() && !self.properties.is_empty() {
            return Err(EncodeError::PropertiesBeforeVersion5);
        }
        if !version.is_5() && self.reason != DisconnectReason::NormalDisconnection {
            return Err(EncodeError::ReasonCodeBeforeVersion5);
        }
        Ok(())
    }

    fn length(&self, version: Version) -> Result<usize, EncodeError> {
        Ok(if !version.is_5() || self.is_bare() {
            0
        } else if self.properties.is_empty() {
            1
        } else {
            1 + self.properties.encoded_len()
        })
    }

    fn write(&self, version: Version, out: &mut &mut [u8]) {
        if !version.is_5() || self.is_bare() {
            return;
        }
        out.put_u8(self.reason.into());
        if !self.properties.is_empty() {
            put_properties(out, self.properties.as_bytes());
        }
    }
}
