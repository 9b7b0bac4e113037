//! The hash of a history. It covers everything that is judged, so a failed run and a passed run
//! have different hashes.
//!
//! XXH3 is specified to the bit, integers are hashed in little-endian order, and each text follows
//! its length. So the hash of equal histories is the same on every machine. Packets are hashed as
//! their bytes.

use std::fmt::Write as _;

use mqttspec_notation::Field;
use mqttspec_notation::fields::field_words;
use xxhash_rust::xxh3::Xxh3;

use super::{
    Asked, BranchTaken, ConnectionKey, Event, FaultEvent, History, HostInfo, Message, ReportedError, Told,
    What, nanoseconds,
};

pub(super) fn hash(history: &History) -> u128 {
    let mut digest = Digest::default();
    digest.number(history.hosts.len());
    for HostInfo { name, observer } in &history.hosts {
        digest.text(name);
        digest.debug(observer);
    }
    for event in &history.events {
        digest.event(event);
    }
    digest.finish()
}

/// The number of bytes that are given to the hash function at once: most fields have only a few.
const PIECE_BYTES: usize = 4096;

#[derive(Default)]
struct Digest {
    hash: Box<Xxh3>,
    /// Bytes that the hash function has not seen yet.
    piece: Vec<u8>,
}

impl Digest {
    fn update(&mut self, bytes: &[u8]) {
        if self.piece.len() + bytes.len() > PIECE_BYTES {
            self.hash.update(&self.piece);
            self.piece.clear();
        }
        if bytes.len() > PIECE_BYTES {
            self.hash.update(bytes);
        } else {
            self.piece.extend_from_slice(bytes);
        }
    }

    fn finish(mut self) -> u128 {
        self.hash.update(&self.piece);
        self.hash.digest128()
    }

    fn event(&mut self, Event { at, connection, line, what }: &Event) {
        self.update(&nanoseconds(*at).to_le_bytes());
        let (host, number) = match connection {
            Some(ConnectionKey { host, number }) => (u32::from(host.0), *number),
            None => (u32::MAX, 0),
        };
        for value in [host, number, *line] {
            self.update(&value.to_le_bytes());
        }
        self.what(what);
    }

    fn what(&mut self, what: &What) {
        match what {
            What::Opened(version) => {
                self.tag(0);
                self.debug(version);
            }
            What::Closed(ending) => {
                self.tag(1);
                self.debug(ending);
            }
            What::Sent { packet: _, bytes } => {
                self.tag(2);
                self.bytes(bytes);
            }
            What::SentRaw { text, bytes } => {
                self.tag(3);
                self.text(text);
                self.bytes(bytes);
            }
            What::Received { packet: _, bytes } => {
                self.tag(4);
                self.bytes(bytes);
            }
            What::ReceivedMalformed { error, bytes } => {
                self.tag(5);
                self.debug(error);
                self.bytes(bytes);
            }
            What::Fault(fault) => {
                self.tag(6);
                let FaultEvent { fault, hosts } = &**fault;
                self.debug(fault);
                self.texts(hosts);
            }
            What::FaultOver { began } => {
                self.tag(7);
                self.number(*began);
            }
            What::Asked(asked) => {
                self.tag(8);
                self.asked(asked);
            }
            What::Told(told) => {
                self.tag(9);
                self.told(told);
            }
            What::BranchTaken(BranchTaken { line, name, level }) => {
                self.tag(10);
                self.update(&line.to_le_bytes());
                self.text(name);
                self.debug(level);
            }
            What::MarkReached(mark) => {
                self.tag(11);
                self.text(mark);
            }
            What::HandshakeOffered(names) => {
                self.tag(12);
                self.texts(names);
            }
            What::HandshakeSelected(name) => {
                self.tag(13);
                self.debug(name);
            }
            What::Framed(framing) => {
                self.tag(14);
                self.debug(framing);
            }
            What::ReceivedTextFrame => self.tag(15),
        }
    }

    fn asked(&mut self, asked: &Asked) {
        match asked {
            Asked::Publish { message, handle } => {
                self.tag(0);
                self.message(message);
                self.update(&handle.to_le_bytes());
            }
            Asked::Subscribe { filters, handle } => {
                self.tag(1);
                self.number(filters.len());
                for (filter, qos) in filters {
                    self.text(filter);
                    self.tag(u8::from(*qos));
                }
                self.update(&handle.to_le_bytes());
            }
            Asked::Unsubscribe(filters) => {
                self.tag(2);
                self.texts(filters);
            }
            Asked::Connect(fields) => {
                self.tag(3);
                self.fields(fields);
            }
            Asked::Disconnect(fields) => {
                self.tag(4);
                self.fields(fields);
            }
            Asked::Request { message } => {
                self.tag(6);
                self.message(message);
            }
            Asked::Deliver { message } => {
                self.tag(7);
                self.message(message);
            }
            Asked::Reauthenticate => self.tag(8),
            Asked::Acknowledge { message, fields } => {
                self.tag(5);
                self.message(message);
                self.fields(fields);
            }
        }
    }

    fn told(&mut self, told: &Told) {
        match told {
            Told::Message { message, properties } => {
                self.tag(0);
                self.message(message);
                if let Some(properties) = properties.as_ref().filter(|properties| !properties.is_empty()) {
                    self.fields(properties);
                }
            }
            Told::Answered { message, properties } => {
                self.tag(8);
                self.message(message);
                self.fields(properties);
            }
            Told::Delivered { message } => {
                self.tag(9);
                self.message(message);
            }
            Told::Reauthenticated => self.tag(10),
            Told::Published { handle, message, refused } => {
                self.tag(1);
                self.update(&handle.to_le_bytes());
                self.message(message);
                self.error(refused.as_ref());
            }
            Told::Subscribed { handle, filters, granted } => {
                self.tag(2);
                self.update(&handle.to_le_bytes());
                self.texts(filters);
                self.number(granted.len());
                granted.iter().for_each(|granted| self.tag(granted.map_or(u8::MAX, u8::from)));
            }
            Told::Unsubscribed { filters } => {
                self.tag(3);
                self.texts(filters);
            }
            Told::Connected { session_present } => {
                self.tag(4);
                self.tag(u8::from(*session_present));
            }
            Told::Disconnected { error } => {
                self.tag(5);
                self.error(error.as_ref());
            }
            Told::Failed { error } => {
                self.tag(6);
                self.error(Some(error));
            }
            Told::Acknowledged { message } => {
                self.tag(7);
                self.message(message);
            }
        }
    }

    fn message(&mut self, Message { topic, payload, qos, retain }: &Message) {
        self.text(topic);
        self.bytes(payload);
        self.tag(u8::from(*qos));
        self.tag(u8::from(*retain));
    }

    fn error(&mut self, error: Option<&ReportedError>) {
        self.tag(u8::from(error.is_some()));
        if let Some(ReportedError { kind, reason, text }) = error {
            self.text(kind);
            self.update(&reason.map_or(u16::MAX, u16::from).to_le_bytes());
            self.text(text);
        }
    }

    fn tag(&mut self, tag: u8) {
        self.update(&[tag]);
    }

    fn number(&mut self, number: usize) {
        self.update(&u64::try_from(number).unwrap_or(u64::MAX).to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.number(bytes.len());
        self.update(bytes);
    }

    fn text(&mut self, text: &str) {
        self.bytes(text.as_bytes());
    }

    fn texts(&mut self, texts: &[String]) {
        self.number(texts.len());
        texts.iter().for_each(|text| self.text(text));
    }

    /// Fields are hashed as the notation writes them, without their place in the file.
    fn fields(&mut self, fields: &[Field]) {
        self.number(fields.len());
        fields.iter().for_each(|field| self.text(&field_words(field)));
    }

    /// For values with few variants, or rare ones: their `Debug` text.
    fn debug(&mut self, value: &impl std::fmt::Debug) {
        let mut text = String::new();
        // Writing to a String does not fail.
        let _ = write!(text, "{value:?}");
        self.text(&text);
    }
}

#[cfg(test)]
mod tests {
    use mqttspec_codec::{QoS, Role, Version};
    use mqttspec_notation::{Fault, FaultKind, Framing, Hosts};

    use super::*;
    use crate::history::builder::{HistoryBuilder, publish, received};
    use crate::history::{Ending, Event, HostIndex};

    fn told(told: Told) -> u128 {
        let builder = HistoryBuilder::of(Version::V5, Role::Client, &["a"]).connects("a", false);
        builder.told("a", told).build().hash()
    }

    /// The hash of a history of one event.
    fn of(what: What) -> u128 {
        let hosts = vec![HostInfo { name: "a".into(), observer: Role::Client }];
        let mut history = History::new(hosts);
        let connection = Some(ConnectionKey { host: HostIndex(0), number: 1 });
        history.push(Event { at: core::time::Duration::from_millis(1), connection, line: 3, what });
        history.hash()
    }

    #[test]
    fn events_of_an_application_change_the_hash() {
        let failed = |reason| Told::Failed {
            error: ReportedError { kind: "authentication", reason, text: "refused".to_owned() },
        };
        let hashes = [
            told(Told::Connected { session_present: false }),
            told(Told::Connected { session_present: true }),
            told(failed(None)),
            told(failed(Some(0x87))),
            told(received("x", QoS::AtMostOnce)),
            told(received("x", QoS::AtLeastOnce)),
            told(received("y", QoS::AtMostOnce)),
        ];
        let distinct: std::collections::BTreeSet<u128> = hashes.into_iter().collect();
        assert_eq!(distinct.len(), hashes.len());
        assert_eq!(told(failed(None)), hashes[2], "equal histories have equal hashes");
    }

    #[test]
    fn every_kind_of_event_changes_the_hash() {
        let fault = |kind| {
            let fault = Fault { kind, hosts: Hosts::All, towards: None, lasting: None };
            What::fault(fault, vec!["a".to_owned()])
        };
        let branch = |name: &str| {
            let level = mqttspec_spec::Level::May;
            What::BranchTaken(BranchTaken { line: 1, name: name.to_owned(), level })
        };
        let hashes = [
            of(What::Opened(Version::V5)),
            of(What::Opened(Version::V3_1_1)),
            of(What::Closed(Ending::ByPeer)),
            of(What::Closed(Ending::Reset)),
            of(fault(FaultKind::Cut)),
            of(fault(FaultKind::Crash)),
            of(What::FaultOver { began: 0 }),
            of(What::FaultOver { began: 1 }),
            of(What::Asked(Asked::Unsubscribe(vec!["ab".to_owned()]))),
            of(What::Asked(Asked::Unsubscribe(vec!["a".to_owned(), "b".to_owned()]))),
            of(What::Asked(Asked::Connect(Vec::new()))),
            of(What::Asked(Asked::Disconnect(Vec::new()))),
            of(branch("one")),
            of(branch("other")),
            of(What::MarkReached("one".to_owned())),
            of(What::HandshakeOffered(vec!["mqtt".to_owned()])),
            of(What::HandshakeSelected(Some("mqtt".to_owned()))),
            of(What::Framed(Framing::Text)),
            of(What::ReceivedTextFrame),
        ];
        let distinct: std::collections::BTreeSet<u128> = hashes.into_iter().collect();
        assert_eq!(distinct.len(), hashes.len());
    }

    #[test]
    fn bytes_direction_and_time_of_a_packet_change_the_hash() {
        let builder = || HistoryBuilder::of(Version::V5, Role::Client, &["a"]).connects("a", false);
        let one = || publish(QoS::AtLeastOnce, 1, "one");
        let hashes = [
            builder().sent("a", one()).build().hash(),
            builder().received("a", one()).build().hash(),
            builder().received("a", publish(QoS::AtLeastOnce, 2, "one")).build().hash(),
            builder().lost("a").received("a", one()).build().hash(),
        ];
        let distinct: std::collections::BTreeSet<u128> = hashes.into_iter().collect();
        assert_eq!(distinct.len(), hashes.len());
        let mut answered = builder().received("a", one()).build();
        answered.set_line(0, 9);
        assert_ne!(answered.hash(), hashes[1], "the line that it answers to counts");
    }
}
