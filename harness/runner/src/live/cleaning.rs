//! What a run leaves behind on the server is cleaned up: Sessions by a connection with Clean Start, retained messages by an empty one.

use core::time::Duration;

use mqttspec_codec::{Disconnect, Packet, Publish, TopicName, Version};

use super::names::LeftBehind;
use super::probes::Prober;

/// Cleans up. What cannot be is left: it is in nobody's way, and says nothing about the server.
/// `id` is a Client Identifier that nobody else has.
pub(crate) async fn clean(prober: &Prober, left: LeftBehind, version: Version, id: &str, patience: Duration) {
    for (client_id, version) in &left.sessions {
        if let Some(mut guest) = prober.visit(*version, client_id, patience).await {
            let _ = guest.send(Packet::Disconnect(Disconnect::normal())).await;
        }
    }
    if left.retained.is_empty() {
        return;
    }
    let cleaned = async {
        let mut guest = prober.visit(version, id, patience).await?;
        for topic in &left.retained {
            let topic = TopicName::try_from(topic.as_str()).ok()?;
            guest.send(Publish::new(topic, "").retained().into()).await?;
        }
        guest.send(Packet::PingReq).await?;
        while guest.receive().await? != Packet::PingResp {}
        guest.send(Packet::Disconnect(Disconnect::normal())).await
    };
    let _ = cleaned.await;
}
