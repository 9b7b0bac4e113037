//! The format of records. Integers are big-endian, so that keys sort by number. Packets in records
//! are encoded by the codec, so that reading them checks them.

use std::num::NonZeroU32;
use std::time::Duration;

use bytes::{Buf as _, BufMut as _, Bytes, BytesMut};
use mqttspec_codec::{
    self as codec, Connect, Packet, PacketIdentifier, Publish, QoS, TopicFilter, TopicName, Utf8String,
    Version, Will,
};

use crate::memory::Charge;
use crate::message::{Delivery, Expiry, Message, MessageId};
use crate::outbound::Order;
use crate::session::{Session, SessionKey, Subscription};
use crate::topic::Granted;

/// The first byte of every key is the kind of the record.
const SESSION: u8 = b's';
const SUBSCRIPTION: u8 = b'f';
const RECEIVED: u8 = b'i';
const DELIVERY: u8 = b'd';
const MESSAGE: u8 = b'm';
const RETAINED: u8 = b'r';
const DISTRIBUTION: u8 = b'p';
const ROUTING: u8 = b'q';
const ENDED: u8 = b'e';

/// The first byte of every value is the format version.
const FORMAT: u8 = 1;
/// The format version of a message that has the user after its publisher.
const FORMAT_WITH_USER: u8 = 2;

/// The second byte of a delivery is its stage.
const WAITING: u8 = 0;
const BEGUN: u8 = 1;
const RELEASED: u8 = 2;

#[derive(Clone, Copy)]
pub(super) enum Key<'a> {
    Session(SessionKey),
    Subscription(SessionKey, &'a TopicFilter),
    Received(SessionKey, PacketIdentifier),
    Delivery(SessionKey, Order),
    Message(MessageId),
    Retained(&'a TopicName),
    Distribution(MessageId),
    Routing(MessageId),
    Ended(SessionKey),
}

/// A record that was read.
pub(super) enum Record {
    Session(SessionKey, StoredSession),
    Subscription(SessionKey, TopicFilter, Subscription),
    Received(SessionKey, PacketIdentifier),
    Delivery(SessionKey, Order, StoredDelivery),
    Message(Message),
    Retained(Message),
    Distribution(MessageId, Option<TopicFilter>),
    /// A message that Sessions after this one have yet to get.
    Routing(MessageId, Option<SessionKey>),
    /// A Session that has ended, whose other records are being removed.
    Ended(SessionKey, Utf8String),
}

pub(super) struct StoredSession {
    pub(super) client_id: Utf8String,
    pub(super) owner: Option<Utf8String>,
    pub(super) recorded: bool,
    pub(super) expiry_interval: u32,
    pub(super) ends_at: Option<Duration>,
    pub(super) will: Option<Will>,
    pub(super) will_due: Option<Duration>,
}

pub(super) enum StoredDelivery {
    Waiting(StoredCopy),
    Begun(PacketIdentifier, StoredCopy),
    Released(PacketIdentifier),
}

/// A [`Delivery`] whose message is in a record of its own.
pub(super) struct StoredCopy {
    pub(super) message: MessageId,
    pub(super) qos: QoS,
    pub(super) retain: bool,
    pub(super) identifiers: Vec<NonZeroU32>,
    pub(super) shared: Option<TopicFilter>,
}

impl Record {
    /// The Session whose content the record has.
    pub(super) fn session(&self) -> Option<SessionKey> {
        match self {
            Self::Subscription(key, ..) | Self::Received(key, _) | Self::Delivery(key, ..) => Some(*key),
            _ => None,
        }
    }
}

impl Key<'_> {
    pub(super) fn to_bytes(self) -> Vec<u8> {
        let mut key = Vec::with_capacity(17);
        match self {
            Self::Session(session) => {
                key.put_u8(SESSION);
                key.put_u64(session.0);
            }
            Self::Subscription(session, filter) => {
                key.put_u8(SUBSCRIPTION);
                key.put_u64(session.0);
                key.put_slice(filter.as_bytes());
            }
            Self::Received(session, identifier) => {
                key.put_u8(RECEIVED);
                key.put_u64(session.0);
                key.put_u16(identifier.get());
            }
            Self::Delivery(session, order) => {
                key.put_u8(DELIVERY);
                key.put_u64(session.0);
                key.put_u64(order.0);
            }
            Self::Message(id) => {
                key.put_u8(MESSAGE);
                key.put_u64(id.0);
            }
            Self::Retained(topic) => {
                key.put_u8(RETAINED);
                key.put_slice(topic.as_bytes());
            }
            Self::Distribution(message) => {
                key.put_u8(DISTRIBUTION);
                key.put_u64(message.0);
            }
            Self::Routing(message) => {
                key.put_u8(ROUTING);
                key.put_u64(message.0);
            }
            Self::Ended(session) => {
                key.put_u8(ENDED);
                key.put_u64(session.0);
            }
        }
        key
    }
}

/// The times of the Session, followed by a CONNECT with its ClientID, Will, and owner as User Name.
pub(super) fn session(session: &Session) -> Vec<u8> {
    let mut value = vec![FORMAT, u8::from(session.recorded)];
    value.put_u32(session.expiry_interval);
    put_instant(&mut value, session.ends_at);
    put_instant(&mut value, session.will_due);
    let mut connect = Connect::new(Version::V5, session.client_id.clone());
    connect.user_name = session.owner.clone();
    connect.will = session.will.as_deref().cloned();
    put_packet(&mut value, &Packet::from(connect));
    value
}

pub(super) fn subscription(subscription: &Subscription) -> Vec<u8> {
    let Granted { qos, no_local, retain_as_published, identifier } = subscription.granted;
    // The Subscription Options of §3.8.3.1, with a free bit for Shared Subscriptions.
    let options = u8::from(qos)
        | u8::from(no_local) << 2
        | u8::from(retain_as_published) << 3
        | u8::from(subscription.shared) << 7;
    let mut value = vec![FORMAT, options];
    value.put_u32(identifier.map_or(0, NonZeroU32::get));
    value
}

/// The key has all the information.
pub(super) fn received() -> Vec<u8> {
    vec![FORMAT]
}

pub(super) fn waiting(delivery: &Delivery) -> Vec<u8> {
    let mut value = vec![FORMAT, WAITING];
    put_copy(&mut value, delivery);
    value
}

pub(super) fn begun(identifier: PacketIdentifier, delivery: &Delivery) -> Vec<u8> {
    let mut value = vec![FORMAT, BEGUN];
    value.put_u16(identifier.get());
    put_copy(&mut value, delivery);
    value
}

pub(super) fn released(identifier: PacketIdentifier) -> Vec<u8> {
    let mut value = vec![FORMAT, RELEASED];
    value.put_u16(identifier.get());
    value
}

fn put_copy(value: &mut Vec<u8>, delivery: &Delivery) {
    value.put_u64(delivery.message.id.0);
    value.put_u8(u8::from(delivery.qos) | u8::from(delivery.retain) << 7);
    put_bytes(value, delivery.shared.as_ref().map_or(&[], TopicFilter::as_bytes));
    for identifier in &delivery.identifiers {
        value.put_u32(identifier.get());
    }
}

/// The filter of the last Shared Subscription that was served.
pub(super) fn distribution(after: Option<&TopicFilter>) -> Vec<u8> {
    let mut value = vec![FORMAT];
    value.put_slice(after.map_or(&[], TopicFilter::as_bytes));
    value
}

/// The last Session that was served; 0 for none, which no Session has.
pub(super) fn routing(after: Option<SessionKey>) -> Vec<u8> {
    let mut value = vec![FORMAT];
    value.put_u64(after.map_or(0, |SessionKey(key)| key));
    value
}

pub(super) fn ended(client_id: &Utf8String) -> Vec<u8> {
    let mut value = vec![FORMAT];
    value.put_slice(client_id.as_bytes());
    value
}

/// Identifier, times, publisher and user of the message, followed by a PUBLISH with the rest.
pub(super) fn message(message: &Message) -> Vec<u8> {
    let mut value = vec![if message.user.is_some() { FORMAT_WITH_USER } else { FORMAT }];
    value.put_u64(message.id.0);
    put_instant(&mut value, message.expiry.map(|expiry| expiry.since));
    value.put_u32(message.expiry.map_or(0, |expiry| expiry.interval));
    put_bytes(&mut value, message.publisher.as_bytes());
    if let Some(user) = &message.user {
        put_bytes(&mut value, user.as_bytes());
    }
    let id = PacketIdentifier::MIN;
    let delivery = match message.qos {
        QoS::AtMostOnce => codec::Delivery::AtMostOnce,
        QoS::AtLeastOnce => codec::Delivery::AtLeastOnce { id, dup: false },
        QoS::ExactlyOnce => codec::Delivery::ExactlyOnce { id, dup: false },
    };
    let publish = Publish {
        topic: Some(message.topic.clone()),
        delivery,
        retain: message.retain,
        properties: message.properties.clone(),
        payload: message.payload.clone(),
    };
    put_packet(&mut value, &Packet::from(publish));
    value
}

/// Everything that the broker holds was received in a packet, so it fits in one.
fn put_packet(value: &mut Vec<u8>, packet: &Packet) {
    let mut encoded = BytesMut::new();
    if packet.encode(Version::V5, &mut encoded).is_ok() {
        value.put_slice(&encoded);
    }
}

/// Nanoseconds since the driver's epoch; all ones for none.
fn put_instant(value: &mut Vec<u8>, instant: Option<Duration>) {
    let nanos = instant.map(|instant| u64::try_from(instant.as_nanos()).unwrap_or(u64::MAX - 1));
    value.put_u64(nanos.unwrap_or(u64::MAX));
}

fn put_bytes(value: &mut Vec<u8>, bytes: &[u8]) {
    // Strings of MQTT have at most 65,535 bytes.
    value.put_u16(u16::try_from(bytes.len()).unwrap_or(u16::MAX));
    value.put_slice(bytes);
}

/// Reads a record; `None` if this broker cannot have written it.
pub(super) fn read(key: Vec<u8>, value: Vec<u8>) -> Option<Record> {
    let (mut key, mut value) = (Bytes::from(key), Bytes::from(value));
    let kind = key.try_get_u8().ok()?;
    let with_user = match (kind, value.try_get_u8().ok()?) {
        (_, FORMAT) => false,
        (MESSAGE | RETAINED, FORMAT_WITH_USER) => true,
        _ => return None,
    };
    Some(match kind {
        SESSION => Record::Session(read_session_key(&mut key)?, read_session(value)?),
        SUBSCRIPTION => {
            let session = read_session_key(&mut key)?;
            let (filter, subscription) = read_subscription(key, value)?;
            Record::Subscription(session, filter, subscription)
        }
        RECEIVED => Record::Received(read_session_key(&mut key)?, read_identifier(&mut key)?),
        DELIVERY => {
            let session = read_session_key(&mut key)?;
            Record::Delivery(session, Order(key.try_get_u64().ok()?), read_delivery(value)?)
        }
        MESSAGE => Record::Message(read_message(value, with_user)?),
        RETAINED => Record::Retained(read_message(value, with_user)?),
        ROUTING => {
            let id = MessageId(key.try_get_u64().ok()?);
            let after = Some(value.try_get_u64().ok()?).filter(|after| *after > 0);
            Record::Routing(id, after.map(SessionKey))
        }
        ENDED => Record::Ended(read_session_key(&mut key)?, Utf8String::try_from(value).ok()?),
        DISTRIBUTION => Record::Distribution(MessageId(key.try_get_u64().ok()?), read_shared(value)?),
        _ => return None,
    })
}

fn read_session_key(key: &mut Bytes) -> Option<SessionKey> {
    key.try_get_u64().ok().map(SessionKey)
}

fn read_identifier(bytes: &mut Bytes) -> Option<PacketIdentifier> {
    bytes.try_get_u16().ok().and_then(PacketIdentifier::new)
}

/// The outer `Option`: whether the value is long enough.
fn read_instant(value: &mut Bytes) -> Option<Option<Duration>> {
    let nanos = value.try_get_u64().ok()?;
    Some((nanos != u64::MAX).then(|| Duration::from_nanos(nanos)))
}

fn read_bytes(value: &mut Bytes) -> Option<Bytes> {
    let length = usize::from(value.try_get_u16().ok()?);
    (value.len() >= length).then(|| value.split_to(length))
}

fn read_session(mut value: Bytes) -> Option<StoredSession> {
    let recorded = value.try_get_u8().ok()? == 1;
    let expiry_interval = value.try_get_u32().ok()?;
    let ends_at = read_instant(&mut value)?;
    let will_due = read_instant(&mut value)?;
    let Packet::Connect(connect) = codec::decode(&value, Version::V5).ok()? else { return None };
    let Connect { client_id, user_name: owner, will, .. } = *connect;
    Some(StoredSession { client_id, owner, recorded, expiry_interval, ends_at, will, will_due })
}

fn read_subscription(filter: Bytes, mut value: Bytes) -> Option<(TopicFilter, Subscription)> {
    let options = value.try_get_u8().ok()?;
    let identifier = NonZeroU32::new(value.try_get_u32().ok()?);
    let shared = options & 1 << 7 != 0;
    let version = if shared { Version::V5 } else { Version::V3_1_1 };
    let filter = TopicFilter::new(Utf8String::try_from(filter).ok()?, version).ok()?;
    let granted = Granted {
        qos: QoS::try_from(options & 0b11).ok()?,
        no_local: options & 1 << 2 != 0,
        retain_as_published: options & 1 << 3 != 0,
        identifier,
    };
    Some((filter, Subscription { granted, shared, scan: 0 }))
}

fn read_delivery(mut value: Bytes) -> Option<StoredDelivery> {
    Some(match value.try_get_u8().ok()? {
        WAITING => StoredDelivery::Waiting(read_copy(value)?),
        BEGUN => {
            let identifier = read_identifier(&mut value)?;
            StoredDelivery::Begun(identifier, read_copy(value)?)
        }
        RELEASED => StoredDelivery::Released(read_identifier(&mut value)?),
        _ => return None,
    })
}

fn read_copy(mut value: Bytes) -> Option<StoredCopy> {
    let message = MessageId(value.try_get_u64().ok()?);
    let flags = value.try_get_u8().ok()?;
    let shared = read_bytes(&mut value).and_then(read_shared)?;
    let mut identifiers = Vec::new();
    while !value.is_empty() {
        identifiers.push(NonZeroU32::new(value.try_get_u32().ok()?)?);
    }
    let qos = QoS::try_from(flags & 0b11).ok()?;
    Some(StoredCopy { message, qos, retain: flags & 1 << 7 != 0, identifiers, shared })
}

/// A filter with ShareName; none if there are no bytes. The outer `Option`: whether it is valid.
fn read_shared(filter: Bytes) -> Option<Option<TopicFilter>> {
    if filter.is_empty() {
        return Some(None);
    }
    TopicFilter::try_from(Utf8String::try_from(filter).ok()?).ok().map(Some)
}

fn read_message(mut value: Bytes, with_user: bool) -> Option<Message> {
    let id = MessageId(value.try_get_u64().ok()?);
    let since = read_instant(&mut value)?;
    let interval = value.try_get_u32().ok()?;
    let publisher = Utf8String::try_from(read_bytes(&mut value)?).ok()?;
    let user = if with_user { Some(Utf8String::try_from(read_bytes(&mut value)?).ok()?) } else { None };
    let Packet::Publish(publish) = codec::decode(&value, Version::V5).ok()? else { return None };
    Some(Message {
        id,
        publisher,
        user,
        charge: Charge::default(),
        topic: publish.topic?,
        qos: publish.delivery.qos(),
        retain: publish.retain,
        properties: publish.properties,
        expiry: since.map(|since| Expiry { interval, since }),
        payload: publish.payload,
    })
}
