//! Bytes that are read as choices. After their end, every choice is 0.

use std::num::{NonZeroU16, NonZeroU32};

use bytes::Bytes;
use mqttspec_codec::*;

const CLIENT_IDS: [&str; 5] = ["a", "b", "c", "", "not alphanumeric!"];
const TOPICS: [&str; 7] = ["a", "a/b", "a/b/c", "/", "$SYS/a", "b", "a//c"];
const FILTERS: [&str; 12] =
    ["a", "a/+", "a/#", "#", "+", "+/+", "$SYS/#", "$share/g/a", "$share/g/#", "$share/h/a/+", "/", "a//c"];

pub(super) struct Input<'a>(&'a [u8]);

impl<'a> Input<'a> {
    pub(super) const fn new(bytes: &'a [u8]) -> Self {
        Self(bytes)
    }

    pub(super) const fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn byte(&mut self) -> u8 {
        let Some((first, rest)) = self.0.split_first() else { return 0 };
        self.0 = rest;
        *first
    }

    /// A few bytes, unchanged.
    pub(super) fn bytes(&mut self) -> Bytes {
        let length = usize::from(self.byte()).min(self.0.len());
        let (taken, rest) = self.0.split_at(length);
        self.0 = rest;
        Bytes::copy_from_slice(taken)
    }

    fn chance(&mut self, one_in: u8) -> bool {
        self.byte() % one_in == 1
    }

    fn of<T: Copy>(&mut self, choices: &[T]) -> T {
        choices[usize::from(self.byte()) % choices.len()]
    }

    fn id(&mut self) -> PacketIdentifier {
        PacketIdentifier::new(u16::from(self.byte() % 6) + 1).unwrap_or(PacketIdentifier::MIN)
    }

    fn qos(&mut self) -> QoS {
        self.of(&QoS::ALL)
    }

    fn topic(&mut self) -> TopicName {
        TopicName::from_static(self.of(&TOPICS))
    }

    fn payload(&mut self) -> Bytes {
        let length = self.of(&[0, 1, 20, 600]);
        Bytes::from(vec![self.byte(); length])
    }

    /// A packet, usually one that is valid in the current state, and the version to encode it in.
    pub(super) fn packet(&mut self, connected: Option<Version>) -> (Packet, Version) {
        let Some(version) = connected else {
            let connect = self.connect();
            let version = connect.version;
            return (connect.into(), version);
        };
        let packet = match self.byte() % 24 {
            0..=7 => self.publish(version).into(),
            8 => PubAck::new(self.id(), self.pub_ack_reason(version)).into(),
            9 => PubRec::new(self.id(), self.pub_ack_reason(version)).into(),
            10 | 11 => PubRel::success(self.id()).into(),
            12 | 13 => PubComp::success(self.id()).into(),
            14..=16 => self.subscribe(version).into(),
            17 => Unsubscribe::new(self.id(), TopicFilter::from_static(self.of(&FILTERS))).into(),
            18 => Packet::PingReq,
            19 => self.disconnect(version).into(),
            20 => self.auth().into(),
            21 => self.connect().into(),
            22 => PubAck::success(self.id()).into(),
            _ => PubRec::success(self.id()).into(),
        };
        (packet, version)
    }

    fn connect(&mut self) -> Connect {
        let version = self.of(&[Version::V5, Version::V5, Version::V5, Version::V3_1_1, Version::V3_1]);
        let mut connect = Connect::new(version, Utf8String::from_static(self.of(&CLIENT_IDS)));
        connect.clean_start = self.chance(3);
        connect.keep_alive = self.of(&[0, 1, 10]);
        if self.chance(3) {
            connect.will = Some(self.will(version));
        }
        if self.chance(4) {
            connect.user_name = Some(Utf8String::from_static(self.of(&["u", "v", "w"])));
            connect.password = Some(BinaryData::from_static(self.of(&[b"p", b"q"])));
        }
        if version.is_5() {
            connect = connect.with(SessionExpiryInterval(self.of(&[0, 5, 1000, u32::MAX])));
            if self.chance(2) {
                connect = connect.with(ReceiveMaximum(self.of(&[NonZeroU16::MIN, NonZeroU16::MAX])));
            }
            if self.chance(4) {
                let size = NonZeroU32::new(u32::from(self.byte()));
                connect = size.map_or(connect.clone(), |size| connect.with(MaximumPacketSize(size)));
            }
            if self.chance(3) {
                connect = connect.with(TopicAliasMaximum(u16::from(self.byte() % 4)));
            }
            if self.chance(3) {
                connect = connect.with(RequestProblemInformation(false));
            }
            if self.chance(8) {
                connect = connect.with(method()).with(AuthenticationData(self.scram()));
            }
        }
        connect
    }

    fn will(&mut self, version: Version) -> Will {
        let payload = BinaryData::try_from(self.payload()).unwrap_or_default();
        let (topic, qos, retain) = (self.topic(), self.qos(), self.chance(2));
        let mut properties = Properties::new();
        if version.is_5() && self.chance(2) {
            properties.set(WillDelayInterval(self.of(&[1, 5, 2000])));
        }
        if version.is_5() && self.chance(3) {
            properties.set(MessageExpiryInterval(u32::from(self.byte() % 4)));
        }
        Will { topic, payload, qos, retain, properties }
    }

    fn publish(&mut self, version: Version) -> Publish {
        let mut publish = Publish::new(self.topic(), self.payload());
        let id = self.id();
        let dup = self.chance(4);
        publish.delivery = match self.qos() {
            QoS::AtMostOnce => Delivery::AtMostOnce,
            QoS::AtLeastOnce => Delivery::AtLeastOnce { id, dup },
            QoS::ExactlyOnce => Delivery::ExactlyOnce { id, dup },
        };
        publish.retain = self.chance(3);
        if version.is_5() {
            if self.chance(3) {
                publish = publish.with(MessageExpiryInterval(u32::from(self.byte() % 8)));
            }
            if self.chance(4) {
                publish = publish.with(UserProperty::from_static("name", "value"));
            }
            if self.chance(6) {
                publish = publish.with(PayloadFormatIndicator::Utf8);
            }
            if let Some(alias) = NonZeroU16::new(u16::from(self.byte() % 4)).filter(|_| self.chance(2)) {
                publish = publish.with(TopicAlias(alias));
                if self.chance(2) {
                    publish.topic = None;
                }
            }
        }
        publish
    }

    fn pub_ack_reason(&mut self, version: Version) -> PubAckReason {
        if version.is_5() && self.chance(3) { PubAckReason::QuotaExceeded } else { PubAckReason::Success }
    }

    fn subscribe(&mut self, version: Version) -> Subscribe {
        let count = 1 + self.byte() % 3;
        let subscriptions: Vec<_> = (0..count).map(|_| self.subscription(version)).collect();
        let id = self.id();
        let subscriptions = NonEmpty::try_from(subscriptions).expect("there is at least one");
        let subscribe = Subscribe { id, properties: Properties::new(), subscriptions };
        match SubscriptionIdentifier::new(u32::from(self.byte() % 4)).filter(|_| version.is_5()) {
            Some(identifier) => subscribe.with(identifier),
            None => subscribe,
        }
    }

    fn subscription(&mut self, version: Version) -> Subscription {
        let mut subscription = Subscription::new(TopicFilter::from_static(self.of(&FILTERS)), self.qos());
        if version.is_5() {
            subscription.no_local = !subscription.filter.is_shared() && self.chance(3);
            subscription.retain_as_published = self.chance(2);
            subscription.retain_handling = RetainHandling::from_bits(self.byte() % 3).unwrap_or_default();
        }
        subscription
    }

    fn disconnect(&mut self, version: Version) -> Disconnect {
        if !version.is_5() {
            return Disconnect::normal();
        }
        let codes = [DisconnectReason::NormalDisconnection, DisconnectReason::DisconnectWithWillMessage];
        let disconnect = Disconnect::new(self.of(&codes));
        if self.chance(2) {
            disconnect.with(SessionExpiryInterval(self.of(&[0, 3, 1000])))
        } else {
            disconnect
        }
    }

    fn auth(&mut self) -> Auth {
        let reason = self.of(&[AuthReason::ContinueAuthentication, AuthReason::ReAuthenticate]);
        Auth::new(reason, method()).with(AuthenticationData(self.scram()))
    }

    fn scram(&mut self) -> BinaryData {
        BinaryData::from_static(self.of(&[b"n,,n=u,r=x", b"n,,n=nobody,r=x", b"", b"c=biws,r=x,p=AAAA"]))
    }
}

fn method() -> AuthenticationMethod {
    AuthenticationMethod(Utf8String::from_static("SCRAM-SHA-256"))
}
