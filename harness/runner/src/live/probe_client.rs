//! A connection of the harness outside of any scenario.

use core::time::Duration;

use bytes::BytesMut;
use mqttspec_codec::{ConnAck, Packet, Version};
use mqttspec_net::framed::{Arrived, Framed, Received};
use mqttspec_net::transport::LiveStream;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::{Instant, timeout};

/// How long a server may take to answer.
pub(crate) const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);

/// A connection of the harness that the server accepted.
pub(crate) struct ProbeClient<S = LiveStream> {
    framed: Framed<S>,
    version: Version,
    connack: ConnAck,
}

impl<S> ProbeClient<S> {
    pub(crate) fn new(framed: Framed<S>, version: Version, connack: ConnAck) -> Self {
        Self { framed, version, connack }
    }

    pub(crate) fn version(&self) -> Version {
        self.version
    }

    /// The CONNACK that accepted it.
    pub(crate) fn connack(&self) -> &ConnAck {
        &self.connack
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> ProbeClient<S> {
    pub(crate) async fn send(&mut self, packet: Packet) -> Option<()> {
        let mut bytes = BytesMut::new();
        packet.encode(self.version, &mut bytes).ok()?;
        self.framed.send_bytes(&bytes).await.ok()
    }

    /// The next packet; `None` if the connection ends or no packet arrives in time.
    pub(crate) async fn receive(&mut self) -> Option<Packet> {
        self.await_packet(|_| true).await
    }

    /// The next packet of this kind; `None` if the connection ends or none arrives in time,
    /// whatever else arrives.
    pub(crate) async fn await_packet(&mut self, is_awaited: impl Fn(&Packet) -> bool) -> Option<Packet> {
        let awaited = async {
            loop {
                match self.framed.receive().await {
                    Received::Arrived(Arrived::Packet { packet, .. }) if is_awaited(&packet) => {
                        return Some(packet);
                    }
                    Received::Arrived(Arrived::Packet { .. }) => {}
                    _ => return None,
                }
            }
        };
        timeout(ANSWER_TIMEOUT, awaited).await.ok().flatten()
    }

    /// Waits until the connection ends. Packets that arrive before are ignored.
    pub(crate) async fn ended(&mut self) {
        while let Received::Arrived(_) = self.framed.receive().await {}
    }

    /// Sends PINGREQ, and waits for PINGRESP.
    pub(crate) async fn ping(&mut self) -> Option<()> {
        self.send(Packet::PingReq).await?;
        self.await_packet(|packet| *packet == Packet::PingResp).await.map(drop)
    }

    /// The longest of several times between PINGREQ and PINGRESP.
    pub(crate) async fn round_trip(&mut self) -> Option<Duration> {
        let mut longest = Duration::ZERO;
        for _ in 0..5 {
            let started = Instant::now();
            self.ping().await?;
            longest = longest.max(started.elapsed());
        }
        Some(longest)
    }
}
