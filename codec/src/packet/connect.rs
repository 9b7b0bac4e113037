//! CONNECT (§3.1) and its Will (§3.1.2.5, §3.1.3.2 to §3.1.3.4).

use bytes::{BufMut, Bytes};

use super::{Body, PacketType};
use crate::error::EncodeError;
use crate::misdeed::Misdeed;
use crate::policy::Advice;
use crate::property::{
    AllowedIn, AuthenticationData, AuthenticationMethod, Properties, PropertiesRef, PropertyIdentifier,
    read_properties,
};
use crate::read::{Read, Reader, share};
use crate::scalar::QoS;
use crate::text::{BinaryData, Utf8Ref, Utf8String};
use crate::topic::TopicName;
use crate::version::Version;
use crate::write::{put_properties, put_sized};

/// CONNECT: the Client requests a connection to the Server (§3.1).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Connect {
    /// Protocol Name and Protocol Version (§3.1.2.1, §3.1.2.2).
    pub version: Version,
    /// Clean Start (§3.1.2.4); before 5.0 Clean Session.
    pub clean_start: bool,
    /// Keep Alive in seconds, 0 for none (§3.1.2.10).
    pub keep_alive: u16,
    /// Client Identifier (§3.1.3.1).
    pub client_id: Utf8String,
    /// The Will (§3.1.2.5).
    pub will: Option<Will>,
    /// User Name (§3.1.3.5).
    pub user_name: Option<Utf8String>,
    /// Password (§3.1.3.6).
    pub password: Option<BinaryData>,
    /// Properties (§3.1.2.11); none before 5.0.
    pub properties: Properties<Self>,
}

/// The message that the Server publishes when the Network Connection ends abnormally (§3.1.2.5).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
#[cfg_attr(feature = "serde", derive(serde::Serialize, serde::Deserialize))]
pub struct Will {
    /// Will Topic (§3.1.3.3).
    pub topic: TopicName,
    /// Will Payload (§3.1.3.4).
    pub payload: BinaryData,
    /// Will QoS (§3.1.2.6).
    pub qos: QoS,
    /// Will Retain (§3.1.2.7).
    pub retain: bool,
    /// Will Properties (§3.1.3.2); none before 5.0.
    pub properties: Properties<Self>,
}

impl Connect {
    /// Creates a CONNECT with Clean Start and a Keep Alive of 60 seconds.
    #[must_use]
    pub const fn new(version: Version, client_id: Utf8String) -> Self {
        Self {
            version,
            clean_start: true,
            keep_alive: 60,
            client_id,
            will: None,
            user_name: None,
            password: None,
            properties: Properties::new(),
        }
    }

    /// Adds a property.
    #[must_use]
    pub fn with<T: AllowedIn<Self>>(mut self, property: T) -> Self {
        self.properties = self.properties.with(property);
        self
    }

    pub(crate) fn read(reader: &mut Reader<'_>, source: &Bytes) -> Read<Box<Self>> {
        let connect = ConnectRef::read(reader)?;
        Ok(Box::new(connect.own(|part| share(source, part))))
    }
}

/// A CONNECT borrowed from the bytes it was decoded from, checked like the owned one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ConnectRef<'a> {
    /// Protocol Name and Protocol Version (§3.1.2.1, §3.1.2.2).
    pub version: Version,
    /// Clean Start (§3.1.2.4); before 5.0 Clean Session.
    pub clean_start: bool,
    /// Keep Alive in seconds, 0 for none (§3.1.2.10).
    pub keep_alive: u16,
    /// Client Identifier (§3.1.3.1).
    pub client_id: Utf8Ref<'a>,
    /// The Will (§3.1.2.5).
    pub will: Option<WillRef<'a>>,
    /// User Name (§3.1.3.5).
    pub user_name: Option<Utf8Ref<'a>>,
    /// Password (§3.1.3.6).
    pub password: Option<&'a [u8]>,
    /// Properties (§3.1.2.11); none before 5.0.
    pub properties: PropertiesRef<'a, Connect>,
}

impl<'a> ConnectRef<'a> {
    /// Sets the version to answer in on `reader`, also on failure.
    #[inline]
    pub(crate) fn read(reader: &mut Reader<'a>) -> Read<Self> {
        let version = read_version(reader)?;
        reader.version = version;
        let flags = Flags::read(reader)?;
        let keep_alive = reader.two_bytes()?;
        let properties =
            if version.is_5() { read_properties::<Connect>(reader)? } else { Default::default() };
        if properties.has(PropertyIdentifier::AuthenticationData)
            && !properties.has(PropertyIdentifier::AuthenticationMethod)
        {
            return reader.fault(Misdeed::AuthenticationDataWithoutMethod, reader.at());
        }
        // [MQTT-3.1.3-1] [MQTT-3.1.3-3]
        let client_id_at = reader.at();
        let client_id = reader.text()?;
        if let Err(kind) = check_client_id(client_id.as_bytes(), version, flags.clean_start) {
            return reader.fault(kind, client_id_at);
        }
        let will = match flags.will {
            Some((qos, retain)) => Some(WillRef::read(qos, retain, reader)?),
            None => None,
        };
        // [MQTT-3.1.3-12] [MQTT-3.1.2-17]
        let user_name = if flags.user_name && !reader.may_be_missing() { Some(reader.text()?) } else { None };
        // [MQTT-3.1.2-19]
        let password = if flags.password && !reader.may_be_missing() { Some(reader.binary()?) } else { None };
        // [MQTT-3.1.2-16] [MQTT-3.1.2-18]
        reader.end()?;
        Ok(Self {
            version,
            clean_start: flags.clean_start,
            keep_alive,
            client_id,
            will,
            user_name,
            password,
            properties: PropertiesRef::from_checked(properties.raw),
        })
    }

    /// Copies the packet into its own buffers.
    #[must_use]
    pub fn to_connect(&self) -> Connect {
        self.own(Bytes::copy_from_slice)
    }

    #[inline]
    fn own(&self, bytes: impl Fn(&[u8]) -> Bytes) -> Connect {
        let text = |text: Utf8Ref<'_>| Utf8String::from_checked(bytes(text.as_bytes()));
        Connect {
            version: self.version,
            clean_start: self.clean_start,
            keep_alive: self.keep_alive,
            client_id: text(self.client_id),
            will: self.will.map(|will| will.own(&bytes)),
            user_name: self.user_name.map(text),
            password: self.password.map(|password| BinaryData::from_checked(bytes(password))),
            properties: self.properties.own(&bytes),
        }
    }
}

/// A Will borrowed from its CONNECT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WillRef<'a> {
    /// Will Topic (§3.1.3.3).
    pub topic: Utf8Ref<'a>,
    /// Will Payload (§3.1.3.4).
    pub payload: &'a [u8],
    /// Will QoS (§3.1.2.6).
    pub qos: QoS,
    /// Will Retain (§3.1.2.7).
    pub retain: bool,
    /// Will Properties (§3.1.3.2); none before 5.0.
    pub properties: PropertiesRef<'a, Will>,
}

impl<'a> WillRef<'a> {
    /// [MQTT-3.1.2-9]
    #[inline(always)]
    fn read(qos: QoS, retain: bool, reader: &mut Reader<'a>) -> Read<Self> {
        let properties =
            if reader.version.is_5() { read_properties::<Will>(reader)? } else { Default::default() };
        // [MQTT-3.1.3-11] [MQTT-4.7.0-1]
        let topic = reader.topic_name(Misdeed::WillTopicWildcard)?;
        // [MQTT-4.7.3-1]
        if topic.is_empty() {
            return reader.fault(Misdeed::WillTopicEmpty, reader.at());
        }
        let payload_at = reader.at() + 2;
        let payload = reader.binary()?;
        let properties = PropertiesRef::<Will>::from_checked(properties.raw);
        if reader.policy.payload_format == Advice::Refuse
            && properties.says_utf8()
            && let Err(fault) = std::str::from_utf8(payload)
        {
            return reader.fault(Misdeed::WillPayloadNotUtf8, payload_at + fault.valid_up_to());
        }
        Ok(Self { topic, payload, qos, retain, properties })
    }

    #[inline]
    fn own(&self, bytes: impl Fn(&[u8]) -> Bytes) -> Will {
        Will {
            topic: TopicName::from_checked(bytes(self.topic.as_bytes())),
            payload: BinaryData::from_checked(bytes(self.payload)),
            qos: self.qos,
            retain: self.retain,
            properties: self.properties.own(bytes),
        }
    }
}

impl Reader<'_> {
    /// In 3.1 User Name and Password may be missing at the end although their flags are set: the
    /// Remaining Length decides.
    fn may_be_missing(&self) -> bool {
        self.version == Version::V3_1 && self.is_at_end()
    }
}

/// Reads Protocol Name and Protocol Version. On failure it sets the version to answer in on
/// `reader`.
fn read_version(reader: &mut Reader<'_>) -> Read<Version> {
    reader.version = Version::V3_1_1;
    let name_at = reader.at();
    let name = reader.binary()?;
    // [MQTT-3.1.2-1]
    let old = match name {
        b"MQTT" => false,
        b"MQIsdp" => true,
        _ => return reader.fault(Misdeed::ProtocolNameUnknown, name_at),
    };
    let level_at = reader.at();
    // [MQTT-3.1.2-2]
    match (old, reader.byte()?) {
        (true, 3) => Ok(Version::V3_1),
        (false, 4) => Ok(Version::V3_1_1),
        (false, 5) => Ok(Version::V5),
        (false, 6..) => {
            reader.version = Version::V5;
            reader.fault(Misdeed::ProtocolVersionUnsupported, level_at)
        }
        _ => reader.fault(Misdeed::ProtocolVersionUnsupported, level_at),
    }
}

/// Connect Flags (§3.1.2.3 to §3.1.2.9).
struct Flags {
    clean_start: bool,
    will: Option<(QoS, bool)>,
    user_name: bool,
    password: bool,
}

impl Flags {
    const RESERVED: u8 = 1;
    const CLEAN_START: u8 = 1 << 1;
    const WILL: u8 = 1 << 2;
    const WILL_QOS_SHIFT: u32 = 3;
    const WILL_QOS: u8 = 0b11 << Self::WILL_QOS_SHIFT;
    const WILL_RETAIN: u8 = 1 << 5;
    const PASSWORD: u8 = 1 << 6;
    const USER_NAME: u8 = 1 << 7;

    fn read(reader: &mut Reader<'_>) -> Read<Self> {
        let at = reader.at();
        let flags = reader.byte()?;
        // 3.1 calls bit 0 unused, and Will QoS and Will Retain where there is no Will.
        let unused = match reader.version {
            Version::V3_1 if flags & Self::WILL == 0 => Self::RESERVED | Self::WILL_QOS | Self::WILL_RETAIN,
            Version::V3_1 => Self::RESERVED,
            Version::V3_1_1 | Version::V5 => 0,
        };
        let flags = flags & !unused;
        let has = |flag| flags & flag != 0;
        // [MQTT-3.1.2-3]
        if has(Self::RESERVED) {
            return reader.fault(Misdeed::ConnectReservedFlag, at);
        }
        // [MQTT-3.1.2-12]
        let Ok(qos) = QoS::try_from(flags >> Self::WILL_QOS_SHIFT & 0b11) else {
            return reader.fault(Misdeed::WillQoSInvalid, at);
        };
        if !has(Self::WILL) {
            // [MQTT-3.1.2-11]
            if qos != QoS::AtMostOnce {
                return reader.fault(Misdeed::WillQoSWithoutWill, at);
            }
            // [MQTT-3.1.2-13]
            if has(Self::WILL_RETAIN) {
                return reader.fault(Misdeed::WillRetainWithoutWill, at);
            }
        }
        // 3.1.1/[MQTT-3.1.2-22]
        if !reader.version.is_5() && has(Self::PASSWORD) && !has(Self::USER_NAME) {
            return reader.fault(Misdeed::PasswordWithoutUserName, at);
        }
        Ok(Self {
            clean_start: has(Self::CLEAN_START),
            will: has(Self::WILL).then(|| (qos, has(Self::WILL_RETAIN))),
            user_name: has(Self::USER_NAME),
            password: has(Self::PASSWORD),
        })
    }

    fn of(connect: &Connect) -> u8 {
        let flag = |set: bool, flag: u8| if set { flag } else { 0 };
        let will = connect.will.as_ref().map_or(0, |will| {
            Self::WILL | (will.qos as u8) << Self::WILL_QOS_SHIFT | flag(will.retain, Self::WILL_RETAIN)
        });
        flag(connect.clean_start, Self::CLEAN_START)
            | will
            | flag(connect.password.is_some(), Self::PASSWORD)
            | flag(connect.user_name.is_some(), Self::USER_NAME)
    }
}

fn check_client_id(client_id: &[u8], version: Version, clean_start: bool) -> Result<(), Misdeed> {
    match version {
        // 3.1.1/[MQTT-3.1.3-7] 3.1.1/[MQTT-3.1.3-8]
        Version::V3_1_1 if client_id.is_empty() && !clean_start => Err(Misdeed::ClientIdentifierMissing),
        Version::V3_1 if client_id.is_empty() => Err(Misdeed::ClientIdentifierMissing),
        Version::V3_1 if characters(client_id) > 23 => Err(Misdeed::ClientIdentifierTooLong),
        _ => Ok(()),
    }
}

/// Counts the code points of UTF-8 text: each has exactly one byte that is not a continuation byte.
fn characters(text: &[u8]) -> usize {
    text.iter().filter(|&&byte| byte & 0xC0 != 0x80).count()
}

impl Will {
    /// Creates a Will of QoS 0, not retained, without properties.
    #[must_use]
    pub const fn new(topic: TopicName, payload: BinaryData) -> Self {
        Self { topic, payload, qos: QoS::AtMostOnce, retain: false, properties: Properties::new() }
    }

    /// Adds a property.
    #[must_use]
    pub fn with<T: AllowedIn<Self>>(mut self, property: T) -> Self {
        self.properties = self.properties.with(property);
        self
    }
}

impl Body for Connect {
    const TYPE: PacketType = PacketType::Connect;

    fn check(&self, _version: Version) -> Result<(), EncodeError> {
        check_client_id(self.client_id.as_bytes(), self.version, self.clean_start)?;
        if self.version.is_5() {
            // §3.1.2.11.10
            if self.properties.contains::<AuthenticationData>()
                && !self.properties.contains::<AuthenticationMethod>()
            {
                return Err(Misdeed::AuthenticationDataWithoutMethod.into());
            }
            return Ok(());
        }
        let will_has_properties = self.will.as_ref().is_some_and(|will| !will.properties.is_empty());
        if !self.properties.is_empty() || will_has_properties {
            return Err(EncodeError::PropertiesBeforeVersion5);
        }
        // 3.1.1/[MQTT-3.1.2-22]
        if self.password.is_some() && self.user_name.is_none() {
            return Err(Misdeed::PasswordWithoutUserName.into());
        }
        Ok(())
    }

    fn length(&self, _version: Version) -> Result<usize, EncodeError> {
        let five = self.version.is_5();
        let properties = |length| if five { length } else { 0 };
        let will = self.will.as_ref().map_or(0, |will| {
            properties(will.properties.encoded_len()) + 4 + will.topic.as_bytes().len() + will.payload.len()
        });
        Ok(2 + self.version.protocol_name().len()
            + 4
            + properties(self.properties.encoded_len())
            + 2
            + self.client_id.as_bytes().len()
            + will
            + self.user_name.as_ref().map_or(0, |text| 2 + text.as_bytes().len())
            + self.password.as_ref().map_or(0, |bytes| 2 + bytes.len()))
    }

    fn write(&self, _version: Version, out: &mut &mut [u8]) {
        put_sized(out, self.version.protocol_name().as_bytes());
        out.put_u8(self.version.level());
        out.put_u8(Flags::of(self));
        out.put_u16(self.keep_alive);
        if self.version.is_5() {
            put_properties(out, self.properties.as_bytes());
        }
        put_sized(out, self.client_id.as_bytes());
        if let Some(will) = &self.will {
            if self.version.is_5() {
                put_properties(out, will.properties.as_bytes());
            }
            put_sized(out, will.topic.as_bytes());
            put_sized(out, &will.payload);
        }
        if let Some(user_name) = &self.user_name {
            put_sized(out, user_name.as_bytes());
        }
        if let Some(password) = &self.password {
            put_sized(out, password);
        }
    }
}
