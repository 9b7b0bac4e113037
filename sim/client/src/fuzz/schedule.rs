//! Interprets bytes as a schedule, and runs it.

use std::collections::BTreeMap;
use std::num::{NonZeroU16, NonZeroU32};
use std::time::Duration;

use bytes::BytesMut;
use mqttspec_codec::{
    BinaryData, ConnAck, ConnectReason, Decoder, Delivery, Disconnect, DisconnectReason, MaximumPacketSize,
    MaximumQoS, Packet, PacketIdentifier, PubAck, PubAckReason, PubComp, PubRec, PubRel, Publish, QoS,
    ReceiveMaximum, Role, SubAck, SubAckReason, Subscription, SubscriptionIdentifier, TopicAlias,
    TopicAliasMaximum, TopicFilter, TopicName, UnsubAck, UnsubAckReason, Utf8String, Version,
};

use super::watch::{Link, Watch};
use crate::{
    Acknowledgement, Authentication, Client, Command, Delivered, DisconnectRequest, Options, Publication,
    QueuePolicy, SessionLostPolicy, State, SubscribeRequest, Transmit, UnsubscribeRequest,
};

/// Runs the schedule. Returns the number of its steps.
///
/// # Panics
/// If the client does anything wrong.
pub fn run(input: &[u8]) -> u64 {
    let mut bytes = Bytes(input);
    let options = options(&mut bytes);
    let mut play = Play {
        watch: Watch::new(options.version),
        client: Client::new(options, 1),
        store: BTreeMap::new(),
        now: Duration::ZERO,
        decoder: Decoder::new(Role::Client),
    };
    let mut steps = 0;
    while let Some(step) = bytes.next() {
        play.step(step, &mut bytes);
        steps += 1;
    }
    steps
}

/// The input, followed by zeros.
struct Bytes<'a>(&'a [u8]);

impl Bytes<'_> {
    fn next(&mut self) -> Option<u8> {
        let (&first, rest) = self.0.split_first()?;
        self.0 = rest;
        Some(first)
    }

    fn byte(&mut self) -> u8 {
        self.next().unwrap_or(0)
    }

    fn pick<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    fn take(&mut self, length: usize) -> &[u8] {
        let (head, rest) = self.0.split_at(length.min(self.0.len()));
        self.0 = rest;
        head
    }
}

fn options(bytes: &mut Bytes<'_>) -> Options {
    let flags = bytes.byte();
    let bit = |bit: u32| flags & 1 << bit != 0;
    Options {
        version: bytes.pick(&Version::ALL),
        client_id: Utf8String::from_static("fuzz"),
        clean_start: Some(bit(0)),
        topic_aliases: bit(1),
        acknowledgement: if bit(2) { Acknowledgement::Manual } else { Acknowledgement::Automatic },
        acknowledge_deliveries: bit(3),
        reconnect: bit(4),
        request_problem_information: bit(5),
        resubscribe: bit(6),
        session_expiry: if bit(7) { 0 } else { 100 },
        receive_maximum: bytes.pick(&[NonZeroU16::MIN, NonZeroU16::MAX]),
        topic_alias_maximum: bytes.pick(&[0, 2]),
        publish_queue_size: bytes.pick(&[0, 1, 3, 1000]),
        queue_policy: bytes.pick(&[QueuePolicy::Refuse, QueuePolicy::DropOldest, QueuePolicy::DropNewest]),
        session_lost: bytes.pick(&[
            SessionLostPolicy::RepublishAtLeastOnce,
            SessionLostPolicy::Republish,
            SessionLostPolicy::Fail,
        ]),
        keep_alive: bytes.pick(&[0, 1, 60]),
        ..Options::default()
    }
}

struct Play {
    client: Client,
    watch: Watch,
    store: BTreeMap<Vec<u8>, Vec<u8>>,
    now: Duration,
    decoder: Decoder,
}

impl Play {
    fn step(&mut self, step: u8, bytes: &mut Bytes<'_>) {
        match step % 16 {
            // A client that gets Connect commands all the time makes no progress.
            0 if step & 0x80 != 0 || matches!(self.client.state(), State::Disconnected | State::Failed) => {
                self.connect(bytes);
            }
            1..=3 => {
                let command = command(step, bytes);
                self.client.handle_command(self.now, command);
            }
            0 | 4 | 5 => match self.watch.link {
                Link::Dialling if step & 0xc0 != 0xc0 => self.open(bytes),
                Link::Dialling => {
                    self.watch.closed();
                    self.client.handle_dial_failed(self.now, crate::Unreachable::ConnectionRefused);
                }
                _ => {}
            },
            6 if step & 0x80 != 0 && matches!(self.watch.link, Link::Open { .. }) => {
                self.watch.closed();
                self.client.handle_closed(self.now);
            }
            7 if step & 0xc0 == 0xc0 => self.crash(),
            8 | 9 => self.let_time_run(bytes),
            10 => self.bytes_arrive(bytes),
            11 | 12 => {
                let packet = packet(bytes, self.client.version());
                self.arrives(packet);
            }
            _ => {
                let packet = self.watch.answer(usize::from(bytes.byte()));
                self.arrives(packet);
            }
        }
        self.drive();
    }

    fn connect(&mut self, bytes: &mut Bytes<'_>) {
        let mut options = self.client.options().clone();
        let change = bytes.byte();
        if change & 1 != 0 {
            options.clean_start = Some(change & 2 != 0);
            options.client_id = Utf8String::from_static(if change & 4 != 0 { "other" } else { "fuzz" });
        }
        if change & 0x18 == 0x18 && options.version.is_5() {
            options.authentication = Authentication::ScramSha256;
            options.user_name = Some(Utf8String::from_static("u"));
            options.password = Some(BinaryData::from_static(b"p"));
        }
        self.client.handle_command(self.now, Command::Connect(Some(Box::new(options))));
        self.watch.version(self.client.version());
    }

    fn open(&mut self, bytes: &mut Bytes<'_>) {
        self.watch.opened();
        self.decoder = Decoder::new(Role::Client);
        self.decoder.set_version(self.client.version());
        self.client.handle_opened(self.now);
        // Otherwise most schedules would have no CONNACK.
        let flags = bytes.byte();
        if flags & 1 != 0 {
            self.drive();
            self.arrives(Some(connack(flags, self.client.version()).into()));
        }
    }

    fn arrives(&mut self, packet: Option<Packet>) {
        let open = matches!(self.watch.link, Link::Open { .. });
        let Some(packet) = packet.and_then(|packet| packet.fitted_to(self.client.version())) else { return };
        if open {
            self.client.handle_packet(self.now, packet.clone());
            self.drive_after(Some(&packet));
        }
    }

    fn bytes_arrive(&mut self, bytes: &mut Bytes<'_>) {
        let length = usize::from(bytes.byte());
        let mut stream = BytesMut::from(bytes.take(length));
        while matches!(self.watch.link, Link::Open { .. }) {
            match self.decoder.decode(&mut stream) {
                Ok(Some(packet)) => {
                    self.client.handle_packet(self.now, packet.clone());
                    self.drive_after(Some(&packet));
                }
                Ok(None) => break,
                Err(error) => {
                    self.client.handle_malformed(self.now, &error);
                    self.drive();
                    break;
                }
            }
        }
    }

    fn let_time_run(&mut self, bytes: &mut Bytes<'_>) {
        let idle = bytes.byte();
        if idle & 1 == 0 {
            self.now += Duration::from_secs(idle.into());
            self.client.handle_timeout(self.now);
            return;
        }
        let Some(at) = self.client.poll_timeout() else { return };
        self.now = self.now.max(at);
        self.client.handle_timeout(self.now);
        self.drive();
        assert!(
            self.client.poll_timeout().is_none_or(|next| next > self.now),
            "a deadline that does not pass"
        );
    }

    fn crash(&mut self) {
        self.watch.crashed();
        let options = self.client.options().clone();
        self.client = Client::restore(options, 2, self.now, self.store.clone());
        let set_aside = self.client.statistics().records_set_aside;
        assert_eq!(set_aside, 0, "its own records");
    }

    fn drive(&mut self) {
        self.drive_after(None);
    }

    /// Processes the outputs of the client, after this packet if there is one.
    fn drive_after(&mut self, packet: Option<&Packet>) {
        while let Some(event) = self.client.poll_event() {
            self.watch.event(&event);
        }
        for change in self.client.take_changes() {
            change.apply(&mut self.store);
        }
        let transmits: Vec<_> = std::iter::from_fn(|| self.client.poll_transmit()).collect();
        // A packet that the client answers with a close has no other effect.
        if let Some(packet) = packet.filter(|_| !transmits.contains(&Transmit::Close)) {
            self.watch.server_sends(packet);
        }
        for transmit in transmits {
            self.watch.transmit(&transmit);
            if let Transmit::Packet { packet, .. } = &transmit {
                let mut out = BytesMut::new();
                assert!(packet.encode(self.client.version(), &mut out).is_ok(), "{packet:?}");
            }
        }
    }
}

const TOPICS: [&str; 4] = ["a", "a/b", "delivery/ack/fuzz-1-0", "response/fuzz"];

fn topic(bytes: &mut Bytes<'_>) -> TopicName {
    TopicName::from_static(bytes.pick(&TOPICS))
}

fn publication(bytes: &mut Bytes<'_>) -> Publication {
    let mut publication = Publication::new(topic(bytes), vec![b'x'; usize::from(bytes.byte())]);
    publication.qos =
        bytes.pick(&[None, Some(QoS::AtMostOnce), Some(QoS::AtLeastOnce), Some(QoS::ExactlyOnce)]);
    publication.retain = bytes.byte() & 1 != 0;
    if bytes.byte() == 1 {
        publication.properties.set(mqttspec_codec::MessageExpiryInterval(bytes.byte().into()));
    }
    publication
}

fn command(step: u8, bytes: &mut Bytes<'_>) -> Command {
    let filter =
        |bytes: &mut Bytes<'_>| TopicFilter::from_static(bytes.pick(&["a", "a/#", "$share/g/a", "+/b"]));
    match step / 16 {
        0..=5 => Command::Publish(publication(bytes)),
        6..=8 => {
            let mut request = SubscribeRequest {
                subscriptions: vec![Subscription::new(filter(bytes), QoS::ExactlyOnce)],
                properties: Default::default(),
            };
            if bytes.byte() == 1 {
                request.properties.set(SubscriptionIdentifier::MIN);
            }
            Command::Subscribe(request)
        }
        9 => Command::Unsubscribe(UnsubscribeRequest {
            filters: vec![filter(bytes)],
            properties: Default::default(),
        }),
        10 | 11 => Command::Acknowledge {
            message: Delivered(bytes.byte().into()),
            reason: bytes.pick(&[PubAckReason::Success, PubAckReason::QuotaExceeded]),
        },
        12 => Command::Request { publication: publication(bytes), response_topic: None, timeout: None },
        13 => match bytes.byte() % 8 {
            0 => Command::Disconnect(DisconnectRequest::default()),
            1 => Command::Reauthenticate,
            _ => Command::Deliver(publication(bytes).into()),
        },
        _ => Command::Deliver(publication(bytes).into()),
    }
}

fn connack(flags: u8, version: Version) -> ConnAck {
    let mut connack = ConnAck::accepted(flags & 2 != 0 && version != Version::V3_1);
    if flags & 0xf0 == 0xf0 {
        connack = ConnAck::refused(ConnectReason::ServerUnavailable);
    }
    if version.is_5() {
        if flags & 4 != 0 {
            connack = connack.with(ReceiveMaximum(NonZeroU16::MIN)).with(TopicAliasMaximum(1));
        }
        if flags & 8 != 0 {
            connack = connack.with(MaximumPacketSize(NonZeroU32::MIN.saturating_add(39)));
        }
        if flags & 16 != 0 {
            connack = connack.with(MaximumQoS::AtLeastOnce);
        }
    }
    connack
}

/// A packet of a Server, valid or not.
fn packet(bytes: &mut Bytes<'_>, version: Version) -> Option<Packet> {
    let kind = bytes.byte();
    let id = PacketIdentifier::new(u16::from(bytes.byte() % 8) + 1)?;
    let refuses = kind & 0x80 != 0 && version.is_5();
    let reason = if refuses { PubAckReason::QuotaExceeded } else { PubAckReason::Success };
    Some(match kind % 12 {
        0 => PubAck::new(id, reason).into(),
        1 => PubRec::new(id, reason).into(),
        2 => PubRel::success(id).into(),
        3 => PubComp::success(id).into(),
        4 => SubAck::new(
            id,
            [if kind & 0x80 != 0 { SubAckReason::UnspecifiedError } else { SubAckReason::GrantedQoS2 }],
        )
        .into(),
        5 if version.is_5() => UnsubAck::new(id, [UnsubAckReason::Success]).into(),
        5 => UnsubAck::new(id, []).into(),
        6 => Packet::PingResp,
        7 => connack(bytes.byte(), version).into(),
        8 => Disconnect::new(bytes.pick(&[DisconnectReason::ServerBusy, DisconnectReason::SessionTakenOver]))
            .into(),
        _ => {
            let dup = kind & 0x40 != 0;
            let delivery = bytes.pick(&[
                Delivery::AtMostOnce,
                Delivery::AtLeastOnce { id, dup },
                Delivery::ExactlyOnce { id, dup },
            ]);
            let mut publish = Publish { delivery, ..Publish::new(topic(bytes), "payload") };
            let alias = bytes.byte();
            if alias != 0 && version.is_5() {
                publish.properties.set(TopicAlias(NonZeroU16::MIN.saturating_add((alias % 3).into())));
                publish.topic = publish.topic.filter(|_| alias & 0x80 == 0);
            }
            publish.into()
        }
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::run;

    proptest! {
        #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

        #[test]
        fn any_schedule_is_played_without_a_misdeed(input in prop::collection::vec(any::<u8>(), 0..600)) {
            run(&input);
        }
    }

    #[test]
    fn the_corpus_is_played_without_a_misdeed() {
        let corpus = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/corpus/client");
        let inputs = std::fs::read_dir(corpus).expect("fuzz/corpus/client");
        let mut played = 0;
        for input in inputs {
            run(&std::fs::read(input.expect("an entry").path()).expect("a file"));
            played += 1;
        }
        assert!(played > 0, "an empty corpus");
    }
}
