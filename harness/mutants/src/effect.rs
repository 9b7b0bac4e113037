//! Effects: the actions of a mutant after an input.

use core::time::Duration;

use bytes::Bytes;
use mqttspec_codec::Packet;

/// One action of a mutant. *Send* is towards the network, *deliver* is towards the peer.
#[derive(Clone, Debug)]
pub(crate) enum Effect {
    /// Sends a packet to the network.
    Send(Packet),
    /// Sends bytes to the network.
    SendBytes(Bytes),
    /// Sends a packet in two halves, each in a TCP segment of its own.
    SendInParts(Packet),
    /// Sends a packet after a delay, if the Network Connection is still open.
    SendLater(Duration, Packet),
    /// Delivers a packet to the peer, as if it came from the network.
    Deliver(Packet),
    /// Delivers bytes to the peer.
    DeliverBytes(Bytes),
    /// Delivers a packet to the peer after a delay, if the peer has not closed.
    DeliverLater(Duration, Packet),
    /// Ends the stream to the peer: the peer sees that the Network Connection is lost.
    DeliverEnd,
    /// Closes the Network Connection.
    Close,
    /// Closes the Network Connection after a delay.
    CloseLater(Duration),
    /// Opens a Network Connection without the peer after a delay, and sends the CONNECT of this
    /// one. What arrives on it is ignored.
    Dial(Duration),
    /// Applies an effect to another Network Connection of the same peer, given by its number.
    OnConnection(u32, Box<Effect>),
}

impl Effect {
    /// Applies the effect to another Network Connection.
    pub(crate) fn on(self, number: u32) -> Self {
        Self::OnConnection(number, Box::new(self))
    }
}

/// Sends one packet to the network.
pub(crate) fn send(packet: impl Into<Packet>) -> Vec<Effect> {
    vec![Effect::Send(packet.into())]
}

/// Delivers one packet to the peer.
pub(crate) fn deliver(packet: impl Into<Packet>) -> Vec<Effect> {
    vec![Effect::Deliver(packet.into())]
}
