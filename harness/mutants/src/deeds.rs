//! What a liar does.

use core::time::Duration;

use bytes::Bytes;
use mqttspec_codec::Packet;

/// One thing that a liar does.
#[derive(Clone, Debug)]
pub(crate) enum Deed {
    /// Sends a packet on the wire.
    Say(Packet),
    /// Sends bytes on the wire.
    SayBytes(Bytes),
    /// Sends a packet so much later, if the wire still stands.
    SayLater(Duration, Packet),
    /// Gives a packet to the peer, as if it came from the wire.
    Tell(Packet),
    /// Gives bytes to the peer.
    TellBytes(Bytes),
    /// Gives a packet to the peer so much later, if its end still stands.
    TellLater(Duration, Packet),
    /// Lets the peer take the Network Connection for lost.
    TellEnd,
    /// Closes the wire.
    Close,
    /// Closes the wire so much later.
    CloseLater(Duration),
    /// Does it on another Network Connection of the same peer, by its number.
    Elsewhere(u32, Box<Deed>),
}

/// Sends a packet on the wire.
pub(super) fn say(packet: impl Into<Packet>) -> Vec<Deed> {
    vec![Deed::Say(packet.into())]
}

/// Gives a packet to the peer.
pub(super) fn tell(packet: impl Into<Packet>) -> Vec<Deed> {
    vec![Deed::Tell(packet.into())]
}
