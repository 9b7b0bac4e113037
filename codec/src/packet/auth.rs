//! AUTH (§3.15), since 5.0.

use bytes::{BufMut, Bytes};

use super::{Body, PacketType};
use crate::error::EncodeError;
use crate::misdeed::Misdeed;
use crate::property::{AllowedIn, AuthenticationMethod, Properties, PropertyIdentifier, read_properties};
use crate::read::{Read, Reader};
use crate::reason::AuthReason;
use crate::version::{Role, Version};
use crate::write::put_properties;

/// AUTH: a step of enhanced authentication (§3.15, §4.12).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Auth {
    /// Authenticate Reason Code (§3.15.2.1).
    pub reason: AuthReason,
    /// Properties (§3.15.2.2), including the Authentication Method.
    pub properties: Properties<Self>,
}

impl Auth {
    /// Creates an AUTH with the Authentication Method that every AUTH must contain (§3.15.2.2.2).
    #[must_use]
    pub fn new(reason: AuthReason, method: AuthenticationMethod) -> Self {
        Self { reason, properties: Properties::new().with(method) }
    }

    /// Adds a property.
    #[must_use]
    pub fn with<T: AllowedIn<Self>>(mut self, property: T) -> Self {
        self.properties = self.properties.with(property);
        self
    }

    pub(crate) fn read(reader: &mut Reader<'_>, source: &Bytes) -> Read<Self> {
        // §3.15.2.1 describes a form without Reason Code and properties, but §3.15.2.2.2 excludes
        // it.
        if reader.is_at_end() {
            return reader.fault(Misdeed::AuthenticationMethodMissing, reader.at());
        }
        let reason_at = reader.at();
        // [MQTT-3.15.2-1]
        let Ok(reason) = AuthReason::try_from(reader.byte()?) else {
            return reader.fault(Misdeed::ReasonCodeInvalid, reason_at);
        };
        if matches!(
            (reason, reader.sender),
            (AuthReason::Success, Some(Role::Client)) | (AuthReason::ReAuthenticate, Some(Role::Server))
        ) {
            return reader.fault(Misdeed::ReasonCodeFromWrongSender, reason_at);
        }
        let properties_at = reader.at();
        let properties = read_properties::<Self>(reader)?;
        if !properties.has(PropertyIdentifier::AuthenticationMethod) {
            return reader.fault(Misdeed::AuthenticationMethodMissing, properties_at);
        }
        reader.end()?;
        Ok(Self { reason, properties: Properties::share(source, properties.raw) })
    }
}

impl Body for Auth {
    const TYPE: PacketType = PacketType::Auth;

    fn check(&self, version: Version) -> Result<(), EncodeError> {
        if !version.is_5() {
            return Err(EncodeError::AuthBeforeVersion5);
        }
        // §3.15.2.2.2
        if !self.properties.contains::<AuthenticationMethod>() {
            return Err(Misdeed::AuthenticationMethodMissing.into());
        }
        Ok(())
    }

    fn length(&self, _version: Version) -> Result<usize, EncodeError> {
        Ok(1 + self.properties.encoded_len())
    }

    fn write(&self, _version: Version, out: &mut &mut [u8]) {
        out.put_u8(self.reason.into());
        put_properties(out, self.properties.as_bytes());
    }
}
