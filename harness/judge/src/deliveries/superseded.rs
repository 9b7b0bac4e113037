//! Clients that their own late CONNECT has disconnected for good.

use std::collections::{BTreeMap, BTreeSet};

use mqttspec_codec::{DisconnectReason, Packet};

use crate::history::{ConnectionKey, History, HostIndex, What};

/// The hosts whose last connection ended because the Session was taken over, while one of their
/// CONNECTs had no answer.
///
/// A CONNECT can arrive after the Client has given up its connection and has opened another one. The
/// Server then disconnects the newer connection (MQTT 5.0 §3.1.4), and a Client should not
/// reconnect after that. Its messages wait for it.
pub(super) fn superseded(history: &History) -> BTreeSet<HostIndex> {
    let mut unanswered: BTreeMap<HostIndex, BTreeSet<ConnectionKey>> = BTreeMap::new();
    let mut superseded = BTreeSet::new();
    for event in history.events() {
        let Some(key) = event.connection else { continue };
        match &event.what {
            What::Sent { packet: Packet::Connect(_), .. } => {
                unanswered.entry(key.host).or_default().insert(key);
                superseded.remove(&key.host);
            }
            What::Received { packet: Packet::ConnAck(_), .. } => {
                unanswered.entry(key.host).or_default().remove(&key);
            }
            What::Received { packet: Packet::Disconnect(disconnect), .. }
                if disconnect.reason == DisconnectReason::SessionTakenOver
                    && unanswered.get(&key.host).is_some_and(|connections| !connections.is_empty()) =>
            {
                superseded.insert(key.host);
            }
            _ => {}
        }
    }
    superseded
}
