//! Packet Identifiers that the Server assigns (§2.2.1).

use mqttspec_codec::PacketIdentifier;

/// Assigns Packet Identifiers in turn.
#[derive(Debug, Default)]
pub(crate) struct PacketIdentifiers {
    last: u16,
}

impl PacketIdentifiers {
    /// The next unused identifier after the one that was assigned last; `None` if all 65,535 are in
    /// use.
    pub(crate) fn allocate(&mut self, in_use: impl Fn(PacketIdentifier) -> bool) -> Option<PacketIdentifier> {
        // [MQTT-2.2.1-4] non-zero and unused
        for _ in 0..=u16::MAX {
            self.last = self.last.wrapping_add(1);
            if let Some(identifier) =
                PacketIdentifier::new(self.last).filter(|identifier| !in_use(*identifier))
            {
                return Some(identifier);
            }
        }
        None
    }

    /// Continues after an identifier that was assigned before a restart.
    pub(crate) fn continue_after(&mut self, identifier: PacketIdentifier) {
        self.last = identifier.get();
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    #[test]
    fn the_wrap_past_65535_steps_over_zero_and_what_is_in_flight() {
        let mut identifiers = PacketIdentifiers::default();
        identifiers.continue_after(PacketIdentifier::MAX);
        let in_flight: BTreeSet<_> = [1, 2, 4].into_iter().filter_map(PacketIdentifier::new).collect();
        let mut next =
            || identifiers.allocate(|identifier| in_flight.contains(&identifier)).map(PacketIdentifier::get);
        assert_eq!(next(), Some(3));
        assert_eq!(next(), Some(5));
    }

    #[test]
    fn none_is_left_when_all_are_in_flight() {
        let mut identifiers = PacketIdentifiers::default();
        assert_eq!(identifiers.allocate(|_| true), None);
        let only_free = PacketIdentifier::new(777);
        assert_eq!(identifiers.allocate(|identifier| Some(identifier) != only_free), only_free);
    }
}
