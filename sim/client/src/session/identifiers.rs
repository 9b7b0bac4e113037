//! Packet Identifiers that this client assigns to its PUBLISH, SUBSCRIBE and UNSUBSCRIBE packets
//! (§2.2.1).
//!
//! The three packet types share one set of identifiers. Those that the Server assigns to its
//! PUBLISH packets are a separate set, in [`Inbound`](super::Inbound).

use std::collections::BTreeSet;

use mqttspec_codec::PacketIdentifier;

/// The identifiers in use, and where the search for the next one starts.
#[derive(Debug)]
pub(crate) struct Identifiers {
    in_use: BTreeSet<PacketIdentifier>,
    next: PacketIdentifier,
}

impl Identifiers {
    pub(crate) fn new() -> Self {
        Self { in_use: BTreeSet::new(), next: PacketIdentifier::MIN }
    }

    /// An unused identifier, or `None` while all 65,535 are in use.
    ///
    /// The search starts after the one that was assigned last, so that an identifier is used again
    /// as late as possible and a late acknowledgement finds no exchange.
    pub(crate) fn allocate(&mut self) -> Option<PacketIdentifier> {
        // [MQTT-2.2.1-3] [MQTT-4.3.2-1] [MQTT-4.3.3-1] 3.1.1/[MQTT-2.3.1-1] 3.1.1/[MQTT-2.3.1-2]
        if self.in_use.len() == usize::from(u16::MAX) {
            return None;
        }
        let mut candidate = self.next;
        while self.in_use.contains(&candidate) {
            candidate = successor(candidate);
        }
        self.in_use.insert(candidate);
        self.next = successor(candidate);
        Some(candidate)
    }

    /// Marks an identifier of a restored Session as in use. Returns false if it was already.
    pub(crate) fn occupy(&mut self, identifier: PacketIdentifier) -> bool {
        self.next = successor(identifier);
        self.in_use.insert(identifier)
    }

    /// The exchange has ended: frees the identifier.
    pub(crate) fn release(&mut self, identifier: PacketIdentifier) {
        self.in_use.remove(&identifier);
    }
}

/// The identifier after `identifier`; 1 follows 65,535.
fn successor(identifier: PacketIdentifier) -> PacketIdentifier {
    identifier.get().checked_add(1).and_then(PacketIdentifier::new).unwrap_or(PacketIdentifier::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(value: u16) -> PacketIdentifier {
        PacketIdentifier::new(value).unwrap()
    }

    #[test]
    fn wrap_past_65535_skips_zero_and_what_is_in_flight() {
        let mut identifiers = Identifiers::new();
        assert_eq!(identifiers.allocate(), Some(id(1)));
        assert_eq!(identifiers.allocate(), Some(id(2)));
        identifiers.release(id(2));
        for expected in 3..=u16::MAX {
            assert_eq!(identifiers.allocate(), Some(id(expected)));
            identifiers.release(id(expected));
        }
        assert_eq!(identifiers.allocate(), Some(id(2)), "1 is in flight");
    }

    #[test]
    fn all_65535_in_use_gives_none_until_one_is_released() {
        let mut identifiers = Identifiers::new();
        for _ in 0..u16::MAX {
            assert!(identifiers.allocate().is_some());
        }
        assert_eq!(identifiers.allocate(), None);
        identifiers.release(id(4711));
        assert_eq!(identifiers.allocate(), Some(id(4711)));
    }

    #[test]
    fn a_restored_identifier_is_not_given_again() {
        let mut identifiers = Identifiers::new();
        assert!(identifiers.occupy(id(1)));
        assert!(!identifiers.occupy(id(1)));
        assert_eq!(identifiers.allocate(), Some(id(2)));
    }
}
