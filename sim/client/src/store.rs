//! Session State as records for a store (§4.1: it outlives the Network Connection, and here the
//! process too).
//!
//! Keys start with a letter: `c` for the Session itself, `p` for a message to publish, `r` for the
//! Packet Identifier of a received QoS 2 message, `s` for a subscription, `o` for a delivery in the
//! outbox, `n` for the number of the next one, `h` for one that has ended, `t` for their counts, `d`
//! for a received delivery, `x` for a damaged record that was set aside (followed by its key).
//! Packets in values are in the format of 5.0, which can express all versions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use mqttspec_codec::{
    Delivery, NonEmpty, Packet, PacketIdentifier, Properties, Publish, QoS, Subscribe, Subscription,
    SubscriptionIdentifier, TopicFilter, TopicName, Utf8String, Version, decode,
};

use crate::command::{Handle, Publication};
use crate::envelope::checksum;
use crate::outbox::{DeliveryState, EndedDelivery, OutboxEntry};
use crate::restore::RestoreError;
use crate::session::Phase;

/// A record that was read.
#[derive(Debug, PartialEq)]
pub(crate) enum Record {
    Session(SessionRecord),
    Publication(Handle, PublicationRecord),
    Received(PacketIdentifier),
    Subscription(Subscription, Properties<Subscribe>),
    Delivery(OutboxEntry),
    NextDelivery(u64),
    Seen(String, u64),
    Totals(BTreeMap<DeliveryState, (u64, u64)>),
    Ended(u64, EndedDelivery),
    SetAside,
}

/// The record of the Session itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SessionRecord {
    pub(crate) client_id: Utf8String,
    pub(crate) expiry: u32,
    pub(crate) ends_at: Option<Duration>,
    pub(crate) subscription_identifiers: BTreeSet<SubscriptionIdentifier>,
}

/// A message to publish that waits or is in flight.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct PublicationRecord {
    pub(crate) publication: Publication,
    pub(crate) qos: QoS,
    pub(crate) accepted_at: Duration,
    /// `None` while it waits.
    pub(crate) exchange: Option<(PacketIdentifier, Phase)>,
}

pub(crate) fn session_key() -> Vec<u8> {
    b"c".to_vec()
}

pub(crate) fn publication_key(handle: Handle) -> Vec<u8> {
    [b"p".as_slice(), &handle.0.to_be_bytes()].concat()
}

pub(crate) fn received_key(identifier: PacketIdentifier) -> Vec<u8> {
    [b"r".as_slice(), &identifier.get().to_be_bytes()].concat()
}

pub(crate) fn subscription_key(filter: &TopicFilter) -> Vec<u8> {
    [b"s".as_slice(), filter.as_bytes()].concat()
}

pub(crate) fn delivery_key(handle: Handle) -> Vec<u8> {
    [b"o".as_slice(), &handle.0.to_be_bytes()].concat()
}

pub(crate) fn next_delivery_key() -> Vec<u8> {
    b"n".to_vec()
}

pub(crate) fn seen_key(id: &str) -> Vec<u8> {
    [b"d".as_slice(), id.as_bytes()].concat()
}

pub(crate) fn totals_key() -> Vec<u8> {
    b"t".to_vec()
}

pub(crate) fn ended_key(number: u64) -> Vec<u8> {
    [b"h".as_slice(), &number.to_be_bytes()].concat()
}

/// Where a damaged record with this key is kept.
pub(crate) fn set_aside_key(key: &[u8]) -> Vec<u8> {
    [b"x".as_slice(), key].concat()
}

pub(crate) fn totals_value(totals: &BTreeMap<DeliveryState, (u64, u64)>) -> Vec<u8> {
    let mut value = Vec::new();
    for state in DeliveryState::ALL {
        let (count, retries) = totals.get(&state).copied().unwrap_or_default();
        value.extend_from_slice(&count.to_be_bytes());
        value.extend_from_slice(&retries.to_be_bytes());
    }
    value
}

pub(crate) fn ended_value(ended: &EndedDelivery) -> Vec<u8> {
    let state = DeliveryState::ALL.iter().position(|state| *state == ended.state).unwrap_or_default();
    let mut value = vec![u8::try_from(state).unwrap_or_default(), ended.by.is_some().into()];
    value.extend_from_slice(&ended.handle.0.to_be_bytes());
    value.extend_from_slice(&ended.retries.to_be_bytes());
    put_time(&mut value, Some(ended.created_at));
    put_time(&mut value, Some(ended.ended_at));
    for text in [&ended.id, ended.topic.as_str(), ended.by.as_deref().unwrap_or_default()] {
        // Ids, topics and Client Identifiers have at most 65,535 bytes; a longer text is cut off.
        let text = &text.as_bytes()[..text.len().min(usize::from(u16::MAX))];
        value.extend_from_slice(&u16::try_from(text.len()).unwrap_or(u16::MAX).to_be_bytes());
        value.extend_from_slice(text);
    }
    value
}

pub(crate) fn session_value(record: &SessionRecord) -> Vec<u8> {
    let mut value = record.expiry.to_be_bytes().to_vec();
    put_time(&mut value, record.ends_at);
    value.extend_from_slice(
        &u32::try_from(record.subscription_identifiers.len()).unwrap_or(u32::MAX).to_be_bytes(),
    );
    for identifier in &record.subscription_identifiers {
        value.extend_from_slice(&identifier.get().to_be_bytes());
    }
    value.extend_from_slice(record.client_id.as_bytes());
    value
}

/// `None` if the message is larger than any packet, so that it cannot be sent either.
pub(crate) fn publication_value(record: &PublicationRecord) -> Option<Vec<u8>> {
    let (identifier, phase) =
        record.exchange.map_or((0, None), |(identifier, phase)| (identifier.get(), Some(phase)));
    let (phase, order) = match phase {
        None => (0, 0),
        Some(Phase::Published) => (1, 0),
        Some(Phase::Released(order)) => (2, order),
        Some(Phase::Abandoned) => (3, 0),
    };
    let mut value = vec![phase, record.qos.into()];
    value.extend_from_slice(&identifier.to_be_bytes());
    value.extend_from_slice(&u64::to_be_bytes(order));
    put_time(&mut value, Some(record.accepted_at));
    put_message(&mut value, &record.publication)?;
    Some(value)
}

/// `None` as for [`publication_value`].
pub(crate) fn delivery_value(entry: &OutboxEntry) -> Option<Vec<u8>> {
    let sent = u8::from(entry.state == DeliveryState::Sent);
    let mut value = vec![sent, entry.qos.into()];
    value.extend_from_slice(&entry.retries.to_be_bytes());
    value.extend_from_slice(&entry.attempt.map_or(0, |attempt| attempt.0).to_be_bytes());
    value.extend_from_slice(&entry.retries_max.to_be_bytes());
    for time in [Some(entry.created_at), Some(entry.updated_at), Some(entry.expires_at), entry.retry_at] {
        put_time(&mut value, time);
    }
    for text in [&entry.id, &entry.checksum] {
        value.extend_from_slice(&u16::try_from(text.len()).ok()?.to_be_bytes());
        value.extend_from_slice(text.as_bytes());
    }
    put_message(&mut value, &entry.publication)?;
    Some(value)
}

pub(crate) fn subscription_value(
    subscription: &Subscription,
    properties: &Properties<Subscribe>,
) -> Option<Vec<u8>> {
    let mut value = Vec::new();
    let packet = Packet::from(Subscribe {
        id: PacketIdentifier::MIN,
        properties: properties.clone(),
        subscriptions: NonEmpty::one(subscription.clone()),
    });
    put_packet(&mut value, &packet)?;
    Some(value)
}

/// # Errors
/// If this module cannot have written the record.
pub(crate) fn read(key: &[u8], value: &[u8]) -> Result<Record, RestoreError> {
    let unreadable = || RestoreError::Unreadable(key.to_vec());
    match key.split_first() {
        Some((b'c', [])) => read_session(value).ok_or_else(unreadable),
        Some((b'p', handle)) => {
            let handle = handle.try_into().map(u64::from_be_bytes).map_err(|_| unreadable())?;
            Ok(Record::Publication(Handle(handle), read_publication(value).ok_or_else(unreadable)?))
        }
        Some((b'r', identifier)) => {
            let identifier = identifier.try_into().map(u16::from_be_bytes).map_err(|_| unreadable())?;
            PacketIdentifier::new(identifier).map(Record::Received).ok_or_else(unreadable)
        }
        Some((b'o', handle)) => {
            let handle = handle.try_into().map(u64::from_be_bytes).map_err(|_| unreadable())?;
            let entry = read_delivery(Handle(handle), value).ok_or_else(unreadable)?;
            if checksum(&entry.publication.topic, &entry.publication.payload) != entry.checksum {
                return Err(RestoreError::DeliveryDamaged(entry.id));
            }
            Ok(Record::Delivery(entry))
        }
        Some((b'n', [])) => value
            .try_into()
            .map(|number| Record::NextDelivery(u64::from_be_bytes(number)))
            .map_err(|_| unreadable()),
        Some((b'd', id)) => {
            let id = String::from_utf8(id.to_vec()).map_err(|_| unreadable())?;
            let number = value.try_into().map(u64::from_be_bytes).map_err(|_| unreadable())?;
            Ok(Record::Seen(id, number))
        }
        Some((b't', [])) => read_totals(value).ok_or_else(unreadable),
        Some((b'h', number)) => {
            let number = number.try_into().map(u64::from_be_bytes).map_err(|_| unreadable())?;
            Ok(Record::Ended(number, read_ended(value).ok_or_else(unreadable)?))
        }
        Some((b'x', _)) => Ok(Record::SetAside),
        Some((b's', _)) => read_subscription(value).ok_or_else(unreadable),
        _ => Err(RestoreError::UnknownKey(key.to_vec())),
    }
}

fn read_session(mut value: &[u8]) -> Option<Record> {
    let input = &mut value;
    let expiry = u32::from_be_bytes(take(input)?);
    let ends_at = take_time(input)?;
    let count = u32::from_be_bytes(take(input)?);
    let mut subscription_identifiers = BTreeSet::new();
    for _ in 0..count {
        subscription_identifiers.insert(SubscriptionIdentifier::new(u32::from_be_bytes(take(input)?))?);
    }
    let client_id = Utf8String::try_from(Bytes::copy_from_slice(input)).ok()?;
    Some(Record::Session(SessionRecord { client_id, expiry, ends_at, subscription_identifiers }))
}

fn read_publication(mut value: &[u8]) -> Option<PublicationRecord> {
    let input = &mut value;
    let [phase, qos] = take(input)?;
    let qos = QoS::try_from(qos).ok()?;
    let identifier = PacketIdentifier::new(u16::from_be_bytes(take(input)?));
    let order = u64::from_be_bytes(take(input)?);
    let exchange = match phase {
        0 => None,
        1 => Some((identifier?, Phase::Published)),
        2 => Some((identifier?, Phase::Released(order))),
        3 => Some((identifier?, Phase::Abandoned)),
        _ => return None,
    };
    let accepted_at = take_time(input)??;
    let publication = take_message(input, qos)?;
    Some(PublicationRecord { publication, qos, accepted_at, exchange })
}

fn read_delivery(handle: Handle, mut value: &[u8]) -> Option<OutboxEntry> {
    let input = &mut value;
    let [sent, qos] = take(input)?;
    let qos = QoS::try_from(qos).ok()?;
    let retries = u32::from_be_bytes(take(input)?);
    let attempt = u64::from_be_bytes(take(input)?);
    let retries_max = u32::from_be_bytes(take(input)?);
    let (created_at, updated_at) = (take_time(input)??, take_time(input)??);
    let (expires_at, retry_at) = (take_time(input)??, take_time(input)?);
    let (id, checksum) = (take_text(input)?, take_text(input)?);
    Some(OutboxEntry {
        handle,
        id,
        publication: take_message(input, qos)?,
        qos,
        state: if sent == 1 { DeliveryState::Sent } else { DeliveryState::Pending },
        created_at,
        updated_at,
        expires_at,
        retries,
        retries_max,
        checksum,
        attempt: (attempt != 0).then_some(Handle(attempt)),
        retry_at,
    })
}

fn read_totals(mut value: &[u8]) -> Option<Record> {
    let input = &mut value;
    let mut totals = BTreeMap::new();
    for state in DeliveryState::ALL {
        let counts = (u64::from_be_bytes(take(input)?), u64::from_be_bytes(take(input)?));
        if counts.0 > 0 {
            totals.insert(state, counts);
        }
    }
    input.is_empty().then_some(Record::Totals(totals))
}

fn read_ended(mut value: &[u8]) -> Option<EndedDelivery> {
    let input = &mut value;
    let [state, has_by] = take(input)?;
    let state = *DeliveryState::ALL.get(usize::from(state))?;
    let (handle, retries) = (u64::from_be_bytes(take(input)?), u32::from_be_bytes(take(input)?));
    let (created_at, ended_at) = (take_time(input)??, take_time(input)??);
    let (id, topic, by) = (take_text(input)?, take_text(input)?, take_text(input)?);
    Some(EndedDelivery {
        handle: Handle(handle),
        id,
        topic: TopicName::try_from(topic).ok()?,
        state,
        created_at,
        ended_at,
        retries,
        by: (has_by == 1).then_some(by),
    })
}

fn read_subscription(mut value: &[u8]) -> Option<Record> {
    let Packet::Subscribe(subscribe) = take_packet(&mut value)? else { return None };
    Some(Record::Subscription(subscribe.subscriptions.first().clone(), subscribe.properties))
}

fn put_message(value: &mut Vec<u8>, publication: &Publication) -> Option<()> {
    let packet = Packet::from(Publish {
        topic: Some(publication.topic.clone()),
        delivery: Delivery::AtMostOnce,
        retain: publication.retain,
        properties: publication.properties.clone(),
        payload: publication.payload.clone(),
    });
    put_packet(value, &packet)
}

fn take_message(input: &mut &[u8], qos: QoS) -> Option<Publication> {
    let Packet::Publish(publish) = take_packet(input)? else { return None };
    Some(Publication {
        topic: publish.topic?,
        payload: publish.payload,
        qos: Some(qos),
        retain: publish.retain,
        properties: publish.properties,
    })
}

fn take_text(input: &mut &[u8]) -> Option<String> {
    let length = usize::from(u16::from_be_bytes(take(input)?));
    let (text, rest) = input.split_at_checked(length)?;
    *input = rest;
    String::from_utf8(text.to_vec()).ok()
}

fn put_packet(value: &mut Vec<u8>, packet: &Packet) -> Option<()> {
    let mut encoded = BytesMut::new();
    packet.encode(Version::V5, &mut encoded).ok()?;
    value.extend_from_slice(&encoded);
    Some(())
}

fn take_packet(input: &mut &[u8]) -> Option<Packet> {
    decode(&Bytes::copy_from_slice(std::mem::take(input)), Version::V5).ok()
}

fn put_time(value: &mut Vec<u8>, time: Option<Duration>) {
    let nanoseconds = time.map_or(u64::MAX, |time| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX - 1));
    value.extend_from_slice(&nanoseconds.to_be_bytes());
}

fn take_time(input: &mut &[u8]) -> Option<Option<Duration>> {
    let nanoseconds = u64::from_be_bytes(take(input)?);
    Some((nanoseconds != u64::MAX).then(|| Duration::from_nanos(nanoseconds)))
}

fn take<const N: usize>(input: &mut &[u8]) -> Option<[u8; N]> {
    let (head, rest) = input.split_first_chunk()?;
    *input = rest;
    Some(*head)
}
