//! The neutral probe: messages of each QoS from a Client to itself, which a server that serves at
//! all acknowledges and delivers. A failure of a scenario counts only while this works as it did at
//! the start. Otherwise an earlier scenario has changed the server.

use core::time::Duration;

use mqttspec_codec::{
    NonEmpty, Packet, PacketIdentifier, PubAck, PubComp, PubRec, PubRel, Publish, QoS, Subscribe,
    Subscription, TopicFilter, TopicName, Version,
};
use tokio::time::{sleep, timeout};

use super::probe_client::{ANSWER_TIMEOUT, ProbeClient};
use super::probes::Prober;

/// How long a message of the probe may take at least. A probe that fails is repeated.
const PROBE_TIMEOUT: Duration = Duration::from_secs(2);

/// How the text begins if the server still answers a CONNECT.
pub(crate) const NO_LONGER_SERVES: &str = "no longer serves";

/// The result of a probe of the server.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Service {
    connects: bool,
    /// By QoS: whether a message is acknowledged and delivered.
    delivers: [bool; 3],
}

impl Service {
    /// What no longer works, in words; `None` if everything works that worked at the start.
    pub(crate) fn lacks(self, before: Self) -> Option<String> {
        if before.connects && !self.connects {
            return Some("no longer answers a CONNECT".to_owned());
        }
        let levels = (0..3).filter(|level| before.delivers[*level] && !self.delivers[*level]);
        let levels: Vec<String> = levels.map(|level| format!("QoS {level}")).collect();
        (!levels.is_empty()).then(|| format!("{NO_LONGER_SERVES} {}", levels.join(" and ")))
    }
}

impl Prober {
    /// Probes with names that begin with `run`.
    pub(crate) async fn service(&self, version: Version, run: &str, subscribing: Duration) -> Service {
        let mut service =
            Service { connects: self.is_alive(version, ANSWER_TIMEOUT).await, ..Service::default() };
        if service.connects {
            let delivers = async |qos: QoS| {
                let name = format!("{run}n{}", u8::from(qos));
                let delivered = self.delivers(version, &name, qos, subscribing);
                timeout(self.patience.max(PROBE_TIMEOUT), delivered).await.ok().flatten().is_some()
            };
            let (at_most, at_least, exactly) = tokio::join!(
                delivers(QoS::AtMostOnce),
                delivers(QoS::AtLeastOnce),
                delivers(QoS::ExactlyOnce)
            );
            service.delivers = [at_most, at_least, exactly];
        }
        service
    }

    async fn delivers(&self, version: Version, name: &str, qos: QoS, subscribing: Duration) -> Option<()> {
        let mut client = self.connect_client(version, name, ANSWER_TIMEOUT).await?;
        let filter = TopicFilter::try_from(name).ok()?;
        let subscription = NonEmpty::one(Subscription::new(filter, qos));
        client.send(Subscribe::new(PacketIdentifier::MIN, subscription).into()).await?;
        client.await_packet(|packet| matches!(packet, Packet::SubAck(_))).await?;
        // The Subscription may come into force after its SUBACK.
        sleep(subscribing.min(Duration::from_secs(1))).await;
        let id = PacketIdentifier::new(2)?;
        let publish = Publish::new(TopicName::try_from(name).ok()?, "probe");
        let publish = match qos {
            QoS::AtMostOnce => publish,
            QoS::AtLeastOnce => publish.at_least_once(id),
            QoS::ExactlyOnce => publish.exactly_once(id),
        };
        client.send(publish.into()).await?;
        exchange(&mut client, qos == QoS::AtMostOnce).await
    }
}

/// Takes part in the hand-shakes until the message is acknowledged and delivered.
async fn exchange(client: &mut ProbeClient, mut acknowledged: bool) -> Option<()> {
    let mut delivered = false;
    while !acknowledged || !delivered {
        match client.receive().await? {
            Packet::PubAck(ack) if !ack.reason.is_failure() => acknowledged = true,
            Packet::PubRec(ack) if !ack.reason.is_failure() => {
                client.send(PubRel::success(ack.id).into()).await?;
            }
            Packet::PubComp(_) => acknowledged = true,
            Packet::PubRel(release) => client.send(PubComp::success(release.id).into()).await?,
            Packet::Publish(publish) => {
                delivered = true;
                match (publish.delivery.qos(), publish.delivery.packet_identifier()) {
                    (QoS::AtLeastOnce, Some(id)) => client.send(PubAck::success(id).into()).await?,
                    (QoS::ExactlyOnce, Some(id)) => client.send(PubRec::success(id).into()).await?,
                    _ => {}
                }
            }
            _ => return None,
        }
    }
    Some(())
}
