//! Removes what a run left on the server: Sessions by connecting with Clean Start, retained
//! messages by publishing an empty one.

use core::time::Duration;

use mqttspec_codec::{Disconnect, Packet, Publish, TopicName, Version};

use super::names::Leftovers;
use super::probes::Prober;

/// Removes leftovers. Errors are ignored: other runs use other names, so leftovers do not affect
/// them. `id` must be an unused Client Identifier.
pub(crate) async fn clean(
    prober: &Prober,
    leftovers: Leftovers,
    version: Version,
    id: &str,
    patience: Duration,
) {
    for (client_id, version) in &leftovers.sessions {
        if let Some(mut client) = prober.connect_client(*version, client_id, patience).await {
            let _ = client.send(Packet::Disconnect(Disconnect::normal())).await;
        }
    }
    if leftovers.retained.is_empty() {
        return;
    }
    let cleaned = async {
        let mut client = prober.connect_client(version, id, patience).await?;
        for topic in &leftovers.retained {
            let topic = TopicName::try_from(topic.as_str()).ok()?;
            client.send(Publish::new(topic, "").retained().into()).await?;
        }
        client.ping().await?;
        client.send(Packet::Disconnect(Disconnect::normal())).await
    };
    let _ = cleaned.await;
}
