//! CONNACK (§3.2).

use bytes::{BufMut, Bytes};

use super::{Body, PacketType};
use crate::error::EncodeError;
use crate::misdeed::Misdeed;
use crate::property::{AllowedIn, Properties, read_properties};
use crate::read::{Read, Reader};
use crate::reason::ConnectReason;
use crate::version::Version;
use crate::write::put_properties;

/// CONNACK: the Server accepts the Network Connection or refuses it (§3.2).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct ConnAck {
    /// Session Present (§3.2.2.1.1); always false in 3.1.
    pub session_present: bool,
    /// Connect Reason Code (§3.2.2.2); before 5.0 the equivalent Connect Return code.
    pub reason: ConnectReason,
    /// Properties (§3.2.2.3); none before 5.0.
    pub properties: Properties<Self>,
}

impl ConnAck {
    /// Creates the CONNACK of a Server that accepts.
    #[must_use]
    pub const fn accepted(session_present: bool) -> Self {
        Self { session_present, reason: ConnectReason::Success, properties: Properties::new() }
    }

    /// Creates the CONNACK of a Server that refuses; Session Present is 0 ([MQTT-3.2.2-6]).
    #[must_use]
    pub const fn refused(reason: ConnectReason) -> Self {
        Self { session_present: false, reason, properties: Properties::new() }
    }

    /// Adds a property.
    #[must_use]
    pub fn with<T: AllowedIn<Self>>(mut self, property: T) -> Self {
        self.properties = self.properties.with(property);
        self
    }

    #[inline]
    pub(crate) fn read(reader: &mut Reader<'_>, source: &Bytes) -> Read<Self> {
        let flags_at = reader.at();
        // 3.1 calls the byte unused.
        let flags = reader.byte()? & if reader.version == Version::V3_1 { 0 } else { 0xFF };
        // [MQTT-3.2.2-1]
        if flags > 1 {
            return reader.fault(Misdeed::ConnAckReservedFlags, flags_at);
        }
        let reason_at = reader.at();
        let code = reader.byte()?;
        // [MQTT-3.2.2-8]
        let reason = if reader.version.is_5() {
            ConnectReason::try_from(code)
        } else {
            ConnectReason::from_return_code(code)
        };
        let Ok(reason) = reason else {
            return reader.fault(Misdeed::ReasonCodeInvalid, reason_at);
        };
        let session_present = flags == 1;
        // [MQTT-3.2.2-6]
        if session_present && reason != ConnectReason::Success {
            return reader.fault(Misdeed::SessionPresentWithRefusal, flags_at);
        }
        let properties =
            if reader.version.is_5() { read_properties::<Self>(reader)? } else { Default::default() };
        reader.end()?;
        Ok(Self { session_present, reason, properties: Properties::share(source, properties.raw) })
    }
}

impl Body for ConnAck {
    const TYPE: PacketType = PacketType::ConnAck;

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        // [MQTT-3.2.2-6]
        if self.session_present && self.reason != ConnectReason::Success {
            return Err(Misdeed::SessionPresentWithRefusal.into());
        }
        if !version.is_5() && !self.properties.is_empty() {
            return Err(EncodeError::PropertiesBeforeVersion5);
        }
        Ok(())
    }

    fn length(&self, version: Version) -> Result<usize, EncodeError> {
        if version.is_5() {
            return Ok(2 + self.properties.encoded_len());
        }
        self.reason.return_code().map(|_| 2).ok_or(EncodeError::ReasonCodeBeforeVersion5)
    }

    fn write(&self, version: Version, out: &mut &mut [u8]) {
        out.put_u8(self.session_present.into());
        if version.is_5() {
            out.put_u8(self.reason.into());
            put_properties(out, self.properties.as_bytes());
        } else {
            out.put_u8(self.reason.return_code().unwrap_or_default());
        }
    }
}
