//! Clients that a late CONNECT of their own has disconnected.

use std::collections::BTreeSet;

use mqttspec_codec::{DisconnectReason, Packet};

use crate::history::{History, HostIndex, What};

/// The hosts whose Session an earlier CONNECT of theirs took over, and that did not connect again.
///
/// A CONNECT can arrive after the Client has given up its connection and has opened another one. The
/// Server then disconnects the newer connection (MQTT 5.0 §3.1.4). A Client may stay away after
/// that, since two connections that always come back would take over the Session of each other. Its
/// messages wait for it.
pub(super) fn taken_over(history: &History) -> BTreeSet<HostIndex> {
    let mut unanswered = BTreeSet::new();
    let mut taken_over = BTreeSet::new();
    for event in history.events() {
        let Some(key) = event.connection else { continue };
        match &event.what {
            What::Sent { packet: Packet::Connect(_), .. } => {
                unanswered.insert(key);
                taken_over.remove(&key.host);
            }
            What::Received { packet: Packet::ConnAck(_), .. } => drop(unanswered.remove(&key)),
            What::Received { packet: Packet::Disconnect(disconnect), .. }
                if disconnect.reason == DisconnectReason::SessionTakenOver
                    && unanswered.iter().any(|other| other.host == key.host && *other != key) =>
            {
                taken_over.insert(key.host);
            }
            _ => {}
        }
    }
    taken_over
}
